/* SPDX-License-Identifier: BSD-2-Clause */
/* e1000_test.h - an 82540EM with its network, a driver's moves, and packets, for the tests of models/e1000. */
#ifndef E1000_TEST_H
#define E1000_TEST_H

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

static inline uint32_t rd(uint32_t off)
{
	return (uint32_t)fake_read(&f, DEV_MMIO, MEM + off, 4);
}

static inline void wr(uint32_t off, uint32_t v)
{
	fake_write(&f, DEV_MMIO, MEM + off, 4, v);
}

static inline void on(uint32_t off, uint32_t bits)
{
	wr(off, rd(off) | bits);
}

static inline void off(uint32_t reg, uint32_t bits)
{
	wr(reg, rd(reg) & ~bits);
}

static inline bool line(void)
{
	return card->line[0];
}

static inline uint16_t mdi(unsigned reg)
{
	wr(MDIC, 2u << 26 | 1u << 21 | reg << 16);
	assert_int_equal(rd(MDIC) & 0x70000000, 0x10000000);
	return (uint16_t)rd(MDIC);
}

static inline void mdi_write(unsigned reg, uint16_t v)
{
	wr(MDIC, 1u << 26 | 1u << 21 | reg << 16 | v);
	assert_int_equal(rd(MDIC) & 0x70000000, 0x10000000);
}

static inline uint16_t eerd(unsigned addr)
{
	wr(EERD, addr << 8 | 1);
	assert_true(rd(EERD) & 0x10);
	return (uint16_t)(rd(EERD) >> 16);
}

static inline uint8_t *ram(uint64_t at)
{
	return f.ram + at;
}

static inline uint8_t *txd(unsigned i)
{
	return ram(TXRING + i * 16);
}

static inline uint8_t *rxd(unsigned i)
{
	return ram(RXRING + i * 16);
}

static inline unsigned le16(const uint8_t *p)
{
	return p[0] | (unsigned)p[1] << 8;
}

static inline unsigned be16(const uint8_t *p)
{
	return (unsigned)p[0] << 8 | p[1];
}

static inline uint32_t be32(const uint8_t *p)
{
	return (uint32_t)be16(p) << 16 | be16(p + 2);
}

/* A descriptor at the tail, which the chip does not see before go(). */
static inline void desc(uint64_t addr, uint32_t low, uint32_t high)
{
	uint8_t *d = txd(tx_tail);

	memcpy(d, &addr, 8);
	memcpy(d + 8, &low, 4);
	memcpy(d + 12, &high, 4);
	tx_tail = (tx_tail + 1) % N_DESC;
}

static inline void legacy(uint64_t addr, uint32_t len, uint32_t cmd)
{
	desc(addr, len | cmd << 24, 0);
}

static inline void data(uint64_t addr, uint32_t len, uint32_t cmd, uint32_t popts)
{
	desc(addr, len | 1u << 20 | (cmd | DEXT) << 24, popts << 8);
}

static inline void go(void)
{
	wr(TDT, tx_tail);
}

static inline void rx_ring(unsigned n, unsigned ready)
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
static inline void bring_up(void)
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

static inline int setup(void **state)
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

static inline int setup_up(void **state)
{
	setup(state);
	bring_up();
	return 0;
}

static inline int teardown(void **state)
{
	fake_net_free(&net);
	fake_free(&f);
	return 0;
}

/* ---- frames ---- */

static const uint8_t mac[6] = { 0x52, 0x54, 0x00, 0x12, 0x34, 0x56 };
static uint8_t frame[NET_MAX_FRAME];

/* Bytes that say where they stand. */
static inline void pattern(uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		p[i] = (uint8_t)(i * 7 + (i >> 8) + 1);
}

static inline void make(size_t len, const uint8_t dst[6])
{
	pattern(frame, len);
	memcpy(frame, dst, 6);
	memcpy(frame + 6, "\x02\0\0\0\0\x01\x88\xb5", 8);
}

/* The sum of RFC 1071, as slowly as can be. */
static inline uint16_t sum16(uint32_t s, const uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		s += i & 1 ? p[i] : (uint32_t)p[i] << 8;
	while (s >> 16)
		s = (s & 0xffff) + (s >> 16);
	return (uint16_t)s;
}

static inline uint16_t pseudo(const uint8_t *ip, unsigned proto, size_t len)
{
	if (ip[0] >> 4 == 4)
		return sum16((uint32_t)(proto + len), ip + 12, 8);
	return sum16((uint32_t)(proto + len), ip + 8, 32);
}

/* A TCP (6) or UDP (17) packet; the checksums are 0.  Returns its length. */
static inline size_t packet(uint8_t *p, bool v6, unsigned proto, size_t payload)
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

static inline void finish(uint8_t *p, bool v6, unsigned proto, size_t len)
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

static inline struct fake_frame *sent(unsigned i)
{
	assert_true(i < net.n_sent);
	return net.sent[i];
}

static inline void context(unsigned css, unsigned cso, unsigned cse, unsigned tss, unsigned tso,
			   unsigned cmd, unsigned hdrlen, unsigned mss, unsigned paylen)
{
	desc((uint64_t)cse << 16 | cso << 8 | css | (uint64_t)tss << 32 | (uint64_t)tso << 40,
	     paylen | (cmd | DEXT) << 24, hdrlen << 8 | mss << 16);
}

/* More pieces than a frame may have: the first ones go through the card's buffer. */
static inline void pieces(unsigned n, unsigned size, unsigned skip)
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

#define T(fn)  cmocka_unit_test_setup_teardown(fn, setup, teardown)
#define UP(fn) cmocka_unit_test_setup_teardown(fn, setup_up, teardown)

#endif
