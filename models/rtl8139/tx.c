/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tx.c - transmission by an RTL8139C+: four descriptors in registers (C mode), or rings of descriptors in
 * memory (C+ mode: a normal and a high-priority one).
 *
 * A frame goes out from where the guest has it.  Only headers that the card changes (a tag inserted, checksums, a
 * large send) are copied, into the slot that stands for the frame until the network has taken it.  What the
 * network does not do (net.features) is done here.  Runts go out as they are, and what is no frame at all (less
 * than an Ethernet header) ends well without going anywhere.
 *
 * A slot whose ring was reset away is dead until its done() comes: nothing of it reaches the guest.
 */
#include "models/rtl8139/rtl8139_int.h"

#define TXD_LGSEN (1u << 27)
#define TXD_MSS   0x07ff0000u
#define TXD_IPCS  (1u << 18)
#define TXD_UDPCS (1u << 17)
#define TXD_TCPCS (1u << 16)
#define TXD_KEPT  (DESC_EOR | DESC_FS | DESC_LS | 0xffffu)
#define TXD_TAGC  (1u << 17) /* second word */
#define TXD_TES   (1u << 23) /* status: error summary */
#define TXD_LNKF  (1u << 21)
#define TXD_EXC   (1u << 20) /* aborted */

#define MIN_MSS   64u /* smaller ones make a flood of frames out of one descriptor */
#define MAX_PLAIN (NET_MTU_MAX + NET_ETH_HDR)
#define MAX_BATCH 128u /* frames in one go, as loopback can keep a ring full for ever */

#define TCP_FIN_PSH 0x09u
#define TCP_CWR     0x80u

static void done(void *owner, struct net_tx *tx, int err);

void rtl_tx_init(struct rtl8139 *d)
{
	for (unsigned i = 0; i < N_SLOTS; i++) {
		d->slot[i].d = d;
		d->slot[i].tx.done = done;
		d->slot[i].tx.owner = &d->slot[i];
	}
}

/* What the network does for us. */
static uint32_t features(const struct rtl8139 *d)
{
	return d->net && !loopback(d) ? d->net->features : 0;
}

static struct rtl_slot *free_slot(struct rtl8139 *d)
{
	for (unsigned i = 0; i < N_SLOTS; i++)
		if (!d->slot[i].busy)
			return &d->slot[i];
	return NULL;
}

static struct rtl_slot *take(struct rtl8139 *d, unsigned queue, uint64_t base, unsigned first)
{
	struct rtl_slot *s = free_slot(d);

	if (!s)
		return NULL;
	s->busy = true;
	s->past = false;
	s->queue = (uint8_t)queue;
	s->base = base;
	s->first = (uint8_t)first;
	s->count = 0;
	s->len = 0;
	s->n_seg = 0;
	s->mss = 0;
	s->tx.off = (struct net_offload){ 0 };
	return s;
}

static bool in_flight(const struct rtl8139 *d, unsigned queue)
{
	for (unsigned i = 0; i < N_SLOTS; i++)
		if (d->slot[i].busy && !d->slot[i].dead && d->slot[i].queue == queue)
			return true;
	return false;
}

static bool on_its_way(const struct rtl8139 *d, unsigned queue, unsigned first)
{
	for (unsigned i = 0; i < N_SLOTS; i++) {
		const struct rtl_slot *s = &d->slot[i];

		if (s->busy && !s->dead && s->queue == queue && s->first == first)
			return true;
	}
	return false;
}

static unsigned next_of(uint32_t word0, unsigned n)
{
	return word0 & DESC_EOR ? 0 : (n + 1) % DESC_RING;
}

/* Gives descriptors back; the first, which a driver looks at, last. */
static void give_back(struct rtl_slot *s, uint32_t status)
{
	struct rtl8139 *d = s->d;
	uint64_t at[DESC_RING];
	uint32_t word[DESC_RING], desc[4];
	unsigned n = s->first, got;
	uint8_t raw[4];

	for (got = 0; got < s->count && rtl_desc(d, s->base, n, desc); got++) {
		at[got] = s->base + n * DESC_SIZE;
		word[got] = desc[0] & TXD_KEPT;
		n = next_of(desc[0], n);
	}
	while (got-- > 0) {
		put_le(raw, word[got] | status, 4);
		dev_dma_write(&d->env, (gpa_t){ at[got] }, raw, 4);
	}
}

static void go_past(struct rtl_slot *s)
{
	if (!s->past)
		s->d->state.tx_next[s->queue == Q_HIGH] = s->next;
	s->past = true;
}

