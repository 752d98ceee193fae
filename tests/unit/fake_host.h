/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fake_host.h - a host for models under test: guest RAM, a virtual clock, recorded lines, ports.
 *
 * One fake host may carry several devices (a bridge and its functions); ports and addresses are
 * shared, timers and lines are each device's own.
 *
 * No fast path is taken but FIFOs, and the guest must not be able to tell: after every entry into a model,
 * shadows that are valid are compared with what a read gives, which must change nothing; after a write to a posted
 * range, shadows that it does not make stale are still what a read gives.  With FAKE_FAST=doorbell in the
 * environment doorbells are in use too, and no FIFOs.
 */
#ifndef FAKE_HOST_H
#define FAKE_HOST_H

#include "models/blk.h"
#include "models/chr.h"
#include "models/dev.h"
#include "models/net.h"

#define FAKE_RAM_SIZE    (16u << 20) /* guest RAM: [0, 16 MiB) */
#define FAKE_MAX_DEVS    8
#define FAKE_MAX_LINES   32
#define FAKE_MAX_REGIONS 24
#define FAKE_MAX_TIMERS  8

struct fake;

struct dev_host {
	struct fake *f;
	const struct dev_class *cls;
	void *dev;
	int devfn; /* -1: not on PCI */
	uint64_t base[FAKE_MAX_REGIONS];
	uint64_t deadline[FAKE_MAX_TIMERS];
	bool line[FAKE_MAX_LINES];
	unsigned rises[FAKE_MAX_LINES]; /* how often each line went from 0 to 1 */
	uint64_t shadow[DEV_MAX_FAST]; /* as in include/sio/slot.h: bit 63 is set while it is valid */
	unsigned fifo_reads;
};

struct fake {
	struct dev_host host[FAKE_MAX_DEVS];
	unsigned n;
	uint8_t *ram;
	uint64_t now_ns, wall_base_ns;
	uint32_t fast; /* kinds of fast paths in use */
	bool was_reset, was_poweroff;
	unsigned msis;
	uint64_t msi_addr;
	uint32_t msi_data;
};

void fake_init(struct fake *f);
void fake_free(struct fake *f); /* with its devices */

/* Allocates, initialises and attaches a device; devfn -1 if it is not on PCI. Fails the test if init
 * fails.  Its host's index is f->n - 1 afterwards. */
void *fake_add(struct fake *f, const struct dev_class *c, const void *cfg, int devfn);
struct dev_host *fake_host_of(struct fake *f, const void *dev);
struct dev_env fake_env(struct fake *f, const void *dev); /* what the device was given */

/* Port and memory accesses through the bus rules of dev.h; all ones where nothing answers. */
uint64_t fake_read(struct fake *f, enum dev_space space, uint64_t addr, unsigned size);
void fake_write(struct fake *f, enum dev_space space, uint64_t addr, unsigned size, uint64_t val);
void fake_burst(struct fake *f, uint64_t port, unsigned size, bool write, void *buf,
		uint32_t count);

#define fake_inb(f, p)     ((uint8_t)fake_read(f, DEV_PIO, p, 1))
#define fake_inw(f, p)     ((uint16_t)fake_read(f, DEV_PIO, p, 2))
#define fake_inl(f, p)     ((uint32_t)fake_read(f, DEV_PIO, p, 4))
#define fake_outb(f, p, v) fake_write(f, DEV_PIO, p, 1, v)
#define fake_outw(f, p, v) fake_write(f, DEV_PIO, p, 2, v)
#define fake_outl(f, p, v) fake_write(f, DEV_PIO, p, 4, v)

/* Configuration space of the function at devfn, straight (no mechanism 1). */
uint64_t fake_cfg_read(struct fake *f, unsigned devfn, unsigned off, unsigned size);
void fake_cfg_write(struct fake *f, unsigned devfn, unsigned off, unsigned size, uint64_t val);

/* Moves the clock on, firing timers in order at their deadlines. */
void fake_step(struct fake *f, uint64_t ns);

/* Saves every device, scribbles over its state, loads it again: nothing may change. */
void fake_save_load(struct fake *f);

/* A disk in memory behind a queue: requests wait until fake_disk_run(). */
struct fake_disk {
	struct blk blk;
	struct fake *f;
	uint8_t *data;
	struct blk_req *queue[64];
	unsigned n;
	unsigned n_flush, n_discard, n_submitted, n_read_segs;
	/* Requests that touch [bad_from, bad_to) end in BLK_EIO. */
	uint64_t bad_from, bad_to;
	bool fail_flush;
};

void fake_disk_init(struct fake_disk *d, struct fake *f, uint64_t n_sectors);
void fake_disk_free(struct fake_disk *d);
unsigned fake_disk_run(struct fake_disk *d); /* completes all that waits; how many */

/* A byte stream with a test at its other end. */
struct fake_chr {
	struct chr chr;
	uint8_t out[4096], in[256];
	size_t n_out, out_room, n_in;
};

void fake_chr_init(struct fake_chr *c);
void fake_chr_feed(struct fake_chr *c, const void *buf, size_t n); /* and calls ready() */

/* A network: frames wait until the test ends them, and are only read then, as by a back end that does
 * not copy. */
struct fake_frame {
	size_t len;
	struct net_offload off;
	unsigned n_seg;
	bool from_model; /* a segment lay in the model's own memory */
	uint8_t data[NET_MAX_FRAME];
};

#define FAKE_NET_QUEUE 64
#define FAKE_NET_KEPT  256

struct fake_net {
	struct net net;
	struct fake *f;
	struct net_tx *queue[FAKE_NET_QUEUE], was[FAKE_NET_QUEUE];
	unsigned n;    /* in flight */
	unsigned room; /* send() refuses when so many are in flight: at first FAKE_NET_QUEUE */
	unsigned n_resume;
	struct fake_frame *sent[FAKE_NET_KEPT]; /* what ended without an error, in order */
	unsigned n_sent;
};

void fake_net_init(struct fake_net *n,
		   struct fake *f); /* MAC 52:54:00:12:34:56, link up, no features */
void fake_net_free(struct fake_net *n);
void fake_net_end(struct fake_net *n, unsigned i, int err); /* the i-th in flight */
unsigned fake_net_run(struct fake_net *n); /* ends all that is in flight; how many */
void fake_net_forget(struct fake_net *n);  /* sent frames */
/* A frame comes in; what receive() said. */
bool fake_net_feed(struct fake_net *n, const void *frame, size_t len,
		   const struct net_offload *off);
void fake_net_link(struct fake_net *n, bool up);

#endif
