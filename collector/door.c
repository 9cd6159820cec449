/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * See door.h. ZeroMQ tells on a monitor what happens to connections. That one failed its handshake is told without
 * saying which; its end follows at once. So: an end of a connection that nobody claimed belongs to the last failure that
 * has no end yet, else to a peer that got through and was never claimed, else it was noise: then no failure is told.
 */
#include "collector/door.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum {
	FDS_MAX = 1 << 16,
	EVENTS_TURN = 4096,
	MONITOR_QUEUE = 1 << 16,
	HANDSHAKE_MS = 5000,
	HEARTBEAT_MS = 2000,
	HEARTBEAT_TIMEOUT_MS = 10000,
	MONITORED = ZMQ_EVENT_ACCEPTED | ZMQ_EVENT_DISCONNECTED | ZMQ_EVENT_HANDSHAKE_SUCCEEDED |
		    ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL | ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL |
		    ZMQ_EVENT_HANDSHAKE_FAILED_AUTH,
};

enum fd_state { FD_NONE, FD_OPEN, FD_CLAIMED };

struct door {
	void *socket, *monitor;
	struct refusals *refusals;
	unsigned char *fds; /* enum fd_state */
	uint64_t failed;    /* handshakes whose connection has not ended yet */
	uint64_t unclaimed; /* connections that got through and belong to nobody */
	zmq_msg_t identity, frame;
};

static int option_set(struct door *door, int option, int value)
{
	return zmq_setsockopt(door->socket, option, &value, sizeof(value));
}

static int curve_set(struct door *door, const char *secret)
{
	if (!secret)
		return 0;
	return option_set(door, ZMQ_CURVE_SERVER, 1) < 0 ||
			       zmq_setsockopt(door->socket, ZMQ_CURVE_SECRETKEY, secret, strlen(secret) + 1) < 0 ||
			       zmq_setsockopt(door->socket, ZMQ_ZAP_DOMAIN, "bop", 3) < 0 ||
			       option_set(door, ZMQ_HEARTBEAT_IVL, HEARTBEAT_MS) < 0 ||
			       option_set(door, ZMQ_HEARTBEAT_TIMEOUT, HEARTBEAT_TIMEOUT_MS) < 0 ?
		       -1 :
		       0;
}

static int monitor_open(struct door *door, void *context)
{
	int queue = MONITOR_QUEUE;
	char name[64];

	snprintf(name, sizeof(name), "inproc://door-%p", (void *)door);
	door->monitor = zmq_socket(context, ZMQ_PAIR);
	return !door->monitor || zmq_setsockopt(door->monitor, ZMQ_RCVHWM, &queue, sizeof(queue)) < 0 ||
			       zmq_socket_monitor(door->socket, name, MONITORED) < 0 ||
			       zmq_connect(door->monitor, name) < 0 ?
		       -1 :
		       0;
}

static int bind_private(struct door *door, const char *url)
{
	mode_t mask = umask(0177); /* for its owner alone, whatever the directory says */
	int err = zmq_bind(door->socket, url);

	umask(mask);
	return err;
}

int door_open(void *context, const struct door_options *options, struct door **ret_door, struct error *e)
{
	bool private = !strncmp(options->url, "ipc://", 6);
	struct door *door;
	int err = 0;

	if (!private && (!options->secret || !options->gate))
		return error_set(e, -EPERM, "%s: TCP only with keys on both sides", options->url);
	door = calloc(1, sizeof(*door));
	if (!door)
		return error_set(e, -ENOMEM, "out of memory");
	zmq_msg_init(&door->identity);
	zmq_msg_init(&door->frame);
	door->refusals = options->refusals;
	door->fds = calloc(FDS_MAX, 1);
	door->socket = zmq_socket(context, ZMQ_ROUTER);
	if (!door->fds || !door->socket || option_set(door, ZMQ_LINGER, 0) < 0 ||
	    option_set(door, ZMQ_RCVHWM, options->queue) < 0 || option_set(door, ZMQ_SNDHWM, options->queue) < 0 ||
	    option_set(door, ZMQ_ROUTER_MANDATORY, 1) < 0 || option_set(door, ZMQ_HANDSHAKE_IVL, HANDSHAKE_MS) < 0 ||
	    option_set(door, ZMQ_BACKLOG, 1024) < 0 ||
	    zmq_setsockopt(door->socket, ZMQ_MAXMSGSIZE, &options->frame_max, sizeof(options->frame_max)) < 0 ||
	    curve_set(door, options->secret) < 0 || monitor_open(door, context) < 0)
		err = error_set(e, -zmq_errno(), "making the socket %s: %s", options->url, zmq_strerror(zmq_errno()));
	else if ((private ? bind_private(door, options->url) : zmq_bind(door->socket, options->url)) < 0)
		err = error_set(e, -zmq_errno(), "cannot listen on %s: %s", options->url, zmq_strerror(zmq_errno()));
	if (err)
		door_close(door, 0);
	else
		*ret_door = door;
	return err;
}

void door_close(struct door *door, int linger_ms)
{
	const int none = 0;

	if (!door)
		return;
	zmq_msg_close(&door->identity);
	zmq_msg_close(&door->frame);
	if (door->monitor) {
		zmq_socket_monitor(door->socket, NULL, 0);
		zmq_setsockopt(door->monitor, ZMQ_LINGER, &none, sizeof(none));
		zmq_close(door->monitor);
	}
	if (door->socket) {
		option_set(door, ZMQ_LINGER, linger_ms);
		zmq_close(door->socket);
	}
	free(door->fds);
	free(door);
}

