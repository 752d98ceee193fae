/* SPDX-License-Identifier: BSD-2-Clause */
/* domain.c - the life of a domain, and the control thread. */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "vmm/control.h"
#include "vmm/domain.h"

#define IPXE_DIR "/usr/lib/ipxe/qemu"

void msg(const char *f, ...)
{
	char text[640];
	va_list ap;
	int n;

	va_start(ap, f);
	n = vsnprintf(text, sizeof(text), f, ap);
	va_end(ap);
	/* One write: lines of several threads stay whole. */
	dprintf(2, "selfio: %.*s\n", n < (int)sizeof(text) ? n : (int)sizeof(text) - 1, text);
}

int fail_errno(const char *f, ...)
{
	char text[512];
	int e = errno;
	va_list ap;

	va_start(ap, f);
	vsnprintf(text, sizeof(text), f, ap);
	va_end(ap);
	msg("%s: %s", text, strerror(e));
	return -1;
}

static uint64_t mono_ns(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ull + (uint64_t)ts.tv_nsec;
}

uint64_t domain_now_ns(const struct domain *d)
{
	return mono_ns(CLOCK_MONOTONIC) - d->start_mono_ns;
}

void domain_kick_all(struct domain *d)
{
	uint64_t one = 1;

	for (unsigned i = 0; i < d->n_vcpus; i++)
		if (d->vcpu[i].thread)
			pthread_kill(d->vcpu[i].thread, SIGUSR1);
	if (d->io_thread)
		pthread_kill(d->io_thread, SIGUSR1);
	if (write(d->kick_fd, &one, sizeof(one)) < 0 && write(d->done_fd, &one, sizeof(one)) < 0)
		return;
	if (write(d->done_fd, &one, sizeof(one)) < 0)
		return;
}

void domain_wish(struct domain *d, enum wish w, int status)
{
	pthread_mutex_lock(&d->park_lock);
	if ((int)w > d->wish) {
		d->wish = w;
		d->exit_status = status;
	}
	pthread_cond_broadcast(&d->resume_cond);
	pthread_cond_broadcast(&d->parked_cond);
	pthread_mutex_unlock(&d->park_lock);
	domain_kick_all(d);
}

/* --on-panic=reset must not become a loop. */
#define FW_FAILS_MAX      5u
#define FW_FAIL_WINDOW_NS 60000000000ull

void domain_home_failed(struct home *h)
{
	struct domain *d = h->d;
	const char *what = h->kind == HOME_FIRMWARE ? "firmware" : h->ops->name;
	/* A process that ended takes nothing of the guest with it but the devices' state. */
	bool alone = h->kind != HOME_FIRMWARE && d->started;

	if (atomic_exchange(&h->dead, true))
		return;
	if (domain_now_ns(d) - d->fw_fail_ns > FW_FAIL_WINDOW_NS) {
		d->fw_fail_ns = domain_now_ns(d);
		d->fw_fails = 0;
	}
	if (d->opt->on_panic == ON_PANIC_RESET && ++d->fw_fails > FW_FAILS_MAX) {
		msg("the domain is stopped: its %s failed %u times within a minute", what,
		    d->fw_fails);
		domain_wish(d, WISH_STOP, 1);
	} else if (d->opt->on_panic == ON_PANIC_RESET && alone) {
		msg("its devices are reset in a fresh %s (--on-panic=reset)", what);
		domain_wish(d, WISH_REHOME, 1);
	} else if (d->opt->on_panic == ON_PANIC_RESET) {
		msg("the domain is reset with a fresh %s (--on-panic=reset)", what);
		domain_wish(d, WISH_RESET, 1);
	} else {
		msg("the domain is stopped (--on-panic=reset would restart it)");
		domain_wish(d, WISH_STOP, 1);
	}
}

/* The boot protocol's mark. The firmware looks at the rest of the header, in the guest's name. */
static int check_kernel(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char mark[4] = "";

	if (fd < 0)
		return fail_errno("can't open %s", path);
	if (pread(fd, mark, sizeof(mark), 0x202) < 0)
		mark[0] = 0;
	close(fd);
	if (memcmp(mark, "HdrS", 4) != 0) {
		msg("%s is not a Linux bzImage", path);
		return -1;
	}
	return 0;
}

