/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * See choose.h. A formula gives the plans of one size; those that need not be left out are candidates, until
 * something that is learned rules them out. New failures begin everything anew.
 */
#include "ldfi/choose.h"

#include <errno.h>
#include <stdlib.h>

#include "ldfi/formula.h"
#include "lib/grow.h"

#define CANDIDATES_MAX 1000u /* that are compared with each other */
#define SIZE_FIRST 4u	     /* the largest size that the first formula is made for; doubled when it is too small */

struct candidate {
	size_t goal;
	struct failures plan;
};

struct chooser {
	const struct knowledge *knowledge;
	const struct budget *budget;
	const struct explored *explored;
	size_t n_ways;
	uint64_t seed;
	struct chooser_counts counts;
	struct explored *left_out; /* what was counted there */

	struct formula *formula; /* NULL: to be made */
	uint32_t size, size_max; /* that is being looked at; that the formula can be asked for */
	struct candidate *candidates;
	size_t n_candidates, cap_candidates;
};

int chooser_new(const struct knowledge *knowledge, const struct budget *budget, size_t n_ways,
		const struct explored *explored, uint64_t seed, struct chooser **ret_chooser)
{
	struct chooser *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->knowledge = knowledge;
	c->budget = budget;
	c->explored = explored;
	c->n_ways = n_ways;
	c->seed = seed;
	c->size_max = SIZE_FIRST;
	if (explored_new(&c->left_out)) {
		free(c);
		return -ENOMEM;
	}
	*ret_chooser = c;
	return 0;
}

static void candidates_drop(struct chooser *c)
{
	for (size_t i = 0; i < c->n_candidates; i++)
		failures_fini(&c->candidates[i].plan);
	c->n_candidates = 0;
}

static void forget(struct chooser *c)
{
	formula_free(c->formula);
	c->formula = NULL;
	candidates_drop(c);
}

void chooser_free(struct chooser *c)
{
	if (!c)
		return;
	forget(c);
	explored_free(c->left_out);
	free(c->candidates);
	free(c);
}

const struct chooser_counts *chooser_counts(const struct chooser *c)
{
	return &c->counts;
}

static int begin(struct chooser *c)
{
	forget(c);
	c->size = 1;
	return formula_new(c->knowledge, c->budget, c->size_max, &c->formula);
}

int chooser_learned(struct chooser *c, bool failures)
{
	int err = c->formula && !failures ? formula_learn(c->formula) : 1;

	if (err > 0)
		forget(c);
	return err < 0 ? err : 0;
}

/* 1: it is to be run; 0: it is left out, and counted once; -ENOMEM. */
static int admit(struct chooser *c, const struct failures *plan)
{
	uint64_t *count = NULL;

	switch (explored_find(c->explored, c->knowledge, c->n_ways, plan)) {
	case EXPLORED_NOT:
		return 1;
	case EXPLORED_SAME:
		return 0;
	case EXPLORED_MIRRORED:
		count = &c->counts.mirrored;
		break;
	case EXPLORED_SUPERSET:
		count = &c->counts.supersets;
		break;
	}
	if (explored_has(c->left_out, plan))
		return 0;
	++*count;
	return explored_add(c->left_out, plan);
}

/* Plans of the size for one goal, as many as there is room for. */
static int candidates_find(struct chooser *c, size_t goal, uint32_t *things)
{
	struct failures plan = { .rows = things };
	int err = 0;

	while (!err && c->n_candidates < CANDIDATES_MAX &&
	       hitting_next(formula_hitting(c->formula), goal, c->size, things, &plan.n)) {
		struct candidate candidate = { .goal = goal };

		err = admit(c, &plan);
		if (!err) /* nor what contains it: the goal is broken already, and that was no violation */
			hitting_block(formula_hitting(c->formula), goal, things, plan.n);
		if (err <= 0)
			continue;
		err = grow(&c->candidates, &c->cap_candidates, c->n_candidates + 1, sizeof(candidate));
		for (size_t i = 0; i < plan.n && !err; i++)
			err = failures_add(&candidate.plan, things[i]);
		if (err)
			failures_fini(&candidate.plan);
		else
			c->candidates[c->n_candidates++] = candidate;
	}
	return err;
}

