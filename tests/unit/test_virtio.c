/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_virtio.c - the front ends against the real back ends.
 */
#include <fcntl.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "fake_pv.h"
#include "drivers/virtio/virtio_blk.h"
#include "drivers/virtio/virtio_console.h"

#define SECTORS 4096u

struct disk {
	struct fake_pv pv;
	struct blk_ring *ring;
	struct blk_dev *be;
	struct virtio_blk fe;
	char path[64];
};

struct req {
	struct blk_req r;
	struct gpa_seg seg[BLK_MAX_SEGS];
	int err;
	unsigned done;
	struct disk *again; /* submit once more from done() */
};

static void req_done(void *owner, struct blk_req *r, int err)
{
	struct req *q = owner;

	assert_ptr_equal(r, &q->r);
	q->err = err;
	q->done++;
	if (q->again) {
		struct disk *d = q->again;

		q->again = NULL;
		assert_int_equal(blk_submit(&d->fe.blk, &q->r), 0);
	}
}

static void disk_open(struct disk *d, const struct blk_opts *o, bool no_uring)
{
	char err[256];

	*d = (struct disk){ 0 };
	fake_pv_init(&d->pv);
	fake_pv_image(d->path, sizeof(d->path), SECTORS * 512ull);
	struct blk_opts opts = o ? *o : (struct blk_opts){ 0 };
	opts.path = d->path;
	d->ring = blk_ring_new(no_uring, NULL, NULL);
	assert_non_null(d->ring);
	d->be = blk_open(&opts, err, sizeof(err));
	if (!d->be)
		fail_msg("%s", err);
	assert_int_equal(blk_sectors(d->be), SECTORS);
	blk_attach(d->be, d->ring, &d->pv.host, 1);
	d->pv.dev[1] = blk_vmmio(d->be);
	assert_int_equal(virtio_blk_init(&d->fe, &d->pv.env, fake_pv_window(1)), 0);
	d->pv.notifies = d->pv.reads = 0;
}

static void disk_close(struct disk *d)
{
	blk_drain(d->be);
	blk_sync(d->be);
	blk_close(d->be);
	blk_ring_free(d->ring);
	unlink(d->path);
	fake_pv_free(&d->pv);
}

static void req_init(struct req *q, enum blk_op op, uint64_t sector, uint32_t n_sectors)
{
	*q = (struct req){ .err = -1 };
	q->r = (struct blk_req){ .op = op,
				 .sector = sector,
				 .n_sectors = n_sectors,
				 .seg = q->seg,
				 .done = req_done,
				 .owner = q };
}

/* One segment of guest RAM. */
static void req_rw(struct req *q, bool write, uint64_t sector, uint32_t n_sectors, uint64_t gpa)
{
	req_init(q, write ? BLK_WRITE : BLK_READ, sector, n_sectors);
	q->seg[0] = (struct gpa_seg){ { gpa }, n_sectors * 512 };
	q->r.n_seg = 1;
}

/* Until the front end has nothing in flight, sleeping as the I/O context does. */
static void settle(struct disk *d)
{
	virtio_blk_service(&d->fe);
	while (d->fe.n_req) {
		fake_pv_wait(blk_ring_fd(d->ring));
		blk_ring_ready(d->ring);
		if (__atomic_exchange_n(&d->pv.events, 0, __ATOMIC_ACQUIRE))
			virtio_blk_event(&d->fe);
	}
}

static int run(struct disk *d, struct req *q)
{
	assert_int_equal(blk_submit(&d->fe.blk, &q->r), 0);
	assert_int_equal(q->done, 0);
	settle(d);
	assert_int_equal(q->done, 1);
	return q->err;
}

static void fill(uint8_t *p, size_t n, unsigned seed)
{
	size_t i;

	for (i = 0; i < n; i++) {
		seed = seed * 1103515245 + 12345;
		p[i] = (uint8_t)(seed >> 16);
	}
}

static void test_init(void **state)
{
	struct disk d;

	disk_open(&d, NULL, false);
	assert_int_equal(d.fe.blk.n_sectors, SECTORS);
	assert_false(d.fe.blk.read_only);
	assert_true(d.fe.blk.flush);
	assert_true(d.fe.blk.discard);
	assert_true(d.pv.priv_used <= 24 << 10); /* the budget for a disk */
	disk_close(&d);

	disk_open(&d, &(struct blk_opts){ .read_only = true }, false);
	assert_true(d.fe.blk.read_only);
	assert_false(d.fe.blk.discard);
	struct req q;
	req_rw(&q, true, 0, 1, 0);
	assert_int_equal(run(&d, &q), BLK_EIO);
	disk_close(&d);
}

