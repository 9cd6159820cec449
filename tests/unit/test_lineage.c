/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Lineage: what was before what, logical time, moments and goals; on hand-written stories, and on random runs beside
 * naive answers.
 */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graph/lineage.h"
#include "tests/unit/random_run.h"
#include "tests/unit/story.h"

/* As in test_graph_property.c: no line in a file for what holds. */
#define REQUIRE(condition) (void)((condition) || (ck_abort_msg("not true: " #condition), 0))

static struct lineage *lineage(const struct graph *g)
{
	struct lineage *l = NULL;

	ck_assert_int_eq(lineage_new(g, &l), 0);
	return l;
}

static uint64_t time_of(const struct graph *g, const struct lineage_time *times, const char *label)
{
	char text[200];

	for (uint32_t m = 0; m < g->n_messages; m++) {
		graph_message_label(g, m, text, sizeof(text));
		if (!strcmp(text, label))
			return times[m].sent;
	}
	ck_abort_msg("there is no message %s", label);
	return 0;
}

/* A connection from process `from` to port 7000 of process `to`, of that ordinal: ends index and index + 1. */
static void link_new(struct story *s, uint32_t index, uint32_t from, uint32_t to, const char *target, uint32_t ordinal)
{
	connection(s, index, ordinal);
	s->trace.ends[index].process = from;
	s->trace.ends[index].box = from;
	s->trace.ends[index + 1].box = to;
	free(s->trace.ends[index].target);
	s->trace.ends[index].target = strdup(target);
	endpoint(&s->trace.ends[index].local, (uint8_t)from, (uint16_t)(40000 + index));
	endpoint(&s->trace.ends[index].remote, (uint8_t)to, 7000);
	endpoint(&s->trace.ends[index + 1].local, (uint8_t)to, 7000);
	endpoint(&s->trace.ends[index + 1].remote, (uint8_t)from, (uint16_t)(40000 + index));
}

/*
 * The story of a broadcast and a retry: a sends to b and c, then to b again; b, which has heard, sends to c; c exits.
 */
struct cast {
	struct story s;
	size_t to_b, to_c, again, got_b, relay, got_a, got_relay, exits;
};

static void broadcast(struct cast *c)
{
	struct story *s = &c->s;

	memset(c, 0, sizeof(*c));
	trace_init(&s->trace);
	process(s, 1, "a", "a");
	process(s, 2, "b", "b");
	process(s, 3, "c", "c");
	link_new(s, 1, 1, 2, "b:7000", 1);
	link_new(s, 3, 1, 3, "c:7000", 1);
	link_new(s, 5, 2, 3, "c:7000", 1);
	event(s, 1, EVENT_CONNECT, 1, 0);
	event(s, 1, EVENT_CONNECT, 3, 0);
	event(s, 2, EVENT_ACCEPT, 2, 0);
	event(s, 3, EVENT_ACCEPT, 4, 0);
	c->to_b = transfer(s, 1, EVENT_SEND, 1, 0, 5, 1);
	c->to_c = transfer(s, 1, EVENT_SEND, 3, 0, 5, 1);
	c->again = transfer(s, 1, EVENT_SEND, 1, 5, 5, 2);
	c->got_b = transfer(s, 2, EVENT_RECV, 2, 0, 5, 0);
	event(s, 2, EVENT_CONNECT, 5, 0);
	event(s, 3, EVENT_ACCEPT, 6, 0);
	c->relay = transfer(s, 2, EVENT_SEND, 5, 0, 5, 1);
	c->got_a = transfer(s, 3, EVENT_RECV, 4, 0, 5, 0);
	c->got_relay = transfer(s, 3, EVENT_RECV, 6, 0, 5, 0);
	c->exits = event(s, 3, EVENT_EXIT, 0, 0);
}

