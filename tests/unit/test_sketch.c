/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Sketches over random executions: what they see, what they must not see, and how well they tell what two runs have in common. */
#include "graph/sketch.h"

#include <stdlib.h>

#include "graph/print.h"
#include "tests/heap.h"
#include "tests/unit/disguise.h"

static const struct random_options shapes[] = {
	{ .processes = 2, .steps = 7 },
	{ .processes = 3, .steps = 14, .resets = true },
	{ .processes = 3, .steps = 200, .resets = true },
	{ .processes = 4, .steps = 250, .threads = true },
	{ .processes = 3, .steps = 300, .threads = true, .forks = true, .resets = true },
	{ .processes = 6, .steps = 500, .threads = true, .forks = true },
};
#define N_SHAPES (sizeof(shapes) / sizeof(*shapes))
#define RUNS 600

/* What is looked at of a run. */
struct seen {
	struct sketch sketch;
	struct print print;
	uint64_t *set;
	size_t n;
};

static bool is_same(const struct sketch *a, const struct sketch *b)
{
	return !memcmp(a->values, b->values, sizeof(a->values)) && !memcmp(a->whole, b->whole, sizeof(a->whole)) && !memcmp(a->keys, b->keys, sizeof(a->keys));
}

/* false: it is no trace. */
static bool look(const struct trace *trace, enum graph_order order, struct seen *ret)
{
	struct print both[PRINT_LEVEL_COUNT], prints[PRINT_LEVEL_COUNT];
	struct graph *g = NULL;
	struct sketch again;
	struct error e;

	if (graph_build(trace, order, &g, &e) < 0)
		return false;
	REQUIRE(!sketch_graph(g, "random", &ret->sketch));
	REQUIRE(!sketch_set(g, &ret->set, &ret->n));
	REQUIRE(!sketch_and_prints(g, "random", both, &again));
	REQUIRE(!print_levels(g, NULL, prints));
	REQUIRE(is_same(&ret->sketch, &again));
	for (int i = 0; i < PRINT_LEVEL_COUNT; i++)
		REQUIRE(!print_compare(&both[i], &prints[i]));
	ret->print = prints[PRINT_LEVEL_EXACT];
	graph_free(g);
	return true;
}

/* |A and B| / |A or B| */
static double jaccard(const struct seen *a, const struct seen *b)
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

/* A run that has the same exact print has the same sketch, however it was recorded and for whatever order its graph was built. */
START_TEST(nothing_but_the_print_is_in)
{
	for (unsigned i = 0; i < RUNS; i++) {
		struct seen a, b;
		struct random_run run;

		random_run_init(&run, i, &shapes[i % N_SHAPES]);
		if (i % 3 == 0)
			random_run_faults(&run, i, 1 + i % 4);
		REQUIRE(look(&run.trace, GRAPH_ORDER_THREAD, &a));
		disguise(&run, i * 31 + 5);
		REQUIRE(look(&run.trace, i % 2 ? GRAPH_ORDER_THREAD : GRAPH_ORDER_PROCESS, &b));
		ck_assert_msg(i % 3 == 0 || !print_compare(&a.print, &b.print), "run %u: the disguise is seen by the print", i);
		ck_assert_msg(print_compare(&a.print, &b.print) || is_same(&a.sketch, &b.sketch), "run %u: equal prints, other sketch", i);
		free(a.set);
		free(b.set);
		random_run_fini(&run);
	}
}
END_TEST

/* Of runs that differ a little, those with equal prints have equal sketches, others are seen as others, and the estimate is near what is true. */
START_TEST(estimates_what_runs_have_in_common)
{
	unsigned pairs = 0, alike = 0, told_apart = 0, in_sets = 0;
	double off = 0, off_most = 0, bias = 0;

	for (unsigned i = 0; pairs < RUNS; i++) {
		const struct random_options *options = &shapes[i % N_SHAPES];
		struct random_run runs[2];
		struct seen a = { .n = 0 }, b = { .n = 0 };
		uint64_t rng = i;
		double error;
		bool same;

		random_run_init(&runs[0], i, options);
		random_run_init(&runs[1], i % 8 ? i : i + 1000000, options);
		for (unsigned k = 0; k < i % 6; k++)
			mutate(&runs[1], &rng);
		disguise(&runs[1], i);
		if (look(&runs[0].trace, GRAPH_ORDER_THREAD, &a) && look(&runs[1].trace, GRAPH_ORDER_THREAD, &b)) {
			same = !print_compare(&a.print, &b.print);
			REQUIRE(!same || is_same(&a.sketch, &b.sketch));
			pairs++;
			alike += same;
			in_sets += jaccard(&a, &b) < 1;
			told_apart += sketch_similarity(&a.sketch, &b.sketch) < 1;
			error = sketch_similarity(&a.sketch, &b.sketch) - jaccard(&a, &b);
			bias += error;
			error = error < 0 ? -error : error;
			off += error;
			off_most = off_most < error ? error : off_most;
		}
		free(a.set);
		free(b.set);
		random_run_fini(&runs[0]);
		random_run_fini(&runs[1]);
	}
	printf("# %u pairs, %u of one print; of the others %u differ in their sets, %u in their sketches; the estimate is off by %.3f in the mean, at most "
	       "%.3f, bias %.4f\n", pairs, alike, in_sets, told_apart, off / pairs, off_most, bias / pairs);
	ck_assert_uint_gt(alike, pairs / 10);
	ck_assert_uint_gt(in_sets, (pairs - alike) * 95 / 100);
	ck_assert_uint_gt(told_apart, in_sets * 85 / 100);
	ck_assert_double_lt(off / pairs, 0.01);
	ck_assert_double_lt(off_most, 0.08);
	ck_assert_double_lt(bias < 0 ? -bias / pairs : bias / pairs, 0.003);
}
END_TEST

