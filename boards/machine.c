/* SPDX-License-Identifier: BSD-2-Clause */
#include "boards/machine.h"

#include <string.h>

static void s_irq(struct dev_host *h, unsigned n, bool level)
{
	struct machine *m = h->m;
	uint32_t bit = 1u << n;

	if (n >= h->cls->n_irqs || !!(h->lines & bit) == level)
		return;
	h->lines ^= bit;
	for (unsigned i = 0; i < m->n_wire; i++) {
		const struct board_wire *w = &m->wire[i];
		bool sum = false;

		if (w->from != h->index || w->from_line != n)
			continue;
		for (unsigned k = 0; k < m->n_wire; k++)
			if (m->wire[k].to == w->to && m->wire[k].to_line == w->to_line)
				sum |= m->host[m->wire[k].from].lines >> m->wire[k].from_line & 1;
		if (w->to == MACHINE_GSI)
			m->ops->gsi(m->ctx, w->to_line, sum);
		else if (!m->host[w->to].away)
			m->host[w->to].cls->line(m->host[w->to].dev, w->to_line, sum);
	}
}

static void s_msi(struct dev_host *h, uint64_t addr, uint32_t data)
{
	h->m->ops->msi(h->m->ctx, addr, data);
}

static bool s_dma_read(struct dev_host *h, gpa_t a, void *dst, size_t len)
{
	const void *p = h->m->ops->ram(h->m->ctx, a.raw, len);

	if (p)
		memcpy(dst, p, len);
	return p;
}

static bool s_dma_write(struct dev_host *h, gpa_t a, const void *src, size_t len)
{
	void *p = h->m->ops->ram(h->m->ctx, a.raw, len);

	if (p)
		memcpy(p, src, len);
	return p;
}

static bool s_dma_ok(struct dev_host *h, gpa_t a, uint64_t len)
{
	return h->m->ops->ram(h->m->ctx, a.raw, len);
}

static gpa_t s_buf_gpa(struct dev_host *h, const void *p)
{
	return (gpa_t){ h->m->ops->gpa(h->m->ctx, p) };
}

static uint64_t s_now_ns(struct dev_host *h)
{
	return h->m->now_ns;
}

static uint64_t s_wall_ns(struct dev_host *h)
{
	return h->m->ops->wall_ns + h->m->now_ns;
}

static void find_next(struct machine *m)
{
	m->next_ns = UINT64_MAX;
	for (unsigned i = 0; i < m->n_dev; i++)
		for (unsigned t = 0; t < m->host[i].cls->n_timers; t++)
			if (m->host[i].deadline[t] < m->next_ns)
				m->next_ns = m->host[i].deadline[t];
}

static void s_arm(struct dev_host *h, unsigned timer, uint64_t deadline_ns)
{
	uint64_t old;

	if (timer >= h->cls->n_timers)
		return;
	old = h->deadline[timer];
	h->deadline[timer] = deadline_ns;
	if (deadline_ns < h->m->next_ns)
		h->m->next_ns = deadline_ns;
	else if (old == h->m->next_ns)
		find_next(h->m);
}

/* Rebuilds the map of [base, base + len): regions may overlap (CF8h and CF9h), so a removal has to
 * look at all that remain. */
static void remap_ports(struct machine *m, uint64_t base, uint32_t len)
{
	if (base > 0xffff)
		return;
	if (len > 0x10000 - base)
		len = (uint32_t)(0x10000 - base);
	memset(m->port_map + base, 0, len);
	for (unsigned i = 0; i < m->n_region; i++) {
		const struct machine_region *r = &m->region[i];

		if (r->reg->space != DEV_PIO || r->base == DEV_UNPLACED || r->base > 0xffff)
			continue;
		for (uint64_t p = r->base; p < r->base + r->reg->len && p <= 0xffff; p++)
			if (p >= base && p < base + len)
				m->port_map[p] = (uint8_t)(i + 1);
	}
}

