/* SPDX-License-Identifier: BSD-2-Clause */
/* pci.c - configuration mechanism 1, the functions' registers, and a base address register in use. */
#include "ide.h"

#define ADDRESS 0xcf8u
#define DATA_   0xcfcu
#define ENABLE  0x80000000u
#define BMIBA   0x20u

static struct prd *const table = (struct prd *)FREE_RAM;
static uint8_t *const buf = (uint8_t *)0x500000;

static void bus(void)
{
	struct tally absent = { 0 };

	for (unsigned devfn = 0; devfn < 256; devfn++) {
		uint32_t id = pci_read(devfn, 0);

		if (id == 0xffffffff) {
			tally(&absent, pci_read(devfn, 8), 0xffffffff);
			continue;
		}
		put("function", devfn);
		put("  id", id);
		put("  class and revision", pci_read(devfn, 8));
		put("  header type", pci_read(devfn, 12) >> 16 & 0xff);
		pci_write(devfn, 0, ~id);
		check("  id is read-only", pci_read(devfn, 0), id);
	}
	check_all("where there is none", &absent);
	outl(ADDRESS, ENABLE | 1 << 16);
	check("bus 1", inl(DATA_), 0xffffffff);
	check("IDE controller", pci_read(PIIX3_IDE, 0), 0x70108086);
	check("  class", pci_read(PIIX3_IDE, 8) >> 16, 0x0101);
	check("power management", pci_read(PIIX4_PM, 0), 0x71138086);
}

static void mechanism(void)
{
	struct tally parts = { 0 };

	outl(ADDRESS, ENABLE | PIIX3_IDE << 8 | 0x40);
	check("address", inl(ADDRESS), ENABLE | PIIX3_IDE << 8 | 0x40);
	outl(ADDRESS, 0xffffffff);
	check("  reserved bits", inl(ADDRESS) & 0x7f000003, 0);
	outl(ADDRESS, PIIX3_IDE << 8);
	check("not enabled", inl(DATA_), 0xffffffff);
	/* Only a double word is the address; at CF9h is the reset register. */
	outl(ADDRESS, ENABLE | PIIX3_IDE << 8);
	outb(ADDRESS, 0x40);
	outw(ADDRESS + 2, 0);
	check("bytes and words don't write the address", inl(ADDRESS), ENABLE | PIIX3_IDE << 8);
	outb(ADDRESS + 1, 0x02);
	check("CF9h is apart", inb(ADDRESS + 1) & 0x06, 0x02);
	outb(ADDRESS + 1, 0x00);
	check("  from the address", inl(ADDRESS), ENABLE | PIIX3_IDE << 8);

	pci_write(PIIX3_IDE, 0x40, 0x44332211);
	for (unsigned i = 0; i < 4; i++)
		tally(&parts, inb((uint16_t)(DATA_ + i)), 0x11 * (i + 1));
	for (unsigned i = 0; i < 3; i++)
		tally(&parts, inw((uint16_t)(DATA_ + i)), 0x2211 + 0x1111 * i);
	outb(DATA_ + 1, 0x55);
	tally(&parts, inl(DATA_), 0x44335511);
	outw(DATA_ + 2, 0x7766);
	tally(&parts, inl(DATA_), 0x77665511);
	outw(DATA_ + 1, 0x9988);
	tally(&parts, inl(DATA_), 0x77998811);
	check_all("bytes and words of the data", &parts);
	pci_write(PIIX3_IDE, 0x40, 0);

	/* Two addresses in turn, without a read between. */
	for (unsigned i = 0; i < 32; i++) {
		pci_write(PIIX3_IDE, 0x40, i << 8 | 1);
		pci_write(PIIX4_PM, 0x44, i << 8 | 2);
		tally(&parts, pci_read(PIIX3_IDE, 0x40), i << 8 | 1);
		tally(&parts, pci_read(PIIX4_PM, 0x44), i << 8 | 2);
	}
	check_all("addresses in turn", &parts);
	pci_write(PIIX3_IDE, 0x40, 0);
	pci_write(PIIX4_PM, 0x44, 0);
}

static void routing(void)
{
	const unsigned isa = DEVFN(1, 0);

	check("ISA bridge", pci_read(isa, 0), 0x70008086);
	check("  more functions", pci_read(isa, 12) >> 16 & 0x80, 0x80);
	check("  PIRQs off", pci_read(isa, 0x60) & 0x80808080, 0x80808080);
	pci_write(isa, 0x60, 0x0b0a0b0a);
	check("  routed", pci_read(isa, 0x60), 0x0b0a0b0a);
	pci_write(isa, 0x60, 0xffffffff);
	check("  reserved bits", pci_read(isa, 0x60) & 0x70707070, 0);
	pci_write(isa, 0x60, 0x80808080);
}

static bool there(uint16_t base)
{
	outl(base + BM_TABLE, base * 0x10000u);
	return inl(base + BM_TABLE) == base * 0x10000u;
}

static void bar(void)
{
	static const uint16_t at[] = { 0xc000, 0xc010, 0x1000, 0xffe0, 0xc000 };
	uint32_t size;

	pci_write(PIIX3_IDE, 4, 0);
	pci_write(PIIX3_IDE, BMIBA, 0xffffffff);
	size = pci_read(PIIX3_IDE, BMIBA);
	check("sizing: I/O space", size & 3, 1);
	check("  16 bytes", size & 0xfffc, 0xfff0);
	pci_write(PIIX3_IDE, BMIBA, at[0]);
	check("without I/O enabled", there(at[0]), false);
	for (unsigned i = 0; i < LEN(at); i++) {
		bm_init(at[i]);
		put("at", at[i]);
		check("  base", pci_read(PIIX3_IDE, BMIBA), at[i] | 1u);
		check("  there", there(at[i]), true);
		check("  to the end", inb(at[i] + 15), 0);
		if (i)
			check("  not where it was", inl(at[i - 1] + BM_TABLE), 0xffffffff);
		check("  nor after the end", inb((uint16_t)(at[i] + 16)), 0xff);
		memset(buf, 0, SECTOR);
		table[0] = (struct prd){ (uint32_t)buf, SECTOR | PRD_EOT };
		bm_prepare(&ide[0], table, true);
		ide_cmd(&ide[0], 0, READ_DMA, 5 + i, 1);
		bm_start(&ide[0]);
		check("  DMA ends", WAIT(inb(at[i] + BM_STATUS) & BM_INTR, LONG), true);
		check("  bad sectors", unlike(0, 5 + i, 1, buf), 0);
		bm_stop(&ide[0]);
		inb(ide[0].base + STATUS);
		outl(at[i] + BM_TABLE, 0);
	}
	/* Written in two halves, as some do. */
	pci_write(PIIX3_IDE, BMIBA, 0);
	outw(DATA_, 0xd000);
	check("written as a word", there(0xd000), true);
	outb(DATA_ + 1, 0xd1);
	check("written as a byte", there(0xd100), true);
	check("  not where it was", inl(0xd000 + BM_TABLE), 0xffffffff);
	pci_write(PIIX3_IDE, 4, 4);
	check("I/O switched off", there(0xd100), false);
	pci_write(PIIX3_IDE, 4, 5);
	check("I/O switched on", there(0xd100), true);
	pci_write(PIIX3_IDE, BMIBA, 0);
}

void run(void)
{
	bus();
	mechanism();
	routing();
	bar();
}
