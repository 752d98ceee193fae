/* SPDX-License-Identifier: BSD-2-Clause */
#include "placements/qtest/qtest.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "boards/pc_tables.h"

#define MIB       (1u << 20)
#define PRIV_SIZE MIB
#define PRIV_BASE (1ull << 60) /* where models' own memory is for struct blk; no RAM is */
#define ROM_END   0x100000000ull
#define ROM_LOW   (128u << 10) /* at most that much of the BIOS is below 1 MiB too */

static void *op_alloc(void *ctx, size_t size, size_t align)
{
	struct qtest *q = ctx;
	size_t at = (q->priv_used + align - 1) & ~(align - 1);

	if (at > PRIV_SIZE || size > PRIV_SIZE - at)
		return NULL;
	q->priv_used = at + size;
	return q->priv + at;
}

/* The piece of RAM that starts at gpa: its length, at most len, and where it is; 0: no RAM there. */
static uint64_t ram_piece(struct qtest *q, uint64_t gpa, uint64_t len, uint8_t **p)
{
	uint64_t before = 0;

	for (unsigned i = 0; i < q->cfg.n_ram; i++) {
		const struct sio_ram *r = &q->cfg.ram[i];

		if (gpa >= r->base && gpa - r->base < r->len) {
			*p = q->ram + before + (gpa - r->base);
			return len < r->len - (gpa - r->base) ? len : r->len - (gpa - r->base);
		}
		before += r->len;
	}
	return 0;
}

static void *op_ram(void *ctx, uint64_t gpa, uint64_t len)
{
	uint8_t *p = NULL;

	return ram_piece(ctx, gpa, len, &p) == len ? p : NULL;
}

static uint64_t op_gpa(void *ctx, const void *p)
{
	return PRIV_BASE + (uint64_t)((const uint8_t *)p - ((struct qtest *)ctx)->priv);
}

static void op_gsi(void *ctx, unsigned gsi, bool level)
{
	struct qtest *q = ctx;

	if (q->intercept)
		proto_irq(q, gsi, level);
}

/* No local APIC is there to take one. */
static void op_msi(void *ctx, uint64_t addr, uint32_t data)
{
}

/* Every access comes to machine_access() anyway. */
static void op_map(void *ctx, unsigned dev, enum dev_space space, uint64_t base, uint32_t len,
		   bool on)
{
}

static void op_reset(void *ctx)
{
	struct qtest *q = ctx;

	q->want_reset = q->guest_reset = true;
}

static void op_poweroff(void *ctx)
{
	((struct qtest *)ctx)->want_poweroff = true;
}

void *host_mem(struct qtest *q, uint64_t addr, uint64_t len)
{
	if (addr >= PRIV_BASE)
		return addr - PRIV_BASE <= PRIV_SIZE && len <= PRIV_SIZE - (addr - PRIV_BASE) ?
			       q->priv + (addr - PRIV_BASE) :
			       NULL;
	return op_ram(q, addr, len);
}

/* The BIOS as the board's memory controller leaves it: RAM below 1 MiB, see models/pci/i440fx.c. */
static void copy_bios(struct qtest *q)
{
	uint64_t n = q->rom_len < ROM_LOW ? q->rom_len : ROM_LOW;

	if (n)
		memcpy(q->ram + MIB - n, q->rom + q->rom_len - n, n);
}

void host_access(struct qtest *q, uint64_t addr, uint8_t *buf, uint64_t len, bool write)
{
	while (len) {
		uint8_t *p = NULL;
		uint64_t n = ram_piece(q, addr, len, &p), v = 0;

		if (n) {
			memcpy(write ? p : buf, write ? buf : p, n);
		} else if (addr < ROM_END && addr >= ROM_END - q->rom_len) {
			n = len < ROM_END - addr ? len : ROM_END - addr;
			if (!write)
				memcpy(buf, q->rom + (addr - (ROM_END - q->rom_len)), n);
		} else {
			for (n = 8; n > len || addr % n; n /= 2)
				;
			if (write)
				memcpy(&v, buf, n);
			machine_access(&q->m, DEV_MMIO, addr, (unsigned)n, write, &v);
			if (!write)
				memcpy(buf, &v, n);
		}
		addr += n;
		buf += n;
		len -= n;
	}
}

