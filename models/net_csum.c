/* SPDX-License-Identifier: BSD-2-Clause */
#include "models/net_csum.h"

#include <string.h>

/* A sum of words with the carries added in is the same whatever the words' size, and in the other byte order it is the
 * same number with its bytes exchanged (RFC 1071, section 2): eight bytes at a time, as they lie in memory. */
uint32_t net_sum(uint32_t sum, const void *p, size_t len)
{
	const uint8_t *b = p;
	uint64_t s = 0, w;
	bool carry;

	for (; len >= sizeof(w); len -= sizeof(w), b += sizeof(w)) {
		memcpy(&w, b, sizeof(w));
		carry = __builtin_add_overflow(s, w, &s);
		s += carry;
	}
	w = 0;
	for (size_t i = 0; i < len; i++)
		w |= (uint64_t)b[i] << i * 8;
	carry = __builtin_add_overflow(s, w, &s);
	s += carry;
	s = (s & 0xffffffff) + (s >> 32);
	s = (s & 0xffffffff) + (s >> 32);
	s = (uint64_t)sum + __builtin_bswap16(net_fold((uint32_t)s));
	return (uint32_t)s + (uint32_t)(s >> 32);
}

/* Adds a range that starts at an odd place of the whole: every byte is in the other half of its word. */
static uint32_t sum_at(uint32_t sum, bool odd, const uint8_t *p, size_t len)
{
	uint32_t part;

	if (!odd)
		return net_sum(sum, p, len);
	part = net_fold(net_sum(0, p, len));
	return net_fold(sum) + ((part << 8 | part >> 8) & 0xffff);
}

bool net_sum_segs(const struct dev_env *e, const struct gpa_seg *seg, unsigned n, uint32_t off,
		  uint32_t len, uint32_t *sum)
{
	uint8_t buf[256];
	bool odd = false;

	for (unsigned i = 0; i < n && len > 0; i++) {
		uint32_t at = off < seg[i].len ? off : seg[i].len;

		off -= at;
		while (at < seg[i].len && len > 0) {
			uint32_t k = seg[i].len - at;

			k = k < len ? k : len;
			k = k < sizeof(buf) ? k : sizeof(buf);
			if (!dev_dma_read(e, (gpa_t){ seg[i].addr.raw + at }, buf, k))
				return false;
			*sum = sum_at(*sum, odd, buf, k);
			odd ^= k & 1;
			at += k;
			len -= k;
		}
	}
	return len == 0;
}

