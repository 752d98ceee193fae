/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fast.c - accesses that need not reach a model at once (include/sio/slot.h: posted, shadow, clock,
 * doorbell, read-through and FIFO ranges, and those that kick).
 *
 * Posted writes wait in KVM's coalesced ring, where they cost no exit to user space, and move from there
 * into a queue of ours, in order; writes that KVM can't queue by itself (not_if) go straight into the
 * queue, behind what is in the ring.  So do those that kick: they exit, so that the I/O thread can be woken.  The
 * queue remembers which shadows its writes make stale, and what others say when it has been delivered.
 *
 * Order: whoever reflects a request delivers the queue first, and holds the lock until the firmware has
 * seen it all; others that find something queued, or being delivered, wait for the lock.  So a write that
 * was posted before a request, by any vCPU, is seen before it.  Doorbells ring after what was posted.  The queue
 * itself has a lock of its own, inside the other: a vCPU that posts does not wait for what is being delivered.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "vmm/domain.h"

#define RING_MAX \
	((SIO_PAGE - sizeof(struct kvm_coalesced_mmio_ring)) / sizeof(struct kvm_coalesced_mmio))
/* An entry of the ring makes at most three of ours. */
#define QUEUE_MAX   (SIO_MAX_POSTED + 3 * RING_MAX)
#define IOAPIC_BASE 0xfec00000u
/* How often the ring is looked at without a request: between these, the longer the less there is. */
#define PERIOD_MIN_NS 1000000u
#define PERIOD_MAX_NS (SIO_POSTED_MAX_NS / 2)

struct range {
	uint8_t kind, space; /* kind 0: free */
	uint8_t home, model;
	bool zone; /* KVM queues its writes */
	uint64_t base, len, c;
	uint32_t slot; /* READTHROUGH: the guest VM's memory slot */
	int fd;        /* DOORBELL */
};

struct fast {
	struct range range[SIO_MAX_FAST];
	/* By port: 0, or an index into range plus 1. Written under map_lock. */
	_Atomic uint8_t read[65536], write[65536];
	/* The same of those in memory, the first n_mmio. */
	_Atomic uint8_t mmio[SIO_MAX_FAST];
	_Atomic unsigned n_mmio;
	_Atomic unsigned n_posted, n_doorbells, n_zones;

	pthread_mutex_t lock; /* order, see above; and what is being delivered: */
	_Atomic bool delivering;
	struct sio_posted out[QUEUE_MAX];
	uint8_t out_home[QUEUE_MAX];

	pthread_mutex_t q_lock;               /* the queue: */
	struct kvm_coalesced_mmio_ring *ring; /* NULL: KVM has none */
	bool pio_ring;
	struct sio_posted q[QUEUE_MAX];
	uint8_t q_home[QUEUE_MAX];
	_Atomic unsigned n;
	uint32_t stale[N_HOMES];
	uint32_t expects[N_HOMES]; /* entries that say something else when it has been delivered: */
	uint64_t expect[N_HOMES][SIO_MAX_SHADOWS];
	struct fast_stats stats;

	int timer_fd;
	_Atomic uint64_t period_ns; /* 0: not running */
	uint64_t seen;              /* stats.posted at the last look */
	bool waited;                /* something was queued then, and stats.batches was: */
	uint64_t waited_batches;
};

int fast_init(struct domain *d)
{
	struct fast *f = calloc(1, sizeof(*f));

	if (!f)
		return fail_errno("no memory");
	pthread_mutex_init(&f->lock, NULL);
	pthread_mutex_init(&f->q_lock, NULL);
	f->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	for (unsigned i = 0; i < SIO_MAX_FAST; i++)
		f->range[i].fd = -1;
	d->fast = f;
	return f->timer_fd < 0 ? fail_errno("can't make a timer") : 0;
}

void fast_start(struct domain *d)
{
	int page = ioctl(d->kvm, KVM_CHECK_EXTENSION, KVM_CAP_COALESCED_MMIO);

	if (page <= 0 || (size_t)(page + 1) * SIO_PAGE > d->run_size)
		return;
	d->fast->ring = (void *)((char *)d->vcpu[0].run + (size_t)page * SIO_PAGE);
	d->fast->pio_ring = ioctl(d->kvm, KVM_CHECK_EXTENSION, KVM_CAP_COALESCED_PIO) > 0;
}

