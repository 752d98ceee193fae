/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * memory.c - the domain's memory.
 *
 * Guest RAM is one memfd.  All VMs map it at the same addresses; only homes map private memory and blobs,
 * only the guest the ROM and the hole of the VGA window.  C0000h-FFFFFh is always RAM: what PAM registers
 * would switch is left switched on.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/domain.h"

#define VGA_HOLE     0xa0000u
#define VGA_HOLE_END 0xc0000u
#define GIB          (1ull << 30)

int memory_slot(int vm, const char *what, uint32_t slot, uint32_t flags, uint64_t gpa, uint64_t len,
		void *hva)
{
	struct kvm_userspace_memory_region r = { .slot = slot,
						 .flags = flags,
						 .guest_phys_addr = gpa,
						 .memory_size = len,
						 .userspace_addr = (uintptr_t)hva };

	if (ioctl(vm, KVM_SET_USER_MEMORY_REGION, &r) < 0)
		return fail_errno("KVM refuses the memory slot for %s", what);
	return 0;
}

static int load_bios(struct domain *d)
{
	const char *path = d->opt->bios;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	ssize_t n;

	if (fd < 0)
		return fail_errno(
			"can't open the BIOS image %s (Debian: package seabios, or give --bios)",
			path);
	if (fstat(fd, &st) < 0 || st.st_size < 65536 || st.st_size > 16 << 20 ||
	    st.st_size % 4096) {
		msg("%s is not a BIOS image: its size must be a multiple of 4 KiB from 64 KiB to 16 MiB",
		    path);
		close(fd);
		return -1;
	}
	d->bios_size = (uint64_t)st.st_size;
	d->bios = mmap(NULL, d->bios_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		       0);
	n = d->bios == MAP_FAILED ? -1 : read(fd, d->bios, d->bios_size);
	close(fd);
	if (n != st.st_size)
		return fail_errno("can't read the BIOS image %s", path);
	return memory_slot(d->guest_vm, "the BIOS", 3, KVM_MEM_READONLY, GUEST_HIGH - d->bios_size,
			   d->bios_size, d->bios);
}

void memory_reset_bios(struct domain *d)
{
	uint64_t len = d->bios_size < 0x20000 ? d->bios_size : 0x20000;

	memset(d->win + VGA_HOLE_END, 0, 0x100000 - VGA_HOLE_END);
	memcpy(d->win + 0x100000 - len, d->bios + d->bios_size - len, len);
}

/* RAM, private memory of in-process models, and three blobs of 2 GiB: only address space. */
static int reserve(struct domain *d)
{
	d->win_size = GUEST_HIGH + d->ram_high + 8 * GIB;
	d->win = mmap(NULL, d->win_size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
		      0);
	if (d->win == MAP_FAILED)
		return fail_errno("can't reserve address space");
	return 0;
}

static int map_ram(struct domain *d, uint64_t at, uint64_t len, uint64_t off)
{
	if (len &&
	    mmap(d->win + at, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE | MAP_FIXED,
		 d->ram_fd, (off_t)off) == MAP_FAILED)
		return fail_errno("can't map %llu MiB of guest RAM: give a smaller --mem",
				  (unsigned long long)d->opt->mem >> 20);
	/* A dump of the VMM's own memory need not hold the guest. */
	if (len)
		madvise(d->win + at, len, MADV_DONTDUMP);
	return 0;
}

int memory_init(struct domain *d)
{
	uint64_t mem = d->opt->mem;

	d->ram_low = mem < GUEST_LOW_MAX ? mem : GUEST_LOW_MAX;
	d->ram_high = mem - d->ram_low;
	d->ram_fd = memfd_create("selfio-ram", MFD_CLOEXEC);
	if (d->ram_fd < 0 || ftruncate(d->ram_fd, (off_t)mem) < 0)
		return fail_errno("can't get %llu MiB of guest RAM", (unsigned long long)mem >> 20);
	if (reserve(d) || map_ram(d, 0, d->ram_low, 0) ||
	    map_ram(d, GUEST_HIGH, d->ram_high, d->ram_low))
		return -1;
	d->blob_top = d->ram_high ? (GUEST_HIGH + d->ram_high + GIB - 1) & ~(GIB - 1) : GUEST_HIGH;

	if (memory_slot(d->guest_vm, "RAM", 0, 0, 0, VGA_HOLE, d->win) ||
	    memory_slot(d->guest_vm, "RAM", 1, 0, VGA_HOLE_END, d->ram_low - VGA_HOLE_END,
			d->win + VGA_HOLE_END))
		return -1;
	if (d->ram_high && memory_slot(d->guest_vm, "RAM above 4 GiB", 2, 0, GUEST_HIGH,
				       d->ram_high, d->win + GUEST_HIGH))
		return -1;
	d->next_slot = 4;
	return load_bios(d);
}

void memory_free(struct domain *d)
{
	if (d->win && d->win != MAP_FAILED)
		munmap(d->win, d->win_size);
	if (d->ram_fd >= 0)
		close(d->ram_fd);
}

/* From a file (mapped, not copied) or from data. */
int memory_add_blob(struct domain *d, const char *path, const void *data, size_t len,
		    struct sio_blob *b, int *fd)
{
	const char *name = path ? path : "a blob";

	*fd = path ? open(path, O_RDONLY | O_CLOEXEC) : memfd_create("selfio-blob", MFD_CLOEXEC);
	if (*fd < 0)
		return fail_errno("can't open %s", name);
	if (path) {
		struct stat st;

		if (fstat(*fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size == 0 ||
		    st.st_size > (off_t)(2 * GIB)) {
			msg("%s must be a regular file of 1 byte to 2 GiB", path);
			return -1;
		}
		len = (size_t)st.st_size;
	} else if (write(*fd, data, len) != (ssize_t)len) {
		return fail_errno("can't write %s", name);
	}
	b->addr = d->blob_top;
	b->len = len;
	d->blob_top += (len + SIO_PAGE - 1) & ~(uint64_t)(SIO_PAGE - 1);
	if (mmap(d->win + b->addr, len, PROT_READ, MAP_PRIVATE | MAP_FIXED, *fd, 0) == MAP_FAILED)
		return fail_errno("can't map %s", name);
	/* Read now: the firmware copies it within one access of the guest. Older kernels do it page by page. */
	madvise(d->win + b->addr, len, MADV_POPULATE_READ);
	return 0;
}
