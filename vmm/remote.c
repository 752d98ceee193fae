/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * remote.c - homes in processes of their own, entered through the mailbox in the request slot
 * (include/sio/slot.h): ioemu, and the stub domain.
 *
 * The process gets all it may touch as descriptors: RAM, private memory, boot files, for a stub domain
 * /dev/kvm. Its end is seen by the control thread; whoever waits for an answer looks for that now and then.
 */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "vmm/domain.h"
#include "vmm/mailbox.h"

static void enter(struct context *c, struct leave *l)
{
	struct sio_mailbox_shared *m = &c->slot->mailbox;
	uint64_t spin = c->h->d->opt->spin_us * 1000ull, before, waited;
	int r;

	l->kind = LEAVE_INTR;
	if (c->stuck) /* one who always answers with a call is not interrupted while it waits */
		return;
	if (!c->away) {
		if (c->mmio_data_due)
			m->data = c->mmio_data;
		c->mmio_data_due = false;
		c->away = true;
		mailbox_pass(m, SIO_TURN_HOME);
	}
	before = domain_now_ns(c->h->d);
	r = mailbox_wait(m, SIO_TURN_HOST, c->h->d->opt->spin_us);
	waited = domain_now_ns(c->h->d) - before;
	c->asleep_ns += waited > spin ? waited - spin : 0;
	if (r) /* the control thread sees it too, but not before all homes were started */
		remote_died(c->h);
	if (r && !c->h->gone)
		return;
	if (r) {
		l->kind = LEAVE_BAD;
		snprintf(l->why, sizeof(l->why), "its process is gone");
		return;
	}
	c->away = false;
	l->kind = LEAVE_CALL;
	l->n = *(volatile uint32_t *)&m->leave;
	if (l->n == SIO_LEAVE_MMIO) {
		l->kind = LEAVE_MMIO;
		l->addr = *(volatile uint64_t *)&m->addr;
		l->len = *(volatile uint32_t *)&m->len;
		l->write = *(volatile uint32_t *)&m->write;
		c->mmio_data = *(volatile uint64_t *)&m->data;
		c->mmio_data_due = !l->write;
		l->data = (uint8_t *)&c->mmio_data;
	} else if (l->n == SIO_LEAVE_FAULT) {
		l->kind = LEAVE_BAD;
		snprintf(l->why, sizeof(l->why), "KVM exit %llu in the stub domain",
			 (unsigned long long)*(volatile uint64_t *)&m->data);
	}
}

/* The program beside this one. */
static void program(const char *name, char *path, size_t room)
{
	char exe[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);

	exe[n > 0 ? n : 0] = 0;
	snprintf(path, room, "%s/%s", n > 0 ? dirname(exe) : ".", name);
}

/* In the child: the descriptors that it is to have, from 3 on, and no other. */
static void take_fds(const int *fd, unsigned n)
{
	int high[4 + MAX_BLOBS];

	for (unsigned i = 0; i < n; i++)
		high[i] = fcntl(fd[i], F_DUPFD, 64);
	for (unsigned i = 0; i < n; i++)
		dup2(high[i], 3 + (int)i);
	close_range(3 + n, ~0u, 0);
}

static int spawn(struct home *h, uint64_t entry)
{
	struct domain *d = h->d;
	char path[PATH_MAX + 32], text[3][24];
	char *argv[8] = { path };
	int fd[4 + MAX_BLOBS] = { d->ram_fd, h->priv_fd }, null;
	unsigned n = 2, a = 1;
	sigset_t none;
	pid_t parent = getpid();

	program(h->kind == HOME_STUBDOM ? "selfio" : "selfio-ioemu", path, sizeof(path));
	if (access(path, X_OK) < 0)
		return fail_errno("can't run %s", path);
	if (h->kind == HOME_STUBDOM) {
		argv[a++] = (char *)"stub";
		snprintf(text[0], sizeof(text[0]), "%llx", (unsigned long long)entry);
		argv[a++] = text[0];
		fd[n++] = d->kvm;
	}
	snprintf(text[1], sizeof(text[1]), "%llu", (unsigned long long)h->priv_size);
	snprintf(text[2], sizeof(text[2]), "%u", d->opt->spin_us);
	argv[a++] = text[1];
	argv[a++] = text[2];
	for (unsigned i = 0; i < d->n_blobs; i++)
		fd[n++] = d->blob_fd[i];
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	h->pid = fork();
	if (h->pid < 0)
		return fail_errno("can't start %s", path);
	if (h->pid == 0) {
		/* It goes with us, and takes no signals from our terminal. */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(1);
		setsid();
		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		dup2(null, 0);
		dup2(null, 1);
		take_fds(fd, n);
		execv(path, argv);
		_exit(127);
	}
	close(null);
	h->pidfd = (int)syscall(SYS_pidfd_open, h->pid, 0);
	if (h->pidfd < 0)
		return fail_errno("can't watch %s", path);
	h->gone = false;
	return 0;
}

/* waitpid() that counts the CPU time. */
static pid_t reap(struct home *h, int *status, int options)
{
	struct rusage ru;
	pid_t r = wait4(h->pid, status, options, &ru);

	if (r == h->pid)
		h->past_cpu_ns +=
			(uint64_t)(ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) * 1000000000ull +
			(uint64_t)(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec) * 1000ull;
	return r;
}

static void end(struct home *h)
{
	int status;

	if (h->pidfd < 0)
		return;
	syscall(SYS_pidfd_send_signal, h->pidfd, SIGKILL, NULL, 0);
	reap(h, &status, 0);
	close(h->pidfd);
	h->pidfd = -1;
}

void remote_died(struct home *h)
{
	struct pollfd p = { .fd = h->pidfd, .events = POLLIN };
	int status = 0;

	/* Whoever calls may have seen the end of one that was replaced meanwhile. */
	if (poll(&p, 1, 0) <= 0 || atomic_exchange(&h->gone, true) || h->dead)
		return;
	waitpid(h->pid, &status, WNOHANG | WNOWAIT);
	if (reap(h, &status, WNOHANG) == h->pid && WIFSIGNALED(status))
		msg("the %s process was ended by signal %d (%s)", h->ops->name, WTERMSIG(status),
		    strsignal(WTERMSIG(status)));
	else
		msg("the %s process ended (status %d)", h->ops->name,
		    WIFEXITED(status) ? WEXITSTATUS(status) : -1);
	domain_home_failed(h);
}

static int create(struct home *h)
{
	(void)h;
	return 0;
}

static int start(struct home *h, uint64_t entry)
{
	end(h);
	for (unsigned i = 0; i <= h->d->n_vcpus; i++) {
		h->ctx[i].away = h->ctx[i].mmio_data_due = false;
		h->ctx[i].slot->mailbox.turn = SIO_TURN_HOST;
	}
	return spawn(h, entry);
}

const struct home_ops home_ioemu = {
	.name = "ioemu",
	.apart = true,
	.create = create,
	.start = start,
	.enter = enter,
	.destroy = end,
};

const struct home_ops home_stubdom = {
	.name = "stubdom",
	.apart = true,
	.has_image = true,
	.create = create,
	.start = start,
	.enter = enter,
	.destroy = end,
};