/* A broadcast is one step, what is sent again the next one; what has heard something sends later than that. */
START_TEST(steps)
{
	struct lineage_time *times = NULL;
	struct cast c;
	struct graph *g;
	struct lineage *l;

	broadcast(&c);
	g = build(&c.s, GRAPH_ORDER_PROCESS);
	l = lineage(g);
	ck_assert_int_eq(lineage_times(l, &times), 0);
	ck_assert_uint_eq(time_of(g, times, "a>b:7000#1/1"), 1);
	ck_assert_uint_eq(time_of(g, times, "a>c:7000#1/1"), 1);
	ck_assert_uint_eq(time_of(g, times, "a>b:7000#1/2"), 2);
	ck_assert_uint_eq(time_of(g, times, "b>c:7000#1/1"), 2);
	for (uint32_t m = 0; m < g->n_messages; m++) {
		char label[100];

		graph_message_label(g, m, label, sizeof(label));
		/* c has heard of b's before it reads what a sent: the connect was before the accept */
		ck_assert_uint_eq(times[m].received, !strcmp(label, "a>b:7000#1/1")   ? 2
						     : !strcmp(label, "a>c:7000#1/1") ? 2
						     : !strcmp(label, "b>c:7000#1/1") ? 3
										      : 0);
	}
	free(times);
	lineage_free(l);
	done(&c.s, g);
}
END_TEST

static size_t support_size(struct lineage *l, const struct graph *g, uint32_t v, const char *expected)
{
	bool *past = NULL;
	char label[100], all[1000] = "";
	size_t n = 0;

	ck_assert_int_eq(lineage_past(l, v, &past), 0);
	for (uint32_t m = 0; m < g->n_messages; m++)
		if (lineage_supports(l, past, m)) {
			graph_message_label(g, m, label, sizeof(label));
			strcat(strcat(all, n++ ? " " : ""), label);
		}
	free(past);
	ck_assert_str_eq(all, expected);
	return n;
}

/* What c knows when it ends comes from a and from b, and through b from a; what nobody read supports nothing. */
START_TEST(supports)
{
	struct cast c;
	struct graph *g;
	struct lineage *l;

	broadcast(&c);
	g = build(&c.s, GRAPH_ORDER_PROCESS);
	l = lineage(g);
	support_size(l, g, vertex(g, c.exits), "a>b:7000#1/1 a>c:7000#1/1 b>c:7000#1/1");
	support_size(l, g, vertex(g, c.got_a), "a>b:7000#1/1 a>c:7000#1/1"); /* b's connect had heard of a */
	support_size(l, g, vertex(g, c.got_b), "a>b:7000#1/1");
	support_size(l, g, vertex(g, c.again), "");
	support_size(l, g, LINEAGE_NONE, "a>b:7000#1/1 a>c:7000#1/1 b>c:7000#1/1");
	ck_assert_uint_eq(lineage_sender(l, 0), 1);
	lineage_free(l);
	done(&c.s, g);
}
END_TEST

/* What a process says to itself supports nothing, nor does what is received when the outcome is known. */
START_TEST(no_supports)
{
	struct story s = { .now = 0 };
	struct graph *g;
	struct lineage *l;

	trace_init(&s.trace);
	process(&s, 1, "a", "a");
	process(&s, 2, "b", "b");
	link_new(&s, 1, 1, 1, "a:7000", 1);
	link_new(&s, 3, 1, 2, "b:7000", 1);
	event(&s, 1, EVENT_CONNECT, 1, 0);
	event(&s, 1, EVENT_ACCEPT, 2, 0);
	event(&s, 1, EVENT_CONNECT, 3, 0);
	event(&s, 2, EVENT_ACCEPT, 4, 0);
	transfer(&s, 1, EVENT_SEND, 1, 0, 5, 1);
	transfer(&s, 1, EVENT_RECV, 2, 0, 5, 0);
	transfer(&s, 1, EVENT_SEND, 3, 0, 5, 1);
	transfer(&s, 2, EVENT_RECV, 4, 0, 5, 0);
	transfer(&s, 1, EVENT_SEND, 3, 5, 5, 2);
	*trace_text_at(&s.trace, 1) = strdup("outcome");
	at(&s, event(&s, 0, EVENT_MARK, 0, 0))->text = 1;
	transfer(&s, 2, EVENT_RECV, 4, 5, 5, 0);
	g = build(&s, GRAPH_ORDER_PROCESS);
	l = lineage(g);
	ck_assert_uint_eq(g->n_messages, 3);
	support_size(l, g, LINEAGE_NONE, "a>b:7000#1/1");
	lineage_free(l);
	done(&s, g);
}
END_TEST

static int moment(struct lineage *l, const char *text, uint32_t *ret, struct error *e)
{
	*e = (struct error){ "" };
	return lineage_moment(l, text, ret, e);
}

