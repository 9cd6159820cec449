/* SPDX-License-Identifier: GPL-3.0-or-later */
/* libbop (libbop/bop.h) for commands that speak in the structs of proto/api.h. */
#ifndef COLLECTOR_CLIENT_H
#define COLLECTOR_CLIENT_H

#include <zmq.h>

#include "lib/error.h"
#include "proto/api.h"

struct client;

/* url: as for bop_open(); "": the usual one of this user. */
int client_open(const char *url, struct client **ret_client, struct error *e);
void client_close(struct client *client);

/* For zmq_poll: answers, and the end of the connection. */
enum { CLIENT_ITEMS = 1 };
void client_items(const struct client *client, zmq_pollitem_t items[CLIENT_ITEMS]);

int client_send(struct client *client, const struct api_request *request, struct error *e);

/* 1: an answer, to be freed with api_answer_fini(); 0: none now; -EPIPE: the server is gone; -EBADMSG. */
int client_receive(struct client *client, struct api_answer *ret_answer, struct error *e);

/* Waits for the answer to the request that is no Progress. An Error becomes an errno, with the server's text. */
int client_ask(struct client *client, const struct api_request *request, struct api_answer *ret_answer, struct error *e);

/* An Error that is about no request: the server takes none of this connection any more. */
bool client_ended(const struct api_answer *answer);

/* A negative errno for the kind of an Error. */
int client_errno(enum api_error kind);

#endif
