/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * console.c - virtio console device (virtio 1.2, section 5.3) over standard I/O, a file, a
 * pseudo-terminal, a socket or nothing.
 *
 * Each direction has one descriptor of our own; an epoll descriptor watches those that we wait for.
 * Input goes through a small buffer into whatever buffers the driver has posted; output is written
 * straight from the driver's.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "backends/console.h"

#define ESCAPE     1                      /* Ctrl-A */
#define MAX_CHAINS (4u * VMMIO_QUEUE_MAX) /* taken from a queue in one go */
#define PIECE      512u                   /* a terminal or pipe that polls writable takes so much */

enum kind { STDIO, TO_FILE, PTY, UNIX, NOTHING };

/* What an epoll event is about. */
enum { EV_POKE, EV_IN, EV_OUT, EV_LISTEN };

struct watch {
	int fd; /* -1: none */
	uint32_t events;
	bool added;
	bool cant; /* a regular file: always ready */
};

struct console_dev {
	struct vmmio vm; /* must stay first; its lock guards the rest */
	enum kind kind;
	int epfd, poke_fd, listen_fd;
	struct watch in, out;
	bool out_blocking; /* the descriptor is not ours to make non-blocking: poll first */
	bool tty;          /* input is a terminal, with escapes */
	bool escaped;      /* Ctrl-A came */
	bool quit, told_quit;
	bool told_out; /* the message about lost output was given */
	void (*on_quit)(void *ctx);
	void *quit_ctx;
	char where[128], path[108];
	uint8_t buf[1024]; /* input that the driver has no buffers for yet */
	size_t pos, len;
	bool have_tx; /* tx is a chain in flight, tx_n segments of it unwritten */
	unsigned tx_n;
	struct vq_chain tx, rx;
};

/* The terminal: there is one. */
static struct termios tty_saved;
static volatile sig_atomic_t tty_is_raw;

void console_tty_restore(void)
{
	if (tty_is_raw) {
		tty_is_raw = 0;
		tcsetattr(STDIN_FILENO, TCSANOW, &tty_saved);
	}
}

static void on_fatal(int sig)
{
	int saved = errno;

	console_tty_restore();
	raise(sig); /* SA_RESETHAND: this time it is fatal */
	errno = saved;
}

static void tty_raw(void)
{
	static const int fatal[] = { SIGHUP, SIGQUIT, SIGABRT, SIGSEGV, SIGBUS, SIGILL, SIGFPE };
	struct sigaction sa, old;
	struct termios t;
	unsigned i;

	if (tty_is_raw || tcgetattr(STDIN_FILENO, &tty_saved))
		return;
	for (i = 0; i < sizeof(fatal) / sizeof(fatal[0]); i++) {
		if (sigaction(fatal[i], NULL, &old) || old.sa_handler != SIG_DFL)
			continue;
		sa = (struct sigaction){ .sa_handler = on_fatal, .sa_flags = (int)SA_RESETHAND };
		sigaction(fatal[i], &sa, NULL);
	}
	atexit(console_tty_restore);
	t = tty_saved;
	t.c_iflag &= ~(tcflag_t)(IGNBRK | BRKINT | PARMRK | ISTRIP | INLCR | IGNCR | ICRNL | IXON);
	/* OPOST stays: the host's own messages end in a bare newline. */
	t.c_lflag &= ~(tcflag_t)(ECHO | ECHONL | ICANON | ISIG | IEXTEN);
	t.c_cc[VMIN] = 1;
	t.c_cc[VTIME] = 0;
	tty_is_raw = 1;
	tcsetattr(STDIN_FILENO, TCSANOW, &t);
}

static void poke(struct console_dev *c)
{
	uint64_t one = 1;

	/* Fails only when the counter is full: then it is readable anyway. */
	if (write(c->poke_fd, &one, sizeof(one)) < 0)
		return;
}

static void watch(struct console_dev *c, struct watch *w, uint32_t events, uint32_t what)
{
	struct epoll_event ev = { .events = events, .data.u32 = what };
	int op = w->added ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;

	if (w->fd < 0 || w->cant || (w->added && w->events == events) || (!w->added && !events))
		return;
	/* Hang-ups are reported asked or not: what isn't waited for is taken out. */
	if (!events)
		op = EPOLL_CTL_DEL;
	/* A pty that no one has open hangs up all the time. */
	else if (c->kind == PTY)
		ev.events |= EPOLLET;
	if (epoll_ctl(c->epfd, op, w->fd, &ev))
		w->cant = true;
	w->added = events != 0;
	w->events = events;
}

static void watch_close(struct console_dev *c, struct watch *w)
{
	watch(c, w, 0, 0);
	if (w->fd >= 0)
		close(w->fd);
	*w = (struct watch){ .fd = -1 };
}

