/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * stub.c - the stub domain's inside: `selfio stub`, started by remote.c. A VM with the firmware's image, a
 * thread for each context, and the mailbox between it and the domain's process.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "vmm/companion.h"
#include "vmm/domain.h"
#include "vmm/mailbox.h"

enum { FD_RAM = 3, FD_PRIV, FD_KVM, FD_BLOB };

static struct stub {
	int vm;
	size_t run_size;
	uint8_t *priv;
	uint64_t entry;
	unsigned spin_us;
} stub;

static void *context_main(void *arg)
{
	unsigned id = (unsigned)(uintptr_t)arg;
	struct sio_slot_shared *s =
		(struct sio_slot_shared *)(stub.priv + SIO_SLOT_OFF + id * SIO_SLOT_SIZE);
	struct sio_mailbox_shared *m = &s->mailbox;
	struct kvm_run *run;
	int fd = companion_vcpu(FD_KVM, stub.vm, id, stub.run_size, &run);
	struct leave l;

	if (fd < 0 || companion_enter_regs(fd, run, id, stub.entry))
		exit(1);
	while (mailbox_wait(m, SIO_TURN_HOME, stub.spin_us))
		;
	for (;;) {
		if (ioctl(fd, KVM_RUN, 0) < 0) {
			if (errno == EINTR || errno == EAGAIN)
				continue;
			exit(1);
		}
		companion_left(run, &l);
		switch (l.kind) {
		case LEAVE_INTR: continue;
		case LEAVE_CALL: m->leave = l.n; break;
		case LEAVE_MMIO:
			m->leave = SIO_LEAVE_MMIO;
			m->addr = l.addr;
			m->len = l.len;
			m->write = l.write;
			memcpy(&m->data, l.data, sizeof(m->data));
			break;
		case LEAVE_BAD:
			m->leave = SIO_LEAVE_FAULT;
			m->data = run->exit_reason;
			break;
		}
		mailbox_pass(m, SIO_TURN_HOST);
		while (mailbox_wait(m, SIO_TURN_HOME, stub.spin_us))
			;
		if (l.kind == LEAVE_MMIO && !l.write)
			memcpy(l.data, &m->data, sizeof(m->data));
	}
	return NULL;
}

static void *map(int fd, uint64_t off, uint64_t len, int prot)
{
	void *p =
		mmap(NULL, len, prot, prot & PROT_WRITE ? MAP_SHARED : MAP_PRIVATE, fd, (off_t)off);

	if (p == MAP_FAILED) {
		fail_errno("stub domain: can't map memory");
		exit(1);
	}
	return p;
}

/* selfio stub ENTRY PRIV-SIZE SPIN-US */
int stub_main(int argc, char **argv)
{
	const struct sio_config *cfg;
	uint64_t priv_size, off = 0;
	pthread_t t;

	if (argc != 4) {
		msg("`selfio stub' is started by `selfio run --place ...=stubdom'");
		return 2;
	}
	stub.entry = strtoull(argv[1], NULL, 16);
	priv_size = strtoull(argv[2], NULL, 10);
	stub.spin_us = (unsigned)strtoul(argv[3], NULL, 10);
	stub.run_size = (size_t)ioctl(FD_KVM, KVM_GET_VCPU_MMAP_SIZE, 0);
	stub.vm = companion_vm(FD_KVM);
	if (stub.vm < 0)
		return 1;
	stub.priv = map(FD_PRIV, 0, priv_size, PROT_READ | PROT_WRITE);
	cfg = (const struct sio_config *)(stub.priv + SIO_CONFIG_OFF);
	for (unsigned i = 0; i < cfg->n_ram; off += cfg->ram[i].len, i++)
		if (memory_slot(stub.vm, "RAM", i, 0, cfg->ram[i].base, cfg->ram[i].len,
				map(FD_RAM, off, cfg->ram[i].len, PROT_READ | PROT_WRITE)))
			return 1;
	if (memory_slot(stub.vm, "private memory", 7, 0, SIO_PRIV_BASE, priv_size, stub.priv))
		return 1;
	for (unsigned i = 0; i < cfg->n_blobs; i++)
		if (memory_slot(stub.vm, "a boot file", 8 + i, KVM_MEM_READONLY, cfg->blob[i].addr,
				(cfg->blob[i].len + 4095) & ~4095ull,
				map(FD_BLOB + (int)i, 0, cfg->blob[i].len, PROT_READ)))
			return 1;
	for (unsigned i = 0; i <= cfg->n_vcpus; i++) {
		errno = pthread_create(&t, NULL, context_main, (void *)(uintptr_t)i);
		if (errno)
			return fail_errno("stub domain: can't start a thread"), 1;
	}
	for (;;)
		pause();
}
