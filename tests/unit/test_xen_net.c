/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_xen_net.c - drivers/xen/xen_net.c against a network back end in memory, and what that may do wrong.
 * xenstore is a table here; the client of the real one is tested in test_xen_drivers.c.
 */
#include "drivers/xen/store.h"
#include "drivers/xen/xen_net.h"
#include "models/net_csum.h"
#include "fake_xen.h"

#define OUT   80u
#define FRONT "device/vif/0"
#define BACK  "/b/0"

struct out {
	uint8_t data[70000];
	uint32_t len;
	uint16_t flags;
	unsigned slots;
	bool gso;
	struct netif_extra_gso extra;
};

static struct fake {
	struct xen_env env;
	unsigned watches;
	char states[32]; /* of the front end, in order */
	/* the back end */
	bool absent, hold, keep, backwards;
	int16_t status;
	struct netif_tx_ring_shared *tx;
	struct netif_rx_ring_shared *rx;
	uint32_t tx_cons, tx_prod, rx_cons, rx_prod;
	struct out out[OUT];
	unsigned n_out, bounced, notified, signals, channels;
} f;

static struct xen x;
static struct xen_net net;

/* --- xenstore --- */

static void forget(const char *path)
{
	char *v = value_of(path);

	if (v)
		v[-64] = '-';
}

int store_init(struct xen *xen)
{
	return 0;
}

bool xen_store_read(struct xen *xen, const char *dir, const char *key, char text[XEN_STORE_TEXT])
{
	char path[300];
	const char *v;

	snprintf(path, sizeof(path), "%s/%s", dir, key);
	v = value_of(path);
	if (v)
		strcpy(text, v);
	return v;
}

uint64_t xen_store_number(struct xen *xen, const char *dir, const char *key, uint64_t max,
			  uint64_t dflt)
{
	char text[XEN_STORE_TEXT];

	return xen_store_read(xen, dir, key, text) ? strtoull(text, NULL, 10) : dflt;
}

/* As map(), of what is granted for just this. */
static uint8_t *map_exact(uint32_t ref, bool write)
{
	uint8_t *p = map(ref, write);

	assert_true(!write == !!(grant_of(ref)->flags & XEN_GTF_READONLY));
	assert_non_null(p);
	return p;
}

static uint32_t front_number(const char *key)
{
	char path[64];

	snprintf(path, sizeof(path), FRONT "/%s", key);
	assert_non_null(value_of(path));
	return (uint32_t)atoi(value_of(path));
}

/* As Linux's: Connected is what it goes up for. */
static void back_state(void)
{
	const char *s = value_of(FRONT "/state");

	strcat(f.states, s);
	if (*s == '4' && !f.tx && !f.absent) {
		assert_int_equal(front_number("request-rx-copy"), 1);
		assert_int_equal(front_number("feature-rx-notify"), 1);
		assert_int_equal(front_number("feature-sg"), 1);
		assert_null(value_of(FRONT "/feature-gso-tcpv4"));
		assert_null(value_of(FRONT "/feature-no-csum-offload"));
		assert_int_equal(front_number("event-channel"), 104);
		f.tx = (void *)map_exact(front_number("tx-ring-ref"), true);
		f.rx = (void *)map_exact(front_number("rx-ring-ref"), true);
		f.tx_cons = f.tx_prod = f.rx_cons = f.rx_prod = 0;
		set(BACK "/state", "4");
	}
	if (*s == '6' && f.tx) {
		unmap(front_number("tx-ring-ref"));
		unmap(front_number("rx-ring-ref"));
		f.tx = NULL;
		set(BACK "/state", "6");
	}
}

bool xen_store_write(struct xen *xen, const char *dir, const char *key, const char *text)
{
	char path[300];

	snprintf(path, sizeof(path), "%s/%s", dir, key);
	set(path, text);
	if (!strcmp(path, FRONT "/state"))
		back_state();
	return true;
}

bool xen_store_write_number(struct xen *xen, const char *dir, const char *key, uint64_t v)
{
	char text[24];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)v);
	return xen_store_write(xen, dir, key, text);
}

bool xen_store_watch(struct xen *xen, const char *path)
{
	f.watches++;
	return true;
}

/* --- the back end --- */

static void answer(uint16_t id, int16_t status)
{
	f.tx->ring[f.tx_prod++ % NETIF_RING].rsp =
		(struct netif_tx_response){ .id = id, .status = status };
}

static void publish(void)
{
	uint32_t old = f.tx->rsp_prod;

	f.tx->rsp_prod = f.tx_prod;
	f.signals += f.tx_prod - f.tx->rsp_event < f.tx_prod - old;
}

