/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Control messages to bytes and back. Pure. Whatever is not exactly one known message with sane fields gives -EBADMSG;
 * strings from a peer are copied, never trusted to be short or printable by those who use them.
 */
#include "proto/wire.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proto/control.pb-c.h"

#define MAX_STRINGS 4096u /* arguments, environment, boxes of one order */

static char *text_of(char *s)
{
	return s ? s : (char *)"";
}

static size_t strings_count(char **strings)
{
	size_t n = 0;

	while (strings && strings[n])
		n++;
	return n;
}

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

static int text_copy(char **ret_text, const char *from)
{
	*ret_text = strdup(from);
	return *ret_text ? 0 : -ENOMEM;
}

/* ---- packing ---- */

static int pack(const ProtobufCMessage *message, unsigned char **ret_bytes, size_t *ret_size)
{
	size_t size = protobuf_c_message_get_packed_size(message);
	unsigned char *bytes = malloc(size + 1);

	if (!bytes)
		return -ENOMEM;
	*ret_size = protobuf_c_message_pack(message, bytes);
	*ret_bytes = bytes;
	return 0;
}

static int encode_hello(const struct message_hello *from, unsigned char **ret_bytes, size_t *ret_size)
{
	Bop__Wire__FromAgent outer = BOP__WIRE__FROM_AGENT__INIT;
	Bop__Wire__Hello hello = BOP__WIRE__HELLO__INIT;

	hello.protocol = from->protocol;
	hello.version = text_of(from->version);
	hello.session.data = (uint8_t *)from->session;
	hello.session.len = sizeof(from->session);
	hello.host = text_of(from->host);
	hello.boot_id = text_of(from->boot_id);
	hello.kernel = text_of(from->kernel);
	hello.backend = text_of(from->backend);
	hello.monotonic_ns = from->monotonic_ns;
	hello.realtime_ns = from->realtime_ns;
	outer.what_case = BOP__WIRE__FROM_AGENT__WHAT_HELLO;
	outer.hello = &hello;
	return pack(&outer.base, ret_bytes, ret_size);
}

/* A batch is already encoded: it becomes field 2 of the frame as it is, without being unpacked and packed again. */
static int encode_batch(const unsigned char *batch, size_t n, unsigned char **ret_bytes, size_t *ret_size)
{
	unsigned char *bytes = malloc(n + 11), *p = bytes;
	uint64_t left = n;

	if (!bytes)
		return -ENOMEM;
	*p++ = BOP__WIRE__FROM_AGENT__WHAT_BATCH << 3 | 2;
	for (; left > 0x7f; left >>= 7)
		*p++ = (unsigned char)(left | 0x80);
	*p++ = (unsigned char)left;
	memcpy(p, batch, n);
	*ret_bytes = bytes;
	*ret_size = (size_t)(p - bytes) + n;
	return 0;
}

static int encode_reply(const struct message_reply *from, unsigned char **ret_bytes, size_t *ret_size)
{
	Bop__Wire__FromAgent outer = BOP__WIRE__FROM_AGENT__INIT;
	Bop__Wire__Reply reply = BOP__WIRE__REPLY__INIT;
	Bop__Wire__Box *boxes = calloc(from->n_boxes + 1, sizeof(*boxes));
	Bop__Wire__Box **rows = calloc(from->n_boxes + 1, sizeof(*rows));
	int err = -ENOMEM;

	if (!boxes || !rows)
		goto out;
	for (size_t i = 0; i < from->n_boxes; i++) {
		bop__wire__box__init(&boxes[i]);
		boxes[i].index = (uint32_t)i + 1;
		boxes[i].name = text_of(from->boxes[i].name);
		boxes[i].address = text_of(from->boxes[i].address);
		boxes[i].address6 = text_of(from->boxes[i].address6);
		rows[i] = &boxes[i];
	}
	reply.id = from->id;
	reply.code = from->code;
	reply.error = text_of(from->error);
	reply.boxes = rows;
	reply.n_boxes = from->n_boxes;
	reply.pid = from->pid;
	outer.what_case = BOP__WIRE__FROM_AGENT__WHAT_REPLY;
	outer.reply = &reply;
	err = pack(&outer.base, ret_bytes, ret_size);
out:
	free(boxes);
	free(rows);
	return err;
}

