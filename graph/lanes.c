/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The order of a picture's lanes: those that talk to each other stand together. Fails only without memory. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "graph/picture.h"

#define BRUTE_FORCE_MAX 7 /* lanes of which all permutations are tried */
#define ROUNDS_MAX 50
#define AGAIN 24 /* what was started again stands beside itself, whoever it talks to */

static size_t cost(const uint32_t *weight, const uint32_t *order, size_t n)
{
	size_t sum = 0;

	for (size_t i = 0; i < n; i++)
		for (size_t k = i + 1; k < n; k++)
			sum += (k - i) * weight[order[i] * n + order[k]];
	return sum;
}

/* The next permutation in lexicographic order; false after the last. */
static bool permute(uint32_t *order, size_t n)
{
	size_t i = n - 1, k = n - 1;
	uint32_t swap;

	while (i > 0 && order[i - 1] >= order[i])
		i--;
	if (!i)
		return false;
	while (order[k] <= order[i - 1])
		k--;
	swap = order[i - 1];
	order[i - 1] = order[k];
	order[k] = swap;
	for (k = n - 1; i < k; i++, k--) {
		swap = order[i];
		order[i] = order[k];
		order[k] = swap;
	}
	return true;
}

static void move(uint32_t *order, size_t from, size_t to)
{
	uint32_t lane = order[from];

	if (from < to)
		memmove(order + from, order + from + 1, (to - from) * sizeof(*order));
	else
		memmove(order + to + 1, order + to, (from - to) * sizeof(*order));
	order[to] = lane;
}

/* Few lanes: the best of all orders, of equals the first by name. Many: move single lanes while that helps. */
static void arrange(const uint32_t *weight, uint32_t *order, uint32_t *work, size_t n)
{
	size_t best, now;
	bool better = true;

	for (size_t i = 0; i < n; i++)
		order[i] = work[i] = i;
	best = cost(weight, order, n);
	if (n <= BRUTE_FORCE_MAX) {
		while (n > 2 && permute(work, n)) {
			now = cost(weight, work, n);
			if (now < best) {
				best = now;
				memcpy(order, work, n * sizeof(*order));
			}
		}
		return;
	}
	for (unsigned round = 0; better && round < ROUNDS_MAX; round++) {
		better = false;
		for (size_t i = 0; i < n * n; i++) {
			move(order, i / n, i % n);
			now = cost(weight, order, n);
			if (now < best) {
				best = now;
				better = true;
			} else {
				move(order, i % n, i / n);
			}
		}
	}
}

static uint32_t log2_of(uint32_t x)
{
	return x ? 32 - __builtin_clz(x) : 0;
}

/* One is the other, started again: s1 and s1'2. */
static bool is_again(const struct picture *p, const struct lane *a, const struct lane *b)
{
	const char *name = text_or(p->g->trace->processes[a->process].name, "");
	const char *other = text_or(p->g->trace->processes[b->process].name, "");
	size_t n = strcspn(name, "'");

	return a->process && b->process && a != b && n && n == strcspn(other, "'") && !memcmp(name, other, n) &&
	       (name[n] || other[n]);
}

/* Edges between each two lanes; a thousand messages do not pull a thousand times as hard as one. */
static void weigh(const struct picture *p, uint32_t *weight)
{
	const struct graph *g = p->g;
	size_t n = p->n_lanes;

	for (size_t i = 0; i < g->n_edges; i++) {
		uint32_t from = p->lane_of[g->vertices[g->edges[i].from].process];
		uint32_t to = p->lane_of[g->vertices[g->edges[i].to].process];

		if (from == NO_LANE || to == NO_LANE || from == to)
			continue;
		weight[from * n + to]++;
		weight[to * n + from]++;
	}
	for (size_t i = 0; i < n * n; i++)
		weight[i] = log2_of(weight[i]);
	for (size_t i = 0; i < n * n; i++)
		weight[i] += is_again(p, &p->lanes[i / n], &p->lanes[i % n]) ? AGAIN : 0;
}

static int sort_lanes(struct picture *p)
{
	size_t n = p->n_lanes;
	uint32_t *weight = calloc(n * n + 1, sizeof(*weight)), *order = malloc((n + 1) * sizeof(*order));
	uint32_t *work = malloc((n + 1) * sizeof(*work));
	struct lane *old = malloc((n + 1) * sizeof(*old));
	int err = weight && order && work && old ? 0 : -ENOMEM;

	if (!err) {
		weigh(p, weight);
		arrange(weight, order, work, n);
		memcpy(old, p->lanes, n * sizeof(*old));
		for (size_t i = 0; i < n; i++) {
			p->lanes[i] = old[order[i]];
			work[order[i]] = i;
		}
		for (size_t i = 0; i <= p->g->trace->n_processes; i++)
			if (p->lane_of[i] != NO_LANE)
				p->lane_of[i] = work[p->lane_of[i]];
	}
	free(weight);
	free(order);
	free(work);
	free(old);
	return err;
}

/* A thread number is worth its place in a label only where two threads talk. */
static void find_threads(struct picture *p)
{
	const struct graph *g = p->g;

	for (uint32_t v = 0; v < g->n_vertices; v++) {
		const struct event *event = &g->trace->events[g->vertices[v].event];
		uint32_t lane = p->lane_of[g->vertices[v].process];

		if (lane != NO_LANE && event->end && event->thread && event->process)
			p->lanes[lane].threads = true;
	}
}

int picture_lanes(struct picture *p)
{
	int err = picture_share(p);

	if (!err)
		err = sort_lanes(p);
	if (!err)
		find_threads(p);
	return err;
}