static short ready(int fd, short events)
{
	struct pollfd p = { .fd = fd, .events = events };

	return poll(&p, 1, 0) > 0 ? p.revents : 0;
}

static void output_lost(struct console_dev *c, int error)
{
	char text[160];

	if (!c->told_out && c->vm.host->message) {
		snprintf(text, sizeof(text), "console: output is lost from here on: %s",
			 strerror(error));
		c->vm.host->message(c->vm.host->ctx, text);
	}
	c->told_out = true;
}

/* Writes from the front of segments.  Bytes written or dropped, > 0; 0: not now. */
static size_t put(struct console_dev *c, const struct iovec *iov, unsigned n_iov)
{
	struct iovec piece = iov[0];
	size_t all = 0;
	unsigned i;
	ssize_t n;

	for (i = 0; i < n_iov; i++)
		all += iov[i].iov_len;
	if (c->out.fd < 0 || (c->kind == PTY && ready(c->out.fd, POLLOUT) & POLLHUP))
		return all;
	do {
		if (c->out_blocking) {
			if (!ready(c->out.fd, POLLOUT))
				return 0;
			if (piece.iov_len > PIECE)
				piece.iov_len = PIECE;
			n = write(c->out.fd, piece.iov_base, piece.iov_len);
		} else {
			n = writev(c->out.fd, iov, (int)n_iov);
		}
	} while (n < 0 && errno == EINTR);
	if (n > 0)
		return (size_t)n;
	if (n < 0 && errno == EAGAIN)
		return 0;
	if (c->kind == PTY)
		return all;
	if (c->kind != UNIX)
		output_lost(c, n ? errno : EIO);
	watch_close(c, &c->out);
	return all;
}

static void pump_out(struct console_dev *c)
{
	unsigned chains = 0;
	size_t n, part;

	for (;;) {
		if (!c->have_tx) {
			if (chains++ == MAX_CHAINS) {
				poke(c);
				break;
			}
			if (vq_pop(&c->vm, VIRTIO_CONSOLE_TX, &c->tx) <= 0)
				break;
			c->have_tx = true;
			c->tx_n = c->tx.n_out;
		}
		while (c->tx_n) {
			struct iovec *iov = &c->tx.iov[c->tx.n_out - c->tx_n];

			n = put(c, iov, c->tx_n);
			if (!n)
				break;
			while (n) {
				part = iov->iov_len < n ? iov->iov_len : n;
				iov->iov_base = (uint8_t *)iov->iov_base + part;
				iov->iov_len -= part;
				n -= part;
				if (!iov->iov_len) {
					iov++;
					c->tx_n--;
				}
			}
		}
		if (c->tx_n)
			break;
		c->have_tx = false;
		vq_push(&c->vm, VIRTIO_CONSOLE_TX, c->tx.head, 0);
	}
	watch(c, &c->out, c->have_tx ? EPOLLOUT : 0, EV_OUT);
	vq_signal(&c->vm, VIRTIO_CONSOLE_TX);
}

/* Input of a terminal: takes the escapes out, in place; how many bytes are left. */
static size_t unescape(struct console_dev *c, const uint8_t *in, size_t n, uint8_t *to, size_t room)
{
	size_t i, out = 0;

	for (i = 0; i < n; i++) {
		if (!c->escaped && in[i] == ESCAPE) {
			c->escaped = true;
			continue;
		}
		if (c->escaped && in[i] == 'x') {
			c->quit = true;
			return out;
		}
		/* Ctrl-A and something else goes through as it is. */
		if (c->escaped && in[i] != 'a' && in[i] != ESCAPE && out < room)
			to[out++] = ESCAPE;
		/* With no room it is lost, as on a real line: a hung guest must not stop Ctrl-A x. */
		if (out < room)
			to[out++] = c->escaped && in[i] == 'a' ? ESCAPE : in[i];
		c->escaped = false;
	}
	return out;
}

/* Reads what there is, as far as there is room.  False: nothing more for now. */
static bool fill(struct console_dev *c)
{
	uint8_t in[128], *to;
	size_t room;
	ssize_t n;

	if (c->pos && c->pos == c->len)
		c->pos = c->len = 0;
	to = c->buf + c->len;
	room = sizeof(c->buf) - c->len;
	if (c->in.fd < 0 || c->quit || (!room && !c->tty) ||
	    (!c->in.cant && !ready(c->in.fd, POLLIN)))
		return false;
	do {
		n = c->tty ? read(c->in.fd, in, sizeof(in)) : read(c->in.fd, to, room);
	} while (n < 0 && errno == EINTR);
	if (n > 0) {
		c->len += c->tty ? unescape(c, in, (size_t)n, to, room) : (size_t)n;
		if (c->quit)
			poke(c); /* this may be a vCPU's thread */
		return true;
	}
	if (n < 0 && (errno == EAGAIN || c->kind == PTY))
		return false;
	/* The end of it. */
	watch_close(c, &c->in);
	if (c->kind == UNIX)
		watch_close(c, &c->out);
	return false;
}

