/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * e1000_int.h - what the parts of the 82540EM share.
 *
 *   e1000.c  PCI function, registers, interrupts, statistics, the class
 *   phy.c    EEPROM, PHY, link
 *   tx.c     transmit ring, checksums, segmentation
 *   rx.c     address filters, receive ring
 *
 * Chapter and table numbers are those of Intel's "PCI/PCI-X Family of Gigabit Ethernet Controllers
 * Software Developer's Manual" (317453).
 */
#ifndef MODELS_E1000_INT_H
#define MODELS_E1000_INT_H

#include <string.h>

#include "models/e1000/e1000.h"
#include "models/eeprom93.h"
#include "models/net_csum.h"
#include "models/pci/pci_cfg.h"

#define E1000_NEVER UINT64_MAX

/* Registers, by byte offset (table 13-2). */
enum e1000_reg {
	CTRL = 0x0000,
	CTRL_ALIAS = 0x0004,
	STATUS = 0x0008,
	EECD = 0x0010,
	EERD = 0x0014,
	CTRL_EXT = 0x0018,
	MDIC = 0x0020,
	FCAH = 0x002c,
	FCT = 0x0030,
	VET = 0x0038,
	ICR = 0x00c0,
	ITR = 0x00c4,
	ICS = 0x00c8,
	IMS = 0x00d0,
	IMC = 0x00d8,
	RCTL = 0x0100,
	FCTTV = 0x0170,
	TXCW = 0x0178,
	TCTL = 0x0400,
	TIPG = 0x0410,
	LEDCTL = 0x0e00,
	PBA = 0x1000,
	FCRTL = 0x2160,
	FCRTH = 0x2168,
	RDBAL = 0x2800,
	RDBAH = 0x2804,
	RDLEN = 0x2808,
	RDH = 0x2810,
	RDT = 0x2818,
	RDTR = 0x2820,
	RXDCTL = 0x2828,
	RADV = 0x282c,
	RSRPD = 0x2c00,
	TDBAL = 0x3800,
	TDBAH = 0x3804,
	TDLEN = 0x3808,
	TDH = 0x3810,
	TDT = 0x3818,
	TIDV = 0x3820,
	TXDCTL = 0x3828,
	TADV = 0x382c,
	STATS = 0x4000, /* the statistics: all cleared by reading */
	MPC = 0x4010,
	PRC64 = 0x405c,
	GPRC = 0x4074,
	BPRC = 0x4078,
	MPRC = 0x407c,
	GPTC = 0x4080,
	GORCL = 0x4088,
	GORCH = 0x408c,
	GOTCL = 0x4090,
	GOTCH = 0x4094,
	RNBC = 0x40a0,
	ROC = 0x40ac,
	TORL = 0x40c0,
	TORH = 0x40c4,
	TOTL = 0x40c8,
	TOTH = 0x40cc,
	TPR = 0x40d0,
	TPT = 0x40d4,
	PTC64 = 0x40d8,
	MPTC = 0x40f0,
	BPTC = 0x40f4,
	TSCTC = 0x40f8,
	TSCTFC = 0x40fc,
	STATS_END = 0x4100,
	RXCSUM = 0x5000,
	MTA = 0x5200,
	RA = 0x5400, /* RAL, RAH; 16 pairs */
	VFTA = 0x5600,
	REGS_END = 0x6000, /* of what is kept: the rest of the window reads 0 */
};

#define CTRL_FD      0x00000001u
#define CTRL_SLU     0x00000040u
#define CTRL_SPEED   0x00000300u
#define CTRL_1000    0x00000200u
#define CTRL_FRCSPD  0x00000800u
#define CTRL_FRCDPLX 0x00001000u
#define CTRL_RST     0x04000000u
#define CTRL_VME     0x40000000u
#define CTRL_PHY_RST 0x80000000u

#define STATUS_FD 0x00000001u
#define STATUS_LU 0x00000002u

#define CTRL_EXT_EE_RST 0x00002000u

