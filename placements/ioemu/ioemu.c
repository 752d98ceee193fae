/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ioemu.c - the classic home: models in a process of their own, unprivileged and sandboxed, that selfio
 * starts (vmm/remote.c) and enters through the mailbox in the request slots.
 *
 * It has the guest's RAM, its private memory and the boot files as descriptors, maps them as a companion VM
 * would see them, and gives everything else up before the first request: files, privileges, system calls.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pthread.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "firmware/fw.h"
#include "lib/fmt.h"
#include "vmm/mailbox.h"

enum { FD_RAM = 3, FD_PRIV, FD_BLOB };

#define NOBODY 65534

static unsigned spin_us;
static pthread_barrier_t sealed;

_Noreturn static void die(const char *what)
{
	fprintf(stderr, "selfio-ioemu: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void leave(struct sio_mailbox_shared *m, uint32_t how)
{
	m->leave = how;
	mailbox_pass(m, SIO_TURN_HOST);
	while (mailbox_wait(m, SIO_TURN_HOME, spin_us))
		;
}

void hv_call(struct sio_slot_shared *s, enum sio_hypercall n)
{
	leave(&s->mailbox, n);
}

static uint32_t window(uint64_t addr, bool write, uint32_t v)
{
	struct sio_mailbox_shared *m = &fw.slot->mailbox;

	m->addr = addr;
	m->len = 4;
	m->write = write;
	m->data = v;
	leave(m, SIO_LEAVE_MMIO);
	return (uint32_t)m->data;
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
	memset(&fw.slot->panic, 0, sizeof(fw.slot->panic));
	fw.slot->panic.rip = (uintptr_t)__builtin_return_address(0);
	fw_set_text(fw.slot, text, n);
	for (;;)
		hv_call(fw.slot, SIO_HC_PANIC);
}

static void *context_main(void *arg)
{
	unsigned id = (unsigned)(uintptr_t)arg;
	const struct sio_config *cfg = fw.cfg;
	struct sio_slot_shared *s = fw_slot_of(id);

	pthread_barrier_wait(&sealed);
	while (mailbox_wait(&s->mailbox, SIO_TURN_HOME, spin_us))
		;
	if (id == 0)
		fw_init(cfg);
	for (;;) {
		hv_call(s, id == cfg->n_vcpus ? SIO_HC_WAIT : SIO_HC_RETURN);
		s->n_ops = 0;
		fw_request(s);
	}
	return NULL;
}

static void map(uint64_t at, int fd, uint64_t off, uint64_t len, int prot)
{
	if (len &&
	    mmap(fw_ptr(at), len, prot, (prot & PROT_WRITE ? MAP_SHARED : MAP_PRIVATE) | MAP_FIXED,
		 fd, (off_t)off) == MAP_FAILED)
		die("can't map memory");
}

/* Address space as long as what the config page lists, with address 0 somewhere in it. */
static void map_all(uint64_t priv_size)
{
	const struct sio_config *cfg =
		mmap(NULL, SIO_PAGE, PROT_READ, MAP_SHARED, FD_PRIV, SIO_CONFIG_OFF);
	uint64_t off = 0;
	void *base;

	if (cfg == MAP_FAILED)
		die("can't map the config page");
	base = mmap(NULL, cfg->map_top, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
		    0);
	if (base == MAP_FAILED)
		die("can't reserve address space");
	fw.base = (uintptr_t)base;
	for (unsigned i = 0; i < cfg->n_ram; off += cfg->ram[i].len, i++)
		map(cfg->ram[i].base, FD_RAM, off, cfg->ram[i].len, PROT_READ | PROT_WRITE);
	map(SIO_PRIV_BASE, FD_PRIV, 0, priv_size, PROT_READ | PROT_WRITE);
	for (unsigned i = 0; i < cfg->n_blobs; i++)
		map(cfg->blob[i].addr, FD_BLOB + (int)i, 0, cfg->blob[i].len, PROT_READ);
	fw.cfg = fw_ptr(SIO_PRIV_BASE + SIO_CONFIG_OFF);
}

/* What is left: turns, and an end. */
static void seal(void)
{
	static const int allowed[] = {
		SCMP_SYS(futex),        SCMP_SYS(sched_yield),     SCMP_SYS(clock_gettime),
		SCMP_SYS(rt_sigreturn), SCMP_SYS(restart_syscall), SCMP_SYS(pause),
		SCMP_SYS(exit),         SCMP_SYS(exit_group)
	};
	scmp_filter_ctx f;

	if (geteuid() == 0 && (setgroups(0, NULL) || setresgid(NOBODY, NOBODY, NOBODY) ||
			       setresuid(NOBODY, NOBODY, NOBODY)))
		die("can't give up privileges");
	/* Changing the user takes this back. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_DUMPABLE, 0);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		die("no_new_privs");
	close_range(FD_RAM, ~0u, 0);
	f = seccomp_init(SCMP_ACT_KILL_PROCESS);
	if (!f || seccomp_attr_set(f, SCMP_FLTATR_CTL_TSYNC, 1))
		die("seccomp");
	for (unsigned i = 0; i < sizeof(allowed) / sizeof(allowed[0]); i++)
		if (seccomp_rule_add(f, SCMP_ACT_ALLOW, allowed[i], 0))
			die("seccomp");
	errno = -seccomp_load(f);
	if (errno)
		die("seccomp");
	seccomp_release(f);
}

int main(int argc, char **argv)
{
	pthread_t t;

	if (argc != 3) {
		fprintf(stderr, "selfio-ioemu: it is started by `selfio run --place ...=ioemu'\n");
		return 2;
	}
	spin_us = (unsigned)strtoul(argv[2], NULL, 10);
	map_all(strtoull(argv[1], NULL, 10));
	fw.slot = fw_slot_of(0);
	pthread_barrier_init(&sealed, NULL, fw.cfg->n_vcpus + 2);
	for (unsigned i = 0; i <= fw.cfg->n_vcpus; i++) {
		errno = pthread_create(&t, NULL, context_main, (void *)(uintptr_t)i);
		if (errno)
			die("can't start a thread");
	}
	seal();
	pthread_barrier_wait(&sealed);
	for (;;)
		pause();
}
