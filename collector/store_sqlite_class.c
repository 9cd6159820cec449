/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Classes of an SQLite store: which one a run is of, whose events are kept, and how classes are found again. See store.h for the
 * contracts. SQLite lets one writer in at a time, so within a transaction nobody else makes a class.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "collector/store_class.h"
#include "collector/store_sqlite.h"

enum { PRINT_SIZE = 16 };

#define CLASS_COLUMNS                                                                                    \
	"class.id, experiment, plan, lines, dry_run, approximate, first_run, kept_run, exact, symmetric," \
	" folded, folded_symmetric, shape, shape_symmetric"

/* As print_text() writes them, in bytes. */
static void number_pack(uint64_t number, unsigned char *to)
{
	for (int i = 0; i < 8; i++)
		to[i] = (unsigned char)(number >> (56 - 8 * i));
}

static uint64_t number_unpack(const unsigned char *from)
{
	uint64_t number = 0;

	for (int i = 0; i < 8; i++)
		number = number << 8 | from[i];
	return number;
}

static void bind_print(sqlite3_stmt *st, int at, const struct print *print)
{
	unsigned char bytes[PRINT_SIZE];

	number_pack(print->high, bytes);
	number_pack(print->low, bytes + 8);
	sqlite3_bind_blob(st, at, bytes, sizeof(bytes), SQLITE_TRANSIENT);
}

/* Everything borrowed from the row. */
static void class_from_row(sqlite3_stmt *st, struct store_class *class)
{
	unsigned approximate = (unsigned)sqlite3_column_int(st, 5);
	const unsigned char *bytes;

	*class = (struct store_class){
		.id = (uint64_t)sqlite3_column_int64(st, 0),
		.experiment = (char *)sqlite3_column_text(st, 1),
		.plan = (char *)sqlite3_column_text(st, 3),
		.dry_run = sqlite3_column_int(st, 4),
		.first_run = (uint64_t)sqlite3_column_int64(st, 6),
		.kept_run = (uint64_t)sqlite3_column_int64(st, 7),
	};
	if (sqlite3_column_bytes(st, 2) == STORE_PLAN_KEY_SIZE)
		memcpy(class->plan_key, sqlite3_column_blob(st, 2), STORE_PLAN_KEY_SIZE);
	for (enum print_level level = 0; level < PRINT_LEVEL_COUNT; level++)
		for (enum store_view view = 0; view < STORE_VIEW_COUNT; view++) {
			int at = 8 + 2 * (int)level + (int)view;

			bytes = sqlite3_column_bytes(st, at) == PRINT_SIZE ? sqlite3_column_blob(st, at) : NULL;
			if (bytes)
				class->prints[view][level] = (struct print){ number_unpack(bytes), number_unpack(bytes + 8),
									     approximate & store_approximate_bit(view, level) };
		}
}

/* The one row that a statement gives, if there is one: 1, 0, or an error. Frees the statement. */
static int class_read(struct store_sqlite *s, sqlite3_stmt *st, struct store_class **ret_class, struct error *e)
{
	struct store_class class;
	int rc = sqlite3_step(st), err = 0;

	if (rc == SQLITE_ROW) {
		class_from_row(st, &class);
		*ret_class = store_class_copy(&class);
		err = *ret_class ? 1 : error_set(e, -ENOMEM, "out of memory");
	} else if (rc != SQLITE_DONE) {
		err = sqlite_fail(s, rc, "reading", e);
	}
	sqlite3_finalize(st);
	return err;
}

int sqlite_class_find(struct store *store, const char *experiment, const unsigned char *plan_key,
		      const struct print prints[STORE_VIEW_COUNT][PRINT_LEVEL_COUNT], struct store_class **ret_class,
		      struct error *e)
{
	struct store_sqlite *s = sqlite_of(store);
	sqlite3_stmt *st = NULL;
	int err;

	err = sqlite_prepare(s,
			     "SELECT " CLASS_COLUMNS " FROM class WHERE experiment = ? AND plan = ? AND exact = ?"
			     " AND symmetric = ? AND (approximate & 3) = ?",
			     &st, "reading", e);
	if (err < 0)
		return err;
	sqlite_bind_text(st, 1, experiment);
	sqlite3_bind_blob(st, 2, plan_key, STORE_PLAN_KEY_SIZE, SQLITE_STATIC);
	bind_print(st, 3, &prints[STORE_OWN][PRINT_LEVEL_EXACT]);
	bind_print(st, 4, &prints[STORE_SYMMETRIC][PRINT_LEVEL_EXACT]);
	sqlite3_bind_int(st, 5, (int)(store_approximate(prints) & STORE_APPROXIMATE_EXACT));
	return class_read(s, st, ret_class, e);
}

