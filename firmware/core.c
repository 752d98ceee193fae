/* SPDX-License-Identifier: BSD-2-Clause */
/* core.c - the firmware's common ground in every home: start, lock, heap, operations, log. */
#include <string.h>

#include "firmware/fw.h"
#include "lib/fmt.h"

struct fw fw = { .console_due_ns = UINT64_MAX, .poll_ns = UINT64_MAX, .timer_ns = UINT64_MAX };

void fw_heap_init(const struct sio_config *cfg)
{
	fw.heap = fw.base + cfg->heap_base;
	fw.heap_end = fw.heap + cfg->heap_len;
}

void fw_init(const struct sio_config *cfg)
{
	fw.cfg = cfg;
	fw.slot = fw_slot_of(0);
	if (cfg->magic != SIO_CONFIG_MAGIC || cfg->version != SIO_ABI_VERSION ||
	    cfg->size != sizeof(*cfg))
		fw_panic("the hypervisor side speaks ABI %u, this firmware %u", cfg->version,
			 SIO_ABI_VERSION);
	if (!fw.heap)
		fw_heap_init(cfg);
	fw_board_init();
}

void *fw_ptr(uint64_t addr)
{
	return (void *)(fw.base + addr);
}

struct sio_slot_shared *fw_slot_of(unsigned context)
{
	return fw_ptr(SIO_PRIV_BASE + SIO_SLOT_OFF + (uint64_t)context * SIO_SLOT_SIZE);
}

void fw_lock(struct sio_slot_shared *mine)
{
	/* Acquire: pairs with the release in fw_unlock(). A holder that the host has descheduled does
	 * not come back while we spin on its processor: yield now and then. */
	for (unsigned spins = 1; atomic_flag_test_and_set_explicit(&fw.lock, memory_order_acquire);
	     spins++) {
		__builtin_ia32_pause();
		if (spins % 2048 == 0)
			hv_call(mine, SIO_HC_YIELD);
	}
	fw.slot = mine;
}

void fw_unlock(void)
{
	/* Two contexts may leave in another order than they came in; what is claimed has no count, as lines have. */
	if (fw.maps)
		fw_flush();
	atomic_flag_clear_explicit(&fw.lock, memory_order_release);
}

void *fw_alloc(size_t size, size_t align)
{
	uint64_t at = (fw.heap + align - 1) & ~(uint64_t)(align - 1);

	if (at > fw.heap_end || size > fw.heap_end - at)
		fw_panic("out of private memory: %lu bytes wanted, %lu left", (unsigned long)size,
			 (unsigned long)(fw.heap_end - fw.heap));
	fw.heap = at + size;
	return (void *)at;
}

void fw_flush(void)
{
	hv_call(fw.slot, SIO_HC_FLUSH);
	fw.slot->n_ops = 0;
	fw.maps = false;
}

void fw_op(uint32_t code, uint32_t arg, uint64_t a, uint64_t b, uint64_t c)
{
	struct sio_slot_shared *s = fw.slot;

	if (s->n_ops == SIO_MAX_OPS)
		fw_flush();
	s->ops[s->n_ops++] = (struct sio_op){ .code = code, .arg = arg, .a = a, .b = b, .c = c };
	fw.maps |= code == SIO_OP_MAP || code == SIO_OP_UNMAP;
}

void fw_set_text(struct sio_slot_shared *s, const char *text, size_t len)
{
	if (len > SIO_MAX_TEXT)
		len = SIO_MAX_TEXT;
	memcpy(s->text, text, len);
	s->text_len = (uint32_t)len;
}

void fw_log_text(enum sio_log_level level, const char *text, size_t len)
{
	fw_set_text(fw.slot, text, len);
	fw.slot->text_level = level;
	hv_call(fw.slot, SIO_HC_LOG);
}

void fw_log(enum sio_log_level level, const char *f, ...)
{
	char text[SIO_MAX_TEXT];
	va_list ap;
	size_t n;

	va_start(ap, f);
	n = fmt_va(text, sizeof(text), f, ap);
	va_end(ap);
	fw_log_text(level, text, n);
}
