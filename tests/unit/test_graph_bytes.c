/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Bytes in the graph of small hand-written traces: which message they are of, who had them, which are missing. */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "graph/print.h"
#include "tests/unit/story.h"

static void content(struct story *s, uint32_t end, uint32_t message, uint32_t flags, const char *bytes)
{
	struct trace_content *row = trace_content_add(&s->trace);

	*row = (struct trace_content){ end, message, flags, (uint32_t)strlen(bytes), (unsigned char *)strdup(bytes) };
}

static void assert_content(const struct graph *g, const char *label, size_t max, const char *expected)
{
	char *text = graph_content_text(g, message_of(g, label), max);

	ck_assert_str_eq(text, expected);
	free(text);
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

static struct print print_of(struct story *s)
{
	struct graph *g = build(s, GRAPH_ORDER_THREAD);
	struct print print;

	ck_assert_int_eq(print_graph(g, NULL, &print), 0);
	graph_free(g);
	return print;
}

/* Neither an urgent byte nor what has no place in its thread is in a print; the same byte read as others are is. */
START_TEST(not_in_prints)
{
	struct story s;
	struct print without, with;
	size_t u;

	story_init(&s);
	connection(&s, 1, 1);
	transfer(&s, 1, EVENT_SEND, 1, 0, 11, 1);
	transfer(&s, 2, EVENT_RECV, 2, 0, 11, 0);
	without = print_of(&s);
	u = transfer(&s, 2, EVENT_RECV, 2, 11, 1, 0);
	with = print_of(&s);
	ck_assert_int_ne(print_compare(&without, &with), 0);
	at(&s, u)->flags = EVENT_F_URGENT;
	with = print_of(&s);
	ck_assert_int_eq(print_compare(&without, &with), 0);
	at(&s, u)->flags = 0;
	at(&s, u)->order = 0;
	with = print_of(&s);
	ck_assert_int_eq(print_compare(&without, &with), 0);
	trace_fini(&s.trace);
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
	Suite *suite = suite_create("graph_bytes");
	TCase *tc = tcase_create("bytes");
	SRunner *sr;
	int failed;

	tcase_add_test(tc, messages_and_receives);
	tcase_add_test(tc, holes);
	tcase_add_test(tc, holes_proved_by_the_end);
	tcase_add_test(tc, holes_proved_by_the_reader);
	tcase_add_test(tc, urgent_byte);
	tcase_add_test(tc, not_in_prints);
	tcase_add_test(tc, urgent_byte_skipped);
	tcase_add_test(tc, older_connection);
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
