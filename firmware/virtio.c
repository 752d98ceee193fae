/* SPDX-License-Identifier: BSD-2-Clause */
/* virtio.c - the PV front ends of homes that the KVM side serves (fw.h: pv_). */
#include "boards/pc.h"
#include "drivers/virtio/virtio_blk.h"
#include "drivers/virtio/virtio_console.h"
#include "drivers/virtio/virtio_net.h"
#include "drivers/virtio/virtio_pass.h"
#include "firmware/fw.h"

static struct {
	struct virtio_blk *disk[PC_MAX_DISKS];
	uint8_t disk_window[PC_MAX_DISKS];
	unsigned n_disks;
	struct virtio_net *net[SIO_MAX_NETS];
	uint8_t net_window[SIO_MAX_NETS];
	unsigned n_nets;
	struct virtio_pass *pass[SIO_MAX_NETS];
	uint8_t pass_window[SIO_MAX_NETS];
	unsigned n_pass;
	struct virtio_console *console;
} pv;

static void *pv_alloc(void *ctx, size_t size, size_t align)
{
	return fw_alloc(size, align);
}

static uint64_t pv_gpa(void *ctx, const void *p)
{
	return (uintptr_t)p - fw.base;
}

static uint32_t pv_read(void *ctx, uint64_t addr)
{
	return hv_mmio_read(addr);
}

static void pv_notify(void *ctx, uint64_t window, uint32_t queue)
{
	fw_op(SIO_OP_NOTIFY, (uint32_t)((window - SIO_VIRTIO_BASE) / SIO_VIRTIO_STRIDE), queue, 0,
	      0);
}

static void pv_write(void *ctx, uint64_t addr, uint32_t v)
{
	if (addr % SIO_VIRTIO_STRIDE != VIRTIO_MMIO_QUEUE_NOTIFY) {
		hv_mmio_write(addr, v);
		return;
	}
	/* An access to memory makes the hypervisor decode an instruction; a hypercall does not. */
	pv_notify(ctx, addr, v);
	fw_flush();
}

static void pv_log(void *ctx, const char *text)
{
	fw_log(SIO_LOG_ERROR, "%s", text);
}

static const struct pv_env env = {
	.alloc = pv_alloc,
	.gpa = pv_gpa,
	.mmio_read = pv_read,
	.mmio_write = pv_write,
	.notify = pv_notify,
	.log = pv_log,
};

void pv_start(struct pc_io *io)
{
	for (unsigned i = 0; i < fw.cfg->n_devices; i++) {
		const struct sio_device *d = &fw.cfg->device[i];
		uint64_t window = SIO_VIRTIO_BASE + (uint64_t)d->window * SIO_VIRTIO_STRIDE;

		if (d->kind == SIO_DEV_BLK && d->unit < PC_MAX_DISKS &&
		    d->window == SIO_NO_WINDOW) {
			io->disk[d->unit].elsewhere = true;
		} else if (d->kind == SIO_DEV_NET && d->unit < SIO_MAX_NETS &&
			   d->window == SIO_NO_WINDOW) {
			io->net[d->unit] = (struct pc_net){ NULL, d->card, true, NULL };
		} else if (d->window == SIO_NO_WINDOW) {
			continue;
		} else if (d->kind == SIO_DEV_BLK && d->unit < PC_MAX_DISKS &&
			   pv.n_disks < PC_MAX_DISKS) {
			struct virtio_blk *b = fw_alloc(sizeof(*b), 64);

			if (virtio_blk_init(b, &env, window))
				fw_panic("disk %u: the back end refused the block front end",
					 d->unit);
			pv.disk_window[pv.n_disks] = (uint8_t)d->window;
			pv.disk[pv.n_disks++] = b;
			io->disk[d->unit] = (struct pc_disk){ &b->blk, d->serial, d->model, false };
		} else if (d->kind == SIO_DEV_NET && d->unit < SIO_MAX_NETS &&
			   d->card == SIO_NET_VIRTIO && pv.n_pass < SIO_MAX_NETS) {
			struct virtio_pass *p = fw_alloc(sizeof(*p), 64);

			if (virtio_pass_init(p, &env, window, VIRTIO_ID_NET))
				fw_panic("network %u: no device in its window", d->unit);
			pv.pass_window[pv.n_pass] = (uint8_t)d->window;
			pv.pass[pv.n_pass++] = p;
			io->net[d->unit] = (struct pc_net){ .card = d->card, .virtio = &p->dev };
		} else if (d->kind == SIO_DEV_NET && d->unit < SIO_MAX_NETS &&
			   !io->net[d->unit].net && pv.n_nets < SIO_MAX_NETS) {
			struct virtio_net *n = fw_alloc(sizeof(*n), 64);

			if (virtio_net_init(n, &env, window))
				fw_panic("network %u: the back end refused the network front end",
					 d->unit);
			pv.net_window[pv.n_nets] = (uint8_t)d->window;
			pv.net[pv.n_nets++] = n;
			io->net[d->unit] = (struct pc_net){ &n->net, d->card, false, NULL };
		} else if (d->kind == SIO_DEV_CONSOLE && !pv.console) {
			pv.console = fw_alloc(sizeof(*pv.console), 64);
			if (virtio_console_init(pv.console, &env, window))
				fw_panic("console: the back end refused the console front end");
			io->console = &pv.console->chr;
		}
	}
}

/* Frames whose end no event tells are looked at so much later, if nothing else happens before. */
#define LAZY_NS SIO_POSTED_MAX_NS

bool pv_service(void)
{
	bool more = false, waits = false, due = fw.poll_ns <= fw.machine->now_ns;

	for (unsigned i = 0; i < pv.n_disks; i++)
		virtio_blk_service(pv.disk[i]);
	for (unsigned i = 0; i < pv.n_nets; i++) {
		more |= due ? virtio_net_hurry(pv.net[i]) : virtio_net_service(pv.net[i]);
		waits |= virtio_net_waits(pv.net[i]);
	}
	if (!waits)
		fw.poll_ns = UINT64_MAX;
	else if (fw.poll_ns == UINT64_MAX || due)
		fw.poll_ns = fw.machine->now_ns + LAZY_NS;
	return more;
}

bool pv_console(bool flush)
{
	if (!pv.console)
		return false;
	virtio_console_service(pv.console, flush);
	return virtio_console_pending(pv.console);
}

void pv_events(uint64_t e)
{
	for (unsigned i = 0; i < pv.n_disks; i++)
		if (e >> pv.disk_window[i] & 1)
			virtio_blk_event(pv.disk[i]);
	for (unsigned i = 0; i < pv.n_nets; i++)
		if (e >> pv.net_window[i] & 1)
			virtio_net_event(pv.net[i]);
	for (unsigned i = 0; i < pv.n_pass; i++)
		if (e >> pv.pass_window[i] & 1)
			virtio_pass_event(pv.pass[i]);
}
