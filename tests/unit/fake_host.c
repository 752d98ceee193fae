/* SPDX-License-Identifier: BSD-2-Clause */
/* cmocka.h wants these first. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "fake_host.h"
#include "tests/posted.h"

#define VALID POSTED_VALID

static void f_irq(struct dev_host *h, unsigned n, bool level)
{
	assert_true(n < h->cls->n_irqs && n < FAKE_MAX_LINES);
	if (level && !h->line[n])
		h->rises[n]++;
	h->line[n] = level;
}

static void f_msi(struct dev_host *h, uint64_t addr, uint32_t data)
{
	h->f->msis++;
	h->f->msi_addr = addr;
	h->f->msi_data = data;
}

static bool f_dma_ok(struct dev_host *h, gpa_t a, uint64_t len)
{
	(void)h;
	return a.raw <= FAKE_RAM_SIZE && len <= FAKE_RAM_SIZE - a.raw;
}

static bool f_dma_read(struct dev_host *h, gpa_t a, void *dst, size_t len)
{
	if (!f_dma_ok(h, a, len))
		return false;
	memcpy(dst, h->f->ram + a.raw, len);
	return true;
}

static bool f_dma_write(struct dev_host *h, gpa_t a, const void *src, size_t len)
{
	if (!f_dma_ok(h, a, len))
		return false;
	memcpy(h->f->ram + a.raw, src, len);
	return true;
}

static gpa_t f_buf_gpa(struct dev_host *h, const void *p)
{
	uintptr_t at = (uintptr_t)p, dev = (uintptr_t)h->dev;

	assert_true(at >= dev && at < dev + h->cls->size);
	return (gpa_t){ at };
}

static uint64_t f_now(struct dev_host *h)
{
	return h->f->now_ns;
}

static uint64_t f_wall(struct dev_host *h)
{
	return h->f->wall_base_ns + h->f->now_ns;
}

static void f_arm(struct dev_host *h, unsigned timer, uint64_t deadline_ns)
{
	assert_true(timer < h->cls->n_timers && timer < FAKE_MAX_TIMERS);
	h->deadline[timer] = deadline_ns;
}

static void f_place(struct dev_host *h, unsigned region, uint64_t base)
{
	assert_true(region < h->cls->n_regions && h->cls->regions[region].space != DEV_PCICFG);
	h->base[region] = base;
}

static struct dev_host *at_devfn(struct fake *f, unsigned devfn)
{
	for (unsigned i = 0; i < f->n; i++)
		if (f->host[i].devfn == (int)devfn)
			return &f->host[i];
	return NULL;
}

static enum dev_rc f_pci_cfg(struct dev_host *h, unsigned devfn, struct dev_access *a)
{
	struct dev_host *t = at_devfn(h->f, devfn);

	if (!t)
		return DEV_NO_REG;
	for (unsigned r = 0; r < t->cls->n_regions; r++) {
		if (t->cls->regions[r].space != DEV_PCICFG)
			continue;
		a->region = r;
		return t->cls->access(t->dev, a);
	}
	return DEV_NO_REG;
}

static void f_reset(struct dev_host *h)
{
	h->f->was_reset = true;
}

static void f_shadow(struct dev_host *h, unsigned n, uint32_t value, bool valid)
{
	assert_true(n < h->cls->n_fast && h->cls->fast[n].kind == DEV_SHADOW);
	h->shadow[n] = value | (valid ? VALID : 0);
}

static void f_fifo(struct dev_host *h, unsigned n, uint32_t at, uint32_t end)
{
	assert_true(n < h->cls->n_fast && h->cls->fast[n].kind == DEV_FIFO);
	assert_true(at <= end && end < 0x10000);
	assert_false(h->shadow[n] & VALID); /* taken back before */
	if (at < end)
		h->shadow[n] = VALID | at | end << 16;
}

