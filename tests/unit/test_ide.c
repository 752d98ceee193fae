/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_ide.c - IDE register scripts from ATA/ATAPI-6: task file, PIO, the command set, PCI function.
 */
#include "ide_test.h"

/* Identification and presence */

static void test_identify(void **state)
{
	struct t *t = start(0xf);
	uint16_t id[256];
	char s[41];

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		unsigned p = i < 2 ? P0 : P1;

		identify(t, p, i & 1 ? 0xb0 : 0xa0, id);
		for (unsigned c = 0; c < 20; c++)
			s[c] = (char)(id[10 + c / 2] >> (c & 1 ? 0 : 8));
		s[7] = (char)(s[7] - i);
		assert_memory_equal(s, "SERIAL00            ", 20);
		for (unsigned c = 0; c < 40; c++)
			s[c] = (char)(id[27 + c / 2] >> (c & 1 ? 0 : 8));
		assert_memory_equal(s, "Test disk                               ", 40);
		assert_int_equal(id[0], 0x40);
		assert_int_equal(id[1], 20000 / 1008);
		assert_int_equal(id[3], 16);
		assert_int_equal(id[6], 63);
		assert_int_equal(id[47], 0x8010);
		assert_int_equal(id[53] & 7, 7);
		assert_int_equal(id[59], 0x110);
		assert_int_equal(id[60] | id[61] << 16, 20000);
		assert_int_equal(id[63], 0x407);
		assert_int_equal(id[75], 0);
		assert_int_equal(id[83] & 0xc000, 0x4000);
		assert_true(id[83] & 0x400); /* LBA48 */
		assert_true((id[83] & 0x3000) == 0x3000);
		assert_true(id[85] & 0x20);
		assert_int_equal(id[88], 0x3f);
		assert_int_equal(id[100], 20000);
		assert_int_equal(id[101] | id[102] | id[103], 0);
		assert_int_equal(id[128], 0);
		assert_int_equal(id[169], 1);
		assert_int_equal(id[255] & 0xff, 0xa5);
		assert_int_equal(id[93] & 0xe000, 0x6000);
		assert_int_equal(id[93] & 0x40, 0);
	}
	feature(t, P0, 0x03, 0x45, 0xa0); /* UDMA 5 */
	good(t, P0);
	feature(t, P0, 0x82, 0, 0xa0);
	good(t, P0);
	assert_int_equal(t->d[0].n_flush, 1); /* what was in the cache */
	feature(t, P0, 0x55, 0, 0xa0);
	good(t, P0);
	identify(t, P0, 0xa0, id);
	assert_int_equal(id[63], 0x07);
	assert_int_equal(id[88], 0x203f);
	assert_int_equal(id[85] & 0x60, 0);
	feature(t, P0, 0x02, 0, 0xa0);
	good(t, P0);
	feature(t, P0, 0xaa, 0, 0xa0);
	good(t, P0);
	feature(t, P0, 0x03, 0x0c, 0xa0); /* PIO 4: DMA stays */
	good(t, P0);
	identify(t, P0, 0xa0, id);
	assert_int_equal(id[88], 0x203f);
	assert_int_equal(id[85] & 0x60, 0x60);
	stop(t);

	t = start(1); /* no slave; a big disk; no discard on a read-only one */
	t->d[0].blk.n_sectors = 1ull << 32;
	t->d[0].blk.read_only = true;
	identify(t, P0, 0xa0, id);
	assert_int_equal(id[1], 16383);
	assert_int_equal(id[60] | id[61] << 16, 0x0fffffff);
	assert_int_equal(id[102], 1);
	assert_int_equal(id[169], 0);
	assert_int_equal(id[93] & 0xdf61, 0x4041);
	t->d[0].blk.n_sectors = t->cap;
	stop(t);

	t = start(0); /* no model name given; a tiny disk */
	fake_disk_init(&t->d[0], &t->f, 2);
	memset(&t->cfg, 0, sizeof(t->cfg));
	t->cfg.disk[2] = &t->d[0].blk;
	fake_free(&t->f);
	fake_init(&t->f);
	t->dev = fake_add(&t->f, &piix3_ide_class, &t->cfg, DEVFN);
	identify(t, P1, 0xa0, id);
	assert_int_equal(id[27], 's' << 8 | 'e');
	assert_int_equal(id[1], 1);
	assert_int_equal(id[57], 2);
	stop(t);
}

