/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * check.c - `selfio check`: is there a KVM, may we use it, is it of use, has it what we need.
 *
 * Some kernels offer /dev/kvm without hardware assistance and interpret privileged guest code at a few
 * million instructions a second: correct, but a hundred times too slow.  A short loop with a CLI tells,
 * which is privileged and never causes an exit (QEMU's nested SVM exits on reads of any control register).
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "vmm/domain.h"

#define LOOPS 100000u
#define GOOD_NS \
	300.0 /* for one iteration; hardware needs 1 to 3, nested emulation 40, no assistance 3000 */

static const struct {
	int cap;
	const char *name;
	bool need;
} caps[] = {
	{ KVM_CAP_IRQCHIP, "IRQCHIP", true },
	{ KVM_CAP_PIT2, "PIT2", true },
	{ KVM_CAP_READONLY_MEM, "READONLY_MEM", true },
	{ KVM_CAP_IMMEDIATE_EXIT, "IMMEDIATE_EXIT", true },
	{ KVM_CAP_SIGNAL_MSI, "SIGNAL_MSI", true },
	{ KVM_CAP_SET_TSS_ADDR, "SET_TSS_ADDR", true },
	{ KVM_CAP_IOEVENTFD, "IOEVENTFD", false },
	{ KVM_CAP_IRQFD, "IRQFD", false },
	{ KVM_CAP_COALESCED_PIO, "COALESCED_PIO", false },
	{ KVM_CAP_SYNC_REGS, "SYNC_REGS", false },
};

/* ns for one iteration of a loop with a privileged instruction; negative: it did not run. */
static double time_loop(int kvm)
{
	static const uint8_t code[] = {
		0x66, 0xb9, LOOPS & 0xff, LOOPS >> 8 & 0xff, LOOPS >> 16 & 0xff,
		0,          /* mov ecx, LOOPS */
		0xfa,       /* cli */
		0x66, 0x49, /* dec ecx */
		0x75, 0xfb, /* jnz to the cli */
		0xf4,       /* hlt */
	};
	int vm = ioctl(kvm, KVM_CREATE_VM, 0), fd;
	size_t run_size = (size_t)ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	uint8_t *mem = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct kvm_userspace_memory_region slot = { .guest_phys_addr = 0x1000,
						    .memory_size = 4096,
						    .userspace_addr = (uintptr_t)mem };
	struct kvm_regs regs = { .rip = 0x1000, .rflags = 2 };
	struct timespec a, b;
	struct kvm_run *run;
	struct kvm_sregs s;

	if (vm < 0 || mem == MAP_FAILED || ioctl(vm, KVM_SET_USER_MEMORY_REGION, &slot) < 0)
		return -1;
	fd = ioctl(vm, KVM_CREATE_VCPU, 0);
	run = mmap(NULL, run_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (fd < 0 || run == MAP_FAILED || ioctl(fd, KVM_GET_SREGS, &s) < 0)
		return -1;
	memcpy(mem, code, sizeof(code));
	s.cs.base = 0;
	s.cs.selector = 0;
	if (ioctl(fd, KVM_SET_SREGS, &s) < 0 || ioctl(fd, KVM_SET_REGS, &regs) < 0)
		return -1;
	clock_gettime(CLOCK_MONOTONIC, &a);
	if (ioctl(fd, KVM_RUN, 0) < 0 || run->exit_reason != KVM_EXIT_HLT)
		return -1;
	clock_gettime(CLOCK_MONOTONIC, &b);
	close(fd);
	close(vm);
	return ((double)(b.tv_sec - a.tv_sec) * 1e9 + (double)(b.tv_nsec - a.tv_nsec)) / LOOPS;
}

int check_main(int argc, char **argv)
{
	bool json = argc == 2 && strcmp(argv[1], "--json") == 0, good, all = true;
	double ns = -1;
	int kvm, e = 0;

	if (argc == 2 && strcmp(argv[1], "--help") == 0) {
		puts("usage: selfio check [--json]\n\nTells whether this machine's KVM can run selfio.\n"
		     "Exit status: 0 good, 1 not of use, 2 usage.");
		return 0;
	}
	if (argc > 1 && !json) {
		msg("check takes no argument but --json");
		return 2;
	}
	kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (kvm < 0)
		e = errno;
	else
		ns = time_loop(kvm);
	for (unsigned i = 0; i < sizeof(caps) / sizeof(caps[0]); i++)
		if (caps[i].need && (kvm < 0 || ioctl(kvm, KVM_CHECK_EXTENSION, caps[i].cap) <= 0))
			all = false;
	good = kvm >= 0 && all && ns >= 0 && ns < GOOD_NS;
	if (json) {
		printf("{ \"good\": %s, \"device\": \"%s\", \"loop_ns\": %.1f, \"capabilities\": {",
		       good ? "true" : "false", kvm >= 0 ? "open" : strerror(e), ns);
		for (unsigned i = 0; i < sizeof(caps) / sizeof(caps[0]); i++)
			printf("%s \"%s\": %d", i ? "," : "", caps[i].name,
			       kvm < 0 ? 0 : ioctl(kvm, KVM_CHECK_EXTENSION, caps[i].cap));
		puts(" } }");
		return good ? 0 : 1;
	}
	if (kvm < 0) {
		printf("/dev/kvm: %s\n%s\n", strerror(e),
		       e == ENOENT ?
			       "Load the kernel's module (modprobe kvm-amd or kvm-intel), switch virtualization on in the\n"
			       "BIOS set-up, or let the cloud's instance have nested virtualization. Until then: ./dev lab." :
		       e == EACCES ?
			       "Join the group that owns it: adduser USER kvm, then log in again." :
			       "This user can't use it.");
		return 1;
	}
	for (unsigned i = 0; i < sizeof(caps) / sizeof(caps[0]); i++) {
		int v = ioctl(kvm, KVM_CHECK_EXTENSION, caps[i].cap);

		printf("%-16s %s\n", caps[i].name,
		       v > 0        ? "yes" :
		       caps[i].need ? "MISSING: a newer kernel is needed" :
				      "no (fast paths only)");
	}
	if (ns < 0)
		puts("privileged loop  did not run: this KVM does not execute real-mode code");
	else
		printf("privileged loop  %.1f ns an iteration\n", ns);
	puts(good ? "This KVM is good." :
		    "This KVM is not of use (no hardware assistance behind it?): use ./dev lab.");
	return good ? 0 : 1;
}
