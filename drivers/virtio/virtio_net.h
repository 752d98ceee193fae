/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio_net.h - a network behind a virtio-mmio window, for cards' models (virtio 1.2, section 5.1).
 *
 * Out: net_send() puts a frame's segments on the ring, uncopied, and no more; virtio_net_service()
 * notifies once for all of them and takes back what the back end sent meanwhile.  An event is asked
 * for only while a frame stays in flight; for frames whose end may be told late, when several have gone.
 *
 * In: the back end fills small buffers in private memory; service shows each frame to the model's
 * receive() where it lies, or, if it spans several buffers, in one area where they are put together.
 * A frame that the model refuses is kept, and no other looked at, until net_resume(); it is shown again
 * by the next service.  The buffers fill up meanwhile, and the back end stops reading.
 *
 * No call of the model's comes from within net_send() or net_resume(): all come from service or event.
 *
 * Locks: every function under the host's one lock.  No allocation after init.  Private memory: about
 * 100 KiB a card, besides the struct.
 */
#ifndef DRIVERS_VIRTIO_VIRTIO_NET_H
#define DRIVERS_VIRTIO_VIRTIO_NET_H

#include "drivers/virtio/virtq.h"
#include "models/net.h"

#define VIRTIO_NET_TX_DEPTH 32u
#define VIRTIO_NET_RX_DEPTH 32u
/* Of one buffer: a frame of 1518 bytes with a VLAN tag and the header fits. */
#define VIRTIO_NET_RX_BYTES 1536u
/* Frames, both ways, in one service. */
#define VIRTIO_NET_BUDGET 64u

#define VIRTIO_NET_MAX_RX_FRAME (NET_MTU_MAX + 18u)

struct virtio_net_slot_shared;

struct virtio_net {
	struct net
		net; /* what models see; must stay first; they set their part before init or after */
	struct virtq rx, tx;

	struct virtio_net_slot_shared *slot;      /* [VIRTIO_NET_TX_DEPTH] */
	struct net_tx *sent[VIRTIO_NET_TX_DEPTH]; /* private: whose slot; NULL: free */
	unsigned n_sent, n_eager;                 /* of them: without net_tx.lazy */
	bool want_room;                           /* a send() was turned down */
	bool all;                                 /* in this service: lazy frames too */

	uint8_t *rx_buf;   /* [VIRTIO_NET_RX_DEPTH] of VIRTIO_NET_RX_BYTES */
	uint8_t *assembly; /* [VIRTIO_NET_MAX_RX_FRAME] */
	/* The frame that comes in over several buffers: how many are missing, and what is there. */
	unsigned parts;
	bool oversize; /* its rest is only thrown away */
	/* The frame that is complete: shown, and kept if it was refused. */
	const uint8_t *frame; /* NULL: none */
	size_t len;
	struct net_offload off;
	int frame_buf; /* the buffer that it lies in; -1: assembly */
	bool refused;  /* not to be shown before net_resume() */

	uint64_t features; /* negotiated */
	unsigned events;
	uint64_t rx_dropped; /* frames that no card can have: too short, too long, not as negotiated */
	bool broken; /* the back end talked nonsense or gave up: the link is down for good */
};

/* vn is zeroed but for the model's part of net, and stays where it is, as env does; window: address of
 * the registers.  Fills the front end's part of vn->net.  0, or -1 (logged): no usable network there. */
int virtio_net_init(struct virtio_net *vn, const struct pv_env *env, uint64_t window);

/* Notifies the back end of frames and of empty buffers added since, if it wants to know. */
void virtio_net_kick(struct virtio_net *vn);
/* Ends what was sent, shows what came in: at most budget calls of the model.  How many. */
unsigned virtio_net_poll(struct virtio_net *vn, unsigned budget);
/* Before going to sleep: asks for an event at the next frame, and at the next one sent if any are in
 * flight.  True: one has come meanwhile, poll again. */
bool virtio_net_arm(struct virtio_net *vn);
/* Kick, poll and arm until there is nothing to do, but for no more than VIRTIO_NET_BUDGET frames.
 * True: there is more to do and no event will tell: call again soon, from the I/O context.  Costs a few
 * loads when idle. */
bool virtio_net_service(struct virtio_net *vn);
/* The same, lazy frames (net_tx.lazy) included, which service leaves alone while they are few. */
bool virtio_net_hurry(struct virtio_net *vn);
/* After service: there are frames of whose end no event may tell.  To be hurried after a while, if no event comes. */
bool virtio_net_waits(const struct virtio_net *vn);
/* For the window's event bit (sio_request.events): as service, and looks whether the link has changed
 * or the back end gave up.  The back end repeats its signal of a change until it was seen, so that
 * reading a register (an exit) is needed only after an event that brought no frame, and now and then. */
bool virtio_net_event(struct virtio_net *vn);

#endif
