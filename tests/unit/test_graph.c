/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The graph of small hand-written traces: one rule, one label, one kind of damage each. */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/story.h"

/* A run without events has an empty graph. */
START_TEST(empty)
{
	struct story s = { 0 };
	struct graph *g = build(&s, GRAPH_ORDER_THREAD);
	uint32_t *order = NULL;

	ck_assert_uint_eq(g->n_vertices, 0);
	ck_assert_uint_eq(g->n_edges, 0);
	ck_assert_int_eq(graph_topological(g, &order), 0);
	free(order);
	done(&s, g);
}
END_TEST

static void content(struct story *s, uint32_t end, uint32_t message, uint32_t flags, const char *bytes)
{
	struct trace_content *row = trace_content_add(&s->trace);

	*row = (struct trace_content){ end, message, flags, (uint32_t)strlen(bytes), (unsigned char *)strdup(bytes) };
}

static void assert_content(const struct graph *g, const char *label, size_t max, const char *expected)
{
	char other[200], *text;

	for (uint32_t i = 0; i < g->n_messages; i++) {
		graph_message_label(g, i, other, sizeof(other));
		if (strcmp(label, other))
			continue;
		text = graph_content_text(g, i, max);
		ck_assert_str_eq(text, expected);
		free(text);
		return;
	}
	ck_abort_msg("no message %s", label);
}

/* Bytes belong to their message, by sender and number, whatever came first; they are said in words, and change nothing. */
START_TEST(contents)
{
	struct story s;
	struct graph *with, *without;

	story_init(&s);
	connection(&s, 1, 2);
	transfer(&s, 1, EVENT_SEND, 1, 0, 120, 1);
	transfer(&s, 1, EVENT_SEND, 1, 120, 7, 2);
	transfer(&s, 2, EVENT_RECV, 2, 0, 127, 0);
	transfer(&s, 2, EVENT_SEND, 2, 0, 5, 1);
	transfer(&s, 1, EVENT_SEND, 1, 127, 1, 3);
	without = build(&s, GRAPH_ORDER_THREAD);
	ck_assert_ptr_null(graph_message_content(without, 0));
	assert_content(without, "client>s1:7000#2/1", 100, "");
	content(&s, 2, 1, CONTENT_F_REDACTED, "\x1b[2J<[redacted]");
	content(&s, 1, 2, CONTENT_F_UNREADABLE, "");
	content(&s, 1, 1, CONTENT_F_CUT, "GET /\r\n");
	content(&s, 1, 9, 0, "no such message");
	content(&s, 2, 1, 0, "a second of one message");
	with = build(&s, GRAPH_ORDER_THREAD);
	assert_content(with, "client>s1:7000#2/1", 100, "\"GET /\\r\\n\"...");
	assert_content(with, "client>s1:7000#2/1", 3, "\"GET\"...");
	assert_content(with, "client>s1:7000#2/2", 100, "content not readable");
	assert_content(with, "client>s1:7000#2/3", 100, "");
	assert_content(with, "client<s1:7000#2/1", 100, "\"\\x1b[2J<[redacted]\" (redacted)");
	ck_assert(with->n_edges == without->n_edges &&
		  !memcmp(with->edges, without->edges, with->n_edges * sizeof(*with->edges)));
	graph_free(without);
	done(&s, with);
}
END_TEST

/* Request and reply: connect, message and close edges, labels from both directions, depth. */
START_TEST(request_and_reply)
{
	struct story s;
	struct graph *g;
	size_t c, a, s1, r1, s2, r2, k, f;

	story_init(&s);
	connection(&s, 1, 2);
	c = event(&s, 1, EVENT_CONNECT, 1, 0);
	a = event(&s, 2, EVENT_ACCEPT, 2, 0);
	s1 = transfer(&s, 1, EVENT_SEND, 1, 0, 120, 1);
	r1 = transfer(&s, 2, EVENT_RECV, 2, 0, 120, 0);
	s2 = transfer(&s, 2, EVENT_SEND, 2, 0, 5, 1);
	r2 = transfer(&s, 1, EVENT_RECV, 1, 0, 5, 0);
	k = transfer(&s, 1, EVENT_CLOSE, 1, 120, 0, 0);
	f = transfer(&s, 2, EVENT_RECV, 2, 120, 0, 0);
	g = build(&s, GRAPH_ORDER_THREAD);
	ck_assert_ptr_nonnull(edge(g, c, a, RULE_CONNECT));
	ck_assert_ptr_nonnull(edge(g, s1, r1, RULE_MESSAGE));
	ck_assert_uint_eq(edge(g, s1, r1, RULE_MESSAGE)->bytes, 120);
	ck_assert_ptr_nonnull(edge(g, s2, r2, RULE_MESSAGE));
	ck_assert_ptr_nonnull(edge(g, k, f, RULE_CLOSE));
	ck_assert_uint_eq(g->n_edges - count_rule(g, RULE_THREAD), 4);
	assert_label(g, c, "client>s1:7000#2");
	assert_label(g, a, "client>s1:7000#2");
	assert_label(g, s1, "client>s1:7000#2/1");
	assert_label(g, r1, "client>s1:7000#2/1");
	assert_label(g, s2, "client<s1:7000#2/1");
	assert_label(g, f, "client>s1:7000#2");
	ck_assert_uint_eq(g->vertices[vertex(g, c)].depth, 0);
	ck_assert_uint_eq(g->vertices[vertex(g, f)].depth, 6);
	ck_assert_uint_eq(g->connections[1].acceptor_process, 2);
	ck_assert_uint_eq(g->connections[1].bytes[0], 120);
	ck_assert_uint_eq(g->connections[1].bytes[1], 5);
	ck_assert_uint_eq(g->connections[1].messages[0], 1);
	ck_assert_uint_eq(g->n_holes + g->unmatched_bytes, 0);
	done(&s, g);
}
END_TEST

