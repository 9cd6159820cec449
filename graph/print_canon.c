/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The search. Where colours leave threads alike, each of them in turn is made the first, and the least of all hashes is the
 * print. Two ways that end in one hash show a symmetry: what is its mirror image is not tried again. Rounds are counted: past
 * the bound the colours alone make the print, which is then called approximate. Fails only without memory.
 */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "graph/print_canon.h"

#define ROUNDS_MIN 64
#define ROUNDS_MAX 4096
#define WORK_MAX ((size_t)1 << 24) /* items in all rounds together */

/* The end of a way: all threads in an order, and what they hash to. */
struct leaf {
	struct print print;
	uint32_t *order;
};

static uint64_t made_first(uint64_t colour)
{
	colour = htole64(colour);
	return XXH3_64bits(&colour, sizeof(colour));
}

/* Of the threads that look alike, those with the least colour; `order` is sorted. Returns how many; *ret_first: from where. */
static size_t find_alike(const struct canon *c, const uint64_t *colour, size_t *ret_first)
{
	size_t first = 0, end;

	while (canon_is_alone(c, colour, first))
		first++;
	for (end = first + 1; end < c->n && colour[c->order[end]] == colour[c->order[first]]; end++)
		;
	*ret_first = first;
	return end - first;
}

static void leaf_write(struct canon *c, struct leaf *ret_leaf)
{
	ret_leaf->print = canon_write(c);
	memcpy(ret_leaf->order, c->order, c->n * sizeof(*c->order));
}

/* From here down, always the first of those that look alike. Uses up `colour`. */
static void descend(struct canon *c, uint64_t *colour, struct leaf *ret_leaf)
{
	bool discrete = canon_sort(c, colour) == c->n;
	size_t first;

	while (!discrete && !c->overflow) {
		find_alike(c, colour, &first);
		colour[c->order[first]] = made_first(colour[c->order[first]]);
		discrete = canon_refine(c, colour);
	}
	if (!c->overflow)
		leaf_write(c, ret_leaf);
}

/* Orbits: which threads are known to be mirror images of each other. */
static uint32_t orbit(uint32_t *parent, uint32_t thread)
{
	while (parent[thread] != thread)
		thread = parent[thread] = parent[parent[thread]];
	return thread;
}

static void orbits_join(uint32_t *parent, const uint32_t *a, const uint32_t *b, size_t n)
{
	for (size_t i = 0; i < n; i++)
		parent[orbit(parent, a[i])] = orbit(parent, b[i]);
}

/* A place in the search: what has been chosen so far is in `colour`. */
struct node {
	const uint64_t *colour;
	uint32_t *alike; /* the threads to choose from */
	size_t n_alike, n_leaves;
	struct leaf *leaves; /* ends of ways from here, all different */
	uint32_t *orbits;
	uint64_t *copy, *lower;
	struct print best;
};

static int search(struct canon *c, const uint64_t *colour, struct leaf *ret_first, struct print *ret_best, uint32_t *orbits);

static void node_fini(struct node *node)
{
	for (size_t i = 0; node->leaves && i < node->n_alike; i++)
		free(node->leaves[i].order);
	free(node->leaves);
	free(node->alike);
	free(node->copy);
	free(node->lower);
	free(node->orbits);
}

static int node_init(struct node *node, struct canon *c, const uint64_t *colour)
{
	size_t n_threads = c->run->n_threads, first;

	*node = (struct node){ .colour = colour };
	node->n_alike = find_alike(c, colour, &first);
	node->alike = malloc(node->n_alike * sizeof(*node->alike));
	node->leaves = calloc(node->n_alike, sizeof(*node->leaves));
	node->copy = malloc(n_threads * sizeof(*node->copy));
	node->lower = malloc(n_threads * sizeof(*node->lower));
	node->orbits = malloc(n_threads * sizeof(*node->orbits));
	if (!node->alike || !node->leaves || !node->copy || !node->lower || !node->orbits)
		return -ENOMEM;
	memcpy(node->alike, c->order + first, node->n_alike * sizeof(*node->alike));
	for (uint32_t i = 0; i < n_threads; i++)
		node->orbits[i] = i;
	return 0;
}

static bool is_mirrored(const struct node *node, size_t i)
{
	for (size_t k = 0; k < i; k++)
		if (orbit(node->orbits, node->alike[k]) == orbit(node->orbits, node->alike[i]))
			return true;
	return false;
}

