/*
 * exitcost - times what dominates in the lab: a loop in a nested guest, an exit that the kernel
 * handles (CPUID), and exits to user space (a port read, a port write, an MMIO read), the last also
 * with a second VM entered in turn, as selfio does for each reflected request.
 * Built and run by tools/lab/measure.sh. Guests run in 16-bit real mode, without paging.
 */
#include <err.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>

#define CODE 0x1000u

struct vm {
	int vcpu;
	uint8_t *mem;
	struct kvm_run *run;
};

static int kvm;

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void make(struct vm *v)
{
	int fd = ioctl(kvm, KVM_CREATE_VM, 0), size = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	struct kvm_userspace_memory_region r = { .memory_size = 0x10000 };
	struct {
		struct kvm_cpuid2 head;
		struct kvm_cpuid_entry2 entries[100];
	} cpuid = { .head.nent = 100 };

	if (fd < 0)
		err(1, "KVM_CREATE_VM");
	v->mem = mmap(NULL, 0x10000, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	r.userspace_addr = (uintptr_t)v->mem;
	if (v->mem == MAP_FAILED || ioctl(fd, KVM_SET_USER_MEMORY_REGION, &r) < 0)
		err(1, "KVM_SET_USER_MEMORY_REGION");
	v->vcpu = ioctl(fd, KVM_CREATE_VCPU, 0);
	if (v->vcpu < 0)
		err(1, "KVM_CREATE_VCPU");
	v->run = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, v->vcpu, 0);
	if (v->run == MAP_FAILED)
		err(1, "mmap of kvm_run");
	if (ioctl(kvm, KVM_GET_SUPPORTED_CPUID, &cpuid) < 0 ||
	    ioctl(v->vcpu, KVM_SET_CPUID2, &cpuid) < 0)
		err(1, "KVM_SET_CPUID2");
}

static void start(struct vm *v, const void *code, size_t size, unsigned ecx)
{
	struct kvm_sregs s;
	struct kvm_regs r = { .rip = CODE, .rflags = 2, .rcx = ecx, .rdx = 0x99, .rsp = 0x8000 };

	memcpy(v->mem + CODE, code, size);
	if (ioctl(v->vcpu, KVM_GET_SREGS, &s) < 0)
		err(1, "KVM_GET_SREGS");
	s.cs.base = s.ds.base = 0;
	s.cs.selector = s.ds.selector = 0;
	s.ds.limit = 0xffffffff;
	if (ioctl(v->vcpu, KVM_SET_SREGS, &s) < 0 || ioctl(v->vcpu, KVM_SET_REGS, &r) < 0)
		err(1, "setting registers");
}

static void enter(struct vm *v)
{
	if (ioctl(v->vcpu, KVM_RUN, 0) < 0)
		err(1, "KVM_RUN");
}

/* Runs to the HLT; returns the seconds that it took. */
static double run(struct vm *v, struct vm *companion)
{
	double t = now();

	for (;;) {
		enter(v);
		switch (v->run->exit_reason) {
		case KVM_EXIT_HLT: return now() - t;
		case KVM_EXIT_IO:
		case KVM_EXIT_MMIO:
			if (companion)
				enter(companion);
			break;
		default: errx(1, "unexpected exit %u", v->run->exit_reason);
		}
	}
}

/* dec ecx; jnz start; hlt, after a body that the loop jumps back to */
#define LOOP(back) 0x66, 0x49, 0x0f, 0x85, (uint8_t)(back), 0xff, 0xf4

static const uint8_t loop[] = { LOOP(-6) };
/* push ecx; xor eax, eax; cpuid; pop ecx */
static const uint8_t cpuid[] = { 0x66, 0x51, 0x66, 0x31, 0xc0, 0x0f, 0xa2, 0x66, 0x59, LOOP(-15) };
static const uint8_t in[] = { 0xec, LOOP(-7) };
static const uint8_t out[] = { 0xee, LOOP(-7) };
/* a32 mov al, [0xfe000000] */
static const uint8_t mmio[] = { 0x67, 0xa0, 0, 0, 0, 0xfe, LOOP(-12) };
/* the companion: out dx, al; jmp back */
static const uint8_t answer[] = { 0xee, 0xeb, 0xfd };

#define TIME(what, code, n, companion)                                             \
	do {                                                                       \
		start(&v, code, sizeof(code), n);                                  \
		printf("  \"%s\": %.4f,\n", what, run(&v, companion) * 1e6 / (n)); \
		fflush(stdout);                                                    \
	} while (0)

int main(void)
{
	struct vm v, c;
	double t;

	kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (kvm < 0)
		err(1, "/dev/kvm");
	make(&v);
	make(&c);
	start(&c, answer, sizeof(answer), 0);

	printf("{\n");
	TIME("loop_iteration_us", loop, 10000000, NULL);
	TIME("kernel_exit_cpuid_us", cpuid, 5000, NULL);
	TIME("user_exit_in_us", in, 5000, NULL);
	TIME("user_exit_out_us", out, 5000, NULL);
	TIME("user_exit_mmio_us", mmio, 5000, NULL);
	TIME("companion_round_trip_us", in, 5000, &c);
	t = now();
	for (int i = 0; i < 20000; i++)
		ioctl(kvm, KVM_GET_API_VERSION, 0);
	printf("  \"ioctl_us\": %.4f\n}\n", (now() - t) * 1e6 / 20000);
	return 0;
}
