/* SPDX-License-Identifier: GPL-3.0-or-later */
/* See merge.h. Strings move, so that a large trace is not copied. */
#include "proto/merge.h"
#include "proto/fault.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MARKS_MAX = 64 }; /* of a stream; a run has a handful, more are nonsense */

struct shift {
	uint32_t *box; /* of each box: its index in the other trace */
	uint32_t process, end, text; /* added to every index that is not 0 */
	uint32_t salt; /* of numbers that are unique in their kernel only */
};

static uint32_t moved(uint32_t index, uint32_t by)
{
	return index ? index + by : 0;
}

static bool same_name(const struct trace_box *a, const struct trace_box *b)
{
	return a->name && b->name && !strcmp(a->name, b->name);
}

static int boxes_move(struct trace *into, struct trace *from, uint32_t *map)
{
	for (size_t i = 1; i <= from->n_boxes; i++) {
		struct trace_box *row = &from->boxes[i], *to;
		size_t k = 1;

		while (k <= into->n_boxes && !same_name(&into->boxes[k], row))
			k++;
		map[i] = (uint32_t)k;
		if (k <= into->n_boxes)
			continue;
		to = trace_box_at(into, (uint32_t)k);
		if (!to)
			return -ENOMEM;
		*to = *row;
		*row = (struct trace_box){ NULL, NULL, NULL };
	}
	return 0;
}

/* Each phase begins once in a run. */
static struct event *mark_find(const struct trace *trace, const char *text)
{
	for (size_t i = 0; i < trace->n_events; i++) {
		const char *other = trace_mark_text(trace, &trace->events[i]);

		if (other && !strcmp(other, text))
			return &trace->events[i];
	}
	return NULL;
}

static uint64_t outcome_of(const struct trace *trace, int64_t offset_ns)
{
	const struct event *mark = mark_find(trace, "outcome");

	return mark ? mark->enter_ns - (uint64_t)offset_ns : UINT64_MAX;
}

/* Before the marks of the streams are joined. */
static int outcomes_note(struct trace *into, const struct trace *from, int64_t offset_ns, unsigned stream)
{
	uint64_t *outcomes = realloc(into->outcomes, (stream + 1) * sizeof(*outcomes));

	if (!outcomes)
		return -ENOMEM;
	into->outcomes = outcomes;
	if (!into->n_outcomes)
		outcomes[into->n_outcomes++] = outcome_of(into, 0);
	while (into->n_outcomes < stream)
		outcomes[into->n_outcomes++] = UINT64_MAX;
	outcomes[stream] = outcome_of(from, offset_ns);
	into->n_outcomes = stream + 1;
	return 0;
}

static int rows_move(struct trace *into, struct trace *from, const struct shift *shift, int64_t offset_ns)
{
	for (size_t i = 1; i <= from->n_processes; i++) {
		struct trace_process *to = trace_process_at(into, shift->process + (uint32_t)i), *row = &from->processes[i];

		if (!to)
			return -ENOMEM;
		*to = *row;
		*row = (struct trace_process){ .name = NULL };
		to->parent = moved(to->parent, shift->process);
		to->box = to->box <= from->n_boxes ? shift->box[to->box] : 0;
	}
	for (size_t i = 1; i <= from->n_ends; i++) {
		struct trace_end *to = trace_end_at(into, shift->end + (uint32_t)i), *row = &from->ends[i];

		if (!to)
			return -ENOMEM;
		*to = *row;
		row->target = NULL;
		to->process = moved(to->process, shift->process);
		to->box = to->box <= from->n_boxes ? shift->box[to->box] : 0;
		if (to->transport != TRANSPORT_TCP) {
			to->first_local ^= shift->salt;
			to->first_remote ^= shift->salt;
		}
		to->established_ns -= to->established_ns ? (uint64_t)offset_ns : 0;
	}
	for (size_t i = 1; i <= from->n_texts; i++) {
		char **to = trace_text_at(into, shift->text + (uint32_t)i);

		if (!to)
			return -ENOMEM;
		*to = from->texts[i];
		from->texts[i] = NULL;
	}
	return 0;
}

/*
 * A phase began when the first agent was told so. Clocks agree only so far: what an agent saw before it was told itself, `outcomes`
 * says. False: `into` does not have it yet.
 */
static bool mark_join(struct trace *into, const struct event *mark, uint32_t texts, int64_t offset_ns)
{
	uint32_t text = moved(mark->text, texts); /* it has moved already */
	struct event *known = text && text <= into->n_texts && into->texts[text] ? mark_find(into, into->texts[text]) : NULL;
	uint64_t time = mark->enter_ns - (uint64_t)offset_ns;

	if (known && time < known->enter_ns)
		known->enter_ns = known->return_ns = time;
	return known;
}

static int events_move(struct trace *into, const struct trace *from, const struct shift *shift, int64_t offset_ns,
		       unsigned stream)
{
	int n_marks = 0;

	for (size_t i = 0; i < from->n_events; i++) {
		struct event *to;

		if (from->events[i].kind == EVENT_MARK &&
		    (n_marks++ >= MARKS_MAX || mark_join(into, &from->events[i], shift->text, offset_ns)))
			continue;
		to = trace_event_add(into);
		if (!to)
			return -ENOMEM;
		*to = from->events[i];
		to->enter_ns -= (uint64_t)offset_ns;
		to->return_ns -= (uint64_t)offset_ns;
		to->seq += (uint64_t)stream << MERGE_SEQ_BITS; /* between the CPU and the number */
		to->process = moved(to->process, shift->process);
		to->peer = moved(to->peer, shift->process);
		to->end = moved(to->end, shift->end);
		to->text = moved(to->text, shift->text);
		to->box = to->box <= from->n_boxes ? shift->box[to->box] : 0;
	}
	return 0;
}

