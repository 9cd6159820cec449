/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Plans of runs in an SQLite store: only runs with faults or a seed have a row. See store.h for the contracts. */
#include <errno.h>
#include <string.h>

#include "collector/store_sqlite.h"

int sqlite_plan_put(struct store_sqlite *s, const struct store_run *run, struct error *e)
{
	sqlite3_stmt *st = NULL;
	int err;

	if (!run->plan && !run->seed)
		return 0;
	err = sqlite_prepare(s, "INSERT INTO plan VALUES (?,?,?,?,?)", &st, "adding a run", e);
	if (err < 0)
		return err;
	sqlite_bind_number(st, 1, run->id);
	sqlite_bind_number(st, 2, run->seed);
	sqlite3_bind_int(st, 3, run->dry_run);
	sqlite3_bind_int(st, 4, run->racy);
	sqlite_bind_text(st, 5, run->plan ? run->plan : "");
	return sqlite_finish(s, st, "adding a run", e);
}

int sqlite_plan_get(struct store_sqlite *s, struct store_run *run, struct error *e)
{
	sqlite3_stmt *st = NULL;
	const char *lines;
	int err, rc;

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

int sqlite_run_baseline(struct store *store, const char *experiment, uint64_t *ret_id, struct error *e)
{
	struct store_sqlite *s = sqlite_of(store);
	sqlite3_stmt *st = NULL;
	int err, rc;

	err = sqlite_prepare(s,
			     "SELECT id FROM run WHERE experiment = ? AND NOT running AND NOT incomplete"
			     " AND outcome IN ('good', 'violated', 'vacuous') AND " SQLITE_KEPT " > 0"
			     " AND NOT EXISTS (SELECT 1 FROM plan WHERE plan.run = run.id AND lines <> '' AND NOT dry_run)"
			     " ORDER BY id DESC LIMIT 1",
			     &st, "reading", e);
	if (err < 0)
		return err;
	sqlite_bind_text(st, 1, experiment);
	rc = sqlite3_step(st);
	if (rc == SQLITE_ROW || rc == SQLITE_DONE)
		*ret_id = rc == SQLITE_ROW ? (uint64_t)sqlite3_column_int64(st, 0) : 0;
	else
		err = sqlite_fail(s, rc, "reading", e);
	sqlite3_finalize(st);
	return err;
}
