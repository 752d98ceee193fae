/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * xen_net.h - a network behind Xen's protocol (xen/include/public/io/netif.h), for cards' models.
 *
 * Used as virtio_net.h: send() only takes a frame, xen_net_service() puts what was taken on the ring with one
 * notification, ends what has gone and shows what came in; its rules are those of virtio_net_service().
 *
 * Out: a frame's segments are granted where they lie, page by page, and the grants end with the answers. What
 * does not fit NETIF_MAX_SLOTS pieces, and a frame whose checksum the back end can't make (it knows TCP and UDP
 * only, and finds them by itself), goes through pages of ours. Frames are reported in the order they were sent in.
 *
 * In: the back end copies into pages of ours, whose grants end before a model sees them. A frame is shown where it
 * lies, or, if it has several pages, in one area where they are put together.
 *
 * A back end that says goodbye, or talks nonsense, is the end of the link; if another one comes, the link is up again.
 *
 * Locks: every function under the host's one lock.  No allocation after init.  Private memory: XEN_NET_BYTES a
 * card, besides the struct.
 */
#ifndef DRIVERS_XEN_XEN_NET_H
#define DRIVERS_XEN_XEN_NET_H

#include "drivers/xen/xen.h"
#include "models/net.h"

#define XEN_NET_TX_DEPTH 32u  /* frames in flight */
#define XEN_NET_TX_SLOTS 128u /* their pieces on the ring */
#define XEN_NET_BOUNCE   16u  /* pages: the longest frame */
#define XEN_NET_RX_DEPTH 32u  /* pages */
#define XEN_NET_BUDGET   64u  /* frames, both ways, in one service */

#define XEN_NET_MAX_RX_FRAME (NET_MTU_MAX + 18u)
#define XEN_NET_ASSEMBLY     (4u * XEN_PAGE)
#define XEN_NET_BYTES        ((2u + XEN_NET_BOUNCE + XEN_NET_RX_DEPTH + 4u) * XEN_PAGE)
/* A frame's segments cut at pages. */
#define XEN_NET_MAX_PIECES (2u * NET_MAX_SEGS + NET_MAX_FRAME / XEN_PAGE)

struct xen_net_frame {
	struct net_tx *tx;
	uint8_t flying;   /* pieces on the ring */
	uint8_t n_bounce; /* pages of ours, with those that were left free before them */
	bool failed;
};

enum xen_net_stage {
	XEN_NET_GONE,      /* there is no back end */
	XEN_NET_ANNOUNCED, /* one knows our rings, and is not there yet */
	XEN_NET_UP,
	XEN_NET_BROKEN, /* it talked nonsense: not a word to it */
};

struct xen_net {
	struct net
		net; /* what models see; must stay first; they set their part before init or after */
	struct xen *x;
	unsigned channel, handle;             /* of the firmware's; xl's number of the vif */
	uint32_t port, grant;                 /* 0: none yet; the first of this card's */
	uint16_t domid;                       /* of the back end */
	char front[32], back[XEN_STORE_TEXT]; /* the card's places in xenstore */
	uint8_t stage;                        /* enum xen_net_stage */

	struct netif_tx_ring_shared *tx;
	uint32_t tx_prod, tx_pushed, tx_cons; /* pushed: what the back end was told of */
	uint32_t extras;                      /* of what is on the ring */
	unsigned max_slots;                   /* of a frame: 1 without feature-sg */
	bool csum_v6, gso_v4, gso_v6;         /* what the back end does for us */
	/* A queue: those from first on are on the ring, those from next on wait for room, up to end. */
	struct xen_net_frame frame[XEN_NET_TX_DEPTH];
	uint32_t first, next, end;
	unsigned n_eager;                /* of them: without net_tx.lazy */
	bool want_room;                  /* a send() was turned down */
	bool all;                        /* in this service: lazy frames too */
	uint8_t owner[XEN_NET_TX_SLOTS]; /* whose piece; XEN_NET_TX_DEPTH: the slot is free */
	uint8_t free[XEN_NET_TX_SLOTS];
	unsigned n_free;
	uint8_t *bounce; /* pages, a ring too */
	uint32_t bounce_head, bounce_tail;
	struct gpa_seg piece[XEN_NET_MAX_PIECES]; /* of the frame at next */
	unsigned n_pieces;

	struct netif_rx_ring_shared *rx;
	uint32_t rx_prod, rx_pushed, rx_cons;
	uint8_t rx_at[NETIF_RING]; /* the page of each of the ring's entries */
	uint8_t *rx_page;          /* [XEN_NET_RX_DEPTH] */
	uint8_t *assembly;         /* [XEN_NET_ASSEMBLY] */
	/* The frame that comes in over several pages. */
	bool more, bad; /* not all is there; it is only thrown away */
	/* The frame that is complete: shown, and kept if it was refused. */
	const uint8_t *frame_in; /* NULL: none */
	size_t len;
	struct net_offload off;
	int frame_page; /* the page that it lies in; -1: assembly */
	bool refused;   /* not to be shown before net_resume() */
	uint64_t rx_dropped;
};

/* Does the domain have this vif? */
bool xen_net_there(struct xen *x, unsigned handle);
/* n is zeroed but for the model's part of net, and stays where it is, as x does. Fills the front end's part of
 * n->net. Waits for the back end, up to half a minute; where none is the link is down (logged). 0, or -1 (logged):
 * this can't be a network. */
int xen_net_init(struct xen_net *n, struct xen *x, unsigned handle, unsigned channel);
/* After xen_restored(): connects to the new back end; what was in flight is sent once more. */
void xen_net_restored(struct xen_net *n);
/* Follows the back end's state: to be called when something in xenstore has changed, by who keeps its ring. Watches: */
void xen_net_watch(struct xen_net *n);
void xen_net_look(struct xen_net *n);

void xen_net_kick(struct xen_net *n);
unsigned xen_net_poll(struct xen_net *n, unsigned budget);
bool xen_net_arm(struct xen_net *n);
/* As virtio_net_service(), virtio_net_hurry(), virtio_net_waits(). */
bool xen_net_service(struct xen_net *n);
bool xen_net_hurry(struct xen_net *n);
bool xen_net_waits(const struct xen_net *n);

#endif