/* A connect that failed is a connection with an ordinal, a label and no acceptor. */
START_TEST(refused_connect)
{
	struct story s;
	struct graph *g;
	struct trace_end *end;
	size_t c;

	story_init(&s);
	end = end_new(&s, 1, END_CONNECTOR, 1);
	end->process = 1;
	end->target = strdup("s1:7000");
	end->ordinal = 1;
	end->error = -ECONNREFUSED;
	c = event(&s, 1, EVENT_CONNECT, 1, -ECONNREFUSED);
	g = build(&s, GRAPH_ORDER_PROCESS);
	ck_assert_uint_eq(g->n_connections, 1);
	ck_assert_uint_eq(g->connections[1].acceptor, 0);
	ck_assert_uint_eq(g->connections[1].connect_vertex, vertex(g, c));
	ck_assert_uint_eq(g->connections[1].accept_vertex, UINT32_MAX);
	assert_label(g, c, "client>s1:7000#1");
	ck_assert_uint_eq(g->n_edges, 0);
	done(&s, g);
}
END_TEST

/* A connection of which only the acceptor was seen, or whose ordinal is unknown, is told by its tuple; bytes without
 * a sender are counted, but are no hole. */
START_TEST(half_seen_connections)
{
	struct story s;
	struct graph *g;
	struct trace_end *end;
	size_t r;

	story_init(&s);
	end_new(&s, 1, END_ACCEPTOR, 2)->keyed = true;
	event(&s, 2, EVENT_ACCEPT, 1, 0);
	r = transfer(&s, 2, EVENT_RECV, 1, 0, 10, 0);
	end = end_new(&s, 2, END_CONNECTOR, 1);
	end->process = 1;
	end->target = strdup("s1:7000");
	g = build(&s, GRAPH_ORDER_THREAD);
	ck_assert_uint_eq(g->n_connections, 2);
	ck_assert_str_eq(g->connections[1].label, "client>s1:7000#?(10.0.0.1:40002)");
	ck_assert_str_eq(g->connections[2].label, "?>s1:7000#?(10.0.0.1:40000)");
	assert_label(g, r, "?>s1:7000#?(10.0.0.1:40000)");
	ck_assert_uint_eq(g->unmatched_bytes, 10);
	ck_assert_uint_eq(g->n_holes, 0);
	done(&s, g);
}
END_TEST

/* After a half close the other direction goes on; the FIN is the half close's, not that of the close that follows. */
START_TEST(half_close)
{
	struct story s;
	struct graph *g;
	size_t half, eof, send, recv, full, eof2;

	story_init(&s);
	connection(&s, 1, 1);
	event(&s, 1, EVENT_CONNECT, 1, 0);
	event(&s, 2, EVENT_ACCEPT, 2, 0);
	half = transfer(&s, 1, EVENT_CLOSE, 1, 0, 0, 0);
	at(&s, half)->flags = EVENT_F_SHUTDOWN;
	eof = transfer(&s, 2, EVENT_RECV, 2, 0, 0, 0);
	send = transfer(&s, 2, EVENT_SEND, 2, 0, 7, 1);
	recv = transfer(&s, 1, EVENT_RECV, 1, 0, 7, 0);
	full = transfer(&s, 1, EVENT_CLOSE, 1, 0, 0, 0);
	eof2 = transfer(&s, 2, EVENT_RECV, 2, 0, 0, 0);
	g = build(&s, GRAPH_ORDER_THREAD);
	ck_assert_ptr_nonnull(edge(g, half, eof, RULE_CLOSE));
	ck_assert_ptr_nonnull(edge(g, half, eof2, RULE_CLOSE));
	ck_assert_ptr_null(edge(g, full, eof2, RULE_CLOSE));
	ck_assert_ptr_nonnull(edge(g, send, recv, RULE_MESSAGE));
	done(&s, g);
}
END_TEST

/* A receive of nothing while the peer's bytes are not all read is no end of file: no close edge. */
START_TEST(empty_receive_is_no_end)
{
	struct story s;
	struct graph *g;
	size_t r;

	story_init(&s);
	connection(&s, 1, 1);
	transfer(&s, 1, EVENT_SEND, 1, 0, 50, 1);
	r = transfer(&s, 2, EVENT_RECV, 2, 0, 0, 0);
	transfer(&s, 2, EVENT_RECV, 2, 0, 50, 0);
	transfer(&s, 1, EVENT_CLOSE, 1, 50, 0, 0);
	g = build(&s, GRAPH_ORDER_THREAD);
	for (size_t i = 0; i < g->n_edges; i++)
		ck_assert(g->edges[i].to != vertex(g, r) || g->edges[i].rule == RULE_THREAD);
	done(&s, g);
}
END_TEST

