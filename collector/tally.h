/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Counts, while runs are made, how many classes they are of (docs/history.md): at one level, to know when nothing new comes any more, and
 * exact, own and up to the roles, to say so in a line. Runs of one experiment and one plan. Pure.
 */
#ifndef COLLECTOR_TALLY_H
#define COLLECTOR_TALLY_H

#include "collector/prints.h"

struct tally_print;

/* With --until-stable N: so many runs in a row that do not count are enough to say that it cannot be told. */
static inline uint64_t tally_deaf_max(uint64_t until_stable)
{
	return until_stable > 10 ? until_stable : 10;
}

struct tally {
	enum print_level level; /* what counts as the same */
	bool symmetric;
	uint64_t runs;	   /* that count */
	uint64_t unclassed; /* that do not */
	uint64_t found;	   /* classes that were not known before, at that level */
	uint64_t quiet;	   /* so many runs that count, since the last one of them */
	uint64_t deaf;	   /* so many that do not, since the last that does */
	uint64_t exact, symmetric_exact; /* classes among the runs */
	struct tally_print *seen;	 /* private */
};

/* All zero is an empty one; level and symmetric are set before the first call. */
void tally_fini(struct tally *tally);

/* A class that is no news: print at that level. 0 or -ENOMEM. */
int tally_know(struct tally *tally, const struct print *print);

/* A run. prints NULL, or with why_not: it does not count. *ret_new: of a class that was not known. 0 or -ENOMEM. */
int tally_add(struct tally *tally, const struct prints *prints, bool *ret_new);

#endif
