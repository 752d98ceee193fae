/* SPDX-License-Identifier: BSD-2-Clause */
#include "ide.h"

struct chan ide[2] = { { 0x1f0, 0x3f6, 0, 14 }, { 0x170, 0x376, 0, 15 } };

void ide_hook0(void)
{
	inb(ide[0].base + STATUS);
}

void ide_hook1(void)
{
	inb(ide[1].base + STATUS);
}

void bm_init(uint16_t port)
{
	pci_write(PIIX3_IDE, 0x20, port);
	pci_write(PIIX3_IDE, 4, 0x0005);
	ide[0].bm = port;
	ide[1].bm = port + 8;
}

void bm_prepare(const struct chan *c, const struct prd *table, bool to_mem)
{
	outl(c->bm + BM_TABLE, (uint32_t)table);
	outb(c->bm + BM_CMD, to_mem ? BM_TO_MEM : 0);
	outb(c->bm + BM_STATUS, BM_ERROR | BM_INTR);
}

void bm_start(const struct chan *c)
{
	outb(c->bm + BM_CMD, inb(c->bm + BM_CMD) | BM_START);
}

void bm_stop(const struct chan *c)
{
	outb(c->bm + BM_CMD, 0);
}

uint8_t ide_idle(const struct chan *c)
{
	if (!WAIT(!(alt_status(c) & BSY), LONG))
		fatal("busy for ever", c->base);
	return alt_status(c);
}

static void select(const struct chan *c, uint8_t device)
{
	ide_idle(c);
	outb(c->base + DEVICE, device);
	ide_idle(c);
}

void ide_cmd(const struct chan *c, unsigned dev, uint8_t cmd, uint32_t lba, uint8_t n)
{
	select(c, (uint8_t)(0xa0 | LBA | (dev ? SLAVE : 0) | (lba >> 24 & 15)));
	outb(c->base + COUNT, n);
	outb(c->base + LBAL, (uint8_t)lba);
	outb(c->base + LBAM, (uint8_t)(lba >> 8));
	outb(c->base + LBAH, (uint8_t)(lba >> 16));
	outb(c->base + COMMAND, cmd);
}

void ide_cmd48(const struct chan *c, unsigned dev, uint8_t cmd, uint64_t lba, uint16_t n)
{
	select(c, LBA | (dev ? SLAVE : 0));
	for (int high = 1; high >= 0; high--) {
		uint32_t part = (uint32_t)(high ? lba >> 24 : lba);

		outb(c->base + COUNT, (uint8_t)(n >> high * 8));
		outb(c->base + LBAL, (uint8_t)part);
		outb(c->base + LBAM, (uint8_t)(part >> 8));
		outb(c->base + LBAH, (uint8_t)(part >> 16));
	}
	outb(c->base + COMMAND, cmd);
}

uint8_t ide_do(const struct chan *c, unsigned dev, uint8_t cmd, uint32_t lba, uint8_t n)
{
	ide_cmd(c, dev, cmd, lba, n);
	ide_idle(c);
	return inb(c->base + STATUS);
}

void ide_reset(const struct chan *c)
{
	outb(c->ctl, SRST);
	delay_ms(1);
	outb(c->ctl, 0);
	delay_ms(2);
	ide_idle(c);
}

bool ide_read(const struct chan *c, unsigned dev, uint32_t lba, unsigned n, void *p)
{
	ide_cmd(c, dev, READ_SECTORS, lba, (uint8_t)n);
	for (unsigned i = 0; i < n; i++) {
		if ((ide_idle(c) & (DRQ | ERR)) != DRQ)
			return false;
		inb(c->base + STATUS);
		insw(c->base, (uint8_t *)p + i * SECTOR, SECTOR / 2);
	}
	return !(ide_idle(c) & (DRQ | ERR));
}

bool ide_write(const struct chan *c, unsigned dev, uint32_t lba, unsigned n, const void *p)
{
	ide_cmd(c, dev, WRITE_SECTORS, lba, (uint8_t)n);
	for (unsigned i = 0; i < n; i++) {
		if ((ide_idle(c) & (DRQ | ERR)) != DRQ)
			return false;
		outsw(c->base, (const uint8_t *)p + i * SECTOR, SECTOR / 2);
	}
	ide_idle(c);
	return !(inb(c->base + STATUS) & (DRQ | ERR));
}

/* As in run.py. */
static uint32_t first_word(unsigned disk, uint64_t lba)
{
	return (uint32_t)lba * 0x9e3779b1u + disk * 0x85ebca6bu;
}
#define STEP 0xc2b2ae35u

void pattern(unsigned disk, uint64_t lba, unsigned n, void *p)
{
	uint32_t *w = p;

	for (; n; n--) {
		uint32_t v = first_word(disk, lba++);

		for (unsigned i = 0; i < SECTOR / 4; i++, v += STEP)
			*w++ = v;
	}
}

unsigned unlike(unsigned disk, uint64_t lba, unsigned n, const void *p)
{
	const uint32_t *w = p;
	unsigned bad = 0;

	for (; n; n--) {
		uint32_t v = first_word(disk, lba++), differ = 0;

		for (unsigned i = 0; i < SECTOR / 4; i++, v += STEP)
			differ |= *w++ ^ v;
		bad += differ != 0;
	}
	return bad;
}
