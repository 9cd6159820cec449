/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Ways to move bytes over TCP. A way is what a client and a server do with each other; each has a process of its own for
 * it, and a port of its own. The tables are in the files that have the ways; main.c runs them.
 */
#ifndef TESTS_TORTURE_TORTURE_H
#define TESTS_TORTURE_TORTURE_H

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "tests/torture/count.h"

struct side {
	const char *peer; /* client: address of the server */
	const char *peer6; /* its IPv6 address */
	const char *program; /* path of this program */
	uint16_t port;
	int listener; /* server: at that port */
	/* The first connection of a way is made, used and then left alone until the test has attached both processes. */
	bool older;
	int gate, parked; /* client: a pipe that ends when all may go on; one that is told that this one waits */
};

struct way {
	const char *name;
	void (*client)(struct side *);
	void (*server)(struct side *);
};

/* End with a row without name. */
extern const struct way ways_move[], ways_uring[], ways_share[], ways_open[], ways_close[];

/* A connected socket. */
int side_connect(struct side *side);

/* connect() to text, the result as it is. */
int connect_text(int fd, const char *text, uint16_t port);
int side_accept(struct side *side);

/* A socket that listens at that port (0: any) of all addresses of both families. */
int listen_any(uint16_t port);

/* All of size, counted. */
void send_all(int fd, size_t size);
void recv_all(int fd, size_t size);

/* Until end of file, counted. */
void drain(int fd);
void wait_for_fd(int fd, short events);

/* Sends nothing more, reads the peer's rest, closes. */
void finish(int fd);

/* Starts the k-th thread of this process, k from 1 in the order of calls. It counts under that number. */
pthread_t thread_start(void *(*main)(void *), void *arg);

/* A child that ends with 0 when main returns; what it counted is printed. */
pid_t child_start(void (*main)(void *), void *arg);
void child_end(pid_t pid);

/* For processes that main() is asked to become by another way's exec. */
void exec_child(char **argv);

/* Bytes that anybody may send. */
#define DATA_SIZE (1 << 20)
extern char data[DATA_SIZE];

#endif
