/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_ide_dma.c - IDE bus master scripts from SFF-8038i and the 82371SB data sheet: descriptor tables,
 * errors, resets with data in flight; hostile guests and hostile saves.
 */
#include "ide_test.h"

/* DMA */

static void test_dma(void **state)
{
	static const struct {
		uint8_t rd, wr;
		unsigned n;
		bool ext;
	} cases[] = {
		{ 0xc8, 0xca, 1, false },
		{ 0xc9, 0xcb, 256, false },
		{ 0x25, 0x35, 8, true },
		{ 0x25, 0x35, 1000, true },
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]) * 4; i++) {
		struct t *t = start(0xf);
		unsigned disk = i & 3, k = i / 4, ch = disk / 2, p = ch ? P1 : P0, n = cases[k].n,
			 e = 0;
		uint8_t device = disk & 1 ? 0xf0 : 0xe0;

		for (unsigned at = 0; at < n * 512; e++) { /* regions of 4 KiB, every other page */
			unsigned len = n * 512 - at < 4096 ? n * 512 - at : 4096;

			prd(t, e, BUF + at * 2, len, at + len == n * 512);
			at += len;
		}
		for (unsigned wr = 0; wr < 2; wr++) {
			bm_setup(t, ch, !wr);
			if (cases[k].ext)
				cmd48(t, p, wr ? cases[k].wr : cases[k].rd, n, wr ? 5000 : 10000,
				      device);
			else
				cmd(t, p, wr ? cases[k].wr : cases[k].rd, (uint8_t)n,
				    wr ? 5000 : 10000, device);
			assert_int_equal(alt(t, p), DRDY | DRQ);
			assert_int_equal(bm_status(t, ch), 0);
			fake_save_load(&t->f);
			bm_go(t, ch, true);
			assert_int_equal(bm_status(t, ch), 1);
			assert_int_equal(alt(t, p), BSY | DRDY);
			run(t);
			assert_int_equal(bm_status(t, ch), 4);
			assert_true(line(t, ch));
			fake_save_load(&t->f);
			good(t, p);
			bm_go(t, ch, false);
			fake_outb(&t->f, BM + ch * 8 + 2, 4);
			assert_int_equal(bm_status(t, ch), 0);
		}
		for (unsigned s = 0; s < n; s++)
			check_sectors(t->f.ram + BUF + s / 8 * 8192 + s % 8 * 512, disk, 10000 + s,
				      1);
		for (unsigned s = 0; s < n; s++)
			check_sectors(t->d[disk].data + (5000 + s) * 512, disk, 10000 + s, 1);
		/* One request for each 128 regions and direction. */
		assert_int_equal(t->d[disk].n_submitted, 2 * ((e + 127) / 128));
		stop(t);
	}
}

static void test_dma_64k_sectors(void **state)
{
	struct t *t = start_cap(1, 70000);

	(void)state;
	for (unsigned i = 0; i < 512; i++)
		prd(t, i, BUF + (i % 2) * 0x20000, 0, i == 511); /* count 0: 64 KiB */
	bm_setup(t, 0, true);
	cmd48(t, P0, 0x25, 0, 1000, 0xe0);
	bm_go(t, 0, true);
	assert_true(run(t) >= 4);
	assert_int_equal(bm_status(t, 0), 4);
	good(t, P0);
	check_sectors(t->f.ram + BUF, 0, 1000 + 65536 - 256, 128);
	check_sectors(t->f.ram + BUF + 0x20000, 0, 1000 + 65536 - 128, 128);
	stop(t);
}

/* Regions of odd shapes: pieces[] bytes each, over and over. */
static unsigned scatter(struct t *t, const unsigned *pieces, unsigned n_pieces, unsigned total,
			uint32_t *at)
{
	unsigned e = 0, done = 0;
	uint32_t addr = BUF + 2;

	while (done < total) {
		unsigned len = pieces[e % n_pieces];

		if (len > total - done)
			len = total - done;
		/* Bit 0 of address and count is ignored. */
		prd(t, e, addr | (e & 1), len | (e & 1), done + len == total);
		for (unsigned i = 0; i < len; i++)
			at[done + i] = addr + i;
		addr += len + (e % 5) * 2;
		done += len;
		e++;
	}
	return e;
}

