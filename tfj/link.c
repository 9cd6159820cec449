/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The link. Must not know what orders mean or what a batch holds.
 *
 * ZeroMQ reconnects by itself and tells so on the monitor. Between that and the collector's welcome nothing but Hello is
 * sent, and nothing waits inside the socket for a connection: what a connection that broke had in hand is sent again by
 * us. Happy path: batch kept -> sent within the window -> acknowledged -> freed. Connection lost: everything kept counts
 * as unsent. Collector gone for good: the caller's matter; nothing here ever blocks.
 *
 * A peer that neither answers nor closes (a cable that was pulled) is found out by heartbeats.
 */
#include "tfj/link.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <utlist.h>
#include <zmq.h>

#include "lib/clock.h"
#include "proto/courier.h"

enum {
	RECONNECT_MS = 100,
	RECONNECT_MAX_MS = 2000,
	CONNECT_MS = 5000,
	HEARTBEAT_MS = 2000,
	HEARTBEAT_TIMEOUT_MS = 10000,
};

struct batch {
	struct batch *prev, *next;
	uint64_t run, number;
	struct piece piece;
	bool acknowledged; /* kept only behind older ones that are not: pieces go in order */
};

struct link {
	void *context, *socket, *monitor;
	struct message_hello hello;
	bool tcp;
	char *url;
	uint64_t dial_ns; /* when to connect again ourselves; 0: ZeroMQ does it */
	char trouble[256]; /* why there is no connection; said once */
	bool trouble_said;
	char public[KEY_SIZE];
	bool connected, greeted, welcome; /* each before the next */
	struct sockaddr_in6 peer; /* port 0: not known; IPv4 as v4-mapped */
	unsigned char collector[16]; /* its session, once welcome */
	unsigned strangers;
	struct courier courier;
	struct spool spool;
	unsigned char *buffer; /* for batches out of the file */
	size_t buffer_size;
	struct batch *kept;   /* oldest first */
	struct batch *unsent; /* first one that has not left; NULL: all have */
	struct batch *reserved; /* for the next one */
	size_t n_kept, n_unsent;
	uint64_t kept_bytes;
	int broken;
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

/* CONNECTED tells only where to: nobody has proved anything yet. */
enum {
	MONITORED = ZMQ_EVENT_CONNECTED | ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_DISCONNECTED | ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL |
		    ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH,
};

static int option_set(struct link *link, int option, int value)
{
	return zmq_setsockopt(link->socket, option, &value, sizeof(value));
}

/* Both sides prove that they hold the secret of the key that the other expects; all that follows is encrypted. */
static int keys_set(struct link *link, const struct link_keys *keys)
{
	return zmq_setsockopt(link->socket, ZMQ_CURVE_SERVERKEY, keys->server, KEY_SIZE) < 0 ||
			       zmq_setsockopt(link->socket, ZMQ_CURVE_PUBLICKEY, keys->public, KEY_SIZE) < 0 ||
			       zmq_setsockopt(link->socket, ZMQ_CURVE_SECRETKEY, keys->secret, KEY_SIZE) < 0 ?
		       -1 :
		       0;
}

/* On this machine a dead peer's socket is closed, and a stopped one is no dead one: there nobody asks. */
static int heartbeat_set(struct link *link)
{
	return option_set(link, ZMQ_HEARTBEAT_IVL, HEARTBEAT_MS) < 0 ||
			       option_set(link, ZMQ_HEARTBEAT_TIMEOUT, HEARTBEAT_TIMEOUT_MS) < 0 ||
			       option_set(link, ZMQ_CONNECT_TIMEOUT, CONNECT_MS) < 0 ?
		       -1 :
		       0;
}

static int sockets_open(struct link *link, const char *url, const struct link_keys *keys)
{
	link->context = zmq_ctx_new();
	link->socket = link->context ? zmq_socket(link->context, ZMQ_DEALER) : NULL;
	link->monitor = link->socket ? zmq_socket(link->context, ZMQ_PAIR) : NULL;
	if (!link->monitor || option_set(link, ZMQ_SNDHWM, 0) < 0 || option_set(link, ZMQ_RCVHWM, 0) < 0 ||
	    option_set(link, ZMQ_IMMEDIATE, 1) < 0 || option_set(link, ZMQ_RECONNECT_IVL, RECONNECT_MS) < 0 ||
	    option_set(link, ZMQ_RECONNECT_IVL_MAX, RECONNECT_MAX_MS) < 0 ||
	    (keys && (keys_set(link, keys) < 0 || heartbeat_set(link) < 0)) ||
	    zmq_socket_monitor(link->socket, "inproc://monitor", MONITORED) < 0 ||
	    zmq_connect(link->monitor, "inproc://monitor") < 0 || zmq_connect(link->socket, url) < 0)
		return errno ? -errno : -EIO;
	return 0;
}

int link_open(const char *url, const struct link_keys *keys, const struct message_hello *hello, struct spool_room *room,
	      struct link **ret_link, struct error *e)
{
	struct link *link;
	int err = url_check(url, keys, e);

