#!/bin/bash
# Build a small initramfs for tests: busybox, the IDE and ext4 modules, /init, and /tests.
#
#   tools/guests/initramfs.sh ARCH OUT [--no-tests] [--module NAME]... [FILE[=PATH]]...
#
# ARCH is amd64 or i386.  FILE goes into the archive as PATH, by default /tests/NAME (without .sh);
# a .c file is compiled first.  With no FILE, everything of tests/vm/guest is put in; for i386 without the
# programs, if the compiler's 32-bit libraries can't be had.
# The archive is not compressed: unpacking it costs an emulated processor less than inflating it.
# What /init does and the kernel arguments that it knows are described in tests/vm/guest/init.
set -euo pipefail

die() { echo "initramfs.sh: $*" >&2; exit 2; }

top=$(cd "$(dirname "$0")/../.." && pwd)
dir=${SIO_GUESTS:-$top/build/guests}
here=$top/tools/guests
[ $# -ge 2 ] || die "usage: initramfs.sh amd64|i386 OUT [--module NAME]... [FILE[=PATH]]..."
arch=$1
out=$2
shift 2
case $arch in
amd64) karch=amd64 programs=() ;;
i386) karch=686 programs=(--i386) ;;
*) die "ARCH is amd64 or i386, not $arch" ;;
esac

modules=(scsi_mod sd_mod "?crc32c_generic" ext4 ata_piix)
files=()
tests=yes
while [ $# -gt 0 ]; do
	case $1 in
	--module) [ $# -ge 2 ] || die "--module needs a name"; modules+=("$2"); shift 2 ;;
	--no-tests) tests=no; shift ;;
	-*) die "unknown option $1" ;;
	*) files+=("$1"); shift ;;
	esac
done
if [ ${#files[@]} -eq 0 ] && [ $tests = yes ]; then
	shopt -s nullglob
	files=("$top"/tests/vm/guest/*.sh)
	if [ $arch = amd64 ] || "$here/fetch.sh" libc-i386 >/dev/null; then
		files+=("$top"/tests/vm/guest/*.c)
	fi
fi

"$here/fetch.sh" linux-$karch busybox-$arch >/dev/null
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
spec=$tmp/spec

applets="ash awk basename blockdev cat chmod cmp cp cut date dd df dirname dmesg echo env expr false
	find free grep head hexdump hostname insmod kill ln ls lsmod lsscsi md5sum mkdir mknod modprobe
	brctl ip killall mount mv nc nproc od ping poweroff printf ps readlink reboot rm rmdir rmmod sed seq setsid sh sha256sum
	sleep sort stty switch_root sync tail tee test time timeout touch tr true udhcpc umount uname uniq
	uptime vi wc wget which xargs"
{
	for d in proc sys dev tmp mnt root tests; do
		echo "dir /$d"
	done
	echo "node /dev/console 600 5 1"
	echo "node /dev/null 666 1 3"
	echo "file /bin/busybox 755 $dir/busybox-$arch"
	for a in $applets; do
		echo "link /bin/$a busybox"
	done
	echo "file /init 755 $top/tests/vm/guest/init"
	/usr/bin/python3 "$here/image.py" modules "$dir/modules-$karch" "${modules[@]}" |
		while read -r m; do
			name=$(basename "${m%%.ko*}").ko
			echo "module /modules/$name $m"
			echo "$name" >>"$tmp/order"
		done
	echo "file /modules/order 644 $tmp/order"
	if [ $tests = yes ]; then
		# For modprobe, when a test asks for them.
		release=$(basename "$(readlink -f "$dir/modules-$karch")")
		/usr/bin/python3 "$here/image.py" moddir "$dir/modules-$karch" "$tmp/lib" 8139cp 8139too e1000 \
			ne2k-pci "?ne" bridge virtio_pci virtio_net "?xen-blkfront" "?xen-netfront" "?button"
		(cd "$tmp/lib" && find . -type f) | sort | while read -r m; do
			echo "file /lib/modules/$release/${m#./} 644 $tmp/lib/${m#./}"
		done
	fi
	for f in "${files[@]}"; do
		path=${f#*=}
		f=${f%%=*}
		[ -e "$f" ] || die "$f: no such file"
		name=$(basename "$f")
		[ "$path" != "$f" ] || path=/tests/${name%.*}
		case $f in
		*.c)
			f=$("$here/programs.sh" ${programs[@]+"${programs[@]}"} "${name%.c}")
			;;
		esac
		echo "file $path 755 $f"
	done
} >"$spec"
mkdir -p "$(dirname "$out")"
/usr/bin/python3 "$here/image.py" cpio "$out" "$spec"
echo "$out"
