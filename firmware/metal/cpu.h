/* SPDX-License-Identifier: BSD-2-Clause */
/* cpu.h - what homes on bare processors share: memory map, exceptions, panic with a backtrace. */
#ifndef FIRMWARE_METAL_CPU_H
#define FIRMWARE_METAL_CPU_H

#include <stdbool.h>
#include <stdint.h>

/* CPUID leaf, subleaf 0: EAX, EBX, ECX, EDX. */
static inline void cpu_id(uint32_t leaf, uint32_t r[4])
{
	__asm__("cpuid" : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3]) : "0"(leaf), "2"(0));
}

/* Exceptions end in SIO_HC_PANIC; each context loads the table that the first one builds. */
void cpu_load_idt(bool build);
/* Maps [4 GiB, top) one to one; takes heap where the processor has no 1 GiB pages. */
void cpu_map_high(uint64_t top);

#endif