static uint32_t f_fifo_taken(struct dev_host *h, unsigned n, uint32_t at)
{
	uint64_t e = h->shadow[n];

	assert_true(n < h->cls->n_fast && h->cls->fast[n].kind == DEV_FIFO);
	h->shadow[n] = 0;
	return e & VALID ? e & 0xffff : at;
}

static bool f_fast(struct dev_host *h, enum dev_fast_kind kind)
{
	return h->f->fast >> kind & 1;
}

static void f_poweroff(struct dev_host *h)
{
	h->f->was_poweroff = true;
}

static const struct dev_services services = {
	.irq = f_irq,
	.msi = f_msi,
	.dma_read = f_dma_read,
	.dma_write = f_dma_write,
	.dma_ok = f_dma_ok,
	.buf_gpa = f_buf_gpa,
	.now_ns = f_now,
	.wall_ns = f_wall,
	.arm = f_arm,
	.place = f_place,
	.pci_cfg = f_pci_cfg,
	.reset = f_reset,
	.poweroff = f_poweroff,
	.shadow = f_shadow,
	.fifo = f_fifo,
	.fifo_taken = f_fifo_taken,
	.fast = f_fast,
};

void fake_init(struct fake *f)
{
	memset(f, 0, sizeof(*f));
	f->ram = calloc(1, FAKE_RAM_SIZE);
	assert_non_null(f->ram);
	f->wall_base_ns = 1700000000ull * 1000000000ull;
	f->fast = 1u << DEV_POSTED | 1u << DEV_KICK | 1u << DEV_SHADOW | 1u << DEV_CLOCK |
		  1u << DEV_READTHROUGH;
	f->fast |= 1u << (getenv("FAKE_FAST") ? DEV_DOORBELL : DEV_FIFO);
}

void fake_free(struct fake *f)
{
	for (unsigned i = 0; i < f->n; i++)
		free(f->host[i].dev);
	free(f->ram);
}

void *fake_add(struct fake *f, const struct dev_class *c, const void *cfg, int devfn)
{
	struct dev_host *h = &f->host[f->n++];
	struct dev_env env = { .svc = &services, .host = h };

	assert_true(f->n <= FAKE_MAX_DEVS && c->n_regions <= FAKE_MAX_REGIONS);
	assert_true(c->state_off + c->state_size <= c->size);
	h->f = f;
	h->cls = c;
	h->devfn = devfn;
	h->dev = calloc(1, c->size);
	assert_non_null(h->dev);
	for (unsigned r = 0; r < c->n_regions; r++)
		h->base[r] = c->regions[r].base;
	for (unsigned t = 0; t < FAKE_MAX_TIMERS; t++)
		h->deadline[t] = UINT64_MAX;
	assert_int_equal(c->init(h->dev, &env, cfg), 0);
	return h->dev;
}

struct dev_host *fake_host_of(struct fake *f, const void *dev)
{
	for (unsigned i = 0; i < f->n; i++)
		if (f->host[i].dev == dev)
			return &f->host[i];
	fail_msg("not a device of this host");
	return NULL;
}

struct dev_env fake_env(struct fake *f, const void *dev)
{
	return (struct dev_env){ .svc = &services, .host = fake_host_of(f, dev) };
}

static uint64_t read_fast(struct dev_host *h, const struct dev_fast *p)
{
	struct dev_access a = { .region = p->region, .offset = p->offset, .size = (uint8_t)p->len };

	assert_int_equal(h->cls->access(h->dev, &a), DEV_OK);
	return a.data;
}

static bool in_use(const struct dev_host *h, const struct dev_fast *p)
{
	return p->len && h->f->fast >> p->kind & 1 && !(h->f->fast & p->without) &&
	       h->base[p->region] != DEV_UNPLACED;
}

