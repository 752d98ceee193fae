/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * nettool - moves data over a network and looks at every byte of it; the same program at both ends.
 *
 *   nettool server PORT [ADDRESS]    until it is killed; TCP and UDP, IPv4
 *   nettool up|down HOST PORT MIB    a TCP stream to the server, or from it
 *   nettool echo HOST PORT N MAX     N datagrams of 1 to MAX bytes, in turn, and back; some may get lost
 *   nettool rr HOST PORT SECONDS     1-byte requests and answers over TCP: how many a second
 *   nettool flood HOST PORT SIZE SECONDS   datagrams of SIZE bytes as fast as they go; how many arrive
 *   nettool tso IF 0|1               switches TCP segmentation by the card off or on, if it has any
 *
 * A client prints "SIO-NET WHAT VALUE..." and ends with status 0 if all bytes were right.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CHUNK 65536u

struct hello {
	char op[8]; /* up, down, rr */
	uint64_t bytes, seed;
};

struct report {
	char op[8]; /* of a datagram: count */
	uint64_t good, bad;
};

_Noreturn static void die(const char *what)
{
	printf("nettool: %s: %s\n", what, strerror(errno));
	exit(1);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* The stream's next bytes: xorshift64, eight at a time. */
static void pattern(uint64_t *state, uint64_t *buf, size_t words)
{
	uint64_t x = *state;

	for (size_t i = 0; i < words; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		buf[i] = x;
	}
	*state = x;
}

static bool all(int fd, void *buf, size_t len, bool out)
{
	char *p = buf;

	while (len) {
		ssize_t n = out ? send(fd, p, len, MSG_NOSIGNAL) : recv(fd, p, len, 0);

		if (n <= 0)
			return false;
		p += n;
		len -= (size_t)n;
	}
	return true;
}

static bool put_stream(int fd, uint64_t bytes, uint64_t seed)
{
	uint64_t buf[CHUNK / 8];

	for (uint64_t n; bytes; bytes -= n) {
		n = bytes < CHUNK ? bytes : CHUNK;
		pattern(&seed, buf, CHUNK / 8);
		if (!all(fd, buf, n, true))
			return false;
	}
	return true;
}

/* Bytes that came as they should, up to the first wrong chunk. */
static uint64_t take_stream(int fd, uint64_t bytes, uint64_t seed)
{
	uint64_t buf[CHUNK / 8], want[CHUNK / 8], good = 0;

	for (uint64_t n; good < bytes; good += n) {
		n = bytes - good < CHUNK ? bytes - good : CHUNK;
		pattern(&seed, want, CHUNK / 8);
		if (!all(fd, buf, n, false) || memcmp(buf, want, n))
			break;
	}
	return good;
}

static int tcp_socket(void)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return fd;
}

static void *serve(void *arg)
{
	int fd = (int)(intptr_t)arg, one = 1;
	struct hello h;
	struct report r = { .op = "done" };
	char byte;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (all(fd, &h, sizeof(h), false)) {
		if (!strcmp(h.op, "up")) {
			r.good = take_stream(fd, h.bytes, h.seed);
			r.bad = h.bytes - r.good;
			all(fd, &r, sizeof(r), true);
		} else if (!strcmp(h.op, "down")) {
			put_stream(fd, h.bytes, h.seed);
			all(fd, &byte, 1, false); /* it was read to the end */
		} else if (!strcmp(h.op, "rr")) {
			while (all(fd, &byte, 1, false) && all(fd, &byte, 1, true))
				;
		}
	}
	close(fd);
	return NULL;
}

static void *serve_udp(void *arg)
{
	int fd = (int)(intptr_t)arg;
	uint64_t count = 0;
	char buf[65536];

	for (;;) {
		struct sockaddr_in from;
		socklen_t len = sizeof(from);
		ssize_t n = recvfrom(fd, buf, sizeof(buf), 0, (struct sockaddr *)&from, &len);

		if (n < 1)
			continue;
		if (buf[0] == 'F') {
			count++;
		} else if (buf[0] == 'C') {
			struct report r = { .op = "count", .good = count };

			count = 0;
			sendto(fd, &r, sizeof(r), 0, (struct sockaddr *)&from, len);
		} else {
			sendto(fd, buf, (size_t)n, 0, (struct sockaddr *)&from, len);
		}
	}
	return NULL;
}

