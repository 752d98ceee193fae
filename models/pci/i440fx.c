/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * i440fx.c - Intel 82441FX PCI and Memory Controller (PMC), data sheet 290549, section 3.
 *
 * Configuration mechanism 1 and the bridge's own configuration space.  The registers of the memory
 * controller hold what is written and do nothing else.  In particular PAM0-PAM6 (59h-5Fh) have no
 * effect: C0000h-FFFFFh is RAM all the time, the BIOS has been copied there, and reads and writes
 * always go to it.  SMRAM (72h) has none because there is no SMM.
 */
#include "models/pci/i440fx.h"

#include "models/pci/pci_cfg.h"

#define SMRAM       0x72u
#define SMRAM_DOPEN 0x40u
#define SMRAM_DLCK  0x10u

#define CONFADD_ENABLE 0x80000000u
#define CONFADD_MASK   0x80fffffcu /* bits 30:24 and 1:0 are reserved */

struct i440fx {
	struct dev_env env;
	struct {
		uint32_t confadd;
		uint8_t cfg[PCI_CFG_SIZE];
	} state;
};

static const struct pci_reg regs[] = {
	{ PCI_VENDOR, 4, 0x12378086, 0, 0 },
	{ PCI_COMMAND, 4, 0x02800006, 0x00000140, 0xf1000000 },
	{ PCI_REVISION, 4, 0x06000002, 0, 0 },
	{ PCI_LATENCY, 1, 0, 0xf8, 0 },
	/* The chip has none.  SeaBIOS and u-boot tell an emulated 440FX, with fw_cfg and the like, by
	 * this one. */
	{ PCI_SUBSYSTEM, 4, 0x11001af4, 0, 0 },
	{ 0x50, 2, 0x0000, 0xffff, 0 },   /* PMCCFG */
	{ 0x52, 1, 0x00, 0xff, 0 },       /* DETURBO */
	{ 0x53, 1, 0x80, 0xff, 0 },       /* DBC */
	{ 0x54, 1, 0x00, 0xff, 0 },       /* AXC */
	{ 0x55, 2, 0x0000, 0xffff, 0 },   /* DRT */
	{ 0x57, 1, 0x01, 0xff, 0 },       /* DRAMC */
	{ 0x58, 1, 0x10, 0xff, 0 },       /* DRAMT */
	{ 0x59, 1, 0x00, 0x30, 0 },       /* PAM0: F0000h-FFFFFh in bits 5:4 */
	{ 0x5a, 6, 0x00, 0x33333333, 0 }, /* PAM1-PAM6 */
	{ 0x60, 8, 0x01010101, ~0u, 0 },  /* DRB0-DRB7 */
	{ 0x68, 1, 0x00, 0xc0, 0 },       /* FDHC */
	{ 0x70, 1, 0x00, 0xe0, 0 },       /* MTT */
	{ 0x71, 1, 0x10, 0xf8, 0 },       /* CLT */
	{ SMRAM, 1, 0x02, 0x78, 0 },
	{ 0x90, 1, 0x00, 0xff, 0 }, /* ERRCMD */
	{ 0x91, 1, 0x00, 0, 0x11 }, /* ERRSTS */
};
#define N_REGS (sizeof(regs) / sizeof(regs[0]))

enum { R_ADDRESS, R_DATA, R_CFG };

/* CONFADD takes double words only (section 3.1.1): a byte at CF9h is another chip's reset register. */
static const struct dev_region regions[] = {
	[R_ADDRESS] = { "confadd", DEV_PIO, 0xcf8, 4, DEV_SIZE_4 },
	[R_DATA] = { "confdata", DEV_PIO, 0xcfc, 4, DEV_SIZE_1 | DEV_SIZE_2 | DEV_SIZE_4 },
	[R_CFG] = { "cfg", DEV_PCICFG, 0, PCI_CFG_SIZE, DEV_SIZE_1 | DEV_SIZE_2 | DEV_SIZE_4 },
};

static void own_cfg(struct i440fx *s, struct dev_access *a)
{
	uint8_t smram = s->state.cfg[SMRAM];

	pci_cfg_access(s->state.cfg, regs, N_REGS, a);
	/* Section 3.2.18: once DLCK is set the register is read-only, with DOPEN 0, until a reset. */
	if (smram & SMRAM_DLCK)
		s->state.cfg[SMRAM] = smram;
	else if (s->state.cfg[SMRAM] & SMRAM_DLCK)
		s->state.cfg[SMRAM] &= (uint8_t)~SMRAM_DOPEN;
}

static enum dev_rc i440fx_access(void *d, struct dev_access *a)
{
	struct i440fx *s = d;
	unsigned devfn = s->state.confadd >> 8 & 0xff;
	struct dev_access c;
	enum dev_rc rc;

	if (a->region == R_CFG) {
		own_cfg(s, a);
		return DEV_OK;
	}
	if (a->region == R_ADDRESS) {
		if (a->write)
			s->state.confadd = (uint32_t)a->data & CONFADD_MASK;
		else
			a->data = s->state.confadd;
		return DEV_OK;
	}
	/* There is no bus but 0. */
	if (!(s->state.confadd & CONFADD_ENABLE) || (s->state.confadd >> 16 & 0xff) != 0)
		return DEV_NO_REG;
	c = *a;
	c.offset = (s->state.confadd & 0xfc) + a->offset;
	if (devfn == 0) {
		own_cfg(s, &c);
		rc = DEV_OK;
	} else {
		rc = s->env.svc->pci_cfg(s->env.host, devfn, &c);
	}
	a->data = c.data;
	return rc;
}

static void i440fx_reset(void *d)
{
	struct i440fx *s = d;

	s->state.confadd = 0;
	pci_cfg_reset(s->state.cfg, regs, N_REGS);
}

static int i440fx_init(void *d, const struct dev_env *env, const void *cfg)
{
	struct i440fx *s = d;

	s->env = *env;
	i440fx_reset(s);
	return 0;
}

static bool i440fx_sane(const void *d)
{
	const struct i440fx *s = d;

	return !(s->state.confadd & ~CONFADD_MASK) && pci_cfg_valid(s->state.cfg, regs, N_REGS) &&
	       (s->state.cfg[SMRAM] & (SMRAM_DLCK | SMRAM_DOPEN)) != (SMRAM_DLCK | SMRAM_DOPEN);
}

static int i440fx_loaded(void *d)
{
	if (i440fx_sane(d))
		return 0;
	i440fx_reset(d);
	return -1;
}

/* The address waits for the access to the data. */
static const struct dev_fast fast[] = {
	{ .kind = DEV_POSTED, .region = R_ADDRESS, .offset = 0, .len = 4, .own = DEV_NO_SHADOW },
};

const struct dev_class i440fx_class = {
	.name = "i440fx",
	.size = sizeof(struct i440fx),
	.state_off = offsetof(struct i440fx, state),
	.state_size = sizeof(((struct i440fx *)0)->state),
	.regions = regions,
	.fast = fast,
	.n_fast = sizeof(fast) / sizeof(fast[0]),
	.n_regions = sizeof(regions) / sizeof(regions[0]),
	.init = i440fx_init,
	.reset = i440fx_reset,
	.access = i440fx_access,
	.loaded = i440fx_loaded,
	.sane = i440fx_sane,
};