static void set_period(struct fast *f, uint64_t ns)
{
	struct itimerspec it = { .it_value.tv_nsec = (long)ns, .it_interval.tv_nsec = (long)ns };

	f->period_ns = ns;
	timerfd_settime(f->timer_fd, 0, &it, NULL);
}

/* Ranges. Locked: map_lock. */

static struct range *new_range(struct fast *f)
{
	for (unsigned i = 0; i < SIO_MAX_FAST; i++)
		if (!f->range[i].kind)
			return &f->range[i];
	return NULL;
}

static int zone(struct domain *d, const struct range *r, bool on)
{
	struct kvm_coalesced_mmio_zone z = { .addr = r->base,
					     .size = (uint32_t)r->len,
					     .pio = r->space == SIO_SPACE_PIO };

	return ioctl(d->guest_vm, on ? KVM_REGISTER_COALESCED_MMIO : KVM_UNREGISTER_COALESCED_MMIO,
		     &z);
}

static int doorbell(struct domain *d, const struct range *r, bool on)
{
	struct kvm_ioeventfd e = {
		.datamatch = (uint32_t)r->c,
		.addr = r->base,
		.len = (uint32_t)r->len,
		.fd = r->fd,
		.flags = KVM_IOEVENTFD_FLAG_DATAMATCH |
			 (r->space == SIO_SPACE_PIO ? KVM_IOEVENTFD_FLAG_PIO : 0) |
			 (on ? 0 : KVM_IOEVENTFD_FLAG_DEASSIGN),
	};

	return ioctl(d->guest_vm, KVM_IOEVENTFD, &e);
}

/* What is in memory has no number to be found by; map_lock. */
static void list_mmio(struct fast *f, const struct range *r)
{
	unsigned i = 0;

	while (f->mmio[i])
		i++;
	/* The entry is whole before it can be found. */
	atomic_store_explicit(&f->mmio[i], (uint8_t)(r - f->range + 1), memory_order_release);
	if (i >= f->n_mmio)
		f->n_mmio = i + 1;
}

static void add_kick(struct fast *f, struct range *r)
{
	for (uint64_t p = r->base; r->space == SIO_SPACE_PIO && p < r->base + r->len; p++)
		f->write[p] = (uint8_t)(r - f->range + 1);
	if (r->space == SIO_SPACE_MMIO)
		list_mmio(f, r);
	f->n_posted++;
}

/* The host may ignore any request for a fast path: where KVM can't, accesses are reflected. */
static const char *add_posted(struct domain *d, struct range *r)
{
	struct fast *f = d->fast;
	bool clear = r->c & SIO_POSTED_IF_CLEAR, filtered = clear || (r->c >> 48 & 0xff);

	if (r->space == SIO_SPACE_MMIO && filtered && !clear)
		return "a filter on memory";
	if (!filtered && f->ring && (r->space == SIO_SPACE_MMIO || f->pio_ring))
		r->zone = zone(d, r, true) == 0;
	if (!r->zone && r->space == SIO_SPACE_MMIO && !clear) {
		r->kind = 0;
		return NULL;
	}
	if (clear && r->space == SIO_SPACE_MMIO)
		list_mmio(f, r);
	f->n_zones += r->zone;
	for (uint64_t p = r->base; r->space == SIO_SPACE_PIO && p < r->base + r->len; p++)
		f->write[p] = (uint8_t)(r - f->range + 1);
	f->n_posted++;
	if (!f->period_ns)
		set_period(f, PERIOD_MIN_NS);
	return NULL;
}

static const char *add_readthrough(struct home *h, struct range *r)
{
	struct domain *d = h->d;

	if (r->base % SIO_PAGE || r->len % SIO_PAGE || r->c % SIO_PAGE || !r->len ||
	    r->c > h->priv_size || r->len > h->priv_size - r->c || r->base > UINT64_MAX - r->len)
		return "not whole pages of private memory";
	/* Not over RAM, interrupt controllers, the BIOS. */
	if (r->base < d->ram_low || r->base + r->len > IOAPIC_BASE ||
	    r->base + r->len > GUEST_HIGH - d->bios_size)
		return "not in the hole below 4 GiB";
	for (unsigned i = 0; i < SIO_MAX_FAST; i++) {
		const struct range *o = &d->fast->range[i];

		if (o != r && o->kind == SIO_MAP_READTHROUGH && o->base < r->base + r->len &&
		    r->base < o->base + o->len)
			return "over another one";
	}
	/* A guest may move it as often as it likes: the number is the range's own. */
	r->slot = d->next_slot + (uint32_t)(r - d->fast->range);
	if (memory_slot(d->guest_vm, "a read-through range", r->slot, KVM_MEM_READONLY, r->base,
			r->len, h->priv + r->c))
		r->kind = 0;
	return NULL;
}