static void test_dma_scatter(void **state)
{
	static const unsigned shapes[][3] = {
		{ 2, 2, 2 },       { 510, 2, 2 },        { 2, 1022, 514 }, { 4, 6, 8 },
		{ 512, 512, 512 }, { 300, 1000, 60000 }, { 1024, 4, 4 },
	};
	uint32_t *at = malloc(256 * 512 * sizeof(*at));

	(void)state;
	for (unsigned k = 0; k < sizeof(shapes) / sizeof(shapes[0]); k++) {
		struct t *t = start(1);
		unsigned n = k == 0 ? 9 : 40;
		uint8_t *buf = malloc(n * 512);

		scatter(t, shapes[k], 3, n * 512, at);
		bm_setup(t, 0, true);
		cmd(t, P0, 0xc8, (uint8_t)n, 3000, 0xe0);
		bm_go(t, 0, true);
		run(t);
		assert_int_equal(bm_status(t, 0), 4);
		good(t, P0);
		for (unsigned i = 0; i < n * 512; i++)
			buf[i] = t->f.ram[at[i]];
		check_sectors(buf, 0, 3000, n);
		bm_go(t, 0, false);
		bm_setup(t, 0, false);
		cmd(t, P0, 0xca, (uint8_t)n, 4000, 0xe0);
		bm_go(t, 0, true);
		run(t);
		assert_int_equal(bm_status(t, 0), 4);
		good(t, P0);
		assert_memory_equal(t->d[0].data + 4000 * 512, buf, n * 512);
		check_sectors(t->d[0].data + (4000 + n) * 512, 0, 4000 + n, 1);
		/* Neighbours are merged where they touch. */
		assert_true(t->d[0].n_submitted <= 2 * n);
		free(buf);
		stop(t);
	}
	free(at);
}

static void test_prd_short_and_long(void **state)
{
	struct t *t = start(1);

	(void)state;
	/* Longer than the transfer: active and interrupt. */
	prd(t, 0, BUF, 4096, true);
	bm_setup(t, 0, true);
	cmd(t, P0, 0xc8, 2, 100, 0xe0);
	bm_go(t, 0, true);
	run(t);
	assert_int_equal(bm_status(t, 0), 5);
	good(t, P0);
	check_sectors(t->f.ram + BUF, 0, 100, 2);
	bm_go(t, 0, false);
	assert_int_equal(bm_status(t, 0), 4);

	/* Shorter, by less than a sector and by more: neither; no interrupt, no error, not busy. */
	for (unsigned len = 256; len < 4096; len += 256) {
		bm_setup(t, 0, true);
		prd(t, 0, BUF, len, true);
		cmd(t, P0, 0xc8, 8, 200, 0xe0);
		bm_go(t, 0, true);
		run(t);
		assert_int_equal(bm_status(t, 0), 0);
		assert_false(line(t, 0));
		assert_int_equal(alt(t, P0), DRDY);
		bm_go(t, 0, false);
	}
	check_sectors(t->f.ram + BUF, 0, 200, 7);

	/* The drive still waits: a new table takes the rest. */
	fake_save_load(&t->f);
	prd(t, 0, BUF + 0x10000, 512, true);
	bm_go(t, 0, true);
	run(t);
	assert_int_equal(bm_status(t, 0), 4);
	good(t, P0);
	check_sectors(t->f.ram + BUF + 0x10000, 0, 207, 1);
	bm_go(t, 0, false);

	/* Or another command is taken instead. */
	bm_setup(t, 0, false);
	prd(t, 0, BUF, 512, true);
	cmd(t, P0, 0xca, 8, 200, 0xe0);
	bm_go(t, 0, true);
	run(t);
	assert_int_equal(bm_status(t, 0), 0);
	cmd(t, P0, 0x10, 0, 0, 0xe0);
	good(t, P0);
	bm_go(t, 0, false);

	/* A table cut short inside a sector that needs the bounce buffer. */
	for (unsigned i = 0; i < 200; i++)
		prd(t, i, BUF + i * 4, 2, i == 199);
	bm_setup(t, 0, true);
	cmd(t, P0, 0xc8, 1, 200, 0xe0);
	bm_go(t, 0, true);
	run(t);
	assert_int_equal(bm_status(t, 0), 0);
	bm_go(t, 0, false);
	cmd(t, P0, 0xca, 1, 200, 0xe0);
	bm_go(t, 0, true);
	run(t);
	assert_int_equal(bm_status(t, 0), 0);
	assert_false(line(t, 0));
	stop(t);
}

