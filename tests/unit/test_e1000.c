/* SPDX-License-Identifier: BSD-2-Clause */
/* Register scripts for the 82540EM, from Intel's software developer's manual and in the order of Linux's driver. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "fake_host.h"
#include "models/e1000/e1000_int.h"

#define DEVFN  24
#define MEM    0xfebc0000u
#define IO     0xc000u
#define MS     1000000ull
#define TXRING 0x100000u
#define RXRING 0x110000u
#define RXBUF  0x200000u
#define RXSIZE 0x4000u /* from one receive buffer to the next */
#define TXBUF  0x600000u
#define N_DESC 16u

#define EOP  0x01u
#define IFCS 0x02u
#define IC   0x04u
#define TSE  0x04u
#define RS   0x08u
#define DEXT 0x20u
#define VLE  0x40u
#define IDE  0x80u
#define IXSM 0x01u
#define TXSM 0x02u

static struct fake f;
static struct fake_net net;
static struct dev_host *card;
static struct e1000 *dev;
static uint32_t tx_tail;

static uint32_t rd(uint32_t off)
{
	return (uint32_t)fake_read(&f, DEV_MMIO, MEM + off, 4);
}

static void wr(uint32_t off, uint32_t v)
{
	fake_write(&f, DEV_MMIO, MEM + off, 4, v);
}

static void on(uint32_t off, uint32_t bits)
{
	wr(off, rd(off) | bits);
}

static void off(uint32_t reg, uint32_t bits)
{
	wr(reg, rd(reg) & ~bits);
}

static bool line(void)
{
	return card->line[0];
}

static uint16_t mdi(unsigned reg)
{
	wr(MDIC, 2u << 26 | 1u << 21 | reg << 16);
	assert_int_equal(rd(MDIC) & 0x70000000, 0x10000000);
	return (uint16_t)rd(MDIC);
}

static void mdi_write(unsigned reg, uint16_t v)
{
	wr(MDIC, 1u << 26 | 1u << 21 | reg << 16 | v);
	assert_int_equal(rd(MDIC) & 0x70000000, 0x10000000);
}

static uint16_t eerd(unsigned addr)
{
	wr(EERD, addr << 8 | 1);
	assert_true(rd(EERD) & 0x10);
	return (uint16_t)(rd(EERD) >> 16);
}

static uint8_t *ram(uint64_t at)
{
	return f.ram + at;
}

static uint8_t *txd(unsigned i)
{
	return ram(TXRING + i * 16);
}

static uint8_t *rxd(unsigned i)
{
	return ram(RXRING + i * 16);
}

static unsigned le16(const uint8_t *p)
{
	return p[0] | (unsigned)p[1] << 8;
}

static unsigned be16(const uint8_t *p)
{
	return (unsigned)p[0] << 8 | p[1];
}

static uint32_t be32(const uint8_t *p)
{
	return (uint32_t)be16(p) << 16 | be16(p + 2);
}

/* A descriptor at the tail, which the chip does not see before go(). */
static void desc(uint64_t addr, uint32_t low, uint32_t high)
{
	uint8_t *d = txd(tx_tail);

	memcpy(d, &addr, 8);
	memcpy(d + 8, &low, 4);
	memcpy(d + 12, &high, 4);
	tx_tail = (tx_tail + 1) % N_DESC;
}

static void legacy(uint64_t addr, uint32_t len, uint32_t cmd)
{
	desc(addr, len | cmd << 24, 0);
}

static void data(uint64_t addr, uint32_t len, uint32_t cmd, uint32_t popts)
{
	desc(addr, len | 1u << 20 | (cmd | DEXT) << 24, popts << 8);
}

static void go(void)
{
	wr(TDT, tx_tail);
}

static void rx_ring(unsigned n, unsigned ready)
{
	for (unsigned i = 0; i < n; i++) {
		uint64_t at = RXBUF + i * RXSIZE;

		memset(rxd(i), 0, 16);
		memcpy(rxd(i), &at, 8);
	}
	wr(RDBAL, RXRING);
	wr(RDBAH, 0);
	wr(RDLEN, n * 16);
	wr(RDH, 0);
	wr(RDT, ready);
}

/* As Linux's e1000_probe() and e1000_open() do it, as far as the chip can tell. */
static void bring_up(void)
{
	uint16_t sum = 0;

	wr(IMC, ~0u);
	wr(RCTL, 0);
	wr(TCTL, TCTL_PSP);
	fake_outl(&f, IO, CTRL); /* this driver resets the chip through the I/O window */
	fake_outl(&f, IO + 4, rd(CTRL) | CTRL_RST);
	assert_false(rd(CTRL) & CTRL_RST);
	wr(IMC, ~0u);
	rd(ICR);
	for (unsigned i = 0; i < 64; i++)
		sum = (uint16_t)(sum + eerd(i));
	assert_int_equal(sum, 0xbaba);
	for (unsigned i = 1; i < 16; i++)
		wr(RA + i * 8 + 4, 0);
	for (unsigned i = 0; i < 128; i++)
		wr(MTA + i * 4, 0);
	on(CTRL, CTRL_SLU);
	off(CTRL, CTRL_FRCSPD | CTRL_FRCDPLX);
	assert_int_equal((uint32_t)mdi(2) << 16 | (mdi(3) & 0xfff0), 0x01410c20);
	mdi_write(0, mdi(0) | 0x8000);
	mdi_write(4, 0x01e1);
	mdi_write(9, 0x0200);
	mdi_write(0, mdi(0) | 0x1200);
	fake_step(&f, 60 * MS);
	mdi(1);
	assert_int_equal(mdi(1) & 0x24, 0x24);
	assert_int_equal(rd(STATUS) & 0xc3, 0x83);
	wr(VET, 0x8100);
	wr(TDLEN, N_DESC * 16);
	wr(TDBAH, 0);
	wr(TDBAL, TXRING);
	wr(TDT, 0);
	wr(TDH, 0);
	tx_tail = 0;
	wr(TCTL, TCTL_EN | TCTL_PSP | 0x400f0);
	rx_ring(N_DESC, N_DESC - 1);
	wr(RCTL, RCTL_EN | RCTL_BAM);
	wr(IMS, ICR_RXT0 | ICR_TXDW | ICR_RXDMT0 | 8 | ICR_LSC);
	wr(ICS, ICR_LSC);
	assert_true(line());
	rd(ICR);
	assert_false(line());
}

static int setup(void **state)
{
	struct e1000_cfg cfg = { .net = &net.net };

	fake_init(&f);
	fake_net_init(&net, &f);
	dev = fake_add(&f, &e1000_class, &cfg, DEVFN);
	card = fake_host_of(&f, dev);
	fake_cfg_write(&f, DEVFN, 0x10, 4, MEM);
	fake_cfg_write(&f, DEVFN, 0x18, 4, IO);
	fake_cfg_write(&f, DEVFN, 0x04, 2, 7);
	return 0;
}

static int setup_up(void **state)
{
	setup(state);
	bring_up();
	return 0;
}

static int teardown(void **state)
{
	fake_net_free(&net);
	fake_free(&f);
	return 0;
}

/* ---- frames ---- */

static const uint8_t mac[6] = { 0x52, 0x54, 0x00, 0x12, 0x34, 0x56 };
static uint8_t frame[NET_MAX_FRAME];

/* Bytes that say where they stand. */
static void pattern(uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		p[i] = (uint8_t)(i * 7 + (i >> 8) + 1);
}

static void make(size_t len, const uint8_t dst[6])
{
	pattern(frame, len);
	memcpy(frame, dst, 6);
	memcpy(frame + 6, "\x02\0\0\0\0\x01\x88\xb5", 8);
}

/* The sum of RFC 1071, as slowly as can be. */
static uint16_t sum16(uint32_t s, const uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		s += i & 1 ? p[i] : (uint32_t)p[i] << 8;
	while (s >> 16)
		s = (s & 0xffff) + (s >> 16);
	return (uint16_t)s;
}

static uint16_t pseudo(const uint8_t *ip, unsigned proto, size_t len)
{
	if (ip[0] >> 4 == 4)
		return sum16((uint32_t)(proto + len), ip + 12, 8);
	return sum16((uint32_t)(proto + len), ip + 8, 32);
}

/* A TCP (6) or UDP (17) packet; the checksums are 0.  Returns its length. */
static size_t packet(uint8_t *p, bool v6, unsigned proto, size_t payload)
{
	size_t l4 = proto == 6 ? 20 : 8, ip = v6 ? 40 : 20;
	uint8_t *h = p + 14, *t = h + ip;

	memset(p, 0, 14 + ip + l4);
	memcpy(p, "\x02\0\0\0\0\x01", 6);
	memcpy(p + 6, mac, 6);
	net_put16(p + 12, v6 ? 0x86dd : 0x0800);
	if (v6) {
		h[0] = 0x60;
		net_put16(h + 4, (uint32_t)(l4 + payload));
		h[6] = (uint8_t)proto;
		h[7] = 64;
		pattern(h + 8, 32);
	} else {
		h[0] = 0x45;
		net_put16(h + 2, (uint32_t)(ip + l4 + payload));
		net_put16(h + 4, 0x1234);
		h[8] = 64;
		h[9] = (uint8_t)proto;
		memcpy(h + 12, "\x0a\0\0\x01\x0a\0\0\x02", 8);
	}
	net_put16(t, 1000);
	net_put16(t + 2, 80);
	if (proto == 6) {
		memcpy(t + 4, "\x01\x02\xff\xf0\x05\x06\x07\x08\x50\x19\x10\x00",
		       12); /* FIN PSH ACK */
	} else {
		net_put16(t + 4, (uint32_t)(8 + payload));
	}
	pattern(t + l4, payload);
	return 14 + ip + l4 + payload;
}

static void finish(uint8_t *p, bool v6, unsigned proto, size_t len)
{
	size_t ip = v6 ? 40 : 20, n = len - 14 - ip;
	uint8_t *h = p + 14, *field = h + ip + (proto == 6 ? 16 : 6);

	if (!v6) {
		net_put16(h + 10, 0);
		net_put16(h + 10, (uint16_t)~sum16(0, h, 20));
	}
	net_put16(field, 0);
	net_put16(field, (uint16_t)~sum16(pseudo(h, proto, n), h + ip, n));
}

static struct fake_frame *sent(unsigned i)
{
	assert_true(i < net.n_sent);
	return net.sent[i];
}

/* ---- PCI, registers ---- */

