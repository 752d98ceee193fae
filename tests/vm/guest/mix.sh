#!/bin/sh
# mix N ARGUMENTS...: diskmix on N disks in the order of their cables: primary master, primary slave,
# secondary master, secondary slave.  (Linux probes disks in parallel, so that sda may be any of them.)
n=$1
shift
devices=
for at in 0:0:0:0 0:0:1:0 1:0:0:0 1:0:1:0; do
	[ "$n" -gt 0 ] || break
	n=$((n - 1))
	d=$(ls /sys/class/scsi_device/$at/device/block) || exit 1
	devices="$devices /dev/$d"
done
# shellcheck disable=SC2086  # a list
exec /tests/diskmix "$@" $devices
