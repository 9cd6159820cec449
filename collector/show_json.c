/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Runs as JSON, docs/json.md. The objects of the long lists are made, written and freed one by one, so that a large
 * run costs no more memory than a small one.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "collector/experiment.h"
#include "collector/json.h"
#include "collector/show.h"
#include "lib/escape.h"

/* The fields of a row that every form of a run begins with. */
static json_t *row_object(const struct store_run *row)
{
	json_t *object = json_object();

	json_object_set_new(object, "run", json_number(row->id));
	json_object_set_new(object, "experiment", json_text(row->experiment));
	json_object_set_new(object, "state", json_string(row->running ? "running" : "ended"));
	json_object_set_new(object, "outcome", json_text(outcome_name(row->outcome)));
	json_object_set_new(object, "reason", json_text(row->reason));
	json_object_set_new(object, "incomplete", json_boolean(row->incomplete));
	json_object_set_new(object, "started", json_real((double)(row->started_ns / 1000) / 1e6));
	json_object_set_new(object, "duration_ns", json_number(row->running ? STORE_UNKNOWN : row->duration_ns));
	json_object_set_new(object, "events", json_number(row->running ? STORE_UNKNOWN : row->events));
	json_object_set_new(object, "messages", json_number(row->running ? STORE_UNKNOWN : row->messages));
	json_object_set_new(object, "lost", json_number(row->running ? STORE_UNKNOWN : row->lost));
	json_object_set_new(object, "holes", json_number(row->running ? STORE_UNKNOWN : row->holes));
	json_object_set_new(object, "faults", json_integer(row->faults));
	json_object_set_new(object, "class", row->class_id ? json_number(row->class_id) : json_null());
	json_object_set_new(object, "new_class", row->class_id ? json_boolean(row->new_class) : json_null());
	json_object_set_new(object, "kept", row->kept ? json_number(row->kept) : json_null());
	json_object_set_new(object, "unclassed", json_text(row->unclassed));
	return object;
}

static json_t *print_object(const struct print *print)
{
	char text[PRINT_TEXT_SIZE];

	print_text(print, text);
	return json_pack("{s:s,s:b}", "hash", text, "approximate", print->approximate);
}

/* `exact` and `symmetric`; of the other levels `folded` and `folded_symmetric`. */
static json_t *prints_object(const struct prints *prints)
{
	json_t *object;
	char key[48];

	if (!prints)
		return json_null();
	object = json_object();
	for (enum print_level level = 0; level < PRINT_LEVEL_COUNT; level++) {
		const char *name = print_level_name(level);
		bool known = level < prints->n_levels;

		snprintf(key, sizeof(key), "%s%ssymmetric", level ? name : "", level ? "_" : "");
		json_object_set_new(object, name, known ? print_object(&prints->own[level]) : json_null());
		json_object_set_new(object, key,
				    known && prints->has_symmetric ? print_object(&prints->symmetric[level]) : json_null());
	}
	json_object_set_new(object, "counts", json_boolean(!prints->why_not));
	json_object_set_new(object, "why_not", json_text(prints->why_not));
	return object;
}

void show_run_line_json(const struct run *run, const struct prints *prints, const struct show_timing *timing,
			const char *directory, FILE *out)
{
	json_t *object = row_object(run->row), *times;
	uint64_t rest = timing->total - timing->ready - timing->workload - timing->check - timing->stop;

	times = json_pack("{s:I,s:I,s:I,s:I,s:I,s:I,s:o}", "boxes_ns", (json_int_t)timing->boxes, "ready_ns",
			  (json_int_t)timing->ready, "workload_ns", (json_int_t)timing->workload, "check_ns",
			  (json_int_t)timing->check, "stop_ns", (json_int_t)timing->stop, "harness_ns", (json_int_t)rest,
			  "cpu_ns", json_number(timing->cpu));
	json_object_set_new(object, "print", prints_object(prints));
	json_object_set_new(object, "timing", times);
	if (*directory)
		json_object_set_new(object, "directory", json_text(directory));
	json_dumpf(object, out, JSON_COMPACT);
	fputc('\n', out);
	json_decref(object);
}

