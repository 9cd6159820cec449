/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A test that plays the collector of one agent on a ROUTER socket. Every wait is for a message or an end; the time limit
 * is Check's. Included by one Check program each; the agent's programs are the test itself, with arguments.
 */
#ifndef TESTS_KERNEL_COLLECTOR_H
#define TESTS_KERNEL_COLLECTOR_H

#include "tests/kernel/inbox.h"

#include <sys/prctl.h>
#include <zmq.h>

#include "proto/courier.h"
#include "proto/wire.h"

#define RUN 42

struct collector {
	void *context, *socket;
	char url[128];
	unsigned char identity[64];
	size_t identity_size;
	pid_t agent;
	uint64_t last_id;
	bool acknowledge;
	struct courier courier;
	unsigned char session[16]; /* which collector process this is */
	unsigned char peer[16];	   /* which agent process it talks to */
	struct trace trace;
	struct wire_batch head; /* of the last batch */
	uint64_t batches, hellos;
	char *said[64]; /* names of READY and EXITED notices that nobody asked for yet: "ready s1", "exited s1 0" */
	size_t n_said;
	char output[OUTPUT_QUIET + 1]; /* of the last EXITED */
	char warning[512];	       /* the last one */
};

static struct collector bop;
static char self[PATH_MAX], tfj[PATH_MAX + 16];

static unused_ok void socket_open(void)
{
	const int linger = 0;

	bop.socket = zmq_socket(bop.context, ZMQ_ROUTER);
	zmq_setsockopt(bop.socket, ZMQ_LINGER, &linger, sizeof(linger));
	ck_assert_int_eq(zmq_bind(bop.socket, bop.url), 0);
}

static unused_ok bool send_bytes(const unsigned char *bytes, size_t size, void *arg)
{
	ck_assert_int_ge(zmq_send(bop.socket, bop.identity, bop.identity_size, ZMQ_SNDMORE), 0);
	ck_assert_int_ge(zmq_send(bop.socket, bytes, size, 0), 0);
	return true;
}

static unused_ok void send_message(struct message *message)
{
	unsigned char *bytes;
	size_t size;

	ck_assert_int_eq(courier_encode(&bop.courier, message, &bytes, &size), 0);
	send_bytes(bytes, size, NULL);
	free(bytes);
}

static unused_ok void welcome(void)
{
	struct message message = { .kind = MESSAGE_WELCOME, .welcome = { .version = BOP_VERSION } };

	memcpy(message.welcome.session, bop.session, sizeof(bop.session));
	send_message(&message);
	courier_again(&bop.courier, 0, send_bytes, NULL);
}

static unused_ok void acknowledge(uint64_t number)
{
	struct message ack = { .kind = MESSAGE_ACK };

	ack.ack.run = RUN;
	ack.ack.number = number;
	send_message(&ack);
}

static unused_ok void take_batch(const struct message *message)
{
	struct error e = { "" };
	struct wire_batch head;

	ck_assert_int_eq(wire_batch_peek(message->batch.bytes, message->batch.size, &head, &e), 0);
	ck_assert_uint_eq(head.run, RUN);
	if (head.number <= bop.batches) /* once more */
		return;
	ck_assert_uint_eq(head.number, bop.batches + 1);
	ck_assert(!bop.head.last);
	ck_assert_msg(wire_batch_decode(message->batch.bytes, message->batch.size, &bop.head, &bop.trace, &e) == 0, "%s",
		      e.text);
	bop.batches = head.number;
	if (bop.acknowledge)
		acknowledge(bop.batches);
}

static unused_ok void say(char *text)
{
	ck_assert_ptr_nonnull(text);
	ck_assert_uint_lt(bop.n_said, 64);
	bop.said[bop.n_said++] = text;
}