static void back_run(void)
{
	while (f.tx && !f.hold && f.tx_cons != f.tx->req_prod) {
		struct out *o = &f.out[f.n_out++ % OUT];
		struct netif_tx_request r[NETIF_MAX_SLOTS];
		uint32_t rest = 0;
		uint8_t *to;

		memset(o, 0, offsetof(struct out, data));
		o->slots = 0;
		o->gso = false;
		do {
			assert_true(o->slots < NETIF_MAX_SLOTS);
			r[o->slots] = f.tx->ring[f.tx_cons++ % NETIF_RING].req;
			if (!o->slots && r[0].flags & NETTXF_EXTRA_INFO) {
				o->gso = true;
				o->extra = f.tx->ring[f.tx_cons++ % NETIF_RING].gso;
			}
			rest += o->slots ? r[o->slots].size : 0;
		} while (r[o->slots++].flags & NETTXF_MORE_DATA);
		o->len = r[0].size;
		o->flags = r[0].flags;
		assert_true(o->len >= rest + NET_ETH_HDR);
		r[0].size = (uint16_t)(o->len - rest);
		to = o->data;
		for (unsigned i = 0; i < o->slots; i++) {
			uint8_t *p = map_exact(r[i].gref, false) + r[i].offset;

			assert_true(r[i].offset + r[i].size <= XEN_PAGE && r[i].size);
			assert_true(!i || !(r[i].flags & ~NETTXF_MORE_DATA));
			f.bounced += p >= fx.ram + PRIV;
			memcpy(to, p, r[i].size);
			to += r[i].size;
			if (!f.keep)
				unmap(r[i].gref);
		}
		for (unsigned i = 0; i < o->slots; i++) {
			answer(r[f.backwards ? o->slots - 1 - i : i].id, f.status);
			if (!i && o->gso)
				answer(0x1234, NETIF_NO_RSP);
		}
		f.tx->req_event = f.tx_cons + 1;
		publish();
	}
}

/* A frame in, part bytes in a page. */
static void back_send(const uint8_t *p, uint32_t len, uint32_t part, uint16_t flags)
{
	for (bool first = true; len || first; first = false) {
		uint32_t i = f.rx_cons++ % NETIF_RING;
		struct netif_rx_request r = f.rx->ring[i].req;
		uint32_t n = len < part ? len : part;
		uint16_t off = n < 3000 ? 100 : 0;

		assert_true(f.rx_cons - 1 != f.rx->req_prod);
		assert_int_equal(r.id, i);
		memcpy(map_exact(r.gref, true) + off, p, n);
		unmap(r.gref);
		len -= n;
		p += n;
		f.rx->ring[i].rsp = (struct netif_rx_response){
			.id = r.id,
			.offset = off,
			.flags = (uint16_t)((first ? flags : 0) | (len ? NETRXF_MORE_DATA : 0)),
			.status = (int16_t)n,
		};
		f.rx_prod++;
	}
	f.rx->rsp_prod = f.rx_prod;
	f.rx->req_event = f.rx->req_prod + 1;
}

/* --- the environment --- */

static long hypercall(void *ctx, unsigned nr, unsigned long op, void *arg, unsigned long n)
{
	if (nr != XEN_HC_SCHED || op != XEN_SCHED_YIELD)
		return fx_hypercall(nr, op, arg);
	fx.now += 100000000;
	return 0;
}

static uint32_t env_channel(void *ctx, unsigned n, uint16_t domid)
{
	assert_int_equal(domid, 0);
	f.channels++;
	return 100 + n;
}

static void env_notify(void *ctx, unsigned n)
{
	assert_int_equal(n, 4);
	f.notified++;
	back_run();
}

/* --- the model --- */

static struct model {
	unsigned received, link_changes, rooms;
	bool full, link;
	uint8_t data[20000];
	size_t len;
	struct net_offload off;
	const uint8_t *at;
} model;

static bool receive(void *owner, const uint8_t *frame, size_t len, const struct net_offload *off)
{
	uint32_t g = (uint32_t)(frame - net.rx_page) / XEN_PAGE;

	assert_true(len >= 14 && len <= XEN_NET_MAX_RX_FRAME && off->gso == NET_GSO_NONE);
	/* Nobody else can write there now. */
	if (frame >= net.rx_page && g < XEN_NET_RX_DEPTH)
		assert_int_equal(x.grant[net.grant + 2 + g].flags, 0);
	if (model.full)
		return false;
	model.received++;
	memcpy(model.data, frame, len);
	model.len = len;
	model.off = *off;
	model.at = frame;
	return true;
}

static void link_changed(void *owner)
{
	model.link_changes++;
	model.link = net.net.link;
}

static void sent_room(void *owner)
{
	model.rooms++;
}

static void start(void)
{
	memset(&f, 0, sizeof(f));
	memset(&x, 0, sizeof(x));
	memset(&net, 0, sizeof(net));
	memset(&model, 0, sizeof(model));
	fx_start();
	f.env = (struct xen_env){ .alloc = env_alloc,
				  .gpa = env_gpa,
				  .at = env_at,
				  .hypercall = hypercall,
				  .channel = env_channel,
				  .notify = env_notify,
				  .now_ns = env_now,
				  .log = env_log };
	set(FRONT "/backend", BACK);
	set(FRONT "/backend-id", "0");
	set(FRONT "/mac", "00:16:3e:0A:bc:0f");
	set(FRONT "/state", "1");
	set(BACK "/state", "2");
	set(BACK "/feature-sg", "1");
	set(BACK "/feature-gso-tcpv4", "1");
	set(BACK "/feature-gso-tcpv6", "1");
	set(BACK "/feature-ipv6-csum-offload", "1");
	net.net.receive = receive;
	net.net.link_changed = link_changed;
	net.net.sent_room = sent_room;
	assert_int_equal(xen_init(&x, &f.env), 0);
}

