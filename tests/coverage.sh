#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Line coverage of models/ by the unit tests: a table, and a failure below the limit.
#   coverage.sh BUILD [LIMIT]
#
# Runs the unit tests itself, with counters of its own: what other runs left behind does not count.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
build=$(cd "${1:?usage: coverage.sh BUILD [LIMIT]}" && pwd)
limit=${2:-85}
lib=tests/unit/libunit.a.p
command -v gcovr >/dev/null || { echo "SKIP: gcovr is not installed"; exit 77; }
ls "$build/$lib"/*.gcno >/dev/null 2>&1 || { echo "SKIP: $build/$lib was not compiled for coverage"; exit 77; }

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
# Counters go to $tmp/$lib, where gcovr finds the notes beside them.
depth=$(tr -cd / <<<"$build" | wc -c)
mkdir -p "$tmp/$lib"
find "$build/$lib" -name "*.gcno" -exec cp -t "$tmp/$lib" {} +
run() {
	GCOV_PREFIX=$tmp GCOV_PREFIX_STRIP=$depth "$1" >"$tmp/${1##*/}.log" 2>&1 || {
		[ $? -eq 77 ] || { echo "${1##*/} fails:" && tail -n 20 "$tmp/${1##*/}.log" && return 1; }
	}
}
export -f run
export tmp depth
find "$build/tests/unit" -maxdepth 1 -name 'test_*' -type f -perm -u+x -print0 |
	xargs -0 -n 1 -P 2 bash -c 'run "$0"'
cd "$build"
gcovr --root "$root" --object-directory "$tmp/$lib" --filter "$root/models/" --fail-under-line "$limit" \
	"$tmp/$lib"
