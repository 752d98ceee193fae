/* SPDX-License-Identifier: BSD-2-Clause */
/* Register scripts for the interval timer, from the 8254's data sheet: its timing diagrams, clock by clock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "fake_host.h"
#include "models/i8254/i8254.h"

#define S 1000000000ull

static struct fake f;
static struct dev_host *pit;
static void *dev;
static uint64_t clk;

static int setup(void **state)
{
	fake_init(&f);
	dev = fake_add(&f, &i8254_class, NULL, -1);
	pit = fake_host_of(&f, dev);
	clk = 0;
	return 0;
}

static int teardown(void **state)
{
	fake_free(&f);
	return 0;
}

/* To the middle of the n-th clock from here. */
static void clocks(uint64_t n)
{
	uint64_t at;

	clk += n;
	at = clk / I8254_HZ * S + (clk % I8254_HZ * S + S / 2) / I8254_HZ;
	fake_step(&f, at - f.now_ns);
}

static void cw(uint8_t v)
{
	fake_outb(&f, 0x43, v);
}

static void put(unsigned n, uint16_t v)
{
	fake_outb(&f, 0x40 + n, v & 0xff);
	fake_outb(&f, 0x40 + n, v >> 8);
}

static uint8_t status(unsigned n)
{
	cw(0xe0 | 2u << n);
	fake_save_load(&f);
	return fake_inb(&f, 0x40 + n);
}

static uint16_t word(unsigned n)
{
	uint8_t low = fake_inb(&f, 0x40 + n);

	return (uint16_t)(low | fake_inb(&f, 0x40 + n) << 8);
}

static bool out(unsigned n)
{
	return status(n) & 0x80;
}

static uint16_t count(unsigned n)
{
	cw((uint8_t)(n << 6));
	fake_save_load(&f);
	return word(n);
}

static void gate2(bool on)
{
	fake_outb(&f, 0x61, on);
	assert_int_equal(fake_inb(&f, 0x61) & 0x0f, on);
}

/* OUT of counter 2, a digit a clock from here on, against a row of 0 and 1; counts in hexadecimal digits, or - for
 * any. */
static void expect(const char *outs, const char *counts)
{
	for (unsigned i = 0; outs[i]; i++) {
		bool o = fake_inb(&f, 0x61) & 0x20;
		uint16_t c = count(2);

		if (o != (outs[i] == '1'))
			fail_msg("%s: OUT is %d in clock %u", outs, o, i);
		assert_int_equal(out(2), o);
		if (counts[i] != '-') {
			static const char digit[] = "0123456789abcdef";

			if (digit[c & 15] != counts[i])
				fail_msg("%s: count is %x in clock %u", counts, c, i);
		}
		clocks(1);
	}
}

static void power_on(void **state)
{
	assert_false(pit->line[0]);
	assert_true(pit->deadline[0] == UINT64_MAX);
	assert_int_equal(fake_inb(&f, 0x43), 0xff);
	assert_int_equal(fake_inb(&f, 0x61) & 0xef, 0);
	fake_step(&f, S);
	assert_int_equal(pit->rises[0], 0);
}

static void mode0(void **state)
{
	clocks(1);
	gate2(true);
	cw(0xb0);
	assert_int_equal(status(2), 0x70); /* null count, OUT low */
	put(2, 4);
	assert_int_equal(status(2), 0x70);
	clocks(1);
	assert_int_equal(status(2), 0x30);
	expect("00001111", "43210fed");
	/* The gate stops it, OUT stays. */
	put(2, 3);
	clocks(1);
	expect("0", "3");
	gate2(false);
	expect("000", "222");
	gate2(true);
	expect("00111", "210fe");
	gate2(false);
	expect("11", "dd");
	/* Written while stopped: all of it is still to come. */
	put(2, 2);
	expect("00", "22");
	gate2(true);
	expect("001", "210");
	/* The first of two bytes stops it and takes OUT low. */
	fake_outb(&f, 0x42, 2);
	expect("000", "---");
	fake_outb(&f, 0x42, 0);
	clocks(1);
	expect("0011", "210f");
	/* A new count in the middle. */
	put(2, 9);
	clocks(3);
	put(2, 3);
	clocks(1);
	expect("00011", "3210f");
	/* A new control word. */
	cw(0xb0);
	expect("000", "---");
}

