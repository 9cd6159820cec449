/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What is said of two runs that differ in one thing, word for word; and that nothing is said of random ones that are alike.
 */
#include <check.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/show_diff.h"
#include "graph/diff.h"
#include "tests/heap.h"
#include "tests/unit/diff_golden.h"
#include "tests/unit/random_run.h"
#include "tests/unit/talk.h"

/* The JSON of what differs; the caller frees. */
static char *json_of(const char *before, const char *after)
{
	struct talk talks[2];
	struct shown_diff shown = { .runs = { 1, 2 }, .events_of = { 1, 1 }, .experiments = { "talk", "talk" } };
	struct diff *diff = NULL;
	struct error e;
	char *json;
	size_t size;
	FILE *out = open_memstream(&json, &size);

	talk_init(&talks[0], FIRST, before);
	talk_init(&talks[1], FIRST, after);
	for (int i = 0; i < 2; i++) {
		shown.graphs[i] = talk_graph(&talks[i]);
		ck_assert_int_eq(print_levels(shown.graphs[i], NULL, shown.prints[i]), 0);
	}
	ck_assert_int_eq(diff_new(shown.graphs, &diff), 0);
	shown.diff = diff;
	ck_assert_int_eq(show_diff_json(&shown, out, &e), 0);
	fclose(out);
	diff_free(diff);
	for (int i = 0; i < 2; i++) {
		graph_free((struct graph *)shown.graphs[i]);
		talk_fini(&talks[i]);
	}
	return json;
}

/* "kind: text [messages] <cause>" of each change, a line each. */
static char *summary_of(const char *json)
{
	json_t *object = json_loads(json, 0, NULL), *change, *value;
	char *text;
	size_t size, i, k;
	FILE *out = open_memstream(&text, &size);

	ck_assert_ptr_nonnull(object);
	json_array_foreach(json_object_get(object, "changes"), i, change) {
		fprintf(out, "%s: %s\n", json_string_value(json_object_get(change, "kind")),
			json_string_value(json_object_get(change, "text")));
		json_array_foreach(json_object_get(change, "messages"), k, value)
			fprintf(out, "  %s\n", json_string_value(value));
		value = json_object_get(change, "explained_by");
		if (!json_is_null(value))
			fprintf(out, "  by run %d: %s%s\n", (int)json_integer_value(json_object_get(value, "run")),
				json_string_value(json_object_get(value, "line")),
				json_is_true(json_object_get(value, "taken")) ? ", which took it" : "");
	}
	fclose(out);
	json_decref(object);
	return text;
}

START_TEST(what_is_said)
{
	char *json = json_of(golden[_i].before, golden[_i].after), *said = summary_of(json);

	ck_assert_msg(!strcmp(said, golden[_i].said), "%s:\n%s", golden[_i].name, said);
	free(said);
	free(json);
}
END_TEST

/* The whole object, once. */
START_TEST(whole_json)
{
	char *json = json_of(THREE ASK("c", "s"), THREE ASK("c", "s") ASK("c", "s"));
	json_t *object = json_loads(json, 0, NULL);
	char *text = json_dumps(object, JSON_COMPACT | JSON_SORT_KEYS);

	ck_assert_str_eq(text,
			 "{\"approximate\":false,\"changes\":[{\"connection\":[\"c>s:7000#1\",\"c>s:7000#1\"],\"explained_by\":null,"
			 "\"kind\":\"messages_added\",\"messages\":[\"c>s:7000#1/2\",\"c<s:7000#1/2\"],\"process\":[\"c\",\"c\"],"
			 "\"text\":\"c asked s once more: c>s:7000#1/2 and c<s:7000#1/2 are new\",\"vertex\":[null,6]}],"
			 "\"connections_in_both\":4,\"equal\":{\"exact\":false,\"folded\":true,\"shape\":true},"
			 "\"events_of\":[1,1],\"experiment\":[\"talk\",\"talk\"],\"lost\":[0,0],\"messages_in_both\":2,\"nearest\":null,\"runs\":[1,2]}");
	free(text);
	json_decref(object);
	free(json);
}
END_TEST

static const struct random_options shapes[] = {
	{ .processes = 3, .steps = 150, .resets = true },
	{ .processes = 3, .steps = 300, .threads = true, .forks = true, .resets = true },
	{ .processes = 4, .steps = 250, .threads = true },
};

static struct graph *build(const struct trace *trace)
{
	struct graph *g = NULL;
	struct error e = { "" };

	ck_assert_msg(graph_build(trace, GRAPH_ORDER_THREAD, &g, &e) == 0, "%s", e.text);
	return g;
}

static size_t count_changes(const struct graph *a, const struct graph *b, struct diff **ret_diff)
{
	const struct graph *graphs[2] = { a, b };

	ck_assert_int_eq(diff_new(graphs, ret_diff), 0);
	return (*ret_diff)->n_changes;
}

/* Messages of run 1 that the changes say are new, and of run 0 that they say are gone but for those in whose place others are. */
static void count_messages(const struct diff *diff, size_t *ret_new, size_t *ret_gone)
{
	*ret_new = *ret_gone = 0;
	for (size_t i = 0; i < diff->n_changes; i++) {
		const struct diff_change *change = &diff->changes[i];
		size_t n = (size_t)change->n[0] + change->n[1];

		if (change->kind == DIFF_MESSAGES_ADDED || change->kind == DIFF_CONNECTION_ADDED || change->kind == DIFF_CONNECTION_INSTEAD)
			*ret_new += n;
		if (change->kind == DIFF_MESSAGES_REMOVED || change->kind == DIFF_CONNECTION_REMOVED)
			*ret_gone += n;
	}
}

