/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Random runs, cut into the streams that several agents would have sent and put together again: the graph has the same
 * edges and the same print as if one agent had seen everything.
 */
#include <check.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graph/print.h"
#include "proto/fault.h"
#include "proto/merge.h"
#include "tests/unit/random_run.h"

enum { FEW = 3, MANY = 40, RUNS = 1000 };

static unsigned streams = FEW; /* that a run is cut into */

static uint32_t of_stream(uint32_t box, unsigned stream)
{
	return box % streams == stream;
}

static char *copy(const char *text)
{
	return text ? strdup(text) : NULL;
}

/* What the agent of some boxes would have sent: rows and events of those, with indices of its own, on its own clock. */
static void stream_cut(const struct trace *all, unsigned stream, int64_t offset_ns, struct trace *part)
{
	uint32_t *boxes = calloc(all->n_boxes + 1, sizeof(*boxes)), *processes = calloc(all->n_processes + 1, sizeof(*boxes));
	uint32_t *ends = calloc(all->n_ends + 1, sizeof(*boxes));

	trace_init(part);
	for (uint32_t i = 1; i <= all->n_boxes; i++) {
		struct trace_box *to;

		/* an agent tells of its peers' boxes as well, whose events it does not have */
		boxes[i] = (uint32_t)part->n_boxes + 1;
		to = trace_box_at(part, boxes[i]);
		to->name = copy(all->boxes[i].name);
		to->address = copy(all->boxes[i].address);
	}
	for (uint32_t i = 1; i <= all->n_processes; i++)
		if (of_stream(all->processes[i].box, stream))
			processes[i] = (uint32_t)(trace_process_at(part, (uint32_t)part->n_processes + 1) - part->processes);
	for (uint32_t i = 1; i <= all->n_processes; i++) {
		struct trace_process *to = &part->processes[processes[i]];

		if (!processes[i])
			continue;
		*to = all->processes[i];
		to->name = copy(to->name);
		to->command = copy(to->command);
		to->box = boxes[to->box];
		to->parent = processes[to->parent];
	}
	for (uint32_t i = 1; i <= all->n_ends; i++) {
		struct trace_end *to;

		if (!of_stream(all->ends[i].box, stream))
			continue;
		ends[i] = (uint32_t)part->n_ends + 1;
		to = trace_end_at(part, ends[i]);
		*to = all->ends[i];
		to->target = copy(to->target);
		to->box = boxes[to->box];
		to->process = processes[to->process];
		to->established_ns += to->established_ns ? (uint64_t)offset_ns : 0;
	}
	for (uint32_t i = 1; i <= all->n_texts; i++)
		*trace_text_at(part, i) = copy(all->texts[i]);
	for (size_t i = 0; i < all->n_events; i++) {
		struct event *to;

		if (all->events[i].kind != EVENT_MARK && !of_stream(all->events[i].box, stream))
			continue;
		to = trace_event_add(part);
		*to = all->events[i];
		to->enter_ns += (uint64_t)offset_ns;
		to->return_ns += (uint64_t)offset_ns;
		to->box = to->box ? boxes[to->box] : 0;
		to->process = processes[to->process];
		to->peer = processes[to->peer];
		to->end = ends[to->end];
	}
	free(boxes);
	free(processes);
	free(ends);
}

/* A mark in every stream, which says how their clocks differ. */
static void mark_add(struct trace *trace, uint64_t now, const char *text)
{
	uint32_t index = (uint32_t)trace->n_texts + 1;
	struct event *event;

	*trace_text_at(trace, index) = strdup(text);
	event = trace_event_add(trace);
	*event = (struct event){ .kind = EVENT_MARK, .enter_ns = now, .return_ns = now, .text = index };
}

struct edges {
	struct truth_edge *edge;
	size_t n;
};

static int by_all(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct truth_edge));
}

/* Merging puts the stream above the number. */
static uint64_t id_of(const struct event *event)
{
	return event_id(event) & ((1ull << MERGE_SEQ_BITS) - 1);
}

static struct edges edges_of(const struct graph *g)
{
	struct edges edges = { calloc(g->n_edges + 1, sizeof(*edges.edge)), g->n_edges };

	for (size_t i = 0; i < g->n_edges; i++) {
		edges.edge[i].from = id_of(&g->trace->events[g->vertices[g->edges[i].from].event]);
		edges.edge[i].to = id_of(&g->trace->events[g->vertices[g->edges[i].to].event]);
		edges.edge[i].rule = g->edges[i].rule;
		edges.edge[i].bytes = g->edges[i].bytes;
	}
	qsort(edges.edge, edges.n, sizeof(*edges.edge), by_all);
	return edges;
}

