/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * domain.c - a domain that tests reflection: a guest that makes accesses and a firmware that answers
 * them, in one image. Both see each other's memory, so the guest checks what the firmware was told.
 *
 * The domain's cmdline= is the name of what it does: "all" for the checks, "time", or one of the
 * attacks of hostile(). Results are lines on the debug port E9h (xl dmesg), the last one is "END".
 */
#include "sio/xen.h"

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;

#ifndef HVM_NAME
#define HVM_NAME "all"
#endif

#define NR_VCPUS  2u
#define PORT      0x120u /* the tested ports, 100h-21fh: reflected */
#define BOTH      0x180u
#define SHADOW    0x200u /* 7 of them answered from shadow[4] */
#define POSTED    0x210u /* 16 of them whose writes wait */
#define MMIO      0xd0001000u
#define MMIO_FP   0xd0002000u /* memory with both fast paths and no more: 7 bytes of shadow[16] */
#define QEMU_MMIO 0xe0000000u
#define LAPIC     0xfee00000u
#define VALID     0x8000000000000000ull /* of shadow[] */
#define VGA       0xb8000u
#define OUT_BASE  0x9000u /* where real_code puts what it read */

extern char hypercall_page[], fw_entry[], garbage[], ap_start[], ap_end[];
extern u64 pml4[6][512], long_result[];
extern char stub_nmi[], stub_db[], stub_vector[], stub_other[];
void to_real(void);
void to_long(void);
u32 step_in(void);
void guest_main(u32 info);
void ap_main(void);
void fw_main(struct sio_xen_slot_shared *slot, u32 cpu, struct sio_xen_shared *shared);
void on_nmi(u32 eip), on_db(u32 eip), on_vector(u32 eip), on_other(const u32 *frame);
void *memcpy(void *to, const void *from, unsigned int n);
void *memset(void *to, int c, unsigned int n);

/* --- machine --- */

#define barrier() __asm__ volatile("" ::: "memory")

static inline u32 in(u32 port, u32 size)
{
	u32 v = ~0u;

	if (size == 1)
		__asm__ volatile("inb %%dx, %%al" : "+a"(v) : "d"(port) : "memory");
	else if (size == 2)
		__asm__ volatile("inw %%dx, %%ax" : "+a"(v) : "d"(port) : "memory");
	else
		__asm__ volatile("inl %%dx, %%eax" : "+a"(v) : "d"(port) : "memory");
	return v;
}

static inline void out(u32 port, u32 size, u32 v)
{
	if (size == 1)
		__asm__ volatile("outb %%al, %%dx" ::"a"(v), "d"(port) : "memory");
	else if (size == 2)
		__asm__ volatile("outw %%ax, %%dx" ::"a"(v), "d"(port) : "memory");
	else
		__asm__ volatile("outl %%eax, %%dx" ::"a"(v), "d"(port) : "memory");
}

static inline u64 rdtsc(void)
{
	u64 t;

	__asm__ volatile("rdtsc" : "=A"(t));
	return t;
}

static void cpuid(u32 leaf, u32 sub, u32 r[4])
{
	__asm__ volatile("cpuid"
			 : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3])
			 : "0"(leaf), "2"(sub));
}

static void wrmsr(u32 msr, u64 v)
{
	__asm__ volatile("wrmsr" ::"c"(msr), "A"(v) : "memory");
}

static volatile u32 *lapic(u32 reg)
{
	return (volatile u32 *)(LAPIC + reg);
}

static void put(char c)
{
	out(0xe9, 1, (u8)c);
}

static void say(const char *s)
{
	while (*s)
		put(*s++);
}

static void say_num(u64 v)
{
	char buf[20];
	int n = 0;
	u32 x = (u32)v;

	do
		buf[n++] = (char)('0' + x % 10);
	while (x /= 10);
	while (n)
		put(buf[--n]);
}

static void say_hex(u32 v)
{
	for (int i = 28; i >= 0; i -= 4)
		put("0123456789abcdef"[v >> i & 15]);
}

static void result(const char *name, const char *verdict)
{
	say(verdict);
	say(" ");
	say(name);
	say("\n");
}

void *memcpy(void *to, const void *from, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		((volatile char *)to)[i] = ((const char *)from)[i];
	return to;
}

void *memset(void *to, int c, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		((volatile char *)to)[i] = (char)c;
	return to;
}

/* --- hypercalls --- */

#define HC_memory 12u
#define HC_sched  29u
#define HC_evtchn 32u
#define HC_hvm    34u

static long hypercall(u32 nr, u32 a, const void *b)
{
	long r;
	u32 c = (u32)b;

	__asm__ volatile("call *%3"
			 : "=a"(r), "+b"(a), "+c"(c)
			 : "r"(hypercall_page + nr * 32)
			 : "memory");
	return r;
}

static u32 xen_leaf(void)
{
	u32 leaf = 0x40000000, r[4];

	for (; leaf < 0x40010000; leaf += 0x100) {
		cpuid(leaf, 0, r);
		if (r[1] == 0x566e6558)
			break;
	}
	return leaf;
}

static void __attribute__((noreturn)) power_off(void)
{
	u32 reason = 0;

	say("END\n");
	for (;;)
		hypercall(HC_sched, 2, &reason);
}

/* --- the firmware --- */

static struct sio_xen_shared shared_page __attribute__((aligned(4096)));

/* A slot is a page. */
static union {
	struct sio_xen_slot_shared slot;
	char page[4096];
} slot_page[NR_VCPUS] __attribute__((aligned(4096)));

static volatile struct {
	struct sio_xen_request seen; /* the last request */
	u32 n;                       /* requests since the guest cleared it */
	u64 events;
	u32 entries; /* from the entry point */
	u64 answer;
	u32 flags;
	u32 n_ops;
	struct sio_xen_op ops[4];
	void (*act)(u32 cpu); /* once, before the answer */
} fw[NR_VCPUS];

static volatile u32 posted_n;
static struct sio_xen_posted posted_log[128];
static volatile u32 fw_lock;

static void lock(void)
{
	while (__sync_lock_test_and_set(&fw_lock, 1))
		__asm__ volatile("pause");
}

static void unlock(void)
{
	__sync_lock_release(&fw_lock);
}

static void drain(struct sio_xen_shared *s)
{
	while (s->cons != *(volatile u32 *)&s->prod) {
		barrier();
		posted_log[posted_n++ % 128] = s->posted[s->cons % SIO_XEN_MAX_POSTED];
		barrier();
		*(volatile u32 *)&s->cons = s->cons + 1;
	}
}

/* Items of a string request: reads get 41h, 42h ... in each byte's low end, writes are added up. */
static u32 string_sum;

static void string_io(const struct sio_xen_request *r)
{
	u32 at = (u32)r->data;

	string_sum = 0;
	for (u32 i = 0; i < r->count; i++) {
		u32 v = 0x41 + i;

		if (r->write) {
			v = 0;
			memcpy(&v, (void *)at, r->size > 4 ? 4 : r->size);
			string_sum += v;
		} else {
			memset((void *)at, 0, r->size);
			*(u8 *)at = (u8)v;
		}
		at += r->flags & SIO_XEN_REQ_DOWN ? -(u32)r->size : r->size;
	}
}

/* Operations at once. */
static long flush_on(u32 cpu, u32 code, u32 arg, u64 a, u64 b)
{
	slot_page[cpu].slot.ops[0] = (struct sio_xen_op){ code, arg, a, b };
	slot_page[cpu].slot.n_ops = 1;
	return hypercall(HC_hvm, HVMOP_reflect_flush, 0);
}

static long flush_op(u32 code, u32 arg, u64 a, u64 b)
{
	return flush_on(0, code, arg, a, b);
}

