/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Runs, conducted to their end: the order of things, the outcome and its reason, and whatever can go wrong on the way. */
#include "tests/unit/conducted.h"

/* Everything in order: each process ready before the next, workloads together, check, marks, stop signals, finish. */
START_TEST(good)
{
	const struct behaviour script[] = { SERVERS, CLIENTS, { .name = ":check", .exit = MS }, { 0 } };
	struct fixture f;

	fixture_init(&f, script);
	ends(&f, OUTCOME_GOOD, "", UP "mark:check start::check " DOWN);
}
END_TEST

static struct experiment_attach attach = { .pid = 12, .place = "e.yaml:4:5", .text = "(attached by pid 12)" };

/* With the first process attached. */
static void fixture_attach(struct fixture *f, const struct behaviour *script)
{
	fixture_init(f, script);
	f->processes[0] = (struct experiment_process){ .name = "s1", .box = "a", .attach = &attach };
	conduct_anew(f);
}

/* What is attached is ready when it is; it is neither stopped nor waited for. Its end during the run decides nothing. */
START_TEST(attached)
{
	const struct behaviour lives[] = { SERVERS, CLIENTS, { .name = ":check", .exit = MS }, { 0 } };
	const struct behaviour refused[] = { { .name = "s1", .refused = "there is no process 12" }, { 0 } };
	struct fixture f;

	fixture_attach(&f, lives);
	ends(&f, OUTCOME_GOOD, "", "begin attach:s1 start:s2 start::ready:s2:1 mark:workload start:w-1 start:w-2 mark:check start::check "
				   "mark:outcome mark:teardown signal:s2:2 finish ");
	fixture_attach(&f, lives);
	play(&f, f.now + 15 * MS);
	later(&f.agent, 2 * MS, (struct message){ .kind = MESSAGE_EXITED, .exited = { .name = (char *)"s1", .output = (char *)"" } });
	ends(&f, OUTCOME_GOOD, "", "begin attach:s1 start:s2 start::ready:s2:1 mark:workload start:w-1 start:w-2 "
				   "warning:s1 ended by itself: exit status 0 (bop show --output) mark:check start::check "
				   "mark:outcome mark:teardown signal:s2:2 finish ");
	fixture_attach(&f, refused);
	ends(&f, OUTCOME_ERROR, "e.yaml:4:5: cannot attach s1: there is no process 12", "begin attach:s1 mark:outcome mark:teardown finish ");
}
END_TEST

