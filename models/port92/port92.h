/* SPDX-License-Identifier: BSD-2-Clause */
/* port92.h - system control port A.  No configuration struct, no lines. */
#ifndef MODELS_PORT92_PORT92_H
#define MODELS_PORT92_PORT92_H

#include "models/dev.h"

extern const struct dev_class port92_class;

#endif
