/* SPDX-License-Identifier: BSD-2-Clause */
/* Checksums and headers of frames: known values, and the sum over segments against the plain one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "fake_host.h"
#include "models/net_csum.h"
#include "models/post/post.h"

/* TCP over IPv4 with one option word; both checksums made by hand below. */
static size_t tcp4(uint8_t *f, unsigned tags, size_t data)
{
	size_t at = 12, l3;

	memset(f, 0, 200);
	memcpy(f, "\x52\x54\x00\x11\x22\x33\x52\x54\x00\x44\x55\x66", 12);
	for (; tags; tags--, at += 4)
		memcpy(f + at, "\x81\x00\x00\x05", 4);
	memcpy(f + at, "\x08\x00", 2);
	l3 = at + 2;
	memcpy(f + l3,
	       "\x46\x00\x00\x00\x00\x01\x40\x00\x40\x06\x00\x00\x0a\x00\x02\x0f\x0a\x00\x02\x02",
	       20);
	net_put16(f + l3 + 2, (uint32_t)(24 + 20 + data));
	memcpy(f + l3 + 24 + 12, "\x50\x10", 2);
	for (size_t i = 0; i < data; i++)
		f[l3 + 44 + i] = (uint8_t)(i * 37 + 1);
	return l3 + 44 + data;
}

static void sums(void **state)
{
	/* The example of RFC 1071, section 3. */
	static const uint8_t rfc[] = { 0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7 };
	static uint8_t ones[200000];

	assert_int_equal(net_fold(net_sum(0, rfc, 8)), 0xddf2);
	assert_int_equal(net_fold(0x2ddf0), 0xddf2);
	assert_int_equal(net_fold(net_sum(0, rfc, 5)), net_fold(0x0001 + 0xf203 + 0xf400));
	memset(ones, 0xff, sizeof(ones)); /* more carries than 32 bits have room for */
	assert_int_equal(net_fold(net_sum(0xfffffff0, ones, sizeof(ones))), 0xfff0);
	/* Zero stays zero, and nothing else becomes it. */
	assert_int_equal(net_sum(0, (uint8_t[40]){ 0 }, 40), 0);
	assert_int_equal(net_fold(net_sum(0, ones, 40)), 0xffff);
	/* Every length and place against the words one by one. */
	for (unsigned i = 0; i < 300; i++)
		ones[i] = (uint8_t)(i * 151 + i / 7);
	for (unsigned from = 0; from < 9; from++) {
		for (unsigned len = 0; len < 280; len++) {
			uint32_t sum = 0x12345, i;

			for (i = 0; i < len; i++)
				sum += (uint32_t)ones[from + i] << (i & 1 ? 0 : 8);
			assert_int_equal(net_fold(net_sum(0x12345, ones + from, len)),
					 net_fold(sum));
		}
	}
}

static void segments(void **state)
{
	struct fake f;
	struct dev_env env;
	uint8_t all[1500];
	uint32_t x = 1;

	fake_init(&f);
	env = fake_env(&f, fake_add(&f, &post_class, NULL, -1));
	for (unsigned i = 0; i < sizeof(all); i++)
		all[i] = (uint8_t)(x = x * 1103515245 + 12345);
	for (unsigned turn = 0; turn < 300; turn++) {
		struct gpa_seg seg[8];
		uint32_t at = 0, n = 0, off, len, sum = 0;

		for (; n < 8 && at < sizeof(all); n++) {
			uint32_t k = 1 + (x = x * 1103515245 + 12345) / 65536 % 400;

			k = n == 7 || k > sizeof(all) - at ? (uint32_t)sizeof(all) - at : k;
			seg[n] = (struct gpa_seg){ { 0x10000 + n * 0x1000 + turn }, k };
			memcpy(f.ram + seg[n].addr.raw, all + at, k);
			at += k;
		}
		off = (x = x * 1103515245 + 12345) / 65536 % 800;
		len = (x = x * 1103515245 + 12345) / 65536 % 700;
		assert_true(net_sum_segs(&env, seg, n, off, len, &sum));
		assert_int_equal(net_fold(sum), net_fold(net_sum(0, all + off, len)));
		assert_false(net_sum_segs(&env, seg, n, off, 1501 - off, &sum));
		seg[n - 1].addr.raw = FAKE_RAM_SIZE;
		assert_false(net_sum_segs(&env, seg, n, 0, 1500, &sum));
	}
	fake_free(&f);
}

