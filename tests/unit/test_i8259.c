/* SPDX-License-Identifier: BSD-2-Clause */
/* Register scripts for the interrupt controllers, from the 8259A's data sheet and the PIIX3's ELCR. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "fake_host.h"
#include "models/i8259/i8259.h"

static struct fake f;
static struct dev_host *pic;
static void *dev;

static void icws(unsigned port, uint8_t base, uint8_t icw4)
{
	fake_outb(&f, port, 0x11);
	fake_outb(&f, port + 1, base);
	fake_outb(&f, port + 1, port == 0x20 ? 0x04 : 0x02);
	fake_outb(&f, port + 1, icw4);
}

static int setup(void **state)
{
	fake_init(&f);
	dev = fake_add(&f, &i8259_class, NULL, -1);
	pic = fake_host_of(&f, dev);
	icws(0x20, 0x08, 0x01);
	icws(0xa0, 0x70, 0x01);
	return 0;
}

static int teardown(void **state)
{
	fake_free(&f);
	return 0;
}

static void line(unsigned n, bool level)
{
	pic->cls->line(dev, n, level);
	assert_true(pic->cls->sane(dev));
}

static void pulse(unsigned n)
{
	line(n, true);
	line(n, false);
}

/* INTR, and what i8259_vector() says, agree. */
static int vector(void)
{
	int v = i8259_vector(dev);

	assert_int_equal(pic->line[0], v >= 0);
	return v;
}

static uint8_t inta(void)
{
	uint8_t v = i8259_inta(dev);

	assert_true(pic->cls->sane(dev));
	fake_save_load(&f);
	vector();
	return v;
}

static uint8_t irr(unsigned port)
{
	fake_outb(&f, port, 0x0a);
	return fake_inb(&f, port);
}

static uint8_t isr(unsigned port)
{
	fake_outb(&f, port, 0x0b);
	return fake_inb(&f, port);
}

#define MASTER 0x20
#define SLAVE  0xa0

static void eoi(unsigned port)
{
	fake_outb(&f, port, 0x20);
}

static void silent_until_initialised(void **state)
{
	pic->cls->reset(dev);
	fake_outb(&f, MASTER + 1, 0xfb); /* how Linux looks whether there is one */
	assert_int_equal(fake_inb(&f, MASTER + 1), 0xfb);
	fake_outb(&f, MASTER + 1, 0);
	pulse(3);
	line(4, true);
	assert_int_equal(vector(), -1);
	i8259_taken(dev, 0x03);
	assert_int_equal(isr(MASTER), 0);
	/* ICW1 forgets edges: line 4 is up, but does not rise. */
	icws(MASTER, 0x20, 0x01);
	assert_int_equal(vector(), -1);
	assert_int_equal(irr(MASTER), 0);
	line(4, false);
	line(4, true);
	assert_int_equal(inta(), 0x24);
}

static void init_sequences(void **state)
{
	/* ICW2 has five bits; IMR is cleared, and writable only after the last ICW. */
	fake_outb(&f, MASTER + 1, 0xff);
	fake_outb(&f, MASTER, 0x11);
	pulse(0);
	assert_int_equal(vector(), -1);
	fake_outb(&f, MASTER + 1, 0x4f);
	fake_save_load(&f);
	fake_outb(&f, MASTER + 1, 0x04);
	assert_int_equal(fake_inb(&f, MASTER + 1), 0);
	fake_outb(&f, MASTER + 1, 0x01);
	assert_int_equal(inta(), 0x48);
	/* Single, no ICW4: one more byte, then OCW1. */
	fake_outb(&f, MASTER, 0x12);
	fake_outb(&f, MASTER + 1, 0x50);
	fake_outb(&f, MASTER + 1, 0xff);
	assert_int_equal(fake_inb(&f, MASTER + 1), 0xff);
	pulse(0);
	pulse(1);
	assert_int_equal(vector(), -1);
	fake_outb(&f, MASTER + 1, 0xfc);
	assert_int_equal(inta(), 0x50);
	/* Cascaded, no ICW4: the functions of an earlier one are off. */
	icws(MASTER, 0x20, 0x03);
	fake_outb(&f, MASTER, 0x10);
	fake_outb(&f, MASTER + 1, 0x60);
	fake_outb(&f, MASTER + 1, 0x04);
	pulse(6);
	assert_int_equal(inta(), 0x66);
	assert_int_equal(isr(MASTER), 0x40);
	/* Single with ICW4. */
	fake_outb(&f, MASTER, 0x13);
	fake_outb(&f, MASTER + 1, 0x30);
	fake_outb(&f, MASTER + 1, 0x03);
	assert_int_equal(fake_inb(&f, MASTER + 1), 0);
	pulse(6);
	assert_int_equal(inta(), 0x36);
	assert_int_equal(isr(MASTER), 0);
}

