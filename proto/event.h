/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Events: what a record says with names instead of kernel ids. tfj makes them, batches carry them, the store keeps
 * them, the graph is built from them. Plain structs; nothing here knows protobuf.
 *
 * A trace is everything one run recorded: tables (boxes, processes, ends, texts) and the events in the order in which
 * they arrived, which means nothing: the graph gives the same result for every permutation.
 *
 * Indices: every table index starts at 1, 0 means none. Times are nanoseconds of the box's CLOCK_MONOTONIC; they are
 * compared only inside one agent, and no edge of the graph depends on them.
 */
#ifndef PROTO_EVENT_H
#define PROTO_EVENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * X(NAME, name, description). The name is what `bop show` prints and what a moment of a fault is spelled with. The
 * numbers are kept in stores and on the wire: append, never reorder; a retired kind keeps its row.
 */
#define EVENT_KINDS(X)                                                                             \
	X(START, start, "a process began; value: 0, or 1: it was there, and is seen from now on; text: its command line or program") \
	X(EXEC, exec, "a process replaced its program; text: path")                                \
	X(SPAWN, spawn, "a process made a process or thread; peer: the child process (0: thread), value: ordinal") \
	X(WAIT, wait, "wait returned an ended child; peer: the child")                             \
	X(EXIT, exit, "a process (or, with flag thread, a thread) ended; value: wait status")      \
	X(LISTEN, listen, "a socket began to listen; value: port; text, if the kernel chose it: its label s1:*1")                                 \
	X(CONNECT, connect, "connect; end: the connector's end; value: 0, -EINPROGRESS or -errno") \
	X(ACCEPT, accept, "accept; end: the acceptor's end; value: 0 or -errno")                   \
	X(SEND, send, "a send; end, pos, message; value: bytes or -errno")                         \
	X(RECV, recv, "a receive; end, pos; value: bytes, 0 = end of file, -errno")                \
	X(CLOSE, close, "this end will send no more; pos: bytes it sent in all, value: bytes sent but not yet acknowledged") \
	X(RESET, reset, "an RST of the peer ended this end; pos: bytes received in all")           \
	X(LOST, lost, "value events were lost here; text: why")                                    \
	X(MARK, mark, "a phase of the run began; text: workload, check, outcome, teardown")        \
	X(ARMED, armed, "a fault waits for its moment; value: its id, text: the fault")            \
	X(FIRED, fired, "a fault began to act; value: its id, text: the fault; end, pos, message: of the message it began with") \
	X(LIFTED, lifted, "a fault was taken away on request; value: its id, text: the fault")     \
	X(EXPIRED, expired, "a fault's lease or time was over; value: its id, text: the fault")

enum event_kind {
	EVENT_NONE,
#define X(NAME, name, text) EVENT_##NAME,
	EVENT_KINDS(X)
#undef X
	EVENT_KIND_COUNT,
};

/* Static string, "?" for a number that is no kind. */
const char *event_kind_name(unsigned kind);

/* What is said of a fault, not of the system. */
static inline bool event_is_fault(unsigned kind)
{
	return kind >= EVENT_ARMED && kind <= EVENT_EXPIRED;
}

enum event_flag {
	EVENT_F_THREAD = 1 << 0,      /* SPAWN, EXIT: a thread, not a process */
	EVENT_F_CONTINUED = 1 << 1,   /* SEND: rest of a short write, same message */
	EVENT_F_SHUTDOWN = 1 << 2,    /* CLOSE: half close by shutdown() */
	EVENT_F_RST = 1 << 3,	      /* CLOSE: sent an RST, not a FIN */
	EVENT_F_EXITING = 1 << 4,     /* CLOSE: because the process ended */
	EVENT_F_INTERLEAVED = 1 << 5, /* SEND: range may contain another writer's bytes */
	EVENT_F_URGENT = 1 << 6,      /* RECV: out-of-band byte at pos; the stream has not moved, and may be behind it */
	EVENT_F_TRUNCATED = 1 << 7,   /* RECV of a datagram that filled its buffer: the rest, if there was any, is gone */
	EVENT_F_SKIPPED = 1 << 8,     /* RECV: the byte before pos was urgent; the stream stepped over it */
	EVENT_F_INFERRED = 1 << 9,    /* ACCEPT: of which nothing told but the first use of the connection, by that thread */
};

