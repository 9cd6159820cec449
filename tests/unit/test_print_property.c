/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Properties of prints over random executions: what must not matter does not, prints are equal if and only if the
 * things that they are made of are isomorphic (libbliss decides), and another program computes the same from the JSON.
 *
 * A tenth of it with BOP_TEST_SHORT, as `make test` does under sanitizers.
 */
#include <bliss/bliss_C.h>
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/prints.h"
#include "collector/show.h"
#include "graph/print_fold.h"
#include "tests/unit/disguise.h"

/* libbliss forgets some of what it took; a leak checker, if there is one, looks away meanwhile. */
void __lsan_disable(void) __attribute__((weak));
void __lsan_enable(void) __attribute__((weak));

#define RUNS 1500
#define PAIRS 10000
#define JSON_RUNS 1000

static const struct random_options shapes[] = {
	{ .processes = 2, .steps = 60 },
	{ .processes = 3, .steps = 200, .resets = true },
	{ .processes = 4, .steps = 250, .threads = true },
	{ .processes = 3, .steps = 300, .threads = true, .forks = true, .resets = true },
	{ .processes = 6, .steps = 500, .threads = true, .forks = true },
};
#define N_SHAPES (sizeof(shapes) / sizeof(*shapes))

/* So little happens that two of them are alike by chance. */
static const struct random_options tiny[] = {
	{ .processes = 2, .steps = 7 },
	{ .processes = 3, .steps = 14, .resets = true },
	{ .processes = 2, .steps = 25, .threads = true, .forks = true, .resets = true },
	{ .processes = 4, .steps = 30, .threads = true },
};
#define N_TINY (sizeof(tiny) / sizeof(*tiny))

static unsigned sample(unsigned n)
{
	return getenv("BOP_TEST_SHORT") ? n / 10 : n;
}

static struct graph *build(const struct trace *trace, enum graph_order order)
{
	struct graph *g = NULL;
	struct error e = { "" };
	int err = graph_build(trace, order, &g, &e);

	ck_assert_msg(!err, "graph_build: %d %s", err, e.text);
	return g;
}

/* Everybody that was not spawned has one and the same role, or none has any. */
static const char **roles_of(const struct trace *trace, bool any)
{
	const char **roles = calloc(trace->n_processes + 1, sizeof(*roles));

	for (size_t i = 1; i <= trace->n_processes && any; i++)
		roles[i] = trace->processes[i].parent ? NULL : "peer";
	return roles;
}

struct levels {
	struct print print[PRINT_LEVEL_COUNT];
};

static struct levels levels_of(const struct trace *trace, bool symmetric, enum graph_order order)
{
	struct graph *g = build(trace, order);
	const char **roles = roles_of(trace, symmetric);
	struct levels levels;
	struct print exact;

	ck_assert_int_eq(print_levels(g, symmetric ? roles : NULL, levels.print), 0);
	ck_assert_int_eq(print_graph(g, symmetric ? roles : NULL, &exact), 0);
	REQUIRE(!print_compare(&exact, &levels.print[PRINT_LEVEL_EXACT]));
	free(roles);
	graph_free(g);
	return levels;
}

static bool equal_at(const struct levels *a, const struct levels *b, enum print_level level)
{
	return !print_compare(&a->print[level], &b->print[level]);
}

static bool equal(struct levels a, struct levels b)
{
	return equal_at(&a, &b, PRINT_LEVEL_EXACT) && equal_at(&a, &b, PRINT_LEVEL_FOLDED) && equal_at(&a, &b, PRINT_LEVEL_SHAPE);
}

static bool approximate(const struct levels *levels)
{
	return levels->print[PRINT_LEVEL_EXACT].approximate || levels->print[PRINT_LEVEL_FOLDED].approximate;
}

/* At all levels, neither arrival, table rows, times, pids, ports, addresses, sizes, numbers of threads, names of children nor segmentation has a
 * say, nor has the order for which the graph was built; nor, up to symmetry, who of one role did what. */
