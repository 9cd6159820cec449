/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Orders, replies and notices over a connection that can break: each arrives once, in the order in which it was sent.
 * Both ends have one. Sending numbers such a message and keeps its bytes until the peer says, with whatever it sends
 * next, that it has heard that number; after a break all that is kept is sent again. Batches have numbers and
 * acknowledgements of their own. Pure: no socket.
 */
#ifndef PROTO_COURIER_H
#define PROTO_COURIER_H

#include <stdbool.h>

#include "proto/wire.h"

struct letter;

struct courier {
	struct letter *kept; /* oldest first */
	uint64_t sent;	     /* number of the newest one */
	uint64_t heard;	     /* highest number that came */
};

/* Zeroed is empty. Forgets everything: also for a peer that is another one now. */
void courier_fini(struct courier *courier);

/*
 * Encodes a message of ours; if it is to arrive for certain, it is numbered and kept. *ret_bytes is malloc'ed. -ENOMEM,
 * -EINVAL; then nothing is kept.
 */
int courier_encode(struct courier *courier, const struct message *message, unsigned char **ret_bytes, size_t *ret_size);

/* A message of the peer's: true if it is to be dealt with, false if it came before. Forgets what the peer has heard. */
bool courier_take(struct courier *courier, const struct message *message);

/*
 * All that is kept with a higher number than `after`, in order: what is owed after a break (0), or after one that could not be sent. send:
 * false: not now, and it ends there. The bytes are borrowed. Returns up to which number all was sent.
 */
typedef bool courier_send(const unsigned char *bytes, size_t size, void *arg);
uint64_t courier_again(const struct courier *courier, uint64_t after, courier_send *send, void *arg);

#endif
