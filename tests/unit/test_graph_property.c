/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Properties of the graph over thousands of random executions whose causes the simulator knows. */
#include <check.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/random_run.h"

#define RUNS 2500

/* For inner loops: Check writes a line to a file for each assertion, also for one that holds. */
#define REQUIRE(condition) (void)((condition) || (ck_abort_msg("not true: " #condition), 0))

static const struct random_options shapes[] = {
	{ .processes = 2, .steps = 60 },
	{ .processes = 3, .steps = 200, .resets = true },
	{ .processes = 4, .steps = 250, .threads = true },
	{ .processes = 3, .steps = 300, .threads = true, .forks = true, .resets = true },
	{ .processes = 6, .steps = 500, .threads = true, .forks = true },
};
#define N_SHAPES (sizeof(shapes) / sizeof(*shapes))

static struct graph *build(const struct trace *trace, enum graph_order order)
{
	struct graph *g = NULL;
	struct error e = { "" };
	int err = graph_build(trace, order, &g, &e);

	ck_assert_msg(!err, "graph_build: %d %s", err, e.text);
	return g;
}

static uint64_t vertex_id(const struct graph *g, uint32_t vertex)
{
	return event_id(&g->trace->events[g->vertices[vertex].event]);
}

static int truth_compare(const void *a, const void *b)
{
	const struct truth_edge *p = a, *q = b;

	if (p->from != q->from)
		return p->from < q->from ? -1 : 1;
	if (p->to != q->to)
		return p->to < q->to ? -1 : 1;
	if (p->rule != q->rule)
		return p->rule < q->rule ? -1 : 1;
	return p->bytes < q->bytes ? -1 : p->bytes > q->bytes;
}

/* Every cause that the simulator knows is an edge, and every edge between threads is such a cause. */
static void check_causes(struct random_run *run, const struct graph *g)
{
	struct truth_edge *found = malloc((g->n_edges + 1) * sizeof(*found));
	size_t n = 0;

	for (size_t i = 0; i < g->n_edges; i++) {
		const struct graph_edge *edge = &g->edges[i];

		if (edge->rule != RULE_THREAD && edge->rule != RULE_PROCESS)
			found[n++] = (struct truth_edge){ vertex_id(g, edge->from), vertex_id(g, edge->to), edge->rule,
							  edge->bytes };
	}
	qsort(found, n, sizeof(*found), truth_compare);
	if (run->n_edges)
		qsort(run->edges, run->n_edges, sizeof(*run->edges), truth_compare);
	for (size_t i = 0; i < n && i < run->n_edges; i++)
		ck_assert_msg(!truth_compare(&found[i], &run->edges[i]),
			      "edge %zu: found %" PRIu64 " %" PRIu64 " %s %" PRIu64 ", true is %" PRIu64 " %" PRIu64
			      " %s %" PRIu64, i, found[i].from, found[i].to, graph_rule_name(found[i].rule),
			      found[i].bytes, run->edges[i].from, run->edges[i].to, graph_rule_name(run->edges[i].rule),
			      run->edges[i].bytes);
	ck_assert_uint_eq(n, run->n_edges);
	free(found);
}

/* Chain edges join each event of a process (or thread) to the next by order, and nothing else. */
static void check_chains(const struct graph *g)
{
	const struct trace *t = g->trace;
	size_t chained = 0, expected = 0;

	for (size_t i = 0; i < g->n_edges; i++) {
		const struct event *from = &t->events[g->vertices[g->edges[i].from].event];
		const struct event *to = &t->events[g->vertices[g->edges[i].to].event];

		if (g->edges[i].rule != RULE_THREAD && g->edges[i].rule != RULE_PROCESS)
			continue;
		REQUIRE(g->edges[i].rule == (g->order == GRAPH_ORDER_THREAD ? RULE_THREAD : RULE_PROCESS));
		chained++;
		REQUIRE(from->process == to->process);
		REQUIRE(from->order < to->order);
		if (g->order == GRAPH_ORDER_THREAD)
			REQUIRE(from->thread == to->thread);
		for (size_t k = 0; k < t->n_events; k++) {
			const struct event *other = &t->events[k];
			bool between = other->process == from->process && other->order > from->order &&
				       other->order < to->order;

			REQUIRE(!between || (g->order == GRAPH_ORDER_THREAD && other->thread != from->thread));
		}
	}
	for (size_t i = 0; i < t->n_events; i++) {
		const struct event *event = &t->events[i];
		bool last = true;

		for (size_t k = 0; k < t->n_events && event->process; k++)
			if (t->events[k].process == event->process && t->events[k].order > event->order &&
			    (g->order == GRAPH_ORDER_PROCESS || t->events[k].thread == event->thread))
				last = false;
		expected += event->process && !last;
	}
	ck_assert_uint_eq(chained, expected);
}

