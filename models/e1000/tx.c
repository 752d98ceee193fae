/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tx.c - transmit: the descriptor ring (3.3, 3.4), checksum insertion (3.5.9), TCP segmentation (3.5), transmit
 * interrupts (3.4.3).
 *
 * tx_run() fetches descriptors and puts packets together (state.pkt) as lists of guest RAM.  A frame that is
 * complete goes into a slot and to the front end; its descriptors are reported when it has gone, in order, so
 * that TDH always is the first descriptor whose memory may still be in use.  Only headers are copied, and only
 * if something has to be changed in them.
 *
 * Segmentation is the front end's if it can do that and finds the headers that it expects; otherwise
 * segments are cut off the front of the packet while its descriptors come in.
 */
#include "models/e1000/e1000_int.h"

/* Commands of all kinds of descriptors. */
#define CMD_EOP  0x01u
#define CMD_IFCS 0x02u
#define CMD_IC   0x04u /* legacy */
#define CMD_TSE  0x04u /* extended */
#define CMD_RS   0x08u
#define CMD_RPS  0x10u
#define CMD_DEXT 0x20u
#define CMD_VLE  0x40u
#define CMD_IDE  0x80u

/* Of a context descriptor. */
#define TUCMD_TCP 0x01u
#define TUCMD_IP  0x02u /* IPv4 */
#define TUCMD_TSE 0x04u

#define POPTS_IXSM 0x01u
#define POPTS_TXSM 0x02u

#define TH_FIN_PSH 0x09u

/* The chip takes 16288 bytes (3.3.3), net.h a little less. */
#define TX_MAX    (E1000_MAX_FRAME + NET_ETH_FCS)
#define TX_BUDGET 256u /* descriptors and frames in one entry */

static uint32_t ring_size(const struct e1000 *d)
{
	return get(d, TDLEN) / DESC_SIZE;
}

static gpa_t desc_at(const struct e1000 *d, uint32_t i)
{
	return (gpa_t){ get64(d, TDBAL) + (uint64_t)i * DESC_SIZE };
}

static bool ring_valid(const struct e1000 *d)
{
	uint32_t n = ring_size(d);

	return get(d, TDH) < n && get(d, TDT) < n;
}

static bool transmitter_on(const struct e1000 *d)
{
	return (get(d, TCTL) & TCTL_EN) && bus_master(d) && ring_valid(d) &&
	       ((get(d, STATUS) & STATUS_LU) || loopback(d));
}

/* Not buf: a frame in flight may lie there. */
static void new_packet(struct tx_pkt *p)
{
	memset(p, 0, offsetof(struct tx_pkt, hdr));
}

/* Frames in flight can't be taken back; nobody waits for them any more. */
static void disown(struct e1000 *d)
{
	d->n_slots -= d->blocked;
	d->blocked = false;
	for (unsigned i = 0; i < d->n_slots; i++)
		d->slot[(d->slot_first + i) % TX_SLOTS].n_desc = 0;
	d->owed = 0;
}

void tx_forget(struct e1000 *d)
{
	disown(d);
	d->kick = false;
	d->state.tx_next = get(d, TDH);
	new_packet(&d->state.pkt);
}

