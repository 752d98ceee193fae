#!/bin/bash
# Fetch what the guests are made of from Debian's packages, into build/guests.
#
#   tools/guests/fetch.sh [--update] NAME...     NAME of the list below, or "all"
#
# Packages are downloaded and unpacked (apt-get download, dpkg-deb -x), never installed: neither the
# host's packages nor its list of architectures change.  What is already there is not fetched again,
# and then no network is needed; --update looks for newer versions.  Prints the path of each result.
set -euo pipefail

usage() {
	cat <<-END
	usage: tools/guests/fetch.sh [--update] NAME...
	  linux-amd64    vmlinuz-amd64, modules-amd64 (Debian's generic kernel)
	  linux-686      vmlinuz-686, modules-686 (the last i386 kernel, Debian 12's)
	  busybox-amd64  busybox-amd64 (static)
	  busybox-i386   busybox-i386 (static)
	  grub           grub-i386-pc (modules and boot images), grub-mkimage, grub-mkrescue
	  u-boot         u-boot-x86.rom, u-boot-x86_64.rom
	  memtest        memtest-x64.bin, memtest-ia32.bin
	  libc-i386      libc-i386 (what gcc -m32 -static wants; not among "all")
	  all            all of these
	The results are links in build/guests.
	END
}

die() { echo "fetch.sh: $*" >&2; exit 2; }

top=$(cd "$(dirname "$0")/../.." && pwd)
dir=${SIO_GUESTS:-$top/build/guests}
update=no
names=()
for a in "$@"; do
	case $a in
	--update) update=yes ;;
	-h|--help) usage; exit 0 ;;
	all) names+=(linux-amd64 linux-686 busybox-amd64 busybox-i386 grub u-boot memtest) ;;
	linux-amd64|linux-686|busybox-amd64|busybox-i386|grub|u-boot|memtest|libc-i386) names+=("$a") ;;
	*) usage >&2; die "unknown name: $a" ;;
	esac
