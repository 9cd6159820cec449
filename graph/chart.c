/* SPDX-License-Identifier: GPL-3.0-or-later */
/* See chart.h. The sheet is as high as the plot or the legend, whichever is higher. Fails only without memory, or as the writer does. */
#include "graph/chart.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "graph/scene.h"

#define EDGE 28.0	  /* around everything */
#define PLOT_WIDTH 560.0
#define PLOT_HEIGHT 350.0
#define FONT 11.0
#define TITLE_FONT 15.0
#define LEGEND_GAP 36.0	  /* between plot and legend */
#define SWATCH 26.0
#define ENTRY_GAP 14.0	  /* between entries of the legend */
#define LINE_HEIGHT 15.0
#define NEAR 0.7	  /* of a pixel: what is less is not drawn on its own */

struct axis {
	uint64_t most, step; /* most: a multiple of step */
};

struct sheet {
	struct scene *scene;
	struct axis x, y;
	double left, top; /* of the plot */
	int err;
};

uint64_t chart_step(uint64_t most, unsigned ticks)
{
	static const unsigned round[] = { 1, 2, 5 };

	for (uint64_t power = 1;; power *= 10)
		for (size_t i = 0; i < 3; i++)
			if (most / (power * round[i]) < ticks || power > UINT64_MAX / 100)
				return power * round[i];
}

const char *chart_number(uint64_t number, char buf[CHART_NUMBER_MAX])
{
	char *at = buf + CHART_NUMBER_MAX;
	unsigned digits = 0;

	*--at = '\0';
	do {
		if (digits && digits % 3 == 0)
			*--at = ',';
		*--at = (char)('0' + number % 10);
		digits++;
	} while (number /= 10);
	return at;
}

static struct axis axis_of(uint64_t most, unsigned ticks)
{
	struct axis axis = { .step = chart_step(most, ticks) };

	axis.most = most ? (most + axis.step - 1) / axis.step * axis.step : axis.step;
	return axis;
}

static double x_of(const struct sheet *s, uint64_t x)
{
	return s->left + PLOT_WIDTH * (double)x / (double)s->x.most;
}

static double y_of(const struct sheet *s, uint64_t y)
{
	return s->top + PLOT_HEIGHT * (1 - (double)y / (double)s->y.most);
}

static void add(struct sheet *s, struct shape shape)
{
	if (!scene_add(s->scene, shape))
		s->err = -ENOMEM;
}

/* shape: everything but the text. Widens the sheet. */
static void write_text(struct sheet *s, const char *words, struct shape shape)
{
	double right = shape.anchor == ANCHOR_START ? text_width(words, shape.size) : 0;

	shape.kind = SHAPE_TEXT;
	shape.text = text_clean(words, false);
	if (!shape.text) {
		s->err = -ENOMEM;
		return;
	}
	s->scene->width = fmax(s->scene->width, shape.x + right + EDGE);
	add(s, shape);
}

static void draw_axes(struct sheet *s, const struct chart *chart)
{
	double bottom = s->top + PLOT_HEIGHT, right = s->left + PLOT_WIDTH;
	struct shape line = { .kind = SHAPE_LINE, .ink = INK_LANE, .width = 1, .x = s->left, .x2 = right };
	struct shape label = { .ink = INK_MUTED, .size = FONT, .anchor = ANCHOR_END, .x = s->left - 8 };
	char buf[CHART_NUMBER_MAX];

	for (uint64_t y = 0; y <= s->y.most; y += s->y.step) {
		line.y = line.y2 = y_of(s, y);
		label.y = line.y + 4;
		if (y)
			add(s, line);
		write_text(s, chart_number(y, buf), label);
	}
	line.ink = INK_MUTED;
	line.y = line.y2 = bottom;
	add(s, line);
	label.anchor = ANCHOR_MIDDLE;
	label.y = bottom + 20;
	line.y2 = bottom + 5;
	for (uint64_t x = 0; x <= s->x.most; x += s->x.step) {
		line.x = line.x2 = label.x = x_of(s, x);
		add(s, line);
		write_text(s, chart_number(x, buf), label);
	}
	label = (struct shape){ .ink = INK_TEXT, .size = FONT, .x = s->left, .y = s->top - 14 };
	write_text(s, chart->y_title, label);
	label.anchor = ANCHOR_END;
	label.x = right;
	label.y = bottom + 40;
	write_text(s, chart->x_title, label);
}

static struct shape look_of(size_t i)
{
	static const enum ink inks[] = { INK_REQUEST, INK_FAULT, INK_REPLY, INK_QUIET };
	enum { N = sizeof(inks) / sizeof(*inks) };

	return (struct shape){ .ink = inks[i % N], .dashed = i >= N, .width = 1.8 };
}

struct path {
	double *points;
	size_t n;
};

static void step_to(struct path *path, double x, double y)
{
	path->points[2 * path->n] = x;
	path->points[2 * path->n++ + 1] = y;
}

