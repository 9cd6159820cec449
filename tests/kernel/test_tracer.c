/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Connections, from their attempts to their ends: what small programs counted themselves against what the
 * kernel side recorded.
 */
#include "tests/kernel/world_check.h"

#include <sys/time.h>

/* --- both IP versions --- */

struct talk {
	pid_t server, client;
	uint16_t port;
};

#define ROUNDS 20

static void serve(int listener, size_t size)
{
	static char buf[1 << 16];
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

	must(fd >= 0);
	for (int i = 0; i < ROUNDS; i++) {
		recv_all(fd, buf, size);
		must(write(fd, buf, size / 2) == (ssize_t)(size / 2));
	}
	must(read(fd, buf, 1) == 0);
	close(fd);
}

static int talk_over(struct talk *talk, int family, const char *address)
{
	static char buf[1 << 16];
	int listener = listen_at(family, &talk->port), fd;
	pid_t server = fork();

	if (!server) {
		serve(listener, 1000);
		_exit(0);
	}
	talk->client = getpid();
	talk->server = server;
	close(listener);
	fd = connect_to(address, talk->port);
	for (int i = 0; i < ROUNDS; i++) {
		must(write(fd, buf, 1000) == 1000);
		recv_all(fd, buf, 500);
	}
	close(fd);
	child_reap(server, 0);
	return 0;
}

static int talk_v4(void *shared)
{
	return talk_over(shared, AF_INET, "127.0.0.1");
}

static int talk_v6(void *shared)
{
	return talk_over(shared, AF_INET6, "::1");
}

static int talk_mapped(void *shared)
{
	return talk_over(shared, AF_INET6, "::ffff:127.0.0.1");
}

static void check_talk(struct world *w, const char *address)
{
	const struct talk *talk = (void *)w->shared;
	const union record *open, *connect, *accept, *end;
	uint8_t ip[16] = {[10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1};
	size_t sends = 0, ends = 0;

	if (!strcmp(address, "::1"))
		inet_pton(AF_INET6, address, ip);
	check_common(w);
	open = find(w, REC_OPEN, 0);
	connect = find(w, REC_CONNECT, 0);
	accept = find(w, REC_ACCEPT, 0);
	if (!expect(w, open && connect && accept))
		return;
	expect(w, open->head.tgid == (uint32_t)talk->client && open->open.ordinal == 1);
	expect(w, !memcmp(open->open.remote.ip, ip, 16) && open->open.remote.port == talk->port);
	expect(w, connect->connect.cookie == open->open.cookie && connect->connect.result == 0);
	expect(w, connect->connect.ordinal == 1 && connect->head.order == open->head.order);
	expect(w, accept->head.tgid == (uint32_t)talk->server && accept->accept.result >= 0);
	expect(w,
	       find(w, REC_LISTEN, 0) && find(w, REC_LISTEN, 0)->listen.local.port == talk->port);
	for (size_t i = 0; (end = find(w, REC_ESTABLISHED, i)); i++) {
		bool acceptor = end->head.flags & REC_F_ACCEPTOR;

		expect(w, end->established.cookie ==
				  (acceptor ? accept->accept.cookie : open->open.cookie));
		expect(w, check_messages(w, end->established.cookie) == ROUNDS);
		expect(w, !memcmp(end->established.local.ip, ip, 16) &&
				  !memcmp(end->established.remote.ip, ip, 16));
	}
	for (size_t i = 0; i < w->n; i++) {
		const union record *r = &w->records[i];

		if (r->head.kind == REC_SEND) {
			bool client = r->transfer.cookie == open->open.cookie;

			sends++;
			expect(w, r->head.tgid == (uint32_t)(client ? talk->client : talk->server));
			expect(w, r->head.tid == r->head.tgid &&
					  r->transfer.result == (client ? 1000 : 500));
		}
		if (r->head.kind == REC_RECV && r->transfer.result == 0) {
			ends++;
			expect(w, r->transfer.pos == ROUNDS * 1000 &&
					  r->transfer.cookie == accept->accept.cookie);
		}
	}
	expect(w, sends == 2 * ROUNDS && ends == 1);
	expect(w, count_kind(w, REC_CLOSE) == 2 && count_kind(w, REC_DESTROY) == 2);
	expect(w, count_kind(w, REC_CONNECT) == 1 && count_kind(w, REC_ACCEPT) == 1);
}

/* --- connects that fail, or come to their end later --- */

struct failing {
	uint16_t closed, open;
};

static int outcome_wait(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLOUT};
	int err = 0;
	socklen_t size = sizeof(err);

	must(poll(&p, 1, 10000) == 1);
	must(!getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &size));
	return err;
}

