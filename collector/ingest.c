/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Order, once, group commit. See ingest.h. */
#include "collector/ingest.h"

#include "proto/wire.h"

enum { FLUSH_BYTES = 4 << 20 };

void ingest_init(struct ingest *ingest, struct store *store, uint64_t run, uint64_t stream)
{
	*ingest = (struct ingest){ .store = store, .run = run, .stream = stream };
}

static void abandon(struct ingest *ingest)
{
	if (ingest->open)
		store_rollback(ingest->store);
	if (ingest->last > ingest->committed)
		ingest->last = 0;
	ingest->taken = ingest->committed;
	ingest->waiting = 0;
	ingest->open = ingest->owed = false;
}

int ingest_put(struct ingest *ingest, const void *bytes, size_t size, struct error *e)
{
	struct wire_batch head;
	int err;

	err = wire_batch_peek(bytes, size, &head, e);
	if (err < 0)
		goto fail;
	if (head.run != ingest->run)
		return 0;
	if (head.number <= ingest->taken) {
		ingest->owed = true; /* its acknowledgement was lost */
		return 0;
	}
	if (head.number != ingest->taken + 1 || ingest->last)
		return 0;
	if (!ingest->open) {
		err = store_begin(ingest->store, e);
		if (err < 0)
			goto fail;
		ingest->open = true;
	}
	err = store_batch_put(ingest->store, ingest->run, ingest->stream, head.number, bytes, size, e);
	if (err < 0)
		goto fail;
	ingest->taken = head.number;
	ingest->waiting += size;
	ingest->owed = true;
	if (head.last)
		ingest->last = head.number;
	return 0;
fail:
	abandon(ingest);
	return err;
}

bool ingest_full(const struct ingest *ingest)
{
	return ingest->waiting >= FLUSH_BYTES;
}

int ingest_flush(struct ingest *ingest, uint64_t *ret_acknowledge, struct error *e)
{
	int err;

	if (ingest->open) {
		ingest->open = false;
		err = store_commit(ingest->store, e);
		if (err < 0) {
			abandon(ingest);
			return err;
		}
		ingest->committed = ingest->taken;
		ingest->waiting = 0;
	}
	*ret_acknowledge = ingest->owed ? ingest->committed : 0;
	ingest->owed = false;
	return 0;
}

bool ingest_complete(const struct ingest *ingest)
{
	return ingest->last && ingest->last <= ingest->committed;
}
