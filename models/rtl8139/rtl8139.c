/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rtl8139.c - Realtek RTL8139C(L)+ (data sheet 1.6) and RTL8139C(L): configuration space, registers, EEPROM,
 * PHY, timer, the class.
 *
 * The medium is a full-duplex link of 100 Mbit/s (or what the guest restricts negotiation to; it changes
 * nothing but what registers say) without collisions or bit errors.  Thresholds, burst sizes, early
 * interrupts, flow control, LEDs and wake-up frames are registers only.  There is no power management capability (PMEn
 * is as the EEPROM would have it: off), no boot ROM and no VPD.
 */
#include "models/rtl8139/rtl8139_int.h"

#define TICK_NS 30u /* TCTR counts the PCI clock */

#define MASTER_ABORT 0x20u /* PCI_STATUS + 1 */

#define BAR_IO  PCI_BAR0
#define BAR_MEM (PCI_BAR0 + 4)

#define EEM         0xc0u
#define EEM_NORMAL  0x00u
#define EEM_LOAD    0x40u
#define EEM_PROGRAM 0x80u
#define EEM_CONFIG  0xc0u
#define EE_CS       0x08u
#define EE_SK       0x04u
#define EE_DI       0x02u
#define EE_DO       0x01u

#define DTCCR_CMD 0x08u

#define TPPOLL_SWINT 0x01u

#define BMCR_RESET   0x8000u
#define BMCR_SPEED   0x2000u
#define BMCR_ANE     0x1000u
#define BMCR_RESTART 0x0200u
#define BMCR_DUPLEX  0x0100u
#define BMCR_LOCKED  (BMCR_SPEED | BMCR_ANE | BMCR_DUPLEX)

#define BMSR_DONE 0x0020u
#define BMSR_LINK 0x0004u
#define AN_100    0x0180u

#define MSR_SPEED_10 0x08u
#define MSR_LINKB    0x04u

/* Undocumented, but Linux's 8139too takes LinkChg for a link change only with the first of them. */
#define CSCR_LINK_CHANGED 0x0800u
#define CSCR_LINK_OK      0x0400u

static const struct pci_reg cfg_regs[] = {
	{ PCI_VENDOR, 4, 0x813910ec, 0, 0 },
	{ PCI_COMMAND, 4, 0x02800000, 0x00000157, 0xf9000000 },
	{ PCI_REVISION, 4, 0x02000020, 0, 0 },
	/* Cache line size and latency: Linux's 8139cp insists on memory write and invalidate. */
	{ PCI_LATENCY - 1, 2, 0x0000, 0xffff, 0 },
	{ BAR_IO, 4, 0x00000001, 0xffffff00, 0 },
	{ BAR_MEM, 4, 0x00000000, 0xffffff00, 0 },
	{ PCI_SUBSYSTEM, 4, 0x813910ec, 0, 0 },
	{ PCI_INT_LINE, 4, 0x40200100, 0x000000ff, 0 },
};
#define N_CFG (sizeof(cfg_regs) / sizeof(cfg_regs[0]))

/* What a software reset leaves, and which bits the guest writes.  Not here: TSD0 to TSD3 (and DTCCR), and what
 * keep[] below saves. */
