/* SPDX-License-Identifier: BSD-2-Clause */
/* mem.c - what the compiler may call. REP MOVS and STOS of words are fast on every processor with hardware
 * virtualization, and eight times as fast as those of bytes where each item is a step (an emulated one). They take
 * their time to start: what is short, as descriptors are, goes by two moves that may overlap. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef uint64_t __attribute__((may_alias, aligned(1))) u64_any;
typedef uint32_t __attribute__((may_alias, aligned(1))) u32_any;

/* Also where dst is in front of src and they overlap. */
static void *forward(void *dst, const void *src, size_t n)
{
	char *d = dst;
	const char *s = src;
	size_t words = n / 8;
	uint64_t a, b;

	if (n > 16) {
		b = *(const u64_any *)(s + n - 8); /* what the words leave over */
		__asm__ volatile("rep movsq" : "+D"(dst), "+S"(src), "+c"(words)::"memory");
		*(u64_any *)(d + n - 8) = b;
	} else if (n >= 8) {
		a = *(const u64_any *)s;
		b = *(const u64_any *)(s + n - 8);
		*(u64_any *)d = a;
		*(u64_any *)(d + n - 8) = b;
	} else if (n >= 4) {
		a = *(const u32_any *)s;
		b = *(const u32_any *)(s + n - 4);
		*(u32_any *)d = (uint32_t)a;
		*(u32_any *)(d + n - 4) = (uint32_t)b;
	} else {
		for (size_t i = 0; i < n; i++) {
			d[i] = s[i];
			/* Not a call to memcpy again. */
			__asm__ volatile("" ::: "memory");
		}
	}
	return d;
}

void *memcpy(void *restrict dst, const void *restrict src, size_t n)
{
	return forward(dst, src, n);
}

void *memset(void *dst, int c, size_t n)
{
	uint64_t v = (uint8_t)c * 0x0101010101010101u;
	size_t words = n / 8, rest = n % 8;
	void *d = dst;

	__asm__ volatile("rep stosq" : "+D"(d), "+c"(words) : "a"(v) : "memory");
	__asm__ volatile("rep stosb" : "+D"(d), "+c"(rest) : "a"(v) : "memory");
	return dst;
}

void *memmove(void *dst, const void *src, size_t n)
{
	char *d = dst;
	const char *s = src;

	if ((uintptr_t)d - (uintptr_t)s >= n)
		return forward(dst, src, n);
	while (n--) {
		d[n] = s[n];
		/* Not a call to memmove again. */
		__asm__ volatile("" ::: "memory");
	}
	return dst;
}

int memcmp(const void *a, const void *b, size_t n)
{
	const unsigned char *x = a, *y = b;

	for (; n; n--, x++, y++)
		if (*x != *y)
			return *x - *y;
	return 0;
}

size_t strlen(const char *s)
{
	size_t n = 0;

	while (s[n]) {
		n++;
		/* Not a call to strlen again. */
		__asm__ volatile("" ::: "memory");
	}
	return n;
}
