/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Records to events, with records made by hand: labels, ends, ids that are used again, damage. Needs no root. */
#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/wire.h"
#include "tfj/name.h"

enum { BASE = 400 };

static struct box box_rows[2] = {
	{ .name = "s1", .index = 1, .address = "10.83.0.1", .address6 = "fd83::1" },
	{ .name = "s2", .index = 2, .address = "10.83.0.2", .address6 = "fd83::2" },
};
static struct boxes boxes = { .box = box_rows, .n = 2, .n_known = 2 };
static struct stream stream;
static struct names *names;
static uint32_t listened_root;
static unsigned listened_port, listened;

static void on_listen(void *arg, uint32_t root, uint16_t port)
{
	listened_root = root;
	listened_port = port;
	listened++;
}

static void address(const char *text, uint16_t port, struct rec_addr *ret)
{
	*ret = (struct rec_addr){ .port = port };
	if (inet_pton(AF_INET6, text, ret->ip) == 1)
		return;
	ret->ip[10] = ret->ip[11] = 0xff;
	ck_assert_int_eq(inet_pton(AF_INET, text, ret->ip + 12), 1);
}

static void setup(void)
{
	struct rec_addr ip;

	for (int i = 0; i < 2; i++) {
		address(box_rows[i].address, 0, &ip);
		memcpy(box_rows[i].ip4, ip.ip, 16);
		address(box_rows[i].address6, 0, &ip);
		memcpy(box_rows[i].ip6, ip.ip, 16);
	}
	stream_init(&stream, 7);
	names = names_new(&stream, &boxes, BASE, on_listen, NULL);
	ck_assert_ptr_nonnull(names);
	listened = 0;
}

/* Whatever a test did, it can be encoded and read again: dense rows, no index out of range. */
static void teardown(void)
{
	struct wire_batch head;
	struct error e = { "" };
	unsigned char *bytes;
	struct trace trace;
	size_t size;

	ck_assert_int_eq(stream_cut(&stream, true, 0, 0, &bytes, &size), 0);
	trace_init(&trace);
	ck_assert_msg(wire_batch_decode(bytes, size, &head, &trace, &e) == 0, "%s", e.text);
	trace_fini(&trace);
	free(bytes);
	names_free(names);
	stream_fini(&stream);
}

