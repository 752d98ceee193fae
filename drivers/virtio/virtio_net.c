/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio_net.c - a network behind a virtio-mmio window, for cards' models (virtio 1.2, section 5.1).
 *
 * A frame on its way out is one ring descriptor that points to an indirect table in its slot: the
 * header, then the model's segments.  Frames come in with mergeable buffers: the header in the first
 * one says how many a frame is in.
 */
#include <string.h>

#include "drivers/virtio/virtio_net.h"

#define HDR  sizeof(struct virtio_net_hdr)
#define LAZY 4u /* so many lazy frames that have gone are reported, and an event tells */
#define LOOK_EVENTS \
	32u /* events, all with frames, after which the registers are looked at anyway */

struct virtio_net_slot_shared {
	struct virtq_desc_shared desc[NET_MAX_SEGS + 1];
	struct virtio_net_hdr hdr;
	uint8_t pad[4];
};
_Static_assert(NET_MAX_SEGS + 1 <= VIRTIO_MAX_CHAIN, "the back end's bound");
_Static_assert(VIRTIO_NET_TX_DEPTH >= 32, "net.h: the first 32 frames are taken");

static const char nonsense[] = "virtio-net: nonsense in a used ring; the network is gone";

static struct virtio_net_hdr header_of(const struct net_offload *off)
{
	static const uint8_t gso[] = {
		[NET_GSO_NONE] = VIRTIO_NET_GSO_NONE,
		[NET_GSO_TCPV4] = VIRTIO_NET_GSO_TCPV4,
		[NET_GSO_TCPV6] = VIRTIO_NET_GSO_TCPV6,
	};
	struct virtio_net_hdr h = { 0 };

	if (off->flags & NET_CSUM_PARTIAL) {
		h.flags = VIRTIO_NET_HDR_NEEDS_CSUM;
		h.csum_start = off->csum_start;
		h.csum_offset = off->csum_offset;
	}
	if (off->gso == NET_GSO_TCPV4 || off->gso == NET_GSO_TCPV6) {
		h.gso_type = gso[off->gso];
		h.gso_size = off->gso_size;
		h.hdr_len = off->hdr_len;
	}
	return h;
}

static int send(struct net *net, struct net_tx *tx)
{
	struct virtio_net *vn = (struct virtio_net *)net;
	const struct pv_env *env = vn->tx.env;
	struct virtio_net_slot_shared *s;
	unsigned n, i;

	for (n = 0; n < VIRTIO_NET_TX_DEPTH && vn->sent[n]; n++)
		;
	if (n == VIRTIO_NET_TX_DEPTH) {
		vn->want_room = true;
		return -1;
	}
	tx->tag = (uint16_t)n;
	vn->sent[n] = tx;
	vn->n_sent++;
	vn->n_eager += !tx->lazy;
	if (vn->broken || !tx->n_seg || tx->n_seg > NET_MAX_SEGS)
		return 0; /* the next poll ends it */

	s = &vn->slot[n];
	s->hdr = header_of(&tx->off);
	s->desc[0] = (struct virtq_desc_shared){ .addr = env->gpa(env->ctx, &s->hdr),
						 .len = HDR,
						 .flags = VIRTQ_DESC_F_NEXT,
						 .next = 1 };
	for (i = 1; i <= tx->n_seg; i++) {
		s->desc[i] = (struct virtq_desc_shared){
			.addr = tx->seg[i - 1].addr.raw,
			.len = tx->seg[i - 1].len,
			.flags = i < tx->n_seg ? VIRTQ_DESC_F_NEXT : 0,
			.next = (uint16_t)(i + 1),
		};
	}
	vn->tx.desc[n] = (struct virtq_desc_shared){
		.addr = env->gpa(env->ctx, s->desc),
		.len = i * (uint32_t)sizeof(s->desc[0]),
		.flags = VIRTQ_DESC_F_INDIRECT,
	};
	virtq_add(&vn->tx, n);
	return 0;
}

static void resume(struct net *net)
{
	((struct virtio_net *)net)->refused = false;
}

static uint8_t *buffer(const struct virtio_net *vn, unsigned n)
{
	return vn->rx_buf + n * VIRTIO_NET_RX_BYTES;
}

