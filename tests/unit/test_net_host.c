/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_net_host.c - the network device on what a host has: TAP, vhost-net, passt.
 */
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "net_test.h"

/* A real TAP interface. */

static int if_flags(const char *name, bool up)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), rc;
	struct ifreq ifr = { 0 };

	strcpy(ifr.ifr_name, name);
	rc = ioctl(fd, SIOCGIFFLAGS, &ifr);
	ifr.ifr_flags = (short)(up ? ifr.ifr_flags | IFF_UP : ifr.ifr_flags & ~IFF_UP);
	if (!rc)
		rc = ioctl(fd, SIOCSIFFLAGS, &ifr);
	close(fd);
	return rc;
}

static void if_quiet(const char *name)
{
	char path[100];
	int fd;

	snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/disable_ipv6", name);
	fd = open(path, O_WRONLY);
	if (fd >= 0) {
		assert_int_equal(write(fd, "1", 1), 1);
		close(fd);
	}
}

/* The host's side of the interface: IPv4 frames after a virtio_net_hdr of 10 bytes. */
static int if_socket(const char *name)
{
	struct sockaddr_ll sll = { .sll_family = AF_PACKET,
				   .sll_protocol = htons(ETH_P_IP),
				   .sll_ifindex = (int)if_nametoindex(name) };
	struct timeval tv = { 5, 0 };
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_IP)), one = 1;

	assert_int_equal(setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &one, sizeof(one)), 0);
	setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof(one));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	assert_int_equal(bind(fd, (struct sockaddr *)&sll, sizeof(sll)), 0);
	return fd;
}

/* A TCP segment to nowhere; its checksum is the pseudo header's only. */
static void tcp_frame(uint8_t *f, size_t len)
{
	static const uint8_t head[54] = { 2,  0, 0,    0,    0,   1, 2, 0, 0,   0,    0,
					  2,  8, 0,    0x45, 0,   0, 0, 0, 0,   0x40, 0,
					  64, 6, 0,    0,    192, 0, 2, 1, 192, 0,    2,
					  9,  0, 80,   0,    81,  0, 0, 0, 1,   0,    0,
					  0,  1, 0x50, 0x10, 1,   0, 0, 0, 0,   0 };
	uint32_t sum = 0;
	unsigned i;

	memcpy(f, head, sizeof(head));
	memcpy(f + 54, pattern, len - 54);
	f[16] = (uint8_t)((len - 14) >> 8);
	f[17] = (uint8_t)(len - 14);
	for (i = 14; i < 34; i += 2)
		sum += (uint32_t)f[i] << 8 | f[i + 1];
	sum = (sum & 0xffff) + (sum >> 16);
	sum = ~((sum & 0xffff) + (sum >> 16));
	f[24] = (uint8_t)(sum >> 8);
	f[25] = (uint8_t)sum;
	for (i = 26, sum = 6 + (uint32_t)len - 34; i < 34; i += 2)
		sum += (uint32_t)f[i] << 8 | f[i + 1];
	sum = (sum & 0xffff) + (sum >> 16);
	f[50] = (uint8_t)(sum >> 8);
	f[51] = (uint8_t)sum;
}

/* How many frames came in that are our TCP segments of this length. */
static unsigned tcp_in(struct card *c, size_t len)
{
	unsigned i, n = 0;

	for (i = 0; i < c->n_in; i++)
		n += c->in[i].len == len && c->in[i].data[12] == 8 && c->in[i].data[23] == 6;
	return n;
}

static bool tap_opens(const char *spec)
{
	struct net_opts o;
	struct net_dev *be;
	char err[300];

	assert_int_equal(net_parse_opts(spec, &o, err, sizeof(err)), 0);
	be = net_open(&o, err, sizeof(err));
	if (!be) {
		print_message("no TAP interface here: %s\n", err);
		return false;
	}
	net_close(be);
	return true;
}

