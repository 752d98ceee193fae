/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_net.c - the network front end and back end on a stream, and two domains on a wire.
 */
#include <pthread.h>

#include "net_test.h"

/* Options. */

static void test_opts(void **state)
{
	static const char *const bad[] = {
		"",
		"usr",
		"user,",
		"user,model=3c509",
		"user,mac=52:54:00:12:34",
		"user,mac=52:54:00:12:34:5g",
		"user,mac=53:54:00:12:34:56", /* a group's */
		"user,mac=52:54:00:12:34:56:",
		"user,ifname=tap0",
		"user,vhost=on",
		"user,connect",
		"user,tcp=",
		"user,tcp=--help",
		"tap,tcp=22",
		"tap,ifname=",
		"tap,ifname=a234567890123456",
		"tap,ifname=tap%d",
		"tap,script=/etc/qemu-ifup",
		"tap,vhost=yes",
		"tap,vhost=on,pcap=/tmp/x",
		"tap,pcap=",
		"tap:tap0",
		"stream",
		"stream:",
		"stream:/x,connect=yes",
		"stream:/x,listen",
		"user,udp=1,udp=2,udp=3,udp=4,udp=5,udp=6,udp=7,udp=8,udp=9",
	};
	static const uint8_t mac[6] = { 0x52, 0x54, 0, 0xab, 0xCD, 0xef };
	struct net_opts o;
	char err[200], spec[700];
	unsigned i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		err[0] = 0;
		if (!net_parse_opts(bad[i], &o, err, sizeof(err)))
			fail_msg("taken: %s", bad[i]);
		assert_true(strlen(err) > 10 && !strchr(err, '\n'));
	}
	memset(spec, 'x', sizeof(spec) - 1);
	spec[sizeof(spec) - 1] = 0;
	assert_int_equal(net_parse_opts(spec, &o, err, sizeof(err)), -1);
	memcpy(spec, "stream:/", 8);
	spec[7 + 108] = 0;
	assert_int_equal(net_parse_opts(spec, &o, err, sizeof(err)), -1);
	spec[7 + 107] = 0;
	assert_int_equal(net_parse_opts(spec, &o, err, sizeof(err)), 0);

	assert_int_equal(net_parse_opts("user", &o, err, sizeof(err)), 0);
	assert_true(o.kind == NETDEV_USER && o.model == NETDEV_RTL8139 && !o.have_mac);
	assert_int_equal(
		net_parse_opts("user,tcp=2222:22,udp=53,model=e1000", &o, err, sizeof(err)), 0);
	assert_true(o.n_fwd == 2 && !o.fwd[0].udp && o.fwd[1].udp && o.model == NETDEV_E1000);
	assert_string_equal(o.fwd[0].ports, "2222:22");
	assert_int_equal(net_parse_opts("tap,ifname=tap0,script=no,vhost=on,mac=52:54:00:Ab:cd:EF,"
					"model=ne2k_isa",
					&o, err, sizeof(err)),
			 0);
	assert_true(o.kind == NETDEV_TAP && o.vhost && o.have_mac && o.model == NETDEV_NE2K_ISA);
	assert_memory_equal(o.mac, mac, 6);
	assert_string_equal(o.ifname, "tap0");
	assert_int_equal(net_parse_opts("stream:/run/x y,connect,pcap=a=b,model=virtio", &o, err,
					sizeof(err)),
			 0);
	assert_true(o.kind == NETDEV_STREAM && o.connect && o.model == NETDEV_VIRTIO);
	assert_string_equal(o.path, "/run/x y");
	assert_string_equal(o.pcap, "a=b");
}

static void test_mac(void **state)
{
	uint8_t a[6], b[6], c[6], d[6], uuid[16] = { 1, 2, 3 };

	net_default_mac(a, uuid, 0);
	net_default_mac(b, uuid, 0);
	assert_memory_equal(a, b, 6);
	net_default_mac(b, uuid, 1);
	uuid[15] = 1;
	net_default_mac(c, uuid, 0);
	net_default_mac(d, NULL, 0);
	assert_true(memcmp(a, b, 6) && memcmp(a, c, 6) && memcmp(a, d, 6));
	assert_int_equal(a[0] & 3, 2);
	assert_int_equal(d[0] & 3, 2);
}

/* Both together, on a stream. */