struct list {
	struct json_writer w;
	bool prints;
};

static int on_row(const struct store_run *row, const struct prints *prints, void *arg)
{
	json_t *object = row_object(row);
	struct list *list = arg;

	if (list->prints)
		json_object_set_new(object, "print", prints_object(prints));
	json_element(&list->w, object);
	return 0;
}

int show_runs_json(show_each_run *each, void *from, bool prints, FILE *out, struct error *e)
{
	struct list list = { .prints = prints };
	int err;

	json_begin(&list.w, out);
	json_array_begin(&list.w, "runs");
	err = each(from, prints, on_row, &list, e);
	json_array_end(&list.w);
	json_end(&list.w);
	if (!err && list.w.failed)
		err = error_set(e, -ENOMEM, "out of memory");
	return err;
}

static void status_members(json_t *object, const struct show_status *status)
{
	bool killed = status->exited && WIFSIGNALED(status->status);

	json_object_set_new(object, "status",
			    !status->exited ? json_null() :
			    killed	    ? json_integer(128 + WTERMSIG(status->status)) :
					      json_integer(WEXITSTATUS(status->status)));
	json_object_set_new(object, "signal", killed ? json_integer(WTERMSIG(status->status)) : json_null());
}

static int written_members(json_t *object, const struct run *run, uint32_t process, struct error *e)
{
	static const char *const keys[][2] = { { "stdout", "stdout_left_out" }, { "stderr", "stderr_left_out" } };
	uint64_t left_out;
	size_t size;
	char *written;

	for (int stream = 0; stream < 2; stream++) {
		written = show_written(run, process, stream + 1, &size, &left_out);
		if (!written)
			return error_set(e, -ENOMEM, "out of memory");
		json_object_set_new(object, keys[stream][0], json_text_n(written, size));
		json_object_set_new(object, keys[stream][1], json_number(left_out));
		free(written);
	}
	return 0;
}

static const char *role_name(const struct run *run, const char *process)
{
	for (size_t i = 0; process && i < run->n_processes; i++)
		if (run->processes[i].role != STORE_CHECK && !strcmp(process, run->processes[i].name))
			return run->processes[i].role == STORE_WORKLOAD ? "workload" : "process";
	return NULL;
}

static const char *process_name(const struct trace *trace, uint32_t process)
{
	return process && process <= trace->n_processes ? trace->processes[process].name : NULL;
}

static const char *box_name(const struct trace *trace, uint32_t box)
{
	return box && box <= trace->n_boxes ? trace->boxes[box].name : NULL;
}

static int processes_write(struct json_writer *w, const struct run *run, struct error *e)
{
	const struct trace *trace = &run->trace;
	struct show_status *statuses = NULL;
	int err = show_statuses(run, &statuses, e);

	json_array_begin(w, "processes");
	for (uint32_t i = 1; i <= trace->n_processes && !err; i++) {
		const struct trace_process *process = &trace->processes[i];
		json_t *object = json_object();

		json_object_set_new(object, "name", json_text(process->name));
		json_object_set_new(object, "role", json_text(role_name(run, process->name)));
		json_object_set_new(object, "parent", json_text(process_name(trace, process->parent)));
		json_object_set_new(object, "box", json_text(box_name(trace, process->box)));
		json_object_set_new(object, "pid", json_integer(process->pid));
		json_object_set_new(object, "command", json_text(process->command));
		status_members(object, &statuses[i]);
		err = written_members(object, run, i, e);
		json_element(w, object);
	}
	json_array_end(w);
	free(statuses);
	return err;
}

