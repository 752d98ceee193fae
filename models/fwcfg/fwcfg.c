/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fwcfg.c - QEMU's firmware configuration device, at its PC ports.
 *
 * Reference: QEMU, docs/specs/fw_cfg.rst ("QEMU Firmware Configuration (fw_cfg) Device"): selector
 * 510h, data 511h, DMA address 514h-51Bh (big-endian), control structure FWCfgDmaAccess.  SeaBIOS
 * and u-boot take their platform data from here, Linux shows it in /sys/firmware/qemu_fw_cfg.
 *
 * All items are read-only.  A DMA transfer is over when the write that starts it is, unless it is a long one (kernels):
 * that goes on in slices, so that nobody waits for all of it, and the control word tells when it is over.  A write that
 * starts another one ends it as an error.
 */
#include <string.h>

#include "models/fwcfg/fwcfg.h"

#define ID_TRADITIONAL 1u
#define ID_DMA         2u

#define KEY_WRITE 0x4000u /* "write channel" of old: selects the same item */

/* FWCfgDmaAccess.control; the selector is in bits 16-31. */
#define DMA_ERROR  (1u << 0)
#define DMA_READ   (1u << 1)
#define DMA_SKIP   (1u << 2)
#define DMA_SELECT (1u << 3)
#define DMA_WRITE  (1u << 4)

#define DMA_SIZE 16u /* control 4, length 4, address 8, all big-endian */

#define DIR_ENTRY 64u /* size 4, key 2, reserved 2 (big-endian), name 56 */

#define DMA_SLICE (1u << 20)

enum { R_CTL, R_DMA }; /* regions */

struct item {
	const uint8_t *data;
	uint32_t len;
	uint16_t key;
};

struct fwcfg {
	struct dev_env env;
	unsigned n;
	struct item item[FWCFG_MAX_ITEMS + 3];
	uint8_t dir[4 + FWCFG_MAX_FILES * DIR_ENTRY];
	struct state {
		uint32_t offset; /* at most the selected item's length; 0 if there is no such item */
		uint32_t dma_hi; /* upper half of the DMA address register */
		uint16_t key;    /* selector, without KEY_WRITE */
		uint8_t busy;    /* a transfer is under way: */
		uint8_t pad[5];
		uint64_t dma_cmd, dma_to;
		uint32_t dma_left, pad2;
	} state;
};

static const uint8_t signature[4] = { 'Q', 'E', 'M', 'U' };
static const uint8_t id[4] = { ID_TRADITIONAL | ID_DMA };
static const uint8_t dma_signature[8] = { 'Q', 'E', 'M', 'U', ' ', 'C', 'F', 'G' };
static const uint8_t zeros[1024];
static const struct item no_item = { .data = zeros };

static uint32_t get_be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void put_be32(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 24);
	p[1] = (uint8_t)(v >> 16);
	p[2] = (uint8_t)(v >> 8);
	p[3] = (uint8_t)v;
}

/* What is not there reads like an item of length 0. */
static const struct item *selected(const struct fwcfg *d)
{
	for (unsigned i = 0; i < d->n; i++)
		if (d->item[i].key == d->state.key)
			return &d->item[i];
	return &no_item;
}

static void select_key(struct fwcfg *d, uint16_t key)
{
	d->state.key = key & (uint16_t)~KEY_WRITE;
	d->state.offset = 0;
}

/* Takes up to len bytes of what is left of the item; *src is where they are. */
static uint32_t take(struct fwcfg *d, uint32_t len, const uint8_t **src)
{
	const struct item *it = selected(d);
	uint32_t left = it->len - d->state.offset;

	*src = it->data + d->state.offset;
	if (len > left)
		len = left;
	d->state.offset += len;
	return len;
}

static void read_data(struct fwcfg *d, uint8_t *buf, uint32_t len)
{
	const uint8_t *src;
	uint32_t n = take(d, len, &src);

	if (n)
		memcpy(buf, src, n);
	memset(buf + n, 0, len - n);
}

static bool dma_read_item(struct fwcfg *d, gpa_t to, uint32_t len)
{
	const uint8_t *src;
	uint32_t n = take(d, len, &src);

	if (n && !dev_dma_write(&d->env, to, src, n))
		return false;
	while (n < len) {
		uint32_t part = len - n < sizeof(zeros) ? len - n : (uint32_t)sizeof(zeros);

		if (!dev_dma_write(&d->env, (gpa_t){ to.raw + n }, zeros, part))
			return false;
		n += part;
	}
	return true;
}

static void dma_end(struct fwcfg *d, uint32_t error)
{
	uint8_t result[4];

	d->state.busy = 0;
	/* Nobody to tell if even this is not RAM. */
	put_be32(result, error);
	dev_dma_write(&d->env, (gpa_t){ d->state.dma_cmd }, result, sizeof(result));
}

