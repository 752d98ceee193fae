/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_netpv.c - the network back end under a driver and before a peer that do what the input says; or,
 * by its first byte, the front end before a device that does.
 *
 * Two back ends: one on a stream socket, one on a packet socket that plays a TAP interface.  Each run
 * starts with new sockets.
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "backends/net_int.h"
#include "drivers/virtio/virtio_net.h"
#include "fuzz_driver.h"

#define MAX_STEPS 300u
#define FE_ALLOCS 12u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct {
	struct vmmio_host host;
	struct net_dev *nd[2];
	struct vmmio *dev[2];
	int peer[2]; /* our ends; -1 */
} f;

static void on_signal(void *ctx, unsigned window)
{
	CHECK(window < 2);
}

static bool port_open(struct net_dev *nd, char *err, size_t errlen)
{
	return true;
}

static void port_nothing(struct net_dev *nd)
{
}

static void port_lost(struct net_dev *nd, int error)
{
}

/* As much less as the frame itself says. */
static size_t port_unpad(const uint8_t *frame, size_t len)
{
	CHECK(len >= 14 && len <= NET_PADDED);
	return len - frame[len - 1] % (len - 13);
}

static const struct net_port_ops ports[2] = {
	{ .stream = true,
	  .open = port_open,
	  .start = port_nothing,
	  .event = port_nothing,
	  .lost = port_lost,
	  .unpad = port_unpad,
	  .close = port_nothing },
	{ .open = port_open,
	  .start = port_nothing,
	  .event = port_nothing,
	  .lost = port_lost,
	  .close = port_nothing },
};

static void set_up(void)
{
	struct net_opts o = { 0 };
	char err[100];
	unsigned i;

	signal(SIGPIPE, SIG_IGN);
	mem_init();
	f.host = (struct vmmio_host){ &m.mem, on_signal, on_message, NULL };
	for (i = 0; i < 2; i++) {
		f.nd[i] = net_new(&o, &ports[i], err, sizeof(err));
		CHECK(f.nd[i]);
		net_attach(f.nd[i], &f.host, i);
		f.dev[i] = net_vmmio(f.nd[i]);
		f.peer[i] = -1;
	}
}

static void disconnect(unsigned i)
{
	if (f.peer[i] >= 0)
		close(f.peer[i]);
	f.peer[i] = -1;
	pthread_mutex_lock(&f.dev[i]->lock);
	net_close_io(f.nd[i]);
	net_set_link(f.nd[i], false);
	pthread_mutex_unlock(&f.dev[i]->lock);
	net_ready(f.nd[i]);
}

