/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The same through io_uring: in the call that submits, by the kernel's threads for it, by a polling thread, several
 * results of one request, files and sockets without descriptors.
 */
#include "tests/torture/torture.h"

#include <arpa/inet.h>
#include <liburing.h>

#define ENTRIES 64
#define SIZE 3000
#define ROUNDS 8

/* Numbers of connections that have no descriptor, for counting. */
#define SLOT 900

static void ring_open(struct io_uring *ring, unsigned flags)
{
	int err = io_uring_queue_init(ENTRIES, ring, flags);

	if (err == -ENOSYS || err == -EPERM || err == -EINVAL)
		count_skip("this kernel has no such io_uring");
	must(!err);
}

static struct io_uring_sqe *request(struct io_uring *ring)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);

	must(sqe);
	return sqe;
}

/* The next result; *ret_flags: of its completion. */
static int result(struct io_uring *ring, unsigned *ret_flags)
{
	struct io_uring_cqe *cqe;
	int res;

	must(io_uring_submit(ring) >= 0);
	must(!io_uring_wait_cqe(ring, &cqe));
	res = cqe->res;
	if (ret_flags)
		*ret_flags = cqe->flags;
	io_uring_cqe_seen(ring, cqe);
	return res;
}

/* How a request's fd is given, and how it is to be done. */
struct mode {
	unsigned ring, sqe;
};

static ssize_t ring_recv(struct io_uring *ring, int fd, size_t size, unsigned flags)
{
	static char buf[65536];
	struct io_uring_sqe *sqe = request(ring);

	io_uring_prep_recv(sqe, fd, buf, size < sizeof(buf) ? size : sizeof(buf), 0);
	sqe->flags |= flags;
	return result(ring, NULL);
}

static void ring_recv_all(struct io_uring *ring, int fd, int number, size_t size, unsigned flags)
{
	for (ssize_t n; size; size -= (size_t)n) {
		n = count_received(number, ring_recv(ring, fd, size, flags));
		must(n > 0);
	}
}

static void ring_send_all(struct io_uring *ring, int fd, int number, size_t size, unsigned flags)
{
	for (ssize_t n; size; size -= (size_t)n) {
		struct io_uring_sqe *sqe = request(ring);

		io_uring_prep_send(sqe, fd, data, size < DATA_SIZE ? size : DATA_SIZE, 0);
		sqe->flags |= flags;
		n = count_sent(number, result(ring, NULL));
		must(n > 0);
	}
}

static void talk(const struct mode *mode, int fd, bool begins)
{
	struct io_uring ring;

	ring_open(&ring, mode->ring);
	for (int i = 0; i < ROUNDS; i++) {
		if (begins)
			ring_send_all(&ring, fd, fd, SIZE, mode->sqe);
		ring_recv_all(&ring, fd, fd, SIZE, mode->sqe);
		if (!begins)
			ring_send_all(&ring, fd, fd, SIZE, mode->sqe);
	}
	must(!shutdown(fd, SHUT_WR));
	must(!ring_recv(&ring, fd, 10, mode->sqe));
	close(fd);
	io_uring_queue_exit(&ring);
}

#define MODE(name, ring_flags, sqe_flags)                                                                              \
	static const struct mode mode_##name = { ring_flags, sqe_flags };                                              \
	static void name##_client(struct side *side)                                                                   \
	{                                                                                                              \
		talk(&mode_##name, side_connect(side), true);                                                          \
	}                                                                                                              \
	static void name##_server(struct side *side)                                                                   \
	{                                                                                                              \
		talk(&mode_##name, side_accept(side), false);                                                          \
	}

MODE(inline, 0, 0)
MODE(async, 0, IOSQE_ASYNC)
MODE(sqpoll, IORING_SETUP_SQPOLL, 0)
MODE(sqpoll_async, IORING_SETUP_SQPOLL, IOSQE_ASYNC)
MODE(deferred, IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN, 0)

/* --- reads, writes, vectors, messages, splice --- */

static void opcodes_client(struct side *side)
{
	struct iovec iov[2] = { { data, 1000 }, { data, 500 } };
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };
	int fd = side_connect(side), pipes[2];
	struct io_uring ring;

	ring_open(&ring, 0);
	must(!pipe2(pipes, O_CLOEXEC));
	io_uring_prep_write(request(&ring), fd, data, 700, 0);
	must(count_sent(fd, result(&ring, NULL)) == 700);
	io_uring_prep_writev(request(&ring), fd, iov, 2, 0);
	must(count_sent(fd, result(&ring, NULL)) == 1500);
	io_uring_prep_sendmsg(request(&ring), fd, &msg, 0);
	must(count_sent(fd, result(&ring, NULL)) == 1500);
	must(write(pipes[1], data, 900) == 900);
	io_uring_prep_splice(request(&ring), pipes[0], -1, fd, -1, 900, 0);
	must(count_sent(fd, result(&ring, NULL)) == 900);
	recv_all(fd, 1);
	finish(fd);
}

static void opcodes_server(struct side *side)
{
	static char buf[2000];
	struct iovec iov[2] = { { buf, 1000 }, { buf + 1000, 500 } };
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };
	int fd = side_accept(side), pipes[2];
	struct io_uring ring;

	ring_open(&ring, 0);
	must(!pipe2(pipes, O_CLOEXEC));
	io_uring_prep_read(request(&ring), fd, buf, 700, 0);
	must(count_received(fd, result(&ring, NULL)) == 700);
	recv_all(fd, 500);
	io_uring_prep_readv(request(&ring), fd, iov, 1, 0);
	must(count_received(fd, result(&ring, NULL)) == 1000);
	io_uring_prep_recvmsg(request(&ring), fd, &msg, MSG_WAITALL);
	must(count_received(fd, result(&ring, NULL)) == 1500);
	for (ssize_t left = 500, n; left; left -= n) {
		io_uring_prep_splice(request(&ring), fd, -1, pipes[1], -1, (unsigned)left, 0);
		n = count_received(fd, result(&ring, NULL));
		must(n > 0);
	}
	recv_all(fd, 400);
	send_all(fd, 1);
	finish(fd);
}