static void test_init_refuses(void **state)
{
	struct t *t = start(0);
	struct blk none = { .n_sectors = 0 };
	struct piix3_ide_cfg cfg = { .disk = { &none } };
	void *d = calloc(1, piix3_ide_class.size);
	struct dev_env env = { 0 };

	(void)state;
	assert_int_equal(piix3_ide_class.init(d, &env, &cfg), -1);
	none.n_sectors = (1ull << 48) + 1;
	assert_int_equal(piix3_ide_class.init(d, &env, &cfg), -1);
	free(d);
	stop(t);
}

static void test_presence(void **state)
{
	struct t *t = start(1); /* primary master alone */

	(void)state;
	for (unsigned r = 1; r < 8; r++) {
		fake_outb(&t->f, P1 + r, 0x55);
		assert_int_equal(fake_inb(&t->f, P1 + r), 0);
	}
	assert_int_equal(alt(t, P1), 0);
	fake_outb(&t->f, CTL(P1), 4);
	assert_int_equal(alt(t, P1), 0);
	assert_int_equal(fake_inw(&t->f, P1), 0xffff);

	/* The signature after power on. */
	assert_int_equal(status(t, P0), DRDY);
	assert_int_equal(fake_inb(&t->f, P0 + 1), 1);
	assert_int_equal(fake_inb(&t->f, P0 + 2), 1);
	assert_int_equal(fake_inb(&t->f, P0 + 3), 1);
	assert_int_equal(fake_inb(&t->f, P0 + 4), 0);
	assert_int_equal(fake_inb(&t->f, P0 + 5), 0);
	assert_int_equal(fake_inb(&t->f, P0 + 6), 0xa0);

	/* Device 0 answers for device 1, status 0; commands are ignored. */
	fake_outb(&t->f, P0 + 6, 0xb0);
	assert_int_equal(fake_inb(&t->f, P0 + 6), 0xb0);
	fake_outb(&t->f, P0 + 2, 0x55);
	fake_outb(&t->f, P0 + 3, 0xaa);
	assert_int_equal(fake_inb(&t->f, P0 + 2), 0x55);
	assert_int_equal(fake_inb(&t->f, P0 + 3), 0xaa);
	assert_int_equal(status(t, P0), 0);
	assert_int_equal(alt(t, P0), 0);
	fake_outb(&t->f, P0 + 7, 0xec);
	assert_int_equal(status(t, P0), 0);
	assert_false(line(t, 0));
	fake_save_load(&t->f);

	/* EXECUTE DEVICE DIAGNOSTIC goes to all. */
	fake_outb(&t->f, P0 + 7, 0x90);
	assert_true(line(t, 0));
	assert_int_equal(fake_inb(&t->f, P0 + 6), 0xa0);
	assert_int_equal(fake_inb(&t->f, P0 + 2), 1);
	assert_int_equal(fake_inb(&t->f, P0 + 1), 1);
	good(t, P0);
	stop(t);

	t = start(2); /* a slave alone */
	assert_int_equal(status(t, P0), 0);
	fake_outb(&t->f, P0 + 6, 0xb0);
	assert_int_equal(status(t, P0), DRDY);
	fake_outb(&t->f, P0 + 6, 0xa0);
	fake_outb(&t->f, P0 + 7, 0x90);
	assert_true(line(t, 0));
	stop(t);
}

static void test_interrupt_lines(void **state)
{
	struct t *t = start(3);
	uint16_t w;

	(void)state;
	cmd(t, P0, 0x10, 0, 0, 0xe0); /* RECALIBRATE */
	assert_true(line(t, 0));
	assert_int_equal(alt(t, P0), DRDY);
	assert_true(line(t, 0)); /* alternate status leaves it */
	assert_int_equal(bm_status(t, 0), 4);
	fake_outb(&t->f, P0 + 6, 0xf0); /* the other drive has none */
	assert_false(line(t, 0));
	fake_outb(&t->f, P0 + 6, 0xe0);
	assert_true(line(t, 0));
	fake_outb(&t->f, CTL(P0), 2); /* nIEN */
	assert_false(line(t, 0));
	fake_save_load(&t->f);
	fake_outb(&t->f, CTL(P0), 0);
	assert_true(line(t, 0));
	cmd(t, P0, 0x10, 0, 0, 0xe0); /* a command clears it, then sets it */
	assert_int_equal(rises(t, 0), 4);
	good(t, P0);
	fake_outb(&t->f, CTL(P0), 2);
	cmd(t, P0, 0x10, 0, 0, 0xe0);
	assert_false(line(t, 0));
	assert_int_equal(status(t, P0), DRDY);
	fake_outb(&t->f, CTL(P0), 0);
	assert_false(line(t, 0)); /* status was read meanwhile */

	/* Words and dwords of the task file go byte by byte; the control register is read as a byte. */
	fake_outw(&t->f, P0 + 2, 0x3412);
	assert_int_equal(fake_inb(&t->f, P0 + 2), 0x12);
	assert_int_equal(fake_inb(&t->f, P0 + 3), 0x34);
	w = fake_inw(&t->f, P0 + 2);
	assert_int_equal(w, 0x3412);
	assert_int_equal(fake_inl(&t->f, P0 + 4) & 0xffff, 0);
	assert_int_equal(fake_inw(&t->f, P0), 0xffff); /* no data */
	fake_burst(&t->f, P0 + 2, 1, true, "abc", 3);
	assert_int_equal(fake_inb(&t->f, P0 + 2), 'c');
	fake_outb(&t->f, CTL(P0), 0x80);
	fake_burst(&t->f, P0 + 2, 1, false, &w, 2);
	assert_int_equal(w, 'b' << 8 | 'b');
	stop(t);
}

