/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_reflect.c - the reflector, fast paths and the loader of the image, before homes that do what the
 * input says.
 *
 * There are two: a companion VM, for which KVM is a stub (each KVM_RUN writes what the input wants into the
 * request slot, then leaves by the exit that the input wants), and a process, for which the mailbox is one.
 * Other ioctls scribble into the slot too, as another context of the home would while the reflector works
 * on it.  When the input is used up homes answer and are done.  An input that begins with the ELF magic is
 * taken for an image.
 *
 * Writes that the guest posts carry numbers: a home must see them in order, each once, and all that came
 * before a request with it or earlier.
 *
 * Private memory, the run pages and the virtio windows' memory are allocations of their own, so that
 * ASan sees what leaves them.
 */
#include <elf.h>
#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "vmm/domain.h"
#include "vmm/mailbox.h"
#include "check.h"

#define N_VCPUS   2u
#define RING_PAGE 2u /* of a guest vCPU's run area, after the I/O page */
#define RUN_SIZE  ((RING_PAGE + 1) * SIO_PAGE)
#define IO_OFFSET 4096u
#define RAM_SIZE  0x100000u
#define PRIV_SIZE 0x40000u
#define MAX_RUNS  200u
#define GUEST_VM  2000
#define CTX_FD    1000

/* KVM's: the ring takes one less than it has room for. */
#define RING_MAX \
	((SIO_PAGE - sizeof(struct kvm_coalesced_mmio_ring)) / sizeof(struct kvm_coalesced_mmio))

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int __wrap_ioctl(int fd, unsigned long req, ...);

static struct domain *dom;
static const uint8_t *at, *end;
static unsigned n_runs, n_msgs;
static struct context *running;
static struct vmmio window[2];
static bool over; /* homes answer, and that is all */

/* What KVM has of ours: registered minus unregistered. */
static int n_zones, n_bells, n_slots;

/* Posted writes, in order: numbers given, and the last that a home saw.  Claims that change and homes that
 * fail let some go astray; calm inputs have none of the former. */
static uint32_t given, seen;
static bool calm, lossless;

static uint8_t take8(void)
{
	return at < end ? *at++ : 0;
}

static uint16_t take16(void)
{
	uint16_t v = take8();

	return (uint16_t)(v | take8() << 8);
}

static uint32_t take32(void)
{
	uint32_t v = take16();

	return v | (uint32_t)take16() << 16;
}

/* Small, near a limit, or anything. */
static uint64_t take_num(void)
{
	uint8_t how = take8();

	switch (how >> 5) {
	case 0: return how;
	case 1: return take16();
	case 2: return take32();
	case 3: return (uint64_t)take32() << 32 | take32();
	case 4: return 0ull - (how & 31);
	case 5: return 0x10000u - (how & 31);
	case 6: return SIO_VIRTIO_BASE + take16();
	default: return 1ull << (how & 31) * 2;
	}
}

/* What the files under test want of the others. */

const struct home_ops *const home_kinds[N_HOMES] = {
	[HOME_FIRMWARE] = &home_companion,
	[HOME_IOEMU] = &home_ioemu,
};

uint64_t domain_now_ns(const struct domain *d)
{
	return 1000 * n_runs;
}

void msg(const char *f, ...)
{
	char text[640];
	va_list ap;
	int n;

	va_start(ap, f);
	n = vsnprintf(text, sizeof(text), f, ap);
	va_end(ap);
	CHECK(n >= 0);
	/* Text of the firmware must not reach a terminal as it is. */
	for (const char *p = text; *p; p++)
		CHECK(*p >= ' ' && *p < 127);
	n_msgs++;
}

int fail_errno(const char *f, ...)
{
	n_msgs++;
	return -1;
}

void domain_home_failed(struct home *h)
{
	h->dead = true;
	lossless = false;
}

void domain_wish(struct domain *d, enum wish w, int status)
{
	CHECK((w == WISH_RESET || w == WISH_STOP) && status >= 0 && status <= 127);
}

void io_timer(struct home *h, uint64_t deadline_ns)
{
}

void vcpu_thread_init(struct kvm_run *a, struct kvm_run *b)
{
}

