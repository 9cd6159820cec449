/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Bytes to batches. Pure: no file, no socket. A damaged or hostile batch gives -EBADMSG before any of its numbers is used
 * as an index or a size.
 */
#include "proto/wire.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proto/wire_receipt.h"
#include "proto/wire_columns.h"

/* One field of a protobuf message: its number and, if it is a varint, its value; the content of others is stepped over. */
static int field_take(const unsigned char **p, const unsigned char *end, uint64_t *ret_field, uint64_t *ret_value)
{
	uint64_t tag, skip = 0;

	if (wire_varint_take(p, end, &tag) < 0)
		return -EBADMSG;
	*ret_field = (tag & 7) == 0 ? tag >> 3 : 0;
	if ((tag & 7) == 0)
		return wire_varint_take(p, end, ret_value);
	if ((tag & 7) == 1)
		skip = 8;
	else if ((tag & 7) == 5)
		skip = 4;
	else if ((tag & 7) != 2 || wire_varint_take(p, end, &skip) < 0)
		return -EBADMSG;
	if (skip > (size_t)(end - *p))
		return -EBADMSG;
	*p += skip;
	return 0;
}

int wire_batch_peek(const unsigned char *bytes, size_t size, struct wire_batch *ret_head, struct error *e)
{
	const unsigned char *end = bytes + size;
	struct wire_batch head = { 0 };
	uint64_t field, value = 0;

	while (bytes < end) {
		if (field_take(&bytes, end, &field, &value) < 0)
			return error_set(e, -EBADMSG, "batch is damaged: not a protobuf message");
		switch (field) { /* numbers of message Batch, trace.proto */
		case 1:
			head.run = value;
			break;
		case 2:
			head.number = value;
			break;
		case 9:
			head.last = value;
			break;
		case 10:
			head.emitted = value;
			break;
		case 11:
			head.lost = value;
			break;
		}
	}
	*ret_head = head;
	return 0;
}

static int take_chars(char **field, const char *from)
{
	return wire_string_take(field, from, strlen(from));
}

static int take_ip(uint8_t ip[16], const ProtobufCBinaryData *data)
{
	if (data->len && data->len != 16)
		return -EBADMSG;
	memset(ip, 0, 16);
	if (data->len)
		memcpy(ip, data->data, 16);
	return 0;
}

static int take_box(struct trace_box *row, const Bop__Wire__Box *from)
{
	int err = take_chars(&row->name, from->name);

	if (!err)
		err = take_chars(&row->address, from->address);
	return err ? err : take_chars(&row->address6, from->address6);
}

static int take_process(struct trace_process *row, const Bop__Wire__Process *from)
{
	int err = take_chars(&row->name, from->name);

	row->box = from->box;
	row->parent = from->parent;
	row->pid = from->pid;
	return err ? err : take_chars(&row->command, from->command);
}

static int take_end(struct trace_end *row, const Bop__Wire__End *from)
{
	if (from->role > END_ACCEPTOR || from->transport >= TRANSPORT_COUNT || from->local_port > UINT16_MAX || from->remote_port > UINT16_MAX ||
	    take_ip(row->local.ip, &from->local_ip) < 0 || take_ip(row->remote.ip, &from->remote_ip) < 0)
		return -EBADMSG;
	row->box = from->box;
	row->process = from->process;
	row->role = (uint8_t)from->role;
	row->transport = (uint8_t)from->transport;
	row->keyed = from->keyed;
	row->older = from->older;
	row->finished = from->finished;
	row->first_local = from->first_local;
	row->first_remote = from->first_remote;
	row->local.port = (uint16_t)from->local_port;
	row->remote.port = (uint16_t)from->remote_port;
	row->ordinal = from->ordinal;
	row->error = from->error;
	row->established_ns = from->established_ns;
	row->sent = from->sent;
	row->received = from->received;
	row->unacked = from->unacked;
	row->unread = from->unread;
	return take_chars(&row->target, from->target);
}

static int take_text(char **row, const Bop__Wire__Text *from)
{
	return wire_string_take(row, from->text.data, from->text.len);
}

