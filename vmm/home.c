/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * home.c - what homes of models have in common: their start, the way into a context and out of it,
 * hypercalls, operations.
 *
 * Everything that a home writes is hostile: the slot is read once, each value is bounded, and whatever is
 * not in the protocol ends that home, with a report, and nothing else.
 */
#include <errno.h>
#include <sched.h>
#include <stdarg.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "vmm/domain.h"

#define GIB (1ull << 30)

static const char *model_name(const struct domain *d, uint16_t owner)
{
	const struct home *h = owner ? d->home[OWNER_HOME(owner)] : NULL;

	return h && h->model_name[OWNER_MODEL(owner)][0] ? h->model_name[OWNER_MODEL(owner)] : "?";
}

static void report_request(struct context *c)
{
	struct domain *d = c->h->d;
	const struct sio_request *r = &c->last;
	const char *dir = r->write ? "write" : "read";

	if (r->kind == SIO_REQ_PIO)
		msg("  it was serving a %u-byte port %s at %04llx (model %s), count %u", r->size,
		    dir, (unsigned long long)r->addr,
		    model_name(d, reflect_owner(d, r->kind, r->addr, r->size)), r->count);
	else if (r->kind == SIO_REQ_MMIO)
		msg("  it was serving a %u-byte %s at %llx (model %s)", r->size, dir,
		    (unsigned long long)r->addr,
		    model_name(d, reflect_owner(d, r->kind, r->addr, r->size)));
	else if (r->kind == SIO_REQ_PCICFG)
		msg("  it was serving a %u-byte configuration %s at %04llx", r->size, dir,
		    (unsigned long long)r->addr);
	else
		msg("  it was serving %s", r->kind == SIO_REQ_EVENT ? "an event" :
					   r->kind == SIO_REQ_RESET ? "a reset" :
					   r->n_posted              ? "posted writes" :
								      "its start");
}

static const char *who(const struct context *c)
{
	return c->h->kind == HOME_FIRMWARE ? "firmware" : c->h->ops->name;
}

/* The home did what none may. */
__attribute__((format(printf, 2, 3))) static int fault(struct context *c, const char *f, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, f);
	vsnprintf(text, sizeof(text), f, ap);
	va_end(ap);
	msg("%s fault in context %u: %s", who(c), c->id, text);
	report_request(c);
	if (c->h->ops->report)
		c->h->ops->report(c);
	domain_home_failed(c->h);
	return -1;
}

/* Text of the firmware for the terminal: printable, bounded. */
static void copy_text(char *dst, const struct sio_slot_shared *s)
{
	uint32_t n = *(volatile const uint32_t *)&s->text_len;

	if (n > SIO_MAX_TEXT)
		n = SIO_MAX_TEXT;
	for (uint32_t i = 0; i < n; i++) {
		char ch = *(volatile const char *)&s->text[i];

		dst[i] = ch >= ' ' && ch < 127 ? ch : '.';
	}
	dst[n] = 0;
}

static int report_panic(struct context *c)
{
	char text[SIO_MAX_TEXT + 1], line[512];
	struct sio_panic p;
	int at = 0;

	copy_text(text, c->slot);
	memcpy(&p, (const void *)&c->slot->panic, sizeof(p));
	msg("%s panic in context %u: %s", who(c), c->id, text);
	report_request(c);
	msg("  vector %llu rip %llx rsp %llx rflags %llx cr2 %llx", (unsigned long long)p.vector,
	    (unsigned long long)p.rip, (unsigned long long)p.rsp, (unsigned long long)p.rflags,
	    (unsigned long long)p.cr2);
	if (p.n_frames > SIO_MAX_FRAMES)
		p.n_frames = SIO_MAX_FRAMES;
	for (uint32_t i = 0; i < p.n_frames; i++)
		at += snprintf(line + at, sizeof(line) - (size_t)at, " image+%llx",
			       (unsigned long long)p.frame[i]);
	if (at)
		msg("  called from:%s", line);
	domain_home_failed(c->h);
	return -1;
}

/* Operations. */

