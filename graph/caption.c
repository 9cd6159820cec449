/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Words of a picture: what stands beside a node. Knows nothing of coordinates. Fails only without memory (NULL). */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "graph/picture.h"

#define LABEL_MAX 320
#define CONTENT_SHOWN 16u /* bytes of a message; the tooltip has more */

const char *count_text(uint64_t n, char buf[BYTES_TEXT])
{
	char digits[24];
	size_t length = snprintf(digits, sizeof(digits), "%" PRIu64, n), out = 0;

	for (size_t i = 0; i < length; i++) {
		if (i && (length - i) % 3 == 0)
			buf[out++] = ',';
		buf[out++] = digits[i];
	}
	buf[out] = '\0';
	return buf;
}

const char *bytes_text(uint64_t bytes, char buf[BYTES_TEXT])
{
	static const char *const units[] = { "kB", "MB", "GB", "TB", "PB", "EB" };
	double value = bytes / 1e3;
	unsigned unit = 0;

	if (bytes < 10000) {
		count_text(bytes, buf);
		return strcat(buf, " B");
	}
	for (; value >= 999.5; unit++)
		value /= 1e3;
	snprintf(buf, BYTES_TEXT, value < 99.5 ? "%.1f %s" : "%.0f %s", value, units[unit]);
	return buf;
}

const char *errno_text(int64_t value)
{
	const char *name = value < 0 && value > -4096 ? strerrorname_np(-value) : NULL;

	return name ? name : "error";
}

void exit_text(int64_t status, char *buf, size_t size)
{
	int s = status;

	if (WIFEXITED(s))
		snprintf(buf, size, "exit %d", WEXITSTATUS(s));
	else if (WIFSIGNALED(s) && sigabbrev_np(WTERMSIG(s)))
		snprintf(buf, size, "killed by SIG%s", sigabbrev_np(WTERMSIG(s)));
	else
		snprintf(buf, size, "ended, status %d", s);
}

char *lane_name(const struct picture *p, const struct lane *lane)
{
	const struct trace *trace = p->g->trace;
	uint32_t above = lane->parent ? p->lane_of[lane->parent] : NO_LANE;
	char *name = NULL, *parent;
	int n;

	if (lane->process)
		return strdup(text_or(trace->processes[lane->process].name, "?"));
	if (!lane->parent)
		return asprintf(&name, "%" PRIu32 " others", lane->n_processes) < 0 ? NULL : name;
	/* every lane's parents had theirs before it had: this ends */
	parent = above != NO_LANE && p->lanes[above].parent ? lane_name(p, &p->lanes[above]) : NULL;
	n = asprintf(&name, "%s.*", parent ? parent : text_or(trace->processes[lane->parent].name, "?"));
	free(parent);
	return n < 0 ? NULL : name;
}

static const char *file_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash && slash[1] ? slash + 1 : path;
}

static void send_text(const struct picture *p, const struct node *node, const char *label, char *buf, size_t size)
{
	const struct graph *g = p->g;
	const struct graph_vertex *v = &g->vertices[p->items[node->item].vertex];
	const struct graph_message *m = &g->messages[g->vertex_messages[v->first_message]];
	const struct graph_connection *c = &g->connections[m->connection];
	bool reader_known = c->transport == TRANSPORT_UDP || (m->direction ? c->connector : c->acceptor);
	char bytes[BYTES_TEXT], read[BYTES_TEXT], fault[TELL_NAME];

	bytes_text(node->bytes, bytes);
	if (m->lost_by)
		tell_name(p, graph_fault_find(g, m->lost_by), fault);
	if (m->lost_by && m->delivered)
		snprintf(buf, size, "%s · %s, only %s read, the rest lost: %s", label, bytes, bytes_text(m->received, read), fault);
	else if (m->lost_by)
		snprintf(buf, size, "%s · %s, lost: %s", label, bytes, fault);
	else if (!reader_known || (m->delivered && m->received >= m->size))
		snprintf(buf, size, "%s · %s", label, bytes);
	else if (m->delivered)
		snprintf(buf, size, "%s · %s, only %s read", label, bytes, bytes_text(m->received, read));
	else
		snprintf(buf, size, "%s · %s, not read", label, bytes);
}

static bool is_datagram(const struct graph *g, const struct event *event)
{
	return event->end && event->end <= g->trace->n_ends && g->trace->ends[event->end].transport == TRANSPORT_UDP;
}

/* Behind what a send says. */
static void content_add(const struct picture *p, const struct graph_vertex *v, char *buf, size_t size)
{
	char *text = graph_content_text(p->g, p->g->vertex_messages[v->first_message], CONTENT_SHOWN);
	size_t used = strlen(buf);

	if (text && *text)
		snprintf(buf + used, size - used, " %s", text);
	free(text);
}