/* Every moment by its name; what there is not says so, and what is near. */
START_TEST(moments)
{
	struct error e;
	struct cast c;
	struct graph *g;
	struct lineage *l;
	uint32_t v;

	broadcast(&c);
	g = build(&c.s, GRAPH_ORDER_PROCESS);
	l = lineage(g);
	ck_assert(!moment(l, "send a>b:7000#1/2", &v, &e) && v == vertex(g, c.again));
	ck_assert(!moment(l, "recv b>c:7000#1/1", &v, &e) && v == vertex(g, c.got_relay));
	ck_assert(!moment(l, "exit c", &v, &e) && v == vertex(g, c.exits));
	ck_assert(!moment(l, "connect b>c:7000#1", &v, &e) &&
		  g->trace->events[g->vertices[v].event].kind == EVENT_CONNECT);
	ck_assert(!moment(l, "accept b>c:7000#1", &v, &e) &&
		  g->trace->events[g->vertices[v].event].kind == EVENT_ACCEPT);
	ck_assert_int_eq(moment(l, "recv a>b:7000#1/2", &v, &e), -ENOENT); /* never read */
	ck_assert_int_eq(moment(l, "exit a", &v, &e), -ENOENT);
	ck_assert_int_eq(moment(l, "recv a>b:7000#1/9", &v, &e), -ENOENT);
	ck_assert_msg(strstr(e.text, "did you mean 'a>b:7000#1/"), "%s", e.text);
	ck_assert_int_eq(moment(l, "recv a>b:7000#1", &v, &e), -ENOENT);
	ck_assert_int_eq(moment(l, "connect a>b:7000#1/1", &v, &e), -ENOENT);
	ck_assert_int_eq(moment(l, "exit a>b:7000#1/1", &v, &e), -ENOENT);
	ck_assert_int_eq(moment(l, "recv a>b:7000#1/1!", &v, &e), -EINVAL);
	ck_assert_ptr_nonnull(strstr(e.text, "racy"));
	for (const char **bad =
		     (const char *[]){ "", " ", "recv", "x", "Recv a>b:7000#1/1", "recv\ta", "sendx a", NULL };
	     *bad; bad++)
		ck_assert_msg(moment(l, *bad, &v, &e) == -EINVAL && strstr(e.text, "is no moment"), "'%s': %s", *bad,
			      e.text);
	ck_assert_int_eq(moment(l, "recv ", &v, &e), -ENOENT);
	lineage_free(l);
	done(&c.s, g);
}
END_TEST

static int goals_read(struct lineage *l, const char *text, size_t size, struct lineage_goals *goals, struct error *e)
{
	*goals = (struct lineage_goals){ .n = 0 };
	*e = (struct error){ "" };
	return lineage_goals_read(l, text, size, goals, e);
}

/* Lines of goals among others; a name may come with several moments, the same line counts once. */
START_TEST(goals)
{
	static const char text[] =
		"checked\ngoal reached\ngoal b has it: recv a>b:7000#1/1\r\ngoal c: one: exit c \n"
		" goal x: nothing\ngoal b has it: recv a>b:7000#1/1\ngoal b has it: send b>c:7000#1/1\n"
		"goal: colon\ngoals: two\n\ngoal last: recv b>c:7000#1/1";
	static const char zero[] = "goal b: exit c\0 and more\ngoal d: exit c\n";
	struct lineage_goals found;
	struct error e;
	struct cast c;
	struct graph *g;
	struct lineage *l;

	broadcast(&c);
	g = build(&c.s, GRAPH_ORDER_PROCESS);
	l = lineage(g);
	/* the name ends at the first colon with a blank: what is behind it is no moment */
	ck_assert_int_eq(goals_read(l, text, sizeof(text) - 1, &found, &e), -EINVAL);
	ck_assert_msg(strstr(e.text, "goal 'c'") && strstr(e.text, "'one: exit c'"), "%s", e.text);
	ck_assert_int_eq(goals_read(l, text, 53, &found, &e), 0);
	ck_assert(found.n == 1 && !strcmp(found.rows[0].name, "b has it") &&
		  !strcmp(found.rows[0].moment, "recv a>b:7000#1/1"));
	ck_assert_uint_eq(found.rows[0].vertex, vertex(g, c.got_b));
	lineage_goals_fini(&found);
	ck_assert_int_eq(goals_read(l, text + 75, sizeof(text) - 76, &found, &e), 0);
	ck_assert_uint_eq(found.n, 3);
	ck_assert_str_eq(found.rows[0].name, "b has it");
	ck_assert_str_eq(found.rows[1].name, "b has it");
	ck_assert_str_eq(found.rows[1].moment, "send b>c:7000#1/1");
	ck_assert_str_eq(found.rows[2].name, "last");
	lineage_goals_fini(&found);
	ck_assert_int_eq(goals_read(l, zero, sizeof(zero) - 1, &found, &e), 0);
	ck_assert(found.n == 2 && !strcmp(found.rows[0].moment, "exit c") && !strcmp(found.rows[1].name, "d"));
	lineage_goals_fini(&found);
	ck_assert_int_eq(goals_read(l, "", 0, &found, &e), 0);
	ck_assert_uint_eq(found.n, 0);
	ck_assert_int_eq(goals_read(l, "goal : exit c", 13, &found, &e), -EINVAL);
	ck_assert_int_eq(goals_read(l, "goal  : exit c", 14, &found, &e), -EINVAL);
	ck_assert_int_eq(goals_read(l, "goal x: exit z", 14, &found, &e), -EINVAL);
	lineage_free(l);
	done(&c.s, g);
}
END_TEST

