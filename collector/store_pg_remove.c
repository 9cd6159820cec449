/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Removing from a PostgreSQL store, in two steps: a first transaction after which nobody sees it any more, and notes that its batches are
 * to go; then the batches, in pieces, so that nobody waits for long. Whoever is killed leaves a note.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "collector/store_pg.h"

enum { PIECE = 64 };

#define DOING "removing a run"

struct removal {
	uint64_t run;
	bool row;   /* all of it, not only its events */
	bool copy;  /* only if another one's events can stand for its own */
	bool own;   /* it had events */
	uint64_t uses; /* so many runs may be shown with them */
};

/* Its batches, and who it agreed with, are to go. */
static int leave(struct store_pg *s, const struct removal *removal, uint64_t class, struct error *e)
{
	int err = 0;

	if (removal->own)
		err = pg_put_numbers(s, "INSERT INTO bop_dropping (run) VALUES ($1) ON CONFLICT DO NOTHING", removal->run, 0, e);
	if (!err && class)
		err = pg_class_review(s, class, e);
	return err;
}

static int rows_remove(struct store_pg *s, uint64_t run, struct error *e)
{
	int err = pg_put_numbers(s, "DELETE FROM bop_stream WHERE run = $1", run, 0, e);

	if (!err)
		err = pg_put_numbers(s, "DELETE FROM bop_process WHERE run = $1", run, 0, e);
	return err ? err : pg_put_numbers(s, "DELETE FROM bop_run WHERE id = $1", run, 0, e);
}

/* Whose events can stand for those of a run: it keeps them until the end of the transaction. 0: nobody's. */
static int other_find(struct store_pg *s, const struct store_run *run, uint64_t *ret_other, struct error *e)
{
	struct pg_params params = { 0 };

	*ret_other = 0;
	if (!run->class_id)
		return 0;
	pg_number(&params, run->class_id);
	pg_text(&params, outcome_name(run->outcome));
	pg_number(&params, run->id);
	return pg_query_number(s,
			       "SELECT id FROM bop_run WHERE class = $1 AND outcome = $2 AND kept IS NULL AND id <> $3 AND NOT running"
			       " ORDER BY id LIMIT 1 FOR UPDATE",
			       &params, ret_other, DOING, e);
}

/* Until the end of the transaction nobody seals a run of it. */
static int class_hold(struct store_pg *s, uint64_t class, struct error *e)
{
	struct pg_params params = { 0 };
	uint64_t held;

	pg_number(&params, class);
	return pg_query_number(s, "SELECT id FROM bop_class WHERE id = $1 FOR UPDATE", &params, &held, DOING, e);
}

/* Whether no more runs are shown with its events than that: itself, and what repeats it. */
static int uses_check(struct store_pg *s, const struct store_run *run, uint64_t uses, struct error *e)
{
	struct pg_params params = { 0 };
	uint64_t now = 0;
	int err;

	pg_number(&params, run->class_id);
	pg_number(&params, run->id);
	err = pg_query_number(s, "SELECT 1 + count(*) FROM bop_run WHERE class = $1 AND kept = $2", &params, &now, DOING, e);
	if (!err && now > uses)
		err = error_set(e, -ESTALE, "run %llu: a later run is shown with its events", (unsigned long long)run->id);
	return err;
}

static int events_forget(struct store_pg *s, const struct removal *removal, const struct store_run *run, struct error *e)
{
	uint64_t other = 0;
	int err = run->class_id ? class_hold(s, run->class_id, e) : 0;

	if (!err)
		err = removal->copy ? other_find(s, run, &other, e) : uses_check(s, run, removal->uses, e);
	if (!err && removal->copy && !other)
		err = error_set(e, -ESTALE, "run %llu: no other run has the same events", (unsigned long long)run->id);
	if (!err && other) /* what repeated it repeats that one now */
		err = pg_put_numbers(s, "UPDATE bop_run SET kept = $2 WHERE class = (SELECT class FROM bop_run WHERE id = $1) AND kept = $1",
				     run->id, other, e);
	return err ? err : pg_put_numbers(s, "UPDATE bop_run SET kept = $2 WHERE id = $1", run->id, other, e);
}

static int forget(struct store_pg *s, void *arg, struct error *e)
{
	struct removal *removal = arg;
	struct pg_params params = { 0 };
	struct store_run *run = NULL;
	uint64_t locked = 0, class;
	int err;

	pg_number(&params, removal->run);
	err = pg_query_number(s, "SELECT id FROM bop_run WHERE id = $1 FOR UPDATE", &params, &locked, DOING, e);
	if (!err && !locked && removal->row && s->unsure)
		return 0; /* that was us */
	if (!err)
		err = pg_run_read(s, removal->run, &run, e);
	if (!err && run->running && (!removal->row || store_owner_alive(&run->owner)))
		err = error_set(e, -EBUSY, "run %llu is still being recorded (by process %d)", (unsigned long long)run->id, run->owner.pid);
	removal->own |= !err && run->kept == run->id;
	class = err ? 0 : run->class_id;
	if (!err && removal->row)
		err = rows_remove(s, removal->run, e);
	else if (!err && run->kept == run->id)
		err = events_forget(s, removal, run, e);
	if (!err && (removal->row || run->kept == run->id))
		err = leave(s, removal, class, e);
	store_run_free(run);
	return err ? err : pg_collect(s, NULL, 0, DOING, e);
}

