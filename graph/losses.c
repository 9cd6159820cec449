/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Lost messages: which fault explains that bytes were sent and never received. Only what did not arrive is lost: what
 * the peer's kernel had acknowledged, or counted as arrived, the program did not read, and no fault is blamed for that.
 *
 * A fault that fired on the connection explains everything from its message on, and (a cut of both ways, a reset, a
 * crash) what the other direction had under way. One that stands between boxes, or that killed a process, explains what
 * was sent through it or to it; of these the clock only takes away: nothing sent after the fault was over.
 *
 * An edge from FIRED to the send: proved by positions if it fired on that end before that byte; else inferred, as one
 * that was sent at about the same time may have been there before. Fails only without memory.
 */
#include "graph/build.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SUSPECTS_MAX 8	    /* of one direction of a connection */
#define FAULTS_TRIED 1024 /* that acted; a plan of more has other readers than people */

struct suspect {
	uint32_t fault; /* place in g->faults */
	uint64_t from;	/* position in the stream */
};

struct stream {
	uint32_t sender, receiver; /* ends, 0 not seen */
	const char *from, *to;	   /* boxes, "" not known */
	uint32_t owner_from, owner_to;
	uint64_t blocked; /* where the first byte is that was not received */
};

static bool is_in(char *const *names, const char *name)
{
	for (; names && *names; names++)
		if (!strcmp(*names, name))
			return true;
	return false;
}

/* No packet from the one to the other. isolate: members are apart from each other too. */
static bool parts(const struct fault *line, const char *from, const char *to)
{
	if (line->kind == FAULT_ISOLATE)
		return strcmp(from, to) && is_in(line->from, from);
	return is_in(line->from, from) && (line->to ? is_in(line->to, to) : !is_in(line->from, to));
}

/* It fired on this connection. */
static bool explains_here(const struct graph_fault *fault, const struct fault *line, const struct stream *s,
			  uint64_t *ret_from)
{
	bool forward = fault->end == s->sender;

	*ret_from = forward ? fault->pos : 0;
	switch (fault->kind) {
	case FAULT_CUT:
		return forward || !(line->flags & FAULT_F_ONEWAY);
	case FAULT_RESET:
		return true;
	case FAULT_CRASH:
		return forward && line->at.kind == MOMENT_SEND;
	case FAULT_DROP: /* and what TCP keeps behind it */
	case FAULT_HOLD:
		return forward && fault->pos >= s->blocked;
	case FAULT_PAUSE:
		return forward && line->at.kind == MOMENT_SEND && fault->pos >= s->blocked;
	case FAULT_NONE:
	case FAULT_REFUSE:
	case FAULT_PARTITION:
	case FAULT_ISOLATE:
	case FAULT_CRASH_BOX:
	case FAULT_RESTART:
	case FAULT_LOSS:
	case FAULT_CORRUPT:
	case FAULT_DUPLICATE:
	case FAULT_REORDER:
	case FAULT_RATE:
	case FAULT_FAIL:
	case FAULT_KIND_COUNT:
		break;
	}
	return false;
}

static bool explains_all(const struct build *b, const struct fault *line, const struct stream *s)
{
	switch (line->kind) {
	case FAULT_CRASH:
		return build_is_called(b->trace, s->owner_to, line->process);
	case FAULT_CRASH_BOX:
		return !strcmp(line->from[0], s->from) || !strcmp(line->from[0], s->to);
	case FAULT_PARTITION:
	case FAULT_ISOLATE:
	case FAULT_LOSS:
	case FAULT_CORRUPT:
		return parts(line, s->from, s->to) || (!(line->flags & FAULT_F_ONEWAY) && parts(line, s->to, s->from));
	case FAULT_NONE:
	case FAULT_CUT:
	case FAULT_DROP:
	case FAULT_HOLD:
	case FAULT_RESET:
	case FAULT_REFUSE:
	case FAULT_RESTART:
	case FAULT_PAUSE:
	case FAULT_DUPLICATE:
	case FAULT_REORDER: /* they come */
	case FAULT_RATE:
	case FAULT_FAIL:
	case FAULT_KIND_COUNT:
		break;
	}
	return false;
}

/* Those that fired on the connection first, the last of them in front: a hold may have been over when it was cut. */
static size_t find_suspects(const struct build *b, const uint32_t *acting, size_t n, const struct stream *s,
			    struct suspect *suspects)
{
	size_t found = 0;
	uint64_t from;

	for (size_t i = 0; i < n && found < SUSPECTS_MAX; i++) {
		const struct graph_fault *fault = &b->g->faults[acting[i]];

		if (fault->end && (fault->end == s->sender || fault->end == s->receiver) &&
		    explains_here(fault, &b->lines[acting[i]], s, &from))
			suspects[found++] = (struct suspect){ acting[i], from };
	}
	for (size_t i = 1; i < found; i++) {
		struct suspect moving = suspects[i];
		size_t k = i;

		for (; k && suspects[k - 1].from < moving.from; k--)
			suspects[k] = suspects[k - 1];
		suspects[k] = moving;
	}
	for (size_t i = 0; i < n && found < SUSPECTS_MAX; i++)
		if (explains_all(b, &b->lines[acting[i]], s))
			suspects[found++] = (struct suspect){ acting[i], 0 };
	return found;
}

/* Where a datagram went is in the name of what was asked: s1:53. */
static const char *target_box(const struct trace *trace, const struct graph_connection *c)
{
	const char *target = text_or(trace->ends[c->connector].target, ""), *colon = strrchr(target, ':');

	for (size_t i = 1; colon && i <= trace->n_boxes; i++) {
		const char *name = build_box_name(trace, i);

		if (*name && strlen(name) == (size_t)(colon - target) && !strncmp(name, target, colon - target))
			return name;
	}
	return "";
}

