/* SPDX-License-Identifier: BSD-2-Clause */
/* uart.c - the first serial port, a PC16550D, in loopback and with its interrupt (data sheet, section 8). */
#include "rt.h"

#define COM 0x3f8u

enum { RBR, THR = RBR, IER, IIR, FCR = IIR, LCR, MCR, LSR, MSR, SCR };

#define LOOP 0x10u
#define OUT2 0x08u

static void registers(void)
{
	struct tally t = { 0 };

	for (unsigned v = 0; v < 256; v += 5) {
		outb(COM + SCR, (uint8_t)v);
		outb(COM + LCR, (uint8_t)(v & 0x7f));
		tally(&t, inb(COM + SCR), v);
		tally(&t, inb(COM + LCR), v & 0x7f);
	}
	check_all("scratch and line control", &t);
	outb(COM + LCR, 0x83);
	outb(COM, 0x34);
	outb(COM + 1, 0x12);
	check("divisor", inb(COM) | inb(COM + 1) << 8, 0x1234);
	outb(COM, 1);
	outb(COM + 1, 0);
	outb(COM + LCR, 0x03);
	outb(COM + IER, 0xff);
	check("interrupt enable's bits", inb(COM + IER), 0x0f);
	outb(COM + IER, 0);
	outb(COM + MCR, 0xff);
	check("modem control's bits", inb(COM + MCR), 0x1f);
	outb(COM + MCR, 0);
	check("idle line status", inb(COM + LSR) & 0x60, 0x60);
	check("no interrupt pending", inb(COM + IIR), 0x01);
}

static void modem_lines(void)
{
	struct tally level = { 0 }, delta = { 0 }, again = { 0 };
	unsigned old = 0;

	outb(COM + MCR, LOOP);
	inb(COM + MSR);
	/* Each step from one set of outputs to another. */
	for (unsigned i = 0; i < 64; i++) {
		unsigned m = (i * 7 ^ i >> 2) & 15, msr, want;

		outb(COM + MCR, (uint8_t)(LOOP | m));
		/* CTS is RTS, DSR is DTR, RI is OUT1, DCD is OUT2. */
		want = (m >> 1 & 1) | (m & 1) << 1 | (m & 0xc);
		msr = inb(COM + MSR);
		tally(&level, msr >> 4, want);
		/* RI counts when it goes away. */
		tally(&delta, msr & 15, ((want ^ old) & ~4u) | (old & ~want & 4));
		tally(&again, inb(COM + MSR) & 15, 0);
		old = want;
	}
	check_all("loopback: modem status", &level);
	check_all("  deltas", &delta);
	check_all("  gone when read", &again);
	outb(COM + MCR, LOOP);
	inb(COM + MSR);
}

static void no_fifo(void)
{
	struct tally t = { 0 };

	outb(COM + FCR, 0);
	for (unsigned i = 0; i < 256; i += 3) {
		outb(COM + THR, (uint8_t)i);
		tally(&t, inb(COM + LSR) & 0x61, 0x61);
		tally(&t, inb(COM + RBR), i);
		tally(&t, inb(COM + LSR) & 0x1f, 0);
	}
	check_all("loopback without FIFO", &t);
	outb(COM + THR, 1);
	outb(COM + THR, 2);
	check("  overrun", inb(COM + LSR) & 0x03, 0x03);
	check("  gone when read", inb(COM + LSR) & 0x03, 0x01);
	check("  the last byte stays", inb(COM + RBR), 2);
}

