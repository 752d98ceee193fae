/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * uart.c - National PC16550D universal asynchronous receiver/transmitter (data sheet of June 1995,
 * section 8), as it sits in a PC: OUT2 lets the interrupt through.
 *
 * The line has no speed: what is written goes out at once, and received bytes are taken from it as fast as
 * the guest reads them.  Only the receiver's time-out keeps to the programmed rate.  There is always
 * someone at the other end (CTS, DSR and DCD are on), and bytes arrive without parity or framing
 * errors or breaks; an overrun can be had in loopback only, as otherwise bytes wait outside.
 */
#include "models/uart/uart.h"

#include <string.h>

enum { RBR_THR, IER, IIR_FCR, LCR, MCR, LSR, MSR, SCR };

#define FIFO 16u

#define IER_ERBFI 0x01u
#define IER_ETBEI 0x02u
#define IER_ELSI  0x04u
#define IER_EDSSI 0x08u
#define IER_MASK  0x0fu

#define IIR_MODEM   0x00u
#define IIR_NONE    0x01u
#define IIR_THRE    0x02u
#define IIR_RX      0x04u
#define IIR_LINE    0x06u
#define IIR_TIMEOUT 0x0cu
#define IIR_FIFO    0xc0u

#define FCR_ENABLE   0x01u
#define FCR_RX_RESET 0x02u
#define FCR_TX_RESET 0x04u
#define FCR_DMA      0x08u
#define FCR_TRIGGER  0xc0u
#define FCR_KEPT     (FCR_ENABLE | FCR_DMA | FCR_TRIGGER)

#define LCR_WLS  0x03u
#define LCR_STB  0x04u
#define LCR_PEN  0x08u
#define LCR_DLAB 0x80u

#define MCR_DTR  0x01u
#define MCR_RTS  0x02u
#define MCR_OUT1 0x04u
#define MCR_OUT2 0x08u
#define MCR_LOOP 0x10u
#define MCR_MASK 0x1fu

#define LSR_DR   0x01u
#define LSR_OE   0x02u
#define LSR_THRE 0x20u
#define LSR_TEMT 0x40u

#define MSR_DELTA 0x0fu
#define MSR_TERI  0x04u
#define MSR_CTS   0x10u
#define MSR_DSR   0x20u
#define MSR_RI    0x40u
#define MSR_DCD   0x80u

struct uart {
	struct dev_env env;
	struct chr *chr;
	uint16_t base;
	struct {
		uint64_t timeout_ns; /* received bytes time out then, unless more come or one is read */
		uint8_t ier, fcr, lcr, mcr, msr, scr, dll, dlm;
		uint8_t overrun;      /* LSR_OE or 0 */
		uint8_t thre_pending; /* the transmitter became empty, and IIR has not told yet */
		uint8_t n_rx, n_tx;
		uint8_t pad[4];
		uint8_t rx[FIFO], tx[FIFO]; /* the oldest first */
	} state;
};

static const struct dev_region regions[] = {
	{ "uart", DEV_PIO, DEV_UNPLACED, 8, DEV_SIZE_1 },
};

static unsigned capacity(const struct uart *s)
{
	return s->state.fcr & FCR_ENABLE ? FIFO : 1;
}

static unsigned trigger(const struct uart *s)
{
	static const uint8_t level[4] = { 1, 4, 8, 14 };

	return s->state.fcr & FCR_ENABLE ? level[s->state.fcr >> 6] : 1;
}

/* The reason for an interrupt with the highest priority. */
static uint8_t reason(const struct uart *s)
{
	uint8_t ier = s->state.ier;

	if ((ier & IER_ELSI) && s->state.overrun)
		return IIR_LINE;
	if ((ier & IER_ERBFI) && s->state.n_rx >= trigger(s))
		return IIR_RX;
	if ((ier & IER_ERBFI) && s->state.n_rx > 0 && dev_now_ns(&s->env) >= s->state.timeout_ns)
		return IIR_TIMEOUT;
	if ((ier & IER_ETBEI) && s->state.thre_pending)
		return IIR_THRE;
	if ((ier & IER_EDSSI) && (s->state.msr & MSR_DELTA))
		return IIR_MODEM;
	return IIR_NONE;
}

/*
 * A byte to be sent may come late. It makes what is read of the transmitter stale, unless it changes
 * nothing there: nobody waits for the interrupt, and the line takes as much as can be on its way.
 */
