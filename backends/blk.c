/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * blk.c - virtio block device on a raw image file or a host block device (virtio 1.2, section 5.2).
 *
 * A request is a blk_io from vq_pop() to vq_push().  It moves in steps: one system call or one
 * io_uring operation each, until all its bytes are done or one fails; short ones are gone on with.
 *
 * Who may touch a blk_io: the holder of the device's lock, except while a step is with io_uring or
 * with the thread that took it off the ring's todo list; then nobody else.
 */
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "backends/blk.h"

#define SECTOR         512u
#define SEG_MAX        128u
#define RING_ENTRIES   256u
#define RING_MAX_DEVS  32u
#define MAX_BYTES      (64ull << 20) /* in one read or write; ATA's largest is 32 MiB */
#define MAX_ZEROES     (1u << 16) /* sectors in one WRITE_ZEROES: the host may have to write them */
#define MAX_DISCARD    (1u << 22) /* sectors in one DISCARD */
#define BOUNCE_BYTES   (128u << 10)
#define ZERO_BYTES     (64u << 10)
#define ZERO_SEGS      16u
#define POPS_PER_QUEUE 4u /* how many queues' worth of requests one notification may carry */

enum io_op { IO_READ, IO_WRITE, IO_FLUSH, IO_DISCARD, IO_DISCARD_IOCTL, IO_ZERO, IO_ZERO_WRITE };

struct blk_io {
	struct blk_io *next; /* free list, or the ring's todo list */
	struct blk_dev *b;
	enum io_op op;
	bool sync;       /* io_uring can't do this step: the I/O thread does */
	bool went_async; /* for the statistics */
	bool bounce;
	int falloc_mode;
	uint64_t off, left; /* bytes */
	uint32_t used_len;  /* told to the driver if all goes well */
	uint8_t *status;
	uint8_t *buf; /* bounce buffer of BOUNCE_BYTES, kept for the next request */
	/* What is left of the data, in chain.iov. */
	struct iovec *iov;
	unsigned n_iov;
	/* This step: what goes to the system call. */
	const struct iovec *step_iov;
	unsigned step_n;
	uint64_t step_len;
	struct iovec step_one[ZERO_SEGS];
	struct vq_chain chain;
};

struct blk_dev {
	struct vmmio vm; /* must stay first; its lock guards the rest */
	struct virtio_blk_config config;
	struct blk_ring *ring;
	struct blk_opts o;
	int fd;
	bool is_bdev;
	bool nowait_read, nowait_write;
	bool flush_failed; /* see blk.h */
	bool again;        /* atomic: requests wait that a notification had no budget for */
	uint32_t mem_align;
	uint64_t n_sectors;
	pthread_cond_t idle;
	struct blk_stats stats;
	struct blk_io *free_io;
	struct blk_io io[VMMIO_QUEUE_MAX];
};

struct blk_ring {
	pthread_mutex_t lock;
	bool have_uring;
	int efd;
	struct io_uring u;
	struct blk_io *todo, **todo_end; /* for the I/O thread */
	struct blk_dev *dev[RING_MAX_DEVS];
	unsigned n_dev;
};

/* Read-only, zero, aligned for O_DIRECT. */
static const uint8_t zeroes[ZERO_BYTES] __attribute__((aligned(4096)));

/* The ring. */

struct blk_ring *blk_ring_new(bool no_uring, void (*message)(void *ctx, const char *text),
			      void *ctx)
{
	struct blk_ring *r = calloc(1, sizeof(*r));
	char text[160];
	int rc = -ENOSYS;

	if (!r)
		return NULL;
	pthread_mutex_init(&r->lock, NULL);
	r->todo_end = &r->todo;
	r->efd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (r->efd < 0) {
		free(r);
		return NULL;
	}
	if (!no_uring) {
		rc = io_uring_queue_init(RING_ENTRIES, &r->u, 0);
		if (!rc) {
			rc = io_uring_register_eventfd(&r->u, r->efd);
			if (rc)
				io_uring_queue_exit(&r->u);
		}
	}
	r->have_uring = !rc;
	if (rc && message) {
		snprintf(text, sizeof(text),
			 "no io_uring (%s): disks work, one uncached operation at a time",
			 no_uring ? "turned off" : strerror(-rc));
		message(ctx, text);
	}
	return r;
}