	if (err)
		return err;
	link = calloc(1, sizeof(*link));
	if (!link)
		return error_set(e, -ENOMEM, "out of memory");
	link->hello = *hello;
	link->tcp = keys != NULL;
	link->url = strdup(url);
	if (keys)
		memcpy(link->public, keys->public, KEY_SIZE);
	spool_init(&link->spool, room);
	err = link->url ? sockets_open(link, url, keys) : -ENOMEM;
	if (err) {
		error_set(e, err, "cannot connect to '%s': %s", url, zmq_strerror(-err));
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
	link->kept_bytes -= batch->piece.size;
	spool_drop(&link->spool, &batch->piece);
	free(batch);
}

void link_close(struct link *link, int linger_ms)
{
	const int none = 0;

	if (!link)
		return;
	while (link->kept)
		batch_drop(link, link->kept);
	free(link->reserved);
	spool_fini(&link->spool);
	courier_fini(&link->courier);
	free(link->buffer);
	free(link->url);
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

static bool bytes_send(struct link *link, const unsigned char *bytes, size_t size)
{
	int n;

	do
		n = zmq_send(link->socket, bytes, size, ZMQ_DONTWAIT);
	while (n < 0 && errno == EINTR);
	return n >= 0;
}

void link_send(struct link *link, const struct message *message)
{
	unsigned char *bytes;
	size_t size;

	if (courier_encode(&link->courier, message, &bytes, &size) < 0)
		return;
	if (link->welcome)
		bytes_send(link, bytes, size); /* if it broke just now, it is sent again */
	free(bytes);
}

static bool send_again(const unsigned char *bytes, size_t size, void *arg)
{
	return bytes_send(arg, bytes, size); /* if not, it broke again */
}

static bool batch_send(struct link *link, const struct batch *batch)
{
	struct message message = { .kind = MESSAGE_BATCH, .batch = { .size = batch->piece.size } };
	unsigned char *bytes;
	size_t size;
	bool sent;

	message.batch.bytes = spool_get(&link->spool, &batch->piece, &link->buffer, &link->buffer_size);
	if (!message.batch.bytes) {
		link->broken = errno == ENOMEM ? link->broken : -errno;
		return false;
	}
	if (message_encode(&message, &bytes, &size) < 0)
		return false;
	sent = bytes_send(link, bytes, size);
	free(bytes);
	return sent;
}

static void batches_send(struct link *link)
{
	while (link->welcome && link->unsent && link->n_kept - link->n_unsent < LINK_WINDOW &&
	       (link->unsent->acknowledged || batch_send(link, link->unsent))) {
		link->unsent = link->unsent->next;
		link->n_unsent--;
	}
}

/* The socket may learn a moment later than the monitor that it can send: then the next turn tries again. */
static void hello_send(struct link *link)
{
	struct message message = { .kind = MESSAGE_HELLO, .hello = link->hello };
	unsigned char *bytes;
	size_t size;
	int events;

	message.hello.monotonic_ns = clock_monotonic_ns();
	message.hello.realtime_ns = clock_realtime_ns();
	if (message_encode(&message, &bytes, &size) < 0)
		return;
	zmq_getsockopt(link->socket, ZMQ_EVENTS, &events, &(size_t){ sizeof(events) });
	link->greeted = bytes_send(link, bytes, size);
	free(bytes);
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
	if (event != ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL) /* ZeroMQ does not come back to who refused it */
		link->dial_ns = clock_monotonic_ns() + RECONNECT_MAX_MS * (CLOCK_SECOND_NS / 1000);
}

static void dial_again(struct link *link)
{
	if (!link->dial_ns || clock_monotonic_ns() < link->dial_ns)
		return;
	link->dial_ns = 0;
	zmq_disconnect(link->socket, link->url);
	zmq_connect(link->socket, link->url);
}

static void peer_look(struct link *link, int fd)
{
	struct sockaddr_in6 peer = { 0 };
	const struct sockaddr_in *ip4 = (const struct sockaddr_in *)&peer;
	socklen_t size = sizeof(peer);
	struct in_addr ip;

	if (getpeername(fd, (struct sockaddr *)&peer, &size) < 0)
		return;
	if (peer.sin6_family == AF_INET) {
		ip = ip4->sin_addr;
		peer.sin6_addr = (struct in6_addr){ .s6_addr = { [10] = 0xff, [11] = 0xff } };
		memcpy(&peer.sin6_addr.s6_addr[12], &ip, sizeof(ip));
	} else if (peer.sin6_family != AF_INET6) {
		return;
	}
	link->peer = peer; /* the port is at the same place in both */
}

int link_peer(const struct link *link, uint8_t ret_ip[16], uint16_t *ret_port)
{
	if (!link->peer.sin6_port)
		return -ENOTCONN;
	memcpy(ret_ip, &link->peer.sin6_addr, 16);
	*ret_port = ntohs(link->peer.sin6_port);
	return 0;
}

void link_on_monitor(struct link *link)
{
	unsigned char event[6];
	char address[512];
	uint32_t value;
	uint16_t what;

	/* Two frames: event and value; the address. */
	while (zmq_recv(link->monitor, event, sizeof(event), ZMQ_DONTWAIT) == sizeof(event)) {
		zmq_recv(link->monitor, address, sizeof(address), 0);
		memcpy(&what, event, sizeof(what));
		if (what == ZMQ_EVENT_CONNECTED) {
			memcpy(&value, event + sizeof(what), sizeof(value));
			peer_look(link, (int)value);
			continue;
		}
		link->connected = what == ZMQ_EVENT_HANDSHAKE_SUCCEEDED;
		link->greeted = link->welcome = false;
		link->unsent = link->kept;
		link->n_unsent = link->n_kept;
		if (!link->connected && what != ZMQ_EVENT_DISCONNECTED && link->tcp)
			on_handshake_failed(link, what);
		if (link->connected)
			*link->trouble = '\0';
	}
	dial_again(link);
	if (link->connected && !link->greeted)
		hello_send(link);
	batches_send(link); /* one may have found no memory, or a socket that was not ready */
}

/* Another process than before knows nothing of our numbers, nor of what was ordered. */
static void on_welcome(struct link *link, const struct message_welcome *welcome)
{
	static const unsigned char nobody[16];

	if (memcmp(link->collector, nobody, 16) != 0 && memcmp(link->collector, welcome->session, 16) != 0) {
		courier_fini(&link->courier);
		link->strangers++;
	}
	memcpy(link->collector, welcome->session, 16);
	link->welcome = true;
	courier_again(&link->courier, 0, send_again, link);
	batches_send(link);
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
	struct batch *batch;

	DL_FOREACH(link->kept, batch)
	{
		if (batch == link->unsent)
			break; /* nobody can have those */
		batch->acknowledged |= batch->run == run && batch->number <= number;
	}
	while (link->kept && link->kept->acknowledged && link->kept != link->unsent)
		batch_drop(link, link->kept);
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
			on_welcome(link, &ret_message->welcome);
			message_fini(ret_message);
		} else if (!courier_take(&link->courier, ret_message)) {
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

int link_reserve(struct link *link)
{
	if (!link->reserved)
		link->reserved = calloc(1, sizeof(*link->reserved));
	return link->reserved ? 0 : -ENOMEM;
}

void link_batch(struct link *link, uint64_t run, uint64_t number, unsigned char *bytes, size_t size)
{
	struct batch *batch = link->reserved;

	link->reserved = NULL;
	batch->run = run;
	batch->number = number;
	spool_put(&link->spool, bytes, size, &batch->piece);
	DL_APPEND(link->kept, batch);
	link->n_kept++;
	link->n_unsent++;
	link->kept_bytes += size;
	if (!link->unsent)
		link->unsent = batch;
	batches_send(link);
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

uint64_t link_kept(const struct link *link)
{
	return link->kept_bytes;
}

unsigned link_strangers(const struct link *link)
{
	return link->strangers;
}

int link_broken(const struct link *link)
{
	return link->broken;
}