int memory_slot(int vm, const char *what, uint32_t slot, uint32_t flags, uint64_t gpa, uint64_t len,
		void *hva)
{
	const struct home *h = dom->home[HOME_FIRMWARE], *e = dom->home[HOME_IOEMU];
	uint8_t *p = hva;

	CHECK(vm == GUEST_VM && slot >= dom->next_slot && slot < dom->next_slot + SIO_MAX_FAST);
	if (len) {
		CHECK(flags == KVM_MEM_READONLY && gpa >= dom->ram_low && gpa + len > gpa &&
		      gpa + len <= 0xfec00000u);
		CHECK((p >= h->priv && p + len <= h->priv + PRIV_SIZE) ||
		      (p >= e->priv && p + len <= e->priv + PRIV_SIZE));
		if (!over && take8() % 8 == 7)
			return -1;
	}
	n_slots += len ? 1 : -1;
	return 0;
}

struct model_stats *stats_model(struct vcpu *v, uint16_t owner)
{
	static struct model_stats st;

	CHECK(OWNER_HOME(owner) < N_HOMES && OWNER_MODEL(owner) < SIO_MAX_MODELS &&
	      dom->home[OWNER_HOME(owner)]);
	return &st;
}

void stats_count(struct vcpu *v, uint16_t owner, uint64_t bytes, uint64_t ticks)
{
	CHECK(OWNER_MODEL(owner) > 0 && stats_model(v, owner) && bytes <= SIO_PAGE);
}

/* Slots. */

static uint64_t *shadows(const struct home *h)
{
	return ((struct sio_shadow_page_shared *)(void *)(h->priv + SIO_SHADOW_OFF))->entry;
}

static void scribble(struct context *c)
{
	struct sio_slot_shared *s = c->slot;

	for (unsigned n = take8() & 7; n; n--) {
		switch (take8() % 12) {
		case 0:
		case 1: s->n_ops = (uint32_t)take_num(); break;
		case 2:
			s->text_len = (uint32_t)take_num();
			s->text_level = take8() & 7;
			break;
		case 3: memset(s->text, take8(), sizeof(s->text)); break;
		case 4: s->panic.n_frames = (uint32_t)take_num(); break;
		case 5: s->answer = take_num(); break;
		case 6: {
			uint16_t i = take16() % sizeof(*s);

			((uint8_t *)s)[calm ? i % sizeof(s->req) : i] = take8();
			break;
		}
		case 7:
			s->ops[take8() % SIO_MAX_OPS].code = calm ? SIO_OP_TIMER : take8() % 10;
			break;
		case 8: s->req.n_posted = (uint32_t)take_num(); break;
		case 9:
		case 10:
			shadows(c->h)[take8() % SIO_MAX_SHADOWS] =
				take_num() | (take8() & 3 ? SIO_SHADOW_VALID : 0);
			break;
		case 11:
			s->forward.kind = take8() & 15 ? SIO_REQ_PCICFG : take8();
			s->forward.size = (uint8_t)(1u << (take8() & 3));
			s->forward.addr = take_num();
			s->forward.place = take8() % 12;
			break;
		}
	}
}

/* c of a fast range: what it takes, mostly. */
static uint64_t take_c(unsigned kind)
{
	uint8_t how = take8();

	if (how >= 224)
		return take_num();
	switch (kind) {
	case SIO_MAP_POSTED:
	case SIO_MAP_KICK:
		return SIO_POSTED_C(1u << (how & 31), take8() % 40, take8(), take8() & how) |
		       (how & 64 ? SIO_POSTED_IF_CLEAR : 0) |
		       (how & 128 ? SIO_POSTED_READS_BACK : 0) | (how & 1 ? SIO_POSTED_CLEARS : 0);
	case SIO_MAP_SHADOW: return how % (SIO_MAX_SHADOWS + 1);
	case SIO_MAP_CLOCK: return take32() | (uint64_t)(how % 36) << 32;
	case SIO_MAP_DOORBELL: return (how & 3) | (uint64_t)(how >> 2 & 31) << 32;
	case SIO_MAP_READTHROUGH: return (uint64_t)how % 66 * SIO_PAGE;
	case SIO_MAP_FIFO:
		return (uint64_t)(how & 31) * (PRIV_SIZE / 32) | (uint64_t)(take8() % 34) << 32;
	}
	return how;
}

