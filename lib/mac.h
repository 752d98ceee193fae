/* SPDX-License-Identifier: BSD-2-Clause */
/* mac.h - a network card's address as text: six pairs of hexadecimal digits with colons between, nothing else. */
#ifndef LIB_MAC_H
#define LIB_MAC_H

#include <stdbool.h>
#include <stdint.h>

static inline int mac_digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' :
	       c >= 'a' && c <= 'f' ? c - 'a' + 10 :
	       c >= 'A' && c <= 'F' ? c - 'A' + 10 :
				      -1;
}

/* False: it is none, and mac is undefined. */
static inline bool mac_parse(const char *s, uint8_t mac[6])
{
	for (unsigned i = 0; i < 6; i++, s += 3) {
		if (mac_digit(s[0]) < 0 || mac_digit(s[1]) < 0 || s[2] != (i < 5 ? ':' : 0))
			return false;
		mac[i] = (uint8_t)(mac_digit(s[0]) << 4 | mac_digit(s[1]));
	}
	return true;
}

#endif
