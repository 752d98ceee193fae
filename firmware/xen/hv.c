/* SPDX-License-Identifier: BSD-2-Clause */
/* hv.c - the firmware's way to Xen: hypercalls, and operations in Xen's terms. */
#include <string.h>

#include "drivers/xen/abi.h"
#include "firmware/xen/xen_home.h"

#define SCHED_SHUTDOWN 2u
#define DEBUG_PORT     0xe9u
#define MAX_CLAIMS     16u
#define MAX_FAST       (SIO_XEN_MAX_RANGES - MAX_CLAIMS - 1) /* 1: all ports (boot.c) */

long xen_hypercall(unsigned nr, unsigned long a, const void *b, unsigned long c)
{
	long r;

	/* Xen may change the registers of arguments. */
	__asm__ volatile("call *%4"
			 : "=a"(r), "+D"(a), "+S"(b), "+d"(c)
			 : "r"(xen_hypercall_page + nr * 32u)
			 : "memory", "rcx", "r8", "r9", "r10", "r11");
	return r;
}

void xen_say(const char *text, size_t n)
{
	for (size_t i = 0; i < n; i++)
		__asm__ volatile("outb %%al, %%dx" ::"a"(text[i]), "d"((uint16_t)DEBUG_PORT));
}

static void say_line(const char *prefix, const struct sio_slot_shared *s)
{
	xen_say(prefix, strlen(prefix));
	xen_say(s->text, s->text_len);
	xen_say("\n", 1);
}

static void shut_down(unsigned reason)
{
	xen_hypercall(XEN_HC_SCHED, SCHED_SHUTDOWN, &reason, 0);
}

_Noreturn void xen_shutdown(unsigned reason)
{
	for (;;)
		shut_down(reason);
}

void xen_suspend(void)
{
	shut_down(XEN_SHUTDOWN_SUSPEND);
}

struct sio_xen_slot_shared *xen_slot_of(unsigned context)
{
	return (struct sio_xen_slot_shared *)(xen_slots + (size_t)context * SIO_PAGE);
}

struct sio_xen_shared *xen_shared_page(void)
{
	return (struct sio_xen_shared *)xen_shared;
}

static struct sio_xen_slot_shared *other_slot(const struct sio_slot_shared *s)
{
	return xen_slot_of((unsigned)(s - fw_slot_of(0)));
}

/* Memory that models claim.  Xen's ranges do not overlap; of two claims that do, the first has it.
 * This table and that of fast ports are guarded by the firmware's lock (fw.maps); so is the order in which Xen hears of
 * them, which ends a domain that maps what is mapped. */
static struct claim {
	uint64_t base, len;
	bool used, mapped;
} claim[MAX_CLAIMS];

static void emit(struct sio_slot_shared *s, uint32_t code, uint32_t arg, uint64_t a, uint64_t b)
{
	struct sio_xen_slot_shared *x = other_slot(s);

	if (x->n_ops == SIO_XEN_MAX_OPS)
		xen_hypercall(XEN_HC_HVM, HVMOP_reflect_flush, NULL, 0);
	x->ops[x->n_ops++] = (struct sio_xen_op){ code, arg, a, b };
}

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
		emit(s, SIO_XEN_OP_MAP, SIO_XEN_MAP_ARG(SIO_SPACE_MMIO, 0, 0), c->base, c->len);
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
			emit(s, SIO_XEN_OP_UNMAP, SIO_SPACE_MMIO, base, len);
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
	emit(s, SIO_XEN_OP_MAP, f->arg, f->base, SIO_XEN_MAP_B(f->len, f->dirties));
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
		emit(s, SIO_XEN_OP_UNMAP, f->arg, f->base, f->len);
		f->arg = 0;
	}
}

/* In Xen's terms; arg 0: it has none. What Xen knows of what is at work is little: with several vCPUs any posted write makes
 * all shadows stale (abi.md, "Shadows"). */
static struct fast_ports fast_of(const struct sio_op *op)
{
	uint8_t own = (uint8_t)(op->c >> 32), care = (uint8_t)(op->c >> 40),
		not_if = (uint8_t)(op->c >> 48);
	unsigned kind = op->arg >> 4 & 0xf;
	struct fast_ports f = { .base = op->a, .len = op->b };

