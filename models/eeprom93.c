/* SPDX-License-Identifier: BSD-2-Clause */
#include "models/eeprom93.h"

enum phase { EE_START, EE_COMMAND, EE_READ, EE_WRITE, EE_DONE, EE_PHASES };
enum op { OP_EXT, OP_WRITE, OP_READ, OP_ERASE };

/* The first two address bits of the extended commands. */
enum ext { EXT_EWDS, EXT_WRAL, EXT_ERAL, EXT_EWEN };

void ee93_reset(struct ee93 *e)
{
	e->shift = 0;
	e->phase = e->n = e->op = e->addr = e->sk = e->wen = 0;
	e->out = 1;
}

static void store(struct ee93 *e, bool all, uint16_t v)
{
	for (unsigned i = 0; e->wen && i < EE93_WORDS; i++)
		if (all || i == e->addr)
			e->word[i] = v;
	e->phase = EE_DONE;
	e->n = 0;
}

static void command(struct ee93 *e)
{
	unsigned ext;

	e->op = (uint8_t)(e->shift >> 6 & 3);
	e->addr = e->shift & (EE93_WORDS - 1);
	ext = e->addr >> 4;
	e->n = 0;
	switch (e->op) {
	case OP_READ:
		e->phase = EE_READ;
		e->shift = e->word[e->addr];
		e->out = 0; /* a 0 goes before the data */
		return;
	case OP_WRITE: e->phase = EE_WRITE; return;
	case OP_ERASE: store(e, false, 0xffff); return;
	}
	e->phase = EE_DONE;
	if (ext == EXT_EWEN || ext == EXT_EWDS)
		e->wen = ext == EXT_EWEN;
	else if (ext == EXT_ERAL)
		store(e, true, 0xffff);
	else
		e->phase = EE_WRITE;
}

static void clock(struct ee93 *e, bool di)
{
	switch (e->phase) {
	case EE_START:
		if (!di)
			return;
		e->phase = EE_COMMAND;
		e->n = 0;
		e->shift = 0;
		return;
	case EE_COMMAND:
		e->shift = (uint16_t)(e->shift << 1 | di);
		if (++e->n == 8)
			command(e);
		return;
	case EE_READ:
		e->out = e->shift >> 15;
		e->shift = (uint16_t)(e->shift << 1);
		if (++e->n == 16) { /* goes on with the next word */
			e->n = 0;
			e->addr = (e->addr + 1) & (EE93_WORDS - 1);
			e->shift = e->word[e->addr];
		}
		return;
	case EE_WRITE:
		e->shift = (uint16_t)(e->shift << 1 | di);
		if (++e->n == 16)
			store(e, e->op == OP_EXT, e->shift);
		return;
	}
}

void ee93_pins(struct ee93 *e, bool cs, bool sk, bool di)
{
	if (!cs) {
		e->phase = EE_START;
		e->out = 1; /* ready, and so pulled up */
	} else if (sk && !e->sk) {
		clock(e, di);
	}
	e->sk = sk;
}

bool ee93_sane(const struct ee93 *e)
{
	return e->phase < EE_PHASES && e->n < 16 && e->op < 4 && e->addr < EE93_WORDS &&
	       e->sk <= 1 && e->out <= 1 && e->wen <= 1;
}
