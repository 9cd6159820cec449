/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Batches and control messages survive the way to bytes and back; damaged ones are refused without harm. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/wire.h"

static uint64_t random_next(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static void tables_fill(struct trace *part)
{
	struct trace_end *end;

	for (uint32_t i = 1; i <= 3; i++) {
		char text[32];

		snprintf(text, sizeof(text), "name%u", i);
		trace_box_at(part, i)->name = strdup(text);
		part->boxes[i].address = strdup("10.83.0.1");
		part->boxes[i].address6 = strdup("fd83::1");
		trace_process_at(part, i)->name = strdup(text);
		part->processes[i].box = i;
		part->processes[i].parent = i - 1;
		part->processes[i].command = strdup("prog --flag");
		*trace_text_at(part, i) = strdup(text);
		end = trace_end_at(part, i);
		end->box = i;
		end->process = i;
		end->role = END_CONNECTOR;
		end->transport = i % TRANSPORT_COUNT;
		end->keyed = true;
		end->older = i % 2;
		end->first_local = 0xfffffff0u + i;
		end->remote.port = 7000;
		end->remote.ip[15] = 7;
		end->target = strdup("s1:7000");
		end->error = -111;
		end->sent = UINT64_MAX;
	}
}

/* Bytes of two messages, one of which could not be read. */
static void contents_fill(struct trace *part)
{
	*trace_content_add(part) = (struct trace_content){ 2, 7, CONTENT_F_CUT, 4, (unsigned char *)strdup("a\xff\x01z") };
	*trace_content_add(part) = (struct trace_content){ 3, UINT32_MAX, CONTENT_F_UNREADABLE, 0, NULL };
}

static struct fault_receipt receipt_make(uint32_t id, enum fault_state state, const char *why)
{
	return (struct fault_receipt){ id, state, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, UINT64_MAX, 12, strdup("cut a>b:1#1/1"), strdup(why) };
}

static void events_fill(struct trace *part, size_t n, uint64_t seed)
{
	for (size_t i = 0; i < n; i++) {
		struct event *event = trace_event_add(part);

		event->kind = 1 + random_next(&seed) % (EVENT_KIND_COUNT - 1);
		event->flags = random_next(&seed) % (EVENT_F_INFERRED * 2);
		event->box = random_next(&seed) % 4;
		event->process = random_next(&seed) % 4;
		event->thread = random_next(&seed) % 3;
		event->end = random_next(&seed) % 4;
		event->peer = random_next(&seed) % 4;
		event->text = random_next(&seed) % 4;
		event->enter_ns = random_next(&seed);
		event->return_ns = random_next(&seed);
		event->order = random_next(&seed);
		event->pos = random_next(&seed);
		event->value = (int64_t)random_next(&seed);
		event->message = (uint32_t)random_next(&seed);
		event->seq = random_next(&seed);
	}
}

static void encode(struct trace *part, bool rows, unsigned char **ret_bytes, size_t *ret_size)
{
	static const uint32_t all[] = { 1, 2, 3 };
	struct wire_rows sets = { all, all, all, all, 3, 3, 3, 3 };
	struct wire_batch head = { .run = 7, .number = 9, .emitted = 11, .lost = 13, .last = true };

	if (!rows)
		memset(&sets, 0, sizeof(sets));
	ck_assert_int_eq(wire_batch_encode(&head, part, &sets, ret_bytes, ret_size), 0);
}

/* What is decoded equals what was encoded, in every field, for extreme values too. */
START_TEST(batch_round_trip)
{
	struct trace part, back;
	struct wire_batch head;
	struct error e = { "" };
	unsigned char *bytes;
	size_t size;

	trace_init(&part);
	trace_init(&back);
	tables_fill(&part);
	events_fill(&part, 5000, 42 + (uint64_t)_i);
	contents_fill(&part);
	*trace_receipt_add(&part) = receipt_make(2, FAULT_STATE_ARMED, "");
	*trace_receipt_add(&part) = receipt_make(1, FAULT_STATE_NEVER_FIRED, "");
	*trace_receipt_add(&part) = receipt_make(2, FAULT_STATE_FIRED, "a\x01");
	encode(&part, true, &bytes, &size);
	ck_assert_int_eq(wire_batch_peek(bytes, size, &head, &e), 0);
	ck_assert_uint_eq(head.number, 9);
	ck_assert_msg(!wire_batch_decode(bytes, size, &head, &back, &e), "%s", e.text);
	ck_assert(head.run == 7 && head.emitted == 11 && head.lost == 13 && head.last);
	ck_assert_uint_eq(back.n_events, part.n_events);
	ck_assert(!memcmp(back.events, part.events, part.n_events * sizeof(*part.events)));
	ck_assert_uint_eq(back.n_ends, 3);
	ck_assert_str_eq(back.ends[2].target, "s1:7000");
	for (unsigned i = 1; i <= 3; i++)
		ck_assert_int_eq(back.ends[i].transport, i % TRANSPORT_COUNT);
	ck_assert(back.ends[3].first_local == 0xfffffff3u && back.ends[3].error == -111);
	ck_assert(back.ends[3].remote.ip[15] == 7 && back.ends[3].sent == UINT64_MAX);
	ck_assert_str_eq(back.processes[3].name, "name3");
	ck_assert_uint_eq(back.processes[3].parent, 2);
	ck_assert_str_eq(back.texts[1], "name1");
	ck_assert_uint_eq(back.n_contents, 2);
	ck_assert(back.contents[0].end == 2 && back.contents[0].message == 7 && back.contents[0].flags == CONTENT_F_CUT);
	ck_assert(back.contents[0].size == 4 && !memcmp(back.contents[0].bytes, "a\xff\x01z", 4));
	ck_assert(back.contents[1].message == UINT32_MAX && !back.contents[1].size);
	ck_assert_uint_eq(back.n_receipts, 3);
	trace_receipts_settle(&back);
	ck_assert_uint_eq(back.n_receipts, 2);
	ck_assert(back.receipts[0].id == 1 && back.receipts[0].state == FAULT_STATE_NEVER_FIRED);
	ck_assert(back.receipts[1].id == 2 && back.receipts[1].state == FAULT_STATE_FIRED);
	ck_assert(!memcmp(&back.receipts[1].fired_ns, &part.receipts[2].fired_ns, 12 * sizeof(uint64_t)));
	ck_assert_str_eq(back.receipts[1].line, "cut a>b:1#1/1");
	ck_assert_str_eq(back.receipts[1].why, "a?");
	free(bytes);
	trace_fini(&part);
	trace_fini(&back);
}
END_TEST

/* A request and reply conversation, the usual content, needs few bytes an event. */
START_TEST(batch_is_small)
{
	struct trace part;
	uint64_t now = 1000, jitter = 5;
	unsigned char *bytes;
	size_t size, n = 8000;

	trace_init(&part);
	tables_fill(&part);
	for (size_t i = 0; i < n; i++) {
		struct event *event = trace_event_add(&part);

		event->kind = i % 4 == 0 || i % 4 == 2 ? EVENT_SEND : EVENT_RECV;
		event->process = 1 + (i % 4 == 1 || i % 4 == 2);
		event->end = event->process;
		event->enter_ns = now;
		event->return_ns = now + 2000 + random_next(&jitter) % 1000;
		event->order = i / 2 + 1;
		event->value = 50;
		event->pos = i / 4 * 50;
		event->message = event->kind == EVENT_SEND ? i / 4 + 1 : 0;
		event->seq = (uint64_t)(i % 2) << 48 | (i / 2 + 1);
		now += 5000 + random_next(&jitter) % 3000;
	}
	encode(&part, true, &bytes, &size);
	ck_assert_msg(size < n * 20, "%zu bytes for %zu events", size, n);
	free(bytes);
	trace_fini(&part);
}
END_TEST

/* No damaged byte makes the decoder read out of bounds, loop, or accept an index that is in no table. */
START_TEST(batch_damaged)
{
	struct trace part;
	struct wire_batch head;
	unsigned char *bytes, *copy;
	size_t size, refused = 0;
	uint64_t seed = 99;

	trace_init(&part);
	tables_fill(&part);
	events_fill(&part, 40, 7);
	encode(&part, true, &bytes, &size);
	copy = malloc(size);
	for (int i = 0; i < 20000; i++) {
		struct trace back;
		size_t cut = i % 3 ? size : random_next(&seed) % size;

		trace_init(&back);
		memcpy(copy, bytes, size);
		for (int k = 0; k < 1 + i % 4; k++)
			copy[random_next(&seed) % size] = (unsigned char)random_next(&seed);
		if (wire_batch_decode(copy, cut, &head, &back, NULL) < 0)
			refused++;
		else
			for (size_t k = 0; k < back.n_events; k++)
				ck_assert(back.events[k].end <= back.n_ends &&
					  back.events[k].process <= back.n_processes &&
					  back.events[k].kind < EVENT_KIND_COUNT);
		trace_fini(&back);
	}
	ck_assert_uint_gt(refused, 5000);
	free(copy);
	free(bytes);
	trace_fini(&part);
}
END_TEST

/* The short way to a batch's head and the long one say the same, also of bytes that protobuf reads in more than one way. */
START_TEST(batch_head_is_one)
{
	static const unsigned char odd_last[] = { 0x08, 0x07, 0x10, 0x09, 0x4d, 0x01, 0x01, 0x01, 0x01 };
	struct wire_batch peeked, head = { 0 };
	struct trace back;

	trace_init(&back);
	ck_assert_int_eq(wire_batch_peek(odd_last, sizeof(odd_last), &peeked, NULL), 0);
	if (!wire_batch_decode(odd_last, sizeof(odd_last), &head, &back, NULL))
		ck_assert(head.number == peeked.number && head.run == peeked.run && head.last == peeked.last);
	trace_fini(&back);
}
END_TEST

/* Events may stand before the rest of a batch, as older ones have them; twice they are refused. */
START_TEST(batch_events_anywhere)
{
	struct trace part, back;
	struct wire_batch head;
	struct error e = { "" };
	unsigned char *without, *bytes, *moved;
	size_t rest, size;

	trace_init(&part);
	trace_init(&back);
	tables_fill(&part);
	encode(&part, true, &without, &rest);
	events_fill(&part, 300, 5);
	encode(&part, true, &bytes, &size);
	ck_assert(!memcmp(bytes, without, rest));
	moved = malloc(2 * size);
	memcpy(moved, bytes + rest, size - rest);
	memcpy(moved + size - rest, bytes, rest);
	ck_assert_msg(!wire_batch_decode(moved, size, &head, &back, &e), "%s", e.text);
	ck_assert_uint_eq(back.n_events, part.n_events);
	ck_assert(!memcmp(back.events, part.events, part.n_events * sizeof(*part.events)));
	trace_fini(&back);
	trace_init(&back);
	memcpy(moved + size, bytes + rest, size - rest);
	ck_assert_int_eq(wire_batch_decode(moved, 2 * size - rest, &head, &back, &e), -EBADMSG);
	free(moved);
	free(without);
	free(bytes);
	trace_fini(&part);
	trace_fini(&back);
}
END_TEST

/* Columns of no event are no events (with sanitizers: without a pointer into nothing, either). */
START_TEST(batch_without_events)
{
	static const unsigned char empty[] = { 0x08, 0x07, 0x10, 0x09, 0x3a, 0x00 };
	struct wire_batch head;
	struct trace back;

	trace_init(&back);
	ck_assert_int_eq(wire_batch_decode(empty, sizeof(empty), &head, &back, NULL), 0);
	ck_assert_uint_eq(back.n_events, 0);
	trace_fini(&back);
}
END_TEST

/* An event that names a row which was never sent is refused. */
START_TEST(batch_unknown_row)
{
	struct trace part, back;
	struct wire_batch head;
	struct error e = { "" };
	unsigned char *bytes;
	size_t size;

	trace_init(&part);
	trace_init(&back);
	tables_fill(&part);
	events_fill(&part, 1, 3);
	part.events[0].end = 3;
	encode(&part, false, &bytes, &size);
	ck_assert_int_eq(wire_batch_decode(bytes, size, &head, &back, &e), -EBADMSG);
	ck_assert(strstr(e.text, "batch 9"));
	free(bytes);
	trace_fini(&part);
	trace_fini(&back);
}
END_TEST

static struct message round_trip(const struct message *message, enum message_side side, unsigned char **ret_bytes)
{
	struct message back;
	struct error e = { "" };
	size_t size;

	ck_assert_int_eq(message_encode(message, ret_bytes, &size), 0);
	ck_assert_msg(!message_decode(*ret_bytes, size, side, &back, &e), "%s", e.text);
	ck_assert_int_eq(back.kind, message->kind);
	ck_assert_int_eq(message_decode(*ret_bytes, size - 1, side, &(struct message){ 0 }, &e), -EBADMSG);
	return back;
}

/* Orders arrive with every argument; a truncated frame is refused. */
START_TEST(message_orders)
{
	char *argv[] = { "redis-server", "--port", "6379", NULL }, *env[] = { "A=b", NULL };
	char *boxes[] = { "s1", "s2", NULL };
	struct trace_box peers[] = { { "s3", "10.0.0.3", "fd::3" }, { "c", "10.0.0.4", "" } };
	struct message m = { .kind = MESSAGE_ORDER }, back;
	size_t size;
	unsigned char *bytes;

	m.order = (struct message_order){ .id = 5, .kind = ORDER_START };
	m.order.start = (struct message_start){ "r1", "s1", "", "/tmp/x", argv, env, 6379, false, true };
	back = round_trip(&m, MESSAGE_TO_AGENT, &bytes);
	ck_assert_str_eq(back.order.start.argv[2], "6379");
	ck_assert(!back.order.start.argv[3] && !back.order.start.environment[1]);
	ck_assert(back.order.start.quiet && !back.order.start.untraced && back.order.start.ready_port == 6379);
	message_fini(&back);
	free(bytes);
	m.order = (struct message_order){ .id = 6, .kind = ORDER_BEGIN };
	m.order.begin.run = 12;
	m.order.begin.boxes = boxes;
	m.order.begin.peers = peers;
	m.order.begin.n_peers = 2;
	m.order.begin.deferred = true;
	m.number = 77;
	m.heard = UINT64_MAX;
	back = round_trip(&m, MESSAGE_TO_AGENT, &bytes);
	ck_assert_str_eq(back.order.begin.boxes[1], "s2");
	ck_assert_uint_eq(back.order.begin.n_peers, 2);
	ck_assert_str_eq(back.order.begin.peers[1].name, "c");
	ck_assert_str_eq(back.order.begin.peers[0].address6, "fd::3");
	ck_assert(!back.order.begin.boxes[2] && back.order.begin.deferred);
	ck_assert(back.number == 77 && back.heard == UINT64_MAX);
	message_fini(&back);
	free(bytes);
	m.order = (struct message_order){ .id = 7, .kind = ORDER_ATTACH };
	m.order.attach = (struct message_attach){ "r1", "s1", 77, "/x.slice", "/bin/r", UINT16_MAX, "redis" };
	back = round_trip(&m, MESSAGE_TO_AGENT, &bytes);
	ck_assert(back.order.attach.pid == 77 && back.order.attach.port == UINT16_MAX);
	ck_assert_str_eq(back.order.attach.name, "r1");
	ck_assert_str_eq(back.order.attach.box, "s1");
	ck_assert_str_eq(back.order.attach.cgroup, "/x.slice");
	ck_assert_str_eq(back.order.attach.executable, "/bin/r");
	ck_assert_str_eq(back.order.attach.container, "redis");
	message_fini(&back);
	free(bytes);
	m.order.attach.port++; /* no port has that number */
	ck_assert_int_eq(message_encode(&m, &bytes, &size), 0);
	ck_assert_int_eq(message_decode(bytes, size, MESSAGE_TO_AGENT, &back, NULL), -EBADMSG);
	free(bytes);
}
END_TEST

/* A fault travels as its line, and is one again where it arrives; one that nobody can read damages the whole order. */
START_TEST(message_faults)
{
	struct fault faults[2] = { { .id = 1, .text = "cut a>b:1#1/1", .flags = FAULT_F_DRY },
				   { .id = 7, .text = "loss 5% a | b seed 3", .flags = FAULT_F_RACY, .seed = 99 } };
	struct message m = { .kind = MESSAGE_ORDER, .order = { .id = 5, .kind = ORDER_ARM } }, back;
	unsigned char *bytes;
	size_t size;

	m.order.arm.faults = faults;
	m.order.arm.n = 2;
	m.order.arm.armed_ns = 1234;
	back = round_trip(&m, MESSAGE_TO_AGENT, &bytes);
	ck_assert_uint_eq(back.order.arm.n, 2);
	ck_assert_uint_eq(back.order.arm.armed_ns, 1234);
	ck_assert(back.order.arm.faults[0].kind == FAULT_CUT && back.order.arm.faults[0].flags == FAULT_F_DRY);
	ck_assert_str_eq(back.order.arm.faults[0].at.connection.box, "b");
	ck_assert(back.order.arm.faults[1].id == 7 && back.order.arm.faults[1].seed == 99);
	ck_assert(back.order.arm.faults[1].flags == FAULT_F_RACY && back.order.arm.faults[1].ppm == 50000);
	ck_assert_str_eq(back.order.arm.faults[1].text, faults[1].text);
	message_fini(&back);
	free(bytes);
	faults[1].text = "loss 5 a | b";
	ck_assert_int_eq(message_encode(&m, &bytes, &size), 0);
	ck_assert_int_eq(message_decode(bytes, size, MESSAGE_TO_AGENT, &back, NULL), -EBADMSG);
	free(bytes);
	m.order = (struct message_order){ .id = 6, .kind = ORDER_LIFT, .lift = 3 };
	back = round_trip(&m, MESSAGE_TO_AGENT, &bytes);
	ck_assert_uint_eq(back.order.lift, 3);
	message_fini(&back);
	free(bytes);
}
END_TEST

START_TEST(message_receipts)
{
	struct fault_receipt rows[] = { receipt_make(1, FAULT_STATE_FIRED, "late"), receipt_make(2, FAULT_STATE_COUNT, "") };
	struct message m = { .kind = MESSAGE_RECEIPTS, .receipts = { rows, 1 } }, back;
	unsigned char *bytes;
	size_t size;

	back = round_trip(&m, MESSAGE_TO_COLLECTOR, &bytes);
	ck_assert(back.receipts.n == 1 && back.receipts.rows[0].lateness_ns == UINT64_MAX);
	ck_assert_str_eq(back.receipts.rows[0].why, "late");
	message_fini(&back);
	free(bytes);
	m.receipts.n = 2; /* a state that is none */
	ck_assert_int_eq(message_encode(&m, &bytes, &size), 0);
	ck_assert_int_eq(message_decode(bytes, size, MESSAGE_TO_COLLECTOR, &back, NULL), -EBADMSG);
	free(bytes);
	m = (struct message){ .kind = MESSAGE_EXITED, .exited = { .name = "s1", .status = 9, .fault = 4, .restarts = true } };
	back = round_trip(&m, MESSAGE_TO_COLLECTOR, &bytes);
	ck_assert(back.exited.fault == 4 && back.exited.restarts);
	message_fini(&back);
	free(bytes);
	fault_receipt_fini(&rows[0]);
	fault_receipt_fini(&rows[1]);
}
END_TEST

/* What an agent says arrives; a batch arrives as the very bytes that were encoded. */
START_TEST(message_from_agent)
{
	struct trace_box boxes[] = { { "s1", "10.83.0.1", "fd83::1" } };
	struct message m = { .kind = MESSAGE_REPLY }, back;
	const int32_t no_errors[] = { INT32_MIN, INT32_MAX, 1, -5000 };
	unsigned char *bytes, batch[300];

	m.reply = (struct message_reply){ 3, -2, "no such box", boxes, 1, 77 };
	back = round_trip(&m, MESSAGE_TO_COLLECTOR, &bytes);
	ck_assert(back.reply.code == -2 && back.reply.pid == 77 && back.reply.n_boxes == 1);
	ck_assert_str_eq(back.reply.boxes[0].address6, "fd83::1");
	message_fini(&back);
	free(bytes);
	for (size_t i = 0; i < sizeof(no_errors) / sizeof(*no_errors); i++) {
		m.reply.code = no_errors[i];
		back = round_trip(&m, MESSAGE_TO_COLLECTOR, &bytes);
		ck_assert_int_eq(back.reply.code, -EIO);
		message_fini(&back);
		free(bytes);
	}
	m = (struct message){ .kind = MESSAGE_HELLO };
	m.hello = (struct message_hello){ .protocol = 1, .host = "h\033[2J", .kernel = "\xff", .boxes = boxes, .n_boxes = 1 };
	boxes[0].name = "s1\n";
	back = round_trip(&m, MESSAGE_TO_COLLECTOR, &bytes);
	ck_assert_uint_eq(back.hello.n_boxes, 1);
	ck_assert_str_eq(back.hello.host, "h?[2J"); /* it will be printed */
	ck_assert_str_eq(back.hello.kernel, "?");
	ck_assert_str_eq(back.hello.boxes[0].name, "s1?");
	ck_assert_str_eq(back.hello.boxes[0].address, "10.83.0.1");
	message_fini(&back);
	free(bytes);
	memset(batch, 0x5a, sizeof(batch));
	m = (struct message){ .kind = MESSAGE_BATCH };
	m.batch.bytes = batch;
	m.batch.size = sizeof(batch);
	back = round_trip(&m, MESSAGE_TO_COLLECTOR, &bytes);
	ck_assert_uint_eq(back.batch.size, sizeof(batch));
	ck_assert(!memcmp(back.batch.bytes, batch, sizeof(batch)));
	free(bytes);
	m = (struct message){ .kind = MESSAGE_EXITED };
	m.exited.name = "check";
	m.exited.output = "no quorum\n";
	m.exited.size = 10;
	m.exited.status = 256;
	back = round_trip(&m, MESSAGE_TO_COLLECTOR, &bytes);
	ck_assert_str_eq(back.exited.output, "no quorum\n");
	message_fini(&back);
	free(bytes);
}
END_TEST

/* A message for the other side, an empty frame and noise are refused. */
START_TEST(message_refused)
{
	struct message m = { .kind = MESSAGE_ACK }, back;
	unsigned char *bytes, noise[64];
	uint64_t seed = 1;
	size_t size;

	m.ack.run = 1;
	m.ack.number = 2;
	ck_assert_int_eq(message_encode(&m, &bytes, &size), 0);
	ck_assert_int_eq(message_decode(bytes, size, MESSAGE_TO_AGENT, &back, NULL), 0);
	ck_assert_int_eq(message_decode(bytes, size, MESSAGE_TO_COLLECTOR, &back, NULL), -EBADMSG);
	ck_assert_int_eq(message_decode(bytes, 0, MESSAGE_TO_AGENT, &back, NULL), -EBADMSG);
	free(bytes);
	for (int i = 0; i < 20000; i++) {
		for (size_t k = 0; k < sizeof(noise); k++)
			noise[k] = (unsigned char)random_next(&seed);
		for (int side = 0; side < 2; side++)
			if (!message_decode(noise, random_next(&seed) % sizeof(noise), side, &back, NULL))
				message_fini(&back);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("wire");
	TCase *tc = tcase_create("wire");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_set_timeout(tc, 120);
	tcase_add_loop_test(tc, batch_round_trip, 0, 5);
	tcase_add_test(tc, batch_is_small);
	tcase_add_test(tc, batch_damaged);
	tcase_add_test(tc, batch_events_anywhere);
	tcase_add_test(tc, batch_unknown_row);
	tcase_add_test(tc, batch_head_is_one);
	tcase_add_test(tc, batch_without_events);
	tcase_add_test(tc, message_orders);
	tcase_add_test(tc, message_faults);
	tcase_add_test(tc, message_receipts);
	tcase_add_test(tc, message_from_agent);
	tcase_add_test(tc, message_refused);
	suite_add_tcase(suite, tc);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
