/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Where an agent connects: a ZeroMQ ROUTER on a socket of its own in a private directory. Greets one agent, and one
 * only; turns frames into messages and messages into frames. What comes in is hostile until it is decoded: frames
 * larger than a batch may be end the peer's connection, what cannot be understood is an error of that peer.
 */
#ifndef COLLECTOR_SERVER_H
#define COLLECTOR_SERVER_H

#include <zmq.h>

#include "lib/error.h"
#include "proto/wire.h"

#define SERVER_ADDRESS_MAX 128

struct server;

/* directory: private (0700), absolute; the socket is made in it. ret_address: what the agent is told. */
int server_open(const char *directory, struct server **ret_server, char ret_address[SERVER_ADDRESS_MAX],
		struct error *e);
/* Waits up to 1 s for what was sent to leave. */
void server_close(struct server *server);

/* For zmq_poll. */
zmq_pollitem_t server_poll_item(const struct server *server);

/* What the agent said of itself; NULL before it did. */
const struct message_hello *server_agent(const struct server *server);

/*
 * The next message of the agent. 1: got one, valid until the next call; 0: there is none now; negative: the agent sent
 * nonsense (-EBADMSG) or is not one of ours (-EPROTO), e says why.
 */
int server_receive(struct server *server, const struct message **ret_message, struct error *e);

/* -ENOTCONN before the agent said hello. Does not wait. */
int server_send(struct server *server, const struct message *message, struct error *e);

#endif
