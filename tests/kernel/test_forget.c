/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A box without power forgets its connections; labels have the numbers that the kernel side computes. */
#include "tests/kernel/inbox.h"

#include "bpf/fault.h"
#include "tfj/forget.h"
#include "tfj/label.h"

static struct boxes *boxes;

static void setup(void)
{
	char *const names[] = { "a", "b", NULL };

	ck_assert_int_eq(unshare(CLONE_NEWNET), 0);
	inbox_setup();
	boxes = boxes_make(names);
}

static void teardown(void)
{
	boxes_close(boxes);
	inbox_teardown();
}

/* How many sockets of TCP that box has, in whatever state. */
static unsigned sockets_of(const struct box *box)
{
	unsigned n = 0;
	char line[512];

	ck_assert_int_eq(setns(box->netns, CLONE_NEWNET), 0);
	for (int i = 0; i < 2; i++) {
		FILE *f = fopen(i ? "/proc/thread-self/net/tcp" : "/proc/thread-self/net/tcp6", "re");

		ck_assert_ptr_nonnull(f);
		ck_assert_ptr_nonnull(fgets(line, sizeof(line), f));
		while (fgets(line, sizeof(line), f))
			n++;
		fclose(f);
	}
	return n;
}

/* Connections in use, connections that nobody has any more, over IPv4 and IPv6: all are gone, their peers know it; listeners stay. */
START_TEST(forgets)
{
	struct sockaddr_in6 address;
	int listener = listener_in(&boxes->box[0], &address), client[4], server[4];
	char buffer[4096] = { 0 };

	for (int i = 0; i < 4; i++) {
		memcpy(&address.sin6_addr, i % 2 ? boxes->box[0].ip6 : boxes->box[0].ip4, 16);
		client[i] = socket_in(&boxes->box[1]);
		ck_assert_int_eq(connect(client[i], (struct sockaddr *)&address, sizeof(address)), 0);
		server[i] = accept(listener, NULL, NULL);
		ck_assert_int_ge(server[i], 0);
	}
	for (int i = 0; i < 2; i++) { /* more than its peer takes: it goes on being sent when the socket is closed */
		fcntl(server[i], F_SETFL, O_NONBLOCK);
		while (write(server[i], buffer, sizeof(buffer)) > 0)
			;
		close(server[i]);
	}
	ck_assert_uint_eq(sockets_of(&boxes->box[0]), 5);
	ck_assert_int_eq(connections_forget(boxes->box[0].netns), 0);
	ck_assert_uint_eq(sockets_of(&boxes->box[0]), 1);
	for (int i = 0; i < 4; i++) {
		ssize_t n;

		while ((n = read(client[i], buffer, sizeof(buffer))) > 0)
			;
		ck_assert_int_eq(n, -1);
		ck_assert_int_eq(errno, ECONNRESET);
		close(client[i]);
	}
	for (int i = 2; i < 4; i++) {
		ck_assert_int_eq(read(server[i], buffer, 1), -1);
		ck_assert_int_eq(errno, ECONNABORTED);
		close(server[i]);
	}
	ck_assert_int_eq(connections_forget(boxes->box[0].netns), 0);
	close(listener);
}
END_TEST

/* s1.1.2 is the second child of the first child of s1; whatever is no number of a child belongs to the name. */
START_TEST(labels)
{
	uint64_t s1 = fault_label("s1");

	ck_assert_uint_eq(label_number("s1"), s1);
	ck_assert_uint_eq(label_number("s1.1"), fault_label_child(s1, 1));
	ck_assert_uint_eq(label_number("s1.1.20"), fault_label_child(fault_label_child(s1, 1), 20));
	ck_assert_uint_eq(label_number("s1'2.3"), fault_label_child(fault_label("s1'2"), 3));
	ck_assert(label_number("s1'2") != s1);
	ck_assert_uint_eq(label_number("s1.x"), fault_label("s1.x"));
	ck_assert_uint_eq(label_number("a.b.1"), fault_label_child(fault_label("a.b"), 1));
	ck_assert_uint_eq(label_number("s1."), fault_label("s1."));
	ck_assert_uint_eq(label_number("1"), fault_label("1"));
	ck_assert_uint_eq(label_number(".1"), fault_label(".1"));
	ck_assert_uint_eq(label_number("1.1"), fault_label_child(fault_label("1"), 1));
	ck_assert_uint_eq(label_number("s1.99999999999"), fault_label("s1.99999999999"));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("forget");
	TCase *network = tcase_create("forget"), *pure = tcase_create("labels");

	tcase_add_checked_fixture(network, setup, teardown);
	tcase_set_timeout(network, 60);
	tcase_add_test(network, forgets);
	suite_add_tcase(suite, network);
	tcase_add_test(pure, labels);
	suite_add_tcase(suite, pure);
	return inbox_main(suite);
}