#define HEAD(KIND, box_index, pid, thread, ...)                                                    \
	{ .kind = REC_##KIND, .box = BASE + (box_index), .tgid = (pid), .tid = (thread), __VA_ARGS__ }
#define TAKE(record) names_record(names, &(record).head, sizeof(record))

static const struct event *last(void)
{
	ck_assert_uint_gt(stream.part.n_events, 0);
	return &stream.part.events[stream.part.n_events - 1];
}

static const char *process_name(uint32_t index)
{
	ck_assert_uint_ge(index, 1);
	ck_assert_uint_le(index, stream.part.n_processes);
	return stream.part.processes[index].name;
}

static void fork_process(uint32_t parent, uint32_t child, uint32_t ordinal)
{
	struct rec_fork fork = { .head = HEAD(FORK, 1, parent, parent, .order = 1), .child_tgid = child,
				 .child_tid = child, .ordinal = ordinal };

	TAKE(fork);
}

static void send_record(uint32_t box, uint32_t tgid, uint32_t tid, uint64_t cookie)
{
	struct rec_transfer send = { .head = HEAD(SEND, box, tgid, tid, .order = 5), .cookie = cookie, .pos = 10,
				     .result = 20, .message = 3 };

	TAKE(send);
}

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

/* A connection that is older than the tracer is called by its process and address; who connected may not be known. */
START_TEST(older_connections)
{
	struct rec_established end = { .head = HEAD(ESTABLISHED, 1, 100, 100, .order = 3, .flags = REC_F_OLDER),
				       .cookie = 7, .first_local = 5, .first_remote = 6 };
	struct rec_accept accept = { .head = HEAD(ACCEPT, 1, 100, 100, .order = 4, .flags = REC_F_INFERRED), .cookie = 9 };
	const struct trace_end *row;

	names_root(names, "s1", 1, 100, "");
	address("10.83.0.1", 40000, &end.local);
	address("10.83.0.2", 7000, &end.remote);
	TAKE(end);
	row = stream_end_at(&stream, stream.n_ends);
	ck_assert(row->older && row->keyed && row->role == END_CONNECTOR && row->ordinal == 0);
	ck_assert_str_eq(process_name(row->process), "s1");
	ck_assert_str_eq(row->target, "s2:7000");
	end.cookie++;
	end.head.flags = REC_F_OLDER | REC_F_ACCEPTOR;
	TAKE(end);
	row = stream_end_at(&stream, stream.n_ends);
	ck_assert(row->older && row->keyed && row->role == END_ACCEPTOR && row->process == 0);
	end.cookie++;
	end.head.flags = REC_F_OLDER | REC_F_ACCEPTOR | REC_F_UNKNOWN;
	TAKE(end);
	row = stream_end_at(&stream, stream.n_ends);
	ck_assert(row->older && !row->keyed && row->role == END_UNKNOWN);
	TAKE(accept);
	ck_assert_uint_eq(last()->flags, EVENT_F_INFERRED);
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

static uint32_t open_end(uint32_t box, uint32_t tgid, uint64_t cookie, const char *to, uint16_t port, uint32_t ordinal)
{
	struct rec_open open = { .head = HEAD(OPEN, box, tgid, tgid), .cookie = cookie, .ordinal = ordinal };

	address(to, port, &open.remote);
	TAKE(open);
	return stream.n_ends;
}

/* The target is spelled with the name of the box, whichever address was used; loopback is the own box. */
START_TEST(targets)
{
	static const struct {
		const char *to, *target;
	} cases[] = {
		{ "10.83.0.2", "s2:7000" }, { "fd83::2", "s2:7000" },	  { "127.0.0.1", "s1:7000" },
		{ "::1", "s1:7000" },	    { "127.8.8.8", "s1:7000" },	  { "0.0.0.0", "s1:7000" },
		{ "::", "s1:7000" },	    { "10.83.0.3", "10.83.0.3:7000" }, { "192.0.2.1", "192.0.2.1:7000" },
		{ "2001:db8::2", "[2001:db8::2]:7000" },
	};

	names_root(names, "c", 1, 100, "");
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		uint32_t end = open_end(1, 100, 50 + i, cases[i].to, 7000, i + 1);

		ck_assert_str_eq(stream_end_at(&stream, end)->target, cases[i].target);
		ck_assert_uint_eq(stream_end_at(&stream, end)->ordinal, i + 1);
		ck_assert_int_eq(stream_end_at(&stream, end)->role, END_CONNECTOR);
		ck_assert_uint_eq(stream_end_at(&stream, end)->process, 1);
	}
}
END_TEST

/* One connection from its SYN to the kernel's forgetting: both rows are filled, events find them by their cookies. */
START_TEST(connection)
{
	struct rec_established up = { .head = HEAD(ESTABLISHED, 1, 0, 0, .return_ns = 77), .cookie = 10,
				      .first_local = 1000, .first_remote = 2000 };
	struct rec_connect connect = { .head = HEAD(CONNECT, 1, 100, 100), .cookie = 10, .ordinal = 1 };
	struct rec_accept accept = { .head = HEAD(ACCEPT, 2, 200, 200), .cookie = 20, .result = 6 };
	struct rec_close destroy = { .head = HEAD(DESTROY, 1, 0, 0), .cookie = 10, .sent = 1, .received = 2,
				     .unacked = 3, .unread = 4 };
	const struct trace_end *row;
	uint32_t client, server;

	names_root(names, "c", 1, 100, "");
	names_root(names, "s", 2, 200, "");
	client = open_end(1, 100, 10, "10.83.0.2", 7000, 1);
	address("10.83.0.1", 40000, &up.local);
	address("10.83.0.2", 7000, &up.remote);
	TAKE(up);
	TAKE(connect);
	ck_assert_uint_eq(last()->end, client);
	ck_assert_int_eq(last()->value, 0);
	row = stream_end_at(&stream, client);
	ck_assert(row->keyed && row->first_local == 1000 && row->first_remote == 2000 && row->established_ns == 77);
	ck_assert_uint_eq(row->local.port, 40000);
	up.head.box = BASE + 2;
	up.head.flags = REC_F_ACCEPTOR;
	up.cookie = 20;
	TAKE(up);
	TAKE(accept);
	server = last()->end;
	ck_assert_uint_ne(server, client);
	ck_assert_int_eq(last()->value, 0);
	ck_assert_int_eq(stream_end_at(&stream, server)->role, END_ACCEPTOR);
	ck_assert_ptr_null(stream_end_at(&stream, server)->target);
	send_record(1, 100, 100, 10);
	ck_assert_uint_eq(last()->end, client);
	ck_assert_uint_eq(last()->message, 3);
	ck_assert_uint_eq(last()->pos, 10);
	ck_assert_int_eq(last()->value, 20);
	ck_assert_uint_eq(names_open_ends(names), 2);
	TAKE(destroy);
	row = stream_end_at(&stream, client);
	ck_assert(row->finished && row->sent == 1 && row->received == 2 && row->unacked == 3 && row->unread == 4);
	ck_assert_uint_eq(names_open_ends(names), 1);
}
END_TEST

/* Attempts that fail have a row each, though the socket, or no socket at all, is the same; their errors are kept. */
START_TEST(failed_attempts)
{
	struct rec_failed failed = { .head = HEAD(FAILED, 1, 0, 0), .cookie = 10, .error = -ECONNREFUSED };
	struct rec_connect connect = { .head = HEAD(CONNECT, 1, 100, 100), .cookie = 10, .ordinal = 2,
				       .result = -EINPROGRESS };
	uint32_t first, second;

	names_root(names, "c", 1, 100, "");
	first = open_end(1, 100, 10, "10.83.0.2", 7000, 1);
	TAKE(failed);
	second = open_end(1, 100, 10, "10.83.0.2", 7000, 2);
	TAKE(connect);
	ck_assert_uint_ne(first, second);
	ck_assert_int_eq(stream_end_at(&stream, first)->error, -ECONNREFUSED);
	ck_assert_int_eq(stream_end_at(&stream, second)->error, 0);
	ck_assert_uint_eq(last()->end, second);
	ck_assert_int_eq(last()->value, -EINPROGRESS);
	connect.cookie = 0;
	connect.result = -ENETUNREACH;
	connect.ordinal = 3;
	address("192.0.2.1", 1, &connect.remote);
	TAKE(connect);
	ck_assert_uint_eq(last()->end, second + 1);
	ck_assert_int_eq(stream_end_at(&stream, last()->end)->error, -ENETUNREACH);
	ck_assert_str_eq(stream_end_at(&stream, last()->end)->target, "192.0.2.1:1");
	ck_assert_uint_eq(stream_end_at(&stream, last()->end)->ordinal, 3);
}
END_TEST

/* A listener of a process or of a descendant is told with the process that we started; a stranger's is not. */
START_TEST(listeners)
{
	struct rec_listen listen = { .head = HEAD(LISTEN, 1, 102, 102), .cookie = 1 };
	uint32_t root = names_root(names, "s1", 1, 100, "");

	address("0.0.0.0", 7000, &listen.local);
	fork_process(100, 101, 1);
	fork_process(101, 102, 1);
	TAKE(listen);
	ck_assert_uint_eq(listened, 1);
	ck_assert_uint_eq(listened_root, root);
	ck_assert_uint_eq(listened_port, 7000);
	ck_assert_int_eq(last()->value, 7000);
	listen.head.tgid = listen.head.tid = 999;
	TAKE(listen);
	ck_assert_uint_eq(listened, 1);
}
END_TEST

/* Ports that the kernel chose are named by their order in their box, wherever they stand; others by their number. */
START_TEST(ephemeral_ports)
{
	struct rec_listen listen = { .head = HEAD(LISTEN, 1, 100, 100), .cookie = 1 };
	struct rec_open open = { .head = HEAD(OPEN, 1, 100, 100), .cookie = 9, .ordinal = 1 };

	names_root(names, "s1", 1, 100, "");
	listen.head.flags = REC_F_EPHEMERAL;
	address("0.0.0.0", 40001, &listen.local);
	TAKE(listen);
	ck_assert_str_eq(stream.part.texts[last()->text], "s1:*1");
	address("0.0.0.0", 40002, &listen.local);
	TAKE(listen);
	ck_assert_str_eq(stream.part.texts[last()->text], "s1:*2");
	address("127.0.0.1", 40002, &open.remote);
	TAKE(open);
	ck_assert_str_eq(stream_end_at(&stream, stream.n_ends)->target, "s1:*2");
	address("127.0.0.1", 40003, &open.remote);
	open.cookie = 10;
	TAKE(open);
	ck_assert_str_eq(stream_end_at(&stream, stream.n_ends)->target, "s1:40003");
	listen.head.flags = 0; /* the port is free again, and somebody asks for it */
	TAKE(listen);
	ck_assert_uint_eq(last()->text, 0);
	address("127.0.0.1", 40002, &open.remote);
	open.cookie = 11;
	TAKE(open);
	ck_assert_str_eq(stream_end_at(&stream, stream.n_ends)->target, "s1:40002");
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

/* Records that are too short, of no kind, or of no box of this run are left out. */
static const struct trace_end *datagram(unsigned kind, unsigned flags, uint32_t box, uint32_t pid, uint64_t socket,
					const char *remote, uint16_t port, uint32_t asker)
{
	struct rec_datagram record = { .head = HEAD(DATAGRAM_SENT, box, pid, pid, .order = 5, .flags = flags), .socket = socket,
				       .digest = 99, .result = 10, .message = 4, .asker = asker, .local.port = 53 };

	record.head.kind = kind;
	address(remote, port, &record.remote);
	TAKE(record);
	ck_assert(last()->pos == 99 && last()->value == 10 && last()->message == 4 && last()->end);
	return stream_end_at(&stream, last()->end);
}

/* What one process asks through one socket is one end for each address; in both roles it bears the asker's name. */
START_TEST(exchanges)
{
	const struct trace_end *asks, *other, *answers;
	uint32_t first;

	names_root(names, "client", 1, 100, "");
	names_root(names, "server", 2, 200, "");
	asks = datagram(REC_DATAGRAM_SENT, 0, 1, 100, 7, "10.83.0.2", 53, 100);
	ck_assert(asks->role == END_CONNECTOR && asks->transport == TRANSPORT_UDP && asks->first_local == 7);
	ck_assert_str_eq(asks->target, "s2:53");
	ck_assert_str_eq(process_name(asks->process), "client");
	first = last()->end;
	datagram(REC_DATAGRAM_TAKEN, REC_F_REPLY, 1, 100, 7, "10.83.0.2", 53, 100);
	ck_assert_uint_eq(last()->end, first);
	other = datagram(REC_DATAGRAM_SENT, 0, 1, 100, 7, "239.1.1.1", 53, 100);
	ck_assert_uint_ne(last()->end, first);
	ck_assert_str_eq(other->target, "239.1.1.1:53");
	answers = datagram(REC_DATAGRAM_SENT, REC_F_REPLY, 2, 200, 8, "10.83.0.1", 40000, 100);
	ck_assert(answers->role == END_ACCEPTOR);
	ck_assert_str_eq(answers->target, "s2:53");
	ck_assert_str_eq(process_name(answers->process), "client");
	ck_assert_uint_eq(datagram(REC_DATAGRAM_TAKEN, 0, 2, 200, 8, "10.9.9.9", 40000, 0)->process, 0);
	ck_assert_uint_eq(names_open_ends(names), 0);
}
END_TEST

/* A port that the kernel chose gets its label when it is asked, also where it was named before. */
START_TEST(asked_ports)
{
	const struct trace_end *asks;

	names_root(names, "client", 1, 100, "");
	names_root(names, "server", 2, 200, "");
	asks = datagram(REC_DATAGRAM_SENT, 0, 1, 100, 7, "10.83.0.2", 53, 100);
	ck_assert_str_eq(asks->target, "s2:53");
	datagram(REC_DATAGRAM_TAKEN, REC_F_EPHEMERAL, 2, 200, 8, "10.83.0.1", 40000, 100);
	ck_assert_str_eq(stream_end_at(&stream, last()->end)->target, "s2:*1");
	ck_assert_str_eq(asks->target, "s2:*1");
}
END_TEST

/* Each of many ports gets its label, however many there are: were it to look through all of them, this would not end. */
START_TEST(many_asked_ports)
{
	enum { MANY = 60000 };
	const struct trace_end *asks;
	char label[32];

	names_root(names, "client", 1, 100, "");
	names_root(names, "server", 2, 200, "");
	for (uint16_t port = 1; port <= MANY; port++)
		datagram(REC_DATAGRAM_SENT, 0, 1, 100, port, "10.83.0.2", port, 100);
	for (uint16_t port = 1; port <= MANY; port++) {
		struct rec_datagram record = { .head = HEAD(DATAGRAM_TAKEN, 2, 200, 200, .order = 5, .flags = REC_F_EPHEMERAL),
					       .socket = port, .result = 10, .local.port = port };

		address("10.83.0.1", 40000, &record.remote);
		TAKE(record);
		asks = stream_end_at(&stream, port);
		snprintf(label, sizeof(label), "s2:*%u", port);
		ck_assert_str_eq(asks->target, label);
		ck_assert_str_eq(stream_end_at(&stream, last()->end)->target, label);
	}
}
END_TEST

/* An id is given away again: each connect, accept and first use without one begins an end. */
START_TEST(local_ids)
{
	struct rec_connect connect = { .head = HEAD(CONNECT, 1, 100, 100, .order = 1), .cookie = 5, .ordinal = 3, .local = 1 };
	struct rec_local local = { .head = HEAD(LOCAL, 1, 100, 100, .order = 2, .flags = REC_F_CONTINUED), .id = 5, .ordinal = 3,
				   .name = "/run/a/x#y.sock" };
	struct rec_transfer send = { .head = HEAD(SEND, 1, 100, 100, .order = 5), .cookie = 5, .result = 20, .local = 1 };
	const struct trace_end *row;

	names_root(names, "client", 1, 100, "");
	TAKE(connect);
	TAKE(local); /* only the name */
	row = stream_end_at(&stream, 1);
	ck_assert(!row->keyed && row->role == END_CONNECTOR && row->ordinal == 3);
	ck_assert_str_eq(row->target, "unix:x_y.sock");
	local.number = 11;
	local.peer = 12;
	TAKE(local);
	TAKE(send);
	ck_assert_uint_eq(last()->end, 1);
	ck_assert(row->keyed && row->first_local == 11 && row->first_remote == 12 && row->transport == TRANSPORT_UNIX);
	local.number = 13;
	local.peer = 14;
	local.head.flags = REC_F_ACCEPTOR;
	local.name[0] = '\0';
	TAKE(local);
	TAKE(send);
	ck_assert_uint_eq(last()->end, 2);
	ck_assert(row->finished);
	row = stream_end_at(&stream, 2);
	ck_assert(row->role == END_ACCEPTOR && row->first_local == 13 && !row->process);
	ck_assert_str_eq(row->target, "unix:pair");
	local.number = 15;
	local.kind = REC_LOCAL_PIPE;
	TAKE(local);
	ck_assert_str_eq(stream_end_at(&stream, 3)->target, "pipe");
	ck_assert(stream_end_at(&stream, 3)->first_local == 15 && stream_end_at(&stream, 3)->transport == TRANSPORT_PIPE);
	connect.ordinal = 4;
	TAKE(connect); /* never used: what comes by its id is not its own */
	local.kind = REC_LOCAL_UNIX;
	local.head.flags = 0;
	local.number = 17;
	local.ordinal = 1;
	TAKE(local);
	row = stream_end_at(&stream, 4);
	ck_assert(row->finished && !row->keyed && row->ordinal == 4);
	row = stream_end_at(&stream, 5);
	ck_assert(!row->finished && row->keyed && row->ordinal == 1 && row->first_local == 17);
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

/* However many others come and go, one that is in use stays the same end. */
START_TEST(local_in_use)
{
	struct rec_local local = { .head = HEAD(LOCAL, 1, 100, 100, .order = 2), .name = "x" };
	struct rec_transfer send = { .head = HEAD(SEND, 1, 100, 100, .order = 5), .cookie = 1, .result = 20, .local = 1 };

	names_root(names, "client", 1, 100, "");
	for (local.id = 1; local.id < 200000; local.id++) {
		local.number = local.id;
		TAKE(local);
		if (local.id % 10000 != 1)
			continue;
		TAKE(send);
		ck_assert_uint_eq(last()->end, 1);
	}
	ck_assert(!stream_end_at(&stream, 1)->finished && stream_end_at(&stream, 2)->finished);
}
END_TEST

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

/* Any number of connections one after the other: what is over and sent takes no memory; one that stays is kept. */
START_TEST(connections_go)
{
	struct rec_close destroy = { .head = HEAD(DESTROY, 1, 0, 0), .sent = 5 };
	const uint32_t n = 10000, stays = 100;
	struct wire_batch head;
	struct error e = { "" };
	unsigned char *bytes;
	struct trace trace;
	size_t size, pages = 0;

	names_root(names, "c", 1, 100, "");
	trace_init(&trace);
	for (uint32_t i = 1; i <= n; i++) {
		ck_assert_uint_eq(open_end(1, 100, i, "10.83.0.2", 7000, i), i);
		destroy.cookie = i;
		if (i != stays)
			TAKE(destroy);
		if (i % 1000)
			continue;
		ck_assert_int_eq(stream_cut(&stream, false, 0, 0, &bytes, &size), 0);
		ck_assert_msg(wire_batch_decode(bytes, size, &head, &trace, &e) == 0, "%s", e.text);
		free(bytes);
	}
	ck_assert_uint_eq(trace.n_ends, n);
	for (uint32_t i = 1; i <= n; i++) {
		ck_assert_uint_eq(trace.ends[i].ordinal, i);
		ck_assert_int_eq(trace.ends[i].finished, i != stays);
		ck_assert_str_eq(trace.ends[i].target, "s2:7000");
	}
	trace_fini(&trace);
	for (size_t i = 0; i < stream.n_end_pages; i++)
		pages += stream.end_pages[i] != NULL;
	ck_assert_uint_le(pages, 2); /* of the one that stays, and the last, which is not full */
	ck_assert_ptr_null(stream_end(&stream, 1));
	ck_assert_uint_eq(stream_end_at(&stream, stays)->ordinal, stays);
	/* for the teardown */
	for (uint32_t i = 1; i <= 2; i++)
		stream_box(&stream, i);
	stream_process(&stream, 1);
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
	tcase_add_test(tc, older_connections);
	tcase_add_test(tc, ids_used_again);
	tcase_add_test(tc, strangers);
	tcase_add_test(tc, targets);
	tcase_add_test(tc, connection);
	tcase_add_test(tc, failed_attempts);
	tcase_add_test(tc, listeners);
	tcase_add_test(tc, ephemeral_ports);
	tcase_add_test(tc, commands);
	tcase_add_test(tc, exchanges);
	tcase_add_test(tc, asked_ports);
	tcase_add_test(tc, many_asked_ports);
	tcase_add_test(tc, local_ids);
	tcase_add_test(tc, local_in_use);
	tcase_add_test(tc, long_commands);
	tcase_add_test(tc, damaged);
	tcase_add_loop_test(tc, senseless, 0, 20);
	tcase_add_test(tc, batches);
	tcase_add_test(tc, connections_go);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
