/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * slot.h - the request slot: what passes between the hypervisor side and one firmware context.
 *
 * A slot is three pages.  The first holds the request (written by the hypervisor side while the
 * context is stopped), the answer and the list of operations (written by the firmware).  The second
 * is the data of a string request: count items of size bytes, in the order in which the guest's
 * instruction moves them.  The third holds posted writes: what the guest wrote to posted ranges before
 * the request, in order; they are carried out first.
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
 *   FORWARD the request in forward is for another home (a model that was placed elsewhere); resumes with
 *           its answer, all ones if there is none.
 *
 * A home that is not a companion VM leaves through the mailbox at the end of the first page.
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
/* Companion vCPUs only, for the GSIs of sio_config.irq_doorbells: a byte written to SIO_IRQ_PORT + n is an edge of
 * GSI n, and no exit to user space. */
#define SIO_IRQ_PORT 0x0540u

enum sio_hypercall {
	SIO_HC_RETURN = 1,
	SIO_HC_WAIT = 2,
	SIO_HC_FLUSH = 3,
	SIO_HC_YIELD = 4,
	SIO_HC_LOG = 5,
	SIO_HC_PANIC = 6,
	SIO_HC_FORWARD = 7,
	SIO_N_HYPERCALLS = 8,
};

enum sio_req_kind {
	SIO_REQ_NONE = 0,
	SIO_REQ_PIO = 1,
	SIO_REQ_MMIO = 2,
	SIO_REQ_EVENT = 3,  /* I/O context: events holds what woke it */
	SIO_REQ_RESET = 4,  /* context 0, all others stopped, no block request in flight */
	SIO_REQ_PCICFG = 5, /* forwarded: addr is the function's devfn * 256 + the register */
	SIO_REQ_TAKEN =
		6, /* SIO_CFG_IRQCHIP, context 0: the guest takes vector addr, of SIO_OP_VECTOR */
	SIO_REQ_EOI = 7, /* SIO_CFG_IRQCHIP: a local APIC ended vector addr, one of SIO_OP_LEVELS */
};

/* Bits of sio_request.events, which come with any kind. Bit n < SIO_MAX_VIRTIO: virtio window n has used
 * buffers or a configuration change; bit SIO_EVENT_DOORBELL + n: doorbell n was rung, after the posted
 * writes and before the request's own access; bit SIO_EVENT_BUTTON: the power button is pressed. */
#define SIO_EVENT_DOORBELL 32u
#define SIO_EVENT_BUTTON   62u
#define SIO_EVENT_TIMER    (1ull << 63)

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
	uint32_t n_posted; /* entries of posted[] */
	uint32_t place;    /* of a forwarded request: enum sio_place of the model that it is for */
};
_Static_assert(sizeof(struct sio_request) == 48, "sio_request");

/* A write that the guest has gone on from. */
struct sio_posted {
	uint64_t addr, data;
	uint8_t space; /* enum sio_space */
	uint8_t size;  /* 1, 2, 4 or 8 */
	uint8_t pad[6];
};
_Static_assert(sizeof(struct sio_posted) == 24, "sio_posted");

enum sio_op_code {
	SIO_OP_IRQ = 1, /* arg: GSI 0-23, a: level 0 or 1, b: counts this line's changes from 1 */
	SIO_OP_MSI = 2, /* arg: data, a: address */
	/* arg: SIO_MAP_ARG(), a: base, b: length, c: what the kind takes; at most SIO_MAX_RANGES of memory
	 * and SIO_MAX_FAST ranges of other kinds than REFLECT */
	SIO_OP_MAP = 3,
	SIO_OP_UNMAP =
		4, /* arg: space, a: base, b: length, as claimed; its fast ranges go with it */
	SIO_OP_TIMER = 5,    /* a: ns; the I/O context wakes at the earliest asked for, once */
	SIO_OP_RESET = 6,    /* reset the domain after this request */
	SIO_OP_POWEROFF = 7, /* power off after this request; arg: exit status 0-127 */
	SIO_OP_MODEL = 8,    /* arg: model number 1-63, a and b: its name, 16 bytes, 0-padded */
	/* With SIO_CFG_IRQCHIP. arg: what the 8259s want vCPU 0 to take, or SIO_NO_VECTOR; b counts from 1, as for
	 * IRQ; an older one is dropped.  Once TAKEN, there is none. */
	SIO_OP_VECTOR = 9,
	/* With SIO_CFG_IRQCHIP. arg: 0 to 3, a: bit n: vector arg * 64 + n is level-triggered, its EOIs are to be
	 * told; at most SIO_MAX_LEVELS in all; b counts from 1 for each arg. */
	SIO_OP_LEVELS = 10,
	/* arg: virtio window, a: queue: as a write of it to QueueNotify, once the request is answered. What the
	 * back end then has done at once is told by the window's event. */
	SIO_OP_NOTIFY = 11,
};

