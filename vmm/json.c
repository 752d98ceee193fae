/* SPDX-License-Identifier: BSD-2-Clause */
#include "vmm/json.h"

#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 16u

struct parser {
	const char *text, *p, *end;
	struct json_node *node;
	unsigned n, max;
};

static bool value(struct parser *s, unsigned depth);

static void space(struct parser *s)
{
	while (s->p < s->end && strchr(" \t\r\n", *s->p) && *s->p)
		s->p++;
}

static bool take(struct parser *s, char c)
{
	space(s);
	if (s->p == s->end || *s->p != c)
		return false;
	s->p++;
	return true;
}

static struct json_node *add(struct parser *s, enum json_type type)
{
	struct json_node *n = s->n < s->max ? &s->node[s->n] : NULL;

	if (n) {
		*n = (struct json_node){ .type = type,
					 .at = (uint32_t)(s->p - s->text),
					 .size = 1 };
		s->n++;
	}
	return n;
}

static bool is_hex(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static bool string(struct parser *s)
{
	struct json_node *n;

	if (!take(s, '"') || !(n = add(s, JSON_STRING)))
		return false;
	for (; s->p < s->end && *s->p != '"'; s->p++) {
		if ((unsigned char)*s->p < ' ')
			return false;
		if (*s->p != '\\')
			continue;
		s->p++;
		if (s->p == s->end || !*s->p || !strchr("\"\\/bfnrtu", *s->p))
			return false;
		for (unsigned i = *s->p == 'u' ? 4 : 0; i; i--)
			if (++s->p == s->end || !is_hex(*s->p))
				return false;
	}
	n->len = (uint32_t)(s->p - s->text) - n->at;
	return take(s, '"');
}

static bool digits(struct parser *s)
{
	const char *from = s->p;

	while (s->p < s->end && *s->p >= '0' && *s->p <= '9')
		s->p++;
	return s->p > from;
}

static bool number(struct parser *s)
{
	struct json_node *n = add(s, JSON_NUMBER);
	const char *from = s->p;

	if (!n)
		return false;
	if (s->p < s->end && *s->p == '-')
		s->p++;
	if (s->p < s->end && *s->p == '0')
		s->p++;
	else if (!digits(s))
		return false;
	if (s->p < s->end && *s->p == '.' && (s->p++, !digits(s)))
		return false;
	if (s->p < s->end && (*s->p == 'e' || *s->p == 'E')) {
		s->p++;
		if (s->p < s->end && (*s->p == '+' || *s->p == '-'))
			s->p++;
		if (!digits(s))
			return false;
	}
	n->len = (uint32_t)(s->p - from);
	n->number = strtod(from, NULL);
	return true;
}

static bool word(struct parser *s, const char *w, enum json_type type)
{
	size_t len = strlen(w);

	if ((size_t)(s->end - s->p) < len || memcmp(s->p, w, len) != 0 || !add(s, type))
		return false;
	s->p += len;
	return true;
}

static bool members(struct parser *s, enum json_type type, unsigned depth)
{
	char close = type == JSON_OBJECT ? '}' : ']';
	unsigned at = s->n;

	if (!depth || !add(s, type))
		return false;
	s->p++;
	if (!take(s, close)) {
		do {
			if (type == JSON_OBJECT && (!string(s) || !take(s, ':')))
				return false;
			if (!value(s, depth - 1))
				return false;
		} while (take(s, ','));
		if (!take(s, close))
			return false;
	}
	s->node[at].len = (uint32_t)(s->p - s->text) - s->node[at].at;
	s->node[at].size = s->n - at;
	return true;
}

static bool value(struct parser *s, unsigned depth)
{
	space(s);
	if (s->p == s->end)
		return false;
	switch (*s->p) {
	case '{': return members(s, JSON_OBJECT, depth);
	case '[': return members(s, JSON_ARRAY, depth);
	case '"': return string(s);
	case 't': return word(s, "true", JSON_TRUE);
	case 'f': return word(s, "false", JSON_FALSE);
	case 'n': return word(s, "null", JSON_NULL);
	}
	return number(s);
}

int json_parse(const char *text, size_t len, struct json_node *node, unsigned max)
{
	struct parser s = { .text = text, .p = text, .end = text + len, .node = node, .max = max };

	if (len >= UINT32_MAX || !value(&s, DEPTH_MAX))
		return -1;
	space(&s);
	return s.p == s.end ? (int)s.n : -1;
}

const struct json_node *json_first(const struct json_node *a)
{
	return a && (a->type == JSON_ARRAY || a->type == JSON_OBJECT) && a->size > 1 ? a + 1 : NULL;
}

const struct json_node *json_next(const struct json_node *a, const struct json_node *n)
{
	return n + n->size < a + a->size ? n + n->size : NULL;
}

const struct json_node *json_get(const char *text, const struct json_node *object, const char *name)
{
	const struct json_node *n = object && object->type == JSON_OBJECT ? json_first(object) :
									    NULL;

	for (; n; n = json_next(object, n + 1))
		if (json_is(text, n, name))
			return n + 1;
	return NULL;
}

double json_number(const struct json_node *n)
{
	return n && n->type == JSON_NUMBER ? n->number : 0;
}

bool json_is(const char *text, const struct json_node *n, const char *string)
{
	return n && n->type == JSON_STRING && n->len == strlen(string) &&
	       memcmp(text + n->at, string, n->len) == 0;
}

void json_copy(const char *text, const struct json_node *n, char *to, size_t room)
{
	size_t len = n && n->type == JSON_STRING ? n->len : 0;

	if (len >= room)
		len = room - 1;
	memcpy(to, text + (n ? n->at : 0), len);
	to[len] = 0;
}
