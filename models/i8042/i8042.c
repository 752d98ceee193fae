/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * i8042.c - the PC's keyboard controller (IBM PS/2 Hardware Interface Technical Reference, Keyboard
 * and Auxiliary Device Controller, October 1990) with its two devices (in the same book: Keyboards,
 * type 2, and the Mouse).
 *
 * The devices answer commands, at once, and never send of their own.  Without a mouse the controller
 * is one of the AT's kind, as far as drivers look: Linux tries the loopback of the auxiliary port
 * (D3h), wants its byte marked as the port's, and asks the port's test (A9h) otherwise; it waits half a
 * second for each answer that does not come, so there are answers, which say that there is no port.
 */
#include "models/i8042/i8042.h"

#include <string.h>

/* Status register. */
#define STR_OBF    0x01u
#define STR_SYS    0x04u
#define STR_CMD    0x08u
#define STR_UNLOCK 0x10u
#define STR_AUX    0x20u

/* Command byte, at 0 of the controller's memory. */
#define CTR_KBDINT 0x01u
#define CTR_AUXINT 0x02u
#define CTR_SYS    0x04u
#define CTR_KBDDIS 0x10u
#define CTR_AUXDIS 0x20u
#define CTR_XLATE  0x40u

/* Output port. */
#define OUT_NO_RESET 0x01u
#define OUT_A20      0x02u
#define OUT_KBD_OBF  0x10u
#define OUT_AUX_OBF  0x20u

#define ACK    0xfau
#define RESEND 0xfeu
#define BAT_OK 0xaau

/* What is in the output buffer.  A byte of the controller's own gives way to the next such byte, a
 * device's byte does not. */
enum out { OUT_NONE, OUT_CTL, OUT_CTL_AUX, OUT_KBD, OUT_AUX };

#define QUEUE 15u

struct queue {
	uint8_t n, data[QUEUE];
};

struct i8042 {
	struct dev_env env;
	bool mouse;
	struct {
		uint8_t out, out_is; /* output buffer, enum out */
		uint8_t answer,
			answer_is; /* the controller's byte that waits for a device's to be read */
		uint8_t command;   /* that waits for its data byte, or 0 */
		uint8_t last_was_command;
		uint8_t out_port;
		uint8_t ram[32];
		uint8_t kbd_command, scan_set,
			kbd_last; /* waits for its parameter; 1-3; last byte sent */
		uint8_t aux_command, aux_last;
		uint8_t aux_flags, aux_resolution, aux_rate; /* the mouse's status bytes */
		struct queue kbd, aux;
	} state;
};

enum { R_DATA, R_COMMAND };

static const struct dev_region regions[] = {
	[R_DATA] = { "data", DEV_PIO, 0x60, 1, DEV_SIZE_1 },
	[R_COMMAND] = { "command", DEV_PIO, 0x64, 1, DEV_SIZE_1 },
};

static bool is_aux(uint8_t out)
{
	return out == OUT_CTL_AUX || out == OUT_AUX;
}

static void lines(struct i8042 *s)
{
	bool full = s->state.out_is != OUT_NONE, aux = is_aux(s->state.out_is);

	dev_irq(&s->env, 0, full && !aux && (s->state.ram[0] & CTR_KBDINT));
	dev_irq(&s->env, 1, full && aux && (s->state.ram[0] & CTR_AUXINT));
}

/* Scan set 2 to set 1, of what this keyboard can send; the table for keys comes with keys.  Commands'
 * answers that look like key codes are translated too: drivers know. */
static uint8_t translate(uint8_t b)
{
	switch (b) {
	case 0x01: return 0x43;
	case 0x02: return 0x41;
	case 0x03: return 0x3f;
	case 0x83: return 0x41;
	default: return b;
	}
}

static uint8_t take(struct queue *q)
{
	uint8_t b = q->data[0];

	q->n--;
	memmove(q->data, q->data + 1, q->n);
	return b;
}

