/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * net_int.h - what the parts of the network device share: net.c, the device, and its ports, net_tap.c,
 * net_stream.c and net_user.c, which bring a descriptor for frames and keep it alive.
 */
#ifndef BACKENDS_NET_INT_H
#define BACKENDS_NET_INT_H

#include "backends/net.h"

#define NET_HDR      sizeof(struct virtio_net_hdr)
#define NET_RX_STASH 16u /* receive buffers taken from the driver and not filled yet */
#define NET_PADDED   60u /* Ethernet's shortest frame, before its FCS */
#define NET_SEC      1000000000ull
#define NET_NEVER    UINT64_MAX

/* All are called locked, but open and close. */
struct net_port_ops {
	bool stream; /* frames after their length; otherwise one by one, after a virtio_net_hdr */
	/* Checks what can be checked and makes what others should find.  False: err was written. */
	bool (*open)(struct net_dev *nd, char *err, size_t errlen);
	/* Tries to get a descriptor: net_set_fd(), now or from event(); or sets retry_at.  At the start,
	 * and when retry_at has come. */
	void (*start)(struct net_dev *nd);
	/* aux is readable. */
	void (*event)(struct net_dev *nd);
	/* io was closed after an error (errno) or at its end (0). */
	void (*lost)(struct net_dev *nd, int error);
	/* The driver is there, its features known.  May be NULL. */
	void (*driver)(struct net_dev *nd);
	/* How much of a frame of up to NET_PADDED bytes is no padding; NULL: it goes out as it is. */
	size_t (*unpad)(const uint8_t *frame, size_t len);
	void (*close)(struct net_dev *nd);
};

struct net_watch {
	int fd; /* -1: none */
	uint32_t events;
	bool added;
};

struct net_pcap;
struct net_vhost;

struct net_dev {
	struct vmmio vm; /* must stay first; its lock guards the rest */
	struct net_opts o;
	const struct net_port_ops *port;
	uint64_t features; /* offered; a port's open() may take some away */
	struct virtio_net_config cfg;
	struct net_stats st;
	struct net_pcap *pcap;
	struct net_vhost *vhost; /* not NULL: the kernel has the queues */
	int epfd, timer_fd;
	uint64_t timer_set;   /* what timer_fd is set to */
	struct net_watch io;  /* frames */
	struct net_watch aux; /* the port's: a listening socket, a process, news of links */
	bool driver;          /* port->driver() was called for this driver */
	/* Deadlines, CLOCK_MONOTONIC in ns; NET_NEVER: none. */
	uint64_t retry_at, stall_at, repeat_at;
	bool soon; /* chains wait that were too many for one go */
	unsigned said;
	uint64_t said_since;
	char name[32], where[160];

	/* Out: the rest of a frame that io didn't take (of one frame at most). */
	uint8_t *rest; /* [4 or NET_HDR, and NETDEV_MAX_GSO] */
	size_t rest_pos, rest_len;
	bool stalled; /* for too long: frames are dropped */

	/* In: buffers of the driver, oldest first; a ring. */
	struct vq_chain rx[NET_RX_STASH];
	unsigned rx_first, n_rx;
	size_t room;  /* in all of them */
	bool starved; /* the driver must post more before anything can be read */
	/* Streams: the frame that is being read.  Its bytes so far are in the buffers, after a header. */
	uint8_t len_buf[4];
	unsigned len_got;
	uint32_t frame_len, frame_got;
	bool skip; /* it is only read, not delivered */
	/* What doesn't fit: skipped bytes; or a packet that is longer than the buffers that were there, kept
	 * until there are more (kept is its length, 0 if there is none). */
	uint8_t *spill; /* [NET_SPILL] */
	uint32_t kept;
	struct virtio_net_hdr kept_hdr;

	/* The port's. */
	int pid, err_fd;     /* user: passt, or 0; what it says */
	uint64_t started_at; /* user: when */
	unsigned failures;   /* user: in a row */
	int sock_fd;         /* tap: for ioctls on interfaces */
	bool looked;         /* tap: at the interface's state, before */
	bool said_down;      /* tap: its user was told */
	bool made_path;      /* stream: the socket is ours to remove */
};

#define NET_SPILL 65536u

extern const struct net_port_ops net_tap_ops, net_stream_ops, net_user_ops;

/* For ports; locked. */
uint64_t net_now(void);
/* Frames go through fd from now on (non-blocking; becomes the device's).  The link stays as it is. */
void net_set_fd(struct net_dev *nd, int fd);
void net_set_aux(struct net_dev *nd, int fd);
void net_close_io(struct net_dev *nd);
/* io is of no more use, after an error (errno) or at its end (0): closes it, takes the link down, and
 * calls lost(). */
void net_lost(struct net_dev *nd, int error);
void net_set_link(struct net_dev *nd, bool up);
/* One line for the user, after the device's name; at most a few a minute. */
void net_say(struct net_dev *nd, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Opens without making it a device: for net_open(), and for tests with a port of their own. */
struct net_dev *net_new(const struct net_opts *o, const struct net_port_ops *port, char *err,
			size_t errlen);

/* net_pcap.c: NULL with errno set. */
struct net_pcap *net_pcap_open(const char *path);
/* A frame of len bytes in segments.  0 or an errno: the capture should be closed. */
int net_pcap_frame(struct net_pcap *p, const struct iovec *iov, unsigned n, size_t len);
int net_pcap_close(struct net_pcap *p);

/* net_vhost.c: the kernel's driver on the queues of nd and the TAP descriptor fd. */
/* NULL with errno set; *features: what of the device's features it can do. */
struct net_vhost *net_vhost_open(uint64_t *features);
/* The queues run.  False with errno set. */
bool net_vhost_start(struct net_vhost *v, struct net_dev *nd);
void net_vhost_stop(struct net_vhost *v);
bool net_vhost_running(const struct net_vhost *v);
void net_vhost_kick(struct net_vhost *v, unsigned q);
/* Readable when net_vhost_ready() has something to do. */
int net_vhost_fd(const struct net_vhost *v);
/* Passes on the kernel's signals.  False: the driver's rings made no sense to it. */
bool net_vhost_ready(struct net_vhost *v, struct net_dev *nd);
void net_vhost_free(struct net_vhost *v);

#endif
