/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Spawn, connect and close edges. Each is a fact of the kernel's, not a guess:
 *
 *   spawn    a SPAWN is before the first event of what it made; the EXIT of a process is before the WAIT that saw it, and
 *            the EXITs of its threads are before its own
 *   connect  connect() sends the SYN of what accept() returns
 *   close    end of file at position p needs the FIN that a CLOSE put behind p bytes; a RESET needs a peer that closed,
 *            and a receive that fails with ECONNRESET needs the RESET. What a fault made of the connection is the
 *            fault's (faults.c)
 *
 * Byte ranges are not looked at here. Fails only without memory.
 */
#include "graph/build.h"
#include "lib/clock.h"
#include "lib/large.h"
#include "proto/merge.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define TOLD_LATE_NS (10 * CLOCK_SECOND_NS)

/* First event of a process in its order, NO_VERTEX if it has none. */
static uint32_t process_first(const struct build *b, uint32_t process)
{
	uint32_t rank = b->rank[process];

	return process && b->lane[rank] < b->floating[rank] ? b->lane[rank] : NO_VERTEX;
}

static uint32_t thread_first(const struct build *b, uint32_t process, uint32_t thread)
{
	uint32_t rank = b->rank[process];
	size_t low = 0, high = b->n_chains;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct chain *chain = &b->chains[middle];

		if (chain->rank < rank || (chain->rank == rank && chain->thread < thread))
			low = middle + 1;
		else
			high = middle;
	}
	if (low < b->n_chains && b->chains[low].rank == rank && b->chains[low].thread == thread)
		return b->chains[low].head;
	return NO_VERTEX;
}

static uint32_t earlier(uint32_t a, uint32_t b)
{
	return a < b ? a : b; /* NO_VERTEX is the latest */
}

/* Better of two closes: the lower rank, then the earlier. */
static uint32_t better(const struct build *b, uint32_t v, uint32_t w, unsigned (*rank)(unsigned flags))
{
	unsigned rank_v, rank_w;

	if (w == NO_VERTEX)
		return v;
	rank_v = rank(build_event(b, v)->flags);
	rank_w = rank(build_event(b, w)->flags);
	return rank_v != rank_w ? (rank_v < rank_w ? v : w) : earlier(v, w);
}

/* A half close comes before the close, in whichever process either was. */
static unsigned fin_rank(unsigned flags)
{
	return flags & EVENT_F_RST ? 2 : flags & EVENT_F_SHUTDOWN ? 0 : 1;
}

/* The RST was sent by the close that says so; else by the kernel, once the whole end was gone. */
static unsigned rst_rank(unsigned flags)
{
	return flags & EVENT_F_RST ? 0 : flags & EVENT_F_SHUTDOWN ? 2 : 1;
}

static void note_close(struct build *b, uint32_t v, const struct event *event, struct end_facts *end)
{
	if (event->pos > end->sent)
		end->sent = event->pos;
	end->fin = better(b, v, end->fin, fin_rank);
	end->rst = better(b, v, end->rst, rst_rank);
}

static void note_end(struct build *b, uint32_t v, const struct event *event, uint32_t index)
{
	struct end_facts *end = &b->ends[index];
	struct graph_connection *connection = &b->g->connections[end->connection];

	switch ((enum event_kind)event->kind) {
	case EVENT_CONNECT:
		if (connection->connector == index)
			connection->connect_vertex = earlier(connection->connect_vertex, v);
		break;
	case EVENT_ACCEPT:
		if (connection->acceptor == index)
			connection->accept_vertex = earlier(connection->accept_vertex, v);
		break;
	case EVENT_CLOSE:
		note_close(b, v, event, end);
		break;
	case EVENT_RESET:
		end->reset = earlier(end->reset, v);
		if (event->pos > end->received)
			end->received = event->pos;
		break;
	case EVENT_RECV:
		if (event->pos > end->received && event->value <= 0)
			end->received = event->pos;
		if (event->flags & EVENT_F_SKIPPED)
			end->skipped_last = event->pos;
		break;
	case EVENT_NONE:
	case EVENT_START:
	case EVENT_EXEC:
	case EVENT_SPAWN:
	case EVENT_WAIT:
	case EVENT_EXIT:
	case EVENT_LISTEN:
	case EVENT_SEND:
	case EVENT_LOST:
	case EVENT_MARK:
	case EVENT_ARMED:
	case EVENT_FIRED:
	case EVENT_LIFTED:
	case EVENT_EXPIRED:
	case EVENT_KIND_COUNT:
		break;
	}
}

