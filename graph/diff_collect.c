/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What has no twin, or one that is different. Fails only without memory. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "graph/diff_inside.h"

struct diff_change *diff_change_add(struct diffing *d, enum diff_kind kind)
{
	struct diff *diff = d->diff;
	struct diff_change *change;

	if (build_grow((void **)&diff->changes, &d->cap_changes, diff->n_changes, sizeof(*diff->changes)) < 0)
		return NULL;
	change = &diff->changes[diff->n_changes++];
	*change = (struct diff_change){ .kind = kind, .vertex = { DIFF_NONE, DIFF_NONE }, .beside = DIFF_NONE };
	return change;
}

/* A change of one run, or of both: what it is about. */
static struct diff_change *add(struct diffing *d, enum diff_kind kind, unsigned side, uint32_t process, uint32_t connection,
			       uint32_t vertex)
{
	struct diff_change *change = diff_change_add(d, kind);

	if (change) {
		change->process[side] = process;
		change->connection[side] = connection;
		change->vertex[side] = vertex;
	}
	return change;
}

static bool acted(const struct graph_fault *fault)
{
	return fault->acts && fault->fired != NO_VERTEX;
}

/* How many of the first n faults did something and have that line. */
static size_t acted_alike(const struct graph *g, size_t n, const char *text)
{
	size_t alike = 0;

	for (size_t i = 0; i < n; i++)
		alike += acted(&g->faults[i]) && !strcmp(g->faults[i].text, text);
	return alike;
}

/* Of what fired in one run only; lines are compared, one by one, ids are those of a plan. */
static int collect_faults(struct diffing *d)
{
	for (unsigned side = 0; side < 2; side++) {
		const struct graph *g = d->sides[side].g, *other = d->sides[!side].g;

		for (size_t i = 0; i < g->n_faults; i++) {
			const char *text = g->faults[i].text;
			struct diff_change *change;

			if (!acted(&g->faults[i]) || acted_alike(g, i + 1, text) <= acted_alike(other, other->n_faults, text))
				continue;
			change = add(d, DIFF_FAULT, side, g->vertices[g->faults[i].fired].process, 0, g->faults[i].fired);
			if (!change)
				return -ENOMEM;
			change->fault = g->faults[i].id;
			change->cause_run = side;
		}
	}
	return 0;
}

static uint32_t first_vertex(const struct graph *g, uint32_t process)
{
	for (uint32_t v = 0; v < g->n_vertices; v++)
		if (g->vertices[v].process == process)
			return g->vertices[v].teardown ? NO_VERTEX : v;
	return NO_VERTEX;
}

static int status_of(const struct diff_side *side, uint32_t process)
{
	uint32_t v = side->exit[process];

	return v == NO_VERTEX ? -1 : (int)side->g->trace->events[side->g->vertices[v].event].value;
}

/* Whether a child that another process made, and that nobody killed, ends before the outcome or behind it is luck. */
static bool is_luck(const struct diffing *d, uint32_t process, int before, int after)
{
	int status = before == -1 ? after : before;

	return d->sides[0].g->trace->processes[process].parent && (before == -1 || after == -1) && !WIFSIGNALED(status);
}

static int collect_processes(struct diffing *d)
{
	for (unsigned side = 0; side < 2; side++)
		for (uint32_t p = 1; p <= d->sides[side].g->trace->n_processes; p++) {
			uint32_t begin = d->sides[side].process[p] ? NO_VERTEX : first_vertex(d->sides[side].g, p);

			if (begin != NO_VERTEX &&
			    !add(d, side ? DIFF_PROCESS_ADDED : DIFF_PROCESS_REMOVED, side, p, 0, begin))
				return -ENOMEM;
		}
	for (uint32_t p = 1; p <= d->sides[0].g->trace->n_processes; p++) {
		uint32_t q = d->sides[0].process[p];
		int before = status_of(&d->sides[0], p), after = q ? status_of(&d->sides[1], q) : before;
		struct diff_change *change;

		if (before == after || is_luck(d, p, before, after))
			continue;
		change = add(d, DIFF_EXIT, 0, p, 0, d->sides[0].exit[p]);
		if (!change)
			return -ENOMEM;
		change->process[1] = q;
		change->vertex[1] = d->sides[1].exit[q];
	}
	return 0;
}

/* Messages [from, to) of a connection's word: how many each way, from which number on, and how often they ask. */
static void measure(const struct diff_side *side, uint32_t connection, uint32_t from, uint32_t to, struct diff_change *change)
{
	unsigned last = 1;

	for (uint32_t i = from; i < to; i++) {
		const struct graph_message *m = &side->g->messages[side->word[i]];

		if (!change->n[m->direction]++)
			change->first[m->direction] = m->number;
		change->turns += m->direction == 0 && last;
		last = m->direction;
	}
	if (from < to && from > side->first[connection])
		change->answers = last && !change->turns && !side->g->messages[side->word[from - 1]].direction;
}