static void same_graphs(const struct trace *a, const struct trace *b)
{
	struct graph *g = NULL, *h = NULL;
	struct edges x, y;
	struct print p, q;
	struct error e;

	ck_assert_msg(!graph_build(a, GRAPH_ORDER_PROCESS, &g, &e), "%s", e.text);
	ck_assert_msg(!graph_build(b, GRAPH_ORDER_PROCESS, &h, &e), "%s", e.text);
	ck_assert_uint_eq(g->n_messages, h->n_messages);
	ck_assert_uint_eq(g->n_holes, h->n_holes);
	ck_assert_uint_eq(g->n_connections, h->n_connections);
	x = edges_of(g);
	y = edges_of(h);
	ck_assert_uint_eq(x.n, y.n);
	ck_assert_int_eq(memcmp(x.edge, y.edge, x.n * sizeof(*x.edge)), 0);
	ck_assert_int_eq(print_graph(g, NULL, &p), 0);
	ck_assert_int_eq(print_graph(h, NULL, &q), 0);
	ck_assert_int_eq(print_compare(&p, &q), 0);
	free(x.edge);
	free(y.edge);
	graph_free(g);
	graph_free(h);
}

static const struct random_options shapes[] = {
	{ .processes = 4, .steps = 200, .resets = true },
	{ .processes = 6, .steps = 300, .threads = true, .forks = true, .resets = true },
};

/* Of a stream's clock: hours, this way and that. */
static int64_t offset_of(unsigned stream)
{
	return (stream % 2 ? 7200000000000 : -3600000000000) * ((int64_t)stream + 1) / 2;
}

/* Cut into few or many streams with clocks that differ by hours, and merged: nothing of the graph has changed. */
START_TEST(cut_and_merged)
{
	streams = _i % 2 ? MANY : FEW;
	for (uint64_t seed = 1; seed <= RUNS / streams * FEW; seed++) {
		struct random_run run;
		struct trace parts[MANY];
		int64_t offset = 0;

		random_run_init(&run, seed, &shapes[_i / 2]);
		mark_add(&run.trace, 1ull << 50, "outcome");
		for (unsigned i = 0; i < streams; i++)
			stream_cut(&run.trace, i, i ? offset_of(i) : 0, &parts[i]);
		for (unsigned i = 1; i < streams; i++) {
			ck_assert(merge_offset(&parts[0], &parts[i], &offset));
			ck_assert_int_eq(offset, offset_of(i));
			ck_assert_int_eq(merge_stream(&parts[0], &parts[i], offset, i, i), 0);
		}
		ck_assert_int_eq(merge_names(&parts[0]), 0);
		ck_assert_uint_eq(parts[0].n_events, run.trace.n_events);
		same_graphs(&run.trace, &parts[0]);
		trace_fini(&parts[0]);
		random_run_fini(&run);
	}
}
END_TEST

static uint64_t last_moment(const struct trace *trace)
{
	uint64_t last = 0;

	for (size_t i = 0; i < trace->n_events; i++)
		last = trace->events[i].return_ns > last ? trace->events[i].return_ns : last;
	return last;
}

/* A run whose agents were told the outcome at moments of their own, merged with offsets of clocks that are not right. */
struct skewed {
	struct random_run run;
	struct trace all;
	struct graph *g; /* in process order */
};

enum { SKEW = 50 };

static void skewed_init(struct skewed *s, uint64_t seed, int shape, bool at_once)
{
	uint64_t rng = seed, told = 0, last;
	struct error e;

	random_run_init(&s->run, seed, &shapes[shape]);
	last = last_moment(&s->run.trace);
	for (unsigned i = 0; i < streams; i++) {
		int64_t offset = SKEW + (i ? offset_of(i) : 0); /* no clock has just been started */
		struct trace part;

		if (!i || !at_once)
			told = 1 + random_below(&rng, (unsigned)last);
		stream_cut(&s->run.trace, i, offset, &part);
		mark_add(&part, told + (uint64_t)offset, "outcome");
		if (i)
			ck_assert_int_eq(merge_stream(&s->all, &part, offset - (int64_t)random_below(&rng, 2 * SKEW), i, i), 0);
		else
			s->all = part;
	}
	ck_assert_msg(!graph_build(&s->all, GRAPH_ORDER_PROCESS, &s->g, &e), "%s", e.text);
}

