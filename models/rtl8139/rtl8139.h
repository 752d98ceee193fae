/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rtl8139.h - Realtek RTL8139C+ and RTL8139C, 100 Mbit/s Ethernet on PCI.
 *
 * Output line 0 is INTA#.
 */
#ifndef MODELS_RTL8139_RTL8139_H
#define MODELS_RTL8139_RTL8139_H

#include "models/dev.h"
#include "models/net.h"

struct rtl8139_cfg {
	struct net *
		net; /* its receive, sent_room, link_changed and owner become the model's; mac is the
			  * EEPROM's.  NULL: no cable */
	uint8_t mac[6]; /* when net is NULL */
	bool c_only;    /* RTL8139C: no C+ mode.  Linux drives it by 8139too, the C+ by 8139cp */
};

extern const struct dev_class rtl8139_class;

#endif
