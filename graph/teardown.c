/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Several agents are told the outcome one after the other, and the first of them stops what it runs at once: what that did
 * to processes of others, and all that these do from then on, is teardown too, though their own agents knew nothing yet. Of
 * one agent, time says it all.
 */
#include <errno.h>
#include <stdlib.h>

#include "graph/build.h"
#include "lib/large.h"

static void reach(struct build *b, uint32_t v, uint32_t *queue, size_t *n)
{
	if (v == NO_VERTEX || b->g->vertices[v].teardown)
		return;
	b->g->vertices[v].teardown = true;
	queue[(*n)++] = v;
}

static void reach_caused(struct build *b, uint32_t v, uint32_t *queue, size_t *n)
{
	reach(b, b->thread_next[v], queue, n);
	for (uint32_t i = b->first_edge[v]; i < b->first_edge[v + 1]; i++)
		if (b->g->edges[i].rule != RULE_PROCESS)
			reach(b, b->g->edges[i].to, queue, n);
}

/* All that the process of v did after v. closed: by rank, from where on that was said before. */
static void reach_rest(struct build *b, uint32_t v, uint32_t *closed, uint32_t *queue, size_t *n)
{
	uint32_t rank = b->rank[b->g->vertices[v].process];

	if (rank == b->trace->n_processes)
		return;
	for (uint32_t w = v + 1; w < closed[rank]; w++)
		reach(b, w, queue, n);
	if (v < closed[rank])
		closed[rank] = v;
}

int build_teardown(struct build *b)
{
	const struct graph *g = b->g;
	uint32_t *queue, *closed;
	size_t n = 0;

	if (!b->trace->n_outcomes)
		return 0;
	queue = large_malloc(g->n_vertices + 1, sizeof(*queue));
	closed = malloc((b->trace->n_processes + 1) * sizeof(*closed));
	if (!queue || !closed) {
		free(queue);
		free(closed);
		return -ENOMEM;
	}
	memcpy(closed, b->floating, (b->trace->n_processes + 1) * sizeof(*closed));
	for (uint32_t v = 0; v < g->n_vertices; v++)
		if (g->vertices[v].teardown && build_event(b, v)->kind != EVENT_MARK)
			reach_caused(b, v, queue, &n);
	while (n) {
		uint32_t v = queue[--n];

		reach_caused(b, v, queue, &n);
		reach_rest(b, v, closed, queue, &n);
	}
	free(queue);
	free(closed);
	return 0;
}
