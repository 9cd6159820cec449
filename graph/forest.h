/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Who waits for whom: each node points to at most one other, never in a circle, so that a way leads from each to an end. Ways are
 * long and change all the time, and nobody walks along one: each call costs O(log n) of the nodes, taken together (link-cut trees of
 * Sleator and Tarjan, 1983, without their change of root). Nodes are 1 to n. Private to graph/.
 */
#ifndef GRAPH_FOREST_H
#define GRAPH_FOREST_H

#include <stddef.h>
#include <stdint.h>

/* A way is kept as search trees, ordered by how far it is to the end. */
struct forest_node {
	uint32_t up;	  /* in its search tree; of the top: where the way goes on; 0: nowhere */
	uint32_t side[2]; /* below it: what is nearer to the end, what is further away; 0: nothing */
	uint32_t weight;
	uint32_t heaviest; /* of what is below it and itself; of equal ones the furthest away */
};

struct forest {
	struct forest_node *nodes;
	uint64_t steps; /* what all calls so far have cost */
};

/* All nodes are ends, of weight 0. 0 or -ENOMEM; forest_fini() in either case. */
int forest_init(struct forest *forest, size_t n);
void forest_fini(struct forest *forest);

/* Of a node that nothing was asked about yet. */
void forest_weigh(struct forest *forest, uint32_t node, uint32_t weight);

/* Where its way ends; an end's is itself. */
uint32_t forest_end(struct forest *forest, uint32_t node);

/* An end waits for a node, whose way has another end. */
void forest_link(struct forest *forest, uint32_t end, uint32_t node);

/* It waits for nobody any more. */
void forest_cut(struct forest *forest, uint32_t node);

/* The last one before the end on its way, which it has, waits for nobody any more. Returns it. */
uint32_t forest_shorten(struct forest *forest, uint32_t node);

/*
 * If the end of from's way, which is to's, too, waited for `to`, there would be a circle: the heaviest in it; of equal ones that to
 * which the way of `from` comes first, before it goes around.
 */
uint32_t forest_heaviest(struct forest *forest, uint32_t from, uint32_t to);

#endif
