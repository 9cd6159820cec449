/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Pictures of a graph: space-time diagrams (SVG, PNG) and Graphviz dot. One lane a process, causality runs downwards,
 * messages are arrows. See docs/pictures.md for what each sign means.
 */
#ifndef GRAPH_RENDER_H
#define GRAPH_RENDER_H

#include <stdio.h>

#include "graph/diff.h"
#include "graph/graph.h"

enum render_format { RENDER_SVG, RENDER_PNG, RENDER_DOT };

struct render_options {
	const char *title;    /* "quorum, run 7: good"; may be NULL */
	const char *subtitle; /* may be NULL */
	bool failed;	      /* the outcome is not good: title in the colour of failure */
	bool incomplete;      /* the run lost events or did not end: said in the picture */
	bool teardown;	      /* also draw what happened after the outcome */
	size_t max_vertices;  /* fold until no more than these are drawn; 0: 2,000 */
	uint64_t runs[2];     /* render_diff(): what the runs are called: "only in run 7" */
	const struct overlay *overlay; /* render_diff() sets it; NULL */
};

/* Returns 0 or negative errno; nothing useful is in out after a failure. */
int render_graph(const struct graph *graph, enum render_format format, const struct render_options *options, FILE *out,
		 struct error *e);

/*
 * One picture of two runs: run 1, with what only run 0 has laid over it; signs in docs/diff.md. graphs: of
 * GRAPH_ORDER_THREAD, as the diff of them. options->title: "quorum, run 2 compared with run 1". What happened after
 * the outcome is never drawn.
 */
int render_diff(const struct graph *const graphs[2], const struct diff *diff, enum render_format format,
		const struct render_options *options, FILE *out, struct error *e);

#endif
