/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fake_pv.h - a domain for PV tests: memory, windows and events, front ends and back ends in one
 * process.
 *
 * Companion-physical memory: guest RAM at 0, private memory at SIO_PRIV_BASE, a read-only blob.  MMIO
 * goes straight to vmmio_access(); signals are recorded as the reflector would.
 */
#ifndef FAKE_PV_H
#define FAKE_PV_H

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "backends/blk.h"
#include "backends/console.h"
#include "backends/virtio_mmio.h"
#include "drivers/pv.h"
#include "sio/abi.h"

#define PV_RAM  (4u << 20)
#define PV_PRIV (1u << 20)
#define PV_BLOB 0x1000000u
#define PV_MAX  4u

struct fake_pv {
	uint8_t *ram, *priv, *blob;
	size_t priv_used;
	struct vmem mem;
	struct vmmio_host host;
	struct pv_env env;
	struct vmmio *dev[PV_MAX];
	unsigned signals, notifies, reads, messages, logs;
	uint64_t events; /* atomic */
	char last_message[512];
};

static void *fake_pv_alloc(void *ctx, size_t size, size_t align)
{
	struct fake_pv *p = ctx;
	size_t at = (p->priv_used + align - 1) & ~(align - 1);

	if (at + size > PV_PRIV)
		return NULL;
	p->priv_used = at + size;
	return p->priv + at;
}

static uint64_t fake_pv_gpa(void *ctx, const void *ptr)
{
	struct fake_pv *p = ctx;

	assert_true((const uint8_t *)ptr >= p->priv && (const uint8_t *)ptr < p->priv + PV_PRIV);
	return SIO_PRIV_BASE + (uint64_t)((const uint8_t *)ptr - p->priv);
}

static struct vmmio *fake_pv_dev(struct fake_pv *p, uint64_t addr, uint32_t *off)
{
	unsigned n = (unsigned)((addr - SIO_VIRTIO_BASE) / SIO_VIRTIO_STRIDE);

	assert_true(addr >= SIO_VIRTIO_BASE && n < PV_MAX && p->dev[n]);
	*off = addr % SIO_VIRTIO_STRIDE;
	return p->dev[n];
}

static uint32_t fake_pv_read(void *ctx, uint64_t addr)
{
	struct fake_pv *p = ctx;
	uint64_t v = ~0ull;
	uint32_t off;
	struct vmmio *d = fake_pv_dev(p, addr, &off);

	p->reads++;
	vmmio_access(d, off, 4, false, &v);
	return (uint32_t)v;
}

static void fake_pv_write(void *ctx, uint64_t addr, uint32_t val)
{
	struct fake_pv *p = ctx;
	uint64_t v = val;
	uint32_t off;
	struct vmmio *d = fake_pv_dev(p, addr, &off);

	if (off == VIRTIO_MMIO_QUEUE_NOTIFY)
		p->notifies++;
	vmmio_access(d, off, 4, true, &v);
}

static void fake_pv_log(void *ctx, const char *text)
{
	((struct fake_pv *)ctx)->logs++;
}

static void fake_pv_signal(void *ctx, unsigned window)
{
	struct fake_pv *p = ctx;

	__atomic_fetch_add(&p->signals, 1, __ATOMIC_RELAXED);
	__atomic_fetch_or(&p->events, 1ull << window, __ATOMIC_RELEASE);
}

static void fake_pv_message(void *ctx, const char *text)
{
	struct fake_pv *p = ctx;

	p->messages++;
	snprintf(p->last_message, sizeof(p->last_message), "%s", text);
}

static inline void fake_pv_init(struct fake_pv *p)
{
	*p = (struct fake_pv){ 0 };
	p->ram = aligned_alloc(4096, PV_RAM);
	p->priv = aligned_alloc(4096, PV_PRIV);
	p->blob = aligned_alloc(4096, 4096);
	memset(p->ram, 0, PV_RAM);
	memset(p->priv, 0, PV_PRIV);
	memset(p->blob, 0, 4096);
	p->mem.r[0].hva = p->ram;
	p->mem.r[0].len = PV_RAM;
	p->mem.r[1].gpa = SIO_PRIV_BASE;
	p->mem.r[1].hva = p->priv;
	p->mem.r[1].len = PV_PRIV;
	p->mem.r[2].gpa = PV_BLOB;
	p->mem.r[2].hva = p->blob;
	p->mem.r[2].len = 4096;
	p->mem.r[2].ro = true;
	p->mem.n = 3;
	p->host = (struct vmmio_host){ &p->mem, fake_pv_signal, fake_pv_message, p };
	p->env = (struct pv_env){ .alloc = fake_pv_alloc,
				  .gpa = fake_pv_gpa,
				  .mmio_read = fake_pv_read,
				  .mmio_write = fake_pv_write,
				  .log = fake_pv_log,
				  .ctx = p };
}

static inline void fake_pv_free(struct fake_pv *p)
{
	free(p->ram);
	free(p->priv);
	free(p->blob);
}

static inline uint64_t fake_pv_window(unsigned n)
{
	return SIO_VIRTIO_BASE + n * SIO_VIRTIO_STRIDE;
}

/* Waits until a back end's descriptor is readable. */
static inline void fake_pv_wait(int fd)
{
	struct pollfd f = { .fd = fd, .events = POLLIN };

	assert_int_equal(poll(&f, 1, 5000), 1);
}

/* An image of n sectors; its path is kept in path[]. */
static inline void fake_pv_image(char *path, size_t size, uint64_t bytes)
{
	const char *dir = getenv("TMPDIR");
	int fd;

	snprintf(path, size, "%s/selfio-test-XXXXXX", dir ? dir : "/var/tmp");
	fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)bytes), 0);
	close(fd);
}

#endif
