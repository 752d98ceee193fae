/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * xfer.c - the data of a command between the disk and the buffer or guest RAM (protocols of
 * ATA/ATAPI-6, clause 9: PIO data in, PIO data out, DMA, non-data).
 *
 * PIO reads fetch as many sectors as the buffer holds in one request, PIO writes are gathered and go to
 * the disk when the buffer is full or the command's last block is there, before it completes.  DMA
 * requests name guest RAM.  When a request of several sectors fails, it is repeated sector by sector:
 * the good ones before the bad one are moved, and the guest learns the bad one's address.
 */
#include "models/ide/ide_int.h"

static void complete(struct ide_chan *c, int err);

static void done(void *owner, struct blk_req *r, int err)
{
	struct ide_chan *c = owner;

	(void)r;
	c->busy = false;
	if (c->dead)
		c->dead = false;
	else
		complete(c, err);
	ide_shadows(c);
}

static void submit(struct ide_chan *c, enum blk_op what, uint64_t sector, uint32_t n)
{
	c->req.op = (uint8_t)what;
	c->req.sector = sector;
	c->req.n_sectors = n;
	if (what != BLK_READ && what != BLK_WRITE)
		c->req.n_seg = 0;
	c->req.seg = c->seg;
	c->req.done = done;
	c->req.owner = c;
	c->busy = true;
	if (blk_submit(c->disk[c->s->op.drive], &c->req)) {
		c->busy = false;
		complete(c, BLK_EIO);
	}
}

/* The request's data is the buffer, from sector at of it on. */
static void use_buffer(struct ide_chan *c, uint32_t at, uint32_t n)
{
	c->seg[0].addr = dev_buf_gpa(&c->ide->env, c->s->buf + at * BLK_SECTOR);
	c->seg[0].len = n * BLK_SECTOR;
	c->req.n_seg = 1;
}

static void buffer_io(struct ide_chan *c)
{
	struct ide_op *op = &c->s->op;
	uint32_t n = min_u32(op->step, op->want - op->got);

	use_buffer(c, op->got, n);
	submit(c, op->kind == OP_PIO_OUT ? BLK_WRITE : BLK_READ, op->lba + op->got, n);
}

/* How much of what is left goes through the buffer in one go. */
static void next_want(struct ide_op *op)
{
	op->want = min_u32(op->left, op->step == 1 ? op->block : IDE_BUF_SECTORS);
	op->got = 0;
}

static void fill(struct ide_chan *c)
{
	next_want(&c->s->op);
	buffer_io(c);
}

/* Offers the guest the buffer's next block. */
static void raise_drq(struct ide_chan *c)
{
	struct ide_op *op = &c->s->op;

	op->end = min_u32(op->pos + op->block * BLK_SECTOR, op->want * BLK_SECTOR);
	op_drive(c)->status |= ST_DRQ;
}

static void finish(struct ide_chan *c, uint8_t status, uint8_t error, bool interrupt)
{
	unsigned drive = c->s->op.drive;

	op_drop(c);
	c->s->drive[drive].status = status;
	c->s->drive[drive].error = error;
	if (interrupt)
		ide_interrupt(c, drive);
}

void op_finish(struct ide_chan *c)
{
	finish(c, ST_IDLE, 0, true);
}

void op_fail(struct ide_chan *c, uint8_t error)
{
	finish(c, ST_IDLE | ST_ERR, error, true);
}

void op_drop(struct ide_chan *c)
{
	struct ide_op *op = &c->s->op;
	uint8_t drive = op->drive;

	c->s->drive[drive].status &= (uint8_t)~ST_DRQ;
	memset(op, 0, sizeof(*op));
	op->drive = drive;
}

/* Linux counts aborted writes as a reason to give up DMA; an address that can't be written it reports
 * to the file system. */
static void medium_error(struct ide_chan *c)
{
	bool write = c->req.op == BLK_WRITE;

	ata_set_lba(c, c->req.sector);
	op_fail(c, write ? ER_IDNF : ER_UNC);
}

void op_start(struct ide_chan *c, enum op_kind kind, uint64_t lba, uint32_t n, unsigned flags)
{
	struct ata_drive *d = &c->s->drive[c->s->sel];
	struct ide_op *op = &c->s->op;

	*op = (struct ide_op){
		.kind = (uint8_t)kind,
		.drive = c->s->sel,
		.flags = (uint8_t)flags,
		.block = flags & RW_MULT ? d->mult : 1,
		.left = n,
		.step = UINT32_MAX,
		.lba = lba,
	};
	d->status = ST_IDLE;
	d->error = 0;
	switch (kind) {
	case OP_PIO_IN:
	case OP_VERIFY: fill(c); break;
	case OP_PIO_OUT:
		next_want(op);
		raise_drq(c); /* the first block comes without an interrupt */
		break;
	default: d->status |= ST_DRQ; op_dma(c);
	}
}

void op_data(struct ide_chan *c)
{
	struct ide_op *op = &c->s->op;

	*op = (struct ide_op){
		.kind = OP_DATA, .drive = c->s->sel, .block = 1, .step = 1, .want = 1
	};
	op_drive(c)->status = ST_IDLE;
	op_drive(c)->error = 0;
	raise_drq(c);
	ide_interrupt(c, op->drive);
}

void op_flush(struct ide_chan *c)
{
	struct ide_op *op = &c->s->op;

	*op = (struct ide_op){ .kind = OP_FLUSH, .drive = c->s->sel, .block = 1, .step = 1 };
	if (c->disk[op->drive]->flush)
		submit(c, BLK_FLUSH, 0, 0);
	else
		op_finish(c);
}

