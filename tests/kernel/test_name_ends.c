/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Ends of connections, exchanges and pipes, with records made by hand: who has them, what they are called. Needs no root. */
#include <errno.h>
#include <stdio.h>

#include "tests/kernel/named.h"

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
	Suite *suite = suite_create("name_ends");
	TCase *tc = tcase_create("name_ends");
	SRunner *runner;
	int failed;

	tcase_set_timeout(tc, 120);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, older_connections);
	tcase_add_test(tc, targets);
	tcase_add_test(tc, connection);
	tcase_add_test(tc, failed_attempts);
	tcase_add_test(tc, listeners);
	tcase_add_test(tc, ephemeral_ports);
	tcase_add_test(tc, exchanges);
	tcase_add_test(tc, asked_ports);
	tcase_add_test(tc, many_asked_ports);
	tcase_add_test(tc, local_ids);
	tcase_add_test(tc, local_in_use);
	tcase_add_test(tc, connections_go);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
