#!/bin/sh
# xenlat N MIB PASSES DISK...: readlat on each DISK, N random reads and MIB in sequence; xvda is xen-blkfront's. For
# tests/xen/bench.py, which looks at the clocks between readlat's START and END.
count=$1 mib=$2 passes=$3
shift 3
case "$*" in
*xvda*) modprobe xen-blkfront || exit 1 ;;
esac
for d; do
	n=0
	while [ ! -b /dev/$d ] && [ $n -lt 200 ]; do
		sleep 0.1
		n=$((n + 1))
	done
	for kind in random sequential; do
		for seed in $(seq $passes); do
			echo "XENLAT $d $kind"
			case $kind in
			random) /tests/readlat --count $count --seed $seed /dev/$d || exit 1 ;;
			sequential) /tests/readlat --seq read --mb $mib /dev/$d || exit 1 ;;
			esac
			sleep 0.5
		done
	done
done
echo "XENLAT end"