/* What has been sent: status, TDH, interrupts. */
static void report(struct e1000 *d, uint32_t n)
{
	uint32_t size = ring_size(d), h = get(d, TDH), low = (get(d, TXDCTL) >> 25) * 8;
	uint32_t before = (get(d, TDT) + size - h) % size, after;
	struct e1000_state *s = &d->state;
	uint64_t now = dev_now_ns(&d->env);

	for (; n > 0; n--) {
		gpa_t at = desc_at(d, h);
		uint8_t cmd = 0, status = DESC_DD;

		dev_dma_read(&d->env, (gpa_t){ at.raw + 11 }, &cmd, 1);
		h = h + 1 == size ? 0 : h + 1;
		if (!(cmd & (CMD_RS | CMD_RPS)))
			continue;
		if (!dev_dma_write(&d->env, (gpa_t){ at.raw + 12 }, &status, 1))
			e1000_bus_error(d);
		if (!(cmd & CMD_IDE) || !get(d, TIDV)) {
			cause(d, ICR_TXDW);
			continue;
		}
		s->tx_packet_ns = now + get(d, TIDV) * 1024ull;
		if (get(d, TADV) && s->tx_absolute_ns == E1000_NEVER)
			s->tx_absolute_ns = now + get(d, TADV) * 1024ull;
	}
	set(d, TDH, h);
	after = (get(d, TDT) + size - h) % size;
	if (!after)
		cause(d, ICR_TXQE);
	if (before > low && after <= low && low)
		cause(d, ICR_TXD_LOW);
}

static struct tx_slot *newest(struct e1000 *d)
{
	return &d->slot[(d->slot_first + d->n_slots - 1) % TX_SLOTS];
}

/* n more descriptors are dealt with, once all frames in flight have gone. */
static void complete(struct e1000 *d, uint32_t n)
{
	if (!d->n_slots) {
		report(d, n);
		return;
	}
	newest(d)->n_desc += n;
	d->owed += n;
}

static void retire(struct e1000 *d)
{
	while (d->n_slots && d->slot[d->slot_first].done && bus_master(d)) {
		uint32_t n = d->slot[d->slot_first].n_desc;

		d->slot_first = (d->slot_first + 1) % TX_SLOTS;
		d->n_slots--;
		d->owed -= n;
		if (n)
			report(d, n);
	}
}

static void sent(void *owner, struct net_tx *tx, int err)
{
	struct e1000 *d = owner;
	struct tx_slot *s = (struct tx_slot *)((char *)tx - offsetof(struct tx_slot, tx));

	s->done = true;
	tx_room(d);
}

/* The front end takes frames again; the newest may be one that it did not. */
void tx_room(void *owner)
{
	struct e1000 *d = owner;

	if (d->blocked)
		d->blocked = net_send(d->net, &newest(d)->tx);
	tx_run(d);
	e1000_settle(d);
}

/* Reads from the front of the packet without taking. */
static void peek(struct e1000 *d, uint32_t off, void *dst, uint32_t n)
{
	const struct tx_pkt *p = &d->state.pkt;
	uint32_t in_buf = p->buf_end - p->buf_at, k = off < in_buf ? min_u32(n, in_buf - off) : 0;
	uint8_t *to = dst;

	memcpy(to, p->buf + p->buf_at + off, k);
	to += k;
	n -= k;
	off -= min_u32(off, in_buf);
	for (unsigned i = 0; n > 0 && i < p->n_seg; i++) {
		uint32_t at = min_u32(off, p->seg[i].len);

		k = min_u32(n, p->seg[i].len - at);
		off -= at;
		if (k && !dev_dma_read(&d->env, (gpa_t){ p->seg[i].addr.raw + at }, to, k))
			memset(to, 0, k); /* it was RAM when the descriptor came */
		to += k;
		n -= k;
	}
}

/* Takes n bytes off the front, into a list of segments if there is one; how many. */
static unsigned take(struct e1000 *d, uint32_t n, struct gpa_seg *to, bool *from_buf)
{
	struct tx_pkt *p = &d->state.pkt;
	uint32_t k = min_u32(n, p->buf_end - p->buf_at);
	unsigned n_to = 0, gone = 0;

	p->len -= n;
	if (k) {
		if (to) {
			to[n_to++] =
				(struct gpa_seg){ dev_buf_gpa(&d->env, p->buf + p->buf_at), k };
			*from_buf = true;
		}
		p->buf_at += k;
		n -= k;
		if (p->buf_at == p->buf_end)
			p->buf_at = p->buf_end = 0;
	}
	while (n > 0) {
		struct gpa_seg *s = &p->seg[gone];

		k = min_u32(n, s->len);
		if (to)
			to[n_to++] = (struct gpa_seg){ s->addr, k };
		s->addr.raw += k;
		s->len -= k;
		n -= k;
		gone += !s->len;
	}
	p->n_seg = (uint16_t)(p->n_seg - gone);
	memmove(p->seg, p->seg + gone, p->n_seg * sizeof(p->seg[0]));
	return n_to;
}

