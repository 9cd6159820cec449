/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A scene as SVG. Everything that came from outside is escaped. Fails with the errno of the stream. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "graph/scene.h"

static void escaped(FILE *out, const char *text)
{
	for (; *text; text++) {
		switch (*text) {
		case '<':
			fputs("&lt;", out);
			break;
		case '>':
			fputs("&gt;", out);
			break;
		case '&':
			fputs("&amp;", out);
			break;
		case '"':
			fputs("&quot;", out);
			break;
		default:
			fputc(*text, out);
		}
	}
}

/* Coordinates with one decimal at most: half the size of the file. */
static const char *num(double x, char buf[32])
{
	int n = snprintf(buf, 32, "%.1f", x);

	if (n > 2 && buf[n - 1] == '0')
		buf[n - 2] = '\0';
	return strcmp(buf, "-0") ? buf : "0";
}

static void attribute(FILE *out, const char *name, double x)
{
	char buf[32];

	fprintf(out, " %s=\"%s\"", name, num(x, buf));
}

static void line(FILE *out, const struct shape *s)
{
	char a[32], b[32], c[32], d[32];

	fprintf(out, "<path d=\"M%s %sL%s %s\" class=\"l %s\"", num(s->x, a), num(s->y, b), num(s->x2, c), num(s->y2, d),
		ink_name(s->ink));
	attribute(out, "stroke-width", s->width);
	fputs(s->dotted ? " stroke-dasharray=\"2 3\"/>" : s->dashed ? " stroke-dasharray=\"5 4\"/>" : "/>", out);
}

static void loop(FILE *out, const struct shape *s)
{
	char a[32], b[32], c[32], d[32], e[32], f[32];

	fprintf(out, "<path d=\"M%s %sC%s %s %s %s %s %s\" class=\"l %s\"", num(s->x, a), num(s->y, b),
		num(s->x + s->size, c), num(s->y, d), num(s->x + s->size, c), num(s->y2, e), num(s->x2, f),
		num(s->y2, e), ink_name(s->ink));
	attribute(out, "stroke-width", s->width);
	fputs("/>", out);
}

static void head(FILE *out, const struct shape *s)
{
	double p[6];
	char a[32], b[32], c[32], d[32], e[32], f[32];

	shape_arrow_head(s, p);
	fprintf(out, "<path d=\"M%s %sL%s %sL%s %sZ\" class=\"f %s\"/>", num(p[0], a), num(p[1], b), num(p[2], c),
		num(p[3], d), num(p[4], e), num(p[5], f), ink_name(s->ink));
}

/* An unseen wide line, so that a thin arrow can be pointed at. */
static void grip(FILE *out, const struct shape *s)
{
	char a[32], b[32], c[32], d[32];

	if (s->tip && s->kind == SHAPE_ARROW)
		fprintf(out, "<path d=\"M%s %sL%s %s\" class=\"g\"/>", num(s->x, a), num(s->y, b), num(s->x2, c),
			num(s->y2, d));
}

static void box(FILE *out, const struct shape *s)
{
	fputs("<rect", out);
	attribute(out, "x", s->x);
	attribute(out, "y", s->y);
	attribute(out, "width", s->x2 - s->x);
	attribute(out, "height", s->y2 - s->y);
	fprintf(out, " rx=\"5\" class=\"b %s\"", ink_name(s->ink));
	if (s->kind == SHAPE_HATCH)
		fputs(" fill=\"url(#hatch)\"/>", out);
	else
		fprintf(out, " fill=\"#%06x\"/>", ink_colour(s->fill));
}

static void text(FILE *out, const struct shape *s)
{
	static const char *const anchors[] = { "", " m", " e" };

	fputs("<text", out);
	attribute(out, "x", s->x);
	attribute(out, "y", s->y);
	fprintf(out, " class=\"%s%s%s%s\"", ink_name(s->ink), anchors[s->anchor], s->bold ? " w" : "", s->halo ? " h" : "");
	if (s->size != 11)
		fprintf(out, " style=\"font-size:%.0fpx\"", s->size);
	fputc('>', out);
	escaped(out, s->text);
	fputs("</text>", out);
}

static void bolt(FILE *out, const struct shape *s)
{
	double p[2 * BOLT_POINTS];
	char a[32], b[32];

	shape_bolt(s, p);
	fputs("<path d=\"", out);
	for (size_t i = 0; i < BOLT_POINTS; i++)
		fprintf(out, "%c%s %s", i ? 'L' : 'M', num(p[2 * i], a), num(p[2 * i + 1], b));
	fprintf(out, "Z\" class=\"f z %s\"/>", ink_name(s->ink));
}

