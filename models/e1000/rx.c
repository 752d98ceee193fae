/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rx.c - receive: packet address filtering (3.2.1, 13.5), the descriptor ring (3.2.3 to 3.2.6), receive
 * interrupts (3.2.7), checksum offload (3.2.9).
 *
 * The chip has a FIFO before the ring; here the front end keeps frames for as long as descriptors lack.
 * There are no frames with errors, and none shorter than 64 bytes: what a virtual network sends unpadded is
 * padded.
 */
#include "models/e1000/e1000_int.h"

#define RXD_STAT_DD    0x01u
#define RXD_STAT_EOP   0x02u
#define RXD_STAT_IXSM  0x04u
#define RXD_STAT_VP    0x08u
#define RXD_STAT_TCPCS 0x20u
#define RXD_STAT_IPCS  0x40u
#define RXD_STAT_PIF   0x80u

#define RXD_ERR_TCPE 0x20u
#define RXD_ERR_IPE  0x40u

#define RXCSUM_PCSS  0xffu
#define RXCSUM_IPOFL 0x100u
#define RXCSUM_TUOFL 0x200u

#define RAH_AV    0x80000000u
#define RAH_AS(v) ((v) >> 16 & 3) /* 0: destination, 1: source address */

/* Descriptors that one frame may take: 64 of the smallest buffers, and some without a buffer. */
#define RX_MAX_DESC 128u
#define RX_MAX      16384u /* with FCS, RCTL.LPE */
#define RX_NO_LPE   1522u

static uint32_t ring_size(const struct e1000 *d)
{
	return get(d, RDLEN) / DESC_SIZE;
}

static bool receiver_on(const struct e1000 *d)
{
	return (get(d, RCTL) & RCTL_EN) && bus_master(d);
}

/* Descriptors that the guest has made ready. */
static uint32_t ready(const struct e1000 *d)
{
	uint32_t n = ring_size(d), h = get(d, RDH), t = get(d, RDT);

	if (h >= n || t >= n)
		return 0;
	return t >= h ? t - h : n - h + t;
}

static uint32_t buffer_size(uint32_t rctl)
{
	uint32_t i = RCTL_BSIZE(rctl);

	if ((rctl & RCTL_BSEX) && i)
		return 32768u >> i;
	return 2048u >> i;
}

static gpa_t desc_at(const struct e1000 *d, uint32_t i)
{
	return (gpa_t){ get64(d, RDBAL) + (uint64_t)i * DESC_SIZE };
}

void rx_resume(struct e1000 *d)
{
	if (d->state.starved && (!receiver_on(d) || ready(d))) {
		d->state.starved = 0;
		net_resume(d->net);
	}
}

static bool same(const uint8_t *a, const uint8_t *b)
{
	return memcmp(a, b, NET_ETH_ALEN) == 0;
}

static bool exact_match(const struct e1000 *d, const uint8_t *frame)
{
	for (unsigned i = 0; i < 16; i++) {
		uint32_t low = d->state.reg[RA / 4 + i * 2],
			 high = d->state.reg[RA / 4 + i * 2 + 1];
		uint8_t addr[6] = {
			(uint8_t)low,         (uint8_t)(low >> 8), (uint8_t)(low >> 16),
			(uint8_t)(low >> 24), (uint8_t)high,       (uint8_t)(high >> 8)
		};

		if ((high & RAH_AV) && RAH_AS(high) <= 1 &&
		    same(addr, frame + (RAH_AS(high) ? NET_ETH_ALEN : 0)))
			return true;
	}
	return false;
}

/* 12 bits of the last two bytes of the address, from where MO says (table 13-72). */
static bool hash_match(const struct e1000 *d, const uint8_t *frame)
{
	static const uint8_t shift[4] = { 4, 3, 2, 0 };
	uint32_t h = (frame[4] | (uint32_t)frame[5] << 8) >> shift[RCTL_MO(get(d, RCTL))] & 0xfff;

	return d->state.reg[MTA / 4 + (h >> 5)] >> (h & 31) & 1;
}

static bool broadcast(const uint8_t *frame)
{
	static const uint8_t all[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };

	return same(frame, all);
}

/* Is the frame for this card?  *inexact: perhaps, software has to look. */
static bool address_filter(const struct e1000 *d, const uint8_t *frame, bool *inexact)
{
	uint32_t rctl = get(d, RCTL);

	*inexact = false;
	if (exact_match(d, frame) || (broadcast(frame) && (rctl & RCTL_BAM)))
		return true;
	*inexact = true;
	if (!(frame[0] & 1))
		return rctl & RCTL_UPE;
	return (rctl & RCTL_MPE) || hash_match(d, frame);
}

static bool is_tagged(const struct e1000 *d, const uint8_t *frame, uint32_t len)
{
	return get(d, VET) && len >= NET_ETH_HDR + NET_VLAN_HDR &&
	       net_get16(frame + 12) == get(d, VET);
}

