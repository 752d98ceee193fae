/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pc_tables.c - ACPI tables and platform data of the PC board, as fw_cfg items.
 *
 * References: ACPI 6.4, section 5.2 (RSDP, RSDT, FADT, FACS, MADT; the older revisions given here
 * are its subsets); QEMU, hw/acpi/bios-linker-loader.c's format of "etc/table-loader" (128-byte
 * commands: allocate a file, add its address to a pointer, fill in a checksum); SeaBIOS,
 * docs/Runtime_config.md ("bootorder", "etc/sercon-port" ...).
 *
 * SeaBIOS and u-boot copy the tables into guest RAM and run the commands, since only they know
 * where the tables come to lie.  Offsets from the start of the blob stand in for addresses here.
 */
#include <string.h>

#include "boards/pc_blobs.h"
#include "boards/pc_tables.h"

#define TABLES_FILE "etc/acpi/tables"
#define RSDP_FILE   "etc/acpi/rsdp"

#define IOAPIC_ADDR 0xfec00000u
#define LAPIC_ADDR  0xfee00000u
#define SCI_GSI     9u
#define COM1        0x3f8u

#define PACKED __attribute__((packed))

struct acpi_header {
	char signature[4];
	uint32_t length;
	uint8_t revision, checksum;
	char oem_id[6], oem_table_id[8];
	uint32_t oem_revision;
	char creator_id[4];
	uint32_t creator_revision;
} PACKED;

/* Generic address structure; only I/O space is used. */
struct acpi_gas {
	uint8_t space, bits, bit_offset, access;
	uint64_t address;
} PACKED;

struct acpi_facs {
	char signature[4];
	uint32_t length, hardware_signature, waking_vector, global_lock, flags;
	uint64_t x_waking_vector;
	uint8_t version, reserved[31];
} PACKED;

struct acpi_fadt {
	struct acpi_header h;
	uint32_t firmware_ctrl, dsdt;
	uint8_t reserved0, preferred_pm_profile;
	uint16_t sci_int;
	uint32_t smi_cmd;
	uint8_t acpi_enable, acpi_disable, s4bios_req, pstate_cnt;
	uint32_t pm1a_evt_blk, pm1b_evt_blk, pm1a_cnt_blk, pm1b_cnt_blk, pm2_cnt_blk, pm_tmr_blk;
	uint32_t gpe0_blk, gpe1_blk;
	uint8_t pm1_evt_len, pm1_cnt_len, pm2_cnt_len, pm_tmr_len, gpe0_blk_len, gpe1_blk_len;
	uint8_t gpe1_base, cst_cnt;
	uint16_t p_lvl2_lat, p_lvl3_lat, flush_size, flush_stride;
	uint8_t duty_offset, duty_width, day_alrm, mon_alrm, century;
	uint16_t iapc_boot_arch;
	uint8_t reserved1;
	uint32_t flags;
	struct acpi_gas reset_reg;
	uint8_t reset_value, reserved2[3];
	uint64_t x_firmware_ctrl, x_dsdt;
	struct acpi_gas x_pm1a_evt_blk, x_pm1b_evt_blk, x_pm1a_cnt_blk, x_pm1b_cnt_blk;
	struct acpi_gas x_pm2_cnt_blk, x_pm_tmr_blk, x_gpe0_blk, x_gpe1_blk;
} PACKED;

struct madt {
	struct acpi_header h;
	uint32_t lapic_addr, flags;
} PACKED;

struct madt_lapic {
	uint8_t type, length, processor, apic_id;
	uint32_t flags;
} PACKED;

struct madt_ioapic {
	uint8_t type, length, id, reserved;
	uint32_t addr, gsi_base;
} PACKED;

struct madt_override {
	uint8_t type, length, bus, irq;
	uint32_t gsi;
	uint16_t flags;
} PACKED;

struct madt_lapic_nmi {
	uint8_t type, length, processor;
	uint16_t flags;
	uint8_t lint;
} PACKED;

struct rsdt {
	struct acpi_header h;
	uint32_t fadt, madt;
} PACKED;

/* Revision 0: for ACPI 1.0 and everybody after. */
struct rsdp {
	char signature[8];
	uint8_t checksum;
	char oem_id[6];
	uint8_t revision;
	uint32_t rsdt;
} PACKED;