struct event {
	uint64_t enter_ns; /* entry of the call */
	uint64_t return_ns;
	uint64_t order; /* place in its process, see bpf/record.h; 0: in no process */
	uint64_t pos;	/* stream position of the first byte, from 0. Datagram: digest of its content, bpf/digest.bpf.h; 0 unknown */
	int64_t value;	/* by kind, see EVENT_KINDS */
	uint64_t seq;	/* CPU << 48 | sequence number on that CPU; of several streams: see proto/merge.h */
	uint32_t process; /* index into trace.processes; 0: the kernel, or the harness (MARK, LOST) */
	uint32_t thread;  /* 0 main, else k-th thread */
	uint32_t end;	  /* index into trace.ends */
	uint32_t message; /* SEND: number in this direction, from 1 */
	uint32_t peer;	  /* another process, by kind */
	uint32_t text;	  /* index into trace.texts */
	uint16_t kind;	  /* enum event_kind */
	uint16_t flags;	  /* enum event_flag */
	uint32_t box;	  /* index into trace.boxes; 0: none */
};

/*
 * When a thing happened: a receive, accept or wait at its return, all else at its entry. Says, by the clock of one agent, what is
 * teardown, and where things are drawn; it never makes an edge.
 */
static inline uint64_t event_time(const struct event *event)
{
	bool at_return = event->kind == EVENT_RECV || event->kind == EVENT_ACCEPT || event->kind == EVENT_WAIT;

	return at_return ? event->return_ns : event->enter_ns;
}

struct trace_box {
	char *name;
	char *address;	/* IPv4, text */
	char *address6; /* IPv6, text; may be empty */
};

struct trace_process {
	char *name; /* label: s1, s1.1, s1'2 */
	uint32_t box;
	uint32_t parent; /* 0: the experiment (or nobody we know) started it */
	int32_t pid;	 /* for tooltips; means nothing after the run */
	char *command;	 /* arguments, separated by blanks; may be empty */
};

enum end_role { END_UNKNOWN, END_CONNECTOR, END_ACCEPTOR };

/* X(NAME, "name", description). Numbers are kept like those of events. (unix is a macro of the compiler's.) */
#define TRANSPORTS(X)                                                                              \
	X(TCP, "tcp", "a TCP connection")                                                            \
	X(UDP, "udp", "datagrams: no connection, no positions")                                      \
	X(UNIX, "unix", "a stream between two unix-domain sockets of one kernel")                    \
	X(PIPE, "pipe", "a pipe or FIFO: the writers' end is the connector's, the readers' the acceptor's")

enum transport {
#define X(NAME, name, text) TRANSPORT_##NAME,
	TRANSPORTS(X)
#undef X
	TRANSPORT_COUNT,
};

/* Static string, "?" for a number that is none. */
const char *transport_name(unsigned transport);

struct endpoint {
	uint8_t ip[16]; /* IPv4 as v4-mapped */
	uint16_t port;
};

/*
 * One end of a connection, as its own kernel saw it. A connect() that failed is an end without key.
 *
 * UDP: what one process exchanges through one socket with one address. role: CONNECTOR where it sends requests (to a port
 * that somebody asked for), ACCEPTOR where it answers them; a socket that does both has two such ends. In both roles
 * `process` is who asks, if known, and `target` what is asked (s1:53). first_local is a number of the socket; there is no key.
 * remote has port 0 where the program did not ask whom a datagram came from.
 * UNIX, PIPE: the key is the pair of the two ends' numbers, which are unique in their kernel.
 */
