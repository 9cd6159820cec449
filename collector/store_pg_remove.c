/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Removing runs of a PostgreSQL store: first the row, so that nobody sees it any more, then its batches, a few at a time. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "collector/store_pg.h"

enum { PIECE = 200 };

static int row_remove(struct store_pg *s, void *arg, struct error *e)
{
	static const char *const statements[] = {
		"DELETE FROM bop_process WHERE run = $1",
		"DELETE FROM bop_stream WHERE run = $1",
		"DELETE FROM bop_run WHERE id = $1",
	};
	struct pg_params params = { 0 };
	uint64_t *id = arg;
	int err = 0;

	pg_number(&params, *id);
	for (size_t i = 0; i < sizeof(statements) / sizeof(*statements) && !err; i++) {
		struct pg_sql sql = { statements[i], PG_UNPREPARED };

		err = pg_put(s, &sql, &params, e);
	}
	return err ? err : pg_collect(s, NULL, 0, "removing a run", e);
}

struct piece {
	uint64_t run;
	bool last;
};

static int piece_remove(struct store_pg *s, void *arg, struct error *e)
{
	struct pg_params params = { 0 };
	struct piece *piece = arg;
	PGresult *result = NULL;
	int err;

	pg_number(&params, piece->run);
	pg_number(&params, PIECE);
	err = pg_query(s,
		       "DELETE FROM bop_batch WHERE run = $1 AND (stream, number) IN"
		       " (SELECT stream, number FROM bop_batch WHERE run = $1 LIMIT $2)",
		       &params, &result, "removing a run", e);
	piece->last = err || strtol(PQcmdTuples(result), NULL, 10) < PIECE;
	PQclear(result);
	return err;
}

static int batches_remove(struct store_pg *s, uint64_t run, struct error *e)
{
	struct piece piece = { .run = run };
	int err;

	do
		err = pg_transaction(s, piece_remove, &piece, "removing a run", e);
	while (!err && !piece.last);
	return err;
}

int pg_run_remove(struct store *store, uint64_t id, struct error *e)
{
	struct store_run *run = NULL;
	int err;

	err = pg_run_get(store, id, &run, e);
	if (!err && run->running && store_owner_alive(&run->owner))
		err = error_set(e, -EBUSY, "run %llu is still being recorded (by process %d)", (unsigned long long)id,
				run->owner.pid);
	store_run_free(run);
	if (!err)
		err = pg_transaction(pg_of(store), row_remove, &id, "removing a run", e);
	return err ? err : batches_remove(pg_of(store), id, e);
}
