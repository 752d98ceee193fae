/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * blkfront.c - a domain that tests the firmware's disk on Xen (drivers/xen) against the real blkback:
 * disk hda, of at least 8 MiB, has the pattern of sector_word() in its first 4 MiB afterwards.
 *
 * Results are lines on the debug port E9h, as domain.c's.
 */
#include <string.h>

#include "drivers/xen/xen_blk.h"
#include "drivers/xen/xen_console.h"
#include "lib/fmt.h"
#include "sio/xen.h"

extern char hypercall_page[], fw_entry[];
volatile uint64_t fw_events;
volatile uint32_t fw_count;
void guest_main(void);

static void say(const char *s)
{
	for (; *s; s++)
		__asm__ volatile("outb %0, %1" ::"a"(*s), "Nd"((uint16_t)0xe9));
}

static unsigned failures;
static const char *test_name;

static void begin(const char *name)
{
	test_name = name;
	failures = 0;
}

static void end(void)
{
	say(failures ? "FAIL " : "PASS ");
	say(test_name);
	say("\n");
}

static void check(bool ok, const char *what, unsigned line)
{
	char text[200];

	if (ok)
		return;
	failures++;
	fmt(text, sizeof(text), "    %s, line %u: not true: %s\n", test_name, line, what);
	say(text);
}
#define CHECK(x) check(x, #x, __LINE__)

/* --- where the front end runs --- */

static char heap[512 << 10] __attribute__((aligned(4096)));
static size_t heap_used;
static union {
	struct sio_xen_slot_shared slot;
	char page[4096];
} slot_page __attribute__((aligned(4096)));
static struct sio_xen_shared shared_page __attribute__((aligned(4096)));
static unsigned notifies;

static void cpuid(uint32_t leaf, uint32_t r[4])
{
	__asm__ volatile("cpuid"
			 : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3])
			 : "0"(leaf), "2"(0));
}

static long hypercall(void *ctx, unsigned nr, unsigned long op, void *arg, unsigned long n)
{
	long r;

	__asm__ volatile("call *%[at]"
			 : "=a"(r), "+D"(op), "+S"(arg), "+d"(n)
			 : [at] "r"(hypercall_page + nr * 32)
			 : "memory", "rcx", "r8", "r9", "r10", "r11");
	return r;
}

static uint64_t op(uint32_t code, uint32_t arg, uint64_t a)
{
	slot_page.slot.ops[0] = (struct sio_xen_op){ code, arg, a, 0 };
	slot_page.slot.n_ops = 1;
	hypercall(NULL, XEN_HC_HVM, HVMOP_reflect_flush, NULL, 0);
	return slot_page.slot.ops[0].b;
}

static void *env_alloc(void *ctx, size_t size, size_t align)
{
	size_t at = (heap_used + align - 1) & ~(align - 1);

	if (at + size > sizeof(heap))
		return NULL;
	heap_used = at + size;
	return heap + at;
}

static uint64_t env_gpa(void *ctx, const void *p)
{
	return (uintptr_t)p;
}

static void *env_at(void *ctx, uint64_t gpa, uint64_t len)
{
	/* The domain's 32 MiB, or Xen's own pages. */
	return (gpa < 32 << 20 && len <= (32 << 20) - gpa) || gpa >= 0xfeff8000 ? (void *)gpa :
										  NULL;
}

static uint32_t env_channel(void *ctx, unsigned n, uint16_t domid)
{
	return (uint32_t)op(SIO_XEN_OP_CHANNEL, n, domid);
}

static void env_notify(void *ctx, unsigned n)
{
	notifies++;
	/* The drivers run in the guest's context here, which hears of a restore a moment later than the
	 * firmware: the channel may be gone. */
	if (!(fw_events & SIO_XEN_EVENT_RESTORED))
		op(SIO_XEN_OP_NOTIFY, n, 0);
}

static uint32_t tsc_khz;

static uint64_t env_now(void *ctx)
{
	uint32_t lo, hi;

	__asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi));
	return ((uint64_t)hi << 32 | lo) / tsc_khz * 1000000;
}

static void env_log(void *ctx, const char *text)
{
	say("    ");
	say(text);
	say("\n");
}