static void post_rx(struct virtio_net *vn, unsigned n)
{
	vn->rx.desc[n] = (struct virtq_desc_shared){
		.addr = vn->rx.env->gpa(vn->rx.env->ctx, buffer(vn, n)),
		.len = VIRTIO_NET_RX_BYTES,
		.flags = VIRTQ_DESC_F_WRITE,
	};
	virtq_add(&vn->rx, n);
}

static bool link_is_up(const struct virtio_net *vn)
{
	const struct pv_env *env = vn->rx.env;
	uint64_t cfg = vn->rx.window + VIRTIO_MMIO_CONFIG;

	/* A field of 16 bits: no generation is needed to read it in one piece. */
	return !(vn->features & VIRTIO_NET_F_STATUS) ||
	       env->mmio_read(env->ctx, cfg + 4) >> 16 & VIRTIO_NET_S_LINK_UP;
}

int virtio_net_init(struct virtio_net *vn, const struct pv_env *env, uint64_t window)
{
	uint64_t cfg = window + VIRTIO_MMIO_CONFIG;
	uint64_t need = VIRTIO_F_INDIRECT_DESC | VIRTIO_F_EVENT_IDX | VIRTIO_NET_F_MAC |
			VIRTIO_NET_F_MRG_RXBUF;
	uint32_t lo, hi, gen, i;

	if (virtio_begin(env, window, VIRTIO_ID_NET, need,
			 VIRTIO_NET_F_STATUS | VIRTIO_NET_F_CSUM | VIRTIO_NET_F_GUEST_CSUM |
				 VIRTIO_NET_F_HOST_TSO4 | VIRTIO_NET_F_HOST_TSO6,
			 &vn->features))
		return -1;
	do {
		gen = env->mmio_read(env->ctx, window + VIRTIO_MMIO_CONFIG_GENERATION);
		lo = env->mmio_read(env->ctx, cfg);
		hi = env->mmio_read(env->ctx, cfg + 4);
	} while (gen != env->mmio_read(env->ctx, window + VIRTIO_MMIO_CONFIG_GENERATION));

	vn->slot = env->alloc(env->ctx, VIRTIO_NET_TX_DEPTH * sizeof(*vn->slot), 16);
	vn->rx_buf = env->alloc(env->ctx, VIRTIO_NET_RX_DEPTH * VIRTIO_NET_RX_BYTES, 16);
	vn->assembly = env->alloc(env->ctx, VIRTIO_NET_MAX_RX_FRAME, 16);
	if (!vn->slot || !vn->rx_buf || !vn->assembly) {
		virtio_fail(env, window, "virtio-net: no memory for the buffers");
		return -1;
	}
	if (virtq_init(&vn->rx, env, window, VIRTIO_NET_RX, VIRTIO_NET_RX_DEPTH) ||
	    virtq_init(&vn->tx, env, window, VIRTIO_NET_TX, VIRTIO_NET_TX_DEPTH))
		return -1;
	virtio_ready(env, window);
	for (i = 0; i < VIRTIO_NET_RX_DEPTH; i++)
		post_rx(vn, i);
	virtq_kick(&vn->rx);
	virtq_arm(&vn->rx);

	vn->net.send = send;
	vn->net.resume = resume;
	vn->net.features = 0;
	if (vn->features & VIRTIO_NET_F_CSUM) {
		vn->net.features |= NET_F_CSUM | NET_F_VLAN;
		/* 5.1.3.1: TSO needs the checksum. */
		if (vn->features & VIRTIO_NET_F_HOST_TSO4)
			vn->net.features |= NET_F_TSO4;
		if (vn->features & VIRTIO_NET_F_HOST_TSO6)
			vn->net.features |= NET_F_TSO6;
	}
	memcpy(vn->net.mac, &lo, 4);
	memcpy(vn->net.mac + 4, &hi, 2);
	vn->net.link = link_is_up(vn);
	return 0;
}

static void set_link(struct virtio_net *vn, bool up)
{
	if (vn->net.link == up)
		return;
	vn->net.link = up;
	if (vn->net.link_changed)
		vn->net.link_changed(vn->net.owner);
}

static void give_up(struct virtio_net *vn, const char *why)
{
	if (vn->broken)
		return;
	virtio_fail(vn->rx.env, vn->rx.window, why);
	vn->broken = true;
	vn->frame = NULL;
	set_link(vn, false);
}

