/* SPDX-License-Identifier: BSD-2-Clause */
/* xen_platform.c - docs/misc/hvm-emulated-unplug.pandoc and pci-device-reservations.txt of Xen. */
#include "models/xen_platform/xen_platform.h"

#include "models/pci/pci_cfg.h"

struct xen_platform {
	struct dev_env env;
	struct {
		uint8_t cfg[PCI_CFG_SIZE];
	} state;
};

static const struct pci_reg regs[] = {
	{ PCI_VENDOR, 4, 0x00015853, 0, 0 },
	{ PCI_COMMAND, 4, 0x00000000, PCI_COMMAND_IO | PCI_COMMAND_MEMORY, 0 },
	{ PCI_REVISION, 4, 0xff800001, 0, 0 },
	{ PCI_BAR0, 4, 0x00000001, 0xffffff00, 0 },     /* 256 ports */
	{ PCI_BAR0 + 4, 4, 0x00000008, 0xff000000, 0 }, /* 16 MiB, prefetchable */
	{ PCI_SUBSYSTEM, 4, 0x00015853, 0, 0 },
};
#define N_REGS (sizeof(regs) / sizeof(regs[0]))

static const struct dev_region regions[] = {
	{ "cfg", DEV_PCICFG, 0, PCI_CFG_SIZE, DEV_SIZE_1 | DEV_SIZE_2 | DEV_SIZE_4 },
};

static enum dev_rc xen_platform_access(void *d, struct dev_access *a)
{
	struct xen_platform *s = d;

	pci_cfg_access(s->state.cfg, regs, N_REGS, a);
	return DEV_OK;
}

static void xen_platform_reset(void *d)
{
	struct xen_platform *s = d;

	pci_cfg_reset(s->state.cfg, regs, N_REGS);
}

static int xen_platform_init(void *d, const struct dev_env *env, const void *cfg)
{
	struct xen_platform *s = d;

	s->env = *env;
	xen_platform_reset(s);
	return 0;
}

static bool xen_platform_sane(const void *d)
{
	const struct xen_platform *s = d;

	return pci_cfg_valid(s->state.cfg, regs, N_REGS);
}

static int xen_platform_loaded(void *d)
{
	if (xen_platform_sane(d))
		return 0;
	xen_platform_reset(d);
	return -1;
}

const struct dev_class xen_platform_class = {
	.name = "xen-platform",
	.size = sizeof(struct xen_platform),
	.state_off = offsetof(struct xen_platform, state),
	.state_size = sizeof(((struct xen_platform *)0)->state),
	.regions = regions,
	.n_regions = sizeof(regions) / sizeof(regions[0]),
	.init = xen_platform_init,
	.reset = xen_platform_reset,
	.access = xen_platform_access,
	.loaded = xen_platform_loaded,
	.sane = xen_platform_sane,
};
