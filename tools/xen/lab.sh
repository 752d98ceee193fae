#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Run a command in the dom0 of our Xen, in QEMU's software emulation of an AMD processor with SVM.
#
#   tools/xen/lab.sh [--stock | --release] [--smp N] [--mem M] [--timeout S] [--share DIR] COMMAND...
#
# Everything else is as in the lab (docs/lab.md): the host's files are seen read-only under an overlay,
# output and exit status are the command's, 124 at the time limit, 125 when the lab failed. xl and the
# other tools are on the PATH. Xen's own messages: xl dmesg. Exit status 77: Xen can't be had.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
# shellcheck source=tools/lib.sh
. "$root/tools/lib.sh"
xen_dir=${SIO_XEN:-$root/build/xen}

variant=debug options=(--smp 1 --mem 3G)
while [ $# -gt 0 ]; do
	case $1 in
	--stock | --release | --debug) variant=${1#--} ;;
	--smp | --mem | --timeout | --share | --image) options+=("$1" "$2") && shift ;;
	--verbose) options+=("$1") ;;
	--) shift && break ;;
	-*) die "tools/xen/lab.sh: no such option: $1" ;;
	*) break ;;
	esac
	shift
done
[ $# -gt 0 ] || die "usage: tools/xen/lab.sh [OPTIONS] COMMAND..."

[ -d "$xen_dir/root" ] || "$root/tools/xen/fetch.sh"
[ -f "$xen_dir/xen-$variant" ] || "$root/tools/xen/build.sh" "$variant" >/dev/null
exec /usr/bin/python3 "$root/tools/lab/lab.py" --xen "$xen_dir/xen-$variant" "${options[@]}" -- \
	"$root/tools/xen/dom0.sh" "$@"
