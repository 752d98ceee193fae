/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ioapic.c - Intel 82093AA I/O APIC (data sheet 290566), with the EOI register of later ones (ICH family) as
 * an option.
 *
 * Messages are sent at once, so delivery status reads 0.  The edge of a masked pin is lost, as the data sheet
 * says.  Making an entry edge-triggered clears its remote IRR: Linux ends interrupts so where there is no EOI
 * register.
 */
#include "models/ioapic/ioapic.h"

#include <string.h>

/* Memory. */
#define IOREGSEL 0x00u
#define IOWIN    0x10u
#define IOEOI    0x40u

/* Through the window. */
#define IOAPICID  0x00u
#define IOAPICVER 0x01u
#define IOAPICARB 0x02u
#define IOREDTBL  0x10u

#define ID_MASK 0x0f000000u

#define RTE_VECTOR     0x000000ffu
#define RTE_DELIVERY   0x00000700u
#define RTE_LOGICAL    0x00000800u
#define RTE_REMOTE_IRR 0x00004000u
#define RTE_LEVEL      0x00008000u
#define RTE_MASKED     0x00010000u
#define RTE_WRITABLE   0x0001afffu
#define RTE_DEST_SHIFT 56
#define RTE_VALID      (0xff00000000000000u | RTE_WRITABLE | RTE_REMOTE_IRR)

#define FIXED           0x000u
#define LOWEST_PRIORITY 0x100u

#define MSI_BASE       0xfee00000u
#define MSI_DEST_SHIFT 12
#define MSI_LOGICAL    0x4u

#define VERSION_EOI 0x20u

struct ioapic {
	struct dev_env env;
	struct ioapic_cfg cfg;
	bool changed; /* entries, since ioapic_level_vectors() */
	struct {
		uint64_t rte[IOAPIC_PINS];
		uint64_t again_ns[IOAPIC_PINS]; /* when resampling; UINT64_MAX: nothing was sent */
		uint32_t line;                  /* levels of the pins */
		uint32_t id;
		uint8_t index;
		uint8_t pad[7];
	} state;
};

static const struct dev_region regions[] = {
	{ "ioapic", DEV_MMIO, IOAPIC_BASE, 0x100, DEV_SIZE_1 | DEV_SIZE_4 },
};

/* SMI, NMI, INIT and ExtINT are edge-triggered whatever the entry says. */
static bool is_level(uint64_t rte)
{
	unsigned mode = rte & RTE_DELIVERY;

	return rte & RTE_LEVEL && (mode == FIXED || mode == LOWEST_PRIORITY);
}

static void send(struct ioapic *s, unsigned pin)
{
	uint64_t rte = s->state.rte[pin];
	uint64_t addr = MSI_BASE | rte >> RTE_DEST_SHIFT << MSI_DEST_SHIFT |
			(rte & RTE_LOGICAL ? MSI_LOGICAL : 0);
	uint32_t data = (uint32_t)rte & (RTE_VECTOR | RTE_DELIVERY);

	s->env.svc->msi(s->env.host, addr, data | (is_level(rte) ? RTE_LEVEL : 0));
}

/* Sends what a level-triggered pin has to say, unless that is under way. */
static void serve(struct ioapic *s, unsigned pin)
{
	uint64_t rte = s->state.rte[pin], now = dev_now_ns(&s->env);
	uint64_t *again = &s->state.again_ns[pin];

	if (!is_level(rte) || rte & RTE_MASKED || !(s->state.line >> pin & 1)) {
		*again = UINT64_MAX;
	} else if (s->cfg.resample_ns) {
		if (*again != UINT64_MAX && *again > now)
			return;
		*again = now + s->cfg.resample_ns;
		send(s, pin);
	} else if (!(rte & RTE_REMOTE_IRR)) {
		s->state.rte[pin] |= RTE_REMOTE_IRR;
		send(s, pin);
	}
}

static void arm(struct ioapic *s)
{
	uint64_t next = UINT64_MAX;

	if (!s->cfg.resample_ns)
		return;
	for (unsigned pin = 0; pin < IOAPIC_PINS; pin++)
		if (s->state.again_ns[pin] < next)
			next = s->state.again_ns[pin];
	dev_arm(&s->env, 0, next);
}

static void ioapic_timer(void *d, unsigned id)
{
	struct ioapic *s = d;

	for (unsigned pin = 0; pin < IOAPIC_PINS; pin++)
		if (s->state.again_ns[pin] <= dev_now_ns(&s->env))
			serve(s, pin);
	arm(s);
}

static void ioapic_line(void *d, unsigned n, bool level)
{
	struct ioapic *s = d;
	bool was;

	if (n >= IOAPIC_PINS)
		return;
	was = s->state.line >> n & 1;
	s->state.line = (s->state.line & ~(1u << n)) | (uint32_t)level << n;
	if (level && !was && !is_level(s->state.rte[n]) && !(s->state.rte[n] & RTE_MASKED))
		send(s, n);
	/* Asserted as before: a board's wired OR says so when another of several devices has joined in. Nobody
	 * would tell when the handler that may have missed it is through. */
	s->state.again_ns[n] = UINT64_MAX;
	serve(s, n);
	arm(s);
}

void ioapic_eoi(void *d, uint8_t vector)
{
	struct ioapic *s = d;

	s->changed = true;
	for (unsigned pin = 0; pin < IOAPIC_PINS; pin++) {
		uint64_t *rte = &s->state.rte[pin];

		if (!(*rte & RTE_REMOTE_IRR) || (*rte & RTE_VECTOR) != vector)
			continue;
		*rte &= ~(uint64_t)RTE_REMOTE_IRR;
		serve(s, pin);
	}
}

