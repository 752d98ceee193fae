/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the PC board hands over through fw_cfg, used as a BIOS would use it: the table loader's
 * commands are run and the tables checked by the offsets in the ACPI specification; a kernel's
 * pieces are moved into place and checked against the boot protocol.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "boards/pc_blobs.h"
#include "boards/pc_tables.h"
#include "models/fwcfg/fwcfg.h"

struct mem {
	void *p[128];
	unsigned n, left; /* allocations that still succeed */
	size_t bytes;
};

static void *alloc(void *ctx, size_t size, size_t align)
{
	struct mem *m = ctx;

	assert_true(align && align <= 16 && !(align & (align - 1)) && size);
	if (!m->left || m->n == 128)
		return NULL;
	m->left--;
	m->bytes += size;
	m->p[m->n] = malloc(size);
	memset(m->p[m->n], 0xa5, size);
	return m->p[m->n++];
}

static void mem_free(struct mem *m)
{
	while (m->n)
		free(m->p[--m->n]);
	m->bytes = 0;
	m->left = 128;
}

static struct pc_tables_cfg config(struct mem *m)
{
	memset(m, 0, sizeof(*m));
	m->left = 128;
	return (struct pc_tables_cfg){ .n_cpus = 2, .low = 512u << 20, .alloc = alloc, .ctx = m };
}

static uint64_t get(const void *p, size_t bytes)
{
	uint64_t v = 0;

	memcpy(&v, p, bytes);
	return v;
}

static const struct fwcfg_item *find(const struct pc_tables *t, const char *name)
{
	for (unsigned i = 0; i < t->n; i++)
		if (t->item[i].name && !strcmp(t->item[i].name, name))
			return &t->item[i];
	return NULL;
}

static const struct fwcfg_item *find_key(const struct pc_tables *t, uint16_t key)
{
	for (unsigned i = 0; i < t->n; i++)
		if (!t->item[i].name && t->item[i].key == key)
			return &t->item[i];
	return NULL;
}

static uint32_t value(const struct pc_tables *t, uint16_t key)
{
	const struct fwcfg_item *it = find_key(t, key);

	assert_non_null(it);
	return (uint32_t)get(it->data, it->len);
}

static uint8_t sum(const uint8_t *p, size_t n)
{
	uint8_t s = 0;

	while (n--)
		s = (uint8_t)(s + *p++);
	return s;
}

/* The device must take what is built. */
static void check_device(const struct pc_tables *t)
{
	struct fwcfg_cfg c = { t->item, t->n };
	struct dev_env env = { 0 };
	void *d = calloc(1, fwcfg_class.size);

	assert_int_equal(fwcfg_class.init(d, &env, &c), 0);
	free(d);
}

/*
 * A table loader.  Files are placed at addresses of its own in a small address space.
 */
#define SPACE 0x20000u
struct loader {
	uint8_t ram[SPACE];
	uint32_t top;
	struct {
		const struct fwcfg_item *it;
		uint32_t at, zone;
	} file[8];
	unsigned n;
};

static unsigned loaded(const struct loader *l, const uint8_t *name)
{
	assert_int_equal(name[55], 0);
	for (unsigned i = 0; i < l->n; i++)
		if (!strcmp(l->file[i].it->name, (const char *)name))
			return i;
	fail_msg("file %s is not loaded", (const char *)name);
	return 0;
}

