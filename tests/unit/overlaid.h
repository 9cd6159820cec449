/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Two runs and the overlay of them, told in words or random; and what holds of every overlay. Gives up by Check's assertions. */
#ifndef TESTS_UNIT_OVERLAID_H
#define TESTS_UNIT_OVERLAID_H

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "graph/overlay.h"
#include "graph/picture.h"
#include "graph/render.h"
#include "tests/unit/random_run.h"
#include "tests/unit/scene_check.h"
#include "tests/unit/talk.h"

/* Two runs, and all that is made of them. */
struct two {
	struct talk talks[2];
	struct random_run runs[2];
	bool random;
	const struct graph *graphs[2];
	struct diff *diff;
	struct overlay *overlay;
};

static inline void lay(struct two *two)
{
	ck_assert_int_eq(diff_new(two->graphs, &two->diff), 0);
	ck_assert_int_eq(overlay_new(two->graphs, two->diff, &two->overlay), 0);
}

static inline void two_talks(struct two *two, const char *first, const char *before, const char *after)
{
	memset(two, 0, sizeof(*two));
	talk_init(&two->talks[0], first, before);
	talk_init(&two->talks[1], first, after);
	for (int i = 0; i < 2; i++)
		two->graphs[i] = talk_graph(&two->talks[i]);
	lay(two);
}

static inline void two_fini(struct two *two)
{
	overlay_free(two->overlay);
	diff_free(two->diff);
	for (int i = 0; i < 2; i++) {
		graph_free((struct graph *)two->graphs[i]);
		if (two->random)
			random_run_fini(&two->runs[i]);
		else
			talk_fini(&two->talks[i]);
	}
}

/* Is the vertex a ghost, or what was put in its place? */
static inline bool is_moved(const struct overlay *o, uint32_t v)
{
	return o->vertices[v].side == OVERLAY_GHOST || o->vertices[v].side == OVERLAY_MOVED;
}

/* Of a run: where each of its events is in the line of both; messages that share a receive have several places. */
static inline void check_threads(const struct two *two, unsigned side, const uint32_t *place)
{
	const struct overlay *o = two->overlay;
	const struct graph *g = two->graphs[side];
	uint32_t *first = malloc((g->n_vertices + 1) * sizeof(*first)), *last = malloc((g->n_vertices + 1) * sizeof(*last));
	uint32_t *reach = calloc(g->n_vertices + 1, sizeof(*reach));

	memset(first, 0xff, (g->n_vertices + 1) * sizeof(*first));
	for (uint32_t v = 0; v < o->graph.n_vertices; v++) {
		uint32_t own = o->vertices[v].vertex[side];

		/* run 0 has no say where things were moved to */
		if (own == DIFF_NONE || o->trace.processes[o->graph.vertices[v].process].name == NULL)
			continue;
		if (first[own] == UINT32_MAX || place[v] < first[own])
			first[own] = place[v];
		if (first[own] == place[v] || place[v] > last[own])
			last[own] = place[v];
	}
	/* vertices are numbered by process and order: causes of a thread come before their effects */
	for (uint32_t v = 0; v < g->n_vertices; v++) {
		if (first[v] != UINT32_MAX) {
			ck_assert_uint_ge(first[v] + 1, reach[v]);
			reach[v] = last[v] + 1 > reach[v] ? last[v] + 1 : reach[v];
		}
		for (size_t i = 0; i < g->n_edges; i++)
			if (g->edges[i].from == v && g->edges[i].rule == RULE_THREAD && reach[g->edges[i].to] < reach[v])
				reach[g->edges[i].to] = reach[v];
	}
	free(first);
	free(last);
	free(reach);
}

/* All stand in one line, causes first; the vertices of a process are numbered in it. */
static inline void check_line(const struct two *two, bool threads)
{
	const struct overlay *o = two->overlay;
	const struct graph *g = &o->graph;
	uint32_t *place = malloc((g->n_vertices + 1) * sizeof(*place));

	memset(place, 0xff, (g->n_vertices + 1) * sizeof(*place));
	for (uint32_t i = 0; i < g->n_vertices; i++) {
		ck_assert_uint_lt(o->line[i], g->n_vertices);
		ck_assert_uint_eq(place[o->line[i]], UINT32_MAX);
		place[o->line[i]] = i;
	}
	for (size_t i = 0; i < g->n_edges; i++) {
		ck_assert_uint_lt(place[g->edges[i].from], place[g->edges[i].to]);
		ck_assert_int_ne(o->vertices[g->edges[i].from].side, OVERLAY_GHOST);
		ck_assert_int_ne(o->vertices[g->edges[i].to].side, OVERLAY_GHOST);
	}
	for (uint32_t v = 1; v < g->n_vertices; v++)
		if (g->vertices[v].process == g->vertices[v - 1].process)
			ck_assert_uint_lt(place[v - 1], place[v]);
	for (unsigned side = 0; side < 2 && threads; side++)
		check_threads(two, side, place);
	free(place);
}

