/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ranges.c - which ports and what memory Xen reflects, and serves by itself.
 *
 * Xen ends a domain that maps what is mapped already, or unmaps what is not. These tables are guarded by the firmware's lock (fw.maps);
 * so is the order in which Xen hears of them.
 */
#include "firmware/xen/xen_home.h"

#define MAX_CLAIMS 16u
#define SHADOW_MAX 7u                                    /* bytes */
#define MAX_FAST   (SIO_XEN_MAX_RANGES - MAX_CLAIMS - 1) /* 1: all ports (boot.c) */

/* Memory that models claim. Of two claims that overlap, the first has it. */
static struct claim {
	uint64_t base, len;
	bool used, mapped;
} claim[MAX_CLAIMS];

static bool clashes(const struct claim *c)
{
	for (unsigned i = 0; i < MAX_CLAIMS; i++)
		if (claim[i].mapped && claim[i].base < c->base + c->len &&
		    c->base < claim[i].base + claim[i].len)
			return true;
	return false;
}

static void map_claims(struct sio_slot_shared *s)
{
	for (unsigned i = 0; i < MAX_CLAIMS; i++) {
		struct claim *c = &claim[i];

		if (!c->used || c->mapped || clashes(c))
			continue;
		c->mapped = true;
		xen_emit(s, SIO_XEN_OP_MAP, SIO_XEN_MAP_ARG(SIO_SPACE_MMIO, 0, 0), c->base, c->len);
	}
}

static void claim_memory(struct sio_slot_shared *s, uint64_t base, uint64_t len)
{
	for (unsigned i = 0; i < MAX_CLAIMS; i++)
		if (!claim[i].used) {
			claim[i] = (struct claim){ base, len, true, false };
			map_claims(s);
			return;
		}
	fw_panic("too many memory ranges");
}

static void unclaim_memory(struct sio_slot_shared *s, uint64_t base, uint64_t len)
{
	for (unsigned i = 0; i < MAX_CLAIMS; i++) {
		struct claim *c = &claim[i];

		if (!c->used || c->base != base || c->len != len)
			continue;
		if (c->mapped)
			xen_emit(s, SIO_XEN_OP_UNMAP, SIO_SPACE_MMIO, base, len);
		c->used = c->mapped = false;
		map_claims(s);
		return;
	}
}

/* Ports that Xen serves by itself for a time. One more or less makes no difference but in speed. */
static struct fast_ports {
	uint32_t arg, dirties; /* arg 0: free */
	uint64_t base, len;
} fast_ports[MAX_FAST];

static void emit_fast(struct sio_slot_shared *s, const struct fast_ports *f)
{
	xen_emit(s, SIO_XEN_OP_MAP, f->arg, f->base, SIO_XEN_MAP_B(f->len, f->dirties));
}

static bool is_posted(const struct fast_ports *f)
{
	return f->arg >> 4 & SIO_XEN_POSTED;
}

static void drop_fast(struct sio_slot_shared *s, uint64_t base, uint64_t len)
{
	for (unsigned i = 0; i < MAX_FAST; i++) {
		struct fast_ports *f = &fast_ports[i];

		if (!f->arg || f->base >= base + len || base >= f->base + f->len)
			continue;
		xen_emit(s, SIO_XEN_OP_UNMAP, f->arg, f->base, f->len);
		f->arg = 0;
	}
}

/* In Xen's terms; arg 0: it has none. Xen does not know when a context is at work, which with several vCPUs matters (abi.md,
 * "Shadows"): then any write that waits makes all shadows stale. */
static struct fast_ports fast_of(const struct sio_op *op)
{
	uint8_t own = (uint8_t)(op->c >> 32), care = (uint8_t)(op->c >> 40),
		not_if = (uint8_t)(op->c >> 48);
	unsigned kind = op->arg >> 4 & 0xf;
	bool several = fw.cfg->n_vcpus > 1;
	struct fast_ports f = { .base = op->a, .len = op->b };

	if ((op->arg & 0xf) != SIO_SPACE_PIO)
		return f;
	if (kind == SIO_MAP_SHADOW && op->b <= SHADOW_MAX) {
		f.arg = SIO_XEN_MAP_ARG(SIO_SPACE_PIO, SIO_XEN_SHADOW, op->c * 8);
	} else if (kind == SIO_MAP_POSTED && ((!not_if && !care) || op->b == 1) &&
		   !(op->c & SIO_POSTED_IF_CLEAR)) {
		if (own >= SIO_MAX_SHADOWS || several)
			own = SIO_XEN_SHADOW_WORDS - 1; /* never valid */
		f.arg = SIO_XEN_MAP_ARG(SIO_SPACE_PIO, SIO_XEN_POSTED | SIO_XEN_OWN(own),
					SIO_XEN_POSTED_AT(not_if, care));
		f.dirties = several ? UINT32_MAX : (uint32_t)op->c;
	}
	return f;
}

static void map_fast(struct sio_slot_shared *s, const struct sio_op *op)
{
	struct fast_ports f = fast_of(op), *free = NULL;

	if (!f.arg)
		return;
	for (unsigned i = 0; i < MAX_FAST; i++) {
		struct fast_ports *o = &fast_ports[i];
		uint64_t end = o->base + o->len;

		if (!o->arg) {
			free = o;
			continue;
		}
		if (o->base >= f.base + f.len || f.base >= end)
			continue;
		if (is_posted(o) != is_posted(&f)) {
			/* Xen looks for the shadow of a write's first byte. */
			if ((is_posted(o) ? o->len : f.len) > 1)
				return;
			continue;
		}
		/* IDE's data port is 4 long: the registers behind it come first. */
		if (!is_posted(o) || o->base >= f.base || end > f.base + f.len)
			return;
		xen_emit(s, SIO_XEN_OP_UNMAP, o->arg, o->base, o->len);
		o->len = f.base - o->base;
		emit_fast(s, o);
	}
	if (!free)
		return;
	*free = f;
	emit_fast(s, free);
}

void xen_map_again(struct sio_slot_shared *s)
{
	/* All ports: which of them belong to a model is known to the machine, and the rest are few. */
	xen_emit(s, SIO_XEN_OP_MAP, SIO_XEN_MAP_ARG(SIO_SPACE_PIO, 0, 0), 0, 0x10000);
	for (unsigned i = 0; i < MAX_CLAIMS; i++)
		if (claim[i].mapped)
			xen_emit(s, SIO_XEN_OP_MAP, SIO_XEN_MAP_ARG(SIO_SPACE_MMIO, 0, 0),
				 claim[i].base, claim[i].len);
	for (unsigned i = 0; i < MAX_FAST; i++)
		if (fast_ports[i].arg)
			emit_fast(s, &fast_ports[i]);
}

void xen_map(struct sio_slot_shared *s, const struct sio_op *op)
{
	/* All ports are ours anyway. What was fast may now be another model's. */
	if (op->arg >> 4 & 0xf)
		map_fast(s, op);
	else if ((op->arg & 0xf) == SIO_SPACE_MMIO)
		claim_memory(s, op->a, op->b);
	else
		drop_fast(s, op->a, op->b);
}

void xen_unmap(struct sio_slot_shared *s, const struct sio_op *op)
{
	if ((op->arg & 0xf) == SIO_SPACE_MMIO)
		unclaim_memory(s, op->a, op->b);
	else
		drop_fast(s, op->a, op->b);
}
