/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Writing rows of an SQLite store. Unknown numbers are NULL. See store.h for the contracts, docs/store.md for the tables. */
#include "collector/store_sqlite.h"

#include <errno.h>
#include <stdlib.h>

int sqlite_finish(struct store_sqlite *s, sqlite3_stmt *st, const char *doing, struct error *e)
{
	int rc = sqlite3_step(st);
	int err = rc == SQLITE_DONE ? 0 : sqlite_fail(s, rc, doing, e);

	sqlite3_finalize(st);
	return err;
}

static int prepare_two(struct store_sqlite *s, const char *sql, uint64_t a, uint64_t b, const char *doing,
		       sqlite3_stmt **ret_st, struct error *e)
{
	int err = sqlite_prepare(s, sql, ret_st, doing, e), n;

	if (err < 0)
		return err;
	n = sqlite3_bind_parameter_count(*ret_st);
	if (n >= 1)
		sqlite_bind_number(*ret_st, 1, a);
	if (n >= 2)
		sqlite_bind_number(*ret_st, 2, b);
	return 0;
}

int sqlite_change(struct store_sqlite *s, const char *sql, uint64_t a, uint64_t b, const char *doing, struct error *e)
{
	sqlite3_stmt *st = NULL;
	int err = prepare_two(s, sql, a, b, doing, &st, e);

	return err < 0 ? err : sqlite_finish(s, st, doing, e);
}

int sqlite_number(struct store_sqlite *s, const char *sql, uint64_t a, uint64_t b, uint64_t *ret_number, struct error *e)
{
	sqlite3_stmt *st = NULL;
	int err = prepare_two(s, sql, a, b, "reading", &st, e), rc;

	if (err < 0)
		return err;
	rc = sqlite3_step(st);
	if (rc == SQLITE_ROW || rc == SQLITE_DONE)
		*ret_number = rc == SQLITE_ROW ? (uint64_t)sqlite3_column_int64(st, 0) : 0;
	else
		err = sqlite_fail(s, rc, "reading", e);
	sqlite3_finalize(st);
	return err;
}

static int begin(struct store *store, struct error *e)
{
	struct store_sqlite *s = sqlite_of(store);
	int err = s->whole ? 0 : sqlite_run(s, "BEGIN IMMEDIATE", "writing", e);

	s->in_transaction = !err;
	return err;
}

static void rollback(struct store *store)
{
	struct store_sqlite *s = sqlite_of(store);

	if (s->put)
		sqlite3_reset(s->put);
	if (s->whole)
		return;
	if (!sqlite3_get_autocommit(s->db)) /* SQLite may have rolled back by itself */
		sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
	s->in_transaction = false;
}

static int commit(struct store *store, struct error *e)
{
	struct store_sqlite *s = sqlite_of(store);
	int err;

	if (s->whole)
		return 0;
	err = sqlite_run(s, "COMMIT", "writing", e);
	if (err < 0)
		rollback(store);
	s->in_transaction = false;
	return err;
}

static int transaction(struct store *store, store_work *work, void *arg, struct error *e)
{
	struct store_sqlite *s = sqlite_of(store);
	int err = begin(store, e);

	if (err < 0)
		return err;
	s->whole = true;
	err = work(store, arg, e);
	s->whole = false;
	if (!err)
		return commit(store, e);
	rollback(store);
	return err;
}

int sqlite_enter(struct store_sqlite *s, bool *ret_inner, struct error *e)
{
	*ret_inner = s->in_transaction;
	return *ret_inner ? 0 : begin(&s->store, e);
}

int sqlite_leave(struct store_sqlite *s, bool inner, int err, struct error *e)
{
	if (inner)
		return err;
	if (!err)
		return commit(&s->store, e);
	rollback(&s->store);
	return err;
}

/*
 * The number of what runs have in common, which is put in by the first. find and put get the same texts, n of them, and number as the
 * last one if there is another place.
 */
static int common_put(struct store_sqlite *s, const char *find, const char *put, const char *const *texts, int n, int number,
		      uint64_t *ret_id, struct error *e)
{
	sqlite3_stmt *st = NULL;
	int err, rc;

	*ret_id = 0;
	for (int i = 0; i < 2 && !*ret_id; i++) {
		err = sqlite_prepare(s, i ? put : find, &st, "writing", e);
		if (err < 0)
			return err;
		for (int k = 0; k < n; k++)
			sqlite_bind_text(st, k + 1, texts[k]);
		if (sqlite3_bind_parameter_count(st) > n)
			sqlite3_bind_int(st, n + 1, number);
		rc = sqlite3_step(st);
		if (rc == SQLITE_ROW) {
			*ret_id = (uint64_t)sqlite3_column_int64(st, 0);
			rc = sqlite3_step(st);
		}
		err = rc == SQLITE_DONE ? 0 : sqlite_fail(s, rc, "writing", e);
		sqlite3_finalize(st);
		if (err < 0)
			return err;
	}
	return 0;
}

static int file_put(struct store_sqlite *s, const struct store_run *run, uint64_t *ret_file, struct error *e)
{
	return common_put(s, "SELECT id FROM file WHERE path = ? AND text = ?",
			  "INSERT INTO file (path, text) VALUES (?, ?) RETURNING id",
			  (const char *const[]){ run->path, run->text }, 2, 0, ret_file, e);
}

static int program_put(struct store_sqlite *s, const struct store_process *process, uint64_t *ret_program, struct error *e)
{
	return common_put(s, "SELECT id FROM program WHERE command = ? AND name = ? AND box = ? AND role = ?",
			  "INSERT INTO program (command, name, box, role) VALUES (?, ?, ?, ?) RETURNING id",
			  (const char *const[]){ process->command, process->name, process->box }, 3, (int)process->role, ret_program, e);
}

