/* SPDX-License-Identifier: BSD-2-Clause */
/* start.c - the companion VM's home: from the entry code to the loops. */
#include "firmware/fw.h"
#include "firmware/metal/cpu.h"
#include "firmware/metal/layout.h"

_Static_assert(ENTRY_MAGIC == SIO_ENTRY_MAGIC && ABI_VERSION == SIO_ABI_VERSION, "layout.h");
_Static_assert(SLOT_OFF == SIO_SLOT_OFF && SLOT_SIZE == SIO_SLOT_SIZE, "layout.h");

_Noreturn void fw_start(const struct sio_config *cfg, unsigned context);

_Noreturn void fw_start(const struct sio_config *cfg, unsigned context)
{
	struct sio_slot_shared *s = fw_slot_of(context);
	enum sio_hypercall leave = context == cfg->n_vcpus ? SIO_HC_WAIT : SIO_HC_RETURN;

	cpu_load_idt(context == 0);
	if (context == 0) {
		/* Needed for a panic about the page itself. */
		fw.slot = s;
		if (cfg->magic == SIO_CONFIG_MAGIC && cfg->version == SIO_ABI_VERSION) {
			fw_heap_init(cfg);
			cpu_map_high(cfg->map_top);
		}
		fw_init(cfg);
	}
	for (;;) {
		hv_call(s, leave);
		s->n_ops = 0;
		fw_request(s);
	}
}
