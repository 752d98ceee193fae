/* SPDX-License-Identifier: BSD-2-Clause */
/* vcpu.c - guest vCPUs: made, reset, run. */
#include <cpuid.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vmm/domain.h"

/* A kick has to end a KVM_RUN that is about to start as well as one that runs: the handler sets
 * immediate_exit of both of the thread's vCPUs. */
static __thread struct kvm_run *volatile kickable[2];

static void on_kick(int sig)
{
	(void)sig;
	for (unsigned i = 0; i < 2; i++)
		if (kickable[i])
			kickable[i]->immediate_exit = 1;
}

void vcpu_signal_init(void)
{
	struct sigaction sa = { .sa_handler = on_kick };

	sigaction(SIGUSR1, &sa, NULL);
	signal(SIGPIPE, SIG_IGN);
}

void vcpu_thread_init(struct kvm_run *a, struct kvm_run *b)
{
	sigset_t set;

	kickable[0] = a;
	kickable[1] = b;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

static int set_cpuid(struct vcpu *v)
{
	size_t len = sizeof(struct kvm_cpuid2) + MAX_CPUID * sizeof(struct kvm_cpuid_entry2);
	struct kvm_cpuid2 *c = calloc(1, len);
	unsigned kept = 0;
	int r;

	if (!c)
		return fail_errno("no memory for CPUID");
	c->nent = MAX_CPUID;
	if (ioctl(v->d->kvm, KVM_GET_SUPPORTED_CPUID, c) < 0) {
		free(c);
		return fail_errno("KVM_GET_SUPPORTED_CPUID");
	}
	for (unsigned i = 0; i < c->nent; i++) {
		struct kvm_cpuid_entry2 *e = &c->entries[i];

		switch (e->function) {
		case 1:
			e->ebx = (e->ebx & 0xff00ffff & 0x00ffffff) | v->id << 24 | 1u << 16;
			e->ecx |= 1u << 31; /* a hypervisor is there */
			e->ecx |= 1u << 24; /* the in-kernel APIC has the TSC deadline timer */
			e->edx &= ~(1u << 28);
			break;
		case 0xb: /* each vCPU a package of its own */
			e->edx = v->id;
			e->eax = 0;
			e->ebx = e->index < 2 ? 1 : 0;
			break;
		case 0x1f: continue;
		case 0x80000008: e->ecx = 0; break;
		case 0x8000001e:
			e->eax = v->id;
			e->ebx = v->id;
			e->ecx = 0;
			break;
		}
		c->entries[kept++] = *e;
	}
	c->nent = kept;
	r = ioctl(v->fd, KVM_SET_CPUID2, c);
	free(c);
	return r < 0 ? fail_errno("KVM_SET_CPUID2") : 0;
}

int vcpu_create(struct vcpu *v)
{
	struct domain *d = v->d;

	v->fd = ioctl(d->guest_vm, KVM_CREATE_VCPU, v->id);
	if (v->fd < 0)
		return fail_errno("can't create guest vCPU %u", v->id);
	v->run = mmap(NULL, d->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, v->fd, 0);
	if (v->run == MAP_FAILED)
		return fail_errno("can't map guest vCPU %u", v->id);
	if (set_cpuid(v))
		return -1;
	if (ioctl(v->fd, KVM_GET_SREGS, &v->sregs0) < 0 ||
	    ioctl(v->fd, KVM_GET_LAPIC, &v->lapic0) < 0 || ioctl(v->fd, KVM_GET_FPU, &v->fpu0) < 0)
		return fail_errno("can't read the state of guest vCPU %u", v->id);
	return 0;
}

/* MSRs that outlive a reset in KVM and would let it go on writing into guest memory. */
static const uint32_t reset_msrs[] = {
	0x4b564d00, 0x4b564d01, 0x4b564d02, 0x4b564d03,
	0x4b564d04,                                     /* KVM clock, async PF, steal, EOI */
	0x174,      0x175,      0x176,                  /* SYSENTER */
	0xc0000081, 0xc0000082, 0xc0000083, 0xc0000084, /* SYSCALL */
	0xc0000102,                                     /* kernel GS base */
	0x2ff,                                          /* MTRR default type */
	0x6e0,                                          /* TSC deadline */
	0x3b,       0x10, /* TSC adjust, TSC: KVM keeps those in step that are set together */
};

int vcpu_reset(struct vcpu *v)
{
	struct kvm_regs regs = { .rip = 0xfff0, .rflags = 2, .rdx = 0x600 };
	struct kvm_vcpu_events ev;
	struct kvm_debugregs dr = { .dr6 = 0xffff0ff0, .dr7 = 0x400 };
	struct kvm_mp_state mp = { v->id == 0 ? KVM_MP_STATE_RUNNABLE :
						KVM_MP_STATE_UNINITIALIZED };

	/* A pending port or register access completes in the next KVM_RUN: let it, before the registers
	 * are set. */
	v->run->immediate_exit = 1;
	ioctl(v->fd, KVM_RUN, 0);
	v->run->immediate_exit = 0;
	if (ioctl(v->fd, KVM_GET_VCPU_EVENTS, &ev) == 0) {
		uint32_t flags = ev.flags & KVM_VCPUEVENT_VALID_SIPI_VECTOR;

		memset(&ev, 0, sizeof(ev));
		ev.flags = flags | KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW;
		ioctl(v->fd, KVM_SET_VCPU_EVENTS, &ev);
	}
	for (unsigned i = 0; i < sizeof(reset_msrs) / sizeof(reset_msrs[0]); i++) {
		struct {
			struct kvm_msrs h;
			struct kvm_msr_entry e;
		} m = { .h.nmsrs = 1, .e.index = reset_msrs[i] };

		ioctl(v->fd, KVM_SET_MSRS, &m); /* not every KVM has each of them */
	}
	if (ioctl(v->fd, KVM_SET_SREGS, &v->sregs0) < 0 || ioctl(v->fd, KVM_SET_REGS, &regs) < 0 ||
	    ioctl(v->fd, KVM_SET_FPU, &v->fpu0) < 0 ||
	    ioctl(v->fd, KVM_SET_LAPIC, &v->lapic0) < 0 || ioctl(v->fd, KVM_SET_MP_STATE, &mp) < 0)
		return fail_errno("can't reset guest vCPU %u", v->id);
	ioctl(v->fd, KVM_SET_DEBUGREGS, &dr);
	return 0;
}

static void report_regs(struct vcpu *v, const char *what)
{
	struct kvm_regs r = { 0 };
	struct kvm_sregs s = { 0 };

	ioctl(v->fd, KVM_GET_REGS, &r);
	ioctl(v->fd, KVM_GET_SREGS, &s);
	msg("guest vCPU %u: %s at %04x:%llx (base %llx), cr0 %llx cr3 %llx cr4 %llx efer %llx flags %llx",
	    v->id, what, s.cs.selector, r.rip, s.cs.base, s.cr0, s.cr3, s.cr4, s.efer, r.rflags);
}

static void handle_io(struct vcpu *v)
{
	struct kvm_run *run = v->run;
	uint8_t *p = (uint8_t *)run + run->io.data_offset;
	unsigned size = run->io.size;
	bool write = run->io.direction == KVM_EXIT_IO_OUT;
	uint64_t val = 0;

	v->exits[write ? EXIT_PIO_WRITE : EXIT_PIO_READ]++;
	v->ports[run->io.port / PORT_BLOCK][write]++;
	if (run->io.count != 1) {
		reflect(v, SIO_REQ_PIO, write, run->io.port, size, run->io.count, 0, p);
		return;
	}
	if (write)
		memcpy(&val, p, size);
	val = reflect(v, SIO_REQ_PIO, write, run->io.port, size, 1, val, NULL);
	if (!write)
		memcpy(p, &val, size);
}

/* KVM may hand over any length up to 8 (an access that crosses a page): in powers of two. */
static void handle_mmio(struct vcpu *v)
{
	struct kvm_run *run = v->run;
	bool write = run->mmio.is_write;

	v->exits[write ? EXIT_MMIO_WRITE : EXIT_MMIO_READ]++;
	stats_page(v, run->mmio.phys_addr, write);
	for (unsigned at = 0, n; at < run->mmio.len && at < 8; at += n) {
		uint64_t val = 0;

		n = run->mmio.len - at >= 8 ? 8 :
		    run->mmio.len - at >= 4 ? 4 :
		    run->mmio.len - at >= 2 ? 2 :
					      1;
		if (write)
			memcpy(&val, run->mmio.data + at, n);
		val = reflect(v, SIO_REQ_MMIO, write, run->mmio.phys_addr + at, n, 1, val, NULL);
		if (!write)
			memcpy(run->mmio.data + at, &val, n);
	}
}

/* Stands still until the I/O thread has acted on the wish; false when the domain stops. */
static bool park(struct vcpu *v)
{
	struct domain *d = v->d;
	unsigned gen;

	pthread_mutex_lock(&d->park_lock);
	gen = d->generation;
	d->n_parked++;
	pthread_cond_signal(&d->parked_cond);
	while (d->generation == gen && d->wish != WISH_STOP)
		pthread_cond_wait(&d->resume_cond, &d->park_lock);
	d->n_parked--;
	pthread_mutex_unlock(&d->park_lock);
	return d->wish != WISH_STOP;
}

/* --irqchip firmware: one home has all models. */
static struct home *irqchip_home(struct domain *d)
{
	return d->home[d->opt->place[SIO_PLACE_PCI]];
}

/* --irqchip firmware: an interrupt of the 8259s, if there is one and the guest can take it; else KVM says when
 * it can. */
static void take_vector(struct vcpu *v)
{
	struct domain *d = v->d;
	struct kvm_interrupt irq = { .irq = d->vector };
	struct home *h = irqchip_home(d);
	uint32_t vector = irq.irq;

	v->run->request_interrupt_window = vector != SIO_NO_VECTOR;
	if (vector == SIO_NO_VECTOR || h->dead || !v->run->ready_for_interrupt_injection ||
	    ioctl(v->fd, KVM_INTERRUPT, &irq) < 0)
		return;
	/* Another may have come in its place meanwhile: that one stays. */
	atomic_compare_exchange_strong(&d->vector, &vector, SIO_NO_VECTOR);
	reflect_request(d, v->id, h,
			&(struct sio_request){ .kind = SIO_REQ_TAKEN, .addr = irq.irq }, NULL, 0);
	v->run->request_interrupt_window = d->vector != SIO_NO_VECTOR;
}

static void handle_eoi(struct vcpu *v)
{
	struct home *h = irqchip_home(v->d);

	if (!h->dead)
		reflect_request(v->d, v->id, h,
				&(struct sio_request){ .kind = SIO_REQ_EOI,
						       .addr = v->run->eoi.vector },
				NULL, 0);
}

void *vcpu_main(void *arg)
{
	struct vcpu *v = arg;
	struct domain *d = v->d;

	v->tid = gettid();
	vcpu_thread_init(v->run,
			 d->home[HOME_FIRMWARE] ? d->home[HOME_FIRMWARE]->ctx[v->id].run : NULL);
	for (;;) {
		int r;

		if (d->wish != WISH_NONE && !park(v))
			break;
		if (d->opt->irqchip && v->id == 0)
			take_vector(v);
		r = ioctl(v->fd, KVM_RUN, 0);
		if (r < 0 && errno == EINTR) {
			v->run->immediate_exit = 0;
			v->exits[EXIT_SIGNAL]++;
			continue;
		}
		if (r < 0 && errno == EAGAIN)
			continue;
		if (r < 0) {
			fail_errno("guest vCPU %u: KVM_RUN", v->id);
			report_regs(v, "stopped");
			domain_wish(d, WISH_STOP, 1);
			continue;
		}
		switch (v->run->exit_reason) {
		case KVM_EXIT_IO: handle_io(v); break;
		case KVM_EXIT_MMIO: handle_mmio(v); break;
		case KVM_EXIT_IRQ_WINDOW_OPEN: v->exits[EXIT_OTHER]++; break;
		case KVM_EXIT_IOAPIC_EOI:
			v->exits[EXIT_OTHER]++;
			handle_eoi(v);
			break;
		case KVM_EXIT_INTR: v->exits[EXIT_SIGNAL]++; break;
		case KVM_EXIT_SHUTDOWN: /* a triple fault resets a PC; KVM has the registers reset already */
			v->exits[EXIT_TRIPLE_FAULT]++;
			if (d->opt->verbose)
				msg("guest vCPU %u: triple fault", v->id);
			domain_wish(d, d->opt->no_reboot ? WISH_STOP : WISH_RESET, 0);
			break;
		default:
			v->exits[EXIT_OTHER]++;
			msg("guest vCPU %u: unexpected KVM exit %u (suberror %u)", v->id,
			    v->run->exit_reason,
			    v->run->exit_reason == KVM_EXIT_INTERNAL_ERROR ?
				    v->run->internal.suberror :
				    0);
			report_regs(v, "stopped");
			domain_wish(d, WISH_STOP, 1);
		}
	}
	/* The kernel cancels what a thread has submitted when it exits. */
	for (unsigned i = 0; i < d->opt->n_disks; i++)
		blk_drain(d->disk[i]);
	thread_time(pthread_self(), v->tid, &v->time);
	return NULL;
}
