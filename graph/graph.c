/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Builds and frees a graph; build.h lists the steps. */
#include "graph/build.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

const char *graph_rule_name(enum graph_rule rule)
{
	static const char *const names[RULE_COUNT] = {
#define X(NAME, name, text) [RULE_##NAME] = #name,
		GRAPH_RULES(X)
#undef X
	};

	return (unsigned)rule < RULE_COUNT ? names[rule] : "?";
}

static void build_fini(struct build *b)
{
	free(b->rank);
	free(b->process_at);
	free(b->lane);
	free(b->floating);
	free(b->pairs);
	free(b->ends);
	free(b->chains);
	free(b->thread_next);
	free(b->moved);
	free(b->sends.items);
	free(b->sends.first);
	free(b->receives.items);
	free(b->receives.first);
	free(b->cross);
	free(b->first_edge);
	free(b->process_racy);
	for (size_t i = 0; b->lines && b->g && i < b->g->n_faults; i++)
		fault_fini(&b->lines[i]);
	free(b->lines);
	free(b->fault_vertices);
}

void graph_free(struct graph *graph)
{
	if (!graph)
		return;
	for (size_t i = 1; graph->connections && i <= graph->n_connections; i++)
		free(graph->connections[i].label);
	free(graph->vertices);
	free(graph->edges);
	free(graph->connections);
	free(graph->messages);
	free(graph->holes);
	free(graph->vertex_messages);
	free(graph->faults);
	free(graph->process_threads);
	free(graph->contents);
	free(graph);
}

int graph_build(const struct trace *trace, enum graph_order order, struct graph **ret_graph, struct error *e)
{
	static int (*const steps[])(struct build *b) = {
		build_canon, build_ends, build_chains, build_rules, build_streams,
		build_datagrams, build_losses, build_edges, build_teardown, build_racy, build_contents,
	};
	struct build b = { .trace = trace, .e = e };
	int err = 0;

	if (trace->n_events >= UINT32_MAX / 2 || trace->n_processes >= UINT32_MAX / 2 ||
	    trace->n_ends >= UINT32_MAX / 2)
		return error_set(e, -EINVAL, "%zu events are more than a graph can hold", trace->n_events);
	b.g = calloc(1, sizeof(*b.g));
	if (!b.g)
		return error_set(e, -ENOMEM, "no memory for a graph of %zu events", trace->n_events);
	b.g->trace = trace;
	b.g->order = order;
	for (size_t i = 0; i < sizeof(steps) / sizeof(*steps) && !err; i++)
		err = steps[i](&b);
	build_fini(&b);
	if (err == -ENOMEM)
		error_set(e, err, "no memory for a graph of %zu events", trace->n_events);
	if (err < 0) {
		graph_free(b.g);
		return err;
	}
	*ret_graph = b.g;
	return 0;
}