static void pci(void **state)
{
	assert_int_equal(fake_cfg_read(&f, DEVFN, 0, 4), 0x100e8086);
	assert_int_equal(fake_cfg_read(&f, DEVFN, 8, 4), 0x02000002);
	assert_int_equal(fake_cfg_read(&f, DEVFN, 0x2c, 4), 0x001e8086);
	assert_int_equal(fake_cfg_read(&f, DEVFN, 0x3d, 1), 1);
	fake_cfg_write(&f, DEVFN, 0x10, 4, ~0u);
	fake_cfg_write(&f, DEVFN, 0x14, 4, ~0u);
	fake_cfg_write(&f, DEVFN, 0x18, 4, ~0u);
	assert_int_equal(fake_cfg_read(&f, DEVFN, 0x10, 4), 0xfffe0000);
	assert_int_equal(fake_cfg_read(&f, DEVFN, 0x14, 4), 0);
	assert_int_equal(fake_cfg_read(&f, DEVFN, 0x18, 4), 0xffffffc1);
	fake_cfg_write(&f, DEVFN, 0x10, 4, MEM + 0x20000);
	fake_cfg_write(&f, DEVFN, 0x18, 4, 0xd000);
	assert_int_equal(card->base[0], MEM + 0x20000);
	assert_int_equal(card->base[1], 0xd000);
	assert_int_equal(rd(0x20000 + LEDCTL), 0x07068302);
	fake_cfg_write(&f, DEVFN, 0x04, 2, 0);
	assert_int_equal(card->base[0], DEV_UNPLACED);
	assert_int_equal(card->base[1], DEV_UNPLACED);
	fake_cfg_write(&f, DEVFN, 0x10, 4, MEM);
	fake_cfg_write(&f, DEVFN, 0x04, 2, 7);
	wr(VET, 0x1234);
	e1000_class.reset(dev);
	assert_int_equal(card->base[0], DEV_UNPLACED);
	assert_int_equal(fake_cfg_read(&f, DEVFN, 4, 2), 0);
	fake_save_load(&f);
}

static void io_window(void **state)
{
	fake_outl(&f, IO, LEDCTL);
	assert_int_equal(fake_inl(&f, IO), LEDCTL);
	assert_int_equal(fake_inl(&f, IO + 4), 0x07068302);
	fake_outl(&f, IO, VFTA + 4);
	fake_outl(&f, IO + 4, 0x11223344);
	assert_int_equal(rd(VFTA + 4), 0x11223344);
	fake_outl(&f, IO, 0x20000);
	assert_int_equal(fake_inl(&f, IO + 4), 0xffffffff);
	fake_outl(&f, IO, 2);
	assert_int_equal(fake_inl(&f, IO + 4), 0xffffffff);
	assert_int_equal(fake_inl(&f, IO + 8), 0xffffffff);
	assert_int_equal(fake_inw(&f, IO), 0xffff);
}

static void registers(void **state)
{
	static const struct {
		uint32_t off, mask;
	} r[] = {
		{ 0x28, ~0u },      { 0x2c, 0xffff },         { 0x30, 0xffff },
		{ 0x38, 0xffff },   { RDTR, 0xffff },         { RDBAH, ~0u },
		{ RDLEN, 0xfff80 }, { RDH, 0xffff },          { RDT, 0xffff },
		{ FCRTH, 0xfff8 },  { FCTTV, 0xffff },        { TIPG, 0x3fffffff },
		{ TDBAH, ~0u },     { TDLEN, 0xfff80 },       { RDBAL, ~15u },
		{ TDBAL, ~15u },    { TIDV, 0xffff },         { TXCW, 0xc000ffff },
		{ RA, ~0u },        { RA + 124, 0x8003ffff }, { MTA, ~0u },
		{ MTA + 508, ~0u }, { RADV, 0xffff },         { ITR, 0xffff },
		{ PBA, ~0u },       { 0x5800, ~0u },          { LEDCTL, ~0u },
		{ 0x5010, ~0u },
	};

	/* The patterns of ethtool's register test. */
	for (unsigned i = 0; i < sizeof(r) / sizeof(r[0]); i++) {
		static const uint32_t test[] = { 0x5a5a5a5a, 0xa5a5a5a5, 0, ~0u };

		for (unsigned j = 0; j < 4; j++) {
			wr(r[i].off, test[j]);
			assert_int_equal(rd(r[i].off) & ~0x80000000u,
					 test[j] & r[i].mask & ~0x80000000u);
		}
	}
	wr(STATUS, ~0u);
	assert_int_equal(rd(STATUS) & 0xfffffc3e, 0);
	assert_int_equal(rd(0x9000), 0);
	wr(0x10000, 1);
	assert_int_equal(rd(0x10000), 0);
	/* Where the 82542 had them. */
	wr(0x40, 0x01020304);
	assert_int_equal(rd(RA), 0x01020304);
	wr(0x118, 0x1000);
	assert_int_equal(rd(RDLEN), 0x1000);
	wr(0x604, 77);
	assert_int_equal(rd(VFTA + 4), 77);
	assert_int_equal(rd(4), rd(CTRL));
	/* Double words only. */
	assert_int_equal(fake_read(&f, DEV_MMIO, MEM + STATUS, 2), 0xffff);
	assert_int_equal(fake_read(&f, DEV_MMIO, MEM + 2, 4), 0xffffffff);
	/* A reset by software keeps PBA and the configuration space. */
	wr(PBA, 0x00200020);
	wr(CTRL, CTRL_RST);
	assert_int_equal(rd(PBA), 0x00200020);
	assert_int_equal(rd(TDLEN), 0);
	assert_int_equal(rd(RA), 0x12005452);
	assert_int_equal(rd(RA + 4), 0x80005634);
}

/* ---- EEPROM, PHY ---- */

static unsigned mw(unsigned di)
{
	uint32_t v = 0x42 | di << 2;

	wr(EECD, v);
	wr(EECD, v | 1);
	v = rd(EECD);
	wr(EECD, v & ~1u);
	return v >> 3 & 1;
}

static void mw_start(unsigned bits, unsigned n)
{
	wr(EECD, 0x40);
	wr(EECD, 0x42);
	mw(0); /* before the start bit nothing counts */
	while (n--)
		mw(bits >> n & 1);
}

static uint16_t mw_read(unsigned addr)
{
	uint16_t v = 0;

	mw_start(0x180 | addr, 9);
	assert_false(rd(EECD) & 8); /* dummy bit */
	for (unsigned i = 0; i < 16; i++)
		v = (uint16_t)(v << 1 | mw(0));
	return v;
}

static void mw_write(unsigned addr, uint16_t v)
{
	mw_start(0x140 | addr, 9);
	for (unsigned i = 16; i--;)
		mw(v >> i & 1);
	wr(EECD, 0x40);
	wr(EECD, 0x42);
	assert_true(rd(EECD) & 8); /* ready */
}

static void eeprom(void **state)
{
	uint16_t v;

	assert_int_equal(eerd(0), 0x5452);
	assert_int_equal(eerd(1), 0x1200);
	assert_int_equal(eerd(2), 0x5634);
	assert_int_equal(eerd(13), 0x100e);
	assert_int_equal(eerd(64), 0);
	wr(EECD, 0x40);
	assert_int_equal(rd(EECD) & 0x3c0, 0x1c0); /* granted, present, 64 words */
	for (unsigned i = 0; i < 64; i++)
		assert_int_equal(mw_read(i), eerd(i));
	/* Reads go on behind the word. */
	mw_start(0x180, 9);
	for (unsigned i = 0; i < 16; i++)
		mw(0);
	v = 0;
	fake_save_load(&f);
	for (unsigned i = 0; i < 16; i++)
		v = (uint16_t)(v << 1 | mw(0));
	assert_int_equal(v, 0x1200);
	mw_write(2, 0xabcd);
	assert_int_equal(eerd(2), 0x5634);
	mw_start(0x130, 9); /* EWEN */
	mw_write(2, 0xabcd);
	assert_int_equal(eerd(2), 0xabcd);
	mw_start(0x1c5, 9); /* ERASE */
	assert_int_equal(eerd(5), 0xffff);
	mw_start(0x100, 9); /* EWDS */
	mw_write(2, 0x1111);
	assert_int_equal(eerd(2), 0xabcd);
	wr(CTRL_EXT, CTRL_EXT_EE_RST | 0x10);
	assert_int_equal(rd(CTRL_EXT), 0x10);
	assert_int_equal(rd(RA + 4), 0x8000abcd);
	/* It outlives resets. */
	wr(CTRL, CTRL_RST);
	assert_int_equal(rd(RA + 4), 0x8000abcd);
}

static void phy(void **state)
{
	wr(IMS, ICR_LSC | ICR_MDAC);
	on(CTRL, CTRL_SLU);
	assert_int_equal(mdi(1), 0x7949);
	assert_int_equal(mdi(10), 0);
	fake_step(&f, 49 * MS);
	assert_false(rd(STATUS) & STATUS_LU);
	assert_false(line());
	fake_save_load(&f);
	fake_step(&f, 2 * MS);
	assert_true(rd(STATUS) & STATUS_LU);
	assert_true(line());
	assert_int_equal(rd(ICR), ICR_LSC);
	/* The first read still tells of the time without a link. */
	mdi(1);
	assert_int_equal(mdi(1), 0x796d);
	assert_int_equal(mdi(5), 0x41e1);
	assert_int_equal(mdi(6), 1);
	assert_int_equal(mdi(10), 0x3c00);
	assert_int_equal(mdi(15), 0x3000);
	assert_int_equal(mdi(17), 0xac00);
	/* What the PHY does not have. */
	wr(MDIC, 2u << 26 | 2u << 21);
	assert_int_equal(rd(MDIC) >> 28, 5);
	wr(MDIC, 1u << 21);
	assert_int_equal(rd(MDIC) >> 28, 5);
	mdi_write(2, 0);
	assert_int_equal(mdi(2), 0x0141);
	mdi_write(16, 0x1234);
	assert_int_equal(mdi(16), 0x1234);
	/* Told by interrupt. */
	wr(MDIC, 1u << 29 | 2u << 26 | 1u << 21 | 2u << 16);
	assert_int_equal(rd(MDIC), 0x30000000 | 2u << 26 | 1u << 21 | 2u << 16 | 0x0141);
	assert_int_equal(rd(ICR), ICR_MDAC);
	/* 100 Mb/s, half duplex: restart, link goes and comes. */
	mdi_write(9, 0);
	mdi_write(4, 0x0081);
	mdi_write(0, 0x1200);
	assert_int_equal(rd(ICR), ICR_LSC);
	assert_false(rd(STATUS) & STATUS_LU);
	fake_step(&f, 60 * MS);
	assert_int_equal(rd(ICR), ICR_LSC);
	assert_int_equal(rd(STATUS) & 0x3c3, 0x142);
	mdi_write(4, 0x0041);
	mdi_write(0, 0x1200);
	fake_step(&f, 60 * MS);
	assert_int_equal(rd(STATUS) & 0x3c3, 0x003);
	/* Forced: at once. */
	mdi_write(0, 0x2100);
	assert_int_equal(rd(STATUS) & 0x3c3, 0x143);
	on(CTRL, CTRL_FRCSPD | CTRL_FRCDPLX);
	off(CTRL, CTRL_FD);
	assert_int_equal(rd(STATUS) & 0x3c3, 0x182);
	/* No power, no link; nor without SLU. */
	mdi_write(0, 0x2900);
	assert_false(rd(STATUS) & STATUS_LU);
	mdi_write(0, 0x2100);
	assert_true(rd(STATUS) & STATUS_LU);
	off(CTRL, CTRL_SLU);
	assert_false(rd(STATUS) & STATUS_LU);
	on(CTRL, CTRL_PHY_RST);
	assert_int_equal(rd(CTRL) & CTRL_PHY_RST, 0);
	assert_int_equal(mdi(0), 0x1140);
	assert_int_equal(mdi(16), 0x0360);
}

