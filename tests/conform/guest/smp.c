/* SPDX-License-Identifier: BSD-2-Clause */
/* smp.c - a processor for each device, all at once: nobody sees another's registers or data. */
#include "ide.h"

#define BM_PORT 0xc300u
#define ROUNDS  20u
#define COM1    0x3f8u

static unsigned n_cpus;
static struct prd *const table = (struct prd *)FREE_RAM;

/* One line of results for each role. */
static struct tally results[6];

static void disk_pio(struct tally *t)
{
	uint8_t *buf = (uint8_t *)0x600000;

	for (unsigned i = 0; i < ROUNDS; i++) {
		tally(t, ide_read(&ide[0], i & 1, i * 3, 2, buf), true);
		tally(t, unlike(i & 1, i * 3, 2, buf), 0);
	}
}

static void disk_dma(struct tally *t)
{
	const struct chan *c = &ide[1];
	uint8_t *buf = (uint8_t *)0x700000;

	for (unsigned i = 0; i < ROUNDS; i++) {
		table[0] = (struct prd){ (uint32_t)buf, 3 * SECTOR | PRD_EOT };
		bm_prepare(c, table, true);
		ide_cmd(c, 0, READ_DMA, i * 5, 3);
		bm_start(c);
		tally(t, WAIT((inb(c->bm + BM_STATUS) & BM_STATE) == BM_INTR, LONG), true);
		tally(t, WAIT(irq_count[15] == i + 1, LONG), true);
		bm_stop(c);
		tally(t, inb(c->base + STATUS), IDLE);
		tally(t, unlike(2, i * 5, 3, buf), 0);
	}
}

static void cmos(struct tally *t)
{
	for (unsigned i = 0; i < ROUNDS * 5; i++) {
		uint8_t reg = (uint8_t)(0x60 + i % 16);

		outb(0x70, reg);
		outb(0x71, (uint8_t)(i * 11));
		outb(0x70, 0x70);
		outb(0x71, (uint8_t)i);
		outb(0x70, reg);
		tally(t, inb(0x71), (uint8_t)(i * 11));
	}
}

static void serial(struct tally *t)
{
	outb(COM1 + 4, 0x10);
	for (unsigned i = 0; i < ROUNDS * 3; i++) {
		outb(COM1, (uint8_t)(i * 13));
		tally(t, inb(COM1 + 5) & 1, 1);
		tally(t, inb(COM1), (uint8_t)(i * 13));
	}
	outb(COM1 + 4, 0);
}

static void pci(struct tally *t)
{
	for (unsigned i = 0; i < ROUNDS * 2; i++) {
		tally(t, pci_read(PIIX3_IDE, 0), 0x70108086);
		pci_write(PIIX3_IDE, 0x40, i * 0x01010101);
		tally(t, pci_read(PIIX4_PM, 0), 0x71138086);
		tally(t, pci_read(PIIX3_IDE, 0x40), i * 0x01010101);
	}
}

static void config(struct tally *t)
{
	uint32_t sig;

	for (unsigned i = 0; i < ROUNDS * 2; i++) {
		fw_cfg(0, &sig, sizeof(sig));
		tally(t, sig, 0x554d4551); /* "QEMU" */
	}
}

static void (*const roles[])(struct tally *) = { disk_pio, disk_dma, cmos, serial, pci, config };
static const char *const names[] = { "disk, PIO",   "disk, DMA", "CMOS",
				     "serial port", "PCI",       "fw_cfg" };

static void play(unsigned cpu)
{
	for (unsigned i = 0; i < LEN(roles); i++)
		if (i % n_cpus == cpu)
			roles[i](&results[i]);
}

void run(void)
{
	bm_init(BM_PORT);
	n_cpus = smp_start();
	/* The first processor takes the interrupts of a disk that another reads. */
	outb(ide[0].ctl, NIEN);
	irq_on(14, NULL);
	irq_on(15, NULL);
	smp_run(n_cpus, play);
	for (unsigned i = 0; i < LEN(roles); i++)
		check_all(names[i], &results[i]);
	check_irqs("interrupts of the DMA disk", 15, ROUNDS);
	check_irqs("interrupts of the PIO disk", 14, 0);
}
