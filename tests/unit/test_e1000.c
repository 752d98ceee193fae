/* SPDX-License-Identifier: BSD-2-Clause */
/* Register scripts for the 82540EM, from Intel's software developer's manual and in the order of Linux's driver:
 * registers, EEPROM, PHY, interrupts, receiving, saved states. */
#include "e1000_test.h"

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

int main(void)
{
	static const struct CMUnitTest tests[] = {
		T(pci),        T(io_window),       T(registers),   T(eeprom),     T(phy),
		UP(link_flap), UP(interrupts),     UP(throttle),   UP(rx_simple), UP(rx_full),
		UP(rx_sizes),  UP(rx_outside_ram), UP(rx_filters), UP(rx_vlan),   UP(rx_checksums),
		UP(rx_delays), UP(loads),          T(no_network),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
