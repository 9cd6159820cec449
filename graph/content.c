/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The first bytes of messages, in runs that kept them. Nothing else in a graph depends on them: the same run without
 * content has the same vertices, labels and edges. Fails only without memory.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graph/build.h"
#include "graph/sort.h"
#include "lib/escape.h"

static uint64_t content_key(uint32_t end, uint32_t message)
{
	return (uint64_t)end << 32 | message;
}

/* Sorts them by sender and number. Should there be several of one message, the least counts, whatever came first. */
int build_contents(struct build *b)
{
	const struct trace *trace = b->trace;
	struct pair *spare = NULL;
	size_t n_spare = 0;
	int err;

	if (!trace->n_contents)
		return 0;
	b->g->contents = calloc(trace->n_contents, sizeof(*b->g->contents));
	if (!b->g->contents)
		return -ENOMEM;
	for (size_t i = 0; i < trace->n_contents; i++)
		b->g->contents[i] = (struct pair){ content_key(trace->contents[i].end, trace->contents[i].message),
						   (uint32_t)i, 0 };
	err = pairs_sort(b->g->contents, trace->n_contents, &spare, &n_spare);
	free(spare);
	return err;
}

static bool content_less(const struct trace_content *a, const struct trace_content *b)
{
	size_t n = a->size < b->size ? a->size : b->size;
	int order = n ? memcmp(a->bytes, b->bytes, n) : 0;

	if (order || a->size != b->size)
		return order ? order < 0 : a->size < b->size;
	return a->flags < b->flags;
}

const struct trace_content *graph_message_content(const struct graph *graph, uint32_t message)
{
	const struct graph_message *m = message < graph->n_messages ? &graph->messages[message] : NULL;
	const struct graph_connection *c = m ? &graph->connections[m->connection] : NULL;
	size_t from = 0, to = graph->contents ? graph->trace->n_contents : 0, n = to;
	const struct trace_content *found = NULL, *content;
	uint64_t key;

	if (!c || !n)
		return NULL;
	key = content_key(m->direction ? c->acceptor : c->connector, m->number);
	while (from < to) {
		size_t middle = from + (to - from) / 2;

		if (graph->contents[middle].key < key)
			from = middle + 1;
		else
			to = middle;
	}
	for (; from < n && graph->contents[from].key == key; from++) {
		content = &graph->trace->contents[graph->contents[from].value];
		if (!found || content_less(content, found))
			found = content;
	}
	return found;
}

char *graph_content_text(const struct graph *graph, uint32_t message, size_t max)
{
	const struct trace_content *content = graph_message_content(graph, message);
	bool cut = content && (content->flags & CONTENT_F_CUT || content->size > max);
	char *escaped, *text = NULL;
	size_t size;

	if (!content)
		return strdup("");
	if (!content->size && content->flags & CONTENT_F_UNREADABLE)
		return strdup("content not readable");
	escaped = escape_bytes(content->bytes, content->size < max ? content->size : max);
	if (!escaped)
		return NULL;
	size = strlen(escaped) + 128;
	text = malloc(size);
	if (text)
		snprintf(text, size, "\"%s\"%s%s%s%s", escaped, cut ? "..." : "",
			 content->flags & CONTENT_F_REDACTED ? " (redacted)" : "",
			 content->flags & CONTENT_F_WITHHELD ? " (withheld: the patterns took too long)" : "",
			 content->flags & CONTENT_F_UNREADABLE ? " (what follows was not readable)" : "");
	free(escaped);
	return text;
}
