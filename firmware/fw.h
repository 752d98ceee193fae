/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fw.h - the firmware's inside: one image, one state, a loop for each context.
 *
 * The same sources serve each home of the models; what differs is how a context is entered and left, and
 * where memory is: kvm/ for the companion VM, placements/ for processes.  That part calls fw_init() once,
 * in context 0, and then fw_request() for each request.
 *
 * One lock guards everything but a context's own slot.  While a context holds it, fw.slot is that
 * context's slot, so that operations and log lines find their way.
 */
#ifndef FIRMWARE_FW_H
#define FIRMWARE_FW_H

#include <stdarg.h>
#include <stdatomic.h>

#include "boards/machine.h"
#include "drivers/pv.h"
#include "sio/config.h"
#include "sio/slot.h"

struct fw {
	atomic_flag lock;
	struct sio_slot_shared *slot;
	const struct sio_config *cfg;
	/* Where companion-physical address 0 is: the firmware proper is mapped one to one, a process has the
	 * same layout somewhere else. */
	uintptr_t base;
	uint64_t heap, heap_end; /* addresses of the heap, base included */
	uint64_t *shadow;        /* [SIO_MAX_SHADOWS]; NULL: those of the shadow page */
	bool maps;               /* MAP or UNMAP is listed: carried out before the lock is free */
	struct machine *machine;
	uint64_t console_due_ns; /* when waiting output goes out; UINT64_MAX: none waits */
	uint64_t poll_ns;        /* when front ends want to be looked at; UINT64_MAX: they tell */
	uint64_t timer_ns;       /* the I/O context's deadline, as last asked for */
	uint32_t irq_seq[MACHINE_N_GSI];
	/* SIO_CFG_IRQCHIP: what the host was told. */
	uint32_t vector, vector_seq, level_seq[4];
	uint64_t level[4];
};

extern struct fw fw;

/* What the home gives: a hypercall of the context whose slot s is, registers of PV devices at
 * companion-physical addresses, a panic with a backtrace if it can have one. */
void hv_call(struct sio_slot_shared *s, enum sio_hypercall n);
uint32_t hv_mmio_read(uint64_t addr);
void hv_mmio_write(uint64_t addr, uint32_t v);
void hv_edge(unsigned gsi); /* of sio_config.irq_doorbells */
_Noreturn void fw_panic(const char *f, ...) __attribute__((format(printf, 1, 2)));

/* The home's PV front ends: virtio.c, or xen/pv.c. */
struct pc_io;
void pv_start(struct pc_io *io); /* opens them: disks, networks and console of the board */
bool pv_service(void);           /* moves requests and what came back; true: there is more to do */
bool pv_console(bool flush);     /* the same; true: output waits that flush would hand over */
void pv_events(uint64_t events); /* of a request */

/* core.c */
void fw_lock(struct sio_slot_shared *mine);
void fw_unlock(void);
void *fw_alloc(size_t size, size_t align); /* zeroed; panics when the heap is used up */
void *fw_ptr(uint64_t addr);               /* of a companion-physical address */
struct sio_slot_shared *fw_slot_of(unsigned context);
void fw_op(uint32_t code, uint32_t arg, uint64_t a, uint64_t b, uint64_t c);
/* Carries out what is listed so far. */
void fw_flush(void);
void fw_log(enum sio_log_level level, const char *f, ...) __attribute__((format(printf, 2, 3)));
void fw_log_text(enum sio_log_level level, const char *text, size_t len);
void fw_set_text(struct sio_slot_shared *s, const char *text, size_t len);

void fw_heap_init(const struct sio_config *cfg); /* for a home that allocates before the next */
void fw_init(const struct sio_config *cfg);      /* context 0, first: checks, heap, board */
void fw_board_init(void);                        /* board.c: wires the machine */
void fw_request(struct sio_slot_shared *s);      /* serve.c: one request, from slot to slot */
void fw_say_again(
	void); /* the hypervisor has forgotten the deadline and the vector; the lock is held */

#endif
