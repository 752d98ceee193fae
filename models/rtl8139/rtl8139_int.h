/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rtl8139_int.h - what the parts of the RTL8139 model share.
 *
 *   rtl8139.c  PCI function, registers, EEPROM, PHY, timer, the class
 *   tx.c       transmission in both modes: descriptors, tags, checksums, large sends
 *   rx.c       reception in both modes: filter, ring buffer, descriptors
 *
 * Registers stand in state.reg as the guest sees them; what is derived (BUFE, TCTR, link) is put there
 * when it is read.
 */
#ifndef MODELS_RTL8139_INT_H
#define MODELS_RTL8139_INT_H

#include <string.h>

#include "models/eeprom93.h"
#include "models/net_csum.h"
#include "models/pci/pci_cfg.h"
#include "models/rtl8139/rtl8139.h"

/* Offsets of registers (RTL8139C(L)+ data sheet 1.6, section 6). */
enum rtl_reg {
	IDR0 = 0x00,
	MAR0 = 0x08,
	TSD0 = 0x10,  /* four of 32 bits; C+ mode: */
	DTCCR = 0x10, /* 64 bits */
	TSAD0 = 0x20, /* four of 32 bits; C+ mode: */
	TNPDS = 0x20, /* 64 bits each */
	THPDS = 0x28,
	RBSTART = 0x30,
	ERBCR = 0x34,
	ERSR = 0x36,
	CR = 0x37,
	CAPR = 0x38,
	CBR = 0x3a,
	IMR = 0x3c,
	ISR = 0x3e,
	TCR = 0x40,
	RCR = 0x44,
	TCTR = 0x48,
	MPC = 0x4c,
	CR9346 = 0x50,
	CONFIG0 = 0x51,
	CONFIG1 = 0x52,
	TIMERINT = 0x54,
	MSR = 0x58,
	CONFIG3 = 0x59,
	CONFIG4 = 0x5a,
	MULINT = 0x5c,
	RERID = 0x5e,
	TSAD = 0x60, /* transmit status of all descriptors */
	BMCR = 0x62,
	BMSR = 0x64,
	ANAR = 0x66,
	ANLPAR = 0x68,
	ANER = 0x6a,
	FCSC = 0x6e,
	NWAYTR = 0x70,
	CSCR = 0x74,
	PHY1_PARM = 0x78,
	CRC0 = 0x84, /* to LSBCRC7: wake-up frames */
	CONFIG5 = 0xd8,
	TPPOLL = 0xd9,
	CPCR = 0xe0,
	RDSAR = 0xe4,
	ETTHR = 0xec,
};

#define CR_RST  0x10u
#define CR_RE   0x08u
#define CR_TE   0x04u
#define CR_BUFE 0x01u

#define ISR_SERR    0x8000u
#define ISR_TIMEOUT 0x4000u
#define ISR_SWINT   0x0100u
#define ISR_TDU     0x0080u
#define ISR_FOVW    0x0040u
#define ISR_LINKCHG 0x0020u
#define ISR_RXOVW   0x0010u /* C+ mode: RDU, no descriptor */
#define ISR_TER     0x0008u
#define ISR_TOK     0x0004u
#define ISR_RER     0x0002u
#define ISR_ROK     0x0001u
#define ISR_ALL     0xe1ffu

#define TSD_CRS  0x80000000u
#define TSD_TABT 0x40000000u
#define TSD_TOK  0x00008000u
#define TSD_TUN  0x00004000u
#define TSD_OWN  0x00002000u
#define TSD_SIZE 0x00001fffu
#define TSD_RW   0x003f3fffu

#define TCR_LBK 0x00060000u /* both: loopback */
#define TCR_CRC 0x00010000u /* the frame comes with its FCS */

#define RCR_WRAP  0x80u
#define RCR_RBLEN 0x1800u
#define RCR_AR    0x10u
#define RCR_AB    0x08u
#define RCR_AM    0x04u
#define RCR_APM   0x02u
#define RCR_AAP   0x01u

#define TPPOLL_HPQ    0x80u
#define TPPOLL_NPQ    0x40u
#define TPPOLL_BIT(q) ((q) == Q_HIGH ? TPPOLL_HPQ : TPPOLL_NPQ)

#define CPCR_RXVLAN   0x40u
#define CPCR_RXCHKSUM 0x20u
#define CPCR_DAC      0x10u
#define CPCR_RX       0x02u
#define CPCR_TX       0x01u

/* Descriptors of C+ mode, 16 bytes each, at most 64 in a ring. */
#define DESC_SIZE 16u
#define DESC_RING 64u
#define DESC_OWN  0x80000000u
#define DESC_EOR  0x40000000u
#define DESC_FS   0x20000000u
#define DESC_LS   0x10000000u

#define N_SLOTS    16u
#define SLOT_HDR   192u  /* Ethernet with a tag, and the longest headers of IP and TCP */
#define MAX_RX     4096u /* the longest frame that is received, with FCS */
#define MAX_NOWRAP 1536u /* ... behind whose ring's end a driver has as much memory to spare */

struct rtl8139;

