/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_net_hostile.c - offloads and captures; the network back end before drivers that lie, the front
 * end before devices that do.
 */
#include "net_test.h"

static void test_offload(void **state)
{
	struct virtio_net_hdr h;
	struct card c;
	struct out o;
	struct net_stats s;
	static uint8_t buf[HDR + NETDEV_MAX_GSO];

	packet_card(&c, "");
	assert_int_equal(c.fe.net.features, NET_F_CSUM | NET_F_TSO4 | NET_F_TSO6 | NET_F_VLAN);
	memcpy(c.pv.ram + RAM_A, pattern, sizeof(pattern));
	/* Out: plain, a checksum, segments. */
	net_send(&c.fe.net, frame(&o, RAM_A, 60, 2));
	virtio_net_service(&c.fe);
	assert_int_equal(read(c.peer, buf, sizeof(buf)), HDR + 60);
	memset(&h, 0, sizeof(h));
	assert_memory_equal(buf, &h, HDR);
	assert_memory_equal(buf + HDR, pattern, 60);

	frame(&o, RAM_A, 1000, 3)->off = (struct net_offload){ .flags = NET_CSUM_PARTIAL,
							       .csum_start = 34,
							       .csum_offset = 16 };
	net_send(&c.fe.net, &o.tx);
	virtio_net_service(&c.fe);
	assert_int_equal(read(c.peer, &buf, sizeof(buf)), HDR + 1000);
	h = (struct virtio_net_hdr){ .flags = VIRTIO_NET_HDR_NEEDS_CSUM,
				     .csum_start = 34,
				     .csum_offset = 16 };
	assert_memory_equal(buf, &h, HDR);

	frame(&o, RAM_A, NETDEV_MAX_GSO, 60)->off = (struct net_offload){
		.flags = NET_CSUM_PARTIAL,
		.csum_start = 54,
		.csum_offset = 16,
		.gso = NET_GSO_TCPV6,
		.gso_size = 1440,
		.hdr_len = 74,
	};
	net_send(&c.fe.net, &o.tx);
	virtio_net_service(&c.fe);
	assert_int_equal(read(c.peer, &buf, sizeof(buf)), HDR + NETDEV_MAX_GSO);
	h = (struct virtio_net_hdr){ .flags = VIRTIO_NET_HDR_NEEDS_CSUM,
				     .gso_type = VIRTIO_NET_GSO_TCPV6,
				     .gso_size = 1440,
				     .hdr_len = 74,
				     .csum_start = 54,
				     .csum_offset = 16 };
	assert_memory_equal(buf, &h, HDR);
	assert_memory_equal(buf + HDR, pattern, NETDEV_MAX_GSO);

	/* A checksum beyond the frame. */
	frame(&o, RAM_A, 60, 1)->off = (struct net_offload){ .flags = NET_CSUM_PARTIAL,
							     .csum_start = 43,
							     .csum_offset = 16 };
	net_send(&c.fe.net, &o.tx);
	virtio_net_service(&c.fe);
	assert_true(peer_quiet(&c) && o.done == 1);

	/* In. */
	h = (struct virtio_net_hdr){ .num_buffers = 0x5555 };
	packet_send(&c, &h, pattern, 60);
	h = (struct virtio_net_hdr){ .flags = VIRTIO_NET_HDR_NEEDS_CSUM,
				     .csum_start = 34,
				     .csum_offset = 6,
				     .hdr_len = 42 };
	packet_send(&c, &h, pattern, 42);
	h = (struct virtio_net_hdr){ .flags = VIRTIO_NET_HDR_DATA_VALID };
	packet_send(&c, &h, pattern, 3000);
	until(&c, c.n_in == 3);
	got(&c, 0, pattern, 60);
	got(&c, 1, pattern, 42);
	got(&c, 2, pattern, 3000);
	assert_int_equal(c.in[0].off.flags, 0);
	assert_int_equal(c.in[1].off.flags, NET_CSUM_PARTIAL);
	assert_true(c.in[1].off.csum_start == 34 && c.in[1].off.csum_offset == 6);
	assert_int_equal(c.in[2].off.flags, NET_CSUM_VALID);

	/* Headers that no interface of ours sends. */
	h = (struct virtio_net_hdr){ .flags = VIRTIO_NET_HDR_NEEDS_CSUM,
				     .csum_start = 42,
				     .csum_offset = 17 };
	packet_send(&c, &h, pattern, 60);
	h.csum_start = h.csum_offset = 0xffff;
	packet_send(&c, &h, pattern, 60);
	h = (struct virtio_net_hdr){ .flags = VIRTIO_NET_HDR_NEEDS_CSUM,
				     .gso_type = VIRTIO_NET_GSO_TCPV4,
				     .gso_size = 1448,
				     .csum_start = 34,
				     .csum_offset = 16 };
	packet_send(&c, &h, pattern, 3000);
	h = (struct virtio_net_hdr){ 0 };
	packet_send(&c, &h, pattern, 13);
	packet_send(&c, &h, pattern, MAX + 1);
	packet_send(&c, &h, pattern, 65000);
	put(c.peer, pattern, HDR - 1);
	packet_send(&c, &h, pattern, 61);
	until(&c, c.n_in == 4);
	got(&c, 3, pattern, 61);
	net_stats(c.be, &s);
	assert_int_equal(s.rx_drops, 7);
	assert_int_equal(c.fe.rx_dropped, 0);
	card_close(&c);
}

