/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * posted.c - floods of writes: more than a queue of them holds, of the wrong width, at odd addresses, as
 * strings; and writes after which nothing is read, which have to arrive all the same.
 *
 * An access wider than a port's register is taken apart, low byte first, as the bus does with 8-bit devices.
 */
#include "ide.h"

#define BM_PORT 0xc200u
#define FLOOD   180u /* more than the ring of KVM's coalesced writes holds */
#define ROUNDS  60u
#define NOBODY  0x300u
#define SCRATCH 0x3ffu /* of the serial port */
#define POST    0x80u

static const struct chan *const c0 = &ide[0];
static uint8_t *const buf = (uint8_t *)FREE_RAM;
static struct prd *const table = (struct prd *)(FREE_RAM + 0x100000);

static void floods(void)
{
	static const uint16_t ports[] = { 0x1f2, 0x1f3, 0x1f4, 0x1f5, 0x172, 0x175, SCRATCH, POST };
	struct tally t = { 0 };

	for (unsigned i = 0; i < LEN(ports); i += 3) {
		for (unsigned k = 0; k < FLOOD + i; k++)
			outb(ports[i], (uint8_t)(k * 7));
		tally(&t, inb(ports[i]), (uint8_t)((FLOOD + i - 1) * 7));
	}
	/* All of them in turn, with others between that nobody takes. */
	for (unsigned k = 0; k < ROUNDS; k++) {
		for (unsigned i = 0; i < LEN(ports); i++)
			outb(ports[i], (uint8_t)(k + i));
		outb(NOBODY, (uint8_t)k);
		outl(BM_PORT + BM_TABLE, k * 4);
	}
	for (unsigned i = 0; i < LEN(ports); i++)
		tally(&t, inb(ports[i]), (uint8_t)(ROUNDS - 1 + i));
	tally(&t, inl(BM_PORT + BM_TABLE), (ROUNDS - 1) * 4);
	tally(&t, inb(NOBODY), 0xff);
	check_all("floods", &t);

	for (unsigned i = 0; i < 400; i++)
		buf[i] = (uint8_t)(i * 3);
	outsb(c0->base + COUNT, buf, 200);
	check("string of bytes to a register", inb(c0->base + COUNT), (uint8_t)(199 * 3));
	outsb(POST, buf, 300);
	check("string of bytes to port 80h", inb(POST), (uint8_t)(299 * 3));
	outsw(c0->base + COUNT, buf, 200);
	check("string of words to two registers", inb(c0->base + COUNT) | inb(c0->base + LBAL) << 8,
	      (uint8_t)(398 * 3) | (uint8_t)(399 * 3) << 8);
}

static uint32_t regs(void)
{
	return inb(c0->base + COUNT) | inb(c0->base + LBAL) << 8 | inb(c0->base + LBAM) << 16 |
	       (uint32_t)inb(c0->base + LBAH) << 24;
}

static void widths(void)
{
	uint16_t b = c0->base;

	outl(b + COUNT, 0x44332211);
	check("double word at count", regs(), 0x44332211);
	outw(b + COUNT, 0x6655);
	check("word at count", regs(), 0x44336655);
	outw(b + LBAL, 0x8877);
	check("word at an odd port", regs(), 0x44887755);
	outw(b + FEATURE, 0x99ff);
	check("word from feature on", regs(), 0x44887799);
	outl(b + LBAL, 0xa0ccbbaa);
	check("double word at an odd port", regs(), 0xccbbaa99);
	check("  device", inb(b + DEVICE), 0xa0);
	outw(b + LBAH, 0xb0dd);
	check("word over LBA high and device", regs(), 0xddbbaa99);
	check("  device", inb(b + DEVICE), 0xb0);
	outw(b + LBAH, 0xa0ee);
	check("  device", inb(b + DEVICE), 0xa0);
	check("word read", inw(b + COUNT), 0xaa99);
	check("double word read", inl(b + COUNT), 0xeebbaa99);
	check("word read at an odd port", inw(b + LBAL), 0xbbaa);

	/* The last byte is a command. */
	outb(b + COMMAND, BAD_COMMAND);
	ide_idle(c0);
	outl(b + LBAM, 0x10a02211);
	check("command as a double word's last byte", ide_idle(c0), IDLE);
	outb(b + COMMAND, BAD_COMMAND);
	ide_idle(c0);
	outw(b + DEVICE, 0x10a0);
	check("command as a word's last byte", ide_idle(c0), IDLE);
	inb(b + STATUS);

	/* Device control among ports that are others'. */
	irq_off(14);
	outl(c0->ctl - 2, NIEN << 16);
	ide_do(c0, 0, 0x10, 0, 0);
	ide_cmd(c0, 0, 0x10, 0, 0);
	ide_idle(c0);
	check_line("nIEN in a double word", 14, false);
	outw(c0->ctl, 0);
	check_line("  and out in a word", 14, true);
	inb(b + STATUS);

	for (unsigned size = 1; size <= 4; size *= 2) {
		uint16_t port = NOBODY + 3;
		uint32_t got = size == 1 ? inb(port) : size == 2 ? inw(port) : inl(port);

		check("nobody there", got, size == 4 ? 0xffffffff : (1u << size * 8) - 1);
	}
	/* The last ports of all. */
	outb(0xffff, 1);
	check("port FFFFh", inb(0xffff), 0xff);
	outw(0xfffe, 1);
	check("port FFFEh", inw(0xfffe), 0xffff);
}

