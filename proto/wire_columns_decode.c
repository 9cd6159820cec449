/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Columns to events. Hostile input: a column that ends too early, or too late, or stands there twice, is found out before
 * its batch is believed.
 */
#include "proto/wire_columns.h"

#include <errno.h>
#include <stdlib.h>

#include "proto/wire.h"

struct column {
	const unsigned char *at, *end; /* NULL: not there, all zero */
};

struct reader {
	struct column columns[WIRE_COLUMN_COUNT];
	const unsigned char *kind;
	uint64_t count, n_kind;
	bool damaged;
};

static inline uint32_t U32(uint64_t value)
{
	return (uint32_t)value;
}

static inline uint64_t U64(uint64_t value)
{
	return value;
}

static inline uint32_t S32(uint64_t value)
{
	return (uint32_t)value >> 1 ^ -((uint32_t)value & 1);
}

static inline uint64_t S64(uint64_t value)
{
	return value >> 1 ^ -(value & 1);
}

int wire_varint_take(const unsigned char **p, const unsigned char *end, uint64_t *ret_value)
{
	uint64_t value = 0;

	for (unsigned shift = 0; *p < end && shift < 64; shift += 7) {
		value |= (uint64_t)(**p & 0x7f) << shift;
		if (!(*(*p)++ & 0x80)) {
			*ret_value = value;
			return 0;
		}
	}
	return -EBADMSG;
}

static inline uint64_t get(struct reader *reader, enum wire_column which)
{
	struct column *column = &reader->columns[which];
	uint64_t value = 0;

	if (!column->at)
		return 0;
	if (column->at < column->end && *column->at < 0x80)
		return *column->at++;
	if (wire_varint_take(&column->at, column->end, &value) < 0)
		reader->damaged = true;
	return value;
}

static void event_get(struct reader *reader, size_t i, struct wire_predict *p, struct event *event)
{
	unsigned slot;
	uint64_t cpu;

#define GET(field, how) how(get(reader, WIRE_COLUMN_##field))
	event->kind = reader->kind[i];
	event->flags = (uint16_t)GET(flags, U32);
	event->box = p->box + GET(box, S32);
	event->process = p->process + GET(process, S32);
	event->thread = GET(thread, U32);
	event->enter_ns = p->enter_ns + GET(enter_ns, S64);
	event->return_ns = event->enter_ns + GET(duration_ns, U64);
	event->order = p->order[event->process % WIRE_SLOTS] + 1 + GET(order, S64);
	cpu = GET(cpu, U32) & 0xffff;
	event->seq = cpu << WIRE_SEQ_BITS |
		     ((p->cpu_seq[cpu % WIRE_CPU_SLOTS] + 1 + GET(cpu_seq, S64)) & WIRE_SEQ_MASK);
	event->end = p->end + GET(end, S32);
	slot = wire_stream_slot(event);
	event->pos = p->stream[slot].pos + GET(pos, S64);
	event->value = (int64_t)((uint64_t)p->stream[slot].value + GET(value, S64));
	event->message = wire_message_expected(p, event) + GET(message, S32);
	event->peer = GET(peer, U32);
	event->text = GET(text, U32);
#undef GET
	wire_predict_learn(p, event);
}

static int column_take(struct reader *reader, uint64_t number, const unsigned char *bytes, uint64_t size)
{
	struct column *column = NULL;

	switch (number) {
	case WIRE_KIND:
		if (reader->kind)
			return -EBADMSG;
		reader->kind = bytes;
		reader->n_kind = size;
		return 0;
#define X(n, field, how)                                                                           \
	case n:                                                                                    \
		column = &reader->columns[WIRE_COLUMN_##field];                                    \
		break;
		WIRE_COLUMNS(X)
#undef X
	default:
		return 0; /* of a later version */
	}
	if (column->at)
		return -EBADMSG;
	if (size) /* empty: as left out */
		*column = (struct column){ bytes, bytes + size };
	return 0;
}

static int columns_find(struct reader *reader, const unsigned char *p, const unsigned char *end)
{
	uint64_t tag, value;

	while (p < end) {
		if (wire_varint_take(&p, end, &tag) < 0 || wire_varint_take(&p, end, &value) < 0)
			return -EBADMSG;
		if ((tag & 7) == WIRE_VARINT) {
			if (tag >> 3 == WIRE_COUNT)
				reader->count = value;
			else if (tag >> 3 <= 17) /* what has a column is packed */
				return -EBADMSG;
			continue;
		}
		if ((tag & 7) != WIRE_BYTES || value > (size_t)(end - p) || column_take(reader, tag >> 3, p, value) < 0)
			return -EBADMSG;
		p += value;
	}
	return reader->count <= WIRE_MAX_EVENTS && reader->n_kind == reader->count ? 0 : -EBADMSG;
}

static bool event_sane(const struct trace *trace, const struct event *event)
{
	return event->kind != EVENT_NONE && event->kind < EVENT_KIND_COUNT && event->box <= trace->n_boxes &&
	       event->process <= trace->n_processes && event->peer <= trace->n_processes && event->end <= trace->n_ends &&
	       event->text <= trace->n_texts;
}

int wire_columns_decode(const unsigned char *bytes, size_t size, struct trace *trace)
{
	struct reader reader = { .damaged = false };
	struct wire_predict *p;
	struct event *events;
	int err;

	err = columns_find(&reader, bytes, bytes + size);
	if (err < 0)
		return err;
	events = reader.count ? trace_events_add(trace, reader.count) : NULL;
	p = calloc(1, sizeof(*p));
	if ((!events && reader.count) || !p)
		err = -ENOMEM;
	for (size_t i = 0; !err && i < reader.count; i++) {
		event_get(&reader, i, p, &events[i]);
		if (reader.damaged || !event_sane(trace, &events[i]))
			err = -EBADMSG;
	}
	for (int i = 0; !err && i < WIRE_COLUMN_COUNT; i++)
		if (reader.columns[i].at != reader.columns[i].end)
			err = -EBADMSG;
	free(p);
	return err;
}
