/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What happened in a run, as JSON: vertices and edges. See show_json.h. */
#include <errno.h>
#include <string.h>

#include "collector/show_json.h"

/* The process and thread of a vertex, as far as there are such. */
static void place_members(json_t *object, const struct graph *graph, const struct graph_vertex *v,
			  const struct event *event)
{
	const char *process = show_process_name(graph->trace, v->process);

	json_object_set_new(object, "process", json_text(process));
	json_object_set_new(object, "thread", process && event->order ? json_integer(event->thread) : json_null());
	json_object_set_new(object, "box", json_text(show_box_name(graph->trace, event->box)));
}

static void labels_member(json_t *object, const struct graph *graph, const struct graph_vertex *v)
{
	json_t *labels = json_array();
	char label[256];

	for (uint32_t i = 0; i < v->n_messages; i++) {
		graph_message_label(graph, graph->vertex_messages[v->first_message + i], label, sizeof(label));
		json_array_append_new(labels, json_text(label));
	}
	json_object_set_new(object, "labels", labels);
}

static void messages_member(json_t *object, const struct graph *graph, const struct graph_vertex *v)
{
	json_t *messages = json_array();

	for (uint32_t i = 0; i < v->n_messages; i++)
		json_array_append_new(messages, json_integer(graph->vertex_messages[v->first_message + i]));
	json_object_set_new(object, "messages", messages);
}

static void connection_members(json_t *object, const struct graph *graph, const struct graph_vertex *v,
			       const struct event *event)
{
	bool connector = graph->trace->ends[event->end].role == END_CONNECTOR;

	json_object_set_new(object, "connection", json_text(graph->connections[v->connection].label));
	json_object_set_new(object, "connection_id", json_integer(v->connection));
	json_object_set_new(object, "end", json_string(connector ? ">" : "<"));
}

/* What `value` means depends on the kind. */
static void value_members(json_t *object, const struct graph *graph, const struct event *event)
{
	const struct trace *trace = graph->trace;
	struct show_status status = { true, (uint32_t)event->value };

	if (event->kind == EVENT_SEND || event->kind == EVENT_RECV) {
		json_object_set_new(object, "bytes", json_integer(event->value > 0 ? event->value : 0));
		json_object_set_new(object, "pos", show_is_datagram(trace, event) ? json_null() : json_integer((json_int_t)event->pos));
	} else if (event->kind == EVENT_CLOSE || event->kind == EVENT_RESET) {
		json_object_set_new(object, "pos", json_integer((json_int_t)event->pos));
	} else if (event->kind == EVENT_EXIT && !(event->flags & EVENT_F_THREAD)) {
		show_status_json(object, &status);
	} else if (event_is_fault(event->kind)) {
		json_object_set_new(object, "fault", json_integer(event->value));
	} else if (event->kind == EVENT_LISTEN || event->kind == EVENT_LOST) {
		json_object_set_new(object, event->kind == EVENT_LOST ? "lost" : "port", json_integer(event->value));
	}
	if (event->value < 0 && event->value > -4096 && event->value != -EINPROGRESS && event->kind != EVENT_EXIT &&
	    event->kind != EVENT_LOST)
		json_object_set_new(object, "error", json_text(strerrorname_np((int)-event->value)));
	if (event->peer && !event_is_fault(event->kind))
		json_object_set_new(object, "child", json_text(show_process_name(trace, event->peer)));
	if (event->text && event->text <= trace->n_texts)
		json_object_set_new(object, "text", json_text(trace->texts[event->text]));
}

static void flags_member(json_t *object, uint16_t flags)
{
	static const struct {
		uint16_t flag;
		const char *name;
	} names[] = {
		{ EVENT_F_THREAD, "thread" },	{ EVENT_F_CONTINUED, "continued" }, { EVENT_F_SHUTDOWN, "shutdown" },
		{ EVENT_F_RST, "rst" },		{ EVENT_F_EXITING, "exiting" },	    { EVENT_F_INTERLEAVED, "interleaved" },
		{ EVENT_F_URGENT, "urgent" },	{ EVENT_F_TRUNCATED, "truncated" },
		{ EVENT_F_SKIPPED, "skipped" },	{ EVENT_F_INFERRED, "inferred" },
	};
	json_t *array = json_array();

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (flags & names[i].flag)
			json_array_append_new(array, json_string(names[i].name));
	json_object_set_new(object, "flags", array);
}

static json_t *vertex_object(const struct run *run, const struct graph *graph, uint32_t id)
{
	const struct graph_vertex *v = &graph->vertices[id];
	const struct event *event = &graph->trace->events[v->event];
	json_t *object = json_object();
	char label[256];

	graph_vertex_label(graph, id, label, sizeof(label));
	json_object_set_new(object, "id", json_integer(id));
	json_object_set_new(object, "kind", json_string(event_kind_name(event->kind)));
	place_members(object, graph, v, event);
	json_object_set_new(object, "label", json_text(label));
	if (event->kind == EVENT_RECV)
		labels_member(object, graph, v);
	if (event->kind == EVENT_RECV || event->kind == EVENT_SEND)
		messages_member(object, graph, v);
	if (v->connection)
		connection_members(object, graph, v, event);
	value_members(object, graph, event);
	json_object_set_new(object, "time", json_integer(run_time(run, event_time(event))));
	json_object_set_new(object, "enter_ns", json_integer(run_time(run, event->enter_ns)));
	json_object_set_new(object, "return_ns", json_integer(run_time(run, event->return_ns)));
	json_object_set_new(object, "depth", json_integer(v->depth));
	json_object_set_new(object, "racy", json_boolean(v->racy));
	json_object_set_new(object, "teardown", json_boolean(v->teardown));
	if (event->flags)
		flags_member(object, event->flags);
	return object;
}

void show_vertices_json(const struct run *run, const struct graph *graph, struct json_writer *w)
{
	json_array_begin(w, "vertices");
	for (size_t i = 0; i < graph->n_vertices && !ferror(w->out); i++)
		json_element(w, vertex_object(run, graph, (uint32_t)i));
	json_array_end(w);
}

void show_edges_json(const struct graph *graph, struct json_writer *w)
{
	json_array_begin(w, "edges");
	for (size_t i = 0; i < graph->n_edges; i++) {
		const struct graph_edge *edge = &graph->edges[i];
		json_t *object = json_pack("{s:i,s:i,s:s}", "from", (int)edge->from, "to", (int)edge->to, "rule",
					   graph_rule_name(edge->rule));

		if (graph_rule_carries(edge->rule))
			json_object_set_new(object, "bytes", json_integer((json_int_t)edge->bytes));
		if (edge->inferred)
			json_object_set_new(object, "inferred", json_true());
		if (edge->guessed)
			json_object_set_new(object, "guessed", json_true());
		json_element(w, object);
	}
	json_array_end(w);
}
