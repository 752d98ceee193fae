/* SPDX-License-Identifier: BSD-2-Clause */
/* Register scripts for the serial port, from the PC16550D data sheet. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "fake_host.h"
#include "models/uart/uart.h"

#define BASE 0x3f8
enum { RBR, IER, IIR, LCR, MCR, LSR, MSR, SCR };

static struct fake f;
static struct fake_chr line;
static struct dev_host *uart;

static int setup(void **state)
{
	struct uart_cfg cfg = { .base = BASE, .chr = &line.chr };

	fake_init(&f);
	fake_chr_init(&line);
	uart = fake_host_of(&f, fake_add(&f, &uart_class, &cfg, -1));
	return 0;
}

static int teardown(void **state)
{
	fake_free(&f);
	return 0;
}

static uint8_t get(unsigned reg)
{
	return fake_inb(&f, BASE + reg);
}

static void set(unsigned reg, uint8_t v)
{
	fake_outb(&f, BASE + reg, v);
}

static void feed(const char *s)
{
	fake_chr_feed(&line, s, strlen(s));
}

static void registers(void **state)
{
	static const uint8_t first[8] = { 0, 0, 1, 0, 0, 0x60, 0xb0, 0 };

	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(get(i), first[i]);
	set(IER, 0xff);
	set(MCR, 0xef);
	set(SCR, 0x5a);
	set(LSR, 0xff);
	set(MSR, 0xff);
	assert_int_equal(get(IER), 0x0f);
	assert_int_equal(get(MCR), 0x0f);
	assert_int_equal(get(SCR), 0x5a);
	assert_int_equal(get(LSR), 0x60);
	assert_int_equal(get(MSR), 0xb0);
	set(LCR, 0x9b);
	set(RBR, 0x34);
	set(IER, 0x12);
	assert_int_equal(get(RBR), 0x34);
	assert_int_equal(get(IER), 0x12);
	fake_save_load(&f);
	set(LCR, 0x1b);
	assert_int_equal(get(LCR), 0x1b);
	assert_int_equal(get(IER), 0x0f);
	assert_int_equal(line.n_out, 0);
	uart->cls->reset(uart->dev);
	assert_int_equal(get(IER), 0);
	assert_int_equal(get(SCR), 0);
}

/* What Linux's 8250 driver looks at before it says "16550A". */
static void linux_autoconfig(void **state)
{
	uint8_t status;

	set(IER, 0);
	fake_outb(&f, 0x80, 0xff);
	assert_int_equal(get(IER), 0);
	set(IER, 0x0f);
	assert_int_equal(get(IER), 0x0f);
	set(IER, 0);
	set(MCR, 0x1a);
	assert_int_equal(get(MSR) & 0xf0, 0x90);
	set(MCR, 0);
	set(LCR, 0xbf);
	set(IIR, 0);
	set(LCR, 0);
	set(IIR, 1);
	assert_int_equal(get(IIR) >> 6, 3);
	set(LCR, 0x80); /* a 16650 has an EFR here, and no 0 in it */
	assert_int_not_equal(get(IIR), 0);
	set(LCR, 0xbf);
	assert_int_not_equal(get(IIR), 0);
	set(LCR, 0xe0); /* a NS16550 super I/O has EXCR1 here */
	status = get(IIR);
	set(LCR, 0);
	set(MCR, 0x10);
	set(LCR, 0xe0);
	assert_int_equal(get(IIR), status);
	set(LCR, 0);
	set(MCR, 0);
	set(IIR, 0x21); /* a 16750 says 7 for its long FIFO */
	assert_int_equal(get(IIR) >> 5, 6);
	set(LCR, 0x80);
	set(IIR, 0x21);
	assert_int_equal(get(IIR) >> 5, 6);
	set(LCR, 0);
	set(IER, 0x40);
	assert_int_equal(get(IER), 0);
	/* The length of the FIFO, by loopback. */
	set(IIR, 7);
	set(MCR, 0x10);
	for (unsigned i = 0; i < 256; i++)
		set(RBR, i);
	for (unsigned i = 0; i < 16; i++) {
		assert_int_equal(get(LSR), i == 0 ? 0x63 : 0x61);
		assert_int_equal(get(RBR), i);
	}
	assert_int_equal(get(LSR), 0x60);
	assert_int_equal(line.n_out, 0);
}

