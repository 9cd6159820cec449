/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Histories and tallies of random runs against what is counted one by one. */
#include <check.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/history.h"
#include "collector/tally.h"
#include "tests/heap.h"

enum { RUNS = 60, CLASSES = 12, PLANS = 3 };

static unsigned draw(uint64_t *state, unsigned below)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(*state >> 33) % below;
}

/* Runs and classes as a store would have them. */
struct world {
	struct history_run runs[RUNS];
	struct store_class classes[CLASSES];
	size_t n_runs, n_classes;
};

static const char *const plans[PLANS] = { NULL, "cut client>s1:7000#1/1\n", "crash s1\nisolate c\n" };

/* Equal prints at one level are equal at those that follow, and up to the roles. */
static void world_make(struct world *w, uint64_t seed)
{
	static const char *const reasons[] = { "events were lost", "the run was interrupted", NULL };
	uint64_t state = seed, id = 0;

	memset(w, 0, sizeof(*w));
	w->n_classes = 1 + draw(&state, CLASSES);
	for (size_t i = 0; i < w->n_classes; i++) {
		struct store_class *class = &w->classes[i];

		class->id = 3 * i + 1;
		class->plan = (char *)plans[draw(&state, PLANS)];
		class->dry_run = class->plan && draw(&state, 3) == 0;
		store_plan_key(class->plan, class->dry_run, class->plan_key);
		for (enum print_level level = 0; level < PRINT_LEVEL_COUNT; level++) {
			struct print *own = &class->prints[STORE_OWN][level];

			*own = (struct print){ .high = level + 1, .low = 100 + i / (1u << level), .approximate = level == 0 && i % 5 == 4 };
			class->prints[STORE_SYMMETRIC][level] = *own;
			class->prints[STORE_SYMMETRIC][level].low = own->low / 3;
		}
	}
	w->n_runs = draw(&state, RUNS + 1);
	for (size_t i = 0; i < w->n_runs; i++) {
		struct history_run *run = &w->runs[i];
		unsigned what = draw(&state, 10);

		id += 1 + draw(&state, 2);
		*run = (struct history_run){ .id = id, .started_ns = 1000 * id, .outcome = 1 + draw(&state, OUTCOME_COUNT - 1) };
		if (what < 7)
			run->class_id = w->classes[draw(&state, (unsigned)w->n_classes)].id;
		else if (what == 7)
			run->class_id = 3 * CLASSES + 2; /* was removed while it was read */
		else
			run->reason = reasons[draw(&state, 3)];
		if (!run->class_id) {
			run->plan = plans[draw(&state, PLANS)];
			run->dry_run = run->plan && draw(&state, 2);
		}
	}
}

static const struct store_class *class_of(const struct world *w, const struct history_run *run)
{
	for (size_t i = 0; i < w->n_classes; i++)
		if (w->classes[i].id == run->class_id)
			return &w->classes[i];
	return NULL;
}

static bool same(const struct store_class *a, const struct store_class *b, enum print_level level, enum store_view view)
{
	return !memcmp(a->plan_key, b->plan_key, STORE_PLAN_KEY_SIZE) && !print_compare(&a->prints[view][level], &b->prints[view][level]);
}

/* How many different ones there are, each looked for among those before it. */
static size_t count_classes(const struct world *w, enum print_level level, enum store_view view)
{
	size_t n = 0, k;

	for (size_t i = 0; i < w->n_runs; i++) {
		const struct store_class *class = class_of(w, &w->runs[i]);

		for (k = 0; class && k < i; k++)
			if (class_of(w, &w->runs[k]) && same(class, class_of(w, &w->runs[k]), level, view))
				break;
		n += class && k == i;
	}
	return n;
}

/* One class of the history against all runs. */
static void check_class(const struct world *w, const struct history *h, const struct history_class *class)
{
	uint64_t counted = 0, count = 0, found_at = 0, outcomes[OUTCOME_COUNT] = { 0 };
	const struct store_class *first = NULL;

	for (size_t i = 0; i < w->n_runs; i++) {
		const struct store_class *of = class_of(w, &w->runs[i]);

		counted += of != NULL;
		if (w->runs[i].id == class->first_run) {
			first = of;
			found_at = counted;
			ck_assert_uint_eq(class->first_ns, w->runs[i].started_ns);
		}
	}
	ck_assert_ptr_nonnull(first);
	ck_assert_uint_eq(class->id, first->id);
	ck_assert_uint_eq(class->found_at, found_at);
	ck_assert(!print_compare(&class->print, &first->prints[h->view][h->level]));
	ck_assert_str_eq(h->plans[class->plan].lines, first->plan ? first->plan : "");
	ck_assert(h->plans[class->plan].dry_run == first->dry_run);
	for (size_t i = 0; i < w->n_runs; i++) {
		const struct store_class *of = class_of(w, &w->runs[i]);

		if (!of || !same(of, first, h->level, h->view))
			continue;
		ck_assert_uint_ge(w->runs[i].id, class->first_run);
		ck_assert_uint_le(w->runs[i].id, class->last_run);
		if (w->runs[i].id == class->last_run)
			ck_assert_uint_eq(class->last_ns, w->runs[i].started_ns);
		outcomes[w->runs[i].outcome]++;
		count++;
	}
	ck_assert_uint_eq(class->count, count);
	ck_assert(!memcmp(outcomes, class->outcomes, sizeof(outcomes)));
}