static void map_all(u32 cpu)
{
	static const struct {
		u32 arg, base;
		u64 len;
	} m[] = {
		{ SIO_XEN_MAP_ARG(0, 0, 0), 0x100, 0x120 },
		{ SIO_XEN_MAP_ARG(0, SIO_XEN_SHADOW, 32), SHADOW, 7 },
		{ SIO_XEN_MAP_ARG(0, SIO_XEN_POSTED, 0), POSTED, SIO_XEN_MAP_B(16, ~0u) },
		{ SIO_XEN_MAP_ARG(1, 0, 0), MMIO, 0x1000 },
		{ SIO_XEN_MAP_ARG(1, SIO_XEN_SHADOW, 128), MMIO_FP, 7 },
		{ SIO_XEN_MAP_ARG(1, SIO_XEN_POSTED, 0), MMIO_FP, 1024 },
		{ SIO_XEN_MAP_ARG(1, 0, 0), VGA, 0x8000 },
	};

	for (u32 i = 0; i < sizeof(m) / sizeof(m[0]); i++)
		flush_on(cpu, SIO_XEN_OP_MAP, m[i].arg, m[i].base, m[i].len);
}

static u32 restored;

void fw_main(struct sio_xen_slot_shared *slot, u32 cpu, struct sio_xen_shared *s)
{
	lock();
	fw[cpu].entries++;
	unlock();
	for (;;) {
		struct sio_xen_request r = slot->req;

		lock();
		if (r.events & SIO_XEN_EVENT_RESTORED && !restored++)
			map_all(cpu);
		drain(s);
		unlock();
		fw[cpu].seen = r;
		fw[cpu].n++;
		fw[cpu].events |= r.events;
		if (r.kind <= SIO_XEN_REQ_EVENT && r.flags & SIO_XEN_REQ_PTR)
			string_io(&r);
		if (fw[cpu].act) {
			void (*act)(u32) = fw[cpu].act;

			fw[cpu].act = 0;
			act(cpu);
		}
		slot->answer = fw[cpu].answer;
		slot->flags = fw[cpu].flags;
		for (u32 i = 0; i < fw[cpu].n_ops; i++)
			slot->ops[i] = fw[cpu].ops[i];
		slot->n_ops = fw[cpu].n_ops;
		fw[cpu].n_ops = 0;
		fw[cpu].flags = 0;
		hypercall(HC_hvm, HVMOP_reflect_return, 0);
	}
}

/* --- the guest --- */

static u32 failures;

static void check(int ok, const char *name, const char *what)
{
	if (ok)
		return;
	failures++;
	say("    ");
	say(name);
	say(": not true: ");
	say(what);
	say("\n");
}
#define CHECK(x) check(!!(x), test_name, #x)

static const char *test_name;

static void begin(const char *name)
{
	test_name = name;
	failures = 0;
	for (u32 i = 0; i < NR_VCPUS; i++) {
		fw[i].n = 0;
		fw[i].events = 0;
	}
}

static void end(void)
{
	result(test_name, failures ? "FAIL" : "PASS");
}

static void fw_op(u32 cpu, u32 code, u32 arg, u64 a, u64 b)
{
	u32 n = fw[cpu].n_ops;

	fw[cpu].ops[n].code = code;
	fw[cpu].ops[n].arg = arg;
	fw[cpu].ops[n].a = a;
	fw[cpu].ops[n].b = b;
	barrier();
	fw[cpu].n_ops = n + 1;
}

static long setup_with(u32 entry, u32 slots_at, u32 shared_at)
{
	struct sio_xen_setup s = { SIO_XEN_VERSION, entry, slots_at, shared_at, 0, 0 };

	return hypercall(HC_hvm, HVMOP_reflect_setup, &s);
}

static long setup(void)
{
	return setup_with((u32)fw_entry, (u32)slot_page, (u32)&shared_page);
}

static void map(u32 space, u32 kind, u32 at, u64 base, u64 len)
{
	flush_op(SIO_XEN_OP_MAP, SIO_XEN_MAP_ARG(space, kind, at), base, len);
}

static void start(void)
{
	CHECK(setup() == 0);
	map_all(0);
}

static int saw(u32 cpu, u32 kind, u32 write, u32 size, u32 count, u64 addr)
{
	struct sio_xen_request r;

	memcpy(&r, (void *)&fw[cpu].seen, sizeof(r));
	return r.kind == kind && r.write == write && r.size == size && r.count == count &&
	       r.addr == addr;
}

static void test_pio(void)
{
	begin("pio-in");
	fw[0].answer = 0x8899aabbccddeeffull;
	CHECK(in(PORT, 1) == 0xffffffff && saw(0, SIO_XEN_REQ_PIO, 0, 1, 1, PORT));
	fw[0].answer = 0xaabbcc11;
	CHECK(in(PORT + 1, 1) == 0xffffff11 && saw(0, SIO_XEN_REQ_PIO, 0, 1, 1, PORT + 1));
	CHECK(in(PORT, 2) == 0xffffcc11 && saw(0, SIO_XEN_REQ_PIO, 0, 2, 1, PORT));
	CHECK(in(PORT, 4) == 0xaabbcc11 && saw(0, SIO_XEN_REQ_PIO, 0, 4, 1, PORT));
	CHECK(fw[0].n == 4 && fw[0].entries == 1);
	end();

	begin("pio-out");
	out(PORT, 1, 0x11223344);
	CHECK(saw(0, SIO_XEN_REQ_PIO, 1, 1, 1, PORT) && fw[0].seen.data == 0x44);
	out(PORT, 2, 0x11223344);
	CHECK(saw(0, SIO_XEN_REQ_PIO, 1, 2, 1, PORT) && fw[0].seen.data == 0x3344);
	out(PORT, 4, 0x11223344);
	CHECK(saw(0, SIO_XEN_REQ_PIO, 1, 4, 1, PORT) && fw[0].seen.data == 0x11223344);
	CHECK(fw[0].n == 3);
	end();

	begin("pio-not-mine");
	CHECK(in(0x300, 4) == ~0u && in(0xfe, 1) == ~0u);
	out(0x300, 4, 1);
	CHECK(fw[0].n == 0);
	end();

	begin("clock");
	u64 t = fw[0].seen.now_ns;
	for (u32 i = 0; i < 100; i++) {
		in(PORT, 1);
		CHECK(fw[0].seen.now_ns > t);
		t = fw[0].seen.now_ns;
	}
	end();
}

static u8 buffer[8192] __attribute__((aligned(4096)));

static u32 rep(u32 ins, u32 size, u32 *at, u32 count, u32 down)
{
	u32 c = count, a = *at;

	if (down)
		__asm__ volatile("std" ::: "memory");
	if (ins && size == 1)
		__asm__ volatile("rep insb" : "+c"(c), "+D"(a) : "d"(PORT) : "memory");
	else if (ins && size == 2)
		__asm__ volatile("rep insw" : "+c"(c), "+D"(a) : "d"(PORT) : "memory");
	else if (ins)
		__asm__ volatile("rep insl" : "+c"(c), "+D"(a) : "d"(PORT) : "memory");
	else if (size == 1)
		__asm__ volatile("rep outsb" : "+c"(c), "+S"(a) : "d"(PORT) : "memory");
	else if (size == 2)
		__asm__ volatile("rep outsw" : "+c"(c), "+S"(a) : "d"(PORT) : "memory");
	else
		__asm__ volatile("rep outsl" : "+c"(c), "+S"(a) : "d"(PORT) : "memory");
	__asm__ volatile("cld" ::: "memory");
	*at = a;
	return c;
}

