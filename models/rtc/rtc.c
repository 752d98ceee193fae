/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rtc.c - MC146818A real-time clock (Motorola data sheet MC146818A, and Intel 82371AB section 8.4 for
 * the 128-byte memory).
 *
 * Nothing ticks.  The time is the host's wall-clock time plus an offset, put into the registers when
 * the guest looks; flags are brought up to date at each access; the host's timer runs only while an
 * interrupt is enabled whose flag is not set yet.  The day of the week follows from the date, whatever
 * the guest writes there.  Time and memory live on a battery: a reset leaves them alone.
 */
#include "models/rtc/rtc.h"

#include <string.h>

enum {
	SECONDS = 0x00,
	SECONDS_ALARM = 0x01,
	MINUTES = 0x02,
	MINUTES_ALARM = 0x03,
	HOURS = 0x04,
	HOURS_ALARM = 0x05,
	WEEKDAY = 0x06, /* 1 is Sunday */
	DAY = 0x07,
	MONTH = 0x08,
	YEAR = 0x09,
	REG_A = 0x0a,
	REG_B = 0x0b,
	REG_C = 0x0c,
	REG_D = 0x0d,
	CENTURY = 0x32, /* not the chip's: the place that the ACPI FADT names on most PCs */
};

#define A_UIP      0x80u
#define A_DV_RESET 0x60u /* DV2 and DV1: the divider chain is held in reset */
#define A_RS       0x0fu

#define B_SET 0x80u
#define B_PIE 0x40u
#define B_AIE 0x20u
#define B_UIE 0x10u
#define B_SQW 0x08u
#define B_DM  0x04u /* binary, not BCD */
#define B_24H 0x02u

#define C_IRQF 0x80u
#define C_PF   0x40u /* PF, AF, UF are at the bits of their enables in B */
#define C_AF   0x20u
#define C_UF   0x10u
#define FLAGS  (C_PF | C_AF | C_UF)

#define D_VRT 0x80u

#define HOUR_PM   0x80u
#define DONT_CARE 0xc0u /* in an alarm byte, both bits set */

#define NS_PER_S  1000000000u
#define TICKS     32768u /* the crystal */
#define S_PER_DAY 86400
/* UIP goes up 244 us before the update, which takes 1984 us; the new time shows at its end. */
#define UIP_NS       2228000u
#define EPOCH_DAYS   719162 /* from 0001-01-01 to 1970-01-01 */
#define MAX_OFFSET_S 1000000000000
#define MAX_WALL_S   18000000000

struct rtc {
	struct dev_env env;
	struct {
		int64_t offset_s;   /* RTC time - wall-clock time */
		int64_t seen_s;     /* RTC time, in s since 1970, up to which UF and AF are known */
		uint64_t seen_tick; /* tick of the divider up to which PF is known */
		uint32_t phase_ns;  /* the divider is that far ahead of the wall clock's seconds */
		uint8_t index;
		uint8_t pad[3];
		uint8_t cmos[128]; /* time bytes are current only while the clock is stopped */
	} state;
};

static const struct dev_region regions[] = {
	{ "rtc", DEV_PIO, 0x70, 2, DEV_SIZE_1 },
};

static const uint8_t month_days[12] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };

static bool divider_reset(const struct rtc *s)
{
	return (s->state.cmos[REG_A] & A_DV_RESET) == A_DV_RESET;
}

static bool stopped(const struct rtc *s)
{
	return (s->state.cmos[REG_B] & B_SET) || divider_reset(s);
}

/* The divider's time: ns that its chain has counted. */
static uint64_t divider_ns(const struct rtc *s)
{
	return dev_wall_ns(&s->env) + s->state.phase_ns;
}

static uint64_t tick_of(uint64_t ns)
{
	return ns / NS_PER_S * TICKS + ns % NS_PER_S * TICKS / NS_PER_S;
}

static uint64_t ns_of_tick(uint64_t tick)
{
	return tick / TICKS * NS_PER_S + (tick % TICKS * NS_PER_S + TICKS - 1) / TICKS;
}

/* In ticks; 0: no periodic interrupt.  Rates 1 and 2 are those of 8 and 9 with this crystal. */
static uint32_t period(const struct rtc *s)
{
	unsigned rs = s->state.cmos[REG_A] & A_RS;

	if (rs == 0 || divider_reset(s))
		return 0;
	return 1u << (rs <= 2 ? rs + 6 : rs - 1);
}

static unsigned decode(const struct rtc *s, uint8_t b)
{
	return s->state.cmos[REG_B] & B_DM ? b : (b >> 4) * 10u + (b & 15);
}

static uint8_t encode(const struct rtc *s, unsigned v)
{
	return (uint8_t)(s->state.cmos[REG_B] & B_DM ? v : (v / 10 % 10) << 4 | v % 10);
}

