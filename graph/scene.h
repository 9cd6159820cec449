/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A picture as shapes with coordinates, in the order in which they are painted. layout.c makes it, svg.c and png.c write
 * it: both show the same. Units are pixels of a picture at full size. Private to graph/.
 */
#ifndef GRAPH_SCENE_H
#define GRAPH_SCENE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "lib/error.h"

#define SCENE_FONT "DejaVu Sans Mono"
#define SCENE_ADVANCE 0.6021 /* of that font: width of a character, in its size */

/* X(NAME, name, colour). Blue and teal, with one red for all that failed: told apart also without seeing red or green */
#define INKS(X)                                                                                    \
	X(PAPER, paper, 0xffffff)                                                                  \
	X(TEXT, text, 0x1b1f24)                                                                    \
	X(MUTED, muted, 0x6b7280)                                                                  \
	X(FAINT, faint, 0xb6bcc6)                                                                  \
	X(LANE, lane, 0xcdd3db)                                                                    \
	X(REQUEST, request, 0x1d4ed8)                                                              \
	X(REPLY, reply, 0x0b7a6b)                                                                  \
	X(QUIET, quiet, 0x4b5563)                                                                  \
	X(FAIL, fail, 0xc2261b)                                                                    \
	X(FAULT, fault, 0x86198f)                                                                  \
	X(FAIL_PALE, fail_pale, 0xfdecea)                                                          \
	X(BLOCK, block, 0xeef2f8)                                                                  \
	X(BLOCK_EDGE, block_edge, 0x9fb0c8)                                                        \
	X(FAULT_PALE, fault_pale, 0xf6e6f9) /* only a fill; from here on only scenes with `sides` have lines of them */ \
	X(ADDED, added, 0x0f7b3a)                                                                  \
	X(REMOVED, removed, 0xb45309)                                                              \
	X(MOVED, moved, 0x1d4ed8)

enum ink {
#define X(NAME, name, colour) INK_##NAME,
	INKS(X)
#undef X
	INK_COUNT,
};

enum shape_kind {
	SHAPE_LINE,   /* (x, y) to (x2, y2) */
	SHAPE_ARROW,  /* the same, with a head at (x2, y2) */
	SHAPE_LOOP,   /* an arrow from and to the same lane: bulges to the right by `size` */
	SHAPE_DOT,    /* filled, radius size */
	SHAPE_RING,   /* paper inside */
	SHAPE_SQUARE, /* filled, half a side is size */
	SHAPE_CROSS,  /* half a diagonal is size */
	SHAPE_BOLT,   /* filled, half its height is size */
	SHAPE_BOX,    /* corners (x, y), (x2, y2); fill and ink */
	SHAPE_HATCH,  /* the same, hatched */
	SHAPE_TEXT,   /* baseline; x by anchor */
	SHAPE_PATH,   /* through n_points points */
};

enum anchor { ANCHOR_START, ANCHOR_MIDDLE, ANCHOR_END };

struct shape {
	enum shape_kind kind;
	enum ink ink, fill;
	double x, y, x2, y2;
	double size;  /* text: height of the font */
	double width; /* of lines */
	bool dashed, bold;
	bool dotted; /* instead of dashed */
	bool halo; /* text: paper around the letters, where arrows may pass behind */
	enum anchor anchor;
	char *text; /* text: UTF-8, valid, printable */
	char *tip;  /* tooltip; may be NULL */
	const char *class; /* static: what SVG calls it besides; may be NULL. Only with a tip */
	double *points; /* PATH: x and y in turn */
	size_t n_points;
};

struct scene {
	double width, height;
	struct shape *shapes;
	size_t n_shapes, cap_shapes;
	char *title; /* for the document's own title; may be NULL */
	bool sides;  /* it is of two runs */
};

uint32_t ink_colour(enum ink ink); /* 0xrrggbb */
const char *ink_name(enum ink ink);

/* Width of text in columns of the font: wide characters of East Asian scripts count twice. */
size_t text_columns(const char *text);
double text_width(const char *text, double size);

/* A malloc'ed copy in which everything that is not printable UTF-8 is a question mark; newlines stay if wanted. */
char *text_clean(const char *text, bool newlines);

/* The box that a text covers: [x, x2] * [y, y2]. */
void shape_text_box(const struct shape *shape, double *ret_x, double *ret_y, double *ret_x2, double *ret_y2);

/* The outline of a SHAPE_BOLT: points, x and y in turn. */
#define BOLT_POINTS 6
void shape_bolt(const struct shape *shape, double ret_points[2 * BOLT_POINTS]);

/* The triangle of an arrow's head: three points. */
void shape_arrow_head(const struct shape *shape, double ret_points[6]);

/* Adds a shape; takes text, tip and points, also when it fails. NULL without memory. Valid until the next one. */
struct shape *scene_add(struct scene *scene, struct shape shape);
void scene_fini(struct scene *scene);

struct picture;

/* Places everything. 0 or -ENOMEM. */
int scene_layout(const struct picture *picture, struct scene *ret_scene);

int scene_write_svg(const struct scene *scene, FILE *out);
/* -E2BIG if cairo cannot hold it. */
int scene_write_png(const struct scene *scene, FILE *out);
#define SCENE_PNG_MAX 32767 /* cairo's limit, each way */
#define SCENE_PNG_AREA 60e6 /* pixels: 240 MB while it is painted */
int picture_write_dot(const struct picture *picture, FILE *out);

#endif