static void exchange(struct card *c, const char *name)
{
	static uint8_t buf[HDR + NETDEV_MAX_GSO];
	struct virtio_net_hdr h = { .flags = VIRTIO_NET_HDR_NEEDS_CSUM,
				    .csum_start = 34,
				    .csum_offset = 16 };
	struct out o;
	int host = if_socket(name);

	if_quiet(name);
	forget(c);
	/* Out: a segment without its checksum, then 20 in one. */
	tcp_frame(c->pv.ram + RAM_A, 300);
	frame(&o, RAM_A, 300, 3)->off = (struct net_offload){ .flags = NET_CSUM_PARTIAL,
							      .csum_start = 34,
							      .csum_offset = 16 };
	net_send(&c->fe.net, &o.tx);
	virtio_net_service(&c->fe);
	assert_int_equal(recv(host, buf, sizeof(buf), 0), 10 + 300);
	assert_int_equal(buf[0], VIRTIO_NET_HDR_NEEDS_CSUM);
	assert_memory_equal(buf + 10, c->pv.ram + RAM_A, 300);
	until(c, o.done == 1);

	tcp_frame(c->pv.ram + RAM_A, 54 + 20 * 1448);
	frame(&o, RAM_A, 54 + 20 * 1448, 9)->off = (struct net_offload){ .flags = NET_CSUM_PARTIAL,
									 .csum_start = 34,
									 .csum_offset = 16,
									 .gso = NET_GSO_TCPV4,
									 .gso_size = 1448,
									 .hdr_len = 54 };
	net_send(&c->fe.net, &o.tx);
	virtio_net_service(&c->fe);
	assert_int_equal(recv(host, buf, sizeof(buf), 0), 10 + 54 + 20 * 1448);
	assert_int_equal(buf[1] & 0x7f, VIRTIO_NET_GSO_TCPV4);
	assert_memory_equal(buf + 10, c->pv.ram + RAM_A, 54 + 20 * 1448);
	until(c, o.done == 1);

	/* In: the same; but we only get what a wire would carry, with checksums that we may have to make. */
	memcpy(buf, &h, 10);
	tcp_frame(buf + 10, 300);
	put(host, buf, 10 + 300);
	until(c, tcp_in(c, 300) == 1);
	h.gso_type = VIRTIO_NET_GSO_TCPV4;
	h.gso_size = 1448;
	h.hdr_len = 54;
	memcpy(buf, &h, 10);
	tcp_frame(buf + 10, 54 + 20 * 1448);
	put(host, buf, 10 + 54 + 20 * 1448);
	until(c, tcp_in(c, 54 + 1448) == 20);
	assert_int_equal(c->fe.rx_dropped, 0);
	close(host);
}

static void tap(const char *more, bool vhost)
{
	struct net_stats s;
	struct card c;
	struct net_opts opts;
	char name[16], spec[64], err[200];
	struct {
		struct nlmsghdr n;
		struct ifinfomsg i;
	} del = { .n = { .nlmsg_type = RTM_DELLINK, .nlmsg_flags = NLM_F_REQUEST } };
	struct out o;
	int fd;

	snprintf(name, sizeof(name), "siot%d", (int)getpid() % 100000);
	snprintf(spec, sizeof(spec), "tap,ifname=%s%s", name, more);
	if (!tap_opens(spec))
		skip();
	card_open(&c, spec);
	settle(&c);
	assert_int_equal(net_parse_opts(spec, &opts, err, sizeof(err)), 0);
	assert_null(net_open(&opts, err, sizeof(err)));
	assert_non_null(strstr(err, "someone else"));
	assert_non_null(strstr(net_where(c.be), name));
	net_stats(c.be, &s);
	assert_int_equal(s.vhost, vhost);
	assert_false(c.fe.net.link); /* nobody has set it up */
	assert_int_equal(if_flags(name, true), 0);
	until(&c, c.fe.net.link);
	exchange(&c, name);
	assert_int_equal(c.in[c.n_in - 1].off.flags & NET_CSUM_VALID, 0);

	/* Down, and up again. */
	assert_int_equal(if_flags(name, false), 0);
	until(&c, !c.fe.net.link);
	net_send(&c.fe.net, frame(&o, RAM_A, 60, 1));
	virtio_net_service(&c.fe);
	until(&c, o.done == 1);
	assert_int_equal(if_flags(name, true), 0);
	until(&c, c.fe.net.link);
	exchange(&c, name);

	/* Deleted under our feet: had back, and set up. */
	fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	del.n.nlmsg_len = sizeof(del);
	del.i.ifi_index = (int)if_nametoindex(name);
	put(fd, &del, sizeof(del));
	close(fd);
	until(&c, !c.fe.net.link);
	until(&c, if_nametoindex(name) != 0);
	assert_int_equal(if_flags(name, true), 0);
	until(&c, c.fe.net.link);
	exchange(&c, name);
	net_stats(c.be, &s);
	assert_int_equal(s.link_losses, 2);
	assert_int_equal(s.vhost, vhost);
	card_close(&c);
}

static void test_tap(void **state)
{
	tap("", false);
}

