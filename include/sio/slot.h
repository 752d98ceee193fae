/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * slot.h - the request slot: what passes between the hypervisor side and one firmware context.
 *
 * A slot is two pages.  The first holds the request (written by the hypervisor side while the
 * context is stopped), the answer and the list of operations (written by the firmware).  The second
 * is the data of a string request: count items of size bytes, in the order in which the guest's
 * instruction moves them.
 *
 * A context leaves by a 32-bit OUT of a hypercall number to SIO_HC_PORT.  Any other exit of a
 * context (another port, HLT, a shutdown, MMIO outside the virtio windows) is a firmware fault.
 *
 *   RETURN  contexts of guest vCPUs: carry out the operations in ops[], take the answer,
 *           wait for the next request.  Resumes after the OUT with a new request in the slot.
 *   WAIT    the I/O context's RETURN: carry out the operations, sleep until an event or the
 *           deadline set by SIO_OP_TIMER.  Resumes with a request of kind SIO_REQ_EVENT.
 *   FLUSH   carry out the operations now and resume at once (the list was full).
 *   YIELD   let another thread run (a lock's holder may be waiting for this processor).
 *   LOG     text[0..text_len) is a message of level text_level for the domain's log; resume.
 *   PANIC   the firmware can't go on; text is the reason, panic the state.  Never resumes.
 *
 * Operations are the events that a request causes.  They are carried out in order, before the guest's
 * instruction completes, so that one exit both delivers events and switches back to the guest.
 *
 * Two contexts may leave in another order than the one in which the firmware made their operations.
 * So IRQ carries a count: a count that is older than the last one carried out for the line is dropped,
 * and one that leaves a gap is preceded by the opposite level, so that no edge is lost.
 */
#ifndef SIO_SLOT_H
#define SIO_SLOT_H

#include <stddef.h>
#include <stdint.h>

#include "sio/abi.h"

#define SIO_HC_PORT 0x0510u

enum sio_hypercall {
	SIO_HC_RETURN = 1,
	SIO_HC_WAIT = 2,
	SIO_HC_FLUSH = 3,
	SIO_HC_YIELD = 4,
	SIO_HC_LOG = 5,
	SIO_HC_PANIC = 6,
};

enum sio_req_kind {
	SIO_REQ_NONE = 0,
	SIO_REQ_PIO = 1,
	SIO_REQ_MMIO = 2,
	SIO_REQ_EVENT = 3, /* I/O context: events holds what woke it */
	SIO_REQ_RESET = 4, /* context 0, all others stopped, no block request in flight */
};

/* Bits of sio_request.events. Bit n < SIO_MAX_VIRTIO: virtio window n has used buffers or a
 * configuration change. */
#define SIO_EVENT_TIMER (1ull << 63)

struct sio_request {
	uint8_t kind;  /* enum sio_req_kind */
	uint8_t write; /* 1: the guest writes */
	uint8_t size;  /* bytes of an item: 1, 2, 4 or 8 */
	uint8_t pad0;
	uint32_t count;  /* items; 1 unless the instruction is a string one */
	uint64_t addr;   /* port, or guest-physical address */
	uint64_t data;   /* the value of a write with count 1 */
	uint64_t now_ns; /* time since the domain started; never goes back */
	uint64_t events;
};
_Static_assert(sizeof(struct sio_request) == 40, "sio_request");

enum sio_op_code {
	SIO_OP_IRQ = 1, /* arg: GSI 0-23, a: level 0 or 1, b: counts this line's changes from 1 */
	SIO_OP_MSI = 2, /* arg: data, a: address */
	SIO_OP_MAP =
		3, /* arg: SIO_MAP_ARG(), a: base, b: length; at most SIO_MAX_RANGES of memory */
	SIO_OP_UNMAP = 4,    /* arg: space, a: base, b: length, as mapped */
	SIO_OP_TIMER = 5,    /* a: ns; the I/O context wakes at the earliest asked for, once */
	SIO_OP_RESET = 6,    /* reset the domain after this request */
	SIO_OP_POWEROFF = 7, /* power off after this request; arg: exit status 0-127 */
	SIO_OP_MODEL = 8,    /* arg: model number 1-63, a and b: its name, 16 bytes, 0-padded */
};

enum sio_space { SIO_SPACE_PIO = 0, SIO_SPACE_MMIO = 1 };

/* Fast paths of docs/abi.md take further kinds. */
enum sio_map_kind { SIO_MAP_REFLECT = 0 };

#define SIO_MAX_RANGES 128u
#define SIO_MAX_MODELS 64u

/* arg of SIO_OP_MAP: space in bits 0-3, kind in bits 4-7, model number in bits 8-15. */
#define SIO_MAP_ARG(space, kind, model) \
	((uint32_t)(space) | (uint32_t)(kind) << 4 | (uint32_t)(model) << 8)

struct sio_op {
	uint32_t code; /* enum sio_op_code */
	uint32_t arg;
	uint64_t a, b;
};
_Static_assert(sizeof(struct sio_op) == 24, "sio_op");

#define SIO_MAX_OPS    64u
#define SIO_MAX_TEXT   256u
#define SIO_MAX_FRAMES 16u

enum sio_log_level { SIO_LOG_ERROR = 0, SIO_LOG_WARN = 1, SIO_LOG_INFO = 2, SIO_LOG_DEBUG = 3 };

/* Registers at a panic, for the report.  frame[] are return addresses relative to the image's
 * start, the innermost first. */
struct sio_panic {
	uint64_t rip, rsp, rflags, cr2, vector, error;
	uint64_t gpr[16]; /* rax rcx rdx rbx rsp rbp rsi rdi r8..r15 */
	uint32_t n_frames, pad;
	uint64_t frame[SIO_MAX_FRAMES];
};

/* Both sides write here: copy in once, then check. */
struct sio_slot_shared {
	struct sio_request req;
	uint64_t answer; /* the value of a read with count 1 */
	uint32_t n_ops;
	uint32_t text_level;
	uint32_t text_len;
	uint32_t pad;
	struct sio_op ops[SIO_MAX_OPS];
	char text[SIO_MAX_TEXT];
	struct sio_panic panic;
	uint8_t unused[SIO_PAGE - 64 - SIO_MAX_OPS * 24 - SIO_MAX_TEXT - sizeof(struct sio_panic)];
	uint8_t data[SIO_PAGE];
};
_Static_assert(offsetof(struct sio_slot_shared, answer) == 40, "answer");
_Static_assert(offsetof(struct sio_slot_shared, ops) == 64, "ops");
_Static_assert(offsetof(struct sio_slot_shared, text) == 64 + SIO_MAX_OPS * 24, "text");
_Static_assert(offsetof(struct sio_slot_shared, data) == SIO_PAGE, "data");
_Static_assert(sizeof(struct sio_slot_shared) == SIO_SLOT_SIZE, "slot size");

#endif