static void link_flap(void **state)
{
	fake_net_link(&net, false);
	assert_true(line());
	assert_int_equal(rd(ICR), ICR_LSC);
	assert_false(rd(STATUS) & STATUS_LU);
	fake_step(&f, 1000 * MS);
	assert_false(mdi(1) & 0x24);
	make(100, mac);
	assert_true(fake_net_feed(&net, frame, 100, NULL)); /* nobody there */
	assert_int_equal(rd(RDH), 0);
	legacy(TXBUF, 100, EOP | IFCS | RS);
	go();
	assert_int_equal(net.n, 0);
	fake_net_link(&net, true);
	assert_false(line());
	fake_step(&f, 60 * MS);
	assert_int_equal(rd(ICR), ICR_LSC);
	assert_int_equal(net.n, 1); /* what waited goes */
	assert_false(mdi(1) & 4);
	assert_true(mdi(1) & 4);
	/* Away during the negotiation. */
	mdi_write(0, 0x1340);
	fake_net_link(&net, false);
	fake_step(&f, 100 * MS);
	assert_false(rd(STATUS) & STATUS_LU);
}

/* ---- interrupts ---- */

static void interrupts(void **state)
{
	assert_false(line());
	wr(ICS, ICR_TXQE);
	assert_false(line());
	wr(IMS, ICR_TXQE);
	assert_true(line());
	assert_int_equal(rd(IMS) & ICR_TXQE, ICR_TXQE);
	wr(IMC, ICR_TXQE);
	assert_false(line());
	wr(IMS, ICR_TXQE);
	fake_save_load(&f);
	assert_true(line());
	assert_int_equal(rd(ICR), ICR_TXQE);
	assert_false(line());
	assert_int_equal(rd(ICR), 0);
	wr(ICS, ICR_TXQE | ICR_RXT0);
	wr(ICR, ICR_TXQE);
	assert_int_equal(rd(ICR), ICR_RXT0);
	wr(ICS, ~0u);
	assert_int_equal(rd(ICR), ICR_ALL);
	assert_int_equal(rd(ICS), 0);
}

static void throttle(void **state)
{
	unsigned n;

	fake_step(&f, MS);
	wr(ITR, 1000); /* 256 us */
	n = card->rises[0];
	wr(ICS, ICR_RXT0);
	assert_true(line()); /* the first at once */
	rd(ICR);
	wr(ICS, ICR_RXT0);
	assert_false(line());
	fake_step(&f, 255000);
	assert_false(line());
	fake_save_load(&f);
	fake_step(&f, 1000);
	assert_true(line());
	rd(ICR);
	wr(ICS, ICR_RXT0);
	rd(ICR); /* gone before it was due */
	fake_step(&f, MS);
	assert_false(line());
	assert_int_equal(card->rises[0], n + 2);
	for (unsigned i = 0; i < 1000; i++) { /* a cause every 10 us for 10 ms */
		wr(ICS, ICR_RXT0);
		if (line())
			rd(ICR);
		fake_step(&f, 10000);
	}
	assert_true(card->rises[0] - n - 2 <= 40 && card->rises[0] - n - 2 >= 37);
	rd(ICR);
	wr(ICS, ICR_RXT0);
	wr(ITR, 0);
	assert_true(line());
}

/* ---- transmit ---- */

static void tx_simple(void **state)
{
	pattern(ram(TXBUF), 4096);
	legacy(TXBUF, 100, EOP | IFCS | RS);
	go();
	assert_int_equal(net.n, 1);
	assert_int_equal(rd(TDH), 0);
	assert_int_equal(txd(0)[12], 0);
	assert_false(line());
	fake_net_run(&net);
	assert_int_equal(txd(0)[12], 1);
	assert_int_equal(rd(TDH), 1);
	assert_true(line());
	assert_int_equal(rd(ICR), ICR_TXDW | ICR_TXQE);
	assert_int_equal(sent(0)->len, 100);
	assert_false(sent(0)->from_model);
	assert_memory_equal(sent(0)->data, ram(TXBUF), 100);
	/* Three descriptors, with nothing in some; neighbours become one. */
	legacy(TXBUF, 100, IFCS);
	legacy(TXBUF + 100, 50, IFCS | RS);
	legacy(0, 50, IFCS);
	legacy(TXBUF + 500, 0, IFCS);
	legacy(TXBUF + 1000, 64, IFCS | EOP);
	go();
	fake_net_run(&net);
	assert_int_equal(sent(1)->len, 214);
	assert_int_equal(sent(1)->n_seg, 2);
	assert_memory_equal(sent(1)->data, ram(TXBUF), 150);
	assert_memory_equal(sent(1)->data + 150, ram(TXBUF + 1000), 64);
	assert_int_equal(txd(1)[12] + txd(3)[12] + txd(4)[12] + txd(5)[12], 0); /* RS not set */
	assert_int_equal(txd(2)[12], 1);
	assert_int_equal(rd(TDH), 6);
	assert_int_equal(rd(GPTC), 2);
	assert_int_equal(rd(GPTC), 0);
	assert_int_equal(rd(TOTL), 104 + 218);
	assert_int_equal(rd(TOTH), 0);
	assert_int_equal(rd(TOTL), 0);
	assert_int_equal(rd(PTC64 + 4), 1);
	assert_int_equal(rd(PTC64 + 8), 1);
}

static void tx_order(void **state)
{
	for (unsigned i = 0; i < 4; i++)
		legacy(TXBUF + i * 256, 60 + i, EOP | IFCS | RS);
	go();
	assert_int_equal(net.n, 4);
	fake_net_end(&net, 2, 0);
	fake_net_end(&net, 1, -1);
	assert_int_equal(rd(TDH), 0);
	assert_int_equal(txd(1)[12] | txd(2)[12], 0);
	fake_net_end(&net, 0, 0);
	assert_int_equal(rd(TDH), 3);
	assert_int_equal(txd(0)[12] & txd(1)[12] & txd(2)[12], 1);
	assert_int_equal(txd(3)[12], 0);
	fake_net_run(&net);
	/* Around the ring many times, as full as it goes. */
	for (unsigned n = 0; n < 50; n++) {
		for (unsigned i = 0; i < N_DESC - 1; i++)
			legacy(TXBUF + i * 256, 60 + i, EOP | IFCS | RS);
		go();
		assert_int_equal(net.n, N_DESC - 1);
		assert_int_equal(fake_net_run(&net), N_DESC - 1);
		assert_int_equal(rd(TDH), tx_tail);
		fake_net_forget(&net);
	}
	assert_int_equal(rd(GPTC), 4 + 50 * 15);
}

static void tx_sizes(void **state)
{
	pattern(ram(TXBUF), 20000);
	legacy(TXBUF, 20, EOP | IFCS | RS); /* padded */
	legacy(TXBUF, 13, EOP | IFCS | RS); /* no frame */
	legacy(0, 0, EOP | IFCS | RS);
	legacy(TXBUF, 100, EOP | RS); /* has its FCS */
	legacy(TXBUF, 16124, EOP | IFCS | RS);
	legacy(TXBUF, 16000, IFCS | RS); /* too long in sum */
	legacy(TXBUF, 16000, EOP | IFCS | RS);
	legacy(TXBUF, 16129, EOP | IFCS | RS);
	go();
	fake_net_run(&net);
	assert_int_equal(rd(TDH), 8);
	assert_int_equal(txd(7)[12], 1);
	assert_int_equal(net.n_sent, 3);
	assert_int_equal(sent(0)->len, 60);
	assert_memory_equal(sent(0)->data, ram(TXBUF), 20);
	for (unsigned i = 20; i < 60; i++)
		assert_int_equal(sent(0)->data[i], 0);
	assert_int_equal(sent(1)->len, 96);
	assert_int_equal(sent(2)->len, 16124);
	off(TCTL, TCTL_PSP);
	legacy(TXBUF, 20, EOP | IFCS | RS);
	go();
	fake_net_run(&net);
	assert_int_equal(sent(3)->len, 20);
}

static void tx_outside_ram(void **state)
{
	legacy(FAKE_RAM_SIZE - 10, 100, IFCS | RS);
	legacy(TXBUF, 100, EOP | IFCS | RS);
	legacy(UINT64_MAX - 10, 100, EOP | IFCS | RS);
	legacy(TXBUF, 100, EOP | IFCS | RS);
	go();
	assert_int_equal(net.n, 1);
	assert_true(fake_cfg_read(&f, DEVFN, 6, 2) & 0x2000); /* received master abort */
	fake_cfg_write(&f, DEVFN, 6, 2, 0x2000);
	assert_false(fake_cfg_read(&f, DEVFN, 6, 2) & 0x2000);
	fake_net_run(&net);
	assert_int_equal(rd(TDH), 4);
	/* A ring that is not in RAM. */
	wr(TDBAL, FAKE_RAM_SIZE);
	wr(TDH, 0);
	wr(TDT, 5);
	assert_int_equal(net.n, 0);
	assert_true(fake_cfg_read(&f, DEVFN, 6, 2) & 0x2000);
	/* Indices beyond the ring, no ring. */
	wr(TDBAL, TXRING);
	wr(TDT, 1000);
	wr(TDH, 2000);
	wr(TDT, 3);
	wr(TDLEN, 0);
	wr(TDT, 4);
	wr(TDH, 0);
	wr(TDT, 0);
	assert_int_equal(net.n, 0);
}