/* --- connect and accept --- */

static void plain_talk(int fd)
{
	send_all(fd, 1000);
	recv_all(fd, 500);
	finish(fd);
}

static void connect_client(struct side *side)
{
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_port = htons(side->port) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct io_uring ring;

	ring_open(&ring, 0);
	must(inet_pton(AF_INET, side->peer, &addr.sin_addr) == 1);
	io_uring_prep_connect(request(&ring), fd, (struct sockaddr *)&addr, sizeof(addr));
	must(!result(&ring, NULL));
	count_connect(side->port, 0);
	plain_talk(count_connection(fd));
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	addr.sin_port = htons(1); /* nobody listens there */
	io_uring_prep_connect(request(&ring), fd, (struct sockaddr *)&addr, sizeof(addr));
	must(result(&ring, NULL) == -ECONNREFUSED);
	count_connect(1, ECONNREFUSED);
	close(fd);
}

static void answer(int fd)
{
	recv_all(fd, 1000);
	send_all(fd, 500);
	finish(fd);
}

static void accepts(struct side *side, unsigned sqe_flags, unsigned ring_flags)
{
	struct io_uring ring;

	ring_open(&ring, ring_flags);
	for (int i = 0; i < 3; i++) {
		struct io_uring_sqe *sqe = request(&ring);

		io_uring_prep_accept(sqe, side->listener, NULL, NULL, SOCK_CLOEXEC);
		sqe->flags |= sqe_flags;
		answer(count_accepted(result(&ring, NULL)));
	}
}

static void accept_inline(struct side *side)
{
	accepts(side, 0, 0);
}

static void accept_async(struct side *side)
{
	accepts(side, IOSQE_ASYNC, 0);
}

static void accept_sqpoll(struct side *side)
{
	accepts(side, 0, IORING_SETUP_SQPOLL);
}

static void three_client(struct side *side)
{
	for (int i = 0; i < 3; i++)
		plain_talk(side_connect(side));
}

/* One request, a result for each connection. */
static void accept_multishot(struct side *side)
{
	struct io_uring ring;
	unsigned flags;

	ring_open(&ring, 0);
	io_uring_prep_multishot_accept(request(&ring), side->listener, NULL, NULL, SOCK_CLOEXEC);
	for (int i = 0; i < 3; i++) {
		int fd = result(&ring, &flags);

		if (fd == -EINVAL)
			count_skip("multishot accept is missing");
		answer(count_accepted(fd));
	}
}

/* Into the ring's own table: there is no descriptor. */
static void accept_direct(struct side *side)
{
	struct sockaddr_in6 local = { .sin6_family = AF_INET }, remote;
	const char *own = getenv("BOP_ADDR_S");
	int slots[4] = { -1, -1, -1, -1 };
	struct io_uring ring;

	must(own && inet_pton(AF_INET, own, &((struct sockaddr_in *)&local)->sin_addr) == 1);
	local.sin6_port = htons(side->port);
	ring_open(&ring, 0);
	must(!io_uring_register_files(&ring, slots, 4));
	for (int i = 0; i < 3; i++) {
		socklen_t size = sizeof(remote);
		int number = SLOT + i;

		io_uring_prep_accept_direct(request(&ring), side->listener, (struct sockaddr *)&remote, &size, 0,
					    (unsigned)i);
		must(!result(&ring, NULL));
		count_accepted(count_ends(number, &local, &remote));
		ring_recv_all(&ring, i, number, 1000, IOSQE_FIXED_FILE);
		ring_send_all(&ring, i, number, 500, IOSQE_FIXED_FILE);
		io_uring_prep_shutdown(request(&ring), i, SHUT_WR);
		must(result(&ring, NULL) < 0); /* that is no descriptor */
		must(!ring_recv(&ring, i, 10, IOSQE_FIXED_FILE));
		io_uring_prep_close_direct(request(&ring), (unsigned)i);
		must(!result(&ring, NULL));
	}
}

/* --- files that were registered --- */