static const char *add_doorbell(struct home *h, struct range *r)
{
	struct epoll_event ev = { .events = EPOLLIN };

	if (r->c >> 32 >= SIO_MAX_DOORBELLS)
		return "a doorbell's number";
	r->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	ev.data.fd = r->fd;
	if (r->fd < 0 || doorbell(h->d, r, true) < 0) {
		if (r->fd >= 0)
			close(r->fd);
		r->fd = -1;
		r->kind = 0;
		return NULL;
	}
	epoll_ctl(h->d->epoll, EPOLL_CTL_ADD, r->fd, &ev);
	h->d->fast->n_doorbells++;
	return NULL;
}

static bool claimed(const struct home *h, unsigned space, uint64_t base, uint64_t len)
{
	struct domain *d = h->d;
	bool yes = space == SIO_SPACE_PIO;

	for (uint64_t p = base; space == SIO_SPACE_PIO && p < base + len; p++)
		yes &= d->port_owner[p] && OWNER_HOME(d->port_owner[p]) == h->kind;
	for (unsigned i = 0; i < d->n_mmio && space == SIO_SPACE_MMIO; i++) /* map_lock is held */
		yes |= OWNER_HOME(d->mmio[i].owner) == h->kind && base >= d->mmio[i].base &&
		       base + len <= d->mmio[i].base + d->mmio[i].len;
	return yes;
}

const char *fast_map(struct home *h, unsigned space, unsigned kind, unsigned model, uint64_t base,
		     uint64_t len, uint64_t c)
{
	struct domain *d = h->d;
	struct fast *f = d->fast;
	struct range *r;
	bool answers = kind == SIO_MAP_SHADOW || kind == SIO_MAP_CLOCK || kind == SIO_MAP_FIFO;
	bool sized = answers || kind == SIO_MAP_DOORBELL;
	const char *wrong = NULL;

	if (sized && len != 1 && len != 2 && len != 4 && (len != 8 || space == SIO_SPACE_PIO))
		return "no access has this size";
	if (len == 0 || base + len < base || len > 1 << 20 ||
	    (space == SIO_SPACE_PIO && base + len > 0x10000))
		return "a range that is none";
	if (!claimed(h, space, base, len))
		return "not claimed by this home";
	if (!(d->opt->fast >> kind & 1))
		return NULL;
	if ((space == SIO_SPACE_MMIO && (kind == SIO_MAP_CLOCK || kind == SIO_MAP_FIFO)) ||
	    (space == SIO_SPACE_PIO && kind == SIO_MAP_READTHROUGH))
		return NULL;
	/* A region claims again, with all that is fast in it, when what lay over a part of it goes. */
	for (unsigned i = 0; i < SIO_MAX_FAST; i++)
		if (f->range[i].kind == kind && f->range[i].space == space &&
		    f->range[i].home == h->kind && f->range[i].base == base &&
		    f->range[i].len == len && f->range[i].c == c)
			return NULL;
	r = new_range(f);
	if (!r)
		return "too many fast ranges";
	*r = (struct range){ .kind = (uint8_t)kind,
			     .space = (uint8_t)space,
			     .home = (uint8_t)h->kind,
			     .model = (uint8_t)model,
			     .base = base,
			     .len = len,
			     .c = c,
			     .fd = -1 };
	switch (kind) {
	case SIO_MAP_POSTED: wrong = add_posted(d, r); break;
	case SIO_MAP_DOORBELL: wrong = add_doorbell(h, r); break;
	case SIO_MAP_READTHROUGH: wrong = add_readthrough(h, r); break;
	case SIO_MAP_KICK: add_kick(f, r); break;
	case SIO_MAP_SHADOW: wrong = c >= SIO_MAX_SHADOWS ? "a shadow entry's number" : NULL; break;
	case SIO_MAP_FIFO:
		wrong = c >> 32 >= SIO_MAX_SHADOWS ? "a shadow entry's number" : NULL;
		break;
	case SIO_MAP_CLOCK: wrong = c >> 32 > 32 || c >> 32 == 0 ? "a clock's width" : NULL; break;
	}
	if (wrong)
		r->kind = 0;
	else if (answers && space == SIO_SPACE_MMIO)
		list_mmio(f, r);
	else if (answers)
		/* The entry is whole before its number can be found. */
		atomic_store_explicit(&f->read[base], (uint8_t)(r - f->range + 1),
				      memory_order_release);
	return wrong;
}