static inline size_t count_sent(const struct graph *g)
{
	size_t n = 0;

	for (size_t i = 0; i < g->n_messages; i++)
		n += !g->vertices[g->messages[i].send].teardown;
	return n;
}

/* A message of both is one, and every one is sent once; each is where the diff says that it is. */
static inline void check_messages(const struct two *two)
{
	const struct overlay *o = two->overlay;
	size_t sent[2] = { count_sent(two->graphs[0]), count_sent(two->graphs[1]) };
	uint32_t *sends = calloc(o->graph.n_messages + 1, sizeof(*sends)), *receives = calloc(o->graph.n_messages + 1, sizeof(*receives));

	ck_assert_uint_eq(o->graph.n_messages, sent[0] + sent[1] - two->diff->same_messages);
	for (uint32_t v = 0; v < o->graph.n_vertices; v++) {
		const struct graph_vertex *vertex = &o->graph.vertices[v];
		uint32_t message = vertex->n_messages ? o->graph.vertex_messages[vertex->first_message] : 0;
		bool send = o->trace.events[v].kind == EVENT_SEND, both;

		if (!vertex->n_messages)
			continue;
		ck_assert_uint_le(vertex->n_messages, 1);
		(send ? sends : receives)[message]++;
		both = send && o->vertices[v].message[0] != DIFF_NONE && o->vertices[v].message[1] != DIFF_NONE;
		if (both)
			ck_assert_uint_eq(two->diff->twins[0].message[o->vertices[v].message[0]], o->vertices[v].message[1]);
		if (send)
			ck_assert_uint_eq(o->graph.messages[message].send, v);
		if (send && o->vertices[v].side == OVERLAY_ADDED)
			ck_assert_uint_eq(two->diff->twins[1].message[o->vertices[v].message[1]], DIFF_NONE);
		if (send && o->vertices[v].side == OVERLAY_REMOVED)
			ck_assert_uint_eq(two->diff->twins[0].message[o->vertices[v].message[0]], DIFF_NONE);
	}
	for (size_t i = 0; i < o->graph.n_messages; i++) {
		ck_assert_uint_eq(sends[i], 1);
		ck_assert_uint_le(receives[i], 2);
	}
	free(sends);
	free(receives);
}

/* Each change is noted somewhere, and what differs has a reason. */
static inline void check_notes(const struct two *two)
{
	const struct overlay *o = two->overlay;
	bool *noted = calloc(two->diff->n_changes + 1, sizeof(*noted));

	for (size_t i = 0; i < o->n_notes; i++)
		noted[o->notes[i].change] = true;
	for (size_t i = 0; i < two->diff->n_changes; i++)
		ck_assert_msg(noted[i], "%s does not show", two->diff->changes[i].text);
	for (uint32_t v = 0; v < o->graph.n_vertices && !two->diff->n_changes; v++)
		ck_assert_msg(o->vertices[v].side == OVERLAY_BOTH, "nothing differs, and yet %s: %s",
			      overlay_side_name(o->vertices[v].side), event_kind_name(o->trace.events[v].kind));
	for (uint32_t v = 0; v < o->graph.n_vertices; v++)
		if (o->vertices[v].side != OVERLAY_BOTH && o->graph.vertices[v].n_messages && !is_moved(o, v))
			ck_assert_uint_gt(o->vertices[v].n_notes, 0);
	free(noted);
}

static inline void check_pictures(const struct two *two)
{
	static const size_t limits[] = { 100000, 2000, 300, 60, 9, 1 };

	for (size_t k = 0; k < sizeof(limits) / sizeof(*limits); k++) {
		struct render_options options = { .title = "two", .runs = { 1, 2 }, .overlay = two->overlay };
		struct picture *p = NULL;
		struct scene scene;

		ck_assert_int_eq(picture_build(&two->overlay->graph, &options, limits[k], &p, NULL), 0);
		ck_assert_uint_le(p->n_nodes, limits[k]);
		ck_assert_int_eq(scene_layout(p, &scene), 0);
		for (size_t i = 0; i < p->n_links; i++)
			ck_assert_uint_lt(p->nodes[p->links[i].from].row, p->nodes[p->links[i].to].row);
		check_texts(&scene);
		check_arrows(&scene);
		scene_fini(&scene);
		picture_free(p);
	}
}

#endif
