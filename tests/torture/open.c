/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Ways to come to a connection, or not to. */
#include "tests/torture/torture.h"

#include <arpa/inet.h>

static void answer_all(struct side *side)
{
	int fd = side_accept(side);

	recv_all(fd, 1000);
	send_all(fd, 500);
	finish(fd);
}

static void question(int fd)
{
	send_all(fd, 1000);
	recv_all(fd, 500);
	finish(fd);
}

static int socket_new(int family)
{
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	must(fd >= 0);
	return fd;
}

static int outcome(int fd)
{
	int err = 0;
	socklen_t size = sizeof(err);

	wait_for_fd(fd, POLLOUT);
	must(!getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &size));
	return err;
}

static void ipv6_client(struct side *side)
{
	int fd = socket_new(AF_INET6);

	must(!connect_text(fd, side->peer6, side->port));
	question(count_connection(fd));
}

static void mapped_client(struct side *side)
{
	int fd = socket_new(AF_INET6);
	char text[64];

	snprintf(text, sizeof(text), "::ffff:%s", side->peer);
	must(!connect_text(fd, text, side->port));
	question(count_connection(fd));
}

static void nonblock_client(struct side *side)
{
	int fd = socket_new(AF_INET);

	must(!fcntl(fd, F_SETFL, O_NONBLOCK));
	must(connect_text(fd, side->peer, side->port) < 0 && errno == EINPROGRESS);
	must(!outcome(fd));
	must(!fcntl(fd, F_SETFL, 0));
	count_connect(side->port, 0);
	question(count_connection(fd));
}

/* Nobody listens at the port that the server has just given up; the way's own is for the connection after. */
static void refused_client(struct side *side)
{
	int fd = side_connect(side), other = socket_new(AF_INET);
	uint16_t port;

	must(count_received(fd, recv(fd, &port, sizeof(port), MSG_WAITALL)) == sizeof(port));
	must(connect_text(other, side->peer, port) < 0 && errno == ECONNREFUSED);
	count_connect(port, errno);
	must(!fcntl(other, F_SETFL, O_NONBLOCK));
	must(connect_text(other, side->peer, port) < 0);
	must(errno == EINPROGRESS && outcome(other) == ECONNREFUSED);
	count_connect(port, ECONNREFUSED);
	must(!fcntl(other, F_SETFL, 0));
	must(connect_text(other, side->peer, side->port) < 0 && errno == ECONNABORTED); /* so ends the last attempt */
	must(!connect_text(other, side->peer, side->port)); /* the same socket again, elsewhere */
	count_connect(side->port, 0);
	count_connection(other);
	send_all(fd, 1);
	question(other);
	close(fd);
}

static uint16_t port_of(int fd)
{
	struct sockaddr_in6 addr;
	socklen_t size = sizeof(addr);

	must(!getsockname(fd, (struct sockaddr *)&addr, &size));
	return ntohs(addr.sin6_port);
}

static void refused_server(struct side *side)
{
	int fd = side_accept(side), closed = listen_any(0);
	uint16_t port = port_of(closed);

	close(closed);
	must(count_sent(fd, send(fd, &port, sizeof(port), 0)) == sizeof(port));
	recv_all(fd, 1);
	answer_all(side);
	close(fd);
}

/* A queue that is full answers no SYN. */
static void timeout_client(struct side *side)
{
	int listener = socket_new(AF_INET), waiting[2], fd, one = 1, ms = 100;
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	uint16_t port;

	must(!bind(listener, (struct sockaddr *)&addr, sizeof(addr)) && !listen(listener, 0));
	port = port_of(listener);
	for (int i = 0; i < 2; i++) { /* the queue has room for one; another may be half way */
		waiting[i] = socket_new(AF_INET);
		must(!fcntl(waiting[i], F_SETFL, O_NONBLOCK));
		connect_text(waiting[i], "127.0.0.1", port);
	}
	fd = socket_new(AF_INET);
	must(!setsockopt(fd, IPPROTO_TCP, TCP_SYNCNT, &one, sizeof(one)));
	must(!setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof(ms)));
	must(connect_text(fd, "127.0.0.1", port) < 0 && errno == ETIMEDOUT);
	count_connect(port, ETIMEDOUT);
	close(fd);
	close(waiting[0]);
	close(waiting[1]);
	close(listener);
	question(side_connect(side));
}

