/* SPDX-License-Identifier: BSD-2-Clause */
/* xen_blk.c - a disk behind Xen's block protocol (xen/include/public/io/blkif.h, ring.h). */
#include "drivers/xen/xen_blk.h"

#include <string.h>

#include "lib/fmt.h"

#define CONNECT_NS 30000000000ull

/* A disk's grants: the ring, of each slot guest pages and the page of descriptors, the pages of ours. */
#define GRANTS_OF_SLOT   (XEN_BLK_SEGS + 1)
#define GRANT_RING       0u
#define GRANT_PAGE(s, i) (1 + (s)*GRANTS_OF_SLOT + (i))
#define GRANT_DESC(s)    GRANT_PAGE(s, XEN_BLK_SEGS)
#define GRANT_OURS(p)    (GRANT_PAGE(XEN_BLK_SLOTS, 0) + (p))
#define N_GRANTS         GRANT_OURS(XEN_BLK_PAGES)

#define NO_DATA (-1) /* of describe() */

_Static_assert(XEN_BLK_SLOTS <= BLKIF_RING, "the ring is never full");
_Static_assert(XEN_BLK_PAGES <= 32, "a bit of in_use for each");
_Static_assert(XEN_BLK_SEGS * sizeof(struct blkif_seg) <= XEN_PAGE, "a page of descriptors");

unsigned xen_blk_ide_vdev(unsigned unit)
{
	/* docs/misc/xen-vbd-interface: 3 << 8 | disk << 6 and 22 << 8 | ..., for hda, hdb and hdc, hdd */
	return (unit < 2 ? 3u : 22u) << 8 | (unit & 1) << 6;
}

static void give_up(struct xen_blk *b, const char *why)
{
	char line[120];

	if (!b->broken) {
		fmt(line, sizeof(line), "xen-blk %u: %s; the disk is gone", b->vdev, why);
		xen_log(b->x, line);
	}
	b->broken = true;
}

/* --- requests out --- */

static int submit(struct blk *blk, struct blk_req *r)
{
	struct xen_blk *b = (struct xen_blk *)blk;
	unsigned n;

	for (n = 0; n < XEN_BLK_DEPTH && b->req[n].r; n++)
		;
	if (n == XEN_BLK_DEPTH)
		return -1;
	r->tag = (uint16_t)n;
	b->req[n] = (struct xen_blk_req){ .r = r };
	b->n_req++;
	return 0;
}

/* Copies n bytes between the request's data, from *c on, and buf; buf NULL: goes over them.  False: there is no
 * memory, or no data, there. */
static bool move(struct xen_blk *b, const struct blk_req *r, struct xen_blk_cursor *c, uint8_t *buf,
		 uint32_t n, bool to_guest)
{
	while (n) {
		const struct gpa_seg *s;
		uint32_t part;
		uint8_t *p;

		if (c->seg >= r->n_seg)
			return false;
		s = &r->seg[c->seg];
		part = s->len - c->off;
		if (!part) {
			*c = (struct xen_blk_cursor){ .seg = c->seg + 1 };
			continue;
		}
		part = part < n ? part : n;
		if (buf) {
			p = b->x->env->at(b->x->env->ctx, s->addr.raw + c->off, part);
			if (!p)
				return false;
			memcpy(to_guest ? p : buf, to_guest ? buf : p, part);
			buf += part;
		}
		c->off += part;
		n -= part;
	}
	return true;
}

static uint8_t *our_page(const struct xen_blk *b, unsigned page)
{
	return b->page + page * XEN_PAGE;
}

/* The next sectors of q, from *c on, in a page of ours; how many.  0: no page is free; NO_DATA. */
static int describe_copy(struct xen_blk *b, const struct xen_blk_req *q, unsigned n,
			 struct xen_blk_cursor *c, uint32_t left, struct blkif_seg *seg)
{
	struct xen_blk_slot *s = &b->slot[n];
	uint32_t sectors = left < XEN_PAGE / BLK_SECTOR ? left : XEN_PAGE / BLK_SECTOR;
	unsigned page = (unsigned)__builtin_ctzll(~(uint64_t)b->in_use);

