/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Plans of runs in an SQLite store. Their table is made by the first run that has one, so that stores of before need no
 * change, and what knows nothing of plans still reads the rest. See store.h for the contracts.
 */
#include <errno.h>
#include <string.h>

#include "collector/store_sqlite.h"

static const char table[] =
	"CREATE TABLE IF NOT EXISTS plan ("
	" run INTEGER PRIMARY KEY, seed INTEGER NOT NULL, dry_run INTEGER NOT NULL, racy INTEGER NOT NULL,"
	" lines TEXT NOT NULL) STRICT";

/* 1, 0, or an error. */
static int table_exists(struct store_sqlite *s, struct error *e)
{
	sqlite3_stmt *st = NULL;
	int err = sqlite_prepare(s, "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'plan'", &st,
				 "reading", e),
	    rc;

	if (err < 0)
		return err;
	rc = sqlite3_step(st);
	err = rc == SQLITE_ROW ? 1 : rc == SQLITE_DONE ? 0 : sqlite_fail(s, rc, "reading", e);
	sqlite3_finalize(st);
	return err;
}

int sqlite_plan_put(struct store_sqlite *s, const struct store_run *run, struct error *e)
{
	sqlite3_stmt *st = NULL;
	int err, rc;

	if (!run->plan && !run->seed)
		return 0;
	err = sqlite_run(s, table, "adding a run", e);
	if (!err)
		err = sqlite_prepare(s, "INSERT INTO plan VALUES (?,?,?,?,?)", &st, "adding a run", e);
	if (err < 0)
		return err;
	sqlite_bind_number(st, 1, run->id);
	sqlite_bind_number(st, 2, run->seed);
	sqlite3_bind_int(st, 3, run->dry_run);
	sqlite3_bind_int(st, 4, run->racy);
	sqlite3_bind_text(st, 5, run->plan ? run->plan : "", -1, SQLITE_STATIC);
	rc = sqlite3_step(st);
	err = rc == SQLITE_DONE ? 0 : sqlite_fail(s, rc, "adding a run", e);
	sqlite3_finalize(st);
	return err;
}

int sqlite_plan_get(struct store_sqlite *s, struct store_run *run, struct error *e)
{
	sqlite3_stmt *st = NULL;
	const char *lines;
	int err = table_exists(s, e), rc;

	if (err <= 0)
		return err;
	err = sqlite_prepare(s, "SELECT seed, dry_run, racy, lines FROM plan WHERE run = ?", &st, "reading", e);
	if (err < 0)
		return err;
	sqlite_bind_number(st, 1, run->id);
	rc = sqlite3_step(st);
	if (rc == SQLITE_ROW) {
		run->seed = (uint64_t)sqlite3_column_int64(st, 0);
		run->dry_run = sqlite3_column_int(st, 1);
		run->racy = sqlite3_column_int(st, 2);
		lines = (const char *)sqlite3_column_text(st, 3);
		run->plan = lines && *lines ? strdup(lines) : NULL;
		for (const char *end = lines; end && (end = strchr(end, '\n')); end++)
			run->faults++;
		if (lines && *lines && !run->plan)
			err = error_set(e, -ENOMEM, "out of memory");
	} else if (rc != SQLITE_DONE) {
		err = sqlite_fail(s, rc, "reading", e);
	}
	sqlite3_finalize(st);
	return err;
}

const char *sqlite_plan_count(struct store_sqlite *s, struct error *e)
{
	int err = table_exists(s, e);

	if (err < 0)
		return NULL;
	return err ? "(SELECT length(lines) - length(replace(lines, char(10), '')) FROM plan WHERE run = id)" : "0";
}

int sqlite_plan_remove(struct store_sqlite *s, uint64_t id, struct error *e)
{
	sqlite3_stmt *st = NULL;
	int err = table_exists(s, e), rc;

	if (err > 0)
		err = sqlite_prepare(s, "DELETE FROM plan WHERE run = ?", &st, "removing a run", e);
	if (err < 0 || !st)
		return err;
	sqlite_bind_number(st, 1, id);
	rc = sqlite3_step(st);
	err = rc == SQLITE_DONE ? 0 : sqlite_fail(s, rc, "removing a run", e);
	sqlite3_finalize(st);
	return err;
}

/* The last that ended, whole. */
#define WHOLE                                                                                               \
	"SELECT coalesce(max(id), 0) FROM run WHERE experiment = ? AND NOT running AND NOT incomplete"      \
	" AND outcome IN ('good', 'violated', 'vacuous')"

int sqlite_run_baseline(struct store *store, const char *experiment, uint64_t *ret_id, struct error *e)
{
	struct store_sqlite *s = sqlite_of(store);
	sqlite3_stmt *st = NULL;
	int err = table_exists(s, e), rc;

	if (err >= 0)
		err = sqlite_prepare(
			s,
			err ? WHOLE " AND NOT EXISTS (SELECT 1 FROM plan WHERE run = id AND lines <> '' AND NOT dry_run)" : WHOLE,
			&st, "reading", e);
	if (err < 0)
		return err;
	sqlite3_bind_text(st, 1, experiment, -1, SQLITE_STATIC);
	rc = sqlite3_step(st);
	if (rc == SQLITE_ROW)
		*ret_id = (uint64_t)sqlite3_column_int64(st, 0);
	else
		err = sqlite_fail(s, rc, "reading", e);
	sqlite3_finalize(st);
	return err;
}