/* A line is the OR of what all homes say of it. Locked: irq_lock. */
static void set_line(struct home *h, unsigned gsi, bool level)
{
	struct domain *d = h->d;
	struct kvm_irq_level l = { .irq = gsi };
	uint64_t one = 1;

	h->irq_level[gsi] = level;
	for (unsigned i = 0; i < N_HOMES; i++)
		if (d->home[i])
			l.level |= d->home[i]->irq_level[gsi];
	if (d->gsi_level[gsi] == l.level)
		return;
	d->gsi_level[gsi] = (uint8_t)l.level;
	if (d->gsi_fd[gsi] < 0)
		ioctl(d->guest_vm, KVM_IRQ_LINE, &l);
	else if (l.level && write(d->gsi_fd[gsi], &one, sizeof(one)) < 0)
		msg("interrupt %u: %s", gsi, strerror(errno));
}

static void op_irq(struct home *h, unsigned gsi, bool level, uint32_t seq)
{
	struct domain *d = h->d;

	pthread_mutex_lock(&d->irq_lock);
	/* include/sio/slot.h: old counts are dropped, gaps keep their edge. */
	if ((int32_t)(seq - h->irq_seq[gsi]) > 0) {
		if (seq != h->irq_seq[gsi] + 1 && h->irq_level[gsi] == level)
			set_line(h, gsi, !level);
		set_line(h, gsi, level);
		h->irq_seq[gsi] = seq;
	}
	pthread_mutex_unlock(&d->irq_lock);
}

/* --irqchip firmware.  A vCPU 0 that runs, or sleeps, is to look. */
static void op_vector(struct domain *d, uint32_t vector, uint32_t seq)
{
	bool newer;

	pthread_mutex_lock(&d->irq_lock);
	newer = (int32_t)(seq - d->vector_seq) > 0;
	if (newer) {
		d->vector_seq = seq;
		d->vector = vector;
	}
	pthread_mutex_unlock(&d->irq_lock);
	if (newer && vector != SIO_NO_VECTOR && d->vcpu[0].thread &&
	    !pthread_equal(pthread_self(), d->vcpu[0].thread))
		pthread_kill(d->vcpu[0].thread, SIGUSR1);
}

/* KVM tells of the EOIs of vectors that a route of a pin of "the" IOAPIC, level-triggered, leads to. */
static int op_levels(struct context *c, unsigned i, uint64_t bits, uint32_t seq)
{
	struct domain *d = c->h->d;
	_Alignas(struct kvm_irq_routing) char
		buf[sizeof(struct kvm_irq_routing) +
		    SIO_MAX_LEVELS * sizeof(struct kvm_irq_routing_entry)] = { 0 };
	struct kvm_irq_routing *r = (struct kvm_irq_routing *)buf;
	int rc = 0;

	pthread_mutex_lock(&d->irq_lock);
	if ((int32_t)(seq - d->level_seq[i]) > 0) {
		d->level_seq[i] = seq;
		d->level[i] = bits;
		for (unsigned v = 0; v < 256 && rc == 0; v++) {
			if (!(d->level[v / 64] >> v % 64 & 1))
				continue;
			if (r->nr == SIO_MAX_LEVELS) {
				rc = -1;
				break;
			}
			r->entries[r->nr] = (struct kvm_irq_routing_entry){
				.gsi = r->nr,
				.type = KVM_IRQ_ROUTING_MSI,
				.u.msi = { .address_lo = 0xfeeff000, /* to all */
					   .data = 0x8000 | v }
			};
			r->nr++;
		}
		if (rc == 0)
			ioctl(d->guest_vm, KVM_SET_GSI_ROUTING, r);
	}
	pthread_mutex_unlock(&d->irq_lock);
	return rc ? fault(c, "more than %u level-triggered vectors", SIO_MAX_LEVELS) : 0;
}

static int map_ports(struct context *c, uint64_t base, uint64_t len, uint16_t owner)
{
	struct domain *d = c->h->d;

	if (base > 0xffff || len > 0x10000 - base)
		return fault(c, "MAP of ports %llx, %llx", (unsigned long long)base,
			     (unsigned long long)len);
	for (uint64_t p = base; p < base + len; p++) {
		uint16_t old = d->port_owner[p];

		/* A home gives up its own claims only. */
		if (owner || (old && OWNER_HOME(old) == c->h->kind))
			d->port_owner[p] = owner;
	}
	return 0;
}

