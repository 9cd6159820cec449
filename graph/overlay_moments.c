/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What is taken of each run, and what orders it there: of run 1 all that happened before the outcome, of run 0 what has a
 * twin, and what run 1 has not. Fails only without memory.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "graph/overlay_inside.h"
#include "lib/large.h"

static void add(struct layer *layer, uint32_t vertex, uint32_t message)
{
	layer->moments[layer->n_moments++] =
		(struct moment){ .vertex = vertex, .message = message, .twin = DIFF_NONE, .merged = DIFF_NONE };
}

static void add_messages(struct layer *layer, uint32_t v)
{
	const struct graph *g = layer->g;
	const struct graph_vertex *vertex = &g->vertices[v];
	bool receive = layer_event(layer, v)->kind == EVENT_RECV;

	for (uint32_t i = 0; i < vertex->n_messages; i++) {
		uint32_t message = g->vertex_messages[vertex->first_message + i];

		if (receive ? layer->twins->receive[message] != v : g->messages[message].send != v)
			continue;
		if (g->vertices[g->messages[message].send].teardown) /* what says that it came first contradicted the rest */
			continue;
		(receive ? layer->receive : layer->send)[message] = (uint32_t)layer->n_moments;
		add(layer, v, message);
	}
}

/* A fault that is in both stands where run 1 has it. */
static bool is_of_one(const struct laying *l, const struct layer *layer, const struct event *event)
{
	const struct graph_fault *fault = graph_fault_find(layer->g, (uint32_t)event->value);

	return l->o->faults[layer->fault[fault - layer->g->faults]].side == OVERLAY_REMOVED;
}

/* What is no message. */
static bool is_taken(const struct laying *l, unsigned side, uint32_t v)
{
	const struct layer *layer = &l->layers[side];
	const struct event *event = layer_event(layer, v);

	switch ((enum event_kind)event->kind) {
	case EVENT_ARMED: /* stands above the picture */
	case EVENT_NONE:
	case EVENT_KIND_COUNT:
		return false;
	case EVENT_LOST:
		return true;
	case EVENT_FIRED:
	case EVENT_LIFTED:
	case EVENT_EXPIRED:
		return side || is_of_one(l, layer, event);
	case EVENT_EXIT: /* whether it was luck is known when all are paired */
		return !(event->flags & EVENT_F_THREAD);
	case EVENT_SPAWN:
		if (event->flags & EVENT_F_THREAD)
			return false;
		break;
	case EVENT_CONNECT:
	case EVENT_ACCEPT:
	case EVENT_WAIT:
	case EVENT_START:
	case EVENT_EXEC:
	case EVENT_LISTEN:
	case EVENT_SEND:
	case EVENT_RECV:
	case EVENT_CLOSE:
	case EVENT_RESET:
	case EVENT_MARK:
		break;
	}
	return side || layer_is_alone(layer, v) || layer_makes_alone(layer, v) || layer_opens(layer, v);
}

static void take(const struct laying *l, unsigned side, struct layer *layer)
{
	const struct graph *g = layer->g;

	for (uint32_t v = 0; v < g->n_vertices; v++) {
		const struct event *event = layer_event(layer, v);

		layer->at[v] = (uint32_t)layer->n_moments;
		if (g->vertices[v].teardown && event->kind != EVENT_LOST)
			continue;
		if (g->vertices[v].n_messages && (event->kind == EVENT_SEND || event->kind == EVENT_RECV))
			add_messages(layer, v);
		else if (is_taken(l, side, v))
			add(layer, v, DIFF_NONE);
	}
	layer->at[g->n_vertices] = (uint32_t)layer->n_moments;
}

static int join(struct layer *layer, uint32_t from, uint32_t to, const struct graph_edge *edge)
{
	if (build_grow((void **)&layer->edges, &layer->cap_edges, layer->n_edges, sizeof(*layer->edges)) < 0)
		return -ENOMEM;
	layer->edges[layer->n_edges++] = (struct moment_edge){ from, to, *edge };
	return 0;
}

static bool has_moment(const struct layer *layer, uint32_t vertex)
{
	return layer->at[vertex] < layer->at[vertex + 1];
}

/* Each thread does one thing after the other. */
static int join_threads(struct layer *layer)
{
	const struct graph *g = layer->g;
	const struct graph_edge order = { .rule = RULE_THREAD };
	uint32_t *next = large_malloc(g->n_vertices + 1, sizeof(*next));
	int err = next ? 0 : -ENOMEM;

	for (size_t v = 0; v < g->n_vertices && !err; v++)
		next[v] = NO_VERTEX;
	for (size_t i = 0; i < g->n_edges && !err; i++)
		if (g->edges[i].rule == RULE_THREAD)
			next[g->edges[i].from] = g->edges[i].to;
	for (uint32_t v = 0; v < g->n_vertices && !err; v++) {
		uint32_t w = next[v];

		if (!has_moment(layer, v))
			continue;
		for (uint32_t m = layer->at[v]; m + 1 < layer->at[v + 1] && !err; m++)
			err = join(layer, m, m + 1, &order);
		while (w != NO_VERTEX && !has_moment(layer, w))
			w = next[w];
		if (w != NO_VERTEX && !err)
			err = join(layer, layer->at[v + 1] - 1, layer->at[w], &order);
	}
	free(next);
	return err;
}