static int piece_remove(struct store_pg *s, void *arg, struct error *e)
{
	struct removal *removal = arg;
	struct pg_params params = { 0 };
	PGresult *result = NULL;
	int err;

	pg_number(&params, removal->run);
	pg_number(&params, PIECE);
	err = pg_query(s,
		       "DELETE FROM bop_batch WHERE run = $1 AND (stream, number) IN"
		       " (SELECT stream, number FROM bop_batch WHERE run = $1 LIMIT $2)",
		       &params, &result, DOING, e);
	removal->own = !err && strtol(PQcmdTuples(result), NULL, 10) == PIECE;
	PQclear(result);
	if (!err && !removal->own)
		err = pg_put_numbers(s, "DELETE FROM bop_dropping WHERE run = $1", removal->run, 0, e);
	return err || removal->own ? err : pg_collect(s, NULL, 0, DOING, e);
}

/* go_on NULL: it does. 1: it is to end before all is gone. */
static int batches_remove(struct store_pg *s, uint64_t run, store_go_on *go_on, void *arg, struct error *e)
{
	struct removal removal = { .run = run, .own = true };
	int err = 0;

	while (!err && removal.own && (!go_on || go_on(arg)))
		err = pg_transaction(s, piece_remove, &removal, DOING, e);
	return err ? err : removal.own;
}

static int forget_all(struct store *store, uint64_t id, bool row, bool copy, uint64_t uses, struct error *e)
{
	struct removal removal = { .run = id, .row = row, .copy = copy, .uses = uses };
	int err = pg_transaction(pg_of(store), forget, &removal, DOING, e);

	if (err || !removal.own)
		return err;
	err = batches_remove(pg_of(store), id, NULL, NULL, e);
	return err < 0 ? error_prefix(e, err, "run %llu: its events are removed, but their room is not given back yet (`bop gc` goes on)",
				      (unsigned long long)id) : 0;
}

int pg_run_remove(struct store *store, uint64_t id, struct error *e)
{
	return forget_all(store, id, true, false, 0, e);
}

int pg_run_drop(struct store *store, uint64_t id, uint64_t uses, struct error *e)
{
	return forget_all(store, id, false, false, uses, e);
}

int pg_run_fold(struct store *store, uint64_t id, struct error *e)
{
	return forget_all(store, id, false, true, 0, e);
}

int pg_run_size(struct store *store, uint64_t id, uint64_t *ret_bytes, struct error *e)
{
	struct pg_params params = { 0 };
	PGresult *result = NULL;
	int err;

	pg_number(&params, id);
	err = pg_ask(pg_of(store), "SELECT CAST(coalesce(sum(octet_length(bytes)), 0) AS BIGINT) FROM bop_batch WHERE run = $1", &params,
		     &result, e);
	*ret_bytes = err ? 0 : pg_get_number(result, 0, 0);
	PQclear(result);
	return err;
}

int pg_room(struct store *store, bool tidy, uint64_t *ret_bytes, struct error *e)
{
	*ret_bytes = STORE_UNKNOWN;
	return 0;
}

/* What a file said goes with the last run that had it; and leases of those who have been gone for a day. */
static int rest_sweep(struct store_pg *s, void *arg, struct error *e)
{
	int err = pg_query(s, "DELETE FROM bop_file WHERE NOT EXISTS (SELECT 1 FROM bop_run WHERE bop_run.file = bop_file.name)", NULL, NULL,
			   DOING, e);

	return err ? err : pg_query(s, "DELETE FROM bop_lease WHERE until_ms < " PG_NOW " - 86400000", NULL, NULL, DOING, e);
}

int pg_sweep(struct store *store, store_go_on *go_on, void *arg, struct error *e)
{
	struct store_pg *s = pg_of(store);
	PGresult *result = NULL;
	uint64_t run = 0;
	int n = 0, err;

	for (;;) {
		struct pg_params params = { 0 };

		pg_number(&params, run);
		err = pg_ask(s, "SELECT run FROM bop_dropping WHERE run > $1 ORDER BY run LIMIT 1", &params, &result, e);
		run = !err && PQntuples(result) ? pg_get_number(result, 0, 0) : 0;
		PQclear(result);
		result = NULL;
		if (err || !run)
			break;
		err = batches_remove(s, run, go_on, arg, e);
		if (err)
			break;
		n++;
	}
	if (!err && go_on(arg))
		err = pg_transaction(s, rest_sweep, NULL, DOING, e);
	return err < 0 ? err : n;
}