void virtio_net_kick(struct virtio_net *vn)
{
	if (vn->broken)
		return;
	virtq_kick_late(&vn->rx);
	if (vn->tx.kicked_idx == vn->tx.avail_idx)
		return;
	/* Where the back end sends while it is notified, that is polled right afterwards: no event. */
	if (!vn->tx.env->notify)
		virtq_suppress(&vn->tx);
	virtq_kick_late(&vn->tx);
}

static void end(struct virtio_net *vn, unsigned n, int err)
{
	struct net_tx *tx = vn->sent[n];

	vn->sent[n] = NULL;
	vn->n_sent--;
	vn->n_eager -= !tx->lazy;
	tx->done(tx->owner, tx, err);
}

static unsigned poll_tx(struct virtio_net *vn, unsigned budget)
{
	unsigned n, calls = 0;
	uint32_t len;
	int rc = 0;

	if (!vn->n_sent)
		return 0;
	/* They wait for something to go along with. */
	if (!vn->all && !vn->n_eager && !vn->broken && virtq_ready(&vn->tx) < LAZY &&
	    !virtq_ready(&vn->rx))
		return 0;
	while (calls < budget && !vn->broken && (rc = virtq_next(&vn->tx, &n, &len)) > 0) {
		end(vn, n, 0);
		calls++;
	}
	if (rc < 0)
		give_up(vn, nonsense);
	/* What never went to the device (broken, or of no sensible length) is still in sent[]. */
	for (n = 0; n < VIRTIO_NET_TX_DEPTH && calls < budget; n++) {
		if (vn->sent[n] && (vn->broken || !(vn->tx.in_flight & 1ull << n))) {
			end(vn, n, -1);
			calls++;
		}
	}
	if (calls && vn->want_room) {
		vn->want_room = false;
		if (vn->net.sent_room)
			vn->net.sent_room(vn->net.owner);
	}
	return calls;
}

/* Is a whole frame of this length, with this header, one that models can be shown? */
static bool good_frame(const struct virtio_net *vn, const struct virtio_net_hdr *h, size_t len)
{
	if (len < 14 || len > VIRTIO_NET_MAX_RX_FRAME || h->gso_type != VIRTIO_NET_GSO_NONE)
		return false;
	if (!(h->flags & VIRTIO_NET_HDR_NEEDS_CSUM))
		return true;
	return vn->features & VIRTIO_NET_F_GUEST_CSUM &&
	       (size_t)h->csum_start + h->csum_offset + 2 <= len;
}

/* The frame's first buffer, or its only one, b with len bytes.  False: nonsense. */
static bool frame_begins(struct virtio_net *vn, unsigned b, uint32_t len)
{
	struct virtio_net_hdr h;

	if (len < HDR)
		return false;
	/* The other side can still write there: what counts is this copy. */
	memcpy(&h, buffer(vn, b), HDR);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	if (!h.num_buffers || h.num_buffers > VIRTIO_NET_RX_DEPTH)
		return false;
	vn->off = (struct net_offload){ 0 };
	if (h.flags & VIRTIO_NET_HDR_NEEDS_CSUM) {
		vn->off.flags = NET_CSUM_PARTIAL;
		vn->off.csum_start = h.csum_start;
		vn->off.csum_offset = h.csum_offset;
	} else if (h.flags & VIRTIO_NET_HDR_DATA_VALID && vn->features & VIRTIO_NET_F_GUEST_CSUM) {
		vn->off.flags = NET_CSUM_VALID;
	}
	vn->len = len - HDR;
	vn->parts = h.num_buffers - 1;
	vn->oversize = false;
	if (vn->parts) {
		/* Its length isn't known yet: the rest of the header is checked for what may be. */
		if (!good_frame(vn, &h, VIRTIO_NET_MAX_RX_FRAME))
			vn->oversize = true;
		memcpy(vn->assembly, buffer(vn, b) + HDR, vn->len);
		post_rx(vn, b);
	} else if (good_frame(vn, &h, vn->len)) {
		vn->frame = buffer(vn, b) + HDR;
		vn->frame_buf = (int)b;
	} else {
		vn->rx_dropped++;
		post_rx(vn, b);
	}
	return true;
}

