/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * See content.h. A thread is in one send at a time, so only its last CONTENT record can belong to its next SEND, which has the
 * same number if none of the two was lost; one whose send came to nothing is replaced by the next. Must not know names or time.
 */
#include "tfj/content.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "lib/redact.h"
#include "proto/event.h"

struct waiting {
	UT_hash_handle hh;
	uint32_t tid;
	uint16_t number;
	uint32_t size, limit;
	uint64_t cookie, asked;
	unsigned char bytes[];
};

struct contents {
	struct redactor *redactor;
	uint32_t bytes;
	struct waiting *waiting; /* by thread */
};

int contents_new(uint32_t bytes, char *const *patterns, struct contents **ret_contents, struct error *e)
{
	struct contents *contents;
	int err;

	if (!bytes || bytes > CONTENT_MAX)
		return error_set(e, -EINVAL, "content of %u bytes: it must be 1 to %u", bytes, CONTENT_MAX);
	contents = calloc(1, sizeof(*contents));
	if (!contents)
		return error_set(e, -ENOMEM, "out of memory");
	contents->bytes = bytes;
	err = redactor_new(patterns, &contents->redactor, e);
	if (err < 0) {
		free(contents);
		return error_prefix(e, err, "redact");
	}
	*ret_contents = contents;
	return 0;
}

static void waiting_drop(struct contents *contents, struct waiting *waiting)
{
	HASH_DEL(contents->waiting, waiting);
	free(waiting);
}

void contents_free(struct contents *contents)
{
	struct waiting *waiting, *next;

	if (!contents)
		return;
	HASH_ITER(hh, contents->waiting, waiting, next)
		waiting_drop(contents, waiting);
	redactor_free(contents->redactor);
	free(contents);
}

static struct waiting *waiting_find(struct contents *contents, uint32_t tid)
{
	struct waiting *waiting;

	HASH_FIND(hh, contents->waiting, &tid, sizeof(tid), waiting);
	return waiting;
}

void contents_put(struct contents *contents, const struct rec_content *record, size_t size)
{
	struct waiting *waiting;

	if (size < sizeof(*record))
		return;
	waiting = waiting_find(contents, record->head.tid);
	if (waiting)
		waiting_drop(contents, waiting);
	if (record->size > size - sizeof(*record))
		return;
	waiting = malloc(sizeof(*waiting) + record->size);
	if (!waiting)
		return;
	waiting->tid = record->head.tid;
	waiting->number = record->number;
	waiting->size = record->size;
	waiting->limit = record->limit;
	waiting->cookie = record->cookie;
	waiting->asked = record->asked;
	memcpy(waiting->bytes, record + 1, record->size);
	HASH_ADD(hh, contents->waiting, tid, sizeof(waiting->tid), waiting);
}

void contents_end(struct contents *contents, uint32_t tid)
{
	struct waiting *waiting = waiting_find(contents, tid);

	if (waiting)
		waiting_drop(contents, waiting);
}

static struct kept_content *kept_new(const struct rec_transfer *send, uint32_t flags, const unsigned char *bytes, size_t size)
{
	struct kept_content *kept = malloc(sizeof(*kept) + size);

	if (!kept)
		return NULL;
	*kept = (struct kept_content){ send->cookie, send->message, flags, (uint32_t)size, 0 };
	if (size)
		memcpy(kept->bytes, bytes, size);
	return kept;
}

/* The bytes of a send that queued `sent` bytes. Without memory they seem not to have been readable. */
static struct kept_content *kept_filter(struct contents *contents, const struct rec_transfer *send,
					const struct waiting *waiting)
{
	uint64_t sent = (uint64_t)send->result;
	uint32_t size = waiting->size < contents->bytes ? waiting->size : contents->bytes, flags = 0;
	unsigned char *shown = NULL;
	struct kept_content *kept;
	enum redacted redacted;
	size_t n;

	if (size > sent)
		size = (uint32_t)sent;
	if (size < waiting->asked)
		flags |= CONTENT_F_CUT;
	if (size == waiting->size && size < sent && size < waiting->limit)
		flags |= CONTENT_F_UNREADABLE;
	if (redactor_apply(contents->redactor, waiting->bytes, size, flags & CONTENT_F_CUT, &shown, &n, &redacted) < 0)
		return kept_new(send, CONTENT_F_CUT | CONTENT_F_UNREADABLE, NULL, 0);
	if (redacted != REDACTED_NOTHING)
		flags |= CONTENT_F_REDACTED;
	if (redacted == REDACTED_ALL)
		flags |= CONTENT_F_WITHHELD;
	kept = kept_new(send, flags, shown, n);
	free(shown);
	return kept;
}

struct kept_content *contents_take(struct contents *contents, const struct rec_transfer *send)
{
	struct waiting *waiting = waiting_find(contents, send->head.tid);
	struct kept_content *kept = NULL;

	if (send->result > 0 && send->message && !(send->head.flags & REC_F_CONTINUED)) {
		if (waiting && send->content && waiting->number == send->content && waiting->cookie == send->cookie)
			kept = kept_filter(contents, send, waiting);
		else
			kept = kept_new(send, CONTENT_F_CUT | CONTENT_F_UNREADABLE, NULL, 0);
	}
	if (waiting)
		waiting_drop(contents, waiting);
	return kept;
}
