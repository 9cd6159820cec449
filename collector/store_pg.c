/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Writing rows of a PostgreSQL store. A transaction is put together here first, with copies of what is in it, and sent as
 * a whole when it is committed: so it can be sent again if the connection is lost. Each of its statements can be done twice: runs and
 * streams are added under a number that was chosen before, batches have one. See store.h for the contracts, docs/store.md for the tables.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <utlist.h>
#include <xxhash.h>

#include "collector/store_pg.h"

struct pg_statement {
	struct pg_statement *prev, *next;
	const struct pg_sql *sql;
	struct pg_params params;
	uint64_t run, stream; /* the stream that it adds; 0: none */
	unsigned char copies[];
};

static const struct pg_sql hold = {
	"SELECT 1 / count(*) FROM (SELECT 1 FROM bop_run WHERE id = $1 AND running FOR SHARE) AS held", PG_RUN_HOLD
};
static const struct pg_sql put = {
	"INSERT INTO bop_batch (run, stream, number, bytes) VALUES ($1,$2,$3,$4) ON CONFLICT (run, stream, number) DO NOTHING", PG_BATCH_PUT
};
static const struct pg_sql add_run = {
	"INSERT INTO bop_run (id, experiment, file, version, started_ns, started_monotonic_ns, owner_boot,"
	" owner_pid_namespace, owner_pid, owner_start, plan, faults, seed, dry_run, racy)"
	" VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,$13,$14,$15) ON CONFLICT (id) DO NOTHING", PG_UNPREPARED
};
/* If it goes at this moment, because the last run that had it does, the run cannot be added, and both are tried again. */
static const struct pg_sql add_file = {
	"INSERT INTO bop_file (name, path, text) VALUES ($1,$2,$3) ON CONFLICT (name) DO NOTHING", PG_UNPREPARED
};
static const struct pg_sql add_stream = {
	"INSERT INTO bop_stream (run, stream, session, host, boot_id, kernel, backend, monotonic_ns, realtime_ns)"
	" SELECT $1,$2,$3,$4,$5,$6,$7,$8,$9 WHERE NOT EXISTS (SELECT 1 FROM bop_stream"
	" WHERE run = $1 AND stream = $2 AND session = $3 AND monotonic_ns = $8)", PG_UNPREPARED
};

void pg_statements_forget(struct store_pg *s)
{
	struct pg_statement *statement, *next;

	DL_FOREACH_SAFE(s->statements, statement, next)
	{
		DL_DELETE(s->statements, statement);
		free(statement);
	}
	s->collecting = s->leasing = false;
}

/* Copies all that is borrowed. */
static struct pg_statement *remember(struct store_pg *s, const struct pg_sql *sql, const struct pg_params *params, struct error *e)
{
	struct pg_statement *statement;
	unsigned char *at;
	size_t size = 0;

	for (int i = 0; i < params->n; i++)
		size += params->values[i] ? (size_t)params->lengths[i] : 0;
	statement = malloc(sizeof(*statement) + size);
	if (!statement) {
		error_set(e, -ENOMEM, "out of memory");
		return NULL;
	}
	statement->sql = sql;
	statement->params = *params;
	statement->run = statement->stream = 0;
	at = statement->copies;
	for (int i = 0; i < params->n; i++) {
		if (!params->values[i])
			continue;
		memcpy(at, params->values[i], (size_t)params->lengths[i]);
		statement->params.values[i] = (char *)at;
		at += params->lengths[i];
	}
	DL_APPEND(s->statements, statement);
	return statement;
}

static int run_hold(struct store_pg *s, uint64_t run, struct error *e)
{
	struct pg_params params = { 0 };

	pg_number(&params, run);
	s->held = run;
	return pg_put(s, &hold, &params, e);
}

int pg_statements_put(struct store_pg *s, struct error *e)
{
	const struct pg_statement *statement;
	uint64_t held = 0;
	int err = s->leasing ? pg_lease_put(s, e) : 0;

	DL_FOREACH(s->statements, statement)
	{
		if (!err && statement->sql == &put && statement->run != held) {
			held = statement->run;
			err = run_hold(s, held, e);
		}
		if (!err)
			err = pg_put(s, statement->sql, &statement->params, e);
	}
	return err;
}

static int replay(struct store_pg *s, void *arg, struct error *e)
{
	static const struct pg_sql commit = { "COMMIT", PG_UNPREPARED };
	int err = pg_statements_put(s, e);

	if (!err && s->inside && !s->whole) /* one way there, one back */
		err = pg_put(s, &commit, NULL, e);
	if (!err && s->n_sent)
		err = pg_collect(s, NULL, 0, "writing", e);
	if (!err && !s->whole)
		s->inside = false;
	return err;
}

static int begin(struct store *store, struct error *e)
{
	struct store_pg *s = pg_of(store);

	if (s->mode == STORE_READ)
		return error_set(e, -EROFS, "store %s: it was opened for reading only", s->name);
	pg_statements_forget(s);
	s->collecting = true;
	return 0;
}

