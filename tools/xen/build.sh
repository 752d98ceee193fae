#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Build Debian 12's Xen with our patches: build/xen/xen-debug, build/xen/xen-release (ELF, as QEMU's
# -kernel takes them) and, for comparison, build/xen/xen-stock.
#
#   tools/xen/build.sh [--real] [debug] [release] [stock]     (default: debug release)
#
# The source is fetched as a Debian source package, once. "debug" and "release" have xen/patches/ and
# xen/reflect.c; "stock" has nothing of ours. All have xen/lab/, which works around a bug of QEMU's
# software emulation of SVM, unless --real is given: for machines, not for the lab.
# A second run compiles what has changed. Exit status 77: the source can't be had.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
# shellcheck source=tools/lib.sh
. "$root/tools/lib.sh"
xen_dir=${SIO_XEN:-$root/build/xen}
# shellcheck source=tools/xen/apt.sh
. "$root/tools/xen/apt.sh"
version=4.17.5+72-g01140da4e8-1

real='' variants=()
for a in "$@"; do
	case $a in
	--real) real=-real ;;
	debug | release | stock) variants+=("$a") ;;
	*) die "usage: tools/xen/build.sh [--real] [debug] [release] [stock]" ;;
	esac
done
[ ${#variants[@]} -gt 0 ] || variants=(debug release)

for tool in gcc make flex bison m4 patch dpkg-source; do
	command -v "$tool" >/dev/null || die "$tool is needed to build Xen; ./dev setup installs it"
done
mkdir -p "$xen_dir"
exec 9>"$xen_dir/.build.lock"
flock -w 1800 9 || die "another build has held $xen_dir/.build.lock for half an hour"

fetch() {
	[ ! -d "$xen_dir/src" ] || return 0
	apt_setup
	note "fetching Xen's source, $version"
	rm -rf "$xen_dir/dsc" "$xen_dir/src.new"
	mkdir "$xen_dir/dsc"
	if ! (cd "$xen_dir/dsc" && apt-get "${apt_opts[@]}" -qq source --download-only "xen=$version") >&2; then
		note "Debian's source package xen $version can't be fetched"
		exit 77
	fi
	dpkg-source --no-check -x "$xen_dir"/dsc/*.dsc "$xen_dir/src.new" >"$xen_dir/unpack.log" 2>&1
	mv "$xen_dir/src.new" "$xen_dir/src"
}

# What differs between the patched source and what is built is copied: make sees the changes only.
sync() {
	/usr/bin/python3 - "$@" <<-'PY'
	import filecmp, os, shutil, sys
	new, tree = sys.argv[1:]
	for folder, _, files in os.walk(new):
	    to = os.path.join(tree, os.path.relpath(folder, new))
	    os.makedirs(to, exist_ok=True)
	    for f in files:
	        a, b = os.path.join(folder, f), os.path.join(to, f)
	        if os.path.islink(a):
	            if not os.path.lexists(b):
	                os.symlink(os.readlink(a), b)
	        elif not os.path.exists(b) or not filecmp.cmp(a, b, shallow=False):
	            shutil.copyfile(a, b)
	            shutil.copymode(a, b)
	PY
}

# Only xen/ of the source package is needed to build the hypervisor.
patched() {
	local name=$1 new=$2 p
	local patches=()
	[ -n "$real" ] || patches+=("$root"/xen/lab/*.patch)
	[ "$name" = stock ] || patches+=("$root"/xen/patches/*.patch)
	rm -rf "$new"
	mkdir "$new"
	(cd "$xen_dir/src" && cp -a xen Config.mk config scripts version.sh "$new/")
	for p in "${patches[@]}"; do
		[ ! -f "$p" ] || patch -d "$new" -p1 -s -N -i "$p" >&2 || die "$p does not apply"
	done
	[ "$name" != stock ] || return 0
	cp "$root/xen/reflect.c" "$new/xen/arch/x86/hvm/reflect.c"
	cp "$root/include/sio/xen.h" "$new/xen/include/public/hvm/reflect.h"
}

build() {
	local name=$1 tree=$xen_dir/$1$real debug='# CONFIG_DEBUG is not set'
	[ "$name" != debug ] || debug=CONFIG_DEBUG=y
	patched "$name" "$xen_dir/new"
	sync "$xen_dir/new" "$tree"
	rm -rf "$xen_dir/new"
	local make=(make -C "$tree/xen" -j"${SIO_JOBS:-$(nproc)}" XEN_TARGET_ARCH=x86_64 debug=n)
	if [ ! -f "$tree/xen/.config" ]; then
		echo "$debug" >"$tree/xen/.config"
		"${make[@]}" olddefconfig >"$tree/build.log" 2>&1 || die "configuring Xen failed: $tree/build.log"
	fi
	note "building $name$real"
	if ! "${make[@]}" >"$tree/build.log" 2>&1; then
		grep -B2 -A8 -E '(error|Error|warning):' "$tree/build.log" | head -n 60 >&2
		die "building Xen failed: $tree/build.log"
	fi
	# (QEMU's -kernel takes the ELF file as multiboot, a gzipped one not)
	gunzip -c "$tree/xen/xen.gz" >"$xen_dir/xen-$name$real.new"
	mv "$xen_dir/xen-$name$real.new" "$xen_dir/xen-$name$real"
	echo "$xen_dir/xen-$name$real"
}

fetch
for v in "${variants[@]}"; do
	build "$v"
done
