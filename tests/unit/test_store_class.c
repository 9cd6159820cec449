/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What can be looked at of a run that was counted, not kept: all that is its own, and the events of the one that did the same. What is
 * near a class is found by its keys. Nobody who reads sees half of a run that is being removed.
 */
#include <signal.h>
#include <sys/wait.h>

#include "collector/classed.h"
#include "collector/run.h"
#include "graph/sketch.h"
#include "proto/wire.h"
#include "tests/unit/random_run.h"
#include "tests/unit/store_place.h"

static struct random_run executions[2];

static void setup(void)
{
	struct random_options options = { .processes = 3, .steps = 60 };

	place_setup();
	for (uint64_t i = 0; i < 2; i++)
		random_run_init(&executions[i], 4 + i, &options);
}

static void teardown(void)
{
	for (int i = 0; i < 2; i++)
		random_run_fini(&executions[i]);
	place_teardown();
}

static void trace_put(struct store *store, uint64_t id, const struct trace *trace, unsigned copies)
{
	static uint32_t all[4096];
	struct wire_rows rows = { all, all, all, all, trace->n_boxes, trace->n_processes, trace->n_ends, trace->n_texts };
	struct store_stream stream = { .host = "h", .boot_id = "b", .kernel = "6.1", .backend = "tracepoint" };
	struct error e = { "" };
	unsigned char *bytes;
	size_t size;

	for (uint32_t i = 0; i < 4096; i++)
		all[i] = i + 1;
	ck_assert_msg(!store_stream_add(store, id, &stream, &e) && !store_begin(store, &e), "%s", e.text);
	for (unsigned i = 1; i <= copies; i++) {
		struct trace none = { .n_events = 0 };
		struct wire_rows no_rows = { .n_boxes = 0 };
		struct wire_batch head = { .run = id, .number = i, .emitted = trace->n_events, .last = i == copies };

		ck_assert_int_eq(i == 1 ? wire_batch_encode(&head, trace, &rows, &bytes, &size) :
					  wire_batch_encode(&head, &none, &no_rows, &bytes, &size), 0);
		ck_assert_msg(!store_batch_put(store, id, stream.number, i, bytes, size, &e), "%s", e.text);
		free(bytes);
	}
	ck_assert_msg(!store_commit(store, &e), "%s", e.text);
}

/* As a run is: recorded, read back, counted, sealed. started_ns tells runs apart. */
static uint64_t did(struct store *store, int which, enum outcome outcome, bool keep_all, unsigned batches)
{
	struct store_process process = { .name = "p1", .box = "b1", .command = "c", .role = STORE_CHECK, .started = true, .exited = true,
					 .output = "mine", .output_size = 4 };
	struct store_run row = { .experiment = "x", .path = "/x.yaml", .text = "experiment: x\n", .version = "1" };
	static uint64_t last;
	struct store_seal how = { .keep_all = keep_all };
	struct graph *graph = NULL;
	struct prints prints;
	struct run *run = NULL;
	struct error e = { "" };

	row.started_ns = ++last * 1000;
	row.started_monotonic_ns = last;
	ck_assert_int_eq(store_owner_self(&row.owner, &e), 0);
	ck_assert_msg(!store_run_create(store, &row, &e), "%s", e.text);
	trace_put(store, row.id, &executions[which].trace, batches);
	ck_assert_msg(!run_load(store, row.id, &run, &e), "%s", e.text);
	row.outcome = outcome;
	ck_assert_int_eq(run_count(run, &row, &graph, &e), 0);
	row.running = false;
	ck_assert_int_eq(prints_make(run, &row, graph, &prints, &e), 0);
	classed_row(&prints, &row);
	how.sketch = &prints.sketch;
	ck_assert_msg(!store_run_seal(store, &row, &process, 1, &how, &e), "%s", e.text);
	ck_assert_msg(row.class_id, "%s", row.unclassed);
	graph_free(graph);
	run_free(run);
	return row.id;
}

