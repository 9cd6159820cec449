/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Datagrams, unix-domain streams and pipes in the graph: hand-written traces, then random ones whose causes are known. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graph/graph.h"

/* A trace in the making: events come in the order of their writing, which is also that of their processes. */
struct story {
	struct trace trace;
	uint64_t now, order[16];
};

/* Processes a, b, c, ... in boxes of those names with addresses 10.0.0.1, 10.0.0.2, ... */
static void story_init(struct story *s, uint32_t n)
{
	memset(s, 0, sizeof(*s));
	trace_init(&s->trace);
	for (uint32_t i = 1; i <= n; i++) {
		char name[2] = { (char)('a' + i - 1) }, address[16];

		snprintf(address, sizeof(address), "10.0.0.%u", i);
		trace_box_at(&s->trace, i)->name = strdup(name);
		s->trace.boxes[i].address = strdup(address);
		trace_process_at(&s->trace, i)->name = strdup(name);
		s->trace.processes[i].box = i;
	}
}

static void ipv4(struct endpoint *e, uint8_t a, uint8_t b, uint8_t c, uint8_t d, uint16_t port)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

	memcpy(e->ip, mapped, 12);
	memcpy(e->ip + 12, (uint8_t[]){ a, b, c, d }, 4);
	e->port = port;
}

/* An end of `who` for datagrams to and from `peer` (0: does not know from whom); asker: whose label it bears. */
static uint32_t end_new(struct story *s, uint32_t who, enum end_role role, uint32_t socket, uint16_t port, uint32_t peer,
			uint16_t peer_port, uint32_t asker, const char *target)
{
	uint32_t index = s->trace.n_ends + 1;
	struct trace_end *end = trace_end_at(&s->trace, index);

	*end = (struct trace_end){ .box = who, .role = role, .transport = TRANSPORT_UDP, .process = asker, .first_local = socket };
	ipv4(&end->local, 10, 0, 0, who, port);
	if (peer)
		ipv4(&end->remote, 10, 0, 0, peer, peer_port);
	end->target = strdup(target);
	return index;
}

static size_t event_add(struct story *s, uint32_t who, uint32_t thread, enum event_kind kind, uint32_t end, uint64_t pos,
			int64_t value, uint32_t message)
{
	struct event *e = trace_event_add(&s->trace);

	*e = (struct event){ .kind = kind, .process = who, .box = who, .thread = thread, .end = end, .pos = pos, .value = value,
			     .message = message };
	e->enter_ns = ++s->now * 1000;
	e->return_ns = e->enter_ns + 100;
	e->order = ++s->order[who];
	e->seq = s->now;
	return s->trace.n_events - 1;
}

static struct graph *build(struct story *s, enum graph_order order)
{
	struct graph *g = NULL;
	struct error e = { "" };

	ck_assert_msg(graph_build(&s->trace, order, &g, &e) == 0, "%s", e.text);
	return g;
}

static uint32_t vertex(const struct graph *g, size_t event)
{
	for (uint32_t v = 0; v < g->n_vertices; v++)
		if (g->vertices[v].event == event)
			return v;
	ck_abort_msg("event %zu has no vertex", event);
	return 0;
}

static const struct graph_edge *edge_into(const struct graph *g, size_t to)
{
	const struct graph_edge *found = NULL;

	for (size_t i = 0; i < g->n_edges; i++)
		if (g->edges[i].to == vertex(g, to) && graph_rule_carries(g->edges[i].rule)) {
			ck_assert_ptr_null(found);
			found = &g->edges[i];
		}
	return found;
}

static void assert_from(const struct graph *g, size_t send, size_t receive, bool guessed)
{
	const struct graph_edge *edge = edge_into(g, receive);

	ck_assert_ptr_nonnull(edge);
	ck_assert_uint_eq(g->vertices[edge->from].event, send);
	ck_assert(edge->inferred);
	ck_assert_int_eq(edge->guessed, guessed);
}

