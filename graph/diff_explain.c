/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What faults and lost events explain. A change is explained by a fault if the fault took the message, or if it comes after the
 * fault in the causal order of its run, or after the place where a message did not come, because of the fault; and what is
 * missing, if in the other run it came after something that the fault took away, or after the place from which on its process
 * could know of the fault. Lost events explain what is missing on a connection with a hole. Fails only without memory.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "graph/diff_inside.h"

#define FAULTS_MAX 64u /* of a run; more explain nothing */

struct explain {
	struct diffing *d;
	unsigned side;	 /* the run that had the fault */
	bool *future[2]; /* by vertex: after the fault; of the other run: after what the fault changed */
	uint32_t *stack[2];
	size_t *out[2]; /* by vertex: its first edge */
};

static void index_edges(const struct graph *g, size_t *out)
{
	size_t edge = 0;

	for (size_t v = 0; v <= g->n_vertices; v++) {
		while (edge < g->n_edges && g->edges[edge].from < v)
			edge++;
		out[v] = edge;
	}
}

/* v, and all that can depend on it. */
static void reach(struct explain *x, unsigned side, uint32_t v)
{
	const struct graph *g = x->d->sides[side].g;
	size_t n = 0;

	if (v == NO_VERTEX || x->future[side][v])
		return;
	x->future[side][v] = true;
	x->stack[side][n++] = v;
	while (n) {
		v = x->stack[side][--n];
		for (size_t i = x->out[side][v]; i < x->out[side][v + 1]; i++) {
			uint32_t to = g->edges[i].to;

			if (!x->future[side][to]) {
				x->future[side][to] = true;
				x->stack[side][n++] = to;
			}
		}
	}
}

/* What the fault took: its receives in the other run, and what came of them. */
static void reach_taken(struct explain *x, uint32_t fault)
{
	const struct diff_side *own = &x->d->sides[x->side], *other = &x->d->sides[!x->side];

	for (uint32_t m = 0; m < own->g->n_messages; m++)
		if (own->g->messages[m].lost_by == fault && own->message[m] != DIFF_NONE)
			reach(x, !x->side, other->receive[own->message[m]]);
}

/* What a process of the other run did after the last thing that it also did here before it could know of the fault. */
static int reach_diverged(struct explain *x)
{
	const struct graph *g = x->d->sides[x->side].g, *other = x->d->sides[!x->side].g;
	uint32_t *last = malloc((g->trace->n_processes + 1) * sizeof(*last)); /* by process: vertex of the other run */
	bool *knows = calloc(g->trace->n_processes + 1, sizeof(*knows));
	int err = last && knows ? 0 : -ENOMEM;

	if (!err)
		memset(last, 0xff, (g->trace->n_processes + 1) * sizeof(*last));
	for (uint32_t v = 0; v < g->n_vertices && !err; v++)
		knows[g->vertices[v].process] |= x->future[x->side][v];
	for (size_t i = 0; i < x->d->n_pairs && !err; i++) {
		uint32_t own = x->d->pairs[i].vertex[x->side], twin = x->d->pairs[i].vertex[!x->side];
		uint32_t process = g->vertices[own].process;

		if (!x->future[x->side][own] && (last[process] == NO_VERTEX || last[process] < twin))
			last[process] = twin;
	}
	for (uint32_t v = 0; v < other->n_vertices && !err; v++) {
		uint32_t process = other->vertices[v].process ? x->d->sides[!x->side].process[other->vertices[v].process] : 0;

		if (process && knows[process] && (last[process] == NO_VERTEX || v > last[process]))
			reach(x, !x->side, v);
	}
	free(last);
	free(knows);
	return err;
}

/*
 * What a process here did from the place on where something was to come that did not, because of the fault: that, too, is after
 * the fault. cut, by process of the other run: the first receive that did not come about.
 */
static int reach_absent(struct explain *x)
{
	const struct diff_side *own = &x->d->sides[x->side], *other = &x->d->sides[!x->side];
	size_t n = other->g->trace->n_processes + 1, n_own = own->g->trace->n_processes + 1;
	uint32_t *cut = malloc(n * sizeof(*cut)), *last = malloc(n_own * sizeof(*last));
	int err = cut && last ? 0 : -ENOMEM;

	if (!err) {
		memset(cut, 0xff, n * sizeof(*cut));
		memset(last, 0xff, n_own * sizeof(*last));
	}
	for (uint32_t m = 0; m < other->g->n_messages && !err; m++) {
		uint32_t v = other->receive[m], process;

		if (v == NO_VERTEX || !x->future[!x->side][v] ||
		    (other->message[m] != DIFF_NONE && own->receive[other->message[m]] != NO_VERTEX))
			continue;
		process = other->g->vertices[v].process;
		if (cut[process] == NO_VERTEX || v < cut[process])
			cut[process] = v;
	}
	for (size_t i = 0; i < x->d->n_pairs && !err; i++) {
		uint32_t v = x->d->pairs[i].vertex[x->side], twin = x->d->pairs[i].vertex[!x->side];
		uint32_t process = own->g->vertices[v].process;

		if (twin < cut[other->g->vertices[twin].process] && (last[process] == NO_VERTEX || last[process] < v))
			last[process] = v;
	}
	for (uint32_t v = 0; v < own->g->n_vertices && !err; v++) {
		uint32_t process = own->g->vertices[v].process, twin = process ? own->process[process] : 0;

		if (twin && cut[twin] != NO_VERTEX && (last[process] == NO_VERTEX || v > last[process]))
			reach(x, x->side, v);
	}
	free(cut);
	free(last);
	return err;
}

