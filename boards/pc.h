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
	/* The 8259s, the IOAPIC and the PIT are the board's own, for a hypervisor that has local APICs only. Then
	 * machine_ops.gsi has nothing to do; it still hears of each ISA interrupt and GSI. */
	bool irqchip;
	uint32_t resample_ns; /* ioapic_cfg's: 0 if pc_eoi() is called */
};

/* Builds the machine.  What io points to must stay.  0, or -1 and *why. */
int pc_init(struct machine *m, struct machine_ops *ops, void *ctx, const struct pc_io *io,
	    const char **why);

/* The power button is pressed, for a moment. Nothing where the power management is in another home. */
void pc_power_button(struct machine *m);

/*
 * The processor's side of the interrupt controllers, for io.irqchip.  After each entry into the machine:
 * the vector that the 8259s want the first processor to take, or -1.  It may differ each time.
 */
int pc_vector(const struct machine *m);

/* The first processor has taken a vector that pc_vector() gave, now or some time ago. */
void pc_taken(struct machine *m, uint8_t vector);

/* A local APIC has ended a level-triggered interrupt; which vectors these can be, as ioapic_level_vectors(). */
void pc_eoi(struct machine *m, uint8_t vector);
bool pc_level_vectors(const struct machine *m, uint64_t vectors[4]);

#endif
