/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Everything that is done with a run that was read: both graphs, every form in which it is shown. */
#ifndef TESTS_FUZZ_SHOWN_H
#define TESTS_FUZZ_SHOWN_H

#include "collector/run.h"
#include "collector/show.h"
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

/* run->row is filled. */
static void run_show(const struct run *run)
{
	struct error e = { "" };
	struct graph *graph;
	FILE *out = fopen("/dev/null", "we");
	int err;

	must(out);
	show_run_line(run, NULL, out);
	must(!show_output(run, out, &e));
	for (int order = GRAPH_ORDER_THREAD; order <= GRAPH_ORDER_PROCESS; order++) {
		err = graph_build(&run->trace, (enum graph_order)order, &graph, &e);
		if (err) {
			must_explain(err, &e);
			continue;
		}
		graph_show(run, graph, out);
		graph_free(graph);
	}
	fclose(out);
}

#endif
