/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * domain.h - one domain: two VMs over one RAM, the threads that run them, the devices behind.
 *
 * Threads: one for each guest vCPU (runs it and its companion in turn), the I/O thread (back ends,
 * timer, the I/O context) and the control thread (main: signals, watchdog).  Files:
 *
 *   memory.c   RAM, private memory, ROM, blobs and their slots in both VMs
 *   image.c    the firmware's ELF image
 *   vcpu.c     guest vCPUs: creation, reset, the run loop
 *   reflect.c  a request's way to the firmware and back, hypercalls, operations
 *   io.c       the I/O thread
 *   domain.c   life of the domain: start, reset, failure, stop
 *   stats.c    counting and its report
 */
#ifndef VMM_DOMAIN_H
#define VMM_DOMAIN_H

#include <linux/kvm.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "backends/blk.h"
#include "backends/console.h"
#include "backends/virtio_mmio.h"
#include "sio/config.h"
#include "sio/slot.h"

#define GUEST_LOW_MAX 0xc0000000ull /* RAM below 4 GiB ends here at the latest: the PCI hole */
#define GUEST_HIGH    0x100000000ull
#define N_GSI         24u
#define MAX_DISKS     4u
#define MAX_CPUID     128u /* entries of KVM_GET_SUPPORTED_CPUID */
#define STUCK_NS      5000000000ull

enum on_panic { ON_PANIC_STOP, ON_PANIC_RESET };

struct options {
	uint64_t mem;
	unsigned smp;
	struct blk_opts disk[MAX_DISKS];
	char serial[MAX_DISKS][24], model[MAX_DISKS][48];
	unsigned n_disks;
	const char *bios, *kernel, *initrd, *append, *firmware, *console, *stats, *debugcon;
	enum on_panic on_panic;
	bool no_reboot, boot_menu, verbose;
};

/* Latencies in a histogram of 8 steps for each power of two: within 9 %. */
#define HIST_STEPS 8u
#define HIST_SIZE  (64u * HIST_STEPS)

struct model_stats {
	uint64_t requests, bytes, ns;
	uint32_t hist[HIST_SIZE];
};

enum exit_kind {
	EXIT_PIO_READ,
	EXIT_PIO_WRITE,
	EXIT_MMIO_READ,
	EXIT_MMIO_WRITE,
	EXIT_SIGNAL,
	EXIT_OTHER,
	EXIT_KINDS
};

struct domain;

/* A companion vCPU. */
struct context {
	struct domain *d;
	unsigned id;
	int fd;
	struct kvm_run *run;
	struct sio_slot_shared *slot;
	_Atomic uint64_t entered_ns; /* 0: not in the firmware */
	_Atomic bool stuck;
	pthread_t thread;         /* its vCPU's: to kick that */
	_Atomic pthread_t runner; /* who runs it now, while entered_ns is set */
	struct sio_request last;  /* for reports */
	uint64_t exits, hypercalls[8], mmio_exits, tsc;
};

struct vcpu {
	struct domain *d;
	unsigned id;
	int fd;
	struct kvm_run *run;
	struct context ctx;
	pthread_t thread;
	uint64_t exits[EXIT_KINDS], unclaimed, host_tsc, cpu_ns;
	struct model_stats *models[SIO_MAX_MODELS];
	struct kvm_sregs sregs0;
	struct kvm_lapic_state lapic0;
	struct kvm_fpu fpu0;
};

enum wish { WISH_NONE, WISH_RESET, WISH_STOP };

struct mmio_range {
	uint64_t base, len;
	uint8_t model;
};

struct domain {
	struct options *opt;
	int kvm, guest_vm, comp_vm;
	size_t run_size;

	/* memory.c */
	int ram_fd;
	uint8_t *ram;
	uint64_t ram_low, ram_high; /* bytes below 4 GiB and above */
	uint8_t *priv;
	uint64_t priv_size;
	uint8_t *bios;
	uint64_t bios_size;
	uint64_t blob_top;
	struct sio_blob blob[3];
	uint32_t n_blobs;
	uint32_t image_len; /* of the loaded firmware, with its zeroed part */
	uint8_t *image;     /* a copy of the ELF file, for a reload */
	size_t image_file_len;

	struct vcpu vcpu[SIO_MAX_VCPUS];
	unsigned n_vcpus;
	struct context io;

