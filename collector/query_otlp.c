/* SPDX-License-Identifier: GPL-3.0-or-later */
/* See query_otlp.h. Fails only without memory. */
#include "collector/query_otlp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "lib/large.h"

uint64_t span_key(enum span_kind kind, uint32_t index)
{
	return (uint64_t)kind << 40 | (index + 1ull);
}

static const struct event *event_of(const struct spans *s, uint32_t v)
{
	return &s->g->trace->events[s->g->vertices[v].event];
}

static bool is_out(const struct spans *s, uint32_t v)
{
	return v == TIMELINE_NONE || s->t->rows[v].track == TIMELINE_NONE;
}

static void side_extend(struct span_side *side, uint64_t begin, uint64_t end, uint32_t process)
{
	if (!side->process || begin < side->begin_ns)
		side->begin_ns = begin;
	if (!side->process || end > side->end_ns)
		side->end_ns = end;
	if (!side->process)
		side->process = process;
}

/* Which side of its connection an event is of: 1 the acceptor's. */
static unsigned side_of(const struct spans *s, const struct event *event)
{
	return event->end && event->end <= s->g->trace->n_ends && s->g->trace->ends[event->end].role == END_ACCEPTOR;
}

static struct span_side *vertex_side(const struct spans *s, uint32_t v)
{
	return &s->sides[2 * (size_t)s->g->vertices[v].connection + side_of(s, event_of(s, v))];
}

/* A send or receive of messages, which have spans of their own; or what opened the connection, as its span begins. */
static bool is_told_by_span(const struct spans *s, uint32_t v)
{
	const struct event *event = event_of(s, v);

	return ((event->kind == EVENT_SEND || event->kind == EVENT_RECV) && s->g->vertices[v].n_messages) ||
	       ((event->kind == EVENT_CONNECT || event->kind == EVENT_ACCEPT) && s->g->vertices[v].connection);
}

static uint64_t note_key(const struct spans *s, uint32_t v)
{
	const struct graph_vertex *vertex = &s->g->vertices[v];

	if (vertex->connection && !event_is_fault(event_of(s, v)->kind) && vertex_side(s, v)->process)
		return span_key(SPAN_SIDE, 2 * vertex->connection + side_of(s, event_of(s, v)));
	return vertex->process && s->processes[vertex->process].process ? span_key(SPAN_PROCESS, vertex->process) :
									   span_key(SPAN_RUN, 0);
}

/* Begins and ends of processes and connections; an accept can have waited long before there was one. */
static void sides_find(struct spans *s)
{
	s->processes[0] = (struct span_side){ .begin_ns = s->t->first_ns, .end_ns = s->t->last_ns };
	for (size_t i = 0; i < s->t->n_rows; i++) {
		uint32_t v = s->t->order[i], process = s->g->vertices[v].process;

		if (is_out(s, v) || !process || process > s->g->trace->n_processes)
			continue;
		side_extend(&s->processes[process], s->t->rows[v].begin_ns, s->t->rows[v].end_ns, process);
		if (s->g->vertices[v].connection)
			side_extend(vertex_side(s, v), timeline_moment(s->t, s->g, v), s->t->rows[v].end_ns, process);
	}
}

static int notes_find(struct spans *s)
{
	struct pair *spare = NULL;
	size_t n_spare = 0;
	int err;

	for (size_t i = 0; i < s->t->n_rows; i++)
		if (!is_out(s, s->t->order[i]) && !is_told_by_span(s, s->t->order[i]))
			s->notes[s->n_notes++] =
				(struct pair){ .key = note_key(s, s->t->order[i]), .value = s->t->order[i] };
	err = pairs_sort(s->notes, s->n_notes, &spare, &n_spare);
	free(spare);
	return err;
}

