/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hostile.c - firmware that attacks its host: one image for each attack, chosen with -DATTACK=name.
 *
 * 32-bit code, as contexts are entered (include/sio/abi.h), linked at the address where images are
 * loaded; image.py makes the ELF file.  The name's beginning tells when the attack comes:
 *
 *   start_   in context 0, before its first RETURN
 *   req_     in the first request that the guest's BIOS causes (all ports are claimed)
 *   io_      in the I/O context, at its first event
 *
 * An attack that the host only has to survive ends with a power-off of status SURVIVED, or of the
 * number of the step that went wrong.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/virtio.h"
#include "sio/abi.h"
#include "sio/config.h"
#include "sio/slot.h"

#define SURVIVED 42u

#define RAM_SIZE   (32u << 20) /* as run.py gives it */
#define RING       0x100000u   /* in guest RAM: three pages for a queue, then data */
#define DATA       0x110000u
#define QUEUE_SIZE 16u
#define DISK       0u
#define CONSOLE    1u

#define CONFIG ((volatile struct sio_config *)(SIO_PRIV_BASE + SIO_CONFIG_OFF))

static volatile struct sio_slot_shared *slot; /* of the context that attacks */
static bool done;                             /* the attack comes once */
static char stacks[SIO_MAX_CONTEXTS][4096];

/* The compiler may call these. */
void *memcpy(void *d, const void *s, size_t n);
void *memset(void *d, int c, size_t n);

void *memcpy(void *d, const void *s, size_t n)
{
	void *r = d;

	__asm__ volatile("rep movsb" : "+D"(d), "+S"(s), "+c"(n)::"memory");
	return r;
}

void *memset(void *d, int c, size_t n)
{
	void *r = d;

	__asm__ volatile("rep stosb" : "+D"(d), "+c"(n) : "a"(c) : "memory");
	return r;
}

static void hypercall(uint32_t n)
{
	__asm__ volatile("outl %0, %1" ::"a"(n), "Nd"((uint16_t)SIO_HC_PORT) : "memory");
}

static void op3(uint32_t code, uint32_t arg, uint64_t a, uint64_t b, uint64_t c)
{
	if (slot->n_ops == SIO_MAX_OPS) {
		hypercall(SIO_HC_FLUSH);
		slot->n_ops = 0;
	}
	slot->ops[slot->n_ops].code = code;
	slot->ops[slot->n_ops].arg = arg;
	slot->ops[slot->n_ops].a = a;
	slot->ops[slot->n_ops].b = b;
	slot->ops[slot->n_ops].c = c;
	slot->n_ops++;
}

static void op(uint32_t code, uint32_t arg, uint64_t a, uint64_t b)
{
	op3(code, arg, a, b, 0);
}

static void flush(void)
{
	hypercall(SIO_HC_FLUSH);
	slot->n_ops = 0;
}

static void one(uint32_t code, uint32_t arg, uint64_t a, uint64_t b)
{
	op(code, arg, a, b);
	flush();
}

static void text(const char *s, uint32_t len)
{
	/* cppcheck-suppress arrayIndexOutOfBoundsCond ; it ends at the 0 */
	for (uint32_t i = 0; i < SIO_MAX_TEXT && s[i]; i++)
		slot->text[i] = s[i]; /* cppcheck-suppress arrayIndexOutOfBounds */
	slot->text_len = len;
}

static void power_off(uint32_t status)
{
	one(SIO_OP_POWEROFF, status, 0, 0);
}

static void write32(uint32_t at, uint32_t v)
{
	*(volatile uint32_t *)at = v;
}

/* Hypercalls and other exits */

static void start_bad_hypercall(void)
{
	hypercall(99);
}

static void start_other_port(void)
{
	__asm__ volatile("outb %b0, $0x80" ::"a"(1));
}

static void start_port_read(void)
{
	uint32_t v;

	__asm__ volatile("inl %1, %0" : "=a"(v) : "Nd"((uint16_t)SIO_HC_PORT));
}

static void start_byte_hypercall(void)
{
	__asm__ volatile("outb %b0, %w1" ::"a"(SIO_HC_RETURN), "Nd"((uint16_t)SIO_HC_PORT));
}

static void start_string_hypercall(void)
{
	const uint32_t n[64] = { SIO_HC_FLUSH, SIO_HC_FLUSH };
	const void *p = n;
	uint32_t count = 64;

	__asm__ volatile("rep outsl" : "+S"(p), "+c"(count) : "d"(SIO_HC_PORT) : "memory");
}

static void start_hlt(void)
{
	__asm__ volatile("hlt");
}

static void start_triple_fault(void)
{
	const struct {
		uint16_t limit;
		uint32_t base;
	} __attribute__((packed)) none = { 0, 0 };

	__asm__ volatile("lidt %0; ud2" ::"m"(none));
}

static void start_mmio_outside(void)
{
	write32(0xfa000000, 1);
}

