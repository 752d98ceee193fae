/* SPDX-License-Identifier: BSD-2-Clause */
/* reflect.c - a guest's access on its way to the home of the model, on the thread of the vCPU that made it. */
#include <string.h>

#include "vmm/domain.h"

uint16_t reflect_owner(struct domain *d, unsigned kind, uint64_t addr, unsigned size)
{
	uint16_t owner = 0;

	if (kind == SIO_REQ_PIO) {
		for (unsigned i = 0; i < size && addr + i <= 0xffff && !owner; i++)
			owner = atomic_load_explicit(&d->port_owner[addr + i],
						     memory_order_relaxed);
		return owner;
	}
	pthread_rwlock_rdlock(&d->mmio_lock);
	for (unsigned i = 0; i < d->n_mmio && !owner; i++)
		if (addr + size > d->mmio[i].base && addr < d->mmio[i].base + d->mmio[i].len)
			owner = d->mmio[i].owner;
	pthread_rwlock_unlock(&d->mmio_lock);
	return owner;
}

int reflect_request(struct domain *d, unsigned n, struct home *h, struct sio_request *r,
		    const void *data, size_t len)
{
	struct context *c = &h->ctx[n];
	bool owed;
	int rc;

	h->inside++;
	owed = fast_begin(d, n, h, r);
	r->now_ns = domain_now_ns(d);
	c->last = c->slot->req = *r;
	if (len)
		memcpy(c->slot->data, data, len);
	rc = context_run(c);
	if (owed)
		fast_end(d);
	h->inside--;
	return rc;
}

static uint64_t nobody(struct vcpu *v, void *burst, bool write, size_t bytes)
{
	v->unclaimed++;
	if (burst && !write)
		memset(burst, 0xff, bytes);
	return UINT64_MAX;
}

/* Time in contexts of all homes, as far as this vCPU's thread ran them. */
static uint64_t home_ticks(const struct vcpu *v)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < N_HOMES; i++)
		if (v->d->home[i])
			sum += v->d->home[i]->ctx[v->id].tsc;
	return sum;
}

uint64_t reflect(struct vcpu *v, unsigned kind, bool write, uint64_t addr, unsigned size,
		 uint32_t count, uint64_t data, void *burst)
{
	struct domain *d = v->d;
	uint16_t owner = reflect_owner(d, kind, addr, size);
	size_t bytes = (size_t)size * count;
	struct home *h = owner ? d->home[OWNER_HOME(owner)] : NULL;
	struct sio_request r = { .kind = (uint8_t)kind,
				 .write = write,
				 .size = (uint8_t)size,
				 .count = count,
				 .addr = addr,
				 .data = data };
	uint64_t t0, t1, before;

	if (!h || bytes > SIO_PAGE || h->dead)
		return nobody(v, burst, write, bytes);
	if (count == 1 && fast_access(v, owner, kind, write, addr, size, &data))
		return data;
	if (burst && !write && kind == SIO_REQ_PIO &&
	    fast_burst(v, owner, addr, size, bytes, burst))
		return data;
	t0 = tsc();
	before = home_ticks(v);
	if (reflect_request(d, v->id, h, &r, burst, burst && write ? bytes : 0))
		return nobody(v, burst, write, bytes);
	if (burst && !write)
		memcpy(burst, h->ctx[v->id].slot->data, bytes);
	data = *(volatile uint64_t *)&h->ctx[v->id].slot->answer;
	t1 = tsc();
	v->host_tsc += t1 - t0 - (home_ticks(v) - before);
	stats_count(v, owner, bytes, t1 - t0);
	return data;
}
