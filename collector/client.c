/* SPDX-License-Identifier: GPL-3.0-or-later */
/* See client.h. */
#include "collector/client.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "collector/serve.h"

struct client {
	void *context, *socket, *monitor;
	char url[SERVE_API_URL_MAX];
	bool gone;
};

static int url_set(struct client *client, const char *url, struct error *e)
{
	char directory[PATH_MAX];
	int err = 0;

	if (*url && strncmp(url, "ipc://", 6))
		return error_set(e, -EINVAL, "'%s' is no address of a server; it looks like ipc:///run/bop/api", url);
	if (!*url)
		err = serve_directory(directory, e);
	if (!err)
		snprintf(client->url, sizeof(client->url), *url ? "%s" : "ipc://%s/api", *url ? url : directory);
	return err;
}

/* ZeroMQ would try for ever: is anybody there? */
static int somebody_there(const char *url, struct error *e)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd, err = 0;

	if (strlen(url + 6) >= sizeof(address.sun_path))
		return error_set(e, -ENAMETOOLONG, "%s: this path is too long for a socket", url + 6);
	strcpy(address.sun_path, url + 6);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		err = errno == ENOENT || errno == ECONNREFUSED ?
			      error_set(e, -ECONNREFUSED, "no server runs at %s (start one with `bop serve`)", url) :
			      error_set(e, -errno, "the server at %s: %s", url, strerror(errno));
	if (fd >= 0)
		close(fd);
	return err;
}

int client_open(const char *url, struct client **ret_client, struct error *e)
{
	struct client *client = calloc(1, sizeof(*client));
	int64_t frame_max = API_MAX_ANSWER;
	const int none = 0;
	int err;

	if (!client)
		return error_set(e, -ENOMEM, "out of memory");
	err = url_set(client, url, e);
	if (!err)
		err = somebody_there(client->url, e);
	if (err)
		goto out;
	client->context = zmq_ctx_new();
	client->socket = client->context ? zmq_socket(client->context, ZMQ_DEALER) : NULL;
	client->monitor = client->socket ? zmq_socket(client->context, ZMQ_PAIR) : NULL;
	if (!client->monitor || zmq_setsockopt(client->socket, ZMQ_LINGER, &none, sizeof(none)) < 0 ||
	    zmq_setsockopt(client->socket, ZMQ_MAXMSGSIZE, &frame_max, sizeof(frame_max)) < 0 ||
	    zmq_socket_monitor(client->socket, "inproc://client", ZMQ_EVENT_DISCONNECTED) < 0 ||
	    zmq_connect(client->monitor, "inproc://client") < 0 || zmq_connect(client->socket, client->url) < 0)
		err = error_set(e, -zmq_errno(), "the server at %s: %s", client->url, zmq_strerror(zmq_errno()));
out:
	if (err)
		client_close(client);
	else
		*ret_client = client;
	return err;
}

void client_close(struct client *client)
{
	const int none = 0;

	if (!client)
		return;
	if (client->monitor) {
		zmq_socket_monitor(client->socket, NULL, 0);
		zmq_setsockopt(client->monitor, ZMQ_LINGER, &none, sizeof(none));
		zmq_close(client->monitor);
	}
	if (client->socket)
		zmq_close(client->socket);
	if (client->context)
		zmq_ctx_term(client->context);
	free(client);
}

void client_items(const struct client *client, zmq_pollitem_t items[CLIENT_ITEMS])
{
	items[0] = (zmq_pollitem_t){ .socket = client->socket, .events = ZMQ_POLLIN };
	items[1] = (zmq_pollitem_t){ .socket = client->monitor, .events = ZMQ_POLLIN };
}

int client_send(struct client *client, const struct api_request *request, struct error *e)
{
	unsigned char *bytes = NULL;
	size_t size;
	int err = api_request_encode(request, &bytes, &size);

	if (err < 0)
		return error_set(e, err, "out of memory");
	if (zmq_send(client->socket, bytes, size, 0) < 0)
		err = error_set(e, -zmq_errno(), "the server at %s: %s", client->url, zmq_strerror(zmq_errno()));
	free(bytes);
	return err;
}

int client_receive(struct client *client, struct api_answer *ret_answer, struct error *e)
{
	unsigned char event[6];
	zmq_msg_t frame;
	int err = 0;

	/* what came before the end is read first */
	while (zmq_recv(client->monitor, event, sizeof(event), ZMQ_DONTWAIT) == sizeof(event)) {
		zmq_recv(client->monitor, NULL, 0, 0); /* the address */
		client->gone = true;
	}
	zmq_msg_init(&frame);
	if (zmq_msg_recv(&frame, client->socket, ZMQ_DONTWAIT) >= 0) {
		err = api_answer_decode(zmq_msg_data(&frame), zmq_msg_size(&frame), ret_answer, e);
		err = err < 0 ? err : 1;
	} else if (client->gone) {
		err = error_set(e, -EPIPE, "the server at %s is gone", client->url);
	}
	zmq_msg_close(&frame);
	return err;
}

int client_errno(enum api_error kind)
{
	switch (kind) {
	case API_FAILED:
		return -EIO;
	case API_VERSION_DIFFERS:
		return -EPROTO;
	case API_MALFORMED:
		return -EBADMSG;
	case API_INVALID:
		return -EINVAL;
	case API_NOT_FOUND:
		return -ENOENT;
	case API_BUSY:
		return -EBUSY;
	case API_INCOMPLETE:
		return -ENODATA;
	}
	return -EIO;
}

int client_ask(struct client *client, const struct api_request *request, struct api_answer *ret_answer, struct error *e)
{
	zmq_pollitem_t items[CLIENT_ITEMS];
	int err = client_send(client, request, e);

	while (!err) {
		client_items(client, items);
		zmq_poll(items, CLIENT_ITEMS, -1);
		err = client_receive(client, ret_answer, e);
		if (err > 0 && (ret_answer->id != request->id || ret_answer->kind == API_PROGRESS)) {
			api_answer_fini(ret_answer);
			err = 0;
		}
	}
	if (err < 0)
		return err;
	if (ret_answer->kind != API_ERROR)
		return 0;
	err = error_set(e, client_errno(ret_answer->error.kind), "%s", ret_answer->error.text);
	api_answer_fini(ret_answer);
	return err;
}