static void start_mmio_no_window(void)
{
	write32(SIO_VIRTIO_BASE + 31 * SIO_VIRTIO_STRIDE, 1);
}

static void start_run_nothing(void)
{
	__asm__ volatile("jmp *%0" ::"r"(0xe0000000u));
}

static void start_write_blob(void)
{
	/* The kernel, read-only, right above 4 GiB: seen through paging, in compatibility mode. */
	static uint64_t pml4[512] __attribute__((aligned(4096)));
	static uint64_t pdpt[512] __attribute__((aligned(4096)));
	static uint64_t pd[4][512] __attribute__((aligned(4096)));

	for (unsigned g = 0; g < 4; g++) {
		for (unsigned i = 0; i < 512; i++)
			pd[g][i] = ((uint64_t)g << 30 | (uint64_t)i << 21) | 0x83;
		pdpt[g] = (uint32_t)pd[g] | 3;
	}
	pml4[0] = (uint32_t)pdpt | 3;
	pd[1][0] = CONFIG->blob[0].addr | 0x83; /* 40000000h */
	__asm__ volatile("mov %0, %%cr4; mov %1, %%cr3; wrmsr; mov %2, %%cr0" ::"r"(0x20),
			 "r"(pml4), "r"(0x80000011), "a"(0x100), "d"(0), "c"(0xc0000080)
			 : "memory");
	write32(0x40000000, 0x12345678);
}

static void start_vcpu_waits(void)
{
	hypercall(SIO_HC_WAIT);
}

static void io_returns(void)
{
	hypercall(SIO_HC_RETURN);
}

/* Operations */

static void req_n_ops(void)
{
	slot->n_ops = 0xffffffff;
	hypercall(SIO_HC_RETURN);
}

static void req_op_code(void)
{
	one(77, 0, 0, 0);
}

static void req_map_ports(void)
{
	one(SIO_OP_MAP, SIO_MAP_ARG(SIO_SPACE_PIO, 0, 1), 0xfff0, 0x100);
}

static void req_map_ports_wrap(void)
{
	one(SIO_OP_MAP, SIO_MAP_ARG(SIO_SPACE_PIO, 0, 1), 0x10, UINT64_MAX - 4);
}

static void req_map_wrap(void)
{
	one(SIO_OP_MAP, SIO_MAP_ARG(SIO_SPACE_MMIO, 0, 1), UINT64_MAX - 4, 16);
}

static void req_map_many(void)
{
	for (unsigned i = 0; i < 1000; i++)
		op(SIO_OP_MAP, SIO_MAP_ARG(SIO_SPACE_MMIO, 0, 1), 0xe0000000u + i * 4096u, 4096);
	flush();
}

static void req_map_space(void)
{
	one(SIO_OP_MAP, SIO_MAP_ARG(7, 0, 1), 0, 1);
}

static void req_map_kind(void)
{
	one(SIO_OP_MAP, SIO_MAP_ARG(SIO_SPACE_PIO, 9, 1), 0, 1);
}

static void req_map_model(void)
{
	one(SIO_OP_MAP, SIO_MAP_ARG(SIO_SPACE_PIO, 0, 200), 0, 1);
}

static void req_model_number(void)
{
	one(SIO_OP_MODEL, 9999, 0, 0);
}

static void req_model_name(void)
{
	/* An escape sequence, no final 0; shown by the fault that follows. */
	one(SIO_OP_MODEL, 1, 0x6d31335b1b6d315bull, 0xffffffffffffffffull);
	hypercall(98);
}

static void req_irq_gsi(void)
{
	one(SIO_OP_IRQ, 1000, 1, 1);
}

static void req_irq_level(void)
{
	one(SIO_OP_IRQ, 3, 2, 1);
}

/* The interrupt controllers are KVM's. */
static void req_vector(void)
{
	one(SIO_OP_VECTOR, 0x20, 0, 1);
}

static void req_levels(void)
{
	one(SIO_OP_LEVELS, 0, UINT64_MAX, 1);
}

/* What is the domain's own harm, or nobody's. */
static void req_odd_but_fine(void)
{
	for (unsigned i = 0; i < 500; i++) {
		op(SIO_OP_MSI, i * 0x01010101u, (uint64_t)i << (i % 50), 0);
		op(SIO_OP_IRQ, i % 24, i & 1, i * 77777u);
		op(SIO_OP_TIMER, 0, i % 3 ? (uint64_t)i << 40 : UINT64_MAX - i, 0);
		op(SIO_OP_UNMAP, SIO_SPACE_MMIO, (uint64_t)i << 12, 1);
		op(SIO_OP_MODEL, 1 + i % 63, 0x6f77747765656666ull * i, i);
	}
	flush();
	for (unsigned i = 0; i < sizeof(*CONFIG); i++)
		((volatile uint8_t *)CONFIG)[i] = 0xff;
	for (unsigned i = 0; i < sizeof(slot->req); i++)
		((volatile uint8_t *)&slot->req)[i] = 0xff;
	power_off(SURVIVED);
}

