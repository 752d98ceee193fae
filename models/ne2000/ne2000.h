/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ne2000.h - NE2000: a DP8390 network controller with 16 KiB of its own memory behind a data port, as
 * Realtek RTL8029AS on PCI, or RTL8019AS (without Plug and Play) on ISA.
 *
 * Output line 0: INTA# of the PCI card, the interrupt of the ISA card (active high); the board knows where the
 * latter goes.
 */
#ifndef MODELS_NE2000_NE2000_H
#define MODELS_NE2000_NE2000_H

#include "models/dev.h"
#include "models/net.h"

struct ne2000_cfg {
	struct net *
		net; /* its receive, sent_room, link_changed and owner become the model's; mac is the
			  * PROM's.  NULL: no cable */
	uint8_t mac[6]; /* when net is NULL */
	uint16_t base;  /* ISA: first of 32 ports, a multiple of 32 */
	uint8_t irq;    /* ISA: its number, as CONFIG1 tells it: 3, 4, 5, 9, 10, 11, 12 or 15 */
};

extern const struct dev_class ne2000_pci_class;
extern const struct dev_class ne2000_isa_class;

#endif
