/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Orders, replies and notices arrive once and in order, however often the connection breaks. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/courier.h"

#define MESSAGES 2000

/* What one end sent on the connection that stands. */
struct wire {
	struct {
		unsigned char *bytes;
		size_t size;
	} frames[4096];
	size_t first, n;
};

struct end {
	struct courier courier;
	struct wire *out;
	enum message_side peer;
	uint64_t said, heard; /* what the messages say */
};

static bool wire_put(const unsigned char *bytes, size_t size, void *arg)
{
	struct wire *wire = arg;

	ck_assert_uint_lt(wire->n, 4096);
	wire->frames[wire->n].bytes = malloc(size);
	memcpy(wire->frames[wire->n].bytes, bytes, size);
	wire->frames[wire->n++].size = size;
	return true;
}

static void wire_cut(struct wire *wire)
{
	while (wire->first < wire->n)
		free(wire->frames[wire->first++].bytes);
	wire->first = wire->n = 0;
}

static void say(struct end *end)
{
	struct message message = { .kind = MESSAGE_WARNING };
	unsigned char *bytes;
	char text[32];
	size_t size;

	snprintf(text, sizeof(text), "%llu", (unsigned long long)++end->said);
	if (end->peer == MESSAGE_TO_AGENT) {
		message.kind = MESSAGE_ORDER;
		message.order = (struct message_order){ .id = end->said, .kind = ORDER_MARK, .mark = text };
	} else {
		message.text = text;
	}
	ck_assert_int_eq(courier_encode(&end->courier, &message, &bytes, &size), 0);
	wire_put(bytes, size, end->out);
	free(bytes);
}

static void hear(struct end *end, struct wire *in)
{
	struct message message;
	struct error e;
	char text[32];

	if (in->first == in->n)
		return;
	ck_assert_int_eq(message_decode(in->frames[in->first].bytes, in->frames[in->first].size,
					end->peer == MESSAGE_TO_AGENT ? MESSAGE_TO_COLLECTOR : MESSAGE_TO_AGENT, &message, &e),
			 0);
	free(in->frames[in->first++].bytes);
	if (in->first == in->n)
		in->first = in->n = 0;
	if (courier_take(&end->courier, &message) && message.number) {
		snprintf(text, sizeof(text), "%llu", (unsigned long long)++end->heard);
		ck_assert_str_eq(message.kind == MESSAGE_ORDER ? message.order.mark : message.text, text);
	}
	message_fini(&message);
}

/* Two ends over a connection that breaks at random, with what is under way: each message once, in order, in the end all. */
START_TEST(breaks)
{
	static struct wire to_agent, to_collector;
	struct end collector = { .out = &to_agent, .peer = MESSAGE_TO_AGENT };
	struct end agent = { .out = &to_collector, .peer = MESSAGE_TO_COLLECTOR };

	srand(_i + 1);
	while (collector.said < MESSAGES || agent.said < MESSAGES) {
		switch (rand() % 8) {
		case 0:
		case 1:
			say(&collector);
			break;
		case 2:
		case 3:
			say(&agent);
			break;
		case 4:
		case 5:
			hear(&agent, &to_agent);
			break;
		case 6:
			hear(&collector, &to_collector);
			break;
		case 7:
			if (rand() % 20)
				break;
			wire_cut(&to_agent);
			wire_cut(&to_collector);
			courier_again(&collector.courier, 0, wire_put, &to_agent);
			courier_again(&agent.courier, 0, wire_put, &to_collector);
		}
	}
	while (to_agent.n || to_collector.n) {
		hear(&agent, &to_agent);
		hear(&collector, &to_collector);
	}
	ck_assert_uint_eq(agent.heard, collector.said);
	ck_assert_uint_eq(collector.heard, agent.said);
	courier_fini(&agent.courier);
	courier_fini(&collector.courier);
}
END_TEST

static bool count_one(const unsigned char *bytes, size_t size, void *arg)
{
	++*(int *)arg;
	return true;
}

/* There is room for so many. */
static bool count_down(const unsigned char *bytes, size_t size, void *arg)
{
	return --*(int *)arg >= 0;
}

/* Where the way was full it goes on, with the first that did not leave. */
START_TEST(goes_on)
{
	struct courier courier = { 0 };
	unsigned char *bytes;
	size_t size;
	int room = 3, n = 0;

	for (int i = 0; i < 5; i++) {
		ck_assert_int_eq(courier_encode(&courier, &(struct message){ .kind = MESSAGE_READY, .ready = { "a" } }, &bytes, &size), 0);
		free(bytes);
	}
	ck_assert_uint_eq(courier_again(&courier, 0, count_down, &room), 3);
	room = 1;
	ck_assert_uint_eq(courier_again(&courier, 3, count_down, &room), 4);
	ck_assert_uint_eq(courier_again(&courier, 4, count_one, &n), 5);
	ck_assert_int_eq(n, 1);
	courier_fini(&courier);
	ck_assert_uint_eq(courier_again(&courier, 0, count_one, &n), 0);
	ck_assert_int_eq(n, 1);
}
END_TEST

/* Progress, acknowledgements and the like are not kept; a peer that has heard too much, or skips, does no harm. */
START_TEST(not_kept)
{
	struct courier courier = { 0 };
	struct message message = { .kind = MESSAGE_PROGRESS, .progress = 7 };
	unsigned char *bytes;
	size_t size;
	int n = 0;

	ck_assert_int_eq(courier_encode(&courier, &message, &bytes, &size), 0);
	free(bytes);
	courier_again(&courier, 0, count_one, &n);
	ck_assert_int_eq(n, 0);
	message = (struct message){ .kind = MESSAGE_READY, .ready = { "a" } };
	ck_assert_int_eq(courier_encode(&courier, &message, &bytes, &size), 0);
	free(bytes);
	courier_again(&courier, 0, count_one, &n);
	ck_assert_int_eq(n, 1);
	message = (struct message){ .kind = MESSAGE_ACK, .number = 2, .heard = UINT64_MAX };
	ck_assert(!courier_take(&courier, &message));
	courier_again(&courier, 0, count_one, &n);
	ck_assert_int_eq(n, 1);
	message.number = 1;
	ck_assert(courier_take(&courier, &message));
	ck_assert(!courier_take(&courier, &message));
	courier_fini(&courier);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("courier");
	TCase *tc = tcase_create("courier");
	SRunner *runner;
	int failed;

	tcase_add_loop_test(tc, breaks, 0, 20);
	tcase_add_test(tc, not_kept);
	tcase_add_test(tc, goes_on);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
