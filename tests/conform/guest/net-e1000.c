/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * net-e1000.c - Intel 82540EM in loopback: rings to their edges, filters, masks, EEPROM and PHY (numbers of
 * sections: Intel 317453).  The other end of the cable is not there.
 */
#include "rt.h"

#define CARD DEVFN(3, 0)
#define MMIO 0xe0000000u

enum {
	CTRL = 0x0000,
	STATUS = 0x0008,
	EERD = 0x0014,
	MDIC = 0x0020,
	ICR = 0x00c0,
	ICS = 0x00c8,
	IMS = 0x00d0,
	IMC = 0x00d8,
	RCTL = 0x0100,
	TCTL = 0x0400,
	RDBAL = 0x2800,
	RDLEN = 0x2808,
	RDH = 0x2810,
	RDT = 0x2818,
	TDBAL = 0x3800,
	TDLEN = 0x3808,
	TDH = 0x3810,
	TDT = 0x3818,
	MTA = 0x5200,
	RA = 0x5400,
};

#define CTRL_RST  0x04000000u
#define RCTL_BASE 0x00008042u /* EN, MAC loopback, BAM; buffers of 2048 */
#define TCTL_EN   0x00000002u
#define CMD       0x0bu /* EOP, IFCS, RS */
#define DD        0x01u
#define EOP       0x02u
#define ICR_TXDW  0x01u
#define ICR_RXO   0x40u
#define ICR_RXT0  0x80u
#define N         8u /* descriptors in each ring, the fewest */

struct desc {
	uint32_t addr, high, w2, w3;
};

static volatile struct desc *const tx = (struct desc *)FREE_RAM;
static volatile struct desc *const rx = (struct desc *)(FREE_RAM + 0x1000);
static uint8_t *const out = (uint8_t *)(FREE_RAM + 0x10000);
static uint8_t *const in = (uint8_t *)(FREE_RAM + 0x20000);
static unsigned irq;

static uint32_t get(unsigned off)
{
	uint32_t v = *(volatile uint32_t *)(MMIO + off);

	BARRIER();
	return v;
}

static void set(unsigned off, uint32_t v)
{
	BARRIER();
	*(volatile uint32_t *)(MMIO + off) = v;
}

static uint8_t rx_status(unsigned i)
{
	return (uint8_t)rx[i].w3;
}

/* A fresh card, both rings empty. */
static void start(unsigned rdt)
{
	set(CTRL, CTRL_RST);
	WAIT(!(get(CTRL) & CTRL_RST), 100);
	for (unsigned i = 0; i < N; i++) {
		tx[i] = (struct desc){ 0 };
		rx[i] = (struct desc){ .addr = (uint32_t)in + i * 2048 };
	}
	memset(in, 0xee, N * 2048);
	set(RDBAL, (uint32_t)rx);
	set(RDLEN, N * 16);
	set(RDT, rdt);
	set(TDBAL, (uint32_t)tx);
	set(TDLEN, N * 16);
	set(RCTL, RCTL_BASE);
	set(TCTL, TCTL_EN);
}

static void frame(uint8_t last, uint8_t first, unsigned len)
{
	memset(out, first, 5);
	out[5] = last;
	for (unsigned i = 6; i < len; i++)
		out[i] = (uint8_t)(i * 5 + last);
}

/* One descriptor after what is there; waits until it is done with. */
static bool send(uint32_t addr, uint32_t len)
{
	unsigned i = get(TDT);

	tx[i] = (struct desc){ .addr = addr, .w2 = len | CMD << 24 };
	set(TDT, (i + 1) % N);
	return WAIT(tx[i].w3 & DD, 1000);
}

static void reset_values(void)
{
	start(N - 1);
	check("id", pci_read(CARD, 0), 0x100e8086);
	check("RAL from the EEPROM", get(RA), 0x00005452);
	check("  RAH", get(RA + 4), 0x80000700 | 0x00);
	set(EERD, 0x0001);
	check("EERD done", WAIT(get(EERD) & 0x10, 100), true);
	check("  word 0", get(EERD) >> 16, 0x5452);
	set(MDIC, 0x08220000); /* read register 2 of PHY 1 */
	check("PHY id", WAIT(get(MDIC) & 0x10000000, 100) ? get(MDIC) & 0xffff : 0, 0x0141);
	set(MDIC, 0x08420000); /* of PHY 2: there is none */
	check("  another PHY: error", WAIT(get(MDIC) & 0x10000000, 100) ? get(MDIC) >> 30 : 0, 1);
}