/* close with RST -> RESET at the peer, in the lane of its owner -> the receive that failed with ECONNRESET. */
START_TEST(reset)
{
	struct story s;
	struct graph *g;
	size_t k, rst, r;

	story_init(&s);
	connection(&s, 1, 1);
	event(&s, 1, EVENT_CONNECT, 1, 0);
	event(&s, 2, EVENT_ACCEPT, 2, 0);
	k = transfer(&s, 1, EVENT_CLOSE, 1, 0, 0, 0);
	at(&s, k)->flags = EVENT_F_RST;
	rst = event(&s, 0, EVENT_RESET, 2, 0);
	r = transfer(&s, 2, EVENT_RECV, 2, 0, -ECONNRESET, 0);
	g = build(&s, GRAPH_ORDER_THREAD);
	ck_assert_ptr_nonnull(edge(g, k, rst, RULE_CLOSE));
	ck_assert_ptr_nonnull(edge(g, rst, r, RULE_CLOSE));
	ck_assert_ptr_null(edge(g, k, r, RULE_CLOSE));
	ck_assert_uint_eq(g->vertices[vertex(g, rst)].process, 2);
	assert_label(g, rst, "client>s1:7000#1");
	done(&s, g);
}
END_TEST

/* Without the RESET's record the close itself is the cause; an error that is no reset has none. */
START_TEST(reset_without_record)
{
	struct story s;
	struct graph *g;
	size_t k, r, t;

	story_init(&s);
	connection(&s, 1, 1);
	k = transfer(&s, 1, EVENT_CLOSE, 1, 0, 0, 0);
	r = transfer(&s, 2, EVENT_RECV, 2, 0, -ECONNRESET, 0);
	t = transfer(&s, 2, EVENT_RECV, 2, 0, -ETIMEDOUT, 0);
	g = build(&s, GRAPH_ORDER_THREAD);
	ck_assert_ptr_nonnull(edge(g, k, r, RULE_CLOSE));
	ck_assert_ptr_null(edge(g, k, t, RULE_CLOSE));
	done(&s, g);
}
END_TEST

/* fork, exec, exit, wait: the spawn is before the child's first event, its exit before the wait. */
START_TEST(fork_exec_wait)
{
	struct story s;
	struct graph *g;
	size_t spawn, start, exec, end, wait;

	story_init(&s);
	process(&s, 3, "client.1", "c");
	s.trace.processes[3].parent = 1;
	spawn = event(&s, 1, EVENT_SPAWN, 0, 1);
	at(&s, spawn)->peer = 3;
	start = event(&s, 3, EVENT_START, 0, 0);
	at(&s, start)->order = 0; /* made by the agent: before all that the process did */
	exec = event(&s, 3, EVENT_EXEC, 0, 0);
	end = event(&s, 3, EVENT_EXIT, 0, 256);
	wait = event(&s, 1, EVENT_WAIT, 0, 0);
	at(&s, wait)->peer = 3;
	g = build(&s, GRAPH_ORDER_THREAD);
	ck_assert_ptr_nonnull(edge(g, spawn, start, RULE_SPAWN));
	ck_assert_ptr_nonnull(edge(g, start, exec, RULE_THREAD));
	ck_assert_ptr_nonnull(edge(g, end, wait, RULE_SPAWN));
	assert_label(g, spawn, "client.1");
	assert_label(g, exec, "client.1");
	assert_label(g, wait, "client.1");
	done(&s, g);
}
END_TEST

/* A thread's first event is after its spawn; threads are concurrent in thread order, ordered in process order. */
START_TEST(threads)
{
	struct story s;
	struct graph *g;
	size_t spawn, first, main, end, last;

	story_init(&s);
	spawn = event(&s, 1, EVENT_SPAWN, 0, 1);
	at(&s, spawn)->flags = EVENT_F_THREAD;
	first = event(&s, 1, EVENT_LISTEN, 0, 7000);
	at(&s, first)->thread = 1;
	main = event(&s, 1, EVENT_LISTEN, 0, 7001);
	end = event(&s, 1, EVENT_EXIT, 0, 0);
	at(&s, end)->thread = 1;
	at(&s, end)->flags = EVENT_F_THREAD;
	last = event(&s, 1, EVENT_EXIT, 0, 0);
	g = build(&s, GRAPH_ORDER_THREAD);
	ck_assert_ptr_nonnull(edge(g, spawn, first, RULE_SPAWN));
	ck_assert_ptr_nonnull(edge(g, spawn, main, RULE_THREAD));
	ck_assert_ptr_null(edge(g, first, main, RULE_THREAD));
	ck_assert_ptr_nonnull(edge(g, end, last, RULE_SPAWN));
	assert_label(g, spawn, "client:1");
	assert_label(g, end, "client:1");
	assert_label(g, first, "c:7000");
	graph_free(g);
	g = build(&s, GRAPH_ORDER_PROCESS);
	ck_assert_ptr_nonnull(edge(g, first, main, RULE_PROCESS));
	done(&s, g);
}
END_TEST

