/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * From items to nodes. Always: the receives that return one message piece by piece become one node. When there are more
 * nodes than a picture can show, sends and receives between the first and last few messages of each connection are put
 * together, then whole connections between the first and last few of each service; see `levels`.
 *
 * What is put together may stand on both sides of something else, which then would have to be before and after it. So
 * the strongly connected components of the result become the nodes: blocks, which span the lanes that they cover. That
 * leaves no cycle, whatever was put together. If the finest level that is left still has too many nodes, the line of
 * items is simply cut into pieces.
 *
 * Of two runs, what is in both is put together first, where a picture would not be easy to look at; groups do not reach across
 * what differs, so no block swallows it. If that is not enough, what many moments of one change do is put together
 * among itself, and at last whatever there is.
 *
 * Fails only without memory.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "graph/picture.h"

#define ALL UINT32_MAX

/* How much stays visible: messages at each end of a connection's direction, connections at each end of a service. */
static const struct level {
	uint32_t messages, connections;
} levels[] = {
	{ ALL, ALL }, { 3, ALL }, { 2, ALL }, { 1, ALL }, { 2, 4 }, { 1, 3 }, { 1, 2 }, { 1, 1 }, { 0, 1 }, { 0, 0 },
};
#define N_LEVELS (sizeof(levels) / sizeof(*levels))
#define GROUP_MIN 12 /* events that are worth a block */
#define ROOMY 16 /* a folded picture should have so many times fewer nodes than it might */
#define SLABS 40

#define ROOMY_SIDES 10 /* the same, of two runs */
#define GROUP_MIN_SIDES 4
#define CHANGE_SMALL 12 /* moments of a change that stay visible */

enum part { PART_SETUP, PART_TRANSFER, PART_END, PARTS };

/* Of two runs: which differences stay as they are. */
enum keeping { KEEP_ALL, KEEP_SMALL, KEEP_NONE };

struct fold {
	struct picture *p;
	size_t n; /* items */
	uint32_t *service;     /* by connection: the first connection of its process and target */
	uint32_t *place_first; /* by connection: how many of its service come before it; behind it */
	uint32_t *place_last;
	uint32_t *merged; /* by item: the item that it says the same as */
	uint32_t *group;  /* by item: the item that stands for its group */
	uint32_t *key;	  /* by group key: its first item */
	uint32_t *size;	  /* by item that stands for a group: items in it */
	bool *folded;	  /* by item: it was put into a group of a level */
	enum keeping keeping;
	uint32_t *moments; /* by change of a diff: items of it; NULL: one run */
	uint32_t *component; /* by item: strongly connected component, causes first */
	size_t n_components;
};

static bool same_service(const struct graph *g, uint32_t a, uint32_t b)
{
	const struct graph_connection *p = &g->connections[a], *q = &g->connections[b];
	const struct trace_end *e = &g->trace->ends[p->connector], *f = &g->trace->ends[q->connector];

	if (!p->connector || !q->connector)
		return !p->connector && !q->connector && p->acceptor_process == q->acceptor_process;
	return e->process == f->process && !strcmp(text_or(e->target, ""), text_or(f->target, ""));
}

/* Connections are sorted by process and target. */
static void number_services(struct fold *f)
{
	const struct graph *g = f->p->g;

	for (uint32_t i = 1, k; i <= g->n_connections; i = k) {
		for (k = i; k <= g->n_connections && same_service(g, i, k); k++) {
			f->service[k] = i;
			f->place_first[k] = k - i;
		}
		for (uint32_t j = i; j < k; j++)
			f->place_last[j] = k - 1 - j;
	}
}

static const struct graph_vertex *vertex_of(const struct fold *f, size_t item)
{
	uint32_t v = f->p->items[item].vertex;

	return v == NO_VERTEX ? NULL : &f->p->g->vertices[v];
}

/* Consecutive in their lane, by one thread, about bytes of one and the same message; or the two halves of a start. */
static bool says_the_same(const struct fold *f, size_t a, size_t b)
{
	const struct graph *g = f->p->g;
	const struct graph_vertex *v = vertex_of(f, a), *w = vertex_of(f, b);
	const struct event *p, *q;

	if (!v || !w || v->process != w->process || item_side(f->p, &f->p->items[a]) != item_side(f->p, &f->p->items[b]))
		return false;
	p = &g->trace->events[v->event];
	q = &g->trace->events[w->event];
	/* what the experiment starts, it starts by executing the program that the lane's head names */
	if (p->kind == EVENT_START && q->kind == EVENT_EXEC)
		return !g->trace->processes[v->process].parent;
	return v->n_messages == 1 && w->n_messages == 1 && p->kind == q->kind && p->thread == q->thread && p->end == q->end &&
	       g->vertex_messages[v->first_message] == g->vertex_messages[w->first_message];
}

