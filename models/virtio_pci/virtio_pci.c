/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio_pci.c - virtio over PCI, modern devices only (virtio 1.2, section 4.1), with INTA# and no MSI-X.
 *
 * What a driver says of a queue is kept here until it enables the queue; then it goes to the device at once, which
 * checks all of it.  The rest is passed on as it comes.
 */
#include "models/virtio_pci/virtio_pci.h"

#include <string.h>

#include "lib/virtio.h"
#include "models/pci/pci_cfg.h"

#define N_QUEUES  2u
#define NO_VECTOR 0xffffu

/* The memory region: one page. */
#define COMMON      0x000u
#define COMMON_LEN  0x038u
#define ISR         0x400u
#define NOTIFY      0x800u
#define NOTIFY_STEP 4u
#define DEVCFG      0xc00u
#define DEVCFG_LEN  sizeof(struct virtio_net_config)

/* 4.1.4.3: virtio_pci_common_cfg. */
enum common {
	DEVICE_FEATURE_SELECT = 0x00,
	DEVICE_FEATURE = 0x04,
	DRIVER_FEATURE_SELECT = 0x08,
	DRIVER_FEATURE = 0x0c,
	CONFIG_MSIX_VECTOR = 0x10,
	NUM_QUEUES = 0x12,
	DEVICE_STATUS = 0x14,
	CONFIG_GENERATION = 0x15,
	QUEUE_SELECT = 0x16,
	QUEUE_SIZE = 0x18,
	QUEUE_MSIX_VECTOR = 0x1a,
	QUEUE_ENABLE = 0x1c,
	QUEUE_NOTIFY_OFF = 0x1e,
	QUEUE_DESC = 0x20, /* three addresses of 64 bits */
	QUEUE_DEVICE_END = 0x38,
};

/* 4.1.4: capabilities, 16 bytes each, but NOTIFY and PCI_CFG, which have 20. */
enum cap_type { CAP_COMMON = 1, CAP_NOTIFY, CAP_ISR, CAP_DEVICE, CAP_PCI };
#define PCI_STATUS_CAPS 0x00100000u
#define PCI_CAP_PTR     0x34u
#define CAP(type, len, next) \
	(0x09u | (uint32_t)(next) << 8 | (uint32_t)(len) << 16 | (uint32_t)(type) << 24)
#define CAP_PCI_AT     0x90u /* the window: bar, offset, length, data */
#define CAP_PCI_BAR    (CAP_PCI_AT + 4)
#define CAP_PCI_OFFSET (CAP_PCI_AT + 8)
#define CAP_PCI_LENGTH (CAP_PCI_AT + 12)
#define CAP_PCI_DATA   (CAP_PCI_AT + 16)

static const struct pci_reg cfg_regs[] = {
	{ PCI_VENDOR, 4, 0x10401af4 + (VIRTIO_ID_NET << 16), 0, 0 },
	{ PCI_COMMAND, 4, PCI_STATUS_CAPS, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 0 },
	{ PCI_REVISION, 4, 0x02000001, 0, 0 },
	{ PCI_BAR0, 4, 0, 0xfffff000, 0 },
	{ PCI_SUBSYSTEM, 4, 0x11001af4, 0, 0 },
	{ PCI_CAP_PTR, 4, 0x40, 0, 0 },
	{ PCI_INT_LINE, 4, 0x00000100, 0x000000ff, 0 },
	{ 0x40, 4, CAP(CAP_COMMON, 16, 0x50), 0, 0 },
	{ 0x48, 4, COMMON, 0, 0 },
	{ 0x4c, 4, COMMON_LEN, 0, 0 },
	{ 0x50, 4, CAP(CAP_ISR, 16, 0x60), 0, 0 },
	{ 0x58, 4, ISR, 0, 0 },
	{ 0x5c, 4, 1, 0, 0 },
	{ 0x60, 4, CAP(CAP_DEVICE, 16, 0x70), 0, 0 },
	{ 0x68, 4, DEVCFG, 0, 0 },
	{ 0x6c, 4, DEVCFG_LEN, 0, 0 },
	{ 0x70, 4, CAP(CAP_NOTIFY, 20, CAP_PCI_AT), 0, 0 },
	{ 0x78, 4, NOTIFY, 0, 0 },
	{ 0x7c, 4, N_QUEUES *NOTIFY_STEP, 0, 0 },
	{ 0x80, 4, NOTIFY_STEP, 0, 0 },
	{ CAP_PCI_AT, 4, CAP(CAP_PCI, 20, 0), 0, 0 },
	{ CAP_PCI_BAR, 4, 0, 0xff, 0 },
	{ CAP_PCI_OFFSET, 8, 0, ~0u, 0 },
};
#define N_CFG (sizeof(cfg_regs) / sizeof(cfg_regs[0]))

