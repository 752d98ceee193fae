/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_xen_drivers.c - drivers/xen against a Xen in memory: hypercalls, grants that are checked, a
 * xenstored that works byte by byte, a block back end, and what each of them may do wrong.
 */
#include "drivers/xen/xen_blk.h"
#include "drivers/xen/xen_console.h"
#include "fake_xen.h"

#define STORE   0x2000u
#define CONSOLE 0x3000u
#define SECTORS 8192u
#define DISKS   5u

struct back {
	unsigned vdev;
	struct blkif_ring_shared *ring;
	uint32_t req_cons, rsp_prod;
	bool hold, keep_mapped, bad_flush;
	bool persistent; /* what it has mapped stays mapped */
	unsigned requests, indirect, bad, signals;
	int status; /* of the next answers */
	uint8_t *data;
};

static struct fake {
	struct xen_env env;
	/* xenstore */
	uint8_t in[8192];
	unsigned n_in, chunk;
	bool mute;  /* no answers */
	bool flood; /* only such as nobody has asked for */
	char watched[64];
	bool denied;         /* no writes */
	unsigned stray;      /* answers that nobody has asked for come first */
	uint32_t answer_len; /* not 0: what the header says */
	bool no_store, no_console;
	/* the rest */
	struct back back[DISKS];
	unsigned notified[32], sends;
} f;

static bool offer_persistent;

static void set_back(unsigned vdev, const char *key, const char *value)
{
	char path[64];

	snprintf(path, sizeof(path), "/b/%u/%s", vdev, key);
	set(path, value);
}

static const char *front(unsigned vdev, const char *key)
{
	char path[64];

	snprintf(path, sizeof(path), "device/vbd/%u/%s", vdev, key);
	return value_of(path);
}

static int rw(struct back *b, const struct blkif_seg *seg, unsigned n, uint64_t sector, bool write)
{
	int status = b->status;

	for (unsigned i = 0; i < n; i++) {
		unsigned sectors = seg[i].last - seg[i].first + 1u;
		uint8_t *p = map(seg[i].gref, !write || b->persistent);

		assert_true(seg[i].first <= seg[i].last && seg[i].last < 8);
		if (!p || sector > SECTORS || sectors > SECTORS - sector)
			status = -1;
		if (status)
			continue;
		p += seg[i].first * 512;
		memcpy(write ? b->data + sector * 512 : p, write ? p : b->data + sector * 512,
		       sectors * 512);
		sector += sectors;
	}
	for (unsigned i = 0; i < n && !b->keep_mapped && !b->persistent; i++)
		unmap(seg[i].gref);
	return status;
}

static void back_run(struct back *b)
{
	if (!b->ring || b->hold)
		return;
	while (b->req_cons != b->ring->req_prod) {
		struct blkif_request_shared r = b->ring->ring[b->req_cons++ % BLKIF_RING].req;
		struct blkif_response_shared a = { .id = r.id, .op = r.op };
		unsigned at = b->rsp_prod++;

		b->requests++;
		switch (r.op) {
		case BLKIF_READ:
		case BLKIF_WRITE:
			assert_in_range(r.n_seg, 1, BLKIF_MAX_SEGS);
			a.status = (int16_t)rw(b, r.u.seg, r.n_seg, r.sector, r.op == BLKIF_WRITE);
			break;
		case BLKIF_INDIRECT: {
			uint8_t *p = map(r.u.indirect.gref[0], b->persistent);

			assert_in_range(r.handle, BLKIF_MAX_SEGS + 1, XEN_BLK_SEGS);
			b->indirect++;
			a.status = (int16_t)rw(b, (struct blkif_seg *)p, r.handle, r.sector,
					       r.n_seg == BLKIF_WRITE);
			if (!b->persistent)
				unmap(r.u.indirect.gref[0]);
			break;
		}
		case BLKIF_FLUSH:
		case BLKIF_WRITE_BARRIER:
			assert_int_equal(r.n_seg, 0);
			a.status = b->bad_flush ? BLKIF_RSP_UNSUPP : 0;
			break;
		case BLKIF_DISCARD: memset(b->data + r.sector * 512, 0, r.u.n_sectors * 512); break;
		default: fail_msg("operation %u", r.op);
		}
		b->ring->ring[at % BLKIF_RING].rsp = a;
		b->ring->rsp_prod = b->rsp_prod;
		b->ring->req_event = b->req_cons + 1;
		if (b->ring->rsp_event == b->rsp_prod)
			b->signals++;
	}
}

/* A front end has written its state. */
static void back_connect(struct back *b)
{
	if (b->ring || strcmp(front(b->vdev, "state"), "3") || strcmp(value_of("/b/state"), "go"))
		return;
	assert_string_equal(front(b->vdev, "protocol"), "x86_64-abi");
	assert_true(atoi(front(b->vdev, "event-channel")) >= 100);
	b->ring = (void *)map((uint32_t)atoi(front(b->vdev, "ring-ref")), true);
	b->req_cons = b->rsp_prod = 0;
	b->persistent = offer_persistent && atoi(front(b->vdev, "feature-persistent"));
	assert_int_equal(b->persistent, offer_persistent);
	if (offer_persistent) /* not before: as Linux's does it */
		set_back(b->vdev, "feature-persistent", "1");
	set_back(b->vdev, "state", "4");
}

static void answer(uint32_t type, uint32_t id, const void *text, uint32_t len)
{
	struct xen_store_shared *s = (void *)(fx.ram + STORE);
	struct xen_store_header h = { type, id, 0, f.answer_len ? f.answer_len : len };
	const uint8_t *p = (void *)&h;

	/* (What does not fit is not sent: no test needs it.) */
	for (unsigned i = 0; i < sizeof(h) + len; i++) {
		if (s->rsp_prod - s->rsp_cons == XEN_STORE_RING)
			return;
		s->rsp[s->rsp_prod++ % XEN_STORE_RING] =
			i < sizeof(h) ? p[i] : ((const uint8_t *)text)[i - sizeof(h)];
	}
}