static void fully_nested(void **state)
{
	pulse(5);
	pulse(3);
	assert_int_equal(irr(MASTER), 0x28);
	assert_int_equal(inta(), 0x0b);
	assert_int_equal(irr(MASTER), 0x20);
	assert_int_equal(isr(MASTER), 0x08);
	assert_int_equal(vector(), -1);
	/* Its own level is locked out too, a higher one is not. */
	pulse(3);
	assert_int_equal(vector(), -1);
	pulse(1);
	assert_int_equal(inta(), 0x09);
	assert_int_equal(isr(MASTER), 0x0a);
	eoi(MASTER);
	assert_int_equal(isr(MASTER), 0x08);
	assert_int_equal(vector(), -1);
	eoi(MASTER);
	assert_int_equal(inta(), 0x0b);
	fake_outb(&f, MASTER, 0x63); /* specific */
	assert_int_equal(isr(MASTER), 0);
	assert_int_equal(inta(), 0x0d);
	fake_outb(&f, MASTER, 0x61); /* another's: nothing */
	assert_int_equal(isr(MASTER), 0x20);
	eoi(MASTER);
	eoi(MASTER);
	assert_int_equal(isr(MASTER), 0);
	assert_int_equal(pic->rises[0], 4);
}

static void masks(void **state)
{
	fake_outb(&f, MASTER + 1, 0x08);
	pulse(3);
	assert_int_equal(vector(), -1);
	assert_int_equal(irr(MASTER), 0x08);
	fake_outb(&f, MASTER + 1, 0x00);
	assert_int_equal(vector(), 0x0b);
	/* Withdrawn in between: an acknowledge cycle gives 7, which is not in service. */
	fake_outb(&f, MASTER + 1, 0x08);
	assert_int_equal(inta(), 0x0f);
	assert_int_equal(isr(MASTER), 0);
	assert_int_equal(irr(MASTER), 0x08);
	/* A real 7 is. */
	pulse(7);
	assert_int_equal(inta(), 0x0f);
	assert_int_equal(isr(MASTER), 0x80);
}

static void cascade(void **state)
{
	assert_int_equal(irr(SLAVE), 0);
	pulse(14);
	line(2, true); /* no input */
	line(2, false);
	assert_int_equal(irr(SLAVE), 0x40);
	assert_int_equal(irr(MASTER), 0x04);
	assert_int_equal(inta(), 0x76);
	assert_int_equal(isr(MASTER), 0x04);
	assert_int_equal(isr(SLAVE), 0x40);
	assert_int_equal(irr(MASTER), 0);
	/* The slave's higher one waits for the master in the fully nested mode. */
	pulse(8);
	assert_int_equal(irr(MASTER), 0x04);
	assert_int_equal(vector(), -1);
	pulse(1);
	assert_int_equal(inta(), 0x09);
	eoi(MASTER);
	eoi(SLAVE);
	eoi(MASTER);
	assert_int_equal(inta(), 0x70);
	eoi(SLAVE);
	eoi(MASTER);
	/* Priorities: 0, 1, 8 to 15, 3 to 7. */
	pulse(3);
	pulse(15);
	pulse(1);
	assert_int_equal(inta(), 0x09);
	eoi(MASTER);
	assert_int_equal(inta(), 0x77);
	eoi(SLAVE);
	eoi(MASTER);
	assert_int_equal(inta(), 0x0b);
	eoi(MASTER);
	/* The master's mask has the slave's input. */
	fake_outb(&f, MASTER + 1, 0x04);
	pulse(9);
	assert_int_equal(vector(), -1);
	fake_outb(&f, MASTER + 1, 0x00);
	assert_int_equal(vector(), 0x71);
	fake_outb(&f, SLAVE + 1, 0x02);
	assert_int_equal(vector(), -1);
	assert_int_equal(irr(MASTER), 0x00);
}

