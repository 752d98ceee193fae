/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * regs.c - what one access costs, in each way that an access can go: a BIOS image on the runtime of the
 * conformance programs, for a domain with --testdev.
 *
 * With two processors the second one computes without end, so that no other processor is idle.  Prints one
 * line for each kind: median, 99th percentile and worst, in ns.
 */
#include "rt.h"

#define PORT     0x640u
#define MMIO     0xfe800000u
#define REG(off) (*(volatile uint32_t *)(MMIO + (off)))

#define ROUNDS 400u
#define WARM   20u

static uint32_t sample[ROUNDS];
static uint16_t words[256];
static volatile uint32_t sink;
static volatile bool over;

static void op_cpuid(void)
{
	uint32_t a = 0, b, c, d;

	__asm__ volatile("cpuid" : "+a"(a), "=b"(b), "=c"(c), "=d"(d));
}

static void op_nobody(void)
{
	sink = inb(0x5f0);
}

static void op_port(void)
{
	sink = inl(PORT + 4);
}

static void op_port_write(void)
{
	outl(PORT + 4, 1);
}

static void op_mmio(void)
{
	sink = REG(4);
}

static void op_insw(void)
{
	insw(PORT + 12, words, 256);
}

static void op_shadow(void)
{
	sink = inl(PORT + 8);
}

static void op_posted(void)
{
	outl(PORT + 16, 1);
}

static void op_posted_seven(void)
{
	for (unsigned i = 0; i < 7; i++)
		outl(PORT + 16, i);
	sink = inl(PORT + 24);
}

static void op_page(void)
{
	sink = REG(4096);
}

static void op_bell(void)
{
	outb(PORT + 28, 0x5a);
}

static const struct {
	const char *name;
	void (*op)(void);
} ops[] = {
	{ "cpuid", op_cpuid },
	{ "port-nobody", op_nobody },
	{ "port-read", op_port },
	{ "port-write", op_port_write },
	{ "mmio-read", op_mmio },
	{ "insw-256", op_insw },
	{ "shadow-read", op_shadow },
	{ "posted-write", op_posted },
	{ "posted-7-and-read", op_posted_seven },
	{ "page-read", op_page },
	{ "doorbell", op_bell },
};

/* Shell's method: small and good enough for some hundred numbers. */
static void sort(uint32_t *v, unsigned n)
{
	for (unsigned gap = n / 2; gap; gap /= 2)
		for (unsigned i = gap; i < n; i++)
			for (unsigned k = i; k >= gap && v[k - gap] > v[k]; k -= gap) {
				uint32_t t = v[k];

				v[k] = v[k - gap];
				v[k - gap] = t;
			}
}

/* A count of clk_ms is 256 cycles. 64 bits in between, without a library. */
static uint32_t ns(uint32_t cycles)
{
	uint32_t high;

	__asm__("mull %2\n\tdivl %3" : "+a"(cycles), "=&d"(high) : "r"(1000000u >> 8), "r"(clk_ms));
	return cycles;
}

static void measure(unsigned cpu)
{
	if (cpu) {
		while (!over)
			sink++;
		return;
	}
	for (unsigned o = 0; o < LEN(ops); o++) {
		for (unsigned i = 0; i < ROUNDS + WARM; i++) {
			uint64_t t = __builtin_ia32_rdtsc();

			ops[o].op();
			t = __builtin_ia32_rdtsc() - t;
			if (i >= WARM)
				sample[i - WARM] = t > UINT32_MAX ? UINT32_MAX : (uint32_t)t;
		}
		sort(sample, ROUNDS);
		put(ops[o].name, ns(sample[ROUNDS / 2]));
		put("  99", ns(sample[ROUNDS * 99 / 100]));
		put("  worst", ns(sample[ROUNDS - 1]));
	}
	over = true;
}

void run(void)
{
	smp_run(smp_start(), measure);
	check("the device is there", inl(PORT), 0x544f4953);
}
