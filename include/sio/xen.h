/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * xen.h - reflection on Xen: what passes between the hypervisor and the firmware of an HVM or PVH
 * domain. The hypervisor's build has a copy of this file as xen/include/public/hvm/reflect.h.
 *
 * A vCPU has two contexts, the guest's and the firmware's: registers, segments, control registers,
 * EFER, a pending event. The hypervisor keeps the one that does not run in memory of its own and
 * swaps them: when the guest touches a reflected range or an event is due, it writes a request into
 * the vCPU's slot and goes on in the firmware; when the firmware says RETURN, the guest's instruction
 * completes with the answer. The firmware goes on behind its RETURN with the next request: it is a
 * loop, as on other hypervisors, in whatever mode it has switched to. FPU, debug registers, and MSRs
 * except EFER are the guest's: the firmware leaves them alone. While it runs, nothing is injected.
 *
 * The first time a vCPU's firmware context is entered at setup.entry: 32-bit flat segments, paging off,
 * IF=0, EAX = SIO_XEN_ENTRY_MAGIC, EBX = the slot's address, ECX = vCPU, EDX = the shared page's
 * address, a request in the slot. So again after the domain was restored from a saved image: then
 * every vCPU gets an event SIO_XEN_EVENT_RESTORED before its guest goes on, and there are no ranges, channels, deadlines
 * and vectors until the firmware says them again. The domain is not suspended while one of its vCPUs is in the firmware.
 *
 * Hypercalls, through __HYPERVISOR_hvm_op, at CPL 0:
 *
 *   SETUP   arg: struct sio_xen_setup. Once, from the guest context. -EOPNOTSUPP without nested
 *           paging or with nested virtualisation, -EEXIST the second time.
 *   RETURN  from the firmware: carry out the operations, complete the guest's instruction.
 *   FLUSH   from either context: carry out the operations, go on here.
 *
 * A mistake (an operation that can't be, RETURN outside the firmware, a reflected access by the
 * firmware, its triple fault) crashes the domain, with one message.
 */
#ifndef SIO_XEN_H
#define SIO_XEN_H

#ifndef __XEN__
#include <stddef.h>
#include <stdint.h>
#endif

#define SIO_XEN_VERSION     3u
#define SIO_XEN_ENTRY_MAGIC 0x584f4953u /* "SIOX" */

#define HVMOP_reflect_setup  26
#define HVMOP_reflect_return 27
#define HVMOP_reflect_flush  28

struct sio_xen_setup {
	uint32_t version; /* SIO_XEN_VERSION */
	uint32_t entry;   /* guest-physical, as all addresses here */
	uint64_t slots;   /* page-aligned: a page for each vCPU of the domain, in order */
	uint64_t shared;  /* page-aligned: struct sio_xen_shared */
	uint32_t flags;   /* SIO_XEN_HIDE or SIO_XEN_HIDE_UNPAGED */
	uint32_t pad;
};

/* The guest's context does not see Xen's CPUID leaves: never, or not with paging off (a BIOS, which would take
 * hvmloader's work for done, and no system). */
#define SIO_XEN_HIDE         1u
#define SIO_XEN_HIDE_UNPAGED 2u

enum sio_xen_kind {
	SIO_XEN_REQ_NONE = 0,
	SIO_XEN_REQ_PIO = 1,
	SIO_XEN_REQ_MMIO = 2,
	SIO_XEN_REQ_EVENT = 3, /* between two instructions of the guest: events says why */
};

#define SIO_XEN_REQ_PTR  1u /* data is the address of the first item, in RAM */
#define SIO_XEN_REQ_DOWN 2u /* string instruction with DF=1: further items lie below */

#define SIO_XEN_EVENT_CHANNEL(n) (1ull << (n)) /* of channels SIO_XEN_OP_CHANNEL */
#define SIO_XEN_EVENT_EOI        (1ull << 58)  /* end of a level-triggered MSI: the slot's eoi */
#define SIO_XEN_EVENT_WAKE       (1ull << 59)  /* SIO_XEN_OP_WAKE of another vCPU */
#define SIO_XEN_EVENT_TAKEN      (1ull << 60)  /* the guest takes the vector now */
#define SIO_XEN_EVENT_RESTORED   (1ull << 61)  /* all but what setup said is gone */
#define SIO_XEN_EVENT_TIMER      (1ull << 62)  /* a deadline, or posted writes have waited long */

struct sio_xen_request {
	uint8_t kind;    /* enum sio_xen_kind */
	uint8_t write;   /* 1: the guest writes */
	uint8_t size;    /* bytes of an item: 1, 2, 4 or 8 */
	uint8_t flags;   /* SIO_XEN_REQ_ */
	uint32_t count;  /* items; an MMIO address moves with each, a port does not */
	uint64_t addr;   /* port, or guest-physical address */
	uint64_t data;   /* the value of a write, of each item if count > 1; or see flags */
	uint64_t now_ns; /* time since setup; never goes back */
	uint64_t events; /* SIO_XEN_EVENT_; cleared by being shown here */
};

