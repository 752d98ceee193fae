/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_netxen.c - the network front end on Xen, with a back end that answers what the input says, and a xenstore
 * (a few values here) whose states come and go.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "drivers/xen/store.h"
#include "drivers/xen/xen_net.h"
#include "check.h"

#define MAX_STEPS 300u
#define RAM       0x20000u
#define ALLOCS    8u
#define JOBS      40u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
	const uint8_t *p;
	size_t left;
};

static struct {
	struct input in;
	uint8_t *ram;
	void *mem[ALLOCS];
	unsigned n_mem;
	uint64_t now;
	unsigned state, front;
	bool present, sg, v6, carrier;
	uint32_t rx_prod, tx_prod; /* the back end's */
	struct xen x;
	struct xen_net n;
	struct job {
		struct net_tx tx;
		struct gpa_seg seg[NET_MAX_SEGS];
		bool flying;
	} job[JOBS];
} f;

static uint8_t u8(void)
{
	if (!f.in.left)
		return 0;
	f.in.left--;
	return *f.in.p++;
}

static uint16_t u16(void)
{
	uint16_t lo = u8();

	return (uint16_t)(lo | u8() << 8);
}

/* --- xenstore --- */

int store_init(struct xen *x)
{
	return 0;
}

bool xen_store_read(struct xen *x, const char *dir, const char *key, char text[XEN_STORE_TEXT])
{
	if (!strcmp(key, "mac"))
		strcpy(text, "00:16:3e:00:00:01");
	else
		strcpy(text, "/b");
	return f.present || !strcmp(key, "mac");
}

uint64_t xen_store_number(struct xen *x, const char *dir, const char *key, uint64_t max,
			  uint64_t dflt)
{
	if (!strcmp(key, "state"))
		return *dir == '/' ? f.state : f.front;
	if (!strcmp(key, "backend-id"))
		return 0;
	if (!strcmp(key, "carrier"))
		return f.carrier;
	return !strcmp(key, "feature-ipv6-csum-offload") ? f.v6 : f.sg;
}

bool xen_store_write(struct xen *x, const char *dir, const char *key, const char *text)
{
	return true;
}

bool xen_store_write_number(struct xen *x, const char *dir, const char *key, uint64_t v)
{
	if (!strcmp(key, "state")) {
		f.front = (unsigned)v;
		if (v == XENBUS_CONNECTED) {
			f.rx_prod = f.tx_prod = 0;
			f.state = XENBUS_CONNECTED;
		}
	}
	return true;
}

bool xen_store_watch(struct xen *x, const char *path)
{
	return true;
}

/* --- the environment --- */

static void *env_alloc(void *ctx, size_t size, size_t align)
{
	CHECK(f.n_mem < ALLOCS);
	/* Of its own, and not longer: ASan watches the ends. */
	f.mem[f.n_mem] = aligned_alloc(align, size);
	memset(f.mem[f.n_mem], 0, size);
	return f.mem[f.n_mem++];
}

static uint64_t env_gpa(void *ctx, const void *p)
{
	return (uintptr_t)p;
}

static void *env_at(void *ctx, uint64_t gpa, uint64_t len)
{
	return gpa < RAM && len <= RAM - gpa ? f.ram + gpa : NULL;
}

static long hypercall(void *ctx, unsigned nr, unsigned long op, void *arg, unsigned long n)
{
	if (nr == XEN_HC_GRANT_TABLE && op == XEN_GNTTAB_QUERY_SIZE)
		((struct xen_gnttab_query_size *)arg)->max_nr_frames = 64;
	if (nr == XEN_HC_GRANT_TABLE && op == XEN_GNTTAB_GET_VERSION)
		((struct xen_gnttab_get_version *)arg)->version = 1;
	return 0;
}

static uint32_t env_channel(void *ctx, unsigned n, uint16_t domid)
{
	return 5;
}

static void env_notify(void *ctx, unsigned n)
{
}

static uint64_t env_now(void *ctx)
{
	return f.now += 1000000000;
}

static const struct xen_env env = { .alloc = env_alloc,
				    .gpa = env_gpa,
				    .at = env_at,
				    .hypercall = hypercall,
				    .channel = env_channel,
				    .notify = env_notify,
				    .now_ns = env_now };

/* --- the model --- */

static void done(void *owner, struct net_tx *tx, int err);