static void tx_gates(void **state)
{
	off(TCTL, TCTL_EN);
	legacy(TXBUF, 100, EOP | IFCS | RS);
	go();
	assert_int_equal(net.n, 0);
	fake_cfg_write(&f, DEVFN, 4, 2, 3);
	on(TCTL, TCTL_EN);
	assert_int_equal(net.n, 0);
	fake_cfg_write(&f, DEVFN, 4, 2, 7);
	assert_int_equal(net.n, 1);
	/* A packet whose end comes later. */
	legacy(TXBUF, 100, IFCS);
	go();
	fake_net_run(&net);
	assert_int_equal(net.n, 0);
	fake_save_load(&f);
	legacy(TXBUF + 4096, 100, EOP | IFCS | RS);
	go();
	fake_net_run(&net);
	assert_int_equal(sent(1)->len, 200);
}

/* More pieces than a frame may have: the first ones go through the card's buffer. */
static void pieces(unsigned n, unsigned size, unsigned skip)
{
	wr(TDLEN, 256 * 16);
	wr(TDH, 0);
	tx_tail = 0;
	for (unsigned i = 0; i < n; i++) {
		uint64_t at = TXBUF + i * (size + skip);
		uint32_t low = size | (uint32_t)(IFCS | RS | (i + 1 == n ? EOP : 0)) << 24;
		uint32_t high = 0;

		pattern(ram(at), size);
		memcpy(txd(i), &at, 8);
		memcpy(txd(i) + 8, &low, 4);
		memcpy(txd(i) + 12, &high, 4);
	}
	wr(TDT, n);
}

static void tx_pieces(void **state)
{
	pieces(200, 11, 5);
	fake_net_end(&net, 0, 0);
	assert_int_equal(sent(0)->len, 2200);
	assert_true(sent(0)->n_seg <= NET_MAX_SEGS);
	for (unsigned i = 0; i < 200; i++)
		assert_memory_equal(sent(0)->data + i * 11, ram(TXBUF + i * 16), 11);
	assert_int_equal(rd(TDH), 200);
	/* The next one that needs the buffer waits for it. */
	pieces(70, 100, 3);
	assert_int_equal(net.n, 1);
	for (unsigned i = 0; i < 140; i++) {
		uint64_t at = TXBUF + i * 103;
		uint32_t low = 100 | (uint32_t)(IFCS | RS | (i == 139 ? EOP : 0)) << 24, high = 0;
		uint8_t *d = txd(70 + i);

		memcpy(d, &at, 8);
		memcpy(d + 8, &low, 4);
		memcpy(d + 12, &high, 4);
		memset(ram(at), (int)i, 100);
	}
	wr(TDT, 210);
	assert_int_equal(net.n, 1);
	fake_net_run(&net);
	assert_int_equal(net.n_sent, 3);
	assert_int_equal(sent(1)->len, 7000);
	assert_int_equal(sent(2)->len, 14000);
	for (unsigned i = 0; i < 14000; i++)
		assert_int_equal(sent(2)->data[i], i / 100);
	assert_int_equal(rd(TDH), 210);
	/* Half of it there, saved and loaded. */
	pieces(150, 20, 1);
	fake_net_run(&net);
	wr(TDH, 0);
	wr(TDT, 100);
	fake_save_load(&f);
	wr(TDT, 150);
	fake_net_run(&net);
	assert_int_equal(sent(4)->len, 3000);
	assert_memory_equal(sent(3)->data, sent(4)->data, 3000);
}

static void tx_endless(void **state)
{
	wr(TDLEN, 4096 * 16);
	for (unsigned i = 0; i < 4096; i++) {
		uint64_t at = TXBUF;
		uint32_t low = 1 | (uint32_t)(IFCS | RS) << 24;

		memcpy(txd(i), &at, 8);
		memcpy(txd(i) + 8, &low, 4);
	}
	/* Some at a time: the rest from a timer. */
	wr(TDH, 0);
	wr(TDT, 4095);
	assert_true(dev->state.tx_next < 1000);
	fake_step(&f, 1);
	assert_int_equal(dev->state.tx_next, 4095);
	assert_int_equal(rd(TDH), 0);
	/* On it goes over what it has not reported: the packet is given up. */
	for (unsigned i = 0; i < 10; i++) {
		wr(TDT, (4095 + 400 * i) % 4096);
		fake_step(&f, 1);
	}
	assert_int_equal(net.n, 0);
	assert_int_not_equal(rd(TDH), 0);
	/* More frames than slots. */
	wr(TDH, 0);
	for (unsigned i = 0; i < 100; i++)
		txd(i)[8] = 60, txd(i)[11] = EOP | IFCS | RS;
	wr(TDT, 100);
	assert_int_equal(net.n, 32);
	assert_int_equal(fake_net_run(&net), 100);
	assert_int_equal(rd(TDH), 100);
}

static void tx_interrupts(void **state)
{
	wr(TIDV, 10); /* 10.24 us, absolutely 20.48 us */
	wr(TADV, 20);
	rd(ICR);
	legacy(TXBUF, 100, EOP | IFCS | RS | IDE);
	go();
	fake_net_run(&net);
	assert_false(line());
	assert_int_equal(txd(0)[12], 1); /* not delayed */
	fake_step(&f, 8000);
	legacy(TXBUF, 100, EOP | IFCS | RS | IDE);
	go();
	fake_net_run(&net);
	fake_step(&f, 8000);
	assert_false(line());
	legacy(TXBUF, 100, EOP | IFCS | RS | IDE);
	go();
	fake_net_run(&net);
	fake_save_load(&f);
	fake_step(&f, 4479);
	assert_false(line());
	fake_step(&f, 1);
	assert_true(line());
	assert_int_equal(rd(ICR), ICR_TXDW | ICR_TXQE);
	legacy(TXBUF, 100, EOP | IFCS | RS | IDE);
	go();
	fake_net_run(&net);
	wr(TIDV, 10 | 0x80000000u); /* flush */
	assert_true(line());
	assert_int_equal(rd(TIDV), 10);
	rd(ICR);
	legacy(TXBUF, 100, EOP | IFCS | RS);
	go();
	fake_net_run(&net);
	assert_true(line());
	/* Few are left. */
	wr(TXDCTL, 1u << 25);
	wr(IMS, ICR_TXD_LOW);
	for (unsigned i = 0; i < 12; i++)
		legacy(TXBUF, 100, EOP | IFCS);
	go();
	rd(ICR);
	for (unsigned i = 0; i < 3; i++)
		fake_net_end(&net, 0, 0);
	assert_int_equal(rd(ICR), 0);
	fake_net_end(&net, 0, 0);
	assert_true(line());
	assert_int_equal(rd(ICR), ICR_TXD_LOW);
	fake_net_run(&net);
	assert_int_equal(rd(ICR), ICR_TXQE);
}

static void context(unsigned css, unsigned cso, unsigned cse, unsigned tss, unsigned tso,
		    unsigned cmd, unsigned hdrlen, unsigned mss, unsigned paylen)
{
	desc((uint64_t)cse << 16 | cso << 8 | css | (uint64_t)tss << 32 | (uint64_t)tso << 40,
	     paylen | (cmd | DEXT) << 24, hdrlen << 8 | mss << 16);
}

static void tx_checksums(void **state)
{
	size_t len = packet(frame, false, 6, 1001), n = len - 34;
	uint8_t want[1500];

	/* As Linux asks for it: the pseudo header's sum is in the field; IP's too, as others do. */
	memcpy(want, frame, len);
	finish(want, false, 6, len);
	net_put16(frame + 50, pseudo(frame + 14, 6, n));
	memcpy(ram(TXBUF), frame, len);
	context(14, 24, 33, 34, 50, 3, 0, 0, 0);
	data(TXBUF, 100, IFCS, IXSM | TXSM);
	data(TXBUF + 100, (uint32_t)len - 100, EOP | IFCS | RS, 0);
	go();
	assert_int_equal(rd(TDH), 1); /* the context is dealt with */
	fake_net_run(&net);
	assert_int_equal(sent(0)->len, len);
	assert_memory_equal(sent(0)->data, want, len);
	assert_int_equal(sent(0)->off.flags, 0);
	assert_memory_equal(ram(TXBUF), frame, len); /* the guest's memory is not touched */
	/* The context is still there. Without options nothing is done. */
	data(TXBUF, (uint32_t)len, EOP | IFCS | RS, TXSM);
	data(TXBUF, (uint32_t)len, EOP | IFCS | RS, 0);
	go();
	fake_net_run(&net);
	assert_memory_equal(sent(1)->data + 34, want + 34, n);
	assert_memory_equal(sent(2)->data, frame, len);
	/* Legacy: from CSS to the end. */
	desc(TXBUF, (uint32_t)len | 50u << 16 | (uint32_t)(EOP | IFCS | RS | IC) << 24, 34u << 8);
	desc(TXBUF, (uint32_t)len | 50u << 16 | (uint32_t)(EOP | IFCS | RS | IC) << 24, 250u << 8);
	desc(TXBUF, 60 | 59u << 16 | (uint32_t)(EOP | IFCS | RS | IC) << 24, 34u << 8);
	go();
	fake_net_run(&net);
	assert_memory_equal(sent(3)->data + 34, want + 34, n);
	assert_int_equal(be16(sent(4)->data + 50), (uint16_t)~sum16(0, frame + 250, len - 250));
	assert_memory_equal(sent(5)->data, frame, 60); /* outside the packet: ignored */
	/* UDP has no checksum 0. */
	len = packet(frame, false, 17, 2);
	net_put16(frame + 42, 0);
	net_put16(frame + 42, (uint16_t)~sum16(pseudo(frame + 14, 17, 10), frame + 34, 10));
	net_put16(frame + 40, pseudo(frame + 14, 17, 10));
	memcpy(ram(TXBUF), frame, len);
	context(14, 24, 33, 34, 40, 2, 0, 0, 0);
	data(TXBUF, (uint32_t)len, EOP | IFCS | RS, TXSM);
	go();
	fake_net_run(&net);
	assert_int_equal(be16(sent(6)->data + 40), 0xffff);
	assert_int_equal(sent(6)->len, 60);
	/* Nonsense. */
	context(200, 255, 1, 255, 0, 2, 0, 0, 0);
	data(TXBUF, (uint32_t)len, EOP | IFCS | RS, TXSM | IXSM);
	go();
	fake_net_run(&net);
	assert_memory_equal(sent(7)->data, frame, len);
	assert_int_equal(rd(TDH), tx_tail);
}

