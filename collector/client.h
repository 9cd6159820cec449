/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A connection to `bop serve` as a controller: requests out, answers in. Private sockets only. */
#ifndef COLLECTOR_CLIENT_H
#define COLLECTOR_CLIENT_H

#include <zmq.h>

#include "lib/error.h"
#include "proto/api.h"

struct client;

/* url: ipc://PATH of the server's `api` socket; "": the usual one of this user. -ECONNREFUSED: no server runs there. */
int client_open(const char *url, struct client **ret_client, struct error *e);
void client_close(struct client *client);

/* For zmq_poll: answers, and the end of the connection. */
enum { CLIENT_ITEMS = 2 };
void client_items(const struct client *client, zmq_pollitem_t items[CLIENT_ITEMS]);

int client_send(struct client *client, const struct api_request *request, struct error *e);

/* 1: an answer, to be freed with api_answer_fini(); 0: none now; -EPIPE: the server is gone; -EBADMSG. */
int client_receive(struct client *client, struct api_answer *ret_answer, struct error *e);

/* Waits for the answer to the request that is no Progress. An Error becomes an errno, with the server's text. */
int client_ask(struct client *client, const struct api_request *request, struct api_answer *ret_answer, struct error *e);

/* A negative errno for the kind of an Error. */
int client_errno(enum api_error kind);

#endif
