/* SPDX-License-Identifier: BSD-2-Clause */
/* Register scripts for the clock, from the MC146818A data sheet. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>
#include <time.h>

#include "fake_host.h"
#include "models/rtc/rtc.h"

#define S  1000000000ull
#define MS 1000000ull

static struct fake f;
static struct dev_host *rtc;

static int setup(void **state)
{
	static const struct rtc_cfg cfg = {
		.ram_low = 3u << 30,
		.ram_high = 0x123450000,
		.n_vcpus = 4,
		.equipment = 0x02,
		.boot = { RTC_BOOT_DISK, RTC_BOOT_CD, RTC_BOOT_NET },
	};

	fake_init(&f); /* 2023-11-14 22:13:20, a Tuesday */
	rtc = fake_host_of(&f, fake_add(&f, &rtc_class, &cfg, -1));
	return 0;
}

static int teardown(void **state)
{
	fake_free(&f);
	return 0;
}

static uint8_t get(unsigned reg)
{
	fake_outb(&f, 0x70, reg);
	return fake_inb(&f, 0x71);
}

static void set(unsigned reg, uint8_t v)
{
	fake_outb(&f, 0x70, reg | 0x80);
	fake_outb(&f, 0x71, v);
}

/* Hours, minutes and seconds as one number, as the registers have them. */
static unsigned hms(void)
{
	return (unsigned)get(4) << 16 | get(2) << 8 | get(0);
}

static unsigned ymd(void)
{
	return (unsigned)get(0x32) << 24 | (unsigned)get(9) << 16 | get(8) << 8 | get(7);
}

static void set_all(const uint8_t v[8])
{
	static const uint8_t reg[8] = { 0x32, 9, 8, 7, 6, 4, 2, 0 };
	uint8_t b = get(0xb);

	set(0xb, b | 0x80);
	for (unsigned i = 0; i < 8; i++)
		set(reg[i], v[i]);
	set(0xb, b);
}

static void memory(void **state)
{
	assert_int_equal(fake_inb(&f, 0x70), 0xff);
	assert_int_equal(get(0xa), 0x26);
	assert_int_equal(get(0xb), 0x02);
	assert_int_equal(get(0xd), 0x80);
	assert_int_equal(get(0x14), 0x02);
	assert_int_equal(get(0x15) | get(0x16) << 8, 640);
	assert_int_equal(get(0x17) | get(0x18) << 8, 0xffff);
	assert_int_equal(get(0x30) | get(0x31) << 8, 0xffff);
	assert_int_equal(get(0x34) | get(0x35) << 8, (3 * 1024 - 16) * 16);
	assert_int_equal(get(0x5b) | get(0x5c) << 8 | get(0x5d) << 16, 0x12345);
	assert_int_equal(get(0x5f), 3);
	assert_int_equal(get(0x38), 0x40);
	assert_int_equal(get(0x3d), 0x32);
	assert_int_equal(get(0x2e) << 8 | get(0x2f), 0x02 + 0x80 + 0x02 + 0xff + 0xff);
	set(0x7f, 0x5a);
	set(0xd, 0);
	set(0xc, 0xff);
	set(0xf, 0x0a);
	fake_save_load(&f);
	rtc->cls->reset(rtc->dev);
	assert_int_equal(get(0x7f), 0x5a);
	assert_int_equal(get(0xf), 0x0a);
	assert_int_equal(get(0xd), 0x80);
	assert_int_equal(get(0xc), 0);
}

static void small_ram(void **state)
{
	struct rtc_cfg cfg = { .ram_low = 8 << 20, .n_vcpus = 1 };
	struct dev_env env = { 0 };
	_Alignas(16) uint8_t mem[1024] = { 0 };

	fake_free(&f);
	fake_init(&f);
	rtc = fake_host_of(&f, fake_add(&f, &rtc_class, &cfg, -1));
	assert_int_equal(get(0x30) | get(0x31) << 8, 7 * 1024);
	assert_int_equal(get(0x34) | get(0x35) << 8, 0);
	cfg.n_vcpus = 0;
	assert_true(rtc_class.size <= sizeof(mem));
	assert_int_equal(rtc_class.init(mem, &env, &cfg), -1);
}

