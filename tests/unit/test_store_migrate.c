/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A store of format 1 becomes one of format 2 when it is opened, with everything that was in it, whoever opens it and however many
 * do; one that is killed meanwhile leaves format 1 or 2, whole; where nothing can be written it stays as it is and the refusal says why.
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "collector/catch_up.h"
#include "collector/run.h"
#include "lib/clock.h"
#include "tests/unit/store_format1.h"
#include "tests/unit/random_run.h"

enum { MANY = 1500, KILLS = 25, LIMITS = 20 };

static uint64_t number_of(const char *name, uint64_t otherwise)
{
	return getenv(name) ? strtoull(getenv(name), NULL, 10) : otherwise;
}

/*
 * Runs 1 and 2 did the same (and 2 had another file), 3 something else, 4 lost events, 5 is damaged, 6 had a plan, 7 and 8 are gone,
 * 9 still runs.
 */
static void old_store(bool plan)
{
	struct random_options options = { .processes = 3, .steps = 60 };
	struct random_run one, other;
	sqlite3 *db = format1_begin(place.url);

	random_run_init(&one, 4, &options);
	random_run_init(&other, 5, &options);
	format1_ended(db, 1, "experiment: x\n", "good", &one.trace, 0);
	format1_ended(db, 2, "experiment: x # again\n", "good", &one.trace, 0);
	format1_ended(db, 3, "experiment: x\n", "good", &other.trace, 0);
	format1_ended(db, 4, "experiment: x\n", "good", &one.trace, 2);
	format1_ended(db, 5, "experiment: x\n", "good", NULL, 0);
	format1_run(db, "INSERT INTO batch VALUES (5, 1, 1, x'ff00ff')");
	format1_ended(db, 6, "experiment: x\n", "violated", &one.trace, 0);
	if (plan) {
		format1_run(db, format1_plan);
		format1_run(db, "INSERT INTO plan VALUES (6, 9, 0, 1, 'cut a>b:1#1/1' || char(10) || 'isolate b' || char(10))");
	}
	format1_ended(db, 8, "experiment: x\n", "good", NULL, 0);
	format1_run(db, "DELETE FROM run WHERE id = 8; DELETE FROM stream WHERE run = 8; DELETE FROM process WHERE run = 8");
	format1_run(db, "COMMIT");
	sqlite3_close(db);
	random_run_fini(&one);
	random_run_fini(&other);
}

static int64_t raw_number(const char *sql)
{
	sqlite3_stmt *st;
	int64_t number;
	sqlite3 *db;

	ck_assert_int_eq(sqlite3_open(place.url, &db), SQLITE_OK);
	ck_assert_msg(sqlite3_prepare_v2(db, sql, -1, &st, NULL) == SQLITE_OK, "%s: %s", sql, sqlite3_errmsg(db));
	ck_assert_int_eq(sqlite3_step(st), SQLITE_ROW);
	number = sqlite3_column_int64(st, 0);
	sqlite3_finalize(st);
	sqlite3_close(db);
	return number;
}

static void check_row(struct store *store, uint64_t id, const char *text, enum outcome outcome)
{
	struct run *run = NULL;
	struct error e = { "" };

	ck_assert_msg(!run_load(store, id, &run, &e), "%s", e.text);
	ck_assert_str_eq(run->row->experiment, "x");
	ck_assert_str_eq(run->row->path, "/x/y.yaml");
	ck_assert_str_eq(run->row->text, text);
	ck_assert_str_eq(run->row->version, "0.0.1");
	ck_assert_str_eq(run->row->reason, "why");
	ck_assert_str_eq(run->row->warnings, "one\ntwo");
	ck_assert_str_eq(run->row->owner.boot_id, "boot");
	ck_assert(!run->row->running && !run->row->incomplete);
	ck_assert_int_eq(run->row->outcome, outcome);
	ck_assert_uint_eq(run->row->started_ns, 1700000000000000000);
	ck_assert_uint_eq(run->row->started_monotonic_ns, 5);
	ck_assert_uint_eq(run->row->duration_ns, 42);
	ck_assert_uint_eq(run->row->events, 3);
	ck_assert_uint_eq(run->row->kept, id);
	ck_assert_uint_eq(run->events_of, id);
	ck_assert_uint_eq(run->n_processes, 2);
	ck_assert_uint_eq(run->processes[1].output_size, 2);
	ck_assert_uint_gt(run->trace.n_events, 20);
	run_free(run);
}

