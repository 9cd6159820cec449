/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Runs as text for people. Widths adapt to what is there; nothing is cut. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#include "collector/show.h"
#include "lib/clock.h"

enum { PROCESSES_SHOWN = 100, MESSAGES_SHOWN = 50, HOLES_SHOWN = 20 };

static void duration_text(uint64_t ns, char *buf, size_t size)
{
	double seconds = (double)ns / CLOCK_SECOND_NS;

	if (ns == STORE_UNKNOWN)
		snprintf(buf, size, "?");
	else
		snprintf(buf, size, seconds < 100 ? "%.2f s" : "%.0f s", seconds);
}

static void number_text(uint64_t number, char *buf, size_t size)
{
	if (number == STORE_UNKNOWN)
		snprintf(buf, size, "?");
	else
		snprintf(buf, size, "%" PRIu64, number);
}

static const char *when_text(uint64_t realtime_ns, char *buf, size_t size)
{
	time_t seconds = (time_t)(realtime_ns / CLOCK_SECOND_NS);
	struct tm tm;

	localtime_r(&seconds, &tm);
	strftime(buf, size, "%Y-%m-%d %H:%M:%S", &tm);
	return buf;
}

/* The outcome, and whether the run is whole. */
static void outcome_text(const struct store_run *row, char *buf, size_t size)
{
	const char *name = outcome_name(row->outcome);

	snprintf(buf, size, "%s%s", row->running ? "running" : name ? name : "?",
		 row->incomplete && !row->running ? ", incomplete" : "");
}

static void losses_print(const struct store_run *row, FILE *out)
{
	if (row->incomplete && row->lost == STORE_UNKNOWN)
		fprintf(out, "  INCOMPLETE: the record ends before the run did; what came after is unknown\n");
	else if (row->lost && row->lost != STORE_UNKNOWN)
		fprintf(out, "  LOST: %" PRIu64 " events are missing from this run\n", row->lost);
	if (row->holes && row->holes != STORE_UNKNOWN)
		fprintf(out, "  HOLES: %" PRIu64 " places where bytes passed that no event shows (bop show)\n", row->holes);
}

static void counts_text(const struct store_run *row, char *buf, size_t size)
{
	char events[24], messages[24], lost[24];

	number_text(row->events, events, sizeof(events));
	number_text(row->messages, messages, sizeof(messages));
	number_text(row->lost, lost, sizeof(lost));
	snprintf(buf, size, "%s events  %s messages  %s lost", events, messages, lost);
}

/* The second one if it changes when processes of one role are swapped. */
static void level_print(const struct prints *prints, enum print_level level, const char *head, FILE *out)
{
	const struct print *own = &prints->own[level], *symmetric = &prints->symmetric[level];
	char text[PRINT_TEXT_SIZE];

	print_text(own, text);
	fprintf(out, "  %s %s%s\n", head, text, own->approximate ? " (approximate)" : "");
	if (!prints->has_symmetric || !print_compare(own, symmetric))
		return;
	print_text(symmetric, text);
	fprintf(out, "  %*s %s up to its roles%s\n", (int)strlen(head), "", text, symmetric->approximate ? " (approximate)" : "");
}

static void prints_print(const struct prints *prints, bool all, const char *const heads[PRINT_LEVEL_COUNT], FILE *out)
{
	const char *head = heads[PRINT_LEVEL_EXACT];

	for (enum print_level level = 0; level < (all ? prints->n_levels : 1); level++)
		level_print(prints, level, heads[level], out);
	if (prints->why_not)
		fprintf(out, "  %*s does not count: %s\n", (int)strlen(head), "", prints->why_not);
}

/* As words for a shell. */
static void store_print(const char *store, FILE *out)
{
	char name[STORE_NAME_MAX];
	const char *quote;

	if (!store)
		return;
	quote = strpbrk(store_name(store, name), "?&") ? "'" : "";
	fprintf(out, " --store %s%s%s", quote, name, quote);
}