static bool follows(const struct graph *g, uint32_t from, uint32_t to)
{
	bool edge = from + 1 == to && g->vertices[from].process == g->vertices[to].process; /* of a process's order */

	for (size_t i = 0; i < g->n_edges && !edge; i++)
		edge = g->edges[i].from == from && g->edges[i].to == to;
	return edge;
}

/*
 * The topological order is a permutation in which every edge goes forward; so there is no cycle. It goes back in time only
 * where a cause says so.
 */
static void check_acyclic(const struct graph *g)
{
	uint32_t *order = NULL, *place = calloc(g->n_vertices + 1, sizeof(*place));

	ck_assert_int_eq(graph_topological(g, &order), 0);
	for (size_t i = 0; i < g->n_vertices; i++) {
		REQUIRE(order[i] < g->n_vertices);
		REQUIRE(!place[order[i]]);
		place[order[i]] = i + 1;
		REQUIRE(!i || event_time(&g->trace->events[g->vertices[order[i]].event]) >=
				      event_time(&g->trace->events[g->vertices[order[i - 1]].event]) ||
			follows(g, order[i - 1], order[i]));
	}
	for (size_t i = 0; i < g->n_edges; i++) {
		const struct graph_edge *edge = &g->edges[i];

		REQUIRE(place[edge->from] < place[edge->to]);
		REQUIRE(g->vertices[edge->from].depth < g->vertices[edge->to].depth);
		REQUIRE(!i || edge[-1].from < edge->from || (edge[-1].from == edge->from && edge[-1].to <= edge->to));
	}
	free(order);
	free(place);
}

/* All names of a vertex, as the simulator writes them. */
static void check_labels(const struct random_run *run, const struct graph *g)
{
	for (uint32_t v = 0; v < g->n_vertices; v++) {
		const struct graph_vertex *vertex = &g->vertices[v];
		char text[8192] = "", one[128];

		for (uint32_t i = 0; i < vertex->n_messages; i++) {
			graph_message_label(g, g->vertex_messages[vertex->first_message + i], one, sizeof(one));
			snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s", i ? " " : "", one);
		}
		if (!vertex->n_messages)
			graph_vertex_label(g, v, text, sizeof(text));
		REQUIRE(!strcmp(text, run->labels[vertex_id(g, v)]));
	}
}

static char *dump(const struct graph *g)
{
	char *text = NULL, label[128];
	size_t size = 0;
	FILE *f = open_memstream(&text, &size);

	for (uint32_t v = 0; v < g->n_vertices; v++) {
		const struct graph_vertex *vertex = &g->vertices[v];

		graph_vertex_label(g, v, label, sizeof(label));
		fprintf(f, "v %" PRIu64 " %s %s %u %u %d %d:", vertex_id(g, v), label,
			vertex->process ? g->trace->processes[vertex->process].name : "-", vertex->connection, vertex->depth,
			vertex->teardown, vertex->racy);
		for (uint32_t i = 0; i < vertex->n_messages; i++)
			fprintf(f, " %u", g->vertex_messages[vertex->first_message + i]);
		fprintf(f, "\n");
	}
	for (size_t i = 0; i < g->n_edges; i++)
		fprintf(f, "e %u %u %u %" PRIu64 "\n", g->edges[i].from, g->edges[i].to, g->edges[i].rule, g->edges[i].bytes);
	for (size_t i = 1; i <= g->n_connections; i++)
		fprintf(f, "c %s %d %u %u\n", g->connections[i].label, g->connections[i].racy,
			g->connections[i].connect_vertex, g->connections[i].accept_vertex);
	for (size_t i = 0; i < g->n_messages; i++)
		fprintf(f, "m %u %u %u %" PRIu64 " %" PRIu64 " %" PRIu64 " %u %d %u\n", g->messages[i].connection,
			g->messages[i].direction, g->messages[i].number, g->messages[i].pos, g->messages[i].size,
			g->messages[i].received, g->messages[i].send, g->messages[i].racy,
			g->messages[i].lost_by);
	for (size_t i = 0; i < g->n_holes; i++)
		fprintf(f, "h %u %u %d %" PRIu64 " %" PRIu64 "\n", g->holes[i].connection, g->holes[i].direction,
			g->holes[i].receive_side, g->holes[i].from, g->holes[i].to);
	fclose(f);
	return text;
}

