/* SPDX-License-Identifier: BSD-2-Clause */
#include "models/dev.h"

#include <string.h>

struct dev_save_header {
	char name[16];
	uint64_t size;
};

static void header_of(struct dev_save_header *h, const struct dev_class *c)
{
	memset(h, 0, sizeof(*h));
	for (size_t i = 0; i < sizeof(h->name) - 1 && c->name[i]; i++)
		h->name[i] = c->name[i];
	h->size = c->state_size;
}

size_t dev_save(const struct dev_class *c, void *d, void *buf, size_t cap)
{
	struct dev_save_header h;
	size_t len = sizeof(h) + c->state_size;

	if (cap < len)
		return 0;
	if (c->sync)
		c->sync(d);
	header_of(&h, c);
	memcpy(buf, &h, sizeof(h));
	memcpy((char *)buf + sizeof(h), (const char *)d + c->state_off, c->state_size);
	return len;
}

int dev_load(const struct dev_class *c, void *d, const void *buf, size_t len)
{
	struct dev_save_header h;

	header_of(&h, c);
	if (len != sizeof(h) + c->state_size || memcmp(buf, &h, sizeof(h)) != 0)
		return -1;
	memcpy((char *)d + c->state_off, (const char *)buf + sizeof(h), c->state_size);
	return c->loaded ? c->loaded(d) : 0;
}
