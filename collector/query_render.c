/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Pictures and texts of a run: what `bop graph` and `bop show` write. See query.h. */
#include <errno.h>
#include <string.h>

#include "collector/query_inside.h"
#include "collector/show.h"
#include "graph/render.h"

static int draw(const struct query_run *q, enum render_format format, bool all, FILE *out, struct error *e)
{
	const struct store_run *row = q->run->row;
	char title[256], subtitle[256];
	struct render_options options = {
		.title = title,
		.subtitle = subtitle,
		.failed = !row->running && row->outcome != OUTCOME_GOOD,
		.incomplete = row->incomplete || row->running || row->lost || q->graph->n_holes,
		.teardown = all,
	};

	snprintf(title, sizeof(title), "%s, run %llu: %s", row->experiment, (unsigned long long)row->id,
		 row->running ? "running" : outcome_name(row->outcome) ? outcome_name(row->outcome) : "?");
	snprintf(subtitle, sizeof(subtitle), "%s", row->reason ? row->reason : "");
	return render_graph(q->graph, format, &options, out, e);
}

/* X(NAME, name, how it is written) */
#define FORMATS(X)                                                                                                   \
	X(SVG, svg, draw(q, RENDER_SVG, all, out, e))                                                                \
	X(PNG, png, draw(q, RENDER_PNG, all, out, e))                                                                \
	X(DOT, dot, draw(q, RENDER_DOT, all, out, e))                                                                \
	X(JSON, json, show_run_json(q->run, q->graph, out, e))                                                       \
	X(TEXT, text, show_run(q->run, q->graph, all, out, e))                                                       \
	X(OUTPUT, output, show_output(q->run, out, e))

enum format {
#define X(NAME, name, how) FORMAT_##NAME,
	FORMATS(X)
#undef X
	FORMAT_COUNT,
};

static enum format format_of(const char *name)
{
#define X(NAME, name_, how)                                                                                          \
	if (!strcmp(name, #name_))                                                                                   \
		return FORMAT_##NAME;
	FORMATS(X)
#undef X
	return FORMAT_COUNT;
}

static int write_it(const struct query_run *q, enum format format, bool all, FILE *out, struct error *e)
{
	switch (format) {
#define X(NAME, name, how)                                                                                           \
	case FORMAT_##NAME:                                                                                          \
		return how;
		FORMATS(X)
#undef X
	case FORMAT_COUNT:
		break;
	}
	return -EINVAL;
}

int query_render(struct store *store, const Bop__Api__Render *ask, FILE *out, struct error *e)
{
	enum format format = format_of(ask->format);
	struct query_run q = { .run = NULL };
	int err = 0;

	if (format == FORMAT_COUNT)
		return error_set(e, -EINVAL, "format '%s': it is svg, png, dot, json, text or output", ask->format);
	if (format == FORMAT_OUTPUT) { /* of which no graph is needed: a damaged one does not matter */
		uint64_t id;

		err = query_run_number(store, ask->run, &id, e);
		if (!err)
			err = run_load(store, id, &q.run, e);
	} else {
		err = query_run_open(store, ask->run, ask->order, &q, e);
	}
	if (!err)
		err = write_it(&q, format, ask->all, out, e);
	query_run_fini(&q);
	return err;
}
