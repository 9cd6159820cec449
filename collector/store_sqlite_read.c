/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Reading rows of an SQLite store. See store.h for the contracts, docs/store.md for the tables. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/store_sqlite.h"

static uint64_t column_number(sqlite3_stmt *st, int at)
{
	return sqlite3_column_type(st, at) == SQLITE_NULL ? STORE_UNKNOWN : (uint64_t)sqlite3_column_int64(st, at);
}

/* Borrowed until the next step. NULL for NULL. */
static char *column_text(sqlite3_stmt *st, int at)
{
	return (char *)sqlite3_column_text(st, at);
}

#define RUN_COLUMNS                                                                                           \
	"id, experiment, version, started_ns, started_monotonic_ns, owner_boot, owner_pid_namespace, owner_pid,"    \
	" owner_start, running, incomplete, outcome, reason, warnings, duration_ns, events, messages, lost, holes," \
	" coalesce(class, 0), unclassed, " SQLITE_KEPT                                                        \
	", (SELECT first_run FROM class WHERE class.id = run.class) = run.id"

/* Everything borrowed from the row. */
static void run_from_row(sqlite3_stmt *st, struct store_run *run)
{
	const char *boot_id = column_text(st, 5);

	*run = (struct store_run){
		.id = column_number(st, 0),
		.experiment = column_text(st, 1),
		.version = column_text(st, 2),
		.started_ns = column_number(st, 3),
		.started_monotonic_ns = column_number(st, 4),
		.owner.pid_namespace = column_number(st, 6),
		.owner.pid = sqlite3_column_int(st, 7),
		.owner.start = column_number(st, 8),
		.running = sqlite3_column_int(st, 9),
		.incomplete = sqlite3_column_int(st, 10),
		.outcome = outcome_by_name(column_text(st, 11)),
		.reason = column_text(st, 12),
		.warnings = column_text(st, 13),
		.duration_ns = column_number(st, 14),
		.events = column_number(st, 15),
		.messages = column_number(st, 16),
		.lost = column_number(st, 17),
		.holes = column_number(st, 18),
		.class_id = column_number(st, 19),
		.unclassed = column_text(st, 20),
		.kept = column_number(st, 21),
		.new_class = sqlite3_column_int(st, 22),
	};
	strncpy(run->owner.boot_id, boot_id ? boot_id : "", sizeof(run->owner.boot_id) - 1);
}

static int text_copy(char **text, const char *from)
{
	*text = from ? strdup(from) : NULL;
	return from && !*text ? -1 : 0;
}

int sqlite_run_get(struct store *store, uint64_t id, struct store_run **ret_run, struct error *e)
{
	struct store_sqlite *s = sqlite_of(store);
	struct store_run row, *run = NULL;
	sqlite3_stmt *st = NULL;
	int rc, err;

	err = sqlite_prepare(s,
			     "SELECT " RUN_COLUMNS ", (SELECT path FROM file WHERE file.id = run.file),"
			     " (SELECT text FROM file WHERE file.id = run.file) FROM run WHERE id = ?",
			     &st, "reading", e);
	if (err < 0)
		return err;
	sqlite_bind_number(st, 1, id);
	rc = sqlite3_step(st);
	if (rc == SQLITE_DONE) {
		err = error_set(e, -ENOENT, "store %s: there is no run %llu (see `bop runs`)", s->path,
				(unsigned long long)id);
		goto out;
	}
	if (rc != SQLITE_ROW) {
		err = sqlite_fail(s, rc, "reading", e);
		goto out;
	}
	run_from_row(st, &row);
	run = malloc(sizeof(*run));
	if (run) {
		*run = row;
		run->experiment = run->version = run->reason = run->warnings = run->unclassed = run->path = run->text = NULL;
	}
	if (!run || text_copy(&run->experiment, row.experiment) < 0 || text_copy(&run->version, row.version) < 0 ||
	    text_copy(&run->reason, row.reason) < 0 || text_copy(&run->warnings, row.warnings) < 0 ||
	    text_copy(&run->unclassed, row.unclassed) < 0 || text_copy(&run->path, column_text(st, 23)) < 0 ||
	    text_copy(&run->text, column_text(st, 24)) < 0) {
		err = error_set(e, -ENOMEM, "out of memory");
		goto out;
	}
	err = sqlite_plan_get(s, run, e);
	if (err < 0)
		goto out;
	*ret_run = run;
	run = NULL;
out:
	store_run_free(run);
	sqlite3_finalize(st);
	return err;
}

int sqlite_run_last(struct store *store, uint64_t *ret_id, struct error *e)
{
	struct store_sqlite *s = sqlite_of(store);
	sqlite3_stmt *st = NULL;
	int rc, err;

	err = sqlite_prepare(s, "SELECT coalesce(max(id), 0) FROM run", &st, "reading", e);
	if (err < 0)
		return err;
	rc = sqlite3_step(st);
	if (rc == SQLITE_ROW)
		*ret_id = column_number(st, 0);
	else
		err = sqlite_fail(s, rc, "reading", e);
	sqlite3_finalize(st);
	return err;
}

/* Calls on_row for each row; what it returns other than 0 ends it. Frees the statement. */
typedef int on_row(sqlite3_stmt *st, void *visitor, void *arg, struct error *e);
static int each_row(struct store_sqlite *s, sqlite3_stmt *st, on_row *on_row, void *visitor, void *arg,
		    struct error *e)
{
	int rc, result = 0;

