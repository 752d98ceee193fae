/* SPDX-License-Identifier: BSD-2-Clause */
/* check.h - what must hold in a fuzzer: a line that says where it does not, and the end that libFuzzer takes for a finding. */
#ifndef CHECK_H
#define CHECK_H

#include <stdio.h>
#include <stdlib.h>

#define CHECK(x)                                                                        \
	do {                                                                            \
		if (!(x)) {                                                             \
			fprintf(stderr, "%s:%d: broken: %s\n", __FILE__, __LINE__, #x); \
			abort();                                                        \
		}                                                                       \
	} while (0)

#endif
