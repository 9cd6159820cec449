/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What waits to be sent: pieces of bytes, first in, first out; in memory up to a bound, then in a file up to another.
 * The file has no name any more once it is open, and goes when its holder does, whatever killed it. Must not know what
 * is in a piece.
 *
 * Putting never fails: what finds no room is kept in memory over the bound. So whoever puts looks at spool_full() and
 * stops making more.
 */
#ifndef TFJ_SPOOL_H
#define TFJ_SPOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/error.h"

/* What all spools of an agent share. Bounds and use in bytes. */
struct spool_room {
	uint64_t memory, disk;
	uint64_t memory_used, disk_used; /* of the files that stand, also where nothing waits in them any more */
	int err;			 /* why: negative errno, -EFBIG for the bound; 0: there is nothing to tell */
	bool told;			 /* until half of the memory is free again */
};

struct spool {
	struct spool_room *room; /* borrowed */
	int fd;			 /* -1: not needed yet */
	uint64_t head, tail;	 /* of the file: the oldest byte that waits, the next free one */
	uint64_t end;		 /* where the file turned round to its beginning; 0: it did not */
	uint64_t size;		 /* of the file */
	uint64_t in_file;	 /* pieces */
};

struct piece {
	unsigned char *bytes; /* NULL: in the file */
	uint64_t at;	      /* there */
	size_t size;
};

void spool_init(struct spool *spool, struct spool_room *room);
/* Every piece must have been dropped, or is lost. */
void spool_fini(struct spool *spool);

/* Takes bytes (malloc'ed). */
void spool_put(struct spool *spool, unsigned char *bytes, size_t size, struct piece *ret_piece);

/* Its bytes: borrowed, or read into *buffer, which grows (realloc) and stays the caller's. NULL: errno says why. */
const unsigned char *spool_get(const struct spool *spool, const struct piece *piece, unsigned char **buffer,
			       size_t *buffer_size);

/* The oldest one that was put and not dropped. */
void spool_drop(struct spool *spool, struct piece *piece);

/* Memory is over its bound, because a file had no room: both are full, or there is no disk. */
bool spool_full(const struct spool_room *room);

/* Once for each time that no room was found: one line that says why and what it means. */
bool spool_complaint(struct spool_room *room, struct error *ret_complaint);

#endif
