#!/usr/bin/env bash
# Measures the lab: seconds to a command, exit costs (exitcost.c, JSON), and seconds for QEMU with KVM
# inside the lab to boot a Debian kernel to its init and power off. Called from the host.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
# shellcheck source=tools/lib.sh
. "$root/tools/lib.sh"
lab=$root/build/lab

if [ "${SELFIO_LAB:-}" = 1 ]; then
	"$lab/exitcost"
	t=$(date +%s.%N)
	status=0
	timeout 100 qemu-system-x86_64 -accel kvm -cpu host -m 256 -display none -nodefaults -no-reboot \
		-kernel "$root/build/guests/vmlinuz-amd64" -initrd "$lab/measure.cpio" \
		-append 'console=ttyS0 quiet panic=-1' -serial "file:/tmp/guest.log" || status=$?
	e=$(date +%s.%N)
	grep -q '^nested guest is up' /tmp/guest.log || {
		cat /tmp/guest.log >&2
		die "the nested guest did not come up (QEMU's status: $status)"
	}
	awk -v a="$t" -v b="$e" 'BEGIN { printf "nested guest, to its init and off: %.1f s\n", b - a }'
	exit 0
fi

"$root/tools/guests/fetch.sh" linux-amd64 >/dev/null
mkdir -p "$lab"
gcc -O2 -o "$lab/exitcost" "$root/tools/lab/exitcost.c"
tree=$(mktemp -d "$lab/measure.XXXXXX")
trap 'rm -rf "$tree"' EXIT
mkdir -p "$tree"/{bin,dev}
cp /bin/busybox "$tree/bin/busybox"
printf '#!/bin/busybox sh\necho "nested guest is up"\n/bin/busybox poweroff -f\n' >"$tree/init"
chmod +x "$tree/init"
mknod "$tree/dev/console" c 5 1 2>/dev/null || true # without root: no console, the guest is silent
(cd "$tree" && find . | cpio -o -H newc --quiet) >"$lab/measure.cpio"

t=$(date +%s.%N)
"$root/dev" lab true </dev/null
awk -v a="$t" -v b="$(date +%s.%N)" 'BEGIN { printf "lab, \"true\" from start to end: %.1f s\n", b - a }'
"$root/dev" lab --timeout 300 "$root/tools/lab/measure.sh" </dev/null
