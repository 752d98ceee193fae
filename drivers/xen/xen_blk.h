/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * xen_blk.h - a disk behind Xen's block protocol (xen/include/public/io/blkif.h), for models.
 *
 * Used as virtio_blk.h: submit() only takes a request, xen_blk_service() puts what was taken on the ring
 * with one notification and completes what has come back.
 *
 * A request of a model's becomes as many of the ring's as it needs.  A back end that keeps pages mapped
 * (feature-persistent) gets pages of ours, always the same, and data are copied: it has no page to map and to
 * unmap for a request, which costs it more.  For others whole sectors within a page of guest RAM are granted
 * where they lie, uncopied, until the request is over; a sector that is not aligned to 512 bytes, or that is
 * spread over segments, goes through a page of ours all the same.  Nothing but the ring, the pages of ours
 * and what is in flight can be reached by the back end.
 *
 * Locks: every function under the host's one lock.  No allocation after init.
 */
#ifndef DRIVERS_XEN_XEN_BLK_H
#define DRIVERS_XEN_XEN_BLK_H

#include "drivers/xen/xen.h"
#include "models/blk.h"

#define XEN_BLK_DEPTH 8u  /* requests of models in flight */
#define XEN_BLK_SLOTS 8u  /* requests on the ring */
#define XEN_BLK_SEGS  48u /* of one of these */
#define XEN_BLK_PAGES 32u /* of ours, for data */
/* Private memory of a disk, besides the struct. */
#define XEN_BLK_BYTES ((1 + XEN_BLK_SLOTS + XEN_BLK_PAGES) * XEN_PAGE)

/* A place in a request's data. */
struct xen_blk_cursor {
	uint16_t seg;
	uint32_t off;
};

struct xen_blk_req {
	struct blk_req *r; /* NULL: free */
	struct xen_blk_cursor at;
	uint32_t sent;  /* sectors that are on the ring or done */
	uint8_t flying; /* requests on the ring */
	uint8_t err;    /* enum blk_err, the first */
	bool all_sent;
};

struct xen_blk_slot {
	bool busy;
	uint8_t req;      /* whose */
	uint8_t n_grants; /* of guest pages: the first of this slot's */
	uint8_t n_copies;
	struct xen_blk_copy {
		struct xen_blk_cursor at; /* where its sectors belong */
		uint8_t page, sectors;
	} copy[XEN_BLK_PAGES];
	struct blkif_seg *seg; /* [XEN_PAGE / 8], shared, for INDIRECT */
};

struct xen_blk {
	struct blk blk; /* what models see; must stay first */
	struct xen *x;
	unsigned channel;                     /* of the firmware's, SIO_XEN_EVENT_CHANNEL() */
	unsigned vdev;                        /* the disk's number in xenstore */
	uint16_t domid;                       /* of the back end */
	uint32_t grant;                       /* the first of this disk's */
	char front[32], back[XEN_STORE_TEXT]; /* the disk's places in xenstore */
	struct blkif_ring_shared *ring;
	uint32_t req_prod, pushed, rsp_cons; /* pushed: what the back end was told of */
	unsigned max_segs;
	bool persistent;  /* the back end keeps what it has mapped */
	uint8_t *page;    /* [XEN_BLK_PAGES] of XEN_PAGE, shared */
	uint32_t in_use;  /* bit n: page n is some slot's */
	uint8_t flush_op; /* enum blkif_op; 0: the disk has no cache that we could flush */
	struct xen_blk_req req[XEN_BLK_DEPTH];
	struct xen_blk_slot slot[XEN_BLK_SLOTS];
	unsigned n_req, next; /* next: whose turn it is */
	bool broken; /* the back end talked nonsense or is gone: all requests end in BLK_EIO */
};

/* The number of xl's disk name hda (0) to hdd (3). */
unsigned xen_blk_ide_vdev(unsigned unit);

/* Does the domain have such a disk? */
bool xen_blk_there(struct xen *x, unsigned vdev);
/* b is zeroed memory that stays where it is, as x does.  Waits for the back end, up to half a minute.  Fills
 * b->blk.  0, or -1 (logged): no usable disk there. */
int xen_blk_init(struct xen_blk *b, struct xen *x, unsigned vdev, unsigned channel);
/* After xen_restored(): connects to the new back end, and starts again what was in flight.  0 or -1
 * (logged), then the disk is gone. */
int xen_blk_restored(struct xen_blk *b);

/* Puts what was taken on the ring, and notifies the back end if it wants to know. */
void xen_blk_kick(struct xen_blk *b);
/* Completes what came back: calls done() of each request that is over.  How many of both. */
unsigned xen_blk_poll(struct xen_blk *b);
/* Before going to sleep: asks for an event if something is in flight.  True: poll again. */
bool xen_blk_arm(struct xen_blk *b);
/* Kick, poll and arm until there is nothing to do; also for the channel's event. */
void xen_blk_service(struct xen_blk *b);

#endif
