/* SPDX-License-Identifier: BSD-2-Clause */
/* Shared by the programs that run inside guests: random numbers, time, arguments, errors. */
#ifndef GUEST_H
#define GUEST_H

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SECTOR 512u

/* The finalizer of splitmix64: every value that the tests need is a pure function of its inputs. */
static inline uint64_t mix64(uint64_t x)
{
	x += 0x9e3779b97f4a7c15ull;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
	return x ^ (x >> 31);
}

struct rng {
	uint64_t state;
};

static inline uint64_t rng_next(struct rng *r)
{
	r->state += 0x9e3779b97f4a7c15ull;
	return mix64(r->state);
}

/* Below n, n > 0. */
static inline uint64_t rng_below(struct rng *r, uint64_t n)
{
	return rng_next(r) % n;
}

static inline uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Status 2: wrong use, or the set-up failed; 1 is kept for "the test failed". */
__attribute__((noreturn, format(printf, 1, 2))) static inline void die(const char *fmt, ...)
{
	va_list ap;

	fflush(stdout);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(2);
}

/* A number with an optional K, M or G. */
static inline uint64_t number(const char *what, const char *text)
{
	char *end;
	uint64_t v;

	errno = 0;
	v = strtoull(text ? text : "", &end, 0);
	if (*end == 'K' || *end == 'k')
		v <<= 10, end++;
	else if (*end == 'M' || *end == 'm')
		v <<= 20, end++;
	else if (*end == 'G' || *end == 'g')
		v <<= 30, end++;
	if (errno || !text || end == text || *end || *text == '-')
		die("%s: '%s' is not a number", what, text ? text : "");
	return v;
}

/* Size in bytes of an open block device or file. */
static inline uint64_t size_of(int fd, const char *path)
{
	off_t n = lseek(fd, 0, SEEK_END);

	if (n < 0)
		die("%s: %s", path, strerror(errno));
	return (uint64_t)n;
}

static inline void *page_alloc(size_t len)
{
	void *p = NULL;

	if (posix_memalign(&p, 4096, len))
		die("out of memory");
	memset(p, 0, len);
	return p;
}

#endif