static void check_all(struct store *store, bool plan)
{
	struct store_run *row = NULL;
	int n = 0;

	check_row(store, 1, "experiment: x\n", OUTCOME_GOOD);
	check_row(store, 2, "experiment: x # again\n", OUTCOME_GOOD);
	check_row(store, 3, "experiment: x\n", OUTCOME_GOOD);
	check_row(store, 6, "experiment: x\n", OUTCOME_VIOLATED);
	ck_assert_int_eq(store_run_get(store, 6, &row, NULL), 0);
	ck_assert_uint_eq(row->seed, plan ? 9 : 0);
	ck_assert_int_eq(row->racy, plan);
	ck_assert_uint_eq(row->faults, plan ? 2 : 0);
	store_run_free(row);
	ck_assert_int_eq(store_run_get(store, 8, &row, NULL), -ENOENT);
	ck_assert_int_eq(store_each_run(store, NULL, count, &n, NULL), 0);
	ck_assert_int_eq(n, 6);
}

/* With and without the table of plans; opened for reading (0) and for writing (1). */
START_TEST(everything_stays)
{
	bool plan = _i % 2;
	struct store *store;

	old_store(plan);
	store = store_made(_i / 2 ? STORE_WRITE : STORE_READ);
	check_all(store, plan);
	store_close(store);
	ck_assert_int_eq(raw_number("PRAGMA user_version"), 2);
	ck_assert_int_eq(raw_number("SELECT count(*) FROM file"), 2);
	ck_assert_int_eq(raw_number("SELECT count(*) FROM pragma_integrity_check() WHERE integrity_check = 'ok'"), 1);
	store = store_made(STORE_CREATE);
	ck_assert_uint_eq(run_made(store, "x"), 9); /* 8 was given out before */
	store_close(store);
}
END_TEST

/* As a new store would be: the same tables and indexes. */
START_TEST(same_tables)
{
	static const char schema[] = "SELECT group_concat(replace(sql, '\"run\"', 'run'), ';') FROM (SELECT sql FROM sqlite_schema"
				     " WHERE name NOT LIKE 'sqlite_%' ORDER BY name)";
	char *texts[2] = { NULL, NULL };
	sqlite3_stmt *st;
	sqlite3 *db;

	for (int i = 0; i < 2; i++) {
		if (i)
			old_store(false);
		store_close(store_made(STORE_CREATE));
		ck_assert_int_eq(sqlite3_open(place.url, &db), SQLITE_OK);
		ck_assert_int_eq(sqlite3_prepare_v2(db, schema, -1, &st, NULL), SQLITE_OK);
		ck_assert_int_eq(sqlite3_step(st), SQLITE_ROW);
		texts[i] = strdup((const char *)sqlite3_column_text(st, 0));
		sqlite3_finalize(st);
		sqlite3_close(db);
		unlink(place.url);
	}
	ck_assert_uint_gt(strlen(texts[0]), 500);
	ck_assert_str_eq(texts[0], texts[1]);
	free(texts[0]);
	free(texts[1]);
}
END_TEST

/* Runs of before get their classes, and none loses its events. */
START_TEST(classes_of_before)
{
	struct store_run *rows[7] = { NULL };
	struct error e = { "" };
	struct store *store;

	old_store(true);
	store = store_made(STORE_WRITE);
	ck_assert_int_eq(history_lags(store, &e), 1);
	ck_assert_int_eq(history_catch_up_some(store, 2, &e), 2);
	ck_assert_msg(history_catch_up(store, &e) == 4, "%s", e.text);
	ck_assert_int_eq(history_catch_up(store, &e), 0);
	ck_assert_int_eq(history_lags(store, &e), 0);
	for (uint64_t id = 1; id <= 6; id++)
		ck_assert_int_eq(store_run_get(store, id, &rows[id], &e), 0);
	ck_assert(rows[1]->class_id && rows[1]->new_class && rows[1]->class_id == rows[2]->class_id && !rows[2]->new_class);
	ck_assert(rows[3]->class_id && rows[3]->class_id != rows[1]->class_id);
	ck_assert(rows[6]->class_id && rows[6]->class_id != rows[1]->class_id); /* another plan */
	ck_assert(!rows[4]->class_id && strstr(rows[4]->unclassed, "lost"));
	ck_assert(!rows[5]->class_id && strstr(rows[5]->unclassed, "damaged"));
	check_all(store, true);
	for (uint64_t id = 1; id <= 6; id++)
		store_run_free(rows[id]);
	store_close(store);
}
END_TEST

