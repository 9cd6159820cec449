/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The link. Must not know what orders mean or what a batch holds.
 *
 * ZeroMQ reconnects by itself and tells so on the monitor. Between that and the collector's welcome nothing but Hello is
 * sent. Happy path: batch kept -> sent within the window -> acknowledged -> freed. Connection lost: everything kept
 * counts as unsent. Collector gone for good: the caller's matter; nothing here ever blocks.
 */
#include "tfj/link.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>
#include <zmq.h>

#include "lib/clock.h"

struct batch {
	struct batch *prev, *next;
	uint64_t run, number;
	unsigned char *bytes;
	size_t size;
};

struct link {
	void *context, *socket, *monitor;
	struct message_hello hello;
	bool welcome;
	bool tcp;
	char trouble[256]; /* why there is no connection; said once */
	bool trouble_said;
	char public[KEY_SIZE];
	struct batch *kept;   /* oldest first */
	struct batch *unsent; /* first one that has not left; NULL: all have */
	size_t n_kept, n_unsent, kept_bytes;
};

static int url_check(const char *url, const struct link_keys *keys, struct error *e)
{
	bool tcp = !strncmp(url, "tcp://", 6);

	if (tcp && strrchr(url + 6, ':') && strrchr(url + 6, ':')[1])
		return keys ? 0 : error_set(e, -EPROTONOSUPPORT,
					    "'%s': TCP needs CURVE keys on both sides: give --server-key and --key "
					    "(`bop keys --help` says how to make them), or use ipc://PATH", url);
	if (tcp || strncmp(url, "ipc://", 6) != 0 || !url[6])
		return error_set(e, -EINVAL, "'%s' is no address of a collector; it looks like tcp://HOST:PORT or "
				 "ipc:///run/bop/agents", url);
	return keys ? error_set(e, -EINVAL, "'%s': keys are for tcp://HOST:PORT; a private socket needs none", url) : 0;
}

/* CONNECTED would be too early: nobody has proved anything yet, and what is sent then waits for the next one who tries. */
enum {
	MONITORED = ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_DISCONNECTED | ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL |
		    ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH,
};

/* A link that is cut says nothing: who hears nothing asks, and gives the connection up when no answer comes. */
static int heartbeat_set(void *socket)
{
	const int ask_ms = 2000, patience_ms = 10000, slowest_ms = 2000;

	return zmq_setsockopt(socket, ZMQ_HEARTBEAT_IVL, &ask_ms, sizeof(ask_ms)) < 0 ||
			       zmq_setsockopt(socket, ZMQ_HEARTBEAT_TIMEOUT, &patience_ms, sizeof(patience_ms)) < 0 ||
			       zmq_setsockopt(socket, ZMQ_RECONNECT_IVL_MAX, &slowest_ms, sizeof(slowest_ms)) < 0 ?
		       -1 :
		       0;
}

/* Both sides prove that they hold the secret of the key that the other expects; all that follows is encrypted. */
static int keys_set(void *socket, const struct link_keys *keys)
{
	if (!keys)
		return 0;
	return heartbeat_set(socket) < 0 ||
			       zmq_setsockopt(socket, ZMQ_CURVE_SERVERKEY, keys->server, KEY_SIZE) < 0 ||
			       zmq_setsockopt(socket, ZMQ_CURVE_PUBLICKEY, keys->public, KEY_SIZE) < 0 ||
			       zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, keys->secret, KEY_SIZE) < 0 ?
		       -1 :
		       0;
}

int link_open(const char *url, const struct link_keys *keys, const struct message_hello *hello, struct link **ret_link,
	      struct error *e)
{
	const int no_limit = 0, reconnect_ms = 100;
	struct link *link;
	int err = url_check(url, keys, e);