/* Whose end it is, only a lane of its own says. fault: what killed it, 0 none. */
static void exit_caption(const struct picture *p, const struct event *event, uint32_t fault, const char *label, bool shared,
			 char *buf, size_t size)
{
	char status[64], name[TELL_NAME], by[TELL_NAME + 2] = "";

	exit_text(event->value, status, sizeof(status));
	if (fault)
		snprintf(by, sizeof(by), ", %s", tell_name(p, graph_fault_find(p->g, fault), name));
	if (event->flags & EVENT_F_THREAD)
		snprintf(buf, size, "exit %s", label);
	else
		snprintf(buf, size, "%s%s%s%s", shared ? label : "", shared ? ": " : "", status, by);
}

/* A wait that saw a bad end of a child that has no lane of its own says so. */
static void wait_caption(const struct picture *p, const struct event *event, const char *label, char *buf, size_t size,
			 bool *ret_failure)
{
	uint32_t peer = event->peer <= p->g->trace->n_processes ? event->peer : 0;
	char status[64];

	if (!peer || p->lane_of[peer] != NO_LANE || p->exit_status[peer] < 0) {
		snprintf(buf, size, "wait %s", label);
		return;
	}
	exit_text(p->exit_status[peer], status, sizeof(status));
	*ret_failure = p->exit_status[peer] != 0;
	snprintf(buf, size, "wait %s: %s", label, status);
}

/* The call's result, or, if the call did not wait for it, how the attempt went on. */
static void connect_caption(const struct graph *g, const struct graph_vertex *v, const char *label, char *buf,
			    size_t size, bool *ret_failure)
{
	static const struct trace_end unknown = { .keyed = true };
	const struct event *event = &g->trace->events[v->event];
	const struct trace_end *end = event->end && event->end <= g->trace->n_ends ? &g->trace->ends[event->end] :
										     &unknown;
	int64_t error = event->value < 0 && event->value != -EINPROGRESS ? event->value : end->error;

	*ret_failure = true;
	if (error < 0) {
		snprintf(buf, size, "connect %s: %s", label, errno_text(error));
	} else if (!end->keyed && !g->connections[v->connection].acceptor) {
		snprintf(buf, size, "connect %s: no answer", label);
	} else {
		*ret_failure = false;
		snprintf(buf, size, "connect %s", label);
	}
}

/* One event, or several that say the same. */
static void event_caption(const struct picture *p, const struct node *node, const struct event *event,
			  bool arrow_arrives, char *buf, size_t size, bool *ret_failure)
{
	const struct graph *g = p->g;
	const struct trace *trace = g->trace;
	char label[LABEL_MAX], bytes[BYTES_TEXT];
	uint32_t lane = p->items[node->item].lane;
	bool failed = event->value < 0, shared = lane != ALL_LANES && !p->lanes[lane].process;
	const char *text = event->text && event->text <= trace->n_texts ? trace->texts[event->text] : NULL;

	graph_vertex_label(g, p->items[node->item].vertex, label, sizeof(label));
	*buf = '\0';
	switch ((enum event_kind)event->kind) {
	case EVENT_START:
		if (event->value) /* it was there */
			snprintf(buf, size, shared ? "attached %s" : "attached", label);
		else if (shared)
			snprintf(buf, size, "start %s", label);
		else if (trace->processes[g->vertices[p->items[node->item].vertex].process].parent)
			snprintf(buf, size, "start");
		break;
	case EVENT_EXEC:
		snprintf(buf, size, "exec %s", file_name(text_or(text, "?")));
		break;
	case EVENT_SPAWN:
		snprintf(buf, size, "%s %s", event->flags & EVENT_F_THREAD ? "thread" : "spawn", label);
		break;
	case EVENT_WAIT:
		wait_caption(p, event, label, buf, size, ret_failure);
		break;
	case EVENT_EXIT:
		*ret_failure = event->value && !(event->flags & EVENT_F_THREAD);
		exit_caption(p, event, p->killed_by[g->vertices[p->items[node->item].vertex].process], label, shared, buf,
			     size);
		break;
	case EVENT_LISTEN:
		snprintf(buf, size, "listen %s", label);
		break;
	case EVENT_CONNECT:
		connect_caption(g, &g->vertices[p->items[node->item].vertex], label, buf, size, ret_failure);
		break;
	case EVENT_ACCEPT:
		*ret_failure = failed;
		if (failed)
			snprintf(buf, size, "accept: %s", errno_text(event->value));
		else if (!arrow_arrives)
			snprintf(buf, size, "accept %s", label);
		break;
	case EVENT_SEND:
		*ret_failure = failed;
		if (failed)
			snprintf(buf, size, "send %s: %s", label, errno_text(event->value));
		else if (g->vertices[p->items[node->item].vertex].n_messages) {
			send_text(p, node, label, buf, size);
			if (node->n_items == 1)
				content_add(p, &g->vertices[p->items[node->item].vertex], buf, size);
		}
		break;
	case EVENT_RECV:
		*ret_failure = failed;
		if (failed)
			snprintf(buf, size, "recv %s: %s", label, errno_text(event->value));
		else if (!arrow_arrives && (event->value || is_datagram(g, event)))
			snprintf(buf, size, "recv %s · %s", label, bytes_text(node->bytes, bytes));
		else if (!arrow_arrives)
			snprintf(buf, size, "eof %s", label);
		break;
	case EVENT_CLOSE:
		snprintf(buf, size, "%s %s%s", event->flags & EVENT_F_SHUTDOWN ? "shutdown" : "close", label,
			 event->flags & EVENT_F_RST ? ", reset sent" : "");
		break;
	case EVENT_RESET:
		*ret_failure = true;
		snprintf(buf, size, "reset %s", label);
		break;
	case EVENT_LOST:
		*ret_failure = true;
		snprintf(buf, size, "%s events lost%s%s", event->value > 0 ? count_text(event->value, bytes) : "an unknown number of",
			 text ? ": " : "", text_or(text, ""));
		break;
	case EVENT_MARK:
		snprintf(buf, size, "%s", text_or(text, "mark"));
		break;
	case EVENT_ARMED:
	case EVENT_FIRED:
	case EVENT_LIFTED:
	case EVENT_EXPIRED:
		tell_caption(p, event, lane == ALL_LANES, buf, size);
		break;
	case EVENT_NONE:
	case EVENT_KIND_COUNT:
		snprintf(buf, size, "?");
		break;
	}
}

