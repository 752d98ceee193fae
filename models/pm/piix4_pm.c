/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * piix4_pm.c - Intel 82371AB (PIIX4) function 3: ACPI power management (data sheet 290562, chapter 7).
 *
 * The power management timer, SCI, soft off and the APM ports.  There is no SMM: a write to APMC does
 * at once what a BIOS's SMI handler would do for ACPI.  The SMBus host controller is not here; its
 * base address registers hold what is written and place nothing.  Of the 64 bytes of PM I/O space, the
 * registers past the timer (clock control, device monitors, general-purpose pins) read 0.
 */
#include "models/pm/piix4_pm.h"

#include "models/pci/pci_cfg.h"

#define PMBASE    0x40u
#define PMREGMISC 0x80u
#define PMIOSE    0x01u

/* PM I/O space, section 7.2. */
#define PMSTS   0u
#define PMEN    2u
#define PMCNTRL 4u
#define PMTMR   8u

#define TMROF  0x0001u
#define GBL    0x0020u
#define PWRBTN 0x0100u
#define RTC    0x0400u
#define EVENTS (TMROF | GBL | PWRBTN | RTC)

#define SCI_EN        0x0001u
#define BRLD_EN_BM    0x0002u
#define SUS_TYP       0x1c00u
#define SUS_TYP_SHIFT 10
#define SUS_EN        0x2000u

#define TMR_HZ      3579545u
#define NS_PER_S    1000000000ull
#define TMR_TOGGLES 23 /* TMROF_STS is set whenever this bit of the timer changes */

enum { R_PM, R_GPE0, R_APM, R_CFG };

static const struct dev_region regions[] = {
	[R_PM] = { "pm", DEV_PIO, DEV_UNPLACED, 64, DEV_SIZE_1 | DEV_SIZE_2 | DEV_SIZE_4 },
	[R_GPE0] = { "gpe0", DEV_PIO, PIIX4_GPE0_BASE, 4, DEV_SIZE_1 },
	[R_APM] = { "apm", DEV_PIO, PIIX4_APMC, 2, DEV_SIZE_1 },
	[R_CFG] = { "cfg", DEV_PCICFG, 0, PCI_CFG_SIZE, DEV_SIZE_1 | DEV_SIZE_2 | DEV_SIZE_4 },
};

struct piix4_pm {
	struct dev_env env;
	struct {
		uint64_t half; /* half periods of the timer that TMROF_STS has seen */
		uint16_t pmsts, pmen, pmcntrl;
		uint16_t gpe_en; /* no event ever comes */
		uint8_t apmc, apms;
		uint8_t button; /* level of input line 0 */
		uint8_t pad[5];
		uint8_t cfg[PCI_CFG_SIZE];
	} state;
};

static const struct pci_reg regs[] = {
	{ PCI_VENDOR, 4, 0x71138086, 0, 0 },
	{ PCI_COMMAND, 4, 0x02800000, 0x00000009, 0x08000000 },
	{ PCI_REVISION, 4, 0x06800003, 0, 0 },
	{ PCI_SUBSYSTEM, 4, 0x11001af4, 0, 0 },
	/* The chip drives IRQ9 whatever stands here; 9 also without a BIOS to write it. */
	{ PCI_INT_LINE, 2, 0x0109, 0x00ff, 0 },
	{ PMBASE, 4, 0x00000001, 0x0000ffc0, 0 },
	{ 0x44, 20, 0x00000000, ~0u, 0 }, /* CNTA, CNTB, GPICTL, DEVRESD, DEVACTA */
	/* DEVACTB with APMC_EN set, as after a BIOS has set up SMM: SeaBIOS then leaves SMM alone,
	 * which it could not set up here. */
	{ 0x58, 4, 0x02000000, ~0u, 0 },
	{ 0x5c, 36, 0x00000000, ~0u, 0 }, /* DEVRESA and on */
	{ PMREGMISC, 1, 0x00, PMIOSE, 0 },
	{ 0x90, 4, 0x00000001, 0x0000fff0, 0 }, /* SMBBA */
	{ 0xd2, 4, 0x00000000, ~0u, 0 },        /* SMBHSTCFG, SMBSLVC, SMBSHDW1, SMBSHDW2 */
};
#define N_REGS (sizeof(regs) / sizeof(regs[0]))