bool ioapic_level_vectors(void *d, uint64_t vectors[4])
{
	struct ioapic *s = d;

	if (!s->changed)
		return false;
	s->changed = false;
	memset(vectors, 0, 4 * sizeof(vectors[0]));
	for (unsigned pin = 0; pin < IOAPIC_PINS; pin++) {
		uint64_t rte = s->state.rte[pin];

		/* One that was masked in service still needs its end. */
		if (is_level(rte) && (!(rte & RTE_MASKED) || rte & RTE_REMOTE_IRR))
			vectors[(rte & RTE_VECTOR) / 64] |= 1ull << (rte & 63);
	}
	return true;
}

static uint32_t read_reg(const struct ioapic *s)
{
	unsigned i = s->state.index;

	switch (i) {
	case IOAPICID:
	case IOAPICARB: return s->state.id;
	case IOAPICVER: return s->cfg.version | (IOAPIC_PINS - 1) << 16;
	}
	if (i < IOREDTBL || i >= IOREDTBL + 2 * IOAPIC_PINS)
		return 0;
	return (uint32_t)(s->state.rte[(i - IOREDTBL) / 2] >> i % 2 * 32);
}

static void write_rte(struct ioapic *s, unsigned i, uint32_t v)
{
	unsigned pin = i / 2;
	uint64_t *rte = &s->state.rte[pin];

	s->changed = true;
	if (i % 2) {
		*rte = (*rte & 0xffffffff) | (uint64_t)(v & 0xff000000) << 32;
		return;
	}
	*rte = (*rte & ~(uint64_t)RTE_WRITABLE) | (v & RTE_WRITABLE);
	if (!is_level(*rte))
		*rte &= ~(uint64_t)RTE_REMOTE_IRR;
	/* Another vector: nobody will tell of the end of the old one's message any sooner. */
	serve(s, pin);
	arm(s);
}

static enum dev_rc ioapic_access(void *d, struct dev_access *a)
{
	struct ioapic *s = d;
	uint32_t v = (uint32_t)a->data;
	unsigned i = s->state.index;

	if (a->offset == IOREGSEL) {
		if (a->write)
			s->state.index = (uint8_t)v;
		a->data = s->state.index;
		return DEV_OK;
	}
	if (a->size != 4)
		return DEV_NO_REG;
	if (a->offset == IOEOI && s->cfg.version >= VERSION_EOI && a->write) {
		ioapic_eoi(s, (uint8_t)v);
		return DEV_OK;
	}
	if (a->offset != IOWIN)
		return DEV_NO_REG;
	if (!a->write)
		a->data = read_reg(s);
	else if (i == IOAPICID)
		s->state.id = v & ID_MASK;
	else if (i >= IOREDTBL && i < IOREDTBL + 2 * IOAPIC_PINS)
		write_rte(s, i - IOREDTBL, v);
	return DEV_OK;
}

/* The pins are other chips' outputs: they stay as those drive them. */
static void ioapic_reset(void *d)
{
	struct ioapic *s = d;

	s->changed = true;
	for (unsigned pin = 0; pin < IOAPIC_PINS; pin++) {
		s->state.rte[pin] = RTE_MASKED;
		s->state.again_ns[pin] = UINT64_MAX;
	}
	s->state.id = 0;
	s->state.index = 0;
	arm(s);
}

static int ioapic_init(void *d, const struct dev_env *env, const void *cfg)
{
	struct ioapic *s = d;

	s->env = *env;
	s->cfg = *(const struct ioapic_cfg *)cfg;
	if (s->cfg.version != 0x11 && s->cfg.version != VERSION_EOI)
		return -1;
	ioapic_reset(s);
	return 0;
}

static bool ioapic_sane(const void *d)
{
	const struct ioapic *s = d;

	for (unsigned pin = 0; pin < IOAPIC_PINS; pin++) {
		uint64_t rte = s->state.rte[pin], again = s->state.again_ns[pin];

		if (rte & ~RTE_VALID)
			return false;
		if (rte & RTE_REMOTE_IRR && (!is_level(rte) || s->cfg.resample_ns))
			return false;
		if (again != UINT64_MAX &&
		    (!s->cfg.resample_ns || again > dev_now_ns(&s->env) + s->cfg.resample_ns))
			return false;
	}
	return !(s->state.line >> IOAPIC_PINS) && !(s->state.id & ~ID_MASK);
}

static int ioapic_loaded(void *d)
{
	struct ioapic *s = d;

	if (!ioapic_sane(s)) {
		s->state.line = 0;
		ioapic_reset(s);
		return -1;
	}
	s->changed = true;
	arm(s);
	return 0;
}

const struct dev_class ioapic_class = {
	.name = "ioapic",
	.size = sizeof(struct ioapic),
	.state_off = offsetof(struct ioapic, state),
	.state_size = sizeof(((struct ioapic *)0)->state),
	.regions = regions,
	.n_regions = sizeof(regions) / sizeof(regions[0]),
	.n_timers = 1,
	.init = ioapic_init,
	.reset = ioapic_reset,
	.access = ioapic_access,
	.timer = ioapic_timer,
	.line = ioapic_line,
	.loaded = ioapic_loaded,
	.sane = ioapic_sane,
};