/* Fast paths */

static void fast(uint32_t space, uint32_t kind, uint64_t base, uint64_t len, uint64_t c)
{
	op3(SIO_OP_MAP, SIO_MAP_ARG(space, kind, 1), base, len, c);
	flush();
}

#define HOLE 0xe0000000u /* where memory may be claimed */

static void claim_memory(void)
{
	one(SIO_OP_MAP, SIO_MAP_ARG(SIO_SPACE_MMIO, 0, 1), HOLE, 1u << 21);
	one(SIO_OP_MAP, SIO_MAP_ARG(SIO_SPACE_MMIO, 0, 1), 0, 0xd0000000u);
	one(SIO_OP_MAP, SIO_MAP_ARG(SIO_SPACE_MMIO, 0, 1), 0xfe000000u, 0x2000000u);
}

static void req_fast_ports_end(void)
{
	fast(SIO_SPACE_PIO, SIO_MAP_POSTED, 0xfffe, 4, 0);
}

static void req_fast_ports_beyond(void)
{
	fast(SIO_SPACE_PIO, SIO_MAP_SHADOW, 0x10010, 1, 0);
}

static void req_fast_ports_wrap(void)
{
	fast(SIO_SPACE_PIO, SIO_MAP_POSTED, 0xffffffffffffffffull, 2, 0);
}

static void req_fast_empty(void)
{
	fast(SIO_SPACE_PIO, SIO_MAP_POSTED, 0x100, 0, 0);
}

static void req_fast_huge(void)
{
	claim_memory();
	fast(SIO_SPACE_MMIO, SIO_MAP_POSTED, 0, UINT64_MAX, 0);
}

static void req_fast_unclaimed(void)
{
	one(SIO_OP_UNMAP, SIO_SPACE_PIO, 0x102, 1);
	fast(SIO_SPACE_PIO, SIO_MAP_POSTED, 0x100, 4, 0);
}

static void req_fast_unclaimed_memory(void)
{
	claim_memory();
	fast(SIO_SPACE_MMIO, SIO_MAP_POSTED, HOLE + (1u << 21) - 8, 16, 0);
}

static void req_fast_size(void)
{
	fast(SIO_SPACE_PIO, SIO_MAP_SHADOW, 0x100, 3, 0);
}

static void req_fast_wide_port(void)
{
	fast(SIO_SPACE_PIO, SIO_MAP_CLOCK, 0x100, 8, 1 | 1ull << 32);
}

static void req_fast_shadow(void)
{
	fast(SIO_SPACE_PIO, SIO_MAP_SHADOW, 0x100, 1, SIO_MAX_SHADOWS);
}

static void req_fast_clock(void)
{
	fast(SIO_SPACE_PIO, SIO_MAP_CLOCK, 0x100, 4, 1 | 63ull << 32);
}

static void req_fast_doorbell(void)
{
	fast(SIO_SPACE_PIO, SIO_MAP_DOORBELL, 0x100, 1, (uint64_t)SIO_MAX_DOORBELLS << 32);
}

static void req_fast_filter(void)
{
	claim_memory();
	fast(SIO_SPACE_MMIO, SIO_MAP_POSTED, HOLE, 4, SIO_POSTED_C(0, SIO_NO_SHADOW, 0, 1));
}

static void req_fast_many(void)
{
	for (unsigned i = 0; i <= SIO_MAX_FAST; i++)
		op3(SIO_OP_MAP, SIO_MAP_ARG(SIO_SPACE_PIO, SIO_MAP_POSTED, 1), 0x1000 + i, 1, 0);
	flush();
}

static void req_notify_window(void)
{
	op3(SIO_OP_NOTIFY, 99, 0, 0, 0);
	flush();
}

static void req_rom_ram(void)
{
	claim_memory();
	fast(SIO_SPACE_MMIO, SIO_MAP_READTHROUGH, RAM_SIZE - SIO_PAGE, SIO_PAGE, 0);
}

static void req_rom_bios(void)
{
	claim_memory();
	fast(SIO_SPACE_MMIO, SIO_MAP_READTHROUGH, 0xfffff000u, SIO_PAGE, 0);
}

static void req_rom_apic(void)
{
	claim_memory();
	fast(SIO_SPACE_MMIO, SIO_MAP_READTHROUGH, 0xfee00000u, SIO_PAGE, 0);
}

static void req_rom_part(void)
{
	claim_memory();
	fast(SIO_SPACE_MMIO, SIO_MAP_READTHROUGH, HOLE + 8, SIO_PAGE, 0);
}

/* Behind private memory lies what the host has there. */
static void req_rom_outside(void)
{
	claim_memory();
	fast(SIO_SPACE_MMIO, SIO_MAP_READTHROUGH, HOLE, 2 * SIO_PAGE, CONFIG->priv_size - SIO_PAGE);
}

