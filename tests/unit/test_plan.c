/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Plans: lines from several places, checked whole against an experiment and the labels of an earlier run, with the place of what is
 * wrong and what would have been right.
 */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "collector/armed.h"
#include "collector/labels.h"
#include "collector/plan.h"
#include "collector/receipt.h"
#include "collector/store.h"
#include "lib/claim.h"
#include "proto/wire.h"
#include "tests/scratch.h"

static const char experiment_text[] = "experiment: quorum\n"
				      "boxes: [s1, s2, c]\n"
				      "processes:\n"
				      "  - {name: s1, box: s1, run: [/bin/a]}\n"
				      "  - {name: s2, box: s2, run: [/bin/a]}\n"
				      "workload: {name: client, box: c, run: [/bin/b]}\n"
				      "check: {run: [/bin/c]}\n";

static struct experiment *experiment_make(void)
{
	struct experiment *x = NULL;
	struct error e = { "" };

	ck_assert_msg(!experiment_parse("q.yaml", "/x/q.yaml", experiment_text, sizeof(experiment_text) - 1, &x, &e), "%s", e.text);
	return x;
}

static struct plan plan_read(const char *text)
{
	struct plan plan = { .n = 0 };
	struct error e = { "" };

	ck_assert_msg(!plan_add_text(&plan, "p", text, strlen(text), &e), "%s", e.text);
	return plan;
}

/* What is wrong with a plan; NULL: nothing. */
static const struct {
	const char *plan, *text;
} cases[] = {
	{ "cut client>s1:7000#1/3\n\n# comment\nrefuse s1>10.0.0.9:7000#1\n", NULL },
	{ "crash s1.1.2 at recv client>s1:7000#1/3\nrestart s1.1.2 after 1s", NULL },
	{ "crash s1 at send client<s1:7000#1/1", NULL },
	{ "crash s1'2 at start s1'2", NULL },
	{ "crash s1 at send s1>s2:7000#1/1", NULL },
	{ "crash client at recv client<s1:7000#1/1", NULL },
	{ "crash box s1\nrestart s1 after 1s", NULL },
	{ "partition s1,s2 | c from exit s2", NULL },
	{ "cut clinet>s1:7000#1/3", "p:1:5: the experiment has no process 'clinet'; did you mean 'client'?" },
	{ "\n  cut x>s1:7000#1/3", "p:2:7: the experiment has no process 'x'; did you mean 's1'?" },
	{ "cut hugo.1>s1:7000#1/3", "p:1:5: the experiment has no process 'hugo.1': it has s1, s2, client" },
	{ "cut client>s7:7000#1/3", "p:1:12: the experiment has no box 's7'; did you mean 's1'?" },
	{ "cut client>server:7000#1/3", "p:1:12: the experiment has no box 'server': it has s1, s2, c" },
	{ "isolate s1,s9", "p:1:12: the experiment has no box 's9'; did you mean 's1'?" },
	{ "partition s1 | s2,d", "p:1:19: the experiment has no box 'd'; did you mean 'c'?" },
	{ "loss 5% s1 | client", "p:1:14: the experiment has no box 'client': it has s1, s2, c" },
	{ "crash check", "p:1:7: the check belongs to the harness: faults act on the system's processes only" },
	{ "isolate s1 from send check>s1:7000#1/1", "p:1:22: the check belongs to the harness: faults act on the system's processes only" },
	{ "restart s1 after 1s", "p:1:9: nothing in the plan ends s1: add 'crash s1 at ...' or 'crash box s1 at ...'" },
	{ "crash s1 at send client>s1:7000#1/1",
	  "p:1:13: that moment is client's; it must be s1's own: to send or connect as who connects, to receive as who is connected to "
	  "(recv client>...)" },
	{ "pause s1 at recv client>s2:7000#1/1 for 1s", "p:1:13: that moment is in box s2; it must be s1's own, in box s1" },
	{ "crash s1 at start s2", "p:1:13: the moment must be s1's own: start s1" },
	{ "crash s1 at exit s1", "p:1:13: crash at an exit is too late for a process: at start, send, recv, connect or accept" },
	{ "cut client>s1:7000#1/1\nisolate s1\ncut client>s1:7000#1/01", "p:3:1: the same fault is there already, at p:1" },
};

