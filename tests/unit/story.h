/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Small hand-written traces for tests of the graph: a client and a server s1 on boxes of those names, their connections and
 * what they do. Gives up by Check's assertions.
 */
#ifndef TESTS_UNIT_STORY_H
#define TESTS_UNIT_STORY_H

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "graph/graph.h"

/* A trace in the making: events come in the order of their writing, which is also that of their processes. */
struct story {
	struct trace trace;
	uint64_t now, order[16];
};

static inline uint32_t process(struct story *s, uint32_t index, const char *name, const char *box)
{
	trace_box_at(&s->trace, index)->name = strdup(box);
	trace_process_at(&s->trace, index)->name = strdup(name);
	s->trace.processes[index].box = index;
	return index;
}

/* Two processes, client and server s1 on boxes of these names. */
static inline void story_init(struct story *s)
{
	memset(s, 0, sizeof(*s));
	trace_init(&s->trace);
	process(s, 1, "client", "c");
	process(s, 2, "s1", "s1");
}

static inline struct event *at(struct story *s, size_t event)
{
	return &s->trace.events[event];
}

static inline size_t event(struct story *s, uint32_t who, enum event_kind kind, uint32_t end, int64_t value)
{
	struct event *e = trace_event_add(&s->trace);

	*e = (struct event){ .kind = kind, .process = who, .box = who, .end = end, .value = value };
	e->enter_ns = ++s->now * 1000;
	e->return_ns = e->enter_ns + 100;
	e->order = who ? ++s->order[who] : 0;
	e->seq = s->now;
	return s->trace.n_events - 1;
}

static inline size_t transfer(struct story *s, uint32_t who, enum event_kind kind, uint32_t end, uint64_t pos, int64_t value,
		       uint32_t message)
{
	size_t i = event(s, who, kind, end, value);

	at(s, i)->pos = pos;
	at(s, i)->message = message;
	return i;
}

static inline void endpoint(struct endpoint *e, uint8_t host, uint16_t port)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

	memcpy(e->ip, mapped, 12);
	memcpy(e->ip + 12, (uint8_t[]){ 10, 0, 0, host }, 4);
	e->port = port;
}

static inline struct trace_end *end_new(struct story *s, uint32_t index, enum end_role role, uint32_t box)
{
	struct trace_end *end = trace_end_at(&s->trace, index);

	end->role = role;
	end->box = box;
	endpoint(&end->local, box, role == END_CONNECTOR ? 40000 + index : 7000);
	endpoint(&end->remote, role == END_CONNECTOR ? 2 : 1, role == END_CONNECTOR ? 7000 : 40000 + index - 1);
	return end;
}

/* Ends `index` (of client) and `index` + 1 (of s1) of one connection. */
static inline void connection(struct story *s, uint32_t index, uint32_t ordinal)
{
	struct trace_end *end = end_new(s, index, END_CONNECTOR, 1);

	end->process = 1;
	end->target = strdup("s1:7000");
	end->ordinal = ordinal;
	end->keyed = true;
	end->first_local = 100 * index;
	end->first_remote = 100 * index + 1;
	end = end_new(s, index + 1, END_ACCEPTOR, 2);
	end->keyed = true;
	end->first_local = 100 * index + 1;
	end->first_remote = 100 * index;
}

static inline struct graph *build(struct story *s, enum graph_order order)
{
	struct graph *g = NULL;
	struct error e = { "" };

	ck_assert_msg(graph_build(&s->trace, order, &g, &e) == 0, "%s", e.text);
	return g;
}

static inline uint32_t vertex(const struct graph *g, size_t event)
{
	for (uint32_t v = 0; v < g->n_vertices; v++)
		if (g->vertices[v].event == event)
			return v;
	ck_abort_msg("event %zu has no vertex", event);
	return 0;
}

static inline const struct graph_edge *edge(const struct graph *g, size_t from, size_t to, enum graph_rule rule)
{
	for (size_t i = 0; i < g->n_edges; i++)
		if (g->edges[i].from == vertex(g, from) && g->edges[i].to == vertex(g, to) && g->edges[i].rule == rule)
			return &g->edges[i];
	return NULL;
}

/* Its index in the graph's messages. */
static inline uint32_t message_of(const struct graph *g, const char *label)
{
	char other[200];

	for (uint32_t i = 0; i < g->n_messages; i++) {
		graph_message_label(g, i, other, sizeof(other));
		if (!strcmp(label, other))
			return i;
	}
	ck_abort_msg("no message %s", label);
	return 0;
}

static inline size_t count_rule(const struct graph *g, enum graph_rule rule)
{
	size_t n = 0;

	for (size_t i = 0; i < g->n_edges; i++)
		n += g->edges[i].rule == rule;
	return n;
}

static inline void assert_label(const struct graph *g, size_t event, const char *expected)
{
	char label[200];

	graph_vertex_label(g, vertex(g, event), label, sizeof(label));
	ck_assert_str_eq(label, expected);
}

static inline void done(struct story *s, struct graph *g)
{
	graph_free(g);
	trace_fini(&s->trace);
}

#endif