/* What may be fast in a region that has just been claimed. */
static void map_fast(struct machine *m, const struct machine_region *r)
{
	const struct dev_host *h = &m->host[r->dev];
	const struct dev_class *c = h->cls;

	for (unsigned i = 0; m->ops->map_fast && i < c->n_fast; i++) {
		const struct dev_fast *f = &c->fast[i];
		bool queued = f->kind == DEV_POSTED || f->kind == DEV_KICK;
		struct machine_fast mf = { .f = f,
					   .space = r->reg->space,
					   .base = r->base + f->offset,
					   .id = h->fast_id[i],
					   .own = DEV_NO_SHADOW };

		if (f->region != r->index || !f->len || !(m->ops->fast >> f->kind & 1) ||
		    (m->ops->fast & f->without) ||
		    ((f->kind == DEV_SHADOW || f->kind == DEV_FIFO) && mf.id == DEV_NO_SHADOW))
			continue;
		for (unsigned k = 0; k < c->n_fast && queued; k++)
			if (f->dirties >> k & 1 && h->fast_id[k] != DEV_NO_SHADOW)
				mf.dirties |= 1u << h->fast_id[k];
		if (queued && f->own != DEV_NO_SHADOW)
			mf.own = h->fast_id[f->own];
		if (f->if_clear && mf.own == DEV_NO_SHADOW)
			continue;
		if (f->kind == DEV_READTHROUGH || f->kind == DEV_FIFO)
			mf.page = (const char *)h->dev + f->value;
		m->ops->map_fast(m->ctx, r->dev, &mf);
	}
}

static void place(struct machine *m, struct machine_region *r, uint64_t base)
{
	uint64_t old = r->base;
	enum dev_space space = r->reg->space;

	if (space == DEV_PCICFG || old == base)
		return;
	r->base = base;
	if (old != DEV_UNPLACED) {
		if (space == DEV_PIO)
			remap_ports(m, old, r->reg->len);
		m->ops->map(m->ctx, r->dev, space, old, r->reg->len, false);
		/* The host knows one claimant a port: what the region lay over claims again. */
		for (unsigned i = 0; i < m->n_region; i++) {
			const struct machine_region *o = &m->region[i];

			if (o->reg->space == space && o->base != DEV_UNPLACED && o != r &&
			    o->base < old + r->reg->len && old < o->base + o->reg->len) {
				m->ops->map(m->ctx, o->dev, space, o->base, o->reg->len, true);
				map_fast(m, o);
			}
		}
	}
	if (base != DEV_UNPLACED) {
		if (space == DEV_PIO)
			remap_ports(m, base, r->reg->len);
		m->ops->map(m->ctx, r->dev, space, base, r->reg->len, true);
		map_fast(m, r);
	}
}

static void s_place(struct dev_host *h, unsigned region, uint64_t base)
{
	if (region < h->cls->n_regions)
		place(h->m, &h->m->region[h->first_region + region], base);
}

static enum dev_rc s_pci_cfg(struct dev_host *h, unsigned devfn, struct dev_access *a)
{
	struct machine *m = h->m;

	for (unsigned i = 0; i < m->n_dev; i++) {
		struct dev_host *t = &m->host[i];

		if (t->devfn != (int)devfn)
			continue;
		if (t->away)
			return m->ops->forward ? m->ops->forward(m->ctx, t->place, devfn, a) :
						 DEV_NO_REG;
		for (unsigned r = 0; r < t->cls->n_regions; r++)
			if (t->cls->regions[r].space == DEV_PCICFG) {
				a->region = r;
				return t->cls->access(t->dev, a);
			}
	}
	return DEV_NO_REG;
}

static void s_reset(struct dev_host *h)
{
	h->m->ops->reset(h->m->ctx);
}

static void s_poweroff(struct dev_host *h)
{
	h->m->ops->poweroff(h->m->ctx);
}

/* Entry n of the class's table in the shadow page; NULL: it has none. */
static uint64_t *shadow_entry(struct dev_host *h, unsigned n)
{
	uint64_t *p = h->m->ops->shadow;

	return p && n < h->cls->n_fast && h->fast_id[n] != DEV_NO_SHADOW ? &p[h->fast_id[n]] : NULL;
}

static void s_shadow(struct dev_host *h, unsigned n, uint32_t value, bool valid)
{
	uint64_t *p = shadow_entry(h, n), v = value | (valid ? 1ull << 63 : 0);

	/* Release: what the value stands for has happened.  Pairs with the reader's acquire. */
	if (p && *p != v)
		__atomic_store_n(p, v, __ATOMIC_RELEASE);
}

static void s_fifo(struct dev_host *h, unsigned n, uint32_t at, uint32_t end)
{
	uint64_t *p = shadow_entry(h, n), v = at | (uint64_t)end << 16;

	if (!p || at == end)
		return;
	v |= 1ull << 63 | (uint64_t)(h->m->fifo_offers++ & INT32_MAX) << 32;
	__atomic_store_n(p, v, __ATOMIC_RELEASE);
}

static uint32_t s_fifo_taken(struct dev_host *h, unsigned n, uint32_t at)
{
	uint64_t *p = shadow_entry(h, n);

	/* Only the model makes it valid. */
	if (!p || !(__atomic_load_n(p, __ATOMIC_RELAXED) >> 63))
		return at;
	return __atomic_exchange_n(p, 0, __ATOMIC_ACQ_REL) & 0xffff;
}

