/* SPDX-License-Identifier: BSD-2-Clause */
#include "models/pci/pci_cfg.h"

#include <string.h>

static uint8_t byte_of(uint32_t v, unsigned i)
{
	return (uint8_t)(v >> (i & 3) * 8);
}

static const struct pci_reg *find(const struct pci_reg *table, unsigned n, unsigned off)
{
	for (unsigned i = 0; i < n; i++)
		if (off >= table[i].off && off < (unsigned)table[i].off + table[i].len)
			return &table[i];
	return NULL;
}

void pci_cfg_reset(uint8_t *cfg, const struct pci_reg *table, unsigned n)
{
	memset(cfg, 0, PCI_CFG_SIZE);
	for (unsigned i = 0; i < n; i++)
		for (unsigned b = 0; b < table[i].len; b++)
			cfg[table[i].off + b] = byte_of(table[i].value, b);
}

void pci_cfg_access(uint8_t *cfg, const struct pci_reg *table, unsigned n, struct dev_access *a)
{
	if (!a->write)
		a->data = 0;
	for (unsigned i = 0; i < a->size; i++) {
		unsigned off = a->offset + i;
		const struct pci_reg *r;
		uint8_t v, mask;

		if (!a->write) {
			a->data |= (uint64_t)cfg[off] << i * 8;
			continue;
		}
		r = find(table, n, off);
		if (!r)
			continue;
		v = (uint8_t)(a->data >> i * 8);
		mask = byte_of(r->mask, off - r->off);
		cfg[off] = (uint8_t)((cfg[off] & ~mask) | (v & mask));
		cfg[off] &= (uint8_t) ~(v & byte_of(r->w1c, off - r->off));
	}
}

bool pci_cfg_valid(const uint8_t *cfg, const struct pci_reg *table, unsigned n)
{
	for (unsigned off = 0; off < PCI_CFG_SIZE; off++) {
		const struct pci_reg *r = find(table, n, off);
		uint8_t fixed = 0xff, value = 0;

		if (r) {
			fixed = (uint8_t)~byte_of(r->mask | r->w1c, off - r->off);
			value = byte_of(r->value, off - r->off);
		}
		if ((cfg[off] ^ value) & fixed)
			return false;
	}
	return true;
}

uint64_t pci_cfg_io_bar(const uint8_t *cfg, unsigned off)
{
	uint32_t base = pci_cfg_get32(cfg, off) & 0xfffcu;

	return (cfg[PCI_COMMAND] & PCI_COMMAND_IO) && base ? base : DEV_UNPLACED;
}

uint64_t pci_cfg_mem_bar(const uint8_t *cfg, unsigned off)
{
	uint32_t base = pci_cfg_get32(cfg, off) & ~15u;

	return (cfg[PCI_COMMAND] & PCI_COMMAND_MEMORY) && base ? base : DEV_UNPLACED;
}
