/* SPDX-License-Identifier: BSD-2-Clause */
/* ide-pio.c - PIO commands: data, addresses, errors, interrupts, selection, resets (ATA/ATAPI-6). */
#include "ide.h"

static const struct chan *const c0 = &ide[0];
static uint8_t *const buf = (uint8_t *)FREE_RAM;

static uint16_t word(unsigned i)
{
	return ((uint16_t *)buf)[i];
}

/* The registers that answer for the selected device, in one number. */
static uint32_t address(const struct chan *c)
{
	return (uint32_t)inb(c->base + LBAH) << 24 | (uint32_t)inb(c->base + LBAM) << 16 |
	       (uint32_t)inb(c->base + LBAL) << 8 | inb(c->base + COUNT);
}

static void identify(const char *name, const struct chan *c, unsigned dev, uint64_t sectors)
{
	uint32_t low = sectors > 0x0fffffff ? 0x0fffffff : (uint32_t)sectors;
	uint8_t sum = 0;

	irq_on(c->irq, NULL);
	ide_cmd(c, dev, IDENTIFY, 0, 0);
	check(name, ide_idle(c), IDLE | DRQ);
	inb(c->base + STATUS);
	insw(c->base, buf, SECTOR / 2);
	check("  after the data", inb(c->base + STATUS), IDLE);
	check_irqs("  interrupts", c->irq, 1);
	irq_off(c->irq);
	for (unsigned i = 0; i < SECTOR; i++)
		sum += buf[i];
	check("  checksum", sum, 0);
	check("  word 0, ATA", word(0) >> 15, 0);
	check("  word 49, LBA and DMA", word(49) & 0x300, 0x300);
	check("  word 83, 48-bit address", word(83) & 0x400, 0x400);
	check("  words 60-61", word(60) | (uint32_t)word(61) << 16, low);
	check("  words 100-101", word(100) | (uint32_t)word(101) << 16, (uint32_t)sectors);
	check("  words 102-103", word(102) | (uint32_t)word(103) << 16, (uint32_t)(sectors >> 32));
	put("  crc", crc32(buf, SECTOR));
}

static void reads(void)
{
	static const uint8_t counts[] = { 1, 2, 3, 5, 0 };
	uint32_t *d = (uint32_t *)buf;

	irq_on(14, NULL);
	for (unsigned i = 0; i < LEN(counts); i++) {
		unsigned n = counts[i] ? counts[i] : 256;

		memset(buf, 0, n * SECTOR);
		put("READ SECTORS", n);
		check("  ends", ide_read(c0, 0, 100, n, buf), true);
		check_irqs("  interrupts", 14, n);
		check("  bad sectors", unlike(0, 100, n, buf), 0);
	}
	/* Every width takes the same bytes in the same order. */
	ide_cmd(c0, 0, READ_SECTORS, 7, 4);
	ide_idle(c0);
	for (unsigned i = 0; i < SECTOR / 2; i++)
		((uint16_t *)buf)[i] = inw(c0->base);
	ide_idle(c0);
	for (unsigned i = 0; i < SECTOR / 4; i++)
		d[SECTOR / 4 + i] = inl(c0->base);
	ide_idle(c0);
	insl(c0->base, buf + 2 * SECTOR, SECTOR / 4);
	ide_idle(c0);
	insw(c0->base, buf + 3 * SECTOR, 1);
	check("DRQ stays within a sector", alt_status(c0), IDLE | DRQ);
	*(uint32_t *)(buf + 3 * SECTOR + 2) = inl(c0->base);
	*(uint16_t *)(buf + 3 * SECTOR + 6) = inw(c0->base);
	insw(c0->base, buf + 3 * SECTOR + 8, SECTOR / 2 - 5);
	check("DRQ stays until the last word", alt_status(c0), IDLE | DRQ);
	*(uint16_t *)(buf + 4 * SECTOR - 2) = inw(c0->base);
	check("DRQ goes with the last word", ide_idle(c0), IDLE);
	check("widths: bad sectors", unlike(0, 7, 4, buf), 0);
	inb(c0->base + STATUS);
	irq_off(14);
}