static void test_init(void **state)
{
	static const uint8_t mac[6] = { 0x52, 0x54, 0, 1, 2, 3 };
	struct net_stats s;
	struct card c;

	stream_open(&c, ",mac=52:54:00:01:02:03");
	assert_memory_equal(c.fe.net.mac, mac, 6);
	assert_int_equal(c.fe.net.features, 0);
	assert_true(c.pv.priv_used <= 112 << 10); /* the budget for a card */
	assert_non_null(strstr(net_where(c.be), c.path));
	net_stats(c.be, &s);
	assert_true(s.link && !s.vhost);
	/* Idle: no register, no event. */
	assert_false(virtio_net_service(&c.fe));
	assert_int_equal(c.pv.notifies + c.pv.reads + c.pv.signals, 0);
	card_close(&c);
}

static void test_send(void **state)
{
	static const struct {
		size_t len;
		unsigned segs;
	} f[] = { { 14, 1 }, { 60, 3 }, { 1514, 2 }, { 1518, 64 }, { 9014, 10 }, { MAX, 4 } };
	enum { N = sizeof(f) / sizeof(f[0]) };
	struct card c;
	struct out o[N];
	uint8_t buf[MAX];
	struct net_stats s;
	uint64_t gpa = RAM_A + 1, bytes = 0;
	unsigned i;

	stream_open(&c, "");
	memcpy(c.pv.ram + RAM_A, pattern, sizeof(pattern));
	for (i = 0; i < N; i++) {
		assert_int_equal(net_send(&c.fe.net, frame(&o[i], gpa + i, f[i].len, f[i].segs)),
				 0);
		bytes += f[i].len;
		assert_int_equal(o[i].done, 0);
	}
	assert_int_equal(c.pv.notifies, 0);
	assert_false(virtio_net_service(&c.fe));
	/* All in one notification, and no event: they were sent within it. */
	assert_int_equal(c.pv.notifies, 1);
	for (i = 0; i < N; i++) {
		assert_int_equal(peer_recv(&c, buf, sizeof(buf)), f[i].len);
		assert_memory_equal(buf, c.pv.ram + gpa + i, f[i].len);
		assert_true(o[i].done == 1 && !o[i].err);
	}
	assert_true(peer_quiet(&c));
	assert_int_equal(c.pv.signals + c.pv.reads, 0);
	net_stats(c.be, &s);
	assert_int_equal(s.tx_frames, N);
	assert_int_equal(s.tx_bytes, bytes);
	/* Too short, too long: gone, as on a wire. */
	net_send(&c.fe.net, frame(&o[0], gpa, 13, 1));
	net_send(&c.fe.net, frame(&o[1], gpa, MAX + 1, 1));
	virtio_net_service(&c.fe);
	assert_true(peer_quiet(&c));
	net_stats(c.be, &s);
	assert_int_equal(s.tx_drops, 2);
	assert_true(o[0].done == 1 && o[1].done == 1);
	card_close(&c);
}

static uint64_t late_window;
static uint32_t late_queues;

static void note_notify(void *ctx, uint64_t window, uint32_t queue)
{
	late_window = window;
	late_queues |= 1u << queue;
}

/* Where the host notifies when the entry is over: nothing is sent within it, and an event says that it was. */
static void test_send_late(void **state)
{
	uint8_t buf[MAX];
	uint64_t v = VIRTIO_NET_TX;
	struct out o[3];
	struct card c;
	unsigned i;

	stream_open(&c, "");
	c.pv.env.notify = note_notify;
	memcpy(c.pv.ram + RAM_A, pattern, sizeof(pattern));
	for (i = 0; i < 3; i++)
		assert_int_equal(net_send(&c.fe.net, frame(&o[i], RAM_A + i, 100 + i, 1)), 0);
	late_queues = 0;
	assert_false(virtio_net_service(&c.fe));
	assert_true(late_queues == 1u << VIRTIO_NET_TX && late_window == c.fe.tx.window &&
		    !o[0].done);
	assert_int_equal(c.pv.notifies + c.pv.signals, 0);
	vmmio_access(net_vmmio(c.be), VIRTIO_MMIO_QUEUE_NOTIFY, 4, true, &v);
	/* All by one event. */
	assert_int_equal(c.pv.signals, 1);
	late_queues = 0;
	assert_false(virtio_net_event(&c.fe));
	assert_int_equal(late_queues, 0);
	for (i = 0; i < 3; i++) {
		assert_int_equal(peer_recv(&c, buf, sizeof(buf)), 100 + i);
		assert_true(o[i].done == 1 && !o[i].err);
	}
	card_close(&c);
}

/* Frames that nobody waits for: no event tells of their end before there are four, and nobody looks; others' end is told at
 * once. */
