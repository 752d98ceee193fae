/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * i8259.c - two 8259A programmable interrupt controllers (Intel data sheet 231468), cascaded as in a PC, and
 * ELCR (82371SB, data sheet 290550, section 2.5.4.6).
 *
 * As in the PIIX3, ELCR stands for LTIM, the cascade is fixed whatever ICW3 says, and bits for the 8080 and
 * for buffers mean nothing.  Choices where hardware differs:
 *   - An edge-triggered request stays when its line falls before it is acknowledged.  An 8259A forgets it
 *     then (and answers with interrupt 7), which would lose ticks of a square-wave timer whenever the guest's
 *     processor is not running; KVM and QEMU keep it too.
 *   - Input 2 of the master follows INT of the slave.  So interrupt 15 is never a spurious one.
 *   - A controller that has not seen its ICWs since power-on gives no interrupt.
 */
#include "models/i8259/i8259.h"

#define CASCADE  2u
#define SPURIOUS 7u

#define ICW1     0x10u
#define ICW1_IC4 0x01u
#define ICW1_SNG 0x02u /* single: no ICW3 follows */

#define ICW2_BASE 0xf8u

#define ICW4_AEOI 0x02u
#define ICW4_SFNM 0x10u

#define OCW2_LEVEL 0x07u
#define OCW2_EOI   0x20u
#define OCW2_SL    0x40u
#define OCW2_R     0x80u

#define OCW3      0x08u
#define OCW3_RIS  0x01u
#define OCW3_RR   0x02u
#define OCW3_P    0x04u
#define OCW3_SMM  0x20u
#define OCW3_ESMM 0x40u

enum init { READY, NEED_ICW2, NEED_ICW3, NEED_ICW4, N_INIT };

struct chip {
	uint8_t line;  /* levels of the inputs */
	uint8_t edges; /* requests of edge-triggered inputs */
	uint8_t isr, imr;
	uint8_t elcr;   /* bit n: input n is level-triggered */
	uint8_t base;   /* ICW2 */
	uint8_t icw1;   /* of the sequence under way */
	uint8_t icw4;   /* AEOI, SFNM */
	uint8_t lowest; /* input with the lowest priority; the next one has the highest */
	uint8_t init;   /* enum init */
	uint8_t smm, ris, poll, rotate_aeoi;
	uint8_t alive; /* has been initialised */
	uint8_t pad;
};

struct i8259 {
	struct dev_env env;
	struct {
		struct chip chip[2]; /* master, slave */
	} state;
};

enum { MASTER, SLAVE };

/* Interrupts 0, 1, 2, 8 and 13 are edge-triggered on every ISA bus. */
static const uint8_t elcr_mask[2] = { 0xf8, 0xde };

static const struct dev_region regions[] = {
	{ "pic1", DEV_PIO, 0x20, 2, DEV_SIZE_1 },
	{ "pic2", DEV_PIO, 0xa0, 2, DEV_SIZE_1 },
	{ "elcr", DEV_PIO, 0x4d0, 2, DEV_SIZE_1 },
};

/* The highest priority among the inputs bits, 0 to 7; none: 8. */
static unsigned rank(const struct chip *c, uint8_t bits)
{
	unsigned first = (c->lowest + 1) & 7;

	return (unsigned)__builtin_ctz(((bits >> first | bits << (8 - first)) & 0xff) | 0x100);
}

static unsigned input(const struct chip *c, unsigned r)
{
	return (c->lowest + 1 + r) & 7;
}

static int request(const struct i8259 *s, unsigned n);

static uint8_t irr(const struct i8259 *s, unsigned n)
{
	const struct chip *c = &s->state.chip[n];
	uint8_t v = c->edges | (c->line & c->elcr);

	return n == MASTER && request(s, SLAVE) >= 0 ? v | 1u << CASCADE : v;
}

