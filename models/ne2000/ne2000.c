/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ne2000.c - National DP8390D network interface controller (data sheet of July 1995) on a Novell NE2000
 * board, as integrated in Realtek's RTL8019AS (ISA) and RTL8029AS (PCI), whose page 3 is here too.
 *
 * The board's memory as the chip's DMA channels see it: 16 KiB at 4000h, and at 0 the PROM with the station
 * address, each byte twice (its data lines go to both halves of a word).  What lies elsewhere reads as all ones.
 *
 * The DP8390 drops frames for which its ring has no room.  Here they wait outside, as far as the receiver is on:
 * OVW comes all the same, and the frame when the driver has made room and set the chip going again.  The medium knows
 * neither collisions nor errors.  The chip's own EEPROM and Plug and Play are not there.
 */
#include "models/ne2000/ne2000.h"

#include <string.h>

#include "models/net_csum.h"
#include "models/pci/pci_cfg.h"

#define RAM_BASE 0x4000u
#define RAM_SIZE 0x4000u
#define PROM     32u
#define PAGE     256u

#define DATA_PORT  0x10u /* to 17h */
#define RESET_PORT 0x18u /* to 1Fh */

/* Command register, in all pages. */
#define CR_STP   0x01u
#define CR_STA   0x02u
#define CR_TXP   0x04u
#define CR_RD    0x38u
#define CR_READ  0x08u
#define CR_WRITE 0x10u
#define CR_SEND  0x18u /* send packet: a read at the ring's next frame */
#define CR_ABORT 0x20u

#define ISR_PRX 0x01u
#define ISR_PTX 0x02u
#define ISR_RXE 0x04u
#define ISR_TXE 0x08u
#define ISR_OVW 0x10u
#define ISR_CNT 0x20u
#define ISR_RDC 0x40u
#define ISR_RST 0x80u

#define DCR_WTS  0x01u
#define DCR_LAS  0x04u
#define DCR_MASK 0x7fu

#define TCR_LB   0x06u
#define TCR_MASK 0x1fu

#define TSR_PTX 0x01u
#define TSR_ABT 0x08u
#define TSR_CRS 0x10u
#define TSR_FU  0x20u

#define RCR_AB   0x04u
#define RCR_AM   0x08u
#define RCR_PRO  0x10u
#define RCR_MON  0x20u
#define RCR_MASK 0x3fu

#define RSR_PRX 0x01u
#define RSR_PHY 0x20u

#define CR9346_EEM 0xc0u

#define MAX_RX 1518u /* with FCS, and a tag */

struct ne2000 {
	struct dev_env env;
	struct net *net;
	uint8_t mac[6];
	uint8_t irq;
	bool pci;
	uint16_t base;
	struct net_tx tx;
	struct gpa_seg seg;
	bool out;      /* tx is with the network */
	bool dead;     /* ... and nobody waits for it */
	unsigned held; /* pages of a frame that waits outside for room, 0: none does */
	enum {
		NO_OVERRUN,
		TOLD,
		AT_WORK
	} overrun; /* AT_WORK: the driver has stopped the chip for it */
	uint64_t remind_ns;
	struct {
		uint8_t cfg[PCI_CFG_SIZE];
		uint8_t cr, isr, imr, dcr, tcr, tsr, rcr, rsr;
		uint8_t pstart, pstop, bnry, curr, tpsr, fifo;
		uint16_t tbcr, rsar, rbcr, crda, left; /* crda, left: the remote DMA that goes on */
		uint16_t clda;
		uint8_t par[6], mar[8];
		uint8_t cntr[3];
		uint8_t cr9346, config3;
		uint8_t run;     /* between a start and a stop: commands may have neither bit */
		uint8_t pending; /* a frame is to go out: TXP */
		uint8_t line;
		uint8_t ram[RAM_SIZE];
	} state;
};