START_TEST(what_does_not_matter_does_not)
{
	unsigned renamed = 0;

	for (unsigned i = _i * (RUNS / 10); i < (unsigned)(_i + 1) * (RUNS / 10); i++) {
		const struct random_options *options = i % 7 ? &shapes[i % N_SHAPES] : &tiny[i % N_TINY];
		struct random_run run;
		struct levels exact, symmetric;

		random_run_init(&run, i, options);
		exact = levels_of(&run.trace, false, GRAPH_ORDER_THREAD);
		symmetric = levels_of(&run.trace, true, GRAPH_ORDER_THREAD);
		REQUIRE(!approximate(&exact) && !approximate(&symmetric));
		REQUIRE(equal(exact, levels_of(&run.trace, false, GRAPH_ORDER_PROCESS)));
		disguise(&run, i * 31 + 5);
		REQUIRE(equal(exact, levels_of(&run.trace, false, GRAPH_ORDER_PROCESS)));
		REQUIRE(equal(symmetric, levels_of(&run.trace, true, GRAPH_ORDER_PROCESS)));
		rename_roots(&run, options->processes, 1 + i % (options->processes - 1));
		renamed += !equal(exact, levels_of(&run.trace, false, GRAPH_ORDER_PROCESS));
		REQUIRE(equal(symmetric, levels_of(&run.trace, true, GRAPH_ORDER_PROCESS)));
		random_run_fini(&run);
	}
	ck_assert_uint_gt(renamed, RUNS / 10 / 2);
}
END_TEST

/* Colours of the oracle: a number for each key, the same in both graphs. */
struct palette {
	uint64_t keys[20000];
	unsigned n;
};

static unsigned colour(struct palette *palette, uint64_t sort, uint64_t a, uint64_t b, uint64_t c)
{
	uint64_t key[4] = { sort, a, b, c }, hash = 14695981039346656037u;

	for (unsigned i = 0; i < 4; i++) {
		uint64_t mixed = hash ^ key[i];

		hash = random_next(&mixed);
	}
	for (unsigned i = 0; i < palette->n; i++)
		if (palette->keys[i] == hash)
			return i;
	REQUIRE(palette->n < sizeof(palette->keys) / sizeof(*palette->keys));
	palette->keys[palette->n] = hash;
	return palette->n++;
}

enum { OF_THREAD, OF_ITEM, OF_ORIGIN, OF_CONNECTION, OF_PROCESS, OF_BOX, OF_PEER };

/* A vertex of the oracle for a thing, made when it first comes up. */
static unsigned thing(BlissGraph *graph, unsigned *vertices, uint32_t index, unsigned colour)
{
	if (!vertices[index])
		vertices[index] = 1 + bliss_add_vertex(graph, colour);
	return vertices[index] - 1;
}

/* Spawns in a row are one: the first of them stands for all. */
static uint32_t standing(const struct print_run *run, uint32_t item)
{
	while (!run->items[item].in)
		item--;
	return item;
}

/* The same as the print, said without any cleverness: a vertex for each thing, an edge for each relation. */
static BlissGraph *oracle_graph(const struct print_run *run, struct palette *palette)
{
	const struct trace *t = run->g->trace;
	unsigned *items = calloc(run->n_items + 1, sizeof(*items)), *threads = calloc(run->n_threads + 1, sizeof(*threads));
	unsigned *connections = calloc(run->g->n_connections + 1, sizeof(*connections));
	unsigned *processes = calloc(t->n_processes + 1, sizeof(*processes)), *boxes = calloc(t->n_boxes + 1, sizeof(*boxes));
	BlissGraph *graph = bliss_new(0);

	for (uint32_t i = 0; i < run->n_items; i++)
		if (run->items[i].in)
			thing(graph, items, i, colour(palette, OF_ITEM, run->items[i].kind * 4 + run->items[i].side,
						      run->items[i].text, run->items[i].place));
	for (uint32_t i = 0; i < run->n_threads; i++) {
		const struct print_thread *thread = &run->threads[i];
		unsigned own;

		if (!thread->n_in)
			continue;
		own = thing(graph, threads, i, colour(palette, OF_THREAD, thread->text, 0, 0));
		bliss_add_edge(graph, own, thing(graph, processes, thread->process, colour(palette, OF_PROCESS, 0, 0, 0)));
		if (thread->box)
			bliss_add_edge(graph, own, thing(graph, boxes, thread->box, colour(palette, OF_BOX, 0, 0, 0)));
		if (thread->origin) {
			unsigned origin = bliss_add_vertex(graph, colour(palette, OF_ORIGIN, 0, 0, 0));

			bliss_add_edge(graph, own, origin);
			bliss_add_edge(graph, origin, items[standing(run, thread->origin - 1)] - 1);
		}
		for (uint32_t k = thread->first; k < thread->first + thread->n; k++) {
			const struct print_item *item = &run->items[k];

			if (!item->in)
				continue;
			bliss_add_edge(graph, own, items[k] - 1);
			if (item->link && (run->items[item->link - 1].link != k + 1 || item->link - 1 < k))
				bliss_add_edge(graph, items[k] - 1, items[standing(run, item->link - 1)] - 1);
			if (run->folded && item->peer) {
				unsigned peer = bliss_add_vertex(graph, colour(palette, OF_PEER, 0, 0, 0));

				bliss_add_edge(graph, items[k] - 1, peer);
				bliss_add_edge(graph, peer,
					       thing(graph, processes, item->peer, colour(palette, OF_PROCESS, 0, 0, 0)));
			} else if (item->connection) {
				bliss_add_edge(graph, items[k] - 1,
					       thing(graph, connections, item->connection, colour(palette, OF_CONNECTION, 0, 0, 0)));
			}
			if (item->box)
				bliss_add_edge(graph, items[k] - 1,
					       thing(graph, boxes, item->box, colour(palette, OF_BOX, 0, 0, 0)));
		}
	}
	free(items);
	free(threads);
	free(connections);
	free(processes);
	free(boxes);
	return graph;
}