/* The input for which INT is high, or -1. */
static int request(const struct i8259 *s, unsigned n)
{
	const struct chip *c = &s->state.chip[n];
	uint8_t blocking = c->isr;
	unsigned r, served;

	if (!c->alive || c->init != READY || c->imr == 0xff)
		return -1;
	if (c->smm)
		blocking &= (uint8_t)~c->imr;
	served = rank(c, blocking);
	r = rank(c, irr(s, n) & (uint8_t)~c->imr);
	/* Special fully nested mode: the slave in service does not lock out its own higher requests. */
	if (n == MASTER && c->icw4 & ICW4_SFNM && r == served && r < 8 && input(c, r) == CASCADE)
		return CASCADE;
	return r < served ? (int)input(c, r) : -1;
}

static void outputs(struct i8259 *s)
{
	dev_irq(&s->env, 0, request(s, MASTER) >= 0);
}

/* An input comes into service; with automatic end of interrupt, and out of it. */
static void acknowledge(struct chip *c, unsigned n)
{
	c->edges &= (uint8_t) ~(1u << n);
	if (!(c->icw4 & ICW4_AEOI))
		c->isr |= (uint8_t)(1u << n);
	else if (c->rotate_aeoi)
		c->lowest = (uint8_t)n;
}

int i8259_vector(const void *d)
{
	const struct i8259 *s = d;
	int n = request(s, MASTER);

	if (n < 0)
		return -1;
	if (n == CASCADE)
		return s->state.chip[SLAVE].base | request(s, SLAVE);
	return s->state.chip[MASTER].base | n;
}

void i8259_taken(void *d, uint8_t vector)
{
	struct i8259 *s = d;
	struct chip *m = &s->state.chip[MASTER], *sl = &s->state.chip[SLAVE];

	if (m->alive && (vector & ICW2_BASE) == m->base && (vector & 7) != CASCADE) {
		acknowledge(m, vector & 7);
	} else if (sl->alive && (vector & ICW2_BASE) == sl->base) {
		acknowledge(sl, vector & 7);
		acknowledge(m, CASCADE);
	}
	outputs(s);
}

uint8_t i8259_inta(void *d)
{
	struct i8259 *s = d;
	int vector = i8259_vector(s);

	if (vector < 0)
		return s->state.chip[MASTER].base | SPURIOUS;
	i8259_taken(s, (uint8_t)vector);
	return (uint8_t)vector;
}

/* Poll mode: a read is an acknowledge cycle of this chip alone. */
static uint8_t poll(struct i8259 *s, unsigned n)
{
	int r = request(s, n);

	s->state.chip[n].poll = 0;
	if (r < 0)
		return 0;
	acknowledge(&s->state.chip[n], (unsigned)r);
	return (uint8_t)(0x80 | r);
}

static void write_icw1(struct chip *c, uint8_t v)
{
	*c = (struct chip){ .line = c->line,
			    .elcr = c->elcr,
			    .base = c->base,
			    .icw1 = v & (ICW1_IC4 | ICW1_SNG),
			    .lowest = 7,
			    .init = NEED_ICW2,
			    .alive = 1 };
}

static void write_ocw2(struct chip *c, uint8_t v)
{
	unsigned r = rank(c, c->isr), n = v & OCW2_SL ? v & OCW2_LEVEL : input(c, r);

	if (!(v & OCW2_EOI)) {
		if (!(v & OCW2_SL))
			c->rotate_aeoi = !!(v & OCW2_R);
		else if (v & OCW2_R) /* set priority; without R: no operation */
			c->lowest = (uint8_t)n;
		return;
	}
	/* In special mask mode a non-specific EOI does not clear an input that is masked. */
	if (!(v & OCW2_SL)) {
		r = rank(c, c->isr & (c->smm ? (uint8_t)~c->imr : 0xff));
		n = input(c, r);
		if (r == 8)
			return;
	}
	c->isr &= (uint8_t) ~(1u << n);
	if (v & OCW2_R)
		c->lowest = (uint8_t)n;
}

static void write_ocw3(struct chip *c, uint8_t v)
{
	if (v & OCW3_ESMM)
		c->smm = !!(v & OCW3_SMM);
	if (v & OCW3_RR)
		c->ris = v & OCW3_RIS;
	c->poll = !!(v & OCW3_P);
}

static void write_even(struct chip *c, uint8_t v)
{
	if (v & ICW1)
		write_icw1(c, v);
	else if (v & OCW3)
		write_ocw3(c, v);
	else
		write_ocw2(c, v);
}

