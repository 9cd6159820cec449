/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Events to columns (docs/wire.md). Each column has a part of one buffer, as large as it can become; what was not written
 * to costs nothing. Fails only without memory.
 */
#include "proto/wire_columns.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct column {
	unsigned char *begin, *at;
	uint64_t any; /* all values together: 0: it is left out */
};

static inline uint64_t U32(uint32_t value)
{
	return value;
}

static inline uint64_t U64(uint64_t value)
{
	return value;
}

static inline uint64_t S32(uint32_t value)
{
	return value << 1 ^ -(value >> 31);
}

static inline uint64_t S64(uint64_t value)
{
	return value << 1 ^ -(value >> 63);
}

#define MAX_U32 5
#define MAX_S32 5
#define MAX_U64 10
#define MAX_S64 10

unsigned char *wire_varint_put(unsigned char *p, uint64_t value)
{
	for (; value > 0x7f; value >>= 7)
		*p++ = (unsigned char)(value | 0x80);
	*p++ = (unsigned char)value;
	return p;
}

static inline void put(struct column *column, uint64_t value)
{
	column->any |= value;
	if (value <= 0x7f)
		*column->at++ = (unsigned char)value;
	else
		column->at = wire_varint_put(column->at, value);
}

/* Differences wrap: subtraction and addition modulo 2^64 (2^32) undo each other for every input. */
static void event_put(struct column *c, struct wire_predict *p, const struct event *event)
{
	uint64_t seq = event->seq & WIRE_SEQ_MASK, cpu = event->seq >> WIRE_SEQ_BITS;
	unsigned slot = wire_stream_slot(event);

#define PUT(field, how, value) put(&c[WIRE_COLUMN_##field], how(value))
	PUT(flags, U32, event->flags);
	PUT(box, S32, event->box - p->box);
	PUT(process, S32, event->process - p->process);
	PUT(thread, U32, event->thread);
	PUT(enter_ns, S64, event->enter_ns - p->enter_ns);
	PUT(duration_ns, U64, event->return_ns - event->enter_ns);
	PUT(order, S64, event->order - p->order[event->process % WIRE_SLOTS] - 1);
	PUT(cpu, U32, cpu);
	PUT(cpu_seq, S64, seq - p->cpu_seq[cpu % WIRE_CPU_SLOTS] - 1);
	PUT(end, S32, event->end - p->end);
	PUT(pos, S64, event->pos - p->stream[slot].pos);
	PUT(value, S64, (uint64_t)event->value - (uint64_t)p->stream[slot].value);
	PUT(message, S32, event->message - wire_message_expected(p, event));
	PUT(peer, U32, event->peer);
	PUT(text, U32, event->text);
#undef PUT
	wire_predict_learn(p, event);
}

static unsigned char *field_put(unsigned char *p, unsigned number, const unsigned char *bytes, size_t size)
{
	p = wire_varint_put(p, number << 3 | WIRE_BYTES);
	p = wire_varint_put(p, size);
	memcpy(p, bytes, size);
	return p + size;
}

/* The parts of the buffer; returns its size. buffer NULL: only that. */
static size_t columns_place(struct column *columns, unsigned char *buffer, size_t n)
{
	size_t at = n; /* kind */

#define X(number, field, how)                                                                      \
	if (buffer)                                                                                \
		columns[WIRE_COLUMN_##field].begin = columns[WIRE_COLUMN_##field].at = buffer + at; \
	at += n * MAX_##how;
	WIRE_COLUMNS(X)
#undef X
	return at;
}

int wire_columns_encode(const struct event *events, size_t n, unsigned char **ret_bytes, size_t *ret_size)
{
	struct column columns[WIRE_COLUMN_COUNT] = { 0 };
	unsigned char *buffer = malloc(columns_place(NULL, NULL, n) + 1), *bytes = NULL, *p;
	struct wire_predict *predict = calloc(1, sizeof(*predict));
	size_t size = 2 * 16 + n; /* heads of count and kind */
	int err = -ENOMEM;

	if (!buffer || !predict)
		goto out;
	columns_place(columns, buffer, n);
	for (size_t i = 0; i < n; i++) {
		buffer[i] = (uint8_t)events[i].kind;
		event_put(columns, predict, &events[i]);
	}
	for (int i = 0; i < WIRE_COLUMN_COUNT; i++)
		size += 16 + (size_t)(columns[i].at - columns[i].begin);
	bytes = malloc(size);
	if (!bytes)
		goto out;
	p = wire_varint_put(bytes, WIRE_COUNT << 3 | WIRE_VARINT);
	p = wire_varint_put(p, n);
	p = field_put(p, WIRE_KIND, buffer, n);
#define X(number, field, how)                                                                      \
	if (columns[WIRE_COLUMN_##field].any)                                                      \
		p = field_put(p, number, columns[WIRE_COLUMN_##field].begin,                       \
			      (size_t)(columns[WIRE_COLUMN_##field].at - columns[WIRE_COLUMN_##field].begin));
	WIRE_COLUMNS(X)
#undef X
	*ret_bytes = bytes;
	*ret_size = (size_t)(p - bytes);
	err = 0;
out:
	free(buffer);
	free(predict);
	return err;
}