/* Rings that the kernel can't make sense of stop the device, until it is reset. */
static void vhost_before_a_liar(void)
{
	struct card c;
	struct virtq *q = &c.fe.tx;
	struct net_stats s;
	char name[16], spec[64];

	snprintf(name, sizeof(name), "siol%d", (int)getpid() % 100000);
	snprintf(spec, sizeof(spec), "tap,ifname=%s,vhost=on", name);
	card_open(&c, spec);
	assert_int_equal(if_flags(name, true), 0);
	until(&c, c.fe.net.link);
	exchange(&c, name);
	q->avail->ring[q->avail_idx % q->num] = 0xffff;
	__atomic_store_n(&q->avail->idx, (uint16_t)(q->avail_idx + 1), __ATOMIC_RELEASE);
	fake_pv_write(&c.pv, fake_pv_window(WIN) + VIRTIO_MMIO_QUEUE_NOTIFY, VIRTIO_NET_TX);
	until(&c, c.fe.broken);
	assert_non_null(strstr(c.pv.last_message, "vhost-net"));
	c.pv.priv_used = 0;
	memset(c.pv.priv, 0, PV_PRIV);
	c.fe = (struct virtio_net){ .net = { .receive = receive, .owner = &c } };
	assert_int_equal(virtio_net_init(&c.fe, &c.pv.env, fake_pv_window(WIN)), 0);
	assert_true(c.fe.net.link);
	exchange(&c, name);
	net_stats(c.be, &s);
	assert_true(s.vhost && !s.tx_frames && !s.rx_frames);
	card_close(&c);
}

static void test_vhost(void **state)
{
	struct card c;
	char spec[64];

	if (!access("/dev/vhost-net", R_OK | W_OK)) {
		tap(",vhost=on", true);
		vhost_before_a_liar();
		return;
	}
	/* Without it: a word, and the plain way. */
	snprintf(spec, sizeof(spec), "tap,ifname=siov%d,vhost=on", (int)getpid() % 100000);
	if (!tap_opens(spec))
		skip();
	card_open(&c, spec);
	assert_true(c.pv.messages >= 1);
	card_close(&c);
	tap(",vhost=on", false);
	print_message("vhost-net itself: not here (/dev/vhost-net)\n");
	skip();
}

/* passt. */

static const uint8_t arp[60] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x52, 0x54, 0, 1,  2,
				 3,    8,    6,    0,    1,    8,    0,    6,    4, 0,  1,
				 0x52, 0x54, 0,    1,    2,    3,    10,   0,    2, 15, 0,
				 0,    0,    0,    0,    0,    10,   0,    2,    2 };

/* False: passt has ended. */
static bool ask(struct card *c)
{
	struct out o;
	unsigned i, tries;

	memcpy(c->pv.ram + RAM_A, arp, sizeof(arp));
	forget(c);
	/* It may still be starting. */
	for (tries = 0; tries < 100 && c->fe.net.link; tries++) {
		net_send(&c->fe.net, frame(&o, RAM_A, sizeof(arp), 2));
		virtio_net_service(&c->fe);
		usleep(100000);
		settle(c);
		assert_int_equal(o.done, 1);
		for (i = 0; i < c->n_in; i++) {
			if (c->in[i].len >= 42 && c->in[i].data[12] == 8 &&
			    c->in[i].data[13] == 6 && c->in[i].data[21] == 2)
				return true;
		}
	}
	assert_false(c->fe.net.link);
	return false;
}

static void test_user(void **state)
{
	struct card c;
	int pid;

	if (system("passt --version >/dev/null 2>&1")) {
		print_message("passt is not installed\n");
		skip();
	}
	card_open(&c, "user,mac=52:54:00:01:02:03");
	until(&c, c.fe.net.link);
	pid = c.be->pid;
	if (!ask(&c)) {
		until(&c, c.pv.messages);
		print_message("passt doesn't run here: %s\n", c.pv.last_message);
		card_close(&c);
		skip();
	}
	/* Gone, and started again. */
	assert_int_equal(kill(pid, SIGKILL), 0);
	until(&c, !c.fe.net.link);
	until(&c, c.pv.messages == 1);
	assert_non_null(strstr(c.pv.last_message, "signal 9"));
	until(&c, c.fe.net.link);
	assert_int_not_equal(c.be->pid, pid);
	assert_true(ask(&c));
	pid = c.be->pid;
	card_close(&c);
	assert_int_equal(kill(pid, 0), -1); /* and no one is left */
}