static void headers(void **state)
{
	uint8_t f[200];
	struct net_headers h;

	for (unsigned tags = 0; tags < 3; tags++) {
		size_t len = tcp4(f, tags, 33);
		unsigned l3 = 14 + tags * 4;

		net_parse(&h, f, len);
		assert_int_equal(h.version, 4);
		assert_int_equal(h.l3, l3);
		assert_int_equal(h.l4, l3 + 24);
		assert_int_equal(h.data, l3 + 44);
		assert_int_equal(h.csum, l3 + 24 + 16);
		assert_int_equal(h.proto, NET_PROTO_TCP);
		assert_int_equal(h.l3_len, 77);
		/* Whatever is cut off, nothing outside is looked at (ASan) nor found. */
		for (size_t cut = 0; cut < l3 + 44; cut++) {
			uint8_t *p = malloc(cut ? cut : 1);

			memcpy(p, f, cut);
			net_parse(&h, p, cut);
			assert_int_equal(h.l4, 0);
			free(p);
		}
	}
	tcp4(f, 3, 0);
	net_parse(&h, f, 200);
	assert_int_equal(h.version, 0);
	tcp4(f, 0, 0);
	f[14 + 6] = 0x20; /* more fragments */
	net_parse(&h, f, 200);
	assert_true(h.fragment && h.l4 == 0 && h.version == 4);
	tcp4(f, 0, 0);
	f[14] = 0x44; /* a header of 16 bytes */
	net_parse(&h, f, 200);
	assert_int_equal(h.version, 0);
	tcp4(f, 0, 0);
	f[14 + 24 + 12] = 0x40; /* TCP's likewise */
	net_parse(&h, f, 200);
	assert_true(h.version == 4 && h.l4 == 0);
	memset(f, 0, sizeof(f));
	memcpy(f + 12, "\x86\xdd\x60\x00\x00\x00\x00\x08\x11\x40", 10);
	net_parse(&h, f, 62);
	assert_int_equal(h.version, 6);
	assert_int_equal(h.proto, NET_PROTO_UDP);
	assert_int_equal(h.csum, 14 + 40 + 6);
	assert_int_equal(h.l3_len, 48);
	net_parse(&h, f, 61);
	assert_int_equal(h.l4, 0);
}

static void checks(void **state)
{
	uint8_t f[200];
	struct net_headers h;
	size_t len = tcp4(f, 0, 33);
	struct net_offload off = { .flags = NET_CSUM_PARTIAL, .csum_start = 38, .csum_offset = 16 };

	net_parse(&h, f, len);
	assert_false(net_ip_csum_ok(f, len, &h));
	net_put16(f + 24, ~net_fold(net_sum(0, f + 14, 24)) & 0xffff);
	assert_true(net_ip_csum_ok(f, len, &h));
	assert_false(net_l4_csum_ok(f, len, &h));
	net_put16(f + h.csum, net_fold(net_sum_pseudo(f + 14, 6, 53)));
	assert_true(net_csum_finish(f, len, &off));
	assert_true(net_l4_csum_ok(f, len, &h));
	assert_true(net_l4_csum_ok(f, len + 7, &h)); /* padding does not count */
	assert_false(net_l4_csum_ok(f, len - 1, &h));
	f[60] ^= 1;
	assert_false(net_l4_csum_ok(f, len, &h));
	off.csum_start = (uint16_t)(len - 17);
	assert_false(net_csum_finish(f, len, &off));
	off.csum_start = 65535;
	assert_false(net_csum_finish(f, len, &off));
	/* A UDP datagram whose sum comes out 0 is sent with the other 0; one without a checksum is right. */
	memset(f, 0, sizeof(f));
	memcpy(f + 12, "\x08\x00\x45\x00\x00\x1c\x00\x00\x00\x00\x40\x11", 12);
	net_parse(&h, f, 60);
	assert_true(net_l4_csum_ok(f, 60, &h));
	f[38] = f[39] = 0xff;
	off = (struct net_offload){ .csum_start = 34, .csum_offset = 6 };
	assert_true(net_csum_finish(f, 42, &off));
	assert_int_equal(net_get16(f + 40), 0xffff);
}

