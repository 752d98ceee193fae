#!/bin/bash
# Build the programs that run inside guests (tests/vm/guest/*.c): static, amd64, into
# build/guests/bin.  The same files run on the host (diskmix --model, flushlog --check).
# There is no i386 build, as that would need gcc-multilib: i386 guests run busybox scripts.
#
#   tools/guests/programs.sh [NAME...]     all if no name is given; prints the paths
set -euo pipefail

top=$(cd "$(dirname "$0")/../.." && pwd)
dir=${SIO_GUESTS:-$top/build/guests}/bin
src=$top/tests/vm/guest
if [ $# -eq 0 ]; then
	for f in "$src"/*.c; do
		f=${f##*/}
		set -- "$@" "${f%.c}"
	done
fi

mkdir -p "$dir"
for n in "$@"; do
	[ -e "$src/$n.c" ] || { echo "programs.sh: no $src/$n.c" >&2; exit 2; }
	if [ ! -e "$dir/$n" ] || [ "$src/$n.c" -nt "$dir/$n" ] || [ "$src/guest.h" -nt "$dir/$n" ]; then
		${CC:-gcc} -static -s -O2 -std=gnu17 -Wall -Wextra -Wshadow -pthread \
			-o "$dir/$n.$$" "$src/$n.c"
		mv "$dir/$n.$$" "$dir/$n"
	fi
	echo "$dir/$n"
done