static void rings(void)
{
	struct tally lengths = { 0 }, data = { 0 }, wrap = { 0 };

	start(N - 1);
	for (unsigned k = 0; k < 4 * N; k++) {
		unsigned i = k % N, len = 60 + k * 45;

		frame(0xff, 0xff, len);
		tally(&wrap, send((uint32_t)out, len), true);
		tally(&wrap, get(TDH), (k + 1) % N);
		tally(&lengths, WAIT(rx_status(i) & DD, 1000) ? rx[i].w2 & 0xffff : 0, len + 4);
		tally(&data, memcmp(in + i * 2048, out, len), 0);
		rx[i] = (struct desc){ .addr = (uint32_t)in + i * 2048 };
		set(RDT, i);
	}
	check_all("four times around", &wrap);
	check_all("  lengths", &lengths);
	check_all("  bytes", &data);

	/* Two ready, three come: the third is lost, and said to be. */
	start(2);
	frame(0xff, 0xff, 100);
	get(ICR);
	for (unsigned k = 0; k < 3; k++)
		send((uint32_t)out, 100);
	check("ring full: the head", get(RDH), 2);
	check("  RXO", get(ICR) & ICR_RXO, ICR_RXO);
	check("  nothing beyond", rx_status(2), 0);

	start(N - 1);
	check("zero length ends", send((uint32_t)out, 0), true);
	check("  and goes nowhere", get(RDH), 0);
	check("less than a header ends", send((uint32_t)out, 13), true);
	check("  and goes nowhere", get(RDH), 0);
	frame(0xff, 0xff, 1519);
	check("longer than a frame ends", send((uint32_t)out, 1519), true);
	check("  and is not received without LPE", get(RDH), 0);
	set(RCTL, RCTL_BASE | 0x20);
	send((uint32_t)out, 1519);
	check("  but with it", get(RDH), 1);
	put("data outside RAM ends", send(0xf0000000, 100));
	put("  the head", get(TDH));

	/* Buffers, rings and pointers where nothing is: the card goes on after a reset. */
	start(N - 1);
	rx[0].addr = 0xf0000000;
	frame(0xff, 0xff, 100);
	send((uint32_t)out, 100);
	put("a buffer outside RAM: the head", get(RDH));
	start(N - 1);
	set(TDBAL, 0xf0000000);
	set(TDT, 1);
	put("a ring outside RAM: the head", get(TDH));
	start(N - 1);
	set(TDT, 0xffff);
	check("a tail outside the ring: nothing moves", get(TDH), 0);
	set(TDLEN, 0);
	set(TDT, 1);
	check("a ring of no length: nothing moves", get(TDH), 0);
	start(N - 1);
	check("it goes on", send((uint32_t)out, 100), true);
	check("  and receives", get(RDH), 1);

	/* A reset with work under way. */
	for (unsigned i = 1; i < N - 1; i++)
		tx[i] = (struct desc){ .addr = (uint32_t)out, .w2 = 100 | CMD << 24 };
	set(TDT, N - 1);
	set(CTRL, CTRL_RST);
	check("reset in mid-transfer", get(TDT) | get(TDH) | get(RCTL) | get(TCTL), 0);
	start(N - 1);
	check("  and on", send((uint32_t)out, 100), true);
}

static void filters(void)
{
	uint32_t bit = (0x9a | 0xbcu << 8) >> 4 & 0xfff; /* of the last two bytes, RCTL.MO 0 */

	start(N - 1);
	frame(0, 0x52, 100);
	send((uint32_t)out, 100);
	check("another's address", get(RDH), 0);
	memcpy(out, "\x52\x54\x00\x00\x00\x07", 6);
	send((uint32_t)out, 100);
	check("its own", get(RDH), 1);
	memcpy(out, "\x01\x00\x5e\x00\x9a\xbc", 6);
	send((uint32_t)out, 100);
	check("a group", get(RDH), 1);
	set(MTA + (bit >> 5) * 4, 1u << (bit & 31));
	send((uint32_t)out, 100);
	check("  by the hash", get(RDH), 2);
	set(MTA + (bit >> 5) * 4, 0);
	set(RCTL, RCTL_BASE | 0x10);
	send((uint32_t)out, 100);
	check("  all groups", get(RDH), 3);
	memset(out, 0xff, 6);
	set(RCTL, RCTL_BASE & ~0x8000u);
	send((uint32_t)out, 100);
	check("broadcast without BAM", get(RDH), 3);
}

static void masks(void)
{
	struct tally t = { 0 };

	start(N - 1);
	set(IMC, ~0u);
	get(ICR);
	irq_off(irq);
	frame(0xff, 0xff, 100);
	send((uint32_t)out, 100);
	check_line("masked", irq, false);
	set(IMS, ICR_TXDW);
	check_line("unmasked", irq, true);
	set(IMC, ICR_TXDW);
	get(STATUS);
	check_line("masked again", irq, false);
	check("ICR", get(ICR) & (ICR_TXDW | ICR_RXT0), ICR_TXDW | ICR_RXT0);
	check("  is cleared by reading", get(ICR), 0);
	/* Floods of mask writes end with the last one. */
	for (unsigned i = 0; i < 300; i++) {
		set(IMS, 0x80);
		set(IMC, i & 1 ? 0x80 : 0x10);
		if (i % 37 == 0)
			tally(&t, get(IMS), i & 1 ? 0 : 0x80);
	}
	check_all("masks in a flood", &t);
	check("  the last", get(IMS), 0);
	set(IMS, 0x80);
	set(ICS, 0x80);
	check_line("set by software", irq, true);
	get(ICR);
	check_line("  and taken back", irq, false);
}

void run(void)
{
	irq = 11;
	pci_write(DEVFN(1, 0), 0x60, 0x0b0b0b0b); /* all PIRQs */
	pci_write(CARD, 0x10, MMIO);
	pci_write(CARD, 4, 0x0006);
	reset_values();
	rings();
	filters();
	masks();
}