_Static_assert(sizeof(struct acpi_header) == 36, "header");
_Static_assert(sizeof(struct acpi_facs) == 64, "FACS");
_Static_assert(sizeof(struct acpi_fadt) == 244, "FADT revision 3");
_Static_assert(sizeof(struct madt) == 44, "MADT");
_Static_assert(sizeof(struct rsdp) == 20, "RSDP");

enum { CMD_ALLOCATE = 1, CMD_ADD_POINTER = 2, CMD_ADD_CHECKSUM = 3 };
enum { ZONE_HIGH = 1, ZONE_FSEG = 2 };

struct command {
	uint32_t code;
	union {
		struct {
			char file[56];
			uint32_t align;
			uint8_t zone;
		} PACKED alloc;
		struct {
			char dest[56], src[56];
			uint32_t offset;
			uint8_t size;
		} PACKED pointer;
		struct {
			char file[56];
			uint32_t offset, start, length;
		} PACKED sum;
		uint8_t all[124];
	};
} PACKED;
_Static_assert(sizeof(struct command) == 128, "table-loader command");

#define N_COMMANDS 12u

struct e820 {
	uint64_t base, len;
	uint32_t type;
} PACKED;
#define E820_RAM 1u

#define FADT_WBINVD    (1u << 0)
#define FADT_PROC_C1   (1u << 2)
#define FADT_SLP_BTN   (1u << 5) /* no fixed-feature sleep button */
#define FADT_FIX_RTC   (1u << 6) /* no RTC wake-up in the PM registers */
#define FADT_RESET_REG (1u << 10)

#define BOOT_ARCH_LEGACY (1u << 0)
#define BOOT_ARCH_8042   (1u << 1)
#define BOOT_ARCH_NO_VGA (1u << 2)

#define ISO_LEVEL_HIGH 0xdu

#define IO_GAS(port, width, acc)                                                \
	{                                                                       \
		.space = 1, .bits = (width), .access = (acc), .address = (port) \
	}

static const struct acpi_facs facs = {
	.signature = { 'F', 'A', 'C', 'S' },
	.length = sizeof(facs),
	.version = 1,
};

static const struct acpi_fadt fadt_template = {
	.sci_int = SCI_GSI,
	.smi_cmd = PC_SMI_CMD,
	.acpi_enable = PC_ACPI_ON,
	.acpi_disable = PC_ACPI_OFF,
	.pm1a_evt_blk = PC_PM_BASE,
	.pm1a_cnt_blk = PC_PM_BASE + 4,
	.pm_tmr_blk = PC_PM_BASE + 8,
	.pm1_evt_len = 4,
	.pm1_cnt_len = 2,
	.pm_tmr_len = 4,
	.p_lvl2_lat = 0xfff, /* no C2, no C3 */
	.p_lvl3_lat = 0xfff,
	.century = 0x32, /* in CMOS RAM */
	.iapc_boot_arch = BOOT_ARCH_LEGACY | BOOT_ARCH_8042,
	.flags = FADT_WBINVD | FADT_PROC_C1 | FADT_SLP_BTN | FADT_FIX_RTC | FADT_RESET_REG,
	.reset_reg = IO_GAS(PC_RESET_PORT, 8, 1),
	.reset_value = PC_RESET_VAL,
	.x_pm1a_evt_blk = IO_GAS(PC_PM_BASE, 32, 2),
	.x_pm1a_cnt_blk = IO_GAS(PC_PM_BASE + 4, 16, 2),
	.x_pm_tmr_blk = IO_GAS(PC_PM_BASE + 8, 32, 3),
};

static void *zalloc(const struct pc_tables_cfg *cfg, size_t size, size_t align)
{
	void *p = cfg->alloc(cfg->ctx, size, align);

	if (p)
		memset(p, 0, size);
	return p;
}

void pc_add_item(struct pc_tables *t, uint16_t key, const char *name, const void *data,
		 uint64_t len)
{
	if (t->why)
		return;
	if (t->n == PC_MAX_ITEMS)
		t->why = "too many fw_cfg items";
	else if (len > UINT32_MAX)
		t->why = "a fw_cfg item of 4 GiB or more";
	else
		t->item[t->n++] = (struct fwcfg_item){
			.key = key, .name = name, .data = data, .len = (uint32_t)len
		};
}

