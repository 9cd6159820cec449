/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Where each change of the diff shows. Fails only without memory. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "graph/overlay_inside.h"
#include "lib/large.h"

#define NO_CHANGE UINT32_MAX

struct noting {
	struct laying *l;
	uint32_t *of_message[2], *of_connection[2]; /* by message, connection of each run: change */
	uint32_t *of_moved;			    /* by number of a change of order */
	uint32_t *spawn[2];			    /* by process of each run: moment of its parent */
	uint32_t *sorted[2];			    /* messages by connection, direction, number */
	size_t cap_notes;
};

static int note(struct noting *x, uint32_t vertex, size_t change)
{
	struct overlay *o = x->l->o;

	if (vertex == DIFF_NONE)
		return 0;
	if (build_grow((void **)&o->notes, &x->cap_notes, o->n_notes, sizeof(*o->notes)) < 0)
		return -ENOMEM;
	o->notes[o->n_notes++] = (struct overlay_note){ vertex, (uint32_t)change };
	return 0;
}

static int note_moment(struct noting *x, unsigned side, uint32_t moment, size_t change)
{
	return moment == DIFF_NONE ? 0 : note(x, x->l->layers[side].moments[moment].merged, change);
}

static int note_vertex(struct noting *x, unsigned side, uint32_t vertex, size_t change)
{
	const struct layer *layer = &x->l->layers[side];

	if (vertex == DIFF_NONE || layer->at[vertex] == layer->at[vertex + 1])
		return 0;
	return note_moment(x, side, layer->at[vertex], change);
}

static int message_compare(const void *a, const void *b, void *arg)
{
	const struct graph *g = arg;
	const struct graph_message *p = &g->messages[*(const uint32_t *)a], *q = &g->messages[*(const uint32_t *)b];

	if (p->connection != q->connection)
		return p->connection < q->connection ? -1 : 1;
	if (p->direction != q->direction)
		return p->direction < q->direction ? -1 : 1;
	return p->number < q->number ? -1 : p->number > q->number;
}

/* Messages that a change counts: from number `first` on, so many of each direction. */
static void mark_messages(struct noting *x, unsigned side, const struct diff_change *change, uint32_t index)
{
	const struct graph *g = x->l->layers[side].g;

	for (unsigned direction = 0; direction < 2; direction++) {
		size_t low = 0, high = g->n_messages;

		while (low < high && change->n[direction]) {
			size_t middle = low + (high - low) / 2;
			const struct graph_message *m = &g->messages[x->sorted[side][middle]];

			if (m->connection != change->connection[side] ? m->connection < change->connection[side] :
			    m->direction != direction		      ? m->direction < direction :
									m->number < change->first[direction])
				low = middle + 1;
			else
				high = middle;
		}
		for (; change->n[direction] && low < g->n_messages; low++) {
			const struct graph_message *m = &g->messages[x->sorted[side][low]];

			if (m->connection != change->connection[side] || m->direction != direction ||
			    m->number - change->first[direction] >= change->n[direction])
				break;
			x->of_message[side][x->sorted[side][low]] = index;
		}
	}
}

/* A process without a lane shows where its parent made it. */
static int note_process(struct noting *x, unsigned side, const struct diff_change *change, size_t index)
{
	uint32_t process = change->process[side];
	int err = note_vertex(x, side, change->vertex[side], index);

	return err || !process ? err : note_moment(x, side, x->spawn[side][process], index);
}

static int note_change(struct noting *x, size_t index)
{
	const struct diff_change *change = &x->l->diff->changes[index];
	int err = 0;

	switch (change->kind) {
	case DIFF_FAULT:
		return note_vertex(x, change->cause_run, change->vertex[change->cause_run], index);
	case DIFF_PROCESS_ADDED:
	case DIFF_PROCESS_REMOVED:
	case DIFF_EXIT:
		err = note_process(x, 0, change, index);
		return err ? err : note_process(x, 1, change, index);
	case DIFF_CONNECTION_ADDED:
	case DIFF_CONNECTION_REMOVED:
	case DIFF_CONNECTION_INSTEAD:
		for (unsigned side = 0; side < 2; side++)
			if (change->connection[side])
				x->of_connection[side][change->connection[side]] = (uint32_t)index;
		break;
	case DIFF_RESULT:
		err = note_vertex(x, 0, change->vertex[0], index);
		return err ? err : note_vertex(x, 1, change->vertex[1], index);
	case DIFF_MESSAGES_ADDED:
	case DIFF_UNRECEIVED:
	case DIFF_RECEIVED:
		mark_messages(x, 1, change, (uint32_t)index);
		break;
	case DIFF_MESSAGES_REMOVED:
		mark_messages(x, 0, change, (uint32_t)index);
		break;
	case DIFF_REORDERED:
		x->of_moved[change->moved] = (uint32_t)index;
		break;
	case DIFF_KIND_COUNT:
		break;
	}
	return 0;
}