static void drop(struct domain *d, struct range *r)
{
	struct fast *f = d->fast;
	uint8_t n = (uint8_t)(r - f->range + 1);

	switch (r->kind) {
	case SIO_MAP_POSTED:
		if (r->zone)
			zone(d, r, false);
		f->n_zones -= r->zone;
		f->n_posted--;
		break;
	case SIO_MAP_KICK: f->n_posted--; break;
	case SIO_MAP_DOORBELL:
		doorbell(d, r, false);
		close(r->fd);
		f->n_doorbells--;
		break;
	case SIO_MAP_READTHROUGH:
		memory_slot(d->guest_vm, "a read-through range", r->slot, 0, r->base, 0, NULL);
		break;
	}
	for (uint64_t p = r->base; r->space == SIO_SPACE_PIO && p < r->base + r->len; p++) {
		if (f->read[p] == n)
			f->read[p] = 0;
		if (f->write[p] == n)
			f->write[p] = 0;
	}
	for (unsigned i = 0; r->space == SIO_SPACE_MMIO && i < f->n_mmio; i++)
		if (f->mmio[i] == n)
			f->mmio[i] = 0;
	r->kind = 0;
	r->fd = -1;
}

void fast_unmap(struct home *h, unsigned space, uint64_t base, uint64_t len)
{
	for (unsigned i = 0; i < SIO_MAX_FAST; i++) {
		struct range *r = &h->d->fast->range[i];

		if (r->kind && r->home == h->kind && r->space == space && r->base < base + len &&
		    base < r->base + r->len)
			drop(h->d, r);
	}
}

/* The queue. Locked: q_lock. */

static uint64_t *shadow_entry(const struct home *h, unsigned n)
{
	return &((struct sio_shadow_page_shared *)(h->priv + SIO_SHADOW_OFF))
			->entry[n % SIO_MAX_SHADOWS];
}

static uint64_t shadow(const struct home *h, unsigned n)
{
	/* Pairs with the firmware's release. */
	return __atomic_load_n(shadow_entry(h, n), __ATOMIC_ACQUIRE);
}

/* The entry of the shadow page that a range's reads depend on; SIO_NO_SHADOW: none. */
static unsigned entry_of(const struct range *r)
{
	return r->kind == SIO_MAP_SHADOW ? r->c % SIO_MAX_SHADOWS :
	       r->kind == SIO_MAP_FIFO   ? (r->c >> 32) % SIO_MAX_SHADOWS :
					   SIO_NO_SHADOW;
}

/* The range that a queued write is in; NULL: it is no more, or not in one. */
static const struct range *posted_range(const struct fast *f, const struct home *h,
					const struct sio_posted *p)
{
	unsigned w = p->space == SIO_SPACE_PIO ? f->write[p->addr & 0xffff] : 0;

	for (unsigned i = w ? w - 1 : 0; i < (p->space == SIO_SPACE_PIO ? w : SIO_MAX_FAST); i++) {
		const struct range *r = &f->range[i];

		if ((r->kind == SIO_MAP_POSTED || r->kind == SIO_MAP_KICK) && r->home == h->kind &&
		    r->space == p->space && p->addr >= r->base && p->addr - r->base < r->len &&
		    p->size <= r->len - (p->addr - r->base))
			return r;
	}
	return NULL;
}

/* What entry e says when all that is queued has been delivered, unless it is stale. */
static uint64_t expected(const struct fast *f, const struct home *h, unsigned e)
{
	return f->expects[h->kind] >> e & 1 ? f->expect[h->kind][e] : shadow(h, e);
}

static void expect(struct fast *f, const struct home *h, unsigned e, uint64_t word)
{
	f->expects[h->kind] |= 1u << e;
	f->expect[h->kind][e] = word;
}

/* A write in range r is to the register whose shadow range o is: is it known what that, and the others that depend on it,
 * say then? */
