/* SPDX-License-Identifier: BSD-2-Clause */
/* hv.c - the companion vCPU's way to the KVM side: an OUT (include/sio/slot.h), accesses that exit. */
#include "firmware/fw.h"

/* The hypervisor side reads and writes the slot during the OUT: the clobber makes the compiler finish
 * stores before it and load anew after it. The processor orders them by itself. */
void hv_call(struct sio_slot_shared *s, enum sio_hypercall n)
{
	(void)s;
	__asm__ volatile("outl %0, %1" ::"a"((uint32_t)n), "Nd"((uint16_t)SIO_HC_PORT) : "memory");
}

uint32_t hv_mmio_read(uint64_t addr)
{
	return *(volatile uint32_t *)addr;
}

void hv_mmio_write(uint64_t addr, uint32_t v)
{
	*(volatile uint32_t *)addr = v;
}

void hv_edge(unsigned gsi)
{
	__asm__ volatile("outb %%al, %0" ::"d"((uint16_t)(SIO_IRQ_PORT + gsi)), "a"(1) : "memory");
}
