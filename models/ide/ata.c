/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ata.c - the commands of a disk (ATA/ATAPI-6, T13/1410D, clause 8; TRIM from ACS-2, T13/2015-D).
 *
 * Feature sets: general, 48-bit address, power management, SMART with error and self-test log, write
 * cache, look-ahead, flush.  CHS translation is there for old boot code.  No security, no host
 * protected area (READ NATIVE MAX alone answers), no queueing.
 */
#include "models/ide/ide_int.h"

#define LBA28_SECTORS (1u << 28)

static struct ata_drive *drive_of(struct ide_chan *c)
{
	return &c->s->drive[c->s->sel];
}

static struct blk *disk_of(struct ide_chan *c)
{
	return c->disk[c->s->sel];
}

static void ok(struct ide_chan *c)
{
	struct ata_drive *d = drive_of(c);

	d->status = ST_IDLE;
	d->error = 0;
	ide_interrupt(c, c->s->sel);
}

static void fail(struct ide_chan *c, uint8_t error)
{
	struct ata_drive *d = drive_of(c);

	d->status = ST_IDLE | ST_ERR;
	d->error = error;
	ide_interrupt(c, c->s->sel);
}

void ata_power_on(struct ata_drive *d)
{
	d->mult = IDE_MAX_MULT;
	d->heads = 16;
	d->spt = 63;
	d->xfer = 0x22; /* multi-word DMA 2: what the PIIX3 can do at best */
	d->wcache = 1;
	d->lookahead = 1;
	d->revert = 0;
	d->smart = 1;
}

/* Addresses */

uint16_t ata_cylinders(const struct ata_drive *d, uint64_t n_sectors)
{
	uint64_t n = n_sectors / ((unsigned)d->heads * d->spt);

	return (uint16_t)(n < 1 ? 1 : n > 16383 ? 16383 : n);
}

static void put_lba(struct ata_drive *d, uint64_t lba, unsigned flags)
{
	if (!(flags & (RW_EXT | RW_LBA))) { /* CHS: sector, cylinder, head */
		uint32_t track = (uint32_t)lba / d->spt, cyl = track / d->heads;

		lba = ((uint32_t)lba % d->spt + 1) | (cyl & 0xffff) << 8 | (track % d->heads) << 24;
	}
	for (unsigned i = 0; i < 3; i++) {
		d->tf[TF_LBAL + i][0] = (uint8_t)(lba >> i * 8);
		if (flags & RW_EXT)
			d->tf[TF_LBAL + i][1] = (uint8_t)(lba >> (24 + i * 8));
	}
	if (!(flags & RW_EXT))
		d->device = (uint8_t)((d->device & 0xf0) | (lba >> 24 & 0xf));
}

void ata_set_lba(struct ide_chan *c, uint64_t lba)
{
	put_lba(op_drive(c), lba, c->s->op.flags);
}

/* The first sector and how many of them; false if that is not all on the disk. */
static bool get_range(struct ide_chan *c, unsigned *flags, uint64_t *lba, uint32_t *n)
{
	const struct ata_drive *d = drive_of(c);
	uint64_t cap = disk_of(c)->n_sectors;

	*lba = d->tf[TF_LBAL][0] | (uint32_t)d->tf[TF_LBAM][0] << 8 |
	       (uint32_t)d->tf[TF_LBAH][0] << 16;
	*n = d->tf[TF_COUNT][0];
	if (*flags & RW_EXT) {
		*n |= (uint32_t)d->tf[TF_COUNT][1] << 8;
		for (unsigned i = 0; i < 3; i++)
			*lba |= (uint64_t)d->tf[TF_LBAL + i][1] << (24 + i * 8);
	} else if (d->device & DEV_LBA) {
		*flags |= RW_LBA;
		*lba |= (uint64_t)(d->device & 0xf) << 24;
	} else {
		uint32_t sector = *lba & 0xff, cyl = (uint32_t)*lba >> 8, head = d->device & 0xf;

		if (!sector || sector > d->spt || head >= d->heads || cyl >= ata_cylinders(d, cap))
			return false;
		*lba = (uint64_t)(cyl * d->heads + head) * d->spt + sector - 1;
	}
	if (!*n)
		*n = *flags & RW_EXT ? 65536 : 256;
	return *lba < cap && *n <= cap - *lba;
}