enum sio_space { SIO_SPACE_PIO = 0, SIO_SPACE_MMIO = 1 };

/*
 * REFLECT claims a range for a model.  The other kinds are fast paths for ranges that are claimed; they
 * change when a request reaches the firmware, never what the guest can observe but time.  The host may
 * ignore any of them.
 *
 *   POSTED       writes may be queued.  They reach the firmware in order, before any later reflected
 *                request of any vCPU, at the latest after SIO_POSTED_MAX_NS.  c: SIO_POSTED_C().
 *   SHADOW       reads of b bytes at a are answered from entry c of the shadow page while that is valid
 *                and no queued write makes it stale; nor, while anything is queued, is a context of the home at work.
 *   CLOCK        reads of b bytes at a are answered with a counter: now_ns * (c & ffffffffh) / 10^9,
 *                the lower (c >> 32) bits of it.
 *   DOORBELL     a write of b bytes at a with the value c & ffffffffh does nothing but wake the I/O
 *                context, with event bit SIO_EVENT_DOORBELL + (c >> 32).
 *   READTHROUGH  memory, whole pages: reads see private memory from offset c on, and only writes are
 *                reflected.
 *   FIFO         reads of 2 to b bytes at port a, also string ones, take the next bytes of a buffer in private
 *                memory at offset c & ffffffffh, as entry (c >> 32) of the shadow page says, while that is valid
 *                and not stale; but not the last ones, with which something happens.
 *   KICK         as POSTED, while the I/O context is at work: it sees what is queued once it is through.
 */
enum sio_map_kind {
	SIO_MAP_REFLECT = 0,
	SIO_MAP_POSTED = 1,
	SIO_MAP_SHADOW = 2,
	SIO_MAP_CLOCK = 3,
	SIO_MAP_DOORBELL = 4,
	SIO_MAP_READTHROUGH = 5,
	SIO_MAP_FIFO = 6,
	SIO_MAP_KICK = 7,
	SIO_N_MAP_KINDS = 8,
};

#define SIO_NO_VECTOR  UINT32_MAX
#define SIO_MAX_LEVELS 24u

#define SIO_MAX_RANGES    128u
#define SIO_MAX_MODELS    64u
#define SIO_MAX_FAST      224u
#define SIO_MAX_SHADOWS   32u
#define SIO_MAX_DOORBELLS 16u
#define SIO_MAX_POSTED    170u
#define SIO_POSTED_MAX_NS 8000000u

/*
 * c of a posted range, or one that kicks.  While such a write is queued, shadows of the ports that it writes are stale, and
 * those of dirties (bit n: entry n), unless entry own is valid and does not differ from the value written
 * in any bit of care.  Entry own need not be mapped anywhere.  A write with any of the bits of not_if set
 * is not queued.  With IF_CLEAR one is queued only while entry own, which stands for the range's first bytes, is valid and has none
 * of the bits written set, and no context of the home is at work, which could be about to change that.  With READS_BACK a shadow of just what was written is not
 * stale: while it is valid, the register reads what was written last.  With CLEARS the bits written that are set in a valid
 * shadow of just what was written become clear in it and in those of dirties; none of these is stale for that.
 */
#define SIO_NO_SHADOW 0xffu
#define SIO_POSTED_C(dirties, own, care, not_if)                          \
	((uint64_t)(uint32_t)(dirties) | (uint64_t)(uint8_t)(own) << 32 | \
	 (uint64_t)(uint8_t)(care) << 40 | (uint64_t)(uint8_t)(not_if) << 48)
