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
	tcase_add_test(tc, connected_to_itself);
	tcase_add_test(tc, both_connect);
	tcase_add_test(tc, teardown);
	tcase_add_test(tc, racy_connects);
	tcase_add_test(tc, cycle);
	tcase_add_test(tc, cycle_of_one);
	tcase_add_test(tc, indices_out_of_range);
	suite_add_tcase(suite, tc);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? 1 : 0;
}
