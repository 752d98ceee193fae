/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pc_linux.c - a bzImage, its initrd and command line as fw_cfg items, ready to be moved into place
 * by linuxboot.S (or by u-boot's qfw command, which reads the same keys).
 *
 * Reference: the Linux/x86 boot protocol (Documentation/arch/x86/boot.rst), 2.02 and later: "The
 * Real-Mode Kernel Header", "Loading The Rest of The Kernel", "Sample Boot Configuration".
 *
 * Guest RAM then holds
 *   10000h  setup code (at most 32 KiB), its heap and stack up to 1E000h
 *   20000h  command line
 *   1 MiB   kernel
 *   top     initrd, as high as kernel and BIOS allow
 */
#include <string.h>

#include "boards/pc_blobs.h"
#include "boards/pc_tables.h"

#define SETUP_ADDR   0x10000u
#define SETUP_MAX    0x8000u
#define HEAP_END     0xe000u /* in the setup segment: heap below, stack from here down */
#define CMDLINE_ADDR 0x20000u
#define CMDLINE_MAX  0x10000u
#define KERNEL_ADDR  0x100000u
#define BIOS_TOP     0x100000u /* at the top of low RAM: SeaBIOS keeps tables there (256 KiB) */
#define PAGE         0x1000u

/* Offsets in the setup header. */
#define H_SETUP_SECTS    0x1f1u
#define H_BOOT_FLAG      0x1feu
#define H_MAGIC          0x202u
#define H_VERSION        0x206u
#define H_TYPE_OF_LOADER 0x210u
#define H_LOADFLAGS      0x211u
#define H_RAMDISK_IMAGE  0x218u
#define H_RAMDISK_SIZE   0x21cu
#define H_HEAP_END_PTR   0x224u
#define H_CMD_LINE_PTR   0x228u
#define H_INITRD_MAX     0x22cu
#define H_CMDLINE_SIZE   0x238u
#define H_PREF_ADDRESS   0x258u
#define H_INIT_SIZE      0x260u
#define H_END            0x268u /* of what is used here */

#define LOADED_HIGH  0x01u
#define CAN_USE_HEAP 0x80u
#define LOADER_OTHER 0xffu

static uint32_t get(const uint8_t *p, unsigned bytes)
{
	uint32_t v = 0;

	memcpy(&v, p, bytes);
	return v;
}

static void put32(uint8_t *p, uint32_t v)
{
	memcpy(p, &v, 4);
}

static void add_piece(const struct pc_tables_cfg *cfg, struct pc_tables *t, uint16_t addr_key,
		      uint64_t addr, uint16_t size_key, uint16_t data_key, const void *data,
		      uint64_t len)
{
	pc_add_u32(cfg, t, addr_key, (uint32_t)addr);
	pc_add_u32(cfg, t, size_key, (uint32_t)len);
	pc_add_item(t, data_key, NULL, data, len);
}

/* NULL, or why the kernel can't be booted. */
static const char *prepare(const struct pc_tables_cfg *cfg, struct pc_tables *t)
{
	const uint8_t *image = cfg->kernel.data;
	uint64_t len = cfg->kernel.len, kernel_end, initrd_end, initrd = 0;
	uint32_t setup_len, version, cmdline_max;
	uint8_t head[H_END], *setup, *cmdline;

	if (len < H_END)
		return "the kernel is too short for a bzImage";
	memcpy(head, image, sizeof(head));
	if (get(head + H_BOOT_FLAG, 2) != 0xaa55 || memcmp(head + H_MAGIC, "HdrS", 4) != 0)
		return "the kernel is not a bzImage (no header \"HdrS\")";
	version = get(head + H_VERSION, 2);
	if (version < 0x202 || !(head[H_LOADFLAGS] & LOADED_HIGH))
		return "the kernel is too old (boot protocol below 2.02, or no bzImage)";
	setup_len = (1u + (head[H_SETUP_SECTS] ? head[H_SETUP_SECTS] : 4u)) * 512;
	if (setup_len > SETUP_MAX)
		return "the kernel's setup code is larger than 32 KiB";
	if (len <= setup_len)
		return "the kernel is cut off in its setup code";

	/* What the kernel overwrites before it looks at the initrd. */
	kernel_end = KERNEL_ADDR + (len - setup_len);
	if (version >= 0x20a) {
		uint64_t pref = get(head + H_PREF_ADDRESS, 4);
		uint64_t end =
			(pref > KERNEL_ADDR ? pref : KERNEL_ADDR) + get(head + H_INIT_SIZE, 4);

		if (get(head + H_PREF_ADDRESS + 4, 4))
			return "the kernel wants to run above 4 GiB";
		if (end > kernel_end)
			kernel_end = end;
	}
	initrd_end = cfg->low > BIOS_TOP ? cfg->low - BIOS_TOP : 0;
	if (kernel_end > initrd_end)
		return "the kernel does not fit into RAM below 3 GiB";

	if (cfg->initrd.len) {
		uint64_t max = version >= 0x203 ? get(head + H_INITRD_MAX, 4) : 0x37ffffff;

		if (initrd_end > max + 1)
			initrd_end = max + 1;
		if (cfg->initrd.len > initrd_end)
			return "the initrd does not fit into RAM";
		initrd = (initrd_end - cfg->initrd.len) & ~(uint64_t)(PAGE - 1);
		if (initrd < kernel_end)
			return "kernel and initrd do not fit into RAM together";
	}

	cmdline_max = version >= 0x206 ? get(head + H_CMDLINE_SIZE, 4) : 255;
	if (cfg->cmdline.len > cmdline_max || cfg->cmdline.len >= CMDLINE_MAX)
		return "the command line is longer than the kernel takes";

	setup = cfg->alloc(cfg->ctx, setup_len, 16);
	cmdline = cfg->alloc(cfg->ctx, (size_t)cfg->cmdline.len + 1, 1);
	if (!setup || !cmdline)
		return "no memory for the kernel's setup code and command line";
	memcpy(setup, image, setup_len);
	setup[H_TYPE_OF_LOADER] = LOADER_OTHER;
	setup[H_LOADFLAGS] |= CAN_USE_HEAP;
	put32(setup + H_RAMDISK_IMAGE, (uint32_t)initrd);
	put32(setup + H_RAMDISK_SIZE, (uint32_t)cfg->initrd.len);
	setup[H_HEAP_END_PTR] = (HEAP_END - 0x200) & 0xff;
	setup[H_HEAP_END_PTR + 1] = (HEAP_END - 0x200) >> 8;
	put32(setup + H_CMD_LINE_PTR, CMDLINE_ADDR);
	if (cfg->cmdline.len)
		memcpy(cmdline, cfg->cmdline.data, (size_t)cfg->cmdline.len);
	cmdline[cfg->cmdline.len] = 0;

	add_piece(cfg, t, FWCFG_SETUP_ADDR, SETUP_ADDR, FWCFG_SETUP_SIZE, FWCFG_SETUP_DATA, setup,
		  setup_len);
	add_piece(cfg, t, FWCFG_CMDLINE_ADDR, CMDLINE_ADDR, FWCFG_CMDLINE_SIZE, FWCFG_CMDLINE_DATA,
		  cmdline, cfg->cmdline.len + 1);
	add_piece(cfg, t, FWCFG_KERNEL_ADDR, KERNEL_ADDR, FWCFG_KERNEL_SIZE, FWCFG_KERNEL_DATA,
		  image + setup_len, len - setup_len);
	add_piece(cfg, t, FWCFG_INITRD_ADDR, initrd, FWCFG_INITRD_SIZE, FWCFG_INITRD_DATA,
		  cfg->initrd.data, cfg->initrd.len);
	pc_add_item(t, 0, "genroms/linuxboot.bin", pc_linuxboot, pc_linuxboot_len);
	return NULL;
}

void pc_linux_add(const struct pc_tables_cfg *cfg, struct pc_tables *t)
{
	const char *why = prepare(cfg, t);

	if (why && !t->why)
		t->why = why;
}