enum end { END_OK, END_NO_LINK, END_ABORTED };

static void finish(struct rtl_slot *s, enum end how)
{
	static const uint32_t c_status[] = { TSD_TOK, TSD_TOK | TSD_CRS, TSD_TABT };
	static const uint32_t cp_status[] = { 0, TXD_TES | TXD_LNKF, TXD_TES | TXD_EXC };
	struct rtl8139 *d = s->d;
	unsigned isr = how == END_ABORTED ? ISR_TER : ISR_TOK, r = TSD0 + s->first * 4u;

	go_past(s);
	if (s->queue == Q_C)
		set_reg(d, r, reg32(d, r) | TSD_OWN | c_status[how], 4);
	else
		give_back(s, cp_status[how]);
	if (how == END_ABORTED) {
		d->state.tally.tx_err++;
		d->state.tally.tx_abt++;
	} else {
		d->state.tally.tx_ok++;
	}
	s->busy = false;
	if (s->queue != Q_C && !(d->state.poll & TPPOLL_BIT(s->queue)) && !in_flight(d, s->queue))
		isr |= ISR_TDU;
	rtl_interrupt(d, isr);
}

static void ip_checksum(uint8_t *ip)
{
	net_put16(ip + 10, 0);
	net_put16(ip + 10, ~(uint32_t)net_fold(net_sum(0, ip, (size_t)(ip[0] & 15) * 4)));
}

/* Makes TCP's or UDP's checksum over data bytes from pos on behind the headers, or asks the network to if it
 * does and they are the frame's last. */
static bool l4_checksum(struct rtl_slot *s, uint32_t pos, uint32_t data, bool to_end)
{
	struct rtl8139 *d = s->d;
	const struct net_headers *h = &s->h;
	uint32_t l4_hdr = (uint32_t)h->data - h->l4;
	uint32_t sum = net_sum_pseudo(s->hdr + h->l3, h->proto, l4_hdr + data);

	if (to_end && (features(d) & NET_F_CSUM)) {
		net_put16(s->hdr + h->csum, net_fold(sum));
		s->tx.off.flags = NET_CSUM_PARTIAL;
		s->tx.off.csum_start = h->l4;
		s->tx.off.csum_offset = h->csum - h->l4;
		return true;
	}
	net_put16(s->hdr + h->csum, 0);
	sum = net_sum(sum, s->hdr + h->l4, l4_hdr);
	if (!net_sum_segs(&d->env, s->seg + 1, s->n_seg - 1u, pos, data, &sum))
		return false;
	sum = (uint16_t)~net_fold(sum);
	net_put16(s->hdr + h->csum, sum ? sum : 0xffff);
	return true;
}

static void ip_length(struct rtl_slot *s, uint32_t data)
{
	uint8_t *ip = s->hdr + s->h.l3;
	uint32_t len = (uint32_t)s->h.data - s->h.l3 + data;

	if (s->h.version == 4) {
		net_put16(ip + 2, len);
		ip_checksum(ip);
	} else {
		net_put16(ip + 4, len - 40);
	}
}

/* Copies the frame's first bytes and takes them out of its segments, where the copy goes instead. */
static bool copy_headers(struct rtl_slot *s, bool tag, uint16_t tci)
{
	struct rtl8139 *d = s->d;
	uint32_t n = min_u32(s->len, SLOT_HDR - NET_VLAN_HDR) & ~1u, at = 0, skip;
	unsigned from = 0;

	for (unsigned i = 0; i < s->n_seg && at < n; i++) {
		uint32_t k = min_u32(n - at, s->seg[i].len);

		if (!dev_dma_read(&d->env, s->seg[i].addr, s->hdr + at, k))
			return false;
		at += k;
	}
	net_parse(&s->h, s->hdr, n);
	skip = s->h.l4 ? s->h.data : s->h.version == 4 ? s->h.l3 + (s->hdr[s->h.l3] & 15u) * 4 : 12;
	n = skip;
	if (tag) {
		memmove(s->hdr + 16, s->hdr + 12, n - 12);
		net_put16(s->hdr + 12, NET_TPID);
		net_put16(s->hdr + 14, tci);
		n += NET_VLAN_HDR;
		s->len += NET_VLAN_HDR;
		net_parse(&s->h, s->hdr, n);
	}
	while (skip > 0 && skip >= s->seg[from].len)
		skip -= s->seg[from++].len;
	if (skip > 0) {
		s->seg[from].addr.raw += skip;
		s->seg[from].len -= skip;
	}
	s->n_seg -= (uint16_t)from;
	memmove(s->seg + 1, s->seg + from, s->n_seg * sizeof(s->seg[0]));
	s->seg[0] = (struct gpa_seg){ dev_buf_gpa(&d->env, s->hdr), n };
	s->n_seg++;
	return true;
}

