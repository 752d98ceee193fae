/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio_mmio.h - the device's side of virtio-mmio and of split virtqueues (virtio 1.2, 2.7 and 4.2).
 *
 * Knows nothing of KVM.  The driver is the domain's firmware and is not trusted: registers, rings and
 * descriptors are read once, and every address, length, index, count and loop is bounded.  Nonsense
 * sets DEVICE_NEEDS_RESET, is reported once by host->message, and stops the device until its driver
 * resets it; the host goes on.
 *
 * Locks: each device has one mutex, vmmio.lock.  vmmio_access() takes it, from whichever thread took
 * the exit, and processes QueueNotify inline.  Functions below that say "locked" want it held; ops are
 * called with it held.  host->signal and host->message are called with it held and must not call
 * back into the device.  Lock order: vmmio.lock, then a back end's own (the ring's).
 */
#ifndef BACKENDS_VIRTIO_MMIO_H
#define BACKENDS_VIRTIO_MMIO_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "lib/virtio.h"

/* Companion-physical memory.  Filled before the first access and not changed while devices run. */
#define VMEM_MAX 8u

struct vmem {
	struct {
		uint64_t gpa, len;
		uint8_t *hva;
		bool ro; /* devices must not write there */
	} r[VMEM_MAX];
	unsigned n;
};

/* The host address of [gpa, gpa+len), all in one region and writable if write; NULL if it isn't.
 * A length of 0 is NULL too. */
void *vmem_at(const struct vmem *m, uint64_t gpa, uint64_t len, bool write);

struct vmmio_host {
	const struct vmem *mem;
	/* Wake the driver: used buffers that it asked to hear of, or a configuration change. */
	void (*signal)(void *ctx, unsigned window);
	/* One line for the user, without a newline; may be NULL. */
	void (*message)(void *ctx, const char *text);
	void *ctx;
};

#define VMMIO_MAX_QUEUES 2u
#define VMMIO_QUEUE_MAX  64u

struct vmmio;

struct vmmio_ops {
	uint32_t device_id;
	unsigned n_queues;
	/* The driver notified queue q, which runs. */
	void (*notify)(struct vmmio *d, unsigned q);
	/* The driver resets: give back or finish all chains with vq_drop() or vq_push().  The reset is
	 * over when none is in flight. */
	void (*reset)(struct vmmio *d);
};

struct vq {
	uint32_t num;
	uint64_t desc_gpa, avail_gpa, used_gpa;
	bool ready;
	uint16_t last_avail, used_idx;
	uint16_t signalled; /* used_idx when the driver was last considered for a wake-up */
	unsigned in_flight;
	uint64_t busy; /* bit n: the chain that starts at descriptor n is in flight */
	/* Host addresses of the three parts, set while ready. */
	struct virtq_desc_shared *desc;
	struct virtq_avail_shared *avail;
	struct virtq_used_shared *used;
};

/* A request: first n_out segments to read, then n_in to write.  Addresses are the host's, checked. */
struct vq_chain {
	uint16_t head;
	unsigned n_out, n_in;
	uint64_t out_len, in_len;
	struct iovec iov[VIRTIO_MAX_CHAIN];
};

struct vmmio {
	pthread_mutex_t lock;
	const struct vmmio_ops *ops;
	const struct vmmio_host *host;
	unsigned window;
	const char *name; /* for messages: the image's path, "console" */
	uint64_t features;
	const void *config; /* the device's configuration space; changes: vmmio_config_changed() */
	uint32_t config_len, config_gen;
	uint32_t status, int_status;
	uint32_t dev_sel, drv_sel, queue_sel;
	uint64_t drv_features; /* what the driver accepted */
	bool resetting;        /* status was written 0, chains are still in flight */
	bool told;             /* the one-time message was given */
	struct vq q[VMMIO_MAX_QUEUES];
};

void vmmio_init(struct vmmio *d, const struct vmmio_ops *ops, const struct vmmio_host *host,
		unsigned window, const char *name, uint64_t features, const void *config,
		uint32_t config_len);
void vmmio_destroy(struct vmmio *d);

/* One access to the window: offset < 4096, size 1, 2, 4 or 8.  Accesses that virtio doesn't know read
 * as 0 and are lost as writes.  Any thread; takes the lock. */
void vmmio_access(struct vmmio *d, uint32_t offset, unsigned size, bool write, uint64_t *val);

/* The rest is for devices; locked. */

/* Does the queue run? */
bool vq_running(const struct vmmio *d, unsigned q);
/* Is there something to pop?  Locked, but cheap. */
bool vq_more(struct vmmio *d, unsigned q);
/* Takes the next chain: 1, 0 (none: the driver will notify of the next one) or -1 (nonsense; the
 * device is stopped). */
int vq_pop(struct vmmio *d, unsigned q, struct vq_chain *c);
/* Gives chain head back, with len bytes written to it.  vq_signal() after the last of a batch. */
void vq_push(struct vmmio *d, unsigned q, uint16_t head, uint32_t len);
void vq_signal(struct vmmio *d, unsigned q);
/* The two halves of vq_push(), for what is in several chains and must appear at once: vq_fill() for
 * each chain, then vq_publish().  No reset comes in between. */
void vq_fill(struct vmmio *d, unsigned q, uint16_t head, uint32_t len);
void vq_publish(struct vmmio *d, unsigned q);
/* Forgets chain head without a word to the driver: in a reset. */
void vq_drop(struct vmmio *d, unsigned q, uint16_t head);
/* The configuration space is another: tells the driver. */
void vmmio_config_changed(struct vmmio *d);
/* DEVICE_NEEDS_RESET, with the one-time message. */
void vmmio_broken(struct vmmio *d, const char *why);

/* Moves n bytes between a buffer and the front of segments, which shrink; how many were there. */
size_t vq_take(struct iovec *iov, unsigned *n_iov, void *buf, size_t n);
size_t vq_give(struct iovec *iov, unsigned *n_iov, const void *buf, size_t n);

#endif