enum { S_IER, S_IIR, S_LSR, S_MSR, S_QUIET, N_SHADOWS };

#define QUIET_ROOM 512u

#define SHADOW(off, n)                                                   \
	{                                                                \
		.kind = DEV_SHADOW, .region = 0, .offset = off, .len = n \
	}

static const struct dev_fast fast[] = {
	[S_IER] = SHADOW(IER, 1),
	[S_IIR] = SHADOW(IIR_FCR, 1),
	[S_LSR] = SHADOW(LSR, 1),
	[S_MSR] = SHADOW(MSR, 1),
	[S_QUIET] = SHADOW(RBR_THR, 0),
	{ .kind = DEV_POSTED,
	  .region = 0,
	  .offset = RBR_THR,
	  .len = 1,
	  .dirties = 1u << S_IIR | 1u << S_LSR,
	  .own = S_QUIET },
};

static uint8_t line_status(const struct uart *s);

static void shadows(struct uart *s, uint8_t why)
{
	const struct dev_env *e = &s->env;
	bool quiet = s->state.n_tx == 0 && !(s->state.ier & IER_ETBEI) &&
		     !(s->state.mcr & MCR_LOOP) &&
		     (!s->chr || (s->chr->room && s->chr->room(s->chr) >= QUIET_ROOM));

	/* Reading these takes an overrun, an interrupt, a change back. */
	dev_shadow(e, S_LSR, line_status(s), !s->state.overrun);
	dev_shadow(e, S_IIR, why | (s->state.fcr & FCR_ENABLE ? IIR_FIFO : 0), why != IIR_THRE);
	dev_shadow(e, S_MSR, s->state.msr, !(s->state.msr & MSR_DELTA));
	dev_shadow(e, S_IER, s->state.ier, !(s->state.lcr & LCR_DLAB));
	dev_shadow(e, S_QUIET, 0, quiet);
}

static void outputs(struct uart *s)
{
	uint8_t why = reason(s);
	bool wait = (s->state.ier & IER_ERBFI) && s->state.n_rx > 0 && s->state.n_rx < trigger(s) &&
		    dev_now_ns(&s->env) < s->state.timeout_ns;

	/* In loopback the OUT2 pin is inactive, whatever its bit in MCR. */
	dev_irq(&s->env, 0, (s->state.mcr & (MCR_OUT2 | MCR_LOOP)) == MCR_OUT2 && why != IIR_NONE);
	shadows(s, why);
	dev_arm(&s->env, 0, wait ? s->state.timeout_ns : UINT64_MAX);
}

/* Four characters' time without a byte coming in or going out of the FIFO. */
static void restart_timeout(struct uart *s)
{
	uint8_t lcr = s->state.lcr;
	uint64_t divisor = s->state.dll | s->state.dlm << 8;
	unsigned bits = 7 + (lcr & LCR_WLS) + (lcr & LCR_STB ? 1 : 0) + (lcr & LCR_PEN ? 1 : 0);

	divisor = divisor ? divisor : 1;
	s->state.timeout_ns = dev_now_ns(&s->env) + 4 * bits * divisor * 1000000000 / 115200;
}

static void receive(struct uart *s, uint8_t byte)
{
	if (s->state.n_rx == capacity(s)) {
		/* The FIFO keeps what it has; without it the register is overwritten. */
		s->state.overrun = LSR_OE;
		if (s->state.fcr & FCR_ENABLE)
			return;
		s->state.n_rx = 0;
	}
	s->state.rx[s->state.n_rx++] = byte;
	restart_timeout(s);
}

/* Takes from the line what there is room for. */
static void pull(struct uart *s)
{
	uint8_t buf[FIFO];
	size_t room = capacity(s) - s->state.n_rx, n;

	if (!s->chr || room == 0 || (s->state.mcr & MCR_LOOP))
		return;
	n = chr_read(s->chr, buf, room);
	for (size_t i = 0; i < n && i < room; i++)
		receive(s, buf[i]);
}