static void test_send_lazy(void **state)
{
	static const struct {
		unsigned n, eager, signals;
	} f[] = { { 1, 0, 0 }, { 3, 0, 0 }, { 4, 0, 1 }, { 5, 0, 1 }, { 1, 1, 1 }, { 2, 1, 1 } };
	uint64_t v = VIRTIO_NET_TX;
	uint8_t buf[MAX];
	struct out o[5];
	struct card c;
	unsigned i, k, done;

	stream_open(&c, "");
	c.pv.env.notify = note_notify;
	memcpy(c.pv.ram + RAM_A, pattern, sizeof(pattern));
	for (i = 0; i < sizeof(f) / sizeof(f[0]); i++) {
		assert_false(virtio_net_waits(&c.fe));
		for (k = 0; k < f[i].n; k++) {
			frame(&o[k], RAM_A + k, 100 + k, 1);
			o[k].tx.lazy = k >= f[i].eager;
			assert_int_equal(net_send(&c.fe.net, &o[k].tx), 0);
		}
		c.pv.signals = 0;
		assert_false(virtio_net_service(&c.fe));
		assert_int_equal(virtio_net_waits(&c.fe), !f[i].eager);
		vmmio_access(net_vmmio(c.be), VIRTIO_MMIO_QUEUE_NOTIFY, 4, true, &v);
		assert_int_equal(c.pv.signals, f[i].signals);
		for (k = done = 0; k < f[i].n; k++) {
			assert_int_equal(peer_recv(&c, buf, sizeof(buf)), 100 + k);
			done += o[k].done;
		}
		assert_int_equal(done, 0);
		assert_false(virtio_net_service(&c.fe));
		assert_int_equal(o[0].done, f[i].signals);
		if (!f[i].signals)
			assert_false(virtio_net_hurry(&c.fe));
		for (k = 0; k < f[i].n; k++)
			assert_true(o[k].done == 1 && !o[k].err);
	}
	/* A frame that comes in takes the report along. */
	frame(&o[0], RAM_A, 100, 1);
	o[0].tx.lazy = true;
	assert_int_equal(net_send(&c.fe.net, &o[0].tx), 0);
	virtio_net_service(&c.fe);
	vmmio_access(net_vmmio(c.be), VIRTIO_MMIO_QUEUE_NOTIFY, 4, true, &v);
	virtio_net_service(&c.fe);
	assert_int_equal(o[0].done, 0);
	peer_send(&c, pattern, 200);
	net_ready(c.be);
	virtio_net_service(&c.fe);
	assert_int_equal(o[0].done, 1);
	assert_false(virtio_net_waits(&c.fe));
	card_close(&c);
}

/* What the driver can't send never reaches the ring. */
static void test_send_nonsense(void **state)
{
	struct card c;
	struct out o[2];

	stream_open(&c, "");
	frame(&o[0], RAM_A, 60, 1)->n_seg = 0;
	frame(&o[1], RAM_A, 60, 1)->n_seg = NET_MAX_SEGS + 1;
	assert_int_equal(net_send(&c.fe.net, &o[0].tx), 0);
	assert_int_equal(net_send(&c.fe.net, &o[1].tx), 0);
	assert_int_equal(o[0].done + o[1].done, 0);
	virtio_net_service(&c.fe);
	assert_true(o[0].done == 1 && o[0].err == -1 && o[1].done == 1 && o[1].err == -1);
	assert_int_equal(c.pv.notifies, 0);
	card_close(&c);
}

static void test_receive(void **state)
{
	static const size_t len[] = { 14,   60, 1514, 1518, 1523, 1524, 1525, 3060,
				      9014, 42, MAX,  60,   1524, MAX,  14 };
	enum { N = sizeof(len) / sizeof(len[0]) };
	struct card c;
	struct net_stats s;
	unsigned i, round;

	stream_open(&c, "");
	for (round = 0; round < 20; round++) {
		for (i = 0; i < N; i++)
			peer_send(&c, pattern + i, (uint32_t)len[i]);
		until(&c, c.n_in == N);
		for (i = 0; i < N; i++)
			got(&c, i, pattern + i, len[i]);
		forget(&c);
	}
	net_stats(c.be, &s);
	assert_int_equal(s.rx_frames, 20 * N);
	assert_int_equal(s.rx_drops + c.fe.rx_dropped, 0);
	card_close(&c);
}