/* Receives one message and deals with all but replies. True: it is a reply, the caller's to free. */
static unused_ok bool receive(struct message *message)
{
	struct error e = { "" };
	zmq_msg_t frame;
	bool reply = false;
	char *text;
	int n;

	n = zmq_recv(bop.socket, bop.identity, sizeof(bop.identity), 0);
	ck_assert_int_gt(n, 0);
	bop.identity_size = n;
	zmq_msg_init(&frame);
	ck_assert_int_ge(zmq_msg_recv(&frame, bop.socket, 0), 0);
	ck_assert_msg(message_decode(zmq_msg_data(&frame), zmq_msg_size(&frame), MESSAGE_TO_COLLECTOR, message, &e) == 0,
		      "%s", e.text);
	if (message->kind == MESSAGE_HELLO) {
		ck_assert_uint_eq(message->hello.protocol, WIRE_PROTOCOL);
		bop.hellos++;
		if (memcmp(bop.peer, message->hello.session, sizeof(bop.peer)) != 0) /* another agent process */
			courier_fini(&bop.courier);
		memcpy(bop.peer, message->hello.session, sizeof(bop.peer));
		welcome();
	} else if (!courier_take(&bop.courier, message)) {
		message_fini(message); /* once more */
	} else if (message->kind == MESSAGE_BATCH) {
		take_batch(message);
	} else if (message->kind == MESSAGE_READY) {
		ck_assert_int_gt(asprintf(&text, "ready %s", message->ready.name), 0);
		say(text);
	} else if (message->kind == MESSAGE_EXITED) {
		n = message->exited.fault ? asprintf(&text, "exited %s %#x by %u%s", message->exited.name, message->exited.status,
						     message->exited.fault, message->exited.restarts ? " restarts" : "") :
					    asprintf(&text, "exited %s %#x", message->exited.name, message->exited.status);
		ck_assert_int_gt(n, 0);
		ck_assert_uint_le(message->exited.size, OUTPUT_QUIET);
		if (message->exited.size)
			memcpy(bop.output, message->exited.output, message->exited.size);
		bop.output[message->exited.size] = '\0';
		say(text);
	} else if (message->kind == MESSAGE_RECEIPTS) {
		for (size_t i = 0; i < message->receipts.n; i++) {
			const struct fault_receipt *row = &message->receipts.rows[i];

			if (row->state == FAULT_STATE_ARMED || bop.n_said >= 64)
				continue;
			ck_assert_int_gt(asprintf(&text, "receipt %u %s", row->id, fault_state_name(row->state)), 0);
			say(text);
		}
	} else if (message->kind == MESSAGE_WARNING) {
		snprintf(bop.warning, sizeof(bop.warning), "%s", message->text);
	}
	reply = message->kind == MESSAGE_REPLY;
	zmq_msg_close(&frame);
	if (!reply)
		message_fini(message);
	return reply;
}

static unused_ok void wait_said(const char *text)
{
	struct message message;

	for (;;) {
		for (size_t i = 0; i < bop.n_said; i++)
			if (!strcmp(bop.said[i], text)) {
				free(bop.said[i]);
				bop.said[i] = bop.said[--bop.n_said];
				return;
			}
		ck_assert_msg(!receive(&message), "a reply instead of '%s'", text);
	}
}

static unused_ok void hear_hello(uint64_t n)
{
	struct message message;

	while (bop.hellos < n)
		ck_assert(!receive(&message));
}

static unused_ok uint64_t order_send(struct message_order order)
{
	struct message message = { .kind = MESSAGE_ORDER, .order = order };

	message.order.id = ++bop.last_id;
	send_message(&message);
	return bop.last_id;
}

static unused_ok int wait_reply(uint64_t id, char *text, size_t size, int32_t *ret_pid)
{
	struct message message;
	int code;

	while (!receive(&message))
		;
	ck_assert_uint_eq(message.reply.id, id);
	if (text)
		snprintf(text, size, "%s", message.reply.error);
	if (ret_pid)
		*ret_pid = message.reply.pid;
	code = message.reply.code;
	message_fini(&message);
	return code;
}

/* It is done without an error. Returns the pid that the reply holds. */
static unused_ok pid_t order(struct message_order order)
{
	char text[512];
	int32_t pid;
	int code = wait_reply(order_send(order), text, sizeof(text), &pid);

	ck_assert_msg(code == 0 && !*text, "%d: %s", code, text);
	return pid;
}

static unused_ok void refused(struct message_order order, int code, const char *word)
{
	char text[512];
	int got = wait_reply(order_send(order), text, sizeof(text), NULL);

	ck_assert_msg(got == code && strstr(text, word) && !strchr(text, '\n'), "got %d '%s', not %d '%s'", got, text, code,
		      word);
}

static unused_ok struct message_order begin_order(char **boxes)
{
	struct message_order order = { .kind = ORDER_BEGIN };

	order.begin.run = RUN;
	order.begin.experiment = "test";
	order.begin.directory = inbox_base;
	order.begin.boxes = boxes;
	return order;
}

static unused_ok struct message_order start_order(const char *name, const char *box, char **argv)
{
	struct message_order order = { .kind = ORDER_START };

	order.start.name = (char *)name;
	order.start.box = (char *)box;
	order.start.argv = argv;
	order.start.environment = (char **)plain_environment;
	order.start.user = "";
	order.start.directory = inbox_base;
	return order;
}

