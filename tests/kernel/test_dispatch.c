/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Batches on their way out while memory runs short: no number is used up without its batch. Needs no root. */
#include "tests/kernel/collector.h"

#include "tests/heap.h"
#include "tests/scratch.h"
#include "tfj/dispatch.h"

#ifndef SANITIZED
static struct link *line;
static struct stream stream;
static struct spool_room room = { .memory = 64 << 20 };
static struct message_hello hello = { .protocol = WIRE_PROTOCOL, .version = BOP_VERSION, .host = "here" };

static void open_all(void)
{
	struct error e = { "" };

	scratch_name(inbox_base, sizeof(inbox_base), "test-bop-inbox.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(inbox_base));
	snprintf(bop.url, sizeof(bop.url), "ipc://%s/socket", inbox_base);
	bop.context = zmq_ctx_new();
	memset(bop.session, 1, sizeof(bop.session));
	bop.acknowledge = true;
	trace_init(&bop.trace);
	stream_init(&stream, RUN);
	ck_assert_msg(link_open(bop.url, NULL, &hello, &room, &line, &e) == 0, "%s", e.text);
}

static void close_all(void)
{
	link_close(line, 0);
	stream_fini(&stream);
	zmq_close(bop.socket);
	zmq_ctx_term(bop.context);
	trace_fini(&bop.trace);
	courier_fini(&bop.courier);
	ck_assert_int_eq(claim_remove_tree(inbox_base), 0);
}

static void add_event(void)
{
	struct event *event = stream_event(&stream);

	ck_assert_ptr_nonnull(event);
	event->kind = EVENT_MARK;
	event->value = (int64_t)stream.events;
}

/* One turn of both sides. */
static void turn(void)
{
	zmq_pollitem_t items[] = {
		{ .socket = link_socket(line), .events = ZMQ_POLLIN },
		{ .socket = link_monitor(line), .events = ZMQ_POLLIN },
		{ .socket = bop.socket, .events = ZMQ_POLLIN },
	};
	struct message message;

	ck_assert_int_ge(zmq_poll(items, 3, 20), 0); /* the agent, too, tries again every so often */
	link_on_monitor(line);
	while (link_receive(line, &message, NULL) > 0)
		message_fini(&message);
	if (items[2].revents)
		ck_assert(!receive(&message));
}

static int dispatch_failing(long fail_at, bool last)
{
	int err;

	heap_arm(fail_at);
	err = dispatch(&stream, line, last, 0, 0);
	heap_disarm();
	return err;
}

/* Whichever allocation fails: the batch is kept, or the stream is as it was and the next try makes it. */
START_TEST(no_memory)
{
	uint64_t batches = 0;
	size_t failures = 0;
	int err;

	open_all();
	for (long fail_at = 1;; fail_at++) {
		add_event();
		err = dispatch_failing(fail_at, false);
		ck_assert(!err || err == -ENOMEM);
		batches += !err;
		failures += err != 0;
		ck_assert_uint_eq(stream.batches, batches);
		ck_assert_uint_eq(link_unacked(line), batches);
		if (heap.seen < fail_at)
			break;
	}
	ck_assert_uint_gt(failures, 4);
	ck_assert_int_eq(dispatch(&stream, line, true, 0, 0), 0);
	socket_open();
	while (!bop.head.last || link_unacked(line))
		turn(); /* take_batch() wants one number after the other */
	ck_assert_uint_eq(bop.batches, batches + 1);
	ck_assert_uint_eq(bop.trace.n_events, stream.events);
	for (size_t i = 0; i < bop.trace.n_events; i++)
		ck_assert_int_eq(bop.trace.events[i].value, (int64_t)i + 1);
	close_all();
}
END_TEST

/* A batch that could not be put into a message leaves in the next turn, though nothing comes that would call for it. */
START_TEST(no_memory_to_send)
{
	long allocations;

	open_all();
	add_event();
	ck_assert_int_eq(dispatch_failing(0, false), 0);
	allocations = heap.seen;
	socket_open();
	while (!link_welcome(line) || link_unacked(line))
		turn();
	add_event();
	ck_assert_int_eq(dispatch_failing(allocations + 1, true), 0);
	ck_assert_uint_eq(link_unsent(line), 1);
	link_on_monitor(line);
	ck_assert_uint_eq(link_unsent(line), 0);
	while (!bop.head.last)
		turn();
	close_all();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("dispatch");
	TCase *tc = tcase_create("dispatch");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, no_memory);
	tcase_add_test(tc, no_memory_to_send);
	suite_add_tcase(suite, tc);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? 1 : 0;
}
#else
int main(void)
{
	puts("ok 1 - dispatch # SKIP a sanitizer has an allocator of its own, which does not fail when it is told to");
	return 0;
}
#endif
