/* SPDX-License-Identifier: BSD-2-Clause */
/* Register scripts for the RTL8139C+, from its data sheet and as 8139too, 8139cp and iPXE behave. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "fake_host.h"
#include "models/net_csum.h"
#include "models/rtl8139/rtl8139_int.h"

#define DEVFN 32u
#define IO    0xc000u
#define MMIO  0xfebf0000u

#define RING  0x100000u /* C mode's receive buffer */
#define RXD   0x200000u
#define TXD   0x201000u
#define HTXD  0x202000u
#define STATS 0x203000u
#define RXBUF 0x300000u /* 2 KiB for each descriptor */
#define TXBUF 0x400000u

#define OWN DESC_OWN
#define EOR DESC_EOR
#define FS  DESC_FS
#define LS  DESC_LS

static struct fake f;
static struct fake_net net;
static struct dev_host *card;

static void with(bool c_only)
{
	struct rtl8139_cfg cfg = { .net = &net.net, .c_only = c_only };

	fake_init(&f);
	fake_net_init(&net, &f);
	card = fake_host_of(&f, fake_add(&f, &rtl8139_class, &cfg, DEVFN));
	fake_cfg_write(&f, DEVFN, 0x10, 4, IO);
	fake_cfg_write(&f, DEVFN, 0x14, 4, MMIO);
	fake_cfg_write(&f, DEVFN, 4, 2, 7);
}

static int plus(void **state)
{
	with(false);
	return 0;
}

static int only(void **state)
{
	with(true);
	return 0;
}

static int teardown(void **state)
{
	fake_net_free(&net);
	fake_free(&f);
	return 0;
}

static uint32_t r32(unsigned reg)
{
	return (uint32_t)fake_read(&f, DEV_MMIO, MMIO + reg, 4);
}
static uint16_t r16(unsigned reg)
{
	return (uint16_t)fake_read(&f, DEV_MMIO, MMIO + reg, 2);
}
static uint8_t r8(unsigned reg)
{
	return (uint8_t)fake_read(&f, DEV_MMIO, MMIO + reg, 1);
}
static void w32(unsigned reg, uint32_t v)
{
	fake_write(&f, DEV_MMIO, MMIO + reg, 4, v);
}
static void w16(unsigned reg, unsigned v)
{
	fake_write(&f, DEV_MMIO, MMIO + reg, 2, v);
}
static void w8(unsigned reg, unsigned v)
{
	fake_write(&f, DEV_MMIO, MMIO + reg, 1, v);
}

static uint32_t ram32(uint32_t at)
{
	uint32_t v;

	memcpy(&v, f.ram + at, 4);
	return v;
}
static void put32(uint32_t at, uint32_t v)
{
	memcpy(f.ram + at, &v, 4);
}

static void desc(uint32_t at, unsigned n, uint32_t word0, uint32_t word1, uint32_t addr)
{
	at += n * 16;
	put32(at, word0);
	put32(at + 4, word1);
	put32(at + 8, addr);
	put32(at + 12, 0);
}

static void isr(unsigned want)
{
	assert_int_equal(r16(ISR), want);
	assert_int_equal(card->line[0], (want & r16(IMR)) != 0);
	w16(ISR, want);
	assert_int_equal(r16(ISR), 0);
	assert_false(card->line[0]);
}

static void frame(uint8_t *p, unsigned len, unsigned seed)
{
	memcpy(p, net.net.mac, 6);
	memcpy(p + 6, "\x52\x54\x00\xaa\xbb\xcc\x88\xb5", 8);
	for (unsigned i = 14; i < len; i++)
		p[i] = (uint8_t)(i * 7 + seed);
}

/* IP with TCP or UDP and data; no checksum is made. */
static unsigned packet(uint8_t *p, unsigned tags, unsigned version, unsigned proto, unsigned data)
{
	unsigned at = 12, l4 = proto == NET_PROTO_TCP ? 32 : 8, l3 = version == 4 ? 20 : 40;

	memset(p, 0, 14 + tags * 4 + l3 + l4);
	frame(p, 14, 0);
	for (; tags; tags--, at += 4)
		net_put16(p + at, NET_TPID);
	net_put16(p + at, version == 4 ? 0x0800 : 0x86dd);
	at += 2;
	p[at] = version == 4 ? 0x45 : 0x60;
	if (version == 4) {
		net_put16(p + at + 2, l3 + l4 + data);
		net_put16(p + at + 4, 0xfffe);
		p[at + 8] = 64;
		p[at + 9] = (uint8_t)proto;
		memcpy(p + at + 12, "\x0a\x00\x02\x0f\x0a\x00\x02\x02", 8);
	} else {
		net_put16(p + at + 4, l4 + data);
		p[at + 6] = (uint8_t)proto;
		p[at + 8] = p[at + 24] = 0xfe;
		p[at + 39] = 7;
	}
	at += l3;
	net_put16(p + at, 1234);
	if (proto == NET_PROTO_TCP) {
		memcpy(p + at + 4, "\x12\x34\xff\xf0", 4);
		p[at + 12] = 0x80;
		p[at + 13] = 0x99; /* CWR, ACK, PSH, FIN */
	} else {
		net_put16(p + at + 4, l4 + data);
	}
	at += l4;
	for (unsigned i = 0; i < data; i++)
		p[at + i] = (uint8_t)(i * 13 + (i >> 8));
	return at + data;
}

static void good_frame(const uint8_t *p, size_t len, bool ip, bool l4)
{
	struct net_headers h;

	net_parse(&h, p, len);
	if (ip && h.version == 4)
		assert_true(net_ip_csum_ok(p, len, &h));
	if (l4)
		assert_true(net_l4_csum_ok(p, len, &h));
}

/* As 8139too: reset, unlock, address, enable, configure. rcr: buffer size and more. */
static void start_c(uint32_t rcr)
{
	w8(CR, 0x10);
	assert_int_equal(r8(CR), 0x01);
	w8(CR9346, 0xc0);
	w32(IDR0, pci_cfg_get32(net.net.mac, 0));
	w32(IDR0 + 4, net.net.mac[4] | net.net.mac[5] << 8);
	w8(CR9346, 0x00);
	w32(RBSTART, RING);
	w8(CR, 0x0c);
	w32(RCR, 0xe70a | rcr);
	w32(TCR, 0x03000600);
	w32(MPC, 0);
	w16(IMR, 0xc07f);
}

/* As 8139cp. n: receive descriptors. */
static void start_cp(unsigned n, uint16_t cpcr)
{
	w8(CR, 0x10);
	w8(CR9346, 0xc0);
	w16(CPCR, cpcr | 0x0b);
	w32(THPDS, HTXD);
	w32(THPDS + 4, 0);
	for (unsigned i = 0; i < n; i++)
		desc(RXD, i, OWN | (i == n - 1 ? EOR : 0) | 1536, 0, RXBUF + i * 2048);
	w32(RDSAR, RXD);
	w32(RDSAR + 4, 0);
	w32(TNPDS, TXD);
	w32(TNPDS + 4, 0);
	w8(CR, 0x0c);
	w8(ETTHR, 6);
	w32(RCR, 0xe70a);
	w32(MAR0, 0);
	w32(MAR0 + 4, 0);
	w32(TCR, 0x03000600);
	w8(CONFIG1, r8(CONFIG1) | 0x21);
	w8(CONFIG3, 0x40);
	w8(CONFIG5, 0);
	w16(MULINT, 0);
	w8(CR9346, 0x00);
	w16(IMR, 0x80ff);
}

static unsigned ee_bits(unsigned v, unsigned n)
{
	unsigned out = 0;

	for (unsigned i = n; i-- > 0;) {
		unsigned di = v >> i & 1 ? 2 : 0;

		w8(CR9346, 0x88 | di);
		w8(CR9346, 0x8c | di);
		out = out << 1 | (r8(CR9346) & 1);
		w8(CR9346, 0x88);
	}
	return out;
}

static void ee_begin(void)
{
	w8(CR9346, 0x80);
	w8(CR9346, 0x88);
}

static unsigned ee_read(unsigned addr, unsigned bits)
{
	unsigned v;

	ee_begin();
	ee_bits(6 << bits | addr, 5 + bits); /* with leading zeros, as Linux */
	v = ee_bits(0, 16);
	w8(CR9346, 0x00);
	return v;
}