static void test_string(void)
{
	u32 at;

	begin("rep-ins");
	for (u32 size = 1; size <= 4; size *= 2) {
		memset(buffer, 0xee, sizeof(buffer));
		fw[0].n = 0;
		at = (u32)buffer + 16;
		CHECK(rep(1, size, &at, 100, 0) == 0 && at == (u32)buffer + 16 + 100 * size);
		CHECK(fw[0].n == 1 && saw(0, SIO_XEN_REQ_PIO, 0, (u8)size, 100, PORT));
		CHECK(fw[0].seen.flags == SIO_XEN_REQ_PTR && fw[0].seen.data == (u32)buffer + 16);
		CHECK(buffer[15] == 0xee && buffer[16] == 0x41 &&
		      buffer[16 + 99 * size] == (u8)(0x41 + 99));
		CHECK(buffer[16 + 100 * size] == 0xee);
	}
	end();

	begin("rep-ins-sector");
	fw[0].n = 0;
	at = (u32)buffer;
	CHECK(rep(1, 2, &at, 256, 0) == 0 && fw[0].n == 1 && fw[0].seen.count == 256);
	end();

	begin("rep-ins-across-pages");
	memset(buffer, 0, sizeof(buffer));
	at = (u32)buffer + 4096 - 64;
	fw[0].n = 0;
	CHECK(rep(1, 2, &at, 100, 0) == 0 && at == (u32)buffer + 4096 - 64 + 200);
	CHECK(fw[0].n == 2 && fw[0].seen.data == (u32)buffer + 4096 && fw[0].seen.count == 68);
	CHECK(buffer[4096 - 64] == 0x41 && buffer[4096] == 0x41 &&
	      buffer[4096 + 67 * 2] == (u8)(0x41 + 67));
	/* an item on both pages */
	at = (u32)buffer + 4096 - 2;
	fw[0].n = 0;
	CHECK(rep(1, 4, &at, 2, 0) == 0 && at == (u32)buffer + 4096 + 6);
	end();

	begin("rep-ins-down");
	memset(buffer, 0xee, sizeof(buffer));
	at = (u32)buffer + 400;
	fw[0].n = 0;
	CHECK(rep(1, 4, &at, 10, 1) == 0 && at == (u32)buffer + 400 - 40);
	CHECK(fw[0].n == 1 && fw[0].seen.flags == (SIO_XEN_REQ_PTR | SIO_XEN_REQ_DOWN));
	CHECK(fw[0].seen.data == (u32)buffer + 400 && buffer[400] == 0x41 && buffer[364] == 0x4a);
	end();

	begin("rep-outs");
	for (u32 size = 1; size <= 4; size *= 2) {
		memset(buffer, 0, sizeof(buffer));
		for (u32 i = 0; i < 50; i++)
			buffer[32 + i * size] = (u8)i;
		at = (u32)buffer + 32;
		fw[0].n = 0;
		CHECK(rep(0, size, &at, 50, 0) == 0 && at == (u32)buffer + 32 + 50 * size);
		CHECK(fw[0].n == 1 && saw(0, SIO_XEN_REQ_PIO, 1, (u8)size, 50, PORT) &&
		      string_sum == 49 * 25);
	}
	end();
}

static void test_mmio(void)
{
	volatile u32 *m = (volatile u32 *)MMIO;
	u32 v, at, c;

	begin("mmio-load");
	fw[0].answer = 0xaabbcc55;
	CHECK(m[0] == 0xaabbcc55 && saw(0, SIO_XEN_REQ_MMIO, 0, 4, 1, MMIO));
	CHECK(((volatile u16 *)m)[3] == 0xcc55 && saw(0, SIO_XEN_REQ_MMIO, 0, 2, 1, MMIO + 6));
	CHECK(((volatile u8 *)m)[9] == 0x55 && saw(0, SIO_XEN_REQ_MMIO, 0, 1, 1, MMIO + 9));
	__asm__ volatile("movsbl %1, %0" : "=r"(v) : "m"(((volatile u8 *)m)[9]));
	CHECK(v == 0x55 && fw[0].n == 4);
	end();

	begin("mmio-store");
	m[1] = 0x12345678;
	CHECK(saw(0, SIO_XEN_REQ_MMIO, 1, 4, 1, MMIO + 4) && fw[0].seen.data == 0x12345678);
	((volatile u8 *)m)[7] = 0x9a;
	CHECK(saw(0, SIO_XEN_REQ_MMIO, 1, 1, 1, MMIO + 7) && fw[0].seen.data == 0x9a &&
	      fw[0].n == 2);
	end();

	begin("mmio-read-modify-write");
	fw[0].answer = 41;
	__asm__ volatile("addl $1, %0" : "+m"(m[2]));
	CHECK(fw[0].n == 2 && saw(0, SIO_XEN_REQ_MMIO, 1, 4, 1, MMIO + 8) && fw[0].seen.data == 42);
	v = 7;
	__asm__ volatile("xchgl %0, %1" : "+r"(v), "+m"(m[2]));
	CHECK(v == 41 && fw[0].n == 4 && fw[0].seen.data == 7);
	__asm__ volatile("orb $0x80, %0" : "+m"(((volatile u8 *)m)[8]));
	CHECK(fw[0].n == 6 && saw(0, SIO_XEN_REQ_MMIO, 1, 1, 1, MMIO + 8) &&
	      fw[0].seen.data == 0xa9);
	end();

	begin("mmio-push-pop");
	fw[0].answer = 0x600dcafe;
	__asm__ volatile("pushl %1; popl %0" : "=r"(v) : "m"(m[3]));
	CHECK(v == 0x600dcafe && fw[0].n == 1);
	end();

	begin("mmio-rep-movs");
	memset(buffer, 0, 512);
	at = (u32)buffer;
	v = MMIO + 64;
	c = 20;
	fw[0].n = 0;
	__asm__ volatile("rep movsl" : "+c"(c), "+S"(v), "+D"(at)::"memory");
	CHECK(c == 0 && v == MMIO + 64 + 80 && fw[0].n == 1 &&
	      saw(0, SIO_XEN_REQ_MMIO, 0, 4, 20, MMIO + 64));
	CHECK(fw[0].seen.flags == SIO_XEN_REQ_PTR && buffer[0] == 0x41 && buffer[76] == 0x41 + 19);
	at = MMIO + 128;
	v = (u32)buffer;
	c = 20;
	__asm__ volatile("rep movsl" : "+c"(c), "+S"(v), "+D"(at)::"memory");
	CHECK(c == 0 && fw[0].n == 2 && saw(0, SIO_XEN_REQ_MMIO, 1, 4, 20, MMIO + 128) &&
	      string_sum == 20 * 0x41 + 190);
	end();

	begin("mmio-rep-stos");
	at = MMIO + 256;
	c = 16;
	__asm__ volatile("rep stosl" : "+c"(c), "+D"(at) : "a"(0x5a5a5a5a) : "memory");
	CHECK(c == 0 && fw[0].n == 1 && saw(0, SIO_XEN_REQ_MMIO, 1, 4, 16, MMIO + 256));
	CHECK(fw[0].seen.flags == 0 && fw[0].seen.data == 0x5a5a5a5a);
	end();
}

/* Until no timer of a posted write is left, whose event would count: they are due before this one. Stopped, it leaves
 * nothing behind: an event that is due comes before the guest goes on. */
static void settle(void)
{
	in(PORT, 1);
	u64 t = fw[0].seen.now_ns + SIO_XEN_POSTED_NS + 1000000;

	fw_op(0, SIO_XEN_OP_TIMER, 0, t, 0);
	in(PORT, 1);
	for (u32 i = 0; i < 100000000 && fw[0].seen.now_ns < t; i++)
		barrier();
	fw_op(0, SIO_XEN_OP_TIMER, 0, 0, 0);
	in(PORT, 1);
}

