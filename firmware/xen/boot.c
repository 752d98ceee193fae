/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * boot.c - the PVH domain's kernel: makes private memory, fills the config page, registers the firmware,
 * and goes to the BIOS.  It runs in the guest's context and at XEN_LOAD (xen_home.h).
 */
#include <string.h>

#include "drivers/xen/abi.h"
#include "firmware/metal/cpu.h"
#include "firmware/xen/xen_home.h"

#define XEN_HC_VERSION 17u
#define XEN_HC_VCPU    24u

#define MAPSPACE_SHARED_INFO 0u
#define VCPUOP_IS_UP         3u
#define VERSION_HANDLE       8u

#define START_MAGIC 0x336ec578u

/* xen/include/public/arch-x86/hvm/start_info.h */
struct start_info {
	uint32_t magic, version, flags, n_modules;
	uint64_t modules, cmdline, rsdp, memmap;
	uint32_t n_memmap, pad;
};
struct start_module {
	uint64_t addr, len, cmdline, pad;
};
struct start_memory {
	uint64_t addr, len;
	uint32_t type, pad;
};
#define MEMORY_RAM 1u

/* Of struct shared_info, in 64-bit mode. */
struct wall_clock {
	uint8_t pad0[48];
	volatile uint64_t system_time; /* vcpu_info[0].time */
	uint8_t pad1[3072 - 56];
	volatile uint32_t version, sec, nsec, sec_hi;
};
_Static_assert(offsetof(struct wall_clock, version) == 3072, "shared_info");

#define PAGE     SIO_PAGE
#define VGA      0xa0000u
#define VGA_LEN  0x20000u
#define OPT_ROMS 0xc0000u
#define GIB4     0x100000000ull
#define LOW_MAX  0xc0000000u

/* The address in private memory of what is linked there. */
static uint64_t linked(const void *p)
{
	return SIO_PRIV_BASE + SIO_IMAGE_OFF + ((uintptr_t)p - (uintptr_t)_start);
}

static _Noreturn void die(const char *text)
{
	xen_say(text, strlen(text));
	xen_shutdown(XEN_SHUTDOWN_CRASH);
}

static void map_hypercalls(void)
{
	uint32_t r[4];

	for (uint32_t leaf = 0x40000000; leaf < 0x40010000; leaf += 0x100) {
		cpu_id(leaf, r);
		if (r[1] != 0x566e6558 || r[2] != 0x65584d4d || r[3] != 0x4d4d566e)
			continue;
		cpu_id(leaf + 2, r);
		__asm__ volatile("wrmsr" ::"c"(r[1]), "a"((uint32_t)(uintptr_t)xen_hypercall_page),
				 "d"(0)
				 : "memory");
		return;
	}
	for (;;) /* nobody to tell */
		__asm__ volatile("hlt");
}

bool xen_move_page(unsigned space, uint64_t from, uint64_t to)
{
	struct xen_add_to_physmap a = {
		.domid = XEN_DOMID_SELF, .space = space, .idx = from / PAGE, .gpfn = to / PAGE
	};

	return !xen_hypercall(XEN_HC_MEMORY, XEN_MEM_ADD_TO_PHYSMAP, &a, 0);
}

static void map_page(unsigned space, uint64_t from, uint64_t to)
{
	if (!xen_move_page(space, from, to))
		die("selfio: Xen does not move a page\n");
}

/* Moves pages to [to, to + len): those of the VGA's window, then RAM's last ones. */
static void take_pages(uint64_t to, uint64_t len, uint64_t *vga, uint64_t *top)
{
	for (uint64_t end = to + len; to < end; to += PAGE) {
		if (*vga < VGA + VGA_LEN) {
			map_page(XEN_MAPSPACE_GMFN, *vga, to);
			*vga += PAGE;
		} else {
			*top -= PAGE;
			map_page(XEN_MAPSPACE_GMFN, *top, to);
		}
	}
}

/* The BIOS in the module, and the module's other parts, as if it lay at address `at`. */
static struct sio_ram open_archive(const struct start_module *mod, uint64_t at,
				   struct sio_config *c)
{
	const struct xen_archive *a = (const void *)mod->addr;
	struct sio_ram bios = { 0 };