static void test_prd_bad_address(void **state)
{
	struct t *t = start(1);
	unsigned n;

	(void)state;
	prd(t, 0, BUF, 1024, false);
	prd(t, 1, FAKE_RAM_SIZE - 512, 1024, true); /* half outside */
	bm_setup(t, 0, true);
	cmd(t, P0, 0xc8, 4, 100, 0xe0);
	bm_go(t, 0, true);
	run(t);
	assert_int_equal(bm_status(t, 0), 2);
	assert_false(line(t, 0));
	assert_int_equal(alt(t, P0), DRDY);
	check_sectors(t->f.ram + BUF, 0, 100, 2);
	assert_true(fake_cfg_read(&t->f, DEVFN, 6, 2) & 0x2000);
	fake_cfg_write(&t->f, DEVFN, 6, 2, 0x2000);
	assert_false(fake_cfg_read(&t->f, DEVFN, 6, 2) & 0x2000);
	fake_save_load(&t->f);
	fake_outb(&t->f, BM + 2, 2);
	assert_int_equal(bm_status(t, 0), 0);
	bm_go(t, 0, false);
	cmd(t, P0, 0x10, 0, 0, 0xe0);
	good(t, P0);

	/* The table itself. */
	bm_setup(t, 0, true);
	fake_outl(&t->f, BM + 4, 0xfffffffcu);
	assert_int_equal(fake_inl(&t->f, BM + 4), 0xfffffffcu);
	cmd(t, P0, 0xc8, 4, 100, 0xe0);
	n = t->d[0].n_submitted;
	bm_go(t, 0, true);
	assert_int_equal(bm_status(t, 0), 6 - 4);
	assert_int_equal(t->d[0].n_submitted, n);
	bm_go(t, 0, false);

	/* Memory that goes bad while a bounced sector is read; and one to be written. */
	for (unsigned wr = 0; wr < 2; wr++) {
		for (unsigned i = 0; i < 256; i++)
			prd(t, i, i < 250 ? BUF + i * 4 : FAKE_RAM_SIZE, 2, i == 255);
		bm_setup(t, 0, !wr);
		cmd(t, P0, wr ? 0xca : 0xc8, 1, 100, 0xe0);
		bm_go(t, 0, true);
		run(t);
		assert_int_equal(bm_status(t, 0), 2);
		bm_go(t, 0, false);
	}
	check_sectors(t->d[0].data + 100 * 512, 0, 100, 1);
	stop(t);
}