static int connect_failing(void *shared)
{
	struct failing *failing = shared;
	struct sockaddr_in addr = {.sin_family = AF_INET};
	int listener, fd;

	close(listen_at(AF_INET, &failing->closed));
	listener = listen_at(AF_INET, &failing->open);
	for (int i = 0; i < 2; i++) { /* refused, twice: ordinals 1 and 2 */
		fd = socket(AF_INET, SOCK_STREAM, 0);
		must(connect_fd(fd, "127.0.0.1", failing->closed) < 0 && errno == ECONNREFUSED);
		close(fd);
	}
	fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK,
		    0); /* 3: refused while nobody waits, outcome asked twice */
	must(connect_fd(fd, "127.0.0.1", failing->closed) < 0);
	must(errno == EINPROGRESS && outcome_wait(fd) == ECONNREFUSED);
	close(fd);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK,
		    0); /* 1 of the open port; asking again is no connect */
	must(connect_fd(fd, "127.0.0.1", failing->open) < 0 && errno == EINPROGRESS);
	must(outcome_wait(fd) == 0);
	must(connect_fd(fd, "127.0.0.1", failing->open) == 0 || errno == EISCONN);
	must(connect_fd(fd, "127.0.0.1", failing->open) < 0 && errno == EISCONN);
	close(accept(listener, NULL, NULL));
	close(fd);
	fd = socket(AF_INET, SOCK_STREAM, 0); /* no route: no SYN at all, but a connect */
	must(connect_fd(fd, "192.0.2.1", 7) < 0 && errno == ENETUNREACH);
	must(connect_fd(fd, "192.0.2.1", 7) < 0 && errno == ENETUNREACH);
	close(fd);
	fd = socket(AF_INET, SOCK_DGRAM, 0); /* these are none */
	addr.sin_port = htons(9);
	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	must(!connect(fd, (void *)&addr, sizeof(addr)));
	close(fd);
	must(connect(999, (void *)&addr, sizeof(addr)) < 0 && errno == EBADF);
	fd = socket(AF_INET, SOCK_STREAM, 0);
	addr.sin_family = AF_UNSPEC;
	must(!connect(fd, (void *)&addr, sizeof(addr)));
	close(fd);
	return 0;
}

static void check_failing(struct world *w)
{
	const struct failing *failing = (void *)w->shared;
	static const struct {
		int result;
		uint32_t ordinal;
		int port; /* 0 closed, 1 open, else itself */
		bool syn;
	} wanted[] = {
		{-ECONNREFUSED, 1, 0, true}, {-ECONNREFUSED, 2, 0, true},
		{-EINPROGRESS, 3, 0, true},  {-EINPROGRESS, 1, 1, true},
		{-ENETUNREACH, 1, 7, false}, {-ENETUNREACH, 2, 7, false},
	};
	size_t n = sizeof(wanted) / sizeof(wanted[0]);

	check_common(w);
	expect(w, count_kind(w, REC_CONNECT) == n);
	for (size_t i = 0; i < n; i++) {
		const union record *r = find(w, REC_CONNECT, i);
		uint16_t port = wanted[i].port == 0   ? failing->closed
				: wanted[i].port == 1 ? failing->open
						      : (uint16_t)wanted[i].port;

		if (!expect(w, r != NULL))
			return;
		expect(w, r->connect.result == wanted[i].result &&
				  r->connect.ordinal == wanted[i].ordinal);
		expect(w, r->connect.remote.port == port && !!r->connect.cookie == wanted[i].syn);
	}
	expect(w, count_kind(w, REC_OPEN) == 4 && count_kind(w, REC_FAILED) == 3);
	for (size_t i = 0; i < 3 && find(w, REC_FAILED, i); i++)
		expect(w, find(w, REC_FAILED, i)->failed.error == -ECONNREFUSED);
	expect(w, count_kind(w, REC_ESTABLISHED) == 2);
}

