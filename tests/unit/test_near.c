/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What of history is most like a run: found in a store, and compared with what is true, |A and B| / |A or B| over the sets themselves, of
 * all classes before it.
 *
 * With the name of a store and of an experiment: measures the same over the runs that are kept there, `test_near runs.db etcd`.
 */
#include "collector/near.h"

#include <stdlib.h>

#include "collector/prints.h"
#include "graph/sketch.h"
#include "tests/unit/disguise.h"
#include "tests/unit/store_place.h"

static const struct random_options shapes[] = {
	{ .processes = 3, .steps = 60, .resets = true },
	{ .processes = 3, .steps = 200, .resets = true },
	{ .processes = 4, .steps = 250, .threads = true },
	{ .processes = 3, .steps = 300, .threads = true, .forks = true, .resets = true },
	{ .processes = 6, .steps = 500, .threads = true, .forks = true },
};
#define N_SHAPES (sizeof(shapes) / sizeof(*shapes))
#define FAMILIES 12 /* runs that differ by some changes */
#define CLASSES 700
#define FIRST 200 /* what came before is no history yet */

/* What is known of a run, and of its class. */
struct one {
	struct store_run row;
	struct sketch sketch;
	uint64_t *set;
	size_t n;
};

static bool look(const struct trace *trace, const char *experiment, struct one *ret)
{
	struct graph *g = NULL;
	struct error e;

	*ret = (struct one){ .row = { .experiment = (char *)experiment, .path = "x.yaml", .text = "", .version = "1", .has_prints = true } };
	if (graph_build(trace, GRAPH_ORDER_THREAD, &g, &e) < 0)
		return false;
	REQUIRE(!sketch_and_prints(g, experiment, ret->row.prints[STORE_OWN], &ret->sketch));
	memcpy(ret->row.prints[STORE_SYMMETRIC], ret->row.prints[STORE_OWN], sizeof(ret->row.prints[STORE_OWN]));
	REQUIRE(!sketch_set(g, &ret->set, &ret->n));
	graph_free(g);
	return true;
}

/* Keeps it as a run that went well. */
static void keep(struct store *store, struct one *one)
{
	struct store_seal how = { .sketch = &one->sketch };
	struct error e = { "" };

	REQUIRE(!store_owner_self(&one->row.owner, &e));
	ck_assert_msg(store_run_create(store, &one->row, &e) == 0, "%s", e.text);
	one->row.outcome = OUTCOME_GOOD;
	ck_assert_msg(store_run_seal(store, &one->row, NULL, 0, &how, &e) == 0, "%s", e.text);
}

static double jaccard(const struct one *a, const struct one *b)
{
	size_t i = 0, k = 0, both = 0;

	while (i < a->n && k < b->n) {
		both += a->set[i] == b->set[k];
		if (a->set[i] <= b->set[k])
			k += a->set[i] == b->set[k], i++;
		else
			k++;
	}
	return a->n + b->n ? (double)both / (a->n + b->n - both) : 1;
}

struct quality {
	unsigned asked, right;
	double lost, lost_most; /* of similarity: that of the nearest, less that of the one which was found */
	double nearest;		/* how near it was, in the mean */
};

/* What is found for a run, against all that were there before. */
static void judge(struct store *store, const struct one *all, size_t n, const struct one *one, struct quality *q)
{
	struct near_of of = { one->row.experiment, one->row.id, one->row.class_id, &one->sketch };
	double best = 0, found = 0;
	struct error e = { "" };
	struct near near;

	ck_assert_msg(near_find(store, &of, &near, &e) == 0, "%s", e.text);
	for (size_t i = 0; i < n; i++) {
		double similarity = jaccard(one, &all[i]);

		best = best < similarity ? similarity : best;
		if (all[i].row.class_id == near.class_id)
			found = similarity;
	}
	q->asked++;
	q->right += found >= best;
	q->nearest += best;
	q->lost += best - found;
	q->lost_most = q->lost_most < best - found ? best - found : q->lost_most;
}

