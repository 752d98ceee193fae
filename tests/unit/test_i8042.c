/* SPDX-License-Identifier: BSD-2-Clause */
/* Register scripts for the keyboard controller and its devices. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "fake_host.h"
#include "models/i8042/i8042.h"

static struct fake f;
static struct dev_host *kbc;

static int setup(void **state)
{
	fake_init(&f);
	kbc = fake_host_of(&f, fake_add(&f, &i8042_class, NULL, -1));
	return 0;
}

static int setup_mouse(void **state)
{
	struct i8042_cfg cfg = { .mouse = true };

	fake_init(&f);
	kbc = fake_host_of(&f, fake_add(&f, &i8042_class, &cfg, -1));
	return 0;
}

static int teardown(void **state)
{
	fake_free(&f);
	return 0;
}

static uint8_t status(void)
{
	return fake_inb(&f, 0x64);
}

static void command(uint8_t c)
{
	fake_outb(&f, 0x64, c);
}

static void data(uint8_t b)
{
	fake_outb(&f, 0x60, b);
}

static void expect(uint8_t b)
{
	assert_int_equal(status() & 0x21, 0x01);
	assert_int_equal(fake_inb(&f, 0x60), b);
}

static void expect_aux(uint8_t b)
{
	assert_int_equal(status() & 0x21, 0x21);
	assert_int_equal(fake_inb(&f, 0x60), b);
}

static void expect_none(void)
{
	assert_int_equal(status() & 0x21, 0);
}

static void write_ctr(uint8_t v)
{
	command(0x60);
	data(v);
}

/* What SeaBIOS does before it boots. */
static void seabios(void **state)
{
	expect_none();
	command(0xaa);
	assert_int_equal(status(), 0x1d);
	expect(0x55);
	command(0xab);
	expect(0x00);
	write_ctr(0x30);
	assert_int_equal(status(), 0x10);
	write_ctr(0x20);
	data(0xff);
	expect(0xfa);
	expect(0xaa);
	expect_none();
	write_ctr(0x30);
	write_ctr(0x20);
	data(0xf5);
	expect(0xfa);
	data(0xf0);
	expect(0xfa);
	data(0x02);
	expect(0xfa);
	fake_save_load(&f);
	/* Both tests' answers, with interrupts on after reset. */
	assert_int_equal(kbc->rises[0], 2);
	write_ctr(0x61);
	data(0xf4);
	assert_true(kbc->line[0]);
	fake_save_load(&f);
	assert_true(kbc->line[0]);
	expect(0xfa);
	assert_false(kbc->line[0]);
	expect_none();
	/* A mouse driver under DOS is told at once that there is none. */
	command(0xd4);
	data(0xff);
	expect_aux(0xfe);
}

/* Linux's search for the auxiliary port ends without a wait. */
static void linux_without_mouse(void **state)
{
	write_ctr(0x61);
	command(0x20);
	expect(0x61);
	write_ctr(0x70);
	command(0xd3);
	data(0x5a);
	assert_int_equal(status() & 0x21, 0x01); /* not marked: an error; the byte is left there */
	command(0xa9);
	expect(0x01);
	expect_none();
	command(0xa8);
	command(0xa7);
	command(0x20);
	expect(0x70);
	write_ctr(0x61);
	/* atkbd */
	data(0xf2);
	expect(0xfa);
	expect(0xab);
	expect(0x41); /* 83h, translated */
	data(0xed);
	expect(0xfa);
	data(0x00);
	expect(0xfa);
	data(0xf3);
	expect(0xfa);
	data(0x00);
	expect(0xfa);
	expect_none();
	assert_int_equal(kbc->rises[1], 0);
}

static void commands(void **state)
{
	command(0x20);
	expect(0x03);
	expect_none();
	assert_int_equal(fake_inb(&f, 0x60), 0x03); /* the last byte again */
	command(0x7f);
	data(0xa5);
	command(0x3f);
	expect(0xa5);
	command(0xa4);
	expect(0xf1);
	command(0xc0);
	expect(0x80);
	command(0xe0);
	expect(0x00);
	command(0xac);
	expect_none();
	/* A20 */
	command(0xd0);
	expect(0xcf);
	command(0xdd);
	command(0xd0);
	expect(0xcd);
	command(0xdf);
	command(0xd1);
	data(0xdf); /* as GRUB and old Linux: keep out of reset, A20 on */
	command(0xd2);
	data(0x77);
	command(0xd0);
	expect(0xdf);
	assert_false(f.was_reset);
	/* A command in place of a data byte. */
	command(0xd1);
	command(0xad);
	command(0x20);
	expect(0x13);
	command(0xae);
	command(0x20);
	expect(0x03);
	/* Reset: pulses that leave bit 0 alone, one that does not, the output port. */
	command(0xff);
	command(0xfd);
	assert_false(f.was_reset);
	command(0xfe);
	assert_true(f.was_reset);
	f.was_reset = false;
	command(0xd1);
	data(0x02);
	assert_true(f.was_reset);
	fake_save_load(&f);
	kbc->cls->reset(kbc->dev);
	command(0xd0);
	expect(0xcf);
}