/* All is with the disk; without a write cache it must also be safe. */
static void written(struct ide_chan *c)
{
	struct ide_op *op = &c->s->op;

	if (c->disk[op->drive]->flush && (!op_drive(c)->wcache || (op->flags & RW_FUA))) {
		op->kind = OP_FLUSH;
		op->pos = op->end = 0;
		op_drive(c)->status = ST_IDLE;
		submit(c, BLK_FLUSH, 0, 0);
	} else {
		op_finish(c);
	}
}

void op_block_done(struct ide_chan *c)
{
	struct ide_op *op = &c->s->op;

	op_drive(c)->status &= (uint8_t)~ST_DRQ;
	if (op->pos < op->want * BLK_SECTOR) {
		raise_drq(c);
		ide_interrupt(c, op->drive);
		return;
	}
	op->pos = op->end = 0;
	if (op->kind == OP_PIO_OUT) {
		buffer_io(c);
		return;
	}
	op->lba += op->want;
	op->left -= op->kind == OP_PIO_IN ? op->want : 0;
	if (op->left)
		fill(c);
	else
		finish(c, ST_IDLE, 0, false); /* data in ends without an interrupt */
}

static void buffer_done(struct ide_chan *c, int err)
{
	struct ide_op *op = &c->s->op;

	if (err && c->req.n_sectors > 1) {
		op->step = 1;
		if (op->kind != OP_PIO_OUT)
			next_want(op);
		buffer_io(c);
		return;
	}
	if (err) {
		medium_error(c);
		return;
	}
	op->got += c->req.n_sectors;
	if (op->got < op->want) {
		buffer_io(c);
		return;
	}
	if (op->kind != OP_PIO_IN) {
		op->lba += op->want;
		op->left -= op->want;
		if (!op->left && op->kind == OP_PIO_OUT) {
			written(c);
			return;
		}
		if (!op->left) {
			op_finish(c);
			return;
		}
		if (op->kind == OP_VERIFY) {
			fill(c);
			return;
		}
		next_want(op);
	}
	raise_drq(c);
	ide_interrupt(c, op->drive);
}

/* DATA SET MANAGEMENT: the next range of the block in the buffer (ACS-2 7.10; 48 bits LBA, 16 count). */
static void trim_next(struct ide_chan *c)
{
	struct ide_op *op = &c->s->op;

	while (op->got < BLK_SECTOR / 8) {
		uint64_t e, cap = c->disk[op->drive]->n_sectors;
		uint32_t n;

		memcpy(&e, c->s->buf + op->got++ * 8, sizeof(e));
		n = (uint32_t)(e >> 48);
		e &= (1ull << 48) - 1;
		if (!n)
			continue;
		if (e > cap || n > cap - e) {
			op_fail(c, ER_ABRT);
			return;
		}
		submit(c, BLK_DISCARD, e, n);
		return;
	}
	op->got = 0;
	if (--op->left) {
		op_dma(c);
		return;
	}
	if (prd_at_end(&c->s->bm))
		c->s->bm.status &= (uint8_t)~BM_ACTIVE;
	op_finish(c);
}

void op_dma(struct ide_chan *c)
{
	struct ide_op *op = &c->s->op;
	enum prd_rc why = PRD_OK;
	uint32_t bytes;

	if (c->busy || op->kind < OP_DMA_IN || op->kind > OP_TRIM || !bm_ready(c))
		return;
	if (op->kind == OP_TRIM) {
		why = prd_copy(c, false);
		if (why != PRD_OK)
			bm_halt(c, why);
		else
			trim_next(c);
		return;
	}
	c->redo = c->s->bm.cur;
	bytes = prd_gather(c, min_u32(op->left, op->step) * BLK_SECTOR, &why);
	c->bounce = !bytes && why == PRD_MANY;
	if (c->bounce) {
		why = op->kind == OP_DMA_OUT ? prd_copy(c, false) : PRD_OK;
		use_buffer(c, 0, 1);
		bytes = why == PRD_OK ? BLK_SECTOR : 0;
	}
	if (bytes)
		submit(c, op->kind == OP_DMA_OUT ? BLK_WRITE : BLK_READ, op->lba,
		       bytes / BLK_SECTOR);
	else
		bm_halt(c, why);
}

static void dma_done(struct ide_chan *c, int err)
{
	struct ide_op *op = &c->s->op;
	enum prd_rc rc = PRD_OK;

	if (err && c->req.n_sectors > 1) {
		op->step = 1;
		c->s->bm.cur = c->redo;
		op_dma(c);
		return;
	}
	if (err) {
		medium_error(c);
		return;
	}
	if (c->bounce && op->kind == OP_DMA_IN) {
		if (!bm_ready(c))
			return; /* stopped meanwhile: the sector is still to be moved */
		rc = prd_copy(c, true);
	}
	if (rc != PRD_OK) {
		bm_halt(c, rc);
		return;
	}
	op->lba += c->req.n_sectors;
	op->left -= c->req.n_sectors;
	if (op->left) {
		op_dma(c);
		return;
	}
	if (prd_at_end(&c->s->bm))
		c->s->bm.status &= (uint8_t)~BM_ACTIVE;
	if (op->kind == OP_DMA_OUT)
		written(c);
	else
		op_finish(c);
}

static void complete(struct ide_chan *c, int err)
{
	switch (c->s->op.kind) {
	case OP_PIO_IN:
	case OP_PIO_OUT:
	case OP_VERIFY: buffer_done(c, err); break;
	case OP_DMA_IN:
	case OP_DMA_OUT: dma_done(c, err); break;
	case OP_TRIM:
		if (err == BLK_EIO)
			op_fail(c, ER_ABRT);
		else
			trim_next(c); /* a discard is a hint: unsupported is fine */
		break;
	case OP_FLUSH:
		if (err == BLK_EIO)
			op_fail(c, ER_ABRT);
		else
			op_finish(c);
		break;
	}
}