/* PIO */

static void test_pio_read(void **state)
{
	static const struct {
		uint8_t c;
		unsigned n, block;
		bool ext;
	} cases[] = {
		{ 0x20, 1, 1, false },   { 0x21, 3, 1, false },    { 0x20, 256, 1, false },
		{ 0x24, 5, 1, true },    { 0x24, 300, 1, true },   { 0xc4, 16, 16, false },
		{ 0xc4, 50, 16, false }, { 0xc4, 256, 16, false }, { 0x29, 700, 16, true },
	};
	uint8_t *buf = malloc(1000 * 512);

	(void)state;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]) * 4; i++) {
		struct t *t = start(0xf);
		unsigned disk = i & 3, k = i / 4, p = disk < 2 ? P0 : P1, n = cases[k].n;
		uint8_t device = disk & 1 ? 0xf0 : 0xe0;
		unsigned before;

		fake_outb(&t->f, p + 6, device);
		before = rises(t, p == P1);
		if (cases[k].ext)
			cmd48(t, p, cases[k].c, n, 10000, device);
		else
			cmd(t, p, cases[k].c, (uint8_t)n, 10000, device);
		assert_int_equal(alt(t, p), BSY | DRDY);
		assert_false(line(t, p == P1));
		pio_in(t, p, buf, n, cases[k].block);
		check_sectors(buf, disk, 10000, n);
		assert_int_equal(rises(t, p == P1) - before,
				 (n + cases[k].block - 1) / cases[k].block);
		assert_int_equal(t->d[disk].n_submitted, (n + 63) / 64);
		stop(t);
	}
	free(buf);
}

static void test_pio_write(void **state)
{
	static const struct {
		uint8_t c;
		unsigned n, block;
		bool ext, fua;
	} cases[] = {
		{ 0x30, 1, 1, false, false },   { 0x31, 3, 1, false, false },
		{ 0x30, 256, 1, false, false }, { 0x34, 300, 1, true, false },
		{ 0xc5, 50, 16, false, false }, { 0x39, 200, 16, true, false },
		{ 0xce, 20, 16, true, true },
	};
	uint8_t *buf = malloc(1000 * 512);

	(void)state;
	for (unsigned i = 0; i < 1000 * 512; i++)
		buf[i] = (uint8_t)(i * 11 + i / 512);
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]) * 2; i++) {
		struct t *t = start(0xf);
		unsigned disk = i & 1 ? 3 : 0, k = i / 2, p = disk < 2 ? P0 : P1, n = cases[k].n;
		uint8_t device = disk & 1 ? 0xf0 : 0xe0;

		if (cases[k].ext)
			cmd48(t, p, cases[k].c, n, 5000, device);
		else
			cmd(t, p, cases[k].c, (uint8_t)n, 5000, device);
		assert_false(line(t, p == P1)); /* none for the first block */
		pio_out(t, p, buf, n, cases[k].block);
		assert_memory_equal(t->d[disk].data + 5000 * 512, buf, n * 512);
		check_sectors(t->d[disk].data + 4999 * 512, disk, 4999, 1);
		check_sectors(t->d[disk].data + (5000 + n) * 512, disk, 5000 + n, 1);
		assert_int_equal(t->d[disk].n_flush, cases[k].fua);
		stop(t);
	}
	free(buf);
}