static bool s_fast(struct dev_host *h, enum dev_fast_kind kind)
{
	return h->m->ops->fast >> kind & 1;
}

static const struct dev_services services = {
	.irq = s_irq,
	.msi = s_msi,
	.dma_read = s_dma_read,
	.dma_write = s_dma_write,
	.dma_ok = s_dma_ok,
	.buf_gpa = s_buf_gpa,
	.now_ns = s_now_ns,
	.wall_ns = s_wall_ns,
	.arm = s_arm,
	.place = s_place,
	.pci_cfg = s_pci_cfg,
	.reset = s_reset,
	.poweroff = s_poweroff,
	.shadow = s_shadow,
	.fifo = s_fifo,
	.fifo_taken = s_fifo_taken,
	.fast = s_fast,
};

/* What stands in for a device that is away. */
static const struct dev_class away_class = { .name = "" };

/* Shadows and doorbells get their numbers. */
static int number_fast(struct dev_host *h)
{
	struct machine *m = h->m;

	for (unsigned i = 0; i < h->cls->n_fast; i++) {
		const struct dev_fast *f = &h->cls->fast[i];

		if (f->kind == DEV_SHADOW || f->kind == DEV_FIFO) {
			/* Many cards: the last ones go without. */
			h->fast_id[i] = m->n_shadow == MACHINE_MAX_SHADOWS ? DEV_NO_SHADOW :
									     (uint8_t)m->n_shadow++;
		} else if (f->kind == DEV_DOORBELL) {
			if (m->n_doorbell == MACHINE_MAX_DOORBELLS)
				return -1;
			m->doorbell[m->n_doorbell].dev = h->index;
			m->doorbell[m->n_doorbell].entry = (uint8_t)i;
			h->fast_id[i] = (uint8_t)m->n_doorbell++;
		}
	}
	return 0;
}

static size_t context_align(const struct dev_class *c)
{
	for (unsigned i = 0; i < c->n_fast; i++)
		if (c->fast[i].kind == DEV_READTHROUGH)
			return 4096;
	return 64;
}

static int add_dev(struct machine *m, const struct board_dev *b)
{
	struct dev_host *h = &m->host[m->n_dev];
	const struct dev_class *c = b->away ? &away_class : b->cls;
	struct dev_env env = { .svc = &services, .host = h };

	if (c->n_timers > MACHINE_MAX_TIMERS || c->n_irqs > 32 || c->n_fast > DEV_MAX_FAST ||
	    m->n_region + c->n_regions > MACHINE_MAX_REGIONS)
		return -1;
	h->m = m;
	h->cls = c;
	h->index = (uint8_t)m->n_dev;
	h->devfn = (int16_t)b->devfn;
	h->first_region = (uint8_t)m->n_region;
	h->place = b->place;
	h->away = b->away;
	for (unsigned t = 0; t < MACHINE_MAX_TIMERS; t++)
		h->deadline[t] = UINT64_MAX;
	if (b->away) {
		m->n_dev++;
		return 0;
	}
	h->dev = m->ops->alloc(m->ctx, c->size, context_align(c));
	if (!h->dev || number_fast(h))
		return -1;
	for (unsigned r = 0; r < c->n_regions; r++) {
		struct machine_region *mr = &m->region[m->n_region++];

		*mr = (struct machine_region){ .base = DEV_UNPLACED,
					       .reg = &c->regions[r],
					       .dev = h->index,
					       .index = (uint8_t)r };
		place(m, mr, c->regions[r].base);
	}
	m->n_dev++;
	return c->init(h->dev, &env, b->cfg);
}

int machine_init(struct machine *m, const struct machine_ops *ops, void *ctx,
		 const struct board_dev *dev, unsigned n_dev, const struct board_wire *wire,
		 unsigned n_wire, unsigned *failed)
{
	memset(m, 0, sizeof(*m));
	m->ops = ops;
	m->ctx = ctx;
	m->next_ns = UINT64_MAX;
	m->wire = wire;
	m->n_wire = n_wire;
	for (*failed = 0; *failed < n_dev; ++*failed)
		if (m->n_dev == MACHINE_MAX_DEVS || add_dev(m, &dev[*failed]))
			return -1;
	return 0;
}

static uint64_t ones(unsigned size)
{
	return size == 8 ? UINT64_MAX : (1ull << size * 8) - 1;
}

static bool fits(const struct machine_region *r, enum dev_space space, uint64_t addr, unsigned size)
{
	return r->reg->space == space && r->base != DEV_UNPLACED && r->reg->sizes & size &&
	       addr >= r->base && addr - r->base < r->reg->len &&
	       size <= r->reg->len - (addr - r->base);
}