static int row_put(struct store_sqlite *s, const struct store_run *run, uint64_t file, struct error *e)
{
	sqlite3_stmt *st = NULL;
	int err;

	err = sqlite_prepare(s,
		      "INSERT INTO run (experiment, file, version, started_ns, started_monotonic_ns, owner_boot,"
		      " owner_pid_namespace, owner_pid, owner_start) VALUES (?,?,?,?,?,?,?,?,?)",
		      &st, "adding a run", e);
	if (err < 0)
		return err;
	sqlite_bind_text(st, 1, run->experiment);
	sqlite_bind_number(st, 2, file);
	sqlite_bind_text(st, 3, run->version);
	sqlite_bind_number(st, 4, run->started_ns);
	sqlite_bind_number(st, 5, run->started_monotonic_ns);
	sqlite_bind_text(st, 6, run->owner.boot_id);
	sqlite_bind_number(st, 7, run->owner.pid_namespace);
	sqlite3_bind_int(st, 8, run->owner.pid);
	sqlite_bind_number(st, 9, run->owner.start);
	return sqlite_finish(s, st, "adding a run", e);
}

static int run_create(struct store *store, struct store_run *run, struct error *e)
{
	struct store_sqlite *s = sqlite_of(store);
	uint64_t file;
	bool inner;
	int err;

	err = sqlite_enter(s, &inner, e);
	if (err < 0)
		return err;
	err = file_put(s, run, &file, e);
	if (!err)
		err = row_put(s, run, file, e);
	if (!err) {
		run->id = (uint64_t)sqlite3_last_insert_rowid(s->db);
		err = sqlite_plan_put(s, run, e);
	}
	err = sqlite_leave(s, inner, err, e);
	run->running = !err;
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
	sqlite_bind_text(st, 3, stream->host);
	sqlite_bind_text(st, 4, stream->boot_id);
	sqlite_bind_text(st, 5, stream->kernel);
	sqlite_bind_text(st, 6, stream->backend);
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
	uint64_t program;
	int err = program_put(s, process, &program, e);

	if (!err)
		err = sqlite_prepare(s, "INSERT INTO process VALUES (?,?,?,?,?,?)", &st, "ending a run", e);
	if (err < 0)
		return err;
	sqlite_bind_number(st, 1, run);
	sqlite_bind_number(st, 2, place);
	sqlite_bind_number(st, 3, program);
	sqlite3_bind_int(st, 4, process->started);
	if (process->exited)
		sqlite3_bind_int64(st, 5, process->status);
	if (process->output)
		sqlite3_bind_blob64(st, 6, process->output, process->output_size, SQLITE_STATIC);
	return sqlite_finish(s, st, "ending a run", e);
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
	sqlite_bind_text(st, 2, owner->boot_id);
	sqlite_bind_number(st, 3, owner->pid_namespace);
	sqlite3_bind_int(st, 4, owner->pid);
	sqlite_bind_number(st, 5, owner->start);
	err = sqlite_finish(s, st, "taking over a run", e);
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
	sqlite_bind_text(st, 3, outcome_name(run->outcome));
	sqlite_bind_text(st, 4, run->reason);
	sqlite_bind_text(st, 5, run->warnings);
	sqlite_bind_number(st, 6, run->duration_ns);
	sqlite_bind_number(st, 7, run->events);
	sqlite_bind_number(st, 8, run->messages);
	sqlite_bind_number(st, 9, run->lost);
	sqlite_bind_number(st, 10, run->holes);
	err = sqlite_finish(s, st, "ending a run", e);
	if (!err && !sqlite3_changes(s->db))
		err = error_set(e, -ESTALE, "store %s: run %llu was ended or removed by somebody else", s->path,
				(unsigned long long)run->id);
	return err;
}

static int run_seal(struct store *store, struct store_run *run, const struct store_process *processes, size_t n,
		    const struct store_class *class, const struct store_seal *how, struct error *e)
{
	struct store_sqlite *s = sqlite_of(store);
	bool inner;
	int err;

	err = sqlite_enter(s, &inner, e);
	if (err < 0)
		return err;
	err = run_update(s, run, e);
	for (size_t i = 0; i < n && !err; i++)
		err = process_put(s, run->id, i, &processes[i], e);
	if (!err)
		err = sqlite_class_settle(s, run, class, how, true, e);
	return sqlite_leave(s, inner, err, e);
}

static void sqlite_close(struct store *store)
{
	struct store_sqlite *s = sqlite_of(store);

	sqlite3_finalize(s->put);
	sqlite3_close(s->db);
	free(s->path);
	free(s->file);
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
	.transaction = transaction,
	.run_adopt = run_adopt,
	.run_seal = run_seal,
	.run_get = sqlite_run_get,
	.run_last = sqlite_run_last,
	.run_baseline = sqlite_run_baseline,
	.run_class = sqlite_run_class,
	.run_remove = sqlite_run_remove,
	.run_drop = sqlite_run_drop,
	.run_fold = sqlite_run_fold,
	.run_size = sqlite_run_size,
	.room = sqlite_room,
	.sweep = sqlite_sweep,
	.class_find = sqlite_class_find,
	.class_get = sqlite_class_get,
	.each_class = sqlite_each_class,
	.class_near = sqlite_class_near,
	.each_run = sqlite_each_run,
	.each_stream = sqlite_each_stream,
	.each_process = sqlite_each_process,
	.each_batch = sqlite_each_batch,
};
