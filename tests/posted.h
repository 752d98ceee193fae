/* SPDX-License-Identifier: BSD-2-Clause */
/* posted.h - what vmm/fast.c makes of a posted write, for the hosts of tests, which hold models to it (models/dev.h). */
#ifndef POSTED_H
#define POSTED_H

#include "models/dev.h"

#define POSTED_VALID (1ull << 63) /* of a shadow's word */

/* DEV_POSTED with if_clear: may a write at bytes behind f's first wait?  own: the word of its entry own. */
static inline bool posted_clear(const struct dev_fast *f, uint64_t own, uint32_t at, uint64_t data)
{
	return !f->if_clear || (own & POSTED_VALID && at < 4 && !((uint32_t)own & data << 8 * at));
}

/* A write of data goes over the shadow that is entry id; exact: over just that register.  Either that is stale now, or then[]
 * gets what is read next.  dirties: f's, as entries of then[].  True: they lose what is cleared, and are not stale. */
static inline bool posted_over(const struct dev_fast *f, uint32_t dirties, unsigned id, bool exact,
			       uint64_t data, uint64_t *then, uint32_t *stale)
{
	uint64_t bits = then[id] & (uint32_t)data;

	if (!(f->reads_back || f->clears) || !exact || !(then[id] & POSTED_VALID)) {
		*stale |= 1u << id;
		return false;
	}
	if (f->reads_back) {
		then[id] = POSTED_VALID | (uint32_t)data;
		return false;
	}
	then[id] &= ~bits;
	for (unsigned k = 0; k < 32; k++)
		if (dirties >> k & 1)
			then[k] &= ~bits;
	return true;
}

#endif
