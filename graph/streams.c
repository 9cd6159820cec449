/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Byte ranges. Each direction of a connection is a stream of positions from 0. Sends and receives name ranges of it,
 * whatever the segmentation; a receive is after every send whose bytes it returned. One sweep over both, sorted.
 *
 * Ranges must tile: a gap below a position that something later proves to have passed is an event that no record
 * shows (a hole). An urgent byte that was read out of band is a range like any other, but proves nothing of what is before it;
 * one that was stepped over leaves a gap of one byte, which is none.
 *
 * Ranges that overlap (two writers really interleaved, see EVENT_F_INTERLEAVED) are taken as they are: a receive is
 * then after both. A trace in which everything overlaps everything is refused with -EINVAL, or it would cost quadratic
 * time. Else fails only without memory.
 */
#include "graph/build.h"
#include "lib/large.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Within so many messages of one receive, one that was written in several pieces is named once. */
#define REPEAT_MAX 16

struct sweep {
	struct build *b;
	const struct ranges *sends, *receives;
	enum graph_rule rule; /* of the stream that is swept */
	bool inferred;
	uint32_t *active;    /* sends that may still overlap; indices into sends.items */
	size_t n_active, budget;
};

static int ranges_init(struct ranges *ranges, size_t n_directions)
{
	for (size_t i = 0; i < n_directions; i++)
		ranges->first[i + 2] += ranges->first[i + 1];
	ranges->place = ranges->first + 1; /* becomes the ends, which are the beginnings of the next */
	ranges->items = large_malloc(ranges->first[n_directions + 1] + 1, sizeof(*ranges->items));
	return ranges->items ? 0 : -ENOMEM;
}

int build_ranges_reserve(struct build *b)
{
	size_t n_directions = 2 * (b->g->n_connections + 1);

	b->sends.first = calloc(n_directions + 2, sizeof(*b->sends.first));
	b->receives.first = calloc(n_directions + 2, sizeof(*b->receives.first));
	if (!b->sends.first || !b->receives.first)
		return -ENOMEM;
	for (uint32_t end = 1; end <= b->trace->n_ends; end++) {
		if (!b->ends[end].used)
			continue;
		b->sends.first[build_direction(b, end, true) + 2] += b->ends[end].n_ranges[1];
		b->receives.first[build_direction(b, end, false) + 2] += b->ends[end].n_ranges[0];
	}
	return ranges_init(&b->sends, n_directions) < 0 || ranges_init(&b->receives, n_directions) < 0 ? -ENOMEM : 0;
}

/* Room for what a run without surprises makes; surprises make more. */
static int reserve(struct build *b, size_t n_sends, size_t n_receives)
{
	struct graph *g = b->g;
	size_t n_cross = b->n_cross + n_receives + n_receives / 8 + 64;
	struct graph_edge *cross = large_realloc(b->cross, n_cross, sizeof(*cross));

	if (!cross)
		return -ENOMEM;
	b->cross = cross;
	b->cap_cross = n_cross;
	b->cap_messages = n_sends + 1;
	b->cap_vertex_messages = n_sends + n_receives + 1;
	g->messages = large_malloc(b->cap_messages, sizeof(*g->messages));
	g->vertex_messages = large_malloc(b->cap_vertex_messages, sizeof(*g->vertex_messages));
	g->n_vertex_messages = n_sends; /* theirs are the first, by their ranges */
	return g->messages && g->vertex_messages ? 0 : -ENOMEM;
}

static int number_compare(const void *a, const void *b)
{
	const struct range *p = a, *q = b;

	if (p->number != q->number)
		return p->number < q->number ? -1 : 1;
	if (p->from != q->from)
		return p->from < q->from ? -1 : 1;
	return p->vertex < q->vertex ? -1 : p->vertex > q->vertex;
}

