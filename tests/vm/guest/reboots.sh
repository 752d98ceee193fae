#!/bin/sh
# reboots N: reboots until the system has come up N times; the first sector of /dev/sda counts, the second is filled
# each time. It must be all zeros at first.
n=$(dd if=/dev/sda bs=512 count=1 2>/dev/null | tr -d '\0')
n=$((${n:-0} + 1))
echo "SIO-REBOOTS $n of $1"
printf %s $n | dd of=/dev/sda conv=sync,fsync 2>/dev/null || exit 1
yes $n | dd of=/dev/sda bs=512 count=1 seek=$n iflag=fullblock conv=fsync 2>/dev/null || exit 1
[ $n -ge "$1" ] || reboot -f
