/* SPDX-License-Identifier: BSD-2-Clause */
/* Register scripts for the fw_cfg device, as QEMU's docs/specs/fw_cfg describes it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "fake_host.h"
#include "models/fwcfg/fwcfg.h"

#define CTL  0x510
#define DATA 0x511
#define DMA  0x514

#define ERROR  1u
#define READ   2u
#define SKIP   4u
#define SELECT 8u
#define WRITE  16u

#define CMD 0x2000u /* where tests put the control structure */

static uint8_t big[300000];
static const uint8_t uuid[16] = "0123456789abcdef";

static const struct fwcfg_item items[] = {
	{ .key = FWCFG_UUID, .data = uuid, .len = 16 },
	{ .name = "etc/system-states", .data = "sssss", .len = 6 },
	{ .name = "bootorder", .data = "/rom", .len = 5 },
	{ .key = FWCFG_IRQ0_OVERRIDE, .data = "\1", .len = 1 },
	{ .name = "etc/e820", .data = big, .len = sizeof(big) },
	{ .name = "etc/e", .data = NULL, .len = 0 },
	{ .key = FWCFG_INITRD_DATA, .data = NULL, .len = 0 },
};
static const struct fwcfg_cfg cfg = { items, sizeof(items) / sizeof(items[0]) };

static int setup(void **state)
{
	struct fake *f = calloc(1, sizeof(*f));

	for (size_t i = 0; i < sizeof(big); i++)
		big[i] = (uint8_t)(i * 7 + (i >> 8) + 1);
	fake_init(f);
	fake_add(f, &fwcfg_class, &cfg, -1);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	fake_free(*state);
	free(*state);
	return 0;
}

static void be32(uint8_t *p, uint32_t v)
{
	v = __builtin_bswap32(v);
	memcpy(p, &v, 4);
}

static uint32_t rd32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, 4);
	return __builtin_bswap32(v);
}

/* Runs a DMA command; the control word afterwards. */
static uint32_t dma(struct fake *f, uint32_t control, uint32_t len, uint64_t addr)
{
	be32(f->ram + CMD, control);
	be32(f->ram + CMD + 4, len);
	be32(f->ram + CMD + 8, (uint32_t)(addr >> 32));
	be32(f->ram + CMD + 12, (uint32_t)addr);
	fake_outl(f, DMA + 4, __builtin_bswap32(CMD));
	return rd32(f->ram + CMD);
}

static void test_ports(void **state)
{
	struct fake *f = *state;
	uint8_t buf[16];

	fake_outw(f, CTL, FWCFG_SIGNATURE);
	assert_int_equal(fake_inb(f, DATA), 'Q');
	fake_save_load(f);
	assert_int_equal(fake_inb(f, DATA), 'E');
	assert_int_equal(fake_inb(f, DATA), 'M');
	assert_int_equal(fake_inb(f, DATA), 'U');
	assert_int_equal(fake_inb(f, DATA), 0); /* past the end */
	assert_int_equal(fake_inb(f, DATA), 0);

	fake_outw(f, CTL, FWCFG_ID);
	fake_burst(f, DATA, 1, false, buf, 5);
	assert_memory_equal(buf, "\3\0\0\0\0", 5);

	/* The write channel selects the same item; what is written is lost. */
	fake_outw(f, CTL, 0x4000 | FWCFG_UUID);
	fake_outb(f, DATA, 0x55);
	fake_outb(f, CTL, 0x55);
	memset(buf, 0xaa, sizeof(buf));
	fake_burst(f, DATA, 1, true, buf, 4);
	fake_burst(f, DATA, 1, false, buf, 3);
	fake_save_load(f);
	fake_burst(f, DATA, 1, false, buf + 3, 13);
	assert_memory_equal(buf, uuid, 16);

	/* Architecture keys are apart; keys that are not there read as nothing. */
	fake_outw(f, CTL, FWCFG_IRQ0_OVERRIDE);
	assert_int_equal(fake_inb(f, DATA), 1);
	fake_outw(f, CTL, 0xffff);
	assert_int_equal(fake_inb(f, DATA), 0);
	fake_outw(f, CTL, FWCFG_INITRD_DATA);
	assert_int_equal(fake_inb(f, DATA), 0);

	/* A burst of selections: the last one counts. */
	memcpy(buf, "\x00\x00\x02\x00", 4);
	fake_burst(f, CTL, 2, true, buf, 2);
	assert_int_equal(fake_inb(f, DATA), '0');
	fake_burst(f, CTL, 1, false, buf, 2);
	assert_memory_equal(buf, "\xff\xff", 2); /* the selector is write-only */
	assert_int_equal(fake_inb(f, CTL), 0xff);
	assert_int_equal(fake_inb(f, DATA), '1');
}

