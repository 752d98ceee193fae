/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio_console.c - a byte stream behind a virtio-mmio window (virtio 1.2, section 5.3, one port).
 *
 * Output is a ring of bytes; a descriptor covers what was written since the last kick, two where the
 * ring wraps.  Input is a few small buffers, given back when they are read out.
 */
#include <string.h>

#include "drivers/virtio/virtio_console.h"

#define DESCS VIRTIO_CONSOLE_DESCS

static void give_up(struct virtio_console *vc)
{
	if (!vc->broken)
		virtio_fail(vc->tx.env, vc->tx.window,
			    "virtio-console: nonsense in a used ring; the console is gone");
	vc->broken = true;
}

/* Takes back what was sent. */
static void reclaim(struct virtio_console *vc)
{
	unsigned n;
	uint32_t len;
	int rc = 0;

	while (!vc->broken && (rc = virtq_next(&vc->tx, &n, &len)) > 0)
		vc->chunk_done[n] = true;
	if (rc < 0)
		give_up(vc);
	/* The bytes are free in the order in which they were written. */
	while (vc->chunk_first != vc->chunk_next && vc->chunk_done[vc->chunk_first % DESCS])
		vc->tx_tail += vc->chunk_len[vc->chunk_first++ % DESCS];
}

static size_t chr_out(struct chr *chr, const uint8_t *buf, size_t n)
{
	struct virtio_console *vc = (struct virtio_console *)chr;
	uint32_t room, i;

	if (vc->tx_head - vc->tx_tail + n > VIRTIO_CONSOLE_TX_BYTES)
		reclaim(vc);
	if (vc->broken)
		return n;
	room = VIRTIO_CONSOLE_TX_BYTES - (vc->tx_head - vc->tx_tail);
	if (n > room) {
		n = room;
		vc->was_full = true;
	}
	for (i = 0; i < n; i++)
		vc->tx_buf[vc->tx_head++ % VIRTIO_CONSOLE_TX_BYTES] = buf[i];
	return n;
}

static size_t chr_room(struct chr *chr)
{
	struct virtio_console *vc = (struct virtio_console *)chr;

	if (vc->tx_head - vc->tx_tail > VIRTIO_CONSOLE_TX_BYTES / 2)
		reclaim(vc);
	return vc->broken ? VIRTIO_CONSOLE_TX_BYTES :
			    VIRTIO_CONSOLE_TX_BYTES - (vc->tx_head - vc->tx_tail);
}

static void post_rx(struct virtio_console *vc, unsigned n)
{
	vc->rx.desc[n] = (struct virtq_desc_shared){
		.addr = vc->rx.env->gpa(vc->rx.env->ctx, vc->rx_buf + n * VIRTIO_CONSOLE_RX_BYTES),
		.len = VIRTIO_CONSOLE_RX_BYTES,
		.flags = VIRTQ_DESC_F_WRITE,
	};
	virtq_add(&vc->rx, n);
}

static size_t chr_in(struct chr *chr, uint8_t *buf, size_t n)
{
	struct virtio_console *vc = (struct virtio_console *)chr;
	size_t got = 0;

	while (got < n && vc->rx_first != vc->rx_next) {
		unsigned b = vc->rx_order[vc->rx_first % DESCS];
		size_t part = vc->rx_len[b] - vc->rx_pos;

		if (part > n - got)
			part = n - got;
		memcpy(buf + got, vc->rx_buf + b * VIRTIO_CONSOLE_RX_BYTES + vc->rx_pos, part);
		got += part;
		vc->rx_pos += part;
		if (vc->rx_pos == vc->rx_len[b]) {
			vc->rx_pos = 0;
			vc->rx_first++;
			post_rx(vc, b); /* the next kick tells the device, if it waits for it */
		}
	}
	return got;
}

