/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * net-rtl8139.c - the C+ mode of Realtek's RTL8139C+ in loopback (data sheet 1.6): rings of descriptors to their edges,
 * frames in pieces, tags and checksums.
 */
#include "net.h"

#define CARD DEVFN(3, 0)
#define BASE 0xc400u
#define MMIO 0xe0000000u

enum {
	TNPDS = 0x20,
	CR = 0x37,
	IMR = 0x3c,
	ISR = 0x3e,
	TCR = 0x40,
	RCR = 0x44,
	MPC = 0x4c,
	TPPOLL = 0xd9,
	CPCR = 0xe0,
	RDSAR = 0xe4,
};

#define CR_RST   0x10u
#define CR_ON    0x0cu
#define LOOP     0x00060000u
#define NPQ      0x40u
#define PLUS     0x0bu /* CPCR: receiver, transmitter, memory write and invalidate */
#define RXCHKSUM 0x20u
#define RXVLAN   0x40u

#define OWN  0x80000000u
#define EOR  0x40000000u
#define FS   0x20000000u
#define LS   0x10000000u
#define BAR  0x01000000u
#define TES  0x00800000u
#define TAG  0x00020000u /* word 1: TAGC */
#define TAVA 0x00010000u

#define ISR_ROK  0x0001u
#define ISR_TOK  0x0004u
#define ISR_RDU  0x0010u
#define ISR_TDU  0x0080u
#define ISR_SERR 0x8000u

#define MAX 64u /* descriptors in a ring */
#define BUF 2048u

struct desc {
	uint32_t w0, w1, addr, high;
};

static volatile struct desc *const tx = (struct desc *)FREE_RAM;
static volatile struct desc *const rx = (struct desc *)(FREE_RAM + 0x1000);
static uint8_t *const out = (uint8_t *)(FREE_RAM + 0x10000);
static uint8_t *const in = (uint8_t *)(FREE_RAM + 0x40000);
static unsigned irq = 11, t, r, n_tx, n_rx;

static uint16_t get(unsigned off)
{
	uint16_t v = *(volatile uint16_t *)(MMIO + off);

	BARRIER();
	return v;
}

static void set(unsigned off, uint16_t v)
{
	BARRIER();
	*(volatile uint16_t *)(MMIO + off) = v;
}

static void give(unsigned i, uint32_t len)
{
	rx[i].w1 = 0;
	rx[i].addr = (uint32_t)in + i * BUF;
	rx[i].high = 0;
	BARRIER();
	rx[i].w0 = OWN | (i == n_rx - 1 ? EOR : 0) | len;
}

/* A fresh card; rings of so many descriptors, ready of which are the receiver's. */
static void start(unsigned txs, unsigned rxs, unsigned ready, unsigned bytes, uint16_t cpcr)
{
	outb(BASE + CR, CR_RST);
	WAIT(!(inb(BASE + CR) & CR_RST), 100);
	memset((void *)FREE_RAM, 0, 0x2000);
	memset(in, 0xee, MAX * BUF);
	n_tx = txs;
	n_rx = rxs;
	t = r = 0;
	for (unsigned i = 0; i < ready; i++)
		give(i, bytes);
	outw(BASE + CPCR, PLUS | cpcr);
	outl(BASE + RDSAR, (uint32_t)rx);
	outl(BASE + RDSAR + 4, 0);
	outl(BASE + TNPDS, (uint32_t)tx);
	outl(BASE + TNPDS + 4, 0);
	outb(BASE + CR, CR_ON);
	outl(BASE + TCR, LOOP);
	outl(BASE + RCR, 0x08);
	set(ISR, 0xffff);
}

/* The next descriptor of the transmitter; its number. */
static unsigned put_tx(uint32_t flags, uint32_t tag, uint32_t addr, uint32_t len)
{
	unsigned i = t;

	t = (t + 1) % n_tx;
	tx[i].w1 = tag;
	tx[i].addr = addr;
	tx[i].high = 0;
	BARRIER();
	tx[i].w0 = OWN | flags | (i == n_tx - 1 && n_tx < MAX ? EOR : 0) | len;
	return i;
}

/* Looks at the ring; the descriptor's first word, once it is the driver's again. */
static uint32_t go(unsigned i)
{
	outb(BASE + TPPOLL, NPQ);
	return WAIT(!(tx[i].w0 & OWN), 1000) ? tx[i].w0 : OWN;
}

static uint32_t send(uint32_t flags, uint32_t tag, uint32_t len)
{
	return go(put_tx(FS | LS | flags, tag, (uint32_t)out, len));
}

static void frame(uint8_t seed, unsigned len)
{
	memset(out, 0xff, 6);
	for (unsigned i = 6; i < len; i++)
		out[i] = (uint8_t)(i * 5 + seed);
}

static uint32_t status(unsigned i)
{
	return WAIT(!(rx[i].w0 & OWN), 1000) ? rx[i].w0 : OWN;
}

