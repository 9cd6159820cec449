/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Boxes: they can be used at once, reach each other and nothing else, and leave no trace. */
#include "tests/kernel/inbox.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <sys/socket.h>

/* A namespace of the test's own plays the host's, so that nobody else can change it meanwhile. */
static void private_network(void)
{
	ck_assert_int_eq(unshare(CLONE_NEWNET), 0);
}

static void command_output(const char *command, char *text, size_t size)
{
	FILE *f = popen(command, "re");
	size_t n;

	ck_assert_ptr_nonnull(f);
	n = fread(text, 1, size - 1, f);
	text[n] = '\0';
	ck_assert_int_eq(pclose(f), 0);
}

static void netns_identity(char *text, size_t size)
{
	ssize_t n = readlink("/proc/thread-self/ns/net", text, size - 1);

	ck_assert_int_gt(n, 0);
	text[n] = '\0';
}

static void look(char *text, size_t size)
{
	command_output("ip -o link; ip -o addr; ip route; ip -6 route; ip rule; ls /run/netns 2>/dev/null; true", text,
		       size);
}

/* Making boxes changes nothing in the namespace of the caller, nor names one, while they live and afterwards. */
START_TEST(host_untouched)
{
	static char before[65536], during[65536], after[65536], id_before[64], id_after[64];
	struct boxes *boxes;
	int fds;

	private_network();
	look(before, sizeof(before));
	netns_identity(id_before, sizeof(id_before));
	fds = open_descriptors();
	boxes = boxes_make(two_boxes);
	netns_identity(id_after, sizeof(id_after));
	look(during, sizeof(during));
	boxes_close(boxes);
	look(after, sizeof(after));
	ck_assert_str_eq(before, during);
	ck_assert_str_eq(before, after);
	ck_assert_str_eq(id_before, id_after);
	ck_assert_int_eq(open_descriptors(), fds);
}
END_TEST

static int in_netns(int netns, int family)
{
	int fd;

	ck_assert_int_eq(setns(netns, CLONE_NEWNET), 0);
	fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_ge(fd, 0);
	return fd;
}

/* Connects from one box to another and returns how many packets had to be sent again. */
static unsigned connect_boxes(const struct box *from, const struct box *to)
{
	struct sockaddr_in6 address = { .sin6_family = AF_INET6 };
	struct tcp_info info;
	socklen_t len = sizeof(address);
	int listener, client, server, v6only = 0;
	unsigned again = 0;

	listener = in_netns(to->netns, AF_INET6);
	setsockopt(listener, IPPROTO_IPV6, IPV6_V6ONLY, &v6only, sizeof(v6only));
	ck_assert_int_eq(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
	ck_assert_int_eq(listen(listener, 5), 0);
	ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&address, &len), 0);
	for (int k = 0; k < 2; k++) {
		client = in_netns(from->netns, AF_INET6);
		memcpy(&address.sin6_addr, k ? to->ip6 : to->ip4, 16);
		ck_assert_msg(connect(client, (struct sockaddr *)&address, sizeof(address)) == 0, "%s to %s: %s",
			      from->name, to->name, strerror(errno));
		server = accept(listener, NULL, NULL);
		ck_assert_int_ge(server, 0);
		len = sizeof(info);
		ck_assert_int_eq(getsockopt(client, IPPROTO_TCP, TCP_INFO, &info, &len), 0);
		again += info.tcpi_total_retrans;
		close(server);
		close(client);
		len = sizeof(address);
	}
	close(listener);
	return again;
}

/* The first packet between any two boxes arrives, over IPv4 and IPv6, at once: no SYN is ever sent twice. */
START_TEST(usable_at_once)
{
	char *const names[] = { "a", "b", "c", NULL };

	for (int i = 0; i < 10; i++) {
		struct boxes *boxes = boxes_make(names);

		ck_assert_uint_eq(connect_boxes(&boxes->box[i % 3], &boxes->box[(i + 1) % 3]), 0);
		boxes_close(boxes);
	}
}
END_TEST

/* Boxes of two runs have the same addresses and do not meet. */
START_TEST(runs_are_apart)
{
	struct boxes *one = boxes_make(two_boxes), *other = boxes_make(two_boxes);
	struct sockaddr_in6 address = { .sin6_family = AF_INET6, .sin6_port = htons(7000) };
	int listener = in_netns(one->box[0].netns, AF_INET6), client;

	ck_assert_str_eq(one->box[0].address, other->box[0].address);
	ck_assert(one->box[0].cookie != other->box[0].cookie);
	ck_assert(one->box[0].cookie != one->box[1].cookie);
	ck_assert_int_eq(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
	ck_assert_int_eq(listen(listener, 5), 0);
	memcpy(&address.sin6_addr, one->box[0].ip6, 16);
	client = in_netns(other->box[1].netns, AF_INET6);
	ck_assert_int_eq(connect(client, (struct sockaddr *)&address, sizeof(address)), -1);
	ck_assert_int_eq(errno, ECONNREFUSED);
	close(client);
	close(listener);
	boxes_close(one);
	boxes_close(other);
}
END_TEST

/* There is no way out of a box. */
START_TEST(no_way_out)
{
	struct boxes *boxes = boxes_make(two_boxes);
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(53) };
	int client = in_netns(boxes->box[0].netns, AF_INET);

	inet_pton(AF_INET, "192.0.2.1", &address.sin_addr);
	ck_assert_int_eq(connect(client, (struct sockaddr *)&address, sizeof(address)), -1);
	ck_assert_int_eq(errno, ENETUNREACH);
	close(client);
	boxes_close(boxes);
}
END_TEST

