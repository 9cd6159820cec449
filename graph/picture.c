/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Makes and frees a picture; picture.h lists the steps. */
#include "graph/picture.h"

#include <errno.h>
#include <stdlib.h>

static int note_facts(struct picture *p)
{
	const struct trace *trace = p->g->trace;

	p->exit_status = malloc((trace->n_processes + 1) * sizeof(*p->exit_status));
	p->killed_by = calloc(trace->n_processes + 1, sizeof(*p->killed_by));
	if (!p->exit_status || !p->killed_by)
		return -ENOMEM;
	for (size_t i = 0; i <= trace->n_processes; i++)
		p->exit_status[i] = -1;
	p->start_ns = UINT64_MAX;
	for (size_t i = 0; i < trace->n_events; i++) {
		const struct event *event = &trace->events[i];

		if (event->enter_ns < p->start_ns && event->enter_ns)
			p->start_ns = event->enter_ns;
		if (event->kind == EVENT_EXIT && !(event->flags & EVENT_F_THREAD) &&
		    event->process <= trace->n_processes && event->value >= 0)
			p->exit_status[event->process] = event->value;
	}
	for (size_t i = 0; i < p->g->n_edges && p->g->n_faults; i++) {
		const struct graph_edge *edge = &p->g->edges[i];
		const struct graph_vertex *to = &p->g->vertices[edge->to];

		if (edge->rule == RULE_FAULT && trace->events[to->event].kind == EVENT_EXIT)
			p->killed_by[to->process] = (uint32_t)trace->events[p->g->vertices[edge->from].event].value;
	}
	return 0;
}

int picture_build(const struct graph *g, const struct render_options *options, size_t max_nodes,
		  struct picture **ret_picture, struct error *e)
{
	struct picture *p = calloc(1, sizeof(*p));
	int err = -ENOMEM;

	if (!p)
		goto out;
	p->g = g;
	p->options = options;
	p->overlay = options->overlay;
	if ((err = note_facts(p)) < 0 || (err = picture_lanes(p)) < 0 || (err = picture_extend(p)) < 0 ||
	    (err = picture_fold(p, max_nodes)) < 0 || (err = picture_reduce(p)) < 0)
		goto out;
	*ret_picture = p;
	return 0;
out:
	picture_free(p);
	return error_set(e, err, "no memory for a picture of %zu events", g->n_vertices);
}

void picture_free(struct picture *picture)
{
	if (!picture)
		return;
	free(picture->lanes);
	free(picture->lane_of);
	free(picture->items);
	free(picture->place);
	free(picture->nodes);
	free(picture->links);
	free(picture->exit_status);
	free(picture->killed_by);
	free(picture);
}
