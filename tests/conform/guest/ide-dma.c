/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ide-dma.c - bus master IDE: descriptor tables to their edges, start and stop, interrupt and status
 * in each state (SFF-8038i 1.0; Intel 82371SB data sheet 290550).
 */
#include "ide.h"

#define BM_PORT 0xc000u
#define NOWHERE 0xe0000000u /* no RAM, and no device that masters reach */

static const struct chan *const c0 = &ide[0];
static uint8_t *const buf = (uint8_t *)0x800000;
static struct prd *const table = (struct prd *)FREE_RAM;

static uint8_t bm(const struct chan *c)
{
	return inb(c->bm + BM_STATUS) & BM_STATE;
}

static void one(void *p, uint32_t bytes)
{
	table[0] = (struct prd){ (uint32_t)p, (bytes & 0xffff) | PRD_EOT };
}

/* Starts the engine and a command; waits for the line (which must be off at the PIC). */
static bool go(const struct chan *c, unsigned dev, uint8_t cmd, uint32_t lba, uint8_t n)
{
	bm_prepare(c, table, cmd == READ_DMA);
	ide_cmd(c, dev, cmd, lba, n);
	bm_start(c);
	return WAIT(irq_level(c->irq), LONG);
}

static void end(const struct chan *c)
{
	bm_stop(c);
	outb(c->bm + BM_STATUS, BM_ERROR | BM_INTR);
	inb(c->base + STATUS);
}

static void registers(void)
{
	for (unsigned i = 0; i < 2; i++) {
		uint16_t b = ide[i].bm;

		check("command at rest", inb(b), 0);
		check("status at rest", inb(b + BM_STATUS) & BM_STATE, 0);
		outl(b + BM_TABLE, 0x12345678);
		check("table", inl(b + BM_TABLE), 0x12345678);
		outl(b + BM_TABLE, 0xffffffff);
		check("table's bits 1:0", inl(b + BM_TABLE), 0xfffffffc);
		outw(b + BM_TABLE, 0x1234);
		check("table's low word", inl(b + BM_TABLE), 0xffff1234);
		outb(b + BM_TABLE + 3, 0x56);
		check("table's byte", inl(b + BM_TABLE), 0x56ff1234);
		outb(b + BM_STATUS, 0x60);
		check("capable bits", inb(b + BM_STATUS), 0x60);
		outb(b + BM_STATUS, 0x00);
		check("capable bits", inb(b + BM_STATUS), 0x00);
		outb(b, BM_TO_MEM);
		check("direction", inb(b), BM_TO_MEM);
		outb(b, 0);
		put("reserved bytes", inb(b + 1) | inb(b + 3) << 8);
	}
	outl(ide[1].bm + BM_TABLE, 0x11111110);
	outl(ide[0].bm + BM_TABLE, 0x22222220);
	check("channels apart", inl(ide[1].bm + BM_TABLE), 0x11111110);
}

static void exact(void)
{
	one(buf, 8 * SECTOR);
	memset(buf, 0, 9 * SECTOR);
	check("table of the command's size", go(c0, 0, READ_DMA, 20, 8), true);
	check("  bus master", bm(c0), BM_INTR);
	check("  drive", alt_status(c0), IDLE);
	check_line("  line after alternate status", 14, true);
	check("  bad sectors", unlike(0, 20, 8, buf), 0);
	check("  nothing after them", buf[8 * SECTOR] | buf[9 * SECTOR - 1], 0);
	/* The bit remembers an edge: it goes away for good while the line stays up. */
	outb(c0->bm + BM_STATUS, BM_INTR);
	check("  interrupt bit cleared", bm(c0), 0);
	check_line("  line stays", 14, true);
	inb(c0->base + STATUS);
	check_line("  status takes the line back", 14, false);
	bm_stop(c0);
	check("  stopped", bm(c0), 0);

	go(c0, 0, READ_DMA, 20, 1);
	inb(c0->base + STATUS);
	check("interrupt bit outlasts the line", bm(c0) & BM_INTR, BM_INTR);
	end(c0);
	check("  until it is cleared", bm(c0), 0);
}