static void test_directory(void **state)
{
	static const struct {
		const char *name;
		uint32_t len;
	} want[] = {
		{ "bootorder", 5 },
		{ "etc/e", 0 },
		{ "etc/e820", sizeof(big) },
		{ "etc/system-states", 6 },
	};
	struct fake *f = *state;
	uint8_t e[64];

	fake_outw(f, CTL, FWCFG_FILE_DIR);
	fake_burst(f, DATA, 1, false, e, 4);
	assert_int_equal(rd32(e), 4);
	for (unsigned i = 0; i < 4; i++) {
		fake_burst(f, DATA, 1, false, e, 64);
		assert_int_equal(rd32(e), want[i].len);
		assert_int_equal(rd32(e + 4), (FWCFG_FILE_FIRST + i) << 16);
		assert_string_equal((char *)e + 8, want[i].name);
	}
	assert_int_equal(fake_inb(f, DATA), 0);
	fake_outw(f, CTL, FWCFG_FILE_FIRST);
	fake_burst(f, DATA, 1, false, e, 5);
	assert_memory_equal(e, "/rom", 5);
}

static void test_dma(void **state)
{
	struct fake *f = *state;
	const uint32_t e820 = (FWCFG_FILE_FIRST + 2) << 16;

	assert_int_equal(fake_inl(f, DMA), 0x554d4551); /* "QEMU" */
	assert_int_equal(fake_inl(f, DMA + 4), 0x47464320);
	assert_int_equal(fake_inw(f, DMA + 6), 0x4746);
	assert_int_equal(fake_inb(f, DMA + 7), 'G');

	/* All of it, and zeros behind it. */
	memset(f->ram + 0x100000, 0xee, sizeof(big) + 5001);
	assert_int_equal(dma(f, e820 | SELECT | READ, sizeof(big) + 5000, 0x100000), 0);
	assert_memory_equal(f->ram + 0x100000, big, sizeof(big));
	for (unsigned i = 0; i < 5000; i++)
		assert_int_equal(f->ram[0x100000 + sizeof(big) + i], 0);
	assert_int_equal(f->ram[0x100000 + sizeof(big) + 5000], 0xee);

	/* Select alone, skip, read in pieces. */
	assert_int_equal(dma(f, e820 | SELECT, 77, 0), 0);
	assert_int_equal(dma(f, SKIP, 1000, 0), 0);
	fake_save_load(f);
	assert_int_equal(dma(f, READ, 100, 0x5000), 0);
	assert_int_equal(dma(f, READ | SKIP | WRITE, 100, 0x5064), 0); /* READ wins */
	assert_memory_equal(f->ram + 0x5000, big + 1000, 200);
	assert_int_equal(dma(f, 0, 100, 0x5000), 0);
	assert_int_equal(fake_inb(f, DATA), big[1200]);
	assert_int_equal(dma(f, e820 | SELECT | SKIP, 5, 0), 0);
	assert_int_equal(fake_inb(f, DATA), big[5]);
	assert_int_equal(dma(f, READ, 0, UINT64_MAX), ERROR); /* not RAM, however little */
	assert_int_equal(dma(f, READ, 0, 0x5000), 0);

	/* The high half serves one transfer. */
	fake_outl(f, DMA, __builtin_bswap32(1));
	fake_save_load(f);
	be32(f->ram + CMD, SKIP);
	fake_outl(f, DMA + 4, __builtin_bswap32(CMD)); /* at 4 GiB + CMD, which is not RAM */
	assert_int_equal(rd32(f->ram + CMD), SKIP);
	assert_int_equal(dma(f, FWCFG_UUID << 16 | SELECT | READ, 16, 0x5000), 0);
	assert_memory_equal(f->ram + 0x5000, uuid, 16);
}

