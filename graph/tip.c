/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Tooltips: all that is known of an event or a message. Fails only without memory (NULL). */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graph/picture.h"

#define LABEL_MAX 320
#define LABELS_MAX 12  /* of one receive */
#define SERVICES_MAX 8 /* of one block */
#define CONTENT_SHOWN 512u /* bytes of a message */

static void tip_time(const struct picture *p, FILE *f, const struct event *event)
{
	fprintf(f, "\nat %.6f ms", (event->enter_ns - p->start_ns) / 1e6);
	if (event->return_ns > event->enter_ns)
		fprintf(f, ", took %.3f ms", (event->return_ns - event->enter_ns) / 1e6);
}

static void tip_messages(const struct picture *p, FILE *f, const struct graph_vertex *v)
{
	char label[LABEL_MAX];

	for (uint32_t i = 0; i < v->n_messages && i < LABELS_MAX; i++) {
		graph_message_label(p->g, p->g->vertex_messages[v->first_message + i], label, sizeof(label));
		fprintf(f, "\n%s", label);
	}
	if (v->n_messages > LABELS_MAX)
		fprintf(f, "\nand %u more", v->n_messages - LABELS_MAX);
}

/* A line with the bytes of a message, if there are any. */
static void tip_content(const struct picture *p, FILE *f, uint32_t message)
{
	char *text = graph_content_text(p->g, message, CONTENT_SHOWN);

	if (text && *text)
		fprintf(f, "\n%s", text);
	free(text);
}

static void tip_value(FILE *f, const struct event *event, unsigned transport)
{
	char text[64];

	if ((event->kind == EVENT_SEND || event->kind == EVENT_RECV) && event->value >= 0 && transport == TRANSPORT_UDP)
		fprintf(f, "\ndatagram of %" PRId64 " B", event->value);
	else if ((event->kind == EVENT_SEND || event->kind == EVENT_RECV) && event->value > 0)
		fprintf(f, "\n%" PRId64 " B at position %" PRIu64, event->value, event->pos);
	else if (event->kind == EVENT_RECV && !event->value)
		fprintf(f, "\nend of file at position %" PRIu64, event->pos);
	else if (event->kind == EVENT_CLOSE)
		fprintf(f, "\n%" PRIu64 " B sent, %" PRId64 " of them not acknowledged yet", event->pos, event->value);
	else if (event->kind == EVENT_EXIT) {
		exit_text(event->value, text, sizeof(text));
		fprintf(f, "\n%s", text);
	} else if (event->kind != EVENT_LOST && event->value < 0)
		fprintf(f, "\n%s", errno_text(event->value));
}

/* Which fault took it. */
static void tip_lost(const struct picture *p, FILE *f, const struct graph_vertex *v, const struct event *event)
{
	uint32_t id = 0;
	char *line;

	if (event->kind == EVENT_SEND && v->n_messages)
		id = p->g->messages[p->g->vertex_messages[v->first_message]].lost_by;
	else if (event->kind == EVENT_EXIT && !(event->flags & EVENT_F_THREAD))
		id = p->killed_by[v->process];
	line = id ? tell_line(p, graph_fault_find(p->g, id)) : NULL;
	if (line)
		fprintf(f, "\n%s", line);
	free(line);
}

static void tip_event(const struct picture *p, FILE *f, const struct item *item)
{
	const struct graph *g = p->g;
	const struct graph_vertex *v = &g->vertices[item->vertex];
	const struct event *event = item_event(p, item);
	const struct trace_process *process = &g->trace->processes[v->process];
	char label[LABEL_MAX];

	if (event_is_fault(event->kind)) {
		tell_tip(p, f, event);
		tip_time(p, f, event);
		return;
	}
	graph_vertex_label(g, item->vertex, label, sizeof(label));
	fprintf(f, "%s %s%s", event_kind_name(event->kind), label, v->racy ? " (racy)" : "");
	if (v->n_messages > 1)
		tip_messages(p, f, v);
	tip_lost(p, f, v, event);
	tip_value(f, event, event->end && event->end <= g->trace->n_ends ? g->trace->ends[event->end].transport : TRANSPORT_TCP);
	if (v->n_messages == 1)
		tip_content(p, f, g->vertex_messages[v->first_message]);
	if (v->process) {
		fprintf(f, "\nprocess %s", text_or(process->name, "?"));
		if (event->process)
			fprintf(f, ", thread %" PRIu32, event->thread);
		if (process->pid)
			fprintf(f, ", pid %" PRId32, process->pid);
	}
	tip_time(p, f, event);
}

struct service_sum {
	uint32_t connection; /* first of the service that is in the block */
	uint64_t messages[2], bytes[2];
};