static void req_rom_outside_wrap(void)
{
	claim_memory();
	fast(SIO_SPACE_MMIO, SIO_MAP_READTHROUGH, HOLE, SIO_PAGE, 0xfffffffffffff000ull);
}

static void req_rom_twice(void)
{
	claim_memory();
	fast(SIO_SPACE_MMIO, SIO_MAP_READTHROUGH, HOLE, 2 * SIO_PAGE, 0);
	fast(SIO_SPACE_MMIO, SIO_MAP_READTHROUGH, HOLE + SIO_PAGE, SIO_PAGE, 0);
}

/* What the host has to keep count of, over and over: KVM's slots and zones, descriptors. */
static void req_fast_storm(void)
{
	claim_memory();
	for (unsigned i = 0; i < 100; i++) {
		uint32_t at = HOLE + (i % 64) * SIO_PAGE;

		op3(SIO_OP_MAP, SIO_MAP_ARG(SIO_SPACE_MMIO, 0, 1), at, SIO_PAGE, 0);
		op3(SIO_OP_MAP, SIO_MAP_ARG(SIO_SPACE_MMIO, SIO_MAP_READTHROUGH, 1), at, SIO_PAGE,
		    0);
		op3(SIO_OP_MAP, SIO_MAP_ARG(SIO_SPACE_MMIO, SIO_MAP_POSTED, 1), at, 64, 0);
		op3(SIO_OP_MAP, SIO_MAP_ARG(SIO_SPACE_PIO, SIO_MAP_DOORBELL, 1), 0x100 + i % 8, 1,
		    i % 7);
		op3(SIO_OP_MAP, SIO_MAP_ARG(SIO_SPACE_PIO, SIO_MAP_DOORBELL, 1), 0x100, 1, i % 3);
		op3(SIO_OP_MAP, SIO_MAP_ARG(SIO_SPACE_PIO, SIO_MAP_SHADOW, 1), 0x200 + i % 8, 1,
		    i % 32);
		op3(SIO_OP_MAP, SIO_MAP_ARG(SIO_SPACE_PIO, SIO_MAP_POSTED, 1), 0x200, 8,
		    ~0ull >> 8);
		op(SIO_OP_UNMAP, SIO_SPACE_MMIO, at, SIO_PAGE);
		op(SIO_OP_UNMAP, SIO_SPACE_PIO, 0x100, 0x110);
		op(SIO_OP_MAP, SIO_MAP_ARG(SIO_SPACE_PIO, 0, 1), 0x100, 0x110);
	}
	flush();
	power_off(SURVIVED);
}

/* What is another home's stays so: here nobody's. */
static void req_unmap_others(void)
{
	for (unsigned i = 0; i < 64; i++) {
		op(SIO_OP_UNMAP, SIO_SPACE_PIO, i * 1000, 1000);
		op(SIO_OP_UNMAP, SIO_SPACE_PIO, i * 1000, 1000);
		op(SIO_OP_UNMAP, SIO_SPACE_MMIO, (uint64_t)i << 40, UINT64_MAX >> 1);
		op(SIO_OP_UNMAP, SIO_SPACE_MMIO, (uint64_t)i << 12, 1);
	}
	flush();
	power_off(SURVIVED);
}

/* Ports that the BIOS uses are posted and shadowed, and what stands in the shadow page and in the slot
 * changes all the time, in the hand of another context. */
static void req_shadow_noise(void)
{
	volatile uint64_t *page = (void *)(SIO_PRIV_BASE + SIO_SHADOW_OFF);
	volatile struct sio_slot_shared *other =
		(void *)(SIO_PRIV_BASE + SIO_SLOT_OFF + SIO_SLOT_SIZE);

	for (unsigned i = 0; i < 32; i++) {
		op3(SIO_OP_MAP, SIO_MAP_ARG(SIO_SPACE_PIO, SIO_MAP_SHADOW, 1), 0x60 + i, 1, i);
		op3(SIO_OP_MAP, SIO_MAP_ARG(SIO_SPACE_PIO, SIO_MAP_POSTED, 1), 0x70 + i, 1,
		    SIO_POSTED_C(1u << i, i * 8, 0xff, i));
	}
	flush();
	for (unsigned i = 0; i < 20000; i++) {
		page[i % 512] = SIO_SHADOW_VALID | i * 0x9e3779b97f4a7c15ull;
		other->req.n_posted = slot->req.n_posted = 0xffffffff - i;
		slot->posted[i % SIO_MAX_POSTED].size = (uint8_t)i;
		slot->posted[i % SIO_MAX_POSTED].addr = UINT64_MAX - i;
		slot->mailbox.turn = i;
	}
	power_off(SURVIVED);
}