static bool is_after(const struct explain *x, const struct diff_change *change)
{
	uint32_t own = change->vertex[x->side], other = change->vertex[!x->side];
	bool absent = change->kind == (x->side ? DIFF_UNRECEIVED : DIFF_RECEIVED); /* here it was only sent */

	if (own != DIFF_NONE && !absent)
		return x->future[x->side][own];
	return other != DIFF_NONE && x->future[!x->side][other];
}

static int explain_fault(struct explain *x, const struct graph_fault *fault)
{
	struct diff *diff = x->d->diff;
	int err;

	memset(x->future[0], 0, x->d->sides[0].g->n_vertices);
	memset(x->future[1], 0, x->d->sides[1].g->n_vertices);
	reach(x, x->side, fault->fired);
	reach_taken(x, fault->id);
	err = reach_diverged(x);
	if (!err)
		err = reach_absent(x);
	if (!err)
		err = reach_diverged(x); /* what is absent can be known of, too */
	for (size_t i = 0; i < diff->n_changes && !err; i++) {
		struct diff_change *change = &diff->changes[i];
		bool taken = change->lost_to_it && x->side == (change->kind != DIFF_RECEIVED) && change->fault == fault->id;

		if (change->kind == DIFF_FAULT || change->cause || (!taken && change->lost_to_it) || (!taken && !is_after(x, change)))
			continue;
		change->cause = DIFF_BY_FAULT;
		change->fault = fault->id;
		change->cause_run = x->side;
	}
	return err;
}

/* A fault that did the same in both runs explains nothing of what differs. */
static bool in_both(const struct diff *diff, unsigned side, const struct graph_fault *fault)
{
	for (size_t i = 0; i < diff->n_changes; i++)
		if (diff->changes[i].kind == DIFF_FAULT && diff->changes[i].cause_run == side &&
		    diff->changes[i].fault == fault->id)
			return false;
	return true;
}

static int explain_faults(struct diffing *d)
{
	struct explain x = { .d = d };
	int err = 0;

	for (unsigned side = 0; side < 2; side++) {
		size_t n = d->sides[side].g->n_vertices + 2;

		x.future[side] = calloc(n, sizeof(*x.future[side]));
		x.stack[side] = malloc(n * sizeof(*x.stack[side]));
		x.out[side] = malloc(n * sizeof(*x.out[side]));
		if (!x.future[side] || !x.stack[side] || !x.out[side])
			err = -ENOMEM;
		else
			index_edges(d->sides[side].g, x.out[side]);
	}
	for (unsigned side = 0; side < 2; side++) {
		const struct graph *g = d->sides[side].g;

		x.side = side;
		for (size_t i = 0; i < g->n_faults && i < FAULTS_MAX && !err; i++)
			if (g->faults[i].acts && g->faults[i].fired != NO_VERTEX && !in_both(d->diff, side, &g->faults[i]))
				err = explain_fault(&x, &g->faults[i]);
	}
	for (unsigned side = 0; side < 2; side++) {
		free(x.future[side]);
		free(x.stack[side]);
		free(x.out[side]);
	}
	return err;
}

/* By connection: were bytes moved on it that nobody recorded? Caller frees; NULL: no memory. */
static bool *holes_by_connection(const struct graph *g)
{
	bool *have = calloc(g->n_connections + 1, sizeof(*have));

	for (size_t i = 0; have && i < g->n_holes; i++)
		have[g->holes[i].connection] = true;
	return have;
}

/* What one run has and the other one, which has a hole there, may only not have recorded. */
static int explain_losses(struct diffing *d)
{
	bool *holes[2] = { holes_by_connection(d->sides[0].g), holes_by_connection(d->sides[1].g) };
	int err = holes[0] && holes[1] ? 0 : -ENOMEM;

	for (size_t i = 0; i < d->diff->n_changes && !err; i++) {
		struct diff_change *change = &d->diff->changes[i];

		for (unsigned side = 0; side < 2 && !change->cause; side++)
			if (change->connection[side] && holes[side][change->connection[side]]) {
				change->cause = DIFF_BY_LOSS;
				change->cause_run = side;
			}
	}
	free(holes[0]);
	free(holes[1]);
	return err;
}

int diff_explain(struct diffing *d)
{
	int err = explain_faults(d);

	return err ? err : explain_losses(d);
}
