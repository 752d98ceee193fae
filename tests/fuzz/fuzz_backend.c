/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_backend.c - a disk and a console back end under a driver that does what the input says.
 *
 * The input is a list of steps: registers, descriptors, rings, raw memory, notifications, the I/O
 * thread's turns.  Short forms of what drivers do (a handshake, a whole request) lead deeper.  The
 * disk is a memfd, without io_uring, so that a run is the same each time; the console's ends are pipes.
 */
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "backends/blk.h"
#include "backends/console.h"
#include "fuzz_driver.h"

#define SECTORS   64u
#define MAX_STEPS 300u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct {
	struct vmmio_host host;
	struct blk_ring *ring;
	struct blk_dev *blk;
	struct console_dev *con;
	struct vmmio *dev[2];
	int disk_fd, con_in, con_out; /* our ends */
} f;

static void on_signal(void *ctx, unsigned window)
{
	CHECK(window < 2);
}

static void set_up(void)
{
	char path[64], err[256];
	int in[2], out[2];
	struct blk_opts o = { .path = path };

	mem_init();
	f.host = (struct vmmio_host){ &m.mem, on_signal, on_message, NULL };

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

/* A whole block request in an indirect table, nearly right. */
static void request(struct input *in)
{
	static const uint8_t types[] = { 0, 1, 4, 8, 11, 13, 0, 1 };
	uint8_t type = types[u8(in) & 7], head = u8(in) % 16, n = u8(in) % 6, spoil = u8(in);
	struct virtio_blk_hdr hdr = { type, 0, u8(in) % (SECTORS + 2) };
	struct virtio_blk_range r = { u8(in), u8(in), u8(in) & 3 };
	struct virtq_desc_shared *t = (void *)m.ram;
	unsigned i;

	memcpy(m.ram + 0x1000, &hdr, sizeof(hdr));
	memcpy(m.ram + 0x1010, &r, sizeof(r));
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
			m.priv[at % PRIV] = u8(in);
		break;
	case 7:
		at = u16(in) % RAM;
		n = u8(in) & 63;
		for (; n--; at++)
			m.ram[at % RAM] = u8(in);
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

	if (!m.ram)
		set_up();
	mem_clear();
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
