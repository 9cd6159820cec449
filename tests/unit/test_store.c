/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A store keeps what it acknowledged, once. */
#include <signal.h>
#include <sys/wait.h>

#include "collector/run.h"
#include "tests/unit/store_place.h"

/* What was created, put and sealed is there after the store was closed and opened again for reading. */
START_TEST(round_trip)
{
	struct store_stream stream = { .host = "h", .boot_id = "b", .kernel = "6", .backend = "t", .monotonic_ns = 7 };
	struct store_process processes[] = {
		{ .name = "s1", .box = "b1", .command = "a b", .role = STORE_PROCESS, .started = true },
		{ .name = "check", .box = "b1", .command = "c", .role = STORE_CHECK, .started = true, .exited = true,
		  .status = 256, .output = "a\0b", .output_size = 3 },
	};
	struct store_run end = {
		.outcome = OUTCOME_VIOLATED, .reason = "why", .duration_ns = 42, .events = 3, .messages = 2, .lost = 1,
		.holes = STORE_UNKNOWN, .incomplete = true,
	};
	struct store *store = store_made(STORE_CREATE);
	struct run *run = NULL;
	struct error e = { "" };
	uint64_t id;

	end.id = id = run_made(store, "y");
	ck_assert_int_eq(store_stream_add(store, id, &stream, &e), 0);
	ck_assert_uint_eq(stream.number, 1);
	ck_assert_int_eq(store_stream_add(store, id, &stream, &e), 0);
	ck_assert_uint_eq(stream.number, 2);
	ck_assert_msg(store_run_seal(store, &end, processes, 2, NULL, &e) == 0, "%s", e.text);
	store_close(store);

	store = store_made(STORE_READ);
	ck_assert_msg(run_load(store, id, &run, &e) == 0, "%s", e.text);
	ck_assert_str_eq(run->row->experiment, "y");
	ck_assert_str_eq(run->row->text, "experiment: y\n");
	ck_assert_str_eq(run->row->reason, "why");
	ck_assert(!run->row->running && run->row->incomplete && !run->row->warnings);
	ck_assert_int_eq(run->row->outcome, OUTCOME_VIOLATED);
	ck_assert_uint_eq(run->row->events, 3);
	ck_assert_uint_eq(run->row->lost, 1);
	ck_assert_uint_eq(run->row->holes, STORE_UNKNOWN);
	ck_assert_uint_eq(run->row->duration_ns, 42);
	ck_assert_str_eq(run->streams[0].kernel, "6");
	ck_assert_uint_eq(run->n_processes, 2);
	ck_assert(!run->processes[0].exited && run->processes[1].exited);
	ck_assert_uint_eq(run->processes[1].status, 256);
	ck_assert_uint_eq(run->processes[1].output_size, 3);
	ck_assert_int_eq(memcmp(run->processes[1].output, "a\0b", 3), 0);
	run_free(run);
	store_close(store);
}
END_TEST

/* A batch number is kept once, as it first came; batches are read in order of their numbers. */
START_TEST(batches_once)
{
	struct store *store = store_made(STORE_CREATE);
	uint64_t id = run_made(store, "y");

	batch_put(store, id, 2, "two");
	batch_put(store, id, 1, "one");
	batch_put(store, id, 2, "other");
	ck_assert_str_eq(batches(store, id), "1:1=one 1:2=two ");
	store_close(store);
}
END_TEST

/* A rolled back transaction leaves nothing; a sealed run takes no batch and no second seal. */
START_TEST(rollback_and_seal)
{
	struct store *store = store_made(STORE_CREATE);
	struct store_run end = { .outcome = OUTCOME_GOOD };
	struct error e;
	int err;

	end.id = run_made(store, "y");
	ck_assert_int_eq(store_begin(store, &e), 0);
	ck_assert_int_eq(store_batch_put(store, end.id, 1, 1, "x", 1, &e), 0);
	store_rollback(store);
	ck_assert_str_eq(batches(store, end.id), "");
	ck_assert_int_eq(store_run_seal(store, &end, NULL, 0, NULL, &e), 0);
	ck_assert_int_eq(store_run_seal(store, &end, NULL, 0, NULL, &e), -ESTALE);
	ck_assert_int_eq(store_begin(store, &e), 0);
	err = store_batch_put(store, end.id, 1, 1, "x", 1, &e);
	if (!err) /* some notice only now */
		err = store_commit(store, &e);
	ck_assert_int_eq(err, -ESTALE);
	store_rollback(store);
	ck_assert_str_eq(batches(store, end.id), "");
	store_close(store);
}
END_TEST

