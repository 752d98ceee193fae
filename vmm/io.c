/* SPDX-License-Identifier: BSD-2-Clause */
/* io.c - the I/O thread: back ends, timers, the I/O contexts, and resets, which need everyone still. */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "vmm/domain.h"

/* SIO_OP_TIMER: the earliest wish counts. */
void io_timer(struct home *h, uint64_t deadline_ns)
{
	pthread_mutex_lock(&h->timer_lock);
	if (deadline_ns < h->timer_ns) {
		uint64_t at = h->d->start_mono_ns + deadline_ns;
		struct itimerspec it = { .it_value = { .tv_sec = (time_t)(at / 1000000000u),
						       .tv_nsec = (long)(at % 1000000000u) } };

		h->timer_ns = deadline_ns;
		timerfd_settime(h->timer_fd, TFD_TIMER_ABSTIME, &it, NULL);
	}
	pthread_mutex_unlock(&h->timer_lock);
}

static void timer_fired(struct home *h)
{
	uint64_t n;

	pthread_mutex_lock(&h->timer_lock);
	if (read(h->timer_fd, &n, sizeof(n)) == sizeof(n)) {
		h->timer_ns = UINT64_MAX;
		h->events |= SIO_EVENT_TIMER;
	}
	pthread_mutex_unlock(&h->timer_lock);
}

/* What there is to do was noted before; pairs with io_main(): it says that it sleeps, and then looks. */
static void wake(struct domain *d)
{
	uint64_t one = 1;

	if (d->io_sleeps && write(d->kick_fd, &one, sizeof(one)) < 0 && errno != EAGAIN)
		msg("can't wake the I/O thread: %s", strerror(errno));
}

void io_kick(struct domain *d)
{
	/* Set already: the I/O thread has not come to it, and will see what was queued now too. */
	if (!atomic_exchange(&d->kicked, true))
		wake(d);
}

void io_signal(void *ctx, unsigned window)
{
	struct home *h = ctx;

	/* The I/O thread looks at events before it sleeps: it needs no wake-up from itself. */
	if (atomic_fetch_or(&h->events, 1ull << window) == 0)
		wake(h->d);
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
	if (d->opt->irqchip) /* the homes have been reset */
		return 0;
	for (unsigned i = 0; i < 3; i++)
		if (ioctl(d->guest_vm, KVM_SET_IRQCHIP, &d->irqchip0[i]) < 0)
			return fail_errno("can't reset the interrupt controllers");
	if (ioctl(d->guest_vm, KVM_SET_PIT2, &d->pit0) < 0)
		return fail_errno("can't reset the PIT");
	memset(d->gsi_level, 0, sizeof(d->gsi_level));
	for (unsigned i = 0; i < N_HOMES; i++)
		if (d->home[i])
			memset(d->home[i]->irq_level, 0, sizeof(d->home[i]->irq_level));
	return 0;
}

/* The models' reset line; a failure asks for fresh homes, next time round. */
static int reset_homes(struct domain *d)
{
	for (unsigned i = 0; i < N_HOMES; i++) {
		struct home *h = d->home[i];
		struct context *c = h ? &h->ctx[0] : NULL;

		if (!h)
			continue;
		c->last = c->slot->req =
			(struct sio_request){ .kind = SIO_REQ_RESET, .now_ns = domain_now_ns(d) };
		vcpu_thread_init(c->run, h->ctx[d->n_vcpus].run);
		if (context_run(c))
			return d->wish == WISH_RESET ? domain_start_homes(d) : -1;
	}
	return 0;
}

static bool some_dead(struct domain *d)
{
	for (unsigned i = 0; i < N_HOMES; i++)
		if (d->home[i] && d->home[i]->dead)
			return true;
	return false;
}

/* The I/O contexts' run pages are this thread's to be kicked out of. */
static void io_thread_init(struct domain *d)
{
	struct home *h = d->home[HOME_FIRMWARE];

	vcpu_thread_init(h ? h->ctx[d->n_vcpus].run : NULL, NULL);
}

