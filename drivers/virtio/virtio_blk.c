/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio_blk.c - a disk behind a virtio-mmio window, for models (virtio 1.2, section 5.2).
 *
 * A request is one ring descriptor that points to an indirect table in its slot: the header, the
 * model's segments (guest RAM, uncopied), the status byte.  As in Linux's driver, a table may be longer
 * than the ring; a ring of 256 entries for eight requests would cost 5 KiB a disk.
 */
#include "drivers/virtio/virtio_blk.h"

struct virtio_blk_slot_shared {
	struct virtq_desc_shared desc[BLK_MAX_SEGS + 2];
	struct virtio_blk_hdr hdr;
	struct virtio_blk_range range; /* of DISCARD and WRITE_ZEROES */
	uint8_t status;
	uint8_t pad[15];
};
_Static_assert(BLK_MAX_SEGS + 2 == VIRTIO_MAX_CHAIN, "the back end's bound");

#define STATUS_NONE 0xffu

static const uint8_t type_of[] = {
	[BLK_READ] = VIRTIO_BLK_T_IN,
	[BLK_WRITE] = VIRTIO_BLK_T_OUT,
	[BLK_FLUSH] = VIRTIO_BLK_T_FLUSH,
	[BLK_DISCARD] = VIRTIO_BLK_T_DISCARD,
	[BLK_WRITE_ZEROES] = VIRTIO_BLK_T_WRITE_ZEROES,
};

static int submit(struct blk *blk, struct blk_req *r)
{
	struct virtio_blk *vb = (struct virtio_blk *)blk;
	const struct pv_env *env = vb->q.env;
	bool range = r->op == BLK_DISCARD || r->op == BLK_WRITE_ZEROES;
	struct virtio_blk_slot_shared *s;
	struct virtq_desc_shared *d;
	unsigned n, i;

	for (n = 0; n < VIRTIO_BLK_DEPTH && vb->req[n]; n++)
		;
	if (n == VIRTIO_BLK_DEPTH)
		return -1;
	r->tag = n;
	vb->req[n] = r;
	vb->n_req++;
	if (vb->broken || r->n_seg > BLK_MAX_SEGS)
		return 0; /* the next poll ends it */

	s = &vb->slot[n];
	s->hdr = (struct virtio_blk_hdr){ .type = type_of[r->op],
					  .sector = r->op == BLK_FLUSH || range ? 0 : r->sector };
	d = s->desc;
	*d++ = (struct virtq_desc_shared){ .addr = env->gpa(env->ctx, &s->hdr),
					   .len = sizeof(s->hdr),
					   .flags = VIRTQ_DESC_F_NEXT,
					   .next = 1 };
	vb->max_len[n] = 1;
	for (i = 0; i < r->n_seg; i++, d++) {
		*d = (struct virtq_desc_shared){
			.addr = r->seg[i].addr.raw,
			.len = r->seg[i].len,
			.flags = VIRTQ_DESC_F_NEXT | (r->op == BLK_READ ? VIRTQ_DESC_F_WRITE : 0),
			.next = (uint16_t)(i + 2),
		};
		if (r->op == BLK_READ)
			vb->max_len[n] += r->seg[i].len;
	}
	if (range) {
		/* Zeroes may be made by unmapping: the back end's choice, the guest can't tell. */
		s->range = (struct virtio_blk_range){
			.sector = r->sector,
			.n_sectors = r->n_sectors,
			.flags = r->op == BLK_WRITE_ZEROES ? VIRTIO_BLK_WZ_UNMAP : 0,
		};
		*d++ = (struct virtq_desc_shared){ .addr = env->gpa(env->ctx, &s->range),
						   .len = sizeof(s->range),
						   .flags = VIRTQ_DESC_F_NEXT,
						   .next = 2 };
	}
	s->status = STATUS_NONE;
	*d++ = (struct virtq_desc_shared){ .addr = env->gpa(env->ctx, &s->status),
					   .len = 1,
					   .flags = VIRTQ_DESC_F_WRITE };
	vb->q.desc[n] = (struct virtq_desc_shared){
		.addr = env->gpa(env->ctx, s->desc),
		.len = (uint32_t)(d - s->desc) * sizeof(*d),
		.flags = VIRTQ_DESC_F_INDIRECT,
	};
	virtq_add(&vb->q, n);
	return 0;
}

