/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Order, once, group commit. See ingest.h. */
#include "collector/ingest.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proto/wire.h"

enum { FLUSH_BYTES = 4 << 20 };

void ingest_init(struct ingest *ingest, struct store *store, uint64_t run, uint64_t stream)
{
	*ingest = (struct ingest){ .store = store, .run = run, .stream = stream };
	trace_init(&ingest->tables);
}

static void waiting_free(struct ingest *ingest)
{
	for (size_t i = 0; i < ingest->n_waiting; i++)
		free(ingest->waiting[i].bytes);
	ingest->n_waiting = ingest->bytes_waiting = 0;
}

void ingest_fini(struct ingest *ingest)
{
	waiting_free(ingest);
	free(ingest->waiting);
	ingest->waiting = NULL;
	trace_fini(&ingest->tables);
}

void ingest_drop(struct ingest *ingest)
{
	waiting_free(ingest);
	if (ingest->last > ingest->committed)
		ingest->last = 0;
	ingest->taken = ingest->committed;
	ingest->owed = false;
}

static int keep(struct ingest *ingest, const void *bytes, size_t size)
{
	size_t cap = ingest->cap_waiting ? 2 * ingest->cap_waiting : 16;
	struct ingest_batch *waiting = ingest->waiting;

	if (ingest->n_waiting == ingest->cap_waiting) {
		waiting = realloc(waiting, cap * sizeof(*waiting));
		if (!waiting)
			return -ENOMEM;
		ingest->waiting = waiting;
		ingest->cap_waiting = cap;
	}
	waiting += ingest->n_waiting;
	waiting->bytes = malloc(size);
	if (!waiting->bytes)
		return -ENOMEM;
	memcpy(waiting->bytes, bytes, size);
	waiting->size = size;
	ingest->n_waiting++;
	ingest->bytes_waiting += size;
	return 0;
}

int ingest_put(struct ingest *ingest, const void *bytes, size_t size, struct error *e)
{
	struct wire_batch head;
	int err;

	err = wire_batch_peek(bytes, size, &head, e);
	if (err < 0)
		return err;
	if (head.run != ingest->run)
		return 0;
	if (head.number <= ingest->taken) {
		ingest->owed = true; /* its acknowledgement was lost */
		return 0;
	}
	if (head.number != ingest->taken + 1 || ingest->last)
		return 0;
	/* what is acknowledged can be read again */
	err = wire_batch_decode(bytes, size, &head, &ingest->tables, e);
	if (!err && ingest->on_taken)
		ingest->on_taken(ingest->arg, ingest);
	trace_drop_events(&ingest->tables);
	if (err < 0)
		return err;
	err = keep(ingest, bytes, size);
	if (err < 0)
		return error_set(e, err, "out of memory");
	ingest->taken = head.number;
	ingest->owed = true;
	if (head.last)
		ingest->last = head.number;
	return 0;
}

int ingest_resume(struct ingest *ingest, const void *bytes, size_t size, struct error *e)
{
	struct wire_batch head;
	int err = wire_batch_decode(bytes, size, &head, &ingest->tables, e);

	trace_drop_events(&ingest->tables);
	if (err < 0)
		return err;
	if (head.number != ingest->committed + 1)
		return error_set(e, -EBADMSG, "batch %llu of run %llu is missing", (unsigned long long)ingest->committed + 1,
				 (unsigned long long)ingest->run);
	ingest->committed = ingest->taken = head.number;
	if (head.last)
		ingest->last = head.number;
	return 0;
}

bool ingest_full(const struct ingest *ingest)
{
	return ingest->bytes_waiting >= FLUSH_BYTES;
}

static int write_waiting(struct ingest *ingest, struct error *e)
{
	int err = store_begin(ingest->store, e);

	if (err < 0)
		return err;
	for (size_t i = 0; i < ingest->n_waiting && !err; i++)
		err = store_batch_put(ingest->store, ingest->run, ingest->stream, ingest->committed + 1 + i,
				      ingest->waiting[i].bytes, ingest->waiting[i].size, e);
	if (!err)
		return store_commit(ingest->store, e);
	store_rollback(ingest->store);
	return err;
}

int ingest_flush(struct ingest *ingest, uint64_t *ret_acknowledge, struct error *e)
{
	int err = ingest->n_waiting ? write_waiting(ingest, e) : 0;

	if (err < 0)
		return err;
	ingest->committed = ingest->taken;
	waiting_free(ingest);
	*ret_acknowledge = ingest->owed ? ingest->committed : 0;
	ingest->owed = false;
	return 0;
}

bool ingest_complete(const struct ingest *ingest)
{
	return ingest->last && ingest->last <= ingest->committed;
}