static void send(void)
{
	static const uint16_t len[] = { 1, 6, 14, 54, 100, 1460, 4096, 9000 };
	unsigned i = u8() % JOBS;
	struct job *j = &f.job[i];
	uint8_t n = u8(), how = u8();

	if (j->flying)
		return;
	*j = (struct job){ .tx = { .seg = j->seg, .lazy = how & 1, .owner = j } };
	j->tx.n_seg = n % (NET_MAX_SEGS + 2);
	for (unsigned s = 0; s < NET_MAX_SEGS; s++) {
		uint8_t what = s < 6 ? u8() : how;

		j->seg[s].len = len[what & 7];
		j->seg[s].addr.raw = (what >> 3) * 1111u + (how & 2 ? 4000 : 0);
		if (what == 0xff)
			j->seg[s].addr.raw = (uint64_t)u16() << (u8() & 63);
	}
	if (how & 4)
		j->tx.off = (struct net_offload){ .flags = NET_CSUM_PARTIAL,
						  .csum_start = how & 8 ? u16() : 34,
						  .csum_offset = how & 8 ? u16() : 16 };
	if (how & 4 && how & 16) {
		j->tx.off.gso = 1 + (how >> 5 & 1);
		j->tx.off.gso_size = u16();
	}
	j->tx.done = done;
	j->flying = !net_send(&f.n.net, &j->tx);
}

static void done(void *owner, struct net_tx *tx, int err)
{
	struct job *j = owner;

	CHECK(&j->tx == tx && j->flying);
	j->flying = false;
	if (!(u8() & 7))
		send();
}

static bool receive(void *owner, const uint8_t *frame, size_t len, const struct net_offload *off)
{
	uint32_t sum = 0;

	CHECK(len >= 14 && len <= XEN_NET_MAX_RX_FRAME && off->gso == NET_GSO_NONE);
	CHECK(!(off->flags & NET_CSUM_PARTIAL) ||
	      (size_t)off->csum_start + off->csum_offset + 2 <= len);
	if (frame >= f.n.rx_page && frame < f.n.rx_page + XEN_NET_RX_DEPTH * XEN_PAGE)
		CHECK(!f.x.grant[f.n.grant + 2 + (size_t)(frame - f.n.rx_page) / XEN_PAGE].flags);
	for (size_t i = 0; i < len; i++)
		sum += frame[i];
	return (u8() & 15) != 0 || sum == 1;
}

static void nothing(void *owner)
{
}

/* --- the back end --- */

static void answer_rx(void)
{
	static const int16_t status[] = { 60, 1514, 4096, 14, 0, 13, -1, 4097 };
	uint8_t how = u8(), what = u8();
	uint32_t i = f.rx_prod++ % NETIF_RING;
	uint8_t *p = f.n.rx_page + f.n.rx_at[i] % XEN_NET_RX_DEPTH * XEN_PAGE;
	struct netif_rx_response r = { .id = (uint16_t)i, .status = status[what & 7] };

	p[12] = 8;
	p[13] = 0;
	p[14] = 0x45 + (what >> 7);
	p[17] = what;
	p[23] = what & 64 ? 6 : 17;
	p[46] = 0x50;
	r.flags = (what >> 3 & 3) | (what & 32 ? NETRXF_MORE_DATA : 0);
	if (how < 4)
		r.flags = u16();
	if (how == 4)
		r.id = u16();
	if (how == 5)
		r.status = (int16_t)u16();
	if (how < 8)
		r.offset = u16();
	if (how == 9) /* it keeps the page */
		f.x.grant[f.n.grant + 2 + f.n.rx_at[i] % XEN_NET_RX_DEPTH].flags |= XEN_GTF_WRITING;
	f.n.rx->ring[i].rsp = r;
	f.n.rx->rsp_prod = f.rx_prod;
}

static void answer_tx(void)
{
	uint8_t how = u8();
	uint32_t i = f.tx_prod++ % NETIF_RING;
	struct netif_tx_request r = f.n.tx->ring[i].req;
	bool extra = r.gref < f.x.first_ref; /* (most likely) */

	f.n.tx->ring[i].rsp = (struct netif_tx_response){
		.id = how == 1 ? u16() : r.id,
		.status = how == 2 ? (int16_t)u16() :
			  extra    ? NETIF_NO_RSP :
				     0,
	};
	if (how == 3 && r.id < XEN_NET_TX_SLOTS)
		f.x.grant[f.n.grant + 2 + XEN_NET_RX_DEPTH + r.id].flags |= XEN_GTF_READING;
	f.n.tx->rsp_prod = f.tx_prod;
}