static void begin(void)
{
	start();
	assert_int_equal(xen_net_init(&net, &x, 0, 4), 0);
	xen_net_service(&net);
	assert_int_equal(fx.logs, 0);
}

static void stop(void)
{
	free(fx.ram);
}

/* Only the rings and the pages to receive into can be reached. */
static void assert_quiet(void)
{
	unsigned n = 0;

	for (unsigned i = 0; i < x.n_taken; i++)
		n += x.grant[i].flags != 0;
	assert_int_equal(n, 2 + XEN_NET_RX_DEPTH);
	assert_int_equal(net.n_free, XEN_NET_TX_SLOTS);
	assert_true(net.bounce_head == net.bounce_tail && !net.extras);
}

struct job {
	struct net_tx tx;
	struct gpa_seg seg[NET_MAX_SEGS];
	unsigned done, turn;
	int err;
};
static unsigned turns;

static void done(void *owner, struct net_tx *tx, int err)
{
	struct job *j = owner;

	assert_ptr_equal(tx, &j->tx);
	j->done++;
	j->err = err;
	j->turn = ++turns;
}

static void job_init(struct job *j, uint64_t gpa, uint32_t len, uint32_t piece)
{
	memset(j, 0, sizeof(*j));
	j->tx = (struct net_tx){ .seg = j->seg, .done = done, .owner = j };
	for (uint32_t n; len; len -= n, gpa += n) {
		n = len < piece || j->tx.n_seg == NET_MAX_SEGS - 1 ? len : piece;
		j->seg[j->tx.n_seg++] = (struct gpa_seg){ { gpa }, n };
	}
}

static int run(struct job *j)
{
	assert_int_equal(net_send(&net.net, &j->tx), 0);
	assert_int_equal(j->done, 0);
	xen_net_service(&net);
	assert_int_equal(j->done, 1);
	return j->err;
}

static const struct out *last_out(void)
{
	return &f.out[(f.n_out - 1) % OUT];
}

/* An IPv4 or IPv6 frame of TCP at gpa, as a model leaves it for the front end; where TCP's header begins. */
static unsigned tcp_frame(uint64_t gpa, uint32_t len, bool v6, bool tagged, struct net_offload *off)
{
	uint8_t *p = fx.ram + gpa, *ip;
	unsigned l3 = tagged ? 18 : 14, l4 = l3 + (v6 ? 40 : 20);

	for (uint32_t i = 0; i < len; i++)
		p[i] = (uint8_t)(i * 13 + i / 256);
	net_put16(p + 12, NET_TPID);
	net_put16(p + l3 - 2, v6 ? 0x86dd : 0x0800);
	ip = p + l3;
	memset(ip, 0, l4 - l3);
	ip[0] = v6 ? 0x60 : 0x45;
	net_put16(ip + (v6 ? 4 : 2), v6 ? len - l4 : len - l3);
	ip[v6 ? 6 : 9] = NET_PROTO_TCP;
	p[l4 + 12] = 5 << 4;
	net_put16(p + l4 + 16, net_fold(net_sum_pseudo(ip, NET_PROTO_TCP, len - l4)));
	*off = (struct net_offload){ .flags = NET_CSUM_PARTIAL,
				     .csum_start = (uint16_t)l4,
				     .csum_offset = 16 };
	return l4;
}

static void assert_checksum(const struct out *o)
{
	struct net_headers h;

	net_parse(&h, o->data, o->len);
	assert_true(h.l4 && net_l4_csum_ok(o->data, o->len, &h));
	assert_int_equal(o->flags & (NETTXF_CSUM_BLANK | NETTXF_EXTRA_INFO), 0);
}

static void test_init(void **state)
{
	static const uint8_t mac[6] = { 0, 0x16, 0x3e, 0xa, 0xbc, 0xf };

	begin();
	assert_string_equal(f.states, "43");
	assert_memory_equal(net.net.mac, mac, 6);
	assert_true(net.net.link);
	assert_int_equal(net.net.features, NET_F_CSUM | NET_F_TSO4 | NET_F_TSO6);
	assert_int_equal(f.rx->req_prod, XEN_NET_RX_DEPTH);
	assert_quiet();
	assert_true(xen_net_there(&x, 0) && !xen_net_there(&x, 1));
	stop();
	/* fewer features; no carrier */
	start();
	set(BACK "/feature-ipv6-csum-offload", "0");
	set(BACK "/carrier", "0");
	assert_int_equal(xen_net_init(&net, &x, 0, 4), 0);
	assert_int_equal(net.net.features, NET_F_CSUM | NET_F_TSO4);
	assert_false(net.net.link);
	set(BACK "/carrier", "1");
	xen_net_look(&net);
	assert_true(net.net.link && model.link_changes == 1);
	stop();
	/* what can't be a card */
	static const char *const bad[] = { "", "00:16:3e:0a:bc",
					   "00:16:3e:0a:bc:0f:", "00-16-3e-0a-bc-0f",
					   "00:16:3e:0a:bc:0g" };
	for (unsigned i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		start();
		set(FRONT "/mac", bad[i]);
		assert_int_equal(xen_net_init(&net, &x, 0, 4), -1);
		assert_non_null(strstr(fx.last_log, "no address"));
		stop();
	}
	for (unsigned left = 0; left < 55; left++) {
		start();
		fx.used = RAM - left * XEN_PAGE;
		assert_int_equal(xen_net_init(&net, &x, 0, 4),
				 left * XEN_PAGE < XEN_NET_BYTES ? -1 : 0);
		stop();
	}
	start();
	assert_true(xen_grants_take(&x, XEN_GRANT_FRAMES * 512 - 100) != UINT32_MAX);
	assert_int_equal(xen_net_init(&net, &x, 0, 4), -1);
	stop();
}

