/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What things are called: the one spelling that pictures, listings and fault plans share. Cannot fail. */
#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graph/build.h"

static const char *process_name(const struct graph *graph, uint32_t process)
{
	const struct trace *trace = graph->trace;

	return process && process <= trace->n_processes ? text_or(trace->processes[process].name, "?") : "?";
}

static const char *box_name(const struct trace *trace, uint32_t box)
{
	return box && box <= trace->n_boxes ? text_or(trace->boxes[box].name, "?") : "?";
}

void graph_endpoint_text(const struct endpoint *endpoint, char buf[GRAPH_ENDPOINT_MAX])
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	bool ipv4 = !memcmp(endpoint->ip, mapped, sizeof(mapped));
	char ip[INET6_ADDRSTRLEN];

	inet_ntop(ipv4 ? AF_INET : AF_INET6, endpoint->ip + (ipv4 ? 12 : 0), ip, sizeof(ip));
	snprintf(buf, GRAPH_ENDPOINT_MAX, ipv4 ? "%s:%u" : "[%s]:%u", ip, endpoint->port);
}

/* The connection's label with the connector on the left and the arrow in the message's direction. */
void graph_message_label(const struct graph *graph, uint32_t message, char *buf, size_t size)
{
	const struct graph_message *m;
	const char *label, *arrow;
	char number[16] = "?";
	bool datagram;

	if (message >= graph->n_messages) {
		snprintf(buf, size, "?");
		return;
	}
	m = &graph->messages[message];
	label = graph->connections[m->connection].label;
	datagram = graph->connections[m->connection].transport == TRANSPORT_UDP;
	arrow = strchr(label, '>');
	if (m->number)
		snprintf(number, sizeof(number), "%" PRIu32, m->number);
	if (datagram)
		snprintf(buf, size, "%s/%s%s", label, number, m->direction ? "<" : "");
	else if (m->direction && arrow)
		snprintf(buf, size, "%.*s<%s/%s", (int)(arrow - label), label, arrow + 1, number);
	else
		snprintf(buf, size, "%s/%s", label, number);
}

void graph_vertex_label(const struct graph *graph, uint32_t vertex, char *buf, size_t size)
{
	const struct graph_vertex *v = &graph->vertices[vertex];
	const struct trace *trace = graph->trace;
	const struct event *event = &trace->events[v->event];
	const char *text = event->text && event->text <= trace->n_texts ? trace->texts[event->text] : NULL;
	bool thread = event->flags & EVENT_F_THREAD;

	if (event_is_fault(event->kind))
		snprintf(buf, size, "%s", text_or(text, "a fault"));
	else if (v->n_messages)
		graph_message_label(graph, graph->vertex_messages[v->first_message], buf, size);
	else if (v->connection)
		snprintf(buf, size, "%s", graph->connections[v->connection].label);
	else if (event->kind == EVENT_SPAWN && thread)
		snprintf(buf, size, "%s:%" PRId64, process_name(graph, v->process), event->value);
	else if (event->kind == EVENT_EXIT && thread)
		snprintf(buf, size, "%s:%" PRIu32, process_name(graph, v->process), event->thread);
	else if (event->kind == EVENT_SPAWN || event->kind == EVENT_WAIT)
		snprintf(buf, size, "%s", process_name(graph, event->peer));
	else if (event->kind == EVENT_LISTEN && text)
		snprintf(buf, size, "%s", text);
	else if (event->kind == EVENT_LISTEN)
		snprintf(buf, size, "%s:%" PRId64, box_name(trace, event->box), event->value);
	else if (event->kind == EVENT_MARK || event->kind == EVENT_LOST)
		snprintf(buf, size, "%s", text_or(text, event_kind_name(event->kind)));
	else
		snprintf(buf, size, "%s", process_name(graph, v->process));
}

size_t graph_label_life(const char *label, unsigned long *ret_life)
{
	const char *quote = strrchr(label, '\'');
	size_t digits = quote ? strspn(quote + 1, "0123456789") : 0;

	*ret_life = 1;
	if (!digits || quote[1 + digits])
		return strlen(label);
	*ret_life = strtoul(quote + 1, NULL, 10);
	return (size_t)(quote - label);
}

const char *graph_fault_words(const struct graph_fault *fault)
{
	switch (fault->receipt ? fault->receipt->state : FAULT_STATE_NONE) {
	case FAULT_STATE_WOULD_FIRE:
		return "would fire";
	case FAULT_STATE_NEVER_FIRED:
		return fault->acts ? "fired" : "never fired";
	case FAULT_STATE_LIFTED:
		return fault->acts ? "fired, lifted" : "lifted before it fired";
	case FAULT_STATE_EXPIRED:
		return fault->acts ? "fired, expired" : "expired before it fired";
	case FAULT_STATE_REFUSED:
		return "refused";
	case FAULT_STATE_UNKNOWN:
		return fault->acts ? "fired; its agent is gone" : "unknown: its agent is gone";
	case FAULT_STATE_NONE: /* the run goes on, or the receipt was lost */
		if (!fault->acts && fault->ended != NO_VERTEX)
			return "over before it fired";
		return fault->acts ? "fired" : "armed";
	case FAULT_STATE_ARMED:
	case FAULT_STATE_FIRED:
	case FAULT_STATE_COUNT:
		break;
	}
	return fault->acts ? "fired" : "armed";
}
