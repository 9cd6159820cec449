/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The happens-before graph of a run. Pure: no socket, clock, file, protobuf or global. A vertex is an event; every
 * edge names the rule that made it. No clock is used for any edge.
 *
 * The result depends only on the set of events: every permutation of trace.events gives the same vertices (numbered by
 * a canonical order), labels and edges.
 *
 * Cost: O(n log n) in the number of events.
 */
#ifndef GRAPH_GRAPH_H
#define GRAPH_GRAPH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/error.h"
#include "proto/event.h"
#include "proto/fault.h"

/* X(NAME, name, description) */
#define GRAPH_RULES(X)                                                                             \
	X(THREAD, thread, "consecutive events of one thread")                                      \
	X(PROCESS, process, "consecutive events of one process, in process order")                 \
	X(SPAWN, spawn, "a spawn, and the first event of the child; an exit, and the wait that saw it") \
	X(CONNECT, connect, "a connect, and the accept that returned its connection")              \
	X(MESSAGE, message, "a send, and each receive that returned any of its bytes")             \
	X(CLOSE, close, "a close, shutdown or reset, and the receive that saw end of file or the error") \
	X(DATAGRAM, datagram, "a datagram's send, and each receive that returned it: inferred from content and order") \
	X(LOCAL, local, "the same as message, between unix-domain sockets")                        \
	X(PIPE, pipe, "the same, through a pipe or FIFO")                                          \
	X(FAULT, fault, "a fault armed, and its firing; its firing, and what it hit")

enum graph_rule {
#define X(NAME, name, text) RULE_##NAME,
	GRAPH_RULES(X)
#undef X
	RULE_COUNT,
};

const char *graph_rule_name(enum graph_rule rule);

/* From a send to a receive of its bytes, whatever they went through. */
static inline bool graph_rule_carries(enum graph_rule rule)
{
	return rule == RULE_MESSAGE || rule == RULE_DATAGRAM || rule == RULE_LOCAL || rule == RULE_PIPE;
}

enum graph_order { GRAPH_ORDER_THREAD, GRAPH_ORDER_PROCESS };

/*
 * What a vertex moved of a stream, so that whoever goes over many need not look at their events; 0: see the event. Only of those
 * that have a place in their process's order; neither of urgent bytes nor of a datagram that was received.
 */
enum graph_moved {
	GRAPH_SENT = 1 << 0,
	GRAPH_RECEIVED = 1 << 1,
	GRAPH_BY_CONNECTOR = 1 << 2, /* with one of the others: at that end; else at the acceptor's */
};

struct graph_vertex {
	uint32_t event;	 /* index into trace.events */
	uint32_t connection; /* index into graph.connections, 0 none */
	uint32_t process; /* lane: process of the event; RESET: the process that owns the end; 0: LOST and MARK without one */
	uint32_t depth;	 /* Lamport depth: longest path from a source, 0 first, in the order asked for */
	uint32_t first_message, n_messages; /* slice of graph.vertex_messages: SEND has 1, RECV those it returned bytes of */
	bool teardown;	 /* after its agent was told the outcome, or because of what was */
	bool racy;	 /* its label contains a racy ordinal */
	uint8_t moved;	 /* enum graph_moved */
};

struct graph_edge {
	uint32_t from, to; /* vertices */
	enum graph_rule rule;
	bool inferred;	/* not proved by positions: datagrams, and streams of which several threads used one end */
	bool guessed;	/* of several datagrams with the same content, this one is only the likely one */
	uint64_t bytes; /* of a rule that carries: how many of the message's bytes this receive returned */
};

/*
 * A connection: both its ends as far as they were seen. Datagrams have none: what one process asks one target, and the
 * answers, through whatever sockets, stands as one here (client~s1:53); connector and acceptor are the first ends of many. An
 * end's role tells its side, also where there are many.
 */
struct graph_connection {
	uint32_t connector, acceptor; /* indices into trace.ends, 0 = not seen */
	enum transport transport;
	uint32_t acceptor_process; /* who accepted, 0 unknown */
	char *label; /* client>s1:7000#2 */
	bool racy;
	uint32_t connect_vertex, accept_vertex; /* UINT32_MAX: none */
	uint64_t bytes[2]; /* [0] sent by the connector, [1] by the acceptor */
	uint32_t messages[2];
};

/* The process on the left of a connection's label, 0 unknown. */
static inline uint32_t graph_connection_process(const struct trace *trace, const struct graph_connection *connection)
{
	uint32_t end = connection->connector || connection->transport != TRANSPORT_UDP ? connection->connector :
											  connection->acceptor;
	uint32_t process = end ? trace->ends[end].process : 0;

	return process <= trace->n_processes ? process : 0;
}

/*
 * One message of one direction: one successful send and the sends that continue it. A datagram's pos is 0. What is asked of
 * single messages, out of their order, stands first, together in one or two lines of the processor's cache.
 */