/* Packets of all lengths while the model takes one only now and then: the ring runs dry at every point. */
static void test_packets_and_few_buffers(void **state)
{
	static const size_t len[] = { 60, 5000, 1514, MAX, 14, 9000, 1524, 1525 };
	struct virtio_net_hdr h = { 0 };
	struct card c;
	unsigned i, n = 0;

	packet_card(&c, "");
	c.refuse = true;
	while (n < 300) {
		for (i = 0; i < 5; i++, n++)
			packet_send(&c, &h, pattern + n % 100, len[n % 8]);
		settle(&c);
		if (n % 25)
			continue;
		c.refuse = false;
		net_resume(&c.fe.net);
		do
			settle(&c);
		while (virtio_net_service(&c.fe) || busy(&c));
		c.refuse = true;
	}
	assert_int_equal(c.n_in, n);
	for (i = 0; i < n; i++)
		got(&c, i, pattern + i % 100, len[i % 8]);
	card_close(&c);
}

/* A packet socket that is full, and a packet that it never takes. */
static void test_packet_socket_full(void **state)
{
	enum { N = 600 };
	struct card c;
	struct out o[VIRTIO_NET_TX_DEPTH];
	struct net_stats s;
	static uint8_t buf[HDR + MAX];
	unsigned i, n = 0, seen = 0, waits = 0;
	int small = 4096;

	packet_card(&c, "");
	setsockopt(c.be->io.fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	memset(o, 0, sizeof(o));
	while (seen < N) {
		for (i = 0; i < VIRTIO_NET_TX_DEPTH && n < N; i++) {
			if (n >= VIRTIO_NET_TX_DEPTH && !o[i].done)
				continue;
			memcpy(c.pv.ram + RAM_A + i * 2048, &n, sizeof(n));
			net_send(&c.fe.net, frame(&o[i], RAM_A + i * 2048, 500 + n, 3));
			n++;
		}
		virtio_net_service(&c.fe);
		waits += c.fe.n_sent > 0;
		for (; recv(c.peer, buf, sizeof(buf), MSG_DONTWAIT) > 0; seen++) {
			memcpy(&i, buf + HDR, sizeof(i));
			assert_int_equal(i, seen);
		}
		settle(&c);
	}
	assert_true(waits > 5);
	net_stats(c.be, &s);
	assert_true(s.tx_drops == 0 && s.tx_frames == N);
	net_send(&c.fe.net, frame(&o[0], RAM_A, MAX, 3)); /* EMSGSIZE */
	net_send(&c.fe.net, frame(&o[1], RAM_A, 60, 3));
	virtio_net_service(&c.fe);
	assert_int_equal(read(c.peer, buf, sizeof(buf)), HDR + 60);
	net_stats(c.be, &s);
	assert_int_equal(s.tx_drops, 1);
	assert_true(s.link);
	card_close(&c);
}

/* A capture. */

static void test_pcap(void **state)
{
	struct virtio_net_hdr h = { 0 };
	struct card c;
	struct out o;
	char path[64];
	uint8_t file[8192], *p = file;
	uint32_t w[6];
	size_t n;
	FILE *f;
	unsigned i;
	static const size_t len[] = { 60, 100, 4000, 77 };

	fake_pv_image(path, sizeof(path), 100000); /* is truncated */
	packet_card(&c, path);
	memcpy(c.pv.ram + RAM_A, pattern, 5000);
	for (i = 0; i < 4; i++) {
		if (i & 1) {
			net_send(&c.fe.net, frame(&o, RAM_A + i, len[i], 3));
			virtio_net_service(&c.fe);
		} else {
			packet_send(&c, &h, pattern + i, len[i]);
			settle(&c);
		}
	}
	assert_int_equal(c.n_in, 2);
	assert_int_equal(c.pv.messages, 0);
	card_close(&c);
	f = fopen(path, "r");
	n = fread(file, 1, sizeof(file), f);
	fclose(f);
	unlink(path);
	assert_int_equal(n, 24 + 4 * 16 + 60 + 100 + 4000 + 77);
	memcpy(w, p, 24);
	assert_true(w[0] == 0xa1b23c4d && w[1] == 0x00040002 && w[5] == 1);
	p += 24;
	for (i = 0; i < 4; i++) {
		memcpy(w, p, 16);
		assert_true(w[0] > 1600000000 && w[1] < 1000000000);
		assert_true(w[2] == len[i] && w[3] == len[i]);
		assert_memory_equal(p + 16, pattern + i, len[i]);
		p += 16 + len[i];
	}
}

/* A disk that is full ends the capture, with a word, and nothing else. */
static void test_pcap_full(void **state)
{
	struct net_opts o = { 0 };
	struct card c;
	struct out out;
	char err[200];
	unsigned i;
	static uint8_t buf[2000];

	strcpy(o.pcap, "/nonexistent/x.pcap");
	packet_end = -1;
	assert_null(net_new(&o, &packet_ops, err, sizeof(err)));
	assert_non_null(strstr(err, "/nonexistent/x.pcap"));

	packet_card(&c, "/dev/full");
	for (i = 0; i < 100; i++) {
		net_send(&c.fe.net, frame(&out, RAM_A, 1514, 2));
		virtio_net_service(&c.fe);
		assert_int_equal(read(c.peer, buf, sizeof(buf)), HDR + 1514);
	}
	assert_int_equal(c.pv.messages, 1);
	assert_non_null(strstr(c.pv.last_message, "/dev/full"));
	card_close(&c);
}

/* Drivers that lie. */

#define NUM 16u

struct driver {
	struct card c;
	struct {
		struct virtq_desc_shared *desc;
		struct virtq_avail_shared *avail;
		struct virtq_used_shared *used;
	} q[2];
};

#define FEATURES                                                                              \
	(VIRTIO_F_VERSION_1 | VIRTIO_F_INDIRECT_DESC | VIRTIO_NET_F_MAC | VIRTIO_NET_F_CSUM | \
	 VIRTIO_NET_F_GUEST_CSUM | VIRTIO_NET_F_HOST_TSO4)

static void wr(struct card *c, uint32_t reg, uint32_t v)
{
	fake_pv_write(&c->pv, fake_pv_window(WIN) + reg, v);
}

static uint32_t rd(struct card *c, uint32_t reg)
{
	return fake_pv_read(&c->pv, fake_pv_window(WIN) + reg);
}

static void driver_start(struct driver *d, uint64_t features)
{
	struct card *c = &d->c;
	unsigned q;

	wr(c, VIRTIO_MMIO_STATUS, 0);
	wr(c, VIRTIO_MMIO_STATUS, 3);
	wr(c, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 0);
	wr(c, VIRTIO_MMIO_DRIVER_FEATURES, (uint32_t)features);
	wr(c, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
	wr(c, VIRTIO_MMIO_DRIVER_FEATURES, (uint32_t)(features >> 32));
	wr(c, VIRTIO_MMIO_STATUS, 11);
	assert_int_equal(rd(c, VIRTIO_MMIO_STATUS), 11);
	memset(c->pv.priv, 0, 0x10000);
	for (q = 0; q < 2; q++) {
		uint32_t at = 0x4000 * q;

		wr(c, VIRTIO_MMIO_QUEUE_SEL, q);
		wr(c, VIRTIO_MMIO_QUEUE_NUM, NUM);
		wr(c, VIRTIO_MMIO_QUEUE_DESC_LOW, (uint32_t)SIO_PRIV_BASE + at);
		wr(c, VIRTIO_MMIO_QUEUE_DRIVER_LOW, (uint32_t)SIO_PRIV_BASE + at + 0x1000);
		wr(c, VIRTIO_MMIO_QUEUE_DEVICE_LOW, (uint32_t)SIO_PRIV_BASE + at + 0x2000);
		wr(c, VIRTIO_MMIO_QUEUE_READY, 1);
		d->q[q].desc = (void *)(c->pv.priv + at);
		d->q[q].avail = (void *)(c->pv.priv + at + 0x1000);
		d->q[q].used = (void *)(c->pv.priv + at + 0x2000);
	}
	wr(c, VIRTIO_MMIO_STATUS, 15);
}

static void driver_open(struct driver *d, uint64_t features)
{
	packet_card(&d->c, "");
	driver_start(d, features);
}

static void add(struct driver *d, unsigned q, unsigned i, uint64_t gpa, uint32_t len,
		uint16_t flags, uint16_t next)
{
	d->q[q].desc[i] = (struct virtq_desc_shared){ gpa, len, flags, next };
}

static void publish(struct driver *d, unsigned q, uint16_t head)
{
	d->q[q].avail->ring[d->q[q].avail->idx % NUM] = head;
	__atomic_store_n(&d->q[q].avail->idx, (uint16_t)(d->q[q].avail->idx + 1), __ATOMIC_RELEASE);
}

static void run_io(struct driver *d)
{
	while (busy(&d->c))
		net_ready(d->c.be);
}

static bool stopped(struct driver *d)
{
	return rd(&d->c, VIRTIO_MMIO_STATUS) & VIRTIO_S_NEEDS_RESET;
}

static void bad_chain(struct driver *d, unsigned how)
{
	switch (how) {
	case 0: add(d, 1, 0, RAM_A, HDR - 1, 0, 0); break; /* half a header */
	case 1: add(d, 1, 0, RAM_A, 100, VIRTQ_DESC_F_WRITE, 0); break;
	case 2:
		add(d, 1, 0, RAM_A, 100, VIRTQ_DESC_F_NEXT, 1);
		add(d, 1, 1, RAM_A, 100, VIRTQ_DESC_F_WRITE, 0);
		break;
	case 3: add(d, 1, 0, PV_RAM - 50, 100, 0, 0); break;
	case 4: add(d, 1, 0, RAM_A, 100, VIRTQ_DESC_F_NEXT, 0); break; /* a loop */
	case 5: add(d, 1, 0, RAM_A, 0, 0, 0); break;
	case 6: add(d, 0, 0, RAM_A, 2000, 0, 0); break; /* not to be written */
	case 7: add(d, 0, 0, RAM_A, HDR - 1, VIRTQ_DESC_F_WRITE, 0); break;
	case 8: add(d, 0, 0, PV_BLOB, 2000, VIRTQ_DESC_F_WRITE, 0); break;
	case 9:
		add(d, 0, 0, RAM_A, 20, VIRTQ_DESC_F_NEXT, 1);
		add(d, 0, 1, RAM_A, 2000, VIRTQ_DESC_F_WRITE, 0);
		break;
	case 10: add(d, 0, 0, RAM_A, 0, VIRTQ_DESC_F_WRITE, 0); break;
	}
}

static void test_bad_chains(void **state)
{
	struct virtio_net_hdr h = { 0 };
	struct driver d;
	unsigned how, q;

	for (how = 0; how < 11; how++) {
		driver_open(&d, FEATURES | VIRTIO_NET_F_MRG_RXBUF);
		q = how < 6;
		bad_chain(&d, how);
		publish(&d, q, 0);
		packet_send(&d.c, &h, pattern, 60);
		wr(&d.c, VIRTIO_MMIO_QUEUE_NOTIFY, q);
		run_io(&d);
		if (!stopped(&d))
			fail_msg("chain %u was taken", how);
		assert_int_equal(d.c.pv.messages, 1);
		assert_int_equal(d.q[q].used->idx, 0);
		/* Deaf until it is reset; then well. */
		wr(&d.c, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
		wr(&d.c, VIRTIO_MMIO_QUEUE_NOTIFY, 1);
		run_io(&d);
		driver_start(&d, FEATURES | VIRTIO_NET_F_MRG_RXBUF);
		add(&d, 0, 3, RAM_A, 2000, VIRTQ_DESC_F_WRITE, 0);
		publish(&d, 0, 3);
		wr(&d.c, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
		packet_send(&d.c, &h, pattern, 60);
		run_io(&d);
		assert_true(d.q[0].used->idx >= 1 && d.q[0].used->ring[0].id == 3);
		assert_int_equal(d.q[0].used->ring[0].len, HDR + 60);
		assert_memory_equal(d.c.pv.ram + RAM_A + HDR, pattern, 60);
		card_close(&d.c);
	}
}

/* What a driver may ask of a frame, it must have negotiated, and be possible. */
static void test_bad_headers(void **state)
{
	static const struct {
		struct virtio_net_hdr h;
		uint32_t len;
		bool good;
	} t[] = {
		{ { 0, 0, 0, 0, 0, 0, 7 }, 60, true },
		{ { 0, 0, 9, 9, 9, 9, 9 }, 60, true }, /* means nothing without flags */
		{ { 1, 0, 0, 0, 34, 16, 0 }, 60, true },
		{ { 1, 0, 0, 0, 34, 24, 0 }, 60, true },
		{ { 1, 0, 0, 0, 34, 25, 0 }, 60, false },
		{ { 1, 0, 0, 0, 0xffff, 0xffff, 0 }, 60, false },
		{ { 1, 1, 54, 1448, 34, 16, 0 }, 30000, true },
		{ { 0, 1, 54, 1448, 34, 16, 0 }, 30000, false }, /* without its checksum */
		{ { 1, 1, 54, 0, 34, 16, 0 }, 30000, false },
		{ { 1, 1, 30001, 1448, 34, 16, 0 }, 30000, false },
		{ { 1, 4, 74, 1428, 54, 16, 0 }, 30000, false }, /* HOST_TSO6 wasn't accepted */
		{ { 1, 3, 42, 1448, 34, 6, 0 }, 30000, false },  /* UDP */
		{ { 1, 0x81, 54, 1448, 34, 16, 0 }, 30000, false },
		{ { 1, 0xff, 54, 1448, 34, 16, 0 }, 30000, false },
		{ { 0, 0, 0, 0, 0, 0, 0 }, MAX + 1, false },
		{ { 1, 1, 54, 1448, 34, 16, 0 }, NETDEV_MAX_GSO + 1, false },
		{ { 0, 0, 0, 0, 0, 0, 0 }, 0, false },
	};
	static uint8_t buf[HDR + NETDEV_MAX_GSO + 10];
	struct driver d;
	struct net_stats s;
	unsigned i, drops = 0;

	driver_open(&d, FEATURES);
	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		memcpy(d.c.pv.ram + RAM_A, &t[i].h, HDR);
		add(&d, 1, 0, RAM_A, HDR + t[i].len, 0, 0);
		publish(&d, 1, 0);
		wr(&d.c, VIRTIO_MMIO_QUEUE_NOTIFY, 1);
		assert_false(stopped(&d));
		assert_int_equal(d.q[1].used->idx, i + 1); /* the frame is gone either way */
		if (peer_quiet(&d.c) == t[i].good)
			fail_msg("header %u", i);
		if (t[i].good)
			assert_int_equal(read(d.c.peer, buf, sizeof(buf)), HDR + t[i].len);
		drops += !t[i].good;
	}
	net_stats(d.c.be, &s);
	assert_int_equal(s.tx_drops, drops);
	/* Nothing accepted, nothing possible. */
	driver_start(&d, VIRTIO_F_VERSION_1);
	memcpy(d.c.pv.ram + RAM_A, &t[2].h, HDR);
	add(&d, 1, 0, RAM_A, HDR + 60, 0, 0);
	publish(&d, 1, 0);
	wr(&d.c, VIRTIO_MMIO_QUEUE_NOTIFY, 1);
	assert_true(peer_quiet(&d.c));
	/* A frame whose checksum is missing, for a driver that can't make it. */
	add(&d, 0, 0, RAM_A, 2000, VIRTQ_DESC_F_WRITE, 0);
	publish(&d, 0, 0);
	wr(&d.c, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
	packet_send(&d.c, &t[2].h, pattern, 60);
	run_io(&d);
	assert_int_equal(d.q[0].used->idx, 0);
	card_close(&d.c);
}

/* Without mergeable buffers: one for a frame, or none. */
static void test_not_mergeable(void **state)
{
	struct virtio_net_hdr h = { 0 };
	struct driver d;
	struct net_stats s;
	unsigned i;

	driver_open(&d, FEATURES);
	for (i = 0; i < 4; i++) {
		/* The header apart, and even in two pieces. */
		add(&d, 0, 3 * i, RAM_A + i * 4096, 5, VIRTQ_DESC_F_NEXT | VIRTQ_DESC_F_WRITE,
		    (uint16_t)(3 * i + 1));
		add(&d, 0, 3 * i + 1, RAM_A + i * 4096 + 5, HDR - 5,
		    VIRTQ_DESC_F_NEXT | VIRTQ_DESC_F_WRITE, (uint16_t)(3 * i + 2));
		add(&d, 0, 3 * i + 2, RAM_A + i * 4096 + HDR, 1514, VIRTQ_DESC_F_WRITE, 0);
		publish(&d, 0, (uint16_t)(3 * i));
	}
	wr(&d.c, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
	packet_send(&d.c, &h, pattern, 1514);
	packet_send(&d.c, &h, pattern, 1515);
	packet_send(&d.c, &h, pattern + 1, 100);
	run_io(&d);
	assert_int_equal(d.q[0].used->idx, 2);
	assert_int_equal(d.q[0].used->ring[0].len, HDR + 1514);
	assert_memory_equal(d.c.pv.ram + RAM_A + HDR, pattern, 1514);
	memcpy(&h, d.c.pv.ram + RAM_A, HDR);
	assert_int_equal(h.num_buffers, 1);
	assert_int_equal(d.q[0].used->ring[1].len, HDR + 100);
	assert_memory_equal(d.c.pv.ram + RAM_A + 4096 + HDR, pattern + 1, 100);
	net_stats(d.c.be, &s);
	assert_int_equal(s.rx_drops, 1);
	card_close(&d.c);
}

/* Buffers of which no number that we hold has room for the frame. */
static void test_tiny_buffers(void **state)
{
	struct driver d;
	struct net_stats s;
	unsigned i;

	stream_open(&d.c, "");
	driver_start(&d, VIRTIO_F_VERSION_1 | VIRTIO_NET_F_MRG_RXBUF);
	for (i = 0; i < NUM; i++) {
		add(&d, 0, i, RAM_A + i * 32, 32, VIRTQ_DESC_F_WRITE, 0);
		publish(&d, 0, (uint16_t)i);
	}
	wr(&d.c, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
	peer_send(&d.c, pattern, NUM * 32 - HDR + 1);
	peer_send(&d.c, pattern + 1, NUM * 32 - HDR);
	run_io(&d);
	net_stats(d.c.be, &s);
	assert_true(s.rx_drops == 1 && s.rx_frames == 1);
	assert_int_equal(d.q[0].used->idx, NUM);
	assert_memory_equal(d.c.pv.ram + RAM_A + HDR, pattern + 1, NUM * 32 - HDR);
	assert_int_equal(d.c.pv.messages, 0);
	card_close(&d.c);
}

/* Devices that lie. */

/* The used ring's next entry, and what is in the buffer. */
static void used(struct card *c, struct virtq *q, uint32_t id, uint32_t len,
		 const struct virtio_net_hdr *h)
{
	if (h && id < VIRTIO_NET_RX_DEPTH)
		memcpy(c->fe.rx_buf + id * VIRTIO_NET_RX_BYTES, h, HDR);
	q->used->ring[q->used->idx % q->num] = (struct virtq_used_elem){ id, len };
	__atomic_store_n(&q->used->idx, (uint16_t)(q->used->idx + 1), __ATOMIC_RELEASE);
}

static void lie(struct card *c, unsigned how)
{
	struct virtio_net_hdr h = { .num_buffers = 1 };
	struct virtq *rx = &c->fe.rx, *tx = &c->fe.tx;

	switch (how) {
	case 0: used(c, rx, VIRTIO_NET_RX_DEPTH, 100, &h); break;
	case 1: used(c, rx, 0xffffffff, 100, &h); break;
	case 2: used(c, rx, 0, VIRTIO_NET_RX_BYTES + 1, &h); break;
	case 3: used(c, rx, 0, HDR - 1, &h); break;
	case 4: used(c, rx, 0, 0, &h); break;
	case 5:
		h.num_buffers = 0;
		used(c, rx, 0, 100, &h);
		break;
	case 6:
		h.num_buffers = VIRTIO_NET_RX_DEPTH + 1;
		used(c, rx, 0, 100, &h);
		break;
	case 7:
		h.num_buffers = 2;
		used(c, rx, 0, 100, &h);
		used(c, rx, 1, 0xffffffff, NULL);
		break;
	case 8: used(c, tx, 1, 0, NULL); break;
	case 9: used(c, tx, VIRTIO_NET_TX_DEPTH, 0, NULL); break;
	case 10:
		used(c, tx, 0, 0, NULL);
		used(c, tx, 0, 0, NULL);
		break;
	}
}

static void test_lying_device(void **state)
{
	struct card c;
	struct out o, after;
	unsigned how;

	for (how = 0; how < 11; how++) {
		stream_open(&c, "");
		net_send(&c.fe.net, frame(&o, RAM_A, 60, 1));
		c.fe.tx.kicked_idx = c.fe.tx.avail_idx; /* the real device says nothing */
		lie(&c, how);
		virtio_net_service(&c.fe);
		if (!c.fe.broken)
			fail_msg("lie %u was believed", how);
		assert_int_equal(c.pv.logs, 1);
		assert_int_equal(c.n_in, 0);
		assert_int_equal(o.done, 1);
		assert_int_equal(o.err, how == 10 ? 0 : -1);
		assert_true(c.links == 1 && !c.fe.net.link);
		assert_true(rd(&c, VIRTIO_MMIO_STATUS) & VIRTIO_S_FAILED);
		/* And it stays so, without hanging anyone. */
		assert_int_equal(net_send(&c.fe.net, frame(&after, RAM_A, 60, 1)), 0);
		assert_int_equal(after.done, 0);
		virtio_net_service(&c.fe);
		assert_true(after.done == 1 && after.err == -1);
		assert_false(virtio_net_arm(&c.fe));
		card_close(&c);
	}
}

/* A buffer that is shown, and not given back, can't be used again. */
static void test_lying_device_held(void **state)
{
	struct virtio_net_hdr h = { .num_buffers = 1 };
	struct card c;

	stream_open(&c, "");
	c.refuse = true;
	used(&c, &c.fe.rx, 3, 100, &h);
	used(&c, &c.fe.rx, 3, 100, &h);
	virtio_net_service(&c.fe);
	c.refuse = false;
	net_resume(&c.fe.net);
	/* Given back by now, but its entry is older than that: a lie that can't be told from the truth. */
	virtio_net_service(&c.fe);
	assert_true(c.n_in <= 2);
	card_close(&c);
}

/* Frames that a model must not see, in rings that are well. */
static void test_bad_frames(void **state)
{
	static const struct {
		struct virtio_net_hdr h;
		uint32_t len; /* of the first buffer's frame */
		uint32_t more;
		unsigned n;
		bool good;
	} t[] = {
		{ { .num_buffers = 1 }, 14, 0, 0, true },
		{ { .num_buffers = 1 }, 13, 0, 0, false },
		{ { .num_buffers = 1 }, 0, 0, 0, false },
		{ { .num_buffers = 1, .flags = 1, .csum_start = 34, .csum_offset = 16 },
		  60,
		  0,
		  0,
		  true },
		{ { .num_buffers = 1, .flags = 1, .csum_start = 34, .csum_offset = 25 },
		  60,
		  0,
		  0,
		  false },
		{ { .num_buffers = 1, .flags = 1, .csum_start = 0xffff, .csum_offset = 0xffff },
		  60,
		  0,
		  0,
		  false },
		{ { .num_buffers = 1, .gso_type = 1, .gso_size = 1448 }, 60, 0, 0, false },
		{ { .num_buffers = 2 }, 1, 13, 1, true },
		{ { .num_buffers = 2 }, 1, 12, 1, false },
		{ { .num_buffers = 3 }, 0, 0, 2, false },
		{ { .num_buffers = 2, .flags = 1, .csum_start = 90, .csum_offset = 8 },
		  50,
		  50,
		  1,
		  true },
		{ { .num_buffers = 2, .flags = 1, .csum_start = 90, .csum_offset = 9 },
		  50,
		  50,
		  1,
		  false },
		{ { .num_buffers = 2, .gso_type = 4 }, 50, 50, 1, false },
		{ { .num_buffers = 11 }, 1524, 1460, 10, true },
		{ { .num_buffers = 11 }, 1524, 1461, 10, false }, /* 16134 bytes */
		{ { .num_buffers = 32 }, 1524, 1536, 31, false },
	};
	unsigned i, j, want = 0, lost = 0, id = 0;
	struct card c;

	packet_card(&c, "");
	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		used(&c, &c.fe.rx, id++ % 32, HDR + t[i].len, &t[i].h);
		for (j = 0; j < t[i].n; j++) {
			/* In any order of time. */
			if (j == t[i].n / 2)
				virtio_net_service(&c.fe);
			used(&c, &c.fe.rx, id++ % 32, t[i].more, NULL);
		}
		virtio_net_service(&c.fe);
		want += t[i].good;
		lost += !t[i].good;
		if (c.n_in != want || c.fe.rx_dropped != lost)
			fail_msg("frame %u", i);
		assert_false(c.fe.broken);
	}
	card_close(&c);
}

/* The back end gives up on the driver: the model hears of it. */
static void test_needs_reset(void **state)
{
	struct card c;
	struct out o;

	stream_open(&c, "");
	net_send(&c.fe.net, frame(&o, PV_RAM - 30, 60, 1)); /* no RAM there: a model's mistake */
	virtio_net_service(&c.fe);
	assert_int_equal(c.pv.messages, 1);
	assert_int_equal(o.done, 0);
	settle(&c);
	assert_true(o.done == 1 && o.err == -1);
	assert_true(c.fe.broken && !c.fe.net.link && c.links == 1);
	card_close(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_offload),
		cmocka_unit_test(test_packets_and_few_buffers),
		cmocka_unit_test(test_packet_socket_full),
		cmocka_unit_test(test_pcap),
		cmocka_unit_test(test_pcap_full),
		cmocka_unit_test(test_bad_chains),
		cmocka_unit_test(test_bad_headers),
		cmocka_unit_test(test_not_mergeable),
		cmocka_unit_test(test_tiny_buffers),
		cmocka_unit_test(test_lying_device),
		cmocka_unit_test(test_lying_device_held),
		cmocka_unit_test(test_bad_frames),
		cmocka_unit_test(test_needs_reset),
	};

	fill(pattern, sizeof(pattern), 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