/* Reads give what shadows said then, those in stale aside, and change nothing. */
static void check_shadows(struct dev_host *h, const uint64_t *then, uint32_t stale)
{
	const struct dev_class *c = h->cls;
	struct dev_host was = *h;
	void *state = malloc(c->state_size);

	if (c->sync)
		c->sync(h->dev);
	memcpy(state, (char *)h->dev + c->state_off, c->state_size);
	for (unsigned i = 0; i < c->n_fast; i++)
		if (c->fast[i].kind == DEV_SHADOW && in_use(h, &c->fast[i]) && then[i] & VALID &&
		    !(stale >> i & 1))
			assert_int_equal(read_fast(h, &c->fast[i]), (uint32_t)then[i]);
	assert_memory_equal(state, (char *)h->dev + c->state_off, c->state_size);
	assert_memory_equal(&was, h, sizeof(was));
	free(state);
}

static void check_sane(struct dev_host *h)
{
	const struct dev_class *c = h->cls;
	uint64_t then[DEV_MAX_FAST];

	if (c->sane)
		assert_true(c->sane(h->dev));
	if (!c->n_fast)
		return;
	memcpy(then, h->shadow, sizeof(then));
	check_shadows(h, then, 0);
	for (unsigned i = 0; i < c->n_fast; i++)
		if (c->fast[i].kind == DEV_CLOCK && in_use(h, &c->fast[i]))
			assert_int_equal(read_fast(h, &c->fast[i]),
					 (uint64_t)((unsigned __int128)h->f->now_ns *
						    c->fast[i].value / 1000000000u) &
						 ((1ull << c->fast[i].bits) - 1));
}

/* Does a read end in what a FIFO offers? */
static bool fifo(struct dev_host *h, const struct dev_access *a, void *to, uint32_t bytes)
{
	for (unsigned i = 0; i < h->cls->n_fast; i++) {
		const struct dev_fast *o = &h->cls->fast[i];
		uint32_t at = h->shadow[i] & 0xffff, end = h->shadow[i] >> 16 & 0xffff;

		if (o->kind != DEV_FIFO || o->region != a->region || o->offset != a->offset ||
		    a->size < 2 || a->size > o->len || !in_use(h, o) || !(h->shadow[i] & VALID) ||
		    bytes >= end - at)
			continue;
		memcpy(to, (char *)h->dev + o->value + at, bytes);
		h->shadow[i] += bytes;
		h->fifo_reads++;
		return true;
	}
	return false;
}

/* Is it a write that may be posted? Then stale gets the shadows that it makes so, and `then` what a register reads back. */
static bool posted(const struct dev_host *h, const struct dev_access *a, uint64_t *then,
		   uint32_t *stale)
{
	const struct dev_class *c = h->cls;
	const struct dev_fast *p = NULL;

	bool known = false;

	*stale = 0;
	for (unsigned i = 0; i < c->n_fast; i++) {
		const struct dev_fast *o = &c->fast[i];

		if ((o->kind == DEV_POSTED || o->kind == DEV_KICK) && o->region == a->region &&
		    in_use(h, o) && a->offset >= o->offset &&
		    a->offset + a->size <= o->offset + o->len && !(a->data & o->not_if) &&
		    posted_clear(o, o->if_clear ? then[o->own] : 0, a->offset - o->offset, a->data))
			p = o;
	}
	if (!p || !a->write)
		return false;
	for (unsigned i = 0; i < c->n_fast; i++) {
		const struct dev_fast *o = &c->fast[i];

		if (o->kind == DEV_SHADOW && o->region == a->region && in_use(h, o) &&
		    a->offset < o->offset + o->len && o->offset < a->offset + a->size)
			known |= posted_over(p, p->dirties, i,
					     o->offset == a->offset && o->len == a->size, a->data,
					     then, stale);
	}
	if (!known && (p->own == DEV_NO_SHADOW || !(h->shadow[p->own] & VALID) ||
		       ((h->shadow[p->own] ^ a->data) & p->care)))
		*stale |= p->dirties;
	return true;
}

