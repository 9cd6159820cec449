/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * All edges in one array sorted by (from, to, rule), then depth. A graph with a cycle has no order: -EINVAL, with an
 * event on the cycle named. Else fails only without memory.
 *
 * The send of a datagram, or on a unix-domain socket or pipe, can have its place in its process's order from its return, when
 * the answer may have come to another thread already. In process order that would be a cycle. The edges of such sends that are on
 * one are left out, and counted (cycles.c): the order of the processes stays whole.
 */
#include "graph/build.h"
#include "lib/large.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

int build_grow(void **array, size_t *cap, size_t n, size_t size)
{
	size_t cap_new = *cap ? *cap * 2 : 64;
	void *p;

	if (n < *cap)
		return 0;
	p = large_realloc(*array, cap_new, size);
	if (!p)
		return -ENOMEM;
	*array = p;
	*cap = cap_new;
	return 0;
}

int build_edge_add(struct build *b, uint32_t from, uint32_t to, enum graph_rule rule, uint64_t bytes)
{
	if (build_grow((void **)&b->cross, &b->cap_cross, b->n_cross, sizeof(*b->cross)) < 0)
		return -ENOMEM;
	b->cross[b->n_cross++] = (struct graph_edge){ .from = from, .to = to, .rule = rule, .bytes = bytes };
	return 0;
}

/* The vertex after v by thread or process order, NO_VERTEX at the end. */
static uint32_t chain_next(const struct build *b, uint32_t v)
{
	uint32_t rank;

	if (b->g->order == GRAPH_ORDER_THREAD)
		return b->thread_next[v];
	rank = b->rank[b->g->vertices[v].process];
	return rank < b->trace->n_processes && v + 1 < b->floating[rank] ? v + 1 : NO_VERTEX;
}

static void sort_few(struct graph_edge *edges, size_t n)
{
	for (size_t i = 1; i < n; i++) {
		struct graph_edge edge = edges[i];
		size_t k = i;

		for (; k > 0 && (edges[k - 1].to > edge.to ||
				 (edges[k - 1].to == edge.to && edges[k - 1].rule > edge.rule)); k--)
			edges[k] = edges[k - 1];
		edges[k] = edge;
	}
}

static int edge_compare(const void *a, const void *b)
{
	const struct graph_edge *p = a, *q = b;

	if (p->to != q->to)
		return p->to < q->to ? -1 : 1;
	if (p->rule != q->rule)
		return p->rule < q->rule ? -1 : 1;
	return p->bytes < q->bytes ? -1 : p->bytes > q->bytes;
}

static int merge_edges(struct build *b)
{
	struct graph *g = b->g;
	enum graph_rule rule = g->order == GRAPH_ORDER_THREAD ? RULE_THREAD : RULE_PROCESS;
	size_t n = g->n_vertices, n_edges = b->n_cross, end = 0;
	uint32_t *following; /* by cross edge: the next one from the same vertex, + 1 */

	for (uint32_t v = 0; v < n; v++)
		n_edges += chain_next(b, v) != NO_VERTEX;
	if (n_edges >= UINT32_MAX)
		return error_set(b->e, -EINVAL, "this trace makes %zu edges, more than a graph can hold", n_edges);
	b->first_edge = large_calloc(n + 1, sizeof(*b->first_edge));
	g->edges = large_malloc(n_edges + 1, sizeof(*g->edges));
	following = large_malloc(b->n_cross + 1, sizeof(*following));
	if (!b->first_edge || !g->edges || !following) {
		free(following);
		return -ENOMEM;
	}
	g->n_edges = n_edges;
	for (size_t i = b->n_cross; i-- > 0;) { /* until its vertex has its turn, the first cross edge of it, + 1 */
		uint32_t *first = &b->first_edge[b->cross[i].from];

		following[i] = *first;
		*first = i + 1;
	}
	for (uint32_t v = 0; v < n; v++) {
		uint32_t next = chain_next(b, v), cross = b->first_edge[v];
		size_t first = end;

		b->first_edge[v] = first;
		if (next != NO_VERTEX)
			g->edges[end++] = (struct graph_edge){ .from = v, .to = next, .rule = rule };
		for (; cross; cross = following[cross - 1])
			g->edges[end++] = b->cross[cross - 1];
		if (end - first > 16)
			qsort(g->edges + first, end - first, sizeof(*g->edges), edge_compare);
		else
			sort_few(g->edges + first, end - first);
	}
	b->first_edge[n] = end;
	free(following);
	return 0;
}