static void quality_say(const struct quality *q)
{
	printf("# %u asked, similarity of the nearest %.3f in the mean; found %.1f %%, else one that has less in common: by %.4f in the mean of all, "
	       "at most %.3f\n", q->asked, q->nearest / q->asked, 100.0 * q->right / q->asked, q->lost / q->asked, q->lost_most);
}

/* Of executions that differ by a few changes, the nearest is mostly found, and what is found instead is hardly less near. */
START_TEST(finds_the_nearest)
{
	struct one *all = calloc(CLASSES, sizeof(*all)), one;
	struct quality q = { .asked = 0 };
	struct store *store = store_made(STORE_CREATE);
	uint64_t rng = 99;
	size_t n = 0;

	while (n < CLASSES) {
		unsigned family = random_below(&rng, FAMILIES), changes = random_below(&rng, 8);
		struct random_run run;
		bool whole;

		random_run_init(&run, family, &shapes[family % N_SHAPES]);
		for (unsigned k = 0; k < changes; k++)
			mutate(&run, &rng);
		whole = look(&run.trace, "random", &one);
		random_run_fini(&run);
		if (!whole)
			continue;
		keep(store, &one);
		if (one.row.new_class && n >= FIRST)
			judge(store, all, n, &one, &q);
		if (one.row.new_class)
			all[n++] = one;
		else
			free(one.set);
	}
	quality_say(&q);
	ck_assert_uint_gt(q.right, q.asked * 9 / 10);
	ck_assert_double_lt(q.lost / q.asked, 0.002);
	ck_assert_double_lt(q.lost_most, 0.1);
	for (size_t i = 0; i < n; i++)
		free(all[i].set);
	free(all);
	store_close(store);
}
END_TEST

/* A history of few runs: of[i] is what run i is like. */
struct history {
	struct store *store;
	struct one ones[8];
	size_t n;
};

static void history_open(struct history *h)
{
	*h = (struct history){ .store = store_made(STORE_CREATE) };
}

static void history_close(struct history *h)
{
	for (size_t i = 0; i < h->n; i++)
		free(h->ones[i].set);
	store_close(h->store);
}

/* A run of a family, with so many changes. Returns its number. */
static struct one *add(struct history *h, const char *experiment, unsigned family, unsigned changes)
{
	struct one *one = &h->ones[h->n++];
	struct random_run run;
	uint64_t rng = 1;

	random_run_init(&run, family, &shapes[2]);
	for (unsigned k = 0; k < changes; k++)
		mutate(&run, &rng);
	REQUIRE(look(&run.trace, experiment, one));
	random_run_fini(&run);
	keep(h->store, one);
	return one;
}

static struct near find(struct history *h, const struct one *one)
{
	struct near_of of = { one->row.experiment, one->row.id, one->row.class_id, &one->sketch };
	struct error e = { "" };
	struct near near;

	ck_assert_msg(near_find(h->store, &of, &near, &e) == 0, "%s", e.text);
	return near;
}

#define ck_near(near, of_one, is_later)                                                          \
	do {                                                                                     \
		ck_assert_uint_eq((near).run, (of_one)->row.id);                                 \
		ck_assert_uint_eq((near).class_id, (of_one)->row.class_id);                      \
		ck_assert_int_eq((near).later, is_later);                                        \
	} while (0)

/* The nearest is of the same experiment, was found before, and is not its own class; a repeat has the nearest of its class. */
START_TEST(looks_back)
{
	struct one *other, *first, *changed, *far, *repeat, *more;
	struct history h;
	struct near near;

	history_open(&h);
	other = add(&h, "other", 1, 0);
	first = add(&h, "random", 1, 0);
	changed = add(&h, "random", 1, 2);
	far = add(&h, "random", 2, 0);
	repeat = add(&h, "random", 1, 2);
	more = add(&h, "random", 1, 3);
	ck_assert(changed->row.new_class && !repeat->row.new_class && more->row.new_class);
	near = find(&h, changed);
	ck_near(near, first, false);
	ck_assert_double_gt(near.similarity, 0.5);
	near = find(&h, repeat);
	ck_near(near, first, false);
	ck_near(find(&h, more), changed, false);
	/* nothing before: what came behind */
	near = find(&h, first);
	ck_assert(near.later && near.class_id != first->row.class_id && near.class_id != other->row.class_id);
	ck_assert_uint_ne(near.run, far->row.id);
	history_close(&h);
}
END_TEST