/* What was committed survives SIGKILL right after it; what was not committed does not appear. */
START_TEST(survives_kill)
{
	struct store *store;
	int status;
	pid_t pid;

	store_close(store_made(STORE_CREATE));
	pid = fork();
	if (!pid) {
		store = store_made(STORE_WRITE);
		batch_put(store, run_made(store, "y"), 1, "kept");
		store_begin(store, NULL);
		store_batch_put(store, 1, 1, 2, "not", 3, NULL);
		kill(getpid(), SIGKILL);
	}
	waitpid(pid, &status, 0);
	ck_assert(WIFSIGNALED(status));
	store = store_made(STORE_READ);
	ck_assert_str_eq(batches(store, 1), "1:1=kept ");
	store_close(store);
}
END_TEST

/* A run whose owner is dead is incomplete for a reader, sealed so by a writer, and may be removed; a living owner's is not touched. */
START_TEST(orphans)
{
	struct store *store = store_made(STORE_CREATE);
	struct store_run *row = NULL;
	struct run *run = NULL;
	struct error e = { "" };
	uint64_t mine = run_made(store, "mine");
	pid_t pid = fork();

	if (!pid) {
		store = store_made(STORE_WRITE);
		run_made(store, "orphan");
		kill(getpid(), SIGKILL);
	}
	waitpid(pid, NULL, 0);
	ck_assert_int_eq(run_has_orphans(store, &e), 1);
	ck_assert_int_eq(run_load(store, 2, &run, &e), 0);
	ck_assert(run->row->incomplete && !run->row->running);
	ck_assert_int_eq(run->row->outcome, OUTCOME_ERROR);
	ck_assert_uint_eq(run->row->lost, STORE_UNKNOWN);
	run_free(run);
	ck_assert_int_eq(run_seal_orphans(store, &e), 1);
	ck_assert_int_eq(run_has_orphans(store, &e), 0);
	ck_assert_int_eq(store_run_get(store, 2, &row, &e), 0);
	ck_assert(row->incomplete && !row->running);
	store_run_free(row);
	ck_assert_int_eq(store_run_get(store, mine, &row, &e), 0);
	ck_assert(row->running);
	store_run_free(row);
	ck_assert_int_eq(store_run_remove(store, mine, &e), -EBUSY);
	ck_assert_int_eq(store_run_remove(store, 2, &e), 0);
	store_close(store);
}
END_TEST

