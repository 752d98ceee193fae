/* SPDX-License-Identifier: BSD-2-Clause */
/* xen_net.c - a network behind Xen's protocol (xen/include/public/io/netif.h, ring.h). */
#include "drivers/xen/xen_net.h"

#include <string.h>

#include "lib/fmt.h"
#include "lib/mac.h"
#include "models/net_csum.h"

#define CONNECT_NS 30000000000ull
#define LAZY       4u /* so many pieces of lazy frames that have gone are reported, and an event tells */
#define FREE       XEN_NET_TX_DEPTH

/* A card's grants: the rings, pages to receive into, pieces that are sent. */
#define GRANT_TX_RING  0u
#define GRANT_RX_RING  1u
#define GRANT_RX(page) (2 + (page))
#define GRANT_TX(slot) (GRANT_RX(XEN_NET_RX_DEPTH) + (slot))
#define N_GRANTS       GRANT_TX(XEN_NET_TX_SLOTS)

_Static_assert(XEN_NET_TX_DEPTH >= 32, "net.h: the first 32 frames are taken");
_Static_assert((XEN_NET_TX_DEPTH & (XEN_NET_TX_DEPTH - 1)) == 0, "free-running indices");
_Static_assert(XEN_NET_TX_SLOTS + XEN_NET_TX_DEPTH <= NETIF_RING,
	       "pieces and extra infos never fill the ring");
_Static_assert(XEN_NET_TX_SLOTS >= NETIF_MAX_SLOTS && FREE < 256, "a frame fits, owner[]");
_Static_assert(XEN_NET_RX_DEPTH <= NETIF_RING, "the ring is never full");
_Static_assert(XEN_NET_BOUNCE *XEN_PAGE > NETIF_MAX_SIZE, "the longest frame fits");
_Static_assert(XEN_NET_MAX_RX_FRAME <= XEN_NET_ASSEMBLY, "the longest frame that models take");

static void say(const struct xen_net *n, const char *what)
{
	char line[160];

	fmt(line, sizeof(line), "xen-net %u: %s", n->handle, what);
	xen_log(n->x, line);
}

static void set_link(struct xen_net *n, bool up)
{
	if (n->net.link == up)
		return;
	n->net.link = up;
	if (n->net.link_changed)
		n->net.link_changed(n->net.owner);
}

/* False: the back end keeps a page. */
static bool end_grants(struct xen_net *n)
{
	bool all = true;

	for (uint32_t g = 0; g < N_GRANTS; g++)
		all &= xen_grant_end(n->x, n->grant + g);
	return all;
}

/* All that it can no longer have is taken from it, at once. */
static void give_up(struct xen_net *n, const char *why)
{
	if (n->stage == XEN_NET_BROKEN)
		return;
	say(n, why);
	n->stage = XEN_NET_BROKEN;
	end_grants(n);
	/* A frame that is shown was copied, or its grant had ended. */
	set_link(n, false);
}

/* --- frames out --- */

static struct xen_net_frame *frame_at(struct xen_net *n, uint32_t i)
{
	return &n->frame[i % XEN_NET_TX_DEPTH];
}

static int send(struct net *net, struct net_tx *tx)
{
	struct xen_net *n = (struct xen_net *)net;

	if (n->end - n->first == XEN_NET_TX_DEPTH) {
		n->want_room = true;
		return -1;
	}
	*frame_at(n, n->end++) = (struct xen_net_frame){ .tx = tx };
	n->n_eager += !tx->lazy;
	return 0;
}

static void resume(struct net *net)
{
	((struct xen_net *)net)->refused = false;
}

static uint8_t *at(const struct xen_net *n, uint64_t gpa, uint32_t len)
{
	return n->x->env->at(n->x->env->ctx, gpa, len);
}

/* Cuts a frame at pages, into n->piece. Its length, or 0: it can't be sent. */
static uint32_t cut(struct xen_net *n, const struct net_tx *tx)
{
	uint32_t total = 0;

	n->n_pieces = 0;
	if (!tx->n_seg || tx->n_seg > NET_MAX_SEGS)
		return 0;
	for (unsigned i = 0; i < tx->n_seg; i++) {
		uint64_t addr = tx->seg[i].addr.raw;
		uint32_t left = tx->seg[i].len, part;

		if (left > NETIF_MAX_SIZE - total || !at(n, addr, left))
			return 0;
		for (total += left; left; left -= part, addr += part) {
			part = XEN_PAGE - (uint32_t)(addr % XEN_PAGE);
			part = part < left ? part : left;
			n->piece[n->n_pieces++] = (struct gpa_seg){ { addr }, part };
		}
	}
	return total >= NET_ETH_HDR ? total : 0;
}

