/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Parts of a run as JSON, docs/json.md, written one object after the other: between show_json.c, which puts them together, and the files
 * show_json_*.c. Nobody else includes this.
 */
#ifndef COLLECTOR_SHOW_JSON_H
#define COLLECTOR_SHOW_JSON_H

#include "collector/json.h"
#include "collector/show.h"

/* NULL: it has none. */
static inline const char *show_process_name(const struct trace *trace, uint32_t process)
{
	return process && process <= trace->n_processes ? trace->processes[process].name : NULL;
}

static inline const char *show_box_name(const struct trace *trace, uint32_t box)
{
	return box && box <= trace->n_boxes ? trace->boxes[box].name : NULL;
}

static inline bool show_is_datagram(const struct trace *trace, const struct event *event)
{
	return event->end && event->end <= trace->n_ends && trace->ends[event->end].transport == TRANSPORT_UDP;
}

/* How a process ended: the members `status` and `signal`, null where there is none. */
void show_status_json(json_t *object, const struct show_status *status);

/* show_json_message.c: what was said, and between whom. */
int show_connections_json(const struct graph *graph, struct json_writer *w, struct error *e);
int show_messages_json(const struct graph *graph, struct json_writer *w, struct error *e);
void show_holes_json(const struct graph *graph, struct json_writer *w);

/* show_json_vertex.c: what happened, and what came before what. */
void show_vertices_json(const struct run *run, const struct graph *graph, struct json_writer *w);
void show_edges_json(const struct graph *graph, struct json_writer *w);

#endif