/* A large send: one frame of any length, or cut by the model. */
static bool large_send(struct rtl_slot *s, uint32_t mss)
{
	struct rtl8139 *d = s->d;
	uint32_t data = s->len - s->h.data;
	bool v6 = s->h.version == 6;

	if (mss < MIN_MSS || loopback(d) || s->h.data - s->h.l3 + data > 0xffff)
		return false;
	ip_length(s, data);
	if (data <= mss)
		return s->len <= MAX_PLAIN && l4_checksum(s, 0, data, true);
	if (features(d) & (v6 ? NET_F_TSO6 : NET_F_TSO4) &&
	    (s->h.l3 == NET_ETH_HDR || features(d) & NET_F_VLAN)) {
		uint32_t sum = net_sum_pseudo(s->hdr + s->h.l3, NET_PROTO_TCP, s->len - s->h.l4);

		net_put16(s->hdr + s->h.csum, net_fold(sum));
		s->tx.off = (struct net_offload){ .flags = NET_CSUM_PARTIAL,
						  .gso = v6 ? NET_GSO_TCPV6 : NET_GSO_TCPV4,
						  .gso_size = (uint16_t)mss,
						  .hdr_len = s->h.data,
						  .csum_start = s->h.l4,
						  .csum_offset = s->h.csum - s->h.l4 };
		return true;
	}
	s->mss = (uint16_t)mss;
	s->pos = 0;
	s->tcp_flags = s->hdr[s->h.l4 + 13];
	return true;
}

/* What the descriptor's first words ask for. False: no such frame can go out. */
static bool prepare(struct rtl_slot *s, uint32_t word0, uint32_t word1)
{
	bool tag = word1 & TXD_TAGC;
	uint16_t tci = (uint16_t)(word1 << 8 | (word1 >> 8 & 0xff));
	const struct net_headers *h = &s->h;
	uint32_t data;

	if (!(word0 & (TXD_LGSEN | TXD_IPCS | TXD_UDPCS | TXD_TCPCS)) && !tag)
		return s->len <= MAX_PLAIN;
	if (!copy_headers(s, tag, tci))
		return false;
	if ((word0 & TXD_LGSEN) && h->l4 && h->proto == NET_PROTO_TCP)
		return large_send(s, (word0 & TXD_MSS) >> 16);
	if (s->len > MAX_PLAIN + NET_VLAN_HDR)
		return false;
	if (word0 & TXD_LGSEN)
		return true;
	if ((word0 & TXD_IPCS) && h->version == 4)
		ip_checksum(s->hdr + h->l3);
	if (!h->l4 || !(word0 & (h->proto == NET_PROTO_TCP ? TXD_TCPCS : TXD_UDPCS)))
		return true;
	/* Padding behind the datagram is not part of it; a cut-off one can't be summed. */
	if (h->l3 + h->l3_len > s->len || h->l3 + h->l3_len < h->data)
		return true;
	data = h->l3 + h->l3_len - h->data;
	return l4_checksum(s, 0, data, h->data + data == s->len);
}

/* Bytes [off, off + len) of the frame, as segments of their own behind the headers. */
static unsigned cut(struct rtl_slot *s, uint32_t off, uint32_t len)
{
	unsigned n = 1;

	s->cut[0] = (struct gpa_seg){ s->seg[0].addr, s->h.data };
	for (unsigned i = 1; i < s->n_seg && len > 0; i++) {
		uint32_t at = min_u32(off, s->seg[i].len), k = min_u32(len, s->seg[i].len - at);

		off -= at;
		len -= k;
		if (k > 0)
			s->cut[n++] = (struct gpa_seg){ { s->seg[i].addr.raw + at }, k };
	}
	return n;
}

/* The next frame of a large send.  False if memory went away. */
static bool next_cut(struct rtl_slot *s)
{
	uint8_t *ip = s->hdr + s->h.l3, *tcp = s->hdr + s->h.l4;
	uint32_t all = s->len - s->h.data, data = min_u32(s->mss, all - s->pos);
	bool last = s->pos + data == all;

	if (s->pos > 0) {
		uint32_t seq = (uint32_t)net_get16(tcp + 4) << 16 | net_get16(tcp + 6);

		seq += s->mss;
		net_put16(tcp + 4, seq >> 16);
		net_put16(tcp + 6, seq);
		if (s->h.version == 4)
			net_put16(ip + 4, net_get16(ip + 4) + 1u);
	}
	tcp[13] = (uint8_t)(s->tcp_flags & ~((last ? 0 : TCP_FIN_PSH) | (s->pos ? TCP_CWR : 0)));
	ip_length(s, data);
	s->tx.n_seg = (uint16_t)cut(s, s->pos, data);
	if (!l4_checksum(s, s->pos, data, true))
		return false;
	s->pos += data;
	return true;
}