/* Row, processes and times are its own; the events are those of the first, at their times in that one. */
START_TEST(a_repeat_is_looked_at)
{
	struct store *store = store_made(STORE_CREATE);
	uint64_t first = did(store, 0, OUTCOME_GOOD, false, 1), again = did(store, 0, OUTCOME_GOOD, false, 1);
	struct run *one = NULL, *other = NULL;
	struct error e = { "" };

	ck_assert_int_eq(run_load(store, first, &one, &e), 0);
	ck_assert_msg(!run_load(store, again, &other, &e), "%s", e.text);
	ck_assert_uint_eq(one->events_of, first);
	ck_assert_uint_eq(other->events_of, first);
	ck_assert_uint_eq(other->row->id, again);
	ck_assert_uint_eq(other->row->kept, first);
	ck_assert_uint_eq(other->row->started_ns, one->row->started_ns + 1000);
	ck_assert_uint_eq(other->row->events, one->row->events);
	ck_assert_uint_eq(other->n_processes, 1);
	ck_assert_int_eq(memcmp(other->processes[0].output, "mine", 4), 0);
	ck_assert_uint_eq(other->trace.n_events, one->trace.n_events);
	ck_assert_uint_gt(other->trace.n_events, 20);
	ck_assert(other->complete && !other->trace.lost);
	ck_assert_int_eq(run_time(one, 5000), run_time(other, 5000));
	ck_assert(other->row->has_prints && !other->row->new_class && one->row->new_class);
	ck_assert_int_eq(print_compare(&other->row->prints[STORE_OWN][0], &one->row->prints[STORE_OWN][0]), 0);
	run_free(one);
	run_free(other);
	store_close(store);
}
END_TEST

/* Another outcome, another execution, and whoever asks for it: whole. */
START_TEST(what_is_kept_whole)
{
	struct store *store = store_made(STORE_CREATE);
	uint64_t kept[] = { did(store, 0, OUTCOME_GOOD, false, 1), did(store, 0, OUTCOME_VIOLATED, false, 1), did(store, 1, OUTCOME_GOOD, false, 1),
			    did(store, 0, OUTCOME_GOOD, true, 1) };
	uint64_t repeats[] = { did(store, 0, OUTCOME_GOOD, false, 1), did(store, 0, OUTCOME_VIOLATED, false, 1) };
	struct store_run *row = NULL;

	for (size_t i = 0; i < 4; i++) {
		ck_assert_int_eq(store_run_get(store, kept[i], &row, NULL), 0);
		ck_assert_uint_eq(row->kept, kept[i]);
		ck_assert_str_ne(batches(store, kept[i]), "");
		store_run_free(row);
	}
	for (size_t i = 0; i < 2; i++) {
		ck_assert_int_eq(store_run_get(store, repeats[i], &row, NULL), 0);
		ck_assert_uint_eq(row->kept, kept[i]);
		ck_assert_str_eq(batches(store, repeats[i]), "");
		store_run_free(row);
	}
	store_close(store);
}
END_TEST

/* Whose events are gone is said so, clearly, whichever way they went; the next one that does it is kept again. */
START_TEST(events_that_are_gone)
{
	struct store *store = store_made(STORE_CREATE);
	uint64_t first = did(store, 0, OUTCOME_GOOD, false, 1), again = did(store, 0, OUTCOME_GOOD, false, 1), next;
	struct run *run = NULL;
	struct error e = { "" };

	ck_assert_int_eq(store_run_drop(store, first, STORE_UNKNOWN, &e), 0);
	ck_assert_int_eq(run_load(store, first, &run, &e), -ENODATA);
	ck_assert_msg(strstr(e.text, "run 1") && strstr(e.text, "removed") && strstr(e.text, "bop gc"), "%s", e.text);
	ck_assert_int_eq(run_load(store, again, &run, &e), -ENODATA);
	ck_assert_msg(strstr(e.text, "run 2"), "%s", e.text);
	next = did(store, 0, OUTCOME_GOOD, false, 1);
	ck_assert_msg(!run_load(store, next, &run, &e), "%s", e.text);
	ck_assert_uint_eq(run->events_of, next);
	ck_assert(!run->row->new_class);
	run_free(run);
	ck_assert_int_eq(store_run_remove(store, next, &e), 0);
	ck_assert_int_eq(run_load(store, next, &run, &e), -ENOENT);
	store_close(store);
}
END_TEST