void show_run_line(const struct run *run, const struct prints *prints, bool all, const char *store, FILE *out)
{
	static const char *const heads[] = { "print:", "folded:", "shape:" };
	const struct store_run *row = run->row;
	char outcome[64], duration[32], counts[96], class[SHOW_CLASS_SIZE];

	outcome_text(row, outcome, sizeof(outcome));
	show_class_words(row, class, sizeof(class));
	duration_text(row->duration_ns, duration, sizeof(duration));
	counts_text(row, counts, sizeof(counts));
	fprintf(out, "run %" PRIu64 "  %s  %s  %s  %s%s%s\n", row->id, row->experiment, outcome, duration, counts,
		row->class_id ? "  " : "", row->class_id ? class : "");
	losses_print(row, out);
	if (row->reason && row->outcome != OUTCOME_ERROR)
		fprintf(out, "  why: %s\n", row->reason);
	if (prints)
		prints_print(prints, all, heads, out);
	if (row->events) {
		fprintf(out, "  picture: bop graph %" PRIu64, row->id);
		store_print(store, out);
		fprintf(out, " -o %s.svg\n", row->experiment);
	}
}

struct table {
	bool prints;
	FILE *out;
	int width; /* of experiment names; 0: only measuring */
	int measured;
	size_t n;
};

/* Only those that count; a run that cannot be read has none. */
static void columns_print(const struct table *table, const struct prints *prints)
{
	for (enum print_level level = 0; level < PRINT_LEVEL_COUNT; level++) {
		char text[PRINT_TEXT_SIZE] = "?";

		if (prints && prints->why_not)
			strcpy(text, "-");
		else if (prints && level < prints->n_levels)
			print_text(&prints->own[level], text);
		fprintf(table->out, level + 1 < PRINT_LEVEL_COUNT ? "  %-32s" : "  %s", text);
	}
}

static int on_row(const struct store_run *stored, const struct prints *prints, void *arg)
{
	struct store_run row = *stored;
	struct table *table = arg;
	char when[32], outcome[64], events[24], lost[24], duration[32], faults[24], class[SHOW_CLASS_SIZE];
	int n = (int)strlen(row.experiment);

	if (n > table->measured)
		table->measured = n;
	if (!table->width)
		return 0;
	outcome_text(&row, outcome, sizeof(outcome));
	number_text(row.running ? STORE_UNKNOWN : row.events, events, sizeof(events));
	number_text(row.running ? STORE_UNKNOWN : row.lost, lost, sizeof(lost));
	duration_text(row.running ? STORE_UNKNOWN : row.duration_ns, duration, sizeof(duration));
	number_text(row.faults, faults, sizeof(faults));
	show_class_words(&row, class, sizeof(class));
	fprintf(table->out, "%4" PRIu64 "  %s  %-*s  %-19s %6s %9s %6s %9s  %-*s", row.id,
		when_text(row.started_ns, when, sizeof(when)), table->width, row.experiment, outcome,
		row.faults ? faults : "-", events, lost, duration, table->prints ? 18 : 0, class);
	if (table->prints)
		columns_print(table, prints);
	fputc('\n', table->out);
	table->n++;
	return 0;
}

int show_runs(show_each_run *each, void *from, bool prints, FILE *out, struct error *e)
{
	static const char columns[] = "  PRINT                             FOLDED                            SHAPE";
	struct table table = { .prints = prints, .out = out, .measured = (int)strlen("EXPERIMENT") };
	int err;

	err = each(from, false, on_row, &table, e);
	if (err < 0)
		return err;
	table.width = table.measured;
	fprintf(out, "%4s  %-19s  %-*s  %-19s %6s %9s %6s %9s  %-*s%s\n", "RUN", "WHEN", table.width, "EXPERIMENT", "OUTCOME",
		"FAULTS", "EVENTS", "LOST", "DURATION", prints ? 18 : 0, "CLASS", prints ? columns : "");
	return each(from, prints, on_row, &table, e);
}

static void plan_print(const struct store_run *row, FILE *out)
{
	if (row->plan)
		fprintf(out, "  plan      %" PRIu32 " fault%s%s%s\n", row->faults, row->faults == 1 ? "" : "s",
			row->dry_run ? ", a dry run: nothing was to happen" : "",
			row->racy ? ", racy labels allowed" : "");
	if (row->seed)
		fprintf(out, "  seed      %" PRIu64 "\n", row->seed);
}

