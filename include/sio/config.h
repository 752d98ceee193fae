/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * config.h - the config page: what the domain is made of, fixed at start.
 *
 * Written by the hypervisor side before the first context is entered and never changed afterwards.
 * Strings are 0-terminated within their arrays.
 */
#ifndef SIO_CONFIG_H
#define SIO_CONFIG_H

#include <stdint.h>

#include "sio/abi.h"

#define SIO_CONFIG_MAGIC 0x31474643464f4953ull /* "SIOFCFG1" */

#define SIO_MAX_RAM     2u
#define SIO_MAX_DEVICES 16u
#define SIO_MAX_BLOBS   12u

struct sio_ram {
	uint64_t base, len; /* bytes, page-aligned; ram[0] starts at 0 */
};

enum sio_device_kind { SIO_DEV_BLK = 1, SIO_DEV_CONSOLE = 2, SIO_DEV_NET = 3 };

/* The card that the guest finds. */
enum sio_net_card {
	SIO_NET_RTL8139 = 1,  /* C+ */
	SIO_NET_RTL8139C = 2, /* without the C+ mode */
	SIO_NET_E1000 = 3,
	SIO_NET_NE2K_PCI = 4,
	SIO_NET_NE2K_ISA = 5,
	SIO_NET_VIRTIO = 6, /* the device itself, over PCI */
};
#define SIO_MAX_NETS 8u

/* Groups of models that can be placed: bit n of sio_config.local is set where group n lives here. */
enum sio_place {
	SIO_PLACE_PCI = 0, /* host bridge and ISA bridge */
	SIO_PLACE_IDE = 1,
	SIO_PLACE_PM = 2,
	SIO_PLACE_RTC = 3,
	SIO_PLACE_I8042 = 4,
	SIO_PLACE_UART = 5,
	SIO_PLACE_PORTS = 6, /* 80h, 92h, 402h */
	SIO_PLACE_FWCFG = 7,
	SIO_PLACE_TEST = 8, /* the test device */
	SIO_PLACE_NET = 9,  /* network cards */
	SIO_N_PLACES = 10,
};

#define SIO_NO_WINDOW UINT32_MAX /* the device's PV side belongs to another home */

struct sio_device {
	uint32_t kind; /* enum sio_device_kind */
	/* virtio-mmio window: SIO_VIRTIO_BASE + window * SIO_VIRTIO_STRIDE; or SIO_NO_WINDOW */
	uint32_t window;
	uint32_t unit;   /* disk: 0-3 IDE channel * 2 + drive; network: 0-7, in order; console: 0 */
	uint32_t card;   /* network: enum sio_net_card */
	char serial[24]; /* disk: serial number, at most 20 characters */
	char model[48];  /* disk: model name, at most 40 characters */
};
_Static_assert(sizeof(struct sio_device) == 88, "sio_device");

enum sio_blob_kind {
	SIO_BLOB_KERNEL = 1,  /* a bzImage, whole */
	SIO_BLOB_INITRD = 2,  /* as it goes to the guest */
	SIO_BLOB_CMDLINE = 3, /* without the final 0 */
	SIO_BLOB_FILE = 4,    /* a file of fw_cfg, called name */
};

struct sio_blob {
	uint32_t kind, pad;
	uint64_t addr, len; /* companion-physical, read-only, page-aligned start */
	char name[56];
};
_Static_assert(sizeof(struct sio_blob) == 80, "sio_blob");

#define SIO_CFG_DEBUGCON  1u /* the debug console at port 402h is there */
#define SIO_CFG_BOOT_MENU 2u /* the BIOS shows its boot menu */
#define SIO_CFG_TESTDEV   4u /* the test device is there */
#define SIO_CFG_BOOT_NET  8u /* the BIOS tries network cards before disks */
#define SIO_CFG_IRQCHIP \
	16u /* 8259s, IOAPIC and PIT are models; the hypervisor has local APICs only */
#define SIO_CFG_XEN \
	32u /* the Xen platform device is there: the guest knows that it is in a Xen domain */

struct sio_config {
	uint64_t magic;
	uint32_t version; /* SIO_ABI_VERSION */
	uint32_t size;    /* of this struct */
	uint32_t n_vcpus; /* 1 to SIO_MAX_VCPUS */
	uint32_t flags;   /* SIO_CFG_ */
	uint64_t priv_size;
	uint64_t heap_base, heap_len; /* free private memory, zeroed, page-aligned */
	uint64_t map_top;             /* end of all companion memory, RAM and blobs */
	uint64_t wall_ns;             /* CLOCK_REALTIME when now_ns was 0 */
	uint8_t uuid[16];
	uint32_t n_ram, n_devices, n_blobs;
	uint32_t apic_id_last;  /* highest local APIC id of the guest's vCPUs */
	uint32_t local;         /* bit n: enum sio_place n lives in this home */
	uint32_t fast;          /* bit n: ranges of enum sio_map_kind n are of use (slot.h) */
	uint32_t irq_doorbells; /* bit n: GSI n is raised by SIO_IRQ_PORT + n, not by an operation */
	uint32_t pad;
	struct sio_ram ram[SIO_MAX_RAM];
	struct sio_device device[SIO_MAX_DEVICES];
	struct sio_blob blob[SIO_MAX_BLOBS];
};
_Static_assert(sizeof(struct sio_config) <= SIO_PAGE, "config page");

/*
 * The image is an ELF64 executable whose first PT_NOTE holds a note of this name and type with one
 * 32-bit word, the ABI version that it was built for.  The loader refuses another one by name; the
 * firmware in turn checks sio_config.version.
 */
#define SIO_NOTE_NAME "selfio"
#define SIO_NOTE_ABI  1u

#endif