static void test_shapes(void **state)
{
	static const struct {
		uint32_t off, len, piece, bounced; /* pages of ours */
	} shape[] = {
		{ 0, 60, 65536, 0 },       { 0, 1514, 65536, 0 },
		{ 3000, 1514, 65536, 0 },  { 4090, 1514, 65536, 1 } /* 6 bytes of header */,
		{ 0, 14, 65536, 0 },       { 0, 1514, 1000, 0 },
		{ 1, 9014, 2048, 0 },      { 0, 1514, 100, 0 },
		{ 0, 1514, 50, 1 },        { 0, 1514, 13, 1 },
		{ 0, 65535, 65536, 0 },    { 100, 65535, 65536, 0 },
		{ 0, 65535, 4096, 0 },     { 0, 65535, 2048, 14 },
		{ 4000, 65535, 1024, 16 }, { 2000, 60000, 4096, 12 },
		{ 0, 16128, 333, 3 },
	};
	struct job j;

	begin();
	for (uint32_t i = 0; i < PRIV - 0x10000; i++)
		fx.ram[0x10000 + i] = (uint8_t)(i * 7 + i / 251);
	for (unsigned k = 0; k < sizeof(shape) / sizeof(*shape); k++) {
		for (unsigned b = 0; b < 2; b++) {
			f.backwards = b;
			f.bounced = 0;
			job_init(&j, 0x10000 + shape[k].off, shape[k].len, shape[k].piece);
			assert_int_equal(run(&j), 0);
			assert_int_equal(last_out()->len, shape[k].len);
			assert_int_equal(last_out()->flags & ~NETTXF_MORE_DATA, 0);
			assert_memory_equal(last_out()->data, fx.ram + 0x10000 + shape[k].off,
					    shape[k].len);
			assert_int_equal(f.bounced, shape[k].bounced);
			assert_quiet();
		}
	}
	assert_int_equal(fx.logs, 0);
	/* What can't go: too long, too short, outside of RAM, no segment, too many. */
	unsigned before = f.n_out;
	job_init(&j, 0x10000, 65536, 65536);
	assert_int_equal(run(&j), -1);
	job_init(&j, 0x10000, 13, 65536);
	assert_int_equal(run(&j), -1);
	job_init(&j, RAM - 50, 100, 65536);
	assert_int_equal(run(&j), -1);
	job_init(&j, 0x10000, 100, 50);
	j.seg[1].addr.raw = UINT64_MAX - 10;
	assert_int_equal(run(&j), -1);
	job_init(&j, 0x10000, 100, 100);
	j.tx.n_seg = 0;
	assert_int_equal(run(&j), -1);
	j.tx.n_seg = NET_MAX_SEGS + 1;
	j.done = 0;
	assert_int_equal(run(&j), -1);
	assert_int_equal(f.n_out, before);
	/* An answer with an error. */
	f.status = -1;
	job_init(&j, 0x10000, 100, 100);
	assert_int_equal(run(&j), -1);
	assert_true(net.net.link);
	assert_quiet();
	stop();
}

