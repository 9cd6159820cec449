/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A run in the words of other programs (docs/lineage.md): Molly's runs.json, the table of messages that detsys reads,
 * ShiViz. All in logical time. See query.h.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "collector/json.h"
#include "collector/query_inside.h"
#include "lib/large.h"

enum { LABEL_SIZE = 2048, CLOCKS_MAX = 1 << 26 /* numbers in all vector clocks of a run */ };

static const char *process_name(const struct graph *g, uint32_t process)
{
	const char *name = process && process <= g->trace->n_processes ? g->trace->processes[process].name : NULL;

	return name ? name : "?";
}

/* The fault that killed a process, by process; 0: none did. Caller frees. */
static uint32_t *killers_find(const struct graph *g)
{
	uint32_t *killers = calloc(g->trace->n_processes + 1, sizeof(*killers));

	for (size_t i = 0; killers && i < g->n_edges; i++) {
		const struct event *to = &g->trace->events[g->vertices[g->edges[i].to].event];
		const struct event *from = &g->trace->events[g->vertices[g->edges[i].from].event];

		if (g->edges[i].rule == RULE_FAULT && to->kind == EVENT_EXIT && from->kind == EVENT_FIRED &&
		    from->value > 0)
			killers[g->vertices[g->edges[i].to].process] = (uint32_t)from->value;
	}
	return killers;
}

/*
 * From when on a process that was killed sent nothing that arrived: the time of what its end took away, else of the
 * step behind its last.
 */
static uint64_t crash_time(const struct query_run *q, uint32_t process, uint32_t fault)
{
	uint64_t last = 0, taken = UINT64_MAX;

	for (uint32_t m = 0; m < q->graph->n_messages; m++) {
		const struct lineage_time *time = &q->times[m];

		if (lineage_sender(q->lineage, m) == process) {
			if (q->graph->messages[m].lost_by == fault && time->sent < taken)
				taken = time->sent;
			else if (q->graph->messages[m].lost_by != fault && time->sent > last)
				last = time->sent;
		} else if (lineage_receiver(q->lineage, m) == process && time->received && time->received - 1 > last) {
			last = time->received - 1;
		}
	}
	return taken != UINT64_MAX ? taken : last + 1;
}

static json_t *crashes_json(const struct query_run *q, const uint32_t *killers)
{
	json_t *array = json_array();

	for (uint32_t p = 1; p <= q->graph->trace->n_processes; p++)
		if (killers[p])
			json_array_append_new(array,
					      json_pack("{s:o,s:o}", "node", json_text(process_name(q->graph, p)),
							"time", json_number(crash_time(q, p, killers[p]))));
	return array;
}

/* Messages that faults took away, but for those that their sender's end did: that is a crash. */
static json_t *omissions_json(const struct query_run *q, const uint32_t *killers, uint64_t *ret_last)
{
	json_t *array = json_array();

	*ret_last = 0;
	for (uint32_t m = 0; m < q->graph->n_messages; m++) {
		uint32_t by = q->graph->messages[m].lost_by, from = lineage_sender(q->lineage, m);

		if (!by || killers[from] == by)
			continue;
		if (q->times[m].sent > *ret_last)
			*ret_last = q->times[m].sent;
		json_array_append_new(array,
				      json_pack("{s:o,s:o,s:o}", "from", json_text(process_name(q->graph, from)), "to",
						json_text(process_name(q->graph, lineage_receiver(q->lineage, m))),
						"time", json_number(q->times[m].sent)));
	}
	return array;
}

static json_t *nodes_json(const struct graph *g)
{
	json_t *array = json_array();

	for (uint32_t p = 1; p <= g->trace->n_processes; p++)
		if (g->trace->processes[p].name && !g->trace->processes[p].parent)
			json_array_append_new(array, json_text(g->trace->processes[p].name));
	return array;
}

static json_t *failure_json(const struct query_run *q, const uint32_t *killers)
{
	uint64_t eot = 0, last;
	json_t *omissions = omissions_json(q, killers, &last), *crashes = crashes_json(q, killers);

	for (uint32_t m = 0; m < q->graph->n_messages; m++)
		if (q->times[m].sent > eot)
			eot = q->times[m].sent;
	return json_pack("{s:o,s:o,s:o,s:o,s:o,s:o}", "eot", json_number(eot), "eff", json_number(last ? last + 1 : 0),
			 "maxCrashes", json_number(json_array_size(crashes)), "nodes", nodes_json(q->graph), "crashes",
			 crashes, "omissions", omissions);
}

int query_export_molly(const struct query_run *q, FILE *out, struct error *e)
{
	const struct store_run *row = q->run->row;
	uint32_t *killers = killers_find(q->graph);
	const char *status = row->outcome == OUTCOME_GOOD ? "success" : row->outcome == OUTCOME_VIOLATED ? "failure" :
			     outcome_name(row->outcome);
	struct json_writer w;
	char label[LABEL_SIZE];

	if (!killers)
		return error_set(e, -ENOMEM, "out of memory");
	fputc('[', out); /* of runs */
	json_begin(&w, out);
	json_member(&w, "iteration", json_number(row->id));
	json_member(&w, "status", json_text(status));
	json_member(&w, "failureSpec", failure_json(q, killers));
	json_member(&w, "model", json_pack("{s:{s:[],s:[]}}", "tables", "pre", "post"));
	json_array_begin(&w, "messages");
	for (uint32_t m = 0; m < q->graph->n_messages; m++) {
		graph_message_label(q->graph, m, label, sizeof(label));
		json_element(&w, json_pack("{s:o,s:o,s:o,s:o,s:o}", "table", json_text(label), "from",
					   json_text(process_name(q->graph, lineage_sender(q->lineage, m))), "to",
					   json_text(process_name(q->graph, lineage_receiver(q->lineage, m))),
					   "sendTime", json_number(q->times[m].sent), "receiveTime",
					   json_number(q->times[m].received ? q->times[m].received : STORE_UNKNOWN)));
	}
	json_array_end(&w);
	json_end(&w);
	fputs("]\n", out);
	free(killers);
	return w.failed ? error_set(e, -ENOMEM, "out of memory") : 0;
}