static void test_fast(void)
{
	volatile u32 *m = (volatile u32 *)MMIO_FP;
	u32 i;

	begin("shadow-read");
	shared_page.shadow[4] = 0x80ccbbaa44332211;
	shared_page.shadow[16] = 0x8000000012345678;
	CHECK((in(SHADOW, 1) & 0xff) == 0x11 && (in(SHADOW + 3, 2) & 0xffff) == 0xaa44);
	CHECK(in(SHADOW + 3, 4) == 0xccbbaa44 && m[0] == 0x12345678 && fw[0].n == 0);
	out(SHADOW + 1, 1, 5); /* writes are reflected */
	CHECK(fw[0].n == 1 && saw(0, SIO_XEN_REQ_PIO, 1, 1, 1, SHADOW + 1));
	fw[0].answer = 0x5a;
	CHECK(in(SHADOW + 4, 4) == 0x5a && fw[0].n == 2); /* beyond its end: reflected */
	shared_page.shadow[4] ^= VALID;
	CHECK(in(SHADOW, 4) == 0x5a && fw[0].n == 3);
	shared_page.shadow[4] ^= VALID;
	shared_page.shadow[16] ^= VALID;
	CHECK(m[0] == ~0u && fw[0].n == 3); /* nobody's */
	posted_n = 0;
	out(POSTED, 1, 1); /* while it waits, a read goes to the firmware */
	CHECK((in(SHADOW, 4) == 0x5a || fw[0].events & SIO_XEN_EVENT_TIMER) && posted_n == 1);
	CHECK(in(SHADOW, 4) == 0x44332211);
	settle();
	end();

	begin("posted-write");
	posted_n = 0;
	fw[0].answer = 0x77;
	for (i = 0; i < 10; i++)
		out(POSTED + i, 1, i + 1);
	m[3] = 0xabcdef01;
	CHECK(fw[0].n == 0 || posted_n); /* unless SIO_XEN_POSTED_NS has passed */
	CHECK((in(PORT, 1) & 0xff) == 0x77 && posted_n == 11);
	for (i = 0; i < 10; i++)
		CHECK(posted_log[i].space == 0 && posted_log[i].size == 1 &&
		      posted_log[i].addr == POSTED + i && posted_log[i].data == i + 1);
	CHECK(posted_log[10].space == 1 && posted_log[10].addr == MMIO_FP + 12 &&
	      posted_log[10].data == 0xabcdef01);
	CHECK((in(POSTED, 1) & 0xff) == 0x77); /* reads are reflected */
	settle();
	end();

	begin("posted-late");
	posted_n = 0;
	out(POSTED, 4, 0x1234);
	for (i = 0; i < 100000000 && !posted_n; i++)
		barrier();
	CHECK(posted_n == 1 && fw[0].events & SIO_XEN_EVENT_TIMER &&
	      fw[0].seen.kind == SIO_XEN_REQ_EVENT);
	end();

	begin("posted-full");
	posted_n = 0;
	shared_page.cons = shared_page.prod - SIO_XEN_MAX_POSTED; /* as if nothing had been taken */
	out(POSTED, 1, 9);
	CHECK(fw[0].n == 1 && saw(0, SIO_XEN_REQ_PIO, 1, 1, 1, POSTED) &&
	      posted_n == SIO_XEN_MAX_POSTED);
	end();

	begin("unmap");
	fw[0].answer = 0x5a;
	fw_op(0, SIO_XEN_OP_UNMAP, SIO_XEN_MAP_ARG(0, SIO_XEN_SHADOW, 32), SHADOW, 7);
	in(PORT, 1);
	fw[0].n = 0;
	CHECK(in(SHADOW, 4) == 0x5a && fw[0].n == 1);
	fw_op(0, SIO_XEN_OP_MAP, SIO_XEN_MAP_ARG(0, SIO_XEN_SHADOW, 32), SHADOW, 7);
	in(PORT, 1);
	CHECK((in(SHADOW, 1) & 0xff) == 0x11);
	end();

	begin("posted-stale"); /* the words of its own register, and of dirties: not if all that care says is as it was */
	map(0, SIO_XEN_SHADOW, 64, BOTH, 1);
	map(0, SIO_XEN_POSTED | SIO_XEN_OWN(9), SIO_XEN_POSTED_AT(0, 0x10), BOTH,
	    SIO_XEN_MAP_B(1, 1u << 4));
	shared_page.shadow[8] = VALID | 0x77;
	for (u32 what = 0; what < 3; what++) {
		shared_page.shadow[9] = (what < 2 ? VALID : 0) | 0x30;
		fw[0].n = fw[0].events = posted_n = 0;
		CHECK((in(BOTH, 1) & 0xff) == 0x77);
		out(BOTH, 1, what == 1 ? 5 : 0x15);
		CHECK(in(SHADOW, 4) == (what ? 0x5a : 0x44332211) ||
		      fw[0].events & SIO_XEN_EVENT_TIMER);
		CHECK(fw[0].n == !!what || fw[0].events & SIO_XEN_EVENT_TIMER);
		if (!what)
			CHECK((in(BOTH, 1) & 0xff) == 0x5a || fw[0].events & SIO_XEN_EVENT_TIMER);
		CHECK(posted_n == 1);
		CHECK((in(BOTH, 1) & 0xff) == 0x77 && in(SHADOW, 4) == 0x44332211);
	}
	flush_op(SIO_XEN_OP_UNMAP, SIO_XEN_MAP_ARG(0, SIO_XEN_SHADOW, 64), BOTH, 1);
	flush_op(SIO_XEN_OP_UNMAP, SIO_XEN_MAP_ARG(0, SIO_XEN_POSTED, 0), BOTH, 1);
	settle();
	end();

	begin("posted-filter");
	map(0, SIO_XEN_POSTED, 0x81, BOTH, 2);
	fw[0].n = posted_n = 0;
	out(BOTH, 1, 0x80);
	out(BOTH, 2, 0x7f01);
	CHECK(fw[0].n == 2 && posted_n == 0);
	out(BOTH, 1, 0x7e);
	out(BOTH + 1, 2, 0); /* beyond its end */
	CHECK(fw[0].n >= 3 && posted_n == 1 && posted_log[0].data == 0x7e);
	flush_op(SIO_XEN_OP_UNMAP, SIO_XEN_MAP_ARG(0, SIO_XEN_POSTED, 0x81), BOTH, 2);
	settle();
	end();
}

/* One port, reads shadow, writes posted. */
static void test_fast_both(void)
{
	begin("posted-shadow");
	map(0, SIO_XEN_SHADOW, 64, BOTH, 1);
	map(0, SIO_XEN_POSTED, 0, BOTH, 1);
	shared_page.shadow[8] = VALID | 0x11;
	fw[0].answer = 0x5a;
	fw[0].n = posted_n = 0;
	CHECK((in(BOTH, 1) & 0xff) == 0x11 && fw[0].n == 0);
	out(BOTH, 1, 0x22);
	CHECK(fw[0].n == 0 || fw[0].events & SIO_XEN_EVENT_TIMER);
	CHECK(((in(BOTH, 1) & 0xff) == 0x5a || fw[0].events & SIO_XEN_EVENT_TIMER) &&
	      posted_n == 1 && posted_log[0].data == 0x22);
	CHECK((in(BOTH, 1) & 0xff) == 0x11);
	settle();
	flush_op(SIO_XEN_OP_UNMAP, SIO_XEN_MAP_ARG(0, SIO_XEN_POSTED, 0), BOTH, 1);
	fw[0].n = posted_n = 0;
	out(BOTH, 1, 0x33);
	CHECK(fw[0].n == 1 && posted_n == 0 && (in(BOTH, 1) & 0xff) == 0x11);
	flush_op(SIO_XEN_OP_UNMAP, SIO_XEN_MAP_ARG(0, SIO_XEN_SHADOW, 64), BOTH, 1);
	end();
}

