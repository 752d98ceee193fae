/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * e1000.c - Intel 82540EM: PCI function (chapter 4), registers (chapter 13), interrupts (13.4.17 to 13.4.22),
 * statistics (13.7), and the class.
 *
 * Registers are one array in the order of the window, so that those without side effects can be shown to
 * the guest as memory.  Offsets that mean nothing hold what is written.
 */
#include "models/e1000/e1000_int.h"

#define BAR_MEM   0x10u
#define BAR_IO    0x18u /* 14h is the flash's */
#define CACHELINE 0x0cu

#define MASTER_ABORT 0x20u /* PCI_STATUS + 1: a cycle of ours found no target */

static const struct pci_reg regs[] = {
	{ PCI_VENDOR, 4, 0x100e8086, 0, 0 },
	{ PCI_COMMAND, 4, 0x02200000, 0x00000157, 0xf9000000 },
	{ PCI_REVISION, 4, 0x02000002, 0, 0 },
	{ CACHELINE, 2, 0x0000, 0xf8ff, 0 }, /* and latency timer */
	{ BAR_MEM, 4, 0x00000000, 0xfffe0000, 0 },
	{ BAR_IO, 4, 0x00000001, 0xffffffc0, 0 },
	{ PCI_SUBSYSTEM, 4, 0x001e8086, 0, 0 },
	{ PCI_INT_LINE, 4, 0x00ff0100, 0xff, 0 }, /* INTA#; Min_Gnt */
};
#define N_REGS (sizeof(regs) / sizeof(regs[0]))

enum { R_MEM, R_IO, R_CFG };

#define IOADDR 0u
#define IODATA 4u

static const struct dev_region regions[] = {
	[R_MEM] = { "e1000", DEV_MMIO, DEV_UNPLACED, 0x20000, DEV_SIZE_4 },
	[R_IO] = { "e1000-io", DEV_PIO, DEV_UNPLACED, 64, DEV_SIZE_4 },
	[R_CFG] = { "cfg", DEV_PCICFG, 0, PCI_CFG_SIZE, DEV_SIZE_1 | DEV_SIZE_2 | DEV_SIZE_4 },
};

/* What a driver writes and then reads another register, or need not take effect at once: interrupts off (it has read
 * ICR, which took the line back), throttling, descriptors that are ready again; interrupts on, while there is no
 * cause for one, and no frame waits for a descriptor that was perhaps given back just before.  Frames that are ready
 * are fetched while the guest goes on.  STATUS is what drivers read to have posted writes through. */
enum { S_STATUS, S_CAUSES };
static const struct dev_fast fast[] = {
	[S_STATUS] = { .kind = DEV_SHADOW, .region = R_MEM, .offset = STATUS, .len = 4 },
	[S_CAUSES] = { .kind = DEV_SHADOW }, /* that an interrupt would come of, were it let through */
	{ .kind = DEV_POSTED,
	  .region = R_MEM,
	  .offset = IMS,
	  .len = 4,
	  .own = S_CAUSES,
	  .if_clear = true },
	{ .kind = DEV_POSTED, .region = R_MEM, .offset = ITR, .len = 4, .own = DEV_NO_SHADOW },
	{ .kind = DEV_POSTED, .region = R_MEM, .offset = IMC, .len = 4, .own = DEV_NO_SHADOW },
	{ .kind = DEV_POSTED, .region = R_MEM, .offset = RDT, .len = 4, .own = DEV_NO_SHADOW },
	{ .kind = DEV_KICK, .region = R_MEM, .offset = TDT, .len = 4, .own = DEV_NO_SHADOW },
};

/* Registers with fewer bits than 32, that only hold what is written. */
static const struct {
	uint16_t off;
	uint32_t mask;
} masks[] = {
	{ FCAH, 0xffff },     { FCT, 0xffff },       { VET, 0xffff },       { FCTTV, 0xffff },
	{ TXCW, 0xc000ffff }, { TIPG, 0x3fffffff },  { FCRTL, 0x8000fff8 }, { FCRTH, 0xfff8 },
	{ RXCSUM, 0x7ff },    { RADV, 0xffff },      { TADV, 0xffff },      { ITR, 0xffff },
	{ RSRPD, 0xfff },     { RDBAL, 0xfffffff0 }, { RDLEN, 0xfff80 },    { RDH, 0xffff },
	{ RDT, 0xffff },      { TDBAL, 0xfffffff0 }, { TDLEN, 0xfff80 },    { TDH, 0xffff },
	{ TDT, 0xffff },
};