static void rollback(struct store *store)
{
	pg_statements_forget(pg_of(store));
}

static int commit(struct store *store, struct error *e)
{
	struct store_pg *s = pg_of(store);
	int err = pg_transaction(s, replay, NULL, "writing", e);

	pg_statements_forget(s);
	return err;
}

struct whole {
	store_work *work;
	void *arg;
};

/*
 * One such transaction after the other, however long that before it takes: what work reads first is all that they have kept, and
 * numbers are given out in the order in which their rows are seen. An update, so that no isolation level reads what was before.
 */
static int turn_take(struct store_pg *s, struct error *e)
{
	static const struct pg_sql statements[] = {
		{ "SET LOCAL lock_timeout = 0", PG_UNPREPARED },
		{ "SET LOCAL statement_timeout = 0", PG_UNPREPARED },
		{ "UPDATE bop_store SET format = format WHERE one = 1", PG_UNPREPARED },
		{ "SET LOCAL lock_timeout TO DEFAULT", PG_UNPREPARED },
		{ "SET LOCAL statement_timeout TO DEFAULT", PG_UNPREPARED },
	};
	int err = 0;

	for (size_t i = 0; i < sizeof(statements) / sizeof(*statements) && !err; i++)
		err = pg_put(s, &statements[i], NULL, e);
	s->patient = true;
	if (!err)
		err = pg_collect(s, NULL, 0, "writing", e);
	s->patient = false;
	if (!err || s->failure == PG_AGAIN) /* it was waited for: what comes now has its time from here on */
		pg_patience(s, PG_PATIENCE_MS);
	return err;
}

/* What was tried before, and may be there, is known by the run that it created. */
static int whole_do(struct store_pg *s, void *arg, struct error *e)
{
	struct whole *whole = arg;
	struct pg_params params = { 0 };
	uint64_t there = 0;
	int err = 0;

	if (s->unsure && s->created) {
		pg_number(&params, s->created);
		err = pg_query_number(s, "SELECT id FROM bop_run WHERE id = $1", &params, &there, "writing", e);
	}
	if (!err && !there)
		err = turn_take(s, e);
	if (err || there)
		return err;
	s->created = 0;
	s->whole = true;
	err = whole->work(&s->store, whole->arg, e);
	s->whole = false;
	pg_statements_forget(s);
	return err;
}

static int transaction(struct store *store, store_work *work, void *arg, struct error *e)
{
	struct whole whole = { work, arg };
	struct store_pg *s = pg_of(store);

	if (s->mode == STORE_READ)
		return error_set(e, -EROFS, "store %s: it was opened for reading only", s->name);
	s->created = 0;
	return pg_transaction(s, whole_do, &whole, "writing", e);
}

/* Ends what was a transaction only of its own. */
static int commit_alone(struct store *store, bool alone, int err, struct error *e)
{
	if (!alone)
		return err;
	if (!err)
		return commit(store, e);
	rollback(store);
	return err;
}

/* Numbers are given out once, also if nothing comes of it. */
static int id_next(struct store_pg *s, uint64_t *ret_id, struct error *e)
{
	PGresult *result = NULL;
	int err = pg_ask(s, "SELECT nextval('bop_run_id')", NULL, &result, e);

	if (!err)
		*ret_id = pg_get_number(result, 0, 0);
	PQclear(result);
	return err;
}

static uint64_t lines_count(const char *lines)
{
	uint64_t n = 0;

	while (lines && (lines = strchr(lines, '\n'))) {
		lines++;
		n++;
	}
	return n;
}

/* Within the transaction that adds a run with it. Its name is a hash. */
static int file_add(struct store_pg *s, const struct store_run *run, XXH128_canonical_t *ret_name, struct error *e)
{
	const char *path = run->path ? run->path : "", *text = run->text ? run->text : "";
	struct pg_params params = { 0 };
	XXH3_state_t *state = XXH3_createState();

	if (!state)
		return error_set(e, -ENOMEM, "out of memory");
	XXH3_128bits_reset(state);
	XXH3_128bits_update(state, path, strlen(path) + 1);
	XXH3_128bits_update(state, text, strlen(text));
	XXH128_canonicalFromHash(ret_name, XXH3_128bits_digest(state));
	XXH3_freeState(state);
	pg_bytes(&params, ret_name->digest, sizeof(ret_name->digest));
	pg_octets(&params, path);
	pg_octets(&params, text);
	return remember(s, &add_file, &params, e) ? 0 : -ENOMEM;
}

