/* SPDX-License-Identifier: GPL-3.0-or-later */
/* See near.h. Fails as the store does. */
#include "collector/near.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "collector/run.h"
#include "graph/sketch.h"

/*
 * Keys are asked step by step, those first that only the very similar share: with so many candidates it is enough; of each
 * key it is the newest. tests/unit/test_near.c measures how often that finds the nearest.
 *
 * All the newest of the experiment are looked at before that: what has much in common need not have a key in common, and a short
 * history has few that could stand in for it.
 */
#define NEWEST 256
#define ENOUGH 96
#define OF_KEY 48
#define CANDIDATES_MAX (NEWEST + ENOUGH + SKETCH_KEYS_STEP * OF_KEY)

struct candidate {
	uint64_t class_id;
	double similarity;
};

struct search {
	struct store *store;
	const struct near_of *of;
	struct candidate candidates[CANDIDATES_MAX];
	size_t n;
	struct near found;
};

static bool is_known(const struct search *search, uint64_t class_id)
{
	for (size_t i = 0; i < search->n; i++)
		if (search->candidates[i].class_id == class_id)
			return true;
	return false;
}

static int on_candidate(uint64_t class_id, const struct sketch *sketch, void *arg, struct error *e)
{
	struct search *search = arg;

	if (class_id == search->of->class_id || search->n == CANDIDATES_MAX || is_known(search, class_id))
		return 0;
	search->candidates[search->n++] = (struct candidate){ class_id, sketch_similarity(sketch, search->of->sketch) };
	return 0;
}

static int compare(const void *a, const void *b)
{
	const struct candidate *p = a, *q = b;

	if (p->similarity != q->similarity)
		return p->similarity > q->similarity ? -1 : 1;
	return p->class_id < q->class_id ? -1 : p->class_id > q->class_id;
}

/* The best ones first. below: only classes with a lower number; 0: any. */
static int collect(struct search *search, uint64_t below, struct error *e)
{
	uint64_t key = store_experiment_key(search->of->experiment);
	struct store_near newest = { .keys = &key, .n = 1, .below = below, .of_key = NEWEST };
	size_t before;
	int err;

	search->n = 0;
	err = store_class_near(search->store, &newest, on_candidate, search, e);
	before = search->n;
	for (size_t i = 0; i < SKETCH_KEYS && search->n < before + ENOUGH && !err; i += SKETCH_KEYS_STEP) {
		struct store_near near = {
			.keys = search->of->sketch->keys + i, .n = SKETCH_KEYS_STEP, .below = below, .of_key = OF_KEY,
		};

		err = store_class_near(search->store, &near, on_candidate, search, e);
	}
	qsort(search->candidates, search->n, sizeof(*search->candidates), compare);
	return err;
}

/* The best one that can be looked at. before: only if it was founded before the run. 1, 0: there is none, or a negative errno. */
static int choose(struct search *search, bool before, struct error *e)
{
	int found = 0;

	for (size_t i = 0; i < search->n && !found && search->candidates[i].similarity >= NEAR_LEAST; i++) {
		const struct candidate *candidate = &search->candidates[i];
		struct store_class *class = NULL;
		int err = store_class_get(search->store, candidate->class_id, &class, e);

		if (err == -ENOENT) /* removed meanwhile */
			continue;
		if (err < 0)
			return err;
		found = class->kept_run && (!before || class->first_run < search->of->run);
		if (found)
			search->found = (struct near){
				.run = class->kept_run,
				.class_id = candidate->class_id,
				.similarity = candidate->similarity,
				.later = class->first_run > search->of->run,
			};
		store_class_free(class);
	}
	return found;
}

static int find_similar(struct search *search, struct error *e)
{
	uint64_t below = search->of->class_id;
	int found = collect(search, below, e);

	if (!found)
		found = choose(search, !below, e);
	if (found)
		return found;
	if (below)
		found = collect(search, 0, e);
	return found ? found : choose(search, false, e);
}

/* A run that others can be compared with: it ended, whole, nothing was done to it, and its events are here. */
static int on_run(const struct store_run *row, void *arg, struct error *e)
{
	struct search *search = arg;
	bool whole = !row->running && !row->incomplete && !row->lost && !row->holes && !row->faults && row->kept;
	bool same = row->class_id && row->class_id == search->of->class_id;

	if (!whole || row->outcome == OUTCOME_INTERRUPTED || row->outcome == OUTCOME_ERROR || row->id == search->of->run ||
	    same != search->found.same)
		return 0;
	search->found.run = row->id;
	search->found.later = row->id > search->of->run;
	return 1;
}

/* Of the same experiment, the last one before the run, else any. same: of its class. 1, 0: there is none, or a negative errno. */
static int find_plain(struct search *search, bool same, struct error *e)
{
	struct store_range range = { .experiment = search->of->experiment, .newest = true, .after = search->of->run };
	int found;

	search->found = (struct near){ .same = same };
	found = run_each(search->store, &range, on_run, search, e);
	range.after = 0;
	return found ? found : run_each(search->store, &range, on_run, search, e);
}

int near_find(struct store *store, const struct near_of *of, struct near *ret_near, struct error *e)
{
	struct search search = { .store = store, .of = of };
	int found = find_similar(&search, e);

	if (!found)
		found = find_plain(&search, false, e);
	if (!found && of->class_id)
		found = find_plain(&search, true, e);
	if (!found)
		return error_set(e, -ENOENT,
				 "experiment %s has no other whole run without faults that run %" PRIu64 " could be compared with, nor one "
				 "that is like it: name one (`bop runs` lists them)",
				 of->experiment, of->run);
	if (found > 0)
		*ret_near = search.found;
	return found < 0 ? found : 0;
}