static const struct pci_reg cfg_regs[] = {
	{ PCI_VENDOR, 4, 0x802910ec, 0, 0 },    { PCI_COMMAND, 4, 0x02000000, 0x00000003, 0 },
	{ PCI_REVISION, 4, 0x02000000, 0, 0 },  { PCI_BAR0, 4, 0x00000001, 0xffffffe0, 0 },
	{ PCI_SUBSYSTEM, 4, 0x802910ec, 0, 0 }, { PCI_INT_LINE, 4, 0x00000100, 0x000000ff, 0 },
};
#define N_CFG (sizeof(cfg_regs) / sizeof(cfg_regs[0]))

enum { R_IO, R_CFG };
enum { T_REMIND };

#define REMIND_MIN_NS 8000000u
#define REMIND_MAX_NS 256000000u

#define SIZES (DEV_SIZE_1 | DEV_SIZE_2 | DEV_SIZE_4)

static const struct dev_region regions[] = {
	[R_IO] = { "ne2000", DEV_PIO, DEV_UNPLACED, 32, SIZES },
	[R_CFG] = { "cfg", DEV_PCICFG, 0, PCI_CFG_SIZE, SIZES },
};

/* In every page: what a driver sets up before it gives a command, and the bytes of a frame, which come one by one
 * even from REP OUTS.  Not ISR and IMR: an interrupt line that is late costs more than an exit. */
static const struct dev_fast fast[] = {
	{ .kind = DEV_POSTED, .region = R_IO, .offset = 0x01, .len = 6, .own = DEV_NO_SHADOW },
	{ .kind = DEV_POSTED, .region = R_IO, .offset = 0x08, .len = 4, .own = DEV_NO_SHADOW },
	{ .kind = DEV_POSTED, .region = R_IO, .offset = DATA_PORT, .len = 8, .own = DEV_NO_SHADOW },
};

static void update_line(struct ne2000 *d)
{
	d->state.line = (d->state.isr & d->state.imr & 0x7f) != 0;
	dev_irq(&d->env, 0, d->state.line);
}

static void interrupt(struct ne2000 *d, uint8_t bits)
{
	d->state.isr |= bits;
	update_line(d);
}

static bool started(const struct ne2000 *d)
{
	return d->state.run;
}

static bool loopback(const struct ne2000 *d)
{
	return d->state.tcr & TCR_LB;
}

/* Tally counters stop at their end; the high bit tells that someone should read them. */
static void count(struct ne2000 *d, unsigned n)
{
	uint8_t *c = &d->state.cntr[n];

	if (*c < 192)
		(*c)++;
	if (*c & 0x80)
		interrupt(d, ISR_CNT);
}

/* Memory */

static uint8_t *ram_at(struct ne2000 *d, uint32_t addr)
{
	return addr - RAM_BASE < RAM_SIZE ? &d->state.ram[addr - RAM_BASE] : NULL;
}

static uint8_t prom_at(const struct ne2000 *d, uint32_t addr)
{
	unsigned i = addr / 2;

	return i < 6 ? d->mac[i] : i >= 14 ? 0x57 : 0; /* 'W': a board for 16 bits */
}

static uint8_t read_mem(struct ne2000 *d, uint32_t addr)
{
	const uint8_t *p = ram_at(d, addr);

	return p ? *p : addr < PROM ? prom_at(d, addr) : 0xff;
}

/* The ring's end, for the remote channel too: drivers read a frame that wraps in one go. */
static uint16_t wrap(const struct ne2000 *d, uint16_t addr)
{
	return addr == d->state.pstop * PAGE ? (uint16_t)(d->state.pstart * PAGE) : addr;
}

