/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A private network namespace with a traced process in it, and what was recorded of it. Included by
 * one test program each. A scenario runs in the forked child; what it counted itself it leaves in
 * memory shared with the test.
 */
#ifndef TESTS_KERNEL_WORLD_H
#define TESTS_KERNEL_WORLD_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tfj/tracer.h"

#define SHARED_SIZE (64u << 20)
#define unused_ok __attribute__((unused))

union record {
	struct rec_head head;
	struct rec_fork fork;
	struct rec_exec exec;
	struct rec_exit exit;
	struct rec_wait wait;
	struct rec_listen listen;
	struct rec_open open;
	struct rec_connect connect;
	struct rec_established established;
	struct rec_failed failed;
	struct rec_accept accept;
	struct rec_transfer transfer;
	struct rec_close close;
	struct rec_content content;
	struct rec_datagram datagram;
	struct rec_local local;
	struct rec_fault fault;
};

struct world {
	struct tracer *tracer;
	union record *records;
	size_t n, cap;
	uint64_t counters[COUNTER_COUNT]; /* before the scenario */
	unsigned char *shared;
	void (*before)(void *shared); /* what the scenario's process does before it is traced; NULL: nothing */
	pid_t root;
	bool guest; /* its namespace is not ours alone */
	uint32_t other_box; /* where the scenario has more than box 1 */
	int status;
	/* CONTENT records go here, if anywhere: their bytes are not kept with the others */
	void (*on_content)(struct world *w, const struct rec_content *content, size_t size);
	int failures; /* of the test that runs */
	int tests;
};

static const char *const world_kinds[] = {"none",
#define X(name, type, text) #name,
					  RECORD_KINDS(X)
#undef X
};

static const char *const world_counters[] = {
#define X(name, text) text,
	COUNTERS(X)
#undef X
};

/* A condition of the current test; tells once which one failed. */
#define expect(w, cond) expect_at((w), (cond), #cond, __LINE__)
static unused_ok bool expect_at(struct world *w, bool cond, const char *text, int line)
{
	if (!cond && w->failures++ < 10)
		printf("# line %d: %s\n", line, text);
	return cond;
}

static unused_ok void world_show(const struct world *w)
{
	for (size_t i = 0; i < w->n && i < 60; i++) {
		const union record *r = &w->records[i];

		printf("# %3zu %-11s %u/%u order %llu flags %#x", i, world_kinds[r->head.kind],
		       r->head.tgid, r->head.tid, (unsigned long long)r->head.order, r->head.flags);
		if (r->head.kind == REC_SEND || r->head.kind == REC_RECV)
			printf(" cookie %llu pos %llu result %lld message %u",
			       (unsigned long long)r->transfer.cookie,
			       (unsigned long long)r->transfer.pos, (long long)r->transfer.result,
			       r->transfer.message);
		else if (r->head.kind == REC_CONTENT)
			printf(" cookie %llu asked %llu size %u", (unsigned long long)r->content.cookie,
			       (unsigned long long)r->content.asked, r->content.size);
		else if (r->head.kind == REC_DATAGRAM_SENT || r->head.kind == REC_DATAGRAM_TAKEN)
			printf(" socket %llx result %lld digest %llx message %u port %u to %u asker %u",
			       (unsigned long long)r->datagram.socket, (long long)r->datagram.result,
			       (unsigned long long)r->datagram.digest, r->datagram.message,
			       r->datagram.local.port, r->datagram.remote.port, r->datagram.asker);
		else if (r->head.kind == REC_LOCAL)
			printf(" id %llx number %llu peer %llu ordinal %u %s", (unsigned long long)r->local.id,
			       (unsigned long long)r->local.number, (unsigned long long)r->local.peer,
			       r->local.ordinal, r->local.name);
		else if (r->head.kind >= REC_CLOSE)
			printf(" cookie %llu sent %llu received %llu unacked %llu unread %llu",
			       (unsigned long long)r->close.cookie,
			       (unsigned long long)r->close.sent,
			       (unsigned long long)r->close.received,
			       (unsigned long long)r->close.unacked,
			       (unsigned long long)r->close.unread);
		else if (r->head.kind == REC_CONNECT)
			printf(" cookie %llu result %d ordinal %u",
			       (unsigned long long)r->connect.cookie, r->connect.result,
			       r->connect.ordinal);
		else if (r->head.kind == REC_ACCEPT || r->head.kind == REC_FAILED ||
			 r->head.kind == REC_OPEN || r->head.kind == REC_ESTABLISHED)
			printf(" cookie %llu", (unsigned long long)r->accept.cookie);
		else if (r->head.kind == REC_EXEC || r->head.kind == REC_APPEAR)
			printf(" %s %s", r->exec.comm, r->exec.name);
		else if (r->head.kind == REC_EXIT)
			printf(" status %#x", r->exit.status);
		else if (r->head.kind == REC_FORK)
			printf(" child %u/%u ordinal %u", r->fork.child_tgid, r->fork.child_tid,
			       r->fork.ordinal);
		puts("");
	}
}

