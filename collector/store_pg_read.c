/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Reading rows of a PostgreSQL store. What may be long is read in pages, each whole before a visitor sees it: so a visitor may use
 * the store, and a page can be asked for again when the connection was lost. See store.h for the contracts.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/store_pg.h"

enum { PAGE_RUNS = 500, PAGE_BATCHES = 32 };

/* The lease says something only while the run is recorded. */
#define RUN_COLUMNS                                                                                                       \
	"r.id, r.experiment, r.version, r.started_ns, r.started_monotonic_ns, r.owner_boot, r.owner_pid_namespace,"       \
	" r.owner_pid, r.owner_start, l.until_ms IS NOT NULL AND l.until_ms > " PG_NOW ", r.running, r.incomplete,"        \
	" r.outcome, r.reason, r.warnings, r.duration_ns, r.events, r.messages, r.lost, r.holes, r.faults,"       \
	" coalesce(r.class, 0), r.unclassed, " PG_KEPT ","             \
	" (SELECT c.first_run FROM bop_class c WHERE c.id = r.class) = r.id"
#define RUN_FROM                                                                                                          \
	" FROM bop_run r LEFT JOIN bop_lease l ON r.running AND l.owner_boot = r.owner_boot"                              \
	" AND l.owner_pid_namespace = r.owner_pid_namespace AND l.owner_pid = r.owner_pid AND l.owner_start = r.owner_start"
enum { RUN_COLUMN_COUNT = 25 };

/* Everything borrowed from the result. */
static void run_from_row(const PGresult *result, int row, struct store_run *run)
{
	const char *boot_id = pg_get_text(result, row, 5);

	*run = (struct store_run){
		.id = pg_get_number(result, row, 0),
		.experiment = pg_get_text(result, row, 1),
		.version = pg_get_text(result, row, 2),
		.started_ns = pg_get_number(result, row, 3),
		.started_monotonic_ns = pg_get_number(result, row, 4),
		.owner.pid_namespace = pg_get_number(result, row, 6),
		.owner.pid = (int32_t)pg_get_number(result, row, 7),
		.owner.start = pg_get_number(result, row, 8),
		.owner.lease = pg_get_bool(result, row, 9) ? STORE_LEASE_HELD : STORE_LEASE_OVER,
		.running = pg_get_bool(result, row, 10),
		.incomplete = pg_get_bool(result, row, 11),
		.outcome = outcome_by_name(pg_get_text(result, row, 12)),
		.reason = pg_get_text(result, row, 13),
		.warnings = pg_get_text(result, row, 14),
		.duration_ns = pg_get_number(result, row, 15),
		.events = pg_get_number(result, row, 16),
		.messages = pg_get_number(result, row, 17),
		.lost = pg_get_number(result, row, 18),
		.holes = pg_get_number(result, row, 19),
		.faults = (uint32_t)pg_get_number(result, row, 20),
		.class_id = pg_get_number(result, row, 21),
		.unclassed = pg_get_text(result, row, 22),
		.kept = pg_get_number(result, row, 23),
		.new_class = pg_get_bool(result, row, 24),
	};
	snprintf(run->owner.boot_id, sizeof(run->owner.boot_id), "%s", boot_id ? boot_id : "");
}

static int text_copy(char **text, const char *from)
{
	*text = from ? strdup(from) : NULL;
	return from && !*text ? -1 : 0;
}

/* What the row borrows becomes its own. */
static struct store_run *run_copy(const struct store_run *row, const PGresult *result)
{
	struct store_run *run = malloc(sizeof(*run));
	const int more = RUN_COLUMN_COUNT;

	if (!run)
		return NULL;
	*run = *row;
	run->experiment = run->version = run->reason = run->warnings = run->unclassed = run->path = run->text = run->plan = NULL;
	if (text_copy(&run->experiment, row->experiment) < 0 || text_copy(&run->version, row->version) < 0 ||
	    text_copy(&run->reason, row->reason) < 0 || text_copy(&run->warnings, row->warnings) < 0 ||
	    text_copy(&run->unclassed, row->unclassed) < 0 || text_copy(&run->path, pg_get_text(result, 0, more)) < 0 || text_copy(&run->text, pg_get_text(result, 0, more + 1)) < 0 ||
	    text_copy(&run->plan, pg_get_text(result, 0, more + 2)) < 0) {
		store_run_free(run);
		return NULL;
	}
	run->seed = pg_get_number(result, 0, more + 3);
	run->dry_run = pg_get_bool(result, 0, more + 4);
	run->racy = pg_get_bool(result, 0, more + 5);
	return run;
}

