/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Hitting sets, smallest first, by CaDiCaL: the only includer of its header. Things are numbers from 0; a goal is a
 * list of supports, each a set of things one of which must be in the set, always or if certain others are. Must not
 * know what things and goals are. CaDiCaL is C++: without memory it ends the program. The same calls give the same
 * answers.
 */
#ifndef LDFI_HITTING_H
#define LDFI_HITTING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hitting;

#define HITTING_NOBODY UINT32_MAX /* a thing of no owner */

struct hitting_limits {
	const uint32_t *owners; /* n things: at most one of each owner is in a set */
	size_t n;
	uint32_t owned, free; /* at most so many with and without an owner */
	uint32_t size;	      /* the largest that will be asked for */
};

/* -ENOMEM. limits are borrowed for the call only. */
int hitting_new(const struct hitting_limits *limits, size_t n_goals, struct hitting **ret_hitting);
void hitting_free(struct hitting *hitting);

/*
 * Conditions, as numbers: that one of the things is in the set; that all of those conditions hold (used for
 * hitting_either() only).
 */
int hitting_any(struct hitting *hitting, const uint32_t *things, size_t n);
int hitting_all(struct hitting *hitting, const int *conditions, size_t n);

/* If all of the conditions hold, one of the things must be in the set. No thing: then the goal is out of reach. */
void hitting_support(struct hitting *hitting, size_t goal, const int *conditions, size_t n_conditions, const uint32_t *things,
		     size_t n);
/* One of the conditions must hold. */
void hitting_either(struct hitting *hitting, size_t goal, const int *conditions, size_t n);
/* No set that contains these. */
void hitting_block(struct hitting *hitting, size_t goal, const uint32_t *things, size_t n);

/* Whether there is any set left for the goal. */
bool hitting_possible(struct hitting *hitting, size_t goal);

/*
 * The next set of at most that size (up to limits.size) for the goal, ascending: *ret_n things in ret_things, which
 * has room for all. As long as the size is the same, no set is given twice, nor one that contains it. False: there is
 * none.
 */
bool hitting_next(struct hitting *hitting, size_t goal, uint32_t size, uint32_t *ret_things, size_t *ret_n);

#endif