/* What each process sent and received, in its order; and for each message what it can be an answer to. */
static int causes_find(struct spans *s)
{
	struct pair *pairs = large_malloc(s->t->n_rows + 1, sizeof(*pairs)), *spare = NULL;
	size_t n = 0, n_spare = 0, since = 0;
	int err = pairs ? 0 : -ENOMEM;

	for (size_t i = 0; i < s->t->n_rows && !err; i++) {
		const struct graph_vertex *vertex = &s->g->vertices[s->t->order[i]];
		uint16_t kind = event_of(s, s->t->order[i])->kind;

		if (!is_out(s, s->t->order[i]) && vertex->process && vertex->n_messages &&
		    (kind == EVENT_SEND || kind == EVENT_RECV))
			pairs[n++] = (struct pair){ .key = vertex->process, .value = s->t->order[i] };
	}
	if (!err)
		err = pairs_sort(pairs, n, &spare, &n_spare);
	for (size_t i = 0; i < n && !err; i++) {
		const struct graph_vertex *vertex = &s->g->vertices[pairs[i].value];
		uint32_t m = s->g->vertex_messages[vertex->first_message];

		if (!i || pairs[i - 1].key != pairs[i].key)
			since = i;
		s->sequence[i] = pairs[i].value;
		if (event_of(s, pairs[i].value)->kind != EVENT_SEND)
			continue;
		if (s->g->messages[m].send == pairs[i].value)
			s->causes[m] = (struct span_causes){ .first = (uint32_t)since, .n = (uint32_t)(i - since) };
		since = i + 1;
	}
	free(pairs);
	free(spare);
	return err;
}

/* The receives of a message that are not left out: first and last. False: there are none. */
static bool receives_find(const struct spans *s, uint32_t message, uint32_t *ret_first, uint32_t *ret_last)
{
	size_t n;
	const uint32_t *receives = lineage_receives(s->q->lineage, message, &n);
	bool found = false;

	for (size_t i = 0; i < n; i++) {
		if (is_out(s, receives[i]))
			continue;
		if (!found || s->t->rows[receives[i]].end_ns < s->t->rows[*ret_first].end_ns)
			*ret_first = receives[i];
		if (!found || s->t->rows[receives[i]].end_ns > s->t->rows[*ret_last].end_ns)
			*ret_last = receives[i];
		found = true;
	}
	return found;
}

static void span_add(struct spans *s, enum span_kind kind, uint32_t index, uint32_t process, uint64_t begin, uint64_t end)
{
	s->rows[s->n_rows++] = (struct span){ kind, index, process, begin, end };
}

static void messages_add(struct spans *s)
{
	for (uint32_t m = 0; m < s->g->n_messages; m++) {
		uint32_t send = s->g->messages[m].send, first = 0, last = 0, receiver = lineage_receiver(s->q->lineage, m);
		uint32_t sender = s->g->vertices[send].process;
		const struct timeline_row *row = &s->t->rows[send];
		uint64_t end = row->end_ns, begin;

		if (is_out(s, send))
			continue;
		if (receives_find(s, m, &first, &last)) {
			begin = s->t->rows[first].begin_ns > row->begin_ns ? s->t->rows[first].begin_ns : row->begin_ns;
			end = s->t->rows[last].end_ns > end ? s->t->rows[last].end_ns : end;
			s->received[m] = receiver;
			if (receiver)
				span_add(s, SPAN_RECEIVE, m, receiver, begin, s->t->rows[last].end_ns);
		}
		span_add(s, SPAN_SEND, m, sender, row->begin_ns, end);
	}
}

static int by_process(const void *a, const void *b)
{
	const struct span *x = a, *y = b;

	if (x->process != y->process)
		return x->process < y->process ? -1 : 1;
	if (x->kind != y->kind)
		return x->kind < y->kind ? -1 : 1;
	return x->index < y->index ? -1 : x->index > y->index;
}

static void rows_make(struct spans *s)
{
	span_add(s, SPAN_RUN, 0, 0, s->t->first_ns, s->t->last_ns);
	for (uint32_t p = 1; p <= s->g->trace->n_processes; p++)
		if (s->processes[p].process)
			span_add(s, SPAN_PROCESS, p, p, s->processes[p].begin_ns, s->processes[p].end_ns);
	for (uint32_t i = 2; i < 2 * (s->g->n_connections + 1); i++)
		if (s->sides[i].process)
			span_add(s, SPAN_SIDE, i, s->sides[i].process, s->sides[i].begin_ns, s->sides[i].end_ns);
	messages_add(s);
	qsort(s->rows, s->n_rows, sizeof(*s->rows), by_process);
}

