/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * One stream of numbered batches on its way into the store: takes each number once and in order, several in one
 * transaction (group commit). After ingest_flush() everything up to ingest_acknowledged() is on disk, and only that may be
 * acknowledged to the sender. Must not know about sockets.
 */
#ifndef COLLECTOR_INGEST_H
#define COLLECTOR_INGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "collector/store.h"
#include "proto/event.h"

/* Batches that come within this time share a commit: an fsync each would cost more than all the rest. */
#define INGEST_COMMIT_NS 50000000ull

struct ingest_batch {
	unsigned char *bytes;
	size_t size;
};

struct ingest {
	struct store *store; /* borrowed */
	uint64_t run, stream;
	uint64_t committed;  /* highest number that is on disk */
	uint64_t taken;	     /* highest number that is here */
	uint64_t last;	     /* number of the batch that ended the stream; 0: it has not ended */
	struct ingest_batch *waiting; /* numbers committed + 1 to taken */
	size_t n_waiting, cap_waiting, bytes_waiting;
	struct trace tables; /* of the batches so far: what makes no sense after them is not taken */
	/* Of each batch that is new: its events, outputs and the like, and the tables so far. NULL: nobody wants that. */
	void (*on_taken)(void *arg, const struct ingest *ingest);
	void *arg;
	bool owed;	     /* something came since the last flush that asks for an acknowledgement */
};

/* stream: as store_stream_add() numbered it. */
void ingest_init(struct ingest *ingest, struct store *store, uint64_t run, uint64_t stream);
void ingest_fini(struct ingest *ingest);

/* A batch that is in the store already, in order, before anything is put: so that the stream goes on after it. */
int ingest_resume(struct ingest *ingest, const void *bytes, size_t size, struct error *e);

/*
 * A batch as it came; it is copied, and waits for the next flush. A repeated one, or one of another run, is dropped;
 * one that is too early as well: its sender will send it again. -EBADMSG for a batch that cannot be decoded, -ENOMEM:
 * it is not taken.
 */
int ingest_put(struct ingest *ingest, const void *bytes, size_t size, struct error *e);

/* True when so much waits that it should be flushed now. */
bool ingest_full(const struct ingest *ingest);

/*
 * Writes all that waits in one transaction, which is as short as can be: others may write to the store as well.
 * *ret_acknowledge: everything up to this number may be acknowledged; 0 if there is nothing to say. Fails as the store
 * does; then all that waited still does: it can be tried again.
 */
int ingest_flush(struct ingest *ingest, uint64_t *ret_acknowledge, struct error *e);

/* Forgets what waits, as if it had not come. */
void ingest_drop(struct ingest *ingest);

/* The batch with `last` is on disk. */
bool ingest_complete(const struct ingest *ingest);

#endif
