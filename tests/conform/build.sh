#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Builds one conformance program's BIOS image.  Meson gives: build.sh NAME GUEST-FOLDER OUT [SOURCE]
set -eu
name=$1 guest=$2 out=$3
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
"${CC:-gcc}" -m32 -std=gnu17 -Os -Wall -Wextra -Wshadow -Wno-unused-parameter -Werror -ffreestanding \
	-fno-pic -fno-pie -no-pie -fno-stack-protector -fcf-protection=none -mgeneral-regs-only \
	-fno-asynchronous-unwind-tables -fno-tree-loop-distribute-patterns -fno-strict-aliasing \
	-nostdlib -static -Wl,-T,"$guest/rom.lds" -Wl,--build-id=none -Wl,-z,noexecstack \
	-Wl,--no-warn-rwx-segments -o "$tmp/elf" "$guest/entry.S" "$guest/rt.c" "$guest/ide.c" "${4:-$guest/$name.c}" -I"$guest"
objcopy -O binary -j .text -j .start16 -j .reset --gap-fill 0xff "$tmp/elf" "$out"
