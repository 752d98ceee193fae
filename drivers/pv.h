/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pv.h - what a PV front end asks of the place where it runs.
 *
 * In the firmware a pointer's value is its companion-physical address; unit tests run on a host,
 * where it isn't, so all that leaves the front end goes through here.  The environment outlives the
 * front ends; all calls into a front end are made with the host's one lock held (fw_lock).
 */
#ifndef DRIVERS_PV_H
#define DRIVERS_PV_H

#include <stddef.h>
#include <stdint.h>

struct pv_env {
	/* Zeroed private memory that the back end can reach; NULL: none left.  Only during init. */
	void *(*alloc)(void *ctx, size_t size, size_t align);
	/* The address by which the back end knows private memory. */
	uint64_t (*gpa)(void *ctx, const void *p);
	/* Registers of a virtio-mmio window, 32 bits.  A write to QueueNotify may complete requests
	 * before it returns. */
	uint32_t (*mmio_read)(void *ctx, uint64_t addr);
	void (*mmio_write)(void *ctx, uint64_t addr, uint32_t v);
	/* A write to QueueNotify of the device whose registers are at window, once the host's entry is over: what
	 * is done at once is told by an event, if one was asked for.  NULL: at once. */
	void (*notify)(void *ctx, uint64_t window, uint32_t queue);
	/* One line for the domain's log, without a newline; may be NULL. */
	void (*log)(void *ctx, const char *text);
	void *ctx;
};

#endif