/* Copies the bytes of pieces from the one called `from` on, until len are there. */
static void gather(struct xen_net *n, unsigned from, uint8_t *to, uint32_t len)
{
	for (; from < n->n_pieces && len; from++) {
		uint32_t part = n->piece[from].len < len ? n->piece[from].len : len;

		memcpy(to, at(n, n->piece[from].addr.raw, part), part);
		to += part;
		len -= part;
	}
}

/* What the back end finds by itself is what the frame asks for: a checksum of TCP or UDP right over IP, and TCP for
 * segmentation. */
static bool understood(struct xen_net *n, const struct net_offload *off, uint32_t total)
{
	uint8_t head[160]; /* Ethernet, IPv4 and TCP with all their options */
	struct net_headers h;
	uint32_t len = total < sizeof(head) ? total : (uint32_t)sizeof(head);

	gather(n, 0, head, len);
	net_parse(&h, head, len);
	return h.l4 && !h.fragment && h.l3 == NET_ETH_HDR && h.l4 == off->csum_start &&
	       h.csum == off->csum_start + off->csum_offset && (h.version == 4 || n->csum_v6) &&
	       (!off->gso || (h.proto == NET_PROTO_TCP && off->gso_size && h.data < total &&
			      (h.version == 4 ? n->gso_v4 && off->gso == NET_GSO_TCPV4 :
						n->gso_v6 && off->gso == NET_GSO_TCPV6)));
}

/* Pages of ours in a row, which the frame has until its end. NULL: there are none now. */
static uint8_t *take_bounce(struct xen_net *n, struct xen_net_frame *f, unsigned pages)
{
	uint32_t pos, skip;

	if (n->bounce_head == n->bounce_tail)
		n->bounce_head = n->bounce_tail = 0;
	pos = n->bounce_head % XEN_NET_BOUNCE;
	skip = pos + pages > XEN_NET_BOUNCE ? XEN_NET_BOUNCE - pos : 0;
	if (n->bounce_head - n->bounce_tail + skip + pages > XEN_NET_BOUNCE)
		return NULL;
	f->n_bounce = (uint8_t)(skip + pages);
	n->bounce_head += skip + pages;
	return n->bounce + (pos + skip) % XEN_NET_BOUNCE * XEN_PAGE;
}

/* Puts the rest of a frame, from piece `from` on, into pages of ours. False: there are none now. */
static bool bounce(struct xen_net *n, struct xen_net_frame *f, unsigned from, uint32_t len,
		   const struct net_offload *csum)
{
	const struct xen_env *env = n->x->env;
	uint8_t *p = take_bounce(n, f, (len + XEN_PAGE - 1) / XEN_PAGE);

	if (!p)
		return false;
	gather(n, from, p, len);
	/* (Fields outside of the frame are the model's mistake; then it goes as it is.) */
	if (csum)
		net_csum_finish(p, len, csum);
	for (n->n_pieces = from; len;) {
		uint32_t part = len < XEN_PAGE ? len : XEN_PAGE;

		n->piece[n->n_pieces++] = (struct gpa_seg){ { env->gpa(env->ctx, p) }, part };
		p += part;
		len -= part;
	}
	return true;
}

/* The first piece from which on a frame is to be gathered for it to have at most max of them. */
static unsigned gather_from(const struct xen_net *n, unsigned max)
{
	unsigned from = n->n_pieces;
	uint32_t rest = 0;

	while (from && from + (rest + XEN_PAGE - 1) / XEN_PAGE > max)
		rest += n->piece[--from].len;
	return from;
}

static uint32_t length_from(const struct xen_net *n, unsigned from)
{
	uint32_t len = 0;

	for (; from < n->n_pieces; from++)
		len += n->piece[from].len;
	return len;
}

