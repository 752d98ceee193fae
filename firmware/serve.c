/* SPDX-License-Identifier: BSD-2-Clause */
/* serve.c - requests in, answers out: the loops of the vCPUs' contexts and of the I/O context. */
#include <string.h>

#include "firmware/fw.h"

/* Console output waits this long for company: one notification for a line, not for a character. */
#define CONSOLE_DELAY_NS 1000000u

static void pump_console(uint64_t now)
{
	bool due = now >= fw.console_due_ns;

	virtio_console_service(fw.console, due);
	if (due || !virtio_console_pending(fw.console))
		fw.console_due_ns = UINT64_MAX;
	if (virtio_console_pending(fw.console) && fw.console_due_ns == UINT64_MAX)
		fw.console_due_ns = now + CONSOLE_DELAY_NS;
}

/* What a request set going: front ends, timers. The lock is held. */
static void pump(uint64_t now)
{
	uint64_t next;

	for (unsigned i = 0; i < fw.n_disks; i++)
		virtio_blk_service(fw.disk[i]);
	if (fw.console)
		pump_console(now);
	next = fw.machine->next_ns < fw.console_due_ns ? fw.machine->next_ns : fw.console_due_ns;
	if (next < fw.timer_ns) {
		fw.timer_ns = next;
		hv_op(fw.slot, SIO_OP_TIMER, 0, next, 0);
	}
}

static uint64_t access(const struct sio_request *r, uint8_t *data)
{
	uint64_t v = r->data;

	if (r->count == 1)
		machine_access(fw.machine, r->kind == SIO_REQ_PIO ? DEV_PIO : DEV_MMIO, r->addr,
			       r->size, r->write, &v);
	else
		machine_burst(fw.machine, r->addr, r->size, r->write, data, r->count);
	return v;
}

_Noreturn void fw_serve(unsigned context)
{
	struct sio_slot_shared *s = fw_slot_of(context);
	bool io = context == fw.cfg->n_vcpus;

	for (;;) {
		struct sio_request r;

		if (io)
			hv_wait(s);
		else
			hv_return(s);
		r = s->req;
		fw_lock(s);
		if (r.kind == SIO_REQ_EVENT) {
			if (r.events & SIO_EVENT_TIMER)
				fw.timer_ns = UINT64_MAX;
			for (unsigned i = 0; i < fw.n_disks; i++)
				if (r.events >> fw.disk_window[i] & 1)
					virtio_blk_event(fw.disk[i]);
		}
		machine_advance(fw.machine, r.now_ns);
		if (r.kind == SIO_REQ_PIO || r.kind == SIO_REQ_MMIO)
			s->answer = access(&r, s->data);
		else if (r.kind == SIO_REQ_RESET)
			machine_reset(fw.machine);
		pump(fw.machine->now_ns);
		fw_unlock();
	}
}
