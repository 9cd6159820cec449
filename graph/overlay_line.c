/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * All moments of both runs in one line, causes first: that of run 1 by time, in which what only run 0 has is put in as soon as
 * it can stand. Before a pair stands all that either run has before it. If that goes in a circle, of the pairs in it the one that
 * is furthest away from its place in the other run is taken apart; each circle has pairs, for none is in one run alone.
 *
 * Who waits for whom is kept from one circle to the next: where long stretches have changed places, each of their moments closes
 * one that goes through all others. Fails only without memory.
 */
#include <errno.h>
#include <stdlib.h>

#include "graph/forest.h"
#include "graph/overlay_track.h"
#include "lib/large.h"

/* What stands in one place: a moment, with its twin if they are joined; then it is named by run 1's. */
struct unit {
	uint32_t side, moment;
};

struct lining {
	struct laying *l;
	struct track tracks[2];
	struct queue ready; /* of run 0 alone */
	struct forest waits; /* units, each for one that has to stand before it */
};

/* A pair has a node of its own: once it is taken apart, who waited for it waits for one of the two, or for neither. */
static uint32_t node_of(const struct lining *x, const struct unit *u)
{
	size_t n = x->tracks[0].layer->n_moments;

	if (!u->side)
		return 1 + u->moment;
	return (uint32_t)(1 + n + (x->tracks[1].joined[u->moment] ? x->tracks[1].layer->n_moments : 0) + u->moment);
}

static struct unit unit_of(const struct lining *x, uint32_t node)
{
	size_t n = x->tracks[0].layer->n_moments, m = x->tracks[1].layer->n_moments, at = node - 1;

	return at < n ? (struct unit){ 0, (uint32_t)at } : (struct unit){ 1, (uint32_t)((at - n) % m) };
}