struct virtio_pci {
	struct dev_env env;
	struct virtio_dev *dev;
	struct {
		uint8_t cfg[PCI_CFG_SIZE];
		uint32_t device_sel, driver_sel;
		uint32_t driver_feature[2];
		uint16_t queue_sel;
		uint8_t isr, line;
		struct {
			uint32_t addr[6]; /* in the order of the registers */
			uint16_t size, enabled;
		} queue[N_QUEUES];
	} state;
};

enum { R_MEM, R_CFG };

#define SIZES (DEV_SIZE_1 | DEV_SIZE_2 | DEV_SIZE_4)

static const struct dev_region regions[] = {
	[R_MEM] = { "virtio-net", DEV_MMIO, DEV_UNPLACED, 4096, SIZES },
	[R_CFG] = { "cfg", DEV_PCICFG, 0, PCI_CFG_SIZE, SIZES },
};

static uint32_t rd(const struct virtio_pci *d, uint32_t reg)
{
	return d->dev->read(d->dev, reg);
}

static void wr(const struct virtio_pci *d, uint32_t reg, uint32_t v)
{
	d->dev->write(d->dev, reg, v);
}

static void set_line(struct virtio_pci *d)
{
	d->state.line = d->state.isr != 0;
	dev_irq(&d->env, 0, d->state.line);
}

static void event(void *owner)
{
	struct virtio_pci *d = owner;
	uint32_t bits = rd(d, VIRTIO_MMIO_INTERRUPT_STATUS) & (VIRTIO_INT_USED | VIRTIO_INT_CONFIG);

	/* Acknowledged before the driver looks: what comes from now on is one more signal. */
	wr(d, VIRTIO_MMIO_INTERRUPT_ACK, bits);
	d->state.isr |= (uint8_t)bits;
	set_line(d);
}

/* As after a reset of the device. */
static void forget(struct virtio_pci *d)
{
	memset(d->state.driver_feature, 0, sizeof(d->state.driver_feature));
	memset(d->state.queue, 0, sizeof(d->state.queue));
	d->state.device_sel = d->state.driver_sel = d->state.queue_sel = d->state.isr = 0;
	for (unsigned q = 0; q < N_QUEUES; q++) {
		wr(d, VIRTIO_MMIO_QUEUE_SEL, q);
		d->state.queue[q].size = (uint16_t)rd(d, VIRTIO_MMIO_QUEUE_NUM_MAX);
	}
	set_line(d);
}

static void enable(struct virtio_pci *d)
{
	static const uint16_t reg[6] = {
		VIRTIO_MMIO_QUEUE_DESC_LOW,   VIRTIO_MMIO_QUEUE_DESC_HIGH,
		VIRTIO_MMIO_QUEUE_DRIVER_LOW, VIRTIO_MMIO_QUEUE_DRIVER_HIGH,
		VIRTIO_MMIO_QUEUE_DEVICE_LOW, VIRTIO_MMIO_QUEUE_DEVICE_HIGH
	};
	unsigned q = d->state.queue_sel;

	wr(d, VIRTIO_MMIO_QUEUE_SEL, q);
	wr(d, VIRTIO_MMIO_QUEUE_NUM, d->state.queue[q].size);
	for (unsigned i = 0; i < 6; i++)
		wr(d, reg[i], d->state.queue[q].addr[i]);
	wr(d, VIRTIO_MMIO_QUEUE_READY, 1);
	d->state.queue[q].enabled = rd(d, VIRTIO_MMIO_QUEUE_READY) & 1;
}

/* Each field is accessed by its own width (4.1.3.1), those of 64 bits by halves. */
#define FIELD(off, size) ((off) << 4 | (size))

