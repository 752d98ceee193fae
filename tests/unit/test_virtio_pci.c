/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_virtio_pci.c - the PV network device over PCI, driven as a guest's driver does it, with the real back end
 * behind its window and a packet socket in the place of a TAP interface.
 */
#include "net_test.h"
#include "drivers/virtio/virtio_pass.h"
#include "fake_host.h"
#include "models/virtio_pci/virtio_pci.h"

#define DEVFN  (3 * 8)
#define BAR    0xfebf1000u
#define COMMON (BAR + 0x000)
#define ISR    (BAR + 0x400)
#define NOTIFY (BAR + 0x800)
#define DEVCFG (BAR + 0xc00)

/* In guest RAM: of each queue its three parts, then buffers. */
#define QUEUE(q) (0x10000u + (q)*0x4000u)
#define AVAIL    0x1000u
#define USED     0x2000u
#define BUF      0x40000u
#define NUM      16u

struct guest {
	struct fake f;
	struct fake_pv pv;
	struct virtio_pass pass;
	struct net_dev *be;
	int peer;
	uint16_t avail[2], used[2];
};

static uint32_t rd(struct guest *g, uint64_t at, unsigned size)
{
	return (uint32_t)fake_read(&g->f, DEV_MMIO, at, size);
}

static void wr(struct guest *g, uint64_t at, unsigned size, uint32_t v)
{
	fake_write(&g->f, DEV_MMIO, at, size, v);
}

static void start(struct guest *g)
{
	struct virtio_pci_cfg cfg = { &g->pass.dev };
	struct timeval tv = { 5, 0 };
	struct net_opts o = { .have_mac = true, .mac = { 0x52, 0x54, 0, 1, 2, 3 } };
	char err[100];
	int sp[2];

	*g = (struct guest){ 0 };
	fake_init(&g->f);
	fake_pv_init(&g->pv);
	/* The guest's RAM is what the back end sees, and nothing else. */
	g->pv.mem.r[0].hva = g->f.ram;
	g->pv.mem.r[0].len = FAKE_RAM_SIZE;
	g->pv.mem.n = 1;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sp), 0);
	g->peer = sp[0];
	setsockopt(sp[0], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	fcntl(sp[1], F_SETFL, O_NONBLOCK);
	packet_end = sp[1];
	g->be = net_new(&o, &packet_ops, err, sizeof(err));
	assert_non_null(g->be);
	net_attach(g->be, &g->pv.host, WIN);
	g->pv.dev[WIN] = net_vmmio(g->be);
	assert_int_equal(virtio_pass_init(&g->pass, &g->pv.env, fake_pv_window(WIN), VIRTIO_ID_BLK),
			 -1);
	assert_int_equal(virtio_pass_init(&g->pass, &g->pv.env, fake_pv_window(WIN), VIRTIO_ID_NET),
			 0);
	virtio_pass_event(&g->pass); /* nobody listens yet */
	fake_add(&g->f, &virtio_net_pci_class, &cfg, DEVFN);
	fake_cfg_write(&g->f, DEVFN, 0x10, 4, BAR);
	fake_cfg_write(&g->f, DEVFN, 4, 2, 6);
}

static void stop(struct guest *g)
{
	net_close(g->be);
	close(g->peer);
	fake_free(&g->f);
	fake_pv_free(&g->pv);
}

/* The I/O thread and the I/O context. */
static void turn(struct guest *g)
{
	net_ready(g->be);
	if (__atomic_exchange_n(&g->pv.events, 0, __ATOMIC_ACQUIRE))
		virtio_pass_event(&g->pass);
}

static void queue(struct guest *g, unsigned q)
{
	static const uint32_t part[3] = { 0, AVAIL, USED };

	wr(g, COMMON + 0x16, 2, q);
	assert_int_equal(rd(g, COMMON + 0x18, 2), 64);
	assert_int_equal(rd(g, COMMON + 0x1c, 2), 0);
	assert_int_equal(rd(g, COMMON + 0x1e, 2), q);
	wr(g, COMMON + 0x18, 2, NUM);
	for (unsigned i = 0; i < 3; i++) {
		wr(g, COMMON + 0x20 + i * 8, 4, QUEUE(q) + part[i]);
		wr(g, COMMON + 0x24 + i * 8, 4, 0);
		assert_int_equal(rd(g, COMMON + 0x20 + i * 8, 4), QUEUE(q) + part[i]);
	}
	wr(g, COMMON + 0x1c, 2, 1);
	memset(g->f.ram + QUEUE(q), 0, 0x4000);
	g->avail[q] = g->used[q] = 0;
}