static void send(void **state)
{
	char text[300];

	for (const char *s = "hello"; *s; s++) {
		assert_int_equal(get(LSR), 0x60);
		set(RBR, *s);
	}
	memset(text, 'x', sizeof(text));
	fake_burst(&f, BASE, 1, true, text, sizeof(text));
	assert_int_equal(line.n_out, 305);
	assert_memory_equal(line.out, "helloxx", 7);
	/* Bursts to other registers and from them are as good as single accesses. */
	fake_burst(&f, BASE + SCR, 1, true, "abc", 3);
	assert_int_equal(get(SCR), 'c');
	fake_burst(&f, BASE + SCR, 1, false, text, 2);
	assert_memory_equal(text, "cc", 2);
	feed("wxyz");
	set(IIR, 1);
	feed("wxyz");
	fake_burst(&f, BASE, 1, false, text, 5);
	assert_memory_equal(text, "xyzw\0", 4);
}

static void thre_interrupt(void **state)
{
	set(MCR, 0x0b);
	set(IER, 2);
	assert_true(uart->line[0]);
	assert_int_equal(get(IIR), 0x02);
	assert_false(uart->line[0]);
	assert_int_equal(get(IIR), 0x01);
	/* Writing the same again makes none. */
	set(IER, 2);
	assert_false(uart->line[0]);
	set(IER, 0);
	set(IER, 2);
	assert_true(uart->line[0]);
	fake_save_load(&f);
	assert_true(uart->line[0]);
	/* An edge for each byte sent. */
	assert_int_equal(uart->rises[0], 2);
	set(RBR, 'a');
	set(RBR, 'b');
	assert_true(uart->line[0]);
	assert_int_equal(uart->rises[0], 4);
	/* OUT2 gates the line, not the register. */
	set(MCR, 0x03);
	assert_false(uart->line[0]);
	assert_int_equal(get(IIR), 0x02);
	set(MCR, 0x0b);
	assert_false(uart->line[0]);
}

static void full_line(void **state)
{
	set(MCR, 0x0b);
	line.out_room = 1;
	set(RBR, 'a');
	set(RBR, 'b');
	assert_int_equal(get(LSR), 0);
	set(RBR, 'c'); /* overwrites */
	set(IER, 2);
	assert_false(uart->line[0]);
	fake_save_load(&f);
	line.out_room = 1;
	line.chr.ready(line.chr.owner);
	assert_int_equal(get(LSR), 0x60);
	assert_true(uart->line[0]);
	assert_memory_equal(line.out, "ac", 2);
	/* With the FIFO: 16 wait, the rest is lost, they come out in parts. */
	set(IIR, 0x01);
	fake_burst(&f, BASE, 1, true, "0123456789abcdefghi", 19);
	assert_int_equal(line.n_out, 2);
	set(RBR, 'x');
	line.out_room = 10;
	line.chr.ready(line.chr.owner);
	assert_int_equal(get(LSR), 0);
	assert_false(uart->line[0]);
	fake_save_load(&f);
	line.out_room = 10;
	line.chr.ready(line.chr.owner);
	assert_int_equal(get(LSR), 0x60);
	assert_true(uart->line[0]);
	assert_int_equal(line.n_out, 18);
	assert_memory_equal(line.out + 2, "0123456789abcdef", 16);
	/* FIFO reset throws away what waits. */
	line.out_room = 0;
	set(RBR, 'x');
	assert_int_equal(get(LSR), 0);
	set(IIR, 0x05);
	assert_int_equal(get(LSR), 0x60);
	assert_int_equal(get(IIR), 0xc2);
}