/* Names that are no host names, come twice, or are too many are refused with a line that says which. */
START_TEST(bad_names)
{
	static const char *const bad[] = { "", "-a", "a-", "a b", "a/b", "a_b", "localhost", "a\n", ".", NULL };
	char *names[BOX_MAX + 2] = { NULL }, text[BOX_MAX + 1][8];
	char long_name[65];
	struct boxes *boxes = NULL;
	struct error e;

	memset(long_name, 'a', 64);
	long_name[64] = '\0';
	ck_assert_int_eq(boxes_open(names, &boxes, &e), -EINVAL);
	for (size_t i = 0; bad[i]; i++) {
		names[0] = (char *)bad[i];
		ck_assert_msg(boxes_open(names, &boxes, &e) == -EINVAL, "'%s' was taken", bad[i]);
	}
	names[0] = long_name;
	ck_assert_int_eq(boxes_open(names, &boxes, &e), -EINVAL);
	names[0] = "s1";
	names[1] = "S1";
	ck_assert_int_eq(boxes_open(names, &boxes, &e), -EINVAL);
	ck_assert_ptr_nonnull(strstr(e.text, "S1"));
	for (int i = 0; i <= BOX_MAX; i++) {
		snprintf(text[i], sizeof(text[i]), "b%d", i);
		names[i] = text[i];
	}
	ck_assert_int_eq(boxes_open(names, &boxes, &e), -E2BIG);
	ck_assert_ptr_nonnull(strstr(e.text, "200"));
	ck_assert_ptr_null(boxes);
}
END_TEST

/* As many boxes as are allowed; the last one reaches the first. */
START_TEST(many_boxes)
{
	char *names[BOX_MAX + 1] = { NULL }, text[BOX_MAX][8];
	struct boxes *boxes;

	for (int i = 0; i < BOX_MAX; i++) {
		snprintf(text[i], sizeof(text[i]), "b%d", i);
		names[i] = text[i];
	}
	boxes = boxes_make(names);
	ck_assert_uint_eq(connect_boxes(&boxes->box[BOX_MAX - 1], &boxes->box[0]), 0);
	ck_assert_ptr_eq(boxes_find(boxes, "b199"), &boxes->box[199]);
	ck_assert_ptr_eq(boxes_at(boxes, boxes->box[199].ip6), &boxes->box[199]);
	ck_assert_ptr_eq(boxes_at(boxes, boxes->box[7].ip4), &boxes->box[7]);
	ck_assert_ptr_null(boxes_find(boxes, "b200"));
	boxes_close(boxes);
}
END_TEST

/* Whichever descriptor is the first that cannot be had: an error, the caller's namespace is as before, nothing leaks. */
START_TEST(nth_failure)
{
	static char id_before[64], id_after[64];
	struct boxes *boxes = NULL;
	struct rlimit limit, low;
	struct error e = { "" };
	int fds, err = -1, failures = 0;

	private_network();
	netns_identity(id_before, sizeof(id_before));
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	fds = open_descriptors();
	low = limit;
	for (low.rlim_cur = 4; err; low.rlim_cur++) {
		ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &low), 0);
		err = boxes_open(two_boxes, &boxes, &e);
		ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
		netns_identity(id_after, sizeof(id_after));
		ck_assert_str_eq(id_before, id_after);
		if (!err)
			break;
		failures++;
		ck_assert_str_ne(e.text, "");
		ck_assert_int_eq(open_descriptors(), fds);
		ck_assert_uint_lt(low.rlim_cur, 100);
	}
	ck_assert_int_gt(failures, 4);
	boxes_close(boxes);
	ck_assert_int_eq(open_descriptors(), fds);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("box");
	TCase *tc = tcase_create("box");

	tcase_set_timeout(tc, 120);
	tcase_add_checked_fixture(tc, inbox_setup, inbox_teardown);
	tcase_add_test(tc, host_untouched);
	tcase_add_test(tc, usable_at_once);
	tcase_add_test(tc, runs_are_apart);
	tcase_add_test(tc, no_way_out);
	tcase_add_test(tc, bad_names);
	tcase_add_test(tc, many_boxes);
	tcase_add_test(tc, nth_failure);
	suite_add_tcase(suite, tc);
	return inbox_main(suite);
}