/* Sends what waits, as far as it goes. */
static void push(struct uart *s)
{
	size_t n = s->state.n_tx;

	if (n == 0)
		return;
	if (s->state.mcr & MCR_LOOP) {
		for (size_t i = 0; i < n; i++)
			receive(s, s->state.tx[i]);
	} else if (s->chr) {
		size_t sent = chr_write(s->chr, s->state.tx, n);

		n = sent < n ? sent : n;
	}
	s->state.n_tx -= (uint8_t)n;
	memmove(s->state.tx, s->state.tx + n, s->state.n_tx);
	if (s->state.n_tx == 0)
		s->state.thre_pending = 1;
}

static void transmit(struct uart *s, const uint8_t *buf, size_t count)
{
	/* The interrupt goes away with the write and comes back when the byte is out: a PIC that looks
	 * for edges has to see that. */
	if (s->state.thre_pending) {
		s->state.thre_pending = 0;
		outputs(s);
	}
	if (s->state.n_tx == 0 && !(s->state.mcr & MCR_LOOP) && s->chr) {
		size_t sent = chr_write(s->chr, buf, count);

		sent = sent < count ? sent : count;
		buf += sent;
		count -= sent;
		s->state.thre_pending = count == 0;
	}
	for (; count > 0; count--) {
		/* A full FIFO takes no more; without it the register is overwritten. */
		if (s->state.n_tx == capacity(s) && (s->state.fcr & FCR_ENABLE))
			break;
		if (s->state.n_tx == capacity(s))
			s->state.n_tx = 0;
		s->state.tx[s->state.n_tx++] = *buf++;
		if (!s->chr || (s->state.mcr & MCR_LOOP))
			push(s);
	}
}

static void write_ier(struct uart *s, uint8_t v)
{
	v &= IER_MASK;
	/* Enabling the transmitter's interrupt while it is empty makes one: that is how drivers start
	 * sending. */
	if (v & ~s->state.ier & IER_ETBEI)
		s->state.thre_pending = s->state.n_tx == 0;
	s->state.ier = v;
}

static void write_fcr(struct uart *s, uint8_t v)
{
	uint8_t clear = v & (FCR_RX_RESET | FCR_TX_RESET);

	/* Other bits count only with ENABLE; a change of ENABLE empties both FIFOs. */
	if (!(v & FCR_ENABLE))
		v = clear = 0;
	if ((v ^ s->state.fcr) & FCR_ENABLE)
		clear = FCR_RX_RESET | FCR_TX_RESET;
	s->state.fcr = v & FCR_KEPT;
	if (clear & FCR_RX_RESET)
		s->state.n_rx = 0;
	if ((clear & FCR_TX_RESET) && s->state.n_tx > 0) {
		s->state.n_tx = 0;
		s->state.thre_pending = 1;
	}
	pull(s);
}

static void write_mcr(struct uart *s, uint8_t v)
{
	uint8_t lines = MSR_CTS | MSR_DSR | MSR_DCD, change;

	s->state.mcr = v & MCR_MASK;
	if (v & MCR_LOOP)
		lines = (v & MCR_RTS ? MSR_CTS : 0) | (v & MCR_DTR ? MSR_DSR : 0) |
			(v & MCR_OUT1 ? MSR_RI : 0) | (v & MCR_OUT2 ? MSR_DCD : 0);
	change = (s->state.msr ^ lines) >> 4;
	if (lines & MSR_RI) /* only the end of a ring counts */
		change &= (uint8_t)~MSR_TERI;
	s->state.msr = lines | (s->state.msr & MSR_DELTA) | change;
	push(s);
	pull(s);
}

static void write_reg(struct uart *s, unsigned reg, uint8_t v)
{
	bool dlab = s->state.lcr & LCR_DLAB;

	switch (reg) {
	case RBR_THR:
		if (dlab)
			s->state.dll = v;
		else
			transmit(s, &v, 1);
		break;
	case IER:
		if (dlab)
			s->state.dlm = v;
		else
			write_ier(s, v);
		break;
	case IIR_FCR: write_fcr(s, v); break;
	case LCR: s->state.lcr = v; break;
	case MCR: write_mcr(s, v); break;
	case SCR: s->state.scr = v; break;
	}
}

static uint8_t read_rbr(struct uart *s)
{
	uint8_t v = s->state.rx[0];

	if (s->state.n_rx == 0)
		return 0;
	s->state.n_rx--;
	memmove(s->state.rx, s->state.rx + 1, s->state.n_rx);
	restart_timeout(s);
	pull(s);
	return v;
}

