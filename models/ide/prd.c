/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * prd.c - physical region descriptors (SFF-8038i 1.0; Intel 82371SB data sheet 290550, bus master
 * function).
 *
 * Regions are of any even length, so a sector may lie in up to 256 of them.  A descriptor is read once,
 * when the walk comes to it; the guest may change the table under way and hurts only itself.
 */
#include "models/ide/ide_int.h"

#define PRD_EOT 0x80000000u

/* The next piece of guest RAM, at most max bytes. */
static enum prd_rc take(struct ide_chan *c, uint32_t max, struct gpa_seg *out)
{
	const struct dev_env *env = &c->ide->env;
	struct prd_cursor *cur = &c->s->bm.cur;

	if (!cur->len) {
		uint32_t d[2];

		if (cur->last)
			return PRD_END;
		if (!dev_dma_read(env, (gpa_t){ cur->next }, d, sizeof(d)))
			return PRD_BAD;
		cur->next += sizeof(d);
		cur->addr = d[0] & ~1u;
		cur->len = d[1] & 0xfffe;
		if (!cur->len)
			cur->len = 0x10000;
		cur->last = d[1] / PRD_EOT;
	}
	out->addr.raw = cur->addr;
	out->len = min_u32(max, cur->len);
	if (!dev_dma_ok(env, out->addr, out->len))
		return PRD_BAD;
	cur->addr += out->len;
	cur->len -= out->len;
	return PRD_OK;
}

uint32_t prd_gather(struct ide_chan *c, uint32_t bytes, enum prd_rc *why)
{
	struct prd_cursor *cur = &c->s->bm.cur;
	struct prd_cursor whole_cur = *cur; /* as of the last sector boundary */
	uint32_t whole = 0, whole_len = 0, total = 0;
	unsigned n = 0, whole_n = 0;

	*why = PRD_OK;
	while (total < bytes) {
		struct gpa_seg piece, *last = &c->seg[n - (n > 0)];
		uint32_t over;

		*why = take(c, bytes - total, &piece);
		if (*why != PRD_OK)
			break;
		if (n && last->addr.raw + last->len == piece.addr.raw) {
			last->len += piece.len;
		} else if (n == BLK_MAX_SEGS) {
			*why = PRD_MANY;
			break;
		} else {
			last = &c->seg[n++];
			*last = piece;
		}
		total += piece.len;
		over = total % BLK_SECTOR;
		if (over >= piece.len)
			continue;
		whole = total - over;
		whole_n = n;
		whole_len = last->len - over;
		whole_cur = *cur;
		whole_cur.addr -= over;
		whole_cur.len += over;
	}
	*cur = whole_cur;
	if (whole_n)
		c->seg[whole_n - 1].len = whole_len;
	c->req.n_seg = (uint16_t)whole_n;
	return whole;
}

enum prd_rc prd_copy(struct ide_chan *c, bool to_mem)
{
	const struct dev_env *env = &c->ide->env;
	enum prd_rc rc = PRD_OK;

	for (uint32_t at = 0; at < BLK_SECTOR && rc == PRD_OK;) {
		uint8_t *p = c->s->buf + at;
		struct gpa_seg piece;

		rc = take(c, BLK_SECTOR - at, &piece);
		if (rc != PRD_OK)
			break;
		if (!(to_mem ? dev_dma_write(env, piece.addr, p, piece.len) :
			       dev_dma_read(env, piece.addr, p, piece.len)))
			rc = PRD_BAD;
		at += piece.len;
	}
	return rc;
}
