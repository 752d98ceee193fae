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
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "vmm/domain.h"

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
		if (d->vcpu[i].ctx.thread)
			pthread_kill(d->vcpu[i].ctx.thread, SIGUSR1);
	if (d->io.thread)
		pthread_kill(d->io.thread, SIGUSR1);
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

void domain_fw_failed(struct domain *d)
{
	if (atomic_exchange(&d->fw_dead, true))
		return;
	if (domain_now_ns(d) - d->fw_fail_ns > FW_FAIL_WINDOW_NS) {
		d->fw_fail_ns = domain_now_ns(d);
		d->fw_fails = 0;
	}
	if (d->opt->on_panic == ON_PANIC_RESET && ++d->fw_fails > FW_FAILS_MAX) {
		msg("the domain is stopped: its firmware failed %u times within a minute",
		    d->fw_fails);
		domain_wish(d, WISH_STOP, 1);
	} else if (d->opt->on_panic == ON_PANIC_RESET) {
		msg("the domain is reset with a fresh firmware (--on-panic=reset)");
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
				    want[i].text ? strlen(want[i].text) : 0, &b->addr, &b->len))
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

/* So that a bad image is found before anything is created. */
static int check_image(struct domain *d)
{
	char err[200];
	uint64_t entry;

	if (image_load(d, &entry, err, sizeof(err))) {
		msg("can't load the firmware %s: %s", d->opt->firmware, err);
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

static int fill_config(struct domain *d)
{
	struct sio_config c = {
		.magic = SIO_CONFIG_MAGIC,
		.version = SIO_ABI_VERSION,
		.size = sizeof(c),
		.n_vcpus = d->n_vcpus,
		.flags = (d->opt->debugcon ? SIO_CFG_DEBUGCON : 0) |
			 (d->opt->boot_menu ? SIO_CFG_BOOT_MENU : 0),
		.priv_size = d->priv_size,
		.wall_ns = mono_ns(CLOCK_REALTIME) - domain_now_ns(d),
		.apic_id_last = d->n_vcpus - 1,
		.n_ram = d->ram_high ? 2 : 1,
		.ram = { { 0, d->ram_low }, { GUEST_HIGH, d->ram_high } },
	};
	c.n_blobs = d->n_blobs;
	memcpy(c.blob, d->blob, sizeof(d->blob));
	for (unsigned i = 0; i < d->opt->n_disks; i++) {
		struct sio_device *v = &c.device[c.n_devices++];

		*v = (struct sio_device){ .kind = SIO_DEV_BLK, .window = i, .unit = i };
		memcpy(v->serial, d->opt->serial[i], sizeof(v->serial));
		memcpy(v->model, d->opt->model[i], sizeof(v->model));
	}
	c.device[c.n_devices++] =
		(struct sio_device){ .kind = SIO_DEV_CONSOLE, .window = d->n_windows - 1 };
	c.map_top = d->blob_top;
	memcpy(c.uuid, d->uuid, sizeof(c.uuid));
	memcpy(d->priv + SIO_CONFIG_OFF, &c, sizeof(c));
	return 0;
}

static int context_start(struct context *c, uint64_t entry)
{
	c->last = (struct sio_request){ .kind = SIO_REQ_NONE };
	return context_enter_regs(c, entry) || context_run(c) ? -1 : 0;
}

int domain_start_firmware(struct domain *d)
{
	struct sio_config *cfg = (struct sio_config *)(d->priv + SIO_CONFIG_OFF);
	char err[200];
	uint64_t entry;

	for (unsigned i = 0; i < d->n_windows; i++) {
		uint64_t zero = 0;

		vmmio_access(d->window[i], VIRTIO_MMIO_STATUS, 4, true, &zero);
	}
	for (unsigned p = 0; p < 65536; p++)
		d->port_model[p] = 0;
	d->n_mmio = 0;
	memset(d->irq_seq, 0, sizeof(d->irq_seq));
	memset(d->priv, 0, d->priv_size);
	if (fill_config(d))
		return -1;
	if (image_load(d, &entry, err, sizeof(err))) {
		msg("can't load the firmware %s: %s", d->opt->firmware, err);
		return -1;
	}
	cfg->heap_base = SIO_PRIV_BASE + SIO_IMAGE_OFF + d->image_len;
	cfg->heap_len = d->priv_size - SIO_IMAGE_OFF - d->image_len;
	d->fw_dead = false;
	d->events = 0;
	/* All of them are started from this thread; each goes to its own afterwards. */
	for (unsigned i = 0; i < d->n_vcpus; i++) {
		vcpu_thread_init(d->vcpu[i].ctx.run, NULL);
		if (context_start(&d->vcpu[i].ctx, entry))
			return -1;
	}
	vcpu_thread_init(d->io.run, NULL);
	return context_start(&d->io, entry);
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

static int create_vms(struct domain *d)
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
	d->comp_vm = ioctl(d->kvm, KVM_CREATE_VM, 0);
	if (d->guest_vm < 0 || d->comp_vm < 0)
		return fail_errno("can't create the virtual machines");
	if (ioctl(d->guest_vm, KVM_SET_IDENTITY_MAP_ADDR, &map) < 0 ||
	    ioctl(d->guest_vm, KVM_SET_TSS_ADDR, map + 0x1000) < 0)
		return fail_errno("KVM_SET_TSS_ADDR");
	map = 0xfefe0000;
	if (ioctl(d->comp_vm, KVM_SET_IDENTITY_MAP_ADDR, &map) < 0 ||
	    ioctl(d->comp_vm, KVM_SET_TSS_ADDR, map + 0x1000) < 0)
		return fail_errno("KVM_SET_TSS_ADDR");
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

static void add_range(struct domain *d, uint64_t gpa, uint64_t len, uint8_t *hva)
{
	struct vmem *m = &d->vmem;

	m->r[m->n].gpa = gpa;
	m->r[m->n].len = len;
	m->r[m->n++].hva = hva;
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

static void attach_devices(struct domain *d)
{
	add_range(d, 0, d->ram_low, d->ram);
	if (d->ram_high)
		add_range(d, GUEST_HIGH, d->ram_high, d->ram + d->ram_low);
	add_range(d, SIO_PRIV_BASE, d->priv_size, d->priv);
	d->host = (struct vmmio_host){
		.mem = &d->vmem, .signal = domain_signal, .message = on_message, .ctx = d
	};
	for (unsigned i = 0; i < d->opt->n_disks; i++) {
		blk_attach(d->disk[i], d->ring, &d->host, d->n_windows);
		d->window[d->n_windows++] = blk_vmmio(d->disk[i]);
	}
	console_attach(d->console, &d->host, d->n_windows, on_quit, d);
	d->window[d->n_windows++] = console_vmmio(d->console);
	if (*console_where(d->console))
		msg("%s", console_where(d->console));
}

static void watchdog(struct domain *d)
{
	uint64_t now = domain_now_ns(d);

	for (unsigned i = 0; i <= d->n_vcpus; i++) {
		struct context *c = i < d->n_vcpus ? &d->vcpu[i].ctx : &d->io;
		uint64_t in = c->entered_ns;

		if (in && now > in && now - in > STUCK_NS && !d->fw_dead) {
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
		watchdog(d);
	}
	return NULL;
}

static int start_firmware_watched(struct domain *d)
{
	uint64_t one = 1;
	pthread_t t;
	int r = pthread_create(&t, NULL, watch_start, d);

	if (r) {
		errno = r;
		return fail_errno("can't start the watchdog");
	}
	r = domain_start_firmware(d);
	d->started = true;
	if (write(d->done_fd, &one, sizeof(one)) < 0)
		fail_errno("done_fd");
	pthread_join(t, NULL);
	return r;
}

static void control(struct domain *d, int sfd)
{
	while (d->wish != WISH_STOP) {
		struct pollfd p[2] = { { .fd = sfd, .events = POLLIN },
				       { .fd = d->done_fd, .events = POLLIN } };
		struct signalfd_siginfo si;
		uint64_t v;

		poll(p, 2, 1000);
		if (p[0].revents && read(sfd, &si, sizeof(si)) == sizeof(si)) {
			msg("%s: stopping the domain", strsignal((int)si.ssi_signo));
			domain_wish(d, WISH_STOP, 0);
		}
		if (p[1].revents && read(d->done_fd, &v, sizeof(v)) < 0)
			continue;
		watchdog(d);
	}
}

/* Waits for a thread's end; one that hangs in the firmware is still the watchdog's. */
static void join(struct domain *d, pthread_t t)
{
	struct timespec ts;

	do {
		watchdog(d);
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
	if (check_stats(d->opt->stats) || read_image(d) || create_vms(d) || memory_init(d) ||
	    check_image(d) || add_blobs(d))
		return 2;
	for (unsigned i = 0; i < d->n_vcpus; i++) {
		d->vcpu[i].d = d;
		d->vcpu[i].id = i;
		if (vcpu_create(&d->vcpu[i]))
			return 2;
	}
	if (context_create(&d->io, d, d->n_vcpus))
		return 2;
	d->console = console_open(d->opt->console, err, sizeof(err));
	if (!d->console) {
		msg("%s", err);
		return 2;
	}
	attach_devices(d);
	make_uuid(d->uuid);
	memory_reset_bios(d);
	d->start_mono_ns = mono_ns(CLOCK_MONOTONIC);
	d->start_tsc = tsc();
	if (start_firmware_watched(d))
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
	int r, sfd;

	d->opt = opt;
	d->n_vcpus = opt->smp;
	d->ram_fd = d->kvm = d->guest_vm = d->comp_vm = -1;
	d->timer_ns = UINT64_MAX;
	pthread_mutex_init(&d->map_lock, NULL);
	pthread_rwlock_init(&d->mmio_lock, NULL);
	pthread_mutex_init(&d->irq_lock, NULL);
	pthread_mutex_init(&d->timer_lock, NULL);
	pthread_mutex_init(&d->park_lock, NULL);
	pthread_cond_init(&d->parked_cond, NULL);
	pthread_cond_init(&d->resume_cond, NULL);
	d->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
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
		if (pthread_create(&d->io_thread, NULL, io_main, d))
			return fail_errno("can't start the I/O thread"), 1;
		for (unsigned i = 0; i < d->n_vcpus; i++)
			if (pthread_create(&d->vcpu[i].thread, NULL, vcpu_main, &d->vcpu[i]))
				return fail_errno("can't start the thread of vCPU %u", i), 1;
		control(d, sfd);
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
	memory_free(d);
	return r;
}
