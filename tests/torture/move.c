/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * System calls that send and receive. The client sends by one, the server receives by another and answers; each way has
 * one pair of them.
 */
#include "tests/torture/torture.h"

#include <linux/errqueue.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/uio.h>

#define ROUNDS 12

static size_t size_of(int round)
{
	static const size_t sizes[] = { 1, 100, 7000, 30000, 3, 17396 };

	return sizes[round % 6];
}

/* Each sends ROUNDS messages; the sizes are those of size_of(). */

static void by_write(int fd)
{
	for (int i = 0; i < ROUNDS; i++)
		must(count_sent(fd, write(fd, data, size_of(i))) > 0);
}

static void by_send(int fd)
{
	for (int i = 0; i < ROUNDS; i++)
		must(count_sent(fd, send(fd, data, size_of(i), i % 2 ? MSG_MORE : 0)) > 0);
}

static void by_sendto(int fd)
{
	for (int i = 0; i < ROUNDS; i++) {
		for (size_t left = size_of(i); left;) {
			ssize_t n = count_sent(fd, sendto(fd, data, left, MSG_DONTWAIT | MSG_NOSIGNAL, NULL, 0));

			must(n > 0 || errno == EAGAIN);
			if (n < 0)
				wait_for_fd(fd, POLLOUT);
			left -= n > 0 ? (size_t)n : 0;
		}
	}
}

static void by_writev(int fd)
{
	for (int i = 0; i < ROUNDS; i++) {
		struct iovec iov[3] = { { data, size_of(i) / 2 }, { data + 5, 0 }, { data, size_of(i) - size_of(i) / 2 } };

		must(count_sent(fd, i % 2 ? writev(fd, iov, 3) : pwritev2(fd, iov, 3, -1, 0)) > 0);
	}
}

static void by_sendmsg(int fd)
{
	for (int i = 0; i < ROUNDS; i++) {
		struct iovec iov[2] = { { data, size_of(i) / 3 }, { data, size_of(i) - size_of(i) / 3 } };
		struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };

		must(count_sent(fd, sendmsg(fd, &msg, MSG_NOSIGNAL)) > 0);
	}
}

static void by_sendmmsg(int fd)
{
	for (int i = 0; i < ROUNDS; i += 3) {
		struct iovec iov[3];
		struct mmsghdr several[3] = { 0 };

		for (int j = 0; j < 3; j++) {
			iov[j] = (struct iovec){ data, size_of(i + j) };
			several[j].msg_hdr = (struct msghdr){ .msg_iov = &iov[j], .msg_iovlen = 1 };
		}
		must(sendmmsg(fd, several, 3, MSG_NOSIGNAL) == 3);
		for (int j = 0; j < 3; j++)
			count_sent(fd, several[j].msg_len);
	}
}

/* A file with the bytes, without a name. */
static int file_open(void)
{
	int file = memfd_create("torture", MFD_CLOEXEC);

	must(file >= 0 && write(file, data, DATA_SIZE) == DATA_SIZE);
	return file;
}

static void by_sendfile(int fd)
{
	int file = file_open();

	for (int i = 0; i < ROUNDS; i++) {
		off_t at = i * 100;

		must(count_sent(fd, sendfile(fd, file, &at, size_of(i))) == (ssize_t)size_of(i));
	}
	close(file);
}

static void by_splice(int fd)
{
	int file = file_open(), pipes[2];

	must(!pipe2(pipes, O_CLOEXEC));
	for (int i = 0; i < ROUNDS; i++) {
		loff_t at = 0;
		size_t left = size_of(i);

		must(splice(file, &at, pipes[1], NULL, left, 0) == (ssize_t)left);
		while (left) {
			ssize_t n = count_sent(fd, splice(pipes[0], NULL, fd, NULL, left, i % 2 ? SPLICE_F_MORE : 0));

			must(n > 0);
			left -= (size_t)n;
		}
	}
	close(file);
	close(pipes[0]);
	close(pipes[1]);
}

static void by_vmsplice(int fd)
{
	int pipes[2];

	must(!pipe2(pipes, O_CLOEXEC));
	for (int i = 0; i < ROUNDS; i++) {
		struct iovec iov = { data, size_of(i) };
		ssize_t left = vmsplice(pipes[1], &iov, 1, 0);

		must(left == (ssize_t)size_of(i));
		while (left) {
			ssize_t n = count_sent(fd, splice(pipes[0], NULL, fd, NULL, (size_t)left, 0));

			must(n > 0);
			left -= n;
		}
	}
	close(pipes[0]);
	close(pipes[1]);
}