static void eeprom(void **state)
{
	/* 8139too looks for a 93C56 with addresses of 8 bits first. */
	assert_int_not_equal(ee_read(0, 8), 0x8129);
	assert_int_equal(ee_read(0, 6), 0x8129);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(ee_read(7 + i, 6),
				 net.net.mac[i * 2] | net.net.mac[i * 2 + 1] << 8);
	/* Two words in one go. */
	ee_begin();
	ee_bits(6 << 6 | 1, 9);
	assert_int_equal(ee_bits(0, 32), 0x10ec8139);
	fake_save_load(&f);
	w8(CR9346, 0x00);
	/* Writes need to be enabled. */
	ee_begin();
	ee_bits(5 << 6 | 7, 9);
	ee_bits(0x5452, 16);
	assert_int_equal(ee_read(7, 6), 0x5452);
	ee_begin();
	ee_bits(5 << 6 | 7, 9);
	ee_bits(0xaa02, 16);
	assert_int_equal(ee_read(7, 6), 0x5452);
	ee_begin();
	ee_bits(4 << 6 | 0x30, 9); /* EWEN */
	ee_begin();
	ee_bits(5 << 6 | 7, 9);
	ee_bits(0xaa02, 16);
	assert_int_equal(r8(CR9346) & 1, 1); /* ready */
	assert_int_equal(ee_read(7, 6), 0xaa02);
	ee_begin();
	ee_bits(7 << 6 | 20, 9); /* ERASE */
	assert_int_equal(ee_read(20, 6), 0xffff);
	ee_begin();
	ee_bits(4 << 6 | 0x00, 9); /* EWDS */
	ee_begin();
	ee_bits(4 << 6 | 0x20, 9); /* ERAL */
	assert_int_equal(ee_read(21, 6), 0);
	/* Loading takes the address over; a reset of the machine does too. */
	assert_int_equal(r8(IDR0 + 1), 0x54);
	w8(CR9346, 0x40);
	assert_int_equal(r8(CR9346), 0);
	assert_int_equal(r16(IDR0), 0xaa02);
	w32(IDR0, 0);
	card->cls->reset(card->dev);
	fake_cfg_write(&f, DEVFN, 0x14, 4, MMIO);
	fake_cfg_write(&f, DEVFN, 4, 2, 7);
	assert_int_equal(r16(IDR0), 0xaa02);
	ee_begin();
	ee_bits(4 << 6 | 0x30, 9);
	ee_begin();
	ee_bits(4 << 6 | 0x10, 9); /* WRAL */
	ee_bits(0x1234, 16);
	assert_int_equal(ee_read(63, 6), 0x1234);
}

static void pci_function(void **state)
{
	bool c_only = fake_cfg_read(&f, DEVFN, 8, 1) == 0x10;

	assert_int_equal(fake_cfg_read(&f, DEVFN, 0, 4), 0x813910ec);
	assert_int_equal(fake_cfg_read(&f, DEVFN, 8, 4), c_only ? 0x02000010 : 0x02000020);
	assert_int_equal(fake_cfg_read(&f, DEVFN, 0x2c, 4), 0x813910ec);
	assert_int_equal(fake_cfg_read(&f, DEVFN, 0x3d, 1), 1);
	fake_cfg_write(&f, DEVFN, 0x0c, 1, 16);
	assert_int_equal(fake_cfg_read(&f, DEVFN, 0x0c, 4), 16);
	fake_cfg_write(&f, DEVFN, 4, 2, 0x17);
	assert_int_equal(fake_cfg_read(&f, DEVFN, 4, 2), 0x17);
	fake_cfg_write(&f, DEVFN, 0x10, 4, ~0u);
	fake_cfg_write(&f, DEVFN, 0x14, 4, ~0u);
	assert_int_equal(fake_cfg_read(&f, DEVFN, 0x10, 4), 0xffffff01);
	assert_int_equal(fake_cfg_read(&f, DEVFN, 0x14, 4), 0xffffff00);
	fake_cfg_write(&f, DEVFN, 0x10, 4, IO);
	fake_cfg_write(&f, DEVFN, 0x14, 4, MMIO);
	assert_int_equal(r32(TCR), c_only ? 0x77000000 : 0x77800000);
	assert_int_equal(fake_inl(&f, IO + TCR), r32(TCR));
	fake_cfg_write(&f, DEVFN, 4, 2, 1);
	assert_int_equal(r32(TCR), 0xffffffff);
	assert_int_equal(fake_inb(&f, IO + ISR), 0);
	fake_cfg_write(&f, DEVFN, 4, 2, 2);
	assert_int_equal(fake_inb(&f, IO + ISR), 0xff);
	/* How iPXE tells the chips. */
	w16(0xda, 1536);
	assert_int_not_equal(r16(0xda), 1536);
	w16(CPCR, 0x000b);
	assert_int_equal(r16(CPCR), c_only ? 0 : 0x000b);
	fake_save_load(&f);
}

static void locks(void **state)
{
	w8(CONFIG1, 0x20);
	w8(CONFIG3, 0x40);
	w8(CONFIG4, 0x10);
	assert_int_equal(r8(CONFIG1), 0x0c);
	assert_int_equal(r8(CONFIG3), 0);
	assert_int_equal(r8(CONFIG4), 0);
	w16(BMCR, 0x0000);
	assert_int_equal(r16(BMCR), 0x3100);
	assert_int_equal(r8(MSR), 0x10);
	w8(CONFIG5, 0x12); /* has no lock */
	assert_int_equal(r8(CONFIG5), 0x12);
	w8(CR9346, 0xc0);
	w8(CONFIG1, 0xff);
	w8(CONFIG3, 0xff);
	w8(CONFIG4, 0x10);
	assert_int_equal(r8(CONFIG1), 0xff);
	assert_int_equal(r8(CONFIG3), 0xf1);
	assert_int_equal(r8(CONFIG4), 0x10);
	w16(BMCR, 0x0000);
	assert_int_equal(r16(BMCR), 0);
	assert_int_equal(r8(MSR), 0x18); /* 10 Mbit/s */
	assert_int_equal(r16(BMSR), 0x780d);
	assert_int_equal(r16(ANLPAR), 0);
	w8(CR9346, 0);
	/* A software reset keeps these and the addresses. */
	w32(MAR0, 0x12345678);
	w32(RBSTART, RING);
	w8(CR, 0x10);
	assert_int_equal(r8(CONFIG1), 0xff);
	assert_int_equal(r32(MAR0), 0x12345678);
	assert_int_equal(r32(RBSTART), 0);
	assert_int_equal(r32(TSD0 + 8), 0x2000);
	assert_int_equal(r16(TSAD), 0x000f);
	assert_int_equal(r16(CAPR), 0xfff0);
	w16(BMCR, 0x8000); /* the PHY's reset needs no lock */
	assert_int_equal(r16(BMCR), 0x3100);
	fake_save_load(&f);
}

static void link(void **state)
{
	start_c(0);
	assert_int_equal(r16(BMSR), 0x782d);
	assert_int_equal(r16(ANLPAR), 0x45e1);
	assert_int_equal(r8(MSR), 0x10);
	assert_int_equal(r16(CSCR) & 0xc00, 0x400);
	fake_net_link(&net, false);
	assert_true(card->line[0]);
	assert_int_equal(r16(BMSR), 0x7809);
	assert_int_equal(r8(MSR), 0x14);
	assert_int_equal(r16(CSCR) & 0xc00, 0x800);
	assert_int_equal(r16(CSCR) & 0xc00, 0x000); /* told once */
	isr(ISR_LINKCHG);
	fake_net_link(&net, false);
	isr(0);
	/* Nothing gets in; what is sent is lost on the way. */
	frame(f.ram + TXBUF, 60, 1);
	assert_true(fake_net_feed(&net, f.ram + TXBUF, 60, NULL));
	assert_int_equal(r8(CR), 0x0d);
	w32(TSAD0, TXBUF);
	w32(TSD0, 60);
	assert_int_equal(r32(TSD0), 0x8000a03c);
	isr(ISR_TOK);
	fake_net_link(&net, true);
	isr(ISR_LINKCHG);
	w16(BMCR, 0x3300); /* restart negotiation */
	assert_int_equal(r16(BMCR), 0x3100);
	isr(ISR_LINKCHG);
	fake_save_load(&f);
}

