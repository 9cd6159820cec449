/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The whole sheet: title, picture, notes, legend. Fails only without memory. */
#include "graph/layout.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FAULTS_SHOWN 6
#define TITLE_MAX 140 /* columns */
#define WIDTH_MIN 520.0
#define SIGN 30.0 /* width of a sign in the legend */

struct sheet {
	struct scene *scene;
	struct layout *l;
	double y; /* next free line */
	int err;
};

static void add(struct sheet *s, struct shape shape)
{
	if (!scene_add(s->scene, shape))
		s->err = -ENOMEM;
}

/* Adds a line of text at the left margin, cut when too long. Widens the sheet. */
static void write_line(struct sheet *s, const char *words, double size, enum ink ink, bool bold)
{
	char *text = text_clean(words, false);
	double width;

	if (!text) {
		s->err = -ENOMEM;
		return;
	}
	if (strlen(text) > TITLE_MAX) {
		size_t length = TITLE_MAX;

		while (length && ((unsigned char)text[length] & 0xc0) == 0x80)
			length--;
		text[length] = '\0';
	}
	width = text_width(text, size) + 2 * MARGIN;
	if (s->l->width < width)
		s->l->width = width;
	s->y += size + 2;
	add(s, (struct shape){ .kind = SHAPE_TEXT, .ink = ink, .size = size, .bold = bold, .x = MARGIN, .y = s->y,
			       .text = text });
	s->y += 5;
}

/* What was to go wrong, and whether it did. */
static void write_faults(struct sheet *s)
{
	const struct graph *g = s->l->p->g;
	char more[64];

	for (size_t i = 0; i < g->n_faults && i < FAULTS_SHOWN; i++) {
		char *line = tell_line(s->l->p, &g->faults[i]);

		if (!line)
			s->err = -ENOMEM;
		else
			write_line(s, line, FONT, g->faults[i].acts ? INK_FAULT : INK_MUTED, false);
		free(line);
	}
	if (g->n_faults > FAULTS_SHOWN) {
		snprintf(more, sizeof(more), "and %zu more faults (bop show)", g->n_faults - FAULTS_SHOWN);
		write_line(s, more, FONT, INK_MUTED, false);
	}
}

static void write_head(struct sheet *s)
{
	const struct render_options *options = s->l->p->options;

	s->y = MARGIN - 8;
	if (options->title)
		write_line(s, options->title, FONT_TITLE, options->failed ? INK_FAIL : INK_TEXT, true);
	if (options->subtitle)
		write_line(s, options->subtitle, FONT, INK_MUTED, false);
	if (options->incomplete)
		write_line(s, "INCOMPLETE: events were lost or the run did not end; what is not drawn may still have happened.",
			   FONT, INK_FAIL, true);
	write_faults(s);
	s->y += 14;
	s->l->top = s->y + 2.6 * LINE + 2 * ROW + FONT_HEAD;
}

static void write_notes(struct sheet *s)
{
	const struct picture *p = s->l->p;
	char text[256], a[BYTES_TEXT], b[BYTES_TEXT];
	size_t without = 0;

	if (p->folded) {
		snprintf(text, sizeof(text), "Folded: %s events are drawn as %s.", count_text(p->n_items, a),
			 count_text(p->n_nodes, b));
		write_line(s, text, FONT, INK_MUTED, false);
	}
	if (p->n_omitted) {
		snprintf(text, sizeof(text), "Not drawn: %s event%s after the outcome, when the processes were being stopped.",
			 count_text(p->n_omitted, a), p->n_omitted == 1 ? "" : "s");
		write_line(s, text, FONT, INK_MUTED, false);
	}
	for (size_t i = 1; i <= p->g->trace->n_processes; i++)
		without += p->lane_of[i] == NO_LANE && p->exit_status[i] >= 0;
	if (without) {
		snprintf(text, sizeof(text), "Without a lane: %s child process%s that used no connection.", count_text(without, a),
			 without == 1 ? "" : "es");
		write_line(s, text, FONT, INK_MUTED, false);
	}
}

enum sign {
	SIGN_BOTH, SIGN_ADDED, SIGN_REMOVED, SIGN_MOVED, SIGN_CHANGED, /* of two runs */
	SIGN_REQUEST, SIGN_REPLY, SIGN_INFERRED, SIGN_CONNECT, SIGN_CLOSE, SIGN_UNREAD, SIGN_FAULT, SIGN_HIT,
	SIGN_TAKEN, SIGN_PAUSE, SIGN_REACH, SIGN_FAIL, SIGN_BLOCK, SIGN_LOST, SIGNS,
};

