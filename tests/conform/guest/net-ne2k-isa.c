/* SPDX-License-Identifier: BSD-2-Clause */
/* net-ne2k-isa.c - the same as net-ne2k.c of RTL8019AS, on ISA: ports 300h to 31Fh, interrupt 3. */
#define ISA
#include "net-ne2k.c"