static void multiple(void)
{
	static const uint8_t bad_counts[] = { 3, 32, 255 };

	irq_on(14, NULL);
	check("SET MULTIPLE 8", ide_do(c0, 0, SET_MULTIPLE, 0, 8), IDLE);
	check_irqs("  interrupts", 14, 1);
	memset(buf, 0, 20 * SECTOR);
	ide_cmd(c0, 0, READ_MULTIPLE, 500, 20);
	for (unsigned at = 0; at < 20; at += 8) {
		unsigned n = at + 8 > 20 ? 20 - at : 8;

		check("READ MULTIPLE offers a block", ide_idle(c0), IDLE | DRQ);
		inb(c0->base + STATUS);
		insw(c0->base, buf + at * SECTOR, n * SECTOR / 2);
	}
	check("  ends", ide_idle(c0), IDLE);
	check_irqs("  interrupts", 14, 3);
	check("  bad sectors", unlike(0, 500, 20, buf), 0);

	check("SET MULTIPLE 2", ide_do(c0, 0, SET_MULTIPLE, 0, 2), IDLE);
	check_irqs("  interrupts", 14, 1);
	pattern(OTHER, 600, 3, buf);
	ide_cmd(c0, 0, WRITE_MULTIPLE, 600, 3);
	for (unsigned at = 0; at < 3; at += 2) {
		check("WRITE MULTIPLE wants a block", ide_idle(c0), IDLE | DRQ);
		inb(c0->base + STATUS);
		outsl(c0->base, buf + at * SECTOR, (at ? 1 : 2) * SECTOR / 4);
	}
	check("  ends", ide_idle(c0), IDLE);
	inb(c0->base + STATUS);
	check_irqs("  interrupts", 14, 2);
	memset(buf, 0, 5 * SECTOR);
	ide_read(c0, 0, 599, 5, buf);
	check("  bad sectors", unlike(OTHER, 600, 3, buf + SECTOR), 0);
	check("  the sector before", unlike(0, 599, 1, buf), 0);
	check("  the sector after", unlike(0, 603, 1, buf + 4 * SECTOR), 0);

	for (unsigned i = 0; i < LEN(bad_counts); i++) {
		put("SET MULTIPLE", bad_counts[i]);
		check("  status", ide_do(c0, 0, SET_MULTIPLE, 0, bad_counts[i]), IDLE | ERR);
		check("  error", inb(c0->base + ERROR) & ABRT, ABRT);
	}
	check("READ MULTIPLE, disabled", ide_do(c0, 0, READ_MULTIPLE, 0, 1), IDLE | ERR);
	check("  error", inb(c0->base + ERROR), ABRT);
	check("SET MULTIPLE 16", ide_do(c0, 0, SET_MULTIPLE, 0, 16), IDLE);
	irq_off(14);
}

static void writes(void)
{
	irq_on(14, NULL);
	pattern(OTHER, 700, 3, buf);
	ide_cmd(c0, 0, WRITE_SECTORS, 700, 3);
	check("WRITE SECTORS wants data", ide_idle(c0), IDLE | DRQ);
	check_irqs("  without an interrupt", 14, 0);
	for (unsigned i = 0; i < 3; i++) {
		const uint16_t *w = (const uint16_t *)(buf + i * SECTOR);

		check("  and data", ide_idle(c0), IDLE | DRQ);
		inb(c0->base + STATUS);
		if (i == 0)
			outsw(c0->base, w, SECTOR / 2);
		else if (i == 1)
			outsl(c0->base, w, SECTOR / 4);
		else
			for (unsigned k = 0; k < SECTOR / 2; k++)
				outw(c0->base, w[k]);
		if (i < 2)
			check_irqs("  interrupts", 14, 1);
	}
	check("  ends", ide_idle(c0), IDLE);
	check_irqs("  interrupts", 14, 1);
	inb(c0->base + STATUS);
	memset(buf, 0, 3 * SECTOR);
	ide_read(c0, 0, 700, 3, buf);
	check("  bad sectors", unlike(OTHER, 700, 3, buf), 0);

	/* A command given in the middle of the data ends the one before; what was not complete may or
	 * may not be on the disk, its neighbours are as they were. */
	ide_cmd(c0, 0, WRITE_SECTORS, 710, 2);
	ide_idle(c0);
	outsw(c0->base, buf, 100);
	check("reset amid a write", (ide_reset(c0), alt_status(c0)), IDLE);
	ide_read(c0, 0, 709, 3, buf);
	check("  the sector before", unlike(0, 709, 1, buf), 0);
	check("  the sector after", unlike(0, 711, 1, buf + 2 * SECTOR), 0);
	irq_off(14);
}

