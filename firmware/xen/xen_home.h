/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * xen_home.h - the home inside a Xen domain (include/sio/xen.h).
 *
 * The image is loaded twice, so to speak: xl puts it at XEN_LOAD as the "kernel" of a PVH domain, and
 * boot.c, which runs there in the guest's context, copies it into private memory, where it is linked
 * to be.  The copy at XEN_LOAD is then the guest's RAM; the one in private memory is entered when the
 * guest makes its first access.  What boot.c runs must not use addresses that are stored in data.
 *
 * Private memory lies at SIO_PRIV_BASE as on KVM.  It is made of pages that are taken out of RAM: the
 * 128 KiB of the VGA's window, and RAM's last ones.  Network cards want more; it is taken while the board is
 * built, before anybody in the guest has asked how much RAM there is.
 */
#ifndef FIRMWARE_XEN_XEN_HOME_H
#define FIRMWARE_XEN_XEN_HOME_H

#include "firmware/fw.h"
#include "sio/xen.h"

#define XEN_LOAD      0x100000u
#define XEN_PRIV_SIZE 0x100000u   /* without network cards */
#define XEN_SPECIAL   0xfeff8000u /* Xen's own pages in a PVH domain: xenstore, console */
#define XEN_SPECIAL_N 8u

/*
 * The PVH kernel's one module (ramdisk= in xl's configuration) is the BIOS image, or an archive with it and a Linux
 * kernel to be booted directly (tools/xen/archive.py): this page, then the parts, each from a page boundary on.
 */
#define XEN_ARCHIVE_MAGIC 0x544f4f42584f4953ull /* "SIOXBOOT" */
#define XEN_ARCHIVE_BIOS  0u /* a part's kind; the others are of enum sio_blob_kind */

struct xen_archive {
	uint64_t magic;
	uint32_t n, pad;
	struct {
		uint32_t kind, pad;
		uint64_t off, len; /* in the archive; bytes */
	} part[SIO_MAX_BLOBS + 1];
};

enum {
	XEN_SHUTDOWN_POWEROFF = 0,
	XEN_SHUTDOWN_REBOOT = 1,
	XEN_SHUTDOWN_SUSPEND = 2,
	XEN_SHUTDOWN_CRASH = 3
};

/* An operation of include/sio/xen.h among those of a slot: code + XEN_OP. */
#define XEN_OP 0x100u

/* A network card's word on the firmware's command line, netN=MODEL, is a device of the config page's without a
 * window; its card is one of these or: */
#define XEN_NET_PV 0u /* left to the guest's own netfront */

/* boot.c */
bool xen_move_page(unsigned space, uint64_t from,
		   uint64_t to); /* in the guest-physical address space */
#define XEN_MAPSPACE_GMFN 2u

/* hv.c */
long xen_hypercall(unsigned nr, unsigned long a, const void *b, unsigned long c);
void xen_say(const char *text, size_t n); /* to Xen's log */
_Noreturn void xen_shutdown(unsigned reason);
void xen_suspend(void); /* when the last vCPU is back in the guest's context */
struct sio_xen_slot_shared *xen_slot_of(unsigned context);
struct sio_xen_shared *xen_shared_page(void);
void xen_emit(struct sio_slot_shared *s, uint32_t code, uint32_t arg, uint64_t a, uint64_t b);
void xen_leave(struct sio_slot_shared *s,
	       unsigned op); /* with the slot's operations and its answer */
/* One operation at once; its b afterwards. */
uint64_t xen_op(uint32_t code, uint32_t arg, uint64_t a);

/* ranges.c: SIO_OP_MAP and SIO_OP_UNMAP, by xen_emit(); the lock is held */
void xen_map(struct sio_slot_shared *s, const struct sio_op *op);
void xen_unmap(struct sio_slot_shared *s, const struct sio_op *op);
void xen_map_again(struct sio_slot_shared *s); /* Xen has forgotten all */

/* pv.c */
void pv_text(const char *prefix, const char *text,
	     size_t n); /* a line for the console or Xen's log */
void pv_restored(void);
bool pv_wants_reboot(void); /* xl reboot: a power-off is to be one */

/* entry.S, and the linker script */
extern char xen_hypercall_page[], xen_slots[], xen_shared[], xen_shared_info[], xen_image_end[];
extern char xen_entry[], _start[];
void xen_to_bios(void);
void xen_relocated(void);

#endif
