/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Bytes to control messages. Pure. Whatever is not exactly one known message with sane fields gives -EBADMSG; strings
 * from a peer are copied, never trusted to be short by those who use them. What an agent says of itself is made printable.
 */
#include "proto/wire.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proto/control.pb-c.h"
#include "proto/text.h"
#include "proto/wire_receipt.h"

#define MAX_STRINGS 4096u /* arguments, environment, boxes of one order */
#define MAX_ERRNO 4095 /* the kernel's largest */

static void strings_free(char **strings)
{
	for (size_t i = 0; strings && strings[i]; i++)
		free(strings[i]);
	free(strings);
}

static int strings_copy(char ***ret_strings, char **from, size_t n)
{
	char **copy;

	if (n > MAX_STRINGS)
		return -EBADMSG;
	copy = calloc(n + 1, sizeof(*copy));
	if (!copy)
		return -ENOMEM;
	*ret_strings = copy;
	for (size_t i = 0; i < n; i++) {
		copy[i] = strdup(from[i]);
		if (!copy[i])
			return -ENOMEM;
	}
	return 0;
}

static int boxes_copy(struct trace_box **ret_boxes, size_t *ret_n, Bop__Wire__Box **from, size_t n)
{
	struct trace_box *boxes;

	if (n > MAX_STRINGS)
		return -EBADMSG;
	*ret_boxes = boxes = calloc(n + 1, sizeof(*boxes));
	if (!boxes)
		return -ENOMEM;
	*ret_n = n;
	for (size_t i = 0; i < n; i++)
		if (shown_copy(&boxes[i].name, from[i]->name) || shown_copy(&boxes[i].address, from[i]->address) ||
		    shown_copy(&boxes[i].address6, from[i]->address6))
			return -ENOMEM;
	return 0;
}

static void boxes_free(struct trace_box *boxes, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free(boxes[i].name);
		free(boxes[i].address);
		free(boxes[i].address6);
	}
	free(boxes);
}

static int unable_copy(const Bop__Wire__Hello *from, struct message_hello *hello)
{
	if (from->n_unable > FAULT_KIND_COUNT)
		return -EBADMSG;
	hello->unable = calloc(from->n_unable + 1, sizeof(*hello->unable));
	if (!hello->unable)
		return -ENOMEM;
	for (; hello->n_unable < from->n_unable; hello->n_unable++) {
		struct message_unable *to = &hello->unable[hello->n_unable];

		if (shown_copy(&to->kind, from->unable[hello->n_unable]->kind) < 0)
			return -ENOMEM;
		if (shown_copy(&to->why, from->unable[hello->n_unable]->why) < 0) {
			free(to->kind);
			return -ENOMEM;
		}
	}
	return 0;
}

static int decode_hello(const Bop__Wire__Hello *from, struct message_hello *hello)
{
	int err;

	if (from->session.len != sizeof(hello->session))
		return -EBADMSG;
	memcpy(hello->session, from->session.data, sizeof(hello->session));
	hello->protocol = from->protocol;
	hello->monotonic_ns = from->monotonic_ns;
	hello->realtime_ns = from->realtime_ns;
	if (shown_copy(&hello->version, from->version) || shown_copy(&hello->host, from->host) ||
	    shown_copy(&hello->boot_id, from->boot_id) || shown_copy(&hello->kernel, from->kernel))
		return -ENOMEM;
	err = boxes_copy(&hello->boxes, &hello->n_boxes, from->boxes, from->n_boxes);
	if (!err)
		err = unable_copy(from, hello);
	return err ? err : shown_copy(&hello->backend, from->backend);
}

static int decode_reply(const Bop__Wire__Reply *from, struct message_reply *reply)
{
	int err;

	reply->id = from->id;
	reply->code = from->code > 0 || from->code < -MAX_ERRNO ? -EIO : from->code; /* it is negated, and shown */
	reply->pid = from->pid;
	err = boxes_copy(&reply->boxes, &reply->n_boxes, from->boxes, from->n_boxes);
	if (err)
		return err;
	return shown_copy(&reply->error, from->error);
}

static int decode_exited(const Bop__Wire__Exited *from, struct message *message)
{
	message->exited.status = from->status;
	message->exited.fault = from->fault;
	message->exited.restarts = from->restarts;
	message->exited.output = malloc(from->output.len + 1);
	if (!message->exited.output)
		return -ENOMEM;
	if (from->output.len)
		memcpy(message->exited.output, from->output.data, from->output.len);
	message->exited.output[from->output.len] = '\0';
	message->exited.size = from->output.len;
	return text_copy(&message->exited.name, from->name);
}