static void timer(void **state)
{
	w16(IMR, 0x4000);
	fake_step(&f, 3000);
	w32(TCTR, 1);
	assert_int_equal(r32(TCTR), 0);
	fake_step(&f, 3000);
	assert_int_equal(r32(TCTR), 100);
	w32(TIMERINT, 1000);
	fake_step(&f, 26999);
	isr(0);
	fake_save_load(&f);
	fake_step(&f, 1);
	assert_int_equal(r32(TCTR), 1000);
	isr(0x4000);
	/* Once in each lap of the counter, and again when it starts anew. */
	fake_step(&f, 1000000);
	isr(0);
	fake_step(&f, 30ull << 32);
	isr(0x4000);
	w32(TCTR, 0);
	fake_step(&f, 30000);
	isr(0x4000);
	w32(TIMERINT, 0);
	fake_step(&f, 31ull << 32);
	isr(0);
}

static void c_transmit(void **state)
{
	start_c(0);
	for (unsigned turn = 0; turn < 9; turn++) {
		unsigned n = turn % 4, len = turn == 8 ? 1792 : 60 + turn * 100;

		frame(f.ram + TXBUF + n * 2048, len, turn);
		w32(TSAD0 + n * 4, TXBUF + n * 2048);
		w32(TSD0 + n * 4, 0x80000 | len);
		assert_int_equal(r32(TSD0 + n * 4), 0x80000 | len);
		w32(TSD0 + n * 4, 60); /* the chip has it: lost */
		assert_int_equal(net.n, 1);
		isr(0);
		fake_net_end(&net, 0, 0);
		assert_int_equal(r32(TSD0 + n * 4), 0x8a000 | len);
		assert_int_equal(r16(TSAD) & 0x1111 << n, 0x1001 << n);
		isr(ISR_TOK);
		assert_int_equal(net.sent[turn]->len, len);
		assert_false(net.sent[turn]->from_model);
		assert_memory_equal(net.sent[turn]->data, f.ram + TXBUF + n * 2048, len);
		fake_save_load(&f);
	}
	/* All four at once, ending out of order; then one that the network can't take. */
	for (unsigned n = 0; n < 4; n++)
		w32(TSD0 + (n + 1) % 4 * 4, 100);
	assert_int_equal(net.n, 4);
	fake_net_end(&net, 2, 0);
	isr(ISR_TOK);
	assert_int_equal(r16(TSAD), 0x8008);
	fake_net_end(&net, 0, -1);
	assert_int_equal(r32(TSD0 + 4), 0x40002064);
	isr(ISR_TER);
	fake_net_run(&net);
	isr(ISR_TOK);
	w32(TCR, r32(TCR) | 1); /* clear abort */
	net.room = 0;
	w32(TSD0 + 8, 100);
	w32(TSD0 + 12, 101);
	assert_int_equal(net.n, 0);
	fake_save_load(&f);
	net.room = 1;
	net.net.sent_room(net.net.owner);
	assert_int_equal(net.n, 1);
	fake_net_end(&net, 0, 0);
	fake_net_end(&net, 0, 0);
	assert_int_equal(net.sent[net.n_sent - 2]->len, 100);
	assert_int_equal(net.sent[net.n_sent - 1]->len, 101);
	isr(ISR_TOK);
}

static void c_transmit_bad(void **state)
{
	start_c(0);
	/* No frame, less than a header: nothing goes out. */
	w32(TSAD0, 0xffffffff);
	w32(TSD0, 0);
	assert_int_equal(r32(TSD0), 0xa000);
	isr(ISR_TOK);
	w32(TSAD0 + 4, TXBUF);
	w32(TSD0 + 4, 13);
	isr(ISR_TOK);
	/* Outside of RAM, and over its end. */
	w32(TSAD0 + 8, FAKE_RAM_SIZE - 59);
	w32(TSD0 + 8, 60);
	assert_int_equal(r32(TSD0 + 8), 0x4000203c);
	isr(ISR_SERR | ISR_TER);
	assert_int_equal(fake_cfg_read(&f, DEVFN, 6, 2), 0x2280);
	fake_cfg_write(&f, DEVFN, 6, 2, 0x2000);
	assert_int_equal(fake_cfg_read(&f, DEVFN, 6, 2), 0x0280);
	/* The largest; with an FCS of its own. */
	w32(TSAD0 + 12, TXBUF);
	w32(TSD0 + 12, 0x1fff);
	fake_net_run(&net);
	assert_int_equal(net.sent[0]->len, 0x1fff);
	w32(TCR, 0x03010600);
	w32(TSAD0, TXBUF);
	w32(TSD0, 64);
	fake_net_run(&net);
	assert_int_equal(net.sent[1]->len, 60);
	isr(ISR_TOK);
	w32(TCR, 0x03000600);
	/* Without leave to master the bus, and with the transmitter off, it waits. */
	fake_cfg_write(&f, DEVFN, 4, 2, 3);
	w32(TSD0 + 4, 60);
	assert_int_equal(net.n, 0);
	fake_cfg_write(&f, DEVFN, 4, 2, 7);
	assert_int_equal(net.n, 1);
	fake_net_run(&net);
	w8(CR, 0x08);
	w32(TSD0 + 8, 0);
	w32(TSAD0 + 8, TXBUF);
	assert_int_equal(r32(TSD0 + 8), 0);
	w8(CR, 0x0c);
	assert_int_equal(r32(TSD0 + 8), 0xa000);
	/* Only whole registers. */
	w8(TSD0, 0);
	w16(TSD0 + 2, 0);
	assert_int_equal(net.n, 0);
}

static void c_reset_in_transfer(void **state)
{
	start_c(0);
	frame(f.ram + TXBUF, 60, 1);
	for (unsigned i = 0; i < 5; i++) { /* more than the model has slots for */
		for (unsigned n = 0; n < 4; n++) {
			w32(TSAD0 + n * 4, TXBUF);
			w32(TSD0 + n * 4, 60 + i);
		}
		if (i < 4) {
			start_c(0);
			assert_int_equal(r32(TSD0), 0x2000);
		}
	}
	assert_int_equal(net.n, 16);
	assert_int_equal(r16(TSAD), 0);
	fake_net_end(&net, 3, 0);
	isr(0);
	assert_int_equal(net.n, 16);
	fake_net_run(&net);
	isr(ISR_TOK);
	assert_int_equal(r16(TSAD), 0xf00f);
	assert_int_equal(net.n_sent, 20);
	w32(TSD0, 60);
	card->cls->reset(card->dev);
	fake_net_run(&net);
	assert_false(card->line[0]);
}

/* The frame at cur in the ring buffer; the next one's place. */
static unsigned take_c(unsigned cur, unsigned size, bool wrap, const uint8_t *want, unsigned len,
		       unsigned status)
{
	uint8_t got[4200];
	unsigned total = (len < 60 ? 60 : len) + 4;

	assert_int_equal(r8(CR) & 1, 0);
	assert_int_equal(ram32(RING + cur), total << 16 | status);
	for (unsigned i = 0; i < total; i++)
		got[i] = f.ram[RING + (wrap ? (cur + 4 + i) % size : cur + 4 + i)];
	assert_memory_equal(got, want, len);
	assert_int_equal(net_fcs(0, got, total), 0x2144df1c);
	cur = (cur + total + 4 + 3) & ~3u;
	w16(CAPR, cur - 16);
	return cur % size;
}

static void c_receive(void **state)
{
	static const unsigned lens[] = { 60, 14, 61, 62, 63, 590, 1514, 1518, 42 };
	uint8_t buf[4200];

	for (unsigned k = 0; k < 8; k++) {
		unsigned size = 8192u << k / 2, cur = 0;
		bool wrap = k % 2 == 0 || size == 65536;

		start_c((k / 2) << 11 | (k % 2 ? 0x80 : 0));
		for (unsigned turn = 0; turn < 3 * size / 600; turn++) {
			unsigned len = lens[turn % 9];

			assert_int_equal(r8(CR) & 1, 1);
			frame(buf, len, turn);
			assert_true(fake_net_feed(&net, buf, len, NULL));
			assert_true(card->line[0]);
			if (turn % 16 == 0)
				fake_save_load(&f);
			cur = take_c(cur, size, wrap, buf, len, 0x4001);
			assert_int_equal(r16(CBR), cur);
			isr(ISR_ROK);
		}
	}
	assert_int_equal(r32(MPC), 0);
}

