/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_xen_ranges.c - firmware/xen/ranges.c against Xen's rules: what is mapped twice or unmapped without need ends a domain, and
 * an access goes where include/sio/xen.h says.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "firmware/xen/xen_home.h"

#define MODEL 37u /* in the operations' arg too */

struct fw fw;

static struct sio_config cfg;

struct range {
	uint32_t arg, dirties;
	uint64_t base, len;
};

static struct xen {
	unsigned n;
	struct range range[SIO_XEN_MAX_RANGES];
} xen;

void fw_panic(const char *f, ...)
{
	fail_msg("the firmware panics: %s", f);
	abort();
}

static bool meet(const struct range *r, uint32_t arg, uint64_t base, uint64_t len)
{
	return (r->arg & 0xff) == (arg & 0xff) && r->base < base + len && base < r->base + r->len;
}

void xen_emit(struct sio_slot_shared *s, uint32_t code, uint32_t arg, uint64_t a, uint64_t b)
{
	uint64_t len = (uint32_t)b;
	unsigned i = 0;

	while (i < xen.n && !meet(&xen.range[i], arg, a, len))
		i++;
	assert_true(len > 0);
	if (code == SIO_XEN_OP_UNMAP) {
		assert_true(i < xen.n);
		assert_int_equal(xen.range[i].base, a);
		assert_int_equal(xen.range[i].len, len);
		xen.range[i] = xen.range[--xen.n];
		return;
	}
	assert_int_equal(code, SIO_XEN_OP_MAP);
	assert_int_equal(i, xen.n);
	assert_true(xen.n < SIO_XEN_MAX_RANGES);
	assert_in_range(arg >> 4 & 0xf, 0, SIO_XEN_SHADOW);
	if ((arg >> 4 & 0xf) == SIO_XEN_SHADOW)
		assert_true((arg >> 16) % 8 + len <= 7 && arg >> 16 < 8 * SIO_XEN_SHADOW_WORDS);
	xen.range[xen.n++] = (struct range){ arg, (uint32_t)(b >> 32), a, len };
}

/* The range that has a port of that kind. */
static const struct range *at(unsigned kind, uint64_t port)
{
	for (unsigned i = 0; i < xen.n; i++)
		if (meet(&xen.range[i], SIO_XEN_MAP_ARG(SIO_SPACE_PIO, kind, 0), port, 1))
			return &xen.range[i];
	return NULL;
}

static void map(unsigned space, unsigned kind, uint64_t base, uint64_t len, uint64_t c)
{
	struct sio_op op = { .code = SIO_OP_MAP,
			     .arg = SIO_MAP_ARG(space, kind, MODEL),
			     .a = base,
			     .b = len,
			     .c = c };

	xen_map(NULL, &op);
}

static void unmap(unsigned space, uint64_t base, uint64_t len)
{
	struct sio_op op = { .code = SIO_OP_UNMAP, .arg = space, .a = base, .b = len };

	xen_unmap(NULL, &op);
}

static int begin(void **state)
{
	unmap(SIO_SPACE_PIO, 0, 0x10000);
	assert_int_equal(xen.n, 0);
	xen_emit(NULL, SIO_XEN_OP_MAP, 0, 0, 0x10000); /* boot.c */
	cfg.n_vcpus = 1;
	fw.cfg = &cfg;
	return 0;
}

static int end(void **state)
{
	unmap(SIO_SPACE_PIO, 0, 0x10000);
	assert_int_equal(xen.n, 1);
	xen.n = 0;
	return 0;
}

enum { ALT, STATUS, DEVICE, NONE = SIO_NO_SHADOW };

/* A channel of the PIIX3's, as its model asks. */
static void channel(void)
{
	map(SIO_SPACE_PIO, SIO_MAP_SHADOW, 0x3f6, 1, ALT);
	map(SIO_SPACE_PIO, SIO_MAP_SHADOW, 0x1f7, 1, STATUS);
	map(SIO_SPACE_PIO, SIO_MAP_SHADOW, 0x1f6, 1, DEVICE);
	map(SIO_SPACE_PIO, SIO_MAP_FIFO, 0x1f0, 4, 0);
	map(SIO_SPACE_PIO, SIO_MAP_POSTED, 0x1f0, 4, SIO_POSTED_C(3, NONE, 0, 0));
	map(SIO_SPACE_PIO, SIO_MAP_POSTED, 0x1f1, 5, SIO_POSTED_C(0, NONE, 0, 0));
	map(SIO_SPACE_PIO, SIO_MAP_POSTED, 0x1f6, 1, SIO_POSTED_C(3, DEVICE, 0x10, 0));
	map(SIO_SPACE_PIO, SIO_MAP_POSTED, 0x1f7, 1, SIO_POSTED_C(7, NONE, 0, 0x80));
}

