/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Sockets that several threads or processes use, and how processes come to have them. */
#include "tests/torture/torture.h"

#include <pthread.h>
#include <sys/syscall.h>
#include <sys/un.h>

#define WORKERS 6
#define WRITES 40
#define WRITE_SIZE 3000

static void *writer(void *arg)
{
	int fd = *(int *)arg;

	for (int i = 0; i < WRITES; i++)
		send_all(fd, WRITE_SIZE);
	return NULL;
}

static void *reader(void *arg)
{
	drain(*(int *)arg);
	return NULL;
}

static void threads_run(void *(*main)(void *), int fd)
{
	pthread_t threads[WORKERS];

	for (int i = 0; i < WORKERS; i++)
		threads[i] = thread_start(main, &fd);
	for (int i = 0; i < WORKERS; i++)
		must(!pthread_join(threads[i], NULL));
}

static void threads_client(struct side *side)
{
	int fd = side_connect(side), small = 8192;

	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)); /* writers wait for room, and for each other */
	threads_run(writer, fd);
	finish(fd);
}

static void threads_server(struct side *side)
{
	int fd = side_accept(side);

	threads_run(reader, fd);
	send_all(fd, 77);
	close(fd);
}

static void process_writes(void *arg)
{
	writer(arg);
}

static void process_reads(void *arg)
{
	reader(arg);
}

static void processes_run(void (*main)(void *), int fd)
{
	pid_t pids[WORKERS];

	for (int i = 0; i < WORKERS; i++)
		pids[i] = child_start(main, &fd);
	for (int i = 0; i < WORKERS; i++)
		child_end(pids[i]);
}

static void processes_client(struct side *side)
{
	int fd = side_connect(side);

	processes_run(process_writes, fd);
	finish(fd);
}

static void processes_server(struct side *side)
{
	int fd = side_accept(side);

	processes_run(process_reads, fd);
	send_all(fd, 77);
	close(fd);
}

/* --- MSG_WAITALL with others beside it: a receive that lets others in between --- */

static void *waits_for_all(void *arg)
{
	static __thread char buf[7001];
	int fd = *(int *)arg;
	ssize_t n;

	while ((n = count_received(fd, recv(fd, buf, sizeof(buf), MSG_WAITALL))) > 0)
		;
	must(!n);
	return NULL;
}

static void waitall_server(struct side *side)
{
	int fd = side_accept(side);

	threads_run(waits_for_all, fd);
	send_all(fd, 77);
	close(fd);
}

/* --- both directions at once, each by a thread --- */

static void duplex(int fd)
{
	pthread_t threads[2] = { thread_start(writer, &fd), thread_start(reader, &fd) };

	must(!pthread_join(threads[0], NULL));
	must(!shutdown(fd, SHUT_WR));
	must(!pthread_join(threads[1], NULL));
	close(fd);
}

static void duplex_client(struct side *side)
{
	duplex(side_connect(side));
}

static void duplex_server(struct side *side)
{
	duplex(side_accept(side));
}

/* --- inherited over fork and exec, duplicated --- */

static void plain_client(struct side *side)
{
	int fd = side_connect(side);

	send_all(fd, 1000);
	recv_all(fd, 500);
	send_all(fd, 2000);
	finish(fd);
}

static void answer(void *arg)
{
	int fd = *(int *)arg;

	recv_all(fd, 1000);
	send_all(fd, 500);
	finish(fd);
}

static void fork_server(struct side *side)
{
	int fd = side_accept(side);
	pid_t child = child_start(answer, &fd);

	close(fd);
	child_end(child);
}

static void exec_server(struct side *side)
{
	int fd = side_accept(side);
	char number[16];

	must(!fcntl(fd, F_SETFD, 0));
	snprintf(number, sizeof(number), "%d", fd);
	recv_all(fd, 300);
	count_end();
	execl(side->program, side->program, "exec", count_way(), number, NULL);
	must(!"exec");
}