/* Without lines: the exits of the workloads; if no message is behind any, the outcome. */
START_TEST(default_goals)
{
	static const char *const some[] = { "a", "c" }, *const silent[] = { "a" };
	struct lineage_goals found;
	struct cast c;
	struct graph *g;
	struct lineage *l;

	broadcast(&c);
	event(&c.s, 1, EVENT_EXIT, 0, 0);
	g = build(&c.s, GRAPH_ORDER_PROCESS);
	l = lineage(g);
	ck_assert_int_eq(lineage_goals_default(l, some, 2, &found), 0);
	ck_assert(found.n == 2 && !strcmp(found.rows[0].name, "a exit") && !strcmp(found.rows[1].moment, "exit c"));
	ck_assert_uint_eq(found.rows[1].vertex, vertex(g, c.exits));
	lineage_goals_fini(&found);
	ck_assert_int_eq(lineage_goals_default(l, silent, 1, &found), 0);
	ck_assert(found.n == 1 && !strcmp(found.rows[0].name, "outcome") && found.rows[0].vertex == LINEAGE_NONE);
	lineage_goals_fini(&found);
	lineage_free(l);
	done(&c.s, g);
}
END_TEST

/* Straight from the definition: whatever has an edge into it is in it. */
static void naive_past(const struct graph *g, bool *past)
{
	for (bool grown = true; grown;) {
		grown = false;
		for (size_t i = 0; i < g->n_edges; i++)
			if (g->edges[i].rule != RULE_FAULT && past[g->edges[i].to] && !past[g->edges[i].from])
				grown = past[g->edges[i].from] = true;
	}
}

static bool same_pair(const struct lineage *l, const struct graph *g, uint32_t a, uint32_t b)
{
	uint32_t to = lineage_receiver(l, a);

	return lineage_sender(l, a) == lineage_sender(l, b) && to == lineage_receiver(l, b) &&
	       (to || g->messages[a].connection == g->messages[b].connection);
}

static uint32_t message_at(const struct graph *g, uint32_t v)
{
	return g->vertex_messages[g->vertices[v].first_message];
}

/* The least times that satisfy the definition, found by trying until nothing is too small any more. */
static void naive_times(const struct lineage *l, const struct graph *g, uint64_t *sent, uint64_t *clock)
{
	for (uint32_t v = 0; v < g->n_vertices; v++)
		clock[v] = 1;
	for (bool grown = true; grown;) {
		grown = false;
		for (size_t i = 0; i < g->n_edges; i++) {
			const struct graph_edge *edge = &g->edges[i];
			uint64_t least = clock[edge->from];

			if (edge->rule == RULE_FAULT)
				continue;
			if (edge->rule == RULE_MESSAGE && sent[message_at(g, edge->from)] + 1 > least)
				least = sent[message_at(g, edge->from)] + 1;
			if (clock[edge->to] < least) {
				clock[edge->to] = least;
				grown = true;
			}
		}
		for (uint32_t m = 0; m < g->n_messages; m++) {
			uint32_t v = g->messages[m].send;
			uint64_t least = clock[v];

			for (uint32_t k = 0; k < g->n_messages; k++)
				if (k != m && same_pair(l, g, k, m) && g->messages[k].send < v && sent[k] + 1 > least)
					least = sent[k] + 1;
			if (sent[m] < least || clock[v] < least) {
				sent[m] = clock[v] = least;
				grown = true;
			}
		}
	}
}

