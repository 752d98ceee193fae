/* SPDX-License-Identifier: BSD-2-Clause */
/* virtio_dev.h - a PV device as a model sees it that gives it to the guest. */
#ifndef MODELS_VIRTIO_DEV_H
#define MODELS_VIRTIO_DEV_H

#include <stdint.h>

/* All calls under the host's one lock. */
struct virtio_dev {
	/* Registers, 32 bits, at offsets of enum virtio_mmio_reg.  A notification may make the device work on
	 * the queue before it returns; event() is not called from within. */
	uint32_t (*read)(struct virtio_dev *, uint32_t reg);
	void (*write)(struct virtio_dev *, uint32_t reg, uint32_t v);
	/* The model's part: the device has signalled. */
	void (*event)(void *owner);
	void *owner;
};

#endif