static void send(struct rtl_slot *s)
{
	struct rtl8139 *d = s->d;

	s->tx.seg = s->mss ? s->cut : s->seg;
	if (!s->mss)
		s->tx.n_seg = s->n_seg;
	s->out = true;
	/* Of what its driver learns when it looks at memory next. */
	s->tx.lazy = s->queue != Q_C && !s->mss;
	if (net_send(d->net, &s->tx))
		s->out = false;
	else if (!s->mss)
		go_past(s);
}

/* The frame comes in again, at once. */
static void loop_back(struct rtl_slot *s)
{
	static const struct net_offload none;
	struct rtl8139 *d = s->d;
	uint32_t at = 0;

	for (unsigned i = 0; i < s->n_seg && s->len <= MAX_RX - NET_ETH_FCS; i++) {
		const struct gpa_seg *g = &s->seg[i];

		if (g->addr.raw == dev_buf_gpa(&d->env, s->hdr).raw && i == 0)
			memcpy(d->loop, s->hdr, g->len);
		else if (!dev_dma_read(&d->env, g->addr, d->loop + at, g->len))
			return;
		at += g->len;
	}
	if (at == s->len)
		rtl_store(d, d->loop, at, &none);
}

static void start(struct rtl_slot *s)
{
	struct rtl8139 *d = s->d;

	if (loopback(d)) {
		if (s->len >= NET_ETH_HDR)
			loop_back(s);
		finish(s, END_OK);
	} else if (s->len < NET_ETH_HDR || !d->state.link) {
		finish(s, d->state.link ? END_OK : END_NO_LINK);
	} else if (s->mss && !next_cut(s)) {
		finish(s, END_ABORTED);
	} else {
		send(s);
	}
}

static void done(void *owner, struct net_tx *tx, int err)
{
	struct rtl_slot *s = owner;
	struct rtl8139 *d = s->d;

	(void)tx;
	s->out = false;
	if (s->dead) {
		s->dead = s->busy = false;
	} else if (err) {
		finish(s, END_ABORTED);
	} else if (s->mss && s->pos < s->len - s->h.data) {
		if (next_cut(s))
			send(s);
		else
			finish(s, END_ABORTED);
	} else {
		finish(s, END_OK);
	}
	rtl_tx_run(d);
	rtl_settle(d);
}

/* C mode: starts descriptor n if it waits. False: not now. */
static bool start_c(struct rtl8139 *d, unsigned n)
{
	uint32_t tsd = reg32(d, TSD0 + n * 4), len = tsd & TSD_SIZE;
	struct rtl_slot *s;

	if (tsd & TSD_OWN)
		return true;
	if (on_its_way(d, Q_C, n))
		return true;
	s = take(d, Q_C, 0, n);
	if (!s)
		return false;
	s->next = (uint8_t)((n + 1) % 4);
	if ((reg32(d, TCR) & TCR_CRC) && len >= NET_ETH_FCS)
		len -= NET_ETH_FCS;
	s->seg[0] = (struct gpa_seg){ { reg32(d, TSAD0 + n * 4) }, len };
	s->n_seg = len > 0;
	s->len = len;
	if (len > 0 && !dev_dma_ok(&d->env, s->seg[0].addr, len)) {
		rtl_bus_error(d);
		finish(s, END_ABORTED);
	} else {
		start(s);
	}
	return s->out || !s->busy;
}

