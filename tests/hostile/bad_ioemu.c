/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bad_ioemu.c - a program in the place of selfio-ioemu that attacks its host.
 *
 * BAD_IOEMU in the environment says how: start-NAME as soon as it runs, req-NAME at the first request of
 * the guest's (it claims all ports).
 */
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "sio/config.h"
#include "sio/slot.h"
#include "vmm/mailbox.h"

#define FD_PRIV 4

static uint8_t *priv;
static uint64_t priv_size;
static const char *attack;

static struct sio_slot_shared *slot_of(unsigned id)
{
	return (struct sio_slot_shared *)(void *)(priv + SIO_SLOT_OFF + id * SIO_SLOT_SIZE);
}

static void leave(struct sio_slot_shared *s, uint32_t how)
{
	s->mailbox.leave = how;
	mailbox_pass(&s->mailbox, SIO_TURN_HOST);
	while (mailbox_wait(&s->mailbox, SIO_TURN_HOME, 0))
		;
}

static void access_window(struct sio_slot_shared *s, uint64_t addr, uint32_t len, uint32_t write)
{
	s->mailbox.addr = addr;
	s->mailbox.len = len;
	s->mailbox.write = write;
	leave(s, SIO_LEAVE_MMIO);
}

/* All that it may write, without end; the images of the slots come and go. */
static void *noise(void *arg)
{
	uint64_t x = 88172645463325252ull;

	for (;;) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		priv[x % SIO_IMAGE_OFF] = (uint8_t)(x >> 40);
		(void)arg;
	}
	return NULL;
}

static void do_attack(struct sio_slot_shared *s, const char *how)
{
	pthread_t t;

	if (!strcmp(how, "exit"))
		exit(3);
	if (!strcmp(how, "die"))
		kill(getpid(), SIGSEGV);
	if (!strcmp(how, "never"))
		for (;;)
			pause();
	if (!strcmp(how, "close")) {
		close_range(0, ~0u, 0);
		for (;;)
			pause();
	}
	if (!strcmp(how, "leave"))
		leave(s, 0x5555);
	if (!strcmp(how, "fault"))
		leave(s, SIO_LEAVE_FAULT);
	if (!strcmp(how, "window"))
		access_window(s, SIO_VIRTIO_BASE - 4, 4, 1);
	if (!strcmp(how, "length"))
		access_window(s, SIO_VIRTIO_BASE, 0xffffffff, 0x80000000u);
	if (!strcmp(how, "ops")) {
		s->n_ops = 0xffffffff;
		leave(s, SIO_HC_FLUSH);
	}
	if (!strcmp(how, "turn"))
		for (;;) {
			s->mailbox.turn = 7;
			pause();
		}
	if (!strcmp(how, "turns")) /* neither the one nor the other, and never the same */
		for (uint32_t i = 2;; i += i == 0xfffffffeu ? 4 : 1)
			*(volatile uint32_t *)&s->mailbox.turn = i;
	if (!strcmp(how, "flush"))
		for (s->n_ops = 0;;)
			leave(s, SIO_HC_FLUSH);
	if (!strcmp(how, "wakes")) /* the flag that asks for a wake-up is always gone */
		for (;;)
			*(volatile uint32_t *)&s->mailbox.host_sleeps = 0;
	if (!strcmp(how, "noise"))
		pthread_create(&t, NULL, noise, NULL);
	if (!strcmp(how, "panic")) {
		memset(&s->panic, 0xff, sizeof(s->panic));
		memset(s->text, 0x1b, sizeof(s->text));
		s->text_len = 0xffffffff;
		leave(s, SIO_HC_PANIC);
	}
}

static void *context_main(void *arg)
{
	unsigned id = (unsigned)(uintptr_t)arg;
	const struct sio_config *cfg = (const struct sio_config *)(void *)(priv + SIO_CONFIG_OFF);
	struct sio_slot_shared *s = slot_of(id);
	bool io = id == cfg->n_vcpus;

	while (mailbox_wait(&s->mailbox, SIO_TURN_HOME, 0))
		;
	if (id == 0 && !strncmp(attack, "start-", 6))
		do_attack(s, attack + 6);
	if (id == 0) {
		s->ops[0] = (struct sio_op){ .code = SIO_OP_MAP,
					     .arg = SIO_MAP_ARG(SIO_SPACE_PIO, 0, 1),
					     .b = 0x10000 };
		s->n_ops = 1;
	}
	for (unsigned n = 0;; n++) {
		leave(s, io ? SIO_HC_WAIT : SIO_HC_RETURN);
		s->n_ops = 0;
		if (id == 0 && n == 0 && !strncmp(attack, "req-", 4))
			do_attack(s, attack + 4);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	const struct sio_config *cfg;
	pthread_t t;

	attack = getenv("BAD_IOEMU");
	if (argc != 3 || !attack)
		return 2;
	priv_size = strtoull(argv[1], NULL, 10);
	priv = mmap(NULL, priv_size, PROT_READ | PROT_WRITE, MAP_SHARED, FD_PRIV, 0);
	if (priv == MAP_FAILED)
		return 4;
	cfg = (const struct sio_config *)(void *)(priv + SIO_CONFIG_OFF);
	for (unsigned i = 0; i <= cfg->n_vcpus; i++)
		if (pthread_create(&t, NULL, context_main, (void *)(uintptr_t)i))
			return 5;
	for (;;)
		pause();
}
