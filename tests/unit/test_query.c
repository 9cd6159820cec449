/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What the API says of runs that are kept: whole, in pages, and refused where nothing can be said. On random runs in a
 * real store.
 */
#include "tests/unit/query_place.h"

/* Lists of runs: by experiment, from a number on, forwards and backwards, page by page. */
START_TEST(lists)
{
	Bop__Api__ListRuns list = BOP__API__LIST_RUNS__INIT;
	struct api_answer answer;
	uint64_t expected = 1;

	for (unsigned i = 0; i < 23; i++)
		keep(NULL, &(struct kept){ .experiment = i % 2 ? "odd" : "even",
					   .running = i == 22,
					   .plan = i ? NULL : "isolate b1\n" });
	answer = asked(API_LIST_RUNS, &list, API_RUNS);
	ck_assert(answer.runs->n_rows == 23 && !answer.runs->more && !answer.runs->rows[0]->exact);
	ck_assert(answer.runs->rows[22]->running && answer.runs->rows[22]->events == UINT64_MAX &&
		  !*answer.runs->rows[22]->outcome);
	ck_assert(answer.runs->rows[0]->faults == 1 && !answer.runs->rows[1]->faults);
	ck_assert_str_eq(answer.runs->rows[1]->outcome, "good");
	api_answer_fini(&answer);
	list.limit = 5;
	for (bool more = true; more; expected += answer.runs->n_rows, api_answer_fini(&answer)) {
		list.after = expected - 1;
		answer = asked(API_LIST_RUNS, &list, API_RUNS);
		more = answer.runs->more;
		ck_assert_uint_eq(answer.runs->n_rows, more ? 5 : 3);
		for (size_t i = 0; i < answer.runs->n_rows; i++)
			ck_assert_uint_eq(answer.runs->rows[i]->run, expected + i);
	}
	ck_assert_uint_eq(expected, 24);
	list = (Bop__Api__ListRuns)BOP__API__LIST_RUNS__INIT;
	list.newest = true;
	list.experiment = "odd";
	list.limit = 2;
	answer = asked(API_LIST_RUNS, &list, API_RUNS);
	ck_assert(answer.runs->n_rows == 2 && answer.runs->more && answer.runs->rows[0]->run == 22 &&
		  answer.runs->rows[1]->run == 20);
	api_answer_fini(&answer);
	list.after = 4;
	answer = asked(API_LIST_RUNS, &list, API_RUNS);
	ck_assert(answer.runs->n_rows == 1 && !answer.runs->more && answer.runs->rows[0]->run == 2);
	api_answer_fini(&answer);
	list.after = UINT64_MAX;
	answer = asked(API_LIST_RUNS, &list, API_RUNS);
	ck_assert_uint_eq(answer.runs->n_rows, 0);
	api_answer_fini(&answer);
}
END_TEST

/* What was kept of a run comes back: also of faults that nobody answered for. */
START_TEST(one_run)
{
	Bop__Api__GetRun get = BOP__API__GET_RUN__INIT;
	struct api_answer answer;
	struct random_run run;

	random_run_init(&run, 3, &(struct random_options){ .processes = 3, .steps = 200, .forks = true });
	keep(&run.trace, &(struct kept){ .plan = "isolate b1\ncrash p2\n", .check_output = "fine\n" });
	answer = asked(API_GET_RUN, &get, API_RUN_INFO);
	ck_assert_uint_eq(answer.run_info->row->run, 1);
	ck_assert_ptr_nonnull(answer.run_info->row->exact);
	ck_assert(answer.run_info->n_plan == 2 && !strcmp(answer.run_info->plan[1], "crash p2") &&
		  answer.run_info->seed == 7);
	ck_assert(answer.run_info->n_warnings == 2 && !strcmp(answer.run_info->warnings[0], "one"));
	ck_assert(answer.run_info->check_output.len == 5 && !memcmp(answer.run_info->check_output.data, "fine\n", 5));
	ck_assert(answer.run_info->n_faults == 2 && answer.run_info->faults[1]->id == 2 &&
		  !answer.run_info->faults[1]->live);
	ck_assert_str_eq(answer.run_info->faults[0]->state, "asked");
	ck_assert_str_eq(answer.run_info->faults[1]->line, "crash p2");
	ck_assert_str_eq(answer.run_info->processes[0]->role, "process");
	ck_assert(answer.run_info->processes[0]->exited && answer.run_info->processes[0]->status == 9);
	ck_assert_str_eq(answer.run_info->processes[1]->role, "workload");
	ck_assert_uint_gt(answer.run_info->n_processes, 3); /* p3, and children */
	ck_assert_str_eq(answer.run_info->agents[0]->host, "h");
	api_answer_fini(&answer);
	random_run_fini(&run);
}
END_TEST

