/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * See hoard.h. Records are packed into chunks, each a piece of the spool; the one that is being filled is in memory. A
 * chunk that the spool cannot give back is a loss that has a number.
 */
#include "tfj/hoard.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "lib/large.h"

#define CHUNK (256u << 10)
#define CHUNKS_MIN 64 /* so many must have room in memory, or they are small ones */

struct entry {
	uint32_t tag, size;
	/* the record, and padding to a multiple of 8 */
};

struct chunk {
	struct chunk *prev, *next;
	struct piece piece;
	uint64_t count;
};

struct hoard {
	struct spool spool;
	struct chunk *chunks; /* oldest first */
	unsigned char *open;  /* the one that is being filled, NULL: none */
	size_t open_size, open_cap, chunk_size;
	uint64_t open_count, count;
	unsigned char *buffer;
	size_t buffer_size;
};

struct hoard *hoard_new(struct spool_room *room)
{
	struct hoard *hoard = calloc(1, sizeof(*hoard));

	if (!hoard)
		return NULL;
	spool_init(&hoard->spool, room);
	hoard->chunk_size = room->memory / CHUNKS_MIN >= LARGE_PAGE ? LARGE_PAGE : CHUNK;
	return hoard;
}

static void chunk_drop(struct hoard *hoard, struct chunk *chunk)
{
	DL_DELETE(hoard->chunks, chunk);
	hoard->count -= chunk->count;
	spool_drop(&hoard->spool, &chunk->piece);
	free(chunk);
}

void hoard_free(struct hoard *hoard)
{
	if (!hoard)
		return;
	while (hoard->chunks)
		chunk_drop(hoard, hoard->chunks);
	spool_fini(&hoard->spool);
	free(hoard->open);
	free(hoard->buffer);
	free(hoard);
}

/* What was filled goes to the spool. */
static int chunk_close(struct hoard *hoard)
{
	struct chunk *chunk;

	if (!hoard->open_count)
		return 0;
	chunk = calloc(1, sizeof(*chunk));
	if (!chunk)
		return -ENOMEM;
	chunk->count = hoard->open_count;
	spool_put(&hoard->spool, hoard->open, hoard->open_size, &chunk->piece);
	DL_APPEND(hoard->chunks, chunk);
	hoard->open = NULL;
	hoard->open_size = hoard->open_cap = hoard->open_count = 0;
	return 0;
}

int hoard_add(struct hoard *hoard, uint32_t tag, const void *record, size_t size)
{
	const struct entry entry = { .tag = tag, .size = (uint32_t)size };
	size_t room = sizeof(entry) + (size + 7) / 8 * 8;

	if (hoard->open_size + room > hoard->open_cap) {
		if (chunk_close(hoard) < 0)
			return -ENOMEM;
		hoard->open_cap = room > hoard->chunk_size ? room : hoard->chunk_size;
		hoard->open = hoard->open_cap == LARGE_PAGE ? large_page() : malloc(hoard->open_cap);
		if (!hoard->open) {
			hoard->open_cap = 0;
			return -ENOMEM;
		}
	}
	memcpy(hoard->open + hoard->open_size, &entry, sizeof(entry));
	memcpy(hoard->open + hoard->open_size + sizeof(entry), record, size);
	hoard->open_size += room;
	hoard->open_count++;
	hoard->count++;
	return 0;
}

int hoard_take(struct hoard *hoard, void (*on_record)(uint32_t tag, const void *record, size_t size, void *arg),
	       void *arg, uint64_t *ret_lost)
{
	const unsigned char *bytes;
	struct chunk *chunk;
	struct entry entry;
	int err = 0;

	if (!hoard->chunks && chunk_close(hoard) < 0) {
		*ret_lost = hoard->open_count;
		hoard->count -= hoard->open_count;
		hoard->open_size = hoard->open_count = 0;
		return -ENOMEM;
	}
	chunk = hoard->chunks;
	if (!chunk)
		return 0;
	bytes = spool_get(&hoard->spool, &chunk->piece, &hoard->buffer, &hoard->buffer_size);
	if (!bytes) {
		err = -errno;
		*ret_lost = chunk->count;
	}
	for (size_t at = 0; !err && at < chunk->piece.size; at += sizeof(entry) + (entry.size + 7) / 8 * 8) {
		memcpy(&entry, bytes + at, sizeof(entry));
		on_record(entry.tag, bytes + at + sizeof(entry), entry.size, arg);
	}
	chunk_drop(hoard, chunk);
	return err ? err : hoard->count > 0;
}

uint64_t hoard_count(const struct hoard *hoard)
{
	return hoard->count;
}
