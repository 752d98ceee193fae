/* SPDX-License-Identifier: BSD-2-Clause */
/* json.h - a strict reader of JSON (RFC 8259) into a table of nodes; no allocation. */
#ifndef VMM_JSON_H
#define VMM_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum json_type {
	JSON_NULL,
	JSON_FALSE,
	JSON_TRUE,
	JSON_NUMBER,
	JSON_STRING,
	JSON_ARRAY,
	JSON_OBJECT
};

struct json_node {
	enum json_type type;
	uint32_t at, len; /* its text; a string's without the quotes, escapes as they stand */
	uint32_t size;    /* nodes in its subtree, itself included */
	double number;
};

/* text[len] is 0.  An object's members are two nodes each, name and value.  The number of nodes; -1: not
 * one JSON value, nested deeper than 16, or more than max nodes. */
int json_parse(const char *text, size_t len, struct json_node *node, unsigned max);

/* NULL as node is nothing: these answer NULL, 0, "", false. */
const struct json_node *json_get(const char *text, const struct json_node *object,
				 const char *name);
double json_number(const struct json_node *n);
bool json_is(const char *text, const struct json_node *n, const char *string);
/* A string, cut to fit. */
void json_copy(const char *text, const struct json_node *n, char *to, size_t room);

/* for (n = json_first(a); n; n = json_next(a, n)): an array's elements, or an object's names and values. */
const struct json_node *json_first(const struct json_node *a);
const struct json_node *json_next(const struct json_node *a, const struct json_node *n);

#endif
