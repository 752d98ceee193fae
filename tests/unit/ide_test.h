/* SPDX-License-Identifier: BSD-2-Clause */
/* ide_test.h - a PIIX3 IDE function with its disks, and a guest's moves, for the tests of models/ide. */
#ifndef IDE_TEST_H
#define IDE_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "fake_host.h"
#include "models/ide/ide.h"

#define DEVFN  9u
#define BM     0xc000u
#define P0     0x1f0u
#define P1     0x170u
#define CTL(p) ((p) + 0x206u)

#define BSY  0x80
#define DRDY 0x50 /* with DSC */
#define DRQ  0x08
#define ERR  0x01

#define PRDT 0x8000u
#define BUF  0x100000u

#define DISK_SECTORS 20000u

struct t {
	struct fake f;
	struct fake_disk d[4];
	struct piix3_ide_cfg cfg;
	void *dev;
	uint64_t cap;
};

static inline uint8_t pattern(unsigned disk, uint64_t sector, unsigned i)
{
	return (uint8_t)(sector * 7 + (sector >> 8) * 13 + i * 3 + (i >> 8) + disk * 91);
}

/* Most tests start with the same disks: made once. */
static inline void fill_disk(uint8_t *data, unsigned disk, uint64_t cap)
{
	static uint8_t *made[4];
	uint8_t *p = cap == DISK_SECTORS && made[disk] ? made[disk] : malloc(cap * 512);

	assert_non_null(p);
	if (p != made[disk])
		for (uint64_t s = 0; s < cap; s++)
			for (unsigned b = 0; b < 512; b++)
				p[s * 512 + b] = pattern(disk, s, b);
	memcpy(data, p, cap * 512);
	if (cap == DISK_SECTORS)
		made[disk] = p;
	else
		free(p);
}

/* disks: bit n for disk n. */
static inline struct t *start_cap(unsigned disks, uint64_t cap)
{
	struct t *t = calloc(1, sizeof(*t));

	assert_non_null(t);
	t->cap = cap;
	fake_init(&t->f);
	for (unsigned i = 0; i < 4; i++) {
		if (!(disks >> i & 1))
			continue;
		fake_disk_init(&t->d[i], &t->f, cap);
		fill_disk(t->d[i].data, i, cap);
		t->cfg.disk[i] = &t->d[i].blk;
		memcpy(t->cfg.serial[i], "SERIAL00", 9);
		t->cfg.serial[i][7] = (char)('0' + i);
		memcpy(t->cfg.model[i], "Test disk", 10);
	}
	t->dev = fake_add(&t->f, &piix3_ide_class, &t->cfg, DEVFN);
	fake_cfg_write(&t->f, DEVFN, 0x20, 4, BM);
	fake_cfg_write(&t->f, DEVFN, 4, 2, 5);
	return t;
}

static inline struct t *start(unsigned disks)
{
	return start_cap(disks, DISK_SECTORS);
}

static inline void stop(struct t *t)
{
	fake_free(&t->f);
	for (unsigned i = 0; i < 4; i++)
		if (t->d[i].data)
			fake_disk_free(&t->d[i]);
	free(t);
}

static inline unsigned run(struct t *t)
{
	unsigned n = 0;

	for (unsigned i = 0; i < 4; i++)
		n += fake_disk_run(&t->d[i]);
	return n;
}

static inline bool line(struct t *t, unsigned n)
{
	return t->f.host[0].line[n];
}

static inline unsigned rises(struct t *t, unsigned n)
{
	return t->f.host[0].rises[n];
}

static inline uint8_t alt(struct t *t, unsigned p)
{
	return fake_inb(&t->f, CTL(p));
}

static inline uint8_t status(struct t *t, unsigned p)
{
	return fake_inb(&t->f, p + 7);
}

static inline void regs(struct t *t, unsigned p, uint8_t feature, uint8_t count, uint32_t lba,
			uint8_t device)
{
	fake_outb(&t->f, p + 6, (uint8_t)(device | (lba >> 24)));
	fake_outb(&t->f, p + 1, feature);
	fake_outb(&t->f, p + 2, count);
	fake_outb(&t->f, p + 3, (uint8_t)lba);
	fake_outb(&t->f, p + 4, (uint8_t)(lba >> 8));
	fake_outb(&t->f, p + 5, (uint8_t)(lba >> 16));
}

/* device: 0xe0 or 0xf0 for LBA. */
static inline void cmd(struct t *t, unsigned p, uint8_t c, uint8_t count, uint32_t lba,
		       uint8_t device)
{
	regs(t, p, 0, count, lba, device);
	fake_outb(&t->f, p + 7, c);
}

static inline void cmd48(struct t *t, unsigned p, uint8_t c, uint32_t count, uint64_t lba,
			 uint8_t device)
{
	regs(t, p, 0, (uint8_t)(count >> 8), (uint32_t)(lba >> 24) & 0xffffff, 0);
	regs(t, p, 0, (uint8_t)count, (uint32_t)lba & 0xffffff, device);
	fake_outb(&t->f, p + 7, c);
}

static inline void feature(struct t *t, unsigned p, uint8_t sub, uint8_t count, uint8_t device)
{
	regs(t, p, sub, count, 0, device);
	fake_outb(&t->f, p + 7, 0xef);
	run(t);
}

/* The command ended well, with an interrupt. */
static inline void good(struct t *t, unsigned p)
{
	assert_true(line(t, p == P1));
	assert_int_equal(status(t, p), DRDY);
	assert_false(line(t, p == P1));
}

