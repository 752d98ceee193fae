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
#include "models/virtio_dev.h"

struct virtio_pci_cfg {
	struct virtio_dev *dev; /* of type 1, a network device */
};

extern const struct dev_class virtio_net_pci_class;

#endif
