/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rx.c - reception by an RTL8139C+: into a ring buffer (C mode) or a ring of descriptors (C+ mode).
 *
 * The chip drops frames for which there is no room.  Here they wait outside instead, as far as the receiver is
 * on and its ring merely full (RXOVW comes in C+ mode all the same), and nothing is missed.  What can never fit is
 * dropped and counted.
 */
#include "models/rtl8139/rtl8139_int.h"

/* Status in front of a frame in the ring buffer. */
#define RXS_MAR 0x8000u
#define RXS_PAM 0x4000u
#define RXS_BAR 0x2000u
#define RXS_ROK 0x0001u

/* Status in a descriptor. */
#define RXD_MAR  (1u << 26)
#define RXD_PAM  (1u << 25)
#define RXD_BAR  (1u << 24)
#define RXD_PID  16u /* 1: TCP, 2: UDP, 3: other IP */
#define RXD_IPF  (1u << 15)
#define RXD_UDPF (1u << 14)
#define RXD_TCPF (1u << 13)
#define RXD_LEN  0x1fffu
#define RXD_TAVA (1u << 16) /* second word */

enum dest { FOR_NONE, FOR_US, FOR_ALL, FOR_GROUP };

static enum dest filter(const struct rtl8139 *d, const uint8_t *frame)
{
	static const uint8_t all[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
	const uint8_t *reg = d->state.reg;
	uint32_t rcr = reg32(d, RCR), hash;

	if (memcmp(frame, all, 6) == 0)
		return rcr & RCR_AB ? FOR_ALL : FOR_NONE;
	if (frame[0] & 1) {
		hash = net_crc32(frame, 6) >> 26;
		return (rcr & RCR_AM) && (reg[MAR0 + hash / 8] >> hash % 8 & 1) ? FOR_GROUP :
										  FOR_NONE;
	}
	if (memcmp(frame, reg + IDR0, 6) == 0)
		return rcr & (RCR_APM | RCR_AAP) ? FOR_US : FOR_NONE;
	return rcr & RCR_AAP ? FOR_US : FOR_NONE;
}

static void missed(struct rtl8139 *d)
{
	set_reg(d, MPC, (reg32(d, MPC) + 1) & 0xffffff, 4);
	d->state.tally.missed++;
}

static bool too_long(struct rtl8139 *d)
{
	d->state.tally.rx_err++;
	rtl_interrupt(d, ISR_RER);
	return true;
}

static bool hold(struct rtl8139 *d, uint32_t bytes)
{
	if (loopback(d)) { /* the chip's own: there is no outside */
		missed(d);
		rtl_interrupt(d, ISR_RXOVW);
		return true;
	}
	d->held = bytes;
	/* In C mode the frames in the ring were announced, and none is lost: 8139too counts an error for each RXOVW.
	 * In C+ mode it also says that descriptors are wanted. */
	if (d->state.reg[CPCR] & CPCR_RX)
		rtl_interrupt(d, ISR_RXOVW);
	return false;
}

static void received(struct rtl8139 *d, enum dest to)
{
	d->state.tally.rx_ok++;
	d->state.tally.rx_ok_phy += to == FOR_US;
	d->state.tally.rx_ok_brd += to == FOR_ALL;
	d->state.tally.rx_ok_mul += to == FOR_GROUP;
	rtl_interrupt(d, ISR_ROK);
}

/* C mode */

static uint32_t ring_size(const struct rtl8139 *d)
{
	return 8192u << ((reg32(d, RCR) & RCR_RBLEN) >> 11);
}

/* Frames go on behind the ring's end instead of at its start.  Not with the largest. */
static bool no_wrap(const struct rtl8139 *d)
{
	return (reg32(d, RCR) & RCR_WRAP) && ring_size(d) < 65536;
}

/* CAPR is 16 behind the next byte that the driver reads. */
static uint32_t ring_used(const struct rtl8139 *d)
{
	return (reg16(d, CBR) - (reg16(d, CAPR) + 16u)) & (ring_size(d) - 1);
}

static uint32_t ring_need(uint32_t frame)
{
	return (4 + frame + 3) & ~3u;
}

static bool ring_fits(const struct rtl8139 *d, uint32_t frame)
{
	return ring_need(frame) < ring_size(d) - ring_used(d);
}

bool rtl_rx_empty(const struct rtl8139 *d)
{
	return ring_used(d) == 0;
}

static bool ring_put(struct rtl8139 *d, uint32_t *at, const uint8_t *p, uint32_t len)
{
	uint64_t base = reg32(d, RBSTART);

	while (len > 0) {
		uint32_t k = no_wrap(d) ? len : min_u32(len, ring_size(d) - *at);

		if (!dev_dma_write(&d->env, (gpa_t){ base + *at }, p, k))
			return false;
		*at += k;
		if (!no_wrap(d))
			*at &= ring_size(d) - 1;
		p += k;
		len -= k;
	}
	return true;
}

static bool store_ring(struct rtl8139 *d, const struct net_rx *r, enum dest to)
{
	uint32_t at = reg16(d, CBR) & (ring_size(d) - 1) & ~3u, start = at;
	uint8_t head[4];
	bool ok;

	if (r->len > (no_wrap(d) ? MAX_NOWRAP : MAX_RX))
		return too_long(d);
	if (!ring_fits(d, r->len))
		return hold(d, r->len);
	put_le(head,
	       r->len << 16 | RXS_ROK |
		       (to == FOR_US  ? RXS_PAM :
			to == FOR_ALL ? RXS_BAR :
					RXS_MAR),
	       4);
	ok = ring_put(d, &at, head, 4);
	for (unsigned i = 0; i < r->n && ok; i++)
		ok = ring_put(d, &at, r->piece[i].p, r->piece[i].len);
	if (!ok) {
		missed(d);
		rtl_bus_error(d);
		return true;
	}
	set_reg(d, CBR, (start + ring_need(r->len)) & (ring_size(d) - 1), 2);
	received(d, to);
	return true;
}

void rtl_rx_start(struct rtl8139 *d)
{
	/* Linux's 8139too reads from the ring's start once it has switched the receiver off and on. */
	set_reg(d, CAPR, 0xfff0, 2);
	set_reg(d, CBR, 0, 2);
	rtl_rx_room(d);
}

/* C+ mode */

static uint64_t rx_base(const struct rtl8139 *d)
{
	return bus_addr(d, reg32(d, RDSAR) & ~0xffu, reg32(d, RDSAR + 4));
}

struct rx_desc {
	uint8_t n;
	uint32_t word0, len;
	uint64_t addr;
};

enum fit { FIT, FIT_FULL, FIT_NEVER, FIT_FAULT };

/* The descriptors that a frame takes: how many, in *count. */
static enum fit find_descs(struct rtl8139 *d, uint32_t bytes, struct rx_desc *list, unsigned *count)
{
	unsigned n = d->state.rx_next;
	uint32_t desc[4], room = 0;