static void mark(FILE *out, const struct shape *s)
{
	char a[32], b[32], c[32], d[32];
	double r = s->size;

	switch (s->kind) {
	case SHAPE_DOT:
	case SHAPE_RING:
		fprintf(out, "<circle class=\"%s %s\"", s->kind == SHAPE_DOT ? "f" : "o", ink_name(s->ink));
		attribute(out, "cx", s->x);
		attribute(out, "cy", s->y);
		attribute(out, "r", r);
		fputs("/>", out);
		break;
	case SHAPE_SQUARE:
		fprintf(out, "<rect class=\"f %s\"", ink_name(s->ink));
		attribute(out, "x", s->x - r);
		attribute(out, "y", s->y - r);
		attribute(out, "width", 2 * r);
		attribute(out, "height", 2 * r);
		fputs("/>", out);
		break;
	case SHAPE_CROSS:
		fprintf(out, "<path class=\"l %s\" stroke-width=\"2.2\" d=\"M%s %sL%s %s", ink_name(s->ink), num(s->x - r, a),
			num(s->y - r, b), num(s->x + r, c), num(s->y + r, d));
		fprintf(out, "M%s %sL%s %s\"/>", num(s->x - r, a), num(s->y + r, b), num(s->x + r, c), num(s->y - r, d));
		break;
	case SHAPE_BOLT:
		bolt(out, s);
		break;
	case SHAPE_LINE:
	case SHAPE_ARROW:
	case SHAPE_LOOP:
	case SHAPE_BOX:
	case SHAPE_HATCH:
	case SHAPE_TEXT:
	case SHAPE_PATH:
		break;
	}
}

static void path(FILE *out, const struct shape *s)
{
	char a[32], b[32];

	fputs("<path d=\"", out);
	for (size_t i = 0; i < s->n_points; i++)
		fprintf(out, "%c%s %s", i ? 'L' : 'M', num(s->points[2 * i], a), num(s->points[2 * i + 1], b));
	fprintf(out, "\" class=\"l %s\" stroke-linejoin=\"round\"", ink_name(s->ink));
	attribute(out, "stroke-width", s->width);
	fputs(s->dashed ? " stroke-dasharray=\"5 4\"/>" : "/>", out);
}

static void shape(FILE *out, const struct shape *s)
{
	if (s->tip) {
		fprintf(out, "<g class=\"t%s%s\"><title>", s->class ? " " : "", s->class ? s->class : "");
		escaped(out, s->tip);
		fputs("</title>", out);
	}
	switch (s->kind) {
	case SHAPE_ARROW:
		grip(out, s);
		line(out, s);
		head(out, s);
		break;
	case SHAPE_LINE:
		line(out, s);
		break;
	case SHAPE_LOOP:
		loop(out, s);
		head(out, s);
		break;
	case SHAPE_BOX:
	case SHAPE_HATCH:
		box(out, s);
		break;
	case SHAPE_TEXT:
		text(out, s);
		break;
	case SHAPE_PATH:
		path(out, s);
		break;
	case SHAPE_DOT:
	case SHAPE_RING:
	case SHAPE_SQUARE:
	case SHAPE_CROSS:
	case SHAPE_BOLT:
		mark(out, s);
		break;
	}
	fputs(s->tip ? "</g>\n" : "\n", out);
}

static void style(FILE *out, int n_inks)
{
	fprintf(out, "<style>text{font:11px '%s',Menlo,Consolas,'Liberation Mono',monospace;white-space:pre}"
		     ".m{text-anchor:middle}.e{text-anchor:end}.w{font-weight:bold}"
		     ".h{paint-order:stroke;stroke-width:3.5px;stroke-linejoin:round}text.h{stroke:#fff}"
		     ".z{stroke:#fff;stroke-width:1px}.l{fill:none}.o{fill:#fff;stroke-width:1.6px}"
		     ".b{stroke-width:1.2px}"
		     ".g{fill:none;stroke:#000;stroke-opacity:0;stroke-width:9px}.t:hover .l{stroke-width:2.6px}\n",
		SCENE_FONT);
	for (int i = 0; i < n_inks; i++)
		fprintf(out, "text.%s,.f.%s{fill:#%06x}.l.%s,.o.%s,.b.%s{stroke:#%06x}\n", ink_name(i), ink_name(i),
			ink_colour(i), ink_name(i), ink_name(i), ink_name(i), ink_colour(i));
	fputs("</style>\n", out);
	fprintf(out, "<defs><pattern id=\"hatch\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\" "
		     "patternTransform=\"rotate(45)\"><path d=\"M0 0H6V6H0Z\" fill=\"#%06x\"/>"
		     "<path d=\"M0 0V6\" stroke=\"#%06x\" stroke-width=\"2\"/></pattern></defs>\n",
		ink_colour(INK_FAIL_PALE), ink_colour(INK_FAIL));
}

int scene_write_svg(const struct scene *scene, FILE *out)
{
	fprintf(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
		     "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%.0f\" height=\"%.0f\" viewBox=\"0 0 %.0f %.0f\" "
		     "role=\"img\">\n",
		scene->width, scene->height, scene->width, scene->height);
	if (scene->title) {
		fputs("<title>", out);
		escaped(out, scene->title);
		fputs("</title>\n", out);
	}
	style(out, scene->sides ? INK_COUNT : INK_FAULT_PALE);
	fprintf(out, "<rect width=\"100%%\" height=\"100%%\" fill=\"#%06x\"/>\n", ink_colour(INK_PAPER));
	for (size_t i = 0; i < scene->n_shapes; i++)
		shape(out, &scene->shapes[i]);
	fputs("</svg>\n", out);
	if (fflush(out) || ferror(out))
		return errno ? -errno : -EIO;
	return 0;
}