static void test_modes(void)
{
	u8 *low = (u8 *)OUT_BASE;
	u32 a, b, i, cr0;

	begin("real-mode");
	memset(low, 0, 0x100);
	fw[0].answer = 0xaabbcc42;
	to_real();
	CHECK(low[0] == 0x42 && *(u16 *)(low + 2) == 0xcc42 && *(u32 *)(low + 4) == 0xaabbcc42);
	CHECK(low[8] == 0x41 && low[12] == 0x45 && low[13] == 0 && low[0x30] == 0 &&
	      low[0x32] == 0x0d);
	CHECK(low[0x40] == 0x42 && *(u16 *)(low + 0x42) == 0xb800);
	CHECK(fw[0].n == 9 && saw(0, SIO_XEN_REQ_MMIO, 1, 2, 1, VGA + 12) &&
	      fw[0].seen.data == 0x1234);
	end();

	/* 0-3: page directories of 2 MiB pages, 4: PDPT, 5: PML4 */
	for (i = 0; i < 2048; i++)
		pml4[1 + i / 512][i % 512] = (u64)i << 21 | 0x83;
	for (i = 0; i < 4; i++)
		pml4[5][i] = (u32)pml4[1 + i] | 1;

	begin("pae");
	__asm__ volatile("mov %%cr4, %%eax; or $0x20, %%eax; mov %%eax, %%cr4; mov %1, %%cr3;"
			 "mov %%cr0, %%eax; or $0x80000000, %%eax; mov %%eax, %%cr0"
			 : "=&a"(a)
			 : "r"(pml4[5])
			 : "memory");
	fw[0].answer = 0x31;
	a = in(PORT, 1) & 0xff;
	out(PORT, 2, 0x1234);
	b = (u32)fw[0].seen.data;
	__asm__ volatile("addl $1, %0" : "+m"(*(volatile u32 *)MMIO));
	CHECK(fw[0].seen.data == 0x32 && fw[0].n == 4);
	__asm__ volatile("mov %%cr3, %0" : "=r"(i)::"memory");
	__asm__ volatile("mov %%cr0, %0" : "=r"(cr0)::"memory");
	cr0 &= 0x7fffffff;
	__asm__ volatile("mov %0, %%cr0; mov %%cr4, %0; and $~0x20, %0; mov %0, %%cr4"
			 : "+r"(cr0)::"memory");
	CHECK(a == 0x31 && b == 0x1234 && i == (u32)pml4[5]);
	end();

	begin("32-bit-paging");
	for (i = 0; i < 1024; i++)
		((u32 *)buffer)[i] = i << 22 | 0x83;
	__asm__ volatile("mov %%cr4, %%eax; or $0x10, %%eax; mov %%eax, %%cr4; mov %1, %%cr3;"
			 "mov %%cr0, %%eax; or $0x80000000, %%eax; mov %%eax, %%cr0"
			 : "=&a"(a)
			 : "r"(buffer)
			 : "memory");
	a = in(PORT, 1) & 0xff;
	b = *(volatile u32 *)MMIO;
	__asm__ volatile("mov %%cr0, %0; and $0x7fffffff, %0; mov %0, %%cr0"
			 : "=&r"(cr0)::"memory");
	CHECK(a == 0x31 && b == 0x31 && fw[0].n == 2);
	end();

	begin("long-mode");
	pml4[0][0] = (u32)pml4[5] | 3;
	for (i = 0; i < 4; i++)
		pml4[5][i] |= 2;
	memset(long_result, 0xee, 128);
	fw[0].answer = 0x8877665544332210ull;
	to_long();
	CHECK(long_result[0] == 0x8877665544332210ull && (u32)long_result[1] == 0x10);
	CHECK(long_result[2] == 0xffffffffffffff10ull && long_result[3] == 0x44332210);
	CHECK(long_result[4] == 0 && (u32)long_result[5] == 1 && long_result[6] == (u32)pml4);
	CHECK(((u8 *)long_result)[64] == 0x41 && ((u8 *)long_result)[74] == 0x46 &&
	      ((u8 *)long_result)[76] == 0xee);
	CHECK(fw[0].n == 8 && fw[0].seen.count == 6 && fw[0].seen.size == 2);
	end();
}

/* --- interrupts --- */

static volatile u32 n_nmi, n_db, n_vector, vector_eip, db_eip, nmi_in_fw;
static u64 idt[256];

void on_nmi(u32 eip)
{
	n_nmi++;
	nmi_in_fw = fw_lock;
	(void)eip;
}

void on_db(u32 eip)
{
	n_db++;
	db_eip = eip;
}

void on_vector(u32 eip)
{
	n_vector++;
	vector_eip = eip;
}

/* The frame begins with an error code or EIP. */
void on_other(const u32 *frame)
{
	say("FAIL unexpected exception, frame ");
	say_hex(frame[0]);
	say(" ");
	say_hex(frame[1]);
	say("\n");
	power_off();
}

static void gate(u32 n, const char *to)
{
	idt[n] = ((u32)to & 0xffffu) | 0x8u << 16 | (u64)0x8e00 << 32 | (u64)((u32)to >> 16) << 48;
}

static void load_idt(void)
{
	struct {
		u16 limit;
		u32 base;
	} __attribute__((packed)) p = { sizeof(idt) - 1, (u32)idt };

	for (u32 i = 0; i < 256; i++)
		gate(i, stub_other);
	gate(1, stub_db);
	gate(2, stub_nmi);
	gate(8, stub_vector);
	gate(0x40, stub_vector);
	__asm__ volatile("lidt %0" ::"m"(p));
}

#define sti() __asm__ volatile("sti; nop" ::: "memory")
#define cli() __asm__ volatile("cli" ::: "memory")

/* In the firmware: an NMI for the vCPU that it runs on. */
static void send_nmi(u32 cpu)
{
	(void)cpu;
	*lapic(0x310) = 0;
	*lapic(0x300) = 0x4400 | 1 << 18; /* NMI to self */
	lock();                           /* (the handler must not see it held) */
	for (volatile u32 i = 0; i < 20000; i++)
		;
	unlock();
}

static void halt_second(u32 cpu)
{
	fw_op(cpu, SIO_XEN_OP_VECTOR, 0x40, 0, 0);
}

static void halt_first(u32 cpu)
{
	fw_op(cpu, SIO_XEN_OP_TIMER, 0, fw[cpu].seen.now_ns + 20000000, 0);
	fw[cpu].act = halt_second;
}

static void test_interrupts(void)
{
	u32 i;

	begin("vector");
	n_vector = 0;
	fw_op(0, SIO_XEN_OP_VECTOR, 0x40, 0, 0);
	in(PORT, 1);
	for (i = 0; i < 1000; i++)
		barrier();
	CHECK(n_vector == 0); /* IF=0 */
	sti();
	CHECK(n_vector == 1);
	fw_op(0, SIO_XEN_OP_VECTOR, 8, 0, 0); /* as a BIOS's timer interrupt */
	in(PORT, 1);
	CHECK(n_vector == 2 && fw[0].events == SIO_XEN_EVENT_TAKEN);
	cli();
	fw_op(0, SIO_XEN_OP_VECTOR, 0x40, 0, 0);
	in(PORT, 1);
	fw_op(0, SIO_XEN_OP_VECTOR, SIO_XEN_NO_VECTOR, 0, 0); /* taken back */
	in(PORT, 1);
	sti();
	CHECK(n_vector == 2);
	cli();
	end();

	begin("vector-taken");
	n_vector = 0;
	fw_op(0, SIO_XEN_OP_VECTOR, 0x40, 0, 0);
	in(PORT, 1);
	CHECK(fw[0].events == 0);
	sti();
	in(PORT, 1);
	cli();
	CHECK(n_vector == 1 && fw[0].events == SIO_XEN_EVENT_TAKEN);
	end();

	begin("nmi-in-firmware");
	n_nmi = 0;
	fw[0].act = send_nmi;
	fw[0].answer = 0x5b;
	CHECK((in(PORT, 1) & 0xff) == 0x5b);
	for (i = 0; i < 1000; i++)
		barrier();
	CHECK(n_nmi == 1 && nmi_in_fw == 0);
	end();

	begin("single-step");
	n_db = 0;
	fw[0].answer = 0x1234567;
	CHECK(step_in() == 0x1234567 && fw[0].n == 1);
	CHECK(n_db == 5 && saw(0, SIO_XEN_REQ_PIO, 0, 4, 1, PORT)); /* in nop pushf andl popf */
	end();

	begin("msi");
	*lapic(0xf0) = 0x1ff; /* enabled */
	n_vector = 0;
	fw_op(0, SIO_XEN_OP_MSI, 0x40, 0xfee00000, 0);
	in(PORT, 1);
	sti();
	for (i = 0; i < 1000; i++)
		barrier();
	cli();
	CHECK(n_vector == 1);
	*lapic(0xb0) = 0; /* EOI */
	end();

	begin("timer");
	in(PORT, 1);
	u64 t0 = fw[0].seen.now_ns;
	fw_op(0, SIO_XEN_OP_TIMER, 0, t0 + 20000000, 0);
	in(PORT, 1);
	fw[0].n = 0;
	for (i = 0; i < 100000000 && !fw[0].n; i++)
		barrier();
	CHECK(fw[0].n == 1 && fw[0].events == SIO_XEN_EVENT_TIMER &&
	      fw[0].seen.now_ns >= t0 + 20000000);
	CHECK(fw[0].seen.kind == SIO_XEN_REQ_EVENT);
	end();

	begin("halt"); /* An event does not end a HLT; the interrupt that another one brings does. */
	in(PORT, 1);
	n_vector = 0;
	fw_op(0, SIO_XEN_OP_TIMER, 0, fw[0].seen.now_ns + 20000000, 0);
	in(PORT, 1);
	fw[0].n = 0;
	fw[0].act = halt_first;
	__asm__ volatile("sti; hlt; cli" ::: "memory");
	CHECK((fw[0].n == 2 || fw[0].events & SIO_XEN_EVENT_TAKEN) && n_vector == 1);
	end();
}

