/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * See hitting.h. Variables: one a thing, one a goal (its supports and blocked sets count only where it is assumed),
 * and those of three sequential counters (Sinz, CP 2005): counter[i][j] is true if there are more than j among the
 * first i + 1 things.
 */
#include "ldfi/hitting.h"

#include <ccadical.h>
#include <errno.h>
#include <stdlib.h>

enum { SATISFIABLE = 10 }; /* as IPASIR numbers it */

struct hitting {
	CCaDiCaL *solver;
	size_t n, n_goals;
	int *more; /* j < width: there are more than j things */
	uint32_t width;
	uint32_t size; /* that was asked for last */
	int given;     /* what was given out at that size is not given again where this is assumed */
	int next;      /* variable */
};

static int thing_var(uint32_t thing)
{
	return (int)thing + 1;
}

static int goal_var(const struct hitting *h, size_t goal)
{
	return (int)(h->n + goal) + 1;
}

static void clause2(struct hitting *h, int a, int b)
{
	ccadical_add(h->solver, a);
	ccadical_add(h->solver, b);
	ccadical_add(h->solver, 0);
}

static void clause3(struct hitting *h, int a, int b, int c)
{
	ccadical_add(h->solver, a);
	clause2(h, b, c);
}

/*
 * Counts those variables up to width; ret[j], j < width: there are more than j of them, at least where that is so.
 * row: scratch, width.
 */
static void counter_make(struct hitting *h, const int *vars, size_t n, uint32_t width, int *row, int *ret)
{
	for (uint32_t j = 0; j < width; j++)
		ret[j] = 0; /* false */
	for (size_t i = 0; i < n; i++) {
		for (uint32_t j = 0; j < width && j <= i; j++) {
			row[j] = h->next++;
			if (ret[j])
				clause2(h, -ret[j], row[j]);
			if (!j)
				clause2(h, -vars[i], row[j]);
			else if (ret[j - 1])
				clause3(h, -vars[i], -ret[j - 1], row[j]);
		}
		for (uint32_t j = 0; j < width && j <= i; j++)
			ret[j] = row[j];
	}
}

/* At most `most` of those with, or without, an owner. */
static int limit(struct hitting *h, const struct hitting_limits *limits, bool owned, uint32_t most)
{
	int *vars = malloc((h->n + 1) * sizeof(*vars)), *row = NULL, *ret = NULL;
	size_t n = 0;

	for (size_t i = 0; vars && i < h->n; i++)
		if ((limits->owners[i] != HITTING_NOBODY) == owned)
			vars[n++] = thing_var((uint32_t)i);
	if (vars && n > most) {
		row = malloc((most + 1) * sizeof(*row));
		ret = malloc((most + 1) * sizeof(*ret));
	}
	if (row && ret) {
		counter_make(h, vars, n, most + 1, row, ret);
		ccadical_add(h->solver, -ret[most]);
		ccadical_add(h->solver, 0);
	}
	if (!vars || (n > most && (!row || !ret)))
		n = SIZE_MAX;
	free(vars);
	free(row);
	free(ret);
	return n == SIZE_MAX ? -ENOMEM : 0;
}

/* A process crashes once. */
static void one_an_owner(struct hitting *h, const struct hitting_limits *limits)
{
	for (uint32_t i = 0; i < h->n; i++)
		for (uint32_t k = i + 1; k < h->n && limits->owners[i] != HITTING_NOBODY; k++)
			if (limits->owners[i] == limits->owners[k])
				clause2(h, -thing_var(i), -thing_var(k));
}

static int count_all(struct hitting *h)
{
	int *vars = malloc((h->n + 1) * sizeof(*vars)), *row = malloc((h->width + 1) * sizeof(*row));
	int err = vars && row ? 0 : -ENOMEM;

	for (size_t i = 0; i < h->n && !err; i++)
		vars[i] = thing_var((uint32_t)i);
	if (!err)
		counter_make(h, vars, h->n, h->width, row, h->more);
	free(vars);
	free(row);
	return err;
}

