/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio.h - what both ends of a virtio device agree on: registers and layouts of virtio 1.2.
 *
 * Sections 2.1 (status), 2.7 (split virtqueues), 4.2.2 (MMIO registers, version 2), 5.1 (network),
 * 5.2 (block), 5.3 (console), 6 (reserved feature bits).  All fields little-endian, as are both ends.
 */
#ifndef LIB_VIRTIO_H
#define LIB_VIRTIO_H

#include <stdbool.h>
#include <stdint.h>

/* 4.2.2: registers, 32 bits each, as offsets into the window. */
enum virtio_mmio_reg {
	VIRTIO_MMIO_MAGIC = 0x000,
	VIRTIO_MMIO_VERSION = 0x004,
	VIRTIO_MMIO_DEVICE_ID = 0x008,
	VIRTIO_MMIO_VENDOR_ID = 0x00c,
	VIRTIO_MMIO_DEVICE_FEATURES = 0x010,
	VIRTIO_MMIO_DEVICE_FEATURES_SEL = 0x014,
	VIRTIO_MMIO_DRIVER_FEATURES = 0x020,
	VIRTIO_MMIO_DRIVER_FEATURES_SEL = 0x024,
	VIRTIO_MMIO_QUEUE_SEL = 0x030,
	VIRTIO_MMIO_QUEUE_NUM_MAX = 0x034,
	VIRTIO_MMIO_QUEUE_NUM = 0x038,
	VIRTIO_MMIO_QUEUE_READY = 0x044,
	VIRTIO_MMIO_QUEUE_NOTIFY = 0x050,
	VIRTIO_MMIO_INTERRUPT_STATUS = 0x060,
	VIRTIO_MMIO_INTERRUPT_ACK = 0x064,
	VIRTIO_MMIO_STATUS = 0x070,
	VIRTIO_MMIO_QUEUE_DESC_LOW = 0x080,
	VIRTIO_MMIO_QUEUE_DESC_HIGH = 0x084,
	VIRTIO_MMIO_QUEUE_DRIVER_LOW = 0x090,
	VIRTIO_MMIO_QUEUE_DRIVER_HIGH = 0x094,
	VIRTIO_MMIO_QUEUE_DEVICE_LOW = 0x0a0,
	VIRTIO_MMIO_QUEUE_DEVICE_HIGH = 0x0a4,
	VIRTIO_MMIO_SHM_LEN_LOW = 0x0b0,
	VIRTIO_MMIO_SHM_BASE_HIGH = 0x0bc,
	VIRTIO_MMIO_CONFIG_GENERATION = 0x0fc,
	VIRTIO_MMIO_CONFIG = 0x100,
};

#define VIRTIO_MMIO_MAGIC_VALUE 0x74726976u /* "virt" */
#define VIRTIO_MMIO_VERSION_2   2u

/* InterruptStatus and InterruptACK. */
#define VIRTIO_INT_USED   1u
#define VIRTIO_INT_CONFIG 2u

/* 2.1: device status. */
#define VIRTIO_S_ACKNOWLEDGE 1u
#define VIRTIO_S_DRIVER      2u
#define VIRTIO_S_DRIVER_OK   4u
#define VIRTIO_S_FEATURES_OK 8u
#define VIRTIO_S_NEEDS_RESET 64u
#define VIRTIO_S_FAILED      128u

/* 5: device types. */
#define VIRTIO_ID_NET     1u
#define VIRTIO_ID_BLK     2u
#define VIRTIO_ID_CONSOLE 3u

/* 6: features of the transport. */
#define VIRTIO_F_INDIRECT_DESC (1ull << 28)
#define VIRTIO_F_EVENT_IDX     (1ull << 29)
#define VIRTIO_F_VERSION_1     (1ull << 32)

/* 2.7.5: the descriptor table. */
#define VIRTQ_DESC_F_NEXT     1u
#define VIRTQ_DESC_F_WRITE    2u
#define VIRTQ_DESC_F_INDIRECT 4u

struct virtq_desc_shared {
	uint64_t addr;
	uint32_t len;
	uint16_t flags;
	uint16_t next;
};
_Static_assert(sizeof(struct virtq_desc_shared) == 16, "virtq_desc");

/* 2.7.6: the available ring; ring[num] is used_event. */
#define VIRTQ_AVAIL_F_NO_INTERRUPT 1u

struct virtq_avail_shared {
	uint16_t flags;
	uint16_t idx;
	uint16_t ring[];
};

/* 2.7.8: the used ring; the 16 bits after ring[num] are avail_event. */
#define VIRTQ_USED_F_NO_NOTIFY 1u

struct virtq_used_elem {
	uint32_t id;
	uint32_t len;
};

struct virtq_used_shared {
	uint16_t flags;
	uint16_t idx;
	struct virtq_used_elem ring[];
};

#define VIRTQ_DESC_SIZE(num)  (16u * (num))
#define VIRTQ_AVAIL_SIZE(num) (6u + 2u * (num))
#define VIRTQ_USED_SIZE(num)  (6u + 8u * (num))

static inline uint16_t *virtq_used_event(struct virtq_avail_shared *a, unsigned num)
{
	return &a->ring[num];
}

