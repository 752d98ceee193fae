/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtq.h - the driver's side of a virtio-mmio device and of its split virtqueues.
 *
 * virtio 1.2, sections 2.7 (split virtqueues), 3.1 (initialization), 4.2 (MMIO).  The used ring is the
 * other side's: what is read there is checked, and all that the driver must remember (what is in
 * flight) is kept in private memory.
 */
#ifndef DRIVERS_VIRTIO_VIRTQ_H
#define DRIVERS_VIRTIO_VIRTQ_H

#include <stdbool.h>
#include <stdint.h>

#include "drivers/pv.h"
#include "lib/virtio.h"

struct virtq {
	const struct pv_env *env;
	uint64_t window; /* address of the device's registers */
	uint16_t index;  /* of the queue */
	uint16_t num;    /* entries, a power of two */
	struct virtq_desc_shared *desc;
	struct virtq_avail_shared *avail;
	struct virtq_used_shared *used;
	uint16_t avail_idx;  /* what avail->idx is */
	uint16_t kicked_idx; /* what it was at the last kick */
	uint16_t last_used;  /* used entries consumed */
	uint64_t in_flight;  /* bit n: descriptor n is with the device; hence num <= 64 */
};

/* Resets the device and negotiates: need | want where offered.  0, or -1 (logged) if it isn't a device
 * of this type or lacks a needed feature.  *got: what was negotiated. */
int virtio_begin(const struct pv_env *env, uint64_t window, uint32_t device_id, uint64_t need,
		 uint64_t want, uint64_t *got);
/* Between begin and ready: sets a queue up, with memory from env->alloc.  0 or -1 (logged). */
int virtq_init(struct virtq *q, const struct pv_env *env, uint64_t window, unsigned index,
	       unsigned num);
void virtio_ready(const struct pv_env *env, uint64_t window);
/* Something is wrong with the device: tells it and the log. */
void virtio_fail(const struct pv_env *env, uint64_t window, const char *why);
bool virtio_needs_reset(const struct pv_env *env, uint64_t window);

/* Publishes the chain that starts at desc[head], which must not be in flight. */
void virtq_add(struct virtq *q, unsigned head);
/* Tells the device of what was added since the last kick, if it wants to know.  True if it did. */
bool virtq_kick(struct virtq *q);
/* The same once the host's entry is over, where the host can do that. */
bool virtq_kick_late(struct virtq *q);
/* How many used entries virtq_next() would give; nonsense if the device writes nonsense. */
uint16_t virtq_ready(const struct virtq *q);
/* The next used entry: 1, 0 (none) or -1 (nonsense: an id that isn't in flight). */
int virtq_next(struct virtq *q, unsigned *head, uint32_t *len);
/* No event for used entries, until the next arm. */
void virtq_suppress(struct virtq *q);
/* Asks for an event at the next used entry.  True if one has come already: go on with virtq_next(),
 * there may be no event. */
bool virtq_arm(struct virtq *q);
/* The same at the n-th next one.  True: so many have come. */
bool virtq_arm_after(struct virtq *q, uint16_t n);

#endif