/* Remote DMA of bytes through the data port; n is even in word mode. */
static void remote(struct ne2000 *d, bool write, uint8_t *buf, uint32_t n)
{
	bool go = d->state.left > 0 && (d->state.cr & CR_RD) == (write ? CR_WRITE : CR_READ);

	if (!write)
		memset(buf, 0xff, n);
	for (uint32_t i = 0; i < n && go;) {
		uint16_t at = d->state.crda, stop = (uint16_t)(d->state.pstop * PAGE);
		uint32_t k = n - i < d->state.left ? n - i : d->state.left;
		uint8_t *p = ram_at(d, at);

		/* As much as lies together. */
		if (p && k > RAM_BASE + RAM_SIZE - at)
			k = RAM_BASE + RAM_SIZE - at;
		if (!p)
			k = 1;
		if (at < stop && k > (uint32_t)stop - at)
			k = (uint32_t)stop - at;
		if (p && write)
			memcpy(p, buf + i, k);
		else if (p)
			memcpy(buf + i, p, k);
		else if (!write)
			buf[i] = read_mem(d, at);
		i += k;
		d->state.crda = wrap(d, (uint16_t)(at + k));
		d->state.left -= (uint16_t)k;
		if (d->state.left == 0) {
			interrupt(d, ISR_RDC);
			go = false;
		}
	}
}

/* One access of the data port.  In word mode a byte access moves a word, of which the guest sees the low half. */
static void data_port(struct ne2000 *d, struct dev_access *a)
{
	uint8_t buf[4] = { 0 };
	bool word = d->state.dcr & DCR_WTS;
	uint32_t n = word && a->size == 1 ? 2 : a->size;

	for (unsigned i = 0; i < a->size && a->write; i++)
		buf[i] = (uint8_t)(a->data >> i * 8);
	remote(d, a->write, buf, n);
	if (a->write)
		return;
	a->data = 0;
	for (unsigned i = 0; i < a->size; i++)
		a->data |= (uint64_t)buf[i] << i * 8;
}

/* Reception */

