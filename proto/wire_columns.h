/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What both ways of a batch (wire_batch_encode.c, wire_batch_decode.c) must agree on: which columns there are and what
 * each is predicted from; docs/wire.md describes them. Nobody else includes this.
 */
#ifndef PROTO_WIRE_COLUMNS_H
#define PROTO_WIRE_COLUMNS_H

#include "proto/event.h"

/*
 * What the columns predict from. Slots are chosen by the low bits of an index, without tags: two ends that share a slot
 * predict badly and are still right, and a hostile index costs no memory.
 */
#define WIRE_SLOTS 1024u
#define WIRE_CPU_SLOTS 256u
#define WIRE_SEQ_BITS 48
#define WIRE_SEQ_MASK ((UINT64_C(1) << WIRE_SEQ_BITS) - 1)

struct wire_predict {
	uint64_t order[WIRE_SLOTS];
	uint64_t cpu_seq[WIRE_CPU_SLOTS];
	struct {
		uint64_t pos;
		int64_t value;
		uint32_t message;
	} stream[WIRE_SLOTS];
	uint64_t enter_ns;
	uint32_t box, process, end;
};

static inline unsigned wire_stream_slot(const struct event *event)
{
	return (event->end * 4 + (event->kind == EVENT_RECV) * 2 + (event->kind == EVENT_SEND)) % WIRE_SLOTS;
}

static inline uint32_t wire_message_expected(const struct wire_predict *p, const struct event *event)
{
	return event->kind == EVENT_SEND ? p->stream[wire_stream_slot(event)].message + 1 : 0;
}

static inline void wire_predict_learn(struct wire_predict *p, const struct event *event)
{
	unsigned slot = wire_stream_slot(event);

	p->box = event->box;
	p->process = event->process;
	p->end = event->end;
	p->enter_ns = event->enter_ns;
	p->order[event->process % WIRE_SLOTS] = event->order;
	p->cpu_seq[(event->seq >> WIRE_SEQ_BITS) % WIRE_CPU_SLOTS] = event->seq & WIRE_SEQ_MASK;
	p->stream[slot].pos = event->pos + (event->value > 0 ? (uint64_t)event->value : 0);
	p->stream[slot].value = event->value;
	p->stream[slot].message = event->message;
}

/*
 * X(number, field, how): columns but kind (2, bytes), which has no prediction. U32, U64: varints; S32, S64: zigzag. Numbers
 * are those of message Columns, trace.proto.
 */
#define WIRE_COLUMNS(X)                                                                            \
	X(3, flags, U32) X(4, box, S32) X(5, process, S32) X(6, thread, U32) X(7, enter_ns, S64)   \
	X(8, duration_ns, U64) X(9, order, S64) X(10, cpu, U32) X(11, cpu_seq, S64)                \
	X(12, end, S32) X(13, pos, S64) X(14, value, S64) X(15, message, S32) X(16, peer, U32)     \
	X(17, text, U32)

enum wire_column {
#define X(number, field, how) WIRE_COLUMN_##field,
	WIRE_COLUMNS(X)
#undef X
	WIRE_COLUMN_COUNT,
};

#define WIRE_COLUMN_EVENTS 7 /* field of message Batch */
enum { WIRE_COUNT = 1, WIRE_KIND = 2, WIRE_VARINT = 0, WIRE_BYTES = 2 }; /* fields of message Columns; wire types */

/*
 * The content of a message Columns, written and read here and not by protobuf-c: events are all but a few of the bytes, and
 * this takes a fifth of the time. *ret_bytes is malloc'ed. -ENOMEM.
 */
int wire_columns_encode(const struct event *events, size_t n, unsigned char **ret_bytes, size_t *ret_size);

/* Appends the events. -EBADMSG for anything but what the encoder writes, for unknown kinds and rows; -ENOMEM. */
int wire_columns_decode(const unsigned char *bytes, size_t size, struct trace *trace);

/* A varint of 10 bytes at most. -EBADMSG: there is none before end. */
int wire_varint_take(const unsigned char **p, const unsigned char *end, uint64_t *ret_value);
unsigned char *wire_varint_put(unsigned char *p, uint64_t value);

#endif
