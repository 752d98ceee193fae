/* SPDX-License-Identifier: BSD-2-Clause */
/* fwcfg.c - QEMU's firmware configuration device: items by port and by DMA (QEMU, docs/specs/fw_cfg). */
#include "rt.h"

#define SELECTOR 0x510u
#define DATA     0x511u
#define DMA_HI   0x514u
#define DMA_LO   0x518u

#define SIGNATURE 0x00u
#define ID        0x01u
#define RAM_SIZE  0x03u
#define DIR       0x19u
#define NOTHING   0x7ffu

#define DMA_ERROR  1u
#define DMA_READ   2u
#define DMA_SKIP   4u
#define DMA_SELECT 8u
#define DMA_WRITE  16u

#define NOWHERE 0xe0000000u

struct dma {
	uint32_t control, length, high, low; /* big-endian */
};

struct file {
	uint32_t size; /* big-endian, as the key */
	uint16_t key, reserved;
	char name[56];
};

static volatile struct dma *const dma = (struct dma *)FREE_RAM;
static uint8_t *const a = (uint8_t *)0x500000, *const b = (uint8_t *)0x600000;

static uint32_t transfer(uint32_t control, uint32_t len, uint32_t to)
{
	dma->control = __builtin_bswap32(control);
	dma->length = __builtin_bswap32(len);
	dma->high = 0;
	dma->low = __builtin_bswap32(to);
	outl(DMA_HI, 0);
	outl(DMA_LO, __builtin_bswap32((uint32_t)dma));
	WAIT(!(__builtin_bswap32(dma->control) & ~DMA_ERROR), 1000);
	return __builtin_bswap32(dma->control);
}

static void basics(void)
{
	uint32_t v = 0;
	uint8_t eight[8];

	fw_cfg(SIGNATURE, &v, 4);
	check("signature", v, 0x554d4551);
	check("  and then zeros", inb(DATA) | inb(DATA) << 8, 0);
	fw_cfg(ID, &v, 4);
	check("features", v, 3);
	fw_cfg(RAM_SIZE, eight, 8);
	memcpy(&v, eight, 4);
	check("RAM", v, RAM_END);
	fw_cfg(NOTHING, &v, 4);
	check("an item that is not there", v, 0);
	outw(SELECTOR, SIGNATURE);
	check("byte by byte", inb(DATA), 'Q');
	check("  and on", inb(DATA), 'E');
	outw(SELECTOR, ID);
	outw(SELECTOR, SIGNATURE);
	check("selected again", inb(DATA), 'Q');
	outb(DATA, 0x55);
	fw_cfg(SIGNATURE, &v, 4);
	check("data is read-only", v, 0x554d4551);
	check("DMA signature", inl(DMA_HI), 0x554d4551);
	check("  second half", inl(DMA_LO), 0x47464320);
}

static void files(void)
{
	struct tally same = { 0 }, done = { 0 }, after = { 0 };
	const struct file *f = (const struct file *)(a + 4);
	struct file all[40];
	uint32_t n;

	fw_cfg(DIR, a, 4);
	memcpy(&n, a, 4);
	n = __builtin_bswap32(n);
	check("files", n > 0 && n <= LEN(all), true);
	put("  how many", n);
	fw_cfg(DIR, a, 4 + n * sizeof(*f));
	memcpy(all, f, n * sizeof(*f));
	for (unsigned i = 0; i < n; i++) {
		uint32_t size = __builtin_bswap32(all[i].size);
		uint16_t key = __builtin_bswap16(all[i].key);

		put(all[i].name, size);
		size = size > 8192 ? 8192 : size;
		memset(a, 0, size);
		memset(b, 0xff, size + 16);
		fw_cfg(key, a, size);
		tally(&done,
		      transfer((uint32_t)key << 16 | DMA_SELECT | DMA_READ, size, (uint32_t)b), 0);
		tally(&same, memcmp(a, b, size), 0);
		tally(&after, b[size], 0xff);
	}
	check_all("by DMA", &done);
	check_all("  the same as by port", &same);
	check_all("  and not more", &after);
}

static void dma_edges(void)
{
	uint32_t len;

	memset(b, 0xff, 64);
	check("beyond an item's end",
	      transfer(SIGNATURE << 16 | DMA_SELECT | DMA_READ, 16, (uint32_t)b), 0);
	check("  its bytes", memcmp(b, "QEMU\0\0\0\0\0\0\0\0\0\0\0\0\xff", 17), 0);
	check("skip", transfer(SIGNATURE << 16 | DMA_SELECT | DMA_SKIP, 2, 0), 0);
	check("  then read", transfer(DMA_READ, 2, (uint32_t)b), 0);
	check("  the rest", memcmp(b, "MU", 2), 0);
	check("  the port goes on after it", inb(DATA), 0);
	check("select alone", transfer(SIGNATURE << 16 | DMA_SELECT, 0, 0), 0);
	check("  for the port", inb(DATA), 'Q');
	check("  and on by DMA", transfer(DMA_READ, 3, (uint32_t)b), 0);
	check("  the rest", memcmp(b, "EMU", 3), 0);
	check("to where there is no RAM",
	      transfer(SIGNATURE << 16 | DMA_SELECT | DMA_READ, 4, NOWHERE), DMA_ERROR);
	len = transfer(SIGNATURE << 16 | DMA_SELECT | DMA_WRITE, 4, (uint32_t)b);
	check("a write", len, DMA_ERROR);
	/* A command block that is nowhere hurts nobody. */
	outl(DMA_LO, __builtin_bswap32(NOWHERE));
	check("still there", transfer(SIGNATURE << 16 | DMA_SELECT | DMA_READ, 4, (uint32_t)b), 0);
	check("  the signature", memcmp(b, "QEMU", 4), 0);
}

void run(void)
{
	basics();
	files();
	dma_edges();
}
