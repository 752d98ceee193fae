/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * proto.c - the qtest protocol (QEMU, system/qtest.c and tests/qtest/libqtest.h describe it): a request
 * is a line, its answer starts with OK or FAIL, and lines that start with IRQ may come in between.
 */
#include "placements/qtest/qtest.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MAX_WORDS 6u

void proto_log(struct qtest *q, char tag, const char *text)
{
	static struct timespec start;
	struct timespec t;

	if (!q->log)
		return;
	clock_gettime(CLOCK_MONOTONIC, &t);
	if (!start.tv_sec)
		start = t;
	t.tv_sec -= start.tv_sec + (t.tv_nsec < start.tv_nsec);
	t.tv_nsec += t.tv_nsec < start.tv_nsec ? 1000000000 - start.tv_nsec : -start.tv_nsec;
	fprintf(q->log, "[%c +%ld.%06ld] %s\n", tag, (long)t.tv_sec, t.tv_nsec / 1000, text);
	fflush(q->log);
}

static void reply(struct qtest *q, const char *f, ...) __attribute__((format(printf, 2, 3)));
static void reply(struct qtest *q, const char *f, ...)
{
	char text[200];
	va_list ap;

	va_start(ap, f);
	vsnprintf(text, sizeof(text) - 1, f, ap);
	va_end(ap);
	proto_log(q, 'S', text);
	strcat(text, "\n");
	chan_send(&q->proto, text, strlen(text));
}

void proto_irq(struct qtest *q, unsigned gsi, bool level)
{
	reply(q, "IRQ %s %u", level ? "raise" : "lower", gsi);
}

static bool number(const char *s, uint64_t *v)
{
	char *end;

	errno = 0;
	*v = strtoull(s, &end, 0);
	return !errno && end != s && !*end;
}

/* What a request's words are: w[1] and so on, as numbers too where they are. */
struct request {
	struct qtest *q;
	char **w;
	unsigned n;
	uint64_t arg[MAX_WORDS];
	unsigned size; /* of one access */
};

static void do_port(struct request *r)
{
	bool write = r->n == 3;
	uint64_t v = r->arg[2];

	if (r->arg[1] > 0xffff) {
		reply(r->q, "FAIL no such port");
		return;
	}
	machine_access(&r->q->m, DEV_PIO, r->arg[1], r->size, write, &v);
	if (write)
		reply(r->q, "OK");
	else
		reply(r->q, "OK 0x%04x", (uint32_t)v);
}

static bool wraps(const struct request *r, uint64_t len)
{
	if (!len || len - 1 <= UINT64_MAX - r->arg[1])
		return false;
	reply(r->q, "FAIL beyond the last address");
	return true;
}

static void do_mem(struct request *r)
{
	bool write = r->n == 3;
	uint64_t v = r->arg[2];

	if (wraps(r, r->size))
		return;
	if (!write)
		v = 0;
	host_access(r->q, r->arg[1], (uint8_t *)&v, r->size, write);
	if (write)
		reply(r->q, "OK");
	else
		reply(r->q, "OK 0x%016llx", (unsigned long long)v);
}

/* A buffer for arg[2] bytes, or NULL after an answer. */
static uint8_t *buffer(struct request *r)
{
	uint8_t *p;

	if (!r->arg[2] || r->arg[2] > MAX_DATA) {
		reply(r->q, "FAIL size must be 1 to %u", MAX_DATA);
		return NULL;
	}
	if (wraps(r, r->arg[2]))
		return NULL;
	p = calloc(1, r->arg[2] + 3);
	if (!p)
		reply(r->q, "FAIL no memory");
	return p;
}

static const char b64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* p has two bytes of 0 behind its len. */
static size_t to_b64(const uint8_t *p, size_t len, char *out)
{
	char *o = out;

	for (size_t i = 0; i < len; i += 3) {
		uint32_t v = (uint32_t)p[i] << 16 | (uint32_t)p[i + 1] << 8 | p[i + 2];

		for (unsigned k = 0; k < 4; k++)
			*o++ = i + k > len ? '=' : b64[v >> (18 - 6 * k) & 63];
	}
	return (size_t)(o - out);
}

static bool from_b64(const char *s, uint8_t *p, size_t len)
{
	uint32_t v = 0, bits = 0;
	size_t n = 0;

	for (; *s && *s != '='; s++) {
		const char *d = strchr(b64, *s);

		if (!d)
			return false;
		v = v << 6 | (uint32_t)(d - b64);
		bits += 6;
		if (bits < 8)
			continue;
		bits -= 8;
		if (n == len)
			return false;
		p[n++] = (uint8_t)(v >> bits);
	}
	return n == len;
}

static size_t to_hex(const uint8_t *p, size_t len, char *out)
{
	static const char digit[] = "0123456789abcdef";

	*out++ = '0';
	*out++ = 'x';
	for (size_t i = 0; i < len; i++) {
		*out++ = digit[p[i] >> 4];
		*out++ = digit[p[i] & 15];
	}
	return 2 + 2 * len;
}

