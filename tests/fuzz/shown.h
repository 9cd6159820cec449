/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Everything that is done with a run that was read: both graphs, their prints and lineage, every form in which they are shown. */
#ifndef TESTS_FUZZ_SHOWN_H
#define TESTS_FUZZ_SHOWN_H

#include "collector/run.h"
#include "collector/prints.h"
#include "collector/query_inside.h"
#include "collector/show.h"
#include "graph/diff.h"
#include "graph/render.h"
#include "tests/fuzz/fuzz.h"

/* Painting takes a hundred times as long as all the rest: only some pictures are. */
#define IS_PAINTED(graph) ((graph)->n_vertices <= 40 && (graph)->n_edges % 32 == 5)

static void graph_show(const struct run *run, const struct graph *graph, FILE *out)
{
	struct render_options options = { .title = "title", .subtitle = "<&>", .teardown = true, .max_vertices = 60 };
	struct error e = { "" };

	must(!show_run(run, graph, true, out, &e));
	must(!show_run_json(run, graph, out, &e));
	must(!render_graph(graph, RENDER_SVG, &options, out, &e));
	must(!render_graph(graph, RENDER_DOT, &options, out, &e));
	if (IS_PAINTED(graph))
		must(!render_graph(graph, RENDER_PNG, &options, out, &e));
}

/* Plain, and as if all processes could stand for each other. The order of the graph must not matter. */
static void graph_print(const struct graph *graph, struct print ret_prints[2][PRINT_LEVEL_COUNT])
{
	const char **roles = calloc(graph->trace->n_processes + 1, sizeof(*roles));

	must(roles);
	for (size_t i = 1; i <= graph->trace->n_processes; i++)
		roles[i] = "all";
	must(!print_levels(graph, NULL, ret_prints[0]) && !print_levels(graph, roles, ret_prints[1]));
	free(roles);
}

/* A run does not differ from itself. */
static void graph_compare(const struct graph *graph)
{
	const struct graph *graphs[2] = { graph, graph };
	struct diff *diff;

	must(!diff_new(graphs, &diff));
	must(!diff->n_changes);
	diff_free(diff);
}

/* What is received has been sent before. What has a label is found by it, or several are called that. */
static void graph_lineage(const struct run *run, struct graph *graph, FILE *out)
{
	struct query_run q = { .run = (struct run *)run, .graph = graph };
	struct lineage_goals goals = { .n = 0 };
	char line[2100] = "goal it: recv ";
	struct error e = { "" };
	bool *past = NULL;
	int err;

	must(!lineage_new(graph, &q.lineage) && !lineage_times(q.lineage, &q.times));
	for (uint32_t m = 0; m < graph->n_messages; m++) {
		must(q.times[m].sent);
		must(!q.times[m].received || graph->contradicted || q.times[m].received > q.times[m].sent);
		lineage_sender(q.lineage, m);
		lineage_receiver(q.lineage, m);
		graph_message_label(graph, m, line + 14, sizeof(line) - 14);
		err = lineage_goals_read(q.lineage, line, strlen(line), &goals, &e);
		if (err)
			must_explain(err, &e);
		lineage_goals_fini(&goals);
	}
	for (uint32_t v = 0; v < graph->n_vertices; v += 1 + graph->n_vertices / 4) {
		must(!lineage_past(q.lineage, v, &past) && past[v]);
		free(past);
	}
	must(!query_export_molly(&q, out, &e) && !query_export_sql(&q, out, &e));
	err = query_export_shiviz(&q, true, out, &e);
	if (err)
		must_explain(err, &e);
	must(!query_export_perfetto(&q, true, out, &e) && !query_export_otlp(&q, false, out, &e));
	free(q.times);
	lineage_free(q.lineage);
}

/* run->row is filled. */
static void run_show(const struct run *run)
{
	struct print prints[2][2][PRINT_LEVEL_COUNT] = { 0 };
	struct error e = { "" };
	struct graph *graph;
	FILE *out = fopen("/dev/null", "we");
	int err, built = 0;

	must(out);
	show_run_line(run, NULL, true, NULL, out);
	must(!show_output(run, out, &e));
	for (int order = GRAPH_ORDER_THREAD; order <= GRAPH_ORDER_PROCESS; order++) {
		err = graph_build(&run->trace, (enum graph_order)order, &graph, &e);
		if (err) {
			must_explain(err, &e);
			continue;
		}
		graph_show(run, graph, out);
		graph_print(graph, prints[order]);
		graph_compare(graph);
		graph_lineage(run, graph, out);
		built++;
		graph_free(graph);
	}
	for (int i = 0; built == 2 && i < 2; i++)
		for (enum print_level level = 0; level < PRINT_LEVEL_COUNT; level++)
			must(!print_compare(&prints[GRAPH_ORDER_THREAD][i][level], &prints[GRAPH_ORDER_PROCESS][i][level]));
	fclose(out);
}

#endif
