/* SPDX-License-Identifier: BSD-2-Clause */
/* abi.c - drivers/xen/abi.h is what Xen's own headers (libxen-dev) say. Compiled, never run. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define __XEN_INTERFACE_VERSION__ 0x00040d00
#include <xen/xen.h>

#include <xen/event_channel.h>
#include <xen/grant_table.h>
#include <xen/hvm/hvm_op.h>
#include <xen/hvm/params.h>
#include <xen/io/blkif.h>
#include <xen/io/console.h>
#include <xen/io/netif.h>
#include <xen/io/xenbus.h>
#include <xen/io/xs_wire.h>
#include <xen/memory.h>
#include <xen/sched.h>

/* Names that both have. */
#define xen_add_to_physmap our_add_to_physmap
#define xenbus_state       our_xenbus_state
#define netif_tx_request   our_tx_request
#define netif_tx_response  our_tx_response
#define netif_rx_request   our_rx_request
#define netif_rx_response  our_rx_response
#include "drivers/xen/abi.h"
#undef xen_add_to_physmap
#undef xenbus_state
#undef netif_tx_request
#undef netif_tx_response
#undef netif_rx_request
#undef netif_rx_response

#define SAME(ours, theirs) _Static_assert((ours) == (theirs), #theirs)
#define SAME_AT(ours, our_field, theirs, their_field) \
	SAME(offsetof(struct ours, our_field), offsetof(theirs, their_field))
#define SAME_SIZE(ours, theirs) SAME(sizeof(struct ours), sizeof(theirs))

SAME(XEN_DOMID_SELF, DOMID_SELF);
SAME(XEN_HC_MEMORY, __HYPERVISOR_memory_op);
SAME(XEN_HC_GRANT_TABLE, __HYPERVISOR_grant_table_op);
SAME(XEN_HC_SCHED, __HYPERVISOR_sched_op);
SAME(XEN_HC_EVENT_CHANNEL, __HYPERVISOR_event_channel_op);
SAME(XEN_HC_HVM, __HYPERVISOR_hvm_op);
SAME(XEN_HVMOP_GET_PARAM, HVMOP_get_param);
SAME((int)XEN_PARAM_STORE_PFN, HVM_PARAM_STORE_PFN);
SAME((int)XEN_PARAM_STORE_EVTCHN, HVM_PARAM_STORE_EVTCHN);
SAME((int)XEN_PARAM_CONSOLE_PFN, HVM_PARAM_CONSOLE_PFN);
SAME((int)XEN_PARAM_CONSOLE_EVTCHN, HVM_PARAM_CONSOLE_EVTCHN);
SAME(XEN_SCHED_YIELD, SCHEDOP_yield);
SAME(XEN_EVTCHN_SEND, EVTCHNOP_send);
SAME(XEN_MEM_ADD_TO_PHYSMAP, XENMEM_add_to_physmap);
SAME(XEN_MAPSPACE_GRANT, XENMAPSPACE_grant_table);
SAME(XEN_GNTTAB_QUERY_SIZE, GNTTABOP_query_size);
SAME(XEN_GNTTAB_GET_VERSION, GNTTABOP_get_version);
SAME(XEN_GTF_PERMIT, GTF_permit_access);
SAME(XEN_GTF_READONLY, GTF_readonly);
SAME(XEN_GTF_READING, GTF_reading);
SAME(XEN_GTF_WRITING, GTF_writing);
SAME_SIZE(xen_hvm_get_param, struct xen_hvm_param);
SAME_AT(xen_hvm_get_param, value, struct xen_hvm_param, value);
SAME_SIZE(xen_evtchn_send, struct evtchn_send);
SAME_SIZE(our_add_to_physmap, struct xen_add_to_physmap);
SAME_AT(our_add_to_physmap, gpfn, struct xen_add_to_physmap, gpfn);
SAME_SIZE(xen_gnttab_query_size, struct gnttab_query_size);
SAME_AT(xen_gnttab_query_size, max_nr_frames, struct gnttab_query_size, max_nr_frames);
SAME_AT(xen_gnttab_query_size, status, struct gnttab_query_size, status);
SAME_SIZE(xen_gnttab_get_version, struct gnttab_get_version);
SAME_AT(xen_gnttab_get_version, version, struct gnttab_get_version, version);
SAME_SIZE(xen_grant_shared, struct grant_entry_v1);
SAME_AT(xen_grant_shared, frame, struct grant_entry_v1, frame);

SAME((int)XEN_XS_DIRECTORY, XS_DIRECTORY);
SAME((int)XEN_XS_READ, XS_READ);
SAME((int)XEN_XS_WATCH, XS_WATCH);
SAME((int)XEN_XS_WRITE, XS_WRITE);
SAME((int)XEN_XS_WATCH_EVENT, XS_WATCH_EVENT);
SAME((int)XEN_XS_ERROR, XS_ERROR);
SAME_SIZE(xen_store_header, struct xsd_sockmsg);
SAME_AT(xen_store_header, len, struct xsd_sockmsg, len);
SAME(XEN_STORE_RING, XENSTORE_RING_SIZE);
SAME_AT(xen_store_shared, rsp, struct xenstore_domain_interface, rsp);
SAME_AT(xen_store_shared, rsp_prod, struct xenstore_domain_interface, rsp_prod);
SAME((int)XENBUS_INIT_WAIT, (int)XenbusStateInitWait);
SAME((int)XENBUS_INITIALISED, (int)XenbusStateInitialised);
SAME((int)XENBUS_CONNECTED, (int)XenbusStateConnected);
SAME((int)XENBUS_CLOSED, (int)XenbusStateClosed);
SAME_SIZE(xen_console_shared, struct xencons_interface);
SAME_AT(xen_console_shared, out_prod, struct xencons_interface, out_prod);