static void store_run(void)
{
	struct xen_store_shared *s = (void *)(fx.ram + STORE);
	struct xen_store_header h;

	for (unsigned n = 0; n < f.chunk && s->req_cons != s->req_prod; n++)
		f.in[f.n_in++] = s->req[s->req_cons++ % XEN_STORE_RING];
	if (f.flood) {
		fx.now += 1000000000;
		answer(XEN_XS_READ, 0, NULL, 0);
	}
	if (f.n_in < sizeof(h))
		return;
	memcpy(&h, f.in, sizeof(h));
	if (f.n_in < sizeof(h) + h.len || f.mute || f.flood)
		return;
	f.n_in = 0;
	for (; f.stray; f.stray--)
		answer(f.stray & 1 ? XEN_XS_WATCH_EVENT : XEN_XS_READ, f.stray, "x\0y", 4);

	char *path = (char *)f.in + sizeof(h), *v;
	uint32_t n = (uint32_t)strlen(path) + 1;
	char text[512] = { 0 };

	switch (h.type) {
	case XEN_XS_READ:
		v = value_of(path);
		if (v)
			answer(h.type, h.req_id, v, (uint32_t)strlen(v));
		else
			answer(XEN_XS_ERROR, h.req_id, "ENOENT", 7);
		break;
	case XEN_XS_WATCH:
		assert_int_equal(h.len, n + strlen(path + n) + 1);
		strcpy(f.watched, path);
		answer(h.type, h.req_id, "OK", 3);
		answer(XEN_XS_WATCH_EVENT, 0, path, h.len);
		break;
	case XEN_XS_DIRECTORY:
		v = value_of(path);
		if (v) {
			uint32_t len = (uint32_t)strlen(v);

			for (unsigned i = 0; i < len; i++)
				text[i] = v[i] == ' ' ? 0 : v[i];
			/* more than the client keeps */
			for (len += 1; !strcmp(v, "many") && len + 7 < sizeof(text); len += 7)
				memcpy(text + len, "n00000", 7);
			answer(h.type, h.req_id, text, len);
		} else {
			answer(XEN_XS_ERROR, h.req_id, "ENOENT", 7);
		}
		break;
	case XEN_XS_WRITE:
		if (f.denied) {
			answer(XEN_XS_ERROR, h.req_id, "EACCES", 7);
			break;
		}
		memcpy(text, path + n, h.len - n);
		set(path, text);
		answer(h.type, h.req_id, "OK", 3);
		for (unsigned i = 0; i < DISKS; i++)
			if (front(f.back[i].vdev, "state") && strstr(path, "/state"))
				back_connect(&f.back[i]);
		break;
	default: fail_msg("store request %u", h.type);
	}
}

static long hypercall(void *ctx, unsigned nr, unsigned long op, void *arg, unsigned long n)
{
	switch (nr << 8 | op) {
	case XEN_HC_HVM << 8 | XEN_HVMOP_GET_PARAM: {
		struct xen_hvm_get_param *p = arg;

		assert_int_equal(p->domid, XEN_DOMID_SELF);
		switch (p->index) {
		case XEN_PARAM_STORE_PFN: p->value = f.no_store ? 0 : STORE / XEN_PAGE; break;
		case XEN_PARAM_STORE_EVTCHN: p->value = 1; break;
		case XEN_PARAM_CONSOLE_PFN: p->value = CONSOLE / XEN_PAGE; break;
		case XEN_PARAM_CONSOLE_EVTCHN: p->value = 2; return f.no_console ? -22 : 0;
		default: fail_msg("parameter %u", p->index);
		}
		return 0;
	}
	case XEN_HC_EVENT_CHANNEL << 8 | XEN_EVTCHN_SEND:
		f.sends++;
		if (((struct xen_evtchn_send *)arg)->port == 1)
			store_run();
		return 0;
	case XEN_HC_SCHED << 8 | XEN_SCHED_YIELD:
		fx.now += 1000000;
		store_run();
		for (unsigned i = 0; i < DISKS; i++)
			back_run(&f.back[i]);
		return 0;
	}
	return fx_hypercall(nr, op, arg);
}

static uint32_t env_channel(void *ctx, unsigned n, uint16_t domid)
{
	assert_int_equal(domid, 0);
	return 100 + n;
}

static void env_notify(void *ctx, unsigned n)
{
	f.notified[n]++;
	back_run(&f.back[n]);
}

static struct xen x;
static struct xen_blk disk[DISKS];

static void add_disk(unsigned i)
{
	unsigned vdev = i < 4 ? xen_blk_ide_vdev(i) : 51712;
	char path[64];

	f.back[i].vdev = vdev;
	f.back[i].data = calloc(SECTORS, 512);
	snprintf(path, sizeof(path), "device/vbd/%u/backend", vdev);
	snprintf(fx.last_log, sizeof(fx.last_log), "/b/%u", vdev);
	set(path, fx.last_log);
	snprintf(path, sizeof(path), "device/vbd/%u/backend-id", vdev);
	set(path, "0");
	set_back(vdev, "state", "2");
	set_back(vdev, "sectors", "8192");
	set_back(vdev, "sector-size", "512");
	set_back(vdev, "info", "0");
	set_back(vdev, "feature-flush-cache", "1");
	set_back(vdev, "feature-discard", "1");
	set_back(vdev, "feature-max-indirect-segments", "256");
}

static void start(void)
{
	memset(&f, 0, sizeof(f));
	memset(&x, 0, sizeof(x));
	memset(disk, 0, sizeof(disk));
	fx_start();
	f.chunk = 7;
	f.env = (struct xen_env){ .alloc = env_alloc,
				  .gpa = env_gpa,
				  .at = env_at,
				  .hypercall = hypercall,
				  .channel = env_channel,
				  .notify = env_notify,
				  .now_ns = env_now,
				  .log = env_log };
	set("/b/state", "go");
	add_disk(0);
}