static void test_bm_registers(void **state)
{
	struct t *t = start(0xf);

	(void)state;
	fake_outb(&t->f, BM + 2, 0x60);
	assert_int_equal(bm_status(t, 0), 0x60);
	assert_int_equal(bm_status(t, 1), 0);
	fake_outl(&t->f, BM + 12, 0x12345677);
	assert_int_equal(fake_inl(&t->f, BM + 12), 0x12345674);
	assert_int_equal(fake_inl(&t->f, BM + 4), 0);
	fake_outw(&t->f, BM + 14, 0xabcd);
	assert_int_equal(fake_inl(&t->f, BM + 12), 0xabcd5674);
	assert_int_equal(fake_inl(&t->f, BM), 0x600000);
	fake_outl(&t->f, BM, 0x00ffff08);
	assert_int_equal(fake_inl(&t->f, BM), 0x600008);
	fake_outb(&t->f, BM + 1, 1);
	fake_outb(&t->f, BM + 3, 1);
	assert_int_equal(fake_inl(&t->f, BM), 0x600008);
	bm_go(t, 0, true);
	assert_int_equal(bm_status(t, 0), 0x61);
	fake_outb(&t->f, BM + 2, 0x01); /* active can't be written */
	assert_int_equal(bm_status(t, 0), 1);
	fake_save_load(&t->f);
	assert_int_equal(bm_status(t, 0), 1);

	/* The bus master started before the command. */
	bm_go(t, 0, false);
	bm_setup(t, 0, true);
	prd(t, 0, BUF, 512, true);
	bm_go(t, 0, true);
	cmd(t, P0, 0xc8, 1, 100, 0xe0);
	run(t);
	assert_int_equal(bm_status(t, 0), 4);
	good(t, P0);
	bm_go(t, 0, false);

	/* Not allowed to master the bus: it waits. */
	fake_cfg_write(&t->f, DEVFN, 4, 2, 1);
	bm_setup(t, 0, true);
	cmd(t, P0, 0xc8, 1, 100, 0xe0);
	bm_go(t, 0, true);
	assert_int_equal(run(t), 0);
	assert_int_equal(bm_status(t, 0), 1);
	fake_save_load(&t->f);
	fake_cfg_write(&t->f, DEVFN, 4, 2, 5);
	run(t);
	assert_int_equal(bm_status(t, 0), 4);
	good(t, P0);

	/* Both channels at the same time. */
	bm_go(t, 0, false);
	bm_setup(t, 0, true);
	bm_setup(t, 1, true);
	prd(t, 0, BUF, 512, true);
	cmd(t, P0, 0xc8, 1, 100, 0xe0);
	bm_go(t, 0, true);
	fake_outl(&t->f, BM + 12, PRDT + 8);
	prd(t, 1, BUF + 0x1000, 512, true);
	cmd(t, P1, 0xc8, 1, 200, 0xf0);
	bm_go(t, 1, true);
	run(t);
	good(t, P0);
	good(t, P1);
	check_sectors(t->f.ram + BUF, 0, 100, 1);
	check_sectors(t->f.ram + BUF + 0x1000, 3, 200, 1);
	stop(t);
}

static void test_bm_stop_in_flight(void **state)
{
	struct t *t = start(1);

	(void)state;
	/* All of it was on its way: it ends as usual. */
	prd(t, 0, BUF, 4096, true);
	bm_setup(t, 0, true);
	cmd(t, P0, 0xc8, 2, 100, 0xe0);
	bm_go(t, 0, true);
	bm_go(t, 0, false);
	assert_int_equal(bm_status(t, 0), 1); /* memory is still in use */
	run(t);
	assert_int_equal(bm_status(t, 0), 4);
	good(t, P0);

	/* Stopped after the first of two requests, then started again with a table for the rest. */
	for (unsigned i = 0; i < 129; i++)
		prd(t, i, BUF + i * 1024, 512, i == 128);
	bm_setup(t, 0, true);
	cmd(t, P0, 0xc8, 129, 100, 0xe0);
	bm_go(t, 0, true);
	bm_go(t, 0, false);
	run(t);
	assert_int_equal(bm_status(t, 0), 0);
	assert_int_equal(alt(t, P0), DRDY);
	assert_false(line(t, 0));
	prd(t, 0, BUF, 512, true);
	bm_go(t, 0, true);
	run(t);
	assert_int_equal(bm_status(t, 0), 4);
	good(t, P0);
	check_sectors(t->f.ram + BUF, 0, 228, 1);
	bm_go(t, 0, false);

	/* A bounced sector is not written to memory behind a stop. */
	for (unsigned i = 0; i < 256; i++)
		prd(t, i, BUF + 0x10000 + i * 4, 2, i == 255);
	bm_setup(t, 0, true);
	cmd(t, P0, 0xc8, 1, 100, 0xe0);
	memset(t->f.ram + BUF + 0x10000, 0, 1024);
	bm_go(t, 0, true);
	bm_go(t, 0, false);
	run(t);
	assert_int_equal(t->f.ram[BUF + 0x10004], 0);
	bm_go(t, 0, true);
	run(t);
	assert_int_equal(bm_status(t, 0), 4);
	good(t, P0);
	assert_int_equal(t->f.ram[BUF + 0x10004], pattern(0, 100, 2));
	bm_go(t, 0, false);

	/* Started again while the failing request was out: the retry uses the new table. */
	prd(t, 0, BUF, 1024, true);
	bm_setup(t, 0, true);
	cmd(t, P0, 0xc8, 2, 100, 0xe0);
	t->d[0].bad_from = 101;
	t->d[0].bad_to = 102;
	bm_go(t, 0, true);
	bm_go(t, 0, false);
	prd(t, 0, BUF + 0x20000, 1024, true);
	bm_go(t, 0, true);
	run(t);
	bad(t, P0, 0x40);
	check_sectors(t->f.ram + BUF + 0x20000, 0, 100, 1);
	stop(t);
}

