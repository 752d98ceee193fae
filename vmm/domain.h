/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * domain.h - one domain: a guest VM, the homes of its models over the same RAM, the threads that run them,
 * the devices behind.
 *
 * Threads: one for each guest vCPU (runs it and its contexts in turn), the I/O thread (back ends, timers,
 * the I/O contexts) and the control thread (main: signals, watchdog).  Files:
 *
 *   memory.c     RAM, ROM, blobs and their slots
 *   vcpu.c       guest vCPUs: creation, reset, the run loop
 *   home.c       what homes have in common: start, contexts, hypercalls, operations
 *   companion.c  the home in a companion VM of this process
 *   remote.c     homes in processes of their own: ioemu, stub domain; stub.c is the latter's inside
 *   image.c      the firmware's ELF image
 *   reflect.c    a guest's access on its way to a home and back
 *   fast.c       accesses that need not go there at once
 *   io.c         the I/O thread
 *   domain.c     life of the domain: start, reset, failure, stop
 *   stats.c      counting and its report
 *   control.c    the control socket's server; stat.c: `selfio stat`, its client
 *   json.c       a reader of JSON for the two
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
#include "backends/net.h"
#include "backends/virtio_mmio.h"
#include "sio/config.h"
#include "sio/slot.h"
#include "vmm/home.h"

#define GUEST_LOW_MAX 0xc0000000ull /* RAM below 4 GiB ends here at the latest: the PCI hole */
#define GUEST_HIGH    0x100000000ull
#define MAX_DISKS     4u
#define MAX_BLOBS     6u   /* kernel, RAM disk, command line; option ROMs */
#define MAX_CPUID     128u /* entries of KVM_GET_SUPPORTED_CPUID */
#define STUCK_NS      5000000000ull

enum on_panic { ON_PANIC_STOP, ON_PANIC_RESET };

struct options {
	uint64_t mem;
	unsigned smp;
	struct blk_opts disk[MAX_DISKS];
	char serial[MAX_DISKS][24], model[MAX_DISKS][48];
	unsigned n_disks;
	struct net_opts net[SIO_MAX_NETS];
	unsigned n_nets;
	bool boot_net;
	const char *bios, *kernel, *initrd, *append, *firmware, *console, *stats, *debugcon;
	const char *name; /* NULL: the process id */
	enum on_panic on_panic;
	bool no_reboot, boot_menu, verbose, testdev, no_control;
	bool irqchip;                /* interrupt controllers and PIT are models */
	uint32_t fast;               /* bit n: enum sio_map_kind n; and FAST_IRQ */
	uint8_t place[SIO_N_PLACES]; /* enum home_kind of each */
	unsigned spin_us;            /* how long to spin for a home in another process */
};

#define FAST_IRQ 31u /* interrupts through an eventfd; not a kind of range */
#define FAST_DEFAULT                                                         \
	(1u << SIO_MAP_POSTED | 1u << SIO_MAP_SHADOW | 1u << SIO_MAP_CLOCK | \
	 1u << SIO_MAP_READTHROUGH | 1u << SIO_MAP_FIFO | 1u << SIO_MAP_KICK)
#define FAST_ALL (FAST_DEFAULT | 1u << SIO_MAP_DOORBELL) /* FAST_IRQ is not for level mode */

/* Latencies in a histogram of 8 steps for each power of two: within 9 %. */
#define HIST_STEPS 8u
#define HIST_SIZE  (64u * HIST_STEPS)

struct model_stats {
	uint64_t requests, bytes, ns;
	uint64_t shadowed; /* reads that the shadow page or a clock answered */
	uint32_t hist[HIST_SIZE];
};

enum exit_kind {
	EXIT_PIO_READ,
	EXIT_PIO_WRITE,
	EXIT_MMIO_READ,
	EXIT_MMIO_WRITE,
	EXIT_SIGNAL,
	EXIT_TRIPLE_FAULT,
	EXIT_OTHER,
	EXIT_KINDS
};

/* CPU time of a thread; and how long it was ready to run but had no processor. */
struct thread_time {
	uint64_t cpu_ns, delay_ns;
};

/* A thread's CPU time in its parts, in ns; and what stats_look() saw last. */
struct cpu_split {
	double guest, companion, host;
	double cpu, delay, comp_wall, host_wall;
};

/* Exits by where they went: reads, writes of ports in blocks, and of pages of memory. */
#define PORT_BLOCK 8u
#define PAGES_MAX  64u /* a power of two; pages that come later are counted only in exits[] */
struct page_count {
	uint64_t page, count[2]; /* page: number plus 1; 0: free */
};