START_TEST(checks)
{
	struct experiment *x = experiment_make();
	struct plan plan = plan_read(cases[_i].plan);
	struct error e = { "" };
	int err = plan_check(&plan, x, NULL, false, &e);

	ck_assert_msg(err == (cases[_i].text ? -EINVAL : 0), "%s: %s", cases[_i].plan, e.text);
	ck_assert_str_eq(e.text, cases[_i].text ? cases[_i].text : "");
	plan_fini(&plan);
	experiment_free(x);
}
END_TEST

/* What the run did not start is left alone: its messages can be acted on, itself cannot. */
START_TEST(attached)
{
	static const char text[] = "experiment: x\nboxes: [s1, c]\nprocesses: [{name: s1, box: s1, attach: {listen: 7000}}]\n"
				   "workload: {name: client, box: c, run: [/bin/b]}\n";
	static const char *const plans[][2] = {
		{ "crash s1", "p:1:7: s1 is attached, and is left alone: a fault can act on its messages, not on itself" },
		{ "pause s1.1 for 1s", "p:1:7: s1 is attached, and is left alone: a fault can act on its messages, not on itself" },
		{ "crash box s1", "p:1:11: in box s1 is s1, which is attached, and is left alone" },
		{ "crash box c", "" },
		{ "crash client at recv client<s1:7000#1/1\ncut client<s1:7000#1/2\nisolate s1", "" },
	};
	struct experiment *x = NULL;
	struct error e = { "" };

	ck_assert_msg(!experiment_parse("q.yaml", "/x/q.yaml", text, sizeof(text) - 1, &x, &e), "%s", e.text);
	for (size_t i = 0; i < sizeof(plans) / sizeof(plans[0]); i++) {
		struct plan plan = plan_read(plans[i][0]);

		e.text[0] = '\0';
		ck_assert_int_eq(plan_check(&plan, x, NULL, false, &e), *plans[i][1] ? -EINVAL : 0);
		ck_assert_str_eq(e.text, plans[i][1]);
		plan_fini(&plan);
	}
	experiment_free(x);
}
END_TEST

/* A line that cannot be read is said with its place, and leaves what was read before. Too many are said once. */
START_TEST(lines)
{
	struct plan plan = { .n = 0 };
	struct error e = { "" };
	char text[64];
	int err = 0;

	ck_assert_int_eq(plan_add_text(&plan, "a.txt", "isolate s1\r\n\n  # x\n\tcut client\nisolate s2", 40, &e), -EINVAL);
	ck_assert_msg(strstr(e.text, "a.txt:4:6: 'client' is cut off") == e.text, "%s", e.text);
	ck_assert_uint_eq(plan.n, 1);
	for (int i = 0; i < 100000 && !err; i++) {
		snprintf(text, sizeof(text), "cut client>s1:7000#1/%d", i + 1);
		err = plan_add(&plan, "b", text, strlen(text), &e);
	}
	ck_assert_int_eq(err, -E2BIG);
	ck_assert_str_eq(e.text, "b: more than 10000 faults in one plan");
	ck_assert_uint_eq(plan.n, 10000);
	plan_fini(&plan);
	ck_assert_int_lt(plan_add_file(&plan, "/nonexistent/plan", &e), 0);
	ck_assert_str_eq(e.text, "/nonexistent/plan: cannot open the plan: No such file or directory");
	ck_assert_int_lt(plan_add_file(&plan, "/dev/zero", &e), 0);
	ck_assert_str_eq(e.text, "/dev/zero: larger than 4 MiB; this is not a plan");
}
END_TEST

