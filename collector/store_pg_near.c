/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Sketches of classes in a PostgreSQL store, and what shares a key with one. See store.h for the contracts. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/store_pg.h"
#include "graph/sketch.h"

enum { KEYS = SKETCH_KEYS + 1 /* of a class: its sketch's, and that of its experiment */ };

/* $from, $from + 1, ... as a list, each between the two words. */
static void places(char *buf, size_t size, size_t from, size_t n, const char *before, const char *behind)
{
	size_t used = 0;

	*buf = '\0';
	for (size_t i = 0; i < n && used < size; i++)
		used += (size_t)snprintf(buf + used, size - used, "%s%s$%zu%s", i ? "," : "", before, from + i, behind);
}

static void key(struct pg_params *params, uint64_t value)
{
	pg_number(params, value);
	params->values[params->n - 1] = (const char *)params->room[params->n - 1]; /* UINT64_MAX is a key, too, and not NULL */
}

int pg_sketch_put(struct store_pg *s, uint64_t class, const char *experiment, const struct sketch *sketch, struct error *e)
{
	static const struct pg_sql put = { "INSERT INTO bop_sketch (class, bytes) VALUES ($1, $2)", PG_UNPREPARED };
	char list[KEYS * 16], text[sizeof(list) + 100];
	const struct pg_sql keys = { text, PG_UNPREPARED };
	struct pg_params params = { 0 };
	uint8_t bytes[SKETCH_BYTES];
	int err;

	_Static_assert(KEYS + 1 <= PG_PARAMS_MAX, "keys are values of one statement");
	sketch_pack(sketch, bytes);
	pg_number(&params, class);
	pg_bytes(&params, bytes, sizeof(bytes));
	err = pg_put(s, &put, &params, e);
	places(list, sizeof(list), 2, KEYS, "(", ",$1)");
	snprintf(text, sizeof(text), "INSERT INTO bop_sketch_key (key, class) VALUES %s ON CONFLICT DO NOTHING", list);
	params = (struct pg_params){ 0 };
	pg_number(&params, class);
	for (size_t i = 0; i < SKETCH_KEYS; i++)
		key(&params, sketch->keys[i]);
	key(&params, store_experiment_key(experiment));
	return err ? err : pg_put(s, &keys, &params, e);
}

/* The keys are of no use without it, so they go, too; those that another version of this program made stay, and lead nowhere. */
int pg_sketch_remove(struct store_pg *s, uint64_t class, struct error *e)
{
	struct pg_params params = { 0 };
	PGresult *result = NULL;
	struct sketch sketch;
	const void *bytes;
	size_t size;
	int err;

	pg_number(&params, class);
	err = pg_query(s, "SELECT k.bytes, c.experiment FROM bop_sketch k JOIN bop_class c ON c.id = k.class WHERE k.class = $1", &params, &result,
		       "removing a run", e);
	bytes = !err && PQntuples(result) ? pg_get_bytes(result, 0, 0, &size) : NULL;
	if (bytes && !sketch_unpack(bytes, size, &sketch)) {
		sketch_keys(&sketch, pg_get_text(result, 0, 1));
		for (size_t i = 0; i < KEYS && !err; i++) {
			static const struct pg_sql sql = { "DELETE FROM bop_sketch_key WHERE key = $1 AND class = $2", PG_UNPREPARED };

			params = (struct pg_params){ 0 };
			key(&params, i < SKETCH_KEYS ? sketch.keys[i] : store_experiment_key(pg_get_text(result, 0, 1)));
			pg_number(&params, class);
			err = pg_put(s, &sql, &params, e);
		}
	}
	PQclear(result);
	return err ? err : pg_put_numbers(s, "DELETE FROM bop_sketch WHERE class = $1", class, 0, e);
}

struct search {
	const struct store_near *near;
	PGresult *result;
};

/* $1: below, $2: of each key so many, $3 and so on: the keys. */
#define OF_ONE_KEY "%s(SELECT class FROM bop_sketch_key WHERE key = $%zu AND class < $1 ORDER BY class DESC LIMIT $2)"

static void near_sql(char *buf, size_t size, size_t n)
{
	size_t used = (size_t)snprintf(buf, size, "SELECT k.class, b.bytes FROM (");

	for (size_t i = 0; i < n && used < size; i++)
		used += (size_t)snprintf(buf + used, size - used, OF_ONE_KEY, i ? " UNION " : "", i + 3);
	if (used < size)
		snprintf(buf + used, size - used, ") AS k JOIN bop_sketch b ON b.class = k.class ORDER BY k.class");
}

static int candidates_read(struct store_pg *s, void *arg, struct error *e)
{
	char text[SKETCH_KEYS * (sizeof(OF_ONE_KEY) + 10) + 200];
	struct search *search = arg;
	const struct store_near *near = search->near;
	struct pg_sql sql = { text, near->n == SKETCH_KEYS_STEP ? PG_CLASS_NEAR : PG_UNPREPARED };
	struct pg_params params = { 0 };
	int err;

	near_sql(text, sizeof(text), near->n);
	pg_number(&params, near->below ? near->below : INT64_MAX);
	pg_number(&params, near->of_key);
	for (size_t i = 0; i < near->n; i++)
		key(&params, near->keys[i]);
	err = pg_want(s, &sql, &params, e);
	return err ? err : pg_collect(s, &search->result, 1, "reading", e);
}

int pg_class_near(struct store *store, const struct store_near *near, store_on_candidate *on_candidate, void *arg, struct error *e)
{
	struct search search = { .near = near };
	struct sketch sketch;
	const void *bytes;
	size_t size;
	int err, rows;

	_Static_assert(SKETCH_KEYS + 2 <= PG_PARAMS_MAX, "keys are values of one statement");
	if (near->n > SKETCH_KEYS)
		return error_set(e, -E2BIG, "a run has at most %d keys", SKETCH_KEYS);
	err = pg_read(pg_of(store), candidates_read, &search, e);
	rows = err ? 0 : PQntuples(search.result);
	for (int i = 0; i < rows && !err; i++) {
		bytes = pg_get_bytes(search.result, i, 1, &size);
		sketch = (struct sketch){ .keys = { 0 } };
		if (!sketch_unpack(bytes, size, &sketch))
			err = on_candidate(pg_get_number(search.result, i, 0), &sketch, arg, e);
	}
	PQclear(search.result);
	return err;
}
