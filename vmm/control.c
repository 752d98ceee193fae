/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * control.c - the control socket's server.
 *
 * A peer has a line of input and one answer on its way; its next request is not read before that is gone,
 * and not sooner than REQUEST_NS after the last.  Peers above CONTROL_PEERS take the place of the one that
 * has said nothing for longest.
 */
#include "vmm/control.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "vmm/domain.h"
#include "vmm/json.h"

#define REQUEST_MAX  1024u /* of a request */
#define REQUEST_NS   10000000u
#define ACCEPTS      4u /* in one turn */
#define PAUSE_NS     1000000000ull
#define LOCK_TRIES   100u /* of 10 ms */
#define REQUEST_TREE 32u

struct peer {
	int fd; /* -1: free */
	char line[REQUEST_MAX + 1];
	size_t len;
	char *out; /* NULL: no answer is on its way */
	size_t out_len, out_at;
	bool last; /* closed after the answer */
	uint64_t active_ns, next_ns;
};

struct control {
	struct domain *d;
	int dir, fd;
	char name[CONTROL_NAME_MAX + 8];
	struct stat made;
	uint64_t pause_ns; /* no descriptors: nobody is let in until then */
	struct peer peer[CONTROL_PEERS];
};

/* Where it is. */

bool control_name_ok(const char *name)
{
	static const char chars[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-";

	return *name && strlen(name) <= CONTROL_NAME_MAX && strspn(name, chars) == strlen(name) &&
	       *name != '.' && *name != '-' && strspn(name, "0123456789") != strlen(name);
}

int control_dir(bool create, char *path, size_t room)
{
	const char *run = getenv("XDG_RUNTIME_DIR");
	struct stat st;
	int fd;

	if (run && *run == '/')
		snprintf(path, room, "%s/selfio", run);
	else if (geteuid() == 0)
		snprintf(path, room, "/run/selfio");
	else
		snprintf(path, room, "/tmp/selfio-%u", (unsigned)geteuid());
	if (create && mkdir(path, 0700) < 0 && errno != EEXIST)
		return -1;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -1;
	if (fstat(fd, &st) < 0 || st.st_uid != geteuid() || st.st_mode & 077) {
		close(fd);
		errno = EPERM;
		return -1;
	}
	return fd;
}

/* By the folder's descriptor: it is the folder that was looked at, and no path is too long. */
static struct sockaddr_un address(int dir, const char *file)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };

	snprintf(a.sun_path, sizeof(a.sun_path), "/proc/self/fd/%d/%s", dir, file);
	return a;
}

static int make_socket(void)
{
	return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

/* Between a socket's name and its first listen(), and a look and a removal, nobody else may come. */
static int lock(int dir)
{
	struct timespec wait = { .tv_nsec = 10000000 };
	int r = -1;

	for (unsigned i = 0; i < LOCK_TRIES && r; i++) {
		r = flock(dir, LOCK_EX | LOCK_NB);
		if (r && errno != EWOULDBLOCK)
			return -1;
		if (r)
			nanosleep(&wait, NULL);
	}
	return r;
}

/* A connection; -1: nobody listens, errno is ECONNREFUSED then. */
static int try_connect(int dir, const char *file)
{
	struct sockaddr_un a = address(dir, file);
	int fd = make_socket(), e;

	if (fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0)
		return fd;
	e = errno;
	if (fd >= 0)
		close(fd);
	errno = e;
	return -1;
}

/* Removes a socket that nobody listens at. Locked. */
static void remove_stale(int dir, const char *file)
{
	int fd = try_connect(dir, file);

	if (fd >= 0)
		close(fd);
	else if (errno == ECONNREFUSED)
		unlinkat(dir, file, 0);
}

int control_connect(int dir, const char *name, pid_t *pid)
{
	char file[CONTROL_NAME_MAX + 8];
	struct ucred cred = { 0 };
	socklen_t len = sizeof(cred);
	int fd, e;

	snprintf(file, sizeof(file), "%.*s.sock", (int)CONTROL_NAME_MAX, name);
	fd = try_connect(dir, file);
	e = errno;
	if (fd < 0 && e == ECONNREFUSED && lock(dir) == 0) {
		remove_stale(dir, file);
		flock(dir, LOCK_UN);
	}
	if (fd >= 0 && getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) == 0)
		*pid = cred.pid;
	errno = e;
	return fd;
}

