/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Shapes of a picture whose parts have their places: lanes, blocks, arrows, marks, words. Fails only without memory. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graph/layout.h"

#define MARK 3.6 /* radius */
#define GHOST 2.4
#define BOLT 9.0
#define CRASH 5.5
#define UNREAD_LENGTH 64.0
#define LOST_PART 0.6 /* of the way to the next lane that a lost message is drawn to go */
#define LOST_DROP 5.0
#define PAUSE_STEP 6.0
#define UNREAD_DROP 4.0

struct brush {
	const struct layout *l;
	const struct picture *p;
	struct scene *scene;
	int err;
};

static void add(struct brush *b, struct shape shape)
{
	if (!scene_add(b->scene, shape))
		b->err = -ENOMEM;
}

/* A copy for the scene to take; an error is kept for the end. */
static char *copy(struct brush *b, const char *text)
{
	char *new = text ? strdup(text) : NULL;

	if (text && !new)
		b->err = -ENOMEM;
	return new;
}

/* Takes tip. */
static char *clean_tip(struct brush *b, char *tip)
{
	char *clean = tip ? text_clean(tip, true) : NULL;

	if (!clean)
		b->err = -ENOMEM;
	free(tip);
	return clean;
}

static enum ink node_ink(const struct brush *b, uint32_t n)
{
	const struct graph *g = b->p->g;
	const struct place *place = &b->l->places[n];
	const struct event *event = node_event(b->p, n);
	const struct graph_vertex *v;

	enum ink ink;

	if (event && event_is_fault(event->kind) && !b->p->nodes[n].block)
		return INK_FAULT;
	if (place->failure)
		return INK_FAIL;
	if (!event)
		return INK_FAIL;
	if (place->teardown)
		return INK_FAINT;
	v = &g->vertices[b->p->items[b->p->nodes[n].item].vertex];
	if (v->n_messages)
		ink = g->messages[g->vertex_messages[v->first_message]].direction ? INK_REPLY : INK_REQUEST;
	else
		ink = event->kind == EVENT_CONNECT || event->kind == EVENT_ACCEPT ? INK_QUIET : INK_MUTED;
	return side_ink(b->p, b->p->nodes[n].side, ink);
}

/* NULL: of what is in both. */
static const char *side_class(enum overlay_side side)
{
	return side == OVERLAY_BOTH || side == OVERLAY_SIDE_COUNT ? NULL : overlay_side_name(side);
}

static double block_top(const struct brush *b, const struct node *node)
{
	return row_y(b->l, node->row) - 4;
}

static double block_bottom(const struct brush *b, const struct node *node)
{
	return row_y(b->l, node->row + node->height) - 22;
}

static void paint_life(struct brush *b, size_t lane, double from, double to, bool before)
{
	double x = b->l->x[lane];

	if (to > from)
		add(b, (struct shape){ .kind = SHAPE_LINE, .ink = INK_LANE, .x = x, .y = from, .x2 = x, .y2 = to,
				       .width = before ? 1 : 2, .dashed = before,
				       .dotted = lane_side(b->p, &b->p->lanes[lane]) == OVERLAY_REMOVED });
}

/* What only the other run has, behind an end that only this one has. */
static void paint_afterlife(struct brush *b, uint32_t k, double from)
{
	double to = from, x = b->l->x[k];

	for (size_t i = 0; i < b->p->n_items; i++)
		if (b->p->items[i].lane == k && item_side(b->p, &b->p->items[i]) == OVERLAY_REMOVED)
			to = row_y(b->l, b->p->nodes[b->p->items[i].node].row);
	if (to > from)
		add(b, (struct shape){ .kind = SHAPE_LINE, .ink = INK_REMOVED, .x = x, .y = from, .x2 = x, .y2 = to, .width = 1,
				       .dotted = true });
}

