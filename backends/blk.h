/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * blk.h - virtio block device on a raw image file or a host block device (virtio 1.2, section 5.2).
 *
 * Data moves between the file and the segments that the descriptors name, without a copy (O_DIRECT
 * with badly aligned segments aside).  A read that the page cache has is answered on the notifying
 * thread; all else goes through one io_uring that all disks share.  Where there is no io_uring, the
 * I/O thread does the operations itself.
 *
 * What the driver is told is true: a request is OK only when all of it was done; a flush is OK only
 * when fdatasync() was.  After a failed fdatasync() the kernel forgets what it could not write, and a
 * second one would report success for lost data (and Linux's libata does repeat an aborted flush), so
 * every later flush fails too, until the driver resets the device.
 *
 * Threads: blk_ring_ready() belongs to the I/O thread.  blk_drain() may be called from any thread, with
 * no lock held.  A thread that has submitted must not exit before the disks are drained: the kernel
 * cancels an exiting thread's requests.  Lock order: vmmio.lock of a disk, then the ring's.
 */
#ifndef BACKENDS_BLK_H
#define BACKENDS_BLK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backends/virtio_mmio.h"

struct blk_ring;
struct blk_dev;

/* no_uring: as if the kernel had none.  message as in vmmio_host: says so once if there is none.
 * NULL with errno set: no memory, no descriptors. */
struct blk_ring *blk_ring_new(bool no_uring, void (*message)(void *ctx, const char *text),
			      void *ctx);
/* Readable when blk_ring_ready() has something to do. */
int blk_ring_fd(struct blk_ring *r);
/* Finishes what completed, does what was left to the I/O thread; never blocks, except in an
 * operation that io_uring can't do. */
void blk_ring_ready(struct blk_ring *r);
/* After the disks were closed. */
void blk_ring_free(struct blk_ring *r);

struct blk_opts {
	const char *path; /* kept by reference */
	bool read_only;
	bool direct; /* O_DIRECT */
	/* Fault injection for tests: reads and writes that touch these sectors fail. */
	uint64_t eio_from, eio_count;
};

struct blk_stats {
	uint64_t reads, writes, flushes, discards, write_zeroes, errors;
	uint64_t read_bytes, write_bytes;
	uint64_t inline_done; /* requests done on the notifying thread */
	uint64_t async_done;  /* requests done through io_uring or by the I/O thread */
	uint64_t bounced;     /* bytes copied because of O_DIRECT's alignment */
	uint64_t in_flight;   /* requests taken and not answered yet */
};

/* Opens and locks the image (writers exclude everyone, readers writers).  NULL: err holds one line
 * that names the file and the remedy; nothing was created or changed. */
struct blk_dev *blk_open(const struct blk_opts *o, char *err, size_t errlen);
uint64_t blk_sectors(const struct blk_dev *b);
/* Makes it a device; once, before the first access.  r and host outlive b. */
void blk_attach(struct blk_dev *b, struct blk_ring *r, const struct vmmio_host *host,
		unsigned window);
/* For vmmio_access(). */
struct vmmio *blk_vmmio(struct blk_dev *b);

/* Waits until nothing is in flight.  New requests are still taken: stop the driver first. */
void blk_drain(struct blk_dev *b);
/* After blk_drain(): fdatasync(); 0 or -errno. */
int blk_sync(struct blk_dev *b);
/* Without the lock, from any thread: each count is true, and from a moment of its own. */
void blk_stats(struct blk_dev *b, struct blk_stats *s);
/* After blk_drain(), with no thread in vmmio_access(); NULL is fine. */
void blk_close(struct blk_dev *b);

#endif