/* 'text', or NULL. */
static void sql_text(const char *text, FILE *out)
{
	fputc('\'', out);
	for (; *text; text++) {
		if (*text == '\'')
			fputc('\'', out);
		fputc(*text, out);
	}
	fputc('\'', out);
}

int query_export_sql(const struct query_run *q, FILE *out, struct error *e)
{
	const struct store_run *row = q->run->row;
	char label[LABEL_SIZE];

	fputs("CREATE TABLE IF NOT EXISTS network_trace (test_id TEXT, run_id INTEGER, message TEXT, sender TEXT, "
	      "receiver TEXT, kind TEXT,\n"
	      "  sent_logical_time INTEGER, recv_logical_time INTEGER, dropped INTEGER);\nBEGIN;\n",
	      out);
	for (uint32_t m = 0; m < q->graph->n_messages && !ferror(out); m++) {
		const struct lineage_time *time = &q->times[m];

		graph_message_label(q->graph, m, label, sizeof(label));
		fputs("INSERT INTO network_trace VALUES (", out);
		sql_text(row->experiment, out);
		fprintf(out, ", %" PRIu64 ", ", row->id);
		sql_text(label, out);
		fputs(", ", out);
		sql_text(process_name(q->graph, lineage_sender(q->lineage, m)), out);
		fputs(", ", out);
		sql_text(process_name(q->graph, lineage_receiver(q->lineage, m)), out);
		fprintf(out, ", 'message', %" PRIu64 ", ", time->sent);
		if (time->received)
			fprintf(out, "%" PRIu64, time->received);
		else
			fputs("NULL", out);
		fprintf(out, ", %d);\n", q->graph->messages[m].lost_by != 0);
	}
	fputs("COMMIT;\n", out);
	return 0;
}

/* It has a place in the order of its process. */
static bool has_place(const struct graph *g, uint32_t v)
{
	const struct event *event = &g->trace->events[g->vertices[v].event];

	return g->vertices[v].process && (event->order || event->kind == EVENT_START);
}

/* What a vertex knows of each process: how many events of it. */
static uint32_t *clocks_make(const struct query_run *q, const uint32_t *order)
{
	const struct graph *g = q->graph;
	size_t width = g->trace->n_processes + 1;
	uint32_t *clocks = large_calloc(g->n_vertices + 1, width * sizeof(*clocks));
	uint32_t *first =
		large_calloc(g->n_vertices + 2, sizeof(*first)); /* by vertex: its edges stand together in g->edges */

	if (!clocks || !first) {
		free(clocks);
		free(first);
		return NULL;
	}
	for (size_t i = 0; i < g->n_edges; i++)
		first[g->edges[i].from + 1]++;
	for (size_t v = 0; v < g->n_vertices; v++)
		first[v + 1] += first[v];
	for (size_t i = 0; i < g->n_vertices; i++) {
		uint32_t v = order[i], *own = clocks + v * width;

		if (has_place(g, v))
			own[g->vertices[v].process]++;
		for (uint32_t k = first[v]; k < first[v + 1]; k++) {
			uint32_t *next = clocks + g->edges[k].to * width;

			for (size_t p = 0; p < width && g->edges[k].rule != RULE_FAULT; p++)
				if (next[p] < own[p])
					next[p] = own[p];
		}
	}
	free(first);
	return clocks;
}

static void vertex_write(const struct graph *g, uint32_t v, const uint32_t *clock, FILE *out)
{
	const char *comma = "";
	char label[LABEL_SIZE];

	graph_vertex_label(g, v, label, sizeof(label));
	fprintf(out, "%s %s\n%s {", event_kind_name(g->trace->events[g->vertices[v].event].kind), label,
		process_name(g, g->vertices[v].process));
	for (uint32_t p = 1; p <= g->trace->n_processes; p++)
		if (clock[p]) {
			fprintf(out, "%s\"%s\": %" PRIu32, comma, process_name(g, p), clock[p]);
			comma = ", ";
		}
	fputs("}\n", out);
}

int query_export_shiviz(const struct query_run *q, bool all, FILE *out, struct error *e)
{
	const struct graph *g = q->graph;
	size_t width = g->trace->n_processes + 1;
	uint32_t *order = NULL, *clocks = NULL;
	int err;

	if (g->n_vertices > CLOCKS_MAX / width)
		return error_set(e, -E2BIG,
				 "run %" PRIu64 " has %zu events in %zu processes: too much for vector clocks",
				 q->run->row->id, g->n_vertices, width - 1);
	err = graph_topological(g, &order);
	if (!err && !(clocks = clocks_make(q, order)))
		err = -ENOMEM;
	if (!err)
		fputs("(?<event>.*)\\n(?<host>\\S*) (?<clock>{.*})\n\n", out);
	for (size_t i = 0; i < g->n_vertices && !err && !ferror(out); i++)
		if (has_place(g, order[i]) && (all || !g->vertices[order[i]].teardown))
			vertex_write(g, order[i], clocks + order[i] * width, out);
	free(order);
	free(clocks);
	return err ? error_set(e, err, "out of memory") : 0;
}