/* 3.1.1, up to FEATURES_OK. */
static void negotiate(struct guest *g, uint64_t want)
{
	wr(g, COMMON + 0x14, 1, 0);
	assert_int_equal(rd(g, COMMON + 0x14, 1), 0);
	wr(g, COMMON + 0x14, 1, VIRTIO_S_ACKNOWLEDGE | VIRTIO_S_DRIVER);
	for (unsigned i = 0; i < 2; i++) {
		wr(g, COMMON + 0x00, 4, i);
		wr(g, COMMON + 0x08, 4, i);
		wr(g, COMMON + 0x0c, 4, rd(g, COMMON + 0x04, 4) & (uint32_t)(want >> 32 * i));
	}
	wr(g, COMMON + 0x14, 1, VIRTIO_S_ACKNOWLEDGE | VIRTIO_S_DRIVER | VIRTIO_S_FEATURES_OK);
}

static void ready(struct guest *g)
{
	wr(g, COMMON + 0x14, 1,
	   VIRTIO_S_ACKNOWLEDGE | VIRTIO_S_DRIVER | VIRTIO_S_FEATURES_OK | VIRTIO_S_DRIVER_OK);
	assert_int_equal(rd(g, COMMON + 0x14, 1), 15);
}

static void bring_up(struct guest *g)
{
	negotiate(g, VIRTIO_F_VERSION_1 | VIRTIO_NET_F_MAC | VIRTIO_NET_F_STATUS);
	assert_int_equal(rd(g, COMMON + 0x14, 1), 11);
	queue(g, VIRTIO_NET_RX);
	queue(g, VIRTIO_NET_TX);
	ready(g);
}

/* A buffer of len bytes at BUF + n * 2 KiB goes to queue q. */
static void post(struct guest *g, unsigned q, unsigned n, uint32_t len)
{
	struct virtq_desc_shared *desc = (void *)(g->f.ram + QUEUE(q));
	struct virtq_avail_shared *avail = (void *)(g->f.ram + QUEUE(q) + AVAIL);
	unsigned head = g->avail[q] % NUM;

	desc[head] = (struct virtq_desc_shared){ BUF + n * 2048, len,
						 q == VIRTIO_NET_RX ? VIRTQ_DESC_F_WRITE : 0, 0 };
	avail->ring[head] = (uint16_t)head;
	__atomic_store_n(&avail->idx, ++g->avail[q], __ATOMIC_RELEASE);
}

static bool used(struct guest *g, unsigned q, uint32_t *len)
{
	struct virtq_used_shared *u = (void *)(g->f.ram + QUEUE(q) + USED);

	if (u->idx == g->used[q])
		return false;
	*len = u->ring[g->used[q]++ % NUM].len;
	return true;
}

