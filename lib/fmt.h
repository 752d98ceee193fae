/* SPDX-License-Identifier: BSD-2-Clause */
/* fmt.h - formatting without a C library: %s %c %u %d %x %p %%, with l or ll, width and 0. */
#ifndef LIB_FMT_H
#define LIB_FMT_H

#include <stdarg.h>
#include <stddef.h>

/* Writes at most cap - 1 characters and a final 0; returns how many were written. cap > 0. */
size_t fmt_va(char *buf, size_t cap, const char *f, va_list ap);
__attribute__((format(printf, 3, 4))) size_t fmt(char *buf, size_t cap, const char *f, ...);

#endif
