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
#include "collector/show_json.h"

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

void show_status_json(json_t *object, const struct show_status *status)
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
		json_object_set_new(object, "parent", json_text(show_process_name(trace, process->parent)));
		json_object_set_new(object, "box", json_text(show_box_name(trace, process->box)));
		json_object_set_new(object, "pid", json_integer(process->pid));
		json_object_set_new(object, "command", json_text(process->command));
		show_status_json(object, &statuses[i]);
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
		show_status_json(object, &status);
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
	json_member(w, "host", json_text(run->n_agents ? run->agents[0].host : NULL));
	json_member(w, "kernel", json_text(run->n_agents ? run->agents[0].kernel : NULL));
	json_member(w, "backend", json_text(run->n_agents ? run->agents[0].backend : NULL));
	json_array_begin(w, "agents");
	for (size_t i = 0; i < run->n_agents; i++)
		json_element(w, json_pack("{s:o,s:o,s:o}", "host", json_text(run->agents[i].host), "kernel",
					  json_text(run->agents[i].kernel), "backend", json_text(run->agents[i].backend)));
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
	err = show_connections_json(graph, &w, e);
	if (err < 0)
		return err;
	err = show_messages_json(graph, &w, e);
	if (err < 0)
		return err;
	show_holes_json(graph, &w);
	show_faults_json(run, graph, &w);
	json_member(&w, "unmatched_bytes", json_number(graph->unmatched_bytes));
	json_member(&w, "unmatched_datagrams", json_number(graph->unmatched_datagrams));
	json_member(&w, "contradicted", json_number(graph->contradicted));
	show_vertices_json(run, graph, &w);
	show_edges_json(graph, &w);
	json_end(&w);
	return w.failed ? error_set(e, -ENOMEM, "out of memory") : 0;
}
