/* SPDX-License-Identifier: BSD-2-Clause */
/* Register scripts for the NE2000, from the DP8390D and RTL8029AS data sheets and as drivers behave. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "fake_host.h"
#include "models/ne2000/ne2000.h"
#include "models/net_csum.h"

#define BASE 0x300
#define DATA (BASE + 0x10)

enum {
	CR,
	PSTART,
	PSTOP,
	BNRY,
	TPSR,
	TBCR0,
	TBCR1,
	ISR,
	RSAR0,
	RSAR1,
	RBCR0,
	RBCR1,
	RCR,
	TCR,
	DCR,
	IMR
};
#define TSR   TPSR
#define RSR   RCR
#define CNTR0 TCR
#define CURR  7 /* page 1 */

#define FIRST 0x46 /* of the ring */
#define STOP  0x80

static struct fake f;
static struct fake_net net;
static struct dev_host *card;

static void with(const struct dev_class *c, int devfn)
{
	struct ne2000_cfg cfg = { .net = &net.net, .base = BASE, .irq = 9 };

	fake_init(&f);
	fake_net_init(&net, &f);
	card = fake_host_of(&f, fake_add(&f, c, &cfg, devfn));
	if (devfn >= 0) {
		fake_cfg_write(&f, (unsigned)devfn, 0x10, 4, BASE);
		fake_cfg_write(&f, (unsigned)devfn, 4, 2, 1);
	}
}

static int isa(void **state)
{
	with(&ne2000_isa_class, -1);
	return 0;
}

static int pci(void **state)
{
	with(&ne2000_pci_class, 24);
	return 0;
}

static int teardown(void **state)
{
	fake_net_free(&net);
	fake_free(&f);
	return 0;
}

static uint8_t get(unsigned reg)
{
	return fake_inb(&f, BASE + reg);
}

static void set(unsigned reg, unsigned v)
{
	fake_outb(&f, BASE + reg, v);
}

/* As Linux's NS8390_init(), and with start. */
static void bring_up(void)
{
	set(CR, 0x21);
	set(DCR, 0x49);
	set(RBCR0, 0);
	set(RBCR1, 0);
	set(RCR, 0x20);
	set(TCR, 0x02);
	set(TPSR, 0x40);
	set(PSTART, FIRST);
	set(BNRY, STOP - 1);
	set(PSTOP, STOP);
	set(ISR, 0xff);
	set(IMR, 0x00);
	set(CR, 0x61);
	for (unsigned i = 0; i < 6; i++)
		set(1 + i, net.net.mac[i]);
	for (unsigned i = 0; i < 8; i++)
		set(8 + i, 0);
	set(CURR, FIRST);
	set(CR, 0x21);
	set(ISR, 0xff);
	set(IMR, 0x3f);
	set(CR, 0x22);
	set(TCR, 0x00);
	set(RCR, 0x04); /* broadcast */
}

static void remote(uint8_t cmd, unsigned addr, unsigned len)
{
	set(CR, 0x22);
	set(RBCR0, len & 0xff);
	set(RBCR1, len >> 8);
	set(RSAR0, addr & 0xff);
	set(RSAR1, addr >> 8);
	set(CR, cmd);
}

static void read_mem(unsigned addr, void *buf, unsigned len)
{
	remote(0x0a, addr, len);
	fake_burst(&f, DATA, 2, false, buf, len / 2);
	assert_int_equal(get(ISR) & 0x40, 0x40);
	set(ISR, 0x40);
}

static void write_mem(unsigned addr, void *buf, unsigned len)
{
	remote(0x12, addr, len);
	fake_burst(&f, DATA, 2, true, buf, len / 2);
	assert_int_equal(get(ISR) & 0x40, 0x40);
	set(ISR, 0x40);
}

static void frame(uint8_t *p, const uint8_t *to, unsigned len, unsigned seed)
{
	memcpy(p, to, 6);
	memcpy(p + 6, "\x52\x54\x00\xaa\xbb\xcc\x08\x00", 8);
	for (unsigned i = 14; i < len; i++)
		p[i] = (uint8_t)(i * 7 + seed);
}