static inline void bad(struct t *t, unsigned p, uint8_t error)
{
	assert_true(line(t, p == P1));
	assert_int_equal(status(t, p), DRDY | ERR);
	assert_false(line(t, p == P1));
	assert_int_equal(fake_inb(&t->f, p + 1), error);
}

static inline uint64_t lba48_of(struct t *t, unsigned p)
{
	uint64_t v = fake_inb(&t->f, p + 3) | fake_inb(&t->f, p + 4) << 8 |
		     fake_inb(&t->f, p + 5) << 16;

	fake_outb(&t->f, CTL(p), 0x80);
	v |= (uint64_t)(fake_inb(&t->f, p + 3) | fake_inb(&t->f, p + 4) << 8 |
			fake_inb(&t->f, p + 5) << 16)
	     << 24;
	fake_outb(&t->f, CTL(p), 0);
	return v;
}

static inline uint32_t lba28_of(struct t *t, unsigned p)
{
	return (uint32_t)(fake_inb(&t->f, p + 3) | fake_inb(&t->f, p + 4) << 8 |
			  fake_inb(&t->f, p + 5) << 16 | (fake_inb(&t->f, p + 6) & 15) << 24);
}

static inline void check_sectors(const uint8_t *buf, unsigned disk, uint64_t sector, unsigned n)
{
	for (unsigned s = 0; s < n; s++)
		for (unsigned i = 0; i < 512; i++)
			if (buf[s * 512 + i] != pattern(disk, sector + s, i))
				fail_msg("sector %u byte %u", (unsigned)sector + s, i);
}

/* Reads a command's data, DRQ block for block, with a save and a load in the middle of each. */
static inline void pio_in(struct t *t, unsigned p, uint8_t *buf, unsigned n, unsigned block)
{
	for (unsigned s = 0; s < n; s += block) {
		unsigned bytes = (n - s < block ? n - s : block) * 512;

		if (alt(t, p) & BSY)
			run(t);
		assert_true(line(t, p == P1));
		assert_int_equal(alt(t, p), DRDY | DRQ);
		assert_int_equal(status(t, p), DRDY | DRQ);
		assert_false(line(t, p == P1));
		fake_burst(&t->f, p, 2, false, buf + s * 512, 100);
		fake_save_load(&t->f);
		fake_burst(&t->f, p, 4, false, buf + s * 512 + 200, (bytes - 200) / 4);
	}
	assert_int_equal(status(t, p), DRDY);
	assert_false(line(t, p == P1));
}

static inline void pio_out(struct t *t, unsigned p, const uint8_t *buf, unsigned n, unsigned block)
{
	for (unsigned s = 0; s < n; s += block) {
		unsigned bytes = (n - s < block ? n - s : block) * 512;

		if (alt(t, p) & BSY)
			run(t);
		assert_int_equal(line(t, p == P1), s > 0);
		assert_int_equal(status(t, p), DRDY | DRQ);
		fake_burst(&t->f, p, 2, true, (void *)(uintptr_t)(buf + s * 512), 100);
		fake_save_load(&t->f);
		fake_burst(&t->f, p, 4, true, (void *)(uintptr_t)(buf + s * 512 + 200),
			   (bytes - 200) / 4);
	}
	run(t);
	good(t, p);
}

static inline void prd(struct t *t, unsigned i, uint32_t addr, uint32_t len, bool last)
{
	uint32_t d[2] = { addr, len | (last ? 0x80000000u : 0) };

	memcpy(t->f.ram + PRDT + i * 8, d, 8);
}

static inline void bm_setup(struct t *t, unsigned ch, bool to_mem)
{
	fake_outb(&t->f, BM + ch * 8, to_mem ? 8 : 0);
	fake_outb(&t->f, BM + ch * 8 + 2, 6);
	fake_outl(&t->f, BM + ch * 8 + 4, PRDT);
}

static inline void bm_go(struct t *t, unsigned ch, bool on)
{
	fake_outb(&t->f, BM + ch * 8, (uint8_t)((fake_inb(&t->f, BM + ch * 8) & 8) | on));
}

static inline uint8_t bm_status(struct t *t, unsigned ch)
{
	return fake_inb(&t->f, BM + ch * 8 + 2);
}

static inline void identify(struct t *t, unsigned p, uint8_t device, uint16_t *id)
{
	uint8_t sum = 0;

	cmd(t, p, 0xec, 0, 0, device);
	pio_in(t, p, (uint8_t *)id, 1, 1);
	for (unsigned i = 0; i < 512; i++)
		sum = (uint8_t)(sum + ((uint8_t *)id)[i]);
	assert_int_equal(sum, 0);
}

static inline void srst(struct t *t, unsigned p)
{
	fake_outb(&t->f, CTL(p), 4);
	assert_int_equal(alt(t, p) & BSY, BSY);
	fake_save_load(&t->f);
	fake_outb(&t->f, p + 2, 0x55); /* ignored */
	fake_outb(&t->f, CTL(p), 0);
}

static inline void signature(struct t *t, unsigned p)
{
	assert_int_equal(status(t, p), DRDY);
	assert_int_equal(fake_inb(&t->f, p + 1), 1);
	assert_int_equal(fake_inb(&t->f, p + 2), 1);
	assert_int_equal(fake_inb(&t->f, p + 3), 1);
	assert_int_equal(fake_inb(&t->f, p + 4), 0);
	assert_int_equal(fake_inb(&t->f, p + 5), 0);
	assert_int_equal(fake_inb(&t->f, p + 6), 0xa0);
	assert_false(line(t, p == P1));
}

#endif
