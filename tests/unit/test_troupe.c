/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Several agents that play one: which agent gets which box, and runs conducted against a cluster of agents in this
 * process, on a clock that only the test moves. Each agent answers after a delay of its own.
 */
#include <check.h>
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/cast.h"
#include "collector/conduct.h"
#include "collector/troupe.h"
#include "tests/heap.h"

#define SECOND 1000000000ull
#define MS 1000000ull
#define NEVER UINT64_MAX

enum { AGENTS = 3, NOTICES = 256 };

/* Only what the product asks for may fail; the test, and Check, have all they want. */
static void product(bool inside)
{
#ifndef SANITIZED
	heap.armed = inside;
#endif
}

#define PRODUCT(call) (product(true), (void)(call), product(false))

/* ---- the cluster ---- */

struct notice {
	uint64_t at;
	size_t agent;
	struct message message;
	char name[64];
};

struct agent {
	char transcript[2048];
	bool refuses; /* cannot make its boxes */
	bool deaf;
	bool running, ended; /* between Begin and Finish; after it */
};

struct cluster {
	struct agent agents[AGENTS];
	struct notice notices[NOTICES];
	size_t n_notices;
	uint64_t now;
	unsigned seed;
	struct cast cast;
	struct troupe *troupe;
	struct conduct *conduct;
};

