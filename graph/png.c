/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A scene as PNG, painted with cairo: in double resolution while that is not too big. The only includer of cairo. */
#include <cairo.h>
#include <errno.h>
#include <math.h>

#include "graph/scene.h"

/* fontconfig keeps what it read for as long as the process lives: no leak, whatever a leak checker says. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:libfontconfig";
}

const char *__lsan_default_options(void);
const char *__lsan_default_options(void)
{
	return "print_suppressions=0";
}

static cairo_status_t on_bytes(void *closure, const unsigned char *data, unsigned int length)
{
	return fwrite(data, 1, length, closure) == length ? CAIRO_STATUS_SUCCESS : CAIRO_STATUS_WRITE_ERROR;
}

static void use_ink(cairo_t *cr, enum ink ink)
{
	uint32_t c = ink_colour(ink);

	cairo_set_source_rgb(cr, (c >> 16) / 255.0, (c >> 8 & 255) / 255.0, (c & 255) / 255.0);
}

static const double dashes[] = { 5, 4 };

static void paint_line(cairo_t *cr, const struct shape *s)
{
	static const double dots[] = { 2, 3 };
	double p[6];

	cairo_set_line_width(cr, s->width);
	cairo_set_dash(cr, s->dotted ? dots : dashes, s->dashed || s->dotted ? 2 : 0, 0);
	cairo_move_to(cr, s->x, s->y);
	if (s->kind == SHAPE_LOOP)
		cairo_curve_to(cr, s->x + s->size, s->y, s->x + s->size, s->y2, s->x2, s->y2);
	else
		cairo_line_to(cr, s->x2, s->y2);
	cairo_stroke(cr);
	cairo_set_dash(cr, NULL, 0, 0);
	if (s->kind == SHAPE_LINE)
		return;
	shape_arrow_head(s, p);
	cairo_move_to(cr, p[0], p[1]);
	cairo_line_to(cr, p[2], p[3]);
	cairo_line_to(cr, p[4], p[5]);
	cairo_fill(cr);
}

static void paint_path(cairo_t *cr, const struct shape *s)
{
	cairo_set_line_width(cr, s->width);
	cairo_set_dash(cr, dashes, s->dashed ? 2 : 0, 0);
	cairo_set_line_join(cr, CAIRO_LINE_JOIN_ROUND);
	for (size_t i = 0; i < s->n_points; i++)
		cairo_line_to(cr, s->points[2 * i], s->points[2 * i + 1]);
	cairo_stroke(cr);
	cairo_set_line_join(cr, CAIRO_LINE_JOIN_MITER);
	cairo_set_dash(cr, NULL, 0, 0);
}

static void paint_mark(cairo_t *cr, const struct shape *s)
{
	double r = s->size, p[2 * BOLT_POINTS];

	if (s->kind == SHAPE_SQUARE) {
		cairo_rectangle(cr, s->x - r, s->y - r, 2 * r, 2 * r);
		cairo_fill(cr);
	} else if (s->kind == SHAPE_CROSS) {
		cairo_set_line_width(cr, 2.2);
		cairo_move_to(cr, s->x - r, s->y - r);
		cairo_line_to(cr, s->x + r, s->y + r);
		cairo_move_to(cr, s->x - r, s->y + r);
		cairo_line_to(cr, s->x + r, s->y - r);
		cairo_stroke(cr);
	} else if (s->kind == SHAPE_BOLT) {
		shape_bolt(s, p);
		for (size_t i = 0; i < BOLT_POINTS; i++)
			cairo_line_to(cr, p[2 * i], p[2 * i + 1]);
		cairo_close_path(cr);
		cairo_fill_preserve(cr);
		use_ink(cr, INK_PAPER);
		cairo_set_line_width(cr, 1);
		cairo_stroke(cr);
	} else if (s->kind == SHAPE_DOT) {
		cairo_arc(cr, s->x, s->y, r, 0, 2 * M_PI);
		cairo_fill(cr);
	} else {
		use_ink(cr, INK_PAPER);
		cairo_arc(cr, s->x, s->y, r, 0, 2 * M_PI);
		cairo_fill_preserve(cr);
		use_ink(cr, s->ink);
		cairo_set_line_width(cr, 1.6);
		cairo_stroke(cr);
	}
}

static void paint_box(cairo_t *cr, const struct shape *s)
{
	double r = 5, w = s->x2 - s->x, h = s->y2 - s->y;

	cairo_new_sub_path(cr);
	cairo_arc(cr, s->x2 - r, s->y + r, r, -M_PI / 2, 0);
	cairo_arc(cr, s->x2 - r, s->y2 - r, r, 0, M_PI / 2);
	cairo_arc(cr, s->x + r, s->y2 - r, r, M_PI / 2, M_PI);
	cairo_arc(cr, s->x + r, s->y + r, r, M_PI, 3 * M_PI / 2);
	cairo_close_path(cr);
	use_ink(cr, s->kind == SHAPE_HATCH ? INK_FAIL_PALE : s->fill);
	cairo_fill_preserve(cr);
	use_ink(cr, s->ink);
	cairo_set_line_width(cr, 1.2);
	if (s->kind == SHAPE_HATCH) {
		cairo_save(cr);
		cairo_clip_preserve(cr);
		cairo_new_path(cr);
		for (double x = -h; x < w; x += 8.5) {
			cairo_move_to(cr, s->x + x, s->y2);
			cairo_line_to(cr, s->x + x + h, s->y);
		}
		cairo_stroke(cr);
		cairo_restore(cr);
		cairo_rectangle(cr, s->x, s->y, w, h);
	}
	cairo_stroke(cr);
}

static void paint_text(cairo_t *cr, const struct shape *s)
{
	double x, y, x2, y2;

	shape_text_box(s, &x, &y, &x2, &y2);
	cairo_select_font_face(cr, SCENE_FONT, CAIRO_FONT_SLANT_NORMAL,
			       s->bold ? CAIRO_FONT_WEIGHT_BOLD : CAIRO_FONT_WEIGHT_NORMAL);
	cairo_set_font_size(cr, s->size);
	cairo_move_to(cr, x, s->y);
	if (s->halo) {
		cairo_text_path(cr, s->text);
		use_ink(cr, INK_PAPER);
		cairo_set_line_width(cr, 3.5);
		cairo_set_line_join(cr, CAIRO_LINE_JOIN_ROUND);
		cairo_stroke(cr);
		cairo_move_to(cr, x, s->y);
	}
	use_ink(cr, s->ink);
	cairo_show_text(cr, s->text);
}

static void paint(cairo_t *cr, const struct shape *s)
{
	use_ink(cr, s->ink);
	cairo_new_path(cr); /* text leaves a point behind, from which an arc would draw a line */
	switch (s->kind) {
	case SHAPE_LINE:
	case SHAPE_ARROW:
	case SHAPE_LOOP:
		paint_line(cr, s);
		break;
	case SHAPE_DOT:
	case SHAPE_RING:
	case SHAPE_SQUARE:
	case SHAPE_CROSS:
	case SHAPE_BOLT:
		paint_mark(cr, s);
		break;
	case SHAPE_BOX:
	case SHAPE_HATCH:
		paint_box(cr, s);
		break;
	case SHAPE_TEXT:
		paint_text(cr, s);
		break;
	case SHAPE_PATH:
		paint_path(cr, s);
		break;
	}
}