/* One access of a size that may have to be split, as dev.h says of dev_region.sizes. */
static bool one(struct fake *f, enum dev_space space, uint64_t addr, unsigned size, bool write,
		uint64_t *val)
{
	uint64_t then[DEV_MAX_FAST];
	uint32_t stale;
	bool late;

	for (unsigned i = 0; i < f->n; i++) {
		struct dev_host *h = &f->host[i];

		for (unsigned r = 0; r < h->cls->n_regions; r++) {
			const struct dev_region *reg = &h->cls->regions[r];
			struct dev_access a = { .data = write ? *val : 0,
						.region = r,
						.offset = (uint32_t)(addr - h->base[r]),
						.size = (uint8_t)size,
						.write = write };

			if (reg->space != space || h->base[r] == DEV_UNPLACED ||
			    addr < h->base[r] || addr - h->base[r] >= reg->len ||
			    addr - h->base[r] + size > reg->len || !(reg->sizes & size))
				continue;
			if (!write && fifo(h, &a, &a.data, size)) {
				*val = a.data;
				return true;
			}
			memcpy(then, h->shadow, sizeof(then));
			late = posted(h, &a, then, &stale);
			if (h->cls->access(h->dev, &a) != DEV_OK)
				return false;
			if (late)
				check_shadows(h, then, stale);
			check_sane(h);
			*val = a.data;
			return true;
		}
	}
	return false;
}

static uint64_t ones(unsigned size)
{
	return size == 8 ? UINT64_MAX : (1ull << (size * 8)) - 1;
}

uint64_t fake_read(struct fake *f, enum dev_space space, uint64_t addr, unsigned size)
{
	uint64_t v = 0;

	if (one(f, space, addr, size, false, &v))
		return v & ones(size);
	if (size == 1)
		return 0xff;
	v = fake_read(f, space, addr, size / 2);
	return v | fake_read(f, space, addr + size / 2, size / 2) << (size * 4);
}

void fake_write(struct fake *f, enum dev_space space, uint64_t addr, unsigned size, uint64_t val)
{
	val &= ones(size);
	if (one(f, space, addr, size, true, &val) || size == 1)
		return;
	fake_write(f, space, addr, size / 2, val & ones(size / 2));
	fake_write(f, space, addr + size / 2, size / 2, val >> (size * 4));
}

void fake_burst(struct fake *f, uint64_t port, unsigned size, bool write, void *buf, uint32_t count)
{
	uint8_t *p = buf;

	for (unsigned i = 0; i < f->n; i++) {
		struct dev_host *h = &f->host[i];

		for (unsigned r = 0; r < h->cls->n_regions; r++) {
			const struct dev_region *reg = &h->cls->regions[r];
			struct dev_access a = { .region = r,
						.offset = (uint32_t)(port - h->base[r]),
						.size = (uint8_t)size,
						.write = write };

			if (!h->cls->burst || reg->space != DEV_PIO || port < h->base[r] ||
			    port - h->base[r] + size > reg->len || !(reg->sizes & size))
				continue;
			if (!write && fifo(h, &a, buf, count * size))
				return;
			assert_int_equal(h->cls->burst(h->dev, &a, buf, count), DEV_OK);
			check_sane(h);
			return;
		}
	}
	for (uint32_t i = 0; i < count; i++, p += size) {
		uint64_t v = 0;

		if (write) {
			memcpy(&v, p, size);
			fake_write(f, DEV_PIO, port, size, v);
		} else {
			v = fake_read(f, DEV_PIO, port, size);
			memcpy(p, &v, size);
		}
	}
}

uint64_t fake_cfg_read(struct fake *f, unsigned devfn, unsigned off, unsigned size)
{
	struct dev_access a = { .offset = off, .size = (uint8_t)size };

	assert_true(f->n > 0);
	if (f_pci_cfg(&f->host[0], devfn, &a) != DEV_OK)
		return ones(size);
	return a.data & ones(size);
}

