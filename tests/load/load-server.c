/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * usage: load-server PORT: one thread, epoll, echoes messages on any number of connections, closes each after its last
 * message. On SIGTERM prints what it counted. What it has not expected ends it with 1 and one line.
 */
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "message.h"

enum { BATCH = 256 };

/* By descriptor: a message that has not come whole. */
struct peer {
	char data[MESSAGE_MAX];
	unsigned size;
};

static volatile sig_atomic_t stopped;

static void on_stop(int number)
{
	stopped = 1;
}

static void die(const char *what)
{
	fprintf(stderr, "load-server: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void watch(int epoll, int fd)
{
	struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };

	if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event))
		die("epoll_ctl");
}

static int port_listen(const char *port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(atoi(port)) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1;

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) ||
	    bind(fd, (struct sockaddr *)&address, sizeof(address)) || listen(fd, 4096))
		die("listen");
	return fd;
}

/* Whatever is there: a message may come in pieces. True when the connection is over. */
static bool serve(int fd, struct peer *peer, uint64_t *bytes)
{
	ssize_t n = read(fd, peer->data + peer->size, sizeof(peer->data) - peer->size);
	const struct head *head = (const struct head *)peer->data;

	if (n <= 0)
		die("a connection ended before its last message");
	peer->size += n;
	if (peer->size < sizeof(*head) || peer->size < head->size)
		return false;
	if (peer->size != head->size)
		die("more than one message at once");
	if (write(fd, peer->data, peer->size) != peer->size)
		die("write");
	*bytes += peer->size;
	peer->size = 0;
	return head->last;
}

static void run(int listener, int epoll, const sigset_t *waiting)
{
	struct epoll_event events[BATCH];
	uint64_t connections = 0, bytes = 0;
	struct peer *peers = calloc(sysconf(_SC_OPEN_MAX), sizeof(*peers));

	if (!peers)
		die("memory");
	while (!stopped) {
		int n = epoll_pwait(epoll, events, BATCH, -1, waiting);

		for (int i = 0; i < n; i++) {
			int fd = events[i].data.fd;

			if (fd != listener) {
				if (serve(fd, &peers[fd], &bytes))
					close(fd);
				continue;
			}
			while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
				connections++;
				watch(epoll, fd);
			}
			if (errno != EAGAIN)
				die("accept");
		}
	}
	printf("accepted %ju connections, echoed %ju bytes\n", (uintmax_t)connections, (uintmax_t)bytes);
	free(peers);
}

int main(int argc, char **argv)
{
	struct sigaction action = { .sa_handler = on_stop };
	sigset_t blocked, waiting;
	int listener, epoll = epoll_create1(0);

	if (argc != 2) {
		fprintf(stderr, "usage: load-server PORT\n");
		return 2;
	}
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGTERM);
	sigprocmask(SIG_BLOCK, &blocked, &waiting);
	sigaction(SIGTERM, &action, NULL);
	raise_file_limit();
	listener = port_listen(argv[1]);
	watch(epoll, listener);
	run(listener, epoll, &waiting);
	return 0;
}
