/* SPDX-License-Identifier: BSD-2-Clause */
/* pm.c - PIIX4 power management: timer, its carry and SCI, where the registers are (data sheet 290562). */
#include "rt.h"

#define STS        0u
#define EN         2u
#define CNTRL      4u
#define TMR        8u
#define TMROF      0x0001u
#define SCI        9u
#define LONG_CARRY 5000u /* ms; a carry comes every 2.34 s */

static uint16_t pm;

static void registers(void)
{
	check("base", pci_read(PIIX4_PM, 0x40) & 0xffff, pm | 1u);
	outw(pm + EN, 0xffff);
	check("enable bits that are", inw(pm + EN) & 0x0521, 0x0521);
	put("  all that stay", inw(pm + EN));
	outw(pm + EN, 0);
	check("enable bits off", inw(pm + EN), 0);
	outb(pm + EN, 0x01);
	check("one by a byte", inl(pm + STS) >> 16, 0x0001);
	outw(pm + EN, 0);
	outw(pm + CNTRL, 0x0001);
	check("SCI_EN", inw(pm + CNTRL), 0x0001);
	outw(pm + CNTRL, 0x0000);
	check("  off", inw(pm + CNTRL), 0x0000);
	/* As the ACPI tables tell systems to. */
	outb(0xb2, 0xf1);
	check("ACPI on by SMI command", inw(pm + CNTRL) & 1, 1);
	outb(0xb2, 0xf0);
	check("ACPI off by SMI command", inw(pm + CNTRL) & 1, 0);
}

static void timer(void)
{
	struct tally forward = { 0 }, top = { 0 };
	uint32_t old = inl(pm + TMR), at[4], least, most, ticks;

	for (unsigned i = 0; i < 500; i++) {
		uint32_t now = inl(pm + TMR);

		/* Half the timer's range is more than a second. */
		tally(&forward, ((now - old) & 0xffffff) < 0x800000, true);
		tally(&top, now >> 24, 0);
		old = now;
	}
	check_all("timer goes forward", &forward);
	check_all("  in 24 bits", &top);
	at[0] = clk();
	old = inl(pm + TMR);
	at[1] = clk();
	delay_ms(400);
	at[2] = clk();
	ticks = (inl(pm + TMR) - old) & 0xffffff;
	at[3] = clk();
	least = (at[2] - at[1]) / clk_ms * 3579;
	most = (at[3] - at[0]) / clk_ms * 3579;
	check("  at 3.58 MHz", ticks > least / 10 * 8 && ticks < most / 10 * 12, true);
	check("word reads", inw(pm + TMR + 2) >> 8, 0);
	outl(pm + TMR, 0);
	check("  can't be written", ((inl(pm + TMR) - old) & 0xffffff) >= ticks, true);
}

static bool carried(uint32_t start)
{
	return (inl(pm + TMR) ^ start) & 0x800000;
}

static void carry(void)
{
	uint32_t start;

	irq_off(SCI);
	outw(pm + STS, 0xffff);
	start = inl(pm + TMR);
	if (inw(pm + STS) & TMROF) {
		outw(pm + STS, TMROF);
		start = inl(pm + TMR);
	}
	check("no carry yet", carried(start) || !(inw(pm + STS) & TMROF), true);
	outw(pm + CNTRL, 1);
	outw(pm + EN, TMROF);
	/* Nothing is read meanwhile: the line has to come by itself. */
	check("carry: SCI", WAIT(irq_level(SCI), LONG_CARRY), true);
	check("  bit 23 has changed", carried(start), true);
	check("  status", inw(pm + STS) & TMROF, TMROF);
	outw(pm + EN, 0);
	check_line("  not enabled: no SCI", SCI, false);
	check("  status stays", inw(pm + STS) & TMROF, TMROF);
	outw(pm + EN, TMROF);
	check_line("  enabled: SCI", SCI, true);
	outw(pm + CNTRL, 0);
	check_line("  without SCI_EN: no SCI", SCI, false);
	outw(pm + CNTRL, 1);
	outw(pm + STS, TMROF);
	check_line("  status cleared: no SCI", SCI, false);
	check("  gone", inw(pm + STS) & TMROF, 0);
	irq_on(SCI, NULL);
	check("the next carry: interrupt", WAIT(irq_count[SCI] > 0, LONG_CARRY), true);
	outw(pm + EN, 0);
	outw(pm + STS, TMROF);
	check_irqs("  one", SCI, 1);
	irq_off(SCI);
}

static void base(void)
{
	uint16_t other = 0x1240;

	pci_write(PIIX4_PM, 0x40, other);
	check("moved: not at the old place", inl(pm + TMR), 0xffffffff);
	check("  but at the new one", inl(other + TMR) >> 24, 0);
	outw(other + EN, 0x0100);
	check("  and works", inw(other + EN), 0x0100);
	outw(other + EN, 0);
	pci_write(PIIX4_PM, 0x80, 0);
	check("switched off", inl(other + TMR), 0xffffffff);
	pci_write(PIIX4_PM, 0x80, 1);
	check("switched on", inl(other + TMR) >> 24, 0);
	pci_write(PIIX4_PM, 0x40, pm);
}

void run(void)
{
	pm = pm_base();
	registers();
	timer();
	carry();
	base();
}