static void assert_label(const struct graph *g, size_t event, const char *expected)
{
	char label[200];

	graph_vertex_label(g, vertex(g, event), label, sizeof(label));
	ck_assert_str_eq(label, expected);
}

/* Requests through two sockets and their replies are one exchange; the second request is lost. */
START_TEST(request_and_reply)
{
	struct story s;
	uint32_t a1, a2, b1, b2;
	size_t q1, q2, q3, r1, r3, w1, w3, x1, x3;
	struct graph *g;

	story_init(&s, 2);
	a1 = end_new(&s, 1, END_CONNECTOR, 11, 40000, 2, 53, 1, "b:53");
	a2 = end_new(&s, 1, END_CONNECTOR, 12, 40001, 2, 53, 1, "b:53");
	b1 = end_new(&s, 2, END_ACCEPTOR, 20, 53, 1, 40000, 1, "b:53");
	b2 = end_new(&s, 2, END_ACCEPTOR, 20, 53, 1, 40001, 1, "b:53");
	q1 = event_add(&s, 1, 0, EVENT_SEND, a1, 0x100000001, 20, 1);
	r1 = event_add(&s, 2, 0, EVENT_RECV, b1, 0x100000001, 20, 0);
	w1 = event_add(&s, 2, 0, EVENT_SEND, b1, 0x200000001, 5, 1);
	x1 = event_add(&s, 1, 0, EVENT_RECV, a1, 0x200000001, 5, 0);
	q2 = event_add(&s, 1, 0, EVENT_SEND, a2, 0x100000002, 20, 2);
	q3 = event_add(&s, 1, 0, EVENT_SEND, a2, 0x100000003, 20, 3);
	r3 = event_add(&s, 2, 0, EVENT_RECV, b2, 0x100000003, 20, 0);
	w3 = event_add(&s, 2, 0, EVENT_SEND, b2, 0x200000001, 5, 2);
	x3 = event_add(&s, 1, 0, EVENT_RECV, a2, 0x200000001, 5, 0);
	g = build(&s, GRAPH_ORDER_PROCESS);
	ck_assert_uint_eq(g->n_connections, 1);
	ck_assert_str_eq(g->connections[1].label, "a~b:53");
	ck_assert_int_eq(g->connections[1].transport, TRANSPORT_UDP);
	ck_assert_uint_eq(g->connections[1].messages[0], 3);
	ck_assert_uint_eq(g->connections[1].bytes[0], 60);
	ck_assert_uint_eq(g->connections[1].messages[1], 2);
	ck_assert_uint_eq(g->connections[1].bytes[1], 10);
	ck_assert_uint_eq(g->connections[1].acceptor_process, 2);
	assert_from(g, q1, r1, false);
	assert_from(g, w1, x1, false);
	assert_from(g, q3, r3, false);
	assert_from(g, w3, x3, false); /* the same content, but to another port */
	assert_label(g, q2, "a~b:53/2");
	assert_label(g, r3, "a~b:53/3");
	assert_label(g, x3, "a~b:53/2<");
	ck_assert_uint_eq(g->n_messages, 5);
	for (size_t i = 0; i < g->n_messages; i++)
		ck_assert_int_eq(g->messages[i].delivered, g->messages[i].send != vertex(g, q2));
	ck_assert_uint_eq(g->unmatched_datagrams, 0);
	ck_assert_uint_eq(g->n_holes, 0);
	graph_free(g);
	trace_fini(&s.trace);
}
END_TEST

