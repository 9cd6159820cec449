/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Which competing things are concurrent. Each vertex learns how far into each competing thread its past reaches (a vector
 * clock over those threads only), COLUMNS threads at a time; then each thing needs one look per thread. What would
 * take too long is called racy: that errs on the side which refuses a plan. Fails only without memory.
 */
#include "graph/contest.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define COLUMNS 8
#define SWEEPS_MAX 64		   /* times all events */
#define WORK_MAX ((size_t)1 << 27) /* comparisons */

struct decision {
	struct contest *c;
	uint32_t *column; /* by chain: column + 1 */
	uint32_t n_columns;
	uint32_t *clock; /* by vertex, COLUMNS each */
	uint32_t *mine;	 /* places of one column's elements in a group */
	int *depth;	 /* how many racy ranges begin minus end here */
	size_t work;
};

uint32_t contest_chain(const struct contest *c, uint32_t vertex)
{
	const struct build *b = c->b;
	uint32_t rank = b->rank[b->g->vertices[vertex].process], thread;
	uint32_t low = c->chain_first[rank], high = c->chain_first[rank + 1];

	if (high - low == 1)
		return low;
	thread = build_event(b, vertex)->thread;
	while (high - low > 1) {
		uint32_t middle = low + (high - low) / 2;

		if (b->chains[middle].thread <= thread)
			low = middle;
		else
			high = middle;
	}
	return low;
}

/* A vertex that no chain holds (it has no place in its process) competes with nobody: nothing is known of it. */
bool contest_has_place(const struct contest *c, uint32_t vertex)
{
	uint32_t rank = c->b->rank[c->b->g->vertices[vertex].process];

	return rank < c->b->trace->n_processes && vertex < c->b->floating[rank];
}

static int number_columns(struct decision *d)
{
	struct contest *c = d->c;

	d->column = calloc(c->b->n_chains + 1, sizeof(*d->column));
	if (!d->column)
		return -ENOMEM;
	for (size_t i = 0; i < c->n_elements; i++) {
		uint32_t *column = &d->column[c->elements[i].chain];

		if (!*column)
			*column = ++d->n_columns;
		c->elements[i].chain = *column - 1;
	}
	return 0;
}

static void clock_merge(uint32_t *to, const uint32_t *from)
{
	for (unsigned i = 0; i < COLUMNS; i++)
		if (to[i] < from[i])
			to[i] = from[i];
}

/* Fills the clocks of columns [first, first + COLUMNS). Places are vertex + 1; a vertex is in its own past. */
static void sweep_clocks(struct decision *d, const uint32_t *order, uint32_t first)
{
	const struct contest *c = d->c;
	const struct build *b = c->b;
	const struct graph *g = b->g;

	memset(d->clock, 0, g->n_vertices * COLUMNS * sizeof(*d->clock));
	for (size_t i = 0; i < g->n_vertices; i++) {
		uint32_t v = order[i], column = COLUMNS;

		if (contest_has_place(c, v))
			column = d->column[contest_chain(c, v)] - 1 - first; /* of no column: huge */
		if (column < COLUMNS)
			d->clock[v * (size_t)COLUMNS + column] = v + 1;
		for (uint32_t k = b->first_edge[v]; k < b->first_edge[v + 1]; k++)
			if (g->edges[k].rule != RULE_PROCESS)
				clock_merge(d->clock + g->edges[k].to * (size_t)COLUMNS,
					    d->clock + v * (size_t)COLUMNS);
		if (b->thread_next[v] != NO_VERTEX)
			clock_merge(d->clock + b->thread_next[v] * (size_t)COLUMNS,
				    d->clock + v * (size_t)COLUMNS);
	}
}

static void group_racy(struct contest *c, const struct group *group)
{
	for (size_t i = 0; i < group->n; i++)
		c->elements[group->first + i].racy = true;
}

/* How many of the column's first n elements are in the past that ends at `place`. */
static size_t past_count(const struct element *elements, const uint32_t *mine, size_t n, uint32_t place)
{
	size_t low = 0, high = n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (elements[mine[middle]].vertex + 1 <= place)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* Every element of the column against every other of the group: those before it by ordinal must be in its past. */
static void check_column(struct decision *d, const struct group *group, uint32_t column)
{
	struct contest *c = d->c;
	struct element *elements = c->elements + group->first;
	size_t n_mine = 0, before = 0;
	int open = 0;

	for (size_t i = 0; i < group->n; i++) {
		if (elements[i].chain != column)
			continue;
		if (n_mine && elements[d->mine[n_mine - 1]].vertex > elements[i].vertex) {
			group_racy(c, group); /* ordinals against the thread's own order: damaged */
			return;
		}
		d->depth[n_mine] = 0;
		d->mine[n_mine++] = i;
	}
	d->depth[n_mine] = 0;
	for (size_t i = 0; i < group->n; i++) {
		size_t past, low, high;

		if (elements[i].chain == column) {
			before++;
			continue;
		}
		past = past_count(elements, d->mine, n_mine,
				  d->clock[elements[i].vertex * (size_t)COLUMNS + column % COLUMNS]);
		if (past == before)
			continue;
		low = past < before ? past : before;
		high = past < before ? before : past;
		elements[i].racy = true;
		d->depth[low]++;
		d->depth[high]--;
	}
	for (size_t i = 0; i < n_mine; i++) {
		open += d->depth[i];
		if (open)
			elements[d->mine[i]].racy = true;
	}
}

/* Columns of this batch that have elements in the group. */
static void check_group(struct decision *d, const struct group *group, uint32_t first)
{
	struct contest *c = d->c;
	bool present[COLUMNS] = { false };

	for (size_t i = 0; i < group->n; i++)
		if (c->elements[group->first + i].chain - first < COLUMNS)
			present[c->elements[group->first + i].chain - first] = true;
	for (uint32_t i = 0; i < COLUMNS; i++) {
		if (!present[i])
			continue;
		d->work += group->n;
		if (d->work > WORK_MAX)
			group_racy(c, group);
		else
			check_column(d, group, first + i);
	}
}

static int decide(struct decision *d, uint32_t *order)
{
	struct contest *c = d->c;
	int err = build_topological(c->b->g, order);

	for (uint32_t first = 0; first < d->n_columns && !err; first += COLUMNS) {
		bool late = first / COLUMNS >= SWEEPS_MAX;

		if (!late)
			sweep_clocks(d, order, first);
		for (size_t i = 0; i < c->n_groups; i++) {
			if (late)
				group_racy(c, &c->groups[i]);
			else
				check_group(d, &c->groups[i], first);
		}
		if (late)
			break;
	}
	return err;
}

int contest_decide(struct contest *c)
{
	struct decision d = { .c = c };
	size_t n = c->b->g->n_vertices;
	uint32_t *order = malloc((n + 1) * sizeof(*order));
	int err = number_columns(&d);

	d.clock = malloc((n + 1) * COLUMNS * sizeof(*d.clock));
	d.mine = malloc((c->n_elements + 1) * sizeof(*d.mine));
	d.depth = malloc((c->n_elements + 1) * sizeof(*d.depth));
	if (!err)
		err = order && d.clock && d.mine && d.depth ? decide(&d, order) : -ENOMEM;
	free(order);
	free(d.column);
	free(d.clock);
	free(d.mine);
	free(d.depth);
	return err;
}
