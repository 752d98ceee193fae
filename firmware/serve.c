/* SPDX-License-Identifier: BSD-2-Clause */
/* serve.c - requests in, answers out. */
#include <string.h>

#include "boards/pc.h"
#include "firmware/fw.h"

/* Console output waits this long for company: one notification for a line, not for a character. */
#define CONSOLE_DELAY_NS 1000000u

#define VECTOR_UNKNOWN (SIO_NO_VECTOR - 1) /* of fw.vector */
#define DOORBELLS      ((1u << MACHINE_MAX_DOORBELLS) - 1)

static void pump_console(uint64_t now)
{
	bool due = now >= fw.console_due_ns, pending = pv_console(due);

	if (due || !pending)
		fw.console_due_ns = UINT64_MAX;
	if (pending && fw.console_due_ns == UINT64_MAX)
		fw.console_due_ns = now + CONSOLE_DELAY_NS;
}

/* The board's own interrupt controllers: what the processors' side of them has to know. */
static void pump_irqchip(void)
{
	uint32_t vector = (uint32_t)pc_vector(fw.machine); /* -1 is SIO_NO_VECTOR */
	uint64_t level[4];

	if (vector != fw.vector)
		fw_op(SIO_OP_VECTOR, fw.vector = vector, 0, ++fw.vector_seq, 0);
	if (!pc_level_vectors(fw.machine, level))
		return;
	for (unsigned i = 0; i < 4; i++)
		if (level[i] != fw.level[i])
			fw_op(SIO_OP_LEVELS, i, fw.level[i] = level[i], ++fw.level_seq[i], 0);
}

/* What a request set going: front ends, timers. The lock is held. */
static void pump(uint64_t now)
{
	uint64_t next;
	bool more = pv_service();

	pump_console(now);
	if (fw.cfg->flags & SIO_CFG_IRQCHIP)
		pump_irqchip();
	next = fw.machine->next_ns < fw.console_due_ns ? fw.machine->next_ns : fw.console_due_ns;
	if (fw.poll_ns < next)
		next = fw.poll_ns;
	/* A flood of frames must not keep a vCPU here: the I/O context goes on with it. */
	if (more)
		next = now;
	if (next < fw.timer_ns) {
		fw.timer_ns = next;
		fw_op(SIO_OP_TIMER, 0, next, 0, 0);
	}
}

static uint64_t access(const struct sio_request *r, uint8_t *data)
{
	uint64_t v = r->data;

	if (r->kind == SIO_REQ_PCICFG)
		machine_pci_cfg(fw.machine, (unsigned)r->addr >> 8, r->addr & 0xff, r->size,
				r->write, &v);
	else if (r->count == 1)
		machine_access(fw.machine, r->kind == SIO_REQ_PIO ? DEV_PIO : DEV_MMIO, r->addr,
			       r->size, r->write, &v);
	else
		machine_burst(fw.machine, r->addr, r->size, r->write, data, r->count);
	return v;
}

/* Writes that the guest has gone on from. A run to one port (REP OUTS) is one burst: its items are
 * gathered where their entries were. */
static void posted(struct sio_posted *p, uint32_t n)
{
	for (uint32_t i = 0, k; i < n; i = k) {
		enum dev_space space = p[i].space == SIO_SPACE_PIO ? DEV_PIO : DEV_MMIO;
		uint64_t addr = p[i].addr, v = p[i].data;
		unsigned size = p[i].size;
		uint8_t *run = (uint8_t *)&p[i];

		for (k = i + 1; space == DEV_PIO && k < n && p[k].space == SIO_SPACE_PIO &&
				p[k].addr == addr && p[k].size == size;
		     k++)
			;
		if (k == i + 1) {
			machine_access(fw.machine, space, addr, size, true, &v);
			continue;
		}
		for (uint32_t j = i; j < k; j++) {
			uint64_t item = p[j].data;

			memcpy(run + (j - i) * size, &item, size);
		}
		machine_burst(fw.machine, addr, size, true, run, k - i);
	}
}

void fw_say_again(void)
{
	fw.timer_ns = UINT64_MAX;
	fw.vector = VECTOR_UNKNOWN;
}

static void events(uint64_t e)
{
	if (e & SIO_EVENT_TIMER)
		fw.timer_ns = UINT64_MAX;
	for (unsigned bells = e >> SIO_EVENT_DOORBELL & DOORBELLS; bells; bells &= bells - 1)
		machine_doorbell(fw.machine, (unsigned)__builtin_ctz(bells));
	if (e >> SIO_EVENT_BUTTON & 1)
		pc_power_button(fw.machine);
	pv_events(e);
}

void fw_request(struct sio_slot_shared *s)
{
	struct sio_request r = s->req;

	fw_lock(s);
	machine_advance(fw.machine, r.now_ns);
	if (r.n_posted)
		posted(s->posted, r.n_posted);
	if (r.events)
		events(r.events);
	if (r.kind == SIO_REQ_PIO || r.kind == SIO_REQ_MMIO || r.kind == SIO_REQ_PCICFG)
		s->answer = access(&r, s->data);
	else if (r.kind == SIO_REQ_RESET)
		machine_reset(fw.machine);
	else if (r.kind == SIO_REQ_EOI)
		pc_eoi(fw.machine, (uint8_t)r.addr);
	if (r.kind == SIO_REQ_TAKEN) {
		pc_taken(fw.machine, (uint8_t)r.addr);
		fw.vector =
			VECTOR_UNKNOWN; /* the host may have dropped it, or have another by now */
	}
	pump(fw.machine->now_ns);
	fw_unlock();
}
