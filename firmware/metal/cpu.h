/* SPDX-License-Identifier: BSD-2-Clause */
/* cpu.h - what homes on bare processors share: memory map, exceptions, panic with a backtrace. */
#ifndef FIRMWARE_METAL_CPU_H
#define FIRMWARE_METAL_CPU_H

#include <stdbool.h>
#include <stdint.h>

/* Exceptions end in SIO_HC_PANIC; each context loads the table that the first one builds. */
void cpu_load_idt(bool build);
/* Maps [4 GiB, top) one to one; takes heap where the processor has no 1 GiB pages. */
void cpu_map_high(uint64_t top);

#endif
