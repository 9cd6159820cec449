/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * How fast a graph is built from events that are in memory already, and what it costs in bytes: one client, one
 * server, 20 connections, requests and replies, as redis-benchmark makes them; then its prints, and the picture of
 * it. Prints one `name number` a line; the median of several rounds, in this process's CPU time.
 */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "graph/graph.h"
#include "graph/print.h"
#include "graph/render.h"
#include "graph/sketch.h"

#define CONNECTIONS 20
#define ROUNDS 9

struct clock_state {
	uint64_t now, order[3], seq;
};

static struct event *add(struct trace *trace, struct clock_state *c, uint32_t process, enum event_kind kind, uint32_t end)
{
	struct event *event = trace_event_add(trace);

	if (!event)
		abort();
	event->enter_ns = c->now += 700;
	event->return_ns = c->now + 600;
	event->order = ++c->order[process];
	event->seq = (uint64_t)process << 48 | ++c->seq;
	event->kind = kind;
	event->process = event->box = process;
	event->end = end;
	return event;
}

static void make_tables(struct trace *trace)
{
	static const char *const names[] = { "", "client", "server" };

	for (uint32_t i = 1; i <= 2; i++) {
		trace_box_at(trace, i)->name = strdup(names[i]);
		trace_process_at(trace, i)->name = strdup(names[i]);
		trace_process_at(trace, i)->box = i;
	}
	for (uint32_t i = 0; i < CONNECTIONS; i++) {
		struct trace_end *connector = trace_end_at(trace, 2 * i + 1), *acceptor;

		connector->role = END_CONNECTOR;
		connector->process = connector->box = 1;
		connector->target = strdup("server:6379");
		connector->ordinal = i + 1;
		connector->first_local = 1000 + i;
		connector->first_remote = 9000 + i;
		connector->keyed = true;
		acceptor = trace_end_at(trace, 2 * i + 2);
		acceptor->role = END_ACCEPTOR;
		acceptor->box = 2;
		acceptor->first_local = 9000 + i;
		acceptor->first_remote = 1000 + i;
		acceptor->keyed = true;
	}
}

/* All clients send, the server serves them in turn, all clients read. */
static void make_trace(struct trace *trace, size_t n_events)
{
	struct clock_state c = { 0 };
	uint64_t round = 0;

	trace_init(trace);
	make_tables(trace);
	for (uint32_t i = 0; i < CONNECTIONS; i++) {
		add(trace, &c, 1, EVENT_CONNECT, 2 * i + 1);
		add(trace, &c, 2, EVENT_ACCEPT, 2 * i + 2);
	}
	for (; trace->n_events + 4 * CONNECTIONS <= n_events; round++) {
		struct event *event;

		for (uint32_t i = 0; i < CONNECTIONS; i++) {
			event = add(trace, &c, 1, EVENT_SEND, 2 * i + 1);
			event->pos = round * 40;
			event->value = 40;
			event->message = round + 1;
		}
		for (uint32_t i = 0; i < CONNECTIONS; i++) {
			event = add(trace, &c, 2, EVENT_RECV, 2 * i + 2);
			event->pos = round * 40;
			event->value = 40;
			event = add(trace, &c, 2, EVENT_SEND, 2 * i + 2);
			event->pos = round * 5;
			event->value = 5;
			event->message = round + 1;
		}
		for (uint32_t i = 0; i < CONNECTIONS; i++) {
			event = add(trace, &c, 1, EVENT_RECV, 2 * i + 1);
			event->pos = round * 5;
			event->value = 5;
		}
	}
}

static double cpu_seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

/* A round begins as one in a fresh process does: nothing in the caches, no memory at hand. */
static void chill(void)
{
	size_t size = 256 << 20;
	char *p = malloc(size);

	if (!p)
		abort();
	for (size_t i = 0; i < size; i += 64)
		((volatile char *)p)[i] = 1;
	free(p);
	malloc_trim(0);
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

struct measured {
	size_t n; /* events */
	double build, print, levels; /* seconds, the medians; levels: the prints at all levels, the exact one once more */
	double sketch; /* all prints and the sketch */
	double bytes; /* that the graph keeps */
};

static double median(double *times)
{
	qsort(times, ROUNDS, sizeof(*times), compare);
	return times[ROUNDS / 2];
}

static struct measured measure(size_t n_events)
{
	double builds[ROUNDS], prints[ROUNDS], levels[ROUNDS], sketches[ROUNDS];
	struct measured measured;
	struct trace trace;

	make_trace(&trace, n_events);
	for (int i = 0; i < ROUNDS; i++) {
		struct graph *graph = NULL;
		struct error e;
		struct mallinfo2 before, after;
		struct print print, all[PRINT_LEVEL_COUNT];
		struct sketch sketch;
		double start;

		chill();
		before = mallinfo2();
		start = cpu_seconds();
		if (graph_build(&trace, GRAPH_ORDER_THREAD, &graph, &e) < 0) {
			fprintf(stderr, "%s\n", e.text);
			exit(1);
		}
		builds[i] = cpu_seconds() - start;
		after = mallinfo2();
		measured.bytes = (double)(after.uordblks + after.hblkhd - before.uordblks - before.hblkhd) / trace.n_events;
		if (print_graph(graph, NULL, &print) < 0 || print.approximate)
			exit(1);
		prints[i] = cpu_seconds() - start - builds[i];
		start = cpu_seconds();
		if (print_levels(graph, NULL, all) < 0 || all[PRINT_LEVEL_FOLDED].approximate)
			exit(1);
		levels[i] = cpu_seconds() - start;
		start = cpu_seconds();
		if (sketch_and_prints(graph, "bench", all, &sketch) < 0)
			exit(1);
		sketches[i] = cpu_seconds() - start;
		graph_free(graph);
	}
	measured.n = trace.n_events;
	measured.build = median(builds);
	measured.print = median(prints);
	measured.levels = median(levels);
	measured.sketch = median(sketches);
	trace_fini(&trace);
	return measured;
}

static double measure_picture(size_t n_events)
{
	struct render_options options = { .title = "bench" };
	struct graph *graph = NULL;
	struct trace trace;
	struct error e;
	FILE *out = fopen("/dev/null", "w");
	double start;

	make_trace(&trace, n_events);
	if (!out || graph_build(&trace, GRAPH_ORDER_PROCESS, &graph, &e) < 0)
		exit(1);
	start = cpu_seconds();
	if (render_graph(graph, RENDER_SVG, &options, out, &e) < 0)
		exit(1);
	start = cpu_seconds() - start;
	fclose(out);
	graph_free(graph);
	trace_fini(&trace);
	return start;
}

int main(void)
{
	struct measured small = measure(100000), big = measure(1000000);
	double scale = 10.0 * small.n / big.n;

	printf("graph_events_per_s %.0f\n", big.n / big.build);
	printf("print_events_per_s %.0f\n", big.n / (big.build + big.print));
	printf("graph_bytes_per_event %.1f\n", big.bytes);
	printf("graph_time_ratio_10x %.2f\n", scale * big.build / small.build);
	printf("print_time_ratio_10x %.2f\n", scale * (big.build + big.print) / (small.build + small.print));
	printf("levels_events_per_s %.0f\n", big.n / (big.build + big.levels));
	printf("levels_time_ratio_10x %.2f\n", scale * (big.build + big.levels) / (small.build + small.levels));
	printf("sketch_time_ratio_levels %.2f\n", big.sketch / big.levels);
	printf("picture_100k_s %.2f\n", measure_picture(100000));
	return 0;
}
