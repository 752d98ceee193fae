#!/bin/bash
# Build a bootable disk image, without root, mounts or loop devices.
#
#   tools/guests/diskimage.sh [--kind KIND] [OUT]       default: demo, build/guests/KIND.img
#
#   demo      Debian's kernel and modules, busybox userland on ext4, GRUB on the serial port with three
#             entries: the demo, the demo in PIO mode (libata.dma=0), a shell
#   grubtest  GRUB only: its own PATA driver reads the disk; ends with "SIO-GRUB nativedisk OK"
#   memtest   GRUB starts memtest86+ with its console on the serial port
#
# All have an MBR with GRUB's boot code, its core image in the gap behind it, and one ext4 partition
# at 1 MiB.  The kernel has its disk and file-system drivers as modules, so the demo has a small
# initramfs that loads ata_piix, sd_mod and ext4; everything else comes from the ext4 root.
# OUT is left alone if it was built from the same inputs.  Guests write to their disks: run a copy.
set -euo pipefail

die() { echo "diskimage.sh: $*" >&2; exit 2; }

PATH=$PATH:/sbin:/usr/sbin
top=$(cd "$(dirname "$0")/../.." && pwd)
dir=${SIO_GUESTS:-$top/build/guests}
here=$top/tools/guests
kind=demo
out=
while [ $# -gt 0 ]; do
	case $1 in
	--kind) [ $# -ge 2 ] || die "--kind needs demo, grubtest or memtest"; kind=$2; shift 2 ;;
	-*) die "unknown option $1" ;;
	*) [ -z "$out" ] || die "one output file, please"; out=$1; shift ;;
	esac
done
out=${out:-$dir/$kind.img}
for t in mke2fs debugfs e2fsck; do
	command -v $t >/dev/null || die "$t is missing: ./dev setup"
done

case $kind in
demo) need=(linux-amd64 busybox-amd64 grub) mib=128 ;;
grubtest) need=(grub) mib=24 ;;
memtest) need=(grub memtest) mib=16 ;;
*) die "no such kind: $kind" ;;
esac
"$here/fetch.sh" "${need[@]}" >/dev/null

# What the image is made from: scripts by content, packages by the name or content of what is used.
inputs=$({
	cat "$here"/*.sh "$here"/image.py "$top/tests/vm/guest/init"
	find "$here/rootfs" -type f | LC_ALL=C sort | xargs sha256sum | sed "s, .*/rootfs/, ,"
	case $kind in
	demo) readlink "$dir/vmlinuz-amd64"; cat "$dir/busybox-amd64" ;;
	memtest) cat "$dir/memtest-x64.bin" ;;
	esac
	cat "$dir/grub-i386-pc/kernel.img"
	echo $kind
} | sha256sum | cut -c 1-64)
if [ -e "$out" ] && [ "$(cat "$out.inputs" 2>/dev/null)" = "$inputs" ]; then
	echo "$out"
	exit 0
fi

echo "diskimage.sh: building $out" >&2
mkdir -p "$(dirname "$out")"
tmp=$(mktemp -d "$dir/.$kind.XXXXXX")
trap 'rm -rf "$tmp"' EXIT
root=$tmp/root
mkdir -p "$root/boot/grub"

serial='serial --unit=0 --speed=115200
terminal_input serial
terminal_output serial'