/* Of three equal ones the first is lost: the edges are from the first two, which is right, and say that they guess. */
START_TEST(equal_contents)
{
	struct story s;
	uint32_t a, b;
	size_t send[4], r1, r2, other;
	struct graph *g;

	story_init(&s, 2);
	a = end_new(&s, 1, END_CONNECTOR, 11, 40000, 2, 53, 1, "b:53");
	b = end_new(&s, 2, END_ACCEPTOR, 20, 53, 1, 40000, 1, "b:53");
	for (uint32_t i = 0; i < 3; i++)
		send[i] = event_add(&s, 1, 0, EVENT_SEND, a, 7, 4, i + 1);
	send[3] = event_add(&s, 1, 0, EVENT_SEND, a, 8, 4, 4);
	other = event_add(&s, 2, 0, EVENT_RECV, b, 8, 4, 0);
	r1 = event_add(&s, 2, 0, EVENT_RECV, b, 7, 4, 0);
	r2 = event_add(&s, 2, 0, EVENT_RECV, b, 7, 4, 0);
	g = build(&s, GRAPH_ORDER_THREAD);
	assert_from(g, send[3], other, false);
	assert_from(g, send[0], r1, true);
	assert_from(g, send[1], r2, true);
	graph_free(g);
	trace_fini(&s.trace);
}
END_TEST

/* Equal ones by two threads: nothing says which; only when none is missing they are taken in turn. */
START_TEST(equal_contents_of_threads)
{
	struct story s;
	uint32_t a, b;
	size_t s1, s2, r1, r2;
	struct graph *g;

	story_init(&s, 2);
	a = end_new(&s, 1, END_CONNECTOR, 11, 40000, 2, 53, 1, "b:53");
	b = end_new(&s, 2, END_ACCEPTOR, 20, 53, 1, 40000, 1, "b:53");
	s1 = event_add(&s, 1, 0, EVENT_SEND, a, 7, 4, 1);
	s2 = event_add(&s, 1, 1, EVENT_SEND, a, 7, 4, 2);
	r1 = event_add(&s, 2, 0, EVENT_RECV, b, 7, 4, 0);
	g = build(&s, GRAPH_ORDER_THREAD);
	ck_assert_ptr_null(edge_into(g, r1));
	ck_assert_uint_eq(g->unmatched_datagrams, 1);
	graph_free(g);
	r2 = event_add(&s, 2, 0, EVENT_RECV, b, 7, 4, 0);
	g = build(&s, GRAPH_ORDER_THREAD);
	assert_from(g, s1, r1, true);
	assert_from(g, s2, r2, true);
	ck_assert(g->messages[0].racy && g->messages[1].racy);
	graph_free(g);
	trace_fini(&s.trace);
}
END_TEST

/* Whoever does not ask whom a datagram came from is told by its content, and not by that of another port or box. */
START_TEST(unknown_sender)
{
	struct story s;
	uint32_t a, b, c, to_c, at_c;
	size_t s1, s2, s3, r1, r2, r3;
	struct graph *g;

	story_init(&s, 3);
	a = end_new(&s, 1, END_CONNECTOR, 11, 40000, 2, 53, 1, "b:53");
	c = end_new(&s, 3, END_CONNECTOR, 31, 40000, 2, 53, 3, "b:53");
	to_c = end_new(&s, 1, END_CONNECTOR, 11, 40000, 3, 53, 1, "c:53");
	b = end_new(&s, 2, END_ACCEPTOR, 20, 53, 0, 0, 0, "b:53");
	at_c = end_new(&s, 3, END_ACCEPTOR, 32, 53, 0, 0, 0, "c:53");
	s1 = event_add(&s, 1, 0, EVENT_SEND, a, 7, 4, 1);
	s2 = event_add(&s, 3, 0, EVENT_SEND, c, 8, 4, 1);
	s3 = event_add(&s, 1, 0, EVENT_SEND, to_c, 7, 4, 1);
	r1 = event_add(&s, 2, 0, EVENT_RECV, b, 8, 4, 0);
	r2 = event_add(&s, 2, 0, EVENT_RECV, b, 7, 4, 0);
	r3 = event_add(&s, 3, 0, EVENT_RECV, at_c, 7, 4, 0);
	g = build(&s, GRAPH_ORDER_PROCESS);
	assert_from(g, s2, r1, false);
	assert_from(g, s1, r2, false);
	assert_from(g, s3, r3, false);
	assert_label(g, r1, "c~b:53/1");
	graph_free(g);
	trace_fini(&s.trace);
}
END_TEST