static unused_ok void test_end(struct world *w, const char *name)
{
	printf("%s %d - %s\n", w->failures ? "not ok" : "ok", ++w->tests, name);
	if (w->failures)
		world_show(w);
	w->failures = 0;
	fflush(stdout);
}

/* Runs a scenario, and looks at its records: a test. */
#define WORLD_TEST(w, status, scenario, check, name)                                               \
	do {                                                                                       \
		world_run(w, scenario);                                                            \
		check;                                                                             \
		status |= (w)->failures;                                                           \
		test_end(w, name);                                                                 \
	} while (0)

static void world_record(const struct rec_head *head, size_t size, void *arg)
{
	struct world *w = arg;

	if (w->n == w->cap) {
		w->cap = w->cap ? w->cap * 2 : 1024;
		w->records = realloc(w->records, w->cap * sizeof(*w->records));
		if (!w->records)
			abort();
	}
	if (head->kind == REC_CONTENT && w->on_content)
		w->on_content(w, (const struct rec_content *)head, size);
	memset(&w->records[w->n], 0, sizeof(*w->records));
	memcpy(&w->records[w->n++], head, size < sizeof(*w->records) ? size : sizeof(*w->records));
}

/* Network namespace of our own with the loopback up. */
static unused_ok int netns_new(void)
{
	struct ifreq ifr = {.ifr_name = "lo"};
	int fd, err;

	if (unshare(CLONE_NEWNET))
		return -1;
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	ifr.ifr_flags = IFF_UP | IFF_RUNNING;
	err = ioctl(fd, SIOCSIFFLAGS, &ifr);
	close(fd);
	return err;
}

static unused_ok uint64_t netns_cookie(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	uint64_t cookie = 0;
	socklen_t size = sizeof(cookie);

	getsockopt(fd, SOL_SOCKET, 71 /* SO_NETNS_COOKIE */, &cookie, &size);
	close(fd);
	return cookie;
}

static unused_ok void world_drain(struct world *w)
{
	while (tracer_drain(w->tracer) > 0)
		;
}

/*
 * Every connection has been forgotten by the kernel; records of the last ones may still be on their
 * way.
 */
static bool world_settled(const struct world *w)
{
	size_t living = 0;

	for (size_t i = 0; i < w->n; i++) {
		if (w->records[i].head.kind == REC_ESTABLISHED)
			living++;
		if (w->records[i].head.kind == REC_DESTROY)
			living -= living > 0;
	}
	return !living;
}

struct gate {
	int go[2], cookie[2];
};

/*
 * Starts scenario(shared) as a traced process in a fresh namespace that is box 1. It waits for
 * world_go().
 */
static unused_ok void world_start(struct world *w, int (*scenario)(void *shared), struct gate *gate)
{
	uint64_t cookie;
	int pidfd;
	char byte;

	w->n = 0;
	tracer_clear(w->tracer);
	world_drain(w);
	w->n = 0;
	tracer_counters(w->tracer, w->counters);
	memset(w->shared, 0, SHARED_SIZE);
	if (pipe(gate->go) || pipe(gate->cookie))
		abort();
	fflush(stdout);
	w->root = fork();
	if (!w->root) {
		if (netns_new())
			_exit(99);
		if (w->before)
			w->before(w->shared);
		cookie = netns_cookie();
		if (write(gate->cookie[1], &cookie, sizeof(cookie)) != sizeof(cookie))
			_exit(99);
		close(gate->go[1]);
		if (read(gate->go[0], &byte, 1) != 1)
			_exit(99);
		close(gate->go[0]);
		close(gate->cookie[0]);
		close(gate->cookie[1]);
		_exit(scenario(w->shared));
	}
	if (read(gate->cookie[0], &cookie, sizeof(cookie)) != sizeof(cookie))
		abort();
	pidfd = (int)syscall(SYS_pidfd_open, w->root, 0);
	if ((w->guest ? tracer_add_guest : tracer_add_box)(w->tracer, cookie, 1, NULL) ||
	    tracer_add_process(w->tracer, pidfd, 1, 0, NULL))
		abort();
	close(pidfd);
}