/* Rows are dense: a new index is at most as far away as the batch has rows, so memory follows what was really sent. */
#define TABLE_TAKE(what, plural)                                                                   \
	static int take_##plural(struct trace *trace, const Bop__Wire__Batch *batch)               \
	{                                                                                          \
		size_t limit = trace->n_##plural + batch->n_##plural;                              \
                                                                                                   \
		for (size_t i = 0; i < batch->n_##plural; i++) {                                   \
			uint32_t index = batch->plural[i]->index;                                  \
			int err;                                                                   \
                                                                                                   \
			if (!index || index > limit || index > WIRE_MAX_INDEX)                     \
				return -EBADMSG;                                                   \
			if (!trace_##what##_at(trace, index))                                      \
				return -ENOMEM;                                                    \
			err = take_##what(&trace->plural[index], batch->plural[i]);                \
			if (err)                                                                   \
				return err;                                                        \
		}                                                                                  \
		return 0;                                                                          \
	}

TABLE_TAKE(box, boxes)
TABLE_TAKE(process, processes)
TABLE_TAKE(end, ends)
TABLE_TAKE(text, texts)

/* Rows point at rows; checked when all of a batch are in. */
static int check_rows(const struct trace *trace, const Bop__Wire__Batch *batch)
{
	for (size_t i = 0; i < batch->n_processes; i++)
		if (batch->processes[i]->box > trace->n_boxes ||
		    batch->processes[i]->parent > trace->n_processes)
			return -EBADMSG;
	for (size_t i = 0; i < batch->n_ends; i++)
		if (batch->ends[i]->box > trace->n_boxes || batch->ends[i]->process > trace->n_processes)
			return -EBADMSG;
	return 0;
}

static int take_outputs(struct trace *trace, const Bop__Wire__Batch *batch)
{
	for (size_t i = 0; i < batch->n_outputs; i++) {
		const Bop__Wire__Output *from = batch->outputs[i];
		struct trace_output *row;

		if (from->process > trace->n_processes || from->stream < 1 || from->stream > 2)
			return -EBADMSG;
		row = trace_output_add(trace);
		if (!row)
			return -ENOMEM;
		row->process = from->process;
		row->stream = (uint8_t)from->stream;
		row->offset = from->offset;
		row->bytes = malloc(from->bytes.len + 1);
		if (!row->bytes)
			return -ENOMEM;
		if (from->bytes.len)
			memcpy(row->bytes, from->bytes.data, from->bytes.len);
		row->size = from->bytes.len;
	}
	return 0;
}

static int take_contents(struct trace *trace, const Bop__Wire__Batch *batch)
{
	for (size_t i = 0; i < batch->n_contents; i++) {
		const Bop__Wire__Content *from = batch->contents[i];
		struct trace_content *row;

		if (!from->end || from->end > trace->n_ends || !from->message)
			return -EBADMSG;
		row = trace_content_add(trace);
		if (!row)
			return -ENOMEM;
		*row = (struct trace_content){ from->end, from->message, from->flags, 0, malloc(from->bytes.len + 1) };
		if (!row->bytes)
			return -ENOMEM;
		if (from->bytes.len)
			memcpy(row->bytes, from->bytes.data, from->bytes.len);
		row->size = (uint32_t)from->bytes.len;
	}
	return 0;
}

static int take_receipts(struct trace *trace, const Bop__Wire__Batch *batch)
{
	for (size_t i = 0; i < batch->n_receipts; i++) {
		struct fault_receipt *row = trace_receipt_add(trace);
		int err = row ? wire_receipt_take(row, batch->receipts[i]) : -ENOMEM;

		if (err)
			return err;
	}
	return 0;
}

/* A batch whose events are read apart. */
struct halves {
	const unsigned char *events; /* NULL: none */
	size_t n_events;
	unsigned char *rest_copy;
	const unsigned char *rest;
	size_t n_rest;
};

/* Events stand at the end of what the encoder writes; elsewhere (older ones), what is around them is copied. */
static int halves_make(const unsigned char *bytes, size_t size, struct halves *h)
{
	const unsigned char *p = bytes, *end = bytes + size, *from = end, *to = end, *at;
	uint64_t field, value;

	*h = (struct halves){ .rest = bytes };
	while (p < end) {
		at = p;
		if (wire_varint_take(&p, end, &value) < 0)
			return -EBADMSG;
		if (value == (WIRE_COLUMN_EVENTS << 3 | WIRE_BYTES)) {
			if (h->events || wire_varint_take(&p, end, &value) < 0 || value > (size_t)(end - p))
				return -EBADMSG;
			h->events = p;
			h->n_events = (size_t)value;
			p += value;
			from = at;
			to = p;
		} else {
			p = at;
			if (field_take(&p, end, &field, &value) < 0)
				return -EBADMSG;
		}
	}
	h->n_rest = (size_t)(from - bytes) + (size_t)(end - to);
	if (to == end)
		return 0;
	h->rest_copy = malloc(h->n_rest + 1);
	if (!h->rest_copy)
		return -ENOMEM;
	memcpy(h->rest_copy, bytes, (size_t)(from - bytes));
	memcpy(h->rest_copy + (from - bytes), to, (size_t)(end - to));
	h->rest = h->rest_copy;
	return 0;
}

/* Everything but the events, which *ret_halves holds as they came. */
static int batch_unpack(const unsigned char *bytes, size_t size, Bop__Wire__Batch **ret_batch, struct halves *ret_halves,
			struct error *e)
{
	int err;

	if (size > WIRE_MAX_BATCH)
		return error_set(e, -EBADMSG, "batch of %zu bytes is larger than %u", size, WIRE_MAX_BATCH);
	err = halves_make(bytes, size, ret_halves);
	if (err == -ENOMEM)
		return error_set(e, err, "no memory for a batch of %zu bytes", size);
	*ret_batch = err ? NULL : bop__wire__batch__unpack(NULL, ret_halves->n_rest, ret_halves->rest);
	free(ret_halves->rest_copy);
	return *ret_batch ? 0 : error_set(e, -EBADMSG, "batch is damaged: not a protobuf message of its type");
}

int wire_batch_decode(const unsigned char *bytes, size_t size, struct wire_batch *ret_head, struct trace *trace,
		      struct error *e)
{
	Bop__Wire__Batch *batch;
	struct halves halves;
	int err = batch_unpack(bytes, size, &batch, &halves, e);

	if (err)
		return err;
	err = take_boxes(trace, batch);
	if (!err)
		err = take_processes(trace, batch);
	if (!err)
		err = take_ends(trace, batch);
	if (!err)
		err = take_texts(trace, batch);
	if (!err)
		err = check_rows(trace, batch);
	if (!err)
		err = take_outputs(trace, batch);
	if (!err)
		err = take_contents(trace, batch);
	if (!err)
		err = take_receipts(trace, batch);
	if (!err && halves.events)
		err = wire_columns_decode(halves.events, halves.n_events, trace);
	if (err == -EBADMSG)
		error_set(e, err, "batch %llu is damaged: an index, column or size in it is out of range",
			  (unsigned long long)batch->number);
	else if (err)
		error_set(e, err, "no memory for batch %llu", (unsigned long long)batch->number);
	else /* not from what was unpacked: a batch must not say two things to two readers */
		err = wire_batch_peek(bytes, size, ret_head, e);
	bop__wire__batch__free_unpacked(batch, NULL);
	return err;
}
