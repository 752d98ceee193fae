/* SPDX-License-Identifier: BSD-2-Clause */
/* rtc.c - MC146818A: memory, time, alarm, periodic and update interrupts (Motorola's data sheet). */
#include "rt.h"

#define IRQ 8u

enum { SEC, SEC_ALARM, MIN, MIN_ALARM, HOUR, HOUR_ALARM, WEEKDAY, DAY, MONTH, YEAR, A, B, C, D };

#define UIP  0x80u
#define SET  0x80u
#define PIE  0x40u
#define AIE  0x20u
#define UIE  0x10u
#define DM   0x04u
#define H24  0x02u
#define IRQF 0x80u
#define PF   0x40u
#define AF   0x20u
#define UF   0x10u
#define ANY  0xc0u

static uint8_t rd(uint8_t reg)
{
	outb(0x70, reg);
	return inb(0x71);
}

static void wr(uint8_t reg, uint8_t v)
{
	outb(0x70, reg);
	outb(0x71, v);
}

static void memory(void)
{
	struct tally t = { 0 }, index = { 0 };

	for (unsigned i = 0x40; i < 0x80; i += 2)
		wr((uint8_t)i, (uint8_t)(i * 5));
	for (unsigned i = 0x40; i < 0x80; i += 2)
		tally(&t, rd((uint8_t)i), (uint8_t)(i * 5));
	check_all("memory", &t);
	/* Index and data in a tight loop, the NMI bit along with the index. */
	for (unsigned i = 0; i < 64; i++) {
		outb(0x70, 0x40);
		outb(0x70, (uint8_t)(0x50 | (i & 1 ? 0x80 : 0)));
		outb(0x71, (uint8_t)i);
		outb(0x70, 0x52);
		outb(0x71, (uint8_t)~i);
		outb(0x70, 0x50);
		tally(&index, inb(0x71), i);
		tally(&index, inb(0x71), i);
		outb(0x70, 0x52);
		tally(&index, inb(0x71), (uint8_t)~i);
	}
	check_all("index and data", &index);
	check("register D: valid", rd(D), 0x80);
	wr(D, 0);
	check("  read-only", rd(D), 0x80);
}

/* Waits for the end of an update, so that a second is ahead. */
static void new_second(void)
{
	rd(C);
	if (!WAIT(rd(C) & UF, 3000))
		fatal("the clock stands still", rd(SEC));
}

static void set_time(uint8_t hour, uint8_t min, uint8_t sec)
{
	wr(B, SET | H24);
	wr(A, 0x26);
	wr(HOUR, hour);
	wr(MIN, min);
	wr(SEC, sec);
	wr(DAY, 0x28);
	wr(MONTH, 0x02);
	wr(YEAR, 0x24);
	wr(B, H24);
}

static void time(void)
{
	uint8_t s;
	bool seen = false;

	set_time(0x23, 0x59, 0x58);
	check("time set",
	      rd(HOUR) == 0x23 && rd(MIN) == 0x59 && (rd(SEC) == 0x58 || rd(SEC) == 0x59), true);
	check("carry through all: hour", WAIT(rd(HOUR) == 0, 5000), true);
	check("  minute", rd(MIN), 0);
	check("  day of a leap year", rd(DAY), 0x29);
	check("  month", rd(MONTH), 0x02);
	wr(B, SET | H24);
	s = rd(SEC);
	delay_ms(1200);
	check("stopped", rd(SEC), s);
	check("  no update in progress", rd(A) & UIP, 0);
	wr(B, SET | H24 | DM);
	wr(HOUR, 23);
	wr(MIN, 29);
	wr(SEC, 30);
	wr(DAY, 28);
	wr(MONTH, 2);
	wr(YEAR, 24);
	wr(B, H24 | DM);
	check("binary", rd(HOUR), 23);
	wr(B, SET | DM);
	wr(HOUR, 11 | 0x80);
	wr(B, DM);
	check("12 hours", rd(HOUR), 11 | 0x80);
	wr(B, SET | H24);
	set_time(0x12, 0x00, 0x00);

	/* UIP goes up at least 244 us before the seconds change; a read after a clear UIP is consistent. */
	new_second();
	s = rd(SEC);
	for (uint32_t from = clk(); clk() - from < 1500 * clk_ms && !seen;)
		seen = rd(A) & UIP;
	if (seen) {
		WAIT(!(rd(A) & UIP), 100);
		check("a second after UIP", rd(SEC), (s & 15) == 9 ? s + 7u : s + 1u);
	} else {
		check("seconds go on", rd(SEC) != s, true);
	}
}

static void interrupts(void)
{
	struct tally flags = { 0 };
	uint32_t from;
	unsigned n;
	uint8_t c, s;

	rd(C);
	irq_on(IRQ, NULL);
	/* Rate 6 is 1024 Hz: one for each that is acknowledged, not faster than that. */
	wr(B, H24 | PIE);
	from = clk();
	for (n = 0; n < 50 && WAIT(irq_count[IRQ] == n + 1, 1000); n++)
		tally(&flags, rd(C) & (IRQF | PF), IRQF | PF);
	check("periodic interrupts", n, 50);
	check_all("  register C", &flags);
	check("  not faster than 1024 Hz", clk() - from >= 47 * clk_ms, true);
	/* Without an acknowledgement there is one; with one, another may come before it is switched off. */
	delay_ms(20);
	check("  one that is not acknowledged", irq_count[IRQ] - n, 1);
	rd(C);
	wr(B, H24);
	delay_ms(5);
	check("  and then none", irq_count[IRQ] - n <= 2, true);
	n = irq_count[IRQ];
	delay_ms(10);
	check("  none", irq_count[IRQ], n);
	check("  flag still goes up", WAIT(rd(C) & PF, 100), true);

	new_second();
	wr(B, H24 | UIE);
	check("update interrupt", WAIT(irq_count[IRQ] == n + 1, 3000), true);
	c = rd(C);
	check("  register C", c & (IRQF | UF), IRQF | UF);
	wr(B, H24);
	check("  C is 0 once read", rd(C) & (IRQF | UF | AF), 0);

	/* An alarm two seconds ahead, far from a minute's end. */
	set_time(0x12, 0x30, 0x10);
	wr(SEC_ALARM, 0x12);
	wr(MIN_ALARM, 0x30);
	wr(HOUR_ALARM, 0x12);
	rd(C);
	n = irq_count[IRQ];
	wr(B, H24 | AIE);
	check("alarm", WAIT(irq_count[IRQ] == n + 1, 5000), true);
	c = rd(C);
	s = rd(SEC);
	check("  register C", c & (IRQF | AF), IRQF | AF);
	check("  in time", s == 0x12 || s == 0x13, true);
	wr(SEC_ALARM, ANY);
	wr(MIN_ALARM, ANY);
	wr(HOUR_ALARM, ANY);
	check("alarm of any time: the next second", WAIT(rd(C) & AF, 2500), true);
	wr(B, H24);
	irq_off(IRQ);
}

void run(void)
{
	memory();
	time();
	interrupts();
}
