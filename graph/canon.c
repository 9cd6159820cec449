/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The canonical order of events: by the name of the process that they belong to, then by their order in it, then by
 * their content. Neither the order of arrival nor the numbers of table rows have a say. Knows nothing of edges. Fails
 * only without memory.
 */
#include "graph/build.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "graph/sort.h"
#include "lib/large.h"

#define FLOATING UINT64_MAX /* key of events that no order holds: behind all others of their lane */

#define COMPARE(a, b)                                                                              \
	do {                                                                                       \
		if ((a) != (b))                                                                    \
			return (a) < (b) ? -1 : 1;                                                 \
	} while (0)

static int text_compare(const char *a, const char *b)
{
	return strcmp(a ? a : "", b ? b : "");
}

static int row_name_compare(const struct trace *trace, uint32_t a, uint32_t b)
{
	return text_compare(a && a <= trace->n_processes ? trace->processes[a].name : NULL,
			    b && b <= trace->n_processes ? trace->processes[b].name : NULL);
}

int build_process_compare(const struct trace *trace, uint32_t a, uint32_t b)
{
	const struct trace_process *p = &trace->processes[a], *q = &trace->processes[b];
	int diff = text_compare(p->name, q->name);

	if (!diff)
		diff = text_compare(build_box_name(trace, p->box), build_box_name(trace, q->box));
	if (!diff)
		diff = text_compare(p->command, q->command);
	if (!diff)
		diff = row_name_compare(trace, p->parent, q->parent);
	if (diff)
		return diff;
	COMPARE(p->pid, q->pid);
	COMPARE(a, b);
	return 0;
}

int build_end_compare(const struct trace *trace, uint32_t a, uint32_t b)
{
	const struct trace_end *p = &trace->ends[a], *q = &trace->ends[b];
	int diff = row_name_compare(trace, p->process, q->process);

	if (!diff)
		diff = text_compare(p->target, q->target);
	if (diff)
		return diff;
	COMPARE(p->transport, q->transport);
	COMPARE(p->ordinal, q->ordinal);
	COMPARE(p->role, q->role);
	diff = text_compare(build_box_name(trace, p->box), build_box_name(trace, q->box));
	if (!diff)
		diff = memcmp(p->local.ip, q->local.ip, sizeof(p->local.ip));
	if (!diff)
		diff = memcmp(p->remote.ip, q->remote.ip, sizeof(p->remote.ip));
	if (diff)
		return diff;
	COMPARE(p->local.port, q->local.port);
	COMPARE(p->remote.port, q->remote.port);
	COMPARE(p->first_local, q->first_local);
	COMPARE(p->first_remote, q->first_remote);
	COMPARE(p->established_ns, q->established_ns);
	COMPARE(p->error, q->error);
	COMPARE(a, b);
	return 0;
}

static const char *text_at(const struct trace *trace, uint32_t text)
{
	return text && text <= trace->n_texts ? trace->texts[text] : NULL;
}

/* Only reached when place in the process says nothing: RESET, LOST, MARK, or a damaged trace. */
static int event_compare(const void *a, const void *b, void *arg)
{
	const struct build *build = arg;
	const struct trace *trace = build->trace;
	const struct event *p = &trace->events[((const struct pair *)a)->value];
	const struct event *q = &trace->events[((const struct pair *)b)->value];
	uint32_t end_p = build_end(build, p), end_q = build_end(build, q);

	COMPARE(p->enter_ns, q->enter_ns);
	COMPARE(p->return_ns, q->return_ns);
	COMPARE(p->seq, q->seq);
	COMPARE(p->kind, q->kind);
	COMPARE(p->order, q->order);
	COMPARE(p->pos, q->pos);
	COMPARE(p->value, q->value);
	COMPARE(p->thread, q->thread);
	COMPARE(p->message, q->message);
	COMPARE(p->flags, q->flags);
	if (end_p != end_q)
		return !end_p ? -1 : !end_q ? 1 : build_end_compare(trace, end_p, end_q);
	COMPARE(build->rank[build_peer(build, p)], build->rank[build_peer(build, q)]);
	return text_compare(text_at(trace, p->text), text_at(trace, q->text));
}

static int process_compare(const void *a, const void *b, void *arg)
{
	return build_process_compare(arg, *(const uint32_t *)a, *(const uint32_t *)b);
}

static int rank_processes(struct build *b)
{
	size_t n = b->trace->n_processes;

	b->rank = large_calloc(n + 1, sizeof(*b->rank));
	b->process_at = calloc(n + 1, sizeof(*b->process_at));
	if (!b->rank || !b->process_at)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		b->process_at[i] = i + 1;
	qsort_r(b->process_at, n, sizeof(*b->process_at), process_compare, (void *)b->trace);
	for (size_t i = 0; i < n; i++)
		b->rank[b->process_at[i]] = i;
	b->rank[0] = n; /* the last lane: of no process */
	b->process_at[n] = 0;
	return 0;
}

/* Events of no process (RESET, MARK, LOST): their lanes are known when the ends' owners are. */
struct orphans {
	uint32_t *events;
	size_t n, cap;
};

/*
 * Owner of an end: who connected; who accepted; if that is not known, who used it first, by name. Counts lanes on the
 * way: a pass over all events costs more than anything that is done in it.
 */
