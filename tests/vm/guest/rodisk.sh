#!/bin/sh
# A disk that cannot be written: writes fail with an error, reads go on.
sum() {
	dd if=/dev/sda bs=64k 2>/dev/null | sha256sum
}

before=$(sum)
if dd if=/dev/zero of=/dev/sda bs=4k count=1 seek=3 conv=fsync,notrunc 2>/tmp/err; then
	echo "rodisk: a write succeeded"
	exit 1
fi
cat /tmp/err
echo 3 >/proc/sys/vm/drop_caches
[ "$before" = "$(sum)" ] || {
	echo "rodisk: the disk reads differently now"
	exit 1
}