static uint8_t curr(void)
{
	uint8_t v;

	set(CR, 0x62);
	v = get(CURR);
	set(CR, 0x22);
	return v;
}

/* As Linux's ei_receive(): the frame after BNRY, if there is one; its length without FCS. */
static int take(uint8_t *buf)
{
	uint8_t head[4], at = (uint8_t)(get(BNRY) + 1);
	unsigned len, n;

	at = at >= STOP ? FIRST : at;
	if (at == curr())
		return -1;
	read_mem(at * 256u, head, 4);
	assert_int_equal(head[0] & 0x0f, 1);
	len = head[2] + head[3] * 256u;
	/* What Linux holds for possible, of 8 KiB and more. */
	unsigned page = at + 1u + (len >> 8), lap = STOP - FIRST;

	assert_true(head[1] == page || head[1] == page + 1 || head[1] == page - lap ||
		    head[1] == page + 1 - lap);
	/* In two parts if it wraps. */
	n = STOP * 256u - (at * 256u + 4);
	if (len > n) {
		read_mem(at * 256u + 4, buf, n);
		read_mem(FIRST * 256u, buf + n, (len - n + 1) & ~1u);
	} else {
		read_mem(at * 256u + 4, buf, (len + 1) & ~1u);
	}
	assert_int_equal(head[1], at + (len + 4 + 255) / 256 >= STOP ?
					  at + (len + 4 + 255) / 256 - STOP + FIRST :
					  at + (len + 4 + 255) / 256);
	set(BNRY, head[1] - 1u); /* FIRST - 1 too */
	assert_int_equal(net_fcs(0, buf, len), 0x2144df1c);
	return (int)len - 4;
}

static void linux_probe(void **state)
{
	static const struct {
		uint8_t v, reg;
	} seq[] = { { 0x21, CR },  { 0x49, DCR }, { 0, RBCR0 }, { 0, RBCR1 },  { 0, IMR },
		    { 0xff, ISR }, { 0x20, RCR }, { 2, TCR },   { 32, RBCR0 }, { 0, RBCR1 },
		    { 0, RSAR0 },  { 0, RSAR1 },  { 0x0a, CR } };
	uint8_t prom[32], reg0 = get(CR);

	assert_int_equal(reg0, 0x21);
	set(CR, 0x61);
	set(0xd, 0xff);
	assert_int_equal(get(0xd), 0xff);
	set(CR, 0x20);
	get(CNTR0);
	assert_int_equal(get(CNTR0), 0);
	set(0x1f, get(0x1f));
	assert_int_equal(get(ISR), 0x80);
	set(ISR, 0xff);
	for (unsigned i = 0; i < sizeof(seq) / sizeof(seq[0]); i++)
		set(seq[i].reg, seq[i].v);
	/* ne2k-pci reads bytes in word mode: each moves a word. */
	for (unsigned i = 0; i < 32; i++)
		prom[i] = fake_inb(&f, DATA);
	assert_memory_equal(prom, net.net.mac, 6);
	assert_int_equal(prom[14], 0x57);
	assert_int_equal(prom[15], 0x57);
	assert_int_equal(get(ISR), 0x40);
	assert_int_equal(fake_inb(&f, DATA), 0xff);
	/* ne.c reads them in byte mode: all are there twice. */
	set(DCR, 0x48);
	remote(0x0a, 0, 32);
	fake_burst(&f, DATA, 1, false, prom, 32);
	for (unsigned i = 0; i < 32; i += 2)
		assert_int_equal(prom[i], prom[i + 1]);
	assert_int_equal(prom[10], net.net.mac[5]);
	assert_int_equal(prom[28], 0x57);
}

