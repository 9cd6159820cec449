/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Records to events, with records made by hand: processes and their labels, ids that are used again, damage. Needs no root. */
#include "tests/kernel/named.h"

/* Children are numbered below their parent, at any depth; a name used again gets a prime and the number. */
START_TEST(process_labels)
{
	uint32_t root = names_root(names, "s1", 1, 100, "server --port 1"), again;

	fork_process(100, 101, 1);
	ck_assert_str_eq(process_name(last()->process), "s1.1"); /* START of the child */
	ck_assert_int_eq(last()->kind, EVENT_START);
	fork_process(101, 102, 2);
	ck_assert_str_eq(process_name(last()->process), "s1.1.2");
	ck_assert_uint_eq(stream.part.processes[last()->process].parent, last()->process - 1);
	again = names_root(names, "s1", 1, 200, "server");
	ck_assert_str_eq(process_name(again), "s1'2");
	fork_process(200, 201, 1);
	ck_assert_str_eq(process_name(last()->process), "s1'2.1");
	ck_assert_str_eq(process_name(names_root(names, "s1", 1, 300, "")), "s1'3");
	ck_assert_str_eq(process_name(root), "s1");
	ck_assert_str_eq(process_name(names_root(names, "s1.1", 1, 400, "")), "s1.1'2"); /* taken by a child */
}
END_TEST

/* A SPAWN names its child; a thread is no process; its events carry the thread's number, the main thread's 0. */
START_TEST(threads)
{
	struct rec_fork clone = { .head = HEAD(FORK, 1, 100, 100, .flags = REC_F_GROUP), .child_tgid = 100,
				  .child_tid = 105, .ordinal = 1 };
	struct rec_exit exit = { .head = HEAD(EXIT, 1, 100, 105), .status = 0 };
	uint32_t root = names_root(names, "s1", 1, 100, "");

	TAKE(clone);
	ck_assert_int_eq(last()->kind, EVENT_SPAWN);
	ck_assert_uint_eq(last()->flags, EVENT_F_THREAD);
	ck_assert_uint_eq(last()->peer, 0);
	ck_assert_int_eq(last()->value, 1);
	send_record(1, 100, 105, 1);
	ck_assert_uint_eq(last()->process, root);
	ck_assert_uint_eq(last()->thread, 1);
	send_record(1, 100, 100, 1);
	ck_assert_uint_eq(last()->thread, 0);
	TAKE(exit);
	ck_assert_uint_eq(last()->flags, EVENT_F_THREAD);
	ck_assert_uint_eq(last()->thread, 1);
	/* the kernel gives the number to a thread of another process */
	names_root(names, "s2", 2, 200, "");
	clone.head.tgid = clone.head.tid = clone.child_tgid = 200;
	clone.ordinal = 4;
	TAKE(clone);
	send_record(2, 200, 105, 2);
	ck_assert_uint_eq(last()->thread, 4);
}
END_TEST

/* What the kernel's own threads do for io_uring is done by the thread that has made them; they are no events. */
START_TEST(threads_of_io_uring)
{
	struct rec_fork clone = { .head = HEAD(FORK, 1, 100, 100, .flags = REC_F_GROUP), .child_tgid = 100,
				  .child_tid = 105, .ordinal = 1 };
	struct rec_exit exit = { .head = HEAD(EXIT, 1, 100, 106), .status = 0 };
	size_t n;

	names_root(names, "s1", 1, 100, "");
	TAKE(clone);
	n = stream.part.n_events;
	clone.head.tid = 105; /* a worker for thread 1, a worker that the worker makes */
	clone.child_tid = 106;
	clone.ordinal = 0;
	TAKE(clone);
	clone.head.tid = 106;
	clone.child_tid = 107;
	TAKE(clone);
	ck_assert_uint_eq(stream.part.n_events, n);
	send_record(1, 100, 106, 1);
	ck_assert_uint_eq(last()->thread, 1);
	send_record(1, 100, 107, 1);
	ck_assert_uint_eq(last()->thread, 1);
	TAKE(exit);
	ck_assert_uint_eq(stream.part.n_events, n + 2);
	exit.head.flags = REC_F_GROUP; /* but it may be the last of its process */
	TAKE(exit);
	ck_assert_int_eq(last()->kind, EVENT_EXIT);
	clone.head.tid = 100; /* a number that is used again */
	clone.child_tid = 106;
	clone.ordinal = 2;
	TAKE(clone);
	send_record(1, 100, 106, 1);
	ck_assert_uint_eq(last()->thread, 2);
}
END_TEST