int blk_ring_fd(struct blk_ring *r)
{
	return r->efd;
}

void blk_ring_free(struct blk_ring *r)
{
	if (!r)
		return;
	if (r->have_uring)
		io_uring_queue_exit(&r->u);
	close(r->efd);
	pthread_mutex_destroy(&r->lock);
	free(r);
}

static void ring_poke(struct blk_ring *r)
{
	uint64_t one = 1;

	/* Fails only when the counter is full: then it is readable anyway. */
	if (write(r->efd, &one, sizeof(one)) < 0)
		return;
}

/* Locked: the ring.  False: no entry left. */
static bool ring_prep(struct blk_ring *r, struct blk_io *io)
{
	struct io_uring_sqe *e = io_uring_get_sqe(&r->u);
	struct blk_dev *b = io->b;

	if (!e) {
		io_uring_submit(&r->u);
		e = io_uring_get_sqe(&r->u);
		if (!e)
			return false;
	}
	switch (io->op) {
	case IO_READ: io_uring_prep_readv(e, b->fd, io->step_iov, io->step_n, io->off); break;
	case IO_WRITE:
	case IO_ZERO_WRITE:
		io_uring_prep_writev2(e, b->fd, io->step_iov, io->step_n, io->off,
				      b->vm.drv_features & VIRTIO_BLK_F_FLUSH ? 0 : RWF_DSYNC);
		break;
	case IO_FLUSH: io_uring_prep_fsync(e, b->fd, IORING_FSYNC_DATASYNC); break;
	case IO_DISCARD:
	case IO_ZERO:
		io_uring_prep_fallocate(e, b->fd, io->falloc_mode, (off_t)io->off, (off_t)io->left);
		break;
	case IO_DISCARD_IOCTL: break; /* always sync */
	}
	/* Buffered: a kernel worker from the start.  Otherwise the kernel finishes the operation in the
	 * context of the submitting thread, a vCPU's, and interrupts the guest for it. */
	if (!b->o.direct)
		io_uring_sqe_set_flags(e, IOSQE_ASYNC);
	io_uring_sqe_set_data(e, io);
	return true;
}

/* Hands a step over.  on_io_thread: O_DIRECT completions run in the context of the submitter, which
 * therefore is the I/O thread.  ring_submit() after the last of a batch. */
static void ring_add(struct blk_ring *r, struct blk_io *io, bool on_io_thread)
{
	io->went_async = true;
	pthread_mutex_lock(&r->lock);
	if (!r->have_uring || io->sync || (io->b->o.direct && !on_io_thread) || !ring_prep(r, io)) {
		io->next = NULL;
		*r->todo_end = io;
		r->todo_end = &io->next;
		ring_poke(r);
	}
	pthread_mutex_unlock(&r->lock);
}

static void ring_submit(struct blk_ring *r)
{
	if (!r->have_uring)
		return;
	pthread_mutex_lock(&r->lock);
	/* What the kernel doesn't take now (it is short of memory, or has completions to hand over)
	 * stays in the submission queue for the I/O thread. */
	if (io_uring_sq_ready(&r->u) && (io_uring_submit(&r->u) < 0 || io_uring_sq_ready(&r->u)))
		ring_poke(r);
	pthread_mutex_unlock(&r->lock);
}

