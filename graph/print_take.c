/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What of a graph its print is made of: each thread becomes a list of items, linked by what caused what. Messages take
 * the place of system calls: a message is sent where its first byte was, and received where its last byte was. Fails
 * only without memory.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "graph/build.h"
#include "graph/print_take.h"
#include "graph/sort.h"
#include "lib/large.h"

static enum print_side side_of(const struct take *t, const struct event *event)
{
	return t->g->trace->ends[event->end].role == END_CONNECTOR ? SIDE_CONNECTOR : SIDE_ACCEPTOR;
}

/* A new item of the thread that is being taken. NULL: no memory. */
static struct print_item *add(struct take *t, enum print_kind kind, uint32_t v)
{
	struct print_run *run = t->run;
	const struct graph_vertex *vertex = &t->g->vertices[v];
	uint32_t connection = vertex->connection;
	struct print_thread *thread;
	struct print_item *item;

	if (build_grow((void **)&run->items, &run->cap_items, run->n_items, sizeof(*run->items)) < 0)
		return NULL;
	item = &run->items[run->n_items++];
	*item = (struct print_item){ .kind = kind, .connection = connection, .thread = run->n_threads - 1 };
	if (vertex->moved)
		item->side = vertex->moved & GRAPH_BY_CONNECTOR ? SIDE_CONNECTOR : SIDE_ACCEPTOR;
	else if (connection)
		item->side = side_of(t, take_event(t, v));
	thread = &run->threads[run->n_threads - 1];
	thread->n++;
	thread->kinds |= 1u << kind;
	t->at[v] = run->n_items;
	return item;
}

static int add_plain(struct take *t, enum print_kind kind, uint32_t v)
{
	return add(t, kind, v) ? 0 : -ENOMEM;
}

static int add_text(struct take *t, enum print_kind kind, uint32_t v, const char *text)
{
	struct print_item *item = add(t, kind, v);

	if (!item)
		return -ENOMEM;
	item->text = print_hash(text);
	return 0;
}

/* What a connection leads to. If its connector does not say, it stands in the label: ?>s1:7000#?(10.0.0.9:51234). */
static char *target_of(const struct take *t, const struct graph_connection *c)
{
	const char *target = t->g->trace->ends[c->connector ? c->connector : c->acceptor].target;
	const char *begin = strchr(c->label, '>'), *end;

	if (target && *target)
		return strdup(target);
	begin = begin ? begin + 1 : c->label;
	end = strrchr(begin, '#');
	return strndup(begin, end ? (size_t)(end - begin) : strlen(begin));
}

/* `result` is what became of the connect. */
static int add_target(struct take *t, enum print_kind kind, uint32_t v, const char *result)
{
	char *target = target_of(t, &t->g->connections[t->g->vertices[v].connection]), *text = NULL;
	struct print_item *item = add(t, kind, v);
	const char *rest;
	int n = -1;

	if (item && target) {
		rest = print_target(t->run, target, &item->box);
		n = asprintf(&text, "%s %s", rest, result);
	}
	if (n >= 0) {
		item->text = print_hash(text);
		free(text);
	}
	free(target);
	return n < 0 ? -ENOMEM : 0;
}

static int take_connect(struct take *t, uint32_t v)
{
	const struct graph_connection *c = &t->g->connections[t->g->vertices[v].connection];
	const struct trace_end *end = &t->g->trace->ends[c->connector];
	const char *result = "";

	if (c->connect_vertex != v)
		return 0;
	if (end->error)
		result = text_or(strerrorname_np(-end->error), "failed");
	else if (!end->keyed && !c->acceptor && c->transport == TRANSPORT_TCP)
		result = "unanswered";
	return add_target(t, PRINT_CONNECT, v, result);
}

static int take_listen(struct take *t, uint32_t v)
{
	struct print_item *item = add(t, PRINT_LISTEN, v);
	char label[256];

	if (!item)
		return -ENOMEM;
	graph_vertex_label(t->g, v, label, sizeof(label));
	item->text = print_hash(print_target(t->run, label, &item->box));
	return 0;
}

/* The first of its sort that this thread saw on this end; a program may look as often as it likes. */
static bool is_first(struct take *t, bool error, uint32_t end)
{
	uint32_t *seen = &t->seen[error][end <= t->g->trace->n_ends ? end : 0];

	if (*seen == t->run->n_threads)
		return false;
	*seen = t->run->n_threads;
	return true;
}