struct domain;

struct vcpu {
	struct domain *d;
	unsigned id;
	int fd;
	struct kvm_run *run;
	pthread_t thread;
	_Atomic pid_t tid;
	/* Counts are the thread's own to write; others read each as a whole. */
	uint64_t exits[EXIT_KINDS], unclaimed;
	uint64_t ports[0x10000 / PORT_BLOCK][2];
	struct page_count pages[PAGES_MAX];
	uint64_t host_tsc;       /* in the reflector */
	struct thread_time time; /* when it has ended */
	struct model_stats *models[N_HOMES][SIO_MAX_MODELS];
	struct kvm_sregs sregs0;
	struct kvm_lapic_state lapic0;
	struct kvm_fpu fpu0;
};

/* REHOME: homes in other processes that ended are started anew, the guest goes on. */
enum wish { WISH_NONE, WISH_REHOME, WISH_RESET, WISH_STOP };

struct mmio_range {
	uint64_t base, len;
	uint16_t owner;
};

/* Who claims a port or address: home and model in one number, 0: nobody. */
#define OWNER(home, model) ((uint16_t)((home) << 8 | (model)))
#define OWNER_HOME(owner)  ((owner) >> 8)
#define OWNER_MODEL(owner) ((owner)&0xff)

struct domain {
	struct options *opt;
	int kvm, guest_vm;
	size_t run_size;

	/* memory.c. Address space for all that homes may address, laid out as they see it: RAM's address 0 is
	 * at win. */
	uint8_t *win;
	uint64_t win_size;
	int ram_fd;
	uint64_t ram_low, ram_high; /* bytes below 4 GiB and above */
	uint8_t *bios;
	uint64_t bios_size;
	uint64_t blob_top;
	struct sio_blob blob[MAX_BLOBS];
	int blob_fd[MAX_BLOBS];
	uint32_t n_blobs;
	uint32_t next_slot; /* of guest_vm's memory slots, for read-through ranges */
	uint8_t *image;     /* a copy of the ELF file, for a reload */
	size_t image_file_len;

	struct vcpu vcpu[SIO_MAX_VCPUS];
	unsigned n_vcpus;
	struct home *home[N_HOMES]; /* NULL: nothing is placed there */

	/* Claimed ranges: written with map_lock held, read by vCPUs without. */
	pthread_mutex_t map_lock;
	_Atomic uint16_t port_owner[65536];
	pthread_rwlock_t mmio_lock;
	struct mmio_range mmio[SIO_MAX_RANGES];
	unsigned n_mmio;
	struct fast *fast;

	pthread_mutex_t irq_lock; /* orders interrupt operations */
	uint8_t gsi_level[N_GSI]; /* of all homes together */
	/* options.irqchip: what the 8259s want vCPU 0 to take, or SIO_NO_VECTOR; which vectors' EOIs to tell. */
	_Atomic uint32_t vector;
	uint64_t level[4];
	uint32_t vector_seq, level_seq[4];
	int gsi_fd[N_GSI]; /* FAST_IRQ: irqfds; -1: none */

	int kick_fd, done_fd;
	struct blk_ring *ring;
	struct blk_dev *disk[MAX_DISKS];
	struct net_dev *net[SIO_MAX_NETS];
	struct console_dev *console;

	/* Coming to a halt together: vCPU threads park, the I/O thread acts. */
	pthread_mutex_t park_lock;
	pthread_cond_t parked_cond, resume_cond;
	unsigned n_parked, generation;
	_Atomic int wish;
	int exit_status;
	uint8_t uuid[16];
	unsigned resets, fw_resets, rehomed;
	_Atomic bool started; /* the homes came to their first RETURN */
	unsigned fw_fails;    /* since fw_fail_ns */
	uint64_t fw_fail_ns;

	/* Lines that a home may still have on the terminal; map_lock. */
	uint64_t log_ns;
	uint64_t log_dropped;