/* Where drivers for the 82542 look for registers that lie elsewhere since (table 13-2). */
static uint32_t canonical(uint32_t off)
{
	static const struct {
		uint16_t from, to, len;
	} alias[] = {
		{ 0x0040, RA, 0x80 },  { 0x0108, RDTR, 4 },     { 0x0110, RDBAL, 12 },
		{ 0x0120, RDH, 4 },    { 0x0128, RDT, 4 },      { 0x0160, FCRTH, 4 },
		{ 0x0168, FCRTL, 4 },  { 0x0200, MTA, 512 },    { 0x0420, TDBAL, 12 },
		{ 0x0430, TDH, 4 },    { 0x0438, TDT, 4 },      { 0x0440, TIDV, 4 },
		{ 0x0600, VFTA, 512 }, { CTRL_ALIAS, CTRL, 4 },
	};

	for (unsigned i = 0; i < sizeof(alias) / sizeof(alias[0]); i++)
		if (off >= alias[i].from && off < (uint32_t)alias[i].from + alias[i].len)
			return off - alias[i].from + alias[i].to;
	return off;
}

void e1000_bus_error(struct e1000 *d)
{
	d->state.cfg[PCI_STATUS + 1] |= MASTER_ABORT;
}

/* Counters stick at their maximum. */
void e1000_count(struct e1000 *d, enum e1000_reg off, uint32_t n)
{
	uint32_t *r = &d->state.reg[off / 4];

	*r = n > UINT32_MAX - *r ? UINT32_MAX : *r + n;
}

void e1000_octets(struct e1000 *d, enum e1000_reg low, uint64_t n)
{
	uint64_t v = get64(d, low);

	v = n > UINT64_MAX - v ? UINT64_MAX : v + n;
	set(d, low, (uint32_t)v);
	d->state.reg[low / 4 + 1] = (uint32_t)(v >> 32);
}

void e1000_count_size(struct e1000 *d, enum e1000_reg pc64, uint32_t len, uint32_t n)
{
	static const uint16_t upto[5] = { 64, 127, 255, 511, 1023 };
	unsigned i = 0;

	while (i < 5 && len > upto[i])
		i++;
	e1000_count(d, pc64 + i * 4, n);
}

/* INTA# rises at most once in an interval of ITR (units of 256 ns). */
static void update_line(struct e1000 *d)
{
	bool want = get(d, ICR) & get(d, IMS);
	uint64_t now = dev_now_ns(&d->env), due = d->state.last_irq_ns + get(d, ITR) * 256ull;
	uint64_t wait = E1000_NEVER;

	if (want && !d->state.line) {
		if (now >= due)
			d->state.last_irq_ns = now;
		else
			wait = due;
		want = now >= due;
	}
	d->state.line = want;
	dev_irq(&d->env, 0, want);
	if (d->armed[T_ITR] != wait) {
		d->armed[T_ITR] = wait;
		dev_arm(&d->env, T_ITR, wait);
	}
}