	if (page >= XEN_BLK_PAGES)
		return 0;
	b->in_use |= 1u << page;
	s->copy[s->n_copies++] = (struct xen_blk_copy){ *c, (uint8_t)page, (uint8_t)sectors };
	*seg = (struct blkif_seg){
		.gref = xen_ref(b->x, b->grant + GRANT_OURS(page)),
		.last = (uint8_t)(sectors - 1),
	};
	if (!move(b, q->r, c, q->r->op == BLK_WRITE ? our_page(b, page) : NULL,
		  sectors * BLK_SECTOR, false))
		return NO_DATA;
	return (int)sectors;
}

/* The next sectors of q, from *c on, where they lie: as many as are whole and in one page. */
static uint32_t describe_there(struct xen_blk *b, const struct xen_blk_req *q, unsigned n,
			       struct xen_blk_cursor *c, uint32_t left, struct blkif_seg *seg)
{
	struct xen_blk_slot *s = &b->slot[n];
	const struct gpa_seg *g = &q->r->seg[c->seg];
	uint64_t addr = g->addr.raw + c->off;
	uint32_t len = g->len - c->off, grant = b->grant + GRANT_PAGE(n, s->n_grants);
	uint32_t in_page = XEN_PAGE - (uint32_t)(addr % XEN_PAGE), sectors;

	if (addr % BLK_SECTOR)
		return 0;
	sectors = (len < in_page ? len : in_page) / BLK_SECTOR;
	sectors = sectors < left ? sectors : left;
	if (!sectors)
		return 0;
	xen_grant(b->x, grant, b->domid, addr, q->r->op == BLK_WRITE);
	s->n_grants++;
	*seg = (struct blkif_seg){
		.gref = xen_ref(b->x, grant),
		.first = (uint8_t)(addr % XEN_PAGE / BLK_SECTOR),
		.last = (uint8_t)(addr % XEN_PAGE / BLK_SECTOR + sectors - 1),
	};
	c->off += sectors * BLK_SECTOR;
	return sectors;
}

/* Describes the next sectors of q, as many as one ring entry takes; how many segments.  0: no page of ours is
 * free; NO_DATA: the data end too early or aren't in memory.  *sectors: how many sectors. */
static int describe(struct xen_blk *b, struct xen_blk_req *q, unsigned n, uint32_t *sectors)
{
	const struct blk_req *r = q->r;
	struct xen_blk_cursor c = q->at;
	uint32_t left = r->n_sectors - q->sent;
	unsigned n_seg;

	b->slot[n].n_grants = b->slot[n].n_copies = 0;
	for (n_seg = 0; left && n_seg < b->max_segs; n_seg++) {
		struct blkif_seg *seg = &b->slot[n].seg[n_seg];
		int there;

		while (c.seg < r->n_seg && c.off == r->seg[c.seg].len)
			c = (struct xen_blk_cursor){ .seg = c.seg + 1 };
		if (c.seg == r->n_seg)
			return NO_DATA;
		there = b->persistent ? 0 : (int)describe_there(b, q, n, &c, left, seg);
		if (!there)
			there = describe_copy(b, q, n, &c, left, seg);
		if (there < 0)
			return there;
		if (!there)
			break;
		left -= (uint32_t)there;
	}
	*sectors = r->n_sectors - q->sent - left;
	q->at = c;
	return (int)n_seg;
}

/* A slot's pages: the guest's are nobody else's any more, ours are free. */
static void let_go(struct xen_blk *b, unsigned n)
{
	struct xen_blk_slot *s = &b->slot[n];

	for (unsigned i = 0; i < s->n_grants; i++)
		if (!xen_grant_end(b->x, b->grant + GRANT_PAGE(n, i)))
			give_up(b, "the back end keeps a page mapped");
	for (unsigned i = 0; i < s->n_copies; i++)
		b->in_use &= ~(1u << s->copy[i].page);
	s->n_grants = s->n_copies = 0;
}

