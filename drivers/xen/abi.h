/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * abi.h - the part of Xen's public ABI that the front ends use, as of Xen 4.17: xen/include/public/
 * xen.h, memory.h, grant_table.h, event_channel.h, hvm/params.h, io/xs_wire.h, io/console.h,
 * io/blkif.h, io/netif.h, io/ring.h.
 *
 * Written here, since the firmware is built without a libc and on machines without Xen's headers.  Ring
 * entries are those of "x86_64-abi", which the front end names to the back end, in either mode of the
 * processor; hypercall arguments are those of the mode that this is compiled for.
 */
#ifndef DRIVERS_XEN_ABI_H
#define DRIVERS_XEN_ABI_H

#include <stddef.h>
#include <stdint.h>

#define XEN_PAGE       4096u
#define XEN_DOMID_SELF 0x7ff0u

enum xen_hypercall {
	XEN_HC_MEMORY = 12,
	XEN_HC_GRANT_TABLE = 20,
	XEN_HC_SCHED = 29,
	XEN_HC_EVENT_CHANNEL = 32,
	XEN_HC_HVM = 34,
};

#define XEN_HVMOP_GET_PARAM 1u
enum xen_param {
	XEN_PARAM_STORE_PFN = 1,
	XEN_PARAM_STORE_EVTCHN = 2,
	XEN_PARAM_CONSOLE_PFN = 17,
	XEN_PARAM_CONSOLE_EVTCHN = 18,
};
struct xen_hvm_get_param {
	uint16_t domid, pad;
	uint32_t index;
	uint64_t value __attribute__((aligned(8)));
};

#define XEN_SCHED_YIELD 0u
#define XEN_EVTCHN_SEND 4u
struct xen_evtchn_send {
	uint32_t port;
};

#define XEN_MEM_ADD_TO_PHYSMAP 7u
#define XEN_MAPSPACE_GRANT     1u
struct xen_add_to_physmap {
	uint16_t domid, size;
	uint32_t space;
	unsigned long idx, gpfn;
};

#define XEN_GNTTAB_QUERY_SIZE 6u
struct xen_gnttab_query_size {
	uint16_t domid;
	uint32_t nr_frames, max_nr_frames;
	int16_t status;
};
#define XEN_GNTTAB_GET_VERSION 10u
struct xen_gnttab_get_version {
	uint16_t domid, pad;
	uint32_t version;
};

#define XEN_GTF_PERMIT   1u
#define XEN_GTF_READONLY 4u
#define XEN_GTF_READING  8u /* the other domain has it mapped */
#define XEN_GTF_WRITING  16u
struct xen_grant_shared { /* version 1 */
	uint16_t flags, domid;
	uint32_t frame;
};
#define XEN_GRANTS_IN_FRAME (XEN_PAGE / sizeof(struct xen_grant_shared))

/* xenstore */
enum xen_store_type {
	XEN_XS_DIRECTORY = 1,
	XEN_XS_READ = 2,
	XEN_XS_WATCH = 4,
	XEN_XS_WRITE = 11,
	XEN_XS_WATCH_EVENT = 15,
	XEN_XS_ERROR = 16,
};
struct xen_store_header {
	uint32_t type, req_id, tx_id, len;
};
#define XEN_STORE_RING 1024u
struct xen_store_shared {
	uint8_t req[XEN_STORE_RING], rsp[XEN_STORE_RING];
	uint32_t req_cons, req_prod, rsp_cons, rsp_prod;
	uint32_t features, connection, error;
};

enum xenbus_state {
	XENBUS_INITIALISING = 1,
	XENBUS_INIT_WAIT = 2,
	XENBUS_INITIALISED = 3,
	XENBUS_CONNECTED = 4,
	XENBUS_CLOSING = 5,
	XENBUS_CLOSED = 6,
};

/* console */
#define XEN_CONSOLE_IN  1024u
#define XEN_CONSOLE_OUT 2048u
struct xen_console_shared {
	uint8_t in[XEN_CONSOLE_IN], out[XEN_CONSOLE_OUT];
	uint32_t in_cons, in_prod, out_cons, out_prod;
};

/* block */
enum blkif_op {
	BLKIF_READ = 0,
	BLKIF_WRITE = 1,
	BLKIF_WRITE_BARRIER = 2,
	BLKIF_FLUSH = 3,
	BLKIF_DISCARD = 5,
	BLKIF_INDIRECT = 6,
};
#define BLKIF_RSP_UNSUPP    (-2)
#define BLKIF_RSP_OK        0
#define BLKIF_MAX_SEGS      11u /* in the request itself */
#define BLKIF_INFO_CDROM    1u
#define BLKIF_INFO_READONLY 4u