/* In two parts, so that nothing overflows in 64 bits. */
static uint64_t ticks_at(uint64_t ns)
{
	return ns / NS_PER_S * TMR_HZ + ns % NS_PER_S * TMR_HZ / NS_PER_S;
}

/* The first ns at which the timer shows this tick. */
static uint64_t ns_of(uint64_t tick)
{
	return tick / TMR_HZ * NS_PER_S + (tick % TMR_HZ * NS_PER_S + TMR_HZ - 1) / TMR_HZ;
}

/* SCI, and the host's timer, which runs only while an overflow would interrupt and has not yet. */
static void outputs(struct piix4_pm *s)
{
	bool on = s->state.pmcntrl & SCI_EN;
	bool wait = on && (s->state.pmen & ~s->state.pmsts & TMROF);

	dev_irq(&s->env, 0, on && (s->state.pmsts & s->state.pmen));
	dev_arm(&s->env, 0, wait ? ns_of((s->state.half + 1) << TMR_TOGGLES) : UINT64_MAX);
}

/* Brings TMROF_STS up to now. */
static void update(struct piix4_pm *s)
{
	uint64_t half = ticks_at(dev_now_ns(&s->env)) >> TMR_TOGGLES;

	if (half != s->state.half)
		s->state.pmsts |= TMROF;
	s->state.half = half;
	outputs(s);
}

static void place(struct piix4_pm *s)
{
	uint32_t base = pci_cfg_get32(s->state.cfg, PMBASE) & 0xffc0;

	dev_place(&s->env, R_PM, (s->state.cfg[PMREGMISC] & PMIOSE) && base ? base : DEV_UNPLACED);
}

static uint8_t pm_read8(const struct piix4_pm *s, unsigned off)
{
	uint32_t v = 0;

	switch (off & ~3u) {
	case PMSTS: v = s->state.pmsts | (uint32_t)s->state.pmen << 16; break;
	case PMCNTRL: v = s->state.pmcntrl; break;
	case PMTMR: v = (uint32_t)ticks_at(dev_now_ns(&s->env)) & 0xffffff; break;
	}
	return (uint8_t)(v >> (off & 3) * 8);
}

static void pm_write8(struct piix4_pm *s, unsigned off, uint8_t byte)
{
	unsigned shift = (off & 1) * 8;
	uint16_t mask = (uint16_t)(0xff << shift), v = (uint16_t)(byte << shift);

	switch (off & ~1u) {
	case PMSTS: s->state.pmsts &= (uint16_t)~v; break;
	case PMEN: s->state.pmen = (s->state.pmen & (uint16_t)~mask) | (v & EVENTS); break;
	case PMCNTRL:
		s->state.pmcntrl = (s->state.pmcntrl & (uint16_t)~mask) |
				   (v & (SCI_EN | BRLD_EN_BM | SUS_TYP));
		/* Other sleeping types need a resume path that is not there: they do nothing. */
		if ((v & SUS_EN) && (v & SUS_TYP) >> SUS_TYP_SHIFT == PIIX4_S5)
			s->env.svc->poweroff(s->env.host);
		break;
	}
}

static void pm_access(struct piix4_pm *s, struct dev_access *a)
{
	update(s);
	if (!a->write)
		a->data = 0;
	for (unsigned i = 0; i < a->size; i++) {
		if (a->write)
			pm_write8(s, a->offset + i, (uint8_t)(a->data >> i * 8));
		else
			a->data |= (uint64_t)pm_read8(s, a->offset + i) << i * 8;
	}
	if (a->write)
		update(s);
}

/* ACPI 4.8.4.1: the first half status bits, the second half enable bits. */
static void gpe_access(struct piix4_pm *s, struct dev_access *a)
{
	unsigned shift = (a->offset & 1) * 8;

	if (a->offset < 2) {
		if (!a->write)
			a->data = 0;
	} else if (a->write) {
		s->state.gpe_en =
			(uint16_t)((s->state.gpe_en & ~(0xffu << shift)) | a->data << shift);
	} else {
		a->data = s->state.gpe_en >> shift & 0xff;
	}
}

