/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A private network namespace with a traced process in it, and what was recorded of it. Included by
 * one test program each. A scenario (scenario.h) runs in the forked child; what it counted itself it leaves in
 * memory shared with the test, which looks at both (world_check.h).
 */
#ifndef TESTS_KERNEL_WORLD_H
#define TESTS_KERNEL_WORLD_H

#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>

#include "tests/kernel/scenario.h"
#include "tfj/tracer.h"

#define SHARED_SIZE (64u << 20)

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
static inline bool expect_at(struct world *w, bool cond, const char *text, int line)
{
	if (!cond && w->failures++ < 10)
		printf("# line %d: %s\n", line, text);
	return cond;
}

static inline void world_show(const struct world *w)
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

static inline void test_end(struct world *w, const char *name)
{
	printf("%s %d - %s\n", w->failures ? "not ok" : "ok", ++w->tests, name);
	if (w->failures)
		world_show(w);
	w->failures = 0;
	fflush(stdout);
}

/* A test: does something with the world, then looks at what was recorded ((void)0: what was done did that). */
#define WORLD_TEST_OF(w, status, does, check, name)                                                \
	do {                                                                                       \
		does;                                                                              \
		check;                                                                             \
		status |= (w)->failures;                                                           \
		test_end(w, name);                                                                 \
	} while (0)

/* The same: runs a scenario, and looks at its records. */
#define WORLD_TEST(w, status, scenario, check, name) WORLD_TEST_OF(w, status, world_run(w, scenario), check, name)

static inline void world_record(const struct rec_head *head, size_t size, void *arg)
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

static inline void world_drain(struct world *w)
{
	while (tracer_drain(w->tracer) > 0)
		;
}

/*
 * Every connection has been forgotten by the kernel; records of the last ones may still be on their
 * way.
 */
static inline bool world_settled(const struct world *w)
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

static inline void gate_close(struct gate *gate)
{
	for (int i = 0; i < 2; i++) {
		close(gate->go[i]);
		close(gate->cookie[i]);
	}
}

/*
 * Starts scenario(shared) as a traced process in a fresh namespace that is box 1. It waits for
 * world_finish().
 */
static inline void world_start(struct world *w, int (*scenario)(void *shared), struct gate *gate)
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
static inline void world_finish(struct world *w, struct gate *gate)
{
	struct pollfd waiting = {.fd = tracer_fd(w->tracer), .events = POLLIN};
	int tries = 0;

	if (write(gate->go[1], "g", 1) != 1)
		abort();
	gate_close(gate);
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

static inline void world_finish_well(struct world *w, struct gate *gate)
{
	world_finish(w, gate);
	expect(w, WIFEXITED(w->status) && WEXITSTATUS(w->status) == 0);
}

static inline void world_run(struct world *w, int (*scenario)(void *shared))
{
	struct gate gate;

	world_start(w, scenario, &gate);
	world_finish_well(w, &gate);
}

/* With those transports traced. Pipes that the world itself uses are not in any case. */
static inline void world_run_transports(struct world *w, int (*scenario)(void *shared), uint32_t transports)
{
	struct error e = {""};
	struct gate gate;

	world_start(w, scenario, &gate);
	if (tracer_transports(w->tracer, transports, &e)) {
		printf("# %s\n", e.text);
		w->failures++;
	}
	tracer_ignore_pipe(w->tracer, gate.go[0]);
	tracer_ignore_pipe(w->tracer, gate.cookie[0]);
	world_finish_well(w, &gate);
}

static inline const union record *find(const struct world *w, unsigned kind, size_t nth)
{
	for (size_t i = 0; i < w->n; i++)
		if (w->records[i].head.kind == kind && nth-- == 0)
			return &w->records[i];
	return NULL;
}

static inline size_t count_kind(const struct world *w, unsigned kind)
{
	size_t n = 0;

	for (size_t i = 0; i < w->n; i++)
		n += w->records[i].head.kind == kind;
	return n;
}

/*
 * A tracer, or NULL after saying in TAP why there can be none; *ret_status is then what main
 * returns.
 */
static inline struct world *world_new(int *ret_status)
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

static inline void world_free(struct world *w)
{
	printf("1..%d\n", w->tests);
	tracer_close(w->tracer);
	munmap(w->shared, SHARED_SIZE);
	free(w->records);
	free(w);
}

#endif