static void test_wrong_device(void **state)
{
	struct disk d;
	struct virtio_console vc = { 0 };

	disk_open(&d, NULL, false);
	assert_int_equal(virtio_console_init(&vc, &d.pv.env, fake_pv_window(1)), -1);
	assert_int_equal(d.pv.logs, 1);
	disk_close(&d);
}

static void roundtrip(const struct blk_opts *o, bool no_uring)
{
	static const uint32_t len[] = { 512, 3, 1021, 4096, 513, 2047, 4096 + 2048 };
	uint8_t want[14336];
	struct blk_stats s;
	struct disk d;
	struct req q;
	size_t at = 0;
	unsigned i;
	int fd;

	disk_open(&d, o, no_uring);
	req_init(&q, BLK_WRITE, 77, 28);
	fill(want, sizeof(want), 1);
	for (i = 0; i < 7; i++) {
		q.seg[i] = (struct gpa_seg){ { 0x1000 + i * 0x3001 }, len[i] };
		memcpy(d.pv.ram + q.seg[i].addr.raw, want + at, len[i]);
		at += len[i];
	}
	assert_int_equal(at, sizeof(want));
	q.r.n_seg = 7;
	assert_int_equal(run(&d, &q), BLK_OK);

	fd = open(d.path, O_RDONLY);
	uint8_t got[sizeof(want)];
	assert_int_equal(pread(fd, got, sizeof(got), 77 * 512), sizeof(got));
	assert_memory_equal(got, want, sizeof(want));
	close(fd);

	memset(d.pv.ram, 0xee, PV_RAM);
	q.r.op = BLK_READ;
	q.done = 0;
	assert_int_equal(run(&d, &q), BLK_OK);
	for (at = i = 0; i < 7; at += len[i++]) {
		assert_memory_equal(d.pv.ram + q.seg[i].addr.raw, want + at, len[i]);
		assert_int_equal(d.pv.ram[q.seg[i].addr.raw + len[i]], 0xee);
	}
	blk_stats(d.be, &s);
	assert_int_equal(s.reads, 1);
	assert_int_equal(s.writes, 1);
	assert_int_equal(s.read_bytes, sizeof(want));
	assert_int_equal(s.bounced, o && o->direct ? 2 * sizeof(want) : 0);
	req_init(&q, BLK_FLUSH, 0, 0);
	assert_int_equal(run(&d, &q), BLK_OK);
	disk_close(&d);
}

static void test_roundtrip(void **state)
{
	roundtrip(NULL, false);
	roundtrip(NULL, true);
}

static void test_direct(void **state)
{
	char path[64], err[256];

	fake_pv_image(path, sizeof(path), 4096);
	struct blk_opts o = { .path = path, .direct = true };
	struct blk_dev *b = blk_open(&o, err, sizeof(err));
	unlink(path);
	if (!b) {
		print_message("no direct I/O here: %s\n", err);
		skip();
	}
	blk_close(b);
	roundtrip(&(struct blk_opts){ .direct = true }, false);
	roundtrip(&(struct blk_opts){ .direct = true }, true);
}

