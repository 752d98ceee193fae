/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * channel.c - one ATA channel: registers, device selection, interrupts, resets, data port (ATA/ATAPI-6,
 * T13/1410D, clauses 7 and 9).
 *
 * Writes of the Command Block go to both drives' registers; the selected one answers reads.  Without
 * device 1, device 0 answers for it and shows status 0 (9.16.1).  An empty channel reads 0, as if all
 * lines had the pull-down that DD7 has: no guest then sees a busy or a ready device.
 */
#include "models/ide/ide_int.h"

bool ide_has_drive(const struct ide_chan *c)
{
	return c->disk[0] || c->disk[1];
}

static struct ata_drive *selected(const struct ide_chan *c)
{
	return &c->s->drive[c->s->sel];
}

uint8_t ide_alt_status(const struct ide_chan *c)
{
	if (!c->disk[c->s->sel])
		return 0;
	if (c->s->ctrl & DC_SRST)
		return ST_BSY;
	return c->busy ? ST_BSY | ST_IDLE : selected(c)->status;
}

/* INTRQ is driven by the selected drive unless nIEN is set; the bus master sees it rise. */
void ide_update_line(struct ide_chan *c)
{
	struct chan_state *s = c->s;
	bool level = c->disk[s->sel] && selected(c)->intrq && !(s->ctrl & DC_NIEN);

	if (level && !s->line)
		s->bm.status |= BM_INTR;
	s->line = level;
	dev_irq(&c->ide->env, c->n, level);
}

void ide_interrupt(struct ide_chan *c, unsigned drive)
{
	c->s->drive[drive].intrq = 1;
	ide_update_line(c);
}

/* What stands in the registers after a reset or EXECUTE DEVICE DIAGNOSTIC (9.12). */
void ide_signature(struct ata_drive *d)
{
	memset(d->tf, 0, sizeof(d->tf));
	d->tf[TF_COUNT][0] = 1;
	d->tf[TF_LBAL][0] = 1;
	d->device = DEV_ONES;
	d->error = 1; /* diagnostics passed */
	d->status = ST_IDLE;
	d->intrq = 0;
}

/* The disk may still be moving data of a command that a reset ended: its request can't be taken back,
 * so the channel stays busy until it returns, and the guest does not reuse the memory before. */
static void reset_drives(struct ide_chan *c)
{
	op_drop(c);
	c->dead = c->busy;
	for (unsigned i = 0; i < 2; i++) {
		ide_signature(&c->s->drive[i]);
		c->s->drive[i].power = PM_ACTIVE;
	}
	c->s->sel = 0;
}

void ide_chan_reset(struct ide_chan *c)
{
	memset(c->s, 0, sizeof(*c->s));
	reset_drives(c);
	for (unsigned i = 0; i < 2; i++)
		ata_power_on(&c->s->drive[i]);
	ide_update_line(c);
}

void ide_control(struct ide_chan *c, uint8_t v)
{
	struct chan_state *s = c->s;

	if (!ide_has_drive(c))
		return;
	if (v & ~s->ctrl & DC_SRST) {
		reset_drives(c);
		for (unsigned i = 0; i < 2; i++)
			if (s->drive[i].revert)
				ata_power_on(&s->drive[i]);
	}
	s->ctrl = v & (DC_HOB | DC_SRST | DC_NIEN);
	ide_update_line(c);
}

uint8_t ide_reg_read(struct ide_chan *c, unsigned reg)
{
	struct ata_drive *d = selected(c);
	uint8_t v;

	if (!ide_has_drive(c))
		return 0;
	switch (reg) {
	case TF_FEATURE: return d->error;
	case TF_DEVICE: return d->device;
	case TF_COMMAND:
		v = ide_alt_status(c);
		d->intrq = 0;
		ide_update_line(c);
		return v;
	}
	return d->tf[reg][!!(c->s->ctrl & DC_HOB)];
}

static void write_command(struct ide_chan *c, uint8_t v)
{
	struct chan_state *s = c->s;

	/* All drives there are execute a diagnostic, whichever is selected. */
	if (v == 0x90 && !c->disk[s->sel])
		s->sel = !s->sel;
	if (!c->disk[s->sel] || selected(c)->power == PM_SLEEP)
		return; /* only a reset wakes it (6.13) */
	selected(c)->intrq = 0;
	ide_update_line(c);
	op_drop(c); /* a command that the guest left in the middle of its data */
	ata_command(c, v);
}

