/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rt.h - what a conformance program finds: one processor in 32-bit flat mode with interrupts through
 * the PICs, a clock, other processors when it asks for them, and results.
 *
 * Results are lines in memory that go out through the serial port after the program has returned, so
 * that nothing is printed while a device is under test.  They are to be the same in each run:
 *     NAME: VALUE                    what a device said where the specification leaves it open
 *     CHECK NAME: VALUE, not VALUE   what it said and what the specification wants, if not the same
 *     END: checks: N                 how many there were
 * All numbers are hexadecimal.
 */
#ifndef CONFORM_RT_H
#define CONFORM_RT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LEN(a)    (sizeof(a) / sizeof((a)[0]))
#define MAX_CPUS  8u
#define BARRIER() __asm__ volatile("" ::: "memory")

/* RAM that the runtime leaves alone, for buffers: 4 MiB to the end (there are at least 64 MiB). */
#define FREE_RAM 0x400000u
#define RAM_END  0x4000000u

/* Ports.  The clobber keeps DMA and other processors' data where the program puts it. */

static inline void outb(uint16_t port, uint8_t v)
{
	__asm__ volatile("outb %0, %1" ::"a"(v), "Nd"(port) : "memory");
}

static inline void outw(uint16_t port, uint16_t v)
{
	__asm__ volatile("outw %0, %1" ::"a"(v), "Nd"(port) : "memory");
}

static inline void outl(uint16_t port, uint32_t v)
{
	__asm__ volatile("outl %0, %1" ::"a"(v), "Nd"(port) : "memory");
}

static inline uint8_t inb(uint16_t port)
{
	uint8_t v;

	__asm__ volatile("inb %1, %0" : "=a"(v) : "Nd"(port) : "memory");
	return v;
}

static inline uint16_t inw(uint16_t port)
{
	uint16_t v;

	__asm__ volatile("inw %1, %0" : "=a"(v) : "Nd"(port) : "memory");
	return v;
}

static inline uint32_t inl(uint16_t port)
{
	uint32_t v;

	__asm__ volatile("inl %1, %0" : "=a"(v) : "Nd"(port) : "memory");
	return v;
}

#define STRING_IO(name, insn, reg)                                                          \
	static inline void name(uint16_t port, const void *p, unsigned n)                   \
	{                                                                                   \
		__asm__ volatile("rep " insn : "+" reg(p), "+c"(n) : "d"(port) : "memory"); \
	}
STRING_IO(insb, "insb", "D")
STRING_IO(insw, "insw", "D")
STRING_IO(insl, "insl", "D")
STRING_IO(outsb, "outsb", "S")
STRING_IO(outsw, "outsw", "S")
STRING_IO(outsl, "outsl", "S")
#undef STRING_IO

/* Time.  clk() counts at a rate that clk_ms tells, and wraps after minutes. */
extern uint32_t clk_ms;
static inline uint32_t clk(void)
{
	return (uint32_t)(__builtin_ia32_rdtsc() >> 8);
}
void delay_ms(unsigned ms);

/* Waits for cond, at most ms; does it hold? */
#define WAIT(cond, ms)                                                         \
	({                                                                     \
		uint32_t wait_from = clk();                                    \
		bool wait_ok;                                                  \
		while (!(wait_ok = (cond)) && clk() - wait_from < (ms)*clk_ms) \
			__builtin_ia32_pause();                                \
		wait_ok;                                                       \
	})
#define LONG 5000u /* ms: longer than any disk takes */

/* Interrupts. */
extern volatile uint32_t irq_count[16];
/* Takes interrupts of the line from now on, edge-triggered; hook (or NULL) runs in the handler. */
void irq_on(unsigned irq, void (*hook)(void));
void irq_off(unsigned irq);
/* The level of a line, which must be off, and have been low when it was switched off: 3 to 7, 9 to 12, 14
 * or 15 (others have no level mode). */
bool irq_level(unsigned irq);
/* Other processors.  smp_start() brings up all and returns their number, with the first one. */
unsigned smp_start(void);
/* Runs job on processors 0 to n - 1 and waits for all. */
void smp_run(unsigned n, void (*job)(unsigned cpu));

/* PCI configuration mechanism 1, bus 0. */
#define DEVFN(dev, fn) ((unsigned)(dev) << 3 | (fn))
#define PIIX3_IDE      DEVFN(1, 1)
#define PIIX4_PM       DEVFN(1, 3)
uint32_t pci_read(unsigned devfn, unsigned reg);
void pci_write(unsigned devfn, unsigned reg, uint32_t v);
uint16_t pm_base(void); /* where the ACPI registers are, once placed */

/* fw_cfg item's first bytes. */
void fw_cfg(uint16_t key, void *p, unsigned n);

/* Results.  A name that starts with two blanks is printed behind the last one that does not. */
struct tally {
	unsigned n, good;
	uint32_t at, got, want; /* of the first that was bad */
};

void put(const char *name, uint32_t v);
void check(const char *name, uint32_t got, uint32_t want);
static inline void tally(struct tally *t, uint32_t got, uint32_t want)
{
	if (got == want)
		t->good++;
	else if (t->n == t->good)
		t->at = t->n, t->got = got, t->want = want;
	t->n++;
}
void check_all(const char *name, const struct tally *t);
/* How many interrupts came since the last call (or irq_on()); waits for late ones and for ones too many. */
void check_irqs(const char *name, unsigned irq, unsigned want);
/* The line may go up a little after the status shows why; down it goes at once. */
void check_line(const char *name, unsigned irq, bool want);

/* Ends the run with what has been found so far, which is a failure. */
void fatal(const char *why, uint32_t v) __attribute__((noreturn));

/* Resets so far, since power was switched on. */
extern unsigned boots;
/* A program that resets the machine on purpose defines it; any other's reset is a failure. */
bool may_reset(void);

uint32_t crc32(const void *p, unsigned n);
/* Numbers that only look random; *state is not 0. */
static inline uint32_t rnd(uint32_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 17;
	*state ^= *state << 5;
	return *state;
}

void *memset(void *d, int c, size_t n);
void *memcpy(void *d, const void *s, size_t n);
int memcmp(const void *a, const void *b, size_t n);

/* The program. */
void run(void);

#endif
