/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * net.c - virtio network device (virtio 1.2, section 5.1) over what the host has.
 *
 * Frames are written from the driver's segments and read into its buffers, by one system call each, as
 * far as the descriptor takes and the buffers suffice.  No chain of the transmit queue stays with us: what
 * can't be written at once is copied.  Receive buffers do stay, in a stash of up to NET_RX_STASH.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "backends/net_int.h"

#define MAX_CHAINS  (4u * VMMIO_QUEUE_MAX) /* taken from a queue in one go */
#define MAX_FRAMES  64u                    /* read in one go */
#define MAX_IOV     256u                   /* of the driver's segments in one read */
#define MAX_LENGTH  (1u << 17)             /* on a stream; beyond it's not our protocol */
#define MIN_FRAME   14u
#define STALL       NET_SEC       /* so long a peer may read nothing */
#define REPEAT      (NET_SEC / 5) /* a change of the link that the driver hasn't looked at */
#define SAY_PER_MIN 6u
#define REST_BYTES  (NET_HDR + NETDEV_MAX_GSO)

/* What an epoll event is about. */
enum { EV_TIMER, EV_IO, EV_AUX, EV_VHOST };

uint64_t net_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * NET_SEC + (uint64_t)t.tv_nsec;
}

void net_say(struct net_dev *nd, const char *fmt, ...)
{
	char text[400];
	uint64_t now = net_now();
	va_list ap;
	int n;

	if (!nd->vm.host || !nd->vm.host->message)
		return;
	if (now - nd->said_since > 60 * NET_SEC) {
		nd->said_since = now;
		nd->said = 0;
	}
	if (nd->said++ >= SAY_PER_MIN)
		return;
	n = snprintf(text, sizeof(text), "%s: ", nd->name);
	va_start(ap, fmt);
	vsnprintf(text + n, sizeof(text) - (size_t)n, fmt, ap);
	va_end(ap);
	nd->vm.host->message(nd->vm.host->ctx, text);
}

static bool vhost_runs(const struct net_dev *nd)
{
	return nd->vhost && net_vhost_running(nd->vhost);
}

/* Do we read frames, or would if there were any? */
static bool reading(const struct net_dev *nd)
{
	return nd->io.fd >= 0 && nd->driver && vq_running(&nd->vm, VIRTIO_NET_RX) && !nd->starved &&
	       !vhost_runs(nd);
}

/* With no events asked for, hang-ups and errors are still reported. */
static void watch(struct net_dev *nd, struct net_watch *w, uint32_t events, uint32_t what)
{
	struct epoll_event ev = { .events = events, .data.u32 = what };

	if (w->fd < 0 || (w->added && w->events == events))
		return;
	if (epoll_ctl(nd->epfd, w->added ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, w->fd, &ev))
		net_say(nd, "epoll: %s", strerror(errno));
	w->added = true;
	w->events = events;
}