/* reach[a * n + b]: a is before b. */
static bool *reachability(const struct graph *g)
{
	size_t n = g->n_vertices;
	bool *reach = calloc(n * n + 1, sizeof(*reach));
	uint32_t *order = NULL;

	ck_assert_int_eq(graph_topological(g, &order), 0);
	for (size_t i = n; i-- > 0;)
		for (size_t k = 0; k < g->n_edges; k++) {
			if (g->edges[k].from != order[i])
				continue;
			reach[order[i] * n + g->edges[k].to] = true;
			for (size_t w = 0; w < n; w++)
				reach[order[i] * n + w] |= reach[g->edges[k].to * n + w];
		}
	free(order);
	return reach;
}

static bool concurrent(const bool *reach, size_t n, uint32_t a, uint32_t b)
{
	return a != b && !reach[a * n + b] && !reach[b * n + a];
}

static const struct event *of(const struct graph *g, uint32_t v)
{
	return &g->trace->events[g->vertices[v].event];
}

static bool compete(const struct graph *g, uint32_t a, uint32_t b)
{
	const struct event *p = of(g, a), *q = of(g, b);
	const struct trace_end *e = &g->trace->ends[p->end], *f = &g->trace->ends[q->end];

	if (p->kind != q->kind)
		return false;
	if (p->kind == EVENT_CONNECT)
		return p->process == q->process && !strcmp(e->target, f->target);
	if (p->kind == EVENT_SEND)
		return p->end == q->end && p->message && q->message && p->message != q->message &&
		       !(p->flags & EVENT_F_CONTINUED) && !(q->flags & EVENT_F_CONTINUED);
	return p->kind == EVENT_SPAWN && p->process == q->process && p->flags == q->flags;
}

/* Racy is what competes for an ordinal with something concurrent in thread order, and all names that contain it. */
static void check_racy(const struct graph *g)
{
	size_t n = g->n_vertices;
	const struct trace *t = g->trace;
	bool *reach = reachability(g), *own = calloc(n + 1, 1), *process = calloc(t->n_processes + 1, 1);

	for (uint32_t a = 0; a < n; a++)
		for (uint32_t b = 0; b < n; b++)
			if (compete(g, a, b) && concurrent(reach, n, a, b))
				own[a] = true;
	for (size_t round = 0; round < t->n_processes; round++) {
		for (uint32_t v = 0; v < n; v++)
			if (of(g, v)->kind == EVENT_SPAWN && own[v] && of(g, v)->peer)
				process[of(g, v)->peer] = true;
		for (size_t i = 1; i <= t->n_processes; i++)
			process[i] |= process[t->processes[i].parent];
	}
	for (size_t i = 1; i <= g->n_connections; i++) {
		const struct graph_connection *c = &g->connections[i];

		ck_assert_int_eq(c->racy, own[c->connect_vertex] || process[t->ends[c->connector].process]);
	}
	for (size_t i = 0; i < g->n_messages; i++)
		ck_assert_int_eq(g->messages[i].racy,
				 own[g->messages[i].send] || g->connections[g->messages[i].connection].racy);
	free(reach);
	free(own);
	free(process);
}

static void check_one(unsigned i)
{
	struct random_run run;
	struct graph *threads, *processes, *again;
	char *before, *after;

	random_run_init(&run, i, &shapes[i % N_SHAPES]);
	threads = build(&run.trace, GRAPH_ORDER_THREAD);
	processes = build(&run.trace, GRAPH_ORDER_PROCESS);
	ck_assert_uint_eq(threads->n_vertices, run.trace.n_events);
	check_causes(&run, threads);
	check_causes(&run, processes);
	check_acyclic(threads);
	check_acyclic(processes);
	check_labels(&run, threads);
	if (i % 8 == 0) {
		check_chains(threads);
		check_chains(processes);
		check_racy(threads);
	}
	ck_assert_uint_eq(threads->n_holes, 0);
	ck_assert_uint_eq(threads->unmatched_bytes, 0);
	for (size_t k = 0; k < threads->n_messages; k++)
		REQUIRE(threads->messages[k].received <= threads->messages[k].size);
	for (unsigned order = 0; order < 2; order++) {
		before = dump(order ? processes : threads);
		random_run_shuffle(&run, i * 7 + order);
		again = build(&run.trace, order ? GRAPH_ORDER_PROCESS : GRAPH_ORDER_THREAD);
		after = dump(again);
		ck_assert_str_eq(before, after);
		free(before);
		free(after);
		graph_free(again);
		/* the graphs refer to events by place: build them anew for the next shuffle */
		graph_free(processes);
		processes = build(&run.trace, GRAPH_ORDER_PROCESS);
	}
	graph_free(threads);
	graph_free(processes);
	random_run_fini(&run);
}

