/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Records made by hand, and what they are called: a stream and its names, anew for each test. Included by one Check program each. */
#ifndef TESTS_KERNEL_NAMED_H
#define TESTS_KERNEL_NAMED_H

#include <arpa/inet.h>
#include <check.h>
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

static uint32_t open_end(uint32_t box, uint32_t tgid, uint64_t cookie, const char *to, uint16_t port, uint32_t ordinal)
{
	struct rec_open open = { .head = HEAD(OPEN, box, tgid, tgid), .cookie = cookie, .ordinal = ordinal };

	address(to, port, &open.remote);
	TAKE(open);
	return stream.n_ends;
}

#endif