static bool foreseen(struct fast *f, const struct home *h, const struct range *r,
		     const struct range *o, const struct sio_posted *p)
{
	unsigned e = entry_of(o);
	uint64_t word = expected(f, h, e), bits = word & (uint32_t)p->data;

	if (!(r->c & (SIO_POSTED_READS_BACK | SIO_POSTED_CLEARS)) || o->kind != SIO_MAP_SHADOW ||
	    o->home != h->kind || o->base != p->addr || o->len != p->size ||
	    !(word & SIO_SHADOW_VALID) || h->inside || f->delivering)
		return false;
	if (r->c & SIO_POSTED_READS_BACK) {
		expect(f, h, e, SIO_SHADOW_VALID | (uint32_t)p->data);
		return true;
	}
	expect(f, h, e, word & ~bits);
	for (unsigned i = 0; i < SIO_MAX_SHADOWS; i++)
		if (r->c >> i & 1)
			expect(f, h, i, expected(f, h, i) & ~bits);
	return true;
}

/* Which shadows does this write make stale, and what do others say then? */
static void mark(struct fast *f, const struct home *h, const struct sio_posted *p)
{
	const struct range *r = posted_range(f, h, p);
	unsigned own = r ? r->c >> 32 & 0xff : SIO_NO_SHADOW, care = r ? r->c >> 40 & 0xff : 0;
	uint32_t *stale = &f->stale[h->kind];
	bool known = false;
	uint64_t v;

	if (!r) {
		*stale = UINT32_MAX;
		return;
	}
	/* A shadow may begin up to three ports before. */
	for (uint64_t a = p->addr < 3 ? 0 : p->addr - 3;
	     a < p->addr + p->size && p->space == SIO_SPACE_PIO; a++) {
		unsigned k = f->read[a & 0xffff];
		const struct range *o = k ? &f->range[k - 1] : NULL;

		if (o && entry_of(o) != SIO_NO_SHADOW && o->base + o->len > p->addr)
			*stale |= 1u << entry_of(o);
	}
	for (unsigned i = 0; i < f->n_mmio && p->space == SIO_SPACE_MMIO; i++) {
		const struct range *o = f->mmio[i] ? &f->range[f->mmio[i] - 1] : NULL;

		if (!o || o->kind != SIO_MAP_SHADOW || o->base >= p->addr + p->size ||
		    p->addr >= o->base + o->len)
			continue;
		if (foreseen(f, h, r, o, p))
			known = true;
		else
			*stale |= 1u << entry_of(o);
	}
	if (known && r->c & SIO_POSTED_CLEARS)
		return;
	/* What is being delivered may be about to change it. */
	if (own < SIO_MAX_SHADOWS && !f->delivering) {
		v = shadow(h, own);
		if (v & SIO_SHADOW_VALID && !((v ^ p->data) & care))
			return;
	}
	*stale |= (uint32_t)r->c;
}

static void enqueue(struct fast *f, const struct home *h, const struct sio_posted *p)
{
	f->q[f->n] = *p;
	f->q_home[f->n] = (uint8_t)h->kind;
	f->n++;
	f->stats.posted++;
}

static bool ring_empty(const struct fast *f)
{
	/* KVM stores an entry before the index that covers it. */
	return !f->ring || __atomic_load_n(&f->ring->last, __ATOMIC_ACQUIRE) ==
				   __atomic_load_n(&f->ring->first, __ATOMIC_ACQUIRE);
}

/* From KVM's ring into the queue, as far as there is room. */
static void take_ring(struct domain *d)
{
	struct fast *f = d->fast;

	while (!ring_empty(f) && f->n + 3 <= QUEUE_MAX) {
		const struct kvm_coalesced_mmio *e =
			&f->ring->coalesced_mmio[f->ring->first % RING_MAX];

		/* Of an access that crosses a page KVM has any length: in powers of two, as an exit's. */
		for (unsigned at = 0, n; at < e->len && at < 8; at += n) {
			struct sio_posted p = { .addr = e->phys_addr + at,
						.space = e->pio ? SIO_SPACE_PIO : SIO_SPACE_MMIO };
			const struct home *h;
			uint16_t owner;

			n = e->len - at >= 8 ? 8 : e->len - at >= 4 ? 4 : e->len - at >= 2 ? 2 : 1;
			p.size = (uint8_t)n;
			memcpy(&p.data, e->data + at, n);
			owner = reflect_owner(d, e->pio ? SIO_REQ_PIO : SIO_REQ_MMIO, p.addr, n);
			h = owner ? d->home[OWNER_HOME(owner)] : NULL;
			if (h) {
				enqueue(f, h, &p);
				mark(f, h, &p);
			}
		}
		/* Free only after it was read, and in the queue before it is out of the ring: who looks
		 * without the lock misses it in neither. */
		__atomic_store_n(&f->ring->first, (f->ring->first + 1) % RING_MAX,
				 __ATOMIC_RELEASE);
	}
}