/* A run without a class is compared with what had been found when it ran; of equally near ones it is the one found first. */
START_TEST(without_class)
{
	struct one *first, *second, lossy;
	struct history h;

	history_open(&h);
	first = add(&h, "random", 1, 0);
	second = add(&h, "random", 1, 2);
	lossy = *second;
	lossy.row.class_id = 0;
	lossy.row.id = second->row.id;
	ck_near(find(&h, &lossy), first, false);
	lossy.row.id = first->row.id;
	ck_near(find(&h, &lossy), second, true);
	lossy.row.id = second->row.id + 1;
	ck_near(find(&h, &lossy), second, false);
	history_close(&h);
}
END_TEST

/* A class of which nothing is left to look at is passed over. */
START_TEST(passes_over_what_is_gone)
{
	struct one *first, *second, *third, *fourth;
	struct error e = { "" };
	struct history h;

	history_open(&h);
	first = add(&h, "random", 1, 0);
	second = add(&h, "random", 1, 2);
	third = add(&h, "random", 1, 3);
	fourth = add(&h, "random", 1, 4);
	ck_near(find(&h, fourth), third, false);
	ck_assert_int_eq(store_run_drop(h.store, third->row.id, STORE_UNKNOWN, &e), 0);
	ck_near(find(&h, fourth), second, false);
	ck_assert_int_eq(store_run_remove(h.store, second->row.id, &e), 0);
	ck_near(find(&h, fourth), first, false);
	history_close(&h);
}
END_TEST

/* Much in common, and no key: only values of which no key is made are the same. Its print is another for each number. */
static struct one made(uint64_t number)
{
	struct one one = { .row = { .experiment = (char *)"made", .path = "x.yaml", .text = "", .version = "1", .has_prints = true } };

	one.row.prints[STORE_OWN][PRINT_LEVEL_EXACT] = (struct print){ .high = 1, .low = number };
	memcpy(one.row.prints[STORE_SYMMETRIC], one.row.prints[STORE_OWN], sizeof(one.row.prints[STORE_OWN]));
	for (size_t i = 0; i < SKETCH_VALUES; i++)
		one.sketch.values[i] = (uint8_t)(i < SKETCH_VALUES / 2 || number > 2 ? 31 * number + i * number : i);
	for (size_t i = 0; i < SKETCH_KEYS_STEP; i++)
		one.sketch.whole[i] = (uint32_t)(number * SKETCH_KEYS_STEP + i);
	sketch_keys(&one.sketch, "made");
	return one;
}

/* A short history is looked at as a whole: what is most like a run is found, whatever keys they have. */
START_TEST(whole_of_a_short_history)
{
	struct one first = made(1), second = made(2), other;
	struct store *store = store_made(STORE_CREATE);
	struct near_of of = { "made", 0, 0, &second.sketch };
	struct error e = { "" };
	struct near near;

	for (size_t i = 0; i < SKETCH_KEYS; i++)
		for (size_t k = 0; k < SKETCH_KEYS; k++)
			ck_assert_uint_ne(first.sketch.keys[i], second.sketch.keys[k]);
	keep(store, &first);
	for (uint64_t number = 3; number < 3 + 255; number++) {
		other = made(number);
		keep(store, &other);
	}
	keep(store, &second);
	of.run = second.row.id;
	of.class_id = second.row.class_id;
	ck_assert_msg(near_find(store, &of, &near, &e) == 0, "%s", e.text);
	ck_assert_uint_eq(near.class_id, first.row.class_id);
	ck_assert_double_gt(near.similarity, 0.4);
	ck_assert(!near.later);
	/* and no key leads to a class that is gone */
	ck_assert_int_eq(store_run_remove(store, first.row.id, &e), 0);
	ck_assert_msg(near_find(store, &of, &near, &e) == 0, "%s", e.text);
	ck_assert_uint_ne(near.class_id, first.row.class_id);
	store_close(store);
}
END_TEST