/* A frame about to go: its first bytes changed or about to be, then n bytes of the packet. */
struct frame {
	struct e1000 *d;
	uint8_t *h;
	uint32_t hl, n;
};

static uint32_t sum_range(const struct frame *f, uint32_t from, uint32_t to)
{
	uint32_t sum = 0;

	while (from < to) {
		uint8_t buf[512]; /* an even size: sums of parts add up */
		uint32_t n = min_u32(to - from, sizeof(buf));
		uint32_t k = from < f->hl ? min_u32(n, f->hl - from) : 0;

		memcpy(buf, f->h + (k ? from : 0), k);
		if (n > k)
			peek(f->d, from + k - f->hl, buf + k, n - k);
		sum = net_sum(sum, buf, n);
		from += n;
	}
	return sum;
}

/* A checksum to be inserted: over [start, end), into the 16 bits at field. */
struct csum {
	bool on, udp; /* udp: 0 means that there is none */
	uint32_t start, end, field;
	uint32_t extra; /* that the field lacks */
};

static struct csum csum_of(bool on, uint32_t len, uint32_t start, uint32_t last, uint32_t field)
{
	struct csum c = { .on = on, .start = start, .end = len, .field = field };

	if (last && last + 1 < len)
		c.end = last + 1;
	/* What lies outside the packet is ignored (table 3-10). */
	if (start >= c.end || field + 2 > len)
		c.on = false;
	return c;
}

static void insert_csum(const struct frame *f, const struct csum *c)
{
	uint16_t sum;

	if (!c->on || c->field + 2 > f->hl)
		return;
	sum = (uint16_t)~net_fold(sum_range(f, c->start, c->end) + c->extra);
	net_put16(f->h + c->field, !sum && c->udp ? 0xffff : sum);
}

/* Can the front end make this checksum? */
static bool offloads(const struct e1000 *d, const struct csum *c, uint32_t len)
{
	return c->on && (d->net->features & NET_F_CSUM) && !loopback(d) && c->end == len &&
	       c->field >= c->start;
}

static void offload_csum(struct frame *f, const struct csum *c, struct net_offload *off)
{
	if (c->extra)
		net_put16(f->h + c->field, net_fold(net_get16(f->h + c->field) + c->extra));
	off->flags = NET_CSUM_PARTIAL;
	off->csum_start = (uint16_t)c->start;
	off->csum_offset = (uint16_t)(c->field - c->start);
}

static void count(struct e1000 *d, const uint8_t addr[6], uint32_t len, uint32_t hl,
		  const struct net_offload *off)
{
	uint32_t n = 1, wire = len + NET_ETH_FCS;
	uint64_t octets = wire;

	if (off->gso) {
		n = (len - hl + off->gso_size - 1) / off->gso_size;
		octets += (uint64_t)(n - 1) * (hl + NET_ETH_FCS);
		wire = hl + off->gso_size + NET_ETH_FCS;
	}
	e1000_count(d, GPTC, n);
	e1000_count(d, TPT, n);
	e1000_octets(d, GOTCL, octets);
	e1000_octets(d, TOTL, octets);
	e1000_count_size(d, PTC64, wire, n);
	if (addr[0] & 1)
		e1000_count(d, memcmp(addr, "\xff\xff\xff\xff\xff\xff", 6) ? MPTC : BPTC, n);
}

