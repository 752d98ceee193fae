/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_net_e1000.c - what fuzz_net.c does with an 82540EM besides: registers by name, rings where they should be,
 * descriptors of every kind, packets to be segmented, and in many pieces.
 */
#include "fuzz_net.h"
#include "models/e1000/e1000_int.h"

#define RING_TX 0x1000u
#define RING_RX 0x2000u
#define N_TX    128u

/* Mostly RAM, sometimes its end, sometimes anything. */
static uint64_t take_gpa(struct dev_host *h)
{
	uint32_t v = take16(h);

	switch (v >> 13) {
	case 0: return RAM_SIZE - (v & 0xff);
	case 1: return (uint64_t)take32(h) << (v & 31);
	default: return v * 7 & (RAM_SIZE - 1);
	}
}

static void wr(struct dev_host *h, uint32_t off, uint32_t v)
{
	struct dev_access a = { .data = v, .offset = off, .size = 4, .write = true };

	h->cls->access(h->dev, &a);
}

static void e1000_register(struct dev_host *h)
{
	static const uint16_t often[] = {
		CTRL, STATUS, EECD, EERD, CTRL_EXT, VET,  ICR,   ITR,    ICS,  IMS,    IMC, RCTL,
		TCTL, RDBAL,  RDH,  RDT,  RDLEN,    RDTR, RADV,  RSRPD,  TDH,  TDBAL,  TDT, TDLEN,
		TIDV, TADV,   PBA,  MTA,  RXCSUM,   VFTA, GORCH, RA + 4, TORL, TXDCTL,
	};
	uint8_t how = take8(h);
	uint32_t off = often[how % (sizeof(often) / sizeof(often[0]))];
	struct dev_access a = { .offset = off, .size = 4 };

	if (how & 0x80)
		h->cls->access(h->dev, &a);
	else
		wr(h, off, off == RCTL || off == TCTL ? take32(h) | 2 : take32(h));
}

static void put_desc(struct dev_host *h, uint64_t a, uint32_t low, uint32_t high)
{
	uint8_t *at = h->ram + RING_TX + h->tail % N_TX * 16;

	memcpy(at, &a, 8);
	memcpy(at + 8, &low, 4);
	memcpy(at + 12, &high, 4);
	h->tail = (h->tail + 1) % N_TX;
}

/* Some descriptors at the tail: contexts, data, legacy; and go. */
static void e1000_tx(struct dev_host *h)
{
	uint8_t n = take8(h);

	for (unsigned i = 0; i <= n % 24u; i++) {
		uint8_t how = take8(h);
		uint64_t addr = how & 0x10 ? RAM_SIZE / 2 + i * 40u : take_gpa(h);
		uint32_t len = how & 0x20 ? take8(h) : take16(h);
		uint32_t cmd = (how & 8 ? 1u : 0) | 2 | (how & 0x40 ? 8u : 0) |
			       (how & 0x80 ? 0x84u : 0);

		switch (how & 3) {
		case 0:
			put_desc(h, addr, len | cmd << 24 | (uint32_t)take8(h) << 16,
				 (uint32_t)take8(h) << 8);
			break;
		case 1: { /* mostly of TCP over IP */
			bool odd = how & 0x10;
			uint32_t l4 = how & 4 ? 54 : 34;
			uint32_t word0 = odd ? take32(h) : 14 | 24u << 8 | (l4 - 1) << 16;
			uint32_t word1 = odd ? take32(h) : l4 | (l4 + 16) << 8;
			uint32_t hdr = odd ? take8(h) : l4 + 20;

			put_desc(h, word0 | (uint64_t)word1 << 32,
				 len | (0x20u | (how & 4 ? 1 : 3) | (cmd & 0xc)) << 24,
				 hdr << 8 | (uint32_t)take16(h) << 16);
			break;
		}
		default:
			if (how & 4) /* VLE */
				cmd |= 0x40;
			put_desc(h, addr, (len & 0x7fff) | 1u << 20 | (cmd | 0x20) << 24,
				 (uint32_t)(take8(h) & 3) << 8 | (uint32_t)how << 16);
		}
	}
	wr(h, TDT, h->tail);
}

/* A packet as a TCP/IP stack leaves it for segmentation, where step_tx() finds it. */
static void e1000_packet(struct dev_host *h, uint8_t how)
{
	uint8_t *p = h->ram + RAM_SIZE / 2;
	bool v6 = how & 1;

	memset(p, how, 80);
	net_put16(p + 12, v6 ? 0x86dd : 0x0800);
	p[14] = v6 ? 0x60 : 0x45;
	p[v6 ? 20 : 23] = how & 2 ? 17 : 6;
	p[v6 ? 66 : 46] = 0x50;
}

