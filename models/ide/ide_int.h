/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ide_int.h - what the parts of the IDE model share.
 *
 *   piix3_ide.c  PCI function, bus master registers, the class
 *   channel.c    task file, device selection, interrupts, resets, the data port
 *   ata.c        commands and what drives say about themselves
 *   xfer.c       a command's data between disk and buffer or guest RAM
 *   prd.c        the bus master's walk through its descriptor table
 *
 * One command is under way on a channel at a time (ATA has no overlap without queueing), and at most
 * one block request.  BSY is set exactly while a request is in flight or SRST is asserted, so that at
 * rest (when a save is taken) a command waits for the guest or there is none.
 */
#ifndef MODELS_IDE_INT_H
#define MODELS_IDE_INT_H

#include <string.h>

#include "models/ide/ide.h"
#include "models/pci/pci_cfg.h"

/* Status register. */
#define ST_ERR  0x01u
#define ST_DRQ  0x08u
#define ST_DSC  0x10u
#define ST_DRDY 0x40u
#define ST_BSY  0x80u
#define ST_IDLE (ST_DRDY | ST_DSC)

/* Error register. */
#define ER_ABRT 0x04u
#define ER_IDNF 0x10u
#define ER_UNC  0x40u

/* Device register. */
#define DEV_SEL  0x10u
#define DEV_LBA  0x40u
#define DEV_ONES 0xa0u /* obsolete bits, always read as 1: SeaBIOS compares what it wrote */

/* Device control register. */
#define DC_NIEN 0x02u
#define DC_SRST 0x04u
#define DC_HOB  0x80u

/* Bus master command and status registers (SFF-8038i). */
#define BM_START   0x01u
#define BM_TO_MEM  0x08u
#define BM_ACTIVE  0x01u
#define BM_ERROR   0x02u
#define BM_INTR    0x04u
#define BM_CAPABLE 0x60u

/* Task file, by register offset. */
enum { TF_DATA, TF_FEATURE, TF_COUNT, TF_LBAL, TF_LBAM, TF_LBAH, TF_DEVICE, TF_COMMAND };

#define IDE_BUF_SECTORS 64u /* a multiple of IDE_MAX_MULT */
#define IDE_BUF         (IDE_BUF_SECTORS * BLK_SECTOR)
#define IDE_MAX_MULT    16u

enum ata_power { PM_ACTIVE, PM_IDLE, PM_STANDBY, PM_SLEEP };

struct ata_drive {                /* guest-visible state of one drive */
	uint8_t tf[TF_DEVICE][2]; /* [1]: the value before, for 48-bit commands */
	uint8_t device, status, error;
	uint8_t intrq; /* interrupt pending */
	uint8_t mult;  /* sectors in a block of the MULTIPLE commands, 0: off */
	uint8_t heads, spt;
	uint8_t xfer; /* as last set by SET FEATURES 03h */
	uint8_t wcache, lookahead;
	uint8_t revert;    /* software reset goes back to power-on defaults */
	uint8_t smart;     /* SMART operations enabled */
	uint8_t self_test; /* the last self-test's number, 0: never one */
	uint8_t power;     /* enum ata_power */
	uint8_t pad[2];
};

enum op_kind {
	OP_NONE,
	OP_DATA, /* one block out of the buffer to the guest, no medium */
	OP_PIO_IN,
	OP_PIO_OUT,
	OP_DMA_IN,
	OP_DMA_OUT,
	OP_TRIM, /* DMA of range entries, then discards */
	OP_VERIFY,
	OP_FLUSH,
	OP_KINDS,
};

/* Flags of a command that moves data. */
#define RW_EXT  0x01u /* 48-bit */
#define RW_MULT 0x02u /* blocks of the drive's mult sectors */
#define RW_FUA  0x04u
#define RW_LBA  0x08u /* the address was an LBA: so is that of an error */

struct ide_op {       /* the command under way */
	uint8_t kind; /* enum op_kind */
	uint8_t drive, flags;
	uint8_t block; /* sectors for each DRQ */
	uint32_t left; /* sectors from lba to the end; TRIM: blocks of entries */
	uint32_t step; /* sectors in one request at most: 1 once a request failed, to find the bad one */
	uint32_t want; /* PIO: sectors that the buffer holds or is to hold, from lba on */
	uint32_t got;  /* of these, sectors done with the disk; TRIM: entries done */
	uint32_t pos,
		end; /* PIO: bytes of the buffer that this DRQ gives or takes; equal: no DRQ */
	uint32_t pad;
	uint64_t lba;
};

