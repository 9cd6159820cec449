/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What only a PostgreSQL store can meet: a connection that is cut at any moment, tables of others, another machine, transactions in
 * each other's way, and URLs with passwords. Run by tests/net/postgres.py, with a server.
 */
#include <time.h>

#include "graph/sketch.h"
#include "tests/unit/cutter.h"
#include "tests/unit/store_place.h"

static char *query(const char *sql)
{
	return place_sql(place.database, sql);
}

static void answers(const char *sql, const char *wanted)
{
	char *got = query(sql);

	ck_assert_msg(got && !strcmp(got, wanted), "%s: got %s, wanted %s", sql, got ? got : "nothing", wanted);
	free(got);
}

static void refused(const char *url, enum store_mode mode, int err, const char *word)
{
	struct store *store = NULL;
	struct error e = { "" };
	int got = store_open(url, mode, &store, &e);

	ck_assert_msg(got == err, "got %d: %s", got, e.text);
	ck_assert_ptr_null(store);
	ck_assert_msg(strstr(e.text, "store postgresql://") != NULL, "does not name the store: %s", e.text);
	ck_assert_msg(strstr(e.text, word) != NULL, "'%s' is not in: %s", word, e.text);
}

/* ---- A connection that is cut */

static void did(struct store *store, const char *experiment, uint64_t print, uint64_t *ret_id, struct store_run *ret)
{
	struct store_run row = { .experiment = (char *)experiment, .path = "/x", .text = "x", .version = "1", .plan = "cut a>b:1#1/1\n",
				 .seed = UINT64_MAX };
	struct store_process process = { .name = "s", .box = "b", .command = "c", .role = STORE_CHECK, .started = true,
					 .output = "o", .output_size = 1 };
	struct store_stream stream = { .host = "h", .boot_id = "b", .kernel = "6", .backend = "t" };
	struct sketch sketch = { .values = { 1 } };
	struct store_seal how = { .sketch = &sketch };
	struct error e = { "" };

	ck_assert_int_eq(store_owner_self(&row.owner, &e), 0);
	ck_assert_msg(!store_begin(store, &e) && !store_run_create(store, &row, &e) && !store_stream_add(store, row.id, &stream, &e) &&
		      !store_stream_add(store, row.id, &stream, &e) && !store_commit(store, &e), "%s", e.text);
	ck_assert_uint_eq(stream.number, 2);
	for (unsigned i = 1; i <= 2; i++)
		batch_put(store, row.id, i, i == 1 ? "one" : "two");
	row.outcome = OUTCOME_GOOD;
	row.has_prints = print;
	row.prints[STORE_OWN][PRINT_LEVEL_EXACT].low = print;
	ck_assert_msg(!store_run_seal(store, &row, &process, 1, &how, &e), "%s", e.text);
	*ret_id = row.id;
	*ret = row;
}

/* As `bop import` does. */
static int take(struct store *store, void *arg, struct error *e)
{
	struct store_run row = { .experiment = "w", .path = "/x", .text = "x", .version = "1", .outcome = OUTCOME_GOOD, .has_prints = true };
	struct store_stream stream = { .host = "h", .boot_id = "b", .kernel = "6", .backend = "t" };
	int err = store_owner_self(&row.owner, e);

	if (!err)
		err = store_run_create(store, &row, e);
	if (!err)
		err = store_stream_add(store, row.id, &stream, e);
	for (unsigned i = 1; i <= 2 && !err; i++) {
		err = store_begin(store, e);
		if (!err)
			err = store_batch_put(store, row.id, 1, i, "b", 1, e);
		if (!err)
			err = store_commit(store, e);
		else
			store_rollback(store);
	}
	*(uint64_t *)arg = row.id;
	return err ? err : store_run_seal(store, &row, NULL, 0, NULL, e);
}

