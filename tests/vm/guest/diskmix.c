/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * diskmix - a random mix of reads, writes and flushes on whole disks, one thread for each.
 *
 *   diskmix [--seed S] [--ops N] [--max BYTES] [--buffered] DEVICE...   in the guest
 *   diskmix [--seed S] [--ops N] [--max BYTES] --model FILE...          on the host
 *
 * N is the total, shared out evenly.  Offsets and lengths are multiples of 512 bytes, lengths up to
 * 256 KiB, buffers start anywhere on a 512-byte boundary, so that scatter-gather lists vary.  What
 * operation i does to disk d depends only on (seed, d, i, size of the disk): --model replays the
 * same on plain files of the same sizes, and then image and model must be equal.  Reads are verified
 * against a table of the last write to each sector; the disks must be all zeros at the start.
 *
 * Status 0: all operations succeeded and all reads were right; 1: not; 2: wrong use.
 */
#define _GNU_SOURCE
#include "guest.h"

#include <pthread.h>

#define MAX_DISKS      16
#define MAX_IO         (256u << 10)
#define MAX_COMPLAINTS 10

enum op { OP_READ, OP_WRITE, OP_FLUSH };

struct disk {
	/* configuration */
	const char *path;
	unsigned index;
	uint64_t seed, ops, sectors, max_sectors;
	bool model, direct;
	int fd;
	/* progress */
	uint32_t *version; /* 1 + the operation that last wrote the sector; 0: still zeros */
	uint64_t count[3], bytes[2], errors;
	pthread_t thread;
};

static void fill_sector(const struct disk *d, uint32_t version, uint64_t sector, uint64_t *to)
{
	uint64_t key;

	if (!version) {
		memset(to, 0, SECTOR);
		return;
	}
	key = mix64(mix64(d->seed * MAX_DISKS + d->index) ^ version) ^ sector;
	/* The start is readable, for whoever looks at a wrong image. */
	to[0] = 0x58494d4b53494453ull; /* "SDISKMIX" */
	to[1] = sector;
	to[2] = (uint64_t)d->index << 32 | version;
	for (unsigned i = 3; i < SECTOR / 8; i++)
		to[i] = mix64(key + ((uint64_t)i << 56));
}

__attribute__((format(printf, 2, 3))) static void complain(struct disk *d, const char *fmt, ...)
{
	char text[200];
	va_list ap;

	if (d->errors++ >= MAX_COMPLAINTS)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	printf("diskmix: disk %u (%s): %s\n", d->index, d->path, text);
	fflush(stdout);
}

static void check(struct disk *d, uint64_t op, uint64_t first, uint64_t n, const uint8_t *buf)
{
	uint64_t want[SECTOR / 8], got[3];

	for (uint64_t i = 0; i < n; i++) {
		fill_sector(d, d->version[first + i], first + i, want);
		if (!memcmp(buf + i * SECTOR, want, SECTOR))
			continue;
		memcpy(got, buf + i * SECTOR, sizeof(got));
		complain(d,
			 "operation %llu read %llu+%llu: sector %llu is not version %u but "
			 "%016llx %016llx %016llx",
			 (unsigned long long)op, (unsigned long long)first, (unsigned long long)n,
			 (unsigned long long)(first + i), d->version[first + i],
			 (unsigned long long)got[0], (unsigned long long)got[1],
			 (unsigned long long)got[2]);
		return;
	}
}

static void *run(void *arg)
{
	struct disk *d = arg;
	struct rng r = { .state = mix64(d->seed) ^ mix64(d->index + 1) };
	uint8_t *pool = page_alloc(MAX_IO + 4096);

	for (uint64_t i = 0; i < d->ops; i++) {
		uint64_t kind = rng_below(&r, 100);
		enum op op = kind < 45 ? OP_WRITE : kind < 92 ? OP_READ : OP_FLUSH;
		/* Small ones are as likely as large ones. */
		uint64_t limit = 1ull << rng_below(&r, 10);
		uint64_t n = 1 + rng_below(&r, limit < d->max_sectors ? limit : d->max_sectors);
		uint64_t first = rng_below(&r, d->sectors - n + 1);
		uint8_t *buf = pool + SECTOR * rng_below(&r, 8);
		size_t len = (size_t)(n * SECTOR);
		ssize_t done;

		d->count[op]++;
		if (op == OP_FLUSH) {
			if (!d->model && fdatasync(d->fd))
				complain(d, "operation %llu flush: %s", (unsigned long long)i,
					 strerror(errno));
			continue;
		}
		d->bytes[op] += len;
		if (op == OP_WRITE) {
			uint64_t words[SECTOR / 8];

			for (uint64_t s = 0; s < n; s++) {
				fill_sector(d, (uint32_t)i + 1, first + s, words);
				memcpy(buf + s * SECTOR, words, SECTOR);
			}
			done = pwrite(d->fd, buf, len, (off_t)(first * SECTOR));
		} else {
			done = pread(d->fd, buf, len, (off_t)(first * SECTOR));
		}
		if (done != (ssize_t)len) {
			complain(d, "operation %llu %s %llu+%llu: %s", (unsigned long long)i,
				 op == OP_WRITE ? "write" : "read", (unsigned long long)first,
				 (unsigned long long)n, done < 0 ? strerror(errno) : "short");
			continue;
		}
		if (op == OP_READ)
			check(d, i, first, n, buf);
		else
			for (uint64_t s = 0; s < n; s++)
				d->version[first + s] = (uint32_t)i + 1;
	}
	if (fdatasync(d->fd))
		complain(d, "last flush: %s", strerror(errno));
	free(pool);
	return NULL;
}

