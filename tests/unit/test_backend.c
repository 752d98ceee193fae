/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_backend.c - the back ends against drivers that lie, and files that fail.
 *
 * Rings are built by hand.  Without io_uring, system calls are made here: some fail on demand.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <pty.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "fake_pv.h"

#define SECTORS 2048u

/* Faults of the host's file, in this process's own versions of libc's wrappers. */
static struct {
	int sync_errno, write_errno, falloc_errno;
	size_t short_io; /* bytes at most in one call; 0: as asked */
	unsigned syncs;
} fault;

int fdatasync(int fd)
{
	fault.syncs++;
	if (fault.sync_errno) {
		errno = fault.sync_errno;
		return -1;
	}
	return (int)syscall(SYS_fdatasync, fd);
}

static ssize_t pieces(long nr, int fd, const struct iovec *iov, int n, off_t off, int flags)
{
	struct iovec one = iov[0];

	if (fault.short_io) {
		if (one.iov_len > fault.short_io)
			one.iov_len = fault.short_io;
		iov = &one;
		n = 1;
	}
	return syscall(nr, fd, iov, (long)n, (long)off, 0l, (long)flags);
}

ssize_t pwritev2(int fd, const struct iovec *iov, int n, off_t off, int flags)
{
	if (fault.write_errno) {
		errno = fault.write_errno;
		return -1;
	}
	return pieces(SYS_pwritev2, fd, iov, n, off, flags);
}

ssize_t preadv2(int fd, const struct iovec *iov, int n, off_t off, int flags)
{
	return pieces(SYS_preadv2, fd, iov, n, off, flags);
}

ssize_t preadv(int fd, const struct iovec *iov, int n, off_t off)
{
	return pieces(SYS_preadv2, fd, iov, n, off, 0);
}

int fallocate(int fd, int mode, off_t off, off_t len)
{
	if (fault.falloc_errno) {
		errno = fault.falloc_errno;
		return -1;
	}
	return (int)syscall(SYS_fallocate, fd, mode, off, len);
}

/* A disk and its driver by hand. */

#define NUM   16u
#define WIN   0u
#define HDR   0x1000u /* in RAM: where requests' parts are */
#define STAT  0x2000u
#define DATA  0x10000u
#define TABLE 0x4000u

struct disk {
	struct fake_pv pv;
	struct blk_ring *ring;
	struct blk_dev *be;
	char path[64];
	struct virtq_desc_shared *desc;
	struct virtq_avail_shared *avail;
	struct virtq_used_shared *used;
	uint16_t last_used;
};

static uint32_t rd(struct fake_pv *p, uint32_t reg)
{
	return fake_pv_read(p, fake_pv_window(WIN) + reg);
}

static void wr(struct fake_pv *p, uint32_t reg, uint32_t v)
{
	fake_pv_write(p, fake_pv_window(WIN) + reg, v);
}

