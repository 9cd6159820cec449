/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The ROUTER. See server.h. Must not know what orders mean, nor where batches go. */
#include "collector/server.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "proto/courier.h"

/* Room around a batch, or around 64 KiB of output. */
enum { FRAME_MAX = WIRE_MAX_BATCH + (1 << 20), LINGER_MS = 1000, QUEUE = 256 };

struct server {
	void *context, *socket;
	zmq_msg_t identity; /* of the agent, once it said hello */
	zmq_msg_t frame;    /* the last one received; a batch is borrowed from it */
	struct message message;
	struct message hello; /* kind MESSAGE_NONE: not yet */
	struct courier courier;
	unsigned char session[16]; /* ours: tells an agent that comes back whom it meets */
};

static int zmq_fail(const char *doing, struct error *e)
{
	int err = zmq_errno();

	return error_set(e, -err, "the agent's socket: %s: %s", doing, zmq_strerror(err));
}

static int option_set(struct server *server, int option, int value)
{
	return zmq_setsockopt(server->socket, option, &value, sizeof(value));
}

int server_open(const char *directory, struct server **ret_server, char ret_address[SERVER_ADDRESS_MAX],
		struct error *e)
{
	int64_t frame_max = FRAME_MAX;
	struct server *server;
	mode_t mask;
	int err = 0;

	/* sun_path is 108 bytes */
	if (snprintf(ret_address, SERVER_ADDRESS_MAX, "ipc://%s/agent", directory) >= (int)strlen("ipc://") + 107)
		return error_set(e, -ENAMETOOLONG, "%s: this path is too long for a socket; set BOP_TMPDIR to a shorter one",
				 directory);
	server = calloc(1, sizeof(*server));
	if (!server)
		return error_set(e, -ENOMEM, "out of memory");
	zmq_msg_init(&server->identity);
	zmq_msg_init(&server->frame);
	if (getrandom(server->session, sizeof(server->session), 0) != sizeof(server->session)) {
		err = error_set(e, -EIO, "no random numbers: %s", strerror(errno));
		goto out;
	}
	server->context = zmq_ctx_new();
	server->socket = server->context ? zmq_socket(server->context, ZMQ_ROUTER) : NULL;
	if (!server->socket || option_set(server, ZMQ_LINGER, LINGER_MS) < 0 ||
	    option_set(server, ZMQ_RCVHWM, QUEUE) < 0 || option_set(server, ZMQ_ROUTER_MANDATORY, 1) < 0 ||
	    zmq_setsockopt(server->socket, ZMQ_MAXMSGSIZE, &frame_max, sizeof(frame_max)) < 0) {
		err = zmq_fail("making it", e);
		goto out;
	}
	mask = umask(0177); /* the socket is for its owner alone, whatever the directory says */
	if (zmq_bind(server->socket, ret_address) < 0)
		err = zmq_fail(ret_address, e);
	umask(mask);
	if (err < 0)
		goto out;
	*ret_server = server;
	server = NULL;
out:
	server_close(server);
	return err;
}

void server_close(struct server *server)
{
	if (!server)
		return;
	message_fini(&server->message);
	message_fini(&server->hello);
	courier_fini(&server->courier);
	zmq_msg_close(&server->identity);
	zmq_msg_close(&server->frame);
	if (server->socket)
		zmq_close(server->socket);
	if (server->context)
		zmq_ctx_term(server->context);
	free(server);
}

zmq_pollitem_t server_poll_item(const struct server *server)
{
	return (zmq_pollitem_t){ .socket = server->socket, .events = ZMQ_POLLIN };
}

const struct message_hello *server_agent(const struct server *server)
{
	return server->hello.kind == MESSAGE_HELLO ? &server->hello.hello : NULL;
}

