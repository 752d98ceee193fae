/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * net-e1000.c - Intel 82540EM in loopback: rings to their edges, filters, masks, EEPROM and PHY (numbers of
 * sections: Intel 317453).  The other end of the cable is not there.
 */
#include "net.h"

#define CARD DEVFN(3, 0)
#define MMIO 0xe0000000u

enum {
	CTRL = 0x0000,
	STATUS = 0x0008,
	EERD = 0x0014,
	MDIC = 0x0020,
	VET = 0x0038,
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
	RXCSUM = 0x5000,
	MTA = 0x5200,
	RA = 0x5400,
	VFTA = 0x5600,
};

#define CTRL_RST  0x04000000u
#define CTRL_VME  0x40000000u
#define RCTL_VFE  0x00040000u
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

/* Extended descriptors (3.3.5 to 3.3.7). */
#define TUCMD_TCP 0x01u
#define TUCMD_IP  0x02u
#define CMD_TSE   0x04u
#define CMD_VLE   0x40u
#define DEXT      0x20u
#define IXSM      0x01u
#define TXSM      0x02u

static unsigned tail;

static void push(uint32_t addr, uint32_t high, uint32_t w2, uint32_t w3)
{
	tx[tail % N] = (struct desc){ addr, high, w2, w3 };
	tail++;
}

static void context(unsigned proto, unsigned hdr, unsigned mss, unsigned cmd, unsigned data)
{
	unsigned field = L4 + (proto == TCP ? 16 : 6);

	push(IP | (IP + 10) << 8 | (L4 - 1) << 16, L4 | field << 8,
	     data | (DEXT | TUCMD_IP | cmd | (proto == TCP ? TUCMD_TCP : 0)) << 24,
	     hdr << 8 | mss << 16);
}

static void piece(const uint8_t *p, unsigned len, unsigned cmd, unsigned popts)
{
	push((uint32_t)p, 0, len | 1u << 20 | (DEXT | cmd) << 24, popts << 8);
}

static bool go(void)
{
	set(TDT, tail % N);
	return WAIT(tx[(tail - 1) % N].w3 & DD, LONG);
}

static void again(void)
{
	start(N - 1);
	set(RXCSUM, 0x300);
	tail = 0;
}

static void checksums(void)
{
	struct tally made = { 0 }, found = { 0 };

	for (unsigned k = 0; k < 2; k++) {
		unsigned proto = k ? UDP : TCP, len = ip_frame(out, proto, 333, 9);

		again();
		send((uint32_t)out, len);
		tally(&found, rx[0].w3 & 0x6067, 0x63); /* both looked at: no error */
		*l4_csum(out) ^= 1;
		send((uint32_t)out, len);
		tally(&found, rx[1].w3 & 0x6067, 0x2063);
		out[IP + 8]--;
		send((uint32_t)out, len);
		tally(&found, rx[2].w3 & 0x4047, 0x4043);
		again();
		put16(out + IP + 10, 0);
		put16(l4_csum(out), pseudo(out, len - L4));
		context(proto, 0, 0, 0, 0);
		piece(out, 20, 0x08, IXSM | TXSM); /* in two pieces, within a header */
		piece(out + 20, len - 20, CMD, 0);
		tally(&made, go(), true);
		tally(&made, rx[0].w2 & 0xffff, len + 4);
		tally(&made, ip_good(in), true);
		tally(&made, l4_good(in), true);
		piece(out, len, CMD, TXSM); /* by the same context, one alone */
		tally(&made, go(), true);
		tally(&made, get16(in + 2048 + IP + 10), 0);
		tally(&made, l4_good(in + 2048), true);
		/* Fields and ranges outside the frame are left alone. */
		push(200 | 201 << 8, 202 | 203 << 8, (uint32_t)DEXT << 24, 0);
		piece(out, 100, CMD, IXSM | TXSM);
		tally(&made, go(), true);
		tally(&made, memcmp(in + 2 * 2048, out, 100), 0);
	}
	check_all("checksums made", &made);
	check_all("  and looked at", &found);
}

