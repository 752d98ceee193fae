/* SPDX-License-Identifier: BSD-2-Clause */
#include "models/testdev/testdev.h"

#include <string.h>

#define PAGE 4096u

struct testdev {
	struct dev_env env;
	/* The context is aligned to pages, where one of it is shown to the guest. */
	uint8_t pad[PAGE - sizeof(struct dev_env)];
	struct {
		uint8_t page[PAGE];
		uint32_t scratch, sum, count;
		uint16_t stream;
		uint8_t rings, irq;
	} state;
};
_Static_assert(offsetof(struct testdev, state.page) == PAGE, "the page");

enum { R_PIO, R_MMIO, R_PAGE };

#define SIZES (DEV_SIZE_1 | DEV_SIZE_2 | DEV_SIZE_4)

static const struct dev_region regions[] = {
	[R_PIO] = { "test", DEV_PIO, TESTDEV_PORT, 32, SIZES },
	[R_MMIO] = { "test-mmio", DEV_MMIO, TESTDEV_MMIO, PAGE, DEV_SIZE_4 },
	[R_PAGE] = { "test-page", DEV_MMIO, TESTDEV_MMIO + PAGE, PAGE, SIZES | DEV_SIZE_8 },
};

enum { S_MIRROR, S_SUM };

static const struct dev_fast fast[] = {
	[S_MIRROR] = { .kind = DEV_SHADOW, .region = R_PIO, .offset = TESTDEV_R_MIRROR, .len = 4 },
	[S_SUM] = { .kind = DEV_SHADOW, .region = R_PIO, .offset = TESTDEV_R_SUM, .len = 4 },
	{ .kind = DEV_POSTED,
	  .region = R_PIO,
	  .offset = TESTDEV_R_POSTED,
	  .len = 4,
	  .dirties = 1u << S_SUM,
	  .own = DEV_NO_SHADOW },
	{ .kind = DEV_POSTED,
	  .region = R_MMIO,
	  .offset = TESTDEV_R_POSTED,
	  .len = 4,
	  .dirties = 1u << S_SUM,
	  .own = DEV_NO_SHADOW },
	{ .kind = DEV_DOORBELL,
	  .region = R_PIO,
	  .offset = TESTDEV_R_BELL,
	  .len = 1,
	  .value = TESTDEV_RING },
	{ .kind = DEV_READTHROUGH, .region = R_PAGE, .offset = 0, .len = PAGE, .value = PAGE },
};

static void outputs(struct testdev *s)
{
	dev_shadow(&s->env, S_MIRROR, s->state.scratch, true);
	dev_shadow(&s->env, S_SUM, s->state.sum, true);
	dev_irq(&s->env, 0, s->state.irq & 1);
}

static void write_reg(struct testdev *s, uint32_t reg, unsigned size, uint32_t v)
{
	switch (reg << 3 | size) {
	case TESTDEV_R_SCRATCH << 3 | 4: s->state.scratch = v; break;
	case TESTDEV_R_STREAM << 3 | 2: s->state.stream = (uint16_t)v; break;
	case TESTDEV_R_POSTED << 3 | 4:
		s->state.sum = s->state.sum * 31 + v;
		s->state.count++;
		break;
	case TESTDEV_R_SUM << 3 | 4: s->state.sum = v; break;
	case TESTDEV_R_COUNT << 3 | 4: s->state.count = v; break;
	case TESTDEV_R_BELL << 3 | 1: s->state.rings += v == TESTDEV_RING; break;
	case TESTDEV_R_IRQ << 3 | 1: s->state.irq = v & 1; break;
	}
}

static uint32_t read_reg(struct testdev *s, uint32_t reg, unsigned size)
{
	switch (reg << 3 | size) {
	case TESTDEV_R_ID << 3 | 4: return TESTDEV_ID;
	case TESTDEV_R_SCRATCH << 3 | 4:
	case TESTDEV_R_MIRROR << 3 | 4: return s->state.scratch;
	case TESTDEV_R_STREAM << 3 | 2: return s->state.stream++;
	case TESTDEV_R_SUM << 3 | 4: return s->state.sum;
	case TESTDEV_R_COUNT << 3 | 4: return s->state.count;
	case TESTDEV_R_RINGS << 3 | 1: return s->state.rings;
	case TESTDEV_R_IRQ << 3 | 1: return s->state.irq;
	}
	return UINT32_MAX;
}

static enum dev_rc testdev_access(void *d, struct dev_access *a)
{
	struct testdev *s = d;

	if (a->region == R_PAGE) {
		if (a->write)
			memcpy(s->state.page + a->offset, &a->data, a->size);
		else
			memcpy(&a->data, s->state.page + a->offset, a->size);
		return DEV_OK;
	}
	if (a->write)
		write_reg(s, a->offset, a->size, (uint32_t)a->data);
	else
		a->data = read_reg(s, a->offset, a->size);
	outputs(s);
	return DEV_OK;
}

static enum dev_rc testdev_burst(void *d, struct dev_access *a, void *buf, uint32_t count)
{
	struct testdev *s = d;
	uint8_t *p = buf;

	for (uint32_t i = 0; i < count; i++, p += a->size) {
		uint32_t v = 0;

		if (a->write) {
			memcpy(&v, p, a->size);
			write_reg(s, a->offset, a->size, v);
		} else {
			v = read_reg(s, a->offset, a->size);
			memcpy(p, &v, a->size);
		}
	}
	outputs(s);
	return DEV_OK;
}

static void testdev_reset(void *d)
{
	struct testdev *s = d;

	memset(&s->state, 0, sizeof(s->state));
	outputs(s);
}

static int testdev_init(void *d, const struct dev_env *env, const void *cfg)
{
	struct testdev *s = d;

	(void)cfg;
	s->env = *env;
	testdev_reset(s);
	return 0;
}

static bool testdev_sane(const void *d)
{
	return ((const struct testdev *)d)->state.irq <= 1;
}

static int testdev_loaded(void *d)
{
	if (!testdev_sane(d)) {
		testdev_reset(d);
		return -1;
	}
	outputs(d);
	return 0;
}

const struct dev_class testdev_class = {
	.name = "testdev",
	.size = sizeof(struct testdev),
	.state_off = offsetof(struct testdev, state),
	.state_size = sizeof(((struct testdev *)0)->state),
	.regions = regions,
	.n_regions = sizeof(regions) / sizeof(regions[0]),
	.n_irqs = 1,
	.fast = fast,
	.n_fast = sizeof(fast) / sizeof(fast[0]),
	.init = testdev_init,
	.reset = testdev_reset,
	.access = testdev_access,
	.burst = testdev_burst,
	.loaded = testdev_loaded,
	.sane = testdev_sane,
};
