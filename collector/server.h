/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Where agents connect: a private socket and, if asked for, a TCP one with keys (door.h, gate.h). Greets agents, knows
 * them again when they come back, turns frames into messages and messages into frames; orders, replies and notices
 * arrive once and in order over any number of connections (proto/courier.h). What comes in is hostile until it is
 * decoded. Must not know what orders mean, nor where batches go.
 *
 * An agent that sends nonsense is cut off: it is told, and what it sends after that is not read.
 */
#ifndef COLLECTOR_SERVER_H
#define COLLECTOR_SERVER_H

#include <zmq.h>

#include "collector/allowed.h"
#include "collector/door.h"
#include "collector/refusal.h"
#include "lib/error.h"
#include "proto/courier.h"
#include "proto/wire.h"

#define SERVER_ADDRESS_MAX 128
#define SERVER_AGENTS_MAX 256
#define SERVER_KEY_AGENTS_MAX 32 /* that came with one key: it does not take all places */
enum { SERVER_ITEMS = 5 }; /* two doors and a gate, at most */

struct server;

enum server_news { SERVER_CAME, SERVER_BACK, SERVER_WENT, SERVER_CUT };

struct server_agent {
	struct server_agent *prev, *next;
	struct message_hello *hello; /* what it said of itself */
	char key[ALLOWED_NAME_MAX];  /* its name in the list; "": it came by the private socket */
	char public[KEY_SIZE];	     /* the key itself; "" as well then */
	char address[64];	     /* "" as well then */
	uint64_t since_ns;	     /* CLOCK_REALTIME: when it first connected */
	bool connected, cut;
	uint64_t away_ns; /* CLOCK_MONOTONIC: since when it is not connected */
	void *owner;	  /* the caller's: NULL: a row of it is dropped when it goes */
	size_t place;	  /* the caller's, as the next */
	uint64_t settling; /* the run that it was told to finish at once and has not said it did, so it takes no other; 0: none */
	uint64_t settling_ns; /* since when */
	bool settling_told;   /* that it takes long */
	/* private to server.c */
	struct message greeting;
	uint64_t under_way; /* number of the last message that left on this connection, of those that have one */
	struct door *door;
	struct door_id id;
	int fd;
	struct courier courier;
	/* Of this row: who comes back to a row that was dropped meets a stranger, who knows no numbers and no run of it. */
	unsigned char session[16];
};

struct server_options {
	const char *directory; /* private (0700), absolute; the socket `agents` is made in it */
	const char *listen;    /* tcp://ADDRESS:PORT; NULL: private only. The rest is for TCP */
	const char *secret;    /* Z85 */
	struct allowed *allowed; /* borrowed */
	bool single;	       /* one agent of our own: another one is refused, and its mistakes are ours (server_receive) */
	/* An agent came, came back, went, or is cut off. May be NULL. */
	void (*on_news)(struct server_agent *agent, enum server_news news, void *arg);
	void *arg;
};

/* ret_address: what agents of this machine are told. context is borrowed. */
int server_open(void *context, const struct server_options *options, struct server **ret_server,
		char ret_address[SERVER_ADDRESS_MAX], struct error *e);
/* Messages that were sent have 1 s to leave when the context is closed. */
void server_close(struct server *server);

/* For zmq_poll. Returns how many. */
int server_items(const struct server *server, zmq_pollitem_t items[SERVER_ITEMS]);

/* In each turn, before server_receive(): who came and went; keys that are shown; changes of the list; what could not be sent. */
void server_work(struct server *server, uint64_t now);
/* When it has something to do, whatever comes. UINT64_MAX: nothing. */
uint64_t server_deadline(const struct server *server, uint64_t now);

/*
 * The next message of an agent. 1: got one, valid until the next call; 0: there is none now; negative, only with
 * `single`: the agent sent nonsense (-EBADMSG) or is not one of ours (-EPROTO), e says why.
 */
int server_receive(struct server *server, struct server_agent **ret_agent, const struct message **ret_message,
		   struct error *e);

/*
 * Does not wait. What has to arrive is kept until it has, also when this fails: -EHOSTUNREACH: it is not connected now,
 * -EAGAIN: the way is full, server_work() tries again. -ENOMEM: it is lost.
 */
int server_send(struct server *server, struct server_agent *agent, const struct message *message, struct error *e);

/* The list; NULL: there is none. */
struct server_agent *server_agents(const struct server *server);
/* Forgets the agent if it is not connected; else only that anything is owed to it. */
void server_release(struct server *server, struct server_agent *agent);

const struct refusals *server_refusals(const struct server *server);
/* Why the list, which has changed, cannot be read: the one of before holds. NULL: nothing new. Valid until the next call. */
const char *server_list_trouble(struct server *server);
/* Who was refused last because of its key, for the log: "KEY from ADDRESS"; NULL: nobody new. */
const char *server_stranger(struct server *server);

#endif
