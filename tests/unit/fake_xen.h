/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fake_xen.h - a Xen in memory for tests of drivers/xen: pages, grants that are checked, xenstore's nodes, a log.
 *
 * The guest's RAM is below PRIV, the firmware's memory from there on. What else hypercalls and the environment do is the
 * test's, which ends in fx_hypercall().
 */
#ifndef FAKE_XEN_H
#define FAKE_XEN_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "drivers/xen/xen.h"

#define RAM    (4u << 20)
#define PRIV   (2u << 20) /* from here on the firmware's */
#define FRAMES 16u
#define NODES  128u

static struct {
	uint8_t *ram;
	size_t used;
	uint64_t now;
	/* grants */
	unsigned max_frames, version, mapped;
	uint64_t table; /* where the last frames are mapped */
	bool map_fails;
	/* xenstore */
	struct {
		char path[64], value[64];
	} node[NODES];
	unsigned n_nodes;
	/* the log */
	unsigned logs;
	char last_log[200];
} fx;

static void fx_start(void)
{
	memset(&fx, 0, sizeof(fx));
	fx.ram = aligned_alloc(XEN_PAGE, RAM);
	memset(fx.ram, 0, RAM);
	fx.used = PRIV;
	fx.max_frames = FRAMES;
	fx.version = 1;
}

static char *value_of(const char *path)
{
	for (unsigned i = 0; i < fx.n_nodes; i++)
		if (!strcmp(fx.node[i].path, path))
			return fx.node[i].value;
	return NULL;
}

static void set(const char *path, const char *value)
{
	char *v = value_of(path);

	if (!v) {
		assert_true(fx.n_nodes < NODES);
		strcpy(fx.node[fx.n_nodes].path, path);
		v = fx.node[fx.n_nodes++].value;
	}
	assert_true(strlen(value) < 64);
	strcpy(v, value);
}

static struct xen_grant_shared *grant_of(uint32_t ref)
{
	uint32_t first = (fx.max_frames - XEN_GRANT_FRAMES) * 512;

	assert_true(fx.mapped == XEN_GRANT_FRAMES);
	assert_true(ref >= first && ref < first + XEN_GRANT_FRAMES * 512);
	return (struct xen_grant_shared *)(fx.ram + fx.table) + (ref - first);
}

/* The pointer to a page that the back end maps; it stays mapped until unmap(). NULL: there is no such page. */
static uint8_t *map(uint32_t ref, bool write)
{
	struct xen_grant_shared *g = grant_of(ref);

	assert_true(g->flags & XEN_GTF_PERMIT);
	assert_true(!write || !(g->flags & XEN_GTF_READONLY));
	assert_int_equal(g->domid, 0);
	if (g->frame >= RAM / XEN_PAGE)
		return NULL;
	g->flags |= XEN_GTF_READING | (write ? XEN_GTF_WRITING : 0);
	return fx.ram + (uint64_t)g->frame * XEN_PAGE;
}

static void unmap(uint32_t ref)
{
	grant_of(ref)->flags &= (uint16_t) ~(XEN_GTF_READING | XEN_GTF_WRITING);
}

static void *env_alloc(void *ctx, size_t size, size_t align)
{
	size_t at = (fx.used + align - 1) & ~(align - 1);

	if (at + size > RAM)
		return NULL;
	fx.used = at + size;
	return fx.ram + at;
}

static uint64_t env_gpa(void *ctx, const void *p)
{
	assert_true((const uint8_t *)p >= fx.ram + PRIV && (const uint8_t *)p < fx.ram + RAM);
	return (uint64_t)((const uint8_t *)p - fx.ram);
}

static void *env_at(void *ctx, uint64_t gpa, uint64_t len)
{
	return gpa < RAM && len <= RAM - gpa ? fx.ram + gpa : NULL;
}

static uint64_t env_now(void *ctx)
{
	return fx.now += 1000;
}

static void env_log(void *ctx, const char *text)
{
	fx.logs++;
	snprintf(fx.last_log, sizeof(fx.last_log), "%s", text);
}

static long fx_hypercall(unsigned nr, unsigned long op, void *arg)
{
	switch (nr << 8 | op) {
	case XEN_HC_GRANT_TABLE << 8 | XEN_GNTTAB_QUERY_SIZE: {
		struct xen_gnttab_query_size *q = arg;

		q->nr_frames = 1;
		q->max_nr_frames = fx.max_frames;
		return 0;
	}
	case XEN_HC_GRANT_TABLE << 8 | XEN_GNTTAB_GET_VERSION:
		((struct xen_gnttab_get_version *)arg)->version = fx.version;
		return 0;
	case XEN_HC_MEMORY << 8 | XEN_MEM_ADD_TO_PHYSMAP: {
		struct xen_add_to_physmap *a = arg;

		assert_int_equal(a->space, XEN_MAPSPACE_GRANT);
		if (fx.map_fails)
			return -12;
		if (a->idx == fx.max_frames - XEN_GRANT_FRAMES) {
			fx.table = a->gpfn * XEN_PAGE;
			fx.mapped = 0;
		}
		assert_int_equal(a->gpfn, fx.table / XEN_PAGE + fx.mapped);
		memset(fx.ram + a->gpfn * XEN_PAGE, 0, XEN_PAGE);
		fx.mapped++;
		return 0;
	}
	}
	fail_msg("hypercall %u, %lu", nr, op);
	return -38;
}

#endif