/* One frame, one event; the receiver's register work is nil. */
static void test_receive_cost(void **state)
{
	struct card c;
	unsigned i;

	stream_open(&c, "");
	for (i = 0; i < 20; i++) {
		peer_send(&c, pattern, 60);
		net_ready(c.be);
		assert_int_equal(c.pv.signals, i + 1);
		c.pv.events = 0;
		assert_false(virtio_net_event(&c.fe));
		assert_int_equal(c.n_in, i + 1);
	}
	assert_int_equal(c.pv.notifies, 0);
	assert_int_equal(c.pv.reads, 0);
	card_close(&c);
}

static void test_hostile_peer(void **state)
{
	static const uint32_t lies[] = { 0, 0x20001, 0x80000000, 0xffffffff };
	struct card c;
	struct net_stats s;
	uint8_t dribble[4 + 100] = { 0, 0, 0, 100 };
	unsigned i;

	/* Runts and giants are passed over. */
	stream_open(&c, "");
	peer_send(&c, pattern, 1);
	peer_send(&c, pattern, 13);
	peer_send(&c, pattern, MAX + 1);
	settle(&c);
	peer_send(&c, pattern, 65535);
	settle(&c);
	peer_send(&c, pattern + 7, 60);
	until(&c, c.n_in == 1);
	got(&c, 0, pattern + 7, 60);
	net_stats(c.be, &s);
	assert_int_equal(s.rx_drops, 4);
	assert_int_equal(c.pv.messages, 0);
	/* Byte by byte. */
	memcpy(dribble + 4, pattern, 100);
	for (i = 0; i < sizeof(dribble); i++) {
		put(c.peer, dribble + i, 1);
		settle(&c);
		assert_int_equal(c.n_in, 1 + (i == sizeof(dribble) - 1));
	}
	got(&c, 1, pattern, 100);
	/* A length that no one means. */
	for (i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		uint32_t be = htonl(lies[i]);

		put(c.peer, &be, 4);
		until(&c, !c.fe.net.link);
		assert_int_equal(c.pv.messages, i + 1);
		assert_int_equal(recv(c.peer, dribble, 1, 0), 0);
		close(c.peer);
		c.peer = unix_connect(c.path);
		until(&c, c.fe.net.link);
	}
	/* However often: not a flood. */
	for (i = 0; i < 50; i++) {
		peer_send(&c, NULL, 0);
		until(&c, !c.fe.net.link);
		close(c.peer);
		c.peer = unix_connect(c.path);
		until(&c, c.fe.net.link);
	}
	assert_true(c.pv.messages <= 10);
	peer_send(&c, pattern, 60);
	until(&c, c.n_in == 3);
	card_close(&c);
}

/* More than the ring has; done() makes room. */
static void test_depth(void **state)
{
	struct card c;
	struct out o[VIRTIO_NET_TX_DEPTH + 1];
	uint8_t buf[100];
	unsigned i;

	stream_open(&c, "");
	for (i = 0; i <= VIRTIO_NET_TX_DEPTH; i++)
		assert_int_equal(net_send(&c.fe.net, frame(&o[i], RAM_A + i, 60, 1)),
				 i < VIRTIO_NET_TX_DEPTH ? 0 : -1);
	assert_int_equal(c.rooms, 0);
	virtio_net_service(&c.fe);
	assert_int_equal(c.rooms, 1);
	for (i = 0; i < VIRTIO_NET_TX_DEPTH; i++) {
		assert_true(o[i].done == 1 && !o[i].err);
		assert_int_equal(peer_recv(&c, buf, sizeof(buf)), 60);
	}
	assert_int_equal(c.pv.notifies, 1);
	/* The indices wrap around. */
	for (i = 0; i < 70000; i++) {
		net_send(&c.fe.net, frame(&o[0], RAM_A, 14, 1));
		virtio_net_service(&c.fe);
		assert_int_equal(o[0].done, 1);
		if (i % 50 == 49) {
			unsigned n;

			for (n = 0; n < 50; n++)
				assert_int_equal(peer_recv(&c, buf, sizeof(buf)), 14);
		}
	}
	assert_int_equal(c.pv.signals, 0);
	card_close(&c);
}

