/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Sketches of classes in an SQLite store, and what shares a key with one. See store.h for the contracts. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/store_sqlite.h"
#include "graph/sketch.h"

static int key_put(struct store_sqlite *s, uint64_t key, uint64_t class, struct error *e)
{
	sqlite3_stmt *st = NULL;
	int err = sqlite_prepare(s, "INSERT OR IGNORE INTO sketch_key VALUES (?, ?)", &st, "ending a run", e);

	if (err < 0)
		return err;
	sqlite3_bind_int64(st, 1, (int64_t)key); /* also UINT64_MAX is a key */
	sqlite_bind_number(st, 2, class);
	return sqlite_finish(s, st, "ending a run", e);
}

int sqlite_sketch_put(struct store_sqlite *s, uint64_t class, const char *experiment, const struct sketch *sketch, struct error *e)
{
	uint8_t bytes[SKETCH_BYTES];
	sqlite3_stmt *st = NULL;
	int err;

	sketch_pack(sketch, bytes);
	err = sqlite_prepare(s, "INSERT INTO sketch VALUES (?, ?)", &st, "ending a run", e);
	if (err < 0)
		return err;
	sqlite_bind_number(st, 1, class);
	sqlite3_bind_blob(st, 2, bytes, sizeof(bytes), SQLITE_STATIC);
	err = sqlite_finish(s, st, "ending a run", e);
	for (size_t i = 0; i < SKETCH_KEYS && !err; i++)
		err = key_put(s, sketch->keys[i], class, e);
	return err ? err : key_put(s, store_experiment_key(experiment), class, e);
}

/* The keys are of no use without it, so they go, too; those that another version of this program made stay, and lead nowhere. */
int sqlite_sketch_remove(struct store_sqlite *s, uint64_t class, struct error *e)
{
	static const char remove[] = "DELETE FROM sketch_key WHERE key = ?1 AND class = ?2";
	struct store_class *row = NULL;
	struct sketch sketch;
	sqlite3_stmt *st = NULL;
	int err = sqlite_prepare(s, "DELETE FROM sketch WHERE class = ? RETURNING bytes", &st, "removing a run", e), rc;
	bool found;

	if (err < 0)
		return err;
	sqlite_bind_number(st, 1, class);
	rc = sqlite3_step(st);
	found = rc == SQLITE_ROW && !sketch_unpack(sqlite3_column_blob(st, 0), (size_t)sqlite3_column_bytes(st, 0), &sketch);
	if (rc == SQLITE_ROW)
		rc = sqlite3_step(st);
	err = rc == SQLITE_DONE ? 0 : sqlite_fail(s, rc, "removing a run", e);
	sqlite3_finalize(st);
	if (err < 0 || !found)
		return err;
	err = sqlite_class_get(&s->store, class, &row, e);
	if (err < 0)
		return err;
	sketch_keys(&sketch, row->experiment);
	err = sqlite_change(s, remove, store_experiment_key(row->experiment), class, "removing a run", e);
	store_class_free(row);
	for (size_t i = 0; i < SKETCH_KEYS && !err; i++)
		err = sqlite_change(s, remove, sketch.keys[i], class, "removing a run", e);
	return err;
}

/* ?1: below, ?2: of each key so many, ?3 and so on: the keys. Caller frees; NULL: no memory. */
static char *near_sql(size_t n)
{
	char *sql = NULL;
	size_t size;
	FILE *out = open_memstream(&sql, &size);

	if (!out)
		return NULL;
	fputs("SELECT near.class, bytes FROM (", out);
	for (size_t i = 0; i < n; i++)
		fprintf(out,
			"%sSELECT * FROM (SELECT class FROM sketch_key WHERE key = ?%zu AND class < ?1"
			" ORDER BY class DESC LIMIT ?2)",
			i ? " UNION " : "", i + 3);
	fputs(") AS near JOIN sketch ON sketch.class = near.class ORDER BY near.class", out);
	if (fclose(out)) {
		free(sql);
		return NULL;
	}
	return sql;
}

int sqlite_class_near(struct store *store, const struct store_near *near, store_on_candidate *on_candidate, void *arg,
		      struct error *e)
{
	struct store_sqlite *s = sqlite_of(store);
	char *sql = near_sql(near->n);
	struct sketch sketch;
	sqlite3_stmt *st = NULL;
	int rc, result;

	if (!sql)
		return error_set(e, -ENOMEM, "out of memory");
	result = sqlite_prepare(s, sql, &st, "reading", e);
	free(sql);
	if (result < 0)
		return result;
	sqlite_bind_number(st, 1, near->below ? near->below : INT64_MAX);
	sqlite_bind_number(st, 2, near->of_key);
	for (size_t i = 0; i < near->n; i++)
		sqlite3_bind_int64(st, (int)i + 3, (int64_t)near->keys[i]);
	while (!result && (rc = sqlite3_step(st)) != SQLITE_DONE) {
		if (rc != SQLITE_ROW) {
			result = sqlite_fail(s, rc, "reading", e);
			break;
		}
		sketch = (struct sketch){ .keys = { 0 } };
		if (!sketch_unpack(sqlite3_column_blob(st, 1), (size_t)sqlite3_column_bytes(st, 1), &sketch))
			result = on_candidate((uint64_t)sqlite3_column_int64(st, 0), &sketch, arg, e);
	}
	sqlite3_finalize(st);
	return result;
}
