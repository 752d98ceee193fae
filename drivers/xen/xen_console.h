/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * xen_console.h - a byte stream over the domain's console ring (xen/include/public/io/console.h).
 *
 * Used as virtio_console.h, but no event ever comes: the ring's channel is one of the guest's, which its
 * kernel may take over.  So call xen_console_service() with flush from a timer, about every 1 ms after
 * output and XEN_CONSOLE_POLL_NS otherwise.  The guest's kernel has the same ring for its hvc0: who uses
 * that gets both texts, and one of them the input.
 *
 * Locks: every function under the host's one lock.  No memory of its own.
 */
#ifndef DRIVERS_XEN_XEN_CONSOLE_H
#define DRIVERS_XEN_XEN_CONSOLE_H

#include "drivers/xen/xen.h"
#include "models/chr.h"

#define XEN_CONSOLE_EAGER   256u
#define XEN_CONSOLE_POLL_NS 50000000u

struct xen_console {
	struct chr chr; /* what models see; must stay first; they set ready and owner */
	struct xen *x;
	struct xen_console_shared *ring;
	uint32_t port;
	uint32_t told; /* out_prod at the last notification */
	bool was_full; /* write() took less than it was given */
	bool taken;    /* read() made room for the other side */
	bool active; /* service() has something to do, as far as is known without a look at the ring */
	bool broken; /* output is dropped, no input comes */
};

/* c is zeroed but for ready and owner.  0, or -1 (logged): the domain has no console. */
int xen_console_init(struct xen_console *c, struct xen *x);
/* After xen_restored(): another ring.  0 or -1. */
int xen_console_restored(struct xen_console *c);
/* Bytes written that the other side wasn't told of. */
size_t xen_console_pending(const struct xen_console *c);
/* Notifies if something is due (eager, or flush is set), calls chr.ready() if bytes came in or there is
 * room after having been full. */
void xen_console_service(struct xen_console *c, bool flush);

#endif
