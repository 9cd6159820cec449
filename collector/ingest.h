/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * One stream of numbered batches on its way into the store: takes each number once and in order, several in one
 * transaction. After ingest_flush() everything up to ingest_acknowledged() is on disk, and only that may be
 * acknowledged to the sender. Must not know about sockets.
 */
#ifndef COLLECTOR_INGEST_H
#define COLLECTOR_INGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "collector/store.h"

struct ingest {
	struct store *store; /* borrowed */
	uint64_t run, stream;
	uint64_t committed;  /* highest number that is on disk */
	uint64_t taken;	     /* highest number in the open transaction */
	uint64_t last;	     /* number of the batch that ended the stream; 0: it has not ended */
	size_t waiting;	     /* bytes in the open transaction */
	bool open;	     /* a transaction is open */
	bool owed;	     /* something came since the last flush that asks for an acknowledgement */
};

/* stream: as store_stream_add() numbered it. */
void ingest_init(struct ingest *ingest, struct store *store, uint64_t run, uint64_t stream);

/*
 * A batch as it came. A repeated one, or one of another run, is dropped; one that is too early is dropped as well: its sender will send
 * it again. Fails with -EBADMSG for a damaged batch, else as the store does. After a failure nothing of the open
 * transaction is kept.
 */
int ingest_put(struct ingest *ingest, const void *bytes, size_t size, struct error *e);

/* True when the open transaction is large enough to be flushed now. */
bool ingest_full(const struct ingest *ingest);

/*
 * Commits. *ret_acknowledge: everything up to this number may be acknowledged; 0 if there is nothing to say. Without an open
 * transaction it only answers repeated batches.
 */
int ingest_flush(struct ingest *ingest, uint64_t *ret_acknowledge, struct error *e);

/* The batch with `last` is on disk. */
bool ingest_complete(const struct ingest *ingest);

#endif