static bool for_us(const struct ne2000 *d, const uint8_t *frame, uint8_t *rsr)
{
	static const uint8_t all[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
	uint32_t hash;

	*rsr = RSR_PRX;
	if (frame[0] & 1) {
		*rsr |= RSR_PHY;
		if (memcmp(frame, all, 6) == 0 && (d->state.rcr & RCR_AB))
			return true;
		hash = net_crc32(frame, 6) >> 26;
		return (d->state.rcr & RCR_AM) && (d->state.mar[hash / 8] >> hash % 8 & 1);
	}
	return (d->state.rcr & RCR_PRO) || memcmp(frame, d->state.par, 6) == 0;
}

static bool ring_valid(const struct ne2000 *d)
{
	return d->state.pstart < d->state.pstop && d->state.pstart >= RAM_BASE / PAGE &&
	       d->state.pstop <= (RAM_BASE + RAM_SIZE) / PAGE && d->state.curr >= d->state.pstart &&
	       d->state.curr < d->state.pstop;
}

/* Pages from CURR up to BNRY.  CURR never gets there: then the ring would look empty, as it is at first. */
static unsigned free_pages(const struct ne2000 *d)
{
	unsigned n = d->state.pstop - d->state.pstart, bnry = d->state.bnry;

	/* Linux writes the page before the next frame's, even before the first: that is the last. */
	if (bnry + 1 < d->state.pstart || bnry >= d->state.pstop)
		return n; /* never met */
	return bnry > d->state.curr ? bnry - d->state.curr : n - (d->state.curr - bnry);
}

static unsigned pages_of(uint32_t frame)
{
	return (frame + 4 + PAGE - 1) / PAGE;
}

static void put(struct ne2000 *d, uint16_t *at, const uint8_t *p, uint32_t len)
{
	while (len > 0) {
		uint32_t k = (uint32_t)d->state.pstop * PAGE - *at;

		k = k < len ? k : len;
		memcpy(&d->state.ram[*at - RAM_BASE], p, k);
		*at = wrap(d, (uint16_t)(*at + k));
		p += k;
		len -= k;
	}
}

enum rx { RX_OK, RX_FULL, RX_BAD };

static enum rx store(struct ne2000 *d, const struct net_rx *r, uint8_t rsr)
{
	uint16_t at = (uint16_t)(d->state.curr * PAGE), end;
	uint8_t head[4];
	unsigned next = d->state.curr + pages_of(r->len);

	if (!ring_valid(d))
		return RX_BAD;
	/* What the ring can never hold is dropped; a driver's ring is larger. */
	if (pages_of(r->len) >= (unsigned)(d->state.pstop - d->state.pstart))
		return RX_BAD;
	if (pages_of(r->len) >= free_pages(d))
		return RX_FULL;
	if (next >= d->state.pstop)
		next -= d->state.pstop - d->state.pstart;
	head[0] = rsr;
	head[1] = (uint8_t)next;
	/* Of the frame with its FCS; drivers take 4 off.  Linux's compares the next page with what follows from it. */
	head[2] = (uint8_t)r->len;
	head[3] = (uint8_t)(r->len >> 8);
	end = at;
	put(d, &end, head, 4);
	for (unsigned i = 0; i < r->n; i++)
		put(d, &end, r->piece[i].p, r->piece[i].len);
	d->state.clda = end;
	d->state.curr = (uint8_t)next;
	d->state.rsr = rsr;
	interrupt(d, ISR_PRX);
	return RX_OK;
}

static bool ne_receive(void *owner, const uint8_t *frame, size_t len, const struct net_offload *off)
{
	struct ne2000 *d = owner;
	struct net_rx r;
	uint8_t rsr;

	if (!d->net->link)
		return true;
	/* Data sheet, "Buffer ring overflow": the driver stops the chip and goes through loopback while it makes
	 * room for what waits.  It may do so when that has come already; what comes meanwhile waits too. */
	if (!started(d) || loopback(d)) {
		if (d->overrun == AT_WORK && !d->held)
			d->held = 1;
		return !d->held;
	}
	if (!for_us(d, frame, &rsr))
		return true;
	if (d->state.rcr & RCR_MON) {
		count(d, 2);
		return true;
	}
	if (len + NET_ETH_FCS > MAX_RX + NET_VLAN_HDR)
		return true;
	net_rx_init(&r, frame, len, off, false);
	switch (store(d, &r, rsr)) {
	case RX_OK: return true;
	case RX_BAD: count(d, 2); return true;
	case RX_FULL: break;
	}
	d->held = pages_of(r.len);
	d->overrun = TOLD;
	interrupt(d, ISR_OVW);
	return false;
}

/* Maybe what is held can come now. */
static void resume(struct ne2000 *d)
{
	if (!started(d) || loopback(d))
		return;
	if (d->overrun == AT_WORK)
		d->overrun = NO_OVERRUN;
	if (!d->held || (ring_valid(d) && free_pages(d) <= d->held))
		return;
	d->held = 0;
	net_resume(d->net);
}

/* Linux's 8390 takes at most nine frames at a time, and acknowledges what has come before it has looked for the last time:
 * a frame can be left in the ring that it learns of with the next one.  On a wire that comes; here it may be the
 * last, so the ring is announced again. */
static bool ring_left(const struct ne2000 *d)
{
	unsigned next = d->state.bnry + 1u;

	return ring_valid(d) && started(d) && d->state.curr != d->state.bnry &&
	       d->state.curr != (next < d->state.pstop ? next : d->state.pstart);
}

static void remind_soon(struct ne2000 *d)
{
	if (!ring_left(d))
		return;
	if (d->remind_ns < REMIND_MAX_NS)
		d->remind_ns = d->remind_ns ? d->remind_ns * 2 : REMIND_MIN_NS;
	dev_arm(&d->env, T_REMIND, dev_now_ns(&d->env) + d->remind_ns);
}

static void ne_timer(void *dev, unsigned id)
{
	struct ne2000 *d = dev;

	if (ring_left(d) && !(d->state.isr & ISR_PRX))
		interrupt(d, ISR_PRX);
	remind_soon(d);
}

static void forget_held(struct ne2000 *d)
{
	d->overrun = NO_OVERRUN;
	if (d->held) {
		d->held = 0;
		net_resume(d->net);
	}
}

/* Transmission */

static void sent(struct ne2000 *d, uint8_t tsr)
{
	d->state.pending = 0;
	d->state.cr &= (uint8_t)~CR_TXP;
	d->state.tsr = tsr;
	interrupt(d, tsr & (TSR_ABT | TSR_FU) ? ISR_TXE : ISR_PTX);
}

/* The frame comes back in, into the FIFO only: its last eight bytes are left there (data sheet, "Loopback
 * diagnostics"). */
static void loop_back(struct ne2000 *d, const uint8_t *frame, uint32_t len)
{
	d->state.fifo = frame[len - 1];
	d->state.rsr = RSR_PRX;
	sent(d, TSR_PTX);
}

static void transmit(struct ne2000 *d)
{
	uint32_t at = d->state.tpsr * PAGE, len = d->state.tbcr;
	const uint8_t *p = ram_at(d, at);

	if (!d->state.pending || d->out)
		return;
	if (!p || len == 0 || len > RAM_BASE + RAM_SIZE - at) {
		sent(d, TSR_FU);
	} else if (loopback(d)) {
		loop_back(d, p, len);
	} else if (!d->net || !d->net->link) {
		sent(d, TSR_PTX | TSR_CRS);
	} else if (len < NET_ETH_HDR || len > NET_MTU_MAX) {
		sent(d, TSR_PTX); /* nothing that anyone would hear */
	} else {
		d->seg = (struct gpa_seg){ dev_buf_gpa(&d->env, p), len };
		d->out = net_send(d->net, &d->tx) == 0; /* else sent_room() comes */
	}
}

static void tx_done(void *owner, struct net_tx *tx, int err)
{
	struct ne2000 *d = owner;

	(void)tx;
	d->out = false;
	if (d->dead) {
		d->dead = false;
		transmit(d); /* another may have been started since */
	} else {
		sent(d, err ? TSR_ABT : TSR_PTX);
	}
}

static void sent_room(void *owner)
{
	transmit(owner);
}

static void forget_sending(struct ne2000 *d)
{
	d->state.pending = 0;
	d->state.cr &= (uint8_t)~CR_TXP;
	d->dead = d->out;
}

static void link_changed(void *owner)
{
	/* 10BASE2 and 10BASE-T of these chips do not tell; frames get lost. */
	resume(owner);
}

/* Registers */

static void chip_reset(struct ne2000 *d)
{
	forget_sending(d);
	d->state.cr = CR_STP | CR_ABORT;
	d->state.isr = ISR_RST;
	d->state.imr = 0;
	d->state.dcr |= DCR_LAS;
	d->state.tcr &= (uint8_t)~TCR_LB;
	d->state.left = 0;
	d->state.run = 0;
	update_line(d);
	forget_held(d);
}

static void write_cr(struct ne2000 *d, uint8_t v)
{
	uint8_t txp = d->state.cr & CR_TXP;

	/* TXP is cleared by the end of transmission only.  A stop lets that go on. */
	d->state.cr = (uint8_t)((v & ~CR_TXP) | txp);
	if (v & CR_STP) {
		d->state.run = 0;
		d->state.isr |= ISR_RST;
		if (d->overrun == TOLD)
			d->overrun = AT_WORK;
	} else if (v & CR_STA) {
		d->state.run = 1;
		d->state.isr &= (uint8_t)~ISR_RST;
	}
	switch (v & CR_RD) {
	case 0: break; /* not allowed: nothing changes */
	case CR_SEND:
		d->state.crda = (uint16_t)(d->state.bnry * PAGE);
		d->state.left = (uint16_t)(read_mem(d, d->state.crda + 2u) |
					   read_mem(d, d->state.crda + 3u) << 8);
		d->state.cr = (uint8_t)((d->state.cr & ~CR_RD) | CR_READ);
		break;
	case CR_READ:
	case CR_WRITE:
		d->state.crda = d->state.rsar;
		d->state.left = d->state.rbcr;
		if (d->state.left == 0)
			interrupt(d, ISR_RDC);
		break;
	default: d->state.left = 0; /* abort or complete */
	}
	if ((v & CR_TXP) && !txp && started(d)) {
		d->state.cr |= CR_TXP;
		d->state.tsr = 0;
		d->state.pending = 1;
		transmit(d);
	}
	update_line(d);
	resume(d);
}

static void set_byte(uint16_t *v, unsigned high, uint8_t b)
{
	*v = (uint16_t)(high ? (*v & 0xff) | b << 8 : (*v & 0xff00) | b);
}

static void write_page0(struct ne2000 *d, unsigned reg, uint8_t v)
{
	switch (reg) {
	case 0x1: d->state.pstart = v; break;
	case 0x2: d->state.pstop = v; break;
	case 0x3:
		d->state.bnry = v;
		resume(d);
		break;
	case 0x4: d->state.tpsr = v; break;
	case 0x5:
	case 0x6: set_byte(&d->state.tbcr, reg == 0x6, v); break;
	case 0x7:
		d->state.isr &= (uint8_t)(~v | ISR_RST); /* RST goes with a start only */
		update_line(d);
		if (v & ISR_PRX) {
			d->remind_ns = 0;
			remind_soon(d);
		}
		break;
	case 0x8:
	case 0x9: set_byte(&d->state.rsar, reg == 0x9, v); break;
	case 0xa:
	case 0xb: set_byte(&d->state.rbcr, reg == 0xb, v); break;
	case 0xc:
		d->state.rcr = v & RCR_MASK;
		if (v & RCR_MON) /* nothing is wanted any more */
			forget_held(d);
		resume(d);
		break;
	case 0xd:
		d->state.tcr = v & TCR_MASK;
		resume(d);
		break;
	case 0xe:
		d->state.dcr = v & DCR_MASK;
		resume(d);
		break;
	case 0xf:
		d->state.imr = v & 0x7f;
		update_line(d);
		break;
	}
}

static uint8_t read_page0(struct ne2000 *d, unsigned reg)
{
	uint8_t v;

	switch (reg) {
	case 0x1:
	case 0x2: return (uint8_t)(d->state.clda >> (reg - 1) * 8);
	case 0x3: return d->state.bnry;
	case 0x4: return d->state.tsr;
	case 0x5: return 0; /* NCR: no collisions */
	case 0x6: return d->state.fifo;
	case 0x7: return d->state.isr;
	case 0x8:
	case 0x9: return (uint8_t)(d->state.crda >> (reg - 8) * 8);
	case 0xa: return 0x50;                 /* 8029ID0, 8019ID0 */
	case 0xb: return d->pci ? 0x43 : 0x70; /* 8029ID1, 8019ID1 */
	case 0xc: return d->state.rsr;
	}
	v = d->state.cntr[reg - 0xd];
	d->state.cntr[reg - 0xd] = 0;
	return v;
}

static uint8_t *page1_reg(struct ne2000 *d, unsigned reg)
{
	return reg < 7  ? &d->state.par[reg - 1] :
	       reg == 7 ? &d->state.curr :
			  &d->state.mar[reg - 8];
}

static uint8_t read_page2(const struct ne2000 *d, unsigned reg)
{
	switch (reg) {
	case 0x1: return d->state.pstart;
	case 0x2: return d->state.pstop;
	case 0x4: return d->state.tpsr;
	case 0xc: return 0xc0 | d->state.rcr;
	case 0xd: return 0xe0 | d->state.tcr;
	case 0xe: return 0x80 | d->state.dcr;
	case 0xf: return 0x80 | d->state.imr;
	}
	return 0xff;
}

/* Realtek's own.  Of the settings only full duplex can be changed here, and means nothing. */
static uint8_t read_page3(const struct ne2000 *d, unsigned reg)
{
	static const uint8_t irqs[8] = { 9, 3, 4, 5, 10, 11, 12, 15 };
	uint8_t v = 0;

	switch (reg) {
	case 0x1: return d->state.cr9346;
	case 0x4: /* CONFIG1: IRQEN, IRQS, IOS */
		if (d->pci)
			return 0;
		while (v < 7 && irqs[v] != d->irq)
			v++;
		return (uint8_t)(0x80 | v << 4 | (d->base < 0x300 ? 8 : 0) | (d->base >> 5 & 7));
	case 0x6: return d->state.config3;
	}
	return 0;
}

static uint8_t read8(struct ne2000 *d, unsigned reg)
{
	if (reg == 0)
		return d->state.cr;
	switch (d->state.cr >> 6) {
	case 0: return read_page0(d, reg);
	case 1: return *page1_reg(d, reg);
	case 2: return read_page2(d, reg);
	}
	return read_page3(d, reg);
}

static void write8(struct ne2000 *d, unsigned reg, uint8_t v)
{
	unsigned page = d->state.cr >> 6;

	if (reg == 0) {
		write_cr(d, v);
	} else if (page == 0) {
		write_page0(d, reg, v);
	} else if (page == 1) {
		*page1_reg(d, reg) = v;
		resume(d);
	} else if (page == 3 && reg == 0x1) {
		d->state.cr9346 = v & CR9346_EEM;
	} else if (page == 3 && reg == 0x6 && (d->state.cr9346 & CR9346_EEM) == CR9346_EEM) {
		d->state.config3 = v & 0x40; /* FUDUP */
	}
}

static void access_cfg(struct ne2000 *d, struct dev_access *a)
{
	pci_cfg_access(d->state.cfg, cfg_regs, N_CFG, a);
	if (a->write && (pci_cfg_hits(a, PCI_COMMAND, 2) || pci_cfg_hits(a, PCI_BAR0, 4)))
		dev_place(&d->env, R_IO, pci_cfg_io_bar(d->state.cfg, PCI_BAR0));
}

static enum dev_rc ne_access(void *dev, struct dev_access *a)
{
	struct ne2000 *d = dev;

	if (a->region == R_CFG) {
		access_cfg(d, a);
		return DEV_OK;
	}
	if (a->offset >= DATA_PORT && a->offset < RESET_PORT) {
		data_port(d, a);
		return DEV_OK;
	}
	if (!a->write)
		a->data = 0;
	for (unsigned i = 0; i < a->size; i++) {
		unsigned off = a->offset + i;

		/* A read resets, on most boards a write too; drivers do both. */
		if (off >= RESET_PORT && i == 0)
			chip_reset(d);
		if (off >= DATA_PORT)
			continue;
		if (a->write)
			write8(d, off, (uint8_t)(a->data >> i * 8));
		else
			a->data |= (uint64_t)read8(d, off) << i * 8;
	}
	return DEV_OK;
}

static enum dev_rc ne_burst(void *dev, struct dev_access *a, void *buf, uint32_t n)
{
	struct ne2000 *d = dev;
	uint8_t *p = buf;

	/* Bytes that move words are not in a row. */
	if (a->region == R_IO && a->offset >= DATA_PORT && a->offset < RESET_PORT &&
	    (a->size > 1 || !(d->state.dcr & DCR_WTS))) {
		remote(d, a->write, p, n * a->size);
		return DEV_OK;
	}
	for (uint32_t i = 0; i < n; i++, p += a->size) {
		a->data = 0;
		if (a->write)
			memcpy(&a->data, p, a->size);
		ne_access(dev, a);
		if (!a->write)
			memcpy(p, &a->data, a->size);
	}
	return DEV_OK;
}

static void place(struct ne2000 *d)
{
	dev_place(&d->env, R_IO, d->pci ? pci_cfg_io_bar(d->state.cfg, PCI_BAR0) : d->base);
}

static void ne_reset(void *dev)
{
	struct ne2000 *d = dev;

	forget_sending(d);
	memset(&d->state, 0, sizeof(d->state));
	if (d->pci)
		pci_cfg_reset(d->state.cfg, cfg_regs, N_CFG);
	memcpy(d->state.par, d->mac, 6); /* undefined in the chip */
	chip_reset(d);
	place(d);
}

static int init(struct ne2000 *d, const struct dev_env *env, const struct ne2000_cfg *c, bool pci)
{
	d->env = *env;
	d->net = c->net;
	d->pci = pci;
	d->base = c->base;
	d->irq = c->irq;
	memcpy(d->mac, c->net ? c->net->mac : c->mac, 6);
	if ((d->mac[0] & 1) || (!pci && (c->base % 32 || c->base == 0)))
		return -1;
	d->tx = (struct net_tx){ .seg = &d->seg, .n_seg = 1, .done = tx_done, .owner = d };
	if (d->net) {
		d->net->receive = ne_receive;
		d->net->sent_room = sent_room;
		d->net->link_changed = link_changed;
		d->net->owner = d;
	}
	ne_reset(d);
	return 0;
}

static int init_pci(void *dev, const struct dev_env *env, const void *cfg)
{
	return init(dev, env, cfg, true);
}

static int init_isa(void *dev, const struct dev_env *env, const void *cfg)
{
	return init(dev, env, cfg, false);
}

static bool ne_sane(const void *dev)
{
	const struct ne2000 *d = dev;

	return (!d->pci || pci_cfg_valid(d->state.cfg, cfg_regs, N_CFG)) &&
	       !(d->state.imr & 0x80) && !(d->state.dcr & 0x80) && !(d->state.tcr & ~TCR_MASK) &&
	       !(d->state.rcr & ~RCR_MASK) && d->state.pending <= 1 && d->state.line <= 1 &&
	       d->state.run <= 1 && !(d->state.cr9346 & ~CR9346_EEM) &&
	       !(d->state.config3 & ~0x40) && d->state.cntr[0] <= 192 && d->state.cntr[1] <= 192 &&
	       d->state.cntr[2] <= 192 && (d->state.cr & CR_TXP ? 1 : 0) == d->state.pending &&
	       !(d->dead && !d->out);
}

static int ne_loaded(void *dev)
{
	struct ne2000 *d = dev;

	/* A frame of the state before is not this one's. */
	d->dead = d->out;
	if (!ne_sane(d)) {
		ne_reset(d);
		return -1;
	}
	place(d);
	dev_irq(&d->env, 0, d->state.line);
	forget_held(d);
	d->remind_ns = 0;
	remind_soon(d);
	transmit(d);
	return 0;
}

#define NE2000_CLASS(id, n, start)                                                            \
	{                                                                                     \
		.name = id, .size = sizeof(struct ne2000),                                    \
		.state_off = offsetof(struct ne2000, state),                                  \
		.state_size = sizeof(((struct ne2000 *)0)->state), .regions = regions,        \
		.n_regions = n, .n_irqs = 1, .n_timers = 1, .timer = ne_timer, .fast = fast,  \
		.n_fast = sizeof(fast) / sizeof(fast[0]), .init = start, .reset = ne_reset,   \
		.access = ne_access, .burst = ne_burst, .loaded = ne_loaded, .sane = ne_sane, \
	}

const struct dev_class ne2000_pci_class = NE2000_CLASS("ne2000-pci", 2, init_pci);
const struct dev_class ne2000_isa_class = NE2000_CLASS("ne2000-isa", 1, init_isa);
