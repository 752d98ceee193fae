/* SPDX-License-Identifier: BSD-2-Clause */
/* The one-register devices: port 92h, the POST latch, the debug console. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "fake_host.h"
#include "models/debugcon/debugcon.h"
#include "models/port92/port92.h"
#include "models/post/post.h"

static struct fake f;

static int setup(void **state)
{
	fake_init(&f);
	return 0;
}

static int teardown(void **state)
{
	fake_free(&f);
	return 0;
}

static void port92(void **state)
{
	struct dev_host *h = fake_host_of(&f, fake_add(&f, &port92_class, NULL, -1));

	assert_int_equal(fake_inb(&f, 0x92), 0x02);
	fake_outb(&f, 0x92, 0xfc);
	assert_int_equal(fake_inb(&f, 0x92), 0x00);
	fake_save_load(&f);
	assert_false(f.was_reset);
	fake_outb(&f, 0x92, 0x03);
	assert_true(f.was_reset);
	f.was_reset = false;
	fake_outb(&f, 0x92, 0x01);
	assert_false(f.was_reset);
	h->cls->reset(h->dev);
	assert_int_equal(fake_inb(&f, 0x92), 0x02);
	memset((uint8_t *)h->dev + h->cls->state_off, 0xff, h->cls->state_size);
	assert_int_equal(h->cls->loaded(h->dev), -1);
	assert_int_equal(fake_inb(&f, 0x92), 0x02);
}

static void post(void **state)
{
	struct dev_host *h = fake_host_of(&f, fake_add(&f, &post_class, NULL, -1));

	fake_outb(&f, 0x80, 0xab);
	fake_save_load(&f);
	assert_int_equal(fake_inb(&f, 0x80), 0xab);
	h->cls->reset(h->dev);
	assert_int_equal(fake_inb(&f, 0x80), 0);
}

static void debugcon(void **state)
{
	struct fake_chr out;
	struct debugcon_cfg cfg = { &out.chr };
	struct dev_host *h;
	char buf[4];

	fake_chr_init(&out);
	h = fake_host_of(&f, fake_add(&f, &debugcon_class, &cfg, -1));
	assert_int_equal(fake_inb(&f, 0x402), 0xe9);
	fake_outb(&f, 0x402, 'a');
	fake_burst(&f, 0x402, 1, true, "bcdef", 5);
	fake_burst(&f, 0x402, 1, false, buf, 4);
	assert_memory_equal(buf, "\xe9\xe9\xe9\xe9", 4);
	fake_save_load(&f);
	out.out_room = 1;
	fake_burst(&f, 0x402, 1, true, "gh", 2);
	h->cls->reset(h->dev);
	assert_int_equal(out.n_out, 7);
	assert_memory_equal(out.out, "abcdefg", 7);
}

static void debugcon_to_nowhere(void **state)
{
	fake_add(&f, &debugcon_class, NULL, -1);
	fake_outb(&f, 0x402, 'a');
	assert_int_equal(fake_inb(&f, 0x402), 0xe9);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(port92, setup, teardown),
		cmocka_unit_test_setup_teardown(post, setup, teardown),
		cmocka_unit_test_setup_teardown(debugcon, setup, teardown),
		cmocka_unit_test_setup_teardown(debugcon_to_nowhere, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