static void forward(uint32_t kind, uint32_t size, uint64_t addr, uint32_t place)
{
	slot->forward.kind = (uint8_t)kind;
	slot->forward.size = (uint8_t)size;
	slot->forward.addr = addr;
	slot->forward.place = place;
	slot->forward.data = 0;
	hypercall(SIO_HC_FORWARD);
}

static void req_forward_kind(void)
{
	forward(SIO_REQ_RESET, 4, 0, 0);
}

static void req_forward_size(void)
{
	forward(SIO_REQ_PCICFG, 8, 0, 0);
}

static void req_forward_addr(void)
{
	forward(SIO_REQ_PCICFG, 4, 0x10000, 0);
}

static void req_forward_place(void)
{
	forward(SIO_REQ_PCICFG, 4, 0, 0xffffffffu);
}

/* To itself: nobody answers. */
static void req_forward_self(void)
{
	for (unsigned i = 0; i < 100; i++)
		for (unsigned p = 0; p < SIO_N_PLACES; p++) {
			forward(SIO_REQ_PCICFG, 1u << i % 3, i, p);
			if (slot->forward.data != UINT64_MAX)
				power_off(1);
		}
	power_off(SURVIVED);
}

/* Interrupts without an exit, as many as go. */
static void req_irq_doorbells(void)
{
	if (!CONFIG->irq_doorbells)
		power_off(1);
	for (unsigned i = 0; i < 4000; i++)
		for (unsigned n = 0; n < 24; n++)
			if (CONFIG->irq_doorbells >> n & 1)
				__asm__ volatile("outb %b0, %w1" ::"a"(i),
						 "Nd"((uint16_t)(SIO_IRQ_PORT + n)));
	power_off(SURVIVED);
}

/* And for one that has none. */
static void req_irq_port(void)
{
	__asm__ volatile("outb %b0, %w1" ::"a"(1), "Nd"((uint16_t)(SIO_IRQ_PORT + 9)));
}

static void req_ops_flood(void)
{
	for (unsigned i = 0; i < 80; i++) {
		for (unsigned k = 0; k < SIO_MAX_OPS; k++)
			op3(SIO_OP_IRQ, k % 24, i & 1, i * 3, ~0ull);
		flush();
		for (unsigned k = 0; k < SIO_MAX_OPS; k++)
			op3(SIO_OP_MODEL, 1 + k % 63, ~0ull, ~0ull, ~0ull);
		flush();
	}
	power_off(SURVIVED);
}

/* Text */

static void req_text_len(void)
{
	for (unsigned i = 0; i < SIO_MAX_TEXT; i++)
		slot->text[i] = (char)(i + 1); /* control characters, escapes, the upper half */
	slot->text_len = 0xfffffff0;
	slot->text_level = SIO_LOG_ERROR;
	hypercall(SIO_HC_LOG);
	slot->text_level = 0xffffffff;
	hypercall(SIO_HC_LOG);
	power_off(SURVIVED);
}

static void req_panic(void)
{
	for (unsigned i = 0; i < sizeof(slot->panic); i++)
		((volatile uint8_t *)&slot->panic)[i] = 0xff;
	text("\x1b[2Jhostile", 0x7fffffff);
	hypercall(SIO_HC_PANIC);
	power_off(1);
}

static void req_log_flood(void)
{
	slot->text_level = SIO_LOG_ERROR;
	for (unsigned i = 0; i < 4000; i++) {
		text("flood", 5);
		hypercall(SIO_HC_LOG);
	}
	power_off(SURVIVED);
}

/* Never ending */

static void start_spin(void)
{
	for (;;)
		__asm__ volatile("pause");
}

static void req_spin(void)
{
	start_spin();
}

static void io_spin(void)
{
	start_spin();
}

static void start_yield(void)
{
	for (;;)
		hypercall(SIO_HC_YIELD);
}

static void req_yield(void)
{
	start_yield();
}

static void req_flush(void)
{
	for (;;) {
		for (unsigned i = 0; i < SIO_MAX_OPS; i++)
			op(SIO_OP_IRQ, 5, i & 1, i);
		flush();
	}
}

static void req_log(void)
{
	for (;;) {
		slot->text_level = SIO_LOG_DEBUG;
		hypercall(SIO_HC_LOG);
	}
}

/* These go on without end but answer: the user has to be able to stop them. */

static void req_reset_storm(void)
{
	op(SIO_OP_RESET, 0, 0, 0);
	done = false;
}

static void req_reset_spin(void)
{
	if (slot->req.kind == SIO_REQ_RESET)
		start_spin();
	op(SIO_OP_RESET, 0, 0, 0);
	done = false;
}

static void io_timer_storm(void)
{
	for (;;) {
		slot->n_ops = 0;
		op(SIO_OP_TIMER, 0, 0, 0);
		hypercall(SIO_HC_WAIT);
	}
}

/* Virtio windows */

static uint32_t reg(unsigned w, uint32_t off)
{
	return *(volatile uint32_t *)(SIO_VIRTIO_BASE + w * SIO_VIRTIO_STRIDE + off);
}

