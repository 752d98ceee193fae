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
