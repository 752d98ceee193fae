/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_models.c - the whole PC of boards/pc.c under a guest and a host that do what the input says.
 *
 * The input is a list of steps: accesses of any size inside regions and beside them, bursts, time,
 * block requests that end late, in any order or badly, bytes on the serial line, input lines, RAM
 * (where descriptors lie), resets, save and load, loads of nonsense.  Short forms of what drivers do
 * (PCI configuration cycles, ATA commands, bus-master transfers, fw_cfg DMA) lead deeper.
 *
 * Each context is an allocation of its own, so that ASan sees what leaves it; sane() of the models is
 * called as it goes.
 *
 * Fast paths must not be seen by the guest.  So at any time a shadow that is valid is what a read would
 * give, and the read would change nothing; and what a posted write or a doorbell does to a shadow that it
 * does not make stale is nothing.  Writes that come late together, as the firmware carries them out, leave
 * what they leave one by one.
 */
#include <sanitizer/asan_interface.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/virtio.h"
#include "boards/pc.h"
#include "sio/slot.h"
#include "tests/posted.h"
#include "check.h"

#define RAM_SIZE  0x20000u /* smaller than the tables say: DMA meets the end of RAM */
#define TOLD_RAM  (64u << 20)
#define N_DISKS   4u
#define N_SECTORS 128u
#define MAX_QUEUE 64u
#define MAX_STEPS 400u
#define MAX_ALLOC 96u
#define FAST_KINDS                                                                \
	(1u << DEV_POSTED | 1u << DEV_KICK | 1u << DEV_SHADOW | 1u << DEV_CLOCK | \
	 1u << DEV_READTHROUGH | 1u << DEV_FIFO)
#define END_OF_TIME (1ull << 61)

struct pending {
	struct blk_req *r;
	struct blk_req was;
	struct gpa_seg seg[BLK_MAX_SEGS];
};

struct disk {
	struct blk blk;
	struct host *h;
	struct pending q[MAX_QUEUE];
	unsigned n;
};

struct line {
	struct chr chr;
	struct host *h;
	size_t in, room;
};

