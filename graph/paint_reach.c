/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Where faults that act for a while do so: behind the lanes of the boxes whose packets they concern, from where they fired to
 * where they ended, or to the end of the picture. Fails only without memory.
 */
#include <errno.h>
#include <string.h>

#include "graph/layout.h"
#include "proto/fault.h"

#define REACH 15.0 /* from the middle of the lane */

static bool is_named(char *const *boxes, const char *box)
{
	for (; boxes && *boxes; boxes++)
		if (!strcmp(*boxes, box))
			return true;
	return false;
}

/* Of all of a lane's processes: it is one box's. */
static bool is_reached(const struct picture *p, uint32_t lane, const struct fault *fault)
{
	const struct trace *trace = p->g->trace;
	bool any = false;

	for (uint32_t i = 1; i <= trace->n_processes; i++) {
		const char *box = build_box_name(trace, trace->processes[i].box);

		if (p->lane_of[i] != lane)
			continue;
		if (!is_named(fault->from, box) && !is_named(fault->to, box))
			return false;
		any = true;
	}
	return any;
}

/* Below the line of a mark, at the mark of a process; NULL_Y: it is not drawn, or in a block. */
#define NULL_Y -1.0
static double vertex_y(const struct layout *l, uint32_t vertex)
{
	uint32_t place = vertex == NO_VERTEX ? NO_NODE : l->p->place[vertex];
	const struct node *node = place == NO_NODE ? NULL : &l->p->nodes[l->p->items[place].node];

	if (!node || node->block)
		return NULL_Y;
	return row_y(l, node->row) + (node->barrier ? 14 : 0);
}

static int reach(const struct layout *l, struct scene *scene, const struct graph_fault *fault)
{
	double from = vertex_y(l, fault->fired), to = vertex_y(l, fault->ended);
	struct fault line;
	struct error e;
	int column, err;

	if (!fault->acts || from == NULL_Y)
		return 0;
	if (to == NULL_Y)
		to = row_y(l, l->n_rows) + ROW;
	err = fault_parse(fault->text, strlen(fault->text), &line, &column, &e);
	if (err < 0)
		return err == -ENOMEM ? err : 0;
	for (uint32_t k = 0; k < l->p->n_lanes && line.from && line.kind != FAULT_CRASH_BOX && !err && to > from; k++)
		if (is_reached(l->p, k, &line) &&
		    !scene_add(scene, (struct shape){ .kind = SHAPE_BOX, .ink = INK_FAULT_PALE, .fill = INK_FAULT_PALE,
						      .x = l->x[k] - REACH, .x2 = l->x[k] + REACH, .y = from, .y2 = to }))
			err = -ENOMEM;
	fault_fini(&line);
	return err;
}

int layout_paint_reach(const struct layout *l, struct scene *scene)
{
	int err = 0;

	for (size_t i = 0; i < l->p->g->n_faults && !err; i++)
		if (!l->p->overlay || l->p->overlay->faults[i].side != OVERLAY_REMOVED)
			err = reach(l, scene, &l->p->g->faults[i]);
	return err;
}
