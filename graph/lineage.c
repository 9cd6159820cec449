/* SPDX-License-Identifier: GPL-3.0-or-later */
/* See lineage.h. Fails only without memory. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "graph/lineage_inside.h"
#include "lib/large.h"

/* Edges by where they lead: a count, then a place for each. */
static int before_make(struct lineage *l)
{
	const struct graph *g = l->graph;
	uint32_t *place;

	l->first_before = large_calloc(g->n_vertices + 2, sizeof(*place));
	l->before = large_malloc(g->n_edges + 1, sizeof(*place));
	if (!l->first_before || !l->before)
		return -ENOMEM;
	place = l->first_before + 1; /* becomes the ends, which are the beginnings of the next */
	for (size_t i = 0; i < g->n_edges; i++)
		if (g->edges[i].rule != RULE_FAULT)
			place[g->edges[i].to + 1]++;
	for (size_t v = 0; v < g->n_vertices; v++)
		place[v + 1] += place[v];
	for (size_t i = 0; i < g->n_edges; i++)
		if (g->edges[i].rule != RULE_FAULT)
			l->before[place[g->edges[i].to]++] = (uint32_t)i;
	return 0;
}

static bool is_receive(const struct graph *g, uint32_t v)
{
	return g->trace->events[g->vertices[v].event].kind == EVENT_RECV;
}

static int receives_make(struct lineage *l)
{
	const struct graph *g = l->graph;
	uint32_t *place;

	l->first_receive = large_calloc(g->n_messages + 2, sizeof(*place));
	l->receives = large_malloc(g->n_vertex_messages + 1, sizeof(*place));
	if (!l->first_receive || !l->receives)
		return -ENOMEM;
	place = l->first_receive + 1;
	for (uint32_t v = 0; v < g->n_vertices; v++)
		for (uint32_t i = 0; i < g->vertices[v].n_messages && is_receive(g, v); i++)
			place[g->vertex_messages[g->vertices[v].first_message + i] + 1]++;
	for (size_t m = 0; m < g->n_messages; m++)
		place[m + 1] += place[m];
	for (uint32_t v = 0; v < g->n_vertices; v++)
		for (uint32_t i = 0; i < g->vertices[v].n_messages && is_receive(g, v); i++)
			l->receives[place[g->vertex_messages[g->vertices[v].first_message + i]]++] = v;
	return 0;
}

int lineage_new(const struct graph *graph, struct lineage **ret_lineage)
{
	struct lineage *l = calloc(1, sizeof(*l));
	int err = -ENOMEM;

	if (!l)
		return err;
	l->graph = graph;
	err = before_make(l);
	if (!err)
		err = receives_make(l);
	if (err)
		lineage_free(l);
	else
		*ret_lineage = l;
	return err;
}

void lineage_free(struct lineage *l)
{
	if (!l)
		return;
	lineage_names_free(l);
	free(l->first_before);
	free(l->before);
	free(l->first_receive);
	free(l->receives);
	free(l);
}

const uint32_t *lineage_receives(const struct lineage *l, uint32_t message, size_t *ret_n)
{
	*ret_n = l->first_receive[message + 1] - l->first_receive[message];
	return l->receives + l->first_receive[message];
}

uint32_t lineage_first_receive(const struct lineage *l, uint32_t message)
{
	const struct graph *g = l->graph;
	const struct graph_message *m = &g->messages[message];
	size_t n;
	const uint32_t *receives = lineage_receives(l, message, &n);

	for (size_t i = 0; i < n && g->connections[m->connection].transport != TRANSPORT_UDP; i++) {
		const struct event *event = &g->trace->events[g->vertices[receives[i]].event];

		if (event->pos <= m->pos && event->value > 0 && m->pos - event->pos < (uint64_t)event->value)
			return receives[i];
	}
	return n ? receives[0] : LINEAGE_NONE;
}

uint32_t lineage_sender(const struct lineage *l, uint32_t message)
{
	return l->graph->vertices[l->graph->messages[message].send].process;
}

uint32_t lineage_receiver(const struct lineage *l, uint32_t message)
{
	const struct graph *g = l->graph;
	const struct graph_message *m = &g->messages[message];
	const struct graph_connection *c = &g->connections[m->connection];
	uint32_t receive = lineage_first_receive(l, message);

	if (receive != LINEAGE_NONE)
		return g->vertices[receive].process;
	return m->direction ? graph_connection_process(g->trace, c) : c->acceptor_process;
}

/* The fate of a vertex is decided when it is taken from the stack; those on it are marked already. */
static void go_back(const struct lineage *l, bool *past, uint32_t *stack, size_t n)
{
	while (n) {
		uint32_t v = stack[--n];

		for (uint32_t i = l->first_before[v]; i < l->first_before[v + 1]; i++) {
			uint32_t from = l->graph->edges[l->before[i]].from;

			if (!past[from]) {
				past[from] = true;
				stack[n++] = from;
			}
		}
	}
}