/* A cached read: one notification, no other register, no event, no wake-up of the I/O thread. */
static void test_inline_read(void **state)
{
	struct disk d;
	struct blk_stats s;
	struct req q, other;
	uint8_t page[4096];
	int fd, i;

	disk_open(&d, NULL, false);
	fd = open(d.path, O_RDWR);
	fill(page, sizeof(page), 9);
	assert_int_equal(pwrite(fd, page, sizeof(page), 8192), sizeof(page));
	close(fd);
	req_rw(&q, false, 16, 8, 0x2000);
	assert_int_equal(blk_submit(&d.fe.blk, &q.r), 0);
	virtio_blk_service(&d.fe);
	blk_stats(d.be, &s);
	if (!s.inline_done) {
		settle(&d);
		disk_close(&d);
		print_message("RWF_NOWAIT reads don't work on this file system\n");
		skip();
	}
	assert_int_equal(q.done, 1);
	assert_int_equal(q.err, BLK_OK);
	assert_memory_equal(d.pv.ram + 0x2000, page, sizeof(page));
	assert_int_equal(d.pv.notifies, 1);
	assert_int_equal(d.pv.reads, 0);
	assert_int_equal(d.pv.signals, 0);
	assert_int_equal(
		poll(&(struct pollfd){ .fd = blk_ring_fd(d.ring), .events = POLLIN }, 1, 0), 0);

	/* Two requests, one notification; done() submits a third, which takes a second one. */
	req_rw(&q, false, 16, 8, 0x2000);
	req_rw(&other, false, 17, 1, 0x8000);
	q.again = &d;
	assert_int_equal(blk_submit(&d.fe.blk, &q.r), 0);
	assert_int_equal(blk_submit(&d.fe.blk, &other.r), 0);
	virtio_blk_service(&d.fe);
	assert_int_equal(q.done, 2);
	assert_int_equal(other.done, 1);
	assert_int_equal(d.pv.notifies, 3);
	assert_int_equal(d.pv.signals, 0);

	/* The indices wrap around. */
	for (i = 0; i < 70000; i++) {
		req_rw(&q, false, 16, 1, 0x2000);
		assert_int_equal(blk_submit(&d.fe.blk, &q.r), 0);
		virtio_blk_service(&d.fe);
		assert_int_equal(q.done, 1);
	}
	assert_int_equal(d.pv.signals, 0);
	disk_close(&d);
}

/* What is not done inline ends in one event, and only if nobody has polled it. */
static void test_async_event(void **state)
{
	struct disk d;
	struct req q;

	disk_open(&d, NULL, false);
	req_init(&q, BLK_FLUSH, 0, 0);
	assert_int_equal(blk_submit(&d.fe.blk, &q.r), 0);
	virtio_blk_service(&d.fe);
	assert_int_equal(q.done, 0);
	while (!d.pv.signals) {
		fake_pv_wait(blk_ring_fd(d.ring));
		blk_ring_ready(d.ring);
	}
	virtio_blk_event(&d.fe);
	assert_int_equal(q.done, 1);
	assert_int_equal(d.pv.signals, 1);
	assert_int_equal(d.pv.reads, 0);

	/* Kicked and not armed: polled later, no event. */
	req_init(&q, BLK_FLUSH, 0, 0);
	assert_int_equal(blk_submit(&d.fe.blk, &q.r), 0);
	virtio_blk_kick(&d.fe);
	blk_drain(d.be);
	assert_int_equal(d.pv.signals, 1);
	assert_true(virtio_blk_arm(&d.fe));
	assert_int_equal(virtio_blk_poll(&d.fe), 1);
	assert_int_equal(q.err, BLK_OK);
	/* A stray event is harmless. */
	virtio_blk_event(&d.fe);
	disk_close(&d);
}

static void test_depth(void **state)
{
	struct disk d;
	struct req q[VIRTIO_BLK_DEPTH + 1];
	unsigned i;

	disk_open(&d, NULL, false);
	for (i = 0; i <= VIRTIO_BLK_DEPTH; i++) {
		req_rw(&q[i], false, i, 1, 512 * i);
		assert_int_equal(blk_submit(&d.fe.blk, &q[i].r), i < VIRTIO_BLK_DEPTH ? 0 : -1);
	}
	settle(&d);
	for (i = 0; i < VIRTIO_BLK_DEPTH; i++)
		assert_true(q[i].done == 1 && q[i].err == BLK_OK);
	assert_int_equal(d.pv.notifies, 1);
	/* 128 segments, the most. */
	req_init(&q[0], BLK_READ, 0, BLK_MAX_SEGS);
	for (i = 0; i < BLK_MAX_SEGS; i++)
		q[0].seg[i] = (struct gpa_seg){ { i * 1024 }, 512 };
	q[0].r.n_seg = BLK_MAX_SEGS;
	assert_int_equal(run(&d, &q[0]), BLK_OK);
	disk_close(&d);
}