static void dma_slice(struct fwcfg *d)
{
	struct state *s = &d->state;
	uint32_t n = s->dma_left < DMA_SLICE ? s->dma_left : DMA_SLICE;
	bool ok = dma_read_item(d, (gpa_t){ s->dma_to }, n);

	s->dma_to += n;
	s->dma_left -= n;
	if (!ok || !s->dma_left)
		dma_end(d, ok ? 0 : DMA_ERROR);
	else
		dev_arm(&d->env, 0, dev_now_ns(&d->env));
}

static void fwcfg_timer(void *dev, unsigned timer)
{
	struct fwcfg *d = dev;

	if (d->state.busy)
		dma_slice(d);
}

static void dma_run(struct fwcfg *d, gpa_t at)
{
	struct state *s = &d->state;
	uint8_t cmd[DMA_SIZE];
	uint32_t control, len, error = 0;
	const uint8_t *unused;

	if (s->busy)
		dma_end(d, DMA_ERROR);
	s->dma_cmd = at.raw;
	if (!dev_dma_read(&d->env, at, cmd, sizeof(cmd))) {
		dma_end(d, DMA_ERROR);
		return;
	}
	control = get_be32(cmd);
	len = get_be32(cmd + 4);
	s->dma_to = (uint64_t)get_be32(cmd + 8) << 32 | get_be32(cmd + 12);
	s->dma_left = len;
	if (control & DMA_SELECT)
		select_key(d, (uint16_t)(control >> 16));
	if (control & DMA_READ) {
		/* All or nothing. */
		s->busy = dev_dma_ok(&d->env, (gpa_t){ s->dma_to }, len);
		error = s->busy ? 0 : DMA_ERROR;
	} else if (control & DMA_WRITE) {
		error = DMA_ERROR;
	} else if (control & DMA_SKIP) {
		take(d, len, &unused);
	}
	if (s->busy)
		dma_slice(d);
	else
		dma_end(d, error);
}

static enum dev_rc access_ctl(struct fwcfg *d, struct dev_access *a)
{
	uint8_t byte;

	if (a->write) {
		/* A byte written is data, and no item takes any. */
		if (a->size == 2)
			select_key(d, (uint16_t)a->data);
		return DEV_OK;
	}
	if (a->size != 1 || a->offset != 1)
		return DEV_NO_REG;
	read_data(d, &byte, 1);
	a->data = byte;
	return DEV_OK;
}

static enum dev_rc access_dma(struct fwcfg *d, struct dev_access *a)
{
	if (!a->write) {
		a->data = 0;
		for (unsigned i = 0; i < a->size; i++)
			a->data |= (uint64_t)dma_signature[a->offset + i] << (i * 8);
		return DEV_OK;
	}
	if (a->size == 4 && a->offset == 0) {
		d->state.dma_hi = __builtin_bswap32((uint32_t)a->data);
	} else if (a->size == 4 && a->offset == 4) {
		uint32_t lo = __builtin_bswap32((uint32_t)a->data);
		gpa_t at = { (uint64_t)d->state.dma_hi << 32 | lo };

		d->state.dma_hi = 0;
		dma_run(d, at);
	}
	return DEV_OK; /* other widths start nothing */
}

static enum dev_rc fwcfg_access(void *dev, struct dev_access *a)
{
	return a->region == R_CTL ? access_ctl(dev, a) : access_dma(dev, a);
}

/* REP INSB is how a guest without the DMA interface reads. */
static enum dev_rc fwcfg_burst(void *dev, struct dev_access *a, void *buf, uint32_t count)
{
	uint8_t *p = buf;

	if (a->region == R_CTL && a->offset == 1 && a->size == 1) {
		if (!a->write)
			read_data(dev, p, count);
		return DEV_OK;
	}
	for (uint32_t i = 0; i < count; i++, p += a->size) {
		if (a->write) {
			a->data = 0;
			memcpy(&a->data, p, a->size);
		}
		if (fwcfg_access(dev, a) != DEV_OK)
			a->data = UINT64_MAX;
		if (!a->write)
			memcpy(p, &a->data, a->size);
	}
	return DEV_OK;
}

static void add(struct fwcfg *d, uint16_t key, const void *data, uint32_t len)
{
	d->item[d->n++] = (struct item){ .data = len ? data : zeros, .len = len, .key = key };
}

/* Length, or 0 for none or for too long a name. */
static size_t name_len(const char *s)
{
	size_t n = 0;

	while (s[n])
		if (++n > FWCFG_NAME_MAX)
			return 0;
	return n;
}

