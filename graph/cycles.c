/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Cycles, and which edges to leave out so that there are none; edges.c says why. Fails only without memory. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "graph/build.h"

struct peel {
	uint32_t *first, *next; /* by vertex: where the edges lead that are left */
	uint32_t *waiting, *queue;
};

static void edges_fill(const struct build *b, bool forward, const bool *gone, struct peel *p)
{
	const struct graph *g = b->g;

	for (int pass = 0; pass < 2; pass++) {
		for (size_t i = 0; i < g->n_edges; i++) {
			uint32_t from = forward ? g->edges[i].from : g->edges[i].to;
			uint32_t to = forward ? g->edges[i].to : g->edges[i].from;

			if (gone[from] || gone[to])
				continue;
			if (!pass) {
				p->first[from + 2]++;
			} else {
				p->next[p->first[from + 1]++] = to;
				p->waiting[to]++;
			}
		}
		for (size_t v = 0; v < g->n_vertices && !pass; v++)
			p->first[v + 2] += p->first[v + 1];
	}
}

/* Takes away what nothing that is left leads to, again and again; forward false: with all edges turned round. */
static int peel(const struct build *b, bool forward, bool *gone)
{
	size_t n = b->g->n_vertices, head = 0, tail = 0;
	struct peel p = {
		.first = calloc(n + 3, sizeof(*p.first)), .next = malloc((b->g->n_edges + 1) * sizeof(*p.next)),
		.waiting = calloc(n + 1, sizeof(*p.waiting)), .queue = malloc((n + 1) * sizeof(*p.queue)),
	};
	int err = p.first && p.next && p.waiting && p.queue ? 0 : -ENOMEM;

	if (!err)
		edges_fill(b, forward, gone, &p);
	for (uint32_t v = 0; v < n && !err; v++)
		if (!gone[v] && !p.waiting[v])
			p.queue[tail++] = v;
	while (head < tail) {
		uint32_t v = p.queue[head++];

		gone[v] = true;
		for (uint32_t i = p.first[v]; i < p.first[v + 1]; i++)
			if (!--p.waiting[p.next[i]])
				p.queue[tail++] = p.next[i];
	}
	free(p.first);
	free(p.next);
	free(p.waiting);
	free(p.queue);
	return err;
}

int build_core(const struct build *b, bool **ret_core)
{
	bool *core = calloc(b->g->n_vertices + 1, sizeof(*core));
	int err = core ? peel(b, true, core) : -ENOMEM;

	if (!err)
		err = peel(b, false, core);
	for (size_t v = 0; v < b->g->n_vertices && !err; v++)
		core[v] = !core[v];
	if (err < 0)
		free(core);
	else
		*ret_core = core;
	return err;
}

/* Of a send or connect whose place in its process may be later than it was. */
static bool is_late(const struct build *b, const struct graph_edge *edge)
{
	uint32_t connection = b->g->vertices[edge->from].connection;

	if (edge->rule == RULE_CONNECT)
		return b->g->connections[connection].transport != TRANSPORT_TCP;
	return graph_rule_carries(edge->rule) && edge->rule != RULE_MESSAGE;
}

static bool is_guess(const struct build *b, const struct graph_edge *edge)
{
	return edge->guessed && is_late(b, edge);
}

/* What a fault hit is found in part by what it was meant to hit: everything else is known better. */
static bool is_of_fault(const struct build *b, const struct graph_edge *edge)
{
	return edge->rule == RULE_FAULT;
}

static size_t drop(struct build *b, const bool *core, bool (*which)(const struct build *, const struct graph_edge *))
{
	size_t n_kept = 0, n = b->n_cross;

	for (size_t i = 0; i < n; i++) {
		const struct graph_edge *edge = &b->cross[i];

		if (!which(b, edge) || !core[edge->from] || !core[edge->to])
			b->cross[n_kept++] = *edge;
	}
	b->n_cross = n_kept;
	return n - n_kept;
}

int build_drop_contradicted(struct build *b)
{
	bool *core = NULL;
	size_t of_faults, late = 0;
	int err = build_core(b, &core);

	if (err < 0)
		return err;
	of_faults = drop(b, core, is_of_fault);
	if (!of_faults)
		late = drop(b, core, is_guess);
	if (!of_faults && !late)
		late = drop(b, core, is_late);
	b->g->contradicted += late;
	free(core);
	return of_faults || late;
}