/* Letters as wide as the layout takes them to be: not rounded to whole pixels. */
static void keep_advance(cairo_t *cr)
{
	cairo_font_options_t *options = cairo_font_options_create();

	cairo_font_options_set_hint_metrics(options, CAIRO_HINT_METRICS_OFF);
	cairo_set_font_options(cr, options);
	cairo_font_options_destroy(options);
}

int scene_write_png(const struct scene *scene, FILE *out)
{
	double area = scene->width * scene->height;
	bool fine = 2 * scene->width <= SCENE_PNG_MAX && 2 * scene->height <= SCENE_PNG_MAX && 4 * area <= SCENE_PNG_AREA;
	double scale = fine ? 2 : 1;
	cairo_surface_t *surface;
	cairo_t *cr;
	cairo_status_t status;

	if (scene->width > SCENE_PNG_MAX || scene->height > SCENE_PNG_MAX || area > SCENE_PNG_AREA)
		return -E2BIG;
	surface = cairo_image_surface_create(CAIRO_FORMAT_RGB24, ceil(scene->width * scale), ceil(scene->height * scale));
	cr = cairo_create(surface);
	cairo_scale(cr, scale, scale);
	keep_advance(cr);
	use_ink(cr, INK_PAPER);
	cairo_paint(cr);
	for (size_t i = 0; i < scene->n_shapes; i++)
		paint(cr, &scene->shapes[i]);
	status = cairo_status(cr);
	if (status == CAIRO_STATUS_SUCCESS)
		status = cairo_surface_write_to_png_stream(surface, on_bytes, out);
	cairo_destroy(cr);
	cairo_surface_destroy(surface);
	if (status == CAIRO_STATUS_NO_MEMORY)
		return -ENOMEM;
	return status == CAIRO_STATUS_SUCCESS && !fflush(out) ? 0 : -EIO;
}