static int bytes_send(struct server *server, zmq_msg_t *identity, const unsigned char *bytes, size_t size, struct error *e)
{
	zmq_msg_t to;
	int err = 0;

	zmq_msg_init(&to);
	if (zmq_msg_copy(&to, identity) < 0 || zmq_msg_send(&to, server->socket, ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0 ||
	    zmq_send(server->socket, bytes, size, ZMQ_DONTWAIT) < 0)
		err = zmq_fail("sending to the agent", e);
	zmq_msg_close(&to);
	return err;
}

/* What is not for our agent, or not to arrive for certain. */
static int send_to(struct server *server, zmq_msg_t *identity, const struct message *message, struct error *e)
{
	unsigned char *bytes = NULL;
	size_t size;
	int err;

	err = message_encode(message, &bytes, &size);
	if (err < 0)
		return error_set(e, err, "out of memory");
	err = bytes_send(server, identity, bytes, size, e);
	free(bytes);
	return err;
}

int server_send(struct server *server, const struct message *message, struct error *e)
{
	unsigned char *bytes = NULL;
	size_t size;
	int err;

	if (!server_agent(server))
		return error_set(e, -ENOTCONN, "there is no agent yet");
	err = courier_encode(&server->courier, message, &bytes, &size);
	if (err < 0)
		return error_set(e, err, "out of memory");
	err = bytes_send(server, &server->identity, bytes, size, e);
	free(bytes);
	return err;
}

static void send_again(const unsigned char *bytes, size_t size, void *arg)
{
	struct server *server = arg;

	bytes_send(server, &server->identity, bytes, size, NULL);
}

/* Receives one frame. 1: there are more of this message, 0: it was the last; -EAGAIN: nothing is there. */
static int frame_receive(struct server *server, zmq_msg_t *frame)
{
	zmq_msg_close(frame);
	zmq_msg_init(frame);
	if (zmq_msg_recv(frame, server->socket, ZMQ_DONTWAIT) < 0)
		return -zmq_errno();
	return zmq_msg_more(frame);
}

/* Receives identity and payload; what does not have exactly these two is dropped (0). */
static int pair_receive(struct server *server, zmq_msg_t *identity)
{
	zmq_msg_t rest;
	int more, parts = 1;

	more = frame_receive(server, identity);
	if (more <= 0)
		return more;
	more = frame_receive(server, &server->frame);
	zmq_msg_init(&rest);
	for (; more > 0; parts++)
		more = frame_receive(server, &rest);
	zmq_msg_close(&rest);
	return more < 0 ? more : parts == 1;
}

static void refuse(struct server *server, zmq_msg_t *identity, char *reason)
{
	send_to(server, identity, &(struct message){ .kind = MESSAGE_REFUSED, .text = reason }, NULL);
}

/* Takes server->message as the agent's hello. 0, or -EPROTO: not an agent for us. */
static int greet(struct server *server, zmq_msg_t *identity, struct error *e)
{
	struct message_hello *hello = &server->message.hello;
	struct message welcome = { .kind = MESSAGE_WELCOME };
	char reason[256];
	int err;

	if (server_agent(server) && memcmp(hello->session, server->hello.hello.session, sizeof(hello->session))) {
		refuse(server, identity, "another agent serves this collector already");
		return 0;
	}
	if (hello->protocol != WIRE_PROTOCOL || strcmp(hello->version, BOP_VERSION)) {
		snprintf(reason, sizeof(reason), "the agent tfj is version %.60s (protocol %u), bop is %s (protocol %u): "
			 "install both from one build", hello->version, hello->protocol, BOP_VERSION, WIRE_PROTOCOL);
		refuse(server, identity, reason);
		return error_set(e, -EPROTO, "%s", reason);
	}
	message_fini(&server->hello);
	server->hello = server->message;
	server->message = (struct message){ .kind = MESSAGE_NONE };
	zmq_msg_copy(&server->identity, identity); /* a new one after a reconnection */
	welcome.welcome.version = BOP_VERSION;
	memcpy(welcome.welcome.session, server->session, sizeof(server->session));
	err = send_to(server, identity, &welcome, e);
	if (!err)
		courier_again(&server->courier, send_again, server);
	return err;
}

static bool is_agent(const struct server *server, const zmq_msg_t *identity)
{
	size_t size = zmq_msg_size(identity);

	return server_agent(server) && size == zmq_msg_size(&server->identity) &&
	       !memcmp(zmq_msg_data((zmq_msg_t *)identity), zmq_msg_data((zmq_msg_t *)&server->identity), size);
}

int server_receive(struct server *server, const struct message **ret_message, struct error *e)
{
	zmq_msg_t identity;
	int err;

	zmq_msg_init(&identity);
	for (;;) {
		message_fini(&server->message);
		server->message = (struct message){ .kind = MESSAGE_NONE };
		err = pair_receive(server, &identity);
		if (err == -EAGAIN || err == -EINTR) {
			err = 0;
			break;
		}
		if (err < 0) {
			err = error_set(e, err, "the agent's socket: %s", zmq_strerror(-err));
			break;
		}
		if (!err)
			continue;
		err = message_decode(zmq_msg_data(&server->frame), zmq_msg_size(&server->frame), MESSAGE_TO_COLLECTOR,
				     &server->message, e);
		if (err < 0) {
			server->message = (struct message){ .kind = MESSAGE_NONE };
			if (!is_agent(server, &identity))
				continue;
			error_prefix(e, err, "the agent sent what cannot be understood");
			break;
		}
		if (server->message.kind == MESSAGE_HELLO) {
			err = greet(server, &identity, e);
			if (err < 0)
				break;
			continue;
		}
		if (!is_agent(server, &identity) || server->message.kind >= MESSAGE_WELCOME ||
		    !courier_take(&server->courier, &server->message))
			continue;
		if (server->message.number) /* it keeps it until then */
			server_send(server, &(struct message){ .kind = MESSAGE_ACK }, NULL);
		*ret_message = &server->message;
		err = 1;
		break;
	}
	zmq_msg_close(&identity);
	return err;
}