static struct machine_region *find(struct machine *m, enum dev_space space, uint64_t addr,
				   unsigned size)
{
	if (space == DEV_PIO) {
		unsigned i = addr <= 0xffff ? m->port_map[addr] : 0;

		if (!i)
			return NULL;
		if (fits(&m->region[i - 1], space, addr, size))
			return &m->region[i - 1];
	}
	for (unsigned i = 0; i < m->n_region; i++)
		if (fits(&m->region[i], space, addr, size))
			return &m->region[i];
	return NULL;
}

static struct dev_access access_of(const struct machine_region *r, uint64_t addr, unsigned size,
				   bool write)
{
	return (struct dev_access){ .region = r->index,
				    .offset = (uint32_t)(addr - r->base),
				    .size = (uint8_t)size,
				    .write = write };
}

void machine_access(struct machine *m, enum dev_space space, uint64_t addr, unsigned size,
		    bool write, uint64_t *data)
{
	struct machine_region *r = find(m, space, addr, size);
	unsigned half = size / 2;

	if (r) {
		struct dev_host *h = &m->host[r->dev];
		struct dev_access a = access_of(r, addr, size, write);

		a.data = *data & ones(size);
		if (h->cls->access(h->dev, &a) == DEV_OK)
			*data = a.data & ones(size);
		else
			*data = ones(size);
	} else if (size == 1) {
		*data = 0xff;
	} else {
		/* The bus splits what no region takes whole, low part first. */
		uint64_t lo = *data & ones(half), hi = (*data & ones(size)) >> half * 8;

		machine_access(m, space, addr, half, write, &lo);
		machine_access(m, space, addr + half, half, write, &hi);
		*data = lo | hi << half * 8;
	}
}

void machine_burst(struct machine *m, uint64_t port, unsigned size, bool write, void *buf,
		   uint32_t count)
{
	struct machine_region *r = find(m, DEV_PIO, port, size);
	uint8_t *p = buf;

	if (r && m->host[r->dev].cls->burst) {
		struct dev_access a = access_of(r, port, size, write);

		if (m->host[r->dev].cls->burst(m->host[r->dev].dev, &a, buf, count) != DEV_OK &&
		    !write)
			memset(buf, 0xff, (size_t)size * count);
		return;
	}
	for (uint32_t i = 0; i < count; i++, p += size) {
		uint64_t v = 0;

		if (write)
			memcpy(&v, p, size);
		machine_access(m, DEV_PIO, port, size, write, &v);
		if (!write)
			memcpy(p, &v, size);
	}
}

void machine_pci_cfg(struct machine *m, unsigned devfn, unsigned offset, unsigned size, bool write,
		     uint64_t *data)
{
	struct dev_access a = {
		.data = *data & ones(size), .offset = offset, .size = (uint8_t)size, .write = write
	};

	for (unsigned i = 0; i < m->n_dev; i++)
		if (m->host[i].devfn == (int)devfn && !m->host[i].away &&
		    s_pci_cfg(&m->host[i], devfn, &a) == DEV_OK) {
			*data = a.data & ones(size);
			return;
		}
	*data = ones(size);
}

void machine_doorbell(struct machine *m, unsigned n)
{
	const struct dev_host *h;
	const struct dev_fast *f;
	const struct machine_region *r;
	uint64_t v;

	if (n >= m->n_doorbell)
		return;
	h = &m->host[m->doorbell[n].dev];
	f = &h->cls->fast[m->doorbell[n].entry];
	r = &m->region[h->first_region + f->region];
	v = f->value;
	if (r->base != DEV_UNPLACED)
		machine_access(m, r->reg->space, r->base + f->offset, f->len, true, &v);
}

void machine_advance(struct machine *m, uint64_t now_ns)
{
	/* The clock of one context may be read a little before another's that got the lock first. */
	if (now_ns > m->now_ns)
		m->now_ns = now_ns;
	while (m->next_ns <= m->now_ns) {
		uint64_t due = m->next_ns;

		for (unsigned i = 0; i < m->n_dev; i++) {
			struct dev_host *h = &m->host[i];

			for (unsigned t = 0; t < h->cls->n_timers; t++)
				if (h->deadline[t] <= due) {
					h->deadline[t] = UINT64_MAX;
					h->cls->timer(h->dev, t);
				}
		}
		find_next(m);
		/* A timer that re-arms itself in the past waits for the next call: no endless loop. */
		if (m->next_ns <= due)
			break;
	}
}

void machine_reset(struct machine *m)
{
	for (unsigned i = 0; i < m->n_dev; i++)
		if (m->host[i].cls->reset)
			m->host[i].cls->reset(m->host[i].dev);
}
