/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Plans by chance, within the budget, as what the lineage's are compared with: each message that may get lost does so
 * with probability 1/2 (if only so many may: as many as a lot says, each set of that many alike), and as many
 * processes crash as a lot says, each at one of its sends. Only messages that some run has shown. Pure: the same
 * seed, the same plans.
 */
#ifndef LDFI_RANDOM_H
#define LDFI_RANDOM_H

#include <stdint.h>

#include "ldfi/knowledge.h"

struct random {
	uint64_t state;
};

/* ret is emptied first; it can be empty then, too. -ENOMEM. */
int random_plan(struct random *random, const struct knowledge *knowledge, const struct budget *budget, struct failures *ret);

#endif