/* Disconnected and connected again: the same socket has two connections. */
static void unspec_client(struct side *side)
{
	struct sockaddr none = { .sa_family = AF_UNSPEC };
	int fd = side_connect(side);

	send_all(fd, 1000);
	recv_all(fd, 500);
	must(!connect(fd, &none, sizeof(none)));
	must(!connect_text(fd, side->peer, side->port));
	question(count_connection(fd));
}

static void unspec_server(struct side *side)
{
	static char buf[10];
	int fd = side_accept(side);

	recv_all(fd, 1000);
	send_all(fd, 500);
	must(recv(fd, buf, sizeof(buf), 0) < 0 && errno == ECONNRESET);
	close(fd);
	answer_all(side);
}

/* --- TCP Fast Open: data in the SYN, from the second connection on (the first one gets the cookie) --- */

static void fastopen_server(struct side *side)
{
	int control = open("/proc/sys/net/ipv4/tcp_fastopen", O_WRONLY | O_CLOEXEC), queue = 16; /* of this box alone */

	must(control >= 0 && write(control, "3", 1) == 1);
	close(control);
	must(!setsockopt(side->listener, IPPROTO_TCP, TCP_FASTOPEN, &queue, sizeof(queue)));
	for (int i = 0; i < 3; i++)
		answer_all(side);
}

/* Did the SYN carry data, and did the peer take it? */
static bool had_data(int fd)
{
	struct tcp_info info = { 0 };
	socklen_t size = sizeof(info);

	must(!getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size));
	return info.tcpi_options & 0x20; /* TCPI_OPT_SYN_DATA */
}

static int fastopen_send(struct side *side, int flags, size_t size)
{
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_port = htons(side->port) };
	int fd = socket_new(AF_INET);
	ssize_t n;

	must(inet_pton(AF_INET, side->peer, &addr.sin_addr) == 1);
	n = sendto(fd, data, size, MSG_FASTOPEN | flags, (struct sockaddr *)&addr, sizeof(addr));
	if (n < 0 && errno == EINPROGRESS) /* no cookie: an ordinary SYN has left */
		must(!outcome(fd));
	else
		must(n > 0);
	count_connection(fd);
	count_sent(fd, n);
	if (n < (ssize_t)size)
		send_all(fd, n > 0 ? size - (size_t)n : size);
	return fd;
}

/* The server's process may not have let Fast Open in yet: then a SYN is an ordinary one. */
static void fastopen_client(struct side *side, int flags)
{
	bool had = false;

	for (int i = 0; i < 3; i++) {
		int fd = fastopen_send(side, flags, 1000);

		had |= had_data(fd);
		recv_all(fd, 500);
		finish(fd);
	}
	must(had);
}

static void fastopen_blocking(struct side *side)
{
	fastopen_client(side, 0);
}

static void fastopen_nonblock(struct side *side)
{
	fastopen_client(side, MSG_DONTWAIT);
}

/* More than a SYN has room for: one send, part of it before there is a connection. */
static void fastopen_large_client(struct side *side)
{
	for (int i = 0; i < 3; i++) {
		int fd = fastopen_send(side, 0, 200000);

		recv_all(fd, 500);
		finish(fd);
	}
}

static void fastopen_large_server(struct side *side)
{
	int control = open("/proc/sys/net/ipv4/tcp_fastopen", O_WRONLY | O_CLOEXEC), queue = 16, fd;

	must(control >= 0 && write(control, "3", 1) == 1);
	close(control);
	must(!setsockopt(side->listener, IPPROTO_TCP, TCP_FASTOPEN, &queue, sizeof(queue)));
	for (int i = 0; i < 3; i++) {
		fd = side_accept(side);
		recv_all(fd, 200000);
		send_all(fd, 500);
		finish(fd);
	}
}

/* connect() only promises; the first write sends the SYN. */
static void fastopen_connect_client(struct side *side)
{
	for (int i = 0; i < 3; i++) {
		int fd = socket_new(AF_INET), one = 1;

		must(!setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &one, sizeof(one)));
		must(!connect_text(fd, side->peer, side->port));
		must(write(fd, data, 1000) == 1000);
		count_connection(fd);
		count_sent(fd, 1000);
		recv_all(fd, 500);
		finish(fd);
	}
}

/* --- both ends connect; a socket meets itself; nobody chose the port --- */

static int bound(uint16_t port)
{
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket_new(AF_INET), one = 1;

	must(!setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)));
	must(!bind(fd, (struct sockaddr *)&addr, sizeof(addr)));
	return fd;
}