/* Every receiver of a group has its edge. Loopback is the box's own. An empty datagram is one. */
START_TEST(multicast_loopback_empty)
{
	struct story s;
	uint32_t group, b, c, own, server;
	size_t send, r1, r2, s2, r3;
	struct graph *g;

	story_init(&s, 3);
	group = end_new(&s, 1, END_CONNECTOR, 11, 40000, 1, 5000, 1, "239.1.1.1:5000");
	ipv4(&s.trace.ends[group].remote, 239, 1, 1, 1, 5000);
	b = end_new(&s, 2, END_ACCEPTOR, 20, 5000, 1, 40000, 1, "b:5000");
	c = end_new(&s, 3, END_ACCEPTOR, 30, 5000, 0, 0, 0, "c:5000");
	own = end_new(&s, 2, END_CONNECTOR, 21, 40000, 1, 5000, 2, "b:5000");
	ipv4(&s.trace.ends[own].remote, 127, 0, 0, 1, 5000);
	ipv4(&s.trace.ends[own].local, 127, 0, 0, 1, 40000);
	server = end_new(&s, 2, END_ACCEPTOR, 20, 5000, 1, 40000, 2, "b:5000");
	ipv4(&s.trace.ends[server].remote, 127, 0, 0, 1, 40000);
	send = event_add(&s, 1, 0, EVENT_SEND, group, 7, 4, 1);
	r1 = event_add(&s, 2, 0, EVENT_RECV, b, 7, 4, 0);
	r2 = event_add(&s, 3, 0, EVENT_RECV, c, 7, 4, 0);
	s2 = event_add(&s, 2, 0, EVENT_SEND, own, 1, 0, 1);
	r3 = event_add(&s, 2, 0, EVENT_RECV, server, 1, 0, 0);
	g = build(&s, GRAPH_ORDER_PROCESS);
	assert_from(g, send, r1, false);
	assert_from(g, send, r2, false);
	assert_label(g, r2, "a~239.1.1.1:5000/1");
	assert_from(g, s2, r3, false);
	ck_assert_uint_eq(g->unmatched_datagrams, 0);
	graph_free(g);
	trace_fini(&s.trace);
}
END_TEST

/* A small buffer: the digest of all of it is another one, that of the beginning (the upper half) is the same. */
START_TEST(truncated)
{
	struct story s;
	uint32_t a, b;
	size_t send[2], r1, r2, r3;
	struct graph *g;

	story_init(&s, 2);
	a = end_new(&s, 1, END_CONNECTOR, 11, 40000, 2, 53, 1, "b:53");
	b = end_new(&s, 2, END_ACCEPTOR, 20, 53, 1, 40000, 1, "b:53");
	send[0] = event_add(&s, 1, 0, EVENT_SEND, a, 0x500000001, 100, 1);
	send[1] = event_add(&s, 1, 0, EVENT_SEND, a, 0x600000001, 100, 2);
	r1 = event_add(&s, 2, 0, EVENT_RECV, b, 0x600000009, 32, 0);
	r2 = event_add(&s, 2, 0, EVENT_RECV, b, 0x500000009, 200, 0);
	r3 = event_add(&s, 2, 0, EVENT_RECV, b, 0x500000008, 32, 0);
	s.trace.events[r1].flags = s.trace.events[r2].flags = EVENT_F_TRUNCATED;
	g = build(&s, GRAPH_ORDER_PROCESS);
	assert_from(g, send[1], r1, false);
	ck_assert_ptr_null(edge_into(g, r2)); /* longer than what was sent */
	ck_assert_ptr_null(edge_into(g, r3)); /* not cut off */
	ck_assert_uint_eq(g->unmatched_datagrams, 2);
	ck_assert_uint_eq(edge_into(g, r1)->bytes, 32);
	graph_free(g);
	trace_fini(&s.trace);
}
END_TEST