static void fixed_client(struct side *side)
{
	int fd = side_connect(side);
	struct io_uring ring;

	ring_open(&ring, 0);
	must(!io_uring_register_files(&ring, &fd, 1));
	ring_send_all(&ring, 0, fd, 1000, IOSQE_FIXED_FILE);
	ring_recv_all(&ring, 0, fd, 500, IOSQE_FIXED_FILE);
	io_uring_unregister_files(&ring);
	finish(fd);
}

static void plain_server(struct side *side)
{
	answer(side_accept(side));
}

/* --- a chain of requests --- */

static void linked_client(struct side *side)
{
	int fd = side_connect(side);
	static char buf[500];
	struct io_uring_sqe *sqe;
	struct io_uring ring;

	ring_open(&ring, 0);
	for (int i = 0; i < 2; i++) {
		sqe = request(&ring);
		io_uring_prep_send(sqe, fd, data, 500, 0);
		sqe->flags |= IOSQE_IO_LINK;
	}
	io_uring_prep_recv(request(&ring), fd, buf, 500, MSG_WAITALL);
	must(count_sent(fd, result(&ring, NULL)) == 500);
	must(count_sent(fd, result(&ring, NULL)) == 500);
	must(count_received(fd, result(&ring, NULL)) == 500);
	finish(fd);
}

/* --- zero-copy sends: a second completion says that the pages are free --- */

static void zerocopy_client(struct side *side)
{
	int fd = side_connect(side), res;
	struct io_uring ring;
	unsigned flags;

	ring_open(&ring, 0);
	for (int i = 0; i < 4; i++) {
		io_uring_prep_send_zc(request(&ring), fd, data, 250, 0, 0);
		res = result(&ring, &flags);
		if (res == -EINVAL)
			count_skip("zero-copy sends are missing");
		must(count_sent(fd, res) == 250);
		if (flags & IORING_CQE_F_MORE)
			must(!result(&ring, NULL));
	}
	recv_all(fd, 500);
	finish(fd);
}

/* --- one receive, many results --- */

#define BUFS 16
#define BUF_SIZE 700

static void multishot_server(struct side *side)
{
	int fd = side_accept(side), res;
	struct io_uring_buf_ring *bufs;
	struct io_uring_sqe *sqe;
	static char space[BUFS][BUF_SIZE];
	struct io_uring_buf_reg reg = { .ring_entries = BUFS };
	struct io_uring ring;
	unsigned flags = 0;

	ring_open(&ring, 0);
	must(!posix_memalign((void **)&bufs, 4096, 4096));
	reg.ring_addr = (uint64_t)(uintptr_t)bufs;
	if (io_uring_register_buf_ring(&ring, &reg, 0))
		count_skip("rings of buffers are missing");
	io_uring_buf_ring_init(bufs);
	for (int i = 0; i < BUFS; i++)
		io_uring_buf_ring_add(bufs, space[i], BUF_SIZE, (unsigned short)i, BUFS - 1, i);
	io_uring_buf_ring_advance(bufs, BUFS);
	do {
		if (!(flags & IORING_CQE_F_MORE)) {
			sqe = request(&ring);
			io_uring_prep_recv_multishot(sqe, fd, NULL, 0, 0);
			sqe->flags |= IOSQE_BUFFER_SELECT;
			sqe->buf_group = 0;
		}
		res = result(&ring, &flags);
		if (res == -EINVAL)
			count_skip("multishot receives are missing");
		must(res >= 0 || res == -ENOBUFS);
		count_received(fd, res);
		if (flags & IORING_CQE_F_BUFFER) {
			unsigned short id = (unsigned short)(flags >> IORING_CQE_BUFFER_SHIFT);

			io_uring_buf_ring_add(bufs, space[id], BUF_SIZE, id, BUFS - 1, 0);
			io_uring_buf_ring_advance(bufs, 1);
		}
	} while (res);
	send_all(fd, 77);
	close(fd);
}

static void stream_client(struct side *side)
{
	int fd = side_connect(side);

	for (int i = 0; i < 40; i++)
		send_all(fd, 1 + (size_t)i * 97);
	must(!shutdown(fd, SHUT_WR));
	drain(fd);
	close(fd);
}

const struct way ways_uring[] = {
	{ "uring", inline_client, inline_server },
	{ "uring-async", async_client, async_server },
	{ "uring-sqpoll", sqpoll_client, sqpoll_server },
	{ "uring-sqpoll-async", sqpoll_async_client, sqpoll_async_server },
	{ "uring-deferred", deferred_client, deferred_server },
	{ "uring-opcodes", opcodes_client, opcodes_server },
	{ "uring-connect", connect_client, plain_server },
	{ "uring-accept", three_client, accept_inline },
	{ "uring-accept-async", three_client, accept_async },
	{ "uring-accept-sqpoll", three_client, accept_sqpoll },
	{ "uring-accept-multishot", three_client, accept_multishot },
	{ "uring-accept-direct", three_client, accept_direct },
	{ "uring-fixed", fixed_client, plain_server },
	{ "uring-linked", linked_client, plain_server },
	{ "uring-zerocopy", zerocopy_client, plain_server },
	{ "uring-multishot", stream_client, multishot_server },
	{ 0 },
};