static void pages(void **state)
{
	bring_up();
	assert_int_equal(get(0xa), 0x50);
	assert_int_equal(get(0xb), card->devfn < 0 ? 0x70 : 0x43);
	set(CR, 0x62);
	assert_int_equal(get(3), net.net.mac[2]);
	set(CR, 0xa2);
	assert_int_equal(get(1), FIRST);
	assert_int_equal(get(2), STOP);
	assert_int_equal(get(4), 0x40);
	assert_int_equal(get(0xc), 0xc4);
	assert_int_equal(get(0xd), 0xe0);
	assert_int_equal(get(0xe), 0xc9);
	assert_int_equal(get(0xf), 0xbf);
	/* Full duplex, as ne2k-pci sets it: only behind the lock. */
	set(CR, 0xe2);
	set(6, 0x40);
	assert_int_equal(get(6), 0);
	set(1, 0xc0);
	set(6, 0x40);
	set(1, 0x00);
	assert_int_equal(get(6), 0x40);
	set(6, 0x00);
	assert_int_equal(get(6), 0x40);
	assert_int_equal(get(4), card->devfn < 0 ? 0x80 : 0);
	set(CR, 0x22);
	/* Words and dwords of registers are bytes in a row. */
	assert_int_equal(fake_inw(&f, BASE + BNRY), get(BNRY) | get(TSR) << 8);
	fake_save_load(&f);
}

static void pci_function(void **state)
{
	assert_int_equal(fake_cfg_read(&f, 24, 0, 4), 0x802910ec);
	assert_int_equal(fake_cfg_read(&f, 24, 0x0a, 2), 0x0200);
	fake_cfg_write(&f, 24, 0x10, 4, 0xffffffff);
	assert_int_equal(fake_cfg_read(&f, 24, 0x10, 4), 0xffffffe1);
	fake_cfg_write(&f, 24, 0x10, 4, 0xc100);
	assert_int_equal(fake_inb(&f, 0xc100), 0x21);
	fake_cfg_write(&f, 24, 4, 2, 0);
	assert_int_equal(fake_inb(&f, 0xc100), 0xff);
	assert_int_equal(fake_cfg_read(&f, 24, 0x3d, 1), 1);
}

static void transmit(void **state)
{
	static const unsigned lens[] = { 60, 1514, 14, 61, 1513 };
	uint8_t buf[1600];

	bring_up();
	for (unsigned i = 0; i < 5; i++) {
		unsigned len = lens[i];

		frame(buf, net.net.mac, len, i);
		write_mem(0x4000, buf, (len + 1) & ~1u);
		set(TBCR0, len & 0xff);
		set(TBCR1, len >> 8);
		set(TPSR, 0x40);
		set(CR, 0x26);
		/* Under way, and read from the card's memory only now. */
		assert_int_equal(get(CR) & 4, 4);
		assert_int_equal(get(ISR), 0);
		assert_false(card->line[0]);
		assert_int_equal(net.n, 1);
		set(CR, 0x26); /* once more: it is busy */
		assert_int_equal(net.n, 1);
		fake_net_end(&net, 0, 0);
		assert_int_equal(get(CR) & 4, 0);
		assert_int_equal(get(ISR), 2);
		assert_int_equal(get(TSR) & 0x3f, 1);
		assert_true(card->line[0]);
		set(ISR, 2);
		assert_false(card->line[0]);
		assert_int_equal(net.sent[i]->len, len);
		assert_true(net.sent[i]->from_model);
		assert_memory_equal(net.sent[i]->data, buf, len);
		fake_save_load(&f);
	}
}