/* One that can't run says why; it is tried again, more and more seldom. */
static void test_user_fails(void **state)
{
	char dir[] = "/tmp/selfio-net-XXXXXX", file[64], *path = strdup(getenv("PATH"));
	struct net_opts o;
	struct card c;
	char err[300];
	uint64_t t0, t1;
	FILE *f;

	assert_non_null(mkdtemp(dir));
	setenv("PATH", dir, 1);
	assert_int_equal(net_parse_opts("user,tcp=2222:22", &o, err, sizeof(err)), 0);
	assert_null(net_open(&o, err, sizeof(err)));
	assert_non_null(strstr(err, "install"));
	snprintf(file, sizeof(file), "%s/passt", dir);
	f = fopen(file, "w");
	fprintf(f, "#!/bin/sh\necho one >&2\necho \"no luck: $*\" >&2\nexit 3\n");
	fchmod(fileno(f), 0755);
	fclose(f);
	card_open(&c, "user,tcp=2222:22,udp=53");
	until(&c, c.pv.messages == 1);
	t0 = net_now();
	assert_false(c.fe.net.link);
	assert_non_null(strstr(c.pv.last_message, "status 3: no luck: --foreground"));
	assert_non_null(strstr(c.pv.last_message, "--fd 3 -t 2222:22 -u 53"));
	assert_non_null(strstr(c.pv.last_message, "in 3 s"));
	until(&c, c.pv.messages == 2);
	t1 = net_now();
	assert_true(t1 - t0 > 29 * NET_SEC / 10);
	assert_non_null(strstr(c.pv.last_message, "in 6 s"));
	until(&c, c.pv.messages == 3);
	assert_true(net_now() - t1 > 59 * NET_SEC / 10);
	card_close(&c);
	setenv("PATH", path, 1);
	free(path);
	unlink(file);
	rmdir(dir);
}

/* What reaches passt: frames without Ethernet's padding, which it takes for data. */
static void test_user_unpads(void **state)
{
	static const struct {
		uint16_t type, total; /* IPv4's total or IPv6's payload length */
		uint32_t len, out;
	} f[] = {
		{ 0x0800, 40, 60, 54 }, { 0x0800, 46, 60, 60 }, { 0x0800, 20, 34, 34 },
		{ 0x0800, 19, 60, 60 }, { 0x0800, 47, 60, 60 }, { 0x0800, 40, 61, 61 },
		{ 0x86dd, 0, 60, 54 },  { 0x86dd, 6, 60, 60 },  { 0x86dd, 9, 60, 60 },
		{ 0x86dd, 0, 53, 53 },  { 0x0806, 28, 60, 60 }, { 0x0800, 28, 33, 33 },
		{ 0x0800, 40, 14, 14 },
	};
	char dir[] = "/tmp/selfio-net-XXXXXX", file[64], got_file[64],
	     *path = strdup(getenv("PATH"));
	static uint8_t buf[4096];
	size_t want = 0, n = 0, at = 0;
	struct card c;
	struct out o;
	unsigned i;
	FILE *p;

	assert_non_null(mkdtemp(dir));
	setenv("PATH", dir, 1);
	snprintf(file, sizeof(file), "%s/passt", dir);
	snprintf(got_file, sizeof(got_file), "%s/got", dir);
	p = fopen(file, "w");
	fprintf(p, "#!/bin/sh\nexec /bin/cat <&3 >%s\n", got_file);
	fchmod(fileno(p), 0755);
	fclose(p);
	card_open(&c, "user");
	until(&c, c.fe.net.link);
	for (i = 0; i < sizeof(f) / sizeof(f[0]); i++) {
		uint8_t *b = c.pv.ram + RAM_A;

		memcpy(b, pattern, 100);
		b[12] = (uint8_t)(f[i].type >> 8);
		b[13] = (uint8_t)f[i].type;
		b[f[i].type == 0x0800 ? 16 : 18] = 0;
		b[f[i].type == 0x0800 ? 17 : 19] = (uint8_t)f[i].total;
		net_send(&c.fe.net, frame(&o, RAM_A, f[i].len, 1 + i % 3));
		virtio_net_service(&c.fe);
		assert_int_equal(o.done, 1);
		want += 4 + f[i].out;
	}
	for (i = 0; i < 500 && n < want; i++) {
		usleep(10000);
		p = fopen(got_file, "r");
		n = p ? fread(buf, 1, sizeof(buf), p) : 0;
		if (p)
			fclose(p);
	}
	assert_int_equal(n, want);
	for (i = 0; i < sizeof(f) / sizeof(f[0]); i++) {
		assert_int_equal(buf[at + 2] << 8 | buf[at + 3], f[i].out);
		assert_memory_equal(buf + at + 4, pattern, 12);
		assert_int_equal(buf[at + 16] << 8 | buf[at + 17], f[i].type);
		if (f[i].out > 20)
			assert_memory_equal(buf + at + 24, pattern + 20, f[i].out - 20);
		at += 4 + f[i].out;
	}
	card_close(&c);
	setenv("PATH", path, 1);
	free(path);
	unlink(file);
	unlink(got_file);
	rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_user_unpads), cmocka_unit_test(test_tap),
		cmocka_unit_test(test_vhost),       cmocka_unit_test(test_user),
		cmocka_unit_test(test_user_fails),
	};

	fill(pattern, sizeof(pattern), 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