static void receive(void **state)
{
	set(MCR, 0x0b);
	feed("abc");
	/* One at a time without the FIFO. */
	assert_int_equal(line.n_in, 2);
	assert_int_equal(get(LSR), 0x61);
	assert_false(uart->line[0]);
	set(IER, 1);
	assert_true(uart->line[0]);
	assert_int_equal(get(IIR), 0x04);
	fake_save_load(&f);
	assert_int_equal(get(RBR), 'a');
	assert_true(uart->line[0]);
	assert_int_equal(get(RBR), 'b');
	assert_int_equal(get(RBR), 'c');
	assert_false(uart->line[0]);
	assert_int_equal(get(LSR), 0x60);
	assert_int_equal(get(RBR), 0);
	/* More than the FIFO holds waits outside. */
	set(IIR, 0xc1);
	feed("0123456789abcdefghij");
	assert_int_equal(line.n_in, 4);
	assert_int_equal(get(IIR), 0xc4);
	for (unsigned i = 0; i < 20; i++)
		assert_int_equal(get(RBR), "0123456789abcdefghij"[i]);
	assert_int_equal(get(LSR), 0x60);
	/* FIFO reset. */
	feed("xyz");
	set(IIR, 0xc3);
	assert_int_equal(get(LSR), 0x60);
}

static void trigger_and_timeout(void **state)
{
	static const uint8_t level[4] = { 1, 4, 8, 14 };

	set(MCR, 0x0b);
	set(LCR, 0x83);
	set(RBR, 1); /* 115200 baud, 8N1: a character takes 86.8 us */
	set(IER, 0);
	set(LCR, 0x03);
	set(IER, 1);
	for (unsigned t = 0; t < 4; t++) {
		set(IIR, 0x07 | t << 6);
		for (unsigned i = 1; i < level[t]; i++) {
			feed("x");
			assert_false(uart->line[0]);
		}
		feed("y");
		assert_true(uart->line[0]);
		assert_int_equal(get(IIR), 0xc4);
		assert_true(uart->deadline[0] == UINT64_MAX);
		get(RBR);
		assert_false(uart->line[0]);
	}
	/* 13 bytes are left: they time out 4 characters after the last one was read. */
	assert_int_equal(uart->deadline[0] - f.now_ns, 4 * 10 * 1000000000ull / 115200);
	fake_save_load(&f);
	fake_step(&f, 347000);
	assert_false(uart->line[0]);
	feed("z");
	get(RBR);
	fake_step(&f, 347000);
	assert_false(uart->line[0]);
	fake_step(&f, 1000);
	assert_true(uart->line[0]);
	assert_int_equal(get(IIR), 0xcc);
	fake_save_load(&f);
	assert_true(uart->line[0]);
	get(RBR);
	assert_false(uart->line[0]);
	assert_int_equal(get(IIR), 0xc1);
	/* Not enabled, no timer; enabled later, at once. */
	set(IER, 0);
	assert_true(uart->deadline[0] == UINT64_MAX);
	fake_step(&f, 400000);
	set(IER, 1);
	assert_true(uart->line[0]);
	while (get(LSR) & 1)
		get(RBR);
	assert_false(uart->line[0]);
	assert_true(uart->deadline[0] == UINT64_MAX);
	/* The slowest line, with two stop bits and parity. */
	set(LCR, 0x8f);
	set(RBR, 0xff);
	set(IER, 0xff);
	set(LCR, 0x0f);
	feed("a");
	assert_int_equal(uart->deadline[0] - f.now_ns, 4 * 12 * 65535 * 1000000000ull / 115200);
}

