/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Lays two runs over each other: the steps of overlay_inside.h in turn. Fails only without memory. */
#include "graph/overlay.h"

#include <errno.h>
#include <stdlib.h>

#include "graph/overlay_inside.h"

static const struct {
	const char *name, *sign;
} sides[OVERLAY_SIDE_COUNT] = {
#define X(NAME, name, sign, text) [OVERLAY_##NAME] = { #name, sign },
	OVERLAY_SIDES(X)
#undef X
};

const char *overlay_side_name(enum overlay_side side)
{
	return sides[side].name;
}

const char *overlay_side_sign(enum overlay_side side)
{
	return sides[side].sign;
}

static uint64_t begin_of(const struct graph *g)
{
	uint64_t begin = UINT64_MAX;

	for (size_t v = 0; v < g->n_vertices; v++) {
		uint64_t ns = g->trace->events[g->vertices[v].event].enter_ns;

		begin = ns && ns < begin ? ns : begin;
	}
	return begin == UINT64_MAX ? 0 : begin;
}

static void layer_fini(struct layer *layer)
{
	free(layer->process);
	free(layer->box);
	free(layer->connection);
	free(layer->fault);
	free(layer->message);
	free(layer->moments);
	free(layer->at);
	free(layer->send);
	free(layer->receive);
	free(layer->edges);
}

int overlay_new(const struct graph *const graphs[2], const struct diff *diff, struct overlay **ret_overlay)
{
	static int (*const steps[])(struct laying *l) = {
		overlay_tables, overlay_moments, overlay_line, overlay_vertices, overlay_graph, overlay_notes,
	};
	struct laying l = { .o = calloc(1, sizeof(*l.o)), .diff = diff };
	int err = l.o ? 0 : -ENOMEM;

	if (!err) {
		l.o->diff = diff;
		l.o->graph.trace = &l.o->trace;
		l.o->graph.order = GRAPH_ORDER_PROCESS;
	}
	for (unsigned side = 0; side < 2 && !err; side++) {
		l.o->graphs[side] = graphs[side];
		l.layers[side].g = graphs[side];
		l.layers[side].twins = &diff->twins[side];
		l.layers[side].begin_ns = begin_of(graphs[side]);
	}
	for (size_t i = 0; i < sizeof(steps) / sizeof(*steps) && !err; i++)
		err = steps[i](&l);
	layer_fini(&l.layers[0]);
	layer_fini(&l.layers[1]);
	free(l.placed);
	if (err)
		overlay_free(l.o);
	else
		*ret_overlay = l.o;
	return err;
}

/* Texts belong to the runs. */
void overlay_free(struct overlay *overlay)
{
	if (!overlay)
		return;
	free(overlay->trace.boxes);
	free(overlay->trace.processes);
	free(overlay->trace.ends);
	free(overlay->trace.texts);
	free(overlay->trace.events);
	free(overlay->trace.contents);
	free(overlay->graph.vertices);
	free(overlay->graph.edges);
	free(overlay->graph.connections);
	free(overlay->graph.messages);
	free(overlay->graph.holes);
	free(overlay->graph.vertex_messages);
	free(overlay->graph.faults);
	free(overlay->graph.contents);
	free(overlay->vertices);
	free(overlay->edges);
	free(overlay->holes);
	free(overlay->processes);
	free(overlay->faults);
	free(overlay->notes);
	free(overlay->line);
	free(overlay);
}
