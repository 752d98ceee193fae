/* SPDX-License-Identifier: BSD-2-Clause */
#include "drivers/virtio/virtio_pass.h"

static uint32_t pass_read(struct virtio_dev *dev, uint32_t reg)
{
	struct virtio_pass *p = (struct virtio_pass *)dev;

	return p->env->mmio_read(p->env->ctx, p->window + reg);
}

static void pass_write(struct virtio_dev *dev, uint32_t reg, uint32_t v)
{
	struct virtio_pass *p = (struct virtio_pass *)dev;

	p->env->mmio_write(p->env->ctx, p->window + reg, v);
}

int virtio_pass_init(struct virtio_pass *p, const struct pv_env *env, uint64_t window,
		     uint32_t device_id)
{
	p->env = env;
	p->window = window;
	p->dev.read = pass_read;
	p->dev.write = pass_write;
	if (pass_read(&p->dev, VIRTIO_MMIO_MAGIC) == VIRTIO_MMIO_MAGIC_VALUE &&
	    pass_read(&p->dev, VIRTIO_MMIO_VERSION) == VIRTIO_MMIO_VERSION_2 &&
	    pass_read(&p->dev, VIRTIO_MMIO_DEVICE_ID) == device_id)
		return 0;
	if (env->log)
		env->log(env->ctx, "virtio: no device of the right type in its window");
	return -1;
}

void virtio_pass_event(struct virtio_pass *p)
{
	if (p->dev.event)
		p->dev.event(p->dev.owner);
}
