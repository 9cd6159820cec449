/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * usage: load-client HOST PORT COUNT WIDTH [together]
 *
 * Opens COUNT connections, WIDTH at a time: sends a message, waits for its echo, sends the next; the server closes. With
 * `together` WIDTH connections are open before the first message is sent on any of them. One thread, epoll.
 * Prints what it counted. What it has not expected ends it with 1 and one line.
 */
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "message.h"

enum { BATCH = 256 };

struct peer {
	int fd;
	uint32_t k;
	unsigned number, got; /* of the message under way; bytes of its echo */
	bool connected;
};

struct client {
	const struct addrinfo *server;
	int epoll;
	uint32_t count, width, opened, connected, done;
	bool together;
	uint64_t messages, bytes;
	unsigned n_ports; /* different ones of its own */
	bool ports[1 << 16];
	struct peer *peers;
};

static void die(const char *what)
{
	fprintf(stderr, "load-client: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void peer_open(struct client *c, struct peer *peer)
{
	struct epoll_event event = { .events = EPOLLOUT, .data.ptr = peer };

	*peer = (struct peer){ .k = ++c->opened };
	peer->fd = socket(c->server->ai_family, SOCK_STREAM | SOCK_NONBLOCK, 0);
	if (peer->fd < 0)
		die("socket");
	if (connect(peer->fd, c->server->ai_addr, c->server->ai_addrlen) && errno != EINPROGRESS)
		die("connect");
	if (epoll_ctl(c->epoll, EPOLL_CTL_ADD, peer->fd, &event))
		die("epoll_ctl");
}

static void peer_send(struct client *c, struct peer *peer)
{
	char data[MESSAGE_MAX] = { 0 };
	unsigned number = ++peer->number, size = size_of(peer->k, number);
	struct head head = { size, number == messages_of(peer->k) };

	memcpy(data, &head, sizeof(head));
	peer->got = 0;
	if (write(peer->fd, data, size) != size)
		die("write");
	c->messages++;
	c->bytes += size;
}

/* Returns 0 at the end, which must come after the last echo and not before. */
static bool peer_read(struct client *c, struct peer *peer)
{
	unsigned size = size_of(peer->k, peer->number);
	char data[MESSAGE_MAX];
	ssize_t n = read(peer->fd, data, sizeof(data));
	bool last = peer->number == messages_of(peer->k);

	if (n < 0)
		die("read");
	if (!n) {
		if (!last || peer->got != size)
			die("a connection ended before its last echo");
		return false;
	}
	peer->got += n;
	if (peer->got > size)
		die("more came back than was sent");
	if (peer->got == size && !last)
		peer_send(c, peer);
	return true;
}

static void note_port(struct client *c, int fd)
{
	struct sockaddr_in address = { 0 };
	socklen_t size = sizeof(address);

	if (getsockname(fd, (struct sockaddr *)&address, &size))
		die("getsockname");
	c->n_ports += !c->ports[address.sin_port];
	c->ports[address.sin_port] = true;
}

static void begin(struct client *c, struct peer *peer)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = peer };
	int error = 0;
	socklen_t size = sizeof(error);

	if (getsockopt(peer->fd, SOL_SOCKET, SO_ERROR, &error, &size) || error) {
		errno = error;
		die("connect");
	}
	note_port(c, peer->fd);
	peer->connected = true;
	c->connected++;
	if (epoll_ctl(c->epoll, EPOLL_CTL_MOD, peer->fd, &event))
		die("epoll_ctl");
	if (!c->together || c->connected > c->width)
		peer_send(c, peer);
	else if (c->connected == c->width)
		for (uint32_t i = 0; i < c->width; i++)
			peer_send(c, &c->peers[i]);
}

static void run(struct client *c)
{
	struct epoll_event events[BATCH];

	for (uint32_t i = 0; i < c->width; i++)
		peer_open(c, &c->peers[i]);
	while (c->done < c->count) {
		int n = epoll_wait(c->epoll, events, BATCH, -1);

		for (int i = 0; i < n; i++) {
			struct peer *peer = events[i].data.ptr;

			if (!peer->connected) {
				begin(c, peer);
			} else if (!peer_read(c, peer)) {
				close(peer->fd);
				c->done++;
				if (c->opened < c->count)
					peer_open(c, peer);
			}
		}
	}
}

int main(int argc, char **argv)
{
	struct addrinfo hints = { .ai_family = AF_INET, .ai_socktype = SOCK_STREAM }, *server = NULL;
	static struct client c;

	if (argc < 5 || argc > 6 || atoi(argv[3]) < atoi(argv[4]) || atoi(argv[4]) < 1) {
		fprintf(stderr, "usage: load-client HOST PORT COUNT WIDTH [together]\n");
		return 2;
	}
	if (getaddrinfo(argv[1], argv[2], &hints, &server))
		die(argv[1]);
	raise_file_limit();
	c.server = server;
	c.epoll = epoll_create1(0);
	c.count = atoi(argv[3]);
	c.width = atoi(argv[4]);
	c.together = argc == 6;
	c.peers = calloc(c.width, sizeof(*c.peers));
	if (!c.peers)
		die("memory");
	run(&c);
	printf("opened %u connections from %u ports, sent %ju messages of %ju bytes\n", c.opened, c.n_ports,
	       (uintmax_t)c.messages, (uintmax_t)c.bytes);
	free(c.peers);
	freeaddrinfo(server);
	close(c.epoll);
	return 0;
}
