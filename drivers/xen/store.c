/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * store.c - a xenstore client for the time before the guest runs (docs/misc/xenstore.txt of Xen).
 *
 * One request, then its whole answer: when a call returns, the ring is empty in both directions and the
 * next user, the guest's kernel, finds it as it was made.  No transactions are used, and no watches but
 * xen_store_watch(): states are read again until they are what is waited for.
 */
#include "drivers/xen/store.h"

#include <string.h>

#include "lib/fmt.h"

#define ANSWER_NS 20000000000ull

static bool fail(struct xen *x, const char *why)
{
	if (!x->store_broken)
		xen_log(x, why);
	x->store_broken = true;
	return false;
}

int store_init(struct xen *x)
{
	uint64_t pfn = xen_param(x, XEN_PARAM_STORE_PFN);

	x->store_port = (uint32_t)xen_param(x, XEN_PARAM_STORE_EVTCHN);
	x->store = pfn ? x->env->at(x->env->ctx, pfn * XEN_PAGE, XEN_PAGE) : NULL;
	x->store_broken = !x->store || !x->store_port;
	if (x->store_broken) {
		xen_log(x, "xen: the domain has no xenstore");
		return -1;
	}
	return 0;
}

/* The indices are free-running.  Acquire and release: an index is seen after what it covers. */
static bool put(struct xen *x, const void *from, uint32_t n, uint64_t deadline)
{
	struct xen_store_shared *s = x->store;
	const uint8_t *p = from;

	while (n) {
		uint32_t prod = s->req_prod;
		uint32_t used = prod - __atomic_load_n(&s->req_cons, __ATOMIC_ACQUIRE);
		uint32_t room = XEN_STORE_RING - used;

		if (used > XEN_STORE_RING)
			return fail(x, "xenstore: nonsense in the ring");
		if (!room) {
			xen_send(x, x->store_port);
			if (!xen_yield(x, deadline))
				return fail(x, "xenstore: no answer");
			continue;
		}
		for (room = room < n ? room : n; room; room--, n--)
			s->req[prod++ % XEN_STORE_RING] = *p++;
		__atomic_store_n(&s->req_prod, prod, __ATOMIC_RELEASE);
	}
	return true;
}

/* Takes n bytes; to may be NULL. */
static bool get(struct xen *x, void *to, uint32_t n, uint64_t deadline)
{
	struct xen_store_shared *s = x->store;
	uint8_t *p = to;

	while (n) {
		uint32_t cons = s->rsp_cons;
		uint32_t there = __atomic_load_n(&s->rsp_prod, __ATOMIC_ACQUIRE) - cons;

		if (there > XEN_STORE_RING)
			return fail(x, "xenstore: nonsense in the ring");
		if (!there) {
			if (!xen_yield(x, deadline))
				return fail(x, "xenstore: no answer");
			continue;
		}
		for (there = there < n ? there : n; there; there--, n--, cons++)
			if (p)
				*p++ = s->rsp[cons % XEN_STORE_RING];
		__atomic_store_n(&s->rsp_cons, cons, __ATOMIC_RELEASE);
		/* It may wait for the room. */
		xen_send(x, x->store_port);
	}
	return true;
}

/* The next message: its header, its first bytes and a 0. */
static bool receive(struct xen *x, struct xen_store_header *h, char text[XEN_STORE_TEXT],
		    uint64_t deadline)
{
	uint32_t n;

	if (!get(x, h, sizeof(*h), deadline))
		return false;
	if (h->len > XEN_PAGE)
		return fail(x, "xenstore: an answer is too long");
	n = h->len < XEN_STORE_TEXT - 1 ? h->len : XEN_STORE_TEXT - 1;
	memset(text, 0, XEN_STORE_TEXT);
	x->watch_fired |= h->type == XEN_XS_WATCH_EVENT;
	return get(x, text, n, deadline) && get(x, NULL, h->len - n, deadline);
}

/* DIR/KEY with its 0, and what is to be written, if anything. The answer's first bytes and a 0. */
static bool call(struct xen *x, enum xen_store_type type, const char *dir, const char *key,
		 const char *value, char answer[XEN_STORE_TEXT])
{
	uint64_t deadline = x->env->now_ns(x->env->ctx) + ANSWER_NS;
	char path[XEN_STORE_TEXT];
	uint32_t n = (uint32_t)fmt(path, sizeof(path), key ? "%s/%s" : "%s", dir, key) + 1;
	uint32_t m = value ? (uint32_t)strlen(value) + (type == XEN_XS_WATCH) : 0;
	struct xen_store_header h = { .type = type, .req_id = ++x->req_id, .len = n + m };

	if (x->store_broken || n >= sizeof(path))
		return false;
	if (!put(x, &h, sizeof(h), deadline) || !put(x, path, n, deadline) ||
	    !put(x, value, m, deadline))
		return false;
	xen_send(x, x->store_port);
	/* What the ring's last user left behind is not ours, and is dropped. */
	do {
		if (!receive(x, &h, answer, deadline))
			return false;
		if (x->env->now_ns(x->env->ctx) > deadline)
			return fail(x, "xenstore: no answer");
	} while (h.req_id != x->req_id || h.type == XEN_XS_WATCH_EVENT);
	return h.type == type;
}

bool xen_store_read(struct xen *x, const char *dir, const char *key, char text[XEN_STORE_TEXT])
{
	return call(x, XEN_XS_READ, dir, key, NULL, text);
}

bool xen_store_list(struct xen *x, const char *dir, char text[XEN_STORE_TEXT])
{
	if (!call(x, XEN_XS_DIRECTORY, dir, NULL, NULL, text))
		return false;
	/* The last name ends where the text does only if it was cut off. */
	for (size_t i = XEN_STORE_TEXT - 2; text[i]; i--) {
		text[i] = 0;
		if (!i)
			break;
	}
	return true;
}

bool xen_store_watch(struct xen *x, const char *path)
{
	char answer[XEN_STORE_TEXT];

	return call(x, XEN_XS_WATCH, path, NULL, "w", answer);
}

bool xen_store_fired(struct xen *x)
{
	struct xen_store_header h;
	char text[XEN_STORE_TEXT];
	bool fired;

	if (!x->store_broken &&
	    __atomic_load_n(&x->store->rsp_prod, __ATOMIC_RELAXED) != x->store->rsp_cons)
		receive(x, &h, text, x->env->now_ns(x->env->ctx) + ANSWER_NS);
	fired = x->watch_fired;
	x->watch_fired = false;
	return fired;
}

bool xen_store_write(struct xen *x, const char *dir, const char *key, const char *text)
{
	char answer[XEN_STORE_TEXT];

	return call(x, XEN_XS_WRITE, dir, key, text, answer);
}

uint64_t xen_store_number(struct xen *x, const char *dir, const char *key, uint64_t max,
			  uint64_t dflt)
{
	char text[XEN_STORE_TEXT];
	uint64_t v = 0;
	const char *p = text;

	if (!xen_store_read(x, dir, key, text) || !*p)
		return dflt;
	for (; *p; p++) {
		if (*p < '0' || *p > '9' || v > (UINT64_MAX - 9) / 10)
			return dflt;
		v = v * 10 + (uint64_t)(*p - '0');
	}
	return v <= max ? v : dflt;
}

bool xen_store_write_number(struct xen *x, const char *dir, const char *key, uint64_t v)
{
	char text[24];

	fmt(text, sizeof(text), "%lu", (unsigned long)v);
	return xen_store_write(x, dir, key, text);
}