/* A peer that stops reading: the sender is told in time, what arrives is whole and in order. */
static void test_stalled_peer(void **state)
{
	struct card c;
	struct out o[40];
	static uint8_t buf[MAX];
	struct net_stats s;
	uint64_t start;
	uint32_t no, last = 0, n_recv = 0;
	unsigned i, sent_all = 0;

	stream_open(&c, "");
	/* Until the socket is full: frames stay in the ring, and an event is asked for. */
	for (i = 0; sent_all < 10000; i = (i + 1) % 40) {
		if (sent_all >= 40 && !o[i].done)
			break;
		no = htonl(++sent_all);
		memcpy(c.pv.ram + RAM_A + i * 16384, &no, 4);
		if (net_send(&c.fe.net, frame(&o[i], RAM_A + i * 16384, 9000, 5)))
			break;
		virtio_net_service(&c.fe);
		if (!o[i].done && c.fe.n_sent > 20)
			break;
	}
	assert_true(sent_all < 10000 && c.fe.n_sent > 20);
	assert_int_equal(c.pv.messages, 0);
	/* Nobody reads: after a second they are lost. */
	start = net_now();
	until(&c, !c.fe.n_sent);
	assert_true(net_now() - start < 3 * NET_SEC && net_now() - start > NET_SEC / 2);
	net_stats(c.be, &s);
	assert_true(s.tx_drops > 20);
	/* And those that follow at once. */
	net_send(&c.fe.net, frame(&o[0], RAM_A, 9000, 5));
	virtio_net_service(&c.fe);
	assert_int_equal(o[0].done, 1);
	/* It reads again: whole frames, in order, then new ones. */
	while (n_recv < s.tx_frames) {
		assert_int_equal(peer_recv(&c, buf, sizeof(buf)), 9000);
		memcpy(&no, buf, 4);
		assert_int_equal(ntohl(no), ++last);
		n_recv++;
		settle(&c);
	}
	assert_true(peer_quiet(&c));
	memcpy(c.pv.ram + RAM_A, "again", 5);
	net_send(&c.fe.net, frame(&o[0], RAM_A, 60, 1));
	virtio_net_service(&c.fe);
	assert_int_equal(peer_recv(&c, buf, sizeof(buf)), 60);
	assert_memory_equal(buf, "again", 5);
	/* The next time that it stops, it is waited for again. */
	for (i = 0; i < 1000 && !c.fe.n_sent; i++) {
		net_send(&c.fe.net, frame(&o[0], RAM_A, 9000, 5));
		virtio_net_service(&c.fe);
	}
	assert_true(i < 1000);
	card_close(&c);
}

/* A model without room: nothing is lost, nothing is asked, the peer waits. */
static void test_refuse(void **state)
{
	struct card c;
	unsigned i, n = 0, signals;
	uint8_t f[1000];

	stream_open(&c, "");
	c.refuse = true;
	memset(f, 0, sizeof(f));
	fcntl(c.peer, F_SETFL, O_NONBLOCK);
	/* As many as buffers and sockets take. */
	for (;;) {
		uint8_t whole[4 + sizeof(f)] = { 0, 0, sizeof(f) >> 8, sizeof(f) & 0xff };

		memcpy(whole + 4, &n, sizeof(n));
		if (n == KEEP || send(c.peer, whole, sizeof(whole), MSG_NOSIGNAL) != sizeof(whole))
			break;
		n++;
		settle(&c);
	}
	assert_true(n > VIRTIO_NET_RX_DEPTH);
	settle(&c);
	assert_int_equal(c.refusals, 1);
	signals = c.pv.signals;
	assert_int_equal(signals, 1);
	assert_false(busy(&c)); /* and no storm */
	virtio_net_service(&c.fe);
	assert_int_equal(c.refusals, 1);
	/* Not from within: */
	c.refuse = false;
	net_resume(&c.fe.net);
	assert_int_equal(c.n_in, 0);
	virtio_net_service(&c.fe);
	assert_true(c.n_in >= VIRTIO_NET_RX_DEPTH && c.n_in <= VIRTIO_NET_BUDGET);
	do
		settle(&c);
	while (virtio_net_service(&c.fe) || busy(&c));
	assert_int_equal(c.n_in, n);
	for (i = 0; i < n; i++)
		assert_memory_equal(c.in[i].data, &i, sizeof(i));
	card_close(&c);
}

/* A flood doesn't keep the caller. */
static void test_budget(void **state)
{
	struct card c;
	uint8_t f[200 * 64] = { 0 };
	unsigned i;

	stream_open(&c, "");
	for (i = 0; i < 200; i++)
		f[i * 64 + 3] = 60;
	put(c.peer, f, sizeof(f));
	net_ready(c.be);
	assert_true(virtio_net_service(&c.fe));
	assert_int_equal(c.n_in, VIRTIO_NET_BUDGET);
	assert_true(virtio_net_service(&c.fe));
	assert_int_equal(c.n_in, 2 * VIRTIO_NET_BUDGET);
	do
		settle(&c);
	while (virtio_net_service(&c.fe) || busy(&c));
	assert_int_equal(c.n_in, 200);
	card_close(&c);
}

