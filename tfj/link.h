/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The connection to the collector: a ZeroMQ DEALER that says Hello whenever it is connected (again), and keeps every
 * batch until it is acknowledged, and every reply and notice until it was heard. After a reconnect all of those are sent
 * once more, in order; the collector keeps the first of each number.
 */
#ifndef TFJ_LINK_H
#define TFJ_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/error.h"
#include "lib/key.h"
#include "proto/wire.h"
#include "tfj/spool.h"

#define LINK_WINDOW 64u /* batches sent and not yet acknowledged */

struct link;

/* CURVE keys, Z85: the server's, and our pair. Over TCP all three are needed. */
struct link_keys {
	char server[KEY_SIZE], public[KEY_SIZE], secret[KEY_SIZE];
};

/*
 * ipc://PATH, or tcp://HOST:PORT with keys (else NULL): only a server that has the secret of keys->server is talked to.
 * hello is borrowed as long as the link lives, its times are set when it is sent; room as well: that is where batches
 * are kept.
 */
int link_open(const char *url, const struct link_keys *keys, const struct message_hello *hello, struct spool_room *room,
	      struct link **ret_link, struct error *e);
/* Waits up to linger_ms for what was handed to the socket to leave. */
void link_close(struct link *link, int linger_ms);

/* For zmq_poll: messages, and the state of the connection. */
void *link_socket(const struct link *link);
void *link_monitor(const struct link *link);

/* To be called in every turn: sees to a connection that came or went, and to what could not be sent before. */
void link_on_monitor(struct link *link);

/* Why there is no connection, when that is new: a line for a person, once. NULL: nothing new. */
const char *link_trouble(struct link *link);

/*
 * The next message: 1, to be freed with message_fini; 0: none is there; negative errno: one that cannot be understood
 * (it is gone, go on). What concerns only the link (welcome, acknowledgements) is dealt with inside.
 */
int link_receive(struct link *link, struct message *ret_message, struct error *e);

/* Sends at once; without a connection replies and notices are kept, a progress is left out. */
void link_send(struct link *link, const struct message *message);

/*
 * Room for one more batch, which must be had before its number is used: a number that never comes would be waited for
 * for ever. 0 or -ENOMEM; again is fine.
 */
int link_reserve(struct link *link);

/* Takes an encoded batch, for which room was reserved, and sends it when the window allows. */
void link_batch(struct link *link, uint64_t run, uint64_t number, unsigned char *bytes, size_t size);

bool link_welcome(const struct link *link);   /* the collector is there and wants us */
size_t link_unsent(const struct link *link);  /* batches that have not left since the last connect */
size_t link_unacked(const struct link *link); /* batches */
uint64_t link_kept(const struct link *link);  /* bytes of batches */

/* Address (IPv4 as v4-mapped) and port of the collector, as of the last connect. -ENOTCONN: never, or not over IP. */
int link_peer(const struct link *link, uint8_t ret_ip[16], uint16_t *ret_port);

/* How many other collector processes were met: a run that one of those before ordered has nobody any more. */
unsigned link_strangers(const struct link *link);

/* Negative errno once a batch cannot be read back: its stream cannot be completed. */
int link_broken(const struct link *link);

#endif