static void put(struct queue *q, uint8_t b)
{
	if (q->n < QUEUE)
		q->data[q->n++] = b;
}

/* Moves the next byte, if there is one, to an empty output buffer. */
static void fill(struct i8042 *s)
{
	uint8_t ctr = s->state.ram[0];

	if (s->state.out_is == OUT_NONE) {
		if (s->state.answer_is != OUT_NONE) {
			s->state.out = s->state.answer;
			s->state.out_is = s->state.answer_is;
			s->state.answer_is = OUT_NONE;
		} else if (s->state.kbd.n > 0 && !(ctr & CTR_KBDDIS)) {
			s->state.kbd_last = take(&s->state.kbd);
			s->state.out = ctr & CTR_XLATE ? translate(s->state.kbd_last) :
							 s->state.kbd_last;
			s->state.out_is = OUT_KBD;
		} else if (s->state.aux.n > 0 && !(ctr & CTR_AUXDIS)) {
			s->state.out = s->state.aux_last = take(&s->state.aux);
			s->state.out_is = OUT_AUX;
		}
	}
	lines(s);
}

static void answer(struct i8042 *s, uint8_t b, enum out is)
{
	if (s->state.out_is == OUT_CTL || s->state.out_is == OUT_CTL_AUX)
		s->state.out_is = OUT_NONE;
	s->state.answer = b;
	s->state.answer_is = is;
}

static void kbd_write(struct i8042 *s, uint8_t b)
{
	struct queue *q = &s->state.kbd;
	uint8_t command = s->state.kbd_command;

	/* A command in place of a parameter ends the one that waits. */
	if (command && b < 0xed) {
		if (command == 0xf0 && b > 3) {
			put(q, RESEND);
			return;
		}
		put(q, ACK);
		if (command == 0xf0 && b == 0)
			put(q, s->state.scan_set);
		else if (command == 0xf0)
			s->state.scan_set = b;
		/* Keys of set 3 come as a list of any length. */
		if (command < 0xfb)
			s->state.kbd_command = 0;
		return;
	}
	s->state.kbd_command = 0;
	switch (b) {
	case 0xed: /* LEDs */
	case 0xf0: /* scan set */
	case 0xf3: /* typematic rate and delay */
	case 0xfb: /* keys of set 3: typematic; make and break; make */
	case 0xfc:
	case 0xfd:
		s->state.kbd_command = b;
		put(q, ACK);
		break;
	case 0xee: put(q, 0xee); break; /* echo */
	case 0xf2:                      /* identify */
		put(q, ACK);
		put(q, 0xab);
		put(q, 0x83);
		break;
	case 0xf4: /* enable; default and disable; default */
	case 0xf5:
	case 0xf6:
		q->n = 0;
		if (b != 0xf4)
			s->state.scan_set = 2;
		put(q, ACK);
		break;
	case 0xf7: /* all keys of set 3 */
	case 0xf8:
	case 0xf9:
	case 0xfa: put(q, ACK); break;
	case 0xfe: put(q, s->state.kbd_last); break;
	case 0xff:
		q->n = 0;
		s->state.scan_set = 2;
		put(q, ACK);
		put(q, BAT_OK);
		break;
	default: put(q, RESEND);
	}
}

#define AUX_SCALING 0x10u
#define AUX_ENABLED 0x20u
#define AUX_REMOTE  0x40u

static void aux_defaults(struct i8042 *s)
{
	s->state.aux_flags = 0;
	s->state.aux_resolution = 2;
	s->state.aux_rate = 100;
}