/* --- connects that a signal interrupts --- */

static volatile sig_atomic_t ticks;
static int ticking_listener; /* closed by the third tick */

static void tick_count(int signal)
{
	(void)signal;
	if (++ticks == 3)
		close(ticking_listener);
}

/* Ticks until told to stop: one of them finds a connect waiting, however late that begins to wait. */
static void ticks_start(int flags, int first)
{
	struct sigaction action = {.sa_handler = tick_count, .sa_flags = flags};
	struct itimerval often = {.it_interval.tv_usec = 10000, .it_value.tv_usec = 10000};

	ticks = first;
	must(!sigaction(SIGALRM, &action, NULL) && !setitimer(ITIMER_REAL, &often, NULL));
}

static int connect_interrupted(void *shared)
{
	struct itimerval never = {0};
	uint16_t *port = shared;
	int full, fd;

	ticking_listener = listen_at(AF_INET, port);
	must(!listen(ticking_listener, 0)); /* room for one; who comes later gets no answer */
	full = connect_to("127.0.0.1", *port);
	fd = socket(AF_INET, SOCK_STREAM, 0);
	ticks_start(0, 100); /* the call returns, the attempt would go on */
	must(connect_fd(fd, "127.0.0.1", *port) < 0 && errno == EINTR);
	must(!setitimer(ITIMER_REAL, &never, NULL));
	close(fd);
	fd = socket(AF_INET, SOCK_STREAM, 0);
	ticks_start(SA_RESTART, 0); /* the kernel makes the call again, and again */
	must(connect_fd(fd, "127.0.0.1", *port) < 0 && errno == ECONNREFUSED);
	must(!setitimer(ITIMER_REAL, &never, NULL) && ticks >= 3);
	close(fd);
	close(full);
	return 0;
}

static void check_interrupted(struct world *w)
{
	check_common(w);
	expect(w, count_kind(w, REC_OPEN) == 3 && count_kind(w, REC_CONNECT) == 3);
	for (uint32_t i = 0; i < 3 && find(w, REC_CONNECT, i) && find(w, REC_OPEN, i); i++) {
		const union record *r = find(w, REC_CONNECT, i), *open = find(w, REC_OPEN, i);

		expect(w, r->connect.result == (i ? -EINPROGRESS : 0));
		expect(w, r->connect.ordinal == i + 1 && r->head.order == open->head.order);
		expect(w, r->connect.cookie == open->open.cookie);
	}
	if (expect(w, count_kind(w, REC_FAILED) == 2)) {
		expect(w, find(w, REC_FAILED, 0)->failed.error == 0);
		expect(w, find(w, REC_FAILED, 1)->failed.error == -ECONNREFUSED);
	}
}

/* --- half close, unread data, reset, death --- */

static int half_close(void *shared)
{
	char buf[64];
	int pair[2];

	pair_open(pair);
	send_all(pair[0], "question", 8);
	must(!shutdown(pair[0], SHUT_WR));
	recv_all(pair[1], buf, 8);
	must(recv(pair[1], buf, sizeof(buf), 0) == 0);
	send_all(pair[1], "answer", 6);
	close(pair[1]);
	recv_all(pair[0], buf, 6);
	must(recv(pair[0], buf, sizeof(buf), 0) == 0);
	close(pair[0]);
	return 0;
}