static uint64_t kept_of(struct store *store, uint64_t id)
{
	struct store_run *row = NULL;
	uint64_t kept;

	ck_assert_int_eq(store_run_get(store, id, &row, NULL), 0);
	kept = row->kept;
	store_run_free(row);
	return kept;
}

/* What repeats a run goes with it to the one that stands for it then; who does not know of a repeat does not take its events away. */
START_TEST(repeats_of_a_run_without_events)
{
	struct store *store = store_made(STORE_CREATE);
	uint64_t first = did(store, 0, OUTCOME_GOOD, false, 1), whole = did(store, 0, OUTCOME_GOOD, true, 1);
	uint64_t again = did(store, 0, OUTCOME_GOOD, false, 1);
	struct run *run = NULL;
	struct error e = { "" };

	ck_assert(kept_of(store, first) == first && kept_of(store, whole) == whole && kept_of(store, again) == first);
	ck_assert_msg(!store_run_fold(store, first, &e), "%s", e.text);
	ck_assert_uint_eq(kept_of(store, first), whole);
	ck_assert_uint_eq(kept_of(store, again), whole);
	ck_assert_msg(!run_load(store, again, &run, &e), "%s", e.text);
	ck_assert_uint_eq(run->events_of, whole);
	run_free(run);
	ck_assert_int_eq(store_run_drop(store, whole, 2, &e), -ESTALE);
	ck_assert_uint_eq(kept_of(store, again), whole);
	ck_assert_msg(!store_run_drop(store, whole, 3, &e), "%s", e.text);
	ck_assert_uint_eq(kept_of(store, again), 0);
	store_close(store);
}
END_TEST

struct found {
	uint64_t ids[8];
	struct sketch sketches[8];
	size_t n;
};

static int on_candidate(uint64_t class_id, const struct sketch *sketch, void *arg, struct error *e)
{
	struct found *found = arg;

	ck_assert_uint_lt(found->n, 8);
	found->sketches[found->n] = *sketch;
	found->ids[found->n++] = class_id;
	return 0;
}

static void sealed_with(struct store *store, const struct sketch *sketch, uint64_t did)
{
	struct store_run row = { .id = run_made(store, "x"), .experiment = "x", .outcome = OUTCOME_GOOD, .has_prints = true };
	struct store_seal how = { .sketch = sketch };
	struct error e = { "" };

	row.prints[STORE_OWN][0].low = did;
	ck_assert_msg(!store_run_seal(store, &row, NULL, 0, &how, &e), "%s", e.text);
}

static void find(struct store *store, struct store_near near, struct found *found)
{
	struct error e = { "" };

	found->n = 0;
	ck_assert_msg(store_class_near(store, &near, on_candidate, found, &e) == 0, "%s", e.text);
}

/*
 * Classes that share a key, each once, in order, with the values that they were put in with; of each key the newest ones, and only those
 * below a number. One that was removed is not found.
 */