static void put_pieces(struct xen_net *n, unsigned frame, uint16_t flags, uint32_t total)
{
	const struct net_tx *tx = n->frame[frame].tx;

	for (unsigned i = 0; i < n->n_pieces; i++) {
		const struct gpa_seg *p = &n->piece[i];
		uint8_t s = n->free[--n->n_free];
		struct netif_tx_request r = {
			.gref = xen_ref(n->x, n->grant + GRANT_TX(s)),
			.offset = (uint16_t)(p->addr.raw % XEN_PAGE),
			.flags = i ? 0 : flags,
			.id = s,
			.size = (uint16_t)(i ? p->len : total),
		};

		if (i + 1 < n->n_pieces)
			r.flags |= NETTXF_MORE_DATA;
		if (!i && tx->off.gso)
			r.flags |= NETTXF_EXTRA_INFO;
		xen_grant(n->x, n->grant + GRANT_TX(s), n->domid, p->addr.raw, true);
		n->owner[s] = (uint8_t)frame;
		n->frame[frame].flying++;
		n->tx->ring[n->tx_prod++ % NETIF_RING].req = r;
		if (i || !tx->off.gso)
			continue;
		n->tx->ring[n->tx_prod++ % NETIF_RING].gso = (struct netif_extra_gso){
			.type = NETIF_EXTRA_GSO,
			.size = tx->off.gso_size,
			.gso = tx->off.gso == NET_GSO_TCPV4 ? NETIF_GSO_TCPV4 : NETIF_GSO_TCPV6,
		};
		n->extras++;
	}
}

/* Puts a frame on the ring, or marks it as failed. False: there is no room now. */
static bool put(struct xen_net *n, unsigned frame)
{
	struct xen_net_frame *f = &n->frame[frame];
	const struct net_offload *off = &f->tx->off;
	uint32_t total = cut(n, f->tx);
	bool partial = off->flags & NET_CSUM_PARTIAL, theirs;
	unsigned from;

	theirs = total && partial && understood(n, off, total);
	/* Nobody can cut such a frame: models ask for it only with headers that are understood. */
	if (!total || (off->gso && !theirs) || total > n->max_slots * XEN_PAGE) {
		f->failed = true;
		return true;
	}
	from = gather_from(n, n->max_slots);
	/* The first piece has to have Ethernet's header. */
	if ((partial && !theirs) || n->piece[0].len < NET_ETH_HDR)
		from = 0;
	if (n->n_free < n->max_slots ||
	    (from < n->n_pieces &&
	     !bounce(n, f, from, length_from(n, from), partial && !theirs ? off : NULL)))
		return false;
	put_pieces(n, frame, theirs ? NETTXF_CSUM_BLANK | NETTXF_DATA_VALIDATED : 0, total);
	return true;
}

void xen_net_kick(struct xen_net *n)
{
	bool notify;

	if (n->stage != XEN_NET_UP)
		return;
	while (n->next != n->end && put(n, n->next % XEN_NET_TX_DEPTH))
		n->next++;
	notify = xen_ring_push(&n->tx->req_prod, &n->tx->req_event, &n->tx_pushed, n->tx_prod);
	notify |= xen_ring_push(&n->rx->req_prod, &n->rx->req_event, &n->rx_pushed, n->rx_prod);
	if (notify)
		n->x->env->notify(n->x->env->ctx, n->channel);
}

static uint32_t answers(const struct xen_net *n)
{
	/* Acquire: answers after their index. */
	return n->stage != XEN_NET_UP ?
		       0 :
		       __atomic_load_n(&n->tx->rsp_prod, __ATOMIC_ACQUIRE) - n->tx_cons;
}

/* What the back end has answered. */
static void take_answers(struct xen_net *n)
{
	uint32_t there = answers(n);

	if (there > n->tx_pushed - n->tx_cons) {
		give_up(n, "nonsense in the ring; the link is down");
		return;
	}
	for (; there; there--) {
		struct netif_tx_response r;

		memcpy(&r, &n->tx->ring[n->tx_cons % NETIF_RING].rsp, sizeof(r));
		__atomic_signal_fence(__ATOMIC_SEQ_CST); /* one copy: it is checked and used */
		n->tx_cons++;
		if (r.status == NETIF_NO_RSP && n->extras) {
			n->extras--;
			continue;
		}
		if (r.id >= XEN_NET_TX_SLOTS || n->owner[r.id] == FREE) {
			give_up(n, "an answer to nothing that was sent; the link is down");
			return;
		}
		if (!xen_grant_end(n->x, n->grant + GRANT_TX(r.id))) {
			give_up(n, "the back end keeps a page; the link is down");
			return;
		}
		n->frame[n->owner[r.id]].flying--;
		n->frame[n->owner[r.id]].failed |= r.status < 0;
		n->owner[r.id] = FREE;
		n->free[n->n_free++] = (uint8_t)r.id;
	}
	if (n->tx_cons == n->tx_prod && n->n_free != XEN_NET_TX_SLOTS)
		give_up(n, "not all that was sent is answered; the link is down");
}