	/* Claimed ranges: written with map_lock held, read by vCPUs without. */
	pthread_mutex_t map_lock;
	_Atomic uint8_t port_model[65536]; /* model number, 0: unclaimed */
	pthread_rwlock_t mmio_lock;
	struct mmio_range mmio[SIO_MAX_RANGES];
	unsigned n_mmio;
	char model_name[SIO_MAX_MODELS][17];

	pthread_mutex_t irq_lock; /* orders interrupt operations */
	uint32_t irq_seq[N_GSI];
	uint8_t irq_level[N_GSI];

	pthread_mutex_t timer_lock;
	uint64_t timer_ns;
	int timer_fd, kick_fd, done_fd;
	_Atomic uint64_t events;

	struct vmmio *window[SIO_MAX_VIRTIO];
	unsigned n_windows;
	struct blk_ring *ring;
	struct blk_dev *disk[MAX_DISKS];
	struct console_dev *console;
	struct vmem vmem;
	struct vmmio_host host;

	/* Coming to a halt together: vCPU threads park, the I/O thread acts. */
	pthread_mutex_t park_lock;
	pthread_cond_t parked_cond, resume_cond;
	unsigned n_parked, generation;
	_Atomic int wish;
	_Atomic bool fw_dead; /* the firmware failed: no context goes on */
	int exit_status;
	uint8_t uuid[16];
	unsigned resets, fw_resets;
	_Atomic bool started; /* the firmware came to its first RETURN */
	unsigned fw_fails;    /* since fw_fail_ns */
	uint64_t fw_fail_ns;

	/* Lines that the firmware may still have on the terminal; map_lock. */
	uint64_t log_ns;
	uint64_t log_dropped;

	pthread_t io_thread;
	uint64_t start_mono_ns, start_tsc;
	uint64_t io_cpu_ns;
	struct kvm_irqchip irqchip0[3];
	struct kvm_pit_state2 pit0;
};

static inline uint64_t tsc(void)
{
	return __builtin_ia32_rdtsc();
}

/* Messages: "selfio: ..." on standard error, one line. */
__attribute__((format(printf, 1, 2))) void msg(const char *f, ...);
/* msg() with the status of errno; -1. */
__attribute__((format(printf, 1, 2))) int fail_errno(const char *f, ...);

uint64_t domain_now_ns(const struct domain *d);
/* Asks for a reset or a stop; from any thread, at once. A stop outranks a reset. */
void domain_wish(struct domain *d, enum wish w, int status);
/* The firmware failed: reports are out, policy decides. */
void domain_fw_failed(struct domain *d);
void domain_kick_all(struct domain *d);
int domain_run(struct options *opt); /* exit status */
int domain_start_firmware(struct domain *d);
void domain_signal(void *d, unsigned window); /* back ends: the driver is to look */

int memory_init(struct domain *d);
void memory_free(struct domain *d);
void memory_reset_bios(struct domain *d); /* the BIOS's copy below 1 MiB */
int memory_add_blob(struct domain *d, const char *path, const void *data, size_t len, uint64_t *gpa,
		    uint64_t *out_len);

/* Loads an ELF image of len bytes into private memory, bounds checked; entry point in *entry. */
int image_load(struct domain *d, uint64_t *entry, char *err, size_t errlen);

int vcpu_create(struct vcpu *v);
int vcpu_reset(struct vcpu *v);
void *vcpu_main(void *v);
void vcpu_thread_init(struct kvm_run *a,
		      struct kvm_run *b); /* makes this thread's KVM_RUNs kickable */
void vcpu_signal_init(void);

int context_create(struct context *c, struct domain *d, unsigned id);
int context_enter_regs(struct context *c, uint64_t entry); /* registers of the entry point */
/* Runs the firmware until it returns or waits. 0, or -1 when it can't go on (fw_dead is set). */
int context_run(struct context *c);
uint64_t reflect(struct vcpu *v, unsigned kind, bool write, uint64_t addr, unsigned size,
		 uint32_t count, uint64_t data, void *burst);
unsigned reflect_model_at(struct domain *d, uint64_t port, unsigned size);
unsigned reflect_model_at_mmio(struct domain *d, uint64_t addr, unsigned size);

void *io_main(void *d);
void io_timer(struct domain *d, uint64_t deadline_ns);

void stats_count(struct vcpu *v, unsigned model, uint64_t bytes, uint64_t ticks);
int stats_write(struct domain *d, const char *path);

int check_main(int argc, char **argv);

#endif