/* A long one takes several entries; one that gets in its way ends it. */
static void test_dma_long(void **state)
{
	struct fake *f = *state;
	const uint32_t sel = (FWCFG_FILE_FIRST + 2) << 16 | SELECT, len = 7u << 20;
	unsigned steps = 0;

	memset(f->ram + 0x100000, 0xee, len + 1);
	assert_int_equal(dma(f, sel | READ, len, 0x100000), sel | READ);
	assert_memory_equal(f->ram + 0x100000, big, sizeof(big));
	assert_int_equal(f->ram[0x100000 + len - 1], 0xee);
	for (; rd32(f->ram + CMD) && steps < 10; steps++) {
		fake_save_load(f);
		fake_step(f, 1);
	}
	assert_in_range(steps, 1, 6);
	assert_int_equal(rd32(f->ram + CMD), 0);
	for (unsigned i = sizeof(big); i < len; i++)
		if (f->ram[0x100000 + i])
			fail_msg("byte %u is not 0", i);
	assert_int_equal(f->ram[0x100000 + len], 0xee);

	assert_int_equal(dma(f, sel | READ, len, 0x100000), sel | READ);
	memcpy(f->ram + CMD + 16, f->ram + CMD, 16);
	be32(f->ram + CMD + 16, sel | SKIP);
	be32(f->ram + CMD + 20, 3);
	fake_outl(f, DMA + 4, __builtin_bswap32(CMD + 16));
	assert_int_equal(rd32(f->ram + CMD), ERROR);
	assert_int_equal(rd32(f->ram + CMD + 16), 0);
	f->ram[0x100000 + len - 1] = 0xee;
	fake_step(f, 1000000);
	assert_int_equal(f->ram[0x100000 + len - 1], 0xee);
	assert_int_equal(fake_inb(f, DATA), big[3]);
}

static void test_dma_hostile(void **state)
{
	struct fake *f = *state;
	const uint32_t sel = (FWCFG_FILE_FIRST + 2) << 16 | SELECT;

	/* Not writable. */
	assert_int_equal(dma(f, sel | WRITE, 4, 0x5000), ERROR);
	/* Not RAM, beyond RAM, around the end of the address space: nothing moves. */
	assert_int_equal(dma(f, sel | READ, 4, FAKE_RAM_SIZE), ERROR);
	memset(f->ram + FAKE_RAM_SIZE - 4, 0xee, 4);
	assert_int_equal(dma(f, sel | READ, 5, FAKE_RAM_SIZE - 4), ERROR);
	assert_memory_equal(f->ram + FAKE_RAM_SIZE - 4, "\xee\xee\xee\xee", 4);
	assert_int_equal(dma(f, sel | READ, UINT32_MAX, 0), ERROR);
	assert_int_equal(dma(f, sel | READ, 32, UINT64_MAX - 15), ERROR);
	assert_int_equal(fake_inb(f, DATA), big[0]); /* a failed read moves nothing on */
	/* Skips stop at the end. */
	assert_int_equal(dma(f, sel | SKIP, UINT32_MAX, 0), 0);
	assert_int_equal(dma(f, SKIP, UINT32_MAX, 0), 0);
	assert_int_equal(fake_inb(f, DATA), 0);
	/* A structure that overlaps its own target: the result is written last. */
	assert_int_equal(dma(f, sel | READ, 64, CMD), 0);
	assert_memory_equal(f->ram + CMD + 4, big + 4, 60);
	/* A structure at the end of RAM, across it, and beyond it. */
	be32(f->ram + FAKE_RAM_SIZE - 16, SKIP);
	fake_outl(f, DMA + 4, __builtin_bswap32(FAKE_RAM_SIZE - 16));
	assert_int_equal(rd32(f->ram + FAKE_RAM_SIZE - 16), 0);
	be32(f->ram + FAKE_RAM_SIZE - 12, SKIP);
	fake_outl(f, DMA + 4, __builtin_bswap32(FAKE_RAM_SIZE - 12));
	assert_int_equal(rd32(f->ram + FAKE_RAM_SIZE - 12), ERROR);
	fake_outl(f, DMA + 4, UINT32_MAX);
	fake_outl(f, DMA, UINT32_MAX);
	fake_outl(f, DMA + 4, UINT32_MAX);
	/* Other widths and places start nothing. */
	be32(f->ram + CMD, SKIP);
	fake_outw(f, DMA + 4, 0x2000);
	fake_outb(f, DMA + 7, 0x20);
	fake_outl(f, DMA + 2, __builtin_bswap32(CMD));
	assert_int_equal(rd32(f->ram + CMD), SKIP);
}