/* The server. */

struct control *control_open(struct domain *d)
{
	struct control *c = calloc(1, sizeof(*c));
	struct sockaddr_un a;
	char path[512];

	if (!c)
		return NULL;
	c->d = d;
	for (unsigned i = 0; i < CONTROL_PEERS; i++)
		c->peer[i].fd = -1;
	if (d->opt->name)
		snprintf(c->name, sizeof(c->name), "%s.sock", d->opt->name);
	else
		snprintf(c->name, sizeof(c->name), "%d.sock", (int)getpid());
	c->fd = make_socket();
	c->dir = control_dir(true, path, sizeof(path));
	if (c->dir < 0 && errno == EPERM) {
		msg("warning: no control socket: %s must be ours, with mode 0700", path);
		goto no;
	}
	if (c->dir < 0 || c->fd < 0 || lock(c->dir))
		goto fail;
	remove_stale(c->dir, c->name);
	a = address(c->dir, c->name);
	if (bind(c->fd, (struct sockaddr *)&a, sizeof(a)) < 0) {
		if (errno != EADDRINUSE)
			goto fail;
		msg("warning: no control socket: %s/%s is another domain's (--name)", path,
		    c->name);
		goto no;
	}
	if (fstatat(c->dir, c->name, &c->made, AT_SYMLINK_NOFOLLOW) < 0 || listen(c->fd, 64) < 0) {
		unlinkat(c->dir, c->name, 0);
		goto fail;
	}
	flock(c->dir, LOCK_UN);
	return c;
fail:
	fail_errno("warning: no control socket in %s", path);
no:
	if (c->fd >= 0)
		close(c->fd);
	if (c->dir >= 0)
		close(c->dir);
	free(c);
	return NULL;
}

static void hang_up(struct peer *p)
{
	close(p->fd);
	free(p->out);
	*p = (struct peer){ .fd = -1 };
}

static void send_answer(struct peer *p)
{
	ssize_t n = send(p->fd, p->out + p->out_at, p->out_len - p->out_at, MSG_NOSIGNAL);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n < 0) {
		hang_up(p);
		return;
	}
	p->out_at += (size_t)n;
	if (p->out_at < p->out_len)
		return;
	free(p->out);
	p->out = NULL;
	if (p->last)
		hang_up(p);
}

/* One line. */
static void answer(struct peer *p, const char *text)
{
	p->out = strdup(text);
	p->out_len = p->out ? strlen(p->out) : 0;
	p->out_at = 0;
	if (p->out)
		send_answer(p);
	else
		hang_up(p);
}

static void answer_stats(struct control *c, struct peer *p)
{
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);

	if (!f) {
		answer(p, "{\"error\": \"no memory\"}\n");
		return;
	}
	stats_print(c->d, f);
	if (fclose(f)) {
		free(text);
		answer(p, "{\"error\": \"no memory\"}\n");
		return;
	}
	for (size_t i = 0; i + 1 < len; i++)
		if (text[i] == '\n')
			text[i] = ' ';
	p->out = text;
	p->out_len = len;
	p->out_at = 0;
	send_answer(p);
}

static void request(struct control *c, struct peer *p, const char *line, size_t len)
{
	struct json_node node[REQUEST_TREE];
	const struct json_node *cmd =
		json_parse(line, len, node, REQUEST_TREE) > 0 ? json_get(line, node, "cmd") : NULL;

	if (!cmd || cmd->type != JSON_STRING) {
		answer(p, "{\"error\": \"not a request: give {\\\"cmd\\\": NAME}\"}\n");
	} else if (json_is(line, cmd, "stats")) {
		answer_stats(c, p);
	} else if (json_is(line, cmd, "stop")) {
		msg("control socket: stopping the domain");
		domain_wish(c->d, WISH_STOP, 0);
		answer(p, "{\"ok\": true}\n");
	} else if (json_is(line, cmd, "powerdown")) {
		/* What comes of it is the guest's affair. */
		io_signal(c->d->home[c->d->opt->place[SIO_PLACE_PM]], SIO_EVENT_BUTTON);
		answer(p, "{\"ok\": true}\n");
	} else if (json_is(line, cmd, "reset")) {
		/* As the guest's own. */
		msg("control socket: resetting the domain");
		domain_wish(c->d, c->d->opt->no_reboot ? WISH_STOP : WISH_RESET, 0);
		answer(p, "{\"ok\": true}\n");
	} else {
		answer(p, "{\"error\": \"unknown command\"}\n");
	}
}