static void special_fully_nested(void **state)
{
	icws(MASTER, 0x08, 0x11);
	pulse(12);
	assert_int_equal(inta(), 0x74);
	pulse(14);
	assert_int_equal(vector(), -1);
	pulse(3); /* below the slave in service */
	assert_int_equal(vector(), -1);
	pulse(8);
	assert_int_equal(inta(), 0x70);
	eoi(SLAVE);
	assert_int_equal(isr(SLAVE), 0x10);
	/* As the data sheet has it: the master's end only when the slave serves nothing any more. */
	eoi(SLAVE);
	eoi(MASTER);
	assert_int_equal(inta(), 0x76);
	eoi(SLAVE);
	eoi(MASTER);
	assert_int_equal(inta(), 0x0b);
}

static void automatic_eoi(void **state)
{
	icws(MASTER, 0x08, 0x03);
	icws(SLAVE, 0x70, 0x03);
	pulse(3);
	pulse(4);
	pulse(8);
	pulse(9);
	assert_int_equal(inta(), 0x70);
	assert_int_equal(inta(), 0x71);
	assert_int_equal(inta(), 0x0b);
	assert_int_equal(isr(MASTER), 0);
	assert_int_equal(inta(), 0x0c);
	/* And rotation: who was served comes last. */
	fake_outb(&f, MASTER, 0x80);
	pulse(3);
	pulse(4);
	assert_int_equal(inta(), 0x0b);
	pulse(3);
	assert_int_equal(inta(), 0x0c);
	assert_int_equal(inta(), 0x0b);
	fake_outb(&f, MASTER, 0x00);
	pulse(5);
	assert_int_equal(inta(), 0x0d);
	pulse(3); /* still the lowest */
	pulse(2 + 4);
	assert_int_equal(inta(), 0x0e);
	assert_int_equal(inta(), 0x0b);
}

static void rotation(void **state)
{
	/* Set priority: 5 is the lowest, so 6 the highest. */
	fake_outb(&f, MASTER, 0xc5);
	pulse(5);
	pulse(0);
	pulse(6);
	assert_int_equal(inta(), 0x0e);
	fake_outb(&f, MASTER, 0x40); /* no operation */
	assert_int_equal(isr(MASTER), 0x40);
	eoi(MASTER);
	assert_int_equal(inta(), 0x08);
	/* Rotate on a non-specific end: 0 becomes the lowest. */
	fake_outb(&f, MASTER, 0xa0);
	assert_int_equal(isr(MASTER), 0);
	pulse(0);
	assert_int_equal(inta(), 0x0d);
	fake_outb(&f, MASTER, 0xe3); /* specific, of another: 3 is the lowest, 5 stays in service */
	assert_int_equal(isr(MASTER), 0x20);
	pulse(4);
	assert_int_equal(inta(), 0x0c);
	fake_outb(&f, MASTER, 0xe4);
	fake_outb(&f, MASTER, 0xe5);
	assert_int_equal(isr(MASTER), 0);
	pulse(6);
	assert_int_equal(inta(), 0x0e);
	eoi(MASTER);
	assert_int_equal(inta(), 0x08);
	eoi(MASTER);
	/* With nothing in service nothing rotates: 5 is the lowest yet. */
	fake_outb(&f, MASTER, 0xa0);
	pulse(5);
	pulse(4);
	assert_int_equal(inta(), 0x0c);
}

