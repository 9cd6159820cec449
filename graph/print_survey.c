/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Causes of endings, origins of threads, and where messages end: one pass over edges and vertices. Fails only without memory. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "graph/build.h"
#include "graph/print_take.h"
#include "lib/large.h"

static int take_init(struct take *t)
{
	size_t n = t->g->n_vertices + 1, n_ends = t->g->trace->n_ends + 1;

	t->at = large_calloc(n, sizeof(*t->at));
	t->cause = large_calloc(n, sizeof(*t->cause));
	t->origin = large_calloc(n, sizeof(*t->origin));
	t->last = large_malloc(t->g->n_messages + 1, sizeof(*t->last));
	t->seen[0] = calloc(n_ends, sizeof(**t->seen));
	t->seen[1] = calloc(n_ends, sizeof(**t->seen));
	if (!t->at || !t->cause || !t->origin || !t->last || !t->seen[0] || !t->seen[1])
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

/* The receive that goes furthest into a message. Nearly all have one only, so that no event need be looked at. */
static void note_receive(struct take *t, const struct graph_edge *edge)
{
	uint32_t *last = &t->last[t->g->vertex_messages[t->g->vertices[edge->from].first_message]];
	const struct event *event, *other;

	if (*last != NO_VERTEX) {
		event = take_event(t, edge->to);
		other = take_event(t, *last);
		if (range_end(event->pos, event->value) < range_end(other->pos, other->value) ||
		    (range_end(event->pos, event->value) == range_end(other->pos, other->value) && edge->to < *last))
			return;
	}
	*last = edge->to;
}

static void note_spawn(struct take *t, const struct graph_edge *edge)
{
	const struct event *from = take_event(t, edge->from);

	if (from->kind == EVENT_SPAWN)
		t->origin[edge->to] = edge->from + 1;
	else if (!(from->flags & EVENT_F_THREAD))
		t->cause[edge->to] = edge->from + 1;
}

static bool is_end(const struct event *event)
{
	return event->kind == EVENT_RECV || event->kind == EVENT_RESET;
}

/* Connections know their two vertices, datagrams their sends. */
static void find_causes(struct take *t)
{
	for (size_t i = 0; i < t->g->n_edges; i++) {
		const struct graph_edge *edge = &t->g->edges[i];

		switch (edge->rule) {
		case RULE_CLOSE:
			t->cause[edge->to] = edge->from + 1;
			break;
		case RULE_FAULT: /* of a connection's end; what else it hit stands where it stands */
			if (is_end(take_event(t, edge->to)))
				t->cause[edge->to] = edge->from + 1;
			break;
		case RULE_SPAWN:
			note_spawn(t, edge);
			break;
		case RULE_MESSAGE:
		case RULE_LOCAL:
		case RULE_PIPE:
			note_receive(t, edge);
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

/* Where messages end. What was received in part only ends, for those who received it, before that. */
int take_reach(struct take *t)
{
	const struct graph *g = t->g;
	bool parts = false;

	if (t->reach)
		return 0;
	t->reach = large_malloc(g->n_messages + 1, sizeof(*t->reach));
	if (!t->reach)
		return -ENOMEM;
	for (size_t i = 0; i < g->n_messages; i++) {
		bool part = g->messages[i].received < g->messages[i].size;

		t->reach[i] = part ? 0 : g->messages[i].end;
		parts |= part;
	}
	for (size_t i = 0; parts && i < g->n_edges; i++) {
		const struct graph_edge *edge = &g->edges[i];
		const struct event *send, *receive;
		uint64_t a, b, *reach;

		if (edge->rule != RULE_MESSAGE && edge->rule != RULE_LOCAL && edge->rule != RULE_PIPE)
			continue;
		reach = &t->reach[g->vertex_messages[g->vertices[edge->from].first_message]];
		send = take_event(t, edge->from);
		receive = take_event(t, edge->to);
		a = range_end(send->pos, send->value);
		b = range_end(receive->pos, receive->value);
		if (*reach < (a < b ? a : b))
			*reach = a < b ? a : b;
	}
	return 0;
}

int take_survey(struct take *t, struct print_run *run)
{
	int err;

	*t = (struct take){ .run = run, .g = run->g };
	err = take_init(t);
	if (!err)
		find_causes(t);
	return err;
}
