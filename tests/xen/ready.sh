# shellcheck shell=bash
# Sourced by the scripts beside it, after tools/lib.sh; needs $root and $xen_dir.

# xen_ready NAME VARIANT: Xen is built and its user space is there, or the script ends: with the tests NAME skipped
# where something can't be fetched.
xen_ready() {
	local status=0 what="Xen's source"

	"$root/tools/xen/build.sh" "$2" >/dev/null || status=$?
	[ "$status" = 0 ] || [ "$status" = 77 ] || die "Xen can't be built"
	if [ "$status" = 0 ]; then
		what="Debian's Xen packages"
		"$root/tools/xen/fetch.sh" --qemu || status=$?
		[ "$status" = 0 ] || [ "$status" = 77 ] || die "no Xen user space"
	fi
	[ "$status" = 77 ] || return 0
	echo "SKIP $1: $what can't be fetched"
	echo "0 passed, 0 failed, 1 skipped"
	exit 0
}

# xen_guests: what the guests of guests.py and bench.py boot from.
xen_guests() {
	local arch

	"$root/tools/guests/programs.sh" >/dev/null
	for arch in amd64 i386; do
		"$root/tools/guests/initramfs.sh" $arch "$xen_dir/test-$arch.cpio" >/dev/null
	done
}
