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

/* X(field, type): columns but kind, which is bytes. */
#define WIRE_COLUMNS(X)                                                                                 \
	X(flags, uint32_t) X(box, int32_t) X(process, int32_t) X(thread, uint32_t) X(enter_ns, int64_t) \
	X(duration_ns, uint64_t) X(order, int64_t) X(cpu, uint32_t) X(cpu_seq, int64_t)            \
	X(end, int32_t) X(pos, int64_t) X(value, int64_t) X(message, int32_t) X(peer, uint32_t)    \
	X(text, uint32_t)

#endif
