/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * xen_platform.h - the Xen platform device (5853:0001), by which a guest with PV drivers finds room.
 *
 * Kernels map their grant table and Xen's other pages into its memory BAR, and do not start PV drivers without
 * it.  Nothing answers behind the BARs.  The unplug protocol (port 10h) is not there: emulated disks stay, beside
 * the guest's own PV ones.  No interrupt: events come by the callback vector.  No configuration struct.
 */
#ifndef MODELS_XEN_PLATFORM_XEN_PLATFORM_H
#define MODELS_XEN_PLATFORM_XEN_PLATFORM_H

#include "models/dev.h"

extern const struct dev_class xen_platform_class;

#endif
