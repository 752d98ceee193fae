/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rtc.h - MC146818 real-time clock with 128 bytes of CMOS memory, ports 70h and 71h.
 *
 * Output line 0 is the interrupt (true: asserted), IRQ8 on a PC.  The clock starts at wall-clock time
 * in UTC.
 */
#ifndef MODELS_RTC_RTC_H
#define MODELS_RTC_RTC_H

#include "models/dev.h"

enum rtc_boot { RTC_BOOT_NONE, RTC_BOOT_FLOPPY, RTC_BOOT_DISK, RTC_BOOT_CD, RTC_BOOT_NET };

/* What a BIOS reads from CMOS memory. */
struct rtc_cfg {
	uint64_t ram_low, ram_high; /* bytes of RAM below and above 4 GiB */
	uint8_t n_vcpus;            /* at least 1 */
	uint8_t equipment; /* byte 14h: bit 1 FPU, bit 2 PS/2 mouse, bits 5:4 display (0: EGA, VGA) */
	uint8_t boot[3];   /* enum rtc_boot, first to third; fw_cfg's bootorder goes before it */
};

extern const struct dev_class rtc_class;

#endif