static void lba48(void)
{
	static const uint64_t where[] = { 0, 1000, 0x10000000, DISK1 - 5 };
	const uint64_t w = DISK1 - 40;

	for (unsigned i = 0; i < LEN(where); i++) {
		memset(buf, 0, 5 * SECTOR);
		ide_cmd48(c0, 1, READ_SECTORS_EXT, where[i], 5);
		for (unsigned k = 0; k < 5; k++) {
			ide_idle(c0);
			insw(c0->base, buf + k * SECTOR, SECTOR / 2);
		}
		put("READ SECTORS EXT", i);
		check("  ends", ide_idle(c0), IDLE);
		if (i == 2)
			check("  zeros", crc32(buf, 5 * SECTOR),
			      crc32(memset(buf + 8192, 0, 5 * SECTOR), 5 * SECTOR));
		else
			check("  bad sectors", unlike(1, where[i], 5, buf), 0);
	}
	pattern(OTHER, w, 2, buf);
	ide_cmd48(c0, 1, WRITE_SECTORS_EXT, w, 2);
	for (unsigned k = 0; k < 2; k++) {
		ide_idle(c0);
		outsl(c0->base, buf + k * SECTOR, SECTOR / 4);
	}
	check("WRITE SECTORS EXT ends", ide_idle(c0), IDLE);
	memset(buf, 0, 16 * SECTOR);
	ide_do(c0, 1, SET_MULTIPLE, 0, 16);
	ide_cmd48(c0, 1, READ_MULTIPLE_EXT, w, 16);
	ide_idle(c0);
	insw(c0->base, buf, 16 * SECTOR / 2);
	check("READ MULTIPLE EXT ends", ide_idle(c0), IDLE);
	check("  bad sectors", unlike(OTHER, w, 2, buf), 0);
	check("  bad sectors after", unlike(1, w + 2, 14, buf + 2 * SECTOR), 0);

	/* HOB shows what was written before; a write of the Command Block takes it back. */
	outb(c0->base + COUNT, 0x12);
	outb(c0->base + COUNT, 0x34);
	outb(c0->base + LBAL, 0x56);
	outb(c0->base + LBAL, 0x78);
	outb(c0->ctl, HOB);
	check("HOB count", inb(c0->base + COUNT), 0x12);
	check("HOB LBA low", inb(c0->base + LBAL), 0x56);
	outb(c0->base + LBAM, 0x9a);
	check("count after a write", inb(c0->base + COUNT), 0x34);
	check("LBA low", inb(c0->base + LBAL), 0x78);

	ide_cmd48(c0, 1, READ_SECTORS_EXT, DISK1, 1);
	check("EXT beyond the end", ide_idle(c0), IDLE | ERR);
	check("  error", inb(c0->base + ERROR) & IDNF, IDNF);
	ide_cmd48(c0, 1, READ_SECTORS_EXT, 1ull << 40, 1);
	check("EXT far beyond the end", ide_idle(c0), IDLE | ERR);
	/* A LBA that has its bits 27:24 in the device register. */
	check("28-bit read ends", ide_read(c0, 1, 0x0ffffff0, 2, buf), true);
	inb(c0->base + STATUS);
}

static void chs(void)
{
	static const struct {
		uint16_t cyl;
		uint8_t head, sector, heads, spt;
	} at[] = {
		{ 0, 0, 1, 16, 63 }, { 0, 0, 63, 16, 63 }, { 0, 15, 63, 16, 63 },
		{ 1, 0, 1, 16, 63 }, { 1, 1, 2, 16, 63 },  { 0, 0, 1, 8, 32 },
		{ 3, 7, 32, 8, 32 }, { 0, 0, 1, 16, 63 },
	};

	for (unsigned i = 0; i < LEN(at); i++) {
		uint32_t lba =
			(at[i].cyl * at[i].heads + at[i].head) * at[i].spt + at[i].sector - 1u;

		outb(c0->base + DEVICE, 0xa0 | (at[i].heads - 1));
		outb(c0->base + COUNT, at[i].spt);
		outb(c0->base + COMMAND, INIT_PARAMETERS);
		check("INITIALIZE DEVICE PARAMETERS", ide_idle(c0), IDLE);
		outb(c0->base + DEVICE, 0xa0 | at[i].head);
		outb(c0->base + COUNT, 1);
		outb(c0->base + LBAL, at[i].sector);
		outb(c0->base + LBAM, (uint8_t)at[i].cyl);
		outb(c0->base + LBAH, (uint8_t)(at[i].cyl >> 8));
		outb(c0->base + COMMAND, READ_SECTORS);
		put("CHS of", lba);
		check("  offers data", ide_idle(c0), IDLE | DRQ);
		insw(c0->base, buf, SECTOR / 2);
		check("  bad sectors", unlike(0, lba, 1, buf), 0);
	}
	for (unsigned i = 0; i < 3; i++) {
		outb(c0->base + DEVICE, 0xa0);
		outb(c0->base + COUNT, 1);
		outb(c0->base + LBAL, i == 0 ? 0 : i == 1 ? 64 : 1);
		outb(c0->base + LBAM, i == 2 ? 20 : 0);
		outb(c0->base + LBAH, 0);
		outb(c0->base + COMMAND, READ_SECTORS);
		put("CHS that is not there", i);
		check("  status", ide_idle(c0), IDLE | ERR);
		check("  error", inb(c0->base + ERROR) & IDNF, IDNF);
	}
	inb(c0->base + STATUS);
}

