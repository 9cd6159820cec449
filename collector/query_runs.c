/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Lists of runs, and their removal. See query.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "collector/query_inside.h"

/* What a row has of a level. */
struct row_level {
	Bop__Api__Print **own, **symmetric;
};

static struct row_level row_level(Bop__Api__RunRow *row, enum print_level level)
{
	switch (level) {
	case PRINT_LEVEL_FOLDED:
		return (struct row_level){ &row->folded, &row->folded_symmetric };
	case PRINT_LEVEL_SHAPE:
		return (struct row_level){ &row->shape, &row->shape_symmetric };
	case PRINT_LEVEL_EXACT:
	case PRINT_LEVEL_COUNT:
		break;
	}
	return (struct row_level){ &row->exact, &row->symmetric };
}

static int print_add(Bop__Api__Print **to, const struct print *from)
{
	*to = QUERY_MAKE(print);
	if (!*to)
		return -ENOMEM;
	(*to)->high = from->high;
	(*to)->low = from->low;
	(*to)->approximate = from->approximate;
	return 0;
}

static int prints_add(Bop__Api__RunRow *row, const struct prints *prints)
{
	int err = 0;

	for (enum print_level level = 0; level < prints->n_levels && !err; level++) {
		struct row_level to = row_level(row, level);

		err = print_add(to.own, &prints->own[level]);
		if (!err && prints->has_symmetric)
			err = print_add(to.symmetric, &prints->symmetric[level]);
	}
	return err;
}

Bop__Api__RunRow *query_row(const struct store_run *from, const struct prints *prints)
{
	Bop__Api__RunRow *row = QUERY_MAKE(run_row);

	if (!row)
		return NULL;
	row->run = from->id;
	row->incomplete = from->incomplete;
	row->running = from->running;
	row->started_ns = from->started_ns;
	row->faults = from->faults;
	row->duration_ns = from->running ? STORE_UNKNOWN : from->duration_ns;
	row->events = from->running ? STORE_UNKNOWN : from->events;
	row->messages = from->running ? STORE_UNKNOWN : from->messages;
	row->lost = from->running ? STORE_UNKNOWN : from->lost;
	row->holes = from->running ? STORE_UNKNOWN : from->holes;
	row->class_id = from->class_id;
	row->kept = from->kept;
	row->new_class = from->new_class;
	if (!query_text(&row->experiment, from->experiment) &&
	    !query_text(&row->outcome, outcome_name(from->outcome)) && !query_text(&row->reason, from->reason) &&
	    !query_text(&row->unclassed, from->unclassed) &&
	    !query_text(&row->print_why_not, prints ? prints->why_not : NULL)) {
		if (!prints || !prints_add(row, prints))
			return row;
	}
	bop__api__run_row__free_unpacked(row, NULL);
	return NULL;
}

static struct print print_back(const Bop__Api__Print *from)
{
	return (struct print){ .high = from->high, .low = from->low, .approximate = from->approximate };
}

/* Of the levels that it knows: those up to the first that it does not. */
static void prints_back(const Bop__Api__RunRow *from, struct prints *ret)
{
	*ret = (struct prints){ .has_symmetric = from->symmetric,
				.why_not = *from->print_why_not ? from->print_why_not : NULL };
	for (enum print_level level = 0; level < PRINT_LEVEL_COUNT; level++) {
		struct row_level row = row_level((Bop__Api__RunRow *)from, level); /* is only read */

		if (!*row.own || (from->symmetric && !*row.symmetric))
			return;
		ret->own[level] = print_back(*row.own);
		if (from->symmetric)
			ret->symmetric[level] = print_back(*row.symmetric);
		ret->n_levels++;
	}
}

void query_row_back(const Bop__Api__RunRow *from, struct store_run *ret_row, struct prints *ret_prints,
		    bool *ret_has_prints)
{
	*ret_row = (struct store_run){
		.id = from->run, .experiment = from->experiment, .outcome = outcome_by_name(from->outcome),
		.reason = *from->reason ? from->reason : NULL, .incomplete = from->incomplete, .running = from->running,
		.started_ns = from->started_ns, .duration_ns = from->duration_ns, .events = from->events,
		.messages = from->messages, .lost = from->lost, .holes = from->holes, .faults = from->faults,
		.class_id = from->class_id, .kept = from->kept, .new_class = from->new_class,
		.unclassed = *from->unclassed ? from->unclassed : NULL,
	};
	*ret_has_prints = from->exact;
	if (from->exact)
		prints_back(from, ret_prints);
}

struct page {
	struct store *store;
	Bop__Api__Runs *answer;
	size_t limit;
	bool prints;
};

/* Those of its class; one without is read, if it can be. */
static bool row_prints(struct store *store, const struct store_run *row, struct prints *ret)
{
	struct store_class *class = NULL;

	if (!row->class_id || store_class_get(store, row->class_id, &class, NULL))
		return !prints_load(store, row->id, ret, NULL);
	*ret = (struct prints){ .n_levels = PRINT_LEVEL_COUNT, .has_symmetric = true };
	memcpy(ret->own, class->prints[STORE_OWN], sizeof(ret->own));
	memcpy(ret->symmetric, class->prints[STORE_SYMMETRIC], sizeof(ret->symmetric));
	store_class_free(class);
	return true;
}

static int on_row(const struct store_run *row, void *arg, struct error *e)
{
	struct page *page = arg;
	struct prints prints;
	bool has_prints;

	if (page->answer->n_rows == page->limit) {
		page->answer->more = true;
		return 1;
	}
	has_prints = page->prints && row_prints(page->store, row, &prints);
	return query_row_add(&page->answer->rows, &page->answer->n_rows, query_row(row, has_prints ? &prints : NULL));
}

int query_list_runs(struct store *store, const Bop__Api__ListRuns *ask, Bop__Api__Runs *answer, struct error *e)
{
	struct page page = { store, answer, ask->prints ? QUERY_PRINTS_MAX : QUERY_RUNS_MAX, ask->prints };
	struct store_range range = { *ask->experiment ? ask->experiment : NULL, ask->after, ask->newest };
	int err;

	if (ask->limit && ask->limit < page.limit)
		page.limit = ask->limit;
	err = ask->after > INT64_MAX ? 0 : run_each(store, &range, on_row, &page, e);
	return err < 0 ? err : 0;
}

int query_remove_run(struct store *store, const Bop__Api__RemoveRun *ask, Bop__Api__Removed *answer, struct error *e)
{
	uint64_t id;

	if (!ask->run)
		return error_set(e, -EINVAL, "say which run is to be removed: 0 is none");
	return query_run_number(store, ask->run, &id, e) ? -ENOENT : store_run_remove(store, id, e);
}