/* The same seed gives each fault the same one again, and each another. Without one, one is drawn. */
START_TEST(seeds)
{
	struct plan a = plan_read("loss 5% s1\nloss 5% s2\nloss 1% c seed 9\nisolate s1"), b = plan_read("loss 5% s1\nloss 5% s2");
	struct error e = { "" };
	char *text;

	a.seed = b.seed = 42;
	a.dry = true;
	ck_assert(!plan_number(&a, 1, &e) && !plan_number(&b, 1, &e));
	ck_assert(a.faults[0].seed == b.faults[0].seed && a.faults[0].seed != a.faults[1].seed && a.faults[2].seed == 9);
	ck_assert(a.faults[3].id == 4 && a.faults[3].flags == FAULT_F_DRY && !a.faults[3].seed);
	b.seed = 0;
	ck_assert(!plan_number(&b, 1, &e) && b.seed && b.seed <= PLAN_SEED_MAX && b.faults[0].seed != a.faults[0].seed);
	text = plan_text(&a);
	ck_assert_str_eq(text, "loss 5% s1\nloss 5% s2\nloss 1% c seed 9\nisolate s1\n");
	free(text);
	plan_fini(&a);
	a = plan_read("loss 1% c seed 9\ncrash s1");
	ck_assert(!plan_number(&a, 1, &e) && !a.seed); /* nothing would follow from it */
	plan_fini(&a);
	a = plan_read("isolate s1\nisolate s2 for 1m\ncrash s1\nloss 1% c lease 5s\nfail fsync EIO s1");
	ck_assert(!plan_live(&a, &e) && !plan_number(&a, 3, &e) && a.faults[0].id == 3);
	text = plan_text(&a);
	ck_assert_str_eq(text, "isolate s1 lease 30s\nisolate s2 for 1m\ncrash s1\nloss 1% c lease 5s\nfail fsync EIO s1\n");
	free(text);
	plan_fini(&a);
	plan_fini(&b);
}
END_TEST

START_TEST(concerns)
{
	struct experiment *x = experiment_make();
	struct plan plan = plan_read("cut client.1>s1:7000#1/3\npartition s1 | s2\ncrash s1'2 at start s1'2\ncrash box c\nisolate s1 from exit client\n"
				     "cut client<s1:7000#1/3");
	static const char *const boxes[] = { "s1", "s2", "c" };
	/* of a moment: who sees it, and for one of who accepts also who connects, which alone knows the connection */
	static const bool wanted[][3] = { { 0, 0, 1 }, { 1, 1, 0 }, { 1, 0, 0 }, { 0, 0, 1 }, { 0, 0, 1 }, { 1, 0, 1 } };

	for (size_t i = 0; i < plan.n; i++)
		for (size_t k = 0; k < 3; k++)
			ck_assert_msg(plan_concerns(x, &plan.faults[i], boxes[k]) == wanted[i][k], "%s: %s", plan.faults[i].text, boxes[k]);
	plan_fini(&plan);
	experiment_free(x);
}
END_TEST

/* ---- labels of an earlier run ---- */

static char folder[64];

