/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/json.h"

/* From a copy that ends where the text does: a read beyond is seen. */
static int parse(const char *text, struct json_node *node, unsigned max)
{
	size_t len = strlen(text);
	char *copy = malloc(len + 1);
	int n;

	memcpy(copy, text, len + 1);
	n = json_parse(copy, len, node, max);
	free(copy);
	return n;
}

static void values(void **state)
{
	static const char text[] =
		" { \"a\" : [1, -2.5e1, 0.25, []], \"s\":\"x\\\"\\u00e4y\",\"t\":true,"
		"\"f\":false,\"n\":null, \"o\":{\"a\":7, \"a\":8} }\r\n";
	const struct json_node *a, *n;
	struct json_node node[32];
	char copy[8];

	assert_int_equal(parse(text, node, 32), 21);
	assert_int_equal(node[0].size, 21);
	a = json_get(text, node, "a");
	n = json_first(a);
	assert_true(json_number(n) == 1);
	n = json_next(a, n);
	assert_true(json_number(n) == -25);
	n = json_next(a, n);
	assert_true(json_number(n) == 0.25);
	n = json_next(a, n);
	assert_null(json_first(n));
	assert_null(json_next(a, n));
	assert_true(json_is(text, json_get(text, node, "s"), "x\\\"\\u00e4y"));
	json_copy(text, json_get(text, node, "s"), copy, 4);
	assert_string_equal(copy, "x\\\"");
	assert_int_equal(json_get(text, node, "t")->type, JSON_TRUE);
	assert_int_equal(json_get(text, node, "f")->type, JSON_FALSE);
	assert_int_equal(json_get(text, node, "n")->type, JSON_NULL);
	assert_true(json_number(json_get(text, json_get(text, node, "o"), "a")) == 7);
}

static void nothing(void **state)
{
	struct json_node node[4];
	char copy[4] = "abc";

	assert_int_equal(parse("[{}]", node, 4), 2);
	assert_null(json_get("[{}]", node, "a"));
	assert_null(json_get("[{}]", NULL, "a"));
	assert_null(json_get("[{}]", node + 1, ""));
	assert_null(json_first(NULL));
	assert_true(json_number(NULL) == 0 && json_number(node) == 0);
	assert_false(json_is("[{}]", NULL, ""));
	json_copy("[{}]", NULL, copy, sizeof(copy));
	assert_string_equal(copy, "");
}

static void refused(void **state)
{
	static const char *const bad[] = {
		"",      " ",       "{",           "}",       "[1,]",    "[,1]",
		"[1 2]", "{\"a\"}", "{\"a\":}",    "{a:1}",   "{1:2}",   "{\"a\":1,}",
		"\"a",   "\"\\x\"", "\"\\u12g4\"", "\"\\u12", "\"a\n\"", "01",
		"1.",    ".5",      "+1",          "-",       "1e",      "1e+",
		"nul",   "truex",   "[1]]",        "[1}",     "1 1",     "'a'",
		"NaN",   "\"\\",
	};
	struct json_node node[64];

	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (parse(bad[i], node, 64) != -1)
			fail_msg("taken: %s", bad[i]);
	assert_int_equal(json_parse("1\0", 2, node, 64), -1);
}

static void bounds(void **state)
{
	struct json_node node[20];
	char text[64];

	memset(text, '[', 32);
	memset(text + 16, ']', 16);
	text[32] = 0;
	assert_int_equal(parse(text, node, 20), 16);
	memset(text, '[', 34);
	memset(text + 17, ']', 17);
	text[34] = 0;
	assert_int_equal(parse(text, node, 20), -1);
	assert_int_equal(parse("[1,2,3]", node, 4), 4);
	assert_int_equal(parse("[1,2,3]", node, 3), -1);
	assert_int_equal(parse("{\"a\":1}", node, 2), -1);
	assert_int_equal(parse("1", node, 0), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values),
		cmocka_unit_test(nothing),
		cmocka_unit_test(refused),
		cmocka_unit_test(bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