/* In steps; those that are too small to be seen are taken together. */
static void draw_line(struct sheet *s, const struct chart_line *line, struct shape look)
{
	struct path path = { .points = malloc((2 * line->n + 2) * 2 * sizeof(double)) };
	double at_x = x_of(s, 0), at_y = y_of(s, 0);

	if (!path.points) {
		s->err = -ENOMEM;
		return;
	}
	step_to(&path, at_x, at_y);
	for (size_t i = 0; i < line->n; i++) {
		double x = x_of(s, line->at[i]), y = y_of(s, i + 1);

		if (x - at_x + at_y - y < NEAR && i + 1 < line->n)
			continue;
		step_to(&path, x, at_y);
		step_to(&path, x, y);
		at_x = x;
		at_y = y;
	}
	step_to(&path, x_of(s, line->end), at_y);
	look.kind = SHAPE_PATH;
	look.points = path.points;
	look.n_points = path.n;
	add(s, look);
	add(s, (struct shape){ .kind = SHAPE_DOT, .ink = look.ink, .size = 3, .x = x_of(s, line->end), .y = at_y });
}

/* Returns where the next entry goes. */
static double draw_entry(struct sheet *s, const struct chart_line *line, struct shape look, double x, double y)
{
	struct shape text = { .ink = INK_TEXT, .size = FONT, .bold = true, .x = x + SWATCH + 8 };

	look.kind = SHAPE_LINE;
	look.x = x;
	look.x2 = x + SWATCH;
	look.y = look.y2 = y - 4;
	add(s, look);
	text.y = y;
	write_text(s, line->name, text);
	text.ink = INK_MUTED;
	text.bold = false;
	for (size_t i = 0; i < CHART_NOTES_MAX && line->notes[i]; i++) {
		text.y = y += LINE_HEIGHT;
		write_text(s, line->notes[i], text);
	}
	return y + LINE_HEIGHT + ENTRY_GAP;
}

/* The highest line comes first, as it does in the plot. */
static double draw_legend(struct sheet *s, const struct chart *chart)
{
	double x = s->left + PLOT_WIDTH + LEGEND_GAP, y = s->top + 4;
	size_t order[CHART_LINES_MAX], k;

	for (size_t i = 0; i < chart->n_lines; i++) {
		for (k = i; k && chart->lines[order[k - 1]].n < chart->lines[i].n; k--)
			order[k] = order[k - 1];
		order[k] = i;
	}
	for (size_t i = 0; i < chart->n_lines; i++)
		y = draw_entry(s, &chart->lines[order[i]], look_of(order[i]), x, y);
	return y - ENTRY_GAP;
}

static int scene_make(const struct chart *chart, struct scene *scene)
{
	struct sheet s = { .scene = scene };
	uint64_t x = 0, y = 0;
	char buf[CHART_NUMBER_MAX];
	double low;

	for (size_t i = 0; i < chart->n_lines; i++) {
		x = chart->lines[i].end > x ? chart->lines[i].end : x;
		y = chart->lines[i].n > y ? chart->lines[i].n : y;
	}
	s.x = axis_of(x, 9);
	s.y = axis_of(y, 7);
	s.left = EDGE + text_width(chart_number(s.y.most, buf), FONT) + 8;
	s.top = EDGE + TITLE_FONT + (chart->subtitle ? 20 : 0) + 44;
	scene->width = s.left + PLOT_WIDTH + EDGE;
	scene->title = text_clean(chart->title, false);
	if (!scene->title)
		s.err = -ENOMEM;
	write_text(&s, chart->title, (struct shape){ .ink = INK_TEXT, .size = TITLE_FONT, .bold = true, .x = EDGE, .y = EDGE + TITLE_FONT });
	if (chart->subtitle)
		write_text(&s, chart->subtitle, (struct shape){ .ink = INK_MUTED, .size = FONT, .x = EDGE, .y = EDGE + TITLE_FONT + 20 });
	draw_axes(&s, chart);
	for (size_t i = 0; i < chart->n_lines; i++)
		draw_line(&s, &chart->lines[i], look_of(i));
	low = draw_legend(&s, chart);
	scene->height = fmax(s.top + PLOT_HEIGHT + 40, low) + EDGE;
	return s.err;
}

int chart_write(const struct chart *chart, enum render_format format, FILE *out, struct error *e)
{
	struct scene scene = { .n_shapes = 0 };
	int err = -EINVAL;

	if (chart->n_lines && chart->n_lines <= CHART_LINES_MAX && format != RENDER_DOT)
		err = scene_make(chart, &scene);
	if (!err)
		err = format == RENDER_PNG ? scene_write_png(&scene, out) : scene_write_svg(&scene, out);
	scene_fini(&scene);
	return err < 0 ? error_set(e, err, "the picture could not be written: %s", strerror(-err)) : 0;
}