/* Ends the first frame. */
static void end_first(struct xen_net *n, int err)
{
	struct xen_net_frame f = *frame_at(n, n->first);

	n->first++;
	n->bounce_tail += f.n_bounce;
	n->n_eager -= !f.tx->lazy;
	f.tx->done(f.tx->owner, f.tx, err);
}

static unsigned poll_tx(struct xen_net *n, unsigned budget)
{
	uint32_t there = answers(n);
	unsigned calls = 0;

	if (n->first == n->end)
		return 0;
	/* They wait for something to go along with. */
	if (n->stage == XEN_NET_UP && !n->all && !n->n_eager && there < LAZY &&
	    __atomic_load_n(&n->rx->rsp_prod, __ATOMIC_RELAXED) == n->rx_cons)
		return 0;
	if (there)
		take_answers(n);
	for (; calls < budget && n->first != n->next && n->stage == XEN_NET_UP; calls++) {
		const struct xen_net_frame *f = frame_at(n, n->first);

		if (f->flying)
			break;
		end_first(n, f->failed ? -1 : 0);
	}
	/* Without a link frames go nowhere. */
	for (; calls < budget && n->first != n->end && n->stage != XEN_NET_UP; calls++) {
		end_first(n, -1);
		if (n->next - n->first > XEN_NET_TX_DEPTH)
			n->next = n->first;
	}
	if (calls && n->want_room) {
		n->want_room = false;
		if (n->net.sent_room)
			n->net.sent_room(n->net.owner);
	}
	return calls;
}

/* --- frames in --- */

static uint8_t *page(const struct xen_net *n, unsigned p)
{
	return n->rx_page + p * XEN_PAGE;
}

static void post(struct xen_net *n, unsigned p)
{
	const struct xen_env *env = n->x->env;
	uint32_t at_ring = n->rx_prod++ % NETIF_RING;

	xen_grant(n->x, n->grant + GRANT_RX(p), n->domid, env->gpa(env->ctx, page(n, p)), false);
	n->rx_at[at_ring] = (uint8_t)p;
	n->rx->ring[at_ring].req = (struct netif_rx_request){
		.id = (uint16_t)at_ring,
		.gref = xen_ref(n->x, n->grant + GRANT_RX(p)),
	};
}

/* The checksum of a frame that came in, as its first answer says. False: it can't be made. */
static bool offload_in(struct net_offload *off, uint16_t flags, const uint8_t *frame, size_t len)
{
	struct net_headers h;

	*off = (struct net_offload){ 0 };
	if (!(flags & NETRXF_CSUM_BLANK)) {
		off->flags = flags & NETRXF_DATA_VALIDATED ? NET_CSUM_VALID : 0;
		return true;
	}
	net_parse(&h, frame, len);
	off->flags = NET_CSUM_PARTIAL;
	off->csum_start = h.l4;
	off->csum_offset = (uint16_t)(h.csum - h.l4);
	return h.l4 && !h.fragment;
}

/* A frame's next part, which lies in page p. */
static void take_part(struct xen_net *n, unsigned p, const struct netif_rx_response *r)
{
	const uint8_t *from = page(n, p) + r->offset;
	bool first = !n->more, last = !(r->flags & NETRXF_MORE_DATA);

	if (first) {
		n->len = 0;
		n->bad = false;
		/* (What is known of the frame; offload_in() looks at it when it is whole.) */
		n->off.flags = (uint8_t)(r->flags & (NETRXF_CSUM_BLANK | NETRXF_DATA_VALIDATED));
	}
	n->bad |= r->status < 0 || (size_t)r->status > XEN_NET_MAX_RX_FRAME - n->len;
	n->more = !last;
	if (!n->bad && !(first && last))
		memcpy(n->assembly + n->len, from, (size_t)r->status);
	n->len += n->bad ? 0 : (size_t)r->status;
	if (!last || n->bad || n->len < NET_ETH_HDR ||
	    !offload_in(&n->off, n->off.flags, first ? from : n->assembly, n->len)) {
		n->rx_dropped += last;
		post(n, p);
		return;
	}
	n->frame_in = first ? from : n->assembly;
	n->frame_page = first ? (int)p : -1;
	if (!first)
		post(n, p);
}