static void frame_goes_on(struct virtio_net *vn, unsigned b, uint32_t len)
{
	if (len > VIRTIO_NET_MAX_RX_FRAME - vn->len)
		vn->oversize = true;
	if (!vn->oversize) {
		memcpy(vn->assembly + vn->len, buffer(vn, b), len);
		vn->len += len;
	}
	post_rx(vn, b);
	if (--vn->parts)
		return;
	if (vn->off.flags & NET_CSUM_PARTIAL &&
	    (size_t)vn->off.csum_start + vn->off.csum_offset + 2 > vn->len)
		vn->oversize = true;
	if (vn->oversize || vn->len < 14) {
		vn->rx_dropped++;
		return;
	}
	vn->frame = vn->assembly;
	vn->frame_buf = -1;
}

/* Shows the frame that is complete.  False: refused. */
static bool show(struct virtio_net *vn)
{
	if (vn->net.receive && !vn->net.receive(vn->net.owner, vn->frame, vn->len, &vn->off)) {
		vn->refused = true;
		return false;
	}
	if (vn->frame_buf >= 0)
		post_rx(vn, (unsigned)vn->frame_buf);
	vn->frame = NULL;
	return true;
}

/* The next filled buffer.  1, 0 (none) or -1 (nonsense). */
static int take(struct virtio_net *vn)
{
	unsigned b;
	uint32_t len;
	int rc = virtq_next(&vn->rx, &b, &len);

	if (rc <= 0)
		return rc;
	if (len > VIRTIO_NET_RX_BYTES)
		return -1;
	if (!vn->parts)
		return frame_begins(vn, b, len) ? 1 : -1;
	frame_goes_on(vn, b, len);
	return 1;
}

static unsigned poll_rx(struct virtio_net *vn, unsigned budget)
{
	unsigned work;
	int rc;

	for (work = 0; work < budget && !vn->broken && !vn->refused; work++) {
		rc = vn->frame ? 1 : take(vn);
		if (rc < 0)
			give_up(vn, nonsense);
		if (rc <= 0 || (vn->frame && !show(vn)))
			break;
	}
	return work;
}

unsigned virtio_net_poll(struct virtio_net *vn, unsigned budget)
{
	unsigned done = poll_tx(vn, budget);

	budget -= done;
	vn->all |= virtq_ready(&vn->rx) > 0;
	return done + poll_rx(vn, budget);
}

bool virtio_net_arm(struct virtio_net *vn)
{
	bool more;

	if (vn->broken)
		return vn->n_sent; /* the next poll ends them */
	/* A model that refuses frames is not woken for more: the entry that was armed is used already. */
	more = !vn->refused && virtq_arm(&vn->rx);
	if (vn->tx.in_flight)
		more |= virtq_arm_after(&vn->tx, vn->n_eager ? 1 : LAZY);
	return more;
}

bool virtio_net_waits(const struct virtio_net *vn)
{
	return vn->n_sent && !vn->n_eager && !vn->broken;
}

bool virtio_net_service(struct virtio_net *vn)
{
	unsigned budget = VIRTIO_NET_BUDGET, n;

	/* done() and receive() may send again; such a frame is kicked in the next round. */
	do {
		virtio_net_kick(vn);
		n = virtio_net_poll(vn, budget);
		budget -= n;
	} while (budget && (n || virtio_net_arm(vn)));
	vn->all = false;
	return !budget;
}

bool virtio_net_hurry(struct virtio_net *vn)
{
	vn->all = true;
	return virtio_net_service(vn);
}

bool virtio_net_event(struct virtio_net *vn)
{
	const struct pv_env *env = vn->rx.env;
	/* Of what is there, was that worth an event?  Lazy frames alone say nothing of the link. */
	bool told = virtq_ready(&vn->rx) || virtq_ready(&vn->tx) >= (vn->n_eager ? 1 : LAZY);
	bool more = virtio_net_hurry(vn);
	uint32_t status;

	if (told && ++vn->events % LOOK_EVENTS)
		return more;
	if (vn->broken)
		return more;
	status = env->mmio_read(env->ctx, vn->rx.window + VIRTIO_MMIO_INTERRUPT_STATUS);
	if (!(status & VIRTIO_INT_CONFIG))
		return more;
	/* Acknowledged first: a change after this read of the link is one more interrupt. */
	env->mmio_write(env->ctx, vn->rx.window + VIRTIO_MMIO_INTERRUPT_ACK, VIRTIO_INT_CONFIG);
	if (virtio_needs_reset(env, vn->rx.window))
		give_up(vn, "virtio-net: the back end gave up; the network is gone");
	else
		set_link(vn, link_is_up(vn));
	return virtio_net_service(vn) || more;
}
