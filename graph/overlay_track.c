/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The line of one run: causes first, else by time. Fails only without memory. */
#include "graph/overlay_track.h"

#include <errno.h>
#include <stdlib.h>

#include "lib/large.h"

static bool before(const struct waiter *a, const struct waiter *b)
{
	return a->key != b->key ? a->key < b->key : a->moment < b->moment;
}

int queue_push(struct queue *q, uint64_t key, uint32_t moment)
{
	struct waiter waiter = { key, moment };
	size_t i = q->n;

	if (build_grow((void **)&q->heap, &q->cap, q->n, sizeof(*q->heap)) < 0)
		return -ENOMEM;
	for (q->n++; i && before(&waiter, &q->heap[(i - 1) / 2]); i = (i - 1) / 2)
		q->heap[i] = q->heap[(i - 1) / 2];
	q->heap[i] = waiter;
	return 0;
}

struct waiter queue_pop(struct queue *q)
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

/* Edges by one of their ends. */
static int index_edges(const struct layer *layer, bool arriving, uint32_t **ret_first, uint32_t **ret_edges)
{
	size_t n = layer->n_moments;
	uint32_t *first = large_calloc(n + 3, sizeof(*first)), *edges = large_malloc(layer->n_edges + 1, sizeof(*edges));

	*ret_first = first;
	*ret_edges = edges;
	if (!first || !edges)
		return -ENOMEM;
	for (size_t i = 0; i < layer->n_edges; i++)
		first[(arriving ? layer->edges[i].to : layer->edges[i].from) + 2]++;
	for (size_t m = 0; m + 1 < n + 3; m++)
		first[m + 1] += first[m];
	for (uint32_t i = 0; i < layer->n_edges; i++)
		edges[first[(arriving ? layer->edges[i].to : layer->edges[i].from) + 1]++] = i;
	return 0;
}

/* The run's own line: causes first, else by time. Keys are times that never go back. */
static int order_run(struct track *track)
{
	const struct layer *layer = track->layer;
	struct queue queue = { 0 };
	size_t n = 0;
	int err = 0;

	for (size_t i = 0; i < layer->n_edges; i++)
		track->waits[layer->edges[i].to]++;
	for (uint32_t m = 0; m < layer->n_moments && !err; m++) {
		uint64_t ns = event_time(moment_event(layer, m));

		track->key[m] = ns > layer->begin_ns ? ns - layer->begin_ns : 0;
		if (!track->waits[m])
			err = queue_push(&queue, track->key[m], m);
	}
	while (queue.n && !err) {
		struct waiter w = queue_pop(&queue);

		track->order[n++] = w.moment;
		track->key[w.moment] = w.key;
		for (uint32_t i = track->first_out[w.moment]; i < track->first_out[w.moment + 1] && !err; i++) {
			uint32_t to = layer->edges[track->out[i]].to;

			track->key[to] = track->key[to] > w.key ? track->key[to] : w.key;
			if (!--track->waits[to])
				err = queue_push(&queue, track->key[to], to);
		}
	}
	free(queue.heap);
	return err;
}

int track_init(struct track *track, const struct layer *layer)
{
	size_t n = layer->n_moments + 1;
	int err;

	track->layer = layer;
	track->waits = large_calloc(n, sizeof(*track->waits));
	track->key = large_calloc(n, sizeof(*track->key));
	track->order = large_malloc(n, sizeof(*track->order));
	track->rank = large_calloc(n, sizeof(*track->rank));
	track->joined = calloc(n, sizeof(*track->joined));
	track->placed = calloc(n, sizeof(*track->placed));
	track->looked = large_calloc(n, sizeof(*track->looked));
	if (!track->waits || !track->key || !track->order || !track->rank || !track->joined || !track->placed || !track->looked)
		return -ENOMEM;
	err = index_edges(layer, false, &track->first_out, &track->out);
	if (!err)
		err = index_edges(layer, true, &track->first_in, &track->in);
	for (uint32_t m = 0; m < layer->n_moments && !err; m++)
		track->looked[m] = track->first_in[m];
	return err ? err : order_run(track);
}

void track_fini(struct track *track)
{
	free(track->first_out);
	free(track->out);
	free(track->first_in);
	free(track->in);
	free(track->waits);
	free(track->key);
	free(track->order);
	free(track->rank);
	free(track->looked);
	free(track->joined);
	free(track->placed);
}
