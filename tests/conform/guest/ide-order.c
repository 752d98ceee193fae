/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ide-order.c - what is read after a write, through whatever register and on whatever processor, is read
 * after it: writes that are queued on the way must have arrived.
 */
#include "ide.h"

#define BM_PORT 0xc100u
#define TF_REGS 4u /* COUNT to LBAH hold what is written */
#define ROUNDS  40u

static const struct chan *const c0 = &ide[0];
static uint8_t *const buf = (uint8_t *)FREE_RAM;
static struct prd *const table = (struct prd *)(FREE_RAM + 0x10000);

/* Some writes in any order, then all is read, in any order. */
static void registers(unsigned ch, uint32_t seed)
{
	const struct chan *c = &ide[ch];
	struct tally now = { 0 }, before = { 0 };
	uint8_t v[TF_REGS][2] = { 0 };

	for (unsigned i = 0; i < TF_REGS; i++)
		for (unsigned k = 0; k < 2; k++)
			outb(c->base + COUNT + i, 0);
	for (unsigned i = 0; i < ROUNDS; i++) {
		for (unsigned n = 1 + rnd(&seed) % 10; n; n--) {
			unsigned r = rnd(&seed) % TF_REGS;

			v[r][1] = v[r][0];
			v[r][0] = (uint8_t)rnd(&seed);
			outb(c->base + COUNT + r, v[r][0]);
		}
		for (unsigned k = 0, r = rnd(&seed); k < TF_REGS; k++, r++)
			tally(&now, inb(c->base + COUNT + r % TF_REGS), v[r % TF_REGS][0]);
		if (i % 8)
			continue;
		/* A write to another register block between a write and the read that it changes. */
		outb(c->ctl, HOB);
		for (unsigned k = 0; k < TF_REGS; k++)
			tally(&before, inb(c->base + COUNT + k), v[k][1]);
		outb(c->ctl, 0);
		for (unsigned k = 0; k < TF_REGS; k++)
			tally(&now, inb(c->base + COUNT + k), v[k][0]);
	}
	put("channel", ch);
	check_all("  registers", &now);
	check_all("  with HOB", &before);
}

/* The status right after a command is the command's. */
static void commands(void)
{
	static const struct {
		uint8_t cmd, status;
	} cmds[] = { { 0x10, IDLE },           { BAD_COMMAND, IDLE | ERR },
		     { CHECK_POWER, IDLE },    { BAD_COMMAND, IDLE | ERR },
		     { IDENTIFY, IDLE | DRQ }, { 0x10, IDLE } };
	struct tally fresh = { 0 }, line = { 0 };

	irq_off(14);
	for (unsigned i = 0; i < 48; i++) {
		unsigned k = i % LEN(cmds);
		uint8_t st;

		outb(c0->base + COUNT, (uint8_t)i);
		outb(c0->base + COMMAND, cmds[k].cmd);
		st = i & 1 ? alt_status(c0) : inb(c0->base + STATUS);
		if (st & BSY)
			st = ide_idle(c0);
		tally(&fresh, st, cmds[k].status);
		inb(c0->base + STATUS);
		tally(&line, irq_level(14), false);
		if (st & DRQ)
			insw(c0->base, buf, SECTOR / 2);
	}
	check_all("status after a command", &fresh);
	check_all("  line after it", &line);
}

static void selection(void)
{
	const struct chan *c = &ide[1];
	struct tally absent = { 0 }, there = { 0 }, reset = { 0 };

	for (unsigned i = 0; i < 32; i++) {
		outb(c->base + DEVICE, 0xa0 | SLAVE);
		tally(&absent, i & 1 ? alt_status(c) : inb(c->base + STATUS), 0);
		outb(c->base + DEVICE, 0xa0);
		tally(&there, i & 2 ? alt_status(c) : inb(c->base + STATUS), IDLE);
	}
	for (unsigned i = 0; i < 8; i++) {
		outb(c->ctl, SRST);
		tally(&reset, inb(c->base + STATUS), BSY);
		outb(c->ctl, 0);
		ide_idle(c);
		outb(c->base + COUNT, 9);
		outb(c->base + LBAL, 9);
		outb(c->ctl, SRST);
		outb(c->ctl, 0);
		ide_idle(c);
		tally(&reset, inb(c->base + COUNT) | inb(c->base + LBAL) << 8, 0x101);
	}
	check_all("status of an absent device", &absent);
	check_all("  and of the other", &there);
	check_all("software reset", &reset);
}

