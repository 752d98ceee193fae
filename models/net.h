/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * net.h - a network as a card's model sees it; a PV front end (or a test) stands behind it.
 *
 * Frames start with the Ethernet destination address and end before the FCS.  On the way out they are
 * named by segments of guest RAM (or of a model's own context, dev_buf_gpa), so that they reach the back
 * end without a copy; on the way in the model is shown a frame in private memory and copies it to where
 * the guest wants it.
 *
 * All calls are made under the host's one lock.
 */
#ifndef MODELS_NET_H
#define MODELS_NET_H

#include "models/dev.h"

#define NET_MAX_SEGS  64u    /* in one frame */
#define NET_MAX_FRAME 65550u /* bytes, before segmentation; without TSO at most NET_MTU_MAX + 18 */
#define NET_MTU_MAX   16110u

/* What a frame asks of, or has had from, whoever is behind; as virtio 1.2 5.1.6 (virtio_net_hdr). */
#define NET_CSUM_PARTIAL \
	1u /* the checksum of [csum_start, end) is to be put at csum_start + csum_offset;
			     * the field holds the pseudo header's sum */
#define NET_CSUM_VALID 2u /* received: TCP's or UDP's checksum was looked at and is right */

enum net_gso { NET_GSO_NONE, NET_GSO_TCPV4, NET_GSO_TCPV6 };

struct net_offload {
	uint8_t flags;              /* NET_CSUM_ */
	uint8_t gso;                /* enum net_gso; not NONE: NET_CSUM_PARTIAL is set too */
	uint16_t gso_size, hdr_len; /* payload bytes in a segment; bytes of all headers */
	uint16_t csum_start, csum_offset;
};

/* A frame on its way out, of 14 bytes at least; the model's, which leaves it alone from net_send() until done() was called. */
struct net_tx {
	const struct gpa_seg *seg; /* each of at least 1 byte */
	uint16_t n_seg;            /* 1 to NET_MAX_SEGS */
	uint16_t tag;              /* the front end's */
	bool lazy; /* its end may be told some milliseconds late, if nothing else happens */
	struct net_offload off; /* only what net.features has */
	/* Called once, from the host's loop, never from within net_send().  May send again. err: 0, or -1 if
	 * the frame can't have gone out. */
	void (*done)(void *owner, struct net_tx *tx, int err);
	void *owner;
};

#define NET_F_CSUM 1u /* takes NET_CSUM_PARTIAL */
#define NET_F_TSO4 2u
#define NET_F_TSO6 4u
#define NET_F_VLAN 8u /* and the last two for frames with a VLAN tag, too */

struct net {
	/* The front end's part. */
	/* 0, or -1 when too many frames are in flight (never for the first 32): sent_room() will be called. */
	int (*send)(struct net *, struct net_tx *);
	/* The model can take frames again that receive() refused. */
	void (*resume)(struct net *);
	uint32_t features; /* NET_F_ */
	uint8_t mac[6];
	bool link; /* the far end is there */

	/* The model's part, set at init. */
	/* A frame came in: len is 14 to NET_MAX_FRAME bytes, padded by nobody.  True: taken, or not for this
	 * card (wrong address, receiver off).  False: no room now; it is kept (or in the end dropped) outside
	 * until the model calls net_resume().  off has NET_CSUM_VALID or NET_CSUM_PARTIAL (a frame of another
	 * domain on this host, whose checksum was never made: the model makes it, net_csum.h), and gso NONE. */
	bool (*receive)(void *owner, const uint8_t *frame, size_t len,
			const struct net_offload *off);
	void (*sent_room)(void *owner);
	void (*link_changed)(void *owner); /* net.link is another */
	void *owner;
};

static inline int net_send(struct net *n, struct net_tx *tx)
{
	return n->send(n, tx);
}

static inline void net_resume(struct net *n)
{
	n->resume(n);
}

#endif