static void c_full(void **state)
{
	uint8_t buf[4200];
	unsigned n = 0, cur = 0;

	start_c(0x80);
	frame(buf, 1000, 0);
	for (buf[20] = 0; fake_net_feed(&net, buf, 1000, NULL); buf[20]++)
		n++;
	assert_int_equal(n, 8); /* of 1008 bytes in 8 KiB */
	isr(ISR_ROK);
	w32(RCR, r32(RCR));
	assert_int_equal(net.n_resume, 0);
	for (unsigned i = 0; i < n; i++) {
		buf[20] = (uint8_t)i;
		cur = take_c(cur, 8192, false, buf, 1000, 0x4001);
		assert_int_equal(net.n_resume, 1);
	}
	buf[20] = (uint8_t)n;
	assert_true(fake_net_feed(&net, buf, 1000, NULL));
	take_c(cur, 8192, false, buf, 1000, 0x4001);
	assert_int_equal(r32(MPC), 0);
	/* A frame that waits goes on when the receiver is switched off, or reset. */
	while (fake_net_feed(&net, buf, 1000, NULL))
		;
	fake_save_load(&f);
	w8(CR, 0x04);
	assert_int_equal(net.n_resume, 2);
	assert_true(fake_net_feed(&net, buf, 1000, NULL));
	assert_int_equal(r8(CR) & 1, 0);
	/* Linux's rtl8139_rx_err(): the ring starts anew. */
	w8(CR, 0x0c);
	assert_int_equal(r8(CR) & 1, 1);
	assert_true(fake_net_feed(&net, buf, 1000, NULL));
	take_c(0, 8192, false, buf, 1000, 0x4001);
	while (fake_net_feed(&net, buf, 1000, NULL))
		;
	w8(CR, 0x10);
	assert_int_equal(net.n_resume, 3);
}

static void c_receive_bad(void **state)
{
	static uint8_t buf[NET_MAX_FRAME];

	start_c(0x00);
	frame(buf, sizeof(buf), 0);
	/* 4 KiB with FCS at most; 1.5 KiB where it would go over the buffer's end. */
	assert_true(fake_net_feed(&net, buf, 4093, NULL));
	isr(ISR_RER);
	assert_true(fake_net_feed(&net, buf, NET_MAX_FRAME, NULL));
	isr(ISR_RER);
	assert_true(fake_net_feed(&net, buf, 4092, NULL));
	take_c(0, 8192, true, buf, 4092, 0x4001);
	isr(ISR_ROK);
	start_c(0x80);
	assert_true(fake_net_feed(&net, buf, 1533, NULL));
	isr(ISR_RER);
	assert_true(fake_net_feed(&net, buf, 1532, NULL));
	isr(ISR_ROK);
	/* A buffer outside of RAM. */
	w32(RBSTART, FAKE_RAM_SIZE - 32);
	assert_true(fake_net_feed(&net, buf, 60, NULL));
	isr(ISR_SERR);
	assert_int_equal(r32(MPC), 1);
	assert_int_equal(r8(CR) & 1, 1);
	w32(MPC, 0);
	/* Not allowed onto the bus. */
	w32(RBSTART, RING);
	fake_cfg_write(&f, DEVFN, 4, 2, 3);
	assert_true(fake_net_feed(&net, buf, 60, NULL));
	isr(ISR_FOVW);
	assert_int_equal(r32(MPC), 1);
}

static bool comes(const uint8_t *to)
{
	uint8_t buf[64];
	bool got;

	frame(buf, 60, 0);
	memcpy(buf, to, 6);
	assert_true(fake_net_feed(&net, buf, 60, NULL));
	got = !(r8(CR) & 1);
	w16(CAPR, r16(CBR) - 16u);
	return got;
}

static void filters(void **state)
{
	static const uint8_t all[6] = { 255, 255, 255, 255, 255, 255 };
	static const uint8_t group[6] = { 1, 0, 0x5e, 0, 0, 1 };
	static const uint8_t other[6] = { 2, 2, 3, 4, 5, 6 };

	start_c(0);
	assert_true(comes(net.net.mac));
	assert_true(comes(all));
	assert_false(comes(group));
	assert_false(comes(other));
	w32(RCR, 0xe704);
	assert_false(comes(all));
	assert_false(comes(net.net.mac));
	assert_false(comes(group));
	w32(MAR0, 0x80000000);
	assert_true(comes(group));
	w32(RCR, 0xe701);
	assert_true(comes(other));
	assert_true(comes(net.net.mac));
	assert_false(comes(group));
	w8(CR, 0x04);
	assert_false(comes(other));
	w8(CR, 0x08);
	assert_true(comes(other));
}

static void c_loopback(void **state)
{
	start_c(0);
	w32(TCR, 0x03060600);
	frame(f.ram + TXBUF, 100, 9);
	w32(TSAD0, TXBUF);
	w32(TSD0, 100);
	assert_int_equal(net.n, 0);
	take_c(0, 8192, true, f.ram + TXBUF, 100, 0x4001);
	isr(ISR_TOK | ISR_ROK);
	assert_true(fake_net_feed(&net, f.ram + TXBUF, 100, NULL));
	isr(0);
	/* A full ring, as nothing waits outside; what is too long. */
	for (unsigned i = 0; i < 80; i++) {
		w32(TSAD0 + i % 4 * 4, TXBUF);
		w32(TSD0 + i % 4 * 4, 100);
	}
	isr(ISR_TOK | ISR_ROK | ISR_RXOVW);
	assert_int_equal(r32(MPC), 80 - (8192 - 1) / 108);
	w32(TSD0, 5000);
	isr(ISR_TOK);
}

static void send_cp(unsigned n, uint32_t flags, uint32_t word1, uint32_t addr, uint32_t len)
{
	desc(TXD, n, OWN | flags | len, word1, addr);
}

static void cp_transmit(void **state)
{
	unsigned at = 0;

	start_cp(4, 0);
	isr(0);
	w8(TPPOLL, 0x40); /* nothing there */
	isr(ISR_TDU);
	for (unsigned turn = 0; turn < 200; turn++) {
		unsigned pieces = 1 + turn % 5, len = 0;

		if (turn == 150) /* the whole ring, without an end mark */
			pieces = 17;
		for (unsigned i = 0; i < pieces; i++, at = (at + 1) % 64) {
			unsigned k = i == 2 ? 0 : 60 + turn + i;

			send_cp(at,
				(i == 0 ? FS : 0) | (i == pieces - 1 ? LS : 0) |
					(at == 63 && turn < 100 ? EOR : 0),
				0, TXBUF + len, k);
			len += k;
		}
		frame(f.ram + TXBUF, len, turn);
		w8(TPPOLL, 0x40);
		assert_int_equal(r8(TPPOLL), 0);
		assert_int_equal(net.n, 1);
		assert_int_equal(ram32(TXD + (at + 63) % 64 * 16) >> 31, 1);
		isr(0);
		fake_net_end(&net, 0, 0);
		isr(ISR_TOK | ISR_TDU);
		for (unsigned i = 0; i < 64; i++)
			assert_int_equal(ram32(TXD + i * 16) >> 31, 0);
		assert_int_equal(net.sent[turn]->len, len);
		assert_memory_equal(net.sent[turn]->data, f.ram + TXBUF, len);
		if (turn % 32 == 0)
			fake_save_load(&f);
	}
}

