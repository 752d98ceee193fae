/* SPDX-License-Identifier: BSD-2-Clause */
/* Register scripts for the host bridge and the ISA bridge, from data sheets 290549 and 290550. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "fake_host.h"
#include "models/pci/i440fx.h"
#include "models/pci/pci_cfg.h"
#include "models/pci/piix3_isa.h"
#include "models/xen_platform/xen_platform.h"

#define ADDR      0xcf8
#define DATA      0xcfc
#define ENABLE    0x80000000u
#define ISA_DEVFN 8u

struct pc {
	struct fake f;
	struct dev_host *isa;
};

static struct pc p;

static int setup(void **state)
{
	fake_init(&p.f);
	fake_add(&p.f, &i440fx_class, NULL, 0);
	p.isa = fake_host_of(&p.f, fake_add(&p.f, &piix3_isa_class, NULL, ISA_DEVFN));
	return 0;
}

static int teardown(void **state)
{
	fake_free(&p.f);
	return 0;
}

static uint32_t conf_read(unsigned devfn, unsigned off, unsigned size)
{
	fake_outl(&p.f, ADDR, ENABLE | devfn << 8 | (off & 0xfc));
	return (uint32_t)fake_read(&p.f, DEV_PIO, DATA + (off & 3), size);
}

static void conf_write(unsigned devfn, unsigned off, unsigned size, uint32_t v)
{
	fake_outl(&p.f, ADDR, ENABLE | devfn << 8 | (off & 0xfc));
	fake_write(&p.f, DEV_PIO, DATA + (off & 3), size, v);
}

/* Linux's probe of mechanism 1: CF8h must read back, and a byte write to CFBh must not disturb it. */
static void mechanism1(void **state)
{
	fake_outb(&p.f, 0xcfb, 1);
	fake_outl(&p.f, ADDR, ENABLE);
	assert_int_equal(fake_inl(&p.f, ADDR), ENABLE);
	fake_outl(&p.f, ADDR, 0xffffffff);
	assert_int_equal(fake_inl(&p.f, ADDR), 0x80fffffc);
	/* Narrow accesses are not for CONFADD; the upper half of this one is the reset control's. */
	assert_int_equal(fake_inw(&p.f, ADDR), 0x00ff);
	fake_outw(&p.f, ADDR, 0);
	assert_int_equal(fake_inl(&p.f, ADDR), 0x80fffffc);
	/* Not enabled, another bus, no function there: all ones, and writes are lost. */
	fake_outl(&p.f, ADDR, 0);
	assert_int_equal(fake_inl(&p.f, DATA), 0xffffffff);
	fake_outl(&p.f, ADDR, ENABLE | 0x10000);
	assert_int_equal(fake_inl(&p.f, DATA), 0xffffffff);
	assert_int_equal(conf_read(0x18, 0, 4), 0xffffffff);
	conf_write(0x18, 4, 2, 7);
	fake_save_load(&p.f);
	assert_int_equal(conf_read(0, 0, 4), 0x12378086);
	assert_int_equal(conf_read(ISA_DEVFN, 0, 4), 0x70008086);
	assert_int_equal(conf_read(ISA_DEVFN, 2, 2), 0x7000);
	assert_int_equal(conf_read(ISA_DEVFN, 3, 1), 0x70);
	assert_int_equal(conf_read(ISA_DEVFN, PCI_HEADER_TYPE, 1), 0x80);
	assert_int_equal(conf_read(ISA_DEVFN, 8, 4), 0x06010000);
	/* A double word at CFEh leaves the data register half-way. */
	fake_outl(&p.f, ADDR, ENABLE);
	assert_int_equal(fake_inl(&p.f, DATA + 2), 0xffff1237);
}

