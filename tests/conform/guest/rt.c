/* SPDX-License-Identifier: BSD-2-Clause */
#include "rt.h"

#define MASTER     0x20u
#define SLAVE      0xa0u
#define ELCR       0x4d0u
#define OCW2_EOI   0x20u
#define OCW3_IRR   0x0au
#define OCW3_ISR   0x0bu
#define PIT_CH0    0x40u
#define PIT_MODE   0x43u
#define PIT_HZ     1193182u
#define COM1       0x3f8u
#define CODE32     8u
#define IRQ_VECTOR 32u
#define PATIENCE   60000u /* ms */
#define CASCADE    2u

#define LAPIC      0xfee00000u
#define LAPIC_SVR  0xf0u
#define LAPIC_ICR  0x300u
#define LAPIC_ICR2 0x310u
#define LAPIC_LVT0 0x350u
#define ICR_INIT   0xc4500u /* all but self */
#define ICR_SIPI   0xc46ffu /* all but self, FF000h */

/* Results outlive a reset. */
#define OUT_MAGIC 0x5e1f10c0u
struct out {
	uint32_t magic, boots, checks, len;
	char text[0x40000];
};
#define OUT ((struct out *)0x200000)

uint32_t clk_ms;
unsigned boots;
volatile uint32_t irq_count[16];

static const char *group = "";
static uint32_t started;
static void (*irq_hook[16])(void);
static uint32_t irq_seen[16];
static uint32_t idt[2 * 48];

struct frame {
	uint32_t edi, esi, ebp, esp, ebx, edx, ecx, eax, vector, error, eip, cs, eflags;
};

extern const char stubs[];
void rt_main(void);
void rt_ap(unsigned cpu);
void rt_trap(struct frame *f);

__attribute__((weak, noinline)) bool may_reset(void)
{
	return false;
}

/* By words: an interpreter takes as long for a byte. */
void *memset(void *d, int c, size_t n)
{
	uint32_t words = n / 4, bytes = n % 4, v = (uint8_t)c * 0x01010101u;
	void *p = d;

	__asm__ volatile("rep stosl" : "+D"(p), "+c"(words) : "a"(v) : "memory");
	__asm__ volatile("rep stosb" : "+D"(p), "+c"(bytes) : "a"(v) : "memory");
	return d;
}

void *memcpy(void *d, const void *s, size_t n)
{
	uint32_t words = n / 4, bytes = n % 4;
	void *p = d;

	__asm__ volatile("rep movsl" : "+D"(p), "+S"(s), "+c"(words)::"memory");
	__asm__ volatile("rep movsb" : "+D"(p), "+S"(s), "+c"(bytes)::"memory");
	return d;
}

int memcmp(const void *a, const void *b, size_t n)
{
	const uint8_t *p = a, *q = b;

	for (; n; n--, p++, q++)
		if (*p != *q)
			return *p - *q;
	return 0;
}

uint32_t crc32(const void *p, unsigned n)
{
	static uint32_t table[256];
	const uint8_t *b = p;
	uint32_t crc = ~0u;

	for (unsigned i = 0; i < 256 && !table[255]; i++) {
		table[i] = i;
		for (unsigned k = 0; k < 8; k++)
			table[i] = table[i] >> 1 ^ (table[i] & 1 ? 0xedb88320u : 0);
	}
	while (n--)
		crc = crc >> 8 ^ table[(uint8_t)crc ^ *b++];
	return ~crc;
}

/* Results */

static void add(const char *s)
{
	while (*s && OUT->len < sizeof(OUT->text))
		OUT->text[OUT->len++] = *s++;
}

static void add_hex(uint32_t v)
{
	char t[9], *p = t + 8;

	*p = 0;
	do
		*--p = "0123456789abcdef"[v & 15];
	while (v >>= 4);
	add(p);
}

/* A name that starts with blanks belongs to the last one that does not. */
static void add_name(const char *name)
{
	if (*name == ' ') {
		add(group);
		add(":");
		add(name + 1);
	} else {
		add(name);
	}
	add(": ");
}

static void note_group(const char *name)
{
	if (*name != ' ')
		group = name;
}

void put(const char *name, uint32_t v)
{
	note_group(name);
	add_name(name);
	add_hex(v);
	add("\n");
}

static bool failed(const char *name, uint32_t got, uint32_t want)
{
	note_group(name);
	OUT->checks++;
	if (got == want)
		return false;
	/* Each may have waited for what did not come. */
	if (clk() - started > PATIENCE * clk_ms)
		fatal("a minute has passed, at check", OUT->checks);
	add("CHECK ");
	add_name(name);
	add_hex(got);
	add(", not ");
	add_hex(want);
	return true;
}

void check(const char *name, uint32_t got, uint32_t want)
{
	if (failed(name, got, want))
		add("\n");
}

void check_all(const char *name, const struct tally *t)
{
	if (failed(name, t->good, t->n)) {
		add("; the first at ");
		add_hex(t->at);
		add(": ");
		add_hex(t->got);
		add(", not ");
		add_hex(t->want);
		add("\n");
	}
}