static void load(struct loader *l, const struct pc_tables *t)
{
	const struct fwcfg_item *script = find(t, "etc/table-loader");

	memset(l, 0, sizeof(*l));
	l->top = 0x1330; /* not aligned by chance */
	assert_non_null(script);
	assert_true(script->len && script->len % 128 == 0);
	for (uint32_t o = 0; o < script->len; o += 128) {
		const uint8_t *c = (const uint8_t *)script->data + o;
		unsigned f, g;

		switch (get(c, 4)) {
		case 1: {
			uint32_t align = (uint32_t)get(c + 60, 4);

			f = l->n++;
			l->file[f].it = find(t, (const char *)c + 4);
			assert_non_null(l->file[f].it);
			assert_true(align && !(align & (align - 1)));
			l->file[f].at = (l->top + align - 1) & ~(align - 1);
			l->file[f].zone = c[64];
			l->top = l->file[f].at + l->file[f].it->len;
			assert_true(l->top <= SPACE);
			memcpy(l->ram + l->file[f].at, l->file[f].it->data, l->file[f].it->len);
			break;
		}
		case 2: {
			uint32_t off = (uint32_t)get(c + 116, 4), size = c[120];
			uint64_t v;

			f = loaded(l, c + 4);
			g = loaded(l, c + 60);
			assert_true(size == 4 || size == 8);
			assert_true(off + size <= l->file[f].it->len);
			v = get(l->ram + l->file[f].at + off, size);
			assert_true(v < l->file[g].it->len);
			v += l->file[g].at;
			memcpy(l->ram + l->file[f].at + off, &v, size);
			break;
		}
		case 3: {
			uint32_t off = (uint32_t)get(c + 60, 4), start = (uint32_t)get(c + 64, 4);
			uint32_t len = (uint32_t)get(c + 68, 4);
			uint8_t *p;

			f = loaded(l, c + 4);
			p = l->ram + l->file[f].at;
			assert_true(off >= start && off < start + len &&
				    start + len <= l->file[f].it->len);
			assert_int_equal(p[off], 0);
			p[off] = (uint8_t)-sum(p + start, len);
			break;
		}
		default: fail_msg("unknown command");
		}
	}
}

static const uint8_t *table(const struct loader *l, uint64_t at, const char *sig, uint8_t rev)
{
	const uint8_t *p = l->ram + at;
	uint32_t len;

	assert_true(at + 36 <= l->top);
	assert_memory_equal(p, sig, 4);
	len = (uint32_t)get(p + 4, 4);
	assert_true(at + len <= l->top);
	assert_int_equal(sum(p, len), 0);
	assert_int_equal(p[8], rev);
	return p;
}

static void test_acpi(void **state)
{
	static struct loader l;
	static const uint16_t irqs[5][3] = {
		{ 0, 2, 0 }, { 5, 5, 0xd }, { 9, 9, 0xd }, { 10, 10, 0xd }, { 11, 11, 0xd }
	};
	struct mem m;
	struct pc_tables_cfg cfg = config(&m);
	struct pc_tables t;

	(void)state;
	for (cfg.n_cpus = 1; cfg.n_cpus <= 255; cfg.n_cpus += cfg.n_cpus < 8 ? 1 : 247) {
		const uint8_t *rsdp, *rsdt, *fadt, *madt, *p, *end;
		unsigned lapics = 0, ios = 0, nmis = 0, over = 0;

		cfg.vga = cfg.n_cpus & 1;
		/* Xen's numbers: even ones. */
		cfg.apic_id_last = cfg.n_cpus == 4 ? 6 : 0;
		assert_int_equal(pc_tables_build(&cfg, &t), 0);
		check_device(&t);
		load(&l, &t);
		assert_int_equal(l.n, 2);
		rsdp = l.ram + l.file[1].at;
		assert_int_equal(l.file[1].zone, 2);
		assert_int_equal(l.file[1].at % 16, 0);
		assert_memory_equal(rsdp, "RSD PTR ", 8);
		assert_int_equal(sum(rsdp, 20), 0);
		assert_int_equal(rsdp[15], 0);
		rsdt = table(&l, get(rsdp + 16, 4), "RSDT", 1);
		assert_int_equal(get(rsdt + 4, 4), 36 + 2 * 4);
		fadt = table(&l, get(rsdt + 36, 4), "FACP", 3);
		madt = table(&l, get(rsdt + 40, 4), "APIC", 1);

		assert_int_equal(get(fadt + 4, 4), 244);
		p = l.ram + get(fadt + 36, 4);
		assert_memory_equal(p, "FACS\x40\0\0\0", 8);
		assert_int_equal(get(fadt + 36, 4) % 64, 0);
		assert_int_equal(get(fadt + 132, 8), 0);
		table(&l, get(fadt + 40, 4), "DSDT", 2);
		assert_int_equal(get(fadt + 40, 4), get(fadt + 140, 8));
		assert_int_equal(get(fadt + 46, 2), 9);
		assert_int_equal(get(fadt + 48, 4), 0xb2);
		assert_int_equal(fadt[52], 0xf1);
		assert_int_equal(fadt[53], 0xf0);
		assert_int_equal(get(fadt + 56, 4), 0x600);
		assert_int_equal(get(fadt + 64, 4), 0x604);
		assert_int_equal(get(fadt + 76, 4), 0x608);
		assert_memory_equal(fadt + 88, "\4\2\0\4\0\0", 6);
		assert_int_equal(get(fadt + 109, 2), cfg.vga ? 3 : 7);
		assert_int_equal(get(fadt + 112, 4) & 0x500,
				 0x400); /* 24-bit timer, reset register */
		assert_memory_equal(fadt + 116, "\1\10\0\1\xf9\x0c\0\0\0\0\0\0\6", 13);
		assert_memory_equal(fadt + 148, "\1\40\0\2\0\6\0\0\0\0\0\0", 12);
		assert_memory_equal(fadt + 172, "\1\20\0\2\4\6\0\0\0\0\0\0", 12);
		assert_memory_equal(fadt + 208, "\1\40\0\3\10\6\0\0\0\0\0\0", 12);

		assert_int_equal(get(madt + 36, 4), 0xfee00000);
		assert_int_equal(get(madt + 40, 4), 1);
		end = madt + get(madt + 4, 4);
		for (p = madt + 44; p < end; p += p[1]) {
			assert_true(p[1] >= 6 && p + p[1] <= end);
			switch (p[0]) {
			case 0:
				assert_int_equal(p[2], lapics);
				assert_int_equal(p[3], cfg.n_cpus == 4 ? 2 * lapics : lapics);
				assert_int_equal(get(p + 4, 4), 1);
				lapics++;
				break;
			case 1:
				assert_memory_equal(p, "\1\14\0\0\0\0\xc0\xfe\0\0\0\0", 12);
				ios++;
				break;
			case 2:
				assert_true(over < 5);
				assert_int_equal(p[3], irqs[over][0]);
				assert_int_equal(get(p + 4, 4), irqs[over][1]);
				assert_int_equal(get(p + 8, 2), irqs[over][2]);
				over++;
				break;
			default: assert_memory_equal(p, "\4\6\xff\0\0\1", 6); nmis++;
			}
		}
		assert_ptr_equal(p, end);
		assert_int_equal(lapics, cfg.n_cpus);
		assert_true(ios == 1 && nmis == 1 && over == 5);
		assert_true(cfg.n_cpus > 8 || m.bytes < 8192);
		mem_free(&m);
	}
}

