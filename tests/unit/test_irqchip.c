/* SPDX-License-Identifier: BSD-2-Clause */
/* The board's own interrupt controllers: who is wired to what, and the processor's side of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "boards/pc.h"

#define IOAPIC 0xfec00000u
#define MS     1000000u

static struct machine m;
static struct sio_config cfg;
static void *mem[64];
static unsigned n_mem, msis;
static uint64_t msi_addr;
static uint32_t msi_data, gsis;

static void *op_alloc(void *ctx, size_t size, size_t align)
{
	assert_true(n_mem < 64);
	assert_int_equal(posix_memalign(&mem[n_mem], align < 16 ? 16 : align, size), 0);
	memset(mem[n_mem], 0, size);
	return mem[n_mem++];
}

static void *op_ram(void *ctx, uint64_t gpa, uint64_t len)
{
	return NULL;
}

static void op_gsi(void *ctx, unsigned gsi, bool level)
{
	gsis = (gsis & ~(1u << gsi)) | (uint32_t)level << gsi;
}

static void op_msi(void *ctx, uint64_t addr, uint32_t data)
{
	msis++;
	msi_addr = addr;
	msi_data = data;
}

static void op_map(void *ctx, unsigned dev, enum dev_space space, uint64_t base, uint32_t len,
		   bool on)
{
}

static void start(bool irqchip, uint32_t resample_ns)
{
	static struct machine_ops ops = {
		.alloc = op_alloc,
		.ram = op_ram,
		.gsi = op_gsi,
		.msi = op_msi,
		.map = op_map,
		.wall_ns = 1700000000ull * 1000000000ull,
	};
	static struct pc_io io;
	const char *why = NULL;

	cfg = (struct sio_config){ .n_vcpus = 1, .n_ram = 1, .ram = { { 0, 64u << 20 } } };
	io = (struct pc_io){ .cfg = &cfg, .irqchip = irqchip, .resample_ns = resample_ns };
	msis = gsis = 0;
	assert_int_equal(pc_init(&m, &ops, NULL, &io, &why), 0);
}

static int teardown(void **state)
{
	while (n_mem)
		free(mem[--n_mem]);
	return 0;
}

static void outb(uint16_t port, uint8_t v)
{
	uint64_t d = v;

	machine_access(&m, DEV_PIO, port, 1, true, &d);
}

static uint8_t inb(uint16_t port)
{
	uint64_t d = 0;

	machine_access(&m, DEV_PIO, port, 1, false, &d);
	return (uint8_t)d;
}

static void rte(unsigned pin, uint32_t low)
{
	uint64_t reg = 0x10 + 2 * pin, v = low;

	machine_access(&m, DEV_MMIO, IOAPIC, 4, true, &reg);
	machine_access(&m, DEV_MMIO, IOAPIC + 0x10, 4, true, &v);
}

static void bios(void)
{
	static const uint8_t icw[][2] = { { 0x20, 0x11 }, { 0x21, 0x08 }, { 0x21, 4 }, { 0x21, 1 },
					  { 0xa0, 0x11 }, { 0xa1, 0x70 }, { 0xa1, 2 }, { 0xa1, 1 } };

	for (unsigned i = 0; i < sizeof(icw) / 2; i++)
		outb(icw[i][0], icw[i][1]);
}

static void serial_irq(bool on)
{
	outb(0x3fc, 0x08);
	outb(0x3f9, on ? 0x02 : 0x00); /* transmitter empty */
}

/* Interrupt 4, at both: vector 0Ch from the 8259, a message from pin 4. */
static void both(void **state)
{
	start(true, 0);
	bios();
	rte(4, 0x34);
	assert_int_equal(pc_vector(&m), -1);
	serial_irq(true);
	assert_int_equal(gsis, 1u << 4);
	assert_int_equal(pc_vector(&m), 0x0c);
	assert_int_equal(msis, 1);
	assert_int_equal(msi_data, 0x34);
	assert_true(msi_addr == 0xfee00000);
	pc_taken(&m, 0x0c);
	assert_int_equal(pc_vector(&m), -1);
	outb(0x20, 0x0b);
	assert_int_equal(inb(0x20), 0x10);
	serial_irq(false);
	assert_int_equal(gsis, 0);
}

/* The PIT: interrupt 0, and pin 2. */
static void timer(void **state)
{
	start(true, 0);
	bios();
	rte(0, 0x30);
	rte(2, 0x32);
	outb(0x43, 0x30);
	outb(0x40, 100);
	outb(0x40, 0);
	assert_true(m.next_ns != UINT64_MAX);
	machine_advance(&m, MS);
	assert_int_equal(pc_vector(&m), 0x08);
	assert_int_equal(msis, 1);
	assert_int_equal(msi_data, 0x32);
}

/* PIRQA# on pin 9, level-triggered, until its end is told. */
static void level(void **state)
{
	start(true, 0);
	rte(9, 0x8049);
	for (unsigned i = 0; i < m.n_dev; i++)
		if (strcmp(m.host[i].cls->name, "piix3-isa") == 0) {
			uint64_t route = 9, v = 0x80000860;

			machine_access(&m, DEV_PIO, 0xcf8, 4, true, &v);
			machine_access(&m, DEV_PIO, 0xcfc, 1, true, &route);
			m.host[i].cls->line(m.host[i].dev, 0, true); /* PIRQA# */
		}
	assert_int_equal(msis, 1);
	assert_int_equal(msi_data, 0x8049);
	pc_eoi(&m, 0x50);
	assert_int_equal(msis, 1);
	pc_eoi(&m, 0x49);
	assert_int_equal(msis, 2);
	machine_advance(&m, 100 * MS);
	assert_int_equal(msis, 2);
}

/* Nobody tells: time does. */
static void resampled(void **state)
{
	start(true, MS);
	rte(4, 0x8034);
	serial_irq(true);
	assert_int_equal(msis, 1);
	assert_true(m.next_ns == MS);
	machine_advance(&m, MS);
	assert_int_equal(msis, 2);
	serial_irq(false);
	assert_true(m.next_ns == UINT64_MAX);
}

static void hypervisors_own(void **state)
{
	start(false, 0);
	bios();
	serial_irq(true);
	assert_int_equal(gsis, 1u << 4);
	assert_int_equal(pc_vector(&m), -1);
	pc_taken(&m, 0x0c);
	pc_eoi(&m, 0x34);
	assert_int_equal(inb(0x21), 0xff);
	assert_int_equal(inb(0x40), 0xff);
	assert_int_equal(msis, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(both, teardown),
		cmocka_unit_test_teardown(timer, teardown),
		cmocka_unit_test_teardown(level, teardown),
		cmocka_unit_test_teardown(resampled, teardown),
		cmocka_unit_test_teardown(hypervisors_own, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
