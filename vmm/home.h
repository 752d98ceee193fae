/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * home.h - where models live, as the hypervisor side sees it: private memory beside the guest's RAM, and a
 * context for each guest vCPU and one for I/O, entered with a request and left by hypercalls.
 *
 * Context n < n_vcpus is entered by the thread of guest vCPU n only, the I/O context by the I/O thread;
 * while the vCPUs are parked, context 0 is the I/O thread's.
 */
#ifndef VMM_HOME_H
#define VMM_HOME_H

#include <linux/kvm.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backends/virtio_mmio.h"
#include "sio/config.h"
#include "sio/slot.h"

enum home_kind { HOME_FIRMWARE, HOME_IOEMU, HOME_STUBDOM, HOME_INPROC, N_HOMES };

#define N_GSI 24u

struct domain;
struct home;

/* How a context left. */
enum leave_kind {
	LEAVE_CALL, /* hypercall n */
	LEAVE_MMIO, /* access to a virtio window; data has room for 8 bytes, in place */
	LEAVE_INTR, /* a kick */
	LEAVE_BAD,  /* why */
};

struct leave {
	enum leave_kind kind;
	uint32_t n;
	uint64_t addr;
	uint32_t len;
	bool write;
	uint8_t *data;
	char why[120];
};

struct context {
	struct home *h;
	unsigned id;
	struct sio_slot_shared *slot;
	_Atomic uint64_t entered_ns; /* 0: not in the home */
	_Atomic bool stuck;
	_Atomic pthread_t runner; /* who runs it, while entered_ns is set */
	uint64_t watched_ns,
		watched_cpu_ns; /* the watchdog's: an entry, and the runner's CPU time then */
	bool forwarding;
	struct sio_request last; /* for reports */
	/* tsc: time in it, without that of another home's context that it forwarded to. */
	uint64_t exits, hypercalls[SIO_N_HYPERCALLS], mmio_exits, tsc;
	uint64_t nested_tsc; /* of this entry so far */
	uint64_t asleep_ns;  /* remote.c: of tsc, without a processor */
	/* companion.c */
	int fd;
	struct kvm_run *run;
	/* remote.c */
	bool away; /* the turn was handed over, the answer not yet seen */
	bool mmio_data_due;
	uint64_t mmio_data;
};

struct home_ops {
	const char *name;
	bool apart;     /* in a process of its own */
	bool has_image; /* the firmware's ELF image is loaded into its private memory */
	int (*create)(struct home *h); /* priv is there, empty; 0 or -1 with a message */
	/* Everything fresh, private memory filled: context n is to be entered at entry next. */
	int (*start)(struct home *h, uint64_t entry);
	void (*enter)(struct context *c, struct leave *l);
	void (*report)(struct context *c); /* where it is, in a failure's report */
	void (*destroy)(struct home *h);
};

/* By kind; NULL: this program does not have it. */
extern const struct home_ops *const home_kinds[N_HOMES];
extern const enum home_kind home_default; /* where all lives that --place does not name */
extern const struct home_ops home_companion, home_ioemu, home_stubdom;

struct home {
	struct domain *d;
	enum home_kind kind;
	const struct home_ops *ops;
	uint32_t places; /* bit n: enum sio_place n lives here */

	int priv_fd;
	uint8_t *priv;
	uint64_t priv_size;
	uint32_t image_len; /* of the loaded firmware, with its zeroed part */

	struct context ctx[SIO_MAX_CONTEXTS];
	_Atomic bool dead; /* it failed: no context goes on */
	_Atomic unsigned
		inside; /* contexts at work, or about to look whether there is something queued for them */
	char model_name[SIO_MAX_MODELS][17];

	/* What was written to the configuration space of functions that are here, by cycles that another home
	 * forwarded: a process that takes the place of one that ended is told again. That home's lock is held. */
	struct pci_memory *pci;

	uint32_t irq_seq[N_GSI]; /* d->irq_lock */
	uint8_t irq_level[N_GSI];

	pthread_mutex_t timer_lock;
	uint64_t timer_ns;
	int timer_fd;
	_Atomic uint64_t events;

	struct vmmio *window[SIO_MAX_VIRTIO];
	unsigned n_windows;
	struct vmem vmem, guest_vmem; /* all of it; what a driver of the guest's may name */
	struct vmmio_host host, guest_host;

	/* companion.c */
	int vm;
	/* remote.c */
	int pidfd; /* -1: no process */
	pid_t pid;
	_Atomic bool gone;    /* the process ended */
	uint64_t past_cpu_ns; /* of processes that ended */
};

/* Contexts and private memory, nothing in it yet. NULL with a message. */
struct home *home_create(struct domain *d, enum home_kind kind, uint32_t places);
/* Fresh models: config page, image, every context to its first RETURN. 0 or -1, reported. */
int home_start(struct home *h);
/* The guest goes on with a home that was started anew: what it had configured by forwarded cycles is configured
 * again. 0 or -1, reported. */
int home_restore_pci(struct home *h);
/* They were reset. */
void home_forget_pci(struct home *h);
/* Is the image one that could be loaded?  Before anything is created. */
int home_check_image(struct home *h);
void home_destroy(struct home *h);
unsigned home_add_window(struct home *h, struct vmmio *w);

static inline struct context *home_io(struct home *h, unsigned n_vcpus)
{
	return &h->ctx[n_vcpus];
}

/* Runs the context until it returns or waits. 0, or -1 when it can't go on (the home is dead). */
int context_run(struct context *c);
/* In-process homes leave by calls: the same handling. 1: it answered; 0: go on; -1: failed. */
int context_leave(struct context *c, struct leave *l);
void remote_died(struct home *h); /* the control thread saw its process end */

/* Loads the ELF image into private memory, bounds checked; entry point in *entry. */
int image_load(struct home *h, const uint8_t *file, size_t len, uint64_t *entry, char *err,
	       size_t errlen);

#endif