static int nibble(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Bytes that are not given are 0. */
static bool from_hex(const char *s, uint8_t *p, size_t len)
{
	size_t n = 0;

	if (s[0] != '0' || (s[1] | 0x20) != 'x')
		return false;
	for (s += 2; *s; s += 2, n++) {
		int hi = nibble(s[0]), lo = hi < 0 ? -1 : nibble(s[1]);

		if (lo < 0 || n == len)
			return false;
		p[n] = (uint8_t)(hi << 4 | lo);
	}
	return true;
}

static void do_read(struct request *r)
{
	uint8_t *p = buffer(r);
	size_t len = r->arg[2], n;
	char *text;

	if (!p)
		return;
	text = malloc(2 * len + 16);
	if (text) {
		host_access(r->q, r->arg[1], p, len, false);
		memcpy(text, "OK ", 3);
		n = 3 + (*r->w[0] == 'b' ? to_b64(p, len, text + 3) : to_hex(p, len, text + 3));
		text[n] = 0;
		proto_log(r->q, 'S', text);
		text[n] = '\n';
		chan_send(&r->q->proto, text, n + 1);
	} else {
		reply(r->q, "FAIL no memory");
	}
	free(text);
	free(p);
}

static void do_write(struct request *r)
{
	uint8_t *p = buffer(r);
	bool good;

	if (!p)
		return;
	good = *r->w[0] == 'b' ? from_b64(r->w[3], p, r->arg[2]) : from_hex(r->w[3], p, r->arg[2]);
	if (good)
		host_access(r->q, r->arg[1], p, r->arg[2], true);
	reply(r->q, good ? "OK" : "FAIL bad data");
	free(p);
}

static void do_memset(struct request *r)
{
	uint8_t *p;

	/* libqtest leaves a memset of nothing to us. */
	if (!r->arg[2]) {
		reply(r->q, "OK");
		return;
	}
	p = buffer(r);
	if (!p)
		return;
	memset(p, (int)(r->arg[3] & 0xff), r->arg[2]);
	host_access(r->q, r->arg[1], p, r->arg[2], true);
	reply(r->q, "OK");
	free(p);
}

static void do_endianness(struct request *r)
{
	reply(r->q, "OK little");
}

static void do_clock_step(struct request *r)
{
	uint64_t now = r->q->m.now_ns, to = HOST_NEXT_TIMER;

	if (r->n == 2 && (r->arg[1] > INT64_MAX || now + r->arg[1] > INT64_MAX)) {
		reply(r->q, "FAIL beyond the end of time");
		return;
	}
	if (r->n == 2)
		to = now + r->arg[1];
	reply(r->q, "OK %llu", (unsigned long long)host_clock(r->q, to));
}

static void do_clock_set(struct request *r)
{
	if (r->arg[1] > INT64_MAX)
		reply(r->q, "FAIL beyond the end of time");
	else
		reply(r->q, "OK %llu", (unsigned long long)host_clock(r->q, r->arg[1]));
}

static void do_intercept(struct request *r)
{
	/* They go on to the IOAPIC all the same: no one hears of its messages. */
	if (strcmp(r->w[0], "irq_intercept_in") || strcmp(r->w[1], "ioapic")) {
		reply(r->q, "FAIL only irq_intercept_in ioapic is there");
		return;
	}
	r->q->intercept = true;
	reply(r->q, "OK");
}

static const struct command {
	const char *name;
	void (*run)(struct request *r);
	uint8_t size;
	uint8_t min, max; /* words, the name included */
	uint8_t numbers;  /* bit n: word n is one */
} commands[] = {
	{ "inb", do_port, 1, 2, 2, 2 },
	{ "inw", do_port, 2, 2, 2, 2 },
	{ "inl", do_port, 4, 2, 2, 2 },
	{ "outb", do_port, 1, 3, 3, 6 },
	{ "outw", do_port, 2, 3, 3, 6 },
	{ "outl", do_port, 4, 3, 3, 6 },
	{ "readb", do_mem, 1, 2, 2, 2 },
	{ "readw", do_mem, 2, 2, 2, 2 },
	{ "readl", do_mem, 4, 2, 2, 2 },
	{ "readq", do_mem, 8, 2, 2, 2 },
	{ "writeb", do_mem, 1, 3, 3, 6 },
	{ "writew", do_mem, 2, 3, 3, 6 },
	{ "writel", do_mem, 4, 3, 3, 6 },
	{ "writeq", do_mem, 8, 3, 3, 6 },
	{ "read", do_read, 0, 3, 3, 6 },
	{ "b64read", do_read, 0, 3, 3, 6 },
	{ "write", do_write, 0, 4, 4, 6 },
	{ "b64write", do_write, 0, 4, 4, 6 },
	{ "memset", do_memset, 0, 4, 4, 14 },
	{ "endianness", do_endianness, 0, 1, 1, 0 },
	{ "clock_step", do_clock_step, 0, 1, 2, 2 },
	{ "clock_set", do_clock_set, 0, 2, 2, 2 },
	{ "irq_intercept_in", do_intercept, 0, 2, 2, 0 },
	{ "irq_intercept_out", do_intercept, 0, 2, 3, 0 },
};

void proto_request(struct qtest *q, char *line)
{
	char *w[MAX_WORDS], *save;
	struct request r = { .q = q, .w = w };
	const struct command *c = NULL;

	proto_log(q, 'R', line);
	for (char *p = strtok_r(line, " \r", &save); p && r.n < MAX_WORDS;
	     p = strtok_r(NULL, " \r", &save))
		w[r.n++] = p;
	if (!r.n)
		return;
	for (unsigned i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (strcmp(commands[i].name, w[0]) == 0)
			c = &commands[i];
	if (!c) {
		reply(q, "FAIL Unknown command '%.40s'", w[0]);
		return;
	}
	for (unsigned i = 1; i < r.n; i++)
		if (c->numbers >> i & 1 && !number(w[i], &r.arg[i])) {
			reply(q, "FAIL '%.40s' is no number", w[i]);
			return;
		}
	if (r.n < c->min || r.n > c->max) {
		reply(q, "FAIL wrong number of arguments");
		return;
	}
	r.size = c->size;
	c->run(&r);
}
