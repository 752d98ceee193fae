/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * reflect.c - a request's way into the firmware and back, on the thread of the vCPU that made it.
 *
 * Everything that the firmware writes is hostile: the slot is read once, each value is bounded, and
 * whatever is not in the protocol ends that firmware, with a report, and nothing else.
 */
#include <errno.h>
#include <sched.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vmm/domain.h"

int context_create(struct context *c, struct domain *d, unsigned id)
{
	_Alignas(struct kvm_cpuid2) char
		buf[sizeof(struct kvm_cpuid2) + MAX_CPUID * sizeof(struct kvm_cpuid_entry2)];
	struct kvm_cpuid2 *cp = (struct kvm_cpuid2 *)buf;

	c->d = d;
	c->id = id;
	c->slot = (struct sio_slot_shared *)(d->priv + SIO_SLOT_OFF + id * SIO_SLOT_SIZE);
	c->fd = ioctl(d->comp_vm, KVM_CREATE_VCPU, id);
	if (c->fd < 0)
		return fail_errno("can't create companion vCPU %u", id);
	c->run = mmap(NULL, d->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, c->fd, 0);
	if (c->run == MAP_FAILED)
		return fail_errno("can't map companion vCPU %u", id);
	memset(cp, 0, sizeof(*cp));
	cp->nent = MAX_CPUID;
	if (ioctl(d->kvm, KVM_GET_SUPPORTED_CPUID, cp) < 0 || ioctl(c->fd, KVM_SET_CPUID2, cp) < 0)
		return fail_errno("can't set CPUID of companion vCPU %u", id);
	return 0;
}

int context_enter_regs(struct context *c, uint64_t entry)
{
	struct kvm_segment code = { .limit = 0xffffffff, .selector = 8, .type = 11, .present = 1, .db = 1,
				    .s = 1, .g = 1 };
	struct kvm_segment data = code;
	struct kvm_regs r = { .rip = entry, .rflags = 2, .rax = SIO_ENTRY_MAGIC,
			      .rbx = SIO_PRIV_BASE + SIO_CONFIG_OFF, .rcx = c->id };
	struct kvm_sregs s;

	/* Finish the OUT that an earlier firmware left by, if one did. */
	c->run->immediate_exit = 1;
	ioctl(c->fd, KVM_RUN, 0);
	c->run->immediate_exit = 0;
	data.type = 3;
	data.selector = 16;
	if (ioctl(c->fd, KVM_GET_SREGS, &s) < 0)
		return fail_errno("companion vCPU %u", c->id);
	s.cs = code;
	s.ds = s.es = s.fs = s.gs = s.ss = data;
	s.cr0 = 0x11;
	s.cr3 = s.cr4 = s.efer = 0;
	memset(&s.idt, 0, sizeof(s.idt));
	memset(&s.gdt, 0, sizeof(s.gdt));
	if (ioctl(c->fd, KVM_SET_SREGS, &s) < 0 || ioctl(c->fd, KVM_SET_REGS, &r) < 0)
		return fail_errno("companion vCPU %u", c->id);
	c->stuck = false;
	return 0;
}

static const char *model_name(struct domain *d, unsigned model)
{
	return model && d->model_name[model][0] ? d->model_name[model] : "?";
}

static void report_request(struct context *c)
{
	struct domain *d = c->d;
	const struct sio_request *r = &c->last;

	if (r->kind == SIO_REQ_PIO)
		msg("  it was serving a %u-byte port %s at %04llx (model %s), count %u",
		    r->size, r->write ? "write" : "read", (unsigned long long)r->addr,
		    model_name(d, reflect_model_at(d, r->addr, r->size)), r->count);
	else if (r->kind == SIO_REQ_MMIO)
		msg("  it was serving a %u-byte %s at %llx (model %s)", r->size, r->write ? "write" : "read",
		    (unsigned long long)r->addr, model_name(d, reflect_model_at_mmio(d, r->addr, r->size)));
	else
		msg("  it was serving %s", r->kind == SIO_REQ_EVENT ? "an event"
			: r->kind == SIO_REQ_RESET ? "a reset" : "its start");
}