static void check_plans(const struct world *w, const struct history *h)
{
	double estimate = 0;

	for (size_t p = 0; p < h->n_plans; p++) {
		const struct history_plan *plan = &h->plans[p];
		uint64_t runs = 0, unclassed = 0, last = 0, classes = 0;

		for (size_t i = 0; i < w->n_runs; i++) {
			const struct history_run *run = &w->runs[i];
			const struct store_class *of = class_of(w, run);
			const char *lines = of ? of->plan : run->plan;

			if ((run->class_id && !of) || strcmp(lines ? lines : "", plan->lines) ||
			    (of ? of->dry_run : run->dry_run) != plan->dry_run)
				continue;
			runs += of != NULL;
			unclassed += !of;
			last = run->id;
		}
		ck_assert_uint_eq(plan->runs, runs);
		ck_assert_uint_eq(plan->unclassed, unclassed);
		ck_assert_uint_eq(plan->last_run, last);
		for (size_t i = 0; i < h->n_classes; i++)
			classes += h->classes[i].plan == p;
		ck_assert_uint_eq(plan->richness.classes, classes);
		estimate += plan->richness.estimate;
		ck_assert(p == 0 || h->plans[p - 1].first_run < plan->first_run);
	}
	ck_assert_double_eq_tol(h->richness.estimate, estimate, 1e-6);
}

static void check(const struct world *w, enum print_level level, enum store_view view)
{
	uint64_t runs = 0, unclassed = 0, reasons = 0, before = 0;
	struct history *h = NULL;

	ck_assert_int_eq(history_make(w->runs, w->n_runs, w->classes, w->n_classes, level, view, &h), 0);
	for (size_t i = 0; i < w->n_runs; i++) {
		runs += class_of(w, &w->runs[i]) != NULL;
		unclassed += !w->runs[i].class_id;
	}
	ck_assert_uint_eq(h->runs, runs);
	ck_assert_uint_eq(h->unclassed, unclassed);
	for (size_t i = 0; i < h->n_reasons; i++)
		reasons += h->reasons[i].runs;
	ck_assert_uint_eq(reasons, unclassed);
	ck_assert_uint_eq(h->n_classes, h->at[view][level]);
	for (enum store_view v = 0; v < STORE_VIEW_COUNT; v++)
		for (enum print_level l = 0; l < PRINT_LEVEL_COUNT; l++)
			ck_assert_uint_eq(h->at[v][l], count_classes(w, l, v));
	for (size_t i = 0; i < h->n_classes; i++) {
		ck_assert_uint_gt(h->classes[i].found_at, before);
		before = h->classes[i].found_at;
		check_class(w, h, &h->classes[i]);
	}
	check_plans(w, h);
	history_free(h);
}

START_TEST(as_counted_one_by_one)
{
	struct world w;

	for (uint64_t seed = 1; seed <= 400; seed++) {
		world_make(&w, seed);
		for (enum store_view view = 0; view < STORE_VIEW_COUNT; view++)
			for (enum print_level level = 0; level < PRINT_LEVEL_COUNT; level++)
				check(&w, level, view);
	}
}
END_TEST

/* Whatever a store holds as reasons, there are only so many, and none is left out. */
START_TEST(many_reasons)
{
	static char texts[200][32];
	static struct history_run runs[200];
	struct history *h = NULL;
	uint64_t sum = 0;

	for (size_t i = 0; i < 200; i++) {
		snprintf(texts[i], sizeof(texts[i]), "reason %zu", i / 2);
		runs[i] = (struct history_run){ .id = i + 1, .outcome = OUTCOME_GOOD, .reason = texts[i] };
	}
	ck_assert_int_eq(history_make(runs, 200, NULL, 0, PRINT_LEVEL_EXACT, STORE_OWN, &h), 0);
	ck_assert_uint_eq(h->n_reasons, 16);
	ck_assert_str_eq(h->reasons[0].text, "other reasons");
	for (size_t i = 0; i < h->n_reasons; i++)
		sum += h->reasons[i].runs;
	ck_assert_uint_eq(sum, 200);
	ck_assert(h->runs == 0 && h->n_classes == 0 && h->richness.estimate == 0);
	history_free(h);
}
END_TEST

