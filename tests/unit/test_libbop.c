/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A server that answers and ends at once: what it said last is heard, whenever one listens; then that it is gone. */
#include <check.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <zmq.h>

#include "lib/claim.h"
#include "libbop/bop.h"
#include "tests/scratch.h"

enum { ANSWERS = 20, TIMEOUT_MS = 20000, SETTLE_MS = 200 };

static void said(void *server, const zmq_msg_t *identity)
{
	for (char i = 0; i < ANSWERS; i++) {
		zmq_msg_t to;

		zmq_msg_init(&to);
		ck_assert_int_eq(zmq_msg_copy(&to, (zmq_msg_t *)identity), 0);
		ck_assert_int_ge(zmq_msg_send(&to, server, ZMQ_SNDMORE), 0);
		ck_assert_int_eq(zmq_send(server, &i, 1, 0), 1);
	}
}

static struct bop *asked(void *server, const char *url, zmq_msg_t *identity)
{
	struct bop *bop;
	struct bop_error e;

	ck_assert_int_eq(zmq_bind(server, url), 0);
	ck_assert_msg(bop_open(url, NULL, &bop, &e) == 0, "%s", e.text);
	ck_assert_int_eq(bop_send_bytes(bop, "ask", 3, &e), 0);
	zmq_msg_init(identity);
	ck_assert_int_ge(zmq_msg_recv(identity, server, 0), 0);
	ck_assert_int_eq(zmq_recv(server, NULL, 0, 0), 3);
	return bop;
}

START_TEST(last_words_are_heard)
{
	char folder[64], url[96];
	void *context = zmq_ctx_new(), *server = zmq_socket(context, ZMQ_ROUTER);
	struct bop_error e;
	struct bop *bop;
	zmq_msg_t identity;
	size_t size;
	void *bytes;

	scratch_name(folder, sizeof(folder), "test-bop-libbop-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(url, sizeof(url), "ipc://%s/api", folder);
	bop = asked(server, url, &identity);
	said(server, &identity);
	zmq_msg_close(&identity);
	zmq_close(server);
	zmq_ctx_term(context); /* waits until all has left */
	usleep(SETTLE_MS * 1000);
	for (char i = 0; i < ANSWERS; i++) {
		ck_assert_int_eq(poll(&(struct pollfd){ .fd = bop_fd(bop), .events = POLLIN }, 1, TIMEOUT_MS), 1);
		ck_assert_msg(bop_receive_bytes(bop, &bytes, &size, &e) == 1, "answer %d: %s", i, e.text);
		ck_assert_uint_eq(size, 1);
		ck_assert_int_eq(*(char *)bytes, i);
		free(bytes);
	}
	ck_assert_int_eq(poll(&(struct pollfd){ .fd = bop_fd(bop), .events = POLLIN }, 1, TIMEOUT_MS), 1);
	ck_assert_int_eq(bop_receive_bytes(bop, &bytes, &size, &e), -EPIPE);
	ck_assert_int_eq(bop_send_bytes(bop, "ask", 3, &e), -EPIPE);
	bop_close(bop);
	claim_remove_tree(folder);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("libbop");
	TCase *tcase = tcase_create("a server that ends");
	SRunner *runner;
	int failed;

	tcase_add_test(tcase, last_words_are_heard);
	tcase_set_timeout(tcase, 60);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