static void set(unsigned w, uint32_t off, uint32_t v)
{
	write32(SIO_VIRTIO_BASE + w * SIO_VIRTIO_STRIDE + off, v);
}

static volatile struct virtq_desc_shared *const desc = (void *)RING;
static volatile struct virtq_avail_shared *const avail = (void *)(RING + 4096);
static volatile struct virtq_used_shared *const used = (void *)(RING + 8192);

static void handshake(unsigned w)
{
	set(w, VIRTIO_MMIO_STATUS, 0);
	while (reg(w, VIRTIO_MMIO_STATUS))
		;
	set(w, VIRTIO_MMIO_STATUS, VIRTIO_S_ACKNOWLEDGE | VIRTIO_S_DRIVER);
	for (unsigned i = 0; i < 2; i++) {
		set(w, VIRTIO_MMIO_DEVICE_FEATURES_SEL, i);
		set(w, VIRTIO_MMIO_DRIVER_FEATURES_SEL, i);
		set(w, VIRTIO_MMIO_DRIVER_FEATURES, reg(w, VIRTIO_MMIO_DEVICE_FEATURES));
	}
	set(w, VIRTIO_MMIO_STATUS, VIRTIO_S_ACKNOWLEDGE | VIRTIO_S_DRIVER | VIRTIO_S_FEATURES_OK);
}

static void queue_at(unsigned w, unsigned q, uint32_t num, uint64_t d, uint64_t a, uint64_t u)
{
	set(w, VIRTIO_MMIO_QUEUE_SEL, q);
	set(w, VIRTIO_MMIO_QUEUE_NUM, num);
	set(w, VIRTIO_MMIO_QUEUE_DESC_LOW, (uint32_t)d);
	set(w, VIRTIO_MMIO_QUEUE_DESC_HIGH, (uint32_t)(d >> 32));
	set(w, VIRTIO_MMIO_QUEUE_DRIVER_LOW, (uint32_t)a);
	set(w, VIRTIO_MMIO_QUEUE_DRIVER_HIGH, (uint32_t)(a >> 32));
	set(w, VIRTIO_MMIO_QUEUE_DEVICE_LOW, (uint32_t)u);
	set(w, VIRTIO_MMIO_QUEUE_DEVICE_HIGH, (uint32_t)(u >> 32));
	set(w, VIRTIO_MMIO_QUEUE_READY, 1);
	set(w, VIRTIO_MMIO_STATUS, 15);
}

/* A queue that is right, and empty. */
static void good_queue(unsigned w, unsigned q)
{
	for (uint32_t i = 0; i < 3 * 4096; i += 4)
		write32(RING + i, 0);
	handshake(w);
	queue_at(w, q, QUEUE_SIZE, RING, RING + 4096, RING + 8192);
}

static void put(unsigned i, uint64_t addr, uint32_t len, uint16_t flags, uint16_t next)
{
	desc[i].addr = addr;
	desc[i].len = len;
	desc[i].flags = flags;
	desc[i].next = next;
}

static void notify(unsigned w, unsigned q, uint16_t idx)
{
	avail->idx = idx;
	set(w, VIRTIO_MMIO_QUEUE_NOTIFY, q);
}

/* Did the device stop?  The number of the step is the status otherwise. */
static void expect_stopped(unsigned w, unsigned step)
{
	if (!(reg(w, VIRTIO_MMIO_STATUS) & VIRTIO_S_NEEDS_RESET))
		power_off(step);
}

static void req_window_sizes(void)
{
	for (unsigned w = 0; w < 2; w++)
		for (uint32_t off = 0; off < 0x200; off++) {
			uint32_t at = SIO_VIRTIO_BASE + w * SIO_VIRTIO_STRIDE + off;

			*(volatile uint8_t *)at;
			*(volatile uint16_t *)at;
			*(volatile uint32_t *)at;
			*(volatile uint8_t *)at = 0xff;
			*(volatile uint16_t *)at = 0xffff;
			*(volatile uint32_t *)at = 0xffffffff;
		}
	if (reg(DISK, VIRTIO_MMIO_MAGIC) != VIRTIO_MMIO_MAGIC_VALUE)
		power_off(1);
	power_off(SURVIVED);
}

static void req_window_wide(void)
{
	/* 8 bytes at once: not a register of any kind. */
	__asm__ volatile("fninit; fildll %0; fistpll %0" ::"m"(*(uint64_t *)SIO_VIRTIO_BASE)
			 : "memory");
	power_off(SURVIVED);
}

