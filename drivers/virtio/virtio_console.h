/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio_console.h - a byte stream behind a virtio-mmio window (virtio 1.2, section 5.3, one port).
 *
 * Guests print byte by byte.  write() collects; the host calls virtio_console_kick() from a timer of
 * about 1 ms after the first byte, or when VIRTIO_CONSOLE_EAGER bytes wait.  Received bytes that no
 * one reads stay in their buffers, so that the back end stops reading its input: nothing is lost.
 *
 * Locks: every function under the host's one lock.  No allocation after init.
 */
#ifndef DRIVERS_VIRTIO_VIRTIO_CONSOLE_H
#define DRIVERS_VIRTIO_VIRTIO_CONSOLE_H

#include "drivers/virtio/virtq.h"
#include "models/chr.h"

#define VIRTIO_CONSOLE_TX_BYTES 4096u /* a power of two */
#define VIRTIO_CONSOLE_RX_BYTES 64u   /* a buffer */
#define VIRTIO_CONSOLE_DESCS    8u
#define VIRTIO_CONSOLE_EAGER    256u

struct virtio_console {
	struct chr chr; /* what models see; must stay first; they set ready and owner */
	struct virtq rx, tx;
	uint8_t *tx_buf, *rx_buf;
	/* Bytes ever: written by the model, given to the device, taken by it (in order). */
	uint32_t tx_head, tx_sent, tx_tail;
	/* Chunks in flight, oldest first: descriptor slots are used round robin. */
	uint32_t chunk_first, chunk_next;
	uint32_t chunk_len[VIRTIO_CONSOLE_DESCS];
	bool chunk_done[VIRTIO_CONSOLE_DESCS];
	/* Filled buffers, in the order in which they came. */
	uint8_t rx_order[VIRTIO_CONSOLE_DESCS];
	uint32_t rx_len[VIRTIO_CONSOLE_DESCS];
	uint32_t rx_first, rx_next; /* into rx_order, modulo the array */
	uint32_t rx_pos;            /* read out of the first one */
	bool was_full;              /* write() took less than it was given */
	bool starved;               /* a kick ran out of descriptors */
	bool broken;                /* output is dropped, no input comes */
};

/* As virtio_blk_init(). */
int virtio_console_init(struct virtio_console *vc, const struct pv_env *env, uint64_t window);

/* Bytes written that the back end doesn't have yet. */
size_t virtio_console_pending(const struct virtio_console *vc);
/* Hands them over, and read-out buffers back. */
void virtio_console_kick(struct virtio_console *vc);
/* Takes back used buffers; calls chr.ready() if bytes came in or there is room after having been full. */
void virtio_console_poll(struct virtio_console *vc);
/* Before going to sleep: asks for events.  True: poll again. */
bool virtio_console_arm(struct virtio_console *vc);
/* Kick if something is due (eager, or flush is set), poll and arm until there is nothing to do.  Costs
 * a few loads when idle. Use flush for the timer and for the window's event. */
void virtio_console_service(struct virtio_console *vc, bool flush);

#endif
