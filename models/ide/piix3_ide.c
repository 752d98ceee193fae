/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * piix3_ide.c - Intel 82371SB (PIIX3) function 1: configuration space and bus master registers (data
 * sheet 290550, IDE function registers; SFF-8038i 1.0), and the class.
 *
 * The timing registers hold what is written: nothing here depends on cycle times.
 */
#include "models/ide/ide_int.h"

#define BMIBA        0x20u
#define MASTER_ABORT 0x20u /* PCI_STATUS + 1: a cycle of ours found no target */

#define MAX_SECTORS (1ull << 48)

static const struct pci_reg regs[] = {
	{ PCI_VENDOR, 4, 0x70108086, 0, 0 },
	{ PCI_COMMAND, 4, 0x02800000, 0x00000005, 0x38000000 },
	{ PCI_REVISION, 4, 0x01018000, 0, 0 }, /* legacy ports only, bus master */
	{ PCI_LATENCY, 1, 0x00, 0xf0, 0 },
	/* The data sheet has no bits 31:16, which make SeaBIOS see a region of nearly 4 GiB. */
	{ BMIBA, 4, 0x00000001, 0xfffffff0, 0 },
	{ 0x40, 4, 0x00000000, ~0u, 0 }, /* IDETIM, both channels */
	{ 0x44, 1, 0x00, 0xff, 0 },      /* SIDETIM */
};
#define N_REGS (sizeof(regs) / sizeof(regs[0]))

enum { R_CMD0, R_CTL0, R_CMD1, R_CTL1, R_BM, R_CFG };

#define SIZES (DEV_SIZE_1 | DEV_SIZE_2 | DEV_SIZE_4)

static const struct dev_region regions[] = {
	[R_CMD0] = { "ide0", DEV_PIO, 0x1f0, 8, SIZES },
	[R_CTL0] = { "ide0-ctl", DEV_PIO, 0x3f6, 1, DEV_SIZE_1 },
	[R_CMD1] = { "ide1", DEV_PIO, 0x170, 8, SIZES },
	[R_CTL1] = { "ide1-ctl", DEV_PIO, 0x376, 1, DEV_SIZE_1 },
	[R_BM] = { "bmide", DEV_PIO, DEV_UNPLACED, 16, SIZES },
	[R_CFG] = { "cfg", DEV_PCICFG, 0, PCI_CFG_SIZE, SIZES },
};

/*
 * What need not reach the model at once. Of each channel: reads of the status registers and of what was
 * written, and writes that set a command up, the command itself included: a driver that waits for it
 * reads a status next. Starting the bus master is never late; stopping it when nothing moves is (S_IDLE:
 * valid while that changes nothing else). PIO data is posted in words, one or two, as the last may end the
 * command, and read from the buffer up to the last of a block.
 *
 * With doorbells, one starts the engine, after all that is posted: what the engine looks at must not be.
 */
enum { S_ALT, S_STATUS, S_DEVICE, S_BMCMD, S_BMSTAT, S_IDLE, S_FIFO };

#define FAST_PER_CHANNEL 16u

#define OWN(n, s)     ((n)*FAST_PER_CHANNEL + (s))
#define SH(n, s)      (1u << OWN(n, s))
#define SH_STAT(n)    (SH(n, S_ALT) | SH(n, S_STATUS) | SH(n, S_BMSTAT))
#define NOT_WITH_BELL (1u << DEV_DOORBELL)

#define SHADOW(reg, off, n)                                                \
	{                                                                  \
		.kind = DEV_SHADOW, .region = reg, .offset = off, .len = n \
	}
#define POSTED(reg, off, n, dirt, own_, care_)                                               \
	{                                                                                    \
		.kind = DEV_POSTED, .region = reg, .offset = off, .len = n, .dirties = dirt, \
		.own = own_, .care = care_                                                   \
	}
#define BM_POSTED(off, n, dirt, own_, not_if_)                                                \
	{                                                                                     \
		.kind = DEV_POSTED, .region = R_BM, .offset = off, .len = n, .dirties = dirt, \
		.own = own_, .not_if = not_if_, .without = NOT_WITH_BELL                      \
	}
#define BELL(off, v)                                                                      \
	{                                                                                 \
		.kind = DEV_DOORBELL, .region = R_BM, .offset = off, .len = 1, .value = v \
	}