/* After its exit a process still owns what it closes; when its id is given away again, the new one does. */
START_TEST(ids_used_again)
{
	struct rec_exit exit = { .head = HEAD(EXIT, 1, 101, 101, .flags = REC_F_GROUP), .status = 9 };
	struct rec_close close = { .head = HEAD(CLOSE, 1, 101, 101, .flags = REC_F_EXITING), .cookie = 5, .sent = 30,
				   .unacked = 2 };
	uint32_t first;

	names_root(names, "s1", 1, 100, "");
	fork_process(100, 101, 1);
	first = last()->process;
	TAKE(exit);
	ck_assert_int_eq(last()->kind, EVENT_EXIT);
	ck_assert_int_eq(last()->value, 9);
	ck_assert_uint_eq(last()->flags, 0);
	TAKE(close);
	ck_assert_uint_eq(last()->process, first);
	ck_assert_uint_eq(last()->flags, EVENT_F_EXITING);
	ck_assert_uint_eq(last()->pos, 30);
	ck_assert_int_eq(last()->value, 2);
	fork_process(100, 101, 2);
	send_record(1, 101, 101, 6);
	ck_assert_str_eq(process_name(last()->process), "s1.2");
	ck_assert_uint_ne(last()->process, first);
}
END_TEST

/* Whoever turns up unannounced gets a label of its box; a later announcement gives it its true one. */
START_TEST(strangers)
{
	struct rec_exec appear = { .head = HEAD(APPEAR, 2, 900, 900), .comm = "redis'server>1" };

	names_root(names, "s1", 1, 100, "");
	TAKE(appear);
	ck_assert_str_eq(process_name(last()->process), "s2?redis_server_1");
	appear.head.tgid = 901;
	TAKE(appear);
	ck_assert_str_eq(process_name(last()->process), "s2?redis_server_1'2");
	send_record(1, 950, 950, 1);
	ck_assert_str_eq(process_name(last()->process), "s1?unknown");
	fork_process(100, 950, 3);
	ck_assert_str_eq(process_name(last()->process), "s1.3");
	ck_assert_uint_eq(stream.part.n_processes, 4);
}
END_TEST

/* The command line of the order stays through the first exec; a later one, or a child's, shows its path. */
START_TEST(commands)
{
	struct rec_exec exec = { .head = HEAD(EXEC, 1, 100, 100), .name = "/bin/server" };
	struct rec_wait wait = { .head = HEAD(WAIT, 1, 100, 100), .child_tgid = 101 };
	uint32_t root = names_root(names, "s1", 1, 100, "server --port 1"), child;

	names_start(names, root, 5);
	ck_assert_str_eq(stream.part.texts[last()->text], "server --port 1");
	TAKE(exec);
	ck_assert_str_eq(stream.part.texts[last()->text], "/bin/server");
	ck_assert_str_eq(stream.part.processes[root].command, "server --port 1");
	fork_process(100, 101, 1);
	child = last()->process;
	ck_assert_str_eq(stream.part.processes[child].command, "server --port 1");
	exec.head.tgid = exec.head.tid = 101;
	memset(exec.name, 'x', sizeof(exec.name)); /* not terminated */
	TAKE(exec);
	ck_assert_uint_eq(strlen(stream.part.processes[child].command), REC_NAME_MAX);
	TAKE(wait);
	ck_assert_uint_eq(last()->peer, child);
	exec.head.tgid = exec.head.tid = 100;
	strcpy(exec.name, "/bin/other");
	TAKE(exec);
	ck_assert_str_eq(stream.part.processes[root].command, "/bin/other");
}
END_TEST

/* A batch is due before the command lines of new processes make it larger than the collector takes. */
START_TEST(long_commands)
{
	struct rec_fork fork = { .head = HEAD(FORK, 1, 100, 100, .order = 1), .child_tgid = 1000 };
	unsigned char *bytes;
	char command[4001];
	size_t size;

	memset(command, 'x', sizeof(command) - 1);
	command[sizeof(command) - 1] = '\0';
	names_root(names, "s1", 1, 100, command);
	for (; !stream_due(&stream); fork.child_tgid++) {
		fork.child_tid = fork.child_tgid;
		fork.ordinal++;
		TAKE(fork);
	}
	ck_assert_int_eq(stream_cut(&stream, false, 0, 0, &bytes, &size), 0);
	ck_assert_uint_lt(size, WIRE_MAX_BATCH / 2);
	ck_assert(!stream_due(&stream));
	free(bytes);
}
END_TEST