struct host {
	const uint8_t *at, *end; /* of the input */
	struct machine *m;
	struct sio_config *cfg;
	uint8_t *ram;
	void *mem[MAX_ALLOC];
	size_t mem_size[MAX_ALLOC];
	unsigned n_mem, alloc_left;
	struct machine_fast fast[SIO_MAX_FAST];
	unsigned n_fast;
	uint64_t shadow[MACHINE_MAX_SHADOWS];
	bool gsi[MACHINE_N_GSI];
	unsigned n_gsi; /* changes of them */
	struct disk disk[N_DISKS];
	struct line console, debugcon;
	struct behind {
		struct virtio_dev dev;
		struct host *h;
	} behind; /* a PV device that answers anything */
	uint64_t now;
	uint32_t noise;
	unsigned sink; /* what is read goes here, so that it is read */
	bool reset, irqchip;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t take8(struct host *h)
{
	return h->at < h->end ? *h->at++ : 0;
}

static uint16_t take16(struct host *h)
{
	uint16_t v = take8(h);

	return (uint16_t)(v | take8(h) << 8);
}

static uint32_t take32(struct host *h)
{
	uint32_t v = take16(h);

	return v | (uint32_t)take16(h) << 16;
}

/* An address: mostly RAM, sometimes its end, sometimes anything. */
static uint64_t take_gpa(struct host *h)
{
	uint32_t v = take32(h);

	switch (v >> 29) {
	case 0: return v;
	case 1: return RAM_SIZE - (v & 0x1ff);
	case 2: return (uint64_t)v << 8;
	default: return v & (RAM_SIZE - 1);
	}
}

static uint8_t noise(struct host *h)
{
	h->noise = h->noise * 1664525u + 1013904223u;
	return (uint8_t)(h->noise >> 24);
}

/* machine_ops */

static void *op_alloc(void *ctx, size_t size, size_t align)
{
	struct host *h = ctx;
	void *p;

	CHECK(size && align && !(align & (align - 1)));
	if (!h->alloc_left || h->n_mem == MAX_ALLOC)
		return NULL;
	h->alloc_left--;
	if (posix_memalign(&p, align < 16 ? 16 : align, size))
		abort();
	memset(p, 0, size);
	h->mem_size[h->n_mem] = size;
	h->mem[h->n_mem++] = p;
	return p;
}

static void *op_ram(void *ctx, uint64_t gpa, uint64_t len)
{
	struct host *h = ctx;

	return gpa <= RAM_SIZE && len <= RAM_SIZE - gpa ? h->ram + gpa : NULL;
}

static uint64_t op_gpa(void *ctx, const void *p)
{
	(void)ctx;
	return (uintptr_t)p;
}

static void op_gsi(void *ctx, unsigned gsi, bool level)
{
	struct host *h = ctx;

	CHECK(gsi < MACHINE_N_GSI);
	h->n_gsi += h->gsi[gsi] != level;
	h->gsi[gsi] = level;
}

static void op_msi(void *ctx, uint64_t addr, uint32_t data)
{
	(void)ctx;
	(void)addr;
	(void)data;
}

static void op_map(void *ctx, unsigned dev, enum dev_space space, uint64_t base, uint32_t len,
		   bool on)
{
	struct host *h = ctx;

	CHECK(dev <= h->m->n_dev && len);
	for (unsigned i = 0; i < h->n_fast && !on;)
		if (h->fast[i].space == space && h->fast[i].base < base + len &&
		    base < h->fast[i].base + h->fast[i].f->len)
			h->fast[i] = h->fast[--h->n_fast];
		else
			i++;
	/* The reflector takes a MAP beyond the last port for a fault of the firmware. */
	CHECK(space == DEV_MMIO ? base + len > base : base <= 0xffff && base + len <= 0x10000);
}

/* What kicks is posted. */
static bool is_kind(enum dev_fast_kind a, enum dev_fast_kind b)
{
	return (a == DEV_KICK ? DEV_POSTED : a) == b;
}

static void op_map_fast(void *ctx, unsigned dev, const struct machine_fast *m)
{
	struct host *h = ctx;

	CHECK((m->f->kind != DEV_SHADOW && m->f->kind != DEV_FIFO) || m->id < MACHINE_MAX_SHADOWS);
	CHECK(m->f->kind != DEV_DOORBELL || m->id < MACHINE_MAX_DOORBELLS);
	CHECK(is_kind(m->f->kind, DEV_POSTED) || m->f->kind == DEV_READTHROUGH || m->f->len <= 8);
	CHECK(m->space == DEV_MMIO || m->base + m->f->len <= 0x10000);
	for (unsigned i = 0; i < h->n_fast; i++) /* a region that claims again */
		if (h->fast[i].f == m->f && h->fast[i].base == m->base)
			return;
	CHECK(h->n_fast < SIO_MAX_FAST);
	h->fast[h->n_fast++] = *m;
}

static void op_reset(void *ctx)
{
	((struct host *)ctx)->reset = true;
}

static void op_poweroff(void *ctx)
{
	(void)ctx;
}

/* Disks: requests wait in a queue until the input ends one. */

static void *seg_at(struct host *h, const struct gpa_seg *s)
{
	if (s->addr.raw < RAM_SIZE) {
		CHECK(s->len <= RAM_SIZE - s->addr.raw);
		return h->ram + s->addr.raw;
	}
	return (void *)(uintptr_t)s->addr.raw; /* private memory */
}

static int disk_submit(struct blk *b, struct blk_req *r)
{
	struct disk *d = (struct disk *)b;
	struct pending *p = &d->q[d->n];
	uint64_t sum = 0;

	for (unsigned i = 0; i < d->n; i++)
		CHECK(d->q[i].r != r);
	CHECK(r->done);
	if (d->n >= 8 && (d->n == MAX_QUEUE || noise(d->h) & 1))
		return -1;
	CHECK(r->op <= BLK_WRITE_ZEROES);
	if (r->op == BLK_READ || r->op == BLK_WRITE) {
		CHECK(r->n_seg >= 1 && r->n_seg <= BLK_MAX_SEGS);
		memcpy(p->seg, r->seg, r->n_seg * sizeof(*r->seg));
	} else {
		CHECK(r->n_seg == 0);
	}
	CHECK(r->op == BLK_READ || r->op == BLK_FLUSH || !b->read_only);
	CHECK(r->op != BLK_DISCARD || b->discard);
	for (unsigned i = 0; i < r->n_seg; i++) {
		void *at = seg_at(d->h, &r->seg[i]);

		CHECK(r->seg[i].len && !__asan_region_is_poisoned(at, r->seg[i].len));
		sum += r->seg[i].len;
	}
	if (r->n_seg)
		CHECK(sum == (uint64_t)r->n_sectors * BLK_SECTOR);
	if (r->op != BLK_FLUSH)
		CHECK(r->sector <= b->n_sectors && r->n_sectors <= b->n_sectors - r->sector);
	p->r = r;
	p->was = *r;
	d->n++;
	return 0;
}

static void disk_end(struct disk *d, unsigned which, int err)
{
	struct pending p;
	struct blk_req *r;

	if (!d->n)
		return;
	p = d->q[which % d->n];
	d->n--;
	d->q[which % (d->n + 1)] = d->q[d->n];
	r = p.r;
	CHECK(r->op == p.was.op && r->n_seg == p.was.n_seg && r->sector == p.was.sector &&
	      r->n_sectors == p.was.n_sectors && r->done == p.was.done);
	for (unsigned i = 0; i < r->n_seg; i++) {
		uint8_t *at = seg_at(d->h, &p.seg[i]);

		CHECK(memcmp(&r->seg[i].addr, &p.seg[i].addr, sizeof(gpa_t)) == 0 &&
		      r->seg[i].len == p.seg[i].len);
		/* A read that fails may have moved part of it. */
		for (uint32_t k = 0; k < p.seg[i].len; k += r->op == BLK_READ ? 61 : 509) {
			if (r->op == BLK_READ)
				at[k] = noise(d->h);
			else
				d->h->sink += at[k];
		}
	}
	r->done(r->owner, r, err);
}

static bool in_flight(const struct host *h)
{
	for (unsigned i = 0; i < N_DISKS; i++)
		if (h->disk[i].n)
			return true;
	return false;
}

/* Byte streams. */

static size_t line_write(struct chr *c, const uint8_t *buf, size_t n)
{
	struct line *l = (struct line *)c;

	if (n > l->room)
		n = l->room;
	for (size_t i = 0; i < n; i++)
		l->h->sink += buf[i];
	l->room -= n;
	return n;
}

static size_t line_room(struct chr *c)
{
	return ((struct line *)c)->room;
}

static size_t line_read(struct chr *c, uint8_t *buf, size_t n)
{
	struct line *l = (struct line *)c;

	if (n > l->in)
		n = l->in;
	for (size_t i = 0; i < n; i++)
		buf[i] = noise(l->h);
	l->in -= n;
	return n;
}

/* Steps. */

static void sane(struct host *h, unsigned dev)
{
	const struct dev_host *d = &h->m->host[dev % h->m->n_dev];

	CHECK(!d->cls->sane || d->cls->sane(d->dev));
}

static void all_sane(struct host *h)
{
	for (unsigned i = 0; i < h->m->n_dev; i++)
		sane(h, i);
}

static void pio(struct host *h, uint64_t port, unsigned size, bool write, uint64_t val)
{
	machine_access(h->m, DEV_PIO, port, size, write, &val);
	if (!write)
		CHECK(size == 8 || val >> size * 8 == 0);
}

static void step_region(struct host *h)
{
	struct machine_region *r = &h->m->region[take8(h) % h->m->n_region];
	struct dev_host *d = &h->m->host[r->dev];
	uint8_t how = take8(h);
	unsigned size = 1u << (how & 3);
	bool write = how & 4;
	uint32_t off = (r->reg->len > 256 ? take16(h) : take8(h)) % (r->reg->len + (how >> 7));
	uint64_t val = write ? take32(h) : 0;

	if (how & 8)
		val |= val << 32;
	if (r->reg->space == DEV_PCICFG) {
		struct dev_access a = { .data = val,
					.region = r->index,
					.offset = off,
					.size = (uint8_t)size,
					.write = write };

		if (r->reg->sizes & size && off + size <= r->reg->len)
			d->cls->access(d->dev, &a);
	} else if (r->base != DEV_UNPLACED) {
		machine_access(h->m, r->reg->space, r->base + off, size, write, &val);
	}
}

static void burst(struct host *h, uint16_t port, unsigned size, bool write, uint32_t count)
{
	uint8_t *buf;

	if (!count)
		count = 1;
	buf = malloc((size_t)count * size);
	for (uint32_t i = 0; i < count * size; i++)
		buf[i] = noise(h);
	machine_burst(h->m, port, size, write, buf, count);
	for (uint32_t i = 0; i < count * size; i++)
		h->sink += buf[i];
	free(buf);
}

static void step_burst(struct host *h)
{
	struct machine_region *r = &h->m->region[take8(h) % h->m->n_region];
	uint8_t how = take8(h);
	uint16_t port = r->reg->space == DEV_PIO && r->base != DEV_UNPLACED ?
				(uint16_t)(r->base + (how >> 3) % r->reg->len) :
				take16(h);

	/* Short: long ones are slow, and where they matter step_ata_data() makes them. */
	burst(h, port, 1u << (how & 3) % 3, how & 4, take8(h));
}

static void cfg_write(struct host *h, unsigned devfn, unsigned off, unsigned size, uint32_t val)
{
	pio(h, 0xcf8, 4, true, 0x80000000u | devfn << 8 | (off & 0xfc));
	pio(h, 0xcfc + (off & 3), size, true, val);
}

static void step_config(struct host *h)
{
	uint8_t which = take8(h), off = take8(h);
	struct dev_host *d = &h->m->host[which % h->m->n_dev];
	unsigned size = 1u << (which >> 6) % 3;

	cfg_write(h, d->devfn < 0 ? which : (unsigned)d->devfn, off & ~(size - 1), size, take32(h));
}

/* The task file (twice for LBA48) and the command.  Without bits set: one LBA sector of drive 0, low
 * enough to be there. */
static void ata_command(struct host *h, unsigned base, uint8_t cmd)
{
	uint8_t how = take8(h), dev = 0xa0 | (how & 0x10) | (~how & 0x40);
	bool smart = cmd == 0xb0 && !(how & 8);

	if (how & 0x80)
		dev |= take8(h) & 15;
	pio(h, base + 6, 1, true, dev);
	for (unsigned last = how & 1 ? 0 : 1; last < 2; last++) {
		if (how & 2)
			pio(h, base + 1, 1, true, smart ? 0xd0 + take8(h) % 16 : take8(h));
		else if (cmd == 0x06)
			pio(h, base + 1, 1, true, 1);
		pio(h, base + 2, 1, true, how & 4 ? take8(h) : last * (1u + (how >> 5 & 1)));
		pio(h, base + 3, 1, true, last || how & 8 ? take8(h) : 0);
		pio(h, base + 4, 1, true, how & 8 ? take8(h) : smart ? 0x4f : 0);
		pio(h, base + 5, 1, true, how & 8 ? take8(h) : smart ? 0xc2 : 0);
	}
	pio(h, base + 7, 1, true, cmd);
}

static void step_ata(struct host *h)
{
	uint8_t how = take8(h);
	/* Those that carry data, and any. */
	static const uint8_t often[] = { 0x20, 0x24, 0x29, 0x30, 0x34, 0x39, 0xc4, 0xc5, 0xc6,
					 0xec, 0xef, 0xb0, 0xc8, 0xca, 0x25, 0x35, 0xe7, 0xea,
					 0x90, 0x08, 0xf8, 0x27, 0x40, 0x91, 0x06 };
	uint8_t cmd = how & 0x40 ? take8(h) : often[take8(h) % sizeof(often)];

	ata_command(h, how & 1 ? 0x170 : 0x1f0, cmd);
}

/* The data phase, as drivers do it: the disk is done, status, a sector. */
static void step_ata_data(struct host *h)
{
	uint8_t how = take8(h);
	unsigned chan = how & 1, base = chan ? 0x170 : 0x1f0, size = how & 2 ? 4 : 2;

	for (unsigned n = (how >> 4) % 8 + 1; n; n--) {
		if (!(how & 0x80)) {
			disk_end(&h->disk[chan * 2], 0, BLK_OK);
			disk_end(&h->disk[chan * 2 + 1], 0, BLK_OK);
		}
		pio(h, base + (how & 4 ? 0x206 : 7), 1, false, 0);
		burst(h, (uint16_t)base, size, how & 8, 512 / size);
	}
}

static void put32(struct host *h, uint64_t at, uint32_t v)
{
	if (at <= RAM_SIZE - 4)
		memcpy(h->ram + at, &v, 4);
}

/* What a BIOS sets up: bus mastering at C000h, both channels, the PM ports at 600h. */
static void bios(struct host *h)
{
	cfg_write(h, 9, 0x20, 4, 0xc001);
	cfg_write(h, 9, 0x40, 4, 0x80008000);
	cfg_write(h, 9, 0x04, 2, 5);
	cfg_write(h, 11, 0x40, 4, 0x601);
	cfg_write(h, 11, 0x80, 1, 1);
}

/* A table of up to 8 entries, a DMA command, start, and perhaps its end. */
static void step_dma(struct host *h)
{
	uint8_t how = take8(h), n = how >> 4 & 7;
	unsigned chan = how & 1, bm = 0xc000 + chan * 8;
	uint32_t table = take16(h) * 4u & (RAM_SIZE - 1);
	static const uint8_t cmds[] = { 0xc8, 0xca, 0x25, 0x35, 0x06 };
	uint8_t then = take8(h), cmd = cmds[then % sizeof(cmds)];
	bool read = cmd == 0xc8 || cmd == 0x25;

	for (unsigned i = 0; i <= n; i++) {
		uint32_t len = how & 4 ? take16(h) & ~1u : 512;

		uint32_t at = (uint32_t)take_gpa(h) & ~1u;

		if (cmd == 0x06) { /* ranges to discard */
			put32(h, at, take8(h));
			put32(h, at + 4, (uint32_t)take8(h) << 16);
		}
		put32(h, table + i * 8, at);
		put32(h, table + i * 8 + 4, len | (i == n && !(how & 8) ? 0x80000000u : 0));
	}
	pio(h, bm, 1, true, 0);
	pio(h, bm + 4, 4, true, table);
	pio(h, bm + 2, 1, true, 6);
	pio(h, bm, 1, true, read ? 8 : 0);
	ata_command(h, chan ? 0x170 : 0x1f0, cmd);
	pio(h, bm, 1, true, read ? 9 : 1);
	if (how & 0x80 || then & 0x20)
		return;
	for (unsigned i = 0; i < 2; i++)
		disk_end(&h->disk[chan * 2 + i], 0, then & 0x40 ? BLK_EIO : BLK_OK);
	pio(h, 0x1f7 - chan * 0x80, 1, false, 0);
	pio(h, bm, 1, true, 0);
}

static void step_fwcfg(struct host *h)
{
	uint32_t at = (uint32_t)take_gpa(h);
	uint64_t to = take_gpa(h);
	uint16_t control = take16(h);

	put32(h, at, __builtin_bswap32((uint32_t)(control & 0x803f) << 16 | control >> 8));
	put32(h, at + 4, __builtin_bswap32(take16(h)));
	put32(h, at + 8, __builtin_bswap32((uint32_t)(to >> 32)));
	put32(h, at + 12, __builtin_bswap32((uint32_t)to));
	pio(h, 0x514, 4, true, 0);
	pio(h, 0x518, 4, true, __builtin_bswap32(at));
}

static void step_ram(struct host *h)
{
	uint64_t at = take_gpa(h);
	uint8_t n = take8(h);

	for (unsigned i = 0; i < n && at + i < RAM_SIZE; i++)
		h->ram[at + i] = n & 0x40 ? noise(h) : take8(h);
}

static void step_time(struct host *h)
{
	uint8_t v = take8(h);

	h->now += (1ull << v % 48) + (uint64_t)(v >> 6) * 1000;
	if (h->now > END_OF_TIME)
		h->now = END_OF_TIME;
	machine_advance(h->m, h->now);
}

static void step_chr(struct host *h)
{
	uint8_t v = take8(h);
	struct line *l = v & 1 ? &h->debugcon : &h->console;

	l->in += v >> 4;
	l->room = v & 2 ? v * 8u : SIZE_MAX;
	if (l->chr.ready)
		l->chr.ready(l->chr.owner);
}

static void step_line(struct host *h)
{
	uint8_t v = take8(h);
	struct dev_host *d = &h->m->host[v % h->m->n_dev];

	if (d->cls->line)
		d->cls->line(d->dev, take8(h) & 31, v & 0x80);
}

static void step_save(struct host *h)
{
	uint8_t v = take8(h);
	unsigned dev = (v & 15) % h->m->n_dev;
	struct dev_host *d = &h->m->host[dev];
	size_t len = 24 + d->cls->state_size;
	uint8_t *a, *b;

	/* Saves are taken with nothing in flight. */
	if (in_flight(h) || !d->cls->state_size)
		return;
	a = malloc(len);
	b = malloc(len);
	CHECK(dev_save(d->cls, d->dev, a, len) == len);
	CHECK(dev_save(d->cls, d->dev, b, len - 1) == 0);
	if (v & 0x80) { /* nonsense from outside */
		for (unsigned n = v >> 4 & 7; n; n--)
			a[24 + take16(h) % d->cls->state_size] = take8(h);
		dev_load(d->cls, d->dev, a, len);
	} else {
		memset((uint8_t *)d->dev + d->cls->state_off, noise(h), d->cls->state_size);
		CHECK(dev_load(d->cls, d->dev, a, len - 1) == -1);
		CHECK(dev_load(d->cls, d->dev, a, len) == 0);
		CHECK(dev_save(d->cls, d->dev, b, len) == len && memcmp(a, b, len) == 0);
	}
	sane(h, dev);
	free(a);
	free(b);
}

static void step_disk(struct host *h)
{
	uint8_t v = take8(h);

	disk_end(&h->disk[v & 3], v >> 4, v & 12 ? BLK_OK : v & 0x80 ? BLK_EUNSUPP : BLK_EIO);
}

static void step_all_disks(struct host *h)
{
	for (unsigned i = 0; i < N_DISKS; i++)
		for (unsigned n = h->disk[i].n; n; n--)
			disk_end(&h->disk[i], 0, BLK_OK);
}

static void step_port(struct host *h)
{
	uint16_t port = take16(h);
	uint8_t how = take8(h);

	pio(h, port, 1u << (how & 3) % 3, how & 4, how & 4 ? take32(h) : 0);
}

/* Keyboard controller: a command, a byte, the answer. */
static void step_i8042(struct host *h)
{
	uint8_t cmd = take8(h);

	pio(h, 0x64, 1, true, cmd & 1 ? 0xd4 : cmd);
	pio(h, 0x60, 1, true, take8(h));
	if (cmd & 2)
		pio(h, 0x60, 1, false, 0);
}

/* Fast paths. */

static uint64_t read_at(struct host *h, const struct machine_fast *m)
{
	uint64_t v = 0;

	machine_access(h->m, m->space, m->base, m->f->len > 8 ? 8 : m->f->len, false, &v);
	return v;
}

#define FIFO_OFFER (0x7fffffffull << 32) /* which of the offers it is */

/* What a read must not change. */
static uint64_t digest(const struct host *h)
{
	uint64_t sum = h->n_gsi + h->m->next_ns + h->console.in * 3 + h->console.room * 5;

	for (unsigned i = 0; i < h->m->n_dev; i++) {
		const struct dev_host *d = &h->m->host[i];

		if (d->cls->sync)
			d->cls->sync(d->dev);
		for (size_t k = 0; k + 8 <= d->cls->state_size; k += 8) {
			uint64_t w;

			memcpy(&w, (const uint8_t *)d->dev + d->cls->state_off + k, 8);
			sum = (sum ^ w) * 0x9e3779b97f4a7c15ull;
			sum ^= sum >> 29;
		}
		for (unsigned t = 0; t < MACHINE_MAX_TIMERS; t++)
			sum = (sum ^ d->deadline[t]) * 31;
	}
	for (unsigned i = 0; i < MACHINE_MAX_SHADOWS; i++)
		sum = (sum ^ (h->shadow[i] & ~FIFO_OFFER)) * 31;
	return sum;
}

/* The region that lists a fast entry. */
static const struct dev_region *region_of(const struct host *h, const struct machine_fast *m)
{
	for (unsigned i = 0; i < h->m->n_dev; i++) {
		const struct dev_class *c = h->m->host[i].cls;

		if (c->n_fast && m->f >= c->fast && m->f < c->fast + c->n_fast)
			return &c->regions[m->f->region];
	}
	return NULL;
}

/* Does another region lie over it? The host then asks the device. */
static bool covered(const struct host *h, const struct machine_fast *m)
{
	unsigned n = h->m->port_map[m->base & 0xffff];

	return m->space == DEV_PIO && (!n || h->m->region[n - 1].base > m->base ||
				       h->m->region[n - 1].reg != region_of(h, m));
}

/* What reads give now is what shadows gave then, those in stale aside. */
static void check_shadows(struct host *h, const uint64_t *then, uint32_t stale, bool whole)
{
	uint64_t before = whole ? digest(h) : 0;

	for (unsigned i = 0; i < h->n_fast; i++) {
		const struct machine_fast *m = &h->fast[i];

		if (m->f->kind == DEV_READTHROUGH)
			CHECK(read_at(h, m) == *(const uint64_t *)m->page);
		if (m->f->kind == DEV_SHADOW && then[m->id] & SIO_SHADOW_VALID &&
		    !(stale >> m->id & 1) && !covered(h, m)) {
			uint64_t v = read_at(h, m);

			if (v != (uint32_t)then[m->id])
				fprintf(stderr, "port %lx: the shadow says %x, a read %lx\n",
					(unsigned long)m->base, (uint32_t)then[m->id],
					(unsigned long)v);
			CHECK(v == (uint32_t)then[m->id]);
		}
	}
	CHECK(!whole || digest(h) == before);
	/* Reading a clock may bring up to date what follows from the time. */
	for (unsigned i = 0; i < h->n_fast; i++) {
		const struct machine_fast *m = &h->fast[i];

		if (m->f->kind == DEV_CLOCK && !covered(h, m))
			CHECK(read_at(h, m) == ((uint64_t)((unsigned __int128)h->m->now_ns *
							   m->f->value / 1000000000u) &
						((1ull << m->f->bits) - 1)));
	}
}

/* Which shadows fast.c takes for stale; or it knows what one reads now. */
static uint32_t stale_after(const struct host *h, const struct machine_fast *m,
			    const struct sio_posted *p, uint64_t *then)
{
	uint32_t stale = 0;
	bool known = false;
	uint64_t own;

	for (unsigned i = 0; i < h->n_fast; i++) {
		const struct machine_fast *o = &h->fast[i];

		if ((o->f->kind != DEV_SHADOW && o->f->kind != DEV_FIFO) || o->space != m->space ||
		    o->base >= p->addr + p->size || p->addr >= o->base + o->f->len)
			continue;
		if (o->f->kind == DEV_FIFO)
			stale |= 1u << o->id;
		else
			known |= posted_over(m->f, m->dirties, o->id,
					     o->base == p->addr && o->f->len == p->size, p->data,
					     then, &stale);
	}
	if (known)
		return stale;
	own = m->own == DEV_NO_SHADOW ? 0 : then[m->own];
	if (own & SIO_SHADOW_VALID && !((own ^ p->data) & m->f->care))
		return stale;
	return stale | m->dirties;
}

/* firmware/serve.c does it this way; one by one is what the guest did. */
static void deliver(struct host *h, const struct sio_posted *p, unsigned n, bool together)
{
	uint8_t run[8 * 8];

	for (unsigned i = 0, k; i < n; i = k) {
		enum dev_space space = p[i].space == SIO_SPACE_PIO ? DEV_PIO : DEV_MMIO;

		for (k = i + 1;
		     together && space == DEV_PIO && k < n && p[k].space == SIO_SPACE_PIO &&
		     p[k].addr == p[i].addr && p[k].size == p[i].size;
		     k++)
			;
		if (k == i + 1) {
			uint64_t v = p[i].data;

			machine_access(h->m, space, p[i].addr, p[i].size, true, &v);
			continue;
		}
		for (unsigned j = i; j < k; j++)
			memcpy(run + (j - i) * p[i].size, &p[j].data, p[i].size);
		machine_burst(h->m, p[i].addr, p[i].size, true, run, k - i);
	}
}

struct moment {
	struct host h;
	void *mem[MAX_ALLOC], *ram;
};

static struct moment *keep(const struct host *h)
{
	struct moment *t = malloc(sizeof(*t));