enum sio_xen_op_code {
	SIO_XEN_OP_IRQ = 1,   /* arg: GSI of the hypervisor's IOAPIC, a: level 0 or 1 */
	SIO_XEN_OP_MSI = 2,   /* arg: data, a: address */
	SIO_XEN_OP_MAP = 3,   /* arg: SIO_XEN_MAP_ARG(), a: base, b: SIO_XEN_MAP_B() */
	SIO_XEN_OP_UNMAP = 4, /* space, kind, a and length as mapped */
	SIO_XEN_OP_TIMER = 5, /* a: now_ns at which this vCPU gets an event; 0: none */
	SIO_XEN_OP_VECTOR =
		16, /* arg: vector, as from a PIC: injected when the guest can take it, which
				 * gives an event TAKEN, or SIO_XEN_NO_VECTOR; a: vCPU */
	SIO_XEN_OP_CHANNEL =
		17, /* arg: n < SIO_XEN_MAX_CHANNELS, not in use, a: domain that may bind;
				  * events come to this vCPU; the port number is put into b */
	SIO_XEN_OP_CLOSE = 18,  /* arg: n */
	SIO_XEN_OP_NOTIFY = 19, /* arg: n: send an event to the other side */
	SIO_XEN_OP_WAKE = 20,   /* arg: vCPU: gets an event */
};

#define SIO_XEN_NO_VECTOR    0xffffffffu
#define SIO_XEN_MAX_RANGES   64u
#define SIO_XEN_MAX_CHANNELS 32u
#define SIO_XEN_MAX_OPS      64u
#define SIO_XEN_MAX_POSTED   64u
#define SIO_XEN_POSTED_NS    8000000u

/*
 * MAP. Space 0 ports, 1 memory. Kind: 0, reflected; or what the hypervisor does by itself for single items, of POSTED
 * ranges writes, of SHADOW ones reads; all else goes on as if that range were not there. Ranges of one kind don't overlap;
 * those of two may, and kind 0 comes last.
 *
 * SHADOW: reads are answered from shadow[], whose byte `at` is the range's first. A range lies in the seven lower bytes of a
 * word. Not if bit 63 of the word is not set, or the word is stale.
 *
 * POSTED: writes wait in posted[]; not such with a bit of not_if in their lower byte. While something waits, the words are stale that
 * shadow a waiting write's first byte; and those of dirties (bit n: word n), unless bit 63 of word own is set and its bits of
 * care are those that are written.
 */
#define SIO_XEN_POSTED       1u
#define SIO_XEN_SHADOW       2u
#define SIO_XEN_OWN(word)    ((uint32_t)(word) << 4) /* of POSTED; a word of shadow[] */
#define SIO_XEN_SHADOW_WORDS 64u
#define SIO_XEN_MAP_ARG(space, kind, at) \
	((uint32_t)(space) | (uint32_t)(kind) << 4 | (uint32_t)(at) << 16)
#define SIO_XEN_POSTED_AT(not_if, care) \
	((uint32_t)(uint8_t)(not_if) | (uint32_t)(uint8_t)(care) << 8)
#define SIO_XEN_MAP_B(len, dirties) \
	((uint64_t)(uint32_t)(len) | (uint64_t)(uint32_t)(dirties) << 32)

struct sio_xen_op {
	uint32_t code, arg;
	uint64_t a, b;
};

#define SIO_XEN_FORWARD \
	1u /* RETURN: no answer, the domain's ioreq server is to have this request */

/* One for each vCPU. The hypervisor copies what it needs once, then checks it. */
struct sio_xen_slot_shared {
	struct sio_xen_request req;
	uint64_t answer; /* the value of a read */
	uint32_t n_ops;  /* 0 again when they are done */
	uint32_t flags;  /* SIO_XEN_FORWARD; 0 again when seen */
	uint32_t eoi; /* SIO_XEN_EVENT_EOI: its vector; only in domains without an IOAPIC of Xen's */
	uint32_t taken; /* SIO_XEN_EVENT_TAKEN: its vector */
	struct sio_xen_op ops[SIO_XEN_MAX_OPS];
};

struct sio_xen_posted {
	uint64_t addr, data;
	uint8_t space, size, pad[6];
};

/* One for the domain. posted[] is a ring, filled by the hypervisor at prod, emptied by the firmware
 * at cons, both free-running; entries are older than the request in any slot, and are to be carried
 * out before it. They wait SIO_XEN_POSTED_NS at the longest. When the ring is full, writes are reflected. */
struct sio_xen_shared {
	uint32_t prod, cons;
	uint8_t pad[504];
	struct sio_xen_posted posted[SIO_XEN_MAX_POSTED];
	uint64_t shadow[SIO_XEN_SHADOW_WORDS];
	uint8_t pad2[1536];
};

#if !defined(__XEN__) && !defined(__cplusplus)
_Static_assert(sizeof(struct sio_xen_setup) == 32, "sio_xen_setup");
_Static_assert(sizeof(struct sio_xen_request) == 40, "sio_xen_request");
_Static_assert(sizeof(struct sio_xen_op) == 24, "sio_xen_op");
_Static_assert(offsetof(struct sio_xen_slot_shared, ops) == 64, "ops");
_Static_assert(offsetof(struct sio_xen_shared, shadow) == 2048, "shadow");
_Static_assert(sizeof(struct sio_xen_shared) == 4096, "sio_xen_shared");
#endif

#endif