static void note(struct agent *agent, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void note(struct agent *agent, const char *format, ...)
{
	size_t n = strlen(agent->transcript);
	va_list ap;

	va_start(ap, format);
	vsnprintf(agent->transcript + n, sizeof(agent->transcript) - n, format, ap);
	va_end(ap);
}

static void later(struct cluster *c, size_t agent, uint64_t after, struct message message, const char *name)
{
	struct notice *notice;

	if (c->agents[agent].deaf)
		return;
	ck_assert_uint_lt(c->n_notices, NOTICES);
	notice = &c->notices[c->n_notices++];
	*notice = (struct notice){ c->now + after, agent, message, "" };
	snprintf(notice->name, sizeof(notice->name), "%s", name);
}

static uint64_t delay(struct cluster *c)
{
	return MS + (uint64_t)rand_r(&c->seed) % (20 * MS);
}

static struct trace_box made[AGENTS][2] = {
	{ { "a1", "10.0.0.1", "" }, { "a2", "10.0.0.2", "" } },
	{ { "b1", "10.0.1.1", "fd::b1" } },
	{ { "c1", "10.0.2.1", "" } },
};
static const size_t n_made[AGENTS] = { 2, 1, 1 };

static void on_begin(struct cluster *c, size_t i, const struct message_order *order, struct message_reply *reply)
{
	struct agent *agent = &c->agents[i];

	note(agent, "begin:");
	for (char **box = order->begin.boxes; *box; box++)
		note(agent, "%s,", *box);
	for (size_t k = 0; k < order->begin.n_peers; k++)
		note(agent, "%s=%s,", order->begin.peers[k].name, order->begin.peers[k].address);
	note(agent, " ");
	if (agent->refuses) {
		reply->code = -EIO;
		reply->error = "no room";
		return;
	}
	ck_assert(!agent->running);
	agent->running = true;
	reply->boxes = made[i];
	reply->n_boxes = n_made[i];
}

/* Programs end by themselves 5 ms after their start; servers, whose names begin with s, on their signal. */
static void on_start(struct cluster *c, size_t i, const struct message_start *start, uint64_t after)
{
	struct message ready = { .kind = MESSAGE_READY }, exited = { .kind = MESSAGE_EXITED };

	note(&c->agents[i], "start:%s@%s ", start->name, start->box);
	if (start->ready_port)
		later(c, i, after + MS, ready, start->name);
	if (start->name[0] != 's')
		later(c, i, after + 5 * MS, exited, start->name);
}

static int on_order(void *arg, size_t i, const struct message_order *order, struct error *e)
{
	struct cluster *c = arg;
	struct agent *agent = &c->agents[i];
	struct message reply = { .kind = MESSAGE_REPLY, .reply = { .id = order->id, .error = "" } };
	uint64_t after = delay(c);

	product(false);
	if (order->kind != ORDER_BEGIN)
		ck_assert(agent->running && !agent->ended);
	if (order->kind == ORDER_BEGIN)
		on_begin(c, i, order, &reply.reply);
	else if (order->kind == ORDER_START)
		on_start(c, i, &order->start, after);
	else if (order->kind == ORDER_SIGNAL)
		note(agent, "signal:%s ", order->signal.name);
	else if (order->kind == ORDER_MARK)
		note(agent, "mark:%s ", order->mark);
	else if (order->kind == ORDER_ARM)
		for (size_t k = 0; k < order->arm.n; k++)
			note(agent, "arm:%u ", order->arm.faults[k].id);
	else if (order->kind == ORDER_LIFT)
		note(agent, "lift:%u ", order->lift);
	else if (order->kind == ORDER_FINISH)
		note(agent, "finish ");
	if (order->kind == ORDER_ARM && agent->refuses) {
		reply.reply.code = -EOPNOTSUPP;
		reply.reply.error = "not here";
	}
	if (order->kind == ORDER_SIGNAL)
		later(c, i, after, (struct message){ .kind = MESSAGE_EXITED, .exited.status = SIGTERM }, order->signal.name);
	agent->ended = order->kind == ORDER_FINISH;
	later(c, i, after, reply, "");
	product(true);
	return 0;
}

static char *argv_true[] = { "/bin/true", NULL }, *no_env[] = { NULL };
static char *box_names[] = { "a1", "b1", "a2", "c1", NULL }, *box_agents[] = { NULL, NULL, NULL, NULL };
static struct experiment_process servers[] = {
	{ .name = "s1", .box = "a1", .run = argv_true, .env = no_env, .stop_signal = SIGTERM, .ready_port = 7 },
	{ .name = "s2", .box = "b1", .run = argv_true, .env = no_env, .stop_signal = SIGTERM },
};
static struct experiment_process workloads[] = {
	{ .name = "w1", .box = "c1", .run = argv_true, .env = no_env, .stop_signal = SIGTERM },
	{ .name = "w2", .box = "a2", .run = argv_true, .env = no_env, .stop_signal = SIGTERM },
};
static const struct experiment x = {
	.name = "x", .path = "/x", .text = "", .boxes = box_names, .n_boxes = 4, .agents = box_agents,
	.search_path = "/bin", .processes = servers, .n_processes = 2, .workloads = workloads, .n_workloads = 2,
	.check_box = "b1", .check_run = argv_true,
	.timeout_ns = 10 * SECOND, .ready_timeout_ns = 2 * SECOND, .grace_ns = SECOND,
};
static const struct cast_agent rows[AGENTS] = {
	{ "host-a", "", made[0], 2, false }, { "host-b", "key-b", made[1], 1, false }, { "host-c", "", made[2], 1, false },
};

/* The troupe as a conduct's door. */
static int on_conduct_order(void *arg, const struct message_order *order, struct error *e)
{
	struct cluster *c = arg;

	return troupe_order(c->troupe, order, e);
}

static int cluster_init(struct cluster *c, unsigned seed)
{
	struct troupe_door troupe_door = { on_order, c };
	struct conduct_door conduct_door = { on_conduct_order, c };
	struct error e;
	int err;

	memset(c, 0, sizeof(*c));
	c->seed = seed;
	c->now = 1000 * SECOND;
	PRODUCT(err = cast_make(&x, rows, AGENTS, &c->cast, &e));
	if (err)
		return err;
	PRODUCT(c->troupe = troupe_new(&c->cast, &x, &troupe_door));
	if (!c->troupe)
		return -ENOMEM;
	PRODUCT(err = conduct_new(&x, 7, "/run/dir", &conduct_door, &c->conduct, &e));
	return err;
}

static void cluster_fini(struct cluster *c)
{
	conduct_free(c->conduct);
	troupe_free(c->troupe);
	cast_fini(&c->cast);
}

static void deliver(struct cluster *c, struct notice *notice)
{
	const struct message *said;

	if (notice->message.kind == MESSAGE_READY)
		notice->message.ready.name = notice->name;
	if (notice->message.kind == MESSAGE_EXITED)
		notice->message.exited.name = notice->name;
	PRODUCT(said = troupe_message(c->troupe, notice->agent, &notice->message));
	PRODUCT(conduct_on_message(c->conduct, said ? said : &(struct message){ .kind = MESSAGE_NONE }, c->now));
	PRODUCT(conduct_on_time(c->conduct, c->now));
}

static void play_on(struct cluster *c)
{
	for (int step = 0; !conduct_done(c->conduct); step++) {
		uint64_t next = conduct_deadline(c->conduct);
		struct notice notice;
		size_t at = c->n_notices;

		ck_assert_int_lt(step, 10000);
		for (size_t i = 0; i < c->n_notices; i++)
			if (c->notices[i].at <= next) {
				at = i;
				next = c->notices[i].at;
			}
		ck_assert_uint_ne(next, NEVER);
		c->now = next > c->now ? next : c->now;
		if (at == c->n_notices) {
			PRODUCT(conduct_on_time(c->conduct, c->now));
			continue;
		}
		notice = c->notices[at];
		memmove(&c->notices[at], &c->notices[at + 1], (--c->n_notices - at) * sizeof(notice));
		deliver(c, &notice);
	}
}

static void play(struct cluster *c)
{
	PRODUCT(conduct_begin(c->conduct, c->now));
	play_on(c);
}

#define MARKS "mark:workload "
#define END "mark:check mark:outcome mark:teardown "

/* Whatever the order of the answers: each agent gets what concerns its boxes, with the others' addresses, and all marks. */
START_TEST(good)
{
	static const char *const wanted[AGENTS][6] = {
		{ "begin:a1,a2,b1=10.0.1.1,c1=10.0.2.1, start:s1@a1 ", "start:w2@a2 ", "signal:s1 ", "finish " },
		{ "begin:b1,a1=10.0.0.1,a2=10.0.0.2,c1=10.0.2.1, start:s2@b1 ", "start::check@b1 ", "signal:s2 ", "finish " },
		{ "begin:c1,a1=10.0.0.1,b1=10.0.1.1,a2=10.0.0.2, mark:workload start:w1@c1 mark:check mark:outcome mark:teardown finish " },
	};
	struct cluster c;

	ck_assert_int_eq(cluster_init(&c, (unsigned)_i), 0);
	play(&c);
	ck_assert_msg(conduct_result(c.conduct)->outcome == OUTCOME_GOOD, "%s", conduct_result(c.conduct)->reason);
	for (size_t i = 0; i < AGENTS; i++) {
		const char *said = c.agents[i].transcript;

		ck_assert(c.agents[i].ended);
		for (const char *const *part = wanted[i]; *part; part++)
			ck_assert_msg(strstr(said, *part) != NULL, "'%s' is not in '%s'", *part, said);
		ck_assert_msg(strstr(said, "mark:workload") && strstr(said, "mark:teardown"), "%s", said);
		if (i != 0)
			ck_assert_msg(!strstr(said, "start:w2") && !strstr(said, "start:s1"), "%s", said);
	}
	cluster_fini(&c);
}
END_TEST

/* Each agent gets the faults that concern its boxes, and is asked to lift only what it has. */
START_TEST(faults)
{
	static const char text[] = "isolate a1\ncut w1>b1:7#1/1\npartition a1,a2 | b1,c1\ncrash s2";
	static const char *const wanted[AGENTS] = { "arm:1 arm:3 start:s1", "arm:3 arm:4 start:s2", "arm:2 arm:3 mark:workload" };
	struct plan plan = { .n = 0 };
	struct cluster c;

	ck_assert(!plan_add_text(&plan, "p", text, sizeof(text) - 1, NULL) && !plan_number(&plan, 1, NULL));
	ck_assert_int_eq(cluster_init(&c, (unsigned)_i), 0);
	conduct_faults(c.conduct, &plan);
	play(&c);
	ck_assert_msg(conduct_result(c.conduct)->outcome == OUTCOME_GOOD, "%s", conduct_result(c.conduct)->reason);
	for (size_t i = 0; i < AGENTS; i++)
		ck_assert_msg(strstr(c.agents[i].transcript, wanted[i]) != NULL, "%s", c.agents[i].transcript);
	for (size_t i = 0; i < AGENTS; i++)
		c.agents[i].ended = false;
	PRODUCT(troupe_order(c.troupe, &(struct message_order){ .id = 900, .kind = ORDER_LIFT, .lift = 2 }, NULL));
	ck_assert(!strstr(c.agents[0].transcript, "lift") && !strstr(c.agents[1].transcript, "lift") &&
		  strstr(c.agents[2].transcript, "lift:2"));
	cluster_fini(&c);
	plan_fini(&plan);
}
END_TEST

/* What a fault is to do must be possible where its moment is seen. */
START_TEST(faults_across)
{
	static const struct {
		const char *fault;
		int column; /* 0: it is possible */
	} cases[] = {
		{ "isolate a1,b1", 0 },
		{ "isolate a1,a2 from send s1>b1:7#1/1", 0 },
		{ "isolate a1,b1 from send s1>b1:7#1/1", 20 },
		{ "isolate a1 from exit s2", 17 },
		{ "partition a1 | b1,c1 from exit w2", 0 },
		{ "partition b1,c1 | a1 from exit w2", 0 },
		{ "partition b1,a1 | c1,a2 from exit w2", 30 },
		{ "loss 5% a1 from connect s1>b1:7#1", 0 },
		{ "crash box b1 at recv w1>a1:7#1/1", 17 },
		{ "cut w1>a1:7#1/1", 0 },
	};
	char text[128] = "";
	struct plan plan = { .n = 0 };
	struct error e = { "" };
	struct cast cast;

	ck_assert(!cast_make(&x, rows, AGENTS, &cast, &e));
	ck_assert_msg(!plan_add(&plan, "p:1", cases[_i].fault, strlen(cases[_i].fault), &e), "%s", e.text);
	ck_assert_int_eq(plan_check_cast(&plan, &x, &cast, &e), cases[_i].column ? -EINVAL : 0);
	if (cases[_i].column)
		snprintf(text, sizeof(text), "p:1:%d: that moment is seen by the agent of box ", cases[_i].column);
	ck_assert_msg(!strncmp(e.text, text, strlen(text)) && !*e.text == !*text, "%s", e.text);
	cast_fini(&cast);
	plan_fini(&plan);
}
END_TEST

/* One agent that cannot arm them ends the run before anything starts, in order for all. */
START_TEST(faults_refused)
{
	struct plan plan = { .n = 0 };
	struct cluster c;

	ck_assert(!plan_add_text(&plan, "p", "partition a1 | b1", 17, NULL) && !plan_number(&plan, 1, NULL));
	ck_assert_int_eq(cluster_init(&c, (unsigned)_i), 0);
	conduct_faults(c.conduct, &plan);
	PRODUCT(conduct_begin(c.conduct, c.now));
	c.agents[1].refuses = true; /* not the Begin: that was answered */
	play_on(&c);
	ck_assert_int_eq(conduct_result(c.conduct)->outcome, OUTCOME_ERROR);
	ck_assert_str_eq(conduct_result(c.conduct)->reason, "not here");
	for (size_t i = 0; i < AGENTS; i++)
		ck_assert(c.agents[i].ended && !strstr(c.agents[i].transcript, "start:"));
	cluster_fini(&c);
	plan_fini(&plan);
}
END_TEST

/* When some cannot begin, those that did are told to finish before the run ends, and it ends with the refusal's words. */
START_TEST(some_refuse)
{
	struct cluster c;

	ck_assert_int_eq(cluster_init(&c, (unsigned)_i * 31 + 1), 0);
	for (size_t i = 0; i < AGENTS; i++)
		c.agents[i].refuses = (_i >> i) & 1;
	play(&c);
	ck_assert_int_eq(conduct_result(c.conduct)->outcome, OUTCOME_ERROR);
	ck_assert_str_eq(conduct_result(c.conduct)->reason, "no room");
	for (size_t i = 0; i < AGENTS; i++) {
		ck_assert_int_eq(c.agents[i].ended, !c.agents[i].refuses);
		ck_assert_ptr_null(strstr(c.agents[i].transcript, "start:"));
	}
	cluster_fini(&c);
}
END_TEST

/* One that says nothing makes the run an error after the silence of an agent. */
START_TEST(one_silent)
{
	struct cluster c;

	ck_assert_int_eq(cluster_init(&c, 1), 0);
	c.agents[_i].deaf = true;
	play(&c);
	ck_assert_int_eq(conduct_result(c.conduct)->outcome, OUTCOME_ERROR);
	ck_assert(conduct_result(c.conduct)->agent_lost);
	cluster_fini(&c);
}
END_TEST

/* Who accepts on another agent knows a connection by its SYN, which says nothing if one of the two was there before the run. */
START_TEST(faults_untold)
{
	static const struct {
		const char *fault;
		bool s1, s2; /* is attached */
		bool possible;
	} cases[] = {
		{ "cut s1<b1:7#1/1", false, false, true },  { "cut s1<b1:7#1/1", true, false, false },
		{ "cut s1.2<b1:7#1/1", true, false, false }, { "cut s1<b1:7#1/1", false, true, false },
		{ "cut s1>b1:7#1/1", true, true, true },    { "cut w2<a1:7#1/1", true, true, true },
		{ "cut s1<10.0.0.9:7#1/1", true, true, true },
	};
	struct experiment_attach attach = { .pid = 1 };
	struct experiment_process processes[2] = { servers[0], servers[1] };
	struct experiment attached = x;
	struct plan plan = { .n = 0 };
	struct error e = { "" };
	struct cast cast;
	int err;

	attached.processes = processes;
	processes[0].attach = cases[_i].s1 ? &attach : NULL;
	processes[1].attach = cases[_i].s2 ? &attach : NULL;
	ck_assert(!cast_make(&attached, rows, AGENTS, &cast, &e));
	ck_assert_msg(!plan_add(&plan, "p:1", cases[_i].fault, strlen(cases[_i].fault), &e), "%s", e.text);
	err = plan_check_cast(&plan, &attached, &cast, &e);
	ck_assert_msg(cases[_i].possible ? !err : err == -EINVAL && strstr(e.text, "one of its ends is attached"), "%d %s", err, e.text);
	cast_fini(&cast);
	plan_fini(&plan);
}
END_TEST

/* Answers that nobody asked for, or twice, or of another agent's order, change nothing. */
START_TEST(strange_answers)
{
	struct message reply = { .kind = MESSAGE_REPLY, .reply = { .error = "" } };
	struct cluster c;

	ck_assert_int_eq(cluster_init(&c, 3), 0);
	conduct_begin(c.conduct, c.now);
	for (uint64_t id = 0; id < 5; id++)
		for (size_t i = 0; i < AGENTS; i++) {
			reply.reply.id = id == 1 ? 99 : id;
			ck_assert_ptr_null(troupe_message(c.troupe, i, &reply));
		}
	/* the same one's answer to Begin, as often as there are agents */
	reply.reply.id = 1;
	reply.reply.boxes = made[1];
	reply.reply.n_boxes = 1;
	for (int i = 0; i < AGENTS; i++)
		ck_assert_ptr_null(troupe_message(c.troupe, 1, &reply));
	cluster_fini(&c);
}
END_TEST

/* Whichever allocation fails, the run ends, and it is good only if nothing failed that it needed. */
START_TEST(no_memory)
{
#ifndef SANITIZED
	bool failed = true;
	long n = 0;

	while (failed) {
		struct cluster c;
		int err;

		heap_arm(++n);
		product(false);
		err = cluster_init(&c, 5);
		if (!err)
			play(&c);
		failed = heap_disarm();
		if (!err)
			ck_assert_int_ne(conduct_result(c.conduct)->outcome, OUTCOME_NONE);
		cluster_fini(&c);
		ck_assert_int_lt(n, 100000);
	}
	ck_assert_int_gt(n, 100);
#endif
}
END_TEST

static int cast_of(const char *agent_of_a1, const struct cast_agent *agents, size_t n, char *said, size_t size)
{
	char *names[] = { "a1", "b1", NULL }, *wanted[] = { (char *)agent_of_a1, NULL, NULL };
	struct experiment two = { .boxes = names, .n_boxes = 2, .agents = wanted };
	struct cast cast;
	struct error e = { "" };
	int err = cast_make(&two, agents, n, &cast, &e);

	snprintf(said, size, "%s", e.text);
	if (!err) {
		snprintf(said, size, "%zu%zu %zu", cast.agents[cast.boxes[0].agent], cast.agents[cast.boxes[1].agent],
			 cast.n_agents);
		cast_fini(&cast);
	}
	return err;
}

/* Boxes go to the agent that is named, that serves the name, or that makes any; else the refusal names box and agent. */
START_TEST(casting)
{
	struct trace_box to_make[] = { { "a1", "", "" }, { "b1", "", "" } };
	struct cast_agent any = { "host", "", NULL, 0, false }, maker = { "maker", "k", to_make, 2, false };
	struct cast_agent busy = rows[0], twins[] = { rows[0], rows[1], rows[0] }, mixed[] = { rows[0], maker };
	struct cast_agent two_any[] = { any, any }, fallback[] = { rows[0], any };
	char said[512];

	busy.busy = true;
	ck_assert_int_eq(cast_of(NULL, rows, AGENTS, said, sizeof(said)), 0);
	ck_assert_str_eq(said, "01 2");
	ck_assert_int_eq(cast_of(NULL, &any, 1, said, sizeof(said)), 0);
	ck_assert_str_eq(said, "00 1");
	ck_assert_int_eq(cast_of("k", &maker, 1, said, sizeof(said)), 0);
	ck_assert_int_eq(cast_of("maker", &maker, 1, said, sizeof(said)), 0);
	ck_assert_int_eq(cast_of(NULL, rows, 1, said, sizeof(said)), -ENOENT);
	ck_assert_ptr_nonnull(strstr(said, "'b1'"));
	ck_assert_int_eq(cast_of("key-b", rows, AGENTS, said, sizeof(said)), -ENOENT);
	ck_assert_ptr_nonnull(strstr(said, "agent 'key-b' serves no box 'a1'"));
	ck_assert_int_eq(cast_of("nobody", rows, AGENTS, said, sizeof(said)), -ENOENT);
	ck_assert_ptr_nonnull(strstr(said, "not connected"));
	ck_assert_int_eq(cast_of(NULL, twins, 3, said, sizeof(said)), -ENOTUNIQ);
	ck_assert_ptr_nonnull(strstr(said, "2 agents could serve box 'a1'"));
	ck_assert_int_eq(cast_of(NULL, two_any, 2, said, sizeof(said)), -ENOTUNIQ);
	twins[0] = busy;
	twins[2] = rows[2];
	ck_assert_int_eq(cast_of(NULL, twins, 3, said, sizeof(said)), -EBUSY);
	ck_assert_ptr_nonnull(strstr(said, "host-a"));
	ck_assert_int_eq(cast_of("host-a", mixed, 2, said, sizeof(said)), -ENETUNREACH);
	ck_assert_ptr_nonnull(strstr(said, "--box b1=NETNS"));
	ck_assert_int_eq(cast_of(NULL, fallback, 2, said, sizeof(said)), -ENETUNREACH);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("troupe");
	TCase *tc = tcase_create("troupe");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, good, 0, 30);
	tcase_add_loop_test(tc, faults, 0, 20);
	tcase_add_loop_test(tc, faults_refused, 0, 20);
	tcase_add_loop_test(tc, faults_across, 0, 10);
	tcase_add_loop_test(tc, faults_untold, 0, 7);
	tcase_add_loop_test(tc, some_refuse, 1, 8);
	tcase_add_loop_test(tc, one_silent, 0, AGENTS);
	tcase_add_test(tc, strange_answers);
	tcase_add_test(tc, no_memory);
	tcase_add_test(tc, casting);
	suite_add_tcase(suite, tc);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