static void connect_to(unsigned i)
{
	int sp[2], small = 4096;

	disconnect(i);
	CHECK(!socketpair(
		AF_UNIX, (i ? SOCK_SEQPACKET : SOCK_STREAM) | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, sp));
	setsockopt(sp[1], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	f.peer[i] = sp[0];
	pthread_mutex_lock(&f.dev[i]->lock);
	net_set_fd(f.nd[i], sp[1]);
	net_set_link(f.nd[i], true);
	pthread_mutex_unlock(&f.dev[i]->lock);
	net_ready(f.nd[i]);
}

static uint32_t frame_len(struct input *in)
{
	static const uint16_t len[] = { 0, 13, 14, 60, 1514, 5000, 16128, 16129 };
	uint8_t sel = u8(in);

	return sel & 8 ? u16(in) : len[sel & 7];
}

static void header(struct input *in, uint8_t h[NET_HDR])
{
	unsigned i;

	memset(h, 0, NET_HDR);
	h[0] = u8(in) & 3;
	h[1] = u8(in) & 7;
	if (h[0] || h[1])
		for (i = 2; i < NET_HDR; i++)
			h[i] = u8(in);
}

/* A frame of the driver's, nearly right. */
static void transmit(struct input *in, unsigned i)
{
	uint8_t head = u8(in) % 16, n = 1 + u8(in) % 4, spoil = u8(in), h[NET_HDR], k;
	struct virtq_desc_shared *t = (void *)(m.ram + 0x800);

	header(in, h);
	memcpy(m.ram + 0x1000, h, NET_HDR);
	t[0] = (struct virtq_desc_shared){ 0x1000, NET_HDR, VIRTQ_DESC_F_NEXT, 1 };
	for (k = 1; k <= n; k++)
		t[k] = (struct virtq_desc_shared){ 0x1000 + NET_HDR, frame_len(in),
						   VIRTQ_DESC_F_NEXT, (uint16_t)(k + 1) };
	t[n].flags = 0;
	if (spoil & 1)
		t[spoil >> 1 & 3].flags ^= (uint16_t)(1u << (spoil >> 4 & 3));
	if (spoil & 2)
		t[0].len = u8(in);
	*desc_at(1, head) =
		(struct virtq_desc_shared){ 0x800, 16u * (n + 1), VIRTQ_DESC_F_INDIRECT, 0 };
	add(1, head, 16);
	wr(f.dev[i], VIRTIO_MMIO_QUEUE_NOTIFY, 1);
}

/* Buffers for what comes in, nearly right. */
static void post(struct input *in, unsigned i)
{
	uint8_t first = u8(in) % 16, n = 1 + u8(in) % 16, spoil = u8(in);
	uint32_t len = spoil & 1 ? length(in) : 1536;

	for (; n--; first = (first + 1) % 16) {
		*desc_at(0, first) =
			(struct virtq_desc_shared){ spoil & 2 ? addr(in) : 0x2000 + first * 0x600u,
						    len, VIRTQ_DESC_F_WRITE, 0 };
		if (spoil & 4)
			desc_at(0, first)->flags = u8(in) & 3;
		desc_at(0, first)->next = (uint16_t)((first + 1) % 16);
		add(0, first, 16);
	}
	wr(f.dev[i], VIRTIO_MMIO_QUEUE_NOTIFY, 0);
}

static void peer_write(struct input *in, unsigned i, bool whole)
{
	static uint8_t buf[4 + 70000];
	uint32_t len, n = 0, k;

	if (!whole) {
		n = u8(in) & 31;
		for (k = 0; k < n; k++)
			buf[k] = u8(in);
	} else if (i) {
		header(in, buf);
		n = NET_HDR + frame_len(in);
	} else {
		len = frame_len(in);
		for (k = 0; k < 4; k++)
			buf[k] = (uint8_t)(len >> (24 - 8 * k));
		n = 4 + len;
	}
	if (n && f.peer[i] >= 0 && send(f.peer[i], buf, n, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		return;
}

static void step(struct input *in)
{
	static const uint16_t regs[] = {
		VIRTIO_MMIO_STATUS,           VIRTIO_MMIO_QUEUE_SEL,
		VIRTIO_MMIO_QUEUE_NUM,        VIRTIO_MMIO_QUEUE_READY,
		VIRTIO_MMIO_QUEUE_DESC_LOW,   VIRTIO_MMIO_QUEUE_DRIVER_LOW,
		VIRTIO_MMIO_QUEUE_DEVICE_LOW, VIRTIO_MMIO_DRIVER_FEATURES,
	};
	static uint8_t sink[70000];
	uint8_t op = u8(in), sel = u8(in);
	unsigned i = sel & 1;
	struct vmmio *d = f.dev[i];
	uint32_t at, n;

	switch (op % 14) {
	case 0: wr(d, regs[sel >> 1 & 7], sel & 16 ? u32(in) : u8(in)); break;
	case 1: reg_access(d, u16(in) % 4096, 1u << (sel >> 2 & 3), sel & 2, u32(in)); break;
	case 2:
		*desc_at(sel >> 1 & 1, u8(in)) = (struct virtq_desc_shared){ .addr = addr(in),
									     .len = length(in),
									     .flags = u8(in) & 7,
									     .next = u8(in) & 31 };
		break;
	case 3: add(sel >> 1 & 1, sel & 4 ? (uint16_t)u16(in) : u8(in) & 15, 16); break;
	case 4: wr(d, VIRTIO_MMIO_QUEUE_NOTIFY, sel >> 1 & 1); break;
	case 5:
		at = u16(in) % PRIV;
		for (n = u8(in) & 31; n--; at++)
			m.priv[at % PRIV] = u8(in);
		break;
	case 6: start(d, in); break;
	case 7:
	case 8: transmit(in, i); break;
	case 9: post(in, i); break;
	case 10: peer_write(in, i, false); break;
	case 11: peer_write(in, i, true); break;
	case 12:
		if (sel & 2)
			connect_to(i);
		else if (f.peer[i] >= 0 && read(f.peer[i], sink, sizeof(sink)) < 0)
			break;
		break;
	case 13: break;
	}
	if (!(sel & 128))
		net_ready(f.nd[i]);
}

static void check(void)
{
	unsigned i, q, k;
	size_t room;

	for (i = 0; i < 2; i++) {
		const struct net_dev *nd = f.nd[i];

		for (q = 0; q < 2; q++) {
			const struct vq *v = &f.dev[i]->q[q];

			CHECK(v->in_flight == (unsigned)__builtin_popcountll(v->busy));
			CHECK(!v->ready || v->in_flight <= v->num);
		}
		CHECK(f.dev[i]->q[0].in_flight == nd->n_rx && !f.dev[i]->q[1].in_flight);
		for (k = 0, room = 0; k < nd->n_rx; k++)
			room += nd->rx[(nd->rx_first + k) % NET_RX_STASH].in_len;
		CHECK(room == nd->room);
		CHECK(nd->rest_pos <= nd->rest_len && nd->frame_got <= nd->frame_len);
		CHECK(nd->len_got <= 4 && nd->kept <= NETDEV_MAX_FRAME);
	}
}

static void back_end(struct input *in)
{
	unsigned i;

	mem_clear();
	for (i = 0; i < 2; i++)
		connect_to(i);
	for (i = 0; in->left && i < MAX_STEPS; i++) {
		step(in);
		check();
	}
	for (i = 0; i < 2; i++) {
		wr(f.dev[i], VIRTIO_MMIO_STATUS, 0);
		CHECK(reg_access(f.dev[i], VIRTIO_MMIO_STATUS, 4, false, 0) == 0);
		CHECK(!f.dev[i]->q[0].in_flight && !f.dev[i]->q[1].in_flight);
		disconnect(i);
		/* With no one there, nothing to do: no storm. */
		struct pollfd p = { .fd = net_fd(f.nd[i]), .events = POLLIN };

		net_ready(f.nd[i]);
		CHECK(!poll(&p, 1, 0));
		f.dev[i]->told = false;
	}
	check();
}

/* The front end. */

static struct {
	struct pv_env env;
	struct input *in;
	void *mem[FE_ALLOCS];
	unsigned n_mem;
	uint32_t status;
	struct virtio_net vn;
	struct net_tx tx[40];
	unsigned flying[40];
	bool resume;
} fe;

static void *fe_alloc(void *ctx, size_t size, size_t align)
{
	CHECK(fe.n_mem < FE_ALLOCS);
	/* Of its own, and not longer: ASan watches the ends. */
	fe.mem[fe.n_mem] = calloc(1, size);
	return fe.mem[fe.n_mem++];
}

static uint64_t fe_gpa(void *ctx, const void *p)
{
	return (uintptr_t)p;
}

static uint32_t fe_read(void *ctx, uint64_t reg)
{
	switch (reg) {
	case VIRTIO_MMIO_MAGIC: return VIRTIO_MMIO_MAGIC_VALUE;
	case VIRTIO_MMIO_VERSION: return VIRTIO_MMIO_VERSION_2;
	case VIRTIO_MMIO_DEVICE_ID: return VIRTIO_ID_NET;
	case VIRTIO_MMIO_DEVICE_FEATURES: return 0xffffffff;
	case VIRTIO_MMIO_QUEUE_NUM_MAX: return 64;
	case VIRTIO_MMIO_STATUS:
		return fe.vn.rx.env && fe.status == 15 && u8(fe.in) > 250 ? VIRTIO_S_NEEDS_RESET :
									    fe.status;
	case VIRTIO_MMIO_INTERRUPT_STATUS:
	case VIRTIO_MMIO_CONFIG:
	case VIRTIO_MMIO_CONFIG + 4: return u32(fe.in);
	default: return 0;
	}
}

static void fe_write(void *ctx, uint64_t reg, uint32_t v)
{
	if (reg == VIRTIO_MMIO_STATUS)
		fe.status = v;
}

static bool fe_receive(void *owner, const uint8_t *frame, size_t len, const struct net_offload *off)
{
	uint8_t what = u8(fe.in);
	uint32_t sum = 0;
	size_t i;

	CHECK(len >= 14 && len <= VIRTIO_NET_MAX_RX_FRAME && off->gso == NET_GSO_NONE);
	CHECK(!(off->flags & NET_CSUM_PARTIAL) ||
	      (size_t)off->csum_start + off->csum_offset + 2 <= len);
	for (i = 0; i < len; i++)
		sum += frame[i];
	return (what & 15) != 0 || sum == 1;
}

static void fe_send(unsigned n);

static void fe_done(void *owner, struct net_tx *tx, int err)
{
	unsigned n = (unsigned)(tx - fe.tx);

	CHECK(n < 40 && fe.flying[n]);
	fe.flying[n] = 0;
	if (!(u8(fe.in) & 7))
		fe_send(n);
}

static void fe_send(unsigned n)
{
	static const struct gpa_seg seg[NET_MAX_SEGS] = { { { 4096 }, 60 } };

	if (fe.flying[n])
		return;
	fe.tx[n] = (struct net_tx){
		.seg = seg, .n_seg = u8(fe.in) % (NET_MAX_SEGS + 2), .lazy = n & 1, .done = fe_done
	};
	fe.flying[n] = !net_send(&fe.vn.net, &fe.tx[n]);
}

static void fe_nothing(void *owner)
{
}

static void fe_used(struct input *in, struct virtq *q, bool rx)
{
	static const uint16_t lens[] = { 0, 11, 12, 13, 26, 72, 1536, 1537 };
	uint8_t sel = u8(in), id = u8(in);
	uint32_t len = sel & 8 ? u32(in) : lens[sel & 7];
	uint8_t h[NET_HDR];

	if (!(sel & 16))
		id %= 32;
	if (rx && id < 32 && sel & 32) {
		header(in, h);
		if (sel & 64)
			h[1] = 0;
		h[10] = sel & 128 ? u8(in) : 1;
		h[11] = 0;
		memcpy(fe.vn.rx_buf + id * VIRTIO_NET_RX_BYTES, h, sizeof(h));
	}
	q->used->ring[q->used->idx % q->num] = (struct virtq_used_elem){ id, len };
	q->used->idx++;
}

static void front_end(struct input *in)
{
	unsigned i, n, flying;

	memset(&fe, 0, sizeof(fe));
	fe.in = in;
	fe.env = (struct pv_env){
		.alloc = fe_alloc, .gpa = fe_gpa, .mmio_read = fe_read, .mmio_write = fe_write
	};
	fe.vn.net.receive = fe_receive;
	fe.vn.net.sent_room = fe_nothing;
	fe.vn.net.link_changed = fe_nothing;
	CHECK(!virtio_net_init(&fe.vn, &fe.env, 0));
	for (i = 0; in->left && i < MAX_STEPS; i++) {
		uint8_t op = u8(in);

		switch (op & 7) {
		case 0:
		case 1:
			for (n = 0; n <= (op >> 3 & 7u); n++)
				fe_used(in, &fe.vn.rx, true);
			break;
		case 2: fe_used(in, &fe.vn.tx, false); break;
		case 3: fe_send(u8(in) % 40); break;
		case 4: virtio_net_event(&fe.vn); break;
		case 5: net_resume(&fe.vn.net); break;
		case 6:
			if (op & 8)
				fe.vn.rx.used->idx = (uint16_t)u16(in);
			if (op & 16)
				fe.vn.tx.used->idx = (uint16_t)u16(in);
			break;
		case 7: break;
		}
		virtio_net_service(&fe.vn);
		for (n = 0, flying = 0; n < 40; n++)
			flying += fe.flying[n];
		CHECK(flying == fe.vn.n_sent);
		CHECK(!fe.vn.broken || !fe.vn.net.link);
	}
	for (i = 0; i < fe.n_mem; i++)
		free(fe.mem[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };

	if (!m.ram)
		set_up();
	if (u8(&in) & 1)
		front_end(&in);
	else
		back_end(&in);
	return 0;
}