static void add_copy(const struct pc_tables_cfg *cfg, struct pc_tables *t, uint16_t key,
		     const char *name, const void *data, size_t len)
{
	void *p = t->why ? NULL : cfg->alloc(cfg->ctx, len, 8);

	if (p)
		memcpy(p, data, len);
	else if (!t->why)
		t->why = "no memory for a fw_cfg item";
	pc_add_item(t, key, name, p, len);
}

void pc_add_u32(const struct pc_tables_cfg *cfg, struct pc_tables *t, uint16_t key, uint32_t val)
{
	add_copy(cfg, t, key, NULL, &val, sizeof(val));
}

static void add_u16(const struct pc_tables_cfg *cfg, struct pc_tables *t, uint16_t key,
		    const char *name, uint16_t val)
{
	add_copy(cfg, t, key, name, &val, sizeof(val));
}

static void header(struct acpi_header *h, const char *signature, uint32_t length, uint8_t revision)
{
	memcpy(h->signature, signature, 4);
	h->length = length;
	h->revision = revision;
	memcpy(h->oem_id, "SELFIO", 6);
	memcpy(h->oem_table_id, "SELFIOPC", 8);
	h->oem_revision = 1;
	memcpy(h->creator_id, "SIO ", 4);
	h->creator_revision = 1;
}

static uint32_t build_fadt(const struct pc_tables_cfg *cfg, uint8_t *p, uint32_t dsdt)
{
	struct acpi_fadt f = fadt_template;

	header(&f.h, "FACP", sizeof(f), 3);
	f.dsdt = dsdt;
	f.x_dsdt = dsdt;
	if (!cfg->vga)
		f.iapc_boot_arch |= BOOT_ARCH_NO_VGA;
	memcpy(p, &f, sizeof(f));
	return sizeof(f);
}

static unsigned apic_id(const struct pc_tables_cfg *cfg, unsigned cpu)
{
	return cfg->apic_id_last ? cfg->apic_id_last / (cfg->n_cpus - 1) * cpu : cpu;
}

/* What KVM's in-kernel chips are: pins are IRQs, but for the PIT on pin 2. */
static uint32_t build_madt(const struct pc_tables_cfg *cfg, uint8_t *p)
{
	static const struct {
		uint8_t irq, gsi, flags;
	} over[] = {
		{ 0, 2, 0 },
		/* What PIIX3's router can drive, and the SCI. */
		{ 5, 5, ISO_LEVEL_HIGH },
		{ 9, 9, ISO_LEVEL_HIGH },
		{ 10, 10, ISO_LEVEL_HIGH },
		{ 11, 11, ISO_LEVEL_HIGH },
	};
	const struct madt_ioapic ioapic = { 1, sizeof(ioapic), 0, 0, IOAPIC_ADDR, 0 };
	const struct madt_lapic_nmi nmi = { 4, sizeof(nmi), 0xff, 0, 1 };
	struct madt m = { .lapic_addr = LAPIC_ADDR, .flags = 1 /* there are 8259s */ };
	uint32_t len = sizeof(m);

	for (unsigned i = 0; i < cfg->n_cpus; i++, len += sizeof(struct madt_lapic)) {
		struct madt_lapic l = { 0, sizeof(l), (uint8_t)i, (uint8_t)apic_id(cfg, i), 1 };

		memcpy(p + len, &l, sizeof(l));
	}
	memcpy(p + len, &ioapic, sizeof(ioapic));
	len += sizeof(ioapic);
	for (unsigned i = 0; i < sizeof(over) / sizeof(over[0]);
	     i++, len += sizeof(struct madt_override)) {
		struct madt_override o = {
			2, sizeof(o), 0, over[i].irq, over[i].gsi, over[i].flags
		};

		memcpy(p + len, &o, sizeof(o));
	}
	memcpy(p + len, &nmi, sizeof(nmi));
	len += sizeof(nmi);
	header(&m.h, "APIC", len, 1);
	memcpy(p, &m, sizeof(m));
	return len;
}

static struct command *allocate(struct command *c, const char *file, size_t n, uint32_t align,
				uint8_t zone)
{
	c->code = CMD_ALLOCATE;
	memcpy(c->alloc.file, file, n);
	c->alloc.align = align;
	c->alloc.zone = zone;
	return c + 1;
}