static void tx_csum_offload(void **state)
{
	size_t len = packet(frame, true, 6, 500);

	net.net.features = NET_F_CSUM;
	net_put16(frame + 70, pseudo(frame + 14, 6, len - 54));
	memcpy(ram(TXBUF), frame, len);
	context(14, 0, 0, 54, 70, 1, 0, 0, 0);
	data(TXBUF, (uint32_t)len, EOP | IFCS | RS, TXSM);
	go();
	fake_net_run(&net);
	assert_false(sent(0)->from_model); /* nothing to change: nothing is copied */
	assert_memory_equal(sent(0)->data, frame, len);
	assert_int_equal(sent(0)->off.flags, NET_CSUM_PARTIAL);
	assert_int_equal(sent(0)->off.csum_start, 54);
	assert_int_equal(sent(0)->off.csum_offset, 16);
	/* With a tag everything moves. */
	on(CTRL, CTRL_VME);
	desc(TXBUF, (uint32_t)len | 1u << 20 | (uint32_t)(DEXT | EOP | IFCS | RS | VLE) << 24,
	     TXSM << 8 | 0x2064u << 16);
	go();
	fake_net_run(&net);
	assert_int_equal(sent(1)->len, len + 4);
	assert_memory_equal(sent(1)->data, frame, 12);
	assert_int_equal(be32(sent(1)->data + 12), 0x81002064);
	assert_memory_equal(sent(1)->data + 16, frame + 12, len - 12);
	assert_int_equal(sent(1)->off.csum_start, 58);
	/* A checksum over less than all is the card's to make. */
	context(14, 0, 0, 54, 70, 1, 0, 0, 0);
	txd(tx_tail - 1)[6] = 99;
	data(TXBUF, (uint32_t)len, EOP | IFCS | RS, TXSM);
	go();
	fake_net_run(&net);
	assert_int_equal(sent(2)->off.flags, 0);
	assert_int_equal(be16(sent(2)->data + 70), (uint16_t)~sum16(0, frame + 54, 46));
}

static void tx_vlan(void **state)
{
	pattern(ram(TXBUF), 2000);
	desc(TXBUF, 1514 | (uint32_t)(EOP | IFCS | RS | VLE) << 24, 0xa123u << 16);
	go();
	on(CTRL, CTRL_VME);
	desc(TXBUF, 1514 | (uint32_t)(EOP | IFCS | RS | VLE) << 24, 0xa123u << 16);
	desc(TXBUF, 50 | (uint32_t)(EOP | IFCS | RS | VLE) << 24, 0xa123u << 16);
	desc(TXBUF, 16126 | (uint32_t)(EOP | IFCS | RS | VLE) << 24, 0xa123u << 16);
	go();
	fake_net_run(&net);
	assert_int_equal(net.n_sent, 3);
	assert_int_equal(sent(0)->len, 1514); /* CTRL.VME is off */
	assert_int_equal(sent(1)->len, 1518);
	assert_int_equal(be32(sent(1)->data + 12), 0x8100a123);
	assert_memory_equal(sent(1)->data + 16, ram(TXBUF + 12), 1502);
	assert_int_equal(sent(2)->len, 60);
	assert_int_equal(be32(sent(2)->data + 12), 0x8100a123);
	assert_memory_equal(sent(2)->data + 16, ram(TXBUF + 12), 38);
}

/* The packet as Linux's driver leaves it for segmentation: no length, no sum of IP, the pseudo header's without
 * the length. */
static size_t tso_packet(bool v6, size_t payload)
{
	size_t len = packet(frame, v6, 6, payload), ip = v6 ? 40 : 20;

	net_put16(frame + 14 + (v6 ? 4 : 2), 0);
	net_put16(frame + 14 + ip + 16, pseudo(frame + 14, 6, 0));
	memcpy(ram(TXBUF), frame, len);
	return len;
}

static void tso_send(bool v6, size_t len, unsigned mss)
{
	unsigned l4 = v6 ? 54 : 34, hl = l4 + 20;

	context(14, v6 ? 0 : 24, v6 ? 0 : l4 - 1, l4, l4 + 16, 1 | (v6 ? 0 : 2) | 4 | RS, hl, mss,
		(unsigned)len - hl);
	data(TXBUF, hl, TSE | IFCS, TXSM | (v6 ? 0 : IXSM));
	for (size_t at = hl; at < len; at += 4096) {
		size_t n = len - at < 4096 ? len - at : 4096;

		data(TXBUF + at, (uint32_t)n, TSE | IFCS | (at + n == len ? EOP | RS : 0),
		     TXSM | (v6 ? 0 : IXSM));
	}
	go();
}

/* Frames from the first-th on are the packet's segments. */
static void check_segments(unsigned first, bool v6, size_t len, unsigned mss, unsigned flags)
{
	unsigned l4 = v6 ? 54 : 34, hl = l4 + 20, n = 0;

	for (size_t at = hl; at < len; at += mss, n++) {
		struct fake_frame *s = sent(first + n);
		size_t payload = len - at < mss ? len - at : mss, l4_len = 20 + payload;
		const uint8_t *h = s->data + 14, *t = s->data + l4;

		assert_int_equal(s->len, hl + payload < 60 ? 60 : hl + payload);
		assert_int_equal(s->off.gso, NET_GSO_NONE);
		assert_int_equal(s->off.flags, flags);
		assert_memory_equal(s->data, frame, 14);
		if (v6) {
			assert_int_equal(be16(h + 4), l4_len);
		} else {
			assert_int_equal(be16(h + 2), 20 + l4_len);
			assert_int_equal(be16(h + 4), 0x1234 + n);
			assert_int_equal(sum16(0, h, 20), 0xffff);
		}
		assert_int_equal(be32(t + 4), 0x0102fff0 + (at - hl));
		assert_int_equal(t[13], at + payload == len ? 0x19 : 0x10);
		assert_memory_equal(t + 20, frame + at, payload);
		if (flags)
			assert_int_equal(be16(t + 16), pseudo(h, 6, l4_len));
		else
			assert_int_equal(sum16(pseudo(h, 6, l4_len), t, l4_len), 0xffff);
	}
	assert_int_equal(net.n_sent, first + n);
}

static void tso_software(void **state)
{
	size_t len = tso_packet(false, 10000);

	tso_send(false, len, 1460);
	fake_net_run(&net);
	check_segments(0, false, len, 1460, 0);
	assert_int_equal(rd(TDH), tx_tail);
	assert_int_equal(txd(0)[12], 1);
	assert_int_equal(txd(tx_tail - 1)[12], 1);
	assert_int_equal(rd(TSCTC), 1);
	assert_int_equal(rd(GPTC), 7);
	fake_net_forget(&net);
	len = tso_packet(true, 5001);
	tso_send(true, len, 999);
	fake_net_run(&net);
	check_segments(0, true, len, 999, 0);
	fake_net_forget(&net);
	/* More segments than slots, padded; the front end sums. */
	net.net.features = NET_F_CSUM;
	len = tso_packet(false, 401);
	tso_send(false, len, 4);
	assert_int_equal(net.n, 32);
	fake_net_run(&net);
	check_segments(0, false, len, 4, NET_CSUM_PARTIAL);
	fake_net_forget(&net);
	/* One segment only. */
	net.net.features = 0;
	len = tso_packet(false, 100);
	tso_send(false, len, 1460);
	fake_net_run(&net);
	check_segments(0, false, len, 1460, 0);
}

/* A packet of which a part is sent before the rest is there. */
static void tso_in_parts(void **state)
{
	size_t len = tso_packet(false, 5000);

	context(14, 24, 33, 34, 50, 7, 54, 1000, 5000);
	data(TXBUF, 40, TSE | IFCS, TXSM | IXSM);
	go();
	fake_save_load(&f);
	data(TXBUF + 40, 2514, TSE | IFCS, 0);
	go();
	assert_int_equal(net.n, 2);
	fake_net_run(&net);
	assert_int_equal(rd(TDH), 1); /* not before all of it has gone */
	fake_save_load(&f);
	data(TXBUF + 2554, 2500, TSE | IFCS | EOP | RS, 0);
	go();
	fake_net_run(&net);
	check_segments(0, false, len, 1000, 0);
	assert_int_equal(rd(TDH), 4);
}

static void tso_offloaded(void **state)
{
	size_t len = tso_packet(false, 20000);
	struct fake_frame *s;

	net.net.features = NET_F_CSUM | NET_F_TSO4 | NET_F_TSO6;
	tso_send(false, len, 1460);
	assert_int_equal(net.n, 1);
	fake_net_run(&net);
	s = sent(0);
	assert_int_equal(s->len, len);
	assert_int_equal(s->n_seg, 2);
	assert_int_equal(s->off.gso, NET_GSO_TCPV4);
	assert_int_equal(s->off.gso_size, 1460);
	assert_int_equal(s->off.hdr_len, 54);
	assert_int_equal(s->off.csum_start, 34);
	assert_int_equal(s->off.csum_offset, 16);
	assert_int_equal(be16(s->data + 16), 20040);
	assert_int_equal(sum16(0, s->data + 14, 20), 0xffff);
	assert_int_equal(be16(s->data + 50), pseudo(s->data + 14, 6, 20020));
	assert_int_equal(s->data[47], 0x19);
	assert_memory_equal(s->data + 54, frame + 54, 20000);
	assert_int_equal(rd(GPTC), 14);
	assert_int_equal(rd(TOTL), 20000 + 14 * 58);
	assert_int_equal(rd(TSCTC), 1);
	fake_net_forget(&net);
	len = tso_packet(true, 9000);
	tso_send(true, len, 1440);
	fake_net_run(&net);
	s = sent(0);
	assert_int_equal(s->off.gso, NET_GSO_TCPV6);
	assert_int_equal(s->off.hdr_len, 74);
	assert_int_equal(be16(s->data + 18), 9020);
	assert_int_equal(be16(s->data + 70), pseudo(s->data + 14, 6, 9020));
	fake_net_forget(&net);
	/* Too small to be cut, and tagged. */
	on(CTRL, CTRL_VME);
	len = tso_packet(false, 1000);
	context(14, 24, 33, 34, 50, 7, 54, 1460, 1000);
	desc(TXBUF, (uint32_t)len | 1u << 20 | (uint32_t)(DEXT | TSE | EOP | IFCS | VLE | RS) << 24,
	     3u << 8 | 0x7u << 16);
	context(14, 24, 33, 34, 50, 7, 54, 460, 1000);
	desc(TXBUF, (uint32_t)len | 1u << 20 | (uint32_t)(DEXT | TSE | EOP | IFCS | VLE | RS) << 24,
	     3u << 8 | 0x7u << 16);
	go();
	fake_net_run(&net);
	assert_int_equal(sent(0)->off.gso, NET_GSO_NONE);
	assert_int_equal(sent(0)->off.flags, NET_CSUM_PARTIAL);
	assert_int_equal(sent(0)->off.csum_start, 38);
	assert_int_equal(sent(0)->len, len + 4);
	assert_int_equal(sent(1)->off.gso, NET_GSO_TCPV4);
	assert_int_equal(sent(1)->off.hdr_len, 58);
	assert_int_equal(be32(sent(1)->data + 12), 0x81000007);
	fake_net_forget(&net);
	/* What the front end can't take goes in segments: too long for one datagram, */
	off(CTRL, CTRL_VME);
	len = 54 + 70000;
	tso_packet(false, 60000);
	pattern(ram(TXBUF + 54), 70000);
	context(14, 24, 33, 34, 50, 7, 54, 1000, 70000);
	data(TXBUF, (uint32_t)len, TSE | IFCS | EOP | RS, 3);
	go();
	fake_net_run(&net);
	assert_int_equal(net.n_sent, 70);
	assert_int_equal(sent(69)->len, 1054);
	assert_memory_equal(sent(69)->data + 54, ram(TXBUF + 54 + 69000), 1000);
	fake_net_forget(&net);
	/* or with headers that it would not understand. */
	tso_packet(false, 2000);
	ram(TXBUF)[12] = 0x09;
	context(14, 24, 33, 34, 50, 7, 54, 1000, 2000);
	data(TXBUF, 2054, TSE | IFCS | EOP, 3);
	go();
	fake_net_run(&net);
	assert_int_equal(net.n_sent, 2);
}

