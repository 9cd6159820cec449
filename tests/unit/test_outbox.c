/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Answers to clients that do not read, over real sockets: what must arrive does, the rest takes no memory, nobody else waits. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#include "collector/outbox.h"
#include "lib/claim.h"
#include "lib/clock.h"
#include "tests/scratch.h"

enum { PROGRESSES = 20000, SIZE = 200, TIMEOUT_MS = 20000 };

static char folder[64], url[96];
static void *context;
static struct refusals refusals;
static struct door *door;
static struct outbox *outbox;
static uint64_t now = 1000;

struct client {
	void *context, *socket;
	struct door_id id;
};

static void setup(void)
{
	struct door_options options = { .url = url, .frame_max = 1 << 20, .queue = 64, .refusals = &refusals };
	struct error e = { "" };

	scratch_name(folder, sizeof(folder), "test-bop-outbox-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(url, sizeof(url), "ipc://%s/api", folder);
	context = zmq_ctx_new();
	ck_assert_msg(door_open(context, &options, &door, &e) == 0, "%s", e.text);
	outbox = outbox_new(door);
	ck_assert_ptr_nonnull(outbox);
}

static void teardown(void)
{
	outbox_free(outbox);
	door_close(door, 0);
	zmq_ctx_term(context);
	claim_remove_tree(folder);
}

/* Waits for a frame, while what waits in the outbox is tried again. */
static void frame_wait(const struct client *client)
{
	uint64_t until = clock_monotonic_ns() + TIMEOUT_MS * 1000000ull;
	zmq_pollitem_t item = { .socket = client->socket, .events = ZMQ_POLLIN };

	while (zmq_poll(&item, 1, 1) == 0) {
		ck_assert_uint_lt(clock_monotonic_ns(), until);
		now += OUTBOX_RETRY_NS;
		outbox_time(outbox, now);
	}
}

/* Connects, and asks something, so that it is known. Takes few frames before it reads them. */
static void client_open(struct client *client)
{
	const int few = 8, none = 0;
	struct door_frame frame;
	zmq_pollitem_t items[2];

	client->context = zmq_ctx_new();
	client->socket = zmq_socket(client->context, ZMQ_DEALER);
	zmq_setsockopt(client->socket, ZMQ_RCVHWM, &few, sizeof(few));
	zmq_setsockopt(client->socket, ZMQ_LINGER, &none, sizeof(none));
	ck_assert_int_eq(zmq_connect(client->socket, url), 0);
	ck_assert_int_eq(zmq_send(client->socket, "?", 1, 0), 1);
	door_items(door, items);
	ck_assert_int_eq(zmq_poll(items, 1, TIMEOUT_MS), 1);
	ck_assert_int_eq(door_receive(door, &frame), 1);
	client->id = frame.from;
}

static void client_close(struct client *client)
{
	zmq_close(client->socket);
	zmq_ctx_term(client->context);
}

static int put(const struct client *client, enum outbox_kind kind, char what, size_t size)
{
	unsigned char *bytes = malloc(size);

	memset(bytes, what, size);
	return outbox_put(outbox, &client->id, kind, bytes, size, now);
}

/* Reads until a frame of `last` comes, and counts the frames of each kind. */
static void read_until(const struct client *client, char last, unsigned ret_counts[256])
{
	char bytes[SIZE];

	memset(ret_counts, 0, 256 * sizeof(*ret_counts));
	while (!ret_counts[(unsigned char)last]) {
		frame_wait(client);
		ck_assert_int_gt(zmq_recv(client->socket, bytes, sizeof(bytes), 0), 0);
		ret_counts[(unsigned char)*bytes]++;
	}
}

/* Fills the way to a client until nothing more leaves. Returns how many were sent. */
static unsigned fill(const struct client *client)
{
	unsigned sent = 0;

	for (int i = 0; i < PROGRESSES; i++)
		sent += put(client, OUTBOX_SKIP, 'p', SIZE) == 0;
	ck_assert_uint_lt(sent, PROGRESSES); /* else this test shows nothing */
	return sent;
}

/* Fills it, and then puts ends, of which the last one waits. Returns how many ends. */
static unsigned fill_until_waiting(const struct client *client)
{
	unsigned ends = 0;

	do {
		fill(client);
		ck_assert_int_eq(put(client, OUTBOX_END, 'e', SIZE), 0);
		ends++;
	} while (outbox_deadline(outbox) == UINT64_MAX); /* ZeroMQ's own thread made room meanwhile */
	return ends;
}

/* A client that does not read for thousands of progresses gets the ends of its runs when it reads, in order, behind what left before. */
START_TEST(end_arrives)
{
	unsigned counts[256], ends;
	struct client client;

	client_open(&client);
	ck_assert_uint_eq(outbox_deadline(outbox), UINT64_MAX);
	ends = fill_until_waiting(&client);
	ck_assert_int_eq(put(&client, OUTBOX_END, 'f', SIZE), 0);
	ck_assert_int_eq(put(&client, OUTBOX_SKIP, 'q', SIZE), -EAGAIN);
	ck_assert_uint_eq(outbox_deadline(outbox), now + OUTBOX_RETRY_NS);
	read_until(&client, 'f', counts);
	ck_assert_uint_eq(counts['e'], ends);
	ck_assert_uint_gt(counts['p'], 0);
	ck_assert_uint_eq(counts['q'], 0);
	ck_assert_uint_eq(outbox_deadline(outbox), UINT64_MAX);
	ck_assert_int_eq(put(&client, OUTBOX_SKIP, 'q', SIZE), 0);
	client_close(&client);
}
END_TEST

/* Who asks and does not read is full after so many answers, or so many bytes; the ends of its runs still wait. */
START_TEST(bounded)
{
	const size_t size = _i ? 100000 : SIZE, most = _i ? OUTBOX_BYTES_MAX / size + 1 : OUTBOX_ANSWERS_MAX;
	struct client client;
	size_t waiting = 0;

	client_open(&client);
	fill(&client);
	while (put(&client, OUTBOX_ANSWER, 'a', size) == 0) /* some may still leave before the first one waits */
		waiting += outbox_deadline(outbox) != UINT64_MAX;
	ck_assert_uint_eq(waiting, most);
	ck_assert(outbox_full(outbox, &client.id));
	ck_assert_int_eq(put(&client, OUTBOX_ANSWER, 'a', size), -ENOBUFS);
	ck_assert_int_eq(put(&client, OUTBOX_END, 'e', SIZE), 0);
	client_close(&client);
}
END_TEST

/* Large answers to who does not read take the memory of few, in ZeroMQ's queue too; all that were taken arrive. */
START_TEST(large)
{
	enum { TRIES = 100, LARGE = 2 << 20, FEW = 20 /* of which the client itself holds half */ };
	unsigned counts[256], taken = 0;
	struct client client;

	client_open(&client);
	for (int i = 0; i < TRIES; i++)
		taken += put(&client, OUTBOX_ANSWER, 'a', LARGE) == 0;
	ck_assert_uint_gt(taken, 1);
	ck_assert_uint_lt(taken, FEW);
	ck_assert(outbox_full(outbox, &client.id));
	ck_assert_int_eq(put(&client, OUTBOX_END, 'e', SIZE), 0);
	read_until(&client, 'e', counts);
	ck_assert_uint_eq(counts['a'], taken);
	ck_assert(!outbox_full(outbox, &client.id));
	client_close(&client);
}
END_TEST

/* While one does not read, another one gets every answer. */
START_TEST(others)
{
	struct client stuck, other;
	unsigned counts[256];

	client_open(&stuck);
	client_open(&other);
	fill_until_waiting(&stuck);
	for (int i = 0; i < 1000; i++) {
		ck_assert_int_eq(put(&other, OUTBOX_ANSWER, 'a', SIZE), 0);
		read_until(&other, 'a', counts);
		ck_assert_uint_eq(counts['a'], 1);
		ck_assert(!outbox_full(outbox, &other.id));
	}
	client_close(&other);
	client_close(&stuck);
}
END_TEST

/* What waits for a client that is gone is forgotten. */
START_TEST(gone)
{
	uint64_t until = clock_monotonic_ns() + TIMEOUT_MS * 1000000ull;
	struct door_frame frame;
	struct client client;

	client_open(&client);
	fill_until_waiting(&client);
	client_close(&client);
	while (put(&client, OUTBOX_END, 'e', SIZE) != -EHOSTUNREACH) {
		ck_assert_uint_lt(clock_monotonic_ns(), until);
		ck_assert_int_eq(door_receive(door, &frame), 0); /* the end of a connection is behind all that came by it */
		now += OUTBOX_RETRY_NS;
		outbox_time(outbox, now);
	}
	ck_assert_uint_eq(outbox_deadline(outbox), UINT64_MAX);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("outbox");
	TCase *tc = tcase_create("outbox");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_set_timeout(tc, 120);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, end_arrives);
	tcase_add_loop_test(tc, bounded, 0, 2);
	tcase_add_test(tc, large);
	tcase_add_test(tc, others);
	tcase_add_test(tc, gone);
	suite_add_tcase(suite, tc);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