/* The send's place in its process is that of its return: another thread had the reply before. */
START_TEST(late_send)
{
	struct story s;
	uint32_t a, b;
	size_t reply, send, r, w;
	struct graph *g;

	story_init(&s, 2);
	a = end_new(&s, 1, END_CONNECTOR, 11, 40000, 2, 53, 1, "b:53");
	b = end_new(&s, 2, END_ACCEPTOR, 20, 53, 1, 40000, 1, "b:53");
	reply = event_add(&s, 1, 1, EVENT_RECV, a, 9, 4, 0);
	send = event_add(&s, 1, 0, EVENT_SEND, a, 7, 4, 1);
	r = event_add(&s, 2, 0, EVENT_RECV, b, 7, 4, 0);
	w = event_add(&s, 2, 0, EVENT_SEND, b, 9, 4, 1);
	g = build(&s, GRAPH_ORDER_THREAD);
	assert_from(g, send, r, false);
	assert_from(g, w, reply, false);
	ck_assert_uint_eq(g->contradicted, 0);
	graph_free(g);
	g = build(&s, GRAPH_ORDER_PROCESS);
	ck_assert_ptr_null(edge_into(g, r));
	ck_assert_ptr_null(edge_into(g, reply));
	ck_assert_uint_eq(g->contradicted, 2);
	graph_free(g);
	trace_fini(&s.trace);
}
END_TEST

static void stream_ends(struct story *s, enum transport transport, const char *target)
{
	*trace_end_at(&s->trace, 1) = (struct trace_end){ .box = 1, .role = END_CONNECTOR, .transport = transport, .process = 1,
							  .keyed = true, .first_local = 5, .first_remote = 6, .ordinal = 2,
							  .target = strdup(target) };
	*trace_end_at(&s->trace, 2) = (struct trace_end){ .box = 2, .role = END_ACCEPTOR, .transport = transport, .keyed = true,
							  .first_local = 6, .first_remote = 5, .target = strdup(target) };
}

/* Streams of one kernel: like TCP's, with a rule of their own; what nobody traced sent or read is no hole. */
START_TEST(local_stream)
{
	struct story s;
	size_t w1, w2, r, reply, x, gap;
	struct graph *g;

	story_init(&s, 2);
	stream_ends(&s, TRANSPORT_UNIX, "unix:x.sock");
	w1 = event_add(&s, 1, 0, EVENT_SEND, 1, 0, 10, 1);
	w2 = event_add(&s, 1, 0, EVENT_SEND, 1, 10, 10, 2);
	r = event_add(&s, 2, 0, EVENT_RECV, 2, 0, 15, 0);
	reply = event_add(&s, 2, 0, EVENT_SEND, 2, 0, 3, 1);
	x = event_add(&s, 1, 0, EVENT_RECV, 1, 0, 3, 0);
	gap = event_add(&s, 2, 0, EVENT_RECV, 2, 30, 5, 0);
	g = build(&s, GRAPH_ORDER_PROCESS);
	ck_assert_uint_eq(g->n_connections, 1);
	assert_label(g, w2, "a>unix:x.sock#2/2");
	assert_label(g, reply, "a<unix:x.sock#2/1");
	ck_assert_ptr_null(edge_into(g, gap));
	ck_assert_uint_eq(g->unmatched_bytes, 5);
	ck_assert_uint_eq(g->n_holes, 0);
	ck_assert_int_eq(edge_into(g, x)->rule, RULE_LOCAL);
	ck_assert(!edge_into(g, x)->inferred);
	ck_assert_uint_eq(g->vertices[vertex(g, r)].n_messages, 2);
	ck_assert_uint_eq(g->messages[1].received, 5);
	graph_free(g);
	/* two threads on one end: whose bytes came first is not known */
	event_add(&s, 1, 1, EVENT_SEND, 1, 20, 10, 3);
	g = build(&s, GRAPH_ORDER_PROCESS);
	for (size_t i = 0; i < g->n_edges; i++)
		ck_assert_int_eq(g->edges[i].inferred, g->edges[i].rule == RULE_LOCAL);
	(void)w1;
	graph_free(g);
	trace_fini(&s.trace);
}
END_TEST