static unused_ok pid_t start(const char *name, const char *box, char **argv)
{
	return order(start_order(name, box, argv));
}

static unused_ok pid_t start_shell(const char *name, const char *script)
{
	return start(name, "s1", (char *[]){ "sh", "-c", (char *)script, NULL });
}

static unused_ok struct message_order plain_order(enum order_kind kind)
{
	return (struct message_order){ .kind = kind };
}

static unused_ok struct message_order mark_order(char *text)
{
	struct message_order order = { .kind = ORDER_MARK };

	order.mark = text;
	return order;
}

static unused_ok struct message_order signal_order(char *name, int number)
{
	struct message_order order = { .kind = ORDER_SIGNAL };

	order.signal.name = name;
	order.signal.signal = number;
	return order;
}

static unused_ok void begin(void)
{
	order(begin_order((char *[]){ "s1", "s2", NULL }));
}

/* Agents start twice as fast without; a test of faults says NULL. */
#ifndef AGENT_FAULTS
#define AGENT_FAULTS "--no-faults", NULL
#endif

static unused_ok pid_t agent_start(const char *memory, const char *spool)
{
	pid_t pid = fork();

	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGTERM); /* a test that fails leaves no agent */
		execl(tfj, "tfj", "--collector", bop.url, "--memory", memory, "--spool", spool, AGENT_FAULTS);
		_exit(126);
	}
	ck_assert_int_gt(pid, 0);
	return pid;
}

static unused_ok void agent_wait(int expect)
{
	int status;

	ck_assert_int_eq(waitpid(bop.agent, &status, 0), bop.agent);
	ck_assert_msg(status == expect, "the agent ended with %#x", status);
	bop.agent = 0;
}

static unused_ok void setup(void)
{
	inbox_setup();
	bop.context = zmq_ctx_new();
	snprintf(bop.url, sizeof(bop.url), "ipc://%s/socket", inbox_base);
	bop.acknowledge = true;
	trace_init(&bop.trace);
	socket_open();
	memset(bop.session, 1, sizeof(bop.session));
	bop.agent = agent_start("64M", "512M");
	hear_hello(1);
}

/* Another agent, with other bounds. */
static unused_ok void agent_replace(const char *memory, const char *spool)
{
	order(plain_order(ORDER_QUIT));
	agent_wait(0);
	bop.agent = agent_start(memory, spool);
	hear_hello(bop.hellos + 1);
}

static unused_ok void teardown(void)
{
	if (bop.agent) {
		order_send(plain_order(ORDER_QUIT));
		agent_wait(0);
	}
	while (bop.n_said)
		free(bop.said[--bop.n_said]);
	trace_fini(&bop.trace);
	courier_fini(&bop.courier);
	zmq_close(bop.socket);
	zmq_ctx_term(bop.context);
	unlink(bop.url + 6);
	ck_assert_msg(rmdir(inbox_base) == 0, "the agent left something in %s", inbox_base);
	mkdir(inbox_base, 0755);
	inbox_teardown();
}

/* ---- what the trace holds ---- */

static unused_ok const struct event *find(enum event_kind kind, const char *process, size_t skip)
{
	for (size_t i = 0; i < bop.trace.n_events; i++) {
		const struct event *event = &bop.trace.events[i];
		const char *name = event->process ? bop.trace.processes[event->process].name : "";

		if (event->kind == kind && !strcmp(name, process) && !skip--)
			return event;
	}
	return NULL;
}

static unused_ok size_t count(enum event_kind kind, const char *process)
{
	size_t n = 0;

	while (find(kind, process, n))
		n++;
	return n;
}

static unused_ok uint64_t output_size(const char *process, uint8_t stream, uint64_t *ret_end)
{
	uint64_t size = 0;

	*ret_end = 0;
	for (size_t i = 0; i < bop.trace.n_outputs; i++) {
		const struct trace_output *output = &bop.trace.outputs[i];

		if (output->stream != stream || strcmp(bop.trace.processes[output->process].name, process) != 0)
			continue;
		size += output->size;
		if (output->offset + output->size > *ret_end)
			*ret_end = output->offset + output->size;
	}
	return size;
}

/* What a program of this test is called with, and the agent beside it. */
static unused_ok void find_programs(void)
{
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	self[n > 0 ? n : 0] = '\0';
	snprintf(tfj, sizeof(tfj), "%s", self);
	for (int i = 0; i < 3 && strrchr(tfj, '/'); i++) /* BUILD/tests/kernel/test_agent */
		*strrchr(tfj, '/') = '\0';
	strcat(tfj, "/tfj");
}

#endif