/* Ends of different address families, one v4-mapped, and a NAT between them: the key alone decides. */
START_TEST(key_beats_addresses)
{
	struct story s;
	struct graph *g;

	story_init(&s);
	connection(&s, 1, 1);
	memset(s.trace.ends[2].local.ip, 0x20, 16);
	endpoint(&s.trace.ends[2].remote, 99, 1234);
	event(&s, 1, EVENT_CONNECT, 1, 0);
	event(&s, 2, EVENT_ACCEPT, 2, 0);
	g = build(&s, GRAPH_ORDER_THREAD);
	ck_assert_uint_eq(g->n_connections, 1);
	ck_assert_uint_eq(count_rule(g, RULE_CONNECT), 1);
	done(&s, g);
}
END_TEST

/* Several ends with one key: the tuple decides; where it does not, nothing is joined. */
START_TEST(equal_keys)
{
	struct story s;
	struct graph *g;

	story_init(&s);
	connection(&s, 1, 1);
	connection(&s, 3, 2);
	s.trace.ends[3].first_local = s.trace.ends[4].first_remote = 100;
	s.trace.ends[3].first_remote = s.trace.ends[4].first_local = 101;
	g = build(&s, GRAPH_ORDER_THREAD);
	ck_assert_uint_eq(g->n_connections, 2);
	for (size_t i = 1; i <= 2; i++)
		ck_assert_uint_eq(g->connections[i].acceptor, g->connections[i].connector + 1);
	graph_free(g);
	s.trace.ends[3].local = s.trace.ends[1].local;
	s.trace.ends[4].remote = s.trace.ends[2].remote;
	g = build(&s, GRAPH_ORDER_THREAD);
	ck_assert_uint_eq(g->n_connections, 4);
	done(&s, g);
}
END_TEST

/* Sends that continue a short write are one message; a receive names all messages that it returned bytes of. */
START_TEST(messages_and_receives)
{
	struct story s;
	struct graph *g;
	const struct graph_vertex *v;
	char label[64];
	size_t a, b, c, r1, r2;

	story_init(&s);
	connection(&s, 1, 1);
	a = transfer(&s, 1, EVENT_SEND, 1, 0, 10, 1);
	b = transfer(&s, 1, EVENT_SEND, 1, 10, 5, 1);
	at(&s, b)->flags = EVENT_F_CONTINUED;
	c = transfer(&s, 1, EVENT_SEND, 1, 15, 5, 2);
	r1 = transfer(&s, 2, EVENT_RECV, 2, 0, 12, 0);
	r2 = transfer(&s, 2, EVENT_RECV, 2, 12, 6, 0);
	g = build(&s, GRAPH_ORDER_THREAD);
	ck_assert_uint_eq(g->n_messages, 2);
	ck_assert_uint_eq(g->messages[0].size, 15);
	ck_assert_uint_eq(g->messages[0].received, 15);
	ck_assert_uint_eq(g->messages[1].received, 3);
	ck_assert_uint_eq(g->messages[0].send, vertex(g, a));
	ck_assert_uint_eq(edge(g, a, r1, RULE_MESSAGE)->bytes, 10);
	ck_assert_uint_eq(edge(g, b, r1, RULE_MESSAGE)->bytes, 2);
	ck_assert_uint_eq(edge(g, b, r2, RULE_MESSAGE)->bytes, 3);
	ck_assert_uint_eq(edge(g, c, r2, RULE_MESSAGE)->bytes, 3);
	v = &g->vertices[vertex(g, r1)];
	ck_assert_uint_eq(v->n_messages, 1);
	v = &g->vertices[vertex(g, r2)];
	ck_assert_uint_eq(v->n_messages, 2);
	graph_message_label(g, g->vertex_messages[v->first_message + 1], label, sizeof(label));
	ck_assert_str_eq(label, "client>s1:7000#1/2");
	done(&s, g);
}
END_TEST

/* Holes: in front, between, and behind, on the side whose call is missing. */
START_TEST(holes)
{
	struct story s;
	struct graph *g;

	story_init(&s);
	connection(&s, 1, 1);
	transfer(&s, 1, EVENT_SEND, 1, 10, 10, 2);
	transfer(&s, 1, EVENT_SEND, 1, 30, 10, 4);
	transfer(&s, 2, EVENT_RECV, 2, 0, 30, 0);
	s.trace.ends[1].finished = s.trace.ends[2].finished = true;
	s.trace.ends[1].sent = 50;
	s.trace.ends[2].received = 40;
	g = build(&s, GRAPH_ORDER_THREAD);
	ck_assert_uint_eq(g->n_holes, 4);
	for (size_t i = 0; i < 4; i++) {
		static const uint64_t from[] = { 0, 20, 40, 30 }, to[] = { 10, 30, 50, 40 };

		ck_assert_uint_eq(g->holes[i].from, from[i]);
		ck_assert_uint_eq(g->holes[i].to, to[i]);
		ck_assert_int_eq(g->holes[i].receive_side, i == 3);
		ck_assert_uint_eq(g->holes[i].direction, 0);
		ck_assert_uint_eq(g->holes[i].connection, 1);
	}
	ck_assert_uint_eq(g->unmatched_bytes, 20);
	done(&s, g);
}
END_TEST

