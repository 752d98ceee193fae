/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * piix3_isa.h - Intel 82371SB (PIIX3) ISA bridge, function 00:01.0.  No configuration struct.
 *
 * Input lines 0-3 are PIRQA#-PIRQD# (true: asserted), output lines 0-15 the ISA interrupts of the
 * same numbers, to be ORed by the board with what else is wired to them.
 */
#ifndef MODELS_PCI_PIIX3_ISA_H
#define MODELS_PCI_PIIX3_ISA_H

#include "models/dev.h"

extern const struct dev_class piix3_isa_class;

#endif
