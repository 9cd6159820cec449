/* SPDX-License-Identifier: GPL-3.0-or-later */
/* How many agents a server lets in, and with which key: over real sockets, with agents that say hello and no more. */
#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zmq.h>

#include "collector/server.h"
#include "lib/claim.h"
#include "lib/clock.h"
#include "tests/scratch.h"

enum { TIMEOUT_S = 60 };

struct pair {
	char secret[KEY_SIZE], public[KEY_SIZE];
};

static char folder[64], url[128];
static struct pair server_key, keys[2];
static struct allowed allowed;
static void *context, *agents_context;
static struct server *server;
static char private_url[SERVER_ADDRESS_MAX];

static void pair_make(struct pair *pair)
{
	ck_assert_int_eq(zmq_curve_keypair(pair->public, pair->secret), 0);
}

/* Somebody else could take it before we do; then the test fails, and says so. */
static unsigned port_free(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, size), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&address, &size), 0);
	close(fd);
	return ntohs(address.sin_port);
}

static void setup(void)
{
	struct server_options options = { .directory = folder, .listen = url, .secret = server_key.secret, .allowed = &allowed };
	struct error e = { "" };

	scratch_name(folder, sizeof(folder), "test-bop-server-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	pair_make(&server_key);
	pair_make(&keys[0]);
	pair_make(&keys[1]);
	ck_assert_int_eq(allowed_open(&allowed, folder, ALLOWED_AGENTS, &e), 0);
	ck_assert_int_eq(allowed_add(&allowed, "one", keys[0].public, &e), 0);
	ck_assert_int_eq(allowed_add(&allowed, "two", keys[1].public, &e), 0);
	context = zmq_ctx_new();
	agents_context = zmq_ctx_new();
	snprintf(url, sizeof(url), "tcp://127.0.0.1:%u", port_free());
	ck_assert_msg(server_open(context, &options, &server, private_url, &e) == 0, "%s", e.text);
}

static void teardown(void)
{
	zmq_ctx_term(agents_context);
	server_close(server);
	zmq_ctx_term(context);
	allowed_fini(&allowed);
	claim_remove_tree(folder);
}

static void *dial(const struct pair *key)
{
	void *socket = zmq_socket(agents_context, ZMQ_DEALER);
	const int none = 0;

	zmq_setsockopt(socket, ZMQ_LINGER, &none, sizeof(none));
	if (key) {
		zmq_setsockopt(socket, ZMQ_CURVE_SERVERKEY, server_key.public, KEY_SIZE);
		zmq_setsockopt(socket, ZMQ_CURVE_PUBLICKEY, key->public, KEY_SIZE);
		zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, key->secret, KEY_SIZE);
	}
	ck_assert_int_eq(zmq_connect(socket, key ? url : private_url), 0);
	return socket;
}

static void say_hello(void *socket, unsigned session)
{
	struct message hello = { .kind = MESSAGE_HELLO,
				 .hello = { .protocol = WIRE_PROTOCOL, .version = BOP_VERSION, .host = "h", .boot_id = "b",
					    .kernel = "k", .backend = "p" } };
	unsigned char *bytes;
	size_t size;

	memcpy(hello.hello.session, &session, sizeof(session));
	ck_assert_int_eq(message_encode(&hello, &bytes, &size), 0);
	ck_assert_int_eq(zmq_send(socket, bytes, size, 0), (int)size);
	free(bytes);
}

/* What the server says to somebody's hello: an empty string, welcome; else why not. */
static const char *answer_of(void *socket)
{
	static char reason[300];
	uint64_t until = clock_monotonic_ns() + TIMEOUT_S * CLOCK_SECOND_NS;
	zmq_pollitem_t items[SERVER_ITEMS];
	const struct message *said;
	struct message answer;
	struct server_agent *agent;
	struct error e;
	zmq_msg_t frame;

	zmq_msg_init(&frame);
	while (zmq_msg_recv(&frame, socket, ZMQ_DONTWAIT) < 0) {
		ck_assert_uint_lt(clock_monotonic_ns(), until);
		zmq_poll(items, server_items(server, items), 1);
		server_work(server, clock_monotonic_ns());
		ck_assert_int_eq(server_receive(server, &agent, &said, &e), 0);
	}
	ck_assert_int_eq(message_decode(zmq_msg_data(&frame), zmq_msg_size(&frame), MESSAGE_TO_AGENT, &answer, &e), 0);
	ck_assert(answer.kind == MESSAGE_WELCOME || answer.kind == MESSAGE_REFUSED);
	snprintf(reason, sizeof(reason), "%s", answer.kind == MESSAGE_REFUSED ? answer.text : "");
	message_fini(&answer);
	zmq_msg_close(&frame);
	return reason;
}

static const char *hello(void *socket, unsigned session)
{
	say_hello(socket, session);
	return answer_of(socket);
}