static void write_ops(struct context *c)
{
	unsigned n = take8() % (SIO_MAX_OPS + 1);

	c->slot->n_ops = n;
	n = n > 6 ? 6 : n; /* the rest is what stands there */
	for (unsigned i = 0; i < n; i++) {
		struct sio_op *op = &c->slot->ops[i];
		unsigned kind = 0;

		op->code = take8() % 11;
		if (op->code == 9)
			op->code = SIO_OP_MAP;
		if (op->code == 10)
			op->code = SIO_OP_NOTIFY;
		if (calm && (op->code == SIO_OP_MAP || op->code == SIO_OP_UNMAP))
			op->code = SIO_OP_IRQ;
		switch (op->code) {
		case SIO_OP_MAP:
		case SIO_OP_UNMAP:
			kind = take8() % 7;
			op->arg = SIO_MAP_ARG(take8() % 3, kind, take8() % 70);
			break;
		case SIO_OP_IRQ: op->arg = take8() % 26; break;
		case SIO_OP_NOTIFY: op->arg = take8() % 4; break;
		default: op->arg = (uint32_t)take_num();
		}
		op->a = take_num();
		op->b = take_num();
		op->c = take_c(kind);
		/* Where the guest goes. */
		if (take8() & 1 && (op->code == SIO_OP_MAP || op->code == SIO_OP_UNMAP)) {
			op->arg &= ~14u;
			op->a = (op->arg & 1 ? 0xe0000000u : 0) +
				(take8() & 63) * (kind == SIO_MAP_READTHROUGH ? SIO_PAGE : 1);
			op->b = kind == SIO_MAP_READTHROUGH ? SIO_PAGE : 1u << (take8() & 3);
		}
	}
}

/* What a home does with posted writes before anything else. */
static void look_at_posted(struct context *c)
{
	uint32_t n = c->last.n_posted;

	CHECK(n <= SIO_MAX_POSTED);
	for (uint32_t i = 0; i < n; i++) {
		const struct sio_posted *p = &c->slot->posted[i];
		uint32_t number = (uint32_t)p->data >> 8;

		CHECK(p->size == 1 || p->size == 2 || p->size == 4 || p->size == 8);
		if (p->size != 4 || !number)
			continue;
		CHECK(lossless ? number == seen + 1 : number > seen);
		seen = number;
	}
	c->last.n_posted = 0;
}

/* The firmware got its turn: true if it only answers. */
static bool turn(struct context *c)
{
	running = c;
	look_at_posted(c);
	if (++n_runs >= MAX_RUNS)
		at = end;
	if (at == end)
		over = true;
	if (over) {
		c->slot->n_ops = 0;
		return true;
	}
	if (take8() & 1)
		write_ops(c);
	scribble(c);
	return false;
}

static uint32_t leave_number(const struct context *c, uint8_t how)
{
	switch (how >> 4) {
	case 6: return take32();
	case 7:
	case 8:
	case 9: /* FLUSH YIELD LOG PANIC FORWARD and none */ return 3 + how % 6;
	default: return c->id == N_VCPUS ? SIO_HC_WAIT : SIO_HC_RETURN;
	}
}

static int run_exit(struct context *c)
{
	struct kvm_run *run = c->run;
	bool answers = turn(c);
	uint8_t how = answers ? 0xff : take8();
	uint32_t n;

	run->exit_reason = KVM_EXIT_IO;
	run->io.direction = KVM_EXIT_IO_OUT;
	run->io.port = SIO_HC_PORT;
	run->io.size = 4;
	run->io.count = 1;
	run->io.data_offset = IO_OFFSET;
	switch (how >> 4) {
	case 0: /* another port, size, count */
		run->io.direction = take8() & 1;
		run->io.port = take8() & 1 ? SIO_HC_PORT : take16();
		run->io.size = 1 << take8() % 3;
		run->io.count = 1 + take16() % (SIO_PAGE / run->io.size);
		n = take32();
		break;
	case 1:
	case 2:
	case 3: /* memory */
		run->exit_reason = KVM_EXIT_MMIO;
		run->mmio.phys_addr = SIO_VIRTIO_BASE + (how & 1) * SIO_VIRTIO_STRIDE + take8() * 4;
		if (how & 2)
			run->mmio.phys_addr = take_num();
		run->mmio.len = how & 4 ? 1 + take8() % 8 : 4;
		run->mmio.is_write = how >> 3 & 1;
		for (unsigned i = 0; i < 8; i++)
			run->mmio.data[i] = i < 4 ? take8() : 0;
		return 0;
	case 4: /* another exit */
		run->exit_reason = take8() % 40;
		if (run->exit_reason == KVM_EXIT_IO || run->exit_reason == KVM_EXIT_MMIO)
			run->exit_reason = KVM_EXIT_HLT;
		return 0;
	case 5:
		if (how & 8)
			c->stuck = true;
		errno = how & 4 ? EINTR : how & 2 ? EAGAIN : EFAULT;
		return -1;
	default: n = leave_number(c, how);
	}
	memcpy((uint8_t *)run + IO_OFFSET, &n, 4);
	return 0;
}