/* Frames that don't leave the chip come in again at once; what the ring has no room for is lost. */
static void loop_back(struct e1000 *d, const struct tx_slot *s)
{
	static const struct net_offload none;
	uint64_t buf = dev_buf_gpa(&d->env, d->state.pkt.buf).raw;
	uint64_t hdr = dev_buf_gpa(&d->env, s->hdr).raw;
	uint32_t len = 0;

	for (unsigned i = 0; i < s->tx.n_seg; i++) {
		const struct gpa_seg *g = &s->seg[i];
		uint8_t *to = d->loop + len;

		if (g->addr.raw == hdr)
			memcpy(to, s->hdr, g->len);
		else if (g->addr.raw - buf < TX_BUF)
			memcpy(to, d->state.pkt.buf + (g->addr.raw - buf), g->len);
		else if (!dev_dma_read(&d->env, g->addr, to, g->len))
			memset(to, 0, g->len);
		len += g->len;
	}
	if ((get(d, RCTL) & RCTL_EN) && !rx_frame(d, d->loop, len, &none)) {
		d->state.starved = 0; /* nobody offers it again */
		e1000_count(d, MPC, 1);
	}
}

static uint32_t tag_len(const struct e1000 *d)
{
	return (d->state.pkt.cmd & CMD_VLE) && (get(d, CTRL) & CTRL_VME) ? NET_VLAN_HDR : 0;
}

/* Sends hl bytes in s->hdr, a VLAN tag if asked for, and the packet's next n bytes. */
static void emit(struct e1000 *d, struct tx_slot *s, uint32_t hl, uint32_t n,
		 struct net_offload off)
{
	struct tx_pkt *p = &d->state.pkt;
	uint32_t len = hl + n, tag = tag_len(d);
	uint8_t addr[NET_ETH_ALEN];

	if (hl >= sizeof(addr))
		memcpy(addr, s->hdr, sizeof(addr));
	else
		peek(d, 0, addr, sizeof(addr));
	if (tag) {
		memmove(s->hdr + 12 + tag, s->hdr + 12, hl - 12);
		net_put16(s->hdr + 12, get(d, VET));
		net_put16(s->hdr + 14, p->special);
		hl += tag;
		len += tag;
		off.csum_start += off.flags ? NET_VLAN_HDR : 0;
	}
	if ((get(d, TCTL) & TCTL_PSP) && len < NET_ETH_MIN && !off.gso) {
		peek(d, 0, s->hdr + hl, n);
		take(d, n, NULL, NULL);
		memset(s->hdr + len, 0, NET_ETH_MIN - len);
		hl = len = NET_ETH_MIN;
		n = 0;
	}
	off.hdr_len = off.gso ? (uint16_t)hl : 0;
	/* The guest lets its report wait for others. */
	s->tx = (struct net_tx){ .seg = s->seg,
				 .lazy = get(d, TIDV) && (p->delay || !p->eop),
				 .off = off,
				 .done = sent,
				 .owner = d };
	s->done = s->buf = false;
	s->n_desc = 0;
	if (hl)
		s->seg[s->tx.n_seg++] = (struct gpa_seg){ dev_buf_gpa(&d->env, s->hdr), hl };
	s->tx.n_seg = (uint16_t)(s->tx.n_seg + take(d, n, s->seg + s->tx.n_seg, &s->buf));
	count(d, addr, len, hl, &off);
	if (loopback(d)) {
		loop_back(d, s);
		return;
	}
	d->n_slots++;
	d->blocked = net_send(d->net, &s->tx);
}

static void packet_done(struct e1000 *d)
{
	uint32_t n = d->state.pkt.n_desc;

	new_packet(&d->state.pkt);
	complete(d, n);
}