static void report_regs(struct context *c)
{
	uint64_t base = SIO_PRIV_BASE + SIO_IMAGE_OFF;
	struct kvm_sregs s = { 0 };
	struct kvm_regs r = { 0 };

	ioctl(c->fd, KVM_GET_REGS, &r);
	ioctl(c->fd, KVM_GET_SREGS, &s);
	msg("  rip %llx (image+%llx) rsp %llx rflags %llx cr2 %llx cr3 %llx", r.rip, r.rip - base, r.rsp,
	    r.rflags, s.cr2, s.cr3);
	msg("  rax %llx rbx %llx rcx %llx rdx %llx rsi %llx rdi %llx rbp %llx", r.rax, r.rbx, r.rcx, r.rdx,
	    r.rsi, r.rdi, r.rbp);
}

/* The firmware did what no firmware may. */
__attribute__((format(printf, 2, 3))) static int fault(struct context *c, const char *f, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, f);
	vsnprintf(text, sizeof(text), f, ap);
	va_end(ap);
	msg("firmware fault in context %u: %s", c->id, text);
	report_request(c);
	report_regs(c);
	domain_fw_failed(c->d);
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
	msg("firmware panic in context %u: %s", c->id, text);
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
	domain_fw_failed(c->d);
	return -1;
}

static void op_irq(struct domain *d, unsigned gsi, bool level, uint32_t seq)
{
	struct kvm_irq_level l = { .irq = gsi, .level = level };

	pthread_mutex_lock(&d->irq_lock);
	/* include/sio/slot.h: old counts are dropped, gaps keep their edge. */
	if ((int32_t)(seq - d->irq_seq[gsi]) > 0) {
		if (seq != d->irq_seq[gsi] + 1 && d->irq_level[gsi] == level) {
			l.level = !level;
			ioctl(d->guest_vm, KVM_IRQ_LINE, &l);
			l.level = level;
		}
		ioctl(d->guest_vm, KVM_IRQ_LINE, &l);
		d->irq_seq[gsi] = seq;
		d->irq_level[gsi] = level;
	}
	pthread_mutex_unlock(&d->irq_lock);
}

static int op_map(struct context *c, const struct sio_op *op, bool on)
{
	struct domain *d = c->d;
	unsigned space = op->arg & 15, kind = op->arg >> 4 & 15, model = on ? op->arg >> 8 & 0xff : 0;
	int r = 0;

	if (model >= SIO_MAX_MODELS || kind != SIO_MAP_REFLECT || (on && model == 0))
		return fault(c, "MAP of kind %u for model %u", kind, model);
	if (space == SIO_SPACE_PIO) {
		if (op->a > 0xffff || op->b > 0x10000 - op->a)
			return fault(c, "MAP of ports %llx, %llx", (unsigned long long)op->a,
				     (unsigned long long)op->b);
		for (uint64_t p = op->a; p < op->a + op->b; p++)
			atomic_store_explicit(&d->port_model[p], (uint8_t)model, memory_order_relaxed);
		return 0;
	}
	if (space != SIO_SPACE_MMIO || op->a + op->b < op->a || op->b == 0)
		return fault(c, "MAP of memory %llx, %llx", (unsigned long long)op->a,
			     (unsigned long long)op->b);
	pthread_rwlock_wrlock(&d->mmio_lock);
	if (on && d->n_mmio < SIO_MAX_RANGES) {
		d->mmio[d->n_mmio++] = (struct mmio_range){ op->a, op->b, (uint8_t)model };
	} else if (on) {
		r = -1;
	} else {
		for (unsigned i = 0; i < d->n_mmio; i++)
			if (d->mmio[i].base == op->a && d->mmio[i].len == op->b) {
				d->mmio[i] = d->mmio[--d->n_mmio];
				break;
			}
	}
	pthread_rwlock_unlock(&d->mmio_lock);
	return r ? fault(c, "more than %u memory ranges", SIO_MAX_RANGES) : 0;
}

