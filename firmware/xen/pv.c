/* SPDX-License-Identifier: BSD-2-Clause */
/* pv.c - the PV front ends in a Xen domain: disks hda to hdd of its configuration, its networks, its console. */
#include <string.h>

#include "boards/pc.h"
#include "drivers/xen/xen_blk.h"
#include "drivers/xen/xen_console.h"
#include "drivers/xen/xen_net.h"
#include "firmware/metal/cpu.h"
#include "firmware/xen/xen_home.h"
#include "lib/fmt.h"

static struct {
	struct xen x;
	struct xen_console console;
	struct xen_blk *disk[PC_MAX_DISKS];
	char serial[PC_MAX_DISKS][8];
	struct xen_net *net[SIO_MAX_NETS];
	unsigned disks, nets;        /* bit n: there is such a one */
	uint64_t console_ns, net_ns; /* when they are to be looked at; UINT64_MAX: no need */
	bool has_console;
	bool watches; /* control/shutdown */
	bool reboot;  /* asked for there: the guest's next power-off */
	uint64_t tsc0;
	uint32_t tsc_khz;
} pv;

static void *e_alloc(void *ctx, size_t size, size_t align)
{
	return fw_alloc(size, align);
}

static uint64_t e_gpa(void *ctx, const void *p)
{
	return (uintptr_t)p;
}

static void *e_at(void *ctx, uint64_t gpa, uint64_t len)
{
	const struct sio_ram special = { XEN_SPECIAL, XEN_SPECIAL_N * SIO_PAGE };
	const struct sio_ram priv = { SIO_PRIV_BASE, fw.cfg->priv_size };
	const struct sio_ram *area[] = { &special, &priv, &fw.cfg->ram[0], &fw.cfg->ram[1] };

	for (unsigned i = 0; i < sizeof(area) / sizeof(area[0]); i++) {
		uint64_t off = gpa - area[i]->base;

		if (gpa >= area[i]->base && off <= area[i]->len && len <= area[i]->len - off)
			return (void *)gpa;
	}
	return NULL;
}

static long e_hypercall(void *ctx, unsigned nr, unsigned long op, void *arg, unsigned long n)
{
	return xen_hypercall(nr, op, arg, n);
}

static uint32_t e_channel(void *ctx, unsigned n, uint16_t domid)
{
	return (uint32_t)xen_op(SIO_XEN_OP_CHANNEL, n, domid);
}

static void e_notify(void *ctx, unsigned n)
{
	fw_op(XEN_OP + SIO_XEN_OP_NOTIFY, n, 0, 0, 0);
}

static uint64_t tsc(void)
{
	uint32_t lo, hi;

	__asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi));
	return (uint64_t)hi << 32 | lo;
}

static uint64_t e_now_ns(void *ctx)
{
	return (tsc() - pv.tsc0) / pv.tsc_khz * 1000000u;
}

static void e_log(void *ctx, const char *text)
{
	fw_log(SIO_LOG_ERROR, "%s", text);
}

static const struct xen_env env = {
	.alloc = e_alloc,
	.gpa = e_gpa,
	.at = e_at,
	.hypercall = e_hypercall,
	.channel = e_channel,
	.notify = e_notify,
	.now_ns = e_now_ns,
	.log = e_log,
};

static void start_clock(void)
{
	uint32_t r[4];

	cpu_id(0x40000003, r);
	pv.tsc_khz = r[2] ? r[2] : 1000000;
	pv.tsc0 = tsc();
}

static void put(const char *text, size_t n)
{
	struct chr *c = &pv.console.chr;

	if (pv.has_console)
		c->write(c, (const uint8_t *)text, n);
	else
		xen_say(text, n);
}

void pv_text(const char *prefix, const char *text, size_t n)
{
	char line[32];

	put(line, fmt(line, sizeof(line), "%s", prefix));
	put(text, n);
	put("\r\n", 2);
	if (pv.has_console)
		xen_console_service(&pv.console, true);
}

/* A guest that does not know Xen leaves xenstore to the firmware: it is suspended by it, is asked to shut itself down as a
 * PC is, by the power button, and has links that go and come with their back ends. */
static void watch_store(void)
{
	pv.watches = !(fw.cfg->flags & SIO_CFG_XEN) && xen_store_watch(&pv.x, "control/shutdown");
	for (unsigned i = 0; i < SIO_MAX_NETS && pv.watches; i++)
		if (pv.net[i])
			xen_net_watch(pv.net[i]);
}

static void look_at_control(void)
{
	static const char asked[][12] = { "suspend", "poweroff", "reboot" };
	char text[XEN_STORE_TEXT];
	unsigned i = 0;

	if (!xen_store_read(&pv.x, "control", "shutdown", text))
		return;
	while (memcmp(text, asked[i], strlen(asked[i]) + 1))
		if (++i == sizeof(asked) / sizeof(asked[0]))
			return;
	xen_store_write(&pv.x, "control", "shutdown", ""); /* heard */
	if (i == 0) {
		xen_suspend();
		return;
	}
	pv.reboot = i == 2;
	pc_power_button(fw.machine);
}

static void look_at_store(void)
{
	if (!pv.watches || !xen_store_fired(&pv.x))
		return;
	for (unsigned i = 0; i < SIO_MAX_NETS; i++)
		if (pv.net[i])
			xen_net_look(pv.net[i]);
	look_at_control();
}

bool pv_wants_reboot(void)
{
	return pv.reboot;
}