static const struct {
	const char *text;
	struct shape shape;
} signs[SIGNS] = {
	[SIGN_BOTH] = { "in both runs", { .kind = SHAPE_ARROW, .ink = INK_MUTED, .width = 1.3 } },
	[SIGN_ADDED] = { "", { .kind = SHAPE_ARROW, .ink = INK_ADDED, .width = 2 } },
	[SIGN_REMOVED] = { "", { .kind = SHAPE_ARROW, .ink = INK_REMOVED, .width = 1.3, .dotted = true } },
	[SIGN_MOVED] = { "in another order", { .kind = SHAPE_ARROW, .ink = INK_MOVED, .width = 2 } },
	[SIGN_CHANGED] = { "came to something else", { .kind = SHAPE_DOT, .ink = INK_MOVED, .size = 3.6 } },
	[SIGN_REQUEST] = { "message from the connector", { .kind = SHAPE_ARROW, .ink = INK_REQUEST, .width = 1.3 } },
	[SIGN_REPLY] = { "message from the acceptor", { .kind = SHAPE_ARROW, .ink = INK_REPLY, .width = 1.3 } },
	[SIGN_INFERRED] = { "inferred, not proved", { .kind = SHAPE_ARROW, .ink = INK_REQUEST, .width = 1.3, .dashed = true } },
	[SIGN_CONNECT] = { "connect", { .kind = SHAPE_ARROW, .ink = INK_QUIET, .width = 1.3, .dashed = true } },
	[SIGN_CLOSE] = { "close, end of file", { .kind = SHAPE_ARROW, .ink = INK_FAINT, .width = 1 } },
	[SIGN_UNREAD] = { "nobody read it", { .kind = SHAPE_LINE, .ink = INK_MUTED, .width = 1.3, .dashed = true } },
	[SIGN_FAULT] = { "a fault fired", { .kind = SHAPE_BOLT, .ink = INK_FAULT, .size = 8 } },
	[SIGN_HIT] = { "what a fault hit", { .kind = SHAPE_ARROW, .ink = INK_FAULT, .width = 1, .dashed = true } },
	[SIGN_TAKEN] = { "lost to a fault", { .kind = SHAPE_LINE, .ink = INK_MUTED, .width = 1.3 } },
	[SIGN_PAUSE] = { "stopped by a fault", { .kind = SHAPE_LINE, .ink = INK_LANE, .width = 2 } },
	[SIGN_REACH] = { "its packets are under a fault", { .kind = SHAPE_BOX, .ink = INK_FAULT_PALE, .fill = INK_FAULT_PALE } },
	[SIGN_FAIL] = { "failed, reset", { .kind = SHAPE_CROSS, .ink = INK_FAIL } },
	[SIGN_BLOCK] = { "folded", { .kind = SHAPE_BOX, .ink = INK_BLOCK_EDGE, .fill = INK_BLOCK } },
	[SIGN_LOST] = { "events are missing", { .kind = SHAPE_HATCH, .ink = INK_FAIL } },
};

static const enum sign sign_of_side[OVERLAY_SIDE_COUNT] = {
	[OVERLAY_BOTH] = SIGN_BOTH, [OVERLAY_ADDED] = SIGN_ADDED, [OVERLAY_REMOVED] = SIGN_REMOVED,
	[OVERLAY_MOVED] = SIGN_MOVED, [OVERLAY_GHOST] = SIGN_MOVED, [OVERLAY_CHANGED] = SIGN_CHANGED,
};

/* Of two runs, colours tell them apart, and not directions. */
static void find_sides(const struct picture *p, bool *has)
{
	has[SIGN_REQUEST] = has[SIGN_REPLY] = false;
	for (size_t i = 0; i < p->n_links; i++)
		if (p->links[i].drawn)
			has[sign_of_side[p->links[i].side]] = true;
	for (uint32_t n = 0; n < p->n_nodes; n++)
		for (enum overlay_side side = OVERLAY_ADDED; side < OVERLAY_SIDE_COUNT; side++)
			has[sign_of_side[side]] |= p->nodes[n].sides[side] > 0;
}

/* Malloc'ed; NULL: no memory. */
static char *sign_text(const struct picture *p, enum sign sign)
{
	enum overlay_side side = OVERLAY_BOTH;
	char words[SIDE_WORDS], *text = NULL;

	if (sign > SIGN_BOTH && sign <= SIGN_CHANGED)
		while (sign_of_side[side] != sign)
			side++;
	if (side == OVERLAY_BOTH)
		return strdup(signs[sign].text);
	return asprintf(&text, "%s %s%s", overlay_side_sign(side), side_words(p, side, words), signs[sign].text) < 0 ? NULL : text;
}