/* 250 bytes of data, 100 in a segment. */
static void segments(void)
{
	struct tally p = { 0 };
	unsigned len = ip_frame(out, TCP, 250, 3), at = 0;

	put16(out + IP + 2, 0);
	put16(out + IP + 10, 0);
	put16(l4_csum(out), pseudo(out, 0));
	for (unsigned k = 0; k < 2; k++) {
		again();
		context(TCP, L4 + 20, 100, CMD_TSE, 250);
		if (k) { /* headers and data in pieces that do not fit */
			piece(out, 33, CMD_TSE, IXSM | TXSM);
			piece(out + 33, 50, CMD_TSE, 0);
			piece(out + 83, len - 83, CMD | CMD_TSE, 0);
		} else {
			piece(out, len, CMD | CMD_TSE, IXSM | TXSM);
		}
		tally(&p, go(), true);
		tally(&p, get(RDH), 3);
		for (unsigned i = at = 0; i < 3; i++) {
			unsigned n = i < 2 ? 100 : 50, seq = 0xfff0 + i * 100;
			uint8_t *f = in + i * 2048;

			tally(&p, rx[i].w2 & 0xffff, L4 + 20 + n + 4);
			tally(&p, get16(f + IP + 2), 40 + n);
			tally(&p, get16(f + IP + 4), 0x1234 + i);
			tally(&p, get16(f + L4 + 4) << 16 | get16(f + L4 + 6), seq);
			tally(&p, f[L4 + 13], i < 2 ? 0x10 : 0x19);
			tally(&p, ip_good(f) && l4_good(f), true);
			tally(&p, memcmp(f + L4 + 20, out + L4 + 20 + at, n), 0);
			at += n;
		}
	}
	check_all("a large send", &p);
	again();
	context(TCP, L4 + 20, 0, CMD_TSE, 250);
	piece(out, len, CMD | CMD_TSE, IXSM | TXSM);
	check("segments of no size end", go(), true);
	check("  and go nowhere", get(RDH), 0);
	context(TCP, 0, 100, CMD_TSE, 250);
	piece(out, len, CMD | CMD_TSE, IXSM | TXSM);
	check("no headers end", go(), true);
	check("  and go nowhere", get(RDH), 0);
	context(TCP, 255, 100, CMD_TSE, 250);
	piece(out, 100, CMD | CMD_TSE, IXSM | TXSM);
	check("less than its headers ends", go(), true);
	check("  and goes nowhere", get(RDH), 0);
	again();
	context(TCP, L4 + 20, 100, CMD_TSE, 250);
	piece(out, L4 + 20, CMD_TSE, IXSM | TXSM);
	piece((uint8_t *)0xf0000000, 250, CMD | CMD_TSE, 0);
	check("data outside RAM ends", go(), true);
	check("  and goes nowhere", get(RDH), 0);
	context(TCP, L4 + 20, 1400, CMD_TSE, 0xfffff);
	for (unsigned i = 0; i < 4; i++)
		piece(out, 0x4000, (i < 3 ? 0 : CMD) | CMD_TSE, IXSM | TXSM);
	check("more than a datagram holds ends", go(), true);
	again();
	check("  and on", send((uint32_t)out, 100), true);
}

static void tags(void)
{
	start(N - 1);
	tail = 0;
	set(VET, 0x8100);
	set(CTRL, get(CTRL) | CTRL_VME);
	frame(0xff, 0xff, 100);
	push((uint32_t)out, 0, 100 | (uint32_t)(CMD | CMD_VLE) << 24, 0x1234u << 16);
	check("a tag put in and taken out", go(), true);
	check("  length", rx[0].w2 & 0xffff, 104);
	check("  it", rx[0].w3 >> 16 | (rx[0].w3 & 8) << 16, 0x81234);
	check("  the rest", memcmp(in, out, 100), 0);
	set(CTRL, get(CTRL) & ~CTRL_VME);
	put16(out + 12, 0x8100);
	put16(out + 14, 0x2345);
	send((uint32_t)out, 100);
	tail++;
	check("left in: length", rx[1].w2 & 0xffff, 104);
	check("  the frame", memcmp(in + 2048, out, 100), 0);
	set(RCTL, RCTL_BASE | RCTL_VFE);
	set(VFTA + (0x345 >> 5) * 4, 0);
	send((uint32_t)out, 100);
	check("filtered", get(RDH), 2);
	set(VFTA + (0x345 >> 5) * 4, 1u << (0x345 & 31));
	send((uint32_t)out, 100);
	check("let through", get(RDH), 3);
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
	checksums();
	segments();
	tags();
	masks();
}