/* The next answer. 1, 0 (none) or -1 (nonsense). */
static int take(struct xen_net *n)
{
	struct netif_rx_response r;
	uint32_t there = __atomic_load_n(&n->rx->rsp_prod, __ATOMIC_ACQUIRE) - n->rx_cons, i;
	unsigned p;

	if (!there)
		return 0;
	i = n->rx_cons % NETIF_RING;
	memcpy(&r, &n->rx->ring[i].rsp, sizeof(r));
	__atomic_signal_fence(__ATOMIC_SEQ_CST); /* one copy: it is checked and used */
	/* We offered no extra infos. */
	if (there > n->rx_pushed - n->rx_cons || r.id != i || r.flags & NETRXF_EXTRA_INFO ||
	    (r.status > 0 && (uint32_t)r.offset + (uint16_t)r.status > XEN_PAGE))
		return -1;
	if (r.status <= 0)
		r.offset = 0;
	p = n->rx_at[i];
	/* From here on it can't be written to. */
	if (!xen_grant_end(n->x, n->grant + GRANT_RX(p)))
		return -1;
	n->rx_cons++;
	take_part(n, p, &r);
	return 1;
}

/* Shows the frame that is complete.  False: refused. */
static bool show(struct xen_net *n)
{
	if (n->net.receive && !n->net.receive(n->net.owner, n->frame_in, n->len, &n->off)) {
		n->refused = true;
		return false;
	}
	if (n->frame_page >= 0 && n->stage == XEN_NET_UP)
		post(n, (unsigned)n->frame_page);
	n->frame_in = NULL;
	return true;
}

static unsigned poll_rx(struct xen_net *n, unsigned budget)
{
	unsigned work;
	int rc;

	for (work = 0; work < budget && n->stage == XEN_NET_UP && !n->refused; work++) {
		rc = n->frame_in ? 1 : take(n);
		if (rc < 0)
			give_up(n, "nonsense came in; the link is down");
		if (rc <= 0 || (n->frame_in && !show(n)))
			break;
	}
	return work;
}

unsigned xen_net_poll(struct xen_net *n, unsigned budget)
{
	unsigned done = poll_tx(n, budget);

	budget -= done;
	n->all |= n->stage == XEN_NET_UP &&
		  __atomic_load_n(&n->rx->rsp_prod, __ATOMIC_RELAXED) != n->rx_cons;
	return done + poll_rx(n, budget);
}

bool xen_net_arm(struct xen_net *n)
{
	uint32_t flying = n->tx_pushed - n->tx_cons;
	/* Of what flies half has to be there: the ring does not run dry meanwhile. */
	uint32_t due = n->n_eager ? (flying + 1) / 2 : LAZY;
	bool more = false;

	if (n->stage != XEN_NET_UP)
		return n->first != n->end; /* the next poll ends them */
	/* A model that refuses frames is not woken for more. */
	if (!n->refused)
		__atomic_store_n(&n->rx->rsp_event, n->rx_cons + 1, __ATOMIC_RELAXED);
	if (flying)
		__atomic_store_n(&n->tx->rsp_event, n->tx_cons + due, __ATOMIC_RELAXED);
	/* Pairs with the back end's: it sets rsp_prod, then looks at rsp_event. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (!n->refused)
		more = __atomic_load_n(&n->rx->rsp_prod, __ATOMIC_ACQUIRE) != n->rx_cons;
	if (flying)
		more |= answers(n) >= due;
	return more;
}

bool xen_net_waits(const struct xen_net *n)
{
	return n->first != n->end && !n->n_eager && n->stage == XEN_NET_UP;
}

bool xen_net_service(struct xen_net *n)
{
	unsigned budget = XEN_NET_BUDGET, done;

	/* done() and receive() may send again; such a frame is kicked in the next round. */
	do {
		xen_net_kick(n);
		done = xen_net_poll(n, budget);
		budget -= done;
	} while (budget && (done || xen_net_arm(n)));
	n->all = false;
	return !budget;
}

bool xen_net_hurry(struct xen_net *n)
{
	n->all = true;
	return xen_net_service(n);
}

/* --- connection --- */

