/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * memory.c - the domain's memory.
 *
 * Guest RAM is one memfd.  Both VMs map it at the same addresses; only the companion maps private
 * memory and blobs, only the guest the ROM and the hole of the VGA window.  C0000h-FFFFFh is always
 * RAM: what PAM registers would switch is left switched on.
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

static int add_slot(int vm, const char *what, uint32_t slot, uint32_t flags, uint64_t gpa,
		    uint64_t len, void *hva)
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
	return add_slot(d->guest_vm, "the BIOS", 3, KVM_MEM_READONLY, GUEST_HIGH - d->bios_size,
			d->bios_size, d->bios);
}

void memory_reset_bios(struct domain *d)
{
	uint64_t len = d->bios_size < 0x20000 ? d->bios_size : 0x20000;

	memset(d->ram + VGA_HOLE_END, 0, 0x100000 - VGA_HOLE_END);
	memcpy(d->ram + 0x100000 - len, d->bios + d->bios_size - len, len);
}

/* The page tables of a firmware without 1 GiB pages come out of its heap. */
static uint64_t priv_bytes(const struct domain *d)
{
	uint64_t top = d->ram_high ? GUEST_HIGH + d->ram_high : GUEST_HIGH;
	uint64_t n = 0xe0000 + (top - GUEST_HIGH + GIB - 1) / GIB * 4096;

	n += d->n_vcpus > 2 ? 0x10000 : 0;
	return n < SIO_PRIV_MAX ? n : SIO_PRIV_MAX;
}

int memory_init(struct domain *d)
{
	uint64_t mem = d->opt->mem;

	d->ram_low = mem < GUEST_LOW_MAX ? mem : GUEST_LOW_MAX;
	d->ram_high = mem - d->ram_low;
	d->ram_fd = memfd_create("selfio-ram", MFD_CLOEXEC);
	if (d->ram_fd < 0 || ftruncate(d->ram_fd, (off_t)mem) < 0)
		return fail_errno("can't get %llu MiB of guest RAM", (unsigned long long)mem >> 20);
	d->ram = mmap(NULL, mem, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, d->ram_fd, 0);
	if (d->ram == MAP_FAILED)
		return fail_errno("can't map %llu MiB of guest RAM: give a smaller --mem",
				  (unsigned long long)mem >> 20);
	/* The VMM's own memory shows where its size is asked for; a dump of it need not hold the guest. */
	madvise(d->ram, mem, MADV_DONTDUMP);
	d->priv_size = priv_bytes(d);
	d->priv = mmap(NULL, d->priv_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		       0);
	if (d->priv == MAP_FAILED)
		return fail_errno("can't map the firmware's private memory");
	d->blob_top = d->ram_high ? (GUEST_HIGH + d->ram_high + GIB - 1) & ~(GIB - 1) : GUEST_HIGH;

	if (add_slot(d->guest_vm, "RAM", 0, 0, 0, VGA_HOLE, d->ram) ||
	    add_slot(d->guest_vm, "RAM", 1, 0, VGA_HOLE_END, d->ram_low - VGA_HOLE_END,
		     d->ram + VGA_HOLE_END) ||
	    add_slot(d->comp_vm, "RAM", 0, 0, 0, d->ram_low, d->ram) ||
	    add_slot(d->comp_vm, "private memory", 1, 0, SIO_PRIV_BASE, d->priv_size, d->priv))
		return -1;
	if (d->ram_high && (add_slot(d->guest_vm, "RAM above 4 GiB", 2, 0, GUEST_HIGH, d->ram_high,
				     d->ram + d->ram_low) ||
			    add_slot(d->comp_vm, "RAM above 4 GiB", 2, 0, GUEST_HIGH, d->ram_high,
				     d->ram + d->ram_low)))
		return -1;
	return load_bios(d);
}

void memory_free(struct domain *d)
{
	if (d->ram && d->ram != MAP_FAILED)
		munmap(d->ram, d->opt->mem);
	if (d->ram_fd >= 0)
		close(d->ram_fd);
}

/* From a file (mapped, not copied) or from data. */
int memory_add_blob(struct domain *d, const char *path, const void *data, size_t len, uint64_t *gpa,
		    uint64_t *out_len)
{
	static uint32_t slot = 8;
	uint64_t whole;
	void *p;

	if (path) {
		int fd = open(path, O_RDONLY | O_CLOEXEC);
		struct stat st;

		if (fd < 0)
			return fail_errno("can't open %s", path);
		if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size == 0 ||
		    st.st_size > (off_t)(2 * GIB)) {
			msg("%s must be a regular file of 1 byte to 2 GiB", path);
			close(fd);
			return -1;
		}
		len = (size_t)st.st_size;
		p = mmap(NULL, len, PROT_READ, MAP_PRIVATE, fd, 0);
		close(fd);
	} else {
		p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (p != MAP_FAILED)
			memcpy(p, data, len);
	}
	if (p == MAP_FAILED)
		return fail_errno("can't map %s", path ? path : "a blob");
	whole = (len + 4095) & ~4095ull;
	*gpa = d->blob_top;
	*out_len = len;
	d->blob_top += whole;
	return add_slot(d->comp_vm, path ? path : "a blob", slot++, KVM_MEM_READONLY, *gpa, whole,
			p);
}