int pg_run_read(struct store_pg *s, uint64_t id, struct store_run **ret_run, struct error *e)
{
	struct pg_params params = { 0 };
	PGresult *result = NULL;
	struct store_run row, *run;
	int err;

	pg_number(&params, id);
	err = pg_query(s, "SELECT " RUN_COLUMNS ", f.path, f.text, r.plan, r.seed, r.dry_run, r.racy" RUN_FROM " JOIN bop_file f ON f.name = r.file WHERE r.id = $1",
		     &params, &result, "reading", e);
	if (!err && !PQntuples(result))
		err = error_set(e, -ENOENT, "store %s: there is no run %llu (see `bop runs`)", s->name, (unsigned long long)id);
	if (!err) {
		run_from_row(result, 0, &row);
		run = run_copy(&row, result);
		if (run)
			*ret_run = run;
		else
			err = error_set(e, -ENOMEM, "out of memory");
	}
	PQclear(result);
	return err;
}

struct getting {
	uint64_t id;
	struct store_run *run;
};

static int get(struct store_pg *s, void *arg, struct error *e)
{
	struct getting *getting = arg;

	return pg_run_read(s, getting->id, &getting->run, e);
}

int pg_run_get(struct store *store, uint64_t id, struct store_run **ret_run, struct error *e)
{
	struct getting getting = { .id = id };
	int err = pg_read(pg_of(store), get, &getting, e);

	if (!err)
		*ret_run = getting.run;
	return err;
}

static int number_ask(struct store *store, const char *sql, const struct pg_params *params, uint64_t *ret_number, struct error *e)
{
	PGresult *result = NULL;
	int err = pg_ask(pg_of(store), sql, params, &result, e);

	if (!err)
		*ret_number = PQntuples(result) ? pg_get_number(result, 0, 0) : 0;
	PQclear(result);
	return err;
}

int pg_run_last(struct store *store, uint64_t *ret_id, struct error *e)
{
	return number_ask(store, "SELECT coalesce(max(id), 0) FROM bop_run", NULL, ret_id, e);
}

int pg_run_baseline(struct store *store, const char *experiment, uint64_t *ret_id, struct error *e)
{
	struct pg_params params = { 0 };

	pg_text(&params, experiment);
	return number_ask(store,
			  "SELECT r.id FROM bop_run r WHERE r.experiment = $1 AND NOT r.running AND NOT r.incomplete"
			  " AND r.outcome IN ('good', 'violated', 'vacuous') AND (r.plan IS NULL OR r.dry_run) AND " PG_KEPT " > 0"
			  " ORDER BY r.id DESC LIMIT 1",
			  &params, ret_id, e);
}

static int page_visit(const PGresult *result, uint64_t *after, store_on_run *on_run, void *arg, struct error *e)
{
	struct store_run run;
	int stop = 0;

	for (int i = 0; i < PQntuples(result) && !stop; i++) {
		run_from_row(result, i, &run);
		*after = run.id;
		stop = on_run(&run, arg, e);
	}
	return stop;
}

int pg_each_run(struct store *store, const struct store_range *range, store_on_run *on_run, void *arg, struct error *e)
{
	uint64_t after = range->newest && !range->after ? INT64_MAX : range->after;
	PGresult *result = NULL;
	char sql[1800];
	int err, n;

	snprintf(sql, sizeof(sql), "SELECT " RUN_COLUMNS RUN_FROM " WHERE r.id %c $1%s%s%s ORDER BY r.id%s LIMIT %d",
		 range->newest ? '<' : '>', range->experiment ? " AND r.experiment = $2" : "",
		 range->running ? " AND r.running" : "",
		 range->unknown ? " AND r.class IS NULL AND r.unclassed IS NULL AND NOT r.running" : "",
		 range->newest ? " DESC" : "", PAGE_RUNS);
	do {
		struct pg_params params = { 0 };

		pg_number(&params, after);
		if (range->experiment)
			pg_text(&params, range->experiment);
		err = pg_ask(pg_of(store), sql, &params, &result, e);
		n = err ? 0 : PQntuples(result);
		if (!err)
			err = page_visit(result, &after, on_run, arg, e);
		PQclear(result);
		result = NULL;
	} while (!err && n == PAGE_RUNS);
	return err;
}