/* Interrupt causes. */
#define ICR_TXDW    0x00000001u
#define ICR_TXQE    0x00000002u
#define ICR_LSC     0x00000004u
#define ICR_RXDMT0  0x00000010u
#define ICR_RXO     0x00000040u
#define ICR_RXT0    0x00000080u
#define ICR_MDAC    0x00000200u
#define ICR_TXD_LOW 0x00008000u
#define ICR_SRPD    0x00010000u
#define ICR_ALL     0x0001e6dfu

#define RCTL_EN       0x00000002u
#define RCTL_UPE      0x00000008u
#define RCTL_MPE      0x00000010u
#define RCTL_LPE      0x00000020u
#define RCTL_LBM      0x000000c0u
#define RCTL_LBM_MAC  0x00000040u
#define RCTL_BAM      0x00008000u
#define RCTL_VFE      0x00040000u
#define RCTL_CFIEN    0x00080000u
#define RCTL_CFI      0x00100000u
#define RCTL_BSEX     0x02000000u
#define RCTL_SECRC    0x04000000u
#define RCTL_RDMTS(v) ((v) >> 8 & 3)
#define RCTL_MO(v)    ((v) >> 12 & 3)
#define RCTL_BSIZE(v) ((v) >> 16 & 3)

#define TCTL_EN  0x00000002u
#define TCTL_PSP 0x00000008u

#define DELAY_FPD 0x80000000u /* RDTR, TIDV: expire now */

#define DESC_SIZE 16u
#define DESC_DD   0x01u

enum e1000_timer { T_ITR, T_RX, T_TX, T_AN, T_KICK, N_TIMERS };

#define E1000_MAX_FRAME 16128u             /* without FCS; NET_MTU_MAX + 18 */
#define TX_SLOTS        32u                /* as many as net.h promises to take */
#define TX_SEGS         (NET_MAX_SEGS - 2) /* of guest RAM in one frame, besides header and buffer */
#define TX_HDR          256u /* every field that the chip patches is within this (offsets of 8 bits) */
#define TX_BUF          16384u

struct tx_ctx { /* a context descriptor (3.3.6) */
	uint8_t ipcss, ipcso, tucss, tucso;
	uint16_t ipcse, tucse, mss;
	uint8_t hdrlen, tucmd;
};

/* The packet that is being put together.  Its bytes are buf's [buf_at, buf_end), then the segments'. */
struct tx_pkt {
	uint32_t n_desc; /* descriptors that it has taken */
	uint32_t len;
	uint32_t sent; /* TSE: payload that went out in segments before */
	uint32_t buf_at, buf_end;
	uint16_t n_seg, special;
	uint8_t eop;   /* all of it is there */
	uint8_t data;  /* of extended descriptors: popts counts */
	uint8_t tse;   /* of a TCP segmentation context */
	uint8_t soft;  /* TSE: goes out segment by segment */
	uint8_t split; /* TSE: the headers are in hdr, the rest is payload */
	uint8_t drop;  /* goes nowhere */
	uint8_t cmd, popts, cso, css;
	uint8_t delay; /* IDE of its last descriptor */
	uint8_t pad;
	uint8_t hdr[TX_HDR];
	struct gpa_seg seg[TX_SEGS];
	uint8_t buf[TX_BUF]; /* what was in more pieces than fit */
};

struct e1000_state {
	/* As the guest reads them, but for EECD's inputs, and ICR and statistics, which reading clears. */
	uint32_t reg[REGS_END / 4];
	uint64_t last_irq_ns; /* INTA# was last asserted */
	uint64_t rx_packet_ns, rx_absolute_ns, tx_packet_ns,
		tx_absolute_ns; /* delayed RXT0, TXDW */
	uint64_t an_ns;         /* autonegotiation ends; all these: E1000_NEVER if not under way */
	uint32_t tx_next;       /* descriptor to fetch; TDH: to be reported next */
	uint8_t line;           /* level of INTA# */
	uint8_t starved;        /* a frame waits outside for descriptors */
	uint8_t an_done, link_lost; /* link_lost: BMSR has not told yet */
	uint32_t ioaddr;
	struct tx_ctx ctx[2]; /* [1]: of segmentation */
	uint16_t phy[32];
	struct ee93 eeprom;
	uint8_t cfg[PCI_CFG_SIZE];
	struct tx_pkt pkt;
};

