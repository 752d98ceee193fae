#!/bin/bash
# Measures selfio side by side with QEMU on the same kernel, in one run: single accesses in each home of the
# models, and disks: exits, time and throughput, time to the guest's init, memory of the host process.
#
#   bench/run.sh [--quick] [--runs N] [--reads N] [--no-registers] [--no-disks] [--only NAME]...
#                                                             (./dev bench, selfio bench)
#   bench/run.sh net [--runs N] [--only NAME]... [--profile]  network cards: throughput, latency, packets, exits
#   bench/run.sh profile [--only NAME]...                    where the time of a disk request goes, from a trace
#
# Runs on this machine's KVM where `selfio check` finds it good, otherwise in the lab. The tables, the figures
# and a plot go to build/bench/bench.md, bench.json and regs.png.
set -euo pipefail

top=$(cd "$(dirname "$0")/.." && pwd)
# shellcheck source=tools/lib.sh
. "$top/tools/lib.sh"
what=bench
case ${1:-} in net | profile) what=$1 && shift ;; esac
driver=(/usr/bin/python3 -B "$top/bench/$what.py" "$@")
for a in "$@"; do
	case $a in
	-h | --help) exec "${driver[@]}" ;;
	esac
done
selfio=${SELFIO:-$top/build/selfio}
[ -x "$selfio" ] || die "$selfio is not there: ./dev build"

guests=${SIO_GUESTS:-$top/build/guests}
out=$top/build/bench
mkdir -p "$guests" "$out"
"$top/tools/guests/programs.sh" readlat nettool >"$out/prepare.log"
[ $what != net ] || "$top/tools/guests/initramfs.sh" amd64 "$guests/test-amd64.cpio" >>"$out/prepare.log"
"$top/tools/guests/initramfs.sh" amd64 "$guests/bench-amd64.cpio" --module virtio_pci --module virtio_blk \
	"$top/tests/vm/guest/lat.sh" "$top/tests/vm/guest/readlat.c" >>"$out/prepare.log"

if "$selfio" check >"$out/check.out" 2>&1; then
	exec "${driver[@]}"
fi
note "measuring in the lab: $(tail -n 1 "$out/check.out")"
SELFIO_NO_SETUP=1 "$top/dev" lab --smp 2 --mem 4096M --timeout "${SELFIO_BENCH_TIMEOUT:-5400}" \
	"${driver[@]}" </dev/null && status=0 || status=$?
cp "$top"/build/lab/out/bench/* "$out/" # what there is, if some contestant failed
exit $status