static void same_message(const struct lineage *l, const struct graph *g, const struct lineage_time *times, uint32_t m,
			 const Bop__Api__Message *row)
{
	const struct graph_message *from = &g->messages[m];
	uint32_t to = lineage_receiver(l, m);
	char label[200];
	size_t n;

	graph_message_label(g, m, label, sizeof(label));
	ck_assert_str_eq(row->label, label);
	ck_assert_str_eq(row->from, g->trace->processes[lineage_sender(l, m)].name);
	ck_assert_str_eq(row->to, to ? g->trace->processes[to].name : "");
	ck_assert(row->direction == from->direction && row->number == from->number && row->bytes == from->size);
	ck_assert(row->received == from->received && row->delivered == from->delivered && row->racy == from->racy);
	ck_assert(row->time == times[m].sent && row->received_time == times[m].received &&
		  row->send_vertex == from->send);
	lineage_receives(l, m, &n);
	ck_assert_uint_eq(row->n_recv_vertices, n);
	ck_assert(row->named && !strcmp(row->transport, "tcp"));
}

/* Page by page, the messages of a run are those of its graph. */
START_TEST(messages)
{
	Bop__Api__GetMessages get = BOP__API__GET_MESSAGES__INIT;
	struct lineage_time *times = NULL;
	struct api_answer answer;
	struct lineage *l = NULL;
	struct graph *g = NULL;
	struct random_run run;
	struct error e;
	bool more = true;
	uint32_t m = 0;

	random_run_init(&run, 5, &(struct random_options){ .processes = 4, .steps = 900, .threads = true });
	keep(&run.trace, &(struct kept){ .lost = 0 });
	ck_assert_int_eq(graph_build(&run.trace, GRAPH_ORDER_THREAD, &g, &e), 0);
	ck_assert_int_eq(lineage_new(g, &l), 0);
	ck_assert_int_eq(lineage_times(l, &times), 0);
	get.order = "thread";
	get.limit = 7;
	while (more) {
		get.after = m;
		answer = asked(API_GET_MESSAGES, &get, API_MESSAGES);
		more = answer.messages->more;
		ck_assert(answer.messages->n_rows == 7 || !more);
		for (size_t i = 0; i < answer.messages->n_rows; i++)
			same_message(l, g, times, m++, answer.messages->rows[i]);
		api_answer_fini(&answer);
	}
	ck_assert_uint_eq(m, g->n_messages);
	ck_assert_uint_gt(m, 30);
	get.after = m + 100;
	answer = asked(API_GET_MESSAGES, &get, API_MESSAGES);
	ck_assert(!answer.messages->n_rows && !answer.messages->more);
	api_answer_fini(&answer);
	get.order = "sideways";
	refused(API_GET_MESSAGES, &get, -EINVAL, "sideways");
	free(times);
	lineage_free(l);
	graph_free(g);
	random_run_fini(&run);
}
END_TEST

