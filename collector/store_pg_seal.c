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
	const struct store_class *class;
	const struct store_seal *how;
	struct pg_verdict verdict;
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
	struct sealing *sealing = arg;
	int err = pg_statements_put(s, e);

	if (!err)
		err = row_end(s, sealing, e);
	if (!err)
		return pg_class_again(s, sealing->run->id, &sealing->verdict, e);
	if (err < 0)
		return err;
	err = 0;
	for (size_t i = 0; i < sealing->n && !err; i++)
		err = process_put(s, sealing->run->id, i, &sealing->processes[i], e);
	return err ? err : pg_class_settle(s, sealing->run, sealing->class, sealing->how, true, &sealing->verdict, e);
}

static void verdict_take(struct store_run *run, const struct pg_verdict *verdict)
{
	run->class_id = verdict->class_id;
	run->new_class = verdict->new_class;
	run->kept = verdict->kept;
}

/* Also ends what store_begin() began: a seal cannot be undone. */
int pg_run_seal(struct store *store, struct store_run *run, const struct store_process *processes, size_t n,
		const struct store_class *class, const struct store_seal *how, struct error *e)
{
	struct sealing sealing = { .run = run, .processes = processes, .n = n, .class = class, .how = how };
	struct store_pg *s = pg_of(store);
	int err;

	if (getrandom(sealing.mark, sizeof(sealing.mark), 0) != sizeof(sealing.mark))
		return error_set(e, -EIO, "no random numbers: %s", strerror(errno));
	err = pg_transaction(s, seal, &sealing, "ending a run", e);
	if (err < 0)
		return err;
	pg_statements_forget(s);
	verdict_take(run, &sealing.verdict);
	return 0;
}

struct classing {
	const struct store_run *run;
	const struct store_class *class;
	const struct store_seal *how;
	struct pg_verdict verdict;
};

static int classify(struct store_pg *s, void *arg, struct error *e)
{
	struct classing *classing = arg;
	struct store_run run = *classing->run, *row = NULL;
	struct pg_verdict *verdict = &classing->verdict;
	struct pg_params params = { 0 };
	uint64_t locked;
	int err = pg_statements_put(s, e);

	pg_number(&params, run.id);
	if (!err)
		err = pg_query_number(s, "SELECT id FROM bop_run WHERE id = $1 FOR UPDATE", &params, &locked, "reading", e);
	if (!err)
		err = pg_run_read(s, run.id, &row, e);
	if (err)
		return err;
	run.outcome = row->outcome;
	if (row->running)
		err = error_set(e, -ESTALE, "store %s: run %llu still goes on", s->name, (unsigned long long)run.id);
	else if (row->class_id || row->unclassed)
		*verdict = (struct pg_verdict){ row->class_id, row->kept, row->new_class };
	else
		err = pg_class_settle(s, &run, classing->class, classing->how, false, verdict, e);
	if (!err && !row->kept && verdict->class_id) /* it was counted as one with events */
		err = pg_class_review(s, verdict->class_id, e);
	if (!err && s->n_sent)
		err = pg_collect(s, NULL, 0, "giving a run its class", e);
	verdict->kept = row->kept;
	store_run_free(row);
	return err;
}

int pg_run_class(struct store *store, struct store_run *run, const struct store_class *class, const struct store_seal *how,
		 struct error *e)
{
	struct classing classing = { .run = run, .class = class, .how = how };
	struct store_pg *s = pg_of(store);
	int err = pg_transaction(s, classify, &classing, "giving a run its class", e);

	if (err < 0)
		return err;
	pg_statements_forget(s);
	verdict_take(run, &classing.verdict);
	return 0;
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
