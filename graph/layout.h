/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Where everything of a picture stands. place.c computes it, paint.c makes shapes of it. Private to graph/.
 *
 * No two labels meet, by construction: in one lane a row has one node; a node's label stands in the gap on one side of
 * its lane, above its row; and a gap is as wide as the widest pair of labels that face each other in it.
 */
#ifndef GRAPH_LAYOUT_H
#define GRAPH_LAYOUT_H

#include "graph/picture.h"
#include "graph/scene.h"

#define FONT 11.0
#define FONT_HEAD 13.0
#define FONT_TITLE 16.0
#define ROW 24.0      /* height */
#define MARGIN 28.0   /* around the picture */
#define LABEL_GAP 9.0 /* between a lane and its labels */
#define LABEL_PAD 8.0 /* behind a label */
#define LINE 15.0     /* between lines of text */
#define OVERHANG 30.0 /* of a block, beyond its outermost lanes */

struct place {
	char *caption;
	double width; /* of the caption: of its widest line */
	unsigned lines;
	bool left;	/* the caption stands to the left of the lane */
	bool failure;
	bool teardown;
	bool in, out;	/* an arrow arrives, leaves */
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

int layout_place(const struct picture *p, struct layout *ret_layout);
int layout_paint(const struct layout *layout, struct scene *scene);
void layout_fini(struct layout *layout);

static inline double row_y(const struct layout *layout, uint32_t row)
{
	return layout->top + row * ROW;
}

#endif