static void stop(void)
{
	free(fx.ram);
	for (unsigned i = 0; i < DISKS; i++)
		free(f.back[i].data);
}

static void begin(void)
{
	start();
	assert_int_equal(xen_init(&x, &f.env), 0);
	assert_int_equal(xen_blk_init(&disk[0], &x, 768, 0), 0);
	assert_int_equal(fx.logs, 0);
}

struct job {
	struct blk_req r;
	struct gpa_seg seg[BLK_MAX_SEGS];
	unsigned done;
	int err;
	struct job *then; /* to be submitted by done() */
};

static void done(void *owner, struct blk_req *r, int err)
{
	struct job *j = owner;

	assert_ptr_equal(r, &j->r);
	j->done++;
	j->err = err;
	if (j->then)
		assert_int_equal(blk_submit(&disk[0].blk, &j->then->r), 0);
}

static void job_init(struct job *j, uint8_t op, uint64_t sector, uint32_t n, uint64_t gpa,
		     uint32_t piece)
{
	uint32_t left = op == BLK_READ || op == BLK_WRITE ? n * 512 : 0, len;

	memset(j, 0, sizeof(*j));
	j->r = (struct blk_req){
		.op = op, .sector = sector, .n_sectors = n, .seg = j->seg, .done = done, .owner = j
	};
	for (; left; left -= len, gpa += len) {
		len = left < piece || j->r.n_seg == BLK_MAX_SEGS - 1 ? left : piece;
		j->seg[j->r.n_seg++] = (struct gpa_seg){ { gpa }, len };
	}
}

static int run(uint8_t op, uint64_t sector, uint32_t n, uint64_t gpa, uint32_t piece)
{
	struct job j;

	job_init(&j, op, sector, n, gpa, piece);
	assert_int_equal(blk_submit(&disk[0].blk, &j.r), 0);
	assert_int_equal(j.done, 0);
	xen_blk_service(&disk[0]);
	assert_int_equal(j.done, 1);
	return j.err;
}

/* Only the ring and the pages of ours can be reached: all of them, and in the firmware's memory. */
static void assert_quiet(void)
{
	unsigned n = 0;

	for (unsigned i = 0; i < x.n_taken; i++)
		if (x.grant[i].flags) {
			assert_true(x.grant[i].frame >= PRIV / XEN_PAGE);
			n++;
		}
	assert_int_equal(n, XEN_BLK_BYTES / XEN_PAGE);
}

static void test_init(void **state)
{
	struct xen_store_shared *s;
	char text[XEN_STORE_TEXT];

	begin();
	assert_int_equal(disk[0].blk.n_sectors, SECTORS);
	assert_true(disk[0].blk.flush && disk[0].blk.discard && !disk[0].blk.read_only);
	assert_int_equal(disk[0].max_segs, XEN_BLK_SEGS);
	/* As the guest's kernel is to find it. */
	s = (void *)(fx.ram + STORE);
	assert_true(s->req_prod == s->req_cons && s->rsp_prod == s->rsp_cons && s->req_prod > 0);
	assert_string_equal(front(768, "state"), "3");
	assert_int_equal(xen_blk_ide_vdev(1), 832);
	assert_int_equal(xen_blk_ide_vdev(2), 5632);
	assert_int_equal(xen_blk_ide_vdev(3), 5696);
	/* No such disk: costs nothing. */
	size_t used = fx.used;
	assert_true(xen_blk_there(&x, 768));
	assert_false(xen_blk_there(&x, 832));
	assert_int_equal(fx.used, used);
	set("dir", "a bc def");
	assert_true(xen_store_list(&x, "dir", text));
	assert_memory_equal(text, "a\0bc\0def\0", 10);
	assert_false(xen_store_list(&x, "nodir", text));
	set("dir", "many");
	assert_true(xen_store_list(&x, "dir", text));
	assert_memory_equal(text, "many\0n00000\0", 12);
	assert_memory_equal(text + 5 + 34 * 7, "n00000\0\0\0\0\0", 11);
	assert_int_equal(xen_store_number(&x, "dir", NULL, 10, 77), 77);
	set("n", "18446744073709551616");
	assert_int_equal(xen_store_number(&x, "n", NULL, UINT64_MAX, 77), 77);
	set("n", "11");
	assert_int_equal(xen_store_number(&x, "n", NULL, 10, 77), 77);
	assert_int_equal(xen_store_number(&x, "n", NULL, 11, 77), 11);
	memset(text, 'p', sizeof(text));
	text[sizeof(text) - 1] = 0;
	assert_false(xen_store_write(&x, text, "n", "1"));
	assert_int_equal(fx.logs, 0);
	stop();
}

