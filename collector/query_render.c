/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Pictures and texts of a run: what `bop graph` and `bop show` write. See query.h. */
#include <errno.h>
#include <string.h>

#include "collector/draw.h"
#include "collector/query_inside.h"
#include "collector/show.h"

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
	if (q->run->events_of != row->id)
		snprintf(subtitle, sizeof(subtitle), "the events are those of run %llu, which did the same%s%.180s",
			 (unsigned long long)q->run->events_of, row->reason ? "; " : "", row->reason ? row->reason : "");
	return draw_graph(q->graph, format, &options, out, e);
}

/* What is read for it. */
enum need { NEED_RUN, NEED_GRAPH, NEED_LINEAGE };

/* X(NAME, name, what is needed, how it is written) */
#define FORMATS(X)                                                                                                   \
	X(SVG, svg, GRAPH, draw(q, RENDER_SVG, all, out, e))                                                         \
	X(PNG, png, GRAPH, draw(q, RENDER_PNG, all, out, e))                                                         \
	X(DOT, dot, GRAPH, draw(q, RENDER_DOT, all, out, e))                                                         \
	X(JSON, json, GRAPH, show_run_json(q->run, q->graph, out, e))                                                \
	X(TEXT, text, GRAPH, show_run(q->run, q->graph, all, out, e))                                                \
	X(OUTPUT, output, RUN, show_output(q->run, out, e)) /* a damaged graph does not matter */                    \
	X(MOLLY, molly, LINEAGE, query_export_molly(q, out, e))                                                      \
	X(SQL, sql, LINEAGE, query_export_sql(q, out, e))                                                            \
	X(SHIVIZ, shiviz, LINEAGE, query_export_shiviz(q, all, out, e))                                              \
	X(PERFETTO, perfetto, GRAPH, query_export_perfetto(q, all, out, e))                                          \
	X(OTLP, otlp, LINEAGE, query_export_otlp(q, all, out, e))

enum format {
#define X(NAME, name, need, how) FORMAT_##NAME,
	FORMATS(X)
#undef X
	FORMAT_COUNT,
};

static enum format format_of(const char *name)
{
#define X(NAME, name_, need, how)                                                                                          \
	if (!strcmp(name, #name_))                                                                                   \
		return FORMAT_##NAME;
	FORMATS(X)
#undef X
	return FORMAT_COUNT;
}

static int write_it(const struct query_run *q, enum format format, bool all, FILE *out, struct error *e)
{
	switch (format) {
#define X(NAME, name, need, how)                                                                                           \
	case FORMAT_##NAME:                                                                                          \
		return how;
		FORMATS(X)
#undef X
	case FORMAT_COUNT:
		break;
	}
	return -EINVAL;
}

static int open_for(struct store *store, const Bop__Api__Render *ask, enum format format, struct query_run *ret,
		    struct error *e)
{
	static const enum need needs[] = {
#define X(NAME, name, need, how) NEED_##need,
		FORMATS(X)
#undef X
	};
	uint64_t id;
	int err;

	switch (needs[format]) {
	case NEED_GRAPH:
		return query_run_open(store, ask->run, ask->order, ret, e);
	case NEED_LINEAGE: /* logical time is that of process order */
		return query_lineage_open(store, ask->run, "", ret, e);
	case NEED_RUN:
		break;
	}
	err = query_run_number(store, ask->run, &id, e);
	return err ? err : query_run_load(store, id, &ret->run, e);
}

int query_render(struct store *store, const Bop__Api__Render *ask, FILE *out, struct error *e)
{
	enum format format = format_of(ask->format);
	struct query_run q = { .run = NULL };
	int err;

	if (format == FORMAT_COUNT)
		return error_set(e, -EINVAL,
				 "format '%s': it is svg, png, dot, json, text, output, molly, sql, shiviz, perfetto or otlp",
				 ask->format);
	err = open_for(store, ask, format, &q, e);
	if (!err)
		err = write_it(&q, format, ask->all, out, e);
	query_run_fini(&q);
	return err;
}