static void test_platform(void **state)
{
	static const struct pc_file files[2] = { { "opt/a", "abc", 3 }, { "opt/b", "", 0 } };
	struct mem m;
	struct pc_tables_cfg cfg = config(&m);
	const struct fwcfg_item *it;
	struct pc_tables t;

	(void)state;
	cfg.n_cpus = 3;
	cfg.apic_id_last = 4;
	cfg.boot_menu = true;
	memcpy(cfg.uuid, "0123456789abcdef", 16);
	cfg.file = files;
	cfg.n_files = 2;
	assert_int_equal(pc_tables_build(&cfg, &t), 0);
	check_device(&t);
	assert_memory_equal(find_key(&t, FWCFG_UUID)->data, cfg.uuid, 16);
	assert_int_equal(get(find_key(&t, FWCFG_RAM_SIZE)->data, 8), 512u << 20);
	assert_int_equal(value(&t, FWCFG_NB_CPUS), 3);
	assert_int_equal(value(&t, FWCFG_MAX_CPUS), 5); /* one more than the last APIC id */
	assert_int_equal(value(&t, FWCFG_BOOT_MENU), 1);
	assert_int_equal(value(&t, FWCFG_IRQ0_OVERRIDE), 1);
	assert_memory_equal(find(&t, "etc/sercon-port")->data, "\xf8\3", 2);
	assert_memory_equal(find(&t, "etc/boot-cpus")->data, "\3\0", 2);
	assert_int_equal(find(&t, "etc/system-states")->len, 6);
	assert_null(find(&t, "bootorder"));
	assert_null(find(&t, "genroms/linuxboot.bin"));
	assert_memory_equal(find(&t, "opt/a")->data, "abc", 3);
	it = find(&t, "etc/e820");
	assert_int_equal(it->len, 20);
	assert_memory_equal(it->data, "\0\0\0\0\0\0\0\0\0\0\0\x20\0\0\0\0\1\0\0\0", 20);
	mem_free(&m);

	cfg.vga = true;
	cfg.low = PC_LOW_MAX;
	cfg.high = 5ull << 30;
	cfg.disks = 0xb;
	assert_int_equal(pc_tables_build(&cfg, &t), 0);
	assert_null(find(&t, "etc/sercon-port"));
	it = find(&t, "etc/e820");
	assert_int_equal(it->len, 40);
	assert_memory_equal((const char *)it->data + 8, "\0\0\0\xc0\0\0\0\0\1\0\0\0", 12);
	assert_memory_equal((const char *)it->data + 20,
			    "\0\0\0\0\1\0\0\0\0\0\0\x40\1\0\0\0\1\0\0\0", 20);
	it = find(&t, "bootorder");
	assert_string_equal(it->data, "/pci@i0cf8/ide@1,1/drive@0/disk@0\n"
				      "/pci@i0cf8/ide@1,1/drive@0/disk@1\n"
				      "/pci@i0cf8/ide@1,1/drive@1/disk@1");
	assert_int_equal(it->len, strlen(it->data) + 1);
	mem_free(&m);

	/* Cards are in the order only if they are to be tried. */
	cfg.nets = 0x81;
	assert_int_equal(pc_tables_build(&cfg, &t), 0);
	assert_null(strstr(find(&t, "bootorder")->data, "ethernet"));
	mem_free(&m);
	cfg.boot_net = true;
	cfg.disks = 1;
	assert_int_equal(pc_tables_build(&cfg, &t), 0);
	assert_string_equal(find(&t, "bootorder")->data,
			    "/pci@i0cf8/ethernet@3\n/pci@i0cf8/ethernet@a\n"
			    "/pci@i0cf8/ide@1,1/drive@0/disk@0");
	mem_free(&m);

	/* Wherever memory runs out. */
	for (unsigned n = 0;; n++) {
		int rc;

		m.left = n;
		rc = pc_tables_build(&cfg, &t);
		mem_free(&m);
		if (!rc)
			break;
		assert_non_null(t.why);
		assert_true(n < 100);
	}

	cfg.n_cpus = 3;
	cfg.apic_id_last = 1;
	assert_int_equal(pc_tables_build(&cfg, &t), -1);
	cfg.apic_id_last = 255;
	assert_int_equal(pc_tables_build(&cfg, &t), -1);
	cfg.n_cpus = 1;
	cfg.apic_id_last = 2;
	assert_int_equal(pc_tables_build(&cfg, &t), -1);
	cfg.apic_id_last = 0;
	cfg.n_cpus = 0;
	assert_int_equal(pc_tables_build(&cfg, &t), -1);
	cfg.n_cpus = 256;
	assert_int_equal(pc_tables_build(&cfg, &t), -1);
	cfg.n_cpus = 1;
	cfg.low = PC_LOW_MAX + 4096ull;
	assert_int_equal(pc_tables_build(&cfg, &t), -1);
	assert_int_equal(m.n, 0);
}