static void ide(void **state)
{
	const struct range *r;

	channel();
	assert_int_equal(at(SIO_XEN_SHADOW, 0x3f6)->arg >> 16, 8 * ALT);
	assert_int_equal(at(SIO_XEN_SHADOW, 0x1f7)->arg >> 16, 8 * STATUS);
	assert_int_equal(at(SIO_XEN_SHADOW, 0x1f6)->arg >> 16, 8 * DEVICE);
	for (unsigned port = 0x1f1; port < 0x1f6; port++) {
		r = at(SIO_XEN_POSTED, port);
		assert_non_null(r);
		assert_int_equal(r->dirties, 0);
	}
	/* No word of the data port comes by single writes that wait: it would have to have the registers behind it. */
	assert_int_equal(at(SIO_XEN_POSTED, 0x1f0)->len, 1);
	r = at(SIO_XEN_POSTED, 0x1f6);
	assert_int_equal(r->dirties, 3);
	assert_int_equal(r->arg >> 8 & 0x3f, DEVICE);
	assert_int_equal(r->arg >> 16, SIO_XEN_POSTED_AT(0, 0x10));
	r = at(SIO_XEN_POSTED, 0x1f7);
	assert_int_equal(r->dirties, 7);
	assert_int_equal(r->arg >> 8 & 0x3f, SIO_XEN_SHADOW_WORDS - 1);
	assert_int_equal(r->arg >> 16, SIO_XEN_POSTED_AT(0x80, 0));
	assert_null(at(SIO_XEN_SHADOW, 0x1f0));
}

/* Nothing is answered while a write waits: no dirties too few, no own that could be valid. */
static void several(void **state)
{
	cfg.n_vcpus = 2;
	channel();
	for (unsigned port = 0x1f1; port < 0x1f8; port++) {
		assert_int_equal(at(SIO_XEN_POSTED, port)->dirties, UINT32_MAX);
		assert_int_equal(at(SIO_XEN_POSTED, port)->arg >> 8 & 0x3f,
				 SIO_XEN_SHADOW_WORDS - 1);
	}
}

/* What Xen can't do goes to the firmware. */
static void not_fast(void **state)
{
	map(SIO_SPACE_PIO, SIO_MAP_POSTED, 0x100, 1,
	    SIO_POSTED_C(0, 1, 0, 0) | SIO_POSTED_IF_CLEAR);
	map(SIO_SPACE_PIO, SIO_MAP_POSTED, 0x110, 2, SIO_POSTED_C(0, NONE, 0, 1));
	map(SIO_SPACE_PIO, SIO_MAP_POSTED, 0x110, 2, SIO_POSTED_C(0, 1, 1, 0));
	map(SIO_SPACE_PIO, SIO_MAP_SHADOW, 0x120, 8, 1);
	map(SIO_SPACE_MMIO, SIO_MAP_POSTED, 0xf0000000, 4, SIO_POSTED_C(0, NONE, 0, 0));
	map(SIO_SPACE_PIO, SIO_MAP_CLOCK, 0x130, 4, 3579545);
	assert_int_equal(xen.n, 1);
	/* Xen looks for the shadow of a write's first byte only. */
	map(SIO_SPACE_PIO, SIO_MAP_SHADOW, 0x143, 1, 1);
	map(SIO_SPACE_PIO, SIO_MAP_POSTED, 0x140, 4, SIO_POSTED_C(0, NONE, 0, 0));
	assert_null(at(SIO_XEN_POSTED, 0x140));
	map(SIO_SPACE_PIO, SIO_MAP_POSTED, 0x150, 4, SIO_POSTED_C(0, NONE, 0, 0));
	map(SIO_SPACE_PIO, SIO_MAP_SHADOW, 0x153, 1, 1);
	assert_null(at(SIO_XEN_SHADOW, 0x153));
	/* A model that claims ports takes them from who had them fast. */
	map(SIO_SPACE_PIO, SIO_MAP_REFLECT, 0x152, 1, 0);
	assert_null(at(SIO_XEN_POSTED, 0x150));
}