/* Puts the next part of q on the ring, from slot n, which is free.  False: not yet, no page of ours is free. */
static bool send(struct xen_blk *b, struct xen_blk_req *q, unsigned n)
{
	struct blkif_request_shared *e = &b->ring->ring[b->req_prod % BLKIF_RING].req;
	struct xen_blk_slot *s = &b->slot[n];
	const struct blk_req *r = q->r;
	struct blkif_request_shared out = { .handle = (uint16_t)b->vdev, .id = n };
	uint32_t sectors = 0;
	int n_seg;

	switch (r->op) {
	case BLK_READ:
	case BLK_WRITE:
		n_seg = r->n_seg <= BLK_MAX_SEGS ? describe(b, q, n, &sectors) : NO_DATA;
		if (n_seg < 0) {
			let_go(b, n);
			q->err = BLK_EIO;
			q->all_sent = true;
			return true;
		}
		if (!n_seg)
			return false;
		out.op = r->op == BLK_READ ? BLKIF_READ : BLKIF_WRITE;
		out.sector = r->sector + q->sent;
		if (n_seg <= (int)BLKIF_MAX_SEGS) {
			out.n_seg = (uint8_t)n_seg;
			memcpy(out.u.seg, s->seg, (unsigned)n_seg * sizeof(*s->seg));
		} else {
			out.n_seg = out.op; /* indirect_op */
			out.op = BLKIF_INDIRECT;
			out.handle = (uint16_t)n_seg; /* nr_segments */
			out.u.indirect.handle = (uint16_t)b->vdev;
			out.u.indirect.gref[0] = xen_ref(b->x, b->grant + GRANT_DESC(n));
		}
		q->sent += sectors;
		q->all_sent = q->sent == r->n_sectors;
		break;
	case BLK_FLUSH:
		out.op = b->flush_op;
		q->all_sent = true;
		break;
	case BLK_DISCARD:
		out.op = BLKIF_DISCARD;
		out.sector = r->sector;
		out.u.n_sectors = r->n_sectors;
		q->all_sent = true;
		break;
	}
	s->busy = true;
	s->req = r->tag;
	q->flying++;
	*e = out;
	b->req_prod++;
	return true;
}

/* Of what isn't sent at all: BLK_OK if it is to be sent. */
static int refused(const struct xen_blk *b, const struct blk_req *r)
{
	switch (r->op) {
	case BLK_READ: return r->n_sectors ? BLK_OK : BLK_EIO;
	case BLK_WRITE: return r->n_sectors && !b->blk.read_only ? BLK_OK : BLK_EIO;
	case BLK_FLUSH: return b->flush_op ? BLK_OK : BLK_EUNSUPP;
	case BLK_DISCARD: return b->blk.discard ? BLK_OK : BLK_EUNSUPP;
	default: return BLK_EUNSUPP;
	}
}

void xen_blk_kick(struct xen_blk *b)
{
	unsigned n = 0;

	if (b->broken)
		return;
	for (unsigned i = 0; i < XEN_BLK_DEPTH; i++) {
		struct xen_blk_req *q = &b->req[(b->next + i) % XEN_BLK_DEPTH];

		if (q->r && !q->sent && !q->flying && !q->all_sent) {
			q->err = (uint8_t)refused(b, q->r);
			q->all_sent = q->err != BLK_OK;
		}
		while (q->r && !q->all_sent) {
			for (; n < XEN_BLK_SLOTS && b->slot[n].busy; n++)
				;
			if (n == XEN_BLK_SLOTS || !send(b, q, n))
				goto out;
			b->next = q->r->tag + q->all_sent;
		}
	}
out:
	if (xen_ring_push(&b->ring->req_prod, &b->ring->req_event, &b->pushed, b->req_prod))
		b->x->env->notify(b->x->env->ctx, b->channel);
}

/* --- responses in --- */

/* One request after the other: done() may submit again.  How many. */
static unsigned end_requests(struct xen_blk *b)
{
	unsigned ended = 0;

	for (unsigned i = 0; i < XEN_BLK_DEPTH; i++) {
		struct blk_req *r = b->req[i].r;
		int err = b->broken ? BLK_EIO : b->req[i].err;

		if (!r || (!b->broken && (b->req[i].flying || !b->req[i].all_sent)))
			continue;
		b->req[i].r = NULL;
		b->n_req--;
		ended++;
		r->done(r->owner, r, err);
	}
	return ended;
}

/* A ring entry is over. */
static void finish(struct xen_blk *b, unsigned n, int status)
{
	struct xen_blk_slot *s = &b->slot[n];
	struct xen_blk_req *q = &b->req[s->req];
	int err = status == BLKIF_RSP_OK     ? BLK_OK :
		  status == BLKIF_RSP_UNSUPP ? BLK_EUNSUPP :
					       BLK_EIO;

	for (unsigned i = 0; i < s->n_copies && q->r->op == BLK_READ && !err; i++) {
		struct xen_blk_cursor c = s->copy[i].at;

		if (!move(b, q->r, &c, our_page(b, s->copy[i].page),
			  s->copy[i].sectors * BLK_SECTOR, true))
			err = BLK_EIO;
	}
	let_go(b, n);
	s->busy = false;
	q->flying--;
	if (err && !q->err)
		q->err = (uint8_t)err;
	/* The rest of a request that has failed is not begun. */
	if (err)
		q->all_sent = true;
}