#define CHANNEL(n, cmd, ctl)                                                                      \
	[OWN(n, S_ALT)] = SHADOW(ctl, 0, 1), [OWN(n, S_STATUS)] = SHADOW(cmd, TF_COMMAND, 1),     \
		[OWN(n, S_DEVICE)] = SHADOW(cmd, TF_DEVICE, 1),                                   \
		[OWN(n, S_BMCMD)] = SHADOW(R_BM, (n)*8, 1),                                       \
		[OWN(n, S_BMSTAT)] = SHADOW(R_BM, (n)*8 + 2, 1),                                  \
		[OWN(n, S_IDLE)] = SHADOW(R_BM, (n)*8, 0),                                        \
		[OWN(n, S_FIFO)] = { .kind = DEV_FIFO,                                            \
				     .region = cmd,                                               \
				     .offset = TF_DATA,                                           \
				     .len = 4,                                                    \
				     .value = offsetof(struct piix3_ide, state.ch[n].buf) },      \
		POSTED(cmd, TF_DATA, 4, SH_STAT(n) | SH(n, S_FIFO), DEV_NO_SHADOW, 0),            \
		POSTED(cmd, TF_FEATURE, 5, 0, DEV_NO_SHADOW, 0),                                  \
		POSTED(cmd, TF_DEVICE, 1, SH_STAT(n) | SH(n, S_FIFO), OWN(n, S_DEVICE), DEV_SEL), \
		POSTED(cmd, TF_COMMAND, 1,                                                        \
		       SH_STAT(n) | SH(n, S_DEVICE) | SH(n, S_BMCMD) | SH(n, S_FIFO),             \
		       DEV_NO_SHADOW, 0),                                                         \
		BELL((n)*8, BM_START), BELL((n)*8, BM_START | BM_TO_MEM),                         \
		BM_POSTED((n)*8, 1, SH_STAT(n), OWN(n, S_IDLE), BM_START),                        \
		BM_POSTED((n)*8 + 4, 4, 0, DEV_NO_SHADOW, 0),                                     \
		POSTED(R_BM, (n)*8 + 2, 1, SH(n, S_BMSTAT), DEV_NO_SHADOW, 0)

static const struct dev_fast fast[2 * FAST_PER_CHANNEL] = {
	CHANNEL(0, R_CMD0, R_CTL0),
	CHANNEL(1, R_CMD1, R_CTL1),
};

static uint8_t bm_status(const struct ide_chan *c);

void ide_shadows(struct ide_chan *c)
{
	const struct dev_env *e = &c->ide->env;
	const struct chan_state *s = c->s;
	const struct ata_drive *d = &s->drive[s->sel];
	unsigned n = c->n * FAST_PER_CHANNEL;
	uint8_t alt = ide_alt_status(c);
	/* What a doorbell that was rung just now would change. */
	bool bell = dev_uses(e, DEV_DOORBELL) && !(s->bm.cmd & BM_START);
	bool armed = bell && s->op.kind >= OP_DMA_IN && s->op.kind <= OP_TRIM;

	dev_shadow(e, n + S_ALT, alt, !armed);
	/* Reading it takes the interrupt back. */
	dev_shadow(e, n + S_STATUS, alt, !armed && !d->intrq);
	/* A diagnostic may select a drive against the register; writes are judged by this shadow's DEV_SEL. */
	dev_shadow(e, n + S_DEVICE, d->device,
		   ide_has_drive(c) && !!(d->device & DEV_SEL) == s->sel);
	/* One rung while the engine runs changes its direction bit. */
	dev_shadow(e, n + S_BMCMD, s->bm.cmd, !dev_uses(e, DEV_DOORBELL));
	dev_shadow(e, n + S_BMSTAT, bm_status(c), !bell);
	dev_shadow(e, n + S_IDLE, 0,
		   s->op.kind == OP_NONE && !c->busy && !(s->bm.status & BM_ACTIVE));
	if ((s->op.kind == OP_PIO_IN || s->op.kind == OP_DATA) && s->op.drive == s->sel)
		dev_fifo(e, n + S_FIFO, s->op.pos, s->op.end);
}

/* The guest may have read on meanwhile. */
static void take_fifo(struct ide_chan *c)
{
	c->s->op.pos = dev_fifo_taken(&c->ide->env, c->n * FAST_PER_CHANNEL + S_FIFO, c->s->op.pos);
}

bool bm_ready(const struct ide_chan *c)
{
	return (c->s->bm.status & BM_ACTIVE) &&
	       (c->ide->state.cfg[PCI_COMMAND] & PCI_COMMAND_MASTER);
}

/* The drive no longer gets at memory.  It waits without DRQ for the guest to start the bus master again
 * with a new table, to give another command or to reset it: no interrupt comes (BMISX, "interrupt/activity status
 * combinations"). */
static void no_dma(struct ide_chan *c)
{
	const struct ide_op *op = &c->s->op;

	c->s->bm.status &= (uint8_t)~BM_ACTIVE;
	if (op->kind >= OP_DMA_IN && op->kind <= OP_TRIM)
		op_drive(c)->status &= (uint8_t)~ST_DRQ;
}

