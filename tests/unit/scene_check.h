/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What every picture keeps to, for tests of pictures. Gives up by Check's assertions. */
#ifndef TESTS_UNIT_SCENE_CHECK_H
#define TESTS_UNIT_SCENE_CHECK_H

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "graph/scene.h"

struct box {
	double x, y, x2, y2;
	const char *text;
};

static inline int box_compare(const void *a, const void *b)
{
	double p = ((const struct box *)a)->y, q = ((const struct box *)b)->y;

	return p < q ? -1 : p > q;
}

/* No two texts share a point; all are inside the sheet and large enough. */
static inline void check_texts(const struct scene *scene)
{
	struct box *boxes = malloc((scene->n_shapes + 1) * sizeof(*boxes));
	size_t n = 0;

	for (size_t i = 0; i < scene->n_shapes; i++) {
		const struct shape *shape = &scene->shapes[i];
		struct box *box = &boxes[n];

		if (shape->kind != SHAPE_TEXT)
			continue;
		ck_assert(shape->size >= 8);
		ck_assert(*shape->text);
		shape_text_box(shape, &box->x, &box->y, &box->x2, &box->y2);
		box->text = shape->text;
		ck_assert_msg(box->x >= 0 && box->y >= 0 && box->x2 <= scene->width && box->y2 <= scene->height,
			      "\"%s\" leaves the sheet", shape->text);
		n++;
	}
	qsort(boxes, n, sizeof(*boxes), box_compare);
	for (size_t i = 0; i < n; i++)
		for (size_t k = i + 1; k < n && boxes[k].y < boxes[i].y2; k++)
			ck_assert_msg(boxes[k].x >= boxes[i].x2 || boxes[k].x2 <= boxes[i].x, "\"%s\" overlaps \"%s\"",
				      boxes[i].text, boxes[k].text);
	free(boxes);
}

static inline size_t count(const struct scene *scene, enum shape_kind kind)
{
	size_t n = 0;

	for (size_t i = 0; i < scene->n_shapes; i++)
		n += scene->shapes[i].kind == kind;
	return n;
}

static inline bool has_text(const struct scene *scene, const char *text)
{
	for (size_t i = 0; i < scene->n_shapes; i++)
		if (scene->shapes[i].kind == SHAPE_TEXT && strstr(scene->shapes[i].text, text))
			return true;
	return false;
}

static inline void check_arrows(const struct scene *scene)
{
	for (size_t i = 0; i < scene->n_shapes; i++) {
		const struct shape *shape = &scene->shapes[i];

		if (shape->kind == SHAPE_ARROW || shape->kind == SHAPE_LOOP)
			ck_assert_msg(shape->y2 > shape->y, "an arrow from %f to %f: %s", shape->y, shape->y2,
				      shape->tip ? shape->tip : "");
	}
}

#endif
