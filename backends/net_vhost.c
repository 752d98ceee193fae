/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * net_vhost.c - vhost-net: a kernel thread moves frames between the driver's rings and the TAP
 * interface (linux/vhost.h).
 *
 * The kernel is given companion memory as it lies in this process, and checks ring and descriptor
 * addresses against that.  Memory that devices must not write isn't in its table.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/vhost.h> /* with its own idea of VIRTIO_F_VERSION_1: a bit's number */
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#undef VIRTIO_F_VERSION_1
#include "backends/net_int.h"

#define QUEUES 2u

struct net_vhost {
	int fd, epfd;
	int kick[QUEUES], call[QUEUES], err[QUEUES];
	struct net_dev *nd; /* running for it; NULL */
	unsigned n_started; /* queues that have the interface */
};

static bool new_eventfd(struct net_vhost *v, int *fd, bool watched)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = fd };

	*fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	return *fd >= 0 && (!watched || !epoll_ctl(v->epfd, EPOLL_CTL_ADD, *fd, &ev));
}

struct net_vhost *net_vhost_open(uint64_t *features)
{
	struct net_vhost *v = calloc(1, sizeof(*v));
	uint64_t can, need = VIRTIO_F_VERSION_1 | VIRTIO_F_INDIRECT_DESC | VIRTIO_F_EVENT_IDX |
			     VIRTIO_NET_F_MRG_RXBUF;
	bool ok;
	unsigned q;
	int error;

