/* SPDX-License-Identifier: BSD-2-Clause */
#include "placements/qtest/qtest.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define MAX_BUFFER (2 * MAX_DATA + 4096u) /* a write request in hexadecimal */

int chan_connect(struct chan *c, const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };

	if (strlen(path) >= sizeof(a.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	strcpy(a.sun_path, path);
	c->in = c->out = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	return c->in < 0 ? -1 : connect(c->in, (struct sockaddr *)&a, sizeof(a));
}

void chan_fill(struct chan *c)
{
	ssize_t n;

	if (c->start)
		memmove(c->buf, c->buf + c->start, c->len - c->start);
	c->len -= c->start;
	c->start = 0;
	if (c->cap - c->len < 4096) {
		size_t cap = c->cap ? c->cap * 2 : 8192;
		char *p = cap > 2 * MAX_BUFFER ? NULL : realloc(c->buf, cap);

		if (!p) {
			msg("a request is too long");
			c->closed = true;
			return;
		}
		c->buf = p;
		c->cap = cap;
	}
	n = read(c->in, c->buf + c->len, c->cap - c->len);
	if (n > 0)
		c->len += (size_t)n;
	else if (n == 0 || (errno != EINTR && errno != EAGAIN))
		c->closed = true;
}

char *chan_line(struct chan *c)
{
	char *line, *end;

	if (c->start == c->len)
		return NULL;
	line = c->buf + c->start;
	end = memchr(line, '\n', c->len - c->start);
	if (!end)
		return NULL;
	*end = 0;
	c->start = (size_t)(end - c->buf) + 1;
	return line;
}

void chan_send(struct chan *c, const char *data, size_t n)
{
	while (n && c->out >= 0) {
		ssize_t w = write(c->out, data, n);

		if (w < 0 && errno == EINTR)
			continue;
		if (w < 0) {
			c->closed = true;
			return;
		}
		data += w;
		n -= (size_t)w;
	}
}

static size_t s_write(struct chr *chr, const uint8_t *buf, size_t n)
{
	struct serial *s = (struct serial *)chr;
	struct pollfd p = { .fd = s->fd, .events = POLLOUT };
	ssize_t w;

	if (s->fd < 0)
		return n;
	/* A regular file is always ready; a socket may take less than offered. */
	s->full = poll(&p, 1, 0) == 0;
	if (s->full)
		return 0;
	w = s->in ? send(s->fd, buf, n, MSG_DONTWAIT | MSG_NOSIGNAL) : write(s->fd, buf, n);
	if (w < 0)
		return errno == EAGAIN ? 0 : n; /* the far end is gone: the line is open */
	s->full = (size_t)w < n;
	return (size_t)w;
}

static size_t s_read(struct chr *chr, uint8_t *buf, size_t n)
{
	struct serial *s = (struct serial *)chr;

	n = n < s->len - s->start ? n : s->len - s->start;
	memcpy(buf, s->buf + s->start, n);
	s->start += n;
	return n;
}

void serial_init(struct serial *s, int fd, bool in)
{
	*s = (struct serial){ .chr = { .write = s_write, .read = s_read }, .fd = fd, .in = in };
}

short serial_events(const struct serial *s)
{
	return (short)((s->in && s->start == s->len ? POLLIN : 0) | (s->full ? POLLOUT : 0));
}

void serial_ready(struct serial *s, short revents)
{
	if (s->in && s->start == s->len && (revents & (POLLIN | POLLHUP | POLLERR))) {
		ssize_t n = read(s->fd, s->buf, sizeof(s->buf));

		s->start = 0;
		s->len = n > 0 ? (size_t)n : 0;
		if (n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN)) {
			close(s->fd);
			s->fd = -1;
			s->in = s->full = false;
		}
	}
	if (revents & POLLOUT)
		s->full = false;
	if (revents && s->chr.ready)
		s->chr.ready(s->chr.owner);
}