/* Lets it run and collects until it has ended and all its connections are gone. */
static unused_ok void world_finish(struct world *w, struct gate *gate)
{
	struct pollfd waiting = {.fd = tracer_fd(w->tracer), .events = POLLIN};
	int tries = 0;

	if (write(gate->go[1], "g", 1) != 1)
		abort();
	close(gate->go[0]);
	close(gate->go[1]);
	close(gate->cookie[0]);
	close(gate->cookie[1]);
	while (waitpid(w->root, &w->status, WNOHANG) == 0) {
		poll(&waiting, 1, 5);
		world_drain(w);
	}
	do {
		world_drain(w);
		if (world_settled(w))
			break;
		poll(&waiting, 1, 10);
	} while (++tries < 1000);
	world_drain(w);
}

static unused_ok void world_run(struct world *w, int (*scenario)(void *shared))
{
	struct gate gate;

	world_start(w, scenario, &gate);
	world_finish(w, &gate);
	expect(w, WIFEXITED(w->status) && WEXITSTATUS(w->status) == 0);
}

static unused_ok const union record *find(const struct world *w, unsigned kind, size_t nth)
{
	for (size_t i = 0; i < w->n; i++)
		if (w->records[i].head.kind == kind && nth-- == 0)
			return &w->records[i];
	return NULL;
}

static unused_ok size_t count_kind(const struct world *w, unsigned kind)
{
	size_t n = 0;

	for (size_t i = 0; i < w->n; i++)
		n += w->records[i].head.kind == kind;
	return n;
}

static int by_seq(const void *a, const void *b)
{
	const union record *x = a, *y = b;

	return x->head.seq < y->head.seq ? -1 : x->head.seq > y->head.seq;
}

/*
 * Records of the socket with that cookie, a kind, by position. Returns how many; the caller frees.
 */
static int by_pos(const void *a, const void *b)
{
	const union record *x = *(const union record *const *)a,
			   *y = *(const union record *const *)b;

	if (x->transfer.pos != y->transfer.pos)
		return x->transfer.pos < y->transfer.pos ? -1 : 1;
	return x->head.seq < y->head.seq ? -1 : 1;
}

static unused_ok size_t transfers(const struct world *w, unsigned kind, uint64_t cookie,
				  const union record ***ret)
{
	const union record **list = calloc(w->n + 1, sizeof(*list));
	size_t n = 0;

	for (size_t i = 0; list && i < w->n; i++)
		if (w->records[i].head.kind == kind && w->records[i].transfer.cookie == cookie &&
		    w->records[i].transfer.result > 0)
			list[n++] = &w->records[i];
	if (n)
		qsort(list, n, sizeof(*list), by_pos);
	*ret = list;
	return n;
}

/* Ranges of one direction lie end to end from 0. Returns where they end. */
static uint64_t check_tiles(struct world *w, unsigned kind, uint64_t cookie)
{
	const union record **list;
	size_t n = transfers(w, kind, cookie, &list);
	uint64_t end = 0;

	for (size_t i = 0; i < n; i++) {
		expect(w, list[i]->transfer.pos == end);
		end = list[i]->transfer.pos + (uint64_t)list[i]->transfer.result;
	}
	free(list);
	return end;
}

/* Numbers of a direction's messages are 1, 2, ... without a hole. Returns the last. */
static uint32_t check_messages(struct world *w, uint64_t cookie)
{
	const union record **list;
	size_t n = transfers(w, REC_SEND, cookie, &list);
	uint32_t last = 0;
	bool *seen = calloc(n + 2, sizeof(*seen));

	for (size_t i = 0; seen && i < n; i++) {
		uint32_t message = list[i]->transfer.message;

		if (!expect(w, message >= 1 && message <= n))
			break;
		/* the first part is not a continuation, all others are */
		expect(w, seen[message] == !!(list[i]->head.flags & REC_F_CONTINUED));
		seen[message] = true;
		last = message > last ? message : last;
	}
	for (uint32_t i = 1; seen && i <= last; i++)
		expect(w, seen[i]);
	free(seen);
	free(list);
	return last;
}

