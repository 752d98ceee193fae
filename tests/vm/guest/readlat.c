/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * readlat - latency of random reads, and sequential throughput, with O_DIRECT.
 *
 *   readlat [--count N] [--warmup N] [--size BYTES] [--seed S] DEVICE
 *   readlat --seq read|write [--mb N] [--size BYTES] DEVICE      (write overwrites the device)
 *
 * Prints READLAT START, then one line of figures: between the two nothing but the reads.
 */
#define _GNU_SOURCE
#include "guest.h"

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void one(int fd, bool write, void *buf, size_t len, uint64_t at)
{
	ssize_t n = write ? pwrite(fd, buf, len, (off_t)at) : pread(fd, buf, len, (off_t)at);

	if (n != (ssize_t)len) {
		printf("READLAT ERROR at %llu: %s\n", (unsigned long long)at,
		       n < 0 ? strerror(errno) : "short");
		exit(1);
	}
}

static int latency(int fd, uint64_t size, uint64_t count, uint64_t warmup, size_t len,
		   uint64_t seed)
{
	struct rng r = { .state = seed };
	uint64_t *t = calloc(count + 1, sizeof(*t));
	void *buf = page_alloc(len);
	uint64_t start, total;

	if (!t || size < len)
		die("readlat: out of memory, or the device is too small");
	for (uint64_t i = 0; i < warmup; i++)
		one(fd, false, buf, len, rng_below(&r, size / len) * len);
	printf("READLAT START count=%llu size=%zu\n", (unsigned long long)count, len);
	fflush(stdout);
	usleep(200000); /* let the serial port's interrupts end */
	start = now_ns();
	for (uint64_t i = 0; i < count; i++) {
		uint64_t t0 = now_ns();

		one(fd, false, buf, len, rng_below(&r, size / len) * len);
		t[i] = now_ns() - t0;
	}
	total = now_ns() - start;
	qsort(t, count, sizeof(*t), compare);
	printf("READLAT END count=%llu size=%zu total_ns=%llu median_ns=%llu p99_ns=%llu "
	       "min_ns=%llu max_ns=%llu\n",
	       (unsigned long long)count, len, (unsigned long long)total,
	       (unsigned long long)t[count / 2], (unsigned long long)t[count * 99 / 100],
	       (unsigned long long)t[0], (unsigned long long)t[count ? count - 1 : 0]);
	return 0;
}

static int sequential(int fd, uint64_t size, bool write, uint64_t bytes, size_t len)
{
	uint8_t *buf = page_alloc(len);
	uint64_t start, ns, at;

	if (bytes > size)
		bytes = size;
	bytes -= bytes % len;
	for (size_t i = 0; i < len; i++)
		buf[i] = (uint8_t)(i * 7);
	printf("READLAT START seq=%s size=%zu\n", write ? "write" : "read", len);
	fflush(stdout);
	usleep(200000); /* let the serial port's interrupts end */
	start = now_ns();
	for (at = 0; at < bytes; at += len)
		one(fd, write, buf, len, at);
	if (write && fdatasync(fd))
		die("readlat: flush: %s", strerror(errno));
	ns = now_ns() - start;
	printf("READLAT END seq=%s size=%zu bytes=%llu total_ns=%llu KiBps=%llu\n",
	       write ? "write" : "read", len, (unsigned long long)bytes, (unsigned long long)ns,
	       ns ? (unsigned long long)((double)bytes / 1024 * 1e9 / (double)ns) : 0);
	return 0;
}

int main(int argc, char **argv)
{
	uint64_t count = 1000, warmup = 20, len = 0, seed = 1, mb = 32, size;
	const char *seq = NULL, *path = NULL;
	bool write;
	int fd;

	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--count") && i + 1 < argc)
			count = number("--count", argv[++i]);
		else if (!strcmp(argv[i], "--warmup") && i + 1 < argc)
			warmup = number("--warmup", argv[++i]);
		else if (!strcmp(argv[i], "--size") && i + 1 < argc)
			len = number("--size", argv[++i]);
		else if (!strcmp(argv[i], "--seed") && i + 1 < argc)
			seed = number("--seed", argv[++i]);
		else if (!strcmp(argv[i], "--mb") && i + 1 < argc)
			mb = number("--mb", argv[++i]);
		else if (!strcmp(argv[i], "--seq") && i + 1 < argc)
			seq = argv[++i];
		else if (argv[i][0] == '-' || path)
			die("usage: readlat [--count N] [--warmup N] [--size BYTES] [--seed S] DEVICE\n"
			    "       readlat --seq read|write [--mb N] [--size BYTES] DEVICE");
		else
			path = argv[i];
	}
	if (!path || (seq && strcmp(seq, "read") && strcmp(seq, "write")))
		die("readlat: which device, and --seq read or --seq write?");
	if (!len)
		len = seq ? 128u << 10 : 4096;
	if (len % SECTOR || len > 64u << 20)
		die("readlat: --size is a multiple of 512, at most 64M");
	write = seq && !strcmp(seq, "write");
	fd = open(path, (write ? O_RDWR : O_RDONLY) | O_DIRECT | O_CLOEXEC);
	if (fd < 0)
		die("readlat: %s: %s", path, strerror(errno));
	size = size_of(fd, path);
	return seq ? sequential(fd, size, write, mb << 20, (size_t)len) :
		     latency(fd, size, count, warmup, (size_t)len, seed);
}