static uint64_t outcome_time(const struct build *b)
{
	const struct trace *trace = b->trace;
	uint32_t first = b->lane[trace->n_processes];
	uint64_t time = UINT64_MAX;

	for (uint32_t v = first; v < b->g->n_vertices; v++) {
		const struct event *event = build_event(b, v);
		const char *phase = trace_mark_text(trace, event);

		if (phase && !strcmp(phase, "outcome") && event_time(event) < time)
			time = event_time(event);
	}
	return time;
}

/* Who sends, and whether one thread does all the sends, one all the receives. */
static void note_user(struct build *b, struct end_facts *end, uint32_t v, bool send)
{
	const struct graph_vertex *vertex = &b->g->vertices[v], *other;

	if (send) {
		end->mixed |= end->sender && end->sender != vertex->process;
		end->sender = vertex->process;
	}
	if (end->user[send]) {
		other = &b->g->vertices[end->user[send] - 1];
		end->shared |= other->process != vertex->process ||
			       b->trace->events[other->event].thread != b->trace->events[vertex->event].thread;
	}
	end->user[send] = v + 1;
}

/* enum graph_moved of what goes into the ranges. */
static uint8_t moved_of(const struct build *b, const struct graph_vertex *vertex, const struct event *event, uint32_t end)
{
	uint8_t side = b->trace->ends[end].role == END_CONNECTOR ? GRAPH_BY_CONNECTOR : 0;

	if (!vertex->connection || event->process != vertex->process || event_floats(event))
		return 0;
	if (event->kind == EVENT_SEND)
		return GRAPH_SENT | side;
	return event->flags & EVENT_F_URGENT ? 0 : GRAPH_RECEIVED | side;
}

/* What the event moved goes where build_ranges_reserve() made room for it. */
static void note_range(struct build *b, uint32_t v, const struct event *event, uint32_t end)
{
	bool send = event->kind == EVENT_SEND, datagram = build_transport(b, end) == TRANSPORT_UDP;
	struct ranges *ranges = send ? &b->sends : &b->receives;
	size_t place = ranges->place[build_direction(b, end, send)]++;
	struct graph_vertex *vertex = &b->g->vertices[v];

	b->moved[v] = true;
	vertex->moved = moved_of(b, vertex, event, end);
	if (send) { /* its only message, see make_messages() */
		vertex->first_message = place;
		vertex->n_messages = 1;
	}
	ranges->items[place] = (struct range){
		.from = datagram ? 0 : event->pos,
		.to = datagram ? (uint64_t)event->value : range_end(event->pos, event->value),
		.vertex = v,
		.number = send ? event->message : event->flags & (EVENT_F_URGENT | EVENT_F_SKIPPED),
	};
	note_user(b, &b->ends[end], v, send);
}

/*
 * What its own agent had been told counts: clocks of two machines agree only so far. But whoever could not be told for long is not
 * waited for: his clock will do.
 */
static uint64_t outcome_of(const struct build *b, const struct event *event, uint64_t outcome)
{
	unsigned stream = merge_stream_of(event);
	uint64_t own;

	if (stream >= b->trace->n_outcomes || event->kind == EVENT_MARK || outcome > UINT64_MAX - TOLD_LATE_NS)
		return outcome;
	own = b->trace->outcomes[stream];
	return own < outcome + TOLD_LATE_NS ? own : outcome + TOLD_LATE_NS;
}

/* The first EXIT of each process: by process index. */
static int gather(struct build *b, uint32_t *exits)
{
	uint64_t outcome = outcome_time(b);

	for (size_t i = 0; i <= b->trace->n_processes; i++)
		exits[i] = NO_VERTEX;
	for (uint32_t v = 0; v < b->g->n_vertices; v++) {
		const struct event *event = build_event(b, v);
		struct graph_vertex *vertex = &b->g->vertices[v];
		uint32_t end = build_end(b, event);

		build_prefetch(b, v);
		vertex->teardown = event_time(event) > outcome_of(b, event, outcome);
		if (end) {
			vertex->connection = b->ends[end].connection;
			if (build_moved(b, event, end))
				note_range(b, v, event, end);
			else
				note_end(b, v, event, end);
		}
		if (event->kind == EVENT_EXIT && !(event->flags & EVENT_F_THREAD))
			exits[vertex->process] = earlier(exits[vertex->process], v);
		if (event_is_fault(event->kind) && build_fault_note(b, v) < 0)
			return -ENOMEM;
	}
	for (size_t i = 1; i <= b->trace->n_ends; i++) {
		const struct trace_end *end = &b->trace->ends[i];

		if (!end->finished)
			continue;
		if (end->sent > b->ends[i].sent)
			b->ends[i].sent = end->sent;
		if (end->received > b->ends[i].received)
			b->ends[i].received = end->received;
	}
	return 0;
}

