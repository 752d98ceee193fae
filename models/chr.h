/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * chr.h - a byte stream as device models see it (a UART's line, a debug console).
 */
#ifndef MODELS_CHR_H
#define MODELS_CHR_H

#include <stddef.h>
#include <stdint.h>

struct chr {
	/* Takes up to n bytes to send; how many it took (less than n: full for now). */
	size_t (*write)(struct chr *, const uint8_t *buf, size_t n);
	/* Gives up to n received bytes; how many (0: none there). */
	size_t (*read)(struct chr *, uint8_t *buf, size_t n);
	/* How many bytes write() takes for sure; NULL: not known. */
	size_t (*room)(struct chr *);
	/* Set by the model: called from the host's loop when bytes came in or there is room again. */
	void (*ready)(void *owner);
	void *owner;
};

static inline size_t chr_write(struct chr *c, const uint8_t *buf, size_t n)
{
	return c->write(c, buf, n);
}

static inline size_t chr_read(struct chr *c, uint8_t *buf, size_t n)
{
	return c->read(c, buf, n);
}

#endif
