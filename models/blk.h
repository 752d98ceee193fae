/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * blk.h - a disk as device models see it; a PV front end (or a test) stands behind it.
 *
 * Requests name guest RAM by segments, so that data moves between the host's file and guest RAM
 * without a copy.  Segments may also name a model's own buffer (dev_buf_gpa).
 */
#ifndef MODELS_BLK_H
#define MODELS_BLK_H

#include "models/dev.h"

#define BLK_SECTOR   512u
#define BLK_MAX_SEGS 128u /* in one request */

enum blk_op { BLK_READ, BLK_WRITE, BLK_FLUSH, BLK_DISCARD, BLK_WRITE_ZEROES };

enum blk_err {
	BLK_OK = 0,
	BLK_EIO = 1,
	BLK_EUNSUPP = 2,
};

/* Owned by the caller of blk_submit(), which leaves it alone until done() was called. */
struct blk_req {
	uint8_t op;                /* enum blk_op */
	uint16_t n_seg;            /* 1 to BLK_MAX_SEGS for READ and WRITE, else 0 */
	uint32_t n_sectors;        /* READ and WRITE: the sum of seg[].len / 512 */
	uint64_t sector;           /* in units of 512 bytes; within n_sectors of the disk */
	const struct gpa_seg *seg; /* lengths need not be multiples of 512, their sum must be */
	/* Called once, from the host's loop, never from within blk_submit(); err is enum blk_err.  May
	 * submit again. */
	void (*done)(void *owner, struct blk_req *r, int err);
	void *owner;
	uint16_t tag; /* the front end's */
};

struct blk {
	/* 0, or -1 when too many requests are in flight (never for the first 8). */
	int (*submit)(struct blk *, struct blk_req *);
	uint64_t n_sectors; /* capacity */
	bool read_only;
	bool flush;   /* has a volatile cache; FLUSH means something */
	bool discard; /* DISCARD is supported */
};

static inline int blk_submit(struct blk *b, struct blk_req *r)
{
	return b->submit(b, r);
}

#endif