START_TEST(pipe_edges)
{
	struct story s;
	size_t w, r;
	struct graph *g;

	story_init(&s, 2);
	stream_ends(&s, TRANSPORT_PIPE, "pipe");
	w = event_add(&s, 1, 0, EVENT_SEND, 1, 0, 10, 1);
	r = event_add(&s, 2, 0, EVENT_RECV, 2, 0, 10, 0);
	g = build(&s, GRAPH_ORDER_THREAD);
	ck_assert_int_eq(edge_into(g, r)->rule, RULE_PIPE);
	ck_assert_uint_eq(g->vertices[edge_into(g, r)->from].event, w);
	assert_label(g, r, "a>pipe#2/1");
	graph_free(g);
	trace_fini(&s.trace);
}
END_TEST

static uint64_t next(uint64_t *state)
{
	*state = *state * 6364136223846793005ull + 1442695040888963407ull;
	return *state >> 33;
}

enum { PROCESSES = 4, THREADS = 2, EVENTS = 240 };

struct packet {
	size_t send;
	uint32_t from, to;
};

/* A random execution: who sent what to whom, what was lost or overtaken, and what each receive really returned. */
struct execution {
	struct story s;
	uint32_t out[PROCESSES + 1][PROCESSES + 1], in[PROCESSES + 1][PROCESSES + 1]; /* ends; in[.][0]: sender unknown */
	struct packet flying[EVENTS];
	size_t n_flying;
	size_t cause[EVENTS];	/* of receives */
	size_t last[PROCESSES + 1][THREADS]; /* event + 1 */
	bool past[EVENTS][EVENTS]; /* past[i][k]: k is before i, or is it */
	uint32_t number[PROCESSES + 1][PROCESSES + 1];
};

static void precede(struct execution *x, size_t cause, size_t effect)
{
	for (size_t i = 0; i < EVENTS; i++)
		x->past[effect][i] |= x->past[cause][i];
}

static void happen(struct execution *x, size_t event, uint32_t who, uint32_t thread)
{
	x->past[event][event] = true;
	if (x->last[who][thread])
		precede(x, x->last[who][thread] - 1, event);
	x->last[who][thread] = event + 1;
}

static void execution_send(struct execution *x, uint64_t *seed, unsigned contents)
{
	uint32_t from = 1 + next(seed) % PROCESSES, to = 1 + next(seed) % PROCESSES, thread = next(seed) % THREADS;
	uint64_t digest = next(seed) % 3 ? 1 + next(seed) % contents : 1000 + x->s.now;
	size_t send = event_add(&x->s, from, thread, EVENT_SEND, x->out[from][to], digest << 32 | 1, 10, ++x->number[from][to]);

	happen(x, send, from, thread);
	if (next(seed) % 4)
		x->flying[x->n_flying++] = (struct packet){ send, from, to };
}

static void execution_receive(struct execution *x, uint64_t *seed)
{
	size_t which = next(seed) % x->n_flying, receive;
	struct packet packet = x->flying[which];
	uint32_t thread = next(seed) % THREADS, end = x->in[packet.to][next(seed) % 4 ? packet.from : 0];

	x->flying[which] = x->flying[--x->n_flying];
	receive = event_add(&x->s, packet.to, thread, EVENT_RECV, end, x->s.trace.events[packet.send].pos, 10, 0);
	x->cause[receive] = packet.send;
	happen(x, receive, packet.to, thread);
	precede(x, packet.send, receive);
}

