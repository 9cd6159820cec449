/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Spans as OTLP's JSON: lines, each a whole ExportTraceServiceRequest of one process, none larger than a collector
 * takes. See query_otlp.h, docs/exports.md.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "collector/json.h"
#include "collector/query_otlp.h"

enum {
	LABEL_SIZE = 2048,
	TEXT_MAX = 4096,  /* bytes of an attribute */
	CONTENT_SHOWN = 256,
	NOTES_MAX = 128, /* of one span */
	LINKS_MAX = 32,
	LINE_SPANS = 256,
	LINE_BYTES = 1 << 20,
};

/* Numbers of the definition: Span.SpanKind, Status.StatusCode. */
enum otlp_kind { OTLP_INTERNAL = 1, OTLP_SERVER, OTLP_CLIENT, OTLP_PRODUCER, OTLP_CONSUMER };
enum { OTLP_ERROR = 2 };

struct otlp {
	const struct spans *s;
	FILE *out;
	uint32_t process; /* of the line that is written; UINT32_MAX: none is */
	size_t n, bytes;  /* in it */
};

static void attribute(json_t *list, const char *key, json_t *value)
{
	json_array_append_new(list, json_pack("{s:s,s:o}", "key", key, "value", value));
}

static void attribute_text(json_t *list, const char *key, const char *text)
{
	if (text && *text)
		attribute(list, key, json_pack("{s:o}", "stringValue", json_text_n(text, strnlen(text, TEXT_MAX))));
}

/* 64 bits are text in JSON, as protobuf has it. */
static void attribute_number(json_t *list, const char *key, uint64_t number)
{
	if (number != STORE_UNKNOWN)
		attribute(list, key, json_pack("{s:o}", "intValue", json_sprintf("%" PRId64, (int64_t)number)));
}

static void attribute_true(json_t *list, const char *key, bool is)
{
	if (is)
		attribute(list, key, json_pack("{s:b}", "boolValue", 1));
}

static json_t *trace_id(const struct spans *s)
{
	char text[33];

	for (int i = 0; i < 16; i++)
		snprintf(text + 2 * i, 3, "%02x", s->trace[i]);
	return json_string(text);
}

static json_t *span_id(const struct spans *s, enum span_kind kind, uint32_t index)
{
	return json_sprintf("%016" PRIx64, span_key(kind, index) ^ s->mask);
}

static json_t *time_json(const struct spans *s, uint64_t time)
{
	return json_sprintf("%" PRIu64, s->q->run->row->started_ns + (uint64_t)run_time(s->q->run, time));
}

static const char *process_name(const struct graph *g, uint32_t process)
{
	const char *name = process && process <= g->trace->n_processes ? g->trace->processes[process].name : NULL;

	return name && *name ? name : "?";
}

static json_t *error_status(const char *message)
{
	return json_pack("{s:o,s:i}", "message", json_text(message), "code", OTLP_ERROR);
}

static void run_fill(const struct spans *s, json_t *span, json_t *attributes)
{
	const struct store_run *row = s->q->run->row;
	const char *outcome = row->running ? "running" : outcome_name(row->outcome);

	json_object_set_new(span, "name", json_sprintf("run %" PRIu64, row->id));
	attribute_number(attributes, "bop.run", row->id);
	if (s->q->run->events_of != row->id)
		attribute_number(attributes, "bop.events_of", s->q->run->events_of);
	attribute_text(attributes, "bop.experiment", row->experiment);
	attribute_text(attributes, "bop.outcome", outcome);
	attribute_text(attributes, "bop.reason", row->reason);
	attribute_text(attributes, "bop.warnings", row->warnings);
	attribute_text(attributes, "bop.plan", row->plan);
	attribute_true(attributes, "bop.dry_run", row->dry_run);
	attribute_true(attributes, "bop.incomplete", row->incomplete || row->running);
	if (row->seed)
		attribute_number(attributes, "bop.seed", row->seed);
	if (!row->running)
		attribute_number(attributes, "bop.lost", row->lost);
	attribute_number(attributes, "bop.holes", s->g->n_holes);
	if (!row->running && row->outcome != OUTCOME_GOOD)
		json_object_set_new(span, "status", error_status(row->reason ? row->reason : outcome));
}