/* EAGAIN and EINTR say nothing of the connection. */
static int take_error(struct take *t, uint32_t v, const struct event *event)
{
	uint32_t cause = t->cause[v];
	const char *name = event->value > -4096 ? strerrorname_np(-event->value) : NULL;
	int err;

	if (!name || event->value == -EAGAIN || event->value == -EINTR || !t->g->vertices[v].connection ||
	    !is_first(t, true, event->end))
		return 0;
	if (cause && take_event(t, cause - 1)->kind == EVENT_RESET)
		cause = t->cause[cause - 1];
	err = add_text(t, PRINT_ERROR, v, name);
	if (!err)
		t->run->items[t->run->n_items - 1].link = cause;
	return err;
}

static int take_caused(struct take *t, enum print_kind kind, uint32_t v)
{
	struct print_item *item = add(t, kind, v);

	if (!item)
		return -ENOMEM;
	item->link = t->cause[v]; /* a vertex, until link_items() */
	return 0;
}

static bool peer_is_known(const struct take *t, const struct graph_connection *c, const struct event *event)
{
	return side_of(t, event) == SIDE_CONNECTOR ? c->acceptor_process : graph_connection_process(t->g->trace, c);
}

static int reach_compare(const void *a, const void *b, void *arg)
{
	const uint64_t *reach = arg;
	uint32_t p = *(const uint32_t *)a, q = *(const uint32_t *)b;

	if (reach[p] != reach[q])
		return reach[p] < reach[q] ? -1 : 1;
	return p < q ? -1 : p > q;
}

/* The messages that a receive returned bytes of, by where those end: what is continued late may end behind later ones. */
static const uint32_t *messages_sorted(struct take *t, const struct graph_vertex *vertex)
{
	const uint32_t *messages = t->g->vertex_messages + vertex->first_message;
	bool sorted = true;
	void *p;

	if (vertex->n_messages == 1)
		return messages;
	if (take_reach(t) < 0)
		return NULL;
	for (uint32_t i = 1; i < vertex->n_messages; i++)
		sorted &= reach_compare(&messages[i - 1], &messages[i], t->reach) < 0;
	if (sorted)
		return messages;
	if (vertex->n_messages > t->n_sorted) {
		p = realloc(t->sorted, vertex->n_messages * sizeof(*t->sorted));
		if (!p)
			return NULL;
		t->sorted = p;
		t->n_sorted = vertex->n_messages;
	}
	memcpy(t->sorted, messages, vertex->n_messages * sizeof(*t->sorted));
	qsort_r(t->sorted, vertex->n_messages, sizeof(*t->sorted), reach_compare, t->reach);
	return t->sorted;
}

/* What cannot come in pieces. Several can receive one, so the send does not link to its receive. */
static int take_datagram(struct take *t, uint32_t v)
{
	const struct graph_vertex *vertex = &t->g->vertices[v];

	if (!vertex->n_messages)
		return add_plain(t, PRINT_DATA, v);
	for (uint32_t i = 0; i < vertex->n_messages; i++) {
		struct print_item *item = add(t, PRINT_RECV, v);

		if (!item)
			return -ENOMEM;
		item->link = t->g->messages[t->g->vertex_messages[vertex->first_message + i]].send + 1; /* a vertex, as above */
	}
	return 0;
}

static int take_messages(struct take *t, uint32_t v)
{
	const struct graph_vertex *vertex = &t->g->vertices[v];
	const uint32_t *messages = messages_sorted(t, vertex);

	if (!messages)
		return -ENOMEM;
	for (uint32_t i = 0; i < vertex->n_messages; i++) {
		const struct graph_message *m = &t->g->messages[messages[i]];
		struct print_item *item;

		if (t->last[messages[i]] != v)
			continue;
		item = add(t, m->received >= m->size ? PRINT_RECV : PRINT_PART, v);
		if (!item)
			return -ENOMEM;
		item->link = m->send + 1; /* a vertex, as above */
		t->last[messages[i]] = TAKEN | (uint32_t)(t->run->n_items - 1);
	}
	return 0;
}

static int take_received(struct take *t, uint32_t v)
{
	return t->g->vertices[v].n_messages ? take_messages(t, v) : add_plain(t, PRINT_DATA, v);
}