static void transmit_bad(void **state)
{
	bring_up();
	/* Shorter than a header: gone, but not on the network. */
	set(TBCR0, 13);
	set(TBCR1, 0);
	set(CR, 0x26);
	assert_int_equal(get(ISR), 2);
	set(ISR, 2);
	/* Nothing, out of memory, over its end: underrun. */
	for (unsigned i = 0; i < 4; i++) {
		set(TBCR0, i == 0 ? 0 : 60);
		set(TBCR1, i == 3 ? 5 : 0);
		set(TPSR, i == 1 ? 0x10 : i == 2 ? 0x80 : i == 3 ? 0x7c : 0x40);
		set(CR, 0x26);
		assert_int_equal(get(ISR), 8);
		assert_int_equal(get(TSR), 0x20);
		set(ISR, 8);
	}
	assert_int_equal(net.n, 0);
	/* An error of the network. */
	set(TBCR1, 0);
	set(TPSR, 0x40);
	set(CR, 0x26);
	fake_net_end(&net, 0, -1);
	assert_int_equal(get(ISR), 8);
	assert_int_equal(get(TSR), 0x08);
	set(ISR, 8);
	/* No cable. */
	fake_net_link(&net, false);
	set(CR, 0x26);
	assert_int_equal(get(ISR), 2);
	assert_int_equal(get(TSR), 0x11);
	set(ISR, 2);
	fake_net_link(&net, true);
	/* The network is busy: later. */
	net.room = 0;
	set(CR, 0x26);
	assert_int_equal(net.n, 0);
	assert_int_equal(get(CR) & 4, 4);
	fake_save_load(&f);
	net.room = 1;
	net.net.sent_room(net.net.owner);
	assert_int_equal(net.n, 1);
	fake_net_run(&net);
	assert_int_equal(get(ISR), 2);
}

static void reset_in_transfer(void **state)
{
	uint8_t buf[64];

	bring_up();
	frame(buf, net.net.mac, 60, 1);
	write_mem(0x4000, buf, 60);
	set(TBCR0, 60);
	set(TBCR1, 0);
	set(CR, 0x26);
	set(0x1f, get(0x1f));
	assert_int_equal(get(CR), 0x21);
	bring_up();
	/* The next one waits until the first is back, whose end nobody hears. */
	set(TBCR0, 60);
	set(TBCR1, 0);
	set(CR, 0x26);
	assert_int_equal(net.n, 1);
	fake_net_end(&net, 0, 0);
	assert_int_equal(get(ISR), 0);
	assert_int_equal(net.n, 1);
	fake_net_end(&net, 0, 0);
	assert_int_equal(get(ISR), 2);
	set(ISR, 2);
	/* A reset of the machine. */
	set(CR, 0x26);
	card->cls->reset(card->dev);
	fake_net_end(&net, 0, 0);
	if (card->devfn < 0)
		assert_int_equal(get(ISR), 0x80);
}

static void loopback(void **state)
{
	uint8_t buf[64];

	bring_up();
	frame(buf, net.net.mac, 60, 1);
	buf[59] = 0x5a;
	write_mem(0x4000, buf, 60);
	set(TBCR0, 60);
	set(TBCR1, 0);
	set(TCR, 0x02);
	set(CR, 0x26);
	assert_int_equal(net.n, 0);
	assert_int_equal(get(ISR), 2);
	assert_int_equal(get(6), 0x5a); /* FIFO */
	assert_true(fake_net_feed(&net, buf, 60, NULL));
	assert_int_equal(curr(), FIRST);
}

static void receive(void **state)
{
	static const unsigned lens[] = { 60, 14, 61, 248, 249, 252, 253, 1000, 1514, 1518 };
	uint8_t buf[1600], got[1600];

	bring_up();
	for (unsigned turn = 0; turn < 60; turn++) {
		unsigned len = lens[turn % 10], want = len < 60 ? 60 : len;

		frame(buf, net.net.mac, len, turn);
		assert_true(fake_net_feed(&net, buf, len, NULL));
		assert_int_equal(get(ISR), 1);
		assert_int_equal(get(RSR), 1);
		assert_true(card->line[0]);
		memset(got, 0xee, sizeof(got));
		fake_save_load(&f);
		assert_int_equal(take(got), want);
		assert_memory_equal(got, buf, len);
		for (unsigned i = len; i < want; i++)
			assert_int_equal(got[i], 0);
		set(ISR, 1);
		assert_false(card->line[0]);
		assert_int_equal(take(got), -1);
	}
	/* Longer than Ethernet allows. */
	assert_true(fake_net_feed(&net, buf, 1519, NULL));
	assert_int_equal(get(ISR), 0);
	assert_int_equal(take(got), -1);
}