static int merge(struct fold *f)
{
	struct picture *p = f->p;
	uint32_t *last = malloc((p->n_lanes + 1) * sizeof(*last)); /* by lane: item */

	if (!last)
		return -ENOMEM;
	for (size_t i = 0; i < p->n_lanes; i++)
		last[i] = ALL;
	for (size_t i = 0; i < f->n; i++) {
		uint32_t lane = p->items[i].lane;

		f->merged[i] = i;
		if (lane == ALL_LANES) {
			for (size_t k = 0; k < p->n_lanes; k++)
				last[k] = i;
			continue;
		}
		if (last[lane] != ALL && (p->lanes[lane].process || p->lanes[lane].in_turn) && says_the_same(f, last[lane], i))
			f->merged[i] = f->merged[last[lane]];
		last[lane] = i;
	}
	free(last);
	return 0;
}

static bool in_middle(uint32_t before, uint32_t behind, uint32_t kept)
{
	return kept != ALL && before >= kept && behind >= kept;
}

/* All messages of the vertex lie between the first and last few of their direction. */
static bool folds_messages(const struct graph *g, const struct graph_vertex *v, uint32_t kept)
{
	for (uint32_t i = 0; i < v->n_messages; i++) {
		uint32_t number = g->vertex_messages[v->first_message + i];
		const struct graph_message *m = &g->messages[number];
		const struct graph_connection *c = &g->connections[m->connection];
		uint32_t n = c->messages[m->direction], k = m->number ? m->number - 1 : 0;

		if (!in_middle(k, k < n ? n - 1 - k : 0, kept))
			return false;
	}
	return v->n_messages > 0;
}

/* It is a difference that no block may swallow. */
static bool is_kept(const struct fold *f, size_t item)
{
	const struct overlay *o = f->p->overlay;
	const struct overlay_vertex *v;

	if (f->keeping == KEEP_NONE || item_side(f->p, &f->p->items[item]) == OVERLAY_BOTH)
		return false;
	if (f->keeping == KEEP_ALL || f->p->items[item].vertex == NO_VERTEX)
		return true;
	v = &o->vertices[f->p->items[item].vertex];
	return !v->n_notes || f->moments[o->notes[v->first_note].change] <= CHANGE_SMALL;
}

/* Things of different sides are not put together. */
static size_t key_of(const struct fold *f, size_t item, uint32_t connection, enum part part)
{
	size_t key = (size_t)f->service[connection] * PARTS + part;

	return f->p->overlay ? key * OVERLAY_SIDE_COUNT + item_side(f->p, &f->p->items[item]) : key;
}

static size_t n_keys(const struct picture *p)
{
	return (p->g->n_connections + 1) * PARTS * (p->overlay ? OVERLAY_SIDE_COUNT : 1);
}

/* The group of an item at a level: key 0 for none. */
static size_t group_key(const struct fold *f, size_t item, const struct level *level)
{
	const struct graph *g = f->p->g;
	const struct graph_vertex *v = vertex_of(f, item);
	enum part part = PART_END;
	const struct event *event;

	if (!v || !v->connection || is_kept(f, item))
		return 0;
	event = &g->trace->events[v->event];
	if (event_is_fault(event->kind))
		return 0;
	if (event->kind == EVENT_CONNECT || event->kind == EVENT_ACCEPT)
		part = PART_SETUP;
	else if ((event->kind == EVENT_SEND || event->kind == EVENT_RECV) && event->value > 0)
		part = PART_TRANSFER;
	if (in_middle(f->place_first[v->connection], f->place_last[v->connection], level->connections))
		return key_of(f, item, v->connection, part);
	if (part == PART_TRANSFER && folds_messages(g, v, level->messages))
		return key_of(f, item, v->connection, part);
	return 0;
}

/* Groups do not reach across marks: those are the picture's chapters. Nor across what stays visible of a difference. */
static void group_items(struct fold *f, const struct level *level)
{
	size_t least = f->p->overlay ? GROUP_MIN_SIDES : GROUP_MIN;
	uint32_t chapter = 0; /* its first item */

	memset(f->key, 0xff, n_keys(f->p) * sizeof(*f->key));
	memset(f->size, 0, f->n * sizeof(*f->size));
	for (size_t i = 0; i < f->n; i++) {
		size_t key = group_key(f, i, level);

		f->folded[i] = key != 0;
		f->group[i] = f->merged[i];
		if (f->p->items[i].lane == ALL_LANES || is_kept(f, i))
			chapter = i;
		if (!key)
			continue;
		if (f->key[key] == ALL || f->key[key] < chapter)
			f->key[key] = f->merged[i];
		f->group[i] = f->key[key];
		f->size[f->group[i]]++;
	}
	for (size_t i = 0; i < f->n; i++) {
		if (!f->folded[i] || f->size[f->group[i]] >= least)
			continue;
		f->folded[i] = false;
		f->group[i] = f->merged[i];
	}
}