static int collect_lone(struct diffing *d, unsigned side)
{
	const struct diff_side *own = &d->sides[side];

	for (size_t i = 0; i < own->n_sorted; i++) {
		uint32_t c = own->sorted[i];
		struct diff_change *change;

		if (own->connection[c])
			continue;
		change = add(d, side ? DIFF_CONNECTION_ADDED : DIFF_CONNECTION_REMOVED, side, diff_party(own, c, 0), c,
			     diff_begin(own, c));
		if (!change)
			return -ENOMEM;
		measure(own, c, own->first[c], own->first[c + 1], change);
	}
	return 0;
}

/* Messages without a twin that follow each other. */
static int collect_messages(struct diffing *d, unsigned side, uint32_t c)
{
	const struct diff_side *own = &d->sides[side];
	uint32_t twin = own->connection[c];

	for (uint32_t i = own->first[c], k; i < own->first[c + 1]; i = k) {
		struct diff_change *change;

		k = i + 1;
		if (own->message[own->word[i]] != DIFF_NONE)
			continue;
		while (k < own->first[c + 1] && own->message[own->word[k]] == DIFF_NONE)
			k++;
		change = add(d, side ? DIFF_MESSAGES_ADDED : DIFF_MESSAGES_REMOVED, side, diff_party(own, c, 0), c,
			     own->g->messages[own->word[i]].send);
		if (!change)
			return -ENOMEM;
		change->connection[!side] = twin;
		change->process[!side] = diff_party(&d->sides[!side], twin, 0);
		measure(own, c, i, k, change);
	}
	return 0;
}

/* Twins of which only one was received; `vertex` is the receive there, and the send where it was not. */
static int collect_received(struct diffing *d, uint32_t c)
{
	for (uint32_t i = d->sides[0].first[c]; i < d->sides[0].first[c + 1]; i++) {
		uint32_t messages[2] = { d->sides[0].word[i], d->sides[0].message[d->sides[0].word[i]] };
		const struct graph_message *lost;
		struct diff_change *change;
		bool received;

		if (messages[1] == DIFF_NONE)
			continue;
		received = diff_received(&d->sides[1], messages[1]);
		if (received == diff_received(&d->sides[0], messages[0]))
			continue;
		change = diff_change_add(d, received ? DIFF_RECEIVED : DIFF_UNRECEIVED);
		if (!change)
			return -ENOMEM;
		for (unsigned side = 0; side < 2; side++) {
			const struct diff_side *own = &d->sides[side];
			const struct graph_message *m = &own->g->messages[messages[side]];

			change->connection[side] = m->connection;
			change->process[side] = diff_party(own, m->connection, m->direction);
			change->vertex[side] = side == received ? own->receive[messages[side]] : m->send;
			change->first[m->direction] = m->number; /* of run 1 in the end */
			change->n[m->direction] = 1;
		}
		lost = &d->sides[!received].g->messages[messages[!received]];
		change->lost_to_it = lost->lost_by != 0;
		change->fault = lost->lost_by;
	}
	return 0;
}

static int collect_twins(struct diffing *d)
{
	int err = 0;

	for (size_t i = 0; i < d->sides[0].n_sorted && !err; i++) {
		uint32_t c = d->sides[0].sorted[i], twin = d->sides[0].connection[c];
		struct diff_change *change;

		if (!twin)
			continue;
		if (strcmp(diff_result(&d->sides[0], c), diff_result(&d->sides[1], twin)) != 0) {
			change = add(d, DIFF_RESULT, 0, diff_party(&d->sides[0], c, 0), c, diff_begin(&d->sides[0], c));
			if (!change)
				return -ENOMEM;
			change->process[1] = diff_party(&d->sides[1], twin, 0);
			change->connection[1] = twin;
			change->vertex[1] = diff_begin(&d->sides[1], twin);
		}
		err = collect_messages(d, 0, c);
		if (!err)
			err = collect_messages(d, 1, twin);
		if (!err)
			err = collect_received(d, c);
	}
	return err;
}

/* What comes before a vertex in its process and has a twin: of run 1. */
static uint32_t anchor_of(const struct diffing *d, unsigned side, uint32_t v)
{
	uint32_t process = d->sides[side].g->vertices[v].process, best = NO_VERTEX, anchor = NO_VERTEX;

	for (size_t i = 0; i < d->n_pairs; i++) {
		uint32_t at = d->pairs[i].vertex[side];

		if (at < v && d->sides[side].g->vertices[at].process == process && (best == NO_VERTEX || at > best)) {
			best = at;
			anchor = d->pairs[i].vertex[1];
		}
	}
	return anchor;
}