	t->h = *h;
	t->ram = malloc(RAM_SIZE);
	memcpy(t->ram, h->ram, RAM_SIZE);
	for (unsigned i = 0; i < h->n_mem; i++) {
		t->mem[i] = malloc(h->mem_size[i]);
		memcpy(t->mem[i], h->mem[i], h->mem_size[i]);
	}
	return t;
}

static void go_back(struct host *h, struct moment *t)
{
	*h = t->h;
	memcpy(h->ram, t->ram, RAM_SIZE);
	free(t->ram);
	for (unsigned i = 0; i < h->n_mem; i++) {
		memcpy(h->mem[i], t->mem[i], h->mem_size[i]);
		free(t->mem[i]);
	}
	free(t);
}

/* Both ways from the same state, the second for good. */
static void deliver_twice(struct host *h, const struct sio_posted *p, unsigned n)
{
	struct moment *was = keep(h);
	struct host *one = malloc(sizeof(*one));
	uint64_t sum;

	deliver(h, p, n, false);
	h->n_gsi = 0; /* edges may be fewer */
	sum = digest(h);
	*one = *h;
	go_back(h, was);
	deliver(h, p, n, true);
	h->n_gsi = 0;
	CHECK(digest(h) == sum && memcmp(h->gsi, one->gsi, sizeof(h->gsi)) == 0);
	for (unsigned i = 0; i < N_DISKS; i++)
		CHECK(h->disk[i].n == one->disk[i].n);
	free(one);
}

static const struct machine_fast *pick(struct host *h, enum dev_fast_kind kind)
{
	unsigned n = 0, which;

	for (unsigned i = 0; i < h->n_fast; i++)
		n += is_kind(h->fast[i].f->kind, kind);
	which = n ? take8(h) % n : 0;
	for (unsigned i = 0; i < h->n_fast; i++)
		if (is_kind(h->fast[i].f->kind, kind) && which-- == 0)
			return &h->fast[i];
	return NULL;
}

/* What a FIFO gives is what the device would give, and leaves it so. */
static void fifo(struct host *h)
{
	const struct machine_fast *m = pick(h, DEV_FIFO);
	uint64_t e = m ? h->shadow[m->id] : 0, sum;
	unsigned size = take8(h) & 1 ? 4 : 2;
	uint32_t count = take8(h) + 1u, bytes = count * size;
	struct moment *was;
	uint8_t buf[256 * 4];

	if (!(e & SIO_SHADOW_VALID) || bytes >= SIO_FIFO_END(e) - SIO_FIFO_AT(e) || covered(h, m))
		return;
	was = keep(h);
	machine_burst(h->m, m->base, size, false, buf, count);
	sum = digest(h);
	go_back(h, was);
	CHECK(memcmp((const uint8_t *)m->page + SIO_FIFO_AT(e), buf, bytes) == 0);
	h->shadow[m->id] += bytes;
	/* Sometimes what comes next finds it so. */
	if (count & 1)
		CHECK(digest(h) == sum);
}

/* Writes that are queued, perhaps a doorbell after them, and what is read meanwhile. */
static void step_posted(struct host *h)
{
	uint8_t how = take8(h);
	struct sio_posted q[8];
	uint64_t then[MACHINE_MAX_SHADOWS];
	const struct machine_fast *m = NULL;
	uint32_t stale = 0;
	unsigned n = 0;

	if (how & 0x10)
		fifo(h);
	memcpy(then, h->shadow, sizeof(then));
	for (unsigned i = how & 7; i; i--) {
		uint8_t where = take8(h);

		/* A run to one register, now and then. */
		if (!m || !(where & 0x80))
			m = pick(h, DEV_POSTED);
		if (!m)
			return;
		q[n] = (struct sio_posted){ .addr = m->base + (where & 15) % m->f->len,
					    .size = (uint8_t)(1u << (where >> 4 & 3) % 3),
					    .space = m->space == DEV_PIO ? SIO_SPACE_PIO :
									   SIO_SPACE_MMIO };
		q[n].data = q[n].size == 1 ? take8(h) : q[n].size == 2 ? take16(h) : take32(h);
		if (q[n].addr + q[n].size > m->base + m->f->len || q[n].data & m->f->not_if)
			continue;
		if (!posted_clear(m->f, m->f->if_clear ? then[m->own] : 0,
				  (uint32_t)(q[n].addr - m->base), q[n].data))
			continue;
		stale |= stale_after(h, m, &q[n], then);
		if (getenv("FUZZ_TRACE"))
			fprintf(stderr, "posted %lx at %lx, %u bytes; stale %x\n",
				(unsigned long)q[n].data, (unsigned long)q[n].addr, q[n].size,
				stale);
		n++;
	}
	if (how & 0x80)
		deliver_twice(h, q, n);
	else
		deliver(h, q, n, how & 0x40);
	m = how & 0x20 ? pick(h, DEV_DOORBELL) : NULL;
	if (m)
		machine_doorbell(h->m, m->id);
	check_shadows(h, then, stale, true);
}

/* Time goes on, and no timer is due. */
static void pass_time(struct host *h)
{
	uint64_t t = h->m->now_ns + (1ull << noise(h) % 32);

	if (t >= h->m->next_ns)
		t = h->m->next_ns - 1;
	if (t > h->m->now_ns)
		h->now = h->m->now_ns = t;
	if (h->behind.dev.event && noise(h) < 16)
		h->behind.dev.event(h->behind.dev.owner);
}

static void step_reset(struct host *h)
{
	/* Rare, lest nothing gets anywhere. */
	if (take8(h) < 32)
		machine_reset(h->m);
}

/* The board has interrupt controllers of its own: a processor that takes interrupts, late at times, and ends them. */
static void processor(struct host *h)
{
	int v = pc_vector(h->m);
	uint8_t how = noise(h);

	CHECK(v >= -1 && v <= 255);
	if (v >= 0 && how & 1)
		pc_taken(h->m, (uint8_t)v);
	else if (how < 8)
		pc_taken(h->m, noise(h));
	pc_eoi(h->m, noise(h));
}

static void (*const steps[])(struct host *) = {
	step_region, step_region,    step_region,   step_region, step_burst, step_config,
	step_ata,    step_ata,       step_ata_data, step_dma,    step_fwcfg, step_ram,
	step_time,   step_time,      step_chr,      step_line,   step_save,  step_disk,
	step_disk,   step_all_disks, step_port,     step_i8042,  step_reset, step_posted,
	step_posted, step_posted,
};

static uint32_t behind_read(struct virtio_dev *v, uint32_t reg)
{
	struct host *h = ((struct behind *)v)->h;

	CHECK(reg % 4 == 0 && reg < VIRTIO_MMIO_CONFIG + sizeof(struct virtio_net_config));
	return reg == VIRTIO_MMIO_DEVICE_ID ? VIRTIO_ID_NET : noise(h) * 0x1010101u;
}

static void behind_write(struct virtio_dev *v, uint32_t reg, uint32_t val)
{
	CHECK(reg % 4 == 0 && reg < VIRTIO_MMIO_CONFIG);
}

static int build(struct host *h)
{
	static const struct machine_ops ops_template = {
		.alloc = op_alloc,
		.ram = op_ram,
		.gpa = op_gpa,
		.gsi = op_gsi,
		.msi = op_msi,
		.map = op_map,
		.reset = op_reset,
		.poweroff = op_poweroff,
		.map_fast = op_map_fast,
		.wall_ns = 1700000000ull * 1000000000ull,
	};
	static struct machine_ops ops;
	static struct pc_io io;
	uint8_t how = take8(h), attr = take8(h);
	const char *why = NULL;
	int r;

	h->alloc_left = how == 0xff ? take8(h) : MAX_ALLOC;
	h->m = op_alloc(h, sizeof(*h->m), 64);
	h->cfg = op_alloc(h, sizeof(*h->cfg), 64);
	if (!h->m || !h->cfg)
		return -1;
	*h->cfg = (struct sio_config){ .n_vcpus = 1 + how % SIO_MAX_VCPUS,
				       .flags = how & 0x40 ? SIO_CFG_TESTDEV : 0,
				       .n_ram = 1,
				       .ram = { { 0, TOLD_RAM } } };
	io = (struct pc_io){ .cfg = h->cfg };
	for (unsigned i = 0; i < N_DISKS; i++) {
		struct disk *d = &h->disk[i];

		d->h = h;
		d->blk = (struct blk){ .submit = disk_submit,
				       .n_sectors = N_SECTORS,
				       .read_only = attr >> i & 1,
				       .flush = !(attr & 0x10),
				       .discard = attr & 0x20 };
		/* A disk that needs LBA48; requests end all the same. */
		if (attr & 0x40 && i == 2)
			d->blk.n_sectors = 1ull << 33;
		if (attr & 0x80 && i & 1)
			continue;
		io.disk[i] = (struct pc_disk){ &d->blk, "SIO00001", "selfio IDE disk", false };
	}
	h->behind = (struct behind){ { behind_read, behind_write, NULL, NULL }, h };
	io.net[0] = (struct pc_net){ .card = SIO_NET_VIRTIO, .virtio = &h->behind.dev };
	h->console.chr = h->debugcon.chr =
		(struct chr){ .write = line_write, .read = line_read, .room = line_room };
	h->console.h = h->debugcon.h = h;
	h->console.room = h->debugcon.room = SIZE_MAX;
	if (!(how & 8))
		io.console = &h->console.chr;
	if (!(how & 16))
		io.debugcon = &h->debugcon.chr;
	ops = ops_template;
	ops.shadow = h->shadow;
	ops.fast = FAST_KINDS | (how & 0x80 ? 1u << DEV_DOORBELL : 0);
	h->irqchip = io.irqchip = (how & 7) == 5;
	io.resample_ns = how & 0x10 ? 50000 : 0;
	r = pc_init(h->m, &ops, h, &io, &why);
	CHECK(r == 0 || (why && how == 0xff));
	return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct host *h = calloc(1, sizeof(*h));
	uint8_t setup = size ? data[0] : 0;
	unsigned n;

	h->at = data;
	h->end = data + size;
	h->ram = calloc(1, RAM_SIZE);
	h->noise = (uint32_t)size;
	if (build(h) == 0) {
		if (!(setup & 0x20))
			bios(h);
		all_sane(h);
		for (n = 0; n < MAX_STEPS && h->at < h->end; n++) {
			steps[take8(h) % (sizeof(steps) / sizeof(steps[0]))](h);
			h->now += 700;
			machine_advance(h->m, h->now);
			if (h->irqchip)
				processor(h);
			if (h->reset)
				machine_reset(h->m);
			h->reset = false;
			/* In turn: looking at all of them takes most of the time. */
			sane(h, n);
			if (n % 4 == 1)
				pass_time(h);
			check_shadows(h, h->shadow, 0, n % 4 < 2);
		}
		all_sane(h);
	}
	for (n = 0; n < h->n_mem; n++)
		free(h->mem[n]);
	free(h->ram);
	free(h);
	return 0;
}