/* A whole packet that is one frame. */
static void send_frame(struct e1000 *d, struct tx_slot *s)
{
	struct tx_pkt *p = &d->state.pkt;
	const struct tx_ctx *x = &d->state.ctx[0];
	uint32_t len = p->len, pull = 0;
	struct net_offload off = { 0 };
	struct csum ip = { 0 }, tu;
	struct frame f;

	if (!(p->cmd & CMD_IFCS)) /* its last bytes are the FCS, which is added behind */
		len -= min_u32(len, NET_ETH_FCS);
	if (len < NET_ETH_HDR || len + tag_len(d) > E1000_MAX_FRAME) {
		packet_done(d);
		return;
	}
	if (p->data) {
		ip = csum_of(p->popts & POPTS_IXSM, len, x->ipcss, x->ipcse, x->ipcso);
		tu = csum_of(p->popts & POPTS_TXSM, len, x->tucss, x->tucse, x->tucso);
		tu.udp = !(x->tucmd & TUCMD_TCP);
	} else {
		tu = csum_of(p->cmd & CMD_IC, len, p->css, 0, p->cso);
	}
	if (tag_len(d))
		pull = NET_ETH_HDR;
	if (ip.on && ip.field + 2 > pull)
		pull = ip.field + 2;
	if (tu.on && !offloads(d, &tu, len) && tu.field + 2 > pull)
		pull = tu.field + 2;
	peek(d, 0, s->hdr, pull);
	take(d, pull, NULL, NULL);
	f = (struct frame){ d, s->hdr, pull, len - pull };
	insert_csum(&f, &ip);
	if (offloads(d, &tu, len))
		offload_csum(&f, &tu, &off);
	else
		insert_csum(&f, &tu);
	emit(d, s, pull, f.n, off);
	packet_done(d);
}

/* The headers of the segment that carries n bytes of payload after the first p->sent (3.5.8). */
static void segment_headers(const struct tx_pkt *p, const struct tx_ctx *x, uint8_t *h, uint32_t n)
{
	uint32_t hl = x->hdrlen;
	bool last = p->eop && n == p->len;

	if ((x->tucmd & TUCMD_IP) && x->ipcss + 20u <= hl) {
		net_put16(h + x->ipcss + 2, hl - x->ipcss + n);
		net_put16(h + x->ipcss + 4, net_get16(h + x->ipcss + 4) + p->sent / x->mss);
	} else if (!(x->tucmd & TUCMD_IP) && x->ipcss + 40u <= hl) {
		net_put16(h + x->ipcss + 4, hl - x->ipcss - 40 + n);
	}
	if ((x->tucmd & TUCMD_TCP) && x->tucss + 20u <= hl) {
		uint8_t *tcp = h + x->tucss;
		uint32_t seq = ((uint32_t)net_get16(tcp + 4) << 16 | net_get16(tcp + 6)) + p->sent;

		net_put16(tcp + 4, seq >> 16);
		net_put16(tcp + 6, seq);
		if (!last)
			tcp[13] &= (uint8_t)~TH_FIN_PSH;
	} else if (!(x->tucmd & TUCMD_TCP) && x->tucss + 8u <= hl) {
		net_put16(h + x->tucss + 4, hl - x->tucss + n);
	}
}

/* The next n bytes of payload with headers of their own; whole: for the front end to segment. */
static void send_segment(struct e1000 *d, struct tx_slot *s, uint32_t n, bool whole)
{
	struct tx_pkt *p = &d->state.pkt;
	const struct tx_ctx *x = &d->state.ctx[1];
	uint32_t hl = x->hdrlen, len = hl + n;
	struct net_offload off = { 0 };
	struct frame f = { d, s->hdr, hl, n };
	struct csum ip, tu;

	memcpy(s->hdr, p->hdr, hl);
	segment_headers(p, x, s->hdr, n);
	ip = csum_of(p->popts & POPTS_IXSM, len, x->ipcss, x->ipcse, x->ipcso);
	tu = csum_of(p->popts & POPTS_TXSM, len, x->tucss, x->tucse, x->tucso);
	tu.udp = !(x->tucmd & TUCMD_TCP);
	tu.extra = len - x->tucss; /* drivers leave the length out of the pseudo header's sum */
	insert_csum(&f, &ip);
	if (offloads(d, &tu, len) && tu.field + 2 <= hl) {
		offload_csum(&f, &tu, &off);
		if (whole && n > x->mss) {
			off.gso = x->tucmd & TUCMD_IP ? NET_GSO_TCPV4 : NET_GSO_TCPV6;
			off.gso_size = x->mss;
		}
	} else {
		insert_csum(&f, &tu);
	}
	p->sent += n;
	emit(d, s, hl, n, off);
}

