/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Ending runs of a PostgreSQL store, taking them over, removing them. See store.h for the contracts. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "collector/store_pg.h"

struct sealing {
	const struct store_run *run;
	const struct store_process *processes;
	size_t n;
	unsigned char mark[16]; /* so that a seal whose answer was lost is known again */
};

static int stale(struct store_pg *s, uint64_t run, struct error *e)
{
	return error_set(e, -ESTALE, "store %s: run %llu was ended or removed by somebody else", s->name, (unsigned long long)run);
}

/* 1: the row is ended by us now; 0: it was, and its answer got lost; -ESTALE. */
static int row_end(struct store_pg *s, const struct sealing *sealing, struct error *e)
{
	const struct store_run *run = sealing->run;
	struct pg_params params = { 0 };
	PGresult *result = NULL;
	int err, ended;

	pg_number(&params, run->id);
	pg_bool(&params, run->incomplete);
	pg_text(&params, outcome_name(run->outcome));
	pg_octets(&params, run->reason);
	pg_octets(&params, run->warnings);
	pg_number(&params, run->duration_ns);
	pg_number(&params, run->events);
	pg_number(&params, run->messages);
	pg_number(&params, run->lost);
	pg_number(&params, run->holes);
	pg_bytes(&params, sealing->mark, sizeof(sealing->mark));
	err = pg_query(s,
		       "UPDATE bop_run SET running = FALSE, incomplete = $2, outcome = $3, reason = $4, warnings = $5, duration_ns = $6,"
		       " events = $7, messages = $8, lost = $9, holes = $10, sealed = $11 WHERE id = $1 AND running RETURNING id",
		       &params, &result, "ending a run", e);
	ended = err ? 0 : PQntuples(result);
	PQclear(result);
	if (err || ended)
		return err ? err : 1;
	params = (struct pg_params){ 0 };
	pg_number(&params, run->id);
	pg_bytes(&params, sealing->mark, sizeof(sealing->mark));
	err = pg_query(s, "SELECT 1 FROM bop_run WHERE id = $1 AND sealed = $2", &params, &result, "ending a run", e);
	ended = err ? 0 : PQntuples(result);
	PQclear(result);
	return err ? err : ended ? 0 : stale(s, run->id, e);
}

static int process_put(struct store_pg *s, uint64_t run, size_t place, const struct store_process *process, struct error *e)
{
	static const struct pg_sql sql = { "INSERT INTO bop_process (run, place, name, box, role, command, started, status, output)"
					   " VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9)", PG_UNPREPARED };
	struct pg_params params = { 0 };

	pg_number(&params, run);
	pg_number(&params, place);
	pg_text(&params, process->name);
	pg_text(&params, process->box);
	pg_number(&params, (uint64_t)process->role);
	pg_octets(&params, process->command);
	pg_bool(&params, process->started);
	pg_number(&params, process->exited ? process->status : STORE_UNKNOWN);
	pg_bytes(&params, process->output, process->output_size);
	return pg_put(s, &sql, &params, e);
}

static int seal(struct store_pg *s, void *arg, struct error *e)
{
	const struct sealing *sealing = arg;
	int err = row_end(s, sealing, e);

	if (err <= 0)
		return err;
	err = 0;
	for (size_t i = 0; i < sealing->n && !err; i++)
		err = process_put(s, sealing->run->id, i, &sealing->processes[i], e);
	return err || !sealing->n ? err : pg_collect(s, NULL, 0, "ending a run", e);
}

int pg_run_seal(struct store *store, const struct store_run *run, const struct store_process *processes, size_t n, struct error *e)
{
	struct sealing sealing = { .run = run, .processes = processes, .n = n };

	if (getrandom(sealing.mark, sizeof(sealing.mark), 0) != sizeof(sealing.mark))
		return error_set(e, -EIO, "no random numbers: %s", strerror(errno));
	return pg_transaction(pg_of(store), seal, &sealing, "ending a run", e);
}

struct adoption {
	uint64_t id;
	const struct store_owner *owner;
};

static int adopt(struct store_pg *s, void *arg, struct error *e)
{
	const struct adoption *adoption = arg;
	struct pg_params params = { 0 };
	PGresult *result = NULL;
	int err = pg_lease_put(s, e);

	if (!err)
		err = pg_collect(s, NULL, 0, "taking over a run", e);
	pg_number(&params, adoption->id);
	pg_owner(&params, adoption->owner);
	if (!err)
		err = pg_query(s,
			       "UPDATE bop_run SET owner_boot = $2, owner_pid_namespace = $3, owner_pid = $4, owner_start = $5"
			       " WHERE id = $1 AND running RETURNING id",
			       &params, &result, "taking over a run", e);
	if (!err && !PQntuples(result))
		err = stale(s, adoption->id, e);
	PQclear(result);
	return err;
}

int pg_run_adopt(struct store *store, uint64_t id, const struct store_owner *owner, struct error *e)
{
	struct adoption adoption = { id, owner };
	int err = pg_lease_keep(pg_of(store), owner, e);

	return err ? err : pg_transaction(pg_of(store), adopt, &adoption, "taking over a run", e);
}
