/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fw.h - the firmware's inside: one image, one state, a loop for each context.
 *
 * One lock guards everything but a context's own slot.  While a context holds it, fw.slot is that
 * context's slot, so that operations and log lines find their way.
 */
#ifndef FIRMWARE_FW_H
#define FIRMWARE_FW_H

#include <stdatomic.h>

#include "boards/machine.h"
#include "drivers/pv.h"
#include "drivers/virtio/virtio_blk.h"
#include "drivers/virtio/virtio_console.h"
#include "sio/config.h"
#include "sio/slot.h"

#define FW_MAX_DISKS 4u

struct fw {
	atomic_flag lock;
	struct sio_slot_shared *slot;
	const struct sio_config *cfg;
	uint64_t heap, heap_end;
	struct machine *machine;
	struct virtio_blk *disk[FW_MAX_DISKS];
	uint8_t disk_window[FW_MAX_DISKS];
	unsigned n_disks;
	struct virtio_console *console;
	uint64_t console_due_ns; /* when waiting output goes out; UINT64_MAX: none waits */
	uint64_t timer_ns;       /* the I/O context's deadline, as last asked for */
	uint32_t irq_seq[MACHINE_N_GSI];
};

extern struct fw fw;

/* hv_*: the hypervisor behind numbers; hv.c for KVM. */
void hv_return(struct sio_slot_shared *s); /* comes back with the next request */
void hv_wait(struct sio_slot_shared *s);
void hv_flush(struct sio_slot_shared *s);
void hv_yield(void);
void hv_log(struct sio_slot_shared *s, enum sio_log_level level, const char *text, size_t len);
_Noreturn void hv_panic(struct sio_slot_shared *s, const char *why, size_t len);
void hv_op(struct sio_slot_shared *s, uint32_t code, uint32_t arg, uint64_t a, uint64_t b);

struct sio_slot_shared *fw_slot_of(unsigned context);
void fw_lock(struct sio_slot_shared *mine);
void fw_unlock(void);
void *fw_alloc(size_t size, size_t align); /* zeroed; panics when the heap is used up */
void fw_log(enum sio_log_level level, const char *f, ...) __attribute__((format(printf, 2, 3)));
_Noreturn void fw_panic(const char *f, ...) __attribute__((format(printf, 1, 2)));

void fw_board_init(void);                  /* board.c: wires the machine */
_Noreturn void fw_serve(unsigned context); /* serve.c: the loops */

#endif
