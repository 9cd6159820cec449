/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Where everything of a picture stands: place.c finds the rows, columns.c the columns, paint.c and paint_reach.c make
 * shapes of it. Private to graph/.
 *
 * No two labels meet, by construction. A label stands in the gap on one side of its lane: above its node's row if an
 * arrow leaves there, else beside the node. It takes two slots of the gap: the spaces above its row and below. No other
 * label has those, whichever lane it belongs to, and the gap is as wide as the widest label in it.
 */
#ifndef GRAPH_LAYOUT_H
#define GRAPH_LAYOUT_H

#include "graph/picture.h"
#include "graph/scene.h"

#define FONT 11.0
#define FONT_HEAD 13.0
#define FONT_TITLE 16.0
#define ROW 13.0      /* height; labels of one lane are two rows apart, and an arrow goes down by one at least */
#define MARGIN 28.0   /* around the picture */
#define LABEL_GAP 9.0 /* between a lane and its labels */
#define LABEL_PAD 8.0 /* behind a label */
#define LINE 15.0     /* between lines of text */
#define ROWS_HIGH 80  /* from here on the lanes' names stand at the bottom too */
#define OVERHANG 30.0 /* of a block, beyond its outermost lanes */

struct place {
	char *caption;
	double width; /* of the caption: of its widest line */
	unsigned lines;
	bool left;	/* the caption stands to the left of the lane */
	bool failure;
	bool teardown;
	bool in, out;	/* an arrow arrives, leaves */
	bool from[2];	/* an arrow arrives from the right; from the left */
	uint32_t lost_to; /* the lane that a message would have come to, had no fault lost it; NO_LANE none */
	int unread;	/* a message that nobody received: -1 goes left, 1 right, 0 it was received */
};

struct layout {
	const struct picture *p;
	struct place *places; /* by node */
	double *x;	      /* by lane */
	char **heads;	      /* by lane: three lines each */
	uint32_t n_rows;
	double top; /* y of row 0 */
	double width, height;
};

int layout_heads(struct layout *l);
int layout_columns(struct layout *l);
int layout_place(const struct picture *p, struct layout *ret_layout);
int layout_paint(const struct layout *layout, struct scene *scene);
/* What is behind all else: where faults act. 0 or -ENOMEM. */
int layout_paint_reach(const struct layout *layout, struct scene *scene);
void layout_fini(struct layout *layout);

/* The caption stands above its row, not beside the node. */
static inline bool is_above(const struct place *place)
{
	return place->out || place->unread;
}

/* One of many, across a lane or in the legend: the process was stopped. */
static inline struct shape pause_stroke(double x, double y)
{
	return (struct shape){ .kind = SHAPE_LINE, .ink = INK_FAULT, .x = x - 4, .y = y + 3, .x2 = x + 4, .y2 = y - 3,
			       .width = 1.4 };
}

static inline double row_y(const struct layout *layout, uint32_t row)
{
	return layout->top + row * ROW;
}

#endif