static int decode_receipts(const Bop__Wire__Receipts *from, struct message *message)
{
	int err = 0;

	if (from->n_rows > FAULT_PLAN_MAX)
		return -EBADMSG;
	message->receipts.rows = calloc(from->n_rows + 1, sizeof(*message->receipts.rows));
	if (!message->receipts.rows)
		return -ENOMEM;
	while (message->receipts.n < from->n_rows && !err) {
		size_t i = message->receipts.n++;

		err = wire_receipt_take(&message->receipts.rows[i], from->rows[i]);
	}
	return err;
}

static int decode_from_agent(const Bop__Wire__FromAgent *from, struct message *message)
{
	message->number = from->number;
	message->heard = from->heard;
	switch (from->what_case) {
	case BOP__WIRE__FROM_AGENT__WHAT_HELLO:
		message->kind = MESSAGE_HELLO;
		return decode_hello(from->hello, &message->hello);
	case BOP__WIRE__FROM_AGENT__WHAT_REPLY:
		message->kind = MESSAGE_REPLY;
		return decode_reply(from->reply, &message->reply);
	case BOP__WIRE__FROM_AGENT__WHAT_READY:
		message->kind = MESSAGE_READY;
		return text_copy(&message->ready.name, from->ready->name);
	case BOP__WIRE__FROM_AGENT__WHAT_EXITED:
		message->kind = MESSAGE_EXITED;
		return decode_exited(from->exited, message);
	case BOP__WIRE__FROM_AGENT__WHAT_WARNING:
		message->kind = MESSAGE_WARNING;
		return text_copy(&message->text, from->warning->text);
	case BOP__WIRE__FROM_AGENT__WHAT_PROGRESS:
		message->kind = MESSAGE_PROGRESS;
		message->progress = from->progress;
		return 0;
	case BOP__WIRE__FROM_AGENT__WHAT_RECEIPTS:
		message->kind = MESSAGE_RECEIPTS;
		return decode_receipts(from->receipts, message);
	default: /* BATCH never comes here, see batch_inside; the rest is unknown */
		return -EBADMSG;
	}
}

static int decode_start(const Bop__Wire__Start *from, struct message_start *start)
{
	int err;

	start->untraced = from->untraced;
	start->quiet = from->quiet;
	start->ready_port = from->ready_port;
	if (from->ready_port > UINT16_MAX)
		return -EBADMSG;
	if (text_copy(&start->name, from->name) || text_copy(&start->box, from->box) ||
	    text_copy(&start->user, from->user) || text_copy(&start->directory, from->directory))
		return -ENOMEM;
	err = strings_copy(&start->argv, from->argv, from->n_argv);
	return err ? err : strings_copy(&start->environment, from->environment, from->n_environment);
}

static int decode_begin(const Bop__Wire__Begin *from, struct message_order *order)
{
	char **names = order->begin.boxes = calloc(from->n_boxes + 1, sizeof(*names));
	int err;

	order->begin.run = from->run;
	if (!names)
		return -ENOMEM;
	if (from->n_boxes > MAX_STRINGS)
		return -EBADMSG;
	for (size_t i = 0; i < from->n_boxes; i++)
		if (text_copy(&names[i], from->boxes[i]->name))
			return -ENOMEM;
	err = boxes_copy(&order->begin.peers, &order->begin.n_peers, from->peers, from->n_peers);
	if (err)
		return err;
	order->begin.content_bytes = from->content_bytes;
	order->begin.transports = from->transports;
	order->begin.deferred = from->deferred;
	if (text_copy(&order->begin.experiment, from->experiment) ||
	    text_copy(&order->begin.directory, from->directory))
		return -ENOMEM;
	return strings_copy(&order->begin.redact, from->redact, from->n_redact);
}

/* The line is read here: who gets a fault need not trust the text. */
static int decode_fault(const Bop__Wire__Fault *from, struct fault *fault)
{
	int err = fault_parse(from->line, strlen(from->line), fault, NULL, NULL);

	if (err)
		return err == -ENOMEM ? err : -EBADMSG;
	if (!from->id)
		return -EBADMSG;
	fault->id = from->id;
	fault->seed = from->seed ? from->seed : fault->seed;
	fault->flags |= (from->racy ? FAULT_F_RACY : 0) | (from->dry ? FAULT_F_DRY : 0);
	return 0;
}

