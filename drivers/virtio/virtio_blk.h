/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio_blk.h - a disk behind a virtio-mmio window, for models (virtio 1.2, section 5.2).
 *
 * A model's blk_submit() puts a request on the ring and no more.  What hosts the models calls
 * virtio_blk_service() before it leaves for the guest or goes to sleep: one notification carries all
 * requests of one entry, and what the back end completes within the notification (a cached read)
 * comes back to the model in the same call, with no event.  Events are asked for only while
 * something stays in flight.
 *
 * Locks: every function under the host's one lock.  No allocation after init.  Private memory: about
 * 17 KiB a disk, besides the struct.
 */
#ifndef DRIVERS_VIRTIO_VIRTIO_BLK_H
#define DRIVERS_VIRTIO_VIRTIO_BLK_H

#include "drivers/virtio/virtq.h"
#include "models/blk.h"

/* Requests in flight: a slot holds a table of descriptors for the longest request, 2 KiB. */
#define VIRTIO_BLK_DEPTH 8u

struct virtio_blk_slot_shared;

struct virtio_blk {
	struct blk blk; /* what models see; must stay first */
	struct virtq q;
	struct virtio_blk_slot_shared *slot;   /* [VIRTIO_BLK_DEPTH] */
	struct blk_req *req[VIRTIO_BLK_DEPTH]; /* private: whose slot; NULL: free */
	uint32_t max_len[VIRTIO_BLK_DEPTH];    /* bytes that the device may write */
	unsigned n_req;
	bool broken; /* the back end talked nonsense or gave up: all requests end in BLK_EIO */
};

/* vb is zeroed memory that stays where it is, as env does; window: address of the registers.  Fills
 * vb->blk.  0, or -1 (logged): no usable disk there. */
int virtio_blk_init(struct virtio_blk *vb, const struct pv_env *env, uint64_t window);

/* Notifies the back end of what was submitted since, if it wants to know. */
void virtio_blk_kick(struct virtio_blk *vb);
/* Completes what came back: calls each request's done().  How many. */
unsigned virtio_blk_poll(struct virtio_blk *vb);
/* Before going to sleep: asks for an event if something is in flight.  True: something has come back
 * meanwhile, poll again. */
bool virtio_blk_arm(struct virtio_blk *vb);
/* Kick, poll and arm until there is nothing to do.  Costs a few loads when idle. */
void virtio_blk_service(struct virtio_blk *vb);
/* For the window's event bit (sio_request.events): as service, and looks whether the back end gave
 * up if nothing came back. */
void virtio_blk_event(struct virtio_blk *vb);

#endif
