/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The graph of both runs: messages, events, edges, holes. Fails only without memory. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "graph/overlay_inside.h"
#include "lib/large.h"

/* By vertex of a run: where it is now. */
static uint32_t vertex_in(const struct layer *layer, uint32_t vertex)
{
	return vertex == NO_VERTEX || layer->at[vertex] == layer->at[vertex + 1] ? NO_VERTEX :
										     layer->moments[layer->at[vertex]].merged;
}

/* 0: there is none. Of a damaged run, id 0 can be one. */
static uint32_t fault_in(const struct laying *l, const struct layer *layer, uint32_t id)
{
	const struct graph_fault *fault = graph_fault_find(layer->g, id);

	return fault ? l->o->graph.faults[layer->fault[fault - layer->g->faults]].id : 0;
}

static void take_message(struct laying *l, unsigned side, uint32_t m)
{
	const struct layer *layer = &l->layers[side];
	struct graph_message *message = &l->o->graph.messages[l->o->graph.n_messages];

	*message = layer->g->messages[m];
	message->connection = layer->connection[message->connection];
	message->send = layer->moments[layer->send[m]].merged;
	message->lost_by = message->lost_by ? fault_in(l, layer, message->lost_by) : 0;
	layer->message[m] = (uint32_t)l->o->graph.n_messages++;
}

/* Of run 1, then what only run 0 has. */
static int make_messages(struct laying *l)
{
	struct layer *before = &l->layers[0], *after = &l->layers[1];
	size_t most = before->g->n_messages + after->g->n_messages;

	l->o->graph.messages = large_calloc(most + 1, sizeof(*l->o->graph.messages));
	if (!l->o->graph.messages)
		return -ENOMEM;
	for (uint32_t m = 0; m < after->g->n_messages; m++) {
		after->message[m] = DIFF_NONE;
		if (after->send[m] != DIFF_NONE)
			take_message(l, 1, m);
	}
	for (uint32_t m = 0; m < before->g->n_messages; m++) {
		uint32_t twin = before->twins->message[m];

		before->message[m] = twin == DIFF_NONE ? DIFF_NONE : after->message[twin];
		if (twin == DIFF_NONE && before->send[m] != DIFF_NONE)
			take_message(l, 0, m);
	}
	return 0;
}

/* As one call did all of it: times count from the beginning of the run. */
static struct event event_in(const struct laying *l, const struct layer *layer, uint32_t vertex)
{
	const struct trace *own = layer->g->trace;
	struct event event = *layer_event(layer, vertex);
	uint64_t begin = layer->begin_ns;

	event.enter_ns = event.enter_ns > begin ? event.enter_ns - begin + 1 : 1;
	event.return_ns = event.return_ns > begin ? event.return_ns - begin + 1 : 1;
	event.process = event.process <= own->n_processes ? layer->process[event.process] : 0;
	event.peer = event.peer <= own->n_processes ? layer->process[event.peer] : 0;
	event.box = event.box <= own->n_boxes ? layer->box[event.box] : 0;
	event.end = event.end && event.end <= own->n_ends ? event.end + layer->first_end : 0;
	event.text = event.text && event.text <= own->n_texts ? event.text + layer->first_text : 0;
	if (event_is_fault(event.kind))
		event.value = fault_in(l, layer, (uint32_t)event.value);
	return event;
}

static void fill_vertex(struct laying *l, uint32_t v)
{
	struct graph *g = &l->o->graph;
	const struct overlay_vertex *own = &l->o->vertices[v];
	unsigned side = own->vertex[1] != DIFF_NONE;
	const struct layer *layer = &l->layers[side];
	const struct graph_vertex *from = &layer->g->vertices[own->vertex[side]];
	struct event *event = &l->o->trace.events[v];
	const struct graph_message *message;

	*event = event_in(l, layer, own->vertex[side]);
	g->vertices[v] = (struct graph_vertex){
		.event = v, .connection = layer->connection[from->connection], .process = layer->process[from->process],
		.first_message = (uint32_t)g->n_vertex_messages, .racy = from->racy,
	};
	if (own->message[side] == DIFF_NONE)
		return;
	message = &layer->g->messages[own->message[side]];
	event->flags &= (uint16_t)~EVENT_F_CONTINUED;
	event->pos = message->pos;
	event->value = (int64_t)(event->kind == EVENT_SEND ? message->size : message->received);
	if (own->side == OVERLAY_GHOST)
		return; /* the message is sent where it is now */
	g->vertices[v].n_messages = 1;
	g->vertex_messages[g->n_vertex_messages++] = layer->message[own->message[side]];
}