void ide_reg_write(struct ide_chan *c, unsigned reg, uint8_t v)
{
	struct chan_state *s = c->s;

	/* Busy drives don't take writes (9.3); what a guest changes while it is to move data comes too
	 * late, a command copies its parameters. */
	if (!ide_has_drive(c) || c->busy || (s->ctrl & DC_SRST))
		return;
	s->ctrl &= (uint8_t)~DC_HOB;
	if (reg == TF_COMMAND) {
		write_command(c, v);
		return;
	}
	for (unsigned i = 0; i < 2; i++) {
		struct ata_drive *d = &s->drive[i];

		if (reg == TF_DEVICE) {
			d->device = v | DEV_ONES;
		} else {
			d->tf[reg][1] = d->tf[reg][0];
			d->tf[reg][0] = v;
		}
	}
	if (reg == TF_DEVICE) {
		s->sel = !!(v & DEV_SEL);
		ide_update_line(c);
	}
}

void ide_data(struct ide_chan *c, bool write, void *buf, uint32_t bytes)
{
	struct ide_op *op = &c->s->op;
	uint8_t *p = buf;

	while (bytes) {
		uint32_t n = min_u32(bytes, op->end - op->pos);

		if (!n || op->drive != c->s->sel || write != (op->kind == OP_PIO_OUT)) {
			if (!write)
				memset(p, 0xff, bytes);
			return;
		}
		if (write)
			memcpy(c->s->buf + op->pos, p, n);
		else
			memcpy(p, c->s->buf + op->pos, n);
		p += n;
		bytes -= n;
		op->pos += n;
		if (op->pos == op->end)
			op_block_done(c);
	}
}

static bool drive_sane(const struct ata_drive *d)
{
	return d->mult <= IDE_MAX_MULT && !(d->mult & (d->mult - 1)) && d->heads >= 1 &&
	       d->heads <= 16 && d->spt >= 1 && d->power <= PM_SLEEP &&
	       !(d->status & ~(ST_IDLE | ST_DRQ | ST_ERR)) && (d->device & DEV_ONES) == DEV_ONES &&
	       d->intrq <= 1 && d->wcache <= 1 && d->lookahead <= 1 && d->revert <= 1 &&
	       d->smart <= 1;
}

static bool op_sane(const struct ide_chan *c)
{
	const struct chan_state *s = c->s;
	const struct ide_op *op = &s->op;
	bool window = op->pos < op->end, running = c->busy && !c->dead;
	uint64_t cap;

	if (op->kind >= OP_KINDS || op->drive > 1 || op->end > IDE_BUF || op->pos > op->end ||
	    ((op->pos | op->end) & 1))
		return false;
	if (op->kind == OP_NONE)
		return !running && !op->end;
	if (!c->disk[op->drive] || !op->block || op->block > IDE_MAX_MULT || !op->step ||
	    (op->flags & ~(RW_EXT | RW_MULT | RW_FUA | RW_LBA)))
		return false;
	cap = c->disk[op->drive]->n_sectors;
	switch (op->kind) {
	case OP_DATA: return window && !running && op->want == 1 && op->end <= BLK_SECTOR;
	case OP_FLUSH: return running && !window;
	case OP_TRIM: return !window && op->left >= 1 && op->left <= 65536 && op->got <= 64;
	}
	if (op->left < 1 || op->left > 65536 || op->left > cap || op->lba > cap - op->left)
		return false;
	if (op->kind == OP_DMA_IN || op->kind == OP_DMA_OUT)
		return !window;
	return op->want <= IDE_BUF_SECTORS && op->want <= op->left && op->got <= op->want &&
	       op->end <= op->want * BLK_SECTOR && window == !running &&
	       (op->kind != OP_VERIFY || running);
}

bool ide_chan_sane(const struct ide_chan *c)
{
	const struct chan_state *s = c->s;

	for (unsigned i = 0; i < 2; i++) {
		const struct ata_drive *d = &s->drive[i];

		if (!drive_sane(d))
			return false;
		/* DRQ of a PIO command is its block to move. */
		if (s->op.pos < s->op.end && s->op.drive == i && !(d->status & ST_DRQ))
			return false;
		if ((d->status & ST_DRQ) && (s->op.kind == OP_NONE || s->op.drive != i))
			return false;
	}
	return s->sel <= 1 && s->line <= 1 && !(s->ctrl & ~(DC_HOB | DC_SRST | DC_NIEN)) &&
	       op_sane(c);
}
