/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * debugcon.c - a port that takes text, as Bochs and QEMU have it, at the place where SeaBIOS's builds
 * for them write.  A read gives E9h, by which a BIOS sees that it is there.  What the other end has
 * no room for is lost: there is no flow control.
 */
#include "models/debugcon/debugcon.h"

#include <string.h>

#define HERE 0xe9u

struct debugcon {
	struct chr *chr;
	struct {
		uint8_t none; /* there is no state */
	} state;
};

static const struct dev_region regions[] = {
	{ "debugcon", DEV_PIO, 0x402, 1, DEV_SIZE_1 },
};

static enum dev_rc debugcon_burst(void *d, struct dev_access *a, void *buf, uint32_t count)
{
	struct debugcon *s = d;

	if (!a->write)
		memset(buf, HERE, count);
	else if (s->chr)
		chr_write(s->chr, buf, count);
	return DEV_OK;
}

static enum dev_rc debugcon_access(void *d, struct dev_access *a)
{
	uint8_t byte = (uint8_t)a->data;

	debugcon_burst(d, a, &byte, 1);
	a->data = byte;
	return DEV_OK;
}

static void debugcon_reset(void *d)
{
}

static int debugcon_init(void *d, const struct dev_env *env, const void *cfg)
{
	const struct debugcon_cfg *c = cfg;
	struct debugcon *s = d;

	s->chr = c ? c->chr : NULL;
	return 0;
}

static const struct dev_fast fast[] = {
	{ .kind = DEV_POSTED, .region = 0, .offset = 0, .len = 1, .own = DEV_NO_SHADOW },
};

const struct dev_class debugcon_class = {
	.name = "debugcon",
	.size = sizeof(struct debugcon),
	.state_off = offsetof(struct debugcon, state),
	.state_size = sizeof(((struct debugcon *)0)->state),
	.regions = regions,
	.fast = fast,
	.n_fast = sizeof(fast) / sizeof(fast[0]),
	.n_regions = sizeof(regions) / sizeof(regions[0]),
	.init = debugcon_init,
	.reset = debugcon_reset,
	.access = debugcon_access,
	.burst = debugcon_burst,
};
