/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * i8042.c - keyboard controller and keyboard (IBM PS/2 Hardware Interface Technical Reference, 1990).
 */
#include "rt.h"

#define DATA 0x60u
#define CMD  0x64u

#define OBF    0x01u
#define IBF    0x02u
#define SYS    0x04u
#define IS_CMD 0x08u

#define NONE 0x100u /* no byte came */
#define KBD  1u

static unsigned get(void)
{
	return WAIT(inb(CMD) & OBF, 1000) ? inb(DATA) : NONE;
}

static void put_cmd(uint8_t c)
{
	WAIT(!(inb(CMD) & IBF), 1000);
	outb(CMD, c);
}

static void put_data(uint8_t d)
{
	WAIT(!(inb(CMD) & IBF), 1000);
	outb(DATA, d);
}

static unsigned ask(uint8_t c)
{
	put_cmd(c);
	return get();
}

static void drain(void)
{
	for (unsigned i = 0; i < 32 && inb(CMD) & OBF; i++)
		inb(DATA);
}

static void controller(void)
{
	struct tally ram = { 0 };

	drain();
	check("self-test", ask(0xaa), 0x55);
	check("  system flag", inb(CMD) & SYS, SYS);
	check("  the last write was a command", inb(CMD) & IS_CMD, IS_CMD);
	check("keyboard's line", ask(0xab), 0x00);
	check("empty", inb(CMD) & OBF, 0);
	put_cmd(0x60);
	put_data(0x30);
	check("  the last write was data", inb(CMD) & IS_CMD, 0);
	check("command byte", ask(0x20), 0x30);
	put_cmd(0xae);
	check("keyboard on", ask(0x20) & 0x10, 0);
	put_cmd(0xad);
	check("keyboard off", ask(0x20) & 0x10, 0x10);
	for (unsigned i = 1; i < 32; i++) {
		put_cmd((uint8_t)(0x60 + i));
		put_data((uint8_t)(i * 7));
	}
	for (unsigned i = 1; i < 32; i++)
		tally(&ram, ask((uint8_t)(0x20 + i)), (uint8_t)(i * 7));
	check_all("memory", &ram);
	put("input port", ask(0xc0));
	put("test inputs", ask(0xe0));
	put("auxiliary port's test", ask(0xa9));
	put_cmd(0xd2);
	put_data(0x5a);
	check("byte in the output buffer's place", get(), 0x5a);
}

static void a20(void)
{
	uint8_t out = (uint8_t)ask(0xd0);

	check("output port: no reset", out & 1, 1);
	put_cmd(0xd1);
	put_data(0xdf);
	check("A20 on", ask(0xd0) & 2, 2);
	put_cmd(0xd1);
	put_data(0xdd);
	check("A20 off", ask(0xd0) & 2, 0);
	put_cmd(0xdf);
	put_cmd(0xd1);
	put_data(0xdf);
	check("A20 on again", ask(0xd0) & 2, 2);
	outb(0x92, inb(0x92) | 2);
	check("port 92h: A20", inb(0x92) & 3, 2);
}

static void keyboard(void)
{
	put_cmd(0x60);
	put_data(0x00); /* no interrupts, no translation, on */
	drain();
	put_data(0xee);
	check("echo", get(), 0xee);
	put_data(0xf2);
	check("identify", get(), 0xfa);
	check("  first byte", get(), 0xab);
	check("  second byte", get(), 0x83);
	put_data(0xff);
	check("reset", get(), 0xfa);
	check("  passed", get(), 0xaa);
	put_data(0xed);
	check("LEDs", get(), 0xfa);
	put_data(0x02);
	check("  their state", get(), 0xfa);
	put_data(0xf0);
	get();
	put_data(0x00);
	check("scan set: asked", get(), 0xfa);
	check("  2", get(), 0x02);
	put_data(0xf4);
	check("enable", get(), 0xfa);
	put_data(0xfe);
	check("resend", get(), 0xfa);
	put_data(0xe0);
	check("no such command", get(), 0xfe);
	check("nothing more", inb(CMD) & OBF, 0);
	put_cmd(0x60);
	put_data(0x40);
	put_data(0xf2);
	check("translated: identify", get(), 0xfa);
	check("  first byte", get(), 0xab);
	check("  second byte", get(), 0x41);
}

static volatile uint8_t bytes[8];
static volatile unsigned n_bytes;

static void hook(void)
{
	if (n_bytes < LEN(bytes))
		bytes[n_bytes] = inb(DATA);
	n_bytes++;
}

static void interrupts(void)
{
	put_cmd(0x60);
	put_data(0x00);
	drain();
	irq_on(KBD, NULL);
	put_data(0xee);
	delay_ms(5);
	check_irqs("interrupts off", KBD, 0);
	put_cmd(0x60);
	put_data(0x01);
	check_irqs("switched on with a byte there", KBD, 1);
	check("  the byte", get(), 0xee);
	irq_on(KBD, hook);
	put_data(0xf2);
	check("identify: interrupts", WAIT(n_bytes == 3, 1000), true);
	check("  bytes", bytes[0] | bytes[1] << 8 | bytes[2] << 16, 0x83abfa);
	put_cmd(0xaa);
	WAIT(n_bytes == 4, 1000);
	check("self-test: interrupt", n_bytes, 4);
	check_irqs("  no more", KBD, 4);
	check("  answer", bytes[3], 0x55);
	irq_off(KBD);
}

void run(void)
{
	controller();
	a20();
	keyboard();
	interrupts();
}
