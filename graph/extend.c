/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * All that is drawn, in one line: causes before effects, and where causes say nothing, by time. So marks ("workload",
 * "outcome") and losses, which have no causes, fall between the things that happened before and after them. Only the
 * place in the picture depends on clocks. Fails only without memory.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "graph/picture.h"

#define BARRIERS_MAX 24 /* marks and losses across the whole picture */

struct extension {
	struct picture *p;
	uint32_t *first_edge; /* by vertex, n + 1 */
	uint32_t *waiting;    /* by vertex: causes that are not placed yet */
	uint32_t *heap, n_heap;
	uint32_t *order, n_order;
	bool chain; /* also keep each process's order, whatever order the graph has */
};

static bool before(const struct extension *x, uint32_t v, uint32_t w)
{
	const struct graph *g = x->p->g;
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
	const struct graph *g = x->p->g;

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
	const struct graph *g = x->p->g;

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

/* First hole of the transfer's direction and side that begins at or behind `to`; n_holes if there is none. */
static size_t hole_behind(const struct graph *g, uint32_t connection, unsigned direction, bool receive_side, uint64_t to)
{
	size_t low = 0, high = g->n_holes;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct graph_hole *h = &g->holes[middle];
		int diff = h->connection != connection ? (h->connection < connection ? -1 : 1) :
			   h->direction != direction   ? (h->direction < direction ? -1 : 1) :
							 h->receive_side - receive_side;

		if (diff < 0 || (diff == 0 && h->from < to))
			low = middle + 1;
		else
			high = middle;
	}
	if (low < g->n_holes && g->holes[low].connection == connection && g->holes[low].direction == direction &&
	    g->holes[low].receive_side == receive_side)
		return low;
	return g->n_holes;
}

/* A hole is drawn behind what came before it on that side: a transfer, else the connect or accept. */
static void anchor_holes(const struct picture *p, uint32_t *anchors)
{
	const struct graph *g = p->g;

	for (size_t i = 0; i < g->n_holes; i++) {
		const struct graph_connection *c = &g->connections[g->holes[i].connection];

		anchors[i] = g->holes[i].receive_side == g->holes[i].direction ? c->connect_vertex : c->accept_vertex;
	}
	for (uint32_t v = 0; v < g->n_vertices && g->n_holes; v++) {
		const struct event *event = &g->trace->events[g->vertices[v].event];
		const struct graph_connection *c = &g->connections[g->vertices[v].connection];
		bool receive = event->kind == EVENT_RECV;
		uint64_t to = range_end(event->pos, event->value);
		size_t hole;

		if (!g->vertices[v].connection || (event->kind != EVENT_SEND && !receive) || event->value <= 0)
			continue;
		hole = hole_behind(g, g->vertices[v].connection, (c->connector == event->end) == receive, receive, to);
		if (hole < g->n_holes && g->holes[hole].from == to)
			anchors[hole] = v;
	}
}

static uint32_t hole_lane(const struct picture *p, const struct graph_hole *hole)
{
	const struct graph_connection *c = &p->g->connections[hole->connection];
	bool connector_side = hole->receive_side == hole->direction;
	uint32_t process = connector_side ? p->g->trace->ends[c->connector].process : c->acceptor_process;

	return process <= p->g->trace->n_processes ? p->lane_of[process] : NO_LANE;
}

static void add_hole(struct picture *p, size_t hole)
{
	uint32_t lane = hole_lane(p, &p->g->holes[hole]);

	p->items[p->n_items++] = (struct item){
		.vertex = NO_VERTEX, .hole = hole, .lane = lane == NO_LANE ? ALL_LANES : lane,
	};
}

static void add_vertex(struct picture *p, uint32_t v, size_t *n_barriers)
{
	const struct graph *g = p->g;
	uint32_t lane = p->lane_of[g->vertices[v].process];
	unsigned kind = g->trace->events[g->vertices[v].event].kind;

	p->place[v] = NO_NODE;
	if (!p->options->teardown && g->vertices[v].teardown && kind != EVENT_LOST) {
		p->n_omitted++;
		return;
	}
	if (lane == NO_LANE) {
		if ((kind != EVENT_MARK && kind != EVENT_LOST) || (*n_barriers)++ >= BARRIERS_MAX)
			return;
		lane = ALL_LANES;
	}
	p->place[v] = p->n_items;
	p->items[p->n_items++] = (struct item){ .vertex = v, .lane = lane };
}

/* Everything in its place; holes that follow one event keep their own order. */
static int place_items(struct picture *p, const uint32_t *order)
{
	const struct graph *g = p->g;
	uint32_t *anchors = malloc((g->n_holes + 1) * sizeof(*anchors));
	uint32_t *first = malloc((g->n_vertices + 1) * sizeof(*first)), *next = malloc((g->n_holes + 1) * sizeof(*next));
	size_t n_barriers = 0;
	int err = -ENOMEM;

	p->items = malloc((g->n_vertices + g->n_holes + 1) * sizeof(*p->items));
	p->place = malloc((g->n_vertices + 1) * sizeof(*p->place));
	if (!anchors || !first || !next || !p->items || !p->place)
		goto out;
	anchor_holes(p, anchors);
	for (size_t v = 0; v < g->n_vertices; v++)
		first[v] = NO_VERTEX;
	for (size_t i = g->n_holes; i-- > 0;) {
		if (anchors[i] == NO_VERTEX)
			continue;
		next[i] = first[anchors[i]];
		first[anchors[i]] = i;
	}
	for (size_t i = 0; i < g->n_holes; i++)
		if (anchors[i] == NO_VERTEX)
			add_hole(p, i);
	for (size_t i = 0; i < g->n_vertices; i++) {
		add_vertex(p, order[i], &n_barriers);
		for (uint32_t hole = first[order[i]]; hole != NO_VERTEX; hole = next[hole])
			add_hole(p, hole);
	}
	err = 0;
out:
	free(anchors);
	free(first);
	free(next);
	return err;
}

int picture_extend(struct picture *p)
{
	const struct graph *g = p->g;
	struct extension x = { .p = p, .chain = true };
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
	err = place_items(p, x.order);
out:
	free(x.first_edge);
	free(x.waiting);
	free(x.heap);
	free(x.order);
	return err;
}