static BlissGraph *canonical(BlissGraph *graph)
{
	return bliss_permute(graph, bliss_find_canonical_labeling(graph, NULL, NULL, NULL));
}

static bool isomorphic(const struct print_run *a, const struct print_run *b)
{
	static struct palette palette;
	BlissGraph *graphs[2], *canonicals[2];
	bool same;

	palette.n = 0;
	if (__lsan_disable)
		__lsan_disable();
	graphs[0] = oracle_graph(a, &palette);
	graphs[1] = oracle_graph(b, &palette);
	canonicals[0] = canonical(graphs[0]);
	canonicals[1] = canonical(graphs[1]);
	same = !bliss_cmp(canonicals[0], canonicals[1]);
	for (int i = 0; i < 2; i++) {
		bliss_release(graphs[i]);
		bliss_release(canonicals[i]);
	}
	if (__lsan_enable)
		__lsan_enable();
	return same;
}

struct tally {
	unsigned pairs, alike, different, refused;
	unsigned equal[PRINT_LEVEL_COUNT];
};

/* What is equal at one level is so at those that follow. */
static void tally_levels(const struct levels *a, const struct levels *b, struct tally *tally)
{
	for (enum print_level level = 0; level < PRINT_LEVEL_COUNT; level++) {
		tally->equal[level] += equal_at(a, b, level);
		ck_assert_msg(!level || !equal_at(a, b, level - 1) || equal_at(a, b, level), "equal, but not %s",
			      print_level_name(level));
	}
}

static void compare_pair(struct random_run *a, struct random_run *b, bool symmetric, struct tally *tally)
{
	struct graph *graphs[2] = { NULL, NULL };
	struct print_run runs[2];
	struct print_fold folds[2];
	struct levels prints[2];
	const char **roles[2] = { roles_of(&a->trace, true), roles_of(&b->trace, true) };
	struct error e;
	bool same, folded;

	if (graph_build(&a->trace, GRAPH_ORDER_THREAD, &graphs[0], &e) < 0 ||
	    graph_build(&b->trace, GRAPH_ORDER_THREAD, &graphs[1], &e) < 0) {
		tally->refused++;
	} else {
		for (int i = 0; i < 2; i++) {
			REQUIRE(!print_levels(graphs[i], symmetric ? roles[i] : NULL, prints[i].print));
			REQUIRE(!approximate(&prints[i]));
			REQUIRE(!print_run_init(&runs[i], graphs[i], symmetric ? roles[i] : NULL));
			REQUIRE(!print_fold_init(&folds[i], &runs[i]));
		}
		same = isomorphic(&runs[0], &runs[1]);
		folded = isomorphic(&folds[0].run, &folds[1].run);
		ck_assert_msg(same == equal_at(&prints[0], &prints[1], PRINT_LEVEL_EXACT),
			      "libbliss says %s, prints say otherwise", same ? "isomorphic" : "different");
		ck_assert_msg(folded == equal_at(&prints[0], &prints[1], PRINT_LEVEL_FOLDED),
			      "libbliss says of what is folded %s, prints say otherwise", folded ? "isomorphic" : "different");
		tally_levels(&prints[0], &prints[1], tally);
		tally->pairs++;
		tally->alike += same;
		tally->different += !same;
		for (int i = 0; i < 2; i++) {
			print_fold_fini(&folds[i]);
			print_run_fini(&runs[i]);
		}
	}
	for (int i = 0; i < 2; i++) {
		graph_free(graphs[i]);
		free(roles[i]);
	}
}