/* The kernel says on the error queue when it has let go of the pages: that is no data of the stream. */
static void completions_read(int fd, int wanted)
{
	while (wanted > 0) {
		char control[256];
		struct msghdr msg = { .msg_control = control, .msg_controllen = sizeof(control) };
		struct cmsghdr *cmsg;
		ssize_t n = recvmsg(fd, &msg, MSG_ERRQUEUE);

		if (n < 0 && errno == EAGAIN) {
			struct pollfd p = { .fd = fd };

			must(poll(&p, 1, 20000) == 1 && p.revents & POLLERR);
			continue;
		}
		must(!n);
		for (cmsg = CMSG_FIRSTHDR(&msg); cmsg; cmsg = CMSG_NXTHDR(&msg, cmsg)) {
			struct sock_extended_err err;

			memcpy(&err, CMSG_DATA(cmsg), sizeof(err));
			if (err.ee_origin == SO_EE_ORIGIN_ZEROCOPY)
				wanted -= (int)(err.ee_data - err.ee_info + 1);
		}
	}
}

static void by_zerocopy(int fd)
{
	int one = 1;

	must(!setsockopt(fd, SOL_SOCKET, SO_ZEROCOPY, &one, sizeof(one)));
	for (int i = 0; i < ROUNDS; i++)
		must(count_sent(fd, send(fd, data, size_of(i), MSG_ZEROCOPY)) > 0);
	completions_read(fd, ROUNDS);
}

/* Each receives what the rounds sent, to the last byte. */

static void to_read(int fd, size_t left)
{
	static char buf[8192];

	for (ssize_t n; left; left -= (size_t)n) {
		n = count_received(fd, read(fd, buf, left < sizeof(buf) ? left : sizeof(buf)));
		must(n > 0);
	}
}

static void to_recvfrom(int fd, size_t left)
{
	static char buf[5000];

	for (ssize_t n; left; left -= (size_t)n) {
		struct sockaddr_storage from;
		socklen_t size = sizeof(from);

		n = count_received(fd, recvfrom(fd, buf, left < sizeof(buf) ? left : sizeof(buf), 0,
						(struct sockaddr *)&from, &size));
		must(n > 0);
	}
}

static void to_readv(int fd, size_t left)
{
	static char buf[12000];

	for (ssize_t n; left; left -= (size_t)n) {
		size_t half = left < sizeof(buf) ? left / 2 : sizeof(buf) / 2;
		struct iovec iov[2] = { { buf, half }, { buf + half, left < sizeof(buf) ? left - half : half } };

		n = count_received(fd, readv(fd, iov, 2));
		must(n > 0);
	}
}

static void to_recvmsg(int fd, size_t left)
{
	static char buf[20000];

	for (ssize_t n; left; left -= (size_t)n) {
		struct iovec iov = { buf, left < sizeof(buf) ? left : sizeof(buf) };
		struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

		n = count_received(fd, recvmsg(fd, &msg, 0));
		must(n > 0);
	}
}

static void to_recvmmsg(int fd, size_t left)
{
	static char buf[4][3000];

	while (left) {
		struct mmsghdr several[4] = { 0 };
		struct iovec iov[4];
		int n;

		for (int i = 0; i < 4; i++) {
			iov[i] = (struct iovec){ buf[i], sizeof(buf[i]) };
			several[i].msg_hdr = (struct msghdr){ .msg_iov = &iov[i], .msg_iovlen = 1 };
		}
		n = recvmmsg(fd, several, left > 4 * sizeof(buf[0]) ? 4 : 1, MSG_WAITFORONE, NULL);
		must(n > 0);
		for (int i = 0; i < n; i++) {
			must(several[i].msg_len > 0 && several[i].msg_len <= left);
			left -= (size_t)count_received(fd, several[i].msg_len);
		}
	}
}

static void to_splice(int fd, size_t left)
{
	int pipes[2], null = open("/dev/null", O_WRONLY | O_CLOEXEC);

	must(null >= 0 && !pipe2(pipes, O_CLOEXEC));
	while (left) {
		ssize_t n = count_received(fd, splice(fd, NULL, pipes[1], NULL, left < 10000 ? left : 10000, 0));

		must(n > 0);
		left -= (size_t)n;
		must(splice(pipes[0], NULL, null, NULL, (size_t)n, 0) == n);
	}
	close(pipes[0]);
	close(pipes[1]);
	close(null);
}

static void splice_end(int fd)
{
	int pipes[2];

	must(!pipe2(pipes, O_CLOEXEC));
	must(!splice(fd, NULL, pipes[1], NULL, 0, 0)); /* asks for nothing */
	must(!splice(fd, NULL, pipes[1], NULL, 10, 0));
	close(pipes[0]);
	close(pipes[1]);
}

