#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Line coverage of models/ by the unit tests: a table, and a failure below the limit.
#   coverage.sh BUILD [LIMIT]
#
# Runs the unit tests itself.  Counters of earlier runs of the same build add to it: they are of the
# same tests.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
build=$(cd "${1:?usage: coverage.sh BUILD [LIMIT]}" && pwd)
limit=${2:-85}
unit=$build/tests/unit
command -v gcovr >/dev/null || { echo "SKIP: gcovr is not installed"; exit 77; }
ls "$unit"/libunit.a.p/*.gcno >/dev/null 2>&1 || { echo "SKIP: $unit was not compiled for coverage"; exit 77; }

log=$(mktemp)
trap 'rm -f "$log"' EXIT
for t in "$unit"/test_*; do
	[ -f "$t" ] && [ -x "$t" ] || continue
	"$t" >"$log" 2>&1 || [ $? -eq 77 ] || {
		echo "${t##*/} fails:"
		tail -n 20 "$log"
		exit 1
	}
done
cd "$build"
gcovr --root "$root" --filter "$root/models/" --object-directory "$build" --fail-under-line "$limit" "$unit"
