/* SPDX-License-Identifier: BSD-2-Clause */
/* layout.h - the numbers of include/sio that assembly needs; cpu.c and the homes assert that they agree. */
#ifndef FIRMWARE_METAL_LAYOUT_H
#define FIRMWARE_METAL_LAYOUT_H

#define ENTRY_MAGIC  0x464f4953
#define SLOT_OFF     0x2000
#define SLOT_SIZE    0x3000
#define MAX_CONTEXTS 9
#define ABI_VERSION  4
#define STACK_SHIFT  13

#endif
