# shellcheck shell=bash
# Helpers shared by the scripts. Source it; it sets no options and changes no folder.

note() { printf '%s\n' "selfio: $*" >&2; }
die() {
	printf '%s\n' "selfio: $*" >&2
	exit 1
}

# as_root COMMAND...: runs it as root, directly or through sudo; else says what to run and fails.
as_root() {
	if [ "$(id -u)" -eq 0 ]; then
		"$@"
	elif command -v sudo >/dev/null 2>&1 && { [ -t 0 ] || sudo -n true 2>/dev/null; }; then
		sudo "$@"
	else
		die "this needs root and sudo is not usable here; run as root: $*"
	fi
}

# lab_result OUTPUT STATUS: ends a script whose tests ran in the lab. Without a count in the last line the lab ended before
# the tests did: what there is counts, and the rest is one failure.
lab_result() {
	tail -n 1 "$1" | grep -qE '^[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$' && exit "$2"
	echo "FAIL lab: it ended with status $2 before the tests were through (124 is the time limit)"
	echo "$(grep -c '^PASS ' "$1" || true) passed," \
		"$(($(grep -c '^FAIL ' "$1" || true) + 1)) failed, $(grep -c '^SKIP ' "$1" || true) skipped"
	exit 1
}
