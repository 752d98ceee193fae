/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dev.h - the contract between a device model and whatever hosts it: the firmware, a host process
 * or a unit test.
 *
 * A model is a context (memory that the host owns) and a const class.  All that it may ask of the
 * world are the services in its dev_env.  Every entry into a model is made with the host's one lock
 * held; services may be called from every entry and never re-enter the model that calls them.
 *
 * What the guest writes is untrusted: offsets and sizes are bounded by the bus (within the region, a
 * size that the region lists; alignment is not), values are not.
 */
#ifndef MODELS_DEV_H
#define MODELS_DEV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A guest-physical address: not to be dereferenced. */
typedef struct {
	uint64_t raw;
} gpa_t;

struct gpa_seg {
	gpa_t addr;
	uint32_t len; /* bytes */
};

enum dev_space { DEV_PIO, DEV_MMIO, DEV_PCICFG };

enum dev_rc {
	DEV_OK,
	DEV_NO_REG, /* nothing answers there: a read is all ones, a write is lost */
};

struct dev_access {
	uint64_t data;   /* read: set by the model; write: zero-extended value */
	uint32_t region; /* index into dev_class.regions */
	uint32_t offset; /* within the region; offset + size <= its length */
	uint8_t size;    /* 1, 2, 4 or 8, one that the region lists */
	bool write;
};

#define DEV_SIZE_1 1u
#define DEV_SIZE_2 2u
#define DEV_SIZE_4 4u
#define DEV_SIZE_8 8u

/* A region whose base is DEV_UNPLACED appears only when the model places it (a PCI BAR). */
#define DEV_UNPLACED UINT64_MAX

struct dev_region {
	const char *name;
	enum dev_space space;
	uint64_t base; /* port or address; ignored for DEV_PCICFG (the board gives the function) */
	uint32_t len;
	uint8_t sizes; /* DEV_SIZE_ bits; a wider access is split, low part first; a narrower one that
			* is not listed answers DEV_NO_REG */
};

/*
 * Ranges of registers whose accesses need not reach the model at once (the fast paths of include/sio/slot.h,
 * where their rules are). A class lists them; a host may use some, all or none, and the guest can't tell.
 *
 *   POSTED       writes may come late, in order, before the next access of any other kind.  While one is
 *                queued, shadows of its own registers are stale, and those of dirties, unless shadow own is
 *                valid and equals the value written in the bits of care.  With a bit of not_if it is never
 *                late; with if_clear only while shadow own is valid and has none of the bits written.  With
 *                reads_back the register reads what was written last, all of it: a valid shadow of it is not stale
 *                then, but is that.  With clears the bits written that are set become clear: in a valid shadow of the
 *                register, and in those of dirties, which are not stale then.
 *   SHADOW       reads have no side effect and give what dev_shadow() said last, while that is valid.
 *                len 0: read by nobody, for own.
 *   CLOCK        reads give bits bits of now_ns * value / 10^9.
 *   DOORBELL     writing value may come late, after posted writes and before any other access.
 *   READTHROUGH  reads have no side effect and give what is in the context at offset value; both in whole
 *                pages of 4 KiB.
 *   FIFO         reads of 2 to len bytes take the next bytes of the buffer in the context at offset value, as far
 *                as dev_fifo() offered them, but the last; the model learns of it by dev_fifo_taken().
 *   KICK         writes may come late as POSTED ones do, but soon, and from another context: the guest goes on while
 *                the device works.
 */
enum dev_fast_kind {
	DEV_POSTED = 1,
	DEV_SHADOW = 2,
	DEV_CLOCK = 3,
	DEV_DOORBELL = 4,
	DEV_READTHROUGH = 5,
	DEV_FIFO = 6,
	DEV_KICK = 7,
};

#define DEV_MAX_FAST  32u
#define DEV_NO_SHADOW 0xffu

struct dev_fast {
	uint8_t kind, region;
	uint8_t without; /* of no use if any of these kinds (bit n: kind n) is in use */
	uint8_t bits;
	uint32_t offset,
		len;      /* in the region; CLOCK, SHADOW, DOORBELL: the one size of an access */
	uint32_t dirties; /* bit n: entry n of the table */
	uint8_t own, care, not_if;
	bool if_clear, reads_back, clears;
	uint32_t value;
};

struct dev_host; /* each host defines its own */

struct dev_services {
	/* Sets output line n (< dev_class.n_irqs); the board says where it goes.  Setting the level
	 * that it has already does nothing. */
	void (*irq)(struct dev_host *, unsigned n, bool level);
	void (*msi)(struct dev_host *, uint64_t addr, uint32_t data);
	/* Guest RAM.  False, with nothing moved, unless all of it is guest RAM. */
	bool (*dma_read)(struct dev_host *, gpa_t, void *dst, size_t len);
	bool (*dma_write)(struct dev_host *, gpa_t, const void *src, size_t len);
	/* Is [addr, addr+len) guest RAM?  For segments of a blk_req. */
	bool (*dma_ok)(struct dev_host *, gpa_t, uint64_t len);
	/* The address by which a blk_req names memory inside a model's own context. */
	gpa_t (*buf_gpa)(struct dev_host *, const void *);
	/* Time since the domain started; constant during one entry. */
	uint64_t (*now_ns)(struct dev_host *);
	/* Wall-clock time, ns since 1970 UTC. */
	uint64_t (*wall_ns)(struct dev_host *);
	/* Calls class->timer(id) at or soon after deadline_ns; replaces the timer's earlier deadline;
	 * UINT64_MAX disarms.  A deadline in the past fires soon, never from within arm(). */
	void (*arm)(struct dev_host *, unsigned timer, uint64_t deadline_ns);
	/* Moves a region to base, or takes it away with DEV_UNPLACED. */
	void (*place)(struct dev_host *, unsigned region, uint64_t base);
	/* Host bridges: a configuration cycle.  DEV_NO_REG if no function is at devfn of bus 0.
	 * a->region is ignored; a->offset + a->size <= 256. */
	enum dev_rc (*pci_cfg)(struct dev_host *, unsigned devfn, struct dev_access *a);
	/* Takes effect once the entry is over. */
	void (*reset)(struct dev_host *);
	void (*poweroff)(struct dev_host *);
	/* Entry n of the class's fast table, a SHADOW, is value now; or invalid.  NULL: none is in use. */
	void (*shadow)(struct dev_host *, unsigned n, uint32_t value, bool valid);
	/* Entry n, a FIFO: bytes at to end (below 64 Ki) of its buffer may be read; at == end: none.  NULL: never. */
	void (*fifo)(struct dev_host *, unsigned n, uint32_t at, uint32_t end);
	/* What was offered is so no longer: how far it was read; at if nothing was offered. */
	uint32_t (*fifo_taken)(struct dev_host *, unsigned n, uint32_t at);
	/* Is this kind in use?  NULL: none is. */
	bool (*fast)(struct dev_host *, enum dev_fast_kind);
};

