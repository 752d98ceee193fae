/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_reflect.c - the reflector, and the loader of the image, before a firmware that does what the
 * input says.
 *
 * KVM is a stub: each KVM_RUN of a companion vCPU writes what the input wants into the request slot,
 * then leaves by the exit that the input wants.  Other ioctls scribble into the slot too, as another
 * context of the firmware would while the reflector works on the slot.  When the input is used up the
 * firmware answers and is done.  An input that begins with the ELF magic is taken for an image.
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
#include <sys/ioctl.h>

#include "vmm/domain.h"

#define N_VCPUS   2u
#define RUN_SIZE  8192u
#define IO_OFFSET 4096u
#define RAM_SIZE  0x4000u
#define PRIV_SIZE 0x40000u
#define MAX_RUNS  200u

#define CHECK(x)                                                                        \
	do {                                                                            \
		if (!(x)) {                                                             \
			fprintf(stderr, "%s:%d: broken: %s\n", __FILE__, __LINE__, #x); \
			abort();                                                        \
		}                                                                       \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int __wrap_ioctl(int fd, unsigned long req, ...);

static struct domain *dom;
static const uint8_t *at, *end;
static unsigned n_runs, n_msgs;
static struct context *running;
static struct vmmio window[2];

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

/* What reflect.c and image.c want of the others. */

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
	return -1;
}

void domain_fw_failed(struct domain *d)
{
	d->fw_dead = true;
}

void domain_wish(struct domain *d, enum wish w, int status)
{
	CHECK((w == WISH_RESET || w == WISH_STOP) && status >= 0 && status <= 127);
}

void io_timer(struct domain *d, uint64_t deadline_ns)
{
}

void stats_count(struct vcpu *v, unsigned model, uint64_t bytes, uint64_t ticks)
{
	CHECK(model > 0 && model < SIO_MAX_MODELS && bytes <= SIO_PAGE);
}

/* Slots. */

static void scribble(struct context *c)
{
	struct sio_slot_shared *s = c->slot;

	for (unsigned n = take8() & 7; n; n--) {
		switch (take8() % 8) {
		case 0:
		case 1: s->n_ops = (uint32_t)take_num(); break;
		case 2:
			s->text_len = (uint32_t)take_num();
			s->text_level = take8() & 7;
			break;
		case 3: memset(s->text, take8(), sizeof(s->text)); break;
		case 4: s->panic.n_frames = (uint32_t)take_num(); break;
		case 5: s->answer = take_num(); break;
		case 6: ((uint8_t *)s)[take16() % sizeof(*s)] = take8(); break;
		case 7: s->ops[take8() % SIO_MAX_OPS].code = take8() % 10; break;
		}
	}
}

static void write_ops(struct context *c)
{
	unsigned n = take8() % (SIO_MAX_OPS + 1);

	c->slot->n_ops = n;
	n = n > 6 ? 6 : n; /* the rest is what stands there */
	for (unsigned i = 0; i < n; i++) {
		struct sio_op *op = &c->slot->ops[i];

		op->code = take8() % 10;
		switch (op->code) {
		case SIO_OP_MAP:
		case SIO_OP_UNMAP: op->arg = SIO_MAP_ARG(take8() % 3, 0, take8() % 70); break;
		case SIO_OP_IRQ: op->arg = take8() % 26; break;
		default: op->arg = (uint32_t)take_num();
		}
		op->a = take_num();
		op->b = take_num();
	}
}

static int run_exit(struct context *c)
{
	struct kvm_run *run = c->run;
	uint8_t how = take8();
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
	case 6: n = take32(); break;
	case 7:
	case 8:
	case 9: /* FLUSH YIELD LOG PANIC and none */ n = 3 + how % 5; break;
	default: n = c == &dom->io ? SIO_HC_WAIT : SIO_HC_RETURN;
	}
	memcpy((uint8_t *)run + IO_OFFSET, &n, 4);
	return 0;
}