static int decode_arm(const Bop__Wire__Arm *from, struct message_order *order)
{
	int err = 0;

	if (from->n_faults > FAULT_PLAN_MAX)
		return -EBADMSG;
	order->arm.armed_ns = from->armed_ns;
	order->arm.faults = calloc(from->n_faults + 1, sizeof(*order->arm.faults));
	if (!order->arm.faults)
		return -ENOMEM;
	while (order->arm.n < from->n_faults && !err) {
		size_t i = order->arm.n++;

		err = decode_fault(from->faults[i], &order->arm.faults[i]);
	}
	return err;
}

static int decode_attach(const Bop__Wire__Attach *from, struct message_attach *attach)
{
	if (from->port > UINT16_MAX)
		return -EBADMSG;
	attach->pid = from->pid;
	attach->port = from->port;
	return text_copy(&attach->name, from->name) || text_copy(&attach->box, from->box) ||
			       text_copy(&attach->cgroup, from->cgroup) || text_copy(&attach->executable, from->executable) ||
			       text_copy(&attach->container, from->container) ?
		       -ENOMEM :
		       0;
}

static int decode_order(const Bop__Wire__Order *from, struct message_order *order)
{
	order->id = from->id;
	switch (from->what_case) {
	case BOP__WIRE__ORDER__WHAT_BEGIN:
		order->kind = ORDER_BEGIN;
		return decode_begin(from->begin, order);
	case BOP__WIRE__ORDER__WHAT_START:
		order->kind = ORDER_START;
		return decode_start(from->start, &order->start);
	case BOP__WIRE__ORDER__WHAT_SIGNAL:
		order->kind = ORDER_SIGNAL;
		order->signal.signal = from->signal->signal;
		return text_copy(&order->signal.name, from->signal->name);
	case BOP__WIRE__ORDER__WHAT_MARK:
		order->kind = ORDER_MARK;
		return text_copy(&order->mark, from->mark->text);
	case BOP__WIRE__ORDER__WHAT_FINISH:
		order->kind = ORDER_FINISH;
		return 0;
	case BOP__WIRE__ORDER__WHAT_QUIT:
		order->kind = ORDER_QUIT;
		return 0;
	case BOP__WIRE__ORDER__WHAT_ARM:
		order->kind = ORDER_ARM;
		return decode_arm(from->arm, order);
	case BOP__WIRE__ORDER__WHAT_LIFT:
		order->kind = ORDER_LIFT;
		order->lift = from->lift->id;
		return 0;
	case BOP__WIRE__ORDER__WHAT_ATTACH:
		order->kind = ORDER_ATTACH;
		return decode_attach(from->attach, &order->attach);
	default:
		return -EBADMSG;
	}
}

static int decode_welcome(const Bop__Wire__Welcome *from, struct message_welcome *welcome)
{
	if (from->session.len == sizeof(welcome->session))
		memcpy(welcome->session, from->session.data, sizeof(welcome->session));
	else if (from->session.len)
		return -EBADMSG;
	return text_copy(&welcome->version, from->version);
}

static int decode_to_agent(const Bop__Wire__ToAgent *from, struct message *message)
{
	message->number = from->number;
	message->heard = from->heard;
	switch (from->what_case) {
	case BOP__WIRE__TO_AGENT__WHAT_WELCOME:
		message->kind = MESSAGE_WELCOME;
		return decode_welcome(from->welcome, &message->welcome);
	case BOP__WIRE__TO_AGENT__WHAT_REFUSED:
		message->kind = MESSAGE_REFUSED;
		return text_copy(&message->text, from->refused->reason);
	case BOP__WIRE__TO_AGENT__WHAT_ACK:
		message->kind = MESSAGE_ACK;
		message->ack.run = from->ack->run;
		message->ack.number = from->ack->number;
		return 0;
	case BOP__WIRE__TO_AGENT__WHAT_ORDER:
		message->kind = MESSAGE_ORDER;
		return decode_order(from->order, &message->order);
	default:
		return -EBADMSG;
	}
}