static void forget_marks(struct fast *f)
{
	memset(f->stale, 0, sizeof(f->stale));
	memset(f->expects, 0, sizeof(f->expects));
}

/* Takes what is queued out of the queue, to be delivered: how many.  Locked: lock. */
static unsigned collect(struct domain *d)
{
	struct fast *f = d->fast;
	unsigned count;

	pthread_mutex_lock(&f->q_lock);
	take_ring(d);
	count = f->n;
	memcpy(f->out, f->q, count * sizeof(f->q[0]));
	memcpy(f->out_home, f->q_home, count);
	f->n = 0;
	forget_marks(f);
	f->stats.batches += count > 0;
	pthread_mutex_unlock(&f->q_lock);
	return count;
}

/* Sends what was taken to the homes that it is for, through contexts n; a last piece for h is put into its
 * slot instead, to go with a request: how many. */
static unsigned send(struct domain *d, unsigned n, struct home *h, unsigned count)
{
	struct fast *f = d->fast;
	unsigned i = 0, k;

	for (; i < count; i = k) {
		struct home *to = d->home[f->out_home[i]];
		struct context *c = &to->ctx[n];

		for (k = i + 1;
		     k < count && f->out_home[k] == f->out_home[i] && k - i < SIO_MAX_POSTED; k++)
			;
		memcpy(c->slot->posted, &f->out[i], (k - i) * sizeof(f->out[0]));
		if (to == h && k == count)
			break;
		c->last = c->slot->req = (struct sio_request){ .kind = SIO_REQ_NONE,
							       .n_posted = k - i,
							       .now_ns = domain_now_ns(d) };
		if (!to->dead)
			context_run(c);
	}
	return count - i;
}

static uint64_t rung(struct domain *d, struct home *h)
{
	struct fast *f = d->fast;
	uint64_t bits = 0, v;

	for (unsigned i = 0; i < SIO_MAX_FAST && f->n_doorbells; i++) {
		struct range *r = &f->range[i];

		if (r->kind == SIO_MAP_DOORBELL && r->home == h->kind &&
		    read(r->fd, &v, sizeof(v)) == sizeof(v)) {
			bits |= 1ull << (SIO_EVENT_DOORBELL + (r->c >> 32) % SIO_MAX_DOORBELLS);
			f->stats.doorbells += v;
		}
	}
	return bits;
}

bool fast_begin(struct domain *d, unsigned n, struct home *h, struct sio_request *r)
{
	struct fast *f = d->fast;
	uint64_t bells = 0;
	unsigned count;

	if (!f->n_doorbells && ring_empty(f) && !f->n && !f->delivering)
		return false;
	pthread_mutex_lock(&f->lock);
	/* Before the queue is emptied: who finds it empty then sees this. */
	f->delivering = true;
	count = collect(d);
	/* No room for all of it: once more is enough for what came before this request. */
	if (!ring_empty(f)) {
		send(d, n, NULL, count);
		count = collect(d);
	}
	r->n_posted = send(d, n, h, count);
	if (f->n_doorbells)
		bells = rung(d, h);
	r->events |= bells;
	if (r->n_posted || bells)
		return true;
	fast_end(d);
	return false;
}

void fast_end(struct domain *d)
{
	d->fast->delivering = false;
	pthread_mutex_unlock(&d->fast->lock);
}

bool fast_serve(struct domain *d, struct home *h, uint64_t events)
{
	struct sio_request r = { .kind = SIO_REQ_EVENT, .events = events };
	struct context *c = &h->ctx[d->n_vcpus];
	bool owed, run;

	h->inside++;
	owed = fast_begin(d, d->n_vcpus, h, &r);
	run = owed || events;
	if (run) {
		r.now_ns = domain_now_ns(d);
		c->last = c->slot->req = r;
	}
	if (run && !h->dead)
		context_run(c);
	if (owed)
		fast_end(d);
	h->inside--;
	return run;
}