/* Does the front end understand these headers?  It takes TCP over IP, the checksum in its place. */
static bool can_offload(const struct e1000 *d, const struct tx_pkt *p, const struct tx_ctx *x)
{
	bool v4 = x->tucmd & TUCMD_IP;
	uint32_t need = v4 ? NET_F_CSUM | NET_F_TSO4 : NET_F_CSUM | NET_F_TSO6;

	return (d->net->features & need) == need && !loopback(d) && (x->tucmd & TUCMD_TCP) &&
	       (p->popts & POPTS_TXSM) && (!v4 || (p->popts & POPTS_IXSM)) && !x->tucse &&
	       ((x->ipcss == NET_ETH_HDR && !tag_len(d)) || (d->net->features & NET_F_VLAN)) &&
	       x->ipcss >= NET_ETH_HDR && x->ipcss + (v4 ? 20u : 40u) <= x->tucss &&
	       x->tucss + 20u <= x->hdrlen && x->tucso == x->tucss + 16u &&
	       (!v4 || x->ipcso == x->ipcss + 10u) &&
	       net_get16(p->hdr + x->ipcss - 2) == (v4 ? 0x0800 : 0x86dd) &&
	       p->hdr[x->ipcss] >> 4 == (v4 ? 4 : 6);
}

/* Nonsense in the context: there is no frame to be made of it. */
static bool bad_context(const struct tx_ctx *x)
{
	return !x->mss || x->hdrlen < NET_ETH_HDR ||
	       x->hdrlen + x->mss + NET_VLAN_HDR > E1000_MAX_FRAME;
}

static void drop(struct tx_pkt *p)
{
	p->drop = 1;
	p->len = p->n_seg = 0;
	p->buf_at = p->buf_end = 0;
}

/* Takes the headers off the front once they are there. */
static void split(struct e1000 *d)
{
	struct tx_pkt *p = &d->state.pkt;
	const struct tx_ctx *x = &d->state.ctx[1];

	if (p->split || p->len < x->hdrlen)
		return;
	peek(d, 0, p->hdr, x->hdrlen);
	take(d, x->hdrlen, NULL, NULL);
	p->split = 1;
	p->soft |= !can_offload(d, p, x);
}

/* Is there something to send, or a packet to finish? */
static bool pending(struct e1000 *d)
{
	struct tx_pkt *p = &d->state.pkt;

	if (p->tse && !p->drop)
		split(d);
	return p->eop || (p->split && p->soft && p->len >= d->state.ctx[1].mss);
}

/* One frame, or the end of a packet.  False: no slot is free. */
static bool send_pending(struct e1000 *d)
{
	struct tx_pkt *p = &d->state.pkt;
	struct tx_slot *s = &d->slot[(d->slot_first + d->n_slots) % TX_SLOTS];
	uint32_t mss = d->state.ctx[1].mss;

	if (p->drop || !p->len) {
		if (p->tse && p->eop)
			e1000_count(d, p->drop ? TSCTFC : TSCTC, 1);
		packet_done(d);
		return true;
	}
	if (d->n_slots == TX_SLOTS)
		return false;
	if (!p->tse) {
		send_frame(d, s);
	} else if (!p->split) { /* it ends within the headers */
		drop(p);
	} else {
		/* Once more: the guest may have turned loopback on since. */
		p->soft |= !can_offload(d, p, &d->state.ctx[1]);
		send_segment(d, s, p->soft ? min_u32(p->len, mss) : p->len, !p->soft);
	}
	return true;
}

