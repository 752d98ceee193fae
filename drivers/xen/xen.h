/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * xen.h - the ground of the PV front ends on Xen: the place where they run, grants, xenstore.
 *
 * The domain has one grant table and one xenstore ring, which are the guest kernel's too.  The firmware
 * has the last frames of the table, and the ring until the guest starts; docs/xen.md says why that
 * is sound, and where it ends.  Its event channels are its own (include/sio/xen.h).
 *
 * Locks: all calls under the host's one lock.  No allocation after init.
 */
#ifndef DRIVERS_XEN_XEN_H
#define DRIVERS_XEN_XEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "drivers/xen/abi.h"

struct xen_env {
	/* Zeroed private memory, NULL: none left.  Only during init. */
	void *(*alloc)(void *ctx, size_t size, size_t align);
	/* The guest-physical address of private memory; and the pointer to len bytes at such an address,
	 * private memory, RAM or one of Xen's special pages; NULL: there is none. */
	uint64_t (*gpa)(void *ctx, const void *p);
	void *(*at)(void *ctx, uint64_t gpa, uint64_t len);
	/* A hypercall with two or three arguments, enum xen_hypercall. */
	long (*hypercall)(void *ctx, unsigned nr, unsigned long op, void *arg, unsigned long n);
	/* SIO_XEN_OP_CHANNEL, carried out before it returns; the port. */
	uint32_t (*channel)(void *ctx, unsigned n, uint16_t domid);
	/* SIO_XEN_OP_NOTIFY; may ride on the next RETURN. */
	void (*notify)(void *ctx, unsigned n);
	/* A clock that goes on while the firmware runs, for time limits only. */
	uint64_t (*now_ns)(void *ctx);
	/* One line for the log, without a newline; may be NULL. */
	void (*log)(void *ctx, const char *text);
	void *ctx;
};

/* Frames of the grant table that are the firmware's: of 512 grants each. */
#define XEN_GRANT_FRAMES 6u
#define XEN_STORE_TEXT   256u /* longest value that is read, with its 0 */

struct xen {
	const struct xen_env *env;
	/* grants */
	struct xen_grant_shared *grant; /* [XEN_GRANT_FRAMES * XEN_GRANTS_IN_FRAME] */
	uint32_t first_ref, n_taken;
	/* xenstore */
	struct xen_store_shared *store;
	uint32_t store_port, req_id;
	bool store_broken; /* no answer, or nonsense: every call fails */
	bool watch_fired;
};

/* x is zeroed memory, and stays where it is, as env does.  0, or -1 (logged). */
int xen_init(struct xen *x, const struct xen_env *env);
/* After SIO_XEN_EVENT_RESTORED, before the front ends are connected again: another grant table, empty,
 * and another xenstore.  0 or -1. */
int xen_restored(struct xen *x);

void xen_log(const struct xen *x, const char *text);
/* Lets others run.  False: the deadline (of env->now_ns) is over. */
bool xen_yield(struct xen *x, uint64_t deadline);
uint64_t xen_param(struct xen *x, enum xen_param p);
void xen_send(struct xen *x, uint32_t port); /* of the guest's channels, at once */

/* n grants in a row, for good; UINT32_MAX: there are no more.  Numbers are the firmware's: xen_ref() is
 * the one that others know. */
uint32_t xen_grants_take(struct xen *x, unsigned n);
uint32_t xen_ref(const struct xen *x, uint32_t grant);
void xen_grant(struct xen *x, uint32_t grant, uint16_t domid, uint64_t gpa, bool readonly);
/* False: the other domain still has the page mapped; the grant stays. */
bool xen_grant_end(struct xen *x, uint32_t grant);

/* Shows the other side of a ring what was put on it since `*pushed`, up to prod.  True: it wants to know. */
bool xen_ring_push(uint32_t *shared_prod, const uint32_t *shared_event, uint32_t *pushed,
		   uint32_t prod);

/* The value of DIR/KEY as text, its end cut off if need be; false: there is none, or no xenstore.  DIRECTORY: names, each
 * ended by a 0. */
bool xen_store_read(struct xen *x, const char *dir, const char *key, char text[XEN_STORE_TEXT]);
/* The names in DIR, each ended by a 0, and one more 0.  Only whole names. */
bool xen_store_list(struct xen *x, const char *dir, char text[XEN_STORE_TEXT]);
bool xen_store_write(struct xen *x, const char *dir, const char *key, const char *text);
/* A decimal number of at most max; dflt if there is no such. */
uint64_t xen_store_number(struct xen *x, const char *dir, const char *key, uint64_t max,
			  uint64_t dflt);
/* A watch: PATH changes, or what lies below it. It fires once at its start, and ends when the domain is restored. Only
 * for who keeps the ring: events would come to its next user. False: there is one already, or no xenstore. */
bool xen_store_watch(struct xen *x, const char *path);
/* Has one fired since the last call? Costs no hypercall if not. */
bool xen_store_fired(struct xen *x);
bool xen_store_write_number(struct xen *x, const char *dir, const char *key, uint64_t v);

#endif