/* A card's option ROM, as the BIOS looks for it; the same one serves all cards of a kind. */
static const struct {
	const char *file, *name;
} net_roms[] = {
	[NETDEV_RTL8139] = { "pxe-rtl8139.rom", "pci10ec,8139.rom" },
	[NETDEV_RTL8139C] = { "pxe-rtl8139.rom", "pci10ec,8139.rom" },
	[NETDEV_E1000] = { "pxe-e1000.rom", "pci8086,100e.rom" },
	[NETDEV_NE2K_PCI] = { "pxe-ne2k_pci.rom", "pci10ec,8029.rom" },
	[NETDEV_VIRTIO] = { "pxe-virtio.rom", "pci1af4,1041.rom" },
};

static int add_roms(struct domain *d)
{
	for (unsigned i = 0; i < d->opt->n_nets && d->opt->boot_net; i++) {
		struct sio_blob *b = &d->blob[d->n_blobs];
		unsigned model = d->opt->net[i].model;
		char path[PATH_MAX];
		bool have = model == NETDEV_NE2K_ISA;

		for (unsigned k = 0; k < d->n_blobs && !have; k++)
			have = strcmp(d->blob[k].name, net_roms[model].name) == 0;
		if (have)
			continue;
		snprintf(path, sizeof(path), "%s/%s", IPXE_DIR, net_roms[model].file);
		if (access(path, R_OK) < 0)
			return fail_errno("--boot net: can't read %s (Debian: package ipxe-qemu)",
					  path);
		b->kind = SIO_BLOB_FILE;
		strcpy(b->name, net_roms[model].name);
		if (memory_add_blob(d, path, NULL, 0, b, &d->blob_fd[d->n_blobs]))
			return -1;
		d->n_blobs++;
	}
	return 0;
}

/* What --kernel brings: mapped once, and kept over a firmware's restart. */
static int add_blobs(struct domain *d)
{
	const struct {
		uint32_t kind;
		const char *path, *text;
	} want[] = { { SIO_BLOB_KERNEL, d->opt->kernel, NULL },
		     { SIO_BLOB_INITRD, d->opt->initrd, NULL },
		     { SIO_BLOB_CMDLINE, NULL, d->opt->append } };
	uint64_t total = 0;

	if (d->opt->kernel && check_kernel(d->opt->kernel))
		return -1;
	for (unsigned i = 0; i < 3 && d->opt->kernel; i++) {
		struct sio_blob *b = &d->blob[d->n_blobs];

		if (!want[i].path && (!want[i].text || !*want[i].text))
			continue;
		b->kind = want[i].kind;
		if (memory_add_blob(d, want[i].path, want[i].text,
				    want[i].text ? strlen(want[i].text) : 0, b,
				    &d->blob_fd[d->n_blobs]))
			return -1;
		total += b->len;
		d->n_blobs++;
	}
	if (total > d->ram_low) {
		msg("--mem %llu MiB: the kernel and its initial RAM disk do not fit into that",
		    (unsigned long long)d->opt->mem >> 20);
		return -1;
	}
	return 0;
}

static int check_stats(const char *path)
{
	char copy[PATH_MAX];
	struct stat st;

	if (!path)
		return 0;
	if (stat(path, &st) == 0) {
		if (S_ISDIR(st.st_mode))
			errno = EISDIR;
		else if (access(path, W_OK) == 0)
			return 0;
	} else if (errno == ENOENT && strlen(path) < sizeof(copy) &&
		   access(dirname(strcpy(copy, path)), W_OK) == 0) {
		return 0;
	}
	return fail_errno("can't write %s", path);
}

/* RFC 9562, version 4; the same over a firmware's restart. */
static void make_uuid(uint8_t *u)
{
	if (getrandom(u, 16, 0) != 16)
		memset(u, 0x5f, 16);
	u[6] = (uint8_t)((u[6] & 15) | 0x40);
	u[8] = (uint8_t)((u[8] & 63) | 0x80);
}

int domain_start_homes(struct domain *d)
{
	for (unsigned i = 0; i < N_HOMES; i++)
		if (d->home[i] && home_start(d->home[i]))
			return -1;
	return 0;
}

