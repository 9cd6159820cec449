/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Batches. Must not know records, sockets or time. The only failure is memory: an event that finds none is counted,
 * and a batch that cannot be encoded stays as it is and is tried again.
 */
#include "tfj/batch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "proto/wire.h"

struct interned {
	UT_hash_handle hh;
	uint32_t index;
	char text[];
};

void stream_init(struct stream *stream, uint64_t run)
{
	*stream = (struct stream){ .run = run };
	trace_init(&stream->part);
}

static void rows_fini(struct rows *rows)
{
	free(rows->index);
	free(rows->listed);
	*rows = (struct rows){ 0 };
}

static void end_page_free(struct end_page *page)
{
	for (unsigned i = 0; page && i < END_PAGE; i++)
		free(page->rows[i].target);
	free(page);
}

void stream_fini(struct stream *stream)
{
	struct interned *entry, *next;

	HASH_ITER(hh, stream->interned, entry, next)
	{
		HASH_DEL(stream->interned, entry);
		free(entry);
	}
	rows_fini(&stream->boxes);
	rows_fini(&stream->processes);
	rows_fini(&stream->ends);
	rows_fini(&stream->texts);
	for (size_t i = 0; i < stream->n_end_pages; i++)
		end_page_free(stream->end_pages[i]);
	free(stream->end_pages);
	trace_fini(&stream->part);
}

static int rows_append(struct rows *rows, uint32_t index)
{
	size_t cap = rows->cap ? rows->cap * 2 : 64;
	void *p;

	if (rows->n == rows->cap) {
		p = realloc(rows->index, cap * sizeof(*rows->index));
		if (!p)
			return -ENOMEM;
		rows->index = p;
		rows->cap = cap;
	}
	rows->index[rows->n++] = index;
	return 0;
}

/* Makes sure that the row is sent. */
static int rows_add(struct rows *rows, uint32_t index)
{
	size_t cap;
	void *p;

	if (index >= rows->n_listed) {
		cap = rows->n_listed ? rows->n_listed : 64;
		while (cap <= index)
			cap *= 2;
		p = realloc(rows->listed, cap * sizeof(*rows->listed));
		if (!p)
			return -ENOMEM;
		rows->listed = p;
		memset(rows->listed + rows->n_listed, 0, (cap - rows->n_listed) * sizeof(*rows->listed));
		rows->n_listed = cap;
	}
	if (rows->listed[index])
		return 0;
	if (rows_append(rows, index) < 0)
		return -ENOMEM;
	rows->listed[index] = true;
	return 0;
}

static void rows_clear(struct rows *rows)
{
	for (size_t i = 0; i < rows->n; i++)
		rows->listed[rows->index[i]] = false;
	rows->n = 0;
}

static struct end_page *end_page_of(const struct stream *stream, uint32_t index)
{
	return index && index <= stream->n_ends ? stream->end_pages[(index - 1) / END_PAGE] : NULL;
}

/* Room for the next end. */
static int end_page_grow(struct stream *stream)
{
	size_t cap = stream->cap_end_pages ? stream->cap_end_pages * 2 : 16;
	void *p;

	if (stream->n_ends < stream->n_end_pages * END_PAGE)
		return 0;
	if (stream->n_end_pages == stream->cap_end_pages) {
		p = realloc(stream->end_pages, cap * sizeof(*stream->end_pages));
		if (!p)
			return -ENOMEM;
		stream->end_pages = p;
		stream->cap_end_pages = cap;
	}
	stream->end_pages[stream->n_end_pages] = calloc(1, sizeof(struct end_page));
	return stream->end_pages[stream->n_end_pages] ? (stream->n_end_pages++, 0) : -ENOMEM;
}

struct trace_end *stream_end(struct stream *stream, uint32_t index)
{
	struct end_page *page;
	unsigned slot = (index - 1) % END_PAGE;
	bool next = index == stream->n_ends + 1;

	if (!index || index > WIRE_MAX_INDEX || (next && end_page_grow(stream) < 0))
		return NULL;
	page = next ? stream->end_pages[stream->n_end_pages - 1] : end_page_of(stream, index);
	if (!page || page->state[slot] == END_DONE)
		return NULL;
	if (page->state[slot] == END_QUIET && rows_append(&stream->ends, index) < 0)
		return NULL;
	page->state[slot] = END_CHANGED;
	stream->n_ends += next;
	return &page->rows[slot];
}

const struct trace_end *stream_end_at(const struct stream *stream, uint32_t index)
{
	const struct end_page *page = end_page_of(stream, index);

	return page ? &page->rows[(index - 1) % END_PAGE] : NULL;
}

