/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Plans that need not be run: those that were, and what contains a known violation. Pure. */
#ifndef LDFI_EXPLORED_H
#define LDFI_EXPLORED_H

#include <stdbool.h>
#include <stddef.h>

#include "ldfi/knowledge.h"

struct explored;

int explored_new(struct explored **ret_explored); /* -ENOMEM */
void explored_free(struct explored *explored);

/* -ENOMEM. */
int explored_add(struct explored *explored, const struct failures *plan);
int explored_add_violation(struct explored *explored, const struct failures *plan);
size_t explored_count(const struct explored *explored);
bool explored_has(const struct explored *explored, const struct failures *plan); /* that very plan */

enum explored_how {
	EXPLORED_NOT,
	EXPLORED_SAME,
	EXPLORED_MIRRORED, /* a plan that was run is the same in other places */
	EXPLORED_SUPERSET, /* a known violation is in it */
};

enum explored_how explored_find(const struct explored *explored, const struct knowledge *knowledge, size_t n_ways,
				const struct failures *plan);

#endif
