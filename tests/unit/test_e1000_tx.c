/* SPDX-License-Identifier: BSD-2-Clause */
/* What the 82540EM sends: rings, checksums, segmentation, resets in between, loopback. */
#include "e1000_test.h"

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
	/* It ends while the card may not write to memory. */
	fake_cfg_write(&f, DEVFN, 4, 2, 3);
	fake_net_run(&net);
	assert_int_equal(txd(0)[12], 0);
	assert_int_equal(rd(TDH), 0);
	fake_cfg_write(&f, DEVFN, 4, 2, 7);
	assert_int_equal(txd(0)[12], 1);
	assert_int_equal(rd(TDH), 1);
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

/* The front end has no room: others use it too. */
static void tx_busy(void **state)
{
	net.room = 2;
	for (unsigned i = 0; i < 5; i++)
		legacy(TXBUF, 100 + i, EOP | IFCS | RS);
	go();
	assert_int_equal(net.n, 2);
	for (unsigned i = 0; i < 5; i++) {
		fake_net_end(&net, 0, 0);
		assert_int_equal(rd(TDH), i + 1);
		assert_int_equal(net.n, i < 3 ? 2 : 4 - i);
		assert_int_equal(sent(i)->len, 100 + i);
	}
	/* Reset while one waits: it does not go out later. */
	net.room = 0;
	legacy(TXBUF, 100, EOP | IFCS | RS);
	go();
	wr(CTRL, CTRL_RST);
	net.room = 8;
	net.net.sent_room(net.net.owner);
	assert_int_equal(net.n, 0);
	bring_up();
	net.room = 0;
	legacy(TXBUF, 100, EOP | IFCS | RS);
	go();
	net.room = 8;
	net.net.sent_room(net.net.owner);
	assert_int_equal(fake_net_run(&net), 1);
	assert_int_equal(rd(TDH), 1);
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
	/* It goes along with another one, if that is let through. */
	legacy(TXBUF, 100, EOP | IFCS | RS | IDE);
	go();
	fake_net_run(&net);
	wr(IMC, ICR_RXO);
	wr(ICS, ICR_RXO);
	assert_false(line());
	wr(IMS, ICR_RXO);
	assert_true(line());
	assert_int_equal(rd(ICR), ICR_TXDW | ICR_TXQE | ICR_RXO);
	fake_step(&f, 1000000);
	assert_false(line());
	wr(IMC, ICR_RXO);
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
	net.net.features |= NET_F_VLAN;
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
	/* What the front end can't take goes in segments: with tags, */
	net.net.features = NET_F_CSUM | NET_F_TSO4 | NET_F_TSO6;
	desc(TXBUF, (uint32_t)len | 1u << 20 | (uint32_t)(DEXT | TSE | EOP | IFCS | VLE | RS) << 24,
	     3u << 8 | 0x7u << 16);
	go();
	fake_net_run(&net);
	assert_int_equal(net.n_sent, 3);
	assert_int_equal(sent(2)->len, 58 + 80);
	assert_int_equal(sent(2)->off.csum_start, 38);
	fake_net_forget(&net);
	/* too long for one datagram, */
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

/* Loopback comes while the front end was to segment: the rest and all before it goes in segments after all. */
static void tso_changes_its_way(void **state)
{
	size_t len = tso_packet(false, 13000);

	net.net.features = NET_F_CSUM | NET_F_TSO4;
	context(14, 24, 33, 34, 50, 7, 54, 1000, 13000);
	data(TXBUF, 12000, TSE | IFCS, TXSM | IXSM);
	go();
	assert_int_equal(net.n, 0);
	on(RCTL, RCTL_LBM_MAC | RCTL_UPE);
	wr(RXCSUM, 0x300);
	data(TXBUF + 12000, (uint32_t)len - 12000, TSE | IFCS | EOP | RS, 0);
	go();
	assert_int_equal(net.n, 0);
	assert_int_equal(rd(RDH), 13);
	for (unsigned i = 0; i < 13; i++) {
		assert_int_equal(le16(rxd(i) + 8), 1058);
		assert_int_equal(rxd(i)[12] & 0x63, 0x63);
		assert_int_equal(rxd(i)[13], 0);
		assert_memory_equal(ram(RXBUF + i * RXSIZE + 54), frame + 54 + i * 1000, 1000);
	}
	assert_int_equal(rd(TDH), 3);
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

int main(void)
{
	static const struct CMUnitTest tests[] = {
		UP(tx_simple),
		UP(tx_order),
		UP(tx_sizes),
		UP(tx_outside_ram),
		UP(tx_gates),
		UP(tx_busy),
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
		UP(tso_changes_its_way),
		UP(tso_nonsense),
		UP(reset_in_flight),
		UP(loopbacks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