/* From the starts of processes to their exits, where they were seen and the lane's processes take turns. */
static void paint_lane(struct brush *b, uint32_t k)
{
	const struct layout *l = b->l;
	double bottom = row_y(l, l->n_rows) + ROW, top = l->top - 2 * ROW, from = top, ended = -1;
	bool turns = b->p->lanes[k].process || b->p->lanes[k].in_turn;

	for (size_t i = 0; i < b->p->n_items && turns; i++) {
		const struct item *item = &b->p->items[i];
		const struct node *node = &b->p->nodes[item->node];
		const struct event *event;

		if (item->lane != k || item->vertex == NO_VERTEX)
			continue;
		event = item_event(b->p, item);
		if (event->kind == EVENT_START) {
			/* it begins below where the one before it has ended, or the picture */
			from = row_y(l, node->row);
			if (ended >= 0 || from > l->top + 1)
				paint_life(b, k, ended >= 0 ? ended : top, from, true);
			ended = -1;
		}
		if (event->kind == EVENT_EXIT && !(event->flags & EVENT_F_THREAD)) {
			ended = node->block ? block_bottom(b, node) : row_y(l, node->row);
			paint_life(b, k, from, ended, false);
			from = ended;
		}
	}
	if (ended < 0)
		paint_life(b, k, from, bottom, false);
	else
		paint_afterlife(b, k, ended);
}

static void paint_barrier(struct brush *b, uint32_t n)
{
	const struct layout *l = b->l;
	const struct node *node = &b->p->nodes[n];
	const struct place *place = &l->places[n];
	const struct event *event = node_event(b->p, n);
	bool fault = event && event_is_fault(event->kind), fired = event && event->kind == EVENT_FIRED;
	const char *class = side_class(node->side);
	double y = row_y(l, node->row) + 14, indent = place->failure ? LABEL_PAD : fired ? 2 * BOLT + 2 : 0;

	if (place->failure)
		add(b, (struct shape){ .kind = SHAPE_HATCH, .ink = INK_FAIL, .x = MARGIN / 2, .x2 = l->width - MARGIN / 2,
				       .y = y - 15, .y2 = y + 8, .tip = clean_tip(b, tip_node(b->p, n)), .class = class });
	else
		add(b, (struct shape){ .kind = SHAPE_LINE, .ink = fault ? INK_FAULT : INK_FAINT, .x = MARGIN / 2,
				       .x2 = l->width - MARGIN / 2, .y = y, .y2 = y, .width = 1, .dashed = true,
				       .tip = clean_tip(b, tip_node(b->p, n)), .class = class });
	if (fired)
		add(b, (struct shape){ .kind = SHAPE_BOLT, .ink = INK_FAULT, .x = MARGIN / 2 + BOLT, .y = y - 8,
				       .size = BOLT });
	if (place->failure)
		add(b, (struct shape){ .kind = SHAPE_BOX, .ink = INK_FAIL, .fill = INK_PAPER, .x = MARGIN / 2,
				       .x2 = MARGIN / 2 + place->width + 2 * LABEL_PAD, .y = y - 15, .y2 = y + 8 });
	add(b, (struct shape){ .kind = SHAPE_TEXT, .size = FONT, .x = MARGIN / 2 + indent,
			       .y = y - (place->failure ? 0 : 5),
			       .ink = place->failure ? INK_FAIL : fault ? INK_FAULT : INK_MUTED,
			       .bold = true, .halo = true, .text = copy(b, place->caption) });
}

static void paint_block(struct brush *b, uint32_t n)
{
	const struct layout *l = b->l;
	const struct node *node = &b->p->nodes[n];
	const struct place *place = &l->places[n];
	double top = block_top(b, node), bottom = block_bottom(b, node), x, y;
	double half = node->lane_first == node->lane_last ? place->width / 2 + LABEL_PAD : OVERHANG;
	const char *line = place->caption;

	add(b, (struct shape){ .kind = SHAPE_BOX, .ink = side_ink(b->p, node->side, INK_BLOCK_EDGE), .fill = INK_BLOCK, .y = top,
			       .y2 = bottom, .x = l->x[node->lane_first] - half, .x2 = l->x[node->lane_last] + half,
			       .tip = clean_tip(b, tip_node(b->p, n)), .class = side_class(node->side) });
	x = (l->x[node->lane_first] + l->x[node->lane_last]) / 2;
	y = (top + bottom) / 2 - (place->lines - 1) * LINE / 2 + 4;
	for (unsigned i = 0; i < place->lines; i++, y += LINE) {
		size_t length = strcspn(line, "\n");
		char *text = strndup(line, length);
		bool bad = place->failure && i == place->lines - 1;

		if (!text)
			b->err = -ENOMEM;
		else
			add(b, (struct shape){ .kind = SHAPE_TEXT, .ink = bad ? INK_FAIL : side_ink(b->p, node->side, INK_QUIET), .size = FONT, .x = x, .y = y,
					       .anchor = ANCHOR_MIDDLE, .bold = i == 0, .text = text });
		line += length + (line[length] != '\0');
	}
}

