/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * port92.c - system control port A (IBM PS/2 Hardware Interface Technical Reference, System Board):
 * fast reset, and an A20 gate that reads as written while A20 is always on.
 */
#include "models/port92/port92.h"

#define FAST_RESET 0x01u
#define A20        0x02u

struct port92 {
	struct dev_env env;
	struct {
		uint8_t value;
	} state;
};

static const struct dev_region regions[] = {
	{ "port92", DEV_PIO, 0x92, 1, DEV_SIZE_1 },
};

static enum dev_rc port92_access(void *d, struct dev_access *a)
{
	struct port92 *s = d;
	uint8_t old = s->state.value;

	if (!a->write) {
		a->data = old;
		return DEV_OK;
	}
	s->state.value = (uint8_t)a->data & (FAST_RESET | A20);
	/* As it goes from 0 to 1. */
	if (s->state.value & ~old & FAST_RESET)
		s->env.svc->reset(s->env.host);
	return DEV_OK;
}

static void port92_reset(void *d)
{
	struct port92 *s = d;

	s->state.value = A20;
}

static int port92_init(void *d, const struct dev_env *env, const void *cfg)
{
	struct port92 *s = d;

	s->env = *env;
	port92_reset(s);
	return 0;
}

static bool port92_sane(const void *d)
{
	const struct port92 *s = d;

	return !(s->state.value & ~(FAST_RESET | A20));
}

static int port92_loaded(void *d)
{
	if (port92_sane(d))
		return 0;
	port92_reset(d);
	return -1;
}

const struct dev_class port92_class = {
	.name = "port92",
	.size = sizeof(struct port92),
	.state_off = offsetof(struct port92, state),
	.state_size = sizeof(((struct port92 *)0)->state),
	.regions = regions,
	.n_regions = sizeof(regions) / sizeof(regions[0]),
	.init = port92_init,
	.reset = port92_reset,
	.access = port92_access,
	.loaded = port92_loaded,
	.sane = port92_sane,
};