static bool vlan_filter(const struct e1000 *d, uint16_t tci)
{
	uint32_t rctl = get(d, RCTL);

	if (!(rctl & RCTL_VFE))
		return true;
	if ((rctl & RCTL_CFIEN) && !(tci & 0x1000) != !(rctl & RCTL_CFI))
		return false;
	return d->state.reg[VFTA / 4 + (tci >> 5 & 127)] >> (tci & 31) & 1;
}

/* Status and errors for the last descriptor. */
static uint16_t checksums(const struct e1000 *d, const uint8_t *frame, uint32_t len,
			  const struct net_offload *off)
{
	uint32_t rxcsum = get(d, RXCSUM);
	uint8_t status = 0, errors = 0;
	struct net_headers h;

	if (rxcsum & (RXCSUM_IPOFL | RXCSUM_TUOFL))
		net_parse(&h, frame, len);
	if ((rxcsum & RXCSUM_IPOFL) && h.version == 4) {
		status |= RXD_STAT_IPCS;
		if (!net_ip_csum_ok(frame, len, &h))
			errors |= RXD_ERR_IPE;
	}
	if ((rxcsum & RXCSUM_TUOFL) && h.l4 &&
	    (h.proto == NET_PROTO_TCP || net_get16(frame + h.csum))) {
		status |= RXD_STAT_TCPCS;
		/* A checksum that was never made is made below. */
		if (!(off->flags & (NET_CSUM_VALID | NET_CSUM_PARTIAL)) &&
		    !net_l4_csum_ok(frame, len, &h))
			errors |= RXD_ERR_TCPE;
	}
	return (uint16_t)(errors << 8 | (status ? status : RXD_STAT_IXSM));
}

/* The sum from RXCSUM.PCSS to the end, complemented. */
static uint16_t packet_checksum(const struct e1000 *d, const struct net_rx *r)
{
	uint32_t skip = get(d, RXCSUM) & RXCSUM_PCSS, sum = 0;
	bool odd = false;

	for (unsigned i = 0; i < r->n; i++) {
		uint32_t at = min_u32(skip, r->piece[i].len), n = r->piece[i].len - at;
		uint32_t part = net_fold(net_sum(0, r->piece[i].p + at, n));

		skip -= at;
		sum += odd ? (part << 8 | part >> 8) & 0xffff : part;
		odd ^= n & 1;
	}
	return (uint16_t)~net_fold(sum);
}

/* Addresses of the buffers that the next len bytes go to.  How many descriptors (some have no buffer), 0
 * if the guest has too few ready, UINT32_MAX if it can never be. */
static uint32_t gather(struct e1000 *d, uint32_t len, uint64_t addr[RX_MAX_DESC])
{
	uint32_t size = buffer_size(get(d, RCTL)), n = ready(d), i = get(d, RDH), k = 0;

	if (ring_size(d) && len > (uint64_t)(ring_size(d) - 1) * size)
		return UINT32_MAX;
	for (uint32_t room = 0; room < len; k++) {
		if (k == n)
			return 0;
		if (k == RX_MAX_DESC)
			return UINT32_MAX;
		if (!dev_dma_read(&d->env, desc_at(d, i), &addr[k], sizeof(addr[k]))) {
			e1000_bus_error(d);
			return UINT32_MAX;
		}
		room += addr[k] ? size : 0;
		i = i + 1 == ring_size(d) ? 0 : i + 1;
	}
	return k;
}

struct rx_cursor { /* into the pieces of a frame */
	const struct net_rx *r;
	unsigned i;
	uint32_t at;
};

static void store(struct e1000 *d, struct rx_cursor *c, uint64_t to, uint32_t len)
{
	while (len > 0) {
		const struct net_piece *p = &c->r->piece[c->i];
		uint32_t n = min_u32(len, p->len - c->at);

		if (n && !dev_dma_write(&d->env, (gpa_t){ to }, p->p + c->at, n))
			e1000_bus_error(d);
		to += n;
		len -= n;
		c->at += n;
		if (c->at == p->len) {
			c->i++;
			c->at = 0;
		}
	}
}

/* The status comes last: another processor may be looking. */
static void write_back(struct e1000 *d, uint32_t i, const uint8_t fields[8], uint8_t status)
{
	gpa_t at = desc_at(d, i);
	uint8_t body[8];

	if (fields) {
		memcpy(body, fields, sizeof(body));
		body[4] = 0;
		if (!dev_dma_write(&d->env, (gpa_t){ at.raw + 8 }, body, sizeof(body)))
			e1000_bus_error(d);
	}
	if (!dev_dma_write(&d->env, (gpa_t){ at.raw + 12 }, &status, 1))
		e1000_bus_error(d);
}

