/* SPDX-License-Identifier: BSD-2-Clause */
#include "vmm/mailbox.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define LOOK_AROUND_NS 100000000
#define MAX_TRIES      100u

void mailbox_pass(struct sio_mailbox_shared *m, uint32_t to)
{
	uint32_t *sleeps = to == SIO_TURN_HOST ? &m->host_sleeps : &m->home_sleeps;

	/* The turn before the look at the flag; the other side sets its flag before its last look at the
	 * turn: one of the two sees the other's. */
	__atomic_store_n(&m->turn, to, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(sleeps, __ATOMIC_SEQ_CST))
		syscall(SYS_futex, &m->turn, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

static int64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ll + ts.tv_nsec;
}

static int mine_yet(const struct sio_mailbox_shared *m, uint32_t mine)
{
	/* Acquire: the slot's contents come after it. */
	return __atomic_load_n(&m->turn, __ATOMIC_ACQUIRE) == mine;
}

int mailbox_wait(struct sio_mailbox_shared *m, uint32_t mine, unsigned spin_us)
{
	uint32_t *sleeps = mine == SIO_TURN_HOST ? &m->host_sleeps : &m->home_sleeps;
	struct timespec limit = { .tv_nsec = LOOK_AROUND_NS };
	int64_t until = now_ns() + spin_us * 1000ll;
	int r = 0;

	while (!mine_yet(m, mine) && now_ns() < until)
		for (unsigned i = 0; i < 16 && !mine_yet(m, mine); i++)
			__builtin_ia32_pause();
	for (unsigned tries = 0; !mine_yet(m, mine) && r == 0; tries++) {
		uint32_t turn;

		__atomic_store_n(sleeps, 1, __ATOMIC_SEQ_CST);
		turn = __atomic_load_n(&m->turn, __ATOMIC_SEQ_CST);
		if (turn != mine &&
		    syscall(SYS_futex, &m->turn, FUTEX_WAIT, turn, &limit, NULL, 0) < 0 &&
		    errno != EAGAIN)
			r = -errno;
		__atomic_store_n(sleeps, 0, __ATOMIC_RELAXED);
		/* A word that an enemy changes all the time is no reason to stay. */
		if (r == 0 && tries == MAX_TRIES && !mine_yet(m, mine))
			r = -ETIMEDOUT;
	}
	return r;
}
