/* SPDX-License-Identifier: BSD-2-Clause */
/* net.h - frames of TCP and UDP over IPv4, and their checksums (RFC 791, 768, 9293), for the cards' offloads. */
#ifndef CONFORM_NET_H
#define CONFORM_NET_H

#include "rt.h"

#define IP  14u
#define L4  (IP + 20)
#define TCP 6u
#define UDP 17u

static inline void put16(uint8_t *p, unsigned v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static inline unsigned get16(const uint8_t *p)
{
	return (unsigned)p[0] << 8 | p[1];
}

/* Of the Internet checksum: folded, not complemented. */
static inline unsigned sum16(unsigned sum, const uint8_t *p, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		sum += i & 1 ? p[i] : (unsigned)p[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

/* Of the addresses, the protocol, and the length len of what follows the IP header. */
static inline unsigned pseudo(const uint8_t *f, unsigned len)
{
	return sum16(f[IP + 9] + len, f + IP + 12, 8);
}

static inline unsigned l4_header(unsigned proto)
{
	return proto == TCP ? 20 : 8;
}

static inline uint8_t *l4_csum(uint8_t *f)
{
	return f + L4 + (f[IP + 9] == TCP ? 16 : 6);
}

/* To everybody, with n bytes of data; checksums are right.  How long it is. */
static inline unsigned ip_frame(uint8_t *f, unsigned proto, unsigned n, uint8_t seed)
{
	unsigned len = l4_header(proto) + n;

	memset(f, 0, L4 + 20);
	memset(f, 0xff, 6);
	f[6] = 0x52;
	put16(f + 12, 0x0800);
	f[IP] = 0x45;
	put16(f + IP + 2, 20 + len);
	put16(f + IP + 4, 0x1234);
	f[IP + 8] = 64;
	f[IP + 9] = (uint8_t)proto;
	memcpy(f + IP + 12, "\x0a\x00\x00\x01\x0a\x00\x00\x02", 8);
	put16(f + L4, 1000);
	put16(f + L4 + 2, 2000);
	if (proto == TCP) {
		put16(f + L4 + 6, 0xfff0); /* the sequence number's lower half */
		f[L4 + 12] = 0x50;
		f[L4 + 13] = 0x19; /* ACK, PSH, FIN */
	} else {
		put16(f + L4 + 4, len);
	}
	for (unsigned i = 0; i < n; i++)
		f[L4 + l4_header(proto) + i] = (uint8_t)(i * 11 + seed);
	put16(f + IP + 10, ~sum16(0, f + IP, 20) & 0xffff);
	put16(l4_csum(f), ~sum16(pseudo(f, len), f + L4, len) & 0xffff);
	return L4 + len;
}

static inline bool ip_good(const uint8_t *f)
{
	return sum16(0, f + IP, 20) == 0xffff;
}

static inline bool l4_good(const uint8_t *f)
{
	unsigned len = get16(f + IP + 2) - 20;

	return sum16(pseudo(f, len), f + L4, len) == 0xffff;
}

#endif