case $kind in
demo)
	mkdir -p "$root"/{bin,sbin,dev,proc,sys,tmp,mnt,root,data,lib/modules}
	cp -r "$here/rootfs/." "$root/"
	cp -L "$dir/busybox-amd64" "$root/bin/busybox"
	for a in $("$dir/busybox-amd64" --list); do
		case $a in
		busybox) ;;
		init|getty|modprobe|insmod|rmmod|lsmod|poweroff|reboot|halt|mke2fs|fdisk|blockdev)
			ln -s ../bin/busybox "$root/sbin/$a" ;;
		*) ln -s busybox "$root/bin/$a" ;;
		esac
	done
	ver=$(readlink -f "$dir/vmlinuz-amd64")
	ver=${ver##*/vmlinuz-}
	cp -L "$dir/vmlinuz-amd64" "$root/boot/vmlinuz"
	"$here/initramfs.sh" amd64 "$root/boot/initrd.img" --no-tests >/dev/null
	# A BIOS reads it sector by sector: here fewer bytes are worth the time to inflate them.
	gzip -n9 "$root/boot/initrd.img"
	mv "$root/boot/initrd.img.gz" "$root/boot/initrd.img"
	# The drivers of the devices that a PC of this kind has, now or later.
	/usr/bin/python3 "$here/image.py" moddir "$dir/modules-amd64" "$root/lib/modules/$ver" \
		ata_piix "?ata_generic" sd_mod "?sr_mod" sg ext4 "?crc32c_generic" "?isofs" "?vfat" \
		"?loop" "?button" "?psmouse" "?evdev" "?8139too" "?8139cp" "?e1000" "?ne2k_pci" \
		"?ahci" "?sym53c8xx" "?af_packet"
	args='root=/dev/sda1 sio.root=/dev/sda1 console=ttyS0,115200 loglevel=5 panic=5'
	cat >"$root/boot/grub/grub.cfg" <<-END
	$serial
	set timeout=2
	set default=0
	menuentry "Debian: write a file, power off (demo)" --hotkey=d {
		echo "SIO-GRUB booting: demo"
		linux /boot/vmlinuz $args sio.demo
		initrd /boot/initrd.img
	}
	menuentry "Debian: the same, PIO mode" --hotkey=p {
		echo "SIO-GRUB booting: PIO mode"
		linux /boot/vmlinuz $args libata.dma=0 sio.demo
		initrd /boot/initrd.img
	}
	menuentry "Debian: shell" --hotkey=s {
		echo "SIO-GRUB booting: shell"
		linux /boot/vmlinuz $args
		initrd /boot/initrd.img
	}
	END
	;;
grubtest)
	mkdir -p "$root/boot/grub/i386-pc"
	cp -L "$dir"/grub-i386-pc/*.mod "$dir"/grub-i386-pc/*.lst "$root/boot/grub/i386-pc/"
	echo "SIO-GRUB a file read by GRUB's own PATA driver" >"$root/known.txt"
	# A file of some size, so that reading it takes many commands.
	/usr/bin/python3 -c 'import random; random.seed(1); print("".join(
		"%016x\n" % random.getrandbits(64) for _ in range(65536)), end="")' >"$root/big.txt"
	(cd "$root" && sha256sum big.txt >sums)
	cat >"$root/boot/grub/grub.cfg" <<-END
	$serial
	set timeout=-1
	echo "SIO-GRUB start, root \$root"
	ls
	nativedisk pata
	echo "SIO-GRUB after nativedisk, root \$root"
	ls
	if [ x\$root != xhd0,msdos1 ]; then
		if cat /known.txt; then
			if hashsum --hash sha256 --check /sums --prefix /; then
				echo "SIO-GRUB nativedisk OK"
			else
				echo "SIO-GRUB nativedisk FAILED: wrong data"
			fi
		else
			echo "SIO-GRUB nativedisk FAILED: cannot read"
		fi
	else
		echo "SIO-GRUB nativedisk FAILED: no ata disk"
	fi
	halt
	END
	;;
memtest)
	cp -L "$dir/memtest-x64.bin" "$root/boot/memtest.bin"
	cat >"$root/boot/grub/grub.cfg" <<-END
	$serial
	echo "SIO-GRUB booting: memtest86+"
	linux /boot/memtest.bin console=ttyS0,115200
	boot
	END
	;;
esac

# The partition.  Fixed identifiers and times, and root as owner, whoever builds it: the same inputs
# give the same bytes.  One block group (128 MiB at most), as debugfs does not fix superblock backups.
part=$tmp/part
epoch=1700000000
find "$root" -exec touch -h -d @$epoch {} +
truncate -s ${mib}M "$part"
mke2fs -q -t ext4 -d "$root" -L sio-$kind -b 4096 -m 0 -N 4096 -J size=4 \
	-O ^metadata_csum_seed,^orphan_file,^resize_inode \
	-U 5e1f105e-1f10-4e1f-905e-1f105e1f105e \
	-E hash_seed=5e1f105e-1f10-4e1f-905e-1f105e1f105e,lazy_itable_init=0,lazy_journal_init=0 \
	"$part"
{
	echo "set_current_time @$epoch"
	(cd "$root" && find . -mindepth 1 -printf '/%P\n'; printf "<%d>\n" 1 2 8 11) |
		LC_ALL=C sort | while read -r f; do
		for field in uid gid; do
			echo "sif $f $field 0"
		done
		for field in atime ctime mtime crtime; do
			echo "sif $f $field @$epoch"
		done
	done
	for field in mkfs_time lastcheck wtime; do
		echo "ssv $field @$epoch"
	done
} >"$tmp/fix"
debugfs -w -f "$tmp/fix" "$part" >"$tmp/fix.out" 2>&1 || { tail "$tmp/fix.out" >&2; die "debugfs failed"; }
e2fsck -fn "$part" >"$tmp/fsck.out" 2>&1 || { cat "$tmp/fsck.out" >&2; die "e2fsck finds faults"; }

"$dir/grub-mkimage" -d "$dir/grub-i386-pc" -O i386-pc -p '(hd0,msdos1)/boot/grub' \
	-o "$tmp/core.img" biosdisk part_msdos ext2 normal configfile serial terminal linux linux16 \
	echo test ls cat halt reboot hashsum gcry_sha256
/usr/bin/python3 "$here/image.py" disk "$out" "$dir/grub-i386-pc/boot.img" "$tmp/core.img" "$part"
echo "$inputs" >"$out.inputs"
echo "$out"
