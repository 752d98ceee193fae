/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * net_stream.c - a network device's port to a Unix stream socket: another domain, a switch, a test.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "backends/net_int.h"

static int unix_socket(const struct net_dev *nd, struct sockaddr_un *sa)
{
	*sa = (struct sockaddr_un){ .sun_family = AF_UNIX };
	strcpy(sa->sun_path, nd->o.path); /* as long: net_parse_opts() */
	return socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

static bool stream_open(struct net_dev *nd, char *err, size_t errlen)
{
	struct sockaddr_un sa;

	snprintf(nd->where, sizeof(nd->where), "socket: %s", nd->o.path);
	if (nd->o.connect)
		return true; /* a peer that isn't there yet may come */
	nd->aux.fd = unix_socket(nd, &sa);
	if (nd->aux.fd >= 0 && !bind(nd->aux.fd, (struct sockaddr *)&sa, sizeof(sa))) {
		nd->made_path = true;
		if (!listen(nd->aux.fd, 1))
			return true;
	}
	snprintf(err, errlen, "%s: %s: %s%s", nd->name, nd->o.path, strerror(errno),
		 errno == EADDRINUSE ? "; remove it, or name another" : "");
	return false;
}

static void stream_start(struct net_dev *nd)
{
	struct sockaddr_un sa;
	int fd;

	if (!nd->o.connect) {
		fd = nd->aux.fd;
		nd->aux.fd = -1;
		net_set_aux(nd, fd);
		return;
	}
	fd = unix_socket(nd, &sa);
	if (fd >= 0 && !connect(fd, (struct sockaddr *)&sa, sizeof(sa))) {
		net_set_fd(nd, fd);
		net_set_link(nd, true);
		return;
	}
	if (!nd->failures++)
		net_say(nd, "%s: %s: link down, trying again every second", nd->o.path,
			strerror(errno));
	if (fd >= 0)
		close(fd);
	nd->retry_at = net_now() + NET_SEC;
}

static void stream_event(struct net_dev *nd)
{
	int fd = accept4(nd->aux.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0)
		return;
	if (nd->io.fd >= 0) { /* one at a time */
		close(fd);
		return;
	}
	net_set_fd(nd, fd);
	net_set_link(nd, true);
}

static void stream_lost(struct net_dev *nd, int error)
{
	nd->failures = 0;
	if (nd->o.connect)
		nd->retry_at = net_now() + NET_SEC;
}

static void stream_close(struct net_dev *nd)
{
	if (nd->made_path)
		unlink(nd->o.path);
}

const struct net_port_ops net_stream_ops = {
	.stream = true,
	.open = stream_open,
	.start = stream_start,
	.event = stream_event,
	.lost = stream_lost,
	.close = stream_close,
};
