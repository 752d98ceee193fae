/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * net_tap.c - a network device's port to a TAP interface (Linux, Documentation/networking/tuntap.rst).
 *
 * The kernel makes checksums and segments on the way out (virtio_net_hdr before each frame), and never
 * gives us frames that are to be segmented.  The link follows the interface: up and running, or not.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "backends/net_int.h"

/* A descriptor for frames; -1 with errno set.  name: asked for; what it is. */
static int tap_fd(char name[IFNAMSIZ])
{
	struct ifreq ifr = { 0 };
	int size = NET_HDR, fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC), error;

	if (fd < 0)
		return -1;
	memcpy(ifr.ifr_name, name, IFNAMSIZ);
	ifr.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
	if (ioctl(fd, TUNSETIFF, &ifr) || ioctl(fd, TUNSETVNETHDRSZ, &size) ||
	    ioctl(fd, TUNSETOFFLOAD, 0)) {
		error = errno;
		close(fd);
		errno = error;
		return -1;
	}
	memcpy(name, ifr.ifr_name, IFNAMSIZ);
	return fd;
}

/* News of interfaces, of which we only take that there is some. */
static int news_fd(void)
{
	struct sockaddr_nl sa = { .nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK };
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, NETLINK_ROUTE);

	if (fd >= 0 && bind(fd, (struct sockaddr *)&sa, sizeof(sa))) {
		close(fd);
		return -1;
	}
	return fd;
}

static bool tap_open(struct net_dev *nd, char *err, size_t errlen)
{
	uint64_t features = nd->features;

	nd->sock_fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	nd->io.fd = tap_fd(nd->o.ifname);
	if (nd->io.fd < 0 || nd->sock_fd < 0) {
		snprintf(err, errlen, "%s: tap %s: %s%s", nd->name, nd->o.ifname, strerror(errno),
			 errno == EPERM  ? "; make the interface first: ip tuntap add mode tap "
					   "user NAME vnet_hdr" :
			 errno == EBUSY  ? "; someone else has it open" :
			 errno == EINVAL ? "; not an interface of this kind" :
					   "");
		return false;
	}
	snprintf(nd->where, sizeof(nd->where), "tap: %s", nd->o.ifname);
	if (nd->o.vhost) {
		nd->vhost = net_vhost_open(&features);
		if (nd->vhost)
			nd->features = features;
	}
	return true;
}

/* Looks at the interface. */
static void look(struct net_dev *nd)
{
	struct ifreq ifr = { 0 };
	bool up;

	if (nd->io.fd < 0)
		return;
	/* It may have been renamed; or deleted, of which the descriptor doesn't tell who doesn't read. */
	if (ioctl(nd->io.fd, TUNGETIFF, &ifr)) {
		net_lost(nd, errno);
		return;
	}
	/* Not found: it lives on in another network namespace, and we can't look. */
	up = ioctl(nd->sock_fd, SIOCGIFFLAGS, &ifr) ||
	     (ifr.ifr_flags & (IFF_UP | IFF_RUNNING)) == (IFF_UP | IFF_RUNNING);
	/* Just opened, it runs in a moment. */
	if (!up && (nd->st.link || (!nd->looked && !(ifr.ifr_flags & IFF_UP)))) {
		net_say(nd, "%s is down, and so is the link: ip link set %s up", ifr.ifr_name,
			ifr.ifr_name);
		nd->said_down = true;
	} else if (up && nd->said_down) {
		net_say(nd, "%s is up", ifr.ifr_name);
		nd->said_down = false;
	}
	nd->looked = true;
	net_set_link(nd, up);
}

static void tap_start(struct net_dev *nd)
{
	int fd;

	if (nd->aux.fd < 0)
		net_set_aux(nd, news_fd());
	if (nd->io.fd < 0) {
		fd = tap_fd(nd->o.ifname);
		if (fd < 0) {
			nd->retry_at = net_now() + NET_SEC;
			return;
		}
		net_set_fd(nd, fd);
	}
	look(nd);
	if (nd->aux.fd < 0) /* no news: look every second */
		nd->retry_at = net_now() + NET_SEC;
}

static void tap_event(struct net_dev *nd)
{
	char buf[8192];
	unsigned n;

	/* What it says doesn't matter, nor that some of it was lost. */
	for (n = 0;
	     n < 64 && (recv(nd->aux.fd, buf, sizeof(buf), MSG_DONTWAIT) >= 0 || errno == ENOBUFS);
	     n++)
		;
	look(nd);
}

static void tap_lost(struct net_dev *nd, int error)
{
	net_say(nd, "%s is gone (%s): link down, trying to have it back every second", nd->o.ifname,
		strerror(error ? error : ENODEV));
	nd->retry_at = net_now() + NET_SEC;
}

static void tap_driver(struct net_dev *nd)
{
	/* Only what the driver takes may come in: a checksum that it would have to make, if so. */
	unsigned long offload = nd->vm.drv_features & VIRTIO_NET_F_GUEST_CSUM ? TUN_F_CSUM : 0;

	if (nd->io.fd >= 0 && ioctl(nd->io.fd, TUNSETOFFLOAD, offload))
		net_say(nd, "TUNSETOFFLOAD: %s", strerror(errno));
}

static void tap_close(struct net_dev *nd)
{
	if (nd->sock_fd >= 0)
		close(nd->sock_fd);
}

const struct net_port_ops net_tap_ops = {
	.open = tap_open,
	.start = tap_start,
	.event = tap_event,
	.lost = tap_lost,
	.driver = tap_driver,
	.close = tap_close,
};
