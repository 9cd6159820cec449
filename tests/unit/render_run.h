/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Pictures of random runs, for the tests of them. One includer a test program. */
#ifndef TESTS_UNIT_RENDER_RUN_H
#define TESTS_UNIT_RENDER_RUN_H

#include <check.h>
#include <errno.h>
#include <graphviz/cgraph.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graph/picture.h"
#include "graph/render.h"
#include "graph/scene.h"
#include "tests/unit/random_run.h"
#include "tests/unit/scene_check.h"
#include "tests/unit/talk.h"

static const struct random_options shapes[] = {
	{ .processes = 2, .steps = 60 },
	{ .processes = 3, .steps = 200, .resets = true },
	{ .processes = 5, .steps = 400, .threads = true, .forks = true, .resets = true },
	{ .processes = 16, .steps = 1500, .threads = true, .forks = true },
};
#define N_SHAPES (sizeof(shapes) / sizeof(*shapes))

static inline struct graph *build(const struct trace *trace, enum graph_order order)
{
	struct graph *g = NULL;
	struct error e = { "" };

	ck_assert_msg(!graph_build(trace, order, &g, &e), "%s", e.text);
	return g;
}

static inline struct picture *picture(const struct graph *g, const struct render_options *options, size_t max)
{
	struct picture *p = NULL;
	struct error e = { "" };

	ck_assert_msg(!picture_build(g, options, max, &p, &e), "%s", e.text);
	return p;
}

/* Where processes have one order, how threads begin and end is left out. */
static inline void check_threads(const struct picture *p)
{
	for (size_t i = 0; i < p->n_items; i++) {
		const struct event *event = p->items[i].vertex == NO_VERTEX ? NULL : item_event(p, &p->items[i]);

		if (event && (event->kind == EVENT_SPAWN || event->kind == EVENT_EXIT))
			ck_assert(p->g->order == GRAPH_ORDER_THREAD || !(event->flags & EVENT_F_THREAD));
	}
}

static inline void check_picture(const struct graph *g, const struct render_options *options, size_t max)
{
	struct picture *p = picture(g, options, max);
	struct scene scene;

	check_threads(p);
	ck_assert_uint_le(p->n_nodes, max);
	for (size_t i = 0; i < p->n_links; i++)
		ck_assert_uint_lt(p->nodes[p->links[i].from].row + p->nodes[p->links[i].from].height,
				  UINT32_MAX);
	ck_assert_int_eq(scene_layout(p, &scene), 0);
	for (size_t i = 0; i < p->n_links; i++) /* also those that are not drawn */
		ck_assert_uint_lt(p->nodes[p->links[i].from].row, p->nodes[p->links[i].to].row);
	check_texts(&scene);
	check_arrows(&scene);
	scene_fini(&scene);
	picture_free(p);
}

/* A phase begins in the middle of the run. */
static inline void mark(struct trace *trace, const char *text)
{
	uint64_t now = trace->events[trace->n_events / 2].enter_ns;
	uint32_t index = trace->n_texts + 1;
	struct event *event;

	*trace_text_at(trace, index) = strdup(text);
	event = trace_event_add(trace);
	*event = (struct event){ .kind = EVENT_MARK, .enter_ns = now, .return_ns = now, .text = index };
}

/* All that a writer wrote. */
static inline char *written(const struct graph *g, enum render_format format)
{
	struct render_options options = { .title = "t" };
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	ck_assert_int_eq(render_graph(g, format, &options, out, NULL), 0);
	fclose(out);
	return text;
}

static inline char *render(const struct graph *g, enum render_format format, const struct render_options *options, size_t *ret_size)
{
	char *bytes = NULL;
	struct error e = { "" };
	FILE *out = open_memstream(&bytes, ret_size);

	ck_assert_msg(!render_graph(g, format, options, out, &e), "%s", e.text);
	fclose(out);
	return bytes;
}

#endif