int virtio_console_init(struct virtio_console *vc, const struct pv_env *env, uint64_t window)
{
	uint64_t got;
	unsigned i;

	if (virtio_begin(env, window, VIRTIO_ID_CONSOLE, VIRTIO_F_EVENT_IDX, 0, &got))
		return -1;
	vc->tx_buf = env->alloc(env->ctx, VIRTIO_CONSOLE_TX_BYTES, 16);
	vc->rx_buf = env->alloc(env->ctx, DESCS * VIRTIO_CONSOLE_RX_BYTES, 16);
	if (!vc->tx_buf || !vc->rx_buf) {
		virtio_fail(env, window, "virtio-console: no memory for the buffers");
		return -1;
	}
	if (virtq_init(&vc->rx, env, window, VIRTIO_CONSOLE_RX, DESCS) ||
	    virtq_init(&vc->tx, env, window, VIRTIO_CONSOLE_TX, DESCS))
		return -1;
	virtio_ready(env, window);
	for (i = 0; i < DESCS; i++)
		post_rx(vc, i);
	virtq_kick(&vc->rx);
	virtq_arm(&vc->rx);
	vc->chr.write = chr_out;
	vc->chr.read = chr_in;
	vc->chr.room = chr_room;
	return 0;
}

size_t virtio_console_pending(const struct virtio_console *vc)
{
	return vc->tx_head - vc->tx_sent;
}

void virtio_console_kick(struct virtio_console *vc)
{
	if (vc->broken)
		return;
	virtq_kick(&vc->rx);
	while (vc->tx_sent != vc->tx_head && vc->chunk_next - vc->chunk_first < DESCS) {
		unsigned n = vc->chunk_next % DESCS;
		uint32_t off = vc->tx_sent % VIRTIO_CONSOLE_TX_BYTES;
		uint32_t len = vc->tx_head - vc->tx_sent;

		if (len > VIRTIO_CONSOLE_TX_BYTES - off)
			len = VIRTIO_CONSOLE_TX_BYTES - off;
		vc->tx.desc[n] = (struct virtq_desc_shared){
			.addr = vc->tx.env->gpa(vc->tx.env->ctx, vc->tx_buf + off),
			.len = len,
		};
		vc->chunk_len[n] = len;
		vc->chunk_done[n] = false;
		vc->chunk_next++;
		vc->tx_sent += len;
		virtq_add(&vc->tx, n);
	}
	vc->starved = vc->tx_sent != vc->tx_head;
	/* Sent bytes are looked for when room is needed: an event is of use only to who waits. */
	if (vc->tx.kicked_idx != vc->tx.avail_idx) {
		virtq_suppress(&vc->tx);
		virtq_kick(&vc->tx);
	}
}

void virtio_console_poll(struct virtio_console *vc)
{
	bool ready = false;
	unsigned n;
	uint32_t len;
	int rc = 0;

	while (!vc->broken && (rc = virtq_next(&vc->rx, &n, &len)) > 0) {
		if (len > VIRTIO_CONSOLE_RX_BYTES) {
			rc = -1;
			break;
		}
		if (!len) {
			post_rx(vc, n);
			continue;
		}
		vc->rx_len[n] = len;
		vc->rx_order[vc->rx_next++ % DESCS] = (uint8_t)n;
		ready = true;
	}
	if (rc < 0)
		give_up(vc);
	reclaim(vc);
	if (vc->was_full && (vc->broken || vc->tx_head - vc->tx_tail < VIRTIO_CONSOLE_TX_BYTES)) {
		vc->was_full = false;
		ready = true;
	}
	if (ready && vc->chr.ready)
		vc->chr.ready(vc->chr.owner);
}

/* Does someone wait for the device to take output? */
static bool tx_wanted(const struct virtio_console *vc)
{
	return vc->was_full || vc->starved;
}

bool virtio_console_arm(struct virtio_console *vc)
{
	bool more;

	if (vc->broken)
		return false;
	more = vc->rx.in_flight && virtq_arm(&vc->rx);
	if (vc->tx.in_flight && tx_wanted(vc))
		more |= virtq_arm(&vc->tx);
	return more;
}

void virtio_console_service(struct virtio_console *vc, bool flush)
{
	do {
		if (flush || vc->starved || virtio_console_pending(vc) >= VIRTIO_CONSOLE_EAGER)
			virtio_console_kick(vc);
		else
			virtq_kick(&vc->rx);
		virtio_console_poll(vc);
	} while (virtio_console_arm(vc));
}
