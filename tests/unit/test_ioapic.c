/* SPDX-License-Identifier: BSD-2-Clause */
/* Register scripts for the I/O APIC, from the 82093AA's data sheet. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "fake_host.h"
#include "models/ioapic/ioapic.h"

#define LEVEL  0x8000u
#define LOW    0x2000u
#define MASKED 0x10000u
#define RIRR   0x4000u
#define MS     1000000u

static struct fake f;
static struct dev_host *io;
static void *dev;

static void start(uint8_t version, uint32_t resample_ns)
{
	struct ioapic_cfg cfg = { .version = version, .resample_ns = resample_ns };

	fake_init(&f);
	dev = fake_add(&f, &ioapic_class, &cfg, -1);
	io = fake_host_of(&f, dev);
}

static int setup(void **state)
{
	start(0x11, 0);
	return 0;
}

static int setup_20(void **state)
{
	start(0x20, 0);
	return 0;
}

static int setup_resample(void **state)
{
	start(0x11, MS);
	return 0;
}

static int teardown(void **state)
{
	fake_free(&f);
	return 0;
}

static void put(unsigned reg, uint32_t v)
{
	fake_write(&f, DEV_MMIO, IOAPIC_BASE, 4, reg);
	fake_write(&f, DEV_MMIO, IOAPIC_BASE + 0x10, 4, v);
}

static uint32_t get(unsigned reg)
{
	fake_write(&f, DEV_MMIO, IOAPIC_BASE, 1, reg);
	return (uint32_t)fake_read(&f, DEV_MMIO, IOAPIC_BASE + 0x10, 4);
}

static void rte(unsigned pin, uint32_t low, uint32_t dest)
{
	put(0x11 + 2 * pin, dest << 24);
	put(0x10 + 2 * pin, low);
}

static void line(unsigned pin, bool level)
{
	io->cls->line(dev, pin, level);
	assert_true(io->cls->sane(dev));
}

/* Messages since the last call. */
static unsigned sent(void)
{
	unsigned n = f.msis;

	f.msis = 0;
	return n;
}

static void registers(void **state)
{
	static const struct ioapic_cfg bad = { .version = 0x12 };
	struct dev_env env = { 0 };
	_Alignas(16) uint8_t mem[1024] = { 0 };

	assert_int_equal(get(0), 0);
	assert_int_equal(get(1), 0x00170011);
	put(0, 0xffffffff);
	put(1, 0xffffffff);
	assert_int_equal(get(0), 0x0f000000);
	assert_int_equal(get(1), 0x00170011);
	assert_int_equal(get(2), 0x0f000000);
	put(2, 0);
	assert_int_equal(get(2), 0x0f000000);
	for (unsigned pin = 0; pin < 24; pin++) {
		assert_int_equal(get(0x10 + 2 * pin), MASKED);
		assert_int_equal(get(0x11 + 2 * pin), 0);
	}
	put(0x3e, 0xffffffff); /* delivery status and remote IRR are the chip's */
	put(0x3f, 0xffffffff);
	assert_int_equal(get(0x3e), 0x1afff);
	assert_int_equal(get(0x3f), 0xff000000);
	assert_int_equal(get(0x40), 0);
	assert_int_equal(get(0x0f), 0);
	assert_int_equal(get(0xff), 0);
	put(0x40, ~0u);
	put(0x03, ~0u);
	/* The window has one width, the index is 8 bits. */
	put(0x101, 0);
	assert_int_equal(fake_read(&f, DEV_MMIO, IOAPIC_BASE, 4), 1);
	assert_int_equal(fake_read(&f, DEV_MMIO, IOAPIC_BASE + 0x10, 4), 0x00170011);
	assert_int_equal(fake_read(&f, DEV_MMIO, IOAPIC_BASE + 0x10, 1), 0xff);
	assert_int_equal(fake_read(&f, DEV_MMIO, IOAPIC_BASE + 0x20, 4), 0xffffffff);
	assert_int_equal(fake_read(&f, DEV_MMIO, IOAPIC_BASE + 0x40, 4), 0xffffffff);
	fake_save_load(&f);
	io->cls->reset(dev);
	assert_int_equal(get(0), 0);
	assert_int_equal(get(0x3e), MASKED);
	assert_true(ioapic_class.size <= sizeof(mem));
	assert_int_equal(ioapic_class.init(mem, &env, &bad), -1);
}