static int encode_small(const struct message *message, unsigned char **ret_bytes, size_t *ret_size)
{
	Bop__Wire__FromAgent outer = BOP__WIRE__FROM_AGENT__INIT;
	Bop__Wire__Ready ready = BOP__WIRE__READY__INIT;
	Bop__Wire__Exited exited = BOP__WIRE__EXITED__INIT;
	Bop__Wire__Warning warning = BOP__WIRE__WARNING__INIT;

	if (message->kind == MESSAGE_READY) {
		ready.name = text_of(message->ready.name);
		outer.what_case = BOP__WIRE__FROM_AGENT__WHAT_READY;
		outer.ready = &ready;
	} else if (message->kind == MESSAGE_EXITED) {
		exited.name = text_of(message->exited.name);
		exited.status = message->exited.status;
		exited.output.data = (uint8_t *)message->exited.output;
		exited.output.len = message->exited.size;
		outer.what_case = BOP__WIRE__FROM_AGENT__WHAT_EXITED;
		outer.exited = &exited;
	} else if (message->kind == MESSAGE_WARNING) {
		warning.text = text_of(message->text);
		outer.what_case = BOP__WIRE__FROM_AGENT__WHAT_WARNING;
		outer.warning = &warning;
	} else {
		outer.what_case = BOP__WIRE__FROM_AGENT__WHAT_PROGRESS;
		outer.progress = message->progress;
	}
	return pack(&outer.base, ret_bytes, ret_size);
}

static int encode_answer(const struct message *message, unsigned char **ret_bytes, size_t *ret_size)
{
	Bop__Wire__ToAgent outer = BOP__WIRE__TO_AGENT__INIT;
	Bop__Wire__Welcome welcome = BOP__WIRE__WELCOME__INIT;
	Bop__Wire__Refused refused = BOP__WIRE__REFUSED__INIT;
	Bop__Wire__Ack ack = BOP__WIRE__ACK__INIT;

	if (message->kind == MESSAGE_WELCOME) {
		welcome.version = text_of(message->text);
		outer.what_case = BOP__WIRE__TO_AGENT__WHAT_WELCOME;
		outer.welcome = &welcome;
	} else if (message->kind == MESSAGE_REFUSED) {
		refused.reason = text_of(message->text);
		outer.what_case = BOP__WIRE__TO_AGENT__WHAT_REFUSED;
		outer.refused = &refused;
	} else {
		ack.run = message->ack.run;
		ack.number = message->ack.number;
		outer.what_case = BOP__WIRE__TO_AGENT__WHAT_ACK;
		outer.ack = &ack;
	}
	return pack(&outer.base, ret_bytes, ret_size);
}

static int begin_rows(Bop__Wire__Begin *begin, char **names, Bop__Wire__BoxSpec **ret_specs)
{
	size_t n = strings_count(names);
	Bop__Wire__BoxSpec *specs = calloc(n + 1, sizeof(*specs));

	*ret_specs = specs;
	begin->boxes = calloc(n + 1, sizeof(*begin->boxes));
	if (!specs || !begin->boxes)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		bop__wire__box_spec__init(&specs[i]);
		specs[i].name = names[i];
		begin->boxes[i] = &specs[i];
	}
	begin->n_boxes = n;
	return 0;
}

static void fill_start(Bop__Wire__Start *start, const struct message_start *from)
{
	start->name = text_of(from->name);
	start->box = text_of(from->box);
	start->user = text_of(from->user);
	start->directory = text_of(from->directory);
	start->argv = from->argv;
	start->n_argv = strings_count(from->argv);
	start->environment = from->environment;
	start->n_environment = strings_count(from->environment);
	start->untraced = from->untraced;
	start->quiet = from->quiet;
	start->ready_port = from->ready_port;
}