static struct stream stream_new(const struct build *b, const struct graph_message *m)
{
	const struct graph_connection *c = &b->g->connections[m->connection];
	const struct trace *trace = b->trace;
	uint32_t sender = m->direction ? c->acceptor : c->connector;
	uint32_t receiver = m->direction ? c->connector : c->acceptor;
	struct stream s = {
		.sender = sender, .receiver = receiver,
		.from = build_box_name(trace, trace->ends[sender].box),
		.to = build_box_name(trace, trace->ends[receiver].box),
		.owner_from = b->ends[sender].owner, .owner_to = b->ends[receiver].owner, .blocked = UINT64_MAX,
	};

	if (!receiver && !m->direction && c->connector)
		s.to = target_box(trace, c);
	return s;
}

static bool is_whole(const struct graph_message *m)
{
	return m->size ? m->received >= m->size : m->delivered;
}

/* How much of the stream certainly came to the peer's kernel. */
static uint64_t arrived(const struct build *b, const struct stream *s)
{
	const struct trace_end *sender = &b->trace->ends[s->sender], *receiver = &b->trace->ends[s->receiver];
	uint64_t at = 0;

	if (s->receiver && receiver->finished)
		at = range_end(receiver->received, receiver->unread);
	if (s->sender && sender->finished && sender->sent - sender->unacked > at && sender->unacked <= sender->sent)
		at = sender->sent - sender->unacked;
	return at;
}

/* The receiver had closed its end before, and not because of this fault: nobody would have read it anyway. */
static bool was_closed(const struct build *b, const struct graph_fault *fault, const struct stream *s, uint32_t send)
{
	uint32_t fin = s->receiver ? b->ends[s->receiver].fin : NO_VERTEX;

	if (fault->end == s->sender || fault->kind == FAULT_CRASH || fault->kind == FAULT_CRASH_BOX)
		return false;
	return fin != NO_VERTEX && !(build_event(b, fin)->flags & EVENT_F_SHUTDOWN) &&
	       build_event(b, fin)->enter_ns < build_event(b, send)->enter_ns;
}

static bool was_over(const struct build *b, const struct graph_fault *fault, uint32_t send)
{
	return fault->ended != NO_VERTEX && build_event(b, send)->enter_ns > build_event(b, fault->ended)->enter_ns;
}

static int blame(struct build *b, struct graph_message *m, const struct stream *s, const struct suspect *suspect)
{
	struct graph_fault *fault = &b->g->faults[suspect->fault];
	uint32_t send = m->send;
	bool proved = fault->end && fault->end == s->sender && m->pos >= fault->pos;
	int err;

	m->lost_by = fault->id;
	fault->lost_messages++;
	fault->lost_bytes = range_end(fault->lost_bytes, m->size > m->received ? m->size - m->received : 0);
	if (fault->fired == NO_VERTEX || send == fault->call)
		return 0;
	if (!proved && (b->g->vertices[send].process == b->g->vertices[fault->fired].process ||
			build_event(b, send)->enter_ns < build_event(b, fault->fired)->enter_ns))
		return 0;
	err = build_edge_add(b, fault->fired, send, RULE_FAULT, 0);
	if (!err)
		b->cross[b->n_cross - 1].inferred = !proved;
	return err;
}

/* Messages [first, last) are all of one direction. */
static int explain(struct build *b, size_t first, size_t last, const uint32_t *acting, size_t n)
{
	struct graph_message *all = b->g->messages;
	struct suspect suspects[SUSPECTS_MAX];
	struct stream s = stream_new(b, &all[first]);
	bool datagrams = b->g->connections[all[first].connection].transport == TRANSPORT_UDP;
	uint64_t there = datagrams ? 0 : arrived(b, &s);
	size_t found;
	int err = 0;

	for (size_t i = first; i < last; i++)
		if (!is_whole(&all[i]) && all[i].pos < s.blocked)
			s.blocked = all[i].pos;
	if (s.blocked == UINT64_MAX)
		return 0;
	found = find_suspects(b, acting, n, &s, suspects);
	for (size_t i = first; i < last && found && !err; i++) {
		if (is_whole(&all[i]) || (!datagrams && all[i].end <= there))
			continue;
		for (size_t k = 0; k < found; k++) {
			const struct graph_fault *fault = &b->g->faults[suspects[k].fault];

			if ((!datagrams && all[i].end <= suspects[k].from) || was_over(b, fault, all[i].send) ||
			    was_closed(b, fault, &s, all[i].send))
				continue;
			err = blame(b, &all[i], &s, &suspects[k]);
			break;
		}
	}
	return err;
}

int build_losses(struct build *b)
{
	struct graph *g = b->g;
	uint32_t *acting = NULL;
	size_t n = 0;
	int err = 0;

	for (size_t i = 0; i < g->n_faults; i++)
		n += g->faults[i].acts;
	if (!n)
		return 0;
	acting = malloc(n * sizeof(*acting));
	if (!acting)
		return -ENOMEM;
	n = 0;
	for (size_t i = 0; i < g->n_faults && n < FAULTS_TRIED; i++)
		if (g->faults[i].acts)
			acting[n++] = i;
	for (size_t i = 0, last; i < g->n_messages && !err; i = last) {
		enum transport transport = g->connections[g->messages[i].connection].transport;

		for (last = i + 1; last < g->n_messages && g->messages[last].connection == g->messages[i].connection &&
				   g->messages[last].direction == g->messages[i].direction; last++)
			;
		if (transport == TRANSPORT_TCP || transport == TRANSPORT_UDP)
			err = explain(b, i, last, acting, n);
	}
	free(acting);
	return err;
}
