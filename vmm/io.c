/* SPDX-License-Identifier: BSD-2-Clause */
/* io.c - the I/O thread: back ends, the timer, the I/O context, and resets, which need everyone still. */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "vmm/domain.h"

/* SIO_OP_TIMER: the earliest wish counts. */
void io_timer(struct domain *d, uint64_t deadline_ns)
{
	pthread_mutex_lock(&d->timer_lock);
	if (deadline_ns < d->timer_ns) {
		uint64_t at = d->start_mono_ns + deadline_ns;
		struct itimerspec it = { .it_value = { .tv_sec = (time_t)(at / 1000000000u),
						       .tv_nsec = (long)(at % 1000000000u) } };

		d->timer_ns = deadline_ns;
		timerfd_settime(d->timer_fd, TFD_TIMER_ABSTIME, &it, NULL);
	}
	pthread_mutex_unlock(&d->timer_lock);
}

static void timer_fired(struct domain *d)
{
	uint64_t n;

	pthread_mutex_lock(&d->timer_lock);
	if (read(d->timer_fd, &n, sizeof(n)) == sizeof(n)) {
		d->timer_ns = UINT64_MAX;
		d->events |= SIO_EVENT_TIMER;
	}
	pthread_mutex_unlock(&d->timer_lock);
}

void domain_signal(void *ctx, unsigned window)
{
	struct domain *d = ctx;
	uint64_t one = 1;

	/* The I/O thread looks at events before it sleeps: it needs no wake-up from itself. */
	if (atomic_fetch_or(&d->events, 1ull << window) == 0 &&
	    !pthread_equal(pthread_self(), d->io_thread))
		if (write(d->kick_fd, &one, sizeof(one)) < 0 && errno != EAGAIN)
			msg("can't wake the I/O thread: %s", strerror(errno));
}

static void wait_parked(struct domain *d)
{
	pthread_mutex_lock(&d->park_lock);
	while (d->n_parked < d->n_vcpus && d->wish != WISH_STOP) {
		struct timespec ts;

		/* A kick may be lost to a vCPU that was about to enter the firmware: kick again. */
		pthread_mutex_unlock(&d->park_lock);
		domain_kick_all(d);
		pthread_mutex_lock(&d->park_lock);
		if (d->n_parked == d->n_vcpus)
			break;
		clock_gettime(CLOCK_REALTIME, &ts);
		ts.tv_nsec += 10000000;
		if (ts.tv_nsec >= 1000000000) {
			ts.tv_nsec -= 1000000000;
			ts.tv_sec++;
		}
		pthread_cond_timedwait(&d->parked_cond, &d->park_lock, &ts);
	}
	pthread_mutex_unlock(&d->park_lock);
}

static int reset_irqchip(struct domain *d)
{
	for (unsigned i = 0; i < 3; i++)
		if (ioctl(d->guest_vm, KVM_SET_IRQCHIP, &d->irqchip0[i]) < 0)
			return fail_errno("can't reset the interrupt controllers");
	if (ioctl(d->guest_vm, KVM_SET_PIT2, &d->pit0) < 0)
		return fail_errno("can't reset the PIT");
	memset(d->irq_level, 0, sizeof(d->irq_level));
	return 0;
}

/* The domain's reset line: back ends come to rest, models and processors start over. */
static void reset(struct domain *d)
{
	int r = 0;

	wait_parked(d);
	if (d->wish == WISH_STOP)
		return;
	for (unsigned i = 0; i < d->opt->n_disks; i++)
		blk_drain(d->disk[i]);
	if (d->fw_dead) {
		d->fw_resets++;
		r = domain_start_firmware(d);
	} else {
		struct context *c = &d->vcpu[0].ctx;

		d->resets++;
		c->last = c->slot->req =
			(struct sio_request){ .kind = SIO_REQ_RESET, .now_ns = domain_now_ns(d) };
		vcpu_thread_init(c->run, d->io.run);
		/* A failure here asks for the firmware's own reset, next time round. */
		if (context_run(c))
			r = d->wish == WISH_RESET ? domain_start_firmware(d) : -1;
		vcpu_thread_init(d->io.run, NULL);
	}
	memory_reset_bios(d);
	r = r ? r : reset_irqchip(d);
	for (unsigned i = 0; i < d->n_vcpus && r == 0; i++)
		r = vcpu_reset(&d->vcpu[i]);
	if (r) {
		domain_wish(d, WISH_STOP, 1);
		return;
	}
	pthread_mutex_lock(&d->park_lock);
	if (d->wish == WISH_RESET)
		d->wish = WISH_NONE;
	d->generation++;
	pthread_cond_broadcast(&d->resume_cond);
	pthread_mutex_unlock(&d->park_lock);
}

static void watch(int ep, int fd, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.fd = fd };

	if (fd >= 0)
		epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev);
}

void *io_main(void *arg)
{
	struct domain *d = arg;
	int ep = epoll_create1(EPOLL_CLOEXEC);
	struct timespec ts;

	vcpu_thread_init(d->io.run, NULL);
	d->io.thread = d->io_thread = pthread_self();
	watch(ep, d->kick_fd, EPOLLIN);
	watch(ep, d->timer_fd, EPOLLIN);
	watch(ep, blk_ring_fd(d->ring), EPOLLIN);
	watch(ep, console_fd(d->console), EPOLLIN);
	while (d->wish != WISH_STOP) {
		struct epoll_event ev[8];
		int n;

		if (d->wish == WISH_RESET) {
			reset(d);
			continue;
		}
		if (d->events) {
			struct context *c = &d->io;

			c->last = (struct sio_request){ .kind = SIO_REQ_EVENT,
							.events = atomic_exchange(&d->events, 0),
							.now_ns = domain_now_ns(d) };
			c->slot->req = c->last;
			context_run(c);
			continue;
		}
		n = epoll_wait(ep, ev, 8, -1);
		for (int i = 0; i < n; i++) {
			uint64_t v;

			if (ev[i].data.fd == d->kick_fd) {
				if (read(d->kick_fd, &v, sizeof(v)) < 0 && errno != EAGAIN)
					msg("kick: %s", strerror(errno));
			} else if (ev[i].data.fd == d->timer_fd) {
				timer_fired(d);
			} else if (ev[i].data.fd == blk_ring_fd(d->ring)) {
				blk_ring_ready(d->ring);
			} else {
				console_ready(d->console);
			}
		}
	}
	/* vCPUs that wait for a reset go home. */
	pthread_mutex_lock(&d->park_lock);
	d->generation++;
	pthread_cond_broadcast(&d->resume_cond);
	pthread_mutex_unlock(&d->park_lock);
	for (unsigned i = 0; i < d->opt->n_disks; i++)
		blk_drain(d->disk[i]);
	close(ep);
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	d->io_cpu_ns = (uint64_t)ts.tv_sec * 1000000000ull + (uint64_t)ts.tv_nsec;
	return NULL;
}