static void test_too_many_files(void **state)
{
	struct pc_file files[PC_MAX_ITEMS];
	struct mem m;
	struct pc_tables_cfg cfg = config(&m);
	struct pc_tables t;

	(void)state;
	for (unsigned i = 0; i < PC_MAX_ITEMS; i++)
		files[i] = (struct pc_file){ "opt/x", "", 1 };
	cfg.file = files;
	cfg.n_files = PC_MAX_ITEMS;
	assert_int_equal(pc_tables_build(&cfg, &t), -1);
	assert_string_equal(t.why, "too many fw_cfg items");
	mem_free(&m);
	files[0].len = 1ull << 32;
	cfg.n_files = 1;
	assert_int_equal(pc_tables_build(&cfg, &t), -1);
	assert_string_equal(t.why, "a fw_cfg item of 4 GiB or more");
	mem_free(&m);
}

static void test_option_rom(void **state)
{
	const uint8_t *rom = pc_linuxboot, *pnp;

	(void)state;
	assert_memory_equal(rom, "\x55\xaa", 2);
	assert_int_equal(rom[2] * 512, pc_linuxboot_len);
	assert_true(pc_linuxboot_len <= 2048);
	assert_int_equal(sum(rom, pc_linuxboot_len), 0);
	assert_true(get(rom + 0x1a, 2) + 32 <= pc_linuxboot_len);
	pnp = rom + get(rom + 0x1a, 2);
	assert_memory_equal(pnp, "$PnP\1\2\0\0", 8);
	assert_int_equal(sum(pnp, 32), 0);
	assert_true(get(pnp + 0x10, 2) < pc_linuxboot_len);                       /* product name */
	assert_int_equal(get(pnp + 0x16, 2), 0);                                  /* BCV */
	assert_true(get(pnp + 0x1a, 2) && get(pnp + 0x1a, 2) < pc_linuxboot_len); /* BEV */
}