static void test_checksums(void **state)
{
	struct net_offload off;
	struct job j;

	begin();
	for (unsigned v6 = 0; v6 < 2; v6++) {
		tcp_frame(0x10000, 1000, v6, false, &off);
		job_init(&j, 0x10000, 1000, 77);
		j.tx.off = off;
		f.bounced = 0;
		assert_int_equal(run(&j), 0);
		assert_int_equal(last_out()->flags & ~NETTXF_MORE_DATA,
				 NETTXF_CSUM_BLANK | NETTXF_DATA_VALIDATED);
		assert_memory_equal(last_out()->data, fx.ram + 0x10000, 1000);
		assert_int_equal(f.bounced, 0);
		/* With a tag, the back end would not find it. */
		tcp_frame(0x10000, 1000, v6, true, &off);
		j.tx.off = off;
		j.done = 0;
		assert_int_equal(run(&j), 0);
		assert_checksum(last_out());
		assert_int_equal(f.bounced, 1);
		assert_quiet();
	}
	/* Not where TCP has it: of 100 bytes from 200 on, at 210. */
	tcp_frame(0x10000, 300, false, false, &off);
	job_init(&j, 0x10000, 300, 300);
	j.tx.off = off;
	j.tx.off.csum_start = 200;
	j.tx.off.csum_offset = 10;
	assert_int_equal(run(&j), 0);
	assert_int_equal(
		net_fold(net_sum(net_get16(fx.ram + 0x10000 + 210), last_out()->data + 200, 100)),
		0xffff);
	assert_int_equal(last_out()->flags, 0);
	/* Outside of the frame: it goes as it is. */
	j.tx.off.csum_offset = 500;
	j.done = 0;
	assert_int_equal(run(&j), 0);
	assert_memory_equal(last_out()->data, fx.ram + 0x10000, 300);
	/* A fragment. */
	tcp_frame(0x10000, 300, false, false, &off);
	fx.ram[0x10000 + 14 + 7] = 5;
	job_init(&j, 0x10000, 300, 300);
	j.tx.off = off;
	assert_int_equal(run(&j), 0);
	assert_int_equal(last_out()->flags, 0);
	stop();
	/* A back end that knows IPv4 only. */
	start();
	set(BACK "/feature-ipv6-csum-offload", "0");
	assert_int_equal(xen_net_init(&net, &x, 0, 4), 0);
	tcp_frame(0x10000, 1000, true, false, &off);
	job_init(&j, 0x10000, 1000, 1000);
	j.tx.off = off;
	assert_int_equal(run(&j), 0);
	assert_checksum(last_out());
	stop();
}

static void test_gso(void **state)
{
	struct net_offload off;
	struct job j;

	begin();
	for (unsigned v6 = 0; v6 < 2; v6++) {
		tcp_frame(0x10000, 60000, v6, false, &off);
		off.gso = v6 ? NET_GSO_TCPV6 : NET_GSO_TCPV4;
		off.gso_size = 1448;
		off.hdr_len = v6 ? 74 : 54;
		job_init(&j, 0x10000, 60000, 4096);
		j.tx.off = off;
		assert_int_equal(run(&j), 0);
		assert_true(last_out()->gso && last_out()->flags & NETTXF_CSUM_BLANK);
		assert_int_equal(last_out()->extra.type, NETIF_EXTRA_GSO);
		assert_int_equal(last_out()->extra.flags, 0);
		assert_int_equal(last_out()->extra.size, 1448);
		assert_int_equal(last_out()->extra.gso, v6 ? NETIF_GSO_TCPV6 : NETIF_GSO_TCPV4);
		assert_memory_equal(last_out()->data, fx.ram + 0x10000, 60000);
		assert_quiet();
	}
	/* What the back end would take amiss does not get there. */
	unsigned before = f.n_out;
	for (unsigned how = 0; how < 5; how++) {
		tcp_frame(0x10000, 6000, false, how == 0, &off);
		off.gso = NET_GSO_TCPV4;
		off.gso_size = 1448;
		switch (how) {
		case 1: off.gso_size = 0; break;
		case 2: off.gso = NET_GSO_TCPV6; break;
		case 3: fx.ram[0x10000 + 14 + 9] = NET_PROTO_UDP; break;
		case 4: off.csum_offset = 6; break;
		}
		job_init(&j, 0x10000, 6000, 6000);
		j.tx.off = off;
		assert_int_equal(run(&j), -1);
	}
	assert_int_equal(f.n_out, before);
	assert_true(net.net.link);
	stop();
}

static void test_no_sg(void **state)
{
	struct job j;

	start();
	set(BACK "/feature-sg", "0");
	assert_int_equal(xen_net_init(&net, &x, 0, 4), 0);
	assert_int_equal(net.net.features, NET_F_CSUM);
	job_init(&j, 0x10ff0, 1514, 100);
	assert_int_equal(run(&j), 0);
	assert_int_equal(last_out()->slots, 1);
	job_init(&j, 0x10010, 4096, 4096);
	assert_int_equal(run(&j), 0);
	assert_int_equal(last_out()->slots, 1);
	job_init(&j, 0x10000, 4097, 5000);
	assert_int_equal(run(&j), -1);
	assert_quiet();
	stop();
}

