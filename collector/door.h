/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A ROUTER that peers connect to, and who comes and goes there. A private one (ipc://) is a socket that only its user can
 * open; one on TCP has CURVE, and a gate (gate.h) that is asked for each key. Frames
 * larger than frame_max end the connection. Must not know what a frame says.
 */
#ifndef COLLECTOR_DOOR_H
#define COLLECTOR_DOOR_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <zmq.h>

#include "collector/refusal.h"
#include "lib/error.h"

#define DOOR_ID_MAX 255

struct door;

/* Which connection; another one after a peer has come back. */
struct door_id {
	const struct door *door;
	unsigned char size, bytes[DOOR_ID_MAX];
};

static inline bool door_id_same(const struct door_id *a, const struct door_id *b)
{
	return a->door == b->door && a->size == b->size && !memcmp(a->bytes, b->bytes, a->size);
}

struct door_frame {
	struct door_id from;
	int fd;		     /* of the connection: for door_claim() and on_gone */
	const char *user;    /* the key that it has shown; "" at a private door. Borrowed, as the rest, until the next call */
	const char *address; /* of the peer; "" at a private door */
	const unsigned char *bytes;
	size_t size;
};

struct gate;

struct door_options {
	const char *url;    /* ipc://PATH, of which the directory is private, or tcp://ADDRESS:PORT */
	const char *secret; /* CURVE, Z85: for tcp; else NULL */
	const struct gate *gate; /* of the same context: for tcp; else NULL */
	int64_t frame_max;  /* bytes */
	int queue;	    /* frames that wait for each peer and in all, each way */
	struct refusals *refusals; /* where those who are not let in are counted; borrowed */
};

/* context is borrowed. */
int door_open(void *context, const struct door_options *options, struct door **ret_door, struct error *e);
/* What was sent has linger_ms to leave when the context is closed. */
void door_close(struct door *door, int linger_ms);

/* For zmq_poll: frames, and who comes and goes. */
enum { DOOR_ITEMS = 2 };
void door_items(const struct door *door, zmq_pollitem_t items[DOOR_ITEMS]);

/* Before door_receive() in each turn. on_gone: a connection that was claimed has ended. Handles a bounded number. */
void door_watch(struct door *door, void (*on_gone)(struct door *door, int fd, void *arg), void *arg);

/* This connection is somebody known. False: it has ended meanwhile. */
bool door_claim(struct door *door, int fd);

/* 1: a frame; 0: none now; what is not one frame is dropped. */
int door_receive(struct door *door, struct door_frame *ret_frame);

/* Does not wait. -EHOSTUNREACH: that connection is gone, -EAGAIN: it takes no more now. */
int door_send(struct door *door, const struct door_id *to, const void *bytes, size_t size);
/* The same without a copy: bytes are not touched until on_free is called, from another thread, unless this fails. */
int door_lend(struct door *door, const struct door_id *to, void *bytes, size_t size, void (*on_free)(void *bytes, void *arg), void *arg);

#endif