static void sizes(void)
{
	one(buf, 16 * SECTOR);
	memset(buf, 0, 16 * SECTOR);
	check("table longer than the command", go(c0, 0, READ_DMA, 30, 4), true);
	check("  bus master", bm(c0), BM_ACTIVE | BM_INTR);
	check("  drive", alt_status(c0), IDLE);
	bm_stop(c0);
	check("  stopped", bm(c0), BM_INTR);
	check("  bad sectors", unlike(0, 30, 4, buf), 0);
	check("  nothing after them", buf[4 * SECTOR] | buf[5 * SECTOR - 1], 0);
	end(c0);

	one(buf, 2 * SECTOR);
	memset(buf, 0, 16 * SECTOR);
	bm_prepare(c0, table, true);
	ide_cmd(c0, 0, READ_DMA, 40, 4);
	bm_start(c0);
	check("table shorter than the command", WAIT(!(bm(c0) & BM_ACTIVE), LONG), true);
	delay_ms(5);
	check("  bus master", bm(c0), 0);
	check_line("  no interrupt", 14, false);
	put("  drive", alt_status(c0));
	check("  bad sectors", unlike(0, 40, 2, buf), 0);
	check("  nothing after them", buf[2 * SECTOR] | buf[3 * SECTOR - 1], 0);
	bm_stop(c0);
	ide_reset(c0);
	end(c0);

	one(buf, 0x10000);
	memset(buf, 0, 0x10000);
	check("count 0 is 64 KiB", go(c0, 0, READ_DMA, 100, 128), true);
	check("  bus master", bm(c0), BM_INTR);
	check("  bad sectors", unlike(0, 100, 128, buf), 0);
	end(c0);

	/* 256 sectors in two of 64 KiB. */
	table[0] = (struct prd){ (uint32_t)buf, 0 };
	table[1] = (struct prd){ (uint32_t)buf + 0x10000, PRD_EOT };
	check("256 sectors", go(c0, 0, READ_DMA, 200, 0), true);
	check("  bus master", bm(c0), BM_INTR);
	check("  bad sectors", unlike(0, 200, 256, buf), 0);
	end(c0);
}

static void pieces(void)
{
	static const uint16_t len[] = { 2, 510, 1022, 4, 1534, 6, 1018, 1024 }; /* 10 sectors */
	uint8_t *p = buf + 2, *q = (uint8_t *)0xa00000;
	unsigned i;

	memset(buf, 0, 0x10000);
	for (i = 0; i < 2 * SECTOR / 2; i++)
		table[i] = (struct prd){ (uint32_t)buf + i * 4, 2 };
	table[i - 1].len |= PRD_EOT;
	check("2 sectors in pieces of 2 bytes", go(c0, 0, READ_DMA, 50, 2), true);
	check("  bus master", bm(c0), BM_INTR);
	for (i = 0; i < SECTOR; i++)
		((uint16_t *)q)[i] = ((uint16_t *)buf)[i * 2];
	check("  bad sectors", unlike(0, 50, 2, q), 0);
	for (i = 0; i < SECTOR && !((uint16_t *)buf)[i * 2 + 1]; i++)
		;
	check("  nothing between them", i, SECTOR);
	end(c0);

	memset(buf, 0, 0x10000);
	for (i = 0; i < LEN(len); i++, p += 600)
		table[i] = (struct prd){ (uint32_t)p, len[i] }, p += len[i];
	table[i - 1].len |= PRD_EOT;
	check("10 sectors in odd pieces", go(c0, 0, READ_DMA, 60, 10), true);
	check("  bus master", bm(c0), 0x4u);
	for (i = 0, p = q; i < LEN(len); p += len[i++])
		memcpy(p, (void *)table[i].addr, len[i]);
	put("  bytes", (uint32_t)(p - q));
	check("  bad sectors", unlike(0, 60, 10, q), 0);
	end(c0);

	/* The same pieces give data to a write. */
	pattern(OTHER, 800, 10, q);
	for (i = 0, p = q; i < LEN(len); p += len[i++])
		memcpy((void *)table[i].addr, p, len[i]);
	check("10 sectors written", go(c0, 0, WRITE_DMA, 800, 10), true);
	check("  bus master", bm(c0), BM_INTR);
	end(c0);
	memset(q, 0, 12 * SECTOR);
	ide_read(c0, 0, 799, 12, q);
	check("  bad sectors", unlike(OTHER, 800, 10, q + SECTOR), 0);
	check("  the sector before", unlike(0, 799, 1, q), 0);
	check("  the sector after", unlike(0, 810, 1, q + 11 * SECTOR), 0);

	/* Undefined, so only to be the same everywhere: a region over a 64 KiB boundary, odd numbers. */
	memset(buf + 0xf000, 0, 0x2000);
	one(buf + 0xff00, 2 * SECTOR);
	put("over a boundary: ends", go(c0, 0, READ_DMA, 70, 2));
	put("  bus master", bm(c0));
	put("  crc", crc32(buf + 0xf000, 0x2000));
	end(c0);
	memset(buf, 0, 0x1000);
	one(buf + 1, SECTOR + 1);
	put("odd numbers: ends", go(c0, 0, READ_DMA, 70, 1));
	put("  bus master", bm(c0));
	put("  crc", crc32(buf, 0x1000));
	end(c0);
	/* A table's last word in RAM's last bytes. */
	*(struct prd *)(RAM_END - 8) = (struct prd){ (uint32_t)buf, SECTOR | PRD_EOT };
	bm_prepare(c0, (struct prd *)(RAM_END - 8), true);
	ide_cmd(c0, 0, READ_DMA, 71, 1);
	bm_start(c0);
	check("table at the end of RAM", WAIT(irq_level(14), LONG), true);
	check("  bad sectors", unlike(0, 71, 1, buf), 0);
	end(c0);
	one((uint8_t *)RAM_END - SECTOR, SECTOR);
	check("data at the end of RAM", go(c0, 0, READ_DMA, 72, 1), true);
	check("  bad sectors", unlike(0, 72, 1, (void *)(RAM_END - SECTOR)), 0);
	end(c0);
}