/* The cable. */

static void test_link(void **state)
{
	struct card c;
	struct out o;
	struct net_stats s;
	uint32_t gen;
	unsigned i;
	int second;
	uint8_t b[4] = { 0, 0, 0, 60 };

	stream_open(&c, "");
	/* One at a time. */
	second = unix_connect(c.path);
	settle(&c);
	assert_int_equal(recv(second, b, 1, 0), 0);
	close(second);
	assert_int_equal(c.links, 0);
	for (i = 1; i <= 3; i++) {
		gen = fake_pv_read(&c.pv, fake_pv_window(WIN) + VIRTIO_MMIO_CONFIG_GENERATION);
		/* The last frames still come, half a one doesn't. */
		peer_send(&c, pattern, 60);
		peer_send(&c, pattern, 1514);
		put(c.peer, b, 4);
		put(c.peer, pattern, 20);
		close(c.peer);
		until(&c, !c.fe.net.link);
		assert_int_not_equal(
			gen,
			fake_pv_read(&c.pv, fake_pv_window(WIN) + VIRTIO_MMIO_CONFIG_GENERATION));
		assert_int_equal(c.links, 2 * i - 1);
		assert_int_equal(c.n_in, 3 * i - 1);
		assert_int_equal(net_send(&c.fe.net, frame(&o, RAM_A, 60, 1)), 0);
		virtio_net_service(&c.fe);
		assert_true(o.done == 1 && !o.err);
		c.peer = unix_connect(c.path);
		until(&c, c.fe.net.link);
		assert_int_equal(c.links, 2 * i);
		peer_send(&c, pattern + 3, 60);
		until(&c, c.n_in == 3 * i);
		got(&c, 3 * i - 1, pattern + 3, 60);
	}
	/* Who sends hears of it first. */
	close(c.peer);
	c.peer = -1;
	net_send(&c.fe.net, frame(&o, RAM_A, 60, 1));
	virtio_net_service(&c.fe);
	assert_true(o.done == 1 && !o.err);
	net_stats(c.be, &s);
	assert_false(s.link);
	until(&c, !c.fe.net.link);
	net_stats(c.be, &s);
	assert_int_equal(s.link_losses, 4);
	assert_int_equal(s.tx_drops, 4);
	assert_int_equal(c.pv.messages, 0);
	card_close(&c);
}

/* The event that brings the last frame is also the link's: the change is not missed. */
static void test_link_with_frame(void **state)
{
	struct card c;

	stream_open(&c, "");
	peer_send(&c, pattern, 60);
	close(c.peer);
	c.peer = -1;
	while (busy(&c))
		net_ready(c.be);
	c.pv.events = 0;
	virtio_net_event(&c.fe);
	assert_int_equal(c.n_in, 1);
	assert_true(c.fe.net.link);
	assert_int_equal(c.pv.reads, 0);
	until(&c, !c.fe.net.link);
	/* Seen, and no more repeated. */
	c.pv.signals = 0;
	usleep(500000);
	settle(&c);
	assert_int_equal(c.pv.signals, 0);
	card_close(&c);
}

/* A lazy frame that has gone does not hide that the link has. */
static void test_link_with_lazy(void **state)
{
	uint64_t v = VIRTIO_NET_TX;
	struct out o;
	struct card c;

	stream_open(&c, "");
	c.pv.env.notify = note_notify;
	frame(&o, RAM_A, 100, 1);
	o.tx.lazy = true;
	assert_int_equal(net_send(&c.fe.net, &o.tx), 0);
	virtio_net_service(&c.fe);
	vmmio_access(net_vmmio(c.be), VIRTIO_MMIO_QUEUE_NOTIFY, 4, true, &v);
	close(c.peer);
	c.peer = -1;
	while (busy(&c))
		net_ready(c.be);
	virtio_net_event(&c.fe);
	assert_true(o.done == 1 && !c.fe.net.link);
	card_close(&c);
}

