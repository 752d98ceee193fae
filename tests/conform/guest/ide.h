/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ide.h - the disks that the runner makes, and the registers by which a program gets at them
 * (ATA/ATAPI-6, T13/1410D; bus master: SFF-8038i 1.0).
 */
#ifndef CONFORM_IDE_H
#define CONFORM_IDE_H

#include "rt.h"

/* Primary master and slave, secondary master; there is no secondary slave.  The first PATTERN and the
 * last PATTERN_END sectors hold the pattern, the rest is 0. */
#define DISK0       20197u /* sectors: 20 cylinders of 16 heads of 63 sectors, and 37 more */
#define DISK1       ((1ull << 28) + 100)
#define DISK2       4096u
#define PATTERN     2048u
#define PATTERN_END 64u
#define SECTOR      512u

enum { DATA, ERROR, FEATURE = ERROR, COUNT, LBAL, LBAM, LBAH, DEVICE, STATUS, COMMAND = STATUS };

#define BSY  0x80u
#define DRDY 0x40u
#define DSC  0x10u
#define DRQ  0x08u
#define ERR  0x01u
#define IDLE (DRDY | DSC)

#define ABRT 0x04u
#define IDNF 0x10u

#define NIEN 0x02u
#define SRST 0x04u
#define HOB  0x80u

#define LBA   0x40u
#define SLAVE 0x10u

enum {
	READ_SECTORS = 0x20,
	READ_SECTORS_EXT = 0x24,
	READ_DMA_EXT = 0x25,
	READ_MULTIPLE_EXT = 0x29,
	WRITE_SECTORS = 0x30,
	WRITE_SECTORS_EXT = 0x34,
	WRITE_DMA_EXT = 0x35,
	READ_VERIFY = 0x40,
	DIAGNOSTIC = 0x90,
	INIT_PARAMETERS = 0x91,
	READ_MULTIPLE = 0xc4,
	WRITE_MULTIPLE = 0xc5,
	SET_MULTIPLE = 0xc6,
	READ_DMA = 0xc8,
	WRITE_DMA = 0xca,
	CHECK_POWER = 0xe5,
	FLUSH = 0xe7,
	IDENTIFY = 0xec,
	BAD_COMMAND = 0xff,
};

struct chan {
	uint16_t base, ctl, bm; /* bm: 0 until bm_init() */
	unsigned irq;
};
extern struct chan ide[2];

/* Bus master registers and bits. */
#define BM_CMD    0u
#define BM_STATUS 2u
#define BM_TABLE  4u
#define BM_START  0x01u
#define BM_TO_MEM 0x08u
#define BM_ACTIVE 0x01u
#define BM_ERROR  0x02u
#define BM_INTR   0x04u
#define BM_STATE  (BM_ACTIVE | BM_ERROR | BM_INTR)
#define PRD_EOT   0x80000000u

struct prd {
	uint32_t addr, len; /* len: 16 bits, 0 is 65536; and PRD_EOT */
};
void bm_init(uint16_t port); /* places the registers, lets the function master the bus */
/* Points the channel at a table and clears what was; starts. */
void bm_prepare(const struct chan *c, const struct prd *table, bool to_mem);
void bm_start(const struct chan *c);
void bm_stop(const struct chan *c);

static inline uint8_t alt_status(const struct chan *c)
{
	return inb(c->ctl);
}

/* Waits until the channel is not busy; its alternate status. */
uint8_t ide_idle(const struct chan *c);
/* Selects, and writes a 28-bit command; does not wait. */
void ide_cmd(const struct chan *c, unsigned dev, uint8_t cmd, uint32_t lba, uint8_t n);
void ide_cmd48(const struct chan *c, unsigned dev, uint8_t cmd, uint64_t lba, uint16_t n);
/* ide_cmd() and the end of it: status, with the interrupt taken back. */
uint8_t ide_do(const struct chan *c, unsigned dev, uint8_t cmd, uint32_t lba, uint8_t n);
/* A software reset, waited for. */
void ide_reset(const struct chan *c);
/* Reads n sectors with READ SECTORS; false if the drive does not offer them. */
bool ide_read(const struct chan *c, unsigned dev, uint32_t lba, unsigned n, void *p);
bool ide_write(const struct chan *c, unsigned dev, uint32_t lba, unsigned n, const void *p);

/* The runner's pattern, and the other one, which programs write. */
#define OTHER 0x80u
void pattern(unsigned disk, uint64_t lba, unsigned n, void *p);
/* How many of n sectors are not the pattern. */
unsigned unlike(unsigned disk, uint64_t lba, unsigned n, const void *p);

/* Reads the status in interrupt handlers, as drivers do. */
void ide_hook0(void);
void ide_hook1(void);

#endif
