/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A process that runs already is added: its threads and descendants, where it listens, and that it is left alone in the end.
 */
#include "tests/kernel/world_check.h"

#define THREADS 3

/* Left by the process before it is traced. */
struct family {
	pid_t tids[THREADS]; /* of its threads, by age */
	pid_t child, child_tid, grandchild;
	uint16_t port;
};

static int pair[2], gates[THREADS][2], child_gate[2], grandchild_gate[2], ready[2], child_ready[2], listener;
static struct family *family;

static void gate_wait(int fd)
{
	char byte;

	must(read(fd, &byte, 1) == 1);
}

static void gate_open(const int fds[2])
{
	must(write(fds[1], "g", 1) == 1);
}

static void *thread_main(void *arg)
{
	size_t i = (size_t)arg;
	static char buf[64];

	family->tids[i] = (pid_t)syscall(SYS_gettid);
	gate_open(ready);
	gate_wait(gates[i][0]);
	send_all(pair[0], buf, 10 + i);
	return NULL;
}

static void *child_thread(void *arg)
{
	static char buf[64];

	family->child_tid = (pid_t)syscall(SYS_gettid);
	gate_open(child_ready);
	gate_wait(child_gate[0]);
	send_all(pair[0], buf, 20);
	return NULL;
}

static void grandchild_run(void)
{
	static char buf[64];

	gate_open(child_ready);
	gate_wait(grandchild_gate[0]);
	send_all(pair[0], buf, 21);
	_exit(0);
}

static void child_run(void)
{
	pthread_t thread;
	pid_t grandchild;

	must(!pthread_create(&thread, NULL, child_thread, NULL));
	gate_wait(child_ready[0]);
	grandchild = fork();
	if (!grandchild)
		grandchild_run();
	family->grandchild = grandchild;
	gate_wait(child_ready[0]);
	gate_open(ready);
	pthread_join(thread, NULL);
	child_reap(grandchild, 0);
	_exit(0);
}

/* THREADS - 1 threads, a child with a thread and a child of its own. */
static void family_before(void *shared)
{
	pthread_t thread;
	pid_t child;

	family = shared;
	pair_open(pair);
	for (int i = 0; i < 2; i++) { /* a kprobe cannot give it one */
		uint64_t cookie;
		socklen_t size = sizeof(cookie);

		must(!getsockopt(pair[i], SOL_SOCKET, SO_COOKIE, &cookie, &size));
	}
	listener = listen_at(AF_INET, &family->port);
	for (size_t i = 0; i < THREADS; i++)
		must(!pipe(gates[i]));
	must(!pipe(child_gate) && !pipe(grandchild_gate) && !pipe(ready) && !pipe(child_ready));
	for (size_t i = 0; i < THREADS - 1; i++) {
		must(!pthread_create(&thread, NULL, thread_main, (void *)i));
		gate_wait(ready[0]);
	}
	child = fork();
	if (!child)
		child_run();
	family->child = child;
	gate_wait(ready[0]);
}

static int family_run(void *shared)
{
	static char buf[64];
	pthread_t thread;
	int client, server;

	for (size_t i = 0; i < THREADS - 1; i++) {
		gate_open(gates[i]);
		recv_all(pair[1], buf, 10 + i);
	}
	gate_open(gates[THREADS - 1]);
	must(!pthread_create(&thread, NULL, thread_main, (void *)(THREADS - 1)));
	recv_all(pair[1], buf, 10 + THREADS - 1);
	must(!pthread_join(thread, NULL));
	gate_open(child_gate);
	recv_all(pair[1], buf, 20);
	gate_open(grandchild_gate);
	recv_all(pair[1], buf, 21);
	child_reap(family->child, 0);
	client = connect_to("127.0.0.1", family->port);
	server = accept(listener, NULL, NULL);
	send_all(client, buf, 5);
	recv_all(server, buf, 5);
	close(client);
	close(server);
	close(pair[0]);
	close(pair[1]);
	return 0;
}

static const struct followed *followed_find(const struct followed *rows, size_t n, pid_t tid)
{
	for (size_t i = 0; i < n; i++)
		if (rows[i].tid == (uint32_t)tid)
			return &rows[i];
	return NULL;
}

