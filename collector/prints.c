/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Roles by process, and whether a run is whole. See prints.h. */
#include "collector/prints.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "collector/experiment.h"

/* A run that is not whole is nobody's repeat, and nothing new either. */
static const char *why_not(const struct store_run *row, const struct trace *trace, const struct graph *graph)
{
	if (row->running)
		return "it is still being recorded";
	if (row->incomplete || trace->lost == STORE_UNKNOWN)
		return "the record ends before the run did";
	if (trace->lost)
		return "events were lost";
	if (graph->n_holes)
		return "bytes passed that no event shows";
	if (graph->contradicted)
		return "what was inferred contradicts itself";
	if (row->outcome == OUTCOME_INTERRUPTED)
		return "the run was interrupted";
	if (row->outcome == OUTCOME_ERROR)
		return "the harness could not run it";
	return NULL;
}

/* s1 and its later incarnations s1'2, s1'3. */
static bool is_called(const struct trace_process *process, const char *member)
{
	size_t n = strlen(member);

	return process->name && !strncmp(process->name, member, n) && (!process->name[n] || process->name[n] == '\'');
}

/* Roles of those that the experiment started; names are borrowed from `roles`. */
static const char **roles_by_process(const struct trace *trace, const struct experiment_role *roles, size_t n)
{
	const char **by_process = calloc(trace->n_processes + 1, sizeof(*by_process));

	for (size_t i = 1; by_process && i <= trace->n_processes; i++) {
		if (trace->processes[i].parent)
			continue;
		for (size_t k = 0; k < n; k++)
			for (char **member = roles[k].members; *member; member++)
				if (is_called(&trace->processes[i], *member))
					by_process[i] = roles[k].name;
	}
	return by_process;
}

int prints_make(const struct run *run, const struct store_run *row, const struct graph *graph, struct prints *ret_prints,
		struct error *e)
{
	struct prints prints = { .n_levels = PRINT_LEVEL_COUNT, .why_not = why_not(row, &run->trace, graph) };
	struct experiment_role *roles = NULL;
	const char **by_process = NULL;
	size_t n = 0;
	int err;

	err = sketch_and_prints(graph, row->experiment ? row->experiment : "", prints.own, &prints.sketch);
	if (!err)
		err = experiment_roles_read(row->path ? row->path : "", row->text ? row->text : "", &roles, &n, e);
	prints.has_symmetric = !err;
	memcpy(prints.symmetric, prints.own, sizeof(prints.own));
	if (err == -EINVAL)
		err = 0;
	if (!err && n) {
		by_process = roles_by_process(&run->trace, roles, n);
		err = by_process ? print_levels(graph, by_process, prints.symmetric) : -ENOMEM;
	}
	free(by_process);
	experiment_roles_free(roles, n);
	if (err < 0)
		return error_set(e, err, "no memory for the print of a run of %zu events", graph->n_vertices);
	*ret_prints = prints;
	return 0;
}

int prints_load(struct store *store, uint64_t id, struct prints *ret_prints, struct error *e)
{
	struct graph *graph = NULL;
	struct run *run = NULL;
	int err = run_load(store, id, &run, e);

	if (!err)
		err = graph_build(&run->trace, GRAPH_ORDER_THREAD, &graph, e);
	if (!err)
		err = prints_make(run, run->row, graph, ret_prints, e);
	graph_free(graph);
	run_free(run);
	return err;
}