/* Nothing lost: no counter moved, no gap in any CPU's numbers since the first record. */
static void check_lost(struct world *w)
{
	uint64_t now[COUNTER_COUNT];
	union record *sorted = malloc((w->n + 1) * sizeof(*sorted));

	tracer_counters(w->tracer, now);
	for (int i = COUNTER_LOST_RING; i < COUNTER_COUNT; i++)
		if (!expect(w, now[i] == w->counters[i]))
			printf("# %llu more: %s\n", (unsigned long long)(now[i] - w->counters[i]), world_counters[i]);
	expect(w, now[COUNTER_EMITTED] - w->counters[COUNTER_EMITTED] == w->n);
	if (!sorted)
		abort();
	memcpy(sorted, w->records, w->n * sizeof(*sorted));
	qsort(sorted, w->n, sizeof(*sorted), by_seq);
	for (size_t i = 1; i < w->n; i++)
		if (sorted[i].head.seq >> 48 == sorted[i - 1].head.seq >> 48)
			expect(w, sorted[i].head.seq == sorted[i - 1].head.seq + 1);
	free(sorted);
}

/*
 * A process's orders are its own: nothing is drawn twice (but a connect's two records share one); 0
 * = no process.
 */
static void check_orders(struct world *w)
{
	for (size_t i = 0; i < w->n; i++) {
		const struct rec_head *a = &w->records[i].head;

		if (a->kind == REC_CONTENT) /* no event of its own */
			continue;
		expect(w, !a->order == !a->tgid);
		expect(w, a->enter_ns <= a->return_ns && a->return_ns);
		expect(w, a->box == 1 || a->box == w->other_box);
		for (size_t j = i > 50 ? i - 50 : 0; a->tgid && j < i; j++) {
			const struct rec_head *b = &w->records[j].head;

			if (b->kind == REC_CONTENT)
				continue;
			if (a->tgid == b->tgid && a->order == b->order)
				expect(w, b->kind == REC_OPEN && a->kind == REC_CONNECT);
			/* one thread's records come in its order */
			if (a->tid == b->tid && a->kind != REC_CONNECT && b->kind != REC_EXIT)
				expect(w, a->order > b->order);
		}
	}
}

/* The peer's end of an established one. */
static unused_ok const struct rec_established *peer_of(const struct world *w,
						       const struct rec_established *end)
{
	for (size_t i = 0; i < w->n; i++) {
		const struct rec_established *other = &w->records[i].established;

		if (other->head.kind == REC_ESTABLISHED &&
		    other->first_local == end->first_remote &&
		    other->first_remote == end->first_local && other != end)
			return other;
	}
	return NULL;
}

static unused_ok const struct rec_close *close_of(const struct world *w, unsigned kind,
						  uint64_t cookie)
{
	for (size_t i = 0; i < w->n; i++)
		if (w->records[i].head.kind == kind && w->records[i].close.cookie == cookie)
			return &w->records[i].close;
	return NULL;
}

static unused_ok uint32_t messages_of(struct world *w, uint64_t cookie)
{
	return check_messages(w, cookie);
}

/* What must hold whatever the programs did. */
static unused_ok void check_common(struct world *w)
{
	check_lost(w);
	check_orders(w);
	for (size_t i = 0; i < w->n; i++) {
		const struct rec_established *end = &w->records[i].established, *peer;
		const struct rec_close *gone;

		if (end->head.kind == REC_FORK)
			for (size_t j = 0; j < i; j++)
				expect(w, w->records[j].head.tid != w->records[i].fork.child_tid);
		if (end->head.kind != REC_ESTABLISHED)
			continue;
		peer = peer_of(w, end);
		gone = close_of(w, REC_DESTROY, end->cookie);
		if (!expect(w, peer != NULL) || !expect(w, gone != NULL))
			continue;
		expect(w, (peer->head.flags ^ end->head.flags) & REC_F_ACCEPTOR);
		expect(w, peer->local.port == end->remote.port &&
				  !memcmp(peer->local.ip, end->remote.ip, 16));
		expect(w, check_tiles(w, REC_SEND, end->cookie) == gone->sent);
		expect(w, check_tiles(w, REC_RECV, end->cookie) == gone->received);
		expect(w, close_of(w, REC_DESTROY, peer->cookie) &&
				  gone->received <= close_of(w, REC_DESTROY, peer->cookie)->sent);
		check_messages(w, end->cookie);
	}
}