static void mode1(void **state)
{
	cw(0xb2);
	put(2, 3);
	expect("11111", "-----"); /* no trigger yet */
	assert_int_equal(status(2) & 0x40, 0x40);
	gate2(true);
	expect("1000111", "-3210fe");
	assert_int_equal(status(2) & 0x40, 0);
	/* Its end means nothing; a second trigger starts again. */
	gate2(false);
	gate2(true);
	expect("100", "-32");
	gate2(false);
	gate2(true);
	expect("00001", "-3210");
	/* A new count is for the next trigger. */
	gate2(false);
	gate2(true);
	clocks(2);
	put(2, 5);
	expect("0011", "210f");
	gate2(false);
	gate2(true);
	expect("1000001", "-543210");
	/* No count since the control word: no pulse. */
	cw(0xb2);
	gate2(false);
	gate2(true);
	expect("1111", "----");
}

static void mode2(void **state)
{
	gate2(true);
	cw(0xb4);
	expect("11", "--");
	put(2, 3);
	clocks(1);
	expect("11011011", "32132132");
	clocks(3 * 1000);
	expect("01101", "13213");
	/* A new count waits for the end of the period. */
	put(2, 5);
	assert_int_equal(status(2), 0xf4);
	expect("101111011110", "215432154321");
	assert_int_equal(status(2), 0xb4);
	/* The gate: OUT high, then from the top. */
	clocks(4);
	expect("0", "1");
	clocks(3);
	gate2(false);
	expect("111", "222");
	clocks(100);
	gate2(true);
	expect("11111011", "-5432154");
	/* At the very clock in which OUT is low. */
	clocks(2);
	gate2(false);
	expect("11", "11");
	put(2, 2);
	gate2(true);
	expect("110101", "-21212");
	/* 1 is not allowed: no edges. */
	put(2, 1);
	clocks(2);
	expect("000000", "111111");
	put(2, 4);
	clocks(1);
	expect("111011", "432143");
	/* Written with the gate low. */
	gate2(false);
	cw(0xb4);
	put(2, 3);
	expect("111", "333");
	gate2(true);
	expect("111011", "-32132");
}

static void mode3(void **state)
{
	gate2(true);
	cw(0xb6);
	put(2, 4);
	clocks(1);
	expect("110011001", "424242424");
	clocks(4 * 12345);
	expect("10011", "24242");
	/* Odd: one clock more high than low; the new count comes at the half. */
	put(2, 5);
	clocks(2);
	expect("1110011100", "4204242042");
	put(2, 4);
	expect("1110011", "4204242");
	gate2(false);
	expect("111", "---");
	gate2(true);
	expect("1110011", "-424242");
	/* In the low half. */
	expect("0", "4");
	put(2, 7);
	clocks(1);
	expect("11110001111000", "64206426420642");
	gate2(false);
	put(2, 6);
	gate2(true);
	expect("1111000111", "-642642642");
	/* 1: no edges, and it comes back from there. */
	put(2, 1);
	clocks(6);
	expect("1111", "0000");
	put(2, 2);
	clocks(2);
	expect("1010", "2222");
	put(2, 1);
	clocks(4);
	expect("1111", "0000");
	/* The mode's other number. */
	cw(0xbe);
	put(2, 4);
	clocks(1);
	assert_int_equal(status(2), 0xbe);
	expect("110011", "424242");
}

static void mode4(void **state)
{
	gate2(true);
	cw(0xb8);
	expect("11", "--");
	put(2, 3);
	clocks(1);
	expect("111011111", "3210fedcb");
	put(2, 3);
	clocks(2);
	gate2(false);
	expect("11", "22");
	gate2(true);
	expect("11011", "210fe");
	put(2, 5);
	clocks(2);
	put(2, 2);
	clocks(1);
	expect("11011", "210fe");
	/* A count while OUT is low. */
	put(2, 1);
	clocks(2);
	expect("0", "0");
	put(2, 1);
	clocks(2);
	put(2, 2);
	expect("0110", "-210");
	assert_false(pit->rises[0]);
}

static void mode5(void **state)
{
	cw(0xba);
	put(2, 3);
	expect("1111", "----");
	gate2(true);
	expect("11110111", "-3210fed");
	gate2(false);
	gate2(true);
	expect("111", "-32");
	gate2(false);
	gate2(true);
	expect("1111011", "-3210fe");
}

