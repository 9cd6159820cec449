/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Two runs compared: the steps of diff_inside.h in turn. Fails only without memory. */
#include "graph/diff.h"

#include <errno.h>
#include <stdlib.h>

#include "graph/diff_inside.h"

const char *diff_kind_name(enum diff_kind kind)
{
	static const char *const names[] = {
#define X(NAME, name, text) [DIFF_##NAME] = #name,
		DIFF_KINDS(X)
#undef X
	};

	return names[kind];
}

/* Where a change stands: so many nanoseconds behind the first event. */
struct place {
	uint64_t ns;
	struct diff_change change;
};

static uint64_t begin_of(const struct graph *g)
{
	uint64_t begin = UINT64_MAX;

	for (uint32_t v = 0; v < g->n_vertices; v++) {
		uint64_t ns = g->trace->events[g->vertices[v].event].enter_ns;

		begin = ns && ns < begin ? ns : begin;
	}
	return begin;
}

/* Faults first and what they took, then what came and went, then what only has another order. */
static int rank_of(const struct diff_change *change)
{
	if (change->kind == DIFF_FAULT)
		return 0;
	if (change->kind == DIFF_REORDERED)
		return 3;
	return change->cause == DIFF_BY_FAULT && change->lost_to_it ? 1 : 2;
}

static int place_compare(const void *a, const void *b)
{
	const struct place *p = a, *q = b;
	int rank = rank_of(&p->change), other = rank_of(&q->change);

	if (rank != other)
		return rank < other ? -1 : 1;
	if (p->ns != q->ns)
		return p->ns < q->ns ? -1 : 1;
	if (p->change.kind != q->change.kind)
		return p->change.kind < q->change.kind ? -1 : 1;
	return p->change.vertex[0] < q->change.vertex[0] ? -1 : p->change.vertex[0] > q->change.vertex[0];
}

static uint64_t time_of(const struct diffing *d, unsigned side, uint32_t v, const uint64_t begins[2])
{
	const struct graph *g = d->sides[side].g;

	return g->trace->events[g->vertices[v].event].enter_ns - begins[side];
}

/* In run 1; of what only run 0 has: behind what its process did in both before that. */
static uint64_t place_of(const struct diffing *d, const struct diff_change *change, const uint64_t begins[2])
{
	uint32_t v = change->vertex[0];
	size_t low = 0, high = d->n_pairs;

	if (change->vertex[1] != DIFF_NONE)
		return time_of(d, 1, change->vertex[1], begins);
	if (v == DIFF_NONE)
		return UINT64_MAX;
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (d->pairs[middle].vertex[0] < v)
			low = middle + 1;
		else
			high = middle;
	}
	if (!low || d->sides[0].g->vertices[d->pairs[low - 1].vertex[0]].process != d->sides[0].g->vertices[v].process)
		return time_of(d, 0, v, begins);
	return time_of(d, 1, d->pairs[low - 1].vertex[1], begins) + 1;
}

/* Within that, as time goes. */
static int sort_changes(const struct diffing *d)
{
	struct diff *diff = d->diff;
	struct place *places = malloc((diff->n_changes + 1) * sizeof(*places));
	uint64_t begins[2] = { begin_of(d->sides[0].g), begin_of(d->sides[1].g) };

	if (!places)
		return -ENOMEM;
	for (size_t i = 0; i < diff->n_changes; i++) {
		const struct diff_change *change = &diff->changes[i];
		places[i] = (struct place){ place_of(d, change, begins), *change };
	}
	qsort(places, diff->n_changes, sizeof(*places), place_compare);
	for (size_t i = 0; i < diff->n_changes; i++)
		diff->changes[i] = places[i].change;
	free(places);
	return 0;
}

/* The diff keeps what the pairing found. */
static void hand_over(struct diffing *d)
{
	for (unsigned i = 0; i < 2; i++) {
		struct diff_side *side = &d->sides[i];

		d->diff->twins[i] = (struct diff_twins){ side->process, side->connection, side->message, side->receive };
		side->process = side->connection = side->message = side->receive = NULL;
	}
	d->diff->pairs = d->pairs;
	d->diff->n_pairs = d->n_pairs;
	d->pairs = NULL;
}

int diff_new(const struct graph *const graphs[2], struct diff **ret_diff)
{
	struct diffing d = { .diff = calloc(1, sizeof(*d.diff)) };
	int err = d.diff ? 0 : -ENOMEM;

	for (unsigned side = 0; side < 2 && !err; side++)
		err = diff_side_init(&d.sides[side], graphs[side]);
	if (!err)
		err = diff_align(&d);
	if (!err)
		err = diff_collect(&d);
	if (!err)
		err = diff_order(&d);
	if (!err)
		err = diff_explain(&d);
	if (!err)
		err = sort_changes(&d);
	if (!err)
		err = diff_words(&d);
	if (!err)
		hand_over(&d);
	diff_side_fini(&d.sides[0]);
	diff_side_fini(&d.sides[1]);
	free(d.pairs);
	if (!err)
		*ret_diff = d.diff;
	else
		diff_free(d.diff);
	return err;
}

void diff_free(struct diff *diff)
{
	if (!diff)
		return;
	for (size_t i = 0; i < diff->n_changes; i++)
		free(diff->changes[i].text);
	for (unsigned side = 0; side < 2; side++) {
		free(diff->twins[side].process);
		free(diff->twins[side].connection);
		free(diff->twins[side].message);
		free(diff->twins[side].receive);
	}
	free(diff->pairs);
	free(diff->changes);
	free(diff);
}