/* Over random executions: acyclic in both orders, edges exactly the true causes, labels as counted by the programs,
 * ranges tile, and neither the order of arrival nor the numbering of rows changes anything. */
START_TEST(graphs_tell_the_truth)
{
	for (unsigned i = _i * (RUNS / 10); i < (unsigned)(_i + 1) * (RUNS / 10); i++)
		check_one(i);
}
END_TEST

/* The peer's kernel had all of it, or said so. */
static bool came(const struct graph *g, const struct graph_message *m)
{
	const struct graph_connection *c = &g->connections[m->connection];
	const struct trace_end *sender = &g->trace->ends[m->direction ? c->acceptor : c->connector];
	const struct trace_end *receiver = &g->trace->ends[m->direction ? c->connector : c->acceptor];

	return (receiver->finished && m->end <= receiver->received + receiver->unread) ||
	       (sender->finished && m->end <= sender->sent - sender->unacked);
}

/* Edges of faults begin at one and lead away from it; a message that all was received of is nobody's fault. */
static void check_faults(const struct graph *g, unsigned *n_lost, unsigned *n_hits)
{
	for (size_t i = 0; i < g->n_edges; i++) {
		const struct event *from = of(g, g->edges[i].from), *to = of(g, g->edges[i].to);
		const struct graph_fault *fault;

		if (g->edges[i].rule != RULE_FAULT)
			continue;
		REQUIRE(from->kind == EVENT_ARMED || from->kind == EVENT_FIRED); /* there is no restart */
		fault = graph_fault_find(g, from->value);
		REQUIRE(fault);
		REQUIRE(!event_is_fault(to->kind) || to->value == from->value);
		REQUIRE(event_is_fault(to->kind) || (from->kind == EVENT_FIRED && fault->acts));
		*n_hits += !event_is_fault(to->kind);
	}
	for (size_t i = 0; i < g->n_messages; i++) {
		const struct graph_message *m = &g->messages[i];
		const struct graph_fault *fault = graph_fault_find(g, m->lost_by);

		REQUIRE(!m->lost_by || (fault && fault->acts && m->received < m->size));
		/* a cut or crash takes all that was sent behind its message */
		for (size_t k = 0; k < g->n_faults; k++) {
			bool here = g->faults[k].end && g->faults[k].end == of(g, m->send)->end && m->end > g->faults[k].pos;

			REQUIRE(m->lost_by || m->received == m->size || came(g, m) || !here || !g->faults[k].acts || g->faults[k].ended != UINT32_MAX ||
				(g->faults[k].kind != FAULT_CUT && g->faults[k].kind != FAULT_RESET));
		}
		*n_lost += m->lost_by != 0;
	}
}

static size_t count_but_faults(const struct graph *g)
{
	size_t n = 0;

	for (size_t i = 0; i < g->n_edges; i++)
		n += g->edges[i].rule != RULE_FAULT && g->edges[i].rule != RULE_THREAD && g->edges[i].rule != RULE_PROCESS &&
		     g->edges[i].rule != RULE_CLOSE;
	return n;
}

