/* SPDX-License-Identifier: BSD-2-Clause */
/* Register scripts for the PIIX4's power management, from data sheet 290562, chapter 7. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "fake_host.h"
#include "models/pm/piix4_pm.h"

#define DEVFN 0x0bu
#define BASE  0x600u

static struct fake f;
static struct dev_host *pm;

static int setup(void **state)
{
	fake_init(&f);
	pm = fake_host_of(&f, fake_add(&f, &piix4_pm_class, NULL, DEVFN));
	/* As SeaBIOS does. */
	fake_cfg_write(&f, DEVFN, 0x40, 4, BASE | 1);
	fake_cfg_write(&f, DEVFN, 0x80, 1, 1);
	return 0;
}

static int teardown(void **state)
{
	fake_free(&f);
	return 0;
}

static void config(void **state)
{
	assert_int_equal(fake_cfg_read(&f, DEVFN, 0, 4), 0x71138086);
	assert_int_equal(fake_cfg_read(&f, DEVFN, 8, 4), 0x06800003);
	assert_int_equal(fake_cfg_read(&f, DEVFN, 0x3c, 2), 0x0109);
	assert_int_equal(fake_cfg_read(&f, DEVFN, 0x5b, 1), 0x02);
	assert_int_equal(pm->base[0], BASE);
	fake_cfg_write(&f, DEVFN, 0x40, 4, 0xffffffff);
	assert_int_equal(fake_cfg_read(&f, DEVFN, 0x40, 4), 0xffc1);
	assert_int_equal(pm->base[0], 0xffc0);
	fake_cfg_write(&f, DEVFN, 0x41, 1, 0xb0);
	assert_int_equal(pm->base[0], 0xb0c0);
	fake_save_load(&f);
	assert_int_equal(pm->base[0], 0xb0c0);
	fake_cfg_write(&f, DEVFN, 0x80, 1, 0xfe);
	assert_true(pm->base[0] == DEV_UNPLACED);
	fake_cfg_write(&f, DEVFN, 0x80, 1, 0xff);
	assert_int_equal(fake_cfg_read(&f, DEVFN, 0x80, 1), 1);
	fake_cfg_write(&f, DEVFN, 0x40, 4, 0);
	assert_true(pm->base[0] == DEV_UNPLACED);
	fake_cfg_write(&f, DEVFN, 0x90, 4, 0x701);
	fake_cfg_write(&f, DEVFN, 0xd2, 1, 0x09);
	assert_int_equal(fake_cfg_read(&f, DEVFN, 0x90, 4), 0x701);
	assert_int_equal(fake_cfg_read(&f, DEVFN, 0xd2, 1), 0x09);
	fake_cfg_write(&f, DEVFN, 0x5b, 1, 0);
	pm->cls->reset(pm->dev);
	assert_int_equal(fake_cfg_read(&f, DEVFN, 0x5b, 1), 0x02);
	assert_int_equal(fake_cfg_read(&f, DEVFN, 0x40, 4), 1);
	assert_true(pm->base[0] == DEV_UNPLACED);
}

static void timer(void **state)
{
	assert_int_equal(fake_inl(&f, BASE + 8), 0);
	fake_step(&f, 1000000000);
	assert_int_equal(fake_inl(&f, BASE + 8), 3579545);
	fake_step(&f, 279);
	assert_int_equal(fake_inl(&f, BASE + 8), 3579545);
	fake_step(&f, 1);
	assert_int_equal(fake_inl(&f, BASE + 8), 3579546);
	assert_int_equal(fake_inb(&f, BASE + 9), 3579546 >> 8 & 0xff);
	fake_outl(&f, BASE + 8, 0);
	assert_int_equal(fake_inl(&f, BASE + 8), 3579546);
	/* 24 bits; read-only; exact after 500 years. */
	f.now_ns = 500ull * 365 * 86400 * 1000000000;
	assert_int_equal(fake_inl(&f, BASE + 8), 500ull * 365 * 86400 * 3579545 & 0xffffff);
	f.now_ns = UINT64_MAX - 5000000000;
	fake_outw(&f, BASE, 0xffff);
	(void)fake_inl(&f, BASE + 8);
}

static void overflow(void **state)
{
	/* Bit 23 changes after 2^23 ticks = 2.343484 s. */
	assert_true(pm->deadline[0] == UINT64_MAX);
	fake_step(&f, 2343482000);
	assert_int_equal(fake_inw(&f, BASE), 0);
	fake_step(&f, 5000);
	assert_int_equal(fake_inl(&f, BASE + 8),
			 0x800000 + ((f.now_ns * 3579545 / 1000000000) & 0xffff));
	fake_save_load(&f);
	assert_int_equal(fake_inw(&f, BASE), 1);
	fake_outw(&f, BASE, 1);
	assert_int_equal(fake_inw(&f, BASE), 0);
	/* Enabled without SCI_EN: nothing. */
	fake_outw(&f, BASE + 2, 1);
	assert_true(pm->deadline[0] == UINT64_MAX);
	fake_outb(&f, 0xb2, 0xf1);
	assert_int_equal(fake_inw(&f, BASE + 4), 1);
	assert_true(pm->deadline[0] > f.now_ns && pm->deadline[0] < f.now_ns + 2400000000);
	fake_save_load(&f);
	fake_step(&f, 2343000000);
	assert_false(pm->line[0]);
	fake_step(&f, 1000000);
	assert_true(pm->line[0]);
	assert_true(pm->deadline[0] == UINT64_MAX);
	assert_int_equal(fake_inl(&f, BASE), 0x00010001);
	fake_save_load(&f);
	assert_true(pm->line[0]);
	fake_outl(&f, BASE, 0x00010001);
	assert_false(pm->line[0]);
	assert_int_equal(pm->rises[0], 1);
	for (unsigned i = 0; i < 5; i++) {
		fake_step(&f, 2343485000);
		assert_true(pm->line[0]);
		fake_outb(&f, BASE, 1);
		assert_false(pm->line[0]);
	}
}

