/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Two boxes of the agent's own kind with many connections between them, each with a fault of its own, and what the
 * programs at both ends really read. Included by one test program each.
 *
 * Connection i has a process at either end: child i + 1 of the process c in box 1 connects to port i of box 2 (or of
 * its own box: over lo), where child i + 1 of s accepts. Both count in memory shared with the test, and check the
 * value of every byte.
 */
#ifndef TESTS_KERNEL_FAULT_WORLD_H
#define TESTS_KERNEL_FAULT_WORLD_H

#include "tests/kernel/world.h"

#include <dirent.h>

#include "lib/clock.h"
#include "tfj/box.h"
#include "tfj/faults.h"

#define MESSAGES 20
#define PORT 7000
#define CONNECTIONS_MAX 128
#define STUCK_S 120 /* a process that is still there then was forgotten */
#define LEASE_NS (300ull * 1000000000)

enum pattern {
	PING_PONG,    /* a message, its reply, the next message */
	BACK_TO_BACK, /* all messages of one direction without a pause: packets carry several */
};

enum sizes { SMALL, MIXED, BIG };

struct side {
	uint64_t got, sent; /* bytes that the program has seen; that sends took */
	int error;	    /* first errno, 0: none; -1: end of file */
	int corrupt;
	int done; /* it has nothing more to do, but to see what still comes */
	int status;
	uint32_t retransmits; /* tcpi_total_retrans */
	uint64_t mark;	      /* when it reads the byte at that place, that is */
	uint64_t mark_ns;
	pid_t pid;
};

struct conversation {
	struct side client, server;
	uint32_t message; /* whose fault it is */
	int reply;
	int connected; /* connect() has returned: an RST that is quicker would be its result */
	int finish; /* nothing more comes: look a last time and go */
};

/* What all connections of a trial have in common. */
struct trial {
	enum fault_kind kind;
	uint32_t flags;
	enum fault_moment_kind moment;
	bool lo;
	bool options;	/* of the receiver, which IPv6 puts in front of the connector's TCP headers */
	bool elsewhere; /* the acceptor is in a box of which we see no packet: as if on another kernel */
	int family;
	enum pattern pattern;
	enum sizes sizes;
	size_t n; /* connections */
	uint64_t duration_ns, lease_ns;
	uint64_t process; /* who is to be hit; 0: whoever */
	uint32_t times;
};

struct fault_world {
	struct world *w;
	int (*client)(struct fault_world *, const struct trial *); /* what c does */
	int (*server)(struct fault_world *, const struct trial *); /* what s does; NULL: server_main */
	struct boxes *boxes;
	struct faults *faults;
	size_t strangers; /* of the boxes, the last ones, which nobody traces */
	bool guests;	  /* the boxes are not ours alone */
	pid_t programs[2];
	struct conversation *conversations; /* in shared memory */
	int *go;
};

static size_t message_size(const struct trial *trial, size_t i, uint32_t message)
{
	switch (trial->sizes) {
	case SMALL:
		return 10 + (message * 37 + i * 11) % 190;
	case MIXED:
		return 2000 + (message * 7919 + i * 104729) % 60000;
	case BIG:
		break;
	}
	return 1 << 20;
}

/* Bytes of a direction before that message. */
static uint64_t bytes_before(const struct trial *trial, size_t i, uint32_t message)
{
	uint64_t sum = 0;

	for (uint32_t m = 1; m < message; m++)
		sum += message_size(trial, i, m);
	return sum;
}

static unsigned char byte_at(size_t i, int reply, uint64_t pos)
{
	return (unsigned char)(pos * 131 + (pos >> 8) * 7 + i * 29 + (size_t)reply * 101 + 1);
}

static void side_error(struct side *side, int error)
{
	if (!side->error)
		side->error = error;
}

static void side_took(struct side *side, size_t i, int reply, const unsigned char *data, size_t size)
{
	for (size_t j = 0; j < size; j++)
		if (data[j] != byte_at(i, reply, side->got + j)) {
			side->corrupt = 1;
			break;
		}
	if (size && side->got <= side->mark && side->mark < side->got + size)
		side->mark_ns = clock_monotonic_ns();
	side->got += size;
}