	if (mod->len < sizeof(*a) || a->magic != XEN_ARCHIVE_MAGIC)
		return (struct sio_ram){ mod->addr, mod->len };
	for (uint32_t i = 0; i < a->n && i < sizeof(a->part) / sizeof(a->part[0]); i++) {
		uint64_t off = a->part[i].off, len = a->part[i].len;

		if (off > mod->len || len > mod->len - off)
			die("selfio: the archive (ramdisk=) is cut off\n");
		if (a->part[i].kind == XEN_ARCHIVE_BIOS)
			bios = (struct sio_ram){ mod->addr + off, len };
		else if (c->n_blobs < SIO_MAX_BLOBS)
			c->blob[c->n_blobs++] = (struct sio_blob){ .kind = a->part[i].kind,
								   .addr = at + off,
								   .len = len };
	}
	return bios;
}

/* Moves the module's pages to `to`, where no RAM is, and RAM's last ones to their places. */
static void move_module(const struct start_module *mod, uint64_t to, uint64_t *top)
{
	for (uint64_t off = 0; off < mod->len; off += PAGE) {
		map_page(XEN_MAPSPACE_GMFN, mod->addr + off, to + off);
		*top -= PAGE;
		map_page(XEN_MAPSPACE_GMFN, *top, mod->addr + off);
	}
}

static bool has_word(const char *line, const char *word)
{
	while (*line) {
		const char *w = word;

		while (*w && *line == *w)
			line++, w++;
		if (!*w && (!*line || *line == ' '))
			return true;
		while (*line && *line != ' ')
			line++;
		while (*line == ' ')
			line++;
	}
	return false;
}

/* netN=MODEL, N from 0 to 7. A word that is not understood is none. */
static void read_net_words(const char *line, struct sio_config *c)
{
	static const struct {
		char word[10];
		uint8_t card;
	} model[] = {
		{ "rtl8139", SIO_NET_RTL8139 },   { "rtl8139c", SIO_NET_RTL8139C },
		{ "e1000", SIO_NET_E1000 },       { "ne2k_pci", SIO_NET_NE2K_PCI },
		{ "ne2k_isa", SIO_NET_NE2K_ISA }, { "pv", XEN_NET_PV },
	};
	char word[] = "net0=\0         ";

	for (unsigned unit = 0; unit < SIO_MAX_NETS; unit++) {
		word[3] = (char)('0' + unit);
		for (unsigned i = 0; i < sizeof(model) / sizeof(model[0]); i++) {
			memcpy(word + 5, model[i].word, sizeof(model[i].word));
			if (has_word(line, word) && c->n_devices < SIO_MAX_DEVICES)
				c->device[c->n_devices++] =
					(struct sio_device){ .kind = SIO_DEV_NET,
							     .window = SIO_NO_WINDOW,
							     .unit = unit,
							     .card = model[i].card };
		}
	}
}

static void fill_config(struct sio_config *c, uint64_t low, uint64_t high)
{
	const struct wall_clock *w = (const struct wall_clock *)linked(xen_shared_info);
	uint64_t image_end = linked(xen_image_end);

	c->magic = SIO_CONFIG_MAGIC;
	c->version = SIO_ABI_VERSION;
	c->size = sizeof(*c);
	c->priv_size = XEN_PRIV_SIZE;
	c->heap_base = image_end;
	c->heap_len = SIO_PRIV_BASE + XEN_PRIV_SIZE - image_end;
	c->wall_ns = ((uint64_t)w->sec_hi << 32 | w->sec) * 1000000000u + w->nsec + w->system_time;
	c->ram[0] = (struct sio_ram){ 0, low };
	c->ram[1] = (struct sio_ram){ GIB4, high };
	c->n_ram = high ? 2 : 1;
	c->flags |= SIO_CFG_IRQCHIP;
	while (c->n_vcpus < SIO_MAX_VCPUS &&
	       xen_hypercall(XEN_HC_VCPU, VCPUOP_IS_UP, (void *)(uintptr_t)c->n_vcpus, 0) >= 0)
		c->n_vcpus++;
	c->apic_id_last = 2 * (c->n_vcpus - 1); /* as Xen numbers them */
	xen_hypercall(XEN_HC_VERSION, VERSION_HANDLE, c->uuid, 0);
}

_Noreturn void xen_boot(const struct start_info *si);