/* null without a check, or before the end of the run. */
static void check_write(struct json_writer *w, const struct run *run)
{
	json_t *object = json_null();

	for (size_t i = 0; i < run->n_processes; i++) {
		const struct store_process *check = &run->processes[i];
		struct show_status status = { check->exited, check->status };

		if (check->role != STORE_CHECK)
			continue;
		object = json_object();
		json_object_set_new(object, "box", json_text(check->box));
		json_object_set_new(object, "command", json_text(check->command));
		json_object_set_new(object, "started", json_boolean(check->started));
		status_members(object, &status);
		json_object_set_new(object, "output",
				    check->output ? json_text_n(check->output, check->output_size) : json_string(""));
	}
	json_member(w, "check", object);
}

static void boxes_write(struct json_writer *w, const struct trace *trace)
{
	json_array_begin(w, "boxes");
	for (size_t i = 1; i <= trace->n_boxes; i++) {
		const struct trace_box *box = &trace->boxes[i];
		json_t *object = json_object();

		json_object_set_new(object, "name", json_text(box->name));
		json_object_set_new(object, "address", json_text(box->address));
		json_object_set_new(object, "address6", json_text(box->address6 && *box->address6 ? box->address6 : NULL));
		json_element(w, object);
	}
	json_array_end(w);
}

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

static int connections_write(struct json_writer *w, const struct graph *graph, struct error *e)
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
		json_object_set_new(object, "from", json_text(process_name(trace, graph_connection_process(trace, c))));
		json_object_set_new(object, "to", json_text(process_name(trace, c->acceptor_process)));
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

/* The process and thread of a vertex, as far as there are such. */
static void place_members(json_t *object, const struct graph *graph, const struct graph_vertex *v,
			  const struct event *event)
{
	const char *process = process_name(graph->trace, v->process);

	json_object_set_new(object, "process", json_text(process));
	json_object_set_new(object, "thread", process && event->order ? json_integer(event->thread) : json_null());
	json_object_set_new(object, "box", json_text(box_name(graph->trace, event->box)));
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

static bool is_datagram(const struct trace *trace, const struct event *event)
{
	return event->end && event->end <= trace->n_ends && trace->ends[event->end].transport == TRANSPORT_UDP;
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
		json_object_set_new(object, "pos", is_datagram(trace, event) ? json_null() : json_integer((json_int_t)event->pos));
	} else if (event->kind == EVENT_CLOSE || event->kind == EVENT_RESET) {
		json_object_set_new(object, "pos", json_integer((json_int_t)event->pos));
	} else if (event->kind == EVENT_EXIT && !(event->flags & EVENT_F_THREAD)) {
		status_members(object, &status);
	} else if (event_is_fault(event->kind)) {
		json_object_set_new(object, "fault", json_integer(event->value));
	} else if (event->kind == EVENT_LISTEN || event->kind == EVENT_LOST) {
		json_object_set_new(object, event->kind == EVENT_LOST ? "lost" : "port", json_integer(event->value));
	}
	if (event->value < 0 && event->value > -4096 && event->value != -EINPROGRESS && event->kind != EVENT_EXIT &&
	    event->kind != EVENT_LOST)
		json_object_set_new(object, "error", json_text(strerrorname_np((int)-event->value)));
	if (event->peer && !event_is_fault(event->kind))
		json_object_set_new(object, "child", json_text(process_name(trace, event->peer)));
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

static void edges_write(struct json_writer *w, const struct graph *graph)
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
			    (is_datagram(graph->trace, event) && receives[message] == UINT32_MAX))
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

static int messages_write(struct json_writer *w, const struct graph *graph, struct error *e)
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

static void holes_write(struct json_writer *w, const struct graph *graph)
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

