/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * i8254.c - Intel 8254 programmable interval timer (data sheet 231164), and the timer's bits of port 61h, NMI
 * status and control (82371SB, data sheet 290550, section 2.5.6.1).
 *
 * Nothing ticks.  A counter knows the clock pulse at which its count was loaded; all that it shows follows from
 * the number of pulses since.  The host's timer runs only for the next rising edge of counter 0.
 *
 * Where the data sheet leaves it open: before the first count OUT is as the control word left it and counts
 * stand still; counts of 1 in modes 2 and 3 give no edges; digits above 9 in BCD count for what they are, modulo
 * 10,000.
 */
#include "models/i8254/i8254.h"

#define NS_PER_S 1000000000u

/* Control word: SC1 SC0 RW1 RW0 M2 M1 M0 BCD. */
#define CW_SC_SHIFT  6
#define CW_READ_BACK 3u
#define CW_RW_SHIFT  4
#define CW_M_SHIFT   1
#define CW_BCD       0x01u
#define CW_KEPT      0x3fu

enum rw { RW_LATCH, RW_LSB, RW_MSB, RW_BOTH };

#define RB_NO_COUNT  0x20u
#define RB_NO_STATUS 0x10u
#define RB_COUNTER   0x02u

#define STATUS_OUT  0x80u
#define STATUS_NULL 0x40u

/* Port 61h. */
#define NMI_GATE2    0x01u
#define NMI_WRITABLE 0x0fu /* gate, speaker, enables of parity and channel check */
#define NMI_REFRESH  0x10u
#define NMI_OUT2     0x20u

#define REFRESH_CLOCKS 18u /* 15 us between two refresh cycles */

struct counter {
	uint64_t start; /* the clock pulse that loaded, or will load, ce; while the gate stops it: unused */
	uint64_t held; /* clocks counted when the gate stopped it */
	uint32_t cr;   /* the count as written: 1 to 65536; 0: none since the control word */
	uint32_t ce;   /* the count that is loaded */
	uint16_t latch;
	uint8_t cw;      /* RW, M, BCD */
	uint8_t lsb;     /* first byte of a count of two */
	uint8_t second;  /* 1: the next byte written is the second */
	uint8_t read2nd; /* 1: the next byte read is the second */
	uint8_t latched; /* bytes of latch that are unread */
	uint8_t status_latched, status;
	uint8_t gate;
	uint8_t null;  /* cr waits: for the end of the period, or a trigger */
	uint8_t armed; /* a count is loaded or being loaded */
	uint8_t high;  /* mode 3: the half that started at start.  Others: OUT before start */
	uint8_t pad[3];
};

struct i8254 {
	struct dev_env env;
	struct {
		struct counter c[3];
		uint64_t rise; /* the clock pulse of the next rising edge of counter 0; UINT64_MAX */
		uint8_t port61; /* NMI_WRITABLE */
		uint8_t pad[7];
	} state;
};

enum { R_PIT, R_NMI };

static const struct dev_region regions[] = {
	[R_PIT] = { "pit", DEV_PIO, 0x40, 4, DEV_SIZE_1 },
	[R_NMI] = { "nmi-sc", DEV_PIO, 0x61, 1, DEV_SIZE_1 },
};

/* In two parts, so that nothing overflows in 64 bits. */
static uint64_t now_of(const struct i8254 *s)
{
	uint64_t ns = dev_now_ns(&s->env);

	return ns / NS_PER_S * I8254_HZ + ns % NS_PER_S * I8254_HZ / NS_PER_S;
}

/* The first ns at which a clock pulse has happened. */
static uint64_t ns_of(uint64_t clk)
{
	return clk / I8254_HZ * NS_PER_S + (clk % I8254_HZ * NS_PER_S + I8254_HZ - 1) / I8254_HZ;
}

static unsigned mode(const struct counter *c)
{
	unsigned m = c->cw >> CW_M_SHIFT & 7;

	return m > 5 ? m - 4 : m;
}

static bool periodic(const struct counter *c)
{
	return mode(c) == 2 || mode(c) == 3;
}

