/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What the files of the SQLite backend share: opening (store_sqlite_open.c), tables (store_sqlite_format.c), writing
 * (store_sqlite.c), classes (store_sqlite_class.c) and their sketches (store_sqlite_near.c), removing (store_sqlite_drop.c), reading (store_sqlite_read.c), plans
 * (store_sqlite_plan.c).
 */
#ifndef COLLECTOR_STORE_SQLITE_H
#define COLLECTOR_STORE_SQLITE_H

#include <sqlite3.h>

#include "collector/store.h"

struct store_sqlite {
	struct store store;
	sqlite3 *db;
	char *path; /* as it was given */
	char *file; /* the same for SQLite */
	sqlite3_stmt *put; /* kept between batches */
	bool in_transaction;
	uint64_t busy_since_ns; /* since when it waits for somebody else */
	bool whole; /* and it is that of store_transaction(): begin and commit inside do nothing */
};

extern const struct store_ops store_sqlite_ops;

static inline struct store_sqlite *sqlite_of(struct store *store)
{
	return (struct store_sqlite *)store; /* store is its first member */
}

/*
 * What store.h calls `kept`, from the table run. The column is NULL in a run with events of its own, 0 in one that lost them, else
 * the number of the run whose events stand for its own: which may be gone, or may have lost them.
 */
#define SQLITE_KEPT                                                                                             \
	"(CASE WHEN run.kept IS NULL THEN run.id WHEN run.kept = 0 THEN 0 ELSE coalesce((SELECT whole.id FROM run whole" \
	" WHERE whole.id = run.kept AND whole.kept IS NULL), 0) END)"

/* STORE_UNKNOWN becomes NULL. */
static inline void sqlite_bind_number(sqlite3_stmt *st, int at, uint64_t value)
{
	if (value == STORE_UNKNOWN)
		sqlite3_bind_null(st, at);
	else
		sqlite3_bind_int64(st, at, (int64_t)value);
}

/* Turns what SQLite said last into one line and a negative errno. */
int sqlite_fail(struct store_sqlite *s, int rc, const char *doing, struct error *e);
int sqlite_run(struct store_sqlite *s, const char *sql, const char *doing, struct error *e);
int sqlite_prepare(struct store_sqlite *s, const char *sql, sqlite3_stmt **ret_st, const char *doing, struct error *e);

static inline void sqlite_bind_text(sqlite3_stmt *st, int at, const char *text)
{
	sqlite3_bind_text(st, at, text, -1, SQLITE_STATIC); /* NULL is NULL */
}

/* Runs a statement that returns no row, and frees it. */
int sqlite_finish(struct store_sqlite *s, sqlite3_stmt *st, const char *doing, struct error *e);
/* The same from its text, with up to two numbers: what it has places for. */
int sqlite_change(struct store_sqlite *s, const char *sql, uint64_t a, uint64_t b, const char *doing, struct error *e);
/* The number that it selects, 0 without a row or with NULL; the same places. */
int sqlite_number(struct store_sqlite *s, const char *sql, uint64_t a, uint64_t b, uint64_t *ret_number, struct error *e);

/* A transaction of its own, or, if one is open, part of that: then only who opened it ends it. */
int sqlite_enter(struct store_sqlite *s, bool *ret_inner, struct error *e);
int sqlite_leave(struct store_sqlite *s, bool inner, int err, struct error *e); /* ends it as err says */

/* store_sqlite_format.c. Whether the file is ours: 1, of format 1: 2, a new one: 0, else an error; *ret_rc is set if SQLite failed. */
int sqlite_format_check(struct store_sqlite *s, int *ret_rc, struct error *e);
int sqlite_format_make(struct store_sqlite *s, struct error *e);   /* of a new one */
int sqlite_format_update(struct store_sqlite *s, struct error *e); /* of format 1 */

/* store_sqlite_plan.c */
int sqlite_plan_put(struct store_sqlite *s, const struct store_run *run, struct error *e);
int sqlite_plan_get(struct store_sqlite *s, struct store_run *run, struct error *e); /* plan, seed, dry_run, racy */

/*
 * store_sqlite_class.c. Finds or makes the class of a run that is in its row already, says in the row and in run whose it is, and
 * removes what it recorded if it is a repeat and may_drop. Within a transaction.
 */
int sqlite_class_settle(struct store_sqlite *s, struct store_run *run, const struct store_class *class,
			const struct store_seal *how, bool may_drop, struct error *e);
/* After a run of it was removed or lost its events: who is first and kept now; without runs it goes. Within a transaction. */
int sqlite_class_review(struct store_sqlite *s, uint64_t class, struct error *e);

/* store_sqlite_near.c. Of a class; within a transaction. */
int sqlite_sketch_put(struct store_sqlite *s, uint64_t class, const char *experiment, const struct sketch *sketch, struct error *e);
int sqlite_sketch_remove(struct store_sqlite *s, uint64_t class, struct error *e);

/* Members of store_ops. */
int sqlite_run_baseline(struct store *store, const char *experiment, uint64_t *ret_id, struct error *e);
int sqlite_run_get(struct store *store, uint64_t id, struct store_run **ret_run, struct error *e);
int sqlite_run_last(struct store *store, uint64_t *ret_id, struct error *e);
int sqlite_run_class(struct store *store, struct store_run *run, const struct store_class *class, const struct store_seal *how,
		     struct error *e);
int sqlite_run_remove(struct store *store, uint64_t id, struct error *e);
int sqlite_run_fold(struct store *store, uint64_t id, struct error *e);
int sqlite_run_size(struct store *store, uint64_t id, uint64_t *ret_bytes, struct error *e);
int sqlite_room(struct store *store, bool tidy, uint64_t *ret_bytes, struct error *e);
int sqlite_run_drop(struct store *store, uint64_t id, uint64_t uses, struct error *e);
int sqlite_sweep(struct store *store, store_go_on *go_on, void *arg, struct error *e);
int sqlite_class_find(struct store *store, const char *experiment, const unsigned char *plan_key,
		      const struct print prints[STORE_VIEW_COUNT][PRINT_LEVEL_COUNT], struct store_class **ret_class,
		      struct error *e);
int sqlite_class_get(struct store *store, uint64_t id, struct store_class **ret_class, struct error *e);
int sqlite_each_class(struct store *store, const char *experiment, store_on_class *on_class, void *arg, struct error *e);
int sqlite_class_near(struct store *store, const struct store_near *near, store_on_candidate *on_candidate, void *arg,
		      struct error *e);
int sqlite_each_run(struct store *store, const struct store_range *range, store_on_run *on_run, void *arg, struct error *e);
int sqlite_each_stream(struct store *store, uint64_t run, store_on_stream *on_stream, void *arg, struct error *e);
int sqlite_each_process(struct store *store, uint64_t run, store_on_process *on_process, void *arg, struct error *e);
int sqlite_each_batch(struct store *store, uint64_t run, store_on_batch *on_batch, void *arg, struct error *e);

#endif