static void test_shapes(void **state)
{
	static const struct {
		uint32_t off, piece, n, max_segs;
	} shape[] = {
		{ 0, 1 << 20, 8, 0 },    { 512, 1 << 20, 8, 0 },  { 0, 512, 128, 0 },
		{ 3584, 65536, 256, 0 }, { 2, 1 << 20, 1, 0 },    { 6, 1000, 20, 0 },
		{ 100, 4096, 256, 0 },   { 0, 1 << 20, 1000, 0 }, { 4, 333, 64, 0 },
		{ 256, 256, 33, 0 },     { 1, 511, 64, 0 },       { 0, 1 << 20, 256, 11 },
		{ 7, 700, 200, 11 },
	};
	begin();
	for (unsigned k = 0; k < sizeof(shape) / sizeof(*shape); k++) {
		uint32_t n = shape[k].n, in = 0x10000 + shape[k].off, i;

		if (shape[k].max_segs)
			disk[0].max_segs = shape[k].max_segs;
		for (i = 0; i < n * 512; i++)
			fx.ram[in + i] = (uint8_t)(i * 7 + i / 512 + k);
		f.back[0].indirect = 0;
		assert_int_equal(run(BLK_WRITE, k, n, in, shape[k].piece), BLK_OK);
		assert_memory_equal(f.back[0].data + k * 512, fx.ram + in, n * 512);
		assert_true(!shape[k].max_segs || !f.back[0].indirect);
		memset(fx.ram + 0x10000, 0xee, PRIV - 0x10000);
		assert_int_equal(run(BLK_READ, k, n, in, shape[k].piece), BLK_OK);
		assert_memory_equal(f.back[0].data + k * 512, fx.ram + in, n * 512);
		assert_int_equal(fx.ram[in - 1], shape[k].off ? 0xee : 0);
		assert_int_equal(fx.ram[in + n * 512], 0xee);
		fx.ram[in - 1] = 0;
		assert_quiet();
	}
	/* 128 KiB of aligned pages are one ring entry. */
	f.back[0].requests = f.notified[0] = 0;
	disk[0].max_segs = XEN_BLK_SEGS;
	assert_int_equal(run(BLK_READ, 0, 256, 0x10200, 1 << 20), BLK_OK);
	assert_int_equal(f.back[0].requests, 1);
	assert_int_equal(f.notified[0], 1);
	assert_int_equal(fx.logs, 0);
	stop();
}

static void test_other_ops(void **state)
{
	begin();
	memset(f.back[0].data, 1, SECTORS * 512);
	assert_int_equal(run(BLK_FLUSH, 0, 0, 0, 0), BLK_OK);
	assert_int_equal(run(BLK_DISCARD, 8, 4, 0, 0), BLK_OK);
	assert_int_equal(f.back[0].data[8 * 512 - 1], 1);
	assert_int_equal(f.back[0].data[8 * 512], 0);
	assert_int_equal(f.back[0].data[12 * 512 - 1], 0);
	assert_int_equal(f.back[0].data[12 * 512], 1);
	assert_int_equal(run(BLK_WRITE_ZEROES, 0, 1, 0, 0), BLK_EUNSUPP);
	f.back[0].bad_flush = true;
	assert_int_equal(run(BLK_FLUSH, 0, 0, 0, 0), BLK_EUNSUPP);
	/* errors */
	f.back[0].status = -1;
	assert_int_equal(run(BLK_READ, 0, 1000, 0x10000, 1 << 20), BLK_EIO);
	f.back[0].status = 1;
	assert_int_equal(run(BLK_READ, 0, 8, 0x10000, 1 << 20), BLK_EIO);
	f.back[0].status = 0;
	assert_int_equal(run(BLK_READ, SECTORS - 1, 2, 0x10000, 1 << 20), BLK_EIO);
	assert_int_equal(run(BLK_READ, 0, 1, RAM, 512), BLK_EIO);
	assert_int_equal(run(BLK_READ, 0, 1, RAM - 256, 512), BLK_EIO);
	assert_int_equal(run(BLK_WRITE, 0, 1, RAM - 256, 512), BLK_EIO);
	assert_int_equal(run(BLK_WRITE, 0, 0, 0x10000, 512), BLK_EIO);
	assert_int_equal(run(BLK_READ, 0, 8, 0x10000, 1 << 20), BLK_OK);
	assert_quiet();
	assert_int_equal(fx.logs, 0);
	/* Less data than sectors, and too many segments: the model's mistakes. */
	struct job j;
	job_init(&j, BLK_WRITE, 0, 2, 0x10000, 512);
	j.r.n_seg = 1;
	blk_submit(&disk[0].blk, &j.r);
	xen_blk_service(&disk[0]);
	assert_int_equal(j.err, BLK_EIO);
	job_init(&j, BLK_WRITE, 0, 2, 0x10000, 512);
	j.r.n_seg = BLK_MAX_SEGS + 1;
	blk_submit(&disk[0].blk, &j.r);
	xen_blk_service(&disk[0]);
	assert_int_equal(j.err, BLK_EIO);
	assert_quiet();
	stop();
}

static void test_features(void **state)
{
	start();
	set_back(768, "feature-flush-cache", "0");
	set_back(768, "feature-barrier", "1");
	set_back(768, "feature-max-indirect-segments", "0");
	set_back(768, "info", "4");
	set_back(768, "feature-discard", "0");
	assert_int_equal(xen_init(&x, &f.env), 0);
	assert_int_equal(xen_blk_init(&disk[0], &x, 768, 0), 0);
	assert_true(disk[0].blk.read_only && disk[0].blk.flush && !disk[0].blk.discard);
	assert_int_equal(disk[0].max_segs, BLKIF_MAX_SEGS);
	assert_int_equal(run(BLK_FLUSH, 0, 0, 0, 0), BLK_OK);
	assert_int_equal(run(BLK_WRITE, 0, 1, 0x10000, 512), BLK_EIO);
	assert_int_equal(run(BLK_DISCARD, 0, 1, 0, 0), BLK_EUNSUPP);
	assert_int_equal(run(BLK_READ, 0, 256, 0x10000, 65536), BLK_OK);
	assert_int_equal(f.back[0].indirect, 0);
	stop();

	start();
	set_back(768, "feature-flush-cache", "0");
	assert_int_equal(xen_init(&x, &f.env), 0);
	assert_int_equal(xen_blk_init(&disk[0], &x, 768, 0), 0);
	assert_false(disk[0].blk.flush);
	assert_int_equal(run(BLK_FLUSH, 0, 0, 0, 0), BLK_EUNSUPP);
	stop();
}