static void special_mask(void **state)
{
	pulse(3);
	assert_int_equal(inta(), 0x0b);
	fake_outb(&f, MASTER + 1, 0x08);
	pulse(6);
	pulse(3);
	assert_int_equal(vector(), -1);
	fake_outb(&f, MASTER, 0x68);
	assert_int_equal(inta(), 0x0e);
	fake_save_load(&f);
	eoi(MASTER); /* not that of the masked 3 */
	assert_int_equal(isr(MASTER), 0x08);
	eoi(MASTER);
	assert_int_equal(isr(MASTER), 0x08);
	pulse(6);
	assert_int_equal(vector(), 0x0e);
	fake_outb(&f, MASTER, 0x28); /* ESMM is 0: SMM does not count */
	assert_int_equal(vector(), 0x0e);
	fake_outb(&f, MASTER, 0x48);
	assert_int_equal(vector(), -1);
	eoi(MASTER);
	assert_int_equal(isr(MASTER), 0);
}

static void polling(void **state)
{
	fake_outb(&f, MASTER + 1, 0x55);
	fake_outb(&f, MASTER, 0x0c);
	assert_int_equal(fake_inb(&f, MASTER), 0);
	assert_int_equal(fake_inb(&f, MASTER + 1), 0x55);
	fake_outb(&f, MASTER + 1, 0);
	pulse(6);
	fake_outb(&f, MASTER, 0x0c);
	fake_save_load(&f);
	assert_int_equal(fake_inb(&f, MASTER + 1), 0x86); /* any read */
	assert_int_equal(isr(MASTER), 0x40);
	assert_int_equal(vector(), -1);
	eoi(MASTER);
	/* The slave alone: the master's input falls. */
	pulse(13);
	fake_outb(&f, SLAVE, 0x0c);
	assert_int_equal(fake_inb(&f, SLAVE), 0x85);
	assert_int_equal(irr(MASTER), 0);
	assert_int_equal(isr(MASTER), 0);
	eoi(SLAVE);
	pulse(13);
	fake_outb(&f, MASTER, 0x0c);
	assert_int_equal(fake_inb(&f, MASTER), 0x82);
	assert_int_equal(isr(MASTER), 0x04);
	assert_int_equal(isr(SLAVE), 0);
}

static void edges(void **state)
{
	line(4, true);
	assert_int_equal(inta(), 0x0c);
	eoi(MASTER);
	assert_int_equal(vector(), -1);
	line(4, true);
	assert_int_equal(vector(), -1);
	line(4, false);
	line(4, true);
	line(4, false);
	line(4, true);
	assert_int_equal(inta(), 0x0c);
	eoi(MASTER);
	assert_int_equal(vector(), -1);
	line(16, true);
	line(31, true);
	assert_int_equal(vector(), -1);
}

static void levels(void **state)
{
	/* Some inputs have edges only. */
	fake_outb(&f, 0x4d0, 0xff);
	fake_outb(&f, 0x4d1, 0xff);
	assert_int_equal(fake_inw(&f, 0x4d0), 0xdef8);
	fake_outw(&f, 0x4d0, 0x0c20);
	assert_int_equal(fake_inb(&f, 0x4d0), 0x20);
	assert_int_equal(fake_inb(&f, 0x4d1), 0x0c);
	line(5, true);
	assert_int_equal(inta(), 0x0d);
	assert_int_equal(irr(MASTER), 0x20);
	eoi(MASTER);
	assert_int_equal(inta(), 0x0d);
	line(5, false);
	eoi(MASTER);
	assert_int_equal(vector(), -1);
	/* Gone before it was acknowledged: gone. */
	line(11, true);
	assert_int_equal(vector(), 0x73);
	line(11, false);
	assert_int_equal(vector(), -1);
	/* Two in a row through the slave. */
	line(10, true);
	line(11, true);
	assert_int_equal(inta(), 0x72);
	line(10, false);
	eoi(SLAVE);
	eoi(MASTER);
	assert_int_equal(inta(), 0x73);
	/* ICW1 leaves ELCR alone, and level requests come again by themselves. */
	icws(SLAVE, 0x78, 0x01);
	assert_int_equal(fake_inb(&f, 0x4d1), 0x0c);
	eoi(MASTER);
	assert_int_equal(inta(), 0x7b);
	/* An edge that waits is none for a level. */
	fake_outb(&f, 0x4d0, 0);
	pulse(5);
	fake_outb(&f, 0x4d0, 0x20);
	assert_int_equal(irr(MASTER), 0);
	/* Reset takes ELCR back; lines stay. */
	pic->cls->reset(dev);
	assert_int_equal(fake_inw(&f, 0x4d0), 0);
	fake_outb(&f, 0x4d1, 0x08);
	assert_int_equal(irr(SLAVE), 0x08);
}

