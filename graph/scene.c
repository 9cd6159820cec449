/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Shapes and the measures of text. Fails only without memory. */
#include "graph/scene.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const struct {
	const char *name;
	uint32_t colour;
} inks[INK_COUNT] = {
#define X(NAME, name, colour) [INK_##NAME] = { #name, colour },
	INKS(X)
#undef X
};

uint32_t ink_colour(enum ink ink)
{
	return inks[ink].colour;
}

const char *ink_name(enum ink ink)
{
	return inks[ink].name;
}

/* Decodes one character; returns its length, 0 if it is not valid UTF-8 (overlong, surrogate, cut short). */
static size_t decode(const unsigned char *s, uint32_t *ret)
{
	static const uint32_t smallest[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t length = *s < 0x80 ? 1 : *s < 0xc2 ? 0 : *s < 0xe0 ? 2 : *s < 0xf0 ? 3 : *s < 0xf5 ? 4 : 0;

	if (!length)
		return 0;
	*ret = length == 1 ? *s : *s & (0x7f >> length);
	for (size_t i = 1; i < length; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		*ret = *ret << 6 | (s[i] & 0x3f);
	}
	if (*ret < smallest[length] || *ret > 0x10ffff || (*ret >= 0xd800 && *ret < 0xe000))
		return 0;
	return length;
}

/* Not allowed in XML, or without shape of its own. */
static bool is_printable(uint32_t c)
{
	return c >= 0x20 && !(c >= 0x7f && c < 0xa0) && c < 0xe000 && !(c >= 0x200b && c <= 0x200f) &&
	       !(c >= 0x2028 && c <= 0x202e) && !(c >= 0x2060 && c <= 0x206f);
}

char *text_clean(const char *text, bool newlines)
{
	const unsigned char *s = (const unsigned char *)text;
	char *clean = malloc(strlen(text) + 1), *out = clean;

	if (!clean)
		return NULL;
	while (*s) {
		uint32_t c = 0;
		size_t length = decode(s, &c);

		if (length && (is_printable(c) || (c == '\n' && newlines))) {
			memcpy(out, s, length);
			out += length;
		} else {
			*out++ = '?';
		}
		s += length ? length : 1;
	}
	*out = '\0';
	return clean;
}

size_t text_columns(const char *text)
{
	const unsigned char *s = (const unsigned char *)text;
	size_t columns = 0;

	while (*s) {
		uint32_t c = 0;
		size_t length = decode(s, &c);

		columns += (c >= 0x1100 && c <= 0x115f) || (c >= 0x2e80 && c <= 0xd7a3) ? 2 : 1;
		s += length ? length : 1;
	}
	return columns;
}

double text_width(const char *text, double size)
{
	return text_columns(text) * size * SCENE_ADVANCE;
}

void shape_text_box(const struct shape *shape, double *ret_x, double *ret_y, double *ret_x2, double *ret_y2)
{
	double width = text_width(shape->text, shape->size);

	*ret_x = shape->anchor == ANCHOR_START ? shape->x : shape->anchor == ANCHOR_END ? shape->x - width :
										      shape->x - width / 2;
	*ret_x2 = *ret_x + width;
	*ret_y = shape->y - shape->size * 0.93; /* ascent and descent of the font */
	*ret_y2 = shape->y + shape->size * 0.24;
}

void shape_arrow_head(const struct shape *shape, double ret_points[6])
{
	double dx = shape->x2 - shape->x, dy = shape->y2 - shape->y, length;
	double size = 4.5 + shape->width;

	if (shape->kind == SHAPE_LOOP) { /* comes in from the right */
		dx = -shape->size;
		dy = (shape->y2 - shape->y) / 4;
	}
	length = hypot(dx, dy);
	if (length < 1e-9)
		length = 1;
	dx *= size / length;
	dy *= size / length;
	ret_points[0] = shape->x2;
	ret_points[1] = shape->y2;
	ret_points[2] = shape->x2 - dx * 1.5 + dy * 0.55;
	ret_points[3] = shape->y2 - dy * 1.5 - dx * 0.55;
	ret_points[4] = shape->x2 - dx * 1.5 - dy * 0.55;
	ret_points[5] = shape->y2 - dy * 1.5 + dx * 0.55;
}

void shape_bolt(const struct shape *shape, double ret_points[2 * BOLT_POINTS])
{
	static const double outline[2 * BOLT_POINTS] = { 0.4, -1, -0.7, 0.2, -0.1, 0.2, -0.4, 1, 0.7, -0.3, 0.1, -0.3 };

	for (size_t i = 0; i < 2 * BOLT_POINTS; i++)
		ret_points[i] = (i % 2 ? shape->y : shape->x) + outline[i] * shape->size;
}

struct shape *scene_add(struct scene *scene, struct shape shape)
{
	size_t cap = scene->cap_shapes ? 2 * scene->cap_shapes : 256;
	struct shape *shapes;

	if (scene->n_shapes == scene->cap_shapes) {
		shapes = realloc(scene->shapes, cap * sizeof(*shapes));
		if (!shapes) {
			free(shape.text);
			free(shape.tip);
			free(shape.points);
			return NULL;
		}
		scene->shapes = shapes;
		scene->cap_shapes = cap;
	}
	scene->shapes[scene->n_shapes] = shape;
	return &scene->shapes[scene->n_shapes++];
}

void scene_fini(struct scene *scene)
{
	for (size_t i = 0; i < scene->n_shapes; i++) {
		free(scene->shapes[i].text);
		free(scene->shapes[i].tip);
		free(scene->shapes[i].points);
	}
	free(scene->shapes);
	free(scene->title);
	memset(scene, 0, sizeof(*scene));
}
