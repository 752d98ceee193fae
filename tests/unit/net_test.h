/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * net_test.h - a card's model in the hands of a test, on the real network front end and back end.
 *
 * Behind the back end is the other end of a stream socket, or of a packet socket that plays a TAP
 * interface (frames after a virtio_net_hdr).
 */
#ifndef NET_TEST_H
#define NET_TEST_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "fake_pv.h"
#include "backends/net_int.h"
#include "drivers/virtio/virtio_net.h"

#define WIN   2u
#define KEEP  600u
#define HDR   ((uint32_t)sizeof(struct virtio_net_hdr))
#define MAX   NETDEV_MAX_FRAME
#define RAM_A 0x10000u /* where tests have frames in guest RAM */

struct card {
	struct fake_pv pv;
	struct net_dev *be;
	struct virtio_net fe;
	int peer; /* our end; -1 */
	char path[64];
	/* What the model saw. */
	struct {
		uint8_t *data;
		size_t len;
		struct net_offload off;
	} in[KEEP];
	unsigned n_in, refusals, rooms, links;
	bool refuse;
	int link_seen;
};

struct out {
	struct net_tx tx;
	struct gpa_seg seg[NET_MAX_SEGS];
	unsigned done;
	int err;
};

/* The model. */

static inline bool receive(void *owner, const uint8_t *frame, size_t len,
			   const struct net_offload *off)
{
	struct card *c = owner;

	if (c->refuse) {
		c->refusals++;
		return false;
	}
	assert_true(len >= 14 && len <= MAX);
	assert_int_equal(off->gso, NET_GSO_NONE);
	assert_true(c->n_in < KEEP);
	c->in[c->n_in].data = malloc(len);
	memcpy(c->in[c->n_in].data, frame, len);
	c->in[c->n_in].len = len;
	c->in[c->n_in++].off = *off;
	return true;
}

static inline void sent_room(void *owner)
{
	((struct card *)owner)->rooms++;
}

static inline void link_changed(void *owner)
{
	struct card *c = owner;

	c->links++;
	c->link_seen = c->fe.net.link;
}

static inline void forget(struct card *c)
{
	while (c->n_in)
		free(c->in[--c->n_in].data);
}

static inline void sent(void *owner, struct net_tx *tx, int err)
{
	struct out *o = owner;

	assert_ptr_equal(tx, &o->tx);
	o->done++;
	o->err = err;
}

/* A frame of len bytes at gpa, in n segments as equal as may be. */
static inline struct net_tx *frame(struct out *o, uint64_t gpa, size_t len, unsigned n)
{
	unsigned i;

	*o = (struct out){ .tx = { .seg = o->seg, .n_seg = (uint16_t)n, .done = sent, .owner = o } };
	for (i = 0; i < n; i++) {
		uint32_t part = (uint32_t)(len / (n - i));

		o->seg[i] = (struct gpa_seg){ { gpa }, part };
		gpa += part;
		len -= part;
	}
	return &o->tx;
}

static inline void fill(uint8_t *p, size_t n, unsigned seed)
{
	size_t i;

	for (i = 0; i < n; i++) {
		seed = seed * 1103515245 + 12345;
		p[i] = (uint8_t)(seed >> 16);
	}
}

/* Set-up. */

static inline void attach(struct card *c)
{
	net_attach(c->be, &c->pv.host, WIN);
	c->pv.dev[WIN] = net_vmmio(c->be);
	c->fe.net.receive = receive;
	c->fe.net.sent_room = sent_room;
	c->fe.net.link_changed = link_changed;
	c->fe.net.owner = c;
	assert_int_equal(virtio_net_init(&c->fe, &c->pv.env, fake_pv_window(WIN)), 0);
	c->link_seen = c->fe.net.link;
	c->pv.notifies = c->pv.reads = 0;
}

static inline void card_init(struct card *c)
{
	memset(c, 0, sizeof(*c));
	c->peer = -1;
	fake_pv_init(&c->pv);
	signal(SIGPIPE, SIG_IGN);
}

static inline void card_open(struct card *c, const char *spec)
{
	struct net_opts o;
	char err[256];

	card_init(c);
	if (net_parse_opts(spec, &o, err, sizeof(err)) || !(c->be = net_open(&o, err, sizeof(err))))
		fail_msg("%s", err);
	attach(c);
}

static inline bool busy(struct card *c)
{
	struct pollfd f = { .fd = net_fd(c->be), .events = POLLIN };

	return poll(&f, 1, 0) > 0;
}

/* As the I/O thread and the I/O context do, until nothing happens. */
static inline void settle(struct card *c)
{
	while (busy(c) || __atomic_load_n(&c->pv.events, __ATOMIC_ACQUIRE)) {
		if (busy(c))
			net_ready(c->be);
		if (__atomic_exchange_n(&c->pv.events, 0, __ATOMIC_ACQUIRE)) {
			while (virtio_net_event(&c->fe))
				;
		}
	}
}

