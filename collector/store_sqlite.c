/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Rows of an SQLite store. Unknown numbers are NULL. See store.h for the contracts, docs/store.md for the tables. */
#include "collector/store_sqlite.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct store_sqlite *sqlite_of(struct store *store)
{
	return (struct store_sqlite *)store; /* store is its first member */
}

static void bind_number(sqlite3_stmt *st, int at, uint64_t value)
{
	if (value == STORE_UNKNOWN)
		sqlite3_bind_null(st, at);
	else
		sqlite3_bind_int64(st, at, (int64_t)value);
}

static void bind_text(sqlite3_stmt *st, int at, const char *text)
{
	sqlite3_bind_text(st, at, text, -1, SQLITE_STATIC);
}

static uint64_t column_number(sqlite3_stmt *st, int at)
{
	return sqlite3_column_type(st, at) == SQLITE_NULL ? STORE_UNKNOWN : (uint64_t)sqlite3_column_int64(st, at);
}

/* Borrowed until the next step. NULL for NULL. */
static char *column_text(sqlite3_stmt *st, int at)
{
	return (char *)sqlite3_column_text(st, at);
}

static int prepare(struct store_sqlite *s, const char *sql, sqlite3_stmt **ret_st, const char *doing, struct error *e)
{
	int rc = sqlite3_prepare_v2(s->db, sql, -1, ret_st, NULL);

	return rc == SQLITE_OK ? 0 : sqlite_fail(s, rc, doing, e);
}

/* Runs a statement that returns no row, and frees it. */
static int finish(struct store_sqlite *s, sqlite3_stmt *st, const char *doing, struct error *e)
{
	int rc = sqlite3_step(st);
	int err = rc == SQLITE_DONE ? 0 : sqlite_fail(s, rc, doing, e);

	sqlite3_finalize(st);
	return err;
}

static int begin(struct store *store, struct error *e)
{
	struct store_sqlite *s = sqlite_of(store);
	int err = sqlite_run(s, "BEGIN IMMEDIATE", "writing", e);

	s->in_transaction = !err;
	return err;
}

static void rollback(struct store *store)
{
	struct store_sqlite *s = sqlite_of(store);

	if (s->put)
		sqlite3_reset(s->put);
	if (!sqlite3_get_autocommit(s->db)) /* SQLite may have rolled back by itself */
		sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
	s->in_transaction = false;
}

static int commit(struct store *store, struct error *e)
{
	struct store_sqlite *s = sqlite_of(store);
	int err = sqlite_run(s, "COMMIT", "writing", e);

	if (err < 0)
		rollback(store);
	s->in_transaction = false;
	return err;
}

static int run_create(struct store *store, struct store_run *run, struct error *e)
{
	struct store_sqlite *s = sqlite_of(store);
	sqlite3_stmt *st = NULL;
	int err;

	err = prepare(s,
		      "INSERT INTO run (experiment, path, text, version, started_ns, started_monotonic_ns, owner_boot,"
		      " owner_pid_namespace, owner_pid, owner_start) VALUES (?,?,?,?,?,?,?,?,?,?)",
		      &st, "adding a run", e);
	if (err < 0)
		return err;
	bind_text(st, 1, run->experiment);
	bind_text(st, 2, run->path);
	bind_text(st, 3, run->text);
	bind_text(st, 4, run->version);
	bind_number(st, 5, run->started_ns);
	bind_number(st, 6, run->started_monotonic_ns);
	bind_text(st, 7, run->owner.boot_id);
	bind_number(st, 8, run->owner.pid_namespace);
	sqlite3_bind_int(st, 9, run->owner.pid);
	bind_number(st, 10, run->owner.start);
	err = finish(s, st, "adding a run", e);
	if (!err) {
		run->id = (uint64_t)sqlite3_last_insert_rowid(s->db);
		run->running = true;
	}
	return err;
}

static int stream_add(struct store *store, uint64_t run, struct store_stream *stream, struct error *e)
{
	struct store_sqlite *s = sqlite_of(store);
	sqlite3_stmt *st = NULL;
	int rc, err;

	err = prepare(s,
		      "INSERT INTO stream SELECT ?1, 1 + coalesce(max(stream), 0), ?2, ?3, ?4, ?5, ?6, ?7, ?8 FROM stream"
		      " WHERE run = ?1 RETURNING stream",
		      &st, "adding a stream", e);
	if (err < 0)
		return err;
	bind_number(st, 1, run);
	sqlite3_bind_blob(st, 2, stream->session, sizeof(stream->session), SQLITE_STATIC);
	bind_text(st, 3, stream->host);
	bind_text(st, 4, stream->boot_id);
	bind_text(st, 5, stream->kernel);
	bind_text(st, 6, stream->backend);
	bind_number(st, 7, stream->monotonic_ns);
	bind_number(st, 8, stream->realtime_ns);
	rc = sqlite3_step(st);
	if (rc == SQLITE_ROW) {
		stream->number = (uint64_t)sqlite3_column_int64(st, 0);
		rc = sqlite3_step(st);
	}
	err = rc == SQLITE_DONE ? 0 : sqlite_fail(s, rc, "adding a stream", e);
	sqlite3_finalize(st);
	return err;
}