static void link_style(const struct brush *b, const struct link *link, struct shape *arrow)
{
	const struct graph *g = b->p->g;
	const struct place *to = &b->l->places[link->to];

	arrow->width = 1.3;
	switch (link->rule) {
	case RULE_MESSAGE:
	case RULE_DATAGRAM:
	case RULE_LOCAL:
	case RULE_PIPE:
		arrow->ink = INK_REQUEST;
		arrow->dashed = link->inferred;
		if (link->message != NO_MESSAGE && g->messages[link->message].direction)
			arrow->ink = INK_REPLY;
		if (link->message == NO_MESSAGE)
			arrow->ink = INK_BLOCK_EDGE;
		break;
	case RULE_CONNECT:
		arrow->ink = INK_QUIET;
		arrow->dashed = true;
		break;
	case RULE_SPAWN:
		arrow->ink = INK_QUIET;
		break;
	case RULE_CLOSE:
		arrow->ink = to->failure && !b->p->nodes[link->to].block ? INK_FAIL : INK_FAINT;
		arrow->width = 1;
		break;
	case RULE_FAULT:
		arrow->ink = INK_FAULT;
		arrow->dashed = true;
		arrow->width = 1;
		break;
	case RULE_THREAD:
	case RULE_PROCESS:
	case RULE_COUNT:
		break;
	}
	if (b->l->places[link->from].teardown || to->teardown)
		arrow->ink = INK_FAINT;
	arrow->ink = side_ink(b->p, link->side, arrow->ink);
	arrow->dotted = link->side == OVERLAY_REMOVED;
	arrow->width += link->side == OVERLAY_ADDED || link->side == OVERLAY_MOVED ? 0.7 : 0;
	arrow->class = side_class(link->side);
}

static void paint_link(struct brush *b, const struct link *link)
{
	const struct layout *l = b->l;
	const struct node *from = &b->p->nodes[link->from], *to = &b->p->nodes[link->to];
	struct shape arrow = { .kind = SHAPE_ARROW };
	double dx, dy, part;

	if (!link->drawn || link->from_lane >= b->p->n_lanes || link->to_lane >= b->p->n_lanes)
		return;
	arrow.x = l->x[link->from_lane];
	arrow.x2 = l->x[link->to_lane];
	arrow.y = from->block ? block_bottom(b, from) : row_y(l, from->row);
	arrow.y2 = to->block ? block_top(b, to) : row_y(l, to->row);
	link_style(b, link, &arrow);
	dx = arrow.x2 - arrow.x;
	dy = arrow.y2 - arrow.y;
	if (link->from_lane == link->to_lane) {
		arrow.kind = SHAPE_LOOP;
		arrow.size = 40;
		arrow.x2 += to->block ? 0 : MARK + 1;
	} else if (!to->block) { /* ends at the mark's edge */
		part = (MARK + 1) / (dx < 0 ? -dx : dx);
		arrow.x2 -= dx * part;
		arrow.y2 -= dy * part;
	}
	arrow.tip = clean_tip(b, tip_link(b->p, link));
	add(b, arrow);
}

static void paint_unread(struct brush *b, uint32_t n)
{
	const struct place *place = &b->l->places[n];
	const struct node *node = &b->p->nodes[n];
	bool lost = place->lost_to < b->p->n_lanes;
	double x = b->l->x[node->lane_first], x2 = x + place->unread * UNREAD_LENGTH;
	double y = row_y(b->l, node->row), y2 = y + (lost ? LOST_DROP : UNREAD_DROP);

	if (!place->unread)
		return;
	if (lost) /* on its way to the next lane, so that it does not seem to end in one */
		x2 = x + LOST_PART * (b->l->x[node->lane_first + (place->lost_to < node->lane_first ? -1 : 1)] - x);
	add(b, (struct shape){ .kind = SHAPE_LINE, .ink = node_ink(b, n), .x = x, .y = y, .x2 = x2, .y2 = y2,
			       .width = 1.3, .dashed = !lost });
	add(b, (struct shape){ .kind = SHAPE_CROSS, .ink = INK_FAIL, .x = x2, .y = y2, .size = lost ? 4.5 : 3.5 });
}