static void sectors(void)
{
	ide_do(c0, 0, SET_MULTIPLE, 0, 4);
	pattern(OTHER, 1000, 8, buf);
	ide_cmd(c0, 0, WRITE_MULTIPLE, 1000, 2);
	ide_idle(c0);
	outsw(c0->base, buf, 2 * SECTOR / 2);
	check("2 sectors in one string of words", ide_idle(c0), IDLE);
	inb(c0->base + STATUS);
	ide_cmd(c0, 0, WRITE_MULTIPLE, 1002, 4);
	ide_idle(c0);
	outsl(c0->base, buf + 2 * SECTOR, 4 * SECTOR / 4);
	check("4 sectors in one string of double words", ide_idle(c0), IDLE);
	inb(c0->base + STATUS);
	/* What comes after the last word is lost. */
	ide_cmd(c0, 0, WRITE_MULTIPLE, 1006, 1);
	ide_idle(c0);
	outsl(c0->base, buf + 6 * SECTOR, 2 * SECTOR / 4);
	check("a sector too many", ide_idle(c0), IDLE);
	inb(c0->base + STATUS);
	memset(buf, 0, 9 * SECTOR);
	check("read back", ide_read(c0, 0, 999, 9, buf), true);
	check("  bad sectors", unlike(OTHER, 1000, 7, buf + SECTOR), 0);
	check("  the sector before", unlike(0, 999, 1, buf), 0);
	check("  the sector after", unlike(0, 1007, 1, buf + 8 * SECTOR), 0);
	/* A data port without data. */
	outsw(c0->base, buf, 200);
	outsb(c0->base, buf, 100);
	check("data for nothing", alt_status(c0), IDLE);
	inb(c0->base + STATUS);
}

/* Nothing is read, so nothing but time brings these forward. */
static void unread(void)
{
	struct tally irqs = { 0 };
	volatile uint32_t *last = (volatile uint32_t *)(buf + 2 * SECTOR - 4);
	uint32_t want[SECTOR / 4];

	irq_on(14, NULL);
	for (unsigned i = 0; i < 8; i++) {
		uint32_t before = irq_count[14];

		for (unsigned k = 0; k < i * 27; k++)
			outb(c0->base + COUNT, (uint8_t)k);
		outb(c0->base + COMMAND, i & 1 ? BAD_COMMAND : 0x10);
		tally(&irqs, WAIT(irq_count[14] == before + 1, LONG), true);
		inb(c0->base + STATUS);
	}
	check_all("a command, then nothing: interrupt", &irqs);
	irq_off(14);

	memset(buf, 0, 2 * SECTOR);
	pattern(0, 51, 1, want);
	table[0] = (struct prd){ (uint32_t)buf, 2 * SECTOR | PRD_EOT };
	ide_idle(c0);
	outb(c0->base + DEVICE, 0xa0 | LBA);
	bm_prepare(c0, table, true);
	outb(c0->base + COUNT, 2);
	outb(c0->base + LBAL, 50);
	outb(c0->base + LBAM, 0);
	outb(c0->base + LBAH, 0);
	outb(c0->base + COMMAND, READ_DMA);
	outb(c0->bm + BM_CMD, BM_TO_MEM | BM_START);
	check("DMA, then nothing: data", WAIT(*last == want[SECTOR / 4 - 1], LONG), true);
	ide_idle(c0);
	bm_stop(c0);
	inb(c0->base + STATUS);
	check("  bad sectors", unlike(0, 50, 2, buf), 0);
}

void run(void)
{
	bm_init(BM_PORT);
	outb(c0->base + DEVICE, 0xa0);
	floods();
	widths();
	sectors();
	unread();
}