static void errors(void)
{
	static const struct {
		uint8_t cmd, count;
		uint32_t lba;
		uint8_t error;
		const char *name;
	} bad[] = {
		{ READ_SECTORS, 1, DISK0, IDNF, "LBA after the last" },
		{ READ_SECTORS, 1, 0x0fffffff, IDNF, "LBA fffffff" },
		{ WRITE_SECTORS, 1, DISK0, IDNF, "write after the last" },
		{ READ_VERIFY, 1, DISK0, IDNF, "verify after the last" },
		{ BAD_COMMAND, 0, 0, ABRT, "command FF" },
		{ 0x00, 0, 0, ABRT, "NOP" },
		{ 0xa1, 0, 0, ABRT, "IDENTIFY PACKET DEVICE" },
		{ 0xa0, 0, 0, ABRT, "PACKET" },
		{ 0xef, 0, 0, ABRT, "SET FEATURES 0" },
	};

	irq_on(14, NULL);
	outb(c0->base + FEATURE, 0);
	for (unsigned i = 0; i < LEN(bad); i++) {
		ide_cmd(c0, 0, bad[i].cmd, bad[i].lba, bad[i].count);
		check(bad[i].name, ide_idle(c0), IDLE | ERR);
		check("  error", inb(c0->base + ERROR) & bad[i].error, bad[i].error);
		put("  all of it", inb(c0->base + ERROR));
		check("  status again", inb(c0->base + STATUS), IDLE | ERR);
		check_irqs("  interrupts", 14, 1);
		check("  the next one is good", ide_do(c0, 0, 0x10, 0, 0), IDLE);
		check("  error", inb(c0->base + ERROR), 0);
		check_irqs("  interrupts", 14, 1);
	}
	/* What is read before an error in the middle is the drive's choice. */
	ide_cmd(c0, 0, READ_SECTORS, DISK0 - 1, 2);
	put("read over the end, status", ide_idle(c0));
	put("  error", inb(c0->base + ERROR));
	put("  address", address(c0));
	ide_reset(c0);
	check("the last sector", ide_read(c0, 0, DISK0 - 1, 1, buf), true);
	check("  bad sectors", unlike(0, DISK0 - 1, 1, buf), 0);
	irq_off(14);
}

static void interrupts(void)
{
	irq_off(14);
	ide_do(c0, 0, 0x10, 0, 0);
	check_line("line at rest", 14, false);
	ide_cmd(c0, 0, 0x10, 0, 0);
	ide_idle(c0);
	check_line("line after a command", 14, true);
	alt_status(c0);
	check_line("  alternate status leaves it", 14, true);
	inb(c0->base + ERROR);
	inb(c0->base + COUNT);
	check_line("  other registers leave it", 14, true);
	outb(c0->ctl, NIEN);
	check_line("  nIEN takes it away", 14, false);
	outb(c0->ctl, 0);
	check_line("  and gives it back", 14, true);
	/* The other device is selected: the line is its. */
	outb(c0->base + DEVICE, 0xa0 | SLAVE);
	alt_status(c0); /* the 400 ns that a device has to react */
	check_line("  the other device has none", 14, false);
	outb(c0->base + DEVICE, 0xa0);
	check_line("  this one still has", 14, true);
	inb(c0->base + STATUS);
	check_line("  status takes it back", 14, false);
	ide_cmd(c0, 0, 0x10, 0, 0);
	ide_idle(c0);
	outb(c0->base + COMMAND, CHECK_POWER);
	ide_idle(c0);
	check_line("a command's interrupt after another's", 14, true);
	inb(c0->base + STATUS);
	check("CHECK POWER MODE: active", inb(c0->base + COUNT), 0xff);

	outb(c0->ctl, NIEN);
	irq_on(14, NULL);
	check("with nIEN: read", ide_read(c0, 0, 0, 4, buf), true);
	check_irqs("  interrupts", 14, 0);
	ide_cmd(c0, 0, 0x10, 0, 0);
	ide_idle(c0);
	check_irqs("  none", 14, 0);
	outb(c0->ctl, 0);
	check_irqs("  until nIEN goes", 14, 1);
	inb(c0->base + STATUS);
	/* The handler may be the one to read the status. */
	irq_on(14, ide_hook0);
	for (unsigned i = 0; i < 20; i++) {
		ide_cmd(c0, 0, i & 1 ? FLUSH : READ_VERIFY, i, 1);
		WAIT(irq_count[14] == i + 1, LONG);
	}
	check_irqs("20 commands without data: interrupts", 14, 20);
	irq_off(14);
}