/* IDENTIFY DEVICE (8.15) */

static void put16(uint8_t *buf, unsigned word, unsigned v)
{
	buf[word * 2] = (uint8_t)v;
	buf[word * 2 + 1] = (uint8_t)(v >> 8);
}

static void put64(uint8_t *buf, unsigned word, uint64_t v, unsigned words)
{
	for (unsigned i = 0; i < words; i++)
		put16(buf, word + i, v >> i * 16 & 0xffff);
}

/* First character of each pair in the high byte, blanks at the end. */
static void put_string(uint8_t *buf, unsigned word, const char *s, unsigned len)
{
	for (unsigned i = 0; i < len; i++)
		buf[word * 2 + (i ^ 1)] = *s ? (uint8_t)*s++ : ' ';
}

/* Makes all bytes of the block add up to 0. */
static void put_checksum(uint8_t *buf)
{
	uint8_t sum = 0;

	for (unsigned i = 0; i < BLK_SECTOR - 1; i++)
		sum += buf[i];
	buf[BLK_SECTOR - 1] = (uint8_t)-sum;
}

/* Is the transfer mode of this class (20h multi-word DMA, 40h Ultra DMA) selected?  Then its bit. */
static unsigned mode_bit(const struct ata_drive *d, unsigned class)
{
	return (d->xfer & 0xf8u) == class ? 0x100u << (d->xfer & 7) : 0;
}

static void identify(struct ide_chan *c)
{
	const struct ata_drive *d = drive_of(c);
	const struct blk *disk = disk_of(c);
	unsigned unit = c->s->sel;
	uint64_t n = disk->n_sectors, low = n < LBA28_SECTORS ? n : LBA28_SECTORS - 1;
	uint32_t chs = (uint32_t)ata_cylinders(d, n) * d->heads * d->spt;
	struct ata_drive dflt = { .heads = 16, .spt = 63 };
	uint8_t *b = c->s->buf;
	unsigned enabled = 0x4008 | (d->lookahead ? 0x40 : 0) | (d->wcache ? 0x20 : 0) | d->smart;

	memset(b, 0, BLK_SECTOR);
	put16(b, 0, 0x0040);
	put16(b, 1, ata_cylinders(&dflt, n));
	put16(b, 2, 0xc837); /* spun up, this data is complete */
	put16(b, 3, dflt.heads);
	put16(b, 6, dflt.spt);
	put_string(b, 10, c->serial[unit], 20);
	put_string(b, 23, "1.0", 8);
	put_string(b, 27, *c->model[unit] ? c->model[unit] : "selfio disk", 40);
	put16(b, 47, 0x8000 | IDE_MAX_MULT);
	put16(b, 49, 0x2b00); /* standard standby timer, IORDY, LBA, DMA */
	put16(b, 50, 0x4000);
	put16(b, 51, 0x0200);
	put16(b, 53, 0x0007);
	put16(b, 54, ata_cylinders(d, n));
	put16(b, 55, d->heads);
	put16(b, 56, d->spt);
	put64(b, 57, n < chs ? n : chs, 2);
	put16(b, 59, 0x0100 | d->mult);
	put64(b, 60, low, 2);
	put16(b, 63, 0x07 | mode_bit(d, 0x20));
	put16(b, 64, 0x03); /* PIO modes 3 and 4 */
	for (unsigned i = 65; i < 69; i++)
		put16(b, i, 120); /* cycle times, ns */
	put16(b, 80, 0x0078);     /* ATA-3 to ATA/ATAPI-6 */
	put16(b, 82, 0x4069);     /* NOP, look-ahead, write cache, power management, SMART */
	put16(b, 83, 0x7400);     /* FLUSH CACHE (EXT), 48-bit address */
	put16(b, 84, 0x4043);     /* WRITE DMA FUA EXT, SMART self-test and error log */
	put16(b, 85, enabled);
	put16(b, 86, 0x3400);
	put16(b, 87, 0x4043);
	put16(b, 88, 0x3f | mode_bit(d, 0x40));
	/* Hardware reset result.  Bit 6 tells SeaBIOS not to look for a slave. */
	put16(b, 93, unit ? 0x6b00 : 0x600b | (c->disk[1] ? 0x30 : 0x40));
	put64(b, 100, n, 4);
	if (disk->discard && !disk->read_only) {
		put16(b, 105, 1); /* blocks of range entries in one command */
		put16(b, 169, 1);
	}
	b[510] = 0xa5;
	put_checksum(b);
	op_data(c);
}