void door_items(const struct door *door, zmq_pollitem_t items[DOOR_ITEMS])
{
	items[0] = (zmq_pollitem_t){ .socket = door->socket, .events = ZMQ_POLLIN };
	items[1] = (zmq_pollitem_t){ .socket = door->monitor, .events = ZMQ_POLLIN };
}

/* The end of a connection that nobody claimed. */
static void stranger_gone(struct door *door)
{
	if (door->failed)
		door->failed--;
	else if (door->unclaimed)
		door->unclaimed--;
	else
		door->refusals->n[REFUSAL_NOISE]++;
}

/* ZeroMQ's protocol errors of a peer that has another mechanism than ours. */
static bool is_mechanism(uint32_t value)
{
	return value == ZMQ_PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH;
}

/* Returns whether a connection that was claimed has ended. */
static bool event_take(struct door *door, uint16_t event, uint32_t value)
{
	bool claimed = false;

	switch (event) {
	case ZMQ_EVENT_ACCEPTED:
		if (value < FDS_MAX)
			door->fds[value] = FD_OPEN;
		break;
	case ZMQ_EVENT_HANDSHAKE_SUCCEEDED:
		door->unclaimed++;
		break;
	case ZMQ_EVENT_HANDSHAKE_FAILED_AUTH: /* counted at the gate, which knows the key */
		door->failed++;
		break;
	case ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL:
		door->failed++;
		door->refusals->n[is_mechanism(value) ? REFUSAL_NO_CURVE : REFUSAL_HANDSHAKE]++;
		break;
	case ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL:
		door->failed++;
		door->refusals->n[REFUSAL_LEFT]++;
		break;
	case ZMQ_EVENT_DISCONNECTED:
		claimed = value < FDS_MAX && door->fds[value] == FD_CLAIMED;
		if (value < FDS_MAX)
			door->fds[value] = FD_NONE;
		if (!claimed)
			stranger_gone(door);
		break;
	}
	return claimed;
}

void door_watch(struct door *door, void (*on_gone)(struct door *door, int fd, void *arg), void *arg)
{
	unsigned char event[6];
	char address[256];
	uint16_t what;
	uint32_t value;

	/* Two frames: event and value; the address, which is our own. */
	for (int i = 0; i < EVENTS_TURN && zmq_recv(door->monitor, event, sizeof(event), ZMQ_DONTWAIT) == sizeof(event);
	     i++) {
		zmq_recv(door->monitor, address, sizeof(address), 0);
		memcpy(&what, event, sizeof(what));
		memcpy(&value, event + sizeof(what), sizeof(value));
		if (event_take(door, what, value))
			on_gone(door, (int)value, arg);
	}
}

bool door_claim(struct door *door, int fd)
{
	if (fd < 0 || fd >= FDS_MAX || door->fds[fd] == FD_NONE)
		return false;
	if (door->fds[fd] == FD_OPEN && door->unclaimed)
		door->unclaimed--;
	door->fds[fd] = FD_CLAIMED;
	return true;
}

/* Receives one part. 1: there are more of this message, 0: it was the last; negative errno. */
static int part_receive(struct door *door, zmq_msg_t *part)
{
	zmq_msg_close(part);
	zmq_msg_init(part);
	if (zmq_msg_recv(part, door->socket, ZMQ_DONTWAIT) < 0)
		return -zmq_errno();
	return zmq_msg_more(part);
}

/* 1: identity and one part came; 0: something else, which is gone. */
static int pair_receive(struct door *door)
{
	int more = part_receive(door, &door->identity), parts = 1;
	zmq_msg_t rest;

	if (more <= 0)
		return more;
	more = part_receive(door, &door->frame);
	zmq_msg_init(&rest);
	for (; more > 0; parts++)
		more = part_receive(door, &rest);
	zmq_msg_close(&rest);
	return more < 0 ? more : parts == 1;
}

static const char *property(zmq_msg_t *frame, const char *name)
{
	const char *value = zmq_msg_gets(frame, name);

	return value ? value : "";
}

int door_receive(struct door *door, struct door_frame *ret_frame)
{
	int err;

	do {
		err = pair_receive(door);
		if (err < 0)
			return 0;
	} while (!err || zmq_msg_size(&door->identity) > DOOR_ID_MAX);
	ret_frame->from.door = door;
	ret_frame->from.size = (unsigned char)zmq_msg_size(&door->identity);
	memcpy(ret_frame->from.bytes, zmq_msg_data(&door->identity), ret_frame->from.size);
	ret_frame->fd = zmq_msg_get(&door->frame, ZMQ_SRCFD);
	ret_frame->user = property(&door->frame, "User-Id");
	ret_frame->address = *ret_frame->user ? property(&door->frame, "Peer-Address") : "";
	ret_frame->bytes = zmq_msg_data(&door->frame);
	ret_frame->size = zmq_msg_size(&door->frame);
	return 1;
}

int door_send(struct door *door, const struct door_id *to, const void *bytes, size_t size)
{
	if (zmq_send(door->socket, to->bytes, to->size, ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0 ||
	    zmq_send(door->socket, bytes, size, ZMQ_DONTWAIT) < 0)
		return -zmq_errno();
	return 0;
}

int door_lend(struct door *door, const struct door_id *to, void *bytes, size_t size, void (*on_free)(void *bytes, void *arg), void *arg)
{
	zmq_msg_t part;

	if (zmq_send(door->socket, to->bytes, to->size, ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0)
		return -zmq_errno();
	/* the first part found a place, so the second has one; from here on bytes are freed whatever happens */
	if (zmq_msg_init_data(&part, bytes, size, on_free, arg) < 0)
		return -zmq_errno();
	if (zmq_msg_send(&part, door->socket, ZMQ_DONTWAIT) < 0)
		zmq_msg_close(&part);
	return 0;
}
