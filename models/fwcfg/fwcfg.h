/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fwcfg.h - the firmware configuration device of QEMU's PCs: named and numbered read-only items.
 */
#ifndef MODELS_FWCFG_H
#define MODELS_FWCFG_H

#include "models/dev.h"

/* Keys (QEMU, docs/specs/fw_cfg). */
enum fwcfg_key {
	FWCFG_SIGNATURE = 0x00, /* the model's own: "QEMU" */
	FWCFG_ID = 0x01,        /* the model's own: feature bits */
	FWCFG_UUID = 0x02,
	FWCFG_RAM_SIZE = 0x03,
	FWCFG_NB_CPUS = 0x05,
	FWCFG_KERNEL_ADDR = 0x07,
	FWCFG_KERNEL_SIZE = 0x08,
	FWCFG_INITRD_ADDR = 0x0a,
	FWCFG_INITRD_SIZE = 0x0b,
	FWCFG_BOOT_MENU = 0x0e,
	FWCFG_MAX_CPUS = 0x0f,
	FWCFG_KERNEL_DATA = 0x11,
	FWCFG_INITRD_DATA = 0x12,
	FWCFG_CMDLINE_ADDR = 0x13,
	FWCFG_CMDLINE_SIZE = 0x14,
	FWCFG_CMDLINE_DATA = 0x15,
	FWCFG_SETUP_ADDR = 0x16,
	FWCFG_SETUP_SIZE = 0x17,
	FWCFG_SETUP_DATA = 0x18,
	FWCFG_FILE_DIR = 0x19, /* the model's own: the directory of named items */
	FWCFG_FILE_FIRST = 0x20,
	FWCFG_IRQ0_OVERRIDE = 0x8002, /* x86 */
};

#define FWCFG_MAX_FILES 32u
#define FWCFG_MAX_ITEMS 56u /* with files, without the model's own */
#define FWCFG_NAME_MAX  55u /* characters of a file's name */

struct fwcfg_item {
	uint16_t key;     /* below FWCFG_FILE_FIRST or from 8000h up; ignored for a file */
	const char *name; /* a file's name; NULL: not a file */
	const void *data; /* len bytes of private memory that stay as they are */
	uint32_t len;
};

/* The table is copied by init, what data points to is not.  Files get their keys in the order of
 * their names, so that keys do not depend on the order of the table. */
struct fwcfg_cfg {
	const struct fwcfg_item *items;
	unsigned n;
};

extern const struct dev_class fwcfg_class;

#endif