static int run_create(struct store *store, struct store_run *run, struct error *e)
{
	struct store_pg *s = pg_of(store);
	XXH128_canonical_t file;
	struct pg_params params = { 0 };
	bool alone = !s->collecting;
	uint64_t id = 0;
	int err = id_next(s, &id, e);

	if (!err)
		err = pg_lease_keep(s, &run->owner, e);
	if (!err && alone)
		err = begin(store, e);
	if (err < 0)
		return err;
	err = file_add(s, run, &file, e);
	pg_number(&params, id);
	pg_text(&params, run->experiment);
	pg_bytes(&params, file.digest, sizeof(file.digest));
	pg_text(&params, run->version);
	pg_number(&params, run->started_ns);
	pg_number(&params, run->started_monotonic_ns);
	pg_owner(&params, &run->owner);
	pg_octets(&params, run->plan && *run->plan ? run->plan : NULL);
	pg_number(&params, lines_count(run->plan));
	pg_number(&params, run->seed);
	pg_bool(&params, run->dry_run);
	pg_bool(&params, run->racy);
	s->leasing = true;
	err = commit_alone(store, alone, err ? err : remember(s, &add_run, &params, e) ? 0 : -ENOMEM, e);
	if (!err) {
		run->id = s->created = id;
		run->running = true;
	}
	return err;
}

/* After those that are there, and those that the transaction adds. */
static int stream_number(struct store_pg *s, uint64_t run, uint64_t *ret_number, struct error *e)
{
	const struct pg_statement *statement;
	struct pg_params params = { 0 };
	PGresult *result = NULL;
	uint64_t number;
	int err;

	pg_number(&params, run);
	err = pg_ask(s, "SELECT coalesce(max(stream), 0) FROM bop_stream WHERE run = $1", &params, &result, e);
	number = err < 0 ? 0 : pg_get_number(result, 0, 0);
	PQclear(result);
	DL_FOREACH(s->statements, statement)
		if (statement->run == run && statement->stream > number)
			number = statement->stream;
	*ret_number = number + 1;
	return err;
}

static int stream_add(struct store *store, uint64_t run, struct store_stream *stream, struct error *e)
{
	struct store_pg *s = pg_of(store);
	struct pg_statement *statement = NULL;
	bool alone = !s->collecting;
	uint64_t number;
	int err;

	do { /* again if somebody took that number meanwhile */
		struct pg_params params = { 0 };

		err = stream_number(s, run, &number, e);
		if (!err && alone)
			err = begin(store, e);
		if (err < 0)
			return err;
		pg_number(&params, run);
		pg_number(&params, number);
		pg_bytes(&params, stream->session, sizeof(stream->session));
		pg_octets(&params, stream->host);
		pg_octets(&params, stream->boot_id);
		pg_octets(&params, stream->kernel);
		pg_octets(&params, stream->backend);
		pg_number(&params, stream->monotonic_ns);
		pg_number(&params, stream->realtime_ns);
		statement = remember(s, &add_stream, &params, e);
		if (statement) {
			statement->run = run;
			statement->stream = number;
		}
		err = commit_alone(store, alone, statement ? 0 : -ENOMEM, e);
	} while (alone && !s->whole && err == -EEXIST);
	if (!err)
		stream->number = number;
	return err;
}

static int batch_put(struct store *store, uint64_t run, uint64_t stream, uint64_t number, const void *bytes, size_t size,
		     struct error *e)
{
	struct store_pg *s = pg_of(store);
	struct pg_params params = { 0 };
	struct pg_statement *statement;

	if (!s->collecting)
		return error_set(e, -EINVAL, "store %s: a batch belongs into a transaction", s->name);
	pg_number(&params, run);
	pg_number(&params, stream);
	pg_number(&params, number);
	pg_bytes(&params, bytes ? bytes : "", size);
	statement = remember(s, &put, &params, e);
	if (!statement)
		return -ENOMEM;
	statement->run = run;
	return 0;
}

static void close_store(struct store *store)
{
	struct store_pg *s = pg_of(store);

	pg_lease_end(s);
	pg_statements_forget(s);
	pg_disconnect(s);
	free(s->sent);
	free(s->url);
	free(s);
}

const struct store_ops store_pg_ops = {
	.close = close_store,
	.run_create = run_create,
	.stream_add = stream_add,
	.begin = begin,
	.batch_put = batch_put,
	.commit = commit,
	.rollback = rollback,
	.transaction = transaction,
	.run_adopt = pg_run_adopt,
	.run_seal = pg_run_seal,
	.run_get = pg_run_get,
	.run_last = pg_run_last,
	.run_baseline = pg_run_baseline,
	.run_class = pg_run_class,
	.run_remove = pg_run_remove,
	.run_drop = pg_run_drop,
	.run_fold = pg_run_fold,
	.run_size = pg_run_size,
	.room = pg_room,
	.sweep = pg_sweep,
	.class_find = pg_class_find,
	.class_get = pg_class_get,
	.each_class = pg_each_class,
	.class_near = pg_class_near,
	.each_run = pg_each_run,
	.each_stream = pg_each_stream,
	.each_process = pg_each_process,
	.each_batch = pg_each_batch,
};
