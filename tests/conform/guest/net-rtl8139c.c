/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * net-rtl8139c.c - Realtek RTL8139C in loopback (data sheet 1.6): four transmit descriptors, the ring buffer to its
 * edges, filters, masks.
 */
#include "rt.h"

#define CARD DEVFN(3, 0)
#define BASE 0xc400u

enum {
	IDR0 = 0x00,
	MAR0 = 0x08,
	TSD0 = 0x10,
	TSAD0 = 0x20,
	RBSTART = 0x30,
	CR = 0x37,
	CAPR = 0x38,
	CBR = 0x3a,
	IMR = 0x3c,
	ISR = 0x3e,
	TCR = 0x40,
	RCR = 0x44,
	MPC = 0x4c,
	BMCR = 0x62,
	BMSR = 0x64,
};

#define CR_RST  0x10u
#define CR_ON   0x0cu
#define BUFE    0x01u
#define TOK     0x8000u
#define TABT    0x40000000u
#define OWN     0x2000u
#define ISR_ROK 0x01u
#define ISR_TOK 0x04u
#define LOOP    0x00060000u
#define RING    8192u

static uint8_t *const out = (uint8_t *)FREE_RAM;
static uint8_t *const ring = (uint8_t *)(FREE_RAM + 0x10000);
static unsigned irq = 11, next, at;

static void start(uint32_t rcr)
{
	outb(BASE + CR, CR_RST);
	WAIT(!(inb(BASE + CR) & CR_RST), 100);
	memset(ring, 0xee, RING + 2048);
	outl(BASE + RBSTART, (uint32_t)ring);
	outb(BASE + CR, CR_ON);
	outl(BASE + TCR, LOOP);
	outl(BASE + RCR, rcr);
	next = at = 0;
}

/* By the next descriptor; its status, once the chip has given it back. */
static uint32_t send(uint32_t addr, uint32_t len)
{
	uint16_t tsd = (uint16_t)(BASE + TSD0 + next * 4);

	outl((uint16_t)(BASE + TSAD0 + next * 4), addr);
	outl(tsd, len);
	next = (next + 1) % 4;
	return WAIT(inl(tsd) & OWN, 1000) ? inl(tsd) : 0;
}

static void frame(const char *to, uint8_t seed, unsigned len)
{
	memcpy(out, to, 6);
	for (unsigned i = 6; i < len; i++)
		out[i] = (uint8_t)(i * 5 + seed);
}

#define ALL "\xff\xff\xff\xff\xff\xff"

/* The next frame in the ring, which wraps: its length as the header has it; good: it is what is in out. */
static unsigned take(unsigned len, bool *good)
{
	unsigned n = ring[at + 2] | ring[at + 3] << 8;

	*good = ring[at] & 1;
	for (unsigned i = 0; i < len; i++)
		*good &= ring[(at + 4 + i) % RING] == out[i];
	at = (at + 4 + n + 3) / 4 * 4 % RING;
	outw(BASE + CAPR, (uint16_t)(at - 16));
	return n;
}