static void host_bridge(void **state)
{
	assert_int_equal(conf_read(0, PCI_SUBSYSTEM, 4), 0x11001af4);
	assert_int_equal(conf_read(0, PCI_COMMAND, 2), 0x0006);
	conf_write(0, 0, 4, 0);
	conf_write(0, PCI_COMMAND, 2, 0xffff);
	conf_write(0, PCI_BAR0, 4, 0xffffffff);
	assert_int_equal(conf_read(0, 0, 4), 0x12378086);
	assert_int_equal(conf_read(0, PCI_COMMAND, 2), 0x0146);
	assert_int_equal(conf_read(0, PCI_BAR0, 4), 0);
	for (unsigned pam = 0x59; pam <= 0x5f; pam++)
		conf_write(0, pam, 1, 0xff);
	assert_int_equal(conf_read(0, 0x58, 4), 0x33333010);
	assert_int_equal(conf_read(0, 0x5c, 4), 0x33333333);
	conf_write(0, 0x5e, 1, 0x11);
	fake_save_load(&p.f);
	assert_int_equal(conf_read(0, 0x5c, 4), 0x33113333);
	/* SMRAM: DOPEN goes and all is frozen with DLCK. */
	conf_write(0, 0x72, 1, 0x48);
	assert_int_equal(conf_read(0, 0x72, 1), 0x4a);
	conf_write(0, 0x72, 1, 0x58);
	assert_int_equal(conf_read(0, 0x72, 1), 0x1a);
	conf_write(0, 0x70, 4, 0xffffffff);
	assert_int_equal(conf_read(0, 0x70, 4), 0x001af8e0);
	p.f.host[0].cls->reset(p.f.host[0].dev);
	assert_int_equal(conf_read(0, 0x72, 1), 0x02);
	assert_int_equal(conf_read(0, 0x59, 1), 0);
}

static void isa_routing(void **state)
{
	const struct dev_class *c = &piix3_isa_class;
	void *d = p.isa->dev;

	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(conf_read(ISA_DEVFN, 0x60 + i, 1), 0x80);
	c->line(d, 0, true);
	for (unsigned i = 0; i < 16; i++)
		assert_false(p.isa->line[i]);
	/* Routed while asserted. */
	conf_write(ISA_DEVFN, 0x60, 4, 0x0b0a0b0a);
	assert_true(p.isa->line[10]);
	assert_false(p.isa->line[11]);
	/* A and C share 10. */
	c->line(d, 2, true);
	c->line(d, 0, false);
	assert_true(p.isa->line[10]);
	fake_save_load(&p.f);
	assert_true(p.isa->line[10]);
	c->line(d, 2, false);
	assert_false(p.isa->line[10]);
	c->line(d, 3, true);
	assert_true(p.isa->line[11]);
	/* Routed elsewhere, to a reserved line, off. */
	conf_write(ISA_DEVFN, 0x63, 1, 5);
	assert_false(p.isa->line[11]);
	assert_true(p.isa->line[5]);
	conf_write(ISA_DEVFN, 0x63, 1, 13);
	assert_false(p.isa->line[5]);
	assert_false(p.isa->line[13]);
	conf_write(ISA_DEVFN, 0x63, 1, 0x75);
	assert_int_equal(conf_read(ISA_DEVFN, 0x63, 1), 5);
	assert_true(p.isa->line[5]);
	c->line(d, 4, true);
	c->reset(d);
	assert_false(p.isa->line[5]);
	assert_int_equal(conf_read(ISA_DEVFN, 0x63, 1), 0x80);
	/* The input is still asserted by its driver. */
	conf_write(ISA_DEVFN, 0x63, 1, 5);
	assert_true(p.isa->line[5]);
}

static void isa_misc(void **state)
{
	conf_write(ISA_DEVFN, PCI_COMMAND, 4, 0xffffffff);
	assert_int_equal(conf_read(ISA_DEVFN, PCI_COMMAND, 4), 0x0200010f);
	conf_write(ISA_DEVFN, 0x4e, 2, 0xffff);
	assert_int_equal(conf_read(ISA_DEVFN, 0x4e, 2), 0x0fff);
	fake_outb(&p.f, 0xcf9, 0x02);
	assert_int_equal(fake_inb(&p.f, 0xcf9), 0x02);
	fake_save_load(&p.f);
	assert_false(p.f.was_reset);
	fake_outb(&p.f, 0xcf9, 0x06);
	assert_true(p.f.was_reset);
	assert_int_equal(fake_inb(&p.f, 0xcf9), 0x02);
	p.f.was_reset = false;
	fake_outb(&p.f, 0xcf9, 0x04);
	assert_true(p.f.was_reset);
}