void fake_cfg_write(struct fake *f, unsigned devfn, unsigned off, unsigned size, uint64_t val)
{
	struct dev_access a = {
		.offset = off, .size = (uint8_t)size, .write = true, .data = val & ones(size)
	};

	assert_true(f->n > 0);
	f_pci_cfg(&f->host[0], devfn, &a);
}

void fake_step(struct fake *f, uint64_t ns)
{
	uint64_t end = f->now_ns + ns;

	for (;;) {
		struct dev_host *next = NULL;
		unsigned timer = 0;
		uint64_t when = end;

		for (unsigned i = 0; i < f->n; i++)
			for (unsigned t = 0; t < f->host[i].cls->n_timers; t++)
				if (f->host[i].deadline[t] <= when) {
					when = f->host[i].deadline[t];
					next = &f->host[i];
					timer = t;
				}
		if (!next)
			break;
		if (when > f->now_ns)
			f->now_ns = when;
		next->deadline[timer] = UINT64_MAX;
		next->cls->timer(next->dev, timer);
		check_sane(next);
	}
	f->now_ns = end;
}

void fake_save_load(struct fake *f)
{
	for (unsigned i = 0; i < f->n; i++) {
		struct dev_host *h = &f->host[i];
		size_t cap = h->cls->state_size + 64, len, again;
		uint8_t *buf = malloc(cap), *second = malloc(cap);

		assert_non_null(buf);
		assert_non_null(second);
		len = dev_save(h->cls, h->dev, buf, cap);
		assert_true(len > 0);
		memset((char *)h->dev + h->cls->state_off, 0xa5, h->cls->state_size);
		assert_int_equal(dev_load(h->cls, h->dev, buf, len), 0);
		check_sane(h);
		again = dev_save(h->cls, h->dev, second, cap);
		assert_int_equal(len, again);
		assert_memory_equal(buf, second, len);
		free(buf);
		free(second);
	}
}

static int disk_submit(struct blk *b, struct blk_req *r)
{
	struct fake_disk *d = (struct fake_disk *)b;
	uint64_t sum = 0;

	assert_true(d->n < 64);
	d->n_submitted++;
	if (r->op == BLK_READ || r->op == BLK_WRITE) {
		assert_true(r->n_seg >= 1 && r->n_seg <= BLK_MAX_SEGS);
		for (unsigned i = 0; i < r->n_seg; i++)
			sum += r->seg[i].len;
		assert_int_equal(sum, (uint64_t)r->n_sectors * BLK_SECTOR);
	}
	if (r->op != BLK_FLUSH)
		assert_true(r->sector <= b->n_sectors && r->n_sectors <= b->n_sectors - r->sector);
	d->queue[d->n++] = r;
	return 0;
}

void fake_disk_init(struct fake_disk *d, struct fake *f, uint64_t n_sectors)
{
	memset(d, 0, sizeof(*d));
	d->f = f;
	d->data = calloc(n_sectors, BLK_SECTOR);
	assert_non_null(d->data);
	d->blk = (struct blk){
		.submit = disk_submit, .n_sectors = n_sectors, .flush = true, .discard = true
	};
	d->bad_from = d->bad_to = UINT64_MAX;
}

void fake_disk_free(struct fake_disk *d)
{
	free(d->data);
}

static uint8_t *seg_ptr(struct fake_disk *d, const struct gpa_seg *s)
{
	if (s->addr.raw < FAKE_RAM_SIZE) {
		assert_true(s->len <= FAKE_RAM_SIZE - s->addr.raw);
		return d->f->ram + s->addr.raw;
	}
	return (uint8_t *)(uintptr_t)s->addr.raw; /* a model's buffer, from f_buf_gpa */
}

