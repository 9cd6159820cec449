/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The tables of a PostgreSQL store, in the schema that is first in the search_path: whose they are, and making them. docs/store.md
 * describes them. Each format is the one before it and a step; a store of before is brought up to date in one
 * transaction. Never changes what is not ours.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/store_class.h"
#include "collector/store_pg.h"

#define PROGRAM "Box of Pain"

static const char *const first[] = {
	"CREATE TABLE bop_store (one BIGINT PRIMARY KEY, program TEXT NOT NULL, format BIGINT NOT NULL)",
	"INSERT INTO bop_store VALUES (1, '" PROGRAM "', 0)",
	"CREATE SEQUENCE bop_run_id",
	"CREATE TABLE bop_run ("
	" id BIGINT PRIMARY KEY,"
	" experiment TEXT NOT NULL, path BYTEA NOT NULL, text BYTEA NOT NULL, version TEXT NOT NULL,"
	" started_ns BIGINT NOT NULL, started_monotonic_ns BIGINT NOT NULL,"
	" owner_boot TEXT NOT NULL, owner_pid_namespace BIGINT NOT NULL, owner_pid BIGINT NOT NULL, owner_start BIGINT NOT NULL,"
	" plan BYTEA, faults BIGINT NOT NULL, seed BIGINT, dry_run BOOLEAN NOT NULL, racy BOOLEAN NOT NULL,"
	" running BOOLEAN NOT NULL DEFAULT TRUE, incomplete BOOLEAN NOT NULL DEFAULT FALSE,"
	" outcome TEXT, reason BYTEA, warnings BYTEA, duration_ns BIGINT,"
	" events BIGINT, messages BIGINT, lost BIGINT, holes BIGINT, sealed BYTEA)",
	"CREATE INDEX bop_run_experiment ON bop_run (experiment, id)",
	"CREATE INDEX bop_run_running ON bop_run (id) WHERE running",
	"CREATE TABLE bop_stream ("
	" run BIGINT NOT NULL, stream BIGINT NOT NULL, session BYTEA NOT NULL,"
	" host BYTEA NOT NULL, boot_id BYTEA NOT NULL, kernel BYTEA NOT NULL, backend BYTEA NOT NULL,"
	" monotonic_ns BIGINT NOT NULL, realtime_ns BIGINT NOT NULL, PRIMARY KEY (run, stream))",
	"CREATE TABLE bop_batch ("
	" run BIGINT NOT NULL, stream BIGINT NOT NULL, number BIGINT NOT NULL, bytes BYTEA NOT NULL,"
	" PRIMARY KEY (run, stream, number))",
	"CREATE TABLE bop_process ("
	" run BIGINT NOT NULL, place BIGINT NOT NULL, name TEXT NOT NULL, box TEXT NOT NULL,"
	" role BIGINT NOT NULL, command BYTEA NOT NULL, started BOOLEAN NOT NULL, status BIGINT, output BYTEA,"
	" PRIMARY KEY (run, place))",
	"CREATE TABLE bop_lease ("
	" owner_boot TEXT NOT NULL, owner_pid_namespace BIGINT NOT NULL, owner_pid BIGINT NOT NULL, owner_start BIGINT NOT NULL,"
	" until_ms BIGINT NOT NULL, PRIMARY KEY (owner_boot, owner_pid_namespace, owner_pid, owner_start))",
	NULL,
};