/* The end of it decides: of what was killed, or said itself that it failed. */
static void process_fill(const struct spans *s, json_t *span, json_t *attributes, uint32_t process)
{
	const struct trace_process *row = &s->g->trace->processes[process];

	json_object_set_new(span, "name", json_text(process_name(s->g, process)));
	attribute_number(attributes, "process.pid", (uint64_t)row->pid);
	attribute_text(attributes, "process.command_line", row->command);
}

static void exit_fill(json_t *span, json_t *attributes, const struct event *event)
{
	uint32_t status = (uint32_t)event->value;
	char text[64];

	if (WIFSIGNALED(status)) {
		const char *name = sigabbrev_np(WTERMSIG(status));

		snprintf(text, sizeof(text), "SIG%s", name ? name : "?");
		attribute_text(attributes, "bop.signal", text);
		json_object_set_new(span, "status", error_status(text));
	} else {
		attribute_number(attributes, "process.exit.code", WEXITSTATUS(status));
		snprintf(text, sizeof(text), "exit status %d", WEXITSTATUS(status));
		if (WEXITSTATUS(status))
			json_object_set_new(span, "status", error_status(text));
	}
}

static void endpoint_fill(json_t *attributes, const char *address, const char *port, const struct endpoint *endpoint)
{
	static const struct endpoint none;
	char text[GRAPH_ENDPOINT_MAX], *colon;

	if (!memcmp(endpoint->ip, none.ip, sizeof(none.ip)))
		return;
	graph_endpoint_text(endpoint, text);
	colon = strrchr(text, ':');
	if (colon)
		*colon = '\0';
	attribute_text(attributes, address, text);
	attribute_number(attributes, port, endpoint->port);
}

static void side_fill(const struct spans *s, json_t *span, json_t *attributes, uint32_t side)
{
	const struct graph_connection *c = &s->g->connections[side / 2];
	uint32_t end_index = side & 1 ? c->acceptor : c->connector;
	const struct trace_end *end = &s->g->trace->ends[end_index];

	json_object_set_new(span, "name", json_text(c->label));
	attribute_text(attributes, "bop.connection", c->label);
	attribute_text(attributes, "network.transport", transport_name(c->transport));
	attribute_number(attributes, "bop.bytes_sent", c->bytes[side & 1]);
	attribute_number(attributes, "bop.bytes_received", c->bytes[!(side & 1)]);
	attribute_true(attributes, "bop.racy", c->racy);
	if (!end_index)
		return;
	endpoint_fill(attributes, "network.local.address", "network.local.port", &end->local);
	endpoint_fill(attributes, "network.peer.address", "network.peer.port", &end->remote);
	if (end->error) {
		const char *name = end->error > -4096 && end->error < 0 ? strerrorname_np(-end->error) : NULL;

		attribute_text(attributes, "error.type", name ? name : "?");
		json_object_set_new(span, "status", error_status(name ? name : "?"));
	}
}

static void message_fill(const struct spans *s, json_t *span, json_t *attributes, uint32_t m, bool send)
{
	const struct graph_message *message = &s->g->messages[m];
	const struct graph_fault *fault = message->lost_by ? graph_fault_find(s->g, message->lost_by) : NULL;
	char label[LABEL_SIZE], text[TEXT_MAX], *content = NULL;

	graph_message_label(s->g, m, label, sizeof(label));
	json_object_set_new(span, "name", json_text(label));
	attribute_text(attributes, "bop.message", label);
	attribute_text(attributes, "bop.connection", s->g->connections[message->connection].label);
	attribute_text(attributes, "network.transport", transport_name(s->g->connections[message->connection].transport));
	attribute_number(attributes, "bop.number", message->number);
	attribute_number(attributes, "bop.bytes", message->size);
	attribute_number(attributes, "bop.bytes_received", message->received);
	attribute_number(attributes, "bop.time", s->q->times[m].sent);
	attribute_true(attributes, "bop.inferred", message->inferred);
	attribute_true(attributes, "bop.racy", message->racy);
	if (!send)
		return;
	if (graph_message_content(s->g, m))
		content = graph_content_text(s->g, m, CONTENT_SHOWN);
	attribute_text(attributes, "bop.content", content);
	free(content);
	if (fault) {
		attribute_text(attributes, "bop.lost_by", fault->text);
		snprintf(text, sizeof(text), "lost by fault %" PRIu32 ": %s", fault->id, fault->text);
		json_object_set_new(span, "status", error_status(text));
	} else if (!message->delivered) {
		json_object_set_new(span, "status", error_status("nobody received it"));
	}
}