/* SET FEATURES (8.46) */

static bool xfer_mode_ok(uint8_t m)
{
	switch (m >> 3) {
	case 0x00: return m <= 1;       /* PIO default, without IORDY */
	case 0x01: return (m & 7) <= 4; /* PIO with flow control */
	case 0x04: return (m & 7) <= 2; /* multi-word DMA */
	case 0x08: return (m & 7) <= 5; /* Ultra DMA */
	}
	return false;
}

static void set_features(struct ide_chan *c)
{
	struct ata_drive *d = drive_of(c);
	uint8_t count = d->tf[TF_COUNT][0];

	switch (d->tf[TF_FEATURE][0]) {
	case 0x02: d->wcache = 1; break;
	case 0x03:
		if (!xfer_mode_ok(count)) {
			fail(c, ER_ABRT);
			return;
		}
		/* A PIO mode leaves the DMA mode as it is. */
		if (count >= 0x20)
			d->xfer = count;
		break;
	case 0x55: d->lookahead = 0; break;
	case 0x66: d->revert = 0; break;
	case 0x82:
		d->wcache = 0;
		op_flush(c);
		return;
	case 0xaa: d->lookahead = 1; break;
	case 0xcc: d->revert = 1; break;
	default: fail(c, ER_ABRT); return;
	}
	ok(c);
}

/* SMART (8.54): a drive in good health. */

#define SMART_LBAM 0x4fu
#define SMART_LBAH 0xc2u

static const struct {
	uint8_t id, flags, threshold;
} attributes[] = {
	{ 1, 0x0b, 16 },  /* read error rate: pre-failure */
	{ 5, 0x33, 5 },   /* reallocated sectors: pre-failure */
	{ 9, 0x32, 0 },   /* power-on hours */
	{ 197, 0x32, 0 }, /* pending sectors */
};

static uint16_t power_on_hours(struct ide_chan *c)
{
	return (uint16_t)(dev_now_ns(&c->ide->env) / 3600000000000ull);
}

static void smart_data(struct ide_chan *c)
{
	uint8_t *b = c->s->buf;

	memset(b, 0, BLK_SECTOR);
	b[0] = 0x10;
	for (unsigned i = 0; i < sizeof(attributes) / sizeof(attributes[0]); i++) {
		uint8_t *a = b + 2 + i * 12;

		a[0] = attributes[i].id;
		a[1] = attributes[i].flags;
		a[3] = a[4] = 100; /* normalised value, worst */
		if (a[0] == 9)
			put16(a + 5, 0, power_on_hours(c));
	}
	b[362] = 0x02;       /* off-line collection completed */
	b[367] = 0x1b;       /* it and self-tests by EXECUTE OFF-LINE IMMEDIATE */
	put16(b, 184, 3);    /* attributes saved; autosave */
	b[370] = 0x01;       /* error logging */
	b[372] = b[373] = 1; /* minutes for a short, an extended self-test */
	put_checksum(b);
	op_data(c);
}

static void smart_thresholds(struct ide_chan *c)
{
	uint8_t *b = c->s->buf;

	memset(b, 0, BLK_SECTOR);
	b[0] = 0x10;
	for (unsigned i = 0; i < sizeof(attributes) / sizeof(attributes[0]); i++) {
		b[2 + i * 12] = attributes[i].id;
		b[3 + i * 12] = attributes[i].threshold;
	}
	put_checksum(b);
	op_data(c);
}

