/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Two runs in one picture, and what it is made of as JSON. See show_diff.h. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "collector/draw.h"
#include "collector/json.h"
#include "collector/show_diff.h"
#include "graph/overlay.h"

#define LABEL_SIZE 320u

/* "quorum, run 2 compared with run 1"; with both names, if they are of two experiments. */
static void title_of(const struct shown_diff *shown, char *buf, size_t size)
{
	bool same = !strcmp(shown->experiments[0], shown->experiments[1]);

	snprintf(buf, size, "%s, run %" PRIu64 " compared with %s%srun %" PRIu64, shown->experiments[1], shown->runs[1],
		 same ? "" : shown->experiments[0], same ? "" : ", ", shown->runs[0]);
}

static size_t count_alone(const struct shown_diff *shown, unsigned side)
{
	const struct diff_twins *twins = &shown->diff->twins[side];
	const struct graph *g = shown->graphs[side];
	size_t n = 0;

	for (size_t i = 0; i < g->n_messages; i++)
		n += twins->message[i] == DIFF_NONE && !g->vertices[g->messages[i].send].teardown;
	return n;
}

/* "other exchanges: 10 messages in both, 2 only in run 1; 3 changes of order" */
static void subtitle_of(const struct shown_diff *shown, char *buf, size_t size)
{
	size_t used, moves = 0;

	snprintf(buf, size, "%s: %zu messages in both", show_diff_verdict(shown), shown->diff->same_messages);
	for (unsigned side = 0; side < 2; side++) {
		size_t n = count_alone(shown, side);

		used = strlen(buf);
		if (n)
			snprintf(buf + used, size - used, ", %zu only in run %" PRIu64, n, shown->runs[side]);
	}
	for (size_t i = 0; i < shown->diff->n_changes; i++)
		moves += shown->diff->changes[i].kind == DIFF_REORDERED;
	used = strlen(buf);
	if (moves)
		snprintf(buf + used, size - used, "; %zu change%s of order", moves, moves == 1 ? "" : "s");
}

static int draw(const struct shown_diff *shown, enum render_format format, FILE *out, struct error *e)
{
	char title[600], subtitle[256];
	struct render_options options = {
		.title = title, .subtitle = subtitle, .runs = { shown->runs[0], shown->runs[1] },
		.incomplete = shown->lost[0] || shown->lost[1] || shown->graphs[0]->n_holes || shown->graphs[1]->n_holes,
	};

	title_of(shown, title, sizeof(title));
	subtitle_of(shown, subtitle, sizeof(subtitle));
	return draw_diff(shown->graphs, shown->diff, format, &options, out, e);
}

static json_t *both(uint32_t before, uint32_t after)
{
	return json_pack("[o,o]", json_number(before == DIFF_NONE ? UINT64_MAX : before),
			 json_number(after == DIFF_NONE ? UINT64_MAX : after));
}

static json_t *vertex_object(const struct overlay *o, uint32_t id)
{
	const struct graph_vertex *v = &o->graph.vertices[id];
	const struct overlay_vertex *own = &o->vertices[id];
	json_t *object = json_object(), *changes = json_array();
	char label[LABEL_SIZE];

	graph_vertex_label(&o->graph, id, label, sizeof(label));
	json_object_set_new(object, "id", json_integer(id));
	json_object_set_new(object, "side", json_string(overlay_side_name(own->side)));
	json_object_set_new(object, "kind", json_string(event_kind_name(o->trace.events[v->event].kind)));
	json_object_set_new(object, "process", json_text(v->process ? o->trace.processes[v->process].name : NULL));
	json_object_set_new(object, "label", json_text(label));
	json_object_set_new(object, "vertex", both(own->vertex[0], own->vertex[1]));
	for (uint32_t i = 0; i < own->n_notes; i++)
		json_array_append_new(changes, json_integer(o->notes[own->first_note + i].change));
	json_object_set_new(object, "changes", changes);
	return object;
}

static json_t *edge_object(const struct overlay *o, size_t i)
{
	const struct graph_edge *edge = &o->graph.edges[i];

	return json_pack("{s:i,s:i,s:s,s:s}", "from", (int)edge->from, "to", (int)edge->to, "rule", graph_rule_name(edge->rule),
			 "side", overlay_side_name(o->edges[i]));
}

static int describe(const struct shown_diff *shown, FILE *out, struct error *e)
{
	struct overlay *o = NULL;
	struct json_writer w;
	int err = overlay_new(shown->graphs, shown->diff, &o);

	if (err < 0)
		return error_set(e, err, "out of memory");
	json_begin(&w, out);
	show_diff_members(&w, shown);
	json_array_begin(&w, "vertices");
	for (uint32_t v = 0; v < o->graph.n_vertices; v++)
		json_element(&w, vertex_object(o, v));
	json_array_end(&w);
	json_array_begin(&w, "edges");
	for (size_t i = 0; i < o->graph.n_edges; i++)
		json_element(&w, edge_object(o, i));
	json_array_end(&w);
	json_end(&w);
	overlay_free(o);
	return w.failed ? error_set(e, -ENOMEM, "out of memory") : 0;
}

int show_diff_draw(const struct shown_diff *shown, const char *format, FILE *out, struct error *e)
{
	if (!strcmp(format, "svg"))
		return draw(shown, RENDER_SVG, out, e);
	if (!strcmp(format, "png"))
		return draw(shown, RENDER_PNG, out, e);
	if (!strcmp(format, "dot"))
		return draw(shown, RENDER_DOT, out, e);
	if (!strcmp(format, "json"))
		return describe(shown, out, e);
	return error_set(e, -EINVAL, "format '%s': a picture of two runs is svg, png, dot or json", format);
}