/* null: the run had no plan, and no seed. */
static json_t *plan_object(const struct store_run *row)
{
	json_t *object, *lines;

	if (!row->plan && !row->seed)
		return json_null();
	object = json_object();
	lines = json_array();
	for (const char *line = row->plan, *end; line && *line; line = end + 1) {
		end = strchrnul(line, '\n');
		json_array_append_new(lines, json_stringn(line, (size_t)(end - line)));
		if (!*end)
			break;
	}
	json_object_set_new(object, "lines", lines);
	json_object_set_new(object, "seed", row->seed ? json_integer((json_int_t)row->seed) : json_null());
	json_object_set_new(object, "dry_run", json_boolean(row->dry_run));
	json_object_set_new(object, "racy", json_boolean(row->racy));
	return object;
}

static void row_write(struct json_writer *w, const struct run *run)
{
	json_t *object = row_object(run->row), *value;
	const char *key;

	json_object_del(object, "holes"); /* here, a list of them */
	json_object_del(object, "messages");
	json_object_del(object, "faults");
	json_object_foreach(object, key, value)
		json_member(w, key, json_incref(value));
	json_decref(object);
	json_member(w, "file", json_text(run->row->path));
	json_member(w, "version", json_text(run->row->version));
	json_member(w, "host", json_text(run->n_streams ? run->streams[0].host : NULL));
	json_member(w, "kernel", json_text(run->n_streams ? run->streams[0].kernel : NULL));
	json_member(w, "backend", json_text(run->n_streams ? run->streams[0].backend : NULL));
	json_array_begin(w, "agents");
	for (size_t i = 0; i < run->n_streams; i++)
		json_element(w, json_pack("{s:o,s:o,s:o}", "host", json_text(run->streams[i].host), "kernel",
					  json_text(run->streams[i].kernel), "backend", json_text(run->streams[i].backend)));
	json_array_end(w);
	json_member(w, "warnings", json_text(run->row->warnings));
	json_member(w, "plan", plan_object(run->row));
}

/* null: the file that was kept with the run cannot be read. */
static void roles_write(struct json_writer *w, const struct run *run)
{
	struct experiment_role *roles = NULL;
	json_t *object = json_null();
	struct error e;
	size_t n = 0;

	if (!experiment_roles_read(run->row->path ? run->row->path : "", run->row->text ? run->row->text : "", &roles, &n, &e))
		object = json_object();
	for (size_t i = 0; i < n; i++) {
		json_t *members = json_array();

		for (char **member = roles[i].members; *member; member++)
			json_array_append_new(members, json_text(*member));
		json_object_set_new(object, roles[i].name, members);
	}
	experiment_roles_free(roles, n);
	json_member(w, "roles", object);
}

int show_run_json(const struct run *run, const struct graph *graph, FILE *out, struct error *e)
{
	struct prints prints;
	struct json_writer w;
	int err = prints_make(run, run->row, graph, &prints, e);

	if (err < 0)
		return err;
	json_begin(&w, out);
	row_write(&w, run);
	json_member(&w, "order", json_string(graph->order == GRAPH_ORDER_THREAD ? "thread" : "process"));
	json_member(&w, "print", prints_object(&prints));
	json_member(&w, "events_of", json_number(run->events_of));
	roles_write(&w, run);
	boxes_write(&w, &run->trace);
	err = processes_write(&w, run, e);
	if (err < 0)
		return err;
	check_write(&w, run);
	err = connections_write(&w, graph, e);
	if (err < 0)
		return err;
	err = messages_write(&w, graph, e);
	if (err < 0)
		return err;
	holes_write(&w, graph);
	show_faults_json(run, graph, &w);
	json_member(&w, "unmatched_bytes", json_number(graph->unmatched_bytes));
	json_member(&w, "unmatched_datagrams", json_number(graph->unmatched_datagrams));
	json_member(&w, "contradicted", json_number(graph->contradicted));
	json_array_begin(&w, "vertices");
	for (size_t i = 0; i < graph->n_vertices && !ferror(out); i++)
		json_element(&w, vertex_object(run, graph, (uint32_t)i));
	json_array_end(&w);
	edges_write(&w, graph);
	json_end(&w);
	return w.failed ? error_set(e, -ENOMEM, "out of memory") : 0;
}