static void execution_init(struct execution *x, uint64_t seed, unsigned contents)
{
	char target[8];

	memset(x, 0, sizeof(*x));
	story_init(&x->s, PROCESSES);
	for (uint32_t i = 1; i <= PROCESSES; i++)
		for (uint32_t k = 0; k <= PROCESSES; k++) {
			snprintf(target, sizeof(target), "%c:53", (int)('a' + (k ? k : i) - 1));
			if (k)
				x->out[i][k] = end_new(&x->s, i, END_CONNECTOR, i, 53, k, 53, i, target);
			snprintf(target, sizeof(target), "%c:53", (int)('a' + i - 1));
			x->in[i][k] = end_new(&x->s, i, END_ACCEPTOR, i, 53, k, k ? 53 : 0, k, target);
		}
	while (x->s.trace.n_events < EVENTS) {
		if (x->n_flying && next(&seed) % 2)
			execution_receive(x, &seed);
		else
			execution_send(x, &seed, contents);
	}
}

/* Are all sends of this content to this place by one thread? Then even a guess is an order that is right. */
static bool one_thread(const struct execution *x, size_t send, size_t receive)
{
	const struct trace *trace = &x->s.trace;
	const struct event *like = &trace->events[send];
	uint32_t to = trace->events[receive].process;
	bool known = trace->ends[trace->events[receive].end].remote.port;

	for (size_t i = 0; i < trace->n_events; i++) {
		const struct event *event = &trace->events[i];

		if (event->kind == EVENT_SEND && event->pos == like->pos && x->out[event->process][to] == event->end &&
		    (!known || event->process == like->process) &&
		    (event->process != like->process || event->thread != like->thread))
			return false;
	}
	return true;
}

/* No wrong edge: what is not guessed is true, what is guessed is at least an order that is. All of unique content is found. */
START_TEST(random_executions)
{
	struct execution *x = malloc(sizeof(*x));
	size_t exact = 0, guessed = 0;

	for (uint64_t seed = 1; seed <= 60; seed++) {
		struct graph *g;

		execution_init(x, seed * 7919 + _i, _i);
		g = build(&x->s, GRAPH_ORDER_THREAD);
		for (size_t i = 0; i < EVENTS; i++) {
			const struct event *event = &x->s.trace.events[i];
			const struct graph_edge *edge = event->kind == EVENT_RECV ? edge_into(g, i) : NULL;
			size_t from = edge ? g->vertices[edge->from].event : 0;

			if (event->kind != EVENT_RECV)
				continue;
			if (event->pos >> 32 >= 1000)
				ck_assert_msg(edge && !edge->guessed, "%d %lx", !!edge, event->pos);
			if (!edge)
				continue;
			exact += !edge->guessed;
			guessed += edge->guessed;
			if (!edge->guessed)
				ck_assert_uint_eq(from, x->cause[i]);
			else if (one_thread(x, from, i))
				ck_assert_msg(x->past[i][from], "seed %lu: event %zu is not after %zu", seed, i, from);
			ck_assert_uint_eq(x->s.trace.events[from].pos, event->pos);
		}
		graph_free(g);
		trace_fini(&x->s.trace);
	}
	ck_assert_uint_gt(exact, 1000);
	ck_assert_uint_gt(guessed, 100);
	free(x);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("datagrams");
	TCase *tc = tcase_create("graph");
	SRunner *sr;
	int failed;

	tcase_add_test(tc, request_and_reply);
	tcase_add_test(tc, equal_contents);
	tcase_add_test(tc, equal_contents_of_threads);
	tcase_add_test(tc, unknown_sender);
	tcase_add_test(tc, multicast_loopback_empty);
	tcase_add_test(tc, truncated);
	tcase_add_test(tc, late_send);
	tcase_add_test(tc, local_stream);
	tcase_add_test(tc, pipe_edges);
	tcase_add_loop_test(tc, random_executions, 2, 7);
	tcase_set_timeout(tc, 60);
	suite_add_tcase(suite, tc);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? 1 : 0;
}