/* All stand still: back ends come to rest, models and processors start over. */
static void reset(struct domain *d)
{
	bool guest = d->wish == WISH_RESET;
	int r = 0;

	wait_parked(d);
	if (d->wish == WISH_STOP)
		return;
	if (!some_dead(d))
		fast_flush(d); /* the guest's last words */
	for (unsigned i = 0; i < d->opt->n_disks; i++)
		blk_drain(d->disk[i]);
	fast_reset(d);
	for (unsigned i = 0; i < N_HOMES && guest; i++)
		if (d->home[i])
			home_forget_pci(d->home[i]);
	if (guest && some_dead(d)) {
		d->fw_resets++;
		r = domain_start_homes(d);
	} else if (guest) {
		d->resets++;
		r = reset_homes(d);
	} else {
		d->rehomed++;
		for (unsigned i = 0; i < N_HOMES && r == 0; i++)
			if (d->home[i] && d->home[i]->dead) {
				r = home_start(d->home[i]);
				if (r == 0)
					r = home_restore_pci(d->home[i]);
			}
	}
	io_thread_init(d);
	if (guest) {
		memory_reset_bios(d);
		r = r ? r : reset_irqchip(d);
		for (unsigned i = 0; i < d->n_vcpus && r == 0; i++)
			r = vcpu_reset(&d->vcpu[i]);
	}
	if (r) {
		domain_wish(d, WISH_STOP, 1);
		return;
	}
	pthread_mutex_lock(&d->park_lock);
	if (d->wish <= (guest ? WISH_RESET : WISH_REHOME))
		d->wish = WISH_NONE;
	d->generation++;
	pthread_cond_broadcast(&d->resume_cond);
	pthread_mutex_unlock(&d->park_lock);
}

static void watch(struct domain *d, int fd)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.fd = fd };

	if (fd >= 0)
		epoll_ctl(d->epoll, EPOLL_CTL_ADD, fd, &ev);
}

/* Events of all homes, and what is queued if a guest kicked for it. */
static bool serve(struct domain *d)
{
	bool kicked = atomic_exchange(&d->kicked, false), served = false;

	for (unsigned i = 0; i < N_HOMES; i++) {
		struct home *h = d->home[i];

		if (h && (h->events || kicked))
			served |= fast_serve(d, h, atomic_exchange(&h->events, 0));
	}
	return served;
}

/* Has somebody noted something since? */
static bool idle(struct domain *d)
{
	bool busy = d->wish != WISH_NONE || d->kicked;

	for (unsigned i = 0; i < N_HOMES; i++)
		busy |= d->home[i] && d->home[i]->events;
	return !busy;
}

static void ready(struct domain *d, int fd)
{
	uint64_t v;

	if (fd == d->kick_fd) {
		if (read(d->kick_fd, &v, sizeof(v)) < 0 && errno != EAGAIN)
			msg("kick: %s", strerror(errno));
		return;
	}
	if (fd == blk_ring_fd(d->ring)) {
		blk_ring_ready(d->ring);
		return;
	}
	if (fd == console_fd(d->console)) {
		console_ready(d->console);
		return;
	}
	if (fd == fast_timer_fd(d)) {
		fast_timer(d);
		return;
	}
	for (unsigned i = 0; i < N_HOMES; i++)
		if (d->home[i] && fd == d->home[i]->timer_fd) {
			timer_fired(d->home[i]);
			return;
		}
	for (unsigned i = 0; i < d->opt->n_nets; i++)
		if (fd == net_fd(d->net[i])) {
			net_ready(d->net[i]);
			return;
		}
	fast_flush(d); /* a doorbell */
}

/* Console output waits a little for company (firmware/serve.c), in one home while another switches the power
 * off: after a little while it is due. */
static void last_words(struct domain *d)
{
	const struct timespec a_little = { .tv_nsec = 2000000 };

	if (some_dead(d))
		return;
	fast_flush(d);
	nanosleep(&a_little, NULL);
	for (unsigned i = 0; i < N_HOMES; i++)
		if (d->home[i])
			d->home[i]->events |= SIO_EVENT_TIMER;
	serve(d);
}

void *io_main(void *arg)
{
	struct domain *d = arg;

	d->io_tid = gettid();
	io_thread_init(d);
	d->io_thread = pthread_self();
	watch(d, d->kick_fd);
	watch(d, blk_ring_fd(d->ring));
	watch(d, console_fd(d->console));
	watch(d, fast_timer_fd(d));
	for (unsigned i = 0; i < d->opt->n_nets; i++)
		watch(d, net_fd(d->net[i]));
	for (unsigned i = 0; i < N_HOMES; i++)
		if (d->home[i])
			watch(d, d->home[i]->timer_fd);
	while (d->wish != WISH_STOP) {
		struct epoll_event ev[8];
		bool served;
		int n;

		if (d->wish != WISH_NONE) {
			reset(d);
			continue;
		}
		/* A guest that kicks without end must not keep back ends waiting: they are looked at each time. */
		served = serve(d);
		d->io_sleeps = !served;
		n = epoll_wait(d->epoll, ev, 8, !served && idle(d) ? -1 : 0);
		d->io_sleeps = false;
		for (int i = 0; i < n; i++)
			ready(d, ev[i].data.fd);
	}
	/* vCPUs that wait for a reset go home. */
	pthread_mutex_lock(&d->park_lock);
	d->generation++;
	pthread_cond_broadcast(&d->resume_cond);
	pthread_mutex_unlock(&d->park_lock);
	last_words(d);
	for (unsigned i = 0; i < d->opt->n_disks; i++)
		blk_drain(d->disk[i]);
	thread_time(pthread_self(), d->io_tid, &d->io_time);
	return NULL;
}