static void unwatch(struct net_dev *nd, struct net_watch *w)
{
	if (w->fd < 0)
		return;
	/* By hand: passt's end of a socket pair may be in another process by now, a copy of ours never. */
	if (w->added)
		epoll_ctl(nd->epfd, EPOLL_CTL_DEL, w->fd, NULL);
	close(w->fd);
	*w = (struct net_watch){ .fd = -1 };
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* At the end of each entry: what we wait for from here on. */
static void leave(struct net_dev *nd)
{
	struct itimerspec it = { 0 };
	uint64_t at = least(nd->retry_at, least(nd->stall_at, nd->repeat_at));

	if (nd->soon)
		at = 1; /* long ago */
	watch(nd, &nd->io, (reading(nd) ? EPOLLIN : 0u) | (nd->rest_len ? EPOLLOUT : 0u), EV_IO);
	if (at == nd->timer_set)
		return;
	nd->timer_set = at;
	if (at != NET_NEVER) {
		it.it_value.tv_sec = (time_t)(at / NET_SEC);
		it.it_value.tv_nsec = (long)(at % NET_SEC);
	}
	timerfd_settime(nd->timer_fd, TFD_TIMER_ABSTIME, &it, NULL);
}

void net_set_link(struct net_dev *nd, bool up)
{
	if (nd->st.link == up)
		return;
	nd->st.link = up;
	nd->cfg.status = up ? VIRTIO_NET_S_LINK_UP : 0;
	if (!up)
		nd->st.link_losses++;
	vmmio_config_changed(&nd->vm);
	nd->repeat_at = net_now() + REPEAT;
}

static void try_vhost(struct net_dev *nd)
{
	if (!nd->vhost || net_vhost_running(nd->vhost) || nd->io.fd < 0 || !nd->driver ||
	    !vq_running(&nd->vm, VIRTIO_NET_RX) || !vq_running(&nd->vm, VIRTIO_NET_TX))
		return;
	if (net_vhost_start(nd->vhost, nd)) {
		nd->st.vhost = true;
		return;
	}
	net_say(nd, "vhost-net: %s; going on without it", strerror(errno));
	net_vhost_free(nd->vhost);
	nd->vhost = NULL;
	nd->st.vhost = false;
}

static void meet_driver(struct net_dev *nd)
{
	if (!(nd->vm.status & VIRTIO_S_DRIVER_OK) || nd->vm.resetting)
		return;
	if (!nd->driver && nd->port->driver)
		nd->port->driver(nd);
	nd->driver = true;
	try_vhost(nd);
}

void net_set_fd(struct net_dev *nd, int fd)
{
	net_close_io(nd);
	nd->io.fd = fd;
	if (nd->driver && nd->port->driver)
		nd->port->driver(nd);
	try_vhost(nd);
}

void net_set_aux(struct net_dev *nd, int fd)
{
	unwatch(nd, &nd->aux);
	nd->aux.fd = fd;
	watch(nd, &nd->aux, EPOLLIN, EV_AUX);
}

void net_close_io(struct net_dev *nd)
{
	if (nd->vhost)
		net_vhost_stop(nd->vhost);
	unwatch(nd, &nd->io);
	nd->rest_len = nd->rest_pos = 0;
	nd->stalled = false;
	nd->stall_at = NET_NEVER;
	nd->len_got = nd->frame_len = nd->frame_got = 0;
	nd->skip = false;
}

void net_lost(struct net_dev *nd, int error)
{
	net_close_io(nd);
	net_set_link(nd, false);
	nd->port->lost(nd, error);
}

/* The end of a capture that can't be gone on with, or isn't wanted. */
static void capture(struct net_dev *nd, const struct iovec *iov, unsigned n, size_t len)
{
	int error = nd->pcap ? net_pcap_frame(nd->pcap, iov, n, len) : 0;

	if (!error)
		return;
	net_say(nd, "%s: %s: the capture ends here", nd->o.pcap, strerror(error));
	net_pcap_close(nd->pcap);
	nd->pcap = NULL;
}

/* Out. */

static ssize_t io_write(struct net_dev *nd, struct iovec *iov, unsigned n)
{
	struct msghdr m = { .msg_iov = iov, .msg_iovlen = n };
	ssize_t r;

	do {
		r = nd->port->stream ? sendmsg(nd->io.fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL) :
				       writev(nd->io.fd, iov, (int)n);
	} while (r < 0 && errno == EINTR);
	return r < 0 && errno == EAGAIN ? 0 : r;
}

/* False: the frame is not to be had, the descriptor goes on. */
static bool write_failed(struct net_dev *nd)
{
	int error = errno;

	/* A TAP interface that is down says EIO, a frame that it doesn't like EINVAL. */
	if (!nd->port->stream && error != EBADFD && error != EPIPE)
		return false;
	net_lost(nd, error);
	return true;
}

/* Is there room for another frame? */
static bool flush_rest(struct net_dev *nd)
{
	struct iovec iov = { nd->rest + nd->rest_pos, nd->rest_len - nd->rest_pos };
	ssize_t n;

	if (!nd->rest_len)
		return true;
	n = io_write(nd, &iov, 1);
	if (n > 0)
		nd->rest_pos += (size_t)n;
	else if (n < 0 && !write_failed(nd))
		nd->rest_pos = nd->rest_len;
	if (nd->rest_pos < nd->rest_len) {
		/* It reads, if slowly. */
		if (n > 0 && !nd->stalled)
			nd->stall_at = net_now() + STALL;
		return false;
	}
	nd->rest_pos = nd->rest_len = 0;
	nd->stalled = false;
	nd->stall_at = NET_NEVER;
	return true;
}

/* Takes what the driver asks for apart into h.  False: no such frame. */
static bool tx_header(const struct net_dev *nd, struct virtio_net_hdr *h, size_t len)
{
	uint64_t f = nd->vm.drv_features;
	bool gso = h->gso_type != VIRTIO_NET_GSO_NONE;

	if (len < MIN_FRAME || len > (gso ? NETDEV_MAX_GSO : NETDEV_MAX_FRAME))
		return false;
	if (h->flags & VIRTIO_NET_HDR_NEEDS_CSUM) {
		if (!(f & VIRTIO_NET_F_CSUM) || (size_t)h->csum_start + h->csum_offset + 2 > len)
			return false;
	} else if (gso) {
		return false;
	}
	if (gso && ((h->gso_type != VIRTIO_NET_GSO_TCPV4 && h->gso_type != VIRTIO_NET_GSO_TCPV6) ||
		    !(f & (h->gso_type == VIRTIO_NET_GSO_TCPV4 ? VIRTIO_NET_F_HOST_TSO4 :
								 VIRTIO_NET_F_HOST_TSO6)) ||
		    !h->gso_size || h->hdr_len > len))
		return false;
	h->flags &= VIRTIO_NET_HDR_NEEDS_CSUM;
	if (!gso)
		h->gso_size = h->hdr_len = 0;
	if (!h->flags)
		h->csum_start = h->csum_offset = 0;
	h->num_buffers = 0;
	return true;
}

static void tx_frame(struct net_dev *nd, struct vq_chain *c)
{
	struct iovec iov[VIRTIO_MAX_CHAIN + 1];
	struct virtio_net_hdr h;
	uint8_t length[4], small[NET_PADDED];
	size_t len, head = nd->port->stream ? sizeof(length) : NET_HDR, at;
	unsigned n, i;
	ssize_t r;

	if (c->n_in || vq_take(c->iov, &c->n_out, &h, NET_HDR) < NET_HDR) {
		vmmio_broken(&nd->vm, "a frame without its header");
		return;
	}
	len = c->out_len - NET_HDR;
	n = c->n_out + 1;
	memcpy(iov + 1, c->iov, c->n_out * sizeof(*iov));
	if (!tx_header(nd, &h, len) || !nd->st.link || nd->io.fd < 0 || nd->rest_len) {
		nd->st.tx_drops++;
		return;
	}
	if (nd->port->unpad && len <= sizeof(small)) {
		vq_take(c->iov, &c->n_out, small, len);
		len = nd->port->unpad(small, len);
		iov[1] = (struct iovec){ small, len };
		n = 2;
	}
	capture(nd, iov + 1, n - 1, len);
	for (i = 0; i < 4; i++)
		length[i] = (uint8_t)(len >> (24 - 8 * i));
	iov[0] = (struct iovec){ nd->port->stream ? (void *)length : (void *)&h, head };
	r = io_write(nd, iov, n);
	if (r < 0) {
		write_failed(nd);
		nd->st.tx_drops++;
		return;
	}
	nd->st.tx_frames++;
	nd->st.tx_bytes += len;
	if ((size_t)r == head + len)
		return;
	for (i = 0, at = 0; i < n; i++) {
		memcpy(nd->rest + at, iov[i].iov_base, iov[i].iov_len);
		at += iov[i].iov_len;
	}
	nd->rest_pos = (size_t)r;
	nd->rest_len = at;
	nd->stall_at = net_now() + STALL;
}

static void pump_out(struct net_dev *nd)
{
	struct vq_chain c;
	unsigned chains = 0;

	nd->soon = false;
	while (nd->driver && !vhost_runs(nd) && (flush_rest(nd) || nd->stalled)) {
		if (chains++ == MAX_CHAINS) {
			nd->soon = vq_more(&nd->vm, VIRTIO_NET_TX);
			break;
		}
		if (vq_pop(&nd->vm, VIRTIO_NET_TX, &c) <= 0)
			break;
		tx_frame(nd, &c);
		vq_push(&nd->vm, VIRTIO_NET_TX, c.head, 0);
	}
	vq_signal(&nd->vm, VIRTIO_NET_TX);
}

/* In. */

static struct vq_chain *stash(struct net_dev *nd, unsigned i)
{
	return &nd->rx[(nd->rx_first + i) % NET_RX_STASH];
}

static unsigned stash_max(const struct net_dev *nd)
{
	return nd->vm.drv_features & VIRTIO_NET_F_MRG_RXBUF ? NET_RX_STASH : 1;
}

/* Takes buffers until there is room for need bytes.  False: no more, or no more may be stashed. */
static bool gather(struct net_dev *nd, size_t need)
{
	struct vq_chain *c;

	while (nd->room < need && nd->n_rx < stash_max(nd)) {
		c = stash(nd, nd->n_rx);
		if (vq_pop(&nd->vm, VIRTIO_NET_RX, c) <= 0)
			return false;
		nd->n_rx++;
		nd->room += c->in_len;
		if (c->n_out || c->in_len < NET_HDR) {
			vmmio_broken(&nd->vm, "a receive buffer that a header doesn't fit into");
			return false;
		}
	}
	return nd->room >= need;
}

/* The stash's bytes from off on, len at most, as segments; *covered: how many these are. */
static unsigned flatten(struct net_dev *nd, size_t off, size_t len, struct iovec *iov,
			size_t *covered)
{
	unsigned i, j, n = 0;

	*covered = 0;
	for (i = 0; i < nd->n_rx; i++) {
		const struct vq_chain *c = stash(nd, i);

		for (j = 0; j < c->n_in && *covered < len && n < MAX_IOV; j++) {
			size_t part = c->iov[j].iov_len;

			if (off >= part) {
				off -= part;
				continue;
			}
			part -= off;
			if (part > len - *covered)
				part = len - *covered;
			iov[n++] = (struct iovec){ (uint8_t *)c->iov[j].iov_base + off, part };
			*covered += part;
			off = 0;
		}
	}
	return n;
}

/* Copies between buf and the stash's bytes [off, off+len), all of which must be there. */
static void copy(struct net_dev *nd, size_t off, void *buf, size_t len, bool to_driver)
{
	uint8_t *p = buf;
	unsigned i, j;

	for (i = 0; i < nd->n_rx && len; i++) {
		const struct vq_chain *c = stash(nd, i);

		for (j = 0; j < c->n_in && len; j++) {
			size_t part = c->iov[j].iov_len;
			uint8_t *there = (uint8_t *)c->iov[j].iov_base + off;

			if (off >= part) {
				off -= part;
				continue;
			}
			part = part - off < len ? part - off : len;
			if (to_driver)
				memcpy(there, p, part);
			else
				memcpy(p, there, part);
			p += part;
			len -= part;
			off = 0;
		}
	}
}

/* The stash holds a frame of len bytes after room for its header, and there is that much room. */
static void deliver(struct net_dev *nd, struct virtio_net_hdr *h, size_t len)
{
	struct iovec iov[MAX_IOV];
	size_t left = NET_HDR + len, covered;
	unsigned n, bufs;

	if (nd->pcap) {
		n = flatten(nd, NET_HDR, len, iov, &covered);
		capture(nd, iov, n, covered);
	}
	for (bufs = 0; left; bufs++)
		left -= least(left, stash(nd, bufs)->in_len);
	h->num_buffers = (uint16_t)bufs;
	copy(nd, 0, h, NET_HDR, true);
	for (left = NET_HDR + len; left; nd->n_rx--) {
		const struct vq_chain *c = stash(nd, 0);
		size_t part = least(left, c->in_len);

		vq_fill(&nd->vm, VIRTIO_NET_RX, c->head, (uint32_t)part);
		left -= part;
		nd->room -= c->in_len;
		nd->rx_first++;
	}
	/* Now, and all at once: drivers don't look for the rest of a frame. */
	vq_publish(&nd->vm, VIRTIO_NET_RX);
	nd->st.rx_frames++;
	nd->st.rx_bytes += len;
}

/* Takes a TAP interface's header apart.  False: no frame that was asked for. */
static bool rx_header(const struct net_dev *nd, struct virtio_net_hdr *h, size_t len)
{
	if (len < MIN_FRAME || len > NETDEV_MAX_FRAME || h->gso_type != VIRTIO_NET_GSO_NONE)
		return false;
	h->flags &= VIRTIO_NET_HDR_NEEDS_CSUM | VIRTIO_NET_HDR_DATA_VALID;
	if (h->flags & VIRTIO_NET_HDR_NEEDS_CSUM &&
	    (size_t)h->csum_start + h->csum_offset + 2 > len)
		return false;
	if (!(nd->vm.drv_features & VIRTIO_NET_F_GUEST_CSUM)) {
		if (h->flags & VIRTIO_NET_HDR_NEEDS_CSUM)
			return false; /* it would go on with a wrong checksum */
		h->flags = 0;
	}
	if (!(h->flags & VIRTIO_NET_HDR_NEEDS_CSUM))
		h->csum_start = h->csum_offset = 0;
	h->gso_size = h->hdr_len = 0;
	return true;
}

/* One frame.  False: nothing more for now. */
static bool rx_packet(struct net_dev *nd)
{
	struct iovec iov[MAX_IOV + 2];
	struct virtio_net_hdr h = { 0 };
	size_t covered, len;
	unsigned n;
	ssize_t r;

	if (nd->kept) {
		if (!gather(nd, NET_HDR + nd->kept)) {
			if (nd->n_rx < stash_max(nd)) {
				nd->starved = true;
				return false;
			}
			nd->st.rx_drops++;
		} else {
			copy(nd, NET_HDR, nd->spill, nd->kept, true);
			deliver(nd, &nd->kept_hdr, nd->kept);
		}
		nd->kept = 0;
		return true;
	}
	/* Its length isn't known: as many as the longest may need, or what there is and the spill. */
	gather(nd, NET_HDR + NETDEV_MAX_FRAME);
	if (!nd->n_rx || !vq_running(&nd->vm, VIRTIO_NET_RX)) {
		nd->starved = true;
		return false;
	}
	iov[0] = (struct iovec){ &h, NET_HDR };
	n = flatten(nd, NET_HDR, NETDEV_MAX_FRAME, iov + 1, &covered) + 1;
	iov[n++] = (struct iovec){ nd->spill, NET_SPILL };
	do {
		r = readv(nd->io.fd, iov, (int)n);
	} while (r < 0 && errno == EINTR);
	if (r < 0 && errno == EAGAIN)
		return false;
	/* The kernel drops a packet that is longer than all this. */
	if (r < 0 && errno == EFAULT)
		r = 1;
	if (r <= 0) {
		net_lost(nd, r ? errno : 0);
		return false;
	}
	len = (size_t)r - NET_HDR;
	if ((size_t)r < NET_HDR || !rx_header(nd, &h, len)) {
		nd->st.rx_drops++;
		return true;
	}
	if (len <= covered) {
		deliver(nd, &h, len);
		return true;
	}
	/* Longer than the buffers that there were: the next round gets more of them. */
	memmove(nd->spill + covered, nd->spill, len - covered);
	copy(nd, NET_HDR, nd->spill, covered, false);
	nd->kept = (uint32_t)len;
	nd->kept_hdr = h;
	return true;
}

/* A step of reading a stream.  False: nothing more for now. */
static bool rx_stream(struct net_dev *nd)
{
	struct iovec iov[MAX_IOV + 1];
	struct virtio_net_hdr h = { 0 };
	size_t body = 0, left;
	unsigned n = 0;
	ssize_t r;

	if (nd->len_got == 4) {
		nd->frame_len = (uint32_t)nd->len_buf[0] << 24 | (uint32_t)nd->len_buf[1] << 16 |
				(uint32_t)nd->len_buf[2] << 8 | nd->len_buf[3];
		nd->len_got = 0;
		nd->frame_got = 0;
		if (!nd->frame_len || nd->frame_len > MAX_LENGTH) {
			net_say(nd,
				"the peer sent a length of %u bytes for a frame: connection closed",
				nd->frame_len);
			net_lost(nd, 0);
			return false;
		}
		nd->skip = nd->frame_len < MIN_FRAME || nd->frame_len > NETDEV_MAX_FRAME;
	}
	left = nd->frame_len - nd->frame_got;
	if (left && !nd->skip && !gather(nd, NET_HDR + nd->frame_len)) {
		if (nd->n_rx < stash_max(nd)) {
			nd->starved = true;
			return false;
		}
		nd->skip = true;
	}
	if (left && nd->skip) {
		body = least(left, NET_SPILL);
		iov[n++] = (struct iovec){ nd->spill, body };
	} else if (left) {
		n = flatten(nd, NET_HDR + nd->frame_got, left, iov, &body);
	}
	/* With a frame's last part comes the next one's length. */
	if (body == left)
		iov[n++] = (struct iovec){ nd->len_buf + nd->len_got, 4 - nd->len_got };
	do {
		r = readv(nd->io.fd, iov, (int)n);
	} while (r < 0 && errno == EINTR);
	if (r < 0 && errno == EAGAIN)
		return false;
	if (r <= 0) {
		net_lost(nd, r ? errno : 0);
		return false;
	}
	body = least(body, (size_t)r);
	nd->frame_got += (uint32_t)body;
	nd->len_got += (unsigned)((size_t)r - body);
	if (!left || nd->frame_got < nd->frame_len)
		return true;
	if (nd->skip)
		nd->st.rx_drops++;
	else
		deliver(nd, &h, nd->frame_len);
	nd->frame_len = nd->frame_got = 0;
	nd->skip = false;
	return true;
}

static void pump_in(struct net_dev *nd)
{
	unsigned n;

	nd->starved = false;
	for (n = 0; n < MAX_FRAMES && reading(nd); n++) {
		if (!(nd->port->stream ? rx_stream(nd) : rx_packet(nd)))
			break;
	}
	vq_signal(&nd->vm, VIRTIO_NET_RX);
}

/* The device. */

static void notify(struct vmmio *d, unsigned q)
{
	struct net_dev *nd = (struct net_dev *)d;

	meet_driver(nd);
	if (vhost_runs(nd))
		net_vhost_kick(nd->vhost, q);
	else if (q == VIRTIO_NET_RX)
		pump_in(nd);
	else
		pump_out(nd);
	leave(nd);
}

static void dev_reset(struct vmmio *d)
{
	struct net_dev *nd = (struct net_dev *)d;

	if (nd->vhost)
		net_vhost_stop(nd->vhost);
	nd->driver = false;
	nd->repeat_at = NET_NEVER;
	/* A frame that is half in goes with the driver's memory; so does one that waits for more of it. */
	nd->skip |= nd->frame_got > 0;
	nd->kept = 0;
	nd->room = 0;
	while (nd->n_rx)
		vq_drop(d, VIRTIO_NET_RX, stash(nd, --nd->n_rx)->head);
	leave(nd);
}

static const struct vmmio_ops ops = {
	.device_id = VIRTIO_ID_NET,
	.n_queues = 2,
	.notify = notify,
	.reset = dev_reset,
};

void net_default_mac(uint8_t mac[6], const uint8_t uuid[16], unsigned index)
{
	uint64_t h = 0xcbf29ce484222325ull; /* FNV-1a */
	uint8_t seed[16];
	unsigned i;

	if (uuid)
		memcpy(seed, uuid, sizeof(seed));
	else if (getrandom(seed, sizeof(seed), 0) != sizeof(seed))
		memset(seed, 0, sizeof(seed));
	for (i = 0; i < 16; i++)
		h = (h ^ seed[i]) * 0x100000001b3ull;
	h = (h ^ index) * 0x100000001b3ull;
	h ^= h >> 33;
	for (i = 0; i < 6; i++)
		mac[i] = (uint8_t)(h >> 8 * i);
	mac[0] = (uint8_t)((mac[0] & 0xfc) | 2); /* unicast, local */
}

struct net_dev *net_new(const struct net_opts *o, const struct net_port_ops *port, char *err,
			size_t errlen)
{
	struct net_dev *nd = calloc(1, sizeof(*nd));
	struct epoll_event ev = { .events = EPOLLIN, .data.u32 = EV_TIMER };

	if (!nd) {
		snprintf(err, errlen, "net%u: no memory", o->index);
		return NULL;
	}
	nd->o = *o;
	nd->port = port;
	nd->io.fd = nd->aux.fd = nd->err_fd = nd->sock_fd = nd->timer_fd = -1;
	nd->retry_at = nd->stall_at = nd->repeat_at = nd->timer_set = NET_NEVER;
	nd->said_since = net_now();
	snprintf(nd->name, sizeof(nd->name), "net%u", o->index);
	nd->features = VIRTIO_NET_F_MAC | VIRTIO_NET_F_STATUS | VIRTIO_NET_F_MRG_RXBUF;
	if (!port->stream)
		nd->features |= VIRTIO_NET_F_CSUM | VIRTIO_NET_F_GUEST_CSUM |
				VIRTIO_NET_F_HOST_TSO4 | VIRTIO_NET_F_HOST_TSO6;
	if (o->have_mac)
		memcpy(nd->cfg.mac, o->mac, 6);
	else
		net_default_mac(nd->cfg.mac, NULL, o->index);
	nd->epfd = epoll_create1(EPOLL_CLOEXEC);
	nd->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	nd->rest = malloc(REST_BYTES);
	nd->spill = malloc(NET_SPILL);
	if (nd->epfd < 0 || nd->timer_fd < 0 || !nd->rest || !nd->spill ||
	    epoll_ctl(nd->epfd, EPOLL_CTL_ADD, nd->timer_fd, &ev)) {
		snprintf(err, errlen, "%s: %s", nd->name, strerror(errno));
		goto fail;
	}
	if (!port->open(nd, err, errlen))
		goto fail;
	if (o->pcap[0]) {
		nd->pcap = net_pcap_open(o->pcap);
		if (!nd->pcap) {
			snprintf(err, errlen, "%s: %s: %s", nd->name, o->pcap, strerror(errno));
			goto fail;
		}
	}
	return nd;
fail:
	net_close(nd);
	return NULL;
}

struct net_dev *net_open(const struct net_opts *o, char *err, size_t errlen)
{
	static const struct net_port_ops *const ports[] = {
		[NETDEV_USER] = &net_user_ops,
		[NETDEV_TAP] = &net_tap_ops,
		[NETDEV_STREAM] = &net_stream_ops,
	};

	return net_new(o, ports[o->kind], err, errlen);
}

void net_attach(struct net_dev *nd, const struct vmmio_host *host, unsigned window)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.u32 = EV_VHOST };

	vmmio_init(&nd->vm, &ops, host, window, nd->name, nd->features, &nd->cfg, sizeof(nd->cfg));
	pthread_mutex_lock(&nd->vm.lock);
	if (nd->vhost && epoll_ctl(nd->epfd, EPOLL_CTL_ADD, net_vhost_fd(nd->vhost), &ev)) {
		net_vhost_free(nd->vhost);
		nd->vhost = NULL;
	}
	if (nd->o.vhost && !nd->vhost)
		net_say(nd, "no vhost-net here (is the module vhost_net loaded, /dev/vhost-net "
			    "accessible?); going on without it");
	nd->port->start(nd);
	leave(nd);
	pthread_mutex_unlock(&nd->vm.lock);
}