	if (err)
		return err;
	link = calloc(1, sizeof(*link));
	if (!link)
		return error_set(e, -ENOMEM, "out of memory");
	link->hello = *hello;
	link->tcp = keys != NULL;
	if (keys)
		memcpy(link->public, keys->public, KEY_SIZE);
	link->context = zmq_ctx_new();
	link->socket = link->context ? zmq_socket(link->context, ZMQ_DEALER) : NULL;
	link->monitor = link->socket ? zmq_socket(link->context, ZMQ_PAIR) : NULL;
	if (!link->monitor || zmq_setsockopt(link->socket, ZMQ_SNDHWM, &no_limit, sizeof(no_limit)) < 0 ||
	    zmq_setsockopt(link->socket, ZMQ_RCVHWM, &no_limit, sizeof(no_limit)) < 0 ||
	    zmq_setsockopt(link->socket, ZMQ_RECONNECT_IVL, &reconnect_ms, sizeof(reconnect_ms)) < 0 ||
	    zmq_socket_monitor(link->socket, "inproc://monitor", MONITORED) < 0 ||
	    zmq_connect(link->monitor, "inproc://monitor") < 0 || keys_set(link->socket, keys) < 0 ||
	    zmq_connect(link->socket, url) < 0) {
		err = errno ? -errno : -EIO;
		error_set(e, err, "cannot connect to '%s': %s", url, zmq_strerror(errno));
		link_close(link, 0);
		return err;
	}
	*ret_link = link;
	return 0;
}

static void batch_drop(struct link *link, struct batch *batch)
{
	DL_DELETE(link->kept, batch);
	link->n_kept--;
	link->kept_bytes -= batch->size;
	free(batch->bytes);
	free(batch);
}

void link_close(struct link *link, int linger_ms)
{
	const int none = 0;

	if (!link)
		return;
	while (link->kept)
		batch_drop(link, link->kept);
	if (link->monitor) {
		zmq_socket_monitor(link->socket, NULL, 0);
		zmq_setsockopt(link->monitor, ZMQ_LINGER, &none, sizeof(none));
		zmq_close(link->monitor);
	}
	if (link->socket) {
		zmq_setsockopt(link->socket, ZMQ_LINGER, &linger_ms, sizeof(linger_ms));
		zmq_close(link->socket);
	}
	if (link->context)
		zmq_ctx_term(link->context);
	free(link);
}

void *link_socket(const struct link *link)
{
	return link->socket;
}

void *link_monitor(const struct link *link)
{
	return link->monitor;
}

void link_send(struct link *link, const struct message *message)
{
	unsigned char *bytes;
	size_t size;

	if (message_encode(message, &bytes, &size) < 0)
		return;
	while (zmq_send(link->socket, bytes, size, ZMQ_DONTWAIT) < 0 && errno == EINTR)
		;
	free(bytes);
}

static bool batch_send(struct link *link, const struct batch *batch)
{
	const struct message message = { .kind = MESSAGE_BATCH, .batch = { batch->bytes, batch->size } };
	unsigned char *bytes;
	size_t size;
	int n;

	if (message_encode(&message, &bytes, &size) < 0)
		return false;
	do
		n = zmq_send(link->socket, bytes, size, ZMQ_DONTWAIT);
	while (n < 0 && errno == EINTR);
	free(bytes);
	return n >= 0;
}

static void batches_send(struct link *link)
{
	while (link->welcome && link->unsent && link->n_kept - link->n_unsent < LINK_WINDOW &&
	       batch_send(link, link->unsent)) {
		link->unsent = link->unsent->next;
		link->n_unsent--;
	}
}

static void hello_send(struct link *link)
{
	struct message message = { .kind = MESSAGE_HELLO, .hello = link->hello };

	message.hello.monotonic_ns = clock_monotonic_ns();
	message.hello.realtime_ns = clock_realtime_ns();
	link_send(link, &message);
}

static void trouble_set(struct link *link, const char *text)
{
	if (!strcmp(link->trouble, text))
		return;
	snprintf(link->trouble, sizeof(link->trouble), "%s", text);
	link->trouble_said = false;
}