/* Looking is not taking. */
static void to_peek(int fd, size_t left)
{
	static char buf[6000];

	for (ssize_t n; left; left -= (size_t)n) {
		must(recv(fd, buf, sizeof(buf), MSG_PEEK) > 0);
		must(recv(fd, buf, 1, MSG_PEEK | MSG_DONTWAIT) == 1);
		n = count_received(fd, recv(fd, buf, left < 4000 ? left : 4000, 0));
		must(n > 0);
	}
}

static void to_waitall(int fd, size_t left)
{
	static char buf[40000];

	while (left) {
		size_t size = left < sizeof(buf) ? left : sizeof(buf);

		must(count_received(fd, recv(fd, buf, size, MSG_WAITALL)) == (ssize_t)size);
		left -= size;
	}
}

static void to_trunc(int fd, size_t left)
{
	for (ssize_t n; left; left -= (size_t)n) {
		n = count_received(fd, recv(fd, NULL, left < 9000 ? left : 9000, MSG_TRUNC));
		must(n > 0);
	}
}

/* struct tcp_zerocopy_receive of <linux/tcp.h>, as far as we use it: the C library's is older. */
struct zerocopy_receive {
	uint64_t address;
	uint32_t length, recv_skip_hint, inq;
	int32_t err;
	uint64_t copybuf_address;
	int32_t copybuf_len;
	uint32_t flags;
};

/* Pages of the stream into the memory of the process; what is no whole page is copied. */
static void to_zerocopy(int fd, size_t left)
{
	size_t size = 64 * 4096;
	void *map = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
	static char buf[65536];

	if (map == MAP_FAILED)
		count_skip("TCP_ZEROCOPY_RECEIVE is missing");
	while (left) {
		struct zerocopy_receive zc = { .address = (uint64_t)(uintptr_t)map,
						   .length = (uint32_t)(left < size ? left & ~4095ul : size) };
		socklen_t zc_size = sizeof(zc);
		ssize_t n;

		wait_for_fd(fd, POLLIN);
		must(!getsockopt(fd, IPPROTO_TCP, TCP_ZEROCOPY_RECEIVE, &zc, &zc_size));
		left -= (size_t)count_received(fd, zc.length);
		if (!zc.recv_skip_hint)
			continue;
		n = recv(fd, buf, zc.recv_skip_hint < left ? zc.recv_skip_hint : left, 0);
		must(count_received(fd, n) > 0);
		left -= (size_t)n;
	}
	munmap(map, size);
}

/* The same, copied by the same call. */
static void to_zerocopy_copied(int fd, size_t left)
{
	size_t size = 16 * 4096;
	void *map = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
	static char buf[32768];

	if (map == MAP_FAILED)
		count_skip("TCP_ZEROCOPY_RECEIVE is missing");
	while (left) {
		struct zerocopy_receive zc = { .address = (uint64_t)(uintptr_t)map, .length = 4096,
						   .copybuf_address = (uint64_t)(uintptr_t)buf,
						   .copybuf_len = left < sizeof(buf) ? (int)left : (int)sizeof(buf) };
		socklen_t zc_size = sizeof(zc);

		wait_for_fd(fd, POLLIN);
		must(!getsockopt(fd, IPPROTO_TCP, TCP_ZEROCOPY_RECEIVE, &zc, &zc_size));
		must(zc.copybuf_len >= 0);
		left -= (size_t)count_received(fd, (ssize_t)zc.length + zc.copybuf_len);
		if (!zc.length && !zc.copybuf_len)
			left -= (size_t)count_received(fd, recv(fd, buf, zc.recv_skip_hint < left ? zc.recv_skip_hint : left, 0));
	}
	munmap(map, size);
}

static size_t all(void)
{
	size_t sum = 0;

	for (int i = 0; i < ROUNDS; i++)
		sum += size_of(i);
	return sum;
}

/* Client: all rounds by one call; then the answer, by what the server's way is. */
#define PAIR(send, recv)                                                                                               \
	static void client_##send##_##recv(struct side *side)                                                          \
	{                                                                                                              \
		int fd = side_connect(side);                                                                           \
														       \
		by_##send(fd);                                                                                         \
		to_##recv(fd, all());                                                                                  \
		finish(fd);                                                                                            \
	}                                                                                                              \
	static void server_##send##_##recv(struct side *side)                                                          \
	{                                                                                                              \
		int fd = side_accept(side);                                                                            \
														       \
		to_##recv(fd, all());                                                                                  \
		by_##send(fd);                                                                                         \
		finish(fd);                                                                                            \
	}