int virtio_blk_init(struct virtio_blk *vb, const struct pv_env *env, uint64_t window)
{
	uint64_t got, need = VIRTIO_F_INDIRECT_DESC | VIRTIO_F_EVENT_IDX;
	uint64_t cfg = window + VIRTIO_MMIO_CONFIG;
	uint32_t lo, hi, gen, seg_max = 0;

	if (virtio_begin(env, window, VIRTIO_ID_BLK, need,
			 VIRTIO_BLK_F_RO | VIRTIO_BLK_F_FLUSH | VIRTIO_BLK_F_SEG_MAX |
				 VIRTIO_BLK_F_DISCARD | VIRTIO_BLK_F_WRITE_ZEROES,
			 &got))
		return -1;
	/* 2.5.1: a field of two words may change in between; the generation tells. */
	do {
		gen = env->mmio_read(env->ctx, window + VIRTIO_MMIO_CONFIG_GENERATION);
		lo = env->mmio_read(env->ctx, cfg);
		hi = env->mmio_read(env->ctx, cfg + 4);
		if (got & VIRTIO_BLK_F_SEG_MAX)
			seg_max = env->mmio_read(env->ctx, cfg + 12);
	} while (gen != env->mmio_read(env->ctx, window + VIRTIO_MMIO_CONFIG_GENERATION));
	if (seg_max < BLK_MAX_SEGS) {
		virtio_fail(env, window, "virtio-blk: the device takes too few segments");
		return -1;
	}
	vb->slot = env->alloc(env->ctx, VIRTIO_BLK_DEPTH * sizeof(*vb->slot), 16);
	if (!vb->slot) {
		virtio_fail(env, window, "virtio-blk: no memory for the descriptors");
		return -1;
	}
	if (virtq_init(&vb->q, env, window, 0, VIRTIO_BLK_DEPTH))
		return -1;
	virtio_ready(env, window);

	vb->blk = (struct blk){
		.submit = submit,
		.n_sectors = (uint64_t)hi << 32 | lo,
		.read_only = got & VIRTIO_BLK_F_RO,
		.flush = got & VIRTIO_BLK_F_FLUSH,
		.discard = got & VIRTIO_BLK_F_DISCARD,
	};
	return 0;
}

void virtio_blk_kick(struct virtio_blk *vb)
{
	if (vb->q.kicked_idx == vb->q.avail_idx)
		return;
	/* What the back end completes while it is notified is polled right afterwards: no event. */
	virtq_suppress(&vb->q);
	virtq_kick(&vb->q);
}

static void end(struct virtio_blk *vb, unsigned n, int err)
{
	struct blk_req *r = vb->req[n];

	vb->req[n] = NULL;
	vb->n_req--;
	r->done(r->owner, r, err);
}

static void give_up(struct virtio_blk *vb, const char *why)
{
	if (!vb->broken)
		virtio_fail(vb->q.env, vb->q.window, why);
	vb->broken = true;
}

/* A request that never went to the device (broken, or too long) is still in req[]. */
static unsigned end_unsent(struct virtio_blk *vb)
{
	unsigned n, ended = 0;

	for (n = 0; n < VIRTIO_BLK_DEPTH; n++) {
		if (vb->req[n] && (vb->broken || !(vb->q.in_flight & 1ull << n))) {
			end(vb, n, BLK_EIO);
			ended++;
		}
	}
	return ended;
}

static int result_of(const struct virtio_blk *vb, unsigned n, uint32_t len)
{
	switch (__atomic_load_n(&vb->slot[n].status, __ATOMIC_RELAXED)) {
	case VIRTIO_BLK_S_OK:
		/* All of a read's data and the status byte, or it wasn't read. */
		return len == vb->max_len[n] ? BLK_OK : BLK_EIO;
	case VIRTIO_BLK_S_UNSUPP: return BLK_EUNSUPP;
	default: return BLK_EIO;
	}
}

unsigned virtio_blk_poll(struct virtio_blk *vb)
{
	unsigned n, done = 0;
	uint32_t len;
	int rc = 0;

	if (!vb->n_req)
		return 0;
	while (!vb->broken && (rc = virtq_next(&vb->q, &n, &len)) > 0) {
		if (len > vb->max_len[n]) {
			rc = -1;
			break;
		}
		end(vb, n, result_of(vb, n, len));
		done++;
	}
	if (rc < 0)
		give_up(vb, "virtio-blk: nonsense in the used ring; the disk is gone");
	return done + end_unsent(vb);
}

bool virtio_blk_arm(struct virtio_blk *vb)
{
	return !vb->broken && vb->n_req && virtq_arm(&vb->q);
}

void virtio_blk_service(struct virtio_blk *vb)
{
	if (!vb->n_req)
		return;
	/* done() may submit again; such a request is kicked in the next round. */
	do {
		virtio_blk_kick(vb);
	} while (virtio_blk_poll(vb) ? vb->n_req : virtio_blk_arm(vb));
}

void virtio_blk_event(struct virtio_blk *vb)
{
	uint16_t before = vb->q.last_used;

	virtio_blk_service(vb);
	/* An event without a completion: a vCPU's context has polled it first, or the device gave up. */
	if (vb->n_req && !vb->broken && before == vb->q.last_used &&
	    virtio_needs_reset(vb->q.env, vb->q.window)) {
		give_up(vb, "virtio-blk: the back end gave up; the disk is gone");
		virtio_blk_poll(vb);
	}
}