/* Its number of bytes tells each send. */
static void expect_send(struct world *w, int64_t bytes, pid_t tgid, pid_t tid)
{
	for (size_t i = 0; i < count_kind(w, REC_SEND); i++) {
		const union record *r = find(w, REC_SEND, i);

		if (r->transfer.result != bytes)
			continue;
		expect(w, r->head.tgid == (uint32_t)tgid && r->head.tid == (uint32_t)tid);
		return;
	}
	expect(w, !"a send of these bytes");
	printf("# no send of %lld bytes\n", (long long)bytes);
}

static size_t count_older(const struct world *w)
{
	size_t n = 0;

	for (size_t i = 0; i < w->n; i++)
		n += w->records[i].head.kind == REC_ESTABLISHED && w->records[i].head.flags & REC_F_OLDER;
	return n;
}

static void check_family(struct world *w, const struct followed *rows, size_t n)
{
	const struct family *f = (void *)w->shared;
	const struct followed *row;

	check_lost(w);
	check_orders(w);
	expect(w, n == 5);
	for (size_t i = 0; i < n; i++) {
		expect(w, rows[i].tid == rows[i].tgid || rows[i].tgid == (uint32_t)w->root || rows[i].ordinal == 1);
		expect(w, rows[i].tgid == (uint32_t)w->root || rows[i].tgid == (uint32_t)f->child ||
				  rows[i].tgid == (uint32_t)f->grandchild);
	}
	for (size_t i = 0; i < 2; i++) {
		row = followed_find(rows, n, f->tids[i]);
		expect(w, row && row->tgid == (uint32_t)w->root && row->ordinal == i + 1);
		expect_send(w, 10 + (int64_t)i, w->root, f->tids[i]);
	}
	expect_send(w, 12, w->root, f->tids[2]);
	row = followed_find(rows, n, f->child);
	expect(w, row && row->tgid == row->tid && row->parent_tgid == (uint32_t)w->root && row->ordinal == 1);
	row = followed_find(rows, n, f->child_tid);
	expect(w, row && row->tgid == (uint32_t)f->child);
	expect_send(w, 20, f->child, f->child_tid);
	row = followed_find(rows, n, f->grandchild);
	expect(w, row && row->tgid == row->tid && row->parent_tgid == (uint32_t)f->child && row->ordinal == 1);
	expect_send(w, 21, f->grandchild, f->grandchild);
	/* only the thread that was made since is told of by its maker, and counts on */
	expect(w, count_kind(w, REC_FORK) == 1 && count_kind(w, REC_APPEAR) == 0);
	expect(w, find(w, REC_FORK, 0) && find(w, REC_FORK, 0)->fork.ordinal == THREADS);
	/* two older ends; who connects to its port is known from the beginning */
	expect(w, count_older(w) == 2 && count_kind(w, REC_ESTABLISHED) == 4 && count_kind(w, REC_ACCEPT) == 1);
}

static void family_test(struct world *w)
{
	struct followed *rows = NULL, *more = NULL;
	size_t n = 0, n_more = 0;
	struct error e = {""};
	struct gate gate;
	int pidfd;

	w->before = family_before;
	w->guest = true;
	world_start(w, family_run, &gate);
	tracer_adopt(w->tracer);
	expect(w, !tracer_follow(w->tracer, &rows, &n, &e));
	expect(w, !tracer_follow(w->tracer, &more, &n_more, &e) && !n_more);
	expect(w, !tracer_add_listener(w->tracer, 1, ((struct family *)w->shared)->port, &e));
	pidfd = (int)syscall(SYS_pidfd_open, w->root, 0);
	expect(w, tracer_has_task(w->tracer, pidfd));
	close(pidfd);
	pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0);
	expect(w, !tracer_has_task(w->tracer, pidfd));
	close(pidfd);
	world_finish_well(w, &gate);
	check_family(w, rows, n);
	free(rows);
	free(more);
	w->guest = false;
	w->before = NULL;
}

/* Nobody ends; nothing more is recorded of them. */
static void stop_test(struct world *w)
{
	struct gate gate;

	w->before = family_before;
	world_start(w, family_run, &gate);
	tracer_adopt(w->tracer);
	tracer_stop(w->tracer);
	world_finish_well(w, &gate);
	check_lost(w);
	expect(w, !w->n);
	w->before = NULL;
}

int main(void)
{
	int status;
	struct world *w = world_new(&status);

	if (!w)
		return status;
	WORLD_TEST_OF(w, status, family_test(w), (void)0,
		      "threads and descendants of a process that runs already follow it, and who connects to it is seen");
	WORLD_TEST_OF(w, status, stop_test(w), (void)0, "a tracer that has stopped records nothing of those that live on");
	world_free(w);
	return !!status;
}
