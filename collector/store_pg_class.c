/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Classes of a PostgreSQL store: which one a run is of, and whose events are kept. See store.h for the contracts. Several
 * collectors do this at once: whoever finds a class keeps its row locked until he is done, so what is decided from its runs stays true; two
 * who make the same one meet at its unique key, and the second finds what the first made.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "collector/store_class.h"
#include "collector/store_pg.h"
#include "graph/sketch.h"

enum { TRIES = 100 };

#define DOING "ending a run"
#define CLASS_COLUMNS                                                                                                     \
	"id, experiment, plan, lines, dry_run, approximate, first_run, kept_run, exact, symmetric_exact, folded,"          \
	" symmetric_folded, shape, symmetric_shape"
enum { PRINTS_AT = 8, PAGE_CLASSES = 500 };

/* Everything borrowed from the result. */
static void class_from_row(const PGresult *result, int row, struct store_class *class)
{
	unsigned approximate = (unsigned)pg_get_number(result, row, 5);
	const void *key;
	size_t size;

	*class = (struct store_class){
		.id = pg_get_number(result, row, 0),
		.experiment = pg_get_text(result, row, 1),
		.plan = pg_get_text(result, row, 3),
		.dry_run = pg_get_bool(result, row, 4),
		.first_run = pg_get_number(result, row, 6),
		.kept_run = pg_get_number(result, row, 7),
	};
	key = pg_get_bytes(result, row, 2, &size);
	if (size == STORE_PLAN_KEY_SIZE)
		memcpy(class->plan_key, key, size);
	for (enum print_level level = 0; level < PRINT_LEVEL_COUNT; level++)
		for (enum store_view view = 0; view < STORE_VIEW_COUNT; view++) {
			pg_get_print(result, row, PRINTS_AT + 2 * (int)level + (int)view, &class->prints[view][level]);
			class->prints[view][level].approximate = approximate & store_approximate_bit(view, level);
		}
}

/* The one row of a result, if there is one: 1, 0, or an error. Frees the result. */
static int class_take(PGresult *result, struct store_class **ret_class, struct error *e)
{
	struct store_class class;
	int found = PQntuples(result);

	if (found) {
		class_from_row(result, 0, &class);
		*ret_class = store_class_copy(&class);
		found = *ret_class ? 1 : error_set(e, -ENOMEM, "out of memory");
	}
	PQclear(result);
	return found;
}

/* What a class is found by. */
static void key_put(struct pg_params *params, const char *experiment, const unsigned char *plan_key,
		    const struct print prints[STORE_VIEW_COUNT][PRINT_LEVEL_COUNT])
{
	pg_text(params, experiment);
	pg_bytes(params, plan_key, STORE_PLAN_KEY_SIZE);
	pg_print(params, &prints[STORE_OWN][PRINT_LEVEL_EXACT]);
	pg_print(params, &prints[STORE_SYMMETRIC][PRINT_LEVEL_EXACT]);
	pg_number(params, store_approximate(prints) & STORE_APPROXIMATE_EXACT);
}

#define BY_KEY " FROM bop_class WHERE experiment = $1 AND plan = $2 AND exact = $3 AND symmetric_exact = $4 AND inexact = $5"

struct finding {
	const struct pg_params *params;
	PGresult *result;
};

static int find(struct store_pg *s, void *arg, struct error *e)
{
	static const struct pg_sql sql = { "SELECT " CLASS_COLUMNS BY_KEY, PG_CLASS_FIND };
	struct finding *finding = arg;
	int err = pg_want(s, &sql, finding->params, e);

	return err ? err : pg_collect(s, &finding->result, 1, "reading", e);
}

int pg_class_find(struct store *store, const char *experiment, const unsigned char *plan_key,
		  const struct print prints[STORE_VIEW_COUNT][PRINT_LEVEL_COUNT], struct store_class **ret_class, struct error *e)
{
	struct pg_params params = { 0 };
	struct finding finding = { &params, NULL };
	int err;

	key_put(&params, experiment, plan_key, prints);
	err = pg_read(pg_of(store), find, &finding, e);
	return err ? err : class_take(finding.result, ret_class, e);
}