struct graph_message {
	uint64_t received; /* bytes of it that receives returned; datagram: the most that one of them did */
	uint64_t size;
	uint32_t send;	   /* first send vertex */
	uint32_t lost_by;  /* id of the fault that explains why not all of it was received; 0: none does */
	uint64_t pos;	   /* range [pos, pos + size) of its direction */
	uint64_t end;	   /* behind its last byte: pos + size, unless another message stands inside */
	uint32_t connection;
	uint32_t number;   /* from 1 */
	uint8_t direction; /* 0 from the connector, 1 from the acceptor */
	bool delivered;	   /* a receive returned it, or some of it; a datagram can be empty */
	bool inferred;	   /* so are the edges to its receives */
	bool racy;
};

/* A proved loss: bytes [from, to) of a direction must have passed a call that no event shows. */
struct graph_hole {
	uint32_t connection;
	uint8_t direction;
	bool receive_side; /* the receive is missing; else the send */
	uint64_t from, to;
};

/* A fault of the run's plan, or one that was injected. Vertices: UINT32_MAX none. */
struct graph_fault {
	uint32_t id;
	enum fault_kind kind; /* FAULT_NONE: its line says nothing to us */
	uint32_t flags;	      /* enum fault_flag */
	bool acts;	      /* it fired, and not only as a dry one would */
	const char *text;     /* its line; borrowed, never NULL */
	const struct fault_receipt *receipt; /* borrowed; NULL: none came */
	uint32_t armed, fired, ended; /* vertices: the first ARMED, the first FIRED, the last LIFTED or EXPIRED */
	uint32_t call;	     /* the call in which it fired, if that stands behind FIRED */
	uint32_t end;	     /* on which it fired, 0 none */
	uint64_t pos;	     /* and where in that end's stream */
	uint32_t connection; /* of that end, 0 none */
	uint32_t lost_messages; /* that it explains the loss of */
	uint64_t lost_bytes;
};

struct graph {
	const struct trace *trace; /* borrowed, must outlive the graph */
	enum graph_order order;
	struct graph_vertex *vertices;
	struct graph_edge *edges; /* sorted by (from, to, rule) */
	struct graph_connection *connections; /* [0] unused */
	struct graph_message *messages;
	struct graph_hole *holes;
	uint32_t *vertex_messages;
	struct graph_fault *faults; /* by id */
	uint32_t *process_threads; /* by process: so many threads of it did something that has a place in its order */
	struct pair *contents; /* private to content.c; NULL: none */
	size_t n_vertices, n_edges, n_connections, n_messages, n_holes, n_vertex_messages, n_faults;
	uint64_t unmatched_bytes; /* received from a stream, but no send of them is known (peer not traced, or lost) */
	uint64_t unmatched_datagrams; /* received, but not known which send's they are */
	uint64_t contradicted; /* edges left out, see edges.c */
};

/*
 * Builds the graph. Sequences are checked, not trusted: a trace that would make a cycle (damaged, or hostile) gives
 * -EINVAL and names an event of it. -ENOMEM without memory. On failure *ret_graph stays untouched.
 */
int graph_build(const struct trace *trace, enum graph_order order, struct graph **ret_graph, struct error *e);
void graph_free(struct graph *graph);

/* NULL: there is none of that id; each event of a fault, and each lost_by, has one. */
struct graph_fault *graph_fault_find(const struct graph *graph, uint32_t id);

/* What became of it, in few words: "never fired". Static. */
const char *graph_fault_words(const struct graph_fault *fault);

/* 10.83.0.1:7000 or [fd83::1]:7000. */
#define GRAPH_ENDPOINT_MAX 56
void graph_endpoint_text(const struct endpoint *endpoint, char buf[GRAPH_ENDPOINT_MAX]);

/* Writes the label of message (or of the vertex's thing: message, connection, process) into buf; always terminated. */
void graph_message_label(const struct graph *graph, uint32_t message, char *buf, size_t size);
void graph_vertex_label(const struct graph *graph, uint32_t vertex, char *buf, size_t size);

/* Length of the name of a process without the 'K of what was started again, and K: 2 of s1'2, 1 of s1. */
size_t graph_label_life(const char *label, unsigned long *ret_life);

/* What was kept of a message, NULL: nothing. */
const struct trace_content *graph_message_content(const struct graph *graph, uint32_t message);

/*
 * The same for people, printable: "GET / HTTP/1.1\r\n"... (redacted). At most max bytes of it. "" when nothing was kept;
 * malloc'ed, NULL without memory.
 */
char *graph_content_text(const struct graph *graph, uint32_t message, size_t max);

/*
 * Vertices in a topological order, a permutation of 0..n_vertices-1: what no cause orders stands by time. -ENOMEM without
 * memory. Caller frees.
 */
int graph_topological(const struct graph *graph, uint32_t **ret_order);

#endif