int sqlite_class_get(struct store *store, uint64_t id, struct store_class **ret_class, struct error *e)
{
	struct store_sqlite *s = sqlite_of(store);
	sqlite3_stmt *st = NULL;
	int err = sqlite_prepare(s, "SELECT " CLASS_COLUMNS " FROM class WHERE id = ?", &st, "reading", e);

	if (err < 0)
		return err;
	sqlite_bind_number(st, 1, id);
	err = class_read(s, st, ret_class, e);
	if (!err)
		err = error_set(e, -ENOENT, "store %s: there is no class %llu (any more)", s->path, (unsigned long long)id);
	return err < 0 ? err : 0;
}

static int class_add(struct store_sqlite *s, const struct store_class *class, uint64_t run, uint64_t *ret_id, struct error *e)
{
	sqlite3_stmt *st = NULL;
	int err, at = 0;

	err = sqlite_prepare(s,
			     "INSERT INTO class (experiment, plan, lines, dry_run, approximate, first_run, kept_run, exact, symmetric,"
			     " folded, folded_symmetric, shape, shape_symmetric) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)",
			     &st, "ending a run", e);
	if (err < 0)
		return err;
	sqlite_bind_text(st, ++at, class->experiment);
	sqlite3_bind_blob(st, ++at, class->plan_key, STORE_PLAN_KEY_SIZE, SQLITE_STATIC);
	sqlite_bind_text(st, ++at, class->plan);
	sqlite3_bind_int(st, ++at, class->dry_run);
	sqlite3_bind_int(st, ++at, (int)store_approximate(class->prints));
	sqlite_bind_number(st, ++at, run);
	sqlite_bind_number(st, ++at, run);
	for (enum print_level level = 0; level < PRINT_LEVEL_COUNT; level++)
		for (enum store_view view = 0; view < STORE_VIEW_COUNT; view++)
			bind_print(st, ++at, &class->prints[view][level]);
	err = sqlite_finish(s, st, "ending a run", e);
	*ret_id = (uint64_t)sqlite3_last_insert_rowid(s->db);
	return err;
}

/* Of a class, with the outcome, whose events are here: the lowest number; 0: none. */
static int whole_find(struct store_sqlite *s, uint64_t class, enum outcome outcome, uint64_t *ret_run, struct error *e)
{
	sqlite3_stmt *st = NULL;
	int err, rc;

	err = sqlite_prepare(s, "SELECT id FROM run WHERE class = ? AND outcome = ? AND kept IS NULL ORDER BY id LIMIT 1", &st,
			     "ending a run", e);
	if (err < 0)
		return err;
	sqlite_bind_number(st, 1, class);
	sqlite_bind_text(st, 2, outcome_name(outcome));
	rc = sqlite3_step(st);
	*ret_run = rc == SQLITE_ROW ? (uint64_t)sqlite3_column_int64(st, 0) : 0;
	if (rc != SQLITE_ROW && rc != SQLITE_DONE)
		err = sqlite_fail(s, rc, "ending a run", e);
	sqlite3_finalize(st);
	return err;
}

static int unclassed_put(struct store_sqlite *s, const struct store_run *run, struct error *e)
{
	sqlite3_stmt *st = NULL;
	int err;

	if (!run->unclassed)
		return 0;
	err = sqlite_prepare(s, "UPDATE run SET unclassed = ?2 WHERE id = ?1", &st, "ending a run", e);
	if (err < 0)
		return err;
	sqlite_bind_number(st, 1, run->id);
	sqlite_bind_text(st, 2, run->unclassed);
	return sqlite_finish(s, st, "ending a run", e);
}

/* Its class; a new one if nobody did that before. */
static int class_of_run(struct store_sqlite *s, const struct store_run *run, const struct store_class *class,
			const struct store_seal *how, uint64_t *ret_id, bool *ret_new, struct error *e)
{
	struct store_class *known = NULL;
	int err = sqlite_class_find(&s->store, class->experiment, class->plan_key, class->prints, &known, e);

	*ret_new = !err;
	*ret_id = known ? known->id : 0;
	store_class_free(known);
	if (err)
		return err < 0 ? err : 0;
	err = class_add(s, class, run->id, ret_id, e);
	if (!err && how->sketch)
		err = sqlite_sketch_put(s, *ret_id, class->experiment, how->sketch, e);
	return err;
}

/* A run of it more. Runs are not always sealed in the order of their numbers. */
static int class_join(struct store_sqlite *s, uint64_t class, uint64_t run, bool whole, struct error *e)
{
	int err = sqlite_change(s, "UPDATE class SET first_run = ?2 WHERE id = ?1 AND first_run > ?2", class, run, "ending a run", e);

	if (err < 0 || !whole)
		return err;
	return sqlite_change(s, "UPDATE class SET kept_run = ?2 WHERE id = ?1 AND (kept_run = 0 OR kept_run > ?2)", class, run,
			     "ending a run", e);
}