static void handshake(struct fake_pv *p, uint64_t features)
{
	wr(p, VIRTIO_MMIO_STATUS, 0);
	wr(p, VIRTIO_MMIO_STATUS, VIRTIO_S_ACKNOWLEDGE);
	wr(p, VIRTIO_MMIO_STATUS, VIRTIO_S_ACKNOWLEDGE | VIRTIO_S_DRIVER);
	wr(p, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 0);
	wr(p, VIRTIO_MMIO_DRIVER_FEATURES, (uint32_t)features);
	wr(p, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
	wr(p, VIRTIO_MMIO_DRIVER_FEATURES, (uint32_t)(features >> 32));
	wr(p, VIRTIO_MMIO_STATUS, VIRTIO_S_ACKNOWLEDGE | VIRTIO_S_DRIVER | VIRTIO_S_FEATURES_OK);
}

static void queue(struct fake_pv *p, uint32_t n, uint32_t num, uint64_t desc, uint64_t avail,
		  uint64_t used)
{
	wr(p, VIRTIO_MMIO_QUEUE_SEL, n);
	wr(p, VIRTIO_MMIO_QUEUE_NUM, num);
	wr(p, VIRTIO_MMIO_QUEUE_DESC_LOW, (uint32_t)desc);
	wr(p, VIRTIO_MMIO_QUEUE_DESC_HIGH, (uint32_t)(desc >> 32));
	wr(p, VIRTIO_MMIO_QUEUE_DRIVER_LOW, (uint32_t)avail);
	wr(p, VIRTIO_MMIO_QUEUE_DRIVER_HIGH, (uint32_t)(avail >> 32));
	wr(p, VIRTIO_MMIO_QUEUE_DEVICE_LOW, (uint32_t)used);
	wr(p, VIRTIO_MMIO_QUEUE_DEVICE_HIGH, (uint32_t)(used >> 32));
	wr(p, VIRTIO_MMIO_QUEUE_READY, 1);
}

#define FEATURES                                                                                   \
	(VIRTIO_F_VERSION_1 | VIRTIO_F_INDIRECT_DESC | VIRTIO_BLK_F_FLUSH | VIRTIO_BLK_F_DISCARD | \
	 VIRTIO_BLK_F_WRITE_ZEROES)

static void start(struct disk *d, uint64_t features)
{
	handshake(&d->pv, features);
	memset(d->pv.priv, 0, 0x3000);
	queue(&d->pv, 0, NUM, SIO_PRIV_BASE, SIO_PRIV_BASE + 0x1000, SIO_PRIV_BASE + 0x2000);
	wr(&d->pv, VIRTIO_MMIO_STATUS,
	   VIRTIO_S_ACKNOWLEDGE | VIRTIO_S_DRIVER | VIRTIO_S_FEATURES_OK | VIRTIO_S_DRIVER_OK);
	d->desc = (void *)d->pv.priv;
	d->avail = (void *)(d->pv.priv + 0x1000);
	d->used = (void *)(d->pv.priv + 0x2000);
	d->last_used = 0;
}

static void disk_open(struct disk *d, const struct blk_opts *o, bool no_uring)
{
	struct blk_opts opts = o ? *o : (struct blk_opts){ 0 };
	char err[256];

	*d = (struct disk){ 0 };
	memset(&fault, 0, sizeof(fault));
	fake_pv_init(&d->pv);
	fake_pv_image(d->path, sizeof(d->path), SECTORS * 512ull);
	opts.path = d->path;
	d->ring = blk_ring_new(no_uring, NULL, NULL);
	d->be = blk_open(&opts, err, sizeof(err));
	if (!d->be)
		fail_msg("%s", err);
	blk_attach(d->be, d->ring, &d->pv.host, WIN);
	d->pv.dev[WIN] = blk_vmmio(d->be);
	start(d, FEATURES);
}

static void disk_close(struct disk *d)
{
	memset(&fault, 0, sizeof(fault));
	blk_drain(d->be);
	blk_close(d->be);
	blk_ring_free(d->ring);
	unlink(d->path);
	fake_pv_free(&d->pv);
}

static void desc(struct virtq_desc_shared *t, unsigned i, uint64_t addr, uint32_t len,
		 uint16_t flags, uint16_t next)
{
	t[i] = (struct virtq_desc_shared){ addr, len, flags, next };
}

static void add(struct disk *d, uint16_t head)
{
	d->avail->ring[d->avail->idx % NUM] = head;
	__atomic_store_n(&d->avail->idx, (uint16_t)(d->avail->idx + 1), __ATOMIC_RELEASE);
}

static void kick(struct disk *d)
{
	wr(&d->pv, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
}

static void header(struct disk *d, uint32_t type, uint64_t sector)
{
	struct virtio_blk_hdr h = { type, 0, sector };

	memcpy(d->pv.ram + HDR, &h, sizeof(h));
	d->pv.ram[STAT] = 0xee;
}

/* One request through direct descriptors; its status. */
static int request(struct disk *d, uint32_t type, uint64_t sector, uint64_t data, uint32_t len)
{
	bool in = type == VIRTIO_BLK_T_IN || type == VIRTIO_BLK_T_GET_ID;

	header(d, type, sector);
	desc(d->desc, 0, HDR, 16, VIRTQ_DESC_F_NEXT, len ? 1 : 2);
	desc(d->desc, 1, data, len, VIRTQ_DESC_F_NEXT | (in ? VIRTQ_DESC_F_WRITE : 0), 2);
	desc(d->desc, 2, STAT, 1, VIRTQ_DESC_F_WRITE, 0);
	add(d, 0);
	kick(d);
	blk_drain(d->be);
	assert_int_equal(d->used->idx, (uint16_t)(d->last_used + 1));
	assert_int_equal(d->used->ring[d->last_used % NUM].id, 0);
	d->last_used++;
	return d->pv.ram[STAT];
}

static int range(struct disk *d, uint32_t type, uint64_t sector, uint32_t n, uint32_t flags)
{
	struct virtio_blk_range r = { sector, n, flags };

	memcpy(d->pv.ram + DATA, &r, sizeof(r));
	return request(d, type, 0, DATA, sizeof(r));
}

/* Registers. */

static void test_registers(void **state)
{
	struct disk d;
	uint64_t v;

	disk_open(&d, NULL, false);
	wr(&d.pv, VIRTIO_MMIO_STATUS, 0);
	assert_int_equal(rd(&d.pv, VIRTIO_MMIO_MAGIC), VIRTIO_MMIO_MAGIC_VALUE);
	assert_int_equal(rd(&d.pv, VIRTIO_MMIO_VERSION), 2);
	assert_int_equal(rd(&d.pv, VIRTIO_MMIO_DEVICE_ID), VIRTIO_ID_BLK);
	assert_int_equal(rd(&d.pv, VIRTIO_MMIO_QUEUE_NUM_MAX), VMMIO_QUEUE_MAX);
	wr(&d.pv, VIRTIO_MMIO_QUEUE_SEL, 1);
	assert_int_equal(rd(&d.pv, VIRTIO_MMIO_QUEUE_NUM_MAX), 0);
	wr(&d.pv, VIRTIO_MMIO_QUEUE_SEL, 0xffffffff);
	assert_int_equal(rd(&d.pv, VIRTIO_MMIO_QUEUE_NUM_MAX), 0);
	wr(&d.pv, VIRTIO_MMIO_QUEUE_READY, 1);
	wr(&d.pv, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 7);
	assert_int_equal(rd(&d.pv, VIRTIO_MMIO_DEVICE_FEATURES), 0);
	wr(&d.pv, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 7);
	wr(&d.pv, VIRTIO_MMIO_DRIVER_FEATURES, 0xffffffff);
	assert_int_equal(rd(&d.pv, VIRTIO_MMIO_SHM_LEN_LOW), 0xffffffff);
	/* Configuration space: the capacity, by halves and whole; beyond its end; wrong sizes. */
	assert_int_equal(rd(&d.pv, VIRTIO_MMIO_CONFIG), SECTORS);
	vmmio_access(blk_vmmio(d.be), VIRTIO_MMIO_CONFIG, 8, false, &v);
	assert_int_equal(v, SECTORS);
	vmmio_access(blk_vmmio(d.be), VIRTIO_MMIO_CONFIG + 60, 8, false, &v);
	assert_int_equal(v, 0);
	vmmio_access(blk_vmmio(d.be), 4095, 1, false, &v);
	assert_int_equal(v, 0);
	vmmio_access(blk_vmmio(d.be), 1, 4, false, &v);
	assert_int_equal(v, 0);
	v = 0xff;
	vmmio_access(blk_vmmio(d.be), VIRTIO_MMIO_STATUS, 1, true, &v);
	assert_int_equal(rd(&d.pv, VIRTIO_MMIO_STATUS), 0);

	/* Features: a subset, with VERSION_1. */
	handshake(&d.pv, VIRTIO_BLK_F_FLUSH);
	assert_false(rd(&d.pv, VIRTIO_MMIO_STATUS) & VIRTIO_S_FEATURES_OK);
	handshake(&d.pv, VIRTIO_F_VERSION_1 | 1ull << 40);
	assert_false(rd(&d.pv, VIRTIO_MMIO_STATUS) & VIRTIO_S_FEATURES_OK);
	/* No DRIVER_OK without FEATURES_OK, no queue either. */
	wr(&d.pv, VIRTIO_MMIO_STATUS, VIRTIO_S_DRIVER_OK);
	assert_false(rd(&d.pv, VIRTIO_MMIO_STATUS) & VIRTIO_S_DRIVER_OK);
	queue(&d.pv, 0, NUM, SIO_PRIV_BASE, SIO_PRIV_BASE + 0x1000, SIO_PRIV_BASE + 0x2000);
	assert_int_equal(rd(&d.pv, VIRTIO_MMIO_QUEUE_READY), 0);
	kick(&d);
	handshake(&d.pv, FEATURES);
	assert_true(rd(&d.pv, VIRTIO_MMIO_STATUS) & VIRTIO_S_FEATURES_OK);
	assert_int_equal(d.pv.messages, 0);
	disk_close(&d);
}

static void test_interrupt_status(void **state)
{
	struct disk d;

	/* Without EVENT_IDX: every batch, unless the driver wants none. */
	disk_open(&d, NULL, false);
	assert_int_equal(request(&d, VIRTIO_BLK_T_IN, 0, DATA, 512), VIRTIO_BLK_S_OK);
	assert_int_equal(d.pv.signals, 1);
	assert_int_equal(rd(&d.pv, VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_INT_USED);
	wr(&d.pv, VIRTIO_MMIO_INTERRUPT_ACK, VIRTIO_INT_USED);
	assert_int_equal(rd(&d.pv, VIRTIO_MMIO_INTERRUPT_STATUS), 0);
	d.avail->flags = VIRTQ_AVAIL_F_NO_INTERRUPT;
	assert_int_equal(request(&d, VIRTIO_BLK_T_IN, 0, DATA, 512), VIRTIO_BLK_S_OK);
	assert_int_equal(d.pv.signals, 1);
	disk_close(&d);
}

static void test_bad_queue(void **state)
{
	static const struct {
		uint32_t num;
		uint64_t desc, avail, used;
	} bad[] = {
		{ 0, 0, 0x1000, 0x2000 },   { 3, 0, 0x1000, 0x2000 },
		{ 128, 0, 0x1000, 0x2000 }, { 0x80000000, 0, 0x1000, 0x2000 },
		{ 16, 8, 0x1000, 0x2000 },  { 16, 0, 0x1001, 0x2000 },
		{ 16, 0, 0x1000, 0x2002 },  { 16, PV_RAM - 240, 0x1000, 0x2000 },
		{ 16, 0, PV_RAM, 0x2000 },  { 16, 0, 0x1000, 0xfffffffffffffff0 },
		{ 16, 0, 0x1000, PV_BLOB }, /* read-only */
	};
	struct disk d;
	unsigned i;

	disk_open(&d, NULL, false);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		handshake(&d.pv, FEATURES);
		queue(&d.pv, 0, bad[i].num, bad[i].desc, bad[i].avail, bad[i].used);
		assert_int_equal(rd(&d.pv, VIRTIO_MMIO_QUEUE_READY), 0);
		assert_true(rd(&d.pv, VIRTIO_MMIO_STATUS) & VIRTIO_S_NEEDS_RESET);
		wr(&d.pv, VIRTIO_MMIO_STATUS, 15);
		kick(&d);
	}
	assert_int_equal(d.pv.messages, 1); /* and no flood */
	start(&d, FEATURES);
	assert_int_equal(request(&d, VIRTIO_BLK_T_IN, 0, DATA, 512), VIRTIO_BLK_S_OK);
	disk_close(&d);
}

/* Chains. */

static struct virtq_desc_shared *table(struct disk *d)
{
	return (void *)(d->pv.ram + TABLE);
}

static void bad_chain(struct disk *d, unsigned how)
{
	struct virtq_desc_shared *q = d->desc, *t = table(d);
	unsigned i;

	header(d, VIRTIO_BLK_T_IN, 0);
	desc(q, 0, HDR, 16, VIRTQ_DESC_F_NEXT, 1);
	desc(q, 1, DATA, 512, VIRTQ_DESC_F_NEXT | VIRTQ_DESC_F_WRITE, 2);
	desc(q, 2, STAT, 1, VIRTQ_DESC_F_WRITE, 0);
	memcpy(t, q, 48);
	switch (how) {
	case 0: add(d, NUM); break; /* no such descriptor */
	case 1: add(d, 0xffff); break;
	case 2: d->avail->idx += NUM + 1; break; /* too far ahead */
	case 3: d->avail->idx += 0x8000; break;
	case 4:
		q[1].next = NUM;
		add(d, 0);
		break;
	case 5:
		q[1].next = 0;
		add(d, 0);
		break; /* writable, then readable */
	case 6:
		q[2].flags |= VIRTQ_DESC_F_NEXT;
		q[2].next = 2;
		add(d, 0);
		break; /* loop */
	case 7:
		q[0].next = 0;
		add(d, 0);
		break;
	case 8:
		q[1].addr = PV_RAM - 511;
		add(d, 0);
		break;
	case 9:
		q[1].addr = 0xfffffffffffffe00;
		add(d, 0);
		break;
	case 10:
		q[1].len = 0xffffffff;
		add(d, 0);
		break;
	case 11:
		q[1].addr = PV_BLOB;
		add(d, 0);
		break; /* read-only memory */
	case 12:
		q[0].addr = PV_RAM + 5;
		add(d, 0);
		break;
	case 13:
		q[2].addr = SIO_PRIV_BASE + PV_PRIV;
		add(d, 0);
		break;
	case 14:
		q[0].len = 15;
		add(d, 0);
		break; /* half a header */
	case 15:
		q[0].flags = 0;
		add(d, 0);
		break; /* no status byte */
	case 16:
		q[2].len = 0;
		q[1].len = 0;
		add(d, 0);
		break;
	case 17:
		q[0].len = q[1].len = 0;
		q[2].flags = 0;
		add(d, 0);
		break;
	/* Indirect tables. */
	case 18:
		desc(q, 0, TABLE, 0, VIRTQ_DESC_F_INDIRECT, 0);
		add(d, 0);
		break;
	case 19:
		desc(q, 0, TABLE, 47, VIRTQ_DESC_F_INDIRECT, 0);
		add(d, 0);
		break;
	case 20:
		desc(q, 0, TABLE, 131 * 16, VIRTQ_DESC_F_INDIRECT, 0);
		add(d, 0);
		break;
	case 21:
		desc(q, 0, TABLE, 0xfffffff0, VIRTQ_DESC_F_INDIRECT, 0);
		add(d, 0);
		break;
	case 22:
		desc(q, 0, PV_RAM - 16, 48, VIRTQ_DESC_F_INDIRECT, 0);
		add(d, 0);
		break;
	case 23:
		desc(q, 0, TABLE, 48, VIRTQ_DESC_F_INDIRECT | VIRTQ_DESC_F_NEXT, 1);
		add(d, 0);
		break;
	case 24: /* nested */
		desc(q, 0, TABLE, 48, VIRTQ_DESC_F_INDIRECT, 0);
		desc(t, 1, TABLE, 48, VIRTQ_DESC_F_INDIRECT, 0);
		add(d, 0);
		break;
	case 25: /* itself */
		desc(q, 0, TABLE, 16, VIRTQ_DESC_F_INDIRECT, 0);
		desc(t, 0, TABLE, 16, VIRTQ_DESC_F_INDIRECT, 0);
		add(d, 0);
		break;
	case 26:
		desc(q, 0, TABLE, 48, VIRTQ_DESC_F_INDIRECT, 0);
		t[1].next = 3;
		add(d, 0);
		break;
	case 27: /* a loop inside */
		desc(q, 0, TABLE, 48, VIRTQ_DESC_F_INDIRECT, 0);
		desc(t, 2, STAT, 1, VIRTQ_DESC_F_WRITE | VIRTQ_DESC_F_NEXT, 1);
		add(d, 0);
		break;
	case 28:
		desc(q, 0, TABLE + 8, 48, VIRTQ_DESC_F_INDIRECT, 0);
		add(d, 0);
		break;
	case 29: /* one more than a chain may have */
		for (i = 0; i < 130; i++)
			desc(t, i, i ? DATA : HDR, 16,
			     VIRTQ_DESC_F_NEXT | (i ? VIRTQ_DESC_F_WRITE : 0), (uint16_t)(i + 1));
		t[129].next = 1;
		desc(q, 0, TABLE, 130 * 16, VIRTQ_DESC_F_INDIRECT, 0);
		add(d, 0);
		break;
	}
}

static void test_bad_chains(void **state)
{
	struct disk d;
	unsigned how;

	for (how = 0; how < 30; how++) {
		disk_open(&d, NULL, how & 1);
		bad_chain(&d, how);
		kick(&d);
		blk_drain(d.be);
		if (!(rd(&d.pv, VIRTIO_MMIO_STATUS) & VIRTIO_S_NEEDS_RESET))
			fail_msg("chain %u was taken", how);
		assert_int_equal(d.pv.messages, 1);
		assert_int_equal(d.pv.signals, 1);
		assert_true(rd(&d.pv, VIRTIO_MMIO_INTERRUPT_STATUS) & VIRTIO_INT_CONFIG);
		assert_int_equal(d.used->idx, 0);
		kick(&d); /* deaf */
		start(&d, FEATURES);
		assert_int_equal(request(&d, VIRTIO_BLK_T_IN, 0, DATA, 512), VIRTIO_BLK_S_OK);
		disk_close(&d);
	}
}

static void test_indirect_not_negotiated(void **state)
{
	struct disk d;

	disk_open(&d, NULL, false);
	start(&d, VIRTIO_F_VERSION_1);
	header(&d, VIRTIO_BLK_T_FLUSH, 0);
	desc(table(&d), 0, HDR, 16, VIRTQ_DESC_F_NEXT, 1);
	desc(table(&d), 1, STAT, 1, VIRTQ_DESC_F_WRITE, 0);
	desc(d.desc, 0, TABLE, 32, VIRTQ_DESC_F_INDIRECT, 0);
	add(&d, 0);
	kick(&d);
	assert_true(rd(&d.pv, VIRTIO_MMIO_STATUS) & VIRTIO_S_NEEDS_RESET);
	disk_close(&d);
}

/* The same descriptor twice while the first is in flight. */
static void test_head_twice(void **state)
{
	struct disk d;

	disk_open(&d, NULL, true);
	header(&d, VIRTIO_BLK_T_FLUSH, 0);
	desc(d.desc, 0, HDR, 16, VIRTQ_DESC_F_NEXT, 1);
	desc(d.desc, 1, STAT, 1, VIRTQ_DESC_F_WRITE, 0);
	add(&d, 0);
	add(&d, 0);
	kick(&d);
	assert_true(rd(&d.pv, VIRTIO_MMIO_STATUS) & VIRTIO_S_NEEDS_RESET);
	/* The first one ends without touching the ring; a reset waits for it. */
	wr(&d.pv, VIRTIO_MMIO_STATUS, 0);
	assert_int_not_equal(rd(&d.pv, VIRTIO_MMIO_STATUS), 0);
	wr(&d.pv, VIRTIO_MMIO_STATUS, 1);
	blk_drain(d.be);
	assert_int_equal(rd(&d.pv, VIRTIO_MMIO_STATUS), 0);
	assert_int_equal(d.used->idx, 0);
	start(&d, FEATURES);
	assert_int_equal(request(&d, VIRTIO_BLK_T_FLUSH, 0, 0, 0), VIRTIO_BLK_S_OK);
	disk_close(&d);
}

/* Odd, but what virtio allows: parts cut anywhere, empty descriptors, direct then indirect. */
static void test_odd_layouts(void **state)
{
	struct disk d;
	struct virtq_desc_shared *t;
	uint8_t *ram;
	unsigned i;
	int fd;

	disk_open(&d, NULL, false);
	ram = d.pv.ram;
	t = table(&d);
	header(&d, VIRTIO_BLK_T_OUT, 3);
	for (i = 0; i < 512; i++)
		ram[HDR + 16 + i] = (uint8_t)(i * 7);
	desc(d.desc, 4, HDR, 1, VIRTQ_DESC_F_NEXT, 9);
	desc(d.desc, 9, 0xdead0000, 0, VIRTQ_DESC_F_NEXT, 2);
	desc(d.desc, 2, TABLE, 48, VIRTQ_DESC_F_INDIRECT | VIRTQ_DESC_F_WRITE, 0);
	desc(t, 0, HDR + 1, 300, VIRTQ_DESC_F_NEXT, 2);
	desc(t, 2, HDR + 301, 227, VIRTQ_DESC_F_NEXT, 1);
	desc(t, 1, STAT, 1, VIRTQ_DESC_F_WRITE, 0);
	add(&d, 4);
	kick(&d);
	blk_drain(d.be);
	assert_int_equal(ram[STAT], VIRTIO_BLK_S_OK);
	assert_int_equal(d.used->ring[0].id, 4);
	assert_int_equal(d.used->ring[0].len, 1);
	uint8_t got[512];
	fd = open(d.path, O_RDONLY);
	assert_int_equal(pread(fd, got, 512, 3 * 512), 512);
	assert_memory_equal(got, ram + HDR + 16, 512);
	close(fd);
	/* The status byte at the end of the data's segment. */
	header(&d, VIRTIO_BLK_T_IN, 3);
	desc(d.desc, 0, HDR, 16, VIRTQ_DESC_F_NEXT, 1);
	desc(d.desc, 1, DATA, 513, VIRTQ_DESC_F_WRITE, 0);
	ram[DATA + 512] = 0xee;
	add(&d, 0);
	kick(&d);
	blk_drain(d.be);
	assert_int_equal(ram[DATA + 512], VIRTIO_BLK_S_OK);
	assert_int_equal(d.used->ring[1].len, 513);
	assert_memory_equal(ram + DATA, got, 512);
	disk_close(&d);
}

static void requests(bool no_uring)
{
	struct disk d;

	disk_open(&d, NULL, no_uring);
	assert_int_equal(request(&d, VIRTIO_BLK_T_IN, SECTORS, DATA, 512), VIRTIO_BLK_S_IOERR);
	assert_int_equal(request(&d, VIRTIO_BLK_T_IN, SECTORS - 1, DATA, 1024), VIRTIO_BLK_S_IOERR);
	assert_int_equal(request(&d, VIRTIO_BLK_T_OUT, ~0ull, DATA, 512), VIRTIO_BLK_S_IOERR);
	assert_int_equal(request(&d, VIRTIO_BLK_T_OUT, 1ull << 55, DATA, 512), VIRTIO_BLK_S_IOERR);
	assert_int_equal(request(&d, VIRTIO_BLK_T_IN, 0, DATA, 511), VIRTIO_BLK_S_IOERR);
	assert_int_equal(request(&d, VIRTIO_BLK_T_IN, 0, 0, 0), VIRTIO_BLK_S_IOERR);
	assert_int_equal(request(&d, VIRTIO_BLK_T_GET_ID, 0, DATA, 20), VIRTIO_BLK_S_UNSUPP);
	assert_int_equal(request(&d, 0xffffffff, 0, DATA, 512), VIRTIO_BLK_S_UNSUPP);
	assert_int_equal(range(&d, VIRTIO_BLK_T_DISCARD, 0, 8, 1), VIRTIO_BLK_S_UNSUPP);
	assert_int_equal(range(&d, VIRTIO_BLK_T_WRITE_ZEROES, 0, 8, 2), VIRTIO_BLK_S_UNSUPP);
	assert_int_equal(range(&d, VIRTIO_BLK_T_WRITE_ZEROES, ~0ull, 8, 0), VIRTIO_BLK_S_IOERR);
	assert_int_equal(range(&d, VIRTIO_BLK_T_DISCARD, 8, ~0u, 0), VIRTIO_BLK_S_IOERR);
	assert_int_equal(request(&d, VIRTIO_BLK_T_DISCARD, 0, DATA, 32), VIRTIO_BLK_S_IOERR);
	assert_int_equal(range(&d, VIRTIO_BLK_T_WRITE_ZEROES, 0, 8, 0), VIRTIO_BLK_S_OK);
	assert_int_equal(range(&d, VIRTIO_BLK_T_DISCARD, 0, SECTORS, 0), VIRTIO_BLK_S_OK);
	assert_int_equal(d.pv.messages, 0);
	disk_close(&d);
}

static void test_requests(void **state)
{
	requests(false);
	requests(true);
}

/* Files that fail. */

static void test_flush_fails(void **state)
{
	struct disk d;

	disk_open(&d, NULL, true);
	assert_int_equal(request(&d, VIRTIO_BLK_T_FLUSH, 0, 0, 0), VIRTIO_BLK_S_OK);
	assert_int_equal(fault.syncs, 1);
	fault.sync_errno = EIO;
	assert_int_equal(request(&d, VIRTIO_BLK_T_FLUSH, 0, 0, 0), VIRTIO_BLK_S_IOERR);
	/* The kernel would say yes now; what it lost is lost. */
	fault.sync_errno = 0;
	assert_int_equal(request(&d, VIRTIO_BLK_T_FLUSH, 0, 0, 0), VIRTIO_BLK_S_IOERR);
	assert_int_equal(blk_sync(d.be), -EIO);
	start(&d, FEATURES);
	assert_int_equal(request(&d, VIRTIO_BLK_T_FLUSH, 0, 0, 0), VIRTIO_BLK_S_OK);
	disk_close(&d);
}

static void test_no_space(void **state)
{
	struct disk d;
	struct blk_stats s;

	disk_open(&d, NULL, true);
	fault.write_errno = ENOSPC;
	assert_int_equal(request(&d, VIRTIO_BLK_T_OUT, 0, DATA, 4096), VIRTIO_BLK_S_IOERR);
	fault.write_errno = 0;
	assert_int_equal(request(&d, VIRTIO_BLK_T_OUT, 0, DATA, 4096), VIRTIO_BLK_S_OK);
	assert_int_equal(request(&d, VIRTIO_BLK_T_FLUSH, 0, 0, 0), VIRTIO_BLK_S_OK);
	blk_stats(d.be, &s);
	assert_int_equal(s.errors, 1);
	assert_int_equal(s.writes, 2);
	disk_close(&d);
}

/* A real full file system, through io_uring: needs the right to mount one. */
static void test_no_space_tmpfs(void **state)
{
	char dir[] = "/tmp/selfio-test-XXXXXX", filler[64], *old;
	struct disk d;
	int fd, i, ok = 0, bad = 0;
	static uint8_t junk[4096];

	assert_non_null(mkdtemp(dir));
	if (mount("none", dir, "tmpfs", 0, "size=256k")) {
		rmdir(dir);
		skip();
	}
	snprintf(filler, sizeof(filler), "%s/filler", dir);
	fd = open(filler, O_RDWR | O_CREAT, 0600);
	for (i = 0; i < 32; i++)
		assert_int_equal(write(fd, junk, sizeof(junk)), sizeof(junk));
	close(fd);
	old = getenv("TMPDIR") ? strdup(getenv("TMPDIR")) : NULL;
	setenv("TMPDIR", dir, 1);
	disk_open(&d, NULL, false);
	if (old)
		setenv("TMPDIR", old, 1);
	else
		unsetenv("TMPDIR");
	free(old);
	for (i = 0; i < 64; i++) {
		if (request(&d, VIRTIO_BLK_T_OUT, i * 8, DATA, 4096) == VIRTIO_BLK_S_OK)
			ok++;
		else
			bad++;
	}
	assert_true(ok >= 16 && bad >= 16);
	unlink(filler);
	for (i = 0; i < 32; i++)
		assert_int_equal(request(&d, VIRTIO_BLK_T_OUT, i * 8, DATA, 4096), VIRTIO_BLK_S_OK);
	assert_int_equal(request(&d, VIRTIO_BLK_T_FLUSH, 0, 0, 0), VIRTIO_BLK_S_OK);
	disk_close(&d);
	assert_int_equal(umount(dir), 0);
	rmdir(dir);
}

static void test_short_io(void **state)
{
	struct disk d;
	unsigned i;

	disk_open(&d, NULL, true);
	fault.short_io = 700; /* not even whole sectors */
	for (i = 0; i < 65536; i++)
		d.pv.ram[DATA + i] = (uint8_t)(i * 31 >> 3);
	assert_int_equal(request(&d, VIRTIO_BLK_T_OUT, 5, DATA, 65536), VIRTIO_BLK_S_OK);
	assert_int_equal(request(&d, VIRTIO_BLK_T_IN, 5, DATA + 65536, 65536), VIRTIO_BLK_S_OK);
	assert_memory_equal(d.pv.ram + DATA, d.pv.ram + DATA + 65536, 65536);
	assert_int_equal(d.used->ring[1].len, 65537);
	disk_close(&d);
}

/* A file system that can't punch or zero: zeroes are written, a discard is a hint. */
static void test_no_fallocate(void **state)
{
	struct disk d;
	unsigned i;

	disk_open(&d, NULL, true);
	memset(d.pv.ram + DATA, 0xaa, 1 << 20);
	assert_int_equal(request(&d, VIRTIO_BLK_T_OUT, 0, DATA, 1 << 20), VIRTIO_BLK_S_OK);
	fault.falloc_errno = EOPNOTSUPP;
	assert_int_equal(range(&d, VIRTIO_BLK_T_WRITE_ZEROES, 1, SECTORS - 2, 1), VIRTIO_BLK_S_OK);
	assert_int_equal(range(&d, VIRTIO_BLK_T_DISCARD, 0, 8, 0), VIRTIO_BLK_S_OK);
	assert_int_equal(request(&d, VIRTIO_BLK_T_IN, 0, DATA, 1 << 20), VIRTIO_BLK_S_OK);
	for (i = 0; i < 1 << 20; i++) {
		if (d.pv.ram[DATA + i] != (i < 512 || i >= (1 << 20) - 512 ? 0xaa : 0))
			fail_msg("byte %u", i);
	}
	fault.falloc_errno = EIO;
	assert_int_equal(range(&d, VIRTIO_BLK_T_WRITE_ZEROES, 0, 8, 1), VIRTIO_BLK_S_IOERR);
	assert_int_equal(range(&d, VIRTIO_BLK_T_DISCARD, 0, 8, 0), VIRTIO_BLK_S_IOERR);
	disk_close(&d);
}

/* A driver on another processor that never stops adding: the notification ends all the same, and
 * what is left is done later. */
struct flood {
	struct disk *d;
	bool stop;      /* atomic */
	unsigned added; /* atomic */
};

static void *flood(void *arg)
{
	struct flood *f = arg;

	while (!__atomic_load_n(&f->stop, __ATOMIC_ACQUIRE)) {
		uint16_t used = __atomic_load_n(&f->d->used->idx, __ATOMIC_ACQUIRE);

		if ((uint16_t)(f->d->avail->idx - used) < NUM) {
			add(f->d, 0);
			__atomic_fetch_add(&f->added, 1, __ATOMIC_RELAXED);
		}
	}
	return NULL;
}

static void test_budget(void **state)
{
	struct disk d;
	struct flood f = { .d = &d };
	struct pollfd p;
	pthread_t th;
	unsigned more = 0;

	disk_open(&d, NULL, false);
	/* An unknown request ends inline and frees its descriptor for the next at once. */
	header(&d, 99, 0);
	desc(d.desc, 0, HDR, 16, VIRTQ_DESC_F_NEXT, 1);
	desc(d.desc, 1, STAT, 1, VIRTQ_DESC_F_WRITE, 0);
	assert_int_equal(pthread_create(&th, NULL, flood, &f), 0);
	p = (struct pollfd){ .fd = blk_ring_fd(d.ring), .events = POLLIN };
	alarm(60); /* or the notification never ends */
	while (__atomic_load_n(&f.added, __ATOMIC_RELAXED) < 20000) {
		kick(&d);
		if (poll(&p, 1, 0) > 0) {
			more++;
			blk_ring_ready(d.ring);
		}
	}
	__atomic_store_n(&f.stop, true, __ATOMIC_RELEASE);
	pthread_join(th, NULL);
	/* Nothing is forgotten: either the driver would notify, or the I/O thread has its work. */
	while (poll(&p, 1, 0) > 0)
		blk_ring_ready(d.ring);
	kick(&d);
	alarm(0);
	assert_int_equal(d.used->idx, d.avail->idx);
	assert_int_equal(d.pv.messages, 0);
	print_message("the I/O thread helped %u times\n", more);
	disk_close(&d);
}

/* Opening. */

static void expect_error(const struct blk_opts *o, const char *what)
{
	char err[256] = "";
	struct blk_dev *b = blk_open(o, err, sizeof(err));

	if (b || !strstr(err, what) || strncmp(err, o->path, strlen(o->path)) || strchr(err, '\n'))
		fail_msg("%s: wanted \"%s\", got \"%s\"", o->path, what, err);
}

static void test_open_errors(void **state)
{
	char path[64], err[256];
	struct blk_opts o = { .path = path };
	struct stat st;
	int fd;

	fake_pv_image(path, sizeof(path), 0);
	expect_error(&o, "empty");
	assert_int_equal(truncate(path, 1000), 0);
	expect_error(&o, "1000 bytes, isn't a multiple of 512");
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, 1000);
	assert_int_equal(truncate(path, 1024), 0);
	assert_int_equal(chmod(path, 0444), 0);
	expect_error(&o, "read-only");
	o.read_only = true;
	struct blk_dev *b = blk_open(&o, err, sizeof(err));
	assert_non_null(b);
	blk_close(b);
	o.read_only = false;
	chmod(path, 0600);
	expect_error(&(struct blk_opts){ .path = "/nonexistent/x" }, "no such file");
	expect_error(&(struct blk_opts){ .path = "/tmp" }, "directory");
	expect_error(&(struct blk_opts){ .path = "/dev/null" }, "not a disk");
	/* Not as root, who may do everything. */
	fflush(NULL);
	chmod(path, 0);
	if (!fork()) {
		struct blk_dev *x;

		if (setgid(65534) || setuid(65534))
			_exit(0);
		o.read_only = true;
		x = blk_open(&o, err, sizeof(err));
		_exit(x || !strstr(err, "not permitted"));
	}
	assert_true(wait(&fd) > 0);
	assert_int_equal(fd, 0);
	unlink(path);
}

static void test_locks(void **state)
{
	char path[64], err[256];
	struct blk_opts rw = { .path = path }, ro = { .path = path, .read_only = true };
	struct blk_dev *a, *b;

	fake_pv_image(path, sizeof(path), 4096);
	a = blk_open(&rw, err, sizeof(err));
	assert_non_null(a);
	expect_error(&rw, "locked");
	expect_error(&ro, "locked");
	blk_close(a);
	a = blk_open(&ro, err, sizeof(err));
	b = blk_open(&ro, err, sizeof(err));
	assert_true(a && b);
	expect_error(&rw, "locked");
	blk_close(a);
	expect_error(&rw, "locked");
	blk_close(b);
	a = blk_open(&rw, err, sizeof(err));
	assert_non_null(a);
	blk_close(a);
	unlink(path);
}

/* A block device: needs the right to make one. */
static void block_device(bool direct, bool no_uring)
{
	char image[64], path[32], err[256];
	struct blk_opts o = { .path = path, .direct = direct };
	int ctl = open("/dev/loop-control", O_RDWR | O_CLOEXEC), n, img, loop;
	struct disk d = { 0 };
	unsigned i;

	n = ctl < 0 ? -1 : ioctl(ctl, LOOP_CTL_GET_FREE);
	snprintf(path, sizeof(path), "/dev/loop%d", n);
	fake_pv_image(image, sizeof(image), SECTORS * 512);
	img = open(image, O_RDWR | O_CLOEXEC);
	unlink(image);
	loop = n < 0 ? -1 : open(path, O_RDWR | O_CLOEXEC);
	if (loop < 0 || ioctl(loop, LOOP_SET_FD, img)) {
		close(img);
		close(ctl);
		if (loop >= 0)
			close(loop);
		skip();
	}
	memset(&fault, 0, sizeof(fault));
	fake_pv_init(&d.pv);
	d.ring = blk_ring_new(no_uring, NULL, NULL);
	d.be = blk_open(&o, err, sizeof(err));
	if (!d.be)
		fail_msg("%s", err);
	assert_int_equal(blk_sectors(d.be), SECTORS);
	/* In use: by its lock for us, by O_EXCL for a mount. */
	expect_error(&o, "in use");
	blk_attach(d.be, d.ring, &d.pv.host, WIN);
	d.pv.dev[WIN] = blk_vmmio(d.be);
	start(&d, FEATURES);
	memset(d.pv.ram + DATA, 0xaa, 1 << 20);
	assert_int_equal(request(&d, VIRTIO_BLK_T_OUT, 0, DATA, 1 << 20), VIRTIO_BLK_S_OK);
	assert_int_equal(range(&d, VIRTIO_BLK_T_WRITE_ZEROES, 8, 16, 1), VIRTIO_BLK_S_OK);
	assert_int_equal(range(&d, VIRTIO_BLK_T_WRITE_ZEROES, 33, 1, 0), VIRTIO_BLK_S_OK);
	assert_int_equal(range(&d, VIRTIO_BLK_T_DISCARD, 64, 64, 0), VIRTIO_BLK_S_OK);
	assert_int_equal(request(&d, VIRTIO_BLK_T_FLUSH, 0, 0, 0), VIRTIO_BLK_S_OK);
	assert_int_equal(request(&d, VIRTIO_BLK_T_IN, 0, DATA, 64 * 512), VIRTIO_BLK_S_OK);
	for (i = 0; i < 64; i++)
		assert_int_equal(d.pv.ram[DATA + i * 512 + 511],
				 (i >= 8 && i < 24) || i == 33 ? 0 : 0xaa);
	assert_int_equal(request(&d, VIRTIO_BLK_T_IN, SECTORS - 1, DATA, 512), VIRTIO_BLK_S_OK);
	assert_int_equal(d.pv.ram[DATA], 0xaa);
	blk_drain(d.be);
	assert_int_equal(blk_sync(d.be), 0);
	blk_close(d.be);
	blk_ring_free(d.ring);
	fake_pv_free(&d.pv);
	ioctl(loop, LOOP_CLR_FD);
	close(loop);
	close(img);
	close(ctl);
}

static void test_block_device(void **state)
{
	block_device(false, false);
	block_device(false, true);
	block_device(true, false);
}

/* The console. */

static void test_console_hostile(void **state)
{
	struct fake_pv pv;
	struct virtq_desc_shared *t;
	struct virtq_avail_shared *a;
	struct console_dev *c;
	char err[256];
	unsigned i;

	assert_null(console_open("tty", err, sizeof(err)));
	assert_non_null(strstr(err, "stdio, file:PATH"));
	assert_null(console_open("file:/nonexistent/x", err, sizeof(err)));
	assert_non_null(strstr(err, "No such file"));

	fake_pv_init(&pv);
	c = console_open("null", err, sizeof(err));
	console_attach(c, &pv.host, WIN, NULL, NULL);
	pv.dev[WIN] = console_vmmio(c);
	handshake(&pv, VIRTIO_F_VERSION_1);
	queue(&pv, 1, NUM, SIO_PRIV_BASE, SIO_PRIV_BASE + 0x1000, SIO_PRIV_BASE + 0x2000);
	wr(&pv, VIRTIO_MMIO_STATUS, 15);
	t = (void *)pv.priv;
	a = (void *)(pv.priv + 0x1000);
	/* Empty and device-writable buffers are taken and come back. */
	desc(t, 0, 0, 0, 0, 0);
	desc(t, 1, DATA, 100, VIRTQ_DESC_F_WRITE, 0);
	desc(t, 2, DATA, 1 << 20, 0, 0);
	for (i = 0; i < 3; i++)
		a->ring[i] = (uint16_t)i;
	a->idx = 3;
	wr(&pv, VIRTIO_MMIO_QUEUE_NOTIFY, 0); /* a queue that isn't there */
	wr(&pv, VIRTIO_MMIO_QUEUE_NOTIFY, 1);
	wr(&pv, VIRTIO_MMIO_QUEUE_NOTIFY, 0xffff);
	assert_int_equal(((struct virtq_used_shared *)(void *)(pv.priv + 0x2000))->idx, 3);
	assert_int_equal(pv.messages, 0);
	desc(t, 0, PV_RAM, 1, 0, 0);
	a->ring[3] = 0;
	a->idx = 4;
	wr(&pv, VIRTIO_MMIO_QUEUE_NOTIFY, 1);
	assert_int_equal(pv.messages, 1);
	console_ready(c);
	console_close(c);
	fake_pv_free(&pv);
}

static void quit_cb(void *ctx)
{
	(*(unsigned *)ctx)++;
}

/* Child: its standard input and output are a terminal. */
static int tty_child(int ready, int go)
{
	struct fake_pv pv;
	struct virtq_desc_shared *t;
	struct virtq_avail_shared *a;
	struct virtq_used_shared *u;
	struct console_dev *c;
	unsigned quit = 0, i;
	char err[256], b = 0;

	fake_pv_init(&pv);
	c = console_open("stdio", err, sizeof(err));
	if (!c)
		return 10;
	console_attach(c, &pv.host, WIN, quit_cb, &quit);
	pv.dev[WIN] = console_vmmio(c);
	handshake(&pv, VIRTIO_F_VERSION_1);
	queue(&pv, 0, NUM, SIO_PRIV_BASE, SIO_PRIV_BASE + 0x1000, SIO_PRIV_BASE + 0x2000);
	wr(&pv, VIRTIO_MMIO_STATUS, 15);
	t = (void *)pv.priv;
	a = (void *)(pv.priv + 0x1000);
	u = (void *)(pv.priv + 0x2000);
	desc(t, 0, DATA, 64, VIRTQ_DESC_F_WRITE, 0);
	a->idx = 1;
	if (write(ready, "r", 1) != 1 || read(go, &b, 1) != 1)
		return 11;
	usleep(50000);
	wr(&pv, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
	for (i = 0; i < 50 && !quit; i++) {
		console_ready(c);
		usleep(10000);
	}
	if (u->idx != 1 || u->ring[0].len != 5 || memcmp(pv.ram + DATA, "a\001b\001c", 5))
		return 12;
	if (quit != 1)
		return 13;
	console_close(c);
	return 0;
}

static void test_tty(void **state)
{
	int master, slave, up[2], down[2], status;
	struct termios before, raw, after;
	pid_t pid;
	char b;

	assert_int_equal(openpty(&master, &slave, NULL, NULL, NULL), 0);
	assert_int_equal(pipe(up) | pipe(down), 0);
	tcgetattr(slave, &before);
	pid = fork();
	if (!pid) {
		dup2(slave, 0);
		dup2(slave, 1);
		_exit(tty_child(up[1], down[0]));
	}
	assert_int_equal(read(up[0], &b, 1), 1);
	tcgetattr(slave, &raw);
	assert_false(raw.c_lflag & (ECHO | ICANON | ISIG));
	assert_int_equal(write(master, "a\001ab\001c\001xmore", 12), 12);
	assert_int_equal(write(down[1], "g", 1), 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	tcgetattr(slave, &after);
	assert_int_equal(after.c_lflag, before.c_lflag);
	assert_int_equal(after.c_iflag, before.c_iflag);
	/* A fatal signal restores too. */
	pid = fork();
	if (!pid) {
		dup2(slave, 0);
		dup2(slave, 1);
		signal(SIGABRT, SIG_DFL);
		struct fake_pv pv;
		char err[64];
		fake_pv_init(&pv);
		console_attach(console_open("stdio", err, sizeof(err)), &pv.host, WIN, NULL, NULL);
		tcgetattr(0, &raw);
		if (raw.c_lflag & ICANON)
			_exit(1);
		abort();
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	tcgetattr(slave, &after);
	assert_int_equal(after.c_lflag, before.c_lflag);
	close(master);
	close(slave);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_registers),
		cmocka_unit_test(test_interrupt_status),
		cmocka_unit_test(test_bad_queue),
		cmocka_unit_test(test_bad_chains),
		cmocka_unit_test(test_indirect_not_negotiated),
		cmocka_unit_test(test_head_twice),
		cmocka_unit_test(test_odd_layouts),
		cmocka_unit_test(test_requests),
		cmocka_unit_test(test_flush_fails),
		cmocka_unit_test(test_no_space),
		cmocka_unit_test(test_no_space_tmpfs),
		cmocka_unit_test(test_short_io),
		cmocka_unit_test(test_no_fallocate),
		cmocka_unit_test(test_budget),
		cmocka_unit_test(test_open_errors),
		cmocka_unit_test(test_locks),
		cmocka_unit_test(test_block_device),
		cmocka_unit_test(test_console_hostile),
		cmocka_unit_test(test_tty),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
