/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Control messages to bytes. Pure. Fails only without memory. */
#include "proto/wire.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proto/control.pb-c.h"
#include "proto/text.h"
#include "proto/wire_receipt.h"

static size_t strings_count(char **strings)
{
	size_t n = 0;

	while (strings && strings[n])
		n++;
	return n;
}

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

/* Rows of n boxes, and pointers to them, in one piece of memory. */
static Bop__Wire__Box **boxes_rows(const struct trace_box *from, size_t n)
{
	Bop__Wire__Box **rows = calloc(n + 1, sizeof(*rows) + sizeof(**rows));
	Bop__Wire__Box *boxes = rows ? (Bop__Wire__Box *)(rows + n + 1) : NULL;

	for (size_t i = 0; rows && i < n; i++) {
		bop__wire__box__init(&boxes[i]);
		boxes[i].index = (uint32_t)i + 1;
		boxes[i].name = text_of(from[i].name);
		boxes[i].address = text_of(from[i].address);
		boxes[i].address6 = text_of(from[i].address6);
		rows[i] = &boxes[i];
	}
	return rows;
}

static Bop__Wire__Unable **unable_rows(const struct message_unable *from, size_t n)
{
	Bop__Wire__Unable **rows = malloc(n * (sizeof(*rows) + sizeof(**rows)) + 1);
	Bop__Wire__Unable *row = rows ? (Bop__Wire__Unable *)(rows + n) : NULL;

	for (size_t i = 0; rows && i < n; i++) {
		bop__wire__unable__init(&row[i]);
		row[i].kind = text_of(from[i].kind);
		row[i].why = text_of(from[i].why);
		rows[i] = &row[i];
	}
	return rows;
}

