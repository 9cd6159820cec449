/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What the steps of graph_build() share. Private to graph/. The steps, in this order:
 *
 *   canon.c    numbers the vertices in an order that does not depend on arrival
 *   ends.c     finds the two ends of each connection, names them
 *   chains.c   consecutive events of threads and processes
 *   rules.c    spawn, connect and close edges
 *   faults.c   which faults there were, and what they did to processes and connections
 *   streams.c  byte ranges: messages, message edges, holes
 *   datagrams.c  which receive returned which datagram
 *   losses.c   which messages were lost because of a fault
 *   edges.c    sorts the edges, finds cycles, measures depth; cycles.c leaves out what must be left out
 *   teardown.c what came of the outcome before everybody was told it
 *   racy.c     which ordinals the graph cannot order (contest.c decides)
 *   content.c  where the bytes of messages are, if there are any
 *
 * A trace is input from outside: build_*() accessors check every index, steps never index a table by themselves.
 */
#ifndef GRAPH_BUILD_H
#define GRAPH_BUILD_H

#include <string.h>

#include "graph/graph.h"

#define NO_VERTEX UINT32_MAX

/* Bytes of a stream that one event moved. */
struct range {
	uint64_t from, to;
	uint32_t vertex;
	union {
		uint32_t number;  /* of its message, until those are made; of a receive: what is special about it */
		uint32_t message; /* then index into graph.messages */
	};
};

/* All ranges of a run that were sent, or received: those of one direction of a connection together. */
struct ranges {
	struct range *items;
	size_t *first; /* by connection * 2 + direction, n + 1 */
	size_t *place; /* the same: where the next one goes; in the end, where those of the next direction begin */
};

/* First event of one thread. */
struct chain {
	uint32_t rank;	 /* of its process */
	uint32_t thread; /* number */
	uint32_t head;	 /* vertex */
};

/* What is known of one end, gathered in one pass over the vertices. */
struct end_facts {
	uint32_t connection; /* 0: of none */
	uint32_t owner;	     /* process, 0 unknown */
	bool used;	     /* an event names it */
	bool mixed;	     /* not all its sends are by one process */
	bool shared;	     /* not all its sends, or not all its receives, are by one thread */
	uint32_t sender;     /* process that sends on it */
	uint32_t user[2];    /* a vertex that receives ([0]) or sends ([1]) on it, + 1 */
	uint32_t fin;	     /* the CLOSE that sent the FIN */
	uint32_t rst;	     /* the CLOSE that caused an RST of the peer's end, if anything did */
	uint32_t reset;	     /* the RESET of this end */
	uint32_t n_ranges[2]; /* receives ([0]) and sends ([1]) that moved bytes */
	uint64_t sent;	     /* this end certainly sent that many bytes (close, final count) */
	uint64_t received;   /* and its program certainly took that many */
	uint32_t broken;     /* the fault that ended the connection here, and told the peer: place in g->faults, + 1 */
	uint64_t skipped_last; /* end of file was read here, behind an urgent byte that was stepped over; 0: not */
};

struct build {
	const struct trace *trace;
	struct graph *g;
	struct error *e;
	uint32_t *rank;	      /* by process index: place by name; processes that do not exist have none */
	uint32_t *process_at; /* by rank: process index */
	uint32_t *lane;	      /* by rank, n_processes + 2: first vertex of that process; the last lane has no process */
	uint32_t *floating;   /* by rank: first vertex of it that no order holds (RESET) */
	struct pair *pairs; /* by vertex, until the chains are known: more is the thread */
	struct end_facts *ends;
	struct chain *chains; /* sorted by (rank, thread) */
	size_t n_chains;
	uint32_t *thread_next; /* by vertex: next event of its thread */
	bool *moved; /* by vertex: it moved bytes of a stream, so it is in one of these */
	struct ranges sends, receives;
	struct fault *lines;	  /* what the lines of g->faults say; kind NONE: it could not be read */
	uint32_t *fault_vertices; /* ARMED to EXPIRED */
	size_t n_fault_vertices, cap_fault_vertices;
	struct graph_edge *cross; /* edges of all rules but thread and process */
	size_t n_cross, cap_cross;
	size_t cap_messages, cap_holes, cap_vertex_messages;
	uint32_t *first_edge; /* by vertex, n + 1: edges sorted by from */
	bool *process_racy;   /* by process index */
};

static inline const struct event *build_event(const struct build *b, uint32_t vertex)
{
	return &b->trace->events[b->g->vertices[vertex].event];
}

/* Events are read in the order of the vertices, which is not that of memory: ask for them early. */
static inline void build_prefetch(const struct build *b, uint32_t vertex)
{
	const char *event;

	if (vertex + 48 >= b->g->n_vertices)
		return;
	event = (const char *)build_event(b, vertex + 48);
	__builtin_prefetch(event);
	__builtin_prefetch(event + 64);
}

/* Process of an event, 0 if there is no such process. */
static inline uint32_t build_process(const struct build *b, const struct event *event)
{
	return event->process <= b->trace->n_processes ? event->process : 0;
}