PAIR(write, read)
PAIR(send, recvfrom)
PAIR(sendto, peek)
PAIR(writev, readv)
PAIR(sendmsg, recvmsg)
PAIR(sendmmsg, recvmmsg)
PAIR(sendfile, splice)
PAIR(splice, waitall)
PAIR(vmsplice, splice)
PAIR(zerocopy, trunc)
PAIR(sendfile, zerocopy)
PAIR(write, zerocopy_copied)

/* --- urgent data --- */

#define URGENT_ROUNDS 5

static void urgent_client(struct side *side)
{
	int fd = side_connect(side), one = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	for (int i = 0; i < URGENT_ROUNDS; i++) {
		send_all(fd, 100);
		must(count_sent(fd, send(fd, "!", 1, MSG_OOB)) == 1);
		send_all(fd, 50);
		recv_all(fd, 1); /* the next one only when this is dealt with */
	}
	finish(fd);
}

static void urgent_read(struct side *side)
{
	int fd = side_accept(side);
	char byte;

	for (int i = 0; i < URGENT_ROUNDS; i++) {
		recv_all(fd, 100);
		wait_for_fd(fd, POLLPRI);
		must(recv(fd, &byte, 1, MSG_OOB | MSG_PEEK) == 1); /* not yet */
		must(count_received(fd, recv(fd, &byte, 1, MSG_OOB)) == 1 && byte == '!');
		must(recv(fd, &byte, 1, MSG_OOB) < 0); /* only once */
		recv_all(fd, 50);
		send_all(fd, 1);
	}
	finish(fd);
}

/* The stream steps over a byte that nobody asks for. */
static void urgent_unread(struct side *side)
{
	int fd = side_accept(side);

	for (int i = 0; i < URGENT_ROUNDS; i++) {
		recv_all(fd, 150);
		send_all(fd, 1);
	}
	finish(fd);
}

static void urgent_inline(struct side *side)
{
	int fd = side_accept(side), one = 1;

	must(!setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &one, sizeof(one)));
	for (int i = 0; i < URGENT_ROUNDS; i++) {
		recv_all(fd, 151);
		send_all(fd, 1);
	}
	finish(fd);
}

/* The urgent byte is the last one before the FIN, and nobody reads it. */
static void urgent_last_client(struct side *side)
{
	int fd = side_connect(side);

	send_all(fd, 10);
	must(count_sent(fd, send(fd, "!", 1, MSG_OOB)) == 1);
	finish(fd);
}

static void urgent_last_server(struct side *side)
{
	int fd = side_accept(side);

	recv_all(fd, 10);
	finish(fd);
}

/* Sent together with what comes before it. */
static void urgent_within_client(struct side *side)
{
	int fd = side_connect(side);

	for (int i = 0; i < URGENT_ROUNDS; i++) {
		must(count_sent(fd, send(fd, data, 500, MSG_OOB)) == 500);
		recv_all(fd, 1);
	}
	finish(fd);
}

static void urgent_within_server(struct side *side)
{
	int fd = side_accept(side);
	char byte;

	for (int i = 0; i < URGENT_ROUNDS; i++) {
		recv_all(fd, 499);
		wait_for_fd(fd, POLLPRI);
		must(count_received(fd, recv(fd, &byte, 1, MSG_OOB)) == 1);
		send_all(fd, 1);
	}
	finish(fd);
}

/* The end of the stream, by a call that returns no receive. */
static void splice_client(struct side *side)
{
	int fd = side_connect(side);

	by_splice(fd);
	must(!shutdown(fd, SHUT_WR));
	drain(fd);
	close(fd);
}

static void splice_server(struct side *side)
{
	int fd = side_accept(side);

	to_splice(fd, all());
	splice_end(fd);
	send_all(fd, 10);
	close(fd);
}

#define ROW(send, recv) { #send "-" #recv, client_##send##_##recv, server_##send##_##recv }

const struct way ways_move[] = {
	ROW(write, read),
	ROW(send, recvfrom),
	ROW(sendto, peek),
	ROW(writev, readv),
	ROW(sendmsg, recvmsg),
	ROW(sendmmsg, recvmmsg),
	ROW(sendfile, splice),
	ROW(splice, waitall),
	ROW(vmsplice, splice),
	ROW(zerocopy, trunc),
	ROW(sendfile, zerocopy),
	ROW(write, zerocopy_copied),
	{ "splice-end", splice_client, splice_server },
	{ "urgent-read", urgent_client, urgent_read },
	{ "urgent-unread", urgent_client, urgent_unread },
	{ "urgent-inline", urgent_client, urgent_inline },
	{ "urgent-last", urgent_last_client, urgent_last_server },
	{ "urgent-within", urgent_within_client, urgent_within_server },
	{ 0 },
};