static void bytes(void **state)
{
	gate2(true);
	/* Low byte alone, high byte alone. */
	cw(0x98);
	fake_outb(&f, 0x42, 0x80);
	clocks(1);
	assert_int_equal(fake_inb(&f, 0x42), 0x80);
	clocks(3);
	assert_int_equal(fake_inb(&f, 0x42), 0x7d);
	cw(0xa8);
	fake_outb(&f, 0x42, 0x20);
	clocks(1);
	assert_int_equal(fake_inb(&f, 0x42), 0x20);
	clocks(1);
	assert_int_equal(fake_inb(&f, 0x42), 0x1f);
	/* A latch holds until it is read; later ones count for nothing. */
	cw(0xb4);
	put(2, 0x1234);
	clocks(1);
	cw(0x80);
	clocks(0x10);
	cw(0x80);
	assert_int_equal(fake_inb(&f, 0x42), 0x34);
	fake_save_load(&f);
	clocks(1);
	cw(0x80);
	assert_int_equal(fake_inb(&f, 0x42), 0x12);
	assert_int_equal(fake_inb(&f, 0x42), 0x23);
	assert_int_equal(fake_inb(&f, 0x42), 0x12);
	/* A control word forgets latches and half a count. */
	cw(0x80);
	fake_outb(&f, 0x42, 0x55);
	cw(0xb4);
	put(2, 0x4321);
	clocks(1);
	assert_int_equal(fake_inb(&f, 0x42), 0x21);
	assert_int_equal(fake_inb(&f, 0x42), 0x43);
	/* 0 is 65536. */
	cw(0xb4);
	put(2, 0);
	clocks(1);
	assert_int_equal(count(2), 0);
	clocks(1);
	assert_int_equal(count(2), 0xffff);
	clocks(0xfffe);
	assert_int_equal(count(2), 1);
	assert_false(out(2));
	clocks(1);
	assert_int_equal(count(2), 0);
	assert_true(out(2));
}

static void bcd(void **state)
{
	gate2(true);
	cw(0xb5);
	put(2, 0x1000);
	clocks(1);
	assert_int_equal(count(2), 0x1000);
	clocks(1);
	assert_int_equal(count(2), 0x0999);
	clocks(998);
	assert_int_equal(count(2), 0x0001);
	assert_false(out(2));
	clocks(1);
	assert_int_equal(count(2), 0x1000);
	cw(0xb1);
	put(2, 0);
	clocks(1);
	assert_int_equal(count(2), 0x0000);
	clocks(1);
	assert_int_equal(count(2), 0x9999);
	clocks(9998);
	assert_false(out(2));
	clocks(1);
	assert_true(out(2));
	clocks(1);
	assert_int_equal(count(2), 0x9999);
	cw(0xb1);
	put(2, 0xffff);
	clocks(1);
	assert_int_equal(count(2), 0x6665);
}

static void read_back(void **state)
{
	gate2(true);
	cw(0x34);
	cw(0x54);
	cw(0xb6);
	put(0, 1000);
	fake_outb(&f, 0x41, 18);
	put(2, 500);
	clocks(11);
	/* All three at once. */
	cw(0xde);
	clocks(100);
	assert_int_equal(word(0), 990);
	assert_int_equal(fake_inb(&f, 0x41), 8);
	assert_int_equal(word(2), 480);
	/* Status comes first, the first one that was latched. */
	cw(0xc2);
	clocks(1);
	put(0, 7);
	cw(0xe2);
	assert_int_equal(fake_inb(&f, 0x40), 0xb4);
	assert_int_equal(word(0), 890);
	assert_int_equal(status(0), 0xf4);
	/* None selected, and nothing asked for. */
	cw(0xc0);
	cw(0xfe);
	assert_int_equal(fake_inb(&f, 0x41), (uint8_t)(18 - (112 - 1) % 18));
}