static void test_config(void **state)
{
	struct guest g;
	unsigned cap, n = 0;
	uint8_t type[6] = { 0 };

	start(&g);
	assert_int_equal(fake_cfg_read(&g.f, DEVFN, 0, 4), 0x10411af4);
	assert_int_equal(fake_cfg_read(&g.f, DEVFN, 8, 4), 0x02000001);
	assert_true(fake_cfg_read(&g.f, DEVFN, 6, 2) & 0x10);
	assert_int_equal(fake_cfg_read(&g.f, DEVFN, 0x3d, 1), 1);
	/* Each capability once, in the region. */
	for (cap = (unsigned)fake_cfg_read(&g.f, DEVFN, 0x34, 1); cap && n < 6; n++) {
		assert_int_equal(fake_cfg_read(&g.f, DEVFN, cap, 1), 9);
		type[n] = (uint8_t)fake_cfg_read(&g.f, DEVFN, cap + 3, 1);
		assert_true(type[n] >= 1 && type[n] <= 5 && !memchr(type, type[n], n));
		assert_int_equal(fake_cfg_read(&g.f, DEVFN, cap + 2, 1),
				 type[n] == 2 || type[n] == 5 ? 20 : 16);
		if (type[n] != 5) {
			assert_int_equal(fake_cfg_read(&g.f, DEVFN, cap + 4, 1), 0);
			assert_in_range(fake_cfg_read(&g.f, DEVFN, cap + 8, 4) +
						fake_cfg_read(&g.f, DEVFN, cap + 12, 4),
					1, 4096);
		}
		cap = (unsigned)fake_cfg_read(&g.f, DEVFN, cap + 1, 1);
	}
	assert_int_equal(n, 5);

	fake_cfg_write(&g.f, DEVFN, 0x10, 4, ~0u);
	assert_int_equal(fake_cfg_read(&g.f, DEVFN, 0x10, 4), 0xfffff000);
	fake_cfg_write(&g.f, DEVFN, 0x10, 4, BAR);
	/* The device's configuration, in any width. */
	assert_int_equal(rd(&g, DEVCFG, 4), 0x01005452);
	assert_int_equal(rd(&g, DEVCFG + 3, 1), 1);
	assert_int_equal(rd(&g, DEVCFG + 3, 2), 0x0201);
	assert_int_equal(rd(&g, DEVCFG + 6, 2), VIRTIO_NET_S_LINK_UP);
	assert_int_equal(rd(&g, DEVCFG + 6, 4), 0);
	assert_int_equal(rd(&g, DEVCFG + 8, 4), 0);
	assert_int_equal(rd(&g, COMMON + 0x12, 2), 2);
	assert_int_equal(rd(&g, COMMON + 0x10, 2), 0xffff);
	/* The same through configuration space. */
	fake_cfg_write(&g.f, DEVFN, 0x98, 4, 0xc03);
	fake_cfg_write(&g.f, DEVFN, 0x9c, 4, 1);
	assert_int_equal(fake_cfg_read(&g.f, DEVFN, 0xa0, 1), 1);
	fake_cfg_write(&g.f, DEVFN, 0x98, 4, 0x14);
	fake_cfg_write(&g.f, DEVFN, 0xa0, 1, 1);
	assert_int_equal(rd(&g, COMMON + 0x14, 1), 1);
	for (unsigned i = 0; i < 3; i++) { /* what it must not reach */
		static const uint32_t bad[3][3] = { { 0, 0x15, 2 },
						    { 0, 0x1000, 1 },
						    { 4, 0x14, 1 } };

		fake_cfg_write(&g.f, DEVFN, 0x94, 1, bad[i][0]);
		fake_cfg_write(&g.f, DEVFN, 0x98, 4, bad[i][1]);
		fake_cfg_write(&g.f, DEVFN, 0x9c, 4, bad[i][2]);
		assert_int_equal(fake_cfg_read(&g.f, DEVFN, 0xa0, 2), 0);
	}
	/* Fields have their widths; there are two queues. */
	assert_int_equal(rd(&g, COMMON + 0x14, 2), 0);
	assert_int_equal(rd(&g, COMMON + 0x12, 1), 0);
	wr(&g, COMMON + 0x00, 4, 1); /* but for the features */
	assert_int_equal(rd(&g, COMMON + 0x04, 2), VIRTIO_F_VERSION_1 >> 32);
	wr(&g, COMMON + 0x16, 2, 2);
	assert_int_equal(rd(&g, COMMON + 0x18, 2), 0);
	wr(&g, COMMON + 0x1c, 2, 1);
	assert_int_equal(rd(&g, COMMON + 0x1c, 2), 0);
	wr(&g, COMMON + 0x16, 2, 0xffff);
	wr(&g, COMMON + 0x20, 4, 1);
	assert_int_equal(rd(&g, COMMON + 0x20, 4), 0);
	stop(&g);
}

static void test_frames(void **state)
{
	struct virtio_net_hdr h = { 0 };
	struct dev_host *host;
	static uint8_t buf[4096];
	struct guest g;
	uint32_t len;

	start(&g);
	host = &g.f.host[0];
	bring_up(&g);
	for (unsigned i = 0; i < 40; i++) {
		size_t n = 60 + i * 30;

		/* Out: gone and given back by the time the notification is through. */
		memcpy(g.f.ram + BUF, &h, HDR);
		memcpy(g.f.ram + BUF + HDR, pattern + i, n);
		post(&g, VIRTIO_NET_TX, 0, HDR + (uint32_t)n);
		wr(&g, NOTIFY + 4 * VIRTIO_NET_TX, 2, VIRTIO_NET_TX);
		assert_true(used(&g, VIRTIO_NET_TX, &len));
		assert_int_equal(read(g.peer, buf, sizeof(buf)), HDR + n);
		assert_memory_equal(buf + HDR, pattern + i, n);
		turn(&g);
		assert_true(host->line[0]);
		assert_int_equal(rd(&g, ISR, 1), VIRTIO_INT_USED);
		assert_false(host->line[0]);
		assert_int_equal(rd(&g, ISR, 1), 0);

		/* In. */
		post(&g, VIRTIO_NET_RX, 1, 2048);
		wr(&g, NOTIFY, 2, 0);
		assert_int_equal(
			send(g.peer, (memcpy(buf, &h, HDR), memcpy(buf + HDR, pattern + i, n), buf),
			     HDR + n, 0),
			HDR + n);
		turn(&g);
		assert_true(used(&g, VIRTIO_NET_RX, &len));
		assert_int_equal(len, HDR + n);
		assert_memory_equal(g.f.ram + BUF + 2048 + HDR, pattern + i, n);
		if (i % 8 == 0)
			fake_save_load(&g.f);
		assert_true(host->line[0]);
		assert_int_equal(rd(&g, ISR, 1), VIRTIO_INT_USED);
	}
	/* The link. */
	pthread_mutex_lock(&g.be->vm.lock);
	net_set_link(g.be, false);
	pthread_mutex_unlock(&g.be->vm.lock);
	turn(&g);
	assert_true(host->line[0]);
	assert_int_equal(rd(&g, ISR, 1), VIRTIO_INT_CONFIG);
	assert_int_equal(rd(&g, DEVCFG + 6, 2), 0);
	/* Without bus mastering nobody reads the rings. */
	fake_cfg_write(&g.f, DEVFN, 4, 2, 2);
	post(&g, VIRTIO_NET_TX, 0, HDR + 60);
	wr(&g, NOTIFY + 4, 2, 1);
	assert_false(used(&g, VIRTIO_NET_TX, &len));
	fake_cfg_write(&g.f, DEVFN, 4, 2, 6);

	/* A reset, and again. */
	bring_up(&g);
	pthread_mutex_lock(&g.be->vm.lock);
	net_set_link(g.be, true);
	pthread_mutex_unlock(&g.be->vm.lock);
	post(&g, VIRTIO_NET_TX, 0, HDR + 60);
	wr(&g, NOTIFY + 4, 2, 1);
	assert_true(used(&g, VIRTIO_NET_TX, &len));
	assert_int_equal(read(g.peer, buf, sizeof(buf)), HDR + 60);
	stop(&g);
}

