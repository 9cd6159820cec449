/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What the steps of overlay_new() share. Private to graph/.
 *
 *   overlay_tables.c   processes, boxes, ends, texts, connections and faults of both runs in one table each
 *   overlay_moments.c  what is taken of each run, and what orders it
 *   overlay_track.c    the line of one run
 *   overlay_line.c     pairs become one, and all stand in one line, causes first; forest.c knows who waits for whom
 *   overlay_vertices.c which of them are vertices, and of which side
 *   overlay_graph.c    messages, events, edges, holes
 *   overlay_notes.c    where each change shows
 */
#ifndef GRAPH_OVERLAY_INSIDE_H
#define GRAPH_OVERLAY_INSIDE_H

#include "graph/build.h"
#include "graph/overlay.h"

/* What becomes a vertex: an event, or one message of it. */
struct moment {
	uint32_t vertex, message; /* of its run; message: DIFF_NONE */
	uint32_t twin;		  /* moment of the other run that is the same; DIFF_NONE */
	uint32_t merged;	  /* vertex of the overlay; DIFF_NONE: left out */
	uint32_t moved;		  /* as in struct diff_pair; UINT32_MAX: another contradiction made it so; 0: it stays */
};

struct moment_edge {
	uint32_t from, to; /* moments */
	struct graph_edge edge; /* of the run; rule THREAD: it only orders */
};

/* One of the runs, and where its things are in the tables of both. */
struct layer {
	const struct graph *g;
	const struct diff_twins *twins;
	uint64_t begin_ns;
	uint32_t *process, *box, *connection, *fault; /* by index; fault: by place in g->faults */
	uint32_t *message;		      /* by index; DIFF_NONE: none */
	uint32_t first_end, first_text;	      /* what is added to an index */
	struct moment *moments;		      /* by vertex */
	uint32_t *at;			      /* by vertex, and one more: its first moment */
	uint32_t *send, *receive;	      /* by message: its moment; DIFF_NONE */
	struct moment_edge *edges;
	size_t n_moments, n_edges, cap_edges;
};

struct laying {
	struct overlay *o;
	const struct diff *diff;
	struct layer layers[2];
	struct placed {
		uint32_t moment[2];
	} *placed; /* the line */
	size_t n_placed;
};

/* The steps. All return 0 or -ENOMEM. */
int overlay_tables(struct laying *l);
int overlay_moments(struct laying *l);
int overlay_line(struct laying *l);
int overlay_vertices(struct laying *l);
int overlay_graph(struct laying *l);
int overlay_notes(struct laying *l);

static inline const struct event *layer_event(const struct layer *layer, uint32_t vertex)
{
	return &layer->g->trace->events[layer->g->vertices[vertex].event];
}

static inline const struct event *moment_event(const struct layer *layer, uint32_t moment)
{
	return layer_event(layer, layer->moments[moment].vertex);
}

/* Has the other run neither the process nor the connection? Of the kernel and the harness it has. */
static inline bool layer_is_alone(const struct layer *layer, uint32_t vertex)
{
	const struct graph_vertex *v = &layer->g->vertices[vertex];

	return (v->process && !layer->twins->process[v->process]) || (v->connection && !layer->twins->connection[v->connection]);
}

/* A child that the other run has not is made, or waited for. */
static inline bool layer_makes_alone(const struct layer *layer, uint32_t vertex)
{
	const struct event *event = layer_event(layer, vertex);

	return (event->kind == EVENT_SPAWN || event->kind == EVENT_WAIT) && event->peer &&
	       event->peer <= layer->g->trace->n_processes && !layer->twins->process[event->peer];
}

/* The connect or the accept of a connection. */
static inline bool layer_opens(const struct layer *layer, uint32_t vertex)
{
	const struct graph_connection *c = &layer->g->connections[layer->g->vertices[vertex].connection];

	return layer->g->vertices[vertex].connection && (c->connect_vertex == vertex || c->accept_vertex == vertex);
}

#endif