static void smart_log(struct ide_chan *c)
{
	const struct ata_drive *d = drive_of(c);
	uint8_t *b = c->s->buf;

	if (d->tf[TF_COUNT][0] != 1) {
		fail(c, ER_ABRT);
		return;
	}
	memset(b, 0, BLK_SECTOR);
	b[0] = 1;
	switch (d->tf[TF_LBAL][0]) {
	case 0x00: /* directory: sectors of logs 1, 6 */
		put16(b, 1, 1);
		put16(b, 6, 1);
		break;
	case 0x01: /* summary of errors: none */ put_checksum(b); break;
	case 0x06: /* self-tests: the last one */
		if (d->self_test) {
			b[2] = d->self_test;
			put16(b, 2, power_on_hours(c));
			b[508] = 1;
		}
		put_checksum(b);
		break;
	default: fail(c, ER_ABRT); return;
	}
	op_data(c);
}

static void smart(struct ide_chan *c)
{
	struct ata_drive *d = drive_of(c);
	uint8_t sub = d->tf[TF_FEATURE][0], lbal = d->tf[TF_LBAL][0], count = d->tf[TF_COUNT][0];
	bool good = true;

	if (d->tf[TF_LBAM][0] != SMART_LBAM || d->tf[TF_LBAH][0] != SMART_LBAH ||
	    (!d->smart && sub != 0xd8)) {
		fail(c, ER_ABRT);
		return;
	}
	switch (sub) {
	case 0xd0: smart_data(c); return;
	case 0xd1: smart_thresholds(c); return;
	case 0xd2: /* attribute autosave, and the like of it for off-line collection */
		good = !count || count == 0xf1;
		break;
	case 0xdb: good = !count || count == 0xf8; break;
	case 0xd3: break;
	case 0xd4: /* off-line collection 0, self-tests 1 and 2 (captive: bit 7), abort 7Fh: at once */
		good = lbal <= 2 || lbal == 0x7f || lbal == 0x81 || lbal == 0x82;
		if (good && lbal && lbal != 0x7f)
			d->self_test = lbal;
		break;
	case 0xd5: smart_log(c); return;
	case 0xd8: d->smart = 1; break;
	case 0xd9: d->smart = 0; break;
	case 0xda: break; /* LBA mid and high as they are: no threshold exceeded */
	default: good = false;
	}
	if (good)
		ok(c);
	else
		fail(c, ER_ABRT);
}

/* Other commands */

static void diagnostic(struct ide_chan *c)
{
	for (unsigned i = 0; i < 2; i++)
		ide_signature(&c->s->drive[i]);
	c->s->sel = !c->disk[0];
	ide_interrupt(c, c->s->sel);
}

static void init_parameters(struct ide_chan *c)
{
	struct ata_drive *d = drive_of(c);

	if (!d->tf[TF_COUNT][0]) {
		fail(c, ER_ABRT);
		return;
	}
	d->heads = (d->device & 0xf) + 1;
	d->spt = d->tf[TF_COUNT][0];
	ok(c);
}

static void set_multiple(struct ide_chan *c)
{
	struct ata_drive *d = drive_of(c);
	uint8_t n = d->tf[TF_COUNT][0];

	if (n > IDE_MAX_MULT || (n & (n - 1))) {
		d->mult = 0;
		fail(c, ER_ABRT);
		return;
	}
	d->mult = n;
	ok(c);
}

static void native_max(struct ide_chan *c, unsigned flags)
{
	uint64_t last = disk_of(c)->n_sectors - 1;

	if (!(flags & RW_EXT) && last > LBA28_SECTORS - 1)
		last = LBA28_SECTORS - 1;
	put_lba(drive_of(c), last, flags);
	ok(c);
}

static void check_power(struct ide_chan *c)
{
	static const uint8_t code[] = { 0xff, 0x80, 0x00, 0x00 };
	struct ata_drive *d = drive_of(c);

	d->tf[TF_COUNT][0] = code[d->power];
	ok(c);
}

/* A drive that spins down writes its cache first. */
static void power_down(struct ide_chan *c, uint8_t mode)
{
	drive_of(c)->power = mode;
	op_flush(c);
}

static void seek(struct ide_chan *c)
{
	unsigned flags = 0;
	uint64_t lba;
	uint32_t n;

	drive_of(c)->tf[TF_COUNT][0] = 1;
	if (get_range(c, &flags, &lba, &n))
		ok(c);
	else
		fail(c, ER_IDNF);
}