static inline uint16_t *virtq_avail_event(struct virtq_used_shared *u, unsigned num)
{
	return (uint16_t *)(void *)&u->ring[num];
}

/* 2.7.7.2: did the index pass event on its way from old to new_? */
static inline bool virtq_need_event(uint16_t event, uint16_t new_, uint16_t old)
{
	return (uint16_t)(new_ - event - 1) < (uint16_t)(new_ - old);
}

/* 5.1: network, without a control queue. */
#define VIRTIO_NET_RX 0u
#define VIRTIO_NET_TX 1u

#define VIRTIO_NET_F_CSUM       (1ull << 0)
#define VIRTIO_NET_F_GUEST_CSUM (1ull << 1)
#define VIRTIO_NET_F_MAC        (1ull << 5)
#define VIRTIO_NET_F_HOST_TSO4  (1ull << 11)
#define VIRTIO_NET_F_HOST_TSO6  (1ull << 12)
#define VIRTIO_NET_F_MRG_RXBUF  (1ull << 15)
#define VIRTIO_NET_F_STATUS     (1ull << 16)

#define VIRTIO_NET_S_LINK_UP 1u

struct virtio_net_config {
	uint8_t mac[6];
	uint16_t status; /* VIRTIO_NET_S_ */
};
_Static_assert(sizeof(struct virtio_net_config) == 8, "virtio_net_config (MAC and STATUS)");

#define VIRTIO_NET_HDR_NEEDS_CSUM 1u
#define VIRTIO_NET_HDR_DATA_VALID 2u

#define VIRTIO_NET_GSO_NONE  0u
#define VIRTIO_NET_GSO_TCPV4 1u
#define VIRTIO_NET_GSO_TCPV6 4u

/* Before each frame, in both directions. */
struct virtio_net_hdr {
	uint8_t flags;    /* VIRTIO_NET_HDR_ */
	uint8_t gso_type; /* VIRTIO_NET_GSO_ */
	uint16_t hdr_len;
	uint16_t gso_size;
	uint16_t csum_start;
	uint16_t csum_offset;
	uint16_t num_buffers; /* received: how many buffers this frame is in */
};
_Static_assert(sizeof(struct virtio_net_hdr) == 12, "virtio_net_hdr (of VERSION_1)");

/* 5.2: block. */
#define VIRTIO_BLK_F_SEG_MAX      (1ull << 2)
#define VIRTIO_BLK_F_RO           (1ull << 5)
#define VIRTIO_BLK_F_BLK_SIZE     (1ull << 6)
#define VIRTIO_BLK_F_FLUSH        (1ull << 9)
#define VIRTIO_BLK_F_DISCARD      (1ull << 13)
#define VIRTIO_BLK_F_WRITE_ZEROES (1ull << 14)

enum virtio_blk_type {
	VIRTIO_BLK_T_IN = 0,
	VIRTIO_BLK_T_OUT = 1,
	VIRTIO_BLK_T_FLUSH = 4,
	VIRTIO_BLK_T_GET_ID = 8,
	VIRTIO_BLK_T_DISCARD = 11,
	VIRTIO_BLK_T_WRITE_ZEROES = 13,
};

#define VIRTIO_BLK_S_OK     0u
#define VIRTIO_BLK_S_IOERR  1u
#define VIRTIO_BLK_S_UNSUPP 2u

struct virtio_blk_config {
	uint64_t capacity; /* sectors of 512 bytes */
	uint32_t size_max;
	uint32_t seg_max;
	uint16_t cylinders;
	uint8_t heads;
	uint8_t sectors;
	uint32_t blk_size;
	uint8_t physical_block_exp;
	uint8_t alignment_offset;
	uint16_t min_io_size;
	uint32_t opt_io_size;
	uint8_t writeback;
	uint8_t unused0;
	uint16_t num_queues;
	uint32_t max_discard_sectors;
	uint32_t max_discard_seg;
	uint32_t discard_sector_alignment;
	uint32_t max_write_zeroes_sectors;
	uint32_t max_write_zeroes_seg;
	uint8_t write_zeroes_may_unmap;
	uint8_t unused1[3];
};
_Static_assert(sizeof(struct virtio_blk_config) == 64, "virtio_blk_config (up to 1.1's fields)");

struct virtio_blk_hdr {
	uint32_t type; /* enum virtio_blk_type */
	uint32_t reserved;
	uint64_t sector;
};
_Static_assert(sizeof(struct virtio_blk_hdr) == 16, "virtio_blk_hdr");

#define VIRTIO_BLK_WZ_UNMAP 1u

struct virtio_blk_range {
	uint64_t sector;
	uint32_t n_sectors;
	uint32_t flags; /* VIRTIO_BLK_WZ_UNMAP */
};
_Static_assert(sizeof(struct virtio_blk_range) == 16, "virtio_blk_range");

/* The header, a model's 128 segments (models/blk.h) and the status byte. */
#define VIRTIO_MAX_CHAIN 130u

/* 5.3: console without multiport. */
#define VIRTIO_CONSOLE_RX 0u
#define VIRTIO_CONSOLE_TX 1u

#endif
