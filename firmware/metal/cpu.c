/* SPDX-License-Identifier: BSD-2-Clause */
/* cpu.c - memory above 4 GiB, exceptions, panic, for homes on bare processors. */
#include "firmware/metal/cpu.h"

#include <string.h>

#include "firmware/fw.h"
#include "firmware/metal/layout.h"
#include "lib/fmt.h"

_Static_assert(MAX_CONTEXTS == SIO_MAX_CONTEXTS, "layout.h");

#define STACK_SIZE (1u << STACK_SHIFT)
#define GIB        (1ull << 30)

extern uint64_t cpu_pdpt[512];
extern char cpu_stacks[MAX_CONTEXTS][STACK_SIZE];
extern const char cpu_vectors[];
extern const char _start[];

/* Whose stack this is tells which context runs. */
static unsigned context_of(uintptr_t sp)
{
	unsigned n = (unsigned)((sp - (uintptr_t)cpu_stacks) >> STACK_SHIFT);

	return n < MAX_CONTEXTS ? n : 0;
}

static void backtrace(struct sio_panic *p, uint64_t rip, uint64_t rbp)
{
	uint64_t low = (uint64_t)cpu_stacks, high = low + sizeof(cpu_stacks);

	p->n_frames = 0;
	p->frame[p->n_frames++] = rip - (uint64_t)_start;
	while (p->n_frames < SIO_MAX_FRAMES && rbp >= low && rbp + 16 <= high && rbp % 8 == 0) {
		const uint64_t *f = (const uint64_t *)rbp;

		if (!f[1])
			break;
		p->frame[p->n_frames++] = f[1] - (uint64_t)_start;
		if (f[0] <= rbp)
			break;
		rbp = f[0];
	}
}

static _Noreturn void die(struct sio_slot_shared *s, const char *why, size_t len)
{
	fw_set_text(s, why, len);
	for (;;)
		hv_call(s, SIO_HC_PANIC);
}

_Noreturn void fw_panic(const char *f, ...)
{
	char text[SIO_MAX_TEXT];
	uintptr_t sp = (uintptr_t)__builtin_frame_address(0);
	struct sio_slot_shared *s = fw_slot_of(context_of(sp));
	va_list ap;
	size_t n;

	va_start(ap, f);
	n = fmt_va(text, sizeof(text), f, ap);
	va_end(ap);
	memset(&s->panic, 0, sizeof(s->panic));
	s->panic.rip = (uint64_t)__builtin_return_address(0);
	s->panic.rsp = sp;
	backtrace(&s->panic, s->panic.rip, *(uint64_t *)sp);
	die(s, text, n);
}

struct exception_frame {
	uint64_t gpr[16];
	uint64_t vector, error, rip, cs, rflags, rsp, ss;
};

_Noreturn void cpu_exception(const struct exception_frame *e);

_Noreturn void cpu_exception(const struct exception_frame *e)
{
	struct sio_slot_shared *s = fw_slot_of(context_of((uintptr_t)e));
	char text[64];
	size_t n = fmt(text, sizeof(text), "exception %lu, error code 0x%lx", e->vector, e->error);
	struct sio_panic *p = &s->panic;

	memset(p, 0, sizeof(*p));
	p->rip = e->rip - (uint64_t)_start;
	p->rsp = e->rsp;
	p->rflags = e->rflags;
	p->vector = e->vector;
	p->error = e->error;
	__asm__("mov %%cr2, %0" : "=r"(p->cr2));
	memcpy(p->gpr, e->gpr, sizeof(p->gpr));
	backtrace(p, e->rip, e->gpr[5]);
	die(s, text, n);
}

void cpu_load_idt(bool build)
{
	static struct {
		uint16_t off0, sel;
		uint8_t ist, type;
		uint16_t off1;
		uint32_t off2, zero;
	} idt[32];
	struct __attribute__((packed)) {
		uint16_t limit;
		uint64_t base;
	} r = { sizeof(idt) - 1, (uint64_t)idt };

	for (unsigned i = 0; build && i < 32; i++) {
		uint64_t at = (uint64_t)cpu_vectors + i * 16u;

		idt[i].off0 = (uint16_t)at;
		idt[i].off1 = (uint16_t)(at >> 16);
		idt[i].off2 = (uint32_t)(at >> 32);
		idt[i].sel = 8;
		idt[i].type = 0x8e;
	}
	__asm__ volatile("lidt %0" ::"m"(r));
}

static bool has_gib_pages(void)
{
	uint32_t r[4];

	cpu_id(0x80000001u, r);
	return r[3] & 1u << 26;
}

/* Above 4 GiB: RAM and blobs. */
void cpu_map_high(uint64_t top)
{
	bool gib = has_gib_pages();

	if (top > 512 * GIB)
		fw_panic("memory above 512 GiB is not supported");
	for (uint64_t at = 4 * GIB; at < top; at += GIB) {
		uint64_t *pd;

		if (gib) {
			cpu_pdpt[at / GIB] = at | 0x83;
			continue;
		}
		pd = fw_alloc(4096, 4096);
		for (unsigned i = 0; i < 512; i++)
			pd[i] = (at + i * 0x200000ull) | 0x83;
		cpu_pdpt[at / GIB] = (uint64_t)pd | 3;
	}
}
