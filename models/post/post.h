/* SPDX-License-Identifier: BSD-2-Clause */
/* post.h - the POST code latch at port 80h.  No configuration struct, no lines. */
#ifndef MODELS_POST_POST_H
#define MODELS_POST_POST_H

#include "models/dev.h"

extern const struct dev_class post_class;

#endif
