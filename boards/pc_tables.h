/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pc_tables.h - what the PC board tells BIOS and OS through fw_cfg: ACPI tables, memory map, boot
 * order, and a Linux kernel to boot directly.
 */
#ifndef BOARDS_PC_TABLES_H
#define BOARDS_PC_TABLES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "models/fwcfg/fwcfg.h"

/* What pc.c wires and the tables say. */
#define PC_PM_BASE    0x600u /* where SeaBIOS puts PIIX4's PMBASE; SCI is GSI 9 */
#define PC_SMI_CMD    0xb2u
#define PC_ACPI_ON    0xf1u /* written to PC_SMI_CMD */
#define PC_ACPI_OFF   0xf0u
#define PC_RESET_PORT 0xcf9u
#define PC_RESET_VAL  6u
#define PC_LOW_MAX    0xc0000000u  /* RAM ends, and the PCI hole begins, there or below */
#define PC_HIGH_BASE  0x100000000u /* the rest of RAM */
#define PC_NET_SLOT   3u           /* of the first network card; one for each, up to 8 */

#define PC_MAX_ITEMS FWCFG_MAX_ITEMS

struct pc_file {
	const char *name; /* at most FWCFG_NAME_MAX characters */
	const void *data;
	uint64_t len;
};

struct pc_tables_cfg {
	unsigned n_cpus; /* 1 to 255 */
	/* Of the last processor; the others are evenly below, from 0.  0: processor n has id n. */
	unsigned apic_id_last;
	uint64_t low;  /* bytes of RAM from 0, at most PC_LOW_MAX, page-aligned */
	uint64_t high; /* bytes of RAM from PC_HIGH_BASE, or 0 */
	uint8_t uuid[16];
	unsigned disks; /* bit channel * 2 + drive: an IDE disk is there, to boot from in this order */
	unsigned nets; /* bit n: a PCI card is in slot PC_NET_SLOT + n */
	bool boot_net; /* cards are tried before disks */
	bool boot_menu;
	bool vga; /* false: the BIOS talks on COM1 and the OS is told that there is no VGA */

	/* A bzImage to boot before any disk; data NULL: none.  Not trusted. */
	struct pc_file kernel, initrd, cmdline; /* names unused; cmdline without its final 0 */

	const struct pc_file *file; /* further files, by their own names */
	unsigned n_files;

	/* Memory that stays for ever: about 8 KiB, and with a kernel up to 32 KiB and the command line
	 * more.  align is a power of 2 up to 16.  NULL: no more. */
	void *(*alloc)(void *ctx, size_t size, size_t align);
	void *ctx;
};

/* For struct fwcfg_cfg, whose model copies item[]. */
struct pc_tables {
	struct fwcfg_item item[PC_MAX_ITEMS];
	unsigned n;
	const char *why; /* the first error (constant text), or NULL */
};

/*
 * Fills out with all items.  Names and data of cfg's files are pointed to, not copied.
 * 0, or -1 and out->why: too much for memory or tables, or a kernel that can't be booted.
 */
int pc_tables_build(const struct pc_tables_cfg *cfg, struct pc_tables *out);

/* Between pc_tables.c and pc_linux.c.  These do nothing, or set t->why, after an error. */
void pc_add_item(struct pc_tables *t, uint16_t key, const char *name, const void *data,
		 uint64_t len);
void pc_add_u32(const struct pc_tables_cfg *cfg, struct pc_tables *t, uint16_t key, uint32_t val);
void pc_linux_add(const struct pc_tables_cfg *cfg, struct pc_tables *t);

#endif