static const struct pci_reg regs[] = {
	{ ISR, 2, 0, 0, ISR_ALL },
	{ IMR, 2, 0, ISR_ALL, 0 },
	{ CAPR, 2, 0xfff0, 0xffff, 0 },
	{ TSAD0, 16, 0, ~0u, 0 },
	{ CR, 1, 0, CR_RST | CR_RE | CR_TE, 0 },
	{ IDR0, 6, 0, ~0u, 0 },
	{ MAR0, 8, 0, ~0u, 0 },
	{ RBSTART, 4, 0, ~0u, 0 },
	{ TCR, 4, 0x77800000, 0x030f07f0, 0 },
	{ RCR, 4, 0, 0x0f03ffbf, 0 },
	{ CR9346, 1, 0, 0xce, 0 },
	{ CONFIG1, 1, 0x0c, 0xf3, 0 },
	{ TIMERINT, 4, 0, ~0u, 0 },
	{ CONFIG3, 1, 0, 0xf1, 0 },
	{ CONFIG4, 1, 0, 0xfd, 0 },
	{ MULINT, 2, 0, 0x0fff, 0 },
	{ RERID, 1, 0x10, 0, 0 },
	{ BMCR, 2, BMCR_SPEED | BMCR_ANE | BMCR_DUPLEX, BMCR_LOCKED, 0 },
	{ BMSR, 2, 0x7809, 0, 0 },
	{ ANAR, 2, 0x05e1, 0x25e0, 0 },
	{ FCSC, 2, 0, 0, 0 },
	{ NWAYTR, 2, 0, 0x00ff, 0 },
	{ CSCR, 2, 0x01c0, 0x83ef, 0 },
	{ PHY1_PARM, 12, 0, ~0u, 0 },
	{ CRC0, 0x50, 0, ~0u, 0 },
	{ CONFIG5, 1, 0, 0x7f, 0 },
	{ CPCR, 2, 0, 0x027b, 0 },
	{ RDSAR, 8, 0, ~0u, 0 },
	{ ETTHR, 1, 0, 0x3f, 0 },
};
#define N_REGS (sizeof(regs) / sizeof(regs[0]))

/* Software reset leaves these alone. */
static const struct {
	uint8_t off, len;
} keep[] = {
	{ IDR0, 6 },    { MAR0, 8 },      { CONFIG0, 2 }, { CONFIG3, 2 },
	{ BMCR, 0x0c }, { NWAYTR, 0x14 }, { CRC0, 0x50 }, { CONFIG5, 1 },
};

enum { R_IO, R_MEM, R_CFG };
enum { T_TIMER, T_POLL, T_QUIET };

/* Linux's 8139cp may let receive interrupts through while its poll is scheduled already (an interrupt that comes between
 * napi_complete_done() and its write of IMR).  Then it acknowledges what it can and leaves the rest to the poll, which does not
 * get to run: INTA# is asserted again as soon as the handler is left.  On a board some instructions pass until then. */
#define STORM    4u       /* acknowledgements in a row, in C+ mode, that did not take INTA# back */
#define QUIET_NS 1000000u /* so long it is not asserted then */

#define SIZES (DEV_SIZE_1 | DEV_SIZE_2 | DEV_SIZE_4)

static const struct dev_region regions[] = {
	[R_IO] = { "rtl8139-io", DEV_PIO, DEV_UNPLACED, 256, SIZES },
	[R_MEM] = { "rtl8139", DEV_MMIO, DEV_UNPLACED, 256, SIZES },
	[R_CFG] = { "cfg", DEV_PCICFG, 0, PCI_CFG_SIZE, SIZES },
};

/* Late: addresses of frames to come, and in C mode how far the ring has been read; acknowledgements that don't have to take
 * INTA# back, and no frame waits for what they bring along; IMR, while no cause is set that it lets through, nor INTA# asserted.
 * TPPoll kicks: frames are fetched while the guest goes on.  Not TSD, which Linux's 8139too reads back at once.
 *
 * Without the model: reads that drivers make of memory in each interrupt, in C mode for each frame.  ISR is read
 * from the card while that makes it look at its descriptors again. */
enum { S_ISR, S_IMR, S_CR, S_TSD, S_WANTED = S_TSD + 4, S_CAUSES };
#define DIRTY(s) (1u << (s))
#define LATE(r)                                                                                \
	{ .kind = DEV_POSTED, .region = r, .offset = TSAD0, .len = 16, .own = DEV_NO_SHADOW }, \
		{ .kind = DEV_POSTED,                                                          \
		  .region = r,                                                                 \
		  .offset = CAPR,                                                              \
		  .len = 2,                                                                    \
		  .dirties = DIRTY(S_ISR) | DIRTY(S_CR),                                       \
		  .own = DEV_NO_SHADOW },                                                      \
	{                                                                                      \
		.kind = DEV_KICK, .region = r, .offset = TPPOLL, .len = 1,                     \
		.dirties = DIRTY(S_ISR), .own = DEV_NO_SHADOW, .not_if = TPPOLL_SWINT          \
	}