void bm_halt(struct ide_chan *c, enum prd_rc why)
{
	no_dma(c);
	if (why == PRD_BAD) {
		c->s->bm.status |= BM_ERROR;
		c->ide->state.cfg[PCI_STATUS + 1] |= MASTER_ABORT;
	}
}

static void bm_command(struct ide_chan *c, uint8_t v)
{
	struct bm_state *bm = &c->s->bm;
	uint8_t old = bm->cmd;

	bm->cmd = v & (BM_START | BM_TO_MEM);
	if (!(v & BM_START)) {
		no_dma(c);
	} else if (!(old & BM_START)) {
		bm->status |= BM_ACTIVE;
		bm->cur = (struct prd_cursor){ .next = bm->table };
		c->redo = bm->cur;
		op_dma(c);
	}
}

/* A request can't be taken back: until it returns, memory is in use and the engine counts as active. */
static uint8_t bm_status(const struct ide_chan *c)
{
	bool moving = c->busy && !c->dead &&
		      (c->s->op.kind == OP_DMA_IN || c->s->op.kind == OP_DMA_OUT);

	return c->s->bm.status | (moving ? BM_ACTIVE : 0);
}

static uint8_t bm_read8(const struct ide_chan *c, unsigned off)
{
	switch (off) {
	case 0: return c->s->bm.cmd;
	case 2: return bm_status(c);
	case 1:
	case 3: return 0;
	}
	return (uint8_t)(c->s->bm.table >> (off & 3) * 8);
}

static void bm_write8(struct ide_chan *c, unsigned off, uint8_t v)
{
	struct bm_state *bm = &c->s->bm;

	switch (off) {
	case 0: bm_command(c, v); break;
	case 2:
		bm->status = (uint8_t)((bm->status & ~BM_CAPABLE & ~(v & (BM_ERROR | BM_INTR))) |
				       (v & BM_CAPABLE));
		break;
	case 1:
	case 3: break;
	default:
		bm->table &= ~(0xffu << (off & 3) * 8);
		bm->table |= (uint32_t)v << (off & 3) * 8;
		bm->table &= ~3u;
	}
}

static void access_cfg(struct piix3_ide *d, struct dev_access *a)
{
	pci_cfg_access(d->state.cfg, regs, N_REGS, a);
	if (!a->write)
		return;
	if (pci_cfg_hits(a, PCI_COMMAND, 2) || pci_cfg_hits(a, BMIBA, 4))
		dev_place(&d->env, R_BM, pci_cfg_io_bar(d->state.cfg, BMIBA));
	for (unsigned i = 0; i < 2; i++)
		op_dma(&d->ch[i]); /* it may have waited for leave to master the bus */
}

/* The data port is 16 bits wide; a 32-bit access is two cycles.  An 8-bit one moves a word too, of
 * which the guest sees the low half. */
static void access_data(struct ide_chan *c, struct dev_access *a)
{
	uint32_t v = a->size == 1 ? a->data & 0xff : (uint32_t)a->data;

	ide_data(c, a->write, &v, a->size == 1 ? 2 : a->size);
	if (!a->write)
		a->data = a->size == 1 ? v & 0xff : a->size == 2 ? v & 0xffff : v;
}

static uint8_t read8(struct ide_chan *c, const struct dev_access *a, unsigned off)
{
	if (a->region == R_BM)
		return bm_read8(c, off);
	if (a->region == R_CTL0 || a->region == R_CTL1)
		return ide_alt_status(c);
	return off ? ide_reg_read(c, off) : 0xff;
}

static void write8(struct ide_chan *c, const struct dev_access *a, unsigned off, uint8_t v)
{
	if (a->region == R_BM)
		bm_write8(c, off, v);
	else if (a->region == R_CTL0 || a->region == R_CTL1)
		ide_control(c, v);
	else if (off)
		ide_reg_write(c, off, v);
}

static enum dev_rc access_any(void *dev, struct dev_access *a)
{
	struct piix3_ide *d = dev;
	struct ide_chan *c = &d->ch[a->region == R_CMD1 || a->region == R_CTL1];
	unsigned off = a->offset;

	if (a->region == R_CFG) {
		access_cfg(d, a);
		return DEV_OK;
	}
	if (a->region == R_BM) {
		c = &d->ch[off / 8 & 1];
		off &= 7;
	}
	if ((a->region == R_CMD0 || a->region == R_CMD1) && off == TF_DATA) {
		access_data(c, a);
		return DEV_OK;
	}
	if (!a->write)
		a->data = 0;
	for (unsigned i = 0; i < a->size && off + i < 8; i++) {
		if (a->write)
			write8(c, a, off + i, (uint8_t)(a->data >> i * 8));
		else
			a->data |= (uint64_t)read8(c, a, off + i) << i * 8;
	}
	return DEV_OK;
}

