/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * post.c - port 80h: a register that reads as written.  It is a spare DMA page register of the 82371SB
 * (section 2.5.1), where BIOSes leave their progress, and where Linux writes to pass a microsecond.
 */
#include "models/post/post.h"

struct post {
	struct {
		uint8_t code;
	} state;
};

static const struct dev_region regions[] = {
	{ "post", DEV_PIO, 0x80, 1, DEV_SIZE_1 },
};

static enum dev_rc post_access(void *d, struct dev_access *a)
{
	struct post *s = d;

	if (a->write)
		s->state.code = (uint8_t)a->data;
	else
		a->data = s->state.code;
	return DEV_OK;
}

static void post_reset(void *d)
{
	struct post *s = d;

	s->state.code = 0;
}

static int post_init(void *d, const struct dev_env *env, const void *cfg)
{
	post_reset(d);
	return 0;
}

static const struct dev_fast fast[] = {
	{ .kind = DEV_POSTED, .region = 0, .offset = 0, .len = 1, .own = DEV_NO_SHADOW },
};

const struct dev_class post_class = {
	.name = "post",
	.size = sizeof(struct post),
	.state_off = offsetof(struct post, state),
	.state_size = sizeof(((struct post *)0)->state),
	.regions = regions,
	.fast = fast,
	.n_fast = sizeof(fast) / sizeof(fast[0]),
	.n_regions = sizeof(regions) / sizeof(regions[0]),
	.init = post_init,
	.reset = post_reset,
	.access = post_access,
};
