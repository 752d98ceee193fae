#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# In dom0: runs the test domain once for each name and says what came of it. See run.sh.
#   dom0.sh KERNEL NAME=EXPECTED...      EXPECTED: end (says END), crash (one line of Xen's that says why)
set -u
kernel=$1
shift

# QEMU's libraries for QEMU alone. (It wants a keymap even for no screen.)
qemu=/tmp/qemu
mkdir -p $qemu.d/keymaps
echo 'map 0x409' >$qemu.d/keymaps/en-us
cat >$qemu <<QEMU
#!/bin/sh
LD_LIBRARY_PATH=$SIO_XEN_QEMU/usr/lib/x86_64-linux-gnu:$SIO_XEN_QEMU/usr/lib/x86_64-linux-gnu/pulseaudio:\$LD_LIBRARY_PATH
export LD_LIBRARY_PATH
exec $SIO_XEN_QEMU/usr/libexec/xen-qemu-system-i386 -L $qemu.d "\$@"
QEMU
chmod +x $qemu

say() { printf '%s\n' "$*"; }
free_memory() { xl info 2>/dev/null | sed -n 's/^free_memory *: //p'; }

# What blkfront.c has written: a word of each sector of the first 4 MiB.
check_pattern() {
	/usr/bin/python3 - "$1" <<-'PY'
	import struct, sys
	data = open(sys.argv[1], "rb").read()
	bad = [s for s in range(8192) if data[s * 512:s * 512 + 512] != struct.pack(
	    "<128I", *((s * 2654435761 + i * 40503 + 12345) & 0xffffffff for i in range(128)))]
	if bad:
	    sys.exit(f"    {len(bad)} sectors on the disk are not what was written, the first is {bad[0]}")
	PY
}

xl dmesg -c >/dev/null 2>&1
mem=
for test in "$@"; do
	name=${test%%=*} expected=${test#*=}
	image=$kernel
	disk=
	case $name in
	*save | hvm-*) image=${kernel%.elf}-$name.elf ;;
	esac
	case $name in
	blkfront*) # hda is the firmware's, xvda would be a guest's
		rm -f /tmp/hda.img
		truncate -s 8M /tmp/hda.img
		losetup /dev/loop7 /tmp/hda.img
		disk='disk = [ "format=raw,vdev=hda,access=rw,target=/dev/loop7" ]'
		modprobe xen-blkback
		persistent=$([ "$name" = blkfront-mapped ] && echo 0 || echo 1)
		echo "$persistent" >/sys/module/xen_blkback/parameters/feature_persistent
		;;
	esac
	case $name in
	blkfront | blkfront-mapped)
		how='type = "pvh"
		kernel = "'${kernel%.elf}-blkfront.elf'"'
		;;
	hvm* | *save) # the image takes hvmloader's place
		how='type = "hvm"
		firmware_override = "'$image'"
		device_model_version = "qemu-xen"
		device_model_override = "'$qemu'"
		vga = "none"
		vnc = 0
		nographic = 1
		serial = "none"'
		;;
	*)
		how='type = "pvh"
		kernel = "'$kernel'"
		cmdline = "'$name'"'
		;;
	esac
	cat >/tmp/domain.cfg <<-CFG
	name = "sio"
	$how
	$disk
	memory = 32
	vcpus = 2
	tsc_mode = "native"
	on_crash = "destroy"
	on_reboot = "destroy"
	CFG
	# (xl dies now and then in the lab, of signals: under emulation, not with what we do)
	for _ in 1 2 3; do
		! timeout 60 xl create -q /tmp/domain.cfg >/tmp/xl.log 2>&1 || break
		sed 's/^/    xl: /' /tmp/xl.log
		xl destroy sio 2>/dev/null
	done
	log=
	if [[ $name = *save ]]; then
		for ((end = SECONDS + 20; SECONDS < end;)); do
			log+=$(xl dmesg -c)$'\n'
			! grep -q READY <<<"$log" || break
			sleep 0.2
		done
		timeout 60 xl save sio /tmp/saved >/tmp/xl.log 2>&1 &&
			{ [ -z "$disk" ] || losetup /dev/loop7 || losetup /dev/loop7 /tmp/hda.img; } >>/tmp/xl.log 2>&1 &&
			timeout 60 xl restore /tmp/saved >>/tmp/xl.log 2>&1 || sed 's/^/    xl: /' /tmp/xl.log
	fi
	# Until it is gone, or has ended and waits for an xl that died.
	for ((end = SECONDS + 40; SECONDS < end;)); do
		state=$(xl list sio 2>/dev/null | awk 'NR == 2 { print $(NF - 1) }')
		case $state in
		'' | *[sc]-*) break ;;
		esac
		sleep 0.1
	done
	late=
	case $state in
	'') ;;
	*)
		sleep 1
		xl destroy sio 2>/dev/null
		case $state in *[sc]-*) ;; *) late=", still there after 40 s" ;; esac
		;;
	esac
	log=$({ printf '%s' "$log"; xl dmesg -c; } | sed 's/^(XEN) //' | grep -vE '^HVM ?d?[0-9v]* (save|restore)')
	lines=$(grep -cE 'reflection: |Triple fault' <<<"$log")
	grep -E '^\(d[0-9]+\) (PASS|FAIL|SKIP|TIME|   )' <<<"$log" | sed 's/^([^)]*) //'
	ok=yes
	case $expected in
	end) grep -q '^(d[0-9]*) END' <<<"$log" && [ "$lines" = 0 ] || ok=no ;;
	crash) ! grep -q '^(d[0-9]*) \(END\|FAIL\)' <<<"$log" && [ "$lines" = 1 ] || ok=no ;;
	esac
	if [ -n "$disk" ]; then
		losetup -d /dev/loop7 2>/dev/null # (xl's script has done it already)
		sync
		check_pattern /tmp/hda.img || ok=no
		[ "$name" = blkfront-save ] || grep -q "persistent $persistent" <<<"$log" || ok=no
	fi
	! grep -qE 'Assertion|BUG|FATAL|panic|WARNING' <<<"$log" || ok=no
	if [ $ok = yes ] && [ -z "$late" ]; then
		say "PASS domain $name: $expected$(sed -n 's/.*\(reflection: \|\(Triple fault\)\)/: \2/p' <<<"$log")"
	else
		say "FAIL domain $name: not '$expected'$late"
		sed 's/^/    /' <<<"$log"
	fi
	[ -n "$mem" ] || mem=$(free_memory)
done

# What a domain leaves behind goes when its last reference does. One MiB is what rounding and the first
# saved image take; a page kept by each domain is not found by this.
for ((i = 0; i < 50; i++)); do
	[ "$(free_memory)" -lt $((mem - 1)) ] || break
	sleep 0.2
done
if [ "$(free_memory)" -ge $((mem - 1)) ]; then
	say "PASS no memory lost by $# domains ($mem MiB free after the first, $(free_memory) after the last)"
else
	say "FAIL free memory was $mem MiB after the first domain, is $(free_memory) now"
fi