static void no_ram(void)
{
	for (unsigned i = 0; i < 2; i++) {
		ide_reset(c0);
		pci_write(PIIX3_IDE, 4, 0xf9000005);
		if (i == 0)
			one((void *)NOWHERE, SECTOR);
		bm_prepare(c0, i == 0 ? table : (struct prd *)NOWHERE, true);
		ide_cmd(c0, 0, READ_DMA, 80, 1);
		bm_start(c0);
		put("no RAM: for data, for the table", i);
		check("  stops", WAIT(!(bm(c0) & BM_ACTIVE), LONG), true);
		delay_ms(2);
		check("  error bit", bm(c0) & BM_ERROR, BM_ERROR);
		put("  bus master", bm(c0));
		put("  drive", alt_status(c0));
		put("  PCI status", pci_read(PIIX3_IDE, 4) >> 16);
		bm_stop(c0);
		check("  error bit stays", bm(c0) & BM_ERROR, BM_ERROR);
		outb(c0->bm + BM_STATUS, BM_ERROR);
		check("  until it is cleared", bm(c0) & BM_ERROR, 0);
	}
	ide_reset(c0);
	end(c0);
	one(buf, SECTOR);
	check("works again", go(c0, 0, READ_DMA, 80, 1), true);
	check("  bad sectors", unlike(0, 80, 1, buf), 0);
	end(c0);
}