static int encode_order(const struct message_order *from, unsigned char **ret_bytes, size_t *ret_size)
{
	Bop__Wire__ToAgent outer = BOP__WIRE__TO_AGENT__INIT;
	Bop__Wire__Order order = BOP__WIRE__ORDER__INIT;
	Bop__Wire__Begin begin = BOP__WIRE__BEGIN__INIT;
	Bop__Wire__Start start = BOP__WIRE__START__INIT;
	Bop__Wire__Signal signal = BOP__WIRE__SIGNAL__INIT;
	Bop__Wire__Mark mark = BOP__WIRE__MARK__INIT;
	Bop__Wire__Finish finish = BOP__WIRE__FINISH__INIT;
	Bop__Wire__Quit quit = BOP__WIRE__QUIT__INIT;
	Bop__Wire__BoxSpec *specs = NULL;
	int err = 0;

	order.id = from->id;
	switch (from->kind) {
	case ORDER_BEGIN:
		begin.run = from->begin.run;
		begin.experiment = text_of(from->begin.experiment);
		begin.directory = text_of(from->begin.directory);
		err = begin_rows(&begin, from->begin.boxes, &specs);
		order.what_case = BOP__WIRE__ORDER__WHAT_BEGIN;
		order.begin = &begin;
		break;
	case ORDER_START:
		fill_start(&start, &from->start);
		order.what_case = BOP__WIRE__ORDER__WHAT_START;
		order.start = &start;
		break;
	case ORDER_SIGNAL:
		signal.name = text_of(from->signal.name);
		signal.signal = from->signal.signal;
		order.what_case = BOP__WIRE__ORDER__WHAT_SIGNAL;
		order.signal = &signal;
		break;
	case ORDER_MARK:
		mark.text = text_of(from->mark);
		order.what_case = BOP__WIRE__ORDER__WHAT_MARK;
		order.mark = &mark;
		break;
	case ORDER_FINISH:
		order.what_case = BOP__WIRE__ORDER__WHAT_FINISH;
		order.finish = &finish;
		break;
	case ORDER_QUIT:
		order.what_case = BOP__WIRE__ORDER__WHAT_QUIT;
		order.quit = &quit;
		break;
	case ORDER_NONE:
		err = -EINVAL;
		break;
	}
	outer.what_case = BOP__WIRE__TO_AGENT__WHAT_ORDER;
	outer.order = &order;
	if (!err)
		err = pack(&outer.base, ret_bytes, ret_size);
	free(begin.boxes);
	free(specs);
	return err;
}

int message_encode(const struct message *message, unsigned char **ret_bytes, size_t *ret_size)
{
	switch (message->kind) {
	case MESSAGE_HELLO:
		return encode_hello(&message->hello, ret_bytes, ret_size);
	case MESSAGE_BATCH:
		return encode_batch(message->batch.bytes, message->batch.size, ret_bytes, ret_size);
	case MESSAGE_REPLY:
		return encode_reply(&message->reply, ret_bytes, ret_size);
	case MESSAGE_READY:
	case MESSAGE_EXITED:
	case MESSAGE_WARNING:
	case MESSAGE_PROGRESS:
		return encode_small(message, ret_bytes, ret_size);
	case MESSAGE_WELCOME:
	case MESSAGE_REFUSED:
	case MESSAGE_ACK:
		return encode_answer(message, ret_bytes, ret_size);
	case MESSAGE_ORDER:
		return encode_order(&message->order, ret_bytes, ret_size);
	case MESSAGE_NONE:
		break;
	}
	return -EINVAL;
}

/* ---- unpacking ---- */

static int decode_hello(const Bop__Wire__Hello *from, struct message_hello *hello)
{
	if (from->session.len != sizeof(hello->session))
		return -EBADMSG;
	memcpy(hello->session, from->session.data, sizeof(hello->session));
	hello->protocol = from->protocol;
	hello->monotonic_ns = from->monotonic_ns;
	hello->realtime_ns = from->realtime_ns;
	if (text_copy(&hello->version, from->version) || text_copy(&hello->host, from->host) ||
	    text_copy(&hello->boot_id, from->boot_id) || text_copy(&hello->kernel, from->kernel))
		return -ENOMEM;
	return text_copy(&hello->backend, from->backend);
}