static void cp_many(void **state)
{
	start_cp(4, 0);
	for (unsigned i = 0; i < 40; i++) {
		frame(f.ram + TXBUF + i * 2048, 100, i);
		send_cp(i, FS | LS, 0, TXBUF + i * 2048, 100 + i);
	}
	desc(HTXD, 0, OWN | EOR | FS | LS | 60, 0, TXBUF);
	w8(TPPOLL, 0xc0);
	assert_int_equal(net.n, 16);
	assert_int_equal(r8(TPPOLL), 0xc0); /* the ring of one: until that is back */
	/* High priority went first; others may end in any order. */
	fake_net_end(&net, 5, 0);
	assert_int_equal(net.sent[0]->len, 104);
	assert_int_equal(ram32(TXD + 4 * 16), FS | LS | 104);
	assert_int_equal(ram32(TXD + 3 * 16), OWN | FS | LS | 103);
	isr(ISR_TOK);
	net.room = 8;
	fake_net_end(&net, 0, 0);
	assert_int_equal(net.sent[1]->len, 60);
	isr(ISR_TOK | ISR_TDU);
	assert_int_equal(net.n, 15);
	while (net.n > 7)
		fake_net_end(&net, 0, 0);
	net.room = 64;
	net.net.sent_room(net.net.owner);
	fake_net_run(&net);
	assert_int_equal(net.n_sent, 41);
	for (unsigned i = 3; i < 41; i++) /* in order but for the one that was let out before */
		assert_true(net.sent[i]->len > net.sent[i - 1]->len);
	isr(ISR_TOK | ISR_TDU);
	/* Switched off, or given another ring, with frames under way: these descriptors are the driver's. */
	for (unsigned k = 0; k < 3; k++) {
		unsigned n = k ? 0 : 40;

		send_cp(n, FS | LS, 0, TXBUF, 60);
		w8(TPPOLL, 0x40);
		assert_int_equal(net.n, 1);
		if (k == 0)
			w8(CR, 0x08);
		else if (k == 1)
			w32(TNPDS, TXD);
		else
			w8(CR, 0x10);
		send_cp(n, FS | LS, 0, TXBUF, 61);
		fake_net_end(&net, 0, 0);
		assert_int_equal(ram32(TXD + n * 16), OWN | FS | LS | 61);
		assert_int_equal(r16(ISR) & ISR_TOK, 0);
		w8(CR, 0x0c);
		w32(TNPDS, TXD);
	}
}

static void cp_transmit_bad(void **state)
{
	start_cp(4, 0);
	/* A fragment is missing: it waits. */
	send_cp(0, FS, 0, TXBUF, 60);
	w8(TPPOLL, 0x40);
	isr(ISR_TDU);
	send_cp(1, LS, 0, TXBUF, 60);
	w8(TPPOLL, 0x40);
	fake_net_run(&net);
	isr(ISR_TOK | ISR_TDU);
	/* Data outside of RAM: aborted. */
	send_cp(2, FS, 0, TXBUF, 60);
	send_cp(3, LS, 0, FAKE_RAM_SIZE - 1, 2);
	w8(TPPOLL, 0x40);
	isr(ISR_SERR | ISR_TER | ISR_TDU);
	assert_int_equal(ram32(TXD + 2 * 16), FS | 1u << 23 | 1u << 20 | 60);
	assert_int_equal(ram32(TXD + 3 * 16), LS | 1u << 23 | 1u << 20 | 2);
	/* Too long, short of a header, nothing at all. */
	send_cp(4, FS | LS, 0, TXBUF, 0xffff);
	w8(TPPOLL, 0x40);
	isr(ISR_TER | ISR_TDU);
	send_cp(5, FS | LS, 0, TXBUF, 13);
	send_cp(6, FS | LS, 0, TXBUF, 0);
	w8(TPPOLL, 0x40);
	isr(ISR_TOK | ISR_TDU);
	assert_int_equal(net.n_sent, 1);
	/* A ring that is one frame without an end. */
	for (unsigned i = 0; i < 64; i++)
		send_cp(i, 0, 0, TXBUF, 1);
	w8(TPPOLL, 0x40);
	isr(ISR_TER | ISR_TDU);
	for (unsigned i = 0; i < 64; i++)
		assert_int_equal(ram32(TXD + i * 16) >> 31, 0);
	/* The ring itself outside. */
	w32(TNPDS, FAKE_RAM_SIZE);
	w8(TPPOLL, 0x40);
	isr(ISR_SERR);
	w32(TNPDS, TXD);
	w32(TNPDS + 4, 1); /* counts with dual address cycles only */
	send_cp(0, FS | LS, 0, TXBUF, 13);
	w8(TPPOLL, 0x40);
	isr(ISR_TOK | ISR_TDU);
	w16(CPCR, 0x1b);
	w32(TNPDS + 4, 1);
	w8(TPPOLL, 0x40);
	isr(ISR_SERR);
	/* No cable. */
	w32(TNPDS + 4, 0);
	fake_net_link(&net, false);
	isr(ISR_LINKCHG);
	send_cp(0, FS | LS, 0, TXBUF, 60);
	w8(TPPOLL, 0x40);
	assert_int_equal(ram32(TXD), FS | LS | 1u << 23 | 1u << 21 | 60);
	isr(ISR_TOK | ISR_TDU);
	/* Software interrupt. */
	w8(TPPOLL, 1);
	assert_int_equal(r16(ISR), ISR_SWINT);
}

/* One frame through descriptor 0; its fragments end at the places in cuts. */
static const struct fake_frame *one_cp(uint32_t flags, uint32_t word1, unsigned len, unsigned first)
{
	unsigned before = net.n_sent;

	w32(TNPDS, TXD);
	if (first && first < len) {
		send_cp(0, FS | flags, word1, TXBUF, first);
		send_cp(1, LS | flags, word1, TXBUF + first, len - first);
	} else {
		send_cp(0, FS | LS | flags, word1, TXBUF, len);
	}
	w8(TPPOLL, 0x40);
	fake_net_run(&net);
	assert_int_equal(net.n_sent, before + 1);
	isr(ISR_TOK | ISR_TDU);
	return net.sent[before];
}

#define IPCS   (1u << 18)
#define UDPCS  (1u << 17)
#define TCPCS  (1u << 16)
#define LGSEN  (1u << 27)
#define MSS(n) ((uint32_t)(n) << 16)

static void cp_offload(void **state)
{
	static uint8_t want[NET_MAX_FRAME];

	start_cp(4, 0);
	for (unsigned k = 0; k < 400; k++) {
		unsigned tags = k & 1, version = k & 2 ? 4 : 6, tcp = k & 4, hw = k & 8,
			 tag = k & 16;
		unsigned data = k * 3, shift = tag ? 4 : 0, l3 = 14 + tags * 4 + shift, l4, len;
		const struct fake_frame *x;

		net.net.features = hw ? NET_F_CSUM : 0;
		len = packet(f.ram + TXBUF, tags, version, tcp ? 6 : 17, data);
		memcpy(want, f.ram + TXBUF, len);
		x = one_cp(IPCS | (tcp ? TCPCS : UDPCS), tag ? 1u << 17 | 0x2341 : 0, len, k % 90);
		assert_memory_equal(f.ram + TXBUF, want, len); /* the guest's is not touched */
		assert_int_equal(x->len, len + shift);
		if (tag) {
			assert_memory_equal(x->data + 12, "\x81\x00\x41\x23", 4);
			assert_memory_equal(x->data + 16, want + 12, 2);
		}
		l4 = l3 + (version == 4 ? 20 : 40);
		if (hw) {
			struct net_offload off = x->off;

			assert_int_equal(off.flags, NET_CSUM_PARTIAL);
			assert_int_equal(off.gso, NET_GSO_NONE);
			assert_int_equal(off.csum_start, l4);
			assert_true(net_csum_finish((uint8_t *)(uintptr_t)x->data, x->len, &off));
		} else {
			assert_int_equal(x->off.flags, 0);
		}
		good_frame(x->data, x->len, true, true);
		assert_memory_equal(x->data + l4 + (tcp ? 32 : 8), want + len - data, data);
		fake_net_forget(&net);
	}
	/* Padding behind the datagram is not the network's to sum; what is not asked for is not done. */
	net.net.features = NET_F_CSUM;
	packet(f.ram + TXBUF, 0, 4, 17, 4);
	memset(f.ram + TXBUF + 46, 0x55, 14);
	good_frame(one_cp(IPCS | UDPCS, 0, 60, 0)->data, 60, true, true);
	assert_int_equal(net.sent[0]->off.flags, 0);
	packet(f.ram + TXBUF, 0, 4, 17, 20);
	assert_memory_equal(one_cp(IPCS | TCPCS, 0, 62, 0)->data + 34, f.ram + TXBUF + 34, 28);
	/* A fragment, a datagram that says to be longer, no IP, not even a header. */
	f.ram[TXBUF + 20] = 0x20;
	assert_memory_equal(one_cp(IPCS | UDPCS, 0, 62, 0)->data + 34, f.ram + TXBUF + 34, 28);
	packet(f.ram + TXBUF, 0, 4, 17, 20);
	f.ram[TXBUF + 17]++;
	assert_memory_equal(one_cp(UDPCS, 0, 62, 0)->data, f.ram + TXBUF, 62);
	frame(f.ram + TXBUF, 62, 3);
	assert_memory_equal(one_cp(IPCS | UDPCS | TCPCS, 0, 62, 0)->data, f.ram + TXBUF, 62);
	assert_memory_equal(one_cp(IPCS | UDPCS | TCPCS | LGSEN, 0, 62, 0)->data, f.ram + TXBUF,
			    62);
	assert_int_equal(one_cp(0, 1u << 17 | 0x0200, 14, 7)->len, 18);
	assert_memory_equal(net.sent[net.n_sent - 1]->data + 12, "\x81\x00\x00\x02\x88\xb5", 6);
}