int main(int argc, char **argv)
{
	static struct disk disks[MAX_DISKS];
	uint64_t seed = 1, ops = 2000, max = MAX_IO, errors = 0, start;
	bool model = false, direct = true;
	unsigned n = 0;

	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--seed") && i + 1 < argc)
			seed = number("--seed", argv[++i]);
		else if (!strcmp(argv[i], "--ops") && i + 1 < argc)
			ops = number("--ops", argv[++i]);
		else if (!strcmp(argv[i], "--max") && i + 1 < argc)
			max = number("--max", argv[++i]);
		else if (!strcmp(argv[i], "--model"))
			model = true;
		else if (!strcmp(argv[i], "--buffered"))
			direct = false;
		else if (argv[i][0] == '-')
			die("usage: diskmix [--seed S] [--ops N] [--max BYTES] [--buffered] "
			    "[--model] DISK...");
		else if (n < MAX_DISKS)
			disks[n++].path = argv[i];
		else
			die("diskmix: at most %d disks", MAX_DISKS);
	}
	if (!n)
		die("diskmix: which disks?");
	if (max < SECTOR || max > MAX_IO || max % SECTOR)
		die("diskmix: --max is 512 to %u, in steps of 512", MAX_IO);
	if (ops / n >= UINT32_MAX)
		die("diskmix: too many operations");

	for (unsigned i = 0; i < n; i++) {
		struct disk *d = &disks[i];
		uint64_t size;

		d->index = i;
		d->seed = seed;
		d->ops = ops / n + (i < ops % n);
		d->model = model;
		d->direct = direct && !model;
		d->fd = open(d->path, O_RDWR | O_CLOEXEC | (d->direct ? O_DIRECT : 0));
		if (d->fd < 0)
			die("diskmix: %s: %s", d->path, strerror(errno));
		size = size_of(d->fd, d->path);
		if (size % SECTOR || size < max)
			die("diskmix: %s: %llu bytes are too few, or not whole sectors", d->path,
			    (unsigned long long)size);
		d->sectors = size / SECTOR;
		d->max_sectors = max / SECTOR;
		d->version = calloc(d->sectors, sizeof(*d->version));
		if (!d->version)
			die("diskmix: out of memory");
	}
	start = now_ns();
	for (unsigned i = 0; i < n; i++)
		if (pthread_create(&disks[i].thread, NULL, run, &disks[i]))
			die("diskmix: cannot start a thread");
	for (unsigned i = 0; i < n; i++) {
		const struct disk *d = &disks[i];

		pthread_join(disks[i].thread, NULL);
		printf("diskmix: disk %u (%s): %llu reads %llu writes %llu flushes, "
		       "%llu KiB read %llu KiB written, %llu errors\n",
		       d->index, d->path, (unsigned long long)d->count[OP_READ],
		       (unsigned long long)d->count[OP_WRITE],
		       (unsigned long long)d->count[OP_FLUSH],
		       (unsigned long long)d->bytes[OP_READ] / 1024,
		       (unsigned long long)d->bytes[OP_WRITE] / 1024,
		       (unsigned long long)d->errors);
		errors += d->errors;
	}
	printf("diskmix: %llu operations on %u disks in %llu ms, %llu errors\n",
	       (unsigned long long)ops, n, (unsigned long long)((now_ns() - start) / 1000000),
	       (unsigned long long)errors);
	return errors ? 1 : 0;
}
