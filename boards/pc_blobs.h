/* SPDX-License-Identifier: BSD-2-Clause */
/* pc_blobs.h - what the build makes of pc_dsdt.asl and linuxboot.S. */
#ifndef BOARDS_PC_BLOBS_H
#define BOARDS_PC_BLOBS_H

extern const unsigned char pc_dsdt[];
extern const unsigned pc_dsdt_len;

extern const unsigned char pc_linuxboot[];
extern const unsigned pc_linuxboot_len;

#endif