static void cp_large_send(void **state)
{
	static uint8_t want[NET_MAX_FRAME];

	start_cp(4, 0);
	for (unsigned k = 0; k < 64; k++) {
		unsigned version = k & 1 ? 4 : 6, csum = k & 2, can = k & 4, tag = k & 8 ? 4 : 0;
		/* a front end that segments; with tags, half of them */
		bool tso = can && (!tag || k & 16);
		unsigned mss = k & 16 ? 1448 : 333, data = k & 32 ? 20000 : 7 * mss, n, len, hdr;
		unsigned seq = 0x1234fff0, at = 0;

		net.net.features = (csum || can ? NET_F_CSUM : 0) |
				   (can ? NET_F_TSO4 | NET_F_TSO6 : 0) | (k & 16 ? NET_F_VLAN : 0);
		len = packet(f.ram + TXBUF, 0, version, 6, data);
		hdr = len - data + tag;
		memcpy(want, f.ram + TXBUF, len);
		w32(TNPDS, TXD);
		send_cp(0, FS | (k % 5 ? LGSEN | MSS(mss) : IPCS | TCPCS), tag ? 1u << 17 : 0,
			TXBUF, 40 + k * 7);
		send_cp(1, LGSEN | MSS(mss), 0, TXBUF + 40 + k * 7, 777);
		send_cp(2, LS | LGSEN | MSS(mss), 0, TXBUF + 817 + k * 7, len - 817 - k * 7);
		send_cp(3, FS | LS, 0, TXBUF, 60); /* goes out behind it */
		w8(TPPOLL, 0x40);
		net.room = k % 3 ? 64 : 1;
		while (net.n) {
			assert_true(tso ? net.n <= 2 : net.n == 1);
			fake_net_end(&net, 0, 0);
		}
		net.room = 64;
		isr(ISR_TOK | ISR_TDU);
		assert_memory_equal(f.ram + TXBUF, want, len);
		for (unsigned i = 0; i < 4; i++)
			assert_int_equal(ram32(TXD + i * 16) & 0x8fff0000, 0);
		n = tso ? 1 : (data + mss - 1) / mss;
		assert_int_equal(net.n_sent, n + 1);
		assert_int_equal(net.sent[n]->len, 60);
		for (unsigned i = 0; i < n; i++) {
			struct fake_frame *x = net.sent[i];
			unsigned d = tso ? data : i == n - 1 ? data - at : mss, l4 = hdr - 32;
			struct net_headers h;

			assert_int_equal(x->len, hdr + d);
			assert_int_equal(x->off.flags, csum || can ? NET_CSUM_PARTIAL : 0);
			assert_int_equal(x->off.gso, !tso         ? NET_GSO_NONE :
						     version == 4 ? NET_GSO_TCPV4 :
								    NET_GSO_TCPV6);
			if (tso) {
				assert_int_equal(x->off.gso_size, mss);
				assert_int_equal(x->off.hdr_len, hdr);
			}
			if (x->off.flags)
				assert_true(net_csum_finish(x->data, x->len, &x->off));
			good_frame(x->data, x->len, true, true);
			net_parse(&h, x->data, x->len);
			assert_int_equal(h.l3_len, x->len - h.l3);
			if (version == 4)
				assert_int_equal(net_get16(x->data + h.l3 + 4),
						 (0xfffe + i) & 0xffff);
			assert_int_equal((uint32_t)net_get16(x->data + l4 + 4) << 16 |
						 net_get16(x->data + l4 + 6),
					 seq);
			if (!tso)
				assert_int_equal(x->data[l4 + 13],
						 0x10 | (i ? 0 : 0x80) | (i == n - 1 ? 9 : 0));
			assert_memory_equal(x->data + hdr, want + len - data + at, d);
			at += d;
			seq += d;
		}
		assert_int_equal(at, data);
		fake_net_forget(&net);
	}
	/* One segment's worth is an ordinary frame. */
	net.net.features = 0;
	packet(f.ram + TXBUF, 0, 4, 6, 500);
	good_frame(one_cp(LGSEN | MSS(1448), 0, 566, 100)->data, 566, true, true);
	/* A size that makes a flood, and an error halfway. */
	w32(TNPDS, TXD);
	send_cp(0, FS | LS | LGSEN | MSS(63), 0, TXBUF, 566);
	w8(TPPOLL, 0x40);
	isr(ISR_TER | ISR_TDU);
	w32(TNPDS, TXD);
	send_cp(0, FS | LS | LGSEN | MSS(100), 0, TXBUF, 566);
	w8(TPPOLL, 0x40);
	fake_net_end(&net, 0, 0);
	isr(0);
	fake_net_end(&net, 0, -1);
	isr(ISR_TER | ISR_TDU);
	assert_int_equal(net.n, 0);
	/* Reset in the middle. */
	w32(TNPDS, TXD);
	send_cp(0, FS | LS | LGSEN | MSS(100), 0, TXBUF, 566);
	w8(TPPOLL, 0x40);
	fake_net_end(&net, 0, 0);
	start_cp(4, 0);
	fake_net_run(&net);
	isr(0);
	assert_int_equal(ram32(TXD) >> 31, 1);
}

static void cp_receive(void **state)
{
	uint8_t buf[4200];
	unsigned at = 0;

	start_cp(5, 0);
	for (unsigned turn = 0; turn < 60; turn++) {
		unsigned len = turn % 7 == 6 ? 4092 : 14 + turn * 24,
			 total = (len < 60 ? 60 : len) + 4, n = (total + 1535) / 1536, left = total;
		uint8_t got[4200];

		frame(buf, len, turn);
		assert_true(fake_net_feed(&net, buf, len, NULL));
		isr(ISR_ROK);
		if (turn % 8 == 0)
			fake_save_load(&f);
		for (unsigned i = 0; i < n; i++, at = (at + 1) % 5) {
			unsigned k = left < 1536 ? left : 1536;
			uint32_t eor = at == 4 ? EOR : 0;

			assert_int_equal(ram32(RXD + at * 16),
					 eor | 1u << 25 | (i == 0 ? FS : 0) |
						 (i == n - 1 ? LS | total : 1536));
			assert_int_equal(ram32(RXD + at * 16 + 4), 0);
			memcpy(got + total - left, f.ram + RXBUF + at * 2048, k);
			desc(RXD, at, OWN | eor | 1536, 0, RXBUF + at * 2048);
			left -= k;
		}
		assert_memory_equal(got, buf, len);
		assert_int_equal(net_fcs(0, got, total), 0x2144df1c);
	}
}

/* Acknowledged, and not read: it is said again, of the frame that waits and of those in the ring. */
static void c_reminds(void **state)
{
	uint8_t buf[1100];
	unsigned n = 0, cur = 0;

	start_c(0x80);
	frame(buf, 1000, 0);
	for (buf[20] = 0; fake_net_feed(&net, buf, 1000, NULL); buf[20]++)
		n++;
	isr(ISR_ROK);
	isr(0);
	fake_step(&f, 900000);
	isr(0);
	fake_step(&f, 1000000);
	isr(ISR_ROK);
	buf[20] = 0;
	cur = take_c(cur, 8192, false, buf, 1000, 0x4001);
	assert_int_equal(net.n_resume, 1);
	w16(ISR, 0xffff);
	fake_save_load(&f);
	fake_step(&f, 1000000);
	isr(ISR_ROK);
	for (unsigned i = 1; i < n; i++) {
		buf[20] = (uint8_t)i;
		cur = take_c(cur, 8192, false, buf, 1000, 0x4001);
	}
	isr(0);
	fake_step(&f, 1000000000);
	isr(0);
}