/* Modes whose gate starts them; in the others it lets them count. */
static bool triggered(const struct counter *c)
{
	return mode(c) == 1 || mode(c) == 5;
}

static bool running(const struct counter *c)
{
	return c->armed && (c->gate || triggered(c));
}

/* Clock pulses since the count was loaded. */
static uint64_t elapsed(const struct counter *c, uint64_t now)
{
	if (!running(c))
		return c->held;
	return now > c->start ? now - c->start : 0;
}

/* Mode 3: an odd count is high for one clock more than low. */
static uint32_t half(const struct counter *c)
{
	return (c->ce + c->high) / 2;
}

/* Periods that have ended: start becomes that of the present one, a count that waited is loaded. */
static void sync(struct counter *c, uint64_t now)
{
	if (!periodic(c) || !running(c))
		return;
	while (now >= c->start + (mode(c) == 3 ? half(c) : c->ce)) {
		if (!c->null && now - c->start >= c->ce) {
			c->start = now - (now - c->start) % c->ce;
			continue;
		}
		c->start += mode(c) == 3 ? half(c) : c->ce;
		c->high = mode(c) == 2 || !c->high;
		if (c->null)
			c->ce = c->cr;
		c->null = 0;
	}
}

/* OUT; the counter is in sync. */
static bool out(const struct counter *c, uint64_t now)
{
	uint64_t t = elapsed(c, now);

	if (!c->armed || (running(c) && now < c->start))
		return c->high;
	switch (mode(c)) {
	case 0:
	case 1: return t >= c->ce;
	case 2: return !c->gate || t != c->ce - 1;
	case 3: return !c->gate || c->high;
	default: return t != c->ce;
	}
}

/* The clock pulse of the next rising edge of OUT; UINT64_MAX: none to come.  The counter is in sync. */
static uint64_t next_rise(const struct counter *c, uint64_t now)
{
	if (!running(c))
		return UINT64_MAX;
	switch (mode(c)) {
	case 0:
	case 1: return now < c->start + c->ce ? c->start + c->ce : UINT64_MAX;
	case 2: return (c->null ? c->cr : c->ce) > 1 ? c->start + c->ce : UINT64_MAX;
	case 3:
		if (!c->high)
			return c->start + half(c);
		if ((c->null ? c->cr : c->ce) > 1)
			return c->start + half(c) + (c->null ? c->cr : c->ce) / 2;
		return UINT64_MAX;
	default: return now < c->start + c->ce + 1 ? c->start + c->ce + 1 : UINT64_MAX;
	}
}

static uint32_t modulus(const struct counter *c)
{
	return c->cw & CW_BCD ? 10000 : 0x10000;
}

/* What the counting element shows. */
static uint16_t count(const struct counter *c, uint64_t now)
{
	uint32_t m = modulus(c), v;
	uint64_t t = elapsed(c, now);

	if (mode(c) == 3) {
		/* An odd count: high from N - 1 to 0, low from N - 1 to 2; an even one: twice from N to 2. */
		v = (c->ce & ~1u) - 2 * (uint32_t)t;
	} else {
		v = (uint32_t)(c->ce + m - t % m);
	}
	v %= m;
	if (c->cw & CW_BCD)
		v = v / 1000 << 12 | v / 100 % 10 << 8 | v / 10 % 10 << 4 | v % 10;
	return (uint16_t)v;
}

static uint32_t decode(const struct counter *c, uint16_t v)
{
	uint32_t n = v;

	if (c->cw & CW_BCD)
		n = ((v >> 12) * 1000u + (v >> 8 & 15) * 100u + (v >> 4 & 15) * 10u + (v & 15)) %
		    10000;
	return n ? n : modulus(c);
}

/* The next clock pulse loads the count. */
static void load(struct counter *c, uint64_t now)
{
	c->ce = c->cr;
	c->null = 0;
	c->armed = 1;
	c->start = now + 1;
	c->held = 0;
}

static void write_cw(struct counter *c, uint8_t v)
{
	c->cw = v & CW_KEPT;
	c->second = c->read2nd = 0;
	c->latched = c->status_latched = 0;
	c->armed = 0;
	c->held = 0;
	c->null = 1;
	c->cr = 0;
	c->high = mode(c) != 0;
}