/* Reads until `until` bytes are there, or nothing more comes. -1: that. */
static int side_read(int fd, struct side *side, size_t i, int reply, uint64_t until, struct conversation *c)
{
	static __thread unsigned char data[1 << 18];
	struct pollfd waiting = { .fd = fd, .events = POLLIN };

	while (side->got < until) {
		int last = __atomic_load_n(&c->finish, __ATOMIC_SEQ_CST);
		ssize_t n = poll(&waiting, 1, last ? 0 : 5) > 0 ? recv(fd, data, sizeof(data), MSG_DONTWAIT) : -2;

		if (n > 0) {
			side_took(side, i, reply, data, (size_t)n);
		} else if (n == 0 || (n == -1 && errno != EAGAIN)) {
			side_error(side, n ? errno : -1);
			return -1;
		} else if (last) {
			return -1;
		}
	}
	return 0;
}

/* Sends one whole message by one call. -1: it was not taken. */
static int side_send(int fd, struct side *side, size_t i, int reply, size_t size, struct conversation *c)
{
	static __thread unsigned char data[1 << 20];
	struct timeval patience = { .tv_usec = 100 * 1000 };
	size_t done = 0;

	for (size_t j = 0; j < size; j++)
		data[j] = byte_at(i, reply, side->sent + j);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	while (done < size) {
		ssize_t n = send(fd, data + done, size - done, MSG_NOSIGNAL);

		if (n > 0) {
			done += (size_t)n;
			side->sent += (size_t)n;
			continue;
		}
		if (errno != EAGAIN) {
			side_error(side, errno);
			return -1;
		}
		if (__atomic_load_n(&c->finish, __ATOMIC_SEQ_CST))
			return -1;
	}
	return 0;
}

/* One end of a conversation, as a program. */
static void side_run(const struct trial *trial, int fd, struct conversation *c, struct side *side, size_t i, int server)
{
	bool sends = trial->pattern == PING_PONG || server == c->reply, reads = trial->pattern == PING_PONG || !sends;
	int on = i & 1, reply = server;
	struct tcp_info info = { 0 };
	socklen_t size = sizeof(info);

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	side->pid = getpid();
	side->mark = server == c->reply ? UINT64_MAX : bytes_before(trial, i, c->message);
	for (uint32_t m = 1; m <= MESSAGES; m++) {
		uint64_t until = bytes_before(trial, i, m + 1);

		if (server && reads && side_read(fd, side, i, !reply, until, c))
			break;
		if (sends && side_send(fd, side, i, reply, message_size(trial, i, m), c))
			break;
		if (!server && reads && side_read(fd, side, i, !reply, until, c))
			break;
	}
	side->done = 1;
	side_read(fd, side, i, !reply, UINT64_MAX, c); /* whatever else comes */
	if (!getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size))
		side->retransmits = info.tcpi_total_retrans;
}

static void children_reap(pid_t *pids, struct fault_world *fw, const struct trial *trial, int server)
{
	for (size_t i = 0; i < trial->n; i++) {
		struct side *side = server ? &fw->conversations[i].server : &fw->conversations[i].client;

		while (waitpid(pids[i], &side->status, 0) < 0 && errno == EINTR)
			;
	}
}

static void go_wait(struct fault_world *fw)
{
	struct timespec pause = { .tv_nsec = 1000 * 1000 };

	while (!__atomic_load_n(fw->go, __ATOMIC_SEQ_CST))
		nanosleep(&pause, NULL);
}