static void wrap_in_one_go(void **state)
{
	uint8_t buf[1600], got[1600];

	bring_up();
	set(CR, 0x62);
	set(CURR, STOP - 2);
	set(CR, 0x22);
	set(BNRY, STOP - 3);
	frame(buf, net.net.mac, 1514, 3);
	assert_true(fake_net_feed(&net, buf, 1514, NULL));
	read_mem((STOP - 2) * 256, got, 1522);
	assert_memory_equal(got + 4, buf, 1514);
	assert_int_equal(got[1], FIRST + 4);
	/* The same by "send packet", and a dword at a time. */
	set(BNRY, STOP - 2);
	set(CR, 0x1a);
	for (unsigned i = 0; i < 1520; i += 4) {
		uint32_t v = fake_inl(&f, DATA);

		memcpy(got + i, &v, 4);
	}
	assert_memory_equal(got + 4, buf, 1514);
	assert_int_equal(get(8) | get(9) << 8, FIRST * 256 + 1518 - 512);
}

static void overflow(void **state)
{
	uint8_t buf[1600], got[1600];
	unsigned n = 0, taken = 0;

	bring_up();
	frame(buf, net.net.mac, 1514, 0);
	set(BNRY, FIRST - 1); /* as Linux has it for STOP - 1 */
	for (buf[20] = 0; n < 20 && fake_net_feed(&net, buf, 1514, NULL); buf[20]++)
		n++;
	/* 58 pages, six for each, and CURR never comes to BNRY. */
	assert_int_equal(n, 9);
	assert_int_equal(get(ISR), 0x11);
	assert_int_equal(net.n_resume, 0);
	/* Linux's ei_rx_overrun(): stop, loopback, start, drain, back. */
	set(CR, 0x21);
	assert_int_equal(get(ISR) & 0x80, 0x80);
	assert_false(fake_net_feed(&net, buf, 1514, NULL)); /* it still waits */
	set(RBCR0, 0);
	set(RBCR1, 0);
	set(TCR, 0x02);
	set(CR, 0x22);
	while (take(got) == 1514)
		assert_int_equal(got[20], taken++);
	assert_int_equal(taken, 9);
	set(ISR, 0x11);
	assert_int_equal(net.n_resume, 0);
	set(TCR, 0x00);
	assert_int_equal(net.n_resume, 1);
	assert_true(fake_net_feed(&net, buf, 1514, NULL));
	assert_int_equal(take(got), 1514);
	assert_int_equal(got[20], 9);
	/* A driver that only moves BNRY on. */
	while (fake_net_feed(&net, buf, 1514, NULL))
		;
	take(got);
	assert_int_equal(net.n_resume, 2);
	assert_true(fake_net_feed(&net, buf, 1514, NULL));
	/* A reset lets what waits go. */
	assert_false(fake_net_feed(&net, buf, 1514, NULL));
	set(0x1f, 0);
	assert_int_equal(net.n_resume, 3);
	assert_true(fake_net_feed(&net, buf, 1514, NULL));
}

