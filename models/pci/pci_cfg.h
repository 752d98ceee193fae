/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pci_cfg.h - a function's 256 bytes of configuration space (PCI 2.1, chapter 6) out of a table.
 *
 * A model keeps the bytes in its state and describes them by a const table of registers: value at
 * reset, which bits a write changes, which bits a written 1 clears.  What no entry covers reads 0.
 * A base address register is an entry with value 1 (I/O) and mask ~(size - 1): sizing comes by itself.
 */
#ifndef MODELS_PCI_CFG_H
#define MODELS_PCI_CFG_H

#include "models/dev.h"

#define PCI_CFG_SIZE 256u

enum pci_cfg_off {
	PCI_VENDOR = 0x00,
	PCI_DEVICE = 0x02,
	PCI_COMMAND = 0x04,
	PCI_STATUS = 0x06,
	PCI_REVISION = 0x08,
	PCI_CLASS = 0x09, /* 3 bytes: interface, sub-class, class */
	PCI_LATENCY = 0x0d,
	PCI_HEADER_TYPE = 0x0e,
	PCI_BAR0 = 0x10,
	PCI_SUBSYSTEM = 0x2c,
	PCI_INT_LINE = 0x3c,
	PCI_INT_PIN = 0x3d,
};

#define PCI_COMMAND_IO     0x0001u
#define PCI_COMMAND_MEMORY 0x0002u
#define PCI_COMMAND_MASTER 0x0004u

/* For len > 4, value and masks repeat every 4 bytes. */
struct pci_reg {
	uint8_t off, len;
	uint32_t value; /* at reset */
	uint32_t mask;  /* bits that a write sets or clears */
	uint32_t w1c;   /* bits that a written 1 clears */
};

void pci_cfg_reset(uint8_t *cfg, const struct pci_reg *table, unsigned n);

/* Carries out a: a->offset + a->size <= 256. */
void pci_cfg_access(uint8_t *cfg, const struct pci_reg *table, unsigned n, struct dev_access *a);

/* Is every bit that a write cannot change as it was at reset?  For loaded() and sane(). */
bool pci_cfg_valid(const uint8_t *cfg, const struct pci_reg *table, unsigned n);

/* Does the access touch [off, off + len)? */
static inline bool pci_cfg_hits(const struct dev_access *a, unsigned off, unsigned len)
{
	return a->offset < off + len && off < a->offset + a->size;
}

static inline uint32_t pci_cfg_get32(const uint8_t *cfg, unsigned off)
{
	return cfg[off] | (uint32_t)cfg[off + 1] << 8 | (uint32_t)cfg[off + 2] << 16 |
	       (uint32_t)cfg[off + 3] << 24;
}

/* Where the I/O base address register at off places its region: DEV_UNPLACED while the command
 * register keeps I/O off, or at 0, which means "not assigned yet". */
uint64_t pci_cfg_io_bar(const uint8_t *cfg, unsigned off);
/* The same for a 32-bit memory base address register. */
uint64_t pci_cfg_mem_bar(const uint8_t *cfg, unsigned off);

#endif
