/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The tables of an SQLite store, whose file is ours, and how one of format 1 becomes one of format 2. docs/store.md describes
 * them. Making and changing are one transaction each: whoever is killed leaves nothing, or what was there before.
 *
 * Format 2 has the classes; and what many runs have in common (the text of the experiment's file, the commands of its programs) once,
 * not with each of them.
 */
#include "collector/store_class.h"
#include "collector/store_sqlite.h"

#include <errno.h>
#include <stdio.h>

enum {
	APPLICATION_ID = 0x626f7053, /* "bopS" */
	FORMAT = 2,
};

/* Of format 1 and 2 alike. */
static const char tables_of_events[] =
	"CREATE TABLE stream ("
	" run INTEGER NOT NULL, stream INTEGER NOT NULL, session BLOB NOT NULL,"
	" host TEXT NOT NULL, boot_id TEXT NOT NULL, kernel TEXT NOT NULL, backend TEXT NOT NULL,"
	" monotonic_ns INTEGER NOT NULL, realtime_ns INTEGER NOT NULL,"
	" PRIMARY KEY (run, stream)) STRICT, WITHOUT ROWID;"
	"CREATE TABLE batch ("
	" run INTEGER NOT NULL, stream INTEGER NOT NULL, number INTEGER NOT NULL, bytes BLOB NOT NULL,"
	" UNIQUE (run, stream, number)) STRICT;";

/* Format 1 has it only if a run had a plan. */
static const char table_of_plans[] =
	"CREATE TABLE IF NOT EXISTS plan ("
	" run INTEGER PRIMARY KEY, seed INTEGER NOT NULL, dry_run INTEGER NOT NULL, racy INTEGER NOT NULL,"
	" lines TEXT NOT NULL) STRICT;";

#define RUN_COLUMNS                                                                                                   \
	" started_ns, started_monotonic_ns, owner_boot, owner_pid_namespace, owner_pid, owner_start, running, incomplete," \
	" outcome, reason, warnings, duration_ns, events, messages, lost, holes"

/* The names of run and process are taken by the tables of format 1 until all was copied. */
static const char tables_of_runs[] =
	"CREATE TABLE file ("
	" id INTEGER PRIMARY KEY AUTOINCREMENT, path TEXT NOT NULL, text TEXT NOT NULL, UNIQUE (path, text)) STRICT;"
	"CREATE TABLE program ("
	" id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, box TEXT NOT NULL, role INTEGER NOT NULL,"
	" command TEXT NOT NULL, UNIQUE (command, name, box, role)) STRICT;"
	"CREATE TABLE process2 ("
	" run INTEGER NOT NULL, place INTEGER NOT NULL, program INTEGER NOT NULL, started INTEGER NOT NULL, status INTEGER,"
	" output BLOB, PRIMARY KEY (run, place)) STRICT, WITHOUT ROWID;"
	"CREATE TABLE run2 ("
	" id INTEGER PRIMARY KEY AUTOINCREMENT,"
	" experiment TEXT NOT NULL, file INTEGER NOT NULL, version TEXT NOT NULL,"
	" started_ns INTEGER NOT NULL, started_monotonic_ns INTEGER NOT NULL,"
	" owner_boot TEXT NOT NULL, owner_pid_namespace INTEGER NOT NULL, owner_pid INTEGER NOT NULL,"
	" owner_start INTEGER NOT NULL,"
	" running INTEGER NOT NULL DEFAULT 1, incomplete INTEGER NOT NULL DEFAULT 0,"
	" outcome TEXT, reason TEXT, warnings TEXT, duration_ns INTEGER,"
	" events INTEGER, messages INTEGER, lost INTEGER, holes INTEGER,"
	" class INTEGER, unclassed TEXT, kept INTEGER) STRICT;";

static const char tables_of_classes[] =
	"CREATE TABLE class ("
	" id INTEGER PRIMARY KEY AUTOINCREMENT,"
	" experiment TEXT NOT NULL, plan BLOB NOT NULL, exact BLOB NOT NULL, symmetric BLOB NOT NULL,"
	" approximate INTEGER NOT NULL, folded BLOB NOT NULL, folded_symmetric BLOB NOT NULL,"
	" shape BLOB NOT NULL, shape_symmetric BLOB NOT NULL, lines TEXT, dry_run INTEGER NOT NULL,"
	" first_run INTEGER NOT NULL, kept_run INTEGER NOT NULL,"
	" UNIQUE (experiment, plan, exact, symmetric, approximate)) STRICT;"
	"CREATE TABLE sketch (class INTEGER PRIMARY KEY, bytes BLOB NOT NULL) STRICT;"
	"CREATE TABLE sketch_key (key INTEGER NOT NULL, class INTEGER NOT NULL, PRIMARY KEY (key, class))"
	" STRICT, WITHOUT ROWID;"
	"CREATE TABLE dropping (run INTEGER PRIMARY KEY) STRICT;";

/* Each holds only what is looked for by it. */
static const char indexes[] =
	"CREATE INDEX run_running ON run (id) WHERE running;"
	"CREATE INDEX run_unknown ON run (id) WHERE class IS NULL AND unclassed IS NULL AND NOT running;"
	"CREATE INDEX run_class ON run (class) WHERE class IS NOT NULL;"
	"CREATE INDEX run_kept ON run (class, outcome) WHERE class IS NOT NULL AND kept IS NULL;";

/* The numbers of runs go on where they were, also if the last ones were removed. */
static const char runs_move[] =
	"INSERT INTO file (path, text) SELECT DISTINCT path, text FROM run;"
	"INSERT INTO run2 (id, experiment, file, version," RUN_COLUMNS ")"
	" SELECT id, experiment, (SELECT id FROM file WHERE file.path = run.path AND file.text = run.text), version," RUN_COLUMNS
	" FROM run;"
	"DELETE FROM sqlite_sequence WHERE name = 'run2';"
	"INSERT INTO sqlite_sequence (name, seq) SELECT 'run2', seq FROM sqlite_sequence WHERE name = 'run';"
	"DROP TABLE run;"
	"INSERT INTO program (name, box, role, command) SELECT DISTINCT name, box, role, command FROM process;"
	"INSERT INTO process2 SELECT run, place, (SELECT id FROM program WHERE program.command = process.command"
	" AND program.name = process.name AND program.box = process.box AND program.role = process.role), started, status, output"
	" FROM process;"
	"DROP TABLE process;";

static const char runs_rename[] = "ALTER TABLE run2 RENAME TO run; ALTER TABLE process2 RENAME TO process;";

/* *ret_rc: SQLite's own code, for those who can do something about it. */
static int number_read(struct store_sqlite *s, const char *sql, int64_t *ret_number, int *ret_rc)
{
	sqlite3_stmt *statement = NULL;
	int rc = sqlite3_prepare_v2(s->db, sql, -1, &statement, NULL);

	if (rc == SQLITE_OK)
		rc = sqlite3_step(statement);
	if (rc == SQLITE_ROW)
		*ret_number = sqlite3_column_int64(statement, 0);
	sqlite3_finalize(statement);
	*ret_rc = rc;
	return rc == SQLITE_ROW ? 0 : -1;
}

int sqlite_format_check(struct store_sqlite *s, int *ret_rc, struct error *e)
{
	bool alone = sqlite3_get_autocommit(s->db); /* all three from one moment: it may just be made */
	int64_t id, format, tables;
	int err = 0;

	if (alone)
		sqlite3_exec(s->db, "BEGIN", NULL, NULL, NULL);
	if (number_read(s, "PRAGMA application_id", &id, ret_rc) < 0 ||
	    number_read(s, "PRAGMA user_version", &format, ret_rc) < 0 ||
	    number_read(s, "SELECT count(*) FROM sqlite_schema", &tables, ret_rc) < 0)
		err = sqlite_fail(s, *ret_rc, "reading it", e);
	if (alone)
		sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
	if (err < 0)
		return err;
	*ret_rc = SQLITE_OK;
	if (id == 0 && format == 0 && tables == 0)
		return 0;
	if (id != APPLICATION_ID)
		return error_set(e, -EINVAL,
				 "store %s: this SQLite file belongs to another program; it was left as it is", s->path);
	if (format > FORMAT)
		return error_set(e, -ENOTSUP,
				 "store %s: written by a newer bop (format %lld, this one knows up to %d); use that bop",
				 s->path, (long long)format, FORMAT);
	if (format < 1)
		return error_set(e, -EBADMSG, "store %s: the file is damaged (format %lld)", s->path,
				 (long long)format);
	return format == FORMAT ? 1 : 2;
}

/* Runs each in turn; all within the transaction that is open. */
static int run_each(struct store_sqlite *s, const char *const *parts, const char *doing, struct error *e)
{
	char sql[128];
	int err = 0;

	for (; *parts && !err; parts++)
		err = sqlite_run(s, *parts, doing, e);
	snprintf(sql, sizeof(sql), "PRAGMA application_id=%d; PRAGMA user_version=%d", APPLICATION_ID, FORMAT);
	return err ? err : sqlite_run(s, sql, doing, e);
}

/* 0; -EBUSY: an older bop records in it, and could not go on afterwards; why it cannot be read. Within the transaction that changes it. */
static int recorded_check(struct store_sqlite *s, struct error *e)
{
	sqlite3_stmt *st = NULL;
	int rc, err = sqlite_prepare(s, "SELECT id, owner_boot, owner_pid_namespace, owner_pid, owner_start FROM run WHERE running", &st,
				     "reading it", e);

	while (!err && (rc = sqlite3_step(st)) != SQLITE_DONE) {
		struct store_owner owner = { .pid_namespace = (uint64_t)sqlite3_column_int64(st, 2), .pid = sqlite3_column_int(st, 3),
					     .start = (uint64_t)sqlite3_column_int64(st, 4) };
		const char *boot_id = (const char *)sqlite3_column_text(st, 1);

		snprintf(owner.boot_id, sizeof(owner.boot_id), "%s", boot_id ? boot_id : "");
		err = rc == SQLITE_ROW ? store_format_busy(s->path, (uint64_t)sqlite3_column_int64(st, 0), &owner, e) :
					 sqlite_fail(s, rc, "reading it", e);
	}
	sqlite3_finalize(st);
	return err;
}

/* Between begin and COMMIT: has become is what another bop, which was quicker, may have made of it. */
static int change(struct store_sqlite *s, const char *begin, int from, const char *const *parts, const char *doing,
		  struct error *e)
{
	int rc, recorded = 0, err = sqlite_run(s, begin, doing, e);

	if (err < 0)
		return err;
	err = sqlite_format_check(s, &rc, e);
	if (err == from && from == 2)
		recorded = recorded_check(s, e);
	if (recorded < 0)
		err = recorded;
	else if (err == from)
		err = run_each(s, parts, doing, e);
	if (err >= 0)
		err = sqlite_run(s, "COMMIT", doing, e);
	if (err < 0)
		sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
	return err < 0 ? err : 0;
}

int sqlite_format_make(struct store_sqlite *s, struct error *e)
{
	static const char *const parts[] = { tables_of_runs,	runs_rename, tables_of_events,
					     tables_of_classes, table_of_plans, indexes, NULL };

	return change(s, "PRAGMA auto_vacuum=INCREMENTAL; BEGIN EXCLUSIVE", 0, parts, "making it", e);
}

int sqlite_format_update(struct store_sqlite *s, struct error *e)
{
	static const char *const parts[] = { tables_of_runs,    runs_move, runs_rename,
					     tables_of_classes, table_of_plans, indexes, NULL };

	return change(s, "BEGIN IMMEDIATE", 2, parts, "bringing it from format 1 to format 2", e);
}