void exec_child(char **argv)
{
	int fd;

	must(argv[0] && argv[1]);
	fd = atoi(argv[1]);
	count_begin(argv[0]);
	count_connection(fd);
	recv_all(fd, 700);
	send_all(fd, 500);
	finish(fd);
	count_end();
}

static void dup_server(struct side *side)
{
	int fd = side_accept(side), copy = count_same(dup(fd), fd), other = count_same(fcntl(fd, F_DUPFD_CLOEXEC, 100), fd);

	recv_all(copy, 500);
	close(fd);
	recv_all(other, 500);
	send_all(copy, 500);
	close(copy);
	finish(other);
}

/* --- passed over a unix socket, taken out of another process --- */

static void fd_send(int over, int fd)
{
	union {
		char space[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { 0 };
	struct iovec iov = { "f", 1 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control) };
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);

	*cmsg = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS };
	memcpy(CMSG_DATA(cmsg), &fd, sizeof(fd));
	must(sendmsg(over, &msg, 0) == 1);
}

static int fd_receive(int over)
{
	union {
		char space[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { 0 };
	char byte;
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control) };
	int fd;

	must(recvmsg(over, &msg, MSG_CMSG_CLOEXEC) == 1 && CMSG_FIRSTHDR(&msg));
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(fd));
	return fd;
}

static void passed_answer(void *arg)
{
	int fd = count_connection(fd_receive(*(int *)arg));

	answer(&fd);
}

static void passed_server(struct side *side)
{
	int pair[2], fd;
	pid_t child;

	must(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
	child = child_start(passed_answer, &pair[1]);
	fd = side_accept(side);
	fd_send(pair[0], fd);
	close(fd);
	child_end(child);
}

static void taken_answer(void *arg)
{
	const int *from = arg; /* pid, fd */
	int pidfd = (int)syscall(SYS_pidfd_open, from[0], 0);
	int fd = (int)syscall(SYS_pidfd_getfd, pidfd, from[1], 0);

	if (fd < 0 && (errno == ENOSYS || errno == EPERM))
		count_skip("pidfd_getfd is missing");
	count_connection(fd);
	answer(&fd);
}

static void taken_server(struct side *side)
{
	int from[2] = { getpid(), side_accept(side) };

	child_end(child_start(taken_answer, from));
}

/* --- who accepts --- */

static void accept_one(void *arg)
{
	struct side *side = arg;
	int fd = side_accept(side);

	answer(&fd);
}

static void accept_child_server(struct side *side)
{
	pid_t child = child_start(accept_one, side);

	close(side->listener);
	child_end(child);
}

static void prefork_client(struct side *side)
{
	for (int i = 0; i < WORKERS; i++)
		plain_client(side);
}

static void prefork_server(struct side *side)
{
	pid_t children[WORKERS];

	for (int i = 0; i < WORKERS; i++)
		children[i] = child_start(accept_one, side);
	for (int i = 0; i < WORKERS; i++)
		child_end(children[i]);
}

static void *accept_in_thread(void *arg)
{
	accept_one(arg);
	return NULL;
}

static void accept_threads_server(struct side *side)
{
	pthread_t threads[WORKERS];

	for (int i = 0; i < WORKERS; i++)
		threads[i] = thread_start(accept_in_thread, side);
	for (int i = 0; i < WORKERS; i++)
		must(!pthread_join(threads[i], NULL));
}

const struct way ways_share[] = {
	{ "threads", threads_client, threads_server },
	{ "processes", processes_client, processes_server },
	{ "threads-waitall", threads_client, waitall_server },
	{ "duplex", duplex_client, duplex_server },
	{ "fork", plain_client, fork_server },
	{ "exec", plain_client, exec_server },
	{ "dup", plain_client, dup_server },
	{ "passed", plain_client, passed_server },
	{ "pidfd-getfd", plain_client, taken_server },
	{ "accept-in-child", plain_client, accept_child_server },
	{ "prefork", prefork_client, prefork_server },
	{ "accept-in-threads", prefork_client, accept_threads_server },
	{ 0 },
};