/* It goes on trying: the key may be let in, the right server may come. */
static void on_handshake_failed(struct link *link, uint16_t event)
{
	char text[sizeof(link->trouble)];

	if (event == ZMQ_EVENT_HANDSHAKE_FAILED_AUTH)
		snprintf(text, sizeof(text), "the collector does not let this agent in; to let it in, run there: "
			 "bop keys allow NAME '%s'", link->public);
	else if (event == ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL)
		snprintf(text, sizeof(text), "who answers at the collector's address has another protocol or no secret "
			 "for --server-key");
	else
		snprintf(text, sizeof(text), "who answers at the collector's address ends the handshake: is --server-key its key?");
	trouble_set(link, text);
}

void link_on_monitor(struct link *link)
{
	unsigned char event[6];
	char address[512];
	uint16_t what;

	/* Two frames: event and value; the address. */
	while (zmq_recv(link->monitor, event, sizeof(event), ZMQ_DONTWAIT) == sizeof(event)) {
		zmq_recv(link->monitor, address, sizeof(address), 0);
		memcpy(&what, event, sizeof(what));
		link->welcome = false;
		link->unsent = link->kept;
		link->n_unsent = link->n_kept;
		if (what == ZMQ_EVENT_HANDSHAKE_SUCCEEDED)
			hello_send(link);
		else if (what != ZMQ_EVENT_DISCONNECTED && link->tcp)
			on_handshake_failed(link, what);
	}
}

const char *link_trouble(struct link *link)
{
	if (!*link->trouble || link->trouble_said)
		return NULL;
	link->trouble_said = true;
	return link->trouble;
}

static void on_ack(struct link *link, uint64_t run, uint64_t number)
{
	struct batch *batch, *next;

	DL_FOREACH_SAFE(link->kept, batch, next)
	{
		if (batch == link->unsent)
			break; /* nobody can have those */
		if (batch->run == run && batch->number <= number)
			batch_drop(link, batch);
	}
}

int link_receive(struct link *link, struct message *ret_message, struct error *e)
{
	zmq_msg_t frame;
	int result = 0;

	zmq_msg_init(&frame);
	while (result == 0) {
		if (zmq_msg_recv(&frame, link->socket, ZMQ_DONTWAIT) < 0) {
			if (errno == EINTR)
				continue;
			break;
		}
		result = message_decode(zmq_msg_data(&frame), zmq_msg_size(&frame), MESSAGE_TO_AGENT, ret_message, e);
		if (result < 0)
			break;
		if (ret_message->kind == MESSAGE_WELCOME) {
			link->welcome = true;
			batches_send(link);
			message_fini(ret_message);
		} else if (ret_message->kind == MESSAGE_ACK) {
			on_ack(link, ret_message->ack.run, ret_message->ack.number);
			batches_send(link);
			message_fini(ret_message);
		} else {
			result = 1;
		}
	}
	zmq_msg_close(&frame);
	return result;
}

int link_batch(struct link *link, uint64_t run, uint64_t number, unsigned char *bytes, size_t size)
{
	struct batch *batch = calloc(1, sizeof(*batch));

	if (!batch) {
		free(bytes);
		return -ENOMEM;
	}
	*batch = (struct batch){ .run = run, .number = number, .bytes = bytes, .size = size };
	DL_APPEND(link->kept, batch);
	link->n_kept++;
	link->n_unsent++;
	link->kept_bytes += size;
	if (!link->unsent)
		link->unsent = batch;
	batches_send(link);
	return 0;
}

bool link_welcome(const struct link *link)
{
	return link->welcome;
}

size_t link_unsent(const struct link *link)
{
	return link->n_unsent;
}

size_t link_unacked(const struct link *link)
{
	return link->n_kept;
}

bool link_full(const struct link *link)
{
	return link->kept_bytes > LINK_KEEP;
}
