/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ioapic.h - 82093AA I/O APIC with 24 pins, at FEC00000h.
 *
 * Input line n is pin n, true: asserted, whatever the entry's polarity says.  Messages to local APICs go out
 * as MSIs: destination, destination mode, delivery mode, vector and trigger mode as the entry has them (also
 * NMI, SMI, INIT, ExtINT, and vectors below 16: a host that can't deliver one drops it).
 *
 * A level-triggered pin sends its message again if it is still asserted when the interrupt has ended.  The end
 * is known in one of two ways:
 *   - resample_ns is 0: the host says ioapic_eoi() for each EOI of a level-triggered vector at a local APIC (a
 *     KVM with split interrupt controllers has an exit for it).  This is the 82093AA, exactly.
 *   - otherwise no one tells (a local APIC inside a hypervisor that keeps its EOIs to itself).  Then a pin that
 *     has been asserted for resample_ns since its last message sends it again, and remote IRR is never seen
 *     set.  A local APIC merges what is sent during service, so that costs a handler at most one more call;
 *     no interrupt is lost, the second of two at once may be late by resample_ns.
 */
#ifndef MODELS_IOAPIC_IOAPIC_H
#define MODELS_IOAPIC_IOAPIC_H

#include "models/dev.h"

#define IOAPIC_PINS 24u
#define IOAPIC_BASE 0xfec00000u

struct ioapic_cfg {
	uint8_t version;      /* 11h, or 20h: the same with an EOI register */
	uint32_t resample_ns; /* 0: ioapic_eoi() is called */
};

extern const struct dev_class ioapic_class;

/* A local APIC has ended a level-triggered interrupt with that vector. */
void ioapic_eoi(void *d, uint8_t vector);

/* Which vectors need ioapic_eoi(): bit v % 64 of word v / 64, of level-triggered entries that are not masked.  False: as
 * at the last call, and vectors[] is as it was. */
bool ioapic_level_vectors(void *d, uint64_t vectors[4]);

#endif
