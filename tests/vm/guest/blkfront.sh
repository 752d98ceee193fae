#!/bin/sh
# blkfront DISK|- ARGUMENTS...: in a Xen domain, diskmix on xen-blkfront's /dev/xvda, and on DISK at once.
disk=$1
shift
[ "$disk" != - ] || disk=
modprobe xen-blkfront || exit 1
n=0
while [ ! -b /dev/xvda ]; do
	n=$((n + 1))
	[ $n -lt 200 ] || exit 1
	sleep 0.1
done
exec /tests/diskmix "$@" $disk /dev/xvda