/* A goal that the check names: its support is the past of that moment, and each crash stands at a message of it. */
START_TEST(supports)
{
	Bop__Api__GetSupports get = BOP__API__GET_SUPPORTS__INIT;
	Bop__Api__GetPast past = BOP__API__GET_PAST__INIT;
	struct api_answer answer, of_past;
	struct lineage *l = NULL;
	struct graph *g = NULL;
	struct random_run run;
	struct error e;
	char label[200], moment[220], output[500];
	uint32_t last = 0;
	size_t n = 0, crashes = 0;

	random_run_init(&run, 8, &(struct random_options){ .processes = 4, .steps = 400, .forks = true });
	ck_assert_int_eq(graph_build(&run.trace, GRAPH_ORDER_PROCESS, &g, &e), 0);
	ck_assert_int_eq(lineage_new(g, &l), 0);
	for (uint32_t m = 0; m < g->n_messages; m++)
		if (lineage_first_receive(l, m) != LINEAGE_NONE && g->vertices[lineage_first_receive(l, m)].depth >
		    g->vertices[lineage_first_receive(l, last)].depth)
			last = m;
	graph_message_label(g, last, label, sizeof(label));
	snprintf(moment, sizeof(moment), "recv %s", label);
	snprintf(output, sizeof(output), "goal it: %s\ngoal nothing: start p1\n", moment);
	keep(&run.trace, &(struct kept){ .check_output = output });
	answer = asked(API_GET_SUPPORTS, &get, API_SUPPORTS);
	ck_assert(answer.supports->n_goals == 2 && !answer.supports->more && !answer.supports->goals[1]->n_messages);
	ck_assert_str_eq(answer.supports->goals[0]->moment, moment);
	past.moment = moment;
	of_past = asked(API_GET_PAST, &past, API_PAST);
	for (size_t i = 0; i < of_past.past->n_messages; i++) {
		const Bop__Api__Message *row = of_past.past->messages[i];

		if (!*row->from || !*row->to || !strcmp(row->from, row->to))
			continue;
		ck_assert_str_eq(answer.supports->goals[0]->messages[n]->label, row->label);
		crashes += strncmp(row->from, "p2", 2) != 0;
		n++;
	}
	ck_assert_uint_eq(answer.supports->goals[0]->n_messages, n);
	ck_assert_uint_eq(answer.supports->goals[0]->n_crashes, crashes);
	ck_assert(n > 10 && crashes && crashes < n);
	ck_assert_ptr_nonnull(strstr(answer.supports->goals[0]->crashes[0]->moment, "send p"));
	api_answer_fini(&of_past);
	api_answer_fini(&answer);
	get.workloads = true;
	get.goal = "it";
	answer = asked(API_GET_SUPPORTS, &get, API_SUPPORTS);
	ck_assert(answer.supports->n_goals == 1 && answer.supports->goals[0]->n_crashes == n);
	api_answer_fini(&answer);
	get.goal = "else";
	refused(API_GET_SUPPORTS, &get, -ENOENT, "no goal 'else'");
	get.goal = "";
	get.limit = 1;
	get.after = 1;
	answer = asked(API_GET_SUPPORTS, &get, API_SUPPORTS);
	ck_assert(answer.supports->n_goals == 1 && !strcmp(answer.supports->goals[0]->name, "nothing") &&
		  !answer.supports->more);
	api_answer_fini(&answer);
	get.after = 0;
	answer = asked(API_GET_SUPPORTS, &get, API_SUPPORTS);
	ck_assert(answer.supports->n_goals == 1 && answer.supports->more);
	api_answer_fini(&answer);
	lineage_free(l);
	graph_free(g);
	random_run_fini(&run);
}
END_TEST

/* Without goals it is the workload's end; if nothing is behind that, the outcome. */
START_TEST(default_goals)
{
	Bop__Api__GetSupports get = BOP__API__GET_SUPPORTS__INIT;
	struct api_answer answer;
	struct random_run run;

	random_run_init(&run, 8, &(struct random_options){ .processes = 3, .steps = 200 });
	keep(&run.trace, &(struct kept){ .check_output = "goal without a colon\n" });
	answer = asked(API_GET_SUPPORTS, &get, API_SUPPORTS);
	ck_assert_uint_eq(answer.supports->n_goals, 1);
	ck_assert(!strcmp(answer.supports->goals[0]->name, "outcome") ||
		  !strcmp(answer.supports->goals[0]->name, "p2 exit"));
	ck_assert_uint_gt(answer.supports->goals[0]->n_messages, 0);
	api_answer_fini(&answer);
	random_run_fini(&run);
}
END_TEST

/* Takes a receive away that is missed. */
static void hole_make(struct trace *trace)
{
	struct graph *g = NULL;
	size_t holes = 0;

	for (size_t at = 0; at < trace->n_events && !holes; at++) {
		struct event event = trace->events[at];

		if (event.kind != EVENT_RECV || event.value <= 0)
			continue;
		trace->events[at] = trace->events[trace->n_events - 1];
		trace->n_events--;
		ck_assert_int_eq(graph_build(trace, GRAPH_ORDER_PROCESS, &g, NULL), 0);
		holes = g->n_holes;
		graph_free(g);
		if (holes)
			break;
		trace->events[trace->n_events++] = trace->events[at];
		trace->events[at] = event;
	}
	ck_assert_uint_gt(holes, 0);
}

/*
 * Nothing is concluded from a run that is not whole, or from goals that are none; other questions are answered all the
 * same.
 */