struct tx_slot { /* a frame with the front end */
	struct net_tx tx;
	uint32_t n_desc; /* to be reported when it has gone, and all before it */
	bool done, buf;  /* buf: a segment lies in state.pkt.buf */
	uint8_t hdr[TX_HDR + NET_VLAN_HDR + NET_ETH_MIN];
	struct gpa_seg seg[NET_MAX_SEGS];
};

struct e1000 {
	struct dev_env env;
	struct net *net;
	uint64_t armed[N_TIMERS];
	unsigned slot_first, n_slots; /* in flight, oldest first */
	uint32_t owed;                /* descriptors of them */
	bool kick;                    /* tx_run() stopped with work left */
	bool blocked;                 /* the newest slot's frame was not taken yet */
	struct tx_slot slot[TX_SLOTS];
	uint8_t loop[TX_BUF]; /* a frame in loopback */
	struct e1000_state state;
};

static inline uint32_t get(const struct e1000 *d, enum e1000_reg off)
{
	return d->state.reg[off / 4];
}
static inline void set(struct e1000 *d, enum e1000_reg off, uint32_t v)
{
	d->state.reg[off / 4] = v;
}
static inline void cause(struct e1000 *d, uint32_t bits)
{
	d->state.reg[ICR / 4] |= bits;
}
static inline uint32_t min_u32(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}
static inline uint64_t get64(const struct e1000 *d, enum e1000_reg low)
{
	return get(d, low) | (uint64_t)d->state.reg[low / 4 + 1] << 32;
}
static inline bool bus_master(const struct e1000 *d)
{
	return d->state.cfg[PCI_COMMAND] & PCI_COMMAND_MASTER;
}

/* e1000.c */
void e1000_settle(struct e1000 *d); /* at the end of each entry: interrupt line, timers */
void e1000_bus_error(struct e1000 *d);
void e1000_count(struct e1000 *d, enum e1000_reg off, uint32_t n);
void e1000_octets(struct e1000 *d, enum e1000_reg low, uint64_t n);
/* Counts a frame by size and kind of destination; base: PRC64 or PTC64.  len: with FCS. */
void e1000_count_size(struct e1000 *d, enum e1000_reg pc64, uint32_t len, uint32_t n);

/* phy.c */
void eeprom_init(struct e1000 *d, const uint8_t mac[6]);
void eeprom_reload(struct e1000 *d); /* what the chip takes from it: the first receive address */
uint32_t eecd_read(const struct e1000 *d);
void eecd_write(struct e1000 *d, uint32_t v);
void eerd_write(struct e1000 *d, uint32_t v);
void mdic_write(struct e1000 *d, uint32_t v);
void phy_reset(struct e1000 *d);
void phy_negotiated(struct e1000 *d);
void phy_link_changed(void *owner);
void mac_link_update(struct e1000 *d);
bool phy_loopback(const struct e1000 *d);
bool phy_sane(const struct e1000 *d);

/* tx.c */
void tx_forget(struct e1000 *d); /* the ring is another: what was begun is not reported any more */
void tx_run(struct e1000 *d);
void tx_room(void *owner);
bool tx_sane(const struct e1000 *d);
bool tx_loaded(struct e1000 *d);

/* rx.c */
bool rx_receive(void *owner, const uint8_t *frame, size_t len, const struct net_offload *off);
bool rx_frame(struct e1000 *d, const uint8_t *frame, uint32_t len, const struct net_offload *off);
void rx_resume(struct e1000 *d); /* receive() may take a frame now that it refused */
static inline bool loopback(const struct e1000 *d)
{
	return (get(d, RCTL) & RCTL_LBM) == RCTL_LBM_MAC || phy_loopback(d);
}

#endif
