/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Several agents are told the outcome one after the other, and the first of them stops what it runs at once: what that did
 * to processes of others is teardown too, though their own agents knew nothing yet. Of one agent, time says it all.
 */
#include <errno.h>
#include <stdlib.h>

#include "graph/build.h"
#include "lib/large.h"

static bool has_several_outcomes(const struct trace *trace)
{
	for (size_t i = 2; i <= trace->n_processes; i++)
		if (trace->processes[i].outcome_ns != trace->processes[1].outcome_ns)
			return true;
	return false;
}

static void reach(struct build *b, uint32_t v, uint32_t *queue, size_t *n)
{
	if (v == NO_VERTEX || b->g->vertices[v].teardown)
		return;
	b->g->vertices[v].teardown = true;
	queue[(*n)++] = v;
}

/* Not along the order of a process, which a graph need not have, and in which a call that began long before can be the last. */
int build_teardown(struct build *b)
{
	const struct graph *g = b->g;
	uint32_t *queue;
	size_t n = 0;

	if (!has_several_outcomes(b->trace))
		return 0;
	queue = large_malloc(g->n_vertices + 1, sizeof(*queue));
	if (!queue)
		return -ENOMEM;
	for (uint32_t v = 0; v < g->n_vertices; v++)
		if (g->vertices[v].teardown && build_event(b, v)->kind != EVENT_MARK)
			queue[n++] = v;
	while (n) {
		uint32_t v = queue[--n];

		reach(b, b->thread_next[v], queue, &n);
		for (uint32_t i = b->first_edge[v]; i < b->first_edge[v + 1]; i++)
			if (g->edges[i].rule != RULE_PROCESS)
				reach(b, g->edges[i].to, queue, &n);
	}
	free(queue);
	return 0;
}