done
[ ${#names[@]} -gt 0 ] || { usage >&2; exit 2; }

mkdir -p "$dir/pkg" "$dir/debs"
exec 9>"$dir/.fetch.lock"
flock -w 900 9 || die "another fetch has held $dir/.fetch.lock for 15 minutes"

apt_ready=no
apt_opts=()

# A private apt: own lists, own (empty) dpkg status, both architectures.  i386 is always taken from
# Debian 12, because later releases have no i386 kernel.
apt_setup() {
	[ $apt_ready = no ] || return 0
	local a=$dir/apt
	mkdir -p "$a/lists/partial" "$a/cache/archives/partial" "$a/parts"
	: >"$a/status"
	/usr/bin/python3 - "$a/sources.list" <<-'END'
	import glob, os, sys
	found, codename = [], ""
	for line in open("/etc/os-release"):
	    if line.startswith("VERSION_CODENAME="):
	        codename = line.split("=")[1].strip().strip('"')
	for f in glob.glob("/etc/apt/sources.list.d/*.sources"):
	    stanza = {}
	    for line in open(f).read().split("\n") + [""]:
	        if line.startswith("#"):
	            continue
	        if not line.strip():
	            for u in stanza.get("uris", "").split():
	                for s in stanza.get("suites", "").split():
	                    found.append((u, s))
	            stanza = {}
	        elif ":" in line and not line[0].isspace():
	            k, v = line.split(":", 1)
	            stanza[k.lower()] = v.strip()
	for f in ["/etc/apt/sources.list"] + glob.glob("/etc/apt/sources.list.d/*.list"):
	    if os.path.exists(f):
	        for line in open(f):
	            w = [x for x in line.split() if not (x.startswith("[") or x.endswith("]"))]
	            if len(w) > 2 and w[0] == "deb":
	                found.append((w[1], w[2]))
	key = "/usr/share/keyrings/debian-archive-keyring.gpg"
	out = []
	for u, s in found:
	    base, _, rest = s.partition("-")
	    if base != codename or rest not in ("", "updates", "security"):
	        continue
	    arch = "amd64,i386" if codename == "bookworm" else "amd64"
	    out.append("deb [arch=%s signed-by=%s] %s %s main" % (arch, key, u, s))
	    if codename != "bookworm" and rest != "updates":
	        s = "bookworm" + ("-" + rest if rest else "")
	        out.append("deb [arch=i386 signed-by=%s] %s %s main" % (key, u, s))
	if not out:
	    sys.exit("no Debian source for '%s' found in /etc/apt" % codename)
	open(sys.argv[1], "w").write("\n".join(dict.fromkeys(out)) + "\n")
	END
	cat >"$a/apt.conf" <<-END
	APT::Architecture "amd64";
	APT::Architectures { "amd64"; "i386"; };
	APT::Sandbox::User "root";
	APT::Get::AllowUnauthenticated "false";
	Acquire::Languages "none";
	Acquire::Retries "3";
	Dir::State "$a";
	Dir::State::status "$a/status";
	Dir::State::lists "$a/lists";
	Dir::Cache "$a/cache";
	Dir::Etc::sourcelist "$a/sources.list";
	Dir::Etc::sourceparts "$a/parts";
	END
	apt_opts=(-c "$a/apt.conf")
	if [ $update = yes ] || [ ! -e "$a/updated" ]; then
		echo "fetch.sh: reading Debian's package lists" >&2
		if apt-get "${apt_opts[@]}" -qq update >&2; then
			touch "$a/updated"
		else
			echo "fetch.sh: some lists could not be read; going on with the others" >&2
		fi
	fi
	apt_ready=yes
}

# unpack NAME PACKAGE:ARCH...: download the packages and unpack them together as pkg/NAME.
unpack() {
	local name=$1 p
	shift
	apt_setup
	for p in "$@"; do
		echo "fetch.sh: downloading $p" >&2
	done
	local tmp=$dir/pkg/.$name.new
	rm -rf "$tmp" "$dir/debs/.$name"
	mkdir -p "$tmp" "$dir/debs/.$name"
	if ! (cd "$dir/debs/.$name" && apt-get "${apt_opts[@]}" -qq download "$@" >&2); then
		die "cannot download $*; if the lists are old, try again with --update"
	fi
	for p in "$dir/debs/.$name"/*.deb; do
		dpkg-deb -x "$p" "$tmp"
	done
	rm -rf "$dir/debs/.$name" "${dir:?}/pkg/$name"
	mv "$tmp" "$dir/pkg/$name"
}

# The newest kernel's package, from the metapackage's dependency.
kernel_package() {
	apt_setup
	apt-cache "${apt_opts[@]}" depends "$1" |
		sed -n 's/^ *Depends: \(linux-image-[0-9][^: ]*\).*/\1/p' | head -n 1
}

# link TARGET NAME, relative so that the folder can be moved
link() {
	local target=$1 name=$2
	[ -e "$dir/$target" ] || die "$dir/$target is missing from the package"
	ln -sfn "$target" "$dir/$name"
	echo "$dir/$name"
}

fetch() {
	local name=$1 pkg ver
	local have=no
	[ -e "$dir/pkg/$name" ] && [ $update = no ] && have=yes
	case $name in
	linux-amd64|linux-686)
		if [ $have = no ]; then
			apt_setup
			if [ "$name" = linux-686 ]; then
				pkg=$(kernel_package linux-image-686:i386):i386
			else
				pkg=$(kernel_package linux-image-amd64:amd64):amd64
			fi
			[ "${pkg%%:*}" ] || die "$name: no kernel package in Debian's lists"
			if [ "$(cat "$dir/pkg/$name/package" 2>/dev/null)" != "$pkg" ]; then
				unpack "$name" "$pkg"
				echo "$pkg" >"$dir/pkg/$name/package"
			fi
		fi
		ver=$(cd "$dir/pkg/$name/boot" && echo vmlinuz-*)
		ver=${ver#vmlinuz-}
		link "pkg/$name/boot/vmlinuz-$ver" "vmlinuz-${name#linux-}"
		if [ -d "$dir/pkg/$name/lib/modules/$ver" ]; then
			link "pkg/$name/lib/modules/$ver" "modules-${name#linux-}"
		else
			link "pkg/$name/usr/lib/modules/$ver" "modules-${name#linux-}"
		fi
		;;
	busybox-amd64|busybox-i386)
		[ $have = yes ] || unpack "$name" "busybox-static:${name#busybox-}"
		if [ -e "$dir/pkg/$name/bin/busybox" ]; then
			link "pkg/$name/bin/busybox" "$name"
		else
			link "pkg/$name/usr/bin/busybox" "$name"
		fi
		;;
	grub)
		[ $have = yes ] || unpack grub grub-pc-bin:amd64 grub-common:amd64
		link pkg/grub/usr/lib/grub/i386-pc grub-i386-pc
		link pkg/grub/usr/bin/grub-mkimage grub-mkimage
		link pkg/grub/usr/bin/grub-mkrescue grub-mkrescue
		;;
	u-boot)
		[ $have = yes ] || unpack u-boot u-boot-qemu:amd64
		link pkg/u-boot/usr/lib/u-boot/qemu-x86/u-boot.rom u-boot-x86.rom
		link pkg/u-boot/usr/lib/u-boot/qemu-x86_64/u-boot.rom u-boot-x86_64.rom
		;;
	memtest)
		[ $have = yes ] || unpack memtest memtest86+:amd64
		for ver in x64 ia32; do
			pkg=$(cd "$dir" && ls pkg/memtest/boot/*"$ver"*.bin 2>/dev/null | head -n 1)
			[ "$pkg" ] || die "memtest86+ has no $ver image"
			link "$pkg" "memtest-$ver.bin"
		done
		;;
	libc-i386) # (of amd64's packages, for its compiler)
		[ $have = yes ] || unpack libc-i386 libc6-dev-i386:amd64 "lib32gcc-$(gcc -dumpversion)-dev:amd64"
		link pkg/libc-i386/usr libc-i386
		;;
	esac
}

for n in "${names[@]}"; do
	fetch "$n"
done
