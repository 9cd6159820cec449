/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What the protocols of the LDFI paper share: a node of a synchronous system. Time goes in ticks. In each tick a node
 * sends, then receives what was sent in that tick; what has not arrived by then is lost, or comes late.
 *
 *	while (tick_begin(&node)) {
 *		node_send(&node, to, "body");		// as often as it likes
 *		tick_sent(&node);
 *		while (node_receive(&node, &message))
 *			...				// answers are for the next tick
 *		tick_end(&node);
 *	}
 *	node_end(&node);
 *
 * A message is one short TCP connection: connect, send, close. It carries the name that its sender gives to it:
 * a>b:7000#3/1 is the message on the third connection that a opened to b's port 7000. Both sides log it on stdout, as the
 * other examples do ("sent NAME BYTES", "recv NAME BYTES"). A node never waits for a lost or refused message longer than
 * ARRIVAL_MS.
 *
 * Whose turn it is says clock.c, on a unix-domain socket in the node's working directory: a byte is a turn, and the answer
 * a byte. So a tick is as long as its messages take, and runs are alike however busy the machine is. Only in a tick that
 * loses a message do nodes wait: a message has arrived when the receiver's kernel has acknowledged it.
 *
 * What a node wants to be remembered (node_log) is in its file `log`. A log that does not end with "end" is of a node that crashed.
 */
#ifndef EXAMPLES_LDFI_H
#define EXAMPLES_LDFI_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netdb.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define PORT "7000"
#define CLOCK_SOCKET "clock" /* in the node's working directory */
#define NODES_MAX 8
#define NAME_MAX_SIZE 96 /* of a message: two names of 32 bytes, and numbers */
#define BODY_MAX_SIZE 32
#define WAITING_MAX 256	 /* connections on which nothing has arrived yet */
#define ARRIVAL_MS 20	 /* after that a message that was sent counts as lost */
#define AT_ONCE_MS 2	 /* as long a node waits for its own messages, before the others' turn */

/* The clock's turns, and what a node answers. */
enum turn {
	TURN_SEND = 's',
	TURN_WAIT = 'w', /* for what has not arrived */
	TURN_RECEIVE = 'r',
	TURN_END = 'e', /* of time */
	ANSWER_DONE = '.',
	ANSWER_UNDER_WAY = '?',
};

struct node {
	unsigned self, n; /* of names */
	const char *names[NODES_MAX];
	struct sockaddr_in addresses[NODES_MAX];
	unsigned connects[NODES_MAX]; /* to each of them so far */
	unsigned tick;		      /* from 1 */
	int listener, clock;
	int sent[NODES_MAX * 2]; /* connections of this tick */
	unsigned n_sent;
	uint64_t sent_ms;	  /* when the last of them was used */
	int waiting[WAITING_MAX]; /* accepted, nothing received */
	unsigned n_waiting, next;
	FILE *log;
};

struct message {
	unsigned from;
	char name[NAME_MAX_SIZE];
	char body[BODY_MAX_SIZE];
};

static inline void die(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	exit(1);
}

static inline uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000ull + t.tv_nsec / 1000000;
}

static inline void address_find(const char *name, struct sockaddr_in *ret_address)
{
	struct addrinfo hints = { .ai_family = AF_INET, .ai_socktype = SOCK_STREAM }, *found;
	int err = getaddrinfo(name, PORT, &hints, &found);

	if (err) {
		fprintf(stderr, "%s: %s\n", name, gai_strerror(err));
		exit(1);
	}
	memcpy(ret_address, found->ai_addr, sizeof(*ret_address));
	freeaddrinfo(found);
}

static inline int clock_listen(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = CLOCK_SOCKET };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	unlink(CLOCK_SOCKET);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 1) < 0)
		die(CLOCK_SOCKET);
	return fd;
}