SAME((int)BLKIF_READ, BLKIF_OP_READ);
SAME((int)BLKIF_WRITE, BLKIF_OP_WRITE);
SAME((int)BLKIF_WRITE_BARRIER, BLKIF_OP_WRITE_BARRIER);
SAME((int)BLKIF_FLUSH, BLKIF_OP_FLUSH_DISKCACHE);
SAME((int)BLKIF_DISCARD, BLKIF_OP_DISCARD);
SAME((int)BLKIF_INDIRECT, BLKIF_OP_INDIRECT);
SAME(BLKIF_RSP_OK, BLKIF_RSP_OKAY);
SAME(BLKIF_RSP_UNSUPP, BLKIF_RSP_EOPNOTSUPP);
SAME(BLKIF_MAX_SEGS, BLKIF_MAX_SEGMENTS_PER_REQUEST);
SAME(BLKIF_INFO_CDROM, VDISK_CDROM);
SAME(BLKIF_INFO_READONLY, VDISK_READONLY);
SAME_SIZE(blkif_seg, struct blkif_request_segment);
SAME_AT(blkif_seg, last, struct blkif_request_segment, last_sect);

SAME(NETIF_MAX_SLOTS, XEN_NETIF_NR_SLOTS_MIN);
SAME(NETIF_MAX_SIZE, XEN_NETIF_MAX_TX_SIZE);
SAME(NETTXF_CSUM_BLANK, NETTXF_csum_blank);
SAME(NETTXF_DATA_VALIDATED, NETTXF_data_validated);
SAME(NETTXF_MORE_DATA, NETTXF_more_data);
SAME(NETTXF_EXTRA_INFO, NETTXF_extra_info);
SAME(NETRXF_CSUM_BLANK, NETRXF_csum_blank);
SAME(NETRXF_DATA_VALIDATED, NETRXF_data_validated);
SAME(NETRXF_MORE_DATA, NETRXF_more_data);
SAME(NETRXF_EXTRA_INFO, NETRXF_extra_info);
SAME(NETIF_EXTRA_GSO, XEN_NETIF_EXTRA_TYPE_GSO);
SAME(NETIF_GSO_TCPV4, XEN_NETIF_GSO_TYPE_TCPV4);
SAME(NETIF_GSO_TCPV6, XEN_NETIF_GSO_TYPE_TCPV6);
SAME(NETIF_NO_RSP, NETIF_RSP_NULL);
SAME_SIZE(our_tx_request, struct netif_tx_request);
SAME_AT(our_tx_request, size, struct netif_tx_request, size);
SAME_AT(our_tx_request, id, struct netif_tx_request, id);
SAME_SIZE(netif_extra_gso, struct netif_extra_info);
SAME_AT(netif_extra_gso, size, struct netif_extra_info, u.gso.size);
SAME_AT(netif_extra_gso, gso, struct netif_extra_info, u.gso.type);
SAME_SIZE(our_tx_response, struct netif_tx_response);
SAME_AT(our_tx_response, status, struct netif_tx_response, status);
SAME_SIZE(our_rx_request, struct netif_rx_request);
SAME_AT(our_rx_request, gref, struct netif_rx_request, gref);
SAME_SIZE(our_rx_response, struct netif_rx_response);
SAME_AT(our_rx_response, offset, struct netif_rx_response, offset);
SAME_AT(our_rx_response, status, struct netif_rx_response, status);
SAME_AT(netif_tx_ring_shared, ring, struct netif_tx_sring, ring);
SAME(sizeof(((struct netif_tx_ring_shared *)0)->ring[0]), sizeof(union netif_tx_sring_entry));
SAME(NETIF_RING, __CONST_RING_SIZE(netif_tx, XEN_PAGE));
SAME_AT(netif_rx_ring_shared, ring, struct netif_rx_sring, ring);
SAME(sizeof(((struct netif_rx_ring_shared *)0)->ring[0]), sizeof(union netif_rx_sring_entry));
SAME(NETIF_RING, __CONST_RING_SIZE(netif_rx, XEN_PAGE));
#ifdef __x86_64__ /* the protocol is named for what this compiles as */
SAME_SIZE(blkif_request_shared, struct blkif_request);
SAME_AT(blkif_request_shared, sector, struct blkif_request, sector_number);
SAME_AT(blkif_request_shared, u.seg, struct blkif_request, seg);
SAME_AT(blkif_request_shared, u.n_sectors, struct blkif_request_discard, nr_sectors);
SAME_AT(blkif_request_shared, handle, struct blkif_request_indirect, nr_segments);
SAME_AT(blkif_request_shared, u.indirect.handle, struct blkif_request_indirect, handle);
SAME_AT(blkif_request_shared, u.indirect.gref, struct blkif_request_indirect, indirect_grefs);
SAME_SIZE(blkif_response_shared, struct blkif_response);
SAME_AT(blkif_response_shared, status, struct blkif_response, status);
SAME_AT(blkif_ring_shared, ring, struct blkif_sring, ring);
SAME(sizeof(((struct blkif_ring_shared *)0)->ring[0]), sizeof(union blkif_sring_entry));
SAME(BLKIF_RING, __CONST_RING_SIZE(blkif, XEN_PAGE));
#endif
