/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Pictures of graphs, from whichever thread: Graphviz's library has a state of its own, which one thread at a time may use. */
#ifndef COLLECTOR_DRAW_H
#define COLLECTOR_DRAW_H

#include "graph/render.h"

/* As render_graph() and render_diff(). */
int draw_graph(const struct graph *graph, enum render_format format, const struct render_options *options, FILE *out,
	       struct error *e);
int draw_diff(const struct graph *const graphs[2], const struct diff *diff, enum render_format format,
	      const struct render_options *options, FILE *out, struct error *e);

#endif
