/* SPDX-License-Identifier: GPL-3.0-or-later */
/* See formula.h. Each support is also kept as bits, to judge a plan without the solver. Fails only without memory. */
#include "ldfi/formula.h"

#include <errno.h>
#include <stdlib.h>

#include "lib/grow.h"

/* A support. */
struct row {
	size_t goal;
	unsigned version;  /* that was told */
	uint64_t *hitters; /* a bit a failure */
	struct failures context;
};

/* What takes away what a failure does, where that is in a context. */
struct taken {
	int condition; /* 0: it was not told of yet */
	uint64_t *takers;
};

struct formula {
	const struct knowledge *knowledge;
	struct hitting *hitting;
	size_t n_failures, words, n_goals;
	struct row *rows;
	size_t n_rows, cap_rows;
	struct taken *taken; /* n_failures of them */
};

static bool any(const uint64_t *bits, const struct failures *plan)
{
	for (size_t i = 0; i < plan->n; i++)
		if (bits[plan->rows[i] / 64] >> plan->rows[i] % 64 & 1)
			return true;
	return false;
}

static bool counts(const struct formula *f, const struct row *row, const struct failures *plan)
{
	for (size_t i = 0; i < row->context.n; i++)
		if (!any(f->taken[row->context.rows[i]].takers, plan))
			return false;
	return true;
}

/* knowledge.h says what that means. */
bool formula_breaks(const struct formula *f, size_t goal, const struct failures *plan)
{
	bool expected = false;

	for (size_t i = 0; i < f->n_rows; i++) {
		const struct row *row = &f->rows[i];

		if (row->goal != goal || !counts(f, row, plan))
			continue;
		if (!any(row->hitters, plan))
			return false;
		expected = true;
	}
	return expected;
}

static uint64_t *bits_make(const struct formula *f, const struct failures *failures)
{
	uint64_t *bits = calloc(f->words, sizeof(*bits));

	for (size_t i = 0; bits && i < failures->n; i++)
		bits[failures->rows[i] / 64] |= 1ull << failures->rows[i] % 64;
	return bits;
}

/* The conditions of a row's context; room for them at ret. */
static int context_tell(struct formula *f, const struct row *row, int *ret)
{
	struct failures takers = { .n = 0 };
	int err = 0;

	for (size_t i = 0; i < row->context.n && !err; i++) {
		struct taken *taken = &f->taken[row->context.rows[i]];

		if (!taken->condition) {
			err = knowledge_takers(f->knowledge, row->context.rows[i], &takers);
			taken->takers = err ? NULL : bits_make(f, &takers);
			if (!taken->takers)
				break;
			taken->condition = hitting_any(f->hitting, takers.rows, takers.n);
		}
		ret[i] = taken->condition;
	}
	failures_fini(&takers);
	return err || (row->context.n && !f->taken[row->context.rows[row->context.n - 1]].takers) ? -ENOMEM : 0;
}

static int row_add(struct formula *f, size_t goal)
{
	if (grow(&f->rows, &f->cap_rows, f->n_rows + 1, sizeof(*f->rows)))
		return -ENOMEM;
	f->rows[f->n_rows++] = (struct row){ .goal = goal };
	return 0;
}

static int row_tell(struct formula *f, struct row *row, size_t support)
{
	struct failures hitters = { .n = 0 };
	int err = knowledge_context(f->knowledge, row->goal, support, &row->context);
	int *conditions = err ? NULL : malloc((row->context.n + 1) * sizeof(*conditions));

	if (!err)
		err = conditions ? knowledge_hitters(f->knowledge, row->goal, support, &hitters) : -ENOMEM;
	free(row->hitters);
	row->hitters = err ? NULL : bits_make(f, &hitters);
	if (!err && !row->hitters)
		err = -ENOMEM;
	if (!err)
		err = context_tell(f, row, conditions);
	if (!err)
		hitting_support(f->hitting, row->goal, conditions, row->context.n, hitters.rows, hitters.n);
	row->version = knowledge_version(f->knowledge, row->goal, support);
	free(conditions);
	failures_fini(&hitters);
	return err;
}