static uint8_t line_status(const struct uart *s)
{
	return (s->state.n_rx ? LSR_DR : 0) | s->state.overrun |
	       (s->state.n_tx ? 0 : LSR_THRE | LSR_TEMT);
}

static uint8_t read_reg(struct uart *s, unsigned reg)
{
	bool dlab = s->state.lcr & LCR_DLAB;
	uint8_t v;

	switch (reg) {
	case RBR_THR: return dlab ? s->state.dll : read_rbr(s);
	case IER: return dlab ? s->state.dlm : s->state.ier;
	case IIR_FCR:
		v = reason(s);
		if (v == IIR_THRE)
			s->state.thre_pending = 0;
		return v | (s->state.fcr & FCR_ENABLE ? IIR_FIFO : 0);
	case LCR: return s->state.lcr;
	case MCR: return s->state.mcr;
	case LSR:
		v = line_status(s);
		s->state.overrun = 0;
		return v;
	case MSR:
		v = s->state.msr;
		s->state.msr &= (uint8_t)~MSR_DELTA;
		return v;
	default: return s->state.scr;
	}
}

static enum dev_rc uart_access(void *d, struct dev_access *a)
{
	struct uart *s = d;

	if (a->write)
		write_reg(s, a->offset, (uint8_t)a->data);
	else
		a->data = read_reg(s, a->offset);
	outputs(s);
	return DEV_OK;
}

static enum dev_rc uart_burst(void *d, struct dev_access *a, void *buf, uint32_t count)
{
	struct uart *s = d;
	uint8_t *p = buf;

	if (a->write && a->offset == RBR_THR && !(s->state.lcr & LCR_DLAB)) {
		transmit(s, p, count);
	} else {
		for (uint32_t i = 0; i < count; i++) {
			if (a->write)
				write_reg(s, a->offset, p[i]);
			else
				p[i] = read_reg(s, a->offset);
		}
	}
	outputs(s);
	return DEV_OK;
}

static void uart_timer(void *d, unsigned id)
{
	outputs(d);
}

static void uart_ready(void *owner)
{
	push(owner);
	pull(owner);
	outputs(owner);
}

static void uart_reset(void *d)
{
	struct uart *s = d;

	memset(&s->state, 0, sizeof(s->state));
	s->state.dll = 12; /* 9600 baud; the chip leaves it undefined */
	s->state.msr = MSR_CTS | MSR_DSR | MSR_DCD;
	outputs(s);
}

static int uart_init(void *d, const struct dev_env *env, const void *cfg)
{
	const struct uart_cfg *c = cfg;
	struct uart *s = d;

	s->env = *env;
	s->chr = c->chr;
	s->base = c->base;
	if (s->chr) {
		s->chr->ready = uart_ready;
		s->chr->owner = s;
	}
	uart_reset(s);
	dev_place(&s->env, 0, s->base);
	return 0;
}

static bool uart_sane(const void *d)
{
	const struct uart *s = d;

	return !(s->state.ier & ~IER_MASK) && !(s->state.mcr & ~MCR_MASK) &&
	       !(s->state.fcr & ~FCR_KEPT) && (s->state.fcr == 0 || s->state.fcr & FCR_ENABLE) &&
	       !(s->state.overrun & ~LSR_OE) && s->state.thre_pending <= 1 &&
	       s->state.n_rx <= capacity(s) && s->state.n_tx <= capacity(s) &&
	       !(s->state.thre_pending && s->state.n_tx);
}

static int uart_loaded(void *d)
{
	struct uart *s = d;

	if (!uart_sane(s)) {
		uart_reset(s);
		return -1;
	}
	outputs(s);
	return 0;
}

const struct dev_class uart_class = {
	.name = "uart",
	.size = sizeof(struct uart),
	.state_off = offsetof(struct uart, state),
	.state_size = sizeof(((struct uart *)0)->state),
	.regions = regions,
	.fast = fast,
	.n_fast = sizeof(fast) / sizeof(fast[0]),
	.n_regions = sizeof(regions) / sizeof(regions[0]),
	.n_irqs = 1,
	.n_timers = 1,
	.init = uart_init,
	.reset = uart_reset,
	.access = uart_access,
	.burst = uart_burst,
	.timer = uart_timer,
	.loaded = uart_loaded,
	.sane = uart_sane,
};
