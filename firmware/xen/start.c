/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * start.c - the firmware's contexts in a Xen domain: Xen's requests become those of include/sio/slot.h.
 *
 * There is one context for each vCPU and none besides: events come to the vCPU that asked for them.
 */
#include <string.h>

#include "firmware/metal/cpu.h"
#include "firmware/metal/layout.h"
#include "firmware/xen/xen_home.h"

_Static_assert(SIO_XEN_ENTRY_MAGIC == 0x584f4953u, "entry.S");
_Static_assert(MAX_CONTEXTS - 1 == SIO_MAX_VCPUS, "xen_slots");
_Static_assert(SIO_XEN_POSTED_NS <= SIO_POSTED_MAX_NS, "models count on it");

#define CHANNELS (SIO_XEN_EVENT_CHANNEL(SIO_XEN_MAX_CHANNELS) - 1)

static atomic_flag posted_busy;

/* Posted writes go before any request: whoever finds some carries them out along with his own, and the others wait for
 * that. How many; *prod: where they end. */
static uint32_t take_posted(struct sio_slot_shared *s, uint32_t *prod)
{
	const struct sio_xen_shared *x = xen_shared_page();
	uint32_t n = 0;

	/* Acquire: entries after their index, and what was done before cons moved. */
	if (__atomic_load_n(&x->prod, __ATOMIC_ACQUIRE) ==
	    __atomic_load_n(&x->cons, __ATOMIC_ACQUIRE))
		return 0;
	for (unsigned spins = 1;
	     atomic_flag_test_and_set_explicit(&posted_busy, memory_order_acquire); spins++)
		if (spins % 2048 == 0)
			hv_call(s, SIO_HC_YIELD);
	*prod = __atomic_load_n(&x->prod, __ATOMIC_ACQUIRE);
	if (*prod - x->cons > SIO_XEN_MAX_POSTED)
		fw_panic("%u posted writes", *prod - x->cons);
	for (uint32_t i = x->cons; i != *prod; i++) {
		const struct sio_xen_posted *p = &x->posted[i % SIO_XEN_MAX_POSTED];

		s->posted[n++] = (struct sio_posted){
			.addr = p->addr, .data = p->data, .space = p->space, .size = p->size
		};
	}
	if (!n)
		atomic_flag_clear_explicit(&posted_busy, memory_order_release);
	return n;
}

/* One request more, whose operations leave together with those of the one that follows. */
static void serve(struct sio_slot_shared *s, const struct sio_request *r)
{
	uint32_t prod = 0, n = take_posted(s, &prod);

	s->req = *r;
	s->req.n_posted = n;
	fw_request(s);
	if (n) {
		/* Xen knows by cons that shadows are right again. */
		__atomic_store_n(&xen_shared_page()->cons, prod, __ATOMIC_RELEASE);
		atomic_flag_clear_explicit(&posted_busy, memory_order_release);
	}
}

/* Guest memory of a string request, item by item in its order; what is not RAM gives ones and takes nothing. */
static void move_items(const struct sio_xen_request *r, uint8_t *data, bool to_guest)
{
	for (uint32_t i = 0; i < r->count; i++) {
		uint64_t off = (uint64_t)i * r->size;
		uint64_t at = r->flags & SIO_XEN_REQ_DOWN ? r->data - off : r->data + off;
		void *p = fw.machine->ops->ram(NULL, at, r->size);

		if (!p && !to_guest)
			memset(data + off, 0xff, r->size);
		else if (p)
			memcpy(to_guest ? p : data + off, to_guest ? data + off : p, r->size);
	}
}

static void string_request(struct sio_slot_shared *s, const struct sio_xen_request *x,
			   struct sio_request r)
{
	if (x->count > SIO_PAGE / x->size)
		fw_panic("a string request of %u items", x->count);
	if (x->write && x->flags & SIO_XEN_REQ_PTR)
		move_items(x, s->data, false);
	for (uint32_t i = 0; x->write && !(x->flags & SIO_XEN_REQ_PTR) && i < x->count; i++)
		memcpy(s->data + (size_t)i * x->size, &x->data, x->size);
	if (r.kind == SIO_REQ_PIO && x->count > 1) {
		r.count = x->count;
		serve(s, &r);
	} else {
		r.count = 1;
		for (uint32_t i = 0; i < x->count; i++) {
			uint8_t *item = s->data + (size_t)i * x->size;

			r.data = 0;
			memcpy(&r.data, item, x->size);
			if (r.kind == SIO_REQ_MMIO)
				r.addr = x->flags & SIO_XEN_REQ_DOWN ?
						 x->addr - (uint64_t)i * x->size :
						 x->addr + (uint64_t)i * x->size;
			serve(s, &r);
			r.events = 0;
			memcpy(item, &s->answer, x->size);
		}
	}
	if (!x->write)
		move_items(x, s->data, true);
}

/* Every vCPU is told of a restore, before its guest goes on; the first one connects anew. */
static void restored(struct sio_slot_shared *s, unsigned context)
{
	static uint64_t untold;

	fw_lock(s);
	if (!(untold >> context & 1)) {
		xen_map_again(s);
		hv_call(s, SIO_HC_FLUSH); /* before another vCPU's guest goes on */
		fw_say_again();
		pv_restored();
		untold = UINT64_MAX;
	}
	untold &= ~(1ull << context);
	fw_unlock();
}

static void request(struct sio_slot_shared *s, const struct sio_xen_slot_shared *slot,
		    unsigned context)
{
	struct sio_xen_request x = slot->req;
	struct sio_request r = { .now_ns = x.now_ns, .count = 1 };

	if (x.events & SIO_XEN_EVENT_RESTORED)
		restored(s, context);
	/* These happened before the access. */
	if (x.events & SIO_XEN_EVENT_TAKEN) {
		r.kind = SIO_REQ_TAKEN;
		r.addr = slot->taken;
		serve(s, &r);
	}
	if (x.events & SIO_XEN_EVENT_EOI) {
		r.kind = SIO_REQ_EOI;
		r.addr = slot->eoi;
		serve(s, &r);
	}
	r.kind = x.kind;
	r.write = x.write;
	r.size = x.size;
	r.addr = x.addr;
	r.data = x.data;
	r.events = (x.events & CHANNELS) | (x.events & SIO_XEN_EVENT_TIMER ? SIO_EVENT_TIMER : 0);
	if (x.kind != SIO_XEN_REQ_EVENT && (x.count > 1 || x.flags & SIO_XEN_REQ_PTR))
		string_request(s, &x, r);
	else
		serve(s, &r);
}

_Static_assert((int)SIO_XEN_REQ_PIO == SIO_REQ_PIO && (int)SIO_XEN_REQ_MMIO == SIO_REQ_MMIO &&
		       (int)SIO_XEN_REQ_EVENT == SIO_REQ_EVENT,
	       "kinds of requests have one numbering");

_Noreturn void fw_start(unsigned context);

_Noreturn void fw_start(unsigned context)
{
	struct sio_slot_shared *s = fw_slot_of(context);
	struct sio_xen_slot_shared *x = xen_slot_of(context);
	const struct sio_config *cfg = fw_ptr(SIO_PRIV_BASE + SIO_CONFIG_OFF);

	cpu_load_idt(context == 0);
	if (!fw.machine) {
		struct sio_xen_request first = x->req;

		fw.slot = s;
		fw.shadow = xen_shared_page()->shadow;
		fw_heap_init(cfg);
		cpu_map_high(cfg->map_top);
		fw_init(cfg);
		x->req = first;
	}
	for (;;) {
		request(s, x, context);
		hv_call(s, SIO_HC_RETURN);
	}
}