#define SIO_POSTED_IF_CLEAR   (1ull << 56)
#define SIO_POSTED_READS_BACK (1ull << 57)
#define SIO_POSTED_CLEARS     (1ull << 58)

/* The firmware keeps it up to date; one 64-bit store for each change.  Bit 63: valid; lower half: the
 * value.  Stored with release order before the operations of the same request are carried out. */
#define SIO_SHADOW_VALID (1ull << 63)

/* The entry of a FIFO, while it is valid: bits 15:0, how many bytes were taken; 31:16, where the buffer ends; the
 * rest differs each time that the firmware offers something. The host takes bytes by compare and swap, once it
 * has copied them; the firmware takes the entry back, by a swap too, before it looks at the buffer itself. */
#define SIO_FIFO_AT(entry)  ((uint32_t)(entry)&0xffffu)
#define SIO_FIFO_END(entry) ((uint32_t)(entry) >> 16)

struct sio_shadow_page_shared {
	uint64_t entry[SIO_MAX_SHADOWS];
};
_Static_assert(sizeof(struct sio_shadow_page_shared) <= SIO_PAGE, "shadow page");

/* arg of SIO_OP_MAP: space in bits 0-3, kind in bits 4-7, model number in bits 8-15. */
#define SIO_MAP_ARG(space, kind, model) \
	((uint32_t)(space) | (uint32_t)(kind) << 4 | (uint32_t)(model) << 8)

struct sio_op {
	uint32_t code; /* enum sio_op_code */
	uint32_t arg;
	uint64_t a, b, c;
};
_Static_assert(sizeof(struct sio_op) == 32, "sio_op");

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

/*
 * How a home in another process leaves and is entered.  Whose turn it is decides who may write the rest of
 * the slot.  Either side spins briefly for its turn and then sleeps on the word as a futex, having set its
 * flag; who hands the turn over looks at the other's flag and wakes it.
 */
#define SIO_TURN_HOST  0u
#define SIO_TURN_HOME  1u
#define SIO_LEAVE_MMIO 0x100u /* access to a virtio window: addr, len, write, data */
#define SIO_LEAVE_FAULT \
	0x101u /* a stub domain's firmware left by something else: data is KVM's exit reason */

struct sio_mailbox_shared {
	uint32_t turn, host_sleeps, home_sleeps;
	uint32_t leave; /* enum sio_hypercall or SIO_LEAVE_ */
	uint64_t addr, data;
	uint32_t len, write;
};
_Static_assert(sizeof(struct sio_mailbox_shared) == 40, "mailbox");

/* Both sides write here: copy in once, then check. */
struct sio_slot_shared {
	struct sio_request req;
	uint64_t answer; /* the value of a read with count 1 */
	uint32_t n_ops;
	uint32_t text_level;
	uint32_t text_len;
	uint32_t pad;
	uint8_t pad1[8];
	struct sio_op ops[SIO_MAX_OPS];
	char text[SIO_MAX_TEXT];
	struct sio_panic panic;
	struct sio_request forward; /* FORWARD; the answer comes back in forward.data */
	uint8_t unused[SIO_PAGE - 128 - SIO_MAX_OPS * 32 - SIO_MAX_TEXT - sizeof(struct sio_panic) -
		       sizeof(struct sio_request)];
	struct sio_mailbox_shared mailbox;
	uint8_t pad2[8];
	uint8_t data[SIO_PAGE];
	struct sio_posted posted[SIO_MAX_POSTED];
	uint8_t pad3[SIO_PAGE - SIO_MAX_POSTED * sizeof(struct sio_posted)];
};
_Static_assert(offsetof(struct sio_slot_shared, answer) == 48, "answer");
_Static_assert(offsetof(struct sio_slot_shared, ops) == 80, "ops");
_Static_assert(offsetof(struct sio_slot_shared, text) == 80 + SIO_MAX_OPS * 32, "text");
_Static_assert(offsetof(struct sio_slot_shared, data) == SIO_PAGE, "data");
_Static_assert(offsetof(struct sio_slot_shared, posted) == 2 * SIO_PAGE, "posted");
_Static_assert(sizeof(struct sio_slot_shared) == SIO_SLOT_SIZE, "slot size");

#endif