static void aux_write(struct i8042 *s, uint8_t b)
{
	struct queue *q = &s->state.aux;
	uint8_t command = s->state.aux_command;

	q->n = 0;
	s->state.aux_command = 0;
	if (b == RESEND) {
		put(q, s->state.aux_last);
		return;
	}
	put(q, ACK);
	if (command) {
		*(command == 0xe8 ? &s->state.aux_resolution : &s->state.aux_rate) = b;
		return;
	}
	switch (b) {
	case 0xe6: s->state.aux_flags &= (uint8_t)~AUX_SCALING; break;
	case 0xe7: s->state.aux_flags |= AUX_SCALING; break;
	case 0xe8: /* resolution */
	case 0xf3: /* sampling rate */ s->state.aux_command = b; break;
	case 0xe9: /* status */
		put(q, s->state.aux_flags);
		put(q, s->state.aux_resolution);
		put(q, s->state.aux_rate);
		break;
	case 0xea: s->state.aux_flags &= (uint8_t)~AUX_REMOTE; break;
	case 0xeb: /* a packet: no buttons, no movement */
		put(q, 0x08);
		put(q, 0);
		put(q, 0);
		break;
	case 0xf0: s->state.aux_flags |= AUX_REMOTE; break;
	case 0xf2: put(q, 0); break;
	case 0xf4: s->state.aux_flags |= AUX_ENABLED; break;
	case 0xf5: s->state.aux_flags &= (uint8_t)~AUX_ENABLED; break;
	case 0xf6: aux_defaults(s); break;
	case 0xff:
		aux_defaults(s);
		put(q, BAT_OK);
		put(q, 0);
		break;
	default: q->data[0] = RESEND;
	}
}

static void out_port(struct i8042 *s, uint8_t v)
{
	/* A20 is always on, whatever stands here. */
	s->state.out_port = v & (uint8_t) ~(OUT_KBD_OBF | OUT_AUX_OBF);
	if (!(v & OUT_NO_RESET)) {
		s->state.out_port |= OUT_NO_RESET;
		s->env.svc->reset(s->env.host);
	}
}

static void write_command(struct i8042 *s, uint8_t c)
{
	s->state.last_was_command = 1;
	s->state.command = 0;
	if (c >= 0x20 && c < 0x40) {
		answer(s, s->state.ram[c & 31], OUT_CTL);
		return;
	}
	if ((c >= 0x60 && c < 0x80) || (c >= 0xd1 && c <= 0xd4)) {
		s->state.command = c;
		return;
	}
	/* Pulse the lines of the output port whose bits are 0; all but the reset line are others'. */
	if (c >= 0xf0) {
		if (!(c & OUT_NO_RESET))
			s->env.svc->reset(s->env.host);
		return;
	}
	switch (c) {
	case 0xa4: answer(s, 0xf1, OUT_CTL); break; /* no password */
	case 0xa7:
		if (s->mouse)
			s->state.ram[0] |= CTR_AUXDIS;
		break;
	case 0xa8:
		if (s->mouse)
			s->state.ram[0] &= (uint8_t)~CTR_AUXDIS;
		break;
	case 0xa9: answer(s, s->mouse ? 0x00 : 0x01, OUT_CTL); break; /* 1: clock line stuck */
	case 0xaa:
		s->state.ram[0] |= CTR_SYS;
		answer(s, 0x55, OUT_CTL);
		break;
	case 0xab: answer(s, 0x00, OUT_CTL); break;
	case 0xad: s->state.ram[0] |= CTR_KBDDIS; break;
	case 0xae: s->state.ram[0] &= (uint8_t)~CTR_KBDDIS; break;
	case 0xc0: answer(s, 0x80, OUT_CTL); break; /* input port: not locked */
	case 0xd0:
		answer(s,
		       s->state.out_port | (s->state.out_is == OUT_NONE ? 0 :
					    is_aux(s->state.out_is)     ? OUT_AUX_OBF :
									  OUT_KBD_OBF),
		       OUT_CTL);
		break;
	case 0xdd: s->state.out_port &= (uint8_t)~OUT_A20; break;
	case 0xdf: s->state.out_port |= OUT_A20; break;
	case 0xe0: answer(s, 0x00, OUT_CTL); break; /* test inputs */
	}
}

