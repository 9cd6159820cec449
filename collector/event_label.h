/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What an event is about, as far as one agent's stream tells while the run goes on: its labels are those that the graph will give, or
 * empty. What needs the whole run is not told: which messages a receive got, what is racy, who connected from another agent's box.
 */
#ifndef COLLECTOR_EVENT_LABEL_H
#define COLLECTOR_EVENT_LABEL_H

#include "proto/event.h"

/* The connectors' ends, to be found from the acceptors'. */
struct event_labels {
	const struct trace *trace; /* borrowed */
	uint32_t *connectors; /* n of them, by their keys */
	size_t n;
};

/* For the tables as they are now. 0 or -ENOMEM. */
int event_labels_init(struct event_labels *labels, const struct trace *trace);
void event_labels_fini(struct event_labels *labels);

/* A message of a send, a connection of what happens on one, else a process or what the event's text says. Always terminated. */
void event_label(const struct event_labels *labels, const struct event *event, char *buf, size_t size);

#endif