unsigned xen_blk_poll(struct xen_blk *b)
{
	unsigned done = 0;
	uint32_t prod;

	if (!b->n_req)
		return 0;
	/* Acquire: responses after their index. */
	prod = b->broken ? b->rsp_cons : __atomic_load_n(&b->ring->rsp_prod, __ATOMIC_ACQUIRE);
	while (!b->broken && b->rsp_cons != prod) {
		struct blkif_response_shared r;

		if (prod - b->rsp_cons > b->pushed - b->rsp_cons) {
			give_up(b, "nonsense in the ring");
			break;
		}
		memcpy(&r, &b->ring->ring[b->rsp_cons % BLKIF_RING].rsp, sizeof(r));
		__atomic_signal_fence(__ATOMIC_SEQ_CST); /* one copy: it is checked and used */
		b->rsp_cons++;
		if (r.id >= XEN_BLK_SLOTS || !b->slot[r.id].busy) {
			give_up(b, "an answer to no request");
			break;
		}
		finish(b, (unsigned)r.id, r.status);
		done++;
	}
	return done + end_requests(b);
}

bool xen_blk_arm(struct xen_blk *b)
{
	if (b->broken || b->pushed == b->rsp_cons)
		return false;
	__atomic_store_n(&b->ring->rsp_event, b->rsp_cons + 1, __ATOMIC_RELAXED);
	/* Pairs with the back end's: it sets rsp_prod, then looks at rsp_event. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return __atomic_load_n(&b->ring->rsp_prod, __ATOMIC_ACQUIRE) != b->rsp_cons;
}

void xen_blk_service(struct xen_blk *b)
{
	if (!b->n_req)
		return;
	/* done() may submit again, and a request may have a next part. */
	do {
		xen_blk_kick(b);
	} while (xen_blk_poll(b) ? b->n_req : xen_blk_arm(b));
}

/* --- connection --- */

static int refuse(struct xen_blk *b, const char *why)
{
	char line[160];

	fmt(line, sizeof(line), "xen-blk %u: %s", b->vdev, why);
	xen_log(b->x, line);
	return -1;
}

/* Where the back end is; it may be another one after a restore. */
static bool find(struct xen_blk *b)
{
	return xen_store_read(b->x, b->front, "backend", b->back);
}

/* Waits until the back end is in one of two states. */
static bool wait_for(struct xen_blk *b, enum xenbus_state a, enum xenbus_state or)
{
	uint64_t deadline = b->x->env->now_ns(b->x->env->ctx) + CONNECT_NS, state;

	do {
		state = xen_store_number(b->x, b->back, "state", 8, 0);
		if (state == a || state == or)
			return true;
	} while (!b->x->store_broken && state != XENBUS_CLOSING && state != XENBUS_CLOSED &&
		 xen_yield(b->x, deadline));
	return false;
}

static void grant_pages(struct xen_blk *b)
{
	const struct xen_env *env = b->x->env;

	/* A back end that keeps pages maps all of them for writing. */
	for (unsigned n = 0; n < XEN_BLK_SLOTS; n++)
		xen_grant(b->x, b->grant + GRANT_DESC(n), b->domid,
			  env->gpa(env->ctx, b->slot[n].seg), !b->persistent);
	for (unsigned n = 0; n < XEN_BLK_PAGES; n++)
		xen_grant(b->x, b->grant + GRANT_OURS(n), b->domid,
			  env->gpa(env->ctx, our_page(b, n)), false);
}

/*
 * The front end stays in state Initialised, which is as good as Connected for the back ends.  A guest's
 * kernel takes a device in state Initialising for its own, and Linux resets one in Connected or Closed
 * when it starts; this one it leaves alone.
 */
