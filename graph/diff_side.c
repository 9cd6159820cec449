/* SPDX-License-Identifier: GPL-3.0-or-later */
/* One run of two that are compared. Knows nothing of the other. Fails only without memory. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "graph/diff_inside.h"
#include "lib/large.h"

static const struct event *event_of(const struct graph *g, uint32_t v)
{
	return &g->trace->events[g->vertices[v].event];
}

static bool happened(const struct graph *g, uint32_t v)
{
	return v != NO_VERTEX && !g->vertices[v].teardown;
}

size_t diff_name_size(const char *label)
{
	const char *ordinal = strrchr(label, '#');

	return ordinal ? (size_t)(ordinal - label) : strlen(label);
}

bool diff_received(const struct diff_side *side, uint32_t message)
{
	const struct graph_message *m = &side->g->messages[message];

	return side->receive[message] != NO_VERTEX && m->received >= m->size;
}

const char *diff_result(const struct diff_side *side, uint32_t connection)
{
	const struct graph_connection *c = &side->g->connections[connection];
	const struct trace_end *end = &side->g->trace->ends[c->connector];

	if (!c->connector || c->transport == TRANSPORT_UDP)
		return "";
	if (end->error == -ECONNREFUSED)
		return "refused";
	if (end->error)
		return text_or(strerrorname_np(-end->error), "failed");
	return !end->keyed && !c->acceptor && c->transport == TRANSPORT_TCP ? "unanswered" : "";
}

uint32_t diff_party(const struct diff_side *side, uint32_t connection, unsigned direction)
{
	const struct graph_connection *c = &side->g->connections[connection];

	return direction ? c->acceptor_process : graph_connection_process(side->g->trace, c);
}

uint32_t diff_begin(const struct diff_side *side, uint32_t connection)
{
	const struct graph_connection *c = &side->g->connections[connection];

	if (happened(side->g, c->connect_vertex))
		return c->connect_vertex;
	if (happened(side->g, c->accept_vertex))
		return c->accept_vertex;
	return side->first[connection] < side->first[connection + 1] ?
		       side->g->messages[side->word[side->first[connection]]].send :
		       NO_VERTEX;
}

/* Edges are sorted by vertex, so the last one that is looked at goes furthest. */
static void find_receives(struct diff_side *side)
{
	const struct graph *g = side->g;

	for (size_t i = 0; i < g->n_edges; i++) {
		const struct graph_edge *edge = &g->edges[i];
		const struct graph_vertex *from = &g->vertices[edge->from];

		if (graph_rule_carries(edge->rule) && from->n_messages && !g->vertices[edge->to].teardown)
			side->receive[g->vertex_messages[from->first_message]] = edge->to;
	}
	for (uint32_t v = 0; v < g->n_vertices; v++) {
		const struct event *event = event_of(g, v);

		if (event->kind == EVENT_EXIT && !(event->flags & EVENT_F_THREAD) && !g->vertices[v].teardown)
			side->exit[g->vertices[v].process] = v;
	}
}

/* Where a message stands at the acceptor's end, who mostly is the one that answers; if that was not seen, at the connector's. */
static uint32_t place_of(const struct diff_side *side, uint32_t message)
{
	const struct graph_message *m = &side->g->messages[message];
	bool acceptor = side->g->connections[m->connection].acceptor;

	return (m->direction == 1) == acceptor ? m->send : side->receive[message];
}

static int message_compare(const void *a, const void *b, void *arg)
{
	const struct graph *g = arg;
	uint32_t i = *(const uint32_t *)a, k = *(const uint32_t *)b;
	const struct graph_message *m = &g->messages[i], *n = &g->messages[k];

	if (m->connection != n->connection)
		return m->connection < n->connection ? -1 : 1;
	if (m->direction != n->direction)
		return m->direction < n->direction ? -1 : 1;
	if (m->number != n->number)
		return m->number < n->number ? -1 : 1;
	return i < k ? -1 : i > k;
}

