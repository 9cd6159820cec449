/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The API over TCP: a door with keys for controllers, whose list is one of their own (`controllers` in the folder of keys). Who is taken
 * off it is cut off: what it asked for ends. In a context of ZeroMQ of its own, since a context has one gate.
 */
#ifndef COLLECTOR_SERVE_REMOTE_H
#define COLLECTOR_SERVE_REMOTE_H

#include "collector/door.h"
#include "collector/outbox.h"
#include "collector/refusal.h"

struct serve_remote;

/* listen: tcp://ADDRESS:PORT. secret: of the server, Z85. folder: of keys. */
int serve_remote_open(const char *listen, const char *secret, const char *folder, struct serve_remote **ret_remote, struct error *e);
/* What was sent has 1 s to leave. */
void serve_remote_close(struct serve_remote *remote);

/* How many keys may connect. */
size_t serve_remote_keys(const struct serve_remote *remote);

/* For zmq_poll. */
enum { SERVE_REMOTE_ITEMS = 3 };
void serve_remote_items(const struct serve_remote *remote, zmq_pollitem_t items[SERVE_REMOTE_ITEMS]);

/*
 * In each turn: who came and went, keys that are shown, changes of the list. on_gone as for door_watch(); who is cut off is told to
 * on_cut and then to on_gone.
 */
void serve_remote_work(struct serve_remote *remote, uint64_t now, void (*on_gone)(struct door *door, int fd, void *arg),
		       void (*on_cut)(const struct door_id *controller, void *arg), void *arg);

struct door *serve_remote_door(const struct serve_remote *remote);
struct outbox *serve_remote_outbox(const struct serve_remote *remote);

/* Whether the controller that sent this frame may ask: it was claimed, and is on the list. */
bool serve_remote_welcome(struct serve_remote *remote, const struct door_frame *frame);

const struct refusals *serve_remote_refusals(const struct serve_remote *remote);
/* As gate_refused(), and server_list_trouble(). */
const char *serve_remote_stranger(struct serve_remote *remote);
const char *serve_remote_list_trouble(struct serve_remote *remote);

#endif
