/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What is known of a graph's vertices before they become items, print_survey.c; print_take.c takes them. Private to graph/. */
#ifndef GRAPH_PRINT_TAKE_H
#define GRAPH_PRINT_TAKE_H

#include "graph/print_inside.h"

#define TAKEN (1u << 31) /* in `last`: not a vertex any more, but the item that it became */

struct take {
	struct print_run *run;
	const struct graph *g;
	uint32_t *at;	  /* by vertex: its item + 1, of those that others can link to */
	uint32_t *cause;  /* by vertex: what ended a connection or a child, + 1 */
	uint32_t *origin; /* by vertex: the spawn before a thread's first event, + 1 */
	uint32_t *last;	  /* by message: the receive that returned its last byte, or TAKEN and its item */
	uint64_t *reach;  /* by message: position behind its last byte, of those that were received. NULL: nobody asked yet */
	uint32_t *sorted; /* the messages of one receive */
	size_t n_sorted;
	uint32_t *seen[2]; /* by end: the last thread + 1 that saw its end of file, an error of it */
};

static inline const struct event *take_event(const struct take *t, uint32_t v)
{
	return &t->g->trace->events[t->g->vertices[v].event];
}

/* Vertices are visited in their order, which is not that of events and messages in memory: ask early for what is looked at. */
static inline void take_prefetch(const struct take *t, uint32_t v)
{
	const struct graph *g = t->g;
	const struct graph_message *message;
	const char *event;

	if (v + 48 >= g->n_vertices)
		return;
	if (!g->vertices[v + 48].moved) {
		event = (const char *)&g->trace->events[g->vertices[v + 48].event];
		__builtin_prefetch(event);
		__builtin_prefetch(event + 64);
	}
	if (g->vertices[v + 24].n_messages) {
		message = &g->messages[g->vertex_messages[g->vertices[v + 24].first_message]];
		__builtin_prefetch(&message->received);
		__builtin_prefetch(&message->lost_by);
	}
}

/* Of an exchange of datagrams, which is no connection: neither made nor ended. */
static inline bool take_is_datagram(const struct take *t, uint32_t v)
{
	return t->g->connections[t->g->vertices[v].connection].transport == TRANSPORT_UDP;
}

/* 0 or -ENOMEM; take_fini() in either case. */
int take_survey(struct take *t, struct print_run *run);
/* Fills in `reach`, when it is asked for the first time. 0 or -ENOMEM. */
int take_reach(struct take *t);
void take_fini(struct take *t);

#endif