static inline int server_main(struct fault_world *fw, const struct trial *trial)
{
	int fds[CONNECTIONS_MAX], zero = 0, on = 1;
	pid_t pids[CONNECTIONS_MAX];

	for (size_t i = 0; i < trial->n; i++) {
		struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)(PORT + i)) };

		fds[i] = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
		must(fds[i] >= 0);
		setsockopt(fds[i], IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero));
		setsockopt(fds[i], SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
		must(!bind(fds[i], (void *)&six, sizeof(six)) && !listen(fds[i], 8));
	}
	__atomic_add_fetch(fw->go + 1, 1, __ATOMIC_SEQ_CST);
	for (size_t i = 0; i < trial->n; i++) {
		pids[i] = fork();
		must(pids[i] >= 0);
		if (!pids[i]) {
			int fd;

			alarm(STUCK_S);
			fd = accept(fds[i], NULL, NULL);
			must(fd >= 0);
			while (!__atomic_load_n(&fw->conversations[i].connected, __ATOMIC_SEQ_CST))
				poll(NULL, 0, 1);
			side_run(trial, fd, &fw->conversations[i], &fw->conversations[i].server, i, 1);
			_exit(0);
		}
	}
	children_reap(pids, fw, trial, 1);
	return 0;
}

static const char *server_address(const struct fault_world *fw, const struct trial *trial)
{
	const struct box *box = &fw->boxes->box[1];

	if (trial->lo)
		return trial->family == AF_INET ? "127.0.0.1" : "::1";
	return trial->family == AF_INET ? box->address : box->address6;
}

static inline int client_main(struct fault_world *fw, const struct trial *trial)
{
	static const unsigned char padding[8] = { 0, 0, 1, 4 }; /* one option of six bytes, which means nothing */
	pid_t pids[CONNECTIONS_MAX];

	for (size_t i = 0; i < trial->n; i++) {
		pids[i] = fork();
		must(pids[i] >= 0);
		if (!pids[i]) {
			int fd;

			alarm(STUCK_S);
			fd = socket(trial->family, SOCK_STREAM | SOCK_CLOEXEC, 0);
			must(!trial->options || !setsockopt(fd, IPPROTO_IPV6, IPV6_DSTOPTS, padding, sizeof(padding)));
			must(!connect_fd(fd, server_address(fw, trial), (uint16_t)(PORT + i)));
			__atomic_store_n(&fw->conversations[i].connected, 1, __ATOMIC_SEQ_CST);
			side_run(trial, fd, &fw->conversations[i], &fw->conversations[i].client, i, 0);
			_exit(0);
		}
	}
	children_reap(pids, fw, trial, 0);
	return 0;
}

/* A traced process in that box. role: 0 the client, which waits for `go`, 1 the server, 2 the client at once. */
static pid_t program_start(struct fault_world *fw, const struct trial *trial, int box, const char *label, int role)
{
	int ready[2], pidfd;
	char byte;
	pid_t pid;

	if (pipe(ready))
		abort();
	fflush(stdout);
	pid = fork();
	if (!pid) {
		close(ready[1]);
		if (setns(fw->boxes->box[box].netns, CLONE_NEWNET) || read(ready[0], &byte, 1) != 1)
			_exit(99);
		if (!role)
			go_wait(fw);
		if (role == 1)
			_exit(fw->server ? fw->server(fw, trial) : server_main(fw, trial));
		_exit(fw->client(fw, trial));
	}
	pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (tracer_add_process(fw->w->tracer, pidfd, (uint32_t)box + 1, fault_label(label), NULL) ||
	    write(ready[1], "g", 1) != 1)
		abort();
	close(pidfd);
	close(ready[0]);
	close(ready[1]);
	return pid;
}

static void boxes_tell(struct fault_world *fw, bool elsewhere)
{
	struct error e = { "" };

	for (size_t i = 0; i < fw->boxes->n - fw->strangers; i++) {
		const struct box *box = &fw->boxes->box[i];

		if (tracer_add_box(fw->w->tracer, box->cookie, box->index, &e) ||
		    tracer_add_address(fw->w->tracer, box->index, box->ip4, &e) ||
		    tracer_add_address(fw->w->tracer, box->index, box->ip6, &e) ||
		    (!(elsewhere && i == 1) && faults_box(fw->faults, box->netns, box->index, fw->guests, &e))) {
			printf("# %s\n", e.text);
			abort();
		}
	}
}