/* One step, blocking.  As io_uring: bytes moved, 0, or -errno. */
static int64_t step_sync(struct blk_io *io)
{
	struct blk_dev *b = io->b;
	uint64_t range[2] = { io->off, io->left };
	ssize_t n;

	do {
		switch (io->op) {
		case IO_READ:
			n = preadv(b->fd, io->step_iov, (int)io->step_n, (off_t)io->off);
			break;
		case IO_WRITE:
		case IO_ZERO_WRITE:
			n = pwritev2(b->fd, io->step_iov, (int)io->step_n, (off_t)io->off,
				     b->vm.drv_features & VIRTIO_BLK_F_FLUSH ? 0 : RWF_DSYNC);
			break;
		case IO_FLUSH: n = fdatasync(b->fd); break;
		case IO_DISCARD:
		case IO_ZERO:
			n = fallocate(b->fd, io->falloc_mode, (off_t)io->off, (off_t)io->left);
			break;
		default: n = ioctl(b->fd, BLKDISCARD, range); break;
		}
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

/* Requests.  All locked, by the device. */

static bool moves_data(const struct blk_io *io)
{
	return io->op == IO_READ || io->op == IO_WRITE || io->op == IO_ZERO_WRITE;
}

static void finish(struct blk_io *io, uint8_t status)
{
	struct blk_dev *b = io->b;
	struct blk_stats *s = &b->stats;

	if (status != VIRTIO_BLK_S_OK)
		s->errors++;
	if (io->went_async)
		s->async_done++;
	else
		s->inline_done++;
	__atomic_store_n(io->status, status, __ATOMIC_RELAXED);
	/* 2.7.8.2: len bytes from the front were written: not known of a read that failed. */
	vq_push(&b->vm, 0, io->chain.head, status == VIRTIO_BLK_S_OK ? io->used_len : 0);
	io->next = b->free_io;
	b->free_io = io;
	if (!b->vm.q[0].in_flight)
		pthread_cond_broadcast(&b->idle);
}

/* Sets the next step up. */
static void step_prepare(struct blk_io *io)
{
	unsigned i;

	io->step_iov = io->iov;
	io->step_n = io->n_iov;
	io->step_len = io->left;
	if (io->op == IO_ZERO_WRITE) {
		io->step_len = 0;
		for (i = 0; i < ZERO_SEGS && io->step_len < io->left; i++) {
			uint64_t n = io->left - io->step_len;

			if (n > ZERO_BYTES)
				n = ZERO_BYTES;
			io->step_one[i] = (struct iovec){ (void *)(uintptr_t)zeroes, n };
			io->step_len += n;
		}
		io->step_iov = io->step_one;
		io->step_n = i;
	} else if (io->bounce && moves_data(io)) {
		if (io->step_len > BOUNCE_BYTES)
			io->step_len = BOUNCE_BYTES;
		if (io->op == IO_WRITE) {
			size_t done = 0, n;

			/* Only looked at: a short write goes on from where it got to. */
			for (i = 0; done < io->step_len; i++, done += n) {
				n = io->iov[i].iov_len < io->step_len - done ? io->iov[i].iov_len :
									       io->step_len - done;
				memcpy(io->buf + done, io->iov[i].iov_base, n);
			}
		}
		io->step_one[0] = (struct iovec){ io->buf, io->step_len };
		io->step_iov = io->step_one;
		io->step_n = 1;
	}
}

/* n bytes more are done. */
static void advance(struct blk_io *io, uint64_t n)
{
	io->off += n;
	io->left -= n;
	if (io->op == IO_ZERO_WRITE)
		return;
	if (io->bounce) {
		io->b->stats.bounced += n;
		if (io->op == IO_READ) {
			vq_give(io->iov, &io->n_iov, io->buf, n);
			return;
		}
	}
	while (n) {
		uint64_t part = io->iov->iov_len < n ? io->iov->iov_len : n;

		io->iov->iov_base = (uint8_t *)io->iov->iov_base + part;
		io->iov->iov_len -= part;
		n -= part;
		if (!io->iov->iov_len) {
			io->iov++;
			io->n_iov--;
		}
	}
}

/* What a step came to.  True: the request goes on with the next one, which is set up. */
static bool step_done(struct blk_io *io, int64_t res)
{
	struct blk_dev *b = io->b;
	/* EINVAL: ranges that aren't multiples of a device's logical block. */
	bool unsupported = res == -EOPNOTSUPP || res == -ENOSYS || res == -ENOTTY ||
			   (b->is_bdev && res == -EINVAL);

	if (!io->sync && (res == -EAGAIN || res == -EINTR || res == -ECANCELED)) {
		io->sync = true;
		return true;
	}
	if (moves_data(io)) {
		/* Nothing moved: the file was cut short behind our back. */
		if (res <= 0 || (uint64_t)res > io->step_len) {
			finish(io, VIRTIO_BLK_S_IOERR);
			return false;
		}
		advance(io, (uint64_t)res);
		if (io->left) {
			io->sync = false;
			step_prepare(io);
			return true;
		}
		finish(io, VIRTIO_BLK_S_OK);
		return false;
	}
	if (res < 0 && io->op == IO_FLUSH) {
		if (!b->vm.resetting)
			b->flush_failed = true;
	} else if (unsupported && io->op == IO_ZERO) {
		io->op = IO_ZERO_WRITE;
		io->sync = false;
		step_prepare(io);
		return true;
	} else if (unsupported && io->op == IO_DISCARD && b->is_bdev) {
		io->op = IO_DISCARD_IOCTL;
		io->sync = true;
		return true;
	} else if (unsupported && (io->op == IO_DISCARD || io->op == IO_DISCARD_IOCTL)) {
		res = 0; /* a hint, which this file system or device can't take */
	}
	finish(io, res < 0 ? VIRTIO_BLK_S_IOERR : VIRTIO_BLK_S_OK);
	return false;
}

/* The first try, on the notifying thread, if it can't block.  True: finished. */
static bool try_inline(struct blk_io *io)
{
	struct blk_dev *b = io->b;
	bool *ok = io->op == IO_READ ? &b->nowait_read : &b->nowait_write;
	ssize_t n;

	if (!*ok || b->o.direct ||
	    (io->op == IO_WRITE && !(b->vm.drv_features & VIRTIO_BLK_F_FLUSH)))
		return false;
	if (io->op == IO_READ)
		n = preadv2(b->fd, io->step_iov, (int)io->step_n, (off_t)io->off, RWF_NOWAIT);
	else
		n = pwritev2(b->fd, io->step_iov, (int)io->step_n, (off_t)io->off, RWF_NOWAIT);
	if (n > 0 && (uint64_t)n <= io->step_len)
		return !step_done(io, n);
	/* EAGAIN: not in the page cache.  Other errors come again from the real attempt. */
	if (n < 0 && (errno == EOPNOTSUPP || errno == EINVAL))
		*ok = false;
	return false;
}

/* Makes a request of a chain.  -1: finished already, or the device broke; 0: io is ready to go. */
static int parse(struct blk_io *io)
{
	struct blk_dev *b = io->b;
	struct vq_chain *c = &io->chain;
	struct iovec *in = c->iov + c->n_out, *last;
	struct virtio_blk_range range;
	struct virtio_blk_hdr hdr;
	uint64_t len, sectors;
	unsigned n_out = c->n_out, n_in = c->n_in, i;

	if (!n_in || vq_take(c->iov, &n_out, &hdr, sizeof(hdr)) != sizeof(hdr)) {
		vq_drop(&b->vm, 0, c->head);
		io->next = b->free_io;
		b->free_io = io;
		vmmio_broken(&b->vm, "a block request without header or status");
		return -1;
	}
	last = &in[n_in - 1];
	io->status = (uint8_t *)last->iov_base + last->iov_len - 1;
	if (!--last->iov_len)
		n_in--;
	io->sync = io->went_async = io->bounce = false;
	io->used_len = 1;
	io->off = hdr.sector * SECTOR;
	io->left = 0;

	switch (hdr.type) {
	case VIRTIO_BLK_T_IN:
	case VIRTIO_BLK_T_OUT:
		io->op = hdr.type == VIRTIO_BLK_T_IN ? IO_READ : IO_WRITE;
		io->iov = io->op == IO_READ ? in : c->iov;
		io->n_iov = io->op == IO_READ ? n_in : n_out;
		len = io->op == IO_READ ? c->in_len - 1 : c->out_len - sizeof(hdr);
		sectors = len / SECTOR;
		if (io->op == IO_READ) {
			b->stats.reads++;
			b->stats.read_bytes += len;
		} else {
			b->stats.writes++;
			b->stats.write_bytes += len;
		}
		if (!len || len % SECTOR || len > MAX_BYTES || hdr.sector > b->n_sectors ||
		    sectors > b->n_sectors - hdr.sector || (io->op == IO_WRITE && b->o.read_only))
			break;
		if (b->o.eio_count && hdr.sector < b->o.eio_from + b->o.eio_count &&
		    hdr.sector + sectors > b->o.eio_from)
			break;
		io->left = len;
		if (io->op == IO_READ)
			io->used_len = (uint32_t)len + 1;
		for (i = 0; b->o.direct && i < io->n_iov; i++)
			io->bounce |= (uintptr_t)io->iov[i].iov_base % b->mem_align ||
				      io->iov[i].iov_len % SECTOR;
		if (io->bounce && !io->buf &&
		    posix_memalign((void **)&io->buf, 4096, BOUNCE_BYTES)) {
			io->buf = NULL;
			break;
		}
		step_prepare(io);
		return 0;
	case VIRTIO_BLK_T_FLUSH:
		b->stats.flushes++;
		io->op = IO_FLUSH;
		if (b->flush_failed)
			break;
		return 0;
	case VIRTIO_BLK_T_DISCARD:
	case VIRTIO_BLK_T_WRITE_ZEROES:
		io->op = hdr.type == VIRTIO_BLK_T_DISCARD ? IO_DISCARD : IO_ZERO;
		len = io->op == IO_DISCARD ? MAX_DISCARD : MAX_ZEROES;
		if (io->op == IO_DISCARD)
			b->stats.discards++;
		else
			b->stats.write_zeroes++;
		if (c->out_len != sizeof(hdr) + sizeof(range) || b->o.read_only)
			break;
		vq_take(c->iov, &n_out, &range, sizeof(range));
		if (range.flags & ~(io->op == IO_ZERO ? VIRTIO_BLK_WZ_UNMAP : 0)) {
			finish(io, VIRTIO_BLK_S_UNSUPP);
			return -1;
		}
		if (!range.n_sectors || range.n_sectors > len || range.sector > b->n_sectors ||
		    range.n_sectors > b->n_sectors - range.sector)
			break;
		io->off = range.sector * SECTOR;
		io->left = (uint64_t)range.n_sectors * SECTOR;
		io->falloc_mode = FALLOC_FL_KEEP_SIZE |
				  (io->op == IO_DISCARD || range.flags & VIRTIO_BLK_WZ_UNMAP ?
					   FALLOC_FL_PUNCH_HOLE :
					   FALLOC_FL_ZERO_RANGE);
		return 0;
	default: finish(io, VIRTIO_BLK_S_UNSUPP); return -1;
	}
	finish(io, VIRTIO_BLK_S_IOERR);
	return -1;
}

static void process(struct blk_dev *b, bool on_io_thread)
{
	unsigned n, budget = POPS_PER_QUEUE * b->vm.q[0].num;
	bool queued = false;
	struct blk_io *io;

	/* A driver that adds requests on one vCPU as fast as another one's thread serves them would keep
	 * that thread here for ever; what is left is the I/O thread's, in turns with its other work. */
	for (n = 0; n < budget; n++) {
		/* There is one: a chain in flight occupies a descriptor, and the queue has no more than
		 * there are blk_ios. */
		io = b->free_io;
		if (vq_pop(&b->vm, 0, &io->chain) <= 0)
			break;
		b->free_io = io->next;
		if (parse(io))
			continue;
		if ((io->op == IO_READ || io->op == IO_WRITE) && try_inline(io))
			continue;
		ring_add(b->ring, io, on_io_thread);
		queued = true;
	}
	if (queued)
		ring_submit(b->ring);
	vq_signal(&b->vm, 0);
	if (n == budget && vq_more(&b->vm, 0)) {
		__atomic_store_n(&b->again, true, __ATOMIC_RELAXED);
		ring_poke(b->ring);
	}
}

static void notify(struct vmmio *d, unsigned q)
{
	process((struct blk_dev *)d, false);
}

static void dev_reset(struct vmmio *d)
{
	/* What is in flight comes to its end; the reset is over with the last one. */
	((struct blk_dev *)d)->flush_failed = false;
}

static const struct vmmio_ops ops = {
	.device_id = VIRTIO_ID_BLK,
	.n_queues = 1,
	.notify = notify,
	.reset = dev_reset,
};

static void complete(struct blk_ring *r, struct blk_io *io, int64_t res)
{
	struct blk_dev *b = io->b;

	pthread_mutex_lock(&b->vm.lock);
	if (step_done(io, res))
		ring_add(r, io, true);
	else
		vq_signal(&b->vm, 0);
	pthread_mutex_unlock(&b->vm.lock);
}

void blk_ring_ready(struct blk_ring *r)
{
	struct io_uring_cqe *cqe[32];
	struct blk_io *io[32], *todo;
	int64_t res[32];
	uint64_t count;
	unsigned n, i;
	bool sync;

	/* Before looking, so that what comes later makes it readable again. */
	if (read(r->efd, &count, sizeof(count)) < 0 && errno != EAGAIN)
		return;

	do {
		n = 0;
		pthread_mutex_lock(&r->lock);
		if (r->have_uring) {
			n = io_uring_peek_batch_cqe(&r->u, cqe, 32);
			for (i = 0; i < n; i++) {
				io[i] = io_uring_cqe_get_data(cqe[i]);
				res[i] = cqe[i]->res;
			}
			io_uring_cq_advance(&r->u, n);
		}
		pthread_mutex_unlock(&r->lock);
		for (i = 0; i < n; i++)
			complete(r, io[i], res[i]);
	} while (n == 32);

	pthread_mutex_lock(&r->lock);
	todo = r->todo;
	r->todo = NULL;
	r->todo_end = &r->todo;
	pthread_mutex_unlock(&r->lock);
	while (todo) {
		struct blk_io *t = todo;

		todo = t->next;
		sync = !r->have_uring || t->sync;
		if (!sync) {
			pthread_mutex_lock(&r->lock);
			sync = !ring_prep(r, t);
			pthread_mutex_unlock(&r->lock);
		}
		if (sync)
			complete(r, t, step_sync(t));
	}

	for (i = 0; i < r->n_dev; i++) {
		struct blk_dev *b = r->dev[i];

		if (!__atomic_exchange_n(&b->again, false, __ATOMIC_RELAXED))
			continue;
		pthread_mutex_lock(&b->vm.lock);
		process(b, true);
		pthread_mutex_unlock(&b->vm.lock);
	}
	ring_submit(r);
}

/* The image. */

static struct blk_dev *fail(struct blk_dev *b, char *err, size_t errlen, const char *path,
			    const char *why)
{
	snprintf(err, errlen, "%s: %s", path, why);
	if (b && b->fd >= 0)
		close(b->fd);
	free(b);
	return NULL;
}

static const char *open_error(const struct blk_opts *o, int error)
{
	int fd;

	switch (error) {
	case ENOENT: return "no such file; check the path, or make an image: truncate -s 4G FILE";
	case EBUSY:
		return "in use (mounted, or part of something); unmount it, or open it read-only";
	case ETXTBSY: return "in use as a program or swap file; use a copy";
	case EINVAL:
		if (o->direct)
			return "its file system has no direct I/O; leave direct out";
		break;
	case EACCES:
	case EPERM:
	case EROFS:
		if (o->read_only)
			return "not permitted; give yourself the right to read it";
		fd = open(o->path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			return "not permitted; give yourself the rights to read and write it";
		close(fd);
		return "read-only; make it writable, or open it read-only";
	}
	return strerror(error);
}

/* Alignment that O_DIRECT wants of memory; 0: of offsets it wants more than a sector. */
static uint32_t direct_align(int fd, bool is_bdev)
{
	int ssz;

#ifdef STATX_DIOALIGN
	struct statx st;

	if (!statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &st) && st.stx_mask & STATX_DIOALIGN &&
	    st.stx_dio_mem_align)
		return st.stx_dio_offset_align <= SECTOR ? st.stx_dio_mem_align : 0;
#endif
	if (is_bdev && !ioctl(fd, BLKSSZGET, &ssz))
		return ssz <= (int)SECTOR ? SECTOR : 0;
	/* No way to ask: try. */
	void *p;
	ssize_t n;

	if (posix_memalign(&p, 4096, 4096))
		return 0;
	n = pread(fd, p, SECTOR, 0);
	free(p);
	return n == SECTOR ? SECTOR : 0;
}

struct blk_dev *blk_open(const struct blk_opts *o, char *err, size_t errlen)
{
	struct flock lock = { .l_type = o->read_only ? F_RDLCK : F_WRLCK, .l_whence = SEEK_SET };
	struct blk_dev *b = calloc(1, sizeof(*b));
	uint64_t bytes;
	struct stat st;
	char why[160];
	unsigned i;

	if (!b)
		return fail(NULL, err, errlen, o->path, "no memory");
	b->o = *o;
	b->fd = -1;
	if (stat(o->path, &st))
		return fail(b, err, errlen, o->path, open_error(o, errno));
	if (S_ISDIR(st.st_mode))
		return fail(b, err, errlen, o->path,
			    "a directory; name an image file or a block device");
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		return fail(b, err, errlen, o->path,
			    "not a disk; name an image file or a block device");
	b->is_bdev = S_ISBLK(st.st_mode);
	/* root may write to such a file; whoever took the bits away did not mean it to. */
	if (!b->is_bdev && !o->read_only && !(st.st_mode & 0222))
		return fail(b, err, errlen, o->path,
			    "read-only; make it writable (chmod u+w), or open it read-only");

	/* O_EXCL on a block device: not while it is mounted. */
	b->fd = open(o->path, (o->read_only ? O_RDONLY : O_RDWR) | (o->direct ? O_DIRECT : 0) |
				      (b->is_bdev && !o->read_only ? O_EXCL : 0) | O_CLOEXEC);
	if (b->fd < 0)
		return fail(b, err, errlen, o->path, open_error(o, errno));
	/* A lock of the open file description: it goes with us, however we end. */
	if (fcntl(b->fd, F_OFD_SETLK, &lock)) {
		if (errno == EAGAIN || errno == EACCES)
			return fail(
				b, err, errlen, o->path,
				"locked: another selfio uses it, or it is given twice; stop that "
				"one, use a copy, or open it read-only in both");
		snprintf(why, sizeof(why), "can't be locked (%s); keep it on a local file system",
			 strerror(errno));
		return fail(b, err, errlen, o->path, why);
	}

	if (fstat(b->fd, &st))
		return fail(b, err, errlen, o->path, strerror(errno));
	bytes = (uint64_t)st.st_size;
	if (b->is_bdev && ioctl(b->fd, BLKGETSIZE64, &bytes))
		return fail(b, err, errlen, o->path, strerror(errno));
	if (!bytes)
		return fail(b, err, errlen, o->path, "empty; give it a size: truncate -s 4G FILE");
	if (bytes % SECTOR) {
		snprintf(why, sizeof(why),
			 "its size, %llu bytes, isn't a multiple of 512; round it up: "
			 "truncate -s %%512 FILE",
			 (unsigned long long)bytes);
		return fail(b, err, errlen, o->path, why);
	}
	b->n_sectors = bytes / SECTOR;
	b->mem_align = 1;
	if (o->direct) {
		b->mem_align = direct_align(b->fd, b->is_bdev);
		if (!b->mem_align || b->mem_align > 4096)
			return fail(
				b, err, errlen, o->path,
				"direct I/O in units of 512 bytes doesn't work there; leave direct out");
	}

	b->nowait_read = b->nowait_write = true;
	pthread_cond_init(&b->idle, NULL);
	for (i = 0; i < VMMIO_QUEUE_MAX; i++) {
		b->io[i].b = b;
		b->io[i].next = b->free_io;
		b->free_io = &b->io[i];
	}
	return b;
}

uint64_t blk_sectors(const struct blk_dev *b)
{
	return b->n_sectors;
}

struct vmmio *blk_vmmio(struct blk_dev *b)
{
	return &b->vm;
}

void blk_attach(struct blk_dev *b, struct blk_ring *r, const struct vmmio_host *host,
		unsigned window)
{
	uint64_t features = VIRTIO_BLK_F_SEG_MAX | VIRTIO_BLK_F_BLK_SIZE | VIRTIO_BLK_F_FLUSH;

	b->config = (struct virtio_blk_config){
		.capacity = b->n_sectors,
		.seg_max = SEG_MAX,
		.blk_size = SECTOR,
	};
	if (b->o.read_only) {
		features |= VIRTIO_BLK_F_RO;
	} else {
		features |= VIRTIO_BLK_F_DISCARD | VIRTIO_BLK_F_WRITE_ZEROES;
		b->config.max_discard_sectors = MAX_DISCARD;
		b->config.max_discard_seg = 1;
		b->config.discard_sector_alignment = 8;
		b->config.max_write_zeroes_sectors = MAX_ZEROES;
		b->config.max_write_zeroes_seg = 1;
		b->config.write_zeroes_may_unmap = 1;
	}
	vmmio_init(&b->vm, &ops, host, window, b->o.path, features, &b->config, sizeof(b->config));
	b->ring = r;
	pthread_mutex_lock(&r->lock);
	if (r->n_dev < RING_MAX_DEVS)
		r->dev[r->n_dev++] = b;
	pthread_mutex_unlock(&r->lock);
}

void blk_drain(struct blk_dev *b)
{
	struct timespec until;

	if (!b->ring)
		return;
	pthread_mutex_lock(&b->vm.lock);
	while (b->vm.q[0].in_flight) {
		pthread_mutex_unlock(&b->vm.lock);
		blk_ring_ready(b->ring);
		pthread_mutex_lock(&b->vm.lock);
		if (!b->vm.q[0].in_flight)
			break;
		/* The I/O thread may be the one that completes it; or be us, or gone. */
		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_nsec += 2000000;
		if (until.tv_nsec >= 1000000000) {
			until.tv_nsec -= 1000000000;
			until.tv_sec++;
		}
		pthread_cond_timedwait(&b->idle, &b->vm.lock, &until);
	}
	pthread_mutex_unlock(&b->vm.lock);
}

int blk_sync(struct blk_dev *b)
{
	if (b->o.read_only)
		return 0;
	return fdatasync(b->fd) ? -errno : b->flush_failed ? -EIO : 0;
}

void blk_stats(struct blk_dev *b, struct blk_stats *s)
{
	const uint64_t *from = (const uint64_t *)&b->stats;
	uint64_t *to = (uint64_t *)s;

	_Static_assert(sizeof(*s) % sizeof(uint64_t) == 0, "counters only");
	for (unsigned i = 0; i < sizeof(*s) / sizeof(uint64_t); i++)
		to[i] = __atomic_load_n(&from[i], __ATOMIC_RELAXED);
	s->in_flight = __atomic_load_n(&b->vm.q[0].in_flight, __ATOMIC_RELAXED);
}

void blk_close(struct blk_dev *b)
{
	unsigned i;

	if (!b)
		return;
	if (b->ring) {
		pthread_mutex_lock(&b->ring->lock);
		for (i = 0; i < b->ring->n_dev; i++) {
			if (b->ring->dev[i] == b)
				b->ring->dev[i--] = b->ring->dev[--b->ring->n_dev];
		}
		pthread_mutex_unlock(&b->ring->lock);
		vmmio_destroy(&b->vm);
	}
	for (i = 0; i < VMMIO_QUEUE_MAX; i++)
		free(b->io[i].buf);
	pthread_cond_destroy(&b->idle);
	close(b->fd);
	free(b);
}
