/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * i440fx.h - Intel 82441FX (PMC) host bridge, function 00:00.0.  No configuration struct.
 */
#ifndef MODELS_PCI_I440FX_H
#define MODELS_PCI_I440FX_H

#include "models/dev.h"

extern const struct dev_class i440fx_class;

#endif