/* Makes room in the list of segments: moves them into the buffer.  False: that is still in flight. */
static bool spill(struct e1000 *d)
{
	struct tx_pkt *p = &d->state.pkt;
	uint32_t have = p->buf_end - p->buf_at;

	for (unsigned i = 0; i < d->n_slots; i++)
		if (d->slot[(d->slot_first + i) % TX_SLOTS].buf)
			return false;
	memmove(p->buf, p->buf + p->buf_at, have);
	p->buf_at = 0;
	p->buf_end = have;
	for (unsigned i = 0; i < p->n_seg; i++) {
		uint32_t n = p->seg[i].len;

		if (!dev_dma_read(&d->env, p->seg[i].addr, p->buf + p->buf_end, n))
			memset(p->buf + p->buf_end, 0, n);
		p->buf_end += n;
	}
	p->n_seg = 0;
	return true;
}

/* For one datagram, or one frame of the front end's with a tag. */
static bool too_long(const struct tx_pkt *p, const struct tx_ctx *x)
{
	uint32_t len = p->len + (p->split ? x->hdrlen : 0);

	return len + NET_VLAN_HDR > NET_MAX_FRAME || len > 0xffffu + x->ipcss;
}

static void append(struct e1000 *d, uint64_t addr, uint32_t len)
{
	struct tx_pkt *p = &d->state.pkt;
	struct gpa_seg *last = p->n_seg ? &p->seg[p->n_seg - 1] : NULL;

	if (!addr || !len || p->drop)
		return; /* "transfer no data" (3.3.3) */
	if (!dev_dma_ok(&d->env, (gpa_t){ addr }, len)) {
		e1000_bus_error(d);
		drop(p);
		return;
	}
	p->len += len;
	if (!p->tse && p->len > TX_MAX) {
		drop(p);
		return;
	}
	if (last && last->addr.raw + last->len == addr)
		last->len += len;
	else
		p->seg[p->n_seg++] = (struct gpa_seg){ { addr }, len };
	if (p->tse && too_long(p, &d->state.ctx[1]))
		p->soft = 1;
}

static void context(struct e1000 *d, const uint8_t *b)
{
	struct tx_ctx x = { .ipcss = b[0],
			    .ipcso = b[1],
			    .ipcse = (uint16_t)(b[2] | b[3] << 8),
			    .tucss = b[4],
			    .tucso = b[5],
			    .tucse = (uint16_t)(b[6] | b[7] << 8),
			    .tucmd = b[11],
			    .hdrlen = b[13],
			    .mss = (uint16_t)(b[14] | b[15] << 8) };

	d->state.ctx[!!(x.tucmd & TUCMD_TSE)] = x;
}

static void data(struct e1000 *d, const uint8_t *b)
{
	struct tx_pkt *p = &d->state.pkt;
	bool first = !p->n_desc, ext = b[11] & CMD_DEXT;
	uint32_t len = b[8] | (uint32_t)b[9] << 8;
	uint64_t addr;

	memcpy(&addr, b, sizeof(addr));
	if (first) {
		p->data = ext;
		p->tse = ext && (b[11] & CMD_TSE);
		p->popts = ext ? b[13] : 0;
		if (p->tse && bad_context(&d->state.ctx[1]))
			drop(p);
	}
	/* Of the first descriptor with segmentation, else of the last (3.3.7.1). */
	if (first || !p->tse) {
		p->cmd = b[11];
		p->special = (uint16_t)(b[14] | b[15] << 8);
		p->cso = b[10];
		p->css = b[13];
	}
	if (ext)
		len |= (uint32_t)(b[10] & 15) << 16;
	p->n_desc++;
	p->eop = b[11] & CMD_EOP;
	p->delay = b[11] & CMD_IDE ? 1 : 0;
	append(d, addr, len);
}

