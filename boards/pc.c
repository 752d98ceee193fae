/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pc.c - a PC of the i440FX/PIIX family.
 *
 * Interrupt controllers and the PIT (ports 20h, 40h, 61h, A0h, FEC00000h) are the hypervisor's, or with
 * pc_io.irqchip the board's own.  GSI n is ISA interrupt n, at the PICs and the IOAPIC alike, but for the PIT:
 * interrupt 0 of the PICs, and pin 2, as the MADT says.
 *
 * Pin p (INTA# is 0) of PCI slot s is wired to PIRQ (s + p - 1) mod 4 of the ISA bridge, as _PRT says
 * (pc_dsdt.asl).  Network card n is in slot 3 + n.
 */
#include "boards/pc.h"

#include <string.h>

#include "boards/pc_tables.h"
#include "models/debugcon/debugcon.h"
#include "models/e1000/e1000.h"
#include "models/fwcfg/fwcfg.h"
#include "models/i8042/i8042.h"
#include "models/i8254/i8254.h"
#include "models/i8259/i8259.h"
#include "models/ide/ide.h"
#include "models/ioapic/ioapic.h"
#include "models/ne2000/ne2000.h"
#include "models/pci/i440fx.h"
#include "models/pci/piix3_isa.h"
#include "models/pm/piix4_pm.h"
#include "models/port92/port92.h"
#include "models/post/post.h"
#include "models/rtc/rtc.h"
#include "models/rtl8139/rtl8139.h"
#include "models/testdev/testdev.h"
#include "models/uart/uart.h"
#include "models/virtio_pci/virtio_pci.h"
#include "models/xen_platform/xen_platform.h"

#define DEVFN(dev, fn) ((dev)*8 + (fn))
#define COM1           0x3f8u

enum pc_dev {
	I440FX,
	ISA,
	IDE,
	PM,
	RTC,
	I8042,
	COM,
	PORT92,
	POST,
	FWCFG,
	DEBUGCON,
	TEST,
	PIC,
	PIT,
	IOAPIC,
	XEN,
	NET,
	N_DEVS = NET + SIO_MAX_NETS
};

#define ISA_LINE(n)                    \
	{                              \
		ISA, n, MACHINE_GSI, n \
	}

static const struct board_wire wires[] = {
	{ IDE, 0, MACHINE_GSI, 14 },
	{ IDE, 1, MACHINE_GSI, 15 },
	{ PM, 0, MACHINE_GSI, 9 },
	{ RTC, 0, MACHINE_GSI, 8 },
	{ I8042, 0, MACHINE_GSI, 1 },
	{ I8042, 1, MACHINE_GSI, 12 },
	{ COM, 0, MACHINE_GSI, 4 },
	{ TEST, 0, MACHINE_GSI, 5 },
	/* PCI interrupts as the ISA bridge routes them. */
	ISA_LINE(3),
	ISA_LINE(4),
	ISA_LINE(5),
	ISA_LINE(6),
	ISA_LINE(7),
	ISA_LINE(9),
	ISA_LINE(10),
	ISA_LINE(11),
	ISA_LINE(12),
	ISA_LINE(14),
	ISA_LINE(15),
};
#define N_WIRES (sizeof(wires) / sizeof(wires[0]))

/* The board's own PIT; then what else goes to a GSI goes to the PICs and the IOAPIC too. */
static const struct board_wire pit_wires[] = {
	{ PIT, 0, MACHINE_GSI, 0 },
	{ PIT, 0, PIC, 0 },
	{ PIT, 0, IOAPIC, 2 },
};
#define N_PIT_WIRES (sizeof(pit_wires) / sizeof(pit_wires[0]))
#define MAX_WIRES   (3 * (N_WIRES + SIO_MAX_NETS) + N_PIT_WIRES)

/* Where drivers look for an ISA NE2000; 9, what it often has, is the SCI here. */
static const struct {
	uint16_t base;
	uint8_t irq;
} isa_net[] = { { 0x300, 3 }, { 0x320, 5 } };

union net_cfg {
	struct e1000_cfg e1000;
	struct rtl8139_cfg rtl8139;
	struct ne2000_cfg ne2000;
	struct virtio_pci_cfg virtio;
};

/* Card n: its class and configuration, and one wire.  0, or -1: no such card, or no place for it. */
static int add_net(const struct pc_net *p, unsigned n, unsigned *n_isa, struct board_dev *dev,
		   union net_cfg *cfg, struct board_wire *wire)
{
	unsigned slot = PC_NET_SLOT + n;
	bool here = p->net || p->virtio;

	*dev = (struct board_dev){ NULL, cfg, here ? DEVFN((int)slot, 0) : -1, SIO_PLACE_NET,
				   !here };
	*wire = (struct board_wire){ (uint8_t)(NET + n), 0, ISA, (uint8_t)((slot - 1) % 4) };
	if (!here)
		return 0;
	switch (p->card) {
	case SIO_NET_RTL8139:
	case SIO_NET_RTL8139C:
		dev->cls = &rtl8139_class;
		cfg->rtl8139 = (struct rtl8139_cfg){ .net = p->net,
						     .c_only = p->card == SIO_NET_RTL8139C };
		return 0;
	case SIO_NET_E1000:
		dev->cls = &e1000_class;
		cfg->e1000 = (struct e1000_cfg){ .net = p->net };
		return 0;
	case SIO_NET_NE2K_PCI:
		dev->cls = &ne2000_pci_class;
		cfg->ne2000 = (struct ne2000_cfg){ .net = p->net };
		return 0;
	case SIO_NET_VIRTIO:
		dev->cls = &virtio_net_pci_class;
		cfg->virtio = (struct virtio_pci_cfg){ .dev = p->virtio };
		return 0;
	case SIO_NET_NE2K_ISA:
		if (*n_isa == sizeof(isa_net) / sizeof(isa_net[0]))
			return -1;
		dev->cls = &ne2000_isa_class;
		dev->devfn = -1;
		cfg->ne2000 = (struct ne2000_cfg){ .net = p->net,
						   .base = isa_net[*n_isa].base,
						   .irq = isa_net[*n_isa].irq };
		wire->to = MACHINE_GSI;
		wire->to_line = isa_net[(*n_isa)++].irq;
		return 0;
	}
	return -1;
}

/* Wires of the board's own interrupt controllers, behind n others; how many there are then. */
static unsigned wire_irqchip(struct board_wire *wire, unsigned n)
{
	unsigned to = n;

	for (unsigned i = 0; i < n; i++) {
		struct board_wire w = wire[i];

		if (w.to != MACHINE_GSI)
			continue;
		w.to = IOAPIC;
		wire[to++] = w;
		w.to = PIC;
		wire[to++] = w;
	}
	memcpy(&wire[to], pit_wires, sizeof(pit_wires));
	return to + N_PIT_WIRES;
}

static size_t text_len(const char *s, size_t max)
{
	size_t n = 0;

	while (n < max && s[n])
		n++;
	return n;
}

static struct pc_file file_of(const struct pc_io *io, const struct sio_blob *b)
{
	return (struct pc_file){ .name = b->name,
				 .data = (const void *)(io->base + b->addr),
				 .len = b->len };
}

/* fw_cfg's contents; 0 or -1 and *why. */
static int make_tables(const struct pc_io *io, const struct machine_ops *ops, void *ctx,
		       struct pc_tables *out, const char **why)
{
	struct pc_tables_cfg t = {
		.n_cpus = io->cfg->n_vcpus,
		.apic_id_last = io->cfg->apic_id_last,
		.low = io->cfg->ram[0].len,
		.high = io->cfg->n_ram > 1 ? io->cfg->ram[1].len : 0,
		.boot_menu = io->cfg->flags & SIO_CFG_BOOT_MENU,
		.boot_net = io->cfg->flags & SIO_CFG_BOOT_NET,
		.alloc = ops->alloc,
		.ctx = ctx,
	};
	struct pc_file files[SIO_MAX_BLOBS];

	memcpy(t.uuid, io->cfg->uuid, sizeof(t.uuid));
	for (unsigned i = 0; i < PC_MAX_DISKS; i++)
		t.disks |= (unsigned)(io->disk[i].blk || io->disk[i].elsewhere) << i;
	for (unsigned i = 0; i < SIO_MAX_NETS; i++)
		t.nets |=
			(unsigned)((io->net[i].net || io->net[i].virtio || io->net[i].elsewhere) &&
				   io->net[i].card != SIO_NET_NE2K_ISA)
			<< i;
	for (unsigned i = 0; i < io->cfg->n_blobs && i < SIO_MAX_BLOBS; i++) {
		const struct sio_blob *b = &io->cfg->blob[i];

		switch (b->kind) {
		case SIO_BLOB_KERNEL: t.kernel = file_of(io, b); break;
		case SIO_BLOB_INITRD: t.initrd = file_of(io, b); break;
		case SIO_BLOB_CMDLINE: t.cmdline = file_of(io, b); break;
		case SIO_BLOB_FILE: files[t.n_files++] = file_of(io, b);
		}
	}
	t.file = files;
	if (pc_tables_build(&t, out)) {
		*why = out->why;
		return -1;
	}
	return 0;
}

int pc_init(struct machine *m, struct machine_ops *ops, void *ctx, const struct pc_io *io,
	    const char **why)
{
	struct pc_tables *tables = ops->alloc(ctx, sizeof(*tables), 16);
	struct piix3_ide_cfg ide = { 0 };
	struct rtc_cfg rtc = {
		.ram_low = io->cfg->ram[0].len,
		.ram_high = io->cfg->n_ram > 1 ? io->cfg->ram[1].len : 0,
		.n_vcpus = (uint8_t)io->cfg->n_vcpus,
		.equipment = 2,
		.boot = { RTC_BOOT_DISK, RTC_BOOT_NONE, RTC_BOOT_NONE },
	};
	struct board_wire *wire = ops->alloc(ctx, MAX_WIRES * sizeof(*wire), 16);
	union net_cfg net[SIO_MAX_NETS];
	struct uart_cfg com = { .base = COM1, .chr = io->console };
	struct debugcon_cfg dbg = { .chr = io->debugcon };
	struct ioapic_cfg ioapic = { .version = 0x11, .resample_ns = io->resample_ns };
	struct fwcfg_cfg fwcfg;
	uint32_t local = io->cfg->local ? io->cfg->local : UINT32_MAX;
	bool xen = io->cfg->flags & SIO_CFG_XEN;
	struct board_dev devs[N_DEVS] = {
		[I440FX] = { &i440fx_class, NULL, DEVFN(0, 0), SIO_PLACE_PCI, false },
		[ISA] = { &piix3_isa_class, NULL, DEVFN(1, 0), SIO_PLACE_PCI, false },
		[IDE] = { &piix3_ide_class, &ide, DEVFN(1, 1), SIO_PLACE_IDE, false },
		[PM] = { &piix4_pm_class, NULL, DEVFN(1, 3), SIO_PLACE_PM, false },
		[RTC] = { &rtc_class, &rtc, -1, SIO_PLACE_RTC, false },
		[I8042] = { &i8042_class, NULL, -1, SIO_PLACE_I8042, false },
		[COM] = { &uart_class, &com, -1, SIO_PLACE_UART, false },
		[PORT92] = { &port92_class, NULL, -1, SIO_PLACE_PORTS, false },
		[POST] = { &post_class, NULL, -1, SIO_PLACE_PORTS, false },
		[FWCFG] = { &fwcfg_class, &fwcfg, -1, SIO_PLACE_FWCFG, false },
		/* The BIOS looks whether the port answers; without a listener it is not there. */
		[DEBUGCON] = { &debugcon_class, &dbg, -1, SIO_PLACE_PORTS, false },
		[TEST] = { &testdev_class, NULL, -1, SIO_PLACE_TEST, false },
		[PIC] = { &i8259_class, NULL, -1, SIO_PLACE_PCI, false },
		[PIT] = { &i8254_class, NULL, -1, SIO_PLACE_PCI, false },
		[IOAPIC] = { &ioapic_class, &ioapic, -1, SIO_PLACE_PCI, false },
		[XEN] = { &xen_platform_class, NULL, xen ? DEVFN(2, 0) : -1, SIO_PLACE_PCI, false },
	};
	unsigned failed, n_isa = 0, n_wires = N_WIRES + SIO_MAX_NETS;

	for (unsigned i = 0; i < NET; i++)
		devs[i].away = !(local >> devs[i].place & 1);
	devs[DEBUGCON].away |= !io->debugcon;
	devs[TEST].away |= !(io->cfg->flags & SIO_CFG_TESTDEV);
	devs[XEN].away |= !xen;
	for (unsigned i = PIC; i <= IOAPIC; i++)
		devs[i].away |= !io->irqchip;
	if (!tables || !wire) {
		*why = "no memory for tables";
		return -1;
	}
	memcpy(wire, wires, sizeof(wires));
	for (unsigned i = 0; i < SIO_MAX_NETS; i++)
		if (add_net(&io->net[i], i, &n_isa, &devs[NET + i], &net[i], &wire[N_WIRES + i])) {
			*why = "a network card has no place";
			return -1;
		}
	if (io->irqchip)
		n_wires = wire_irqchip(wire, n_wires);
	/* Half of what private memory holds: only where they are shown. */
	if ((local >> SIO_PLACE_FWCFG & 1) && make_tables(io, ops, ctx, tables, why))
		return -1;
	fwcfg = (struct fwcfg_cfg){ .items = tables->item, .n = tables->n };
	for (unsigned i = 0; i < PC_MAX_DISKS; i++) {
		const struct pc_disk *d = &io->disk[i];

		ide.disk[i] = d->blk;
		if (!d->blk)
			continue;
		memcpy(ide.serial[i], d->serial, text_len(d->serial, sizeof(ide.serial[i]) - 1));
		memcpy(ide.model[i], d->model, text_len(d->model, sizeof(ide.model[i]) - 1));
	}
	if (machine_init(m, ops, ctx, devs, N_DEVS, wire, n_wires, &failed)) {
		*why = failed < N_DEVS ? devs[failed].cls->name : "?";
		return -1;
	}
	return 0;
}

void pc_power_button(struct machine *m)
{
	const struct dev_host *pm = &m->host[PM];

	if (pm->away)
		return;
	pm->cls->line(pm->dev, 0, true);
	pm->cls->line(pm->dev, 0, false);
}

int pc_vector(const struct machine *m)
{
	return m->host[PIC].away ? -1 : i8259_vector(m->host[PIC].dev);
}

void pc_taken(struct machine *m, uint8_t vector)
{
	if (!m->host[PIC].away)
		i8259_taken(m->host[PIC].dev, vector);
}

void pc_eoi(struct machine *m, uint8_t vector)
{
	if (!m->host[IOAPIC].away)
		ioapic_eoi(m->host[IOAPIC].dev, vector);
}

bool pc_level_vectors(const struct machine *m, uint64_t vectors[4])
{
	if (!m->host[IOAPIC].away)
		return ioapic_level_vectors(m->host[IOAPIC].dev, vectors);
	memset(vectors, 0, 4 * sizeof(vectors[0]));
	return true;
}