/* All rows that changed went into a batch. */
static void ends_sent(struct stream *stream)
{
	for (size_t i = 0; i < stream->ends.n; i++) {
		uint32_t index = stream->ends.index[i];
		struct end_page *page = end_page_of(stream, index);
		unsigned slot = (index - 1) % END_PAGE;

		page->state[slot] = page->rows[slot].finished ? END_DONE : END_QUIET;
		page->done += page->rows[slot].finished;
		if (page->done < END_PAGE)
			continue;
		end_page_free(page);
		stream->end_pages[(index - 1) / END_PAGE] = NULL;
	}
	stream->ends.n = 0;
}

#define STREAM_ROW(type, what, plural)                                                             \
	type *stream_##what(struct stream *stream, uint32_t index)                                 \
	{                                                                                          \
		if (!index || index > WIRE_MAX_INDEX || rows_add(&stream->plural, index) < 0)      \
			return NULL;                                                               \
		return trace_##what##_at(&stream->part, index);                                    \
	}

STREAM_ROW(struct trace_box, box, boxes)
STREAM_ROW(struct trace_process, process, processes)

uint32_t stream_text(struct stream *stream, const char *text)
{
	struct interned *entry;
	size_t len = strlen(text);
	uint32_t index;
	char **row;

	HASH_FIND(hh, stream->interned, text, len, entry);
	if (entry)
		return entry->index;
	index = stream->part.n_texts + 1;
	entry = malloc(sizeof(*entry) + len + 1);
	row = entry && index <= WIRE_MAX_INDEX ? trace_text_at(&stream->part, index) : NULL;
	if (row)
		*row = strdup(text);
	if (!row || !*row || rows_add(&stream->texts, index) < 0) {
		if (row) {
			free(*row);
			*row = NULL;
			stream->part.n_texts--;
		}
		free(entry);
		return 0;
	}
	entry->index = index;
	memcpy(entry->text, text, len + 1);
	HASH_ADD_KEYPTR(hh, stream->interned, entry->text, len, entry);
	return index;
}

struct event *stream_event(struct stream *stream)
{
	struct event *event = trace_event_add(&stream->part);

	if (!event) {
		stream->dropped++;
		return NULL;
	}
	stream->events++;
	*event = (struct event){ 0 };
	return event;
}

void stream_output(struct stream *stream, uint32_t process, uint8_t fd, uint64_t offset, const char *bytes,
		   size_t size)
{
	struct trace_output *output;
	char *copy = malloc(size);

	if (!copy)
		return;
	output = trace_output_add(&stream->part);
	if (!output) {
		free(copy);
		return;
	}
	memcpy(copy, bytes, size);
	*output = (struct trace_output){ .process = process, .stream = fd, .offset = offset, .bytes = copy, .size = size };
	stream->bytes += size;
}

void stream_content(struct stream *stream, const struct trace_content *content)
{
	struct trace_content *row = trace_content_add(&stream->part);

	if (!row) {
		free(content->bytes);
		return;
	}
	*row = *content;
	stream->bytes += content->size;
}

bool stream_due(const struct stream *stream)
{
	return stream->part.n_events >= BATCH_EVENTS || stream->bytes >= BATCH_BYTES;
}

bool stream_empty(const struct stream *stream)
{
	const struct trace *part = &stream->part;

	return !part->n_events && !part->n_outputs && !part->n_contents && !part->n_receipts && !stream->boxes.n &&
	       !stream->processes.n && !stream->ends.n && !stream->texts.n;
}

/* Forgets what was sent. */
static void stream_sent(struct stream *stream)
{
	struct trace *part = &stream->part;

	for (size_t i = 0; i < stream->texts.n; i++) {
		free(part->texts[stream->texts.index[i]]);
		part->texts[stream->texts.index[i]] = NULL;
	}
	trace_drop_events(part);
	stream->bytes = 0;
	rows_clear(&stream->boxes);
	rows_clear(&stream->processes);
	ends_sent(stream);
	rows_clear(&stream->texts);
	stream->batches++;
}

int stream_cut(struct stream *stream, bool last, uint64_t emitted, uint64_t lost, unsigned char **ret_bytes,
	       size_t *ret_size)
{
	const struct wire_batch head = {
		.run = stream->run,
		.number = stream->batches + 1,
		.emitted = emitted,
		.lost = lost,
		.last = last,
	};
	const struct trace_end **ends = malloc((stream->ends.n + 1) * sizeof(*ends));
	const struct wire_rows rows = {
		.end_rows = ends,
		.boxes = stream->boxes.index,
		.processes = stream->processes.index,
		.ends = stream->ends.index,
		.texts = stream->texts.index,
		.n_boxes = stream->boxes.n,
		.n_processes = stream->processes.n,
		.n_ends = stream->ends.n,
		.n_texts = stream->texts.n,
	};
	int err;

	for (size_t i = 0; ends && i < stream->ends.n; i++)
		ends[i] = stream_end_at(stream, stream->ends.index[i]);
	err = ends ? wire_batch_encode(&head, &stream->part, &rows, ret_bytes, ret_size) : -ENOMEM;
	if (!err)
		stream_sent(stream);
	free(ends);
	return err;
}