static void zeroes(bool no_uring)
{
	struct disk d;
	struct req q;
	struct stat st;
	uint8_t *want = malloc(SECTORS * 512), *got = malloc(SECTORS * 512);
	int fd;

	disk_open(&d, NULL, no_uring);
	fill(want, SECTORS * 512, 3);
	fd = open(d.path, O_RDWR);
	assert_int_equal(pwrite(fd, want, SECTORS * 512, 0), SECTORS * 512);
	req_init(&q, BLK_WRITE_ZEROES, 100, 1000);
	assert_int_equal(run(&d, &q), BLK_OK);
	memset(want + 100 * 512, 0, 1000 * 512);
	assert_int_equal(pread(fd, got, SECTORS * 512, 0), SECTORS * 512);
	assert_memory_equal(got, want, SECTORS * 512);
	req_init(&q, BLK_DISCARD, 2048, 1024);
	assert_int_equal(run(&d, &q), BLK_OK);
	/* Outside of the disk, and empty. */
	req_init(&q, BLK_DISCARD, SECTORS - 1, 2);
	assert_int_equal(run(&d, &q), BLK_EIO);
	req_init(&q, BLK_WRITE_ZEROES, 0, 0);
	assert_int_equal(run(&d, &q), BLK_EIO);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_size, SECTORS * 512);
	assert_int_equal(pread(fd, got, SECTORS * 512, 0), SECTORS * 512);
	assert_memory_equal(got, want, 2048 * 512);
	assert_memory_equal(got + 3072 * 512, want + 3072 * 512, 1024 * 512);
	close(fd);
	disk_close(&d);
	free(want);
	free(got);
}

static void test_zeroes(void **state)
{
	zeroes(false);
	zeroes(true);
}

static void test_eio(void **state)
{
	struct disk d;
	struct req q;
	int write;

	disk_open(&d, &(struct blk_opts){ .eio_from = 50, .eio_count = 2 }, false);
	for (write = 0; write < 2; write++) {
		req_rw(&q, write, 40, 10, 0);
		assert_int_equal(run(&d, &q), BLK_OK);
		req_rw(&q, write, 40, 11, 0);
		assert_int_equal(run(&d, &q), BLK_EIO);
		req_rw(&q, write, 51, 4, 0);
		assert_int_equal(run(&d, &q), BLK_EIO);
		req_rw(&q, write, 52, 4, 0);
		assert_int_equal(run(&d, &q), BLK_OK);
	}
	/* Past the end, and cut short behind our back. */
	req_rw(&q, false, SECTORS - 1, 2, 0);
	assert_int_equal(run(&d, &q), BLK_EIO);
	assert_int_equal(truncate(d.path, 512 * 1000), 0);
	req_rw(&q, false, 996, 8, 0);
	assert_int_equal(run(&d, &q), BLK_EIO);
	disk_close(&d);
}

/* Nonsense in the used ring: the disk is gone, all requests end, nothing hangs. */
static void broken(unsigned how)
{
	struct disk d;
	struct req q[3];
	struct virtq_used_shared *u;
	unsigned i;

	disk_open(&d, NULL, false);
	for (i = 0; i < 2; i++) {
		req_rw(&q[i], false, i, 1, 512 * i);
		assert_int_equal(blk_submit(&d.fe.blk, &q[i].r), 0);
	}
	u = d.fe.q.used;
	switch (how) {
	case 0: u->ring[0] = (struct virtq_used_elem){ 5, 513 }; break;  /* not in flight */
	case 1: u->ring[0] = (struct virtq_used_elem){ 64, 513 }; break; /* no descriptor */
	case 2: u->ring[0] = (struct virtq_used_elem){ 0, 514 }; break;  /* too long */
	case 3:
		/* twice */
		u->ring[0] = u->ring[1] = (struct virtq_used_elem){ 0, 1 };
		break;
	case 4: u->ring[0] = (struct virtq_used_elem){ 0xffffffff, 1 }; break;
	}
	__atomic_store_n(&u->idx, how == 3 ? 2 : 1, __ATOMIC_RELEASE);
	virtio_blk_poll(&d.fe);
	assert_true(d.fe.broken);
	assert_int_equal(d.pv.logs, 1);
	for (i = 0; i < 2; i++)
		assert_true(q[i].done == 1 && q[i].err == BLK_EIO);
	assert_true(fake_pv_read(&d.pv, fake_pv_window(1) + VIRTIO_MMIO_STATUS) & VIRTIO_S_FAILED);
	req_rw(&q[2], false, 0, 1, 0);
	assert_int_equal(blk_submit(&d.fe.blk, &q[2].r), 0);
	assert_int_equal(q[2].done, 0);
	virtio_blk_service(&d.fe);
	assert_true(q[2].done == 1 && q[2].err == BLK_EIO);
	assert_false(virtio_blk_arm(&d.fe));
	disk_close(&d);
}

