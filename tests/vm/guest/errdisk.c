/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * errdisk - how a disk behaves whose backing store fails, and that nothing is lost when it recovers.
 *
 *   errdisk [--start BYTES] [--mb N] [--block BYTES] [--max-failures N] [--timeout SECONDS] [--seed S]
 *           DEVICE
 *
 * Writes a region in blocks with O_DIRECT.  Each failure prints "WRITE FAILED at BYTE: ERRNO NAME";
 * after --max-failures (3) of them it stops and prints "ERRDISK WAITING FOR SPACE".  Then each second it
 * tries the first failed block again, until that works or --timeout (120 s) is over, prints
 * "RETRY OK at BYTE", writes all that is missing, flushes, reads everything back, and prints
 * "ERRDISK DONE failed=N verify=ok".
 *
 * Status 0: all is there in the end (with or without failures on the way); 1: it is not; 2: wrong use.
 */
#define _GNU_SOURCE
#include "guest.h"

static uint64_t *buf;
static size_t block = 64u << 10;
static uint64_t seed = 1;

static void pattern(uint64_t at)
{
	for (size_t i = 0; i < block / 8; i++)
		buf[i] = mix64(mix64(seed) ^ (at + i * 8));
}

static int put(int fd, uint64_t at)
{
	ssize_t n;

	pattern(at);
	n = pwrite(fd, buf, block, (off_t)at);
	if (n == (ssize_t)block)
		return 0;
	return n < 0 ? errno : EIO;
}

int main(int argc, char **argv)
{
	uint64_t start = 0, mb = 16, most = 3, timeout = 120, failed = 0, first_bad = 0, at, end,
		 size;
	const char *path = NULL;
	uint64_t deadline, *back;
	int fd, e;

	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--start") && i + 1 < argc)
			start = number("--start", argv[++i]);
		else if (!strcmp(argv[i], "--mb") && i + 1 < argc)
			mb = number("--mb", argv[++i]);
		else if (!strcmp(argv[i], "--block") && i + 1 < argc)
			block = (size_t)number("--block", argv[++i]);
		else if (!strcmp(argv[i], "--max-failures") && i + 1 < argc)
			most = number("--max-failures", argv[++i]);
		else if (!strcmp(argv[i], "--timeout") && i + 1 < argc)
			timeout = number("--timeout", argv[++i]);
		else if (!strcmp(argv[i], "--seed") && i + 1 < argc)
			seed = number("--seed", argv[++i]);
		else if (argv[i][0] == '-' || path)
			die("usage: errdisk [--start BYTES] [--mb N] [--block BYTES] "
			    "[--max-failures N] [--timeout S] [--seed S] DEVICE");
		else
			path = argv[i];
	}
	if (!path || !block || block % SECTOR || start % SECTOR || block > 16u << 20 || !most)
		die("errdisk: which device? --block and --start are multiples of 512");
	setvbuf(stdout, NULL, _IOLBF, 0);
	fd = open(path, O_RDWR | O_DIRECT | O_CLOEXEC);
	if (fd < 0)
		die("errdisk: %s: %s", path, strerror(errno));
	size = size_of(fd, path);
	end = start + (mb << 20);
	if (end > size)
		end = size;
	end -= (end - start) % block;
	if (start >= end)
		die("errdisk: the region is outside the device");
	buf = page_alloc(block);
	back = page_alloc(block);

	printf("ERRDISK START start=%llu end=%llu block=%zu\n", (unsigned long long)start,
	       (unsigned long long)end, block);
	for (at = start; at < end && failed < most; at += block) {
		e = put(fd, at);
		if (!e)
			continue;
		if (!failed++)
			first_bad = at;
		printf("WRITE FAILED at %llu: %d %s\n", (unsigned long long)at, e, strerror(e));
	}
	if (!failed && fdatasync(fd)) {
		/* The store may find out only when flushed. */
		printf("FLUSH FAILED: %d %s\n", errno, strerror(errno));
		failed++;
		first_bad = start;
	}
	if (failed) {
		puts("ERRDISK WAITING FOR SPACE");
		deadline = now_ns() + timeout * 1000000000ull;
		while ((e = put(fd, first_bad)) != 0 || fdatasync(fd)) {
			if (now_ns() > deadline) {
				printf("ERRDISK GAVE UP at %llu: %s\n",
				       (unsigned long long)first_bad, strerror(e ? e : EIO));
				return 1;
			}
			sleep(1);
		}
		printf("RETRY OK at %llu\n", (unsigned long long)first_bad);
		for (at = first_bad; at < end; at += block) {
			e = put(fd, at);
			if (e) {
				printf("WRITE FAILED AGAIN at %llu: %d %s\n",
				       (unsigned long long)at, e, strerror(e));
				return 1;
			}
		}
		if (fdatasync(fd)) {
			printf("FLUSH FAILED AGAIN: %s\n", strerror(errno));
			return 1;
		}
	}
	for (at = start; at < end; at += block) {
		pattern(at);
		if (pread(fd, back, block, (off_t)at) != (ssize_t)block) {
			printf("READ FAILED at %llu: %s\n", (unsigned long long)at,
			       strerror(errno));
			return 1;
		}
		if (memcmp(buf, back, block)) {
			printf("ERRDISK LOST WRITE at %llu\n", (unsigned long long)at);
			return 1;
		}
	}
	printf("ERRDISK DONE failed=%llu verify=ok\n", (unsigned long long)failed);
	return 0;
}
