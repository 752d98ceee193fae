#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Tests of whole guests on Xen: Linux in domains with selfio's firmware, started by xl, disks through blkback.
#
#   tests/xen/guests.sh [--list] [--release] [--share] [--timeout S] [--words=WORDS] [NAME...]
#
# A NAME is a test's or a shell pattern (tests/xen/guests.py has them; default: those that ten minutes are enough for).
# WORDS are for the firmware of every guest (docs/xen.md). --share: beside another one that was started before, in this tree,
# with the same tests: each takes what the other has not taken yet.
# Logs are in build/lab/out/xen. The last line is "N passed, N failed, N skipped".
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
# shellcheck source=tools/lib.sh
. "$root/tools/lib.sh"
# shellcheck source=tests/xen/ready.sh
. "$root/tests/xen/ready.sh"
xen_dir=${SIO_XEN:-$root/build/xen}
variant=debug limit=1800 shared='' names=()
while [ $# -gt 0 ]; do
	case $1 in
	--list) exec /usr/bin/python3 -B "$root/tests/xen/guests.py" --list ;;
	--release) variant=release ;;
	--timeout) limit=$2 && shift ;;
	--share) shared=-shared names+=("$1") ;;
	--words=*) names+=("$1") ;;
	-*) die "tests/xen/guests.sh: no such option: $1" ;;
	*) names+=("$1") ;;
	esac
	shift
done

[ -f "$root/build/selfio-fw-xen.elf" ] || die "build/selfio-fw-xen.elf is not there: ./dev build"
xen_ready xen-guests "$variant"
[ -n "$shared" ] || xen_guests

out=$xen_dir/guests$shared.out status=0
"$root/tools/xen/lab.sh" "--$variant" --timeout "$limit" \
	/usr/bin/python3 -B "$root/tests/xen/guests.py" ${names[@]+"${names[@]}"} </dev/null | tee "$out" || status=$?
lab_result "$out" "$status"
