/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * i8259.h - the two 8259A interrupt controllers of a PC, ports 20h and A0h, with the edge/level control
 * registers of a PIIX3, ports 4D0h and 4D1h.
 *
 * Input line n is ISA interrupt n, true: asserted; 2 is the cascade, not an input.  Output line 0 is INTR.
 * The processor's side is not a bus: whoever runs the guest looks at i8259_vector() whenever the machine
 * was entered, and says i8259_inta() or i8259_taken() when the guest takes an interrupt.
 */
#ifndef MODELS_I8259_I8259_H
#define MODELS_I8259_I8259_H

#include "models/dev.h"

extern const struct dev_class i8259_class; /* no configuration */

/* What an interrupt acknowledge cycle would give now; -1: INTR is low.  Nothing changes. */
int i8259_vector(const void *d);

/* An interrupt acknowledge cycle: the vector, now in service.  With INTR low that of interrupt 7, which is
 * not in service then (8259A, "interrupt sequence", step 5). */
uint8_t i8259_inta(void *d);

/* The guest has taken a vector that i8259_vector() gave some time ago: an acknowledge cycle as of that time.
 * Its request may be gone or another may have come in front; the guest is in that vector's handler, and will
 * end that interrupt.  A vector that is none of the controllers' does nothing. */
void i8259_taken(void *d, uint8_t vector);

#endif
