/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio_mmio.c - the device's side of virtio-mmio and of split virtqueues (virtio 1.2, 2.7 and 4.2).
 */
#include <stdio.h>
#include <string.h>

#include "backends/virtio_mmio.h"

#define VENDOR_ID 0x4f495345u /* "ESIO" */

void *vmem_at(const struct vmem *m, uint64_t gpa, uint64_t len, bool write)
{
	unsigned i;

	for (i = 0; i < m->n; i++) {
		if (!len || gpa < m->r[i].gpa || len > m->r[i].len ||
		    gpa - m->r[i].gpa > m->r[i].len - len || (write && m->r[i].ro))
			continue;
		return m->r[i].hva + (gpa - m->r[i].gpa);
	}
	return NULL;
}

void vmmio_init(struct vmmio *d, const struct vmmio_ops *ops, const struct vmmio_host *host,
		unsigned window, const char *name, uint64_t features, const void *config,
		uint32_t config_len)
{
	*d = (struct vmmio){
		.ops = ops,
		.host = host,
		.window = window,
		.name = name,
		.features = features | VIRTIO_F_VERSION_1 | VIRTIO_F_INDIRECT_DESC |
			    VIRTIO_F_EVENT_IDX,
		.config = config,
		.config_len = config_len,
	};
	pthread_mutex_init(&d->lock, NULL);
}

void vmmio_destroy(struct vmmio *d)
{
	pthread_mutex_destroy(&d->lock);
}

void vmmio_broken(struct vmmio *d, const char *why)
{
	char text[512];

	if (d->status & VIRTIO_S_NEEDS_RESET)
		return;
	d->status |= VIRTIO_S_NEEDS_RESET;
	if (!d->told && d->host->message) {
		snprintf(
			text, sizeof(text),
			"%s: the firmware's driver misbehaves (%s): the device stops until it is reset",
			d->name, why);
		d->host->message(d->host->ctx, text);
	}
	d->told = true; /* for good: resetting must not turn it into a flood */
	if (d->status & VIRTIO_S_DRIVER_OK) {
		d->int_status |= VIRTIO_INT_CONFIG;
		d->host->signal(d->host->ctx, d->window);
	}
}

void vmmio_config_changed(struct vmmio *d)
{
	d->config_gen++;
	if (d->status & VIRTIO_S_DRIVER_OK && !d->resetting) {
		d->int_status |= VIRTIO_INT_CONFIG;
		d->host->signal(d->host->ctx, d->window);
	}
}

bool vq_running(const struct vmmio *d, unsigned q)
{
	return d->q[q].ready && !d->resetting &&
	       (d->status & (VIRTIO_S_DRIVER_OK | VIRTIO_S_NEEDS_RESET)) == VIRTIO_S_DRIVER_OK;
}

static bool event_idx(const struct vmmio *d)
{
	return d->drv_features & VIRTIO_F_EVENT_IDX;
}

bool vq_more(struct vmmio *d, unsigned q)
{
	return vq_running(d, q) &&
	       __atomic_load_n(&d->q[q].avail->idx, __ATOMIC_RELAXED) != d->q[q].last_avail;
}

/* The chain that starts at c->head, into c; NULL, or what is wrong with it. */
static const char *walk(struct vmmio *d, const struct vq *q, struct vq_chain *c)
{
	const struct virtq_desc_shared *table = q->desc;
	unsigned i = c->head, n = q->num, count = 0;
	bool indirect = false;

	c->n_out = c->n_in = 0;
	c->out_len = c->in_len = 0;
	for (;;) {
		/* The driver may change it under our eyes: each field is read once. */
		uint64_t addr = __atomic_load_n(&table[i].addr, __ATOMIC_RELAXED);
		uint32_t len = __atomic_load_n(&table[i].len, __ATOMIC_RELAXED);
		uint16_t flags = __atomic_load_n(&table[i].flags, __ATOMIC_RELAXED);
		uint16_t next = __atomic_load_n(&table[i].next, __ATOMIC_RELAXED);
		struct iovec *iov;

		if (++count > VIRTIO_MAX_CHAIN)
			return "a descriptor chain without end";
		if (flags & VIRTQ_DESC_F_INDIRECT) {
			if (indirect || flags & VIRTQ_DESC_F_NEXT ||
			    !(d->drv_features & VIRTIO_F_INDIRECT_DESC))
				return "a misplaced indirect table";
			n = len / sizeof(*table);
			if (len % sizeof(*table) || !n || n > VIRTIO_MAX_CHAIN)
				return "an indirect table of bad length";
			table = vmem_at(d->host->mem, addr, len, false);
			if (!table || (uintptr_t)table % 16)
				return "an indirect table outside memory or not aligned";
			indirect = true;
			i = 0;
			count--;
			continue;
		}
		if (len) {
			if (!(flags & VIRTQ_DESC_F_WRITE) && c->n_in)
				return "a readable descriptor after a writable one";
			iov = &c->iov[c->n_out + c->n_in];
			iov->iov_base =
				vmem_at(d->host->mem, addr, len, flags & VIRTQ_DESC_F_WRITE);
			iov->iov_len = len;
			if (!iov->iov_base)
				return "a descriptor outside memory";
			if (flags & VIRTQ_DESC_F_WRITE) {
				c->n_in++;
				c->in_len += len;
			} else {
				c->n_out++;
				c->out_len += len;
			}
		}
		if (!(flags & VIRTQ_DESC_F_NEXT))
			return NULL;
		if (next >= n)
			return "a descriptor's successor outside its table";
		i = next;
	}
}

