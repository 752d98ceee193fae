/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * eeprom93.h - 93C46 serial EEPROM, 64 words of 16 bits, behind four pins (Atmel AT93C46, three-wire
 * interface).  Writing takes no time.
 */
#ifndef MODELS_EEPROM93_H
#define MODELS_EEPROM93_H

#include <stdbool.h>
#include <stdint.h>

#define EE93_WORDS 64u

struct ee93 { /* part of a model's saved state */
	uint16_t word[EE93_WORDS];
	uint16_t shift; /* bits as they come in, or what is still to go out, from the top */
	uint8_t phase, n, op, addr;
	uint8_t sk, out; /* the clock as last seen; the data output */
	uint8_t wen;     /* writes are enabled */
	uint8_t pad;
};

void ee93_reset(struct ee93 *e); /* power on: all but the words */
void ee93_pins(struct ee93 *e, bool cs, bool sk, bool di);
bool ee93_sane(const struct ee93 *e);

#endif