static void time_of_day(void **state)
{
	assert_int_equal(hms(), 0x221320);
	assert_int_equal(ymd(), 0x20231114);
	assert_int_equal(get(6), 3);
	fake_step(&f, 59 * S);
	fake_save_load(&f);
	assert_int_equal(hms(), 0x221419);
	/* 12-hour and binary forms of the same. */
	set(0xb, 0x00);
	assert_int_equal(hms(), 0x901419);
	set(0xb, 0x04);
	assert_int_equal(hms(), 0x8a0e13);
	assert_int_equal(ymd(), 0x14170b0e);
	set(0xb, 0x02);
	/* Just before midnight of the last day of the year. */
	set_all((const uint8_t[]){ 0x19, 0x99, 0x12, 0x31, 6, 0x23, 0x59, 0x58 });
	assert_int_equal(hms(), 0x235958);
	fake_step(&f, 2 * S);
	fake_save_load(&f);
	assert_int_equal(hms(), 0);
	assert_int_equal(ymd(), 0x20000101);
	assert_int_equal(get(6), 7);
	/* The reset signal doesn't touch the time. */
	rtc->cls->reset(rtc->dev);
	fake_step(&f, S);
	assert_int_equal(hms(), 1);
	/* Without SET, at once. */
	set(4, 0x12);
	set(2, 0x34);
	assert_int_equal(hms(), 0x123401);
	fake_step(&f, 60 * S);
	assert_int_equal(hms(), 0x123501);
	/* 12 AM and PM. */
	set(0xb, 0x00);
	assert_int_equal(get(4), 0x92);
	set(4, 0x12);
	assert_int_equal(get(4), 0x12);
	set(0xb, 0x02);
	assert_int_equal(get(4), 0x00);
}

/* Every month's end for leap and other years, against the C library. */
static void calendar(void **state)
{
	set(0xb, 0x06);
	for (unsigned year = 1899; year < 2405; year++) {
		for (unsigned m = 0; m < 12; m++) {
			struct tm tm = { .tm_year = (int)year - 1900,
					 .tm_mon = (int)m,
					 .tm_mday = 28,
					 .tm_hour = 23,
					 .tm_min = 59,
					 .tm_sec = 59 };
			time_t t = timegm(&tm);

			set_all((const uint8_t[]){ year / 100, year % 100, m + 1, 28, 1, 23, 59,
						   59 });
			for (unsigned day = 0; day < 4; day++, t += 86400) {
				gmtime_r(&t, &tm);
				assert_int_equal(get(7), tm.tm_mday);
				assert_int_equal(get(8), tm.tm_mon + 1);
				assert_int_equal(get(9) + get(0x32) * 100, tm.tm_year + 1900);
				assert_int_equal(get(6), tm.tm_wday + 1);
				assert_int_equal(hms(), 23 << 16 | 59 << 8 | 59);
				f.now_ns += 86400 * S;
			}
		}
	}
}

static void update_in_progress(void **state)
{
	unsigned up = 0, changes = 0;
	uint8_t last = get(0);

	assert_int_equal(get(0xa) & 0x80, 0);
	for (unsigned i = 0; i < 3000; i++) {
		fake_step(&f, MS);
		if (get(0xa) & 0x80)
			up++;
		if (get(0) != last) {
			/* Not up any more when the new time shows. */
			assert_int_equal(get(0xa) & 0x80, 0);
			last = get(0);
			changes++;
		}
	}
	assert_int_equal(changes, 3);
	assert_int_equal(up, 6); /* 2.228 ms each */
	/* Never while the clock is stopped. */
	set(0xb, 0x82);
	for (unsigned i = 0; i < 1100; i++) {
		fake_step(&f, MS);
		assert_int_equal(get(0xa) & 0x80, 0);
	}
	assert_int_equal(get(0), last);
}

static void stop_and_divider(void **state)
{
	unsigned at = hms();

	set(0xb, 0x92); /* SET takes UIE away */
	assert_int_equal(get(0xb), 0x82);
	fake_step(&f, 10 * S);
	fake_save_load(&f);
	assert_int_equal(hms(), at);
	set(0xb, 0x02);
	assert_int_equal(hms(), at);
	fake_step(&f, 10 * S);
	assert_int_equal(hms(), at + 0x10);
	/* As Linux sets the time: SET, divider reset, write, divider on, SET off. */
	fake_step(&f, 700 * MS);
	set(0xb, 0x82);
	set(0xa, 0x76);
	set(0, 0x00);
	set(2, 0x30);
	fake_step(&f, 3 * S);
	set(0xb, 0x02);
	set(0xa, 0x26);
	assert_int_equal(hms(), 0x223000);
	fake_save_load(&f);
	fake_step(&f, 499 * MS);
	assert_int_equal(hms(), 0x223000);
	assert_int_equal(get(0xa), 0xa6);
	fake_step(&f, 2 * MS);
	assert_int_equal(hms(), 0x223001);
	fake_step(&f, 998 * MS);
	assert_int_equal(hms(), 0x223001);
	fake_step(&f, 2 * MS);
	assert_int_equal(hms(), 0x223002);
	/* The divider alone, and let go while SET is on. */
	set(0xa, 0x60);
	fake_step(&f, 5 * S);
	assert_int_equal(hms(), 0x223002);
	set(0xb, 0x82);
	set(0xa, 0x26);
	fake_step(&f, 600 * MS);
	assert_int_equal(hms(), 0x223002);
	set(0xb, 0x02);
	fake_step(&f, 890 * MS);
	assert_int_equal(hms(), 0x223002);
	fake_step(&f, 20 * MS);
	assert_int_equal(hms(), 0x223003);
}