/* Between threads. A message has one edge, whatever calls moved it. */
static int join_causes(struct layer *layer)
{
	const struct graph *g = layer->g;
	bool *done = calloc(g->n_messages + 1, sizeof(*done));
	int err = done ? 0 : -ENOMEM;

	for (size_t i = 0; i < g->n_edges && !err; i++) {
		struct graph_edge edge = g->edges[i];
		const struct graph_vertex *from = &g->vertices[edge.from];

		if (edge.rule == RULE_THREAD || edge.rule == RULE_PROCESS)
			continue;
		if (!graph_rule_carries(edge.rule) || !from->n_messages) {
			if (has_moment(layer, edge.from) && has_moment(layer, edge.to))
				err = join(layer, layer->at[edge.from + 1] - 1, layer->at[edge.to], &edge);
			continue;
		}
		uint32_t message = g->vertex_messages[from->first_message];
		uint32_t send = layer->send[message], receive = layer->receive[message];

		if (done[message] || send == DIFF_NONE || receive == DIFF_NONE || layer->moments[receive].vertex != edge.to)
			continue;
		/* a damaged run can have its beginning behind what its end caused */
		if (g->vertices[layer->moments[send].vertex].depth >= g->vertices[edge.to].depth)
			continue;
		done[message] = true;
		edge.bytes = g->messages[message].received;
		err = join(layer, send, receive, &edge);
	}
	free(done);
	return err;
}

static int layer_take(struct laying *l, unsigned side)
{
	struct layer *layer = &l->layers[side];
	const struct graph *g = layer->g;
	size_t n = g->n_vertices + g->n_vertex_messages;
	int err;

	layer->moments = large_malloc(n + 1, sizeof(*layer->moments));
	layer->at = large_malloc(g->n_vertices + 1, sizeof(*layer->at));
	layer->send = large_malloc(g->n_messages + 1, sizeof(*layer->send));
	layer->receive = large_malloc(g->n_messages + 1, sizeof(*layer->receive));
	if (!layer->moments || !layer->at || !layer->send || !layer->receive)
		return -ENOMEM;
	memset(layer->send, 0xff, (g->n_messages + 1) * sizeof(*layer->send));
	memset(layer->receive, 0xff, (g->n_messages + 1) * sizeof(*layer->receive));
	take(l, side, layer);
	err = join_threads(layer);
	return err < 0 ? err : join_causes(layer);
}

/* < 0, 0, > 0: of a pair, by its vertices. */
static int pair_compare(const struct diff_pair *pair, uint32_t a, uint32_t b)
{
	if (pair->vertex[0] != a)
		return pair->vertex[0] < a ? -1 : 1;
	return pair->vertex[1] < b ? -1 : pair->vertex[1] > b;
}

static int place_compare(const void *a, const void *b, void *arg)
{
	const struct diff_pair *pairs = arg;
	uint32_t p = *(const uint32_t *)a, q = *(const uint32_t *)b;
	int diff = pair_compare(&pairs[p], pairs[q].vertex[0], pairs[q].vertex[1]);

	return diff ? diff : p < q ? -1 : p > q;
}

/* Places of the pairs by both their vertices: a receive that returned many messages can have as many. NULL: no memory. */
static uint32_t *pairs_sorted(const struct diff *diff)
{
	uint32_t *sorted = large_malloc(diff->n_pairs + 1, sizeof(*sorted));

	for (uint32_t i = 0; sorted && i < diff->n_pairs; i++)
		sorted[i] = i;
	if (sorted && diff->n_pairs)
		qsort_r(sorted, diff->n_pairs, sizeof(*sorted), place_compare, diff->pairs);
	return sorted;
}

/* The first one of these vertices, or NULL. */
static const struct diff_pair *pair_of(const struct laying *l, const uint32_t *sorted, uint32_t a, uint32_t b)
{
	const struct diff_pair *pairs = l->diff->pairs;
	size_t low = 0, high = l->diff->n_pairs;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (pair_compare(&pairs[sorted[middle]], a, b) < 0)
			low = middle + 1;
		else
			high = middle;
		l->o->steps++;
	}
	return low < l->diff->n_pairs && !pair_compare(&pairs[sorted[low]], a, b) ? &pairs[sorted[low]] : NULL;
}

static void pair(struct laying *l, const uint32_t *sorted, uint32_t a, uint32_t b)
{
	struct moment *p, *q;
	const struct diff_pair *pair;

	if (a == DIFF_NONE || b == DIFF_NONE)
		return;
	p = &l->layers[0].moments[a];
	q = &l->layers[1].moments[b];
	if (p->twin != DIFF_NONE || q->twin != DIFF_NONE)
		return;
	p->twin = b;
	q->twin = a;
	pair = pair_of(l, sorted, p->vertex, q->vertex);
	p->moved = q->moved = pair ? pair->moved : 0;
}

static int pair_all(struct laying *l)
{
	const struct diff_twins *twins = &l->diff->twins[0];
	const struct layer *before = &l->layers[0], *after = &l->layers[1];
	uint32_t *sorted = pairs_sorted(l->diff);

	for (uint32_t m = 0; m < before->g->n_messages && sorted; m++) {
		if (twins->message[m] == DIFF_NONE)
			continue;
		pair(l, sorted, before->send[m], after->send[twins->message[m]]);
		pair(l, sorted, before->receive[m], after->receive[twins->message[m]]);
	}
	for (size_t i = 0; i < l->diff->n_pairs && sorted; i++) {
		uint32_t a = l->diff->pairs[i].vertex[0], b = l->diff->pairs[i].vertex[1];

		if (has_moment(before, a) && has_moment(after, b) && before->moments[before->at[a]].message == DIFF_NONE &&
		    after->moments[after->at[b]].message == DIFF_NONE)
			pair(l, sorted, before->at[a], after->at[b]);
	}
	free(sorted);
	return sorted ? 0 : -ENOMEM;
}

int overlay_moments(struct laying *l)
{
	int err = layer_take(l, 0);

	if (!err)
		err = layer_take(l, 1);
	return err ? err : pair_all(l);
}