static void tso_pieces(void **state)
{
	unsigned n = 0;

	net.net.features = NET_F_CSUM | NET_F_TSO4;
	tso_packet(false, 3000);
	memcpy(ram(0x800000), frame, 3054);
	wr(TDLEN, 256 * 16);
	wr(TDH, 0);
	for (unsigned pass = 0; pass < 2; pass++) {
		/* 54 bytes of headers and 100 pieces of 30 bytes that don't touch. */
		for (unsigned i = 0; i < 102; i++) {
			uint64_t at = i < 2 ? TXBUF : TXBUF + i * 64;
			uint32_t size = i < 2 ? 54 : 30;
			uint32_t low = size | 1u << 20 |
				       (uint32_t)(DEXT | TSE | IFCS | (i == 101 ? EOP | RS : 0))
					       << 24;
			uint32_t high = 3u << 8;

			if (!i) {
				at = 24u << 8 | 14 | 33u << 16 | 34ull << 32 | 50ull << 40;
				low = 3000 | (uint32_t)(DEXT | 7) << 24;
				high = 54u << 8 | 700u << 16;
			} else {
				memcpy(ram(at), ram(0x800000) + (i < 2 ? 0 : 54 + (i - 2) * 30),
				       size);
			}
			memcpy(txd(n), &at, 8);
			memcpy(txd(n) + 8, &low, 4);
			memcpy(txd(n) + 12, &high, 4);
			n++;
		}
	}
	wr(TDT, n);
	fake_net_run(&net);
	assert_int_equal(net.n_sent, 10);
	for (unsigned i = 0; i < 10; i++) {
		struct fake_frame *s = sent(i);
		unsigned k = i % 5;

		assert_int_equal(s->len, k < 4 ? 754 : 254);
		assert_memory_equal(s->data + 54, ram(0x800000) + 54 + k * 700, s->len - 54);
		assert_int_equal(be16(s->data + 50), pseudo(s->data + 14, 6, s->len - 34));
	}
	assert_int_equal(rd(TDH), n);
}

/* Contexts of which no frame can be made, or that point anywhere. */
static void tso_nonsense(void **state)
{
	static const uint8_t at[] = { 0, 13, 14, 34, 50, 54, 200, 255 };
	unsigned n = 0;

	net.net.features = NET_F_CSUM | NET_F_TSO4 | NET_F_TSO6;
	tso_packet(false, 300);
	for (unsigned i = 0; i < 4; i++) {
		static const unsigned hdr[] = { 0, 13, 54, 54 }, mss[] = { 100, 100, 0, 65535 };

		context(14, 24, 33, 34, 50, 7, hdr[i], mss[i], 300);
		data(TXBUF, 354, TSE | IFCS | EOP | RS, 3);
	}
	go();
	assert_int_equal(net.n, 0);
	assert_int_equal(rd(TSCTFC), 4);
	context(14, 24, 33, 34, 50, 7, 54, 100, 300);
	data(TXBUF, 40, TSE | IFCS | EOP | RS, 3); /* ends in its headers */
	data(TXBUF, 54, TSE | IFCS | EOP | RS, 3); /* or with them */
	go();
	assert_int_equal(rd(TDH), tx_tail);
	assert_int_equal(net.n, 0);
	for (unsigned i = 0; i < 8 * 8 * 8 * 4; i++) {
		net.net.features = i & 1 ? 7 : 0;
		context(at[i & 7], at[i >> 3 & 7], at[i >> 2 & 7] - 1u, at[i >> 4 & 7],
			at[i >> 6 & 7], 4 | (i >> 9 & 3), 14 + (i % 241), 97, 300);
		data(TXBUF, 354, TSE | IFCS | EOP | RS, 3);
		go();
		n += fake_net_run(&net);
		assert_int_equal(rd(TDH), tx_tail);
		fake_net_forget(&net);
	}
	assert_true(n > 2000);
	/* UDP: its length is put in (no driver asks for it). */
	net.net.features = 0;
	packet(frame, false, 17, 100);
	memcpy(ram(TXBUF), frame, 142);
	context(14, 24, 33, 34, 40, 2 | 4, 42, 60, 100);
	data(TXBUF, 142, TSE | IFCS | EOP | RS, IXSM);
	go();
	fake_net_run(&net);
	assert_int_equal(be16(sent(0)->data + 38), 68);
	assert_int_equal(be16(sent(1)->data + 38), 48);
}

static void reset_in_flight(void **state)
{
	for (unsigned i = 0; i < 3; i++)
		legacy(TXBUF, 100, EOP | IFCS | RS);
	go();
	fake_net_end(&net, 0, 0);
	wr(CTRL, CTRL_RST);
	assert_int_equal(rd(TDH), 0);
	memset(ram(TXRING), 0, 4096);
	fake_net_end(&net, 1, 0);
	bring_up();
	for (unsigned i = 0; i < 3; i++)
		legacy(TXBUF, 200 + i, EOP | IFCS | RS);
	go();
	assert_int_equal(net.n, 4);
	fake_net_end(&net, 0, -1); /* the last of before */
	assert_int_equal(rd(TDH), 0);
	assert_int_equal(txd(0)[12], 0);
	rd(ICR);
	fake_net_end(&net, 0, 0);
	assert_int_equal(rd(TDH), 1);
	assert_int_equal(rd(ICR), ICR_TXDW);
	/* Another ring, another life; loads too. */
	off(TCTL, TCTL_EN);
	wr(TDBAL, TXRING);
	assert_int_equal(fake_net_run(&net), 2);
	assert_int_equal(rd(TDH), 1);
	on(TCTL, TCTL_EN);
	assert_int_equal(net.n, 2);
	e1000_class.reset(dev);
	memset(ram(TXRING), 0, 4096);
	assert_int_equal(fake_net_run(&net), 2);
	assert_int_equal(net.n_sent, 7);
	for (unsigned i = 0; i < 4096; i++)
		assert_int_equal(ram(TXRING)[i], 0);
}

/* ---- receive ---- */

static void rx_simple(void **state)
{
	make(100, mac);
	assert_true(fake_net_feed(&net, frame, 100, NULL));
	assert_int_equal(rd(RDH), 1);
	assert_int_equal(le16(rxd(0) + 8), 104);
	assert_int_equal(rxd(0)[12], 0x07); /* DD EOP IXSM */
	assert_int_equal(rxd(0)[13], 0);
	assert_memory_equal(ram(RXBUF), frame, 100);
	assert_int_equal(le16(rxd(0) + 10), (uint16_t)~sum16(0, ram(RXBUF), 104));
	assert_true(line());
	assert_int_equal(rd(ICR), ICR_RXT0);
	/* The FCS is right: over data and FCS it gives a constant. */
	assert_int_equal(net_fcs(0, ram(RXBUF), 104), 0x2144df1c);
	/* Padded by nobody else; without FCS. */
	on(RCTL, RCTL_SECRC);
	memset(ram(RXBUF + RXSIZE), 0xff, 100);
	assert_true(fake_net_feed(&net, frame, 20, NULL));
	assert_int_equal(le16(rxd(1) + 8), 60);
	assert_int_equal(ram(RXBUF + RXSIZE)[20], 0);
	assert_int_equal(ram(RXBUF + RXSIZE)[59], 0);
	assert_int_equal(ram(RXBUF + RXSIZE)[60], 0xff);
	/* Counters. */
	assert_int_equal(rd(TPR), 2);
	assert_int_equal(rd(GPRC), 2);
	assert_int_equal(rd(GORCL), 104 + 64);
	assert_int_equal(rd(GORCL), 104 + 64);
	assert_int_equal(rd(GORCH), 0);
	assert_int_equal(rd(GORCL), 0);
	assert_int_equal(rd(PRC64), 1);
	assert_int_equal(rd(PRC64 + 4), 1);
	wr(GPRC, 5);
	assert_int_equal(rd(GPRC), 0);
	/* They stick at the end. */
	dev->state.reg[TPR / 4] = 0xffffffff;
	dev->state.reg[TORL / 4] = dev->state.reg[TORH / 4] = 0xffffffff;
	fake_net_feed(&net, frame, 100, NULL);
	assert_int_equal(rd(TPR), 0xffffffff);
	assert_int_equal(rd(TORL), 0xffffffff);
	assert_int_equal(rd(TORH), 0xffffffff);
	assert_int_equal(rd(TORL), 0);
	/* Off. */
	off(RCTL, RCTL_EN);
	assert_true(fake_net_feed(&net, frame, 100, NULL));
	on(RCTL, RCTL_EN);
	fake_cfg_write(&f, DEVFN, 4, 2, 3);
	assert_true(fake_net_feed(&net, frame, 100, NULL));
	assert_int_equal(rd(RDH), 3);
}