/* Of a message that both have, it is said at its send, and at the receive that only one of them has. */
static uint32_t change_of_message(const struct noting *x, unsigned side, const struct moment *m)
{
	uint32_t message = m->message, twin;

	if (message == DIFF_NONE)
		return NO_CHANGE;
	if (x->of_message[side][message] != NO_CHANGE)
		return x->of_message[side][message];
	twin = x->l->layers[side].twins->message[message];
	return twin == DIFF_NONE ? NO_CHANGE : x->of_message[!side][twin];
}

static int note_moments(struct noting *x, unsigned side)
{
	const struct layer *layer = &x->l->layers[side];
	int err = 0;

	for (size_t i = 0; i < layer->n_moments && !err; i++) {
		const struct moment *m = &layer->moments[i];
		uint32_t connection = layer->g->vertices[m->vertex].connection;
		uint32_t change = change_of_message(x, side, m);

		if (m->merged == DIFF_NONE)
			continue;
		if (change == NO_CHANGE && connection)
			change = x->of_connection[side][connection];
		if (change != NO_CHANGE)
			err = note(x, m->merged, change);
		if (m->moved && m->moved != UINT32_MAX && !err)
			err = note(x, m->merged, x->of_moved[m->moved]);
	}
	return err;
}

static int note_compare(const void *a, const void *b)
{
	const struct overlay_note *p = a, *q = b;

	if (p->vertex != q->vertex)
		return p->vertex < q->vertex ? -1 : 1;
	return p->change < q->change ? -1 : p->change > q->change;
}

/* What both did, and it came to something else. */
static bool is_change(const struct laying *l, const struct overlay_note *n)
{
	enum diff_kind kind = l->diff->changes[n->change].kind;

	return kind == DIFF_EXIT || kind == DIFF_RESULT || kind == DIFF_UNRECEIVED || kind == DIFF_RECEIVED;
}

static void index_notes(struct laying *l)
{
	struct overlay *o = l->o;
	size_t n = 0;

	if (o->n_notes)
		qsort(o->notes, o->n_notes, sizeof(*o->notes), note_compare);
	for (size_t i = 0; i < o->n_notes; i++)
		if (!n || note_compare(&o->notes[n - 1], &o->notes[i]))
			o->notes[n++] = o->notes[i];
	o->n_notes = n;
	for (size_t i = 0; i < n; i++) {
		struct overlay_vertex *v = &o->vertices[o->notes[i].vertex];
		bool receive = o->trace.events[o->notes[i].vertex].kind == EVENT_RECV;

		if (!v->n_notes++)
			v->first_note = (uint32_t)i;
		if (v->side == OVERLAY_BOTH && !receive && is_change(l, &o->notes[i]))
			v->side = OVERLAY_CHANGED;
	}
}

static uint32_t *none(size_t n)
{
	uint32_t *array = large_malloc(n + 1, sizeof(*array));

	if (array)
		memset(array, 0xff, (n + 1) * sizeof(*array));
	return array;
}

static int noting_init(struct noting *x)
{
	x->of_moved = none(x->l->diff->n_changes + 1);
	if (!x->of_moved)
		return -ENOMEM;
	for (unsigned side = 0; side < 2; side++) {
		const struct layer *layer = &x->l->layers[side];
		const struct graph *g = layer->g;

		x->of_message[side] = none(g->n_messages);
		x->of_connection[side] = none(g->n_connections);
		x->spawn[side] = none(g->trace->n_processes);
		x->sorted[side] = none(g->n_messages);
		if (!x->of_message[side] || !x->of_connection[side] || !x->spawn[side] || !x->sorted[side])
			return -ENOMEM;
		for (uint32_t i = 0; i < g->n_messages; i++)
			x->sorted[side][i] = i;
		qsort_r(x->sorted[side], g->n_messages, sizeof(uint32_t), message_compare, (void *)g);
		for (uint32_t m = 0; m < layer->n_moments; m++) {
			const struct event *event = layer_event(layer, layer->moments[m].vertex);

			if (event->kind == EVENT_SPAWN && event->peer <= g->trace->n_processes)
				x->spawn[side][event->peer] = m;
		}
	}
	return 0;
}

int overlay_notes(struct laying *l)
{
	struct noting x = { .l = l };
	int err = noting_init(&x);

	for (size_t i = 0; i < l->diff->n_changes && !err; i++)
		err = note_change(&x, i);
	for (unsigned side = 0; side < 2 && !err; side++)
		err = note_moments(&x, side);
	if (!err)
		index_notes(l);
	for (unsigned side = 0; side < 2; side++) {
		free(x.of_message[side]);
		free(x.of_connection[side]);
		free(x.spawn[side]);
		free(x.sorted[side]);
	}
	free(x.of_moved);
	return err;
}