static void interrupt(void **state)
{
	uint64_t at;
	unsigned n;

	/* What a BIOS sets: 18.2 Hz. */
	cw(0x36);
	assert_true(pit->line[0]);
	put(0, 0);
	n = pit->rises[0];
	fake_step(&f, 10 * S);
	assert_int_equal(pit->rises[0] - n, 182);
	fake_save_load(&f);
	/* What Linux sets: 250 Hz, one interrupt every 4772 clocks. */
	cw(0x34);
	put(0, 4772);
	n = pit->rises[0];
	for (unsigned i = 0; i < 250; i++) {
		at = pit->deadline[0];
		assert_true(at != UINT64_MAX);
		fake_step(&f, at - f.now_ns - 1);
		assert_int_equal(pit->rises[0], n + i);
		if (i % 50 == 0)
			fake_save_load(&f);
		fake_step(&f, 1);
		assert_int_equal(pit->rises[0], n + i + 1);
		assert_true(pit->line[0]);
	}
	/* Many that were missed are one. */
	n = pit->rises[0];
	f.now_ns += S;
	assert_int_equal(pit->rises[0], n);
	fake_step(&f, 0);
	assert_int_equal(pit->rises[0], n + 1);
	f.now_ns += S;
	fake_save_load(&f);
	fake_read(&f, DEV_PIO, 0x61, 1);
	assert_int_equal(pit->rises[0], n + 2);
	/* One shot, as Linux has it for a clock event device; then it is silent. */
	cw(0x38);
	assert_true(pit->line[0]);
	n = pit->rises[0];
	put(0, 1193);
	assert_int_equal((pit->deadline[0] - f.now_ns) / 1000000, 1);
	fake_step(&f, S);
	assert_int_equal(pit->rises[0], n + 1);
	assert_true(pit->deadline[0] == UINT64_MAX);
	cw(0x30);
	assert_false(pit->line[0]);
	put(0, 100);
	fake_step(&f, S);
	assert_int_equal(pit->rises[0], n + 2);
	assert_true(pit->deadline[0] == UINT64_MAX);
	/* The gates of 0 and 1 are high: modes 1 and 5 never start. */
	cw(0x32);
	put(0, 100);
	assert_true(pit->deadline[0] == UINT64_MAX);
	cw(0x3a);
	put(0, 100);
	assert_true(pit->deadline[0] == UINT64_MAX);
	/* Counts of 1. */
	cw(0x36);
	put(0, 1);
	assert_true(pit->deadline[0] == UINT64_MAX);
	cw(0x34);
	put(0, 1);
	assert_true(pit->deadline[0] == UINT64_MAX);
	n = pit->rises[0];
	fake_step(&f, S);
	put(0, 1000);
	fake_step(&f, S);
	assert_int_equal(pit->rises[0], n + 1194);
	/* Reset ends it. */
	pit->cls->reset(dev);
	assert_false(pit->line[0]);
	assert_true(pit->deadline[0] == UINT64_MAX);
}

/* Each rise of OUT is one of the line, for all modes and counts, with accesses at odd times. */
static void all_rises(void **state)
{
	for (unsigned m = 0; m < 6; m++) {
		for (unsigned c = 1; c < 12; c++) {
			unsigned n, rises = 0;
			bool was;

			cw((uint8_t)(0x30 | m << 1));
			put(0, (uint16_t)c);
			was = pit->line[0];
			n = pit->rises[0];
			for (unsigned i = 0; i < 100; i++) {
				bool now;

				if (i == 50)
					put(0, (uint16_t)(12 - c));
				clocks(1);
				now = out(0);
				assert_int_equal(pit->line[0], now);
				rises += now && !was;
				was = now;
			}
			/* A new count of mode 0 takes OUT low at once. */
			assert_int_equal(pit->rises[0] - n, rises);
		}
	}
}

/* Without looking, the line rises as often. */
static void unseen_rises(void **state)
{
	static const struct {
		uint8_t cw;
		uint16_t count;
		unsigned per; /* clocks a rise */
	} t[] = { { 0x34, 2, 2 },
		  { 0x34, 100, 100 },
		  { 0x36, 2, 2 },
		  { 0x36, 3, 3 },
		  { 0x36, 101, 101 } };

	for (unsigned i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		unsigned n;

		cw(t[i].cw);
		put(0, t[i].count);
		n = pit->rises[0];
		clocks(1 + t[i].per * 1000);
		assert_int_equal(pit->rises[0] - n, 1000);
	}
}

