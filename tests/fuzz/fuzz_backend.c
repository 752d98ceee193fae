/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_backend.c - a disk and a console back end under a driver that does what the input says.
 *
 * The input is a list of steps: registers, descriptors, rings, raw memory, notifications, the I/O
 * thread's turns.  Short forms of what drivers do (a handshake, a whole request) lead deeper.  The
 * disk is a memfd, without io_uring, so that a run is the same each time; the console's ends are pipes.
 *
 * Each piece of companion memory is an allocation of its own, so that ASan sees what leaves it.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "backends/blk.h"
#include "backends/console.h"
#include "sio/abi.h"

#define RAM       0x8000u
#define PRIV      0x4000u
#define BLOB      0x1000000u
#define BLOB_LEN  4096u
#define SECTORS   64u
#define MAX_STEPS 300u

#define CHECK(x)                                                                        \
	do {                                                                            \
		if (!(x)) {                                                             \
			fprintf(stderr, "%s:%d: broken: %s\n", __FILE__, __LINE__, #x); \
			abort();                                                        \
		}                                                                       \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct {
	uint8_t *ram, *priv, *blob;
	struct vmem mem;
	struct vmmio_host host;
	struct blk_ring *ring;
	struct blk_dev *blk;
	struct console_dev *con;
	struct vmmio *dev[2];
	int disk_fd, con_in, con_out; /* our ends */
} f;

struct input {
	const uint8_t *p;
	size_t left;
};

static uint8_t u8(struct input *in)
{
	if (!in->left)
		return 0;
	in->left--;
	return *in->p++;
}

static uint32_t u16(struct input *in)
{
	uint32_t lo = u8(in);

	return lo | (uint32_t)u8(in) << 8;
}

static uint32_t u32(struct input *in)
{
	uint32_t lo = u16(in);

	return lo | u16(in) << 16;
}

static void on_signal(void *ctx, unsigned window)
{
	CHECK(window < 2);
}

static void on_message(void *ctx, const char *text)
{
	CHECK(strlen(text) < 512 && !strchr(text, '\n'));
}

static void set_up(void)
{
	char path[64], err[256];
	int in[2], out[2];
	struct blk_opts o = { .path = path };

	f.ram = aligned_alloc(4096, RAM);
	f.priv = aligned_alloc(4096, PRIV);
	f.blob = aligned_alloc(4096, BLOB_LEN);
	f.mem.r[0].hva = f.ram;
	f.mem.r[0].len = RAM;
	f.mem.r[1].gpa = SIO_PRIV_BASE;
	f.mem.r[1].hva = f.priv;
	f.mem.r[1].len = PRIV;
	f.mem.r[2].gpa = BLOB;
	f.mem.r[2].hva = f.blob;
	f.mem.r[2].len = BLOB_LEN;
	f.mem.r[2].ro = true;
	f.mem.n = 3;
	f.host = (struct vmmio_host){ &f.mem, on_signal, on_message, NULL };

	f.disk_fd = memfd_create("disk", 0);
	CHECK(!ftruncate(f.disk_fd, SECTORS * 512));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", f.disk_fd);
	f.ring = blk_ring_new(true, NULL, NULL);
	f.blk = blk_open(&o, err, sizeof(err));
	CHECK(f.ring && f.blk);
	blk_attach(f.blk, f.ring, &f.host, 0);
	f.dev[0] = blk_vmmio(f.blk);
	f.dev[0]->name = "disk";

	CHECK(!pipe2(in, O_NONBLOCK | O_CLOEXEC) && !pipe2(out, O_NONBLOCK | O_CLOEXEC));
	f.con_in = in[1];
	f.con_out = out[0];
	fcntl(out[1], F_SETPIPE_SZ, 4096);
	dup2(in[0], 0);
	dup2(out[1], 1);
	f.con = console_open("stdio", err, sizeof(err));
	CHECK(f.con);
	console_attach(f.con, &f.host, 1, NULL, NULL);
	f.dev[1] = console_vmmio(f.con);
}

static uint64_t reg_access(struct vmmio *d, uint32_t off, unsigned size, bool write, uint64_t v)
{
	vmmio_access(d, off, size, write, &v);
	return v;
}

static void wr(struct vmmio *d, uint32_t off, uint32_t v)
{
	reg_access(d, off, 4, true, v);
}

/* An address: mostly memory, often near an edge of it. */
static uint64_t addr(struct input *in)
{
	uint32_t sel = u8(in), off = u16(in);

	switch (sel & 7) {
	case 0: return SIO_PRIV_BASE + off % PRIV;
	case 1: return RAM - off % 64;
	case 2: return BLOB + off % BLOB_LEN;
	case 3: return (uint64_t)off << 48 | off;
	case 4: return SIO_PRIV_BASE + PRIV - off % 64;
	default: return off % RAM;
	}
}

static uint32_t length(struct input *in)
{
	uint32_t sel = u8(in), n = u8(in);

	switch (sel & 7) {
	case 0: return u32(in);
	case 1: return 0;
	case 2: return n;
	case 3: return 16;
	case 4: return 16 * n;
	case 5: return 1;
	default: return 512 * (1 + n % 16);
	}
}

/* Where the short forms put things: descriptors, avail and used of queue q in private memory. */
static uint64_t part(unsigned q, unsigned what)
{
	return SIO_PRIV_BASE + q * 0x1800 + what * 0x800;
}

static struct virtq_desc_shared *desc_at(unsigned q, unsigned i)
{
	return (struct virtq_desc_shared *)(void *)(f.priv + (part(q, 0) - SIO_PRIV_BASE)) + i % 64;
}

static void add(unsigned q, uint16_t head, unsigned num)
{
	struct virtq_avail_shared *a = (void *)(f.priv + (part(q, 1) - SIO_PRIV_BASE));

	a->ring[a->idx % num] = head;
	a->idx++;
}

static void start(struct vmmio *d, struct input *in)
{
	uint32_t how = u8(in), features = u32(in), num = how & 8 ? u8(in) : 16;
	unsigned q;

	wr(d, VIRTIO_MMIO_STATUS, 0);
	wr(d, VIRTIO_MMIO_STATUS, 3);
	wr(d, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 0);
	wr(d, VIRTIO_MMIO_DRIVER_FEATURES, how & 1 ? features : (uint32_t)d->features);
	wr(d, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
	wr(d, VIRTIO_MMIO_DRIVER_FEATURES, how & 2 ? 0 : 1);
	wr(d, VIRTIO_MMIO_STATUS, 11);
	for (q = 0; q < d->ops->n_queues; q++) {
		memset(f.priv + q * 0x1800, 0, 0x1800);
		wr(d, VIRTIO_MMIO_QUEUE_SEL, q);
		wr(d, VIRTIO_MMIO_QUEUE_NUM, num);
		wr(d, VIRTIO_MMIO_QUEUE_DESC_LOW, (uint32_t)part(q, 0));
		wr(d, VIRTIO_MMIO_QUEUE_DESC_HIGH, 0);
		wr(d, VIRTIO_MMIO_QUEUE_DRIVER_LOW, (uint32_t)part(q, 1));
		wr(d, VIRTIO_MMIO_QUEUE_DRIVER_HIGH, how & 4 ? features : 0);
		wr(d, VIRTIO_MMIO_QUEUE_DEVICE_LOW, (uint32_t)part(q, 2));
		wr(d, VIRTIO_MMIO_QUEUE_DEVICE_HIGH, 0);
		wr(d, VIRTIO_MMIO_QUEUE_READY, 1);
	}
	wr(d, VIRTIO_MMIO_STATUS, 15);
}

/* A whole block request in an indirect table, nearly right. */
static void request(struct input *in)
{
	static const uint8_t types[] = { 0, 1, 4, 8, 11, 13, 0, 1 };
	uint8_t type = types[u8(in) & 7], head = u8(in) % 16, n = u8(in) % 6, spoil = u8(in);
	struct virtio_blk_hdr hdr = { type, 0, u8(in) % (SECTORS + 2) };
	struct virtio_blk_range r = { u8(in), u8(in), u8(in) & 3 };
	struct virtq_desc_shared *t = (void *)f.ram;
	unsigned i;

	memcpy(f.ram + 0x1000, &hdr, sizeof(hdr));
	memcpy(f.ram + 0x1010, &r, sizeof(r));
	t[0] = (struct virtq_desc_shared){ 0x1000, 16, VIRTQ_DESC_F_NEXT, 1 };
	for (i = 1; i <= n; i++)
		t[i] = (struct virtq_desc_shared){ addr(in), length(in),
						   VIRTQ_DESC_F_NEXT |
							   (type == 0 ? VIRTQ_DESC_F_WRITE : 0),
						   (uint16_t)(i + 1) };
	if (type > 10)
		t[1] = (struct virtq_desc_shared){ 0x1010, 16, VIRTQ_DESC_F_NEXT, 2 };
	if (type > 10 && !n)
		n = 1;
	t[n + 1] = (struct virtq_desc_shared){ 0x1020, 1, VIRTQ_DESC_F_WRITE, 0 };
	if (spoil & 1)
		t[spoil >> 1 & 7].flags ^= (uint16_t)(1u << (spoil >> 4 & 3));
	*desc_at(0, head) =
		(struct virtq_desc_shared){ 0, 16u * (n + 2), VIRTQ_DESC_F_INDIRECT, 0 };
	add(0, head, 16);
	if (!(spoil & 2))
		wr(f.dev[0], VIRTIO_MMIO_QUEUE_NOTIFY, 0);
}

static void step(struct input *in)
{
	static const uint16_t regs[] = {
		VIRTIO_MMIO_STATUS,           VIRTIO_MMIO_QUEUE_SEL,
		VIRTIO_MMIO_QUEUE_NUM,        VIRTIO_MMIO_QUEUE_READY,
		VIRTIO_MMIO_QUEUE_DESC_LOW,   VIRTIO_MMIO_QUEUE_DESC_HIGH,
		VIRTIO_MMIO_QUEUE_DRIVER_LOW, VIRTIO_MMIO_QUEUE_DRIVER_HIGH,
		VIRTIO_MMIO_QUEUE_DEVICE_LOW, VIRTIO_MMIO_QUEUE_DEVICE_HIGH,
		VIRTIO_MMIO_DRIVER_FEATURES,  VIRTIO_MMIO_DRIVER_FEATURES_SEL,
		VIRTIO_MMIO_INTERRUPT_ACK,    VIRTIO_MMIO_DEVICE_FEATURES_SEL,
	};
	uint8_t op = u8(in), sel = u8(in);
	struct vmmio *d = f.dev[sel & 1];
	uint8_t buf[256];
	uint32_t at, n;

	switch (op % 14) {
	case 0: wr(d, regs[u8(in) % (sizeof(regs) / 2)], sel & 2 ? u32(in) : u8(in)); break;
	case 1: wr(d, regs[u8(in) % (sizeof(regs) / 2)], (uint32_t)addr(in)); break;
	case 2: reg_access(d, u16(in) % 4096, 1u << (sel >> 2 & 3), sel & 2, u32(in)); break;
	case 3:
		*desc_at(sel & 1, u8(in)) = (struct virtq_desc_shared){ .addr = addr(in),
									.len = length(in),
									.flags = u8(in) & 7,
									.next = u8(in) & 31 };
		break;
	case 4: add(sel >> 1 & 1, sel & 4 ? (uint16_t)u16(in) : u8(in) & 15, 16); break;
	case 5: wr(d, VIRTIO_MMIO_QUEUE_NOTIFY, u8(in) & 3); break;
	case 6:
		at = u16(in) % PRIV;
		n = u8(in) & 63;
		for (; n--; at++)
			f.priv[at % PRIV] = u8(in);
		break;
	case 7:
		at = u16(in) % RAM;
		n = u8(in) & 63;
		for (; n--; at++)
			f.ram[at % RAM] = u8(in);
		break;
	case 8: blk_ring_ready(f.ring); break;
	case 9: console_ready(f.con); break;
	case 10: start(d, in); break;
	case 11: request(in); break;
	case 12:
		memset(buf, sel, sizeof(buf));
		n = u8(in);
		if (write(f.con_in, buf, n) < 0)
			break;
		console_ready(f.con);
		break;
	case 13:
		if (read(f.con_out, buf, sizeof(buf)) > 0)
			console_ready(f.con);
		break;
	}
}

static void check(void)
{
	unsigned i, q;

	for (i = 0; i < 2; i++) {
		for (q = 0; q < VMMIO_MAX_QUEUES; q++) {
			const struct vq *v = &f.dev[i]->q[q];

			CHECK(v->in_flight == (unsigned)__builtin_popcountll(v->busy));
			CHECK(!v->ready || (v->num && v->num <= VMMIO_QUEUE_MAX));
			CHECK(!v->ready || v->in_flight <= v->num);
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	static uint8_t sink[65536];
	unsigned i;

	if (!f.ram)
		set_up();
	memset(f.ram, 0, RAM);
	memset(f.priv, 0, PRIV);
	memset(f.blob, 0, BLOB_LEN);
	for (i = 0; in.left && i < MAX_STEPS; i++) {
		step(&in);
		check();
	}
	for (i = 0; i < 2; i++)
		wr(f.dev[i], VIRTIO_MMIO_STATUS, 0);
	blk_drain(f.blk);
	CHECK(lseek(f.disk_fd, 0, SEEK_END) == SECTORS * 512);
	do
		console_ready(f.con);
	while (read(f.con_out, sink, sizeof(sink)) > 0);
	for (i = 0; i < 2; i++) {
		CHECK(reg_access(f.dev[i], VIRTIO_MMIO_STATUS, 4, false, 0) == 0);
		CHECK(!f.dev[i]->q[0].in_flight && !f.dev[i]->q[1].in_flight);
		f.dev[i]->told = false;
	}
	return 0;
}