static void test_connect(void **state)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	char path[64], spec[100], err[200];
	struct net_opts o;
	struct card c;
	int l;

	stream_path(path);
	snprintf(spec, sizeof(spec), "stream:%s,connect", path);
	card_open(&c, spec);
	settle(&c);
	assert_false(c.fe.net.link);
	assert_int_equal(c.pv.messages, 1);
	strcpy(sa.sun_path, path);
	l = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(l, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(listen(l, 5), 0);
	until(&c, c.fe.net.link);
	c.peer = accept(l, NULL, NULL);
	peer_send(&c, pattern, 60);
	until(&c, c.n_in == 1);
	/* Dropped, and there again within the second. */
	close(c.peer);
	until(&c, !c.fe.net.link);
	until(&c, c.fe.net.link);
	c.peer = accept(l, NULL, NULL);
	peer_send(&c, pattern, 60);
	until(&c, c.n_in == 2);
	assert_int_equal(c.pv.messages, 1);
	close(l);
	card_close(&c);
	/* Not ours: left alone, and not to be listened on. */
	assert_int_equal(access(path, F_OK), 0);
	snprintf(spec, sizeof(spec), "stream:%s", path);
	assert_int_equal(net_parse_opts(spec, &o, err, sizeof(err)), 0);
	assert_null(net_open(&o, err, sizeof(err)));
	assert_non_null(strstr(err, path));
	assert_non_null(strstr(err, "remove it"));
	assert_int_equal(access(path, F_OK), 0);
	unlink(path);
}

/* A reset of the domain, with half a frame in and buffers taken. */
static void test_reset(void **state)
{
	struct card c;
	uint8_t b[4] = { 0, 0, 5, 0 };
	unsigned i;

	stream_open(&c, "");
	for (i = 0; i < 5; i++) {
		put(c.peer, b, 4);
		put(c.peer, pattern, 0x300);
		settle(&c);
		fake_pv_write(&c.pv, fake_pv_window(WIN) + VIRTIO_MMIO_STATUS, 0);
		assert_int_equal(fake_pv_read(&c.pv, fake_pv_window(WIN) + VIRTIO_MMIO_STATUS), 0);
		put(c.peer, pattern, 0x100);
		while (busy(&c))
			net_ready(c.be);
		c.pv.priv_used = 0;
		memset(c.pv.priv, 0, PV_PRIV);
		c.fe = (struct virtio_net){ .net = { .receive = receive, .owner = &c } };
		assert_int_equal(virtio_net_init(&c.fe, &c.pv.env, fake_pv_window(WIN)), 0);
		assert_true(c.fe.net.link);
		put(c.peer, pattern, 0x100);
		peer_send(&c, pattern + i, 60);
		until(&c, c.n_in == i + 1);
		got(&c, i, pattern + i, 60);
	}
	assert_int_equal(c.pv.messages, 0);
	/* The peer leaves while no driver runs. */
	fake_pv_write(&c.pv, fake_pv_window(WIN) + VIRTIO_MMIO_STATUS, 0);
	peer_send(&c, pattern, 60);
	close(c.peer);
	while (busy(&c))
		net_ready(c.be);
	c.peer = unix_connect(c.path);
	while (busy(&c))
		net_ready(c.be);
	c.pv.priv_used = 0;
	c.fe = (struct virtio_net){ .net = { .receive = receive, .owner = &c } };
	assert_int_equal(virtio_net_init(&c.fe, &c.pv.env, fake_pv_window(WIN)), 0);
	assert_true(c.fe.net.link);
	peer_send(&c, pattern + 9, 60);
	until(&c, c.n_in == 6);
	got(&c, 5, pattern + 9, 60);
	card_close(&c);
}

/* Two domains on one wire, each with an I/O thread of its own; models that refuse now and then. */

struct io_thread {
	struct net_dev *be;
	bool stop; /* atomic */
};

static void *io_thread(void *arg)
{
	struct io_thread *t = arg;
	struct pollfd f = { .fd = net_fd(t->be), .events = POLLIN };

	while (!__atomic_load_n(&t->stop, __ATOMIC_ACQUIRE)) {
		if (poll(&f, 1, 20) > 0)
			net_ready(t->be);
	}
	return NULL;
}

struct domain {
	struct card c;
	struct out o[VIRTIO_NET_TX_DEPTH];
	bool flying[VIRTIO_NET_TX_DEPTH];
	unsigned n_sent, n_got, seed;
	struct io_thread t;
	pthread_t th;
};

static unsigned next(unsigned *seed)
{
	*seed = *seed * 1103515245 + 12345;
	return *seed >> 8;
}

static size_t length_of(unsigned n)
{
	unsigned seed = n * 7919;

	return n % 10 ? 18 + next(&seed) % 1500 : 18 + next(&seed) % (MAX - 18);
}