/* Queues that are none stop the device, with one word; private memory is not to be had. */
static void test_hostile(void **state)
{
	static const struct {
		uint16_t size;
		uint64_t desc, avail, dev;
	} bad[] = {
		{ 0, QUEUE(0), QUEUE(0) + AVAIL, QUEUE(0) + USED },
		{ 3, QUEUE(0), QUEUE(0) + AVAIL, QUEUE(0) + USED },
		{ 128, QUEUE(0), QUEUE(0) + AVAIL, QUEUE(0) + USED },
		{ NUM, FAKE_RAM_SIZE - 16, QUEUE(0) + AVAIL, QUEUE(0) + USED },
		{ NUM, QUEUE(0) + 8, QUEUE(0) + AVAIL, QUEUE(0) + USED },
		{ NUM, QUEUE(0), ~0ull - 1, QUEUE(0) + USED },
		{ NUM, QUEUE(0), QUEUE(0) + AVAIL, SIO_PRIV_BASE },
		{ NUM, SIO_PRIV_BASE, QUEUE(0) + AVAIL, QUEUE(0) + USED },
	};
	struct guest g;

	start(&g);
	/* No features, no queues. */
	negotiate(&g, VIRTIO_NET_F_MAC);
	assert_int_equal(rd(&g, COMMON + 0x14, 1), 3);
	wr(&g, COMMON + 0x1c, 2, 1);
	assert_int_equal(rd(&g, COMMON + 0x1c, 2), 0);
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		const uint64_t addr[3] = { bad[i].desc, bad[i].avail, bad[i].dev };

		g.pv.messages = 0;
		negotiate(&g, VIRTIO_F_VERSION_1);
		wr(&g, COMMON + 0x16, 2, 0);
		wr(&g, COMMON + 0x18, 2, bad[i].size);
		for (unsigned k = 0; k < 3; k++) {
			wr(&g, COMMON + 0x20 + k * 8, 4, (uint32_t)addr[k]);
			wr(&g, COMMON + 0x24 + k * 8, 4, (uint32_t)(addr[k] >> 32));
		}
		wr(&g, COMMON + 0x1c, 2, 1);
		assert_int_equal(rd(&g, COMMON + 0x1c, 2), 0);
		assert_true(rd(&g, COMMON + 0x14, 1) & VIRTIO_S_NEEDS_RESET);
	}
	/* A descriptor that leads there. */
	bring_up(&g);
	post(&g, VIRTIO_NET_TX, 0, HDR + 60);
	((struct virtq_desc_shared *)(void *)(g.f.ram + QUEUE(1)))->addr = SIO_PRIV_BASE;
	wr(&g, NOTIFY + 4, 2, 1);
	assert_true(rd(&g, COMMON + 0x14, 1) & VIRTIO_S_NEEDS_RESET);
	/* And back to work. */
	bring_up(&g);
	stop(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_config),
		cmocka_unit_test(test_frames),
		cmocka_unit_test(test_hostile),
	};

	fill(pattern, sizeof(pattern), 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