/* A file or a file system that cannot be written: refused, and not a byte of it changes. */
START_TEST(nothing_can_be_written)
{
	struct store *store = NULL;
	struct error e = { "" };

	old_store(true);
	ck_assert_int_eq(chmod(place.url, 0444), 0);
	ck_assert_int_eq(store_open(place.url, STORE_READ, &store, &e), -EROFS);
	ck_assert_msg(strstr(e.text, place.url) && strstr(e.text, "format 1") && strstr(e.text, "copy it"), "%s", e.text);
	ck_assert_int_eq(store_open(place.url, STORE_WRITE, &store, &e), -EROFS);
	ck_assert_int_eq(chmod(place.url, 0644), 0);
	ck_assert_int_eq(raw_number("PRAGMA user_version"), 1);
	ck_assert_int_eq(raw_number("SELECT count(text) FROM run"), 6);
}
END_TEST

/* Whether somebody records in it cannot be read: that is said, and not that somebody does; and nothing is changed. */
START_TEST(damaged_runs)
{
	static const char noise[64] = "no page of a database begins like this";
	struct store *store = NULL;
	struct error e = { "" };
	int64_t page, size;
	int fd;

	old_store(true);
	page = raw_number("SELECT rootpage FROM sqlite_schema WHERE name = 'run'");
	size = raw_number("PRAGMA page_size");
	fd = open(place.url, O_WRONLY | O_CLOEXEC);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(pwrite(fd, noise, sizeof(noise), (page - 1) * size), sizeof(noise));
	close(fd);
	ck_assert_int_eq(store_open(place.url, _i ? STORE_WRITE : STORE_READ, &store, &e), -EBADMSG);
	ck_assert_msg(strstr(e.text, place.url) && strstr(e.text, "the file is damaged"), "%s", e.text);
	ck_assert_int_eq(raw_number("PRAGMA user_version"), 1);
}
END_TEST

/* Large enough that it takes a while. */
static void large_store(void)
{
	char text[700];
	sqlite3 *db = format1_begin(place.url);

	for (uint64_t id = 1; id <= MANY; id++) {
		snprintf(text, sizeof(text), "%0650llu", (unsigned long long)(id % 100));
		format1_ended(db, id, text, "good", NULL, 0);
	}
	format1_run(db, "COMMIT; PRAGMA wal_checkpoint(TRUNCATE)");
	sqlite3_close(db);
}

static void file_copy(const char *from, const char *to)
{
	char buf[65536];
	FILE *in = fopen(from, "r"), *out = fopen(to, "w");
	size_t n;

	ck_assert(in && out);
	while ((n = fread(buf, 1, sizeof(buf), in)) > 0)
		ck_assert_uint_eq(fwrite(buf, 1, n, out), n);
	fclose(in);
	ck_assert_int_eq(fclose(out), 0);
}

/* What a kill left is of one of the two formats, whole; and it can be opened. Returns which. */
static int64_t whole(void)
{
	int64_t format = raw_number("PRAGMA user_version");
	struct store *store;
	int n = 0;

	ck_assert_int_eq(raw_number("SELECT count(*) FROM pragma_integrity_check() WHERE integrity_check = 'ok'"), 1);
	ck_assert(format == 1 || format == 2);
	ck_assert_int_eq(raw_number(format == 1 ? "SELECT count(*) FROM run WHERE length(text) = 650 AND path = '/x/y.yaml'" :
						  "SELECT count(*) FROM run JOIN file ON file = file.id WHERE length(text) = 650"), MANY);
	ck_assert_int_eq(raw_number("SELECT count(*) FROM sqlite_schema WHERE name = 'run2'"), 0);
	store = store_made(STORE_WRITE);
	ck_assert_int_eq(store_each_run(store, NULL, count, &n, NULL), 0);
	ck_assert_int_eq(n, MANY);
	store_close(store);
	ck_assert_int_eq(raw_number("PRAGMA user_version"), 2);
	return format;
}