static void test_dma_errors(void **state)
{
	struct t *t = start(1);

	(void)state;
	t->d[0].bad_from = 1007;
	t->d[0].bad_to = 1010;
	prd(t, 0, BUF, 1000, false);
	prd(t, 1, BUF + 2000, 0x4000 - 1000, true);
	for (unsigned ext = 0; ext < 2; ext++) {
		for (unsigned wr = 0; wr < 2; wr++) {
			uint8_t c = ext ? (wr ? 0x35 : 0x25) : (wr ? 0xca : 0xc8);

			bm_setup(t, 0, !wr);
			if (ext)
				cmd48(t, P0, c, 32, 1000, 0xe0);
			else
				cmd(t, P0, c, 32, 1000, 0xe0);
			bm_go(t, 0, true);
			run(t);
			assert_int_equal(bm_status(t, 0), 5);
			bad(t, P0, wr ? 0x10 : 0x40);
			assert_int_equal(ext ? lba48_of(t, P0) : lba28_of(t, P0), 1007);
			bm_go(t, 0, false);
			if (!wr) {
				check_sectors(t->f.ram + BUF, 0, 1000, 1);
				memset(t->f.ram + BUF, 0x42, 0x5000);
			} else {
				for (unsigned i = 0; i < 7 * 512; i++)
					assert_int_equal(t->d[0].data[1000 * 512 + i], 0x42);
				check_sectors(t->d[0].data + 1007 * 512, 0, 1007, 25);
				for (unsigned i = 0; i < 7 * 512; i++)
					t->d[0].data[1000 * 512 + i] =
						pattern(0, 1000 + i / 512, i % 512);
			}
		}
	}
	/* The error gone, the same works. */
	t->d[0].bad_from = t->d[0].bad_to = UINT64_MAX;
	bm_setup(t, 0, false);
	cmd(t, P0, 0xca, 32, 1000, 0xe0);
	bm_go(t, 0, true);
	run(t);
	assert_int_equal(bm_status(t, 0), 4);
	good(t, P0);
	stop(t);
}

static void test_flush(void **state)
{
	struct t *t = start(1);
	uint8_t buf[512] = { 1 };

	(void)state;
	cmd(t, P0, 0xe7, 0, 0, 0xe0);
	assert_int_equal(alt(t, P0), BSY | DRDY);
	assert_false(line(t, 0));
	run(t);
	good(t, P0);
	cmd(t, P0, 0xea, 0, 0, 0xe0);
	run(t);
	good(t, P0);
	assert_int_equal(t->d[0].n_flush, 2);
	t->d[0].fail_flush = true;
	cmd(t, P0, 0xe7, 0, 0, 0xe0);
	run(t);
	bad(t, P0, 4);
	t->d[0].fail_flush = false;

	/* Without a write cache, and with FUA, a write ends after a flush. */
	prd(t, 0, BUF, 512, true);
	bm_setup(t, 0, false);
	cmd48(t, P0, 0x3d, 1, 10, 0xe0);
	bm_go(t, 0, true);
	run(t);
	assert_int_equal(t->d[0].n_flush, 4);
	good(t, P0);
	bm_go(t, 0, false);
	feature(t, P0, 0x82, 0, 0xe0);
	good(t, P0);
	cmd(t, P0, 0x30, 1, 10, 0xe0);
	pio_out(t, P0, buf, 1, 1);
	assert_int_equal(t->d[0].n_flush, 6);
	bm_setup(t, 0, false);
	cmd(t, P0, 0xca, 1, 10, 0xe0);
	bm_go(t, 0, true);
	t->d[0].fail_flush = true;
	run(t);
	bad(t, P0, 4);
	assert_int_equal(t->d[0].n_flush, 7);

	/* A disk without a cache needs none. */
	t->d[0].blk.flush = false;
	cmd(t, P0, 0xe7, 0, 0, 0xe0);
	good(t, P0);
	cmd(t, P0, 0x30, 1, 10, 0xe0);
	pio_out(t, P0, buf, 1, 1);
	assert_int_equal(t->d[0].n_flush, 7);
	stop(t);
}