void fast_flush(struct domain *d)
{
	for (unsigned i = 0; i < N_HOMES; i++)
		if (d->home[i])
			d->fast->stats.flushes += fast_serve(d, d->home[i], 0);
}

/* SIO_POSTED_IF_CLEAR: may the write wait?  q_lock. */
static bool is_clear(const struct fast *f, const struct home *h, const struct range *r,
		     const struct sio_posted *p)
{
	unsigned own = r->c >> 32 & 0xff;
	uint64_t v = own < SIO_MAX_SHADOWS ? expected(f, h, own) : 0, at = p->addr - r->base;

	return !h->inside && v & SIO_SHADOW_VALID && !(f->stale[h->kind] >> own & 1) && at < 4 &&
	       !((uint32_t)v & p->data << 8 * at);
}

static unsigned find_mmio(const struct fast *f, bool write, uint64_t addr)
{
	for (unsigned i = 0; i < f->n_mmio; i++) {
		unsigned k = atomic_load_explicit(&f->mmio[i], memory_order_acquire);
		const struct range *r = k ? &f->range[k - 1] : NULL;

		if (r && (r->kind != SIO_MAP_SHADOW) == write && addr >= r->base &&
		    addr - r->base < r->len)
			return k;
	}
	return 0;
}

/* May what an entry of the shadow page says be given to the guest, for all that is queued?  Then that is *word. */
static bool fresh(struct domain *d, const struct home *h, unsigned entry, uint64_t *word)
{
	struct fast *f = d->fast;
	bool stale;

	if (!f->n_posted || (ring_empty(f) && !f->n && !f->delivering)) {
		*word = shadow(h, entry);
		return true;
	}
	pthread_mutex_lock(&f->lock);
	pthread_mutex_lock(&f->q_lock);
	take_ring(d);
	stale = !ring_empty(f) || f->stale[h->kind] >> entry & 1 || h->inside;
	*word = expected(f, h, entry);
	pthread_mutex_unlock(&f->q_lock);
	pthread_mutex_unlock(&f->lock);
	return !stale;
}

static bool from_fifo(const struct home *h, const struct range *r, void *to, size_t bytes)
{
	uint64_t *entry = shadow_entry(h, entry_of(r)), e = shadow(h, entry_of(r));
	uint64_t off = (uint32_t)r->c;
	uint32_t at, end;

	do {
		at = SIO_FIFO_AT(e);
		end = SIO_FIFO_END(e);
		if (!(e & SIO_SHADOW_VALID) || at >= end || bytes >= end - at ||
		    off + end > h->priv_size)
			return false;
		memcpy(to, h->priv + off + at, bytes);
		/* Failure: another vCPU took them, or the firmware took all back. */
	} while (!__atomic_compare_exchange_n(entry, &e, e + bytes, false, __ATOMIC_ACQ_REL,
					      __ATOMIC_ACQUIRE));
	return true;
}

static bool is_fifo(const struct range *r, uint64_t addr, unsigned size)
{
	return r->kind == SIO_MAP_FIFO && r->base == addr && size >= 2 && size <= r->len;
}

bool fast_burst(struct vcpu *v, uint16_t owner, uint64_t port, unsigned size, size_t bytes,
		void *to)
{
	struct domain *d = v->d;
	struct home *h = d->home[OWNER_HOME(owner)];
	unsigned k = d->fast->read[port];
	const struct range *r = k ? &d->fast->range[k - 1] : NULL;
	struct model_stats *st;
	uint64_t word;

	if (!r || r->home != h->kind || r->model != OWNER_MODEL(owner) || !is_fifo(r, port, size) ||
	    !fresh(d, h, entry_of(r), &word) || !from_fifo(h, r, to, bytes))
		return false;
	st = stats_model(v, owner);
	if (st)
		st->shadowed++;
	return true;
}

