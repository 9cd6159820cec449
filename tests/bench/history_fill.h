/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Puts made-up classes into a fresh store, in bulk: sorted inserts into an SQLite file, COPY into a PostgreSQL database. Knows their
 * tables (docs/store.md). Ends the program when it fails. Included by one file of a program.
 */
#ifndef TESTS_BENCH_HISTORY_FILL_H
#define TESTS_BENCH_HISTORY_FILL_H

#include <endian.h>
#include <libpq-fe.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/store.h"
#include "graph/sketch.h"

#define MADE_EXPERIMENT "bench"
#define MADE_FAMILIES 5000

struct made_class {
	struct print prints[STORE_VIEW_COUNT][PRINT_LEVEL_COUNT];
	struct sketch sketch;
};

static inline uint64_t made_random(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

static inline uint64_t made_family(uint64_t number)
{
	return made_random(&number) % MADE_FAMILIES;
}

/* From 0; the same each time. Between nothing and a quarter of the values of a family are its own. */
static inline void made_class(uint64_t number, struct made_class *ret)
{
	uint64_t family = made_family(number) << 32, own = ~number, share = made_random(&own) % 64, word = 0;

	for (int view = 0; view < STORE_VIEW_COUNT; view++)
		for (int level = 0; level < PRINT_LEVEL_COUNT; level++)
			ret->prints[view][level] = (struct print){ .high = made_random(&own), .low = made_random(&own) };
	for (int i = 0; i < SKETCH_VALUES; i++) {
		if (i % 8 == 0)
			word = made_random(&family);
		ret->sketch.values[i] = word >> (8 * (i % 8));
		if (made_random(&own) % 256 < share)
			ret->sketch.values[i] = made_random(&own);
	}
	family = made_family(number) << 32;
	for (int i = 0; i < SKETCH_KEYS_STEP; i++) {
		ret->sketch.whole[i] = (uint32_t)made_random(&family);
		if (made_random(&own) % 256 < share)
			ret->sketch.whole[i] = (uint32_t)made_random(&own);
	}
	sketch_keys(&ret->sketch, MADE_EXPERIMENT);
}

/* A row of the table of keys. */
struct made_key {
	int64_t key, class;
};

static int made_key_compare(const void *a, const void *b)
{
	const struct made_key *p = a, *q = b;

	if (p->key != q->key)
		return p->key < q->key ? -1 : 1;
	return p->class < q->class ? -1 : p->class > q->class;
}

enum { MADE_KEYS = SKETCH_KEYS + 1 /* of a class */ };

static inline struct made_key *made_keys(uint64_t n)
{
	struct made_key *keys = malloc(n * MADE_KEYS * sizeof(*keys));
	int64_t of_all = (int64_t)store_experiment_key(MADE_EXPERIMENT);
	struct made_class made;

	if (!keys)
		abort();
	for (uint64_t i = 0; i < n; i++) {
		made_class(i, &made);
		for (size_t k = 0; k < SKETCH_KEYS; k++)
			keys[i * MADE_KEYS + k] = (struct made_key){ (int64_t)made.sketch.keys[k], (int64_t)i + 1 };
		keys[i * MADE_KEYS + SKETCH_KEYS] = (struct made_key){ of_all, (int64_t)i + 1 };
	}
	qsort(keys, n * MADE_KEYS, sizeof(*keys), made_key_compare);
	return keys;
}

static inline void print_bytes(const struct print *print, unsigned char ret[16])
{
	uint64_t numbers[2] = { htobe64(print->high), htobe64(print->low) };

	memcpy(ret, numbers, sizeof(numbers));
}

static inline void lite_must(sqlite3 *db, int rc)
{
	if (rc == SQLITE_OK || rc == SQLITE_DONE)
		return;
	fprintf(stderr, "filling an SQLite store: %s\n", sqlite3_errmsg(db));
	exit(3);
}

static inline void lite_step(sqlite3 *db, sqlite3_stmt *st)
{
	lite_must(db, sqlite3_step(st));
	lite_must(db, sqlite3_reset(st));
}

static inline void lite_class(sqlite3 *db, sqlite3_stmt *st, uint64_t number, const struct made_class *made)
{
	static const unsigned char no_plan[STORE_PLAN_KEY_SIZE];
	unsigned char bytes[PRINT_LEVEL_COUNT * STORE_VIEW_COUNT][16];
	int at = 0;

	sqlite3_bind_int64(st, ++at, (int64_t)number + 1);
	sqlite3_bind_blob(st, ++at, no_plan, sizeof(no_plan), SQLITE_STATIC);
	for (int level = 0; level < PRINT_LEVEL_COUNT; level++)
		for (int view = 0; view < STORE_VIEW_COUNT; view++) {
			unsigned char *place = bytes[2 * level + view];

			print_bytes(&made->prints[view][level], place);
			sqlite3_bind_blob(st, ++at, place, 16, SQLITE_STATIC);
		}
	lite_step(db, st);
}

static inline void fill_sqlite(const char *path, uint64_t n)
{
	sqlite3_stmt *classes, *sketches, *pairs;
	struct made_key *keys = made_keys(n);
	uint8_t bytes[SKETCH_BYTES];
	struct made_class made;
	sqlite3 *db;

	if (sqlite3_open(path, &db) != SQLITE_OK)
		exit(3);
	lite_must(db, sqlite3_exec(db, "PRAGMA synchronous=OFF; PRAGMA cache_size=-1000000; BEGIN", NULL, NULL, NULL));
	lite_must(db, sqlite3_prepare_v2(db,
					 "INSERT INTO class (id, experiment, plan, exact, symmetric, folded, folded_symmetric, shape,"
					 " shape_symmetric, approximate, dry_run, first_run, kept_run)"
					 " VALUES (?1,'" MADE_EXPERIMENT "',?2,?3,?4,?5,?6,?7,?8,0,0,?1,?1)", -1, &classes, NULL));
	lite_must(db, sqlite3_prepare_v2(db, "INSERT INTO sketch VALUES (?,?)", -1, &sketches, NULL));
	lite_must(db, sqlite3_prepare_v2(db, "INSERT OR IGNORE INTO sketch_key VALUES (?,?)", -1, &pairs, NULL));
	for (uint64_t i = 0; i < n; i++) {
		made_class(i, &made);
		lite_class(db, classes, i, &made);
		sqlite3_bind_int64(sketches, 1, (int64_t)i + 1);
		sketch_pack(&made.sketch, bytes);
		sqlite3_bind_blob(sketches, 2, bytes, SKETCH_BYTES, SQLITE_STATIC);
		lite_step(db, sketches);
	}
	for (uint64_t i = 0; i < n * MADE_KEYS; i++) {
		sqlite3_bind_int64(pairs, 1, keys[i].key);
		sqlite3_bind_int64(pairs, 2, keys[i].class);
		lite_step(db, pairs);
	}
	sqlite3_finalize(classes);
	sqlite3_finalize(sketches);
	sqlite3_finalize(pairs);
	lite_must(db, sqlite3_exec(db, "COMMIT; PRAGMA wal_checkpoint(TRUNCATE)", NULL, NULL, NULL));
	sqlite3_close(db);
	free(keys);
}

/* Rows of COPY ... (FORMAT binary), in a buffer that is sent when it is full. */
struct copy {
	PGconn *conn;
	char bytes[1 << 16];
	int n;
};

static inline void pg_exec(PGconn *conn, const char *sql, ExecStatusType status)
{
	PGresult *result = PQexec(conn, sql);

	if (PQresultStatus(result) != status) {
		fprintf(stderr, "filling a PostgreSQL store: %.60s: %s\n", sql, PQerrorMessage(conn));
		exit(3);
	}
	PQclear(result);
}

static inline void copy_flush(struct copy *copy)
{
	if (PQputCopyData(copy->conn, copy->bytes, copy->n) != 1)
		exit(3);
	copy->n = 0;
}

static inline void copy_put(struct copy *copy, const void *bytes, size_t size)
{
	if (copy->n + size > sizeof(copy->bytes))
		copy_flush(copy);
	memcpy(copy->bytes + copy->n, bytes, size);
	copy->n += (int)size;
}

static inline void copy_row(struct copy *copy, uint16_t columns)
{
	uint16_t number = htobe16(columns);

	copy_put(copy, &number, sizeof(number));
}

static inline void copy_value(struct copy *copy, const void *bytes, size_t size)
{
	uint32_t number = htobe32((uint32_t)size);

	copy_put(copy, &number, sizeof(number));
	copy_put(copy, bytes, size);
}

static inline void copy_number(struct copy *copy, uint64_t value)
{
	uint64_t number = htobe64(value);

	copy_value(copy, &number, sizeof(number));
}

static inline void copy_begin(struct copy *copy, PGconn *conn, const char *sql)
{
	static const char head[19] = "PGCOPY\n\377\r\n";

	copy->conn = conn;
	copy->n = 0;
	pg_exec(conn, sql, PGRES_COPY_IN);
	copy_put(copy, head, sizeof(head));
}

static inline void copy_end(struct copy *copy)
{
	PGresult *result;

	copy_row(copy, UINT16_MAX);
	copy_flush(copy);
	if (PQputCopyEnd(copy->conn, NULL) != 1)
		exit(3);
	result = PQgetResult(copy->conn);
	if (PQresultStatus(result) != PGRES_COMMAND_OK) {
		fprintf(stderr, "filling a PostgreSQL store: %s\n", PQerrorMessage(copy->conn));
		exit(3);
	}
	while (result) {
		PQclear(result);
		result = PQgetResult(copy->conn);
	}
}

static inline void copy_class(struct copy *copy, uint64_t number, const struct made_class *made)
{
	static const unsigned char no_plan[STORE_PLAN_KEY_SIZE], no = 0;
	unsigned char bytes[16];

	copy_row(copy, 14);
	copy_number(copy, number + 1);
	copy_value(copy, MADE_EXPERIMENT, strlen(MADE_EXPERIMENT));
	copy_value(copy, no_plan, sizeof(no_plan));
	for (int level = 0; level < PRINT_LEVEL_COUNT; level++)
		for (int view = 0; view < STORE_VIEW_COUNT; view++) {
			print_bytes(&made->prints[view][level], bytes);
			copy_value(copy, bytes, sizeof(bytes));
		}
	copy_number(copy, 0);
	copy_number(copy, 0);
	copy_value(copy, &no, sizeof(no));
	copy_number(copy, number + 1);
	copy_number(copy, number + 1);
}

static inline void fill_pg(const char *url, uint64_t n)
{
	PGconn *conn = PQconnectdb(url);
	struct made_key *keys = made_keys(n);
	uint8_t bytes[SKETCH_BYTES];
	struct made_class made;
	struct copy copy;
	char sql[128];

	pg_exec(conn, "ALTER TABLE bop_sketch_key DROP CONSTRAINT bop_sketch_key_pkey", PGRES_COMMAND_OK);
	copy_begin(&copy, conn, "COPY bop_class (id, experiment, plan, exact, symmetric_exact, folded, symmetric_folded, shape,"
				" symmetric_shape, inexact, approximate, dry_run, first_run, kept_run) FROM STDIN (FORMAT binary)");
	for (uint64_t i = 0; i < n; i++) {
		made_class(i, &made);
		copy_class(&copy, i, &made);
	}
	copy_end(&copy);
	copy_begin(&copy, conn, "COPY bop_sketch (class, bytes) FROM STDIN (FORMAT binary)");
	for (uint64_t i = 0; i < n; i++) {
		made_class(i, &made);
		copy_row(&copy, 2);
		copy_number(&copy, i + 1);
		sketch_pack(&made.sketch, bytes);
		copy_value(&copy, bytes, SKETCH_BYTES);
	}
	copy_end(&copy);
	copy_begin(&copy, conn, "COPY bop_sketch_key (key, class) FROM STDIN (FORMAT binary)");
	for (uint64_t i = 0; i < n * MADE_KEYS; i++) {
		copy_row(&copy, 2);
		copy_number(&copy, (uint64_t)keys[i].key);
		copy_number(&copy, (uint64_t)keys[i].class);
	}
	copy_end(&copy);
	pg_exec(conn, "SET maintenance_work_mem = '512MB'", PGRES_COMMAND_OK);
	pg_exec(conn, "ALTER TABLE bop_sketch_key ADD PRIMARY KEY (key, class)", PGRES_COMMAND_OK);
	snprintf(sql, sizeof(sql), "SELECT setval('bop_class_id', %llu)", (unsigned long long)n);
	pg_exec(conn, sql, PGRES_TUPLES_OK);
	pg_exec(conn, "VACUUM ANALYZE", PGRES_COMMAND_OK);
	pg_exec(conn, "CHECKPOINT", PGRES_COMMAND_OK);
	PQfinish(conn);
	free(keys);
}

static inline void history_fill(const char *url, uint64_t n)
{
	if (strstr(url, "://"))
		fill_pg(url, n);
	else
		fill_sqlite(url, n);
}

#endif