/* Whether its agent had been told the outcome when that happened. */
static bool is_told(const struct skewed *s, uint32_t v)
{
	const struct event *event = &s->all.events[s->g->vertices[v].event];

	return event->kind != EVENT_MARK && event_time(event) > s->all.outcomes[merge_stream_of(event)];
}

static void skewed_fini(struct skewed *s)
{
	graph_free(s->g);
	trace_fini(&s->all);
	random_run_fini(&s->run);
}

/* However wrong it is how the clocks differ: teardown is what each agent saw after it was told the outcome. */
START_TEST(outcome_on_other_clocks)
{
	streams = FEW;
	for (uint64_t seed = 1; seed <= 100; seed++) {
		struct skewed s;

		skewed_init(&s, seed, _i, true);
		ck_assert_uint_eq(s.all.n_outcomes, streams);
		for (uint32_t v = 0; v < s.g->n_vertices; v++)
			if (s.all.events[s.g->vertices[v].event].kind != EVENT_MARK)
				ck_assert_int_eq(s.g->vertices[v].teardown, is_told(&s, v));
		skewed_fini(&s);
	}
}
END_TEST

/*
 * What one agent's programs did after the outcome makes teardown of what it caused where the outcome was not known yet, and of what that
 * process did then, and of nothing else; in either order.
 */
START_TEST(outcome_told_late)
{
	size_t n_caused = 0;

	streams = FEW;
	for (uint64_t seed = 1; seed <= 100; seed++) {
		struct graph *other = NULL;
		struct skewed s;
		struct error e;
		bool *caused, reached = false;

		skewed_init(&s, seed, _i, false);
		caused = calloc(s.g->n_vertices + 1, sizeof(*caused));
		for (size_t i = 0; i < s.g->n_edges; i++) {
			const struct graph_edge *edge = &s.g->edges[i];

			caused[edge->to] |= s.g->vertices[edge->from].teardown && edge->rule != RULE_PROCESS;
		}
		ck_assert_msg(!graph_build(&s.all, GRAPH_ORDER_THREAD, &other, &e), "%s", e.text);
		for (uint32_t v = 0; v < s.g->n_vertices; v++) {
			const struct event *event = &s.all.events[s.g->vertices[v].event];

			if (event->kind == EVENT_MARK)
				continue;
			/* vertices of a process stand in its order; behind them those that have none */
			if (!v || s.g->vertices[v].process != s.g->vertices[v - 1].process)
				reached = false;
			caused[v] |= reached && event->order;
			reached |= caused[v] && !is_told(&s, v);
			ck_assert_int_eq(s.g->vertices[v].teardown, caused[v] || is_told(&s, v));
			ck_assert_int_eq(s.g->vertices[v].teardown, other->vertices[v].teardown);
			n_caused += caused[v] && !is_told(&s, v);
		}
		free(caused);
		graph_free(other);
		skewed_fini(&s);
	}
	ck_assert_uint_gt(n_caused, 0);
}
END_TEST

static const uint64_t second = 1000000000;

/* A process of that stream ends at this moment. */
static void end_add(struct trace *trace, uint64_t seconds)
{
	uint32_t index = (uint32_t)trace->n_processes + 1;
	char name[16];

	snprintf(name, sizeof(name), "p%" PRIu64, seconds);
	trace_process_at(trace, index)->name = strdup(name);
	*trace_event_add(trace) = (struct event){ .kind = EVENT_EXIT, .enter_ns = seconds * second, .return_ns = seconds * second,
						  .process = index, .order = 1 };
}

