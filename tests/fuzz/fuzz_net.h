/* SPDX-License-Identifier: BSD-2-Clause */
/* fuzz_net.h - the host of fuzz_net.c, and cards' steps of their own. */
#ifndef FUZZ_NET_H
#define FUZZ_NET_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "models/net.h"
#include "check.h"

#define RAM_SIZE    0x20000u
#define MAX_REGIONS 16u
#define MAX_TIMERS  8u
#define MAX_QUEUE   64u
#define MAX_STEPS   600u
#define END_OF_TIME (1ull << 61)

struct pending {
	struct net_tx *tx, was;
	struct gpa_seg seg[NET_MAX_SEGS];
};

struct dev_host {
	const uint8_t *at, *end; /* of the input */
	const struct dev_class *cls;
	void *dev;
	uint8_t *ram;
	uint64_t base[MAX_REGIONS], deadline[MAX_TIMERS], now;
	uint64_t shadow[DEV_MAX_FAST];
	bool line; /* INTA# */
	struct pending q[MAX_QUEUE];
	unsigned n, room;
	uint32_t noise, sink, tail;
};

static inline uint8_t take8(struct dev_host *h)
{
	return h->at < h->end ? *h->at++ : 0;
}

static inline uint16_t take16(struct dev_host *h)
{
	uint16_t v = take8(h);

	return (uint16_t)(v | take8(h) << 8);
}

static inline uint32_t take32(struct dev_host *h)
{
	uint32_t v = take16(h);

	return v | (uint32_t)take16(h) << 16;
}

void fuzz_timers(struct dev_host *h); /* those that are due */

typedef void (*step_fn)(struct dev_host *);

#define N_E1000_STEPS 11u
extern const step_fn e1000_steps[N_E1000_STEPS];

#endif
