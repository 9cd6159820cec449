/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Ways in which a connection ends, and what is in its way before. */
#include "tests/torture/torture.h"

static void half_client(struct side *side)
{
	int fd = side_connect(side);

	send_all(fd, 3000);
	must(!shutdown(fd, SHUT_WR));
	drain(fd);
	close(fd);
}

/* Answers after it has seen the end. */
static void half_server(struct side *side)
{
	int fd = side_accept(side);

	drain(fd);
	send_all(fd, 5000);
	close(fd);
}

static void expect_reset(int fd)
{
	char byte;

	must(recv(fd, &byte, 1, 0) < 0 && errno == ECONNRESET);
	close(fd);
}

static void unread_client(struct side *side)
{
	int fd = side_connect(side);

	send_all(fd, 4000);
	expect_reset(fd);
}

static void unread_server(struct side *side)
{
	int fd = side_accept(side), n = 0;

	recv_all(fd, 1500);
	do
		must(!ioctl(fd, FIONREAD, &n));
	while (n < 2500);
	close(fd);
}

static void linger_client(struct side *side)
{
	struct linger linger = { .l_onoff = 1 };
	int fd = side_connect(side);

	send_all(fd, 1000);
	recv_all(fd, 10);
	must(!setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)));
	close(fd);
}

static void linger_server(struct side *side)
{
	int fd = side_accept(side);

	recv_all(fd, 1000);
	send_all(fd, 10);
	expect_reset(fd);
}

/* Sent, and thrown away by an RST before it left: the receiver never has it. */
static void lost_client(struct side *side)
{
	struct linger linger = { .l_onoff = 1 };
	int fd = side_connect(side), small = 4096;

	recv_all(fd, 1);
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	must(!fcntl(fd, F_SETFL, O_NONBLOCK));
	while (count_sent(fd, send(fd, data, 100000, 0)) > 0)
		;
	must(errno == EAGAIN);
	must(!setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)));
	close(fd);
}

static void lost_server(struct side *side)
{
	static char buf[1000];
	int fd, small = 4096;

	setsockopt(side->listener, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	fd = side_accept(side);
	send_all(fd, 1);
	wait_for_fd(fd, 0); /* for the RST: what is here then is all that ever came */
	while (count_received(fd, recv(fd, buf, sizeof(buf), 0)) > 0)
		;
	must(errno == ECONNRESET);
	close(fd);
}

/* The child dies with the connection in its hands. */
static void hold(void *arg)
{
	recv_all(*(int *)arg, 100);
	send_all(*(int *)arg, 1);
	count_end();
	raise(SIGKILL);
}

static void killed_client(struct side *side)
{
	int fd = side_connect(side);

	send_all(fd, 100);
	drain(fd);
	close(fd);
}

static void killed_server(struct side *side)
{
	int fd = side_accept(side), status;
	pid_t child = child_start(hold, &fd);

	close(fd);
	must(waitpid(child, &status, 0) == child && WIFSIGNALED(status));
}

/* Writes that are cut short, and that find no room at all. */
static void tiny_client(struct side *side)
{
	int start = side_connect(side), fd = side_connect(side), small = 4096;
	unsigned shorts = 0, none = 0;
	size_t size = 60000;

	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	must(!fcntl(fd, F_SETFL, O_NONBLOCK));
	for (int i = 0; i < 5; i++) {
		for (size_t done = 0; done < size;) {
			ssize_t n = count_sent(fd, write(fd, data, size - done));

			if (n < 0) {
				must(errno == EAGAIN);
				if (!none++)
					send_all(start, 1);
				wait_for_fd(fd, POLLOUT);
				continue;
			}
			shorts += (size_t)n < size - done;
			done += (size_t)n;
		}
	}
	must(shorts && none);
	must(!fcntl(fd, F_SETFL, 0));
	finish(fd);
	close(start);
}

/* Reads only when the client has found no room. */
static void tiny_server(struct side *side)
{
	static char buf[3000];
	int start, fd, small = 4096;
	size_t left = 300000;

	setsockopt(side->listener, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	start = side_accept(side);
	fd = side_accept(side);
	recv_all(start, 1);
	for (ssize_t n; left; left -= (size_t)n)
		must((n = count_received(fd, recv(fd, buf, sizeof(buf), 0))) > 0);
	finish(fd);
	drain(start);
	close(start);
}

/* Established, but nobody ever accepts it. */
static void unaccepted_client(struct side *side)
{
	int first = side_connect(side), fd = side_connect(side);

	send_all(fd, 1000);
	send_all(first, 1);
	expect_reset(fd);
	close(first);
}

static void unaccepted_server(struct side *side)
{
	int first = side_accept(side);

	recv_all(first, 1);
	close(side->listener);
	drain(first);
	close(first);
}

/* --- what is not covered must be seen not to be --- */

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

/* Its port comes over a plain connection. */
static void mptcp_client(struct side *side)
{
	int plain = side_connect(side), fd;
	uint16_t port;

	must(count_received(plain, recv(plain, &port, sizeof(port), MSG_WAITALL)) == sizeof(port));
	finish(plain);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_MPTCP);
	if (fd < 0 || !port)
		count_skip("MPTCP is missing");
	must(!connect_text(fd, side->peer, port));
	count_connection(fd);
	send_all(fd, 1000);
	recv_all(fd, 500);
	finish(fd);
}

static void mptcp_server(struct side *side)
{
	struct sockaddr_in6 addr = { .sin6_family = AF_INET6 };
	int listener = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_MPTCP), plain = side_accept(side), fd;
	socklen_t size = sizeof(addr);

	if (listener >= 0) {
		must(!bind(listener, (struct sockaddr *)&addr, sizeof(addr)) && !listen(listener, 4));
		must(!getsockname(listener, (struct sockaddr *)&addr, &size));
		addr.sin6_port = ntohs(addr.sin6_port);
	}
	must(count_sent(plain, send(plain, &addr.sin6_port, sizeof(addr.sin6_port), 0)) == sizeof(addr.sin6_port));
	finish(plain);
	if (listener < 0)
		count_skip("MPTCP is missing");
	fd = count_accepted(accept(listener, NULL, NULL));
	recv_all(fd, 1000);
	send_all(fd, 500);
	finish(fd);
}

const struct way ways_close[] = {
	{ "half-close", half_client, half_server },
	{ "unread", unread_client, unread_server },
	{ "linger", linger_client, linger_server },
	{ "never-left", lost_client, lost_server },
	{ "killed", killed_client, killed_server },
	{ "tiny-window", tiny_client, tiny_server },
	{ "unaccepted", unaccepted_client, unaccepted_server },
	{ "mptcp", mptcp_client, mptcp_server },
	{ 0 },
};