struct vmmio *net_vmmio(struct net_dev *nd)
{
	return &nd->vm;
}

const char *net_where(const struct net_dev *nd)
{
	return nd->where;
}

int net_fd(struct net_dev *nd)
{
	return nd->epfd;
}

static void timers(struct net_dev *nd)
{
	uint64_t now = net_now();

	if (now >= nd->retry_at) {
		nd->retry_at = NET_NEVER;
		nd->port->start(nd);
	}
	if (now >= nd->stall_at) {
		nd->stall_at = NET_NEVER;
		nd->stalled = true;
	}
	if (now >= nd->repeat_at) {
		nd->repeat_at = NET_NEVER;
		if (nd->vm.int_status & VIRTIO_INT_CONFIG && nd->driver) {
			nd->vm.host->signal(nd->vm.host->ctx, nd->vm.window);
			nd->repeat_at = now + REPEAT;
		}
	}
}

void net_ready(struct net_dev *nd)
{
	struct epoll_event ev[4];
	uint64_t count;
	bool gone = false;
	int i, n;

	pthread_mutex_lock(&nd->vm.lock);
	meet_driver(nd);
	n = epoll_wait(nd->epfd, ev, 4, 0);
	for (i = 0; i < n; i++) {
		switch (ev[i].data.u32) {
		case EV_TIMER:
			if (read(nd->timer_fd, &count, sizeof(count)) > 0)
				nd->timer_set = NET_NEVER; /* it has fired: to be set again */
			break;
		case EV_IO: gone = ev[i].events & (EPOLLHUP | EPOLLERR); break;
		case EV_VHOST:
			if (!net_vhost_ready(nd->vhost, nd)) {
				net_vhost_stop(nd->vhost);
				vmmio_broken(&nd->vm, "vhost-net can't make sense of its rings");
			}
			break;
		}
	}
	pump_in(nd);
	/* Who left is read to the end first, unless there is no driver to take it. */
	if (gone && nd->io.fd >= 0 && !reading(nd))
		net_lost(nd, 0);
	for (i = 0; i < n; i++) {
		if (ev[i].data.u32 == EV_AUX && nd->aux.fd >= 0)
			nd->port->event(nd);
	}
	timers(nd);
	pump_out(nd);
	leave(nd);
	pthread_mutex_unlock(&nd->vm.lock);
}

void net_stats(struct net_dev *nd, struct net_stats *s)
{
	pthread_mutex_lock(&nd->vm.lock);
	*s = nd->st;
	pthread_mutex_unlock(&nd->vm.lock);
}

void net_close(struct net_dev *nd)
{
	int error;

	if (!nd)
		return;
	net_close_io(nd);
	nd->port->close(nd);
	unwatch(nd, &nd->aux);
	net_vhost_free(nd->vhost);
	error = nd->pcap ? net_pcap_close(nd->pcap) : 0;
	if (error)
		net_say(nd, "%s: %s: the capture's end is missing", nd->o.pcap, strerror(error));
	if (nd->timer_fd >= 0)
		close(nd->timer_fd);
	if (nd->epfd >= 0)
		close(nd->epfd);
	if (nd->vm.ops)
		vmmio_destroy(&nd->vm);
	free(nd->rest);
	free(nd->spill);
	free(nd);
}