static void check_half(struct world *w)
{
	const union record *open = find(w, REC_OPEN, 0), *first = find(w, REC_CLOSE, 0),
			   *second = find(w, REC_CLOSE, 1);

	check_common(w);
	if (!expect(w, open && first && second))
		return;
	expect(w, first->close.cookie == open->open.cookie && first->head.flags == REC_F_SHUTDOWN);
	expect(w, first->close.sent == 8 && first->close.received == 0);
	expect(w,
	       second->close.cookie != open->open.cookie && second->head.flags == REC_F_ACCEPTOR);
	expect(w,
	       second->close.sent == 6 && second->close.received == 8 && second->close.unread == 0);
	expect(w, count_kind(w, REC_CLOSE) == 2 && count_kind(w, REC_RESET) == 0);
}

/* Who shuts the receiving side down reads nothing more, while the peer has not ended. */
static int own_shutdown(void *shared)
{
	char buf[64];
	int pair[2];

	pair_open(pair);
	must(!shutdown(pair[1], SHUT_RD));
	must(recv(pair[1], buf, sizeof(buf), 0) == 0);
	send_all(pair[1], "answer", 6);
	recv_all(pair[0], buf, 6);
	must(!shutdown(pair[1], SHUT_RDWR));
	must(recv(pair[1], buf, sizeof(buf), 0) == 0);
	must(recv(pair[0], buf, sizeof(buf), 0) == 0);
	close(pair[0]);
	must(recv(pair[1], buf, sizeof(buf), 0) == 0); /* now it has */
	close(pair[1]);
	return 0;
}

static void check_own_shutdown(struct world *w)
{
	const union record *open = find(w, REC_OPEN, 0), *second = find(w, REC_CLOSE, 1);
	const union record *ends[2] = {find(w, REC_RECV, 1), find(w, REC_RECV, 2)};

	check_common(w);
	expect(w, count_kind(w, REC_RECV) == 3 && count_kind(w, REC_CLOSE) == 2);
	if (!expect(w, open && second && ends[0] && ends[1]))
		return;
	expect(w, ends[0]->transfer.result == 0 && ends[1]->transfer.result == 0);
	expect(w, ends[0]->transfer.cookie == open->open.cookie);
	expect(w, ends[1]->transfer.cookie != open->open.cookie);
	expect(w, second->close.cookie == open->open.cookie &&
			  ends[1]->head.order > second->head.order);
}