_Noreturn void xen_boot(const struct start_info *si)
{
	const struct start_memory *m = (const void *)si->memmap;
	const struct start_module *mod = (const void *)si->modules;
	const char *cmdline = si->cmdline ? (const char *)si->cmdline : "";
	uint64_t low = 0, high = 0, vga = VGA, bios_at, len;
	struct sio_ram bios;
	struct sio_config *cfg = (struct sio_config *)(uintptr_t)(SIO_PRIV_BASE + SIO_CONFIG_OFF);
	struct sio_xen_slot_shared *slot;
	struct sio_xen_setup setup = { .version = SIO_XEN_VERSION,
				       .entry = (uint32_t)linked(xen_entry),
				       .slots = linked(xen_slots),
				       .shared = linked(xen_shared),
				       .flags = SIO_XEN_HIDE };

	map_hypercalls();
	if (si->magic != START_MAGIC || si->version < 1)
		die("selfio: this is no PVH domain with a memory map\n");
	for (uint32_t i = 0; i < si->n_memmap; i++) {
		if (m[i].type == MEMORY_RAM && m[i].addr == 0)
			low = m[i].len & ~(uint64_t)(PAGE - 1);
		if (m[i].type == MEMORY_RAM && m[i].addr == GIB4)
			high = m[i].len & ~(uint64_t)(PAGE - 1);
	}
	if (low < 0x1000000 || low > LOW_MAX)
		die("selfio: a domain has 16 MiB to 3 GiB of memory here\n");
	take_pages(SIO_PRIV_BASE, XEN_PRIV_SIZE, &vga, &low);
	memset((void *)(uintptr_t)SIO_PRIV_BASE, 0, XEN_PRIV_SIZE);
	cfg->map_top = GIB4 + high;

	if (si->n_modules == 1)
		bios = open_archive(mod, cfg->map_top, cfg);
	if (si->n_modules != 1 || !bios.len || bios.len % PAGE || bios.len > 0x1000000)
		die("selfio: the BIOS image is missing (ramdisk= in the domain's configuration)\n");
	bios_at = GIB4 - bios.len;
	take_pages(bios_at, bios.len, &vga, &low);
	len = (mod->len + PAGE - 1) & ~(uint64_t)(PAGE - 1);
	if (mod->addr % PAGE || mod->addr > low || len > (low - mod->addr) / 2)
		die("selfio: too little memory\n");
	memcpy((void *)bios_at, (const void *)bios.base, bios.len);
	if (cfg->n_blobs) {
		move_module(mod, cfg->map_top, &low);
		cfg->map_top += len;
	}
	memcpy((void *)(uintptr_t)(SIO_PRIV_BASE + SIO_IMAGE_OFF), _start,
	       (uintptr_t)xen_image_end - (uintptr_t)_start);
	map_page(MAPSPACE_SHARED_INFO, 0, linked(xen_shared_info));
	if (has_word(cmdline, "debugcon"))
		cfg->flags |= SIO_CFG_DEBUGCON;
	if (has_word(cmdline, "boot-menu"))
		cfg->flags |= SIO_CFG_BOOT_MENU;
	if (!has_word(cmdline, "nofast"))
		cfg->fast = 1u << SIO_MAP_POSTED | 1u << SIO_MAP_SHADOW;
	if (has_word(cmdline, "xen")) {
		cfg->flags |= SIO_CFG_XEN;
		setup.flags = SIO_XEN_HIDE_UNPAGED;
	}
	read_net_words(cmdline, cfg);
	fill_config(cfg, low, high);

	memset((void *)(uintptr_t)OPT_ROMS, 0, 0x100000 - OPT_ROMS);
	len = bios.len < 0x20000 ? bios.len : 0x20000;
	memcpy((void *)(0x100000 - len), (const void *)(GIB4 - len), len);

	if (xen_hypercall(XEN_HC_HVM, HVMOP_reflect_setup, &setup, 0))
		die("selfio: this Xen does not reflect, or not for this domain\n");
	/* All ports: which of them belong to a model is known to the machine, and the rest are few. */
	slot = (struct sio_xen_slot_shared *)linked(xen_slots);
	slot->ops[0] = (struct sio_xen_op){ SIO_XEN_OP_MAP, SIO_XEN_MAP_ARG(SIO_SPACE_PIO, 0, 0), 0,
					    0x10000 };
	slot->n_ops = 1;
	xen_hypercall(XEN_HC_HVM, HVMOP_reflect_flush, NULL, 0);
	xen_to_bios();
	__builtin_unreachable();
}
