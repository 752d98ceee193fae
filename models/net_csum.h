/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * net_csum.h - the arithmetic of frames: Internet checksum (RFC 1071), Ethernet's CRC-32, and where the
 * headers of a frame lie.
 */
#ifndef MODELS_NET_CSUM_H
#define MODELS_NET_CSUM_H

#include "models/net.h"

#define NET_ETH_ALEN 6u
#define NET_ETH_HDR  14u
#define NET_ETH_MIN  60u /* without the FCS: what a sender pads to */
#define NET_ETH_FCS  4u
#define NET_VLAN_HDR 4u
#define NET_TPID     0x8100u

static inline uint16_t net_get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}
static inline void net_put16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

/*
 * A sum of 16-bit big-endian words, not folded: start with 0, or with what another range gave, whose
 * length was even.  An odd last byte counts as the high half of a word.
 */
uint32_t net_sum(uint32_t sum, const void *p, size_t len);
/* The same over guest RAM: bytes [off, off + len) of the segments together.  False if they end before, or one
 * that is read is not RAM. */
bool net_sum_segs(const struct dev_env *e, const struct gpa_seg *seg, unsigned n, uint32_t off,
		  uint32_t len, uint32_t *sum);
/* Folded, not complemented: what a field of a NET_CSUM_PARTIAL frame holds. */
uint16_t net_fold(uint32_t sum);

/* The pseudo header of TCP or UDP over IP, whose header of version 4 or 6 is at ip: addresses, protocol
 * and len (header and data of TCP or UDP). */
uint32_t net_sum_pseudo(const uint8_t *ip, uint8_t proto, uint32_t len);

/* A received NET_CSUM_PARTIAL: puts the checksum where it belongs.  False, and nothing is written, if
 * off's fields point outside the frame. */
bool net_csum_finish(uint8_t *frame, size_t len, const struct net_offload *off);
/* The same for a frame that may not be written: sum gets the two bytes as they go on the wire. */
bool net_csum_make(const uint8_t *frame, size_t len, const struct net_offload *off, uint8_t sum[2]);

/* What lies where in the first len bytes of a frame; offsets from its start, 0: not there. */
struct net_headers {
	uint16_t l3, l4; /* IP; TCP or UDP */
	uint16_t data;   /* behind TCP's or UDP's header */
	uint8_t version; /* 4 or 6, 0: not IP */
	uint8_t proto;   /* 6 TCP, 17 UDP, as far as l4 != 0 */
	bool fragment;   /* of a larger datagram: no checksum of l4 can be made */
	uint32_t l3_len; /* bytes from l3 on, as IP says */
	uint16_t csum;   /* where l4's checksum stands */
};

#define NET_PROTO_TCP 6u
#define NET_PROTO_UDP 17u

/* Walks over Ethernet, up to two VLAN tags, IPv4 with options or IPv6 without extension headers.  What does
 * not fit into len bytes is as if it were not there. */
void net_parse(struct net_headers *h, const uint8_t *frame, size_t len);

/* Is the checksum of the IPv4 header, or of TCP or UDP (0 in UDP: none, right), as it should be?  False
 * too if the frame is shorter than its headers say. */
bool net_ip_csum_ok(const uint8_t *frame, size_t len, const struct net_headers *h);
bool net_l4_csum_ok(const uint8_t *frame, size_t len, const struct net_headers *h);

/* CRC-32 of IEEE 802.3, least significant bit of each byte first, as shifted in from the left: bits 31:26 are
 * the index into the multicast hash table of the DP8390, the RTL8139 and many more. */
uint32_t net_crc32(const void *p, size_t len);
/* The same polynomial as it goes over the wire: the FCS, sent least significant byte first.  fcs is 0, or what
 * the bytes before gave. */
uint32_t net_fcs(uint32_t fcs, const void *p, size_t len);

/*
 * A received frame as a card stores it, in pieces that need no copy: without its VLAN tag if the card strips
 * it, the checksum made, padded to NET_ETH_MIN, with an FCS.  Pieces point into the frame and into this struct.
 */
struct net_rx {
	uint32_t len; /* with the FCS */
	unsigned n;
	bool tagged;  /* a VLAN tag was stripped */
	uint16_t tag; /* its TCI */
	struct net_piece {
		const uint8_t *p;
		uint32_t len; /* may be 0 */
	} piece[5];
	uint8_t csum[2], tail[NET_ETH_MIN + NET_ETH_FCS];
};

/* len: 14 to NET_MAX_FRAME. */
void net_rx_init(struct net_rx *r, const uint8_t *frame, size_t len, const struct net_offload *off,
		 bool strip);

#endif
