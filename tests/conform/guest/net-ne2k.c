/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * net-ne2k.c - RTL8029AS, an NE2000 on PCI: remote DMA to the ring's edges, in bytes, words and strings; transmission
 * in loopback; masks (DP8390D data sheet).
 */
#include "rt.h"

#ifdef ISA
#define BASE 0x300u
#define IRQ  3u
#else
#define CARD DEVFN(3, 0)
#define BASE 0xc300u
#define IRQ  11u
#endif
#define DATA  (BASE + 0x10)
#define RESET (BASE + 0x1f)

enum {
	CR = 0,
	PSTART = 1,
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

#define ISR_PTX 0x02u
#define ISR_TXE 0x08u
#define ISR_RDC 0x40u
#define ISR_RST 0x80u
#define READ    0x0au
#define WRITE   0x12u
#define FIRST   0x46u /* pages of the ring */
#define LAST    0x80u

static uint8_t *const a = (uint8_t *)FREE_RAM;
static uint8_t *const b = (uint8_t *)(FREE_RAM + 0x10000);
static unsigned irq = IRQ;

static void set(unsigned r, uint8_t v)
{
	outb((uint16_t)(BASE + r), v);
}

static uint8_t get(unsigned r)
{
	return inb((uint16_t)(BASE + r));
}

static void start(uint8_t dcr)
{
	inb(RESET);
	set(CR, 0x21);
	set(DCR, dcr);
	set(RBCR0, 0);
	set(RBCR1, 0);
	set(RCR, 0x20);
	set(TCR, 0x02);
	set(PSTART, FIRST);
	set(PSTOP, LAST);
	set(BNRY, FIRST);
	set(ISR, 0xff);
	set(IMR, 0);
	set(CR, 0x22);
}

static void dma(uint8_t how, uint16_t at, uint16_t n)
{
	set(ISR, ISR_RDC);
	set(RBCR0, (uint8_t)n);
	set(RBCR1, (uint8_t)(n >> 8));
	set(RSAR0, (uint8_t)at);
	set(RSAR1, (uint8_t)(at >> 8));
	set(CR, how);
}

static void remote(void)
{
	struct tally t = { 0 };

	start(0x49);
	for (unsigned i = 0; i < 2048; i++)
		a[i] = (uint8_t)(i * 7 + i / 256);
	dma(WRITE, 0x4000, 1500);
	outsw(DATA, a, 750);
	check("a string of words: complete", get(ISR) & ISR_RDC, ISR_RDC);
	dma(READ, 0x4000, 1500);
	insw(DATA, b, 750);
	check("  back", memcmp(a, b, 1500), 0);
	check("  complete", get(ISR) & ISR_RDC, ISR_RDC);
	check("  beyond it", inw(DATA), 0xffff);
	dma(READ, 0x4000, 1500);
	insl(DATA, b + 2, 375);
	check("  in double words", memcmp(a, b + 2, 1500), 0);
	/* Over the ring's end. */
	dma(WRITE, 0x7f00, 512);
	outsw(DATA, a, 256);
	dma(READ, FIRST << 8, 256);
	insw(DATA, b, 128);
	check("over the ring's end", memcmp(a + 256, b, 256), 0);
	check("  the address", get(RSAR0) | get(RSAR1) << 8, (FIRST + 1) << 8);
	/* One word at a time, other registers between. */
	dma(WRITE, 0x5000, 200);
	for (unsigned i = 0; i < 100; i++) {
		outw(DATA, (uint16_t)(i * 0x101));
		if (i % 9 == 0)
			tally(&t, get(RSAR0) | get(RSAR1) << 8, 0x5000 + (i + 1) * 2);
	}
	check_all("word by word", &t);
	start(0x48);
	dma(WRITE, 0x5001, 255);
	outsb(DATA, a, 255);
	check("a string of bytes: complete", get(ISR) & ISR_RDC, ISR_RDC);
	dma(READ, 0x5001, 255);
	insb(DATA, b, 255);
	check("  back", memcmp(a, b, 255), 0);
	dma(READ, 0x4000, 0);
	check("no bytes: complete at once", get(ISR) & ISR_RDC, ISR_RDC);
	dma(READ, 0xc000, 2);
	check("where no memory is", inb(DATA), 0xff);
	dma(READ, 0, 2);
	check("the PROM", inb(DATA), 0x52);
	/* A reset in the middle. */
	dma(WRITE, 0x4000, 100);
	outsb(DATA, a + 9, 50);
	inb(RESET);
	check("reset in mid-transfer", get(ISR) & ISR_RST, ISR_RST);
	check("  nothing goes on", inb(DATA), 0xff);
}

static uint8_t transmit(unsigned len)
{
	set(ISR, ISR_PTX | ISR_TXE);
	set(TPSR, 0x40);
	set(TBCR0, (uint8_t)len);
	set(TBCR1, (uint8_t)(len >> 8));
	set(CR, 0x26);
	WAIT(!(get(CR) & 0x04), 1000);
	return get(ISR) & (ISR_PTX | ISR_TXE);
}

static void sending(void)
{
	start(0x49);
	check("in loopback", transmit(60), ISR_PTX);
	check("no bytes", transmit(0), ISR_TXE);
	put("more than the memory", transmit(0xffff));
	set(TPSR, 0x10);
	start(0x49);
	check("it goes on", transmit(1514), ISR_PTX);
	irq_off(irq);
	check_line("masked", irq, false);
	set(IMR, ISR_PTX);
	check_line("unmasked", irq, true);
	set(ISR, ISR_PTX);
	check_line("  and taken back", irq, false);
	set(CR, 0x62); /* page 1: addresses and the group hash */
	for (unsigned i = 1; i < 16; i++)
		set(i, (uint8_t)(i * 3));
	for (unsigned i = 1; i < 16; i++)
		check("page 1", get(i), (uint8_t)(i * 3));
	set(CR, 0x22);
}

void run(void)
{
#ifdef ISA
	start(0x49);
	check("id", get(10) | get(11) << 8, 'P' | 'p' << 8);
#else
	pci_write(DEVFN(1, 0), 0x60, 0x0b0b0b0b); /* all PIRQs */
	pci_write(CARD, 0x10, BASE);
	pci_write(CARD, 4, 0x0001);
	check("id", pci_read(CARD, 0), 0x802910ec);
#endif
	remote();
	sending();
}