/* Requests wait for slots; an event is asked for while something is in flight, and only then. */
static void test_async(void **state)
{
	struct job j[XEN_BLK_DEPTH + 1], more;
	unsigned i;

	begin();
	f.back[0].hold = true;
	for (i = 0; i < XEN_BLK_DEPTH; i++) {
		job_init(&j[i], BLK_READ, i, 600, 0x10000, 1 << 20);
		assert_int_equal(blk_submit(&disk[0].blk, &j[i].r), 0);
	}
	job_init(&j[i], BLK_READ, 0, 1, 0x10000, 512);
	assert_int_equal(blk_submit(&disk[0].blk, &j[i].r), -1);
	job_init(&more, BLK_READ, 0, 1, 0x10000, 512);
	j[0].then = &more;
	xen_blk_service(&disk[0]);
	assert_int_equal(f.back[0].ring->req_prod, offer_persistent ? 1 : XEN_BLK_SLOTS);
	assert_int_equal(f.notified[0], 1);
	assert_int_equal(f.back[0].ring->rsp_event, 1);
	f.back[0].hold = false;
	f.back[0].signals = 0;
	back_run(&f.back[0]);
	assert_int_equal(f.back[0].signals, 1);
	for (i = 0; i < 20; i++)
		xen_blk_service(&disk[0]);
	for (i = 0; i < XEN_BLK_DEPTH; i++)
		assert_true(j[i].done == 1 && j[i].err == BLK_OK);
	assert_true(more.done == 1 && more.err == BLK_OK);
	assert_int_equal(disk[0].n_req, 0);
	assert_quiet();
	/* A refused request that submits another: that one is not forgotten. */
	job_init(&j[0], BLK_WRITE_ZEROES, 0, 1, 0, 0);
	job_init(&more, BLK_READ, 0, 1, 0x10000, 512);
	j[0].then = &more;
	blk_submit(&disk[0].blk, &j[0].r);
	xen_blk_service(&disk[0]);
	assert_true(j[0].err == BLK_EUNSUPP && more.done == 1 && more.err == BLK_OK);
	stop();
}

static void hostile(unsigned how)
{
	struct job j[2];
	struct blkif_ring_shared *r;

	begin();
	f.back[0].hold = true;
	for (unsigned i = 0; i < 2; i++) {
		job_init(&j[i], BLK_READ, i, 8, 0x10000, 4096);
		blk_submit(&disk[0].blk, &j[i].r);
	}
	xen_blk_service(&disk[0]);
	r = f.back[0].ring;
	r->ring[0].rsp = (struct blkif_response_shared){ .id = 0 };
	r->rsp_prod = 1;
	switch (how) {
	case 0: r->ring[0].rsp.id = XEN_BLK_SLOTS; break;
	case 1: r->ring[0].rsp.id = UINT64_MAX; break;
	case 2: r->ring[0].rsp.id = 5; break; /* not in flight */
	case 3: r->rsp_prod = 3; break;       /* more than there are */
	case 4: r->rsp_prod = 0xffffffff; break;
	case 5: /* twice */
		r->ring[1].rsp.id = 0;
		r->rsp_prod = 2;
		break;
	case 6: /* over, but the page is still mapped */
		map(xen_ref(&x, disk[0].grant + 1), true);
		break;
	}
	xen_blk_service(&disk[0]);
	assert_true(disk[0].broken);
	assert_int_equal(fx.logs, 1);
	assert_non_null(strstr(fx.last_log, "768"));
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(j[i].done, 1);
	assert_int_equal(j[1].err, BLK_EIO);
	assert_int_equal(run(BLK_READ, 0, 1, 0x10000, 512), BLK_EIO);
	assert_false(xen_blk_arm(&disk[0]));
	assert_int_equal(xen_blk_restored(&disk[0]), -1);
	stop();
}

static void test_hostile(void **state)
{
	/* With persistent grants all pages stay mapped. */
	for (unsigned how = 0; how < (offer_persistent ? 6u : 7u); how++)
		hostile(how);
}

/* The grant's flags are written by the hypervisor, and by a guest that writes where it should not. */
static void test_grants(void **state)
{
	begin();
	uint32_t g = xen_grants_take(&x, 1);
	xen_grant(&x, g, 3, 0x5000, true);
	assert_int_equal(x.grant[g].flags, XEN_GTF_PERMIT | XEN_GTF_READONLY);
	assert_true(x.grant[g].domid == 3 && x.grant[g].frame == 5);
	x.grant[g].flags |= XEN_GTF_READING;
	assert_false(xen_grant_end(&x, g));
	x.grant[g].flags &= (uint16_t)~XEN_GTF_READING;
	assert_true(xen_grant_end(&x, g));
	assert_int_equal(x.grant[g].flags, 0);
	assert_int_equal(xen_grants_take(&x, 5000), UINT32_MAX);
	assert_int_equal(xen_grants_take(&x, UINT32_MAX), UINT32_MAX);
	stop();
}

static void test_several(void **state)
{
	start();
	assert_int_equal(xen_init(&x, &f.env), 0);
	for (unsigned i = 1; i < DISKS; i++)
		add_disk(i);
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(xen_blk_init(&disk[i], &x, xen_blk_ide_vdev(i), i), 0);
		memset(f.back[i].data, (int)i + 1, SECTORS * 512);
	}
	for (unsigned i = 0; i < 4; i++) {
		struct job j;

		job_init(&j, BLK_READ, 0, 16, 0x10000 + i * 8192, 8192);
		assert_int_equal(blk_submit(&disk[i].blk, &j.r), 0);
		xen_blk_service(&disk[i]);
		assert_true(j.done == 1 && j.err == BLK_OK);
		assert_int_equal(fx.ram[0x10000 + i * 8192], i + 1);
		assert_int_equal(fx.ram[0x10000 + i * 8192 + 8191], i + 1);
	}
	/* A fifth finds no grants left. */
	assert_true(xen_grants_take(&x, 1100) != UINT32_MAX);
	assert_int_equal(xen_blk_init(&disk[4], &x, 51712, 4), -1);
	assert_true(fx.logs > 0);
	stop();
}

