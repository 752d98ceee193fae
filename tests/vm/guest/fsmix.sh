#!/bin/sh
# Files on an ext4 file system on /dev/sda: written, flushed out of memory, compared.
fail() {
	echo "fsmix: $*"
	exit 1
}

mount -t ext4 /dev/sda /mnt || fail "cannot mount"
n=0
while [ $n -lt 40 ]; do
	dd if=/dev/urandom of=/mnt/f$n bs=$((n * 1024 + 513)) count=9 2>/dev/null || fail "cannot write f$n"
	n=$((n + 1))
done
(cd /mnt && sha256sum f*) >/tmp/sums
rm -f /mnt/f7 /mnt/f17
grep -vE ' f(7|17)$' /tmp/sums >/tmp/left
umount /mnt || fail "cannot unmount"
mount -t ext4 /dev/sda /mnt || fail "cannot mount again"
echo 3 >/proc/sys/vm/drop_caches
(cd /mnt && sha256sum -c /tmp/left) >/tmp/out 2>&1 || {
	grep -v ': OK' /tmp/out
	fail "files differ"
}
umount /mnt