/* Exact and folded prints are equal if and only if what they are made of is isomorphic. */
START_TEST(equal_is_isomorphic)
{
	unsigned n = sample(PAIRS);
	struct tally tally = { 0 };

	for (unsigned i = 0; tally.pairs < n; i++) {
		unsigned shape = random_below(&(uint64_t){ i }, N_TINY);
		struct random_run a, b;
		uint64_t rng = i;

		random_run_init(&a, i, &tiny[shape]);
		random_run_init(&b, i % 4 == 0 ? i + 1000000 : i, &tiny[shape]);
		if (i % 4 == 1)
			rename_roots(&b, tiny[shape].processes, 1);
		for (unsigned k = 0; i % 4 > 1 && k < i % 4 - 1; k++)
			mutate(&b, &rng);
		disguise(&b, i);
		compare_pair(&a, &b, i / 4 % 2, &tally);
		random_run_fini(&a);
		random_run_fini(&b);
	}
	printf("# %u pairs: %u isomorphic, %u not; folded, %u are, of shape %u; %u more were no traces\n", tally.pairs, tally.alike,
	       tally.different, tally.equal[PRINT_LEVEL_FOLDED], tally.equal[PRINT_LEVEL_SHAPE], tally.refused);
	ck_assert_uint_gt(tally.alike, n / 5);
	ck_assert_uint_gt(tally.different, n / 5);
	ck_assert_uint_gt(tally.equal[PRINT_LEVEL_FOLDED], tally.alike);
	ck_assert_uint_gt(tally.equal[PRINT_LEVEL_SHAPE], tally.equal[PRINT_LEVEL_FOLDED]);
	ck_assert_uint_lt(tally.equal[PRINT_LEVEL_SHAPE], n - n / 5);
}
END_TEST

static void write_json(FILE *out, struct random_run *random, unsigned number)
{
	static char text[] = "roles: {peer: [p1, p2], other: [p3, p4]}";
	struct store_run row = { .id = number, .experiment = "random", .path = "random.yaml", .text = text, .outcome = OUTCOME_GOOD };
	struct run run = { .row = &row, .trace = random->trace, .complete = true };
	struct graph *g = build(&random->trace, number % 2 ? GRAPH_ORDER_THREAD : GRAPH_ORDER_PROCESS);
	char *json = NULL;
	size_t size = 0;
	FILE *f = open_memstream(&json, &size);
	struct error e;

	ck_assert_int_eq(show_run_json(&run, g, f, &e), 0);
	fclose(f);
	for (char *c = json; *c; c++)
		if (*c == '\n')
			*c = ' ';
	fprintf(out, "%s\n", json);
	free(json);
	graph_free(g);
}

/* docs/print.md says enough: another program, which knows nothing but that page, finds the same prints. */
START_TEST(another_program_finds_the_same)
{
	FILE *out = popen("python3 tests/unit/print_check.py", "w");

	ck_assert_ptr_nonnull(out);
	for (unsigned i = 0; i < sample(JSON_RUNS); i++) {
		struct random_run run;

		random_run_init(&run, i, i % 3 ? &shapes[i % N_SHAPES] : &tiny[i % N_TINY]);
		if (i % 5 == 0) { /* an outcome in the middle */
			struct event *mark = need(trace_event_add(&run.trace));

			mark->kind = EVENT_MARK;
			mark->enter_ns = mark->return_ns = run.trace.n_events;
			mark->text = 1;
			*trace_text_at(&run.trace, 1) = need(strdup("outcome"));
		}
		if (i % 4 == 0) { /* a loss: what was received is unmatched, or more */
			struct event last = run.trace.events[--run.trace.n_events];

			run.trace.events[i % run.trace.n_events] = last;
		}
		if (i % 3 == 1)
			random_run_faults(&run, i, 1 + i % 4);
		write_json(out, &run, i);
		random_run_fini(&run);
	}
	ck_assert_int_eq(pclose(out), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("print_property");
	TCase *tc = tcase_create("random");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 600);
	tcase_add_loop_test(tc, what_does_not_matter_does_not, 0, 10);
	tcase_add_test(tc, equal_is_isomorphic);
	tcase_add_test(tc, another_program_finds_the_same);
	suite_add_tcase(suite, tc);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? 1 : 0;
}