struct blkif_seg { /* whole sectors of one page */
	uint32_t gref;
	uint8_t first, last;
	uint16_t pad;
};
struct blkif_request_shared {
	uint8_t op, n_seg; /* INDIRECT: op and indirect_op */
	uint16_t handle;   /* INDIRECT: how many segments */
	uint32_t pad;
	uint64_t id __attribute__((aligned(8)));
	uint64_t sector __attribute__((aligned(8)));
	union {
		struct blkif_seg seg[BLKIF_MAX_SEGS];
		uint64_t n_sectors __attribute__((aligned(8))); /* DISCARD */
		struct {
			uint16_t handle, pad;
			uint32_t gref[8]; /* of pages of struct blkif_seg */
		} indirect;
	} u;
};
struct blkif_response_shared {
	uint64_t id __attribute__((aligned(8)));
	uint8_t op, pad;
	int16_t status;
	uint32_t pad2;
};
#define BLKIF_RING 32u /* what fits a page, rounded down to a power of two */
struct blkif_ring_shared {
	uint32_t req_prod, req_event, rsp_prod, rsp_event;
	uint8_t pad[48];
	union {
		struct blkif_request_shared req;
		struct blkif_response_shared rsp;
	} ring[BLKIF_RING];
};

/* network */
#define NETIF_MAX_SLOTS 18u    /* XEN_NETIF_NR_SLOTS_MIN: of a packet, that every back end takes */
#define NETIF_MAX_SIZE  65535u /* XEN_NETIF_MAX_TX_SIZE */

#define NETTXF_CSUM_BLANK     1u
#define NETTXF_DATA_VALIDATED 2u
#define NETTXF_MORE_DATA      4u
#define NETTXF_EXTRA_INFO     8u
struct netif_tx_request {
	uint32_t gref;
	uint16_t offset, flags, id;
	uint16_t size; /* of the whole packet in its first request */
};
#define NETIF_EXTRA_GSO 1u
#define NETIF_GSO_TCPV4 1u
#define NETIF_GSO_TCPV6 2u
#define NETIF_NO_RSP    1 /* to an extra info */
struct netif_extra_gso {
	uint8_t type, flags;
	uint16_t size;
	uint8_t gso, pad;
	uint16_t features;
};
struct netif_tx_response {
	uint16_t id;
	int16_t status;
};

#define NETRXF_DATA_VALIDATED 1u
#define NETRXF_CSUM_BLANK     2u
#define NETRXF_MORE_DATA      4u
#define NETRXF_EXTRA_INFO     8u
struct netif_rx_request {
	uint16_t id, pad;
	uint32_t gref;
};
struct netif_rx_response {
	uint16_t id, offset, flags;
	int16_t status; /* bytes, or an error */
};

#define NETIF_RING 256u /* what fits a page, rounded down to a power of two */
struct netif_tx_ring_shared {
	uint32_t req_prod, req_event, rsp_prod, rsp_event;
	uint8_t pad[48];
	union {
		struct netif_tx_request req;
		struct netif_extra_gso gso;
		struct netif_tx_response rsp;
	} ring[NETIF_RING];
};
struct netif_rx_ring_shared {
	uint32_t req_prod, req_event, rsp_prod, rsp_event;
	uint8_t pad[48];
	union {
		struct netif_rx_request req;
		struct netif_rx_response rsp;
	} ring[NETIF_RING];
};

_Static_assert(sizeof(struct xen_hvm_get_param) == 16, "xen_hvm_param");
_Static_assert(sizeof(struct xen_add_to_physmap) == 8 + 2 * sizeof(long), "xen_add_to_physmap");
_Static_assert(sizeof(struct xen_gnttab_query_size) == 16, "gnttab_query_size");
_Static_assert(sizeof(struct xen_grant_shared) == 8, "grant_entry_v1");
_Static_assert(offsetof(struct xen_store_shared, req_cons) == 2048, "xenstore_domain_interface");
_Static_assert(offsetof(struct xen_console_shared, in_cons) == 3072, "xencons_interface");
_Static_assert(sizeof(struct blkif_seg) == 8, "blkif_request_segment");
_Static_assert(offsetof(struct blkif_request_shared, u) == 24, "blkif_request");
_Static_assert(sizeof(struct blkif_request_shared) == 112, "blkif_request");
_Static_assert(offsetof(struct blkif_request_shared, u.indirect.gref) == 28, "indirect_grefs");
_Static_assert(sizeof(struct blkif_response_shared) == 16, "blkif_response");
_Static_assert(offsetof(struct blkif_ring_shared, ring) == 64, "blkif_sring");
_Static_assert(sizeof(struct blkif_ring_shared) <= XEN_PAGE, "a ring is a page");
_Static_assert(sizeof(struct netif_tx_request) == 12, "netif_tx_request");
_Static_assert(sizeof(struct netif_extra_gso) == 8, "netif_extra_info");
_Static_assert(sizeof(struct netif_tx_response) == 4, "netif_tx_response");
_Static_assert(sizeof(struct netif_rx_request) == 8, "netif_rx_request");
_Static_assert(sizeof(struct netif_rx_response) == 8, "netif_rx_response");
_Static_assert(offsetof(struct netif_tx_ring_shared, ring) == 64, "netif_tx_sring");
_Static_assert(sizeof(struct netif_tx_ring_shared) == 64 + 12 * NETIF_RING, "netif_tx_sring");
_Static_assert(sizeof(struct netif_rx_ring_shared) == 64 + 8 * NETIF_RING, "netif_rx_sring");

#endif