/* Keys are of a group; they follow from values; values survive being kept; a size that is another is refused. */
START_TEST(keys_and_bytes)
{
	struct sketch other, kept = { .keys = { 0 } };
	uint8_t bytes[SKETCH_BYTES];
	struct random_run run;
	struct seen seen;

	random_run_init(&run, 7, &shapes[3]);
	REQUIRE(look(&run.trace, GRAPH_ORDER_THREAD, &seen));
	other = seen.sketch;
	sketch_keys(&other, "another");
	for (int i = 0; i < SKETCH_KEYS; i++)
		for (int k = 0; k < SKETCH_KEYS; k++) {
			REQUIRE(other.keys[i] != seen.sketch.keys[k]);
			REQUIRE(i == k || seen.sketch.keys[i] != seen.sketch.keys[k]);
		}
	sketch_pack(&seen.sketch, bytes);
	ck_assert_int_eq(sketch_unpack(bytes, sizeof(bytes) - 1, &kept), -EINVAL);
	ck_assert_int_eq(sketch_unpack(bytes, sizeof(bytes), &kept), 0);
	sketch_keys(&kept, "random");
	ck_assert(is_same(&kept, &seen.sketch));
	free(seen.set);
	random_run_fini(&run);
}
END_TEST

/* A run of which nothing was recorded is like another one, and like nothing else. */
START_TEST(nothing_is_like_nothing)
{
	struct trace nothing;
	struct random_run run;
	struct seen a, b, c;

	trace_init(&nothing);
	random_run_init(&run, 7, &shapes[0]);
	REQUIRE(look(&nothing, GRAPH_ORDER_THREAD, &a) && look(&nothing, GRAPH_ORDER_PROCESS, &b));
	REQUIRE(look(&run.trace, GRAPH_ORDER_THREAD, &c));
	ck_assert_uint_eq(a.n, 0);
	ck_assert(is_same(&a.sketch, &b.sketch));
	ck_assert_double_eq(sketch_similarity(&a.sketch, &b.sketch), 1);
	ck_assert_double_lt(sketch_similarity(&a.sketch, &c.sketch), 0.02);
	free(a.set);
	free(b.set);
	free(c.set);
	trace_fini(&nothing);
	random_run_fini(&run);
}
END_TEST

/* So many threads are made in a row that looking from each for the first of them would not come to an end. */
START_TEST(many_spawns_in_a_row)
{
	enum { THREADS = 600000 };
	struct trace trace;
	struct graph *g = NULL;
	struct sketch sketch;
	struct error e;

	trace_init(&trace);
	trace_process_at(&trace, 1)->name = strdup("p");
	for (uint32_t i = 0; i <= 2 * THREADS; i++) {
		struct event *event = trace_event_add(&trace);

		*event = (struct event){ .kind = EVENT_START, .process = 1, .thread = 1, .order = i + 1 };
		if (i && i <= THREADS) {
			event->kind = EVENT_SPAWN;
			event->flags = EVENT_F_THREAD;
			event->value = i + 1;
		} else if (i) {
			event->kind = EVENT_LISTEN;
			event->thread = i - THREADS + 1;
		}
	}
	ck_assert_int_eq(graph_build(&trace, GRAPH_ORDER_THREAD, &g, &e), 0);
	ck_assert_int_eq(sketch_graph(g, "random", &sketch), 0);
	graph_free(g);
	trace_fini(&trace);
}
END_TEST

#ifndef SANITIZED
/* Whichever allocation fails: no memory, said so, or no harm done; and nothing is kept. */
START_TEST(no_memory)
{
	struct random_run run;
	struct graph *g = NULL;
	struct sketch whole;
	struct error e;
	bool failed = true;
	long n;

	random_run_init(&run, 5, &shapes[5]);
	ck_assert_int_eq(graph_build(&run.trace, GRAPH_ORDER_THREAD, &g, &e), 0);
	ck_assert_int_eq(sketch_graph(g, "random", &whole), 0);
	for (n = 1; failed; n++) {
		struct sketch sketch = { .values = { 77 } }, untouched = sketch;
		long before = heap.balance;
		int err;

		heap_arm(n);
		err = sketch_graph(g, "random", &sketch);
		failed = heap_disarm();
		ck_assert_msg(heap.balance == before, "allocation %ld: %ld not freed", n, heap.balance - before);
		ck_assert(err == 0 || err == -ENOMEM);
		ck_assert(is_same(&sketch, err ? &untouched : &whole));
	}
	ck_assert_int_gt(n, 20);
	graph_free(g);
	random_run_fini(&run);
}
END_TEST
#endif

int main(void)
{
	Suite *suite = suite_create("sketch");
	TCase *tc = tcase_create("sketch");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 300);
	tcase_add_test(tc, nothing_but_the_print_is_in);
	tcase_add_test(tc, estimates_what_runs_have_in_common);
	tcase_add_test(tc, keys_and_bytes);
	tcase_add_test(tc, nothing_is_like_nothing);
	tcase_add_test(tc, many_spawns_in_a_row);
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
