/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Histories of experiments, and what was tried. See query.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "collector/query_inside.h"

int query_count_add(Bop__Api__Count ***rows, size_t *n, const char *name, uint64_t count)
{
	Bop__Api__Count *row = QUERY_MAKE(count);
	int err = query_row_add(rows, n, row);

	if (err)
		return err;
	row->count = count;
	return query_text(&row->name, name);
}

int query_outcomes_add(Bop__Api__Count ***rows, size_t *n, const uint64_t outcomes[OUTCOME_COUNT])
{
	int err = 0;

	for (enum outcome outcome = OUTCOME_NONE; outcome < OUTCOME_COUNT && !err; outcome++)
		if (outcomes[outcome])
			err = query_count_add(rows, n, outcome_name(outcome), outcomes[outcome]);
	return err;
}

Bop__Api__Estimate *query_estimate(const struct richness *richness)
{
	Bop__Api__Estimate *estimate = QUERY_MAKE(estimate);

	if (!estimate)
		return NULL;
	estimate->classes = richness->estimate;
	estimate->low = richness->low;
	estimate->high = richness->high;
	estimate->next_new = richness->next_new;
	estimate->once = richness->once;
	estimate->twice = richness->twice;
	return estimate;
}

Bop__Api__Class *query_class(const struct history_class *class, const struct history_plan *plan)
{
	Bop__Api__Class *row = QUERY_MAKE(class);
	int err = row ? 0 : -ENOMEM;

	if (!err && !(row->print = QUERY_MAKE(print)))
		err = -ENOMEM;
	if (!err) {
		row->id = class->id;
		row->dry_run = plan && plan->dry_run;
		row->print->high = class->print.high;
		row->print->low = class->print.low;
		row->print->approximate = class->print.approximate;
		row->exact = class->exact;
		row->first_run = class->first_run;
		row->kept_run = class->kept_run;
		row->last_run = class->last_run;
		row->first_ns = class->first_ns;
		row->last_ns = class->last_ns;
		row->count = class->count;
		row->found_at = class->found_at;
		err = query_outcomes_add(&row->outcomes, &row->n_outcomes, class->outcomes);
	}
	if (!err && plan)
		err = query_lines_add(&row->plan, &row->n_plan, plan->lines);
	if (!err)
		return row;
	if (row)
		bop__api__class__free_unpacked(row, NULL);
	return NULL;
}

static int levels_add(const struct history *h, Bop__Api__History *answer)
{
	int err = 0;

	for (enum print_level level = 0; level < PRINT_LEVEL_COUNT && !err; level++)
		for (enum store_view view = 0; view < STORE_VIEW_COUNT && !err; view++) {
			Bop__Api__LevelCount *row = QUERY_MAKE(level_count);

			err = query_row_add(&answer->levels, &answer->n_levels, row);
			if (err)
				break;
			row->symmetric = view == STORE_SYMMETRIC;
			row->classes = h->at[view][level];
			err = query_text(&row->level, print_level_name(level));
		}
	return err;
}

/* Whether one more row with these lines fits into a page. */
static bool has_room(size_t n, uint32_t limit, size_t *bytes, const char *lines)
{
	size_t most = limit && limit < QUERY_CLASSES_MAX ? limit : QUERY_CLASSES_MAX, size = strlen(lines);

	if (n >= most || (n && *bytes + size > QUERY_CLASSES_BYTES_MAX))
		return false;
	*bytes += size;
	return true;
}

static int rows_add(const struct history *h, const Bop__Api__GetHistory *ask, Bop__Api__History *answer)
{
	size_t bytes = 0;
	int err = 0;

	for (size_t i = ask->after < h->n_classes ? ask->after : h->n_classes; i < h->n_classes && !err; i++) {
		const struct history_plan *plan = &h->plans[h->classes[i].plan];

		answer->more = !has_room(answer->n_rows, ask->limit, &bytes, plan->lines);
		if (answer->more)
			break;
		err = query_row_add(&answer->rows, &answer->n_rows, query_class(&h->classes[i], plan));
	}
	return err;
}

int query_history_fill(const struct history *h, const Bop__Api__GetHistory *ask, Bop__Api__History *answer)
{
	int err = 0;

	answer->runs = h->runs;
	answer->unclassed = h->unclassed;
	answer->classes = h->n_classes;
	answer->plans = h->n_plans;
	for (size_t i = 0; i < h->n_reasons && !err; i++)
		err = query_count_add(&answer->reasons, &answer->n_reasons, h->reasons[i].text, h->reasons[i].runs);
	if (!err && h->runs && !(answer->estimate = query_estimate(&h->richness)))
		err = -ENOMEM;
	if (!err)
		err = levels_add(h, answer);
	if (!err)
		err = rows_add(h, ask, answer);
	return err;
}

static Bop__Api__Hypothesis *hypothesis_make(const struct history_plan *plan)
{
	Bop__Api__Hypothesis *row = QUERY_MAKE(hypothesis);

	if (!row)
		return NULL;
	row->dry_run = plan->dry_run;
	row->runs = plan->runs + plan->unclassed;
	row->unclassed = plan->unclassed;
	row->classes = plan->richness.classes;
	row->first_run = plan->first_run;
	row->last_run = plan->last_run;
	if (!query_lines_add(&row->plan, &row->n_plan, plan->lines) &&
	    !query_outcomes_add(&row->outcomes, &row->n_outcomes, plan->outcomes))
		return row;
	bop__api__hypothesis__free_unpacked(row, NULL);
	return NULL;
}

int query_hypotheses_fill(const struct history *h, const Bop__Api__ListHypotheses *ask, Bop__Api__Hypotheses *answer)
{
	size_t bytes = 0;
	int err = 0;

	for (size_t i = ask->after < h->n_plans ? ask->after : h->n_plans; i < h->n_plans && !err; i++) {
		answer->more = !has_room(answer->n_rows, ask->limit, &bytes, h->plans[i].lines);
		if (answer->more)
			break;
		err = query_row_add(&answer->rows, &answer->n_rows, hypothesis_make(&h->plans[i]));
	}
	return err;
}

int query_get_history(struct store *store, const Bop__Api__GetHistory *ask, Bop__Api__History *answer, struct error *e)
{
	struct history *h = NULL;
	enum print_level level;
	int err = history_level_parse(ask->level, &level, e);

	if (!err)
		err = history_load(store, ask->experiment, level, ask->symmetric ? STORE_SYMMETRIC : STORE_OWN, &h, e);
	if (!err)
		err = query_history_fill(h, ask, answer);
	history_free(h);
	return err;
}

int query_list_hypotheses(struct store *store, const Bop__Api__ListHypotheses *ask, Bop__Api__Hypotheses *answer, struct error *e)
{
	struct history *h = NULL;
	int err = history_load(store, ask->experiment, PRINT_LEVEL_EXACT, STORE_OWN, &h, e);

	if (!err)
		err = query_hypotheses_fill(h, ask, answer);
	history_free(h);
	return err;
}
