/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * net_user.c - a network device's port to passt, a process of its own that turns the guest's traffic
 * into the host's connections (passt(1)).
 *
 * It gets its end of a socket pair as --fd, and ends when ours is closed, whatever becomes of us.  What
 * it says is read when it has ended, to say why.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "backends/net_int.h"

#define PASST    "passt"
#define THEIR_FD 3
#define MTU      "1500"         /* what every card can do; later versions say 65520 by themselves */
#define LASTS    (10 * NET_SEC) /* so long it must run not to count as a failure */
/* Until it is started again: a driver may look at the link every 2 s only (Linux's e1000), and is to see that it
 * was lost.  Doubled up to MAX_BACKOFF times. */
#define RETRY       (3 * NET_SEC)
#define MAX_BACKOFF 4u
#define CLOSE_MS    1000

extern char **environ;

static bool in_path(const char *name)
{
	const char *p = getenv("PATH"), *end;
	char file[512];

	for (; p && *p; p = *end ? end + 1 : end) {
		end = strchrnul(p, ':');
		snprintf(file, sizeof(file), "%.*s/%s", (int)(end - p), p, name);
		if (!access(file, X_OK))
			return true;
	}
	return false;
}

static bool user_open(struct net_dev *nd, char *err, size_t errlen)
{
	snprintf(nd->where, sizeof(nd->where), "user: passt");
	if (in_path(PASST))
		return true;
	snprintf(err, errlen,
		 "%s: there is no passt here; install it (the package is called passt)", nd->name);
	return false;
}

static int spawn(struct net_dev *nd, int their_fd, int err_fd)
{
	const char *argv[9 + 2 * NETDEV_MAX_FWD] = {
		PASST, "--foreground", "--quiet", "--mtu", MTU, "--fd", "3",
	};
	posix_spawn_file_actions_t fa;
	posix_spawnattr_t attr;
	sigset_t none, all;
	unsigned n = 7, i;
	pid_t pid;
	int rc;

	for (i = 0; i < nd->o.n_fwd; i++) {
		argv[n++] = nd->o.fwd[i].udp ? "-u" : "-t";
		argv[n++] = nd->o.fwd[i].ports;
	}
	sigemptyset(&none);
	sigfillset(&all);
	posix_spawn_file_actions_init(&fa);
	posix_spawnattr_init(&attr);
	/* Not by a Ctrl-C that is meant for the guest; with our signals' dispositions undone. */
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
						POSIX_SPAWN_SETSIGDEF);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setsigdefault(&attr, &all);
	posix_spawn_file_actions_addopen(&fa, 0, "/dev/null", O_RDWR, 0);
	posix_spawn_file_actions_adddup2(&fa, 0, 1);
	posix_spawn_file_actions_adddup2(&fa, err_fd, 2);
	posix_spawn_file_actions_adddup2(&fa, their_fd, THEIR_FD);
	posix_spawn_file_actions_addclosefrom_np(&fa, THEIR_FD + 1);
	rc = posix_spawnp(&pid, PASST, &fa, &attr, (char *const *)(uintptr_t)argv, environ);
	posix_spawn_file_actions_destroy(&fa);
	posix_spawnattr_destroy(&attr);
	if (rc) {
		errno = rc;
		return -1;
	}
	nd->pid = pid;
	return 0;
}

/* Above the numbers that the child's are put to, so that none overwrites another. */
static int high(int fd)
{
	int copy = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 10);

	if (fd >= 0)
		close(fd);
	return copy;
}

static void again(struct net_dev *nd)
{
	unsigned n = nd->failures < MAX_BACKOFF ? nd->failures : MAX_BACKOFF;

	nd->failures++;
	nd->retry_at = net_now() + (RETRY << n);
}