/* Faults at random places, true or not: never a cycle; what the programs did keeps its edges; the arrival does not matter. */
START_TEST(faults_make_no_cycle)
{
	unsigned n_lost = 0, n_hits = 0;

	for (unsigned i = 0; i < 1000; i++) {
		enum graph_order order = i % 2 ? GRAPH_ORDER_THREAD : GRAPH_ORDER_PROCESS;
		struct random_run run;
		struct graph *plain, *with, *again;
		char *before, *after;

		random_run_init(&run, i, &shapes[i % N_SHAPES]);
		plain = build(&run.trace, order);
		random_run_faults(&run, i, 1 + i % 5);
		with = build(&run.trace, order);
		check_acyclic(with);
		check_faults(with, &n_lost, &n_hits);
		ck_assert_uint_eq(count_but_faults(with), count_but_faults(plain));
		ck_assert_uint_eq(with->n_holes, 0);
		ck_assert_uint_eq(with->contradicted, 0);
		before = dump(with);
		random_run_shuffle(&run, i);
		again = build(&run.trace, order);
		after = dump(again);
		ck_assert_str_eq(before, after);
		free(before);
		free(after);
		graph_free(plain);
		graph_free(with);
		graph_free(again);
		random_run_fini(&run);
	}
	ck_assert_uint_gt(n_lost, 300);
	ck_assert_uint_gt(n_hits, 500);
}
END_TEST

/* A send or receive that was lost is found: one hole, exactly its bytes, on its side. */
START_TEST(lost_transfers_leave_holes)
{
	unsigned dropped = 0;

	for (unsigned i = 0; i < 600; i++) {
		struct random_run run;
		struct graph *g;
		struct event lost;
		uint64_t rng = i;
		size_t at;

		random_run_init(&run, i + 100000, &shapes[i % N_SHAPES]);
		for (unsigned tries = 0; tries < 50; tries++) {
			at = random_below(&rng, run.trace.n_events);
			lost = run.trace.events[at];
			if ((lost.kind == EVENT_SEND || lost.kind == EVENT_RECV) && lost.value > 0)
				break;
		}
		if ((lost.kind != EVENT_SEND && lost.kind != EVENT_RECV) || lost.value <= 0) {
			random_run_fini(&run);
			continue;
		}
		run.trace.events[at] = run.trace.events[--run.trace.n_events];
		g = build(&run.trace, i % 2 ? GRAPH_ORDER_THREAD : GRAPH_ORDER_PROCESS);
		ck_assert_uint_eq(g->n_holes, 1);
		ck_assert_uint_eq(g->holes[0].from, lost.pos);
		ck_assert_uint_eq(g->holes[0].to, lost.pos + lost.value);
		ck_assert_int_eq(g->holes[0].receive_side, lost.kind == EVENT_RECV);
		ck_assert_uint_eq(g->holes[0].direction, (lost.kind == EVENT_SEND) !=
							 (g->connections[g->holes[0].connection].connector == lost.end));
		dropped++;
		graph_free(g);
		random_run_fini(&run);
	}
	ck_assert_uint_gt(dropped, 400);
}
END_TEST

/* Any event may be missing, any field may be damaged: a graph or one clear refusal, never a crash. */
START_TEST(damage_never_crashes)
{
	for (unsigned i = 0; i < 1500; i++) {
		struct random_run run;
		struct graph *g = NULL;
		struct error e = { "" };
		uint64_t rng = i + 77;
		int err;

		random_run_init(&run, i, &shapes[i % N_SHAPES]);
		for (unsigned k = 0; k < 1 + i % 9; k++) {
			struct event *event = &run.trace.events[random_below(&rng, run.trace.n_events)];
			uint64_t value = random_below(&rng, 2) ? random_next(&rng) : random_below(&rng, 8);

			switch (random_below(&rng, 11)) {
			case 0: event->order = value; break;
			case 1: event->pos = value; break;
			case 2: event->value = value; break;
			case 3: event->process = value; break;
			case 4: event->thread = value; break;
			case 5: event->end = value; break;
			case 6: event->message = value; break;
			case 7: event->peer = value; break;
			case 8: event->kind = value; break;
			case 9: event->flags = value; break;
			case 10: *event = run.trace.events[random_below(&rng, run.trace.n_events)]; break;
			}
		}
		err = graph_build(&run.trace, i % 2 ? GRAPH_ORDER_THREAD : GRAPH_ORDER_PROCESS, &g, &e);
		if (!err)
			check_acyclic(g);
		else
			ck_assert(err == -EINVAL && e.text[0]);
		graph_free(g);
		random_run_fini(&run);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("graph_property");
	TCase *tc = tcase_create("random");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 300);
	tcase_add_loop_test(tc, graphs_tell_the_truth, 0, 10);
	tcase_add_test(tc, faults_make_no_cycle);
	tcase_add_test(tc, lost_transfers_leave_holes);
	tcase_add_test(tc, damage_never_crashes);
	suite_add_tcase(suite, tc);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? 1 : 0;
}