static void test_pio_widths(void **state)
{
	struct t *t = start(1);
	uint8_t buf[1024];
	uint32_t v;

	(void)state;
	cmd(t, P0, 0x20, 2, 7, 0xe0);
	run(t);
	buf[0] = fake_inb(&t->f, P0); /* the low half of a word */
	assert_int_equal(buf[0], pattern(0, 7, 0));
	assert_int_equal(fake_inw(&t->f, P0), pattern(0, 7, 2) | pattern(0, 7, 3) << 8);
	fake_burst(&t->f, P0, 2, false, buf + 4, 253); /* up to the last word */
	v = fake_inl(&t->f, P0); /* two cycles: the last word and the next block's first */
	assert_int_equal(v & 0xff, pattern(0, 7, 510));
	assert_int_equal(v >> 16 & 0xff, pattern(0, 8, 0));
	fake_burst(&t->f, P0, 4, false, buf, 256); /* more than there is */
	assert_int_equal(buf[0], pattern(0, 8, 2));
	assert_int_equal(buf[510], 0xff);
	assert_int_equal(alt(t, P0), DRDY);

	cmd(t, P0, 0x30, 1, 7, 0xe0);
	fake_outb(&t->f, P0, 0x5a);
	assert_int_equal(fake_inw(&t->f, P0), 0xffff); /* the wrong direction moves nothing */
	fake_outb(&t->f, P0 + 6, 0xf0);                /* so does the wrong drive */
	fake_outw(&t->f, P0, 0x1234);
	fake_outb(&t->f, P0 + 6, 0xe0);
	fake_burst(&t->f, P0, 1, true, buf, 255);
	run(t);
	good(t, P0);
	assert_int_equal(t->d[0].data[7 * 512], 0x5a);
	assert_int_equal(t->d[0].data[7 * 512 + 1], 0);
	assert_int_equal(t->d[0].data[7 * 512 + 2], buf[0]);
	stop(t);
}

static void test_chs(void **state)
{
	struct t *t = start(1);
	uint8_t buf[512];

	(void)state;
	/* Cylinder 3, head 2, sector 5: (3 * 16 + 2) * 63 + 4. */
	cmd(t, P0, 0x20, 1, 5 | 3 << 8, 0xa2);
	pio_in(t, P0, buf, 1, 1);
	check_sectors(buf, 0, 50 * 63 + 4, 1);
	cmd(t, P0, 0x20, 1, 0 | 3 << 8, 0xa2); /* there is no sector 0 */
	bad(t, P0, 0x10);
	cmd(t, P0, 0x20, 1, 64, 0xa2);
	bad(t, P0, 0x10);
	cmd(t, P0, 0x20, 1, 1 | 19 << 8, 0xa0);
	bad(t, P0, 0x10);
	cmd(t, P0, 0x91, 17, 0, 0xa3); /* INITIALIZE DEVICE PARAMETERS: 4 heads, 17 sectors */
	good(t, P0);
	fake_save_load(&t->f);
	cmd(t, P0, 0x20, 1, 17 | 3 << 8, 0xa3);
	pio_in(t, P0, buf, 1, 1);
	check_sectors(buf, 0, 15 * 17 + 16, 1);
	cmd(t, P0, 0x20, 1, 1, 0xa4);
	bad(t, P0, 0x10);
	cmd(t, P0, 0x91, 0, 0, 0xa3);
	bad(t, P0, 4);
	/* The address of an error is in the same form. */
	t->d[0].bad_from = 15 * 17 + 16;
	t->d[0].bad_to = t->d[0].bad_from + 1;
	cmd(t, P0, 0x40, 16, 10 | 3 << 8, 0xa3);
	run(t);
	bad(t, P0, 0x40);
	assert_int_equal(fake_inb(&t->f, P0 + 3), 17);
	assert_int_equal(fake_inb(&t->f, P0 + 4), 3);
	assert_int_equal(fake_inb(&t->f, P0 + 5), 0);
	assert_int_equal(fake_inb(&t->f, P0 + 6), 0xa3);
	cmd(t, P0, 0x70, 0, 17 | 3 << 8, 0xa3); /* SEEK */
	good(t, P0);
	cmd(t, P0, 0x70, 0, 18 | 3 << 8, 0xa3);
	bad(t, P0, 0x10);
	stop(t);
}