/* KVM. */

static void count(int *n, bool on)
{
	*n += on ? 1 : -1;
	CHECK(*n >= 0);
}

int __wrap_ioctl(int fd, unsigned long req, ...)
{
	const struct kvm_ioeventfd *bell;
	va_list ap;
	void *arg;

	va_start(ap, req);
	arg = va_arg(ap, void *);
	va_end(ap);
	switch (req) {
	case KVM_RUN:
		CHECK(fd >= CTX_FD && fd <= CTX_FD + (int)N_VCPUS);
		return run_exit(&dom->home[HOME_FIRMWARE]->ctx[fd - CTX_FD]);
	case KVM_CHECK_EXTENSION: return (uintptr_t)arg == KVM_CAP_COALESCED_MMIO ? RING_PAGE : 1;
	case KVM_REGISTER_COALESCED_MMIO:
	case KVM_UNREGISTER_COALESCED_MMIO:
		CHECK(fd == GUEST_VM);
		if (req == KVM_REGISTER_COALESCED_MMIO && !over && take8() % 8 == 7)
			return -1;
		count(&n_zones, req == KVM_REGISTER_COALESCED_MMIO);
		return 0;
	case KVM_IOEVENTFD:
		bell = arg;
		CHECK(fd == GUEST_VM && bell->fd >= 0 && bell->len <= 8 &&
		      !(bell->len & (bell->len - 1)));
		if (!(bell->flags & KVM_IOEVENTFD_FLAG_DEASSIGN) && !over && take8() % 8 == 7)
			return -1;
		count(&n_bells, !(bell->flags & KVM_IOEVENTFD_FLAG_DEASSIGN));
		return 0;
	case KVM_IRQ_LINE:
		CHECK(((struct kvm_irq_level *)arg)->irq < N_GSI &&
		      ((struct kvm_irq_level *)arg)->level <= 1);
		if (running)
			scribble(running);
		return 0;
	case KVM_SIGNAL_MSI: scribble(running); return take8() & 1 ? -1 : 0;
	case KVM_GET_REGS:
	case KVM_GET_SREGS: scribble(running); return 0;
	}
	return 0;
}

/* The process behind the mailbox. */

static struct context *context_of(const struct sio_mailbox_shared *m)
{
	struct home *h = dom->home[HOME_IOEMU];

	for (unsigned i = 0; i <= N_VCPUS; i++)
		if (m == &h->ctx[i].slot->mailbox)
			return &h->ctx[i];
	abort();
}

void mailbox_pass(struct sio_mailbox_shared *m, uint32_t to)
{
	struct context *c = context_of(m);
	bool answers = turn(c);
	uint8_t how = answers ? 0xff : take8();

	CHECK(to == SIO_TURN_HOME && c->away);
	if (how >> 4 < 4) {
		m->leave = how >> 4 ? SIO_LEAVE_MMIO : SIO_LEAVE_FAULT;
		m->addr = how & 1 ? take_num() : SIO_VIRTIO_BASE + take16() % 0x2000;
		m->len = how & 2 ? 4 : (uint32_t)take_num();
		m->write = how & 4 ? take32() : how >> 3 & 1;
		m->data = take_num();
	} else {
		m->leave = leave_number(c, how);
	}
}

int mailbox_wait(struct sio_mailbox_shared *m, uint32_t mine, unsigned spin_us)
{
	struct context *c = context_of(m);
	uint8_t how = over ? 0 : take8();

	CHECK(mine == SIO_TURN_HOST);
	running = c;
	if (how < 224)
		return 0;
	if (++n_runs >= MAX_RUNS)
		at = end;
	c->h->gone |= how >= 250;
	c->stuck = how & 1;
	return how & 2 ? -EINTR : -ETIMEDOUT;
}