static void test_broken(void **state)
{
	unsigned how;

	for (how = 0; how < 5; how++)
		broken(how);
}

/* The back end gives up on the driver: the driver hears of it. */
static void test_needs_reset(void **state)
{
	struct disk d;
	struct req q;

	disk_open(&d, NULL, false);
	req_rw(&q, false, 0, 1, PV_RAM - 256); /* no RAM there: a driver's mistake */
	assert_int_equal(blk_submit(&d.fe.blk, &q.r), 0);
	virtio_blk_service(&d.fe);
	assert_int_equal(d.pv.messages, 1);
	assert_non_null(strstr(d.pv.last_message, d.path));
	assert_int_equal(d.pv.signals, 1);
	assert_int_equal(q.done, 0);
	virtio_blk_event(&d.fe);
	assert_true(q.done == 1 && q.err == BLK_EIO);
	/* A reset makes it usable again. */
	d.fe = (struct virtio_blk){ 0 };
	assert_int_equal(virtio_blk_init(&d.fe, &d.pv.env, fake_pv_window(1)), 0);
	req_rw(&q, false, 0, 1, 0);
	assert_int_equal(run(&d, &q), BLK_OK);
	disk_close(&d);
}

/* Against a model in memory, with the back end's completions on a thread of their own. */
struct io_thread {
	struct disk *d;
	bool stop; /* atomic */
};

static void *io_thread(void *arg)
{
	struct io_thread *t = arg;
	struct pollfd f = { .fd = blk_ring_fd(t->d->ring), .events = POLLIN };

	while (!__atomic_load_n(&t->stop, __ATOMIC_ACQUIRE)) {
		if (poll(&f, 1, 20) > 0)
			blk_ring_ready(t->d->ring);
	}
	return NULL;
}

static void mix(const struct blk_opts *o, bool no_uring, unsigned ops)
{
	enum { SLOT = 128 << 10 }; /* guest RAM of each request in flight */
	struct disk d;
	struct req q[VIRTIO_BLK_DEPTH];
	uint8_t *disk = calloc(SECTORS, 512), *got = malloc(SECTORS * 512);
	uint8_t *want[VIRTIO_BLK_DEPTH];
	bool busy[VIRTIO_BLK_DEPTH] = { 0 };
	struct io_thread t = { .d = &d };
	unsigned started = 0, ended = 0, i, s, seed = 12345, idle = 0;
	pthread_t th;
	int fd;

	disk_open(&d, o, no_uring);
	for (i = 0; i < VIRTIO_BLK_DEPTH; i++)
		want[i] = malloc(SLOT);
	assert_int_equal(pthread_create(&th, NULL, io_thread, &t), 0);
	while (ended < ops) {
		for (i = 0; i < VIRTIO_BLK_DEPTH && started < ops; i++) {
			unsigned kind, first = 0, n, left, lane = SECTORS / VIRTIO_BLK_DEPTH;

			if (busy[i])
				continue;
			/* Each has its own part of the disk: what order they end in doesn't matter. */
			seed = seed * 1103515245 + 12345;
			kind = seed >> 16 & 15;
			n = 1 + (seed >> 20) % 200;
			seed = seed * 1103515245 + 12345;
			first = i * lane + (seed >> 8) % (lane - n);
			busy[i] = true;
			started++;
			if (kind == 15) {
				req_init(&q[i], BLK_FLUSH, 0, 0);
			} else if (kind == 14) {
				req_init(&q[i], BLK_WRITE_ZEROES, first, n);
				memset(disk + first * 512, 0, n * 512);
			} else {
				req_init(&q[i], kind < 7 ? BLK_READ : BLK_WRITE, first, n);
				memcpy(want[i], disk + first * 512, n * 512);
				if (kind >= 7) {
					fill(want[i], n * 512, seed);
					memcpy(disk + first * 512, want[i], n * 512);
					memcpy(d.pv.ram + i * SLOT, want[i], n * 512);
				}
				for (s = 0, left = n * 512; left; s++) {
					uint32_t len = s == BLK_MAX_SEGS - 1 ?
							       left :
							       1 + (seed >> (s % 8)) % 8192;

					len = len > left ? left : len;
					q[i].seg[s] =
						(struct gpa_seg){ { i * SLOT + n * 512 - left },
								  len };
					left -= len;
				}
				q[i].r.n_seg = s;
			}
			assert_int_equal(blk_submit(&d.fe.blk, &q[i].r), 0);
		}
		virtio_blk_service(&d.fe);
		/* Asleep until the event: a lost one is a hang, which idle finds. */
		if (d.fe.n_req && d.fe.n_req == VIRTIO_BLK_DEPTH) {
			while (!__atomic_load_n(&d.pv.events, __ATOMIC_ACQUIRE)) {
				usleep(100);
				assert_true(idle++ < 100000);
			}
			idle = 0;
		}
		if (__atomic_exchange_n(&d.pv.events, 0, __ATOMIC_ACQUIRE))
			virtio_blk_event(&d.fe);
		for (i = 0; i < VIRTIO_BLK_DEPTH; i++) {
			if (!busy[i] || !q[i].done)
				continue;
			assert_int_equal(q[i].err, BLK_OK);
			if (q[i].r.op == BLK_READ)
				assert_memory_equal(d.pv.ram + i * SLOT, want[i],
						    q[i].r.n_sectors * 512);
			busy[i] = false;
			ended++;
		}
	}
	__atomic_store_n(&t.stop, true, __ATOMIC_RELEASE);
	pthread_join(th, NULL);
	fd = open(d.path, O_RDONLY);
	assert_int_equal(pread(fd, got, SECTORS * 512, 0), SECTORS * 512);
	assert_memory_equal(got, disk, SECTORS * 512);
	close(fd);
	assert_int_equal(d.pv.messages, 0);
	disk_close(&d);
	for (i = 0; i < VIRTIO_BLK_DEPTH; i++)
		free(want[i]);
	free(disk);
	free(got);
}