uint16_t net_fold(uint32_t sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

uint32_t net_sum_pseudo(const uint8_t *ip, uint8_t proto, uint32_t len)
{
	bool v6 = ip[0] >> 4 == 6;

	return net_sum((len >> 16) + (len & 0xffff) + proto, v6 ? ip + 8 : ip + 12, v6 ? 32 : 8);
}

bool net_csum_make(const uint8_t *frame, size_t len, const struct net_offload *off, uint8_t sum[2])
{
	uint16_t v;

	if (off->csum_start > len || (size_t)off->csum_start + off->csum_offset + 2 > len)
		return false;
	v = (uint16_t)~net_fold(net_sum(0, frame + off->csum_start, len - off->csum_start));
	/* 0 in UDP means that there is none; the other 0 is equal in this arithmetic. */
	net_put16(sum, v ? v : 0xffff);
	return true;
}

bool net_csum_finish(uint8_t *frame, size_t len, const struct net_offload *off)
{
	uint8_t sum[2];

	if (!net_csum_make(frame, len, off, sum))
		return false;
	memcpy(frame + off->csum_start + off->csum_offset, sum, 2);
	return true;
}

static void parse_l4(struct net_headers *h, const uint8_t *frame, size_t len, size_t l4,
		     uint8_t proto)
{
	size_t n = 8;

	if (proto == NET_PROTO_TCP) {
		if (l4 + 20 > len)
			return;
		n = (size_t)(frame[l4 + 12] >> 4) * 4;
		if (n < 20)
			return;
	}
	if ((proto != NET_PROTO_TCP && proto != NET_PROTO_UDP) || l4 + n > len)
		return;
	h->proto = proto;
	h->l4 = (uint16_t)l4;
	h->data = (uint16_t)(l4 + n);
	h->csum = (uint16_t)(l4 + (proto == NET_PROTO_TCP ? 16 : 6));
}

void net_parse(struct net_headers *h, const uint8_t *frame, size_t len)
{
	size_t at = 12, n;

	memset(h, 0, sizeof(*h));
	for (unsigned tags = 0; tags < 2 && at + 2 <= len && net_get16(frame + at) == NET_TPID;
	     tags++)
		at += NET_VLAN_HDR;
	if (at + 2 > len)
		return;
	n = at + 2;
	if (net_get16(frame + at) == 0x0800 && n + 20 <= len && frame[n] >> 4 == 4) {
		size_t ihl = (size_t)(frame[n] & 15) * 4;

		if (ihl < 20 || n + ihl > len)
			return;
		h->version = 4;
		h->l3 = (uint16_t)n;
		h->l3_len = net_get16(frame + n + 2);
		h->fragment = net_get16(frame + n + 6) & 0x3fff;
		if (!h->fragment && h->l3_len >= ihl)
			parse_l4(h, frame, len, n + ihl, frame[n + 9]);
	} else if (net_get16(frame + at) == 0x86dd && n + 40 <= len && frame[n] >> 4 == 6) {
		h->version = 6;
		h->l3 = (uint16_t)n;
		h->l3_len = 40u + net_get16(frame + n + 4);
		parse_l4(h, frame, len, n + 40, frame[n + 6]);
	}
}

bool net_ip_csum_ok(const uint8_t *frame, size_t len, const struct net_headers *h)
{
	return h->version == 4 &&
	       net_fold(net_sum(0, frame + h->l3, (size_t)(frame[h->l3] & 15) * 4)) == 0xffff;
}

bool net_l4_csum_ok(const uint8_t *frame, size_t len, const struct net_headers *h)
{
	uint32_t end = h->l3 + h->l3_len, n;

	if (!h->l4 || end > len || end < h->data)
		return false;
	if (h->proto == NET_PROTO_UDP && h->version == 4 && net_get16(frame + h->csum) == 0)
		return true;
	n = end - h->l4;
	return net_fold(net_sum(net_sum_pseudo(frame + h->l3, h->proto, n), frame + h->l4, n)) ==
	       0xffff;
}

uint32_t net_crc32(const void *p, size_t len)
{
	const uint8_t *b = p;
	uint32_t crc = ~0u;

	for (size_t i = 0; i < len; i++) {
		for (unsigned bit = 0; bit < 8; bit++) {
			uint32_t x = crc >> 31 ^ (b[i] >> bit & 1);

			crc = crc << 1 ^ (x ? 0x04c11db7 : 0);
		}
	}
	return crc;
}

/* Of row n: what byte value i, n bytes before the end of the eight that are looked at together, does to the CRC.  That
 * is linear: each value's entry is the sum of those of its bits. */
#define BIT(i, b, v) ((i) >> (b)&1 ? (v) : 0)
#define FCS(i, a, b, c, d, e, f, g, h)                                                             \
	(BIT(i, 0, a) ^ BIT(i, 1, b) ^ BIT(i, 2, c) ^ BIT(i, 3, d) ^ BIT(i, 4, e) ^ BIT(i, 5, f) ^ \
	 BIT(i, 6, g) ^ BIT(i, 7, h))
#define FCS4(i, ...)                                                               \
	FCS(i, __VA_ARGS__), FCS((i) + 1, __VA_ARGS__), FCS((i) + 2, __VA_ARGS__), \
		FCS((i) + 3, __VA_ARGS__)
#define FCS16(i, ...)                                                                 \
	FCS4(i, __VA_ARGS__), FCS4((i) + 4, __VA_ARGS__), FCS4((i) + 8, __VA_ARGS__), \
		FCS4((i) + 12, __VA_ARGS__)
#define FCS64(i, ...)                                                                      \
	FCS16(i, __VA_ARGS__), FCS16((i) + 16, __VA_ARGS__), FCS16((i) + 32, __VA_ARGS__), \
		FCS16((i) + 48, __VA_ARGS__)
#define ROW(...)                                                                        \
	{                                                                               \
		FCS64(0, __VA_ARGS__), FCS64(64, __VA_ARGS__), FCS64(128, __VA_ARGS__), \
			FCS64(192, __VA_ARGS__)                                         \
	}

static const uint32_t fcs_table[8][256] = {
	ROW(0x77073096, 0xee0e612c, 0x076dc419, 0x0edb8832, 0x1db71064, 0x3b6e20c8, 0x76dc4190,
	    0xedb88320),
	ROW(0x191b3141, 0x32366282, 0x646cc504, 0xc8d98a08, 0x4ac21251, 0x958424a2, 0xf0794f05,
	    0x3b83984b),
	ROW(0x01c26a37, 0x0384d46e, 0x0709a8dc, 0x0e1351b8, 0x1c26a370, 0x384d46e0, 0x709a8dc0,
	    0xe1351b80),
	ROW(0xb8bc6765, 0xaa09c88b, 0x8f629757, 0xc5b428ef, 0x5019579f, 0xa032af3e, 0x9b14583d,
	    0xed59b63b),
	ROW(0x3d6029b0, 0x7ac05360, 0xf580a6c0, 0x30704bc1, 0x60e09782, 0xc1c12f04, 0x58f35849,
	    0xb1e6b092),
	ROW(0xcb5cd3a5, 0x4dc8a10b, 0x9b914216, 0xec53826d, 0x03d6029b, 0x07ac0536, 0x0f580a6c,
	    0x1eb014d8),
	ROW(0xa6770bb4, 0x979f1129, 0xf44f2413, 0x33ef4e67, 0x67de9cce, 0xcfbd399c, 0x440b7579,
	    0x8816eaf2),
	ROW(0xccaa009e, 0x4225077d, 0x844a0efa, 0xd3e51bb5, 0x7cbb312b, 0xf9766256, 0x299dc2ed,
	    0x533b85da),
};

uint32_t net_fcs(uint32_t fcs, const void *p, size_t len)
{
	const uint8_t *b = p;
	uint32_t crc = ~fcs;
	uint64_t w;

	for (; len >= sizeof(w); len -= sizeof(w), b += sizeof(w)) {
		memcpy(&w, b, sizeof(w));
		w ^= crc;
		crc = 0;
		for (unsigned i = 0; i < sizeof(w); i++)
			crc ^= fcs_table[7 - i][w >> i * 8 & 0xff];
	}
	for (; len > 0; len--)
		crc = crc >> 8 ^ fcs_table[0][(crc ^ *b++) & 0xff];
	return ~crc;
}

static void piece(struct net_rx *r, const uint8_t *p, size_t len)
{
	r->piece[r->n++] = (struct net_piece){ p, (uint32_t)len };
	r->len += (uint32_t)len;
}

void net_rx_init(struct net_rx *r, const uint8_t *frame, size_t len, const struct net_offload *off,
		 bool strip)
{
	size_t at = 0, pad;
	uint32_t fcs = 0;

	r->len = 0;
	r->n = 0;
	r->tagged = strip && len >= NET_ETH_HDR + NET_VLAN_HDR && net_get16(frame + 12) == NET_TPID;
	r->tag = r->tagged ? net_get16(frame + 14) : 0;
	if (r->tagged) {
		piece(r, frame, 12);
		at = 12 + NET_VLAN_HDR;
	}
	if ((off->flags & NET_CSUM_PARTIAL) && net_csum_make(frame, len, off, r->csum)) {
		size_t field = (size_t)off->csum_start + off->csum_offset;

		if (field >= at) { /* nobody has a checksum in the tag */
			piece(r, frame + at, field - at);
			piece(r, r->csum, 2);
			at = field + 2;
		}
	}
	piece(r, frame + at, len - at);
	pad = r->len < NET_ETH_MIN ? NET_ETH_MIN - r->len : 0;
	memset(r->tail, 0, pad);
	piece(r, r->tail, pad);
	for (unsigned i = 0; i < r->n; i++)
		fcs = net_fcs(fcs, r->piece[i].p, r->piece[i].len);
	for (unsigned i = 0; i < NET_ETH_FCS; i++)
		r->tail[pad + i] = (uint8_t)(fcs >> i * 8);
	r->piece[r->n - 1].len += NET_ETH_FCS;
	r->len += NET_ETH_FCS;
}