static void apm_access(struct piix4_pm *s, struct dev_access *a)
{
	uint8_t *reg = a->offset ? &s->state.apms : &s->state.apmc;

	if (!a->write) {
		a->data = *reg;
		return;
	}
	*reg = (uint8_t)a->data;
	if (a->offset != 0)
		return;
	if (*reg == PIIX4_ACPI_ENABLE)
		s->state.pmcntrl |= SCI_EN;
	else if (*reg == PIIX4_ACPI_DISABLE)
		s->state.pmcntrl &= (uint16_t)~SCI_EN;
	update(s);
}

static enum dev_rc piix4_pm_access(void *d, struct dev_access *a)
{
	struct piix4_pm *s = d;

	switch (a->region) {
	case R_PM: pm_access(s, a); break;
	case R_GPE0: gpe_access(s, a); break;
	case R_APM: apm_access(s, a); break;
	default:
		pci_cfg_access(s->state.cfg, regs, N_REGS, a);
		if (a->write && (pci_cfg_hits(a, PMBASE, 4) || pci_cfg_hits(a, PMREGMISC, 1)))
			place(s);
	}
	return DEV_OK;
}

static void piix4_pm_timer(void *d, unsigned id)
{
	update(d);
}

static void piix4_pm_line(void *d, unsigned n, bool level)
{
	struct piix4_pm *s = d;

	if (n != 0)
		return;
	if (level && !s->state.button)
		s->state.pmsts |= PWRBTN;
	s->state.button = level;
	update(s);
}

static void piix4_pm_reset(void *d)
{
	struct piix4_pm *s = d;

	s->state.pmsts = s->state.pmen = s->state.pmcntrl = s->state.gpe_en = 0;
	s->state.apmc = s->state.apms = 0;
	s->state.half = ticks_at(dev_now_ns(&s->env)) >> TMR_TOGGLES;
	pci_cfg_reset(s->state.cfg, regs, N_REGS);
	place(s);
	update(s);
}

static int piix4_pm_init(void *d, const struct dev_env *env, const void *cfg)
{
	struct piix4_pm *s = d;

	s->env = *env;
	piix4_pm_reset(s);
	return 0;
}

static bool piix4_pm_sane(const void *d)
{
	const struct piix4_pm *s = d;

	return !((s->state.pmsts | s->state.pmen) & ~EVENTS) &&
	       !(s->state.pmcntrl & ~(SCI_EN | BRLD_EN_BM | SUS_TYP)) && s->state.button <= 1 &&
	       pci_cfg_valid(s->state.cfg, regs, N_REGS);
}

static int piix4_pm_loaded(void *d)
{
	struct piix4_pm *s = d;

	if (!piix4_pm_sane(s)) {
		s->state.button = 0;
		piix4_pm_reset(s);
		return -1;
	}
	place(s);
	outputs(s);
	return 0;
}

static const struct dev_fast fast[] = {
	{ .kind = DEV_CLOCK, .region = R_PM, .offset = PMTMR, .len = 4, .value = TMR_HZ, .bits = 24 },
};

const struct dev_class piix4_pm_class = {
	.name = "piix4-pm",
	.size = sizeof(struct piix4_pm),
	.state_off = offsetof(struct piix4_pm, state),
	.state_size = sizeof(((struct piix4_pm *)0)->state),
	.regions = regions,
	.fast = fast,
	.n_fast = sizeof(fast) / sizeof(fast[0]),
	.n_regions = sizeof(regions) / sizeof(regions[0]),
	.n_irqs = 1,
	.n_timers = 1,
	.init = piix4_pm_init,
	.reset = piix4_pm_reset,
	.access = piix4_pm_access,
	.timer = piix4_pm_timer,
	.line = piix4_pm_line,
	.loaded = piix4_pm_loaded,
	.sane = piix4_pm_sane,
};