static void interrupts(struct e1000 *d, uint32_t len, uint32_t before)
{
	uint32_t low = ring_size(d) >> (RCTL_RDMTS(get(d, RCTL)) + 1);
	uint64_t now = dev_now_ns(&d->env);

	if (before > low && ready(d) <= low)
		cause(d, ICR_RXDMT0);
	if (len <= get(d, RSRPD))
		cause(d, ICR_SRPD);
	if (!get(d, RDTR)) {
		cause(d, ICR_RXT0);
		return;
	}
	d->state.rx_packet_ns = now + get(d, RDTR) * 1024ull;
	if (get(d, RADV) && d->state.rx_absolute_ns == E1000_NEVER)
		d->state.rx_absolute_ns = now + get(d, RADV) * 1024ull;
}

static void deliver(struct e1000 *d, const struct net_rx *r, uint32_t len, const uint64_t *addr,
		    uint32_t k, uint16_t status, uint16_t special)
{
	uint32_t size = buffer_size(get(d, RCTL)), n = ring_size(d), before = ready(d);
	struct rx_cursor c = { .r = r };
	uint32_t i = get(d, RDH), left = len;
	uint16_t sum = packet_checksum(d, r); /* valid from the first descriptor on (3.2.3) */

	for (; k > 0; k--) {
		uint32_t now = min_u32(left, size);
		uint8_t f[8] = { (uint8_t)now, (uint8_t)(now >> 8), (uint8_t)sum,
				 (uint8_t)(sum >> 8) };
		bool last = k == 1;

		if (!*addr) { /* no buffer: no data, "all other bits unchanged" (3.2.4) */
			write_back(d, i, NULL, RXD_STAT_DD);
		} else {
			store(d, &c, *addr, now);
			left -= now;
			if (last) {
				f[5] = (uint8_t)(status >> 8);
				f[6] = (uint8_t)special;
				f[7] = (uint8_t)(special >> 8);
			}
			write_back(d, i, f,
				   (uint8_t)(RXD_STAT_DD | (last ? RXD_STAT_EOP | status : 0)));
		}
		addr++;
		i = i + 1 == n ? 0 : i + 1;
	}
	set(d, RDH, i);
	interrupts(d, len, before);
}

static void count(struct e1000 *d, const uint8_t *frame, uint32_t wire, bool good)
{
	e1000_count(d, TPR, 1);
	e1000_octets(d, TORL, wire);
	if (!good)
		return;
	e1000_count(d, GPRC, 1);
	e1000_octets(d, GORCL, wire);
	e1000_count_size(d, PRC64, wire, 1);
	if (broadcast(frame))
		e1000_count(d, BPRC, 1);
	else if (frame[0] & 1)
		e1000_count(d, MPRC, 1);
}

/* The ring lacks descriptors: the frame has to wait. */
static void starve(struct e1000 *d)
{
	if (d->state.starved)
		return; /* the same frame, offered again */
	d->state.starved = 1;
	e1000_count(d, RNBC, 1);
	cause(d, ICR_RXO);
}

bool rx_frame(struct e1000 *d, const uint8_t *frame, uint32_t len, const struct net_offload *off)
{
	uint32_t rctl = get(d, RCTL), wire = (len < NET_ETH_MIN ? NET_ETH_MIN : len) + NET_ETH_FCS;
	bool tagged = is_tagged(d, frame, len), inexact;
	uint16_t tci = tagged ? net_get16(frame + 14) : 0, status, special = 0;
	uint64_t addr[RX_MAX_DESC];
	struct net_rx r;
	uint32_t stored, k;

	if (wire > (rctl & RCTL_LPE ? RX_MAX : RX_NO_LPE)) {
		e1000_count(d, ROC, 1);
		count(d, frame, wire, false);
		return true;
	}
	if (!address_filter(d, frame, &inexact) || (tagged && !vlan_filter(d, tci))) {
		count(d, frame, wire, false);
		return true;
	}
	if (!ready(d)) {
		starve(d);
		return false;
	}
	net_rx_init(&r, frame, len, off, tagged && (get(d, CTRL) & CTRL_VME));
	stored = r.len - (rctl & RCTL_SECRC ? NET_ETH_FCS : 0);
	k = gather(d, stored, addr);
	if (!k) {
		starve(d);
		return false;
	}
	d->state.starved = 0;
	if (k == UINT32_MAX) {
		e1000_count(d, MPC, 1);
		count(d, frame, wire, false);
		return true;
	}
	status = checksums(d, frame, len, off);
	if (inexact)
		status |= RXD_STAT_PIF;
	if (r.tagged) {
		status |= RXD_STAT_VP;
		special = r.tag;
	}
	deliver(d, &r, stored, addr, k, status, special);
	count(d, frame, wire, true);
	return true;
}

bool rx_receive(void *owner, const uint8_t *frame, size_t len, const struct net_offload *off)
{
	struct e1000 *d = owner;
	bool taken;

	if (!receiver_on(d) || !(get(d, STATUS) & STATUS_LU) || loopback(d))
		return true;
	taken = rx_frame(d, frame, (uint32_t)len, off);
	e1000_settle(d);
	return taken;
}