static void arm(struct e1000 *d, enum e1000_timer t, uint64_t deadline)
{
	if (d->armed[t] == deadline)
		return;
	d->armed[t] = deadline;
	dev_arm(&d->env, t, deadline);
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static void rx_expire(struct e1000 *d)
{
	d->state.rx_packet_ns = d->state.rx_absolute_ns = E1000_NEVER;
	cause(d, ICR_RXT0);
}

static void tx_expire(struct e1000 *d)
{
	d->state.tx_packet_ns = d->state.tx_absolute_ns = E1000_NEVER;
	cause(d, ICR_TXDW);
}

void e1000_settle(struct e1000 *d)
{
	struct e1000_state *s = &d->state;

	/* A delayed report goes along with an interrupt that comes anyway. */
	if ((get(d, ICR) & get(d, IMS)) &&
	    earlier(s->tx_packet_ns, s->tx_absolute_ns) != E1000_NEVER)
		tx_expire(d);
	arm(d, T_RX, earlier(s->rx_packet_ns, s->rx_absolute_ns));
	arm(d, T_TX, earlier(s->tx_packet_ns, s->tx_absolute_ns));
	arm(d, T_AN, s->an_ns);
	arm(d, T_KICK, d->kick ? dev_now_ns(&d->env) : E1000_NEVER);
	update_line(d);
	/* A write that takes the line back is to be through when STATUS was read. */
	dev_shadow(&d->env, S_STATUS, get(d, STATUS), !s->line);
	dev_shadow(&d->env, S_CAUSES, s->starved ? ~0u : get(d, ICR), true);
}

static void e1000_timer(void *dev, unsigned id)
{
	struct e1000 *d = dev;
	struct e1000_state *s = &d->state;
	uint64_t now = dev_now_ns(&d->env);

	d->armed[id] = E1000_NEVER;
	if (now >= earlier(s->rx_packet_ns, s->rx_absolute_ns))
		rx_expire(d);
	if (now >= earlier(s->tx_packet_ns, s->tx_absolute_ns))
		tx_expire(d);
	if (now >= s->an_ns)
		phy_negotiated(d);
	if (id == T_KICK)
		tx_run(d);
	e1000_settle(d);
}

/* Power-on values (chapter 13), as far as they are not 0. */
static void mac_reset(struct e1000 *d, bool power_on)
{
	struct e1000_state *s = &d->state;
	uint32_t pba = power_on ? 0x00100030 : get(d, PBA); /* only power loses it (13.4.27) */

	memset(s->reg, 0, sizeof(s->reg));
	set(d, CTRL, CTRL_FD | CTRL_1000);
	set(d, LEDCTL, 0x07068302);
	set(d, PBA, pba);
	set(d, RXDCTL, 0x00010000);
	set(d, EECD, 0x10); /* flash writes disabled */
	memset(s->ctx, 0, sizeof(s->ctx));
	s->last_irq_ns = 0;
	s->rx_packet_ns = s->rx_absolute_ns = E1000_NEVER;
	s->tx_packet_ns = s->tx_absolute_ns = E1000_NEVER;
	s->ioaddr = 0;
	eeprom_reload(d);
	tx_forget(d);
	rx_resume(d); /* what waited outside is lost now: the receiver is off */
	mac_link_update(d);
	set(d, ICR, 0);
}

static void write_ctrl(struct e1000 *d, uint32_t v)
{
	if (v & CTRL_PHY_RST)
		phy_reset(d);
	if (v & CTRL_RST) {
		mac_reset(d, false);
		return;
	}
	set(d, CTRL, v & ~CTRL_PHY_RST);
	mac_link_update(d);
}

static void write_delay(struct e1000 *d, uint32_t off, uint32_t v)
{
	set(d, off, v & 0xffff);
	if (!(v & DELAY_FPD))
		return;
	if (off == RDTR && d->state.rx_packet_ns != E1000_NEVER)
		rx_expire(d);
	if (off == TIDV && d->state.tx_packet_ns != E1000_NEVER)
		tx_expire(d);
}

static void hold(struct e1000 *d, uint32_t off, uint32_t v)
{
	for (unsigned i = 0; i < sizeof(masks) / sizeof(masks[0]); i++)
		if (masks[i].off == off)
			v &= masks[i].mask;
	if (off >= RA && off < RA + 128 && (off & 4))
		v &= 0x8003ffff; /* RAH */
	set(d, off, v);
}

static void reg_write(struct e1000 *d, uint32_t off, uint32_t v)
{
	off = canonical(off);
	if (off >= REGS_END || (off >= STATS && off < STATS_END))
		return;
	switch (off) {
	case CTRL: write_ctrl(d, v); break;
	case STATUS: break;
	case EECD: eecd_write(d, v); break;
	case EERD: eerd_write(d, v); break;
	case MDIC: mdic_write(d, v); break;
	case CTRL_EXT:
		if (v & CTRL_EXT_EE_RST)
			eeprom_reload(d);
		set(d, off, v & ~CTRL_EXT_EE_RST);
		break;
	case ICR: set(d, ICR, get(d, ICR) & ~v); break;
	case ICS: cause(d, v & ICR_ALL); break;
	case IMS: set(d, IMS, get(d, IMS) | (v & ICR_ALL)); break;
	case IMC: set(d, IMS, get(d, IMS) & ~v); break;
	case RDTR:
	case TIDV: write_delay(d, off, v); break;
	case TDBAL:
	case TDBAH:
	case TDLEN:
	case TDH:
		hold(d, off, v);
		tx_forget(d);
		break;
	case TCTL:
	case TDT:
		hold(d, off, v);
		tx_run(d);
		break;
	case RCTL:
	case RDBAL:
	case RDBAH:
	case RDLEN:
	case RDH:
	case RDT:
		hold(d, off, v);
		rx_resume(d);
		break;
	default: hold(d, off, v);
	}
}

static uint32_t read_stats(struct e1000 *d, uint32_t off)
{
	uint32_t v = d->state.reg[off / 4];

	/* The 64-bit ones are read low half first, and the high half clears both. */
	if (off == GORCL || off == GOTCL || off == TORL || off == TOTL)
		return v;
	if (off == GORCH || off == GOTCH || off == TORH || off == TOTH)
		d->state.reg[off / 4 - 1] = 0;
	d->state.reg[off / 4] = 0;
	return v;
}

static uint32_t reg_read(struct e1000 *d, uint32_t off)
{
	uint32_t v;

	off = canonical(off);
	if (off >= REGS_END)
		return 0;
	if (off >= STATS && off < STATS_END)
		return read_stats(d, off);
	v = d->state.reg[off / 4];
	if (off == EECD)
		v = eecd_read(d);
	if (off == ICR)
		set(d, ICR, 0);
	return v;
}

static void access_cfg(struct e1000 *d, struct dev_access *a)
{
	bool was = bus_master(d);

	pci_cfg_access(d->state.cfg, regs, N_REGS, a);
	if (!a->write)
		return;
	if (pci_cfg_hits(a, PCI_COMMAND, 2) || pci_cfg_hits(a, BAR_MEM, 12)) {
		dev_place(&d->env, R_MEM, pci_cfg_mem_bar(d->state.cfg, BAR_MEM));
		dev_place(&d->env, R_IO, pci_cfg_io_bar(d->state.cfg, BAR_IO));
	}
	if (bus_master(d) && !was) {
		tx_run(d);
		rx_resume(d);
	}
}

static enum dev_rc e1000_access(void *dev, struct dev_access *a)
{
	struct e1000 *d = dev;
	uint32_t off = a->offset;

	if (a->region == R_CFG) {
		access_cfg(d, a);
		e1000_settle(d);
		return DEV_OK;
	}
	if (off & 3)
		return DEV_NO_REG; /* "must be accessed as double words" (13.1) */
	if (a->region == R_IO) {
		if (off == IOADDR) {
			if (a->write)
				d->state.ioaddr = (uint32_t)a->data;
			else
				a->data = d->state.ioaddr;
			return DEV_OK;
		}
		off = d->state.ioaddr;
		if (a->offset != IODATA || off >= 0x20000 || (off & 3))
			return DEV_NO_REG;
	}
	if (a->write)
		reg_write(d, off, (uint32_t)a->data);
	else
		a->data = reg_read(d, off);
	e1000_settle(d);
	return DEV_OK;
}

static void e1000_reset(void *dev)
{
	struct e1000 *d = dev;

	pci_cfg_reset(d->state.cfg, regs, N_REGS);
	phy_reset(d);
	mac_reset(d, true);
	dev_place(&d->env, R_MEM, DEV_UNPLACED);
	dev_place(&d->env, R_IO, DEV_UNPLACED);
	e1000_settle(d);
}

static int e1000_init(void *dev, const struct dev_env *env, const void *cfg)
{
	struct e1000 *d = dev;

	d->env = *env;
	d->net = ((const struct e1000_cfg *)cfg)->net;
	if (!d->net)
		return -1;
	d->net->receive = rx_receive;
	d->net->sent_room = tx_room;
	d->net->link_changed = phy_link_changed;
	d->net->owner = d;
	for (unsigned i = 0; i < N_TIMERS; i++)
		d->armed[i] = E1000_NEVER;
	eeprom_init(d, d->net->mac);
	e1000_reset(d);
	return 0;
}

static bool e1000_sane(const void *dev)
{
	const struct e1000 *d = dev;
	const struct e1000_state *s = &d->state;

	for (unsigned i = 0; i < sizeof(masks) / sizeof(masks[0]); i++)
		if (d->state.reg[masks[i].off / 4] & ~masks[i].mask)
			return false;
	return s->line <= 1 && s->starved <= 1 && !(get(d, ICR) & ~ICR_ALL) &&
	       !(get(d, IMS) & ~ICR_ALL) && (!s->line || (get(d, ICR) & get(d, IMS))) &&
	       !((get(d, RDTR) | get(d, TIDV)) & ~0xffffu) && pci_cfg_valid(s->cfg, regs, N_REGS) &&
	       phy_sane(d) && tx_sane(d);
}

static int e1000_loaded(void *dev)
{
	struct e1000 *d = dev;

	if (!tx_loaded(d) || !e1000_sane(d)) {
		eeprom_init(d, d->net->mac);
		e1000_reset(d);
		return -1;
	}
	dev_place(&d->env, R_MEM, pci_cfg_mem_bar(d->state.cfg, BAR_MEM));
	dev_place(&d->env, R_IO, pci_cfg_io_bar(d->state.cfg, BAR_IO));
	e1000_settle(d);
	return 0;
}

const struct dev_class e1000_class = {
	.name = "e1000",
	.size = sizeof(struct e1000),
	.state_off = offsetof(struct e1000, state),
	.state_size = sizeof(struct e1000_state),
	.regions = regions,
	.n_regions = sizeof(regions) / sizeof(regions[0]),
	.n_irqs = 1,
	.n_timers = N_TIMERS,
	.fast = fast,
	.n_fast = sizeof(fast) / sizeof(fast[0]),
	.init = e1000_init,
	.reset = e1000_reset,
	.access = e1000_access,
	.timer = e1000_timer,
	.loaded = e1000_loaded,
	.sane = e1000_sane,
};
