/* SPDX-License-Identifier: BSD-2-Clause */
/* hv.c - the firmware's way to Xen: hypercalls, and operations in Xen's terms. */
#include <string.h>

#include "drivers/xen/abi.h"
#include "firmware/xen/xen_home.h"

#define SCHED_SHUTDOWN 2u
#define DEBUG_PORT     0xe9u

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

void xen_emit(struct sio_slot_shared *s, uint32_t code, uint32_t arg, uint64_t a, uint64_t b)
{
	struct sio_xen_slot_shared *x = other_slot(s);

	if (x->n_ops == SIO_XEN_MAX_OPS)
		xen_hypercall(XEN_HC_HVM, HVMOP_reflect_flush, NULL, 0);
	x->ops[x->n_ops++] = (struct sio_xen_op){ code, arg, a, b };
}

static void translate(struct sio_slot_shared *s, const struct sio_op *op)
{
	switch (op->code) {
	case SIO_OP_MSI:
		/* Fixed or lowest priority, a legal vector: the guest writes the IOAPIC as it likes, and what Xen
		 * can't deliver would be taken for our mistake. */
		if ((op->arg >> 8 & 7) <= 1 && (op->arg & 0xff) >= 16)
			xen_emit(s, SIO_XEN_OP_MSI, op->arg, op->a, 0);
		break;
	case SIO_OP_MAP: xen_map(s, op); break;
	case SIO_OP_UNMAP: xen_unmap(s, op); break;
	case SIO_OP_TIMER: xen_emit(s, SIO_XEN_OP_TIMER, 0, op->a, 0); break;
	case SIO_OP_VECTOR: xen_emit(s, SIO_XEN_OP_VECTOR, op->arg, 0, 0); break;
	/* A domain starts afresh: xl makes a new one (on_reboot=). The guest stops when we return. */
	case SIO_OP_RESET:
	case SIO_OP_POWEROFF:
		shut_down(op->code == SIO_OP_RESET || pv_wants_reboot() ? XEN_SHUTDOWN_REBOOT :
									  XEN_SHUTDOWN_POWEROFF);
		break;
	default:
		if (op->code >= XEN_OP)
			xen_emit(s, op->code - XEN_OP, op->arg, op->a, op->b);
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
	xen_emit(fw.slot, code, arg, a, 0);
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