#define SHADOW(off, n)                                                       \
	{                                                                    \
		.kind = DEV_SHADOW, .region = R_MEM, .offset = off, .len = n \
	}
static const struct dev_fast fast[] = {
	[S_ISR] = SHADOW(ISR, 2),
	[S_IMR] = SHADOW(IMR, 2),
	[S_CR] = SHADOW(CR, 1),
	[S_TSD] = SHADOW(TSD0, 4),
	SHADOW(TSD0 + 4, 4),
	SHADOW(TSD0 + 8, 4),
	SHADOW(TSD0 + 12, 4),
	[S_WANTED] = { .kind = DEV_SHADOW }, /* acknowledgements of this are wanted at once */
	[S_CAUSES] = { .kind = DEV_SHADOW }, /* letting them through is wanted at once; or IMR has no such bits */
	LATE(R_IO),
	LATE(R_MEM),
	{ .kind = DEV_POSTED,
	  .region = R_MEM,
	  .offset = ISR,
	  .len = 2,
	  .dirties = DIRTY(S_CAUSES),
	  .own = S_WANTED,
	  .if_clear = true,
	  .clears = true },
	{ .kind = DEV_POSTED,
	  .region = R_MEM,
	  .offset = IMR,
	  .len = 2,
	  .own = S_CAUSES,
	  .if_clear = true,
	  .reads_back = true },
};

static void update_line(struct rtl8139 *d)
{
	bool want = reg16(d, ISR) & reg16(d, IMR);

	if (!want)
		d->state.quiet_ns = UINT64_MAX;
	d->state.line = want && d->state.quiet_ns == UINT64_MAX;
	dev_arm(&d->env, T_QUIET, d->state.quiet_ns);
	dev_irq(&d->env, 0, d->state.line);
}

void rtl_interrupt(struct rtl8139 *d, unsigned bits)
{
	set_reg(d, ISR, reg16(d, ISR) | bits, 2);
	update_line(d);
}

void rtl_bus_error(struct rtl8139 *d)
{
	d->state.cfg[PCI_STATUS + 1] |= MASTER_ABORT;
	rtl_interrupt(d, ISR_SERR);
}

bool rtl_link(const struct rtl8139 *d)
{
	return d->net && d->net->link;
}

bool rtl_desc(struct rtl8139 *d, uint64_t base, unsigned n, uint32_t desc[4])
{
	uint8_t raw[DESC_SIZE];

	if (!dev_dma_read(&d->env, (gpa_t){ base + n * DESC_SIZE }, raw, sizeof(raw)))
		return false;
	for (unsigned i = 0; i < 4; i++)
		desc[i] = pci_cfg_get32(raw, i * 4);
	return true;
}

/* At the end of each entry. */
void rtl_settle(struct rtl8139 *d)
{
	struct rtl_state *s = &d->state;
	uint32_t causes = reg16(d, ISR) & reg16(d, IMR);

	s->reg[CR] = (uint8_t)((s->reg[CR] & ~CR_BUFE) | (rtl_rx_empty(d) ? CR_BUFE : 0));
	dev_shadow(&d->env, S_ISR, reg16(d, ISR), !d->held);
	dev_shadow(&d->env, S_IMR, reg16(d, IMR), true);
	dev_shadow(&d->env, S_CR, s->reg[CR], true);
	for (unsigned i = 0; i < 4; i++)
		dev_shadow(&d->env, S_TSD + i, reg32(d, TSD0 + i * 4), !cplus(d));
	/* While one cause of it stays, the line does; drivers for C+ leave ROK for later. */
	dev_shadow(&d->env, S_WANTED, s->line ? causes & -causes : 0, !d->held);
	dev_shadow(&d->env, S_CAUSES, reg16(d, ISR) | ~ISR_ALL, !d->held && !s->line);
}