static inline uint32_t build_end(const struct build *b, const struct event *event)
{
	return event->end <= b->trace->n_ends ? event->end : 0;
}

static inline uint32_t build_peer(const struct build *b, const struct event *event)
{
	return event->peer <= b->trace->n_processes ? event->peer : 0;
}

/* A text that is never NULL. */
static inline const char *text_or(const char *text, const char *other)
{
	return text && *text ? text : other;
}

/* "": there is no such box, or its name is not known. */
static inline const char *build_box_name(const struct trace *trace, uint32_t box)
{
	return box && box <= trace->n_boxes ? text_or(trace->boxes[box].name, "") : "";
}

static inline bool build_is_called(const struct trace *trace, uint32_t process, const char *name)
{
	return process && process <= trace->n_processes && !strcmp(text_or(trace->processes[process].name, ""), name);
}

/* Saturates: positions come from outside. */
static inline uint64_t range_end(uint64_t pos, uint64_t size)
{
	return size > UINT64_MAX - pos ? UINT64_MAX : pos + size;
}

/* All return 0 or negative errno; whatever they made stays in b or b->g for build_fini() and graph_free(). */
int build_canon(struct build *b);
int build_ends(struct build *b);
int build_chains(struct build *b);
int build_rules(struct build *b);
int build_streams(struct build *b);
int build_datagrams(struct build *b);
int build_losses(struct build *b);
int build_edges(struct build *b);
int build_teardown(struct build *b);
int build_racy(struct build *b);
int build_contents(struct build *b);

/*
 * Remembers an event of a fault; build_faults() makes faults and edges of them. exits: by process, its first EXIT. Both
 * return 0 or -ENOMEM.
 */
int build_fault_note(struct build *b, uint32_t v);
int build_faults(struct build *b, const uint32_t *exits);

/* The FIRED that ended a connection at position *ret_pos of what this end sends; NO_VERTEX: none did. */
uint32_t build_broken(const struct build *b, uint32_t end, uint64_t *ret_pos);

/* Makes room for one more cross edge and writes it. 0 or -ENOMEM. */
int build_edge_add(struct build *b, uint32_t from, uint32_t to, enum graph_rule rule, uint64_t bytes);

/* What is on a cycle or on the way from one to another, by vertex; needs sorted edges. Caller frees. 0 or -ENOMEM. */
int build_core(const struct build *b, bool **ret_core);

/*
 * Takes edges inside the core out of b->cross: those of faults; if there are none, the late ones, guesses first. Counts
 * the late ones. 1 if there were any, 0 if not, or -ENOMEM.
 */
int build_drop_contradicted(struct build *b);

/* One more message of a vertex: all of a vertex's are added before those of the next. 0 or -ENOMEM. */
int build_vertex_message_add(struct build *b, uint32_t v, uint32_t message);

/* Vertices by (depth, number). ret_order has n_vertices places. 0 or -ENOMEM. */
int build_topological(const struct graph *g, uint32_t *ret_order);

/* Doubles *array when n == *cap. 0 or -ENOMEM. */
int build_grow(void **array, size_t *cap, size_t n, size_t size);

/* Room for the ranges that build_canon() counted. 0 or -ENOMEM. */
int build_ranges_reserve(struct build *b);

static inline enum transport build_transport(const struct build *b, uint32_t end)
{
	unsigned transport = b->trace->ends[end].transport;

	return transport < TRANSPORT_COUNT ? transport : TRANSPORT_TCP;
}

/* Whether it moved bytes of a stream, or is the send of a datagram: which of those were received is found out later. */
static inline bool build_moved(const struct build *b, const struct event *event, uint32_t end)
{
	if (build_transport(b, end) == TRANSPORT_UDP)
		return event->kind == EVENT_SEND && event->value >= 0;
	return (event->kind == EVENT_SEND || event->kind == EVENT_RECV) && event->value > 0;
}

/* The direction that an end sends, or receives, in: connection * 2 + direction. A connector's sends are direction 0. */
static inline size_t build_direction(const struct build *b, uint32_t end, bool send)
{
	uint32_t number = b->ends[end].connection;
	const struct graph_connection *connection = &b->g->connections[number];

	if (connection->transport == TRANSPORT_UDP)
		return (size_t)number * 2 + (b->trace->ends[end].role != END_CONNECTOR);
	if (connection->connector == connection->acceptor)
		return (size_t)number * 2; /* connected to itself */
	return (size_t)number * 2 + ((connection->connector == end) != send);
}

/* A process's place among contents: independent of table indices. < 0, 0, > 0. */
int build_process_compare(const struct trace *trace, uint32_t a, uint32_t b);
int build_end_compare(const struct trace *trace, uint32_t a, uint32_t b);

/* No order holds it: it is in no process, or its place in it is not known. */
static inline bool event_floats(const struct event *event)
{
	return !event->process || (!event->order && event->kind != EVENT_START);
}

#endif
