/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What a box sends can be slowed down, for chosen receivers, and is as fast as before afterwards. */
#include "tests/kernel/inbox.h"

#include "lib/clock.h"
#include "tfj/shape.h"

#define DEVICE 2 /* eth0 of a box */
#define RATE 8000000ull
#define SIZE 400000u
#define LEAST_NS (CLOCK_SECOND_NS * (SIZE - 100000) * 8 / RATE) /* less than a burst is free */

static struct boxes *boxes;
static struct shape *shape;
static char text[65536];

static void setup(void)
{
	char *const names[] = { "a", "b", "c", NULL };
	struct error e = { "" };

	ck_assert_int_eq(unshare(CLONE_NEWNET), 0);
	inbox_setup();
	boxes = boxes_make(names);
	ck_assert_msg(shape_open(boxes->box[0].netns, DEVICE, &shape, &e) == 0, "%s", e.text);
}

static void teardown(void)
{
	shape_close(shape);
	boxes_close(boxes);
	inbox_teardown();
}

/* Queues and classes of the first box, as tc sees them. */
static const char *look(void)
{
	FILE *f;
	size_t n;

	ck_assert_int_eq(setns(boxes->box[0].netns, CLONE_NEWNET), 0);
	f = popen("tc qdisc show dev eth0; tc class show dev eth0; tc filter show dev eth0", "re");
	ck_assert_ptr_nonnull(f);
	n = fread(text, 1, sizeof(text) - 1, f);
	text[n] = '\0';
	ck_assert_int_eq(pclose(f), 0);
	return text;
}

/* How long it takes from the first box to this one. */
static uint64_t transfer(const struct box *to, bool ipv6)
{
	static char buffer[SIZE];
	struct sockaddr_in6 address;
	int listener = listener_in(to, &address), client = socket_in(&boxes->box[0]), server;
	size_t got = 0;
	ssize_t n;
	uint64_t from;

	memcpy(&address.sin6_addr, ipv6 ? to->ip6 : to->ip4, 16);
	ck_assert_int_eq(connect(client, (struct sockaddr *)&address, sizeof(address)), 0);
	server = accept(listener, NULL, NULL);
	ck_assert_int_ge(server, 0);
	fcntl(client, F_SETFL, O_NONBLOCK);
	from = clock_monotonic_ns();
	for (size_t sent = 0; got < SIZE;) {
		n = sent < SIZE ? write(client, buffer, SIZE - sent) : 0;
		sent += n > 0 ? n : 0;
		n = recv(server, buffer, sizeof(buffer), sent < SIZE ? MSG_DONTWAIT : 0);
		got += n > 0 ? n : 0;
	}
	close(client);
	close(server);
	close(listener);
	return clock_monotonic_ns() - from;
}

/* A rate holds for those it was asked for, over IPv4 and IPv6; others do not pass its class; when it is gone, nothing is left. */
START_TEST(rate)
{
	uint8_t to[2][16];
	struct shape_fault fault = { .id = 7, .rate = RATE, .to = to, .n_to = 2 };
	struct error e = { "" };

	memcpy(to[0], boxes->box[1].ip4, 16);
	memcpy(to[1], boxes->box[1].ip6, 16);
	ck_assert_msg(shape_add(shape, &fault, &e) == 0, "%s", e.text);
	ck_assert_ptr_nonnull(strstr(look(), "htb b0bf: "));
	ck_assert_ptr_nonnull(strstr(text, "rate 8Mbit"));
	ck_assert_uint_ge(transfer(&boxes->box[1], false), LEAST_NS);
	ck_assert_uint_ge(transfer(&boxes->box[1], true), LEAST_NS);
	ck_assert_uint_lt(transfer(&boxes->box[2], _i), LEAST_NS);
	ck_assert_int_eq(shape_remove(shape, 7), 0);
	ck_assert_msg(strstr(look(), "noqueue") && !strstr(text, "htb"), "%s", text);
	ck_assert_uint_lt(transfer(&boxes->box[1], _i), LEAST_NS);
}
END_TEST

/* Everyone; two at once, of which one goes and the other stays; a rate beyond 32 bits. */
START_TEST(several)
{
	uint8_t to[1][16];
	struct shape_fault everyone = { .id = SHAPE_ID_MAX, .rate = RATE }, one = { .id = 1, .rate = 100000000000ull, .to = to, .n_to = 1 };
	struct error e = { "" };

	memcpy(to[0], boxes->box[1].ip4, 16);
	ck_assert_msg(shape_add(shape, &everyone, &e) == 0, "%s", e.text);
	ck_assert_int_eq(shape_add(shape, &everyone, &e), -EEXIST);
	ck_assert_msg(shape_add(shape, &one, &e) == 0, "%s", e.text);
	ck_assert_msg(strstr(look(), "rate 100Gbit") && strstr(text, "rate 8Mbit"), "%s", text);
	ck_assert_uint_ge(transfer(&boxes->box[2], true), LEAST_NS);
	ck_assert_uint_lt(transfer(&boxes->box[1], false), LEAST_NS); /* the lower id */
	ck_assert_int_eq(shape_remove(shape, 1), 0);
	ck_assert_msg(!strstr(look(), "rate 100Gbit") && strstr(text, "rate 8Mbit"), "%s", text);
	ck_assert_uint_ge(transfer(&boxes->box[1], false), LEAST_NS);
	ck_assert_int_eq(shape_remove(shape, SHAPE_ID_MAX), 0);
	ck_assert_msg(!strstr(look(), "htb"), "%s", text);
}
END_TEST

/* Out of order where the kernel can; else it says what it lacks, and leaves nothing. */
START_TEST(reorder)
{
	struct shape_fault fault = { .id = 1, .ppm = 500000, .seed = 3 };
	struct error e = { "" }, why = { "" };
	int able = shape_able(1, &why), err = shape_add(shape, &fault, &e);

	ck_assert_int_eq(shape_able(0, &why), 0);
	ck_assert_int_eq(err, able);
	if (able) {
		ck_assert_int_eq(err, -ENOTSUP);
		ck_assert_str_eq(e.text, "this kernel lacks the queue netem (sch_netem)");
		ck_assert_ptr_nonnull(strstr(look(), "noqueue"));
		return;
	}
	ck_assert_msg(strstr(look(), "netem") && strstr(text, "delay 10ms") && strstr(text, "reorder 50%"), "%s", text);
	ck_assert_uint_gt(transfer(&boxes->box[1], false), 0);
	ck_assert_int_eq(shape_remove(shape, 1), 0);
	ck_assert_ptr_nonnull(strstr(look(), "noqueue"));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("shape");
	TCase *tests = tcase_create("shape");

	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_set_timeout(tests, 120);
	tcase_add_loop_test(tests, rate, 0, 2);
	tcase_add_test(tests, several);
	tcase_add_test(tests, reorder);
	suite_add_tcase(suite, tests);
	return inbox_main(suite);
}