/* Windows: a device that gives back what it gets. */

static void dev_notify(struct vmmio *d, unsigned q)
{
	struct vq_chain c;

	while (vq_pop(d, q, &c) == 1)
		vq_push(d, q, c.head, 0);
	vq_signal(d, q);
}

static void dev_reset(struct vmmio *d)
{
}

static const struct vmmio_ops dev_ops = {
	.device_id = 2, .n_queues = 2, .notify = dev_notify, .reset = dev_reset
};

void io_kick(struct domain *d)
{
	d->kicked = true;
}

void io_signal(void *ctx, unsigned w)
{
	CHECK(w < 2);
	if (running)
		scribble(running);
}

static void on_message(void *ctx, const char *text)
{
	msg("%s", text);
}

static struct home *new_home(enum home_kind kind)
{
	struct domain *d = dom;
	struct home *h = calloc(1, sizeof(*h));

	h->d = d;
	h->kind = kind;
	h->ops = home_kinds[kind];
	h->priv_size = PRIV_SIZE;
	h->priv = calloc(1, PRIV_SIZE);
	h->vmem.r[0].len = RAM_SIZE;
	h->vmem.r[0].hva = d->win;
	h->vmem.r[1].gpa = SIO_PRIV_BASE;
	h->vmem.r[1].len = PRIV_SIZE;
	h->vmem.r[1].hva = h->priv;
	h->vmem.n = 2;
	h->host = (struct vmmio_host){
		.mem = &h->vmem, .signal = io_signal, .message = on_message, .ctx = h
	};
	h->pidfd = -1;
	for (unsigned i = 0; i <= N_VCPUS; i++) {
		struct context *c = &h->ctx[i];

		c->h = h;
		c->id = i;
		c->fd = CTX_FD + (int)i;
		c->run = kind == HOME_FIRMWARE ? calloc(1, RUN_SIZE) : NULL;
		c->slot = (struct sio_slot_shared *)(void *)(h->priv + SIO_SLOT_OFF +
							     i * SIO_SLOT_SIZE);
	}
	d->home[kind] = h;
	return h;
}

/* Claims from the start, some of them fast, which in a calm input stay as they are. */
static void claim(void)
{
	struct domain *d = dom;

	for (unsigned p = 0; p < 64; p++)
		d->port_owner[p] = p < 48 ? OWNER(HOME_FIRMWARE, 1) : OWNER(HOME_IOEMU, 2);
	d->mmio[d->n_mmio++] = (struct mmio_range){ 0xe0000000u, 0x200, OWNER(HOME_FIRMWARE, 3) };
	d->mmio[d->n_mmio++] = (struct mmio_range){ 0xe0000200u, 0x200, OWNER(HOME_IOEMU, 4) };
	for (unsigned n = take8() & 15; n; n--) {
		unsigned pick = take8(), kind = pick & 0x80 ? SIO_MAP_KICK : 1 + pick % 4,
			 space = take8() & 3 ? SIO_SPACE_PIO : SIO_SPACE_MMIO;
		uint64_t base = take8() & 63, c = take_c(kind);
		struct home *h =
			d->home[space == SIO_SPACE_PIO && base >= 48 ? HOME_IOEMU : HOME_FIRMWARE];

		fast_map(h, space, kind, 1, space == SIO_SPACE_PIO ? base : 0xe0000000u + base,
			 1u << (take8() & 3), c);
	}
}