/* Frames wait for slots and for pages of ours; they go, and are reported, in order. */
static void test_queue(void **state)
{
	static struct job j[XEN_NET_TX_DEPTH + 1];
	unsigned i;

	begin();
	for (unsigned how = 0; how < 3; how++) {
		f.hold = true;
		turns = model.rooms = 0;
		f.n_out = 0;
		for (i = 0; i <= XEN_NET_TX_DEPTH; i++) {
			job_init(&j[i], 0x10000 + i * 64, how == 2 ? 30000 : 17 * 100,
				 how == 0 ? 1700 :
				 how == 1 ? 100 :
					    1000);
			assert_int_equal(net_send(&net.net, &j[i].tx),
					 i < XEN_NET_TX_DEPTH ? 0 : -1);
		}
		memset(fx.ram + 0x10000, 0, 0x20000);
		xen_net_service(&net);
		assert_int_equal(j[0].done, 0);
		assert_true(how == 0 || net.next - net.first < XEN_NET_TX_DEPTH);
		/* Half of what flies is asked for. */
		assert_int_equal(f.tx->rsp_event,
				 net.tx_cons + (net.tx_pushed - net.tx_cons + 1) / 2);
		f.hold = false;
		f.signals = 0;
		back_run();
		assert_true(f.signals >= 1);
		for (i = 0; i < 40; i++)
			xen_net_service(&net);
		for (i = 0; i < XEN_NET_TX_DEPTH; i++) {
			assert_true(j[i].done == 1 && j[i].err == 0);
			assert_int_equal(j[i].turn, i + 1);
			assert_int_equal(f.out[i].len, j[i].tx.n_seg == 1 ? 1700 :
						       how == 1           ? 1700 :
									    30000);
		}
		assert_true(model.rooms >= 1);
		assert_quiet();
	}
	stop();
}

static void test_lazy(void **state)
{
	struct job j[6];

	begin();
	for (unsigned i = 0; i < 6; i++) {
		job_init(&j[i], 0x10000, 60, 60);
		j[i].tx.lazy = i != 5;
	}
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(net_send(&net.net, &j[i].tx), 0);
	xen_net_service(&net);
	/* They have gone, which is not told yet. */
	assert_int_equal(f.n_out, 3);
	assert_int_equal(j[0].done, 0);
	assert_true(xen_net_waits(&net));
	assert_int_equal(f.tx->rsp_event, 4);
	assert_int_equal(net_send(&net.net, &j[3].tx), 0);
	f.signals = 0;
	xen_net_service(&net);
	assert_int_equal(f.signals, 1);
	assert_true(j[0].done && j[3].done && !xen_net_waits(&net));
	assert_int_equal(net_send(&net.net, &j[4].tx), 0);
	xen_net_service(&net);
	assert_int_equal(j[4].done, 0);
	xen_net_hurry(&net);
	assert_int_equal(j[4].done, 1);
	run(&j[5]);
	assert_quiet();
	stop();
}

static void test_receive(void **state)
{
	static uint8_t frame[20000];
	struct net_offload off;

	begin();
	for (unsigned i = 0; i < sizeof(frame); i++)
		frame[i] = (uint8_t)(i * 3 + i / 256);
	/* More than a ring of them, so that all entries are used. */
	for (unsigned i = 0; i < 600; i++) {
		uint32_t len = 14 + i * 5 % 1600;

		back_send(frame + i, len, 4096, i & 1 ? NETRXF_DATA_VALIDATED : 0);
		f.notified = 0;
		xen_net_service(&net);
		assert_int_equal(model.received, i + 1);
		assert_int_equal(model.len, len);
		assert_memory_equal(model.data, frame + i, len);
		assert_int_equal(model.off.flags, i & 1 ? NET_CSUM_VALID : 0);
		assert_true(model.at >= net.rx_page && model.at < net.rx_page + 32 * XEN_PAGE);
		assert_int_equal(f.notified, 1);
		assert_int_equal(f.rx->rsp_event, f.rx_prod + 1);
	}
	/* Over several pages. */
	for (unsigned i = 0; i < 60; i++) {
		uint32_t len = 5000 + i * 180;

		back_send(frame, len, i & 1 ? 4096 : 1000, 0);
		xen_net_service(&net);
		assert_int_equal(model.len, len);
		assert_memory_equal(model.data, frame, len);
	}
	/* Checksums that were never made. */
	tcp_frame(0x10000, 1000, false, false, &off);
	back_send(fx.ram + 0x10000, 1000, 400, NETRXF_CSUM_BLANK | NETRXF_DATA_VALIDATED);
	xen_net_service(&net);
	assert_memory_equal(&model.off, &off, sizeof(off));
	tcp_frame(0x10000, 1000, false, true, &off);
	back_send(fx.ram + 0x10000, 1000, 4096, NETRXF_CSUM_BLANK);
	xen_net_service(&net);
	assert_memory_equal(&model.off, &off, sizeof(off));
	/* Of no protocol that we know; too short; too long; a part that failed: dropped. */
	unsigned before = model.received;
	back_send(frame, 1000, 4096, NETRXF_CSUM_BLANK);
	back_send(frame, 13, 4096, 0);
	back_send(frame, 0, 4096, 0);
	back_send(frame, XEN_NET_MAX_RX_FRAME + 1, 4096, 0);
	back_send(frame, 3000, 1000, 0);
	f.rx->ring[(f.rx_prod - 2) % NETIF_RING].rsp.status = -1;
	xen_net_service(&net);
	assert_int_equal(model.received, before);
	assert_int_equal(net.rx_dropped, 5);
	back_send(frame, XEN_NET_MAX_RX_FRAME, 4096, 0);
	xen_net_service(&net);
	assert_int_equal(model.received, before + 1);
	assert_quiet();
	/* No room: kept, and shown again. */
	model.full = true;
	back_send(frame, 100, 4096, 0);
	back_send(frame + 1, 200, 4096, 0);
	assert_false(xen_net_service(&net));
	assert_false(xen_net_service(&net));
	model.full = false;
	xen_net_service(&net);
	assert_int_equal(model.received, before + 1);
	net_resume(&net.net);
	xen_net_service(&net);
	assert_int_equal(model.received, before + 3);
	assert_memory_equal(model.data, frame + 1, 200);
	/* A flood ends in a "there is more". */
	for (unsigned i = 0; i < XEN_NET_RX_DEPTH; i++)
		back_send(frame, 100, 4096, 0);
	assert_int_equal(xen_net_poll(&net, 5), 5);
	xen_net_service(&net);
	assert_int_equal(model.received, before + 3 + XEN_NET_RX_DEPTH);
	assert_quiet();
	assert_int_equal(fx.logs, 0);
	stop();
}