static int list(const struct store_run *row, void *arg, struct error *e)
{
	char *to = arg;

	sprintf(to + strlen(to), "%s:%d:%llu:%s%s%s ", row->experiment, row->running, (unsigned long long)row->faults,
		row->class_id ? "class" : "", row->new_class ? "new" : "", row->kept == row->id ? "whole" : row->kept ? "repeat" : "dropped");
	return 0;
}

static int count_class(const struct store_class *class, void *arg, struct error *e)
{
	++*(int *)arg;
	return 0;
}

static int count_candidate(uint64_t class, const struct sketch *sketch, void *arg, struct error *e)
{
	++*(int *)arg;
	return 0;
}

/* Everything that a store can be asked for, each but once acknowledged; what comes of it. */
static void scenario(char *text)
{
	struct sketch sketch = { .values = { 1 } };
	struct store_near wanted = { .keys = sketch.keys, .n = SKETCH_KEYS, .of_key = 9 };
	struct store_run row, *read = NULL;
	struct store *store = store_made(STORE_CREATE);
	uint64_t first, second, third, fourth, whole;
	struct store_run later = { .has_prints = true, .experiment = "z" };
	struct error e = { "" };
	int n = 0, near = 0;

	did(store, "y", 7, &first, &row);
	ck_assert(row.new_class && row.kept == first);
	did(store, "y", 7, &second, &row);
	ck_assert_msg(!row.new_class && row.class_id && row.kept == first, "run %d repeats %d", (int)second, (int)row.kept);
	did(store, "y", 8, &third, &row);
	ck_assert(row.new_class);
	did(store, "z", 0, &fourth, &row);
	later.id = fourth;
	later.prints[STORE_OWN][PRINT_LEVEL_EXACT].low = 9;
	ck_assert_msg(!store_run_class(store, &later, NULL, &e), "%s", e.text);
	ck_assert(later.new_class && later.kept == fourth);
	ck_assert_msg(!store_transaction(store, take, &whole, &e), "%s", e.text);
	ck_assert_str_eq(batches(store, whole), "1:1=b 1:2=b ");
	ck_assert_str_eq(batches(store, first), "1:1=one 1:2=two ");
	ck_assert_str_eq(batches(store, second), "");
	ck_assert_msg(!store_run_get(store, fourth, &read, &e), "%s", e.text);
	ck_assert(read->seed == UINT64_MAX && !strcmp(read->plan, "cut a>b:1#1/1\n") && !strcmp(read->text, "x"));
	store_run_free(read);
	ck_assert_msg(!store_run_drop(store, third, STORE_UNKNOWN, &e), "%s", e.text);
	ck_assert_msg(!store_run_remove(store, fourth, &e), "%s", e.text);
	ck_assert_int_eq(store_sweep(store, NULL, NULL, &e), 0);
	ck_assert_msg(!store_class_near(store, &wanted, count_candidate, &near, &e), "%s", e.text);
	ck_assert_msg(!store_each_class(store, "y", count_class, &n, &e), "%s", e.text);
	*text = '\0';
	ck_assert_msg(!store_each_run(store, NULL, list, text, &e), "%s", e.text);
	sprintf(text + strlen(text), "classes %d near %d", n, near);
	store_close(store);
}

/*
 * Wherever the connection is cut, before something is sent or when it was done and the answer gets lost: nothing fails, nothing is
 * done twice, nothing is missing.
 */