/* The check's exit status is the outcome, its last line the reason; any other status, or a signal, is an error. */
START_TEST(verdicts)
{
	const struct {
		uint32_t status;
		enum outcome outcome;
		const char *reason;
	} cases[] = {
		{ EXITED(1), OUTCOME_VIOLATED, "last words" }, { EXITED(2), OUTCOME_VACUOUS, "last words" },
		{ EXITED(3), OUTCOME_ERROR, "exit status 3" }, { SIGKILL, OUTCOME_ERROR, "signal 9 (SIGKILL)" },
		{ EXITED(127), OUTCOME_ERROR, "exit status 127" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		const struct behaviour script[] = {
			SERVERS, CLIENTS,
			{ .name = ":check", .exit = MS, .status = cases[i].status, .output = "first\nlast words\n\n" }, { 0 }
		};
		struct fixture f;

		fixture_init(&f, script);
		ends(&f, cases[i].outcome, cases[i].reason, UP "mark:check start::check " DOWN);
	}
}
END_TEST

/* Without a check the workloads decide: all 0 is good, anything else violated, and says who. */
START_TEST(no_check)
{
	const struct behaviour fine[] = { SERVERS, CLIENTS, { 0 } };
	const struct behaviour bad[] = { SERVERS, { .name = "w-1", .exit = MS },
					 { .name = "w-2", .exit = MS, .status = SIGSEGV }, { 0 } };
	struct fixture f;

	fixture_init(&f, fine);
	f.x.check_run = NULL;
	conduct_anew(&f);
	ends(&f, OUTCOME_GOOD, "", UP DOWN);
	fixture_init(&f, bad);
	f.x.check_run = NULL;
	conduct_anew(&f);
	ends(&f, OUTCOME_VIOLATED, "w-2: signal 11 (SIGSEGV)", UP DOWN);
}
END_TEST

/* The check finds addresses and statuses in its environment, of which `env` of others is no part. */
START_TEST(environment)
{
	static const char *const wanted[] = {
		"PATH=/bin\n", "LANG=C.UTF-8\n", "BOP_RUN_DIR=/run/dir\n", "HOME=/run/dir/check\n", "PWD=/run/dir/check\n",
		"USER=root\n", "BOP_BOX=a\n", "BOP_ADDR_A=10.0.0.1\n", "BOP_ADDR_B_1=10.0.0.2\n", "BOP_STATUS_W_1=3\n",
		"BOP_STATUS_W_2=139\n", "BOP_STATUS=139\n",
	};
	const struct behaviour script[] = { SERVERS, { .name = "w-1", .exit = MS, .status = EXITED(3) },
					    { .name = "w-2", .exit = MS, .status = SIGSEGV },
					    { .name = ":check", .exit = MS }, { 0 } };
	struct fixture f;
	size_t lines = 0;

	fixture_init(&f, script);
	ends(&f, OUTCOME_GOOD, "", UP "mark:check start::check " DOWN);
	for (size_t i = 0; i < sizeof(wanted) / sizeof(*wanted); i++)
		ck_assert_msg(strstr(f.agent.environment, wanted[i]) != NULL, "%s is not in %s", wanted[i],
			      f.agent.environment);
	for (const char *c = f.agent.environment; *c; c++)
		lines += *c == '\n';
	ck_assert_uint_eq(lines, sizeof(wanted) / sizeof(*wanted));
}
END_TEST

/* Of two workloads whose names give one variable, the larger status is in it. */
START_TEST(environment_shared)
{
	const struct behaviour script[] = { SERVERS, { .name = "w-1", .exit = MS, .status = EXITED(3) },
					    { .name = "w_1", .exit = MS }, { .name = ":check", .exit = MS }, { 0 } };
	struct fixture f;

	fixture_init(&f, script);
	f.workloads[1].name = "w_1";
	conduct_anew(&f);
	play(&f, NEVER);
	ck_assert_msg(strstr(f.agent.environment, "BOP_STATUS_W_1=3\n") != NULL, "%s", f.agent.environment);
	conduct_free(f.conduct);
}
END_TEST

/* A process that ends before it is ready is an error that names its status; those already started are stopped. */
START_TEST(dies_before_ready)
{
	const struct behaviour script[] = { { .name = "s1", .ready = MS, .exit = NEVER, .stop = MS },
					    { .name = "s2", .exit = MS, .status = EXITED(7) },
					    { .name = ":ready", .exit = MS, .status = EXITED(1) }, { 0 } };
	struct fixture f;

	fixture_init(&f, script);
	play(&f, NEVER);
	ck_assert_str_eq(conduct_result(f.conduct)->blame, "s2");
	ends(&f, OUTCOME_ERROR, "s2 ended before it was ready: exit status 7",
	     "begin start:s1 start:s2 start::ready:s2:1 mark:outcome mark:teardown signal:s1:15 finish ");
}
END_TEST

/* One that puts itself into the background cannot be supervised; it is told what to do. */
START_TEST(becomes_daemon)
{
	const struct behaviour script[] = { { .name = "s1", .ready = 5 * MS, .exit = MS }, { 0 } };
	struct fixture f;

	fixture_init(&f, script);
	ends(&f, OUTCOME_ERROR, "must stay in the foreground", "begin start:s1 mark:outcome mark:teardown finish ");
}
END_TEST

/* One that ends badly later, while nobody asks it to, is no verdict but a warning; one that ends with 0 is nothing odd. */
START_TEST(dies_later)
{
	static const struct {
		uint32_t status;
		const char *warning;
	} cases[] = {
		{ EXITED(3), "warning:s1 ended by itself: exit status 3 (bop show --output) " },
		{ SIGKILL, "warning:s1 ended by itself: signal 9 (SIGKILL) (bop show --output) " },
		{ 0, "" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		const struct behaviour script[] = {
			{ .name = "s1", .ready = 5 * MS, .exit = 15 * MS, .status = cases[i].status },
			{ .name = "s2", .exit = NEVER, .stop = MS, .status = EXITED(1) },
			{ .name = ":ready", .exit = MS }, CLIENTS, { .name = ":check", .exit = MS }, { 0 }
		};
		struct fixture f;
		char transcript[512];

		fixture_init(&f, script);
		snprintf(transcript, sizeof(transcript), UP "%smark:check start::check mark:outcome mark:teardown signal:s2:2 finish ",
			 cases[i].warning);
		ends(&f, OUTCOME_GOOD, "", transcript);
	}
}
END_TEST

/* A process that never listens is waited for as long as ready_timeout says, and named with its port. */
START_TEST(never_listens)
{
	const struct behaviour script[] = { { .name = "s1", .ready = NEVER, .exit = NEVER, .stop = MS }, { 0 } };
	struct fixture f;

	fixture_init(&f, script);
	ends(&f, OUTCOME_ERROR, "s1 was not ready after 2 s: it does not listen on port 7000",
	     "begin start:s1 mark:outcome mark:teardown signal:s1:15 finish ");
	ck_assert_uint_ge(f.now, 1002 * SECOND);
	ck_assert_uint_lt(f.now, 1003 * SECOND);
}
END_TEST

/* A ready program is run again 50 ms after each failure until it exits with 0. */
START_TEST(ready_program)
{
	const struct behaviour script[] = {
		{ .name = "s1", .ready = MS, .exit = NEVER, .stop = MS }, { .name = "s2", .exit = NEVER, .stop = MS },
		{ .name = ":ready", .exit = MS, .failures = 3 }, CLIENTS, { .name = ":check", .exit = MS }, { 0 }
	};
	struct fixture f;

	fixture_init(&f, script);
	ends(&f, OUTCOME_GOOD, "",
	     "begin start:s1 start:s2 start::ready:s2:1 start::ready:s2:2 start::ready:s2:3 start::ready:s2:4 "
	     "mark:workload start:w-1 start:w-2 mark:check start::check " DOWN);
	ck_assert_uint_ge(f.now, 1000 * SECOND + 150 * MS);
	ck_assert_uint_lt(f.now, 1000 * SECOND + 300 * MS);
}
END_TEST

/* A ready program that only ever fails makes the process not ready, and what it said last is told. */
START_TEST(ready_program_fails)
{
	const struct behaviour script[] = {
		{ .name = "s1", .ready = MS, .exit = NEVER, .stop = MS }, { .name = "s2", .exit = NEVER, .stop = MS },
		{ .name = ":ready", .exit = 300 * MS, .status = EXITED(1), .output = "no answer\n" }, { 0 }
	};
	struct fixture f;

	fixture_init(&f, script);
	play(&f, NEVER);
	ck_assert_ptr_nonnull(strstr(conduct_result(f.conduct)->reason, "s2 was not ready after 2 s"));
	ck_assert_ptr_nonnull(strstr(conduct_result(f.conduct)->reason, "no answer"));
	conduct_free(f.conduct);
}
END_TEST

/* A workload or a check that does not end in time makes a timeout that says who; the check is not run after one. */
START_TEST(timeouts)
{
	const struct behaviour hangs[] = { SERVERS, { .name = "w-1", .exit = MS },
					   { .name = "w-2", .exit = NEVER, .stop = MS }, { 0 } };
	const struct behaviour check_hangs[] = { SERVERS, CLIENTS, { .name = ":check", .exit = NEVER }, { 0 } };
	struct fixture f;

	fixture_init(&f, hangs);
	ends(&f, OUTCOME_TIMEOUT, "after 10 s these had not ended: w-2",
	     UP "mark:outcome mark:teardown signal:s1:15 signal:s2:2 signal:w-2:15 finish ");
	ck_assert_uint_lt(f.now, 1011 * SECOND);
	fixture_init(&f, check_hangs);
	ends(&f, OUTCOME_TIMEOUT, "after 10 s the check had not ended", UP "mark:check start::check " DOWN);
}
END_TEST

/* Who ignores its stop signal is not waited for longer than the grace. */
START_TEST(grace)
{
	const struct behaviour script[] = { { .name = "s1", .ready = MS, .exit = NEVER, .stop = NEVER },
					    { .name = "s2", .exit = NEVER, .stop = MS }, { .name = ":ready", .exit = MS },
					    CLIENTS, { .name = ":check", .exit = MS }, { 0 } };
	struct fixture f;

	fixture_init(&f, script);
	ends(&f, OUTCOME_GOOD, "", UP "mark:check start::check " DOWN);
	ck_assert_uint_ge(f.now, 1001 * SECOND);
	ck_assert_uint_lt(f.now, 1002 * SECOND);
}
END_TEST

/* The user may stop it at any moment: whatever it was doing, all is stopped in order and the outcome is interrupted. */
START_TEST(interrupted)
{
	const struct behaviour script[] = { SERVERS, { .name = "w-1", .exit = SECOND, .stop = MS },
					    { .name = "w-2", .exit = SECOND, .stop = MS },
					    { .name = ":check", .exit = SECOND }, { 0 } };
	struct fixture f;

	for (uint64_t at = 0; at < 2000 * MS; at += 7 * MS / 2) {
		const struct conduct_result *result;
		const char *tail;

		fixture_init(&f, script);
		play(&f, f.now + at);
		conduct_interrupt(f.conduct, f.now);
		conduct_interrupt(f.conduct, f.now);
		play(&f, NEVER);
		result = conduct_result(f.conduct);
		ck_assert_int_eq(result->outcome, OUTCOME_INTERRUPTED);
		ck_assert(!result->agent_lost);
		tail = strstr(f.agent.transcript, "finish ");
		ck_assert_msg(tail && !tail[strlen("finish ")], "%s", f.agent.transcript);
		if (strstr(f.agent.transcript, "start:s1"))
			ck_assert_msg(strstr(f.agent.transcript, "signal:s1:15") != NULL, "%s", f.agent.transcript);
		conduct_free(f.conduct);
	}
}
END_TEST

/* Boxes that cannot be made, and programs that cannot be started, end the run with the agent's words. */
START_TEST(refused)
{
	const struct behaviour script[] = { SERVERS, { .name = "w-1", .exit = NEVER, .stop = MS },
					    { .name = "w-2", .refused = "no such file" }, { 0 } };
	struct fixture f;

	fixture_init(&f, script);
	f.agent.no_boxes = "no address is free";
	ends(&f, OUTCOME_ERROR, "no address is free", "begin ");
	fixture_init(&f, script);
	ends(&f, OUTCOME_ERROR, "cannot start w-2: no such file",
	     UP "mark:outcome mark:teardown signal:s1:15 signal:s2:2 signal:w-1:15 finish ");
}
END_TEST

/* An agent that owes an answer and says nothing for 30 s is taken for lost, as is one that cannot be reached. */
START_TEST(agent_hangs)
{
	const struct behaviour script[] = { SERVERS, CLIENTS, { .name = ":check", .exit = MS }, { 0 } };
	struct fixture f;

	fixture_init(&f, script);
	f.agent.deaf = true;
	play(&f, NEVER);
	ck_assert(conduct_result(f.conduct)->agent_lost);
	ck_assert_uint_eq(f.now, 1000 * SECOND + CONDUCT_SILENCE_NS);
	conduct_free(f.conduct);
	fixture_init(&f, script);
	play(&f, f.now + 10 * MS);
	f.agent.broken = true;
	play(&f, NEVER);
	ck_assert(conduct_result(f.conduct)->agent_lost);
	ck_assert_ptr_nonnull(strstr(conduct_result(f.conduct)->reason, "no way to the agent"));
	conduct_free(f.conduct);
}
END_TEST

/* When the agent dies the run is done at once, as an error with that reason, whatever had been decided before. */
START_TEST(agent_dies)
{
	const struct behaviour script[] = { SERVERS, CLIENTS, { .name = ":check", .exit = MS }, { 0 } };
	struct fixture f;

	for (uint64_t at = 0; at < 60 * MS; at += MS) {
		fixture_init(&f, script);
		play(&f, f.now + at);
		if (!conduct_done(f.conduct)) {
			conduct_agent_lost(f.conduct, OUTCOME_ERROR, "the agent died");
			ck_assert(conduct_done(f.conduct));
			ck_assert_int_eq(conduct_result(f.conduct)->outcome, OUTCOME_ERROR);
			ck_assert_str_eq(conduct_result(f.conduct)->reason, "the agent died");
		}
		conduct_free(f.conduct);
	}
}
END_TEST

/* A store that cannot be written ends the run in order, as an error, at whatever moment it shows, even at the very end. */
START_TEST(store_fails)
{
	const struct behaviour script[] = { SERVERS, CLIENTS, { .name = ":check", .exit = MS }, { 0 } };
	struct fixture f;

	for (uint64_t at = 3 * MS; at < 80 * MS; at += MS) {
		fixture_init(&f, script);
		play(&f, f.now + at);
		conduct_fail(f.conduct, "the disk is full", f.now);
		play(&f, NEVER);
		ck_assert_int_eq(conduct_result(f.conduct)->outcome, OUTCOME_ERROR);
		ck_assert_str_eq(conduct_result(f.conduct)->reason, "the disk is full");
		ck_assert_ptr_nonnull(strstr(f.agent.transcript, "signal:s1:15"));
		ck_assert_ptr_nonnull(strstr(f.agent.transcript, "finish "));
		conduct_free(f.conduct);
	}
}
END_TEST

/* What became of each program is known afterwards: who started, who ended, how, and what the check wrote. */
START_TEST(statuses)
{
	const struct behaviour script[] = { { .name = "s1", .ready = MS, .exit = NEVER, .stop = NEVER },
					    { .name = "s2", .exit = NEVER, .stop = MS }, { .name = ":ready", .exit = MS },
					    CLIENTS, { .name = ":check", .exit = MS, .output = "ok\n" }, { 0 } };
	const struct store_process *p;
	struct fixture f;
	size_t n;

	fixture_init(&f, script);
	play(&f, NEVER);
	p = conduct_processes(f.conduct, &n);
	ck_assert_uint_eq(n, 5);
	ck_assert(p[0].role == STORE_PROCESS && p[0].started && !p[0].exited);
	ck_assert(p[1].exited && p[1].status == SIGINT);
	ck_assert(p[2].role == STORE_WORKLOAD && p[2].exited && p[2].status == 0);
	ck_assert(p[4].role == STORE_CHECK && p[4].exited && p[4].output_size == 3);
	ck_assert_str_eq(p[0].command, "/bin/true x?y");
	conduct_free(f.conduct);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("conduct");
	TCase *tc = tcase_create("conduct");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, good);
	tcase_add_test(tc, attached);
	tcase_add_test(tc, verdicts);
	tcase_add_test(tc, no_check);
	tcase_add_test(tc, environment);
	tcase_add_test(tc, environment_shared);
	tcase_add_test(tc, dies_before_ready);
	tcase_add_test(tc, becomes_daemon);
	tcase_add_test(tc, dies_later);
	tcase_add_test(tc, never_listens);
	tcase_add_test(tc, ready_program);
	tcase_add_test(tc, ready_program_fails);
	tcase_add_test(tc, timeouts);
	tcase_add_test(tc, grace);
	tcase_add_test(tc, interrupted);
	tcase_add_test(tc, refused);
	tcase_add_test(tc, agent_hangs);
	tcase_add_test(tc, agent_dies);
	tcase_add_test(tc, store_fails);
	tcase_add_test(tc, statuses);
	suite_add_tcase(suite, tc);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
