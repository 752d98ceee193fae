#!/bin/sh
# xenlat N MIB PASSES DISK...: PASSES times, on each DISK, N random reads and MIB in sequence with readlat; xvda is
# xen-blkfront's. For tests/xen/bench.py, which looks at the clocks between readlat's START and END, and between
# passes lets others have their turn: it has 2 s to pause the domain.
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
done
for seed in $(seq $passes); do
	echo "XENLAT turn"
	sleep 2
	for d; do
		echo "XENLAT $d random"
		/tests/readlat --count $count --seed $seed /dev/$d || exit 1
		sleep 0.5
		echo "XENLAT $d sequential"
		/tests/readlat --seq read --mb $mib /dev/$d || exit 1
		sleep 0.5
	done
done
echo "XENLAT end"
