/* SPDX-License-Identifier: BSD-2-Clause */
/* homes.c - the homes that selfio has. In-process models are another program's (placements/inproc). */
#include "vmm/home.h"

const struct home_ops *const home_kinds[N_HOMES] = {
	[HOME_FIRMWARE] = &home_companion,
	[HOME_IOEMU] = &home_ioemu,
	[HOME_STUBDOM] = &home_stubdom,
};
const enum home_kind home_default = HOME_FIRMWARE;
