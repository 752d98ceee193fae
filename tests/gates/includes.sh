#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Who may include whom: docs/architecture.md has the table, this enforces it. Prints what breaks it.
#   includes.sh [ROOT]
set -euo pipefail
cd "${1:-$(dirname "$0")/../..}"

# folder: the folders that it may include besides itself (and what those may include); then the
# system's headers that it may use, "*" for all: what runs in the firmware has no C library.
freestanding='stdarg.h stdatomic.h stdbool.h stddef.h stdint.h string.h'
table="
include    :                                           : stddef.h stdint.h
lib        : include                                   : $freestanding
models     : include lib                               : $freestanding
boards     : include lib models                        : $freestanding
drivers    : include lib                               : $freestanding
firmware   : include lib models boards drivers         : $freestanding
vmm        : include lib backends                      : *
backends   : include lib                               : *
placements : include lib models boards drivers backends firmware vmm: *
"
# A PV front end is a disk, a byte stream, a network or a virtio device to the models: it implements these interfaces;
# net_csum.h knows where the headers of a frame lie.
exceptions='drivers:models/blk.h drivers:models/chr.h drivers:models/net.h drivers:models/net_csum.h drivers:models/virtio_dev.h'

allowed() { # FOLDER KIND(2 folders, 3 system headers)
	printf '%s' "$table" | awk -F: -v f="$1" -v k="$2" '{ gsub(/ /, "", $1) } $1 == f { print $k }'
}

bad=0
offend() {
	echo "$1:$2: $3"
	bad=1
}

for folder in include lib models boards drivers firmware vmm backends placements; do
	[ -d "$folder" ] || continue
	folders=" $folder $(allowed "$folder" 2) "
	system=" $(allowed "$folder" 3) "
	while IFS=: read -r file line text; do
		name=${text#*[<\"]}
		name=${name%%[>\"]*}
		case $text in
		*include*\<*)
			case $system in
			*' * '* | *" $name "*) ;;
			*) offend "$file" "$line" "$folder/ has no <$name>" ;;
			esac
			continue
			;;
		esac
		if [ -f "$name" ]; then
			target=${name%%/*}
		elif [ -f "include/$name" ]; then
			target=include
		elif [ -f "$(dirname "$file")/$name" ]; then
			case $name in
			*../*) offend "$file" "$line" "\"$name\": write the path from the root" ;;
			esac
			target=$folder
		else
			offend "$file" "$line" "\"$name\" is neither at the root nor in include/"
			continue
		fi
		case $folders in
		*" $target "*) continue ;;
		esac
		case " $exceptions " in
		*" $folder:$name "*) continue ;;
		esac
		offend "$file" "$line" "$folder/ may not include $target/ (\"$name\")"
	done < <(grep -rnE '^[[:space:]]*#[[:space:]]*include' --include='*.[chS]' "$folder")
done
[ "$bad" -eq 0 ] || echo "includes: the lines above break the table of docs/architecture.md"
exit "$bad"