static void fault_world_open_as(struct fault_world *fw, bool elsewhere)
{
	static char *const names[] = { "c", "s", "x", NULL };
	struct error e = { "" };

	fw->w->n = 0;
	tracer_clear(fw->w->tracer);
	world_drain(fw->w);
	fw->w->n = 0;
	memset(fw->w->shared, 0, sizeof(int) * 16 + sizeof(struct conversation) * CONNECTIONS_MAX);
	fw->go = (int *)fw->w->shared;
	fw->conversations = (struct conversation *)(fw->w->shared + sizeof(int) * 16);
	if (boxes_open(names, &fw->boxes, &e) || faults_open(fw->w->tracer, &fw->faults, &e)) {
		printf("# %s\n", e.text);
		abort();
	}
	boxes_tell(fw, elsewhere);
}

/* First of all in main(). False: nothing can be traced here, and that was said; what main() returns then is in *ret_status. */
static inline bool fault_world_new(struct fault_world *fw, int *ret_status)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	fw->w = world_new(ret_status);
	if (!fw->w)
		puts("1..1");
	return fw->w != NULL;
}

static inline void fault_world_open(struct fault_world *fw)
{
	fault_world_open_as(fw, false);
}

static inline void fault_world_close(struct fault_world *fw)
{
	faults_close(fw->faults);
	boxes_close(fw->boxes);
	fw->faults = NULL;
	fw->boxes = NULL;
}

/* Where connection i comes from and goes to. */
static void where_of(const struct trial *trial, size_t i, struct fault_where *ret_where)
{
	*ret_where = (struct fault_where){
		.process = fault_label_child(fault_label("c"), (uint32_t)i + 1),
		.box = trial->lo ? 1 : 2,
		.port = (uint16_t)(PORT + i),
		.ordinal = 1,
	};
}

/* Fault i + 1 is that of connection i: messages 1 to 20 one way, then the other. */
static inline void trial_arm(struct fault_world *fw, const struct trial *trial)
{
	struct kernel_fault *faults = calloc(trial->n, sizeof(*faults));
	struct error e = { "" };

	for (size_t i = 0; i < trial->n; i++) {
		struct conversation *c = &fw->conversations[i];

		c->message = (uint32_t)i % MESSAGES + 1;
		c->reply = i / MESSAGES & 1;
		faults[i] = (struct kernel_fault){.id = (uint32_t)i + 1,
						  .kind = trial->kind,
						  .flags = trial->flags,
						  .moment = trial->moment,
						  .reply = c->reply,
						  .message = c->message,
						  .times = trial->times,
						  .duration_ns = trial->duration_ns,
						  .lease_ns = trial->lease_ns,
						  .process = trial->process};
		where_of(trial, i, &faults[i].where);
	}
	if (trial->kind != FAULT_NONE && faults_arm(fw->faults, faults, trial->n, clock_monotonic_ns() + LEASE_NS, &e)) {
		printf("# %s\n", e.text);
		fw->w->failures++;
	}
	free(faults);
}

static inline void programs_start(struct fault_world *fw, const struct trial *trial)
{
	struct timespec pause = { .tv_nsec = 1000 * 1000 };

	fw->programs[1] = program_start(fw, trial, trial->lo ? 0 : 1, "s", 1);
	fw->programs[0] = program_start(fw, trial, 0, "c", 0);
	while (!__atomic_load_n(fw->go + 1, __ATOMIC_SEQ_CST))
		nanosleep(&pause, NULL);
	__atomic_store_n(fw->go, 1, __ATOMIC_SEQ_CST);
}

/* Collects records until both programs have ended; on_turn is asked between. */
static inline void programs_finish(struct fault_world *fw, const struct trial *trial,
			    void (*on_turn)(struct fault_world *, const struct trial *))
{
	struct pollfd waiting = { .fd = tracer_fd(fw->w->tracer), .events = POLLIN };
	int status, left = 2;

	while (left) {
		poll(&waiting, 1, 5);
		world_drain(fw->w);
		on_turn(fw, trial);
		for (int i = 0; i < 2; i++)
			if (fw->programs[i] && waitpid(fw->programs[i], &status, WNOHANG) > 0) {
				fw->programs[i] = 0;
				left--;
				expect(fw->w, WIFEXITED(status) && !WEXITSTATUS(status));
			}
	}
	world_drain(fw->w);
}

#endif