/* --- two processors --- */

static volatile u32 ap_state, ap_go, ap_done, ap_bad, ap_starts;

void ap_main(void)
{
	ap_starts++;
	for (;;) {
		ap_state = 1;
		while (!ap_go)
			__asm__ volatile("pause");
		if (ap_go == 2) /* into a firmware that takes its time */
			in(PORT + 7, 1);
		for (u32 i = 0; i < 500 || ap_go == 3; i++) {
			u32 v = in(PORT + 1, 4);

			ap_bad += v != 0xa9000001;
			out(POSTED + 1, 1, i);
		}
		ap_go = 0;
		ap_done++;
	}
}

static void ipi(u32 cpu, u32 what)
{
	*lapic(0x310) = cpu * 2 << 24;
	*lapic(0x300) = what;
}

static void start_ap(void)
{
	ipi(1, 0x4500);
	ipi(1, 0x4608);
}

static volatile u32 slow_left;

static void slow(u32 cpu)
{
	u64 t = rdtsc();

	(void)cpu;
	slow_left = 1;
	while (rdtsc() - t < 60000000)
		;
	slow_left = 2;
}

static void wait_for(volatile u32 *what, u32 value)
{
	u64 t = rdtsc();

	while (*what != value && rdtsc() - t < 20000000000ull)
		__asm__ volatile("pause");
	CHECK(*what == value);
}

static void test_smp(void)
{
	begin("second-vcpu");
	fw[1].answer = 0xa9000001;
	start_ap();
	wait_for(&ap_state, 1);
	ap_bad = 0;
	fw[0].answer = 0xa8000000;
	posted_n = 0;
	ap_go = 1;
	for (u32 i = 0; i < 500; i++) {
		CHECK(in(PORT, 4) == 0xa8000000);
		out(POSTED, 1, i);
	}
	wait_for(&ap_done, 1);
	in(PORT, 4);
	CHECK(ap_bad == 0 && fw[1].entries == 1 && fw[1].n >= 500 && posted_n == 1000);
	end();

	begin("wake");
	fw_op(0, SIO_XEN_OP_WAKE, 1, 0, 0);
	in(PORT, 1);
	for (u32 i = 0; i < 100000000 && !(fw[1].events & SIO_XEN_EVENT_WAKE); i++)
		barrier();
	CHECK(fw[1].events & SIO_XEN_EVENT_WAKE);
	end();

	begin("init-in-firmware"); /* INIT waits for the firmware, so that it does not end with a lock held */
	slow_left = 0;
	fw[1].act = slow;
	ap_go = 2;
	while (!slow_left)
		__asm__ volatile("pause");
	ap_state = 0;
	start_ap();
	CHECK(slow_left == 2);
	wait_for(&ap_state, 1);
	CHECK(ap_starts == 2 && fw[1].entries == 1);
	wait_for(&ap_done, 2);
	end();
}

/* --- event channels --- */

#define PENDING 512u /* evtchn_pending in 32-bit words: 32 vCPUs of 64 bytes come first */

static volatile u32 shared_info[1024] __attribute__((aligned(4096)));

static void test_channels(void)
{
	struct {
		u32 domid_port[3];
	} bind;
	u32 r[4], port, send;

	begin("channel");
	cpuid(xen_leaf() + 4, 0, r);
	CHECK(r[0] & 1u << 4);
	struct {
		u16 domid, size;
		u32 space, idx, gpfn;
	} add = { 0x7ff0, 0, 0, 0, (u32)shared_info / 4096 };
	CHECK(hypercall(HC_memory, 7, &add) == 0);

	flush_op(SIO_XEN_OP_CHANNEL, 3, r[2], 0);
	port = (u32)slot_page[0].slot.ops[0].b;
	CHECK(port > 0 && port < 1024);
	bind.domid_port[0] = 0x7ff0;
	bind.domid_port[1] = port;
	CHECK(hypercall(HC_evtchn, 0, &bind) == 0);
	send = bind.domid_port[2];
	CHECK(hypercall(HC_evtchn, 4, &send) == 0);
	for (u32 i = 0; i < 100000 && !fw[0].n; i++)
		barrier();
	CHECK(fw[0].n == 1 && fw[0].events == SIO_XEN_EVENT_CHANNEL(3) &&
	      fw[0].seen.kind == SIO_XEN_REQ_EVENT);

	/* the other way: the guest's port becomes pending (evtchn_pending of 32-bit shared_info) */
	shared_info[PENDING + send / 32] &= ~(1u << send % 32); /* (binding sets it) */
	fw_op(0, SIO_XEN_OP_NOTIFY, 3, 0, 0);
	in(PORT, 1);
	CHECK(shared_info[PENDING + send / 32] >> send % 32 & 1);
	CHECK(hypercall(HC_evtchn, 3, &send) == 0); /* EVTCHNOP_close of the guest's end */
	flush_op(SIO_XEN_OP_CLOSE, 3, 0, 0);
	flush_op(SIO_XEN_OP_CHANNEL, 3, r[2], 0); /* free again */
	CHECK(slot_page[0].slot.n_ops == 0);
	flush_op(SIO_XEN_OP_CLOSE, 3, 0, 0);
	end();
}

static void test_forward(void)
{
	begin("forward-to-nobody");
	fw[0].answer = 0;
	fw[0].flags = SIO_XEN_FORWARD;
	CHECK(in(PORT, 4) == ~0u && fw[0].n == 1);
	fw[0].flags = SIO_XEN_FORWARD;
	CHECK(*(volatile u32 *)MMIO == ~0u && fw[0].n == 2);
	fw[0].flags = SIO_XEN_FORWARD;
	out(PORT, 4, 0);
	CHECK(fw[0].n == 3);
	CHECK(in(PORT, 4) == 0);
	end();
}

/* --- an HVM domain: interrupt controllers of the hypervisor's, QEMU in dom0 --- */

static u32 pci_read(u32 devfn, u32 reg)
{
	out(0xcf8, 4, 0x80000000 | devfn << 8 | reg);
	return in(0xcfc, 4);
}

static void pci_write(u32 devfn, u32 reg, u32 v)
{
	out(0xcf8, 4, 0x80000000 | devfn << 8 | reg);
	out(0xcfc, 4, v);
}

static void t_qemu(void)
{
	in(0xcfc, 4);
}

static void t_qemu_mmio(void)
{
	(void)*(volatile u32 *)QEMU_MMIO;
}