/* A FIN at position p proves that p bytes were sent; an end of file read at p, that p bytes were read. */
START_TEST(holes_proved_by_the_end)
{
	struct story s;
	struct graph *g;

	story_init(&s);
	connection(&s, 1, 1);
	transfer(&s, 1, EVENT_CLOSE, 1, 8, 0, 0);
	transfer(&s, 2, EVENT_RECV, 2, 8, 0, 0);
	g = build(&s, GRAPH_ORDER_THREAD);
	ck_assert_uint_eq(g->n_holes, 2);
	ck_assert_uint_eq(g->holes[0].to, 8);
	ck_assert_uint_eq(g->holes[1].to, 8);
	ck_assert(g->holes[1].receive_side);
	done(&s, g);
}
END_TEST

/* Bytes that were read were sent, also while the run is not over. */
START_TEST(holes_proved_by_the_reader)
{
	struct story s;
	struct graph *g;

	story_init(&s);
	connection(&s, 1, 1);
	transfer(&s, 1, EVENT_SEND, 1, 0, 20, 1);
	transfer(&s, 2, EVENT_RECV, 2, 0, 30, 0);
	g = build(&s, GRAPH_ORDER_THREAD);
	ck_assert_uint_eq(g->n_holes, 1);
	ck_assert_uint_eq(g->holes[0].from, 20);
	ck_assert_uint_eq(g->holes[0].to, 30);
	ck_assert(!g->holes[0].receive_side);
	done(&s, g);
}
END_TEST

/* An urgent byte that was read out of band has its place, and its send; ahead of the stream it proves nothing. */
START_TEST(urgent_byte)
{
	struct story s;
	struct graph *g;
	size_t send, u;

	story_init(&s);
	connection(&s, 1, 1);
	send = transfer(&s, 1, EVENT_SEND, 1, 0, 11, 1);
	u = transfer(&s, 2, EVENT_RECV, 2, 5, 1, 0);
	at(&s, u)->flags = EVENT_F_URGENT;
	g = build(&s, GRAPH_ORDER_THREAD);
	ck_assert_uint_eq(g->n_holes, 0);
	ck_assert_ptr_nonnull(edge(g, send, u, RULE_MESSAGE));
	ck_assert_uint_eq(g->unmatched_bytes, 0);
	graph_free(g);
	transfer(&s, 2, EVENT_RECV, 2, 0, 5, 0);
	transfer(&s, 2, EVENT_RECV, 2, 6, 5, 0);
	g = build(&s, GRAPH_ORDER_THREAD);
	ck_assert_uint_eq(g->n_holes, 0);
	ck_assert_uint_eq(g->messages[0].received, 11);
	graph_free(g);
	at(&s, u)->pos = 4; /* then it is another byte, and byte 5 is missing */
	g = build(&s, GRAPH_ORDER_THREAD);
	ck_assert_uint_eq(g->n_holes, 1);
	ck_assert_uint_eq(g->holes[0].from, 5);
	done(&s, g);
}
END_TEST

/* An urgent byte that nobody read is no hole where a receive, or the end of file, says that it was stepped over. */
START_TEST(urgent_byte_skipped)
{
	struct story s;
	struct graph *g;
	size_t later, last;

	story_init(&s);
	connection(&s, 1, 1);
	transfer(&s, 1, EVENT_SEND, 1, 0, 11, 1);
	at(&s, event(&s, 1, EVENT_CLOSE, 1, 0))->pos = 11;
	transfer(&s, 2, EVENT_RECV, 2, 0, 5, 0);
	later = transfer(&s, 2, EVENT_RECV, 2, 6, 4, 0);
	last = transfer(&s, 2, EVENT_RECV, 2, 11, 0, 0);
	g = build(&s, GRAPH_ORDER_THREAD);
	ck_assert_uint_eq(g->n_holes, 2);
	graph_free(g);
	at(&s, later)->flags = EVENT_F_SKIPPED;
	g = build(&s, GRAPH_ORDER_THREAD);
	ck_assert_uint_eq(g->n_holes, 1);
	ck_assert_uint_eq(g->holes[0].from, 10);
	graph_free(g);
	at(&s, last)->flags = EVENT_F_SKIPPED;
	g = build(&s, GRAPH_ORDER_THREAD);
	ck_assert_uint_eq(g->n_holes, 0);
	graph_free(g);
	at(&s, later)->pos = 7; /* two bytes are more than were stepped over */
	at(&s, later)->value = 3;
	g = build(&s, GRAPH_ORDER_THREAD);
	ck_assert_uint_eq(g->n_holes, 1);
	done(&s, g);
}
END_TEST

