/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * e1000.h - Intel 82540EM, the PRO/1000 MT desktop adapter (8086:100E), on PCI.
 *
 * Output line 0 is INTA#.  The card's address is net.mac; it stands in the EEPROM, which the guest may
 * rewrite for as long as the domain lives.
 *
 * Not there: flash and option ROM, power management and wake-up (their registers hold what is written),
 * the manageability block, flow control on the wire (the link partner offers none), PCI and frame
 * errors.  Autonegotiation takes 50 ms instead of seconds.
 */
#ifndef MODELS_E1000_H
#define MODELS_E1000_H

#include "models/dev.h"
#include "models/net.h"

struct e1000_cfg {
	struct net *net; /* its receive, sent_room, link_changed and owner become the model's */
};

extern const struct dev_class e1000_class;

#endif