/* QEMU's Xen platform device, which answers reads of its memory with 0, gets that at QEMU_MMIO. */
static int qemu_memory(void)
{
	for (u32 devfn = 0; devfn < 256; devfn += 8)
		if (pci_read(devfn, 0) == 0x00015853) {
			pci_write(devfn, 0x14, QEMU_MMIO);
			pci_write(devfn, 4, 2);
			return *(volatile u32 *)QEMU_MMIO == 0;
		}
	return 0;
}

static void test_hvm(void)
{
	u32 at = (u32)buffer;

	begin("gsi");
	*lapic(0xf0) = 0x1ff;
	*lapic(0x350) = 0x700; /* LVT0: ExtINT */
	gate(0x44, stub_vector);
	out(0x20, 1, 0x11); /* the first 8259: vectors 40h-47h, only IRQ 4 open */
	out(0x21, 1, 0x40);
	out(0x21, 1, 4);
	out(0x21, 1, 1);
	out(0x21, 1, 0xef);
	n_vector = 0;
	fw_op(0, SIO_XEN_OP_IRQ, 4, 1, 0);
	in(PORT, 1);
	CHECK(n_vector == 0);
	sti();
	cli();
	CHECK(n_vector == 1);
	fw_op(0, SIO_XEN_OP_IRQ, 4, 0, 0);
	in(PORT, 1);
	out(0x20, 1, 0x20);
	end();

	begin("forward-to-qemu");
	CHECK(pci_read(0, 0) == 0x12378086); /* an 82441FX */
	map(0, 0, 0, 0xcfc, 4);
	fw[0].n = 0;
	fw[0].answer = 5;
	CHECK(in(0xcfc, 4) == 5 && fw[0].n == 1);
	fw[0].flags = SIO_XEN_FORWARD;
	CHECK(in(0xcfc, 4) == 0x12378086 && fw[0].n == 2);
	fw[0].flags = SIO_XEN_FORWARD;
	CHECK((in(0xcfe, 2) & 0xffff) == 0x1237 && fw[0].n == 3);
	memset(buffer, 0, 64);
	fw[0].flags = SIO_XEN_FORWARD;
	__asm__ volatile("insl" : "+D"(at) : "d"(0xcfc) : "memory");
	CHECK(*(u32 *)buffer == 0x12378086 && at == (u32)buffer + 4 && fw[0].n == 4);
	flush_op(SIO_XEN_OP_UNMAP, 0, 0xcfc, 4);
	CHECK(in(0xcfc, 4) == 0x12378086 && fw[0].n == 4);
	end();
}

/* --- save and restore: dom0.sh does it when it sees the line --- */

static void test_save(void)
{
	u64 before;
	u32 v = 0;

	begin("save-restore");
	start();
	shared_page.shadow[4] = VALID | 0x99;
	fw[0].answer = 0xcafe0001;
	fw[1].answer = 0xa9000001;
	start_ap();
	wait_for(&ap_state, 1);
	ap_go = 3; /* for ever */
	in(PORT, 4);
	fw_op(0, SIO_XEN_OP_VECTOR, 0x40, 0, 0); /* not taken, for IF=0, and then forgotten */
	fw_op(0, SIO_XEN_OP_TIMER, 0, fw[0].seen.now_ns + 3600000000000ull, 0);
	in(PORT, 4);
	say("READY\n");
	n_vector = 0;
	do {
		before = fw[0].seen.now_ns;
		v |= in(PORT, 4) ^ 0xcafe0001;
	} while (!(fw[0].events & SIO_XEN_EVENT_RESTORED));
	CHECK(v == 0 && fw[0].entries == 2 && fw[0].seen.now_ns >= before);
	sti();
	cli();
	CHECK(n_vector == 0);
	for (u32 i = 0; i < 100000000 && !(fw[1].events & SIO_XEN_EVENT_RESTORED); i++)
		barrier();
	CHECK(fw[1].events & SIO_XEN_EVENT_RESTORED && fw[1].entries == 2 && ap_bad == 0);
	for (u32 i = 0; i < 10000 && v != 0x99;
	     i++) /* not while a write of the other one's waits */
		v = in(SHADOW, 1) & 0xff;
	CHECK(v == 0x99);
	fw[0].n = 0;
	posted_n = 0;
	out(POSTED, 1, 5);
	CHECK(in(PORT, 4) == 0xcafe0001 && posted_n >= 1);
	CHECK(*(volatile u32 *)MMIO == 0xcafe0001);
	CHECK(in(0x300, 4) == ~0u);
	end();
}

static void test_again(void)
{
	begin("setup-again");
	CHECK(setup() == -17);
	CHECK(hypercall(HC_hvm, HVMOP_reflect_flush, 0) == 0);
	end();
}

static void test_without(void)
{
	begin("without-firmware");
	CHECK(in(PORT, 4) == ~0u && *(volatile u32 *)MMIO == ~0u);
	CHECK(hypercall(HC_hvm, HVMOP_reflect_flush, 0) == -19);
	end();
}

/* --- times --- */

static u32 tsc_khz;

static void measure(const char *what, void (*fn)(void), u32 n)
{
	enum { ROUNDS = 99 };
	u64 sorted[ROUNDS];

	/* Short rounds, and the median of many: other work of the machine falls in between. */
	for (u32 round = 0; round < ROUNDS; round++) {
		u64 t = rdtsc();
		u32 at = round;

		for (u32 i = 0; i < n; i++)
			fn();
		t = rdtsc() - t;
		for (; at && sorted[at - 1] > t; at--)
			sorted[at] = sorted[at - 1];
		sorted[at] = t;
	}
	/* ns = cycles * 1e6 / khz, in 32 bits */
	say("TIME ");
	say(what);
	say(" ");
	say_num((u32)sorted[ROUNDS / 2] / n * 10 / (tsc_khz / 100000));
	say(" ns\n");
}

static void t_null(void)
{
	in(0x300, 1);
}

static void t_null_mmio(void)
{
	(void)*(volatile u32 *)0xd0005000;
}

static void t_cpuid(void)
{
	u32 r[4];

	cpuid(0, 0, r);
}

static void t_hypercall(void)
{
	hypercall(HC_hvm, 10, 0); /* HVMOP_get_time, bad pointer */
}

static void t_pio(void)
{
	in(PORT, 1);
}

static void t_pio_write(void)
{
	out(PORT, 1, 1);
}

static void t_mmio(void)
{
	(void)*(volatile u32 *)MMIO;
}

static void t_shadow(void)
{
	in(SHADOW, 1);
}

static void t_posted(void)
{
	out(POSTED, 1, 1);
}

static void t_ins(void)
{
	u32 at = (u32)buffer;

	rep(1, 2, &at, 256, 0);
}

static void times(int with)
{
	u32 r[4];
	int qemu = pci_read(0, 0) != ~0u;

	cpuid(xen_leaf() + 3, 0, r);
	tsc_khz = r[2];
	measure("port read, nobody's", t_null, 10);
	measure("memory read, nobody's", t_null_mmio, 10);
	measure("CPUID", t_cpuid, 10);
	measure("hypercall", t_hypercall, 10);
	if (with) {
		measure("port read, reflected", t_pio, 10);
		measure("port write, reflected", t_pio_write, 10);
		measure("memory read, reflected", t_mmio, 10);
		measure("port read, shadow", t_shadow, 10);
		measure("port write, posted", t_posted, 10);
		measure("REP INSW of 256, reflected", t_ins, 10);
	}
	if (!qemu)
		return;
	pci_read(0, 0);
	measure("port read, QEMU in dom0", t_qemu, 10);
	if (qemu_memory())
		measure("memory read, QEMU in dom0", t_qemu_mmio, 10);
	else
		result("QEMU has no memory to read", "FAIL");
}

/* --- attacks: each is to end this domain and nothing else --- */

static void touch_port(u32 cpu)
{
	(void)cpu;
	in(PORT, 1);
}

static void touch_memory(u32 cpu)
{
	(void)cpu;
	*(volatile u32 *)MMIO = 1;
}