static void selection(void)
{
	const struct chan *c = &ide[1];

	irq_on(15, NULL);
	outb(c->base + DEVICE, 0xa0);
	ide_do(c, 0, 0x10, 0, 0);
	outb(c->base + COUNT, 0x55);
	outb(c->base + LBAL, 0xaa);
	outb(c->base + DEVICE, 0xa0 | SLAVE);
	check("absent slave: status", inb(c->base + STATUS), 0);
	check("  alternate status", alt_status(c), 0);
	check("  device register", inb(c->base + DEVICE) & SLAVE, SLAVE);
	check("  count", inb(c->base + COUNT), 0x55);
	check("  LBA low", inb(c->base + LBAL), 0xaa);
	check_irqs("  interrupts before", 15, 1);
	outb(c->base + COMMAND, IDENTIFY);
	check_irqs("  a command: no interrupt", 15, 0);
	check("  and nothing", alt_status(c), 0);
	outb(c->base + COUNT, 0x66);
	outb(c->base + DEVICE, 0xa0);
	check("the master: status", inb(c->base + STATUS), IDLE);
	check("  its registers were written too", inb(c->base + COUNT), 0x66);
	check("  reads", ide_read(c, 0, 9, 2, buf), true);
	check("  bad sectors", unlike(2, 9, 2, buf), 0);
	irq_off(15);

	check("master and slave: read of the slave", ide_read(c0, 1, 40, 1, buf), true);
	check("  bad sectors", unlike(1, 40, 1, buf), 0);
	check("  read of the master", ide_read(c0, 0, 40, 1, buf), true);
	check("  bad sectors", unlike(0, 40, 1, buf), 0);
}

static void resets(void)
{
	irq_on(14, NULL);
	outb(c0->base + DEVICE, 0xa0 | SLAVE);
	outb(c0->base + COMMAND, DIAGNOSTIC);
	check("EXECUTE DEVICE DIAGNOSTIC: status", ide_idle(c0) & (BSY | DRQ | ERR), 0);
	check("  error: both passed", inb(c0->base + ERROR), 1);
	check("  signature", address(c0), 0x00000101);
	check("  device 0", inb(c0->base + DEVICE) & SLAVE, 0);
	check_irqs("  interrupts", 14, 1);
	inb(c0->base + STATUS);

	outb(c0->base + DEVICE, 0xa0 | SLAVE);
	ide_cmd(c0, 0, READ_SECTORS, 0, 2);
	ide_idle(c0);
	check_irqs("  interrupts", 14, 1);
	outb(c0->ctl, SRST);
	check("SRST: busy", alt_status(c0) & BSY, BSY);
	delay_ms(1);
	outb(c0->ctl, 0);
	delay_ms(2);
	check("  after it", ide_idle(c0), IDLE);
	check("  error", inb(c0->base + ERROR), 1);
	check("  signature", address(c0), 0x00000101);
	check("  device 0", inb(c0->base + DEVICE) & SLAVE, 0);
	check_irqs("  interrupts", 14, 0);
	check_line("  line", 14, false);
	outb(c0->base + DEVICE, 0xa0 | SLAVE);
	check("  signature of device 1", address(c0), 0x00000101);
	outb(c0->base + DEVICE, 0xa0);
	check("  works again", ide_read(c0, 0, 3, 3, buf), true);
	check("  bad sectors", unlike(0, 3, 3, buf), 0);
	irq_off(14);
}

void run(void)
{
	identify("IDENTIFY primary master", c0, 0, DISK0);
	identify("IDENTIFY primary slave", c0, 1, DISK1);
	identify("IDENTIFY secondary master", &ide[1], 0, DISK2);
	reads();
	multiple();
	writes();
	lba48();
	chs();
	errors();
	interrupts();
	selection();
	resets();
}