int vq_pop(struct vmmio *d, unsigned qi, struct vq_chain *c)
{
	struct vq *q = &d->q[qi];
	const char *bad = NULL;
	uint16_t avail;

	if (!vq_running(d, qi))
		return 0;
	/* Acquire: ring entries and descriptors are read after the index that covers them.  Pairs with
	 * the driver's release. */
	avail = __atomic_load_n(&q->avail->idx, __ATOMIC_ACQUIRE);
	if (avail == q->last_avail) {
		if (!event_idx(d))
			return 0;
		__atomic_store_n(virtq_avail_event(q->used, q->num), avail, __ATOMIC_RELAXED);
		/* avail_event before the second look; pairs with the fence between the driver's store of
		 * avail->idx and its load of avail_event: one of the two sees the other's. */
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		avail = __atomic_load_n(&q->avail->idx, __ATOMIC_ACQUIRE);
		if (avail == q->last_avail)
			return 0;
	}
	if ((uint16_t)(avail - q->last_avail) > q->num) {
		bad = "an available index out of range";
	} else {
		c->head =
			__atomic_load_n(&q->avail->ring[q->last_avail % q->num], __ATOMIC_RELAXED);
		if (c->head >= q->num)
			bad = "a descriptor index out of range";
		else if (q->busy & 1ull << c->head)
			bad = "a descriptor that is in use";
		else
			bad = walk(d, q, c);
	}
	if (bad) {
		vmmio_broken(d, bad);
		return -1;
	}
	q->last_avail++;
	q->busy |= 1ull << c->head;
	q->in_flight++;
	return 1;
}

static void reset_if_idle(struct vmmio *d)
{
	unsigned i;

	if (!d->resetting)
		return;
	for (i = 0; i < d->ops->n_queues; i++) {
		if (d->q[i].in_flight)
			return;
	}
	memset(d->q, 0, sizeof(d->q));
	d->status = d->int_status = 0;
	d->dev_sel = d->drv_sel = d->queue_sel = 0;
	d->drv_features = 0;
	d->resetting = false;
}

void vq_drop(struct vmmio *d, unsigned qi, uint16_t head)
{
	struct vq *q = &d->q[qi];

	q->busy &= ~(1ull << head);
	q->in_flight--;
	reset_if_idle(d);
}

void vq_fill(struct vmmio *d, unsigned qi, uint16_t head, uint32_t len)
{
	struct vq *q = &d->q[qi];
	struct virtq_used_elem *e;

	if (vq_running(d, qi)) {
		e = &q->used->ring[q->used_idx % q->num];
		__atomic_store_n(&e->id, head, __ATOMIC_RELAXED);
		__atomic_store_n(&e->len, len, __ATOMIC_RELAXED);
		q->used_idx++;
	}
	q->busy &= ~(1ull << head);
	q->in_flight--;
}

void vq_publish(struct vmmio *d, unsigned qi)
{
	struct vq *q = &d->q[qi];

	/* Release: the entries and the data before the index. */
	if (vq_running(d, qi))
		__atomic_store_n(&q->used->idx, q->used_idx, __ATOMIC_RELEASE);
	reset_if_idle(d);
}

void vq_push(struct vmmio *d, unsigned qi, uint16_t head, uint32_t len)
{
	vq_fill(d, qi, head, len);
	vq_publish(d, qi);
}