static bool receive_in_order(void *owner, const uint8_t *data, size_t len,
			     const struct net_offload *off)
{
	struct domain *d = owner;
	unsigned no;

	if (!(next(&d->seed) % 20)) {
		d->c.refuse = true;
		return false;
	}
	memcpy(&no, data + 14, 4);
	assert_int_equal(no, d->n_got);
	assert_int_equal(len, length_of(no));
	assert_memory_equal(data + 18, pattern + no % 64, len - 18);
	d->n_got++;
	return true;
}

static void domain_send(struct domain *d, unsigned total)
{
	unsigned i;

	for (i = 0; i < VIRTIO_NET_TX_DEPTH; i++) {
		uint64_t gpa = RAM_A + i * 16384;
		size_t len = length_of(d->n_sent);

		if (d->flying[i] && d->o[i].done) {
			assert_int_equal(d->o[i].done, 1);
			d->flying[i] = false;
		}
		if (d->flying[i] || d->n_sent == total)
			continue;
		memset(d->c.pv.ram + gpa, 0xff, 14);
		memcpy(d->c.pv.ram + gpa + 14, &d->n_sent, 4);
		memcpy(d->c.pv.ram + gpa + 18, pattern + d->n_sent % 64, len - 18);
		assert_int_equal(net_send(&d->c.fe.net,
					  frame(&d->o[i], gpa, len, 1 + next(&d->seed) % 14)),
				 0);
		d->flying[i] = true;
		d->n_sent++;
	}
}

static void test_two_domains(void **state)
{
	enum { TOTAL = 4000 };
	static struct domain d[2];
	char path[64], spec[100];
	unsigned i, idle = 0;
	bool work;

	stream_path(path);
	memset(d, 0, sizeof(d));
	for (i = 0; i < 2; i++) {
		snprintf(spec, sizeof(spec), "stream:%s%s", path, i ? ",connect" : "");
		card_open(&d[i].c, spec);
		d[i].c.fe.net.receive = receive_in_order;
		d[i].seed = i + 1;
	}
	for (i = 0; i < 2; i++) {
		until(&d[i].c, d[i].c.fe.net.link);
		d[i].t.be = d[i].c.be;
		assert_int_equal(pthread_create(&d[i].th, NULL, io_thread, &d[i].t), 0);
	}
	while (d[0].n_got < TOTAL || d[1].n_got < TOTAL) {
		for (i = 0, work = false; i < 2; i++) {
			unsigned before = d[i].n_got + d[i].n_sent;

			domain_send(&d[i], TOTAL);
			if (d[i].c.refuse) {
				d[i].c.refuse = false;
				net_resume(&d[i].c.fe.net);
			}
			if (__atomic_exchange_n(&d[i].c.pv.events, 0, __ATOMIC_ACQUIRE))
				work |= virtio_net_event(&d[i].c.fe);
			else
				work |= virtio_net_service(&d[i].c.fe);
			work |= before != d[i].n_got + d[i].n_sent || d[i].c.refuse;
		}
		/* Asleep until an event: a lost one is a hang, which idle finds. */
		while (!work && !__atomic_load_n(&d[0].c.pv.events, __ATOMIC_ACQUIRE) &&
		       !__atomic_load_n(&d[1].c.pv.events, __ATOMIC_ACQUIRE)) {
			usleep(100);
			assert_true(idle++ < 100000);
		}
		idle = 0;
	}
	for (i = 0; i < 2; i++) {
		__atomic_store_n(&d[i].t.stop, true, __ATOMIC_RELEASE);
		pthread_join(d[i].th, NULL);
		assert_int_equal(d[i].n_sent, TOTAL);
		assert_int_equal(d[i].c.fe.rx_dropped, 0);
	}
	for (i = 2; i--;)
		card_close(&d[i].c);
	assert_int_equal(access(path, F_OK), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_opts),           cmocka_unit_test(test_mac),
		cmocka_unit_test(test_init),           cmocka_unit_test(test_send),
		cmocka_unit_test(test_send_late),      cmocka_unit_test(test_send_lazy),
		cmocka_unit_test(test_send_nonsense),  cmocka_unit_test(test_receive),
		cmocka_unit_test(test_receive_cost),   cmocka_unit_test(test_hostile_peer),
		cmocka_unit_test(test_depth),          cmocka_unit_test(test_stalled_peer),
		cmocka_unit_test(test_refuse),         cmocka_unit_test(test_budget),
		cmocka_unit_test(test_link),           cmocka_unit_test(test_link_with_frame),
		cmocka_unit_test(test_link_with_lazy), cmocka_unit_test(test_connect),
		cmocka_unit_test(test_reset),          cmocka_unit_test(test_two_domains),
	};

	fill(pattern, sizeof(pattern), 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
