/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * All that is drawn, in one line: events in their topological order (linear.c, overlay_line.c), holes behind what came
 * before them.
 * Fails only without memory.
 */
#include <errno.h>
#include <stdlib.h>

#include "graph/picture.h"

#define BARRIERS_MAX 24 /* marks and losses across the whole picture */

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

/* That a fault waits stands above the picture; that one which never acted is over says nothing. */
static bool is_drawn(const struct graph *g, const struct event *event)
{
	return event->kind == EVENT_FIRED ||
	       (event->kind != EVENT_ARMED && graph_fault_find(g, (uint32_t)event->value)->acts);
}

static void add_vertex(struct picture *p, uint32_t v, size_t *n_barriers)
{
	const struct graph *g = p->g;
	uint32_t lane = p->lane_of[g->vertices[v].process];
	const struct event *event = &g->trace->events[g->vertices[v].event];
	unsigned kind = event->kind;

	p->place[v] = NO_NODE;
	/* where the process has one order, how its threads begin and end says nothing */
	if (g->order == GRAPH_ORDER_PROCESS && (event->flags & EVENT_F_THREAD) &&
	    (event->kind == EVENT_SPAWN || event->kind == EVENT_EXIT))
		return;
	if (!p->options->teardown && g->vertices[v].teardown && kind != EVENT_LOST) {
		p->n_omitted++;
		return;
	}
	if (event_is_fault(kind) && !is_drawn(g, event))
		return;
	if (lane == NO_LANE) {
		if ((kind != EVENT_MARK && kind != EVENT_LOST && !event_is_fault(kind)) ||
		    (*n_barriers)++ >= BARRIERS_MAX)
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
	uint32_t *order = NULL;
	int err = p->overlay ? 0 : graph_topological(p->g, &order);

	if (!err)
		err = place_items(p, p->overlay ? p->overlay->line : order);
	free(order);
	return err;
}