/* The guest gives descriptors back without a word, and is only looked at when a frame waits for one. */
void rtl_poll_soon(struct rtl8139 *d)
{
	if (d->poll_ns < 256000000)
		d->poll_ns = d->poll_ns ? d->poll_ns * 2 : 1000000;
	dev_arm(&d->env, T_POLL, dev_now_ns(&d->env) + d->poll_ns);
}

/* TCTR runs through all its values: it comes to TimerInt once in 2^32 ticks. */
static void set_timer(struct rtl8139 *d)
{
	uint32_t at = reg32(d, TIMERINT);
	uint64_t now = dev_now_ns(&d->env), lap = (uint64_t)TICK_NS << 32, due = UINT64_MAX;

	if (at) {
		due = d->state.tctr_ns + (uint64_t)at * TICK_NS;
		if (due <= now)
			due += ((now - due) / lap + 1) * lap;
	}
	d->state.timer_ns = due;
	dev_arm(&d->env, T_TIMER, due);
}

/* What the EEPROM holds as the card leaves the factory: identification, then byte pairs as in the data sheet's
 * "EEPROM contents". */
static void fill_eeprom(struct rtl8139 *d)
{
	uint16_t *w = d->state.ee.word;

	memset(w, 0, sizeof(d->state.ee.word));
	w[0] = 0x8129;
	w[1] = 0x10ec;
	w[2] = 0x8139;
	w[3] = 0x10ec;
	w[4] = 0x8139;
	w[5] = 0x4020;                       /* MNGNT, MXLAT */
	w[6] = 0x10 | BMCR_LOCKED >> 8 << 8; /* CONFIG3's neighbour: MSR, BMCR */
	for (unsigned i = 0; i < 3; i++)
		w[7 + i] = (uint16_t)(d->mac[i * 2] | d->mac[i * 2 + 1] << 8);
	w[11] = 0x0c << 8; /* CONFIG0, CONFIG1 */
}

static void load_eeprom(struct rtl8139 *d)
{
	const uint16_t *w = d->state.ee.word;

	for (unsigned i = 0; i < 3; i++)
		set_reg(d, IDR0 + i * 2, w[7 + i], 2);
	d->state.reg[CONFIG1] = 0x0c | (w[11] >> 8 & 0xf3);
}

static void soft_reset(struct rtl8139 *d)
{
	struct rtl_state *s = &d->state;
	uint8_t old[256];

	memcpy(old, s->reg, sizeof(old));
	pci_cfg_reset(s->reg, regs, N_REGS);
	for (unsigned i = 0; i < sizeof(keep) / sizeof(keep[0]); i++)
		memcpy(s->reg + keep[i].off, old + keep[i].off, keep[i].len);
	for (unsigned i = 0; i < 4; i++)
		set_reg(d, TSD0 + i * 4, TSD_OWN, 4);
	if (d->c_only)
		set_reg(d, TCR, 0x77000000, 4);
	s->dtccr = 0;
	s->tx_next[0] = s->tx_next[1] = s->rx_next = s->poll = s->storm = 0;
	rtl_tx_drop(d, ~0u);
	set_timer(d);
	update_line(d);
	rtl_rx_room(d);
}