static void power_button(void **state)
{
	pm->cls->line(pm->dev, 1, true);
	pm->cls->line(pm->dev, 0, true);
	assert_int_equal(fake_inw(&f, BASE), 0x100);
	assert_false(pm->line[0]);
	fake_outw(&f, BASE + 2, 0xffff);
	assert_int_equal(fake_inw(&f, BASE + 2), 0x521);
	assert_false(pm->line[0]);
	fake_outb(&f, BASE + 4, 1);
	assert_true(pm->line[0]);
	fake_save_load(&f);
	/* Kept pressed: not a second event. */
	fake_outw(&f, BASE, 0x100);
	pm->cls->line(pm->dev, 0, true);
	assert_false(pm->line[0]);
	pm->cls->line(pm->dev, 0, false);
	pm->cls->line(pm->dev, 0, true);
	assert_true(pm->line[0]);
	fake_outb(&f, 0xb2, 0xf0);
	assert_false(pm->line[0]);
	assert_int_equal(fake_inw(&f, BASE + 4), 0);
}

static void soft_off(void **state)
{
	fake_outw(&f, BASE + 4, 0x3401); /* another sleeping type */
	assert_false(f.was_poweroff);
	assert_int_equal(fake_inw(&f, BASE + 4), 0x1401);
	fake_save_load(&f);
	fake_outw(&f, BASE + 4, 0x0001);
	assert_false(f.was_poweroff);
	fake_outb(&f, BASE + 5, 0x20);
	assert_true(f.was_poweroff);
	f.was_poweroff = false;
	fake_outw(&f, BASE + 4, 0x2001);
	assert_true(f.was_poweroff);
	assert_int_equal(fake_inw(&f, BASE + 4), 1);
}

static void other_ports(void **state)
{
	fake_outb(&f, 0xb2, 0x55);
	fake_outb(&f, 0xb3, 0xaa);
	assert_int_equal(fake_inw(&f, 0xb2), 0xaa55);
	assert_int_equal(fake_inw(&f, BASE + 4), 0);
	fake_outl(&f, 0xafe0, 0x1234ffff);
	assert_int_equal(fake_inl(&f, 0xafe0), 0x12340000);
	fake_save_load(&f);
	assert_int_equal(fake_inb(&f, 0xafe3), 0x12);
	fake_outl(&f, BASE + 0x28, 0xffffffff);
	assert_int_equal(fake_inl(&f, BASE + 0x28), 0);
	/* Across two registers, unaligned. */
	fake_write(&f, DEV_PIO, BASE + 3, 2, 0x0105);
	assert_int_equal(fake_inl(&f, BASE), 0x05000000);
	assert_int_equal(fake_inb(&f, BASE + 4), 1);
}

static void bad_state(void **state)
{
	uint8_t *s = (uint8_t *)pm->dev + pm->cls->state_off;

	memset(s, 0xff, pm->cls->state_size);
	assert_false(pm->cls->sane(pm->dev));
	assert_int_equal(pm->cls->loaded(pm->dev), -1);
	assert_true(pm->cls->sane(pm->dev));
	assert_true(pm->base[0] == DEV_UNPLACED);
	assert_int_equal(fake_cfg_read(&f, DEVFN, 0, 4), 0x71138086);
}

static void hostile(void **state)
{
	uint32_t x = 7;

	for (unsigned i = 0; i < 20000; i++) {
		x = x * 1664525 + 1013904223;
		if (x >> 30 == 0)
			fake_cfg_write(&f, DEVFN, (x >> 8 & 0xff) & ~3u, 1u << (x >> 16) % 3,
				       x ^ x >> 9);
		else if (x >> 30 == 1)
			fake_write(&f, DEV_PIO, 0xafe0 + (x >> 8 & 3), 1, x);
		else if (pm->base[0] != DEV_UNPLACED)
			fake_write(&f, DEV_PIO, pm->base[0] + (x >> 8 & 63), 1u << (x >> 16) % 3,
				   x ^ x >> 9);
		fake_step(&f, x & 0xffffff);
	}
	fake_save_load(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(config, setup, teardown),
		cmocka_unit_test_setup_teardown(timer, setup, teardown),
		cmocka_unit_test_setup_teardown(overflow, setup, teardown),
		cmocka_unit_test_setup_teardown(power_button, setup, teardown),
		cmocka_unit_test_setup_teardown(soft_off, setup, teardown),
		cmocka_unit_test_setup_teardown(other_ports, setup, teardown),
		cmocka_unit_test_setup_teardown(bad_state, setup, teardown),
		cmocka_unit_test_setup_teardown(hostile, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