static void set_up(uint8_t how)
{
	static int epoll = -1, irqfd = -1;
	static struct options opt;
	struct domain *d = dom;

	if (epoll < 0) {
		epoll = epoll_create1(0);
		irqfd = eventfd(0, EFD_NONBLOCK);
	}
	memset(d, 0, sizeof(*d));
	opt.verbose = true;
	opt.debugcon = "log";
	opt.fast = how & 1 ? FAST_ALL : FAST_DEFAULT;
	memset(opt.place, HOME_FIRMWARE, sizeof(opt.place));
	opt.place[SIO_PLACE_IDE] = HOME_IOEMU;
	opt.place[SIO_PLACE_UART] = HOME_STUBDOM; /* which is not there */
	d->opt = &opt;
	d->n_vcpus = N_VCPUS;
	d->guest_vm = GUEST_VM;
	d->epoll = epoll;
	d->run_size = how & 2 ? IO_OFFSET : RUN_SIZE; /* an old KVM has no ring */
	d->win = calloc(1, RAM_SIZE);
	d->ram_low = RAM_SIZE;
	d->bios_size = 0x20000;
	d->next_slot = 4;
	pthread_mutex_init(&d->irq_lock, NULL);
	pthread_mutex_init(&d->map_lock, NULL);
	pthread_rwlock_init(&d->mmio_lock, NULL);
	for (unsigned i = 0; i < N_GSI; i++)
		d->gsi_fd[i] = how & 1 && i == 14 ? irqfd : -1;
	for (unsigned i = 0; i < N_VCPUS; i++) {
		d->vcpu[i].d = d;
		d->vcpu[i].id = i;
		d->vcpu[i].run = calloc(1, RUN_SIZE);
	}
	CHECK(fast_init(d) == 0);
	fast_start(d);
	new_home(HOME_FIRMWARE);
	new_home(HOME_IOEMU);
	for (unsigned i = 0; i < 2; i++) {
		struct home *h = d->home[i ? HOME_IOEMU : HOME_FIRMWARE];

		vmmio_init(&window[i], &dev_ops, &h->host, 0, "disk.img", 0, "selfio", 6);
		home_add_window(h, &window[i]);
	}
	n_zones = n_bells = n_slots = 0;
	given = seen = 0;
	over = false;
	running = NULL;
	calm = how & 4;
	lossless = calm;
	if (calm || how & 8)
		claim();
}

static void tear_down(void)
{
	over = true;
	for (unsigned i = 0; i < 2; i++)
		vmmio_destroy(&window[i]);
	for (unsigned k = 0; k < N_HOMES; k++) {
		struct home *h = dom->home[k];

		if (!h)
			continue;
		fast_unmap(h, SIO_SPACE_PIO, 0, 0x10000);
		fast_unmap(h, SIO_SPACE_MMIO, 0, UINT64_MAX);
		for (unsigned i = 0; i <= N_VCPUS; i++)
			free(h->ctx[i].run);
		free(h->priv);
		free(h);
	}
	/* What KVM was asked for was given back. */
	CHECK(!n_zones && !n_bells && !n_slots);
	for (unsigned i = 0; i < N_VCPUS; i++)
		free(dom->vcpu[i].run);
	close(fast_timer_fd(dom));
	free(dom->fast);
	free(dom->win);
}

static void invariants(void)
{
	CHECK(dom->n_mmio <= SIO_MAX_RANGES);
	for (unsigned i = 0; i < dom->n_mmio; i++)
		CHECK(OWNER_MODEL(dom->mmio[i].owner) &&
		      OWNER_MODEL(dom->mmio[i].owner) < SIO_MAX_MODELS &&
		      dom->home[OWNER_HOME(dom->mmio[i].owner)]);
	for (unsigned k = 0; k < 2; k++) {
		const struct home *h = dom->home[k];

		for (unsigned i = 0; i < SIO_MAX_MODELS; i++)
			CHECK(h->model_name[i][16] == 0);
		for (unsigned i = 0; i < N_GSI; i++)
			CHECK(h->irq_level[i] <= 1 && dom->gsi_level[i] <= 1);
		CHECK(!h->inside);
		for (unsigned i = 0; i <= N_VCPUS; i++)
			CHECK(!h->ctx[i].forwarding && !h->ctx[i].entered_ns);
	}
}

/* KVM puts a guest's write into its ring; a full one makes an exit of it. */
static void ring(void)
{
	struct kvm_coalesced_mmio_ring *r =
		(void *)((uint8_t *)dom->vcpu[0].run + RING_PAGE * SIO_PAGE);
	uint8_t how = take8();
	uint32_t n = 1 + (how >> 2), data;

	for (; n && dom->run_size == RUN_SIZE && (r->last + 1) % RING_MAX != r->first; n--) {
		struct kvm_coalesced_mmio *e = &r->coalesced_mmio[r->last];
		bool mmio = how & 1;
		uint16_t o;

		e->pio = !mmio;
		e->phys_addr = mmio ? 0xe0000000u + take8() * 4 : take8() & 63;
		e->len = how & 2 ? 4 : mmio ? 1 + take8() % 8 : 1u << take8() % 2;
		o = reflect_owner(dom, mmio ? SIO_REQ_MMIO : SIO_REQ_PIO, e->phys_addr, 4);
		data = 0;
		if (e->len == 4 && o)
			data = ++given << 8;
		memcpy(e->data, &data, 4);
		r->last = (r->last + 1) % RING_MAX;
	}
}