/* A socket that met itself is both ends: what it sends is what it receives. */
START_TEST(connected_to_itself)
{
	struct story s;
	struct graph *g;
	struct trace_end *end;
	size_t send, recv, fin, eof;

	story_init(&s);
	end = end_new(&s, 1, END_CONNECTOR, 1);
	end->process = 1;
	end->target = strdup("c:40001");
	end->ordinal = 1;
	end->keyed = end->finished = true;
	end->first_local = end->first_remote = 500;
	end->remote = end->local;
	end->sent = end->received = 10;
	send = transfer(&s, 1, EVENT_SEND, 1, 0, 10, 1);
	recv = transfer(&s, 1, EVENT_RECV, 1, 0, 10, 0);
	fin = event(&s, 1, EVENT_CLOSE, 1, 0);
	at(&s, fin)->pos = 10;
	eof = transfer(&s, 1, EVENT_RECV, 1, 10, 0, 0);
	g = build(&s, GRAPH_ORDER_THREAD);
	ck_assert_uint_eq(g->n_connections, 1);
	ck_assert_ptr_nonnull(edge(g, send, recv, RULE_MESSAGE));
	ck_assert_ptr_nonnull(edge(g, fin, eof, RULE_CLOSE));
	assert_label(g, recv, "client>c:40001#1/1");
	ck_assert_uint_eq(g->n_holes + g->unmatched_bytes, 0);
	ck_assert_uint_eq(g->connections[1].bytes[0], 10);
	ck_assert_uint_eq(g->connections[1].bytes[1], 0);
	done(&s, g);
}
END_TEST

/* Two ends that both connected are one connection, called as the first of the two by name calls it. */
START_TEST(both_connect)
{
	struct story s;
	struct graph *g;
	struct trace_end *end;
	size_t send, recv, reply, got;

	story_init(&s);
	for (uint32_t i = 1; i <= 2; i++) {
		end = end_new(&s, i, END_CONNECTOR, i);
		end->process = 3 - i; /* the row that comes first is not the name that comes first */
		end->target = strdup(i == 1 ? "c:7000" : "s1:8000");
		end->ordinal = 1;
		end->keyed = true;
		end->first_local = i == 1 ? 70 : 80;
		end->first_remote = i == 1 ? 80 : 70;
		endpoint(&end->local, 3 - i, i == 1 ? 8000 : 7000);
		endpoint(&end->remote, i, i == 1 ? 7000 : 8000);
	}
	send = transfer(&s, 1, EVENT_SEND, 2, 0, 7, 1);
	recv = transfer(&s, 2, EVENT_RECV, 1, 0, 7, 0);
	reply = transfer(&s, 2, EVENT_SEND, 1, 0, 3, 1);
	got = transfer(&s, 1, EVENT_RECV, 2, 0, 3, 0);
	g = build(&s, GRAPH_ORDER_THREAD);
	ck_assert_uint_eq(g->n_connections, 1);
	ck_assert_ptr_nonnull(edge(g, send, recv, RULE_MESSAGE));
	ck_assert_ptr_nonnull(edge(g, reply, got, RULE_MESSAGE));
	assert_label(g, recv, "client>s1:8000#1/1");
	assert_label(g, got, "client<s1:8000#1/1");
	ck_assert_uint_eq(g->n_holes + g->unmatched_bytes, 0);
	graph_free(g);
	trace_end_at(&s.trace, 2)->remote.port++; /* the same numbers by accident */
	g = build(&s, GRAPH_ORDER_THREAD);
	ck_assert_uint_eq(g->n_connections, 2);
	ck_assert_uint_eq(g->unmatched_bytes, 10);
	done(&s, g);
}
END_TEST

/* Of an end that was there before tracing began, nothing is known of what came before its first bytes; after them, all. */
START_TEST(older_connection)
{
	struct story s;
	struct graph *g;
	size_t last;

	story_init(&s);
	connection(&s, 1, 0);
	for (uint32_t i = 1; i <= 2; i++)
		trace_end_at(&s.trace, i)->older = true;
	transfer(&s, 1, EVENT_SEND, 1, 1000, 10, 1);
	transfer(&s, 2, EVENT_RECV, 2, 980, 15, 0); /* was on its way */
	transfer(&s, 2, EVENT_RECV, 2, 995, 15, 0); /* the end of it, and the first message */
	last = transfer(&s, 2, EVENT_RECV, 2, 1010, 5, 0);
	transfer(&s, 1, EVENT_SEND, 1, 1010, 5, 2);
	g = build(&s, GRAPH_ORDER_THREAD);
	ck_assert_uint_eq(g->n_holes + g->unmatched_bytes, 0);
	ck_assert_uint_eq(g->connections[1].bytes[0], 15);
	assert_label(g, last, "client>s1:7000#?(10.0.0.1:40001)/2");
	graph_free(g);
	at(&s, last)->pos = 1012;
	at(&s, last)->value = 3;
	g = build(&s, GRAPH_ORDER_THREAD);
	ck_assert_uint_eq(g->n_holes, 1);
	ck_assert_uint_eq(g->holes[0].from, 1010);
	done(&s, g);
}
END_TEST

/* What happened after the mark `outcome` is teardown: a receive counts by its return, a send by its entry. */
START_TEST(teardown)
{
	struct story s;
	struct graph *g;
	size_t before, mark, after, waiting;

	story_init(&s);
	*trace_text_at(&s.trace, 1) = strdup("outcome");
	*trace_text_at(&s.trace, 2) = strdup("check");
	at(&s, event(&s, 0, EVENT_MARK, 0, 0))->text = 2;
	before = event(&s, 1, EVENT_LISTEN, 0, 7000);
	waiting = event(&s, 2, EVENT_WAIT, 0, 0);
	mark = event(&s, 0, EVENT_MARK, 0, 0);
	at(&s, mark)->text = 1;
	at(&s, waiting)->return_ns = at(&s, mark)->enter_ns + 50;
	after = event(&s, 1, EVENT_EXIT, 0, 0);
	g = build(&s, GRAPH_ORDER_THREAD);
	ck_assert(!g->vertices[vertex(g, before)].teardown);
	ck_assert(!g->vertices[vertex(g, mark)].teardown);
	ck_assert(g->vertices[vertex(g, waiting)].teardown);
	ck_assert(g->vertices[vertex(g, after)].teardown);
	assert_label(g, mark, "outcome");
	done(&s, g);
}
END_TEST