static void rx_full(void **state)
{
	make(200, mac);
	rd(ICR);
	for (unsigned i = 0; i < N_DESC - 1; i++) {
		frame[50] = (uint8_t)i;
		assert_true(fake_net_feed(&net, frame, 200, NULL));
		/* Half of them are left: 8 of 16. */
		assert_int_equal(rd(ICR), ICR_RXT0 | (i == 6 ? ICR_RXDMT0 : 0));
	}
	frame[50] = 99;
	assert_false(fake_net_feed(&net, frame, 200, NULL));
	assert_int_equal(rd(ICR), ICR_RXO);
	assert_false(fake_net_feed(&net, frame, 200, NULL));
	assert_int_equal(rd(ICR), 0);
	assert_int_equal(rd(RNBC), 1);
	assert_int_equal(rd(TPR), 15);
	assert_int_equal(net.n_resume, 0);
	fake_save_load(&f);
	wr(RDT, 3);
	assert_int_equal(net.n_resume, 1);
	assert_true(fake_net_feed(&net, frame, 200, NULL));
	assert_int_equal(ram(RXBUF + 15 * RXSIZE)[50], 99);
	assert_int_equal(rd(RDH), 0); /* wrapped */
	for (unsigned i = 0; i < 3; i++)
		assert_true(fake_net_feed(&net, frame, 200, NULL));
	assert_false(fake_net_feed(&net, frame, 200, NULL));
	/* A frame for somebody else does not wait. */
	frame[0] ^= 0x20;
	assert_true(fake_net_feed(&net, frame, 200, NULL));
	/* Nothing waits when the receiver goes. */
	wr(RCTL, 0);
	assert_int_equal(net.n_resume, 2);
	assert_true(fake_net_feed(&net, frame, 200, NULL));
	/* No ring, indices beyond it. */
	frame[0] ^= 0x20;
	on(RCTL, RCTL_EN);
	wr(RDLEN, 0);
	assert_false(fake_net_feed(&net, frame, 200, NULL));
	wr(RDLEN, 128);
	wr(RDH, 8);
	assert_false(fake_net_feed(&net, frame, 200, NULL));
	wr(RDH, 0);
	wr(RDT, 60000);
	assert_false(fake_net_feed(&net, frame, 200, NULL));
	wr(RDT, 1);
	assert_true(fake_net_feed(&net, frame, 200, NULL));
	/* Thresholds of a quarter and an eighth. */
	for (unsigned m = 1; m < 3; m++) {
		wr(RCTL, RCTL_EN | m << 8);
		rx_ring(N_DESC, 15);
		for (unsigned i = 15; i > 0; i--) {
			rd(ICR);
			assert_true(fake_net_feed(&net, frame, 200, NULL));
			assert_int_equal(!!(rd(ICR) & ICR_RXDMT0), i - 1 == 8u >> m);
		}
	}
}

static void rx_sizes(void **state)
{
	static const struct {
		uint32_t rctl, size;
	} sizes[] = { { 0, 2048 },
		      { 1u << 16, 1024 },
		      { 2u << 16, 512 },
		      { 3u << 16, 256 },
		      { RCTL_BSEX | 1u << 16, 16384 },
		      { RCTL_BSEX | 2u << 16, 8192 },
		      { RCTL_BSEX | 3u << 16, 4096 } };

	make(16384, mac);
	/* Without LPE 1518 bytes and a tag. */
	assert_true(fake_net_feed(&net, frame, 1518, NULL));
	assert_int_equal(rd(RDH), 1);
	assert_true(fake_net_feed(&net, frame, 1519, NULL));
	assert_int_equal(rd(RDH), 1);
	assert_int_equal(rd(ROC), 1);
	for (unsigned i = 0; i < 7; i++) {
		size_t len = 3000;
		unsigned n = (unsigned)((len + 4 + sizes[i].size - 1) / sizes[i].size);

		wr(RCTL, RCTL_EN | RCTL_LPE | sizes[i].rctl);
		rx_ring(N_DESC, 15);
		assert_true(fake_net_feed(&net, frame, len, NULL));
		assert_int_equal(rd(RDH), n);
		for (unsigned k = 0; k < n; k++) {
			size_t at = k * sizes[i].size;
			size_t in = len + 4 - at < sizes[i].size ? len + 4 - at : sizes[i].size;
			size_t of_frame = at + in > len ? len - at : in;

			assert_int_equal(le16(rxd(k) + 8), in);
			assert_int_equal(rxd(k)[12], k + 1 == n ? 7 : 1);
			assert_memory_equal(ram(RXBUF + k * RXSIZE), frame + at, of_frame);
		}
		assert_int_equal(rxd(n)[12], 0);
	}
	/* The longest, and one more. */
	rx_ring(N_DESC, 15);
	assert_true(fake_net_feed(&net, frame, 16380, NULL));
	assert_int_equal(rd(RDH), 4);
	assert_true(fake_net_feed(&net, frame, 16381, NULL));
	assert_int_equal(rd(RDH), 4);
	assert_int_equal(rd(ROC), 1);
	/* It waits until all of it fits; what never can is lost. */
	rx_ring(N_DESC, 2);
	assert_false(fake_net_feed(&net, frame, 9000, NULL));
	wr(RDT, 3);
	assert_int_equal(net.n_resume, 1);
	assert_true(fake_net_feed(&net, frame, 9000, NULL));
	wr(RCTL, RCTL_EN | RCTL_LPE | 3u << 16);
	rx_ring(8, 7);
	rd(MPC);
	assert_true(fake_net_feed(&net, frame, 9000, NULL));
	assert_int_equal(rd(MPC), 1);
	assert_int_equal(rd(RDH), 0);
	/* A descriptor without a buffer takes nothing and keeps what it says. */
	wr(RCTL, RCTL_EN);
	rx_ring(N_DESC, 15);
	memset(rxd(0), 0, 8);
	memset(rxd(0) + 8, 0x50, 8);
	assert_true(fake_net_feed(&net, frame, 500, NULL));
	assert_int_equal(rd(RDH), 2);
	assert_int_equal(rxd(0)[12], 1);
	assert_int_equal(rxd(0)[8], 0x50);
	assert_memory_equal(ram(RXBUF + RXSIZE), frame, 500);
}

static void rx_outside_ram(void **state)
{
	uint64_t bad = FAKE_RAM_SIZE - 20;

	make(300, mac);
	memcpy(rxd(0), &bad, 8);
	assert_true(fake_net_feed(&net, frame, 300, NULL));
	assert_int_equal(rd(RDH), 1);
	assert_true(fake_cfg_read(&f, DEVFN, 6, 2) & 0x2000);
	fake_cfg_write(&f, DEVFN, 6, 2, 0x2000);
	wr(RDBAL, FAKE_RAM_SIZE - 16);
	wr(RDBAH, 0);
	rd(MPC);
	assert_true(fake_net_feed(&net, frame, 300, NULL));
	assert_int_equal(rd(MPC), 1);
	assert_true(fake_cfg_read(&f, DEVFN, 6, 2) & 0x2000);
	/* 128 descriptors without buffers are no ring for a frame. */
	wr(RDBAL, RXRING);
	wr(RDLEN, 4096);
	wr(RDH, 0);
	wr(RDT, 255);
	memset(ram(RXRING), 0, 4096);
	assert_true(fake_net_feed(&net, frame, 300, NULL));
	assert_int_equal(rd(MPC), 1);
}

static bool comes(unsigned *head, uint8_t *pif)
{
	bool came;

	assert_true(fake_net_feed(&net, frame, 100, NULL));
	came = rd(RDH) != *head;
	*pif = rxd(*head)[12] & 0x80;
	*head = rd(RDH);
	wr(RDT, (*head + 15) % N_DESC);
	return came;
}

static void rx_filters(void **state)
{
	static const uint8_t all[6] = { 255, 255, 255, 255, 255, 255 };
	static const uint8_t other[6] = { 0x02, 1, 2, 3, 4, 5 };
	static const uint8_t group[6] = { 0x01, 0, 0x5e, 0, 0x9a, 0xbc };
	unsigned head = 0;
	uint8_t pif;

	make(100, mac);
	assert_true(comes(&head, &pif));
	assert_false(pif);
	memcpy(frame, all, 6);
	assert_true(comes(&head, &pif));
	assert_false(pif);
	off(RCTL, RCTL_BAM);
	assert_false(comes(&head, &pif));
	memcpy(frame, other, 6);
	assert_false(comes(&head, &pif));
	on(RCTL, RCTL_UPE);
	assert_true(comes(&head, &pif));
	assert_true(pif);
	memcpy(frame, group, 6);
	assert_false(comes(&head, &pif));
	on(RCTL, RCTL_MPE);
	assert_true(comes(&head, &pif));
	assert_true(pif);
	/* The manual's example: row 94, bit 9. */
	off(RCTL, RCTL_MPE | RCTL_UPE);
	wr(MTA + 94 * 4, 1u << 9);
	assert_true(comes(&head, &pif));
	assert_true(pif);
	frame[4] = 0x8a;
	assert_false(comes(&head, &pif));
	/* Other bits of the address: BC9Ah >> 3, 2, 0. */
	frame[4] = 0x9a;
	for (unsigned mo = 1; mo < 4; mo++) {
		static const uint16_t hash[] = { 0, 0x793, 0xf26, 0xc9a };

		wr(RCTL, RCTL_EN | mo << 12);
		assert_false(comes(&head, &pif));
		wr(MTA + (hash[mo] >> 5) * 4, 1u << (hash[mo] & 31));
		assert_true(comes(&head, &pif));
	}
	/* More addresses, of the destination or the source. */
	memcpy(frame, other, 6);
	assert_false(comes(&head, &pif));
	wr(RA + 15 * 8, 0x03020102);
	wr(RA + 15 * 8 + 4, 0x80000504);
	assert_true(comes(&head, &pif));
	assert_false(pif);
	wr(RA + 15 * 8 + 4, 0x80010504);
	assert_false(comes(&head, &pif));
	memcpy(frame + 6, other, 6);
	assert_true(comes(&head, &pif));
	wr(RA + 15 * 8 + 4, 0x00010504);
	assert_false(comes(&head, &pif));
	assert_int_equal(rd(BPRC), 1);
	assert_int_equal(rd(MPRC), 5);
}

static void rx_vlan(void **state)
{
	unsigned head = 0;
	uint8_t pif;

	make(100, mac);
	memcpy(frame + 12, "\x81\x00\x60\x64\x08\x06", 6);
	assert_true(comes(&head, &pif));
	assert_memory_equal(ram(RXBUF), frame, 100);
	assert_int_equal(rxd(0)[12] & 8, 0);
	on(CTRL, CTRL_VME);
	assert_true(comes(&head, &pif));
	assert_memory_equal(ram(RXBUF + RXSIZE), frame, 12);
	assert_memory_equal(ram(RXBUF + RXSIZE + 12), frame + 16, 84);
	assert_int_equal(le16(rxd(1) + 8), 100);
	assert_int_equal(rxd(1)[12], 0x0f);
	assert_int_equal(le16(rxd(1) + 14), 0x6064);
	on(RCTL, RCTL_VFE);
	assert_false(comes(&head, &pif));
	wr(VFTA + 3 * 4, 1u << 4); /* 64h */
	assert_true(comes(&head, &pif));
	on(RCTL, RCTL_CFIEN | RCTL_CFI);
	assert_false(comes(&head, &pif));
	off(RCTL, RCTL_CFI);
	assert_true(comes(&head, &pif));
	frame[14] = 0x70;
	assert_false(comes(&head, &pif));
	/* Untagged frames pass. */
	frame[12] = 8;
	assert_true(comes(&head, &pif));
	assert_int_equal(rxd(head - 1)[12], 7);
}

