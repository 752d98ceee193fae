/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_driver.h - what the fuzzers of back ends share: companion memory, the input, and how a driver
 * writes registers, descriptors and rings.
 */
#ifndef FUZZ_DRIVER_H
#define FUZZ_DRIVER_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backends/virtio_mmio.h"
#include "sio/abi.h"
#include "check.h"

#define RAM      0x8000u
#define PRIV     0x4000u
#define BLOB     0x1000000u
#define BLOB_LEN 4096u

/* Each piece of companion memory is an allocation of its own, so that ASan sees what leaves it. */
static struct {
	uint8_t *ram, *priv, *blob;
	struct vmem mem;
} m;

static void mem_init(void)
{
	m.ram = aligned_alloc(4096, RAM);
	m.priv = aligned_alloc(4096, PRIV);
	m.blob = aligned_alloc(4096, BLOB_LEN);
	m.mem.r[0].hva = m.ram;
	m.mem.r[0].len = RAM;
	m.mem.r[1].gpa = SIO_PRIV_BASE;
	m.mem.r[1].hva = m.priv;
	m.mem.r[1].len = PRIV;
	m.mem.r[2].gpa = BLOB;
	m.mem.r[2].hva = m.blob;
	m.mem.r[2].len = BLOB_LEN;
	m.mem.r[2].ro = true;
	m.mem.n = 3;
}

static void mem_clear(void)
{
	memset(m.ram, 0, RAM);
	memset(m.priv, 0, PRIV);
	memset(m.blob, 0, BLOB_LEN);
}

struct input {
	const uint8_t *p;
	size_t left;
};

static uint8_t u8(struct input *in)
{
	if (!in->left)
		return 0;
	in->left--;
	return *in->p++;
}

static uint32_t u16(struct input *in)
{
	uint32_t lo = u8(in);

	return lo | (uint32_t)u8(in) << 8;
}

static uint32_t u32(struct input *in)
{
	uint32_t lo = u16(in);

	return lo | u16(in) << 16;
}

static void on_message(void *ctx, const char *text)
{
	CHECK(strlen(text) < 512 && !strchr(text, '\n'));
}

static uint64_t reg_access(struct vmmio *d, uint32_t off, unsigned size, bool write, uint64_t v)
{
	vmmio_access(d, off, size, write, &v);
	return v;
}

static void wr(struct vmmio *d, uint32_t off, uint32_t v)
{
	reg_access(d, off, 4, true, v);
}

/* An address: mostly memory, often near an edge of it. */
static uint64_t addr(struct input *in)
{
	uint32_t sel = u8(in), off = u16(in);

	switch (sel & 7) {
	case 0: return SIO_PRIV_BASE + off % PRIV;
	case 1: return RAM - off % 64;
	case 2: return BLOB + off % BLOB_LEN;
	case 3: return (uint64_t)off << 48 | off;
	case 4: return SIO_PRIV_BASE + PRIV - off % 64;
	default: return off % RAM;
	}
}

static uint32_t length(struct input *in)
{
	uint32_t sel = u8(in), n = u8(in);

	switch (sel & 7) {
	case 0: return u32(in);
	case 1: return 0;
	case 2: return n;
	case 3: return 16;
	case 4: return 16 * n;
	case 5: return 1;
	default: return 512 * (1 + n % 16);
	}
}

/* Where the short forms put things: descriptors, avail and used of queue q in private memory. */
static uint64_t part(unsigned q, unsigned what)
{
	return SIO_PRIV_BASE + q * 0x1800 + what * 0x800;
}

static struct virtq_desc_shared *desc_at(unsigned q, unsigned i)
{
	return (struct virtq_desc_shared *)(void *)(m.priv + (part(q, 0) - SIO_PRIV_BASE)) + i % 64;
}

static void add(unsigned q, uint16_t head, unsigned num)
{
	struct virtq_avail_shared *a = (void *)(m.priv + (part(q, 1) - SIO_PRIV_BASE));

	a->ring[a->idx % num] = head;
	a->idx++;
}

static void start(struct vmmio *d, struct input *in)
{
	uint32_t how = u8(in), features = u32(in), num = how & 8 ? u8(in) : 16;
	unsigned q;

	wr(d, VIRTIO_MMIO_STATUS, 0);
	wr(d, VIRTIO_MMIO_STATUS, 3);
	wr(d, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 0);
	wr(d, VIRTIO_MMIO_DRIVER_FEATURES, how & 1 ? features : (uint32_t)d->features);
	wr(d, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
	wr(d, VIRTIO_MMIO_DRIVER_FEATURES, how & 2 ? 0 : 1);
	wr(d, VIRTIO_MMIO_STATUS, 11);
	for (q = 0; q < d->ops->n_queues; q++) {
		memset(m.priv + q * 0x1800, 0, 0x1800);
		wr(d, VIRTIO_MMIO_QUEUE_SEL, q);
		wr(d, VIRTIO_MMIO_QUEUE_NUM, num);
		wr(d, VIRTIO_MMIO_QUEUE_DESC_LOW, (uint32_t)part(q, 0));
		wr(d, VIRTIO_MMIO_QUEUE_DESC_HIGH, 0);
		wr(d, VIRTIO_MMIO_QUEUE_DRIVER_LOW, (uint32_t)part(q, 1));
		wr(d, VIRTIO_MMIO_QUEUE_DRIVER_HIGH, how & 4 ? features : 0);
		wr(d, VIRTIO_MMIO_QUEUE_DEVICE_LOW, (uint32_t)part(q, 2));
		wr(d, VIRTIO_MMIO_QUEUE_DEVICE_HIGH, 0);
		wr(d, VIRTIO_MMIO_QUEUE_READY, 1);
	}
	wr(d, VIRTIO_MMIO_STATUS, 15);
}

#endif