uint64_t host_clock(struct qtest *q, uint64_t to)
{
	struct machine *m = &q->m;

	machine_advance(m, m->now_ns);
	if (to == HOST_NEXT_TIMER)
		to = m->next_ns == UINT64_MAX ? m->now_ns : m->next_ns;
	/* A model that sees a timer late would be seen late itself. */
	while (m->now_ns < to)
		machine_advance(m, m->next_ns > m->now_ns && m->next_ns < to ? m->next_ns : to);
	return m->now_ns;
}

static void reset(struct qtest *q)
{
	machine_reset(&q->m);
	copy_bios(q);
	qmp_event(q, "RESET",
		  q->guest_reset ? "{\"guest\": true, \"reason\": \"guest-reset\"}" :
				   "{\"guest\": false, \"reason\": \"host-qmp-system-reset\"}");
	q->want_reset = q->guest_reset = false;
}

/* Carries through what the last request began. */
static void settle(struct qtest *q)
{
	bool more;

	do {
		more = false;
		for (unsigned i = 0; i < PC_MAX_DISKS; i++)
			more |= q->disk[i] && disk_complete(q->disk[i]);
	} while (more);
	machine_advance(&q->m, q->m.now_ns);
	if (q->want_reset && q->no_reboot && q->guest_reset) {
		q->want_reset = q->guest_reset = false;
		q->quit = true;
		qmp_event(q, "SHUTDOWN", "{\"guest\": true, \"reason\": \"guest-reset\"}");
	}
	if (q->want_reset)
		reset(q);
	if (q->want_poweroff) {
		q->want_poweroff = false;
		qmp_event(q, "SHUTDOWN", "{\"guest\": true, \"reason\": \"guest-shutdown\"}");
		if (q->no_shutdown) {
			q->paused = true;
			qmp_event(q, "STOP", NULL);
		} else {
			q->quit = true;
		}
	}
}

void host_run(struct qtest *q)
{
	while (!q->quit) {
		struct pollfd p[3] = {
			{ .fd = q->proto.in, .events = POLLIN },
			{ .fd = q->qmp.closed ? -1 : q->qmp.in, .events = POLLIN },
			{ .fd = serial_events(&q->com) ? q->com.fd : -1,
			  .events = serial_events(&q->com) },
		};
		char *line = chan_line(&q->proto);

		if (line) {
			proto_request(q, line);
			settle(q);
		} else if (q->proto.closed) {
			return;
		}
		/* While requests are waiting, the other ends are only looked at. */
		if (poll(p, 3, line ? 0 : -1) < 0 && errno != EINTR)
			return;
		if (!line && p[0].revents)
			chan_fill(&q->proto);
		if (p[1].revents) {
			chan_fill(&q->qmp);
			qmp_input(q);
			settle(q);
		}
		if (p[2].revents)
			serial_ready(&q->com, p[2].revents);
	}
}

static void *map_memory(uint64_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

int host_init(struct qtest *q)
{
	struct sio_config *c = &q->cfg;
	const char *why = NULL;
	uint64_t wall_ns = q->ops.wall_ns, ram = c->ram[0].len;

	signal(SIGPIPE, SIG_IGN);
	q->ram = map_memory(ram);
	q->priv = map_memory(PRIV_SIZE);
	if (!q->ram || !q->priv) {
		msg("-m: no memory");
		return -1;
	}
	c->n_ram = 1;
	if (ram > PC_LOW_MAX) {
		c->ram[0].len = PC_LOW_MAX;
		c->ram[1] = (struct sio_ram){ PC_HIGH_BASE, ram - PC_LOW_MAX };
		c->n_ram = 2;
	}
	copy_bios(q);
	q->ops = (struct machine_ops){
		.alloc = op_alloc,
		.ram = op_ram,
		.gpa = op_gpa,
		.gsi = op_gsi,
		.msi = op_msi,
		.map = op_map,
		.reset = op_reset,
		.poweroff = op_poweroff,
		.wall_ns = wall_ns,
	};
	q->io.cfg = c;
	q->io.console = &q->com.chr;
	q->io.irqchip =
		true; /* no local APIC will tell of an end: level-triggered pins stay in service */
	for (unsigned i = 0; i < PC_MAX_DISKS; i++)
		q->io.disk[i].blk = disk_blk(q->disk[i]);
	if (pc_init(&q->m, &q->ops, q, &q->io, &why)) {
		msg("the board: %s", why ? why : "?");
		return -1;
	}
	return 0;
}
