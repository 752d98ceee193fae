/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * disk.c - a disk over a raw image.  The file's data has moved when blk_submit() returns; what the model
 * sees of it, done(), comes from the main loop.
 */
#include "placements/qtest/qtest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_PENDING 64u

struct disk {
	struct blk blk; /* first */
	struct qtest *q;
	int fd;        /* -1: zeros */
	uint8_t *copy; /* snapshot: a private mapping of the file */
	bool lost;     /* a flush failed: what it was for may be gone for ever */
	unsigned n;
	struct {
		struct blk_req *r;
		int err;
	} pending[MAX_PENDING];
};

static bool move(struct disk *d, bool write, uint8_t *p, size_t len, uint64_t at)
{
	if (d->fd < 0) {
		if (!write)
			memset(p, 0, len);
		return true;
	}
	if (d->copy) {
		memcpy(write ? d->copy + at : p, write ? p : d->copy + at, len);
		return true;
	}
	while (len) {
		ssize_t n = write ? pwrite(d->fd, p, len, (off_t)at) :
				    pread(d->fd, p, len, (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		p += n;
		at += (uint64_t)n;
		len -= (size_t)n;
	}
	return true;
}

static bool in_range(const struct disk *d, const struct blk_req *r)
{
	return r->sector <= d->blk.n_sectors && r->n_sectors <= d->blk.n_sectors - r->sector;
}

static int read_write(struct disk *d, const struct blk_req *r)
{
	bool write = r->op == BLK_WRITE;
	uint64_t at = r->sector * BLK_SECTOR, left = (uint64_t)r->n_sectors * BLK_SECTOR;

	if ((write && d->blk.read_only) || !in_range(d, r))
		return BLK_EIO;
	for (unsigned i = 0; i < r->n_seg; i++) {
		uint32_t len = r->seg[i].len;
		uint8_t *p = host_mem(d->q, r->seg[i].addr.raw, len);

		if (!p || len > left || !move(d, write, p, len, at))
			return BLK_EIO;
		at += len;
		left -= len;
	}
	return left ? BLK_EIO : BLK_OK;
}

static int flush(struct disk *d)
{
	if (d->fd >= 0 && !d->copy && fdatasync(d->fd))
		d->lost = true;
	return d->lost ? BLK_EIO : BLK_OK;
}

/* A hint: what can't be done need not be. */
static int discard(struct disk *d, const struct blk_req *r)
{
	if (d->blk.read_only || !in_range(d, r))
		return BLK_EIO;
	if (d->fd < 0 || d->copy)
		return BLK_OK;
	return fallocate(d->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			 (off_t)(r->sector * BLK_SECTOR), (off_t)r->n_sectors * BLK_SECTOR) ?
		       BLK_EUNSUPP :
		       BLK_OK;
}

static int submit(struct blk *b, struct blk_req *r)
{
	struct disk *d = (struct disk *)b;
	int err = BLK_EUNSUPP;

	if (d->n == MAX_PENDING)
		return -1;
	switch (r->op) {
	case BLK_READ:
	case BLK_WRITE: err = read_write(d, r); break;
	case BLK_FLUSH: err = flush(d); break;
	case BLK_DISCARD: err = discard(d, r); break;
	}
	d->pending[d->n].r = r;
	d->pending[d->n++].err = err;
	return 0;
}

bool disk_complete(struct disk *d)
{
	unsigned n = d->n;

	/* done() may submit again: that goes behind. */
	for (unsigned i = 0; i < n; i++)
		d->pending[i].r->done(d->pending[i].r->owner, d->pending[i].r, d->pending[i].err);
	d->n -= n;
	memmove(d->pending, d->pending + n, d->n * sizeof(d->pending[0]));
	return n;
}

static int open_image(struct disk *d, const struct disk_opts *o, uint64_t *size)
{
	bool ro = o->read_only || o->snapshot;
	off_t end;

	d->fd = open(o->path, (ro ? O_RDONLY : O_RDWR) | O_CLOEXEC);
	if (d->fd < 0 || flock(d->fd, (ro ? LOCK_SH : LOCK_EX) | LOCK_NB)) {
		msg("%s: %s", o->path, errno == EWOULDBLOCK ? "in use" : strerror(errno));
		return -1;
	}
	end = lseek(d->fd, 0, SEEK_END);
	*size = end < 0 ? 0 : (uint64_t)end;
	if (!o->snapshot || !*size)
		return 0;
	d->copy = mmap(NULL, *size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, d->fd, 0);
	if (d->copy == MAP_FAILED) {
		d->copy = NULL;
		msg("%s: snapshot=on: %s", o->path, strerror(errno));
		return -1;
	}
	return 0;
}

struct disk *disk_open(struct qtest *q, const struct disk_opts *o)
{
	struct disk *d = calloc(1, sizeof(*d));
	uint64_t size = o->size;

	if (!d)
		return NULL;
	d->q = q;
	d->fd = -1;
	if (o->path && open_image(d, o, &size)) {
		disk_close(d);
		return NULL;
	}
	if (!size || size % BLK_SECTOR) {
		msg("%s: the size must be a multiple of 512 bytes", o->path ? o->path : "null-co");
		disk_close(d);
		return NULL;
	}
	d->blk = (struct blk){ .submit = submit,
			       .n_sectors = size / BLK_SECTOR,
			       .read_only = o->read_only,
			       .flush = true,
			       .discard = true };
	return d;
}

struct blk *disk_blk(struct disk *d)
{
	return d ? &d->blk : NULL;
}

void disk_close(struct disk *d)
{
	if (!d)
		return;
	if (d->copy)
		munmap(d->copy, d->blk.n_sectors * BLK_SECTOR);
	if (d->fd >= 0)
		close(d->fd);
	free(d);
}