/* Makes one of those that look alike the first. */
static int try(struct node *node, struct canon *c, size_t i)
{
	size_t size = c->run->n_threads * sizeof(*node->copy);
	struct leaf *leaf = &node->leaves[node->n_leaves];
	struct print best;
	int err;

	memcpy(node->copy, node->colour, size);
	node->copy[node->alike[i]] = made_first(node->copy[node->alike[i]]);
	canon_refine(c, node->copy);
	if (!leaf->order)
		leaf->order = malloc(c->n * sizeof(*leaf->order));
	if (!leaf->order)
		return -ENOMEM;
	if (i) {
		memcpy(node->lower, node->copy, size);
		descend(c, node->lower, leaf);
		for (size_t k = 0; k < node->n_leaves && !c->overflow; k++) {
			if (print_compare(&node->leaves[k].print, &leaf->print))
				continue;
			orbits_join(node->orbits, node->leaves[k].order, leaf->order, c->n);
			return 0;
		}
	}
	if (c->overflow)
		return 0;
	err = search(c, node->copy, leaf, &best, node->orbits);
	if (!err && !c->overflow && (!node->n_leaves++ || print_compare(&best, &node->best) < 0))
		node->best = best;
	return err;
}

/*
 * The least hash of all orders that `colour`, which tells apart all that it can, allows; *ret_first is where the first
 * way ends. Joins in `orbits` what is found to be mirrored without touching what was chosen before.
 */
static int search(struct canon *c, const uint64_t *colour, struct leaf *ret_first, struct print *ret_best, uint32_t *orbits)
{
	struct node node;
	int err;

	if (canon_sort(c, colour) == c->n) {
		leaf_write(c, ret_first);
		*ret_best = ret_first->print;
		return 0;
	}
	err = node_init(&node, c, colour);
	for (size_t i = 0; i < node.n_alike && !err && !c->overflow; i++)
		if (!is_mirrored(&node, i))
			err = try(&node, c, i);
	if (!err && !c->overflow) {
		ret_first->print = node.leaves[0].print;
		memcpy(ret_first->order, node.leaves[0].order, c->n * sizeof(*ret_first->order));
		*ret_best = node.best;
		for (uint32_t i = 0; i < c->run->n_threads; i++)
			orbits[orbit(orbits, i)] = orbit(orbits, node.orbits[i]);
	}
	node_fini(&node);
	return err;
}

static int canon_init(struct canon *c, struct print_run *run)
{
	const struct trace *trace = run->g->trace;
	size_t n = run->n_threads + 1;
	size_t rounds = WORK_MAX / (run->n_in + 1);

	*c = (struct canon){ .run = run };
	c->rounds_max = rounds < ROUNDS_MIN ? ROUNDS_MIN : rounds > ROUNDS_MAX ? ROUNDS_MAX : rounds;
	c->threads = malloc(n * sizeof(*c->threads));
	c->order = malloc(n * sizeof(*c->order));
	c->fresh = malloc(n * sizeof(*c->fresh));
	c->members = malloc(n * sizeof(*c->members));
	c->start = calloc(n, sizeof(*c->start));
	c->box_colour = calloc(trace->n_boxes + 1, sizeof(*c->box_colour));
	c->peer_colour = calloc(trace->n_processes + 1, sizeof(*c->peer_colour));
	c->state = XXH3_createState();
	if (!c->threads || !c->order || !c->fresh || !c->members || !c->start || !c->box_colour || !c->peer_colour || !c->state ||
	    numbering_init(&c->connections, run->g->n_connections) < 0 ||
	    numbering_init(&c->processes, trace->n_processes) < 0 || numbering_init(&c->boxes, trace->n_boxes) < 0)
		return -ENOMEM;
	for (uint32_t i = 0; i < run->n_threads; i++)
		if (run->threads[i].kept_to)
			c->threads[c->n++] = i;
	return 0;
}

static void canon_fini(struct canon *c)
{
	free(c->threads);
	free(c->order);
	free(c->fresh);
	free(c->members);
	free(c->peer_colour);
	free(c->start);
	free(c->box_colour);
	XXH3_freeState(c->state);
	numbering_fini(&c->connections);
	numbering_fini(&c->processes);
	numbering_fini(&c->boxes);
}

int print_canon(struct print_run *run, struct print *ret_print)
{
	size_t n = run->n_threads + 1;
	uint64_t *colour = malloc(n * sizeof(*colour));
	struct leaf first = { .order = malloc(n * sizeof(*first.order)) };
	uint32_t *orbits = malloc(n * sizeof(*orbits));
	struct canon c;
	int err = canon_init(&c, run);

	if (!colour || !first.order || !orbits)
		err = -ENOMEM;
	for (uint32_t i = 0; i < run->n_threads && !err; i++) {
		colour[i] = run->threads[i].text;
		orbits[i] = i;
	}
	if (!err)
		canon_refine(&c, colour);
	if (!err && !c.overflow)
		err = search(&c, colour, &first, ret_print, orbits);
	if (!err && c.overflow)
		*ret_print = canon_write_approximate(&c, colour);
	free(colour);
	free(first.order);
	free(orbits);
	canon_fini(&c);
	return err;
}
