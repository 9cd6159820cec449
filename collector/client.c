/* SPDX-License-Identifier: GPL-3.0-or-later */
/* See client.h. */
#include "collector/client.h"

#include <errno.h>
#include <stdlib.h>

#include "libbop/bop.h"

_Static_assert(BOP_API_VERSION == API_VERSION, "the library and this program speak the same version");

struct client {
	struct bop *bop;
};

static int fail(const struct bop_error *why, struct error *e)
{
	return error_set(e, why->code, "%s", why->text);
}

int client_open(const char *url, struct client **ret_client, struct error *e)
{
	struct client *client = calloc(1, sizeof(*client));
	struct bop_error why;
	int err;

	if (!client)
		return error_set(e, -ENOMEM, "out of memory");
	err = bop_open(*url ? url : NULL, NULL, &client->bop, &why);
	if (err) {
		free(client);
		return fail(&why, e);
	}
	*ret_client = client;
	return 0;
}

void client_close(struct client *client)
{
	if (!client)
		return;
	bop_close(client->bop);
	free(client);
}

void client_items(const struct client *client, zmq_pollitem_t items[CLIENT_ITEMS])
{
	items[0] = (zmq_pollitem_t){ .fd = bop_fd(client->bop), .events = ZMQ_POLLIN };
}

int client_send(struct client *client, const struct api_request *request, struct error *e)
{
	unsigned char *bytes = NULL;
	struct bop_error why;
	size_t size;
	int err = api_request_encode(request, &bytes, &size);

	if (err < 0)
		return error_set(e, err, "out of memory");
	err = bop_send_bytes(client->bop, bytes, size, &why);
	free(bytes);
	return err ? fail(&why, e) : 0;
}

int client_receive(struct client *client, struct api_answer *ret_answer, struct error *e)
{
	struct bop_error why;
	void *bytes = NULL;
	size_t size;
	int err = bop_receive_bytes(client->bop, &bytes, &size, &why);

	if (err <= 0)
		return err ? fail(&why, e) : 0;
	err = api_answer_decode(bytes, size, ret_answer, e);
	free(bytes);
	return err < 0 ? err : 1;
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

bool client_ended(const struct api_answer *answer)
{
	return !answer->id && answer->kind == API_ERROR;
}

int client_ask(struct client *client, const struct api_request *request, struct api_answer *ret_answer, struct error *e)
{
	zmq_pollitem_t items[CLIENT_ITEMS];
	int err = client_send(client, request, e);

	while (!err) {
		client_items(client, items);
		zmq_poll(items, CLIENT_ITEMS, -1);
		err = client_receive(client, ret_answer, e);
		if (err > 0 && ((ret_answer->id != request->id && !client_ended(ret_answer)) || ret_answer->kind == API_PROGRESS)) {
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
