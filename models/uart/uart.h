/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * uart.h - 16550A serial port.
 *
 * Output line 0 is the interrupt (true: asserted), IRQ4 for the port at 3F8h, IRQ3 for 2F8h.
 */
#ifndef MODELS_UART_UART_H
#define MODELS_UART_UART_H

#include "models/chr.h"
#include "models/dev.h"

struct uart_cfg {
	uint16_t base;   /* first of 8 ports */
	struct chr *chr; /* the line; its ready and owner become the model's.  NULL: nobody there */
};

extern const struct dev_class uart_class;

#endif