static void test_trim(void **state)
{
	struct t *t = start(1);
	uint64_t e[64] = { 100 | 2ull << 48, 0, 200 | 3ull << 48 };

	(void)state;
	memcpy(t->f.ram + BUF, e, sizeof(e));
	memset(e, 0, sizeof(e));
	e[63] = 300 | 1ull << 48;
	memcpy(t->f.ram + BUF + 512, e, sizeof(e));
	prd(t, 0, BUF, 100, false);
	prd(t, 1, BUF + 100, 1024 - 100, true);
	bm_setup(t, 0, false);
	regs(t, P0, 1, 2, 0, 0xe0);
	fake_outb(&t->f, P0 + 7, 0x06);
	assert_int_equal(alt(t, P0), DRDY | DRQ);
	fake_save_load(&t->f);
	bm_go(t, 0, true);
	run(t);
	assert_int_equal(bm_status(t, 0), 4);
	good(t, P0);
	assert_int_equal(t->d[0].n_discard, 3);
	for (unsigned i = 0; i < 512; i++) {
		assert_int_equal(t->d[0].data[101 * 512 + i], 0);
		assert_int_equal(t->d[0].data[202 * 512 + i], 0);
		assert_int_equal(t->d[0].data[300 * 512 + i], 0);
	}
	check_sectors(t->d[0].data + 203 * 512, 0, 203, 1);
	bm_go(t, 0, false);

	/* A range that is not all on the disk; a failing one; a short table; not TRIM; no blocks. */
	e[63] = (t->cap - 1) | 2ull << 48;
	memcpy(t->f.ram + BUF, e, sizeof(e));
	prd(t, 0, BUF, 512, true);
	bm_setup(t, 0, false);
	regs(t, P0, 1, 1, 0, 0xe0);
	fake_outb(&t->f, P0 + 7, 0x06);
	bm_go(t, 0, true);
	run(t);
	bad(t, P0, 4);
	bm_go(t, 0, false);
	e[63] = 300 | 1ull << 48;
	memcpy(t->f.ram + BUF, e, sizeof(e));
	t->d[0].bad_from = 300;
	t->d[0].bad_to = 301;
	bm_setup(t, 0, false);
	regs(t, P0, 1, 1, 0, 0xe0);
	fake_outb(&t->f, P0 + 7, 0x06);
	bm_go(t, 0, true);
	run(t);
	bad(t, P0, 4);
	bm_go(t, 0, false);
	prd(t, 0, BUF, 256, true);
	bm_setup(t, 0, false);
	regs(t, P0, 1, 1, 0, 0xe0);
	fake_outb(&t->f, P0 + 7, 0x06);
	bm_go(t, 0, true);
	run(t);
	assert_int_equal(bm_status(t, 0), 0);
	regs(t, P0, 0, 1, 0, 0xe0);
	fake_outb(&t->f, P0 + 7, 0x06);
	bad(t, P0, 4);
	regs(t, P0, 1, 0, 0, 0xe0);
	fake_outb(&t->f, P0 + 7, 0x06);
	bad(t, P0, 4);
	stop(t);
}

/* Resets */