/* A field of dest that holds an offset into the tables becomes an address. */
static struct command *pointer(struct command *c, const char *dest, size_t n, uint32_t offset,
			       uint8_t size)
{
	c->code = CMD_ADD_POINTER;
	memcpy(c->pointer.dest, dest, n);
	memcpy(c->pointer.src, TABLES_FILE, sizeof(TABLES_FILE));
	c->pointer.offset = offset;
	c->pointer.size = size;
	return c + 1;
}

static struct command *sum(struct command *c, const char *file, size_t n, uint32_t offset,
			   uint32_t start, uint32_t length)
{
	c->code = CMD_ADD_CHECKSUM;
	memcpy(c->sum.file, file, n);
	c->sum.offset = offset;
	c->sum.start = start;
	c->sum.length = length;
	return c + 1;
}

#define T         TABLES_FILE, sizeof(TABLES_FILE)
#define R         RSDP_FILE, sizeof(RSDP_FILE)
#define SUM_AT(o) ((o) + (uint32_t)offsetof(struct acpi_header, checksum))

static void add_acpi(const struct pc_tables_cfg *cfg, struct pc_tables *t)
{
	/* Offsets in the blob; MADT and RSDT follow. */
	const uint32_t dsdt = sizeof(facs);
	const uint32_t fadt = (dsdt + pc_dsdt_len + 7) & ~7u;
	const uint32_t madt = fadt + (uint32_t)((sizeof(struct acpi_fadt) + 7) & ~(size_t)7);
	const uint32_t max = madt + 256 + cfg->n_cpus * (uint32_t)sizeof(struct madt_lapic);
	uint8_t *blob = zalloc(cfg, max, 16);
	struct rsdp *rsdp = zalloc(cfg, sizeof(*rsdp), 16);
	struct command *cmd = zalloc(cfg, N_COMMANDS * sizeof(*cmd), 8), *c = cmd;
	uint32_t madt_len, rsdt, len;
	struct rsdt r = { .fadt = fadt, .madt = madt };

	if (!blob || !rsdp || !cmd) {
		t->why = "no memory for the ACPI tables";
		return;
	}
	memcpy(blob, &facs, sizeof(facs));
	memcpy(blob + dsdt, pc_dsdt, pc_dsdt_len);
	build_fadt(cfg, blob + fadt, dsdt);
	madt_len = build_madt(cfg, blob + madt);
	rsdt = (madt + madt_len + 7) & ~7u;
	header(&r.h, "RSDT", sizeof(r), 1);
	memcpy(blob + rsdt, &r, sizeof(r));
	len = rsdt + (uint32_t)sizeof(r);
	memcpy(rsdp->signature, "RSD PTR ", 8);
	memcpy(rsdp->oem_id, "SELFIO", 6);
	rsdp->rsdt = rsdt;

	c = allocate(c, T, 64, ZONE_HIGH); /* for the FACS, at the start */
	c = allocate(c, R, 16, ZONE_FSEG);
	c = pointer(c, T, fadt + (uint32_t)offsetof(struct acpi_fadt, firmware_ctrl), 4);
	c = pointer(c, T, fadt + (uint32_t)offsetof(struct acpi_fadt, dsdt), 4);
	c = pointer(c, T, fadt + (uint32_t)offsetof(struct acpi_fadt, x_dsdt), 8);
	c = sum(c, T, SUM_AT(fadt), fadt, sizeof(struct acpi_fadt));
	c = sum(c, T, SUM_AT(madt), madt, madt_len);
	c = pointer(c, T, rsdt + (uint32_t)offsetof(struct rsdt, fadt), 4);
	c = pointer(c, T, rsdt + (uint32_t)offsetof(struct rsdt, madt), 4);
	c = sum(c, T, SUM_AT(rsdt), rsdt, sizeof(struct rsdt));
	c = pointer(c, R, offsetof(struct rsdp, rsdt), 4);
	c = sum(c, R, offsetof(struct rsdp, checksum), 0, sizeof(struct rsdp));

	pc_add_item(t, 0, TABLES_FILE, blob, len);
	pc_add_item(t, 0, RSDP_FILE, rsdp, sizeof(*rsdp));
	pc_add_item(t, 0, "etc/table-loader", cmd, (size_t)(c - cmd) * sizeof(*cmd));
}

