/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Several streams of one run into one trace. Pure. Each stream has indices and a clock of its own; a box, by its name,
 * is the same in all of them, everything else is somebody's alone. Connections are put together later, by their keys
 * (graph/): nothing of that is decided here.
 */
#ifndef PROTO_MERGE_H
#define PROTO_MERGE_H

#include "proto/event.h"

#define MERGE_STREAMS_MAX 256u /* of one run, whose sequence numbers stay apart */
#define MERGE_SEQ_BITS 40	/* of a number on its CPU: at a million events a second, twelve days */

/*
 * Moves all of `from`, whose clock shows offset_ns more than that of `into`, to the end of `into`. The marks of the run
 * are in every stream; each is kept once, at the earliest time, and `outcomes` says when each agent was told the
 * outcome. stream: the number of `from` (that of `into` is 0): from 1, in order, below MERGE_STREAMS_MAX; tells sequence
 * numbers of CPUs with one number apart. kernel: 0 if both come from one kernel, else a number of its own for that of
 * `from`: what only a kernel tells apart (sockets without a key of TCP) is not mixed up. 0 or -ENOMEM; then both must
 * only be freed. from is empty afterwards.
 */
int merge_stream(struct trace *into, struct trace *from, int64_t offset_ns, unsigned stream, unsigned kernel);

/* Number of the stream that an event of a merged trace came with. */
static inline unsigned merge_stream_of(const struct event *event)
{
	return event->seq >> MERGE_SEQ_BITS & (MERGE_STREAMS_MAX - 1);
}

/*
 * How much more the clock of b shows than that of a: from the marks, of which all agents are told at the same moment, and note
 * them when they hear of it. The median of the differences of those before the outcome, or if there are none, of the others;
 * false if they have no mark in common.
 */
bool merge_offset(const struct trace *a, const struct trace *b, int64_t *ret_offset_ns);

/*
 * A port that the kernel chose is called by its order in its own stream (s1:*1), by its number in the others: after this
 * by its order everywhere. To be called once, when all streams are in. 0 or -ENOMEM.
 */
int merge_names(struct trace *trace);

#endif
