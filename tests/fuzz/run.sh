#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Replays what is kept of a fuzzer, then fuzzes on.
#   run.sh TARGET [LIBFUZZER-OPTION]...
#
#   tests/fuzz/run.sh models -runs=1000000
#
# New inputs that reach something new go to the build folder (fuzz-corpus/TARGET); findings are
# named and kept there too: move one into tests/fuzz/crashes/TARGET/ with its repair.
# "run.sh --merge TARGET" takes the build folder's inputs into the kept corpus, the fewest that
# reach as much.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
build=${SELFIO_BUILD:-$here/../../build}
merge=
if [ "${1:-}" = --merge ]; then
	merge=1
	shift
fi
target=${1:?usage: run.sh [--merge] TARGET [LIBFUZZER-OPTION]...}
shift
exe=$build/tests/fuzz/fuzz_$target
work=$build/fuzz-corpus/$target
seeds=$here/corpus/$target
crashes=$here/crashes/$target
found=$build/fuzz-findings
max_seeds=100 max_len=600
if [ ! -x "$exe" ]; then
	echo "SKIP: $exe is not built (clang with libFuzzer is needed)"
	exit 77
fi
export ASAN_OPTIONS=${ASAN_OPTIONS:-allocator_may_return_null=1:detect_leaks=1}
export UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1}
mkdir -p "$work" "$found"
options=(-max_len="$max_len" -timeout=20 -rss_limit_mb=1024 -artifact_prefix="$found/$target-")

if [ -n "$merge" ]; then
	tmp=$(mktemp -d)
	trap 'rm -rf "$tmp"' EXIT
	# Edges only: the fewest files for a repository. Fuzzing finds the rest again.
	"$exe" "${options[@]}" -merge=1 -set_cover_merge=1 -use_counters=0 -use_cmp=0 "$@" "$tmp" "$seeds" \
		"$work" 2>&1 | tail -n 1
	rm -f "$seeds"/*
	mapfile -t keep < <(find "$tmp" -type f -printf '%s %f\n' | sort -rn | head -n "$max_seeds" | cut -d' ' -f2)
	for f in "${keep[@]}"; do
		cp "$tmp/$f" "$seeds/${f:0:12}"
	done
	echo "kept ${#keep[@]} seeds"
	exit
fi

kept=()
for f in "$crashes"/* "$seeds"/*; do
	[ ! -f "$f" ] || kept+=("$f")
done
if [ "${#kept[@]}" -gt 0 ]; then
	"$exe" "${options[@]}" "${kept[@]}" >"$found/$target.log" 2>&1 || {
		tail -n 60 "$found/$target.log"
		echo "fuzz_$target: a kept input fails"
		exit 1
	}
fi
echo "replayed ${#kept[@]} kept inputs"
"$exe" "${options[@]}" -print_final_stats=1 "$@" "$work" "$seeds" >"$found/$target.log" 2>&1 || {
	tail -n 60 "$found/$target.log"
	echo "fuzz_$target: a finding; its input is $found/$target-*"
	exit 1
}
grep -E 'stat::number_of_executed_units|^Done' "$found/$target.log"
