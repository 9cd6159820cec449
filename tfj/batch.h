/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The trace of one run on its way out: the tables as they stand, the events and outputs since the last batch, and
 * which rows changed since then. Cutting makes one numbered batch of that.
 */
#ifndef TFJ_BATCH_H
#define TFJ_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/event.h"

#define BATCH_EVENTS 8192u	 /* a batch is due when it holds so many, */
#define BATCH_BYTES (4u << 20) /* or so many bytes of output, content and processes' names */

struct rows {
	uint32_t *index; /* rows to send, each once */
	size_t n, cap;
	bool *listed; /* by index */
	size_t n_listed;
};

/*
 * Rows of ends stand in pages, and a page goes away when nothing in it can change any more and all of it was sent: a run
 * may have any number of short connections.
 */
#define END_PAGE 64u
struct end_page {
	unsigned done; /* rows that were sent as finished */
	enum { END_QUIET, END_CHANGED, END_DONE } state[END_PAGE];
	struct trace_end rows[END_PAGE];
};

struct stream {
	uint64_t run;
	uint64_t batches; /* cut so far */
	uint64_t events;  /* recorded so far */
	uint64_t dropped; /* events that were not recorded: no memory, or a table is full */
	struct trace part; /* without the ends */
	struct end_page **end_pages; /* NULL: gone */
	size_t n_end_pages, cap_end_pages;
	uint32_t n_ends; /* that there ever were: the highest index */
	struct rows boxes, processes, ends, texts;
	struct interned *interned; /* texts by content */
	size_t bytes; /* of those since the last batch */
};

void stream_init(struct stream *stream, uint64_t run);
void stream_fini(struct stream *stream);

/*
 * A row, new or not, that will be in the next batch. Fill it at once. NULL: no memory, or the index is too large. Ends
 * are made in order: n_ends + 1 is the next one. One that was sent as finished is gone: NULL.
 */
struct trace_box *stream_box(struct stream *stream, uint32_t index);
struct trace_process *stream_process(struct stream *stream, uint32_t index);
struct trace_end *stream_end(struct stream *stream, uint32_t index);

/* The row as it stands; NULL: none, or gone. */
const struct trace_end *stream_end_at(const struct stream *stream, uint32_t index);

/* The index of a text, the same for the same text. 0: no memory. */
uint32_t stream_text(struct stream *stream, const char *text);

/* One more event, zeroed. NULL: no memory; then it counts as dropped. */
struct event *stream_event(struct stream *stream);

/* Copies a piece of what a process wrote. Without memory it is left out. */
void stream_output(struct stream *stream, uint32_t process, uint8_t fd, uint64_t offset, const char *bytes,
		   size_t size);

/*
 * The first bytes of a message (end, message, flags as in trace_content). Takes bytes, which are malloc'ed. Without memory
 * they are left out.
 */
void stream_content(struct stream *stream, const struct trace_content *content);

bool stream_due(const struct stream *stream);
bool stream_empty(const struct stream *stream);

/* Encodes what is new as the next batch and forgets it. last, with emitted and lost: nothing follows. */
int stream_cut(struct stream *stream, bool last, uint64_t emitted, uint64_t lost, unsigned char **ret_bytes,
	       size_t *ret_size);

#endif