/* Registers that show what is going on, as far as an access sees them. */
static void refresh(struct rtl8139 *d, const struct dev_access *a)
{
	uint8_t *reg = d->state.reg;
	unsigned all = 0;

	if (pci_cfg_hits(a, TCTR, 4))
		set_reg(d, TCTR, (uint32_t)((dev_now_ns(&d->env) - d->state.tctr_ns) / TICK_NS), 4);
	if (pci_cfg_hits(a, CR9346, 1))
		reg[CR9346] = (uint8_t)((reg[CR9346] & ~EE_DO) |
					((reg[CR9346] & EEM) == EEM_PROGRAM ? d->state.ee.out : 0));
	if (pci_cfg_hits(a, TPPOLL, 1))
		reg[TPPOLL] = d->state.poll;
	if (pci_cfg_hits(a, TSAD, 2)) {
		for (unsigned i = 0; i < 4; i++) {
			uint32_t tsd = reg32(d, TSD0 + i * 4);

			all |= (tsd & TSD_TOK ? 0x1000u : 0) << i |
			       (tsd & TSD_TUN ? 0x100u : 0) << i |
			       (tsd & TSD_TABT ? 0x10u : 0) << i | (tsd & TSD_OWN ? 1u : 0) << i;
		}
		set_reg(d, TSAD, all, 2);
	}
	if (a->offset + a->size > MSR && a->offset < CSCR + 2) { /* the PHY */
		bool up = d->state.link, an = reg16(d, BMCR) & BMCR_ANE;
		bool is_100 = an ? reg16(d, ANAR) & AN_100 : reg16(d, BMCR) & BMCR_SPEED;

		reg[MSR] = 0x10 | (up ? 0 : MSR_LINKB) | (is_100 ? 0 : MSR_SPEED_10);
		set_reg(d, BMSR, 0x7809 | (up ? BMSR_LINK : 0) | (up && an ? BMSR_DONE : 0), 2);
		set_reg(d, ANLPAR, up && an ? 0x45e1 : 0, 2);
		set_reg(d, ANER, up && an ? 1 : 0, 2);
		set_reg(d, CSCR, (reg16(d, CSCR) & ~CSCR_LINK_OK) | (up ? CSCR_LINK_OK : 0), 2);
	}
}

static void reg_read(struct rtl8139 *d, struct dev_access *a)
{
	refresh(d, a);
	pci_cfg_access(d->state.reg, regs, N_REGS, a);
	if (cplus(d) && pci_cfg_hits(a, DTCCR, 16)) {
		a->data = 0;
		for (unsigned i = 0; i < a->size; i++) {
			unsigned off = a->offset + i - DTCCR;

			if (off < 8)
				a->data |= (d->state.dtccr >> off * 8 & 0xff) << i * 8;
		}
	}
	if (pci_cfg_hits(a, CSCR + 1, 1))
		d->state.reg[CSCR + 1] &= (uint8_t) ~(CSCR_LINK_CHANGED >> 8);
	if (pci_cfg_hits(a, ISR, 2))
		rtl_rx_room(d); /* a driver that polls */
}

static void dump_tally(struct rtl8139 *d)
{
	uint64_t at =
		bus_addr(d, (uint32_t)d->state.dtccr & ~63u, (uint32_t)(d->state.dtccr >> 32));

	if (may_master(d) && !dev_dma_write(&d->env, (gpa_t){ at }, &d->state.tally, 64))
		rtl_bus_error(d);
}

static void write_dtccr(struct rtl8139 *d, const struct dev_access *a)
{
	for (unsigned i = 0; i < a->size; i++) {
		unsigned at = a->offset + i - DTCCR;

		if (at < 8) {
			d->state.dtccr &= ~(0xffull << at * 8);
			d->state.dtccr |= (a->data >> i * 8 & 0xff) << at * 8;
		}
	}
	if (d->state.dtccr & DTCCR_CMD)
		dump_tally(d);
	d->state.dtccr &= ~63ull;
}

static void write_cr(struct rtl8139 *d, uint8_t old)
{
	uint8_t *cr = &d->state.reg[CR];

	if (*cr & CR_RST) {
		soft_reset(d);
		return;
	}
	if (~old & *cr & CR_RE)
		rtl_rx_start(d);
	/* What is on its way belongs to a ring that the driver may give up now. */
	if (old & ~*cr & CR_TE) {
		rtl_tx_drop(d, 1u << Q_NORMAL | 1u << Q_HIGH);
		d->state.poll = 0;
	}
	rtl_rx_room(d);
	rtl_tx_run(d);
}

static void write_9346(struct rtl8139 *d)
{
	uint8_t *v = &d->state.reg[CR9346];

	if ((*v & EEM) == EEM_PROGRAM) {
		ee93_pins(&d->state.ee, *v & EE_CS, *v & EE_SK, *v & EE_DI);
	} else {
		ee93_pins(&d->state.ee, false, false, false);
		if ((*v & EEM) == EEM_LOAD)
			load_eeprom(d);
		if ((*v & EEM) != EEM_CONFIG)
			*v = 0;
	}
}