int hitting_new(const struct hitting_limits *limits, size_t n_goals, struct hitting **ret_hitting)
{
	struct hitting *h = calloc(1, sizeof(*h));
	int err;

	if (!h)
		return -ENOMEM;
	h->n = limits->n;
	h->n_goals = n_goals;
	h->width = limits->size + 1;
	h->next = (int)(h->n + n_goals) + 1;
	h->more = calloc(h->width, sizeof(*h->more));
	h->solver = h->more ? ccadical_init() : NULL;
	err = h->solver ? count_all(h) : -ENOMEM;
	if (!err)
		err = limit(h, limits, true, limits->owned);
	if (!err)
		err = limit(h, limits, false, limits->free);
	if (err) {
		hitting_free(h);
		return err;
	}
	if (limits->owned > 1)
		one_an_owner(h, limits);
	*ret_hitting = h;
	return 0;
}

void hitting_free(struct hitting *h)
{
	if (!h)
		return;
	if (h->solver)
		ccadical_release(h->solver);
	free(h->more);
	free(h);
}

int hitting_any(struct hitting *h, const uint32_t *things, size_t n)
{
	int any = h->next++;

	for (size_t i = 0; i < n; i++)
		clause2(h, -thing_var(things[i]), any);
	ccadical_add(h->solver, -any);
	for (size_t i = 0; i < n; i++)
		ccadical_add(h->solver, thing_var(things[i]));
	ccadical_add(h->solver, 0);
	return any;
}

int hitting_all(struct hitting *h, const int *conditions, size_t n)
{
	int all = h->next++;

	for (size_t i = 0; i < n; i++)
		clause2(h, -all, conditions[i]);
	return all;
}

void hitting_support(struct hitting *h, size_t goal, const int *conditions, size_t n_conditions, const uint32_t *things,
		     size_t n)
{
	ccadical_add(h->solver, -goal_var(h, goal));
	for (size_t i = 0; i < n_conditions; i++)
		ccadical_add(h->solver, -conditions[i]);
	for (size_t i = 0; i < n; i++)
		ccadical_add(h->solver, thing_var(things[i]));
	ccadical_add(h->solver, 0);
}

void hitting_either(struct hitting *h, size_t goal, const int *conditions, size_t n)
{
	ccadical_add(h->solver, -goal_var(h, goal));
	for (size_t i = 0; i < n; i++)
		ccadical_add(h->solver, conditions[i]);
	ccadical_add(h->solver, 0);
}

void hitting_block(struct hitting *h, size_t goal, const uint32_t *things, size_t n)
{
	ccadical_add(h->solver, -goal_var(h, goal));
	for (size_t i = 0; i < n; i++)
		ccadical_add(h->solver, -thing_var(things[i]));
	ccadical_add(h->solver, 0);
}

bool hitting_possible(struct hitting *h, size_t goal)
{
	ccadical_assume(h->solver, goal_var(h, goal));
	return ccadical_solve(h->solver) == SATISFIABLE;
}

bool hitting_next(struct hitting *h, size_t goal, uint32_t size, uint32_t *ret_things, size_t *ret_n)
{
	*ret_n = 0;
	if (size != h->size || !h->given)
		h->given = h->next++;
	h->size = size;
	ccadical_assume(h->solver, goal_var(h, goal));
	ccadical_assume(h->solver, h->given);
	if (size < h->n)
		ccadical_assume(h->solver, -h->more[size]);
	if (ccadical_solve(h->solver) != SATISFIABLE)
		return false;
	for (uint32_t i = 0; i < h->n; i++)
		if (ccadical_val(h->solver, thing_var(i)) > 0)
			ret_things[(*ret_n)++] = i;
	ccadical_add(h->solver, -h->given);
	hitting_block(h, goal, ret_things, *ret_n);
	return true;
}