/* What the solver has not been told of the supports. Rows of a goal are in the order of its supports. */
static int tell(struct formula *f)
{
	int err = 0;

	for (size_t goal = 0; goal < f->n_goals && !err; goal++) {
		size_t support = 0;

		for (size_t i = 0; i < f->n_rows && !err; i++) {
			if (f->rows[i].goal != goal)
				continue;
			if (f->rows[i].version != knowledge_version(f->knowledge, goal, support))
				err = row_tell(f, &f->rows[i], support);
			support++;
		}
		for (; support < knowledge_n_supports(f->knowledge, goal) && !err; support++) {
			err = row_add(f, goal);
			if (!err)
				err = row_tell(f, &f->rows[f->n_rows - 1], support);
		}
	}
	return err;
}

/* A goal that came about only among failures is expected only in a context of one of its supports. */
static int branch_tell(struct formula *f, size_t goal)
{
	int *conditions = malloc((f->n_failures + 1) * sizeof(*conditions));
	int *either = malloc((f->n_rows + 1) * sizeof(*either));
	size_t n = 0;
	int err = conditions && either ? 0 : -ENOMEM;

	for (size_t i = 0; i < f->n_rows && !err; i++) {
		if (f->rows[i].goal != goal)
			continue;
		err = context_tell(f, &f->rows[i], conditions);
		if (!err)
			either[n++] = hitting_all(f->hitting, conditions, f->rows[i].context.n);
	}
	if (!err)
		hitting_either(f->hitting, goal, either, n);
	free(conditions);
	free(either);
	return err;
}

int formula_new(const struct knowledge *knowledge, const struct budget *budget, uint32_t size, struct formula **ret_formula)
{
	struct hitting_limits limits = {
		.n = knowledge_n_failures(knowledge), .owned = budget->crashes, .free = budget->losses, .size = size
	};
	uint32_t *owners = malloc((limits.n + 1) * sizeof(*owners));
	struct formula *f = calloc(1, sizeof(*f));
	int err = owners && f ? 0 : -ENOMEM;

	if (!err) {
		f->knowledge = knowledge;
		f->n_failures = limits.n;
		f->words = limits.n / 64 + 1;
		f->n_goals = knowledge_n_goals(knowledge);
		f->taken = calloc(limits.n + 1, sizeof(*f->taken));
		for (uint32_t i = 0; i < limits.n; i++)
			owners[i] = knowledge_failure(knowledge, i)->crash ? knowledge_process(knowledge, i) : HITTING_NOBODY;
		limits.owners = owners;
		err = f->taken ? hitting_new(&limits, f->n_goals, &f->hitting) : -ENOMEM;
	}
	free(owners);
	if (!err)
		err = tell(f);
	for (size_t goal = 0; !err && goal < f->n_goals; goal++)
		if (knowledge_branches(f->knowledge, goal))
			err = branch_tell(f, goal);
	if (err)
		formula_free(f);
	else
		*ret_formula = f;
	return err;
}

void formula_free(struct formula *f)
{
	if (!f)
		return;
	hitting_free(f->hitting);
	for (size_t i = 0; i < f->n_rows; i++) {
		free(f->rows[i].hitters);
		failures_fini(&f->rows[i].context);
	}
	for (size_t i = 0; f->taken && i < f->n_failures; i++)
		free(f->taken[i].takers);
	free(f->taken);
	free(f->rows);
	free(f);
}

/* Supports of goals that branch off let more plans in: then what the solver was told is too much. */
static bool branches_grow(const struct formula *f)
{
	for (size_t goal = 0; goal < f->n_goals; goal++) {
		bool same = true;
		size_t told = 0;

		for (size_t i = 0; i < f->n_rows; i++)
			if (f->rows[i].goal == goal)
				same = same && f->rows[i].version == knowledge_version(f->knowledge, goal, told++);
		if (knowledge_branches(f->knowledge, goal) && (!same || told != knowledge_n_supports(f->knowledge, goal)))
			return true;
	}
	return false;
}

int formula_learn(struct formula *f)
{
	if (f->n_failures != knowledge_n_failures(f->knowledge) || f->n_goals != knowledge_n_goals(f->knowledge) ||
	    branches_grow(f))
		return 1;
	return tell(f);
}

size_t formula_n_failures(const struct formula *f)
{
	return f->n_failures;
}

size_t formula_n_goals(const struct formula *f)
{
	return f->n_goals;
}

struct hitting *formula_hitting(struct formula *f)
{
	return f->hitting;
}
