/* SPDX-License-Identifier: BSD-2-Clause */
/* xen.c - the ground of the PV front ends on Xen: hypercalls and grants. */
#include "drivers/xen/xen.h"

#include "drivers/xen/store.h"

#define N_GRANTS (XEN_GRANT_FRAMES * (uint32_t)XEN_GRANTS_IN_FRAME)

void xen_log(const struct xen *x, const char *text)
{
	if (x->env->log)
		x->env->log(x->env->ctx, text);
}

bool xen_yield(struct xen *x, uint64_t deadline)
{
	x->env->hypercall(x->env->ctx, XEN_HC_SCHED, XEN_SCHED_YIELD, NULL, 0);
	return x->env->now_ns(x->env->ctx) < deadline;
}

uint64_t xen_param(struct xen *x, enum xen_param p)
{
	struct xen_hvm_get_param a = { .domid = XEN_DOMID_SELF, .index = p };

	if (x->env->hypercall(x->env->ctx, XEN_HC_HVM, XEN_HVMOP_GET_PARAM, &a, 0))
		return 0;
	return a.value;
}

void xen_send(struct xen *x, uint32_t port)
{
	struct xen_evtchn_send a = { port };

	x->env->hypercall(x->env->ctx, XEN_HC_EVENT_CHANNEL, XEN_EVTCHN_SEND, &a, 0);
}

/*
 * Kernels take grants from the table's bottom and have it grow as they need more; the firmware takes
 * the last frames, which they reach last.  A frame of the table is mapped in place of a page of the
 * firmware's.  Mapping the last makes the table as large as it may be.
 */
static int map_grants(struct xen *x)
{
	const struct xen_env *env = x->env;
	struct xen_gnttab_query_size q = { .domid = XEN_DOMID_SELF };
	struct xen_gnttab_get_version v = { .domid = XEN_DOMID_SELF };

	if (env->hypercall(env->ctx, XEN_HC_GRANT_TABLE, XEN_GNTTAB_QUERY_SIZE, &q, 1) ||
	    q.status || q.max_nr_frames <= XEN_GRANT_FRAMES ||
	    q.max_nr_frames > UINT32_MAX / XEN_GRANTS_IN_FRAME) {
		xen_log(x, "xen: the grant table is too small for firmware and guest");
		return -1;
	}
	if (env->hypercall(env->ctx, XEN_HC_GRANT_TABLE, XEN_GNTTAB_GET_VERSION, &v, 1) ||
	    v.version != 1) {
		xen_log(x, "xen: the grant table is not of version 1");
		return -1;
	}
	for (unsigned i = 0; i < XEN_GRANT_FRAMES; i++) {
		struct xen_add_to_physmap a = {
			.domid = XEN_DOMID_SELF,
			.space = XEN_MAPSPACE_GRANT,
			.idx = q.max_nr_frames - XEN_GRANT_FRAMES + i,
			.gpfn = (unsigned long)(env->gpa(env->ctx, x->grant) / XEN_PAGE + i),
		};

		if (env->hypercall(env->ctx, XEN_HC_MEMORY, XEN_MEM_ADD_TO_PHYSMAP, &a, 0)) {
			xen_log(x, "xen: the grant table can't be mapped");
			return -1;
		}
	}
	x->first_ref = (q.max_nr_frames - XEN_GRANT_FRAMES) * (uint32_t)XEN_GRANTS_IN_FRAME;
	return 0;
}

int xen_init(struct xen *x, const struct xen_env *env)
{
	x->env = env;
	x->grant = env->alloc(env->ctx, XEN_GRANT_FRAMES * XEN_PAGE, XEN_PAGE);
	if (!x->grant) {
		xen_log(x, "xen: no memory for the grant table");
		return -1;
	}
	return xen_restored(x);
}

int xen_restored(struct xen *x)
{
	return map_grants(x) || store_init(x) ? -1 : 0;
}

uint32_t xen_grants_take(struct xen *x, unsigned n)
{
	uint32_t first = x->n_taken;

	if (n > N_GRANTS - first) {
		xen_log(x, "xen: no grants left");
		return UINT32_MAX;
	}
	x->n_taken += n;
	return first;
}

uint32_t xen_ref(const struct xen *x, uint32_t grant)
{
	return x->first_ref + grant;
}

void xen_grant(struct xen *x, uint32_t grant, uint16_t domid, uint64_t gpa, bool readonly)
{
	struct xen_grant_shared *g = &x->grant[grant];

	g->domid = domid;
	g->frame = (uint32_t)(gpa / XEN_PAGE);
	/* Release: whoever sees the flags sees the rest. */
	__atomic_store_n(&g->flags, (uint16_t)(XEN_GTF_PERMIT | (readonly ? XEN_GTF_READONLY : 0)),
			 __ATOMIC_RELEASE);
}

bool xen_grant_end(struct xen *x, uint32_t grant)
{
	struct xen_grant_shared *g = &x->grant[grant];
	uint16_t was = __atomic_load_n(&g->flags, __ATOMIC_RELAXED);

	/* A failed exchange shows the flags again: the hypervisor set one meanwhile, or the guest wrote
	 * nonsense there.  Either way there is an end. */
	for (unsigned i = 0; i < 8 && !(was & (XEN_GTF_READING | XEN_GTF_WRITING)); i++)
		if (__atomic_compare_exchange_n(&g->flags, &was, 0, false, __ATOMIC_ACQ_REL,
						__ATOMIC_RELAXED))
			return true;
	return false;
}

bool xen_ring_push(uint32_t *shared_prod, const uint32_t *shared_event, uint32_t *pushed,
		   uint32_t prod)
{
	uint32_t old = *pushed, event;

	if (old == prod)
		return false;
	/* Release: entries before their index. */
	__atomic_store_n(shared_prod, prod, __ATOMIC_RELEASE);
	*pushed = prod;
	/* Pairs with the back end's: it sets req_event, then looks for req_prod again. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	event = __atomic_load_n(shared_event, __ATOMIC_RELAXED);
	return prod - event < prod - old;
}