/* The serial port is in whatever state the program left it. */
static void print_results(void)
{
	outb(COM1 + 3, 0x83); /* 115200 8N1 */
	outb(COM1, 1);
	outb(COM1 + 1, 0);
	outb(COM1 + 3, 0x03);
	outb(COM1 + 1, 0);
	outb(COM1 + 4, 0x03);
	outb(COM1 + 2, 0x07);
	for (unsigned i = 0; i < OUT->len; i++) {
		if (i % 16 == 0)
			WAIT(inb(COM1 + 5) & 0x20, 1000);
		outb(COM1, (uint8_t)OUT->text[i]);
	}
	WAIT(inb(COM1 + 5) & 0x40, 1000);
}

static void __attribute__((noreturn)) power_off(void)
{
	uint16_t pm;

	__asm__ volatile("cli");
	print_results();
	pm = pm_base();
	outw(pm + 4, 0x2000); /* SUS_EN, SUS_TYP 0: soft off */
	for (;;)
		__asm__ volatile("hlt");
}

void fatal(const char *why, uint32_t v)
{
	__asm__ volatile("cli");
	add("FATAL ");
	put(why, v);
	power_off();
}

/* Time */

static unsigned pit_count(void)
{
	unsigned lo;

	outb(PIT_MODE, 0x00); /* latch channel 0 */
	lo = inb(PIT_CH0);
	return lo | (unsigned)inb(PIT_CH0) << 8;
}

static uint32_t measure_clk(void)
{
	unsigned start = pit_count(), gone;
	uint32_t from = clk();

	do
		gone = (start - pit_count()) & 0xffff;
	while (gone < PIT_HZ / 50);
	return (clk() - from) / (gone * 1000u / PIT_HZ);
}

/* The median: the host may take the processor away in the middle of one. */
static void clock_init(void)
{
	uint32_t a, b, c;

	outb(PIT_MODE, 0x34); /* mode 2, 65536 */
	outb(PIT_CH0, 0);
	outb(PIT_CH0, 0);
	a = measure_clk();
	b = measure_clk();
	c = measure_clk();
	clk_ms = a > b ? (b > c ? b : a > c ? c : a) : (a > c ? a : b > c ? c : b);
}

void delay_ms(unsigned ms)
{
	uint32_t from = clk();

	while (clk() - from < ms * clk_ms)
		__builtin_ia32_pause();
}

/* Interrupts */

static void load_idt(void)
{
	struct {
		uint16_t limit;
		uint32_t base;
	} __attribute__((packed)) r = { sizeof(idt) - 1, (uint32_t)idt };

	__asm__ volatile("lidt %0" ::"m"(r));
}

static void idt_init(void)
{
	for (unsigned i = 0; i < LEN(idt) / 2; i++) {
		uint32_t at = (uint32_t)stubs + i * 16;

		idt[i * 2] = CODE32 << 16 | (at & 0xffff);
		idt[i * 2 + 1] = (at & 0xffff0000) | 0x8e00;
	}
	load_idt();
}

static volatile uint32_t *lapic(unsigned reg)
{
	return (volatile uint32_t *)(LAPIC + reg);
}

static void pic_init(void)
{
	const struct {
		uint16_t port;
		uint8_t vector, wire;
	} pic[] = { { MASTER, IRQ_VECTOR, 1u << CASCADE }, { SLAVE, IRQ_VECTOR + 8, CASCADE } };

	for (unsigned i = 0; i < 2; i++) {
		outb(pic[i].port, 0x11);
		outb(pic[i].port + 1, pic[i].vector);
		outb(pic[i].port + 1, pic[i].wire);
		outb(pic[i].port + 1, 0x01);
		outb(pic[i].port + 1, i ? 0xff : 0xff & ~(1u << CASCADE));
		outb(ELCR + i, i ? 0xde : 0xf8); /* level mode, as after irq_off() */
	}
	/* Virtual wire mode: the PICs' interrupts come through LINT0. */
	*lapic(LAPIC_SVR) = 0x1ff;
	*lapic(LAPIC_LVT0) = 0x700;
}

static void set_mask(unsigned irq, bool masked)
{
	uint16_t port = (irq < 8 ? MASTER : SLAVE) + 1;
	uint8_t bit = (uint8_t)(1u << (irq & 7));

	outb(port, masked ? inb(port) | bit : inb(port) & (uint8_t)~bit);
}

static void set_level_mode(unsigned irq, bool level)
{
	uint16_t elcr = ELCR + irq / 8;
	uint8_t bit = (uint8_t)(1u << (irq & 7));

	outb(elcr, level ? inb(elcr) | bit : inb(elcr) & (uint8_t)~bit);
}