/* A frame that holds a batch and nothing else: found without copying. Anything else is left to protobuf. */
static bool batch_inside(const unsigned char *bytes, size_t size, struct message *message)
{
	uint64_t length = 0;
	size_t i = 1;

	if (size < 2 || bytes[0] != (BOP__WIRE__FROM_AGENT__WHAT_BATCH << 3 | 2))
		return false;
	for (unsigned shift = 0; i < size && shift < 35; shift += 7) {
		length |= (uint64_t)(bytes[i] & 0x7f) << shift;
		if (!(bytes[i++] & 0x80))
			break;
	}
	if (length != size - i)
		return false;
	message->kind = MESSAGE_BATCH;
	message->batch.bytes = bytes + i;
	message->batch.size = (size_t)length;
	return true;
}

static int decode(const unsigned char *bytes, size_t size, bool to_agent, struct message *message)
{
	int err = -EBADMSG;

	if (to_agent) {
		Bop__Wire__ToAgent *m = bop__wire__to_agent__unpack(NULL, size, bytes);

		if (m)
			err = decode_to_agent(m, message);
		bop__wire__to_agent__free_unpacked(m, NULL);
	} else if (batch_inside(bytes, size, message)) {
		err = 0;
	} else {
		Bop__Wire__FromAgent *m = bop__wire__from_agent__unpack(NULL, size, bytes);

		if (m)
			err = decode_from_agent(m, message);
		bop__wire__from_agent__free_unpacked(m, NULL);
	}
	return err;
}

int message_decode(const unsigned char *bytes, size_t size, enum message_side side, struct message *ret_message,
		   struct error *e)
{
	struct message message = { .kind = MESSAGE_NONE };
	int err = -EBADMSG;

	if (size <= WIRE_MAX_BATCH)
		err = decode(bytes, size, side == MESSAGE_TO_AGENT, &message);
	if (err) {
		message_fini(&message);
		return error_set(e, err, err == -ENOMEM ? "no memory for a message of %zu bytes" :
							  "not a message of this protocol (%zu bytes)", size);
	}
	*ret_message = message;
	return 0;
}

static void start_fini(struct message_start *start)
{
	free(start->name);
	free(start->box);
	free(start->user);
	free(start->directory);
	strings_free(start->argv);
	strings_free(start->environment);
}

static void attach_fini(struct message_attach *attach)
{
	free(attach->name);
	free(attach->box);
	free(attach->cgroup);
	free(attach->executable);
	free(attach->container);
}

static void hello_fini(struct message_hello *hello)
{
	free(hello->version);
	free(hello->host);
	free(hello->boot_id);
	free(hello->kernel);
	free(hello->backend);
	boxes_free(hello->boxes, hello->n_boxes);
	for (size_t i = 0; i < hello->n_unable; i++) {
		free(hello->unable[i].kind);
		free(hello->unable[i].why);
	}
	free(hello->unable);
}

void message_fini(struct message *message)
{
	switch (message->kind) {
	case MESSAGE_HELLO:
		hello_fini(&message->hello);
		break;
	case MESSAGE_REPLY:
		boxes_free(message->reply.boxes, message->reply.n_boxes);
		free(message->reply.error);
		break;
	case MESSAGE_READY:
		free(message->ready.name);
		break;
	case MESSAGE_EXITED:
		free(message->exited.name);
		free(message->exited.output);
		break;
	case MESSAGE_RECEIPTS:
		for (size_t i = 0; i < message->receipts.n; i++)
			fault_receipt_fini(&message->receipts.rows[i]);
		free(message->receipts.rows);
		break;
	case MESSAGE_WARNING:
	case MESSAGE_REFUSED:
		free(message->text);
		break;
	case MESSAGE_WELCOME:
		free(message->welcome.version);
		break;
	case MESSAGE_ORDER:
		strings_free(message->order.begin.boxes);
		strings_free(message->order.begin.redact);
		boxes_free(message->order.begin.peers, message->order.begin.n_peers);
		free(message->order.begin.experiment);
		free(message->order.begin.directory);
		free(message->order.signal.name);
		free(message->order.mark);
		start_fini(&message->order.start);
		for (size_t i = 0; i < message->order.arm.n; i++)
			fault_fini(&message->order.arm.faults[i]);
		free(message->order.arm.faults);
		attach_fini(&message->order.attach);
		break;
	case MESSAGE_NONE:
	case MESSAGE_BATCH:
	case MESSAGE_PROGRESS:
	case MESSAGE_ACK:
		break;
	}
	*message = (struct message){ .kind = MESSAGE_NONE };
}
