/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Runs with faults, conducted to their end: when they are armed, and that what they end is nobody's mistake. */
#include "tests/unit/conducted.h"

static struct plan plan_of(const char *text)
{
	struct plan plan = { .n = 0 };
	struct error e = { "" };

	ck_assert_msg(!plan_add_text(&plan, "plan", text, strlen(text), &e) && !plan_number(&plan, 1, &e), "%s", e.text);
	return plan;
}

/* Faults are armed when the boxes are there and before anything starts. One that is refused ends the run, and says why. */
START_TEST(faults_first)
{
	const struct behaviour script[] = { SERVERS, CLIENTS, { .name = ":check", .exit = MS }, { 0 } };
	struct plan plan = plan_of("isolate a\ncut w-1>a:1#1/1\n");
	struct fixture f;

	fixture_init(&f, script);
	conduct_faults(f.conduct, &plan);
	ends(&f, OUTCOME_GOOD, "", "begin arm:2 start:s1 start:s2 start::ready:s2:1 mark:workload start:w-1 start:w-2 mark:check "
				   "start::check " DOWN);
	fixture_init(&f, script);
	f.agent.no_faults = "fault 2 (cut w-1>a:1#1/1): not here";
	conduct_faults(f.conduct, &plan);
	ends(&f, OUTCOME_ERROR, "fault 2 (cut w-1>a:1#1/1): not here", "begin arm:2 finish ");
	fixture_init(&f, script);
	conduct_faults(f.conduct, &plan);
	play(&f, f.now + MS + 1);
	conduct_interrupt(f.conduct, f.now);
	ends(&f, OUTCOME_INTERRUPTED, "", "begin arm:2 finish ");
	plan_fini(&plan);
}
END_TEST

/* A process that a fault ends stops nobody: not the next one that starts, and no warning speaks of it. */
START_TEST(fault_ends_process)
{
	const struct behaviour early[] = { { .name = "s1", .ready = NEVER, .exit = MS, .status = SIGKILL, .fault = 1 },
					   { .name = "s2", .exit = NEVER, .stop = MS }, { .name = ":ready", .exit = MS }, CLIENTS,
					   { .name = ":check", .exit = MS }, { 0 } };
	const struct behaviour late[] = { { .name = "s1", .ready = MS, .exit = 25 * MS, .status = SIGKILL, .fault = 1 },
					  { .name = "s2", .exit = NEVER, .stop = MS }, { .name = ":ready", .exit = MS }, CLIENTS,
					  { .name = ":check", .exit = MS }, { 0 } };
	struct fixture f;

	fixture_init(&f, early);
	ends(&f, OUTCOME_GOOD, "", UP "mark:check start::check mark:outcome mark:teardown signal:s2:2 finish ");
	fixture_init(&f, late);
	ends(&f, OUTCOME_GOOD, "", UP "mark:check start::check mark:outcome mark:teardown signal:s2:2 finish ");
}
END_TEST

/* One that is started again has not ended: it is waited for, and told to stop at the end. */
START_TEST(fault_restarts_process)
{
	const struct behaviour script[] = { { .name = "s1", .ready = 30 * MS, .exit = MS, .status = SIGKILL, .fault = 1, .restarts = true,
					      .stop = MS },
					    { .name = "s2", .exit = NEVER, .stop = MS }, { .name = ":ready", .exit = MS }, CLIENTS,
					    { .name = ":check", .exit = MS }, { 0 } };
	struct fixture f;

	fixture_init(&f, script);
	ends(&f, OUTCOME_GOOD, "", UP "mark:check start::check " DOWN);
}
END_TEST

/* Without a check, workloads that a fault ended say nothing; if there are no others, nothing was tested. */
START_TEST(fault_ends_workload)
{
	const struct behaviour one[] = { SERVERS, { .name = "w-1", .exit = MS, .status = SIGKILL, .fault = 1 },
					 { .name = "w-2", .exit = MS }, { 0 } };
	const struct behaviour both[] = { SERVERS, { .name = "w-", .exit = MS, .status = SIGKILL, .fault = 1 }, { 0 } };
	struct fixture f;

	fixture_init(&f, one);
	f.x.check_run = NULL;
	conduct_anew(&f);
	ends(&f, OUTCOME_GOOD, "", UP DOWN);
	fixture_init(&f, both);
	f.x.check_run = NULL;
	conduct_anew(&f);
	ends(&f, OUTCOME_VACUOUS, "every workload was ended by a fault", UP DOWN);
}
END_TEST

/* While it goes on, faults can be added and lifted; who asked is told, a refusal changes nothing. Before and after: not. */
START_TEST(faults_later)
{
	const struct behaviour script[] = { SERVERS, { .name = "w-1", .exit = 100 * MS }, { .name = "w-2", .exit = 100 * MS },
					    { .name = ":check", .exit = MS }, { 0 } };
	struct plan plan = plan_of("isolate a\n");
	struct error e = { "" };
	struct fixture f;

	fixture_init(&f, script);
	ck_assert_int_eq(conduct_inject(f.conduct, &plan, 5, f.now, &e), -EBUSY);
	play(&f, f.now + 50 * MS);
	ck_assert_int_eq(conduct_inject(f.conduct, &plan, 5, f.now, &e), 0);
	ck_assert_int_eq(conduct_lift(f.conduct, 3, 6, f.now, &e), 0);
	play(&f, f.now + 5 * MS);
	f.agent.no_faults = "no";
	ck_assert_int_eq(conduct_inject(f.conduct, &plan, 7, f.now, &e), 0);
	play(&f, f.now + 5 * MS);
	ck_assert_str_eq(f.agent.answers, "5:0: 6:0: 7:-95:no ");
	ck_assert_int_eq(conduct_inject(f.conduct, &plan, 8, f.now, &e), 0);
	conduct_agent_lost(f.conduct, OUTCOME_ERROR, "gone");
	ck_assert_str_eq(f.agent.answers, "5:0: 6:0: 7:-95:no 8:-32:gone ");
	ck_assert_int_eq(conduct_inject(f.conduct, &plan, 9, f.now, &e), -EBUSY);
	ends(&f, OUTCOME_ERROR, "gone", UP "arm:1 lift:3 arm:1 arm:1 ");
	plan_fini(&plan);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("conduct_fault");
	TCase *tc = tcase_create("conduct_fault");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, faults_first);
	tcase_add_test(tc, fault_ends_process);
	tcase_add_test(tc, fault_restarts_process);
	tcase_add_test(tc, fault_ends_workload);
	tcase_add_test(tc, faults_later);
	suite_add_tcase(suite, tc);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
