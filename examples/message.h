/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What the example programs share: messages over a TCP connection, with plain sockets. They know
 * nothing of the tracer.
 *
 * A message is four bytes of length and a text "NAME BODY", written with one send(). NAME is what
 * the sender itself thinks this message is called: client>s1:7000#2/3 is the third message on the
 * second connection that `client` opened to s1's port 7000, client<s1:7000#2/3 the third reply on
 * it. Each message is logged on stdout by both sides
 * ("sent NAME BYTES", "recv NAME BYTES"), so that the tracer's labels can be compared with the
 * truth.
 */
#ifndef EXAMPLES_MESSAGE_H
#define EXAMPLES_MESSAGE_H

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MESSAGE_MAX 1024

struct peer {
	int fd;		/* -1: none */
	char name[128]; /* of the connection, as the front of this side's messages: client>s1:7000#2
			 */
	unsigned sent;
	size_t have;
	char in[4 * MESSAGE_MAX];
};

static inline void die(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	exit(1);
}

/* The k-th connection (from 1) of process self to box ("s1", or "s1.v6" for its IPv6 address) and
 * port. */
static inline void peer_connect(struct peer *peer, const char *self, const char *box,
				const char *port, unsigned k)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *address;
	int err = getaddrinfo(box, port, &hints, &address);

	if (err) {
		fprintf(stderr, "%s: %s\n", box, gai_strerror(err));
		exit(1);
	}
	memset(peer, 0, sizeof(*peer));
	snprintf(peer->name, sizeof(peer->name), "%s>%.*s:%s#%u", self, (int)strcspn(box, "."), box,
		 port, k);
	peer->fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (peer->fd < 0)
		die("socket");
	if (connect(peer->fd, address->ai_addr, address->ai_addrlen) < 0)
		die(peer->name);
	freeaddrinfo(address);
}

/* A listening socket; AF_INET6 takes IPv4 connections as well. */
static inline int port_listen(int family, const char *port)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(atoi(port)) };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons(atoi(port)) };
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

	if (fd < 0)
		die("socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (family == AF_INET ? bind(fd, (struct sockaddr *)&in, sizeof(in))
			      : bind(fd, (struct sockaddr *)&in6, sizeof(in6)))
		die("bind");
	if (listen(fd, 64) < 0)
		die("listen");
	return fd;
}

/* An accepted connection; its name is learnt from the first message that arrives. */
static inline void peer_accept(struct peer *peer, int listener)
{
	memset(peer, 0, sizeof(*peer));
	peer->fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	if (peer->fd < 0 && errno != EINTR && errno != ECONNABORTED)
		die("accept");
}

static inline void peer_close(struct peer *peer)
{
	if (peer->fd >= 0)
		close(peer->fd);
	peer->fd = -1;
}

/* Returns 0, or -1 if the peer is gone. */
static inline int peer_send(struct peer *peer, const char *body)
{
	char out[MESSAGE_MAX];
	int n = snprintf(out + 4, sizeof(out) - 4, "%s/%u %s", peer->name, peer->sent + 1, body);
	uint32_t length = htonl(n);

	memcpy(out, &length, 4);
	if (send(peer->fd, out, n + 4, MSG_NOSIGNAL) != n + 4)
		return -1;
	peer->sent++;
	printf("sent %s/%u %d\n", peer->name, peer->sent, n + 4);
	return 0;
}

/* One recv(). Returns its result: 0 or less means that the peer is gone. */
static inline ssize_t peer_fill(struct peer *peer)
{
	ssize_t n = recv(peer->fd, peer->in + peer->have, sizeof(peer->in) - peer->have, 0);

	if (n > 0)
		peer->have += n;
	return n;
}

/* Takes the next whole message out of what has arrived. Returns its size, 0 if there is none, -1 if
 * it is no message. */
static inline int peer_next(struct peer *peer, char body[MESSAGE_MAX])
{
	char text[MESSAGE_MAX], *blank, *slash, *sign;
	uint32_t length;

	if (peer->have < 4)
		return 0;
	memcpy(&length, peer->in, 4);
	length = ntohl(length);
	if (length > MESSAGE_MAX - 4)
		return -1;
	if (peer->have < length + 4)
		return 0;
	memcpy(text, peer->in + 4, length);
	text[length] = '\0';
	peer->have -= length + 4;
	memmove(peer->in, peer->in + length + 4, peer->have);
	blank = strchr(text, ' ');
	slash = blank ? memrchr(text, '/', blank - text) : NULL;
	sign = slash ? strpbrk(text, "<>") : NULL;
	if (!sign)
		return -1;
	*blank = '\0';
	printf("recv %s %u\n", text, length + 4);
	strcpy(body, blank + 1);
	if (!peer->name[0]) { /* replies stand on the same connection, in the other direction */
		*slash = '\0';
		*sign = '<';
		snprintf(peer->name, sizeof(peer->name), "%.127s", text);
	}
	return length + 4;
}

/* Waits for one message. Returns its size, 0 at the end of the connection, -1 if it broke. */
static inline int peer_receive(struct peer *peer, char body[MESSAGE_MAX])
{
	ssize_t n;
	int size;

	while (!(size = peer_next(peer, body))) {
		n = peer_fill(peer);
		if (n <= 0)
			return n;
	}
	return size;
}

/* SIGTERM and SIGINT end the program where it waits, and nowhere else. *ret_waiting is the mask for
 * ppoll(). */
static volatile sig_atomic_t stopped;

static inline void on_stop(int signal)
{
	stopped = signal;
}

static inline void stop_prepare(sigset_t *ret_waiting)
{
	struct sigaction action = { .sa_handler = on_stop };
	sigset_t stops;

	setvbuf(stdout, NULL, _IOLBF, 0);
	sigemptyset(&stops);
	sigaddset(&stops, SIGTERM);
	sigaddset(&stops, SIGINT);
	sigprocmask(SIG_BLOCK, &stops, ret_waiting);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
}

#endif
