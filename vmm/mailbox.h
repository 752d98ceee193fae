/* SPDX-License-Identifier: BSD-2-Clause */
/* mailbox.h - turns between two processes over a shared word (include/sio/slot.h). */
#ifndef VMM_MAILBOX_H
#define VMM_MAILBOX_H

#include <stdint.h>

#include "sio/slot.h"

/* Hands the turn over to SIO_TURN_, and wakes the other side if it sleeps. */
void mailbox_pass(struct sio_mailbox_shared *m, uint32_t to);
/* Waits for this side's turn: spins for spin_us, then sleeps. 0; -EINTR when a signal came first; now and then
 * -ETIMEDOUT, so that one who can be cheated of its wake-up looks around. */
int mailbox_wait(struct sio_mailbox_shared *m, uint32_t mine, unsigned spin_us);

#endif