static void cp_full(void **state)
{
	uint8_t buf[4200];

	start_cp(3, 0);
	frame(buf, 100, 0);
	for (unsigned i = 0; i < 3; i++)
		assert_true(fake_net_feed(&net, buf, 100, NULL));
	assert_false(fake_net_feed(&net, buf, 100, NULL));
	isr(ISR_ROK | ISR_RXOVW);
	assert_int_equal(net.n_resume, 0);
	/* The driver gives one back and says nothing: it is found in time. */
	fake_step(&f, 1000000000);
	assert_int_equal(net.n_resume, 0);
	desc(RXD, 0, OWN | 1536, 0, RXBUF);
	fake_step(&f, 600000000);
	assert_int_equal(net.n_resume, 1);
	assert_true(fake_net_feed(&net, buf, 100, NULL));
	isr(ISR_ROK);
	/* It is seen at once by one that looks at ISR or changes IMR. */
	for (unsigned k = 0; k < 2; k++) {
		assert_false(fake_net_feed(&net, buf, 100, NULL));
		desc(RXD, 1 + k, OWN | (k ? EOR : 0) | 1536, 0, RXBUF);
		if (k)
			w16(IMR, 0x80ff);
		else
			r16(ISR);
		assert_int_equal(net.n_resume, 2 + k);
		assert_true(fake_net_feed(&net, buf, 100, NULL));
	}
	w16(ISR, 0xffff);
	/* Two are needed, one is there. */
	frame(buf, 2000, 0);
	desc(RXD, 0, OWN | 1536, 0, RXBUF);
	assert_false(fake_net_feed(&net, buf, 2000, NULL));
	isr(ISR_RXOVW);
	desc(RXD, 1, OWN | 1536, 0, RXBUF + 2048);
	fake_step(&f, 1000000);
	assert_int_equal(net.n_resume, 4);
	assert_true(fake_net_feed(&net, buf, 2000, NULL));
	isr(ISR_ROK);
	/* More than the whole ring has; buffers of no size; outside of RAM; the ring outside. */
	for (unsigned i = 0; i < 3; i++)
		desc(RXD, i, OWN | (i == 2 ? EOR : 0) | 100, 0, RXBUF);
	assert_true(fake_net_feed(&net, buf, 2000, NULL));
	isr(ISR_RER);
	for (unsigned i = 0; i < 64; i++)
		desc(RXD, i, OWN, 0, RXBUF);
	assert_true(fake_net_feed(&net, buf, 60, NULL));
	isr(ISR_RER);
	w32(RDSAR, RXD);
	desc(RXD, 0, OWN | 1536, 0, FAKE_RAM_SIZE - 10);
	assert_true(fake_net_feed(&net, buf, 60, NULL));
	isr(ISR_SERR);
	w32(RDSAR, FAKE_RAM_SIZE);
	assert_true(fake_net_feed(&net, buf, 60, NULL));
	isr(ISR_SERR);
	assert_int_equal(r32(MPC), 2);
	assert_true(fake_net_feed(&net, buf, 4093, NULL));
	isr(ISR_RER);
}

/* A driver that acknowledges, over and over, all but what is asserted gets to do something else. */
static void storm(void **state)
{
	uint8_t buf[100];
	unsigned n;

	start_cp(4, 0);
	frame(buf, sizeof(buf), 0);
	for (unsigned turn = 0; turn < 2; turn++) {
		assert_true(fake_net_feed(&net, buf, sizeof(buf), NULL));
		for (n = 0; card->line[0] && n < 1000; n++)
			w16(ISR, 0xffff & ~ISR_ROK);
		assert_in_range(n, 3, 8);
		fake_save_load(&f);
		assert_int_equal(r16(ISR), ISR_ROK);
		assert_false(card->line[0]);
		fake_step(&f, 900000);
		assert_false(card->line[0]);
		if (turn == 0) {
			fake_step(&f, 200000);
			assert_true(card->line[0]);
			isr(ISR_ROK);
			continue;
		}
		/* What ends it in the meantime. */
		w16(ISR, ISR_ROK);
		assert_true(fake_net_feed(&net, buf, sizeof(buf), NULL));
		isr(ISR_ROK);
	}
	/* Not in a row. */
	assert_true(fake_net_feed(&net, buf, sizeof(buf), NULL));
	for (n = 0; n < 1000; n++) {
		w16(ISR, 0xffff & ~ISR_ROK);
		assert_true(card->line[0]);
		if (n % 3 == 2) {
			w16(IMR, 0);
			w16(IMR, 0x80ff);
		}
	}
}

/* Is the register read, or may v be written to it late, without the model? */
static bool is_fast_for(uint32_t off, enum dev_fast_kind kind, uint32_t v)
{
	const struct dev_class *c = &rtl8139_class;
	bool found = false, fast = false;

	for (unsigned i = 0; i < c->n_fast; i++)
		if (c->fast[i].kind == kind && c->fast[i].offset == off) {
			found = true;
			if (kind == DEV_POSTED)
				i = c->fast[i].own;
			fast = card->shadow[i] >> 63 &&
			       (kind != DEV_POSTED || !((uint32_t)card->shadow[i] & v));
			break;
		}
	assert_true(found);
	return fast;
}

static bool is_fast(uint32_t off, enum dev_fast_kind kind)
{
	return is_fast_for(off, kind, ~0u);
}

/* ISR is read from the card while a frame waits for descriptors; written to it while that can take the line back, too. */
static void cp_fast(void **state)
{
	uint8_t buf[100];

	start_cp(1, 0);
	assert_true(is_fast(ISR, DEV_SHADOW) && is_fast(ISR, DEV_POSTED));
	frame(buf, sizeof(buf), 0);
	assert_true(fake_net_feed(&net, buf, sizeof(buf), NULL));
	assert_true(is_fast(ISR, DEV_SHADOW) && !is_fast(ISR, DEV_POSTED));
	/* Only what INTA# is asserted for is acknowledged at once; IMR could take it back. */
	assert_true(is_fast_for(ISR, DEV_POSTED, ISR_TOK) &&
		    !is_fast_for(ISR, DEV_POSTED, ISR_ROK));
	assert_false(is_fast_for(IMR, DEV_POSTED, 0));
	w16(IMR, 0);
	assert_true(is_fast_for(IMR, DEV_POSTED, ISR_ALL & ~ISR_ROK));
	assert_false(is_fast_for(IMR, DEV_POSTED, ISR_ROK) || is_fast_for(IMR, DEV_POSTED, 0x200));
	assert_true(is_fast(ISR, DEV_SHADOW) && is_fast(ISR, DEV_POSTED));
	isr(ISR_ROK);
	assert_false(fake_net_feed(&net, buf, sizeof(buf), NULL));
	assert_false(is_fast(ISR, DEV_SHADOW) || is_fast(ISR, DEV_POSTED));
	desc(RXD, 0, OWN | EOR | 1536, 0, RXBUF);
	isr(ISR_RXOVW);
	assert_true(is_fast(ISR, DEV_SHADOW) && is_fast(ISR, DEV_POSTED));
	send_cp(0, FS | LS, 0, TXBUF, 60);
	w8(TPPOLL, 0x40);
	assert_true(net.queue[0]->lazy);
	fake_net_run(&net);
	assert_true(is_fast(ISR, DEV_SHADOW));
	isr(ISR_TOK | ISR_TDU);
}

