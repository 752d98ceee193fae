/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * phy.c - EEPROM (chapter 5; a 93C46 on a Microwire bus), PHY (chapter 11, registers of IEEE 802.3 clauses 22
 * and 40, and of Marvell's 88E1011), and the link between the two.
 *
 * The link partner is a switch that does everything but flow control.  Autonegotiation takes AN_NS: drivers
 * wait for the link change, and for seconds if it never comes.
 */
#include "models/e1000/e1000_int.h"

#define AN_NS 50000000ull

#define EECD_SK   0x01u
#define EECD_CS   0x02u
#define EECD_DI   0x04u
#define EECD_DO   0x08u
#define EECD_FWE  0x30u
#define EECD_REQ  0x40u
#define EECD_GNT  0x80u
#define EECD_PRES 0x100u

#define EERD_START 0x01u
#define EERD_DONE  0x10u

#define MDIC_WRITE 1u
#define MDIC_READ  2u
#define MDIC_R     0x10000000u
#define MDIC_I     0x20000000u
#define MDIC_E     0x40000000u
#define PHY_ADDR   1u

enum phy_reg {
	BMCR = 0,
	BMSR = 1,
	PHYID1 = 2,
	PHYID2 = 3,
	ANAR = 4,
	ANLPAR = 5,
	ANER = 6,
	GCON = 9,
	GSTATUS = 10,
	ESTATUS = 15,
	PSCON = 16,
	PSSTAT = 17,
	PIENABLE = 18,
	PISTAT = 19,
	RXERR = 21,
};

#define BMCR_RESET    0x8000u
#define BMCR_LOOPBACK 0x4000u
#define BMCR_SPEED0   0x2000u
#define BMCR_ANEN     0x1000u
#define BMCR_PDOWN    0x0800u
#define BMCR_ISOLATE  0x0400u
#define BMCR_RESTART  0x0200u
#define BMCR_DUPLEX   0x0100u
#define BMCR_SPEED1   0x0040u
#define BMCR_KEPT     0x7dc0u

#define BMSR_ABLE    0x7949u
#define BMSR_AN_DONE 0x0020u
#define BMSR_LINK    0x0004u

/* Registers that a write does not change. */
#define PHY_RO                                                                                  \
	(1u << BMSR | 1u << PHYID1 | 1u << PHYID2 | 1u << ANLPAR | 1u << ANER | 1u << GSTATUS | \
	 1u << ESTATUS | 1u << PSSTAT | 1u << PISTAT | 1u << RXERR)

/* EEPROM (table 5-2). */
enum { EE_COMPAT = 3, EE_ICW1 = 10, EE_SSID, EE_SSVID, EE_DEVID, EE_VENID, EE_ICW2, EE_SUM = 63 };

void eeprom_init(struct e1000 *d, const uint8_t mac[6])
{
	uint16_t *w = d->state.eeprom.word, sum = 0;

	memset(&d->state.eeprom, 0, sizeof(d->state.eeprom));
	ee93_reset(&d->state.eeprom);
	for (unsigned i = 0; i < 3; i++)
		w[i] = (uint16_t)(mac[i * 2] | mac[i * 2 + 1] << 8);
	w[EE_ICW1] = 0x4403; /* signature, full duplex, ids from here */
	w[EE_SSID] = 0x001e;
	w[EE_SSVID] = 0x8086;
	w[EE_DEVID] = 0x100e;
	w[EE_VENID] = 0x8086;
	w[EE_ICW2] = 0x0800; /* autonegotiation; neither PAUSE nor wake-up */
	for (unsigned i = 0; i < EE_SUM; i++)
		sum = (uint16_t)(sum + w[i]);
	w[EE_SUM] = (uint16_t)(0xbaba - sum);
}

void eeprom_reload(struct e1000 *d)
{
	const uint16_t *w = d->state.eeprom.word;

	set(d, RA, w[0] | (uint32_t)w[1] << 16);
	set(d, RA + 4, 0x80000000u | w[2]);
}

void eecd_write(struct e1000 *d, uint32_t v)
{
	set(d, EECD, v & (EECD_SK | EECD_CS | EECD_DI | EECD_FWE | EECD_REQ));
	ee93_pins(&d->state.eeprom, v & EECD_CS, v & EECD_SK, v & EECD_DI);
}

uint32_t eecd_read(const struct e1000 *d)
{
	uint32_t v = get(d, EECD);

	return v | EECD_PRES | (v & EECD_REQ ? EECD_GNT : 0) | (d->state.eeprom.out ? EECD_DO : 0);
}

void eerd_write(struct e1000 *d, uint32_t v)
{
	uint32_t addr = v >> 8 & 0xff;

	v &= 0xff00;
	if (addr < EE93_WORDS)
		v |= (uint32_t)d->state.eeprom.word[addr] << 16;
	set(d, EERD, v | EERD_DONE);
}

bool phy_loopback(const struct e1000 *d)
{
	return d->state.phy[BMCR] & BMCR_LOOPBACK;
}

static bool cable(const struct e1000 *d)
{
	return d->net->link && !(d->state.phy[BMCR] & (BMCR_PDOWN | BMCR_ISOLATE));
}

static bool phy_link(const struct e1000 *d)
{
	const struct e1000_state *s = &d->state;

	if (s->phy[BMCR] & BMCR_LOOPBACK)
		return true;
	return cable(d) && (!(s->phy[BMCR] & BMCR_ANEN) || s->an_done);
}

/* Speed (0, 1, 2: 10, 100, 1000 Mb/s) in the high bits, full duplex in bit 0. */
static unsigned phy_mode(const struct e1000 *d)
{
	const uint16_t *r = d->state.phy;

	if (!(r[BMCR] & BMCR_ANEN))
		return (r[BMCR] & BMCR_SPEED1 ? 2u :
			r[BMCR] & BMCR_SPEED0 ? 1u :
						0u)
			       << 1 |
		       !!(r[BMCR] & BMCR_DUPLEX);
	if (r[GCON] & 0x0300)
		return 2u << 1 | !!(r[GCON] & 0x0200);
	if (r[ANAR] & 0x0180)
		return 1u << 1 | !!(r[ANAR] & 0x0100);
	return !!(r[ANAR] & 0x0040);
}

/* What the MAC makes of the PHY's link (3.8.2 of the data sheet; CTRL.SLU lets it through). */
void mac_link_update(struct e1000 *d)
{
	uint32_t ctrl = get(d, CTRL), old = get(d, STATUS);
	unsigned mode = phy_mode(d), speed = mode >> 1, duplex = mode & 1;
	bool up = phy_link(d) && (ctrl & CTRL_SLU);

	if (!phy_link(d))
		d->state.link_lost = 1;
	if (ctrl & CTRL_FRCSPD)
		speed = (ctrl & CTRL_SPEED) >> 8;
	if (ctrl & CTRL_FRCDPLX)
		duplex = ctrl & CTRL_FD;
	set(d, STATUS,
	    (duplex ? STATUS_FD : 0) | (up ? STATUS_LU : 0) | speed << 6 | (mode >> 1) << 8);
	if ((old ^ get(d, STATUS)) & STATUS_LU)
		cause(d, ICR_LSC);
	if (up && !(old & STATUS_LU)) {
		tx_run(d);
		rx_resume(d);
	}
}

static void negotiate(struct e1000 *d)
{
	d->state.an_done = 0;
	d->state.an_ns = E1000_NEVER;
	if (cable(d) && (d->state.phy[BMCR] & BMCR_ANEN))
		d->state.an_ns = dev_now_ns(&d->env) + AN_NS;
	mac_link_update(d);
}

void phy_negotiated(struct e1000 *d)
{
	d->state.an_ns = E1000_NEVER;
	d->state.an_done = 1;
	mac_link_update(d);
}

void phy_link_changed(void *owner)
{
	struct e1000 *d = owner;

	negotiate(d);
	e1000_settle(d);
}

void phy_reset(struct e1000 *d)
{
	uint16_t *r = d->state.phy;

	memset(r, 0, sizeof(d->state.phy));
	r[BMCR] = BMCR_ANEN | BMCR_DUPLEX | BMCR_SPEED1;
	r[PHYID1] = 0x0141;
	r[PHYID2] = 0x0c24;
	r[ANAR] = 0x0de1;
	r[GCON] = 0x0e00;
	r[ESTATUS] = 0x3000; /* 1000BASE-T */
	r[PSCON] = 0x0360;
	d->state.link_lost = 1;
	negotiate(d);
}

static uint16_t phy_read(struct e1000 *d, unsigned reg)
{
	struct e1000_state *s = &d->state;
	unsigned mode = phy_mode(d);
	bool link = phy_link(d);
	uint16_t v;

	switch (reg) {
	case BMSR:
		v = BMSR_ABLE | (s->an_done ? BMSR_AN_DONE : 0) |
		    (link && !s->link_lost ? BMSR_LINK : 0);
		s->link_lost = !link;
		return v;
	case ANLPAR: return s->an_done ? 0x41e1 : 0;
	case ANER: return s->an_done ? 0x0001 : 0;
	case GSTATUS: return s->an_done ? 0x3c00 : 0;
	case PSSTAT:
		return (uint16_t)((mode >> 1) << 14 | (mode & 1) << 13 |
				  (s->an_done || !(s->phy[BMCR] & BMCR_ANEN) ? 0x0800 : 0) |
				  (link ? 0x0400 : 0));
	}
	return s->phy[reg];
}

static void phy_write(struct e1000 *d, unsigned reg, uint16_t v)
{
	struct e1000_state *s = &d->state;
	uint16_t old = s->phy[BMCR];

	if (PHY_RO >> reg & 1)
		return;
	if (reg != BMCR) {
		s->phy[reg] = v;
		return;
	}
	s->phy[BMCR] = v & BMCR_KEPT;
	/* The PHY's own reset keeps what was set up for the next negotiation: drivers rely on that. */
	if ((v & (BMCR_RESET | BMCR_RESTART)) ||
	    ((old ^ v) & (BMCR_ANEN | BMCR_PDOWN | BMCR_ISOLATE)))
		negotiate(d);
	else
		mac_link_update(d);
}

void mdic_write(struct e1000 *d, uint32_t v)
{
	unsigned op = v >> 26 & 3, phy = v >> 21 & 31, reg = v >> 16 & 31;

	v &= ~(MDIC_R | MDIC_E);
	if (phy != PHY_ADDR || (op != MDIC_READ && op != MDIC_WRITE))
		v |= MDIC_E;
	else if (op == MDIC_READ)
		v = (v & 0xffff0000) | phy_read(d, reg);
	else
		phy_write(d, reg, (uint16_t)v);
	set(d, MDIC, v | MDIC_R);
	if (v & MDIC_I)
		cause(d, ICR_MDAC);
}

bool phy_sane(const struct e1000 *d)
{
	const struct e1000_state *s = &d->state;

	return s->an_done <= 1 && s->link_lost <= 1 && !(s->an_done && s->an_ns != E1000_NEVER) &&
	       ee93_sane(&s->eeprom) && !(s->phy[BMCR] & ~BMCR_KEPT);
}