/* Of whoever is told long after the others, or never, the clock must do; what has no process is judged by its own agent's clock, too. */
START_TEST(outcome_told_never)
{
	static const uint64_t limits[][2] = { { 101, 111 }, { 101, 111 }, { 111, 101 } }; /* of either agent, in seconds */
	struct trace a, b;
	struct graph *g;
	struct error e;

	trace_init(&a);
	trace_init(&b);
	end_add(&a, 100);
	if (_i != 2) /* the first agent was told first, or died before it was */
		mark_add(&a, 101 * second, "outcome");
	end_add(&a, 102);
	end_add(&a, 121);
	end_add(&b, 103);
	*trace_event_add(&b) = (struct event){ .kind = EVENT_LOST, .enter_ns = 104 * second, .return_ns = 104 * second, .value = 1 };
	end_add(&b, 120);
	if (_i != 1) /* the second one was told late, or never */
		mark_add(&b, (_i == 2 ? 101 : 200) * second, "outcome");
	ck_assert_int_eq(merge_stream(&a, &b, 0, 1, 1), 0);
	ck_assert_msg(!graph_build(&a, GRAPH_ORDER_PROCESS, &g, &e), "%s", e.text);
	ck_assert_uint_eq(g->n_vertices, 7); /* one of them is the mark */
	for (uint32_t v = 0; v < g->n_vertices; v++) {
		const struct event *event = &a.events[g->vertices[v].event];

		if (event->kind != EVENT_MARK)
			ck_assert_int_eq(g->vertices[v].teardown,
					 event->enter_ns > limits[_i][merge_stream_of(event)] * second);
	}
	graph_free(g);
	trace_fini(&a);
}
END_TEST

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* However many streams a run has: no two events have one sequence number, also of CPUs with the same number. */
START_TEST(numbers)
{
	static const uint64_t cpus[] = { 0, 1, 15, 16, 255, 4095 }, on_cpu[] = { 1, 2, (1ull << MERGE_SEQ_BITS) - 1 };
	static uint64_t seqs[MERGE_STREAMS_MAX * 18];
	struct trace all;

	trace_init(&all);
	for (unsigned stream = 0; stream < MERGE_STREAMS_MAX; stream++) {
		struct trace part;

		trace_init(&part);
		for (size_t i = 0; i < 6; i++)
			for (size_t k = 0; k < 3; k++)
				*trace_event_add(&part) = (struct event){ .kind = EVENT_LOST, .seq = cpus[i] << 48 | on_cpu[k] };
		ck_assert_int_eq(merge_stream(&all, &part, 0, stream, stream), 0);
	}
	ck_assert_uint_eq(all.n_events, sizeof(seqs) / sizeof(*seqs));
	for (size_t i = 0; i < all.n_events; i++)
		seqs[i] = all.events[i].seq;
	qsort(seqs, all.n_events, sizeof(*seqs), by_value);
	for (size_t i = 1; i < all.n_events; i++)
		ck_assert_uint_ne(seqs[i - 1], seqs[i]);
	trace_fini(&all);
}
END_TEST

/* A port that the kernel chose is called by its order also where another agent's process connects to it. */
START_TEST(names_of_ports)
{
	struct trace a, b;
	struct trace_end *end;
	struct event *event;

	trace_init(&a);
	trace_init(&b);
	trace_box_at(&a, 1)->name = strdup("s");
	*trace_text_at(&a, 1) = strdup("s:*1");
	event = trace_event_add(&a);
	*event = (struct event){ .kind = EVENT_LISTEN, .box = 1, .value = 40000, .text = 1 };
	trace_box_at(&b, 1)->name = strdup("c");
	end = trace_end_at(&b, 1);
	end->box = 1;
	end->target = strdup("s:40000");
	trace_end_at(&b, 2)->target = strdup("s:4000");
	ck_assert_int_eq(merge_stream(&a, &b, 0, 1, 0), 0);
	ck_assert_int_eq(merge_names(&a), 0);
	ck_assert_str_eq(a.ends[1].target, "s:*1");
	ck_assert_str_eq(a.ends[2].target, "s:4000");
	ck_assert_uint_eq(a.n_boxes, 2);
	ck_assert_uint_eq(a.ends[1].box, 2);
	trace_fini(&a);
	trace_fini(&b);
}
END_TEST

/* An agent that could not be told of the outcome for a while has not another clock because of that. */
START_TEST(offset_told_late)
{
	struct trace a, b;
	int64_t offset;

	trace_init(&a);
	trace_init(&b);
	mark_add(&a, 10, "workload");
	mark_add(&b, 13, "workload");
	for (int i = 0; i < 2; i++) {
		mark_add(&a, _i ? 90 : 20, i ? "teardown" : "outcome");
		mark_add(&b, _i ? 24 : 95, i ? "teardown" : "outcome");
	}
	ck_assert(merge_offset(&a, &b, &offset));
	ck_assert_int_eq(offset, 3);
	trace_fini(&a);
	trace_fini(&b);
}
END_TEST

/* A stream with more marks than a run can have costs no time. */
START_TEST(many_marks)
{
	struct trace a, b;
	char text[16];

	trace_init(&a);
	trace_init(&b);
	for (unsigned i = 0; i < 100000; i++) {
		snprintf(text, sizeof(text), "m%u", i);
		mark_add(&b, i, text);
	}
	ck_assert_int_eq(merge_stream(&a, &b, 0, 1, 1), 0);
	ck_assert_uint_le(a.n_events, 100);
	trace_fini(&a);
}
END_TEST