/* C+ mode: starts the ring's next frame. False: there is none, or not now. */
static bool start_cplus(struct rtl8139 *d, unsigned q)
{
	unsigned r = q == Q_HIGH ? THPDS : TNPDS, n = d->state.tx_next[q];
	uint64_t base = bus_addr(d, reg32(d, r) & ~0xffu, reg32(d, r + 4));
	struct rtl_slot *s;
	uint32_t word[2] = { 0 }, desc[4] = { 0 };
	bool bad = false, bus = false;

	/* Once around the ring: its descriptors are the chip's still. */
	if (on_its_way(d, q, n))
		return false;
	s = take(d, q, base, n);
	if (!s)
		return false;
	do {
		bool got = rtl_desc(d, base, n, desc);
		uint64_t addr = bus_addr(d, desc[2], desc[3]);
		uint32_t len = desc[0] & 0xffff;

		if (!got || !(desc[0] & DESC_OWN)) {
			s->busy = false;
			d->state.poll &= (uint8_t)~TPPOLL_BIT(q);
			if (!got)
				rtl_bus_error(d);
			else if (!in_flight(d, q))
				rtl_interrupt(d, ISR_TDU);
			return false;
		}
		s->count++;
		/* Older Linux marks all but the first descriptor of several as large send. */
		if (desc[0] & TXD_LGSEN)
			word[0] = desc[0];
		else if (!(word[0] & TXD_LGSEN))
			word[0] |= desc[0];
		if (!(word[1] & TXD_TAGC))
			word[1] = desc[1];
		n = next_of(desc[0], n);
		if (!(desc[0] & DESC_LS) && n != s->first && on_its_way(d, q, n)) {
			s->busy = false;
			return false;
		}
		/* One segment is kept free for headers. */
		if (s->n_seg == NET_MAX_SEGS - 1 || s->len + len > NET_MAX_FRAME - NET_VLAN_HDR ||
		    (s->count == DESC_RING && !(desc[0] & DESC_LS))) {
			bad = true;
		} else if (len > 0 && !dev_dma_ok(&d->env, (gpa_t){ addr }, len)) {
			bad = bus = true;
		} else if (len > 0) {
			s->seg[s->n_seg++] = (struct gpa_seg){ { addr }, len };
			s->len += len;
		}
	} while (!(desc[0] & DESC_LS) && s->count < DESC_RING);
	s->next = (uint8_t)n;
	if (bus)
		rtl_bus_error(d);
	if (bad || (s->len >= NET_ETH_HDR && !prepare(s, word[0], word[1])))
		finish(s, END_ABORTED);
	else
		start(s);
	return true;
}

void rtl_tx_run(struct rtl8139 *d)
{
	unsigned batch = MAX_BATCH;
	bool wait = false;

	if (!may_master(d) || !(d->state.reg[CR] & CR_TE))
		return;
	/* Frames leave in order: one that the network would not take yet, or that goes in parts, holds up the
	 * others. */
	for (unsigned i = 0; i < N_SLOTS; i++) {
		struct rtl_slot *s = &d->slot[i];

		if (s->busy && !s->dead && !s->out)
			send(s);
		wait |= s->busy && !s->dead && (!s->out || s->mss);
	}
	if (wait)
		return;
	if (!(d->state.reg[CPCR] & CPCR_TX)) {
		unsigned first = d->state.tx_next[Q_NORMAL];

		for (unsigned i = 0; i < 4; i++)
			if (!start_c(d, (first + i) % 4))
				return;
		return;
	}
	for (unsigned q = Q_HIGH + 1; q-- > 0;) {
		while ((d->state.poll & TPPOLL_BIT(q)) && batch > 0) {
			struct rtl_slot *s = free_slot(d); /* that it takes */

			if (!start_cplus(d, q))
				break;
			batch--;
			if (s->busy && (!s->out || s->mss))
				return;
		}
	}
	if (batch == 0)
		rtl_poll_soon(d);
}

void rtl_tx_drop(struct rtl8139 *d, unsigned queues)
{
	for (unsigned i = 0; i < N_SLOTS; i++) {
		struct rtl_slot *s = &d->slot[i];

		if (!s->busy || !(queues >> s->queue & 1))
			continue;
		s->dead = s->out;
		s->busy = s->out;
	}
}

void rtl_tsd_write(struct rtl8139 *d, unsigned n, uint32_t v)
{
	unsigned r = TSD0 + n * 4;

	if (!(reg32(d, r) & TSD_OWN))
		return; /* the chip has it */
	set_reg(d, r, v & TSD_RW, 4);
	rtl_tx_run(d);
}

void rtl_sent_room(void *owner)
{
	rtl_tx_run(owner);
	rtl_settle(owner);
}

bool rtl_tx_sane(const struct rtl8139 *d)
{
	for (unsigned i = 0; i < N_SLOTS; i++) {
		const struct rtl_slot *s = &d->slot[i];

		if ((s->out && !s->busy) || (s->dead && !s->out) || s->n_seg > NET_MAX_SEGS ||
		    (s->busy && s->queue > Q_C) || s->count > DESC_RING)
			return false;
	}
	return true;
}