static int add_fixed(struct fwcfg *d, const struct fwcfg_item *it)
{
	if (it->key & KEY_WRITE || (it->key >= FWCFG_FILE_FIRST && it->key < 0x8000))
		return -1;
	for (unsigned i = 0; i < d->n; i++)
		if (d->item[i].key == it->key)
			return -1;
	add(d, it->key, it->data, it->len);
	return 0;
}

static int name_cmp(const char *a, const char *b)
{
	while (*a && *a == *b) {
		a++;
		b++;
	}
	return (unsigned char)*a - (unsigned char)*b;
}

/* A selection sort: each round takes the name that follows the last one taken. */
static int add_files(struct fwcfg *d, const struct fwcfg_cfg *cfg, uint32_t n_files)
{
	const struct fwcfg_item *last = NULL;
	uint8_t *e = d->dir + 4;

	for (uint32_t f = 0; f < n_files; f++, e += DIR_ENTRY) {
		const struct fwcfg_item *next = NULL;
		uint32_t key = FWCFG_FILE_FIRST + f;

		for (unsigned i = 0; i < cfg->n; i++) {
			const struct fwcfg_item *it = &cfg->items[i];

			if (it->name && (!last || name_cmp(it->name, last->name) > 0) &&
			    (!next || name_cmp(it->name, next->name) < 0))
				next = it;
		}
		if (!next || !name_len(next->name))
			return -1; /* a second one of that name, or a bad name */
		add(d, (uint16_t)key, next->data, next->len);
		put_be32(e, next->len);
		put_be32(e + 4, key << 16);
		memcpy(e + 8, next->name, name_len(next->name));
		last = next;
	}
	return 0;
}

static void fwcfg_reset(void *dev)
{
	struct fwcfg *d = dev;

	memset(&d->state, 0, sizeof(d->state));
}

static int fwcfg_init(void *dev, const struct dev_env *env, const void *cfg_)
{
	const struct fwcfg_cfg *cfg = cfg_;
	struct fwcfg *d = dev;
	uint32_t n_files = 0;

	d->env = *env;
	if (!cfg || cfg->n > FWCFG_MAX_ITEMS)
		return -1;
	add(d, FWCFG_SIGNATURE, signature, sizeof(signature));
	add(d, FWCFG_ID, id, sizeof(id));
	for (unsigned i = 0; i < cfg->n; i++)
		n_files += cfg->items[i].name != NULL;
	if (n_files > FWCFG_MAX_FILES)
		return -1;
	put_be32(d->dir, n_files);
	add(d, FWCFG_FILE_DIR, d->dir, 4 + n_files * DIR_ENTRY);
	for (unsigned i = 0; i < cfg->n; i++)
		if (!cfg->items[i].name && add_fixed(d, &cfg->items[i]))
			return -1;
	if (add_files(d, cfg, n_files))
		return -1;
	fwcfg_reset(d);
	return 0;
}

static bool fwcfg_sane(const void *dev)
{
	const struct fwcfg *d = dev;

	return !(d->state.key & KEY_WRITE) && d->state.offset <= selected(d)->len &&
	       d->state.busy <= 1;
}

static int fwcfg_loaded(void *dev)
{
	struct fwcfg *d = dev;

	if (fwcfg_sane(dev)) {
		if (d->state.busy)
			dev_arm(&d->env, 0, dev_now_ns(&d->env));
		return 0;
	}
	fwcfg_reset(dev);
	return -1;
}

static const struct dev_region regions[] = {
	[R_CTL] = { "ctl", DEV_PIO, 0x510, 2, DEV_SIZE_1 | DEV_SIZE_2 },
	[R_DMA] = { "dma", DEV_PIO, 0x514, 8, DEV_SIZE_1 | DEV_SIZE_2 | DEV_SIZE_4 },
};

/* The selector waits for the access to the data. */
static const struct dev_fast fast[] = {
	{ .kind = DEV_POSTED, .region = R_CTL, .offset = 0, .len = 2, .own = DEV_NO_SHADOW },
};

const struct dev_class fwcfg_class = {
	.name = "fwcfg",
	.size = sizeof(struct fwcfg),
	.state_off = offsetof(struct fwcfg, state),
	.state_size = sizeof(struct state),
	.regions = regions,
	.fast = fast,
	.n_fast = sizeof(fast) / sizeof(fast[0]),
	.n_regions = sizeof(regions) / sizeof(regions[0]),
	.init = fwcfg_init,
	.reset = fwcfg_reset,
	.access = fwcfg_access,
	.burst = fwcfg_burst,
	.timer = fwcfg_timer,
	.n_timers = 1,
	.loaded = fwcfg_loaded,
	.sane = fwcfg_sane,
};