/* Until something is so, for at most 10 s. */
#define until(c, what)                                                               \
	do {                                                                         \
		unsigned tries = 0;                                                  \
		for (settle(c); !(what); settle(c)) {                                \
			struct pollfd pfd = { net_fd((c)->be), POLLIN, 0 };          \
			poll(&pfd, 1, 20);                                           \
			if (++tries > 500)                                           \
				fail_msg("line %d: never: %s (%s)", __LINE__, #what, \
					 (c)->pv.last_message);                      \
		}                                                                    \
	} while (0)

static inline int unix_connect(const char *path)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	struct timeval tv = { 5, 0 };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(sa.sun_path, path);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	return fd;
}

static inline void stream_path(char path[64])
{
	static unsigned n;

	snprintf(path, 64, "/tmp/selfio-net-%d-%u", (int)getpid(), n++);
	unlink(path);
}

/* A card with someone on its stream socket. */
static inline void stream_open(struct card *c, const char *more)
{
	char path[64], spec[200];

	stream_path(path);
	snprintf(spec, sizeof(spec), "stream:%s%s", path, more);
	card_open(c, spec);
	strcpy(c->path, path);
	assert_false(c->fe.net.link);
	c->peer = unix_connect(path);
	until(c, c->fe.net.link);
	assert_int_equal(c->links, 1);
	c->links = 0;
	c->pv.notifies = c->pv.reads = c->pv.signals = 0;
}

static inline void card_close(struct card *c)
{
	net_close(c->be);
	if (c->peer >= 0)
		close(c->peer);
	if (c->path[0])
		assert_int_equal(access(c->path, F_OK), -1);
	forget(c);
	fake_pv_free(&c->pv);
}

static inline void put(int fd, const void *buf, size_t n)
{
	assert_int_equal(send(fd, buf, n, MSG_NOSIGNAL), n);
}

/* The length that a stream has, and its frame. */
static inline void peer_send(struct card *c, const void *data, uint32_t len)
{
	uint32_t be = htonl(len);

	put(c->peer, &be, 4);
	if (len)
		put(c->peer, data, len);
}

static inline size_t peer_recv(struct card *c, uint8_t *buf, size_t size)
{
	uint32_t len;

	assert_int_equal(recv(c->peer, &len, 4, MSG_WAITALL), 4);
	len = ntohl(len);
	assert_true(len <= size);
	assert_int_equal(recv(c->peer, buf, len, MSG_WAITALL), len);
	return len;
}

static inline bool peer_quiet(struct card *c)
{
	uint8_t b;

	return recv(c->peer, &b, 1, MSG_DONTWAIT | MSG_PEEK) < 0 && errno == EAGAIN;
}

static uint8_t pattern[NETDEV_MAX_GSO];

static inline void got(struct card *c, unsigned i, const void *data, size_t len)
{
	assert_true(i < c->n_in);
	assert_int_equal(c->in[i].len, len);
	assert_memory_equal(c->in[i].data, data, len);
}

/* A packet socket in the place of a TAP interface. */

static int packet_end;

static inline bool packet_open(struct net_dev *nd, char *err, size_t errlen)
{
	return true;
}

static inline void packet_start(struct net_dev *nd)
{
	net_set_fd(nd, packet_end);
	net_set_link(nd, true);
}

static inline void packet_lost(struct net_dev *nd, int error)
{
}

static inline void packet_close(struct net_dev *nd)
{
}

static const struct net_port_ops packet_ops = {
	.open = packet_open,
	.start = packet_start,
	.lost = packet_lost,
	.close = packet_close,
};

static inline void packet_card(struct card *c, const char *pcap)
{
	struct timeval tv = { 5, 0 };
	struct net_opts o = { .index = 3 };
	char err[100];
	int sp[2];

	card_init(c);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sp), 0);
	c->peer = sp[0];
	setsockopt(sp[0], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	fcntl(sp[1], F_SETFL, O_NONBLOCK);
	packet_end = sp[1];
	strcpy(o.pcap, pcap);
	c->be = net_new(&o, &packet_ops, err, sizeof(err));
	if (!c->be)
		fail_msg("%s", err);
	attach(c);
	settle(c);
	assert_true(c->fe.net.link);
	c->pv.notifies = c->pv.reads = c->pv.signals = 0;
}

static inline void packet_send(struct card *c, const struct virtio_net_hdr *h, const void *data,
			       size_t len)
{
	struct iovec iov[2] = { { (void *)(uintptr_t)h, HDR }, { (void *)(uintptr_t)data, len } };

	assert_int_equal(writev(c->peer, iov, 2), HDR + len);
}

#endif