static int take_recv(struct take *t, uint32_t v, const struct event *event)
{
	const struct graph_vertex *vertex = &t->g->vertices[v];

	if (event->value < 0)
		return take_error(t, v, event);
	if (!vertex->connection || event->flags & EVENT_F_URGENT)
		return 0;
	if (take_is_datagram(t, v))
		return take_datagram(t, v);
	if (event->value == 0) {
		/* a receive of zero bytes returns 0, too */
		if (!t->cause[v] && peer_is_known(t, &t->g->connections[vertex->connection], event))
			return 0;
		return is_first(t, false, event->end) ? take_caused(t, PRINT_FIN, v) : 0;
	}
	return take_received(t, v);
}

static int take_sent(struct take *t, uint32_t v)
{
	const struct graph_vertex *vertex = &t->g->vertices[v];
	const struct graph_message *m;
	struct print_item *item;
	uint32_t message;

	if (!vertex->n_messages)
		return 0;
	message = t->g->vertex_messages[vertex->first_message];
	m = &t->g->messages[message];
	if (m->send != v)
		return 0;
	item = add(t, PRINT_SEND, v);
	if (!item)
		return -ENOMEM;
	item->text = m->lost_by ? print_hash("lost") : 0;
	item->link = message + 1; /* until link_items() */
	return 0;
}

static int take_exit(struct take *t, uint32_t v, const struct event *event)
{
	int status = event->value;
	char text[32];

	if (event->flags & EVENT_F_THREAD)
		return 0;
	if (WIFSIGNALED(status))
		snprintf(text, sizeof(text), "signal %d", WTERMSIG(status));
	else
		snprintf(text, sizeof(text), "status %d", WEXITSTATUS(status));
	return add_text(t, PRINT_EXIT, v, text);
}

/* What kind of fault, without the names that its line has: where it stands says more than those. */
static int take_fired(struct take *t, uint32_t v, const struct event *event)
{
	const struct graph_fault *fault = graph_fault_find(t->g, (uint32_t)event->value);
	char text[64];

	if (!fault->acts)
		return 0;
	snprintf(text, sizeof(text), "%s%s%s%s", fault_kind_name(fault->kind),
		 fault->flags & FAULT_F_ONEWAY ? " oneway" : "", fault->flags & FAULT_F_TIMEOUT ? " timeout" : "",
		 fault->flags & FAULT_F_SILENT ? " silent" : "");
	return add_text(t, PRINT_FIRED, v, text);
}

static int take_vertex(struct take *t, uint32_t v)
{
	const struct graph_vertex *vertex = &t->g->vertices[v];
	const struct event *event;

	if (vertex->teardown)
		return 0;
	if (vertex->moved)
		return vertex->moved & GRAPH_SENT ? take_sent(t, v) : take_received(t, v);
	event = take_event(t, v);
	switch ((enum event_kind)event->kind) {
	case EVENT_START:
		return add_plain(t, PRINT_START, v);
	case EVENT_EXEC:
		return add_plain(t, PRINT_EXEC, v);
	case EVENT_SPAWN:
		return add_plain(t, PRINT_SPAWN, v);
	case EVENT_WAIT:
		return take_caused(t, PRINT_WAIT, v);
	case EVENT_EXIT:
		return take_exit(t, v, event);
	case EVENT_LISTEN:
		return take_listen(t, v);
	case EVENT_CONNECT:
		return vertex->connection && !take_is_datagram(t, v) ? take_connect(t, v) : 0;
	case EVENT_ACCEPT:
		if (!vertex->connection || take_is_datagram(t, v) ||
		    t->g->connections[vertex->connection].accept_vertex != v)
			return 0;
		return add_target(t, PRINT_ACCEPT, v, "");
	case EVENT_SEND:
		return event->value < 0 ? take_error(t, v, event) : take_sent(t, v);
	case EVENT_RECV:
		return take_recv(t, v, event);
	case EVENT_CLOSE:
		if (!vertex->connection || take_is_datagram(t, v))
			return 0;
		return add_plain(t, event->flags & EVENT_F_SHUTDOWN ? PRINT_SHUTDOWN : PRINT_CLOSE, v);
	case EVENT_FIRED:
		return take_fired(t, v, event);
	case EVENT_NONE:
	case EVENT_RESET:
	case EVENT_LOST:
	case EVENT_MARK:
	case EVENT_ARMED:
	case EVENT_LIFTED:
	case EVENT_EXPIRED:
	case EVENT_KIND_COUNT:
		break;
	}
	return 0;
}