static void test_no_disk(void **state)
{
	static const struct {
		const char *key, *value, *word;
	} wrong[] = {
		{ "state", "6", "no back end" },       { "state", "1", "no back end" },
		{ "sector-size", "4096", "512" },      { "sectors", "0", "no sectors" },
		{ "sectors", "12junk", "no sectors" }, { "state", "99", "no back end" },
	};

	for (unsigned i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		start();
		assert_int_equal(xen_init(&x, &f.env), 0);
		set_back(768, wrong[i].key, wrong[i].value);
		assert_int_equal(xen_blk_init(&disk[0], &x, 768, 0), -1);
		assert_non_null(strstr(fx.last_log, wrong[i].word));
		stop();
	}
	start();
	assert_int_equal(xen_init(&x, &f.env), 0);
	f.denied = true;
	assert_int_equal(xen_blk_init(&disk[0], &x, 768, 0), -1);
	assert_non_null(strstr(fx.last_log, "announced"));
	stop();
	/* It does not connect; no memory. */
	start();
	assert_int_equal(xen_init(&x, &f.env), 0);
	set("/b/state", "no");
	assert_int_equal(xen_blk_init(&disk[0], &x, 768, 0), -1);
	assert_non_null(strstr(fx.last_log, "does not connect"));
	stop();
	for (unsigned left = 0; left < XEN_BLK_BYTES / XEN_PAGE + 2; left++) {
		start();
		assert_int_equal(xen_init(&x, &f.env), 0);
		fx.used = RAM - left * XEN_PAGE;
		assert_int_equal(xen_blk_init(&disk[0], &x, 768, 0),
				 left < XEN_BLK_BYTES / XEN_PAGE ? -1 : 0);
		stop();
	}
}

static void test_no_xen(void **state)
{
	start();
	f.no_store = true;
	assert_int_equal(xen_init(&x, &f.env), -1);
	assert_int_equal(xen_blk_init(&disk[0], &x, 768, 0), -1);
	stop();
	start();
	fx.max_frames = XEN_GRANT_FRAMES;
	assert_int_equal(xen_init(&x, &f.env), -1);
	stop();
	start();
	fx.version = 2;
	assert_int_equal(xen_init(&x, &f.env), -1);
	stop();
	start();
	fx.map_fails = true;
	assert_int_equal(xen_init(&x, &f.env), -1);
	stop();
	start();
	fx.used = RAM;
	assert_int_equal(xen_init(&x, &f.env), -1);
	stop();
}

static void test_store_hostile(void **state)
{
	struct xen_store_shared *s;
	char text[XEN_STORE_TEXT], big[1100];

	/* Watch events and others' answers are dropped. */
	begin();
	set("k", "value");
	f.stray = 5;
	assert_true(xen_store_read(&x, "k", NULL, text));
	assert_string_equal(text, "value");
	/* A request longer than the ring. */
	memset(big, 'v', sizeof(big) - 1);
	big[sizeof(big) - 1] = 0;
	f.mute = true;
	assert_false(xen_store_write(&x, "k", NULL, big));
	assert_true(x.store_broken);
	assert_int_equal(fx.logs, 1);
	uint64_t t = fx.now;
	assert_false(xen_store_read(&x, "k", NULL, text));
	assert_true(fx.now - t < 10000000);
	assert_int_equal(fx.logs, 1);
	stop();

	begin();
	f.answer_len = XEN_PAGE + 1;
	assert_false(xen_store_read(&x, "k", NULL, text));
	assert_non_null(strstr(fx.last_log, "too long"));
	stop();
	begin();
	f.answer_len = 300; /* and there are fewer */
	assert_false(xen_store_read(&x, "k", NULL, text));
	assert_non_null(strstr(fx.last_log, "no answer"));
	stop();
	begin();
	s = (void *)(fx.ram + STORE);
	s->rsp_prod = s->rsp_cons + XEN_STORE_RING + 1;
	assert_false(xen_store_read(&x, "k", NULL, text));
	assert_non_null(strstr(fx.last_log, "nonsense"));
	stop();
	begin();
	s = (void *)(fx.ram + STORE);
	s->req_cons = s->req_prod + 1;
	assert_false(xen_store_read(&x, "k", NULL, text));
	assert_non_null(strstr(fx.last_log, "nonsense"));
	stop();
	begin();
	f.flood = true;
	assert_false(xen_store_read(&x, "k", NULL, text));
	assert_non_null(strstr(fx.last_log, "no answer"));
	stop();
	begin();
	f.chunk = 0; /* takes nothing: the ring is full */
	for (unsigned i = 0; i < 10 && !x.store_broken; i++) {
		f.mute = true;
		xen_store_write(&x, "k", NULL, big);
	}
	assert_true(x.store_broken);
	stop();
}

static void test_watch(void **state)
{
	static const char event[] = "control/shutdown\0w";
	char text[XEN_STORE_TEXT];

	begin();
	assert_false(xen_store_fired(&x));
	assert_true(xen_store_watch(&x, "control/shutdown"));
	assert_string_equal(f.watched, "control/shutdown");
	assert_true(xen_store_fired(&x));
	assert_false(xen_store_fired(&x));
	/* Each costs a call, none is lost, not even in front of an answer. */
	answer(XEN_XS_WATCH_EVENT, 0, event, sizeof(event));
	answer(XEN_XS_WATCH_EVENT, 0, event, sizeof(event));
	assert_true(xen_store_fired(&x));
	assert_true(xen_store_fired(&x));
	assert_false(xen_store_fired(&x));
	set("k", "v");
	answer(XEN_XS_WATCH_EVENT, 0, event, sizeof(event));
	assert_true(xen_store_read(&x, "k", NULL, text));
	assert_string_equal(text, "v");
	assert_true(xen_store_fired(&x));
	assert_false(xen_store_fired(&x));
	/* What is no event is dropped. */
	answer(XEN_XS_READ, 7, "v", 1);
	assert_false(xen_store_fired(&x));
	((struct xen_store_shared *)(fx.ram + STORE))->rsp_prod += 2 * XEN_STORE_RING;
	assert_false(xen_store_fired(&x));
	assert_true(x.store_broken);
	assert_false(xen_store_fired(&x));
	stop();
}