static void req_queue_outside(void)
{
	static const uint64_t bad[] = { UINT64_MAX - 0xfff, 0xfffffffffffffff0ull,
					RAM_SIZE - 16,      RAM_SIZE,
					0xc0000000u,        SIO_VIRTIO_BASE,
					0xfffff000u,        RING + 1,
					SIO_PRIV_BASE - 16, SIO_PRIV_BASE + SIO_PRIV_MAX };

	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		for (unsigned part = 0; part < 3; part++) {
			/* The parts' own sizes and alignments differ. */
			if (bad[i] == RAM_SIZE - 16 && part == 1)
				continue;
			handshake(DISK);
			queue_at(DISK, 0, QUEUE_SIZE, part == 0 ? bad[i] : RING,
				 part == 1 ? bad[i] : RING + 4096,
				 part == 2 ? bad[i] : RING + 8192);
			expect_stopped(DISK, 1 + i);
		}
	power_off(SURVIVED);
}

static void req_queue_size(void)
{
	static const uint32_t bad[] = { 0, 3, 65, 128, 32768, 65535, 0x80000000u, 0xffffffffu };

	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		handshake(CONSOLE);
		queue_at(CONSOLE, 1, bad[i], RING, RING + 4096, RING + 8192);
		expect_stopped(CONSOLE, 1 + i);
	}
	power_off(SURVIVED);
}

static void req_descriptors(void)
{
	for (unsigned i = 0; i < 16; i++) {
		good_queue(DISK, 0);
		avail->ring[0] = 0;
		switch (i) {
		case 0: /* a loop of one */ put(0, DATA, 16, VIRTQ_DESC_F_NEXT, 0); break;
		case 1: /* of two */
			put(0, DATA, 16, VIRTQ_DESC_F_NEXT, 1);
			put(1, DATA, 16, VIRTQ_DESC_F_NEXT, 0);
			break;
		case 2: /* of empty ones */ put(0, DATA, 0, VIRTQ_DESC_F_NEXT, 0); break;
		case 3: /* a successor outside */
			put(0, DATA, 16, VIRTQ_DESC_F_NEXT, 0xffff);
			break;
		case 4: /* above RAM */ put(0, RAM_SIZE, 16, 0, 0); break;
		case 5: /* across the end of RAM */ put(0, RAM_SIZE - 8, 16, 0, 0); break;
		case 6: /* wraps */ put(0, UINT64_MAX - 8, 16, 0, 0); break;
		case 7: /* in the hole */ put(0, 0xd0000000u, 16, 0, 0); break;
		case 8: /* a window */ put(0, SIO_VIRTIO_BASE, 16, VIRTQ_DESC_F_WRITE, 0); break;
		case 9: /* across the end of private memory */
			put(0, SIO_PRIV_BASE + CONFIG->priv_size - 8, 16, 0, 0);
			break;
		case 10: /* 4 GiB long */ put(0, 0, 0xffffffff, 0, 0); break;
		case 11: /* a huge indirect table */
			put(0, DATA, 0xfffffff0u, VIRTQ_DESC_F_INDIRECT, 0);
			break;
		case 12: /* an indirect table outside */
			put(0, 0xd0000000u, 64, VIRTQ_DESC_F_INDIRECT, 0);
			break;
		case 13: /* tables in tables */
			put(0, RING, 16 * QUEUE_SIZE, VIRTQ_DESC_F_INDIRECT, 0);
			break;
		case 14: /* a head outside */ avail->ring[0] = 0x7fff; break;
		case 15: /* a jump of the index */
			put(0, DATA, 16, 0, 0);
			notify(DISK, 0, QUEUE_SIZE + 1);
			break;
		}
		if (i != 15)
			notify(DISK, 0, 1);
		expect_stopped(DISK, 1 + i);
	}
	power_off(SURVIVED);
}

/* A virtio block request: header in DATA, data at addr, status after the header. */
static void request(unsigned head, uint32_t type, uint64_t sector, uint64_t addr, uint32_t len)
{
	volatile struct virtio_blk_hdr *h = (void *)(DATA + head * 32);

	h->type = type;
	h->sector = sector;
	put(head, (uint32_t)h, 16, VIRTQ_DESC_F_NEXT, (uint16_t)(head + 1));
	put(head + 1, addr, len,
	    VIRTQ_DESC_F_NEXT | (type == VIRTIO_BLK_T_IN ? VIRTQ_DESC_F_WRITE : 0),
	    (uint16_t)(head + 2));
	put(head + 2, (uint32_t)h + 16, 1, VIRTQ_DESC_F_WRITE, 0);
}

static uint8_t status_of(unsigned head)
{
	return *(volatile uint8_t *)(DATA + head * 32 + 16);
}

