#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# In the lab's dom0: starts a domain with selfio's firmware, shows its console, waits until it has ended.
#
#   domain.sh [--vcpus N] [--mem MIB] [--words TEXT] [--ramdisk FILE] [--reboots N] [--timeout S] [DISK...]
#
# DISKs (block devices or raw images of dom0's) are hda, hdb ...; --words go to the firmware (debugcon,
# boot-menu); --ramdisk is the BIOS image, or an archive with it (docs/xen.md). The domain is called "sio".
# Status 0: it powered itself off; 124: the time was over.
set -u
root=$(cd "$(dirname "$0")/../.." && pwd)
kernel=${SIO_FW_XEN:-$root/build/selfio-fw-xen.elf}
ramdisk=/usr/share/seabios/bios-256k.bin
vcpus=1 mem=512 words='' limit=600 reboots=0 disks=()

die() { echo "domain.sh: $*" >&2; exit 125; }
while [ $# -gt 0 ]; do
	case $1 in
	--vcpus) vcpus=$2 && shift ;;
	--mem) mem=$2 && shift ;;
	--words) words=$2 && shift ;;
	--ramdisk) ramdisk=$2 && shift ;;
	--timeout) limit=$2 && shift ;;
	--reboots) reboots=$2 && shift ;;
	-*) die "no such option: $1" ;;
	*) disks+=("$1") ;;
	esac
	shift
done
[ ${#disks[@]} -le 4 ] || die "four disks at most"
[ -f "$kernel" ] || die "$kernel is not there: ./dev build"
[ -f "$ramdisk" ] || die "$ramdisk is not there (Debian: package seabios)"

cfg=/tmp/sio.cfg
{
	cat <<-CFG
	name = "sio"
	type = "pvh"
	kernel = "$kernel"
	ramdisk = "$ramdisk"
	cmdline = "$words"
	memory = $mem
	vcpus = $vcpus
	# (without it TSC reads exit, and QEMU's emulation reports them wrongly)
	tsc_mode = "native"
	on_poweroff = "preserve"
	on_reboot = "preserve"
	on_crash = "preserve"
	CFG
	printf 'disk = [ '
	for i in "${!disks[@]}"; do
		letters=abcd
		printf '"format=raw,vdev=hd%s,access=rw,target=%s", ' "${letters:i:1}" "${disks[$i]}"
	done
	echo ']'
} >"$cfg"

state() { xl list sio 2>/dev/null | awk 'NR == 2 { print $(NF - 1) }'; }
status=124 end=$((SECONDS + limit))
while :; do
	# (xl dies now and then in the lab, of signals: under emulation, not with what we do)
	for _ in 1 2 3; do
		! timeout 90 xl create -q "$cfg" || break
		xl destroy sio 2>/dev/null
	done
	xl domid sio >/dev/null 2>&1 || die "xl can't create the domain"
	if [ -t 0 ]; then
		xl console sio &
	else
		tail -f /dev/null | xl console sio &
	fi
	console=$!
	echo "domain.sh: $(xl list sio | awk 'NR == 2 { printf "domain %s, %s MiB, %s vCPUs", $2, $3, $4 }')"
	shown='' began=$SECONDS
	while [ $SECONDS -lt $end ]; do
		s=$(state)
		case $s in '' | *[sc]-*) break ;; esac
		if [ -z "$shown" ] && [ $SECONDS -gt $((began + 15)) ]; then
			shown=yes
			xl list
			echo "domain.sh: device models in dom0: $(pgrep -c qemu || true)"
		fi
		sleep 0.5
	done
	sleep 1
	kill $console 2>/dev/null
	code=$(xl list -v sio 2>/dev/null | awk 'NR == 2 { print $8 }') # 0: power off, 1: reboot, 3: crash
	xl destroy sio
	case ${code:-$s} in
	0) status=0 && break ;;
	1)
		[ "$reboots" -gt 0 ] || break
		reboots=$((reboots - 1))
		echo "domain.sh: reboot"
		continue
		;;
	*) break ;;
	esac
done
[ $status = 0 ] || echo "domain.sh: the domain's state was '${s:-gone}'${code:+, reason $code}; Xen's last messages:" >&2
[ $status = 0 ] || xl dmesg | tail -n 40 >&2
exit $status
