/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ide.h - Intel 82371SB (PIIX3) function 1: two ATA channels with a bus master, up to four disks.
 *
 * Output lines 0 and 1 are the channels' INTRQ (ISA interrupts 14 and 15).  The legacy ports answer
 * always, whatever the I/O enable and decode bits say: firmware such as u-boot and test programs use
 * them before they write these.
 */
#ifndef MODELS_IDE_H
#define MODELS_IDE_H

#include "models/blk.h"
#include "models/dev.h"

/* Index: channel * 2 + drive.  Strings are 0-terminated and shorter if need be. */
struct piix3_ide_cfg {
	struct blk *disk[4]; /* NULL: no drive there */
	char serial[4][21];
	char model[4][41];
};

extern const struct dev_class piix3_ide_class;

#endif