static int contents_move(struct trace *into, struct trace *from, const struct shift *shift)
{
	for (size_t i = 0; i < from->n_contents; i++) {
		struct trace_content *to = trace_content_add(into);

		if (!to)
			return -ENOMEM;
		*to = from->contents[i];
		from->contents[i].bytes = NULL;
		to->end = moved(to->end, shift->end);
	}
	return 0;
}

static int outputs_move(struct trace *into, struct trace *from, const struct shift *shift)
{
	for (size_t i = 0; i < from->n_outputs; i++) {
		struct trace_output *to = trace_output_add(into);

		if (!to)
			return -ENOMEM;
		*to = from->outputs[i];
		from->outputs[i].bytes = NULL;
		to->process = moved(to->process, shift->process);
	}
	return 0;
}

/* Two agents can have had the same fault. Times of receipts are of the agent's clock, like those of events. */
static int receipts_move(struct trace *into, struct trace *from, int64_t offset_ns)
{
	size_t n, k = 0;

	trace_receipts_settle(into);
	trace_receipts_settle(from);
	n = into->n_receipts;
	for (size_t i = 0; i < from->n_receipts; i++) {
		struct fault_receipt *row = &from->receipts[i], *to;

		row->fired_ns -= row->fired_ns ? (uint64_t)offset_ns : 0;
		row->ended_ns -= row->ended_ns ? (uint64_t)offset_ns : 0;
		while (k < n && into->receipts[k].id < row->id)
			k++;
		if (k < n && into->receipts[k].id == row->id) {
			fault_receipt_join(&into->receipts[k], row);
			continue;
		}
		to = trace_receipt_add(into);
		if (!to)
			return -ENOMEM;
		*to = *row;
		row->line = row->why = NULL;
	}
	trace_receipts_settle(into);
	return 0;
}

int merge_stream(struct trace *into, struct trace *from, int64_t offset_ns, unsigned stream, unsigned kernel)
{
	struct shift shift = {
		.box = calloc(from->n_boxes + 1, sizeof(*shift.box)),
		.process = (uint32_t)into->n_processes,
		.end = (uint32_t)into->n_ends,
		.text = (uint32_t)into->n_texts,
		.salt = kernel * 0x9e3779b9u,
	};
	int err = shift.box ? boxes_move(into, from, shift.box) : -ENOMEM;

	if (!err && stream)
		err = outcomes_note(into, from, offset_ns, stream);
	if (!err)
		err = rows_move(into, from, &shift, offset_ns);
	if (!err)
		err = events_move(into, from, &shift, offset_ns, stream);
	if (!err)
		err = outputs_move(into, from, &shift);
	if (!err)
		err = contents_move(into, from, &shift);
	if (!err)
		err = receipts_move(into, from, offset_ns);
	into->lost = into->lost == UINT64_MAX || from->lost == UINT64_MAX ? UINT64_MAX : into->lost + from->lost;
	free(shift.box);
	trace_fini(from);
	return err;
}

static int by_size(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

/* Told when all is over: where an agent could not be reached for a while, that was why the run took so long. */
static bool is_late(const char *mark)
{
	return !strcmp(mark, "outcome") || !strcmp(mark, "teardown");
}

bool merge_offset(const struct trace *a, const struct trace *b, int64_t *ret_offset_ns)
{
	int64_t offsets[2][MARKS_MAX];
	size_t n[2] = { 0, 0 };
	bool late;

	for (size_t i = 0, n_marks = 0; i < a->n_events && n_marks < MARKS_MAX; i++) {
		const char *text = trace_mark_text(a, &a->events[i]);
		const struct event *other = text ? mark_find(b, text) : NULL;

		n_marks += text != NULL;
		if (!other)
			continue;
		late = is_late(text);
		offsets[late][n[late]++] = (int64_t)(other->enter_ns - a->events[i].enter_ns);
	}
	late = !n[false];
	if (!n[late])
		return false;
	qsort(offsets[late], n[late], sizeof(**offsets), by_size);
	*ret_offset_ns = offsets[late][n[late] / 2];
	return true;
}

/* Ends whose target is `number` get the name. */
static int targets_rename(struct trace *trace, const char *number, const char *name)
{
	for (size_t i = 1; i <= trace->n_ends; i++) {
		struct trace_end *end = &trace->ends[i];
		char *text;

		if (!end->target || strcmp(end->target, number))
			continue;
		text = strdup(name);
		if (!text)
			return -ENOMEM;
		free(end->target);
		end->target = text;
	}
	return 0;
}

int merge_names(struct trace *trace)
{
	char number[128];
	int err = 0;

	for (size_t i = 0; i < trace->n_events && !err; i++) {
		const struct event *event = &trace->events[i];
		const char *name = event->text && event->text <= trace->n_texts ? trace->texts[event->text] : NULL;

		if (event->kind != EVENT_LISTEN || !name || !event->box || event->box > trace->n_boxes ||
		    !trace->boxes[event->box].name)
			continue;
		snprintf(number, sizeof(number), "%s:%lld", trace->boxes[event->box].name, (long long)event->value);
		err = targets_rename(trace, number, name);
	}
	return err;
}