static void add_e820(const struct pc_tables_cfg *cfg, struct pc_tables *t)
{
	const struct e820 map[2] = {
		{ 0, cfg->low, E820_RAM },
		{ PC_HIGH_BASE, cfg->high, E820_RAM },
	};

	add_copy(cfg, t, 0, "etc/e820", map, cfg->high ? sizeof(map) : sizeof(map[0]));
}

/* OpenFirmware-like paths, one a line, first choice first. */
static void add_bootorder(const struct pc_tables_cfg *cfg, struct pc_tables *t)
{
	static const char rom[] = "/rom@genroms/linuxboot.bin\n";
	char text[512], disk[] = "/pci@i0cf8/ide@1,1/drive@0/disk@0\n";
	char net[] = "/pci@i0cf8/ethernet@3\n";
	size_t len = 0;

	if (cfg->kernel.data) {
		memcpy(text, rom, sizeof(rom) - 1);
		len = sizeof(rom) - 1;
	}
	for (unsigned i = 0; i < 8 && cfg->boot_net; i++) {
		if (!(cfg->nets >> i & 1))
			continue;
		net[sizeof(net) - 3] = "0123456789abcdef"[PC_NET_SLOT + i];
		memcpy(text + len, net, sizeof(net) - 1);
		len += sizeof(net) - 1;
	}
	for (unsigned i = 0; i < 4; i++) {
		if (!(cfg->disks >> i & 1))
			continue;
		disk[sizeof("/pci@i0cf8/ide@1,1/drive@") - 1] = (char)('0' + i / 2);
		disk[sizeof(disk) - 3] = (char)('0' + i % 2);
		memcpy(text + len, disk, sizeof(disk) - 1);
		len += sizeof(disk) - 1;
	}
	if (!len)
		return;
	text[len - 1] = 0; /* not a newline at the end: SeaBIOS would see an empty path */
	add_copy(cfg, t, 0, "bootorder", text, len);
}

static void add_platform(const struct pc_tables_cfg *cfg, struct pc_tables *t)
{
	/* S3 and S4 off, S5 (bit 7: on) with type 0. */
	static const uint8_t states[6] = { 0x80, 0, 0, 0x01, 0x02, 0x80 };
	static const uint8_t irq0_override = 1; /* for SeaBIOS's MP table: the PIT is on pin 2 */
	uint16_t n_cpus = (uint16_t)cfg->n_cpus;
	uint64_t ram = cfg->low + cfg->high;

	add_copy(cfg, t, FWCFG_UUID, NULL, cfg->uuid, sizeof(cfg->uuid));
	add_copy(cfg, t, FWCFG_RAM_SIZE, NULL, &ram, sizeof(ram));
	add_u16(cfg, t, FWCFG_NB_CPUS, NULL, n_cpus);
	/* Not how many there may be: one more than the highest APIC id. */
	add_u16(cfg, t, FWCFG_MAX_CPUS, NULL, (uint16_t)(apic_id(cfg, cfg->n_cpus - 1) + 1));
	add_u16(cfg, t, 0, "etc/boot-cpus", n_cpus);
	add_u16(cfg, t, FWCFG_BOOT_MENU, NULL, cfg->boot_menu);
	pc_add_item(t, FWCFG_IRQ0_OVERRIDE, NULL, &irq0_override, 1);
	pc_add_item(t, 0, "etc/system-states", states, sizeof(states));
	if (!cfg->vga)
		add_u16(cfg, t, 0, "etc/sercon-port", COM1);
}

int pc_tables_build(const struct pc_tables_cfg *cfg, struct pc_tables *out)
{
	out->n = 0;
	out->why = NULL;
	if (!cfg->n_cpus || cfg->n_cpus > 255 || cfg->apic_id_last > 254 ||
	    (cfg->apic_id_last && cfg->apic_id_last < cfg->n_cpus - 1) ||
	    (cfg->n_cpus == 1 && cfg->apic_id_last) || !cfg->low || cfg->low > PC_LOW_MAX) {
		out->why = "processors or memory out of range";
		return -1;
	}
	add_platform(cfg, out);
	add_e820(cfg, out);
	add_bootorder(cfg, out);
	add_acpi(cfg, out);
	if (cfg->kernel.data)
		pc_linux_add(cfg, out);
	for (unsigned i = 0; i < cfg->n_files; i++)
		pc_add_item(out, 0, cfg->file[i].name, cfg->file[i].data, cfg->file[i].len);
	return out->why ? -1 : 0;
}