/* The driver has made room by the time it hears of the overrun: what comes while it deals with it waits all the same. */
static void overflow_late(void **state)
{
	uint8_t buf[1600], got[1600];

	bring_up();
	frame(buf, net.net.mac, 1514, 0);
	while (fake_net_feed(&net, buf, 1514, NULL))
		;
	take(got);
	assert_int_equal(net.n_resume, 1);
	assert_true(fake_net_feed(&net, buf, 1514, NULL));
	assert_int_equal(get(ISR) & 0x10, 0x10);
	set(ISR, 0x10); /* Linux acknowledges first */
	set(CR, 0x21);
	buf[20] = 99;
	assert_false(fake_net_feed(&net, buf, 1514, NULL));
	set(TCR, 0x02);
	set(CR, 0x22);
	while (take(got) == 1514)
		assert_int_not_equal(got[20], 99);
	assert_false(fake_net_feed(&net, buf, 1514, NULL));
	assert_int_equal(net.n_resume, 1);
	set(TCR, 0x00);
	assert_int_equal(net.n_resume, 2);
	assert_true(fake_net_feed(&net, buf, 1514, NULL));
	assert_int_equal(take(got), 1514);
	assert_int_equal(got[20], 99);
	/* That was it: one that stops now is down. */
	set(CR, 0x21);
	assert_true(fake_net_feed(&net, buf, 1514, NULL));
	/* As is one that was told, and listens no more. */
	set(CR, 0x22);
	while (fake_net_feed(&net, buf, 1514, NULL))
		;
	set(CR, 0x21);
	set(RCR, 0x20);
	assert_int_equal(net.n_resume, 3);
	assert_true(fake_net_feed(&net, buf, 1514, NULL));
}

/* Of a frame that was acknowledged and not taken the driver is told again, until it does. */
static void reminded(void **state)
{
	uint8_t buf[100], got[1600];

	bring_up();
	frame(buf, net.net.mac, 100, 0);
	assert_true(fake_net_feed(&net, buf, 100, NULL));
	set(ISR, 0x01);
	fake_step(&f, 7000000);
	assert_int_equal(get(ISR), 0);
	fake_step(&f, 1000000);
	assert_int_equal(get(ISR), 0x01);
	set(ISR, 0x01);
	fake_step(&f, 8000000);
	assert_int_equal(get(ISR), 0x01);
	assert_int_equal(take(got), 100);
	set(ISR, 0x01);
	fake_step(&f, 1000000000);
	assert_int_equal(get(ISR), 0);
}

static void odd_rings(void **state)
{
	uint8_t buf[1600];

	bring_up();
	frame(buf, net.net.mac, 1514, 0);
	/* Not in memory, upside down, CURR outside, too small: dropped and counted. */
	for (unsigned i = 0; i < 5; i++) {
		set(PSTART, i == 0 ? 0x10 : i == 1 ? 0x60 : FIRST);
		set(PSTOP, i == 1 ? 0x50 : i == 2 ? 0x90 : i == 4 ? FIRST + 4 : STOP);
		set(CR, 0x62);
		set(CURR, i == 3 ? 0x20 : FIRST);
		set(CR, 0x22);
		assert_true(fake_net_feed(&net, buf, 1514, NULL));
		assert_int_equal(get(CNTR0 + 2), 1);
		assert_int_equal(get(CNTR0 + 2), 0);
	}
	/* BNRY outside of the ring is never met. */
	set(PSTART, FIRST);
	set(PSTOP, STOP);
	set(BNRY, 0);
	for (unsigned i = 0; i < 30; i++)
		assert_true(fake_net_feed(&net, buf, 1514, NULL));
}

static bool comes(const uint8_t *to)
{
	uint8_t buf[64], before = curr();

	frame(buf, to, 60, 0);
	assert_true(fake_net_feed(&net, buf, 60, NULL));
	set(BNRY, before); /* it is read */
	return curr() != before;
}