START_TEST(not_whole)
{
	static char long_output[64 * 1024 + 1] = "goal a: start p1\n";
	Bop__Api__GetSupports get = BOP__API__GET_SUPPORTS__INIT;
	Bop__Api__GetMessages messages = BOP__API__GET_MESSAGES__INIT;
	struct api_answer answer;
	struct random_run run;

	random_run_init(&run, 8, &(struct random_options){ .processes = 3, .steps = 200 });
	keep(&run.trace, &(struct kept){ .lost = 3 });
	refused(API_GET_SUPPORTS, &get, -ENODATA, "lost 3 events");
	keep(&run.trace, &(struct kept){ .incomplete = true });
	refused(API_GET_SUPPORTS, &get, -ENODATA, "is incomplete");
	keep(&run.trace, &(struct kept){ .running = true });
	refused(API_GET_SUPPORTS, &get, -ENODATA, "goes on");
	answer = asked(API_GET_MESSAGES, &messages, API_MESSAGES);
	ck_assert_uint_gt(answer.messages->n_rows, 10);
	api_answer_fini(&answer);
	keep(&run.trace, &(struct kept){ .check_output = "goal a: recv p1>b1:9#1/1\n" });
	refused(API_GET_SUPPORTS, &get, -EINVAL, "goal 'a'");
	memset(long_output + 17, 'x', sizeof(long_output) - 18);
	keep(&run.trace, &(struct kept){ .check_output = long_output });
	refused(API_GET_SUPPORTS, &get, -EINVAL, "more than");
	hole_make(&run.trace);
	keep(&run.trace, &(struct kept){ .lost = 0 });
	refused(API_GET_SUPPORTS, &get, -ENODATA, "hole");
	random_run_fini(&run);
}
END_TEST

/* What is not there is said so, by everyone. */
START_TEST(errors)
{
	Bop__Api__GetRun get = BOP__API__GET_RUN__INIT;
	Bop__Api__GetPast past = BOP__API__GET_PAST__INIT;
	Bop__Api__Render render = BOP__API__RENDER__INIT;
	Bop__Api__RemoveRun remove = BOP__API__REMOVE_RUN__INIT;
	Bop__Api__DescribeExperiment describe = BOP__API__DESCRIBE_EXPERIMENT__INIT;
	struct api_answer answer;
	struct random_run run;

	refused(API_GET_RUN, &get, -ENOENT, "no run yet");
	get.run = 9;
	refused(API_GET_RUN, &get, -ENOENT, "no run 9");
	get.run = UINT64_MAX;
	refused(API_GET_RUN, &get, -ENOENT, "18446744073709551615");
	random_run_init(&run, 8, &(struct random_options){ .processes = 3, .steps = 50 });
	keep(&run.trace, &(struct kept){ .running = true });
	past.moment = "tomorrow";
	refused(API_GET_PAST, &past, -EINVAL, "no moment");
	past.moment = "exit nobody";
	refused(API_GET_PAST, &past, -ENOENT, "exit nobody");
	render.format = "gif";
	refused(API_RENDER, &render, -EOPNOTSUPP, ""); /* is not answered in one piece */
	ck_assert_int_eq(query_render(store, &render, stdout, NULL), -EINVAL);
	refused(API_REMOVE_RUN, &remove, -EINVAL, "0 is none");
	remove.run = 1;
	refused(API_REMOVE_RUN, &remove, -EBUSY, "still being recorded");
	remove.run = 2;
	refused(API_REMOVE_RUN, &remove, -ENOENT, "no run 2");
	keep(&run.trace, &(struct kept){ .lost = 0 });
	answer = asked(API_REMOVE_RUN, &remove, API_REMOVED);
	api_answer_fini(&answer);
	refused(API_REMOVE_RUN, &remove, -ENOENT, "no run 2");
	describe.text = (ProtobufCBinaryData){ 3, (uint8_t *)"a\0b" };
	refused(API_DESCRIBE_EXPERIMENT, &describe, -EINVAL, "zero byte");
	describe.text = (ProtobufCBinaryData){ 3, (uint8_t *)"[]\n" };
	describe.name = "my.yaml";
	refused(API_DESCRIBE_EXPERIMENT, &describe, -EINVAL, "my.yaml");
	describe.path = "relative.yaml";
	refused(API_DESCRIBE_EXPERIMENT, &describe, -EINVAL, "absolute");
	random_run_fini(&run);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("query");
	TCase *tc = tcase_create("query");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_set_timeout(tc, 120);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, lists);
	tcase_add_test(tc, one_run);
	tcase_add_test(tc, messages);
	tcase_add_test(tc, supports);
	tcase_add_test(tc, default_goals);
	tcase_add_test(tc, not_whole);
	tcase_add_test(tc, errors);
	suite_add_tcase(suite, tc);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
