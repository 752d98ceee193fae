#!/bin/bash
# The VM tests: real guests on selfio, on this machine's KVM where `selfio check` finds it good, otherwise
# in the lab.
#
#   tests/run.sh [--list] [--all] [--quick] [--jobs N] [--keep] [PATTERN...]
#
# Without an argument the quick ones run: about ten minutes in the lab; --all takes about fifty there.
# PATTERN is a test's name or a shell pattern (boot-*); see tests/vm/run.py. The last line is
# "N passed, N failed, N skipped". Logs: build/vm-test, or build/lab/out/vm from the lab.
# SELFIO_LAB_SMP, SELFIO_LAB_MEM and SELFIO_TEST_TIMEOUT (2, 8192M, 4200 s) size the lab's run.
set -euo pipefail

top=$(cd "$(dirname "$0")/.." && pwd)
# shellcheck source=tools/lib.sh
. "$top/tools/lib.sh"
[ $# -gt 0 ] || set -- --quick
args=()
for a in "$@"; do
	[ "$a" = --all ] || args+=("$a")
done
driver=(/usr/bin/python3 -B "$top/tests/vm/run.py" ${args[@]+"${args[@]}"})

for a in "$@"; do
	case $a in
	--list | -h | --help) exec "${driver[@]}" ;;
	esac
done
selfio=${SELFIO:-$top/build/selfio}
[ -x "$selfio" ] || die "$selfio is not there: ./dev build"

guests=${SIO_GUESTS:-$top/build/guests}
mkdir -p "$guests" "$top/build/vm-test"
prepare() {
	"$top/tools/guests/fetch.sh" all
	"$top/tools/guests/programs.sh"
	for arch in amd64 i386; do
		"$top/tools/guests/initramfs.sh" $arch "$guests/test-$arch.cpio"
	done
	for kind in demo grubtest memtest; do
		"$top/tools/guests/diskimage.sh" --kind $kind
	done
}
# A guest that can't be had makes its tests skip themselves; the others run.
prepare >"$top/build/vm-test/prepare.log" 2>&1 || {
	note "preparing the guests failed (build/vm-test/prepare.log): the tests that need them are skipped"
	tail -n 5 "$top/build/vm-test/prepare.log" >&2
}

if "$selfio" check >"$top/build/vm-test/check.out" 2>&1; then
	note "VM tests on this machine's KVM"
	exec "${driver[@]}"
fi
limit=${SELFIO_TEST_TIMEOUT:-4200}
note "VM tests in the lab (up to $((limit / 60)) minutes): $(tail -n 1 "$top/build/vm-test/check.out")"
out=$top/build/vm-test/lab.out
status=0
SELFIO_NO_SETUP=1 "$top/dev" lab --smp "${SELFIO_LAB_SMP:-2}" --mem "${SELFIO_LAB_MEM:-8192M}" \
	--timeout "$limit" "${driver[@]}" </dev/null | tee "$out" || status=$?
lab_result "$out" "$status"
