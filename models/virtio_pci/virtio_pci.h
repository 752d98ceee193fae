/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio_pci.h - a PV device of the host's given to the guest's own driver, as a PCI function (virtio 1.2, 4.1).
 *
 * The function is only a transport: what the driver writes here goes to the registers of the device behind
 * it, which are virtio-mmio's (lib/virtio.h).  The queues are in guest RAM, and whoever has the device
 * reads them there.
 */
#ifndef MODELS_VIRTIO_PCI_H
#define MODELS_VIRTIO_PCI_H

#include "models/dev.h"

/* The device behind, as the model sees it.  All calls under the host's one lock. */
struct virtio_dev {
	/* Registers, 32 bits, at offsets of enum virtio_mmio_reg.  A notification may make the device work on
	 * the queue before it returns; event() is not called from within. */
	uint32_t (*read)(struct virtio_dev *, uint32_t reg);
	void (*write)(struct virtio_dev *, uint32_t reg, uint32_t v);
	/* The model's part: the device has signalled. */
	void (*event)(void *owner);
	void *owner;
};

struct virtio_pci_cfg {
	struct virtio_dev *dev; /* of type 1, a network device */
};

extern const struct dev_class virtio_net_pci_class;

#endif