static void test_software_reset(void **state)
{
	struct t *t = start(3);
	uint8_t buf[64 * 512];
	uint16_t id[256];

	(void)state;
	cmd(t, P0, 0x10, 0, 0, 0xf0);
	srst(t, P0); /* with an interrupt pending */
	signature(t, P0);
	/* In the middle of a block. */
	cmd(t, P0, 0x20, 3, 5, 0xf0);
	run(t);
	fake_burst(&t->f, P0, 2, false, buf, 17);
	srst(t, P0);
	signature(t, P0);
	assert_int_equal(fake_inw(&t->f, P0), 0xffff);
	cmd(t, P0, 0x30, 3, 5, 0xe0);
	fake_burst(&t->f, P0, 2, true, buf, 300);
	srst(t, P0);
	signature(t, P0);
	assert_int_equal(t->d[0].n_submitted, 0); /* the command was not acknowledged */

	/* With requests in flight the channel is busy until they are back. */
	for (unsigned k = 0; k < 4; k++) {
		static const uint8_t cmds[] = { 0x20, 0xc8, 0xe7, 0x40 };

		prd(t, 0, BUF, 512, true);
		bm_setup(t, 0, true);
		cmd(t, P0, cmds[k], 1, 5, 0xe0);
		bm_go(t, 0, true);
		assert_int_equal(t->d[0].n, 1);
		fake_outb(&t->f, CTL(P0), 4);
		fake_outb(&t->f, CTL(P0), 0);
		assert_int_equal(alt(t, P0) & BSY, BSY);
		bm_go(t, 0, false);
		cmd(t, P0, 0x10, 0, 0, 0xe0); /* not taken */
		assert_false(line(t, 0));
		assert_int_equal(run(t), 1);
		signature(t, P0);
	}

	/* Settings live through it unless the guest wants them to revert. */
	cmd(t, P0, 0xc6, 2, 0, 0xe0);
	good(t, P0);
	srst(t, P0);
	identify(t, P0, 0xa0, id);
	assert_int_equal(id[59], 0x102);
	feature(t, P0, 0xcc, 0, 0xa0);
	good(t, P0);
	srst(t, P0);
	identify(t, P0, 0xa0, id);
	assert_int_equal(id[59], 0x110);
	feature(t, P0, 0x66, 0, 0xa0);
	good(t, P0);
	stop(t);
}

static void test_bus_reset(void **state)
{
	struct t *t = start(1);
	uint8_t ram[512] = { 0 };

	(void)state;
	prd(t, 0, BUF, 512, true);
	bm_setup(t, 0, true);
	cmd(t, P0, 0xc8, 1, 5, 0xe0);
	bm_go(t, 0, true);
	piix3_ide_class.reset(t->dev);
	assert_int_equal(alt(t, P0) & BSY, BSY);
	assert_int_equal(fake_cfg_read(&t->f, DEVFN, 4, 2), 0);
	assert_int_equal(fake_inb(&t->f, BM), 0xff);
	run(t);
	signature(t, P0);
	memset(t->f.ram + BUF, 0, 512);
	assert_int_equal(run(t), 0);
	assert_memory_equal(t->f.ram + BUF, ram, 512);
	assert_true(piix3_ide_class.sane(t->dev));
	stop(t);
}

/* No state is refused without the context being as after a reset, none accepted that is not sane. */
static void test_load_hostile(void **state)
{
	struct t *t = start(0x7);
	size_t cap = piix3_ide_class.state_size + 64, len;
	uint8_t *buf = malloc(cap), *orig = malloc(cap);
	unsigned taken = 0, refused = 0;
	uint32_t x = 12345;

	(void)state;
	cmd(t, P0, 0x20, 3, 5, 0xe0);
	run(t);
	(void)fake_inl(&t->f, P0);
	bm_setup(t, 1, true);
	cmd(t, P1, 0xc8, 3, 5, 0xe0);
	len = dev_save(&piix3_ide_class, t->dev, orig, cap);
	assert_true(len > 24);
	/* Every byte but the buffers, several values. */
	for (size_t at = 24; at < len; at++) {
		for (unsigned v = 0; v < 3; v++) {
			x = x * 1664525 + 1013904223;
			memcpy(buf, orig, len);
			buf[at] ^= (uint8_t)(v ? x >> 24 : 0xff);
			if (dev_load(&piix3_ide_class, t->dev, buf, len) == 0) {
				taken++;
				(void)fake_inw(&t->f, P0);
				fake_outb(&t->f, P1 + 7, 0xc8);
				run(t);
				fake_burst(&t->f, P0, 2, false, t->f.ram + BUF, 512);
			} else {
				refused++;
				assert_int_equal(alt(t, P0), DRDY);
			}
			assert_true(piix3_ide_class.sane(t->dev));
			run(t);
		}
		if (at == 24 + 150)
			at += 32000; /* most of the buffer is data */
		else if (at > 24 + 33000 && at < 24 + 33300)
			at += at % 7;
		else if (at > 24 + 33300 && at < len - 400)
			at = len - 400;
	}
	assert_true(taken && refused);
	assert_int_equal(dev_load(&piix3_ide_class, t->dev, orig, len - 1), -1);
	free(buf);
	free(orig);
	stop(t);
}

