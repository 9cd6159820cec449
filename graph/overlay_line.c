/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * All moments of both runs in one line, causes first: pairs stand where both runs allow it. Where neither run allows what the other
 * one needs next, a pair is taken apart, so there is always something that can come next: the first moment of what is left of a run is
 * free as soon as it needs not wait for its twin. What only run 0 has comes as soon as it can, else time decides.
 * Fails only without memory.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "graph/overlay_inside.h"
#include "lib/large.h"

struct waiter {
	uint64_t key;
	uint32_t side, moment;
};

struct queue {
	struct waiter *heap;
	size_t n, cap;
};

/* By moment of one run. */
struct track {
	uint32_t *first, *out; /* edges that leave it: first[m] to first[m + 1] of out */
	uint32_t *waits, *waits_cross; /* for so many of its thread, and of others */
	uint64_t *key;
	bool *joined; /* with its twin */
};

struct lining {
	struct laying *l;
	struct track tracks[2];
	struct queue ready, half; /* half: pairs of which one could come */
};

static bool before(const struct waiter *a, const struct waiter *b)
{
	if (a->key != b->key)
		return a->key < b->key;
	if (a->side != b->side)
		return a->side < b->side;
	return a->moment < b->moment;
}

static int push(struct queue *q, struct waiter waiter)
{
	size_t i = q->n;

	if (build_grow((void **)&q->heap, &q->cap, q->n, sizeof(*q->heap)) < 0)
		return -ENOMEM;
	for (q->n++; i && before(&waiter, &q->heap[(i - 1) / 2]); i = (i - 1) / 2)
		q->heap[i] = q->heap[(i - 1) / 2];
	q->heap[i] = waiter;
	return 0;
}

static struct waiter pop(struct queue *q)
{
	struct waiter top = q->heap[0], last = q->heap[--q->n];
	size_t i = 0, child;

	while ((child = 2 * i + 1) < q->n) {
		if (child + 1 < q->n && before(&q->heap[child + 1], &q->heap[child]))
			child++;
		if (!before(&q->heap[child], &last))
			break;
		q->heap[i] = q->heap[child];
		i = child;
	}
	q->heap[i] = last;
	return top;
}

static bool is_free(const struct lining *x, unsigned side, uint32_t moment)
{
	const struct track *track = &x->tracks[side];

	return !track->waits[moment] && !track->waits_cross[moment];
}

/* One that waits for nothing any more. */
static int release(struct lining *x, unsigned side, uint32_t moment)
{
	uint32_t twin = x->l->layers[side].moments[moment].twin;
	struct waiter waiter = { x->tracks[side].key[moment], side, moment };

	if (!x->tracks[side].joined[moment])
		return push(&x->ready, waiter);
	waiter = (struct waiter){ x->tracks[1].key[side ? moment : twin], 1, side ? moment : twin };
	return push(is_free(x, !side, twin) ? &x->ready : &x->half, waiter);
}

/* An edge from a moment with this key is no reason to wait any more. */
static int follow(struct lining *x, unsigned side, uint32_t edge, uint64_t key)
{
	const struct moment_edge *e = &x->l->layers[side].edges[edge];
	struct track *track = &x->tracks[side];
	bool cross = e->edge.rule != RULE_THREAD;

	if (!side && track->key[e->to] < key)
		track->key[e->to] = key;
	if (cross && !track->waits_cross[e->to])
		return 0; /* it has given up waiting for others */
	(cross ? track->waits_cross : track->waits)[e->to]--;
	return is_free(x, side, e->to) ? release(x, side, e->to) : 0;
}

static bool is_half(const struct lining *x, unsigned side, uint32_t moment)
{
	return !side && x->l->layers[0].moments[moment].twin != DIFF_NONE && !x->tracks[0].joined[moment];
}