void vq_signal(struct vmmio *d, unsigned qi)
{
	struct vq *q = &d->q[qi];
	uint16_t old = q->signalled;
	bool wake;

	if (!vq_running(d, qi) || old == q->used_idx)
		return;
	q->signalled = q->used_idx;
	/* used->idx before used_event is read; pairs with the driver's fence in arming it. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (event_idx(d))
		wake = virtq_need_event(__atomic_load_n(virtq_used_event(q->avail, q->num),
							__ATOMIC_RELAXED),
					q->used_idx, old);
	else
		wake = !(__atomic_load_n(&q->avail->flags, __ATOMIC_RELAXED) &
			 VIRTQ_AVAIL_F_NO_INTERRUPT);
	if (wake) {
		d->int_status |= VIRTIO_INT_USED;
		d->host->signal(d->host->ctx, d->window);
	}
}

size_t vq_take(struct iovec *iov, unsigned *n_iov, void *buf, size_t n)
{
	size_t done = 0, part;
	unsigned i = 0;

	while (i < *n_iov && done < n) {
		part = iov[i].iov_len < n - done ? iov[i].iov_len : n - done;
		memcpy((uint8_t *)buf + done, iov[i].iov_base, part);
		iov[i].iov_base = (uint8_t *)iov[i].iov_base + part;
		iov[i].iov_len -= part;
		done += part;
		if (!iov[i].iov_len)
			i++;
	}
	*n_iov -= i;
	memmove(iov, iov + i, *n_iov * sizeof(*iov));
	return done;
}

size_t vq_give(struct iovec *iov, unsigned *n_iov, const void *buf, size_t n)
{
	size_t done = 0, part;
	unsigned i = 0;

	while (i < *n_iov && done < n) {
		part = iov[i].iov_len < n - done ? iov[i].iov_len : n - done;
		memcpy(iov[i].iov_base, (const uint8_t *)buf + done, part);
		iov[i].iov_base = (uint8_t *)iov[i].iov_base + part;
		iov[i].iov_len -= part;
		done += part;
		if (!iov[i].iov_len)
			i++;
	}
	*n_iov -= i;
	memmove(iov, iov + i, *n_iov * sizeof(*iov));
	return done;
}

/* The selected queue, while it may be set up; NULL otherwise. */
static struct vq *queue_setup(struct vmmio *d)
{
	if (d->queue_sel >= d->ops->n_queues || d->q[d->queue_sel].ready ||
	    !(d->status & VIRTIO_S_FEATURES_OK))
		return NULL;
	return &d->q[d->queue_sel];
}

static void queue_ready(struct vmmio *d, uint32_t v)
{
	struct vq *q = queue_setup(d);

	if (!(v & 1)) {
		if (d->queue_sel < d->ops->n_queues)
			d->q[d->queue_sel].ready = false;
		return;
	}
	if (!q)
		return;
	if (!q->num || q->num > VMMIO_QUEUE_MAX || q->num & (q->num - 1) || q->in_flight) {
		vmmio_broken(d, "a queue of bad length");
		return;
	}
	q->desc = vmem_at(d->host->mem, q->desc_gpa, VIRTQ_DESC_SIZE(q->num), false);
	q->avail = vmem_at(d->host->mem, q->avail_gpa, VIRTQ_AVAIL_SIZE(q->num), false);
	q->used = vmem_at(d->host->mem, q->used_gpa, VIRTQ_USED_SIZE(q->num), true);
	if (!q->desc || !q->avail || !q->used || (uintptr_t)q->desc % 16 ||
	    (uintptr_t)q->avail % 2 || (uintptr_t)q->used % 4) {
		vmmio_broken(d, "a queue outside memory or not aligned");
		return;
	}
	q->last_avail = q->used_idx = q->signalled = 0;
	q->ready = true;
}

static void set_half(uint64_t *v, bool high, uint32_t half)
{
	if (high)
		*v = (*v & 0xffffffffu) | (uint64_t)half << 32;
	else
		*v = (*v & ~0xffffffffull) | half;
}

static void write_status(struct vmmio *d, uint32_t v)
{
	if (!v) {
		d->resetting = true;
		d->ops->reset(d);
		reset_if_idle(d);
		return;
	}
	/* 3.1.1: the driver accepts a subset of what is offered, and must accept VERSION_1. */
	if (v & VIRTIO_S_FEATURES_OK && !(d->status & VIRTIO_S_FEATURES_OK) &&
	    (d->drv_features & ~d->features || !(d->drv_features & VIRTIO_F_VERSION_1)))
		v &= ~VIRTIO_S_FEATURES_OK;
	d->status |= v & (VIRTIO_S_ACKNOWLEDGE | VIRTIO_S_DRIVER | VIRTIO_S_FEATURES_OK |
			  VIRTIO_S_FAILED);
	if (v & VIRTIO_S_DRIVER_OK && d->status & VIRTIO_S_FEATURES_OK)
		d->status |= VIRTIO_S_DRIVER_OK;
}

static void write_reg(struct vmmio *d, uint32_t reg, uint32_t v)
{
	struct vq *q = queue_setup(d);

	/* A reset that waits for the host's file: nothing else until status reads 0. */
	if (d->resetting)
		return;
	switch (reg) {
	case VIRTIO_MMIO_DEVICE_FEATURES_SEL: d->dev_sel = v; break;
	case VIRTIO_MMIO_DRIVER_FEATURES_SEL: d->drv_sel = v; break;
	case VIRTIO_MMIO_DRIVER_FEATURES:
		if (d->drv_sel < 2 && !(d->status & VIRTIO_S_FEATURES_OK))
			set_half(&d->drv_features, d->drv_sel, v);
		break;
	case VIRTIO_MMIO_QUEUE_SEL: d->queue_sel = v; break;
	case VIRTIO_MMIO_QUEUE_NUM:
		if (q)
			q->num = v;
		break;
	case VIRTIO_MMIO_QUEUE_READY: queue_ready(d, v); break;
	case VIRTIO_MMIO_QUEUE_NOTIFY:
		if (v < d->ops->n_queues && vq_running(d, v))
			d->ops->notify(d, v);
		break;
	case VIRTIO_MMIO_INTERRUPT_ACK: d->int_status &= ~v; break;
	case VIRTIO_MMIO_STATUS: write_status(d, v); break;
	case VIRTIO_MMIO_QUEUE_DESC_LOW:
	case VIRTIO_MMIO_QUEUE_DESC_HIGH:
		if (q)
			set_half(&q->desc_gpa, reg & 4, v);
		break;
	case VIRTIO_MMIO_QUEUE_DRIVER_LOW:
	case VIRTIO_MMIO_QUEUE_DRIVER_HIGH:
		if (q)
			set_half(&q->avail_gpa, reg & 4, v);
		break;
	case VIRTIO_MMIO_QUEUE_DEVICE_LOW:
	case VIRTIO_MMIO_QUEUE_DEVICE_HIGH:
		if (q)
			set_half(&q->used_gpa, reg & 4, v);
		break;
	}
}

static uint32_t read_reg(const struct vmmio *d, uint32_t reg)
{
	const struct vq *q = d->queue_sel < d->ops->n_queues ? &d->q[d->queue_sel] : NULL;

	switch (reg) {
	case VIRTIO_MMIO_MAGIC: return VIRTIO_MMIO_MAGIC_VALUE;
	case VIRTIO_MMIO_VERSION: return VIRTIO_MMIO_VERSION_2;
	case VIRTIO_MMIO_DEVICE_ID: return d->ops->device_id;
	case VIRTIO_MMIO_VENDOR_ID: return VENDOR_ID;
	case VIRTIO_MMIO_DEVICE_FEATURES:
		return d->dev_sel < 2 ? (uint32_t)(d->features >> 32 * d->dev_sel) : 0;
	case VIRTIO_MMIO_QUEUE_NUM_MAX: return q ? VMMIO_QUEUE_MAX : 0;
	case VIRTIO_MMIO_QUEUE_READY: return q && (q->ready || q->in_flight);
	case VIRTIO_MMIO_INTERRUPT_STATUS: return d->int_status;
	case VIRTIO_MMIO_STATUS: return d->status;
	case VIRTIO_MMIO_CONFIG_GENERATION: return d->config_gen;
	}
	/* 4.2.2.1: no shared memory region has a length of all ones. */
	if (reg >= VIRTIO_MMIO_SHM_LEN_LOW && reg <= VIRTIO_MMIO_SHM_BASE_HIGH)
		return ~0u;
	return 0;
}

void vmmio_access(struct vmmio *d, uint32_t offset, unsigned size, bool write, uint64_t *val)
{
	uint32_t off = offset - VIRTIO_MMIO_CONFIG;

	pthread_mutex_lock(&d->lock);
	if (offset >= VIRTIO_MMIO_CONFIG) {
		if (!write) {
			*val = 0;
			if (size <= 8 && off < d->config_len && size <= d->config_len - off)
				memcpy(val, (const uint8_t *)d->config + off, size);
		}
	} else if (size != 4 || offset & 3) {
		if (!write)
			*val = 0;
	} else if (write) {
		write_reg(d, offset, (uint32_t)*val);
	} else {
		*val = read_reg(d, offset);
	}
	pthread_mutex_unlock(&d->lock);
}