/* The first line that is there. */
static void take_line(struct control *c, struct peer *p, uint64_t now)
{
	char *end = memchr(p->line, '\n', p->len);
	char line[REQUEST_MAX + 1];
	size_t len = end ? (size_t)(end - p->line) : 0;

	if (!end && p->len < REQUEST_MAX)
		return;
	p->next_ns = now + REQUEST_NS;
	p->active_ns = now;
	if (!end) {
		p->last = true;
		answer(p, "{\"error\": \"the line is too long\"}\n");
		return;
	}
	memcpy(line, p->line, len);
	line[len] = 0;
	p->len -= len + 1;
	memmove(p->line, end + 1, p->len);
	request(c, p, line, len);
}

static void receive(struct peer *p)
{
	ssize_t n = recv(p->fd, p->line + p->len, REQUEST_MAX - p->len, 0);

	if (n > 0)
		p->len += (size_t)n;
	else if (n == 0 || (errno != EAGAIN && errno != EINTR))
		hang_up(p);
}

static bool allowed(int fd)
{
	struct ucred cred = { .uid = (uid_t)-1 };
	socklen_t len = sizeof(cred);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) == 0 &&
	       (cred.uid == 0 || cred.uid == geteuid());
}

static void let_in(struct control *c, uint64_t now)
{
	for (unsigned k = 0; k < ACCEPTS; k++) {
		int fd = accept4(c->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		struct peer *p = &c->peer[0];

		if (fd < 0 && (errno == EAGAIN || errno == ECONNABORTED || errno == EINTR))
			return;
		if (fd < 0) {
			c->pause_ns = now + PAUSE_NS;
			return;
		}
		if (!allowed(fd)) {
			close(fd);
			continue;
		}
		for (unsigned i = 0; i < CONTROL_PEERS && p->fd >= 0; i++)
			if (c->peer[i].fd < 0 || c->peer[i].active_ns < p->active_ns)
				p = &c->peer[i];
		if (p->fd >= 0)
			hang_up(p);
		p->fd = fd;
		p->active_ns = now;
	}
}

static bool has_line(const struct peer *p)
{
	return p->len == REQUEST_MAX || memchr(p->line, '\n', p->len);
}

void control_prepare(struct control *c, struct pollfd *p, int *timeout)
{
	uint64_t now = domain_now_ns(c->d);

	p[0] = (struct pollfd){ .fd = now < c->pause_ns ? -1 : c->fd, .events = POLLIN };
	for (unsigned i = 0; i < CONTROL_PEERS; i++) {
		const struct peer *peer = &c->peer[i];
		bool waits = peer->fd >= 0 && !peer->out && now < peer->next_ns;
		int ms = waits ? (int)((peer->next_ns - now) / 1000000) + 1 : *timeout;

		if (peer->fd >= 0 && !peer->out && !waits && has_line(peer))
			ms = 0;
		if (ms < *timeout)
			*timeout = ms;
		p[1 + i] = (struct pollfd){ .fd = waits ? -1 : peer->fd,
					    .events = peer->out ? POLLOUT : POLLIN };
	}
}

void control_serve(struct control *c, const struct pollfd *p)
{
	uint64_t now = domain_now_ns(c->d);

	for (unsigned i = 0; i < CONTROL_PEERS; i++) {
		struct peer *peer = &c->peer[i];

		if (peer->fd < 0)
			continue;
		if (peer->out) {
			if (p[1 + i].revents)
				send_answer(peer);
			continue;
		}
		if (now < peer->next_ns)
			continue;
		if (p[1 + i].revents && !has_line(peer))
			receive(peer);
		if (peer->fd >= 0)
			take_line(c, peer, now);
	}
	if (p[0].revents)
		let_in(c, now);
}

void control_close(struct control *c)
{
	struct stat st;

	if (!c)
		return;
	for (unsigned i = 0; i < CONTROL_PEERS; i++)
		if (c->peer[i].fd >= 0)
			hang_up(&c->peer[i]);
	if (fstatat(c->dir, c->name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    st.st_ino == c->made.st_ino && st.st_dev == c->made.st_dev)
		unlinkat(c->dir, c->name, 0);
	close(c->fd);
	close(c->dir);
	free(c);
}