static int place_one(struct lining *x, unsigned side, uint32_t moment, uint64_t key)
{
	const struct track *track = &x->tracks[side];
	int err = 0;

	for (uint32_t i = track->first[moment]; i < track->first[moment + 1] && !err; i++)
		if (!is_half(x, side, moment) || x->l->layers[side].edges[track->out[i]].edge.rule == RULE_THREAD)
			err = follow(x, side, track->out[i], key);
	return err;
}

static int place(struct lining *x, const struct waiter *w)
{
	bool joined = x->tracks[w->side].joined[w->moment];
	uint32_t twin = joined ? x->l->layers[w->side].moments[w->moment].twin : DIFF_NONE;
	struct placed *placed = &x->l->placed[x->l->n_placed++];
	int err;

	placed->moment[w->side] = w->moment;
	placed->moment[!w->side] = twin;
	err = place_one(x, w->side, w->moment, w->key);
	return joined && !err ? place_one(x, !w->side, twin, w->key) : err;
}

/* Of run 0, only its place in its thread is left. */
static int part(struct lining *x, uint32_t b)
{
	uint32_t a = x->l->layers[1].moments[b].twin;
	struct track *track = &x->tracks[0];
	bool was_free[2] = { is_free(x, 0, a), is_free(x, 1, b) };
	int err = 0;

	track->joined[a] = x->tracks[1].joined[b] = false;
	x->l->layers[0].moments[a].moved = x->l->layers[1].moments[b].moved = UINT32_MAX;
	track->waits_cross[a] = 0;
	for (uint32_t i = track->first[a]; i < track->first[a + 1] && !err; i++)
		if (x->l->layers[0].edges[track->out[i]].edge.rule != RULE_THREAD)
			err = follow(x, 0, track->out[i], 0);
	if (!err && (was_free[0] || is_free(x, 0, a)))
		err = release(x, 0, a);
	return !err && was_free[1] ? release(x, 1, b) : err;
}

static int line_up(struct lining *x)
{
	const struct laying *l = x->l;
	int err = 0;

	for (unsigned side = 0; side < 2; side++)
		for (uint32_t m = 0; m < l->layers[side].n_moments && !err; m++)
			if (is_free(x, side, m) && (side || !x->tracks[0].joined[m] || !is_free(x, 1, l->layers[0].moments[m].twin)))
				err = release(x, side, m);
	while (!err && (x->ready.n || x->half.n)) {
		struct waiter w;

		if (x->ready.n) {
			w = pop(&x->ready);
			err = place(x, &w);
			continue;
		}
		w = pop(&x->half);
		if (x->tracks[1].joined[w.moment] &&
		    !(is_free(x, 1, w.moment) && is_free(x, 0, l->layers[1].moments[w.moment].twin)))
			err = part(x, w.moment);
	}
	return err;
}

/* Both did it in the same order of their threads, and the same process did it. */
static bool is_joined(const struct laying *l, const struct moment *before)
{
	const struct layer *a = &l->layers[0], *b = &l->layers[1];

	if (before->twin == DIFF_NONE || before->moved)
		return false;
	return a->process[a->g->vertices[before->vertex].process] ==
	       b->process[b->g->vertices[b->moments[before->twin].vertex].process];
}

static uint64_t time_of(const struct layer *layer, uint32_t moment)
{
	uint64_t ns = event_time(moment_event(layer, moment));

	return ns > layer->begin_ns ? ns - layer->begin_ns : 0;
}

