/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * machine.h - devices on their buses, wired by a board, apart from where they run.
 *
 * The machine implements dev_services for its devices and is driven by its host (the firmware, a host
 * process, a test) with accesses, timers and resets.  All calls are made under the host's one lock.
 */
#ifndef BOARDS_MACHINE_H
#define BOARDS_MACHINE_H

#include "models/dev.h"

#define MACHINE_MAX_DEVS    24u
#define MACHINE_MAX_REGIONS 96u
#define MACHINE_MAX_TIMERS  5u    /* of one device */
#define MACHINE_GSI         0xffu /* board_wire.to: an interrupt controller input */
#define MACHINE_N_GSI       24u

struct board_dev {
	const struct dev_class *cls;
	const void *cfg;
	int devfn;     /* on PCI bus 0, or -1 */
	uint8_t place; /* for forward() */
	bool away;     /* lives in another home: holds its number and its devfn, and nothing else */
};

/* Output line of one device to an input line of another, or to a GSI.  Several wires to one input are
 * ORed. */
struct board_wire {
	uint8_t from, from_line, to, to_line;
};

struct machine_fast {
	const struct dev_fast *f;
	enum dev_space space;
	uint64_t base; /* port or address */
	unsigned id;   /* SHADOW, DOORBELL */
	uint32_t dirties;
	uint8_t own;
	const void *page; /* READTHROUGH, FIFO */
};

#define MACHINE_MAX_SHADOWS   32u
#define MACHINE_MAX_DOORBELLS 16u

/* What the machine asks of its host.  None re-enters the machine. */
struct machine_ops {
	void *(*alloc)(void *ctx, size_t size,
		       size_t align); /* zeroed; at start only; NULL: no more */
	void *(*ram)(void *ctx, uint64_t gpa,
		     uint64_t len);                /* NULL unless all of it is guest RAM */
	uint64_t (*gpa)(void *ctx, const void *p); /* of private memory */
	void (*gsi)(void *ctx, unsigned gsi, bool level);
	void (*msi)(void *ctx, uint64_t addr, uint32_t data);
	/* dev is the index in the board's table. */
	void (*map)(void *ctx, unsigned dev, enum dev_space space, uint64_t base, uint32_t len,
		    bool on);
	void (*reset)(void *ctx);
	void (*poweroff)(void *ctx);
	/* A configuration cycle for a function that is away; NULL: nobody answers for it. */
	enum dev_rc (*forward)(void *ctx, unsigned place, unsigned devfn, struct dev_access *a);
	/* An entry of a class's fast table at base, the region being claimed; ends with the region's claim.
	 * id: of its SHADOW, DOORBELL or FIFO; dirties and own in ids; page: of READTHROUGH or FIFO. */
	void (*map_fast)(void *ctx, unsigned dev, const struct machine_fast *f);
	uint32_t fast;    /* kinds in use, bit n: kind n */
	uint64_t *shadow; /* [MACHINE_MAX_SHADOWS], include/sio/slot.h; NULL: none */
	uint64_t wall_ns; /* wall-clock time when now_ns was 0 */
};

struct machine;

struct dev_host {
	struct machine *m;
	const struct dev_class *cls;
	void *dev;
	uint8_t index;
	uint8_t first_region; /* in machine.region */
	int16_t devfn;
	uint8_t place;
	bool away;
	uint32_t lines;                /* output levels */
	uint8_t fast_id[DEV_MAX_FAST]; /* of SHADOWs, FIFOs and DOORBELLs */
	uint64_t deadline[MACHINE_MAX_TIMERS];
};

struct machine_region {
	uint64_t base;
	const struct dev_region *reg;
	uint8_t dev, index;
};

struct machine {
	const struct machine_ops *ops;
	void *ctx;
	const struct board_wire *wire;
	unsigned n_wire, n_dev, n_region;
	uint64_t now_ns;
	uint64_t next_ns; /* the earliest deadline of all timers */
	struct dev_host host[MACHINE_MAX_DEVS];
	struct machine_region region[MACHINE_MAX_REGIONS];
	unsigned n_shadow, n_doorbell;
	uint32_t fifo_offers; /* so many: no two entries are alike */
	struct {
		uint8_t dev, entry;
	} doorbell[MACHINE_MAX_DOORBELLS];
	uint8_t port_map[65536]; /* index into region, plus 1; 0: nobody */
};

/* 0, or -1 when memory or a table is exhausted or a device refuses its configuration; *failed is then
 * the device's index. */
int machine_init(struct machine *m, const struct machine_ops *ops, void *ctx,
		 const struct board_dev *dev, unsigned n_dev, const struct board_wire *wire,
		 unsigned n_wire, unsigned *failed);

/* An access of size 1, 2, 4 or 8 at now_ns; a read where nothing answers is all ones. */
void machine_access(struct machine *m, enum dev_space space, uint64_t addr, unsigned size,
		    bool write, uint64_t *data);

/* count accesses at one port, in order (REP INS, REP OUTS). */
void machine_burst(struct machine *m, uint64_t port, unsigned size, bool write, void *buf,
		   uint32_t count);

/* A configuration cycle that another home's host bridge makes; all ones where nothing answers. */
void machine_pci_cfg(struct machine *m, unsigned devfn, unsigned offset, unsigned size, bool write,
		     uint64_t *data);

/* Doorbell n was rung: the write that it stands for. */
void machine_doorbell(struct machine *m, unsigned n);

/* Time goes on (never back); fires timers that are due, in order of their deadlines. */
void machine_advance(struct machine *m, uint64_t now_ns);

void machine_reset(struct machine *m);

#endif
