/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * net_pcap.c - a capture file in libpcap's format (pcap-savefile(5)).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "backends/net_int.h"

#define MAGIC_NS 0xa1b23c4du /* times in ns, in this machine's byte order */
#define ETHERNET 1u
#define SNAPLEN  262144u

struct net_pcap {
	FILE *f;
};

struct file_header {
	uint32_t magic;
	uint16_t major, minor;
	uint32_t zone, accuracy, snaplen, linktype;
};
_Static_assert(sizeof(struct file_header) == 24, "pcap file header");

struct record_header {
	uint32_t sec, ns, kept, len;
};
_Static_assert(sizeof(struct record_header) == 16, "pcap record header");

struct net_pcap *net_pcap_open(const char *path)
{
	struct file_header h = { MAGIC_NS, 2, 4, 0, 0, SNAPLEN, ETHERNET };
	struct net_pcap *p = malloc(sizeof(*p));
	int fd = p ? open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666) : -1;

	if (!p)
		return NULL;
	p->f = fd >= 0 ? fdopen(fd, "w") : NULL;
	if (!p->f || fwrite(&h, sizeof(h), 1, p->f) != 1) {
		int error = errno;

		if (p->f)
			fclose(p->f);
		else if (fd >= 0)
			close(fd);
		free(p);
		errno = error;
		return NULL;
	}
	return p;
}

int net_pcap_frame(struct net_pcap *p, const struct iovec *iov, unsigned n, size_t len)
{
	struct record_header h = { .kept = (uint32_t)len, .len = (uint32_t)len };
	struct timespec t;
	unsigned i;

	clock_gettime(CLOCK_REALTIME, &t);
	h.sec = (uint32_t)t.tv_sec;
	h.ns = (uint32_t)t.tv_nsec;
	errno = EIO;
	if (fwrite(&h, sizeof(h), 1, p->f) != 1)
		return errno;
	for (i = 0; i < n; i++) {
		if (fwrite(iov[i].iov_base, 1, iov[i].iov_len, p->f) != iov[i].iov_len)
			return errno;
	}
	return 0;
}

int net_pcap_close(struct net_pcap *p)
{
	int error = fclose(p->f) ? errno : 0;

	free(p);
	return error;
}