int __wrap_ioctl(int fd, unsigned long req, ...)
{
	va_list ap;
	void *arg;

	va_start(ap, req);
	arg = va_arg(ap, void *);
	va_end(ap);
	switch (req) {
	case KVM_RUN:
		if (++n_runs >= MAX_RUNS)
			at = end;
		if (take8() & 1)
			write_ops(running);
		scribble(running);
		if (at == end) {
			running->slot->n_ops = 0; /* answers, so that it ends */
			running->run->exit_reason = KVM_EXIT_IO;
			running->run->io.direction = KVM_EXIT_IO_OUT;
			running->run->io.port = SIO_HC_PORT;
			running->run->io.size = 4;
			running->run->io.count = 1;
			running->run->io.data_offset = IO_OFFSET;
			memcpy((uint8_t *)running->run + IO_OFFSET,
			       &(uint32_t){ running == &dom->io ? SIO_HC_WAIT : SIO_HC_RETURN }, 4);
			return 0;
		}
		return run_exit(running);
	case KVM_IRQ_LINE:
		CHECK(((struct kvm_irq_level *)arg)->irq < N_GSI &&
		      ((struct kvm_irq_level *)arg)->level <= 1);
		scribble(running);
		return 0;
	case KVM_SIGNAL_MSI: scribble(running); return take8() & 1 ? -1 : 0;
	case KVM_GET_REGS:
	case KVM_GET_SREGS: scribble(running); return 0;
	}
	return 0;
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

static void on_signal(void *ctx, unsigned w)
{
	CHECK(w < 2);
	if (running)
		scribble(running);
}

static void on_message(void *ctx, const char *text)
{
	msg("%s", text);
}

static void set_up(void)
{
	static struct options opt;
	struct domain *d = dom;

	memset(d, 0, sizeof(*d));
	opt.verbose = true;
	opt.debugcon = "log";
	d->opt = &opt;
	d->n_vcpus = N_VCPUS;
	d->priv_size = PRIV_SIZE;
	d->priv = calloc(1, PRIV_SIZE);
	d->ram = calloc(1, RAM_SIZE);
	pthread_mutex_init(&d->irq_lock, NULL);
	pthread_mutex_init(&d->map_lock, NULL);
	pthread_rwlock_init(&d->mmio_lock, NULL);
	d->vmem.r[0].len = RAM_SIZE;
	d->vmem.r[0].hva = d->ram;
	d->vmem.r[1].gpa = SIO_PRIV_BASE;
	d->vmem.r[1].len = PRIV_SIZE;
	d->vmem.r[1].hva = d->priv;
	d->vmem.n = 2;
	d->host = (struct vmmio_host){
		.mem = &d->vmem, .signal = on_signal, .message = on_message, .ctx = d
	};
	for (unsigned i = 0; i < 2; i++) {
		vmmio_init(&window[i], &dev_ops, &d->host, i, "disk.img", 0, "selfio", 6);
		d->window[d->n_windows++] = &window[i];
	}
	for (unsigned i = 0; i <= N_VCPUS; i++) {
		struct context *c = i < N_VCPUS ? &d->vcpu[i].ctx : &d->io;

		c->d = d;
		c->id = i;
		c->fd = -1;
		c->run = calloc(1, RUN_SIZE);
		c->slot = (struct sio_slot_shared *)(d->priv + SIO_SLOT_OFF + i * SIO_SLOT_SIZE);
		if (i < N_VCPUS) {
			d->vcpu[i].d = d;
			d->vcpu[i].id = i;
		}
	}
}

static void tear_down(void)
{
	for (unsigned i = 0; i < 2; i++)
		vmmio_destroy(&window[i]);
	for (unsigned i = 0; i <= N_VCPUS; i++)
		free((i < N_VCPUS ? &dom->vcpu[i].ctx : &dom->io)->run);
	free(dom->priv);
	free(dom->ram);
}

static void invariants(void)
{
	CHECK(dom->n_mmio <= SIO_MAX_RANGES);
	for (unsigned i = 0; i < dom->n_mmio; i++)
		CHECK(dom->mmio[i].model && dom->mmio[i].model < SIO_MAX_MODELS);
	for (unsigned i = 0; i < SIO_MAX_MODELS; i++)
		CHECK(dom->model_name[i][16] == 0);
	for (unsigned i = 0; i < N_GSI; i++)
		CHECK(dom->irq_level[i] <= 1);
}

static void guest(void)
{
	uint8_t how = take8();
	struct vcpu *v = &dom->vcpu[how & 1];
	unsigned size = 1u << (how >> 1 & 3), kind = how & 8 ? SIO_REQ_MMIO : SIO_REQ_PIO;
	bool write = how & 16;
	uint64_t addr = kind == SIO_REQ_PIO ? take16() : take_num();
	uint8_t *buf = NULL;
	uint32_t count = 1;

	if (how & 32) { /* the I/O context's turn */
		running = &dom->io;
		context_run(&dom->io);
		return;
	}
	if (kind == SIO_REQ_PIO && size == 8)
		size = 4;
	if (kind == SIO_REQ_PIO && how & 64) {
		count = 1 + take16() % (SIO_PAGE / size);
		buf = calloc(count, size);
	}
	/* So that something is reflected. */
	if (kind == SIO_REQ_PIO && how & 128)
		dom->port_model[addr] = 1;
	running = &v->ctx;
	reflect(v, kind, write, addr, size, count, how, buf);
	free(buf);
}

static void image(const uint8_t *data, size_t size)
{
	uint64_t entry = 0;
	char err[200] = "";
	int r;

	dom->image = malloc(size);
	memcpy(dom->image, data, size);
	dom->image_file_len = size;
	r = image_load(dom, &entry, err, sizeof(err));
	if (r == 0) {
		CHECK(dom->image_len % 4096 == 0 && dom->image_len <= PRIV_SIZE - SIO_IMAGE_OFF);
		CHECK(entry >= SIO_PRIV_BASE + SIO_IMAGE_OFF &&
		      entry < SIO_PRIV_BASE + SIO_IMAGE_OFF + dom->image_len);
	} else {
		CHECK(r == -1 && strlen(err) > 0);
	}
	free(dom->image);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!dom)
		dom = malloc(sizeof(*dom));
	set_up();
	at = data;
	end = data + size;
	n_runs = n_msgs = 0;
	if (size >= SELFMAG && memcmp(data, ELFMAG, SELFMAG) == 0) {
		image(data, size);
	} else {
		for (unsigned i = 0; i < 60 && at < end; i++) {
			unsigned before = n_msgs, runs = n_runs;

			guest();
			invariants();
			/* A fault is a few lines, and the end of this firmware. */
			CHECK(n_msgs - before <= 8 + n_runs - runs);
			dom->fw_dead = false;
		}
	}
	tear_down();
	return 0;
}