static uint32_t common_read(struct virtio_pci *d, unsigned off, unsigned size)
{
	unsigned q = d->state.queue_sel;
	bool there = q < N_QUEUES;

	if (off >= QUEUE_DESC && size == 4 && off % 4 == 0)
		return there ? d->state.queue[q].addr[(off - QUEUE_DESC) / 4] : 0;
	switch (FIELD(off, size)) {
	case FIELD(DEVICE_FEATURE_SELECT, 4): return d->state.device_sel;
	case FIELD(DEVICE_FEATURE, 2): /* iPXE of 2019: the bits that it knows are in there */
	case FIELD(DEVICE_FEATURE, 4):
		wr(d, VIRTIO_MMIO_DEVICE_FEATURES_SEL, d->state.device_sel);
		return rd(d, VIRTIO_MMIO_DEVICE_FEATURES);
	case FIELD(DRIVER_FEATURE_SELECT, 4): return d->state.driver_sel;
	case FIELD(DRIVER_FEATURE, 4):
		return d->state.driver_sel < 2 ? d->state.driver_feature[d->state.driver_sel] : 0;
	case FIELD(CONFIG_MSIX_VECTOR, 2):
	case FIELD(QUEUE_MSIX_VECTOR, 2): return NO_VECTOR;
	case FIELD(NUM_QUEUES, 2): return N_QUEUES;
	case FIELD(DEVICE_STATUS, 1): return rd(d, VIRTIO_MMIO_STATUS);
	case FIELD(CONFIG_GENERATION, 1): return rd(d, VIRTIO_MMIO_CONFIG_GENERATION);
	case FIELD(QUEUE_SELECT, 2): return q;
	case FIELD(QUEUE_SIZE, 2): return there ? d->state.queue[q].size : 0;
	case FIELD(QUEUE_ENABLE, 2): return there ? d->state.queue[q].enabled : 0;
	case FIELD(QUEUE_NOTIFY_OFF, 2): return there ? q : 0;
	}
	return 0;
}

static void common_write(struct virtio_pci *d, unsigned off, unsigned size, uint32_t v)
{
	unsigned q = d->state.queue_sel;
	bool there = q < N_QUEUES && !d->state.queue[q].enabled;

	if (off >= QUEUE_DESC && size == 4 && off % 4 == 0) {
		if (there)
			d->state.queue[q].addr[(off - QUEUE_DESC) / 4] = v;
		return;
	}
	switch (FIELD(off, size)) {
	case FIELD(DEVICE_FEATURE_SELECT, 4): d->state.device_sel = v; break;
	case FIELD(DRIVER_FEATURE_SELECT, 4): d->state.driver_sel = v; break;
	case FIELD(DRIVER_FEATURE, 4):
		if (d->state.driver_sel < 2)
			d->state.driver_feature[d->state.driver_sel] = v;
		wr(d, VIRTIO_MMIO_DRIVER_FEATURES_SEL, d->state.driver_sel);
		wr(d, VIRTIO_MMIO_DRIVER_FEATURES, v);
		break;
	case FIELD(DEVICE_STATUS, 1):
		wr(d, VIRTIO_MMIO_STATUS, v);
		if (!v)
			forget(d);
		break;
	case FIELD(QUEUE_SELECT, 2): d->state.queue_sel = (uint16_t)v; break;
	case FIELD(QUEUE_SIZE, 2):
		if (there)
			d->state.queue[q].size = (uint16_t)v;
		break;
	case FIELD(QUEUE_ENABLE, 2):
		/* 4.1.4.3.2: never written 0. */
		if (there && v == 1)
			enable(d);
		break;
	}
}

/* Of the device's configuration, which has an even number of words. */
static uint32_t devcfg_read(struct virtio_pci *d, unsigned off, unsigned size)
{
	uint64_t v;

	if (off + size > DEVCFG_LEN)
		return 0;
	v = rd(d, VIRTIO_MMIO_CONFIG + (off & ~3u));
	if (off % 4 + size > 4)
		v |= (uint64_t)rd(d, VIRTIO_MMIO_CONFIG + (off & ~3u) + 4) << 32;
	return (uint32_t)(v >> off % 4 * 8);
}

static uint32_t mem_read(struct virtio_pci *d, unsigned off, unsigned size)
{
	uint32_t v = 0;

	if (off < COMMON + COMMON_LEN)
		return common_read(d, off - COMMON, size);
	if (off >= DEVCFG)
		return devcfg_read(d, off - DEVCFG, size);
	if (off == ISR) { /* a read takes it back */
		v = d->state.isr;
		d->state.isr = 0;
		set_line(d);
	}
	return v;
}