static void test_mix(void **state)
{
	mix(NULL, false, 1500);
	mix(NULL, true, 500);
}

static void test_mix_direct(void **state)
{
	char path[64], err[256];

	fake_pv_image(path, sizeof(path), 4096);
	struct blk_opts o = { .path = path, .direct = true };
	struct blk_dev *b = blk_open(&o, err, sizeof(err));
	unlink(path);
	if (!b)
		skip();
	blk_close(b);
	mix(&(struct blk_opts){ .direct = true }, false, 300);
}

/* A reset of the domain with requests in flight: done when they are. */
static void test_reset_in_flight(void **state)
{
	struct disk d;
	struct req q[4];
	unsigned i;

	disk_open(&d, NULL, false);
	for (i = 0; i < 4; i++) {
		req_rw(&q[i], true, i * 8, 8, i * 4096);
		if (i == 3)
			req_init(&q[i], BLK_FLUSH, 0, 0);
		assert_int_equal(blk_submit(&d.fe.blk, &q[i].r), 0);
	}
	virtio_blk_kick(&d.fe);
	fake_pv_write(&d.pv, fake_pv_window(1) + VIRTIO_MMIO_STATUS, 0);
	blk_drain(d.be);
	assert_int_equal(fake_pv_read(&d.pv, fake_pv_window(1) + VIRTIO_MMIO_STATUS), 0);
	d.fe = (struct virtio_blk){ 0 };
	assert_int_equal(virtio_blk_init(&d.fe, &d.pv.env, fake_pv_window(1)), 0);
	req_rw(&q[0], false, 0, 8, 0);
	assert_int_equal(run(&d, &q[0]), BLK_OK);
	assert_int_equal(d.pv.messages, 0);
	disk_close(&d);
}

/* The console. */

struct con {
	struct fake_pv pv;
	struct console_dev *be;
	struct virtio_console fe;
	unsigned ready;
	int peer; /* the socket's other end, -1 if it is not a socket */
	char path[64];
};

static void con_ready(void *owner)
{
	((struct con *)owner)->ready++;
}

static void con_open(struct con *c, const char *spec)
{
	char err[256];

	*c = (struct con){ .peer = -1 };
	fake_pv_init(&c->pv);
	c->be = console_open(spec, err, sizeof(err));
	if (!c->be)
		fail_msg("%s", err);
	console_attach(c->be, &c->pv.host, 0, NULL, NULL);
	c->pv.dev[0] = console_vmmio(c->be);
	c->fe.chr.ready = con_ready;
	c->fe.chr.owner = c;
	assert_int_equal(virtio_console_init(&c->fe, &c->pv.env, fake_pv_window(0)), 0);
	c->pv.notifies = c->pv.reads = 0;
}