int sqlite_class_settle(struct store_sqlite *s, struct store_run *run, const struct store_class *class,
			const struct store_seal *how, bool may_drop, struct error *e)
{
	bool new_class = false, whole = !may_drop || how->keep_all;
	uint64_t id = 0, kept = 0;
	int err;

	if (!class) {
		err = unclassed_put(s, run, e);
		goto out;
	}
	err = class_of_run(s, run, class, how, &id, &new_class, e);
	if (!err && !new_class && !whole && !class->prints[STORE_OWN][PRINT_LEVEL_EXACT].approximate)
		err = whole_find(s, id, run->outcome, &kept, e);
	if (!err)
		err = sqlite_change(s, "UPDATE run SET class = ?2 WHERE id = ?1", run->id, id, "ending a run", e);
	if (!err && kept)
		err = sqlite_change(s, "UPDATE run SET kept = ?2 WHERE id = ?1", run->id, kept, "ending a run", e);
	if (!err && kept)
		err = sqlite_change(s, "DELETE FROM batch WHERE run = ?1", run->id, 0, "ending a run", e);
	if (!err && !new_class)
		err = class_join(s, id, run->id, !kept, e);
out:
	if (err < 0)
		return err;
	run->class_id = id;
	run->new_class = new_class;
	run->kept = kept ? kept : run->id;
	return 0;
}

int sqlite_run_class(struct store *store, struct store_run *run, const struct store_class *class, const struct store_seal *how,
		     struct error *e)
{
	struct store_sqlite *s = sqlite_of(store);
	struct store_run *row = NULL;
	bool inner;
	int err;

	err = sqlite_enter(s, &inner, e);
	if (err < 0)
		return err;
	err = sqlite_run_get(store, run->id, &row, e);
	if (!err && row->running)
		err = error_set(e, -ESTALE, "store %s: run %llu still goes on", s->path, (unsigned long long)run->id);
	if (!err && !row->class_id && !row->unclassed) {
		run->outcome = row->outcome;
		err = sqlite_class_settle(s, run, class, how, false, e);
		run->kept = row->kept;
		if (!err && !row->kept && run->class_id) /* it was counted as one with events */
			err = sqlite_class_review(s, run->class_id, e);
	} else if (!err) {
		run->class_id = row->class_id;
		run->kept = row->kept;
		run->new_class = row->new_class;
	}
	store_run_free(row);
	return sqlite_leave(s, inner, err, e);
}

int sqlite_class_review(struct store_sqlite *s, uint64_t class, struct error *e)
{
	uint64_t first, kept = 0, run;
	int err = sqlite_number(s, "SELECT id FROM run WHERE class = ?1 ORDER BY id LIMIT 1", class, 0, &first, e);

	if (!err && !first) {
		err = sqlite_sketch_remove(s, class, e);
		return err ? err : sqlite_change(s, "DELETE FROM class WHERE id = ?1", class, 0, "removing a run", e);
	}
	for (enum outcome outcome = 0; outcome < OUTCOME_COUNT && !err; outcome++) {
		err = outcome_name(outcome) ? whole_find(s, class, outcome, &run, e) : 0;
		if (!err && outcome_name(outcome) && run && (!kept || run < kept))
			kept = run;
	}
	if (!err)
		err = sqlite_change(s, "UPDATE class SET first_run = ?2 WHERE id = ?1", class, first, "removing a run", e);
	if (!err)
		err = sqlite_change(s, "UPDATE class SET kept_run = ?2 WHERE id = ?1", class, kept, "removing a run", e);
	return err;
}

int sqlite_each_class(struct store *store, const char *experiment, store_on_class *on_class, void *arg, struct error *e)
{
	struct store_sqlite *s = sqlite_of(store);
	struct store_class class;
	sqlite3_stmt *st = NULL;
	int rc, result = sqlite_prepare(s,
					experiment ? "SELECT " CLASS_COLUMNS " FROM class WHERE experiment = ? ORDER BY id" :
						     "SELECT " CLASS_COLUMNS " FROM class ORDER BY id",
					&st, "reading", e);

	if (result < 0)
		return result;
	if (experiment)
		sqlite_bind_text(st, 1, experiment);
	while (!result && (rc = sqlite3_step(st)) != SQLITE_DONE) {
		if (rc != SQLITE_ROW) {
			result = sqlite_fail(s, rc, "reading", e);
			break;
		}
		class_from_row(st, &class);
		result = on_class(&class, arg, e);
	}
	sqlite3_finalize(st);
	return result;
}