static void keyboard(void **state)
{
	write_ctr(0x01);
	data(0xee);
	expect(0xee);
	data(0xf2);
	fake_save_load(&f);
	/* A byte is an edge. */
	assert_int_equal(kbc->rises[0], 2);
	expect(0xfa);
	assert_int_equal(kbc->rises[0], 3);
	data(0xfe); /* resend comes behind what waits already */
	expect(0xab);
	expect(0x83);
	expect(0xab);
	data(0xf0);
	expect(0xfa);
	data(0x00);
	expect(0xfa);
	expect(0x02);
	for (uint8_t set = 1; set <= 3; set++) {
		data(0xf0);
		expect(0xfa);
		data(set);
		expect(0xfa);
		data(0xf0);
		expect(0xfa);
		data(0);
		expect(0xfa);
		write_ctr(0x40);
		assert_int_equal(fake_inb(&f, 0x60), set); /* was there before the translation */
		write_ctr(0x50);
		data(0xf0);
		expect(0xfa);
		data(0);
		expect(0xfa);
		expect(set == 1 ? 0x43 : set == 2 ? 0x41 : 0x3f);
		write_ctr(0x01);
	}
	data(0xf0);
	expect(0xfa);
	data(0x04);
	expect(0xfe);
	/* A list of keys of set 3, ended by another command. */
	data(0xfb);
	expect(0xfa);
	data(0x10);
	expect(0xfa);
	data(0x11);
	expect(0xfa);
	data(0xf6);
	expect(0xfa);
	data(0xf8);
	expect(0xfa);
	data(0x55);
	expect(0xfe);
	/* LEDs, broken off. */
	data(0xed);
	expect(0xfa);
	data(0xf4);
	expect(0xfa);
	/* Switched off, the keyboard waits; an answer of the controller does not. */
	data(0xf2);
	command(0xad);
	expect(0xfa);
	expect_none();
	command(0x20);
	expect(0x11);
	command(0xae);
	command(0x20);
	expect(0xab);
	expect(0x11 & ~0x10);
	expect(0x83);
	/* It can't be filled beyond its buffer. */
	for (unsigned i = 0; i < 40; i++)
		data(0xf2);
	for (unsigned i = 0; i < 16; i++)
		(void)fake_inb(&f, 0x60);
	expect_none();
}

static void mouse(void **state)
{
	static const uint8_t reset[] = { 0xfa, 0xaa, 0x00 };

	write_ctr(0x77);
	/* Linux's tests of the port, with its interrupt. */
	command(0xd3);
	data(0x5a);
	expect_aux(0x5a);
	command(0xa8);
	command(0x20);
	expect(0x57);
	command(0xa7);
	command(0x20);
	expect(0x77);
	command(0xa9);
	expect(0x00);
	kbc->rises[1] = 0;
	command(0xd3);
	data(0xa5);
	assert_true(kbc->line[1] && !kbc->line[0]);
	command(0xd0);
	expect(0xef);
	command(0xd4);
	data(0xff);
	fake_save_load(&f);
	for (unsigned i = 0; i < 3; i++)
		expect_aux(reset[i]);
	assert_int_equal(kbc->rises[1], 4);
	command(0xd4);
	data(0xf2);
	expect_aux(0xfa);
	expect_aux(0x00);
	for (unsigned i = 0; i < 7; i++) {
		static const uint8_t sent[] = { 0xe8, 0x03, 0xf3, 0x50, 0xe7, 0xf4, 0xf0 };

		command(0xd4);
		data(sent[i]);
		expect_aux(0xfa);
	}
	fake_save_load(&f);
	command(0xd4);
	data(0xe9);
	expect_aux(0xfa);
	expect_aux(0x70);
	expect_aux(0x03);
	expect_aux(0x50);
	for (unsigned i = 0; i < 3; i++) {
		static const uint8_t sent[] = { 0xe6, 0xea, 0xf5 };

		command(0xd4);
		data(sent[i]);
		expect_aux(0xfa);
	}
	command(0xd4);
	data(0xe9);
	expect_aux(0xfa);
	expect_aux(0x00);
	/* A new command throws away the rest of the last answer. */
	command(0xd4);
	data(0xeb);
	expect_aux(0x03);
	expect_aux(0xfa);
	expect_aux(0x08);
	expect_aux(0x00);
	command(0xd4);
	data(0xfe);
	expect_aux(0x00);
	expect_aux(0x00);
	command(0xd4);
	data(0x12);
	expect_aux(0xfe);
	command(0xd4);
	data(0xf6);
	expect_aux(0xfa);
	expect_none();
	/* The keyboard goes first. */
	command(0xd4);
	data(0xe9);
	data(0xee);
	expect_aux(0xfa);
	expect(0xee);
	expect_aux(0x00);
}

static void bad_state(void **state)
{
	memset((uint8_t *)kbc->dev + kbc->cls->state_off, 0xff, kbc->cls->state_size);
	assert_false(kbc->cls->sane(kbc->dev));
	assert_int_equal(kbc->cls->loaded(kbc->dev), -1);
	assert_true(kbc->cls->sane(kbc->dev));
	expect_none();
}

static void hostile(void **state)
{
	uint32_t x = 9;

	for (unsigned i = 0; i < 100000; i++) {
		x = x * 1664525 + 1013904223;
		switch (x >> 30) {
		case 0: command(x >> 8 & 0xff); break;
		case 1: data(x >> 8 & 0xff); break;
		case 2: command(0xd4); break;
		case 3: (void)fake_inb(&f, 0x60); break;
		}
		if (i % 256 == 0)
			fake_save_load(&f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(seabios, setup, teardown),
		cmocka_unit_test_setup_teardown(linux_without_mouse, setup, teardown),
		cmocka_unit_test_setup_teardown(commands, setup, teardown),
		cmocka_unit_test_setup_teardown(keyboard, setup, teardown),
		cmocka_unit_test_setup_teardown(mouse, setup_mouse, teardown),
		cmocka_unit_test_setup_teardown(bad_state, setup, teardown),
		cmocka_unit_test_setup_teardown(hostile, setup, teardown),
		cmocka_unit_test_setup_teardown(hostile, setup_mouse, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