/* A port whose queue is full answers no SYN: the one that waits for an answer gets the SYN of the other. */
static void crossing_client(struct side *side)
{
	int listener = bound(0), full = socket_new(AF_INET), one = bound(0), other;
	uint16_t port = port_of(listener);

	must(!listen(listener, 0) && !connect_text(full, "127.0.0.1", port));
	must(!fcntl(one, F_SETFL, O_NONBLOCK));
	must(connect_text(one, "127.0.0.1", port) < 0 && errno == EINPROGRESS);
	close(full);
	close(listener);
	other = bound(port);
	must(!connect_text(other, "127.0.0.1", port_of(one)) && !outcome(one));
	must(!fcntl(one, F_SETFL, 0));
	count_connection(one);
	count_connection(other);
	send_all(one, 700);
	recv_all(other, 700);
	send_all(other, 300);
	must(!shutdown(one, SHUT_WR));
	finish(other);
	drain(one);
	close(one);
	question(side_connect(side));
}

static void itself_client(struct side *side)
{
	int fd = bound(0);

	must(!connect_text(fd, "127.0.0.1", port_of(fd)));
	count_connection(fd);
	send_all(fd, 1000);
	recv_all(fd, 400);
	send_all(fd, 1000);
	recv_all(fd, 1600);
	finish(fd);
	question(side_connect(side));
}

static void unbound_client(struct side *side)
{
	int listener = socket_new(AF_INET), fd, to = socket_new(AF_INET);

	must(!listen(listener, 4));
	must(!connect_text(to, "127.0.0.1", port_of(listener)));
	count_connection(to);
	fd = count_accepted(accept(listener, NULL, NULL));
	send_all(to, 10);
	recv_all(fd, 10);
	must(!shutdown(fd, SHUT_WR));
	finish(to);
	drain(fd);
	close(fd);
	close(listener);
	question(side_connect(side));
}

/* --- TCP_REPAIR: sequence numbers that are about to begin again from 0 --- */

static void wrap_client(struct side *side)
{
	int fd = socket_new(AF_INET), on = 1, off = 0, queue, seq, now;
	socklen_t size = sizeof(now);

	if (setsockopt(fd, IPPROTO_TCP, TCP_REPAIR, &on, sizeof(on)))
		count_skip("TCP_REPAIR is missing");
	queue = 2; /* of what is to be sent */
	seq = (int)(0xffffffffu - 3000);
	must(!setsockopt(fd, IPPROTO_TCP, TCP_REPAIR_QUEUE, &queue, sizeof(queue)));
	must(!setsockopt(fd, IPPROTO_TCP, TCP_QUEUE_SEQ, &seq, sizeof(seq)));
	must(!setsockopt(fd, IPPROTO_TCP, TCP_REPAIR, &off, sizeof(off)));
	must(!connect_text(fd, side->peer, side->port));
	count_connection(fd);
	must(!setsockopt(fd, IPPROTO_TCP, TCP_REPAIR, &on, sizeof(on)));
	must(!setsockopt(fd, IPPROTO_TCP, TCP_REPAIR_QUEUE, &queue, sizeof(queue)));
	must(!getsockopt(fd, IPPROTO_TCP, TCP_QUEUE_SEQ, &now, &size) && now == seq + 1);
	off = -1; /* without a packet */
	must(!setsockopt(fd, IPPROTO_TCP, TCP_REPAIR, &off, sizeof(off)));
	for (int i = 0; i < 10; i++) {
		send_all(fd, 1000);
		recv_all(fd, 1);
	}
	finish(fd);
}

static void wrap_server(struct side *side)
{
	int fd = side_accept(side);

	for (int i = 0; i < 10; i++) {
		recv_all(fd, 1000);
		send_all(fd, 1);
	}
	finish(fd);
}

const struct way ways_open[] = {
	{ "ipv6", ipv6_client, answer_all },
	{ "v4-mapped", mapped_client, answer_all },
	{ "nonblock", nonblock_client, answer_all },
	{ "refused", refused_client, refused_server },
	{ "timeout", timeout_client, answer_all },
	{ "unspec", unspec_client, unspec_server },
	{ "fastopen", fastopen_blocking, fastopen_server },
	{ "fastopen-nonblock", fastopen_nonblock, fastopen_server },
	{ "fastopen-large", fastopen_large_client, fastopen_large_server },
	{ "fastopen-connect", fastopen_connect_client, fastopen_server },
	{ "crossing", crossing_client, answer_all },
	{ "itself", itself_client, answer_all },
	{ "unbound", unbound_client, answer_all },
	{ "wraparound", wrap_client, wrap_server },
	{ 0 },
};
