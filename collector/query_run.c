/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Everything of a run but its graph: how it ended, its plan and what became of it, its processes. See query.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "collector/query_inside.h"
#include "collector/show.h"

/* A row of fault `id`. receipt NULL: nothing was heard of it. */
static Bop__Api__Fault *fault_row(const struct store_run *run, uint32_t id, const struct fault_receipt *receipt,
				  const char *line, size_t size)
{
	Bop__Api__Fault *row = QUERY_MAKE(fault);
	char *copy = strndup(line, size);
	int err = row && copy ? 0 : -ENOMEM;

	if (!err) {
		row->run = run->id;
		row->dry_run = run->dry_run && id <= run->faults;
		row->live = id > run->faults;
		err = query_text(&row->line, copy);
	}
	if (!err && receipt) {
#define X(field) row->field = receipt->field;
		FAULT_RECEIPT_NUMBERS(X)
#undef X
		err = query_text(&row->why, receipt->why);
	}
	if (!err) {
		row->id = id;
		err = query_text(&row->state, fault_state_name(receipt ? receipt->state : FAULT_STATE_NONE));
	}
	free(copy);
	if (!err)
		return row;
	protobuf_c_message_free_unpacked(row ? &row->base : NULL, NULL);
	return NULL;
}

/* Those of the plan, in its order, also those that nothing was heard of; then those that were injected. */
static int faults_add(const struct query_run *q, Bop__Api__RunInfo *answer)
{
	const struct store_run *row = q->run->row;
	const struct graph *g = q->graph;
	const char *line = row->plan ? row->plan : "";
	int err = 0;

	for (uint32_t id = 1; id <= row->faults && id <= QUERY_LIST_MAX && !err; id++) {
		const struct graph_fault *fault = graph_fault_find(g, id);
		size_t size = strcspn(line, "\n");

		err = query_row_add(&answer->faults, &answer->n_faults,
				    fault_row(row, id, fault ? fault->receipt : NULL, line, size));
		line += size + (line[size] == '\n');
	}
	for (size_t i = 0; i < g->n_faults && answer->n_faults < QUERY_LIST_MAX && !err; i++)
		if (g->faults[i].id > row->faults)
			err = query_row_add(&answer->faults, &answer->n_faults,
					    fault_row(row, g->faults[i].id, g->faults[i].receipt, g->faults[i].text,
						      strlen(g->faults[i].text)));
	return err;
}

static const char *role_word(enum store_role role)
{
	return role == STORE_WORKLOAD ? "workload" : role == STORE_CHECK ? "check" : "process";
}

static int process_add(Bop__Api__RunInfo *answer, const char *name, const char *box, const char *command,
		       const char *role, const struct show_status *status, bool started)
{
	Bop__Api__RunProcess *row = QUERY_MAKE(run_process);
	int err = query_row_add(&answer->processes, &answer->n_processes, row);

	if (err)
		return err;
	row->started = started;
	row->exited = status->exited;
	row->status = status->exited ? status->status : 0;
	return query_text(&row->name, name) || query_text(&row->box, box) || query_text(&row->command, command) ||
			       query_text(&row->role, role) ? -ENOMEM : 0;
}

/* Which program of the experiment has that name; NULL: none. */
static const struct store_process *program_find(const struct run *run, const char *name)
{
	for (size_t i = 0; i < run->n_processes; i++)
		if (run->processes[i].role != STORE_CHECK && !strcmp(run->processes[i].name, name))
			return &run->processes[i];
	return NULL;
}

/* The experiment's programs; then whatever else was traced: what they made, what was started again. */
static int processes_add(const struct query_run *q, Bop__Api__RunInfo *answer, struct error *e)
{
	const struct trace *trace = &q->run->trace;
	struct show_status *statuses = NULL;
	int err = show_statuses(q->run, &statuses, e);

	for (size_t i = 0; i < q->run->n_processes && !err; i++) {
		const struct store_process *p = &q->run->processes[i];

		err = process_add(answer, p->name, p->box, p->command, role_word(p->role),
				  &(struct show_status){ p->exited, p->status }, p->started);
	}
	for (uint32_t i = 1; i <= trace->n_processes && answer->n_processes < QUERY_LIST_MAX && !err; i++) {
		const struct trace_process *p = &trace->processes[i];
		const char *box = p->box && p->box <= trace->n_boxes ? trace->boxes[p->box].name : NULL;

		if (p->name && !program_find(q->run, p->name))
			err = process_add(answer, p->name, box, p->command, p->parent ? "child" : "process",
					  &statuses[i], true);
	}
	free(statuses);
	return err;
}

static int agents_add(const struct run *run, Bop__Api__RunInfo *answer)
{
	int err = 0;

	for (size_t i = 0; i < run->n_agents && !err; i++) {
		Bop__Api__RunAgent *row = QUERY_MAKE(run_agent);

		err = query_row_add(&answer->agents, &answer->n_agents, row);
		if (!err &&
		    (query_text(&row->host, run->agents[i].host) || query_text(&row->kernel, run->agents[i].kernel) ||
		     query_text(&row->backend, run->agents[i].backend)))
			err = -ENOMEM;
	}
	return err;
}

static int check_add(const struct run *run, Bop__Api__RunInfo *answer)
{
	int err = 0;

	for (size_t i = 0; i < run->n_processes && !err; i++)
		if (run->processes[i].role == STORE_CHECK && !answer->check_output.len)
			err = query_bytes(&answer->check_output, run->processes[i].output,
					  run->processes[i].output_size);
	return err;
}

int query_get_run(struct store *store, const Bop__Api__GetRun *ask, Bop__Api__RunInfo *answer, struct error *e)
{
	struct query_run q = { .run = NULL };
	struct prints prints;
	int err = query_run_open(store, ask->run, "", &q, e);
	const struct store_run *row = err ? NULL : q.run->row;

	if (!err)
		err = prints_make(q.run, row, q.graph, &prints, e);
	if (!err && !(answer->row = query_row(row, &prints)))
		err = -ENOMEM;
	if (!err) {
		answer->seed = row->seed;
		answer->dry_run = row->dry_run;
		answer->racy = row->racy;
		err = query_text(&answer->path, row->path) || query_text(&answer->version, row->version) ||
				      query_bytes(&answer->text, row->text, row->text ? strlen(row->text) : 0) ||
				      query_lines_add(&answer->plan, &answer->n_plan, row->plan) ||
				      query_lines_add(&answer->warnings, &answer->n_warnings, row->warnings) ? -ENOMEM : 0;
	}
	if (!err)
		err = faults_add(&q, answer);
	if (!err)
		err = processes_add(&q, answer, e);
	if (!err)
		err = agents_add(q.run, answer);
	if (!err)
		err = check_add(q.run, answer);
	query_run_fini(&q);
	return err;
}