/* A bzImage of protocol 2.15 with 20 setup sectors, like Debian's. */
#define IMAGE_LEN (21u * 512 + 100000)

static void make_image(uint8_t *p)
{
	for (size_t i = 0; i < IMAGE_LEN; i++)
		p[i] = (uint8_t)(i * 13 + (i >> 8));
	memset(p + 0x1f1, 0, 0x80);
	p[0x1f1] = 20;
	memcpy(p + 0x1fe, "\x55\xaa\xeb\x66HdrS\x0f\x02", 10);
	p[0x211] = 1;
	memcpy(p + 0x22c, "\xff\xff\xff\x7f", 4);
	memcpy(p + 0x238, "\xff\7\0\0", 4);       /* command line: 2047 */
	memcpy(p + 0x258, "\0\0\0\1\0\0\0\0", 8); /* 16 MiB */
	memcpy(p + 0x260, "\0\0\x40\2", 4);       /* 36 MiB */
}

/* Whatever the header says: the pieces are inside RAM, apart, and inside the files. */
static void check_pieces(const struct pc_tables_cfg *cfg, const struct pc_tables *t)
{
	static const struct {
		uint16_t addr, size, data;
	} keys[4] = {
		{ FWCFG_SETUP_ADDR, FWCFG_SETUP_SIZE, FWCFG_SETUP_DATA },
		{ FWCFG_CMDLINE_ADDR, FWCFG_CMDLINE_SIZE, FWCFG_CMDLINE_DATA },
		{ FWCFG_KERNEL_ADDR, FWCFG_KERNEL_SIZE, FWCFG_KERNEL_DATA },
		{ FWCFG_INITRD_ADDR, FWCFG_INITRD_SIZE, FWCFG_INITRD_DATA },
	};
	uint64_t end = 0;

	for (unsigned i = 0; i < 4; i++) {
		uint64_t addr = value(t, keys[i].addr), size = value(t, keys[i].size);

		assert_int_equal(find_key(t, keys[i].data)->len, size);
		if (!size)
			continue;
		assert_true(addr >= end);
		end = addr + size;
		/* The whole of it can be read (ASan looks). */
		sum(find_key(t, keys[i].data)->data, size);
		if (i == 0)
			end = addr + 0xe000; /* heap and stack */
		if (i < 2)
			assert_true(end <= 0x90000);
	}
	assert_true(end <= cfg->low);
}