static void link_event(struct rtl8139 *d)
{
	set_reg(d, CSCR, reg16(d, CSCR) | CSCR_LINK_CHANGED, 2);
	rtl_interrupt(d, ISR_LINKCHG);
}

static void write_bmcr(struct rtl8139 *d, const struct dev_access *a)
{
	uint32_t v;

	if (!pci_cfg_hits(a, BMCR + 1, 1))
		return;
	v = (uint32_t)(a->data >> (BMCR + 1 - a->offset) * 8 & 0xff) << 8;
	/* Both are over at once, and so never read as set. */
	if (v & BMCR_RESET) {
		set_reg(d, BMCR, BMCR_LOCKED, 2);
		set_reg(d, ANAR, 0x05e1, 2);
	}
	if ((v & BMCR_RESTART) && (reg16(d, BMCR) & BMCR_ANE) && d->state.link)
		link_event(d);
}

/* C+ mode.  What was to be sent belonged to the ring before. */
static void new_tx_ring(struct rtl8139 *d, unsigned queue)
{
	rtl_tx_drop(d, 1u << queue);
	d->state.poll &= (uint8_t)~TPPOLL_BIT(queue);
	d->state.tx_next[queue] = 0;
}

static void reg_write(struct rtl8139 *d, struct dev_access *a)
{
	uint8_t *reg = d->state.reg, cr = reg[CR], cfg1 = reg[CONFIG1], cfg3 = reg[CONFIG3],
		cfg4 = reg[CONFIG4], poll = 0;
	uint16_t bmcr = reg16(d, BMCR);

	if (pci_cfg_hits(a, TSD0, 16)) {
		if (cplus(d))
			write_dtccr(d, a);
		else if (a->size == 4 && !(a->offset & 3))
			rtl_tsd_write(d, (a->offset - TSD0) / 4, (uint32_t)a->data);
		return;
	}
	pci_cfg_access(reg, regs, N_REGS, a);
	if ((reg[CR9346] & EEM) != EEM_CONFIG) {
		reg[CONFIG1] = cfg1;
		reg[CONFIG3] = cfg3;
		reg[CONFIG4] = cfg4;
		set_reg(d, BMCR, (reg16(d, BMCR) & ~BMCR_LOCKED) | (bmcr & BMCR_LOCKED), 2);
	}
	if (d->c_only)
		set_reg(d, CPCR, 0, 2);
	if (pci_cfg_hits(a, ISR, 2) || pci_cfg_hits(a, IMR, 2)) {
		update_line(d);
		d->state.storm = pci_cfg_hits(a, IMR, 2) || !d->state.line || !cplus(d) ?
					 0 :
					 d->state.storm + 1;
		if (d->state.storm == STORM) {
			d->state.storm = 0;
			d->state.quiet_ns = dev_now_ns(&d->env) + QUIET_NS;
			update_line(d);
		}
		rtl_rx_room(d);
	}
	if (pci_cfg_hits(a, ISR, 2) && rtl_rx_left(d)) {
		d->poll_ns = 0;
		rtl_poll_soon(d);
	}
	if (pci_cfg_hits(a, CAPR, 2))
		rtl_rx_room(d);
	if (pci_cfg_hits(a, CR, 1))
		write_cr(d, cr);
	if (pci_cfg_hits(a, RBSTART, 4))
		rtl_rx_start(d);
	if (pci_cfg_hits(a, RCR, 4) || pci_cfg_hits(a, TCR, 4))
		rtl_rx_room(d);
	if (pci_cfg_hits(a, TNPDS, 8))
		new_tx_ring(d, Q_NORMAL);
	if (pci_cfg_hits(a, THPDS, 8))
		new_tx_ring(d, Q_HIGH);
	if (pci_cfg_hits(a, RDSAR, 8)) {
		d->state.rx_next = 0;
		rtl_rx_room(d);
	}
	if (pci_cfg_hits(a, TCTR, 4)) {
		d->state.tctr_ns = dev_now_ns(&d->env);
		set_timer(d);
	}
	if (pci_cfg_hits(a, TIMERINT, 4))
		set_timer(d);
	if (pci_cfg_hits(a, MPC, 4))
		set_reg(d, MPC, 0, 4);
	if (pci_cfg_hits(a, CR9346, 1))
		write_9346(d);
	if (pci_cfg_hits(a, BMCR, 2))
		write_bmcr(d, a);
	if (pci_cfg_hits(a, TPPOLL, 1) && !d->c_only) {
		poll = (uint8_t)(a->data >> (TPPOLL - a->offset) * 8);
		if (poll & TPPOLL_SWINT)
			rtl_interrupt(d, ISR_SWINT);
		d->state.poll |= poll & (TPPOLL_HPQ | TPPOLL_NPQ);
		rtl_tx_run(d);
	}
}

