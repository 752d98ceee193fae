/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * inproc.c - the shortest way home: models linked into the VMM, entered by a call. The baseline that the
 * others are measured against, and what the design is meant to do without: a program of its own,
 * selfio-inproc.
 */
#include <setjmp.h>
#include <string.h>

#include "firmware/fw.h"
#include "lib/fmt.h"
#include "vmm/domain.h"

static struct home *home;
/* Of the thread that is inside. A failure does not come back: it leaves by the jump. */
static __thread struct context *cur;
static __thread jmp_buf out;

static void leave(struct leave *l)
{
	if (context_leave(cur, l) < 0)
		longjmp(out, 1);
}

void hv_call(struct sio_slot_shared *s, enum sio_hypercall n)
{
	struct leave l = { .kind = LEAVE_CALL, .n = n };

	(void)s;
	leave(&l);
}

static uint32_t window(uint64_t addr, bool write, uint64_t v)
{
	struct leave l = {
		.kind = LEAVE_MMIO, .addr = addr, .len = 4, .write = write, .data = (uint8_t *)&v
	};

	leave(&l);
	return (uint32_t)v;
}

uint32_t hv_mmio_read(uint64_t addr)
{
	return window(addr, false, 0);
}

void hv_mmio_write(uint64_t addr, uint32_t v)
{
	window(addr, true, v);
}

void hv_edge(unsigned gsi)
{
	fw_panic("interrupt %u has no doorbell here", gsi);
}

_Noreturn void fw_panic(const char *f, ...)
{
	char text[SIO_MAX_TEXT];
	va_list ap;
	size_t n;

	va_start(ap, f);
	n = fmt_va(text, sizeof(text), f, ap);
	va_end(ap);
	memset(&cur->slot->panic, 0, sizeof(cur->slot->panic));
	fw_set_text(cur->slot, text, n);
	for (;;)
		hv_call(cur->slot, SIO_HC_PANIC);
}

static int create(struct home *h)
{
	home = h;
	return 0;
}

static int start(struct home *h, uint64_t entry)
{
	(void)entry;
	for (unsigned i = 0; i <= h->d->n_vcpus; i++)
		h->ctx[i].away = true; /* not yet entered */
	return 0;
}

static void enter(struct context *c, struct leave *l)
{
	struct context *outer = cur; /* it forwarded */
	jmp_buf back;

	memcpy(&back, &out, sizeof(back));
	l->kind = LEAVE_INTR; /* after a failure: the home is dead */
	cur = c;
	if (setjmp(out) == 0) {
		if (c->away && c->id == 0) {
			fw = (struct fw){ .base = (uintptr_t)home->d->win,
					  .console_due_ns = UINT64_MAX,
					  .timer_ns = UINT64_MAX };
			fw_init(fw_ptr(SIO_PRIV_BASE + SIO_CONFIG_OFF));
		} else if (!c->away) {
			c->slot->n_ops = 0;
			fw_request(c->slot);
		}
		c->away = false;
		l->kind = LEAVE_CALL;
		l->n = c->id == home->d->n_vcpus ? SIO_HC_WAIT : SIO_HC_RETURN;
	}
	cur = outer;
	memcpy(&out, &back, sizeof(out));
}

static const struct home_ops inproc = {
	.name = "inproc",
	.create = create,
	.start = start,
	.enter = enter,
};

const struct home_ops *const home_kinds[N_HOMES] = {
	[HOME_FIRMWARE] = &home_companion,
	[HOME_IOEMU] = &home_ioemu,
	[HOME_STUBDOM] = &home_stubdom,
	[HOME_INPROC] = &inproc,
};
const enum home_kind home_default = HOME_INPROC;