/* Nothing differs from itself, in whatever order it arrives; of two others every message is in both, or is said to be new or gone. */
START_TEST(every_message_counts)
{
	struct random_run runs[3];
	struct graph *graphs[3];
	struct diff *diff;
	size_t more, gone;

	for (unsigned seed = 0; seed < 60; seed++) {
		for (int i = 0; i < 3; i++) {
			random_run_init(&runs[i], seed + (i == 2 ? 1000 : 0), &shapes[seed % 3]);
			if (i)
				random_run_shuffle(&runs[i], seed);
			if (i == 2 && seed % 2)
				random_run_faults(&runs[i], seed, 2);
			graphs[i] = build(&runs[i].trace);
		}
		ck_assert_uint_eq(count_changes(graphs[0], graphs[1], &diff), 0);
		ck_assert_uint_eq(diff->same_messages, graphs[0]->n_messages);
		diff_free(diff);
		ck_assert_uint_gt(count_changes(graphs[0], graphs[2], &diff), 0);
		count_messages(diff, &more, &gone);
		ck_assert_uint_eq(diff->same_messages + more, graphs[2]->n_messages);
		ck_assert_uint_le(diff->same_messages + gone, graphs[0]->n_messages);
		diff_free(diff);
		for (int i = 0; i < 3; i++) {
			graph_free(graphs[i]);
			random_run_fini(&runs[i]);
		}
	}
}
END_TEST

/* What moved these bytes was not recorded. */
static void forget(struct talk *t, uint64_t pos, uint32_t end)
{
	struct event *events = t->trace.events;
	size_t n = 0;

	for (size_t i = 0; i < t->trace.n_events; i++)
		if ((events[i].kind != EVENT_SEND && events[i].kind != EVENT_RECV) || events[i].pos != pos ||
		    (events[i].end != end && events[i].end != end + 1))
			events[n++] = events[i];
	t->trace.n_events = n;
}

/* What is missing where the run lost events is explained by that; what is missing on another connection is not. */
START_TEST(lost_events)
{
	const struct graph *graphs[2];
	struct diff *diff = NULL;
	struct talk talks[2];

	talk_init(&talks[0], "a b c", "a+b c+b 3(a>b) 3(c>b)");
	talk_init(&talks[1], "a b c", "a+b c+b 3(a>b) 2(c>b)");
	forget(&talks[_i], 10, talks[_i].line[1][2]);
	for (int i = 0; i < 2; i++)
		graphs[i] = talk_graph(&talks[i]);
	ck_assert_int_eq(diff_new(graphs, &diff), 0);
	ck_assert_uint_eq(diff->n_changes, 2);
	for (int i = 0; i < 2; i++) {
		const struct diff_change *change = &diff->changes[i];
		bool of_a = graphs[0]->connections[change->connection[0]].label[0] == 'a';

		ck_assert_int_eq(change->cause, of_a ? DIFF_BY_LOSS : DIFF_UNEXPLAINED);
		ck_assert(!of_a || change->cause_run == (unsigned)_i);
		ck_assert_str_eq(graphs[0]->connections[change->connection[0]].label, of_a ? "a>b:7000#1" : "c>b:7000#1");
	}
	ck_assert_uint_ne(diff->changes[0].connection[0], diff->changes[1].connection[0]);
	diff_free(diff);
	for (int i = 0; i < 2; i++) {
		graph_free((struct graph *)graphs[i]);
		talk_fini(&talks[i]);
	}
}
END_TEST

#ifndef SANITIZED
/* Whichever allocation fails: no memory, said so, or no harm done; and nothing is kept. */
START_TEST(no_memory)
{
	struct talk talks[2];
	const struct graph *graphs[2];
	bool failed = true;
	size_t which = 0;
	long before;

	while (strcmp(golden[which].name, "a cut, and what came of it") != 0)
		which++;
	talk_init(&talks[0], FIRST, golden[which].before);
	talk_init(&talks[1], FIRST, golden[which].after);
	graphs[0] = talk_graph(&talks[0]);
	graphs[1] = talk_graph(&talks[1]);
	for (long n = 1; failed; n++) {
		struct diff *diff = NULL;
		int err;

		before = heap.balance;
		heap_arm(n);
		err = diff_new(graphs, &diff);
		failed = heap_disarm();
		ck_assert_msg(err == -ENOMEM || (!err && diff->n_changes == 5), "allocation %ld: %d", n, err);
		diff_free(diff);
		ck_assert_msg(heap.balance == before, "allocation %ld: %ld not freed", n, heap.balance - before);
	}
	ck_assert_int_gt(heap.fail_at, 30);
	for (int i = 0; i < 2; i++) {
		graph_free((struct graph *)graphs[i]);
		talk_fini(&talks[i]);
	}
}
END_TEST
#endif

int main(void)
{
	Suite *suite = suite_create("diff");
	TCase *tc = tcase_create("talks");
	SRunner *sr;
	int failed;

	tcase_add_loop_test(tc, what_is_said, 0, N_GOLDEN);
	tcase_add_test(tc, whole_json);
	tcase_add_test(tc, every_message_counts);
	tcase_add_loop_test(tc, lost_events, 0, 2);
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