static char *hole_caption(const struct picture *p, const struct item *item)
{
	const struct graph_hole *hole = &p->g->holes[item->hole];
	const char *label = p->g->connections[hole->connection].label, *arrow = strchr(label, '>');
	char bytes[BYTES_TEXT], *text = NULL;
	int n = arrow ? arrow - label : 0;

	if (asprintf(&text, "%s missing: %s of %.*s%c%s", hole->receive_side ? "receive" : "send",
		     bytes_text(hole->to - hole->from, bytes), n, label, hole->direction ? '<' : '>',
		     arrow ? arrow + 1 : label) < 0)
		return NULL;
	return text;
}

static void add(char *buf, size_t size, uint64_t n, const char *what, const char *between)
{
	char count[BYTES_TEXT];
	size_t length = strlen(buf);

	if (n)
		snprintf(buf + length, size - length, "%s%s %s%s", length ? between : "", count_text(n, count), what,
			 n == 1 ? "" : "s");
}

/* 20 connections, 39,960 messages folded, 3.4 MB */
static char *block_caption(const struct picture *p, const struct node *node, bool *ret_failure)
{
	char *sides = p->overlay ? side_block(node) : NULL;
	char buf[LABEL_MAX] = "", bad[LABEL_MAX] = "", bytes[BYTES_TEXT], *text = NULL;

	add(buf, sizeof(buf), node->n_connections, "connection", ", ");
	add(buf, sizeof(buf), node->n_messages, "message", ", ");
	if (!*buf)
		add(buf, sizeof(buf), node->n_items, "event", ", ");
	add(bad, sizeof(bad), node->n_failures, "failure", ", ");
	add(bad, sizeof(bad), node->n_holes, "missing transfer", ", ");
	*ret_failure = *bad != '\0';
	if (asprintf(&text, "%s folded%s%s%s%s%s%s", buf, sides && *sides ? "\n" : "", text_or(sides, ""), node->bytes ? "\n" : "",
		     node->bytes ? bytes_text(node->bytes, bytes) : "", *bad ? "\n" : "", bad) < 0)
		text = NULL;
	free(sides);
	return text;
}

static char *caption(const struct picture *p, uint32_t index, bool arrow_arrives, bool *ret_failure)
{
	const struct node *node = &p->nodes[index];
	const struct item *item = &p->items[node->item];
	const struct event *event = node_event(p, index);
	char buf[2 * LABEL_MAX], *text = NULL;
	bool racy, numbered;

	*ret_failure = false;
	if (node->block)
		return block_caption(p, node, ret_failure);
	if (!event) {
		*ret_failure = true;
		return hole_caption(p, item);
	}
	event_caption(p, node, event, arrow_arrives, buf, sizeof(buf), ret_failure);
	racy = *buf && p->g->vertices[item->vertex].racy;
	numbered = item->lane != ALL_LANES && p->lanes[item->lane].threads && event->process && event->thread;
	if (numbered && asprintf(&text, ":%" PRIu32 "%s%s%s", event->thread, *buf ? " " : "", buf, racy ? " (racy)" : "") < 0)
		return NULL;
	if (!numbered && asprintf(&text, "%s%s", buf, racy ? " (racy)" : "") < 0)
		return NULL;
	return text;
}

char *caption_node(const struct picture *p, uint32_t index, bool arrow_arrives, bool *ret_failure)
{
	char *text = caption(p, index, arrow_arrives, ret_failure);

	return text && p->overlay ? side_caption(p, index, text) : text;
}