static bool is_exit(const struct layer *layer, uint32_t vertex)
{
	const struct event *event = layer_event(layer, vertex);

	return event->kind == EVENT_EXIT && !(event->flags & EVENT_F_THREAD);
}

/* That processes ended after the outcome, as wait and the notes tell: events that are no vertices. */
static int add_exits(struct laying *l)
{
	struct overlay *o = l->o;
	size_t n = o->trace.n_events;

	for (unsigned pass = 0; pass < 2; pass++) {
		struct event *events = pass ? realloc(o->trace.events, (n + 1) * sizeof(*events)) : o->trace.events;

		if (!events)
			return -ENOMEM;
		o->trace.events = events;
		n = o->trace.n_events;
		for (unsigned side = 0; side < 2; side++) {
			const struct layer *layer = &l->layers[side];

			for (uint32_t v = 0; v < layer->g->n_vertices; v++) {
				if (!is_exit(layer, v) || !layer->g->vertices[v].teardown || (!side && !layer_is_alone(layer, v)))
					continue;
				if (pass)
					events[n] = event_in(l, layer, v);
				n++;
			}
		}
	}
	o->trace.n_events = n;
	return 0;
}

static int fill_vertices(struct laying *l)
{
	struct overlay *o = l->o;
	size_t n = l->n_placed;

	o->graph.vertices = large_calloc(n + 1, sizeof(*o->graph.vertices));
	o->graph.vertex_messages = large_calloc(n + 1, sizeof(*o->graph.vertex_messages));
	o->trace.events = large_calloc(n + 1, sizeof(*o->trace.events));
	if (!o->graph.vertices || !o->graph.vertex_messages || !o->trace.events)
		return -ENOMEM;
	o->graph.n_vertices = o->trace.n_events = n;
	for (uint32_t v = 0; v < n; v++)
		fill_vertex(l, v);
	return add_exits(l);
}

/* An edge and the runs that have it: bit 0 and bit 1. */
struct laid_edge {
	struct graph_edge edge;
	unsigned runs;
};

static int edge_compare(const void *a, const void *b)
{
	const struct laid_edge *p = a, *q = b;

	if (p->edge.from != q->edge.from)
		return p->edge.from < q->edge.from ? -1 : 1;
	if (p->edge.to != q->edge.to)
		return p->edge.to < q->edge.to ? -1 : 1;
	if (p->edge.rule != q->edge.rule)
		return p->edge.rule < q->edge.rule ? -1 : 1;
	return p->runs != q->runs ? (p->runs > q->runs ? -1 : 1) : 0; /* run 1 first: what it says of it counts */
}

static bool is_ghostly(const struct layer *layer, uint32_t moment, const struct overlay *o)
{
	uint32_t merged = layer->moments[moment].merged;

	return merged == DIFF_NONE || o->vertices[merged].side == OVERLAY_GHOST;
}

static size_t gather_edges(const struct laying *l, struct laid_edge *edges)
{
	size_t n = 0;

	for (unsigned side = 0; side < 2; side++) {
		const struct layer *layer = &l->layers[side];

		for (size_t i = 0; i < layer->n_edges; i++) {
			const struct moment_edge *e = &layer->edges[i];

			if (e->edge.rule == RULE_THREAD || is_ghostly(layer, e->from, l->o) || is_ghostly(layer, e->to, l->o))
				continue;
			edges[n] = (struct laid_edge){ e->edge, 1u << side };
			edges[n].edge.from = layer->moments[e->from].merged;
			edges[n++].edge.to = layer->moments[e->to].merged;
		}
	}
	return n;
}

/* Between things of both runs, what only run 0 has does not count. */
static enum overlay_side edge_side(const struct overlay *o, const struct laid_edge *e)
{
	enum overlay_side from = o->vertices[e->edge.from].side, to = o->vertices[e->edge.to].side;

	if (e->runs == 1)
		return from == OVERLAY_REMOVED || to == OVERLAY_REMOVED ? OVERLAY_REMOVED : OVERLAY_SIDE_COUNT;
	if (e->runs == 3)
		return OVERLAY_BOTH;
	if (from == OVERLAY_ADDED || to == OVERLAY_ADDED)
		return OVERLAY_ADDED;
	return from == OVERLAY_MOVED || to == OVERLAY_MOVED ? OVERLAY_MOVED : OVERLAY_BOTH;
}