static void order(void)
{
	/* The engine first, then the command. */
	one(buf, 2 * SECTOR);
	memset(buf, 0, 2 * SECTOR);
	bm_prepare(c0, table, true);
	bm_start(c0);
	check("started: active", bm(c0), BM_ACTIVE);
	check("  command register", inb(c0->bm), BM_START | BM_TO_MEM);
	ide_cmd(c0, 0, READ_DMA, 90, 2);
	check("  data comes", WAIT(irq_level(14), LONG), true);
	check("  bus master", bm(c0), BM_INTR);
	check("  bad sectors", unlike(0, 90, 2, buf), 0);
	end(c0);

	/* A command without the engine waits. */
	memset(buf, 0, 2 * SECTOR);
	ide_cmd(c0, 0, READ_DMA, 91, 2);
	delay_ms(5);
	check_line("not started: no interrupt", 14, false);
	check("  not active", bm(c0), 0);
	bm_prepare(c0, table, true);
	bm_start(c0);
	check("  then started", WAIT(irq_level(14), LONG), true);
	check("  bad sectors", unlike(0, 91, 2, buf), 0);
	end(c0);

	/* Started and stopped before there is a command. */
	bm_prepare(c0, table, true);
	bm_start(c0);
	bm_stop(c0);
	check("stopped: not active", bm(c0), 0);
	ide_cmd(c0, 0, READ_DMA, 92, 2);
	delay_ms(5);
	check_line("  no interrupt", 14, false);
	bm_prepare(c0, table, true);
	bm_start(c0);
	check("  then started", WAIT(irq_level(14), LONG), true);
	check("  bad sectors", unlike(0, 92, 2, buf), 0);
	end(c0);

	/* Without leave to master the bus. */
	memset(buf, 0, 2 * SECTOR);
	pci_write(PIIX3_IDE, 4, 0x0001);
	bm_prepare(c0, table, true);
	ide_cmd(c0, 0, READ_DMA, 93, 2);
	bm_start(c0);
	delay_ms(5);
	check_line("no bus master bit: no interrupt", 14, false);
	check("  no data", crc32(buf, 2 * SECTOR),
	      crc32(memset(buf + 4096, 0, 2 * SECTOR), 2 * SECTOR));
	pci_write(PIIX3_IDE, 4, 0x0005);
	ide_reset(c0);
	end(c0);
}

static void errors(void)
{
	one(buf, 2 * SECTOR);
	check("LBA beyond the end: interrupt", go(c0, 0, READ_DMA, DISK0, 2), true);
	check("  drive", alt_status(c0), IDLE | ERR);
	check("  error", inb(c0->base + ERROR) & IDNF, IDNF);
	check("  bus master", bm(c0), BM_ACTIVE | BM_INTR);
	end(c0);
	check("  stopped", bm(c0), 0);

	outb(c0->ctl, NIEN);
	bm_prepare(c0, table, true);
	ide_cmd(c0, 0, READ_DMA, 94, 2);
	bm_start(c0);
	check("with nIEN: ends",
	      WAIT(!(bm(c0) & BM_ACTIVE) && !(alt_status(c0) & (BSY | DRQ)), LONG), true);
	check_line("  no line", 14, false);
	put("  bus master", bm(c0));
	check("  bad sectors", unlike(0, 94, 2, buf), 0);
	inb(c0->base + STATUS);
	outb(c0->ctl, 0);
	end(c0);
}

static void channels(void)
{
	struct prd *t2 = table + 1024;
	uint8_t *b2 = buf + 0x100000;

	one(buf, 100 * SECTOR);
	t2[0] = (struct prd){ (uint32_t)b2, (200 * SECTOR & 0xffff) };
	t2[0] = (struct prd){ (uint32_t)b2, 0 };
	t2[1] = (struct prd){ (uint32_t)b2 + 0x10000, (200 * SECTOR - 0x10000) | PRD_EOT };
	ide_cmd(&ide[0], 1, READ_DMA, 300, 100);
	bm_prepare(&ide[1], t2, true);
	ide_cmd(&ide[1], 0, READ_DMA, 400, 200);
	bm_start(&ide[1]);
	bm_prepare(&ide[0], table, true);
	bm_start(&ide[0]);
	check("both channels: primary", WAIT(irq_level(14), LONG), true);
	check("  secondary", WAIT(irq_level(15), LONG), true);
	check("  bus master", bm(&ide[0]) | bm(&ide[1]) << 8, BM_INTR | BM_INTR << 8);
	check("  bad sectors of the primary slave", unlike(1, 300, 100, buf), 0);
	check("  bad sectors of the secondary master", unlike(2, 400, 200, b2), 0);
	inb(ide[0].base + STATUS);
	check("  lines are apart", irq_level(14) | irq_level(15) << 1, 2);
	end(&ide[0]);
	check("  interrupt bits are apart", bm(&ide[0]) | bm(&ide[1]) << 8, BM_INTR << 8);
	end(&ide[1]);

	ide_cmd48(c0, 1, READ_DMA_EXT, DISK1 - 50, 50);
	one(buf, 50 * SECTOR);
	bm_prepare(c0, table, true);
	bm_start(c0);
	check("READ DMA EXT", WAIT(irq_level(14), LONG), true);
	check("  bad sectors", unlike(1, DISK1 - 50, 50, buf), 0);
	end(c0);
	pattern(OTHER, DISK1 - 20, 3, buf);
	one(buf, 3 * SECTOR);
	bm_prepare(c0, table, false);
	ide_cmd48(c0, 1, WRITE_DMA_EXT, DISK1 - 20, 3);
	bm_start(c0);
	check("WRITE DMA EXT", WAIT(irq_level(14), LONG), true);
	end(c0);
	memset(buf, 0, 5 * SECTOR);
	one(buf, 5 * SECTOR);
	bm_prepare(c0, table, true);
	ide_cmd48(c0, 1, READ_DMA_EXT, DISK1 - 21, 5);
	bm_start(c0);
	WAIT(irq_level(14), LONG);
	check("  bad sectors", unlike(OTHER, DISK1 - 20, 3, buf + SECTOR), 0);
	check("  the sector after", unlike(1, DISK1 - 17, 1, buf + 4 * SECTOR), 0);
	end(c0);
}