struct trace_end {
	uint32_t box;
	uint32_t process; /* connector: who connected. acceptor: 0, the accept event tells */
	uint8_t role;	  /* enum end_role */
	uint8_t transport; /* enum transport */
	bool keyed;	  /* first_local and first_remote are known */
	bool older;	  /* was there before we looked: what moved before its first event is not known */
	bool finished;	  /* sent, received, unacked, unread are final */
	uint32_t first_local, first_remote; /* connection key: first sequence number of this end's and of the peer's bytes */
	struct endpoint local, remote;
	char *target; /* connector: "s1:7000", or "10.0.0.1:7000" for an address of no box; else empty */
	uint32_t ordinal; /* connector: k-th connect of the process to the target; 0 = unknown */
	int32_t error;	  /* -errno of a failed attempt, else 0 */
	uint64_t established_ns;
	uint64_t sent, received, unacked, unread;
};

struct trace_output {
	uint32_t process;
	uint8_t stream; /* 1 stdout, 2 stderr */
	uint64_t offset; /* of the first byte in the stream */
	char *bytes;
	size_t size;
};

#define CONTENT_MAX 4096u /* bytes of a message, at most; as many as the filter (lib/redact.h) looks at */

enum content_flag {
	CONTENT_F_REDACTED = 1 << 0,   /* parts of it are replaced by the mark of lib/redact.h */
	CONTENT_F_WITHHELD = 1 << 1,   /* all of it is: the filter could not be applied */
	CONTENT_F_CUT = 1 << 2,	       /* the message goes on */
	CONTENT_F_UNREADABLE = 1 << 3, /* it goes on, but could not be read from here on; without bytes: not at all */
};

/* The first bytes of a message, in runs that ask for them. At most one a message. */
struct trace_content {
	uint32_t end;	  /* of the sender */
	uint32_t message; /* its number in this direction */
	uint32_t flags;	  /* enum content_flag */
	uint32_t size;
	unsigned char *bytes;
};

struct fault_receipt; /* proto/fault.h */

struct trace {
	struct trace_box *boxes; /* all tables: [0] is unused and zero */
	struct trace_process *processes;
	struct trace_end *ends;
	char **texts;
	struct event *events; /* [0] is the first event */
	struct trace_output *outputs; /* [0] is the first */
	struct trace_content *contents; /* [0] is the first */
	struct fault_receipt *receipts; /* [0] is the first. While a run goes on, the last of an id counts; see trace_receipts_settle() */
	size_t n_boxes, n_processes, n_ends, n_texts; /* highest index; 0: table is empty */
	size_t n_events, n_outputs, n_contents, n_receipts;
	size_t cap_boxes, cap_processes, cap_ends, cap_texts, cap_events, cap_outputs, cap_contents, cap_receipts; /* private to event.c */
	uint64_t lost; /* events known to be lost; UINT64_MAX: an unknown number */
	uint64_t *outcomes; /* of several streams, by number: when its agent was told the outcome, UINT64_MAX: never; NULL: there is one stream */
	size_t n_outcomes;
};

void trace_init(struct trace *trace);
void trace_fini(struct trace *trace);

/* Forgets events, outputs, contents and receipts; the tables stay. */
void trace_drop_events(struct trace *trace);

/*
 * Makes room for index (tables) or one more (events, outputs, contents, receipts), zeroed; returns NULL without memory. Indices may arrive
 * in any order; what was never filled stays zero.
 */
struct trace_box *trace_box_at(struct trace *trace, uint32_t index);
struct trace_process *trace_process_at(struct trace *trace, uint32_t index);
struct trace_end *trace_end_at(struct trace *trace, uint32_t index);
char **trace_text_at(struct trace *trace, uint32_t index);
struct event *trace_event_add(struct trace *trace);
struct event *trace_events_add(struct trace *trace, size_t n); /* the first of n */
struct trace_output *trace_output_add(struct trace *trace);
struct trace_content *trace_content_add(struct trace *trace);
struct fault_receipt *trace_receipt_add(struct trace *trace);

/* Which phase a mark says began; NULL: it is no mark, or does not say. */
static inline const char *trace_mark_text(const struct trace *trace, const struct event *event)
{
	return event->kind == EVENT_MARK && event->text && event->text <= trace->n_texts ? trace->texts[event->text] : NULL;
}

/* Keeps the last receipt of each fault, ordered by id. */
void trace_receipts_settle(struct trace *trace);

#endif