/* A packet as drivers hand it over for segmentation, in as many pieces as the input likes. */
static void e1000_segment(struct dev_host *h)
{
	uint8_t how = take8(h), n = take8(h) % 100;
	bool v6 = how & 1;
	uint32_t l4 = v6 ? 54 : 34, size = 1u << (how >> 3) % 11, gap = how & 4 ? 1 : 0;
	uint64_t at = RAM_SIZE / 2;

	e1000_packet(h, how);
	put_desc(h, 14 | 24u << 8 | (l4 - 1) << 16 | (uint64_t)(l4 | (l4 + 16) << 8) << 32,
		 (0x24u | (v6 ? 1 : 3)) << 24, (l4 + 20) << 8 | (uint32_t)take16(h) << 16);
	put_desc(h, at, (l4 + 20) | 1u << 20 | 0x26u << 24, 0x300);
	for (unsigned i = 0; i <= n; i++)
		put_desc(h, at + l4 + 20 + i * (gap + size) % 0x8000,
			 size | 1u << 20 | (0x26u | (i == n ? 9 : 0)) << 24, 0x300);
	wr(h, TDT, h->tail);
}

/* A frame in many pieces. */
static void e1000_pieces(struct dev_host *h)
{
	uint8_t how = take8(h), n = take8(h) % 127, size = take8(h);

	for (unsigned i = 0; i <= n; i++)
		put_desc(h, RAM_SIZE / 2 + i * 256,
			 size | (2u | (i == n ? 9 : 0) | (how & 0xc0)) << 24, (uint32_t)how << 16);
	wr(h, TDT, h->tail);
}

static void e1000_delays(struct dev_host *h)
{
	uint8_t how = take8(h);

	wr(h, ITR, how & 1 ? take8(h) : 0);
	wr(h, TIDV, how & 2 ? take8(h) : 0);
	wr(h, TADV, how & 4 ? take8(h) : 0);
	wr(h, RDTR, how & 8 ? take8(h) : 0);
	wr(h, RADV, how & 16 ? take8(h) : 0);
	wr(h, RCTL, RCTL_EN | RCTL_BAM | RCTL_LPE | RCTL_UPE | (how & 32 ? RCTL_LBM_MAC : 0));
}

static void e1000_rx_ring(struct dev_host *h)
{
	uint8_t how = take8(h);
	uint32_t n = 8u << (how & 3);

	for (uint32_t i = 0; i < n; i++) {
		uint64_t a = how & 0x10 && i % 3 == 0 ? (how & 4 ? 0 : take_gpa(h)) :
							0x8000 + i * 512;

		memcpy(h->ram + RING_RX + i * 16, &a, 8);
	}
	wr(h, RDBAL, RING_RX);
	wr(h, RDBAH, 0);
	wr(h, RDLEN, n * 16);
	wr(h, RDH, how >> 5);
	wr(h, RDT, take8(h) % n);
}

static void e1000_mdi(struct dev_host *h)
{
	uint16_t v = take16(h);

	wr(h, MDIC, v | (uint32_t)take8(h) << 26 | 1u << 21 | (uint32_t)(take8(h) & 31) << 16);
}

/* As a driver does it. */
static void e1000_up(struct dev_host *h)
{
	wr(h, CTRL, CTRL_SLU | CTRL_VME | CTRL_FD);
	wr(h, VET, 0x8100);
	h->now += 60000000;
	fuzz_timers(h);
	wr(h, TDBAL, RING_TX);
	wr(h, TDBAH, 0);
	wr(h, TDLEN, N_TX * 16);
	wr(h, TDH, 0);
	wr(h, TDT, 0);
	h->tail = 0;
	wr(h, TCTL, TCTL_EN | TCTL_PSP);
	wr(h, RXCSUM, 0x300);
	wr(h, RCTL, RCTL_EN | RCTL_BAM | RCTL_LPE | 2u << 16);
	wr(h, IMS, ICR_ALL);
}

const step_fn e1000_steps[N_E1000_STEPS] = {
	e1000_register, e1000_register, e1000_tx,      e1000_tx,  e1000_segment, e1000_pieces,
	e1000_delays,   e1000_rx_ring,  e1000_rx_ring, e1000_mdi, e1000_up,
};