/*
 * A tracer, or NULL after saying in TAP why there can be none; *ret_status is then what main
 * returns.
 */
static unused_ok struct world *world_new(int *ret_status)
{
	struct world *w = calloc(1, sizeof(*w));
	struct error e = {""};
	int err;

	*ret_status = 0;
	if (!w)
		abort();
	w->shared =
		mmap(NULL, SHARED_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (w->shared == MAP_FAILED)
		abort();
	err = tracer_open(getenv("BOP_BACKEND"), 0, true, world_record, w, &w->tracer, &e);
	if (err == -EPERM || err == -ENOSYS || err == -ENOENT || err == -ENOTSUP) {
		printf("ok 1 - tracing works # SKIP %s\n", e.text);
		free(w);
		return NULL;
	}
	if (err || tracer_attach(w->tracer, &e)) {
		printf("not ok 1 - tracing works: %s\n", e.text);
		*ret_status = 1;
		free(w);
		return NULL;
	}
	return w;
}

static unused_ok void world_free(struct world *w)
{
	printf("1..%d\n", w->tests);
	tracer_close(w->tracer);
	munmap(w->shared, SHARED_SIZE);
	free(w->records);
	free(w);
}

/* --- what scenarios are made of; they give up with a status of their own --- */

#define must(cond)                                                                                 \
	do {                                                                                       \
		if (!(cond)) {                                                                     \
			fprintf(stderr, "# scenario: line %d: %s: %s\n", __LINE__, #cond,          \
				strerror(errno));                                                  \
			_exit(98);                                                                 \
		}                                                                                  \
	} while (0)

static unused_ok int listen_at(int family, uint16_t *ret_port)
{
	struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_ANY_INIT};
	struct sockaddr_in four = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_ANY)};
	socklen_t size = family == AF_INET ? sizeof(four) : sizeof(six);
	struct sockaddr *addr = family == AF_INET ? (void *)&four : (void *)&six;
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0), off = 0;

	must(fd >= 0);
	if (family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	must(!bind(fd, addr, size));
	must(!listen(fd, 64));
	must(!getsockname(fd, addr, &size));
	*ret_port = ntohs(family == AF_INET ? four.sin_port : six.sin6_port);
	return fd;
}

/* Connects a socket to text (an address) and port; the result of connect() with errno. */
static unused_ok int connect_fd(int fd, const char *text, uint16_t port)
{
	struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons(port)};

	if (inet_pton(AF_INET, text, &four.sin_addr) == 1)
		return connect(fd, (void *)&four, sizeof(four));
	must(inet_pton(AF_INET6, text, &six.sin6_addr) == 1);
	return connect(fd, (void *)&six, sizeof(six));
}

static unused_ok int connect_to(const char *text, uint16_t port)
{
	int fd = socket(strchr(text, ':') ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	must(fd >= 0);
	must(!connect_fd(fd, text, port));
	return fd;
}

static unused_ok void send_all(int fd, const void *data, size_t size)
{
	const char *at = data;

	while (size) {
		ssize_t n = send(fd, at, size, MSG_NOSIGNAL);

		must(n > 0);
		at += n;
		size -= (size_t)n;
	}
}

static unused_ok void recv_all(int fd, void *data, size_t size)
{
	char *at = data;

	while (size) {
		ssize_t n = recv(fd, at, size, 0);

		must(n > 0);
		at += n;
		size -= (size_t)n;
	}
}

/* A connected pair of TCP sockets over 127.0.0.1. */
static unused_ok void pair_open(int pair[2])
{
	uint16_t port;
	int listener = listen_at(AF_INET, &port);

	pair[0] = connect_to("127.0.0.1", port);
	pair[1] = accept(listener, NULL, NULL);
	must(pair[1] >= 0);
	close(listener);
}

static unused_ok void child_reap(pid_t pid, int expected)
{
	int status;

	must(waitpid(pid, &status, 0) == pid);
	must(status == expected);
}

#endif