/* Who was killed is dead before its parent has looked. */
START_TEST(owner_zombie)
{
	struct store_owner owner = { "" };
	struct error e = { "" };
	siginfo_t info;
	int pipes[2];
	pid_t pid;

	ck_assert_int_eq(pipe(pipes), 0);
	pid = fork();
	if (!pid) {
		if (store_owner_self(&owner, NULL) == 0 && write(pipes[1], &owner, sizeof(owner)) == sizeof(owner))
			pause();
		_exit(1);
	}
	ck_assert_int_eq(read(pipes[0], &owner, sizeof(owner)), sizeof(owner));
	ck_assert(store_owner_alive(&owner));
	kill(pid, SIGKILL);
	ck_assert_int_eq(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
	ck_assert(!store_owner_alive(&owner));
	waitpid(pid, NULL, 0);
	ck_assert(!store_owner_alive(&owner));
	ck_assert_int_eq(store_owner_self(&owner, &e), 0);
	ck_assert(store_owner_alive(&owner));
	close(pipes[0]);
	close(pipes[1]);
}
END_TEST

/* An orphan whose batches cannot be read is listed and sealed like any other. */
START_TEST(orphan_damaged)
{
	struct store *store = store_made(STORE_CREATE);
	struct error e = { "" };
	struct run *run = NULL;
	pid_t pid = fork();
	int n = 0;

	if (!pid) {
		store = store_made(STORE_WRITE);
		batch_put(store, run_made(store, "damaged"), 1, "no batch");
		kill(getpid(), SIGKILL);
	}
	waitpid(pid, NULL, 0);
	ck_assert_int_eq(run_load(store, 1, &run, &e), -EBADMSG);
	ck_assert_int_eq(run_each(store, NULL, count, &n, &e), 0);
	ck_assert_int_eq(n, 1);
	ck_assert_int_eq(run_seal_orphans(store, &e), 1);
	ck_assert_int_eq(run_has_orphans(store, &e), 0);
	store_close(store);
}
END_TEST

/* A removed run is gone with all its batches, its number is not used again, and removing it twice says so. */
START_TEST(removal)
{
	struct store *store = store_made(STORE_CREATE);
	struct store_run end = { .outcome = OUTCOME_GOOD }, *row = NULL;
	struct error e;
	uint64_t last;
	int n = 0;

	run_made(store, "a");
	end.id = run_made(store, "b");
	batch_put(store, end.id, 1, "x");
	ck_assert_int_eq(store_run_seal(store, &end, NULL, 0, NULL, &e), 0);
	ck_assert_int_eq(store_run_remove(store, 2, &e), 0);
	ck_assert_int_eq(store_run_remove(store, 2, &e), -ENOENT);
	ck_assert_int_eq(store_run_get(store, 2, &row, &e), -ENOENT);
	ck_assert_str_eq(batches(store, 2), "");
	ck_assert_int_eq(store_run_last(store, &last, &e), 0);
	ck_assert_uint_eq(last, 1);
	ck_assert_uint_eq(run_made(store, "c"), 3);
	ck_assert_int_eq(store_each_run(store, NULL, count, &n, &e), 0);
	ck_assert_int_eq(n, 2);
	store_close(store);
}
END_TEST

/* Two processes that make and fill the same new store at once both succeed. */
START_TEST(two_writers)
{
	struct store *store;
	pid_t pids[2];
	int status, n = 0;

	for (int i = 0; i < 2; i++) {
		pids[i] = fork();
		if (!pids[i]) {
			store = store_made(STORE_CREATE);
			for (int k = 0; k < 20; k++)
				batch_put(store, run_made(store, "y"), 1, "x");
			store_close(store);
			_exit(0);
		}
	}
	for (int i = 0; i < 2; i++) {
		waitpid(pids[i], &status, 0);
		ck_assert_int_eq(status, 0);
	}
	store = store_made(STORE_READ);
	ck_assert_int_eq(store_each_run(store, NULL, count, &n, NULL), 0);
	ck_assert_int_eq(n, 40);
	store_close(store);
}
END_TEST

/* RUN is a number or last; anything else is refused with its text. */
START_TEST(names_of_runs)
{
	static const char *const bad[] = { "", "0", "-1", "+1", " 1", "1x", "first", "18446744073709551616" };
	struct store *store = store_made(STORE_CREATE);
	struct error e;
	uint64_t id;

	ck_assert_int_eq(run_find(store, "last", &id, &e), -ENOENT);
	run_made(store, "y");
	run_made(store, "y");
	ck_assert_int_eq(run_find(store, "last", &id, &e), 0);
	ck_assert_uint_eq(id, 2);
	ck_assert_int_eq(run_find(store, "1", &id, &e), 0);
	ck_assert_uint_eq(id, 1);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		ck_assert_int_eq(run_find(store, bad[i], &id, &e), -EINVAL);
		ck_assert_ptr_nonnull(strstr(e.text, bad[i]));
	}
	store_close(store);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("store");
	TCase *tc = tcase_create("store");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, place_setup, place_teardown);
	tcase_add_test(tc, round_trip);
	tcase_add_test(tc, batches_once);
	tcase_add_test(tc, rollback_and_seal);
	tcase_add_test(tc, survives_kill);
	tcase_add_test(tc, orphans);
	tcase_add_test(tc, owner_zombie);
	tcase_add_test(tc, orphan_damaged);
	tcase_add_test(tc, removal);
	tcase_add_test(tc, two_writers);
	tcase_add_test(tc, names_of_runs);
	suite_add_tcase(suite, tc);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