/* Losses add up, and an unknown number stays one; marks are kept once, at their earliest; numbers of sockets of two kernels are kept apart. */
START_TEST(sums)
{
	struct trace a, b;
	int64_t offset;

	trace_init(&a);
	trace_init(&b);
	ck_assert(!merge_offset(&a, &b, &offset));
	a.lost = 2;
	b.lost = 3;
	mark_add(&a, 10, "check");
	mark_add(&a, 20, "outcome");
	mark_add(&b, 12, "check");
	mark_add(&b, 26, "outcome");
	for (int i = 0; i < 2; i++) {
		struct trace_end *end = trace_end_at(i ? &b : &a, 1);

		end->transport = TRANSPORT_UNIX;
		end->first_local = 7;
		end->first_remote = 8;
	}
	ck_assert_int_eq(merge_stream(&a, &b, 4, 1, 1), 0);
	ck_assert_uint_eq(a.lost, 5);
	ck_assert_uint_eq(a.n_events, 2);
	ck_assert(a.events[0].enter_ns == 8 && a.events[1].enter_ns == 20 && a.events[1].return_ns == 20);
	ck_assert_uint_ne(a.ends[2].first_local, 7);
	b.lost = UINT64_MAX;
	ck_assert_int_eq(merge_stream(&a, &b, 0, 2, 0), 0);
	ck_assert_uint_eq(a.lost, UINT64_MAX);
	trace_fini(&a);
}
END_TEST

static struct fault_receipt *receipt_add(struct trace *trace, uint32_t id, enum fault_state state, uint64_t fired_ns, uint64_t packets)
{
	struct fault_receipt *row = trace_receipt_add(trace);

	*row = (struct fault_receipt){ .id = id, .state = state, .fired_ns = fired_ns, .packets = packets, .line = strdup("isolate a"),
				       .why = strdup("") };
	return row;
}

/* A fault that two agents had is one: what both hit, when it first fired on one clock. What a stream said earlier does not count. */
START_TEST(receipts)
{
	struct trace into, from;

	trace_init(&into);
	trace_init(&from);
	receipt_add(&into, 2, FAULT_STATE_ARMED, 0, 0);
	receipt_add(&into, 1, FAULT_STATE_NEVER_FIRED, 0, 0);
	receipt_add(&into, 2, FAULT_STATE_FIRED, 500, 3);
	receipt_add(&from, 2, FAULT_STATE_FIRED, 1400, 1);
	receipt_add(&from, 2, FAULT_STATE_LIFTED, 1400, 4)->ended_ns = 1900;
	receipt_add(&from, 3, FAULT_STATE_EXPIRED, 1300, 1)->ended_ns = 1700;
	ck_assert_int_eq(merge_stream(&into, &from, 1000, 1, 1), 0);
	ck_assert_uint_eq(into.n_receipts, 3);
	ck_assert(into.receipts[0].id == 1 && into.receipts[0].state == FAULT_STATE_NEVER_FIRED);
	ck_assert(into.receipts[1].id == 2 && into.receipts[1].state == FAULT_STATE_FIRED && into.receipts[1].packets == 7);
	ck_assert(into.receipts[1].fired_ns == 400 && into.receipts[1].ended_ns == 900);
	ck_assert(into.receipts[2].id == 3 && into.receipts[2].fired_ns == 300 && into.receipts[2].ended_ns == 700);
	ck_assert_uint_eq(from.n_receipts, 0);
	trace_fini(&into);
	trace_fini(&from);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("merge");
	TCase *tc = tcase_create("merge");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_set_timeout(tc, 240);
	tcase_add_test(tc, receipts);
	tcase_add_loop_test(tc, cut_and_merged, 0, 2 * sizeof(shapes) / sizeof(*shapes));
	tcase_add_loop_test(tc, outcome_on_other_clocks, 0, sizeof(shapes) / sizeof(*shapes));
	tcase_add_loop_test(tc, outcome_told_late, 0, sizeof(shapes) / sizeof(*shapes));
	tcase_add_loop_test(tc, outcome_told_never, 0, 3);
	tcase_add_test(tc, numbers);
	tcase_add_test(tc, names_of_ports);
	tcase_add_loop_test(tc, offset_told_late, 0, 2);
	tcase_add_test(tc, many_marks);
	tcase_add_test(tc, sums);
	suite_add_tcase(suite, tc);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
