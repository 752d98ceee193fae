#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Each header compiles alone: it includes what it needs.
#   headers.sh [ROOT]      CC: the compiler
set -euo pipefail
cd "${1:-$(dirname "$0")/../..}"
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

mapfile -t headers < <(find include lib models boards drivers firmware vmm backends placements tests \
	-name '*.h' 2>/dev/null | sort)
bad=0 n=0
for h in "${headers[@]}"; do
	# Twice: the guard against that works too.
	printf '#include "%s"\n#include "%s"\n' "$h" "$h" >"$tmp/alone.c"
	if ! ${CC:-gcc} -std=gnu17 -D_GNU_SOURCE -I. -Iinclude -fsyntax-only -Wall -Wextra \
		-Wstrict-prototypes -Wno-unused-parameter -Wno-unused-function -Werror "$tmp/alone.c"; then
		echo "$h does not compile alone"
		bad=1
	fi
	n=$((n + 1))
done
echo "$n headers"
[ "$n" -gt 0 ] || bad=1
exit "$bad"