static int track_init(struct track *track, const struct layer *layer, unsigned side)
{
	size_t n = layer->n_moments;

	track->first = large_calloc(n + 3, sizeof(*track->first));
	track->out = large_malloc(layer->n_edges + 1, sizeof(*track->out));
	track->waits = large_calloc(n + 1, sizeof(*track->waits));
	track->waits_cross = large_calloc(n + 1, sizeof(*track->waits_cross));
	track->key = large_calloc(n + 1, sizeof(*track->key));
	track->joined = calloc(n + 1, sizeof(*track->joined));
	if (!track->first || !track->out || !track->waits || !track->waits_cross || !track->key || !track->joined)
		return -ENOMEM;
	for (size_t i = 0; i < layer->n_edges; i++)
		track->first[layer->edges[i].from + 2]++;
	for (size_t m = 0; m + 1 < n + 3; m++)
		track->first[m + 1] += track->first[m];
	for (uint32_t i = 0; i < layer->n_edges; i++)
		track->out[track->first[layer->edges[i].from + 1]++] = i;
	for (uint32_t m = 0; m < n && side; m++)
		track->key[m] = time_of(layer, m);
	for (size_t i = 0; i < layer->n_edges && side; i++) { /* those of threads are sorted */
		const struct moment_edge *e = &layer->edges[i];

		if (e->edge.rule == RULE_THREAD && track->key[e->to] < track->key[e->from])
			track->key[e->to] = track->key[e->from];
	}
	return 0;
}

/* What each waits for, and what has no cause in run 0 stands by its time. */
static void count_waits(struct lining *x)
{
	for (unsigned side = 0; side < 2; side++) {
		const struct layer *layer = &x->l->layers[side];
		struct track *track = &x->tracks[side];

		for (size_t i = 0; i < layer->n_edges; i++) {
			const struct moment_edge *e = &layer->edges[i];

			if (e->edge.rule == RULE_THREAD)
				track->waits[e->to]++;
			else if (!is_half(x, side, e->from) && !is_half(x, side, e->to))
				track->waits_cross[e->to]++;
		}
		for (uint32_t m = 0; m < layer->n_moments && !side; m++)
			if (is_free(x, 0, m))
				track->key[m] = time_of(layer, m);
	}
}

/* What a process did that ends earlier now stands behind its end, if nothing is against it. */
static int defer(struct lining *x, const struct laying *l)
{
	const struct layer *before = &l->layers[0], *after = &l->layers[1];
	uint64_t *ends = calloc(l->o->trace.n_processes + 1, sizeof(*ends)); /* by process of the overlay */

	if (!ends)
		return -ENOMEM;
	for (uint32_t m = 0; m < after->n_moments; m++)
		if (moment_event(after, m)->kind == EVENT_EXIT && after->moments[m].twin == DIFF_NONE)
			ends[after->process[after->g->vertices[after->moments[m].vertex].process]] = x->tracks[1].key[m] + 1;
	for (uint32_t m = 0; m < before->n_moments; m++) {
		uint64_t end = ends[before->process[before->g->vertices[before->moments[m].vertex].process]];

		if (before->moments[m].twin == DIFF_NONE && x->tracks[0].key[m] < end)
			x->tracks[0].key[m] = end;
	}
	free(ends);
	return 0;
}

int overlay_line(struct laying *l)
{
	struct lining x = { .l = l };
	int err = track_init(&x.tracks[0], &l->layers[0], 0);

	if (!err)
		err = track_init(&x.tracks[1], &l->layers[1], 1);
	l->placed = large_malloc(l->layers[0].n_moments + l->layers[1].n_moments + 1, sizeof(*l->placed));
	if (!l->placed)
		err = -ENOMEM;
	for (uint32_t m = 0; m < l->layers[0].n_moments && !err; m++)
		if (is_joined(l, &l->layers[0].moments[m]))
			x.tracks[0].joined[m] = x.tracks[1].joined[l->layers[0].moments[m].twin] = true;
	if (!err) {
		count_waits(&x);
		err = defer(&x, l);
	}
	if (!err)
		err = line_up(&x);
	for (unsigned side = 0; side < 2; side++) {
		free(x.tracks[side].first);
		free(x.tracks[side].out);
		free(x.tracks[side].waits);
		free(x.tracks[side].waits_cross);
		free(x.tracks[side].key);
		free(x.tracks[side].joined);
	}
	free(x.ready.heap);
	free(x.half.heap);
	return err;
}