static void edge(void **state)
{
	/* Lost on a masked pin. */
	rte(4, MASKED | 0x34, 3);
	line(4, true);
	rte(4, 0x34, 3);
	assert_int_equal(sent(), 0);
	line(4, true);
	assert_int_equal(sent(), 0);
	line(4, false);
	line(4, true);
	assert_int_equal(sent(), 1);
	assert_true(f.msi_addr == 0xfee03000);
	assert_int_equal(f.msi_data, 0x34);
	assert_int_equal(get(0x18), 0x34);
	fake_save_load(&f);
	assert_int_equal(sent(), 0);
	/* No end to wait for. */
	line(4, false);
	line(4, true);
	assert_int_equal(sent(), 1);
	line(24, true);
	line(31, true);
	assert_int_equal(sent(), 0);
}

static void modes(void **state)
{
	/* Logical, lowest priority, all bits of the destination. */
	rte(23, 0x0900 | 0xfe, 0xa5);
	line(23, true);
	assert_int_equal(sent(), 1);
	assert_true(f.msi_addr == 0xfeea5004);
	assert_int_equal(f.msi_data, 0x1fe);
	/* SMI, NMI, INIT and ExtINT: edges, whatever the entry says. */
	for (unsigned mode = 2; mode < 8; mode++) {
		if (mode == 3 || mode == 6)
			continue;
		line(10, false);
		rte(10, LEVEL | LOW | mode << 8 | 0x40, 1);
		assert_int_equal(sent(), 0);
		line(10, true);
		assert_int_equal(sent(), 1);
		assert_int_equal(f.msi_data, mode << 8 | 0x40);
		assert_int_equal(get(0x24) & RIRR, 0);
	}
}

static void level(void **state)
{
	uint64_t v[4];

	rte(11, LEVEL | LOW | 0x71, 1);
	line(11, true);
	assert_int_equal(sent(), 1);
	assert_int_equal(f.msi_data, 0x8071);
	assert_int_equal(get(0x26), LEVEL | LOW | RIRR | 0x71);
	fake_save_load(&f);
	assert_true(ioapic_level_vectors(dev, v));
	assert_true(!v[0] && v[1] == 1ull << (0x71 - 64) && !v[2] && !v[3]);
	assert_false(ioapic_level_vectors(dev, v));
	/* Another's end, and edges in service, say nothing. */
	ioapic_eoi(dev, 0x70);
	line(11, false);
	line(11, true);
	assert_int_equal(sent(), 0);
	/* Still up at the end: again. */
	ioapic_eoi(dev, 0x71);
	assert_int_equal(sent(), 1);
	assert_int_equal(get(0x26) & RIRR, RIRR);
	line(11, false);
	ioapic_eoi(dev, 0x71);
	assert_int_equal(sent(), 0);
	assert_int_equal(get(0x26) & RIRR, 0);
	ioapic_eoi(dev, 0x71);
	assert_int_equal(sent(), 0);
	/* Masked: held, and sent when the mask goes; masked in service: at the end nothing. */
	put(0x26, MASKED | LEVEL | 0x71);
	assert_true(ioapic_level_vectors(dev, v));
	assert_true(!v[1]);
	line(11, true);
	assert_int_equal(sent(), 0);
	put(0x26, LEVEL | 0x71);
	assert_int_equal(sent(), 1);
	put(0x26, MASKED | LEVEL | 0x71);
	assert_true(ioapic_level_vectors(dev, v));
	assert_true(v[1]);
	ioapic_eoi(dev, 0x71);
	assert_true(ioapic_level_vectors(dev, v));
	assert_true(!v[1]);
	assert_int_equal(sent(), 0);
	put(0x26, LEVEL | 0x71);
	assert_int_equal(sent(), 1);
	/* Two pins with one vector: both end. */
	rte(12, LEVEL | 0x171, 1);
	line(12, true);
	assert_int_equal(sent(), 1);
	ioapic_eoi(dev, 0x71);
	assert_int_equal(sent(), 2);
	/* As Linux ends one where there is no EOI register: edge-triggered and back. */
	put(0x26, MASKED | 0x71);
	assert_int_equal(get(0x26) & RIRR, 0);
	put(0x26, MASKED | LEVEL | 0x71);
	put(0x26, LEVEL | 0x71);
	assert_int_equal(sent(), 1);
	assert_true(io->deadline[0] == UINT64_MAX);
	/* No such register in this version. */
	fake_write(&f, DEV_MMIO, IOAPIC_BASE + 0x40, 4, 0x71);
	assert_int_equal(sent(), 0);
	io->cls->reset(dev);
	assert_int_equal(get(0x26), MASKED);
	put(0x26, LEVEL | 0x72);
	assert_int_equal(sent(), 1);
}

