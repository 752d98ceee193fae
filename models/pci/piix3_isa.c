/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * piix3_isa.c - Intel 82371SB (PIIX3) function 0: PIRQ router and reset control register (data sheet
 * 290550, sections 2.2 and 2.5.5.1).  The chip's other parts (interrupt controllers with ELCR, timer, DMA)
 * are not here; registers that steer only them hold what is written.
 */
#include "models/pci/piix3_isa.h"

#include "models/pci/pci_cfg.h"

#define PIRQRC     0x60u
#define PIRQRC_OFF 0x80u

#define RCR_SRST 0x02u /* hard rather than soft: the same to us */
#define RCR_RCPU 0x04u

/* Values 0, 1, 2, 8 and 13 of PIRQRC[3:0] are reserved: those lines are not on the ISA bus. */
#define ROUTABLE 0xdef8u

struct piix3_isa {
	struct dev_env env;
	struct {
		uint8_t pirq; /* levels of the inputs, bit 0 PIRQA# */
		uint8_t rcr;
		uint8_t cfg[PCI_CFG_SIZE];
	} state;
};

static const struct pci_reg regs[] = {
	{ PCI_VENDOR, 4, 0x70008086, 0, 0 },
	{ PCI_COMMAND, 4, 0x02000007, 0x00000108, 0x78000000 },
	{ PCI_REVISION, 4, 0x06010000, 0, 0 },
	{ PCI_HEADER_TYPE, 1, 0x80, 0, 0 }, /* multifunction */
	{ 0x4c, 1, 0x4d, 0x7f, 0 },         /* IORT */
	{ 0x4e, 2, 0x0003, 0x0fff, 0 },     /* XBCS */
	{ PIRQRC, 4, 0x80808080, 0x8f8f8f8f, 0 },
	{ 0x69, 1, 0x02, 0xfe, 0 },          /* TOM */
	{ 0x6a, 2, 0x0000, 0x0081, 0x8000 }, /* MSTAT */
	{ 0x70, 2, 0x8080, 0xefef, 0 },      /* MBIRQ0, MBIRQ1 */
	{ 0x76, 2, 0x0c0c, 0x8f8f, 0 },      /* MBDMA0, MBDMA1 */
	{ 0x78, 2, 0x0002, 0xffff, 0 },      /* PCSC */
	{ 0x80, 1, 0x00, 0x7f, 0 },          /* APICBASE */
	{ 0x82, 1, 0x00, 0x0f, 0 },          /* DLC */
	{ 0xa0, 1, 0x08, 0x1f, 0 },          /* SMICNTL */
	{ 0xa2, 2, 0x0000, 0x01ff, 0 },      /* SMIEN */
	{ 0xa4, 4, 0x00000000, ~0u, 0 },     /* SEE */
	{ 0xa8, 1, 0x0f, 0xff, 0 },          /* FTMR */
	{ 0xaa, 2, 0x0000, 0, 0x01ff },      /* SMIREQ */
	{ 0xac, 1, 0x00, 0xff, 0 },          /* CTLTMR */
	{ 0xae, 1, 0x00, 0xff, 0 },          /* CTHTMR */
};
#define N_REGS (sizeof(regs) / sizeof(regs[0]))

enum { R_RCR, R_CFG };

static const struct dev_region regions[] = {
	[R_RCR] = { "rcr", DEV_PIO, 0xcf9, 1, DEV_SIZE_1 },
	[R_CFG] = { "cfg", DEV_PCICFG, 0, PCI_CFG_SIZE, DEV_SIZE_1 | DEV_SIZE_2 | DEV_SIZE_4 },
};

static void route(struct piix3_isa *s)
{
	uint32_t irqs = 0;

	for (unsigned i = 0; i < 4; i++) {
		uint8_t rc = s->state.cfg[PIRQRC + i];

		if ((s->state.pirq >> i & 1) && !(rc & PIRQRC_OFF))
			irqs |= 1u << (rc & 15);
	}
	for (unsigned i = 0; i < 16; i++)
		if (ROUTABLE >> i & 1)
			dev_irq(&s->env, i, irqs >> i & 1);
}

static void piix3_isa_line(void *d, unsigned n, bool level)
{
	struct piix3_isa *s = d;

	if (n >= 4)
		return;
	s->state.pirq = (uint8_t)((s->state.pirq & ~(1u << n)) | (unsigned)level << n);
	route(s);
}

static enum dev_rc piix3_isa_access(void *d, struct dev_access *a)
{
	struct piix3_isa *s = d;

	if (a->region == R_CFG) {
		pci_cfg_access(s->state.cfg, regs, N_REGS, a);
		if (a->write && pci_cfg_hits(a, PIRQRC, 4))
			route(s);
		return DEV_OK;
	}
	if (!a->write) {
		a->data = s->state.rcr;
		return DEV_OK;
	}
	/* RCPU resets as it goes from 0 to 1, and the reset takes it back to 0: it is never seen set. */
	s->state.rcr = (uint8_t)a->data & RCR_SRST;
	if (a->data & RCR_RCPU)
		s->env.svc->reset(s->env.host);
	return DEV_OK;
}

/* The inputs are other chips' outputs: they stay as those drive them. */
static void piix3_isa_reset(void *d)
{
	struct piix3_isa *s = d;

	s->state.rcr = 0;
	pci_cfg_reset(s->state.cfg, regs, N_REGS);
	route(s);
}

static int piix3_isa_init(void *d, const struct dev_env *env, const void *cfg)
{
	struct piix3_isa *s = d;

	s->env = *env;
	piix3_isa_reset(s);
	return 0;
}

static bool piix3_isa_sane(const void *d)
{
	const struct piix3_isa *s = d;

	return s->state.pirq < 16 && !(s->state.rcr & ~RCR_SRST) &&
	       pci_cfg_valid(s->state.cfg, regs, N_REGS);
}

static int piix3_isa_loaded(void *d)
{
	struct piix3_isa *s = d;

	if (!piix3_isa_sane(s)) {
		s->state.pirq = 0;
		piix3_isa_reset(s);
		return -1;
	}
	route(s);
	return 0;
}

const struct dev_class piix3_isa_class = {
	.name = "piix3-isa",
	.size = sizeof(struct piix3_isa),
	.state_off = offsetof(struct piix3_isa, state),
	.state_size = sizeof(((struct piix3_isa *)0)->state),
	.regions = regions,
	.n_regions = sizeof(regions) / sizeof(regions[0]),
	.n_irqs = 16,
	.init = piix3_isa_init,
	.reset = piix3_isa_reset,
	.access = piix3_isa_access,
	.line = piix3_isa_line,
	.loaded = piix3_isa_loaded,
	.sane = piix3_isa_sane,
};
