#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Fetch Debian 12's Xen user space (and QEMU for it) into build/xen/root and build/xen/qemu: packages are
# downloaded and unpacked, never installed.
#
#   tools/xen/fetch.sh [--qemu]
#
# Of what the packages depend on only libraries are taken. Exit status 77: they can't be had.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
# shellcheck source=tools/lib.sh
. "$root/tools/lib.sh"
xen_dir=${SIO_XEN:-$root/build/xen}
# shellcheck source=tools/xen/apt.sh
. "$root/tools/xen/apt.sh"

mkdir -p "$xen_dir"
exec 9>"$xen_dir/.fetch.lock"
flock -w 900 9 || die "another fetch has held $xen_dir/.fetch.lock for 15 minutes"

# closure PACKAGE...: these and the libraries that they need.
closure() {
	local todo=("$@") p q seen=' '
	while [ ${#todo[@]} -gt 0 ]; do
		p=${todo[0]} todo=("${todo[@]:1}")
		case $seen in *" $p "*) continue ;; esac
		seen+="$p "
		echo "$p"
		while read -r q; do
			case $q in
			libc6 | libgcc-s1 | libcrypt1) ;; # the host's, never older
			lib*) todo+=("$q") ;;
			esac
		done < <(apt-cache "${apt_opts[@]}" depends -i "$p" | sed -n 's/^ *\(Pre\)\?Depends: \([^<>]*\)$/\2/p')
	done
}

# unpack NAME PACKAGE...
unpack() {
	local name=$1 new=$xen_dir/.$1.new p
	shift
	[ ! -d "$xen_dir/$name" ] || return 0
	apt_setup
	note "fetching $*"
	mapfile -t packages < <(closure "$@")
	rm -rf "$new" "$xen_dir/.debs"
	mkdir -p "$new" "$xen_dir/.debs"
	if ! (cd "$xen_dir/.debs" && apt-get "${apt_opts[@]}" -qq download "${packages[@]}" >&2); then
		note "Debian's packages ${packages[*]} can't be fetched"
		exit 77
	fi
	for p in "$xen_dir"/.debs/*.deb; do
		dpkg-deb -x "$p" "$new"
	done
	rm -rf "$xen_dir/.debs"
	mv "$new" "$xen_dir/$name"
}

unpack root xen-utils-4.17 xen-utils-common xenstore-utils libxen-dev
[ "${1:-}" != --qemu ] || unpack qemu qemu-system-xen seabios