static void con_open_unix(struct con *c)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	char path[64], spec[80];
	int small = 4096;

	snprintf(path, sizeof(path), "/tmp/selfio-test-%d", (int)getpid());
	unlink(path);
	snprintf(spec, sizeof(spec), "unix:%s", path);
	con_open(c, spec);
	strcpy(c->path, path);
	strcpy(sa.sun_path, path);
	c->peer = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(c->peer, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	assert_int_equal(connect(c->peer, (struct sockaddr *)&sa, sizeof(sa)), 0);
	fake_pv_wait(console_fd(c->be));
	console_ready(c->be);
}

static void con_close(struct con *c)
{
	console_drain(c->be, 100);
	console_close(c->be);
	if (c->peer >= 0)
		close(c->peer);
	if (c->path[0])
		assert_int_equal(access(c->path, F_OK), -1);
	fake_pv_free(&c->pv);
}

static void con_settle(struct con *c)
{
	struct pollfd f = { .fd = console_fd(c->be), .events = POLLIN };

	while (poll(&f, 1, 0) > 0)
		console_ready(c->be);
	if (__atomic_exchange_n(&c->pv.events, 0, __ATOMIC_ACQUIRE))
		virtio_console_service(&c->fe, true);
}

static void test_console_file(void **state)
{
	struct con c;
	char path[64], spec[80], got[2000] = { 0 };
	unsigned i;
	FILE *f;

	fake_pv_image(path, sizeof(path), 7);
	snprintf(spec, sizeof(spec), "file:%s", path);
	con_open(&c, spec);
	/* Byte by byte: one notification for the lot. */
	for (i = 0; i < 200; i++) {
		assert_int_equal(chr_write(&c.fe.chr, (const uint8_t *)"x", 1), 1);
		virtio_console_service(&c.fe, false);
	}
	assert_int_equal(virtio_console_pending(&c.fe), 200);
	assert_int_equal(c.pv.notifies, 0);
	virtio_console_service(&c.fe, true);
	assert_int_equal(virtio_console_pending(&c.fe), 0);
	assert_int_equal(c.pv.notifies, 1);
	/* Eager above 256. */
	for (i = 0; i < 300; i++) {
		chr_write(&c.fe.chr, (const uint8_t *)"y", 1);
		virtio_console_service(&c.fe, false);
	}
	assert_int_equal(c.pv.notifies, 2);
	virtio_console_service(&c.fe, true);
	assert_int_equal(c.pv.signals, 0);
	f = fopen(path, "r");
	assert_int_equal(fread(got, 1, sizeof(got), f), 500);
	for (i = 0; i < 500; i++)
		assert_int_equal(got[i], i < 200 ? 'x' : 'y');
	fclose(f);
	unlink(path);
	con_close(&c);
}

/* A reader that stalls: the writer waits, nothing is lost, the order stays. */
static void test_console_backpressure(void **state)
{
	enum { TOTAL = 200000 };
	struct con c;
	uint8_t *out = malloc(TOTAL), *in = malloc(TOTAL);
	size_t sent = 0, got = 0, n;
	bool was_full = false;
	ssize_t r;

	con_open_unix(&c);
	fill(out, TOTAL, 5);
	while (got < TOTAL) {
		n = TOTAL - sent > 100 ? 100 : TOTAL - sent;
		n = chr_write(&c.fe.chr, out + sent, n);
		sent += n;
		virtio_console_service(&c.fe, sent == TOTAL);
		if (sent < TOTAL && n == 100)
			continue;
		/* Full, or all is written. */
		was_full |= n < 100 && sent < TOTAL;
		con_settle(&c);
		while ((r = recv(c.peer, in + got, TOTAL - got, MSG_DONTWAIT)) > 0)
			got += (size_t)r;
		con_settle(&c);
	}
	assert_int_equal(sent, TOTAL);
	assert_true(was_full);
	assert_true(c.ready > 0);
	assert_memory_equal(in, out, TOTAL);
	free(in);
	free(out);
	con_close(&c);
}