static struct span process_span(const struct spans *s, uint32_t process)
{
	bool seen = process && process <= s->g->trace->n_processes && s->processes[process].process;

	return (struct span){ .kind = seen ? SPAN_PROCESS : SPAN_RUN,
			      .index = seen ? process : 0,
			      .process = seen ? process : 0 };
}

static struct span side_span(const struct spans *s, uint32_t side, uint32_t process)
{
	if (!s->sides[side].process)
		return process_span(s, process);
	return (struct span){ .kind = SPAN_SIDE, .index = side, .process = s->sides[side].process };
}

struct span span_parent(const struct spans *s, const struct span *span)
{
	const struct graph_message *message;

	switch (span->kind) {
	case SPAN_NONE:
	case SPAN_RUN:
		break;
	case SPAN_PROCESS: /* a parent that is damaged could be its own child */
		return process_span(s, s->g->trace->processes[span->index].parent < span->index ?
					       s->g->trace->processes[span->index].parent :
					       0);
	case SPAN_SIDE:
		return span->index & 1 ? side_span(s, span->index - 1, span->process) : process_span(s, span->process);
	case SPAN_SEND:
		message = &s->g->messages[span->index];
		return side_span(s, 2 * message->connection + message->direction, span->process);
	case SPAN_RECEIVE:
		return (struct span){ .kind = SPAN_SEND,
				      .index = span->index,
				      .process = s->g->vertices[s->g->messages[span->index].send].process };
	}
	return (struct span){ .kind = SPAN_NONE };
}

/* The same run has the same ids, wherever it is kept and under which number. */
static void ids_make(struct spans *s)
{
	const struct store_run *row = s->q->run->row;
	XXH128_canonical_t canonical;
	XXH3_state_t *state = XXH3_createState();

	if (!state)
		return;
	XXH3_128bits_reset(state);
	XXH3_128bits_update(state, row->experiment, strlen(row->experiment) + 1);
	XXH3_128bits_update(state, &row->started_ns, sizeof(row->started_ns));
	XXH3_128bits_update(state, row->owner.boot_id, strlen(row->owner.boot_id) + 1);
	XXH3_128bits_update(state, &row->owner.pid, sizeof(row->owner.pid));
	XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(state));
	XXH3_freeState(state);
	memcpy(s->trace, canonical.digest, sizeof(s->trace));
	s->trace[0] |= 1; /* all zero is no id */
	memcpy(&s->mask, s->trace + 8, sizeof(s->mask));
	s->mask |= 1ull << 63; /* no key has that bit: none becomes 0 */
}

int spans_init(struct spans *s, const struct query_run *q, bool all)
{
	size_t n = q->graph->n_vertices + 1, n_messages = q->graph->n_messages, n_sides = 2 * (q->graph->n_connections + 1);
	size_t n_processes = q->graph->trace->n_processes + 1;
	int err;

	*s = (struct spans){ .q = q, .g = q->graph };
	ids_make(s);
	s->rows = large_calloc(1 + n_processes + n_sides + 2 * n_messages, sizeof(*s->rows));
	s->processes = large_calloc(n_processes, sizeof(*s->processes));
	s->sides = large_calloc(n_sides, sizeof(*s->sides));
	s->sequence = large_calloc(n, sizeof(*s->sequence));
	s->causes = large_calloc(n_messages + 1, sizeof(*s->causes));
	s->received = large_calloc(n_messages + 1, sizeof(*s->received));
	s->linked = large_calloc(n_messages + 1, sizeof(*s->linked));
	s->notes = large_calloc(n, sizeof(*s->notes));
	if (!s->mask || !s->rows || !s->processes || !s->sides || !s->sequence || !s->causes || !s->received || !s->linked || !s->notes)
		return -ENOMEM;
	err = timeline_new(q->graph, all, &s->t);
	if (err)
		return err;
	sides_find(s);
	err = notes_find(s);
	if (!err)
		err = causes_find(s);
	if (!err)
		rows_make(s);
	return err;
}

void spans_fini(struct spans *s)
{
	timeline_free(s->t);
	free(s->rows);
	free(s->processes);
	free(s->sides);
	free(s->sequence);
	free(s->causes);
	free(s->received);
	free(s->linked);
	free(s->notes);
}
