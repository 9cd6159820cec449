/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Causes of endings, origins of threads, and where messages end: one pass over edges and vertices. Fails only without memory. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "graph/build.h"
#include "graph/print_take.h"

static int take_init(struct take *t)
{
	size_t n = t->g->n_vertices + 1, n_ends = t->g->trace->n_ends + 1;

	t->at = calloc(n, sizeof(*t->at));
	t->cause = calloc(n, sizeof(*t->cause));
	t->origin = calloc(n, sizeof(*t->origin));
	t->last = malloc((t->g->n_messages + 1) * sizeof(*t->last));
	t->reach = calloc(t->g->n_messages + 1, sizeof(*t->reach));
	t->seen[0] = calloc(n_ends, sizeof(**t->seen));
	t->seen[1] = calloc(n_ends, sizeof(**t->seen));
	if (!t->at || !t->cause || !t->origin || !t->last || !t->reach || !t->seen[0] || !t->seen[1])
		return -ENOMEM;
	memset(t->last, 0xff, (t->g->n_messages + 1) * sizeof(*t->last));
	return 0;
}

void take_fini(struct take *t)
{
	free(t->at);
	free(t->cause);
	free(t->origin);
	free(t->last);
	free(t->reach);
	free(t->sorted);
	free(t->seen[0]);
	free(t->seen[1]);
}

/* A message of which only a part was received reaches as far as that. */
static void note_part(struct take *t, const struct graph_edge *edge)
{
	const struct event *send = take_event(t, edge->from), *receive = take_event(t, edge->to);
	uint32_t message = t->g->vertex_messages[t->g->vertices[edge->from].first_message];
	uint64_t a = range_end(send->pos, send->value), b = range_end(receive->pos, receive->value);

	if (t->g->messages[message].received < t->g->messages[message].size && t->reach[message] < (a < b ? a : b))
		t->reach[message] = a < b ? a : b;
}

/* Whole messages are find_last()'s; connections know their two vertices. */
static void find_causes(struct take *t)
{
	for (size_t i = 0; i < t->g->n_edges; i++) {
		const struct graph_edge *edge = &t->g->edges[i];
		const struct event *from;

		switch (edge->rule) {
		case RULE_CLOSE:
			t->cause[edge->to] = edge->from + 1;
			break;
		case RULE_SPAWN:
			from = take_event(t, edge->from);
			if (from->kind == EVENT_SPAWN)
				t->origin[edge->to] = edge->from + 1;
			else if (!(from->flags & EVENT_F_THREAD))
				t->cause[edge->to] = edge->from + 1;
			break;
		case RULE_MESSAGE:
		case RULE_LOCAL:
		case RULE_PIPE:
			note_part(t, edge);
			break;
		case RULE_THREAD:
		case RULE_PROCESS:
		case RULE_CONNECT:
		case RULE_DATAGRAM:
		case RULE_COUNT:
			break;
		}
	}
}

static void note_end(struct take *t, const struct graph_vertex *vertex, const struct event *event)
{
	uint32_t message = t->g->vertex_messages[vertex->first_message];
	uint64_t end = range_end(event->pos, event->value);

	if (t->g->messages[message].received >= t->g->messages[message].size && t->reach[message] < end)
		t->reach[message] = end;
}

/* The receive that goes furthest into a message, and where a whole message ends. */
static void find_last(struct take *t)
{
	const struct graph *g = t->g;

	for (uint32_t v = 0; v < g->n_vertices; v++) {
		const struct graph_vertex *vertex = &g->vertices[v];
		const struct event *event, *other;

		if (!vertex->n_messages || take_is_datagram(t, v)) /* datagrams have no positions */
			continue;
		event = take_event(t, v);
		if (event->kind != EVENT_RECV) {
			note_end(t, vertex, event);
			continue;
		}
		for (uint32_t i = 0; i < vertex->n_messages; i++) {
			uint32_t *last = &t->last[g->vertex_messages[vertex->first_message + i]];

			if (*last != NO_VERTEX) {
				other = take_event(t, *last);
				if (range_end(event->pos, event->value) < range_end(other->pos, other->value))
					continue;
			}
			*last = v;
		}
	}
}

int take_survey(struct take *t, struct print_run *run)
{
	int err;

	*t = (struct take){ .run = run, .g = run->g };
	err = take_init(t);
	if (!err) {
		find_causes(t);
		find_last(t);
	}
	return err;
}