static void port61(void **state)
{
	unsigned changes = 0;
	uint8_t was = 0;

	/* What is written stays; the rest is the chip's. */
	fake_outb(&f, 0x61, 0xff);
	assert_int_equal(fake_inb(&f, 0x61) & 0xef, 0x0f);
	fake_outb(&f, 0x61, 0x02);
	assert_int_equal(fake_inb(&f, 0x61) & 0xef, 0x02);
	/* Bit 4 changes every 15 us, for delay loops. */
	for (unsigned i = 0; i < 1000; i++) {
		uint8_t v = fake_inb(&f, 0x61) & 0x10;

		changes += v != was;
		was = v;
		fake_step(&f, 1000);
	}
	assert_in_range(changes, 65, 67);
	/* How Linux times the processor: mode 0, gate on, until OUT is high. */
	fake_outb(&f, 0x61, (fake_inb(&f, 0x61) & ~0x02) | 0x01);
	cw(0xb0);
	put(2, 59659);
	fake_step(&f, 49999000);
	assert_int_equal(fake_inb(&f, 0x61) & 0x20, 0);
	fake_save_load(&f);
	fake_step(&f, 3000);
	assert_int_equal(fake_inb(&f, 0x61) & 0x20, 0x20);
	pit->cls->reset(dev);
	assert_int_equal(fake_inb(&f, 0x61) & 0xef, 0);
}

static void late(void **state)
{
	/* After years, and no overflow. */
	f.now_ns = 1ull << 60;
	cw(0x36);
	put(0, 1000);
	fake_step(&f, S);
	assert_in_range(pit->rises[0], 1193, 1195);
	gate2(true);
	cw(0xb6);
	put(2, 3);
	f.now_ns += 1ull << 60;
	fake_read(&f, DEV_PIO, 0x61, 1);
	assert_in_range(pit->rises[0], 1194, 1196);
}

static void bad_state(void **state)
{
	uint8_t *s = (uint8_t *)dev + pit->cls->state_off;

	cw(0x34);
	put(0, 1000);
	gate2(true);
	cw(0xb6);
	put(2, 1001);
	for (size_t i = 0; i < pit->cls->state_size; i++) {
		uint8_t was = s[i];

		for (unsigned v = 0; v < 256; v += 0x55) {
			s[i] = (uint8_t)v;
			if (pit->cls->loaded(dev))
				assert_int_equal(status(2), 0x70);
			assert_true(pit->cls->sane(dev));
			fake_step(&f, 100000);
			for (unsigned p = 0; p < 3; p++)
				fake_read(&f, DEV_PIO, 0x40 + p, 1);
		}
		s[i] = was;
		pit->cls->loaded(dev);
	}
	memset(s, 0xff, pit->cls->state_size);
	assert_int_equal(pit->cls->loaded(dev), -1);
	assert_int_equal(fake_inb(&f, 0x61) & 0xef, 0);
}

static void hostile(void **state)
{
	uint32_t x = 9;

	for (unsigned i = 0; i < 100000; i++) {
		x = x * 1664525 + 1013904223;
		switch (x >> 29) {
		case 0:
		case 1: cw(x >> 8 & 0xff); break;
		case 2: fake_outb(&f, 0x61, x >> 8 & 0xff); break;
		case 3: fake_read(&f, DEV_PIO, 0x40 + (x >> 8 & 3), 1); break;
		/* Interrupts at 600 kHz for long would take long. */
		case 4: fake_step(&f, x & 0xffff); break;
		default:
			fake_outb(&f, 0x40 + (x >> 8) % 3,
				  x & 0x10000 ? x >> 20 & 0xff : x >> 20 & 7);
		}
		if (i % 1000 == 0) {
			fake_save_load(&f);
			f.now_ns += (uint64_t)x << 16;
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(power_on, setup, teardown),
		cmocka_unit_test_setup_teardown(mode0, setup, teardown),
		cmocka_unit_test_setup_teardown(mode1, setup, teardown),
		cmocka_unit_test_setup_teardown(mode2, setup, teardown),
		cmocka_unit_test_setup_teardown(mode3, setup, teardown),
		cmocka_unit_test_setup_teardown(mode4, setup, teardown),
		cmocka_unit_test_setup_teardown(mode5, setup, teardown),
		cmocka_unit_test_setup_teardown(bytes, setup, teardown),
		cmocka_unit_test_setup_teardown(bcd, setup, teardown),
		cmocka_unit_test_setup_teardown(read_back, setup, teardown),
		cmocka_unit_test_setup_teardown(interrupt, setup, teardown),
		cmocka_unit_test_setup_teardown(all_rises, setup, teardown),
		cmocka_unit_test_setup_teardown(unseen_rises, setup, teardown),
		cmocka_unit_test_setup_teardown(port61, setup, teardown),
		cmocka_unit_test_setup_teardown(late, setup, teardown),
		cmocka_unit_test_setup_teardown(bad_state, setup, teardown),
		cmocka_unit_test_setup_teardown(hostile, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