bool xen_net_there(struct xen *x, unsigned handle)
{
	char front[32], text[XEN_STORE_TEXT];

	fmt(front, sizeof(front), "device/vif/%u", handle);
	return xen_store_read(x, front, "backend", text);
}

/* Empty rings; frames that were on them are to go once more. */
static void reset(struct xen_net *n)
{
	memset(n->tx, 0, XEN_PAGE);
	memset(n->rx, 0, XEN_PAGE);
	n->tx->req_event = n->tx->rsp_event = n->rx->req_event = n->rx->rsp_event = 1;
	n->tx_prod = n->tx_pushed = n->tx_cons = n->extras = 0;
	n->rx_prod = n->rx_pushed = n->rx_cons = 0;
	for (unsigned s = 0; s < XEN_NET_TX_SLOTS; s++) {
		n->owner[s] = FREE;
		n->free[s] = (uint8_t)s;
	}
	n->n_free = XEN_NET_TX_SLOTS;
	n->next = n->first;
	for (unsigned f = 0; f < XEN_NET_TX_DEPTH; f++)
		n->frame[f] = (struct xen_net_frame){ .tx = n->frame[f].tx };
	n->bounce_head = n->bounce_tail = 0;
	n->more = false;
	/* The page of a frame that waits for a model stays with it. */
	for (unsigned p = 0; p < XEN_NET_RX_DEPTH; p++)
		if (!n->frame_in || n->frame_page != (int)p)
			post(n, p);
}

static bool refuse(struct xen_net *n, const char *why)
{
	say(n, why);
	return false;
}

/* The back end waits for a front end: tells it where the rings are. */
static bool announce(struct xen_net *n)
{
	struct xen *x = n->x;
	const struct xen_env *env = x->env;
	uint16_t domid = (uint16_t)xen_store_number(x, n->front, "backend-id", 0x7fef, 0);

	if (!end_grants(n))
		return refuse(n, "the last back end keeps pages; the link stays down");
	/* A channel whose other side was closed can be bound again. */
	if (!n->port)
		n->port = env->channel(env->ctx, n->channel, domid);
	else if (domid != n->domid)
		return refuse(n, "the back end is in another domain; the link stays down");
	if (!n->port)
		return refuse(n, "no channel to the back end's domain");
	n->domid = domid;
	reset(n);
	xen_grant(x, n->grant + GRANT_TX_RING, domid, env->gpa(env->ctx, n->tx), false);
	xen_grant(x, n->grant + GRANT_RX_RING, domid, env->gpa(env->ctx, n->rx), false);
	if (!xen_store_write_number(x, n->front, "tx-ring-ref",
				    xen_ref(x, n->grant + GRANT_TX_RING)) ||
	    !xen_store_write_number(x, n->front, "rx-ring-ref",
				    xen_ref(x, n->grant + GRANT_RX_RING)) ||
	    !xen_store_write_number(x, n->front, "event-channel", n->port) ||
	    !xen_store_write_number(x, n->front, "request-rx-copy", 1) ||
	    !xen_store_write_number(x, n->front, "feature-rx-notify", 1) ||
	    !xen_store_write_number(x, n->front, "feature-sg", 1) ||
	    !xen_store_write_number(x, n->front, "state", XENBUS_CONNECTED))
		return refuse(n, "the card can't be announced");
	n->stage = XEN_NET_ANNOUNCED;
	return true;
}

static bool carrier(struct xen_net *n)
{
	return xen_store_number(n->x, n->back, "carrier", 1, 1);
}

/*
 * The back end is connected. Linux's wants to see Connected for that, and takes no notice of what comes then:
 * Initialised, as xen_blk.c has it, so that a guest's kernel leaves this device alone.
 */
static void go_up(struct xen_net *n)
{
	struct xen *x = n->x;
	bool sg = xen_store_number(x, n->back, "feature-sg", 1, 0);

	xen_store_write_number(x, n->front, "state", XENBUS_INITIALISED);
	n->max_slots = sg ? NETIF_MAX_SLOTS : 1;
	n->csum_v6 = xen_store_number(x, n->back, "feature-ipv6-csum-offload", 1, 0);
	n->gso_v4 = sg && xen_store_number(x, n->back, "feature-gso-tcpv4", 1, 0);
	n->gso_v6 = sg && n->csum_v6 && xen_store_number(x, n->back, "feature-gso-tcpv6", 1, 0);
	n->stage = XEN_NET_UP;
}