/* Fetches a descriptor.  False: not now. */
static bool fetch(struct e1000 *d)
{
	struct e1000_state *s = &d->state;
	struct tx_pkt *p = &s->pkt;
	uint8_t b[DESC_SIZE];

	if (s->tx_next == get(d, TDT))
		return false;
	/* All of the ring is under way: TDT has passed TDH. */
	if (d->owed + p->n_desc >= ring_size(d) - 1) {
		if (d->n_slots)
			return false;
		drop(p); /* ... with a packet that has no end */
		p->eop = 1;
		return true;
	}
	if (p->n_seg == TX_SEGS) {
		if (p->tse && p->split && !p->soft) {
			p->soft = 1;
			return true;
		}
		if (!spill(d))
			return false;
	}
	if (!dev_dma_read(&d->env, desc_at(d, s->tx_next), b, sizeof(b))) {
		e1000_bus_error(d);
		return false;
	}
	s->tx_next = s->tx_next + 1 == ring_size(d) ? 0 : s->tx_next + 1;
	if ((b[11] & CMD_DEXT) && !(b[10] >> 4)) {
		if (p->n_desc) { /* in the middle of a packet: it applies to the next */
			p->n_desc++;
			return true;
		}
		context(d, b);
		complete(d, 1);
		return true;
	}
	data(d, b);
	return true;
}

void tx_run(struct e1000 *d)
{
	unsigned budget = TX_BUDGET;

	d->kick = false;
	retire(d);
	while (!d->blocked && transmitter_on(d)) {
		if (!budget--) {
			d->kick = true;
			return;
		}
		if (pending(d) ? !send_pending(d) : !fetch(d))
			return;
	}
}

static bool pkt_sane(const struct e1000 *d)
{
	const struct tx_pkt *p = &d->state.pkt;
	uint64_t len = p->buf_end - p->buf_at;

	if (p->n_seg > TX_SEGS || p->buf_at > p->buf_end || p->buf_end > TX_BUF)
		return false;
	for (unsigned i = 0; i < p->n_seg; i++) {
		if (!p->seg[i].len)
			return false;
		len += p->seg[i].len;
	}
	if (p->drop ? len != 0 : len != p->len || p->buf_end > p->len + p->buf_at)
		return false;
	/* What is in one frame fits where it may have to be copied to. */
	if (!p->tse && len > TX_MAX)
		return false;
	return !p->tse || p->drop || !bad_context(&d->state.ctx[1]);
}

bool tx_sane(const struct e1000 *d)
{
	uint32_t n = ring_size(d), h = get(d, TDH);
	uint32_t begun = d->owed + d->state.pkt.n_desc;

	if (d->n_slots > TX_SLOTS || !pkt_sane(d))
		return false;
	return n && h < n ? begun < n && (h + begun) % n == d->state.tx_next :
			    d->state.tx_next == h && !begun;
}

/* Frames in flight when the state was saved are lost; those in flight here belong to another state. */
bool tx_loaded(struct e1000 *d)
{
	uint32_t n = ring_size(d), lost;

	disown(d);
	d->kick = true;
	for (unsigned i = 0; i < d->state.pkt.n_seg && i < TX_SEGS; i++)
		if (!dev_dma_ok(&d->env, d->state.pkt.seg[i].addr, d->state.pkt.seg[i].len))
			return false;
	if (d->state.tx_next >= (n ? n : 1) || get(d, TDH) >= n || d->state.pkt.n_desc >= n)
		return true; /* nothing was begun, or tx_sane() says no */
	lost = (d->state.tx_next + 2 * n - get(d, TDH) - d->state.pkt.n_desc) % n;
	if (lost && bus_master(d)) {
		report(d, lost);
	} else if (lost) { /* with leave to write to the ring again */
		if (!d->n_slots) {
			d->n_slots = 1;
			newest(d)->done = true;
			newest(d)->buf = false;
		}
		newest(d)->n_desc = d->owed = lost;
	}
	return true;
}