static int encode_hello(const struct message_hello *from, unsigned char **ret_bytes, size_t *ret_size)
{
	Bop__Wire__FromAgent outer = BOP__WIRE__FROM_AGENT__INIT;
	Bop__Wire__Hello hello = BOP__WIRE__HELLO__INIT;
	int err = -ENOMEM;

	hello.boxes = boxes_rows(from->boxes, from->n_boxes);
	hello.unable = unable_rows(from->unable, from->n_unable);
	if (!hello.boxes || !hello.unable)
		goto out;
	hello.n_boxes = from->n_boxes;
	hello.n_unable = from->n_unable;
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
	err = pack(&outer.base, ret_bytes, ret_size);
out:
	free(hello.boxes);
	free(hello.unable);
	return err;
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

static int encode_reply(const struct message *message, unsigned char **ret_bytes, size_t *ret_size)
{
	const struct message_reply *from = &message->reply;
	Bop__Wire__FromAgent outer = BOP__WIRE__FROM_AGENT__INIT;
	Bop__Wire__Reply reply = BOP__WIRE__REPLY__INIT;
	Bop__Wire__Box **rows = boxes_rows(from->boxes, from->n_boxes);
	int err;

	if (!rows)
		return -ENOMEM;
	reply.id = from->id;
	reply.code = from->code;
	reply.error = text_of(from->error);
	reply.boxes = rows;
	reply.n_boxes = from->n_boxes;
	reply.pid = from->pid;
	outer.what_case = BOP__WIRE__FROM_AGENT__WHAT_REPLY;
	outer.reply = &reply;
	outer.number = message->number;
	outer.heard = message->heard;
	err = pack(&outer.base, ret_bytes, ret_size);
	free(rows);
	return err;
}

static int encode_small(const struct message *message, unsigned char **ret_bytes, size_t *ret_size)
{
	Bop__Wire__FromAgent outer = BOP__WIRE__FROM_AGENT__INIT;
	Bop__Wire__Ready ready = BOP__WIRE__READY__INIT;
	Bop__Wire__Exited exited = BOP__WIRE__EXITED__INIT;
	Bop__Wire__Warning warning = BOP__WIRE__WARNING__INIT;

	outer.number = message->number;
	outer.heard = message->heard;
	if (message->kind == MESSAGE_READY) {
		ready.name = text_of(message->ready.name);
		outer.what_case = BOP__WIRE__FROM_AGENT__WHAT_READY;
		outer.ready = &ready;
	} else if (message->kind == MESSAGE_EXITED) {
		exited.name = text_of(message->exited.name);
		exited.status = message->exited.status;
		exited.output.data = (uint8_t *)message->exited.output;
		exited.output.len = message->exited.size;
		exited.fault = message->exited.fault;
		exited.restarts = message->exited.restarts;
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

static int encode_receipts(const struct message *message, unsigned char **ret_bytes, size_t *ret_size)
{
	Bop__Wire__FromAgent outer = BOP__WIRE__FROM_AGENT__INIT;
	Bop__Wire__Receipts receipts = BOP__WIRE__RECEIPTS__INIT;
	int err;

	receipts.rows = wire_receipts_rows(message->receipts.rows, message->receipts.n);
	receipts.n_rows = message->receipts.n;
	if (!receipts.rows)
		return -ENOMEM;
	outer.number = message->number;
	outer.heard = message->heard;
	outer.what_case = BOP__WIRE__FROM_AGENT__WHAT_RECEIPTS;
	outer.receipts = &receipts;
	err = pack(&outer.base, ret_bytes, ret_size);
	free(receipts.rows);
	return err;
}

static int encode_answer(const struct message *message, unsigned char **ret_bytes, size_t *ret_size)
{
	Bop__Wire__ToAgent outer = BOP__WIRE__TO_AGENT__INIT;
	Bop__Wire__Welcome welcome = BOP__WIRE__WELCOME__INIT;
	Bop__Wire__Refused refused = BOP__WIRE__REFUSED__INIT;
	Bop__Wire__Ack ack = BOP__WIRE__ACK__INIT;

	outer.heard = message->heard;
	if (message->kind == MESSAGE_WELCOME) {
		welcome.version = text_of(message->welcome.version);
		welcome.session.data = (uint8_t *)message->welcome.session;
		welcome.session.len = sizeof(message->welcome.session);
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

/* An order: one of them. */
struct order_parts {
	Bop__Wire__Begin begin;
	Bop__Wire__Start start;
	Bop__Wire__Attach attach;
	Bop__Wire__Signal signal;
	Bop__Wire__Mark mark;
	Bop__Wire__Finish finish;
	Bop__Wire__Quit quit;
	Bop__Wire__Arm arm;
	Bop__Wire__Lift lift;
	Bop__Wire__BoxSpec *specs;
};

static int fill_begin(struct order_parts *parts, const struct message_order *order)
{
	const typeof(order->begin) *from = &order->begin;
	Bop__Wire__Begin *begin = &parts->begin;
	size_t n = strings_count(from->boxes);

	begin->run = from->run;
	begin->experiment = text_of(from->experiment);
	begin->directory = text_of(from->directory);
	begin->content_bytes = from->content_bytes;
	begin->transports = from->transports;
	begin->deferred = from->deferred;
	begin->redact = from->redact;
	begin->n_redact = strings_count(from->redact);
	parts->specs = calloc(n + 1, sizeof(*parts->specs));
	begin->boxes = calloc(n + 1, sizeof(*begin->boxes));
	if (!parts->specs || !begin->boxes)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		bop__wire__box_spec__init(&parts->specs[i]);
		parts->specs[i].name = from->boxes[i];
		begin->boxes[i] = &parts->specs[i];
	}
	begin->n_boxes = n;
	begin->peers = boxes_rows(from->peers, from->n_peers);
	begin->n_peers = from->n_peers;
	return begin->peers ? 0 : -ENOMEM;
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

static int fill_arm(Bop__Wire__Arm *arm, const struct message_order *order)
{
	size_t n = order->arm.n;
	Bop__Wire__Fault *row;

	arm->faults = malloc(n * (sizeof(*arm->faults) + sizeof(*row)) + 1);
	if (!arm->faults)
		return -ENOMEM;
	row = (Bop__Wire__Fault *)(arm->faults + n);
	for (size_t i = 0; i < n; i++) {
		const struct fault *from = &order->arm.faults[i];

		arm->faults[i] = &row[i];
		bop__wire__fault__init(&row[i]);
		row[i].id = from->id;
		row[i].line = text_of(from->text);
		row[i].seed = from->seed;
		row[i].racy = from->flags & FAULT_F_RACY;
		row[i].dry = from->flags & FAULT_F_DRY;
	}
	arm->n_faults = n;
	arm->armed_ns = order->arm.armed_ns;
	return 0;
}

static void fill_attach(Bop__Wire__Attach *attach, const struct message_attach *from)
{
	attach->name = text_of(from->name);
	attach->box = text_of(from->box);
	attach->pid = from->pid;
	attach->cgroup = text_of(from->cgroup);
	attach->executable = text_of(from->executable);
	attach->port = from->port;
	attach->container = text_of(from->container);
}

static int fill_order(Bop__Wire__Order *order, struct order_parts *parts, const struct message_order *from)
{
	order->id = from->id;
	switch (from->kind) {
	case ORDER_BEGIN:
		order->what_case = BOP__WIRE__ORDER__WHAT_BEGIN;
		order->begin = &parts->begin;
		return fill_begin(parts, from);
	case ORDER_START:
		order->what_case = BOP__WIRE__ORDER__WHAT_START;
		order->start = &parts->start;
		fill_start(&parts->start, &from->start);
		return 0;
	case ORDER_ATTACH:
		order->what_case = BOP__WIRE__ORDER__WHAT_ATTACH;
		order->attach = &parts->attach;
		fill_attach(&parts->attach, &from->attach);
		return 0;
	case ORDER_SIGNAL:
		order->what_case = BOP__WIRE__ORDER__WHAT_SIGNAL;
		order->signal = &parts->signal;
		parts->signal.name = text_of(from->signal.name);
		parts->signal.signal = from->signal.signal;
		return 0;
	case ORDER_MARK:
		order->what_case = BOP__WIRE__ORDER__WHAT_MARK;
		order->mark = &parts->mark;
		parts->mark.text = text_of(from->mark);
		return 0;
	case ORDER_FINISH:
		order->what_case = BOP__WIRE__ORDER__WHAT_FINISH;
		order->finish = &parts->finish;
		return 0;
	case ORDER_QUIT:
		order->what_case = BOP__WIRE__ORDER__WHAT_QUIT;
		order->quit = &parts->quit;
		return 0;
	case ORDER_ARM:
		order->what_case = BOP__WIRE__ORDER__WHAT_ARM;
		order->arm = &parts->arm;
		return fill_arm(&parts->arm, from);
	case ORDER_LIFT:
		order->what_case = BOP__WIRE__ORDER__WHAT_LIFT;
		order->lift = &parts->lift;
		parts->lift.id = from->lift;
		return 0;
	case ORDER_NONE:
		break;
	}
	return -EINVAL;
}

static int encode_order(const struct message *message, unsigned char **ret_bytes, size_t *ret_size)
{
	struct order_parts parts = {
		BOP__WIRE__BEGIN__INIT, BOP__WIRE__START__INIT, BOP__WIRE__ATTACH__INIT, BOP__WIRE__SIGNAL__INIT,
		BOP__WIRE__MARK__INIT,	BOP__WIRE__FINISH__INIT, BOP__WIRE__QUIT__INIT,	 BOP__WIRE__ARM__INIT,
		BOP__WIRE__LIFT__INIT,	NULL,
	};
	Bop__Wire__ToAgent outer = BOP__WIRE__TO_AGENT__INIT;
	Bop__Wire__Order order = BOP__WIRE__ORDER__INIT;
	int err = fill_order(&order, &parts, &message->order);

	outer.what_case = BOP__WIRE__TO_AGENT__WHAT_ORDER;
	outer.order = &order;
	outer.number = message->number;
	outer.heard = message->heard;
	if (!err)
		err = pack(&outer.base, ret_bytes, ret_size);
	free(parts.begin.boxes);
	free(parts.begin.peers);
	free(parts.arm.faults);
	free(parts.specs);
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
		return encode_reply(message, ret_bytes, ret_size);
	case MESSAGE_READY:
	case MESSAGE_EXITED:
	case MESSAGE_WARNING:
	case MESSAGE_PROGRESS:
		return encode_small(message, ret_bytes, ret_size);
	case MESSAGE_RECEIPTS:
		return encode_receipts(message, ret_bytes, ret_size);
	case MESSAGE_WELCOME:
	case MESSAGE_REFUSED:
	case MESSAGE_ACK:
		return encode_answer(message, ret_bytes, ret_size);
	case MESSAGE_ORDER:
		return encode_order(message, ret_bytes, ret_size);
	case MESSAGE_NONE:
		break;
	}
	return -EINVAL;
}