/* Names a vertex on a cycle: whatever leads to a vertex of the core leads from the core too, so going back ends in one. */
static int report_cycle(struct build *b)
{
	struct graph *g = b->g;
	uint32_t *before = large_malloc(g->n_vertices + 1, sizeof(*before)), v = 0;
	const struct event *event;
	bool *core = NULL;
	char label[256];
	int err = before ? build_core(b, &core) : -ENOMEM;

	if (err < 0) {
		free(before);
		return err;
	}
	for (size_t i = 0; i < g->n_edges; i++)
		if (core[g->edges[i].from])
			before[g->edges[i].to] = g->edges[i].from;
	while (!core[v])
		v++;
	for (size_t i = 0; i < g->n_vertices; i++)
		v = before[v];
	free(before);
	free(core);
	event = build_event(b, v);
	graph_vertex_label(g, v, label, sizeof(label));
	return error_set(b->e, -EINVAL,
			 "%s %s (event %" PRIu32 ", order %" PRIu64 ") would come before itself: this trace is damaged",
			 event_kind_name(event->kind), label, g->vertices[v].event, event->order);
}

/* Kahn's algorithm: depth is the longest path, whatever the order of the queue. -ELOOP: there is a cycle. */
static int measure_depth(struct build *b)
{
	struct graph *g = b->g;
	size_t n = g->n_vertices, head = 0, tail = 0;
	uint32_t *waiting = large_calloc(n + 1, sizeof(*waiting)); /* edges into it that were not followed yet */
	uint32_t *queue = large_malloc(n + 1, sizeof(*queue));
	int err = waiting && queue ? 0 : -ENOMEM;

	if (err)
		goto out;
	for (size_t i = 0; i < g->n_edges; i++)
		waiting[g->edges[i].to]++;
	for (uint32_t v = 0; v < n; v++)
		if (!waiting[v])
			queue[tail++] = v;
	while (head < tail) {
		uint32_t v = queue[head++], depth = g->vertices[v].depth + 1;

		for (uint32_t i = b->first_edge[v]; i < b->first_edge[v + 1]; i++) {
			uint32_t to = g->edges[i].to;

			if (g->vertices[to].depth < depth)
				g->vertices[to].depth = depth;
			if (!--waiting[to])
				queue[tail++] = to;
		}
	}
	if (tail < n)
		err = -ELOOP;
out:
	free(waiting);
	free(queue);
	return err;
}

int build_edges(struct build *b)
{
	int err, dropped;

	for (;;) { /* four times at most: whole, without what a fault hit, without guesses, without all that is late */
		err = merge_edges(b);
		if (!err)
			err = measure_depth(b);
		if (err != -ELOOP)
			return err;
		dropped = build_drop_contradicted(b);
		if (dropped <= 0)
			return dropped < 0 ? dropped : report_cycle(b);
		free(b->g->edges);
		free(b->first_edge);
		b->g->edges = NULL;
		b->first_edge = NULL;
		for (uint32_t v = 0; v < b->g->n_vertices; v++)
			b->g->vertices[v].depth = 0;
	}
}

int build_topological(const struct graph *g, uint32_t *ret_order)
{
	uint32_t *place = large_calloc(g->n_vertices + 2, sizeof(*place));
	size_t n = g->n_vertices;

	if (!place)
		return -ENOMEM;
	for (size_t v = 0; v < n; v++)
		place[g->vertices[v].depth + 1]++;
	for (size_t i = 0; i < n; i++)
		place[i + 1] += place[i];
	for (size_t v = 0; v < n; v++)
		ret_order[place[g->vertices[v].depth]++] = v;
	free(place);
	return 0;
}