static void test_restored(void **state)
{
	struct job j[3];

	begin();
	f.back[0].hold = true;
	job_init(&j[0], BLK_READ, 3, 700, 0x10002, 1 << 20);
	job_init(&j[1], BLK_WRITE, 2000, 8, 0x80000, 4096);
	job_init(&j[2], BLK_FLUSH, 0, 0, 0, 0);
	for (unsigned i = 0; i < 3; i++)
		blk_submit(&disk[0].blk, &j[i].r);
	xen_blk_service(&disk[0]);
	/* Another host: another table, store and back end. */
	memset(fx.ram + fx.table, 0x55, XEN_GRANT_FRAMES * XEN_PAGE);
	memset(fx.ram + STORE, 0, XEN_PAGE);
	fx.max_frames = 32;
	fx.n_nodes = 0;
	set("/b/state", "go");
	free(f.back[0].data);
	f.back[0] = (struct back){ 0 };
	add_disk(0);
	memset(f.back[0].data, 9, SECTORS * 512);
	memset(fx.ram + 0x80000, 7, 4096);
	assert_int_equal(xen_restored(&x), 0);
	assert_int_equal(xen_blk_restored(&disk[0]), 0);
	xen_blk_service(&disk[0]);
	for (unsigned i = 0; i < 3; i++)
		assert_true(j[i].done == 1 && j[i].err == BLK_OK);
	assert_int_equal(fx.ram[0x10002], 9);
	assert_int_equal(fx.ram[0x10002 + 700 * 512 - 1], 9);
	assert_int_equal(f.back[0].data[2000 * 512], 7);
	assert_quiet();
	/* And one that is smaller, or isn't there. */
	f.back[0].ring = NULL;
	set_back(768, "state", "2");
	set_back(768, "sectors", "8191");
	assert_int_equal(xen_restored(&x), 0);
	assert_int_equal(xen_blk_restored(&disk[0]), -1);
	assert_int_equal(run(BLK_READ, 0, 1, 0x10000, 512), BLK_EIO);
	stop();
	begin();
	set_back(768, "state", "6");
	assert_int_equal(xen_blk_restored(&disk[0]), -1);
	assert_int_equal(run(BLK_READ, 0, 1, 0x10000, 512), BLK_EIO);
	stop();
}

static unsigned ready;

static void on_ready(void *owner)
{
	ready++;
}

static void test_console(void **state)
{
	struct xen_console c = { .chr.ready = on_ready };
	struct xen_console_shared *r;
	uint8_t buf[3000], got[3000];
	size_t sent = 0, taken = 0;
	unsigned before;

	begin();
	ready = 0;
	r = (void *)(fx.ram + CONSOLE);
	r->out_prod = r->out_cons = 0xfffffff0; /* the indices wrap */
	r->in_prod = r->in_cons = 0xfffffff0;
	assert_int_equal(xen_console_init(&c, &x), 0);
	for (unsigned i = 0; i < sizeof(buf); i++)
		buf[i] = (uint8_t)(i * 31 >> 3);
	before = f.sends;
	assert_int_equal(chr_write(&c.chr, buf, 5), 5);
	xen_console_service(&c, false);
	assert_true(xen_console_pending(&c) == 5 && f.sends == before);
	xen_console_service(&c, true);
	assert_true(xen_console_pending(&c) == 0 && f.sends == before + 1);
	xen_console_service(&c, true);
	assert_int_equal(f.sends, before + 1);
	/* Full, and room again. */
	sent = 5;
	sent += chr_write(&c.chr, buf + sent, sizeof(buf) - sent);
	assert_int_equal(sent, XEN_CONSOLE_OUT);
	assert_int_equal(c.chr.room(&c.chr), 0);
	xen_console_service(&c, false);
	assert_int_equal(ready, 0);
	while (taken < sizeof(buf)) {
		for (unsigned i = 0; i < 100 && r->out_cons != r->out_prod; i++)
			got[taken++] = r->out[r->out_cons++ % XEN_CONSOLE_OUT];
		xen_console_service(&c, false);
		sent += chr_write(&c.chr, buf + sent, sizeof(buf) - sent);
	}
	assert_memory_equal(buf, got, sizeof(buf));
	assert_true(ready > 0);
	/* Input. */
	assert_int_equal(chr_read(&c.chr, got, 10), 0);
	for (unsigned i = 0; i < XEN_CONSOLE_IN; i++)
		r->in[r->in_prod++ % XEN_CONSOLE_IN] = buf[i];
	ready = 0;
	xen_console_service(&c, false);
	assert_int_equal(ready, 1);
	before = f.sends;
	assert_int_equal(chr_read(&c.chr, got, 24), 24);
	assert_int_equal(chr_read(&c.chr, got + 24, sizeof(got) - 24), XEN_CONSOLE_IN - 24);
	assert_memory_equal(got, buf, XEN_CONSOLE_IN);
	xen_console_service(&c, false);
	assert_int_equal(f.sends, before + 1);
	/* Nonsense: the console is gone, and nobody waits for it. */
	r->in_prod = r->in_cons + XEN_CONSOLE_IN + 1;
	assert_int_equal(chr_read(&c.chr, got, 10), 0);
	assert_true(c.broken && fx.logs == 1);
	assert_int_equal(chr_write(&c.chr, buf, 10), 10);
	assert_int_equal(c.chr.room(&c.chr), XEN_CONSOLE_OUT);
	xen_console_service(&c, true);
	assert_int_equal(xen_console_pending(&c), 0);
	r->in_prod = r->in_cons;
	assert_int_equal(xen_console_restored(&c), 0);
	r->out_cons = r->out_prod + 1;
	assert_int_equal(chr_write(&c.chr, buf, 10), 10);
	assert_int_equal(fx.logs, 2);
	f.no_console = true;
	assert_int_equal(xen_console_restored(&c), -1);
	stop();
}

