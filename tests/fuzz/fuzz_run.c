/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The batches of a stored run, each behind two bytes of its length, of one agent or several: read as a run is read, then shown in every way. Every
 * other mutation changes what the batches say instead of their bytes, so that the graph sees events that hang together.
 */
#include "proto/merge.h"
#include "proto/wire.h"
#include "tests/fuzz/shown.h"

static int trace_read(const uint8_t **data, const uint8_t *end, struct trace *trace)
{
	struct wire_batch head;
	struct error e = { "" };
	int err = *data < end ? 0 : -1;
	size_t n = 1;

	while (end - *data >= 2 && n && !err) {
		n = (*data)[0] | (size_t)(*data)[1] << 8;
		*data += 2;
		n = n > (size_t)(end - *data) ? (size_t)(end - *data) : n;
		if (n)
			err = wire_batch_decode(*data, n, &head, trace, &e);
		*data += n;
	}
	return err;
}

/* Behind a length of 0 comes what another agent recorded. */
static int traces_read(const uint8_t *data, const uint8_t *end, struct trace *trace)
{
	struct trace other;
	int64_t offset = 0;
	int err = trace_read(&data, end, trace);
	unsigned n = 0;

	while (!err && end - data > 2 && n < 3) {
		trace_init(&other);
		err = trace_read(&data, end, &other);
		if (!err) {
			merge_offset(trace, &other, &offset);
			n++;
			err = merge_stream(trace, &other, offset, n, n % 2 ? n : 0);
		}
		trace_fini(&other);
	}
	return !err && n ? merge_names(trace) : err;
}

/* One event, or one end, says something a little different. */
static void trace_change(struct trace *trace, unsigned int *seed)
{
	struct event *event = &trace->events[rand_r(seed) % trace->n_events];
	struct event *other = &trace->events[rand_r(seed) % trace->n_events], swap = *event;
	int little = rand_r(seed) % 5 - 2;

	switch (rand_r(seed) % 10) {
	case 0:
		event->kind = (uint16_t)(1 + rand_r(seed) % (EVENT_KIND_COUNT - 1));
		break;
	case 1:
		event->flags ^= (uint16_t)(1 << rand_r(seed) % 8);
		break;
	case 2:
		event->process = (uint32_t)rand_r(seed) % ((uint32_t)trace->n_processes + 1);
		break;
	case 3:
		event->end = (uint32_t)rand_r(seed) % ((uint32_t)trace->n_ends + 1);
		break;
	case 4:
		event->pos = rand_r(seed) % 4 ? event->pos + (uint64_t)little : UINT64_MAX - (uint64_t)rand_r(seed) % 3;
		break;
	case 5:
		event->value = rand_r(seed) % 4 ? (int64_t)((uint64_t)event->value + (uint64_t)little) :
			       rand_r(seed) % 2 ? INT64_MAX :
						  INT64_MIN;
		break;
	case 6:
		event->order += (uint64_t)little;
		break;
	case 7:
		event->message += (uint32_t)little;
		break;
	case 8:
		event->peer = (uint32_t)rand_r(seed) % ((uint32_t)trace->n_processes + 1);
		event->thread = (uint32_t)rand_r(seed) % 3;
		break;
	default:
		*event = *other;
		*other = swap;
		break;
	}
	if (trace->n_ends) {
		struct trace_end *end = &trace->ends[1 + rand_r(seed) % trace->n_ends];

		if (rand_r(seed) % 4 == 0)
			end->first_remote += (uint32_t)little;
		if (rand_r(seed) % 4 == 0)
			end->process = (uint32_t)rand_r(seed) % ((uint32_t)trace->n_processes + 1);
		if (rand_r(seed) % 8 == 0)
			end->role = (uint8_t)(rand_r(seed) % 3);
	}
}

static size_t trace_write(const struct trace *trace, uint8_t *data, size_t max)
{
	static uint32_t all[WIRE_MAX_EVENTS];
	struct wire_rows rows = { all, all, all, all, trace->n_boxes, trace->n_processes, trace->n_ends, trace->n_texts };
	struct wire_batch head = { .run = 1, .number = 1, .last = true };
	unsigned char *bytes;
	size_t size;

	for (uint32_t i = 0; i < WIRE_MAX_EVENTS; i++)
		all[i] = i + 1;
	if (trace->n_boxes > WIRE_MAX_EVENTS || trace->n_processes > WIRE_MAX_EVENTS ||
	    trace->n_ends > WIRE_MAX_EVENTS || trace->n_texts > WIRE_MAX_EVENTS)
		return 0;
	must(!wire_batch_encode(&head, trace, &rows, &bytes, &size));
	if (size > max - 2 || size > UINT16_MAX)
		size = 0;
	data[0] = (uint8_t)size;
	data[1] = (uint8_t)(size >> 8);
	memcpy(data + 2, bytes, size);
	free(bytes);
	return size ? size + 2 : 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed)
{
	struct trace trace;
	size_t n = 0;

	trace_init(&trace);
	if (seed % 2 && max_size > 2 && !traces_read(data, data + size, &trace) && trace.n_events) {
		for (unsigned i = 1 + seed % 5; i; i--)
			trace_change(&trace, &seed);
		n = trace_write(&trace, data, max_size);
	}
	trace_fini(&trace);
	return n ? n : LLVMFuzzerMutate(data, size, max_size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct store_run row = { .id = 1, .experiment = "x", .path = "/x", .version = "1", .outcome = OUTCOME_GOOD };
	struct run run = { .row = &row };

	trace_init(&run.trace);
	if (!traces_read(data, data + size, &run.trace)) {
		run_count(&run, &row, NULL, NULL);
		run_show(&run);
	}
	trace_fini(&run.trace);
	return 0;
}