static void test_range(void **state)
{
	struct t *t = start(1);
	uint8_t buf[512];

	(void)state;
	cmd(t, P0, 0x20, 1, 19999, 0xe0);
	pio_in(t, P0, buf, 1, 1);
	check_sectors(buf, 0, 19999, 1);
	cmd(t, P0, 0x20, 2, 19999, 0xe0);
	bad(t, P0, 0x10);
	cmd(t, P0, 0xc8, 0, 19999, 0xe0);
	bad(t, P0, 0x10);
	cmd(t, P0, 0x30, 1, 0xfffffff, 0xe0);
	bad(t, P0, 0x10);
	cmd48(t, P0, 0x24, 0, 0, 0xe0); /* 65536 sectors */
	bad(t, P0, 0x10);
	cmd48(t, P0, 0x35, 1, 0xffffffffffff, 0xe0);
	bad(t, P0, 0x10);
	cmd48(t, P0, 0x42, 1, 1ull << 24, 0xe0);
	bad(t, P0, 0x10);
	assert_int_equal(t->d[0].n_submitted, 1);
	cmd(t, P0, 0xf8, 0, 0, 0xe0); /* READ NATIVE MAX ADDRESS */
	good(t, P0);
	assert_int_equal(lba28_of(t, P0), 19999);
	t->d[0].blk.n_sectors = 1ull << 33;
	cmd(t, P0, 0x27, 0, 0, 0xe0);
	good(t, P0);
	assert_int_equal(lba48_of(t, P0), (1ull << 33) - 1);
	cmd(t, P0, 0xf8, 0, 0, 0xe0);
	good(t, P0);
	assert_int_equal(lba28_of(t, P0), 0xfffffff);
	t->d[0].blk.n_sectors = t->cap;
	stop(t);
}

static void test_pio_errors(void **state)
{
	struct t *t = start(1);
	uint8_t buf[64 * 512];

	(void)state;
	t->d[0].bad_from = 1007;
	t->d[0].bad_to = 1009;
	/* The sectors before the bad one arrive. */
	cmd(t, P0, 0x20, 20, 1000, 0xe0);
	for (unsigned i = 0; i < 7; i++) {
		run(t);
		assert_int_equal(status(t, P0), DRDY | DRQ);
		fake_save_load(&t->f);
		fake_burst(&t->f, P0, 2, false, buf + i * 512, 256);
	}
	run(t);
	bad(t, P0, 0x40);
	assert_int_equal(lba28_of(t, P0), 1007);
	check_sectors(buf, 0, 1000, 7);
	/* A MULTIPLE block with a bad sector does not; its predecessor does. */
	cmd(t, P0, 0xc6, 4, 0, 0xe0);
	good(t, P0);
	cmd48(t, P0, 0x29, 20, 1000, 0xe0);
	run(t);
	assert_int_equal(status(t, P0), DRDY | DRQ);
	fake_burst(&t->f, P0, 2, false, buf, 4 * 256);
	check_sectors(buf, 0, 1000, 4);
	run(t);
	bad(t, P0, 0x40);
	assert_int_equal(lba48_of(t, P0), 1007);
	/* Writes: gathered, then the first bad one is named, those before are on the disk. */
	memset(buf, 0x77, sizeof(buf));
	cmd(t, P0, 0x30, 10, 1000, 0xe0);
	for (unsigned i = 0; i < 10; i++) {
		assert_int_equal(status(t, P0), DRDY | DRQ);
		fake_burst(&t->f, P0, 2, true, buf, 256);
	}
	run(t);
	bad(t, P0, 0x10);
	assert_int_equal(lba28_of(t, P0), 1007);
	assert_memory_equal(t->d[0].data + 1000 * 512, buf, 7 * 512);
	check_sectors(t->d[0].data + 1007 * 512, 0, 1007, 3);
	/* VERIFY in more than one go. */
	cmd(t, P0, 0x40, 200, 900, 0xe0);
	run(t);
	bad(t, P0, 0x40);
	assert_int_equal(lba28_of(t, P0), 1007);
	t->d[0].bad_from = t->d[0].bad_to = UINT64_MAX;
	cmd(t, P0, 0x41, 200, 900, 0xe0);
	run(t);
	good(t, P0);
	/* After a transient failure all arrives, sector by sector. */
	cmd(t, P0, 0xc4, 10, 2000, 0xe0);
	t->d[0].bad_from = 2000;
	t->d[0].bad_to = 2001;
	assert_int_equal(t->d[0].n, 1);
	t->d[0].queue[0]->done(t->d[0].queue[0]->owner, t->d[0].queue[0], BLK_EIO);
	memmove(t->d[0].queue, t->d[0].queue + 1, --t->d[0].n * sizeof(t->d[0].queue[0]));
	t->d[0].bad_from = t->d[0].bad_to = UINT64_MAX;
	pio_in(t, P0, buf, 10, 4);
	check_sectors(buf, 0, 2000, 10);
	stop(t);
}

