/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * i8042.h - keyboard controller with a keyboard that nobody types on, and a mouse if wanted.
 *
 * Output lines (true: asserted): 0 is IRQ1, the keyboard's, 1 is IRQ12, the mouse's.
 */
#ifndef MODELS_I8042_I8042_H
#define MODELS_I8042_I8042_H

#include "models/dev.h"

struct i8042_cfg {
	bool mouse; /* false: the controller has no auxiliary port */
};

extern const struct dev_class i8042_class; /* cfg NULL: no mouse */

#endif
