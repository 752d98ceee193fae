#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# What must hold of the firmware as it was built.
#   firmware.sh BUILD
set -euo pipefail
build=${1:?usage: firmware.sh BUILD}
elf=$build/selfio-fw.elf
objs=$build/selfio-fw.elf.p

image_max=$((256 * 1024)) # loaded bytes of the file
image_off=$((0x20000))    # SIO_IMAGE_OFF: config page and slots lie below
priv_max=$((0xe0000))         # private memory of a domain with 2 vCPUs and a disk (vmm/home.c)
heap_min=$((192 * 1024))  # of it: virtqueues, the machine and its models
frame_max=3072            # stack of one function; a stack has 8 KiB

bad=0
complain() {
	echo "firmware: $*"
	bad=1
}

[ -f "$elf" ] || { echo "SKIP: there is no $elf"; exit 77; }

mapfile -t models < <(find "$objs" -name '*models_*.o' | sort)
[ "${#models[@]}" -gt 0 ] || complain "no objects of models/ in $objs"

# Writable data: none, constants that hold addresses (.data.rel.ro) aside.
for o in "${models[@]}"; do
	size -A "$o" | awk -v o="${o##*/}" '
		/^\.(data|bss|tdata|tbss|init_array|ctors)/ && !/^\.data\.rel\.ro/ && $2 > 0 {
			print o ": " $2 " bytes in " $1; n++ }
		END { exit n > 0 }' || bad=1
	nm "$o" | awk -v o="${o##*/}" '$2 == "C" { print o ": common symbol " $3; n++ } END { exit n > 0 }' ||
		bad=1
done
[ "$bad" -eq 0 ] || complain "models/ must have no writable file-scope data"

# Models call each other and mem*, nothing else.
undefined=$(nm -u "${models[@]}" | awk 'NF == 2 && $1 == "U" { print $2 }' | sort -u |
	comm -23 - <(nm --defined-only "${models[@]}" | awk 'NF == 3 { print $3 }' | sort -u) |
	grep -vxE 'mem(cpy|set|move|cmp)|_GLOBAL_OFFSET_TABLE_' || true)
[ -z "$undefined" ] || complain "models/ need what is not theirs:" $undefined

undefined=$(nm -u "$elf")
[ -z "$undefined" ] || complain "undefined in the image:" $undefined

# Segments: what is loaded, and no page both writable and executable.
filesz=0 memsz=0 rwx=0
while read -r _ _ vaddr _ file mem flags; do
	filesz=$((filesz + file))
	[ $((vaddr + mem)) -le "$memsz" ] || memsz=$((vaddr + mem))
	case $flags in *W*E*) rwx=1 ;; esac
done < <(readelf -lW "$elf" | grep -w LOAD)
echo "image: $filesz bytes loaded, $memsz bytes in memory"
[ "$filesz" -gt 0 ] && [ "$filesz" -lt "$image_max" ] ||
	complain "the loaded image has $filesz bytes, $image_max are too many"
[ "$rwx" -eq 0 ] || complain "a segment is writable and executable"
[ $((image_off + memsz + heap_min)) -le "$priv_max" ] ||
	complain "$memsz bytes of image leave less than $heap_min of $priv_max for the heap"
readelf -nW "$elf" | grep -q selfio || complain "no ABI note"

# Vector and x87 registers are not saved: no instruction may use them.
vector=$(objdump -d --no-show-raw-insn "$elf" | grep -cE '%([xyz]mm|mm)[0-9]|%st\b|	f(ld|st|ild|add|mul|div|init)' || true)
[ "$vector" -eq 0 ] || complain "$vector instructions use vector or x87 registers"

# Each C source is compiled with a stack budget.
without=$(grep -F '"command":' "$build/compile_commands.json" | grep -F 'selfio-fw.elf.p' |
	grep -E '\.c",?$|\.c"' | grep -cvE -- "-W(error=)?frame-larger-than=([0-9]{1,3}|[12][0-9]{3}|30[0-6][0-9]|307[0-2])\b" || true)
[ "$without" -eq 0 ] || complain "$without sources compiled without a stack budget of $frame_max bytes"

exit "$bad"