/* Classes; and the text of an experiment's file once, not with each run. */
static const char *const second[] = {
	"CREATE TABLE bop_file (name BYTEA PRIMARY KEY, path BYTEA NOT NULL, text BYTEA NOT NULL)",
	"ALTER TABLE bop_run ADD COLUMN file BYTEA",
	"INSERT INTO bop_file SELECT convert_to('run ' || CAST(id AS TEXT), 'UTF8'), path, text FROM bop_run",
	"UPDATE bop_run SET file = convert_to('run ' || CAST(id AS TEXT), 'UTF8')",
	"ALTER TABLE bop_run ALTER COLUMN file SET NOT NULL",
	"ALTER TABLE bop_run ADD CONSTRAINT bop_run_file FOREIGN KEY (file) REFERENCES bop_file (name)",
	"ALTER TABLE bop_run DROP COLUMN path",
	"ALTER TABLE bop_run DROP COLUMN text",
	"ALTER TABLE bop_run ADD COLUMN class BIGINT",
	"ALTER TABLE bop_run ADD COLUMN unclassed BYTEA",
	"ALTER TABLE bop_run ADD COLUMN kept BIGINT",
	"CREATE INDEX bop_run_of_file ON bop_run (file)",
	"CREATE INDEX bop_run_unknown ON bop_run (id) WHERE class IS NULL AND unclassed IS NULL AND NOT running",
	"CREATE INDEX bop_run_class ON bop_run (class, id) WHERE class IS NOT NULL",
	"CREATE INDEX bop_run_kept ON bop_run (class, outcome, id) WHERE class IS NOT NULL AND kept IS NULL",
	"CREATE SEQUENCE bop_class_id",
	"CREATE TABLE bop_class ("
	" id BIGINT PRIMARY KEY, experiment TEXT NOT NULL, plan BYTEA NOT NULL, exact BYTEA NOT NULL, symmetric_exact BYTEA NOT NULL,"
	" inexact BIGINT NOT NULL, approximate BIGINT NOT NULL, folded BYTEA NOT NULL, symmetric_folded BYTEA NOT NULL,"
	" shape BYTEA NOT NULL, symmetric_shape BYTEA NOT NULL, lines BYTEA, dry_run BOOLEAN NOT NULL,"
	" first_run BIGINT NOT NULL, kept_run BIGINT NOT NULL, UNIQUE (experiment, plan, exact, symmetric_exact, inexact))",
	"CREATE TABLE bop_sketch (class BIGINT PRIMARY KEY, bytes BYTEA NOT NULL)",
	"CREATE TABLE bop_sketch_key (key BIGINT NOT NULL, class BIGINT NOT NULL, PRIMARY KEY (key, class))",
	"CREATE TABLE bop_dropping (run BIGINT PRIMARY KEY)",
	NULL,
};

/* By the format that is there before. */
static const char *const *const steps[] = { first, second };

enum { FORMAT = sizeof(steps) / sizeof(*steps) };

/* The format of the store, 0: there is none yet. -EINVAL: the tables are somebody else's. */
static int format_read(struct store_pg *s, bool lock, uint64_t *ret_format, struct error *e)
{
	PGresult *names = NULL, *row = NULL;
	bool store = false;
	int err;

	err = pg_query(s,
		       "SELECT current_schema(), c.relname FROM pg_catalog.pg_namespace n LEFT JOIN pg_catalog.pg_class c"
		       " ON n.oid = c.relnamespace AND c.relname IN ('bop_store', 'bop_run', 'bop_run_id', 'bop_stream', 'bop_batch',"
		       " 'bop_process', 'bop_lease', 'bop_file', 'bop_class', 'bop_class_id', 'bop_sketch', 'bop_sketch_key', 'bop_dropping') WHERE n.nspname = current_schema()",
		       NULL, &names, "opening it", e);
	if (err < 0)
		return err;
	*ret_format = 0;
	for (int i = 0; i < PQntuples(names); i++)
		store |= !strcmp(PQgetvalue(names, i, 1), "bop_store");
	if (!PQntuples(names))
		err = error_set(e, -ENOENT, "store %s: it has no schema to keep tables in (search_path names none that exists)", s->name);
	else if (!store && !PQgetisnull(names, 0, 1))
		err = error_set(e, -EINVAL, "store %s: the schema %s has a table %s that is not ours; it was left as it is",
				s->name, PQgetvalue(names, 0, 0), PQgetvalue(names, 0, 1));
	else if (store)
		err = pg_query(s,
			       lock ? "SELECT program, format FROM bop_store WHERE one = 1 FOR UPDATE" :
				      "SELECT program, format FROM bop_store WHERE one = 1",
			       NULL, &row, "opening it", e);
	if (store && err < 0 && err != -EIO) /* not of our shape: -EIO */
		goto out;
	if (store && (err < 0 || !PQntuples(row) || strcmp(pg_get_text(row, 0, 0), PROGRAM) || PQgetisnull(row, 0, 1)))
		err = error_set(e, -EINVAL, "store %s: the schema %s has a table bop_store that is not ours; it was left as it is",
				s->name, PQgetvalue(names, 0, 0));
	else if (store)
		*ret_format = pg_get_number(row, 0, 1);
	if (!err && *ret_format > FORMAT)
		err = error_set(e, -ENOTSUP, "store %s: written by a newer bop (format %llu, this one knows up to %d); use that bop",
				s->name, (unsigned long long)*ret_format, FORMAT);
out:
	PQclear(names);
	PQclear(row);
	return err;
}

