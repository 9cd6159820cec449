/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What a thread did in another order: of what both runs have, as much as possible stays, the longest increasing subsequence; the
 * rest was moved. Fails only without memory.
 */
#include <errno.h>
#include <stdlib.h>

#include "graph/diff_inside.h"

/* What a thread of run 0 and one of run 1 both did. */
struct step {
	uint32_t process, thread[2];
	uint32_t vertex[2];
	uint32_t pair;
	uint32_t before; /* of the subsequence that ends here: the step before it; DIFF_NONE */
	bool stays;
};

static int step_compare(const void *a, const void *b)
{
	const struct step *p = a, *q = b;

	if (p->process != q->process)
		return p->process < q->process ? -1 : 1;
	if (p->thread[0] != q->thread[0])
		return p->thread[0] < q->thread[0] ? -1 : 1;
	if (p->thread[1] != q->thread[1])
		return p->thread[1] < q->thread[1] ? -1 : 1;
	return p->vertex[0] < q->vertex[0] ? -1 : p->vertex[0] > q->vertex[0];
}

static int later_compare(const void *a, const void *b)
{
	const struct step *p = a, *q = b;

	if (p->vertex[1] != q->vertex[1])
		return p->vertex[1] < q->vertex[1] ? -1 : 1;
	return p->vertex[0] < q->vertex[0] ? -1 : p->vertex[0] > q->vertex[0];
}

/*
 * Patience: tails[k] is the last step of the best subsequence of k + 1. Two messages of one receive have one vertex, so equal is
 * no disorder.
 */
static void find_stays(struct step *steps, size_t n, uint32_t *tails)
{
	size_t length = 0;

	for (size_t i = 0; i < n; i++) {
		size_t low = 0, high = length;

		while (low < high) {
			size_t middle = low + (high - low) / 2;

			if (steps[tails[middle]].vertex[1] <= steps[i].vertex[1])
				low = middle + 1;
			else
				high = middle;
		}
		steps[i].before = low ? tails[low - 1] : DIFF_NONE;
		tails[low] = i;
		length = low == length ? length + 1 : length;
	}
	for (uint32_t i = length ? tails[length - 1] : DIFF_NONE; i != DIFF_NONE; i = steps[i].before)
		steps[i].stays = true;
}

/* Steps in the order of run 1; those that follow each other and were moved are one change. */
static int collect(struct diffing *d, const struct step *steps, size_t n, uint32_t *moved)
{
	for (size_t i = 0, k; i < n; i = k) {
		struct diff_change *change;

		k = i + 1;
		if (steps[i].stays)
			continue;
		while (k < n && !steps[k].stays)
			k++;
		change = diff_change_add(d, DIFF_REORDERED);
		if (!change)
			return -ENOMEM;
		for (unsigned side = 0; side < 2; side++) {
			change->vertex[side] = steps[i].vertex[side];
			change->process[side] = d->sides[side].g->vertices[steps[i].vertex[side]].process;
			change->connection[side] = d->sides[side].g->vertices[steps[i].vertex[side]].connection;
		}
		change->n[0] = (uint32_t)(k - i);
		change->moved = ++*moved;
		for (size_t j = i; j < k; j++)
			d->pairs[steps[j].pair].moved = change->moved;
		change->later = k == n || steps[k].vertex[0] > steps[i].vertex[0];
		change->beside = change->later ? steps[i ? i - 1 : 0].vertex[1] : steps[k].vertex[1];
	}
	return 0;
}

int diff_order(struct diffing *d)
{
	struct step *steps = malloc((d->n_pairs + 1) * sizeof(*steps));
	uint32_t *tails = malloc((d->n_pairs + 1) * sizeof(*tails));
	int err = steps && tails ? 0 : -ENOMEM;
	uint32_t moved = 0;
	size_t n = 0;

	for (size_t i = 0; i < d->n_pairs && !err; i++) {
		struct step step = { .process = d->sides[0].g->vertices[d->pairs[i].vertex[0]].process, .pair = (uint32_t)i };

		for (unsigned side = 0; side < 2; side++) {
			const struct graph *g = d->sides[side].g;

			step.vertex[side] = d->pairs[i].vertex[side];
			step.thread[side] = g->trace->events[g->vertices[step.vertex[side]].event].thread;
		}
		if (d->sides[0].process[step.process] == d->sides[1].g->vertices[step.vertex[1]].process)
			steps[n++] = step;
	}
	if (n)
		qsort(steps, n, sizeof(*steps), step_compare);
	for (size_t i = 0, k; i < n && !err; i = k) {
		for (k = i + 1; k < n && steps[k].process == steps[i].process && steps[k].thread[0] == steps[i].thread[0] &&
				steps[k].thread[1] == steps[i].thread[1];
		     k++)
			;
		find_stays(steps + i, k - i, tails);
		qsort(steps + i, k - i, sizeof(*steps), later_compare);
		err = collect(d, steps + i, k - i, &moved);
	}
	free(steps);
	free(tails);
	return err;
}
