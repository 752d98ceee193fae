#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Tests of reflection on Xen: small domains on our hypervisor in the lab.
#
#   tests/xen/run.sh [--release] [--times] [NAME...]
#
# A NAME is one of those below (default: all of them). --times measures instead, on our Xen and on an
# unpatched one. The last line is "N passed, N failed, N skipped".
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
# shellcheck source=tools/lib.sh
. "$root/tools/lib.sh"
# shellcheck source=tests/xen/ready.sh
. "$root/tests/xen/ready.sh"
xen_dir=${SIO_XEN:-$root/build/xen}

variant=debug times=
tests=(
	without=end all=end hvm=end save=end flood=end slot-page-gone=end blkfront=end blkfront-mapped=end
	blkfront-save=end
	entry-no-ram=crash slots-no-ram=crash slots-unaligned=crash shared-no-ram=crash
	return-without-setup=crash return-without-entry=crash entry-garbage=crash
	nested-port=crash nested-memory=crash jump-nowhere=crash guest-overwrites-firmware=crash
	ops-too-many=crash map-too-many=crash
)
# domain.c's bad_ops[]
for op in op-code op-none map-space map-both map-kind map-empty map-port map-wrap map-twice map-shadow \
	map-shadow-flag map-shadow-long unmap-part vector vector-vcpu vector-vcpu-wrap wake-vcpu channel channel-domain \
	notify close irq; do
	tests+=("$op=crash")
done

chosen=()
for a in "$@"; do
	case $a in
	--release) variant=release ;;
	--times) times=yes ;;
	*)
		for t in "${tests[@]}"; do
			[ "${t%%=*}" != "$a" ] || chosen+=("$t")
		done
		;;
	esac
done
[ $# -eq 0 ] || [ ${#chosen[@]} -eq 0 ] || tests=("${chosen[@]}")

xen_ready xen "$variant"

kernel=$xen_dir/domain.elf
build() { # OUTPUT [OPTION...]
	gcc -m32 -march=i686 -std=gnu17 -O1 -ffreestanding -fno-pic -no-pie -fno-stack-protector \
		-mgeneral-regs-only -fcf-protection=none -fno-asynchronous-unwind-tables \
		-Wall -Wextra -Wshadow -Werror "${@:2}" -I "$root/include" -nostdlib -static \
		-Wl,--build-id=none -Wl,-z,noexecstack -Wl,--no-warn-rwx-segments \
		-Wl,-T,"$root/tests/xen/link.ld" "$root/tests/xen/entry.S" "$root/tests/xen/domain.c" -o "$1"
}
build "$kernel"
build "${kernel%.elf}-save.elf" -DHVM_NAME='"save"'
build "${kernel%.elf}-hvm-times.elf" -DHVM_NAME='"time-without"'
# The firmware's drivers, in 64-bit mode. What takes hvmloader's place is a 32-bit file.
build64() { # OUTPUT [OPTION...]
	gcc -std=gnu17 -O2 -ffreestanding -fno-pic -no-pie -fno-stack-protector -mgeneral-regs-only -mno-red-zone \
		-fcf-protection=none -fno-asynchronous-unwind-tables -Wall -Wextra -Wshadow -Wno-unused-parameter \
		-Werror "${@:2}" -I "$root" -I "$root/include" -nostdlib -static -Wl,--build-id=none \
		-Wl,-z,noexecstack -Wl,--no-warn-rwx-segments -Wl,-T,"$root/tests/xen/link.ld" \
		"$root/tests/xen/entry64.S" "$root/tests/xen/blkfront.c" "$root/firmware/metal/mem.c" \
		"$root"/drivers/xen/{store,xen,xen_blk,xen_console}.c \
		"$root/lib/fmt.c" -o "$1"
}
build64 "${kernel%.elf}-blkfront.elf"
build64 "${kernel%.elf}-blkfront-save.elf" -DSAVE
objcopy -O elf32-i386 "${kernel%.elf}-blkfront-save.elf"

# What they know of Xen is what Xen's own headers say.
gcc -std=gnu17 -fsyntax-only -Wall -Wextra -Werror -I "$root" -isystem "$xen_dir/root/usr/include" \
	"$root/tests/xen/abi.c" || die "drivers/xen/abi.h is not Xen's ABI"

lab() {
	"$root/tools/xen/lab.sh" "$@" 2>&1 || echo "FAIL the lab ended with status $?"
}

out=$xen_dir/test.out
: >"$out"
if [ -n "$times" ]; then
	[ -f "$xen_dir/xen-stock" ] || "$root/tools/xen/build.sh" stock >/dev/null
	[ -f "$xen_dir/xen-release" ] || "$root/tools/xen/build.sh" release >/dev/null
	xen_guests
	# Boots of the two take turns: what code is where in memory makes a difference of some percent too.
	for turn in 1 2 3; do
		for v in stock release; do
			names=(time-without=end hvm-times=end time-without=end)
			[ $v$turn != release1 ] || names+=(time=end)
			echo "RUN $v $turn"
			lab --$v --timeout 200 "$root/tests/xen/dom0.sh" "$kernel" "${names[@]}"
		done
	done | tee -a "$out"
	lab --release --timeout 1200 /usr/bin/python3 -B "$root/tests/xen/bench.py" | tee -a "$out"
	/usr/bin/python3 -B "$root/tests/xen/table.py" "$out" | tee "$xen_dir/bench.md"
else
	lab "--$variant" --timeout 900 "$root/tests/xen/dom0.sh" "$kernel" "${tests[@]}" | tee -a "$out"
fi
count() { grep -c "^$1 " "$out" || true; }
failed=$(count FAIL)
echo "$(count PASS) passed, $failed failed, $(count SKIP) skipped"
[ "$failed" = 0 ]
