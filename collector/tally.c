/* SPDX-License-Identifier: GPL-3.0-or-later */
/* One set for all prints: what tells them apart is in the key. See tally.h. */
#define HASH_NONFATAL_OOM 1
#include "collector/tally.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

enum what { AT_LEVEL, EXACT_OWN, EXACT_SYMMETRIC };

struct key {
	uint64_t high, low;
	uint32_t approximate, what;
};

struct tally_print {
	UT_hash_handle hh;
	struct key key;
};

void tally_fini(struct tally *tally)
{
	struct tally_print *print, *next;

	HASH_ITER(hh, tally->seen, print, next) {
		HASH_DEL(tally->seen, print);
		free(print);
	}
}

/* 1: it is new; 0: not; or -ENOMEM. */
static int see(struct tally *tally, enum what what, const struct print *print)
{
	struct key key = { print->high, print->low, print->approximate, what };
	struct tally_print *row;

	HASH_FIND(hh, tally->seen, &key, sizeof(key), row);
	if (row)
		return 0;
	row = calloc(1, sizeof(*row));
	if (!row)
		return -ENOMEM;
	row->key = key;
	HASH_ADD(hh, tally->seen, key, sizeof(key), row);
	if (row->hh.tbl)
		return 1;
	free(row);
	return -ENOMEM;
}

int tally_know(struct tally *tally, const struct print *print)
{
	int err = see(tally, AT_LEVEL, print);

	return err < 0 ? err : 0;
}

int tally_add(struct tally *tally, const struct prints *prints, bool *ret_new)
{
	int own, symmetric, new;

	*ret_new = false;
	if (!prints || prints->why_not || prints->n_levels <= tally->level || (tally->symmetric && !prints->has_symmetric)) {
		tally->unclassed++;
		tally->deaf++;
		return 0;
	}
	own = see(tally, EXACT_OWN, &prints->own[PRINT_LEVEL_EXACT]);
	symmetric = see(tally, EXACT_SYMMETRIC, &prints->symmetric[PRINT_LEVEL_EXACT]);
	new = see(tally, AT_LEVEL, &(tally->symmetric ? prints->symmetric : prints->own)[tally->level]);
	if (own < 0 || symmetric < 0 || new < 0)
		return -ENOMEM;
	tally->runs++;
	tally->deaf = 0;
	tally->exact += (unsigned)own;
	tally->symmetric_exact += (unsigned)symmetric;
	tally->found += (unsigned)new;
	tally->quiet = new ? 0 : tally->quiet + 1;
	*ret_new = new;
	return 0;
}
