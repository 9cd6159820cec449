/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Strongly connected components of grouped items (Tarjan's algorithm, without recursion: a line of a million items is
 * no reason to run out of stack). Linear in items and edges. Fails only without memory.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "graph/picture.h"

#define NONE UINT32_MAX

struct condense {
	const struct picture *p;
	const uint32_t *group;
	uint32_t *first; /* by item: its edges; n + 2 */
	uint32_t *to;
	uint32_t *last; /* by lane */
	uint32_t *index, *low, *next, *component;
	uint32_t *stack, *path;
	size_t n_stack, n_path, n_components, time;
};

typedef void on_pair(struct condense *c, uint32_t from, uint32_t to);

static void count_pair(struct condense *c, uint32_t from, uint32_t to)
{
	c->first[from + 2]++;
}

static void place_pair(struct condense *c, uint32_t from, uint32_t to)
{
	c->to[c->first[from + 1]++] = to;
}

static void pair(struct condense *c, uint32_t from, uint32_t to, on_pair *on_pair)
{
	if (from != NONE && to != NONE && c->group[from] != c->group[to])
		on_pair(c, c->group[from], c->group[to]);
}

/* Every order that the picture shows: along the lanes, and the graph's edges. */
static void each_pair(struct condense *c, on_pair *on_pair)
{
	const struct picture *p = c->p;

	for (size_t i = 0; i < p->n_lanes; i++)
		c->last[i] = NONE;
	for (uint32_t i = 0; i < p->n_items; i++) {
		uint32_t lane = p->items[i].lane;
		uint32_t from = lane == ALL_LANES ? 0 : lane, to = lane == ALL_LANES ? p->n_lanes : lane + 1;

		for (uint32_t k = from; k < to; k++) {
			pair(c, c->last[k], i, on_pair);
			c->last[k] = i;
		}
	}
	for (size_t i = 0; i < p->g->n_edges; i++)
		pair(c, p->place[p->g->edges[i].from], p->place[p->g->edges[i].to], on_pair);
}

static int gather(struct condense *c)
{
	size_t n = c->p->n_items;

	c->first = calloc(n + 3, sizeof(*c->first));
	c->last = malloc((c->p->n_lanes + 1) * sizeof(*c->last));
	if (!c->first || !c->last)
		return -ENOMEM;
	each_pair(c, count_pair);
	for (size_t i = 0; i < n + 2; i++)
		c->first[i + 1] += c->first[i];
	c->to = malloc((c->first[n + 2] + (size_t)1) * sizeof(*c->to));
	if (!c->to)
		return -ENOMEM;
	each_pair(c, place_pair);
	return 0;
}

static void enter(struct condense *c, uint32_t v)
{
	c->index[v] = c->low[v] = ++c->time;
	c->next[v] = c->first[v];
	c->stack[c->n_stack++] = v;
	c->path[c->n_path++] = v;
}

/* All edges of v were followed. */
static void leave(struct condense *c, uint32_t v)
{
	uint32_t w;

	c->n_path--;
	if (c->n_path && c->low[c->path[c->n_path - 1]] > c->low[v])
		c->low[c->path[c->n_path - 1]] = c->low[v];
	if (c->low[v] != c->index[v])
		return;
	do {
		w = c->stack[--c->n_stack];
		c->component[w] = c->n_components;
	} while (w != v);
	c->n_components++;
}

static void walk(struct condense *c, uint32_t root)
{
	enter(c, root);
	while (c->n_path) {
		uint32_t v = c->path[c->n_path - 1], w;

		if (c->next[v] == c->first[v + 1]) {
			leave(c, v);
			continue;
		}
		w = c->to[c->next[v]++];
		if (!c->index[w])
			enter(c, w);
		else if (c->component[w] == NONE && c->low[v] > c->index[w])
			c->low[v] = c->index[w];
	}
}

int picture_condense(const struct picture *p, const uint32_t *group, uint32_t *ret_component, size_t *ret_n)
{
	struct condense c = { .p = p, .group = group, .component = ret_component };
	size_t n = p->n_items;
	int err = gather(&c);

	c.index = calloc(n + 1, sizeof(*c.index));
	c.low = malloc((n + 1) * sizeof(*c.low));
	c.next = malloc((n + 1) * sizeof(*c.next));
	c.stack = malloc((n + 1) * sizeof(*c.stack));
	c.path = malloc((n + 1) * sizeof(*c.path));
	if (err || !c.index || !c.low || !c.next || !c.stack || !c.path) {
		err = -ENOMEM;
		goto out;
	}
	for (size_t i = 0; i < n; i++)
		c.component[i] = NONE;
	for (size_t i = n; i-- > 0;)
		if (group[i] == i && !c.index[i])
			walk(&c, i);
	/* Tarjan finds effects before their causes */
	for (size_t i = 0; i < n; i++)
		if (group[i] == i)
			c.component[i] = c.n_components - 1 - c.component[i];
	for (size_t i = 0; i < n; i++)
		c.component[i] = c.component[group[i]];
	*ret_n = c.n_components;
out:
	free(c.first);
	free(c.to);
	free(c.last);
	free(c.index);
	free(c.low);
	free(c.next);
	free(c.stack);
	free(c.path);
	return err;
}
