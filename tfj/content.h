/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The first bytes of messages, between the kernel side and everything else: a CONTENT record waits here, in memory, for
 * the SEND that says how many of its bytes were queued, and leaves filtered. Nothing else in the agent sees such a record.
 */
#ifndef TFJ_CONTENT_H
#define TFJ_CONTENT_H

#include <stddef.h>
#include <stdint.h>

#include "bpf/record.h"
#include "lib/error.h"

struct contents;

/* What is to be kept of one message; bytes lie behind it. */
struct kept_content {
	uint64_t cookie; /* of the sender's socket */
	uint32_t message;
	uint32_t flags; /* enum content_flag, proto/event.h */
	uint32_t size;
	uint32_t unused;
	unsigned char bytes[];
};

/* bytes: of each message, 1 to CONTENT_MAX; patterns as lib/redact.h takes them. -EINVAL says what is wrong with either. */
int contents_new(uint32_t bytes, char *const *patterns, struct contents **ret_contents, struct error *e);
void contents_free(struct contents *contents);

/* Keeps a CONTENT record until its SEND comes; one that is damaged, or finds no memory, is as if it had not been readable. */
void contents_put(struct contents *contents, const struct rec_content *record, size_t size);

/* That thread is no more: it sends nothing. */
void contents_end(struct contents *contents, uint32_t tid);

/*
 * What to keep of the message that this SEND begins, malloc'ed. NULL: nothing, because it failed, goes on with a message
 * that has begun before, or there is no memory.
 */
struct kept_content *contents_take(struct contents *contents, const struct rec_transfer *send);

#endif