	if (!v)
		return NULL;
	v->fd = open("/dev/vhost-net", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	v->epfd = epoll_create1(EPOLL_CLOEXEC);
	ok = v->fd >= 0 && v->epfd >= 0;
	for (q = 0; q < QUEUES; q++) {
		ok &= new_eventfd(v, &v->kick[q], false);
		ok &= new_eventfd(v, &v->call[q], true);
		ok &= new_eventfd(v, &v->err[q], true);
	}
	ok = ok && !ioctl(v->fd, VHOST_SET_OWNER) && !ioctl(v->fd, VHOST_GET_FEATURES, &can);
	if (ok && (can & need) == need)
		return v;
	error = ok ? EOPNOTSUPP : errno;
	net_vhost_free(v);
	errno = error;
	return NULL;
}

static bool set_memory(struct net_vhost *v, const struct vmem *m)
{
	_Alignas(struct vhost_memory) uint8_t
		buf[sizeof(struct vhost_memory) + VMEM_MAX * sizeof(struct vhost_memory_region)];
	struct vhost_memory *t = (void *)buf;
	unsigned i;

	memset(buf, 0, sizeof(buf));
	for (i = 0; i < m->n; i++) {
		if (m->r[i].ro)
			continue;
		t->regions[t->nregions++] = (struct vhost_memory_region){
			.guest_phys_addr = m->r[i].gpa,
			.memory_size = m->r[i].len,
			.userspace_addr = (uintptr_t)m->r[i].hva,
		};
	}
	return !ioctl(v->fd, VHOST_SET_MEM_TABLE, t);
}

static bool set_queue(struct net_vhost *v, unsigned q, const struct vq *vq)
{
	struct vhost_vring_state num = { q, vq->num }, base = { q, vq->last_avail };
	struct vhost_vring_addr addr = {
		.index = q,
		.desc_user_addr = (uintptr_t)vq->desc,
		.avail_user_addr = (uintptr_t)vq->avail,
		.used_user_addr = (uintptr_t)vq->used,
	};
	struct vhost_vring_file kick = { q, v->kick[q] }, call = { q, v->call[q] },
				err = { q, v->err[q] };

	return !ioctl(v->fd, VHOST_SET_VRING_NUM, &num) &&
	       !ioctl(v->fd, VHOST_SET_VRING_BASE, &base) &&
	       !ioctl(v->fd, VHOST_SET_VRING_ADDR, &addr) &&
	       !ioctl(v->fd, VHOST_SET_VRING_KICK, &kick) &&
	       !ioctl(v->fd, VHOST_SET_VRING_CALL, &call) &&
	       !ioctl(v->fd, VHOST_SET_VRING_ERR, &err);
}

bool net_vhost_start(struct net_vhost *v, struct net_dev *nd)
{
	/* The TAP descriptor has the header's size; what is in it is between the driver and TAP. */
	uint64_t features = nd->vm.drv_features & (VIRTIO_F_VERSION_1 | VIRTIO_F_INDIRECT_DESC |
						   VIRTIO_F_EVENT_IDX | VIRTIO_NET_F_MRG_RXBUF);
	unsigned q;
	int error;

	v->nd = nd;
	if (ioctl(v->fd, VHOST_SET_FEATURES, &features) || !set_memory(v, nd->vm.host->mem))
		goto fail;
	for (q = 0; q < QUEUES; q++) {
		if (!set_queue(v, q, &nd->vm.q[q]))
			goto fail;
	}
	for (q = 0; q < QUEUES; q++) {
		struct vhost_vring_file backend = { q, nd->io.fd };

		if (ioctl(v->fd, VHOST_NET_SET_BACKEND, &backend))
			goto fail;
		v->n_started++;
	}
	/* What was there before the kernel listened. */
	for (q = 0; q < QUEUES; q++)
		net_vhost_kick(v, q);
	return true;
fail:
	error = errno;
	net_vhost_stop(v);
	errno = error;
	return false;
}

void net_vhost_stop(struct net_vhost *v)
{
	unsigned q;

	if (!v->nd)
		return;
	/* Returns when the kernel has let go of the rings and of the descriptor.  It has finished with
	 * every chain that it took, so where it stopped is where to go on. */
	for (q = 0; q < v->n_started; q++) {
		struct vhost_vring_file none = { q, -1 };
		struct vhost_vring_state base = { q, 0 };
		struct vq *vq = &v->nd->vm.q[q];

		ioctl(v->fd, VHOST_NET_SET_BACKEND, &none);
		if (!ioctl(v->fd, VHOST_GET_VRING_BASE, &base))
			vq->last_avail = vq->used_idx = vq->signalled = (uint16_t)base.num;
	}
	v->n_started = 0;
	v->nd = NULL;
}

bool net_vhost_running(const struct net_vhost *v)
{
	return v->nd;
}

void net_vhost_kick(struct net_vhost *v, unsigned q)
{
	uint64_t one = 1;

	if (write(v->kick[q], &one, sizeof(one)) < 0)
		return; /* full: it has been kicked */
}

int net_vhost_fd(const struct net_vhost *v)
{
	return v->epfd;
}

bool net_vhost_ready(struct net_vhost *v, struct net_dev *nd)
{
	struct epoll_event ev[2 * QUEUES];
	bool signal = false, good = true;
	uint64_t count;
	int i, n = epoll_wait(v->epfd, ev, 2 * QUEUES, 0);

	for (i = 0; i < n; i++) {
		int *fd = ev[i].data.ptr;

		if (read(*fd, &count, sizeof(count)) < 0)
			continue;
		if (fd == &v->err[0] || fd == &v->err[1])
			good = false;
		else
			signal = true;
	}
	/* Even when it has been stopped meanwhile: what it did before must not go unseen. */
	if (signal) {
		nd->vm.int_status |= VIRTIO_INT_USED;
		nd->vm.host->signal(nd->vm.host->ctx, nd->vm.window);
	}
	return good || !v->nd;
}

void net_vhost_free(struct net_vhost *v)
{
	unsigned q;

	if (!v)
		return;
	net_vhost_stop(v);
	for (q = 0; q < QUEUES; q++) {
		if (v->kick[q] >= 0)
			close(v->kick[q]);
		if (v->call[q] >= 0)
			close(v->call[q]);
		if (v->err[q] >= 0)
			close(v->err[q]);
	}
	if (v->epfd >= 0)
		close(v->epfd);
	if (v->fd >= 0)
		close(v->fd);
	free(v);
}
