/* SPDX-License-Identifier: GPL-3.0-or-later */
/* See forest.h. Splay trees; fails only without memory. */
#include "graph/forest.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#include "lib/large.h"

enum { NEARER, FURTHER };

int forest_init(struct forest *forest, size_t n)
{
	*forest = (struct forest){ .nodes = n < UINT32_MAX ? large_calloc(n + 1, sizeof(*forest->nodes)) : NULL };
	if (!forest->nodes)
		return -ENOMEM;
	for (uint32_t node = 1; node <= n; node++)
		forest->nodes[node].heaviest = node;
	return 0;
}

void forest_fini(struct forest *forest)
{
	free(forest->nodes);
}

void forest_weigh(struct forest *forest, uint32_t node, uint32_t weight)
{
	forest->nodes[node].weight = weight;
}

/* Of what is nearer to the end, or nothing, and what is further away. */
static uint32_t heavier(const struct forest *f, uint32_t nearer, uint32_t further)
{
	if (!nearer || !further)
		return nearer ? nearer : further;
	return f->nodes[nearer].weight > f->nodes[further].weight ? nearer : further;
}

static uint32_t heaviest_below(const struct forest *f, uint32_t node, int side)
{
	uint32_t below = f->nodes[node].side[side];

	return below ? f->nodes[below].heaviest : 0;
}

static void update(struct forest *f, uint32_t node)
{
	uint32_t own = heavier(f, heaviest_below(f, node, NEARER), node);

	f->nodes[node].heaviest = heavier(f, own, heaviest_below(f, node, FURTHER));
}

static bool is_top(const struct forest *f, uint32_t node)
{
	uint32_t up = f->nodes[node].up;

	return !up || (f->nodes[up].side[NEARER] != node && f->nodes[up].side[FURTHER] != node);
}

static int side_of(const struct forest *f, uint32_t node)
{
	return f->nodes[f->nodes[node].up].side[FURTHER] == node ? FURTHER : NEARER;
}

/* The node and what it is below of change places. */
static void rotate(struct forest *f, uint32_t node)
{
	uint32_t down = f->nodes[node].up, up = f->nodes[down].up, between;
	int side = side_of(f, node);

	if (!is_top(f, down))
		f->nodes[up].side[side_of(f, down)] = node;
	f->nodes[node].up = up;
	between = f->nodes[node].side[!side];
	f->nodes[down].side[side] = between;
	if (between)
		f->nodes[between].up = down;
	f->nodes[node].side[!side] = down;
	f->nodes[down].up = node;
	update(f, down);
	f->steps++;
}

/* It becomes the top of its tree. */
static void splay(struct forest *f, uint32_t node)
{
	while (!is_top(f, node)) {
		uint32_t up = f->nodes[node].up;

		if (!is_top(f, up))
			rotate(f, side_of(f, node) == side_of(f, up) ? up : node);
		rotate(f, node);
	}
	update(f, node);
}

/* Its way becomes one tree, whose top it is. Returns where the way met the one that was asked for before, if both have one end. */
static uint32_t expose(struct forest *f, uint32_t node)
{
	uint32_t last = 0;

	for (uint32_t at = node; at; at = f->nodes[at].up) {
		splay(f, at);
		f->nodes[at].side[FURTHER] = last;
		update(f, at);
		last = at;
		f->steps++;
	}
	splay(f, node);
	return last;
}

/* Of what is below a node and itself the one that is nearest to the end. It becomes the top. */
static uint32_t nearest(struct forest *f, uint32_t node)
{
	while (f->nodes[node].side[NEARER]) {
		node = f->nodes[node].side[NEARER];
		f->steps++;
	}
	splay(f, node);
	return node;
}

uint32_t forest_end(struct forest *forest, uint32_t node)
{
	expose(forest, node);
	return nearest(forest, node);
}

void forest_link(struct forest *forest, uint32_t end, uint32_t node)
{
	expose(forest, end);
	forest->nodes[end].up = node;
}

void forest_cut(struct forest *forest, uint32_t node)
{
	uint32_t next;

	expose(forest, node);
	next = forest->nodes[node].side[NEARER];
	if (!next)
		return;
	forest->nodes[next].up = 0;
	forest->nodes[node].side[NEARER] = 0;
	update(forest, node);
}

uint32_t forest_shorten(struct forest *forest, uint32_t node)
{
	uint32_t end = forest_end(forest, node), last = nearest(forest, forest->nodes[end].side[FURTHER]);

	forest_cut(forest, last);
	return last;
}

uint32_t forest_heaviest(struct forest *forest, uint32_t from, uint32_t to)
{
	uint32_t meet, first, second;

	expose(forest, from);
	meet = expose(forest, to);
	splay(forest, meet);
	first = heavier(forest, heaviest_below(forest, meet, NEARER), meet); /* from there to the end */
	second = heaviest_below(forest, meet, FURTHER);			   /* then from `to` to there */
	return heavier(forest, second, first);
}