static void test_linux(void **state)
{
	struct mem m;
	struct pc_tables_cfg cfg = config(&m);
	uint8_t *image = malloc(IMAGE_LEN), *initrd = calloc(1, 5000);
	struct pc_tables t;
	const uint8_t *setup;
	static char cmdline[70000];

	(void)state;
	make_image(image);
	memset(cmdline, 'c', sizeof(cmdline));
	cfg.kernel = (struct pc_file){ .data = image, .len = IMAGE_LEN };
	cfg.cmdline = (struct pc_file){ .data = "console=ttyS0", .len = 13 };
	cfg.disks = 1;
	assert_int_equal(pc_tables_build(&cfg, &t), 0);
	check_device(&t);
	check_pieces(&cfg, &t);
	assert_int_equal(value(&t, FWCFG_INITRD_SIZE), 0);
	assert_string_equal(find(&t, "bootorder")->data,
			    "/rom@genroms/linuxboot.bin\n/pci@i0cf8/ide@1,1/drive@0/disk@0");
	assert_ptr_equal(find(&t, "genroms/linuxboot.bin")->data, pc_linuxboot);
	assert_int_equal(value(&t, FWCFG_SETUP_ADDR), 0x10000);
	assert_int_equal(value(&t, FWCFG_SETUP_SIZE), 21 * 512);
	assert_int_equal(value(&t, FWCFG_KERNEL_ADDR), 0x100000);
	assert_int_equal(value(&t, FWCFG_KERNEL_SIZE), 100000);
	assert_ptr_equal(find_key(&t, FWCFG_KERNEL_DATA)->data, image + 21 * 512);
	assert_int_equal(value(&t, FWCFG_CMDLINE_ADDR), 0x20000);
	assert_int_equal(value(&t, FWCFG_CMDLINE_SIZE), 14);
	assert_string_equal(find_key(&t, FWCFG_CMDLINE_DATA)->data, "console=ttyS0");
	setup = find_key(&t, FWCFG_SETUP_DATA)->data;
	assert_int_equal(setup[0x210], 0xff);
	assert_int_equal(setup[0x211], 0x81);
	assert_int_equal(get(setup + 0x224, 2), 0xde00);
	assert_int_equal(get(setup + 0x228, 4), 0x20000);
	assert_int_equal(get(setup + 0x218, 8), 0);
	assert_memory_equal(setup + 0x264, image + 0x264, 21 * 512 - 0x264);
	assert_memory_equal(setup, image, 0x210);
	mem_free(&m);

	/* The initrd: below the BIOS's tables, below the kernel's limit, above the kernel. */
	cfg.initrd = (struct pc_file){ .data = initrd, .len = 5000 };
	assert_int_equal(pc_tables_build(&cfg, &t), 0);
	check_pieces(&cfg, &t);
	assert_int_equal(value(&t, FWCFG_INITRD_ADDR), (511u << 20) - 8192);
	assert_ptr_equal(find_key(&t, FWCFG_INITRD_DATA)->data, initrd);
	setup = find_key(&t, FWCFG_SETUP_DATA)->data;
	assert_int_equal(get(setup + 0x218, 4), (511u << 20) - 8192);
	assert_int_equal(get(setup + 0x21c, 4), 5000);
	mem_free(&m);
	cfg.low = PC_LOW_MAX;
	assert_int_equal(pc_tables_build(&cfg, &t), 0);
	assert_int_equal(value(&t, FWCFG_INITRD_ADDR), 0x80000000 - 8192);
	mem_free(&m);
	cfg.low = 54u << 20; /* 16 + 36 for the kernel, 1 for the BIOS */
	assert_int_equal(pc_tables_build(&cfg, &t), 0);
	check_pieces(&cfg, &t);
	mem_free(&m);

	/* What can't be done is said. */
	cfg.low = 53u << 20;
	assert_int_equal(pc_tables_build(&cfg, &t), -1);
	assert_string_equal(t.why, "kernel and initrd do not fit into RAM together");
	mem_free(&m);
	cfg.low -= 4096;
	assert_int_equal(pc_tables_build(&cfg, &t), -1);
	assert_string_equal(t.why, "the kernel does not fit into RAM below 3 GiB");
	mem_free(&m);
	cfg.low = 512u << 20;
	cfg.initrd.len = 1ull << 33;
	assert_int_equal(pc_tables_build(&cfg, &t), -1);
	mem_free(&m);
	cfg.initrd.len = 0;
	cfg.cmdline = (struct pc_file){ .data = cmdline, .len = 2048 };
	assert_int_equal(pc_tables_build(&cfg, &t), -1);
	assert_string_equal(t.why, "the command line is longer than the kernel takes");
	mem_free(&m);
	cfg.cmdline.len = 2047;
	assert_int_equal(pc_tables_build(&cfg, &t), 0);
	check_pieces(&cfg, &t);
	mem_free(&m);
	memset(image + 0x238, 0xff, 4);
	cfg.cmdline.len = 65536;
	assert_int_equal(pc_tables_build(&cfg, &t), -1);
	mem_free(&m);
	cfg.cmdline.len = 65535;
	assert_int_equal(pc_tables_build(&cfg, &t), 0);
	check_pieces(&cfg, &t);
	mem_free(&m);
	free(image);
	free(initrd);
}

