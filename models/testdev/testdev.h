/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * testdev.h - a device for tests and measurements, of no real machine: each way in which an access can
 * reach a model, alone. In a domain with --testdev.
 *
 * Ports, from TESTDEV_PORT on; the first page at TESTDEV_MMIO has those with M at the same offsets:
 *
 *   0  M 4 bytes  ID       "SIOT"
 *   4  M 4 bytes  SCRATCH  holds what is written
 *   8    4 bytes  MIRROR   reads as SCRATCH; reads may be shadowed
 *   12   2 bytes  STREAM   each read gives the next number of a sequence from 0; a write sets it
 *   16 M 4 bytes  POSTED   a write v makes SUM = SUM * 31 + v and counts; writes may be posted
 *   20 M 4 bytes  SUM      reads may be shadowed; a write sets it
 *   24 M 4 bytes  COUNT    writes to POSTED; a write sets it
 *   28   1 byte   BELL     writing TESTDEV_RING counts, and may be a doorbell
 *   29   1 byte   RINGS    how often
 *   30   1 byte   IRQ      bit 0 is the level of the interrupt line
 *
 * The second page at TESTDEV_MMIO is memory whose reads may bypass the model.
 */
#ifndef MODELS_TESTDEV_TESTDEV_H
#define MODELS_TESTDEV_TESTDEV_H

#include "models/dev.h"

#define TESTDEV_PORT 0x0640u
#define TESTDEV_MMIO 0xfe800000u
#define TESTDEV_ID   0x544f4953u
#define TESTDEV_RING 0x5au

enum testdev_reg {
	TESTDEV_R_ID = 0,
	TESTDEV_R_SCRATCH = 4,
	TESTDEV_R_MIRROR = 8,
	TESTDEV_R_STREAM = 12,
	TESTDEV_R_POSTED = 16,
	TESTDEV_R_SUM = 20,
	TESTDEV_R_COUNT = 24,
	TESTDEV_R_BELL = 28,
	TESTDEV_R_RINGS = 29,
	TESTDEV_R_IRQ = 30,
};

extern const struct dev_class testdev_class;

#endif
