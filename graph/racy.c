/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Racy labels. Things that draw ordinals from one counter (connects of a process to one target, messages of one
 * direction, children, threads) compete; if the graph does not order two of them, in thread order, the next run may number
 * them the other way round. Things of one thread are ordered: nothing to do, and that is nearly always all. Fails only
 * without memory.
 */
#include "graph/contest.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int element_add(struct contest *c, uint32_t vertex, uint32_t thing, uint32_t ordinal)
{
	if (vertex == NO_VERTEX || !ordinal || !contest_has_place(c, vertex))
		return 0;
	if (build_grow((void **)&c->elements, &c->cap_elements, c->n_elements, sizeof(*c->elements)) < 0)
		return -ENOMEM;
	c->elements[c->n_elements++] = (struct element){
		.vertex = vertex, .chain = contest_chain(c, vertex), .thing = thing, .ordinal = ordinal,
	};
	return 0;
}

static int element_compare(const void *a, const void *b)
{
	const struct element *p = a, *q = b;

	if (p->ordinal != q->ordinal)
		return p->ordinal < q->ordinal ? -1 : 1;
	return p->vertex < q->vertex ? -1 : p->vertex > q->vertex;
}

/* Elements from `first` on are a group; one in which a single thread does everything is dropped at once. */
static int group_close(struct contest *c, size_t first, enum contest_kind kind)
{
	size_t n = c->n_elements - first;
	bool contested = false, sorted = true;

	for (size_t i = first + 1; i < c->n_elements; i++) {
		contested |= c->elements[i].chain != c->elements[first].chain;
		sorted &= c->elements[i - 1].ordinal <= c->elements[i].ordinal;
	}
	if (!contested) {
		c->n_elements = first;
		return 0;
	}
	if (!sorted)
		qsort(c->elements + first, n, sizeof(*c->elements), element_compare);
	if (build_grow((void **)&c->groups, &c->cap_groups, c->n_groups, sizeof(*c->groups)) < 0)
		return -ENOMEM;
	c->groups[c->n_groups++] = (struct group){ first, n, kind };
	return 0;
}

static bool same_service(const struct build *b, const struct graph_connection *p, const struct graph_connection *q)
{
	const struct trace_end *e = &b->trace->ends[p->connector], *f = &b->trace->ends[q->connector];

	return p->connector && q->connector && e->process == f->process &&
	       !strcmp(text_or(e->target, ""), text_or(f->target, ""));
}

static int gather_connects(struct contest *c)
{
	const struct graph *g = c->b->g;
	size_t first = c->n_elements;
	int err = 0;

	for (size_t i = 1; i <= g->n_connections && !err; i++) {
		const struct graph_connection *connection = &g->connections[i];

		err = element_add(c, connection->connect_vertex, i,
				  c->b->trace->ends[connection->connector].ordinal);
		if (!err && (i == g->n_connections || !same_service(c->b, connection, connection + 1))) {
			err = group_close(c, first, CONTEST_CONNECT);
			first = c->n_elements;
		}
	}
	return err;
}

static bool has_threads(const struct contest *c, uint32_t process)
{
	uint32_t rank = c->b->rank[process];

	return c->chain_first[rank + 1] - c->chain_first[rank] > 1;
}

static int gather_messages(struct contest *c)
{
	const struct graph *g = c->b->g;
	size_t first = c->n_elements;
	int err = 0;

	for (size_t i = 0; i < g->n_messages && !err; i++) {
		const struct graph_message *m = &g->messages[i];
		const struct graph_connection *connection = &g->connections[m->connection];
		const struct end_facts *end =
			&c->b->ends[m->direction ? connection->acceptor : connection->connector];

		if (end->mixed || connection->transport == TRANSPORT_UDP || has_threads(c, end->sender))
			err = element_add(c, m->send, i, m->number);
		if (!err && (i + 1 == g->n_messages || m[1].connection != m->connection ||
			     m[1].direction != m->direction)) {
			err = group_close(c, first, CONTEST_MESSAGE);
			first = c->n_elements;
		}
	}
	return err;
}

/* Children and threads have counters of their own. */
static int gather_spawns(struct contest *c, unsigned thread_flag)
{
	const struct build *b = c->b;
	int err = 0;

	for (uint32_t rank = 0; rank < b->trace->n_processes && !err; rank++) {
		size_t first = c->n_elements;

		if (c->chain_first[rank + 1] - c->chain_first[rank] < 2)
			continue;
		for (uint32_t v = b->lane[rank]; v < b->floating[rank] && !err; v++) {
			const struct event *event = build_event(b, v);

			if (event->kind == EVENT_SPAWN && (event->flags & EVENT_F_THREAD) == thread_flag &&
			    event->value > 0 && event->value < UINT32_MAX)
				err = element_add(c, v, v, event->value);
		}
		if (!err)
			err = group_close(c, first, CONTEST_SPAWN);
	}
	return err;
}

/* Racy ordinals spread to all names that contain them: from a process to its descendants. */
static int spread_to_children(struct build *b)
{
	size_t n = b->trace->n_processes, depth;
	bool *done = calloc(n + 1, sizeof(*done));
	uint32_t *path = malloc((n + 1) * sizeof(*path));

	if (!done || !path) {
		free(done);
		free(path);
		return -ENOMEM;
	}
	done[0] = true;
	for (uint32_t i = 1; i <= n; i++) {
		uint32_t process = i;

		for (depth = 0; !done[process]; depth++) {
			uint32_t parent = b->trace->processes[process].parent;

			done[process] = true; /* also ends parents that go round in a circle */
			path[depth] = process;
			process = parent <= n ? parent : 0;
		}
		while (depth-- > 0) {
			b->process_racy[path[depth]] |= b->process_racy[process];
			process = path[depth];
		}
	}
	free(done);
	free(path);
	return 0;
}

