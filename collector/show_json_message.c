/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What was said in a run, as JSON: connections, messages, and where bytes are missing. See show_json.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "collector/show_json.h"
#include "lib/escape.h"

/* Of the connector, of the acceptor: as the connector's kernel saw them, else the acceptor's. */
static json_t *addresses_json(const struct trace *trace, const struct graph_connection *c)
{
	const struct trace_end *end = &trace->ends[c->connector ? c->connector : c->acceptor];
	char local[GRAPH_ENDPOINT_MAX], remote[GRAPH_ENDPOINT_MAX];

	graph_endpoint_text(&end->local, local);
	graph_endpoint_text(&end->remote, remote);
	if (c->connector)
		return json_pack("[s?,s?]", end->local.port ? local : NULL, end->remote.port ? remote : NULL);
	return json_pack("[s?,s?]", end->remote.port ? remote : NULL, end->local.port ? local : NULL);
}

int show_connections_json(const struct graph *graph, struct json_writer *w, struct error *e)
{
	const struct trace *trace = graph->trace;
	const char **ends = NULL;
	int err = show_connection_ends(graph, &ends, e);

	json_array_begin(w, "connections");
	for (size_t i = 1; i <= graph->n_connections && !err; i++) {
		const struct graph_connection *c = &graph->connections[i];
		const struct trace_end *connector = &trace->ends[c->connector];
		json_t *object;

		if (!ends[i])
			continue;
		object = json_object();
		json_object_set_new(object, "id", json_integer((json_int_t)i));
		json_object_set_new(object, "label", json_text(c->label));
		json_object_set_new(object, "transport", json_string(transport_name(c->transport)));
		json_object_set_new(object, "from", json_text(show_process_name(trace, graph_connection_process(trace, c))));
		json_object_set_new(object, "to", json_text(show_process_name(trace, c->acceptor_process)));
		json_object_set_new(object, "target", json_text(trace->ends[c->connector ? c->connector : c->acceptor].target));
		json_object_set_new(object, "addresses", addresses_json(trace, c));
		json_object_set_new(object, "messages", json_pack("[i,i]", (int)c->messages[0], (int)c->messages[1]));
		json_object_set_new(object, "bytes",
				    json_pack("[I,I]", (json_int_t)c->bytes[0], (json_int_t)c->bytes[1]));
		json_object_set_new(object, "error",
				    json_text(c->connector && connector->error ? strerrorname_np(-connector->error) : NULL));
		json_object_set_new(object, "end", json_text(c->transport == TRANSPORT_TCP ? ends[i] : NULL));
		json_object_set_new(object, "racy", json_boolean(c->racy));
		json_element(w, object);
	}
	json_array_end(w);
	free(ends);
	return err;
}

/* By message: the receive that returned its first byte, UINT32_MAX: none. */
static uint32_t *receives_find(const struct graph *graph)
{
	uint32_t *receives = malloc((graph->n_messages + 1) * sizeof(*receives));

	if (receives)
		memset(receives, 0xff, (graph->n_messages + 1) * sizeof(*receives));
	for (size_t i = 0; receives && i < graph->n_vertices; i++) {
		const struct graph_vertex *v = &graph->vertices[i];
		const struct event *event = &graph->trace->events[v->event];

		for (uint32_t k = 0; event->kind == EVENT_RECV && k < v->n_messages; k++) {
			uint32_t message = graph->vertex_messages[v->first_message + k];

			if (event->pos <= graph->messages[message].pos ||
			    (show_is_datagram(graph->trace, event) && receives[message] == UINT32_MAX))
				receives[message] = (uint32_t)i;
		}
	}
	return receives;
}

/* Only runs that keep content have it. */
static void content_member(json_t *object, const struct graph *graph, uint32_t message)
{
	const struct trace_content *content = graph_message_content(graph, message);
	char *text = content ? escape_bytes(content->bytes, content->size) : NULL;

	if (!content)
		return;
	json_object_set_new(object, "content",
			    json_pack("{s:o,s:b,s:b,s:b,s:b}", "text", json_text(text), "redacted",
				      !!(content->flags & CONTENT_F_REDACTED), "withheld",
				      !!(content->flags & CONTENT_F_WITHHELD), "cut", !!(content->flags & CONTENT_F_CUT),
				      "readable", !(content->flags & CONTENT_F_UNREADABLE)));
	free(text);
}

int show_messages_json(const struct graph *graph, struct json_writer *w, struct error *e)
{
	uint32_t *receives = receives_find(graph);
	char label[256];

	if (!receives)
		return error_set(e, -ENOMEM, "out of memory");
	json_array_begin(w, "messages");
	for (size_t i = 0; i < graph->n_messages; i++) {
		const struct graph_message *m = &graph->messages[i];
		json_t *object = json_object();

		graph_message_label(graph, (uint32_t)i, label, sizeof(label));
		json_object_set_new(object, "label", json_text(label));
		json_object_set_new(object, "connection", json_text(graph->connections[m->connection].label));
		json_object_set_new(object, "direction", json_string(m->direction ? "<" : ">"));
		json_object_set_new(object, "number", json_integer(m->number));
		json_object_set_new(object, "bytes", json_integer((json_int_t)m->size));
		json_object_set_new(object, "received", json_integer((json_int_t)m->received));
		json_object_set_new(object, "delivered", json_boolean(m->delivered));
		json_object_set_new(object, "inferred", json_boolean(m->inferred));
		json_object_set_new(object, "transport", json_string(transport_name(graph->connections[m->connection].transport)));
		json_object_set_new(object, "send", json_integer(m->send));
		json_object_set_new(object, "recv", receives[i] == UINT32_MAX ? json_null() : json_integer(receives[i]));
		json_object_set_new(object, "racy", json_boolean(m->racy));
		json_object_set_new(object, "lost_by", m->lost_by ? json_integer(m->lost_by) : json_null());
		content_member(object, graph, (uint32_t)i);
		json_element(w, object);
	}
	json_array_end(w);
	free(receives);
	return 0;
}

void show_holes_json(const struct graph *graph, struct json_writer *w)
{
	json_array_begin(w, "holes");
	for (size_t i = 0; i < graph->n_holes; i++) {
		const struct graph_hole *hole = &graph->holes[i];

		json_element(w, json_pack("{s:o,s:s,s:s,s:I,s:I}", "connection",
				     json_text(graph->connections[hole->connection].label), "direction",
				     hole->direction ? "<" : ">", "missing", hole->receive_side ? "recv" : "send", "from",
				     (json_int_t)hole->from, "to", (json_int_t)hole->to));
	}
	json_array_end(w);
}