static void cp_receive_offload(void **state)
{
	struct net_offload valid = { .flags = NET_CSUM_VALID }, part;
	uint8_t buf[2000];
	unsigned n = 0;

	start_cp(64, 0x60);
	for (unsigned k = 0; k < 32; k++, n++) {
		unsigned tags = k & 1, version = k & 2 ? 4 : 6, tcp = k & 4, ok = k >> 3;
		unsigned len = packet(buf, tags, version, tcp ? 6 : 17, 300), l3 = 14 + tags * 4,
			 l4;
		uint32_t got,
			want = 1u << 25 | FS | LS | (len + 4 - tags * 4) | (n == 63 ? EOR : 0);
		struct net_headers h;

		net_parse(&h, buf, len);
		l4 = h.l4;
		if (version == 4 && ok)
			net_put16(buf + l3 + 10, ~net_fold(net_sum(0, buf + l3, 20)) & 0xffffu);
		part = (struct net_offload){ .csum_start = (uint16_t)l4,
					     .csum_offset = tcp ? 16 : 6 };
		net_put16(buf + h.csum, net_fold(net_sum_pseudo(buf + l3, h.proto, len - l4)));
		if (ok == 3)
			part.flags = NET_CSUM_PARTIAL;
		else if (ok == 1)
			net_csum_finish(buf, len, &part);
		if (tags)
			net_put16(buf + 14, 0x4123);
		assert_true(fake_net_feed(&net, buf, len,
					  ok == 3 ? &part :
					  ok == 2 ? &valid :
						    NULL));
		got = ram32(RXD + n * 16);
		if (version == 4)
			want |= (tcp ? 1u : 2u) << 16 |
				(ok ? 0 : 1u << 15 | (tcp ? 1u << 13 : 1u << 14));
		assert_int_equal(got, want);
		assert_int_equal(ram32(RXD + n * 16 + 4), tags ? 1u << 16 | 0x2341 : 0);
		if (ok == 3)
			net_csum_finish(buf, len, &part);
		assert_memory_equal(f.ram + RXBUF + n * 2048, buf, 12);
		assert_memory_equal(f.ram + RXBUF + n * 2048 + 12, buf + 12 + tags * 4,
				    len - 12 - tags * 4);
	}
	isr(ISR_ROK);
	/* Other IP. */
	packet(buf, 0, 4, 17, 30);
	buf[23] = 1;
	assert_true(fake_net_feed(&net, buf, 80, NULL));
	assert_int_equal(ram32(RXD + n * 16) >> 13 & 0x1f, 0x1c);
}

static void cp_loopback(void **state)
{
	start_cp(64, 0);
	w32(TCR, 0x03060600);
	net.net.features = NET_F_CSUM;
	packet(f.ram + TXBUF, 0, 4, 6, 200);
	send_cp(0, FS | IPCS | TCPCS, 1u << 17 | 0x0100, TXBUF, 50);
	send_cp(1, LS | IPCS | TCPCS, 1u << 17 | 0x0100, TXBUF + 50, 216);
	w8(TPPOLL, 0x40);
	assert_int_equal(net.n, 0);
	isr(ISR_TOK | ISR_TDU | ISR_ROK);
	assert_int_equal(ram32(RXD) & 0x1fff, 274);
	good_frame(f.ram + RXBUF, 270, true, true);
	/* A loop that feeds itself: the receiver's descriptors lie in the transmitter's ring. */
	w32(RDSAR, TXD);
	w32(TNPDS, TXD);
	for (unsigned i = 0; i < 64; i++)
		send_cp(i, FS | LS | (i == 63 ? EOR : 0), 0, TXD, 1024);
	memcpy(f.ram + TXD + 16, net.net.mac, 6);
	w8(TPPOLL, 0x40);
	fake_step(&f, 10000000);
	w8(CR, 0x10);
	assert_int_equal(r8(CR), 1);
}

static void tally(void **state)
{
	uint8_t buf[100];

	start_cp(64, 0);
	frame(buf, 100, 0);
	frame(f.ram + TXBUF, 60, 0);
	for (unsigned i = 0; i < 5; i++)
		fake_net_feed(&net, buf, 100, NULL);
	memset(buf, 0xff, 6);
	fake_net_feed(&net, buf, 100, NULL);
	send_cp(0, FS | LS, 0, TXBUF, 60);
	send_cp(1, FS | LS, 0, TXBUF, 60);
	w8(TPPOLL, 0x40);
	fake_net_end(&net, 0, 0);
	fake_net_end(&net, 0, -1);
	w32(DTCCR + 4, 0);
	w32(DTCCR, STATS | 8);
	assert_int_equal(r32(DTCCR), STATS);
	assert_int_equal(r32(DTCCR + 4), 0);
	assert_int_equal(ram32(STATS), 1);
	assert_int_equal(ram32(STATS + 8), 6);
	assert_int_equal(ram32(STATS + 16), 1);
	assert_int_equal(ram32(STATS + 24), 0);
	assert_int_equal(ram32(STATS + 40), 5);
	assert_int_equal(ram32(STATS + 48), 1);
	assert_int_equal(ram32(STATS + 60), 1);
	w16(ISR, 0xffff);
	w32(DTCCR, FAKE_RAM_SIZE | 8);
	isr(ISR_SERR);
	fake_save_load(&f);
}

static void no_network(void **state)
{
	struct rtl8139_cfg cfg = { .mac = { 2, 0, 0, 0, 0, 1 } };
	struct dev_env env = fake_env(&f, card->dev);
	struct dev_host *two = fake_host_of(&f, fake_add(&f, &rtl8139_class, &cfg, 40));

	fake_cfg_write(&f, 40, 0x10, 4, 0xd000);
	fake_cfg_write(&f, 40, 4, 2, 7);
	assert_int_equal(fake_inb(&f, 0xd000 + MSR), 0x14);
	fake_outb(&f, 0xd000 + CR, 0x0c);
	fake_outl(&f, 0xd000 + TSD0, 60);
	assert_int_equal(fake_inl(&f, 0xd000 + TSD0), 0x8000a03c);
	fake_outw(&f, 0xd000 + CPCR, 3);
	fake_outl(&f, 0xd000 + TNPDS, TXD);
	packet(f.ram + TXBUF, 0, 4, 6, 200);
	send_cp(0, FS | LS | IPCS | TCPCS, 0, TXBUF, 266);
	fake_outb(&f, 0xd000 + TPPOLL, 0x40);
	assert_int_equal(ram32(TXD) >> 31, 0);
	fake_save_load(&f);
	assert_false(two->line[0]);
	cfg.mac[0] = 3;
	assert_int_equal(rtl8139_class.init(two->dev, &env, &cfg), -1);
}

static void bad_state(void **state)
{
	static const struct {
		unsigned at;
		uint8_t v;
	} bad[] = { { offsetof(struct rtl_state, reg) + RERID, 0 },
		    { offsetof(struct rtl_state, cfg), 0 },
		    { offsetof(struct rtl_state, tx_next), 64 },
		    { offsetof(struct rtl_state, rx_next), 64 },
		    { offsetof(struct rtl_state, poll), 1 },
		    { offsetof(struct rtl_state, line), 2 },
		    { offsetof(struct rtl_state, dtccr), 8 },
		    { offsetof(struct rtl_state, reg) + CR, 0x10 },
		    { offsetof(struct rtl_state, reg) + TSD0 + 3, 8 },
		    { offsetof(struct rtl_state, tctr_ns) + 7, 0xff },
		    { offsetof(struct rtl_state, ee) + offsetof(struct ee93, addr), 64 } };
	static uint8_t buf[2000];

	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		size_t len = dev_save(card->cls, card->dev, buf, sizeof(buf));

		assert_true(len > 0);
		assert_int_equal(dev_load(card->cls, card->dev, buf, len), 0);
		buf[24 + bad[i].at] = bad[i].v;
		assert_int_equal(dev_load(card->cls, card->dev, buf, len), -1);
		assert_true(card->cls->sane(card->dev));
	}
}

#define ON(setup, t) cmocka_unit_test_setup_teardown(t, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON(plus, eeprom),
		ON(plus, pci_function),
		ON(only, pci_function),
		ON(plus, locks),
		ON(only, locks),
		ON(plus, link),
		ON(plus, timer),
		ON(only, c_transmit),
		ON(plus, c_transmit),
		ON(plus, c_transmit_bad),
		ON(plus, c_reset_in_transfer),
		ON(only, c_receive),
		ON(plus, c_full),
		ON(plus, c_reminds),
		ON(plus, c_receive_bad),
		ON(plus, filters),
		ON(plus, c_loopback),
		ON(plus, cp_transmit),
		ON(plus, cp_many),
		ON(plus, cp_transmit_bad),
		ON(plus, cp_offload),
		ON(plus, cp_large_send),
		ON(plus, cp_receive),
		ON(plus, cp_full),
		ON(plus, storm),
		ON(plus, cp_fast),
		ON(plus, cp_receive_offload),
		ON(plus, cp_loopback),
		ON(plus, tally),
		ON(plus, no_network),
		ON(plus, bad_state),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
