/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * How long an agent waits for the acknowledgement of a batch: this program is the agent, over TCP with keys, in a run
 * that `bop run --server` asked for. Prints the median and the 99th percentile in microseconds.
 *
 *     ack URL SERVERKEY SECRETFILE BATCHES
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#include "lib/clock.h"
#include "lib/key.h"
#include "proto/wire.h"

enum { EVENTS = 64, DIALS = 60, DIAL_MS = 1000 };

struct agent {
	void *socket;
	uint64_t run, number, acknowledged;
	bool finished;
	uint64_t *times;
	size_t n;
};

static void give_up(const char *what)
{
	fprintf(stderr, "ack: %s\n", what);
	exit(1);
}

static void agent_send(struct agent *agent, const struct message *message)
{
	unsigned char *bytes;
	size_t size;

	if (message_encode(message, &bytes, &size) < 0 || zmq_send(agent->socket, bytes, size, 0) < 0)
		give_up("cannot send");
	free(bytes);
}

static void batch_send(struct agent *agent, bool last)
{
	struct wire_batch head = { .run = agent->run, .number = ++agent->number, .last = last };
	struct message message = { .kind = MESSAGE_BATCH };
	struct wire_rows rows = { 0 };
	unsigned char *bytes;
	struct trace part;
	size_t size;

	trace_init(&part);
	for (int i = 0; i < EVENTS; i++)
		trace_event_add(&part)->kind = EVENT_MARK;
	if (wire_batch_encode(&head, &part, &rows, &bytes, &size) < 0)
		give_up("no memory");
	message.batch.bytes = bytes;
	message.batch.size = size;
	agent_send(agent, &message);
	free(bytes);
	trace_fini(&part);
}

static void hear(struct agent *agent);

/* The workload: batches one after the other, each when the one before is acknowledged. */
static void work(struct agent *agent)
{
	for (size_t i = 0; i < agent->n; i++) {
		uint64_t began = clock_monotonic_ns();

		batch_send(agent, false);
		while (agent->acknowledged < agent->number)
			hear(agent);
		agent->times[i] = clock_monotonic_ns() - began;
	}
}

static void on_order(struct agent *agent, struct message_order *order)
{
	static struct trace_box box = { "bench", "10.0.0.1", "" };
	struct message reply = { .kind = MESSAGE_REPLY, .reply = { .id = order->id, .error = "" } };
	bool begins = order->kind == ORDER_BEGIN;

	if (begins) {
		agent->run = order->begin.run;
		reply.reply.boxes = &box;
		reply.reply.n_boxes = 1;
	}
	if (order->kind == ORDER_FINISH) {
		batch_send(agent, true);
		agent->finished = true;
	}
	agent_send(agent, &reply);
	if (order->kind != ORDER_START)
		return;
	work(agent);
	agent_send(agent, &(struct message){ .kind = MESSAGE_EXITED, .exited = { .name = "w" } });
}

static void hear(struct agent *agent)
{
	struct message message;
	zmq_msg_t frame;

	zmq_msg_init(&frame);
	if (zmq_msg_recv(&frame, agent->socket, 0) < 0 ||
	    message_decode(zmq_msg_data(&frame), zmq_msg_size(&frame), MESSAGE_TO_AGENT, &message, NULL) < 0)
		give_up("nothing that is understood comes from the server");
	if (message.kind == MESSAGE_REFUSED)
		give_up(message.text);
	if (message.kind == MESSAGE_ACK && message.ack.run == agent->run && message.ack.number > agent->acknowledged)
		agent->acknowledged = message.ack.number;
	if (message.kind == MESSAGE_ORDER)
		on_order(agent, &message.order);
	message_fini(&message);
	zmq_msg_close(&frame);
}

/* Says hello until it is answered: ZeroMQ does not come back to a server that did not know the key yet. */
static void greet(struct agent *agent, const char *url, const struct message *hello)
{
	zmq_pollitem_t item = { .socket = agent->socket, .events = ZMQ_POLLIN };

	for (int i = 0; i < DIALS; i++) {
		agent_send(agent, hello);
		if (zmq_poll(&item, 1, DIAL_MS) > 0)
			return;
		if (zmq_disconnect(agent->socket, url) < 0 || zmq_connect(agent->socket, url) < 0)
			give_up("cannot connect");
	}
	give_up("the server does not let this agent in");
}

static int by_size(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
	struct trace_box box = { "bench", "10.0.0.1", "" };
	struct message hello = { .kind = MESSAGE_HELLO };
	char secret[KEY_SIZE], public[KEY_SIZE];
	const int patience_ms = 60000;
	struct agent agent = { 0 };
	struct error e;

	if (argc != 5)
		give_up("usage: ack URL SERVERKEY SECRETFILE BATCHES");
	if (key_read_secret(argv[3], secret, public, &e) < 0)
		give_up(e.text);
	agent.n = strtoul(argv[4], NULL, 10);
	agent.times = calloc(agent.n + 1, sizeof(*agent.times));
	agent.socket = zmq_socket(zmq_ctx_new(), ZMQ_DEALER);
	if (!agent.n || !agent.times || zmq_setsockopt(agent.socket, ZMQ_CURVE_SERVERKEY, argv[2], KEY_SIZE) < 0 ||
	    zmq_setsockopt(agent.socket, ZMQ_CURVE_PUBLICKEY, public, KEY_SIZE) < 0 ||
	    zmq_setsockopt(agent.socket, ZMQ_CURVE_SECRETKEY, secret, KEY_SIZE) < 0 ||
	    zmq_setsockopt(agent.socket, ZMQ_RCVTIMEO, &patience_ms, sizeof(patience_ms)) < 0 ||
	    zmq_connect(agent.socket, argv[1]) < 0)
		give_up("cannot connect");
	hello.hello = (struct message_hello){ .protocol = WIRE_PROTOCOL, .version = BOP_VERSION, .host = "bench", .boot_id = "b",
					      .kernel = "k", .backend = "none", .boxes = &box, .n_boxes = 1 };
	greet(&agent, argv[1], &hello);
	while (!agent.finished || agent.acknowledged < agent.number)
		hear(&agent);
	qsort(agent.times, agent.n, sizeof(*agent.times), by_size);
	printf("ack_p50_us %.1f\nack_p99_us %.1f\n", (double)agent.times[agent.n / 2] / 1000,
	       (double)agent.times[agent.n * 99 / 100] / 1000);
	return 0;
}