/* A key has so many places and no more: others, and agents of this machine, still get in; who leaves makes room. */
START_TEST(places_of_a_key)
{
	void *sockets[SERVER_KEY_AGENTS_MAX + 4];
	const char *why = "x";
	unsigned n = 0;

	for (; n < SERVER_KEY_AGENTS_MAX; n++) {
		sockets[n] = dial(&keys[0]);
		ck_assert_str_eq(hello(sockets[n], n), "");
	}
	sockets[n] = dial(&keys[0]);
	ck_assert_ptr_nonnull(strstr(hello(sockets[n], n), "as many agents as a key may have"));
	ck_assert_uint_eq(server_refusals(server)->n[REFUSAL_FULL], 1);
	ck_assert_str_eq(hello(sockets[0], 0), ""); /* who is in already */
	sockets[n + 1] = dial(&keys[1]);
	ck_assert_str_eq(hello(sockets[n + 1], n + 1), "");
	sockets[n + 2] = dial(NULL);
	ck_assert_str_eq(hello(sockets[n + 2], n + 2), "");
	zmq_close(sockets[1]);
	sockets[1] = NULL;
	for (uint64_t until = clock_monotonic_ns() + TIMEOUT_S * CLOCK_SECOND_NS; *why; why = hello(sockets[n], n))
		ck_assert_uint_lt(clock_monotonic_ns(), until);
	for (unsigned i = 0; i < n + 3; i++)
		if (sockets[i])
			zmq_close(sockets[i]);
}
END_TEST

/* All places taken, over the private socket, where nobody has a key: one more is refused, and counted. */
START_TEST(places_of_a_server)
{
	void *sockets[SERVER_AGENTS_MAX + 1];

	for (unsigned i = 0; i <= SERVER_AGENTS_MAX; i++)
		sockets[i] = dial(NULL);
	for (unsigned i = 0; i < SERVER_AGENTS_MAX; i++)
		ck_assert_str_eq(hello(sockets[i], i), "");
	ck_assert_ptr_nonnull(strstr(hello(sockets[SERVER_AGENTS_MAX], SERVER_AGENTS_MAX), "as many agents as it takes"));
	ck_assert_uint_eq(server_refusals(server)->n[REFUSAL_FULL], 1);
	for (unsigned i = 0; i <= SERVER_AGENTS_MAX; i++)
		zmq_close(sockets[i]);
}
END_TEST

/* Takes what the server says, if there is something; returns whether there was. */
static bool hear(void *socket, struct courier *courier)
{
	struct message said;
	struct error e;
	zmq_msg_t frame;
	bool heard;

	zmq_msg_init(&frame);
	heard = zmq_msg_recv(&frame, socket, ZMQ_DONTWAIT) >= 0;
	if (heard) {
		ck_assert_int_eq(message_decode(zmq_msg_data(&frame), zmq_msg_size(&frame), MESSAGE_TO_AGENT, &said, &e), 0);
		courier_take(courier, &said);
		message_fini(&said);
	}
	zmq_msg_close(&frame);
	return heard;
}

/* Orders for an agent that does not read for a while: those that find no room come later, in order, without a new connection. */
START_TEST(orders_wait)
{
	enum { MOST = 100000, MORE = 300 };
	uint64_t until = clock_monotonic_ns() + TIMEOUT_S * CLOCK_SECOND_NS, n = 0;
	void *socket = zmq_socket(agents_context, ZMQ_DEALER);
	struct courier courier = { 0 };
	zmq_pollitem_t items[SERVER_ITEMS];
	const int few = 8, none = 0;
	char text[200];
	struct message order = { .kind = MESSAGE_ORDER, .order = { .id = 1, .kind = ORDER_MARK, .mark = text } };

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	zmq_setsockopt(socket, ZMQ_RCVHWM, &few, sizeof(few));
	zmq_setsockopt(socket, ZMQ_LINGER, &none, sizeof(none));
	ck_assert_int_eq(zmq_connect(socket, private_url), 0);
	ck_assert_str_eq(hello(socket, 1), "");
	ck_assert_uint_eq(server_deadline(server, 7), UINT64_MAX);
	while (server_send(server, server_agents(server), &order, NULL) == 0)
		ck_assert_uint_lt(n++, MOST);
	for (n++; n % MORE; n++)
		ck_assert_int_eq(server_send(server, server_agents(server), &order, NULL), -EAGAIN);
	ck_assert_uint_gt(server_deadline(server, 7), 7);
	ck_assert_uint_lt(server_deadline(server, 7), UINT64_MAX);
	while (courier.heard < n) {
		ck_assert_uint_lt(clock_monotonic_ns(), until);
		if (hear(socket, &courier))
			continue;
		zmq_poll(items, server_items(server, items), 1);
		server_work(server, clock_monotonic_ns());
	}
	ck_assert_uint_eq(server_deadline(server, 7), UINT64_MAX);
	ck_assert_int_eq(server_send(server, server_agents(server), &order, NULL), 0);
	courier_fini(&courier);
	zmq_close(socket);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("server");
	TCase *tc = tcase_create("server");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_set_timeout(tc, 2 * TIMEOUT_S);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, places_of_a_key);
	tcase_add_test(tc, places_of_a_server);
	tcase_add_test(tc, orders_wait);
	suite_add_tcase(suite, tc);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
