/* SPDX-License-Identifier: BSD-2-Clause */
/* board.c - the board's host: front ends started, the machine wired, its wishes made operations. */
#include <string.h>

#include "boards/pc.h"
#include "firmware/fw.h"
#include "lib/fmt.h"

static void *b_alloc(void *ctx, size_t size, size_t align)
{
	return fw_alloc(size, align);
}

static void *b_ram(void *ctx, uint64_t gpa, uint64_t len)
{
	for (unsigned i = 0; i < fw.cfg->n_ram; i++) {
		const struct sio_ram *r = &fw.cfg->ram[i];

		if (gpa >= r->base && gpa - r->base <= r->len && len <= r->len - (gpa - r->base))
			return fw_ptr(gpa);
	}
	return NULL;
}

static uint64_t b_gpa(void *ctx, const void *p)
{
	return (uintptr_t)p - fw.base;
}

static void b_gsi(void *ctx, unsigned gsi, bool level)
{
	if (fw.cfg->flags & SIO_CFG_IRQCHIP)
		return;
	if (fw.cfg->irq_doorbells >> gsi & 1) {
		if (level)
			hv_edge(gsi);
		return;
	}
	/* Two contexts' operations may be carried out in another order than they were made in under
	 * the lock; the sequence number lets the other side notice. */
	fw_op(SIO_OP_IRQ, gsi, level, ++fw.irq_seq[gsi], 0);
}

static void b_msi(void *ctx, uint64_t addr, uint32_t data)
{
	fw_op(SIO_OP_MSI, data, addr, 0, 0);
}

static void b_map(void *ctx, unsigned dev, enum dev_space space, uint64_t base, uint32_t len,
		  bool on)
{
	uint32_t sp = space == DEV_PIO ? SIO_SPACE_PIO : SIO_SPACE_MMIO;

	if (on)
		fw_op(SIO_OP_MAP, SIO_MAP_ARG(sp, SIO_MAP_REFLECT, dev + 1), base, len, 0);
	else
		fw_op(SIO_OP_UNMAP, sp, base, len, 0);
}

_Static_assert((int)DEV_POSTED == SIO_MAP_POSTED && (int)DEV_SHADOW == SIO_MAP_SHADOW &&
		       (int)DEV_CLOCK == SIO_MAP_CLOCK && (int)DEV_DOORBELL == SIO_MAP_DOORBELL &&
		       (int)DEV_READTHROUGH == SIO_MAP_READTHROUGH &&
		       (int)DEV_FIFO == SIO_MAP_FIFO && (int)DEV_KICK == SIO_MAP_KICK,
	       "models/dev.h and sio/slot.h number them alike");
_Static_assert(MACHINE_MAX_SHADOWS == SIO_MAX_SHADOWS && MACHINE_MAX_DOORBELLS == SIO_MAX_DOORBELLS,
	       "sio/slot.h");

static void b_map_fast(void *ctx, unsigned dev, const struct machine_fast *m)
{
	const struct dev_fast *f = m->f;
	uint32_t sp = m->space == DEV_PIO ? SIO_SPACE_PIO : SIO_SPACE_MMIO;
	uint64_t c = 0;

	switch (f->kind) {
	case DEV_POSTED:
	case DEV_KICK:
		c = SIO_POSTED_C(m->dirties, m->own, f->care, f->not_if) |
		    (f->if_clear ? SIO_POSTED_IF_CLEAR : 0) |
		    (f->reads_back ? SIO_POSTED_READS_BACK : 0) |
		    (f->clears ? SIO_POSTED_CLEARS : 0);
		break;
	case DEV_SHADOW: c = m->id; break;
	case DEV_CLOCK: c = f->value | (uint64_t)f->bits << 32; break;
	case DEV_DOORBELL: c = f->value | (uint64_t)m->id << 32; break;
	case DEV_READTHROUGH:
	case DEV_FIFO:
		c = (uintptr_t)m->page - fw.base - SIO_PRIV_BASE;
		c |= f->kind == DEV_FIFO ? (uint64_t)m->id << 32 : 0;
		break;
	}
	fw_op(SIO_OP_MAP, SIO_MAP_ARG(sp, f->kind, dev + 1), m->base, f->len, c);
}

