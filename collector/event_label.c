/* SPDX-License-Identifier: GPL-3.0-or-later */
/* See event_label.h. Pure. */
#include "collector/event_label.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct key {
	uint32_t first_local, first_remote;
	uint8_t transport;
};

static int key_compare(struct key a, struct key b)
{
	if (a.first_local != b.first_local)
		return a.first_local < b.first_local ? -1 : 1;
	if (a.first_remote != b.first_remote)
		return a.first_remote < b.first_remote ? -1 : 1;
	return a.transport - b.transport;
}

static struct key key_of(const struct trace_end *end)
{
	return (struct key){ end->first_local, end->first_remote, end->transport };
}

static int by_key(const void *a, const void *b, void *arg)
{
	const struct trace *trace = arg;

	return key_compare(key_of(&trace->ends[*(const uint32_t *)a]), key_of(&trace->ends[*(const uint32_t *)b]));
}

int event_labels_init(struct event_labels *labels, const struct trace *trace)
{
	*labels = (struct event_labels){ .trace = trace, .connectors = calloc(trace->n_ends + 1, sizeof(uint32_t)) };
	if (!labels->connectors)
		return -ENOMEM;
	for (uint32_t i = 1; i <= trace->n_ends; i++)
		if (trace->ends[i].role == END_CONNECTOR && trace->ends[i].keyed)
			labels->connectors[labels->n++] = i;
	qsort_r(labels->connectors, labels->n, sizeof(*labels->connectors), by_key, (void *)trace);
	return 0;
}

void event_labels_fini(struct event_labels *labels)
{
	free(labels->connectors);
	*labels = (struct event_labels){ .n = 0 };
}

/* NULL: it is not known. */
static const struct trace_end *connector_of(const struct event_labels *labels, const struct trace_end *end)
{
	struct key wanted = { end->first_remote, end->first_local, end->transport };
	size_t from = 0, to = labels->n;

	if (end->role == END_CONNECTOR || end->transport == TRANSPORT_UDP)
		return end;
	while (end->keyed && from < to) {
		size_t middle = from + (to - from) / 2;
		const struct trace_end *found = &labels->trace->ends[labels->connectors[middle]];
		int order = key_compare(key_of(found), wanted);

		if (!order)
			return found;
		if (order < 0)
			from = middle + 1;
		else
			to = middle;
	}
	return NULL;
}

static const char *process_name(const struct trace *trace, uint32_t process)
{
	const char *name = process && process <= trace->n_processes ? trace->processes[process].name : NULL;

	return name ? name : "";
}

/* message 0: the connection. */
static void connection_label(const struct event_labels *labels, const struct trace_end *end, uint32_t message, char *buf, size_t size)
{
	const struct trace_end *connector = connector_of(labels, end);
	const char *name = connector ? process_name(labels->trace, connector->process) : "";
	const char *target = connector && connector->target ? connector->target : "", *back;
	char number[16] = "";

	*buf = '\0';
	if (!*name || !*target)
		return;
	if (message)
		snprintf(number, sizeof(number), "/%" PRIu32, message);
	back = message && end->role == END_ACCEPTOR ? "<" : "";
	if (end->transport == TRANSPORT_UDP)
		snprintf(buf, size, "%s~%s%s%s", name, target, number, back);
	else if (connector->ordinal)
		snprintf(buf, size, "%s%s%s#%" PRIu32 "%s", name, *back ? back : ">", target, connector->ordinal, number);
}

void event_label(const struct event_labels *labels, const struct event *event, char *buf, size_t size)
{
	const struct trace *trace = labels->trace;
	const struct trace_end *end = event->end && event->end <= trace->n_ends ? &trace->ends[event->end] : NULL;
	const char *text = event->text && event->text <= trace->n_texts ? trace->texts[event->text] : NULL;
	const char *box = event->box && event->box <= trace->n_boxes ? trace->boxes[event->box].name : NULL;
	bool thread = event->flags & EVENT_F_THREAD;

	if (event_is_fault(event->kind) || event->kind == EVENT_MARK || event->kind == EVENT_LOST)
		snprintf(buf, size, "%s", text ? text : "");
	else if (end)
		connection_label(labels, end, event->kind == EVENT_SEND && event->value > 0 ? event->message : 0, buf, size);
	else if (event->kind == EVENT_LISTEN && text)
		snprintf(buf, size, "%s", text);
	else if (event->kind == EVENT_LISTEN)
		snprintf(buf, size, "%s:%" PRId64, box ? box : "", event->value);
	else if (event->kind == EVENT_SPAWN && thread)
		snprintf(buf, size, "%s:%" PRId64, process_name(trace, event->process), event->value);
	else if (event->kind == EVENT_EXIT && thread)
		snprintf(buf, size, "%s:%" PRIu32, process_name(trace, event->process), event->thread);
	else if (event->kind == EVENT_SPAWN || event->kind == EVENT_WAIT)
		snprintf(buf, size, "%s", process_name(trace, event->peer));
	else
		snprintf(buf, size, "%s", process_name(trace, event->process));
}