static void hostile(unsigned how)
{
	static uint8_t frame[100];
	struct job j[2];

	begin();
	f.hold = true;
	for (unsigned i = 0; i < 2; i++) {
		job_init(&j[i], 0x10000, 100, 50);
		assert_int_equal(net_send(&net.net, &j[i].tx), 0);
	}
	xen_net_service(&net);
	assert_int_equal(j[0].done, 0);
	if (how >= 20)
		back_send(frame, 100, 4096, 0);
	struct netif_rx_response *in = &f.rx->ring[0].rsp;
	switch (how) {
	case 0: answer(XEN_NET_TX_SLOTS, 0); break;
	case 1: answer(0xffff, 0); break;
	case 2: answer(5, 0); break;  /* not in flight */
	case 3: f.tx_prod = 5; break; /* more than there are */
	case 4: f.tx_prod = 0xffffffff; break;
	case 5: /* twice */
		answer(f.tx->ring[0].req.id, 0);
		answer(f.tx->ring[0].rsp.id, 0);
		break;
	case 6: /* over, but the page is still mapped */
		map_exact(f.tx->ring[0].req.gref, false);
		answer(f.tx->ring[0].req.id, 0);
		break;
	case 7: answer(0, NETIF_NO_RSP); break; /* to no extra info; and that id is free */
	case 20: in->id = 1; break;
	case 21: in->flags = NETRXF_EXTRA_INFO; break;
	case 22: in->offset = 4000; break;
	case 23: in->offset = 0xffff; break;
	case 24: in->status = 0x7fff; break;
	case 25: f.rx->rsp_prod = XEN_NET_RX_DEPTH + 1; break;
	case 26: f.rx->rsp_prod = 0xffffffff; break;
	case 27: map_exact(xen_ref(&x, net.grant + 2), true); break; /* it can still write */
	}
	f.tx->rsp_prod = f.tx_prod;
	xen_net_service(&net);
	assert_int_equal(net.stage, XEN_NET_BROKEN);
	assert_int_equal(fx.logs, 1);
	assert_non_null(strstr(fx.last_log, "the link is down"));
	assert_true(!net.net.link && model.link_changes == 1 && !model.received);
	for (unsigned i = 0; i < 2; i++)
		assert_true(j[i].done == 1 && j[i].err == -1);
	/* Nothing more for it, and nothing from it. */
	unsigned n = 0, notified = f.notified;
	for (unsigned i = 0; i < x.n_taken; i++)
		n += x.grant[i].flags != 0;
	assert_true(n <= 3);
	job_init(&j[0], 0x10000, 100, 50);
	assert_int_equal(run(&j[0]), -1);
	f.rx->rsp_prod = f.tx->rsp_prod = 77;
	assert_false(xen_net_hurry(&net));
	assert_int_equal(f.notified, notified);
	assert_int_equal(fx.logs, 1);
	stop();
}

static void test_hostile(void **state)
{
	for (unsigned how = 0; how < 8; how++)
		hostile(how);
	for (unsigned how = 20; how < 28; how++)
		hostile(how);
	/* Everything is "answered", and nothing is over. */
	struct net_offload off;
	struct job j;

	begin();
	f.hold = true;
	tcp_frame(0x10000, 6000, false, false, &off);
	job_init(&j, 0x10000, 6000, 6000);
	j.tx.off = off;
	j.tx.off.gso = NET_GSO_TCPV4;
	j.tx.off.gso_size = 1448;
	net_send(&net.net, &j.tx);
	xen_net_service(&net);
	answer(0, NETIF_NO_RSP);
	answer(f.tx->ring[2].req.id, 0);
	answer(f.tx->ring[2].req.id, NETIF_NO_RSP);
	f.tx->rsp_prod = f.tx_prod;
	xen_net_service(&net);
	assert_int_equal(net.stage, XEN_NET_BROKEN);
	assert_int_equal(j.err, -1);
	stop();
}