static int survey(struct build *b, struct orphans *orphans)
{
	const struct trace *trace = b->trace;
	uint32_t nobody = trace->n_processes;
	uint32_t *user = malloc((trace->n_ends + 1) * sizeof(*user)); /* by end: rank */

	b->ends = calloc(trace->n_ends + 1, sizeof(*b->ends));
	if (!b->ends || !user)
		goto nomem;
	for (size_t i = 0; i <= trace->n_ends; i++) {
		struct end_facts *facts = &b->ends[i];

		facts->fin = facts->rst = facts->reset = NO_VERTEX;
		facts->owner = nobody; /* a rank, until the end of this function */
		user[i] = nobody;
		if (i && trace->ends[i].role == END_CONNECTOR && trace->ends[i].process <= nobody)
			facts->owner = b->rank[trace->ends[i].process];
	}
	for (size_t i = 0; i < trace->n_events; i++) {
		const struct event *event = &trace->events[i];
		uint32_t end = build_end(b, event), rank = b->rank[build_process(b, event)];

		if (rank < nobody)
			b->lane[rank + 1]++;
		else if (build_grow((void **)&orphans->events, &orphans->cap, orphans->n, sizeof(*orphans->events)) < 0)
			goto nomem;
		else
			orphans->events[orphans->n++] = i;
		b->ends[end].used = true;
		if (end && build_moved(b, event, end))
			b->ends[end].n_ranges[event->kind == EVENT_SEND]++;
		if (!end || trace->ends[end].role == END_CONNECTOR)
			continue;
		if (event->kind == EVENT_ACCEPT && rank < b->ends[end].owner)
			b->ends[end].owner = rank;
		if (rank < user[end])
			user[end] = rank;
	}
	for (size_t i = 0; i <= trace->n_ends; i++) {
		uint32_t rank = b->ends[i].owner < nobody ? b->ends[i].owner : user[i];

		b->ends[i].owner = b->process_at[rank];
	}
	free(user);
	return 0;
nomem:
	free(user);
	return -ENOMEM;
}

static uint32_t event_lane(const struct build *b, const struct event *event)
{
	uint32_t process = build_process(b, event), end;

	if (!process && event_is_fault(event->kind))
		process = build_peer(b, event);
	if (!process) {
		end = build_end(b, event);
		process = end ? b->ends[end].owner : 0;
	}
	return b->rank[process];
}

static uint64_t event_key(const struct build *b, const struct event *event)
{
	if (!build_process(b, event))
		return FLOATING;
	if (!event->order)
		return event->kind == EVENT_START ? 0 : FLOATING;
	return event->order < FLOATING - 1 ? event->order : FLOATING - 1;
}

/* Puts the pairs of each lane into its part of `pairs`. */
static void fill_lanes(struct build *b, struct pair *pairs, uint32_t *place, const struct orphans *orphans)
{
	const struct trace *trace = b->trace;
	size_t n_lanes = trace->n_processes + 1;

	for (size_t i = 0; i < orphans->n; i++)
		b->lane[event_lane(b, &trace->events[orphans->events[i]]) + 1]++;
	for (size_t i = 0; i < n_lanes; i++) {
		b->lane[i + 1] += b->lane[i];
		place[i] = b->lane[i];
	}
	for (size_t i = 0; i < trace->n_events; i++) {
		const struct event *event = &trace->events[i];
		struct pair *pair = &pairs[place[event_lane(b, event)]++];

		pair->key = event_key(b, event);
		pair->value = i;
		pair->more = event->thread;
	}
}

/* Where keys are equal, content decides. */
static void settle_ties(struct build *b, struct pair *pairs, size_t n)
{
	for (size_t i = 0, k; i < n; i = k) {
		for (k = i + 1; k < n && pairs[k].key == pairs[i].key; k++)
			;
		if (k - i > 1)
			qsort_r(pairs + i, k - i, sizeof(*pairs), event_compare, b);
	}
}

static void number_vertices(struct build *b, const struct pair *pairs)
{
	for (uint32_t rank = 0; rank <= b->trace->n_processes; rank++) {
		b->floating[rank] = b->lane[rank + 1];
		for (uint32_t v = b->lane[rank]; v < b->lane[rank + 1]; v++) {
			struct graph_vertex *vertex = &b->g->vertices[v];

			vertex->event = pairs[v].value;
			vertex->process = b->process_at[rank];
			if (pairs[v].key == FLOATING && v < b->floating[rank])
				b->floating[rank] = v;
		}
	}
}

int build_canon(struct build *b)
{
	size_t n = b->trace->n_events, n_lanes = b->trace->n_processes + 1, n_spare = 0;
	struct orphans orphans = { 0 };
	struct pair *spare = NULL;
	uint32_t *place = NULL;
	int err = rank_processes(b);

	if (err < 0)
		return err;
	err = -ENOMEM;
	b->lane = calloc(n_lanes + 1, sizeof(*b->lane));
	b->floating = calloc(n_lanes, sizeof(*b->floating));
	b->g->vertices = large_calloc(n + 1, sizeof(*b->g->vertices));
	place = calloc(n_lanes, sizeof(*place));
	b->pairs = large_malloc(n + 1, sizeof(*b->pairs));
	if (!b->lane || !b->floating || !b->g->vertices || !place || !b->pairs || (err = survey(b, &orphans)) < 0)
		goto out;
	b->g->n_vertices = n;
	fill_lanes(b, b->pairs, place, &orphans);
	for (size_t i = 0; i < n_lanes && !err; i++) {
		size_t n_lane = b->lane[i + 1] - b->lane[i];

		err = pairs_sort(b->pairs + b->lane[i], n_lane, &spare, &n_spare);
		settle_ties(b, b->pairs + b->lane[i], n_lane);
	}
	number_vertices(b, b->pairs);
out:
	free(orphans.events);
	free(place);
	free(spare);
	return err;
}
