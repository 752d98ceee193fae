/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/fmt.h"

#include <stdbool.h>
#include <stdint.h>

struct out {
	char *buf;
	size_t cap, n;
};

static void put(struct out *o, char c)
{
	if (o->n + 1 < o->cap)
		o->buf[o->n++] = c;
}

static void put_num(struct out *o, uint64_t v, unsigned base, unsigned width, char fill)
{
	char d[24];
	unsigned n = 0;

	do
		d[n++] = "0123456789abcdef"[v % base];
	while ((v /= base) && n < sizeof(d));
	for (; width > n; width--)
		put(o, fill);
	while (n)
		put(o, d[--n]);
}

size_t fmt_va(char *buf, size_t cap, const char *f, va_list ap)
{
	struct out o = { .buf = buf, .cap = cap };

	for (; *f; f++) {
		unsigned width = 0, longs = 0;
		char fill = ' ';
		uint64_t v;

		if (*f != '%') {
			put(&o, *f);
			continue;
		}
		if (*++f == '0')
			fill = '0';
		for (; *f >= '0' && *f <= '9'; f++)
			width = width * 10 + (unsigned)(*f - '0');
		for (; *f == 'l'; f++)
			longs++;
		switch (*f) {
		case 's':
			for (const char *s = va_arg(ap, const char *); *s; s++)
				put(&o, *s);
			break;
		case 'c': put(&o, (char)va_arg(ap, int)); break;
		case 'd':
			v = longs ? (uint64_t)va_arg(ap, long) : (uint64_t)va_arg(ap, int);
			if ((int64_t)v < 0) {
				put(&o, '-');
				v = -v;
			}
			put_num(&o, v, 10, width, fill);
			break;
		case 'u':
		case 'x':
			v = longs ? va_arg(ap, unsigned long) : va_arg(ap, unsigned int);
			put_num(&o, v, *f == 'x' ? 16 : 10, width, fill);
			break;
		case 'p': put_num(&o, (uintptr_t)va_arg(ap, void *), 16, width, fill); break;
		case 0: f--; break;
		default: put(&o, *f);
		}
	}
	o.buf[o.n] = 0;
	return o.n;
}

size_t fmt(char *buf, size_t cap, const char *f, ...)
{
	va_list ap;
	size_t n;

	va_start(ap, f);
	n = fmt_va(buf, cap, f, ap);
	va_end(ap);
	return n;
}