/* A made-up function: a 16-byte I/O BAR and status bits to be cleared by writing 1. */
static void helper(void **state)
{
	static const struct pci_reg t[] = {
		{ PCI_VENDOR, 4, 0x56781234, 0, 0 },
		{ PCI_COMMAND, 4, 0x02800000, 0x00000007, 0xf9000000 },
		{ PCI_BAR0, 4, 1, 0xfffffff0, 0 },
		{ 0x40, 8, 0x04030201, 0, 0 },
	};
	uint8_t cfg[PCI_CFG_SIZE];
	struct dev_access a = { .offset = PCI_BAR0, .size = 4, .write = true, .data = 0xffffffff };

	pci_cfg_reset(cfg, t, 4);
	assert_int_equal(pci_cfg_get32(cfg, 0x44), 0x04030201);
	assert_true(pci_cfg_valid(cfg, t, 4));
	pci_cfg_access(cfg, t, 4, &a);
	assert_int_equal(pci_cfg_get32(cfg, PCI_BAR0), 0xfffffff1);
	a.data = 0xc007;
	pci_cfg_access(cfg, t, 4, &a);
	assert_true(pci_cfg_io_bar(cfg, PCI_BAR0) == DEV_UNPLACED);
	a = (struct dev_access){ .offset = 3, .size = 2, .write = true, .data = 0x01ff };
	assert_true(pci_cfg_hits(&a, PCI_COMMAND, 2) && !pci_cfg_hits(&a, 5, 4));
	pci_cfg_access(cfg, t, 4, &a);
	assert_true(pci_cfg_io_bar(cfg, PCI_BAR0) == 0xc000);
	cfg[PCI_STATUS + 1] |= 0xf0;
	a = (struct dev_access){ .offset = PCI_STATUS, .size = 2, .write = true, .data = 0x30ff };
	pci_cfg_access(cfg, t, 4, &a);
	assert_int_equal(cfg[PCI_STATUS + 1], 0xc2);
	assert_int_equal(cfg[PCI_STATUS], 0x80);
	assert_true(pci_cfg_valid(cfg, t, 4));
	cfg[0xff] = 1;
	assert_false(pci_cfg_valid(cfg, t, 4));
}

/* Saved states that no chip can be in. */
static void bad_state(void **state)
{
	for (unsigned i = 0; i < 2; i++) {
		struct dev_host *h = &p.f.host[i];
		uint8_t *s = (uint8_t *)h->dev + h->cls->state_off;

		memset(s, 0xff, h->cls->state_size);
		assert_false(h->cls->sane(h->dev));
		assert_int_equal(h->cls->loaded(h->dev), -1);
		assert_true(h->cls->sane(h->dev));
	}
}

/* What a kernel looks for, and the BARs' sizes. */
static void xen_platform(void **state)
{
	const unsigned devfn = 16;

	fake_add(&p.f, &xen_platform_class, NULL, devfn);
	assert_int_equal(conf_read(devfn, PCI_VENDOR, 4), 0x00015853);
	assert_int_equal(conf_read(devfn, PCI_REVISION, 4), 0xff800001);
	for (unsigned off = PCI_BAR0; off < PCI_BAR0 + 24; off += 4)
		conf_write(devfn, off, 4, 0xffffffff);
	assert_int_equal(conf_read(devfn, PCI_BAR0, 4), 0xffffff01);
	assert_int_equal(conf_read(devfn, PCI_BAR0 + 4, 4), 0xff000008);
	assert_int_equal(conf_read(devfn, PCI_BAR0 + 8, 4), 0);
	conf_write(devfn, PCI_BAR0 + 4, 4, 0xfd123456);
	fake_save_load(&p.f);
	assert_int_equal(conf_read(devfn, PCI_BAR0 + 4, 4), 0xfd000008);
	conf_write(devfn, PCI_COMMAND, 2, 0xffff);
	assert_int_equal(conf_read(devfn, PCI_COMMAND, 2), PCI_COMMAND_IO | PCI_COMMAND_MEMORY);
}

/* Whatever is written anywhere in configuration space, the header stays and nothing breaks. */
static void hostile(void **state)
{
	uint32_t x = 1;

	for (unsigned i = 0; i < 20000; i++) {
		x = x * 1664525 + 1013904223;
		conf_write(x >> 31 ? ISA_DEVFN : 0, x >> 8 & 0xff, 1u << (x >> 16) % 3, x ^ x >> 7);
		p.isa->cls->line(p.isa->dev, x >> 20 & 7, x >> 24 & 1);
	}
	fake_save_load(&p.f);
	assert_int_equal(conf_read(0, 0, 4), 0x12378086);
	assert_int_equal(conf_read(ISA_DEVFN, 0, 4), 0x70008086);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(mechanism1, setup, teardown),
		cmocka_unit_test_setup_teardown(host_bridge, setup, teardown),
		cmocka_unit_test_setup_teardown(isa_routing, setup, teardown),
		cmocka_unit_test_setup_teardown(isa_misc, setup, teardown),
		cmocka_unit_test_setup_teardown(xen_platform, setup, teardown),
		cmocka_unit_test(helper),
		cmocka_unit_test_setup_teardown(bad_state, setup, teardown),
		cmocka_unit_test_setup_teardown(hostile, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