/* The card of a vif: what the command line says; otherwise what xl says for an emulated one. */
static uint32_t card_of(unsigned unit)
{
	for (unsigned i = 0; i < fw.cfg->n_devices; i++)
		if (fw.cfg->device[i].kind == SIO_DEV_NET && fw.cfg->device[i].unit == unit)
			return fw.cfg->device[i].card;
	return SIO_NET_RTL8139;
}

/* Private memory grows by RAM's last pages. */
static void grow(uint64_t bytes)
{
	struct sio_config *c = fw_ptr(SIO_PRIV_BASE + SIO_CONFIG_OFF);

	for (uint64_t end = fw.heap_end + bytes; fw.heap_end < end; fw.heap_end += SIO_PAGE) {
		if (c->priv_size == SIO_PRIV_MAX ||
		    !xen_move_page(XEN_MAPSPACE_GMFN, c->ram[0].len - SIO_PAGE, fw.heap_end))
			fw_panic("no memory for disks and network cards");
		c->ram[0].len -= SIO_PAGE;
		c->priv_size += SIO_PAGE;
		memset((void *)fw.heap_end, 0, SIO_PAGE);
	}
}

static void start_nets(struct pc_io *io)
{
	for (unsigned i = 0; i < SIO_MAX_NETS; i++) {
		uint32_t card = card_of(i);

		if (card == XEN_NET_PV || !xen_net_there(&pv.x, i))
			continue;
		/* The front end, and the model as vmm/home.c has it. */
		grow(XEN_NET_BYTES + (card == SIO_NET_E1000 ? 0x20000 : 0x10000));
		pv.net[i] = fw_alloc(sizeof(*pv.net[i]), 64);
		pv.nets |= 1u << i;
		if (xen_net_init(pv.net[i], &pv.x, i, PC_MAX_DISKS + i))
			fw_panic("network %u: this is no vif", i);
		io->net[i] = (struct pc_net){ .net = &pv.net[i]->net, .card = card };
	}
}

void pv_start(struct pc_io *io)
{
	pv.console_ns = pv.net_ns = UINT64_MAX;
	start_clock();
	if (xen_init(&pv.x, &env))
		fw_panic("no PV devices");
	pv.has_console = !xen_console_init(&pv.console, &pv.x);
	if (pv.has_console) {
		io->console = &pv.console.chr;
		fw.poll_ns = pv.console_ns = 0;
	}
	for (unsigned i = 0; i < PC_MAX_DISKS; i++) {
		struct xen_blk *b;

		if (!xen_blk_there(&pv.x, xen_blk_ide_vdev(i)))
			continue;
		grow(XEN_BLK_BYTES);
		pv.disk[i] = b = fw_alloc(sizeof(*b), 64);
		pv.disks |= 1u << i;
		if (xen_blk_init(b, &pv.x, xen_blk_ide_vdev(i), i))
			fw_panic("disk hd%c: no connection to its back end", 'a' + i);
		fmt(pv.serial[i], sizeof(pv.serial[i]), "SIO-hd%c", 'a' + i);
		io->disk[i] = (struct pc_disk){ &b->blk, pv.serial[i], "selfio disk", false };
	}
	if (pv.x.store_broken)
		fw_panic("no answer from xenstore");
	start_nets(io);
	watch_store();
}

void pv_restored(void)
{
	start_clock();
	if (xen_restored(&pv.x))
		fw_panic("no PV devices after the restore");
	pv.has_console = pv.has_console && !xen_console_restored(&pv.console);
	for (unsigned i = 0; i < PC_MAX_DISKS; i++)
		if (pv.disk[i])
			xen_blk_restored(pv.disk[i]);
	for (unsigned i = 0; i < SIO_MAX_NETS; i++)
		if (pv.net[i])
			xen_net_restored(pv.net[i]);
	watch_store();
}

/* Frames whose end no event tells are looked at so much later, if nothing else happens before. */
#define LAZY_NS SIO_POSTED_MAX_NS

static void set_poll(void)
{
	fw.poll_ns = pv.net_ns < pv.console_ns ? pv.net_ns : pv.console_ns;
}

bool pv_service(void)
{
	bool more = false, waits = false, due = pv.net_ns <= fw.machine->now_ns;

	for (unsigned left = pv.disks; left; left &= left - 1)
		xen_blk_service(pv.disk[__builtin_ctz(left)]);
	for (unsigned left = pv.nets; left; left &= left - 1) {
		struct xen_net *net = pv.net[__builtin_ctz(left)];

		more |= due ? xen_net_hurry(net) : xen_net_service(net);
		waits |= xen_net_waits(net);
	}
	if (!waits)
		pv.net_ns = UINT64_MAX;
	else if (pv.net_ns == UINT64_MAX || due)
		pv.net_ns = fw.machine->now_ns + LAZY_NS;
	set_poll();
	return more;
}

bool pv_console(bool flush)
{
	if (!pv.has_console)
		return false;
	/* No event tells of input: it is looked for now and then, and otherwise nothing but output is cared for. */
	if (fw.machine->now_ns < pv.console_ns) {
		if (!pv.console.active)
			return false;
	} else {
		pv.console_ns = fw.machine->now_ns + XEN_CONSOLE_POLL_NS;
		set_poll();
		flush = true;
		look_at_store();
	}
	xen_console_service(&pv.console, flush);
	return xen_console_pending(&pv.console);
}

void pv_events(uint64_t events)
{
	/* pv_service() looks at every disk anyway. */
	for (unsigned left = pv.nets & (unsigned)(events >> PC_MAX_DISKS); left; left &= left - 1)
		xen_net_hurry(pv.net[__builtin_ctz(left)]);
}