static int of_run(struct store *store, const char *sql, uint64_t run, PGresult **ret_result, struct error *e)
{
	struct pg_params params = { 0 };

	pg_number(&params, run);
	return pg_ask(pg_of(store), sql, &params, ret_result, e);
}

int pg_each_stream(struct store *store, uint64_t run, store_on_stream *on_stream, void *arg, struct error *e)
{
	PGresult *result = NULL;
	int err = of_run(store,
			 "SELECT stream, host, boot_id, kernel, backend, monotonic_ns, realtime_ns, session FROM bop_stream"
			 " WHERE run = $1 ORDER BY stream",
			 run, &result, e);

	for (int i = 0; !err && i < PQntuples(result); i++) {
		struct store_stream stream = {
			.number = pg_get_number(result, i, 0),
			.host = pg_get_text(result, i, 1),
			.boot_id = pg_get_text(result, i, 2),
			.kernel = pg_get_text(result, i, 3),
			.backend = pg_get_text(result, i, 4),
			.monotonic_ns = pg_get_number(result, i, 5),
			.realtime_ns = pg_get_number(result, i, 6),
		};
		size_t size;
		const void *session = pg_get_bytes(result, i, 7, &size);

		if (size == sizeof(stream.session))
			memcpy(stream.session, session, size);
		err = on_stream(&stream, arg, e);
	}
	PQclear(result);
	return err;
}

int pg_each_process(struct store *store, uint64_t run, store_on_process *on_process, void *arg, struct error *e)
{
	PGresult *result = NULL;
	int err = of_run(store,
			 "SELECT name, box, role, command, started, status, output FROM bop_process WHERE run = $1 ORDER BY place",
			 run, &result, e);

	for (int i = 0; !err && i < PQntuples(result); i++) {
		struct store_process process = {
			.name = pg_get_text(result, i, 0),
			.box = pg_get_text(result, i, 1),
			.role = (enum store_role)pg_get_number(result, i, 2),
			.command = pg_get_text(result, i, 3),
			.started = pg_get_bool(result, i, 4),
			.exited = !PQgetisnull(result, i, 5),
			.status = PQgetisnull(result, i, 5) ? 0 : (uint32_t)pg_get_number(result, i, 5),
		};

		process.output = (char *)pg_get_bytes(result, i, 6, &process.output_size);
		err = on_process(&process, arg, e);
	}
	PQclear(result);
	return err;
}

/* The batches of a run behind one of them. */
struct place {
	uint64_t run, stream, number;
	PGresult *result;
};

static int batches_read(struct store_pg *s, void *arg, struct error *e)
{
	static const struct pg_sql sql = {
		"SELECT stream, number, bytes FROM bop_batch WHERE run = $1 AND (stream, number) > ($2, $3)"
		" ORDER BY stream, number LIMIT $4", PG_BATCH_READ
	};
	struct pg_params params = { 0 };
	struct place *place = arg;
	int err;

	pg_number(&params, place->run);
	pg_number(&params, place->stream);
	pg_number(&params, place->number);
	pg_number(&params, PAGE_BATCHES);
	err = pg_want(s, &sql, &params, e);
	return err ? err : pg_collect(s, &place->result, 1, "reading", e);
}

int pg_each_batch(struct store *store, uint64_t run, store_on_batch *on_batch, void *arg, struct error *e)
{
	struct place place = { .run = run };
	const void *bytes;
	size_t size;
	int err, n;

	do {
		err = pg_read(pg_of(store), batches_read, &place, e);
		n = err ? 0 : PQntuples(place.result);
		for (int i = 0; i < n && !err; i++) {
			place.stream = pg_get_number(place.result, i, 0);
			place.number = pg_get_number(place.result, i, 1);
			bytes = pg_get_bytes(place.result, i, 2, &size);
			err = on_batch(place.stream, place.number, bytes, size, arg, e);
		}
		PQclear(place.result);
		place.result = NULL;
	} while (!err && n == PAGE_BATCHES);
	return err;
}