static int map_memory(struct context *c, uint64_t base, uint64_t len, uint16_t owner)
{
	struct domain *d = c->h->d;
	int r = 0;

	if (base + len < base || len == 0)
		return fault(c, "MAP of memory %llx, %llx", (unsigned long long)base,
			     (unsigned long long)len);
	for (unsigned i = 0; i < d->n_mmio && owner; i++) /* claimed again */
		if (d->mmio[i].base == base && d->mmio[i].len == len && d->mmio[i].owner == owner)
			return 0;
	pthread_rwlock_wrlock(&d->mmio_lock);
	if (owner && d->n_mmio < SIO_MAX_RANGES) {
		d->mmio[d->n_mmio++] = (struct mmio_range){ base, len, owner };
	} else if (owner) {
		r = -1;
	} else {
		for (unsigned i = 0; i < d->n_mmio; i++)
			if (d->mmio[i].base == base && d->mmio[i].len == len &&
			    OWNER_HOME(d->mmio[i].owner) == c->h->kind) {
				d->mmio[i] = d->mmio[--d->n_mmio];
				break;
			}
	}
	pthread_rwlock_unlock(&d->mmio_lock);
	return r ? fault(c, "more than %u memory ranges", SIO_MAX_RANGES) : 0;
}

static int op_map(struct context *c, const struct sio_op *op, bool on)
{
	struct domain *d = c->h->d;
	unsigned space = op->arg & 15, kind = on ? op->arg >> 4 & 15 : SIO_MAP_REFLECT,
		 model = on ? op->arg >> 8 & 0xff : 0;
	uint16_t owner = on ? OWNER(c->h->kind, model) : 0;
	const char *wrong = NULL;
	int r;

	if (model >= SIO_MAX_MODELS || kind >= SIO_N_MAP_KINDS || (on && model == 0))
		return fault(c, "MAP of kind %u for model %u", kind, model);
	if (space != SIO_SPACE_PIO && space != SIO_SPACE_MMIO)
		return fault(c, "MAP in space %u", space);
	pthread_mutex_lock(&d->map_lock);
	if (kind != SIO_MAP_REFLECT) {
		wrong = fast_map(c->h, space, kind, model, op->a, op->b, op->c);
		pthread_mutex_unlock(&d->map_lock);
		return wrong ? fault(c, "MAP of kind %u, %llx, %llx, %llx: %s", kind,
				     (unsigned long long)op->a, (unsigned long long)op->b,
				     (unsigned long long)op->c, wrong) :
			       0;
	}
	r = space == SIO_SPACE_PIO ? map_ports(c, op->a, op->b, owner) :
				     map_memory(c, op->a, op->b, owner);
	if (!on && r == 0)
		fast_unmap(c->h, space, op->a, op->b);
	pthread_mutex_unlock(&d->map_lock);
	return r;
}

