/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A store as bop wrote it in format 1, made by SQL alone, with runs that were really recorded. */
#ifndef TESTS_UNIT_STORE_FORMAT1_H
#define TESTS_UNIT_STORE_FORMAT1_H

#include <sqlite3.h>

#include "collector/outcome.h"
#include "proto/wire.h"
#include "tests/unit/random_run.h"
#include "tests/unit/store_place.h"

static const char format1_schema[] =
	"PRAGMA auto_vacuum=INCREMENTAL; PRAGMA journal_mode=WAL; BEGIN;"
	"PRAGMA application_id=1651470419; PRAGMA user_version=1;"
	"CREATE TABLE run ("
	" id INTEGER PRIMARY KEY AUTOINCREMENT,"
	" experiment TEXT NOT NULL, path TEXT NOT NULL, text TEXT NOT NULL, version TEXT NOT NULL,"
	" started_ns INTEGER NOT NULL, started_monotonic_ns INTEGER NOT NULL,"
	" owner_boot TEXT NOT NULL, owner_pid_namespace INTEGER NOT NULL, owner_pid INTEGER NOT NULL,"
	" owner_start INTEGER NOT NULL,"
	" running INTEGER NOT NULL DEFAULT 1, incomplete INTEGER NOT NULL DEFAULT 0,"
	" outcome TEXT, reason TEXT, warnings TEXT, duration_ns INTEGER,"
	" events INTEGER, messages INTEGER, lost INTEGER, holes INTEGER) STRICT;"
	"CREATE TABLE stream ("
	" run INTEGER NOT NULL, stream INTEGER NOT NULL, session BLOB NOT NULL,"
	" host TEXT NOT NULL, boot_id TEXT NOT NULL, kernel TEXT NOT NULL, backend TEXT NOT NULL,"
	" monotonic_ns INTEGER NOT NULL, realtime_ns INTEGER NOT NULL,"
	" PRIMARY KEY (run, stream)) STRICT, WITHOUT ROWID;"
	"CREATE TABLE batch ("
	" run INTEGER NOT NULL, stream INTEGER NOT NULL, number INTEGER NOT NULL, bytes BLOB NOT NULL,"
	" UNIQUE (run, stream, number)) STRICT;"
	"CREATE TABLE process ("
	" run INTEGER NOT NULL, place INTEGER NOT NULL, name TEXT NOT NULL, box TEXT NOT NULL,"
	" role INTEGER NOT NULL, command TEXT NOT NULL, started INTEGER NOT NULL, status INTEGER, output BLOB,"
	" PRIMARY KEY (run, place)) STRICT, WITHOUT ROWID;";

static const char format1_plan[] =
	"CREATE TABLE IF NOT EXISTS plan ("
	" run INTEGER PRIMARY KEY, seed INTEGER NOT NULL, dry_run INTEGER NOT NULL, racy INTEGER NOT NULL,"
	" lines TEXT NOT NULL) STRICT";

static inline void format1_run(sqlite3 *db, const char *sql)
{
	char *why = NULL;

	ck_assert_msg(sqlite3_exec(db, sql, NULL, NULL, &why) == SQLITE_OK, "%s: %s", sql, why);
}

/* To be closed with sqlite3_close(). Within a transaction: COMMIT it. */
static inline sqlite3 *format1_begin(const char *path)
{
	sqlite3 *db;

	ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
	format1_run(db, format1_schema);
	return db;
}

/* What one agent recorded, in a batch that is its last. NULL trace: no batch. */
static inline void format1_batch(sqlite3 *db, uint64_t run, const struct trace *trace, uint64_t lost)
{
	static uint32_t all[4096];
	struct wire_rows rows = { all, all, all, all, trace->n_boxes, trace->n_processes, trace->n_ends, trace->n_texts };
	struct wire_batch head = { .run = run, .number = 1, .emitted = trace->n_events, .lost = lost, .last = true };
	unsigned char *bytes;
	sqlite3_stmt *st;
	size_t size;

	for (uint32_t i = 0; i < 4096; i++)
		all[i] = i + 1;
	ck_assert_int_eq(wire_batch_encode(&head, trace, &rows, &bytes, &size), 0);
	ck_assert_int_eq(sqlite3_prepare_v2(db, "INSERT INTO batch VALUES (?, 1, 1, ?)", -1, &st, NULL), SQLITE_OK);
	sqlite3_bind_int64(st, 1, (sqlite3_int64)run);
	sqlite3_bind_blob(st, 2, bytes, (int)size, SQLITE_STATIC);
	ck_assert_int_eq(sqlite3_step(st), SQLITE_DONE);
	sqlite3_finalize(st);
	free(bytes);
}

/* An ended run of experiment x with two processes; text is what was in its file. */
static inline void format1_ended(sqlite3 *db, uint64_t run, const char *text, const char *outcome, const struct trace *trace,
				 uint64_t lost)
{
	char sql[4096];

	snprintf(sql, sizeof(sql),
		 "INSERT INTO run VALUES (%llu, 'x', '/x/y.yaml', '%s', '0.0.1', 1700000000000000000, 5, 'boot', 4026531836, 77, 99,"
		 " 0, 0, '%s', 'why', 'one' || char(10) || 'two', 42, 3, 2, %llu, 0);"
		 "INSERT INTO stream VALUES (%llu, 1, zeroblob(16), 'h', 'b', '6.1', 'tracepoint', 7, 8);"
		 "INSERT INTO process VALUES (%llu, 0, 'p1', 'b1', 1, 'server', 1, NULL, NULL),"
		 " (%llu, 1, 'check', 'b1', 3, 'check it', 1, 256, x'6100')",
		 (unsigned long long)run, text, outcome, (unsigned long long)lost, (unsigned long long)run, (unsigned long long)run,
		 (unsigned long long)run);
	format1_run(db, sql);
	if (trace)
		format1_batch(db, run, trace, lost);
}

#endif