static void pump_in(struct console_dev *c)
{
	unsigned chains = 0;
	bool more;

	do {
		while (c->pos < c->len) {
			struct iovec *iov;
			size_t n;

			if (chains++ == MAX_CHAINS) {
				poke(c);
				goto out;
			}
			if (vq_pop(&c->vm, VIRTIO_CONSOLE_RX, &c->rx) <= 0)
				break;
			iov = c->rx.iov + c->rx.n_out;
			n = vq_give(iov, &c->rx.n_in, c->buf + c->pos, c->len - c->pos);
			c->pos += n;
			vq_push(&c->vm, VIRTIO_CONSOLE_RX, c->rx.head, (uint32_t)n);
		}
	} while (fill(c));
out:
	more = c->tty || c->pos == c->len || c->len < sizeof(c->buf);
	watch(c, &c->in, more && !c->quit ? EPOLLIN : 0, EV_IN);
	vq_signal(&c->vm, VIRTIO_CONSOLE_RX);
}

static void notify(struct vmmio *d, unsigned q)
{
	struct console_dev *c = (struct console_dev *)d;

	if (q == VIRTIO_CONSOLE_RX)
		pump_in(c);
	else
		pump_out(c);
}

static void dev_reset(struct vmmio *d)
{
	struct console_dev *c = (struct console_dev *)d;

	/* What a slow reader hasn't taken goes with the driver's memory. */
	if (c->have_tx) {
		c->have_tx = false;
		watch(c, &c->out, 0, EV_OUT);
		vq_drop(d, VIRTIO_CONSOLE_TX, c->tx.head);
	}
}

static const struct vmmio_ops ops = {
	.device_id = VIRTIO_ID_CONSOLE,
	.n_queues = 2,
	.notify = notify,
	.reset = dev_reset,
};

/* Opening. */

static bool open_stdio(struct console_dev *c)
{
	struct stat st = { 0 };

	c->tty = isatty(STDIN_FILENO);
	c->in.fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
	/* Non-blocking without doing it to everyone who shares the descriptor (the user's shell): by
	 * a description of our own, unless it is a file, with an offset that is shared on purpose. */
	if (!fstat(STDOUT_FILENO, &st) && (S_ISFIFO(st.st_mode) || S_ISCHR(st.st_mode)))
		c->out.fd = open("/proc/self/fd/1", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (c->out.fd < 0) {
		c->out.fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
		c->out_blocking = !S_ISREG(st.st_mode);
	}
	/* Closed ones are as good as null. */
	return true;
}

static bool open_file(struct console_dev *c, const char *path)
{
	c->out.fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	return c->out.fd >= 0;
}

static bool open_pty(struct console_dev *c)
{
	struct termios t;
	char name[64];
	int slave;

	c->in.fd = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	if (c->in.fd < 0 || grantpt(c->in.fd) || unlockpt(c->in.fd) ||
	    ptsname_r(c->in.fd, name, sizeof(name)))
		return false;
	/* Once opened and closed, it says that no one has it open.  And no echo of the guest's output
	 * as its input. */
	slave = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (slave < 0)
		return false;
	if (!tcgetattr(slave, &t)) {
		cfmakeraw(&t);
		tcsetattr(slave, TCSANOW, &t);
	}
	close(slave);
	c->out.fd = fcntl(c->in.fd, F_DUPFD_CLOEXEC, 3);
	snprintf(c->where, sizeof(c->where), "pty: %s", name);
	return c->out.fd >= 0;
}

static bool open_unix(struct console_dev *c, const char *path)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };

	if (strlen(path) >= sizeof(sa.sun_path)) {
		errno = ENAMETOOLONG;
		return false;
	}
	strcpy(sa.sun_path, path);
	c->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->listen_fd < 0 || bind(c->listen_fd, (struct sockaddr *)&sa, sizeof(sa)))
		return false;
	strcpy(c->path, path); /* ours: removed at the end */
	snprintf(c->where, sizeof(c->where), "socket: %s", path);
	return !listen(c->listen_fd, 1);
}

struct console_dev *console_open(const char *spec, char *err, size_t errlen)
{
	struct console_dev *c = calloc(1, sizeof(*c));
	struct sigaction old;
	struct epoll_event ev = { .events = EPOLLIN };
	bool ok;

