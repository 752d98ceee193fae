#!/bin/busybox sh
# shellcheck shell=dash
# The lab's first process, in its initramfs. Loads modules, puts the host's root (read-only, 9p)
# under a tmpfs overlay, and goes on in there with stage2.sh. tools/lab/lab.py builds the initramfs.
export PATH=/bin

fail() {
	echo "lab: init: $*" >/dev/console
	echo "fail $*" >/dev/vport0p1 2>/dev/null
	busybox poweroff -f
}

/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev 2>/dev/null
. /lab/config # LAB_*: written by lab.py for each run

while read -r module options; do
	# shellcheck disable=SC2086  # options are words
	insmod "/modules/$module" $options || fail "cannot load $module"
done </modules/list

mkdir -p /host /rw /new
mount -t 9p -o "ro,trans=virtio,version=9p2000.L,msize=$LAB_MSIZE,cache=loose" host /host ||
	fail "cannot mount the host's root over 9p"
mount -t tmpfs -o size=75% rw /rw
mkdir /rw/upper /rw/work
mount -t overlay -o lowerdir=/host,upperdir=/rw/upper,workdir=/rw/work root /new ||
	fail "cannot mount the overlay"

for d in proc sys dev run tmp scratch lab-out; do
	[ -d "/new/$d" ] || mkdir "/new/$d" || fail "cannot make /$d"
done
mount --move /proc /new/proc
mount --move /sys /new/sys
mount --move /dev /new/dev
mount -t tmpfs -o mode=755 run /new/run
mkdir -p /new/dev/pts /new/dev/shm /new/run/lab /new/run/lock
mount -t devpts -o mode=620,ptmxmode=666 devpts /new/dev/pts
mount -t tmpfs -o mode=1777 shm /new/dev/shm
ln -sf /proc/self/fd /new/dev/fd
ln -sf /proc/self/fd/0 /new/dev/stdin
ln -sf /proc/self/fd/1 /new/dev/stdout
ln -sf /proc/self/fd/2 /new/dev/stderr
mount -t cgroup2 cgroup2 /new/sys/fs/cgroup 2>/dev/null
mount -t tracefs tracefs /new/sys/kernel/tracing 2>/dev/null
mount -t debugfs debugfs /new/sys/kernel/debug 2>/dev/null
cp /bin/busybox /lab/config /lab/stage2.sh /lab/command /new/run/lab/
chroot /new /run/lab/busybox mount -t ext4 -o noatime,discard /dev/vda /scratch ||
	fail "cannot mount the scratch disk"
chmod 1777 /new/scratch

mkdir -p "/new$LAB_MODULES" /new/lib/modules
mount --bind "/new$LAB_MODULES" /new/lib/modules || fail "cannot mount the modules"
shares=/lab-out:out$LAB_SHARES
IFS=:
# shellcheck disable=SC2086
set -- $shares
unset IFS
while [ $# -ge 2 ]; do
	mkdir -p "/new$1"
	mount -t 9p -o "rw,trans=virtio,version=9p2000.L,msize=$LAB_MSIZE,cache=mmap" "$2" "/new$1" ||
		fail "cannot mount the share $1"
	shift 2
done

exec switch_root /new /run/lab/busybox sh /run/lab/stage2.sh