int pg_class_get(struct store *store, uint64_t id, struct store_class **ret_class, struct error *e)
{
	struct pg_params params = { 0 };
	PGresult *result = NULL;
	int err;

	pg_number(&params, id);
	err = pg_ask(pg_of(store), "SELECT " CLASS_COLUMNS " FROM bop_class WHERE id = $1", &params, &result, e);
	if (!err)
		err = class_take(result, ret_class, e);
	if (!err)
		err = error_set(e, -ENOENT, "store %s: there is no class %llu (any more)", pg_of(store)->name, (unsigned long long)id);
	return err < 0 ? err : 0;
}

int pg_each_class(struct store *store, const char *experiment, store_on_class *on_class, void *arg, struct error *e)
{
	struct store_class class = { .id = 0 };
	PGresult *result = NULL;
	int err, n;

	do {
		struct pg_params params = { 0 };

		pg_number(&params, class.id);
		pg_number(&params, PAGE_CLASSES);
		if (experiment)
			pg_text(&params, experiment);
		err = pg_ask(pg_of(store),
			     experiment ? "SELECT " CLASS_COLUMNS " FROM bop_class WHERE experiment = $3 AND id > $1 ORDER BY id LIMIT $2" :
					  "SELECT " CLASS_COLUMNS " FROM bop_class WHERE id > $1 ORDER BY id LIMIT $2",
			     &params, &result, e);
		n = err ? 0 : PQntuples(result);
		for (int i = 0; i < n && !err; i++) {
			class_from_row(result, i, &class);
			err = on_class(&class, arg, e);
		}
		PQclear(result);
		result = NULL;
	} while (!err && n == PAGE_CLASSES);
	return err;
}

/* 0: somebody else has just made it. */
static int class_add(struct store_pg *s, const struct store_class *class, uint64_t run, uint64_t *ret_id, struct error *e)
{
	unsigned approximate = store_approximate(class->prints);
	struct pg_params params = { 0 };

	key_put(&params, class->experiment, class->plan_key, class->prints);
	pg_number(&params, approximate);
	for (enum print_level level = PRINT_LEVEL_EXACT + 1; level < PRINT_LEVEL_COUNT; level++)
		for (enum store_view view = 0; view < STORE_VIEW_COUNT; view++)
			pg_print(&params, &class->prints[view][level]);
	pg_octets(&params, class->plan);
	pg_bool(&params, class->dry_run);
	pg_number(&params, run);
	return pg_query_number(s,
			       "INSERT INTO bop_class (id, experiment, plan, exact, symmetric_exact, inexact, approximate, folded,"
			       " symmetric_folded, shape, symmetric_shape, lines, dry_run, first_run, kept_run)"
			       " VALUES (nextval('bop_class_id'),$1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,$13,$13)"
			       " ON CONFLICT DO NOTHING RETURNING id",
			       &params, ret_id, DOING, e);
}

/* Its class, locked; a new one if nobody did that before. */
static int class_of_run(struct store_pg *s, const struct store_run *run, const struct store_class *class,
			const struct store_seal *how, struct pg_verdict *ret, struct error *e)
{
	struct pg_params params = { 0 };
	int err = 0;

	key_put(&params, class->experiment, class->plan_key, class->prints);
	ret->class_id = 0;
	for (int i = 0; i < TRIES && !err && !ret->class_id; i++) {
		err = pg_query_number(s, "SELECT id" BY_KEY " FOR UPDATE", &params, &ret->class_id, DOING, e);
		if (err || ret->class_id)
			return err;
		err = class_add(s, class, run->id, &ret->class_id, e);
		ret->new_class = !err && ret->class_id;
	}
	if (!err && !ret->class_id) {
		s->failure = PG_AGAIN;
		err = error_set(e, -EAGAIN, "store %s: " DOING ": its class comes and goes", s->name);
	}
	return err || !how->sketch ? err : pg_sketch_put(s, ret->class_id, class->experiment, how->sketch, e);
}

/* Of a class, with the outcome, whose events are here: the lowest number; 0: none. */
static int whole_find(struct store_pg *s, uint64_t class, enum outcome outcome, uint64_t *ret_run, struct error *e)
{
	struct pg_params params = { 0 };

	pg_number(&params, class);
	pg_text(&params, outcome_name(outcome));
	return pg_query_number(s, "SELECT id FROM bop_run WHERE class = $1 AND outcome = $2 AND kept IS NULL ORDER BY id LIMIT 1",
			       &params, ret_run, DOING, e);
}