static void eoi_register(void **state)
{
	assert_int_equal(get(1), 0x00170020);
	rte(9, LEVEL | 0x99, 0);
	line(9, true);
	assert_int_equal(sent(), 1);
	fake_write(&f, DEV_MMIO, IOAPIC_BASE + 0x40, 4, 0x98);
	assert_int_equal(sent(), 0);
	fake_write(&f, DEV_MMIO, IOAPIC_BASE + 0x40, 4, 0x99);
	assert_int_equal(sent(), 1);
	line(9, false);
	fake_write(&f, DEV_MMIO, IOAPIC_BASE + 0x40, 4, 0x99);
	assert_int_equal(get(0x22), LEVEL | 0x99);
}

/* Nobody tells of ends. */
static void resample(void **state)
{
	rte(11, LEVEL | 0x71, 1);
	line(11, true);
	assert_int_equal(sent(), 1);
	assert_int_equal(f.msi_data, 0x8071);
	assert_int_equal(get(0x26), LEVEL | 0x71);
	assert_int_equal(io->deadline[0], MS);
	/* Served at once, as usual: no more. */
	fake_step(&f, MS / 2);
	line(11, false);
	assert_true(io->deadline[0] == UINT64_MAX);
	fake_step(&f, 10 * MS);
	assert_int_equal(sent(), 0);
	/* Again while it stays up. */
	line(11, true);
	assert_int_equal(sent(), 1);
	fake_step(&f, MS - 1);
	assert_int_equal(sent(), 0);
	fake_save_load(&f);
	fake_step(&f, 1);
	assert_int_equal(sent(), 1);
	fake_step(&f, 5 * MS);
	assert_int_equal(sent(), 5);
	/* Another device on the line: at once, and then 1 ms from there. */
	fake_step(&f, MS / 4);
	line(11, true);
	assert_int_equal(sent(), 1);
	fake_step(&f, MS - 1);
	assert_int_equal(sent(), 0);
	fake_step(&f, 1);
	assert_int_equal(sent(), 1);
	/* Two pins, each in its time. */
	rte(12, LEVEL | 0x72, 1);
	fake_step(&f, MS / 4);
	line(12, true);
	assert_int_equal(sent(), 1);
	fake_step(&f, MS * 3 / 4);
	assert_int_equal(sent(), 1);
	assert_int_equal(f.msi_data, 0x8071);
	fake_step(&f, MS / 4);
	assert_int_equal(sent(), 1);
	assert_int_equal(f.msi_data, 0x8072);
	line(12, false);
	/* Masked: nothing; then at once. Writes of what is there say nothing. */
	put(0x26, MASKED | LEVEL | 0x71);
	assert_true(io->deadline[0] == UINT64_MAX);
	fake_step(&f, 5 * MS);
	assert_int_equal(sent(), 0);
	put(0x26, LEVEL | 0x71);
	assert_int_equal(sent(), 1);
	put(0x26, LEVEL | 0x71);
	assert_int_equal(sent(), 0);
	/* An end that is told all the same does no harm. */
	ioapic_eoi(dev, 0x71);
	assert_int_equal(sent(), 0);
	put(0x26, 0x71);
	assert_true(io->deadline[0] == UINT64_MAX);
	line(11, false);
	line(11, true);
	assert_int_equal(sent(), 1);
	assert_int_equal(f.msi_data, 0x71);
	assert_true(io->deadline[0] == UINT64_MAX);
}