static const struct xen_env env = {
	.alloc = env_alloc,
	.gpa = env_gpa,
	.at = env_at,
	.hypercall = hypercall,
	.channel = env_channel,
	.notify = env_notify,
	.now_ns = env_now,
	.log = env_log,
};

static void start(void)
{
	struct sio_xen_setup s = { SIO_XEN_VERSION,
				   (uint32_t)(uintptr_t)fw_entry,
				   (uintptr_t)&slot_page,
				   (uintptr_t)&shared_page,
				   0,
				   0 };
	uint32_t leaf = 0x40000000, r[4];

	for (; leaf < 0x40010000; leaf += 0x100) {
		cpuid(leaf, r);
		if (r[1] == 0x566e6558)
			break;
	}
	cpuid(leaf + 2, r);
	__asm__ volatile("wrmsr" ::"c"(r[1]), "a"((uint32_t)(uintptr_t)hypercall_page), "d"(0));
	cpuid(leaf + 3, r);
	tsc_khz = r[2];
	if (!tsc_khz)
		tsc_khz = 1000000;
	CHECK(hypercall(NULL, XEN_HC_HVM, HVMOP_reflect_setup, &s, 0) == 0);
}

/* --- the tests --- */

static struct xen x;
static struct xen_blk disk;
static struct xen_console con;
static uint8_t out[1 << 20] __attribute__((aligned(4096))),
	in[1 << 20] __attribute__((aligned(4096)));

static struct job {
	struct blk_req r;
	struct gpa_seg seg[BLK_MAX_SEGS];
	volatile int done, err;
} job[XEN_BLK_DEPTH];

static void done(void *owner, struct blk_req *r, int err)
{
	struct job *j = owner;

	j->done++;
	j->err = err;
}

static uint32_t sector_word(uint64_t sector, unsigned i)
{
	return (uint32_t)(sector * 2654435761u + i * 40503u + 12345);
}

/* piece: bytes of a segment, the rest in the last. */
static struct job *submit(unsigned n, uint8_t opcode, uint64_t sector, uint32_t sectors,
			  uint8_t *buf, uint32_t piece)
{
	struct job *j = &job[n];
	uint32_t left = sectors * BLK_SECTOR;

	memset(j, 0, sizeof(*j));
	j->r = (struct blk_req){ .op = opcode,
				 .sector = sector,
				 .n_sectors = sectors,
				 .seg = j->seg,
				 .done = done,
				 .owner = j };
	while (buf && left) {
		uint32_t len = left < piece || j->r.n_seg == BLK_MAX_SEGS - 1 ? left : piece;

		j->seg[j->r.n_seg++] = (struct gpa_seg){ { (uintptr_t)buf }, len };
		buf += len;
		left -= len;
	}
	CHECK(blk_submit(&disk.blk, &j->r) == 0);
	return j;
}

static unsigned restores;

/* As the firmware does it: service, then sleep until the event. */
static void wait(struct job *j)
{
	uint64_t deadline = env_now(NULL) + 30000000000ull;

	do {
		if (fw_events & SIO_XEN_EVENT_RESTORED) {
			fw_events = 0;
			restores++;
			CHECK(xen_restored(&x) == 0);
			CHECK(xen_blk_restored(&disk) == 0);
		}
		xen_blk_service(&disk);
	} while (!j->done && xen_yield(&x, deadline));
	CHECK(j->done == 1);
}

static int run(uint8_t opcode, uint64_t sector, uint32_t sectors, uint8_t *buf, uint32_t piece)
{
	struct job *j = submit(0, opcode, sector, sectors, buf, piece);

	wait(j);
	return j->err;
}

static void fill(uint8_t *p, uint64_t sector, uint32_t sectors)
{
	for (uint32_t s = 0; s < sectors; s++)
		for (unsigned i = 0; i < BLK_SECTOR / 4; i++) {
			uint32_t w = sector_word(sector + s, i);

			memcpy(p + s * BLK_SECTOR + i * 4, &w, 4);
		}
}

