/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * reset.c - each way to reset the machine: it starts over, RAM and CMOS memory stay, devices do not.
 * RAM is this program's memory of how far it is.
 */
#include "ide.h"

bool may_reset(void)
{
	return true;
}

#define BM_PORT 0xc400u
#define COM1    0x3f8u
#define MARK    ((volatile uint32_t *)FREE_RAM)

static uint8_t cmos(uint8_t reg)
{
	outb(0x70, reg);
	return inb(0x71);
}

static void set_cmos(uint8_t reg, uint8_t v)
{
	outb(0x70, reg);
	outb(0x71, v);
}

/* All is as after switching on. */
static void fresh(void)
{
	check("  bus master's base", pci_read(PIIX3_IDE, 0x20), 1);
	check("  IDE's command register", pci_read(PIIX3_IDE, 4) & 0xffff, 0);
	check("  no bus master", inl(BM_PORT + BM_TABLE), 0xffffffff);
	check("  drive's status", alt_status(&ide[0]), IDLE);
	check("  drive's signature",
	      inb(0x1f2) | inb(0x1f3) << 8 | inb(0x1f4) << 16 | inb(0x1f5) << 24, 0x101);
	check_line("  IDE's line", 14, false);
	check("  nIEN", (ide_do(&ide[0], 0, 0x10, 0, 0), alt_status(&ide[0])), IDLE);
	check("  serial port", inb(COM1 + 1) | inb(COM1 + 3) << 8 | inb(COM1 + 4) << 16, 0);
	check("  port 92h", inb(0x92) & 1, 0);
	check("  CF9h", inb(0xcf9) & 0x04, 0);
	check("  PCI address", inl(0xcf8) >> 31, 1); /* as pci_read() has left it just now */
	check("  RTC's interrupts", cmos(0x0b) & 0x70, 0);
	check("  power management's base", pci_read(PIIX4_PM, 0x40), 1);
}

/* All is another way. */
static void disturb(void)
{
	bm_init(BM_PORT);
	outl(BM_PORT + BM_TABLE, 0x1234);
	outb(ide[0].base + COUNT, 0x55);
	ide_cmd(&ide[0], 0, READ_SECTORS, 0, 2);
	ide_idle(&ide[0]);
	outb(ide[1].ctl, NIEN);
	outb(COM1 + 3, 0x1b);
	outb(COM1 + 1, 0x05);
	outb(COM1 + 4, 0x1b);
	set_cmos(0x0b, 0x42);
	set_cmos(0x50, (uint8_t)(0x80 + boots));
	pm_base();
	MARK[0] = 0xfeed0000 + boots;
	MARK[1] = ~MARK[0];
}

static void __attribute__((noreturn)) never(const char *how)
{
	delay_ms(LONG);
	fatal(how, boots);
}

void run(void)
{
	static const char *const ways[] = { "power on",    "port 92h",    "CF9h, hard",
					    "CF9h, soft",  "8042, pulse", "8042, output port",
					    "triple fault" };

	if (boots >= LEN(ways))
		fatal("more resets than asked for", boots);
	put(ways[boots], boots);
	fresh();
	if (boots) {
		check("  RAM", MARK[0], 0xfeed0000 + boots - 1);
		check("  RAM", MARK[1], ~MARK[0]);
		check("  CMOS memory", cmos(0x50), 0x80 + boots - 1);
	}
	disturb();
	switch (boots) {
	case 0: outb(0x92, inb(0x92) | 1); never("port 92h");
	case 1:
		outb(0xcf9, 0x02);
		outb(0xcf9, 0x06);
		never("CF9h, hard");
	case 2:
		outb(0xcf9, 0x00);
		outb(0xcf9, 0x04);
		never("CF9h, soft");
	case 3: outb(0x64, 0xfe); never("8042, pulse");
	case 4:
		outb(0x64, 0xd1);
		outb(0x60, 0xde);
		never("8042, output port");
	case 5: {
		static const struct {
			uint16_t limit;
			uint32_t base;
		} __attribute__((packed)) none = { 0, 0 };

		__asm__ volatile("lidt %0; ud2" ::"m"(none));
		never("triple fault");
	}
	}
}