/* Only signs that the picture has. */
static void find_signs(const struct layout *l, const struct scene *scene, bool *has)
{
	const struct picture *p = l->p;

	for (size_t i = 0; i < scene->n_shapes; i++)
		has[SIGN_REACH] |= scene->shapes[i].kind == SHAPE_BOX && scene->shapes[i].fill == INK_FAULT_PALE;
	for (size_t i = 0; i < p->n_links; i++) {
		const struct link *link = &p->links[i];

		if (!link->drawn)
			continue;
		if (graph_rule_carries(link->rule) && link->message != NO_MESSAGE)
			has[p->g->messages[link->message].direction ? SIGN_REPLY : SIGN_REQUEST] = true;
		has[SIGN_INFERRED] |= link->inferred && link->rule != RULE_FAULT;
		has[SIGN_CONNECT] |= link->rule == RULE_CONNECT;
		has[SIGN_CLOSE] |= link->rule == RULE_CLOSE;
		has[SIGN_HIT] |= link->rule == RULE_FAULT;
	}
	for (uint32_t n = 0; n < p->n_nodes; n++) {
		const struct event *event = node_event(p, n);

		has[SIGN_BLOCK] |= p->nodes[n].block;
		has[SIGN_UNREAD] |= l->places[n].unread && l->places[n].lost_to == NO_LANE;
		has[SIGN_TAKEN] |= l->places[n].unread && l->places[n].lost_to != NO_LANE;
		has[SIGN_FAULT] |= event && event->kind == EVENT_FIRED && !p->nodes[n].block;
		has[SIGN_PAUSE] |= !p->nodes[n].block && tell_paused(p, &p->items[p->nodes[n].item]);
		if (!p->nodes[n].block && l->places[n].failure)
			has[!event || event->kind == EVENT_LOST ? SIGN_LOST : SIGN_FAIL] = true;
	}
	if (p->overlay)
		find_sides(p, has);
}

/* Takes text. */
static void write_sign(struct sheet *s, enum sign sign, double x, char *text)
{
	struct shape shape = signs[sign].shape;
	double y = s->y;

	shape.x = x;
	shape.x2 = x + SIGN - 8;
	shape.y = y - 6;
	shape.y2 = y - 2;
	if (shape.kind == SHAPE_CROSS || sign == SIGN_UNREAD || sign == SIGN_TAKEN) {
		struct shape cross = { .kind = SHAPE_CROSS, .ink = INK_FAIL, .size = 3.5, .y = y - 3 };

		shape.x2 -= cross.size; /* as far as an arrow's tip */
		cross.x = shape.kind == SHAPE_CROSS ? x + SIGN / 2 - 4 : shape.x2;
		add(s, cross);
	}
	if (shape.kind == SHAPE_BOX || shape.kind == SHAPE_HATCH) {
		shape.y = y - 10;
		shape.y2 = y + 2;
	}
	if (shape.kind == SHAPE_BOLT || shape.kind == SHAPE_DOT) {
		shape.x = x + SIGN / 2 - 4;
		shape.y = y - 4;
	}
	for (unsigned i = 0; i < 3 && sign == SIGN_PAUSE; i++)
		add(s, pause_stroke(x + 5 + 6 * i, y - 4));
	if (shape.kind != SHAPE_CROSS && sign != SIGN_PAUSE)
		add(s, shape);
	if (!text)
		s->err = -ENOMEM;
	else
		add(s, (struct shape){ .kind = SHAPE_TEXT, .ink = INK_MUTED, .size = FONT, .x = x + SIGN, .y = y, .text = text });
}

static void write_legend(struct sheet *s)
{
	bool has[SIGNS] = { false };
	double x = MARGIN;

	find_signs(s->l, s->scene, has);
	s->y += FONT + 6;
	for (enum sign sign = 0; sign < SIGNS; sign++) {
		char *text = has[sign] ? sign_text(s->l->p, sign) : NULL;
		double width = SIGN + (text ? text_width(text, FONT) : 0) + 22;

		if (!has[sign])
			continue;
		if (x + width - 22 > s->l->width - MARGIN && x > MARGIN) {
			x = MARGIN;
			s->y += LINE + 4;
		}
		write_sign(s, sign, x, text);
		x += width;
	}
}

/* The picture stands in the middle of a sheet that its title made wider. */
static void centre(struct layout *l, double inner)
{
	double shift = (l->width - inner) / 2;

	for (size_t i = 0; i < l->p->n_lanes && shift > 0; i++)
		l->x[i] += shift;
}

int scene_layout(const struct picture *picture, struct scene *ret_scene)
{
	struct scene scene = { 0 };
	struct layout l = { 0 };
	struct sheet s = { .scene = &scene, .l = &l };
	double inner;
	int err = layout_place(picture, &l);

	if (err < 0)
		return err;
	if (l.width < WIDTH_MIN)
		l.width = WIDTH_MIN;
	inner = l.width;
	write_head(&s);
	centre(&l, inner);
	err = layout_paint(&l, &scene);
	s.y = row_y(&l, l.n_rows) + ROW + (l.n_rows > ROWS_HIGH ? 2 * LINE : 0) + 8;
	write_notes(&s);
	write_legend(&s);
	scene.sides = picture->overlay != NULL;
	scene.width = l.width;
	scene.height = s.y + MARGIN;
	if (picture->options->title)
		scene.title = text_clean(picture->options->title, false);
	layout_fini(&l);
	if (err < 0 || s.err < 0) {
		scene_fini(&scene);
		return err < 0 ? err : s.err;
	}
	*ret_scene = scene;
	return 0;
}