START_TEST(cut_anywhere)
{
	const char *word = "y:0:1:classnewwhole y:0:1:classrepeat y:0:1:classnewdropped w:0:0:classnewwhole classes 2 near 2";
	char text[1000], path[100], server[100], folder[64];
	unsigned step = getenv("BOP_TEST_SOAK") ? 1 : getenv("BOP_TEST_SHORT") ? 9 : 4;
	struct cutter cutter;
	bool cut = true;

	scratch_name(folder, sizeof(folder), "test-bop-pg-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(server, sizeof(server), "%s/.s.PGSQL.5432", getenv("BOP_TEST_POSTGRES"));
	snprintf(path, sizeof(path), "%s/.s.PGSQL.5432", folder);
	for (unsigned at = 1 + (unsigned)_i; cut; at += step) {
		place_setup_database();
		snprintf(place.url, sizeof(place.url), "postgresql://bop@/%s?host=%s", place.database, folder);
		cutter_start(&cutter, path, server, at, _i);
		scenario(text);
		cut = cutter_stop(&cutter);
		unlink(path);
		ck_assert_msg(!strcmp(text, word), "cut at %u: %s", at, text);
		answers("SELECT count(*) FROM bop_run", "4");
		answers("SELECT count(*) FROM bop_stream", "7");
		answers("SELECT count(*) FROM bop_batch", "4");
		answers("SELECT count(*) FROM bop_process", "3");
		answers("SELECT count(*) FROM bop_class", "3");
		answers("SELECT count(*) FROM bop_dropping", "0");
		ck_assert_msg(cut || at > 60, "it was over after %u", at);
	}
	rmdir(folder);
}
END_TEST

/* ---- Tables of others, and of other times */

/* Tables that are called like ours are left alone; so is a newer format; a schema that is not there is said to be missing. */
START_TEST(foreign_tables)
{
	char url[300];

	free(query("CREATE TABLE bop_run (id INTEGER); INSERT INTO bop_run VALUES (7)"));
	ck_assert_int_eq(store_exists(place.url, NULL), -EINVAL);
	for (enum store_mode mode = STORE_READ; mode <= STORE_CREATE; mode++)
		refused(place.url, mode, -EINVAL, "bop_run that is not ours");
	answers("SELECT id FROM bop_run", "7");
	answers("SELECT count(*) FROM pg_class WHERE relname LIKE 'bop%'", "1");
	free(query("CREATE TABLE bop_store (one INTEGER, program TEXT)"));
	refused(place.url, STORE_CREATE, -EINVAL, "bop_store that is not ours");
	free(query("ALTER TABLE bop_store ADD COLUMN format BIGINT; INSERT INTO bop_store VALUES (1, 'another', 2)"));
	refused(place.url, STORE_CREATE, -EINVAL, "bop_store that is not ours");
	snprintf(url, sizeof(url), "%s&options=-csearch_path%%3Dnowhere", place.url);
	refused(url, STORE_CREATE, -ENOENT, "no schema");
	free(query("CREATE SCHEMA elsewhere"));
	snprintf(url, sizeof(url), "%s&options=-csearch_path%%3Delsewhere", place.url);
	strcpy(place.url, url);
	refused(url, STORE_READ, -ENOENT, "none yet");
	store_close(store_made(STORE_CREATE));
	ck_assert_int_eq(store_exists(url, NULL), 1);
	free(query("UPDATE elsewhere.bop_store SET format = 99"));
	for (enum store_mode mode = STORE_READ; mode <= STORE_CREATE; mode++)
		refused(url, mode, -ENOTSUP, "newer");
}
END_TEST

static const char format1[] =
	"CREATE TABLE bop_store (one BIGINT PRIMARY KEY, program TEXT NOT NULL, format BIGINT NOT NULL);"
	"INSERT INTO bop_store VALUES (1, 'Box of Pain', 1);"
	"CREATE SEQUENCE bop_run_id;"
	"CREATE TABLE bop_run ("
	" id BIGINT PRIMARY KEY,"
	" experiment TEXT NOT NULL, path BYTEA NOT NULL, text BYTEA NOT NULL, version TEXT NOT NULL,"
	" started_ns BIGINT NOT NULL, started_monotonic_ns BIGINT NOT NULL,"
	" owner_boot TEXT NOT NULL, owner_pid_namespace BIGINT NOT NULL, owner_pid BIGINT NOT NULL, owner_start BIGINT NOT NULL,"
	" plan BYTEA, faults BIGINT NOT NULL, seed BIGINT, dry_run BOOLEAN NOT NULL, racy BOOLEAN NOT NULL,"
	" running BOOLEAN NOT NULL DEFAULT TRUE, incomplete BOOLEAN NOT NULL DEFAULT FALSE,"
	" outcome TEXT, reason BYTEA, warnings BYTEA, duration_ns BIGINT,"
	" events BIGINT, messages BIGINT, lost BIGINT, holes BIGINT, sealed BYTEA);"
	"CREATE INDEX bop_run_experiment ON bop_run (experiment, id);"
	"CREATE INDEX bop_run_running ON bop_run (id) WHERE running;"
	"CREATE TABLE bop_stream ("
	" run BIGINT NOT NULL, stream BIGINT NOT NULL, session BYTEA NOT NULL,"
	" host BYTEA NOT NULL, boot_id BYTEA NOT NULL, kernel BYTEA NOT NULL, backend BYTEA NOT NULL,"
	" monotonic_ns BIGINT NOT NULL, realtime_ns BIGINT NOT NULL, PRIMARY KEY (run, stream));"
	"CREATE TABLE bop_batch ("
	" run BIGINT NOT NULL, stream BIGINT NOT NULL, number BIGINT NOT NULL, bytes BYTEA NOT NULL,"
	" PRIMARY KEY (run, stream, number));"
	"CREATE TABLE bop_process ("
	" run BIGINT NOT NULL, place BIGINT NOT NULL, name TEXT NOT NULL, box TEXT NOT NULL,"
	" role BIGINT NOT NULL, command BYTEA NOT NULL, started BOOLEAN NOT NULL, status BIGINT, output BYTEA,"
	" PRIMARY KEY (run, place));"
	"CREATE TABLE bop_lease ("
	" owner_boot TEXT NOT NULL, owner_pid_namespace BIGINT NOT NULL, owner_pid BIGINT NOT NULL, owner_start BIGINT NOT NULL,"
	" until_ms BIGINT NOT NULL, PRIMARY KEY (owner_boot, owner_pid_namespace, owner_pid, owner_start));"
	"INSERT INTO bop_run SELECT nextval('bop_run_id'), 'old', '\\x2f78', 'y: 1', '0', 5, 6, 'b', 1, 2, 3, 'kill a\\012', 1, 9, FALSE,"
	" TRUE, FALSE, FALSE, 'good', NULL, NULL, 7, 8, 9, 0, 0, NULL FROM generate_series(1, 300);"
	"INSERT INTO bop_batch SELECT id, 1, 1, 'bytes' FROM bop_run;";

static void is_format2(void)
{
	struct store *store = store_made(STORE_READ);
	struct store_run *row = NULL;
	struct error e = { "" };
	int n = 0;

	answers("SELECT format FROM bop_store", "2");
	ck_assert_msg(!store_run_get(store, 300, &row, &e), "%s", e.text);
	ck_assert(!strcmp(row->path, "/x") && !strcmp(row->text, "y: 1") && !strcmp(row->plan, "kill a\n") && row->seed == 9 && row->racy);
	ck_assert(!row->class_id && !row->unclassed && row->kept == 300 && row->faults == 1);
	store_run_free(row);
	ck_assert_msg(!store_each_run(store, &(struct store_range){ .unknown = true }, count, &n, &e), "%s", e.text);
	ck_assert_int_eq(n, 300);
	ck_assert_str_eq(batches(store, 300), "1:1=bytes ");
	store_close(store);
}

/* A store of format 1 becomes one of format 2 by whoever opens it, also to read, and by several at once; no number is used again. */
START_TEST(migration)
{
	struct store *store;
	pid_t pids[4];
	int status;

	free(query(format1));
	if (!_i) {
		store_close(store_made(STORE_READ));
	} else {
		for (int i = 0; i < 4; i++) {
			pids[i] = fork();
			if (!pids[i]) {
				store_close(store_made(STORE_WRITE));
				_exit(0);
			}
		}
		for (int i = 0; i < 4; i++) {
			waitpid(pids[i], &status, 0);
			ck_assert_int_eq(status, 0);
		}
	}
	is_format2();
	store = store_made(STORE_WRITE);
	ck_assert_uint_eq(run_made(store, "y"), 301);
	store_close(store);
}
END_TEST

/* Who gives the room back ends between two pieces when he is told to, and the next one goes on. */
START_TEST(sweep_ends)
{
	struct store *store = store_made(STORE_CREATE);
	struct error e = { "" };
	int pieces = 1;

	free(query("INSERT INTO bop_dropping VALUES (7), (9);"
		   "INSERT INTO bop_batch SELECT 7, 1, i, 'x' FROM generate_series(1, 100) AS i"));
	ck_assert_int_eq(store_sweep(store, count_down, &pieces, &e), 0);
	answers("SELECT count(*) FROM bop_batch", "36");
	answers("SELECT count(*) FROM bop_dropping", "2");
	ck_assert_int_eq(store_sweep(store, NULL, NULL, &e), 2);
	answers("SELECT (SELECT count(*) FROM bop_batch) + (SELECT count(*) FROM bop_dropping)", "0");
	store_close(store);
}
END_TEST

/* While an older bop is known to record, here or on a machine whose lease holds, nothing is changed, and that is said. */
START_TEST(migration_recorded)
{
	static const char lease[] = "INSERT INTO bop_lease VALUES ('b', 1, 2, 3, CAST(EXTRACT(EPOCH FROM now()) * 1000 AS BIGINT) + 60000)";
	struct store_owner self;
	struct error e = { "" };
	char sql[400];

	free(query(format1));
	ck_assert_int_eq(store_owner_self(&self, &e), 0);
	snprintf(sql, sizeof(sql), "UPDATE bop_run SET running = TRUE, owner_boot = '%s', owner_pid_namespace = %llu, owner_pid = %d,"
		 " owner_start = %llu WHERE id = 7", self.boot_id, (unsigned long long)self.pid_namespace, self.pid, (unsigned long long)self.start);
	free(query(sql));
	for (enum store_mode mode = STORE_READ; mode <= STORE_CREATE; mode++)
		refused(place.url, mode, -EBUSY, "records run 7");
	answers("SELECT format FROM bop_store", "1");
	free(query("UPDATE bop_run SET owner_boot = 'b', owner_pid_namespace = 1, owner_pid = 2, owner_start = 3 WHERE id = 7"));
	free(query(lease));
	refused(place.url, STORE_WRITE, -EBUSY, "(process 2) records run 7");
	free(query("UPDATE bop_lease SET until_ms = 5"));
	store_close(store_made(STORE_WRITE));
	answers("SELECT format FROM bop_store", "2");
}
END_TEST

/* Who is killed while he brings a store up to date leaves format 1 or 2, whole. */
START_TEST(migration_killed)
{
	struct timespec pause = { 0 };
	char *format;
	pid_t pid;

	for (int i = 0; i < 12; i++) {
		place_setup_database();
		free(query(format1));
		pid = fork();
		if (!pid) {
			store_close(store_made(STORE_WRITE));
			_exit(0);
		}
		pause.tv_nsec = i * 3000000;
		nanosleep(&pause, NULL);
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		/* at one moment: what he sent may still be done now that he is gone */
		format = query("SELECT format || ' ' || (SELECT count(*) FROM bop_run r WHERE to_jsonb(r)->>'path' = '\\x2f78') FROM bop_store");
		if (strcmp(format, "1 300"))
			ck_assert_str_eq(format, "2 0");
		free(format);
		is_format2();
	}
}
END_TEST

/* Who may only read reads; he is told what he lacks when he writes, and brings no old store up to date. */
START_TEST(reader_only)
{
	struct store *store = store_made(STORE_CREATE);
	struct store_run row = { .experiment = "y", .path = "", .text = "", .version = "" };
	struct error e = { "" };
	char *at;

	run_made(store, "y");
	store_close(store);
	free(query("DO $$ BEGIN CREATE ROLE reader LOGIN; EXCEPTION WHEN duplicate_object THEN END $$;"
		   "GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader"));
	at = strstr(place.url, "bop@");
	memmove(at + 6, at + 3, strlen(at + 3) + 1);
	memcpy(at, "reader", 6);
	store = store_made(STORE_READ);
	ck_assert_str_eq(batches(store, 1), "");
	ck_assert_int_eq(store_begin(store, &e), -EROFS);
	store_close(store);
	store = store_made(STORE_WRITE);
	ck_assert_int_eq(store_owner_self(&row.owner, &e), 0);
	ck_assert_int_eq(store_run_create(store, &row, &e), -EACCES);
	ck_assert_ptr_nonnull(strstr(e.text, "permission denied"));
	store_close(store);
	free(query("DROP TABLE bop_dropping, bop_sketch, bop_sketch_key, bop_class, bop_run, bop_file, bop_store, bop_stream, bop_batch,"
		   " bop_process, bop_lease; DROP SEQUENCE bop_run_id, bop_class_id"));
	free(query(format1));
	free(query("GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader"));
	refused(place.url, STORE_READ, -EACCES, "up to date");
	answers("SELECT format FROM bop_store", "1");
}
END_TEST

/* ---- Others */

static void sealed(struct store *store)
{
	struct store_run row = { .experiment = "y", .path = "", .text = "", .version = "", .outcome = OUTCOME_GOOD, .has_prints = true };
	struct error e = { "" };

	if (store_owner_self(&row.owner, &e) || store_run_create(store, &row, &e) || store_run_seal(store, &row, NULL, 0, NULL, &e)) {
		fprintf(stderr, "%s\n", e.text);
		_exit(2);
	}
}

/* Where the database lets only one of two such transactions pass, the other one is tried again: none fails, no class is there twice. */
START_TEST(serializable)
{
	pid_t pids[3];
	char sql[128];
	int status;

	snprintf(sql, sizeof(sql), "ALTER DATABASE %s SET default_transaction_isolation = serializable", place.database);
	free(query(sql));
	store_close(store_made(STORE_CREATE));
	for (int i = 0; i < 3; i++) {
		pids[i] = fork();
		if (!pids[i]) {
			struct store *store = store_made(STORE_WRITE);

			for (int k = 0; k < 40; k++)
				sealed(store);
			store_close(store);
			_exit(0);
		}
	}
	for (int i = 0; i < 3; i++) {
		waitpid(pids[i], &status, 0);
		ck_assert_int_eq(status, 0);
	}
	answers("SELECT count(*) FROM bop_class", "1");
	answers("SELECT count(*) FROM bop_run WHERE class IS NOT NULL AND NOT running", "120");
	answers("SELECT count(*) FROM bop_run WHERE kept IS NULL", "1");
	answers("SELECT count(*) FROM bop_lease", "0");
}
END_TEST

/* Of an owner on another machine only the lease tells: while it holds, his run is not anybody's to end. */
START_TEST(another_machine)
{
	struct store_run run = { .experiment = "y", .path = "", .text = "", .version = "" }, *row = NULL;
	struct store *store = store_made(STORE_CREATE);
	struct error e = { "" };

	ck_assert_int_eq(store_owner_self(&run.owner, &e), 0);
	strcpy(run.owner.boot_id, "of another machine");
	ck_assert_msg(!store_run_create(store, &run, &e), "%s", e.text);
	ck_assert_int_eq(store_run_get(store, run.id, &row, &e), 0);
	ck_assert_int_eq(row->owner.lease, STORE_LEASE_HELD);
	ck_assert(store_owner_alive(&row->owner));
	store_run_free(row);
	ck_assert_int_eq(store_run_remove(store, run.id, &e), -EBUSY);
	free(query("UPDATE bop_lease SET until_ms = until_ms - 60000"));
	ck_assert_int_eq(store_run_get(store, run.id, &row, &e), 0);
	ck_assert(!store_owner_alive(&row->owner));
	store_run_free(row);
	ck_assert_int_eq(store_run_remove(store, run.id, &e), 0);
	store_close(store);
}
END_TEST

/* Who waits for another program's lock gives up, and says so. */
START_TEST(locked)
{
	const char *keywords[] = { "host", "user", "dbname", NULL }, *values[] = { getenv("BOP_TEST_POSTGRES"), "bop", place.database, NULL };
	struct store *store = store_made(STORE_CREATE);
	uint64_t id = run_made(store, "y");
	struct error e = { "" };
	PGconn *other;

	other = PQconnectdbParams(keywords, values, 0);
	PQclear(PQexec(other, "BEGIN"));
	PQclear(PQexec(other, "SELECT * FROM bop_run FOR UPDATE"));
	ck_assert_int_eq(store_begin(store, &e), 0);
	ck_assert_int_eq(store_batch_put(store, id, 1, 1, "x", 1, &e), 0);
	ck_assert_int_eq(store_commit(store, &e), -EBUSY);
	ck_assert_ptr_nonnull(strstr(e.text, "locked"));
	PQfinish(other);
	batch_put(store, id, 1, "y");
	ck_assert_str_eq(batches(store, id), "1:1=y ");
	store_close(store);
}
END_TEST

/* What is shown of a URL has no password in it, wherever it stood, and still names the server. */
START_TEST(names)
{
	static const struct {
		const char *url, *name;
	} rows[] = {
		{ "postgresql://host/db", "postgresql://host/db" },
		{ "postgres://u:secret@host:5433/db", "postgres://u@host:5433/db" },
		{ "postgresql://u:se@cret@host/db", "postgresql://u@host/db" },
		{ "postgresql://u:se/cret?x@host/db", "postgresql://u@host/db" },
		{ "postgresql://u:secret@", "postgresql://u@" },
		{ "postgresql:///db?host=/run/x&password=secret&port=1", "postgresql:///db?host=/run/x&port=1" },
		{ "postgresql:///db?pass%77ord=secret&user=u", "postgresql:///db?user=u" },
		{ "postgresql:///db?sslpassword=secret", "postgresql:///db" },
		{ "postgresql:///db?host", "postgresql:///db" },
		{ "mysql://u:secret@host/db", "mysql://u@host/db" },
		{ "sqlite:///a/b@c?d", "sqlite:///a/b@c?d" },
		{ "runs.db", "runs.db" },
	};
	char name[STORE_NAME_MAX];
	struct store *store = NULL;
	struct error e;

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		ck_assert_str_eq(store_name(rows[i].url, name), rows[i].name);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		if (!strstr(rows[i].url, "cret"))
			continue;
		ck_assert_int_lt(store_open(rows[i].url, STORE_READ, &store, &e), 0);
		ck_assert_msg(!strstr(e.text, "cret"), "%s", e.text);
	}
	ck_assert_int_eq(store_open("postgresql://[::1/x", STORE_READ, &store, &e), -EINVAL);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("store_pg");
	TCase *tc = tcase_create("store_pg");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_set_timeout(tc, 280);
	tcase_add_checked_fixture(tc, place_setup, place_teardown);
	tcase_add_loop_test(tc, cut_anywhere, 0, 2);
	tcase_add_test(tc, foreign_tables);
	tcase_add_loop_test(tc, migration, 0, 2);
	tcase_add_test(tc, sweep_ends);
	tcase_add_test(tc, migration_recorded);
	tcase_add_test(tc, migration_killed);
	tcase_add_test(tc, reader_only);
	tcase_add_test(tc, serializable);
	tcase_add_test(tc, another_machine);
	tcase_add_test(tc, locked);
	tcase_add_test(tc, names);
	suite_add_tcase(suite, tc);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
