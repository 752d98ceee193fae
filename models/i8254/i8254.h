/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * i8254.h - the 8254 interval timer of a PC, ports 40h-43h, and port 61h, which has the gate and the output
 * of its counter 2.
 *
 * Output line 0 is OUT of counter 0, interrupt 0 of a PC.  Its rising edges come when they are due (several
 * that were missed are one), falling edges only by the next rise or access: it is meant for edge-triggered
 * inputs, as an 8259A's or an IOAPIC's.
 */
#ifndef MODELS_I8254_I8254_H
#define MODELS_I8254_I8254_H

#include "models/dev.h"

#define I8254_HZ 1193182u

extern const struct dev_class i8254_class; /* no configuration */

#endif