/* Amid a transfer: what has been moved is up to chance, that all comes to rest and works again is not. */
static void stop_amid(void)
{
	struct tally rest = { 0 }, again = { 0 };

	for (unsigned i = 0; i < 8; i++) {
		table[0] = (struct prd){ (uint32_t)buf, 0 };
		table[1] = (struct prd){ (uint32_t)buf + 0x10000, PRD_EOT };
		bm_prepare(c0, table, true);
		ide_cmd(c0, 1, READ_DMA, 0, 0);
		bm_start(c0);
		if (i & 1)
			bm_stop(c0);
		ide_reset(c0);
		bm_stop(c0);
		tally(&rest, WAIT(!(bm(c0) & BM_ACTIVE), LONG), true);
		tally(&rest, alt_status(c0), IDLE);
		end(c0);
		tally(&rest, bm(c0), 0);
		memset(buf, 0, 2 * SECTOR);
		one(buf, 2 * SECTOR);
		tally(&again, go(c0, 1, READ_DMA, i, 2), true);
		tally(&again, bm(c0), BM_INTR);
		tally(&again, unlike(1, i, 2, buf), 0);
		end(c0);
	}
	check_all("stopped amid a transfer", &rest);
	check_all("  works again", &again);
}

static volatile unsigned seen;
static struct tally in_hook;

/* As drivers do: is it ours, then status, then acknowledge. */
static void hook(void)
{
	if (!(bm(c0) & BM_INTR))
		return;
	tally(&in_hook, bm(c0), BM_INTR);
	tally(&in_hook, alt_status(c0), IDLE);
	bm_stop(c0);
	inb(c0->base + STATUS);
	outb(c0->bm + BM_STATUS, BM_INTR);
	tally(&in_hook, bm(c0), 0);
	seen++;
}

/* Every fourth is a write, of what is there. */
static void many(void)
{
	struct tally data = { 0 }, ends = { 0 };

	irq_on(14, hook);
	for (unsigned i = 0; i < 40; i++) {
		unsigned lba = i * 17, n = 1 + i % 7;
		bool read = i % 4 != 3;

		one(buf, n * SECTOR);
		if (read)
			memset(buf, 0, n * SECTOR);
		else
			pattern(i & 1, lba, n, buf);
		bm_prepare(c0, table, read);
		ide_cmd(c0, i & 1, read ? READ_DMA : WRITE_DMA, lba, (uint8_t)n);
		bm_start(c0);
		tally(&ends, WAIT(seen == i + 1, LONG), true);
		tally(&data, unlike(i & 1, lba, n, buf), 0);
	}
	check_all("transfers with interrupts: they come", &ends);
	check_all("  state in the handler", &in_hook);
	check_all("  data", &data);
	check_irqs("  interrupts", 14, 40);
	irq_off(14);
}

void run(void)
{
	bm_init(BM_PORT);
	registers();
	exact();
	sizes();
	pieces();
	order();
	errors();
	channels();
	stop_amid();
	many();
	no_ram();
}
