#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Builds one fuzzer with clang, whatever the rest is built with.  Meson gives:
#   cc.sh CLANG OUT DEPFILE LINK-OPTIONS OBJECT-DIR INCLUDE-DIRS... -- SOURCES...
set -eu
clang=$1 out=$2 dep=$3 link=$4 dir=$5
shift 5
flags='-std=gnu17 -g -O1 -D_GNU_SOURCE -Wall -Wextra -Wno-unused-parameter
	-fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all'
while [ "$1" != -- ]; do
	flags="$flags -I$1"
	shift
done
shift
mkdir -p "$dir"
objs='' n=0
for src; do
	case $src in
	*.c) ;;
	*) continue ;;
	esac
	n=$((n + 1))
	# What is under test guides the fuzzer; the harness and the buses would only slow it.
	case $src in
	*/pci_cfg.c) cover= ;; # its check of 256 registers after each step
	*/models/* | models/* | *backends/* | *drivers/* | *vmm/*) cover=-fsanitize=fuzzer-no-link ;;
	*) cover= ;;
	esac
	# shellcheck disable=SC2086
	"$clang" $flags $cover -MMD -MF "$dir/$n.d" -MT "$out" -c "$src" -o "$dir/$n.o"
	objs="$objs $dir/$n.o"
done
# shellcheck disable=SC2086
"$clang" $flags -fsanitize=fuzzer $objs $link -lpthread -o "$out"
cat "$dir"/*.d >"$dep"
