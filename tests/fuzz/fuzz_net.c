/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_net.c - one network card between a guest and a network that do what the input says.
 *
 * The first byte chooses the card, the second how far a BIOS has set it up.  Then come steps: accesses of any size
 * inside its regions, bursts, RAM (where rings and descriptors lie), frames that come in, frames whose sending ends
 * late, badly or in any order, a network that is busy, the cable, time, resets, save and load, loads of nonsense.
 *
 * The context is an allocation of its own, so that ASan sees what leaves it; sane() is called after each step.
 */
#include <sanitizer/asan_interface.h>

#include "fuzz_net.h"
#include "models/e1000/e1000.h"
#include "models/ne2000/ne2000.h"
#include "models/net_csum.h"
#include "models/pci/pci_cfg.h"
#include "models/rtl8139/rtl8139.h"
#include "tests/posted.h"

static struct dev_host *host; /* of this run */
static struct net net;

static const struct rtl8139_cfg rtl8139 = { .net = &net };
static const struct rtl8139_cfg rtl8139_c = { .net = &net, .c_only = true };
static const struct ne2000_cfg ne2000 = { .net = &net, .base = 0x300, .irq = 5 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t noise(struct dev_host *h)
{
	h->noise = h->noise * 1664525u + 1013904223u;
	return (uint8_t)(h->noise >> 24);
}

/* Services. */

static void s_irq(struct dev_host *h, unsigned n, bool level)
{
	CHECK(n < h->cls->n_irqs);
	h->line = level;
}

static void s_msi(struct dev_host *h, uint64_t addr, uint32_t data)
{
	(void)h;
	(void)addr;
	(void)data;
}

static bool s_ok(struct dev_host *h, gpa_t a, uint64_t len)
{
	(void)h;
	return a.raw <= RAM_SIZE && len <= RAM_SIZE - a.raw;
}

static bool s_read(struct dev_host *h, gpa_t a, void *dst, size_t len)
{
	if (!s_ok(h, a, len))
		return false;
	memcpy(dst, h->ram + a.raw, len);
	return true;
}

static bool s_write(struct dev_host *h, gpa_t a, const void *src, size_t len)
{
	if (!s_ok(h, a, len))
		return false;
	memcpy(h->ram + a.raw, src, len);
	return true;
}

static gpa_t s_gpa(struct dev_host *h, const void *p)
{
	CHECK((const char *)p >= (char *)h->dev && (const char *)p < (char *)h->dev + h->cls->size);
	return (gpa_t){ (uintptr_t)p };
}

static uint64_t s_now(struct dev_host *h)
{
	return h->now;
}

static void s_arm(struct dev_host *h, unsigned timer, uint64_t deadline)
{
	CHECK(timer < h->cls->n_timers);
	h->deadline[timer] = deadline;
}

static void s_place(struct dev_host *h, unsigned region, uint64_t base)
{
	CHECK(region < h->cls->n_regions && h->cls->regions[region].space != DEV_PCICFG);
	h->base[region] = base;
}

static void s_reset(struct dev_host *h)
{
	(void)h;
}

#define VALID POSTED_VALID

static void s_shadow(struct dev_host *h, unsigned n, uint32_t value, bool valid)
{
	CHECK(n < h->cls->n_fast && h->cls->fast[n].kind == DEV_SHADOW);
	h->shadow[n] = value | (valid ? VALID : 0);
}

static const struct dev_services services = {
	.irq = s_irq,
	.msi = s_msi,
	.dma_read = s_read,
	.dma_write = s_write,
	.dma_ok = s_ok,
	.buf_gpa = s_gpa,
	.now_ns = s_now,
	.wall_ns = s_now,
	.arm = s_arm,
	.place = s_place,
	.shadow = s_shadow,
	.reset = s_reset,
	.poweroff = s_reset,
};

/* The network. */

static uint8_t *seg_at(struct dev_host *h, const struct gpa_seg *s)
{
	if (s->addr.raw < RAM_SIZE) {
		CHECK(s->len <= RAM_SIZE - s->addr.raw);
		return h->ram + s->addr.raw;
	}
	CHECK(s->addr.raw >= (uintptr_t)h->dev &&
	      s->addr.raw + s->len <= (uintptr_t)h->dev + h->cls->size);
	return (uint8_t *)(uintptr_t)s->addr.raw;
}

static int n_send(struct net *n, struct net_tx *tx)
{
	struct dev_host *h = host;
	struct pending *p = &h->q[h->n];
	uint64_t len = 0;

	CHECK(n == &net && tx->done && tx->n_seg >= 1 && tx->n_seg <= NET_MAX_SEGS);
	for (unsigned i = 0; i < h->n; i++)
		CHECK(h->q[i].tx != tx);
	for (unsigned i = 0; i < tx->n_seg; i++) {
		CHECK(tx->seg[i].len &&
		      !__asan_region_is_poisoned(seg_at(h, &tx->seg[i]), tx->seg[i].len));
		len += tx->seg[i].len;
	}
	CHECK(len >= NET_ETH_HDR && len <= NET_MAX_FRAME);
	CHECK(tx->off.gso || len <= NET_MTU_MAX + 18);
	CHECK(!tx->off.flags || tx->off.flags == NET_CSUM_PARTIAL);
	if (tx->off.flags) {
		CHECK(net.features & NET_F_CSUM);
		CHECK((uint64_t)tx->off.csum_start + tx->off.csum_offset + 2 <= len);
	}
	if (tx->off.gso) {
		CHECK(tx->off.flags && tx->off.gso_size && tx->off.hdr_len < len);
		CHECK(net.features & (tx->off.gso == NET_GSO_TCPV4 ? NET_F_TSO4 : NET_F_TSO6));
	}
	if (h->n >= h->room || h->n == MAX_QUEUE)
		return -1;
	p->tx = tx;
	p->was = *tx;
	memcpy(p->seg, tx->seg, tx->n_seg * sizeof(*tx->seg));
	h->n++;
	return 0;
}

static void n_resume(struct net *n)
{
	CHECK(n == &net);
}

static void end_one(struct dev_host *h, unsigned which, int err)
{
	struct pending p;

	if (!h->n)
		return;
	which %= h->n;
	p = h->q[which];
	h->q[which] = h->q[--h->n];
	CHECK(memcmp(p.tx, &p.was, sizeof(p.was)) == 0);
	CHECK(memcmp(p.tx->seg, p.seg, p.was.n_seg * sizeof(p.seg[0])) == 0);
	for (unsigned i = 0; i < p.was.n_seg; i++)
		for (uint32_t k = 0; k < p.seg[i].len; k += 61)
			h->sink += seg_at(h, &p.seg[i])[k];
	p.tx->done(p.tx->owner, p.tx, err);
	if (h->n < h->room)
		net.sent_room(net.owner);
}

/* Steps. */

static void run_access(struct dev_host *h, struct dev_access *a)
{
	h->cls->access(h->dev, a);
	if (!a->write && a->size < 8)
		CHECK(a->data >> a->size * 8 == 0);
}

/* how: 0-1 size, 2 write, 3 aligned, 5-7 region. */
static void step_region(struct dev_host *h)
{
	uint8_t how = take8(h);
	unsigned n = (how >> 5) % h->cls->n_regions;
	const struct dev_region *r = &h->cls->regions[n];
	struct dev_access a = { .region = n, .size = (uint8_t)(1u << (how & 3)), .write = how & 4 };

	a.offset = (r->len > 256 ? take16(h) : take8(h)) % r->len;
	if (how & 8)
		a.offset &= ~(a.size - 1u);
	if (a.write)
		a.data = take32(h) & (a.size < 4 ? (1u << a.size * 8) - 1 : ~0u);
	if (!(r->sizes & a.size) || a.offset + a.size > r->len ||
	    (r->space != DEV_PCICFG && h->base[n] == DEV_UNPLACED))
		return;
	run_access(h, &a);
}

/* A dword to the first region but configuration, as drivers mostly do. */
static void step_write32(struct dev_host *h)
{
	const struct dev_region *r = &h->cls->regions[0];
	struct dev_access a = { .size = 4, .write = true };

	a.offset = (r->len > 1024 ? take16(h) : take8(h)) * 4u % r->len;
	a.data = take32(h);
	if ((r->sizes & 4) && a.offset + 4 <= r->len && h->base[0] != DEV_UNPLACED)
		run_access(h, &a);
}

static void step_write8(struct dev_host *h)
{
	const struct dev_region *r = &h->cls->regions[0];
	struct dev_access a = { .size = 1, .write = true, .offset = take8(h) % r->len };

	a.data = take8(h);
	if ((r->sizes & 1) && h->base[0] != DEV_UNPLACED)
		run_access(h, &a);
}

/* Does vmm/fast.c queue this write?  Then it marks shadows as stale, and knows what others say afterwards. */
static bool may_wait(struct dev_host *h, const struct dev_fast *f, const struct dev_access *a,
		     uint64_t *then, uint32_t *stale)
{
	const struct dev_class *c = h->cls;
	uint64_t own = f->own == DEV_NO_SHADOW ? 0 : then[f->own];
	bool known = false;

	if (a->data & f->not_if || (f->if_clear && *stale >> f->own & 1) ||
	    !posted_clear(f, own, a->offset - f->offset, a->data))
		return false;
	for (unsigned i = 0; i < c->n_fast; i++) {
		const struct dev_fast *o = &c->fast[i];

		if (o->kind == DEV_SHADOW && o->region == a->region && o->len &&
		    o->offset < a->offset + a->size && a->offset < o->offset + o->len)
			known |= posted_over(f, f->dirties, i,
					     o->offset == a->offset && o->len == a->size, a->data,
					     then, stale);
	}
	if (!known && (!(own & VALID) || (own ^ a->data) & f->care))
		*stale |= f->dirties;
	return true;
}

/* Writes that may come late, and what is read meanwhile; those that come late because no interrupt depends on them
 * change none. */
static void step_posted(struct dev_host *h)
{
	const struct dev_class *c = h->cls;
	const struct dev_fast *of[4];
	struct dev_access q[4];
	uint64_t then[DEV_MAX_FAST];
	uint32_t stale = 0;
	unsigned n = 0;

	memcpy(then, h->shadow, sizeof(then));
	for (unsigned left = 1u + (take8(h) & 3); left && c->n_fast; left--) {
		const struct dev_fast *f = &c->fast[take8(h) % c->n_fast];
		uint8_t how = take8(h);
		struct dev_access a = { .region = f->region,
					.size = (uint8_t)(1u << (how & 3) % 3),
					.write = true,
					.data = take32(h) };

		if (f->kind != DEV_POSTED || f->without || h->base[f->region] == DEV_UNPLACED)
			continue;
		a.offset = f->offset + (how >> 2) % f->len;
		a.data &= a.size < 4 ? (1u << a.size * 8) - 1 : ~0u;
		if (!(c->regions[f->region].sizes & a.size) || a.offset % a.size ||
		    a.offset + a.size > f->offset + f->len || !may_wait(h, f, &a, then, &stale))
			continue;
		of[n] = f;
		q[n++] = a;
	}
	for (unsigned i = 0; i < n; i++) {
		bool line = h->line;

		run_access(h, &q[i]);
		/* (The RTL8139 may find that its driver is in a storm, and be quiet until a timer.) */
		CHECK(!of[i]->if_clear || h->line == line ||
		      (h->cls == &rtl8139_class && h->deadline[2] != UINT64_MAX));
	}
	for (unsigned i = 0; i < c->n_fast && n; i++) {
		const struct dev_fast *o = &c->fast[i];
		struct dev_access a = { .region = o->region,
					.offset = o->offset,
					.size = (uint8_t)o->len };

		if (o->kind != DEV_SHADOW || !o->len || !(then[i] & VALID) || stale >> i & 1 ||
		    h->base[o->region] == DEV_UNPLACED)
			continue;
		run_access(h, &a);
		CHECK(a.data == (uint32_t)then[i]);
	}
}

static void step_burst(struct dev_host *h)
{
	uint8_t how = take8(h);
	const struct dev_region *r = &h->cls->regions[0];
	struct dev_access a = { .size = (uint8_t)(1u << (how & 3) % 3), .write = how & 4 };
	uint32_t n = 1u + take8(h) * (how & 8 ? 1u : 4u);
	uint8_t *buf;

	a.offset = how & 0x10 ? 0x10 : take8(h) % r->len;
	if (!h->cls->burst || r->space != DEV_PIO || !(r->sizes & a.size) ||
	    a.offset + a.size > r->len)
		return;
	buf = malloc(n * a.size);
	for (uint32_t i = 0; i < n * a.size; i++)
		buf[i] = noise(h);
	h->cls->burst(h->dev, &a, buf, n);
	free(buf);
}

static void step_config(struct dev_host *h)
{
	for (unsigned i = 0; i < h->cls->n_regions; i++)
		if (h->cls->regions[i].space == DEV_PCICFG) {
			struct dev_access a = { .region = i, .size = 4, .write = true };

			a.offset = take8(h) & 0x3c;
			a.data = take32(h);
			run_access(h, &a);
		}
}

static void step_ram(struct dev_host *h)
{
	uint32_t at = take16(h) * 2u;
	uint8_t n = take8(h);

	for (unsigned i = 0; i < n && at + i < RAM_SIZE; i++)
		h->ram[at + i] = n & 0x40 ? noise(h) : take8(h);
}

/* Descriptors in a row: words from the input, addresses in RAM for the most part, in the first or second half. */
static void step_desc(struct dev_host *h)
{
	uint32_t at = take8(h) * 256u, w0 = take32(h), w1 = take16(h) | (uint32_t)take8(h) << 16;
	uint8_t n = take8(h), how = take8(h);

	for (unsigned i = 0; i < (n & 31u) + 1 && at + 16 <= RAM_SIZE; i++, at += 16) {
		uint64_t addr = (noise(h) << 8 | noise(h)) + (noise(h) == 0 ? RAM_SIZE - 0x80 : 0);
		uint8_t d[16] = { 0 };

		memcpy(d, how & 1 ? (void *)&w0 : (void *)&addr, 4);
		memcpy(d + 4, how & 1 ? &w1 : &(uint32_t){ 0 }, 4);
		memcpy(d + 8, how & 1 ? (void *)&addr : (void *)&w0, how & 1 ? 8 : 4);
		if (!(how & 1))
			memcpy(d + 12, &w1, 4);
		memcpy(h->ram + at, d, 16);
	}
}

/* IP and TCP or UDP into RAM: for offloads. */
static uint32_t packet(struct dev_host *h, uint8_t *p)
{
	uint8_t how = take8(h);
	unsigned at = 12, data = take8(h) * (how & 0x80 ? 100u : 1u);
	unsigned len;

	memset(p, how, 12);
	if (!(how & 0x40))
		memcpy(p, net.mac, 6);
	for (unsigned i = how & 3; i; i--, at += 4)
		net_put16(p + at, NET_TPID);
	net_put16(p + at, how & 4 ? 0x86dd : 0x0800);
	at += 2;
	memset(p + at, 0, 100);
	len = (how & 4 ? 40u : 20u) + (how & 8 ? 20u : 8u) + data;
	if (how & 4) {
		p[at] = 0x60;
		net_put16(p + at + 4, len - 40);
		p[at + 6] = how & 8 ? 6 : 17;
	} else {
		p[at] = 0x45 + (how >> 5 & 1);
		net_put16(p + at + 2, len);
		p[at + 9] = how & 8 ? 6 : 17;
	}
	if (how & 8)
		p[at + (how & 4 ? 40u : 20u) + 12] = 0x50;
	if (how & 0x10) /* and one byte is another */
		p[take8(h)] = take8(h);
	return at + len;
}

static void step_packet(struct dev_host *h)
{
	packet(h, h->ram + (take16(h) & 0xffff));
}

static void step_receive(struct dev_host *h)
{
	static uint8_t buf[NET_MAX_FRAME];
	uint8_t how = take8(h);
	struct net_offload off = { 0 };
	size_t len;
	uint8_t *copy;

	if (how & 1) {
		len = packet(h, buf);
	} else {
		len = NET_ETH_HDR + take8(h) * (how & 2 ? 16u : 1u) +
		      (how & 4 && noise(h) < 8 ? 60000 : 0);
		memset(buf, how, 14);
		if (how & 8)
			memcpy(buf, net.mac, 6);
	}
	if (how & 0x10)
		memset(buf, 0xff, 6);
	if (how & 0x20)
		off.flags = how & 0x40 ? NET_CSUM_VALID : NET_CSUM_PARTIAL;
	if (off.flags & NET_CSUM_PARTIAL) {
		off.csum_start = how & 0x80 ? take16(h) : 34;
		off.csum_offset = how & 0x80 ? take8(h) : 16;
	}
	copy = malloc(len);
	memcpy(copy, buf, len);
	net.receive(net.owner, copy, len, &off);
	free(copy);
}

static void step_end(struct dev_host *h)
{
	uint8_t v = take8(h);

	end_one(h, v >> 1, v & 1 && v > 0x80 ? -1 : 0);
}

static void step_end_all(struct dev_host *h)
{
	for (unsigned n = h->n; n; n--)
		end_one(h, 0, 0);
}

static void step_room(struct dev_host *h)
{
	static const unsigned rooms[] = { MAX_QUEUE, 32, 1, 0 };

	h->room = rooms[take8(h) & 3];
	if (h->n < h->room)
		net.sent_room(net.owner);
}

static void step_link(struct dev_host *h)
{
	net.link = take8(h) & 3;
	net.link_changed(net.owner);
}

static void step_time(struct dev_host *h)
{
	uint8_t v = take8(h);

	h->now += (1ull << v % 44) + (uint64_t)(v >> 6) * 1000;
	if (h->now > END_OF_TIME)
		h->now = END_OF_TIME;
}

static void step_reset(struct dev_host *h)
{
	if (take8(h) < 64)
		h->cls->reset(h->dev);
}

static void step_save(struct dev_host *h)
{
	uint8_t v = take8(h);
	size_t len = 24 + h->cls->state_size;
	uint8_t *a, *b;

	a = malloc(len);
	b = malloc(len);
	CHECK(dev_save(h->cls, h->dev, a, len) == len);
	CHECK(dev_save(h->cls, h->dev, b, len - 1) == 0);
	if (v & 0x80) { /* nonsense from outside, and at any time */
		for (unsigned n = v & 7; n; n--)
			a[24 + take16(h) % h->cls->state_size] = take8(h);
		dev_load(h->cls, h->dev, a, len);
	} else if (!h->n) {
		bool idle = h->room == MAX_QUEUE;

		/* What waits for nothing but the network may go out by a load. */
		memset((uint8_t *)h->dev + h->cls->state_off, noise(h), h->cls->state_size);
		CHECK(dev_load(h->cls, h->dev, a, len - 1) == -1);
		CHECK(dev_load(h->cls, h->dev, a, len) == 0);
		CHECK(dev_save(h->cls, h->dev, b, len) == len);
		CHECK(!idle || h->n || memcmp(a, b, len) == 0);
	}
	free(a);
	free(b);
}

static const step_fn steps[] = {
	step_region, step_region, step_region,  step_write32, step_write32, step_write32,
	step_write8, step_posted, step_burst,   step_burst,   step_config,  step_ram,
	step_desc,   step_desc,   step_packet,  step_receive, step_receive, step_receive,
	step_end,    step_end,    step_end_all, step_room,    step_link,    step_time,
	step_reset,  step_save,
};
#define N_STEPS (sizeof(steps) / sizeof(steps[0]))

void fuzz_timers(struct dev_host *h)
{
	for (unsigned t = 0; t < h->cls->n_timers; t++)
		if (h->deadline[t] <= h->now) {
			h->deadline[t] = UINT64_MAX;
			h->cls->timer(h->dev, t);
		}
}

/* The cards: a class, its configuration, and steps of its own. */
static const struct e1000_cfg e1000 = { .net = &net };

static const struct card {
	const struct dev_class *cls;
	const void *cfg;
	const step_fn *step;
	unsigned n_steps;
} cards[] = {
	{ &rtl8139_class, &rtl8139, NULL, 0 },
	{ &rtl8139_class, &rtl8139_c, NULL, 0 },
	{ &ne2000_pci_class, &ne2000, NULL, 0 },
	{ &ne2000_isa_class, &ne2000, NULL, 0 },
	{ &e1000_class, &e1000, e1000_steps, N_E1000_STEPS },
};
#define N_CARDS (sizeof(cards) / sizeof(cards[0]))

/* As a BIOS leaves a PCI function. */
static void bios(struct dev_host *h)
{
	static const struct {
		uint8_t off;
		uint32_t v;
	} write[] = { { 0x10, 0xfebc0000 },
		      { 0x10, 0xc000 },
		      { 0x14, 0xfebd0000 },
		      { 0x18, 0xd000 },
		      { 0x04, 7 } };

	for (unsigned r = 0; r < h->cls->n_regions; r++)
		for (unsigned i = 0; i < 5 && h->cls->regions[r].space == DEV_PCICFG; i++) {
			struct dev_access a = { .region = r,
						.offset = write[i].off,
						.size = 4,
						.write = true,
						.data = write[i].v };

			/* The first BAR is I/O or memory. */
			if (i == 1) {
				struct dev_access bar = { .region = r, .offset = 0x10, .size = 4 };

				h->cls->access(h->dev, &bar);
				if (!(bar.data & 1))
					continue;
			}
			h->cls->access(h->dev, &a);
		}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct dev_host *h = calloc(1, sizeof(*h));
	struct dev_env env = { .svc = &services, .host = h };
	const struct card *card;
	uint8_t how;

	host = h;
	h->at = data;
	h->end = data + size;
	h->ram = calloc(1, RAM_SIZE);
	h->noise = (uint32_t)size;
	h->room = MAX_QUEUE;
	card = &cards[take8(h) % N_CARDS];
	how = take8(h);
	net = (struct net){ .send = n_send,
			    .resume = n_resume,
			    .features = how & 7,
			    .mac = { 0x52, 0x54, 0, 0x12, 0x34, 0x56 },
			    .link = true };
	if (!(net.features & NET_F_CSUM))
		net.features = 0;
	h->cls = card->cls;
	if (posix_memalign(&h->dev, 16, (h->cls->size + 15) & ~(size_t)15))
		abort();
	memset(h->dev, 0, h->cls->size);
	CHECK(h->cls->n_regions <= MAX_REGIONS && h->cls->n_timers <= MAX_TIMERS);
	for (unsigned i = 0; i < h->cls->n_regions; i++)
		h->base[i] = h->cls->regions[i].base;
	for (unsigned i = 0; i < MAX_TIMERS; i++)
		h->deadline[i] = UINT64_MAX;
	CHECK(h->cls->init(h->dev, &env, card->cfg) == 0);
	if (!(how & 8))
		bios(h);
	for (unsigned n = 0; n < MAX_STEPS && h->at < h->end; n++) {
		uint8_t v = take8(h);

		if (v & 0x80 && card->n_steps)
			card->step[v % card->n_steps](h);
		else
			steps[v % N_STEPS](h);
		h->now += 700;
		fuzz_timers(h);
		CHECK(h->cls->sane(h->dev));
	}
	step_end_all(h);
	CHECK(h->cls->sane(h->dev));
	free(h->dev);
	free(h->ram);
	free(h);
	return 0;
}