struct dev_env {
	const struct dev_services *svc;
	struct dev_host *host;
};

struct dev_class {
	const char *name; /* at most 15 characters */
	size_t size;      /* of the context, aligned to 16, zeroed by the owner before init */
	size_t state_off, state_size; /* the guest-visible state inside it: no pointers */
	const struct dev_region *regions;
	unsigned n_regions, n_irqs, n_timers;
	const struct dev_fast *fast;
	unsigned n_fast; /* at most DEV_MAX_FAST */
	/* cfg is the class's own const configuration struct (NULL where it needs none).  Copies what it
	 * needs of env and cfg, leaves power-on state.  0, or -1 if cfg makes no sense. */
	int (*init)(void *d, const struct dev_env *env, const void *cfg);
	/* The bus's reset signal: registers as the data sheet says, keeping what a reset keeps. */
	void (*reset)(void *d);
	enum dev_rc (*access)(void *d, struct dev_access *a);
	/* String I/O (REP INS, REP OUTS): count items of a->size at one offset, as count accesses would
	 * do.  buf is private memory.  NULL: the bus makes single accesses. */
	enum dev_rc (*burst)(void *d, struct dev_access *a, void *buf, uint32_t count);
	void (*timer)(void *d, unsigned id);
	/* Input line n, from another model's output (a PIRQ router's inputs); NULL if it has none. */
	void (*line)(void *d, unsigned n, bool level);
	/* Brings the state up to date with what the host did by itself (FIFOs); dev_save() calls it.  NULL: it
	 * always is. */
	void (*sync)(void *d);
	/* State was loaded: check it, derive what is derived (placed regions, timers, lines).  0, or -1
	 * if no device can be in this state; the context is then as after reset. */
	int (*loaded)(void *d);
	/* Invariants, for tests and fuzzers. */
	bool (*sane)(const void *d);
};

/* The services, bound to an environment. */
static inline void dev_irq(const struct dev_env *e, unsigned n, bool level)
{
	e->svc->irq(e->host, n, level);
}
static inline bool dev_dma_read(const struct dev_env *e, gpa_t a, void *dst, size_t len)
{
	return e->svc->dma_read(e->host, a, dst, len);
}
static inline bool dev_dma_write(const struct dev_env *e, gpa_t a, const void *src, size_t len)
{
	return e->svc->dma_write(e->host, a, src, len);
}
static inline bool dev_dma_ok(const struct dev_env *e, gpa_t a, uint64_t len)
{
	return e->svc->dma_ok(e->host, a, len);
}
static inline gpa_t dev_buf_gpa(const struct dev_env *e, const void *p)
{
	return e->svc->buf_gpa(e->host, p);
}
static inline uint64_t dev_now_ns(const struct dev_env *e)
{
	return e->svc->now_ns(e->host);
}
static inline uint64_t dev_wall_ns(const struct dev_env *e)
{
	return e->svc->wall_ns(e->host);
}
static inline void dev_arm(const struct dev_env *e, unsigned timer, uint64_t deadline_ns)
{
	e->svc->arm(e->host, timer, deadline_ns);
}
static inline void dev_shadow(const struct dev_env *e, unsigned n, uint32_t value, bool valid)
{
	if (e->svc->shadow)
		e->svc->shadow(e->host, n, value, valid);
}
static inline void dev_fifo(const struct dev_env *e, unsigned n, uint32_t at, uint32_t end)
{
	if (e->svc->fifo)
		e->svc->fifo(e->host, n, at, end);
}
static inline uint32_t dev_fifo_taken(const struct dev_env *e, unsigned n, uint32_t at)
{
	return e->svc->fifo ? e->svc->fifo_taken(e->host, n, at) : at;
}
static inline bool dev_uses(const struct dev_env *e, enum dev_fast_kind kind)
{
	return e->svc->fast && e->svc->fast(e->host, kind);
}
static inline void dev_place(const struct dev_env *e, unsigned region, uint64_t base)
{
	e->svc->place(e->host, region, base);
}

/*
 * Save and load, the same for all: a header (name, size) and the state.  A save is taken with no
 * block request in flight.  Little-endian, this build's layout; a version field in a model's state
 * comes when the first layout changes.
 */
size_t dev_save(const struct dev_class *c, void *d, void *buf, size_t cap); /* 0: cap too small */
int dev_load(const struct dev_class *c, void *d, const void *buf, size_t len); /* 0 or -1 */

#endif
