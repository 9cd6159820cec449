/* SPDX-License-Identifier: GPL-3.0-or-later */
/* An SQLite store refuses what is not its own without touching it, and can be read where nothing can be written. */
#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>

#include "tests/unit/store_place.h"

static void database_make(const char *sql)
{
	sqlite3 *db;

	ck_assert_int_eq(sqlite3_open(place.url, &db), SQLITE_OK);
	ck_assert_int_eq(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
}

static void refused(enum store_mode mode, int err, const char *word)
{
	struct store *store = NULL;
	struct error e = { "" };

	ck_assert_int_eq(store_open(place.url, mode, &store, &e), err);
	ck_assert_ptr_null(store);
	ck_assert_msg(strstr(e.text, place.url) != NULL, "does not name the store: %s", e.text);
	ck_assert_msg(strstr(e.text, word) != NULL, "'%s' is not in: %s", word, e.text);
}

/* A text file, another program's database, and a newer format are refused for reading and writing. */
START_TEST(foreign_files)
{
	FILE *f = fopen(place.url, "w");

	for (int i = 0; i < 1000; i++)
		fputs("some notes\n", f);
	fclose(f);
	refused(STORE_READ, -EINVAL, "not an SQLite file");
	refused(STORE_CREATE, -EINVAL, "not an SQLite file");
	unlink(place.url);
	database_make("CREATE TABLE run (id INTEGER)");
	refused(STORE_READ, -EINVAL, "another program");
	refused(STORE_CREATE, -EINVAL, "another program");
	unlink(place.url);
	store_close(store_made(STORE_CREATE));
	database_make("PRAGMA user_version=99");
	refused(STORE_READ, -ENOTSUP, "newer");
	refused(STORE_CREATE, -ENOTSUP, "newer");
}
END_TEST

static void file_copy(const char *suffix, const char *to_suffix)
{
	char from[300], to[300], buf[65536];
	FILE *in, *out;
	size_t n;

	snprintf(from, sizeof(from), "%s%s", place.url, suffix);
	snprintf(to, sizeof(to), "%s.copy%s", place.url, to_suffix);
	in = fopen(from, "r");
	out = fopen(to, "w");
	ck_assert(in && out);
	while ((n = fread(buf, 1, sizeof(buf), in)) > 0)
		ck_assert_uint_eq(fwrite(buf, 1, n, out), n);
	fclose(in);
	fclose(out);
}

static off_t file_size(const char *suffix)
{
	struct stat st = { 0 };
	char name[300];

	snprintf(name, sizeof(name), "%s%s", place.url, suffix);
	return stat(name, &st) < 0 ? -1 : st.st_size;
}

/* The log that another program left beside its database is not merged into it. */
START_TEST(foreign_log)
{
	off_t size, log_size;
	sqlite3 *db;

	ck_assert_int_eq(sqlite3_open(place.url, &db), SQLITE_OK);
	ck_assert_int_eq(sqlite3_exec(db, "PRAGMA journal_mode=WAL; CREATE TABLE t (a); INSERT INTO t VALUES (1)", NULL,
				      NULL, NULL), SQLITE_OK);
	file_copy("", ""); /* as a kill would leave them */
	file_copy("-wal", "-wal");
	sqlite3_close(db);
	strcat(place.url, ".copy");
	size = file_size("");
	log_size = file_size("-wal");
	ck_assert_int_gt(log_size, 0);
	refused(STORE_READ, -EINVAL, "another program");
	refused(STORE_WRITE, -EINVAL, "another program");
	refused(STORE_CREATE, -EINVAL, "another program");
	ck_assert_int_eq(file_size(""), size);
	ck_assert_int_eq(file_size("-wal"), log_size);
}
END_TEST

/* Reading or writing a store that is not there fails and does not make it; nor does asking whether it exists. */
START_TEST(missing)
{
	struct error e;

	refused(STORE_READ, -ENOENT, "none yet");
	refused(STORE_WRITE, -ENOENT, "none yet");
	ck_assert_int_eq(store_exists(place.url, &e), 0);
	ck_assert_int_eq(access(place.url, F_OK), -1);
	store_close(store_made(STORE_CREATE));
	ck_assert_int_eq(store_exists(place.url, &e), 1);
	strcpy(place.url, "/nonexistent/folder/runs.db");
	ck_assert_int_eq(store_exists(place.url, &e), -ENOENT);
	strcpy(place.url, "mysql://localhost/bop");
	ck_assert_int_lt(store_exists(place.url, &e), 0);
	ck_assert_ptr_nonnull(strstr(e.text, "mysql"));
}
END_TEST

/* A file that is marked read-only can be read and is not written, not even by root; readers leave no file behind. */
START_TEST(read_only)
{
	struct store *store = store_made(STORE_CREATE);
	char log[300];

	run_made(store, "y");
	store_close(store);
	ck_assert_int_eq(chmod(place.url, 0444), 0);
	store = store_made(STORE_READ);
	ck_assert_int_eq(store_begin(store, NULL) < 0 || store_batch_put(store, 1, 1, 1, "x", 1, NULL) < 0, 1);
	store_rollback(store);
	ck_assert_str_eq(batches(store, 1), "");
	store_close(store);
	refused(STORE_WRITE, -EROFS, "read-only");
	refused(STORE_CREATE, -EROFS, "read-only");
	ck_assert_int_eq(chmod(place.url, 0644), 0);
	store_close(store_made(STORE_READ));
	for (int i = 0; i < 2; i++) {
		snprintf(log, sizeof(log), "%s%s", place.url, i ? "-wal" : "-shm");
		ck_assert_msg(access(log, F_OK) < 0, "%s was left behind", log);
	}
}
END_TEST

static int rows(const char *sql)
{
	sqlite3_stmt *st;
	sqlite3 *db;
	int n;

	ck_assert_int_eq(sqlite3_open(place.url, &db), SQLITE_OK);
	ck_assert_int_eq(sqlite3_prepare_v2(db, sql, -1, &st, NULL), SQLITE_OK);
	ck_assert_int_eq(sqlite3_step(st), SQLITE_ROW);
	n = sqlite3_column_int(st, 0);
	sqlite3_finalize(st);
	sqlite3_close(db);
	return n;
}

static void change(const char *sql)
{
	sqlite3 *db;

	ck_assert_int_eq(sqlite3_open(place.url, &db), SQLITE_OK);
	ck_assert_int_eq(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
}

/* What runs have in common is kept once, as long as there is one of them. */
START_TEST(commons)
{
	struct store_process process = { .name = "p", .box = "b", .command = "c", .role = STORE_PROCESS };
	struct store_run end = { .outcome = OUTCOME_GOOD };
	struct store *store = store_made(STORE_CREATE);
	struct error e = { "" };

	for (int i = 0; i < 3; i++) {
		end.id = run_made(store, "y");
		ck_assert_int_eq(store_run_seal(store, &end, &process, 1, NULL, &e), 0);
	}
	ck_assert_int_eq(rows("SELECT count(*) FROM file") * 10 + rows("SELECT count(*) FROM program"), 11);
	for (uint64_t id = 1; id <= 3; id++) {
		ck_assert_int_eq(rows("SELECT count(*) FROM file") * 10 + rows("SELECT count(*) FROM program"), 11);
		ck_assert_int_eq(store_run_remove(store, id, &e), 0);
		ck_assert_int_eq(store_sweep(store, NULL, NULL, &e), 0);
	}
	ck_assert_int_eq(rows("SELECT (SELECT count(*) FROM file) + (SELECT count(*) FROM program) + (SELECT count(*) FROM dropping)"), 0);
	store_close(store);
}
END_TEST

/* Who gives the room back ends between two pieces when he is told to, and the next one goes on. */
START_TEST(sweep_ends)
{
	struct store *store = store_made(STORE_CREATE);
	struct error e = { "" };
	int pieces = 2;

	store_close(store);
	change("INSERT INTO dropping VALUES (7), (9); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100)"
	       " INSERT INTO batch SELECT 7, 1, i, x'00' FROM n");
	store = store_made(STORE_WRITE);
	ck_assert_int_eq(store_sweep(store, count_down, &pieces, &e), 0);
	ck_assert_int_eq(rows("SELECT count(*) FROM batch"), 100 - 2 * 32);
	ck_assert_int_eq(rows("SELECT count(*) FROM dropping"), 2);
	ck_assert_int_eq(store_sweep(store, NULL, NULL, &e), 2);
	ck_assert_int_eq(rows("SELECT (SELECT count(*) FROM batch) + (SELECT count(*) FROM dropping)"), 0);
	store_close(store);
}
END_TEST

/* What SQLite would take for something else than a file is one. */
START_TEST(names)
{
	static const char *const names[] = { ":memory:", "file:a.db?mode=memory", "sqlite::memory:x", "b c#d%20.db" };
	const char *file = !strncmp(names[_i], "sqlite:", 7) ? names[_i] + 7 : names[_i];
	struct store *store = NULL;
	struct error e = { "" };

	ck_assert_int_eq(chdir(place.folder), 0);
	ck_assert_msg(store_open(names[_i], STORE_CREATE, &store, &e) == 0, "%s", e.text);
	store_close(store);
	ck_assert_msg(access(file, F_OK) == 0, "%s: nothing was kept", names[_i]);
	ck_assert_msg(store_open(names[_i], STORE_READ, &store, &e) == 0, "%s", e.text);
	store_close(store);
	ck_assert_int_eq(chdir("/"), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("store_sqlite");
	TCase *tc = tcase_create("store_sqlite");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, place_setup_file, place_teardown);
	tcase_add_test(tc, foreign_files);
	tcase_add_test(tc, foreign_log);
	tcase_add_test(tc, missing);
	tcase_add_test(tc, read_only);
	tcase_add_test(tc, commons);
	tcase_add_test(tc, sweep_ends);
	tcase_add_loop_test(tc, names, 0, 4);
	suite_add_tcase(suite, tc);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