static void place(struct rtl8139 *d)
{
	dev_place(&d->env, R_IO, pci_cfg_io_bar(d->state.cfg, BAR_IO));
	dev_place(&d->env, R_MEM, pci_cfg_mem_bar(d->state.cfg, BAR_MEM));
}

static void access_cfg(struct rtl8139 *d, struct dev_access *a)
{
	pci_cfg_access(d->state.cfg, cfg_regs, N_CFG, a);
	if (!a->write && d->c_only && pci_cfg_hits(a, PCI_REVISION, 1))
		a->data ^= 0x30ull << (PCI_REVISION - a->offset) * 8;
	if (!a->write)
		return;
	if (pci_cfg_hits(a, PCI_COMMAND, 2) || pci_cfg_hits(a, BAR_IO, 8))
		place(d);
	if (pci_cfg_hits(a, PCI_COMMAND, 1))
		rtl_tx_run(d); /* it may have waited for leave to master the bus */
}

static enum dev_rc rtl_access(void *dev, struct dev_access *a)
{
	struct rtl8139 *d = dev;

	if (a->region == R_CFG)
		access_cfg(d, a);
	else if (a->write)
		reg_write(d, a);
	else
		reg_read(d, a);
	rtl_settle(d);
	return DEV_OK;
}

static void rtl_timer(void *dev, unsigned id)
{
	struct rtl8139 *d = dev;

	if (id == T_POLL) {
		bool full = !rtl_rx_room(d);

		if (rtl_rx_remind(d) || full)
			rtl_poll_soon(d);
		rtl_tx_run(d);
	} else if (id == T_QUIET) {
		d->state.quiet_ns = UINT64_MAX;
		update_line(d);
	} else {
		set_timer(d);
		rtl_interrupt(d, ISR_TIMEOUT);
	}
	rtl_settle(d);
}

static void link_changed(void *owner)
{
	struct rtl8139 *d = owner;

	if (d->state.link == rtl_link(d))
		return;
	d->state.link = rtl_link(d);
	link_event(d);
	rtl_settle(d);
}

static void rtl_reset(void *dev)
{
	struct rtl8139 *d = dev;
	struct rtl_state *s = &d->state;

	/* The EEPROM keeps what it has; all else starts anew. */
	pci_cfg_reset(s->cfg, cfg_regs, N_CFG);
	pci_cfg_reset(s->reg, regs, N_REGS);
	memset(&s->tally, 0, sizeof(s->tally));
	s->pad = 0;
	ee93_reset(&s->ee);
	load_eeprom(d);
	s->tctr_ns = dev_now_ns(&d->env);
	s->link = rtl_link(d);
	soft_reset(d);
	place(d);
	rtl_settle(d);
}

static int rtl_init(void *dev, const struct dev_env *env, const void *cfg)
{
	const struct rtl8139_cfg *c = cfg;
	struct rtl8139 *d = dev;

	d->env = *env;
	d->net = c->net;
	d->c_only = c->c_only;
	memcpy(d->mac, c->net ? c->net->mac : c->mac, 6);
	if (d->mac[0] & 1)
		return -1;
	rtl_tx_init(d);
	if (d->net) {
		d->net->receive = rtl_receive;
		d->net->sent_room = rtl_sent_room;
		d->net->link_changed = link_changed;
		d->net->owner = d;
	}
	fill_eeprom(d);
	rtl_reset(d);
	return 0;
}