void irq_on(unsigned irq, void (*hook)(void))
{
	irq_hook[irq] = NULL;
	set_level_mode(irq, false);
	set_mask(irq, false);
	delay_ms(1); /* for a request that is still there from before */
	irq_hook[irq] = hook;
	irq_count[irq] = irq_seen[irq] = 0;
}

void irq_off(unsigned irq)
{
	set_mask(irq, true);
	set_level_mode(irq, true);
}

/* In level mode the request register follows the line. */
bool irq_level(unsigned irq)
{
	uint16_t port = irq < 8 ? MASTER : SLAVE;

	outb(port, OCW3_IRR);
	return inb(port) >> (irq & 7) & 1;
}

void check_irqs(const char *name, unsigned irq, unsigned want)
{
	uint32_t n;

	WAIT(irq_count[irq] - irq_seen[irq] >= want, 1000);
	delay_ms(2);
	n = irq_count[irq] - irq_seen[irq];
	irq_seen[irq] += n;
	check(name, n, want);
}

void check_line(const char *name, unsigned irq, bool want)
{
	check(name, want ? WAIT(irq_level(irq), 1000) : irq_level(irq), want);
}

void rt_trap(struct frame *f)
{
	unsigned irq = f->vector - IRQ_VECTOR;

	if (f->vector < IRQ_VECTOR) {
		put("eip", f->eip);
		fatal("exception", f->vector);
	}
	if (irq == 7 || irq == 15) {
		uint16_t port = irq < 8 ? MASTER : SLAVE;
		bool real;

		outb(port, OCW3_ISR);
		real = inb(port) & 0x80;
		outb(port, OCW3_IRR);
		if (!real && irq == 15)
			outb(MASTER, OCW2_EOI);
		if (!real)
			return;
	}
	irq_count[irq]++;
	if (irq_hook[irq])
		irq_hook[irq]();
	if (irq >= 8)
		outb(SLAVE, OCW2_EOI);
	outb(MASTER, OCW2_EOI);
}

/* Processors */

static volatile unsigned cpus_up;
static void (*volatile cpu_job[MAX_CPUS])(unsigned);

void rt_ap(unsigned cpu)
{
	load_idt();
	__atomic_add_fetch(&cpus_up, 1, __ATOMIC_SEQ_CST);
	for (;;) {
		void (*job)(unsigned) = cpu_job[cpu];

		if (job) {
			job(cpu);
			__atomic_store_n(&cpu_job[cpu], NULL, __ATOMIC_SEQ_CST);
		}
		__builtin_ia32_pause();
	}
}

unsigned smp_start(void)
{
	uint16_t n;

	fw_cfg(5, &n, sizeof(n));
	if (n > MAX_CPUS)
		fatal("processors", n);
	if (cpus_up)
		return cpus_up;
	cpus_up = 1;
	*lapic(LAPIC_ICR2) = 0;
	*lapic(LAPIC_ICR) = ICR_INIT;
	delay_ms(10);
	for (unsigned i = 0; i < 2; i++) {
		*lapic(LAPIC_ICR) = ICR_SIPI;
		delay_ms(1);
	}
	if (!WAIT(cpus_up == n, LONG))
		fatal("processors that came up", cpus_up);
	return n;
}

void smp_run(unsigned n, void (*job)(unsigned cpu))
{
	for (unsigned i = 1; i < n; i++)
		__atomic_store_n(&cpu_job[i], job, __ATOMIC_SEQ_CST);
	job(0);
	for (unsigned i = 1; i < n; i++)
		if (!WAIT(!cpu_job[i], 60000))
			fatal("processor that does not come back", i);
}

/* PCI and fw_cfg */

uint32_t pci_read(unsigned devfn, unsigned reg)
{
	outl(0xcf8, 0x80000000u | devfn << 8 | (reg & 0xfc));
	return inl(0xcfc);
}

void pci_write(unsigned devfn, unsigned reg, uint32_t v)
{
	outl(0xcf8, 0x80000000u | devfn << 8 | (reg & 0xfc));
	outl(0xcfc, v);
}

uint16_t pm_base(void)
{
	uint32_t base = pci_read(PIIX4_PM, 0x40) & 0xffc0;

	if (!base) {
		base = 0xb000;
		pci_write(PIIX4_PM, 0x40, base);
	}
	pci_write(PIIX4_PM, 0x80, pci_read(PIIX4_PM, 0x80) | 1);
	return (uint16_t)base;
}

void fw_cfg(uint16_t key, void *p, unsigned n)
{
	outw(0x510, key);
	insb(0x511, p, n);
}

void rt_main(void)
{
	if (OUT->magic != OUT_MAGIC)
		OUT->boots = OUT->checks = OUT->len = 0;
	else
		OUT->boots++;
	OUT->magic = OUT_MAGIC;
	boots = OUT->boots;
	clock_init();
	started = clk();
	idt_init();
	pic_init();
	if (boots && !may_reset())
		fatal("reset that nobody asked for", boots);
	__asm__ volatile("sti");
	run();
	put("END: checks", OUT->checks);
	power_off();
}