/* Requests that make no sense come to a bad end each, and a good one after them succeeds. */
static void req_requests(void)
{
	static const struct {
		uint32_t type;
		uint64_t sector;
		uint32_t len;
	} bad[] = {
		{ VIRTIO_BLK_T_IN, UINT64_MAX, 512 },
		{ VIRTIO_BLK_T_IN, UINT64_MAX / 512, 512 },
		{ VIRTIO_BLK_T_OUT, 2047, 1024 },
		{ VIRTIO_BLK_T_IN, 0, 511 },
		{ VIRTIO_BLK_T_OUT, 2048, 512 },
		{ 0xffffffff, 0, 512 },
		{ VIRTIO_BLK_T_DISCARD, 0, 7 },
		{ VIRTIO_BLK_T_WRITE_ZEROES, 0, 4096 },
		{ VIRTIO_BLK_T_IN, 1ull << 55, 1u << 20 },
		{ VIRTIO_BLK_T_DISCARD, 0, 16 },
	};
	uint16_t idx = 0;

	good_queue(DISK, 0);
	for (unsigned i = 0; i <= sizeof(bad) / sizeof(bad[0]); i++) {
		bool good = i == sizeof(bad) / sizeof(bad[0]);

		for (uint32_t k = 0; k < 4096; k += 4)
			write32(DATA + 0x1000 + k, 0xffffffff);
		request(0, good ? VIRTIO_BLK_T_IN : bad[i].type, good ? 1 : bad[i].sector,
			DATA + 0x1000, good ? 512 : bad[i].len);
		*(volatile uint8_t *)(DATA + 16) = 0xee;
		avail->ring[idx % QUEUE_SIZE] = 0;
		notify(DISK, 0, ++idx);
		while (used->idx != idx)
			;
		if ((status_of(0) == VIRTIO_BLK_S_OK) != good)
			power_off(1 + i);
	}
	power_off(SURVIVED);
}

/* The host writes a disk's content, all ones, over the slot: it must not believe that either. */
static void req_dma_slot(void)
{
	good_queue(DISK, 0);
	request(0, VIRTIO_BLK_T_IN, 0, (uint32_t)slot, SIO_PAGE);
	avail->ring[0] = 0;
	notify(DISK, 0, 1);
	while (used->idx != 1)
		;
	hypercall(SIO_HC_RETURN);
}

/* Many requests in flight, their memory used anew, resets in between. */
static void req_in_flight(void)
{
	for (unsigned round = 0; round < 20; round++) {
		good_queue(DISK, 0);
		for (unsigned n = 0; n < 5; n++) {
			request(n * 3, n & 1 ? VIRTIO_BLK_T_IN : VIRTIO_BLK_T_OUT, n * 64,
				DATA + 0x1000, 32768);
			avail->ring[n] = (uint16_t)(n * 3);
		}
		notify(DISK, 0, 5);
		for (uint32_t i = 0; i < 3 * 4096; i += 4)
			write32(RING + i, 0xffffffff);
	}
	power_off(SURVIVED);
}

/* The console: buffers in read-only and missing places, both queues at once on the same memory. */
static void req_console(void)
{
	for (unsigned q = 0; q < 2; q++) {
		good_queue(CONSOLE, q);
		queue_at(CONSOLE, !q, QUEUE_SIZE, RING, RING + 4096, RING + 8192);
		put(0, DATA, 64, VIRTQ_DESC_F_NEXT | VIRTQ_DESC_F_WRITE, 1);
		put(1, DATA, 64, 0, 0);
		notify(CONSOLE, q, 1);
		notify(CONSOLE, !q, 1);
		good_queue(CONSOLE, q);
		put(0, CONFIG->blob[0].addr, 64, VIRTQ_DESC_F_WRITE, 0);
		notify(CONSOLE, q, 1);
		for (unsigned i = 0; i < 8; i++)
			set(CONSOLE, VIRTIO_MMIO_QUEUE_NOTIFY, 0xffffffffu - i);
	}
	power_off(SURVIVED);
}

static void attack(void)
{
	ATTACK();
}

static void serve(unsigned context);

__attribute__((section(".text.entry"), naked, used)) void _start(void)
{
	__asm__ volatile("mov %%ecx, %%eax\n"
			 "inc %%eax\n"
			 "shl $12, %%eax\n"
			 "lea %c0(%%eax), %%esp\n"
			 "push %%ecx\n"
			 "call %P1\n"
			 "ud2\n" ::"i"(stacks),
			 "i"(serve));
}

static void serve(unsigned context)
{
	volatile struct sio_slot_shared *mine =
		(void *)(SIO_PRIV_BASE + SIO_SLOT_OFF + context * SIO_SLOT_SIZE);
	bool io = context == CONFIG->n_vcpus;

	if (context == 0) {
		slot = mine;
		if (PHASE == 's')
			attack();
		slot->n_ops = 0;
		op(SIO_OP_MODEL, 1, 0x656c6974736f68ull, 0);
		op(SIO_OP_MAP, SIO_MAP_ARG(SIO_SPACE_PIO, 0, 1), 0, 0x10000);
		op(SIO_OP_TIMER, 0, 1000000, 0);
	}
	for (;;) {
		hypercall(io ? SIO_HC_WAIT : SIO_HC_RETURN);
		mine->n_ops = 0;
		if ((io ? PHASE != 'i' : PHASE != 'r') || done)
			continue;
		done = true;
		slot = mine;
		attack();
	}
}