static void test_reset_and_load(void **state)
{
	struct fake *f = *state;
	void *d = f->host[0].dev;
	uint8_t buf[128];
	size_t n;
	uint32_t beyond = 17;

	fake_outw(f, CTL, FWCFG_UUID);
	(void)fake_inb(f, DATA);
	fwcfg_class.reset(d);
	assert_int_equal(fake_inb(f, DATA), 'Q');

	/* An offset beyond the item is no state of this device. */
	fake_outw(f, CTL, FWCFG_UUID);
	n = dev_save(&fwcfg_class, d, buf, sizeof(buf));
	assert_true(n != 0);
	memcpy(buf + n - fwcfg_class.state_size, &beyond, 4);
	assert_int_equal(dev_load(&fwcfg_class, d, buf, n), -1);
	assert_true(fwcfg_class.sane(d));
	assert_int_equal(fake_inb(f, DATA), 'Q');
}

static int try_init(const struct fwcfg_item *it, unsigned n)
{
	struct fwcfg_cfg c = { it, n };
	struct dev_env env = { 0 };
	void *d = calloc(1, fwcfg_class.size);
	int rc = fwcfg_class.init(d, &env, &c);

	free(d);
	return rc;
}

static void test_config(void **state)
{
	struct fwcfg_item it[FWCFG_MAX_ITEMS + 1];
	char name[FWCFG_MAX_ITEMS + 1][60];

	(void)state;
	for (unsigned i = 0; i <= FWCFG_MAX_ITEMS; i++) {
		memset(name[i], 0, sizeof(name[i]));
		name[i][0] = (char)('A' + (i * 5) % 57);
		it[i] = (struct fwcfg_item){ .name = name[i], .data = "", .len = 1 };
	}
	assert_int_equal(try_init(it, 0), 0);
	assert_int_equal(try_init(it, FWCFG_MAX_FILES), 0);
	assert_int_equal(try_init(it, FWCFG_MAX_FILES + 1), -1);
	memset(name[3], 'x', 55);
	assert_int_equal(try_init(it, 4), 0);
	name[3][55] = 'x';
	assert_int_equal(try_init(it, 4), -1);
	name[3][0] = 0;
	assert_int_equal(try_init(it, 4), -1);
	it[3].name = "A";
	assert_int_equal(try_init(it, 4), -1); /* twice */
	for (unsigned i = 0; i <= FWCFG_MAX_ITEMS; i++)
		it[i] = (struct fwcfg_item){ .key = (uint16_t)(0x8000 + i), .data = "", .len = 1 };
	assert_int_equal(try_init(it, FWCFG_MAX_ITEMS), 0);
	assert_int_equal(try_init(it, FWCFG_MAX_ITEMS + 1), -1);
	it[3].key = 0x8000;
	assert_int_equal(try_init(it, 4), -1);
	it[3].key = FWCFG_FILE_FIRST;
	assert_int_equal(try_init(it, 4), -1);
	it[3].key = FWCFG_FILE_DIR;
	assert_int_equal(try_init(it, 4), -1);
	it[3].key = 0xc000;
	assert_int_equal(try_init(it, 4), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_ports, setup, teardown),
		cmocka_unit_test_setup_teardown(test_directory, setup, teardown),
		cmocka_unit_test_setup_teardown(test_dma, setup, teardown),
		cmocka_unit_test_setup_teardown(test_dma_long, setup, teardown),
		cmocka_unit_test_setup_teardown(test_dma_hostile, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reset_and_load, setup, teardown),
		cmocka_unit_test(test_config),
	};

	return cmocka_run_group_tests_name("fwcfg", tests, NULL, NULL);
}