static int read_image(struct domain *d)
{
	int fd = open(d->opt->firmware, O_RDONLY | O_CLOEXEC);
	struct stat st;
	ssize_t n = -1;

	if (fd < 0)
		return fail_errno("can't open the firmware image %s (give --firmware)",
				  d->opt->firmware);
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0 && st.st_size < 16 << 20) {
		d->image_file_len = (size_t)st.st_size;
		d->image = malloc(d->image_file_len);
		n = d->image ? read(fd, d->image, d->image_file_len) : -1;
	}
	close(fd);
	if (n != (ssize_t)d->image_file_len || n <= 0) {
		msg("can't read the firmware image %s", d->opt->firmware);
		return -1;
	}
	return 0;
}

static int create_guest_vm(struct domain *d)
{
	static const struct {
		int cap;
		const char *name;
	} need[] = { { KVM_CAP_IRQCHIP, "KVM_CAP_IRQCHIP" },
		     { KVM_CAP_PIT2, "KVM_CAP_PIT2" },
		     { KVM_CAP_READONLY_MEM, "KVM_CAP_READONLY_MEM" },
		     { KVM_CAP_IMMEDIATE_EXIT, "KVM_CAP_IMMEDIATE_EXIT" },
		     { KVM_CAP_SIGNAL_MSI, "KVM_CAP_SIGNAL_MSI" },
		     { KVM_CAP_SET_TSS_ADDR, "KVM_CAP_SET_TSS_ADDR" } };
	struct kvm_pit_config pit = { .flags = KVM_PIT_SPEAKER_DUMMY };
	struct kvm_enable_cap split = { .cap = KVM_CAP_SPLIT_IRQCHIP, .args = { SIO_MAX_LEVELS } };
	uint64_t map = 0xfeffc000;

	d->kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (d->kvm < 0)
		return fail_errno("can't open /dev/kvm (`selfio check` tells what to do)");
	for (unsigned i = 0; i < sizeof(need) / sizeof(need[0]); i++)
		if (ioctl(d->kvm, KVM_CHECK_EXTENSION, need[i].cap) <= 0) {
			msg("this KVM lacks %s: a newer kernel is needed", need[i].name);
			return -1;
		}
	d->run_size = (size_t)ioctl(d->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	d->guest_vm = ioctl(d->kvm, KVM_CREATE_VM, 0);
	if (d->guest_vm < 0)
		return fail_errno("can't create the guest VM");
	if (ioctl(d->guest_vm, KVM_SET_IDENTITY_MAP_ADDR, &map) < 0 ||
	    ioctl(d->guest_vm, KVM_SET_TSS_ADDR, map + 0x1000) < 0)
		return fail_errno("KVM_SET_TSS_ADDR");
	d->vector = SIO_NO_VECTOR;
	if (d->opt->irqchip)
		return ioctl(d->guest_vm, KVM_ENABLE_CAP, &split) < 0 ?
			       fail_errno("KVM_CAP_SPLIT_IRQCHIP (--irqchip firmware)") :
			       0;
	if (ioctl(d->guest_vm, KVM_CREATE_IRQCHIP, 0) < 0 ||
	    ioctl(d->guest_vm, KVM_CREATE_PIT2, &pit) < 0)
		return fail_errno("can't create the interrupt controllers");
	for (unsigned i = 0; i < 3; i++) {
		d->irqchip0[i].chip_id = i;
		if (ioctl(d->guest_vm, KVM_GET_IRQCHIP, &d->irqchip0[i]) < 0)
			return fail_errno("KVM_GET_IRQCHIP");
	}
	if (ioctl(d->guest_vm, KVM_GET_PIT2, &d->pit0) < 0)
		return fail_errno("KVM_GET_PIT2");
	return 0;
}

static void on_message(void *ctx, const char *text)
{
	(void)ctx;
	msg("%s", text);
}

static void on_quit(void *ctx)
{
	domain_wish(ctx, WISH_STOP, 0);
}

/* FAST_IRQ: edges of ISA interrupts through eventfds, for the companion VM to ring without leaving. */
#define EDGE_GSIS (1u << 1 | 1u << 4 | 1u << 8 | 1u << 12 | 1u << 14 | 1u << 15)

static int make_irqfds(struct domain *d)
{
	struct home *h = d->home[HOME_FIRMWARE];

	for (unsigned i = 0; i < N_GSI; i++) {
		struct kvm_irqfd irq = { .gsi = i };
		struct kvm_ioeventfd io = { .addr = SIO_IRQ_PORT + i,
					    .len = 1,
					    .flags = KVM_IOEVENTFD_FLAG_PIO };

		d->gsi_fd[i] = -1;
		if (!(d->opt->fast >> FAST_IRQ & 1) || !(EDGE_GSIS >> i & 1))
			continue;
		d->gsi_fd[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		irq.fd = (uint32_t)d->gsi_fd[i];
		io.fd = d->gsi_fd[i];
		if (d->gsi_fd[i] < 0 || ioctl(d->guest_vm, KVM_IRQFD, &irq) < 0 ||
		    (h && ioctl(h->vm, KVM_IOEVENTFD, &io) < 0))
			return fail_errno("can't wire interrupt %u to an eventfd (--fast irq)", i);
	}
	return 0;
}

/* Which homes there are, and what lives in each. */
static int create_homes(struct domain *d)
{
	uint32_t places[N_HOMES] = { 0 };

	for (unsigned i = 0; i < SIO_N_PLACES; i++)
		if ((i != SIO_PLACE_TEST || d->opt->testdev) &&
		    (i != SIO_PLACE_NET || d->opt->n_nets))
			places[d->opt->place[i]] |= 1u << i;
	for (unsigned k = 0; k < N_HOMES; k++)
		if (places[k] && !home_create(d, k, places[k]))
			return -1;
	return 0;
}

static int create_contexts(struct domain *d)
{
	for (unsigned k = 0; k < N_HOMES; k++)
		if (d->home[k] && d->home[k]->ops->create(d->home[k]))
			return -1;
	return 0;
}

static int check_images(struct domain *d)
{
	for (unsigned k = 0; k < N_HOMES; k++)
		if (d->home[k] && home_check_image(d->home[k]))
			return -1;
	return 0;
}

static void attach_devices(struct domain *d)
{
	struct home *h = d->home[d->opt->place[SIO_PLACE_IDE]];

	for (unsigned i = 0; i < d->opt->n_disks; i++) {
		blk_attach(d->disk[i], d->ring, &h->host, h->n_windows);
		home_add_window(h, blk_vmmio(d->disk[i]));
	}
	h = d->home[d->opt->place[SIO_PLACE_NET]];
	for (unsigned i = 0; i < d->opt->n_nets; i++) {
		/* The guest's own driver has queues in its RAM, and must not name private memory. */
		net_attach(d->net[i],
			   d->opt->net[i].model == NETDEV_VIRTIO ? &h->guest_host : &h->host,
			   h->n_windows);
		home_add_window(h, net_vmmio(d->net[i]));
		if (d->opt->verbose)
			msg("net%u: %s", i, net_where(d->net[i]));
	}
	h = d->home[d->opt->place[SIO_PLACE_UART]];
	console_attach(d->console, &h->host, h->n_windows, on_quit, d);
	home_add_window(h, console_vmmio(d->console));
	if (*console_where(d->console))
		msg("%s", console_where(d->console));
}

/* CPU time of the thread that runs a context of this process. */
static uint64_t runner_cpu_ns(const struct context *c)
{
	clockid_t id;

	return pthread_getcpuclockid(c->runner, &id) ? 0 : mono_ns(id);
}

/*
 * Does it not answer?  Counted is the time that it had a processor: a busy host, or a file that comes slowly,
 * is not the firmware's fault. Who lives elsewhere, or waits without using time, has the clock on the wall.
 */
static bool no_answer(struct context *c, uint64_t now)
{
	uint64_t in = c->entered_ns;
	bool here = c->h->kind == HOME_FIRMWARE || c->h->kind == HOME_INPROC;

	if (!in || now < in || c->h->dead)
		return false;
	if (c->watched_ns != in) {
		c->watched_ns = in;
		c->watched_cpu_ns = runner_cpu_ns(c) - (here ? now - in : 0);
	}
	if (now - in <= STUCK_NS)
		return false;
	return !here || runner_cpu_ns(c) - c->watched_cpu_ns > STUCK_NS || now - in > 12 * STUCK_NS;
}

void domain_watchdog(struct domain *d)
{
	uint64_t now = domain_now_ns(d);

	for (unsigned k = 0; k < N_HOMES; k++)
		for (unsigned i = 0; d->home[k] && i <= d->n_vcpus; i++) {
			struct context *c = &d->home[k]->ctx[i];

			if (no_answer(c, now)) {
				c->stuck = true;
				pthread_kill(c->runner, SIGUSR1);
			}
		}
}

/* Until control() takes over: the firmware's start, in the main thread, may not come to an end. */
static void *watch_start(void *arg)
{
	struct domain *d = arg;
	struct pollfd p = { .fd = d->done_fd, .events = POLLIN };

	while (!d->started) {
		poll(&p, 1, 1000);
		domain_watchdog(d);
	}
	return NULL;
}

static int start_homes_watched(struct domain *d)
{
	uint64_t one = 1;
	pthread_t t;
	int r = pthread_create(&t, NULL, watch_start, d);

	if (r) {
		errno = r;
		return fail_errno("can't start the watchdog");
	}
	r = domain_start_homes(d);
	d->started = true;
	if (write(d->done_fd, &one, sizeof(one)) < 0)
		fail_errno("done_fd");
	pthread_join(t, NULL);
	return r;
}

static void control(struct domain *d, int sfd, struct control *sock)
{
	while (d->wish != WISH_STOP) {
		struct pollfd p[2 + N_HOMES + CONTROL_FDS] = {
			{ .fd = sfd, .events = POLLIN }, { .fd = d->done_fd, .events = POLLIN }
		};
		unsigned n = 2 + N_HOMES;
		struct signalfd_siginfo si;
		int timeout = 1000, r;
		uint64_t v;

		for (unsigned k = 0; k < N_HOMES; k++) {
			bool watched = d->home[k] && !d->home[k]->gone;

			p[2 + k] = (struct pollfd){ .fd = watched ? d->home[k]->pidfd : -1,
						    .events = POLLIN };
		}
		if (sock) {
			control_prepare(sock, p + n, &timeout);
			n += CONTROL_FDS;
		}
		r = poll(p, n, timeout);
		if (r < 0)
			continue;
		if (r == 0)
			stats_look(d);
		if (p[0].revents && read(sfd, &si, sizeof(si)) == sizeof(si)) {
			msg("%s: stopping the domain", strsignal((int)si.ssi_signo));
			domain_wish(d, WISH_STOP, 0);
		}
		for (unsigned k = 0; k < N_HOMES; k++)
			if (p[2 + k].revents)
				remote_died(d->home[k]);
		if (p[1].revents && read(d->done_fd, &v, sizeof(v)) < 0)
			continue;
		if (sock)
			control_serve(sock, p + 2 + N_HOMES);
		domain_watchdog(d);
	}
}

/* Waits for a thread's end; one that hangs in the firmware is still the watchdog's. */
static void join(struct domain *d, pthread_t t)
{
	struct timespec ts;

	do {
		domain_watchdog(d);
		clock_gettime(CLOCK_REALTIME, &ts);
		ts.tv_sec++;
	} while (pthread_timedjoin_np(t, NULL, &ts) == ETIMEDOUT);
}

/* Everything that the guest was told is on the disk is there; what it only wrote goes there now. */
static int finish_disks(struct domain *d)
{
	int r = 0;

	for (unsigned i = 0; i < d->opt->n_disks; i++) {
		int e;

		if (!d->disk[i])
			continue;
		if (d->start_mono_ns)
			blk_drain(d->disk[i]);
		e = !d->start_mono_ns || d->opt->disk[i].read_only ? 0 : blk_sync(d->disk[i]);
		if (e) {
			msg("%s: the last writes did not reach the disk: %s", d->opt->disk[i].path,
			    strerror(-e));
			r = 1;
		}
	}
	return r;
}

/* Sockets, interfaces and files come to be here: when nothing else can be wrong. */
static int open_nets(struct domain *d)
{
	char err[256];

	for (unsigned i = 0; i < d->opt->n_nets; i++) {
		struct net_opts *o = &d->opt->net[i];

		if (!o->have_mac)
			net_default_mac(o->mac, d->uuid, i);
		o->have_mac = true;
		d->net[i] = net_open(o, err, sizeof(err));
		if (!d->net[i]) {
			msg("%s", err);
			return -1;
		}
	}
	return 0;
}

static int start(struct domain *d)
{
	char err[256];

	d->ring = blk_ring_new(false, on_message, d);
	if (!d->ring)
		return fail_errno("can't set up disk I/O"), 1;
	for (unsigned i = 0; i < d->opt->n_disks; i++) {
		d->disk[i] = blk_open(&d->opt->disk[i], err, sizeof(err));
		if (!d->disk[i]) {
			msg("%s", err);
			return 2;
		}
	}
	if (check_stats(d->opt->stats) || read_image(d) || create_guest_vm(d) || memory_init(d) ||
	    fast_init(d) || create_homes(d) || check_images(d) || add_blobs(d) || add_roms(d))
		return 2;
	for (unsigned i = 0; i < d->n_vcpus; i++) {
		d->vcpu[i].d = d;
		d->vcpu[i].id = i;
		if (vcpu_create(&d->vcpu[i]))
			return 2;
	}
	fast_start(d);
	if (create_contexts(d) || make_irqfds(d))
		return 2;
	make_uuid(d->uuid);
	if (open_nets(d))
		return 2;
	d->console = console_open(d->opt->console, err, sizeof(err));
	if (!d->console) {
		msg("%s", err);
		return 2;
	}
	attach_devices(d);
	memory_reset_bios(d);
	d->start_mono_ns = mono_ns(CLOCK_MONOTONIC);
	d->start_tsc = tsc();
	if (start_homes_watched(d))
		return 1;
	for (unsigned i = 0; i < d->n_vcpus; i++)
		if (vcpu_reset(&d->vcpu[i]))
			return 1;
	vcpu_thread_init(NULL, NULL);
	return 0;
}

int domain_run(struct options *opt)
{
	static struct domain dom;
	struct domain *d = &dom;
	sigset_t set;
	struct control *sock = NULL;
	int r, sfd;

	d->opt = opt;
	d->n_vcpus = opt->smp;
	d->ram_fd = d->kvm = d->guest_vm = -1;
	pthread_mutex_init(&d->map_lock, NULL);
	pthread_rwlock_init(&d->mmio_lock, NULL);
	pthread_mutex_init(&d->irq_lock, NULL);
	pthread_mutex_init(&d->park_lock, NULL);
	pthread_cond_init(&d->parked_cond, NULL);
	pthread_cond_init(&d->resume_cond, NULL);
	d->epoll = epoll_create1(EPOLL_CLOEXEC);
	d->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	d->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	sigdelset(&set, SIGUSR1);
	sfd = signalfd(-1, &set, SFD_CLOEXEC);
	vcpu_signal_init();

	r = start(d);
	if (r == 0) {
		if (!opt->no_control)
			sock = control_open(d);
		if (pthread_create(&d->io_thread, NULL, io_main, d))
			return fail_errno("can't start the I/O thread"), 1;
		for (unsigned i = 0; i < d->n_vcpus; i++)
			if (pthread_create(&d->vcpu[i].thread, NULL, vcpu_main, &d->vcpu[i]))
				return fail_errno("can't start the thread of vCPU %u", i), 1;
		control(d, sfd, sock);
		control_close(sock);
		domain_kick_all(d);
		for (unsigned i = 0; i < d->n_vcpus; i++)
			join(d, d->vcpu[i].thread);
		join(d, d->io_thread);
		r = d->exit_status;
	}
	if (finish_disks(d))
		r = 1;
	if (d->console) {
		if (d->start_mono_ns)
			console_drain(d->console, 500);
		console_close(d->console);
	}
	if (opt->stats && d->start_mono_ns && stats_write(d, opt->stats) && r == 0)
		r = 1;
	for (unsigned i = 0; i < opt->n_disks; i++)
		blk_close(d->disk[i]);
	for (unsigned i = 0; i < opt->n_nets; i++)
		net_close(d->net[i]);
	for (unsigned k = 0; k < N_HOMES; k++)
		home_destroy(d->home[k]);
	memory_free(d);
	return r;
}