/* The back end is gone, or goes: it may close when we have. */
static void go_down(struct xen_net *n)
{
	char text[XEN_STORE_TEXT];

	say(n, "the back end has gone; the link is down");
	n->stage = XEN_NET_GONE;
	set_link(n, false);
	if (xen_store_read(n->x, n->front, "backend", text))
		xen_store_write_number(n->x, n->front, "state", XENBUS_CLOSED);
}

void xen_net_look(struct xen_net *n)
{
	uint64_t state;

	if (n->stage == XEN_NET_GONE &&
	    (!xen_store_read(n->x, n->front, "backend", n->back) ||
	     xen_store_number(n->x, n->front, "state", 8, 0) != XENBUS_INITIALISING))
		return;
	state = xen_store_number(n->x, n->back, "state", 8, 0);
	if (n->x->store_broken)
		return;
	if (n->stage == XEN_NET_GONE) {
		xen_store_watch(n->x, n->back); /* if it is another one */
		if (state == XENBUS_INIT_WAIT)
			announce(n);
	} else if (state == XENBUS_CLOSING || state == XENBUS_CLOSED || !state) {
		go_down(n);
	} else if (n->stage == XEN_NET_ANNOUNCED && state == XENBUS_CONNECTED) {
		go_up(n);
		say(n, "connected");
		set_link(n, carrier(n));
	} else if (n->stage == XEN_NET_UP) {
		set_link(n, carrier(n));
	}
}

void xen_net_watch(struct xen_net *n)
{
	xen_store_watch(n->x, n->front);
	if (n->back[0])
		xen_store_watch(n->x, n->back);
}

/* At a start: waits. Is the link up? */
static bool connect(struct xen_net *n)
{
	const struct xen_env *env = n->x->env;
	uint64_t deadline = env->now_ns(env->ctx) + CONNECT_NS;

	n->stage = XEN_NET_GONE;
	if (!xen_store_read(n->x, n->front, "backend", n->back))
		return refuse(n, "there is no back end; the link is down");
	while (n->stage != XEN_NET_UP) {
		uint64_t state = xen_store_number(n->x, n->back, "state", 8, 0);

		if (n->stage == XEN_NET_GONE && state == XENBUS_INIT_WAIT && !announce(n))
			return false;
		if (n->stage == XEN_NET_ANNOUNCED && state == XENBUS_CONNECTED)
			go_up(n);
		else if (n->x->store_broken || state == XENBUS_CLOSING || state == XENBUS_CLOSED ||
			 !xen_yield(n->x, deadline))
			return refuse(n, "the back end does not connect; the link is down");
	}
	return carrier(n);
}

int xen_net_init(struct xen_net *n, struct xen *x, unsigned handle, unsigned channel)
{
	const struct xen_env *env = x->env;
	char mac[XEN_STORE_TEXT];

	n->x = x;
	n->handle = handle;
	n->channel = channel;
	fmt(n->front, sizeof(n->front), "device/vif/%u", handle);
	if (!xen_store_read(x, n->front, "mac", mac) || !mac_parse(mac, n->net.mac)) {
		say(n, "it has no address");
		return -1;
	}
	n->tx = env->alloc(env->ctx, XEN_PAGE, XEN_PAGE);
	n->rx = env->alloc(env->ctx, XEN_PAGE, XEN_PAGE);
	n->bounce = env->alloc(env->ctx, XEN_NET_BOUNCE * XEN_PAGE, XEN_PAGE);
	n->rx_page = env->alloc(env->ctx, XEN_NET_RX_DEPTH * XEN_PAGE, XEN_PAGE);
	n->assembly = env->alloc(env->ctx, XEN_NET_ASSEMBLY, XEN_PAGE);
	n->grant = xen_grants_take(x, N_GRANTS);
	if (!n->tx || !n->rx || !n->bounce || !n->rx_page || !n->assembly ||
	    n->grant == UINT32_MAX) {
		say(n, "no memory or no grants for its rings");
		return -1;
	}
	n->net.send = send;
	n->net.resume = resume;
	/* For good: a later back end that can't segment gets no such frames, they are lost. */
	n->net.link = connect(n);
	n->net.features = NET_F_CSUM | (n->gso_v4 ? NET_F_TSO4 : 0) | (n->gso_v6 ? NET_F_TSO6 : 0);
	return 0;
}

void xen_net_restored(struct xen_net *n)
{
	n->port = 0;
	set_link(n, connect(n));
}