static unsigned memory(uint64_t base)
{
	unsigned n = 0;

	for (unsigned i = 0; i < xen.n; i++)
		n += (xen.range[i].arg & 0xff) == SIO_SPACE_MMIO && xen.range[i].base == base;
	return n;
}

static void claims(void **state)
{
	map(SIO_SPACE_MMIO, SIO_MAP_REFLECT, 0xe0000000, 0x2000, 0);
	map(SIO_SPACE_MMIO, SIO_MAP_REFLECT, 0xe0001000, 0x2000, 0);
	assert_true(memory(0xe0000000) && !memory(0xe0001000));
	unmap(SIO_SPACE_MMIO, 0xe0000000, 0x2000);
	assert_true(!memory(0xe0000000) && memory(0xe0001000));
	map(SIO_SPACE_MMIO, SIO_MAP_REFLECT, 0xe0000000, 0x1000, 0);
	assert_true(memory(0xe0000000));
	unmap(SIO_SPACE_MMIO, 0xe0000000, 0x1000);
	unmap(SIO_SPACE_MMIO, 0xe0001000, 0x2000);
	unmap(SIO_SPACE_MMIO, 0xe0001000, 0x2000);
	assert_int_equal(xen.n, 1);
}

static int by_place(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct range));
}

/* Xen has forgotten all, and is told: it is as it was. */
static void check_again(void)
{
	struct xen before = xen;

	xen.n = 0;
	xen_map_again(NULL);
	assert_int_equal(xen.n, before.n);
	qsort(xen.range, xen.n, sizeof(xen.range[0]), by_place);
	qsort(before.range, before.n, sizeof(before.range[0]), by_place);
	assert_memory_equal(xen.range, before.range, xen.n * sizeof(xen.range[0]));
}

static void again(void **state)
{
	channel();
	map(SIO_SPACE_MMIO, SIO_MAP_REFLECT, 0xe0000000, 0x2000, 0);
	map(SIO_SPACE_MMIO, SIO_MAP_REFLECT, 0xe0001000, 0x2000, 0);
	check_again();
	unmap(SIO_SPACE_MMIO, 0xe0001000, 0x2000);
	unmap(SIO_SPACE_MMIO, 0xe0000000, 0x2000);
}

/* Whatever models ask for, in whatever order: Xen's rules are kept (xen_emit()). */
static void at_random(void **state)
{
	uint64_t claim[12] = { 0 };

	srand(5);
	for (unsigned n = 0; n < 200000; n++) {
		unsigned what = (unsigned)rand() % 256, i = (unsigned)rand() % 16;
		unsigned len = 1 + (unsigned)rand() % 9;
		uint64_t c = (uint64_t)rand() << 32 | (uint32_t)rand();
		uint64_t port = 0x100 + (unsigned)rand() % 256;
		uint64_t base = 0xe0000000 + (unsigned)rand() % 16 * 0x1000;

		if (what < 60) {
			map(SIO_SPACE_PIO, SIO_MAP_SHADOW, port, len, c % SIO_MAX_SHADOWS);
		} else if (what < 180) {
			map(SIO_SPACE_PIO, SIO_MAP_POSTED, port, len, c);
		} else if (what < 200) {
			map(SIO_SPACE_PIO, SIO_MAP_REFLECT, port, len, 0);
		} else if (what < 210) {
			unmap(SIO_SPACE_PIO, port, len);
		} else if (i < 12 && !claim[i]) {
			map(SIO_SPACE_MMIO, SIO_MAP_REFLECT, claim[i] = base, 0x1000 << i % 3, 0);
		} else if (i < 12) {
			unmap(SIO_SPACE_MMIO, claim[i], 0x1000 << i % 3);
			claim[i] = 0;
		}
		if (n % 1000 == 0)
			check_again();
	}
	for (unsigned i = 0; i < 12; i++)
		if (claim[i])
			unmap(SIO_SPACE_MMIO, claim[i], 0x1000 << i % 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(ide, begin, end),
		cmocka_unit_test_setup_teardown(several, begin, end),
		cmocka_unit_test_setup_teardown(not_fast, begin, end),
		cmocka_unit_test_setup_teardown(claims, begin, end),
		cmocka_unit_test_setup_teardown(again, begin, end),
		cmocka_unit_test_setup_teardown(at_random, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