int lineage_past(const struct lineage *l, uint32_t vertex, bool **ret_past)
{
	const struct graph *g = l->graph;
	bool *past = calloc(g->n_vertices + 1, sizeof(*past));
	uint32_t *stack = large_malloc(g->n_vertices + 1, sizeof(*stack));
	size_t n = 0;

	if (!past || !stack) {
		free(past);
		free(stack);
		return -ENOMEM;
	}
	for (uint32_t v = 0; v < g->n_vertices; v++)
		if (vertex == LINEAGE_NONE ? !g->vertices[v].teardown : v == vertex) {
			past[v] = true;
			stack[n++] = v;
		}
	go_back(l, past, stack, n);
	free(stack);
	*ret_past = past;
	return 0;
}

bool lineage_received(const struct lineage *l, const bool *past, uint32_t message)
{
	size_t n;
	const uint32_t *receives = lineage_receives(l, message, &n);

	for (size_t i = 0; i < n; i++)
		if (past[receives[i]])
			return true;
	return false;
}

bool lineage_supports(const struct lineage *l, const bool *past, uint32_t message)
{
	uint32_t from = lineage_sender(l, message), to = lineage_receiver(l, message);

	return from && to && from != to && lineage_received(l, past, message);
}

/* What lineage_times() works with. */
struct clocks {
	const struct lineage *l;
	struct lineage_time *times;
	uint64_t *clock; /* by vertex: of its process behind it */
	uint32_t *pair;	 /* by message: number of (sender, receiver) */
	uint64_t *last;	 /* by that number: time of the last message, 0 none */
};

/* Numbers the pairs of sender and receiver; a receiver that is not known is another one on each connection. */
static int pairs_make(struct clocks *c)
{
	const struct graph *g = c->l->graph;
	struct pair *pairs = large_malloc(g->n_messages + 1, sizeof(*pairs)), *spare = NULL;
	size_t n_spare = 0;
	uint32_t number = 0;
	int err;

	c->pair = large_malloc(g->n_messages + 1, sizeof(*c->pair));
	c->last = large_calloc(g->n_messages + 1, sizeof(*c->last));
	if (!pairs || !c->pair || !c->last) {
		free(pairs);
		return -ENOMEM;
	}
	for (uint32_t m = 0; m < g->n_messages; m++) {
		uint32_t to = lineage_receiver(c->l, m);

		pairs[m] = (struct pair){ .key = (uint64_t)lineage_sender(c->l, m) << 32 |
						 (to ? to : UINT32_MAX - g->messages[m].connection),
					  .value = m };
	}
	err = pairs_sort(pairs, g->n_messages, &spare, &n_spare);
	for (size_t i = 0; i < g->n_messages && !err; i++) {
		number += i && pairs[i].key != pairs[i - 1].key;
		c->pair[pairs[i].value] = number;
	}
	free(spare);
	free(pairs);
	return err;
}

/* The message that a send begins or continues; LINEAGE_NONE: none is known. */
static uint32_t message_of(const struct graph *g, uint32_t v)
{
	return g->vertices[v].n_messages ? g->vertex_messages[g->vertices[v].first_message] : LINEAGE_NONE;
}

static void clock_set(struct clocks *c, uint32_t v)
{
	const struct lineage *l = c->l;
	const struct graph *g = l->graph;
	uint64_t clock = 1, *last;
	uint32_t m;

	for (uint32_t i = l->first_before[v]; i < l->first_before[v + 1]; i++) {
		const struct graph_edge *edge = &g->edges[l->before[i]];

		m = graph_rule_carries(edge->rule) ? message_of(g, edge->from) : LINEAGE_NONE;
		if (m != LINEAGE_NONE && clock < c->times[m].sent + 1)
			clock = c->times[m].sent + 1;
		if (clock <
		    c->clock[edge->from]) /* of a send that continues another one, more may have been before it */
			clock = c->clock[edge->from];
	}
	m = is_receive(g, v) ? LINEAGE_NONE : message_of(g, v);
	if (m != LINEAGE_NONE && g->messages[m].send == v) {
		last = &c->last[c->pair[m]];
		if (clock <= *last)
			clock = *last + 1;
		*last = c->times[m].sent = clock;
	}
	c->clock[v] = clock;
}

int lineage_times(const struct lineage *l, struct lineage_time **ret_times)
{
	const struct graph *g = l->graph;
	struct clocks c = { .l = l };
	uint32_t *order = NULL, first;
	int err = graph_topological(g, &order);

	c.times = large_calloc(g->n_messages + 1, sizeof(*c.times));
	c.clock = large_calloc(g->n_vertices + 1, sizeof(*c.clock));
	if (!err)
		err = c.times && c.clock ? pairs_make(&c) : -ENOMEM;
	for (size_t i = 0; i < g->n_vertices && !err; i++)
		clock_set(&c, order[i]);
	for (uint32_t m = 0; m < g->n_messages && !err; m++) {
		first = lineage_first_receive(l, m);
		c.times[m].received = first == LINEAGE_NONE ? 0 : c.clock[first];
	}
	free(order);
	free(c.clock);
	free(c.pair);
	free(c.last);
	if (err)
		free(c.times);
	else
		*ret_times = c.times;
	return err;
}