/* A guest that does anything at all: the bus checks sane() after every access. */
static void test_hostile(void **state)
{
	static const uint8_t cmds[] = { 0x06, 0x10, 0x20, 0x24, 0x25, 0x27, 0x29, 0x30,
					0x34, 0x35, 0x39, 0x3d, 0x40, 0x42, 0x70, 0x90,
					0x91, 0xb0, 0xc4, 0xc5, 0xc6, 0xc8, 0xca, 0xce,
					0xe0, 0xe1, 0xe5, 0xe7, 0xec, 0xef, 0xf8 };
	uint64_t x = 88172645463325252ull;

	(void)state;
	for (unsigned round = 0; round < 40; round++) {
		struct t *t = start_cap(round % 15 + 1, 3000);

		for (unsigned i = 0; i < 64; i++)
			prd(t, i, (uint32_t)(BUF + i * 3333), 2 + (i % 9) * 700, i == 63);
		for (unsigned i = 0; i < 4000; i++) {
			unsigned p, r;
			uint32_t v;

			x ^= x << 13;
			x ^= x >> 7;
			x ^= x << 17;
			p = x & 1 ? P0 : P1;
			r = x >> 1 & 7;
			v = (uint32_t)(x >> 32);
			switch (x >> 4 & 15) {
			case 0: fake_outb(&t->f, p + r, (uint8_t)v); break;
			case 1: fake_outb(&t->f, p + 2, v & 3); break;
			case 2: fake_outb(&t->f, p + 6, (uint8_t)((v & 0x10) | 0xe0)); break;
			case 3:
			case 4: fake_outb(&t->f, p + 7, cmds[v % sizeof(cmds)]); break;
			case 5: (void)fake_inb(&t->f, p + r); break;
			case 6: fake_outb(&t->f, CTL(p), v % 64 ? v & 2 : (uint8_t)v); break;
			case 7:
			case 8:
				fake_burst(&t->f, p, 2, v & 1, t->f.ram + 0x40000, v >> 8 & 0x3ff);
				break;
			case 9: fake_outb(&t->f, BM + (v & 8), v & 16 ? 9 : (v >> 8) & 9); break;
			case 10: fake_outb(&t->f, BM + (v & 15), (uint8_t)(v >> 8)); break;
			case 11: fake_outl(&t->f, BM + (v & 8) + 4, PRDT + (v >> 8 & 0x1f8)); break;
			case 12:
			case 13: run(t); break;
			case 14:
				if (v % 4 == 0) {
					run(t);
					fake_save_load(&t->f);
				} else if (v % 4 == 1) {
					t->d[0].bad_from = v >> 8 & 1023;
					t->d[0].bad_to = t->d[0].bad_from + (v >> 20 & 3);
				} else {
					fake_write(&t->f, DEV_PIO, p + r % 5, 4, v);
				}
				break;
			case 15:
				if (v % 64 == 0)
					piix3_ide_class.reset(t->dev);
				fake_cfg_write(&t->f, DEVFN, 0x20, 4, BM);
				fake_cfg_write(&t->f, DEVFN, 4, 2, 5);
				break;
			}
		}
		run(t);
		stop(t);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_dma),
		cmocka_unit_test(test_dma_64k_sectors),
		cmocka_unit_test(test_dma_scatter),
		cmocka_unit_test(test_prd_short_and_long),
		cmocka_unit_test(test_prd_bad_address),
		cmocka_unit_test(test_bm_registers),
		cmocka_unit_test(test_bm_stop_in_flight),
		cmocka_unit_test(test_dma_errors),
		cmocka_unit_test(test_flush),
		cmocka_unit_test(test_trim),
		cmocka_unit_test(test_software_reset),
		cmocka_unit_test(test_bus_reset),
		cmocka_unit_test(test_load_hostile),
		cmocka_unit_test(test_hostile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
