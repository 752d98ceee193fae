#!/bin/sh
# badsector FIRST COUNT: of /dev/sda, sectors FIRST.. fail (whole pages of them), the others are fine.
first=$1
count=$2
page=$((first / 8))
pages=$((count / 8))

fail() {
	echo "badsector: $*"
	exit 1
}

# part NAME SKIP COUNT, in pages
part() {
	dd if=/dev/sda bs=4k skip=$2 count=$3 2>/tmp/err >/tmp/part || fail "$1: $(cat /tmp/err)"
	echo "SIO-SUM $1 $(sha256sum </tmp/part | cut -c 1-64)"
}

end=$(($(cat /sys/block/sda/size) / 8))
# No readahead, as it fails for good pages too when it reaches the bad ones.
echo 0 >/sys/block/sda/queue/read_ahead_kb
dd if=/dev/sda of=/dev/null bs=4k skip=$page count=1 2>/tmp/err && fail "a bad sector could be read"
cat /tmp/err
part before 0 $page
part after $((page + pages)) $((end - page - pages))
dd if=/dev/zero of=/dev/sda bs=4k seek=$page count=1 conv=fsync,notrunc 2>/tmp/err &&
	fail "a bad sector could be written"
cat /tmp/err
dd if=/tmp/part of=/dev/sda bs=4k seek=$((page + pages)) count=4 conv=fsync,notrunc 2>/tmp/err ||
	fail "a good sector next to bad ones: $(cat /tmp/err)"
dmesg | grep -E 'error: \{|critical .* error|I/O error' | head -n 5