static int place_compare(const void *a, const void *b)
{
	const struct range *p = a, *q = b;

	if (p->from != q->from)
		return p->from < q->from ? -1 : 1;
	if (p->to != q->to)
		return p->to < q->to ? -1 : 1;
	return p->vertex < q->vertex ? -1 : p->vertex > q->vertex;
}

/* Whether they had to be: streams are nearly always sorted as they come. */
static bool ranges_sort(struct range *ranges, size_t n, int (*compare)(const void *, const void *))
{
	for (size_t i = 1; i < n; i++) {
		if (compare(&ranges[i - 1], &ranges[i]) > 0) {
			qsort(ranges, n, sizeof(*ranges), compare);
			return true;
		}
	}
	return false;
}

/* Sends of one number are one message; a send without number is one of its own, and so is a datagram. */
static int make_messages(struct sweep *s, size_t stream, struct range *sends, size_t n)
{
	struct build *b = s->b;
	struct graph *g = b->g;
	bool datagrams = s->rule == RULE_DATAGRAM, moved = ranges_sort(sends, n, number_compare);
	size_t first = sends - s->sends->items;
	struct graph_message *message = NULL;
	uint32_t last = 0;

	for (size_t i = 0; i < n; i++) {
		if (!i || !sends[i].number || sends[i].number != last || datagrams) {
			if (build_grow((void **)&g->messages, &b->cap_messages, g->n_messages, sizeof(*message)) < 0)
				return -ENOMEM;
			message = &g->messages[g->n_messages++];
			*message = (struct graph_message){
				.connection = stream / 2, .direction = stream % 2, .number = sends[i].number,
				.pos = sends[i].from, .send = sends[i].vertex, .inferred = s->inferred,
			};
			g->connections[stream / 2].messages[stream % 2]++;
		}
		message->size = range_end(message->size, sends[i].to - sends[i].from);
		if (message->end < sends[i].to)
			message->end = sends[i].to;
		last = sends[i].number;
		sends[i].message = g->n_messages - 1;
		g->vertex_messages[moved ? g->vertices[sends[i].vertex].first_message : first + i] = g->n_messages - 1;
	}
	return 0;
}

static int hole_add(struct build *b, size_t stream, bool receive_side, uint64_t from, uint64_t to)
{
	struct graph *g = b->g;

	if (build_grow((void **)&g->holes, &b->cap_holes, g->n_holes, sizeof(*g->holes)) < 0)
		return -ENOMEM;
	g->holes[g->n_holes++] = (struct graph_hole){
		.connection = stream / 2, .direction = stream % 2, .receive_side = receive_side, .from = from, .to = to,
	};
	return 0;
}

/*
 * Gaps between sorted ranges, and between the last one and `all`. A byte that was stepped over is accounted for. Of an end
 * that may have been there before us nothing is known of what came before its first range.
 */
static int find_holes(struct build *b, size_t stream, bool receive_side, const struct range *ranges, size_t n,
		      uint64_t all, uint32_t end)
{
	const struct trace_end *row = &b->trace->ends[end];
	uint64_t covered = 0;
	int err = 0;

	if (!row->keyed || row->older)
		covered = n ? ranges[0].from : all;
	for (size_t i = 0; i <= n && !err; i++) {
		uint64_t from = i < n ? ranges[i].from : all;
		bool skipped = receive_side && (i < n ? ranges[i].number & EVENT_F_SKIPPED : b->ends[end].skipped_last == all);

		if (receive_side && i < n && ranges[i].number & EVENT_F_URGENT && from >= all)
			continue; /* ahead of the stream */
		if (from > covered && !(skipped && from - covered == 1))
			err = hole_add(b, stream, receive_side, covered, from);
		if (from > covered)
			covered = from;
		if (i < n && ranges[i].to > covered)
			covered = ranges[i].to;
	}
	return err;
}

