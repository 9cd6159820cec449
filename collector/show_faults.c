/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The faults of a run, for people and for programs: those of its plan, also when nothing was heard of them, and those
 * that were injected. What became of each is in its receipt and in the graph.
 */
#include <inttypes.h>
#include <string.h>

#include "collector/json.h"
#include "collector/receipt.h"
#include "collector/show.h"
#include "lib/clock.h"

enum { FAULTS_SHOWN = 100, TEXT_SIZE = 1024 };

/* Where it fired: "at 0.012345 s, in client, send client>s1:7000#1/3". */
static void fired_text(const struct run *run, const struct graph *graph, const struct graph_fault *fault, char *buf,
		       size_t size)
{
	const struct graph_vertex *v = fault->fired != UINT32_MAX ? &graph->vertices[fault->fired] : NULL;
	const char *process = v && v->process ? graph->trace->processes[v->process].name : NULL;
	uint64_t at = v ? graph->trace->events[v->event].enter_ns : fault->receipt ? fault->receipt->fired_ns : 0;
	char label[256];
	int n;

	*buf = '\0';
	if (!at)
		return;
	n = snprintf(buf, size, "at %.6f s", (double)run_time(run, at) / CLOCK_SECOND_NS);
	if (process)
		n += snprintf(buf + n, size - (size_t)n, ", in %s", process);
	if (fault->call == UINT32_MAX || (size_t)n >= size)
		return;
	graph_vertex_label(graph, fault->call, label, sizeof(label));
	snprintf(buf + n, size - (size_t)n, ", at %s %s",
		 event_kind_name(graph->trace->events[graph->vertices[fault->call].event].kind), label);
}

static void join(char *buf, size_t size, const char *text)
{
	size_t n = strlen(buf);

	if (*text)
		snprintf(buf + n, size - n, "%s%s", n ? "; " : "", text);
}

static void fault_print_one(const struct run *run, const struct graph *graph, const struct graph_fault *fault,
			    FILE *out)
{
	char text[TEXT_SIZE] = "", part[TEXT_SIZE];

	fprintf(out, "  %5" PRIu32 "  %-23s %s\n", fault->id, graph_fault_words(fault),
		*fault->text ? fault->text : "?");
	fired_text(run, graph, fault, part, sizeof(part));
	join(text, sizeof(text), part);
	if (fault->receipt) {
		receipt_text(fault->receipt, part, sizeof(part));
		join(text, sizeof(text), part);
	}
	if (fault->lost_messages) {
		snprintf(part, sizeof(part), "%" PRIu32 " message%s, %" PRIu64 " B lost", fault->lost_messages,
			 fault->lost_messages == 1 ? "" : "s", fault->lost_bytes);
		join(text, sizeof(text), part);
	}
	if (*text)
		fprintf(out, "%33s%s\n", "", text);
}

void show_faults(const struct run *run, const struct graph *graph, bool all, FILE *out)
{
	size_t limit = all ? SIZE_MAX : FAULTS_SHOWN, n = 0, size;
	uint32_t planned = run->row->faults;
	const char *line = run->row->plan ? run->row->plan : "";
	const char *unheard = run->row->running ? fault_state_name(FAULT_STATE_NONE) :
			      run->row->outcome == OUTCOME_ERROR ? "not armed" : "nothing was heard";

	if (!planned && !graph->n_faults)
		return;
	fprintf(out, "\nfaults\n  %5s  %-23s %s\n", "FAULT", "STATE", "LINE");
	for (uint32_t id = 1; id <= planned; id++, line += size + (line[size] == '\n')) {
		const struct graph_fault *fault = graph_fault_find(graph, id);

		size = strcspn(line, "\n");
		if (n++ >= limit)
			continue;
		if (fault)
			fault_print_one(run, graph, fault, out);
		else
			fprintf(out, "  %5" PRIu32 "  %-23s %.*s\n", id, unheard, (int)size, line);
	}
	for (size_t i = 0; i < graph->n_faults; i++) /* those that were injected */
		if ((!graph->faults[i].id || graph->faults[i].id > planned) && n++ < limit)
			fault_print_one(run, graph, &graph->faults[i], out);
	if (n > limit)
		fprintf(out, "  ... %zu more: --all lists them, --json has everything\n", n - limit);
}

static json_t *vertex_json(uint32_t vertex)
{
	return vertex == UINT32_MAX ? json_null() : json_integer(vertex);
}

static json_t *time_json(const struct run *run, uint64_t ns)
{
	return ns ? json_integer(run_time(run, ns)) : json_null();
}

static json_t *fault_object(const struct run *run, const struct graph *graph, const struct graph_fault *fault)
{
	const struct fault_receipt none = { .id = fault->id, .line = (char *)fault->text };
	const struct fault_receipt *receipt = fault->receipt ? fault->receipt : &none;
	const struct graph_vertex *fired = fault->fired != UINT32_MAX ? &graph->vertices[fault->fired] : NULL;
	json_t *object = receipt_object(receipt), *flags = json_array();

	if (!fault->receipt)
		json_object_set_new(object, "state", json_null());
	json_object_set_new(object, "fault", json_text(fault->text));
	json_object_set_new(object, "kind", fault->kind ? json_string(fault_kind_name(fault->kind)) : json_null());
	if (fault->flags & FAULT_F_ONEWAY)
		json_array_append_new(flags, json_string("oneway"));
	if (fault->flags & FAULT_F_TIMEOUT)
		json_array_append_new(flags, json_string("timeout"));
	if (fault->flags & FAULT_F_SILENT)
		json_array_append_new(flags, json_string("silent"));
	json_object_set_new(object, "flags", flags);
	json_object_set_new(object, "acted", json_boolean(fault->acts));
	json_object_set_new(object, "fired_ns",
			    time_json(run, fired ? graph->trace->events[fired->event].enter_ns : receipt->fired_ns));
	json_object_set_new(object, "ended_ns", time_json(run, receipt->ended_ns));
	json_object_set_new(object, "armed_vertex", vertex_json(fault->armed));
	json_object_set_new(object, "fired_vertex", vertex_json(fault->fired));
	json_object_set_new(object, "ended_vertex", vertex_json(fault->ended));
	json_object_set_new(object, "lost_messages", json_integer(fault->lost_messages));
	json_object_set_new(object, "lost_bytes", json_number(fault->lost_bytes));
	return object;
}

void show_faults_json(const struct run *run, const struct graph *graph, struct json_writer *w)
{
	json_array_begin(w, "faults");
	for (size_t i = 0; i < graph->n_faults; i++)
		json_element(w, fault_object(run, graph, &graph->faults[i]));
	json_array_end(w);
}