static void mem_write(struct virtio_pci *d, unsigned off, unsigned size, uint32_t v)
{
	if (off < COMMON + COMMON_LEN)
		common_write(d, off - COMMON, size, v);
	else if (off >= NOTIFY && off < NOTIFY + N_QUEUES * NOTIFY_STEP && off % NOTIFY_STEP == 0 &&
		 d->state.cfg[PCI_COMMAND] & PCI_COMMAND_MASTER)
		wr(d, VIRTIO_MMIO_QUEUE_NOTIFY, (off - NOTIFY) / NOTIFY_STEP);
}

/* 4.1.4.9: the region through configuration space, for who can't map it. */
static void window(struct virtio_pci *d, struct dev_access *a)
{
	uint32_t off = pci_cfg_get32(d->state.cfg, CAP_PCI_OFFSET);
	uint32_t len = pci_cfg_get32(d->state.cfg, CAP_PCI_LENGTH);

	if (d->state.cfg[CAP_PCI_BAR] || (len != 1 && len != 2 && len != 4) || off % len ||
	    off >= 4096)
		return;
	if (a->write)
		mem_write(d, off, len, (uint32_t)a->data & (len == 4 ? ~0u : (1u << len * 8) - 1));
	else
		a->data = mem_read(d, off, len);
}

static void access_cfg(struct virtio_pci *d, struct dev_access *a)
{
	pci_cfg_access(d->state.cfg, cfg_regs, N_CFG, a);
	if (a->offset == CAP_PCI_DATA)
		window(d, a);
	if (a->write && (pci_cfg_hits(a, PCI_COMMAND, 2) || pci_cfg_hits(a, PCI_BAR0, 4)))
		dev_place(&d->env, R_MEM, pci_cfg_mem_bar(d->state.cfg, PCI_BAR0));
}

static enum dev_rc vp_access(void *dev, struct dev_access *a)
{
	struct virtio_pci *d = dev;

	if (a->region == R_CFG)
		access_cfg(d, a);
	else if (a->write)
		mem_write(d, a->offset, a->size, (uint32_t)a->data);
	else
		a->data = mem_read(d, a->offset, a->size);
	return DEV_OK;
}

static void vp_reset(void *dev)
{
	struct virtio_pci *d = dev;

	pci_cfg_reset(d->state.cfg, cfg_regs, N_CFG);
	wr(d, VIRTIO_MMIO_STATUS, 0);
	forget(d);
	dev_place(&d->env, R_MEM, DEV_UNPLACED);
}

static int vp_init(void *dev, const struct dev_env *env, const void *cfg)
{
	const struct virtio_pci_cfg *c = cfg;
	struct virtio_pci *d = dev;

	d->env = *env;
	d->dev = c->dev;
	if (rd(d, VIRTIO_MMIO_DEVICE_ID) != VIRTIO_ID_NET)
		return -1;
	d->dev->event = event;
	d->dev->owner = d;
	vp_reset(d);
	return 0;
}

static bool vp_sane(const void *dev)
{
	const struct virtio_pci *d = dev;

	for (unsigned q = 0; q < N_QUEUES; q++)
		if (d->state.queue[q].enabled > 1)
			return false;
	return pci_cfg_valid(d->state.cfg, cfg_regs, N_CFG) && !(d->state.isr & ~3u) &&
	       d->state.line == (d->state.isr != 0);
}

/* The device behind has its own state, and is the same one still. */
static int vp_loaded(void *dev)
{
	struct virtio_pci *d = dev;

	if (!vp_sane(d)) {
		vp_reset(d);
		return -1;
	}
	dev_place(&d->env, R_MEM, pci_cfg_mem_bar(d->state.cfg, PCI_BAR0));
	dev_irq(&d->env, 0, d->state.line);
	return 0;
}

const struct dev_class virtio_net_pci_class = {
	.name = "virtio-net-pci",
	.size = sizeof(struct virtio_pci),
	.state_off = offsetof(struct virtio_pci, state),
	.state_size = sizeof(((struct virtio_pci *)0)->state),
	.regions = regions,
	.n_regions = sizeof(regions) / sizeof(regions[0]),
	.n_irqs = 1,
	.init = vp_init,
	.reset = vp_reset,
	.access = vp_access,
	.loaded = vp_loaded,
	.sane = vp_sane,
};