static int full(struct blk *b, struct blk_req *r)
{
	(void)b;
	(void)r;
	return -1;
}

static void test_submit_fails(void **state)
{
	struct t *t = start(1);
	int (*submit)(struct blk *, struct blk_req *) = t->d[0].blk.submit;

	(void)state;
	t->d[0].blk.submit = full;
	cmd(t, P0, 0x20, 20, 1000, 0xe0);
	bad(t, P0, 0x40);
	cmd(t, P0, 0xe7, 0, 0, 0xe0);
	bad(t, P0, 4);
	bm_setup(t, 0, true);
	prd(t, 0, BUF, 1024, true);
	cmd(t, P0, 0xc8, 2, 1000, 0xe0);
	bm_go(t, 0, true);
	bad(t, P0, 0x40);
	t->d[0].blk.submit = submit;
	stop(t);
}

static void test_read_only(void **state)
{
	struct t *t = start(1);

	(void)state;
	t->d[0].blk.read_only = true;
	cmd(t, P0, 0x30, 1, 0, 0xe0);
	bad(t, P0, 4);
	cmd(t, P0, 0xca, 1, 0, 0xe0);
	bad(t, P0, 4);
	regs(t, P0, 1, 1, 0, 0xe0);
	fake_outb(&t->f, P0 + 7, 0x06);
	bad(t, P0, 4);
	assert_int_equal(t->d[0].n_submitted, 0);
	stop(t);
}

/* The rest of the command set */

static void test_misc_commands(void **state)
{
	static const uint8_t aborted[] = { 0x00, 0x08, 0x22, 0x32, 0x3c, 0xa0, 0xa1, 0xa2,
					   0xf1, 0xf5, 0xf6, 0xf9, 0x37, 0xe4, 0xe8, 0xff };
	struct t *t = start(3);
	uint8_t buf[512] = { 0 };

	(void)state;
	for (unsigned i = 0; i < sizeof(aborted); i++) {
		cmd(t, P0, aborted[i], 1, 0, 0xf0);
		bad(t, P0, 4);
	}
	cmd(t, P0, 0x10, 0, 0, 0xf0);
	good(t, P0);
	assert_int_equal(fake_inb(&t->f, P0 + 1), 0);

	for (unsigned n = 0; n < 256; n++) { /* SET MULTIPLE MODE */
		cmd(t, P0, 0xc6, (uint8_t)n, 0, 0xe0);
		if (n <= 16 && !(n & (n - 1)))
			good(t, P0);
		else
			bad(t, P0, 4);
	}
	cmd(t, P0, 0xc4, 1, 0, 0xe0); /* the last one turned it off */
	bad(t, P0, 4);
	cmd(t, P0, 0xc5, 1, 0, 0xe0);
	bad(t, P0, 4);

	for (unsigned m = 0; m < 256; m++) { /* transfer modes */
		bool is = m <= 1 || (m >= 8 && m <= 12) || (m >= 0x20 && m <= 0x22) ||
			  (m >= 0x40 && m <= 0x45);

		feature(t, P0, 3, (uint8_t)m, 0xe0);
		if (is)
			good(t, P0);
		else
			bad(t, P0, 4);
	}
	feature(t, P0, 0x05, 1, 0xe0);
	bad(t, P0, 4);

	/* A command while another waits for data: the old one is forgotten. */
	cmd(t, P0, 0x30, 1, 9, 0xe0);
	fake_burst(&t->f, P0, 2, true, buf, 10);
	cmd(t, P0, 0x20, 1, 9, 0xf0);
	pio_in(t, P0, buf, 1, 1);
	check_sectors(buf, 1, 9, 1);
	check_sectors(t->d[0].data + 9 * 512, 0, 9, 1);
	fake_outb(&t->f, P0 + 6, 0xe0);
	assert_int_equal(status(t, P0), DRDY);

	/* Parameters changed under way change nothing. */
	cmd(t, P0, 0x20, 2, 9, 0xe0);
	run(t);
	fake_burst(&t->f, P0, 2, false, buf, 256);
	regs(t, P0, 0xff, 0xff, 0xffffff, 0xef);
	fake_burst(&t->f, P0, 2, false, buf, 256);
	check_sectors(buf, 0, 10, 1);
	assert_int_equal(status(t, P0), DRDY);
	stop(t);
}