/* The candidates that what was learned or run since has not ruled out. */
static int candidates_sift(struct chooser *c)
{
	size_t n = 0;
	int err = 0;

	for (size_t i = 0; i < c->n_candidates; i++) {
		struct candidate *candidate = &c->candidates[i];
		bool breaking = err >= 0 && formula_breaks(c->formula, candidate->goal, &candidate->plan);
		int stays = breaking ? admit(c, &candidate->plan) : 0;

		err = stays < 0 ? stays : err;
		if (breaking && !stays)
			hitting_block(formula_hitting(c->formula), candidate->goal, candidate->plan.rows,
				      candidate->plan.n);
		if (stays > 0)
			c->candidates[n++] = *candidate;
		else
			failures_fini(&candidate->plan);
	}
	c->n_candidates = n;
	return err;
}

/* Whether plans of a larger size are left. The formula must be made for it. 1, 0, -ENOMEM. */
static int size_next(struct chooser *c)
{
	uint32_t size = c->size + 1;
	bool possible = false;
	int err = 0;

	for (size_t goal = 0; goal < formula_n_goals(c->formula) && !possible; goal++)
		possible = hitting_possible(formula_hitting(c->formula), goal);
	if (!possible)
		return 0;
	if (size > c->size_max) {
		c->size_max *= 2;
		err = begin(c); /* from the smallest again: what was explored is not a candidate again */
	} else {
		c->size = size;
	}
	return err ? err : 1;
}

/* Fills the list of candidates; 0: there are none. */
static int candidates_fill(struct chooser *c, uint32_t *things)
{
	int err = candidates_sift(c);

	err = err < 0 ? err : 1;
	while (err > 0) {
		for (size_t goal = 0; goal < formula_n_goals(c->formula) && err >= 0; goal++) {
			int failed = candidates_find(c, goal, things);

			err = failed ? failed : err;
		}
		if (err < 0 || c->n_candidates)
			return err;
		err = size_next(c);
	}
	return err;
}

struct rank {
	uint64_t time, lot;
	size_t goals, crashes;
};

/* FNV-1a over what the plan is called: so that it does not depend on the order in which failures were seen. */
static uint64_t lot(const struct chooser *c, const struct failures *plan)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < plan->n; i++) {
		uint64_t hash = 14695981039346656037ull ^ c->seed * 0x9e3779b97f4a7c15ull;

		for (const char *at = knowledge_label(c->knowledge, plan->rows[i]); *at; at++)
			hash = (hash ^ (unsigned char)*at) * 1099511628211ull;
		hash = (hash ^ knowledge_failure(c->knowledge, plan->rows[i])->crash) * 1099511628211ull;
		sum += hash ^ hash >> 29;
	}
	return sum;
}

static struct rank rank(const struct chooser *c, const struct failures *plan)
{
	struct rank r = { .time = UINT64_MAX, .lot = lot(c, plan) };

	for (size_t goal = 0; goal < formula_n_goals(c->formula); goal++)
		r.goals += formula_breaks(c->formula, goal, plan);
	for (size_t i = 0; i < plan->n; i++) {
		uint64_t time = knowledge_time(c->knowledge, plan->rows[i]);

		r.time = time < r.time ? time : r.time;
		r.crashes += knowledge_failure(c->knowledge, plan->rows[i])->crash;
	}
	return r;
}

static bool better(const struct rank *a, const struct rank *b)
{
	if (a->time != b->time)
		return a->time > b->time;
	if (a->goals != b->goals)
		return a->goals > b->goals;
	if (a->crashes != b->crashes)
		return a->crashes > b->crashes;
	return a->lot > b->lot;
}

int chooser_next(struct chooser *c, struct failures *ret)
{
	struct rank best = { .goals = 0 };
	size_t at = 0;
	uint32_t *things;
	int err;

	ret->n = 0;
	err = c->formula ? 0 : begin(c);
	if (err)
		return err;
	things = malloc((formula_n_failures(c->formula) + 1) * sizeof(*things));
	if (!things)
		return -ENOMEM;
	err = candidates_fill(c, things);
	free(things);
	if (err <= 0)
		return err;
	for (size_t i = 0; i < c->n_candidates; i++) {
		struct rank r = rank(c, &c->candidates[i].plan);

		if (i && !better(&r, &best))
			continue;
		best = r;
		at = i;
	}
	for (size_t i = 0; i < c->candidates[at].plan.n; i++)
		if (failures_add(ret, c->candidates[at].plan.rows[i]))
			return -ENOMEM;
	return 1;
}