/* A frame on its way out. */
struct rtl_slot {
	struct rtl8139 *d;
	struct net_tx tx;
	uint32_t len; /* of the frame in seg[] */
	uint16_t n_seg;
	uint8_t queue;        /* C mode: Q_C, C+: Q_NORMAL, Q_HIGH */
	uint8_t first, count; /* C mode: the descriptor's number; C+: the first and how many */
	uint8_t next;         /* the descriptor behind it */
	bool busy;            /* taken */
	bool out;             /* tx is with the network */
	bool dead;     /* ... and nobody waits for it: reset away, or the state before a load's */
	bool past;     /* tx_next has gone past it: a load would not send it again */
	uint64_t base; /* C+: of the ring */
	/* A large send that the model cuts itself: mss bytes of data at a time, from pos on. */
	uint16_t mss;
	uint8_t tcp_flags;
	uint32_t pos;
	struct net_headers h;
	struct gpa_seg seg[NET_MAX_SEGS], cut[NET_MAX_SEGS];
	uint8_t hdr[SLOT_HDR];
};

enum { Q_NORMAL, Q_HIGH, Q_C };

struct rtl_state {
	uint8_t cfg[PCI_CFG_SIZE];
	uint8_t reg[256];
	uint64_t dtccr;
	uint64_t tctr_ns;  /* when TCTR was 0 */
	uint64_t timer_ns; /* when it reaches TimerInt; UINT64_MAX: never */
	struct {           /* as DTCCR dumps them */
		uint64_t tx_ok, rx_ok, tx_err;
		uint32_t rx_err;
		uint16_t missed, align;
		uint32_t tx_1col, tx_mcol;
		uint64_t rx_ok_phy, rx_ok_brd;
		uint32_t rx_ok_mul;
		uint16_t tx_abt, tx_und;
	} tally;
	uint8_t tx_next[2], rx_next; /* C+: descriptors that come next */
	uint8_t poll;                /* C+: TPPoll's bits of queues that were not found empty yet */
	uint8_t line, link;
	uint8_t storm; /* acknowledgements that did not take INTA# back */
	uint8_t pad;
	uint64_t quiet_ns; /* until then INTA# is not asserted; UINT64_MAX: it may be */
	struct ee93 ee;
};
_Static_assert(sizeof(((struct rtl_state *)0)->tally) == 64, "what DTCCR dumps");

struct rtl8139 {
	struct dev_env env;
	struct net *net;
	uint8_t mac[6];
	bool c_only;
	struct rtl_slot slot[N_SLOTS];
	uint32_t held;        /* bytes of a frame that waits outside for room, 0: none does */
	uint64_t poll_ns;     /* how long until the descriptors are looked at again */
	uint8_t loop[MAX_RX]; /* a frame in loopback */
	struct rtl_state state;
};

static inline uint32_t min_u32(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

static inline uint16_t reg16(const struct rtl8139 *d, unsigned r)
{
	return (uint16_t)(d->state.reg[r] | d->state.reg[r + 1] << 8);
}
static inline uint32_t reg32(const struct rtl8139 *d, unsigned r)
{
	return pci_cfg_get32(d->state.reg, r);
}
static inline void put_le(uint8_t *p, uint32_t v, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		p[i] = (uint8_t)(v >> i * 8);
}
static inline void set_reg(struct rtl8139 *d, unsigned r, uint32_t v, unsigned n)
{
	put_le(d->state.reg + r, v, n);
}

/* An address register of 64 bits.  Without dual address cycles the chip puts 32 on the bus. */
static inline uint64_t bus_addr(const struct rtl8139 *d, uint32_t low, uint32_t high)
{
	return low | (d->state.reg[CPCR] & CPCR_DAC ? (uint64_t)high << 32 : 0);
}

static inline bool cplus(const struct rtl8139 *d)
{
	return d->state.reg[CPCR] & (CPCR_RX | CPCR_TX);
}
static inline bool may_master(const struct rtl8139 *d)
{
	return d->state.cfg[PCI_COMMAND] & PCI_COMMAND_MASTER;
}
static inline bool loopback(const struct rtl8139 *d)
{
	return (reg32(d, TCR) & TCR_LBK) == TCR_LBK;
}

/* rtl8139.c */
void rtl_interrupt(struct rtl8139 *d, unsigned bits);
void rtl_bus_error(struct rtl8139 *d); /* a cycle of ours found no target */
bool rtl_link(const struct rtl8139 *d);
/* Reads a descriptor at base: 4 words. */
bool rtl_desc(struct rtl8139 *d, uint64_t base, unsigned n, uint32_t desc[4]);
void rtl_settle(struct rtl8139 *d);    /* what is read without the model is as it is now */
void rtl_poll_soon(struct rtl8139 *d); /* looks at descriptors again, ever less often */

/* tx.c */
void rtl_tx_init(struct rtl8139 *d);
void rtl_tx_run(struct rtl8139 *d); /* goes on as far as possible */
void rtl_tx_drop(struct rtl8139 *d,
		 unsigned queues); /* forgets what is on its way; a bit for each Q_ */
void rtl_tsd_write(struct rtl8139 *d, unsigned n, uint32_t v);
void rtl_sent_room(void *owner);
bool rtl_tx_sane(const struct rtl8139 *d);

/* rx.c */
bool rtl_receive(void *owner, const uint8_t *frame, size_t len, const struct net_offload *off);
/* One that came from outside or, in loopback, from the transmitter.  False: no room. */
bool rtl_store(struct rtl8139 *d, const uint8_t *frame, size_t len, const struct net_offload *off);
bool rtl_rx_empty(const struct rtl8139 *d); /* C mode: the ring buffer is */
/* Maybe there is room again: asks for what is held.  False: there is not. */
bool rtl_rx_room(struct rtl8139 *d);
bool rtl_rx_left(const struct rtl8139 *d); /* C mode: frames are in the ring */
bool rtl_rx_remind(struct rtl8139 *d);     /* says so again; are there any? */
void rtl_rx_start(struct rtl8139 *d);      /* the receiver is switched on */

#endif