static void test_console_input(void **state)
{
	enum { TOTAL = 100000 };
	struct con c;
	uint8_t *out = malloc(TOTAL), *in = malloc(TOTAL);
	size_t sent = 0, got = 0, n;
	ssize_t r;

	con_open_unix(&c);
	fill(out, TOTAL, 6);
	assert_int_equal(chr_read(&c.fe.chr, in, 10), 0);
	assert_int_equal(send(c.peer, out, 5, 0), 5);
	fake_pv_wait(console_fd(c.be));
	con_settle(&c);
	assert_int_equal(c.ready, 1);
	assert_int_equal(chr_read(&c.fe.chr, in, 3), 3);
	assert_int_equal(chr_read(&c.fe.chr, in + 3, 10), 2);
	assert_memory_equal(in, out, 5);
	while (got < TOTAL) {
		r = sent < TOTAL ? send(c.peer, out + sent, TOTAL - sent, MSG_DONTWAIT) : 0;
		if (r > 0)
			sent += (size_t)r;
		con_settle(&c);
		while ((n = chr_read(&c.fe.chr, in + got, 1 + got % 100)))
			got += n;
		virtio_console_service(&c.fe, false);
	}
	assert_memory_equal(in, out, TOTAL);
	/* The peer goes away, and another one comes. */
	close(c.peer);
	c.peer = -1;
	con_settle(&c);
	chr_write(&c.fe.chr, (const uint8_t *)"lost", 4);
	virtio_console_service(&c.fe, true);
	assert_int_equal(virtio_console_pending(&c.fe), 0);
	assert_int_equal(c.pv.messages, 0);
	free(in);
	free(out);
	con_close(&c);
}

static void test_console_pty(void **state)
{
	struct con c;
	uint8_t buf[64];
	unsigned i;
	int fd;

	con_open(&c, "pty");
	/* No one there: dropped, and no storm of hang-ups. */
	for (i = 0; i < 10000; i++) {
		assert_int_equal(chr_write(&c.fe.chr, (const uint8_t *)"nobody\n", 7), 7);
		virtio_console_service(&c.fe, false);
	}
	virtio_console_service(&c.fe, true);
	con_settle(&c);
	fd = open(console_where(c.be) + 5, O_RDWR | O_NOCTTY);
	assert_true(fd >= 0);
	chr_write(&c.fe.chr, (const uint8_t *)"hello", 5);
	virtio_console_service(&c.fe, true);
	assert_int_equal(read(fd, buf, sizeof(buf)), 5);
	assert_memory_equal(buf, "hello", 5);
	assert_int_equal(write(fd, "abc\n", 4), 4);
	fake_pv_wait(console_fd(c.be));
	con_settle(&c);
	assert_int_equal(chr_read(&c.fe.chr, buf, sizeof(buf)), 4);
	assert_memory_equal(buf, "abc\n", 4);
	close(fd);
	con_settle(&c);
	con_close(&c);
}

static void test_console_broken(void **state)
{
	struct con c;
	uint8_t b = 0;

	con_open(&c, "null");
	c.fe.rx.used->ring[0] = (struct virtq_used_elem){ 1, VIRTIO_CONSOLE_RX_BYTES + 1 };
	__atomic_store_n(&c.fe.rx.used->idx, 1, __ATOMIC_RELEASE);
	virtio_console_service(&c.fe, false);
	assert_true(c.fe.broken);
	assert_int_equal(chr_read(&c.fe.chr, &b, 1), 0);
	assert_int_equal(chr_write(&c.fe.chr, &b, 1), 1);
	virtio_console_service(&c.fe, true);
	con_close(&c);

	con_open(&c, "null");
	c.fe.tx.used->ring[0] = (struct virtq_used_elem){ 3, 0 };
	__atomic_store_n(&c.fe.tx.used->idx, 1, __ATOMIC_RELEASE);
	virtio_console_poll(&c.fe);
	assert_true(c.fe.broken);
	con_close(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_init),
		cmocka_unit_test(test_wrong_device),
		cmocka_unit_test(test_roundtrip),
		cmocka_unit_test(test_direct),
		cmocka_unit_test(test_inline_read),
		cmocka_unit_test(test_async_event),
		cmocka_unit_test(test_depth),
		cmocka_unit_test(test_zeroes),
		cmocka_unit_test(test_eio),
		cmocka_unit_test(test_broken),
		cmocka_unit_test(test_needs_reset),
		cmocka_unit_test(test_mix),
		cmocka_unit_test(test_mix_direct),
		cmocka_unit_test(test_reset_in_flight),
		cmocka_unit_test(test_console_file),
		cmocka_unit_test(test_console_backpressure),
		cmocka_unit_test(test_console_input),
		cmocka_unit_test(test_console_pty),
		cmocka_unit_test(test_console_broken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