/* A host that gave a vector to its processor, which takes it later. */
static void taken(void **state)
{
	line(4, true);
	assert_int_equal(vector(), 0x0c);
	pulse(1);
	assert_int_equal(vector(), 0x09);
	i8259_taken(dev, 0x0c);
	assert_int_equal(isr(MASTER), 0x10);
	assert_int_equal(irr(MASTER), 0x02);
	assert_int_equal(inta(), 0x09);
	eoi(MASTER);
	eoi(MASTER);
	/* Masked meanwhile: in service all the same. */
	pulse(12);
	fake_outb(&f, SLAVE + 1, 0xff);
	i8259_taken(dev, 0x74);
	assert_int_equal(isr(MASTER), 0x04);
	assert_int_equal(isr(SLAVE), 0x10);
	eoi(SLAVE);
	eoi(MASTER);
	/* Nobody's. */
	i8259_taken(dev, 0x80);
	i8259_taken(dev, 0x0a);
	assert_int_equal(isr(MASTER), 0);
	assert_int_equal(isr(SLAVE), 0);
}

static void bad_state(void **state)
{
	uint8_t *s = (uint8_t *)dev + pic->cls->state_off;
	size_t n = pic->cls->state_size;

	for (size_t i = 0; i < n; i++) {
		uint8_t was = s[i];

		s[i] = 0xff;
		if (pic->cls->loaded(dev) == 0) {
			assert_true(pic->cls->sane(dev));
			s[i] = was;
		} else {
			assert_true(pic->cls->sane(dev));
			assert_int_equal(vector(), -1);
		}
	}
	memset(s, 0xff, n);
	assert_int_equal(pic->cls->loaded(dev), -1);
	assert_int_equal(fake_inw(&f, 0x4d0), 0);
	assert_int_equal(irr(MASTER) | irr(SLAVE), 0);
}

static void hostile(void **state)
{
	static const uint16_t port[6] = { 0x20, 0x21, 0xa0, 0xa1, 0x4d0, 0x4d1 };
	uint32_t x = 5;

	for (unsigned i = 0; i < 200000; i++) {
		x = x * 1664525 + 1013904223;
		switch (x >> 29) {
		case 0:
		case 1: line(x >> 8 & 31, x & 0x80); break;
		case 2: fake_read(&f, DEV_PIO, port[(x >> 8) % 6], 1); break;
		case 3: i8259_inta(dev); break;
		case 4: i8259_taken(dev, x >> 8 & 0xff); break;
		default: fake_outb(&f, port[(x >> 8) % 6], x >> 16 & 0xff);
		}
		assert_true(pic->cls->sane(dev));
		vector();
		if (i % 1000 == 0)
			fake_save_load(&f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(silent_until_initialised, setup, teardown),
		cmocka_unit_test_setup_teardown(init_sequences, setup, teardown),
		cmocka_unit_test_setup_teardown(fully_nested, setup, teardown),
		cmocka_unit_test_setup_teardown(masks, setup, teardown),
		cmocka_unit_test_setup_teardown(cascade, setup, teardown),
		cmocka_unit_test_setup_teardown(special_fully_nested, setup, teardown),
		cmocka_unit_test_setup_teardown(automatic_eoi, setup, teardown),
		cmocka_unit_test_setup_teardown(rotation, setup, teardown),
		cmocka_unit_test_setup_teardown(special_mask, setup, teardown),
		cmocka_unit_test_setup_teardown(polling, setup, teardown),
		cmocka_unit_test_setup_teardown(edges, setup, teardown),
		cmocka_unit_test_setup_teardown(levels, setup, teardown),
		cmocka_unit_test_setup_teardown(taken, setup, teardown),
		cmocka_unit_test_setup_teardown(bad_state, setup, teardown),
		cmocka_unit_test_setup_teardown(hostile, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