static void guest(void)
{
	uint8_t how = take8();
	struct vcpu *v = &dom->vcpu[how & 1];
	unsigned size = 1u << (how >> 1 & 3), kind = how & 8 ? SIO_REQ_MMIO : SIO_REQ_PIO;
	bool write = how & 16;
	uint64_t addr = kind == SIO_REQ_PIO ? take16() : take_num();
	uint64_t data = how;
	uint8_t *buf = NULL;
	uint32_t n = 1, number = given + 1;
	unsigned runs = n_runs;
	uint16_t o;

	if (how & 32 && how & 128) { /* the I/O context's turn */
		struct home *h = dom->home[how & 1 ? HOME_IOEMU : HOME_FIRMWARE];

		h->ctx[N_VCPUS].last = h->ctx[N_VCPUS].slot->req =
			(struct sio_request){ .kind = SIO_REQ_EVENT };
		if (how & 16)
			fast_flush(dom);
		else
			context_run(&h->ctx[N_VCPUS]);
		return;
	}
	if (kind == SIO_REQ_PIO && size == 8)
		size = 4;
	if (kind == SIO_REQ_PIO && how & 64 && how & 32) {
		n = 1 + take16() % (SIO_PAGE / size);
		buf = calloc(n, size);
	}
	if (take8() & 3) /* where homes are asked for fast paths */
		addr = kind == SIO_REQ_PIO ? addr & 63 : 0xe0000000u + (addr & 63);
	/* So that something is reflected. */
	if (kind == SIO_REQ_PIO && how & 128 && !dom->port_owner[addr])
		dom->port_owner[addr] = OWNER(how & 64 ? HOME_IOEMU : HOME_FIRMWARE, 1);
	o = reflect_owner(dom, kind, addr, size);
	if (size == 4)
		data = (uint64_t)number << 8;
	reflect(v, kind, write, addr, size, n, data, buf);
	/* Either it was queued, or all before it were seen. */
	if (n_runs == runs && write && size == 4 && n == 1 && o)
		given = number;
	else if (n_runs != runs && lossless)
		CHECK(seen == given);
	free(buf);
}

static void image(const uint8_t *data, size_t size)
{
	struct home *h = dom->home[HOME_FIRMWARE];
	uint64_t entry = 0;
	char err[200] = "";
	uint8_t *copy = malloc(size);
	int r;

	memcpy(copy, data, size);
	r = image_load(h, copy, size, &entry, err, sizeof(err));
	if (r == 0) {
		CHECK(h->image_len % 4096 == 0 && h->image_len <= PRIV_SIZE - SIO_IMAGE_OFF);
		CHECK(entry >= SIO_PRIV_BASE + SIO_IMAGE_OFF &&
		      entry < SIO_PRIV_BASE + SIO_IMAGE_OFF + h->image_len);
	} else {
		CHECK(r == -1 && strlen(err) > 0);
	}
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	bool is_image = size >= SELFMAG && memcmp(data, ELFMAG, SELFMAG) == 0;

	if (!dom)
		dom = malloc(sizeof(*dom));
	at = data;
	end = data + size;
	n_runs = n_msgs = 0;
	set_up(is_image ? 0 : take8());
	if (is_image)
		image(data, size);
	for (unsigned i = 0; i < 60 && at < end && !is_image; i++) {
		unsigned before = n_msgs, runs = n_runs;

		if (take8() & 1)
			ring();
		guest();
		invariants();
		/* A fault is a few lines, and the end of this home. */
		CHECK(n_msgs - before <= 16 + 2 * (n_runs - runs));
		for (unsigned k = 0; k < 2; k++) {
			dom->home[k]->dead = dom->home[k]->gone = false;
			for (unsigned c = 0; c <= N_VCPUS; c++)
				dom->home[k]->ctx[c].stuck = dom->home[k]->ctx[c].away = false;
		}
	}
	tear_down();
	return 0;
}