static void bus_master(void)
{
	struct tally regs = { 0 }, data = { 0 };
	uint32_t seed = 99;

	for (unsigned i = 0; i < 2; i++)
		outb(ide[i].bm + BM_STATUS, BM_ERROR | BM_INTR);
	for (unsigned i = 0; i < 32; i++) {
		uint32_t t0 = rnd(&seed) & ~3u, t1 = rnd(&seed) & ~3u;
		uint8_t n = (uint8_t)rnd(&seed);

		outl(ide[0].bm + BM_TABLE, t0);
		outb(ide[0].base + COUNT, n);
		outl(ide[1].bm + BM_TABLE, t1);
		outb(ide[1].base + COUNT, (uint8_t)~n);
		outb(ide[0].bm, i & 1 ? BM_TO_MEM : 0);
		tally(&regs, inl(ide[0].bm + BM_TABLE), t0);
		tally(&regs, inb(ide[1].base + COUNT), (uint8_t)~n);
		tally(&regs, inb(ide[0].bm), i & 1 ? BM_TO_MEM : 0);
		tally(&regs, inb(ide[0].base + COUNT), n);
		tally(&regs, inl(ide[1].bm + BM_TABLE), t1);
		outb(ide[0].bm, BM_START);
		tally(&regs, inb(ide[0].bm + BM_STATUS) & BM_STATE, BM_ACTIVE);
		outb(ide[0].bm, 0);
		tally(&regs, inb(ide[0].bm + BM_STATUS) & BM_STATE, 0);
	}
	check_all("bus master and task file in turn", &regs);

	/* A transfer each way that overtakes nothing: the sector is written, read and compared. */
	for (unsigned i = 0; i < 12; i++) {
		table[0] = (struct prd){ (uint32_t)buf, SECTOR | PRD_EOT };
		pattern(OTHER, i, 1, buf);
		bm_prepare(c0, table, false);
		ide_cmd(c0, 0, WRITE_DMA, 900, 1);
		bm_start(c0);
		WAIT(inb(c0->bm + BM_STATUS) & BM_INTR, LONG);
		bm_stop(c0);
		inb(c0->base + STATUS);
		memset(buf, 0, SECTOR);
		bm_prepare(c0, table, true);
		tally(&data, inb(c0->bm + BM_STATUS) & BM_STATE, 0);
		ide_cmd(c0, 0, READ_DMA, 900, 1);
		bm_start(c0);
		WAIT(inb(c0->bm + BM_STATUS) & BM_INTR, LONG);
		bm_stop(c0);
		inb(c0->base + STATUS);
		tally(&data, unlike(OTHER, i, 1, buf), 0);
		outb(c0->bm + BM_STATUS, BM_INTR);
		tally(&data, inb(c0->bm + BM_STATUS) & BM_STATE, 0);
	}
	check_all("a sector there and back", &data);
}

/* DRQ follows the data port, word by word. */
static void data_port(void)
{
	struct tally drq = { 0 }, data = { 0 };

	for (unsigned i = 0; i < 4; i++) {
		const uint16_t *w = (const uint16_t *)buf;

		pattern(OTHER, i, 1, buf);
		ide_cmd(c0, 0, WRITE_SECTORS, 910 + i, 1);
		ide_idle(c0);
		outsw(c0->base, w, SECTOR / 2 - 2);
		outw(c0->base, w[SECTOR / 2 - 2]);
		tally(&drq, alt_status(c0), IDLE | DRQ);
		outw(c0->base, w[SECTOR / 2 - 1]);
		tally(&drq, alt_status(c0) & DRQ, 0);
		tally(&drq, ide_idle(c0), IDLE);
		inb(c0->base + STATUS);
		ide_cmd(c0, 0, READ_SECTORS, 910 + i, 1);
		ide_idle(c0);
		insw(c0->base, buf, SECTOR / 2 - 1);
		tally(&drq, alt_status(c0), IDLE | DRQ);
		((uint16_t *)buf)[SECTOR / 2 - 1] = inw(c0->base);
		tally(&drq, alt_status(c0) & DRQ, 0);
		tally(&data, unlike(OTHER, i, 1, buf), 0);
	}
	check_all("DRQ", &drq);
	check_all("  data", &data);
}

#define BLOCK 16u

