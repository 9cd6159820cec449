/* SPDX-License-Identifier: GPL-3.0-or-later */
/* See labels.h. Fails only without memory, or when the store does. */
#include "collector/labels.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "collector/run.h"
#include "graph/graph.h"

/* A connection, or a process; racy: a bit for it. */
struct label {
	UT_hash_handle hh;
	const char *text;    /* borrowed from the run */
	uint32_t connection; /* 0: a process */
	bool racy;
};

struct message_label {
	uint64_t key; /* message_key() */
	bool racy;
};

struct labels {
	struct run *run;
	struct graph *graph;
	struct label *rows; /* one piece of memory */
	struct label *by_text;
	struct message_label *messages; /* sorted */
	size_t n_messages;
};

static uint64_t message_key(uint32_t connection, bool reply, uint32_t number)
{
	return (uint64_t)connection << 33 | (uint64_t)reply << 32 | number;
}

static int by_key(const void *a, const void *b)
{
	const struct message_label *x = a, *y = b;

	return (x->key > y->key) - (x->key < y->key);
}

static void label_add(struct labels *labels, struct label *row, const char *text, uint32_t connection, bool racy)
{
	struct label *known;

	HASH_FIND_STR(labels->by_text, text, known);
	if (known) { /* a name that came up twice tells nobody which one */
		known->racy = true;
		return;
	}
	*row = (struct label){ .text = text, .connection = connection, .racy = racy };
	HASH_ADD_KEYPTR(hh, labels->by_text, row->text, strlen(row->text), row);
}

static void processes_add(struct labels *labels, struct label *rows)
{
	const struct trace *trace = &labels->run->trace;
	const struct graph *graph = labels->graph;

	for (size_t v = 0; v < graph->n_vertices; v++) {
		const struct graph_vertex *vertex = &graph->vertices[v];

		if (trace->events[vertex->event].kind == EVENT_START && vertex->process &&
		    vertex->process <= trace->n_processes && trace->processes[vertex->process].name &&
		    !rows[vertex->process].text)
			label_add(labels, &rows[vertex->process], trace->processes[vertex->process].name, 0,
				  vertex->racy);
	}
}

static int rows_make(struct labels *labels)
{
	const struct graph *graph = labels->graph;
	size_t n_processes = labels->run->trace.n_processes;

	labels->rows = calloc(n_processes + graph->n_connections + 1, sizeof(*labels->rows));
	labels->messages = calloc(graph->n_messages + 1, sizeof(*labels->messages));
	if (!labels->rows || !labels->messages)
		return -ENOMEM;
	processes_add(labels, labels->rows);
	for (uint32_t i = 1; i <= graph->n_connections; i++)
		if (graph->connections[i].label && graph->connections[i].transport == TRANSPORT_TCP)
			label_add(labels, &labels->rows[n_processes + i], graph->connections[i].label, i,
				  graph->connections[i].racy);
	for (size_t i = 0; i < graph->n_messages; i++) {
		const struct graph_message *m = &graph->messages[i];

		labels->messages[labels->n_messages++] =
			(struct message_label){ message_key(m->connection, m->direction, m->number), m->racy };
	}
	qsort(labels->messages, labels->n_messages, sizeof(*labels->messages), by_key);
	return 0;
}

int labels_load(struct store *store, const char *experiment, struct labels **ret_labels, struct error *e)
{
	struct labels *labels = NULL;
	uint64_t id = 0;
	int err = store_run_baseline(store, experiment, &id, e);

	*ret_labels = NULL;
	if (err < 0 || !id)
		return err;
	labels = calloc(1, sizeof(*labels));
	err = labels ? run_load(store, id, &labels->run, e) : error_set(e, -ENOMEM, "out of memory");
	if (!err)
		err = graph_build(&labels->run->trace, GRAPH_ORDER_PROCESS, &labels->graph, e);
	if (!err && rows_make(labels) < 0)
		err = error_set(e, -ENOMEM, "out of memory");
	if (!err) {
		*ret_labels = labels;
		return 0;
	}
	labels_free(labels);
	return err == -EBADMSG || err == -EINVAL || err == -ENOENT ?
		       0 :
		       err; /* damaged, or just removed: it tells nothing */
}

void labels_free(struct labels *labels)
{
	if (!labels)
		return;
	HASH_CLEAR(hh, labels->by_text);
	free(labels->rows);
	free(labels->messages);
	graph_free(labels->graph);
	run_free(labels->run);
	free(labels);
}

uint64_t labels_run(const struct labels *labels)
{
	return labels->run->row->id;
}

static const struct label *find(const struct labels *labels, const char *text)
{
	struct label *label;

	HASH_FIND_STR(labels->by_text, text, label);
	return label;
}

enum labels_answer labels_connection(const struct labels *labels, const char *connection)
{
	const struct label *label = find(labels, connection);

	return !label || !label->connection ? LABELS_UNKNOWN : label->racy ? LABELS_RACY : LABELS_KNOWN;
}

enum labels_answer labels_message(const struct labels *labels, const char *connection, bool reply, uint32_t message)
{
	const struct label *label = find(labels, connection);
	struct message_label key, *found;

	if (!label || !label->connection)
		return LABELS_UNKNOWN;
	key.key = message_key(label->connection, reply, message);
	found = bsearch(&key, labels->messages, labels->n_messages, sizeof(key), by_key);
	return !found ? LABELS_UNKNOWN : found->racy ? LABELS_RACY : LABELS_KNOWN;
}

enum labels_answer labels_process(const struct labels *labels, const char *process)
{
	const struct label *label = find(labels, process);

	return !label || label->connection ? LABELS_UNKNOWN : label->racy ? LABELS_RACY : LABELS_KNOWN;
}

void labels_offer(const struct labels *labels, struct nearest *nearest)
{
	for (const struct label *label = labels->by_text; label; label = label->hh.next)
		if (label->connection)
			nearest_offer(nearest, label->text);
}