static void write_odd(struct chip *c, uint8_t v)
{
	enum init icw4 = c->icw1 & ICW1_IC4 ? NEED_ICW4 : READY;

	switch (c->init) {
	case READY: c->imr = v; break;
	case NEED_ICW2:
		c->base = v & ICW2_BASE;
		c->init = c->icw1 & ICW1_SNG ? (uint8_t)icw4 : NEED_ICW3;
		break;
	case NEED_ICW3: c->init = (uint8_t)icw4; break;
	case NEED_ICW4:
		c->icw4 = v & (ICW4_AEOI | ICW4_SFNM);
		c->init = READY;
		break;
	}
}

static enum dev_rc i8259_access(void *d, struct dev_access *a)
{
	struct i8259 *s = d;
	unsigned n = a->region == 2 ? a->offset : a->region;
	struct chip *c = &s->state.chip[n];
	uint8_t v = (uint8_t)a->data;

	if (a->region == 2) {
		if (a->write) {
			c->elcr = v & elcr_mask[n];
			c->edges &= (uint8_t)~c->elcr;
		}
		a->data = c->elcr;
	} else if (a->write) {
		if (a->offset == 0)
			write_even(c, v);
		else
			write_odd(c, v);
	} else if (c->poll) {
		a->data = poll(s, n);
	} else if (a->offset == 1) {
		a->data = c->imr;
	} else {
		a->data = c->ris ? c->isr : irr(s, n);
	}
	outputs(s);
	return DEV_OK;
}

static void i8259_line(void *d, unsigned n, bool level)
{
	struct i8259 *s = d;
	struct chip *c = &s->state.chip[n >> 3 & 1];
	uint8_t bit = (uint8_t)(1u << (n & 7));

	if (n > 15 || n == CASCADE)
		return;
	if (level && !(c->line & bit) && !(c->elcr & bit))
		c->edges |= bit;
	c->line = (c->line & (uint8_t)~bit) | (level ? bit : 0);
	outputs(s);
}

/* The inputs are other chips' outputs: they stay as those drive them. */
static void i8259_reset(void *d)
{
	struct i8259 *s = d;

	for (unsigned n = 0; n < 2; n++)
		s->state.chip[n] = (struct chip){ .line = s->state.chip[n].line, .lowest = 7 };
	outputs(s);
}

static int i8259_init(void *d, const struct dev_env *env, const void *cfg)
{
	struct i8259 *s = d;

	s->env = *env;
	i8259_reset(s);
	return 0;
}

static bool i8259_sane(const void *d)
{
	const struct i8259 *s = d;

	for (unsigned n = 0; n < 2; n++) {
		const struct chip *c = &s->state.chip[n];

		if (c->elcr & ~elcr_mask[n] || c->edges & c->elcr || c->base & ~ICW2_BASE ||
		    c->icw1 & ~(ICW1_IC4 | ICW1_SNG) || c->icw4 & ~(ICW4_AEOI | ICW4_SFNM) ||
		    c->lowest > 7 || c->init >= N_INIT || c->smm > 1 || c->ris > 1 || c->poll > 1 ||
		    c->rotate_aeoi > 1 || c->alive > 1 || c->pad)
			return false;
	}
	return !((s->state.chip[MASTER].edges | s->state.chip[MASTER].line) & 1u << CASCADE);
}

static int i8259_loaded(void *d)
{
	struct i8259 *s = d;

	if (!i8259_sane(s)) {
		s->state.chip[MASTER].line = s->state.chip[SLAVE].line = 0;
		i8259_reset(s);
		return -1;
	}
	outputs(s);
	return 0;
}

const struct dev_class i8259_class = {
	.name = "i8259",
	.size = sizeof(struct i8259),
	.state_off = offsetof(struct i8259, state),
	.state_size = sizeof(((struct i8259 *)0)->state),
	.regions = regions,
	.n_regions = sizeof(regions) / sizeof(regions[0]),
	.n_irqs = 1,
	.init = i8259_init,
	.reset = i8259_reset,
	.access = i8259_access,
	.line = i8259_line,
	.loaded = i8259_loaded,
	.sane = i8259_sane,
};
