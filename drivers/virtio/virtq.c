/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtq.c - the driver's side of a virtio-mmio device and of its split virtqueues.
 *
 * virtio 1.2: 2.7 (split virtqueues), 3.1 (initialization), 4.2 (MMIO).
 */
#include "drivers/virtio/virtq.h"

static uint32_t rd(const struct pv_env *env, uint64_t window, uint32_t reg)
{
	return env->mmio_read(env->ctx, window + reg);
}

static void wr(const struct pv_env *env, uint64_t window, uint32_t reg, uint32_t v)
{
	env->mmio_write(env->ctx, window + reg, v);
}

void virtio_fail(const struct pv_env *env, uint64_t window, const char *why)
{
	wr(env, window, VIRTIO_MMIO_STATUS, rd(env, window, VIRTIO_MMIO_STATUS) | VIRTIO_S_FAILED);
	if (env->log)
		env->log(env->ctx, why);
}

bool virtio_needs_reset(const struct pv_env *env, uint64_t window)
{
	return rd(env, window, VIRTIO_MMIO_STATUS) & VIRTIO_S_NEEDS_RESET;
}

int virtio_begin(const struct pv_env *env, uint64_t window, uint32_t device_id, uint64_t need,
		 uint64_t want, uint64_t *got)
{
	uint32_t status = VIRTIO_S_ACKNOWLEDGE | VIRTIO_S_DRIVER;
	uint64_t offered;

	need |= VIRTIO_F_VERSION_1;
	if (rd(env, window, VIRTIO_MMIO_MAGIC) != VIRTIO_MMIO_MAGIC_VALUE ||
	    rd(env, window, VIRTIO_MMIO_VERSION) != VIRTIO_MMIO_VERSION_2 ||
	    rd(env, window, VIRTIO_MMIO_DEVICE_ID) != device_id) {
		if (env->log)
			env->log(env->ctx, "virtio: no device of the right type in its window");
		return -1;
	}

	/* 4.2.3.1.1: after a reset, wait until status reads 0: requests of an earlier life of the
	 * domain may still be with the back end. */
	wr(env, window, VIRTIO_MMIO_STATUS, 0);
	while (rd(env, window, VIRTIO_MMIO_STATUS))
		;
	wr(env, window, VIRTIO_MMIO_STATUS, VIRTIO_S_ACKNOWLEDGE);
	wr(env, window, VIRTIO_MMIO_STATUS, status);

	wr(env, window, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 1);
	offered = (uint64_t)rd(env, window, VIRTIO_MMIO_DEVICE_FEATURES) << 32;
	wr(env, window, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 0);
	offered |= rd(env, window, VIRTIO_MMIO_DEVICE_FEATURES);
	if (need & ~offered) {
		virtio_fail(env, window,
			    "virtio: the device lacks a feature that the driver needs");
		return -1;
	}
	*got = offered & (need | want);
	wr(env, window, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
	wr(env, window, VIRTIO_MMIO_DRIVER_FEATURES, (uint32_t)(*got >> 32));
	wr(env, window, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 0);
	wr(env, window, VIRTIO_MMIO_DRIVER_FEATURES, (uint32_t)*got);
	wr(env, window, VIRTIO_MMIO_STATUS, status | VIRTIO_S_FEATURES_OK);
	if (!(rd(env, window, VIRTIO_MMIO_STATUS) & VIRTIO_S_FEATURES_OK)) {
		virtio_fail(env, window, "virtio: the device refuses its own features");
		return -1;
	}
	return 0;
}

static void set_addr(const struct virtq *q, uint32_t reg, const void *p)
{
	uint64_t gpa = q->env->gpa(q->env->ctx, p);

	wr(q->env, q->window, reg, (uint32_t)gpa);
	wr(q->env, q->window, reg + 4, (uint32_t)(gpa >> 32));
}

int virtq_init(struct virtq *q, const struct pv_env *env, uint64_t window, unsigned index,
	       unsigned num)
{
	*q = (struct virtq){ .env = env, .window = window, .index = index, .num = num };
	q->desc = env->alloc(env->ctx, VIRTQ_DESC_SIZE(num), 16);
	q->avail = env->alloc(env->ctx, VIRTQ_AVAIL_SIZE(num), 2);
	q->used = env->alloc(env->ctx, VIRTQ_USED_SIZE(num), 4);
	if (!q->desc || !q->avail || !q->used) {
		virtio_fail(env, window, "virtio: no memory for the rings");
		return -1;
	}
	virtq_suppress(q);

	wr(env, window, VIRTIO_MMIO_QUEUE_SEL, index);
	if (rd(env, window, VIRTIO_MMIO_QUEUE_READY) ||
	    rd(env, window, VIRTIO_MMIO_QUEUE_NUM_MAX) < num) {
		virtio_fail(env, window, "virtio: the device's queue is too short");
		return -1;
	}
	wr(env, window, VIRTIO_MMIO_QUEUE_NUM, num);
	set_addr(q, VIRTIO_MMIO_QUEUE_DESC_LOW, q->desc);
	set_addr(q, VIRTIO_MMIO_QUEUE_DRIVER_LOW, q->avail);
	set_addr(q, VIRTIO_MMIO_QUEUE_DEVICE_LOW, q->used);
	wr(env, window, VIRTIO_MMIO_QUEUE_READY, 1);
	return 0;
}

void virtio_ready(const struct pv_env *env, uint64_t window)
{
	wr(env, window, VIRTIO_MMIO_STATUS,
	   VIRTIO_S_ACKNOWLEDGE | VIRTIO_S_DRIVER | VIRTIO_S_FEATURES_OK | VIRTIO_S_DRIVER_OK);
}

void virtq_add(struct virtq *q, unsigned head)
{
	q->in_flight |= 1ull << head;
	q->avail->ring[q->avail_idx % q->num] = (uint16_t)head;
	q->avail_idx++;
	/* Release: the device sees descriptors and ring entry before the index that covers them.  Pairs
	 * with its acquiring load of avail->idx. */
	__atomic_store_n(&q->avail->idx, q->avail_idx, __ATOMIC_RELEASE);
}

static bool wants_kick(struct virtq *q)
{
	uint16_t old = q->kicked_idx, event;

	if (old == q->avail_idx)
		return false;
	q->kicked_idx = q->avail_idx;
	/* The index must be visible before avail_event is read: the device stores avail_event, fences,
	 * and looks at the index once more.  One of the two sees the other's store. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	event = __atomic_load_n(virtq_avail_event(q->used, q->num), __ATOMIC_RELAXED);
	return virtq_need_event(event, q->avail_idx, old);
}

bool virtq_kick(struct virtq *q)
{
	if (!wants_kick(q))
		return false;
	wr(q->env, q->window, VIRTIO_MMIO_QUEUE_NOTIFY, q->index);
	return true;
}

bool virtq_kick_late(struct virtq *q)
{
	if (!q->env->notify)
		return virtq_kick(q);
	if (!wants_kick(q))
		return false;
	q->env->notify(q->env->ctx, q->window, q->index);
	return true;
}

uint16_t virtq_ready(const struct virtq *q)
{
	return (uint16_t)(__atomic_load_n(&q->used->idx, __ATOMIC_RELAXED) - q->last_used);
}

int virtq_next(struct virtq *q, unsigned *head, uint32_t *len)
{
	const struct virtq_used_elem *e;
	uint32_t id;

	/* Acquire: pairs with the device's releasing store; the entry and the data that it stands for
	 * are read after the index. */
	if (__atomic_load_n(&q->used->idx, __ATOMIC_ACQUIRE) == q->last_used)
		return 0;
	e = &q->used->ring[q->last_used % q->num];
	id = __atomic_load_n(&e->id, __ATOMIC_RELAXED);
	*len = __atomic_load_n(&e->len, __ATOMIC_RELAXED);
	if (id >= q->num || !(q->in_flight & 1ull << id))
		return -1;
	q->in_flight &= ~(1ull << id);
	q->last_used++;
	*head = id;
	return 1;
}

void virtq_suppress(struct virtq *q)
{
	/* Half way round: out of reach whether the device is a little ahead of last_used or behind. */
	__atomic_store_n(virtq_used_event(q->avail, q->num), (uint16_t)(q->last_used + 0x8000),
			 __ATOMIC_RELAXED);
}

bool virtq_arm(struct virtq *q)
{
	return virtq_arm_after(q, 1);
}

bool virtq_arm_after(struct virtq *q, uint16_t n)
{
	uint16_t *event = virtq_used_event(q->avail, q->num);
	uint16_t at = (uint16_t)(q->last_used + n - 1);

	/* Armed for this very entry before, with the fence: whatever came since has signalled. */
	if (__atomic_load_n(event, __ATOMIC_RELAXED) == at)
		return virtq_ready(q) >= n;
	__atomic_store_n(event, at, __ATOMIC_RELAXED);
	/* used_event before used->idx; pairs with the device's fence between its store of used->idx and
	 * its load of used_event, so that either it signals or this load sees the entry. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return virtq_ready(q) >= n;
}