static void new_count(struct counter *c, uint16_t v, uint64_t now)
{
	bool was_out = out(c, now);

	c->cr = decode(c, v);
	c->null = 1;
	switch (mode(c)) {
	case 0:
		load(c, now);
		c->high = 0;
		break;
	case 4:
		load(c, now);
		c->high = was_out;
		break;
	case 2:
	case 3:
		/* One that counts already goes on to the end of its period. */
		if (!c->armed) {
			load(c, now);
			c->high = 1;
		}
		break;
	}
}

static void write_count(struct counter *c, uint8_t v, uint64_t now)
{
	switch (c->cw >> CW_RW_SHIFT) {
	case RW_LSB: new_count(c, v, now); break;
	case RW_MSB: new_count(c, (uint16_t)(v << 8), now); break;
	case RW_BOTH:
		c->second ^= 1;
		if (!c->second) {
			new_count(c, (uint16_t)(v << 8 | c->lsb), now);
			break;
		}
		c->lsb = v;
		if (mode(c) == 0) { /* stops at the first byte */
			c->held = elapsed(c, now);
			c->armed = 0;
			c->high = 0;
		}
		break;
	}
}

static void latch_count(struct counter *c, uint64_t now)
{
	if (c->latched)
		return;
	c->latch = count(c, now);
	c->latched = c->cw >> CW_RW_SHIFT == RW_BOTH ? 2 : 1;
}

static void latch_status(struct counter *c, uint64_t now)
{
	bool null = c->null || (running(c) && now < c->start);

	if (c->status_latched)
		return;
	c->status_latched = 1;
	c->status = (uint8_t)(c->cw | (null ? STATUS_NULL : 0) | (out(c, now) ? STATUS_OUT : 0));
}

static uint8_t read_count(struct counter *c, uint64_t now)
{
	uint16_t v = c->latched ? c->latch : count(c, now);
	unsigned rw = c->cw >> CW_RW_SHIFT;
	bool msb = rw == RW_MSB || (rw == RW_BOTH && c->read2nd);

	if (c->status_latched) {
		c->status_latched = 0;
		return c->status;
	}
	if (rw == RW_BOTH)
		c->read2nd ^= 1;
	if (c->latched)
		c->latched--;
	return (uint8_t)(msb ? v >> 8 : v);
}

static void write_control(struct i8254 *s, uint8_t v, uint64_t now)
{
	struct counter *c = s->state.c;
	unsigned sc = v >> CW_SC_SHIFT;

	if (sc != CW_READ_BACK) {
		if (v >> CW_RW_SHIFT & 3)
			write_cw(&c[sc], v);
		else
			latch_count(&c[sc], now);
		return;
	}
	for (unsigned i = 0; i < 3; i++) {
		if (!(v & RB_COUNTER << i))
			continue;
		if (!(v & RB_NO_COUNT))
			latch_count(&c[i], now);
		if (!(v & RB_NO_STATUS))
			latch_status(&c[i], now);
	}
}

static void set_gate(struct counter *c, bool gate, uint64_t now)
{
	bool was_out = out(c, now);

	if (gate == c->gate)
		return;
	if (!triggered(c) && !gate)
		c->held = elapsed(c, now);
	c->gate = gate;
	if (!gate)
		return;
	if (triggered(c)) {
		if (!c->cr) /* nothing to count yet */
			return;
		load(c, now);
		c->high = was_out;
	} else if (periodic(c) && c->armed) {
		load(c, now);
		c->high = 1;
	} else {
		c->start = now - c->held;
	}
}

/* Brings all up to now: what the line has missed is one edge. */
static uint64_t sync_all(struct i8254 *s)
{
	uint64_t now = now_of(s);

	if (now >= s->state.rise) {
		dev_irq(&s->env, 0, false);
		dev_irq(&s->env, 0, true);
	}
	for (unsigned i = 0; i < 3; i++)
		sync(&s->state.c[i], now);
	return now;
}

static void arm(struct i8254 *s)
{
	dev_arm(&s->env, 0, s->state.rise == UINT64_MAX ? UINT64_MAX : ns_of(s->state.rise));
}