/* Another host: what flew goes once more; a frame that the model has no room for is not lost. */
static void test_restored(void **state)
{
	static uint8_t frame[3000];
	struct job j[3];

	begin();
	memset(frame, 5, sizeof(frame));
	back_send(frame, 100, 4096, 0);
	model.full = true;
	xen_net_service(&net);
	f.hold = true;
	for (unsigned i = 0; i < 3; i++) {
		job_init(&j[i], 0x10000 + i, 1700, i == 1 ? 17 : 1000);
		assert_int_equal(net_send(&net.net, &j[i].tx), 0);
	}
	xen_net_service(&net);
	back_send(frame, 3000, 1000, 0); /* half of it is taken */
	f.tx = NULL;
	f.states[0] = 0;
	f.hold = false;
	set(BACK "/state", "2");
	set(FRONT "/state", "1");
	assert_int_equal(xen_restored(&x), 0);
	xen_net_restored(&net);
	assert_string_equal(f.states, "43");
	assert_int_equal(f.channels, 2);
	assert_true(net.net.link && !model.link_changes);
	xen_net_service(&net);
	for (unsigned i = 0; i < 3; i++)
		assert_true(j[i].done == 1 && !j[i].err);
	assert_int_equal(f.n_out, 3);
	assert_memory_equal(f.out[1].data, fx.ram + 0x10001, 1700);
	assert_int_equal(f.rx->req_prod, XEN_NET_RX_DEPTH - 1);
	model.full = false;
	net_resume(&net.net);
	xen_net_service(&net);
	assert_int_equal(model.received, 1);
	assert_memory_equal(model.data, frame, 100);
	back_send(frame, 3000, 1000, 0);
	xen_net_service(&net);
	assert_int_equal(model.len, 3000);
	assert_quiet();
	/* There is none. */
	job_init(&j[0], 0x10000, 100, 100);
	f.hold = true;
	net_send(&net.net, &j[0].tx);
	f.tx = NULL;
	set(BACK "/state", "6");
	assert_int_equal(xen_restored(&x), 0);
	xen_net_restored(&net);
	assert_true(!net.net.link && model.link_changes == 1);
	xen_net_service(&net);
	assert_int_equal(j[0].err, -1);
	stop();
}

/* xl network-detach, network-attach. */
static void test_gone(void **state)
{
	struct job j;

	begin();
	xen_net_watch(&net);
	assert_int_equal(f.watches, 2);
	xen_net_look(&net);
	assert_true(net.net.link);
	f.hold = true;
	job_init(&j, 0x10000, 100, 100);
	net_send(&net.net, &j.tx);
	xen_net_service(&net);
	set(BACK "/state", "5");
	xen_net_look(&net);
	assert_string_equal(f.states, "436");
	assert_true(!net.net.link && model.link_changes == 1);
	xen_net_service(&net);
	assert_int_equal(j.err, -1);
	/* It is not there; it is not ready; it is. */
	forget(FRONT "/backend");
	xen_net_look(&net);
	set(FRONT "/backend", BACK);
	set(FRONT "/state", "1");
	set(BACK "/state", "1");
	xen_net_look(&net);
	assert_string_equal(f.states, "436");
	set(BACK "/state", "2");
	xen_net_look(&net);
	assert_string_equal(f.states, "4364");
	assert_false(net.net.link);
	xen_net_look(&net);
	assert_string_equal(f.states, "43643");
	assert_true(net.net.link && model.link_changes == 2);
	assert_int_equal(f.channels, 1);
	f.hold = false;
	j.done = 0;
	assert_int_equal(run(&j), 0);
	assert_quiet();
	/* In another domain, which our channel is not for. */
	set(BACK "/state", "6");
	xen_net_look(&net);
	set(FRONT "/state", "1");
	set(FRONT "/backend-id", "7");
	set(BACK "/state", "2");
	xen_net_look(&net);
	assert_non_null(strstr(fx.last_log, "another domain"));
	assert_int_equal(f.channels, 1);
	stop();
	/* None at the start; one that never connects; later it does. */
	start();
	forget(FRONT "/backend");
	assert_int_equal(xen_net_init(&net, &x, 0, 4), 0);
	assert_false(net.net.link);
	assert_int_equal(net.net.features, NET_F_CSUM);
	stop();
	start();
	f.absent = true;
	assert_int_equal(xen_net_init(&net, &x, 0, 4), 0);
	assert_false(net.net.link);
	assert_int_equal(fx.logs, 1);
	f.absent = false;
	set(FRONT "/state", "4");
	back_state();
	xen_net_look(&net);
	assert_true(net.net.link);
	stop();
	/* One that keeps our pages is not followed by another. */
	begin();
	set(BACK "/state", "5");
	f.tx = NULL;
	xen_net_look(&net);
	set(FRONT "/state", "1");
	set(BACK "/state", "2");
	xen_net_look(&net);
	assert_non_null(strstr(fx.last_log, "keeps pages"));
	assert_false(net.net.link);
	stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_init),      cmocka_unit_test(test_shapes),
		cmocka_unit_test(test_checksums), cmocka_unit_test(test_gso),
		cmocka_unit_test(test_no_sg),     cmocka_unit_test(test_queue),
		cmocka_unit_test(test_lazy),      cmocka_unit_test(test_receive),
		cmocka_unit_test(test_hostile),   cmocka_unit_test(test_restored),
		cmocka_unit_test(test_gone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