static void trim(struct ide_chan *c)
{
	const struct ata_drive *d = drive_of(c);
	const struct blk *disk = disk_of(c);
	/* IDENTIFY allows one block; the count's high byte, which not all that send this write, is moot. */
	uint32_t n = d->tf[TF_COUNT][0];

	if (d->tf[TF_FEATURE][0] != 1 || !n || !disk->discard || disk->read_only)
		fail(c, ER_ABRT);
	else
		op_start(c, OP_TRIM, 0, n, RW_EXT);
}

static const struct rw {
	uint8_t cmd, kind, flags;
} rws[] = {
	{ 0xc8, OP_DMA_IN, 0 },
	{ 0xc9, OP_DMA_IN, 0 },
	{ 0xca, OP_DMA_OUT, 0 },
	{ 0xcb, OP_DMA_OUT, 0 },
	{ 0x25, OP_DMA_IN, RW_EXT },
	{ 0x35, OP_DMA_OUT, RW_EXT },
	{ 0x3d, OP_DMA_OUT, RW_EXT | RW_FUA },
	{ 0x20, OP_PIO_IN, 0 },
	{ 0x21, OP_PIO_IN, 0 },
	{ 0x24, OP_PIO_IN, RW_EXT },
	{ 0x29, OP_PIO_IN, RW_EXT | RW_MULT },
	{ 0xc4, OP_PIO_IN, RW_MULT },
	{ 0x30, OP_PIO_OUT, 0 },
	{ 0x31, OP_PIO_OUT, 0 },
	{ 0x34, OP_PIO_OUT, RW_EXT },
	{ 0x39, OP_PIO_OUT, RW_EXT | RW_MULT },
	{ 0xc5, OP_PIO_OUT, RW_MULT },
	{ 0xce, OP_PIO_OUT, RW_EXT | RW_MULT | RW_FUA },
	{ 0x40, OP_VERIFY, 0 },
	{ 0x41, OP_VERIFY, 0 },
	{ 0x42, OP_VERIFY, RW_EXT },
};

static void read_write(struct ide_chan *c, const struct rw *rw)
{
	const struct ata_drive *d = drive_of(c);
	bool write = rw->kind == OP_PIO_OUT || rw->kind == OP_DMA_OUT;
	unsigned flags = rw->flags;
	uint64_t lba;
	uint32_t n;

	if ((write && disk_of(c)->read_only) || ((flags & RW_MULT) && !d->mult))
		fail(c, ER_ABRT);
	else if (!get_range(c, &flags, &lba, &n))
		fail(c, ER_IDNF);
	else
		op_start(c, rw->kind, lba, n, flags);
}

void ata_command(struct ide_chan *c, uint8_t cmd)
{
	struct ata_drive *d = drive_of(c);

	for (unsigned i = 0; i < sizeof(rws) / sizeof(rws[0]); i++)
		if (rws[i].cmd == cmd) {
			d->power = PM_ACTIVE;
			read_write(c, &rws[i]);
			return;
		}
	switch (cmd) {
	case 0x06: trim(c); break;
	case 0x10 ... 0x1f: ok(c); break; /* RECALIBRATE */
	case 0x27: native_max(c, RW_EXT); break;
	case 0x70 ... 0x7f: seek(c); break;
	case 0x90: diagnostic(c); break;
	case 0x91: init_parameters(c); break;
	case 0x95: /* and the codes of ATA-1 with 90h for E0h */
	case 0x97:
	case 0xe1: /* IDLE IMMEDIATE, IDLE */
	case 0xe3:
		d->power = PM_IDLE;
		ok(c);
		break;
	case 0x94:
	case 0x96:
	case 0xe0: /* STANDBY IMMEDIATE, STANDBY */
	case 0xe2: power_down(c, PM_STANDBY); break;
	case 0x98:
	case 0xe5: check_power(c); break;
	case 0x99:
	case 0xe6: power_down(c, PM_SLEEP); break;
	case 0xb0: smart(c); break;
	case 0xc6: set_multiple(c); break;
	case 0xe7: /* FLUSH CACHE (EXT) */
	case 0xea: op_flush(c); break;
	case 0xec: identify(c); break;
	case 0xef: set_features(c); break;
	case 0xf8: native_max(c, RW_LBA); break;
	default: fail(c, ER_ABRT); /* NOP, DEVICE RESET and PACKET too, as a disk should */
	}
}