static void rings(void)
{
	struct tally status = { 0 }, data = { 0 };
	unsigned n = 0;
	bool good;

	start(0x08);
	check("empty", inb(BASE + CR) & BUFE, BUFE);
	for (unsigned k = 0; k < 40; k++) { /* several times around */
		unsigned len = 60 + k * 36;

		frame(ALL, (uint8_t)k, len);
		tally(&status, send((uint32_t)out, len) & (TOK | OWN), TOK | OWN);
		tally(&data, take(len, &good), len + 4);
		tally(&data, good, true);
		tally(&data, inb(BASE + CR) & BUFE, BUFE);
	}
	check_all("many times around", &status);
	check_all("  what came", &data);

	start(0x08);
	frame(ALL, 1, 1000);
	for (; n < 12 && inw(BASE + CBR) == n * 1008; n++)
		send((uint32_t)out, 1000);
	check("ring full: frames in it", n - 1, 8);
	check("  missed", inl(BASE + MPC) & 0xffffff, 1);
	take(1000, &good);
	check("  the first is whole", good, true);
	send((uint32_t)out, 1000);
	check("  and one more has room", inw(BASE + CBR), 9 * 1008 % RING);

	start(0x08);
	check("zero length ends", send((uint32_t)out, 0) & (TOK | OWN), TOK | OWN);
	check("less than a header ends", send((uint32_t)out, 13) & (TOK | OWN), TOK | OWN);
	check("  and comes nowhere", inw(BASE + CBR), 0);
	put("the longest", send((uint32_t)out, 0x1fff));
	put("  the ring", inw(BASE + CBR));
	check("data outside RAM is aborted", send(0xf0000000, 100) & TABT, TABT);
	outl(BASE + RBSTART, 0xf0000000);
	frame(ALL, 2, 100);
	put("a ring outside RAM", send((uint32_t)out, 100));
	put("  missed", inl(BASE + MPC));

	start(0x08);
	for (unsigned i = 0; i < 4; i++) {
		outl((uint16_t)(BASE + TSAD0 + i * 4), (uint32_t)out);
		outl((uint16_t)(BASE + TSD0 + i * 4), 100);
	}
	outb(BASE + CR, CR_RST);
	check("reset in mid-transfer", WAIT(!(inb(BASE + CR) & CR_RST), 100), true);
	check("  descriptors are the driver's", inl(BASE + TSD0), OWN);
	check("  no frames", inw(BASE + CBR), 0);
	start(0x08);
	check("  and on", send((uint32_t)out, 100) & TOK, TOK);
}

static void filters(void)
{
	start(0x0e);
	check("address", inl(BASE + IDR0), 0x00005452);
	outl(BASE + MAR0, 0);
	outl(BASE + MAR0 + 4, 0);
	frame("\x52\x54\x00\x00\x00\x07", 3, 100);
	send((uint32_t)out, 100);
	check("its own", inw(BASE + CBR), 108);
	frame("\x52\x54\x00\x00\x00\x08", 3, 100);
	send((uint32_t)out, 100);
	check("another's", inw(BASE + CBR), 108);
	frame("\x01\x00\x5e\x00\x9a\xbc", 3, 100);
	send((uint32_t)out, 100);
	check("a group, by no hash", inw(BASE + CBR), 108);
	outl(BASE + MAR0, ~0u);
	outl(BASE + MAR0 + 4, ~0u);
	send((uint32_t)out, 100);
	check("  by all", inw(BASE + CBR), 216);
}

static void masks(void)
{
	struct tally t = { 0 };

	start(0x08);
	irq_off(irq);
	frame(ALL, 4, 100);
	send((uint32_t)out, 100);
	check("ISR", inw(BASE + ISR) & (ISR_ROK | ISR_TOK), ISR_ROK | ISR_TOK);
	check_line("masked", irq, false);
	outw(BASE + IMR, ISR_TOK);
	check_line("unmasked", irq, true);
	outw(BASE + ISR, ISR_TOK);
	check_line("  and taken back", irq, false);
	outw(BASE + IMR, 0);
	/* Floods of what may be queued end with the last. */
	for (unsigned i = 0; i < 300; i++) {
		outl(BASE + TSAD0 + 4, i);
		outw(BASE + CAPR, (uint16_t)(i * 4));
		if (i % 37 == 0)
			tally(&t, inl(BASE + TSAD0 + 4), i);
	}
	check_all("addresses in a flood", &t);
	check("  the last", inl(BASE + TSAD0 + 4), 299);
	check("  CAPR", inw(BASE + CAPR), 299 * 4);
	check("PHY: no link", inw(BASE + BMSR) & inw(BASE + BMSR) & 4, 0);
}

void run(void)
{
	pci_write(DEVFN(1, 0), 0x60, 0x0b0b0b0b); /* all PIRQs */
	pci_write(CARD, 0x10, BASE);
	pci_write(CARD, 4, 0x0005);
	rings();
	filters();
	masks();
}