static void test_bad_kernel(void **state)
{
	static const struct {
		uint16_t at;
		uint8_t val;
		const char *why;
	} bad[] = {
		{ 0x1fe, 0, "the kernel is not a bzImage (no header \"HdrS\")" },
		{ 0x202, 'h', "the kernel is not a bzImage (no header \"HdrS\")" },
		{ 0x207, 1, "the kernel is too old (boot protocol below 2.02, or no bzImage)" },
		{ 0x211, 0, "the kernel is too old (boot protocol below 2.02, or no bzImage)" },
		{ 0x1f1, 64, "the kernel's setup code is larger than 32 KiB" },
		{ 0x25c, 1, "the kernel wants to run above 4 GiB" },
		{ 0x263, 0xff, "the kernel does not fit into RAM below 3 GiB" },
	};
	struct mem m;
	struct pc_tables_cfg cfg = config(&m);
	struct pc_tables t;

	(void)state;
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		uint8_t *image = malloc(IMAGE_LEN);

		make_image(image);
		image[bad[i].at] = bad[i].val;
		cfg.kernel = (struct pc_file){ .data = image, .len = IMAGE_LEN };
		assert_int_equal(pc_tables_build(&cfg, &t), -1);
		assert_string_equal(t.why, bad[i].why);
		mem_free(&m);
		free(image);
	}
	for (unsigned len = 0; len <= 21 * 512; len++) {
		uint8_t *whole = malloc(IMAGE_LEN), *image = malloc(len ? len : 1);

		make_image(whole);
		memcpy(image, whole, len);
		cfg.kernel = (struct pc_file){ .data = image, .len = len };
		assert_int_equal(pc_tables_build(&cfg, &t), -1);
		assert_non_null(t.why);
		mem_free(&m);
		free(image);
		free(whole);
		if (len > 700)
			len += 99;
	}
	/* An old kernel: no fields beyond those of 2.02; no count of setup sectors means 4. */
	for (unsigned v = 2; v <= 15; v++) {
		uint8_t *image = malloc(IMAGE_LEN);

		make_image(image);
		image[0x206] = (uint8_t)v;
		image[0x1f1] = 0;
		if (v < 10)
			memset(image + 0x258, 0xff, 12);
		cfg.kernel = (struct pc_file){ .data = image, .len = IMAGE_LEN };
		cfg.initrd = (struct pc_file){ .data = image, .len = 1000 };
		cfg.low = PC_LOW_MAX;
		assert_int_equal(pc_tables_build(&cfg, &t), 0);
		check_pieces(&cfg, &t);
		assert_int_equal(value(&t, FWCFG_SETUP_SIZE), 5 * 512);
		assert_true(value(&t, FWCFG_INITRD_ADDR) < (v < 3 ? 0x38000000 : 0x80000000));
		mem_free(&m);
		free(image);
	}
}

/* Headers at random, ones that are nearly right most of the time. */
static void test_random_headers(void **state)
{
	struct mem m;
	struct pc_tables_cfg cfg = config(&m);
	uint8_t *image = malloc(IMAGE_LEN);
	struct pc_tables t;
	unsigned good = 0;

	(void)state;
	srand(1);
	for (unsigned i = 0; i < 30000; i++) {
		if (i % 16 == 0)
			make_image(image);
		image[0x1f1 + rand() % 0x77] = (uint8_t)rand();
		cfg.kernel =
			(struct pc_file){ .data = image, .len = (size_t)rand() % IMAGE_LEN + 1 };
		cfg.initrd = (struct pc_file){ .data = image, .len = (size_t)rand() % IMAGE_LEN };
		cfg.low = (uint64_t)(rand() % 0xc0000 + 1) << 12;
		if (!pc_tables_build(&cfg, &t)) {
			check_pieces(&cfg, &t);
			good++;
		}
		mem_free(&m);
	}
	assert_true(good > 1000);
	free(image);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_acpi),           cmocka_unit_test(test_platform),
		cmocka_unit_test(test_too_many_files), cmocka_unit_test(test_option_rom),
		cmocka_unit_test(test_linux),          cmocka_unit_test(test_bad_kernel),
		cmocka_unit_test(test_random_headers),
	};

	return cmocka_run_group_tests_name("pc_tables", tests, NULL, NULL);
}