/* The line, and the host's timer for its next rise. */
static void outputs(struct i8254 *s, uint64_t now)
{
	const struct counter *c = &s->state.c[0];

	dev_irq(&s->env, 0, out(c, now));
	s->state.rise = next_rise(c, now);
	arm(s);
}

static uint8_t read_port61(const struct i8254 *s, uint64_t now)
{
	return (uint8_t)(s->state.port61 | (now / REFRESH_CLOCKS & 1 ? NMI_REFRESH : 0) |
			 (out(&s->state.c[2], now) ? NMI_OUT2 : 0));
}

static enum dev_rc i8254_access(void *d, struct dev_access *a)
{
	struct i8254 *s = d;
	uint64_t now = sync_all(s);
	uint8_t v = (uint8_t)a->data;
	enum dev_rc rc = DEV_OK;

	if (a->region == R_NMI) {
		if (a->write) {
			s->state.port61 = v & NMI_WRITABLE;
			set_gate(&s->state.c[2], v & NMI_GATE2, now);
		} else {
			a->data = read_port61(s, now);
		}
	} else if (a->offset == 3) {
		if (a->write)
			write_control(s, v, now);
		else
			rc = DEV_NO_REG;
	} else if (a->write) {
		write_count(&s->state.c[a->offset], v, now);
	} else {
		a->data = read_count(&s->state.c[a->offset], now);
	}
	outputs(s, now);
	return rc;
}

static void i8254_timer(void *d, unsigned id)
{
	outputs(d, sync_all(d));
}

/* An 8254 has no reset, and any state at power-on: here all counters stand still. */
static void i8254_reset(void *d)
{
	struct i8254 *s = d;

	for (unsigned i = 0; i < 3; i++)
		s->state.c[i] = (struct counter){
			.ce = 0x10000, .cw = RW_BOTH << CW_RW_SHIFT, .null = 1, .gate = i != 2
		};
	s->state.port61 = 0;
	outputs(s, now_of(s));
}

static int i8254_init(void *d, const struct dev_env *env, const void *cfg)
{
	struct i8254 *s = d;

	s->env = *env;
	i8254_reset(s);
	return 0;
}

static bool i8254_sane(const void *d)
{
	const struct i8254 *s = d;
	uint64_t now = now_of(s);

	for (unsigned i = 0; i < 3; i++) {
		const struct counter *c = &s->state.c[i];

		if (c->start > now + 1 || c->held > now || c->cr > 0x10000 || !c->ce ||
		    c->ce > 0x10000 || c->cw & ~CW_KEPT || !(c->cw >> CW_RW_SHIFT) ||
		    c->latched > 2 || c->second > 1 || c->read2nd > 1 || c->status_latched > 1 ||
		    c->gate > 1 || c->null > 1 || c->armed > 1 || c->high > 1 ||
		    (c->armed && !c->cr))
			return false;
	}
	if (s->state.rise != UINT64_MAX && s->state.rise > now + 4 * 0x10000)
		return false;
	return s->state.c[0].gate && s->state.c[1].gate && !(s->state.port61 & ~NMI_WRITABLE) &&
	       s->state.c[2].gate == (s->state.port61 & NMI_GATE2);
}

static int i8254_loaded(void *d)
{
	struct i8254 *s = d;
	struct counter c = s->state.c[0];
	uint64_t now = now_of(s);

	if (!i8254_sane(s)) {
		i8254_reset(s);
		return -1;
	}
	sync(&c, now);
	dev_irq(&s->env, 0, out(&c, now));
	arm(s); /* for a rise in the past too */
	return 0;
}

const struct dev_class i8254_class = {
	.name = "i8254",
	.size = sizeof(struct i8254),
	.state_off = offsetof(struct i8254, state),
	.state_size = sizeof(((struct i8254 *)0)->state),
	.regions = regions,
	.n_regions = sizeof(regions) / sizeof(regions[0]),
	.n_irqs = 1,
	.n_timers = 1,
	.init = i8254_init,
	.reset = i8254_reset,
	.access = i8254_access,
	.timer = i8254_timer,
	.loaded = i8254_loaded,
	.sane = i8254_sane,
};
