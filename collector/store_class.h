/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What every backend of a store does with a class of runs (store.h). Private to the backends. */
#ifndef COLLECTOR_STORE_CLASS_H
#define COLLECTOR_STORE_CLASS_H

#include "collector/store.h"

/* Which prints of a class are approximate, as it is stored: a bit each. */
static inline unsigned store_approximate_bit(enum store_view view, enum print_level level)
{
	return 1U << (2 * (unsigned)level + (unsigned)view);
}

#define STORE_APPROXIMATE_EXACT 3U /* the bits of exact prints, in both views: those are what a class is found by */

/*
 * Before a store of an older format is changed: a run that is being recorded in it by an older bop, which could not go on. 0: its owner
 * is gone, or that cannot be told; -EBUSY, and it is said. name: of the store.
 */
int store_format_busy(const char *name, uint64_t run, const struct store_owner *owner, struct error *e);

unsigned store_approximate(const struct print prints[STORE_VIEW_COUNT][PRINT_LEVEL_COUNT]);

/* One that the caller owns, to be freed with store_class_free(); NULL: no memory. */
struct store_class *store_class_copy(const struct store_class *from);

#endif
