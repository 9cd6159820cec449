/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Frames from a peer. The first byte says whose: 0 an agent's, 1 a collector's, else a batch. What is understood can be
 * written again, and means the same then.
 */
#include "proto/wire.h"
#include "tests/fuzz/fuzz.h"

static void message_fuzz(const uint8_t *data, size_t size, enum message_side side)
{
	unsigned char *bytes = NULL, *again = NULL;
	struct message message, second;
	size_t n, n_again;
	struct error e = { "" };
	int err = message_decode(data, size, side, &message, &e);

	if (err) {
		must_explain(err, &e);
		return;
	}
	must(!message_encode(&message, &bytes, &n));
	must(!message_decode(bytes, n, side, &second, &e) && second.kind == message.kind);
	must(!message_encode(&second, &again, &n_again) && n == n_again && !memcmp(bytes, again, n));
	message_fini(&message);
	message_fini(&second);
	free(bytes);
	free(again);
}

/* All rows of a table. */
static uint32_t *rows_all(size_t n)
{
	uint32_t *rows = malloc((n + 1) * sizeof(*rows));

	must(rows);
	for (size_t i = 0; i < n; i++)
		rows[i] = (uint32_t)i + 1;
	return rows;
}

static void batch_again(const struct wire_batch *head, const struct trace *trace)
{
	uint32_t *boxes = rows_all(trace->n_boxes), *processes = rows_all(trace->n_processes),
		 *ends = rows_all(trace->n_ends), *texts = rows_all(trace->n_texts);
	struct wire_rows rows = { boxes,	  processes,	      ends,	     texts,
				  trace->n_boxes, trace->n_processes, trace->n_ends, trace->n_texts };
	struct wire_batch second;
	struct error e = { "" };
	unsigned char *bytes;
	struct trace back;
	size_t size;

	trace_init(&back);
	must(!wire_batch_encode(head, trace, &rows, &bytes, &size));
	if (wire_batch_decode(bytes, size, &second, &back, &e)) {
		fprintf(stderr, "%s\n", e.text);
		must(size > WIRE_MAX_BATCH);
	} else {
		must(second.number == head->number && back.n_events == trace->n_events &&
		     back.n_contents == trace->n_contents && back.n_outputs == trace->n_outputs &&
		     back.n_receipts == trace->n_receipts);
		must(!trace->n_events || !memcmp(back.events, trace->events, trace->n_events * sizeof(*trace->events)));
	}
	trace_fini(&back);
	free(bytes);
	free(boxes);
	free(processes);
	free(ends);
	free(texts);
}

static void batch_fuzz(const uint8_t *data, size_t size)
{
	struct wire_batch head, peeked;
	struct error e = { "" };
	struct trace trace;
	int err;

	trace_init(&trace);
	err = wire_batch_decode(data, size, &head, &trace, &e);
	if (err) {
		must_explain(err, &e);
	} else {
		must(!wire_batch_peek(data, size, &peeked, &e));
		must(peeked.number == head.number && peeked.run == head.run && peeked.last == head.last);
		batch_again(&head, &trace);
	}
	trace_fini(&trace);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!size)
		return 0;
	if (data[0] > 1)
		batch_fuzz(data + 1, size - 1);
	else
		message_fuzz(data + 1, size - 1, data[0] ? MESSAGE_TO_AGENT : MESSAGE_TO_COLLECTOR);
	return 0;
}