static int run_one(struct fake_disk *d, struct blk_req *r)
{
	uint8_t *at = d->data + r->sector * BLK_SECTOR;

	if (r->op == BLK_FLUSH) {
		d->n_flush++;
		return d->fail_flush ? BLK_EIO : BLK_OK;
	}
	if (r->sector < d->bad_to && r->sector + r->n_sectors > d->bad_from)
		return BLK_EIO;
	if (r->op == BLK_DISCARD || r->op == BLK_WRITE_ZEROES) {
		d->n_discard++;
		memset(at, 0, (size_t)r->n_sectors * BLK_SECTOR);
		return BLK_OK;
	}
	for (unsigned i = 0; i < r->n_seg; at += r->seg[i++].len) {
		uint8_t *p = seg_ptr(d, &r->seg[i]);

		if (r->op == BLK_READ)
			memcpy(p, at, r->seg[i].len);
		else
			memcpy(at, p, r->seg[i].len);
		d->n_read_segs += r->op == BLK_READ;
	}
	return BLK_OK;
}

unsigned fake_disk_run(struct fake_disk *d)
{
	unsigned done = 0;

	while (d->n > 0) {
		struct blk_req *r = d->queue[0];
		int err = run_one(d, r);

		memmove(d->queue, d->queue + 1, --d->n * sizeof(d->queue[0]));
		r->done(r->owner, r, err);
		for (unsigned i = 0; i < d->f->n; i++)
			check_sane(&d->f->host[i]);
		done++;
	}
	return done;
}

static size_t c_write(struct chr *c, const uint8_t *buf, size_t n)
{
	struct fake_chr *fc = (struct fake_chr *)c;
	size_t room = sizeof(fc->out) - fc->n_out;

	if (room > fc->out_room)
		room = fc->out_room;
	if (n > room)
		n = room;
	memcpy(fc->out + fc->n_out, buf, n);
	fc->n_out += n;
	fc->out_room -= n;
	return n;
}

static size_t c_read(struct chr *c, uint8_t *buf, size_t n)
{
	struct fake_chr *fc = (struct fake_chr *)c;

	if (n > fc->n_in)
		n = fc->n_in;
	memcpy(buf, fc->in, n);
	memmove(fc->in, fc->in + n, fc->n_in - n);
	fc->n_in -= n;
	return n;
}

static size_t c_room(struct chr *c)
{
	struct fake_chr *fc = (struct fake_chr *)c;
	size_t room = sizeof(fc->out) - fc->n_out;

	return room < fc->out_room ? room : fc->out_room;
}

void fake_chr_init(struct fake_chr *c)
{
	memset(c, 0, sizeof(*c));
	c->chr.write = c_write;
	c->chr.read = c_read;
	c->chr.room = c_room;
	c->out_room = SIZE_MAX;
}

void fake_chr_feed(struct fake_chr *c, const void *buf, size_t n)
{
	assert_true(n <= sizeof(c->in) - c->n_in);
	memcpy(c->in + c->n_in, buf, n);
	c->n_in += n;
	if (c->chr.ready)
		c->chr.ready(c->chr.owner);
}

/* Models of network cards are the only devices with a network: whoever owns it is one of the host's. */
static void net_sane(struct fake_net *n)
{
	for (unsigned i = 0; i < n->f->n; i++)
		check_sane(&n->f->host[i]);
}