static void around(unsigned txs, unsigned rxs, unsigned frames, const char *name)
{
	struct tally sent = { 0 }, came = { 0 };

	start(txs, rxs, rxs, 1600, 0);
	for (unsigned k = 0; k < frames; k++) {
		unsigned len = 60 + k * 9;
		uint32_t eor = r == rxs - 1 ? EOR : 0;

		frame((uint8_t)k, len);
		tally(&sent, send(0, 0, len) & (OWN | TES), 0);
		tally(&came, status(r), eor | FS | LS | BAR | (len + 4));
		tally(&came, memcmp(in + r * BUF, out, len), 0);
		give(r, 1600);
		r = (r + 1) % rxs;
	}
	check_all(name, &sent);
	check_all("  what came", &came);
	check("  ISR", get(ISR), ISR_ROK | ISR_TOK | ISR_TDU);
}

static void rings(void)
{
	unsigned i;

	around(8, 5, 20, "rings of 8 and 5");
	around(1, 1, 5, "rings of 1");
	around(MAX, MAX, 130, "rings of 64, without an end");

	start(8, 4, 2, 1600, 0);
	frame(1, 100);
	for (i = 0; i < 3; i++)
		send(0, 0, 100);
	check("two ready: the second", status(1) & 0x1fff, 104);
	check("  the third has no room", get(ISR) & ISR_RDU, ISR_RDU);
	check("  it is missed", inl(BASE + MPC) & 0xffffff, 1);
	check("  nothing beyond", rx[2].w0, 0);
	give(2, 1600);
	set(ISR, 0xffff);
	send(0, 0, 100);
	check("  and one more has room", status(2) & 0x1fff, 104);

	start(8, 4, 4, 1600, 0);
	outb(BASE + TPPOLL, NPQ);
	check("nothing to send", get(ISR), ISR_TDU);
	check("zero length ends", send(0, 0, 0) & (OWN | TES), 0);
	check("less than a header ends", send(0, 0, 13) & (OWN | TES), 0);
	check("  and comes nowhere", rx[0].w0, OWN | 1600);
	put("the longest", send(0, 0, 0xffff));
	put("outside RAM", go(put_tx(FS | LS, 0, 0xf0000000, 100)));
	put("  ISR", get(ISR) & ISR_SERR);
	check("  and on", send(0, 0, 100) & (OWN | TES), 0);
	check("  it comes", status(0) & 0x1fff, 104);

	start(8, 4, 4, 1600, 0);
	rx[0].addr = 0xf0000000;
	send(0, 0, 100);
	put("a buffer outside RAM: ISR", get(ISR));
	start(8, 4, 4, 1600, 0);
	outl(BASE + RDSAR, 0xf0000000);
	send(0, 0, 100);
	put("a ring outside RAM: ISR", get(ISR));
	outl(BASE + TNPDS, 0xf0000000);
	outb(BASE + TPPOLL, NPQ);
	put("  the transmitter's", get(ISR));

	start(8, 4, 4, 1600, 0);
	for (i = 0; i < 8; i++)
		put_tx(FS | LS, 0, (uint32_t)out, 100);
	outb(BASE + TPPOLL, NPQ);
	outb(BASE + CR, CR_RST);
	check("reset in mid-transfer", WAIT(!(inb(BASE + CR) & CR_RST), 100), true);
	start(8, 4, 4, 1600, 0);
	check("  and on", send(0, 0, 100) & (OWN | TES), 0);
	check("  it comes", status(0) & 0x1fff, 104);
}

static void pieces(void)
{
	struct tally p = { 0 };

	start(8, 6, 6, 400, 0);
	frame(3, 1000);
	put_tx(FS, 0, (uint32_t)out, 1);
	put_tx(0, 0, (uint32_t)out + 1, 0);
	put_tx(0, 0, (uint32_t)out + 1, 598);
	check("in four pieces", go(put_tx(LS, 0, (uint32_t)out + 599, 401)) & (OWN | TES), 0);
	for (unsigned i = 0; i < 4; i++)
		tally(&p, tx[i].w0 & OWN, 0);
	tally(&p, status(0), FS | BAR | 400);
	tally(&p, status(1), BAR | 400);
	tally(&p, status(2), LS | BAR | 1004);
	tally(&p, rx[3].w0, OWN | 400);
	tally(&p, memcmp(in, out, 400), 0);
	tally(&p, memcmp(in + BUF, out + 400, 400), 0);
	tally(&p, memcmp(in + 2 * BUF, out + 800, 200), 0);
	check_all("  into three buffers", &p);
	/* Its end is not there: it waits. */
	put_tx(FS, 0, (uint32_t)out, 100);
	outb(BASE + TPPOLL, NPQ);
	put("half a frame", tx[4].w0);
	check("  with its other half", go(put_tx(LS, 0, (uint32_t)out + 100, 100)) & (OWN | TES),
	      0);
	check("  it comes", status(3) & 0x1fff, 204);
	start(4, 4, 4, 1600, 0);
	put_tx(FS, 0, (uint32_t)out, 100);
	for (unsigned i = 1; i < 4; i++)
		put_tx(0, 0, (uint32_t)out, 100);
	put("a ring that is one frame without an end", go(0));
	start(4, 4, 4, 1600, 0);
	check("  after a reset it goes on", send(0, 0, 100) & (OWN | TES), 0);
}