static bool same(const uint8_t *p, uint64_t sector, uint32_t sectors)
{
	for (uint32_t s = 0; s < sectors; s++)
		for (unsigned i = 0; i < BLK_SECTOR / 4; i++) {
			uint32_t w;

			memcpy(&w, p + s * BLK_SECTOR + i * 4, 4);
			if (w != sector_word(sector + s, i))
				return false;
		}
	return true;
}

static bool grants_ended(void)
{
	unsigned n = 0;

	for (unsigned i = 0; i < x.n_taken; i++)
		n += x.grant[i].flags != 0;
	return n == XEN_BLK_BYTES / XEN_PAGE; /* the ring and the pages of ours */
}

static void test_disk(void)
{
	/* Offset of the buffer in its page, bytes of a segment, sectors. */
	static const struct {
		uint32_t off, piece, sectors;
	} shape[] = {
		{ 0, 1 << 20, 8 },   { 512, 1 << 20, 8 },  { 0, 512, 11 },    { 1536, 4096, 63 },
		{ 0, 1 << 20, 256 }, { 3584, 65536, 256 }, { 2, 1 << 20, 1 }, { 6, 1000, 20 },
		{ 100, 4096, 256 },  { 0, 1 << 20, 1024 }, { 4, 333, 64 },    { 256, 256, 33 },
	};
	char text[120];

	begin("blkfront-init");
	CHECK(xen_init(&x, &env) == 0);
	CHECK(xen_blk_there(&x, xen_blk_ide_vdev(0)) && !xen_blk_there(&x, xen_blk_ide_vdev(3)));
	CHECK(xen_blk_init(&disk, &x, xen_blk_ide_vdev(0), 5) == 0);
	CHECK(x.store->req_prod == x.store->req_cons && x.store->rsp_prod == x.store->rsp_cons);
	fmt(text, sizeof(text),
	    "    %lu sectors, %u segments, flush %u, discard %u, persistent %u%s\n",
	    (unsigned long)disk.blk.n_sectors, disk.max_segs, disk.blk.flush, disk.blk.discard,
	    disk.persistent, disk.blk.read_only ? ", read-only" : "");
	say(text);
	CHECK(disk.blk.flush && !disk.blk.read_only && disk.max_segs == XEN_BLK_SEGS);
	end();
	if (failures)
		return;

	begin("blkfront-shapes");
	for (unsigned k = 0; k < sizeof(shape) / sizeof(*shape); k++) {
		uint32_t n = shape[k].sectors;
		uint64_t at = 8192 + 7 * k;

		if (shape[k].off + n * BLK_SECTOR > sizeof(out))
			n -= 8;
		fill(out + shape[k].off, at, n);
		memset(in, 0xee, sizeof(in));
		CHECK(run(BLK_WRITE, at, n, out + shape[k].off, shape[k].piece) == BLK_OK);
		CHECK(run(BLK_READ, at, n, in + shape[k].off, shape[k].piece) == BLK_OK);
		CHECK(same(in + shape[k].off, at, n));
		CHECK(in[shape[k].off + n * BLK_SECTOR] == 0xee);
		CHECK(!shape[k].off || in[shape[k].off - 1] == 0xee);
		CHECK(grants_ended());
	}
	end();

	begin("blkfront-event");
	fw_events = 0;
	fw_count = 0;
	struct job *j = submit(0, BLK_READ, 0, 8, in, 4096);
	uint64_t deadline = env_now(NULL) + 20000000000ull;

	xen_blk_service(&disk);
	while (!(fw_events & SIO_XEN_EVENT_CHANNEL(5)) && !j->done && xen_yield(&x, deadline))
		;
	CHECK(j->done || fw_events == SIO_XEN_EVENT_CHANNEL(5));
	wait(j);
	CHECK(j->err == BLK_OK);
	end();

	begin("blkfront-depth");
	for (unsigned i = 0; i < 4096 / 256 / XEN_BLK_DEPTH * 2; i++) {
		uint64_t at = i * XEN_BLK_DEPTH * 256;

		for (unsigned n = 0; n < XEN_BLK_DEPTH; n++) {
			fill(out + n * (128 << 10), at + n * 256, 256);
			submit(n, BLK_WRITE, at + n * 256, 256, out + n * (128 << 10), 65536);
		}
		CHECK(blk_submit(&disk.blk, &(struct blk_req){ 0 }) == -1);
		notifies = 0;
		xen_blk_service(&disk);
		CHECK(notifies <= 1 + XEN_BLK_DEPTH);
		for (unsigned n = 0; n < XEN_BLK_DEPTH; n++) {
			wait(&job[n]);
			CHECK(job[n].err == BLK_OK);
		}
	}
	CHECK(run(BLK_FLUSH, 0, 0, NULL, 0) == BLK_OK);
	for (unsigned i = 0; i < 8; i++) {
		memset(in, 0, sizeof(in));
		CHECK(run(BLK_READ, i * 1024, 1024, in, 65536) == BLK_OK &&
		      same(in, i * 1024, 1024));
	}
	end();

	begin("blkfront-errors");
	CHECK(run(BLK_READ, disk.blk.n_sectors, 1, in, 512) == BLK_EIO);
	CHECK(run(BLK_WRITE, disk.blk.n_sectors - 1, 2, out, 512) == BLK_EIO);
	CHECK(run(BLK_READ, 0, 1, (uint8_t *)0xd0000000, 512) == BLK_EIO); /* no memory */
	CHECK(run(BLK_WRITE_ZEROES, 0, 1, NULL, 0) == BLK_EUNSUPP);
	CHECK(run(BLK_READ, 0, 8, in, 4096) == BLK_OK && same(in, 0, 8));
	CHECK(grants_ended() && !disk.broken);
	end();

	begin("blkfront-discard");
	if (disk.blk.discard)
		CHECK(run(BLK_DISCARD, 12288, 1024, NULL, 0) == BLK_OK);
	else
		CHECK(run(BLK_DISCARD, 12288, 1024, NULL, 0) == BLK_EUNSUPP);
	end();

	begin("xen-console");
	CHECK(xen_console_init(&con, &x) == 0);
	CHECK(chr_write(&con.chr, (const uint8_t *)"drivers/xen: hello\r\n", 20) == 20);
	xen_console_service(&con, true);
	deadline = env_now(NULL) + 20000000000ull;
	while (con.ring->out_cons != con.ring->out_prod && xen_yield(&x, deadline))
		;
	CHECK(con.ring->out_cons == con.ring->out_prod && !xen_console_pending(&con));
	end();
}

