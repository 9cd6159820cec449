/* SPDX-License-Identifier: GPL-3.0-or-later */
/* See serve_remote.h. */
#include "collector/serve_remote.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "collector/allowed.h"
#include "collector/gate.h"
#include "lib/clock.h"
#include "proto/api.h"

#define REFRESH_NS (CLOCK_SECOND_NS / 10)
enum { LINGER_MS = 1000, QUEUE = 64 };

/* A connection that has asked something. */
struct controller {
	struct controller *prev, *next;
	struct door_id id;
	int fd;
	char name[ALLOWED_NAME_MAX], key[KEY_SIZE]; /* as the list has them */
	bool cut;
};

struct serve_remote {
	void *context;
	struct door *door;
	struct gate *gate;
	struct outbox *outbox;
	struct allowed list;
	struct refusals refusals;
	struct controller *controllers;
	uint64_t refresh_ns;
	struct error failed; /* of a list that cannot be read */
	bool trouble;	     /* until it is told */
	void (*on_gone)(struct door *door, int fd, void *arg);
	void (*on_cut)(const struct door_id *controller, void *arg);
	void *arg;
};

int serve_remote_open(const char *listen, const char *secret, const char *folder, struct serve_remote **ret_remote, struct error *e)
{
	struct serve_remote *remote = calloc(1, sizeof(*remote));
	struct door_options options = { .url = listen, .secret = secret, .frame_max = API_MAX_REQUEST, .queue = QUEUE };
	int err;

	if (!remote)
		return error_set(e, -ENOMEM, "out of memory");
	options.refusals = &remote->refusals;
	err = allowed_open(&remote->list, folder, ALLOWED_CONTROLLERS, e);
	if (!err && !(remote->context = zmq_ctx_new()))
		err = error_set(e, -ENOMEM, "out of memory");
	if (!err)
		err = gate_open(remote->context, &remote->list, &remote->refusals, &remote->gate, e);
	options.gate = remote->gate;
	if (!err)
		err = door_open(remote->context, &options, &remote->door, e);
	if (!err && !(remote->outbox = outbox_new(remote->door)))
		err = error_set(e, -ENOMEM, "out of memory");
	if (err)
		serve_remote_close(remote);
	else
		*ret_remote = remote;
	return err;
}

static void controller_free(struct serve_remote *remote, struct controller *one)
{
	DL_DELETE(remote->controllers, one);
	free(one);
}

void serve_remote_close(struct serve_remote *remote)
{
	if (!remote)
		return;
	while (remote->controllers)
		controller_free(remote, remote->controllers);
	outbox_free(remote->outbox);
	door_close(remote->door, LINGER_MS);
	gate_close(remote->gate);
	if (remote->context)
		zmq_ctx_term(remote->context);
	allowed_fini(&remote->list);
	free(remote);
}

size_t serve_remote_keys(const struct serve_remote *remote)
{
	return remote->list.n;
}

void serve_remote_items(const struct serve_remote *remote, zmq_pollitem_t items[SERVE_REMOTE_ITEMS])
{
	door_items(remote->door, items);
	items[2] = gate_item(remote->gate);
}

static void on_gone(struct door *door, int fd, void *arg)
{
	struct serve_remote *remote = arg;
	struct controller *one, *next;

	DL_FOREACH_SAFE(remote->controllers, one, next)
	if (one->fd == fd)
		controller_free(remote, one);
	remote->on_gone(door, fd, remote->arg);
}

/* Who is not on the list any more has nothing here any more. */
static void list_refresh(struct serve_remote *remote)
{
	int changed = allowed_refresh(&remote->list, &remote->failed);
	struct controller *one;

	remote->trouble |= changed < 0;
	if (changed <= 0)
		return;
	remote->trouble = false;
	DL_FOREACH(remote->controllers, one)
	{
		if (one->cut || allowed_pair(&remote->list, one->name, one->key))
			continue;
		one->cut = true;
		remote->on_cut(&one->id, remote->arg);
		remote->on_gone(remote->door, one->fd, remote->arg);
	}
}

static bool key_shown(const struct serve_remote *remote)
{
	zmq_pollitem_t item = gate_item(remote->gate);

	return zmq_poll(&item, 1, 0) > 0;
}

void serve_remote_work(struct serve_remote *remote, uint64_t now, void (*gone)(struct door *door, int fd, void *arg),
		       void (*cut)(const struct door_id *controller, void *arg), void *arg)
{
	remote->on_gone = gone;
	remote->on_cut = cut;
	remote->arg = arg;
	door_watch(remote->door, on_gone, remote);
	if (now - remote->refresh_ns >= REFRESH_NS || key_shown(remote)) { /* whoever was just let in does not try again */
		remote->refresh_ns = now;
		list_refresh(remote);
	}
	gate_work(remote->gate);
	outbox_time(remote->outbox, now);
}

struct door *serve_remote_door(const struct serve_remote *remote)
{
	return remote->door;
}

struct outbox *serve_remote_outbox(const struct serve_remote *remote)
{
	return remote->outbox;
}

bool serve_remote_welcome(struct serve_remote *remote, const struct door_frame *frame)
{
	const struct allowed_agent *row = allowed_by_key(&remote->list, frame->user);
	struct controller *one;

	door_watch(remote->door, on_gone, remote); /* the connection may be younger than the last look */
	if (!door_claim(remote->door, frame->fd)) /* gone again */
		return false;
	DL_SEARCH_SCALAR(remote->controllers, one, fd, frame->fd);
	if (one && !door_id_same(&one->id, &frame->from)) { /* it has ended, and its descriptor is another one's now */
		controller_free(remote, one);
		one = NULL;
	}
	if (one && one->cut)
		remote->on_cut(&one->id, remote->arg);
	if (one)
		return !one->cut;
	one = row ? calloc(1, sizeof(*one)) : NULL;
	if (!one)
		return false;
	one->id = frame->from;
	one->fd = frame->fd;
	snprintf(one->name, sizeof(one->name), "%s", row->name);
	snprintf(one->key, sizeof(one->key), "%s", row->key);
	DL_APPEND(remote->controllers, one);
	return true;
}

const struct refusals *serve_remote_refusals(const struct serve_remote *remote)
{
	return &remote->refusals;
}

const char *serve_remote_stranger(struct serve_remote *remote)
{
	return gate_refused(remote->gate);
}

const char *serve_remote_list_trouble(struct serve_remote *remote)
{
	if (!remote->trouble)
		return NULL;
	remote->trouble = false;
	return remote->failed.text;
}