static void write_data(struct i8042 *s, uint8_t b)
{
	uint8_t c = s->state.command;

	s->state.last_was_command = 0;
	s->state.command = 0;
	switch (c) {
	case 0:
		/* Sending to a device enables it. */
		s->state.ram[0] &= (uint8_t)~CTR_KBDDIS;
		kbd_write(s, b);
		break;
	case 0xd1: out_port(s, b); break;
	case 0xd2: answer(s, b, OUT_CTL); break;
	case 0xd3: answer(s, b, s->mouse ? OUT_CTL_AUX : OUT_CTL); break;
	case 0xd4:
		if (s->mouse) {
			s->state.ram[0] &= (uint8_t)~CTR_AUXDIS;
			aux_write(s, b);
		} else {
			/* As with nothing plugged in: SeaBIOS need not wait for its time-out. */
			answer(s, RESEND, OUT_CTL_AUX);
		}
		break;
	default: s->state.ram[c & 31] = b;
	}
}

static uint8_t status(const struct i8042 *s)
{
	uint8_t v = STR_UNLOCK;

	if (s->state.out_is != OUT_NONE)
		v |= STR_OBF | (is_aux(s->state.out_is) ? STR_AUX : 0);
	if (s->state.ram[0] & CTR_SYS)
		v |= STR_SYS;
	if (s->state.last_was_command)
		v |= STR_CMD;
	return v;
}

static enum dev_rc i8042_access(void *d, struct dev_access *a)
{
	struct i8042 *s = d;

	if (!a->write) {
		if (a->region == R_COMMAND) {
			a->data = status(s);
			return DEV_OK;
		}
		/* An empty buffer gives its last byte again. */
		a->data = s->state.out;
		s->state.out_is = OUT_NONE;
		lines(s); /* down, before the next byte takes it up: an edge for each */
	} else if (a->region == R_COMMAND) {
		write_command(s, (uint8_t)a->data);
	} else {
		write_data(s, (uint8_t)a->data);
	}
	fill(s);
	return DEV_OK;
}

static void i8042_reset(void *d)
{
	struct i8042 *s = d;

	memset(&s->state, 0, sizeof(s->state));
	s->state.ram[0] = CTR_KBDINT | CTR_AUXINT;
	s->state.out_port = (uint8_t) ~(OUT_KBD_OBF | OUT_AUX_OBF);
	s->state.scan_set = 2;
	aux_defaults(s);
	lines(s);
}

static int i8042_init(void *d, const struct dev_env *env, const void *cfg)
{
	const struct i8042_cfg *c = cfg;
	struct i8042 *s = d;

	s->env = *env;
	s->mouse = c && c->mouse;
	i8042_reset(s);
	return 0;
}

static bool i8042_sane(const void *d)
{
	const struct i8042 *s = d;

	return s->state.out_is <= OUT_AUX && s->state.answer_is <= OUT_CTL_AUX &&
	       s->state.last_was_command <= 1 && s->state.scan_set >= 1 && s->state.scan_set <= 3 &&
	       (s->state.out_port & (OUT_NO_RESET | OUT_KBD_OBF | OUT_AUX_OBF)) == OUT_NO_RESET &&
	       s->state.kbd.n <= QUEUE && s->state.aux.n <= QUEUE;
}

static int i8042_loaded(void *d)
{
	struct i8042 *s = d;

	if (!i8042_sane(s)) {
		i8042_reset(s);
		return -1;
	}
	lines(s);
	return 0;
}

const struct dev_class i8042_class = {
	.name = "i8042",
	.size = sizeof(struct i8042),
	.state_off = offsetof(struct i8042, state),
	.state_size = sizeof(((struct i8042 *)0)->state),
	.regions = regions,
	.n_regions = sizeof(regions) / sizeof(regions[0]),
	.n_irqs = 2,
	.init = i8042_init,
	.reset = i8042_reset,
	.access = i8042_access,
	.loaded = i8042_loaded,
	.sane = i8042_sane,
};
