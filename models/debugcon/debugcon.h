/* SPDX-License-Identifier: BSD-2-Clause */
/* debugcon.h - the debug console at port 402h.  No lines. */
#ifndef MODELS_DEBUGCON_DEBUGCON_H
#define MODELS_DEBUGCON_DEBUGCON_H

#include "models/chr.h"
#include "models/dev.h"

struct debugcon_cfg {
	struct chr *chr; /* only written to; NULL: what is written is lost */
};

extern const struct dev_class debugcon_class;

#endif
