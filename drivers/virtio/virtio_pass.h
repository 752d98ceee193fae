/* SPDX-License-Identifier: BSD-2-Clause */
/* virtio_pass.h - a device's window passed on to a model that hands it to the guest (models/virtio_dev.h). */
#ifndef DRIVERS_VIRTIO_PASS_H
#define DRIVERS_VIRTIO_PASS_H

#include "drivers/virtio/virtq.h"
#include "models/virtio_dev.h"

struct virtio_pass {
	struct virtio_dev dev; /* what the model sees; must stay first */
	const struct pv_env *env;
	uint64_t window;
};

/* p is zeroed but for the model's part.  0, or -1 (logged): no device of this type there. */
int virtio_pass_init(struct virtio_pass *p, const struct pv_env *env, uint64_t window,
		     uint32_t device_id);
/* For the window's event bit (sio_request.events). */
void virtio_pass_event(struct virtio_pass *p);

#endif