/* Reads and writes while the domain is saved and restored: with in flight what is in flight. */
static void test_save(void)
{
	uint64_t deadline;
	unsigned rounds = 0;

	begin("blkfront-save");
	CHECK(xen_init(&x, &env) == 0);
	CHECK(xen_blk_init(&disk, &x, xen_blk_ide_vdev(0), 5) == 0);
	say("READY\n");
	deadline = env_now(NULL) + 60000000000ull;
	for (; !failures && rounds < 16; rounds++) {
		uint64_t at = (rounds % 8) * 1024;

		memset(in, 0, sizeof(in));
		for (unsigned n = 0; n < 4; n++) {
			fill(out + n * (128 << 10), at + n * 256, 256);
			submit(n, BLK_WRITE, at + n * 256, 256, out + n * (128 << 10), 65536);
		}
		xen_blk_service(&disk);
		for (unsigned n = 0; n < 4; n++) {
			wait(&job[n]);
			CHECK(job[n].err == BLK_OK);
		}
		CHECK(run(BLK_READ, at, 1024, in, 65536) == BLK_OK && same(in, at, 1024));
		/* As long as it takes, then twice over all. */
		if (!restores && env_now(NULL) < deadline)
			rounds = 0;
	}
	CHECK(restores == 1);
	CHECK(env_now(NULL) < deadline);
	CHECK(run(BLK_FLUSH, 0, 0, NULL, 0) == BLK_OK);
	CHECK(grants_ended());
	end();
}

void guest_main(void)
{
	uint32_t reason = 0;
	bool save = false;

#ifdef SAVE
	save = true;
#endif

	begin("setup");
	start();
	if (!failures && save)
		test_save();
	else if (!failures)
		test_disk();
	say("END\n");
	for (;;)
		hypercall(NULL, XEN_HC_SCHED, 2, &reason, 0);
}