static bool rtl_sane(const void *dev)
{
	const struct rtl8139 *d = dev;
	const struct rtl_state *s = &d->state;
	uint8_t reg[256];
	/* What the model writes and the guest does not, aside: any value is one. */
	static const struct {
		uint8_t off, len;
	} ours[] = { { TSD0, 16 }, { CBR, 2 },    { TCTR, 4 }, { MPC, 3 },
		     { MSR, 1 },   { TSAD, 2 },   { BMSR, 2 }, { ANLPAR, 4 },
		     { CSCR, 2 },  { TPPOLL, 1 }, { CR, 1 },   { CR9346, 1 } };

	memcpy(reg, s->reg, sizeof(reg));
	for (unsigned i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
		for (unsigned r = 0; r < N_REGS + 1; r++) {
			if (r == N_REGS)
				memset(reg + ours[i].off, 0, ours[i].len);
			else if (regs[r].off == ours[i].off) {
				put_le(reg + ours[i].off, regs[r].value, ours[i].len);
				break;
			}
		}
	if (d->c_only)
		reg[TCR + 2] |= 0x80; /* the versions differ by this bit */
	for (unsigned i = 0; i < 4; i++) {
		uint32_t tsd = reg32(d, TSD0 + i * 4);

		if (tsd & ~(TSD_RW | TSD_CRS | TSD_TABT | TSD_TOK | TSD_TUN))
			return false;
	}
	return pci_cfg_valid(s->cfg, cfg_regs, N_CFG) && pci_cfg_valid(reg, regs, N_REGS) &&
	       !(s->reg[CR] & ~(CR_RE | CR_TE | CR_BUFE)) && !(s->reg[CR9346] & 0x30) &&
	       !(d->c_only && (cplus(d) || s->poll)) && !(s->dtccr & 0x3f) &&
	       s->tx_next[0] < DESC_RING && s->tx_next[1] < DESC_RING && s->rx_next < DESC_RING &&
	       !(s->poll & ~(TPPOLL_HPQ | TPPOLL_NPQ)) && s->line <= 1 && s->link <= 1 &&
	       s->storm < STORM && ee93_sane(&s->ee) && rtl_tx_sane(d);
}

static int rtl_loaded(void *dev)
{
	struct rtl8139 *d = dev;
	uint8_t link = d->state.link;

	/* Frames of the state before are not this one's. */
	rtl_tx_drop(d, ~0u);
	if (!rtl_sane(d) || d->state.tctr_ns > dev_now_ns(&d->env) ||
	    (d->state.quiet_ns != UINT64_MAX &&
	     d->state.quiet_ns > dev_now_ns(&d->env) + QUIET_NS)) {
		fill_eeprom(d);
		rtl_reset(d);
		return -1;
	}
	place(d);
	dev_arm(&d->env, T_TIMER, d->state.timer_ns);
	update_line(d);
	if (link != rtl_link(d))
		link_changed(d);
	rtl_rx_room(d);
	d->poll_ns = 0;
	if (rtl_rx_left(d))
		rtl_poll_soon(d);
	rtl_tx_run(d);
	rtl_settle(d);
	return 0;
}

const struct dev_class rtl8139_class = {
	.name = "rtl8139",
	.size = sizeof(struct rtl8139),
	.state_off = offsetof(struct rtl8139, state),
	.state_size = sizeof(struct rtl_state),
	.regions = regions,
	.n_regions = sizeof(regions) / sizeof(regions[0]),
	.n_irqs = 1,
	.n_timers = 3,
	.fast = fast,
	.n_fast = sizeof(fast) / sizeof(fast[0]),
	.init = rtl_init,
	.reset = rtl_reset,
	.access = rtl_access,
	.timer = rtl_timer,
	.loaded = rtl_loaded,
	.sane = rtl_sane,
};