static void n_ops_too_many(u32 cpu)
{
	fw[cpu].n_ops = 0;
	slot_page[cpu].slot.n_ops = 65;
	hypercall(HC_hvm, HVMOP_reflect_return, 0);
}

static void jump_nowhere(u32 cpu)
{
	(void)cpu;
	__asm__ volatile("jmp *%0" ::"r"(0xd0008000));
}

static void release_page(u32 gfn)
{
	u32 list[1] = { gfn };
	struct {
		u32 *list;
		u32 n, order, flags;
		u16 domid;
	} r = { list, 1, 0, 0, 0x7ff0 };

	hypercall(HC_memory, 1, &r); /* XENMEM_decrease_reservation */
}

static u32 floods;

static void flood(u32 cpu)
{
	if (floods++ == 300)
		return;
	for (u32 i = 0; i < SIO_XEN_MAX_OPS; i++)
		slot_page[cpu].slot.ops[i] =
			(struct sio_xen_op){ i % 2 ? SIO_XEN_OP_WAKE : SIO_XEN_OP_TIMER, 0, 1, 0 };
	slot_page[cpu].slot.n_ops = SIO_XEN_MAX_OPS;
	hypercall(HC_hvm, HVMOP_reflect_flush, 0);
	fw[cpu].act = flood;
}

static int is(const char *a, const char *b)
{
	while (*a && *a == *b)
		a++, b++;
	return *a == *b;
}

static const struct {
	const char *name;
	u32 code, arg;
	u64 a, b;
} bad_ops[] = {
	{ "op-code", 99, 0, 0, 0 },
	{ "op-none", 0, 0, 0, 0 },
	{ "map-space", SIO_XEN_OP_MAP, 2, 0x400, 16 },
	{ "map-both", SIO_XEN_OP_MAP, SIO_XEN_MAP_ARG(0, SIO_XEN_POSTED | SIO_XEN_SHADOW, 0), 0x400,
	  4 },
	{ "map-kind", SIO_XEN_OP_MAP, SIO_XEN_MAP_ARG(0, 4, 0), 0x400, 16 },
	{ "map-empty", SIO_XEN_OP_MAP, 0, 0x400, 0 },
	{ "map-port", SIO_XEN_OP_MAP, 0, 0xfff0, 17 },
	{ "map-wrap", SIO_XEN_OP_MAP, 1, ~0ull - 8, 4096 },
	{ "map-twice", SIO_XEN_OP_MAP, 0, 0x1ff, 16 },
	{ "map-shadow", SIO_XEN_OP_MAP, SIO_XEN_MAP_ARG(1, SIO_XEN_SHADOW, 2040), 0xd1000000, 9 },
	{ "map-shadow-flag", SIO_XEN_OP_MAP, SIO_XEN_MAP_ARG(0, SIO_XEN_SHADOW, 5), 0x300, 3 },
	{ "map-shadow-long", SIO_XEN_OP_MAP, SIO_XEN_MAP_ARG(1, SIO_XEN_SHADOW, 0), 0, ~0ull },
	{ "unmap-part", SIO_XEN_OP_UNMAP, 0, 0x100, 16 },
	{ "vector", SIO_XEN_OP_VECTOR, 256, 0, 0 },
	{ "vector-vcpu", SIO_XEN_OP_VECTOR, 32, 2, 0 },
	{ "vector-vcpu-wrap", SIO_XEN_OP_VECTOR, 32, 1ull << 32, 0 },
	{ "wake-vcpu", SIO_XEN_OP_WAKE, 4096, 0, 0 },
	{ "channel", SIO_XEN_OP_CHANNEL, 32, 0, 0 },
	{ "channel-domain", SIO_XEN_OP_CHANNEL, 0, 0x7fff0000, 0 },
	{ "notify", SIO_XEN_OP_NOTIFY, 5, 0, 0 },
	{ "close", SIO_XEN_OP_CLOSE, 33, 0, 0 },
	{ "irq", SIO_XEN_OP_IRQ, 4, 1, 0 },
};

static void hostile(const char *name)
{
	if (is(name, "slots-no-ram"))
		setup_with((u32)fw_entry, 0xd0000000, (u32)&shared_page);
	else if (is(name, "slots-unaligned"))
		setup_with((u32)fw_entry, (u32)slot_page + 8, (u32)&shared_page);
	else if (is(name, "shared-no-ram"))
		setup_with((u32)fw_entry, (u32)slot_page, 0xd0000000);
	else if (is(name, "return-without-setup"))
		hypercall(HC_hvm, HVMOP_reflect_return, 0);
	else if (is(name, "entry-garbage") || is(name, "entry-no-ram")) {
		setup_with(is(name, "entry-garbage") ? (u32)garbage : 0xd0000000, (u32)slot_page,
			   (u32)&shared_page);
		map(0, 0, 0, 0x100, 0x100);
		in(PORT, 1);
	}
	start();
	in(PORT, 1);
	for (u32 i = 0; i < sizeof(bad_ops) / sizeof(bad_ops[0]); i++)
		if (is(name, bad_ops[i].name)) {
			fw_op(0, bad_ops[i].code, bad_ops[i].arg, bad_ops[i].a, bad_ops[i].b);
			in(PORT, 1);
		}
	if (is(name, "return-without-entry"))
		hypercall(HC_hvm, HVMOP_reflect_return, 0);
	else if (is(name, "nested-port")) {
		fw[0].act = touch_port;
		in(PORT, 1);
	} else if (is(name, "nested-memory")) {
		fw[0].act = touch_memory;
		in(PORT, 1);
	} else if (is(name, "ops-too-many")) {
		fw[0].act = n_ops_too_many;
		in(PORT, 1);
	} else if (is(name, "map-too-many")) {
		for (u32 i = 0; i < 65; i++)
			map(0, 0, 0, 0x1000 + i * 2, 1);
	} else if (is(name, "jump-nowhere")) {
		fw[0].act = jump_nowhere;
		in(PORT, 1);
	} else if (is(name, "guest-overwrites-firmware")) {
		memset((char *)(u32)fw_main, 0xff, 64);
		memset((char *)hypercall_page + HC_hvm * 32, 0xff, 16);
		in(PORT, 1);
	} else if (is(name, "slot-page-gone")) {
		/* survives: the hypervisor holds the page */
		release_page((u32)slot_page / 4096);
		for (u32 i = 0; i < 1000; i++)
			in(PORT, 1);
		result("slot-page-gone", "PASS");
		power_off();
	} else if (is(name, "flood")) {
		fw[0].act = flood;
		in(PORT, 1);
		result("flood", floods == 301 ? "PASS" : "FAIL");
		power_off();
	}
	result("still here", "FAIL");
	power_off();
}

void guest_main(u32 info)
{
	u32 r[4];
	const char *name = *(const char **)(info + 24); /* hvm_start_info.cmdline_paddr */

	cpuid(xen_leaf() + 2, 0, r);
	wrmsr(r[1], (u32)hypercall_page);
	memcpy((void *)0x8000, ap_start, (u32)ap_end - (u32)ap_start);
	for (u32 i = 0xb8; i < 0xc0; i++) /* a PVH domain has RAM where a PC has its display */
		release_page(i);
	load_idt();
	if (!name)
		name = HVM_NAME; /* an HVM domain's start info has no command line */
	if (is(name, "time-without")) {
		times(0);
	} else if (is(name, "time")) {
		start();
		shared_page.shadow[4] = VALID;
		times(1);
	} else if (is(name, "without")) {
		test_without();
	} else if (is(name, "save")) {
		test_save();
	} else if (is(name, "all")) {
		begin("setup");
		start();
		end();
		test_pio();
		test_string();
		test_mmio();
		test_fast();
		test_fast_both();
		test_modes();
		test_interrupts();
		test_smp();
		test_channels();
		test_forward();
		test_again();
		if (pci_read(0, 0) != ~0u) {
			test_hvm();
			times(1);
		}
	} else {
		hostile(name);
	}
	power_off();
}
