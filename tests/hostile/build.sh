#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Builds one hostile image.  Meson gives: build.sh NAME SOURCE-ROOT OUT DEPFILE
set -eu
name=$1 root=$2 out=$3 dep=$4
here=$root/tests/hostile
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
phase=$(printf %.1s "$name")
# SIO_PRIV_BASE + SIO_IMAGE_OFF; unused attacks are left out by the compiler.
"${CC:-gcc}" -m32 -std=gnu17 -O1 -Wall -Wextra -Wno-unused-function -Werror -ffreestanding -fno-pic -fno-pie \
	-fno-stack-protector -fcf-protection=none -mgeneral-regs-only -malign-double -fno-asynchronous-unwind-tables \
	-I"$root" -I"$root/include" -DATTACK="$name" -DPHASE="'$phase'" -MD -MF "$dep" -MT "$out" \
	-c "$here/hostile.c" -o "$tmp/o"
ld -m elf_i386 -N --no-warn-rwx-segments -T "$here/hostile.lds" "$tmp/o" -o "$tmp/elf"
objcopy -O binary "$tmp/elf" "$tmp/raw"
python3 "$here/image.py" "$tmp/raw" "$out"