	if (!c) {
		snprintf(err, errlen, "console: no memory");
		return NULL;
	}
	c->in.fd = c->out.fd = c->listen_fd = c->poke_fd = -1;
	c->epfd = epoll_create1(EPOLL_CLOEXEC);
	c->poke_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (c->epfd < 0 || c->poke_fd < 0 || epoll_ctl(c->epfd, EPOLL_CTL_ADD, c->poke_fd, &ev))
		goto fail;
	if (!strcmp(spec, "stdio")) {
		c->kind = STDIO;
		ok = open_stdio(c);
	} else if (!strncmp(spec, "file:", 5) && spec[5]) {
		c->kind = TO_FILE;
		ok = open_file(c, spec + 5);
	} else if (!strcmp(spec, "pty")) {
		c->kind = PTY;
		ok = open_pty(c);
	} else if (!strncmp(spec, "unix:", 5) && spec[5]) {
		c->kind = UNIX;
		ok = open_unix(c, spec + 5);
	} else if (!strcmp(spec, "null")) {
		c->kind = NOTHING;
		ok = true;
	} else {
		snprintf(err, errlen,
			 "console: %s: unknown; use stdio, file:PATH, pty, unix:PATH or null",
			 spec);
		console_close(c);
		return NULL;
	}
	if (!ok)
		goto fail;
	/* A reader that goes away ends our output, not us. */
	if (!sigaction(SIGPIPE, NULL, &old) && old.sa_handler == SIG_DFL)
		signal(SIGPIPE, SIG_IGN);
	return c;
fail:
	snprintf(err, errlen, "console: %s: %s%s", spec, strerror(errno),
		 errno == EADDRINUSE ? "; remove it, or name another" : "");
	console_close(c);
	return NULL;
}

void console_attach(struct console_dev *c, const struct vmmio_host *host, unsigned window,
		    void (*quit)(void *ctx), void *quit_ctx)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.u32 = EV_LISTEN };

	vmmio_init(&c->vm, &ops, host, window, "console", 0, NULL, 0);
	c->on_quit = quit;
	c->quit_ctx = quit_ctx;
	if (c->tty)
		tty_raw();
	if (c->listen_fd >= 0)
		epoll_ctl(c->epfd, EPOLL_CTL_ADD, c->listen_fd, &ev);
	pthread_mutex_lock(&c->vm.lock);
	watch(c, &c->in, EPOLLIN, EV_IN);
	pthread_mutex_unlock(&c->vm.lock);
}

struct vmmio *console_vmmio(struct console_dev *c)
{
	return &c->vm;
}

const char *console_where(const struct console_dev *c)
{
	return c->where;
}

int console_fd(struct console_dev *c)
{
	return c->epfd;
}

static void answer(struct console_dev *c)
{
	int fd = accept4(c->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0)
		return;
	if (c->in.fd >= 0) { /* one at a time */
		close(fd);
		return;
	}
	watch_close(c, &c->out);
	c->in.fd = fd;
	c->out.fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
}

void console_ready(struct console_dev *c)
{
	struct epoll_event ev[4];
	uint64_t count;
	bool quit;
	int i, n;

	pthread_mutex_lock(&c->vm.lock);
	n = epoll_wait(c->epfd, ev, 4, 0);
	for (i = 0; i < n; i++) {
		if (ev[i].data.u32 == EV_LISTEN)
			answer(c);
		else if (ev[i].data.u32 == EV_POKE && read(c->poke_fd, &count, sizeof(count)) < 0)
			continue;
	}
	pump_in(c);
	pump_out(c);
	quit = c->quit && !c->told_quit;
	c->told_quit |= quit;
	pthread_mutex_unlock(&c->vm.lock);
	if (quit && c->on_quit)
		c->on_quit(c->quit_ctx);
}

void console_drain(struct console_dev *c, unsigned ms)
{
	struct timespec now;
	struct pollfd p;
	int64_t end, t;

	clock_gettime(CLOCK_MONOTONIC, &now);
	end = now.tv_sec * 1000ll + now.tv_nsec / 1000000 + ms;
	pthread_mutex_lock(&c->vm.lock);
	for (;;) {
		pump_out(c);
		clock_gettime(CLOCK_MONOTONIC, &now);
		t = end - (now.tv_sec * 1000ll + now.tv_nsec / 1000000);
		if (!c->have_tx || t <= 0)
			break;
		p = (struct pollfd){ .fd = c->out.fd, .events = POLLOUT };
		poll(&p, 1, (int)t);
	}
	pthread_mutex_unlock(&c->vm.lock);
}

void console_close(struct console_dev *c)
{
	if (!c)
		return;
	console_tty_restore();
	watch_close(c, &c->in);
	watch_close(c, &c->out);
	if (c->listen_fd >= 0)
		close(c->listen_fd);
	if (c->path[0])
		unlink(c->path);
	if (c->poke_fd >= 0)
		close(c->poke_fd);
	if (c->epfd >= 0)
		close(c->epfd);
	if (c->vm.ops)
		vmmio_destroy(&c->vm);
	free(c);
}