static void filters(void **state)
{
	static const uint8_t all[6] = { 255, 255, 255, 255, 255, 255 };
	static const uint8_t group[6] = { 1, 0, 0x5e, 0, 0, 1 };
	static const uint8_t other[6] = { 2, 2, 3, 4, 5, 6 };

	bring_up();
	assert_true(comes(net.net.mac));
	assert_true(comes(all));
	assert_false(comes(group));
	assert_false(comes(other));
	set(RCR, 0x00);
	assert_false(comes(all));
	set(RCR, 0x08); /* AM: the hash of all-hosts is 31 */
	set(CR, 0x62);
	set(8 + 3, 0x80);
	set(CR, 0x22);
	assert_true(comes(group));
	assert_int_equal(get(RSR), 0x21);
	assert_false(comes(all));
	assert_false(comes(other));
	set(RCR, 0x10);
	assert_true(comes(other));
	assert_false(comes(group));
	/* Monitor mode counts, up to 192, and says so at 128. */
	set(ISR, 0xff);
	set(RCR, 0x20);
	for (unsigned i = 0; i < 200; i++) {
		assert_int_equal(get(ISR) & 0x20, i < 128 ? 0 : 0x20);
		assert_false(comes(net.net.mac));
	}
	assert_int_equal(get(CNTR0 + 2), 192);
	assert_int_equal(get(CNTR0 + 2), 0);
	set(RCR, 0x04);
	/* Commands with neither start nor stop keep it running. */
	set(CR, 0x20);
	assert_true(comes(net.net.mac));
	set(CR, 0x21);
	frame(f.ram, net.net.mac, 60, 0);
	assert_true(fake_net_feed(&net, f.ram, 60, NULL));
	fake_net_link(&net, false);
	set(CR, 0x22);
	assert_false(comes(net.net.mac));
}

static void partial_checksum(void **state)
{
	struct net_offload off = { .flags = NET_CSUM_PARTIAL, .csum_start = 34, .csum_offset = 6 };
	uint8_t buf[100], got[100];

	bring_up();
	frame(buf, net.net.mac, 90, 4);
	net_put16(buf + 40, 0x1234);
	assert_true(fake_net_feed(&net, buf, 90, &off));
	assert_int_equal(take(got), 90);
	assert_memory_equal(got, buf, 40);
	assert_memory_equal(got + 42, buf + 42, 48);
	net_csum_finish(buf, 90, &off);
	assert_memory_equal(got, buf, 90);
}

static void remote_dma(void **state)
{
	uint8_t buf[64], got[64];

	bring_up();
	for (unsigned i = 0; i < 64; i++)
		buf[i] = (uint8_t)(i + 1);
	/* Byte mode, words, dwords, single accesses. */
	set(DCR, 0x48);
	remote(0x12, 0x5000, 8);
	for (unsigned i = 0; i < 8; i++)
		fake_outb(&f, DATA, buf[i]);
	assert_int_equal(get(ISR), 0x40);
	fake_outb(&f, DATA, 0xee); /* nobody wants it */
	remote(0x0a, 0x5000, 8);
	fake_burst(&f, DATA, 1, false, got, 8);
	assert_memory_equal(got, buf, 8);
	set(DCR, 0x49);
	remote(0x12, 0x5008, 8);
	fake_outl(&f, DATA, 0x04030201);
	assert_int_equal(get(8), 0x0c);
	assert_int_equal(get(9), 0x50);
	fake_save_load(&f);
	fake_outw(&f, DATA, 0x0605);
	fake_outw(&f, DATA, 0x0807);
	remote(0x0a, 0x5008, 8);
	fake_burst(&f, DATA, 4, false, got, 2);
	assert_memory_equal(got, buf, 8);
	/* More than was asked for reads as ones. */
	remote(0x0a, 0x5000, 4);
	memset(got, 0, 8);
	fake_burst(&f, DATA, 2, false, got, 4);
	assert_memory_equal(got, buf, 4);
	assert_memory_equal(got + 4, "\xff\xff\xff\xff", 4);
	/* Bytes in word mode, in a burst: every other. */
	remote(0x0a, 0x5000, 8);
	fake_burst(&f, DATA, 1, false, got, 4);
	assert_memory_equal(got, "\x01\x03\x05\x07", 4);
	/* Where there is no memory; the PROM can't be written. */
	remote(0x12, 0, 4);
	fake_burst(&f, DATA, 2, true, buf, 2);
	remote(0x0a, 0, 4);
	fake_burst(&f, DATA, 2, false, got, 2);
	assert_int_equal(got[2], net.net.mac[1]);
	remote(0x0a, 0xfffc, 8);
	fake_burst(&f, DATA, 2, false, got, 4);
	assert_int_equal(got[0], 0xff);
	/* The end of the card's memory, in the middle of a burst. */
	set(PSTOP, 0x90);
	remote(0x12, 0x7ffc, 8);
	fake_burst(&f, DATA, 2, true, buf, 4);
	remote(0x0a, 0x7ffc, 8);
	fake_burst(&f, DATA, 2, false, got, 4);
	assert_memory_equal(got, "\1\2\3\4\xff\xff\xff\xff", 8);
	/* Aborted; the wrong way; a length of 0 is over at once. */
	remote(0x0a, 0x5000, 8);
	set(CR, 0x22);
	assert_int_equal(fake_inw(&f, DATA), 0xffff);
	remote(0x12, 0x5000, 8);
	assert_int_equal(fake_inw(&f, DATA), 0xffff);
	set(ISR, 0xff);
	remote(0x0a, 0x5000, 0);
	assert_int_equal(get(ISR), 0x40);
	/* Bursts to a register. */
	set(CR, 0x22);
	fake_burst(&f, BASE + BNRY, 1, true, buf, 3);
	fake_burst(&f, BASE + BNRY, 1, false, got, 2);
	assert_memory_equal(got, "\3\3", 2);
}