static const struct random_options shapes[] = {
	{ .processes = 2, .steps = 60 },
	{ .processes = 3, .steps = 160, .resets = true },
	{ .processes = 4, .steps = 160, .threads = true },
	{ .processes = 3, .steps = 160, .threads = true, .forks = true, .resets = true },
	{ .processes = 6, .steps = 200, .forks = true },
};
enum { N_SHAPES = sizeof(shapes) / sizeof(*shapes), RUNS = 200 };

static struct graph *graph_of(const struct trace *trace, enum graph_order order)
{
	struct graph *g = NULL;
	struct error e = { "" };
	int err = graph_build(trace, order, &g, &e);

	ck_assert_msg(!err, "graph_build: %d %s", err, e.text);
	return g;
}

/* Pasts and supports are those of the definition, and what is in one is what the times allow. */
START_TEST(random_pasts)
{
	size_t n_supports = 0;

	for (unsigned i = 0; i < RUNS; i++) {
		struct lineage_time *times = NULL;
		struct random_run run;
		uint64_t rng = i;
		struct graph *g;
		struct lineage *l;

		random_run_init(&run, i, &shapes[i % N_SHAPES]);
		g = graph_of(&run.trace, i / N_SHAPES % 2 ? GRAPH_ORDER_THREAD : GRAPH_ORDER_PROCESS);
		l = lineage(g);
		ck_assert_int_eq(lineage_times(l, &times), 0);
		for (unsigned k = 0; k < 10; k++) {
			uint32_t v = random_below(&rng, g->n_vertices);
			bool *past = NULL, *naive = calloc(g->n_vertices, sizeof(*naive));

			naive[v] = true;
			naive_past(g, naive);
			ck_assert_int_eq(lineage_past(l, v, &past), 0);
			REQUIRE(!memcmp(past, naive, g->n_vertices));
			for (uint32_t m = 0; m < g->n_messages; m++) {
				bool received = false;

				for (uint32_t r = 0; r < g->n_vertices; r++)
					for (uint32_t j = 0; j < g->vertices[r].n_messages && naive[r]; j++)
						received |= g->trace->events[g->vertices[r].event].kind == EVENT_RECV &&
							    g->vertex_messages[g->vertices[r].first_message + j] == m;
				REQUIRE(received == lineage_received(l, past, m));
				n_supports += lineage_supports(l, past, m);
			}
			free(naive);
			free(past);
		}
		/* what a message's sender had heard was sent before it */
		for (uint32_t m = 0; m < g->n_messages; m += 7) {
			bool *past = NULL;

			ck_assert_int_eq(lineage_past(l, g->messages[m].send, &past), 0);
			for (uint32_t k = 0; k < g->n_messages; k++)
				REQUIRE(!lineage_received(l, past, k) || times[k].sent < times[m].sent);
			free(past);
		}
		free(times);
		lineage_free(l);
		graph_free(g);
		random_run_fini(&run);
	}
	ck_assert_uint_gt(n_supports, 1000);
}
END_TEST

/*
 * Logical times are the least ones that the definition allows. In process order, where it orders all that one process
 * sends.
 */
START_TEST(random_times)
{
	uint64_t highest = 0;

	for (unsigned i = 0; i < RUNS; i++) {
		struct lineage_time *times = NULL;
		struct random_run run;
		uint64_t *sent, *clock;
		struct graph *g;
		struct lineage *l;

		random_run_init(&run, i + 5000, &shapes[i % N_SHAPES]);
		g = graph_of(&run.trace, GRAPH_ORDER_PROCESS);
		l = lineage(g);
		sent = calloc(g->n_messages + 1, sizeof(*sent));
		clock = calloc(g->n_vertices + 1, sizeof(*clock));
		naive_times(l, g, sent, clock);
		ck_assert_int_eq(lineage_times(l, &times), 0);
		for (uint32_t m = 0; m < g->n_messages; m++) {
			uint32_t first = lineage_first_receive(l, m);

			ck_assert_uint_eq(times[m].sent, sent[m]);
			ck_assert_uint_eq(times[m].received, first == LINEAGE_NONE ? 0 : clock[first]);
			highest = sent[m] > highest ? sent[m] : highest;
		}
		free(sent);
		free(clock);
		free(times);
		lineage_free(l);
		graph_free(g);
		random_run_fini(&run);
	}
	ck_assert_uint_gt(highest, 10);
}
END_TEST