int build_vertex_message_add(struct build *b, uint32_t v, uint32_t message)
{
	struct graph *g = b->g;
	struct graph_vertex *vertex = &g->vertices[v];

	for (uint32_t i = 0; i < vertex->n_messages && i < REPEAT_MAX; i++)
		if (g->vertex_messages[g->n_vertex_messages - 1 - i] == message)
			return 0;
	if (build_grow((void **)&g->vertex_messages, &b->cap_vertex_messages, g->n_vertex_messages,
		       sizeof(*g->vertex_messages)) < 0)
		return -ENOMEM;
	if (!vertex->n_messages++)
		vertex->first_message = g->n_vertex_messages;
	g->vertex_messages[g->n_vertex_messages++] = message;
	return 0;
}

/* One receive against the sends that are active. *ret_matched: how many of its bytes they sent. */
static int match_receive(struct sweep *s, const struct range *receive, uint64_t *ret_matched)
{
	struct graph *g = s->b->g;
	size_t kept = 0;
	uint64_t covered = receive->from, matched = 0;
	int err = 0;

	for (size_t i = 0; i < s->n_active; i++) {
		const struct range *send = &s->sends->items[s->active[i]];
		uint64_t from = send->from > receive->from ? send->from : receive->from;
		uint64_t to = send->to < receive->to ? send->to : receive->to;
		struct graph_message *message = &g->messages[send->message];

		if (send->to > receive->from) {
			s->active[kept++] = s->active[i];
			if (!s->budget--)
				return -E2BIG;
		}
		if (from >= to || err)
			continue;
		err = build_edge_add(s->b, send->vertex, receive->vertex, s->rule, to - from);
		if (!err) {
			s->b->cross[s->b->n_cross - 1].inferred = s->inferred;
			err = build_vertex_message_add(s->b, receive->vertex, send->message);
		}
		message->received = range_end(message->received, to - from);
		message->delivered = true;
		if (to > covered) {
			matched += to - (from > covered ? from : covered);
			covered = to;
		}
	}
	s->n_active = kept;
	*ret_matched = matched;
	return err;
}

/*
 * Where what we know of a stream begins, from the sorted ranges of an end: its connection may have been there before
 * us, and nothing tells of the sends of that time.
 */
static uint64_t stream_beginning(const struct build *b, uint32_t end, const struct range *ranges, size_t n)
{
	if (!b->trace->ends[end].older)
		return 0;
	return n ? ranges[0].from : UINT64_MAX;
}

/* Bytes of a range from there on. */
static uint64_t range_since(const struct range *range, uint64_t beginning)
{
	return range->to <= beginning ? 0 : range->to - (range->from > beginning ? range->from : beginning);
}

static int sweep_stream(struct sweep *s, size_t stream, uint64_t beginning)
{
	struct graph *g = s->b->g;
	size_t next = s->sends->first[stream], n_sends = s->sends->first[stream + 1];
	size_t first = s->receives->first[stream], n_receives = s->receives->first[stream + 1];
	int err = 0;

	s->n_active = 0;
	/* tiling ranges meet at most once for each beginning of either */
	s->budget = 16 * (n_sends - next + n_receives - first) + 4096;
	for (size_t i = first; i < n_receives && !err; i++) {
		const struct range *receive = &s->receives->items[i];
		uint64_t matched = 0, unmatched, since;

		if (i + 32 < n_receives)
			__builtin_prefetch(&g->vertices[s->receives->items[i + 32].vertex], 1);
		for (; next < n_sends && s->sends->items[next].from < receive->to; next++)
			s->active[s->n_active++] = next;
		err = match_receive(s, receive, &matched);
		since = range_since(receive, beginning);
		unmatched = since > matched ? since - matched : 0;
		g->unmatched_bytes = range_end(g->unmatched_bytes, unmatched);
	}
	if (err == -E2BIG)
		return error_set(s->b->e, -EINVAL, "the byte ranges of %s overlap everywhere: this trace is damaged",
				 g->connections[stream / 2].label);
	return err;
}