static int check(struct store_pg *s, void *arg, struct error *e)
{
	return format_read(s, false, arg, e);
}

int pg_tables_check(struct store_pg *s, struct error *e)
{
	uint64_t format;
	int err = pg_read(s, check, &format, e);

	return err < 0 ? err : format == FORMAT ? 1 : format ? 2 : 0;
}

static int step(struct store_pg *s, const char *const *statements, struct error *e)
{
	struct pg_sql sql = { NULL };
	int err = 0;

	while (*statements && !err) {
		sql.text = *statements++;
		err = pg_put(s, &sql, NULL, e);
	}
	return err ? err : pg_collect(s, NULL, 0, "making its tables", e);
}

/* Another bop that makes the same tables at the same moment is no trouble: this looks again. */
static bool is_race(const struct error *e)
{
	return strstr(e->text, "concurrently");
}

/* 0; -EBUSY: an older bop records in it, and could not go on afterwards. */
static int recorded_check(struct store_pg *s, struct error *e)
{
	PGresult *rows = NULL;
	int err = pg_query(s,
			   "SELECT r.id, r.owner_boot, r.owner_pid_namespace, r.owner_pid, r.owner_start,"
			   " l.until_ms IS NOT NULL AND l.until_ms > " PG_NOW " FROM bop_run r LEFT JOIN bop_lease l"
			   " ON l.owner_boot = r.owner_boot AND l.owner_pid_namespace = r.owner_pid_namespace AND l.owner_pid = r.owner_pid"
			   " AND l.owner_start = r.owner_start WHERE r.running", NULL, &rows, "making its tables", e);

	for (int i = 0; !err && i < PQntuples(rows); i++) {
		struct store_owner owner = { .pid_namespace = pg_get_number(rows, i, 2), .pid = (int32_t)pg_get_number(rows, i, 3),
					     .start = pg_get_number(rows, i, 4),
					     .lease = pg_get_bool(rows, i, 5) ? STORE_LEASE_HELD : STORE_LEASE_OVER };

		snprintf(owner.boot_id, sizeof(owner.boot_id), "%s", pg_get_text(rows, i, 1));
		err = store_format_busy(s->name, pg_get_number(rows, i, 0), &owner, e);
	}
	PQclear(rows);
	return err;
}

static int make(struct store_pg *s, void *arg, struct error *e)
{
	struct pg_params params = { 0 };
	uint64_t format;
	int err;

	err = pg_query(s, "SET LOCAL statement_timeout = 0", NULL, NULL, "making its tables", e);
	if (!err)
		err = format_read(s, true, &format, e); /* who comes second waits here, and finds it done */
	if (!err && format && format < FORMAT)
		err = recorded_check(s, e);
	if (err < 0 || format == FORMAT)
		return err;
	for (uint64_t at = format; at < FORMAT && !err; at++)
		err = step(s, steps[at], e);
	pg_number(&params, FORMAT);
	if (!err)
		return pg_query(s, "UPDATE bop_store SET format = $1", &params, NULL, "making its tables", e);
	if (s->failure == PG_FINAL && (err == -EEXIST || is_race(e)))
		s->failure = PG_AGAIN;
	return err;
}

int pg_tables_make(struct store_pg *s, struct error *e)
{
	int err;

	s->patient = true;
	err = pg_transaction(s, make, NULL, "making its tables", e);
	s->patient = false;
	return err;
}