static int do_op(struct context *c, const struct sio_op *op)
{
	struct home *h = c->h;
	struct domain *d = h->d;
	struct kvm_msi msi = { .address_lo = (uint32_t)op->a,
			       .address_hi = (uint32_t)(op->a >> 32),
			       .data = op->arg };
	char name[17] = "";
	uint64_t queue;

	switch (op->code) {
	case SIO_OP_IRQ:
		if (op->arg >= N_GSI || op->a > 1)
			return fault(c, "IRQ %u, level %llu", op->arg, (unsigned long long)op->a);
		op_irq(h, op->arg, op->a, (uint32_t)op->b);
		return 0;
	case SIO_OP_MSI: ioctl(d->guest_vm, KVM_SIGNAL_MSI, &msi); return 0;
	case SIO_OP_MAP: return op_map(c, op, true);
	case SIO_OP_UNMAP: return op_map(c, op, false);
	case SIO_OP_TIMER: io_timer(h, op->a); return 0;
	case SIO_OP_RESET: domain_wish(d, d->opt->no_reboot ? WISH_STOP : WISH_RESET, 0); return 0;
	case SIO_OP_POWEROFF: domain_wish(d, WISH_STOP, op->arg & 127); return 0;
	case SIO_OP_VECTOR:
		if (!d->opt->irqchip || (op->arg > 0xff && op->arg != SIO_NO_VECTOR))
			return fault(c, "VECTOR %u", op->arg);
		op_vector(d, op->arg, (uint32_t)op->b);
		return 0;
	case SIO_OP_LEVELS:
		if (!d->opt->irqchip || op->arg > 3)
			return fault(c, "LEVELS %u", op->arg);
		return op_levels(c, op->arg, op->a, (uint32_t)op->b);
	case SIO_OP_NOTIFY:
		if (op->arg >= h->n_windows)
			return fault(c, "NOTIFY of window %u", op->arg);
		queue = op->a;
		vmmio_access(h->window[op->arg], VIRTIO_MMIO_QUEUE_NOTIFY, 4, true, &queue);
		return 0;
	case SIO_OP_MODEL:
		if (op->arg == 0 || op->arg >= SIO_MAX_MODELS)
			return fault(c, "MODEL %u", op->arg);
		memcpy(name, &op->a, 16);
		for (char *p = name; *p; p++)
			if (!((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') ||
			      (*p >= '0' && *p <= '9') || *p == '-' || *p == '_'))
				*p = '.';
		memcpy(h->model_name[op->arg], name, 16); /* others may be reading it */
		return 0;
	}
	return fault(c, "operation %u does not exist", op->code);
}

static int do_ops(struct context *c)
{
	uint32_t n = *(volatile uint32_t *)&c->slot->n_ops;

	if (n > SIO_MAX_OPS)
		return fault(c, "%u operations in a slot", n);
	for (uint32_t i = 0; i < n; i++) {
		struct sio_op op;

		memcpy(&op, (const void *)&c->slot->ops[i], sizeof(op));
		/* Nothing may read the shared copy again. */
		__asm__ volatile("" ::: "memory");
		if (do_op(c, &op))
			return -1;
	}
	return 0;
}

/* A firmware may fill the terminal no faster than this, after a burst of LOG_BURST lines. */
#define LOG_LINE_NS 10000000u
#define LOG_BURST   1000u

static bool log_allowed(struct domain *d)
{
	uint64_t now = domain_now_ns(d), dropped = 0;
	bool ok;

	pthread_mutex_lock(&d->map_lock);
	if (d->log_ns < now)
		d->log_ns = now;
	ok = d->log_ns - now < (uint64_t)LOG_BURST * LOG_LINE_NS;
	if (ok) {
		dropped = d->log_dropped;
		d->log_ns += dropped ? 2 * LOG_LINE_NS : LOG_LINE_NS;
		d->log_dropped = 0;
	} else {
		d->log_dropped++;
	}
	pthread_mutex_unlock(&d->map_lock);
	if (dropped)
		msg("firmware: %llu messages left out", (unsigned long long)dropped);
	return ok;
}

static void do_log(struct context *c)
{
	struct domain *d = c->h->d;
	char text[SIO_MAX_TEXT + 1];
	uint32_t level = *(volatile uint32_t *)&c->slot->text_level;
	bool wanted = level == SIO_LOG_DEBUG ? d->opt->debugcon != NULL :
					       level <= SIO_LOG_WARN || d->opt->verbose;

	copy_text(text, c->slot);
	if (wanted && log_allowed(d))
		msg("%s: %s", level == SIO_LOG_DEBUG ? "bios" : who(c), text);
}

struct pci_memory {
	uint8_t value[65536]; /* by devfn * 256 + register */
	bool written[65536];
};

static void remember_pci(struct home *h, const struct sio_request *r)
{
	if (!h->pci)
		h->pci = calloc(1, sizeof(*h->pci));
	for (unsigned i = 0; h->pci && i < r->size && r->addr + i < 65536; i++) {
		h->pci->value[r->addr + i] = (uint8_t)(r->data >> 8 * i);
		h->pci->written[r->addr + i] = true;
	}
}

void home_forget_pci(struct home *h)
{
	free(h->pci);
	h->pci = NULL;
}

static int write_pci(struct home *h, unsigned addr, unsigned size)
{
	struct sio_request r = {
		.kind = SIO_REQ_PCICFG, .write = 1, .size = (uint8_t)size, .count = 1, .addr = addr
	};

	memcpy(&r.data, &h->pci->value[addr], size);
	return reflect_request(h->d, 0, h, &r, NULL, 0);
}

int home_restore_pci(struct home *h)
{
	enum { COMMAND = 4, STATUS = 6 };

	/* What a function does and decodes (its command register) comes when all else is in place; what is
	 * written to status is no state. */
	for (unsigned pass = 0; pass < 2 && h->pci; pass++)
		for (unsigned at = 0, size; at < 65536; at += size) {
			const bool *w = &h->pci->written[at];
			unsigned reg = at & 0xff;

			size = reg == COMMAND                               ? 2 :
			       reg % 4 == 0 && w[0] && w[1] && w[2] && w[3] ? 4 :
									      1;
			if (!w[0] || reg / 2 == STATUS / 2 || (reg == COMMAND) != (pass == 1))
				continue;
			if (write_pci(h, at, size))
				return -1;
		}
	return 0;
}

/* A configuration cycle for a function of another home. Homes that get one do not forward: the way
 * ends there. */
static int do_forward(struct context *c)
{
	struct domain *d = c->h->d;
	struct sio_request r;
	struct home *to;
	uint64_t before;

	memcpy(&r, (const void *)&c->slot->forward, sizeof(r));
	__asm__ volatile("" ::: "memory");
	c->slot->forward.data = UINT64_MAX;
	if (r.kind != SIO_REQ_PCICFG || r.addr > 0xffff ||
	    (r.size != 1 && r.size != 2 && r.size != 4) || r.place >= SIO_N_PLACES)
		return fault(c, "FORWARD of kind %u, size %u, place %u", r.kind, r.size, r.place);
	to = d->home[d->opt->place[r.place]];
	if (c->forwarding || !to || to == c->h || to->dead)
		return 0;
	r = (struct sio_request){ .kind = SIO_REQ_PCICFG,
				  .write = r.write != 0,
				  .size = r.size,
				  .count = 1,
				  .addr = r.addr,
				  .data = r.data,
				  .now_ns = domain_now_ns(d) };
	if (r.write)
		remember_pci(to, &r);
	before = to->ctx[c->id].tsc;
	to->ctx[c->id].forwarding = true;
	to->ctx[c->id].last = to->ctx[c->id].slot->req = r;
	if (context_run(&to->ctx[c->id]) == 0)
		c->slot->forward.data = *(volatile uint64_t *)&to->ctx[c->id].slot->answer;
	to->ctx[c->id].forwarding = false;
	c->nested_tsc += to->ctx[c->id].tsc - before;
	return 0;
}

static int do_mmio(struct context *c, struct leave *l)
{
	struct home *h = c->h;
	uint64_t at = l->addr - SIO_VIRTIO_BASE, w = at / SIO_VIRTIO_STRIDE, val = 0;

	c->mmio_exits++;
	if (l->addr < SIO_VIRTIO_BASE || w >= h->n_windows)
		return fault(c, "%s at %llx", l->write ? "write" : "read",
			     (unsigned long long)l->addr);
	if (l->len != 1 && l->len != 2 && l->len != 4)
		return fault(c, "%u-byte access to a virtio window", l->len);
	if (l->write)
		memcpy(&val, l->data, l->len);
	vmmio_access(h->window[w], (uint32_t)(at % SIO_VIRTIO_STRIDE), l->len, l->write, &val);
	if (!l->write)
		memcpy(l->data, &val, l->len);
	return 0;
}

static int hypercall(struct context *c, uint32_t n)
{
	struct home *h = c->h;

	if (n < SIO_N_HYPERCALLS)
		c->hypercalls[n]++;
	switch (n) {
	case SIO_HC_RETURN:
	case SIO_HC_WAIT:
		if ((n == SIO_HC_WAIT) != (c->id == h->d->n_vcpus))
			return fault(c, "%s in the wrong context",
				     n == SIO_HC_WAIT ? "WAIT" : "RETURN");
		return do_ops(c) ? -1 : 1;
	case SIO_HC_FLUSH: return do_ops(c);
	case SIO_HC_YIELD: sched_yield(); return 0;
	case SIO_HC_LOG: do_log(c); return 0;
	case SIO_HC_PANIC: return report_panic(c);
	case SIO_HC_FORWARD: return do_forward(c);
	}
	return fault(c, "hypercall %u does not exist", n);
}

int context_leave(struct context *c, struct leave *l)
{
	switch (l->kind) {
	case LEAVE_CALL: return hypercall(c, l->n);
	case LEAVE_MMIO: return do_mmio(c, l);
	case LEAVE_INTR:
		return c->stuck ? fault(c, "no answer for %llu s", STUCK_NS / 1000000000ull) : 0;
	default: return fault(c, "%s", l->why);
	}
}

int context_run(struct context *c)
{
	uint64_t t0 = tsc();
	struct leave l;
	int r = 0;

	c->nested_tsc = 0;
	c->h->inside++;
	c->runner = pthread_self();
	/* Release: the watchdog finds the runner of what has been entered. */
	atomic_store_explicit(&c->entered_ns, domain_now_ns(c->h->d) + 1, memory_order_release);
	while (r == 0) {
		if (c->h->dead) {
			r = -1;
			break;
		}
		c->h->ops->enter(c, &l);
		c->exits += l.kind != LEAVE_INTR;
		r = context_leave(c, &l);
	}
	atomic_store_explicit(&c->entered_ns, 0, memory_order_relaxed);
	c->h->inside--;
	c->tsc += tsc() - t0 - c->nested_tsc;
	return r > 0 ? 0 : -1;
}

/* The life of a home. */

static const struct {
	enum sio_net_card card;
	uint32_t priv; /* bytes of private memory: the model, its front end */
} net_cards[] = {
	[NETDEV_RTL8139] = { SIO_NET_RTL8139, 0x26000 },
	[NETDEV_RTL8139C] = { SIO_NET_RTL8139C, 0x26000 },
	[NETDEV_E1000] = { SIO_NET_E1000, 0x36000 },
	[NETDEV_NE2K_PCI] = { SIO_NET_NE2K_PCI, 0x20000 },
	[NETDEV_NE2K_ISA] = { SIO_NET_NE2K_ISA, 0x20000 },
	[NETDEV_VIRTIO] = { SIO_NET_VIRTIO, 0x1000 },
};

/* The page tables of a firmware without 1 GiB pages come out of its heap. */
static uint64_t priv_bytes(const struct domain *d, uint32_t places)
{
	uint64_t top = d->ram_high ? GUEST_HIGH + d->ram_high : GUEST_HIGH;
	uint64_t n = 0xe0000 + (top - GUEST_HIGH + GIB - 1) / GIB * 4096;

	n += d->n_vcpus > 2 ? 0x10000 : 0;
	for (unsigned i = 0; i < d->opt->n_nets && places >> SIO_PLACE_NET & 1; i++)
		n += net_cards[d->opt->net[i].model].priv;
	return n < SIO_PRIV_MAX ? n : SIO_PRIV_MAX;
}

static void add_range(struct vmem *m, uint64_t gpa, uint64_t len, uint8_t *hva)
{
	m->r[m->n].gpa = gpa;
	m->r[m->n].len = len;
	m->r[m->n++].hva = hva;
}

static void on_message(void *ctx, const char *text)
{
	(void)ctx;
	msg("%s", text);
}

struct home *home_create(struct domain *d, enum home_kind kind, uint32_t places)
{
	struct home *h = calloc(1, sizeof(*h));

	if (!h)
		return fail_errno("no memory"), NULL;
	h->d = d;
	h->kind = kind;
	h->ops = home_kinds[kind];
	h->places = places;
	h->vm = h->pidfd = -1;
	h->timer_ns = UINT64_MAX;
	pthread_mutex_init(&h->timer_lock, NULL);
	h->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	h->priv_size = priv_bytes(d, places);
	h->priv_fd = memfd_create("selfio-private", MFD_CLOEXEC);
	if (h->timer_fd < 0 || h->priv_fd < 0 || ftruncate(h->priv_fd, (off_t)h->priv_size) < 0) {
		fail_errno("can't get the models' private memory");
		free(h);
		return NULL;
	}
	/* In-process models have it where their addresses say. */
	h->priv = mmap(kind == HOME_INPROC ? d->win + SIO_PRIV_BASE : NULL, h->priv_size,
		       PROT_READ | PROT_WRITE, MAP_SHARED | (kind == HOME_INPROC ? MAP_FIXED : 0),
		       h->priv_fd, 0);
	if (h->priv == MAP_FAILED) {
		fail_errno("can't map the models' private memory");
		free(h);
		return NULL;
	}
	madvise(h->priv, h->priv_size, MADV_DONTDUMP);
	add_range(&h->vmem, 0, d->ram_low, d->win);
	if (d->ram_high)
		add_range(&h->vmem, GUEST_HIGH, d->ram_high, d->win + GUEST_HIGH);
	h->guest_vmem = h->vmem;
	add_range(&h->vmem, SIO_PRIV_BASE, h->priv_size, h->priv);
	h->host = (struct vmmio_host){
		.mem = &h->vmem, .signal = io_signal, .message = on_message, .ctx = h
	};
	h->guest_host = h->host;
	h->guest_host.mem = &h->guest_vmem;
	for (unsigned i = 0; i <= d->n_vcpus; i++) {
		h->ctx[i].h = h;
		h->ctx[i].id = i;
		h->ctx[i].fd = -1;
		h->ctx[i].slot =
			(struct sio_slot_shared *)(h->priv + SIO_SLOT_OFF + i * SIO_SLOT_SIZE);
	}
	d->home[kind] = h;
	return h;
}

unsigned home_add_window(struct home *h, struct vmmio *w)
{
	h->window[h->n_windows] = w;
	return h->n_windows++;
}

int home_check_image(struct home *h)
{
	char err[200];
	uint64_t entry;

	if (h->ops->has_image &&
	    image_load(h, h->d->image, h->d->image_file_len, &entry, err, sizeof(err))) {
		msg("can't load the firmware %s: %s", h->d->opt->firmware, err);
		return -1;
	}
	return 0;
}

static void fill_config(struct home *h)
{
	struct domain *d = h->d;
	const struct options *o = d->opt;
	struct timespec ts;
	struct sio_config c = {
		.magic = SIO_CONFIG_MAGIC,
		.version = SIO_ABI_VERSION,
		.size = sizeof(c),
		.n_vcpus = d->n_vcpus,
		.flags = (o->debugcon ? SIO_CFG_DEBUGCON : 0) |
			 (o->boot_menu ? SIO_CFG_BOOT_MENU : 0) |
			 (o->irqchip ? SIO_CFG_IRQCHIP : 0) | (o->testdev ? SIO_CFG_TESTDEV : 0) |
			 (o->boot_net ? SIO_CFG_BOOT_NET : 0),
		.priv_size = h->priv_size,
		.heap_base = SIO_PRIV_BASE + SIO_IMAGE_OFF + h->image_len,
		.heap_len = h->priv_size - SIO_IMAGE_OFF - h->image_len,
		.map_top = d->blob_top,
		.apic_id_last = d->n_vcpus - 1,
		.local = h->places,
		.fast = o->fast & ((1u << SIO_N_MAP_KINDS) - 1),
		.n_ram = d->ram_high ? 2 : 1,
		.ram = { { 0, d->ram_low }, { GUEST_HIGH, d->ram_high } },
		.n_blobs = d->n_blobs,
	};
	uint32_t w = 0; /* windows in the order of attach_devices() */

	clock_gettime(CLOCK_REALTIME, &ts);
	c.wall_ns = (uint64_t)ts.tv_sec * 1000000000ull + (uint64_t)ts.tv_nsec - domain_now_ns(d);
	memcpy(c.blob, d->blob, sizeof(d->blob));
	memcpy(c.uuid, d->uuid, sizeof(c.uuid));
	if (h->kind == HOME_FIRMWARE)
		for (unsigned i = 0; i < N_GSI; i++)
			c.irq_doorbells |= (uint32_t)(d->gsi_fd[i] >= 0) << i;
	for (unsigned i = 0; i < o->n_disks; i++) {
		struct sio_device *v = &c.device[c.n_devices++];
		bool here = h->places >> SIO_PLACE_IDE & 1;

		*v = (struct sio_device){ .kind = SIO_DEV_BLK,
					  .window = here ? w++ : SIO_NO_WINDOW,
					  .unit = i };
		memcpy(v->serial, o->serial[i], sizeof(v->serial));
		memcpy(v->model, o->model[i], sizeof(v->model));
	}
	for (unsigned i = 0; i < o->n_nets; i++) {
		bool here = h->places >> SIO_PLACE_NET & 1;

		c.device[c.n_devices++] =
			(struct sio_device){ .kind = SIO_DEV_NET,
					     .window = here ? w++ : SIO_NO_WINDOW,
					     .unit = i,
					     .card = net_cards[o->net[i].model].card };
	}
	if (h->places >> SIO_PLACE_UART & 1)
		c.device[c.n_devices++] =
			(struct sio_device){ .kind = SIO_DEV_CONSOLE, .window = w };
	memcpy(h->priv + SIO_CONFIG_OFF, &c, sizeof(c));
}

/* Nothing is claimed by a home that starts over, no line is up. */
static void forget(struct home *h)
{
	struct domain *d = h->d;

	pthread_mutex_lock(&d->map_lock);
	fast_unmap(h, SIO_SPACE_PIO, 0, 0x10000);
	fast_unmap(h, SIO_SPACE_MMIO, 0, UINT64_MAX);
	for (unsigned p = 0; p < 65536; p++)
		if (d->port_owner[p] && OWNER_HOME(d->port_owner[p]) == h->kind)
			d->port_owner[p] = 0;
	pthread_rwlock_wrlock(&d->mmio_lock);
	for (unsigned i = 0; i < d->n_mmio;)
		if (OWNER_HOME(d->mmio[i].owner) == h->kind)
			d->mmio[i] = d->mmio[--d->n_mmio];
		else
			i++;
	pthread_rwlock_unlock(&d->mmio_lock);
	pthread_mutex_unlock(&d->map_lock);
	pthread_mutex_lock(&d->irq_lock);
	for (unsigned i = 0; i < N_GSI; i++)
		set_line(h, i, false);
	memset(h->irq_seq, 0, sizeof(h->irq_seq));
	d->vector = SIO_NO_VECTOR;
	d->vector_seq = 0;
	memset(d->level_seq, 0, sizeof(d->level_seq));
	pthread_mutex_unlock(&d->irq_lock);
}

int home_start(struct home *h)
{
	struct domain *d = h->d;
	char err[200];
	uint64_t entry = 0;

	for (unsigned i = 0; i < h->n_windows; i++) {
		uint64_t zero = 0;

		vmmio_access(h->window[i], VIRTIO_MMIO_STATUS, 4, true, &zero);
	}
	forget(h);
	memset(h->priv, 0, h->priv_size);
	if (h->ops->has_image &&
	    image_load(h, d->image, d->image_file_len, &entry, err, sizeof(err))) {
		msg("can't load the firmware %s: %s", d->opt->firmware, err);
		return -1;
	}
	fill_config(h);
	h->dead = false;
	h->events = 0;
	if (h->ops->start(h, entry))
		return -1;
	/* All of them are started from this thread; each goes to its own afterwards. */
	for (unsigned i = 0; i <= d->n_vcpus; i++) {
		struct context *c = &h->ctx[i];
		uint64_t before = c->tsc, asleep = c->asleep_ns;

		c->stuck = false;
		c->last = (struct sio_request){ .kind = SIO_REQ_NONE };
		vcpu_thread_init(c->run, NULL);
		if (context_run(c))
			return -1;
		c->tsc = before; /* the time of this thread, not of its own */
		c->asleep_ns = asleep;
	}
	return 0;
}

void home_destroy(struct home *h)
{
	if (!h)
		return;
	if (h->ops->destroy)
		h->ops->destroy(h);
	home_forget_pci(h);
	munmap(h->priv, h->priv_size);
	close(h->priv_fd);
	close(h->timer_fd);
	free(h);
}
