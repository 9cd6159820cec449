/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Which moments are vertices, of which side, and which numbers they have. Fails only without memory. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "graph/overlay_inside.h"
#include "lib/large.h"

static bool exit_counts(const struct laying *l, unsigned side, uint32_t vertex)
{
	for (size_t i = 0; i < l->diff->n_changes; i++)
		if (l->diff->changes[i].kind == DIFF_EXIT && l->diff->changes[i].vertex[side] == vertex)
			return true;
	return false;
}

/* Is it a difference that only this run has it? */
static bool counts(const struct laying *l, unsigned side, const struct moment *m)
{
	const struct layer *layer = &l->layers[side];
	const struct event *event = layer_event(layer, m->vertex);
	const struct graph_fault *fault;

	if (m->message != DIFF_NONE && event->kind == EVENT_RECV) { /* as diff_collect.c sees it */
		const struct graph_message *message = &layer->g->messages[m->message];

		return layer->twins->message[m->message] == DIFF_NONE || message->received >= message->size;
	}
	if (m->message != DIFF_NONE || event->kind == EVENT_LOST || layer_is_alone(layer, m->vertex))
		return true;
	if (event->kind == EVENT_EXIT)
		return exit_counts(l, side, m->vertex);
	if (event_is_fault(event->kind)) {
		fault = graph_fault_find(layer->g, (uint32_t)event->value);
		return fault->acts && l->o->faults[layer->fault[fault - layer->g->faults]].side != OVERLAY_BOTH;
	}
	return layer_makes_alone(layer, m->vertex);
}

#define GHOSTS_MAX 12u /* changes of order: of more, each says where it was only in words */

/* What is seen of it; SIDE_COUNT: nothing. groups: by number of a change of order: it has its ghost; [0]: none has one. */
static enum overlay_side side_of(const struct laying *l, const struct placed *placed, bool *groups)
{
	const struct moment *a = placed->moment[0] == DIFF_NONE ? NULL : &l->layers[0].moments[placed->moment[0]];
	const struct moment *b = placed->moment[1] == DIFF_NONE ? NULL : &l->layers[1].moments[placed->moment[1]];

	if (a && b)
		return OVERLAY_BOTH;
	if (b && b->twin != DIFF_NONE)
		return b->moved ? OVERLAY_MOVED : OVERLAY_BOTH; /* not moved: another process did it */
	if (b)
		return counts(l, 1, b) ? OVERLAY_ADDED : OVERLAY_BOTH;
	if (a->twin == DIFF_NONE)
		return counts(l, 0, a) ? OVERLAY_REMOVED : OVERLAY_SIDE_COUNT;
	if (!a->moved || groups[a->moved == UINT32_MAX ? 0 : a->moved])
		return OVERLAY_SIDE_COUNT;
	if (a->moved != UINT32_MAX)
		groups[a->moved] = true;
	return OVERLAY_GHOST;
}

static int process_compare(const void *a, const void *b, void *arg)
{
	return build_process_compare(arg, *(const uint32_t *)a, *(const uint32_t *)b);
}

/* By process of the overlay: how many vertices stand before its own. Those of nobody come last, as in graph_build(). */
static int number_processes(const struct laying *l, const uint32_t *processes, size_t n, uint32_t *ret_next)
{
	const struct trace *trace = &l->o->trace;
	uint32_t *sorted = malloc((trace->n_processes + 1) * sizeof(*sorted)), sum = 0;

	if (!sorted)
		return -ENOMEM;
	for (uint32_t i = 0; i < trace->n_processes; i++)
		sorted[i] = i + 1;
	qsort_r(sorted, trace->n_processes, sizeof(*sorted), process_compare, (void *)trace);
	for (size_t i = 0; i < n; i++)
		ret_next[processes[i]]++;
	for (size_t i = 0; i <= trace->n_processes; i++) {
		uint32_t process = i < trace->n_processes ? sorted[i] : 0, own = ret_next[process];

		ret_next[process] = sum;
		sum += own;
	}
	free(sorted);
	return 0;
}

static uint32_t process_of(const struct laying *l, const struct placed *placed)
{
	unsigned side = placed->moment[1] != DIFF_NONE;
	const struct layer *layer = &l->layers[side];

	return layer->process[layer->g->vertices[layer->moments[placed->moment[side]].vertex].process];
}

static size_t count_moves(const struct laying *l)
{
	size_t n = 0;

	for (size_t i = 0; i < l->diff->n_changes; i++)
		n += l->diff->changes[i].kind == DIFF_REORDERED;
	return n;
}

/* Vertices get their numbers, sides and places in the line. */
int overlay_vertices(struct laying *l)
{
	struct overlay *o = l->o;
	size_t n = 0, n_groups = l->diff->n_changes + 2;
	uint32_t *processes = large_malloc(l->n_placed + 1, sizeof(*processes));
	uint32_t *next = calloc(o->trace.n_processes + 1, sizeof(*next));
	bool *groups = calloc(n_groups, sizeof(*groups));
	enum overlay_side *sides = large_malloc(l->n_placed + 1, sizeof(*sides));
	int err = processes && next && groups && sides ? 0 : -ENOMEM;

	if (!err && count_moves(l) > GHOSTS_MAX)
		memset(groups, true, n_groups);
	for (size_t i = 0; i < l->n_placed && !err; i++) {
		sides[i] = side_of(l, &l->placed[i], groups);
		if (sides[i] == OVERLAY_SIDE_COUNT)
			continue;
		sides[n] = sides[i];
		l->placed[n] = l->placed[i];
		processes[n++] = process_of(l, &l->placed[i]);
	}
	if (!err) {
		l->n_placed = n;
		o->vertices = large_calloc(n + 1, sizeof(*o->vertices));
		o->line = large_malloc(n + 1, sizeof(*o->line));
		err = o->vertices && o->line ? number_processes(l, processes, n, next) : -ENOMEM;
	}
	for (size_t i = 0; i < n && !err; i++) {
		uint32_t v = o->line[i] = next[processes[i]]++;

		o->vertices[v].side = sides[i];
		for (unsigned side = 0; side < 2; side++) {
			uint32_t m = l->placed[i].moment[side];
			struct moment *moment = m == DIFF_NONE ? NULL : &l->layers[side].moments[m];

			o->vertices[v].vertex[side] = moment ? moment->vertex : DIFF_NONE;
			o->vertices[v].message[side] = moment ? moment->message : DIFF_NONE;
			if (moment)
				moment->merged = v;
		}
	}
	free(processes);
	free(next);
	free(groups);
	free(sides);
	return err;
}