/* The last resort: both ends of the line as they are, the middle in SLABS pieces. */
static void group_slabs(struct fold *f, size_t max_nodes)
{
	size_t slabs = max_nodes / 8 + 1 < SLABS ? max_nodes / 8 + 1 : SLABS;
	size_t ends = max_nodes > slabs ? (max_nodes - slabs) / 8 : 0, middle = f->n - 2 * ends;

	for (size_t i = 0; i < f->n; i++) {
		size_t slab;

		f->group[i] = i;
		f->folded[i] = i >= ends && i < f->n - ends;
		if (!f->folded[i])
			continue;
		slab = (i - ends) * slabs / middle;
		f->group[i] = ends + (slab * middle + slabs - 1) / slabs;
	}
}

/* The first level that gives a roomy picture; if there is none, the last one, if that fits at all. */
static int choose(struct fold *f, size_t max_nodes)
{
	int err = 0;

	for (size_t i = 0; i < N_LEVELS; i++) {
		group_items(f, &levels[i]);
		err = picture_condense(f->p, f->group, f->component, &f->n_components);
		f->p->folded = i > 0;
		if (err < 0 || f->n_components <= (i ? max_nodes / ROOMY : max_nodes))
			return err;
	}
	if (f->n_components <= max_nodes)
		return 0;
	group_slabs(f, max_nodes);
	return picture_condense(f->p, f->group, f->component, &f->n_components);
}

/* Of two runs: what differs stays visible as long as that can be looked at. 1: none of that does. */
static int choose_sides(struct fold *f, size_t max_nodes)
{
	for (f->keeping = KEEP_ALL; f->keeping < KEEP_NONE; f->keeping++)
		for (size_t i = 0; i < N_LEVELS; i++) {
			bool last = f->keeping == KEEP_SMALL && i == N_LEVELS - 1;
			int err;

			group_items(f, &levels[i]);
			err = picture_condense(f->p, f->group, f->component, &f->n_components);
			f->p->folded = i > 0;
			if (err < 0 || f->n_components <= (last ? max_nodes : max_nodes / ROOMY_SIDES))
				return err;
		}
	return 1;
}

static int count_moments(struct fold *f)
{
	const struct overlay *o = f->p->overlay;

	f->moments = calloc(o->diff->n_changes + 1, sizeof(*f->moments));
	for (size_t i = 0; i < f->n && f->moments; i++) {
		const struct overlay_vertex *v = f->p->items[i].vertex == NO_VERTEX ? NULL : &o->vertices[f->p->items[i].vertex];

		if (v && v->n_notes)
			f->moments[o->notes[v->first_note].change]++;
	}
	return f->moments ? 0 : -ENOMEM;
}

static void *array(size_t n, size_t size)
{
	return malloc((n + 1) * size);
}

int picture_fold(struct picture *p, size_t max_nodes)
{
	struct fold f = { .p = p, .n = p->n_items, .keeping = KEEP_NONE };
	size_t n_connections = p->g->n_connections + 1;
	int err = -ENOMEM;

	f.service = array(n_connections, sizeof(*f.service));
	f.place_first = array(n_connections, sizeof(*f.place_first));
	f.place_last = array(n_connections, sizeof(*f.place_last));
	f.key = array(n_keys(p), sizeof(*f.key));
	f.merged = array(f.n, sizeof(*f.merged));
	f.group = array(f.n, sizeof(*f.group));
	f.size = array(f.n, sizeof(*f.size));
	f.folded = array(f.n, sizeof(*f.folded));
	f.component = array(f.n, sizeof(*f.component));
	if (f.service && f.place_first && f.place_last && f.key && f.merged && f.group && f.size && f.folded &&
	    f.component) {
		number_services(&f);
		err = merge(&f);
	}
	if (!err && p->overlay)
		err = count_moments(&f);
	if (!err)
		err = p->overlay ? choose_sides(&f, max_nodes) : 1;
	if (err == 1)
		err = choose(&f, max_nodes);
	if (!err)
		err = picture_nodes(p, f.component, f.n_components, f.folded, f.merged);
	free(f.moments);
	free(f.service);
	free(f.place_first);
	free(f.place_last);
	free(f.key);
	free(f.merged);
	free(f.group);
	free(f.size);
	free(f.folded);
	free(f.component);
	return err;
}