static int do_op(struct context *c, const struct sio_op *op)
{
	struct domain *d = c->d;
	struct kvm_msi msi = { .address_lo = (uint32_t)op->a, .address_hi = (uint32_t)(op->a >> 32),
			       .data = op->arg };

	switch (op->code) {
	case SIO_OP_IRQ:
		if (op->arg >= N_GSI || op->a > 1)
			return fault(c, "IRQ %u, level %llu", op->arg, (unsigned long long)op->a);
		op_irq(d, op->arg, op->a, (uint32_t)op->b);
		return 0;
	case SIO_OP_MSI:
		ioctl(d->guest_vm, KVM_SIGNAL_MSI, &msi);
		return 0;
	case SIO_OP_MAP:
		return op_map(c, op, true);
	case SIO_OP_UNMAP:
		return op_map(c, op, false);
	case SIO_OP_TIMER:
		io_timer(d, op->a);
		return 0;
	case SIO_OP_RESET:
		domain_wish(d, d->opt->no_reboot ? WISH_STOP : WISH_RESET, 0);
		return 0;
	case SIO_OP_POWEROFF:
		domain_wish(d, WISH_STOP, op->arg & 127);
		return 0;
	case SIO_OP_MODEL:
		if (op->arg == 0 || op->arg >= SIO_MAX_MODELS)
			return fault(c, "MODEL %u", op->arg);
		memcpy(d->model_name[op->arg], &op->a, 16);
		for (char *p = d->model_name[op->arg]; *p; p++)
			if (!((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9') ||
			      *p == '-' || *p == '_'))
				*p = '.';
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
	char text[SIO_MAX_TEXT + 1];
	uint32_t level = *(volatile uint32_t *)&c->slot->text_level;

	bool wanted = level == SIO_LOG_DEBUG ? c->d->opt->debugcon != NULL
					     : level <= SIO_LOG_WARN || c->d->opt->verbose;

	copy_text(text, c->slot);
	if (wanted && log_allowed(c->d))
		msg("%s: %s", level == SIO_LOG_DEBUG ? "bios" : "firmware", text);
}

static int comp_mmio(struct context *c)
{
	struct kvm_run *run = c->run;
	uint64_t at = run->mmio.phys_addr - SIO_VIRTIO_BASE, w = at / SIO_VIRTIO_STRIDE;
	uint64_t val = 0;

	c->mmio_exits++;
	if (run->mmio.phys_addr < SIO_VIRTIO_BASE || w >= c->d->n_windows)
		return fault(c, "%s at %llx", run->mmio.is_write ? "write" : "read",
			     (unsigned long long)run->mmio.phys_addr);
	if (run->mmio.len != 1 && run->mmio.len != 2 && run->mmio.len != 4)
		return fault(c, "%u-byte access to a virtio window", run->mmio.len);
	if (run->mmio.is_write)
		memcpy(&val, run->mmio.data, run->mmio.len);
	vmmio_access(c->d->window[w], (uint32_t)(at % SIO_VIRTIO_STRIDE), run->mmio.len,
		     run->mmio.is_write, &val);
	if (!run->mmio.is_write)
		memcpy(run->mmio.data, &val, run->mmio.len);
	return 0;
}

/* 1: the firmware answered; 0: go on; -1: failed. */
static int hypercall(struct context *c)
{
	struct kvm_run *run = c->run;
	uint32_t n;

	if (run->io.direction != KVM_EXIT_IO_OUT || run->io.port != SIO_HC_PORT || run->io.size != 4 ||
	    run->io.count != 1)
		return fault(c, "%s of port %04x, not a hypercall",
			     run->io.direction == KVM_EXIT_IO_OUT ? "write" : "read", run->io.port);
	memcpy(&n, (uint8_t *)run + run->io.data_offset, 4);
	if (n < 8)
		c->hypercalls[n]++;
	switch (n) {
	case SIO_HC_RETURN:
	case SIO_HC_WAIT:
		if ((n == SIO_HC_WAIT) != (c == &c->d->io))
			return fault(c, "%s in the wrong context", n == SIO_HC_WAIT ? "WAIT" : "RETURN");
		return do_ops(c) ? -1 : 1;
	case SIO_HC_FLUSH:
		return do_ops(c);
	case SIO_HC_YIELD:
		sched_yield();
		return 0;
	case SIO_HC_LOG:
		do_log(c);
		return 0;
	case SIO_HC_PANIC:
		return report_panic(c);
	}
	return fault(c, "hypercall %u does not exist", n);
}

int context_run(struct context *c)
{
	struct domain *d = c->d;
	uint64_t t0 = tsc();
	int r = 0;

	c->runner = pthread_self();
	/* Release: the watchdog finds the runner of what has been entered. */
	atomic_store_explicit(&c->entered_ns, domain_now_ns(d) + 1, memory_order_release);
	while (r == 0) {
		if (d->fw_dead) {
			r = -1;
			break;
		}
		if (ioctl(c->fd, KVM_RUN, 0) < 0) {
			if (errno == EINTR) {
				c->run->immediate_exit = 0;
				if (c->stuck)
					r = fault(c, "no answer for %llu s", STUCK_NS / 1000000000ull);
				continue;
			}
			if (errno != EAGAIN)
				r = fault(c, "KVM_RUN: %s", strerror(errno));
			continue;
		}
		c->exits++;
		switch (c->run->exit_reason) {
		case KVM_EXIT_IO:
			r = hypercall(c);
			break;
		case KVM_EXIT_MMIO:
			r = comp_mmio(c);
			break;
		case KVM_EXIT_INTR:
			break;
		default:
			r = fault(c, "KVM exit %u (HLT is 5, SHUTDOWN 8, FAIL_ENTRY 9, INTERNAL_ERROR 17)",
				  c->run->exit_reason);
		}
	}
	atomic_store_explicit(&c->entered_ns, 0, memory_order_relaxed);
	c->tsc += tsc() - t0;
	return r > 0 ? 0 : -1;
}

unsigned reflect_model_at(struct domain *d, uint64_t port, unsigned size)
{
	for (unsigned i = 0; i < size && port + i <= 0xffff; i++) {
		unsigned m = atomic_load_explicit(&d->port_model[port + i], memory_order_relaxed);

		if (m)
			return m;
	}
	return 0;
}

unsigned reflect_model_at_mmio(struct domain *d, uint64_t addr, unsigned size)
{
	unsigned m = 0;

	pthread_rwlock_rdlock(&d->mmio_lock);
	for (unsigned i = 0; i < d->n_mmio && !m; i++)
		if (addr + size > d->mmio[i].base && addr < d->mmio[i].base + d->mmio[i].len)
			m = d->mmio[i].model;
	pthread_rwlock_unlock(&d->mmio_lock);
	return m;
}

uint64_t reflect(struct vcpu *v, unsigned kind, bool write, uint64_t addr, unsigned size, uint32_t count,
		 uint64_t data, void *burst)
{
	struct domain *d = v->d;
	struct context *c = &v->ctx;
	struct sio_slot_shared *s = c->slot;
	uint64_t t0 = tsc(), before = c->tsc, t1;
	unsigned model = kind == SIO_REQ_PIO ? reflect_model_at(d, addr, size)
					     : reflect_model_at_mmio(d, addr, size);
	size_t bytes = (size_t)size * count;

	if (!model || bytes > SIO_PAGE || d->fw_dead) {
		v->unclaimed++;
		if (burst && !write)
			memset(burst, 0xff, bytes);
		return UINT64_MAX;
	}
	c->last = (struct sio_request){ .kind = (uint8_t)kind, .write = write, .size = (uint8_t)size,
					.count = count, .addr = addr, .data = data,
					.now_ns = domain_now_ns(d) };
	s->req = c->last;
	if (burst && write)
		memcpy(s->data, burst, bytes);
	if (context_run(c)) {
		if (burst && !write)
			memset(burst, 0xff, bytes);
		return UINT64_MAX;
	}
	if (burst && !write)
		memcpy(burst, s->data, bytes);
	data = *(volatile uint64_t *)&s->answer;
	t1 = tsc();
	v->host_tsc += t1 - t0 - (c->tsc - before);
	stats_count(v, model, bytes, t1 - t0);
	return data;
}