static void apply(struct contest *c, bool *spawn_racy)
{
	struct graph *g = c->b->g;

	for (size_t i = 0; i < c->n_groups; i++) {
		const struct group *group = &c->groups[i];

		for (size_t k = group->first; k < group->first + group->n; k++) {
			const struct element *element = &c->elements[k];
			uint32_t peer;

			if (!element->racy)
				continue;
			switch (group->kind) {
			case CONTEST_CONNECT:
				g->connections[element->thing].racy = true;
				break;
			case CONTEST_MESSAGE:
				g->messages[element->thing].racy = true;
				break;
			case CONTEST_SPAWN:
				peer = build_peer(c->b, build_event(c->b, element->thing));
				spawn_racy[element->thing] = true;
				c->b->process_racy[peer] = true;
				break;
			}
		}
	}
	c->b->process_racy[0] = false; /* a thread has no process of its own */
}

/* A thread's own number is racy when the SPAWN that made it is; its label stands at that SPAWN and at its EXIT. */
static int spread_to_threads(struct contest *c, const bool *spawn_racy)
{
	struct build *b = c->b;
	bool *racy = calloc(b->n_chains + 1, sizeof(*racy)); /* by chain */

	if (!racy)
		return -ENOMEM;
	for (size_t i = 0; i < b->g->n_edges; i++) {
		const struct graph_edge *edge = &b->g->edges[i];

		if (edge->rule == RULE_SPAWN && spawn_racy[edge->from] &&
		    build_event(b, edge->from)->flags & EVENT_F_THREAD)
			racy[contest_chain(c, edge->to)] = true;
	}
	for (uint32_t v = 0; v < b->g->n_vertices; v++) {
		const struct event *event = build_event(b, v);

		if (!(event->flags & EVENT_F_THREAD) || !contest_has_place(c, v))
			continue;
		if (event->kind == EVENT_SPAWN)
			b->g->vertices[v].racy = spawn_racy[v];
		else if (event->kind == EVENT_EXIT)
			b->g->vertices[v].racy = racy[contest_chain(c, v)];
	}
	free(racy);
	return 0;
}

/* From connections, messages and processes to the vertices that are called by them. */
static void spread(struct build *b)
{
	struct graph *g = b->g;

	for (size_t i = 1; i <= g->n_connections; i++) {
		uint32_t process = graph_connection_process(b->trace, &g->connections[i]);

		g->connections[i].racy |= b->process_racy[process];
	}
	for (size_t i = 0; i < g->n_messages; i++)
		g->messages[i].racy |= g->connections[g->messages[i].connection].racy;
	for (uint32_t v = 0; v < g->n_vertices; v++) {
		struct graph_vertex *vertex = &g->vertices[v];
		const struct event *event = build_event(b, v);
		bool of_peer = event->kind == EVENT_WAIT ||
			       (event->kind == EVENT_SPAWN && !(event->flags & EVENT_F_THREAD));

		for (uint32_t i = 0; i < vertex->n_messages; i++)
			vertex->racy |= g->messages[g->vertex_messages[vertex->first_message + i]].racy;
		if (vertex->n_messages)
			continue;
		if (vertex->connection)
			vertex->racy |= g->connections[vertex->connection].racy;
		else
			vertex->racy |= b->process_racy[of_peer ? build_peer(b, event) : vertex->process];
	}
}

static void contest_fini(struct contest *c)
{
	free(c->elements);
	free(c->groups);
	free(c->chain_first);
}

int build_racy(struct build *b)
{
	struct contest c = { .b = b };
	size_t n = b->trace->n_processes;
	bool *spawn_racy = NULL;
	int err = -ENOMEM;

	b->process_racy = calloc(n + 1, sizeof(*b->process_racy));
	c.chain_first = calloc(n + 2, sizeof(*c.chain_first));
	if (!b->process_racy || !c.chain_first)
		goto out;
	if (b->n_chains == 0) {
		err = 0;
		goto out;
	}
	for (size_t i = 0; i < b->n_chains; i++)
		c.chain_first[b->chains[i].rank + 1]++;
	for (size_t i = 0; i <= n; i++)
		c.chain_first[i + 1] += c.chain_first[i];
	if ((err = gather_connects(&c)) < 0 || (err = gather_messages(&c)) < 0 ||
	    (err = gather_spawns(&c, 0)) < 0 || (err = gather_spawns(&c, EVENT_F_THREAD)) < 0 || !c.n_groups)
		goto out;
	err = -ENOMEM;
	spawn_racy = calloc(b->g->n_vertices + 1, sizeof(*spawn_racy));
	if (!spawn_racy || (err = contest_decide(&c)) < 0)
		goto out;
	apply(&c, spawn_racy);
	if ((err = spread_to_children(b)) < 0 || (err = spread_to_threads(&c, spawn_racy)) < 0)
		goto out;
	spread(b);
out:
	free(spawn_racy);
	contest_fini(&c);
	return err;
}