static void rx_one(size_t len, const struct net_offload *o, unsigned status, unsigned errors)
{
	memcpy(frame, mac, 6);
	rx_ring(N_DESC, 15);
	assert_true(fake_net_feed(&net, frame, len, o));
	assert_int_equal(rxd(0)[12], 3 | status);
	assert_int_equal(rxd(0)[13], errors);
}

static void rx_checksums(void **state)
{
	struct net_offload valid = { .flags = NET_CSUM_VALID };
	struct net_offload partial = { .flags = NET_CSUM_PARTIAL,
				       .csum_start = 34,
				       .csum_offset = 16 };
	size_t len = packet(frame, false, 6, 333);

	finish(frame, false, 6, len);
	rx_one(len, NULL, 4, 0);
	wr(RXCSUM, 0x100);
	rx_one(len, NULL, 0x40, 0);
	wr(RXCSUM, 0x200);
	rx_one(len, NULL, 0x20, 0);
	wr(RXCSUM, 0x300 | 14);
	rx_one(len, NULL, 0x60, 0);
	assert_int_equal(le16(rxd(0) + 10), (uint16_t)~sum16(0, ram(RXBUF + 14), len + 4 - 14));
	frame[len - 1] ^= 1;
	rx_one(len, NULL, 0x60, 0x20);
	rx_one(len, &valid, 0x60, 0); /* somebody looked already */
	frame[22] ^= 1;
	rx_one(len, NULL, 0x60, 0x60);
	/* Never made: made here. */
	packet(frame, false, 6, 333);
	finish(frame, false, 6, len);
	net_put16(frame + 50, pseudo(frame + 14, 6, len - 34));
	rx_one(len, &partial, 0x60, 0);
	assert_int_equal(sum16(pseudo(ram(RXBUF + 14), 6, len - 34), ram(RXBUF + 34), len - 34),
			 0xffff);
	assert_int_equal(le16(rxd(0) + 10), (uint16_t)~sum16(0, ram(RXBUF + 14), len + 4 - 14));
	/* UDP without one, fragments, other things. */
	len = packet(frame, false, 17, 100);
	net_put16(frame + 24, (uint16_t)~sum16(0, frame + 14, 20));
	rx_one(len, NULL, 0x40, 0);
	finish(frame, false, 17, len);
	rx_one(len, NULL, 0x60, 0);
	net_put16(frame + 24, 0);
	frame[20] = 0x20;
	net_put16(frame + 24, (uint16_t)~sum16(0, frame + 14, 20));
	rx_one(len, NULL, 0x40, 0);
	len = packet(frame, true, 6, 99);
	finish(frame, true, 6, len);
	rx_one(len, NULL, 0x20, 0);
	frame[len - 2] ^= 1;
	rx_one(len, NULL, 0x20, 0x20);
	make(100, mac);
	rx_one(100, NULL, 4, 0);
}

static void rx_delays(void **state)
{
	make(100, mac);
	wr(RDTR, 10);
	wr(RADV, 20);
	fake_net_feed(&net, frame, 100, NULL);
	assert_false(line());
	assert_int_equal(rxd(0)[12] & 1, 1);
	fake_step(&f, 10000);
	assert_false(line());
	fake_net_feed(&net, frame, 100, NULL); /* 10.24 us more */
	fake_step(&f, 10000);
	fake_net_feed(&net, frame, 100, NULL);
	fake_save_load(&f);
	fake_step(&f, 479);
	assert_false(line());
	fake_step(&f, 1); /* 20.48 us after the first */
	assert_true(line());
	assert_int_equal(rd(ICR), ICR_RXT0);
	fake_step(&f, 100000);
	assert_false(line());
	fake_net_feed(&net, frame, 100, NULL);
	fake_step(&f, 10240);
	assert_true(line());
	rd(ICR);
	fake_net_feed(&net, frame, 100, NULL);
	wr(RDTR, 10 | 0x80000000u);
	assert_true(line());
	rd(ICR);
	/* Small frames are told at once. */
	wr(RSRPD, 128);
	wr(IMS, ICR_SRPD);
	fake_net_feed(&net, frame, 200, NULL);
	assert_false(line());
	fake_net_feed(&net, frame, 100, NULL);
	assert_int_equal(rd(ICR) & ~ICR_RXDMT0, ICR_SRPD);
}

static void loopbacks(void **state)
{
	size_t len = packet(frame, false, 6, 1000);

	memcpy(frame, mac, 6);
	net_put16(frame + 50, pseudo(frame + 14, 6, len - 34));
	memcpy(ram(TXBUF), frame, len);
	net.net.features = 7;
	on(RCTL, RCTL_LBM_MAC);
	wr(RXCSUM, 0x300);
	context(14, 24, 33, 34, 50, 3, 0, 0, 0);
	data(TXBUF, 600, IFCS, 3);
	data(TXBUF + 600, (uint32_t)len - 600, IFCS | EOP | RS, 3);
	go();
	assert_int_equal(net.n, 0);
	assert_int_equal(rd(TDH), 3);
	assert_int_equal(rd(RDH), 1);
	assert_int_equal(rxd(0)[12], 0x63);
	assert_int_equal(rxd(0)[13], 0);
	assert_memory_equal(ram(RXBUF + 54), frame + 54, len - 54);
	assert_true(fake_net_feed(&net, frame, len, NULL)); /* the wire is cut off */
	assert_int_equal(rd(RDH), 1);
	off(RCTL, RCTL_LBM);
	/* In the PHY, without a link. */
	fake_net_link(&net, false);
	mdi_write(0, 0x4140);
	wr(RDT, 1);
	legacy(TXBUF, 100, IFCS | EOP | RS);
	rd(MPC);
	go();
	assert_int_equal(rd(MPC), 1); /* no room: lost */
	wr(RDT, 0);
	pieces(100, 20, 3);
	assert_int_equal(rd(RDH), 1); /* the frame is not for this card */
	on(RCTL, RCTL_UPE | RCTL_MPE | RCTL_LPE);
	pieces(100, 20, 3);
	assert_int_equal(rd(RDH), 2);
	for (unsigned i = 0; i < 100; i++)
		assert_memory_equal(ram(RXBUF + RXSIZE + i * 20), ram(TXBUF + i * 23), 20);
	off(RCTL, RCTL_EN);
	pieces(1, 100, 0);
	assert_int_equal(rd(TDH), 1);
}

/* ---- saved states ---- */

static void loads(void **state)
{
	size_t cap = e1000_class.state_size + 64, len;
	uint8_t *buf = malloc(cap), *bad = malloc(cap);
	const struct {
		size_t off;
		uint8_t v;
	} wrong[] = {
		{ offsetof(struct e1000_state, line), 2 },
		{ offsetof(struct e1000_state, starved), 2 },
		{ offsetof(struct e1000_state, an_done), 2 },
		{ offsetof(struct e1000_state, eeprom.phase), 9 },
		{ offsetof(struct e1000_state, eeprom.n), 99 },
		{ offsetof(struct e1000_state, eeprom.addr), 64 },
		{ offsetof(struct e1000_state, reg[ICR / 4]) + 3, 0xff },
		{ offsetof(struct e1000_state, reg[TDLEN / 4]), 1 },
		{ offsetof(struct e1000_state, tx_next), 77 },
		{ offsetof(struct e1000_state, pkt.n_seg) + 1, 0xff },
		{ offsetof(struct e1000_state, pkt.n_seg), 2 },
		{ offsetof(struct e1000_state, pkt.seg[0].addr) + 7, 1 },
		{ offsetof(struct e1000_state, pkt.len) + 1, 0xff },
		{ offsetof(struct e1000_state, pkt.buf_end) + 2, 1 },
		{ offsetof(struct e1000_state, pkt.n_desc) + 1, 1 },
		{ offsetof(struct e1000_state, pkt.tse), 1 },
		{ offsetof(struct e1000_state, cfg[0]), 1 },
	};

	assert_non_null(buf);
	assert_non_null(bad);
	legacy(TXBUF, 100, IFCS);
	go();
	len = dev_save(&e1000_class, dev, buf, cap);
	for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		memcpy(bad, buf, len);
		bad[24 + wrong[i].off] = wrong[i].v;
		assert_int_equal(dev_load(&e1000_class, dev, bad, len), -1);
		assert_true(e1000_class.sane(dev));
		assert_int_equal(card->base[0], DEV_UNPLACED);
	}
	assert_int_equal(dev_load(&e1000_class, dev, buf, len), 0);
	assert_int_equal(card->base[0], MEM);
	legacy(TXBUF + 500, 100, EOP | IFCS | RS);
	legacy(TXBUF + 500, 100, EOP | IFCS | RS);
	go();
	/* Saved with frames in flight: they count as sent where it is loaded. */
	dev_save(&e1000_class, dev, buf, cap);
	assert_int_equal(dev_load(&e1000_class, dev, buf, len), 0);
	assert_int_equal(rd(TDH), 3);
	assert_int_equal(txd(1)[12] & txd(2)[12], 1);
	fake_net_run(&net);
	assert_int_equal(rd(TDH), 3);
	free(buf);
	free(bad);
}

static void no_network(void **state)
{
	struct e1000_cfg cfg = { 0 };
	struct dev_env env = fake_env(&f, dev);
	void *d = calloc(1, e1000_class.size);

	assert_int_equal(e1000_class.init(d, &env, &cfg), -1);
	free(d);
}

#define T(fn)  cmocka_unit_test_setup_teardown(fn, setup, teardown)
#define UP(fn) cmocka_unit_test_setup_teardown(fn, setup_up, teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		T(pci),
		T(io_window),
		T(registers),
		T(eeprom),
		T(phy),
		UP(link_flap),
		UP(interrupts),
		UP(throttle),
		UP(tx_simple),
		UP(tx_order),
		UP(tx_sizes),
		UP(tx_outside_ram),
		UP(tx_gates),
		UP(tx_pieces),
		UP(tx_endless),
		UP(tx_interrupts),
		UP(tx_checksums),
		UP(tx_csum_offload),
		UP(tx_vlan),
		UP(tso_software),
		UP(tso_in_parts),
		UP(tso_offloaded),
		UP(tso_pieces),
		UP(tso_nonsense),
		UP(reset_in_flight),
		UP(rx_simple),
		UP(rx_full),
		UP(rx_sizes),
		UP(rx_outside_ram),
		UP(rx_filters),
		UP(rx_vlan),
		UP(rx_checksums),
		UP(rx_delays),
		UP(loopbacks),
		UP(loads),
		T(no_network),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