static struct shape node_mark(const struct brush *b, uint32_t n)
{
	const struct event *event = node_event(b->p, n);
	const struct node *node = &b->p->nodes[n];
	double x = b->l->x[node->lane_first], y = row_y(b->l, node->row);
	struct shape mark = { .kind = SHAPE_DOT, .ink = node_ink(b, n), .x = x, .y = y, .size = MARK };

	if (node->side == OVERLAY_GHOST) {
		mark.kind = SHAPE_RING;
		mark.size = GHOST;
		return mark;
	}
	if (!event || event->kind == EVENT_LOST) {
		mark.kind = SHAPE_HATCH;
		mark.x = x - 7;
		mark.x2 = x + 7;
		mark.y = y - 9;
		mark.y2 = y + 9;
		return mark;
	}
	switch ((enum event_kind)event->kind) {
	case EVENT_CONNECT:
		mark.kind = b->l->places[n].failure ? SHAPE_CROSS : SHAPE_DOT;
		break;
	case EVENT_RESET:
		mark.kind = SHAPE_CROSS;
		break;
	case EVENT_ACCEPT:
	case EVENT_RECV:
	case EVENT_WAIT:
		mark.kind = SHAPE_RING;
		break;
	case EVENT_EXIT:
		if (event->flags & EVENT_F_THREAD)
			break;
		if (b->p->killed_by[b->p->g->vertices[b->p->items[node->item].vertex].process]) {
			mark.kind = SHAPE_CROSS;
			mark.size = CRASH;
			break;
		}
		mark.kind = SHAPE_LINE;
		mark.x = x - 6;
		mark.x2 = x + 6;
		mark.y2 = y;
		mark.width = 3;
		break;
	case EVENT_LISTEN:
	case EVENT_CLOSE:
	case EVENT_EXEC:
		mark.kind = SHAPE_SQUARE;
		mark.size = 3;
		break;
	case EVENT_FIRED:
		mark.kind = SHAPE_BOLT;
		mark.size = BOLT;
		break;
	case EVENT_LIFTED:
	case EVENT_EXPIRED:
		mark.kind = SHAPE_SQUARE;
		mark.size = 3;
		break;
	case EVENT_NONE:
	case EVENT_START:
	case EVENT_SPAWN:
	case EVENT_SEND:
	case EVENT_LOST:
	case EVENT_MARK:
	case EVENT_ARMED:
	case EVENT_KIND_COUNT:
		break;
	}
	return mark;
}

/* Beside its mark; what explains a difference has the ink of what it is. */
static void paint_caption(struct brush *b, uint32_t n, const struct shape *mark)
{
	const struct place *place = &b->l->places[n];
	double x = b->l->x[b->p->nodes[n].lane_first], y = row_y(b->l, b->p->nodes[n].row);
	struct shape words = { .kind = SHAPE_TEXT, .ink = mark->ink == INK_FAINT ? INK_MUTED : mark->ink, .size = FONT,
			       .x = place->left ? x - LABEL_GAP : x + LABEL_GAP, .y = is_above(place) ? y - 5 : y + 4,
			       .anchor = place->left ? ANCHOR_END : ANCHOR_START, .halo = true, .class = mark->class,
			       .bold = mark->class != NULL };
	struct shape cause = words;
	char *text = copy(b, place->caption), *explained;
	size_t length = text ? side_explained(b->p, n, text, &cause.ink) : 0;

	if (text && text[length]) {
		explained = copy(b, text + length + 1);
		text[length] = '\0';
		if (explained && place->left)
			words.x -= text_width(explained, FONT) + text_width(" ", FONT);
		else if (explained)
			cause.x += text_width(text, FONT) + text_width(" ", FONT);
		cause.text = explained;
		cause.tip = copy(b, mark->tip);
		if (explained)
			add(b, cause);
		else
			free(cause.tip);
	}
	words.text = text;
	words.tip = copy(b, mark->tip);
	if (text)
		add(b, words);
	else
		free(words.tip);
}