	pthread_t io_thread;
	/* The I/O thread: something was queued for it to deliver; it sleeps, or looks once more before it does. */
	_Atomic bool kicked, io_sleeps;
	int epoll;
	uint64_t start_mono_ns, start_tsc;
	_Atomic pid_t io_tid;
	struct thread_time io_time; /* when it has ended */
	struct cpu_split split[SIO_MAX_VCPUS + 1];
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
/* A home failed: reports are out, policy decides. */
void domain_home_failed(struct home *h);
void domain_kick_all(struct domain *d);
int domain_run(struct options *opt); /* exit status */
int domain_start_homes(struct domain *d);
/* The watchdog's look at who is in a home for too long. */
void domain_watchdog(struct domain *d);

int memory_init(struct domain *d);
void memory_free(struct domain *d);
void memory_reset_bios(struct domain *d); /* the BIOS's copy below 1 MiB */
int memory_add_blob(struct domain *d, const char *path, const void *data, size_t len,
		    struct sio_blob *b, int *fd);
/* A KVM memory slot; 0 or -1 with a message. */
int memory_slot(int vm, const char *what, uint32_t slot, uint32_t flags, uint64_t gpa, uint64_t len,
		void *hva);

int vcpu_create(struct vcpu *v);
int vcpu_reset(struct vcpu *v);
void *vcpu_main(void *v);
void vcpu_thread_init(struct kvm_run *a,
		      struct kvm_run *b); /* makes this thread's KVM_RUNs kickable */
void vcpu_signal_init(void);

uint64_t reflect(struct vcpu *v, unsigned kind, bool write, uint64_t addr, unsigned size,
		 uint32_t count, uint64_t data, void *burst);
/* Who claims any byte of an access; 0: nobody. */
uint16_t reflect_owner(struct domain *d, unsigned kind, uint64_t addr, unsigned size);
/* One request of context n of a home, posted writes of every home before it; 0, or -1 if the home failed.
 * The slot's answer and data are there afterwards. */
int reflect_request(struct domain *d, unsigned n, struct home *h, struct sio_request *r,
		    const void *data, size_t len);

/* fast.c */
int fast_init(struct domain *d);
void fast_start(struct domain *d); /* the guest VM's first vCPU is there */
void fast_reset(struct domain *d); /* no range is fast any more */
/* An operation MAP of another kind than REFLECT by home h; NULL, or what is wrong with it. */
const char *fast_map(struct home *h, unsigned space, unsigned kind, unsigned model, uint64_t base,
		     uint64_t len, uint64_t c);
void fast_unmap(struct home *h, unsigned space, uint64_t base, uint64_t len);
/* Can this access end here?  A read: *val is the answer; a write is queued. */
bool fast_access(struct vcpu *v, uint16_t owner, unsigned kind, bool write, uint64_t addr,
		 unsigned size, uint64_t *val);
/* The same of a string instruction that reads: its bytes. */
bool fast_burst(struct vcpu *v, uint16_t owner, uint64_t port, unsigned size, size_t bytes,
		void *to);
/* Around a request of context n to home h: queued writes of other homes are sent, those of h and its
 * doorbells go into the request.  True: fast_end() is owed. */
bool fast_begin(struct domain *d, unsigned n, struct home *h, struct sio_request *r);
void fast_end(struct domain *d);
/* The I/O thread: events of home h, and all that is queued before them.  False: there was nothing. */
bool fast_serve(struct domain *d, struct home *h, uint64_t events);
/* The same: what is queued goes out now. */
void fast_flush(struct domain *d);
int fast_timer_fd(struct domain *d); /* -1: none */
void fast_timer(struct domain *d);
struct fast_stats {
	uint64_t posted, batches, flushes, doorbells, kicks;
};
/* Without the lock, which is held while a home serves what was posted. */
void fast_stats(struct domain *d, struct fast_stats *s);

void *io_main(void *d);
void io_timer(struct home *h, uint64_t deadline_ns);
void io_signal(void *home, unsigned window); /* back ends: the driver is to look */
void io_kick(struct domain *d);              /* wakes the I/O thread for what is queued */

struct model_stats *stats_model(struct vcpu *v, uint16_t owner); /* NULL: no memory */
void stats_count(struct vcpu *v, uint16_t owner, uint64_t bytes, uint64_t ticks);
void stats_page(struct vcpu *v, uint64_t addr, bool write); /* an exit's memory access */
/* The control thread: splits the CPU time since the last look; now and then, the more exact. */
void stats_look(struct domain *d);
/* All of it as JSON, with line breaks but none in strings.  The control thread, while the domain runs or
 * after. */
void stats_print(struct domain *d, FILE *f);
int stats_write(struct domain *d, const char *path);
/* Keeps what is there if the thread is no more. */
void thread_time(pthread_t t, pid_t tid, struct thread_time *to);

int check_main(int argc, char **argv);
int stub_main(int argc, char **argv);
int stat_main(int argc, char **argv);

#endif