static unsigned decode_hour(const struct rtc *s, uint8_t b)
{
	if (s->state.cmos[REG_B] & B_24H)
		return decode(s, b);
	return decode(s, b & (uint8_t)~HOUR_PM) % 12 + (b & HOUR_PM ? 12 : 0);
}

static uint8_t encode_hour(const struct rtc *s, unsigned h)
{
	if (s->state.cmos[REG_B] & B_24H)
		return encode(s, h);
	return encode(s, h % 12 ? h % 12 : 12) | (h >= 12 ? HOUR_PM : 0);
}

static int leap(int64_t year)
{
	return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

/* Days from 0001-01-01 to the first of the year. */
static int64_t days_before(int64_t year)
{
	year--;
	return year * 365 + year / 4 - year / 100 + year / 400;
}

static void time_to_regs(struct rtc *s)
{
	int64_t t = s->state.seen_s + (int64_t)EPOCH_DAYS * S_PER_DAY, days = t / S_PER_DAY;
	int64_t year = days * 400 / 146097 + 1; /* right, or one off */
	unsigned sod = (unsigned)(t % S_PER_DAY), day, month = 0;
	uint8_t *r = s->state.cmos;

	if (days_before(year + 1) <= days)
		year++;
	if (days_before(year) > days)
		year--;
	day = (unsigned)(days - days_before(year));
	while (month < 11 && day >= month_days[month] + (month == 1 ? (unsigned)leap(year) : 0)) {
		day -= month_days[month] + (month == 1 ? (unsigned)leap(year) : 0);
		month++;
	}
	r[SECONDS] = encode(s, sod % 60);
	r[MINUTES] = encode(s, sod / 60 % 60);
	r[HOURS] = encode_hour(s, sod / 3600);
	r[WEEKDAY] = encode(s, (unsigned)((days + 1) % 7) + 1);
	r[DAY] = encode(s, day + 1);
	r[MONTH] = encode(s, month + 1);
	r[YEAR] = encode(s, (unsigned)(year % 100));
	r[CENTURY] = encode(s, (unsigned)(year / 100));
}

/* Sets the clock to what the registers say.  Values that are no date make some other date. */
static void regs_to_time(struct rtc *s)
{
	const uint8_t *r = s->state.cmos;
	int64_t year = decode(s, r[CENTURY]) * 100 + decode(s, r[YEAR]), days;
	unsigned month = decode(s, r[MONTH]), day = decode(s, r[DAY]);

	year = year ? year : 1;
	month = month < 1 ? 1 : month > 12 ? 12 : month;
	days = days_before(year) + (day ? day - 1 : 0);
	for (unsigned m = 0; m < month - 1; m++)
		days += month_days[m] + (m == 1 ? leap(year) : 0);
	s->state.seen_s = (days - EPOCH_DAYS) * S_PER_DAY + decode_hour(s, r[HOURS]) * 3600 +
			  decode(s, r[MINUTES]) * 60 + decode(s, r[SECONDS]);
	s->state.offset_s = s->state.seen_s - (int64_t)(divider_ns(s) / NS_PER_S);
}

/* What an alarm byte asks for: a value, or -1 for any, or -2 for none that the clock ever shows. */
static int alarm_field(const struct rtc *s, unsigned reg)
{
	uint8_t b = s->state.cmos[reg];
	unsigned v;

	if ((b & DONT_CARE) == DONT_CARE)
		return -1;
	if (reg == HOURS_ALARM) {
		v = decode_hour(s, b);
		return v < 24 && encode_hour(s, v) == b ? (int)v : -2;
	}
	v = decode(s, b);
	return v < 60 && encode(s, v) == b ? (int)v : -2;
}

/* The first time after that at which the alarm goes off, or INT64_MAX. */
static int64_t next_alarm(const struct rtc *s, int64_t after)
{
	int sec = alarm_field(s, SECONDS_ALARM), min = alarm_field(s, MINUTES_ALARM);
	int hour = alarm_field(s, HOURS_ALARM);
	int64_t t = after + 1, base = t + (int64_t)EPOCH_DAYS * S_PER_DAY;
	int from = (int)(base % S_PER_DAY), at = from;

	if (sec == -2 || min == -2 || hour == -2)
		return INT64_MAX;
	/* At most 24 + 60 + 60 steps. */
	while (at < from + S_PER_DAY) {
		if (hour >= 0 && at / 3600 % 24 != hour)
			at = (at / 3600 + 1) * 3600;
		else if (min >= 0 && at / 60 % 60 != min)
			at = (at / 60 + 1) * 60;
		else if (sec >= 0 && at % 60 != sec)
			at++;
		else
			break;
	}
	return t + (at - from);
}

static bool set_irqf(struct rtc *s)
{
	uint8_t *r = s->state.cmos;
	bool irq = r[REG_C] & r[REG_B] & FLAGS;

	r[REG_C] = (r[REG_C] & FLAGS) | (irq ? C_IRQF : 0);
	return irq;
}

/* The interrupt line, and the host's timer for the next flag that will raise it. */
static void outputs(struct rtc *s)
{
	uint8_t b = s->state.cmos[REG_B];
	uint64_t now = divider_ns(s), next = UINT64_MAX;
	bool irq = set_irqf(s);
	uint32_t p = period(s);
	int64_t next_s = INT64_MAX;

	dev_irq(&s->env, 0, irq);
	if (!irq && !stopped(s)) {
		if (b & B_AIE)
			next_s = next_alarm(s, s->state.seen_s);
		if (b & B_UIE)
			next_s = s->state.seen_s + 1;
	}
	if (next_s != INT64_MAX)
		next = (uint64_t)(next_s - s->state.offset_s) * NS_PER_S;
	if (!irq && (b & B_PIE) && p) {
		uint64_t at = ns_of_tick((s->state.seen_tick / p + 1) * p);

		next = at < next ? at : next;
	}
	if (next != UINT64_MAX)
		next = dev_now_ns(&s->env) + (next > now ? next - now : 0);
	dev_arm(&s->env, 0, next);
}

/* Brings the flags up to now. */
static void sync(struct rtc *s)
{
	uint64_t now = divider_ns(s), tick = tick_of(now);
	int64_t sec = (int64_t)(now / NS_PER_S) + s->state.offset_s;
	uint32_t p = period(s);

	if (p && tick / p != s->state.seen_tick / p)
		s->state.cmos[REG_C] |= C_PF;
	s->state.seen_tick = tick;
	if (!stopped(s) && sec != s->state.seen_s) {
		s->state.cmos[REG_C] |= C_UF;
		if (next_alarm(s, s->state.seen_s) <= sec)
			s->state.cmos[REG_C] |= C_AF;
		s->state.seen_s = sec;
	}
	set_irqf(s);
}

/* A write of register A or B, which may stop the clock or set it going. */
static void write_control(struct rtc *s, unsigned reg, uint8_t v)
{
	bool was_stopped = stopped(s), was_reset = divider_reset(s);

	if (!was_stopped)
		time_to_regs(s);
	if (reg == REG_A)
		v &= (uint8_t)~A_UIP;
	else if (v & B_SET)
		v &= (uint8_t)~B_UIE;
	s->state.cmos[reg] = v;
	if (was_reset && !divider_reset(s)) {
		/* The first update comes half a second after the divider is let go. */
		uint32_t sub = (uint32_t)(dev_wall_ns(&s->env) % NS_PER_S);

		s->state.phase_ns = (NS_PER_S + NS_PER_S / 2 - sub) % NS_PER_S;
		s->state.seen_tick = tick_of(divider_ns(s));
	}
	if (was_stopped && !stopped(s))
		regs_to_time(s);
}

static bool is_time(unsigned reg)
{
	return reg == SECONDS || reg == MINUTES || reg == HOURS ||
	       (reg >= WEEKDAY && reg <= YEAR) || reg == CENTURY;
}

static void write_reg(struct rtc *s, unsigned reg, uint8_t v)
{
	if (reg == REG_A || reg == REG_B) {
		write_control(s, reg, v);
	} else if (reg == REG_C || reg == REG_D) {
		return;
	} else if (is_time(reg) && !stopped(s)) {
		time_to_regs(s);
		s->state.cmos[reg] = v;
		regs_to_time(s);
	} else {
		s->state.cmos[reg] = v;
	}
}

static uint8_t read_reg(struct rtc *s, unsigned reg)
{
	uint8_t v;

	if (is_time(reg) && !stopped(s))
		time_to_regs(s);
	v = s->state.cmos[reg];
	if (reg == REG_A && !stopped(s) && divider_ns(s) % NS_PER_S >= NS_PER_S - UIP_NS)
		v |= A_UIP;
	if (reg == REG_C)
		s->state.cmos[REG_C] = 0;
	return v;
}

static enum dev_rc rtc_access(void *d, struct dev_access *a)
{
	struct rtc *s = d;

	if (a->offset == 0) {
		/* Write-only.  Bit 7 masks NMIs, of which there are none. */
		if (!a->write)
			return DEV_NO_REG;
		s->state.index = (uint8_t)a->data & 0x7f;
		return DEV_OK;
	}
	sync(s);
	if (a->write)
		write_reg(s, s->state.index, (uint8_t)a->data);
	else
		a->data = read_reg(s, s->state.index);
	outputs(s);
	return DEV_OK;
}

static void rtc_timer(void *d, unsigned id)
{
	sync(d);
	outputs(d);
}

static void rtc_reset(void *d)
{
	struct rtc *s = d;

	sync(s);
	s->state.cmos[REG_B] &= (uint8_t) ~(B_PIE | B_AIE | B_UIE | B_SQW);
	s->state.cmos[REG_C] = 0;
	outputs(s);
}

static void start(struct rtc *s)
{
	uint8_t *r = s->state.cmos;

	r[REG_A] = 0x26; /* 32,768 Hz, 1,024 interrupts a second */
	r[REG_B] = B_24H;
	r[REG_C] = 0;
	r[REG_D] = D_VRT;
	s->state.index = 0;
	s->state.phase_ns = 0;
	s->state.offset_s = 0;
	s->state.seen_tick = tick_of(divider_ns(s));
	s->state.seen_s = (int64_t)(divider_ns(s) / NS_PER_S);
	time_to_regs(s);
	outputs(s);
}

static void put16(uint8_t *r, uint64_t v)
{
	v = v > 0xffff ? 0xffff : v;
	r[0] = (uint8_t)v;
	r[1] = (uint8_t)(v >> 8);
}

/* The places are those of PC/AT BIOSes, and from 34h on those that SeaBIOS reads on QEMU. */
static int rtc_init(void *d, const struct dev_env *env, const void *cfg)
{
	const struct rtc_cfg *c = cfg;
	struct rtc *s = d;
	uint8_t *r = s->state.cmos;
	uint64_t ext = c->ram_low > 1 << 20 ? c->ram_low - (1 << 20) : 0;
	unsigned sum = 0;

	if (c->n_vcpus == 0)
		return -1;
	s->env = *env;
	r[0x14] = c->equipment;
	put16(r + 0x15, c->ram_low < 640 << 10 ? c->ram_low >> 10 : 640); /* KiB */
	put16(r + 0x17, ext >> 10);
	for (unsigned i = 0x10; i < 0x2e; i++)
		sum += r[i];
	r[0x2e] = (uint8_t)(sum >> 8);
	r[0x2f] = (uint8_t)sum;
	put16(r + 0x30, ext >> 10);
	put16(r + 0x34, c->ram_low > 16 << 20 ? (c->ram_low - (16 << 20)) >> 16 : 0);
	r[0x38] = (uint8_t)(c->boot[2] << 4);
	r[0x3d] = (uint8_t)(c->boot[0] | c->boot[1] << 4);
	r[0x5b] = (uint8_t)(c->ram_high >> 16);
	r[0x5c] = (uint8_t)(c->ram_high >> 24);
	r[0x5d] = (uint8_t)(c->ram_high >> 32);
	r[0x5f] = (uint8_t)(c->n_vcpus - 1);
	start(s);
	return 0;
}

static bool rtc_sane(const void *d)
{
	const struct rtc *s = d;
	const uint8_t *r = s->state.cmos;
	int64_t off = s->state.offset_s, seen = s->state.seen_s;

	if (off > MAX_OFFSET_S || off < -MAX_OFFSET_S || seen > MAX_OFFSET_S ||
	    seen < -(int64_t)EPOCH_DAYS * S_PER_DAY)
		return false;
	return seen - off >= 0 && seen - off <= MAX_WALL_S && s->state.phase_ns < NS_PER_S &&
	       s->state.seen_tick <= MAX_WALL_S * TICKS && s->state.index < 128 &&
	       !(r[REG_A] & A_UIP) && !(r[REG_B] & B_SET && r[REG_B] & B_UIE) &&
	       r[REG_D] == D_VRT && !(r[REG_C] & ~(C_IRQF | FLAGS)) &&
	       !(r[REG_C] & C_IRQF) == !(r[REG_C] & r[REG_B] & FLAGS);
}

static int rtc_loaded(void *d)
{
	struct rtc *s = d;

	if (!rtc_sane(s)) {
		start(s);
		return -1;
	}
	outputs(s);
	return 0;
}

/* The index waits for the access to the register that it names. */
static const struct dev_fast fast[] = {
	{ .kind = DEV_POSTED, .region = 0, .offset = 0, .len = 1, .own = DEV_NO_SHADOW },
};

const struct dev_class rtc_class = {
	.name = "rtc",
	.size = sizeof(struct rtc),
	.state_off = offsetof(struct rtc, state),
	.state_size = sizeof(((struct rtc *)0)->state),
	.regions = regions,
	.fast = fast,
	.n_fast = sizeof(fast) / sizeof(fast[0]),
	.n_regions = sizeof(regions) / sizeof(regions[0]),
	.n_irqs = 1,
	.n_timers = 1,
	.init = rtc_init,
	.reset = rtc_reset,
	.access = rtc_access,
	.timer = rtc_timer,
	.loaded = rtc_loaded,
	.sane = rtc_sane,
};
