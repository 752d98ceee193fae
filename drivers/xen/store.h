/* SPDX-License-Identifier: BSD-2-Clause */
/* store.h - the xenstore client's start; its calls are in xen.h. */
#ifndef DRIVERS_XEN_STORE_H
#define DRIVERS_XEN_STORE_H

#include "drivers/xen/xen.h"

int store_init(struct xen *x);

#endif