	for (*count = 0; *count < DESC_RING && room < bytes;) {
		struct rx_desc *x = &list[*count];

		if (*count > 0 && n == d->state.rx_next)
			return FIT_NEVER;
		if (!rtl_desc(d, rx_base(d), n, desc))
			return FIT_FAULT;
		if (!(desc[0] & DESC_OWN))
			return FIT_FULL;
		*x = (struct rx_desc){ .n = (uint8_t)n,
				       .word0 = desc[0],
				       .len = min_u32(desc[0] & RXD_LEN, bytes - room),
				       .addr = bus_addr(d, desc[2], desc[3]) };
		if (x->len > 0 && !dev_dma_ok(&d->env, (gpa_t){ x->addr }, x->len))
			return FIT_FAULT;
		room += x->len;
		n = desc[0] & DESC_EOR ? 0 : (n + 1) % DESC_RING;
		(*count)++;
	}
	return room < bytes ? FIT_NEVER : FIT;
}

/* What the chip found out about checksums. */
static uint32_t checksums(const uint8_t *frame, size_t len, const struct net_offload *off)
{
	bool made = off->flags & (NET_CSUM_VALID | NET_CSUM_PARTIAL);
	struct net_headers h;
	uint32_t v;

	net_parse(&h, frame, len);
	if (h.version != 4)
		return 0; /* the chip knows no IPv6 */
	v = net_ip_csum_ok(frame, len, &h) ? 0 : RXD_IPF;
	if (!h.l4)
		return v | 3u << RXD_PID;
	made = made || net_l4_csum_ok(frame, len, &h);
	if (h.proto == NET_PROTO_TCP)
		return v | 1u << RXD_PID | (made ? 0 : RXD_TCPF);
	return v | 2u << RXD_PID | (made ? 0 : RXD_UDPF);
}

static bool fill_descs(struct rtl8139 *d, const struct net_rx *r, const struct rx_desc *list,
		       unsigned count)
{
	unsigned x = 0;
	uint32_t at = 0;

	for (unsigned i = 0; i < r->n; i++) {
		const uint8_t *p = r->piece[i].p;
		uint32_t left = r->piece[i].len;

		while (left > 0 && x < count) {
			uint32_t k = min_u32(left, list[x].len - at);

			if (!dev_dma_write(&d->env, (gpa_t){ list[x].addr + at }, p, k))
				return false;
			p += k;
			left -= k;
			at += k;
			if (at == list[x].len) {
				x++;
				at = 0;
			}
		}
	}
	return true;
}

static bool store_descs(struct rtl8139 *d, const struct net_rx *r, enum dest to, uint32_t status)
{
	struct rx_desc list[DESC_RING];
	unsigned count;
	enum fit fit = find_descs(d, r->len, list, &count);
	uint8_t raw[8];

	if (r->len > MAX_RX || fit == FIT_NEVER)
		return too_long(d);
	if (fit == FIT_FULL)
		return hold(d, r->len);
	if (fit == FIT_FAULT || !fill_descs(d, r, list, count)) {
		missed(d);
		rtl_bus_error(d);
		return true;
	}
	status |= to == FOR_US ? RXD_PAM : to == FOR_ALL ? RXD_BAR : RXD_MAR;
	put_le(raw + 4, r->tagged ? RXD_TAVA | (r->tag >> 8 | (r->tag & 0xffu) << 8) : 0, 4);
	/* The first, which a driver looks at, last. */
	for (unsigned i = count; i-- > 0;) {
		bool last = i == count - 1;
		gpa_t at = { rx_base(d) + list[i].n * DESC_SIZE };

		put_le(raw,
		       (list[i].word0 & DESC_EOR) | (i == 0 ? DESC_FS : 0) | (last ? DESC_LS : 0) |
			       status | (last ? r->len : list[i].len),
		       4);
		dev_dma_write(&d->env, (gpa_t){ at.raw + 4 }, raw + 4, 4);
		dev_dma_write(&d->env, at, raw, 4);
	}
	d->state.rx_next = list[count - 1].word0 & DESC_EOR ?
				   0 :
				   (uint8_t)((list[count - 1].n + 1) % DESC_RING);
	received(d, to);
	return true;
}

/* Both */

bool rtl_store(struct rtl8139 *d, const uint8_t *frame, size_t len, const struct net_offload *off)
{
	bool ring = !(d->state.reg[CPCR] & CPCR_RX);
	enum dest to = filter(d, frame);
	uint32_t status = 0;
	struct net_rx r;

	if (!(d->state.reg[CR] & CR_RE) || to == FOR_NONE)
		return true;
	if (!may_master(d)) { /* all that is left is the FIFO */
		missed(d);
		rtl_interrupt(d, ISR_FOVW);
		return true;
	}
	if (len > MAX_RX)
		return too_long(d);
	net_rx_init(&r, frame, len, off, !ring && (d->state.reg[CPCR] & CPCR_RXVLAN));
	if (ring)
		return store_ring(d, &r, to);
	if (d->state.reg[CPCR] & CPCR_RXCHKSUM)
		status = checksums(frame, len, off);
	return store_descs(d, &r, to, status);
}

bool rtl_receive(void *owner, const uint8_t *frame, size_t len, const struct net_offload *off)
{
	struct rtl8139 *d = owner;
	bool held = d->held, taken;

	if (loopback(d) || !d->state.link)
		return true;
	taken = rtl_store(d, frame, len, off);
	if (!taken && !held) {
		d->poll_ns = 0;
		rtl_poll_soon(d);
	}
	rtl_settle(d);
	return taken;
}

/* Linux's 8139too acknowledges after each frame, and after 64 of them goes on only if ISR says so: that there are
 * more it learns from those that come meanwhile.  On a wire they do; here the ring may have filled up, or the
 * last of many frames may be in it.  So what is in the ring is announced again. */
bool rtl_rx_left(const struct rtl8139 *d)
{
	return !(d->state.reg[CPCR] & CPCR_RX) && (d->state.reg[CR] & CR_RE) && !rtl_rx_empty(d);
}

bool rtl_rx_remind(struct rtl8139 *d)
{
	if (!rtl_rx_left(d))
		return false;
	if (!(reg16(d, ISR) & (ISR_ROK | ISR_RXOVW)))
		rtl_interrupt(d, ISR_ROK);
	return true;
}

bool rtl_rx_room(struct rtl8139 *d)
{
	struct rx_desc list[DESC_RING];
	unsigned count;
	bool on = (d->state.reg[CR] & CR_RE) && !loopback(d) && may_master(d);

	if (!d->held)
		return true;
	if (on && (d->state.reg[CPCR] & CPCR_RX ? find_descs(d, d->held, list, &count) == FIT_FULL :
						  !ring_fits(d, d->held)))
		return false;
	d->held = 0;
	net_resume(d->net);
	return true;
}