static void loopback(void **state)
{
	set(MCR, 0x0b);
	set(IER, 0x0f);
	get(IIR);
	get(MSR);
	feed("q");
	get(RBR);
	set(MCR, 0x10);
	/* CTS, DSR and DCD went off. */
	assert_int_equal(get(IIR), 0x00);
	assert_int_equal(get(MSR), 0x0b);
	assert_int_equal(get(MSR), 0x00);
	assert_int_equal(get(IIR), 0x01);
	set(MCR, 0x14); /* a ring counts at its end */
	assert_int_equal(get(MSR), 0x40);
	set(MCR, 0x10);
	assert_int_equal(get(MSR), 0x04);
	set(MCR, 0x1f);
	assert_int_equal(get(MSR), 0xfb);
	feed("outside");
	assert_int_equal(get(LSR), 0x60);
	/* Priorities: overrun, data, transmitter, modem. */
	set(MCR, 0x1e);
	set(RBR, 'a');
	assert_int_equal(get(IIR), 0x04);
	set(RBR, 'b');
	assert_false(uart->line[0]);
	assert_int_equal(get(IIR), 0x06);
	fake_save_load(&f);
	assert_int_equal(get(LSR), 0x63);
	assert_int_equal(get(IIR), 0x04);
	assert_int_equal(get(RBR), 'b');
	assert_int_equal(get(IIR), 0x02);
	assert_int_equal(get(IIR), 0x00);
	assert_int_equal(get(MSR) & 0x0f, 0x02);
	assert_int_equal(get(IIR), 0x01);
	assert_int_equal(line.n_out, 0);
	/* Back on the line, what waited there comes in. */
	set(MCR, 0x0b);
	assert_int_equal(get(RBR), 'o');
	assert_true(uart->line[0]);
	/* What could not go out goes round. */
	line.out_room = 0;
	while (get(LSR) & 1)
		get(RBR);
	set(RBR, 'z');
	set(MCR, 0x10);
	assert_int_equal(get(RBR), 'z');
}

static void nobody(void **state)
{
	struct uart_cfg cfg = { .base = 0x2f8 };
	struct dev_host *h = fake_host_of(&f, fake_add(&f, &uart_class, &cfg, -1));

	fake_outb(&f, 0x2f8, 'x');
	fake_burst(&f, 0x2f8, 1, true, "abc", 3);
	assert_int_equal(fake_inb(&f, 0x2fd), 0x60);
	assert_int_equal(fake_inb(&f, 0x2f8), 0);
	assert_int_equal(h->base[0], 0x2f8);
	assert_int_equal(line.n_out, 0);
}

static void bad_state(void **state)
{
	memset((uint8_t *)uart->dev + uart->cls->state_off, 0xff, uart->cls->state_size);
	assert_false(uart->cls->sane(uart->dev));
	assert_int_equal(uart->cls->loaded(uart->dev), -1);
	assert_true(uart->cls->sane(uart->dev));
	assert_int_equal(get(LSR), 0x60);
}

static void hostile(void **state)
{
	uint32_t x = 5;

	for (unsigned i = 0; i < 50000; i++) {
		x = x * 1664525 + 1013904223;
		if (i % 64 == 0) {
			line.out_room = x >> 8 & 15;
			line.n_out = line.n_in = 0;
			fake_chr_feed(&line, "0123456789abcdefghijklmno", x >> 16 & 15);
			fake_save_load(&f);
		}
		if (x >> 31)
			set(x >> 8 & 7, x >> 16 & 0xff);
		else
			get(x >> 8 & 7);
		fake_step(&f, x >> 4 & 0xffff);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(registers, setup, teardown),
		cmocka_unit_test_setup_teardown(linux_autoconfig, setup, teardown),
		cmocka_unit_test_setup_teardown(send, setup, teardown),
		cmocka_unit_test_setup_teardown(thre_interrupt, setup, teardown),
		cmocka_unit_test_setup_teardown(full_line, setup, teardown),
		cmocka_unit_test_setup_teardown(receive, setup, teardown),
		cmocka_unit_test_setup_teardown(trigger_and_timeout, setup, teardown),
		cmocka_unit_test_setup_teardown(loopback, setup, teardown),
		cmocka_unit_test_setup_teardown(nobody, setup, teardown),
		cmocka_unit_test_setup_teardown(bad_state, setup, teardown),
		cmocka_unit_test_setup_teardown(hostile, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
