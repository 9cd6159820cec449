/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Lineage-driven fault injection (Alvaro, Rosen, Hellerstein, SIGMOD'15) as a state machine: it says which plan to
 * run next and takes what came of it, until there is a violation or no plan is left. Pure: no socket, file, clock or
 * process; the same settings and results, the same plans. docs/ldfi.md is for users.
 *
 *     loop_next()  GOES_ON: run loop_plan(), then loop_result(), and again. Else that is the end.
 *
 * The first plan is empty.
 */
#ifndef LDFI_LOOP_H
#define LDFI_LOOP_H

#include "ldfi/budget.h"
#include "ldfi/symmetry.h"
#include "ldfi/trial.h"

enum loop_strategy {
	LOOP_LINEAGE,
	LOOP_RANDOM, /* plans by chance, to compare with: it ends with a violation or when there were enough runs */
};

struct loop_settings {
	struct budget budget;
	const struct symmetry_role *roles; /* whose members can change places */
	size_t n_roles;
	enum loop_strategy strategy;
	uint64_t seed;
	uint64_t runs;	   /* most; 0: as many as it takes */
	unsigned attempts; /* how often a plan is run until it says something; 1 at least */
	bool all;	   /* does not end with the first violation */
	bool thorough;	   /* see knowledge.h */
};

enum loop_state {
	LOOP_GOES_ON,
	LOOP_NOT_GOOD,	/* without faults the outcome is not good already */
	LOOP_VIOLATED,	/* the plan is a violation within the budget; with `all`: one was found, and no plan is left */
	LOOP_CERTIFIED, /* no plan is left; those that stayed inconclusive are not covered */
	LOOP_RUNS_OUT,
};

struct loop;

/* settings are borrowed until loop_free(). -ENOMEM. */
int loop_new(const struct loop_settings *settings, struct loop **ret_loop);
void loop_free(struct loop *loop);

/* -ENOMEM. */
int loop_next(struct loop *loop, enum loop_state *ret_state);

/*
 * The lines of the plan, *ret_n of them and a NULL; they belong to the loop and live until the next call of
 * loop_next().
 */
const char *const *loop_plan(const struct loop *loop, size_t *ret_n);
unsigned loop_attempt(const struct loop *loop); /* of that plan, from 1 */

struct loop_learned {
	size_t goals, supports, mirrored, messages; /* that are new; mirrored: supports by symmetry alone */
	size_t absent;	/* goals that did not come about, though no check complained */
	bool outside;	/* violated, but by a loss later than the budget allows in this run: not a violation within the budget */
	const char *outside_label; /* that loss; as long as the loop */
	bool again;	/* inconclusive: the same plan comes again */
	bool given_up;	/* inconclusive, and it does not come again */
};

/* What came of the plan. -ENOMEM. */
int loop_result(struct loop *loop, const struct trial *trial, struct loop_learned *ret_learned);

/*
 * Of a violation that was found, a smaller plan that is one, too (lines as in loop_plan()): it is what is known then.
 * What it names that no run has shown is ignored.
 */
int loop_smaller(struct loop *loop, const char *const *lines, size_t n);

struct loop_counts {
	uint64_t runs, good, vacuous, violated, outside, inconclusive; /* runs */
	uint64_t plans;	     /* different ones that were run, with the empty one */
	uint64_t mirrored;   /* plans left out because one that is the same in other places was run */
	uint64_t supersets;  /* left out because a known violation is in them */
	size_t goals, supports, supports_mirrored, messages, losses, crashes; /* known; losses and crashes that plans can have */
	size_t roles_left_out; /* that have too many members */
};

void loop_counts(const struct loop *loop, struct loop_counts *ret_counts);

/*
 * Plans that stayed inconclusive, or were violated outside the budget: lines with "; " between them. i < the number
 * of them.
 */
size_t loop_n_open(const struct loop *loop);
const char *loop_open(const struct loop *loop, size_t i, bool *ret_outside);

#endif