static enum dev_rc b_forward(void *ctx, unsigned place, unsigned devfn, struct dev_access *a)
{
	struct sio_slot_shared *s = fw.slot;

	s->forward = (struct sio_request){
		.kind = SIO_REQ_PCICFG,
		.write = a->write,
		.size = a->size,
		.count = 1,
		.addr = devfn << 8 | a->offset,
		.data = a->data,
		.place = place,
	};
	hv_call(s, SIO_HC_FORWARD);
	a->data = s->forward.data;
	return DEV_OK;
}

static void b_reset(void *ctx)
{
	fw.console_due_ns = 0; /* the guest's last words */
	fw_op(SIO_OP_RESET, 0, 0, 0, 0);
}

static void b_poweroff(void *ctx)
{
	fw.console_due_ns = 0;
	fw_op(SIO_OP_POWEROFF, 0, 0, 0, 0);
}

/* The debug console's far end: whole lines to the log. */
struct log_chr {
	struct chr chr;
	char line[120];
	size_t n;
};

static size_t log_write(struct chr *c, const uint8_t *buf, size_t n)
{
	struct log_chr *l = (struct log_chr *)c;

	for (size_t i = 0; i < n; i++) {
		if (buf[i] != '\n')
			l->line[l->n++] = (char)buf[i];
		if (buf[i] == '\n' || l->n == sizeof(l->line)) {
			fw_log_text(SIO_LOG_DEBUG, l->line, l->n);
			l->n = 0;
		}
	}
	return n;
}

static size_t log_read(struct chr *c, uint8_t *buf, size_t n)
{
	return 0;
}

static void name_models(void)
{
	for (unsigned i = 0; i < fw.machine->n_dev; i++) {
		const struct dev_class *c = fw.machine->host[i].cls;
		char name[16] = { 0 };
		unsigned n = 1;
		uint64_t w[2];

		if (fw.machine->host[i].away)
			continue;
		for (unsigned k = 0; k < i; k++)
			n += fw.machine->host[k].cls == c;
		if (n > 1)
			fmt(name, sizeof(name), "%s-%u", c->name, n);
		else
			fmt(name, sizeof(name), "%s", c->name);
		memcpy(w, name, sizeof(w));
		fw_op(SIO_OP_MODEL, i + 1, w[0], w[1], 0);
	}
}

void fw_board_init(void)
{
	static struct machine_ops ops = {
		.alloc = b_alloc,
		.ram = b_ram,
		.gpa = b_gpa,
		.gsi = b_gsi,
		.msi = b_msi,
		.map = b_map,
		.reset = b_reset,
		.poweroff = b_poweroff,
		.forward = b_forward,
		.map_fast = b_map_fast,
	};
	struct pc_io io = { .cfg = fw.cfg,
			    .base = fw.base,
			    .irqchip = fw.cfg->flags & SIO_CFG_IRQCHIP };
	struct log_chr *log;
	const char *why = "";

	ops.wall_ns = fw.cfg->wall_ns;
	ops.fast = fw.cfg->fast;
	ops.shadow = fw.shadow;
	if (!ops.shadow)
		ops.shadow =
			((struct sio_shadow_page_shared *)fw_ptr(SIO_PRIV_BASE + SIO_SHADOW_OFF))
				->entry;
	fw.vector = SIO_NO_VECTOR;
	fw.machine = fw_alloc(sizeof(*fw.machine), 64);
	pv_start(&io);
	if (fw.cfg->flags & SIO_CFG_DEBUGCON) {
		log = fw_alloc(sizeof(*log), 64);
		log->chr = (struct chr){ .write = log_write, .read = log_read };
		io.debugcon = &log->chr;
	}
	if (pc_init(fw.machine, &ops, NULL, &io, &why))
		fw_panic("the board can't be built: %s", why);
	name_models();
	fw_log(SIO_LOG_INFO, "%lu bytes of private memory are left",
	       (unsigned long)(fw.heap_end - fw.heap));
}
