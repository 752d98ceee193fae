/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * abi.h - version and memory map shared by the hypervisor side and the firmware.
 *
 * The models of a domain live in one or more homes: the companion VM with the firmware, and where a
 * device is placed elsewhere a process (ioemu) or another VM (stub domain).  Each home is a whole of its
 * own with the same memory map: the guest's RAM, and besides (all addresses are companion-physical; the
 * guest VM maps none of it):
 *
 *   SIO_PRIV_BASE    private memory: config page, request slots, firmware image, heap
 *   SIO_VIRTIO_BASE  virtio-mmio register windows, one page each, unmapped: they exit
 *   blobs            files handed to the firmware read-only (kernel, initrd ...), above guest RAM,
 *                    where struct sio_config says
 *
 * A context is one companion vCPU (or thread): context n < n_vcpus serves guest vCPU n, context n_vcpus
 * is the I/O context.  Companion vCPUs are entered once, in 32-bit protected mode, flat segments, paging off,
 * IF=0, at the ELF entry point, with EAX = SIO_ENTRY_MAGIC, EBX = address of the config page,
 * ECX = context number, all other general registers 0.  Context 0 enters first, alone, and must come
 * to its first RETURN before the others are started.
 *
 * Rules of trust: the hypervisor side believes nothing that stands in private memory and copies what
 * it needs once, before it checks it.  The firmware believes the config page and the requests.
 */
#ifndef SIO_ABI_H
#define SIO_ABI_H

#include <stdint.h>

#define SIO_ABI_VERSION 4u
#define SIO_ENTRY_MAGIC 0x464f4953u /* "SIOF" */

#define SIO_MAX_VCPUS    8u
#define SIO_MAX_CONTEXTS (SIO_MAX_VCPUS + 1u)

#define SIO_PAGE 4096u

#define SIO_PRIV_BASE 0xf0000000u
#define SIO_PRIV_MAX  0x00400000u /* the window kept for private memory, bytes */

/* Inside private memory, as offsets from SIO_PRIV_BASE. */
#define SIO_CONFIG_OFF 0x00000u
#define SIO_SHADOW_OFF 0x01000u /* struct sio_shadow_page_shared: slot.h */
#define SIO_SLOT_OFF   0x02000u
#define SIO_SLOT_SIZE  0x03000u
#define SIO_IMAGE_OFF  0x20000u /* first byte of the loaded image; heap from its end up */

#define SIO_VIRTIO_BASE   0xf8000000u
#define SIO_VIRTIO_STRIDE SIO_PAGE
#define SIO_MAX_VIRTIO    32u

_Static_assert(SIO_SLOT_OFF + SIO_MAX_CONTEXTS * SIO_SLOT_SIZE <= SIO_IMAGE_OFF,
	       "slots overlap the image");

#endif
