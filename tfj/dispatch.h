/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What the stream holds becomes a batch that the link keeps. The collector takes batches in the order of their numbers, so
 * none is used up without its batch.
 */
#ifndef TFJ_DISPATCH_H
#define TFJ_DISPATCH_H

#include "tfj/batch.h"
#include "tfj/link.h"

/* last, emitted and lost as in stream_cut(). -ENOMEM: the stream is as it was; the next try makes this batch. */
int dispatch(struct stream *stream, struct link *link, bool last, uint64_t emitted, uint64_t lost);

#endif