static int connect(struct xen_blk *b)
{
	struct xen *x = b->x;
	const struct xen_env *env = x->env;
	const char *front = b->front;
	uint64_t info, max;
	uint32_t port;

	b->domid = (uint16_t)xen_store_number(x, front, "backend-id", 0x7fef, 0);
	if (!wait_for(b, XENBUS_INIT_WAIT, XENBUS_CONNECTED))
		return refuse(b, "there is no back end");

	memset(b->ring, 0, XEN_PAGE);
	b->ring->req_event = b->ring->rsp_event = 1;
	b->req_prod = b->pushed = b->rsp_cons = 0;
	xen_grant(x, b->grant + GRANT_RING, b->domid, env->gpa(env->ctx, b->ring), false);
	port = env->channel(env->ctx, b->channel, b->domid);
	if (!port ||
	    !xen_store_write_number(x, front, "ring-ref", xen_ref(x, b->grant + GRANT_RING)) ||
	    !xen_store_write_number(x, front, "event-channel", port) ||
	    !xen_store_write(x, front, "protocol", "x86_64-abi") ||
	    !xen_store_write_number(x, front, "feature-persistent", 1) ||
	    !xen_store_write_number(x, front, "state", XENBUS_INITIALISED))
		return refuse(b, "the disk can't be announced");
	if (!wait_for(b, XENBUS_CONNECTED, XENBUS_CONNECTED))
		return refuse(b, "the back end does not connect");

	if (xen_store_number(x, b->back, "sector-size", UINT32_MAX, 512) != 512)
		return refuse(b, "its sectors are not of 512 bytes");
	b->persistent = xen_store_number(x, b->back, "feature-persistent", 1, 0);
	grant_pages(b);
	info = xen_store_number(x, b->back, "info", UINT32_MAX, 0);
	max = xen_store_number(x, b->back, "feature-max-indirect-segments", UINT32_MAX, 0);
	b->max_segs = max > XEN_BLK_SEGS ? XEN_BLK_SEGS : (unsigned)max;
	if (b->max_segs < BLKIF_MAX_SEGS)
		b->max_segs = BLKIF_MAX_SEGS;
	b->flush_op = xen_store_number(x, b->back, "feature-flush-cache", 1, 0) ? BLKIF_FLUSH :
		      xen_store_number(x, b->back, "feature-barrier", 1, 0) ? BLKIF_WRITE_BARRIER :
									      0;
	b->blk = (struct blk){
		.submit = submit,
		.n_sectors = xen_store_number(x, b->back, "sectors", UINT64_MAX / BLK_SECTOR, 0),
		.read_only = info & BLKIF_INFO_READONLY,
		.flush = b->flush_op != 0,
		.discard = xen_store_number(x, b->back, "feature-discard", 1, 0),
	};
	return b->blk.n_sectors ? 0 : refuse(b, "it has no sectors");
}

bool xen_blk_there(struct xen *x, unsigned vdev)
{
	char front[32], back[XEN_STORE_TEXT];

	fmt(front, sizeof(front), "device/vbd/%u", vdev);
	return xen_store_read(x, front, "backend", back);
}

int xen_blk_init(struct xen_blk *b, struct xen *x, unsigned vdev, unsigned channel)
{
	const struct xen_env *env = x->env;

	b->x = x;
	b->vdev = vdev;
	b->channel = channel;
	fmt(b->front, sizeof(b->front), "device/vbd/%u", vdev);
	if (!find(b))
		return refuse(b, "there is no such disk");
	b->ring = env->alloc(env->ctx, XEN_BLK_BYTES, XEN_PAGE);
	b->grant = xen_grants_take(x, N_GRANTS);
	if (!b->ring || b->grant == UINT32_MAX)
		return refuse(b, "no memory or no grants for its pages");
	for (unsigned n = 0; n < XEN_BLK_SLOTS; n++)
		b->slot[n].seg = (struct blkif_seg *)((uint8_t *)b->ring + (1 + n) * XEN_PAGE);
	b->page = (uint8_t *)b->ring + (1 + XEN_BLK_SLOTS) * XEN_PAGE;
	return connect(b);
}

int xen_blk_restored(struct xen_blk *b)
{
	uint64_t sectors = b->blk.n_sectors;

	for (unsigned n = 0; n < XEN_BLK_SLOTS; n++) {
		b->slot[n].busy = false;
		b->slot[n].n_grants = b->slot[n].n_copies = 0;
	}
	b->in_use = 0;
	for (unsigned n = 0; n < XEN_BLK_DEPTH; n++)
		if (b->req[n].r)
			b->req[n] = (struct xen_blk_req){ .r = b->req[n].r };
	if (b->broken)
		return -1;
	if (!find(b) || connect(b)) {
		give_up(b, "no back end after the restore");
		return -1;
	}
	if (b->blk.n_sectors < sectors) {
		give_up(b, "it is smaller after the restore");
		return -1;
	}
	b->blk.n_sectors = sectors; /* what the models know */
	return 0;
}