static uint32_t other_end(const struct build *b, uint32_t end)
{
	const struct graph_connection *connection = &b->g->connections[b->ends[end].connection];

	return connection->connector == end ? connection->acceptor : connection->connector;
}

static int link_if(struct build *b, uint32_t from, uint32_t to, enum graph_rule rule)
{
	return from == NO_VERTEX || to == NO_VERTEX ? 0 : build_edge_add(b, from, to, rule, 0);
}

/* The FIRED that ended the connection of this end, at either end. */
static uint32_t broken_by(const struct build *b, uint32_t end, uint64_t *ret_pos)
{
	uint32_t fault = build_broken(b, end, ret_pos);

	return fault != NO_VERTEX ? fault : build_broken(b, other_end(b, end), ret_pos);
}

static int link_reset(struct build *b, uint32_t v, uint32_t end)
{
	uint64_t pos;
	uint32_t fault = broken_by(b, end, &pos);

	if (fault != NO_VERTEX)
		return link_if(b, fault, v, RULE_FAULT);
	return link_if(b, b->ends[other_end(b, end)].rst, v, RULE_CLOSE);
}

static int link_recv(struct build *b, uint32_t v, const struct event *event, uint32_t end)
{
	const struct end_facts *own = &b->ends[end], *peer = &b->ends[other_end(b, end)];
	uint64_t pos = 0;
	uint32_t fault = event->value == 0 ? build_broken(b, other_end(b, end), &pos) : NO_VERTEX;

	if (fault != NO_VERTEX && event->pos >= pos)
		return link_if(b, fault, v, RULE_FAULT);
	if (event->value == 0 && peer->fin != NO_VERTEX && event->pos >= build_event(b, peer->fin)->pos)
		return link_if(b, peer->fin, v, RULE_CLOSE);
	if (event->value == -ECONNRESET || event->value == -EPIPE) {
		fault = broken_by(b, end, &pos);
		if (own->reset == NO_VERTEX && fault != NO_VERTEX)
			return link_if(b, fault, v, RULE_FAULT);
		return link_if(b, own->reset != NO_VERTEX ? own->reset : peer->rst, v, RULE_CLOSE);
	}
	return 0;
}

static int link_vertex(struct build *b, uint32_t v, const uint32_t *exits)
{
	const struct event *event = build_event(b, v);
	uint32_t process = b->g->vertices[v].process, peer = build_peer(b, event);
	uint32_t end = build_end(b, event);

	if (event->kind == EVENT_SPAWN && !(event->flags & EVENT_F_THREAD))
		return link_if(b, v, process_first(b, peer), RULE_SPAWN);
	if (event->kind == EVENT_SPAWN && process && event->value > 0 && event->value < UINT32_MAX)
		return link_if(b, v, thread_first(b, process, event->value), RULE_SPAWN);
	if (event->kind == EVENT_WAIT && peer)
		return link_if(b, exits[peer], v, RULE_SPAWN);
	if (event->kind == EVENT_EXIT && event->flags & EVENT_F_THREAD && process &&
	    exits[process] != NO_VERTEX && v < exits[process])
		return link_if(b, v, exits[process], RULE_SPAWN);
	if (event->kind == EVENT_RECV && end)
		return link_recv(b, v, event, end);
	if (event->kind == EVENT_RESET && end && v == b->ends[end].reset)
		return link_reset(b, v, end);
	return 0;
}

int build_rules(struct build *b)
{
	uint32_t *exits = malloc((b->trace->n_processes + 1) * sizeof(*exits));
	int err;

	b->moved = large_calloc(b->g->n_vertices + 1, sizeof(*b->moved));
	if (!exits || !b->moved || build_ranges_reserve(b) < 0) {
		free(exits);
		return -ENOMEM;
	}
	err = gather(b, exits);
	if (!err)
		err = build_faults(b, exits);
	for (uint32_t v = 0; v < b->g->n_vertices && !err; v++)
		if (!b->moved[v])
			err = link_vertex(b, v, exits);
	for (size_t i = 1; i <= b->g->n_connections && !err; i++)
		err = link_if(b, b->g->connections[i].connect_vertex, b->g->connections[i].accept_vertex,
			      RULE_CONNECT);
	free(exits);
	return err;
}
