/* SPDX-License-Identifier: GPL-3.0-or-later */
/* See draw.h. */
#include "collector/draw.h"

#include <pthread.h>

static pthread_mutex_t graphviz = PTHREAD_MUTEX_INITIALIZER;

static void enter(enum render_format format)
{
	if (format == RENDER_DOT)
		pthread_mutex_lock(&graphviz);
}

static void leave(enum render_format format)
{
	if (format == RENDER_DOT)
		pthread_mutex_unlock(&graphviz);
}

int draw_graph(const struct graph *graph, enum render_format format, const struct render_options *options, FILE *out,
	       struct error *e)
{
	int err;

	enter(format);
	err = render_graph(graph, format, options, out, e);
	leave(format);
	return err;
}

int draw_diff(const struct graph *const graphs[2], const struct diff *diff, enum render_format format,
	      const struct render_options *options, FILE *out, struct error *e)
{
	int err;

	enter(format);
	err = render_diff(graphs, diff, format, options, out, e);
	leave(format);
	return err;
}