static void periodic(void **state)
{
	unsigned n = 0;

	/* Flags come whether enabled or not; no timer runs for them. */
	assert_true(rtc->deadline[0] == UINT64_MAX);
	fake_step(&f, 2 * MS);
	assert_int_equal(get(0xc), 0x40);
	assert_int_equal(get(0xc), 0);
	assert_false(rtc->line[0]);
	set(0xa, 0x2d); /* 8 Hz */
	set(0xb, 0x42);
	for (uint64_t end = f.now_ns + 9900 * MS; f.now_ns < end;) {
		assert_true(rtc->deadline[0] != UINT64_MAX);
		fake_step(&f, rtc->deadline[0] - f.now_ns);
		assert_true(rtc->line[0]);
		assert_true(rtc->deadline[0] == UINT64_MAX);
		if (n % 16 == 0)
			fake_save_load(&f);
		assert_int_equal(get(0xc) & 0xc0, 0xc0);
		assert_false(rtc->line[0]);
		n++;
	}
	assert_int_equal(n, 80);
	/* Missed periods are one interrupt. */
	n = rtc->rises[0];
	fake_step(&f, 5 * S);
	assert_int_equal(rtc->rises[0], n + 1);
	assert_int_equal(get(0xc), 0xd0);
	/* All rates. */
	for (unsigned rs = 1; rs < 16; rs++) {
		static const unsigned hz[16] = { 0,   256, 128, 8192, 4096, 2048, 1024, 512,
						 256, 128, 64,  32,   16,   8,    4,    2 };
		uint64_t at;

		set(0xa, 0x20 | rs);
		get(0xc);
		fake_step(&f, rtc->deadline[0] - f.now_ns);
		get(0xc);
		at = f.now_ns;
		for (unsigned i = 0; i < hz[rs]; i++) {
			fake_step(&f, rtc->deadline[0] - f.now_ns);
			assert_int_equal(get(0xc) & 0x40, 0x40);
		}
		assert_in_range(f.now_ns - at, S - 1, S + 1);
	}
	set(0xa, 0x20);
	get(0xc);
	assert_true(rtc->deadline[0] == UINT64_MAX);
	set(0xa, 0x66);
	assert_true(rtc->deadline[0] == UINT64_MAX);
	set(0xa, 0x26);
	assert_true(rtc->deadline[0] != UINT64_MAX);
	rtc->cls->reset(rtc->dev);
	assert_int_equal(get(0xb), 0x02);
	assert_true(rtc->deadline[0] == UINT64_MAX);
}

static void update_ended(void **state)
{
	fake_step(&f, 300 * MS);
	set(0xb, 0x12);
	assert_int_equal(rtc->deadline[0], S);
	fake_save_load(&f);
	assert_int_equal(rtc->deadline[0], S);
	fake_step(&f, 700 * MS);
	assert_true(rtc->line[0]);
	fake_save_load(&f);
	assert_true(rtc->line[0]);
	assert_int_equal(get(0xc) & 0xb0, 0x90);
	assert_false(rtc->line[0]);
	assert_int_equal(rtc->deadline[0], 2 * S);
	/* Disabling with the flag up lowers the line, enabling raises it. */
	fake_step(&f, S);
	set(0xb, 0x02);
	assert_false(rtc->line[0]);
	set(0xb, 0x12);
	assert_true(rtc->line[0]);
	set(0xb, 0x92);
	assert_false(rtc->line[0]);
}

static void alarm_at(uint8_t h, uint8_t m, uint8_t s)
{
	set(5, h);
	set(3, m);
	set(1, s);
	get(0xc);
}