/* Two threads that connect to one service without having spoken race for the ordinal, and for all that is named by
 * it; one that waits for the other does not. */
START_TEST(racy_connects)
{
	struct story s;
	struct graph *g;
	size_t spawn, c1, c2;

	story_init(&s);
	connection(&s, 1, 1);
	connection(&s, 3, 2);
	spawn = event(&s, 1, EVENT_SPAWN, 0, 1);
	at(&s, spawn)->flags = EVENT_F_THREAD;
	c1 = event(&s, 1, EVENT_CONNECT, 1, 0);
	c2 = event(&s, 1, EVENT_CONNECT, 3, 0);
	at(&s, c2)->thread = 1;
	transfer(&s, 1, EVENT_SEND, 1, 0, 5, 1);
	g = build(&s, GRAPH_ORDER_PROCESS);
	ck_assert(g->connections[1].racy && g->connections[2].racy);
	ck_assert(g->messages[0].racy);
	ck_assert(g->vertices[vertex(g, c1)].racy);
	ck_assert(!g->vertices[vertex(g, spawn)].racy);
	graph_free(g);
	at(&s, c1)->order = 1; /* now the connect is before the spawn */
	at(&s, spawn)->order = 2;
	g = build(&s, GRAPH_ORDER_PROCESS);
	ck_assert(!g->connections[1].racy && !g->connections[2].racy && !g->messages[0].racy);
	done(&s, g);
}
END_TEST

/* An effect before its cause, by orders that contradict the messages, is refused with the event's name. */
START_TEST(cycle)
{
	struct story s;
	struct graph *g = NULL;
	struct error e = { "" };
	size_t r, send;

	story_init(&s);
	connection(&s, 1, 1);
	transfer(&s, 1, EVENT_SEND, 1, 0, 5, 1);
	r = transfer(&s, 2, EVENT_RECV, 2, 0, 5, 0);
	send = transfer(&s, 2, EVENT_SEND, 2, 0, 5, 1);
	at(&s, transfer(&s, 1, EVENT_RECV, 1, 0, 5, 0))->order = 0;
	g = build(&s, GRAPH_ORDER_THREAD); /* without order the receive is in no chain */
	graph_free(g);
	g = NULL;
	at(&s, 3)->order = 1;
	at(&s, 0)->order = 2;
	ck_assert_int_eq(graph_build(&s.trace, GRAPH_ORDER_THREAD, &g, &e), -EINVAL);
	ck_assert_ptr_null(g);
	ck_assert_msg(strstr(e.text, "s1:7000#1/1"), "%s", e.text);
	ck_assert_uint_lt(r, send);
	trace_fini(&s.trace);
}
END_TEST

/* A process that spawns itself is a cycle too. */
START_TEST(cycle_of_one)
{
	struct story s;
	struct graph *g = NULL;
	struct error e;

	story_init(&s);
	at(&s, event(&s, 1, EVENT_SPAWN, 0, 1))->peer = 1;
	ck_assert_int_eq(graph_build(&s.trace, GRAPH_ORDER_PROCESS, &g, &e), -EINVAL);
	trace_fini(&s.trace);
}
END_TEST

/* Indices that point nowhere mean none; rows without names are called `?`. */
START_TEST(indices_out_of_range)
{
	struct story s;
	struct graph *g;

	story_init(&s);
	for (int kind = -1; kind <= EVENT_KIND_COUNT; kind++) {
		struct event *e = at(&s, event(&s, 1, EVENT_SEND, 77, 5));

		e->kind = kind;
		e->process = 1000000;
		e->peer = e->text = e->box = e->thread = e->message = UINT32_MAX;
		e->flags = 0xffff;
	}
	end_new(&s, 3, END_CONNECTOR, 9)->process = 12345;
	event(&s, 2, EVENT_CONNECT, 3, 0);
	free(s.trace.processes[2].name);
	s.trace.processes[2].name = NULL;
	g = build(&s, GRAPH_ORDER_THREAD);
	ck_assert_uint_eq(g->n_vertices, EVENT_KIND_COUNT + 3);
	ck_assert_str_eq(g->connections[1].label, "?>?#?(10.0.0.9:40003)");
	for (uint32_t v = 0; v < g->n_vertices; v++) {
		char label[8]; /* too short on purpose */

		graph_vertex_label(g, v, label, sizeof(label));
		ck_assert_uint_lt(strlen(label), sizeof(label));
	}
	done(&s, g);
}
END_TEST