static int server(int port, const char *address)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	int tcp = tcp_socket(), udp = socket(AF_INET, SOCK_DGRAM, 0), one = 1, room = 4 << 20, fd;
	pthread_t t;

	setsockopt(tcp, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	setsockopt(udp, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
	if (address && inet_pton(AF_INET, address, &a.sin_addr) != 1)
		die(address);
	if (bind(tcp, (struct sockaddr *)&a, sizeof(a)) ||
	    bind(udp, (struct sockaddr *)&a, sizeof(a)) || listen(tcp, 16))
		die("bind");
	pthread_create(&t, NULL, serve_udp, (void *)(intptr_t)udp);
	printf("nettool: ready\n");
	fflush(stdout);
	while ((fd = accept(tcp, NULL, NULL)) >= 0)
		if (!pthread_create(&t, NULL, serve, (void *)(intptr_t)fd))
			pthread_detach(t);
	die("accept");
}

static int stream(const char *op, struct sockaddr_in *a, uint64_t mib)
{
	struct hello h = { .bytes = mib << 20, .seed = 0x9e3779b97f4a7c15ull + (uint64_t)getpid() };
	struct report r = { .good = 0 };
	int fd = tcp_socket();
	double t0 = now(), t;

	strcpy(h.op, op);
	if (connect(fd, (struct sockaddr *)a, sizeof(*a)) || !all(fd, &h, sizeof(h), true))
		die("connect");
	if (!strcmp(op, "up")) {
		if (!put_stream(fd, h.bytes, h.seed) || !all(fd, &r, sizeof(r), false))
			die("up");
	} else {
		r.good = take_stream(fd, h.bytes, h.seed);
		all(fd, &r.op, 1, true);
	}
	t = now() - t0;
	close(fd);
	printf("SIO-NET %s %llu bytes, %llu good, %.2f s, %.0f KiB/s\n", op,
	       (unsigned long long)h.bytes, (unsigned long long)r.good, t,
	       (double)h.bytes / 1024 / t);
	return r.good != h.bytes;
}

static int udp_to(struct sockaddr_in *a)
{
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	if (connect(fd, (struct sockaddr *)a, sizeof(*a)))
		die("connect");
	return fd;
}

static int echo(struct sockaddr_in *a, unsigned n, unsigned max)
{
	int fd = udp_to(a);
	unsigned got = 0, wrong = 0;
	uint64_t buf[8192], back[8192];

	for (unsigned i = 0; i < n; i++) {
		unsigned len = i % max + 1;
		uint64_t seed = i + 1;
		struct pollfd p = { .fd = fd, .events = POLLIN };

		pattern(&seed, buf, 8192);
		memcpy(buf, "E", 1);
		if (send(fd, buf, len, 0) != (ssize_t)len)
			continue;
		while (poll(&p, 1, 2000) > 0) {
			ssize_t r = recv(fd, back, sizeof(back), 0);

			if (r == (ssize_t)len) {
				got++;
				wrong += memcmp(buf, back, len) != 0;
				break;
			}
		}
	}
	printf("SIO-NET echo %u sent, %u back, %u wrong\n", n, got, wrong);
	return wrong || got < n - n / 50;
}

static int rr(struct sockaddr_in *a, double seconds)
{
	struct hello h = { .op = "rr" };
	int fd = tcp_socket();
	unsigned n = 0;
	double t0;
	char byte = 0;

	if (connect(fd, (struct sockaddr *)a, sizeof(*a)) || !all(fd, &h, sizeof(h), true))
		die("connect");
	for (t0 = now(); now() - t0 < seconds; n++)
		if (!all(fd, &byte, 1, true) || !all(fd, &byte, 1, false))
			die("rr");
	printf("SIO-NET rr %.1f per s\n", n / (now() - t0));
	return 0;
}

static int flood(struct sockaddr_in *a, unsigned size, double seconds)
{
	int fd = udp_to(a);
	struct pollfd p = { .fd = fd, .events = POLLIN };
	struct report r = { .good = 0 };
	char buf[65536] = "F";
	uint64_t sent = 0;
	double t0 = now(), t;

	for (; now() - t0 < seconds;)
		for (unsigned i = 0; i < 32; i++)
			sent += send(fd, buf, size, 0) == (ssize_t)size;
	t = now() - t0;
	sleep(1);
	for (unsigned i = 0; i < 5; i++) {
		if (send(fd, "C", 1, 0) == 1 && poll(&p, 1, 2000) > 0 &&
		    recv(fd, &r, sizeof(r), 0) == sizeof(r))
			break;
	}
	printf("SIO-NET flood %llu sent, %llu arrived, %.0f per s\n", (unsigned long long)sent,
	       (unsigned long long)r.good, (double)r.good / t);
	return r.good == 0 || r.good > sent;
}

static int tso(const char *name, bool on)
{
	struct ethtool_value v = { .cmd = ETHTOOL_STSO, .data = on };
	struct ifreq ifr = { .ifr_data = (char *)&v };

	strncpy(ifr.ifr_name, name, IFNAMSIZ - 1);
	return ioctl(socket(AF_INET, SOCK_DGRAM, 0), SIOCETHTOOL, &ifr) && errno != EOPNOTSUPP;
}

int main(int argc, char **argv)
{
	struct sockaddr_in a = { .sin_family = AF_INET };
	const char *op = argc > 2 ? argv[1] : "";

	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGPIPE, SIG_IGN);
	if (!strcmp(op, "server"))
		return server(atoi(argv[2]), argv[3]);
	if (argc == 4 && !strcmp(op, "tso"))
		return tso(argv[2], atoi(argv[3]));
	if (argc < 5 || inet_pton(AF_INET, argv[2], &a.sin_addr) != 1) {
		printf("nettool: see the source for its use\n");
		return 2;
	}
	a.sin_port = htons((uint16_t)atoi(argv[3]));
	if (!strcmp(op, "up") || !strcmp(op, "down"))
		return stream(op, &a, strtoull(argv[4], NULL, 10));
	if (!strcmp(op, "rr"))
		return rr(&a, atof(argv[4]));
	if (argc == 6 && !strcmp(op, "echo"))
		return echo(&a, (unsigned)atoi(argv[4]), (unsigned)atoi(argv[5]));
	if (argc == 6 && !strcmp(op, "flood"))
		return flood(&a, (unsigned)atoi(argv[4]), atof(argv[5]));
	return 2;
}