/* Whatever has a name is found by it: the send that began a message, and the receive that returned its first byte. */
START_TEST(random_moments)
{
	for (unsigned i = 0; i < RUNS / 2; i++) {
		struct random_run run;
		struct error e = { "" };
		struct graph *g;
		struct lineage *l;
		uint32_t v;

		random_run_init(&run, i + 9000, &shapes[i % N_SHAPES]);
		random_run_shuffle(&run, i);
		g = graph_of(&run.trace, GRAPH_ORDER_PROCESS);
		l = lineage(g);
		for (uint32_t m = 0; m < g->n_messages; m++) {
			const struct graph_message *message = &g->messages[m];
			const struct event *event;
			char label[200], text[220];

			graph_message_label(g, m, label, sizeof(label));
			snprintf(text, sizeof(text), "send %s", label);
			ck_assert_msg(!lineage_moment(l, text, &v, &e), "%s: %s", text, e.text);
			REQUIRE(v == message->send);
			snprintf(text, sizeof(text), "recv %s", label);
			if (lineage_moment(l, text, &v, &e)) {
				REQUIRE(!message->delivered || lineage_first_receive(l, m) == LINEAGE_NONE);
				continue;
			}
			event = &g->trace->events[g->vertices[v].event];
			REQUIRE(event->kind == EVENT_RECV);
			REQUIRE(event->pos <= message->pos && message->pos < event->pos + (uint64_t)event->value);
		}
		lineage_free(l);
		graph_free(g);
		random_run_fini(&run);
	}
}
END_TEST

/* Faults are no cause: with them in it, a run has the pasts and the times that it had without. */
START_TEST(faults_are_no_cause)
{
	for (unsigned i = 0; i < RUNS; i++) {
		struct lineage_time *before = NULL, *after = NULL;
		struct random_run run, plain;
		struct graph *g, *with;
		struct lineage *l, *l_with;

		random_run_init(&plain, i + 700, &shapes[i % N_SHAPES]);
		random_run_init(&run, i + 700, &shapes[i % N_SHAPES]);
		random_run_faults(&run, i, 4);
		g = graph_of(&plain.trace, GRAPH_ORDER_PROCESS);
		with = graph_of(&run.trace, GRAPH_ORDER_PROCESS);
		l = lineage(g);
		l_with = lineage(with);
		ck_assert_int_eq(lineage_times(l, &before), 0);
		ck_assert_int_eq(lineage_times(l_with, &after), 0);
		ck_assert_uint_eq(g->n_messages, with->n_messages);
		for (uint32_t m = 0; m < g->n_messages; m++)
			REQUIRE(before[m].sent == after[m].sent && before[m].received == after[m].received);
		for (uint32_t m = 0; m < g->n_messages; m += 5) {
			bool *past = NULL, *past_with = NULL;

			ck_assert_int_eq(lineage_past(l, g->messages[m].send, &past), 0);
			ck_assert_int_eq(lineage_past(l_with, with->messages[m].send, &past_with), 0);
			for (uint32_t k = 0; k < g->n_messages; k++)
				REQUIRE(lineage_supports(l, past, k) == lineage_supports(l_with, past_with, k));
			free(past);
			free(past_with);
		}
		free(before);
		free(after);
		lineage_free(l);
		lineage_free(l_with);
		graph_free(g);
		graph_free(with);
		random_run_fini(&run);
		random_run_fini(&plain);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("lineage");
	TCase *tc = tcase_create("lineage");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, steps);
	tcase_add_test(tc, supports);
	tcase_add_test(tc, no_supports);
	tcase_add_test(tc, moments);
	tcase_add_test(tc, goals);
	tcase_add_test(tc, default_goals);
	tcase_add_test(tc, random_pasts);
	tcase_add_test(tc, random_times);
	tcase_add_test(tc, random_moments);
	tcase_add_test(tc, faults_are_no_cause);
	suite_add_tcase(suite, tc);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