	while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
		result = on_row(st, visitor, arg, e);
		if (result)
			goto out;
	}
	if (rc != SQLITE_DONE)
		result = sqlite_fail(s, rc, "reading", e);
out:
	sqlite3_finalize(st);
	return result;
}

static int on_run_row(sqlite3_stmt *st, void *visitor, void *arg, struct error *e)
{
	store_on_run **on_run = visitor;
	struct store_run run;

	run_from_row(st, &run);
	run.faults = (uint32_t)sqlite3_column_int64(st, 23);
	return (*on_run)(&run, arg, e);
}

static int on_stream_row(sqlite3_stmt *st, void *visitor, void *arg, struct error *e)
{
	store_on_stream **on_stream = visitor;
	struct store_stream stream = {
		.number = column_number(st, 0),
		.host = column_text(st, 2),
		.boot_id = column_text(st, 3),
		.kernel = column_text(st, 4),
		.backend = column_text(st, 5),
		.monotonic_ns = column_number(st, 6),
		.realtime_ns = column_number(st, 7),
	};

	if (sqlite3_column_bytes(st, 1) == sizeof(stream.session))
		memcpy(stream.session, sqlite3_column_blob(st, 1), sizeof(stream.session));
	return (*on_stream)(&stream, arg, e);
}

static int on_process_row(sqlite3_stmt *st, void *visitor, void *arg, struct error *e)
{
	store_on_process **on_process = visitor;
	struct store_process process = {
		.name = column_text(st, 0),
		.box = column_text(st, 1),
		.role = (enum store_role)sqlite3_column_int(st, 2),
		.command = column_text(st, 3),
		.started = sqlite3_column_int(st, 4),
		.exited = sqlite3_column_type(st, 5) != SQLITE_NULL,
		.status = (uint32_t)sqlite3_column_int64(st, 5),
		.output = (char *)sqlite3_column_blob(st, 6),
		.output_size = (size_t)sqlite3_column_bytes(st, 6),
	};

	return (*on_process)(&process, arg, e);
}

static int on_batch_row(sqlite3_stmt *st, void *visitor, void *arg, struct error *e)
{
	store_on_batch **on_batch = visitor;

	return (*on_batch)(column_number(st, 0), column_number(st, 1), sqlite3_column_blob(st, 2),
			   (size_t)sqlite3_column_bytes(st, 2), arg, e);
}

static int each(struct store *store, const char *sql, uint64_t run, on_row *on_row, void *visitor, void *arg,
		struct error *e)
{
	struct store_sqlite *s = sqlite_of(store);
	sqlite3_stmt *st = NULL;
	int err = sqlite_prepare(s, sql, &st, "reading", e);

	if (err < 0)
		return err;
	if (run)
		sqlite_bind_number(st, 1, run);
	return each_row(s, st, on_row, visitor, arg, e);
}

/* Those that few rows match have an index of their own, which is not left to chance. */
static const char *index_of(const struct store_range *range)
{
	if (range->running)
		return "INDEXED BY run_running WHERE running AND";
	if (range->unknown)
		return "INDEXED BY run_unknown WHERE class IS NULL AND unclassed IS NULL AND NOT running AND";
	return "WHERE";
}

int sqlite_each_run(struct store *store, const struct store_range *range, store_on_run *on_run, void *arg,
		    struct error *e)
{
	struct store_sqlite *s = sqlite_of(store);
	sqlite3_stmt *st = NULL;
	char *sql = NULL;
	int err;

	if (asprintf(&sql,
		     "SELECT " RUN_COLUMNS
		     ", coalesce((SELECT length(lines) - length(replace(lines, char(10), '')) FROM plan WHERE plan.run = run.id), 0)"
		     " FROM run %s id %c ?1 AND (?2 IS NULL OR experiment = ?2) ORDER BY id%s",
		     index_of(range), range->newest ? '<' : '>', range->newest ? " DESC" : "") < 0)
		return error_set(e, -ENOMEM, "out of memory");
	err = sqlite_prepare(s, sql, &st, "reading", e);
	free(sql);
	if (err < 0)
		return err;
	sqlite_bind_number(st, 1, range->newest && !range->after ? INT64_MAX : range->after);
	sqlite_bind_text(st, 2, range->experiment);
	return each_row(s, st, on_run_row, &on_run, arg, e);
}

int sqlite_each_stream(struct store *store, uint64_t run, store_on_stream *on_stream, void *arg, struct error *e)
{
	return each(store,
		    "SELECT stream, session, host, boot_id, kernel, backend, monotonic_ns, realtime_ns FROM stream"
		    " WHERE run = ? ORDER BY stream",
		    run, on_stream_row, &on_stream, arg, e);
}

int sqlite_each_process(struct store *store, uint64_t run, store_on_process *on_process, void *arg, struct error *e)
{
	return each(
		store,
		"SELECT name, box, role, command, started, status, output FROM process JOIN program ON program.id = program"
		" WHERE run = ? ORDER BY place",
		run, on_process_row, &on_process, arg, e);
}

int sqlite_each_batch(struct store *store, uint64_t run, store_on_batch *on_batch, void *arg, struct error *e)
{
	return each(store, "SELECT stream, number, bytes FROM batch WHERE run = ? ORDER BY stream, number", run,
		    on_batch_row, &on_batch, arg, e);
}