static void test_power(void **state)
{
	static const struct {
		uint8_t c, mode;
	} cases[] = { { 0x95, 0x80 }, { 0x97, 0x80 }, { 0xe1, 0x80 }, { 0xe3, 0x80 },
		      { 0x94, 0 },    { 0x96, 0 },    { 0xe0, 0 },    { 0xe2, 0 } };
	struct t *t = start(1);
	uint8_t buf[512];

	(void)state;
	cmd(t, P0, 0xe5, 0, 0, 0xe0);
	good(t, P0);
	assert_int_equal(fake_inb(&t->f, P0 + 2), 0xff);
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		cmd(t, P0, cases[i].c, 5, 0, 0xe0);
		run(t);
		good(t, P0);
		cmd(t, P0, i & 1 ? 0x98 : 0xe5, 7, 0, 0xe0);
		good(t, P0);
		assert_int_equal(fake_inb(&t->f, P0 + 2), cases[i].mode);
		cmd(t, P0, 0x20, 1, 0, 0xe0);
		pio_in(t, P0, buf, 1, 1);
		cmd(t, P0, 0xe5, 0, 0, 0xe0);
		good(t, P0);
		assert_int_equal(fake_inb(&t->f, P0 + 2), 0xff);
	}
	cmd(t, P0, 0xe6, 0, 0, 0xe0); /* SLEEP: only a reset wakes it */
	run(t);
	good(t, P0);
	fake_save_load(&t->f);
	cmd(t, P0, 0x10, 0, 0, 0xe0);
	assert_false(line(t, 0));
	srst(t, P0);
	cmd(t, P0, 0x10, 0, 0, 0xe0);
	good(t, P0);
	stop(t);
}

static void smart(struct t *t, uint8_t sub, uint8_t count, uint8_t lbal)
{
	regs(t, P0, sub, count, 0xc24f00u | lbal, 0xa0);
	fake_outb(&t->f, P0 + 7, 0xb0);
}

static void smart_in(struct t *t, uint8_t sub, uint8_t lbal, uint8_t *buf, bool checksum)
{
	uint8_t sum = 0;

	smart(t, sub, 1, lbal);
	pio_in(t, P0, buf, 1, 1);
	for (unsigned i = 0; i < 512; i++)
		sum = (uint8_t)(sum + buf[i]);
	if (checksum)
		assert_int_equal(sum, 0);
}

static void test_smart(void **state)
{
	static const uint8_t fine[][2] = { { 0xd2, 0 }, { 0xd2, 0xf1 }, { 0xdb, 0 }, { 0xdb, 0xf8 },
					   { 0xd3, 0 }, { 0xda, 0 },    { 0xd8, 0 } };
	struct t *t = start(1);
	uint8_t data[512], limits[512];
	uint16_t id[256];

	(void)state;
	for (unsigned i = 0; i < sizeof(fine) / 2; i++) {
		smart(t, fine[i][0], fine[i][1], 0);
		good(t, P0);
	}
	/* RETURN STATUS: the signature stays, nothing is wrong. */
	assert_int_equal(fake_inb(&t->f, P0 + 4), 0x4f);
	assert_int_equal(fake_inb(&t->f, P0 + 5), 0xc2);
	smart(t, 0xd2, 1, 0);
	bad(t, P0, 4);
	smart(t, 0xdb, 1, 0);
	bad(t, P0, 4);
	smart(t, 0xd6, 1, 0);
	bad(t, P0, 4);
	fake_step(&t->f, 5ull * 3600 * 1000000000);
	smart_in(t, 0xd0, 0, data, true);
	smart_in(t, 0xd1, 0, limits, true);
	for (unsigned i = 0; i < 30; i++) {
		const uint8_t *a = data + 2 + i * 12, *l = limits + 2 + i * 12;

		assert_int_equal(a[0], l[0]);
		assert_true(!a[0] || a[3] > l[1]);
		if (a[0] == 9)
			assert_int_equal(a[5], 5);
	}
	smart_in(t, 0xd5, 0, data, false);
	assert_int_equal(data[2], 1);
	assert_int_equal(data[12], 1);
	smart_in(t, 0xd5, 1, data, true);
	assert_int_equal(data[1], 0);
	smart_in(t, 0xd5, 6, data, true);
	assert_int_equal(data[508], 0);
	smart(t, 0xd4, 0, 3);
	bad(t, P0, 4);
	smart(t, 0xd4, 0, 1); /* short self-test */
	good(t, P0);
	smart(t, 0xd4, 0, 0x7f);
	good(t, P0);
	smart_in(t, 0xd5, 6, data, true);
	assert_int_equal(data[2], 1);
	assert_int_equal(data[4], 5);
	assert_int_equal(data[508], 1);
	smart(t, 0xd5, 2, 1);
	bad(t, P0, 4);
	smart(t, 0xd5, 1, 9);
	bad(t, P0, 4);
	smart(t, 0xd9, 0, 0); /* disable */
	good(t, P0);
	identify(t, P0, 0xa0, id);
	assert_int_equal(id[85] & 1, 0);
	smart(t, 0xda, 0, 0);
	bad(t, P0, 4);
	smart(t, 0xd8, 0, 0);
	good(t, P0);
	regs(t, P0, 0xda, 0, 0, 0xa0); /* without the signature */
	fake_outb(&t->f, P0 + 7, 0xb0);
	bad(t, P0, 4);
	stop(t);
}

