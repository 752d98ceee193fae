/* SPDX-License-Identifier: BSD-2-Clause */
/* hv.c - hypercalls to the KVM side: an OUT from the companion vCPU (include/sio/slot.h). */
#include <string.h>

#include "firmware/fw.h"

/* The hypervisor side reads and writes the slot during the OUT: the clobber makes the compiler finish
 * stores before it and load anew after it. The processor orders them by itself. */
static void hypercall(uint32_t n)
{
	__asm__ volatile("outl %0, %1" ::"a"(n), "Nd"((uint16_t)SIO_HC_PORT) : "memory");
}

void hv_return(struct sio_slot_shared *s)
{
	hypercall(SIO_HC_RETURN);
	s->n_ops = 0;
}

void hv_wait(struct sio_slot_shared *s)
{
	hypercall(SIO_HC_WAIT);
	s->n_ops = 0;
}

void hv_flush(struct sio_slot_shared *s)
{
	hypercall(SIO_HC_FLUSH);
	s->n_ops = 0;
}

void hv_yield(void)
{
	hypercall(SIO_HC_YIELD);
}

static void set_text(struct sio_slot_shared *s, const char *text, size_t len)
{
	if (len > SIO_MAX_TEXT)
		len = SIO_MAX_TEXT;
	memcpy(s->text, text, len);
	s->text_len = (uint32_t)len;
}

void hv_log(struct sio_slot_shared *s, enum sio_log_level level, const char *text, size_t len)
{
	set_text(s, text, len);
	s->text_level = level;
	hypercall(SIO_HC_LOG);
}

_Noreturn void hv_panic(struct sio_slot_shared *s, const char *why, size_t len)
{
	set_text(s, why, len);
	for (;;)
		hypercall(SIO_HC_PANIC);
}

void hv_op(struct sio_slot_shared *s, uint32_t code, uint32_t arg, uint64_t a, uint64_t b)
{
	if (s->n_ops == SIO_MAX_OPS)
		hv_flush(s);
	s->ops[s->n_ops++] = (struct sio_op){ .code = code, .arg = arg, .a = a, .b = b };
}