#define INSTEAD_MAX 256u /* lone connections, beyond which nobody looks for what stands in whose place */

static void come_instead(const struct diffing *d, const uint32_t *anchors, size_t i)
{
	struct diff *diff = d->diff;
	struct diff_change *gone = &diff->changes[i];

	for (size_t k = 0; k < diff->n_changes; k++) {
		struct diff_change *come = &diff->changes[k];

		if (come->kind != DIFF_CONNECTION_ADDED || !gone->process[0] ||
		    come->process[1] != d->sides[0].process[gone->process[0]] || anchors[i] != anchors[k])
			continue;
		come->kind = DIFF_CONNECTION_INSTEAD;
		come->process[0] = gone->process[0];
		come->connection[0] = gone->connection[0];
		come->vertex[0] = gone->vertex[0];
		gone->kind = DIFF_KIND_COUNT;
		return;
	}
}

/* A connection that went, and one that came at the same place of the same process: that is one change. */
static int join_instead(struct diffing *d)
{
	struct diff *diff = d->diff;
	uint32_t *anchors = malloc((diff->n_changes + 1) * sizeof(*anchors));
	size_t n = 0;

	if (!anchors)
		return -ENOMEM;
	for (size_t i = 0; i < diff->n_changes; i++)
		n += diff->changes[i].kind == DIFF_CONNECTION_ADDED || diff->changes[i].kind == DIFF_CONNECTION_REMOVED;
	for (size_t i = 0; i < diff->n_changes && n <= INSTEAD_MAX; i++)
		if (diff->changes[i].kind == DIFF_CONNECTION_REMOVED)
			anchors[i] = anchor_of(d, 0, diff->changes[i].vertex[0]);
		else if (diff->changes[i].kind == DIFF_CONNECTION_ADDED)
			anchors[i] = anchor_of(d, 1, diff->changes[i].vertex[1]);
	for (size_t i = 0; i < diff->n_changes && n <= INSTEAD_MAX; i++)
		if (diff->changes[i].kind == DIFF_CONNECTION_REMOVED)
			come_instead(d, anchors, i);
	n = 0;
	for (size_t i = 0; i < diff->n_changes; i++)
		if (diff->changes[i].kind != DIFF_KIND_COUNT)
			diff->changes[n++] = diff->changes[i];
	diff->n_changes = n;
	free(anchors);
	return 0;
}

static int pair_add(struct diffing *d, uint32_t a, uint32_t b)
{
	if (a == NO_VERTEX || b == NO_VERTEX || d->sides[0].g->vertices[a].teardown || d->sides[1].g->vertices[b].teardown)
		return 0;
	if (build_grow((void **)&d->pairs, &d->cap_pairs, d->n_pairs, sizeof(*d->pairs)) < 0)
		return -ENOMEM;
	d->pairs[d->n_pairs++] = (struct diff_pair){ { a, b }, 0 };
	return 0;
}

static int pair_compare(const void *a, const void *b)
{
	const struct diff_pair *p = a, *q = b;

	return p->vertex[0] < q->vertex[0] ? -1 : p->vertex[0] > q->vertex[0];
}

/* Vertices of what has a twin. */
static int find_pairs(struct diffing *d)
{
	const struct diff_side *a = &d->sides[0], *b = &d->sides[1];
	int err = 0;

	for (uint32_t c = 1; c <= a->g->n_connections && !err; c++) {
		const struct graph_connection *own = &a->g->connections[c], *twin = &b->g->connections[a->connection[c]];

		if (!a->connection[c] || own->transport == TRANSPORT_UDP)
			continue;
		err = pair_add(d, own->connect_vertex, twin->connect_vertex);
		if (!err)
			err = pair_add(d, own->accept_vertex, twin->accept_vertex);
	}
	for (uint32_t m = 0; m < a->g->n_messages && !err; m++) {
		uint32_t twin = a->message[m];

		if (twin == DIFF_NONE)
			continue;
		err = pair_add(d, a->g->messages[m].send, b->g->messages[twin].send);
		if (!err)
			err = pair_add(d, a->receive[m], b->receive[twin]);
	}
	for (uint32_t p = 1; p <= a->g->trace->n_processes && !err; p++)
		if (a->process[p])
			err = pair_add(d, a->exit[p], b->exit[a->process[p]]);
	if (d->n_pairs)
		qsort(d->pairs, d->n_pairs, sizeof(*d->pairs), pair_compare);
	return err;
}

int diff_collect(struct diffing *d)
{
	int err = find_pairs(d);

	if (!err)
		err = collect_faults(d);
	if (!err)
		err = collect_processes(d);
	if (!err)
		err = collect_lone(d, 0);
	if (!err)
		err = collect_lone(d, 1);
	if (!err)
		err = join_instead(d);
	if (!err)
		err = collect_twins(d);
	return err;
}
