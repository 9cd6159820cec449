/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A fresh store for a test, and how it is filled and looked at, for the tests of the store's interface: they say nothing of a
 * database. Which one it is, is said here alone: an SQLite file, or, with BOP_TEST_POSTGRES, the folder with the socket of a server
 * (tests/net/postgres.py starts one), a new database there.
 */
#ifndef TESTS_UNIT_STORE_PLACE_H
#define TESTS_UNIT_STORE_PLACE_H

#include <check.h>
#include <errno.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "collector/store.h"
#include "lib/claim.h"
#include "tests/scratch.h"

static struct {
	char folder[64];
	char url[256];
	char database[64]; /* empty: a file */
} place;

/* What is asked of the server, as its owner. Returns the first value of the answer, NULL: there is none. */
static inline char *place_sql(const char *database, const char *sql)
{
	const char *keywords[] = { "host", "user", "dbname", NULL }, *values[] = { getenv("BOP_TEST_POSTGRES"), "bop", database, NULL };
	PGconn *conn = PQconnectdbParams(keywords, values, 0);
	PGresult *result = PQexec(conn, sql);
	char *value = NULL;

	ck_assert_msg(PQresultStatus(result) == PGRES_COMMAND_OK || PQresultStatus(result) == PGRES_TUPLES_OK, "%s: %s", sql,
		      PQerrorMessage(conn));
	if (PQntuples(result) && !PQgetisnull(result, 0, 0))
		value = strdup(PQgetvalue(result, 0, 0));
	PQclear(result);
	PQfinish(conn);
	return value;
}

/* A database that nothing is in. */
static inline void place_setup_database(void)
{
	static unsigned n;
	char sql[128];

	place.folder[0] = '\0';
	snprintf(place.database, sizeof(place.database), "t%d_%u", (int)getpid(), n++);
	snprintf(sql, sizeof(sql), "CREATE DATABASE %s", place.database);
	free(place_sql("postgres", sql));
	snprintf(place.url, sizeof(place.url), "postgresql://bop@/%s?host=%s", place.database, getenv("BOP_TEST_POSTGRES"));
}

/* An SQLite file that is not there yet. */
static inline void place_setup_file(void)
{
	scratch_name(place.folder, sizeof(place.folder), "test-bop-store-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(place.folder));
	snprintf(place.url, sizeof(place.url), "%s/runs.db", place.folder);
}

/* Of each test: what the suite is run on. */
static inline void place_setup(void)
{
	if (getenv("BOP_TEST_POSTGRES"))
		place_setup_database();
	else
		place_setup_file();
}

/* A database goes with its server. */
static inline void place_teardown(void)
{
	if (*place.folder)
		claim_remove_tree(place.folder);
}

static inline struct store *store_made(enum store_mode mode)
{
	struct store *store = NULL;
	struct error e = { "" };

	ck_assert_msg(store_open(place.url, mode, &store, &e) == 0, "%s", e.text);
	return store;
}

static inline uint64_t run_made(struct store *store, const char *experiment)
{
	struct store_run run = {
		.experiment = (char *)experiment,
		.path = "/x/y.yaml",
		.text = "experiment: y\n",
		.version = "1",
		.started_ns = 1700000000000000000,
		.started_monotonic_ns = 5,
	};
	struct error e = { "" };

	ck_assert_int_eq(store_owner_self(&run.owner, &e), 0);
	ck_assert_msg(store_run_create(store, &run, &e) == 0, "%s", e.text);
	ck_assert_uint_gt(run.id, 0);
	return run.id;
}

static inline void batch_put(struct store *store, uint64_t run, uint64_t number, const char *bytes)
{
	struct error e = { "" };

	ck_assert_msg(store_begin(store, &e) == 0, "%s", e.text);
	ck_assert_msg(store_batch_put(store, run, 1, number, bytes, strlen(bytes), &e) == 0, "%s", e.text);
	ck_assert_msg(store_commit(store, &e) == 0, "%s", e.text);
}

struct place_seen {
	char text[256];
};

static inline int place_on_batch(uint64_t stream, uint64_t number, const void *bytes, size_t size, void *arg, struct error *e)
{
	struct place_seen *seen = arg;
	size_t n = strlen(seen->text);

	snprintf(seen->text + n, sizeof(seen->text) - n, "%llu:%llu=%.*s ", (unsigned long long)stream,
		 (unsigned long long)number, (int)size, (const char *)bytes);
	return 0;
}

static inline const char *batches(struct store *store, uint64_t run)
{
	static struct place_seen seen;

	seen.text[0] = '\0';
	ck_assert_int_eq(store_each_batch(store, run, place_on_batch, &seen, NULL), 0);
	return seen.text;
}

static inline int count(const struct store_run *run, void *arg, struct error *e)
{
	++*(int *)arg;
	return 0;
}

/* For store_sweep(): goes on *arg times. */
static inline bool count_down(void *arg)
{
	int *left = arg;

	return (*left)-- > 0;
}

#endif