static int decode_reply(const Bop__Wire__Reply *from, struct message_reply *reply)
{
	reply->id = from->id;
	reply->code = from->code;
	reply->pid = from->pid;
	if (from->n_boxes > MAX_STRINGS)
		return -EBADMSG;
	reply->boxes = calloc(from->n_boxes + 1, sizeof(*reply->boxes));
	if (!reply->boxes)
		return -ENOMEM;
	reply->n_boxes = from->n_boxes;
	for (size_t i = 0; i < from->n_boxes; i++) {
		struct trace_box *box = &reply->boxes[i];

		if (text_copy(&box->name, from->boxes[i]->name) ||
		    text_copy(&box->address, from->boxes[i]->address) ||
		    text_copy(&box->address6, from->boxes[i]->address6))
			return -ENOMEM;
	}
	return text_copy(&reply->error, from->error);
}

static int decode_exited(const Bop__Wire__Exited *from, struct message *message)
{
	message->exited.status = from->status;
	message->exited.output = malloc(from->output.len + 1);
	if (!message->exited.output)
		return -ENOMEM;
	if (from->output.len)
		memcpy(message->exited.output, from->output.data, from->output.len);
	message->exited.output[from->output.len] = '\0';
	message->exited.size = from->output.len;
	return text_copy(&message->exited.name, from->name);
}

static int decode_from_agent(const Bop__Wire__FromAgent *from, struct message *message)
{
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

	order->begin.run = from->run;
	if (!names)
		return -ENOMEM;
	if (from->n_boxes > MAX_STRINGS)
		return -EBADMSG;
	for (size_t i = 0; i < from->n_boxes; i++)
		if (text_copy(&names[i], from->boxes[i]->name))
			return -ENOMEM;
	if (text_copy(&order->begin.experiment, from->experiment))
		return -ENOMEM;
	return text_copy(&order->begin.directory, from->directory);
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
	default:
		return -EBADMSG;
	}
}

static int decode_to_agent(const Bop__Wire__ToAgent *from, struct message *message)
{
	switch (from->what_case) {
	case BOP__WIRE__TO_AGENT__WHAT_WELCOME:
		message->kind = MESSAGE_WELCOME;
		return text_copy(&message->text, from->welcome->version);
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

static void hello_fini(struct message_hello *hello)
{
	free(hello->version);
	free(hello->host);
	free(hello->boot_id);
	free(hello->kernel);
	free(hello->backend);
}

void message_fini(struct message *message)
{
	switch (message->kind) {
	case MESSAGE_HELLO:
		hello_fini(&message->hello);
		break;
	case MESSAGE_REPLY:
		for (size_t i = 0; i < message->reply.n_boxes; i++) {
			free(message->reply.boxes[i].name);
			free(message->reply.boxes[i].address);
			free(message->reply.boxes[i].address6);
		}
		free(message->reply.boxes);
		free(message->reply.error);
		break;
	case MESSAGE_READY:
		free(message->ready.name);
		break;
	case MESSAGE_EXITED:
		free(message->exited.name);
		free(message->exited.output);
		break;
	case MESSAGE_WARNING:
	case MESSAGE_REFUSED:
	case MESSAGE_WELCOME:
		free(message->text);
		break;
	case MESSAGE_ORDER:
		strings_free(message->order.begin.boxes);
		free(message->order.begin.experiment);
		free(message->order.begin.directory);
		free(message->order.signal.name);
		free(message->order.mark);
		start_fini(&message->order.start);
		break;
	case MESSAGE_NONE:
	case MESSAGE_BATCH:
	case MESSAGE_PROGRESS:
	case MESSAGE_ACK:
		break;
	}
	*message = (struct message){ .kind = MESSAGE_NONE };
}