static void test_hob(void **state)
{
	struct t *t = start(3);

	(void)state;
	fake_outb(&t->f, P0 + 2, 0x11);
	fake_outb(&t->f, P0 + 2, 0x22);
	fake_outb(&t->f, P0 + 2, 0x33);
	assert_int_equal(fake_inb(&t->f, P0 + 2), 0x33);
	fake_outb(&t->f, CTL(P0), 0x80);
	fake_save_load(&t->f);
	assert_int_equal(fake_inb(&t->f, P0 + 2), 0x22);
	fake_outb(&t->f, P0 + 6,
		  0xf0); /* any write of the command block ends it; both drives have it */
	assert_int_equal(fake_inb(&t->f, P0 + 2), 0x33);
	stop(t);
}

static void test_pci(void **state)
{
	struct t *t = start(1);

	(void)state;
	assert_int_equal(fake_cfg_read(&t->f, DEVFN, 0, 4), 0x70108086);
	assert_int_equal(fake_cfg_read(&t->f, DEVFN, 8, 4), 0x01018000);
	assert_int_equal(fake_cfg_read(&t->f, DEVFN, 0x0e, 1), 0);
	assert_int_equal(fake_cfg_read(&t->f, DEVFN, 6, 2), 0x0280);
	assert_int_equal(fake_cfg_read(&t->f, DEVFN, 0x10, 4), 0);
	fake_cfg_write(&t->f, DEVFN, 0x20, 4, 0xffffffff);
	assert_int_equal(fake_cfg_read(&t->f, DEVFN, 0x20, 4), 0xfffffff1);
	fake_cfg_write(&t->f, DEVFN, 0x20, 4, 0xd000);
	assert_int_equal(fake_inb(&t->f, 0xd002), 0);
	assert_int_equal(fake_inb(&t->f, BM + 2), 0xff);
	fake_cfg_write(&t->f, DEVFN, 4, 2, 0);
	assert_int_equal(fake_inb(&t->f, 0xd002), 0xff);
	fake_cfg_write(&t->f, DEVFN, 4, 2, 0xffff);
	assert_int_equal(fake_cfg_read(&t->f, DEVFN, 4, 2), 5);
	fake_save_load(&t->f);
	assert_int_equal(fake_inb(&t->f, 0xd002), 0);
	assert_int_equal(fake_cfg_read(&t->f, DEVFN, 0x40, 4), 0);
	fake_cfg_write(&t->f, DEVFN, 0x40, 4, 0x8000a307);
	fake_cfg_write(&t->f, DEVFN, 0x44, 1, 0x5b);
	assert_int_equal(fake_cfg_read(&t->f, DEVFN, 0x40, 4), 0x8000a307);
	assert_int_equal(fake_cfg_read(&t->f, DEVFN, 0x44, 4), 0x5b);
	stop(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_identify),      cmocka_unit_test(test_init_refuses),
		cmocka_unit_test(test_presence),      cmocka_unit_test(test_interrupt_lines),
		cmocka_unit_test(test_pio_read),      cmocka_unit_test(test_pio_write),
		cmocka_unit_test(test_pio_widths),    cmocka_unit_test(test_chs),
		cmocka_unit_test(test_range),         cmocka_unit_test(test_pio_errors),
		cmocka_unit_test(test_submit_fails),  cmocka_unit_test(test_read_only),
		cmocka_unit_test(test_misc_commands), cmocka_unit_test(test_power),
		cmocka_unit_test(test_smart),         cmocka_unit_test(test_hob),
		cmocka_unit_test(test_pci),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