static int batch_put(struct store *store, uint64_t run, uint64_t stream, uint64_t number, const void *bytes,
		     size_t size, struct error *e)
{
	struct store_sqlite *s = sqlite_of(store);
	int rc, err;

	if (!s->put) {
		/* The first of a number stays. A run that is not running takes nothing: then no row is inserted at all. */
		err = prepare(s,
			      "INSERT INTO batch SELECT ?1, ?2, ?3, ?4 WHERE EXISTS"
			      " (SELECT 1 FROM run WHERE id = ?1 AND running)"
			      " ON CONFLICT (run, stream, number) DO UPDATE SET number = excluded.number",
			      &s->put, "writing", e);
		if (err < 0)
			return err;
	}
	bind_number(s->put, 1, run);
	bind_number(s->put, 2, stream);
	bind_number(s->put, 3, number);
	sqlite3_bind_blob64(s->put, 4, bytes, size, SQLITE_STATIC);
	rc = sqlite3_step(s->put);
	sqlite3_reset(s->put);
	sqlite3_clear_bindings(s->put);
	if (rc != SQLITE_DONE)
		return sqlite_fail(s, rc, "writing", e);
	if (!sqlite3_changes(s->db))
		return error_set(e, -ESTALE, "store %s: run %llu was ended or removed by somebody else", s->path,
				 (unsigned long long)run);
	return 0;
}

static int process_put(struct store_sqlite *s, uint64_t run, size_t place, const struct store_process *process,
		       struct error *e)
{
	sqlite3_stmt *st = NULL;
	int err;

	err = prepare(s, "INSERT INTO process VALUES (?,?,?,?,?,?,?,?,?)", &st, "ending a run", e);
	if (err < 0)
		return err;
	bind_number(st, 1, run);
	bind_number(st, 2, place);
	bind_text(st, 3, process->name);
	bind_text(st, 4, process->box);
	sqlite3_bind_int(st, 5, (int)process->role);
	bind_text(st, 6, process->command);
	sqlite3_bind_int(st, 7, process->started);
	if (process->exited)
		sqlite3_bind_int64(st, 8, process->status);
	if (process->output)
		sqlite3_bind_blob64(st, 9, process->output, process->output_size, SQLITE_STATIC);
	return finish(s, st, "ending a run", e);
}

static int run_update(struct store_sqlite *s, const struct store_run *run, struct error *e)
{
	sqlite3_stmt *st = NULL;
	int err;

	err = prepare(s,
		      "UPDATE run SET running = 0, incomplete = ?2, outcome = ?3, reason = ?4, warnings = ?5,"
		      " duration_ns = ?6, events = ?7, messages = ?8, lost = ?9, holes = ?10 WHERE id = ?1 AND running",
		      &st, "ending a run", e);
	if (err < 0)
		return err;
	bind_number(st, 1, run->id);
	sqlite3_bind_int(st, 2, run->incomplete);
	bind_text(st, 3, outcome_name(run->outcome));
	bind_text(st, 4, run->reason);
	bind_text(st, 5, run->warnings);
	bind_number(st, 6, run->duration_ns);
	bind_number(st, 7, run->events);
	bind_number(st, 8, run->messages);
	bind_number(st, 9, run->lost);
	bind_number(st, 10, run->holes);
	err = finish(s, st, "ending a run", e);
	if (!err && !sqlite3_changes(s->db))
		err = error_set(e, -ESTALE, "store %s: run %llu was ended or removed by somebody else", s->path,
				(unsigned long long)run->id);
	return err;
}

static int run_seal(struct store *store, const struct store_run *run, const struct store_process *processes, size_t n,
		    struct error *e)
{
	struct store_sqlite *s = sqlite_of(store);
	int err;

	err = begin(store, e);
	if (err < 0)
		return err;
	err = run_update(s, run, e);
	for (size_t i = 0; i < n && !err; i++)
		err = process_put(s, run->id, i, &processes[i], e);
	if (!err)
		return commit(store, e);
	rollback(store);
	return err;
}

#define RUN_COLUMNS                                                                                \
	"id, experiment, version, started_ns, started_monotonic_ns, owner_boot, owner_pid_namespace, owner_pid," \
	" owner_start, running, incomplete, outcome, reason, warnings, duration_ns, events, messages, lost, holes"

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
	};
	strncpy(run->owner.boot_id, boot_id ? boot_id : "", sizeof(run->owner.boot_id) - 1);
}

static int text_copy(char **text, const char *from)
{
	*text = from ? strdup(from) : NULL;
	return from && !*text ? -1 : 0;
}