	if ((op->arg & 0xf) != SIO_SPACE_PIO)
		return f;
	if (kind == SIO_MAP_SHADOW)
		f.arg = SIO_XEN_MAP_ARG(SIO_SPACE_PIO, SIO_XEN_SHADOW, op->c * 8);
	else if (kind == SIO_MAP_POSTED && ((!not_if && !care) || op->b == 1) &&
		 !(op->c & SIO_POSTED_IF_CLEAR)) {
		if (own >= SIO_MAX_SHADOWS)
			own = SIO_XEN_SHADOW_WORDS - 1; /* never valid */
		f.arg = SIO_XEN_MAP_ARG(SIO_SPACE_PIO, SIO_XEN_POSTED | SIO_XEN_OWN(own),
					SIO_XEN_POSTED_AT(not_if, care));
		f.dirties = fw.cfg->n_vcpus > 1 ? UINT32_MAX : (uint32_t)op->c;
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
		emit(s, SIO_XEN_OP_UNMAP, o->arg, o->base, o->len);
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
	emit(s, SIO_XEN_OP_MAP, SIO_XEN_MAP_ARG(SIO_SPACE_PIO, 0, 0), 0, 0x10000);
	for (unsigned i = 0; i < MAX_CLAIMS; i++)
		if (claim[i].mapped)
			emit(s, SIO_XEN_OP_MAP, SIO_XEN_MAP_ARG(SIO_SPACE_MMIO, 0, 0),
			     claim[i].base, claim[i].len);
	for (unsigned i = 0; i < MAX_FAST; i++)
		if (fast_ports[i].arg)
			emit_fast(s, &fast_ports[i]);
	/* Before another vCPU's guest goes on. */
	xen_hypercall(XEN_HC_HVM, HVMOP_reflect_flush, NULL, 0);
}

static void translate(struct sio_slot_shared *s, const struct sio_op *op)
{
	switch (op->code) {
	case SIO_OP_MSI:
		/* Fixed or lowest priority, a legal vector: the guest writes the IOAPIC as it likes, and what Xen
		 * can't deliver would be taken for our mistake. */
		if ((op->arg >> 8 & 7) <= 1 && (op->arg & 0xff) >= 16)
			emit(s, SIO_XEN_OP_MSI, op->arg, op->a, 0);
		break;
	case SIO_OP_MAP:
		/* All ports are ours anyway (boot.c). What was fast may now be another model's. */
		if (op->arg >> 4 & 0xf)
			map_fast(s, op);
		else if ((op->arg & 0xf) == SIO_SPACE_MMIO)
			claim_memory(s, op->a, op->b);
		else
			drop_fast(s, op->a, op->b);
		break;
	case SIO_OP_UNMAP:
		if (op->arg == SIO_SPACE_MMIO)
			unclaim_memory(s, op->a, op->b);
		else
			drop_fast(s, op->a, op->b);
		break;
	case SIO_OP_TIMER: emit(s, SIO_XEN_OP_TIMER, 0, op->a, 0); break;
	case SIO_OP_VECTOR: emit(s, SIO_XEN_OP_VECTOR, op->arg, 0, 0); break;
	/* A domain starts afresh: xl makes a new one (on_reboot=). The guest stops when we return. */
	case SIO_OP_RESET:
	case SIO_OP_POWEROFF:
		shut_down(op->code == SIO_OP_RESET || pv_wants_reboot() ? XEN_SHUTDOWN_REBOOT :
									  XEN_SHUTDOWN_POWEROFF);
		break;
	default:
		if (op->code >= XEN_OP)
			emit(s, op->code - XEN_OP, op->arg, op->a, op->b);
	}
}

void xen_leave(struct sio_slot_shared *s, unsigned op)
{
	for (uint32_t i = 0; i < s->n_ops; i++)
		translate(s, &s->ops[i]);
	s->n_ops = 0;
	other_slot(s)->answer = s->answer;
	xen_hypercall(XEN_HC_HVM, op, NULL, 0);
}

uint64_t xen_op(uint32_t code, uint32_t arg, uint64_t a)
{
	struct sio_xen_slot_shared *x = other_slot(fw.slot);

	/* What was emitted before it is carried out before it. */
	if (x->n_ops)
		xen_hypercall(XEN_HC_HVM, HVMOP_reflect_flush, NULL, 0);
	emit(fw.slot, code, arg, a, 0);
	xen_hypercall(XEN_HC_HVM, HVMOP_reflect_flush, NULL, 0);
	return x->ops[0].b;
}

void hv_call(struct sio_slot_shared *s, enum sio_hypercall n)
{
	switch (n) {
	case SIO_HC_RETURN: xen_leave(s, HVMOP_reflect_return); break;
	case SIO_HC_FLUSH: xen_leave(s, HVMOP_reflect_flush); break;
	case SIO_HC_YIELD: xen_hypercall(XEN_HC_SCHED, XEN_SCHED_YIELD, NULL, 0); break;
	case SIO_HC_LOG:
		if (s->text_level == SIO_LOG_DEBUG)
			say_line("bios: ", s);
		else
			pv_text("selfio: ", s->text, s->text_len);
		break;
	default:
		pv_text("selfio: firmware panic: ", s->text, s->text_len);
		say_line("selfio: panic: ", s);
		/* A vCPU stops when it is back in the guest's context. */
		shut_down(XEN_SHUTDOWN_CRASH);
		other_slot(s)->n_ops = 0;
		xen_hypercall(XEN_HC_HVM, HVMOP_reflect_return, NULL, 0);
	}
}

uint32_t hv_mmio_read(uint64_t addr)
{
	return UINT32_MAX; /* no device has registers here */
}

void hv_mmio_write(uint64_t addr, uint32_t v)
{
}

void hv_edge(unsigned gsi)
{
	fw_panic("interrupt %u has no doorbell here", gsi);
}
