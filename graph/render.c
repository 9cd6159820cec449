/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Draws a graph: picture, layout, writer. Folds more where a format cannot hold the picture. */
#include "graph/render.h"

#include <errno.h>
#include <string.h>

#include "graph/overlay.h"
#include "graph/picture.h"
#include "graph/scene.h"

#define MAX_VERTICES 2000

static int draw(const struct picture *picture, enum render_format format, FILE *out)
{
	struct scene scene;
	int err;

	if (format == RENDER_DOT)
		return picture_write_dot(picture, out);
	err = scene_layout(picture, &scene);
	if (err < 0)
		return err;
	err = format == RENDER_PNG ? scene_write_png(&scene, out) : scene_write_svg(&scene, out);
	scene_fini(&scene);
	return err;
}

int render_graph(const struct graph *graph, enum render_format format, const struct render_options *options, FILE *out,
		 struct error *e)
{
	size_t max = options->max_vertices ? options->max_vertices : MAX_VERTICES;
	int err = -E2BIG;

	/* -E2BIG comes before anything is written */
	for (; err == -E2BIG && max; max /= 2) {
		struct picture *picture = NULL;

		err = picture_build(graph, options, max, &picture, e);
		if (err < 0)
			return err;
		err = draw(picture, format, out);
		picture_free(picture);
	}
	return err < 0 ? error_set(e, err, "the picture could not be written: %s", strerror(-err)) : 0;
}

int render_diff(const struct graph *const graphs[2], const struct diff *diff, enum render_format format,
		const struct render_options *options, FILE *out, struct error *e)
{
	struct render_options laid = *options;
	struct overlay *overlay = NULL;
	int err = overlay_new(graphs, diff, &overlay);

	if (err < 0)
		return error_set(e, err, "no memory for a picture of runs of %zu and %zu events", graphs[0]->n_vertices,
				 graphs[1]->n_vertices);
	laid.overlay = overlay;
	err = render_graph(&overlay->graph, format, &laid, out, e);
	overlay_free(overlay);
	return err;
}