/* Positions at the end of what 64 bits can say do not wrap. */
START_TEST(huge_positions)
{
	struct story s;
	struct graph *g;

	story_init(&s);
	connection(&s, 1, 1);
	transfer(&s, 1, EVENT_SEND, 1, UINT64_MAX - 5, INT64_MAX, 1);
	transfer(&s, 1, EVENT_SEND, 1, 0, INT64_MAX, 2);
	transfer(&s, 2, EVENT_RECV, 2, UINT64_MAX, INT64_MAX, 0);
	transfer(&s, 2, EVENT_RECV, 2, UINT64_MAX - 5, 3, 0);
	g = build(&s, GRAPH_ORDER_THREAD);
	ck_assert_uint_eq(g->messages[0].received, 3);
	ck_assert_uint_eq(g->connections[1].bytes[0], UINT64_MAX);
	done(&s, g);
}
END_TEST

/* Two writers that really interleaved: a receive of what both may have written is after both. */
START_TEST(interleaved_writers)
{
	struct story s;
	struct graph *g;
	size_t a, b, r;

	story_init(&s);
	connection(&s, 1, 1);
	a = transfer(&s, 1, EVENT_SEND, 1, 0, 100, 1);
	b = transfer(&s, 1, EVENT_SEND, 1, 20, 10, 2);
	at(&s, a)->flags = at(&s, b)->flags = EVENT_F_INTERLEAVED;
	at(&s, b)->thread = 1;
	r = transfer(&s, 2, EVENT_RECV, 2, 0, 100, 0);
	g = build(&s, GRAPH_ORDER_THREAD);
	ck_assert_uint_eq(edge(g, a, r, RULE_MESSAGE)->bytes, 100);
	ck_assert_uint_eq(edge(g, b, r, RULE_MESSAGE)->bytes, 10);
	ck_assert(g->messages[0].racy && g->messages[1].racy);
	ck_assert_uint_eq(g->n_holes, 0);
	done(&s, g);
}
END_TEST

/* Thousands of ranges that all overlap each other are refused, quickly, instead of making millions of edges. */
START_TEST(everything_overlaps)
{
	struct story s;
	struct graph *g = NULL;
	struct error e;

	story_init(&s);
	connection(&s, 1, 1);
	for (uint32_t i = 0; i < 20000; i++)
		transfer(&s, i % 2 + 1, i % 2 ? EVENT_RECV : EVENT_SEND, i % 2 + 1, i % 7, INT64_MAX, i + 1);
	ck_assert_int_eq(graph_build(&s.trace, GRAPH_ORDER_PROCESS, &g, &e), -EINVAL);
	ck_assert_msg(strstr(e.text, "overlap"), "%s", e.text);
	trace_fini(&s.trace);
}
END_TEST

/* Sums: what connections say of bytes and messages is what their messages say. */
START_TEST(sums)
{
	struct story s;
	struct graph *g;
	uint64_t bytes = 0, received = 0;

	story_init(&s);
	connection(&s, 1, 1);
	for (uint32_t i = 0; i < 50; i++) {
		transfer(&s, 1, EVENT_SEND, 1, i * 10, 10, i + 1);
		transfer(&s, 2, EVENT_RECV, 2, i * 7, 7, 0);
	}
	g = build(&s, GRAPH_ORDER_PROCESS);
	for (size_t i = 0; i < g->n_messages; i++) {
		bytes += g->messages[i].size;
		received += g->messages[i].received;
	}
	ck_assert_uint_eq(bytes, 500);
	ck_assert_uint_eq(received, 350);
	ck_assert_uint_eq(g->connections[1].bytes[0], 500);
	ck_assert_uint_eq(g->connections[1].messages[0], 50);
	ck_assert_uint_eq(g->connections[1].messages[1], 0);
	done(&s, g);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("graph");
	TCase *tc = tcase_create("rules");
	SRunner *sr;
	int failed;

	tcase_add_test(tc, empty);
	tcase_add_test(tc, request_and_reply);
	tcase_add_test(tc, refused_connect);
	tcase_add_test(tc, half_seen_connections);
	tcase_add_test(tc, half_close);
	tcase_add_test(tc, empty_receive_is_no_end);
	tcase_add_test(tc, reset);
	tcase_add_test(tc, reset_without_record);
	tcase_add_test(tc, fork_exec_wait);
	tcase_add_test(tc, threads);
	tcase_add_test(tc, key_beats_addresses);
	tcase_add_test(tc, equal_keys);
	tcase_add_test(tc, messages_and_receives);
	tcase_add_test(tc, holes);
	tcase_add_test(tc, holes_proved_by_the_end);
	tcase_add_test(tc, holes_proved_by_the_reader);
	tcase_add_test(tc, urgent_byte);
	tcase_add_test(tc, urgent_byte_skipped);
	tcase_add_test(tc, connected_to_itself);
	tcase_add_test(tc, both_connect);
	tcase_add_test(tc, older_connection);
	tcase_add_test(tc, teardown);
	tcase_add_test(tc, racy_connects);
	tcase_add_test(tc, cycle);
	tcase_add_test(tc, cycle_of_one);
	tcase_add_test(tc, indices_out_of_range);
	tcase_add_test(tc, huge_positions);
	tcase_add_test(tc, interleaved_writers);
	tcase_add_test(tc, everything_overlaps);
	tcase_add_test(tc, sums);
	tcase_add_test(tc, contents);
	suite_add_tcase(suite, tc);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? 1 : 0;
}
