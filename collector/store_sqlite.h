/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What the files of the SQLite backend share: opening (store_sqlite_open.c), writing (store_sqlite.c), reading
 * (store_sqlite_read.c), plans (store_sqlite_plan.c).
 */
#ifndef COLLECTOR_STORE_SQLITE_H
#define COLLECTOR_STORE_SQLITE_H

#include <sqlite3.h>

#include "collector/store.h"

struct store_sqlite {
	struct store store;
	sqlite3 *db;
	char *path;
	sqlite3_stmt *put; /* kept between batches */
	bool in_transaction;
};

extern const struct store_ops store_sqlite_ops;

static inline struct store_sqlite *sqlite_of(struct store *store)
{
	return (struct store_sqlite *)store; /* store is its first member */
}

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

/* store_sqlite_plan.c */
int sqlite_plan_put(struct store_sqlite *s, const struct store_run *run, struct error *e);
int sqlite_plan_get(struct store_sqlite *s, struct store_run *run, struct error *e); /* plan, seed, dry_run, racy */
/* What to select for the number of its faults, from the table run; NULL with an error. */
const char *sqlite_plan_count(struct store_sqlite *s, struct error *e);
int sqlite_plan_remove(struct store_sqlite *s, uint64_t id, struct error *e);

/* Members of store_ops. */
int sqlite_run_baseline(struct store *store, const char *experiment, uint64_t *ret_id, struct error *e);
int sqlite_run_get(struct store *store, uint64_t id, struct store_run **ret_run, struct error *e);
int sqlite_run_last(struct store *store, uint64_t *ret_id, struct error *e);
int sqlite_each_run(struct store *store, const struct store_range *range, store_on_run *on_run, void *arg, struct error *e);
int sqlite_each_stream(struct store *store, uint64_t run, store_on_stream *on_stream, void *arg, struct error *e);
int sqlite_each_process(struct store *store, uint64_t run, store_on_process *on_process, void *arg, struct error *e);
int sqlite_each_batch(struct store *store, uint64_t run, store_on_batch *on_batch, void *arg, struct error *e);

#endif