static int make_edges(struct laying *l)
{
	struct overlay *o = l->o;
	size_t most = l->layers[0].n_edges + l->layers[1].n_edges, n;
	struct laid_edge *edges = large_malloc(most + 1, sizeof(*edges));

	o->graph.edges = large_calloc(most + 1, sizeof(*o->graph.edges));
	o->edges = large_calloc(most + 1, sizeof(*o->edges));
	if (!edges || !o->graph.edges || !o->edges) {
		free(edges);
		return -ENOMEM;
	}
	n = gather_edges(l, edges);
	if (n)
		qsort(edges, n, sizeof(*edges), edge_compare);
	for (size_t i = 0, k; i < n; i = k) {
		enum overlay_side side;

		for (k = i + 1; k < n && edges[k].edge.from == edges[i].edge.from && edges[k].edge.to == edges[i].edge.to &&
				edges[k].edge.rule == edges[i].edge.rule;
		     k++)
			edges[i].runs |= edges[k].runs;
		side = edge_side(o, &edges[i]);
		if (side == OVERLAY_SIDE_COUNT)
			continue;
		o->edges[o->graph.n_edges] = side;
		o->graph.edges[o->graph.n_edges++] = edges[i].edge;
	}
	free(edges);
	return 0;
}

struct laid_hole {
	struct graph_hole hole;
	enum overlay_side side;
};

static int hole_compare(const void *a, const void *b)
{
	const struct graph_hole *p = &((const struct laid_hole *)a)->hole, *q = &((const struct laid_hole *)b)->hole;

#define BY(field)                                                                                                   \
	if (p->field != q->field)                                                                                  \
		return p->field < q->field ? -1 : 1
	BY(connection);
	BY(direction);
	BY(receive_side);
	BY(from);
	BY(to);
#undef BY
	return 0;
}

static int make_holes(struct laying *l)
{
	struct overlay *o = l->o;
	size_t n = 0, most = l->layers[0].g->n_holes + l->layers[1].g->n_holes;
	struct laid_hole *holes = calloc(most + 1, sizeof(*holes));

	o->graph.holes = calloc(most + 1, sizeof(*o->graph.holes));
	o->holes = calloc(most + 1, sizeof(*o->holes));
	if (!holes || !o->graph.holes || !o->holes) {
		free(holes);
		return -ENOMEM;
	}
	for (unsigned side = 0; side < 2; side++)
		for (size_t i = 0; i < l->layers[side].g->n_holes; i++) {
			holes[n] = (struct laid_hole){ l->layers[side].g->holes[i], side ? OVERLAY_ADDED : OVERLAY_REMOVED };
			holes[n].hole.connection = l->layers[side].connection[holes[n].hole.connection];
			n++;
		}
	if (n)
		qsort(holes, n, sizeof(*holes), hole_compare);
	for (size_t i = 0; i < n; i++) {
		bool again = i && !hole_compare(&holes[i - 1], &holes[i]);

		if (!again)
			o->graph.holes[o->graph.n_holes++] = holes[i].hole;
		o->holes[o->graph.n_holes - 1] = again ? OVERLAY_BOTH : holes[i].side;
	}
	free(holes);
	return 0;
}

/* Where connections and faults begin. */
static void place_rows(struct laying *l)
{
	struct graph *g = &l->o->graph;

	for (unsigned side = 0; side < 2; side++) {
		const struct layer *layer = &l->layers[side];

		for (uint32_t i = 1; i <= layer->g->n_connections; i++) {
			struct graph_connection *c = &g->connections[layer->connection[i]];

			if (!side && layer->twins->connection[i])
				continue;
			c->connect_vertex = vertex_in(layer, layer->g->connections[i].connect_vertex);
			c->accept_vertex = vertex_in(layer, layer->g->connections[i].accept_vertex);
		}
		for (uint32_t i = 0; i < layer->g->n_faults; i++) {
			struct graph_fault *fault = &g->faults[layer->fault[i]];

			if (!side && l->o->faults[layer->fault[i]].side == OVERLAY_BOTH)
				continue;
			fault->armed = NO_VERTEX;
			fault->fired = vertex_in(layer, layer->g->faults[i].fired);
			fault->ended = vertex_in(layer, layer->g->faults[i].ended);
			fault->call = vertex_in(layer, layer->g->faults[i].call);
		}
	}
}

int overlay_graph(struct laying *l)
{
	int err = make_messages(l);

	if (!err)
		err = fill_vertices(l);
	if (!err)
		err = make_edges(l);
	if (!err)
		err = make_holes(l);
	if (!err)
		place_rows(l);
	return err;
}