static void fifo(void)
{
	static const uint8_t trigger[] = { 1, 4, 8, 14 };
	struct tally t = { 0 };

	outb(COM + FCR, 0x07);
	check("FIFO on", inb(COM + IIR), 0xc1);
	for (unsigned i = 0; i < 16; i++)
		outb(COM + THR, (uint8_t)(0x40 + i));
	check("16 bytes", inb(COM + LSR) & 0x03, 0x01);
	outb(COM + THR, 0xff);
	check("one too many", inb(COM + LSR) & 0x03, 0x03);
	for (unsigned i = 0; i < 16; i++) {
		tally(&t, inb(COM + LSR) & 0x01, 1);
		tally(&t, inb(COM + RBR), 0x40 + i);
	}
	tally(&t, inb(COM + LSR) & 0x01, 0);
	check_all("  in order", &t);
	outb(COM + THR, 1);
	outb(COM + FCR, 0x03);
	check("receiver's FIFO cleared", inb(COM + LSR) & 0x01, 0);

	outb(COM + IER, 0x01);
	for (unsigned i = 0; i < LEN(trigger); i++) {
		unsigned n = 0;

		outb(COM + FCR, (uint8_t)(i << 6 | 0x03));
		while (n < 16 && inb(COM + IIR) != 0xc4) {
			outb(COM + THR, (uint8_t)n);
			n++;
		}
		put("trigger level", trigger[i]);
		/* Slow writers may see the time-out on the way; the level comes before it in rank. */
		check("  reached", n, trigger[i]);
		inb(COM + RBR);
		check("  below it", inb(COM + IIR) != 0xc4, true);
		if (n > 1)
			check("  time-out", WAIT(inb(COM + IIR) == 0xcc, 1000), true);
		outb(COM + FCR, 0x03);
		check("  emptied", inb(COM + IIR), 0xc1);
	}
	outb(COM + IER, 0);
	outb(COM + FCR, 0);
	check("FIFO off", inb(COM + IIR), 0x01);
}

/* All four reasons at once, taken away from the highest on. */
static void priorities(void)
{
	outb(COM + MCR, LOOP);
	inb(COM + MSR);
	inb(COM + LSR);
	inb(COM + RBR);
	outb(COM + THR, 1);
	outb(COM + THR, 2);
	outb(COM + MCR, LOOP | 0x03);
	outb(COM + IER, 0x0f);
	check("line status first", inb(COM + IIR), 0x06);
	inb(COM + LSR);
	check("then data", inb(COM + IIR), 0x04);
	inb(COM + RBR);
	check("then the transmitter", inb(COM + IIR), 0x02);
	check("  gone when read; then the modem", inb(COM + IIR), 0x00);
	check("  which stays", inb(COM + IIR), 0x00);
	inb(COM + MSR);
	check("  until read", inb(COM + IIR), 0x01);
	outb(COM + IER, 0x00);
	outb(COM + IER, 0x02);
	check("transmitter, enabled while empty", inb(COM + IIR), 0x02);
	check("  once", inb(COM + IIR), 0x01);
	outb(COM + THR, 3);
	check("  and after each byte", inb(COM + IIR), 0x02);
	outb(COM + IER, 0);
	inb(COM + RBR);
	outb(COM + MCR, 0);
	inb(COM + MSR);
}

/* On the line: what goes out is seen by the runner. */
static void interrupts(void)
{
	struct tally t = { 0 };

	irq_off(4);
	outb(COM + IER, 0x02);
	check_line("no line without OUT2", 4, false);
	outb(COM + MCR, OUT2);
	check_line("line with OUT2", 4, true);
	outb(COM + MCR, OUT2 | LOOP);
	check_line("no line in loopback", 4, false);
	outb(COM + MCR, OUT2);
	check_line("line again", 4, true);
	inb(COM + IIR);
	check_line("no line once told", 4, false);
	irq_on(4, NULL);
	for (unsigned i = 0; i < 20; i++) {
		uint32_t before = irq_count[4];

		outb(COM + THR, i == 19 ? '\n' : (uint8_t)('a' + i));
		tally(&t, WAIT(irq_count[4] == before + 1, 1000), true);
		inb(COM + IIR);
	}
	check_all("an interrupt for each byte", &t);
	check_irqs("  and no more", 4, 20);
	outb(COM + IER, 0);
	outb(COM + MCR, 0);
	irq_off(4);
}

void run(void)
{
	registers();
	modem_lines();
	no_fifo();
	fifo();
	priorities();
	interrupts();
}