static void alarms(void **state)
{
	set(0xb, 0x22);
	/* 22:13:20 now. */
	alarm_at(0x22, 0x15, 0x00);
	assert_int_equal(rtc->deadline[0], 100 * S);
	fake_save_load(&f);
	fake_step(&f, 100 * S - 1);
	assert_false(rtc->line[0]);
	fake_step(&f, 1);
	assert_true(rtc->line[0]);
	assert_int_equal(hms(), 0x221500);
	assert_int_equal(get(0xc) & 0xa0, 0xa0);
	/* The same tomorrow. */
	assert_int_equal(rtc->deadline[0], 86500 * S);
	alarm_at(0x22, 0x14, 0x59);
	assert_int_equal(rtc->deadline[0], 86499 * S);
	alarm_at(0xff, 0xc0, 0x05);
	assert_int_equal(rtc->deadline[0], 105 * S);
	alarm_at(0xff, 0xff, 0xff);
	assert_int_equal(rtc->deadline[0], 101 * S);
	alarm_at(0xff, 0x00, 0xff);
	assert_int_equal(rtc->deadline[0], 2800 * S);
	alarm_at(0x00, 0xff, 0xff);
	assert_int_equal(rtc->deadline[0], 6400 * S);
	/* No such time. */
	alarm_at(0x24, 0x00, 0x00);
	assert_true(rtc->deadline[0] == UINT64_MAX);
	alarm_at(0x22, 0x1a, 0x00);
	assert_true(rtc->deadline[0] == UINT64_MAX);
	alarm_at(0x22, 0x15, 0x60);
	assert_true(rtc->deadline[0] == UINT64_MAX);
	/* In the 12-hour form, 11 PM. */
	set(0xb, 0x20);
	alarm_at(0x91, 0x00, 0x00);
	assert_int_equal(rtc->deadline[0], 2800 * S);
	alarm_at(0x12, 0x00, 0x00);
	assert_int_equal(rtc->deadline[0], 6400 * S);
	/* Not enabled: the flag comes all the same, looked at days later. */
	set(0xb, 0x00);
	fake_step(&f, 3 * 86400 * S);
	assert_int_equal(get(0xc) & 0x20, 0x20);
	assert_false(rtc->line[0]);
	/* Not when the time is set past it. */
	set(0xb, 0x02);
	alarm_at(0x12, 0x00, 0x00);
	set(0xb, 0x82);
	set(4, 0x13);
	set(0xb, 0x02);
	assert_int_equal(get(0xc) & 0x20, 0);
}

static void bad_state(void **state)
{
	uint8_t *s = (uint8_t *)rtc->dev + rtc->cls->state_off;

	memset(s, 0xff, rtc->cls->state_size);
	assert_false(rtc->cls->sane(rtc->dev));
	assert_int_equal(rtc->cls->loaded(rtc->dev), -1);
	assert_true(rtc->cls->sane(rtc->dev));
	memset(s, 0x7f, 8);
	assert_int_equal(rtc->cls->loaded(rtc->dev), -1);
	assert_int_equal(hms(), 0x221320);
}

static void hostile(void **state)
{
	uint32_t x = 3;

	for (unsigned i = 0; i < 100000; i++) {
		x = x * 1664525 + 1013904223;
		if (x >> 31)
			set(x >> 8 & 0x7f, x >> 16 & 0xff);
		else
			set((x >> 8 & 15) == 14 ? 0x32 : x >> 8 & 15, x >> 16 & 0xff);
		get(x >> 4 & 15);
		/* A periodic interrupt at 8 kHz for long would take long. */
		fake_step(&f, x & 0xfffff);
		if (i % 1000 == 0) {
			fake_save_load(&f);
			f.now_ns += (uint64_t)x << 16;
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(memory, setup, teardown),
		cmocka_unit_test_setup_teardown(small_ram, setup, teardown),
		cmocka_unit_test_setup_teardown(time_of_day, setup, teardown),
		cmocka_unit_test_setup_teardown(calendar, setup, teardown),
		cmocka_unit_test_setup_teardown(update_in_progress, setup, teardown),
		cmocka_unit_test_setup_teardown(stop_and_divider, setup, teardown),
		cmocka_unit_test_setup_teardown(periodic, setup, teardown),
		cmocka_unit_test_setup_teardown(update_ended, setup, teardown),
		cmocka_unit_test_setup_teardown(alarms, setup, teardown),
		cmocka_unit_test_setup_teardown(bad_state, setup, teardown),
		cmocka_unit_test_setup_teardown(hostile, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