static pid_t opener(rlim_t limit)
{
	struct store *store;
	pid_t pid = fork();

	if (pid)
		return pid;
	if (limit)
		setrlimit(RLIMIT_FSIZE, &(struct rlimit){ limit, limit });
	_exit(store_open(place.url, STORE_WRITE, &store, NULL) ? 2 : 0);
}

static void again(const char *old)
{
	char name[300];

	for (int i = 0; i < 2; i++) {
		snprintf(name, sizeof(name), "%s%s", place.url, i ? "-wal" : "-shm");
		unlink(name);
	}
	file_copy(old, place.url);
}

/* At random moments, and at each size that its log comes to (SIGXFSZ kills it in the middle of that write). */
START_TEST(killed_meanwhile)
{
	uint64_t kills = number_of("BOP_TEST_ROUNDS", KILLS), formats[3] = { 0 }, seed = (uint64_t)time(NULL) | 1, took, died = 0;
	char old[300];
	struct stat st;
	int status;
	pid_t pid;

	large_store();
	snprintf(old, sizeof(old), "%s.old", place.url);
	ck_assert_int_eq(rename(place.url, old), 0);
	again(old);
	took = clock_monotonic_ns();
	waitpid(opener(0), &status, 0);
	took = clock_monotonic_ns() - took;
	ck_assert_int_eq(status, 0);
	ck_assert_int_eq(whole(), 2);
	for (uint64_t i = 0; i < kills; i++) {
		uint64_t moment = random_next(&seed) % (took + took / 4);

		again(old);
		pid = opener(0);
		nanosleep(&(struct timespec){ (time_t)(moment / CLOCK_SECOND_NS), (long)(moment % CLOCK_SECOND_NS) }, NULL);
		kill(pid, SIGKILL);
		waitpid(pid, &status, 0);
		died += WIFSIGNALED(status);
		formats[whole()]++;
	}
	ck_assert_int_eq(stat(old, &st), 0);
	for (rlim_t i = 1; i <= LIMITS; i++) { /* the file is smaller than the log, or the database is not to be read */
		again(old);
		waitpid(opener((rlim_t)st.st_size * i / LIMITS + i * 777), &status, 0);
		died += WIFSIGNALED(status);
		formats[whole()]++;
	}
	printf("# %llu died; format 1 was left %llu times, format 2 %llu times\n", (unsigned long long)died,
	       (unsigned long long)formats[1], (unsigned long long)formats[2]);
	fflush(stdout);
	ck_assert_uint_gt(died, 3);
	ck_assert_uint_gt(formats[1], 3);
}
END_TEST

/* Several at once: each finds format 2 afterwards. */
START_TEST(together)
{
	int status;
	pid_t pids[4];

	large_store();
	for (int i = 0; i < 4; i++)
		pids[i] = opener(0);
	for (int i = 0; i < 4; i++) {
		waitpid(pids[i], &status, 0);
		ck_assert_int_eq(status, 0);
	}
	ck_assert_int_eq(whole(), 2);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("store_migrate");
	TCase *tc = tcase_create("store_migrate");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_set_timeout(tc, 3600);
	tcase_add_checked_fixture(tc, place_setup_file, place_teardown);
	tcase_add_loop_test(tc, everything_stays, 0, 4);
	tcase_add_test(tc, same_tables);
	tcase_add_test(tc, classes_of_before);
	tcase_add_test(tc, nothing_can_be_written);
	tcase_add_loop_test(tc, damaged_runs, 0, 2);
	tcase_add_test(tc, killed_meanwhile);
	tcase_add_test(tc, together);
	suite_add_tcase(suite, tc);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
