/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Moments by their names. See lineage.h. Labels are compared as they are shown, so whatever has
 * one can be named, also what no fault can act on.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graph/lineage_inside.h"
#include "lib/large.h"
#include "lib/nearest.h"

enum { LABEL_MAX = 2048 };

/* What the label behind a moment's word is of. */
enum thing { THING_MESSAGE, THING_CONNECTION, THING_PROCESS };

/* X(NAME, "word", what it is of) */
#define MOMENTS(X)                                                                                                   \
	X(SEND, "send", MESSAGE)                                                                                     \
	X(RECV, "recv", MESSAGE)                                                                                     \
	X(CONNECT, "connect", CONNECTION)                                                                            \
	X(ACCEPT, "accept", CONNECTION)                                                                              \
	X(EXIT, "exit", PROCESS)                                                                                     \
	X(START, "start", PROCESS)

enum moment {
#define X(NAME, word, thing) AT_##NAME,
	MOMENTS(X)
#undef X
	AT_COUNT,
};

static const char *const words[] = {
#define X(NAME, word, thing) word,
	MOMENTS(X)
#undef X
};

static const enum thing things[] = {
#define X(NAME, word, thing) THING_##thing,
	MOMENTS(X)
#undef X
};

static uint64_t digest(const char *text, size_t n)
{
	uint64_t h = 14695981039346656037ull; /* FNV-1a */

	for (size_t i = 0; i < n; i++)
		h = (h ^ (unsigned char)text[i]) * 1099511628211ull;
	return h;
}

/* "" for what has no label. */
static void label_of(const struct graph *g, enum thing thing, uint32_t i, char buf[LABEL_MAX])
{
	const char *text = NULL;

	if (thing == THING_MESSAGE) {
		graph_message_label(g, i, buf, LABEL_MAX);
		return;
	}
	text = thing == THING_CONNECTION ? g->connections[i].label : g->trace->processes[i].name;
	snprintf(buf, LABEL_MAX, "%s", text ? text : "");
}

static void name_add(struct lineage *l, enum thing thing, uint32_t i)
{
	char label[LABEL_MAX];

	label_of(l->graph, thing, i, label);
	if (*label)
		l->names[l->n_names++] =
			(struct pair){ .key = digest(label, strlen(label)), .value = i, .more = thing };
}

static int names_sort(struct lineage *l)
{
	struct pair *spare = NULL;
	size_t n_spare = 0;
	int err = pairs_sort(l->names, l->n_names, &spare, &n_spare);

	free(spare);
	return err;
}

/* The first START and the first EXIT of each process. */
static void lives_find(struct lineage *l)
{
	const struct graph *g = l->graph;

	for (uint32_t v = 0; v < g->n_vertices; v++) {
		const struct event *event = &g->trace->events[g->vertices[v].event];
		uint32_t *at = event->kind == EVENT_START ? l->starts : event->kind == EVENT_EXIT ? l->exits : NULL;

		if (at && !(event->flags & EVENT_F_THREAD) && at[g->vertices[v].process] == LINEAGE_NONE)
			at[g->vertices[v].process] = v;
	}
}

static int names_make(struct lineage *l)
{
	const struct graph *g = l->graph;
	size_t n = g->trace->n_processes;

	if (l->names)
		return 0;
	l->names = large_malloc(g->n_messages + g->n_connections + n + 1, sizeof(*l->names));
	l->starts = malloc((n + 1) * sizeof(*l->starts));
	l->exits = malloc((n + 1) * sizeof(*l->exits));
	if (!l->names || !l->starts || !l->exits) {
		lineage_names_free(l);
		return -ENOMEM;
	}
	for (uint32_t m = 0; m < g->n_messages; m++)
		name_add(l, THING_MESSAGE, m);
	for (uint32_t c = 1; c <= g->n_connections; c++)
		name_add(l, THING_CONNECTION, c);
	for (uint32_t p = 1; p <= n; p++)
		name_add(l, THING_PROCESS, p);
	for (size_t p = 0; p <= n; p++)
		l->starts[p] = l->exits[p] = LINEAGE_NONE;
	lives_find(l);
	if (!names_sort(l))
		return 0;
	lineage_names_free(l);
	return -ENOMEM;
}

void lineage_names_free(struct lineage *l)
{
	free(l->names);
	free(l->starts);
	free(l->exits);
	l->names = NULL;
	l->starts = l->exits = NULL;
	l->n_names = 0;
}