static json_t *link_json(const struct spans *s, uint32_t m)
{
	return json_pack("{s:o,s:o}", "traceId", trace_id(s), "spanId", span_id(s, SPAN_RECEIVE, m));
}

/* What its sender had received since it sent something before. */
static void links_fill(const struct spans *s, json_t *span, uint32_t m)
{
	const struct span_causes *causes = &s->causes[m];
	json_t *links = json_array();
	uint64_t dropped = 0;

	for (uint32_t i = causes->n; i-- > 0;) {
		const struct graph_vertex *vertex = &s->g->vertices[s->sequence[causes->first + i]];

		for (uint32_t k = vertex->n_messages; k-- > 0;) {
			uint32_t cause = s->g->vertex_messages[vertex->first_message + k];

			if (!s->received[cause] || s->linked[cause] == m + 1) /* it came in several pieces */
				continue;
			s->linked[cause] = m + 1;
			if (json_array_size(links) < LINKS_MAX)
				json_array_append_new(links, link_json(s, cause));
			else
				dropped++;
		}
	}
	if (json_array_size(links))
		json_object_set(span, "links", links);
	if (dropped)
		json_object_set_new(span, "droppedLinksCount", json_number(dropped < UINT32_MAX ? dropped : UINT32_MAX));
	json_decref(links);
}

static json_t *note_json(const struct spans *s, uint32_t v)
{
	const struct graph_vertex *vertex = &s->g->vertices[v];
	const struct event *event = &s->g->trace->events[vertex->event];
	json_t *attributes = json_array();
	char label[LABEL_SIZE];

	graph_vertex_label(s->g, v, label, sizeof(label));
	attribute_text(attributes, "bop.label", label);
	if (event->value < 0 && event->value > -4096 && event->kind != EVENT_EXIT)
		attribute_text(attributes, "error.type", strerrorname_np((int)-event->value));
	else if (event->kind == EVENT_SEND || event->kind == EVENT_RECV)
		attribute_number(attributes, "bop.bytes", (uint64_t)event->value);
	else if (event->kind == EVENT_LOST)
		attribute_number(attributes, "bop.events", (uint64_t)event->value);
	else if (event_is_fault(event->kind))
		attribute_number(attributes, "bop.fault", (uint64_t)event->value);
	return json_pack("{s:o,s:s,s:o}", "timeUnixNano", time_json(s, timeline_moment(s->t, s->g, v)), "name",
			 event_kind_name(event->kind), "attributes", attributes);
}