#define IPCS   0x00040000u
#define UDPCS  0x00020000u
#define TCPCS  0x00010000u
#define LGSEN  0x08000000u
#define PID(w) ((w) >> 16 & 3)
#define IPF    0x8000u
#define UDPF   0x4000u
#define TCPF   0x2000u

static void checksums(void)
{
	struct tally made = { 0 }, found = { 0 };

	for (unsigned k = 0; k < 2; k++) {
		unsigned proto = k ? UDP : TCP, cs = k ? UDPCS : TCPCS, bad = k ? UDPF : TCPF;
		unsigned len = ip_frame(out, proto, 333, 9);

		start(8, 8, 8, 1600, RXCHKSUM);
		send(0, 0, len);
		tally(&found, status(0) & 0x3e000, (k ? 2u : 1u) << 16);
		*l4_csum(out) ^= 1;
		send(0, 0, len);
		tally(&found, status(1) & 0x3e000, (k ? 2u : 1u) << 16 | bad);
		out[IP + 8]--;
		send(0, 0, len);
		tally(&found, status(2) & 0x3e000, (k ? 2u : 1u) << 16 | bad | IPF);
		put16(out + IP + 10, 0);
		put16(l4_csum(out), 0);
		send(IPCS | cs, 0, len);
		tally(&found, status(3) & 0x3e000, (k ? 2u : 1u) << 16);
		tally(&made, ip_good(in + 3 * BUF), true);
		tally(&made, l4_good(in + 3 * BUF), true);
		send(IPCS, 0, len); /* one alone */
		tally(&made, ip_good(in + 4 * BUF), true);
		tally(&made, get16(l4_csum(in + 4 * BUF)), 0);
		put16(out + IP + 2, 1500); /* longer than it is */
		put16(out + IP + 10, 0);
		tally(&made, send(IPCS | cs, 0, len) & OWN, 0);
		out[IP] = 0x4f; /* a header longer than what follows */
		tally(&made, send(IPCS | cs, 0, 40) & OWN, 0);
	}
	check_all("checksums made", &made);
	check_all("  and looked at", &found);
	start(8, 8, 8, 1600, 0);
	check("a large send ends", send(LGSEN | 100u << 16, 0, ip_frame(out, TCP, 250, 1)) & OWN,
	      0);
	check("  of segments of no size", send(LGSEN, 0, ip_frame(out, TCP, 250, 1)) & OWN, 0);
	check("  that is none", send(LGSEN | 100u << 16, 0, ip_frame(out, UDP, 250, 1)) & OWN, 0);
}

static void tags(void)
{
	start(8, 8, 8, 1600, 0);
	frame(5, 100);
	send(0, TAG | 0x3412, 100); /* VLAN 0x234 of priority 0, its bytes swapped: 0x1234 */
	check("a tag: length", status(0) & 0x1fff, 108);
	check("  it", get16(in + 12) << 16 | get16(in + 14), 0x81001234);
	check("  the rest", memcmp(in + 16, out + 12, 88), 0);
	start(8, 8, 8, 1600, RXVLAN);
	send(0, TAG | 0x3412, 100);
	check("taken out: length", status(0) & 0x1fff, 104);
	check("  it", rx[0].w1 & 0x1ffff, TAVA | 0x3412);
	check("  the rest", memcmp(in, out, 100), 0);
	send(0, 0, 100);
	check("  none", rx[1].w1 & TAVA, 0);
}

static void masks(void)
{
	start(8, 8, 8, 1600, 0);
	set(IMR, 0);
	irq_off(irq);
	frame(6, 100);
	send(0, 0, 100);
	check("ISR", get(ISR), ISR_ROK | ISR_TOK | ISR_TDU);
	check_line("masked", irq, false);
	set(ISR, ISR_TDU);
	check("  one taken back", get(ISR), ISR_ROK | ISR_TOK);
	set(IMR, ISR_TOK);
	check("IMR", get(IMR), ISR_TOK);
	check_line("unmasked", irq, true);
	set(ISR, ISR_ROK);
	check_line("  another taken back", irq, true);
	set(ISR, ISR_TOK);
	check_line("  all taken back", irq, false);
	check("ISR", get(ISR), 0);
	/* Acknowledged while nothing is there, then something comes. */
	for (unsigned i = 0; i < 100; i++)
		set(ISR, 0xffff);
	send(0, 0, 100);
	check_line("and again", irq, true);
	set(IMR, 0);
	check_line("  masked", irq, false);
	check("  ISR", get(ISR), ISR_ROK | ISR_TOK | ISR_TDU);
}

void run(void)
{
	pci_write(DEVFN(1, 0), 0x60, 0x0b0b0b0b); /* all PIRQs */
	check("id", pci_read(CARD, 0), 0x813910ec);
	check("  revision", pci_read(CARD, 8) & 0xff, 0x20);
	pci_write(CARD, 0x10, BASE);
	pci_write(CARD, 0x14, MMIO);
	pci_write(CARD, 4, 0x0007);
	rings();
	pieces();
	checksums();
	tags();
	masks();
}
