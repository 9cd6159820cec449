/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Writing rows of an SQLite store. Unknown numbers are NULL. See store.h for the contracts, docs/store.md for the tables. */
#include "collector/store_sqlite.h"

#include <errno.h>
#include <stdlib.h>

static void bind_text(sqlite3_stmt *st, int at, const char *text)
{
	sqlite3_bind_text(st, at, text, -1, SQLITE_STATIC);
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

	err = sqlite_prepare(s,
		      "INSERT INTO run (experiment, path, text, version, started_ns, started_monotonic_ns, owner_boot,"
		      " owner_pid_namespace, owner_pid, owner_start) VALUES (?,?,?,?,?,?,?,?,?,?)",
		      &st, "adding a run", e);
	if (err < 0)
		return err;
	bind_text(st, 1, run->experiment);
	bind_text(st, 2, run->path);
	bind_text(st, 3, run->text);
	bind_text(st, 4, run->version);
	sqlite_bind_number(st, 5, run->started_ns);
	sqlite_bind_number(st, 6, run->started_monotonic_ns);
	bind_text(st, 7, run->owner.boot_id);
	sqlite_bind_number(st, 8, run->owner.pid_namespace);
	sqlite3_bind_int(st, 9, run->owner.pid);
	sqlite_bind_number(st, 10, run->owner.start);
	err = finish(s, st, "adding a run", e);
	if (!err) {
		run->id = (uint64_t)sqlite3_last_insert_rowid(s->db);
		run->running = true;
		err = sqlite_plan_put(s, run, e);
	}
	return err;
}

static int stream_add(struct store *store, uint64_t run, struct store_stream *stream, struct error *e)
{
	struct store_sqlite *s = sqlite_of(store);
	sqlite3_stmt *st = NULL;
	int rc, err;

	err = sqlite_prepare(s,
		      "INSERT INTO stream SELECT ?1, 1 + coalesce(max(stream), 0), ?2, ?3, ?4, ?5, ?6, ?7, ?8 FROM stream"
		      " WHERE run = ?1 RETURNING stream",
		      &st, "adding a stream", e);
	if (err < 0)
		return err;
	sqlite_bind_number(st, 1, run);
	sqlite3_bind_blob(st, 2, stream->session, sizeof(stream->session), SQLITE_STATIC);
	bind_text(st, 3, stream->host);
	bind_text(st, 4, stream->boot_id);
	bind_text(st, 5, stream->kernel);
	bind_text(st, 6, stream->backend);
	sqlite_bind_number(st, 7, stream->monotonic_ns);
	sqlite_bind_number(st, 8, stream->realtime_ns);
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
		err = sqlite_prepare(s,
			      "INSERT INTO batch SELECT ?1, ?2, ?3, ?4 WHERE EXISTS"
			      " (SELECT 1 FROM run WHERE id = ?1 AND running)"
			      " ON CONFLICT (run, stream, number) DO UPDATE SET number = excluded.number",
			      &s->put, "writing", e);
		if (err < 0)
			return err;
	}
	sqlite_bind_number(s->put, 1, run);
	sqlite_bind_number(s->put, 2, stream);
	sqlite_bind_number(s->put, 3, number);
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

	err = sqlite_prepare(s, "INSERT INTO process VALUES (?,?,?,?,?,?,?,?,?)", &st, "ending a run", e);
	if (err < 0)
		return err;
	sqlite_bind_number(st, 1, run);
	sqlite_bind_number(st, 2, place);
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

static int run_adopt(struct store *store, uint64_t id, const struct store_owner *owner, struct error *e)
{
	struct store_sqlite *s = sqlite_of(store);
	sqlite3_stmt *st = NULL;
	int err;

	err = sqlite_prepare(s,
		      "UPDATE run SET owner_boot = ?2, owner_pid_namespace = ?3, owner_pid = ?4, owner_start = ?5"
		      " WHERE id = ?1 AND running",
		      &st, "taking over a run", e);
	if (err < 0)
		return err;
	sqlite_bind_number(st, 1, id);
	bind_text(st, 2, owner->boot_id);
	sqlite_bind_number(st, 3, owner->pid_namespace);
	sqlite3_bind_int(st, 4, owner->pid);
	sqlite_bind_number(st, 5, owner->start);
	err = finish(s, st, "taking over a run", e);
	if (!err && !sqlite3_changes(s->db))
		err = error_set(e, -ESTALE, "store %s: run %llu was ended or removed by somebody else", s->path,
				(unsigned long long)id);
	return err;
}

static int run_update(struct store_sqlite *s, const struct store_run *run, struct error *e)
{
	sqlite3_stmt *st = NULL;
	int err;

	err = sqlite_prepare(s,
		      "UPDATE run SET running = 0, incomplete = ?2, outcome = ?3, reason = ?4, warnings = ?5,"
		      " duration_ns = ?6, events = ?7, messages = ?8, lost = ?9, holes = ?10 WHERE id = ?1 AND running",
		      &st, "ending a run", e);
	if (err < 0)
		return err;
	sqlite_bind_number(st, 1, run->id);
	sqlite3_bind_int(st, 2, run->incomplete);
	bind_text(st, 3, outcome_name(run->outcome));
	bind_text(st, 4, run->reason);
	bind_text(st, 5, run->warnings);
	sqlite_bind_number(st, 6, run->duration_ns);
	sqlite_bind_number(st, 7, run->events);
	sqlite_bind_number(st, 8, run->messages);
	sqlite_bind_number(st, 9, run->lost);
	sqlite_bind_number(st, 10, run->holes);
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
		err = sqlite_prepare(s, statements[i], &st, "removing a run", e);
		if (err < 0)
			return err;
		sqlite_bind_number(st, 1, id);
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
	err = sqlite_run_get(store, id, &run, e);
	if (!err && run->running && store_owner_alive(&run->owner))
		err = error_set(e, -EBUSY, "run %llu is still being recorded (by process %d)", (unsigned long long)id,
				run->owner.pid);
	if (!err)
		err = sqlite_plan_remove(sqlite_of(store), id, e);
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
	.run_adopt = run_adopt,
	.run_seal = run_seal,
	.run_get = sqlite_run_get,
	.run_last = sqlite_run_last,
	.run_baseline = sqlite_run_baseline,
	.run_remove = run_remove,
	.each_run = sqlite_each_run,
	.each_stream = sqlite_each_stream,
	.each_process = sqlite_each_process,
	.each_batch = sqlite_each_batch,
};