static int unread_data(void *shared)
{
	struct linger linger = {.l_onoff = 1};
	char buf[64];
	int pair[2];

	pair_open(pair); /* close with unread data: an RST */
	send_all(pair[0], "unread", 6);
	recv_all(pair[1], buf, 2);
	close(pair[1]);
	must(recv(pair[0], buf, sizeof(buf), 0) < 0 && errno == ECONNRESET);
	must(send(pair[0], "x", 1, MSG_NOSIGNAL) < 0 && errno == EPIPE);
	close(pair[0]);
	pair_open(pair); /* SO_LINGER 0: another */
	setsockopt(pair[0], SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	close(pair[0]);
	must(recv(pair[1], buf, sizeof(buf), 0) < 0 && errno == ECONNRESET);
	close(pair[1]);
	return 0;
}

static void check_unread(struct world *w)
{
	const union record *one = find(w, REC_CLOSE, 0), *two = find(w, REC_CLOSE, 1);
	int reset = 0, pipe = 0;

	check_common(w);
	if (!expect(w, one && two))
		return;
	expect(w, one->head.flags == (REC_F_RST | REC_F_ACCEPTOR) &&
			  one->head.tgid == (uint32_t)w->root);
	expect(w, one->close.received == 2 && one->close.unread == 4);
	expect(w, two->head.flags == REC_F_RST && two->head.tgid == (uint32_t)w->root);
	expect(w, count_kind(w, REC_CLOSE) == 2 && count_kind(w, REC_RESET) == 2);
	for (size_t i = 0; i < w->n; i++) {
		const union record *r = &w->records[i];

		reset += r->head.kind == REC_RECV && r->transfer.result == -ECONNRESET;
		pipe += r->head.kind == REC_SEND && r->transfer.result == -EPIPE &&
			!r->transfer.message;
	}
	expect(w, reset == 2 && pipe == 1);
}

static int peer_killed(void *shared)
{
	char buf[64];
	int pair[2];
	pid_t peer;

	pair_open(pair);
	peer = fork();
	if (!peer) {
		close(pair[0]);
		send_all(pair[1], "hello", 5);
		pause();
		_exit(0);
	}
	*(pid_t *)shared = peer;
	close(pair[1]);
	recv_all(pair[0], buf, 5);
	kill(peer, SIGKILL);
	must(recv(pair[0], buf, 1, 0) == 0);
	child_reap(peer, SIGKILL);
	close(pair[0]);
	return 0;
}

static void check_killed(struct world *w)
{
	const union record *close = find(w, REC_CLOSE, 0), *exit = find(w, REC_EXIT, 0),
			   *wait = find(w, REC_WAIT, 0);
	uint32_t peer = *(uint32_t *)w->shared;

	check_common(w);
	if (!expect(w, close && exit && wait))
		return;
	expect(w,
	       close->head.flags == (REC_F_EXITING | REC_F_ACCEPTOR) && close->head.tgid == peer);
	expect(w, exit->head.flags == REC_F_GROUP && exit->exit.status == SIGKILL &&
			  exit->head.tgid == peer);
	expect(w, exit->head.order >
			  close->head.order); /* its last event, though the kernel says it before */
	expect(w, wait->wait.child_tgid == peer && wait->head.tgid == (uint32_t)w->root);
}

/* A socket that connects to its own port meets itself: it is a connector, and nobody accepted it. */
static int connect_itself(void *shared)
{
	struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t len = sizeof(addr);
	char buf[64];

	must(fd >= 0 && !bind(fd, (struct sockaddr *)&addr, len));
	must(!getsockname(fd, (struct sockaddr *)&addr, &len));
	must(!connect(fd, (struct sockaddr *)&addr, len));
	send_all(fd, "hello", 5);
	recv_all(fd, buf, 5);
	close(fd);
	return 0;
}

static void check_itself(struct world *w)
{
	const union record *established = find(w, REC_ESTABLISHED, 0), *send = find(w, REC_SEND, 0);
	const union record *open = find(w, REC_OPEN, 0);

	check_lost(w);
	expect(w, count_kind(w, REC_OPEN) == 1 && count_kind(w, REC_ESTABLISHED) == 1);
	if (!expect(w, established && send && open))
		return;
	expect(w, !(established->head.flags & REC_F_ACCEPTOR));
	expect(w, established->established.cookie == open->open.cookie);
	expect(w, established->established.first_local == established->established.first_remote);
	expect(w, send->transfer.pos == 0 && send->transfer.message == 1);
}

int main(void)
{
	int status;
	struct world *w = world_new(&status);

	if (!w)
		return status;
	signal(SIGPIPE, SIG_IGN);
	WORLD_TEST(w, status, talk_v4, check_talk(w, "127.0.0.1"), "request and reply over IPv4");
	WORLD_TEST(w, status, talk_v6, check_talk(w, "::1"), "request and reply over IPv6");
	WORLD_TEST(w, status, talk_mapped, check_talk(w, "127.0.0.1"),
	     "request and reply over IPv4 between IPv6 sockets");
	WORLD_TEST(w, status, connect_failing, check_failing(w),
	     "connects that fail or end later are counted once each");
	WORLD_TEST(w, status, connect_interrupted, check_interrupted(w),
	     "a connect that a signal interrupts is recorded, once");
	WORLD_TEST(w, status, half_close, check_half(w), "shutdown is a close of one direction");
	WORLD_TEST(w, status, own_shutdown, check_own_shutdown(w),
	     "shutting the receiving side down is no end of the stream");
	WORLD_TEST(w, status, unread_data, check_unread(w), "closing with unread data or SO_LINGER 0 is a reset");
	WORLD_TEST(w, status, peer_killed, check_killed(w), "a killed process closes its connections");
	WORLD_TEST(w, status, connect_itself, check_itself(w), "a socket that connects to itself is a connector");
	world_free(w);
	return !!status;
}