static int run_get(struct store *store, uint64_t id, struct store_run **ret_run, struct error *e)
{
	struct store_sqlite *s = sqlite_of(store);
	struct store_run row, *run = NULL;
	sqlite3_stmt *st = NULL;
	int rc, err;

	err = prepare(s, "SELECT " RUN_COLUMNS ", path, text FROM run WHERE id = ?", &st, "reading", e);
	if (err < 0)
		return err;
	bind_number(st, 1, id);
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
		run->experiment = run->version = run->reason = run->warnings = run->path = run->text = NULL;
	}
	if (!run || text_copy(&run->experiment, row.experiment) < 0 || text_copy(&run->version, row.version) < 0 ||
	    text_copy(&run->reason, row.reason) < 0 || text_copy(&run->warnings, row.warnings) < 0 ||
	    text_copy(&run->path, column_text(st, 19)) < 0 || text_copy(&run->text, column_text(st, 20)) < 0) {
		err = error_set(e, -ENOMEM, "out of memory");
		goto out;
	}
	*ret_run = run;
	run = NULL;
out:
	store_run_free(run);
	sqlite3_finalize(st);
	return err;
}

static int run_last(struct store *store, uint64_t *ret_id, struct error *e)
{
	struct store_sqlite *s = sqlite_of(store);
	sqlite3_stmt *st = NULL;
	int rc, err;

	err = prepare(s, "SELECT coalesce(max(id), 0) FROM run", &st, "reading", e);
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

static int rows_remove(struct store_sqlite *s, uint64_t id, struct error *e)
{
	static const char *const statements[] = {
		"DELETE FROM batch WHERE run = ?",
		"DELETE FROM process WHERE run = ?",
		"DELETE FROM stream WHERE run = ?",
		"DELETE FROM run WHERE id = ?",
	};
	sqlite3_stmt *st = NULL;
	int err = 0;

	for (size_t i = 0; i < sizeof(statements) / sizeof(*statements) && !err; i++) {
		err = prepare(s, statements[i], &st, "removing a run", e);
		if (err < 0)
			return err;
		bind_number(st, 1, id);
		err = finish(s, st, "removing a run", e);
	}
	return err;
}

static int run_remove(struct store *store, uint64_t id, struct error *e)
{
	struct store_run *run = NULL;
	int err;

	err = begin(store, e);
	if (err < 0)
		return err;
	err = run_get(store, id, &run, e);
	if (!err && run->running && store_owner_alive(&run->owner))
		err = error_set(e, -EBUSY, "run %llu is still being recorded (by process %d)", (unsigned long long)id,
				run->owner.pid);
	if (!err)
		err = rows_remove(sqlite_of(store), id, e);
	store_run_free(run);
	if (err < 0) {
		rollback(store);
		return err;
	}
	err = commit(store, e);
	if (!err) /* gives the room back; not worth a complaint if it cannot */
		sqlite3_exec(sqlite_of(store)->db, "PRAGMA incremental_vacuum", NULL, NULL, NULL);
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
	int err = prepare(s, sql, &st, "reading", e);

	if (err < 0)
		return err;
	if (run)
		bind_number(st, 1, run);
	return each_row(s, st, on_row, visitor, arg, e);
}

static int each_run(struct store *store, store_on_run *on_run, void *arg, struct error *e)
{
	return each(store, "SELECT " RUN_COLUMNS " FROM run ORDER BY id", 0, on_run_row, &on_run, arg, e);
}

static int each_stream(struct store *store, uint64_t run, store_on_stream *on_stream, void *arg, struct error *e)
{
	return each(store,
		    "SELECT stream, session, host, boot_id, kernel, backend, monotonic_ns, realtime_ns FROM stream"
		    " WHERE run = ? ORDER BY stream",
		    run, on_stream_row, &on_stream, arg, e);
}

static int each_process(struct store *store, uint64_t run, store_on_process *on_process, void *arg, struct error *e)
{
	return each(store,
		    "SELECT name, box, role, command, started, status, output FROM process WHERE run = ? ORDER BY place",
		    run, on_process_row, &on_process, arg, e);
}

static int each_batch(struct store *store, uint64_t run, store_on_batch *on_batch, void *arg, struct error *e)
{
	return each(store, "SELECT stream, number, bytes FROM batch WHERE run = ? ORDER BY stream, number", run,
		    on_batch_row, &on_batch, arg, e);
}

static void sqlite_close(struct store *store)
{
	struct store_sqlite *s = sqlite_of(store);

	sqlite3_finalize(s->put);
	sqlite3_close(s->db);
	free(s->path);
	free(s);
}

const struct store_ops store_sqlite_ops = {
	.close = sqlite_close,
	.run_create = run_create,
	.stream_add = stream_add,
	.begin = begin,
	.batch_put = batch_put,
	.commit = commit,
	.rollback = rollback,
	.run_seal = run_seal,
	.run_get = run_get,
	.run_last = run_last,
	.run_remove = run_remove,
	.each_run = each_run,
	.each_stream = each_stream,
	.each_process = each_process,
	.each_batch = each_batch,
};