START_TEST(near)
{
	struct sketch sketches[3];
	struct found found = { .n = 0 };
	struct store *store = store_made(STORE_CREATE);
	uint64_t keys[SKETCH_KEYS];

	memset(sketches, 0, sizeof(sketches));
	for (uint32_t i = 0; i < 3; i++) {
		for (uint32_t k = 0; k < SKETCH_VALUES; k++)
			sketches[i].values[k] = k < SKETCH_VALUES / 2 && i < 2 ? k : 1000 * (i + 1) + k;
		for (uint32_t k = 0; k < SKETCH_KEYS_STEP; k++)
			sketches[i].whole[k] = 1000 * (i + 1) + k;
		sketch_keys(&sketches[i], "x");
		sealed_with(store, &sketches[i], i);
	}
	find(store, (struct store_near){ .keys = sketches[2].keys, .n = SKETCH_KEYS, .of_key = 9 }, &found);
	ck_assert_uint_eq(found.n, 1);
	ck_assert_uint_eq(found.ids[0], 3);
	ck_assert_int_eq(memcmp(found.sketches[0].values, sketches[2].values, sizeof(sketches[2].values)), 0);
	keys[0] = sketches[1].keys[0];
	keys[1] = sketches[0].keys[0];
	keys[2] = sketches[0].keys[1];
	find(store, (struct store_near){ .keys = keys, .n = 3, .of_key = 9 }, &found);
	ck_assert_uint_eq(found.n, 2);
	ck_assert(found.ids[0] == 1 && found.ids[1] == 2);
	find(store, (struct store_near){ .keys = keys, .n = 3, .of_key = 1 }, &found);
	ck_assert(found.n == 1 && found.ids[0] == 2);
	find(store, (struct store_near){ .keys = keys, .n = 3, .of_key = 1, .below = 2 }, &found);
	ck_assert(found.n == 1 && found.ids[0] == 1);
	find(store, (struct store_near){ .keys = keys, .n = 3, .of_key = 9, .below = 1 }, &found);
	ck_assert_uint_eq(found.n, 0);
	find(store, (struct store_near){ .keys = keys, .n = 0, .of_key = 9 }, &found);
	ck_assert_uint_eq(found.n, 0);
	find(store, (struct store_near){ .keys = keys, .n = 3, .of_key = 0 }, &found);
	ck_assert_uint_eq(found.n, 0);
	ck_assert_int_eq(store_run_remove(store, 1, NULL), 0);
	find(store, (struct store_near){ .keys = keys + 1, .n = 2, .of_key = 9 }, &found);
	ck_assert_msg(!found.n || found.ids[0] != 1, "a class that is gone is found");
	store_close(store);
}
END_TEST

/* A reader beside one who drops, again and again: it sees all of a run, or is told that there are no events. */
START_TEST(read_while_removed)
{
	enum { MANY = 200, BATCHES = 90 };
	struct store *store = store_made(STORE_CREATE);
	unsigned whole = 0, gone = 0;
	size_t events;
	int status;
	pid_t pid;

	for (int i = 0; i < MANY; i++)
		did(store, 0, OUTCOME_GOOD, true, BATCHES);
	events = executions[0].trace.n_events;
	store_close(store);
	pid = fork();
	if (!pid) {
		store = store_made(STORE_WRITE);
		for (uint64_t id = 1; id <= MANY; id++)
			if (store_run_drop(store, id, STORE_UNKNOWN, NULL))
				_exit(1);
		_exit(0);
	}
	store = store_made(STORE_READ);
	for (uint64_t id = 1; id <= MANY;) {
		struct run *run = NULL;
		struct error e = { "" };
		int err = run_load(store, id, &run, &e);

		ck_assert_msg(!err || err == -ENODATA, "%s", e.text);
		if (!err)
			ck_assert_msg(run->complete && !run->trace.lost && run->trace.n_events == events, "run %llu: half of it",
				      (unsigned long long)id);
		whole += !err;
		gone += err != 0;
		id += err != 0;
		run_free(run);
	}
	waitpid(pid, &status, 0);
	ck_assert_int_eq(status, 0);
	ck_assert_uint_eq(gone, MANY);
	ck_assert_uint_ge(whole, 1); /* how many is a matter of luck */
	store_close(store);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("store_class");
	TCase *tc = tcase_create("store_class");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_set_timeout(tc, 600);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, a_repeat_is_looked_at);
	tcase_add_test(tc, what_is_kept_whole);
	tcase_add_test(tc, events_that_are_gone);
	tcase_add_test(tc, repeats_of_a_run_without_events);
	tcase_add_test(tc, near);
	tcase_add_test(tc, read_while_removed);
	suite_add_tcase(suite, tc);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
