/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * All vertices in one line: causes before effects, and where causes say nothing, by time. So marks ("workload", "outcome")
 * and losses, which have no causes, fall between the things that happened before and after them. Only for looking at: no
 * edge depends on it. Linear but for the queue of what could come next. Fails only without memory, or if there is a cycle.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "graph/build.h"

struct extension {
	const struct graph *g;
	uint32_t *first_edge; /* by vertex, n + 1 */
	uint32_t *waiting;    /* by vertex: causes that are not placed yet */
	uint32_t *heap, n_heap;
	uint32_t *order, n_order;
	bool chain; /* also keep each process's order, whatever order the graph has */
};

static bool before(const struct extension *x, uint32_t v, uint32_t w)
{
	const struct graph *g = x->g;
	uint64_t a = event_time(&g->trace->events[g->vertices[v].event]);
	uint64_t b = event_time(&g->trace->events[g->vertices[w].event]);

	return a != b ? a < b : v < w;
}

static void heap_push(struct extension *x, uint32_t v)
{
	uint32_t i = x->n_heap++;

	for (; i && before(x, v, x->heap[(i - 1) / 2]); i = (i - 1) / 2)
		x->heap[i] = x->heap[(i - 1) / 2];
	x->heap[i] = v;
}

static uint32_t heap_pop(struct extension *x)
{
	uint32_t top = x->heap[0], last = x->heap[--x->n_heap], i = 0, child;

	while ((child = 2 * i + 1) < x->n_heap) {
		if (child + 1 < x->n_heap && before(x, x->heap[child + 1], x->heap[child]))
			child++;
		if (!before(x, x->heap[child], last))
			break;
		x->heap[i] = x->heap[child];
		i = child;
	}
	x->heap[i] = last;
	return top;
}

/* The next event of the process; vertices of a process are numbered in its order. */
static uint32_t chain_next(const struct extension *x, uint32_t v)
{
	const struct graph *g = x->g;

	if (!x->chain || v + 1 >= g->n_vertices || g->vertices[v].process != g->vertices[v + 1].process ||
	    event_floats(&g->trace->events[g->vertices[v].event]) ||
	    event_floats(&g->trace->events[g->vertices[v + 1].event]))
		return NO_VERTEX;
	return v + 1;
}

static void release(struct extension *x, uint32_t v)
{
	if (!--x->waiting[v])
		heap_push(x, v);
}

static void extend(struct extension *x)
{
	const struct graph *g = x->g;

	x->n_heap = x->n_order = 0;
	memset(x->waiting, 0, (g->n_vertices + 1) * sizeof(*x->waiting));
	for (size_t i = 0; i < g->n_edges; i++)
		x->waiting[g->edges[i].to]++;
	for (uint32_t v = 0; v < g->n_vertices; v++)
		if (chain_next(x, v) != NO_VERTEX)
			x->waiting[v + 1]++;
	for (uint32_t v = 0; v < g->n_vertices; v++)
		if (!x->waiting[v])
			heap_push(x, v);
	while (x->n_heap) {
		uint32_t v = heap_pop(x);

		x->order[x->n_order++] = v;
		for (uint32_t i = x->first_edge[v]; i < x->first_edge[v + 1]; i++)
			release(x, g->edges[i].to);
		if (chain_next(x, v) != NO_VERTEX)
			release(x, v + 1);
	}
}

int graph_topological(const struct graph *g, uint32_t **ret_order)
{
	struct extension x = { .g = g, .chain = true };
	int err = -ENOMEM;

	x.first_edge = calloc(g->n_vertices + 2, sizeof(*x.first_edge));
	x.waiting = malloc((g->n_vertices + 1) * sizeof(*x.waiting));
	x.heap = malloc((g->n_vertices + 1) * sizeof(*x.heap));
	x.order = malloc((g->n_vertices + 1) * sizeof(*x.order));
	if (!x.first_edge || !x.waiting || !x.heap || !x.order)
		goto out;
	for (size_t i = 0; i < g->n_edges; i++)
		x.first_edge[g->edges[i].from + 1]++;
	for (size_t v = 0; v < g->n_vertices; v++)
		x.first_edge[v + 1] += x.first_edge[v];
	extend(&x);
	if (x.n_order < g->n_vertices) { /* a damaged trace: process orders contradict the messages */
		x.chain = false;
		extend(&x);
	}
	err = x.n_order < g->n_vertices ? -EINVAL : 0;
	if (!err) {
		*ret_order = x.order;
		x.order = NULL;
	}
out:
	free(x.first_edge);
	free(x.waiting);
	free(x.heap);
	free(x.order);
	return err;
}
