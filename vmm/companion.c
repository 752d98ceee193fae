/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * companion.c - the firmware's home: a second VM of this process over the guest's RAM, whose vCPUs run on
 * the threads of the vCPUs that they serve.  Entering is a KVM_RUN; no thread is woken, no register is set.
 */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vmm/companion.h"
#include "vmm/domain.h"

int companion_vm(int kvm)
{
	uint64_t map = 0xfefe0000;
	int vm = ioctl(kvm, KVM_CREATE_VM, 0);

	if (vm < 0 || ioctl(vm, KVM_SET_IDENTITY_MAP_ADDR, &map) < 0 ||
	    ioctl(vm, KVM_SET_TSS_ADDR, map + 0x1000) < 0)
		return fail_errno("can't create the companion VM");
	return vm;
}

int companion_vcpu(int kvm, int vm, unsigned id, size_t run_size, struct kvm_run **run)
{
	_Alignas(struct kvm_cpuid2) char
		buf[sizeof(struct kvm_cpuid2) + MAX_CPUID * sizeof(struct kvm_cpuid_entry2)];
	struct kvm_cpuid2 *cp = (struct kvm_cpuid2 *)buf;
	int fd = ioctl(vm, KVM_CREATE_VCPU, id);

	if (fd < 0)
		return fail_errno("can't create companion vCPU %u", id);
	*run = mmap(NULL, run_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (*run == MAP_FAILED)
		return fail_errno("can't map companion vCPU %u", id);
	memset(cp, 0, sizeof(*cp));
	cp->nent = MAX_CPUID;
	if (ioctl(kvm, KVM_GET_SUPPORTED_CPUID, cp) < 0 || ioctl(fd, KVM_SET_CPUID2, cp) < 0)
		return fail_errno("can't set CPUID of companion vCPU %u", id);
	return fd;
}

int companion_enter_regs(int fd, struct kvm_run *run, unsigned id, uint64_t entry)
{
	struct kvm_segment code = {
		.limit = 0xffffffff, .selector = 8, .type = 11, .present = 1, .db = 1, .s = 1, .g = 1
	};
	struct kvm_segment data = code;
	struct kvm_regs r = { .rip = entry,
			      .rflags = 2,
			      .rax = SIO_ENTRY_MAGIC,
			      .rbx = SIO_PRIV_BASE + SIO_CONFIG_OFF,
			      .rcx = id };
	struct kvm_sregs s;

	/* Finish the OUT that an earlier firmware left by, if one did. */
	run->immediate_exit = 1;
	ioctl(fd, KVM_RUN, 0);
	run->immediate_exit = 0;
	data.type = 3;
	data.selector = 16;
	if (ioctl(fd, KVM_GET_SREGS, &s) < 0)
		return fail_errno("companion vCPU %u", id);
	s.cs = code;
	s.ds = s.es = s.fs = s.gs = s.ss = data;
	s.cr0 = 0x11;
	s.cr3 = s.cr4 = s.efer = 0;
	memset(&s.idt, 0, sizeof(s.idt));
	memset(&s.gdt, 0, sizeof(s.gdt));
	if (ioctl(fd, KVM_SET_SREGS, &s) < 0 || ioctl(fd, KVM_SET_REGS, &r) < 0)
		return fail_errno("companion vCPU %u", id);
	return 0;
}

/* What a KVM_RUN came to. */
void companion_left(struct kvm_run *run, struct leave *l)
{
	l->kind = LEAVE_BAD;
	switch (run->exit_reason) {
	case KVM_EXIT_IO:
		if (run->io.direction != KVM_EXIT_IO_OUT || run->io.port != SIO_HC_PORT ||
		    run->io.size != 4 || run->io.count != 1) {
			snprintf(l->why, sizeof(l->why), "%s of port %04x, not a hypercall",
				 run->io.direction == KVM_EXIT_IO_OUT ? "write" : "read",
				 run->io.port);
			return;
		}
		l->kind = LEAVE_CALL;
		memcpy(&l->n, (uint8_t *)run + run->io.data_offset, 4);
		return;
	case KVM_EXIT_MMIO:
		l->kind = LEAVE_MMIO;
		l->addr = run->mmio.phys_addr;
		l->len = run->mmio.len;
		l->write = run->mmio.is_write;
		l->data = run->mmio.data;
		return;
	case KVM_EXIT_INTR: l->kind = LEAVE_INTR; return;
	}
	snprintf(l->why, sizeof(l->why),
		 "KVM exit %u (HLT is 5, SHUTDOWN 8, FAIL_ENTRY 9, INTERNAL_ERROR 17)",
		 run->exit_reason);
}

static int create(struct home *h)
{
	struct domain *d = h->d;

	h->vm = companion_vm(d->kvm);
	if (h->vm < 0 || memory_slot(h->vm, "RAM", 0, 0, 0, d->ram_low, d->win) ||
	    memory_slot(h->vm, "private memory", 1, 0, SIO_PRIV_BASE, h->priv_size, h->priv) ||
	    (d->ram_high && memory_slot(h->vm, "RAM above 4 GiB", 2, 0, GUEST_HIGH, d->ram_high,
					d->win + GUEST_HIGH)))
		return -1;
	for (unsigned i = 0; i < d->n_blobs; i++)
		if (memory_slot(h->vm, "a boot file", 8 + i, KVM_MEM_READONLY, d->blob[i].addr,
				(d->blob[i].len + 4095) & ~4095ull, d->win + d->blob[i].addr))
			return -1;
	for (unsigned i = 0; i <= d->n_vcpus; i++) {
		struct context *c = &h->ctx[i];

		c->fd = companion_vcpu(d->kvm, h->vm, i, d->run_size, &c->run);
		if (c->fd < 0)
			return -1;
	}
	return 0;
}

static int start(struct home *h, uint64_t entry)
{
	for (unsigned i = 0; i <= h->d->n_vcpus; i++)
		if (companion_enter_regs(h->ctx[i].fd, h->ctx[i].run, i, entry))
			return -1;
	return 0;
}

static void enter(struct context *c, struct leave *l)
{
	if (ioctl(c->fd, KVM_RUN, 0) == 0) {
		companion_left(c->run, l);
		return;
	}
	l->kind = LEAVE_INTR;
	if (errno == EINTR) {
		c->run->immediate_exit = 0;
	} else if (errno != EAGAIN) {
		l->kind = LEAVE_BAD;
		snprintf(l->why, sizeof(l->why), "KVM_RUN: %s", strerror(errno));
	}
}

static void report(struct context *c)
{
	uint64_t base = SIO_PRIV_BASE + SIO_IMAGE_OFF;
	struct kvm_sregs s = { 0 };
	struct kvm_regs r = { 0 };

	ioctl(c->fd, KVM_GET_REGS, &r);
	ioctl(c->fd, KVM_GET_SREGS, &s);
	msg("  rip %llx (image+%llx) rsp %llx rflags %llx cr2 %llx cr3 %llx", r.rip, r.rip - base,
	    r.rsp, r.rflags, s.cr2, s.cr3);
	msg("  rax %llx rbx %llx rcx %llx rdx %llx rsi %llx rdi %llx rbp %llx", r.rax, r.rbx, r.rcx,
	    r.rdx, r.rsi, r.rdi, r.rbp);
}

static void destroy(struct home *h)
{
	for (unsigned i = 0; i <= h->d->n_vcpus; i++) {
		if (h->ctx[i].fd < 0)
			continue;
		if (h->ctx[i].run)
			munmap(h->ctx[i].run, h->d->run_size);
		close(h->ctx[i].fd);
	}
	if (h->vm >= 0)
		close(h->vm);
}

const struct home_ops home_companion = {
	.name = "firmware",
	.has_image = true,
	.create = create,
	.start = start,
	.enter = enter,
	.report = report,
	.destroy = destroy,
};
