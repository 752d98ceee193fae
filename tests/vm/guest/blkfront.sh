#!/bin/sh
# blkfront ARGUMENTS...: in a Xen domain, diskmix on the emulated /dev/sda and on xen-blkfront's /dev/xvda at once.
modprobe xen-blkfront || exit 1
n=0
while [ ! -b /dev/xvda ]; do
	n=$((n + 1))
	[ $n -lt 200 ] || exit 1
	sleep 0.1
done
grep -E 'IO-APIC|xen-dyn' /proc/interrupts
exec /tests/diskmix "$@" /dev/sda /dev/xvda
