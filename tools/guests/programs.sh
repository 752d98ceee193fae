#!/bin/bash
# Build the programs that run inside guests (tests/vm/guest/*.c): static, amd64 or (--i386) i386, into
# build/guests/bin or bin-i386.  The former also run on the host (diskmix --model, flushlog --check).
# The compiler's 32-bit libraries are fetched (fetch.sh libc-i386), not installed.
#
#   tools/guests/programs.sh [--i386] [NAME...]     all if no name is given; prints the paths
set -euo pipefail

top=$(cd "$(dirname "$0")/../.." && pwd)
guests=${SIO_GUESTS:-$top/build/guests}
dir=$guests/bin
src=$top/tests/vm/guest
options=()
if [ "${1:-}" = --i386 ]; then
	shift
	dir=$guests/bin-i386
	libs=$("$top/tools/guests/fetch.sh" libc-i386)
	options=(-m32 -D_FILE_OFFSET_BITS=64 -D_TIME_BITS=64
		-idirafter "$libs/include" -idirafter /usr/include/x86_64-linux-gnu)
	for l in "$libs/lib32" "$libs/lib/gcc/x86_64-linux-gnu/$(gcc -dumpversion)/32"; do
		options+=(-B"$l" -L"$l")
	done
fi
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
		${CC:-gcc} ${options[@]+"${options[@]}"} -static -s -O2 -std=gnu17 -Wall -Wextra -Wshadow -pthread \
			-o "$dir/$n.$$" "$src/$n.c"
		mv "$dir/$n.$$" "$dir/$n"
	fi
	echo "$dir/$n"
done
