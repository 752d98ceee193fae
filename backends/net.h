/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * net.h - virtio network device (virtio 1.2, section 5.1) over what the host has.
 *
 *   user                 passt, a process that we start and watch over: the guest's connections become
 *                        the host's own, without privileges.  tcp=PORTS, udp=PORTS (up to 8 of them):
 *                        the host's ports that become the guest's, as passt's -t and -u
 *   tap[,ifname=NAME]    a TAP interface, made if it isn't there; whoever runs the host sets it up.
 *                        script=no is taken and means nothing; vhost=on: the kernel's vhost-net moves
 *                        the frames, we only look after the link
 *   stream:PATH          a Unix stream socket, each frame after its length (32 bits, big-endian); we
 *                        listen, one peer at a time.  stream:PATH,connect: we connect
 *
 *   and to each of them, after commas:
 *   model=NAME           the card that the guest sees: rtl8139, rtl8139c, e1000, ne2k_pci, ne2k_isa, virtio
 *   mac=XX:XX:XX:XX:XX:XX
 *   pcap=FILE            all frames also go to a file in libpcap's format, in both directions
 *
 * Whatever is behind may go away: the link is down then, and up again when it is back.  passt is started
 * again after 3 s, then 6, 12 ... 48 s if it doesn't last; a socket is listened on, or connected to every
 * second; a TAP interface is looked at whenever the kernel says that links changed.
 *
 * Sending never blocks: it is done by the notifying thread.  What a socket doesn't take at once is kept,
 * and the queue waits; for 1 s at most, then frames are lost, as on a wire, until it takes some again.
 * Received frames wait where they are until the driver has buffers.
 *
 * What comes from outside is checked: frames below 14 or above NETDEV_MAX_FRAME bytes are dropped,
 * a length on a stream that no one could mean ends the connection, a TAP interface's headers are
 * looked at.
 *
 * Threads: net_ready() belongs to the I/O thread.  Locks: vmmio.lock alone.
 */
#ifndef BACKENDS_NET_H
#define BACKENDS_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backends/virtio_mmio.h"

/* Ethernet's header, a VLAN tag and the largest MTU that a model has (e1000's). */
#define NETDEV_MAX_FRAME 16128u
/* Before segmentation, on the way out. */
#define NETDEV_MAX_GSO 65550u

enum netdev_kind { NETDEV_USER, NETDEV_TAP, NETDEV_STREAM };
enum netdev_model {
	NETDEV_RTL8139,
	NETDEV_E1000,
	NETDEV_NE2K_PCI,
	NETDEV_NE2K_ISA,
	NETDEV_RTL8139C,
	NETDEV_VIRTIO,
};

#define NETDEV_MAX_FWD 8u

struct net_opts {
	enum netdev_kind kind;
	enum netdev_model model;
	unsigned index; /* of the card, for messages: "net0"; not parsed */
	bool have_mac;
	uint8_t mac[6];
	bool vhost, connect;
	char ifname[16]; /* empty: the kernel's choice */
	char path[108];  /* the socket's */
	char pcap[256];  /* empty: none */
	struct {
		bool udp;
		char ports[64];
	} fwd[NETDEV_MAX_FWD];
	unsigned n_fwd;
};

/* Parses what follows --net.  0, or -1: err holds one line.  What spec doesn't say: rtl8139, no MAC. */
int net_parse_opts(const char *spec, struct net_opts *o, char *err, size_t errlen);
/* A locally administered unicast address; the same for the same uuid and index.  uuid NULL: random. */
void net_default_mac(uint8_t mac[6], const uint8_t uuid[16], unsigned index);

struct net_stats {
	/* tx: from the guest.  With vhost, what it moves isn't counted. */
	uint64_t tx_frames, tx_bytes, tx_drops, rx_frames, rx_bytes, rx_drops;
	uint64_t link_losses;
	bool link, vhost;
};

struct net_dev;

/* o is copied; without a MAC address it gets a random one.  NULL: err holds one line.  A socket to
 * listen on and the capture file are created here: call it when all else has been checked. */
struct net_dev *net_open(const struct net_opts *o, char *err, size_t errlen);
/* Makes it a device, and connects it to its network; once, before the first access. */
void net_attach(struct net_dev *nd, const struct vmmio_host *host, unsigned window);
struct vmmio *net_vmmio(struct net_dev *nd);
/* What the device is, for the user: "tap: tap0". */
const char *net_where(const struct net_dev *nd);
/* An epoll descriptor, readable when net_ready() has something to do. */
int net_fd(struct net_dev *nd);
void net_ready(struct net_dev *nd);
void net_stats(struct net_dev *nd, struct net_stats *s);
/* Ends passt, writes the rest of the capture.  With no thread in vmmio_access(); NULL is fine. */
void net_close(struct net_dev *nd);

#endif
