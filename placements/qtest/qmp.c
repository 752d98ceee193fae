/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * qmp.c - as much of the QEMU Machine Protocol as testers need beside qtest: JSON objects on a stream,
 * of which only the members "execute" and "id" are looked at.
 */
#include "placements/qtest/qtest.h"

#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#define MAX_OBJECT 65536u

static void send_text(struct qtest *q, const char *text)
{
	chan_send(&q->qmp, text, strlen(text));
}

void qmp_greet(struct qtest *q)
{
	send_text(q,
		  "{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 0, \"minor\": 0, \"major\": 10}, "
		  "\"package\": \"selfio-qtest\"}, \"capabilities\": []}}\r\n");
}

void qmp_event(struct qtest *q, const char *name, const char *data)
{
	char text[300];
	struct timeval t;

	if (!q->ready)
		return;
	gettimeofday(&t, NULL);
	snprintf(
		text, sizeof(text),
		"{\"timestamp\": {\"seconds\": %lld, \"microseconds\": %ld}, \"event\": \"%s\"%s%s}\r\n",
		(long long)t.tv_sec, (long)t.tv_usec, name, data ? ", \"data\": " : "",
		data ? data : "");
	send_text(q, text);
}

/* Past the string that starts at s; NULL: it does not end before end. */
static const char *skip_string(const char *s, const char *end)
{
	for (s++; s < end && *s != '"'; s++)
		if (*s == '\\')
			s++;
	return s < end ? s + 1 : NULL;
}

/* Past the object or array that starts at s, or NULL. */
static const char *skip_nest(const char *s, const char *end)
{
	unsigned depth = 0;

	while (s && s < end) {
		if (*s == '"') {
			s = skip_string(s, end);
			continue;
		}
		if (*s == '{' || *s == '[')
			depth++;
		else if ((*s == '}' || *s == ']') && --depth == 0)
			return s + 1;
		s++;
	}
	return NULL;
}

static const char *skip_space(const char *s, const char *end)
{
	while (s < end && strchr(" \t\r\n", *s) && *s)
		s++;
	return s;
}

static const char *skip_value(const char *s, const char *end)
{
	if (s == end)
		return NULL;
	if (*s == '"')
		return skip_string(s, end);
	if (*s == '{' || *s == '[')
		return skip_nest(s, end);
	while (s < end && !strchr(",}] \t\r\n", *s))
		s++;
	return s;
}

struct text {
	const char *s;
	size_t n;
};

/* The value of obj's member as it is written; n 0: none, or no JSON. */
static struct text member(const char *obj, const char *end, const char *key)
{
	const char *s = obj + 1;
	size_t len = strlen(key);

	for (;;) {
		const char *name = skip_space(s, end), *value;

		if (name == end || *name != '"' || !(s = skip_string(name, end)))
			break;
		s = skip_space(s, end);
		if (s == end || *s != ':')
			break;
		value = skip_space(s + 1, end);
		s = skip_value(value, end);
		if (!s || s == value)
			break;
		if (strncmp(name + 1, key, len) == 0 && name[1 + len] == '"')
			return (struct text){ value, (size_t)(s - value) };
		s = skip_space(s, end);
		if (s == end || *s != ',')
			break;
		s++;
	}
	return (struct text){ NULL, 0 };
}

static bool is(struct text t, const char *name)
{
	return t.n == strlen(name) + 2 && strncmp(t.s + 1, name, t.n - 2) == 0;
}

static void set_paused(struct qtest *q, bool paused)
{
	if (q->paused != paused)
		qmp_event(q, paused ? "STOP" : "RESUME", NULL);
	q->paused = paused;
	q->started |= !paused;
}

/* Carries out a command; the answer's value, or NULL: there is none of that name. */
static const char *execute(struct qtest *q, struct text cmd)
{
	if (is(cmd, "query-status")) {
		if (!q->paused)
			return "{\"status\": \"running\", \"running\": true}";
		return q->started ? "{\"status\": \"paused\", \"running\": false}" :
				    "{\"status\": \"prelaunch\", \"running\": false}";
	}
	if (is(cmd, "query-version"))
		return "{\"qemu\": {\"micro\": 0, \"minor\": 0, \"major\": 10}, \"package\": \"selfio-qtest\"}";
	if (is(cmd, "stop") || is(cmd, "cont"))
		set_paused(q, is(cmd, "stop"));
	else if (is(cmd, "system_reset"))
		q->want_reset = true;
	else if (is(cmd, "quit"))
		q->quit = true;
	else
		return NULL;
	return "{}";
}

static void answer(struct qtest *q, struct text id, const char *kind, const char *value)
{
	char head[400], tail[] = "}\r\n";

	snprintf(head, sizeof(head), "{\"%s\": %s", kind, value);
	send_text(q, head);
	if (id.n) {
		send_text(q, ", \"id\": ");
		chan_send(&q->qmp, id.s, id.n);
	}
	send_text(q, tail);
}

static void fail(struct qtest *q, struct text id, const char *class, const char *desc)
{
	char value[300];

	snprintf(value, sizeof(value), "{\"class\": \"%s\", \"desc\": \"%s\"}", class, desc);
	answer(q, id, "error", value);
}

static void object(struct qtest *q, const char *obj, const char *end)
{
	struct text cmd = member(obj, end, "execute"), id = member(obj, end, "id");
	const char *value;
	char desc[120];

	if (cmd.n < 2 || *cmd.s != '"' ||
	    strspn(cmd.s + 1,
		   "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.") !=
		    cmd.n - 2) {
		fail(q, id, "GenericError", "QMP input lacks member 'execute', a command's name");
		return;
	}
	if (is(cmd, "qmp_capabilities") != !q->ready) {
		fail(q, id, "CommandNotFound",
		     q->ready ? "Capabilities negotiation is already complete" :
				"Expecting capabilities negotiation with 'qmp_capabilities'");
		return;
	}
	if (!q->ready) {
		q->ready = true;
		answer(q, id, "return", "{}");
		return;
	}
	value = execute(q, cmd);
	if (value) {
		answer(q, id, "return", value);
	} else {
		snprintf(desc, sizeof(desc), "The command %.*s has not been found",
			 cmd.n > 66 ? 64 : (int)cmd.n - 2, cmd.s + 1);
		fail(q, id, "CommandNotFound", desc);
	}
	if (q->quit)
		qmp_event(q, "SHUTDOWN", "{\"guest\": false, \"reason\": \"host-qmp-quit\"}");
}

void qmp_input(struct qtest *q)
{
	struct chan *c = &q->qmp;

	while (c->start < c->len && !q->quit) {
		const char *s = c->buf + c->start, *end = c->buf + c->len, *past;

		if (*s != '{') {
			/* Spaces between objects, and what is none. */
			c->start++;
			if (!strchr(" \t\r\n", *s))
				fail(q, (struct text){ NULL, 0 }, "GenericError",
				     "JSON parse error, an object starts with {");
			continue;
		}
		past = skip_nest(s, end);
		if (!past) {
			if (c->len - c->start > MAX_OBJECT) {
				msg("QMP: a command is too long");
				c->closed = true;
			}
			return;
		}
		object(q, s, past);
		c->start += (size_t)(past - s);
	}
}