static void crc(void **state)
{
	/* All multicast addresses' hash: 01:00:5e:00:00:01 is bit 31 of the second register on all chips. */
	static const uint8_t all_hosts[6] = { 1, 0, 0x5e, 0, 0, 1 };
	uint8_t data[300];

	for (unsigned i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 151 + i / 7);
	assert_int_equal(net_fcs(0, "123456789", 9), 0xcbf43926);
	assert_int_equal(net_fcs(net_fcs(0, "1234", 4), "56789", 5), 0xcbf43926);
	/* Every length and place against the polynomial bit by bit. */
	for (unsigned from = 0; from < 9; from++) {
		uint32_t crc = ~0u;

		for (unsigned len = 0; len < 280; len++) {
			assert_int_equal(net_fcs(0, data + from, len), ~crc);
			crc ^= data[from + len];
			for (unsigned bit = 0; bit < 8; bit++)
				crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
		}
	}
	assert_int_equal(net_crc32("123456789", 9),
			 0x9b63d02c); /* its complement, bits in reverse */
	assert_int_equal(net_crc32(all_hosts, 6) >> 26, 0x1f);
}

static size_t join(const struct net_rx *r, uint8_t *out)
{
	size_t n = 0;

	for (unsigned i = 0; i < r->n; n += r->piece[i++].len)
		memcpy(out + n, r->piece[i].p, r->piece[i].len);
	assert_int_equal(n, r->len);
	return n;
}

static void received(void **state)
{
	struct net_offload off = { 0 };
	uint8_t f[200], want[200], got[300];
	struct net_rx r;
	size_t len = tcp4(f, 1, 40), n;

	net_rx_init(&r, f, len, &off, false);
	n = join(&r, got);
	assert_int_equal(n, len + 4);
	assert_memory_equal(got, f, len);
	assert_int_equal(net_fcs(0, got, n), 0x2144df1c); /* the residue of a good frame */
	assert_false(r.tagged);

	off = (struct net_offload){ .flags = NET_CSUM_PARTIAL,
				    .csum_start = 42,
				    .csum_offset = 16 };
	memcpy(want, f, len);
	assert_true(net_csum_finish(want, len, &off));
	assert_memory_not_equal(want, f, len);
	for (unsigned strip = 0; strip < 2; strip++) {
		net_rx_init(&r, f, len, &off, strip);
		assert_int_equal(r.tagged, strip);
		assert_int_equal(r.tag, strip ? 5 : 0);
		n = join(&r, got);
		assert_int_equal(n, len + 4 - strip * 4);
		assert_memory_equal(got, want, 12);
		assert_memory_equal(got + 12, want + 12 + strip * 4, n - 16);
		assert_int_equal(net_fcs(0, got, n), 0x2144df1c);
	}
	/* Nonsense of a back end: the field in the tag, the tag cut off. */
	off.csum_start = 12;
	off.csum_offset = 1;
	net_rx_init(&r, f, len, &off, true);
	assert_int_equal(join(&r, got), len);
	net_rx_init(&r, f, 16, &off, true);
	assert_false(r.tagged);
	assert_int_equal(join(&r, got), 64);
	net_rx_init(&r, f, 18, &off, true);
	assert_true(r.tagged);
	assert_int_equal(join(&r, got), 64);
	for (unsigned i = 14; i < 60; i++)
		assert_int_equal(got[i], 0);
	assert_int_equal(net_fcs(0, got, 64), 0x2144df1c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sums),   cmocka_unit_test(segments), cmocka_unit_test(headers),
		cmocka_unit_test(checks), cmocka_unit_test(crc),      cmocka_unit_test(received),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