/* but: what these flags are set of does not count. */
static uint64_t last_end(const struct range *ranges, size_t n, uint32_t but)
{
	uint64_t last = 0;

	for (size_t i = 0; i < n; i++)
		if (ranges[i].to > last && !(ranges[i].number & but))
			last = ranges[i].to;
	return last;
}

static enum graph_rule transport_rule(enum transport transport)
{
	switch (transport) {
	case TRANSPORT_UDP:
		return RULE_DATAGRAM;
	case TRANSPORT_UNIX:
		return RULE_LOCAL;
	case TRANSPORT_PIPE:
		return RULE_PIPE;
	case TRANSPORT_TCP:
	case TRANSPORT_COUNT:
		break;
	}
	return RULE_MESSAGE;
}

static int do_stream(struct sweep *s, size_t stream)
{
	struct build *b = s->b;
	struct graph_connection *connection = &b->g->connections[stream / 2];
	uint32_t sender = stream % 2 ? connection->acceptor : connection->connector;
	uint32_t receiver = stream % 2 ? connection->connector : connection->acceptor;
	struct range *sends = s->sends->items + s->sends->first[stream];
	struct range *receives = s->receives->items + s->receives->first[stream];
	size_t n_sends = s->sends->first[stream + 1] - s->sends->first[stream];
	size_t n_receives = s->receives->first[stream + 1] - s->receives->first[stream];
	uint64_t taken = last_end(receives, n_receives, EVENT_F_URGENT), sent = last_end(sends, n_sends, 0), beginning;
	int err;

	if (stream % 2 && sender && sender == receiver)
		return 0; /* connected to itself: one direction is all there is */
	s->rule = transport_rule(connection->transport);
	s->inferred = s->rule == RULE_DATAGRAM || (s->rule != RULE_MESSAGE && (b->ends[sender].shared || b->ends[receiver].shared));
	err = make_messages(s, stream, sends, n_sends);
	if (s->rule == RULE_DATAGRAM) {
		for (size_t i = 0; i < n_sends; i++)
			connection->bytes[stream % 2] = range_end(connection->bytes[stream % 2], sends[i].to);
		return err;
	}
	ranges_sort(sends, n_sends, place_compare);
	ranges_sort(receives, n_receives, place_compare);
	if (receiver && b->ends[receiver].received > taken)
		taken = b->ends[receiver].received;
	if (sender && b->ends[sender].sent > sent)
		sent = b->ends[sender].sent;
	if (taken > sent)
		sent = taken;
	beginning = sender ? stream_beginning(b, sender, sends, n_sends) :
			     stream_beginning(b, receiver, receives, n_receives);
	connection->bytes[stream % 2] = sent > beginning ? sent - beginning : 0;
	if (!err)
		err = sweep_stream(s, stream, sender ? beginning : 0);
	if (s->rule != RULE_MESSAGE) /* whoever is not traced can write to it and read from it as well */
		return err;
	if (!err && sender)
		err = find_holes(b, stream, false, sends, n_sends, sent, sender);
	if (!err && receiver)
		err = find_holes(b, stream, true, receives, n_receives, taken, receiver);
	return err;
}

int build_streams(struct build *b)
{
	struct sweep s = { .b = b, .sends = &b->sends, .receives = &b->receives };
	size_t n_streams = 2 * (b->g->n_connections + 1);
	int err = reserve(b, b->sends.first[n_streams], b->receives.first[n_streams]);

	if (err < 0)
		return err;
	s.active = large_malloc(b->sends.first[n_streams] + 1, sizeof(*s.active));
	err = s.active ? 0 : -ENOMEM;
	for (size_t stream = 2; stream < n_streams && !err; stream++)
		err = do_stream(&s, stream);
	free(s.active);
	free(b->sends.items);
	free(b->receives.items);
	b->sends.items = b->receives.items = NULL;
	return err;
}