/* Notes stand in the order of their spans' keys. */
static size_t notes_begin(const struct spans *s, uint64_t key)
{
	size_t low = 0, high = s->n_notes;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (s->notes[middle].key < key)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void notes_fill(const struct spans *s, const struct span *row, json_t *span, json_t *attributes)
{
	uint64_t key = span_key(row->kind, row->index);
	json_t *notes = json_array();
	uint64_t dropped = 0;
	bool exited = false;

	for (size_t i = notes_begin(s, key); i < s->n_notes && s->notes[i].key == key; i++) {
		const struct event *event = &s->g->trace->events[s->g->vertices[s->notes[i].value].event];

		if (json_array_size(notes) < NOTES_MAX)
			json_array_append_new(notes, note_json(s, s->notes[i].value));
		else
			dropped++;
		if (row->kind == SPAN_PROCESS && event->kind == EVENT_EXIT && !(event->flags & EVENT_F_THREAD) && !exited) {
			exit_fill(span, attributes, event);
			exited = true;
		}
	}
	if (json_array_size(notes))
		json_object_set(span, "events", notes);
	if (dropped)
		json_object_set_new(span, "droppedEventsCount", json_number(dropped < UINT32_MAX ? dropped : UINT32_MAX));
	json_decref(notes);
}

static enum otlp_kind kind_of(const struct span *row)
{
	switch (row->kind) {
	case SPAN_SIDE:
		return row->index & 1 ? OTLP_SERVER : OTLP_CLIENT;
	case SPAN_SEND:
		return OTLP_PRODUCER;
	case SPAN_RECEIVE:
		return OTLP_CONSUMER;
	case SPAN_NONE:
	case SPAN_RUN:
	case SPAN_PROCESS:
		break;
	}
	return OTLP_INTERNAL;
}

static json_t *span_json(const struct spans *s, const struct span *row)
{
	struct span parent = span_parent(s, row);
	json_t *span = json_object(), *attributes = json_array();

	json_object_set_new(span, "traceId", trace_id(s));
	json_object_set_new(span, "spanId", span_id(s, row->kind, row->index));
	if (parent.kind != SPAN_NONE)
		json_object_set_new(span, "parentSpanId", span_id(s, parent.kind, parent.index));
	json_object_set_new(span, "kind", json_integer(kind_of(row)));
	json_object_set_new(span, "startTimeUnixNano", time_json(s, row->begin_ns));
	json_object_set_new(span, "endTimeUnixNano", time_json(s, row->end_ns));
	switch (row->kind) {
	case SPAN_NONE:
		break;
	case SPAN_RUN:
		run_fill(s, span, attributes);
		break;
	case SPAN_PROCESS:
		process_fill(s, span, attributes, row->index);
		break;
	case SPAN_SIDE:
		side_fill(s, span, attributes, row->index);
		break;
	case SPAN_SEND:
	case SPAN_RECEIVE:
		message_fill(s, span, attributes, row->index, row->kind == SPAN_SEND);
		if (row->kind == SPAN_SEND)
			links_fill(s, span, row->index);
		break;
	}
	notes_fill(s, row, span, attributes);
	json_object_set_new(span, "attributes", attributes);
	return span;
}

static json_t *resource_json(const struct spans *s, uint32_t process)
{
	const struct trace *trace = s->g->trace;
	const struct store_run *row = s->q->run->row;
	json_t *attributes = json_array();
	uint32_t box = process ? trace->processes[process].box : 0;
	const char *name = process ? process_name(s->g, process) : "bop";
	char instance[LABEL_SIZE];

	attribute_text(attributes, "service.name", name);
	attribute_text(attributes, "service.namespace", row->experiment);
	snprintf(instance, sizeof(instance), "run %" PRIu64 "/%s", row->id, name);
	attribute_text(attributes, "service.instance.id", instance);
	if (process && box && box <= trace->n_boxes) {
		attribute_text(attributes, "host.name", trace->boxes[box].name);
		attribute_text(attributes, "bop.address", trace->boxes[box].address);
	}
	attribute_number(attributes, "bop.run", row->id);
	return json_pack("{s:o}", "attributes", attributes);
}

static void line_end(struct otlp *w)
{
	if (w->process != UINT32_MAX)
		fputs("]}]}]}\n", w->out);
	w->process = UINT32_MAX;
}

static int line_begin(struct otlp *w, uint32_t process)
{
	char *resource = NULL;
	json_t *json = resource_json(w->s, process);

	resource = json ? json_dumps(json, JSON_COMPACT) : NULL;
	json_decref(json);
	if (!resource)
		return -ENOMEM;
	fprintf(w->out,
		"{\"resourceSpans\":[{\"resource\":%s,\"scopeSpans\":[{\"scope\":{\"name\":\"bop\",\"version\":\"" BOP_VERSION
		"\"},\"spans\":[",
		resource);
	w->process = process;
	w->n = w->bytes = 0;
	free(resource);
	return 0;
}

static int span_write(struct otlp *w, const struct span *row)
{
	json_t *json = span_json(w->s, row);
	char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
	size_t size = text ? strlen(text) : 0;
	int err = text ? 0 : -ENOMEM;

	json_decref(json);
	if (!err && w->process != UINT32_MAX &&
	    (w->process != row->process || w->n == LINE_SPANS || w->bytes + size > LINE_BYTES))
		line_end(w);
	if (!err && w->process == UINT32_MAX)
		err = line_begin(w, row->process);
	if (!err) {
		fprintf(w->out, "%s%s", w->n++ ? "," : "", text);
		w->bytes += size;
	}
	free(text);
	return err;
}

int query_export_otlp(const struct query_run *q, bool all, FILE *out, struct error *e)
{
	struct spans spans;
	struct otlp w = { .s = &spans, .out = out, .process = UINT32_MAX };
	int err = spans_init(&spans, q, all);

	for (size_t i = 0; i < spans.n_rows && !err && !ferror(out); i++)
		err = span_write(&w, &spans.rows[i]);
	line_end(&w);
	spans_fini(&spans);
	return err ? error_set(e, err, "out of memory") : 0;
}