static int thread_begin(struct take *t, uint32_t v)
{
	struct print_run *run = t->run;

	if (build_grow((void **)&run->threads, &run->cap_threads, run->n_threads, sizeof(*run->threads)) < 0)
		return -ENOMEM;
	run->threads[run->n_threads++] = (struct print_thread){
		.process = t->g->vertices[v].process, .first = run->n_items, .origin = t->origin[v],
	};
	return 0;
}

/* What has no place in its process is in no thread. */
static bool has_place(const struct take *t, uint32_t v)
{
	const struct event *event;

	if (t->g->vertices[v].moved)
		return true;
	event = take_event(t, v);
	return event->process == t->g->vertices[v].process && !event_floats(event);
}

/* Vertices [first, end) of a process with one thread. */
static int take_single(struct take *t, uint32_t first, uint32_t end)
{
	bool begun = false;
	int err = 0;

	for (uint32_t v = first; v < end && !err; v++) {
		take_prefetch(t, v);
		if (!has_place(t, v))
			continue;
		if (!begun)
			err = thread_begin(t, v);
		begun = true;
		if (!err)
			err = take_vertex(t, v);
	}
	return err;
}

/* With several: those of each thread together. */
static int take_several(struct take *t, uint32_t first, uint32_t end)
{
	struct pair *pairs = large_malloc(end - first, sizeof(*pairs)), *spare = NULL;
	size_t n = 0, n_spare = 0;
	int err = pairs ? 0 : -ENOMEM;

	for (uint32_t v = first; v < end && !err; v++)
		if (has_place(t, v))
			pairs[n++] = (struct pair){ .key = take_event(t, v)->thread, .value = v };
	if (!err)
		err = pairs_sort(pairs, n, &spare, &n_spare);
	for (size_t i = 0; i < n && !err; i++) {
		if (!i || pairs[i].key != pairs[i - 1].key)
			err = thread_begin(t, pairs[i].value);
		if (!err)
			err = take_vertex(t, pairs[i].value);
	}
	free(pairs);
	free(spare);
	return err;
}

static int take_all(struct take *t)
{
	const struct graph *g = t->g;
	int err = 0;

	/* room for what nearly all runs make: an item an event at most */
	t->run->items = large_malloc(g->n_vertices + 1, sizeof(*t->run->items));
	if (!t->run->items)
		return -ENOMEM;
	t->run->cap_items = g->n_vertices + 1;
	for (uint32_t v = 0, end; v < g->n_vertices && !err; v = end) {
		for (end = v + 1; end < g->n_vertices && g->vertices[end].process == g->vertices[v].process; end++)
			;
		if (g->vertices[v].process)
			err = g->process_threads[g->vertices[v].process] > 1 ? take_several(t, v, end) : take_single(t, v, end);
	}
	return err;
}

static void link_both(struct print_run *run, uint32_t cause, uint32_t effect)
{
	if (!cause || !effect)
		return;
	run->items[effect - 1].link = cause;
	run->items[cause - 1].link = effect;
}

/* The item of the receive that returned a message's last byte, + 1; 0: none did, or it is in no thread. */
static uint32_t receive_of(const struct take *t, uint32_t message)
{
	uint32_t last = t->last[message];

	return last != NO_VERTEX && last & TAKEN ? (last & ~TAKEN) + 1 : 0;
}

/* From vertices, and of sends messages, to items. What follows each other in a thread links what nearly does in another. */
static void link_items(struct take *t)
{
	struct print_run *run = t->run;
	const struct graph *g = t->g;

	for (size_t i = 0; i < run->n_items; i++) {
		struct print_item *item = &run->items[i];

		if (item->link)
			item->link = item->kind == PRINT_SEND ? receive_of(t, item->link - 1) : t->at[item->link - 1];
	}
	for (size_t i = 0; i < run->n_threads; i++)
		if (run->threads[i].origin)
			run->threads[i].origin = t->at[run->threads[i].origin - 1];
	for (size_t i = 1; i <= g->n_connections; i++) {
		const struct graph_connection *c = &g->connections[i];

		if (c->connect_vertex != NO_VERTEX && c->accept_vertex != NO_VERTEX)
			link_both(run, t->at[c->connect_vertex], t->at[c->accept_vertex]);
	}
}

int print_take(struct print_run *run)
{
	struct take t;
	int err = take_survey(&t, run);

	if (!err)
		err = take_all(&t);
	if (!err)
		link_items(&t);
	take_fini(&t);
	return err;
}