/* In the row; kept 0: by its own events. */
static int row_put(struct store_pg *s, const struct store_run *run, const struct pg_verdict *verdict, uint64_t kept, struct error *e)
{
	static const struct pg_sql sql = { "UPDATE bop_run SET class = $2, unclassed = $3, kept = coalesce($4, kept) WHERE id = $1", PG_UNPREPARED };
	struct pg_params params = { 0 };

	pg_number(&params, run->id);
	pg_number(&params, verdict->class_id ? verdict->class_id : STORE_UNKNOWN);
	pg_octets(&params, verdict->class_id ? NULL : run->unclassed);
	pg_number(&params, kept ? kept : STORE_UNKNOWN);
	return pg_put(s, &sql, &params, e);
}

/* A run of it more. Runs are not always sealed in the order of their numbers. */
static int class_join(struct store_pg *s, uint64_t class, uint64_t run, bool whole, struct error *e)
{
	int err = pg_put_numbers(s, "UPDATE bop_class SET first_run = $2 WHERE id = $1 AND first_run > $2", class, run, e);

	if (err < 0 || !whole)
		return err;
	return pg_put_numbers(s, "UPDATE bop_class SET kept_run = $2 WHERE id = $1 AND (kept_run = 0 OR kept_run > $2)", class, run, e);
}

int pg_class_settle(struct store_pg *s, const struct store_run *run, const struct store_class *class, const struct store_seal *how,
		    bool may_drop, struct pg_verdict *ret, struct error *e)
{
	bool whole = !may_drop || how->keep_all;
	uint64_t kept = 0;
	int err = 0;

	*ret = (struct pg_verdict){ .class_id = 0 };
	if (class)
		err = class_of_run(s, run, class, how, ret, e);
	if (!err && class && !ret->new_class && !whole && !class->prints[STORE_OWN][PRINT_LEVEL_EXACT].approximate)
		err = whole_find(s, ret->class_id, run->outcome, &kept, e);
	if (!err && (class || run->unclassed))
		err = row_put(s, run, ret, kept, e);
	if (!err && kept)
		err = pg_put_numbers(s, "DELETE FROM bop_batch WHERE run = $1", run->id, 0, e);
	if (!err && class && !ret->new_class)
		err = class_join(s, ret->class_id, run->id, !kept, e);
	ret->kept = kept ? kept : run->id;
	return err ? err : pg_collect(s, NULL, 0, DOING, e);
}

int pg_class_again(struct store_pg *s, uint64_t id, struct pg_verdict *ret, struct error *e)
{
	struct store_run *run = NULL;
	int err = pg_run_read(s, id, &run, e);

	if (!err)
		*ret = (struct pg_verdict){ run->class_id, run->kept, run->new_class };
	store_run_free(run);
	return err;
}

int pg_class_review(struct store_pg *s, uint64_t class, struct error *e)
{
	struct pg_params params = { 0 };
	uint64_t locked, first = 0, kept = 0;
	int err;

	pg_number(&params, class);
	err = pg_query_number(s, "SELECT id FROM bop_class WHERE id = $1 FOR UPDATE", &params, &locked, DOING, e);
	if (err || !locked)
		return err;
	err = pg_query_number(s, "SELECT min(id) FROM bop_run WHERE class = $1", &params, &first, DOING, e);
	if (!err && !first) {
		err = pg_sketch_remove(s, class, e);
		return err ? err : pg_put_numbers(s, "DELETE FROM bop_class WHERE id = $1", class, 0, e);
	}
	if (!err)
		err = pg_query_number(s, "SELECT min(id) FROM bop_run WHERE class = $1 AND kept IS NULL", &params, &kept, DOING, e);
	if (!err)
		err = pg_put_numbers(s, "UPDATE bop_class SET first_run = $2 WHERE id = $1", class, first, e);
	return err ? err : pg_put_numbers(s, "UPDATE bop_class SET kept_run = $2 WHERE id = $1", class, kept, e);
}