static void check(void)
{
	unsigned flying = 0, pieces = 0, bounced = 0;

	for (unsigned i = 0; i < JOBS; i++)
		flying += f.job[i].flying;
	CHECK(flying == f.n.end - f.n.first);
	CHECK(f.n.next - f.n.first <= f.n.end - f.n.first);
	CHECK(f.n.stage == XEN_NET_UP || !f.n.net.link);
	if (f.n.stage != XEN_NET_UP)
		return;
	for (uint32_t i = f.n.first; i != f.n.next; i++) {
		pieces += f.n.frame[i % XEN_NET_TX_DEPTH].flying;
		bounced += f.n.frame[i % XEN_NET_TX_DEPTH].n_bounce;
	}
	CHECK(pieces + f.n.n_free == XEN_NET_TX_SLOTS);
	CHECK(bounced == f.n.bounce_head - f.n.bounce_tail && bounced <= XEN_NET_BOUNCE);
	CHECK(f.n.rx_prod - f.n.rx_cons + (f.n.frame_in && f.n.frame_page >= 0) ==
	      XEN_NET_RX_DEPTH);
}

static void step(void)
{
	uint8_t op = u8();
	unsigned i;

	switch (op & 15) {
	case 0:
	case 1:
	case 2:
		for (i = 0; i <= (op >> 4 & 7u); i++)
			answer_rx();
		break;
	case 3:
	case 4:
		for (i = 0; i <= (unsigned)(op >> 4); i++)
			if (f.tx_prod != f.n.tx->req_prod)
				answer_tx();
		break;
	case 5: answer_tx(); break;
	case 6:
	case 7:
	case 8: send(); break;
	case 9: net_resume(&f.n.net); break;
	case 10: xen_net_hurry(&f.n); break;
	case 11:
		if (op & 16)
			f.n.rx->rsp_prod = f.rx_prod += u16();
		else
			f.n.tx->rsp_prod = f.tx_prod += u16();
		break;
	case 12:
		f.state = op >> 4 & 7;
		f.front = u8() & 1 ? XENBUS_INITIALISING : f.front;
		f.carrier = u8() & 1;
		f.present = u8() & 3;
		xen_net_look(&f.n);
		break;
	case 13:
		f.state = XENBUS_INIT_WAIT;
		f.present = true;
		memset(f.x.grant, 0, XEN_GRANT_FRAMES * XEN_PAGE);
		xen_net_restored(&f.n);
		break;
	case 14: xen_net_poll(&f.n, op >> 4); break;
	case 15: break;
	}
	if (op & 128)
		xen_net_service(&f.n);
	/* What it has mapped for ever does not last so long. */
	if (f.n.stage == XEN_NET_GONE)
		for (i = 0; i < f.x.n_taken; i++)
			f.x.grant[i].flags = 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *ram = f.ram;
	uint8_t how;

	memset(&f, 0, sizeof(f));
	f.in = (struct input){ data, size };
	f.ram = ram ? ram : aligned_alloc(4096, RAM);
	memset(f.ram, 0, RAM);
	/* TCP over IPv4, from each place where a frame may begin. */
	for (unsigned i = 0; i < 32; i++) {
		f.ram[i * 1111 + 12] = 8;
		f.ram[i * 1111 + 14] = 0x45;
		f.ram[i * 1111 + 23] = 6;
		f.ram[i * 1111 + 46] = 0x50;
	}
	how = u8();
	f.sg = how & 1;
	f.v6 = how & 2;
	f.carrier = true;
	f.present = true;
	f.state = XENBUS_INIT_WAIT;
	f.front = XENBUS_INITIALISING;
	f.n.net.receive = receive;
	f.n.net.sent_room = nothing;
	f.n.net.link_changed = nothing;
	CHECK(!xen_init(&f.x, &env));
	CHECK(!xen_net_init(&f.n, &f.x, 0, 4));
	CHECK(f.n.stage == XEN_NET_UP);
	xen_net_service(&f.n);
	for (unsigned i = 0; f.in.left && i < MAX_STEPS; i++) {
		step();
		check();
	}
	for (unsigned i = 0; i < f.n_mem; i++)
		free(f.mem[i]);
	return 0;
}