/* Nothing that is like it: the last whole run without faults, and that it is no more than that can be told; nothing at all: said so. */
START_TEST(nothing_like_it)
{
	struct near_of of;
	struct trace nothing;
	struct error e = { "" };
	struct one empty, *other;
	struct history h;
	struct near near;

	history_open(&h);
	trace_init(&nothing);
	REQUIRE(look(&nothing, "random", &empty));
	keep(h.store, &empty);
	of = (struct near_of){ "random", empty.row.id, empty.row.class_id, &empty.sketch };
	ck_assert_int_eq(near_find(h.store, &of, &near, &e), -ENOENT);
	ck_assert_ptr_nonnull(strstr(e.text, "experiment random has no other"));
	add(&h, "other", 1, 0);
	ck_assert_int_eq(near_find(h.store, &of, &near, &e), -ENOENT);
	other = add(&h, "random", 1, 0);
	near = find(&h, &empty);
	ck_assert_uint_eq(near.class_id, 0);
	ck_assert_uint_eq(near.run, other->row.id);
	ck_assert(near.later);
	near = find(&h, other);
	ck_assert_uint_eq(near.class_id, 0);
	ck_assert_uint_eq(near.run, empty.row.id);
	ck_assert(!near.later);
	free(empty.set);
	trace_fini(&nothing);
	history_close(&h);
}
END_TEST

/* An experiment that only ever did one thing: another run of it, and that it is no more than that can be told. */
START_TEST(nothing_else)
{
	struct one *first, *repeat;
	struct history h;
	struct near near;

	history_open(&h);
	first = add(&h, "random", 1, 0);
	repeat = add(&h, "random", 1, 0);
	near = find(&h, repeat);
	ck_assert(near.same && !near.class_id && !near.later);
	ck_assert_uint_eq(near.run, first->row.id);
	near = find(&h, first);
	ck_assert(near.same && near.later);
	ck_assert_uint_eq(near.run, repeat->row.id);
	history_close(&h);
}
END_TEST

static const char *measured, *measured_experiment;

/* Every class of a store is judged when its turn comes; those before it are its history. */
START_TEST(of_a_store)
{
	struct one *all = NULL, one;
	struct store *from = NULL, *to = store_made(STORE_CREATE);
	struct quality q = { .asked = 0 };
	struct error e = { "" };
	uint64_t last = 0;
	size_t n = 0;

	ck_assert_msg(store_open(measured, STORE_READ, &from, &e) == 0, "%s", e.text);
	ck_assert_int_eq(store_run_last(from, &last, &e), 0);
	for (uint64_t id = 1; id <= last; id++) {
		struct run *run = NULL;

		if (!run_load(from, id, &run, &e) && !strcmp(run->row->experiment, measured_experiment) &&
		    look(&run->trace, measured_experiment, &one)) {
			keep(to, &one);
			if (one.row.new_class && n)
				judge(to, all, n, &one, &q);
			all = need(realloc(all, (n + 1) * sizeof(*all)));
			if (one.row.new_class)
				all[n++] = one;
			else
				free(one.set);
		}
		run_free(run);
	}
	ck_assert_msg(q.asked, "no two runs of experiment %s did something else", measured_experiment);
	quality_say(&q);
	for (size_t i = 0; i < n; i++)
		free(all[i].set);
	free(all);
	store_close(from);
	store_close(to);
}
END_TEST

int main(int argc, char **argv)
{
	Suite *suite = suite_create("near");
	TCase *tc = tcase_create("near");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 300);
	tcase_add_checked_fixture(tc, place_setup, place_teardown);
	if (argc == 3) {
		measured = argv[1];
		measured_experiment = argv[2];
		tcase_add_test(tc, of_a_store);
	} else {
		tcase_add_test(tc, finds_the_nearest);
		tcase_add_test(tc, looks_back);
		tcase_add_test(tc, without_class);
		tcase_add_test(tc, passes_over_what_is_gone);
		tcase_add_test(tc, whole_of_a_short_history);
		tcase_add_test(tc, nothing_like_it);
		tcase_add_test(tc, nothing_else);
	}
	suite_add_tcase(suite, tc);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? 1 : 0;
}