static inline int port_listen(void)
{
	struct sockaddr_in any = { .sin_family = AF_INET, .sin_port = htons(atoi(PORT)) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), on = 1;

	if (fd < 0)
		die("socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&any, sizeof(any)) < 0 || listen(fd, WAITING_MAX) < 0)
		die("port " PORT);
	return fd;
}

/* Returns which of the names it is, n if it is none. */
static inline unsigned node_find(const struct node *node, const char *name)
{
	unsigned i = 0;

	while (i < node->n && strcmp(node->names[i], name))
		i++;
	return i;
}

/* names: of all nodes, NULL at the end. Ready when this returns; the first tick has not begun. */
static inline void node_init(struct node *node, const char *self, char **names)
{
	int turned;

	memset(node, 0, sizeof(*node));
	/* First, for the least number: of a process that is killed, the kernel ends that last. So when the clock sees that
	 * a node is gone, all of its connections are. */
	node->clock = clock_listen();
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (; names[node->n] && node->n < NODES_MAX; node->n++) {
		node->names[node->n] = names[node->n];
		address_find(names[node->n], &node->addresses[node->n]);
	}
	node->self = node_find(node, self);
	node->log = fopen("log", "w");
	if (names[node->n] || node->self == node->n || !node->log) {
		fprintf(stderr, "%s is not one of up to %d nodes, or has no log\n", self, NODES_MAX);
		exit(2);
	}
	setvbuf(node->log, NULL, _IOLBF, 0);
	node->listener = port_listen();
	turned = accept4(node->clock, NULL, NULL, SOCK_CLOEXEC);
	if (turned < 0 || dup3(turned, node->clock, O_CLOEXEC) < 0)
		die("accept");
	close(turned);
}

static inline void __attribute__((format(printf, 2, 3)))
node_log(struct node *node, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vfprintf(node->log, format, args);
	va_end(args);
	fputc('\n', node->log);
}

static inline char turn_wait(struct node *node)
{
	char turn;

	if (recv(node->clock, &turn, 1, 0) != 1)
		exit(1); /* the clock has stopped: it is not the end of time, and the log must not say so */
	return turn;
}

static inline void turn_answer(struct node *node, char answer)
{
	if (send(node->clock, &answer, 1, MSG_NOSIGNAL) != 1)
		exit(1);
}

/* Returns false at the end of time. */
static inline bool tick_begin(struct node *node)
{
	if (turn_wait(node) != TURN_SEND)
		return false;
	node->tick++;
	return true;
}

/* Returns a connection, -1 if there is none: refused, or nobody answered. */
static inline int connect_shortly(const struct sockaddr_in *address)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), err = 0;
	struct pollfd wait = { .fd = fd, .events = POLLOUT };
	socklen_t size = sizeof(err);

	if (fd < 0)
		die("socket");
	if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) < 0 &&
	    (errno != EINPROGRESS || poll(&wait, 1, ARRIVAL_MS) != 1 ||
	     getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &size) < 0 || err)) {
		close(fd);
		return -1;
	}
	return fd;
}

/* Up to two messages a tick and node. */
static inline void node_send(struct node *node, unsigned to, const char *body)
{
	char name[NAME_MAX_SIZE], text[NAME_MAX_SIZE + BODY_MAX_SIZE];
	int fd, size;

	snprintf(name, sizeof(name), "%s>%s:%s#%u/1", node->names[node->self], node->names[to], PORT,
		 ++node->connects[to]);
	size = snprintf(text, sizeof(text), "%s %s\n", name, body);
	fd = connect_shortly(&node->addresses[to]);
	if (fd < 0)
		return;
	if (send(fd, text, size, MSG_NOSIGNAL) == size)
		printf("sent %s %d\n", name, size);
	node->sent[node->n_sent++] = fd;
	node->sent_ms = now_ms();
}

/* Has all that was sent been acknowledged? Waits until it has, or for some time. */
static inline bool node_arrived(struct node *node, unsigned wait_ms)
{
	for (;;) {
		int left = 0, n;

		for (unsigned i = 0; i < node->n_sent; i++)
			left += !ioctl(node->sent[i], SIOCOUTQ, &n) && n;
		if (!left)
			return true;
		if (now_ms() - node->sent_ms >= wait_ms)
			return false;
		usleep(100);
	}
}

/* This node has sent all; returns when it is its turn to receive. */
static inline void tick_sent(struct node *node)
{
	int fd;

	turn_answer(node, node_arrived(node, AT_ONCE_MS) ? ANSWER_DONE : ANSWER_UNDER_WAY);
	while (turn_wait(node) == TURN_WAIT) {
		node_arrived(node, ARRIVAL_MS);
		turn_answer(node, ANSWER_DONE);
	}
	while (node->n_sent)
		close(node->sent[--node->n_sent]);
	while (node->n_waiting < WAITING_MAX &&
	       (fd = accept4(node->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0)
		node->waiting[node->n_waiting++] = fd;
	node->next = 0;
}

/* Returns false if that is no message. */
static inline bool message_read(const struct node *node, char *text, ssize_t size, struct message *ret_message)
{
	char from[NAME_MAX_SIZE];

	text[size] = '\0';
	if (sscanf(text, "%95s %31[^\n]", ret_message->name, ret_message->body) != 2 ||
	    sscanf(text, "%95[^>]>", from) != 1)
		return false;
	ret_message->from = node_find(node, from);
	return ret_message->from < node->n;
}

/* Gives what has arrived, one message after the other in the order of their connections; then returns false. */
static inline bool node_receive(struct node *node, struct message *ret_message)
{
	while (node->next < node->n_waiting) {
		struct pollfd arrived = { .fd = node->waiting[node->next], .events = POLLIN };
		char text[NAME_MAX_SIZE + BODY_MAX_SIZE + 1];
		ssize_t size;

		if (poll(&arrived, 1, 0) != 1) {
			node->next++;
			continue;
		}
		size = recv(arrived.fd, text, sizeof(text) - 1, 0);
		close(arrived.fd);
		node->n_waiting--;
		memmove(&node->waiting[node->next], &node->waiting[node->next + 1],
			(node->n_waiting - node->next) * sizeof(node->waiting[0]));
		if (size > 0 && message_read(node, text, size, ret_message)) {
			printf("recv %s %zd\n", ret_message->name, size);
			return true;
		}
	}
	return false;
}

static inline void tick_end(struct node *node)
{
	turn_answer(node, ANSWER_DONE);
}

/* Closes the log and waits until it is stopped. */
static inline void node_end(struct node *node)
{
	node_log(node, "end");
	turn_answer(node, ANSWER_DONE);
	for (;;)
		pause();
}

#endif
