/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Tables of a trace. Knows nothing of where they come from. The only failure is -ENOMEM, shown as NULL. */
#include "proto/event.h"
#include "lib/large.h"
#include "proto/fault.h"

#include <stdlib.h>
#include <string.h>

static const char *const kinds[EVENT_KIND_COUNT] = {
#define X(NAME, name, text) [EVENT_##NAME] = #name,
	EVENT_KINDS(X)
#undef X
};

const char *event_kind_name(unsigned kind)
{
	return kind < EVENT_KIND_COUNT && kinds[kind] ? kinds[kind] : "?";
}

const char *transport_name(unsigned transport)
{
	static const char *const names[TRANSPORT_COUNT] = {
#define X(NAME, name, text) [TRANSPORT_##NAME] = name,
		TRANSPORTS(X)
#undef X
	};

	return transport < TRANSPORT_COUNT ? names[transport] : "?";
}

void trace_init(struct trace *trace)
{
	memset(trace, 0, sizeof(*trace));
}

void trace_drop_events(struct trace *trace)
{
	for (size_t i = 0; i < trace->n_outputs; i++)
		free(trace->outputs[i].bytes);
	for (size_t i = 0; i < trace->n_contents; i++)
		free(trace->contents[i].bytes);
	for (size_t i = 0; i < trace->n_receipts; i++)
		fault_receipt_fini(&trace->receipts[i]);
	trace->n_outputs = trace->n_contents = trace->n_events = trace->n_receipts = 0;
}

void trace_fini(struct trace *trace)
{
	for (size_t i = 1; i <= trace->n_boxes; i++) {
		free(trace->boxes[i].name);
		free(trace->boxes[i].address);
		free(trace->boxes[i].address6);
	}
	for (size_t i = 1; i <= trace->n_processes; i++) {
		free(trace->processes[i].name);
		free(trace->processes[i].command);
	}
	for (size_t i = 1; i <= trace->n_ends; i++)
		free(trace->ends[i].target);
	for (size_t i = 1; i <= trace->n_texts; i++)
		free(trace->texts[i]);
	trace_drop_events(trace);
	free(trace->boxes);
	free(trace->processes);
	free(trace->ends);
	free(trace->texts);
	free(trace->events);
	free(trace->outputs);
	free(trace->contents);
	free(trace->receipts);
	free(trace->outcomes);
	trace_init(trace);
}

/* Grows *array to hold `need` elements, new ones zeroed. */
static int grow(void **array, size_t *cap, size_t need, size_t size)
{
	size_t cap_new = *cap ? *cap : 16;
	void *p;

	if (need <= *cap)
		return 0;
	while (cap_new < need)
		cap_new *= 2;
	p = large_realloc(*array, cap_new, size);
	if (!p)
		return -1;
	memset((char *)p + *cap * size, 0, (cap_new - *cap) * size);
	*array = p;
	*cap = cap_new;
	return 0;
}

#define TABLE_AT(type, what, plural)                                                               \
	type *trace_##what##_at(struct trace *trace, uint32_t index)                               \
	{                                                                                          \
		if (index >= trace->cap_##plural &&                                                \
		    grow((void **)&trace->plural, &trace->cap_##plural, (size_t)index + 1,         \
			 sizeof(*trace->plural)) < 0)                                              \
			return NULL;                                                               \
		if (index > trace->n_##plural)                                                     \
			trace->n_##plural = index;                                                 \
		return &trace->plural[index];                                                      \
	}

TABLE_AT(struct trace_box, box, boxes)
TABLE_AT(struct trace_process, process, processes)
TABLE_AT(struct trace_end, end, ends)
TABLE_AT(char *, text, texts)

#define LIST_ADD(type, what, plural)                                                               \
	type *trace_##what##_add(struct trace *trace)                                              \
	{                                                                                          \
		if (trace->n_##plural == trace->cap_##plural &&                                    \
		    grow((void **)&trace->plural, &trace->cap_##plural, trace->n_##plural + 1,     \
			 sizeof(*trace->plural)) < 0)                                              \
			return NULL;                                                               \
		return &trace->plural[trace->n_##plural++];                                        \
	}

LIST_ADD(struct event, event, events)
LIST_ADD(struct trace_output, output, outputs)
LIST_ADD(struct trace_content, content, contents)
LIST_ADD(struct fault_receipt, receipt, receipts)

struct event *trace_events_add(struct trace *trace, size_t n)
{
	struct event *events;

	if (grow((void **)&trace->events, &trace->cap_events, trace->n_events + n, sizeof(*events)) < 0)
		return NULL;
	events = trace->events + trace->n_events;
	trace->n_events += n;
	return events;
}

static int by_id_latest_last(const void *a, const void *b)
{
	const struct fault_receipt *x = a, *y = b;

	return x->id != y->id ? (x->id > y->id) - (x->id < y->id) : (x->place > y->place) - (x->place < y->place);
}

void trace_receipts_settle(struct trace *trace)
{
	struct fault_receipt *receipts = trace->receipts;
	size_t n = 0;

	for (size_t i = 0; i < trace->n_receipts; i++)
		receipts[i].place = i;
	if (trace->n_receipts)
		qsort(receipts, trace->n_receipts, sizeof(*receipts), by_id_latest_last);
	for (size_t i = 0; i < trace->n_receipts; i++)
		if (i + 1 < trace->n_receipts && receipts[i + 1].id == receipts[i].id)
			fault_receipt_fini(&receipts[i]);
		else
			receipts[n++] = receipts[i];
	trace->n_receipts = n;
}