static void bad_state(void **state)
{
	uint8_t *s = (uint8_t *)dev + io->cls->state_off;

	for (size_t i = 0; i < io->cls->state_size; i++) {
		uint8_t was = s[i];

		for (unsigned v = 0; v < 256; v += 0x55) {
			s[i] = (uint8_t)v;
			if (io->cls->loaded(dev))
				assert_int_equal(get(0x10), MASKED);
			assert_true(io->cls->sane(dev));
		}
		s[i] = was;
		io->cls->loaded(dev);
	}
	memset(s, 0xff, io->cls->state_size);
	assert_int_equal(io->cls->loaded(dev), -1);
	assert_int_equal(sent(), 0);
	assert_int_equal(get(0), 0);
}

/* Remote IRR of an edge, or a message that waits where ends are told: no such state. */
static void bad_entries(void **state)
{
	uint8_t *s = (uint8_t *)dev + io->cls->state_off;
	uint64_t v = RIRR | 0x40;

	memcpy(s, &v, 8);
	assert_int_equal(io->cls->loaded(dev), -1);
	v = 5;
	memcpy(s + 24 * 8, &v, 8);
	assert_int_equal(io->cls->loaded(dev), -1);
	v = 1ull << 13 | 0x40;
	memcpy(s, &v, 8);
	assert_int_equal(io->cls->loaded(dev), 0);
}

static void hostile(void **state)
{
	uint32_t x = 11;

	for (unsigned i = 0; i < 200000; i++) {
		x = x * 1664525 + 1013904223;
		switch (x >> 29) {
		case 0:
		case 1: line(x >> 8 & 31, x & 0x80); break;
		case 2: ioapic_eoi(dev, x >> 8 & 0xff); break;
		case 3: get(x >> 8 & 0x3f); break;
		case 4: fake_step(&f, x & 0xffff); break;
		case 5: fake_write(&f, DEV_MMIO, IOAPIC_BASE + (x >> 8 & 0x50), 4, x & 0xff); break;
		default: put(x >> 8 & 0x3f, x * 0x9e3779b9);
		}
		assert_true(io->cls->sane(dev));
		if (i % 1000 == 0)
			fake_save_load(&f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(registers, setup, teardown),
		cmocka_unit_test_setup_teardown(edge, setup, teardown),
		cmocka_unit_test_setup_teardown(modes, setup, teardown),
		cmocka_unit_test_setup_teardown(level, setup, teardown),
		cmocka_unit_test_setup_teardown(eoi_register, setup_20, teardown),
		cmocka_unit_test_setup_teardown(resample, setup_resample, teardown),
		cmocka_unit_test_setup_teardown(bad_state, setup, teardown),
		cmocka_unit_test_setup_teardown(bad_state, setup_resample, teardown),
		cmocka_unit_test_setup_teardown(bad_entries, setup, teardown),
		cmocka_unit_test_setup_teardown(hostile, setup_20, teardown),
		cmocka_unit_test_setup_teardown(hostile, setup_resample, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