static void no_network(void **state)
{
	struct ne2000_cfg cfg = { .mac = { 2, 0, 0, 0, 0, 1 }, .base = 0x240, .irq = 15 };
	struct dev_env env = fake_env(&f, card->dev);

	fake_add(&f, &ne2000_isa_class, &cfg, -1);
	fake_outb(&f, 0x240, 0x22);
	fake_outb(&f, 0x240 + TPSR, 0x40);
	fake_outb(&f, 0x240 + TBCR0, 60);
	fake_outb(&f, 0x240, 0x26);
	assert_int_equal(fake_inb(&f, 0x240 + ISR), 2);
	fake_outb(&f, 0x240, 0xe2);
	assert_int_equal(fake_inb(&f, 0x244), 0xfa);
	fake_save_load(&f);
	cfg.base = 0x308;
	assert_int_equal(ne2000_isa_class.init(card->dev, &env, &cfg), -1);
	cfg.base = 0x300;
	cfg.mac[0] = 1;
	assert_int_equal(ne2000_isa_class.init(card->dev, &env, &cfg), -1);
}

static void bad_state(void **state)
{
	static uint8_t buf[0x5000];
	size_t len;

	bring_up();
	len = dev_save(card->cls, card->dev, buf, sizeof(buf));
	assert_true(len > 24);
	/* IMR has seven bits; TXP goes with a pending frame. */
	buf[24 + 256 + 2] = 0xff;
	assert_int_equal(dev_load(card->cls, card->dev, buf, len), -1);
	len = dev_save(card->cls, card->dev, buf, sizeof(buf));
	buf[24 + 256] |= 4;
	assert_int_equal(dev_load(card->cls, card->dev, buf, len), -1);
	if (card->devfn < 0)
		assert_int_equal(get(CR), 0x21);
}

#define BOTH(t)                                            \
	cmocka_unit_test_setup_teardown(t, isa, teardown), \
		cmocka_unit_test_setup_teardown(t, pci, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(linux_probe),
		BOTH(pages),
		cmocka_unit_test_setup_teardown(pci_function, pci, teardown),
		BOTH(transmit),
		BOTH(transmit_bad),
		BOTH(reset_in_transfer),
		BOTH(loopback),
		BOTH(receive),
		BOTH(wrap_in_one_go),
		BOTH(overflow),
		BOTH(overflow_late),
		BOTH(reminded),
		BOTH(odd_rings),
		BOTH(filters),
		BOTH(partial_checksum),
		BOTH(remote_dma),
		cmocka_unit_test_setup_teardown(no_network, isa, teardown),
		BOTH(bad_state),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
