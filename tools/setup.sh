#!/usr/bin/env bash
# Installs what is missing of the Debian packages in tools/packages.txt, and says what it installs.
# With nothing missing it only asks dpkg and is done. --list prints the packages and changes nothing.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$here")
# shellcheck source=tools/lib.sh
. "$here/lib.sh"

release=
# shellcheck disable=SC1091
[ -r /etc/os-release ] && release=$(. /etc/os-release && echo "${ID:-}-${VERSION_ID:-}")
case $release in
debian-12 | debian-13) release=${release#debian-} ;;
*) die "setup knows Debian 12 and 13, and this is '${release:-unknown}';" \
	"install the counterparts of tools/packages.txt by hand (QEMU 8.2 or newer)," \
	"then set SELFIO_NO_SETUP=1" ;;
esac

plain=() backports=()
while read -r name tag _; do
	case $name in '' | '#'*) continue ;; esac
	case $tag in
	'' | "@$release") plain+=("$name") ;;
	@backports)
		if [ "$release" = 12 ]; then backports+=("$name"); else plain+=("$name"); fi
		;;
	esac
done <"$here/packages.txt"

if [ "${1:-}" = --list ]; then
	printf '%s\n' "${plain[@]}" "${backports[@]}"
	exit 0
fi

# missing PACKAGE...: those that are not installed, one a line.
missing() {
	[ $# -gt 0 ] || return 0
	{
		dpkg-query -W -f '${db:Status-Status} ${Package}\n' "$@" 2>/dev/null || true
		printf 'wanted %s\n' "$@"
	} | awk '$1 == "installed" { have[$2] = 1 } $1 == "wanted" && !have[$2] { print $2 }'
}

# Those of the packages from backports that are not installed, or are older than 8.2.
missing_backports() {
	local p v
	for p in "${backports[@]}"; do
		v=$(dpkg-query -W -f '${db:Status-Status} ${Version}' "$p" 2>/dev/null || true)
		case $v in
		"installed "*) dpkg --compare-versions "${v#installed }" ge 1:8.2 || echo "$p" ;;
		*) echo "$p" ;;
		esac
	done
}

find_missing() {
	mapfile -t need < <(missing "${plain[@]}")
	mapfile -t need_bp < <(missing_backports)
}

find_missing
if [ ${#need[@]} -eq 0 ] && [ ${#need_bp[@]} -eq 0 ]; then
	exit 0
fi

# One setup at a time for a checkout; look again once it is our turn.
mkdir -p "$root/build"
exec 9>"$root/build/.setup.lock"
flock 9
find_missing

apt() {
	as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=600 \
		-o Dpkg::Use-Pty=0 "$@"
}

log=$root/build/setup.log
: >"$log"
update() {
	local i
	for i in 1 2 3 4 5; do
		if apt update >>"$log" 2>&1; then return 0; fi
		sleep "$i" # another apt holds the lists' lock, or the mirror was busy
	done
	tail -n 5 "$log" >&2
	die "apt-get update failed (all of it is in build/setup.log)"
}

# Prints the URI of the Debian archive that apt already uses, so that backports come from the same
# mirror.
# shellcheck disable=SC2016  # the $(...) are apt's own
debian_mirror() {
	apt-get indextargets --format '$(RELEASE) $(COMPONENT) $(REPO_URI)' 'Created-By: Packages' |
		awk '$1 == "bookworm" && $2 == "main" && $3 ~ /debian/ && !uri { uri = $3 }
			END { if (!uri) exit 1; print uri }'
}

# shellcheck disable=SC2016
backports_configured() {
	apt-get indextargets --format '$(RELEASE)' | grep -x bookworm-backports >/dev/null
}

install() {
	apt install -y --no-install-recommends "$@" >>"$log" 2>&1 || {
		tail -n 15 "$log" >&2
		die "apt-get install failed (all of it is in build/setup.log)"
	}
}

if [ ${#need[@]} -gt 0 ] || [ ${#need_bp[@]} -gt 0 ]; then
	note "setup: installing ${need[*]} ${need_bp[*]}"
fi
if [ ${#need_bp[@]} -gt 0 ] && ! backports_configured; then
	uri=$(debian_mirror) || die "no Debian bookworm archive among apt's sources;" \
		"add bookworm-backports to /etc/apt/sources.list.d by hand"
	list=/etc/apt/sources.list.d/selfio-backports.sources
	key=/usr/share/keyrings/debian-archive-keyring.gpg
	note "setup: adding bookworm-backports from $uri as $list"
	{
		printf 'Types: deb\nURIs: %s\nSuites: bookworm-backports\nComponents: main\n' "${uri%/}"
		[ ! -r "$key" ] || printf 'Signed-By: %s\n' "$key"
	} | as_root tee "$list" >/dev/null
fi
if [ ${#need[@]} -gt 0 ] || [ ${#need_bp[@]} -gt 0 ]; then
	update
fi
[ ${#need[@]} -eq 0 ] || install "${need[@]}"
[ ${#need_bp[@]} -eq 0 ] || install -t bookworm-backports "${need_bp[@]}"

find_missing
if [ ${#need[@]} -gt 0 ] || [ ${#need_bp[@]} -gt 0 ]; then
	die "still missing after the installation: ${need[*]} ${need_bp[*]} (see build/setup.log)"
fi
note "setup: done"