static void enter(struct piix3_ide *d)
{
	for (unsigned i = 0; i < 2; i++)
		take_fifo(&d->ch[i]);
}

static void leave(struct piix3_ide *d)
{
	for (unsigned i = 0; i < 2; i++)
		ide_shadows(&d->ch[i]);
}

static enum dev_rc ide_access(void *dev, struct dev_access *a)
{
	enter(dev);
	access_any(dev, a);
	leave(dev);
	return DEV_OK;
}

static void ide_sync(void *dev)
{
	enter(dev);
	leave(dev);
}

static enum dev_rc ide_burst(void *dev, struct dev_access *a, void *buf, uint32_t count)
{
	struct piix3_ide *d = dev;
	uint8_t *p = buf;

	if ((a->region == R_CMD0 || a->region == R_CMD1) && a->offset == TF_DATA && a->size > 1) {
		struct ide_chan *c = &d->ch[a->region == R_CMD1];

		take_fifo(c);
		ide_data(c, a->write, buf, count * a->size);
		ide_shadows(c);
		return DEV_OK;
	}
	for (uint32_t i = 0; i < count; i++, p += a->size) {
		a->data = 0;
		if (a->write)
			memcpy(&a->data, p, a->size);
		ide_access(dev, a);
		if (!a->write)
			memcpy(p, &a->data, a->size);
	}
	return DEV_OK;
}

static void ide_reset(void *dev)
{
	struct piix3_ide *d = dev;

	enter(d);
	pci_cfg_reset(d->state.cfg, regs, N_REGS);
	for (unsigned i = 0; i < 2; i++)
		ide_chan_reset(&d->ch[i]);
	leave(d);
	dev_place(&d->env, R_BM, DEV_UNPLACED);
}

static int ide_init(void *dev, const struct dev_env *env, const void *cfg)
{
	struct piix3_ide *d = dev;

	d->env = *env;
	d->cfg = *(const struct piix3_ide_cfg *)cfg;
	for (unsigned i = 0; i < 4; i++) {
		struct ide_chan *c = &d->ch[i / 2];
		struct blk *disk = d->cfg.disk[i];

		if (disk && (!disk->n_sectors || disk->n_sectors > MAX_SECTORS))
			return -1;
		c->ide = d;
		c->n = i / 2;
		c->s = &d->state.ch[i / 2];
		c->disk[i & 1] = disk;
		c->serial[i & 1] = d->cfg.serial[i];
		c->model[i & 1] = d->cfg.model[i];
	}
	ide_reset(d);
	return 0;
}

static bool ide_sane(const void *dev)
{
	const struct piix3_ide *d = dev;

	for (unsigned i = 0; i < 2; i++) {
		const struct bm_state *bm = &d->state.ch[i].bm;

		if (!ide_chan_sane(&d->ch[i]) || (bm->cmd & ~(BM_START | BM_TO_MEM)) ||
		    (bm->status & ~(BM_ACTIVE | BM_ERROR | BM_INTR | BM_CAPABLE)) ||
		    ((bm->status & BM_ACTIVE) && !(bm->cmd & BM_START)) || (bm->table & 3) ||
		    (bm->cur.next & 3) || (bm->cur.addr & 1) || (bm->cur.len & 1) ||
		    bm->cur.len > 0x10000 || bm->cur.last > 1)
			return false;
	}
	return pci_cfg_valid(d->state.cfg, regs, N_REGS);
}

static int ide_loaded(void *dev)
{
	struct piix3_ide *d = dev;

	/* Requests of the state before are not this one's. */
	for (unsigned i = 0; i < 2; i++) {
		d->ch[i].dead = d->ch[i].busy;
		dev_fifo_taken(&d->env, i * FAST_PER_CHANNEL + S_FIFO, 0);
	}
	if (!ide_sane(d)) {
		ide_reset(d);
		return -1;
	}
	dev_place(&d->env, R_BM, pci_cfg_io_bar(d->state.cfg, BMIBA));
	for (unsigned i = 0; i < 2; i++)
		dev_irq(&d->env, i, d->state.ch[i].line);
	leave(d);
	return 0;
}

const struct dev_class piix3_ide_class = {
	.name = "piix3-ide",
	.size = sizeof(struct piix3_ide),
	.state_off = offsetof(struct piix3_ide, state),
	.state_size = sizeof(struct ide_state),
	.regions = regions,
	.n_regions = sizeof(regions) / sizeof(regions[0]),
	.n_irqs = 2,
	.fast = fast,
	.n_fast = sizeof(fast) / sizeof(fast[0]),
	.init = ide_init,
	.reset = ide_reset,
	.access = ide_access,
	.burst = ide_burst,
	.sync = ide_sync,
	.loaded = ide_loaded,
	.sane = ide_sane,
};
