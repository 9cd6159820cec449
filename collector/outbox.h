/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Answers on their way to clients that may be slow to read, or stopped. What must arrive waits until the client takes it
 * or is gone; what may be left out never waits. One client's waiting costs the others nothing. Must not know what an
 * answer says.
 */
#ifndef COLLECTOR_OUTBOX_H
#define COLLECTOR_OUTBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "collector/door.h"

#define OUTBOX_ANSWERS_MAX 256u	     /* that wait for one client, before it counts as full */
#define OUTBOX_BYTES_MAX (1u << 20)  /* of those, as well; and of those that ZeroMQ has for it: one that is larger goes alone */
#define OUTBOX_RETRY_NS 100000000ull /* until what waits is tried again, at the latest */

enum outbox_kind {
	OUTBOX_SKIP,   /* there will be a newer one: sent now or not at all */
	OUTBOX_ANSWER, /* waits, unless the client is full: who asks and does not read goes without */
	OUTBOX_END,    /* waits in any case; the caller sees to it that there are few */
};

struct outbox;

/* door is borrowed. NULL: no memory. */
struct outbox *outbox_new(struct door *door);
void outbox_free(struct outbox *outbox);

/*
 * Takes bytes (malloc'ed). 0: sent, or it waits; -EAGAIN, -ENOBUFS: left out; -EHOSTUNREACH: the client is gone;
 * -ENOMEM.
 */
int outbox_put(struct outbox *outbox, const struct door_id *to, enum outbox_kind kind, unsigned char *bytes, size_t size,
	       uint64_t now);

/* So much waits for this client that nothing more should be done for it. */
bool outbox_full(const struct outbox *outbox, const struct door_id *to);

/* Tries again what waits: in each turn. */
void outbox_time(struct outbox *outbox, uint64_t now);
uint64_t outbox_deadline(const struct outbox *outbox); /* UINT64_MAX: nothing waits */
/* Nothing waits, and ZeroMQ has nothing left of what it was given: all is with the kernel, or has nobody. */
bool outbox_empty(const struct outbox *outbox);

#endif