static void setup(void)
{
	scratch_name(folder, sizeof(folder), "test-bop-plan-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
}

static void teardown(void)
{
	claim_remove_tree(folder);
}

static struct event *event_add(struct trace *trace, enum event_kind kind, uint32_t process, uint32_t thread, uint32_t end)
{
	struct event *event = trace_event_add(trace);

	event->kind = kind;
	event->process = process;
	event->thread = thread;
	event->end = end;
	event->box = process;
	event->order = event->seq = trace->n_events;
	event->enter_ns = event->return_ns = 1000 * trace->n_events;
	return event;
}

static void end_add(struct trace *trace, uint32_t index, uint32_t ordinal)
{
	struct trace_end *end = trace_end_at(trace, index);

	*end = (struct trace_end){ .box = 1, .process = 1, .role = END_CONNECTOR, .keyed = true, .first_local = index * 100,
				   .first_remote = index * 100 + 1, .ordinal = ordinal, .target = strdup("s1:7000") };
}

/*
 * A client that connects once from its main thread, and twice, racing, from two others, which also race for a message on the
 * first connection, and for who makes which child.
 */
static void trace_make(struct trace *trace)
{
	trace_init(trace);
	trace_box_at(trace, 1)->name = strdup("c");
	trace_process_at(trace, 1)->name = strdup("client");
	trace->processes[1].box = 1;
	event_add(trace, EVENT_START, 1, 0, 0);
	for (uint32_t i = 1; i <= 3; i++) {
		end_add(trace, i, i);
		event_add(trace, EVENT_CONNECT, 1, 0, i);
		if (i == 1) {
			event_add(trace, EVENT_SEND, 1, 0, i)->message = 1;
			trace->events[trace->n_events - 1].value = 5;
		}
	}
	trace->events[3].thread = 1;
	trace->events[4].thread = 2;
	for (uint32_t thread = 1; thread <= 2; thread++) {
		event_add(trace, EVENT_SPAWN, 1, 0, 0)->flags = EVENT_F_THREAD;
		trace->events[trace->n_events - 1].value = thread;
	}
	/* the spawns come before what the threads do */
	trace->events[5].order = 4;
	trace->events[6].order = 5;
	trace->events[3].order = 6;
	trace->events[4].order = 7;
	for (uint32_t thread = 1; thread <= 2; thread++) {
		event_add(trace, EVENT_SEND, 1, thread, 1)->message = 1 + thread;
		trace->events[trace->n_events - 1].pos = 5 * thread;
		trace->events[trace->n_events - 1].value = 5;
	}
	for (uint32_t thread = 1; thread <= 2; thread++) {
		event_add(trace, EVENT_SPAWN, 1, thread, 0)->peer = 1 + thread;
		trace->events[trace->n_events - 1].value = thread;
	}
	for (uint32_t child = 2; child <= 3; child++) {
		trace_process_at(trace, child)->name = strdup(child == 2 ? "client.1" : "client.2");
		trace->processes[child].box = 1;
		trace->processes[child].parent = 1;
		event_add(trace, EVENT_START, child, 0, 0)->box = 1;
		trace->events[trace->n_events - 1].order = 1;
	}
}

/* A run of that trace; with a plan it is no baseline. */
static uint64_t run_make(struct store *store, const char *plan, bool dry)
{
	static const uint32_t rows[] = { 1, 2, 3 };
	struct wire_rows set = { rows, rows, rows, NULL, 1, 3, 3, 0 };
	struct wire_batch head = { .number = 1, .last = true, .emitted = 13 };
	struct store_run run = { .experiment = "quorum", .path = "/x", .text = "", .version = "1", .plan = (char *)plan, .dry_run = dry };
	struct store_stream stream = { .host = "h", .boot_id = "b", .kernel = "k", .backend = "b" };
	struct error e = { "" };
	unsigned char *bytes;
	struct trace trace;
	size_t size;

	trace_make(&trace);
	ck_assert(!store_owner_self(&run.owner, &e));
	ck_assert_msg(!store_run_create(store, &run, &e), "%s", e.text);
	head.run = run.id;
	ck_assert(!wire_batch_encode(&head, &trace, &set, &bytes, &size));
	ck_assert(!store_begin(store, &e) && !store_stream_add(store, run.id, &stream, &e));
	ck_assert(!store_batch_put(store, run.id, stream.number, 1, bytes, size, &e) && !store_commit(store, &e));
	run.outcome = OUTCOME_GOOD;
	ck_assert_msg(!store_run_seal(store, &run, NULL, 0, NULL, &e), "%s", e.text);
	trace_fini(&trace);
	free(bytes);
	return run.id;
}

static void says(const char *text, const struct experiment *x, const struct labels *labels, bool racy, bool live, const char *wanted)
{
	struct plan plan = plan_read(text);
	struct error e = { "" };

	plan.racy = racy;
	plan_check(&plan, x, labels, live, &e);
	ck_assert_str_eq(e.text, wanted);
	plan_fini(&plan);
}

START_TEST(earlier_run)
{
	struct experiment *x = experiment_make();
	struct labels *labels = NULL;
	struct store *store = NULL;
	struct error e = { "" };
	uint64_t id;
	char path[96];

	snprintf(path, sizeof(path), "%s/runs.db", folder);
	ck_assert_msg(!store_open(path, STORE_CREATE, &store, &e), "%s", e.text);
	ck_assert(!labels_load(store, "quorum", &labels, &e) && !labels);
	id = run_make(store, NULL, false);
	run_make(store, "isolate s1\n", false);
	ck_assert(!labels_load(store, "other", &labels, &e) && !labels);
	ck_assert_msg(!labels_load(store, "quorum", &labels, &e) && labels, "%s", e.text);
	ck_assert_uint_eq(labels_run(labels), id);
	says("cut client>s1:7000#1/1", x, labels, false, false, "");
	says("cut client>s1:7000#1/99", x, labels, false, false, ""); /* how many there are can differ */
	says("cut client>s1:7000#9/1", x, labels, false, false,
	     "p:1:5: client>s1:7000#9 did not come about in run 1, the last without faults; did you mean client>s1:7000#1? (--racy takes it all "
	     "the same)");
	says("cut client>s1:7000#1/2", x, labels, false, false,
	     "p:1:5: client>s1:7000#1 is racy: in run 1 nothing orders what competes for its number, the next run may give it to another (--racy "
	     "takes it all the same)");
	says("cut client>s1:7000#9/1", x, labels, true, false, "");
	says("cut client>s1:7000#9/1", x, labels, false, true, "");
	says("isolate s2\nrefuse client>s1:7000#4", x, labels, false, false, ""); /* a reconnect that the first brings about */
	says("refuse client>s1:7000#2", x, labels, false, false,
	     "p:1:8: client>s1:7000#2 is racy: in run 1 nothing orders what competes for its number, the next run may give it to another (--racy "
	     "takes it all the same)");
	says("refuse client>s1:7000#2", x, labels, true, false, "");
	says("refuse client>s1:7000#3", x, labels, false, false, /* the last one that there is */
	     "p:1:8: client>s1:7000#3 is racy: in run 1 nothing orders what competes for its number, the next run may give it to another (--racy "
	     "takes it all the same)");
	says("crash client.1", x, labels, false, false,
	     "p:1:7: client.1 is racy: in run 1 nothing orders what competes for its number, the next run may give it to another (--racy takes "
	     "it all the same)");
	says("crash client.1", x, labels, true, false, "");
	says("crash client.9", x, labels, false, false,
	     "p:1:7: run 1, the last without faults, had no process client.9 (--racy takes it all the same)");
	says("crash client.9", x, labels, true, false, "");
	says("crash client'2.1\ncrash client", x, labels, false, false, "");
	says("crash s1", x, labels, false, false, ""); /* that one the experiment starts */
	labels_free(labels);
	ck_assert_uint_eq(run_make(store, "isolate s1\n", true), 3); /* a dry run shows what there is as well as any */
	ck_assert(!labels_load(store, "quorum", &labels, &e) && labels_run(labels) == 3);
	labels_free(labels);
	store_close(store);
	experiment_free(x);
}
END_TEST

/* The plan is kept with its run, and goes with it; a store of before has no table for it, and needs none. */
START_TEST(kept)
{
	struct store_run *run = NULL;
	struct store *store = NULL;
	struct error e = { "" };
	char path[96];

	snprintf(path, sizeof(path), "%s/runs.db", folder);
	ck_assert(!store_open(path, STORE_CREATE, &store, &e));
	run_make(store, NULL, false);
	ck_assert(!store_run_get(store, 1, &run, &e) && !run->plan && !run->seed);
	store_run_free(run);
	ck_assert(!store_run_remove(store, 1, &e));
	run_make(store, "isolate s1\ncut a>b:1#1/1\n", true);
	ck_assert(!store_run_get(store, 2, &run, &e));
	ck_assert_str_eq(run->plan, "isolate s1\ncut a>b:1#1/1\n");
	ck_assert(run->dry_run && !run->racy);
	store_run_free(run);
	ck_assert(!store_run_remove(store, 2, &e));
	ck_assert_int_eq(store_run_get(store, 2, &run, &e), -ENOENT);
	store_close(store);
}
END_TEST

/* What several agents say of one fault is one receipt; what they say of others is not believed. */
START_TEST(armed_faults)
{
	struct plan plan = plan_read("isolate s1\npartition s1 | s2");
	struct armed armed = { .n_agents = 2 };
	const struct plan many = { .n = FAULT_PLAN_MAX - 1 };
	struct fault_receipt rows[] = { { .id = 2, .state = FAULT_STATE_FIRED, .packets = 3, .fired_ns = 7, .effect_ns = 3200, .line = strdup("?") },
					{ .id = 9, .state = FAULT_STATE_FIRED } },
			     other = { .id = 2, .state = FAULT_STATE_ARMED, .packets = 1 }, all;
	struct error e = { "" };
	char text[128];

	ck_assert(!plan_number(&plan, armed_next(&armed), &e) && !armed_add(&armed, &plan, false, &e));
	ck_assert_int_eq(armed_add(&armed, &many, false, &e), -E2BIG);
	ck_assert(armed_next(&armed) == 3 && !armed_find(&armed, 3));
	ck_assert(!armed_receipt(&armed, armed_find(&armed, 1), &all) && all.state == FAULT_STATE_NONE);
	fault_receipt_fini(&all);
	armed_answered(&armed, 1, 2, 0, "");
	armed_take(&armed, 0, rows, 2);
	armed_take(&armed, 1, &other, 1);
	other.id = 2;
	armed_take(&armed, 2, &other, 1);
	ck_assert_uint_eq(other.id, 2); /* nobody's word: there are two */
	ck_assert(!armed_receipt(&armed, armed_find(&armed, 2), &all));
	ck_assert(all.state == FAULT_STATE_FIRED && all.packets == 4);
	ck_assert_str_eq(all.line, "partition s1 | s2");
	receipt_text(&all, text, sizeof(text));
	ck_assert_str_eq(text, "hit 4 packets; 3.2 us after its moment");
	all.decisions = 30;
	receipt_text(&all, text, sizeof(text));
	ck_assert_str_eq(text, "hit 4 of 30 packets; 3.2 us after its moment");
	all.packets = 0;
	receipt_text(&all, text, sizeof(text));
	ck_assert_str_eq(text, "hit 0 of 30 packets; 3.2 us after its moment");
	all.packets = 4;
	all.decisions = 0;
	receipt_text(&all, text, 10);
	ck_assert_str_eq(text, "hit 4 pac");
	fault_receipt_fini(&all);
	ck_assert(!armed_receipt(&armed, armed_find(&armed, 1), &all) && all.state == FAULT_STATE_ARMED);
	fault_receipt_fini(&all);
	armed_answered(&armed, 1, 1, -EINVAL, "no");
	ck_assert(!armed_receipt(&armed, armed_find(&armed, 1), &all) && all.state == FAULT_STATE_REFUSED);
	ck_assert_str_eq(all.why, "no");
	fault_receipt_fini(&all);
	armed_fini(&armed);
	plan_fini(&plan);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("plan");
	TCase *tc = tcase_create("plan"), *store = tcase_create("store");
	SRunner *runner;
	int failed;

	tcase_add_loop_test(tc, checks, 0, sizeof(cases) / sizeof(*cases));
	tcase_add_test(tc, attached);
	tcase_add_test(tc, lines);
	tcase_add_test(tc, seeds);
	tcase_add_test(tc, concerns);
	tcase_add_test(tc, armed_faults);
	suite_add_tcase(suite, tc);
	tcase_add_checked_fixture(store, setup, teardown);
	tcase_add_test(store, earlier_run);
	tcase_add_test(store, kept);
	suite_add_tcase(suite, store);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