/* It stands, or is no pair any more. */
static bool is_over(const struct lining *x, uint32_t node)
{
	struct unit u = unit_of(x, node);

	return x->tracks[u.side].placed[u.moment] || node != node_of(x, &u);
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

/* A moment of run 0 whose twin stands elsewhere: only its place in its thread is left of it. */
static bool is_half(const struct lining *x, uint32_t moment)
{
	return x->l->layers[0].moments[moment].twin != DIFF_NONE && !x->tracks[0].joined[moment];
}

/* Does run 0 say that one comes before the other, and is that to be seen? */
static bool orders(const struct lining *x, const struct moment_edge *e)
{
	return e->edge.rule == RULE_THREAD || (!is_half(x, e->from) && !is_half(x, e->to));
}

static void join_pairs(struct lining *x)
{
	struct laying *l = x->l;

	for (uint32_t m = 0; m < l->layers[0].n_moments; m++)
		if (is_joined(l, &l->layers[0].moments[m]))
			x->tracks[0].joined[m] = x->tracks[1].joined[l->layers[0].moments[m].twin] = true;
	for (unsigned side = 0; side < 2; side++)
		for (uint32_t i = 0, rank = 0; i < l->layers[side].n_moments; i++)
			x->tracks[side].rank[x->tracks[side].order[i]] = x->tracks[side].joined[x->tracks[side].order[i]] ? rank++ : 0;
}

/* By time in their own run stands what nothing of run 0 causes; the rest gets its keys from what it waits for. */
static void prepare(struct lining *x)
{
	struct track *track = &x->tracks[0];

	for (size_t i = 0; i < track->layer->n_edges; i++)
		track->waits[track->layer->edges[i].to] += orders(x, &track->layer->edges[i]);
	for (uint32_t m = 0; m < track->layer->n_moments; m++)
		track->key[m] = track->waits[m] ? 0 : track->key[m];
}

/* What a process did that ends earlier in run 1 stands behind that end, if nothing is against it. */
static int defer(struct lining *x)
{
	const struct layer *before = &x->l->layers[0], *after = &x->l->layers[1];
	uint64_t *ends = calloc(x->l->o->trace.n_processes + 1, sizeof(*ends)); /* by process of the overlay */

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

/* One reason less to wait. */
static int release(struct lining *x, uint32_t moment, uint64_t key)
{
	struct track *track = &x->tracks[0];

	if (track->key[moment] < key)
		track->key[moment] = key;
	return --track->waits[moment] || track->joined[moment] ? 0 : queue_push(&x->ready, track->key[moment], moment);
}

/* A moment of run 0 stands, alone or with its twin; what waits for it may come. */
static int place_before(struct lining *x, uint32_t moment, uint64_t key)
{
	struct track *track = &x->tracks[0];
	int err = 0;

	track->placed[moment] = true;
	for (uint32_t i = track->first_out[moment]; i < track->first_out[moment + 1] && !err; i++) {
		const struct moment_edge *e = &track->layer->edges[track->out[i]];

		if (orders(x, e))
			err = release(x, e->to, key);
	}
	return err;
}

static int place_alone(struct lining *x, uint32_t moment)
{
	x->l->placed[x->l->n_placed++] = (struct placed){ { moment, DIFF_NONE } };
	return place_before(x, moment, x->tracks[0].key[moment]);
}

/* Its twin stands elsewhere. What run 0 has between its threads is no longer of this moment. */
static int part(struct lining *x, uint32_t a)
{
	struct track *track = &x->tracks[0];
	uint32_t b = track->layer->moments[a].twin;
	int err = 0;

	for (uint32_t i = track->first_in[a]; i < track->first_in[a + 1]; i++) {
		const struct moment_edge *e = &track->layer->edges[track->in[i]];

		if (e->edge.rule != RULE_THREAD && !track->placed[e->from] && orders(x, e))
			track->waits[a]--;
	}
	for (uint32_t i = track->first_out[a]; i < track->first_out[a + 1] && !err; i++) {
		const struct moment_edge *e = &track->layer->edges[track->out[i]];

		if (e->edge.rule != RULE_THREAD && orders(x, e))
			err = release(x, e->to, 0);
	}
	track->joined[a] = x->tracks[1].joined[b] = false;
	x->l->layers[0].moments[a].moved = x->l->layers[1].moments[b].moved = UINT32_MAX;
	return track->waits[a] || err ? err : queue_push(&x->ready, track->key[a], a);
}

/* How far each pair is away from its place in the other run; what is none weighs nothing. */
static int weigh(struct lining *x)
{
	const struct track *before = &x->tracks[0], *after = &x->tracks[1];
	size_t n = before->layer->n_moments, m = after->layer->n_moments;
	int err = forest_init(&x->waits, n + 2 * m);

	for (uint32_t b = 0; b < m && !err; b++) {
		struct unit u = { 1, b };
		uint32_t p, q;

		if (!after->joined[b])
			continue;
		p = before->rank[after->layer->moments[b].twin];
		q = after->rank[b];
		forest_weigh(&x->waits, node_of(x, &u), 1 + (p > q ? p - q : q - p));
	}
	return err;
}

/* Of one run, something that must stand before it, and does not; DIFF_NONE. */
static uint32_t missing_in(struct lining *x, unsigned side, uint32_t moment)
{
	struct track *track = &x->tracks[side];

	for (; track->looked[moment] < track->first_in[moment + 1]; track->looked[moment]++) {
		const struct moment_edge *e = &track->layer->edges[track->in[track->looked[moment]]];

		if ((side || orders(x, e)) && !track->placed[e->from])
			return e->from;
	}
	return DIFF_NONE;
}

/* The same of whichever run. False: nothing. */
static bool missing(struct lining *x, const struct unit *u, struct unit *ret)
{
	bool joined = x->tracks[u->side].joined[u->moment];

	for (unsigned side = 0; side < 2; side++) {
		uint32_t own = side == u->side ? u->moment : joined ? x->tracks[u->side].layer->moments[u->moment].twin : DIFF_NONE;
		uint32_t cause = own == DIFF_NONE ? DIFF_NONE : missing_in(x, side, own);

		if (cause == DIFF_NONE)
			continue;
		*ret = (struct unit){ side, cause };
		if (!side && x->tracks[0].joined[cause])
			*ret = (struct unit){ 1, x->tracks[0].layer->moments[cause].twin };
		return true;
	}
	return false;
}

static int place(struct lining *x, const struct unit *u)
{
	uint32_t a = DIFF_NONE;

	if (!u->side)
		return place_alone(x, u->moment);
	if (x->tracks[1].joined[u->moment])
		a = x->tracks[1].layer->moments[u->moment].twin;
	x->l->placed[x->l->n_placed++] = (struct placed){ { a, u->moment } };
	x->tracks[1].placed[u->moment] = true;
	return a == DIFF_NONE ? 0 : place_before(x, a, x->tracks[1].key[u->moment]);
}

/* What comes last of those that wait for each other from there on: it stands, waits for one more, or closes a circle. */
static int go_on(struct lining *x, uint32_t from)
{
	uint32_t end = forest_end(&x->waits, from), to, furthest;
	struct unit last, cause;

	while (is_over(x, end))
		end = forest_shorten(&x->waits, from);
	last = unit_of(x, end);
	if (!missing(x, &last, &cause))
		return place(x, &last);
	to = node_of(x, &cause);
	if (forest_end(&x->waits, to) != end) {
		forest_link(&x->waits, end, to);
		return 0;
	}
	furthest = forest_heaviest(&x->waits, from, to);
	forest_cut(&x->waits, furthest);
	return part(x, x->tracks[1].layer->moments[unit_of(x, furthest).moment].twin);
}

/* It stands, behind all that has to stand before it. */
static int place_all(struct lining *x, struct unit root)
{
	int err = 0;

	while (!x->tracks[root.side].placed[root.moment] && !err)
		err = go_on(x, node_of(x, &root));
	return err;
}

/* Of run 0 alone, what can stand before that time. */
static int place_ready(struct lining *x, uint64_t key)
{
	int err = 0;

	while (x->ready.n && x->ready.heap[0].key <= key && !err) {
		struct waiter w = queue_pop(&x->ready);

		if (!x->tracks[0].placed[w.moment])
			err = place_alone(x, w.moment);
	}
	return err;
}

static int line_up(struct lining *x)
{
	const struct track *before = &x->tracks[0], *after = &x->tracks[1];
	int err = 0;

	for (uint32_t m = 0; m < before->layer->n_moments && !err; m++)
		if (!before->waits[m] && !before->joined[m])
			err = queue_push(&x->ready, before->key[m], m);
	for (size_t i = 0; i < after->layer->n_moments && !err; i++) {
		uint32_t b = after->order[i];

		err = place_ready(x, after->key[b] ? after->key[b] - 1 : 0);
		if (!err)
			err = place_all(x, (struct unit){ 1, b });
	}
	return err ? err : place_ready(x, UINT64_MAX);
}

int overlay_line(struct laying *l)
{
	struct lining x = { .l = l };
	size_t n = l->layers[0].n_moments + l->layers[1].n_moments + 1;
	int err = 0;

	l->placed = large_malloc(n, sizeof(*l->placed));
	if (!l->placed)
		err = -ENOMEM;
	for (unsigned side = 0; side < 2 && !err; side++)
		err = track_init(&x.tracks[side], &l->layers[side]);
	if (!err) {
		join_pairs(&x);
		prepare(&x);
		err = defer(&x);
	}
	if (!err)
		err = weigh(&x);
	if (!err)
		err = line_up(&x);
	l->o->steps += x.waits.steps;
	forest_fini(&x.waits);
	track_fini(&x.tracks[0]);
	track_fini(&x.tracks[1]);
	free(x.ready.heap);
	return err;
}
