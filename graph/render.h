/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Pictures of a graph: space-time diagrams (SVG, PNG) and Graphviz dot. One lane a process, causality runs downwards,
 * messages are arrows. See docs/pictures.md for what each sign means.
 */
#ifndef GRAPH_RENDER_H
#define GRAPH_RENDER_H

#include <stdio.h>

#include "graph/graph.h"

enum render_format { RENDER_SVG, RENDER_PNG, RENDER_DOT };

struct render_options {
	const char *title;    /* "quorum, run 7: good"; may be NULL */
	const char *subtitle; /* may be NULL */
	bool failed;	      /* the outcome is not good: title in the colour of failure */
	bool incomplete;      /* the run lost events or did not end: said in the picture */
	bool teardown;	      /* also draw what happened after the outcome */
	size_t max_vertices;  /* fold until no more than these are drawn; 0: 2,000 */
};

/* Returns 0 or negative errno; nothing useful is in out after a failure. */
int render_graph(const struct graph *graph, enum render_format format, const struct render_options *options, FILE *out,
		 struct error *e);

#endif