static void head_print(const struct run *run, const struct prints *prints, FILE *out)
{
	static const char *const heads[] = { "print    ", "folded   ", "shape    " };
	const struct store_run *row = run->row;
	char when[32], duration[32], counts[96], outcome[64];

	outcome_text(row, outcome, sizeof(outcome));
	duration_text(row->running ? STORE_UNKNOWN : row->duration_ns, duration, sizeof(duration));
	counts_text(row, counts, sizeof(counts));
	fprintf(out, "run %" PRIu64 "  %s  %s\n", row->id, row->experiment, outcome);
	if (row->reason)
		fprintf(out, "  why       %s\n", row->reason);
	fprintf(out, "  started   %s, took %s\n", when_text(row->started_ns, when, sizeof(when)), duration);
	fprintf(out, "  recorded  %s\n", row->running ? "it is still being recorded" : counts);
	prints_print(prints, true, heads, out);
	show_events_line(run, out);
	fprintf(out, "  file      %s\n", row->path);
	for (size_t i = 0; i < run->n_agents; i++)
		fprintf(out, "  machine   %s, Linux %s, %s\n", run->agents[i].host, run->agents[i].kernel,
			run->agents[i].backend);
	losses_print(row, out);
	plan_print(row, out);
	if (row->warnings)
		fprintf(out, "  WARNINGS:\n");
	for (const char *line = row->warnings, *end; line; line = *end ? end + 1 : NULL) {
		end = strchrnul(line, '\n');
		fprintf(out, "    %.*s\n", (int)(end - line), line);
	}
}

static int processes_print(const struct run *run, bool all, FILE *out, struct error *e)
{
	const struct trace *trace = &run->trace;
	struct show_status *statuses = NULL, status;
	int err = show_statuses(run, &statuses, e);
	size_t n = all || trace->n_processes <= PROCESSES_SHOWN ? trace->n_processes : PROCESSES_SHOWN;
	char text[32];

	if (err < 0)
		return err;
	fprintf(out, "\nprocesses\n  %-16s %-12s %8s %-10s %s\n", "NAME", "BOX", "PID", "STATUS", "COMMAND");
	for (size_t i = 1; i <= n; i++) {
		const struct trace_process *process = &trace->processes[i];
		const char *box = process->box && process->box <= trace->n_boxes ? trace->boxes[process->box].name : NULL;

		show_status_text(&statuses[i], text, sizeof(text));
		fprintf(out, "  %-16s %-12s %8d %-10s %s\n", process->name ? process->name : "?", box ? box : "-",
			process->pid, text, process->command ? process->command : "");
	}
	if (n < trace->n_processes)
		fprintf(out, "  ... %zu more: --all lists them, --json has everything\n", trace->n_processes - n);
	for (size_t i = 0; i < run->n_processes; i++) {
		const struct store_process *process = &run->processes[i];

		if (process->role != STORE_CHECK)
			continue;
		status = (struct show_status){ process->exited, process->status };
		show_status_text(&status, text, sizeof(text));
		fprintf(out, "  %-16s %-12s %8s %-10s %s\n", "(check)", process->box, "",
			process->started ? text : "not run", process->command);
	}
	free(statuses);
	return 0;
}

static void message_print(const struct run *run, const struct graph *graph, uint32_t vertex, const char *content, FILE *out)
{
	const struct graph_vertex *v = &graph->vertices[vertex];
	const struct graph_message *m = &graph->messages[graph->vertex_messages[v->first_message]];
	uint64_t sent = graph->trace->events[v->event].enter_ns;
	char label[256], received[96] = "";

	graph_message_label(graph, graph->vertex_messages[v->first_message], label, sizeof(label));
	if (m->lost_by && m->delivered)
		snprintf(received, sizeof(received), "  only %" PRIu64 " bytes received, the rest lost: fault %" PRIu32,
			 m->received, m->lost_by);
	else if (m->lost_by)
		snprintf(received, sizeof(received), "  lost: fault %" PRIu32, m->lost_by);
	else if (!m->delivered)
		snprintf(received, sizeof(received), "  not received");
	else if (m->received < m->size)
		snprintf(received, sizeof(received), "  only %" PRIu64 " bytes received", m->received);
	fprintf(out, "  %10.6f s %10" PRIu64 "  %s%s%s%s%s%s\n", (double)run_time(run, sent) / CLOCK_SECOND_NS, m->size, label,
		m->racy ? "!" : "", received, v->teardown ? "  (teardown)" : "", *content ? "  " : "", content);
}

