#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# In the lab's dom0: start Xen's daemons (those of build/xen/root), then run a command.
#   dom0.sh COMMAND...
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
xen=${SIO_XEN:-$root/build/xen}/root

fail() {
	echo "dom0: $*" >&2
	exit 125
}

# The packages' files at their places: the lab's root is an overlay in memory.
cp -a "$xen/usr/lib/xen-4.17" /usr/lib/
mkdir -p /etc/xen /var/run/xen /var/lock /run/xenstored /var/lib/xen /var/log/xen /var/lib/xenstored
cp -a "$xen/etc/xen/." /etc/xen/
export LD_LIBRARY_PATH=$xen/usr/lib/x86_64-linux-gnu:$xen/lib/x86_64-linux-gnu
export PATH=/usr/lib/xen-4.17/bin:$xen/usr/sbin:$xen/usr/bin:$PATH
export SIO_XEN_QEMU=${SIO_XEN:-$root/build/xen}/qemu # of tools/xen/fetch.sh --qemu

mount -t xenfs xenfs /proc/xen
[ "$(cat /proc/xen/capabilities)" = control_d ] || fail "this is no dom0"

# Block devices come without udev: the script that xl's disk= asks for.
cat >/etc/xen/scripts/block <<-'BLOCK'
	#!/bin/sh
	node=$(xenstore-read "$XENBUS_PATH/params")
	[ "$1" = add ] || { [ ! -b "$(xenstore-read "$XENBUS_PATH/node" 2>/dev/null)" ] || losetup -d "$(xenstore-read "$XENBUS_PATH/node")"; exit 0; }
	[ -b "$node" ] || node=$(losetup -f --show "$node")
	xenstore-write "$XENBUS_PATH/node" "$node" "$XENBUS_PATH/physical-device" "$(stat -c %t:%T "$node")" "$XENBUS_PATH/hotplug-status" connected
BLOCK
# Network interfaces likewise: into the bridge that xl's vif= names.
cat >/etc/xen/scripts/vif-bridge <<-'VIF'
	#!/bin/sh
	[ "$1" = online ] || exit 0
	echo 1 >"/proc/sys/net/ipv6/conf/$vif/disable_ipv6"
	ip link set "$vif" up master "$(xenstore-read "$XENBUS_PATH/bridge")"
	xenstore-write "$XENBUS_PATH/hotplug-status" connected
VIF
chmod +x /etc/xen/scripts/block /etc/xen/scripts/vif-bridge

xenstored --pid-file /run/xenstored.pid || fail "xenstored does not start"
for _ in $(seq 50); do
	! xenstore-exists / 2>/dev/null || break
	sleep 0.1
done
xen-init-dom0 >/dev/null || fail "xen-init-dom0 failed"
xenconsoled --pid-file=/run/xenconsoled.pid --log=guest || fail "xenconsoled does not start"
exec "$@"
