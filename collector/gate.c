/* SPDX-License-Identifier: GPL-3.0-or-later */
/* See gate.h. A request that is not understood is refused: the peer does not get in. */
#include "collector/gate.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { REQUESTS_TURN = 256, PARTS = 7, PART_MAX = 256, KEY_BYTES = 32 };

/* Frames of a request, as the RFC numbers them. */
enum { ZAP_VERSION, ZAP_REQUEST_ID, ZAP_DOMAIN, ZAP_ADDRESS, ZAP_IDENTITY, ZAP_MECHANISM, ZAP_KEY };

struct part {
	size_t size;
	char bytes[PART_MAX + 1];
};

struct gate {
	void *socket;
	struct allowed *allowed;
	struct refusals *refusals;
	char refused[KEY_SIZE + PART_MAX + 16];
	bool told;
};

int gate_open(void *context, struct allowed *allowed, struct refusals *refusals, struct gate **ret_gate,
	      struct error *e)
{
	struct gate *gate = calloc(1, sizeof(*gate));
	const int none = 0;

	if (!gate)
		return error_set(e, -ENOMEM, "out of memory");
	gate->allowed = allowed;
	gate->refusals = refusals;
	gate->told = true;
	gate->socket = zmq_socket(context, ZMQ_REP);
	if (!gate->socket || zmq_setsockopt(gate->socket, ZMQ_LINGER, &none, sizeof(none)) < 0 ||
	    zmq_bind(gate->socket, "inproc://zeromq.zap.01") < 0) {
		error_set(e, -zmq_errno(), "making the gate for keys: %s", zmq_strerror(zmq_errno()));
		gate_close(gate);
		return -EIO;
	}
	*ret_gate = gate;
	return 0;
}

void gate_close(struct gate *gate)
{
	if (!gate)
		return;
	if (gate->socket)
		zmq_close(gate->socket);
	free(gate);
}

zmq_pollitem_t gate_item(const struct gate *gate)
{
	return (zmq_pollitem_t){ .socket = gate->socket, .events = ZMQ_POLLIN };
}

/* Returns how many parts there were, -EAGAIN for none. Those beyond PARTS are dropped. */
static int request_receive(struct gate *gate, struct part parts[PARTS])
{
	int more = 1, n = 0, size;
	struct part spare, *part;

	for (; more; n++) {
		part = n < PARTS ? &parts[n] : &spare;
		size = zmq_recv(gate->socket, part->bytes, PART_MAX, n ? 0 : ZMQ_DONTWAIT);
		if (size < 0)
			return -EAGAIN;
		part->size = size <= PART_MAX ? (size_t)size : 0; /* too long to be anything */
		part->bytes[part->size] = '\0';
		zmq_getsockopt(gate->socket, ZMQ_RCVMORE, &more, &(size_t){ sizeof(more) });
	}
	return n;
}

/* Who has shown this key; NULL: a stranger. */
static const struct allowed_agent *visitor(struct gate *gate, int n, const struct part parts[PARTS])
{
	const struct allowed_agent *agent;
	char key[KEY_SIZE];

	if (n != PARTS || strcmp(parts[ZAP_VERSION].bytes, "1.0") || strcmp(parts[ZAP_MECHANISM].bytes, "CURVE") ||
	    parts[ZAP_KEY].size != KEY_BYTES)
		return NULL;
	zmq_z85_encode(key, (const uint8_t *)parts[ZAP_KEY].bytes, KEY_BYTES);
	agent = allowed_by_key(gate->allowed, key);
	if (!agent) {
		snprintf(gate->refused, sizeof(gate->refused), "'%s' from %s", key, parts[ZAP_ADDRESS].bytes);
		gate->told = false;
	}
	return agent;
}

static void answer(struct gate *gate, const struct part *id, const struct allowed_agent *agent)
{
	const char *status = agent ? "200" : "400", *text = agent ? "OK" : "this key is not on the list";
	const char *user = agent ? agent->key : "";

	zmq_send(gate->socket, "1.0", 3, ZMQ_SNDMORE);
	zmq_send(gate->socket, id->bytes, id->size, ZMQ_SNDMORE);
	zmq_send(gate->socket, status, 3, ZMQ_SNDMORE);
	zmq_send(gate->socket, text, strlen(text), ZMQ_SNDMORE);
	zmq_send(gate->socket, user, strlen(user), ZMQ_SNDMORE);
	zmq_send(gate->socket, "", 0, 0);
}

void gate_work(struct gate *gate)
{
	const struct allowed_agent *agent;
	struct part parts[PARTS];
	int n;

	for (int i = 0; i < REQUESTS_TURN; i++) {
		memset(parts, 0, sizeof(parts));
		n = request_receive(gate, parts);
		if (n < 0)
			return;
		agent = visitor(gate, n, parts);
		if (!agent)
			gate->refusals->n[REFUSAL_UNKNOWN_KEY]++;
		answer(gate, &parts[ZAP_REQUEST_ID], agent);
	}
}

const char *gate_refused(struct gate *gate)
{
	if (gate->told)
		return NULL;
	gate->told = true;
	return gate->refused;
}