static struct prints prints_of(uint64_t exact, bool counts)
{
	struct prints p = { .n_levels = PRINT_LEVEL_COUNT, .has_symmetric = true, .why_not = counts ? NULL : "events were lost" };

	for (enum print_level level = 0; level < PRINT_LEVEL_COUNT; level++) {
		p.own[level].low = 1 + exact / (1u << level);
		p.symmetric[level].low = 1 + exact / (3u << level);
	}
	return p;
}

/* What is new, and for how long nothing was, at each level. */
START_TEST(tallies)
{
	uint64_t seen[RUNS], state = 7;

	for (unsigned round = 0; round < 300; round++) {
		struct tally t = { .level = round % PRINT_LEVEL_COUNT, .symmetric = round / PRINT_LEVEL_COUNT % 2 };
		uint64_t n = 0, unclassed = 0, quiet = 0, deaf = 0, found = 0, exact = 0, symmetric = 0;
		unsigned width = (t.symmetric ? 3u : 1u) << t.level, known = draw(&state, 9);
		struct prints p = prints_of(known, true);

		ck_assert_int_eq(tally_know(&t, &(t.symmetric ? p.symmetric : p.own)[t.level]), 0);
		for (unsigned i = 0; i < RUNS; i++) {
			uint64_t what = draw(&state, 9);
			bool counts = draw(&state, 5) != 0, new, is_new = what / width != known / width, own = true, up = true;

			p = prints_of(what, counts);
			ck_assert_int_eq(tally_add(&t, draw(&state, 9) || counts ? &p : NULL, &new), 0);
			for (uint64_t k = 0; k < n && counts; k++) {
				is_new &= seen[k] / width != what / width;
				own &= seen[k] != what;
				up &= seen[k] / 3 != what / 3;
			}
			if (counts)
				seen[n++] = what;
			is_new &= counts;
			unclassed += !counts;
			deaf = counts ? 0 : deaf + 1;
			quiet = !counts ? quiet : is_new ? 0 : quiet + 1;
			found += is_new;
			exact += counts && own;
			symmetric += counts && up;
			ck_assert(new == is_new);
			ck_assert(t.runs == n && t.unclassed == unclassed && t.quiet == quiet && t.deaf == deaf && t.found == found);
			ck_assert(t.exact == exact && t.symmetric_exact == symmetric);
		}
		tally_fini(&t);
	}
}
END_TEST

#ifndef SANITIZED
/* Whichever allocation fails: said so, and nothing is kept. */
START_TEST(no_memory)
{
	struct world w;
	bool failed = true;
	long n, before;
	int err;

	world_make(&w, 3);
	ck_assert_uint_gt(w.n_runs, 10);
	for (n = 1; failed; n++) {
		struct history *h = NULL;

		before = heap.balance;
		heap_arm(n);
		err = history_make(w.runs, w.n_runs, w.classes, w.n_classes, PRINT_LEVEL_FOLDED, STORE_SYMMETRIC, &h);
		failed = heap_disarm();
		ck_assert(failed ? err == -ENOMEM && !h : !err);
		history_free(h);
		ck_assert_int_eq(heap.balance, before);
	}
	ck_assert_int_gt(n, 30);
	for (n = 1, failed = true; failed; n++) {
		struct tally t = { .level = PRINT_LEVEL_EXACT };
		struct prints p = prints_of(1, true);
		bool new;

		before = heap.balance;
		heap_arm(n);
		err = tally_add(&t, &p, &new);
		failed = heap_disarm();
		ck_assert(failed ? err == -ENOMEM : !err);
		tally_fini(&t);
		ck_assert_int_eq(heap.balance, before);
	}
	ck_assert_int_gt(n, 4);
}
END_TEST
#endif

int main(void)
{
	Suite *suite = suite_create("history");
	TCase *tc = tcase_create("history");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, as_counted_one_by_one);
	tcase_add_test(tc, many_reasons);
	tcase_add_test(tc, tallies);
#ifndef SANITIZED
	tcase_add_test(tc, no_memory);
#endif
	suite_add_tcase(suite, tc);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? 1 : 0;
}