bool fast_access(struct vcpu *v, uint16_t owner, unsigned kind, bool write, uint64_t addr,
		 unsigned size, uint64_t *val)
{
	struct domain *d = v->d;
	struct fast *f = d->fast;
	struct home *h = d->home[OWNER_HOME(owner)];
	struct model_stats *st;
	unsigned k = kind != SIO_REQ_PIO ? find_mmio(f, write, addr) :
		     write               ? f->write[addr] :
					   f->read[addr];
	const struct range *r = k ? &f->range[k - 1] : NULL;
	uint64_t word;
	bool full;

	/* A guest may have moved another device over it. */
	if (!r || r->home != h->kind || r->model != OWNER_MODEL(owner))
		return false;
	if (write) {
		struct sio_posted p = {
			.addr = addr, .data = *val, .space = r->space, .size = (uint8_t)size
		};
		bool kick = r->kind == SIO_MAP_KICK;

		/* KVM's own ones come here when its ring is full: then they go as a request does. */
		if ((r->kind != SIO_MAP_POSTED && !kick) || r->zone ||
		    addr + size > r->base + r->len || (*val & (r->c >> 48 & 0xff)))
			return false;
		/* Waking a thread takes longer than going to the home oneself; one that is awake comes by. */
		if (kick && d->io_sleeps)
			return false;
		pthread_mutex_lock(&f->q_lock);
		take_ring(d);
		full = f->n >= SIO_MAX_POSTED;
		if (!full)
			enqueue(f, h, &p);
		/* Queued first: a context that is about to enter sees it, or is seen here. */
		if (!full && r->c & SIO_POSTED_IF_CLEAR && !is_clear(f, h, r, &p)) {
			f->n--;
			f->stats.posted--;
			full = true;
		}
		if (!full)
			mark(f, h, &p);
		f->stats.kicks += !full && kick;
		pthread_mutex_unlock(&f->q_lock);
		if (!full && kick)
			io_kick(d);
		return !full;
	}
	if (is_fifo(r, addr, size)) {
		*val = 0;
		if (!fresh(d, h, entry_of(r), &word) || !from_fifo(h, r, val, size))
			return false;
	} else if (r->base != addr || r->len != size) {
		return false;
	} else if (r->kind == SIO_MAP_CLOCK) {
		*val = (uint64_t)((unsigned __int128)domain_now_ns(d) * (uint32_t)r->c /
				  1000000000u) &
		       ((1ull << (r->c >> 32) % 64) - 1);
	} else if (r->kind == SIO_MAP_SHADOW) {
		if (!fresh(d, h, entry_of(r), &word) || !(word & SIO_SHADOW_VALID))
			return false;
		*val = (uint32_t)word;
	} else {
		return false;
	}
	st = stats_model(v, owner);
	if (st)
		st->shadowed++;
	return true;
}

/* The bound on delay. */

int fast_timer_fd(struct domain *d)
{
	return d->fast->timer_fd;
}

void fast_timer(struct domain *d)
{
	struct fast *f = d->fast;
	uint64_t n, want = f->period_ns;
	bool waits = !ring_empty(f) || f->n;

	if (read(f->timer_fd, &n, sizeof(n)) < 0 && f->period_ns)
		return;
	/* A guest that is in the middle of a command will bring its writes along itself: only what has
	 * waited for a whole period is taken. */
	if (waits && f->waited && f->waited_batches == f->stats.batches)
		fast_flush(d);
	f->waited = waits;
	f->waited_batches = f->stats.batches;
	if (!f->n_posted)
		want = 0;
	else if (f->stats.posted != f->seen || !want)
		want = PERIOD_MIN_NS;
	else if (want < PERIOD_MAX_NS)
		want *= 2;
	f->seen = f->stats.posted;
	if (want > PERIOD_MAX_NS)
		want = PERIOD_MAX_NS;
	if (want != f->period_ns)
		set_period(f, want);
}

void fast_reset(struct domain *d)
{
	struct fast *f = d->fast;

	pthread_mutex_lock(&f->lock);
	pthread_mutex_lock(&f->q_lock);
	while (!ring_empty(f)) {
		take_ring(d);
		f->n = 0;
	}
	f->n = 0;
	forget_marks(f);
	pthread_mutex_unlock(&f->q_lock);
	pthread_mutex_unlock(&f->lock);
}

void fast_stats(struct domain *d, struct fast_stats *s)
{
	const struct fast_stats *from = &d->fast->stats;

	s->posted = __atomic_load_n(&from->posted, __ATOMIC_RELAXED);
	s->batches = __atomic_load_n(&from->batches, __ATOMIC_RELAXED);
	s->flushes = __atomic_load_n(&from->flushes, __ATOMIC_RELAXED);
	s->doorbells = __atomic_load_n(&from->doorbells, __ATOMIC_RELAXED);
	s->kicks = __atomic_load_n(&from->kicks, __ATOMIC_RELAXED);
}
