/* SPDX-License-Identifier: BSD-2-Clause */
/* xen_console.c - a byte stream over the domain's console ring (xen/include/public/io/console.h). */
#include "drivers/xen/xen_console.h"

/* Bytes in the ring, or nonsense: then the console is gone.  Acquire: bytes after their index; and room
 * after they were read. */
static uint32_t used(struct xen_console *c, const uint32_t *prod, const uint32_t *cons,
		     uint32_t size)
{
	uint32_t n =
		__atomic_load_n(prod, __ATOMIC_ACQUIRE) - __atomic_load_n(cons, __ATOMIC_ACQUIRE);

	if (n <= size)
		return n;
	if (!c->broken)
		xen_log(c->x, "xen-console: nonsense in the ring; the console is gone");
	c->broken = true;
	return 0;
}

static uint32_t room(struct xen_console *c)
{
	uint32_t n;

	if (c->broken)
		return XEN_CONSOLE_OUT;
	n = used(c, &c->ring->out_prod, &c->ring->out_cons, XEN_CONSOLE_OUT);
	return XEN_CONSOLE_OUT - n;
}

static uint32_t there(struct xen_console *c)
{
	return c->broken ? 0 : used(c, &c->ring->in_prod, &c->ring->in_cons, XEN_CONSOLE_IN);
}

static size_t chr_out(struct chr *chr, const uint8_t *buf, size_t n)
{
	struct xen_console *c = (struct xen_console *)chr;
	uint32_t free = room(c), prod;

	if (c->broken)
		return n;
	if (n > free) {
		n = free;
		c->was_full = true;
	}
	c->active = true;
	prod = c->ring->out_prod;
	for (size_t i = 0; i < n; i++)
		c->ring->out[prod++ % XEN_CONSOLE_OUT] = buf[i];
	__atomic_store_n(&c->ring->out_prod, prod, __ATOMIC_RELEASE);
	return n;
}

static size_t chr_in(struct chr *chr, uint8_t *buf, size_t n)
{
	struct xen_console *c = (struct xen_console *)chr;
	uint32_t have = there(c), cons;

	if (n > have)
		n = have;
	if (!n)
		return 0;
	cons = c->ring->in_cons;
	for (size_t i = 0; i < n; i++)
		buf[i] = c->ring->in[cons++ % XEN_CONSOLE_IN];
	/* Release: the bytes are read before their room is given back. */
	__atomic_store_n(&c->ring->in_cons, cons, __ATOMIC_RELEASE);
	c->taken = c->active = true;
	return n;
}

static size_t chr_room(struct chr *chr)
{
	return room((struct xen_console *)chr);
}

int xen_console_init(struct xen_console *c, struct xen *x)
{
	c->x = x;
	c->chr.write = chr_out;
	c->chr.read = chr_in;
	c->chr.room = chr_room;
	return xen_console_restored(c);
}

int xen_console_restored(struct xen_console *c)
{
	const struct xen_env *env = c->x->env;
	uint64_t pfn = xen_param(c->x, XEN_PARAM_CONSOLE_PFN);

	c->port = (uint32_t)xen_param(c->x, XEN_PARAM_CONSOLE_EVTCHN);
	c->ring = pfn ? env->at(env->ctx, pfn * XEN_PAGE, XEN_PAGE) : NULL;
	c->broken = !c->ring || !c->port;
	if (c->broken) {
		xen_log(c->x, "xen-console: the domain has no console");
		return -1;
	}
	c->told = c->ring->out_prod;
	return 0;
}

size_t xen_console_pending(const struct xen_console *c)
{
	return c->broken ? 0 : c->ring->out_prod - c->told;
}

void xen_console_service(struct xen_console *c, bool flush)
{
	size_t waits = xen_console_pending(c);

	if (c->taken || (waits && (flush || c->was_full || waits >= XEN_CONSOLE_EAGER))) {
		c->told = c->broken ? 0 : c->ring->out_prod;
		c->taken = false;
		xen_send(c->x, c->port);
	}
	if (there(c) || (c->was_full && room(c))) {
		c->was_full = false;
		if (c->chr.ready)
			c->chr.ready(c->chr.owner);
	}
	if (c->broken)
		c->was_full = false;
	c->active = c->was_full || xen_console_pending(c) || there(c);
}