struct prd_cursor {
	uint32_t next;      /* address of the next descriptor */
	uint32_t addr, len; /* what is left of the present one */
	uint32_t last;      /* it was the table's last */
};

struct bm_state {
	uint8_t cmd, status, pad[2];
	uint32_t table;
	struct prd_cursor cur;
};

struct chan_state {
	struct ata_drive drive[2];
	struct ide_op op;
	struct bm_state bm;
	uint8_t ctrl, sel; /* Device Control; the selected drive */
	uint8_t line;      /* level of INTRQ */
	uint8_t pad[5];
	uint8_t buf[IDE_BUF];
};

struct ide_state {
	struct chan_state ch[2];
	uint8_t cfg[PCI_CFG_SIZE];
};

struct piix3_ide;

struct ide_chan { /* environment of one channel, and its request */
	struct piix3_ide *ide;
	struct chan_state *s;
	unsigned n;
	struct blk *disk[2];
	const char *serial[2], *model[2];
	struct blk_req req;
	struct gpa_seg seg[BLK_MAX_SEGS];
	struct prd_cursor redo; /* where req's segments began */
	bool busy;              /* req is in flight */
	bool dead;              /* ... and nobody waits for it: the command was reset away */
	bool bounce; /* req goes through buf, the segments of its sector being too many */
};

struct piix3_ide {
	struct dev_env env;
	struct piix3_ide_cfg cfg;
	struct ide_chan ch[2];
	struct ide_state state;
};

static inline uint32_t min_u32(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

static inline struct ata_drive *op_drive(struct ide_chan *c)
{
	return &c->s->drive[c->s->op.drive];
}

/* channel.c */
void ide_chan_reset(struct ide_chan *c);          /* power-on or the bus's reset */
uint8_t ide_alt_status(const struct ide_chan *c); /* no side effects */
bool ide_has_drive(const struct ide_chan *c);     /* is any there? */
void ide_update_line(struct ide_chan *c);
void ide_interrupt(struct ide_chan *c, unsigned drive); /* sets interrupt pending */
void ide_signature(struct ata_drive *d);
uint8_t ide_reg_read(struct ide_chan *c, unsigned reg);
void ide_reg_write(struct ide_chan *c, unsigned reg, uint8_t v);
void ide_control(struct ide_chan *c, uint8_t v);
void ide_data(struct ide_chan *c, bool write, void *buf, uint32_t bytes); /* bytes: even */
bool ide_chan_sane(const struct ide_chan *c);

/* ata.c */
void ata_power_on(struct ata_drive *d);            /* settings, not the registers */
void ata_command(struct ide_chan *c, uint8_t cmd); /* for the selected drive, which is there */
uint16_t ata_cylinders(const struct ata_drive *d, uint64_t n_sectors);
void ata_set_lba(struct ide_chan *c, uint64_t lba); /* op's drive: the address of an error */

/* xfer.c */
void op_start(struct ide_chan *c, enum op_kind kind, uint64_t lba, uint32_t n, unsigned flags);
void op_data(struct ide_chan *c); /* the guest is to read the first 512 bytes of buf */
void op_flush(struct ide_chan *c);
void op_finish(struct ide_chan *c); /* success */
void op_fail(struct ide_chan *c, uint8_t error);
void op_drop(struct ide_chan *c);       /* forgets the command under way */
void op_block_done(struct ide_chan *c); /* the guest moved all of this DRQ's data */
void op_dma(struct ide_chan *c);        /* goes on with DMA if both sides are ready */

/* prd.c */
enum prd_rc { PRD_OK, PRD_END, PRD_BAD, PRD_MANY };
/* Takes whole sectors, at most bytes, into c->seg and c->req.n_seg; how much.  If that is 0, *why says
 * why: the table ends before, a bad address, or a sector in more than BLK_MAX_SEGS pieces. */
uint32_t prd_gather(struct ide_chan *c, uint32_t bytes, enum prd_rc *why);
/* One sector between c->s->buf and guest RAM. */
enum prd_rc prd_copy(struct ide_chan *c, bool to_mem);
/* Is all of the table used up? */
static inline bool prd_at_end(const struct bm_state *bm)
{
	return bm->cur.last && !bm->cur.len;
}

/* piix3_ide.c */
void ide_shadows(struct ide_chan *c);    /* after every change */
bool bm_ready(const struct ide_chan *c); /* started, and allowed onto the bus */
void bm_halt(struct ide_chan *c, enum prd_rc why);

#endif