static void user_start(struct net_dev *nd)
{
	int sp[2] = { -1, -1 }, out[2] = { -1, -1 }, pidfd;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sp) ||
	    pipe2(out, O_CLOEXEC | O_NONBLOCK) || (sp[1] = high(sp[1])) < 0 ||
	    (out[1] = high(out[1])) < 0 || fcntl(sp[0], F_SETFL, O_NONBLOCK) ||
	    spawn(nd, sp[1], out[1]))
		goto fail;
	pidfd = pidfd_open(nd->pid, 0);
	if (pidfd < 0) {
		int error = errno;

		kill(nd->pid, SIGKILL);
		waitpid(nd->pid, NULL, 0);
		nd->pid = 0;
		errno = error;
		goto fail;
	}
	close(sp[1]);
	close(out[1]);
	if (nd->err_fd >= 0)
		close(nd->err_fd);
	nd->err_fd = out[0];
	nd->started_at = net_now();
	net_set_aux(nd, pidfd);
	net_set_fd(nd, sp[0]);
	net_set_link(nd, true);
	return;
fail:
	net_say(nd, "passt: %s: trying again", strerror(errno));
	for (unsigned i = 0; i < 2; i++) {
		if (sp[i] >= 0)
			close(sp[i]);
		if (out[i] >= 0)
			close(out[i]);
	}
	again(nd);
}

/* The last line that it wrote, printable. */
static void last_words(struct net_dev *nd, char *text, size_t size)
{
	char buf[2048];
	ssize_t n = 0, got, i, from;
	size_t to = 0;

	while ((got = read(nd->err_fd, buf + n, sizeof(buf) - (size_t)n)) > 0) {
		n += got;
		if (n == sizeof(buf)) { /* the end is what counts */
			memmove(buf, buf + n / 2, (size_t)n / 2);
			n /= 2;
		}
	}
	while (n && buf[n - 1] == '\n')
		n--;
	for (from = n; from && buf[from - 1] != '\n'; from--)
		;
	for (i = from; i < n && to + 1 < size; i++)
		text[to++] = buf[i] >= ' ' && buf[i] < 127 ? buf[i] : '?';
	text[to] = 0;
}

/* It has ended. */
static void user_event(struct net_dev *nd)
{
	char text[200], how[40];
	int status;

	if (!nd->pid || waitpid(nd->pid, &status, WNOHANG) != nd->pid)
		return;
	nd->pid = 0;
	net_close_io(nd);
	net_set_link(nd, false);
	net_set_aux(nd, -1);
	if (net_now() - nd->started_at > LASTS)
		nd->failures = 0;
	again(nd);
	if (WIFSIGNALED(status))
		snprintf(how, sizeof(how), "signal %d", WTERMSIG(status));
	else
		snprintf(how, sizeof(how), "status %d", WEXITSTATUS(status));
	last_words(nd, text, sizeof(text));
	net_say(nd, "passt has ended (%s%s%s): link down, it is started again in %llu s", how,
		*text ? ": " : "", text,
		(unsigned long long)((nd->retry_at - net_now() + NET_SEC / 2) / NET_SEC));
}

/* It ends, now that the socket is closed, or has: event() follows.  If not by itself, then so. */
static void user_lost(struct net_dev *nd, int error)
{
	if (nd->pid)
		kill(nd->pid, SIGTERM);
}

/* passt takes what Ethernet fills a short frame up with for data: each TCP acknowledgement would carry some. */
static size_t user_unpad(const uint8_t *f, size_t len)
{
	unsigned type = (unsigned)f[12] << 8 | f[13];
	size_t real = len;

	if (type == 0x0800 && len >= 34)
		real = 14u + ((unsigned)f[16] << 8 | f[17]);
	else if (type == 0x86dd && len >= 54)
		real = 54u + ((unsigned)f[18] << 8 | f[19]);
	return real >= 34 && real < len ? real : len;
}

static void user_close(struct net_dev *nd)
{
	struct pollfd p = { .fd = nd->aux.fd, .events = POLLIN };

	if (nd->pid) {
		kill(nd->pid, SIGTERM);
		if (poll(&p, 1, CLOSE_MS) <= 0)
			kill(nd->pid, SIGKILL);
		waitpid(nd->pid, NULL, 0);
		nd->pid = 0;
	}
	if (nd->err_fd >= 0)
		close(nd->err_fd);
}

const struct net_port_ops net_user_ops = {
	.stream = true,
	.open = user_open,
	.start = user_start,
	.event = user_event,
	.lost = user_lost,
	.unpad = user_unpad,
	.close = user_close,
};