static bool same_service(const struct graph *g, uint32_t a, uint32_t b)
{
	const struct graph_connection *p = &g->connections[a], *q = &g->connections[b];

	return p->connector && q->connector &&
	       g->trace->ends[p->connector].process == g->trace->ends[q->connector].process &&
	       !strcmp(text_or(g->trace->ends[p->connector].target, ""), text_or(g->trace->ends[q->connector].target, ""));
}

/* What a block's messages were, by process and target; the first SERVICES_MAX of them. */
static void tip_services(const struct picture *p, FILE *f, uint32_t index)
{
	const struct graph *g = p->g;
	struct service_sum sums[SERVICES_MAX] = { 0 };
	char a[BYTES_TEXT], b[BYTES_TEXT], c[BYTES_TEXT], d[BYTES_TEXT];
	size_t n = 0, k, direction, left = p->nodes[index].n_items;

	for (size_t i = p->nodes[index].item; i < p->n_items && left; i++) {
		const struct item *item = &p->items[i];
		const struct graph_vertex *v;
		const struct event *event;

		if (item->node != index)
			continue;
		left--;
		if (item->vertex == NO_VERTEX)
			continue;
		v = &g->vertices[item->vertex];
		event = item_event(p, item);
		if (event->kind != EVENT_SEND || event->value <= 0 || !v->n_messages)
			continue;
		for (k = 0; k < n && !same_service(g, sums[k].connection, v->connection); k++)
			;
		if (k == SERVICES_MAX)
			continue;
		if (k == n)
			sums[n++].connection = v->connection;
		direction = g->messages[g->vertex_messages[v->first_message]].direction;
		sums[k].messages[direction] += !(event->flags & EVENT_F_CONTINUED);
		sums[k].bytes[direction] = range_end(sums[k].bytes[direction], event->value);
	}
	for (k = 0; k < n; k++) {
		const char *label = g->connections[sums[k].connection].label;

		fprintf(f, "\n%.*s: %s messages, %s; replies: %s, %s", (int)strcspn(label, "#"), label,
			count_text(sums[k].messages[0], a), bytes_text(sums[k].bytes[0], b),
			count_text(sums[k].messages[1], c), bytes_text(sums[k].bytes[1], d));
	}
}

char *tip_node(const struct picture *p, uint32_t index)
{
	const struct node *node = &p->nodes[index];
	const struct item *item = &p->items[node->item];
	char *text = NULL, bytes[BYTES_TEXT];
	size_t size = 0;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		return NULL;
	if (node->block) {
		fprintf(f, "%u events folded: %u connections, %u messages, %s", node->n_items, node->n_connections,
			node->n_messages, bytes_text(node->bytes, bytes));
		tip_services(p, f, index);
	} else if (item->vertex == NO_VERTEX) {
		fprintf(f, "bytes %" PRIu64 " to %" PRIu64 " passed, but no record shows the call: an event was lost",
			p->g->holes[item->hole].from, p->g->holes[item->hole].to);
	} else {
		tip_event(p, f, item);
	}
	if (!node->block && node->n_items > 1)
		fprintf(f, "\nin %u calls, %s in all", node->n_items, bytes_text(node->bytes, bytes));
	if (p->overlay)
		side_tip(p, f, index);
	return fclose(f) ? free(text), NULL : text;
}

char *tip_link(const struct picture *p, const struct link *link)
{
	const struct graph *g = p->g;
	const struct graph_edge *edge = &g->edges[link->edge];
	char label[LABEL_MAX], *text = NULL, bytes[BYTES_TEXT];
	size_t size = 0;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		return NULL;
	if (link->message != NO_MESSAGE)
		graph_message_label(g, link->message, label, sizeof(label));
	else
		graph_vertex_label(g, edge->from, label, sizeof(label));
	if (link->count > 1 && link->message == NO_MESSAGE)
		fprintf(f, "%s: %u edges", graph_rule_name(link->rule), link->count);
	else
		fprintf(f, "%s %s", graph_rule_name(link->rule), label);
	if (link->inferred)
		fprintf(f, link->count == 1 && edge->guessed ? "\ninferred: one of several with the same content" : "\ninferred");
	if (link->message != NO_MESSAGE)
		fprintf(f, "\n%s, sent at %.6f ms, received at %.6f ms", bytes_text(g->messages[link->message].size, bytes),
			(g->trace->events[g->vertices[edge->from].event].enter_ns - p->start_ns) / 1e6,
			(g->trace->events[g->vertices[edge->to].event].return_ns - p->start_ns) / 1e6);
	if (link->message != NO_MESSAGE)
		tip_content(p, f, link->message);
	return fclose(f) ? free(text), NULL : text;
}