/* A block that is read in pieces of all kinds, with other accesses between them. */
static void pieces(void)
{
	struct tally drq = { 0 }, away = { 0 }, data = { 0 }, ends = { 0 }, dropped = { 0 };
	uint32_t seed = 5;

	check("SET MULTIPLE", ide_do(c0, 0, SET_MULTIPLE, 0, BLOCK), IDLE);
	for (unsigned round = 0; round < 6; round++) {
		unsigned lba = 40 * round, n = BLOCK + 5;
		uint8_t *p = buf, *end;

		memset(buf, 0, n * SECTOR);
		ide_cmd(c0, 0, READ_MULTIPLE, lba, (uint8_t)n);
		for (unsigned at = 0; at < n; at += BLOCK) {
			tally(&drq, ide_idle(c0), IDLE | DRQ);
			inb(c0->base + STATUS);
			for (end = buf + (at ? n : BLOCK) * SECTOR; p < end;) {
				unsigned left = (unsigned)(end - p), words = rnd(&seed) % 600 + 1;

				if (words > left / 2)
					words = left / 2;
				switch (rnd(&seed) % 4) {
				case 0: insw(c0->base, p, words); break;
				case 1:
					words &= ~1u;
					insl(c0->base, p, words / 2);
					break;
				case 2:
					words = 1;
					*(uint16_t *)p = inw(c0->base);
					break;
				case 3:
					words = left >= 4 ? 2 : 0;
					if (words)
						*(uint32_t *)p = inl(c0->base);
				}
				p += words * 2;
				switch (rnd(&seed) % 5 * (p < end)) {
				case 1: tally(&drq, alt_status(c0), IDLE | DRQ); break;
				case 2: /* the other drive has nothing to give */
					outb(c0->base + DEVICE, 0xa0 | LBA | SLAVE);
					tally(&away, inw(c0->base), 0xffff);
					outb(c0->base + DEVICE, 0xa0 | LBA);
					break;
				case 3: tally(&drq, inb(c0->base + STATUS), IDLE | DRQ); break;
				case 4: outb(ide[1].base + COUNT, (uint8_t)round); break;
				}
			}
		}
		tally(&ends, ide_idle(c0), IDLE);
		tally(&data, unlike(0, lba, n, buf), 0);
		/* A command, or a reset, in the middle of a block: what comes next is not the block's. */
		ide_cmd(c0, 0, READ_MULTIPLE, lba, BLOCK);
		ide_idle(c0);
		insw(c0->base, buf, rnd(&seed) % 300 + 1);
		if (round & 1) {
			outb(c0->base + COMMAND, IDENTIFY);
			tally(&dropped, ide_idle(c0), IDLE | DRQ);
			insw(c0->base, buf, SECTOR / 2);
			tally(&dropped, *(uint16_t *)(buf + 2 * 49) & 0x300, 0x300);
		} else {
			outb(c0->ctl, SRST);
			tally(&dropped, inw(c0->base), 0xffff);
			outb(c0->ctl, 0);
			ide_idle(c0);
			check("SET MULTIPLE after a reset", ide_do(c0, 0, SET_MULTIPLE, 0, BLOCK),
			      IDLE);
		}
		inb(c0->base + STATUS);
		tally(&ends, ide_idle(c0), IDLE);
	}
	check_all("a block in pieces: DRQ", &drq);
	check_all("  the other drive", &away);
	check_all("  data", &data);
	check_all("  end", &ends);
	check_all("a block that is left", &dropped);
}

/* Processors in a ring: each reads what the one before has written, and writes. */

static unsigned n_cpus;
static volatile unsigned turn, stuck;
static volatile uint8_t expect[TF_REGS];
static struct tally ring_tally;

static void ring(unsigned cpu)
{
	uint32_t seed = 77 + cpu;

	for (unsigned i = 0; i < ROUNDS; i++) {
		if (!WAIT(turn % n_cpus == cpu || stuck, LONG) || stuck) {
			stuck = 1;
			return;
		}
		for (unsigned k = 0; k < TF_REGS; k++)
			tally(&ring_tally, inb(c0->base + COUNT + k), expect[k]);
		for (unsigned k = 0; k < 1 + (i & 3); k++) {
			unsigned r = rnd(&seed) % TF_REGS;
			uint8_t v = (uint8_t)rnd(&seed);

			outb(c0->base + COUNT + r, v);
			expect[r] = v;
		}
		__atomic_add_fetch(&turn, 1, __ATOMIC_SEQ_CST);
	}
}

/* One writes numbers and says so in memory, the others read between two looks at it. */

static volatile uint32_t said;
static volatile bool over;
static struct tally reader_tally[MAX_CPUS];

static void news(unsigned cpu)
{
	if (cpu == 0) {
		for (unsigned i = 1; i <= 200; i++) {
			outb(c0->base + LBAM, (uint8_t)i);
			said = i;
		}
		over = true;
		return;
	}
	while (!over) {
		uint32_t before = said, after;
		uint8_t v = inb(c0->base + LBAM);

		after = said + 1;
		tally(&reader_tally[cpu], (uint8_t)(v - before) <= after - before, true);
	}
	/* How often is up to chance. */
	reader_tally[cpu].n -= reader_tally[cpu].good;
	reader_tally[cpu].good = 0;
}

static void processors(void)
{
	n_cpus = smp_start();
	put("processors", n_cpus);
	for (unsigned k = 0; k < TF_REGS; k++)
		outb(c0->base + COUNT + k, 0);
	smp_run(n_cpus, ring);
	check("  stuck", stuck, 0);
	check_all("  what another wrote", &ring_tally);
	outb(c0->base + LBAM, 0);
	smp_run(n_cpus, news);
	for (unsigned i = 1; i < n_cpus; i++)
		check_all("  news", &reader_tally[i]);
}

void run(void)
{
	bm_init(BM_PORT);
	registers(0, 1);
	registers(1, 2);
	commands();
	selection();
	bus_master();
	data_port();
	pieces();
	processors();
}
