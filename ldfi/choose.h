/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The plan to run next: of the smallest that break a goal and need not be left out, the one that begins latest, for
 * what leads up to it is as it was; then the one that breaks most goals; then the one with most crashes; then by
 * seed. Pure.
 */
#ifndef LDFI_CHOOSE_H
#define LDFI_CHOOSE_H

#include <stdbool.h>
#include <stdint.h>

#include "ldfi/explored.h"
#include "ldfi/knowledge.h"

struct chooser;

struct chooser_counts {
	uint64_t mirrored, supersets; /* plans that were left out */
};

/* All are borrowed until chooser_free(). -ENOMEM. */
int chooser_new(const struct knowledge *knowledge, const struct budget *budget, size_t n_ways, const struct explored *explored,
		uint64_t seed, struct chooser **ret_chooser);
void chooser_free(struct chooser *chooser);

/* Something was learned; failures: there are new ones, or what they hit has changed. -ENOMEM. */
int chooser_learned(struct chooser *chooser, bool failures);

/* 1: ret, emptied first, is a plan; 0: there is none left; -ENOMEM. */
int chooser_next(struct chooser *chooser, struct failures *ret);

const struct chooser_counts *chooser_counts(const struct chooser *chooser);

#endif