static int messages_print(const struct run *run, const struct graph *graph, bool all, FILE *out, struct error *e)
{
	uint32_t *order = NULL;
	size_t shown = 0, limit = all ? SIZE_MAX : MESSAGES_SHOWN;
	char *content;

	if (!graph->n_messages)
		return 0;
	if (graph_topological(graph, &order) < 0)
		return error_set(e, -ENOMEM, "out of memory");
	fprintf(out, "\nmessages, in an order that contradicts no cause\n  %12s %10s  %s\n", "SENT", "BYTES", "MESSAGE");
	for (size_t i = 0; i < graph->n_vertices && shown < limit; i++) {
		const struct graph_vertex *v = &graph->vertices[order[i]];
		const struct event *event = &graph->trace->events[v->event];
		if (event->kind != EVENT_SEND || !v->n_messages || (event->flags & EVENT_F_CONTINUED))
			continue;
		content = graph_content_text(graph, graph->vertex_messages[v->first_message], SIZE_MAX);
		if (!content) {
			free(order);
			return error_set(e, -ENOMEM, "out of memory");
		}
		message_print(run, graph, order[i], content, out);
		free(content);
		shown++;
	}
	if (shown < graph->n_messages && !all)
		fprintf(out, "  ... %zu more: --all lists them, --json has everything\n", graph->n_messages - shown);
	free(order);
	return 0;
}

static void holes_print(const struct graph *graph, FILE *out)
{
	if (graph->unmatched_bytes)
		fprintf(out, "\n%" PRIu64 " bytes were received whose send was not recorded\n", graph->unmatched_bytes);
	if (graph->unmatched_datagrams)
		fprintf(out, "\n%" PRIu64 " datagrams were received of which it is not known which send's they are\n",
			graph->unmatched_datagrams);
	if (graph->contradicted)
		fprintf(out, "\n%" PRIu64 " edges of datagrams, unix-domain sockets or pipes contradict the order of a process; they are "
			     "left out\n", graph->contradicted);
	if (!graph->n_holes)
		return;
	fprintf(out, "\nholes: bytes that must have passed a call which no event shows\n");
	for (size_t i = 0; i < graph->n_holes && i < HOLES_SHOWN; i++) {
		const struct graph_hole *hole = &graph->holes[i];

		fprintf(out, "  %s %s: a %s of bytes %" PRIu64 " to %" PRIu64 "\n", graph->connections[hole->connection].label,
			hole->direction ? "<" : ">", hole->receive_side ? "receive" : "send", hole->from, hole->to);
	}
	if (graph->n_holes > HOLES_SHOWN)
		fprintf(out, "  ... %zu more: --json has them\n", graph->n_holes - HOLES_SHOWN);
}

int show_run(const struct run *run, const struct graph *graph, bool all, FILE *out, struct error *e)
{
	struct prints prints;
	int err = prints_make(run, run->row, graph, &prints, e);

	if (err < 0)
		return err;
	head_print(run, &prints, out);
	show_faults(run, graph, all, out);
	err = processes_print(run, all, out, e);
	if (!err)
		err = show_connections(graph, all, out, e);
	if (!err)
		err = messages_print(run, graph, all, out, e);
	if (!err)
		holes_print(graph, out);
	return err;
}

static void written_print(const char *name, const char *stream, const char *text, size_t size, uint64_t left_out,
			  FILE *out)
{
	if (!size)
		return;
	fprintf(out, "== %s %s ==\n", name, stream);
	fwrite(text, 1, size, out);
	if (text[size - 1] != '\n')
		fputc('\n', out);
	if (left_out)
		fprintf(out, "== %s %s: %" PRIu64 " bytes in between or after were not kept ==\n", name, stream, left_out);
}

int show_output(const struct run *run, FILE *out, struct error *e)
{
	const struct trace *trace = &run->trace;
	uint64_t left_out;
	size_t size;
	char *text;

	for (uint32_t i = 1; i <= trace->n_processes; i++)
		for (int stream = 1; stream <= 2; stream++) {
			text = show_written(run, i, stream, &size, &left_out);
			if (!text)
				return error_set(e, -ENOMEM, "out of memory");
			written_print(trace->processes[i].name ? trace->processes[i].name : "?",
				      stream == 1 ? "stdout" : "stderr", text, size, left_out, out);
			free(text);
		}
	for (size_t i = 0; i < run->n_processes; i++)
		if (run->processes[i].role == STORE_CHECK && run->processes[i].output)
			written_print("check", "output", run->processes[i].output, run->processes[i].output_size, 0, out);
	return 0;
}