/* Random requests against a disk in memory. */
static void test_mix(void **state)
{
	enum { LANE = SECTORS / XEN_BLK_DEPTH, BYTES = 96 << 10 };
	struct job j[XEN_BLK_DEPTH];
	uint8_t *want = calloc(SECTORS, 512);
	bool busy[XEN_BLK_DEPTH] = { 0 };
	unsigned seed = 1, started = 0, ended = 0;

	begin();
	while (ended < 3000) {
		for (unsigned i = 0; i < XEN_BLK_DEPTH; i++) {
			uint64_t gpa = 0x10000 + i * BYTES;
			uint32_t n, first, piece;

			if (busy[i] || started == 3000)
				continue;
			seed = seed * 1103515245 + 12345;
			n = 1 + (seed >> 20) % 150;
			first = i * LANE + (seed >> 8) % (LANE - n);
			piece = seed >> 28 & 1 ? 1 + (seed >> 4) % 5000 : 512u << (seed >> 24 & 7);
			gpa += seed >> 29 & 1 ? (seed >> 12) % 4096 : (seed >> 13) % 8 * 512;
			job_init(&j[i], seed >> 16 & 1 ? BLK_READ : BLK_WRITE, first, n, gpa,
				 piece);
			if (j[i].r.op == BLK_WRITE) {
				for (unsigned k = 0; k < n * 512; k++)
					fx.ram[gpa + k] = (uint8_t)(seed >> k % 24);
				memcpy(want + first * 512, fx.ram + gpa, n * 512);
			}
			assert_int_equal(blk_submit(&disk[0].blk, &j[i].r), 0);
			busy[i] = true;
			started++;
		}
		f.back[0].hold = seed >> 10 & 1;
		xen_blk_service(&disk[0]);
		f.back[0].hold = false;
		back_run(&f.back[0]);
		xen_blk_service(&disk[0]);
		for (unsigned i = 0; i < XEN_BLK_DEPTH; i++) {
			if (!busy[i] || !j[i].done)
				continue;
			assert_int_equal(j[i].err, BLK_OK);
			if (j[i].r.op == BLK_READ)
				assert_memory_equal(fx.ram + j[i].seg[0].addr.raw,
						    want + j[i].r.sector * 512,
						    j[i].r.n_sectors * 512);
			busy[i] = false;
			ended++;
		}
	}
	assert_memory_equal(f.back[0].data, want, SECTORS * 512);
	assert_quiet();
	assert_int_equal(fx.logs, 0);
	free(want);
	stop();
}

/* A back end and a xenstored that answer at random: every request ends once, nothing else is touched. */
static void test_liars(void **state)
{
	unsigned seed = 7, gone = 0;

	for (unsigned round = 0; round < 200; round++) {
		struct job j[XEN_BLK_DEPTH];
		struct blkif_ring_shared *r;
		char text[XEN_STORE_TEXT] = { 0 };

		begin();
		f.back[0].hold = true;
		r = f.back[0].ring;
		for (unsigned i = 0; i < XEN_BLK_DEPTH; i++) {
			job_init(&j[i], i % 3 ? BLK_READ : BLK_WRITE, i, 1 + 40 * i,
				 0x10000 + i * 0x10000 + i % 2, 3000);
			assert_int_equal(blk_submit(&disk[0].blk, &j[i].r), 0);
		}
		xen_blk_service(&disk[0]);
		for (unsigned step = 0; step < 100 && disk[0].n_req; step++) {
			seed = seed * 1103515245 + 12345;
			r->ring[r->rsp_prod % BLKIF_RING].rsp = (struct blkif_response_shared){
				.id = round % 2 ? step % XEN_BLK_SLOTS : (seed >> 8) % 9,
				.status = (int16_t)((seed >> 16) % 4 ? 0 : seed >> 20),
			};
			r->rsp_prod += (seed >> 28) < 15 ? 1 : (seed >> 12) % 40;
			r->req_event = seed;
			if (round % 4 == 3)
				disk[0].x->grant[(seed >> 10) % x.n_taken].flags ^= 1u
										    << (seed >> 27);
			xen_blk_service(&disk[0]);
		}
		gone += disk[0].broken;
		r->rsp_prod = disk[0].rsp_cons + 1000;
		xen_blk_service(&disk[0]);
		for (unsigned i = 0; i < XEN_BLK_DEPTH; i++)
			assert_int_equal(j[i].done, 1);

		f.flood = true;
		fx.now = 0;
		for (unsigned i = 0; i < XEN_STORE_RING; i++) {
			seed = seed * 1103515245 + 12345;
			fx.ram[STORE + XEN_STORE_RING + i] =
				seed >> 24 > 40 ? 0 : (uint8_t)(seed >> 16);
		}
		((struct xen_store_shared *)(fx.ram + STORE))->rsp_prod += seed >> 21;
		xen_store_list(&x, "dir", text);
		assert_int_equal(text[XEN_STORE_TEXT - 1], 0);
		stop();
	}
	assert_in_range(gone, 50, 200);
}

static int offer(void **state)
{
	offer_persistent = true;
	return 0;
}

int main(void)
{
	int failed;

	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_init),          cmocka_unit_test(test_shapes),
		cmocka_unit_test(test_other_ops),     cmocka_unit_test(test_features),
		cmocka_unit_test(test_async),         cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_grants),        cmocka_unit_test(test_several),
		cmocka_unit_test(test_no_disk),       cmocka_unit_test(test_no_xen),
		cmocka_unit_test(test_store_hostile), cmocka_unit_test(test_restored),
		cmocka_unit_test(test_console),       cmocka_unit_test(test_mix),
		cmocka_unit_test(test_liars),         cmocka_unit_test(test_watch),
	};

	failed = cmocka_run_group_tests_name("grants that end", tests, NULL, NULL);
	return failed + cmocka_run_group_tests_name("persistent grants", tests, offer, NULL);
}