/* Messages [from, middle) go one way, [middle, to) the other one. What did not come to that end stands before the next one that did. */
static void merge_ways(const struct diff_side *side, uint32_t from, uint32_t middle, uint32_t to, uint32_t *places, uint32_t *merged)
{
	for (uint32_t i = to; i-- > from;) {
		places[i] = place_of(side, side->word[i]);
		if (i + 1 != middle && i + 1 != to && places[i + 1] < places[i])
			places[i] = places[i + 1];
	}
	for (uint32_t i = from, k = middle; i < middle || k < to;)
		*merged++ = side->word[k == to || (i < middle && places[i] <= places[k]) ? i++ : k++];
}

/* Messages that were sent before the outcome. */
static int spell(struct diff_side *side)
{
	const struct graph *g = side->g;
	uint32_t *places = large_malloc(g->n_messages + 1, sizeof(*places));
	uint32_t *merged = large_malloc(g->n_messages + 1, sizeof(*merged)), n = 0;

	if (!places || !merged) {
		free(places);
		free(merged);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < g->n_messages; i++)
		if (happened(g, g->messages[i].send))
			side->word[n++] = i;
	qsort_r(side->word, n, sizeof(*side->word), message_compare, (void *)g);
	for (uint32_t i = 0, c = 0; c <= g->n_connections + 1; c++) {
		uint32_t middle = 0;

		side->first[c] = i;
		for (; i < n && g->messages[side->word[i]].connection == c; i++)
			middle += g->messages[side->word[i]].direction == 0;
		middle += side->first[c];
		merge_ways(side, side->first[c], middle, i, places, merged + side->first[c]);
	}
	free(side->word);
	side->word = merged;
	free(places);
	return 0;
}

static int connection_compare(const void *a, const void *b, void *arg)
{
	const struct graph *g = arg;
	uint32_t i = *(const uint32_t *)a, k = *(const uint32_t *)b;
	const char *p = g->connections[i].label, *q = g->connections[k].label;
	size_t size = diff_name_size(p), other = diff_name_size(q);
	int diff = memcmp(p, q, size < other ? size : other);
	unsigned long m, n;

	if (diff || size != other)
		return diff ? diff : size < other ? -1 : 1;
	m = p[size] ? strtoul(p + size + 1, NULL, 10) : 0;
	n = q[size] ? strtoul(q + size + 1, NULL, 10) : 0;
	if (m != n)
		return m < n ? -1 : 1;
	return i < k ? -1 : i > k;
}

static void sort_connections(struct diff_side *side)
{
	for (uint32_t c = 1; c <= side->g->n_connections; c++) {
		side->in[c] = diff_begin(side, c) != NO_VERTEX;
		if (side->in[c])
			side->sorted[side->n_sorted++] = c;
	}
	qsort_r(side->sorted, side->n_sorted, sizeof(*side->sorted), connection_compare, (void *)side->g);
}

int diff_side_init(struct diff_side *side, const struct graph *g)
{
	size_t n_processes = g->trace->n_processes + 1;

	*side = (struct diff_side){ .g = g };
	side->receive = large_malloc(g->n_messages + 1, sizeof(*side->receive));
	side->in = calloc(g->n_connections + 1, sizeof(*side->in));
	side->word = large_malloc(g->n_messages + 1, sizeof(*side->word));
	side->first = calloc(g->n_connections + 2, sizeof(*side->first));
	side->sorted = calloc(g->n_connections + 1, sizeof(*side->sorted));
	side->exit = malloc(n_processes * sizeof(*side->exit));
	side->connection = calloc(g->n_connections + 1, sizeof(*side->connection));
	side->message = large_malloc(g->n_messages + 1, sizeof(*side->message));
	side->process = calloc(n_processes, sizeof(*side->process));
	if (!side->receive || !side->in || !side->word || !side->first || !side->sorted || !side->exit || !side->connection ||
	    !side->message || !side->process)
		return -ENOMEM;
	memset(side->receive, 0xff, (g->n_messages + 1) * sizeof(*side->receive));
	memset(side->message, 0xff, (g->n_messages + 1) * sizeof(*side->message));
	memset(side->exit, 0xff, n_processes * sizeof(*side->exit));
	find_receives(side);
	if (spell(side) < 0)
		return -ENOMEM;
	sort_connections(side);
	return 0;
}

void diff_side_fini(struct diff_side *side)
{
	free(side->receive);
	free(side->in);
	free(side->word);
	free(side->first);
	free(side->sorted);
	free(side->exit);
	free(side->connection);
	free(side->message);
	free(side->process);
}