/* Records that are too short, of no kind, or of no box of this run are left out. */
START_TEST(damaged)
{
	struct rec_transfer send = { .head = HEAD(SEND, 1, 100, 100), .cookie = 1 };
	size_t before;

	names_root(names, "s1", 1, 100, "");
	before = stream.part.n_events;
	for (size_t size = 0; size < sizeof(send); size++)
		names_record(names, &send.head, size);
	send.head.kind = REC_KIND_COUNT;
	TAKE(send);
	send.head.kind = REC_NONE;
	TAKE(send);
	send.head.kind = REC_SEND;
	for (int box = -1; box <= 3; box++) {
		send.head.box = BASE + box;
		if (box != 1 && box != 2)
			TAKE(send);
	}
	ck_assert_uint_eq(stream.part.n_events, before);
}
END_TEST

/* Any sequence of well-formed records, however senseless, gives a batch that the other side takes. */
START_TEST(senseless)
{
	static const size_t sizes[REC_KIND_COUNT] = {
#define X(name, type, text) [REC_##name] = sizeof(struct type),
		RECORD_KINDS(X)
#undef X
	};
	union {
		struct rec_head head;
		struct rec_exec largest;
		unsigned char bytes[512];
	} record;

	srand(_i + 1);
	for (int i = 0; i < 2000; i++) {
		for (size_t k = 0; k < sizeof(record.bytes); k++)
			record.bytes[k] = rand() % 4 ? rand() % 4 : rand();
		record.head.kind = 1 + rand() % (REC_KIND_COUNT - 1);
		record.head.box = BASE + rand() % 4;
		record.head.tgid = rand() % 8;
		record.head.tid = record.head.tgid + rand() % 3;
		names_record(names, &record.head, sizes[record.head.kind]);
	}
}
END_TEST

/* A batch holds the events since the one before, and only the rows that changed. */
START_TEST(batches)
{
	struct wire_batch head;
	struct error e = { "" };
	unsigned char *bytes[2];
	struct trace trace;
	size_t size[2];

	names_root(names, "s1", 1, 100, "");
	open_end(1, 100, 10, "10.83.0.2", 7000, 1);
	send_record(1, 100, 100, 10);
	ck_assert_int_eq(stream_cut(&stream, false, 0, 0, &bytes[0], &size[0]), 0);
	ck_assert(stream_empty(&stream));
	send_record(1, 100, 100, 10);
	names_note(names, EVENT_LOST, 5, "ring buffer full", 1);
	stream_output(&stream, 1, 2, 100, "said", 4);
	ck_assert_int_eq(stream_cut(&stream, false, 0, 0, &bytes[1], &size[1]), 0);
	trace_init(&trace);
	for (int i = 0; i < 2; i++) {
		ck_assert_msg(wire_batch_decode(bytes[i], size[i], &head, &trace, &e) == 0, "%s", e.text);
		ck_assert_uint_eq(head.number, i + 1);
		ck_assert_uint_eq(head.run, 7);
		ck_assert_uint_eq(trace.n_events, i ? 3 : 1);
		free(bytes[i]);
	}
	ck_assert_str_eq(trace.ends[1].target, "s2:7000");
	ck_assert_str_eq(trace.texts[trace.events[2].text], "ring buffer full");
	ck_assert_uint_eq(trace.n_outputs, 1);
	ck_assert_uint_eq(trace.outputs[0].offset, 100);
	trace_fini(&trace);
	/* what is left for the teardown has to make sense alone: all rows again */
	for (uint32_t i = 1; i <= 2; i++)
		stream_box(&stream, i);
	stream_process(&stream, 1);
	stream_end(&stream, 1);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("name");
	TCase *tc = tcase_create("name");
	SRunner *runner;
	int failed;

	tcase_set_timeout(tc, 120);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, process_labels);
	tcase_add_test(tc, threads);
	tcase_add_test(tc, threads_of_io_uring);
	tcase_add_test(tc, ids_used_again);
	tcase_add_test(tc, strangers);
	tcase_add_test(tc, commands);
	tcase_add_test(tc, long_commands);
	tcase_add_test(tc, damaged);
	tcase_add_loop_test(tc, senseless, 0, 20);
	tcase_add_test(tc, batches);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
