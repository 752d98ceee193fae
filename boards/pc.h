/* SPDX-License-Identifier: BSD-2-Clause */
/* pc.h - the board of the i440FX/PIIX family: which models sit where, with which interrupts. */
#ifndef BOARDS_PC_H
#define BOARDS_PC_H

#include "boards/machine.h"
#include "models/blk.h"
#include "models/chr.h"
#include "models/net.h"
#include "models/virtio_dev.h"
#include "sio/config.h"

#define PC_MAX_DISKS 4u

struct pc_disk {
	struct blk *blk; /* NULL: no drive there */
	const char *serial, *model;
	bool elsewhere; /* there is one, in another home */
};

struct pc_net {
	struct net *net;           /* NULL: no card there, or */
	uint32_t card;             /* enum sio_net_card */
	bool elsewhere;            /* there is one, in another home */
	struct virtio_dev *virtio; /* not NULL: of SIO_NET_VIRTIO */
};

struct pc_io {
	const struct sio_config *cfg; /* local: what is built here; all of it where no bit is set */
	uintptr_t base;               /* where address 0 of the blobs is */
	struct pc_disk disk[PC_MAX_DISKS]; /* channel * 2 + drive */
	struct pc_net net[SIO_MAX_NETS];   /* PCI: slot 3 and up; ISA: see pc.c */
	struct chr *console;               /* COM1 */
	struct chr *debugcon;              /* NULL: port 402h is not there */
};

/* Builds the machine.  What io points to must stay.  0, or -1 and *why. */
int pc_init(struct machine *m, struct machine_ops *ops, void *ctx, const struct pc_io *io,
	    const char **why);

#endif