/* How many things of that kind have the label; *ret is the first. */
static size_t name_find(const struct lineage *l, enum thing thing, const char *text, size_t n, uint32_t *ret)
{
	uint64_t key = digest(text, n);
	size_t low = 0, high = l->n_names, found = 0;
	char label[LABEL_MAX];

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (l->names[middle].key < key)
			low = middle + 1;
		else
			high = middle;
	}
	for (; low < l->n_names && l->names[low].key == key; low++) {
		if (l->names[low].more != thing)
			continue;
		label_of(l->graph, thing, l->names[low].value, label);
		if (strlen(label) == n && !memcmp(label, text, n) && !found++)
			*ret = l->names[low].value;
	}
	return found;
}

/* The nearest label of that kind, or "". */
static void name_near(const struct lineage *l, enum thing thing, const char *text, size_t n, char ret_label[LABEL_MAX])
{
	char label[LABEL_MAX];
	struct nearest nearest;

	nearest_begin(&nearest, text, n);
	*ret_label = '\0';
	for (size_t i = 0; i < l->n_names; i++) {
		if (l->names[i].more != thing)
			continue;
		label_of(l->graph, thing, l->names[i].value, label);
		nearest_offer(&nearest, label);
		if (nearest.best == label) {
			memcpy(ret_label, label, LABEL_MAX);
			nearest.best = ret_label;
		}
	}
}

static int not_found(const struct lineage *l, enum moment moment, const char *text, size_t n, size_t found,
		     struct error *e)
{
	char near[LABEL_MAX];

	if (found)
		return error_set(e, -EINVAL, "'%s %.*s' can be several: %zu are called that in this run", words[moment],
				 (int)n, text, found);
	if (n && text[n - 1] == '!')
		return error_set(e, -EINVAL, "'%s %.*s': the ! says that the label is racy, and is no part of it",
				 words[moment], (int)n, text);
	name_near(l, things[moment], text, n, near);
	return error_set(e, -ENOENT, "this run has no '%s %.*s'%s%s%s", words[moment], (int)(n < 200 ? n : 200), text,
			 *near ? "; did you mean '" : "", near, *near ? "'?" : "");
}

static uint32_t vertex_at(const struct lineage *l, enum moment moment, uint32_t i)
{
	const struct graph *g = l->graph;

	switch (moment) {
	case AT_SEND:
		return g->messages[i].send;
	case AT_RECV:
		return lineage_first_receive(l, i);
	case AT_CONNECT:
		return g->connections[i].connect_vertex;
	case AT_ACCEPT:
		return g->connections[i].accept_vertex;
	case AT_EXIT:
		return l->exits[i];
	case AT_START:
		return l->starts[i];
	case AT_COUNT:
		break;
	}
	return LINEAGE_NONE;
}

static int absent(const struct lineage *l, enum moment moment, uint32_t i, const char *text, size_t n, struct error *e)
{
	uint32_t by = moment == AT_RECV ? l->graph->messages[i].lost_by : 0;

	if (by)
		return error_set(e, -ENOENT, "this run has no '%s %.*s': fault %u took the message away", words[moment],
				 (int)n, text, by);
	return error_set(e, -ENOENT, "this run has no '%s %.*s': it did not come to that", words[moment], (int)n, text);
}

int lineage_moment_find(struct lineage *l, const char *text, size_t n, uint32_t *ret_vertex, struct error *e)
{
	size_t word = 0, found;
	enum moment moment = AT_SEND;
	uint32_t i = 0;

	if (names_make(l) < 0)
		return error_set(e, -ENOMEM, "out of memory");
	while (word < n && text[word] != ' ')
		word++;
	while (moment < AT_COUNT && (strlen(words[moment]) != word || memcmp(words[moment], text, word)))
		moment++;
	if (moment == AT_COUNT || word == n)
		return error_set(e, -EINVAL,
				 "'%.*s' is no moment: send, recv (a message), connect, accept (a connection), exit, "
				 "start (a process), and then the label: recv client<s1:7000#1/1",
				 (int)(n < 100 ? n : 100), text);
	text += word + 1;
	n -= word + 1;
	found = name_find(l, things[moment], text, n, &i);
	if (found != 1)
		return not_found(l, moment, text, n, found, e);
	*ret_vertex = vertex_at(l, moment, i);
	return *ret_vertex == LINEAGE_NONE ? absent(l, moment, i, text, n, e) : 0;
}

int lineage_moment(struct lineage *l, const char *text, uint32_t *ret_vertex, struct error *e)
{
	return lineage_moment_find(l, text, strlen(text), ret_vertex, e);
}