static int n_send(struct net *net, struct net_tx *tx)
{
	struct fake_net *n = (struct fake_net *)net;
	uint32_t len = 0;

	if (n->n >= n->room)
		return -1;
	for (unsigned i = 0; i < n->n; i++)
		assert_ptr_not_equal(n->queue[i], tx);
	assert_true(tx->n_seg >= 1 && tx->n_seg <= NET_MAX_SEGS);
	for (unsigned i = 0; i < tx->n_seg; i++) {
		assert_true(tx->seg[i].len >= 1 && tx->seg[i].len <= NET_MAX_FRAME);
		len += tx->seg[i].len;
	}
	assert_true(len >= 14 && len <= NET_MAX_FRAME);
	assert_true(tx->off.gso || len <= NET_MTU_MAX + 18);
	assert_true(!tx->off.gso || (tx->off.flags & NET_CSUM_PARTIAL));
	assert_true(!tx->off.flags || (net->features & NET_F_CSUM));
	assert_true(tx->off.gso != NET_GSO_TCPV4 || (net->features & NET_F_TSO4));
	assert_true(tx->off.gso != NET_GSO_TCPV6 || (net->features & NET_F_TSO6));
	n->was[n->n] = *tx;
	n->queue[n->n++] = tx;
	return 0;
}

static void n_resume(struct net *net)
{
	((struct fake_net *)net)->n_resume++;
}

void fake_net_init(struct fake_net *n, struct fake *f)
{
	memset(n, 0, sizeof(*n));
	n->f = f;
	n->room = FAKE_NET_QUEUE;
	n->net = (struct net){ .send = n_send,
			       .resume = n_resume,
			       .mac = { 0x52, 0x54, 0x00, 0x12, 0x34, 0x56 },
			       .link = true };
}

void fake_net_forget(struct fake_net *n)
{
	while (n->n_sent > 0)
		free(n->sent[--n->n_sent]);
}

void fake_net_free(struct fake_net *n)
{
	fake_net_forget(n);
}

static void keep_frame(struct fake_net *n, const struct net_tx *tx)
{
	struct fake_frame *fr = calloc(1, sizeof(*fr));

	assert_non_null(fr);
	assert_true(n->n_sent < FAKE_NET_KEPT);
	fr->off = tx->off;
	fr->n_seg = tx->n_seg;
	for (unsigned i = 0; i < tx->n_seg; i++) {
		const struct gpa_seg *s = &tx->seg[i];
		bool ram = s->addr.raw < FAKE_RAM_SIZE;

		assert_true(!ram || s->len <= FAKE_RAM_SIZE - s->addr.raw);
		fr->from_model |= !ram;
		memcpy(fr->data + fr->len,
		       ram ? n->f->ram + s->addr.raw : (uint8_t *)(uintptr_t)s->addr.raw, s->len);
		fr->len += s->len;
	}
	n->sent[n->n_sent++] = fr;
}

void fake_net_end(struct fake_net *n, unsigned i, int err)
{
	struct net_tx *tx;

	assert_true(i < n->n);
	tx = n->queue[i];
	assert_memory_equal(tx, &n->was[i], sizeof(*tx));
	if (!err)
		keep_frame(n, tx);
	n->n--;
	memmove(n->queue + i, n->queue + i + 1, (n->n - i) * sizeof(n->queue[0]));
	memmove(n->was + i, n->was + i + 1, (n->n - i) * sizeof(n->was[0]));
	tx->done(tx->owner, tx, err);
	net_sane(n);
	if (n->n < n->room && n->net.sent_room)
		n->net.sent_room(n->net.owner);
	net_sane(n);
}

unsigned fake_net_run(struct fake_net *n)
{
	unsigned done = 0;

	for (; n->n > 0; done++)
		fake_net_end(n, 0, 0);
	return done;
}

bool fake_net_feed(struct fake_net *n, const void *frame, size_t len, const struct net_offload *off)
{
	static const struct net_offload none;
	uint8_t *copy = malloc(len); /* exactly so long: ASan sees who reads beyond it */
	bool taken;

	assert_non_null(copy);
	memcpy(copy, frame, len);
	taken = n->net.receive(n->net.owner, copy, len, off ? off : &none);
	assert_memory_equal(copy, frame, len);
	free(copy);
	net_sane(n);
	return taken;
}

void fake_net_link(struct fake_net *n, bool up)
{
	n->net.link = up;
	n->net.link_changed(n->net.owner);
	net_sane(n);
}