static void paint_node(struct brush *b, uint32_t n)
{
	struct shape mark = node_mark(b, n);

	mark.tip = clean_tip(b, tip_node(b->p, n));
	mark.class = side_class(b->p->nodes[n].side);
	if (*b->l->places[n].caption)
		paint_caption(b, n, &mark);
	add(b, mark);
}

/* Only the other run did it, or did it there. */
static bool is_of_other(const struct picture *p, const struct item *item)
{
	return item_side(p, item) == OVERLAY_REMOVED || item_side(p, item) == OVERLAY_GHOST;
}

/* Is it the call in which the fault found its process? */
static bool is_call_of(const struct graph_fault *fault, const struct item *item)
{
	return item->vertex != NO_VERTEX && item->vertex == fault->call;
}

/* From where it was stopped to what it did next. */
static void paint_pause(struct brush *b, size_t item)
{
	const struct picture *p = b->p;
	uint32_t lane = p->items[item].lane;
	const struct graph_fault *fault = graph_fault_find(p->g, (uint32_t)item_event(p, &p->items[item])->value);
	double from = row_y(b->l, p->nodes[p->items[item].node].row), to = row_y(b->l, b->l->n_rows) + ROW;
	size_t i = item + 1;

	if (lane == ALL_LANES)
		return;
	for (; i < p->n_items && (p->items[i].lane != lane || p->items[i].vertex == NO_VERTEX || is_of_other(p, &p->items[i]) ||
				  is_call_of(fault, &p->items[i])); i++)
		if (p->items[i].lane == lane && is_call_of(fault, &p->items[i]))
			from = row_y(b->l, p->nodes[p->items[i].node].row);
	if (i < p->n_items)
		to = row_y(b->l, p->nodes[p->items[i].node].row);
	for (double y = from + PAUSE_STEP + 3; y < to - PAUSE_STEP; y += PAUSE_STEP)
		add(b, pause_stroke(b->l->x[lane], y));
}

static void paint_heads(struct brush *b, double y, bool all)
{
	static const double sizes[] = { FONT_HEAD, FONT, FONT };
	static const enum ink inks[] = { INK_TEXT, INK_MUTED, INK_MUTED };

	for (size_t k = 0; k < b->p->n_lanes; k++)
		for (size_t i = 0; i < (all ? 3 : 1); i++)
			if (*b->l->heads[3 * k + i])
				add(b, (struct shape){ .kind = SHAPE_TEXT, .ink = inks[i], .size = sizes[i], .x = b->l->x[k],
						       .y = y + i * LINE, .anchor = ANCHOR_MIDDLE, .bold = i == 0,
						       .text = copy(b, b->l->heads[3 * k + i]) });
}

int layout_paint(const struct layout *layout, struct scene *scene)
{
	struct brush b = { .l = layout, .p = layout->p, .scene = scene };
	size_t n = b.p->n_nodes;

	b.err = layout_paint_reach(layout, scene);
	paint_heads(&b, layout->top - 2 * ROW - 2.6 * LINE, true);
	for (size_t k = 0; k < layout->p->n_lanes; k++)
		paint_lane(&b, k);
	for (uint32_t i = 0; i < n; i++)
		if (b.p->nodes[i].barrier && !b.p->nodes[i].block)
			paint_barrier(&b, i);
	for (uint32_t i = 0; i < n; i++)
		if (b.p->nodes[i].block)
			paint_block(&b, i);
	for (size_t i = 0; i < b.p->n_links; i++)
		paint_link(&b, &b.p->links[i]);
	for (uint32_t i = 0; i < n; i++)
		paint_unread(&b, i);
	for (size_t i = 0; i < b.p->n_items; i++)
		if (tell_paused(b.p, &b.p->items[i]) && !b.p->nodes[b.p->items[i].node].block)
			paint_pause(&b, i);
	for (uint32_t i = 0; i < n; i++)
		if (!b.p->nodes[i].block && !b.p->nodes[i].barrier)
			paint_node(&b, i);
	if (layout->n_rows > ROWS_HIGH)
		paint_heads(&b, row_y(layout, layout->n_rows) + ROW + 18, false);
	return b.err;
}
